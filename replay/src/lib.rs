//! The journal, recovery and the one caller of the engine.
//!
//! A command becomes history when the batch that holds it is durable; then it is applied, then
//! somebody hears of it. `FORMAT.md` draws the bytes. The rooms, in the order in which a command
//! passes them:
//!
//! - [`runner`]: the core's thread, its bounded inbox, and the [`runner::CoreHandle`] that everybody
//!   else holds; [`core`] is one turn of it without the thread.
//! - [`sequencer`]: number, epoch and time.
//! - [`writer`], [`segment`], [`frame`]: bytes, batches, one sync each.
//! - [`machine`]: what is driven, who listens, where the time comes from.
//! - [`recovery`]: what is believed of a journal that is found, and what is refused.
//! - [`repair`]: a damaged journal mended from another node's copy.
//! - [`record`]: commands as payloads. [`inspect`]: what may be said without opening them.
//! - [`snapshot`], [`retention`]: starts that replay only the end, and where old segments go.
//! - [`fetch`]: another node's snapshot, where the records before it are no longer to be had.
//! - [`storage`]: the one door to the disk, real or faulty.
//!
//! # Deliberately absent
//!
//! - **The wall clock.** The gateway owns the only reader; here it is a [`machine::Clock`].
//! - **Async.** One thread applies commands; a sync blocks it and nobody else.
//! - **Repair by guessing.** Only what was never acknowledged is cut, and what is cut is kept.

pub mod acknowledged;
pub mod core;
mod cut;
pub mod error;
pub mod fetch;
pub mod frame;
pub mod inspect;
pub mod machine;
pub mod node;
pub mod record;
pub mod recovery;
pub mod repair;
pub mod replication;
pub mod retention;
pub mod runner;
pub mod segment;
pub mod sequencer;
pub mod snapshot;
pub mod storage;
pub mod writer;

#[cfg(test)]
mod simulation;
