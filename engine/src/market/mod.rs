//! The exchange as a state machine: members, timetables, auctions, orders, results, money.

use crate::command::Command;
use crate::event::{Answer, Event};
use crate::ids::AuctionId;
use alloc::vec::Vec;

/// The engine: the whole state of the exchange.
#[derive(Debug, Default)]
pub struct Engine {}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies the next command: moves time, does what is due, then what the command says. Appends
    /// the events in the order in which they happen and returns the answer.
    ///
    /// # Panics
    ///
    /// If the command's place, epoch or time goes backwards: the sequencer is broken.
    pub fn apply(&mut self, _command: &Command, _events: &mut Vec<Event>) -> Answer {
        Answer::None
    }

    /// Sequence number of the last command applied.
    #[must_use]
    pub fn seq(&self) -> u64 {
        0
    }

    /// Journaled time of the last command applied.
    #[must_use]
    pub fn time_us(&self) -> i64 {
        0
    }

    /// The next instant at which something is due, if any.
    #[must_use]
    pub fn next_timer_us(&self) -> Option<i64> {
        None
    }

    /// The auction whose clearing wants a quantum next (a real-time session before a day-ahead
    /// auction), and the units of work for one quantum.
    #[must_use]
    pub fn wants_quantum(&self) -> Option<(AuctionId, u32)> {
        None
    }

    /// Digest of the whole state: equal exactly if two engines would behave alike from here on
    /// (up to hash collisions). Walks the state; not for the hot path.
    #[must_use]
    pub fn digest(&self) -> u128 {
        0
    }
}
