//! The only place that turns the contract's messages into the engine's types, and back.
//!
//! Numbers cross it exactly: the contract counts in millionths, the engine in ticks, lots and minor
//! units of an auction's rules, and a value that lies between two ticks is refused, never rounded.
//! What is not well-formed is refused here with the path of its field; what breaks a rule of the
//! market is left to the engine. Whatever comes out of the engine is rendered here, so that every row
//! carries its time, its currency and its status.
//!
//! # Deliberately absent
//!
//! - **Decisions of the market.** A refusal is made here only where the engine could not even be
//!   asked; [`faults`] then puts it in the documented order with what the engine would have said.

pub mod auction;
pub mod dispatch;
pub mod event;
pub mod faults;
pub mod operator;
pub mod order_in;
pub mod order_out;
pub mod risk;
pub mod rows;
pub mod rules;
pub mod runs;
pub mod settlement;
pub mod units;

pub use faults::{Faults, Paths};
pub use units::{Scale, time_row, timestamp};
