//! The market itself: orders in, one price per area and delivery period out.
//!
//! The engine takes one journaled command and appends the events it causes. That is the whole
//! interface. Start two engines empty, feed both the same commands in the
//! same order, and after every command they hold the same state and have said the same things, byte
//! for byte. Recovery and the standby rest on that sentence and on nothing else.
//!
//! # Deliberately absent
//!
//! - **A clock.** Time is a field of the command. A gate closes because the journal says so.
//! - **Files, sockets, threads, logging.** The crate is `no_std`: they do not resolve.
//! - **Floats and hash maps.** Totals are integers; whatever is iterated is ordered.
//! - **Errors that stop the market.** A bad order is an event (`OrderRejected`), not an `Err`. The
//!   engine panics only where its own arithmetic or bookkeeping has been proved wrong.

#![no_std]
#![deny(clippy::float_arithmetic, clippy::disallowed_types)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod auction;
pub mod book;
pub mod calendar;
pub mod clearing;
pub mod command;
pub mod digest;
pub mod event;
pub mod few;
pub mod ids;
pub mod limits;
pub mod market;
pub mod money;
pub mod outcome;
pub mod presets;
pub mod reject;
pub mod risk;
mod rows;
pub mod rules;
pub mod settlement;
pub mod snapshot;
pub mod verify;
