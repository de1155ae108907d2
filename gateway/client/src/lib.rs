//! What a member's Rust program uses to trade: connect, send orders that are safe to retry, follow events
//! without losing one.
//!
//! Three promises, and the rest follows from them:
//!
//! 1. **A call without an answer is unknown, never failed.** Every order carries an id that your program makes
//!    *before* it first sends (and keeps, if it must survive its own crash). The client sends again with the
//!    same id, also to the next endpoint, until the exchange answers; the exchange carries each id out once
//!    and repeats its first answer with `replayed` set. If no attempt is answered you get
//!    [`CallError::OutcomeUnknown`]: call again with the same id, or look it up with [`Client::order`].
//! 2. **What the market refuses is an answer, not an error.** An [`OrderAnswer`](v1::OrderAnswer) holds either
//!    what was accepted or a [`Refusal`](v1::Refusal) with a stable reason and the field at fault.
//! 3. **Silence is told from loss.** [`Events`] counts: it sees a gap, a message twice, a stale primary, a lost
//!    tail, and resumes from the first number that is missing.
//!
//! Numbers on the wire are integers in millionths ([`units`] turns decimals into them, exactly or not at all).
//!
//! ```no_run
//! use merit_client::{Client, Config, OrderIds, orders, units, v1};
//!
//! # async fn trade() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(Config::mutual_tls(
//!     &["https://primary.example:7443", "https://standby.example:7443"],
//!     "authority.pem",
//!     "alice.pem",
//!     "alice.key",
//! ))?;
//! println!("the exchange knows me as {}", client.who_am_i().await?.user);
//!
//! // Sell 12.5 MW in period 33 at 3141.59 or above.
//! let points = [(units::micros("3141.59")?, units::micros("12.5")?)];
//! let order = orders::step("DAM-2026-11-24", "M1-P1", "N2", v1::Side::Sell, &[(33, &points)]);
//! let ids = OrderIds::new("alice");
//! let answer = client.submit(ids.next(), order).await?;
//! match answer.outcome {
//!     Some(v1::order_answer::Outcome::Accepted(accepted)) => println!("order {:?}", accepted.order_id),
//!     Some(v1::order_answer::Outcome::Refused(refusal)) => println!("{}: {}", refusal.field, refusal.text),
//!     None => {}
//! }
//!
//! let mut events = client.events(Some(1));
//! while let Ok(event) = events.next().await {
//!     println!("{:?}", event.event);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Deliberately absent
//!
//! - **The engine.** This crate knows the contract only, so that it is what any member could have written.
//! - **Rounding.** A price that is off the market's tick is the member's decision, not ours.

mod config;
mod entry;
mod error;
mod events;
mod ids;
mod link;
mod member;
pub mod orders;
mod roles;
pub mod signed;
pub mod units;

pub use config::{Config, ConnectError, Retry};
pub use entry::{Entry, EntryOptions, Pending};
pub use error::{CallError, reason};
pub use events::{Events, Message, StreamError, Subscription};
pub use ids::OrderIds;
pub use link::Transport;
pub use member::Client;
/// The contract.
pub use merit_proto::v1;
