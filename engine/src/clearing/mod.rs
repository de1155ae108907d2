//! Finds prices, flows and fills for the orders of one auction.
//!
//! Clearing is a state machine that advances in bounded quanta of counted work, so that a large
//! auction never blocks the market and a standby continues from the same point.

use crate::book::AuctionBook;
use crate::outcome::Outcome;

/// Where a clearing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More quanta are needed.
    Running {
        /// Units of work done.
        done: u64,
        /// Units of work expected in all.
        total: u64,
    },
    /// [`Clearing::into_outcome`] has the result.
    Done,
}

/// A clearing in progress.
#[derive(Clone, Debug)]
pub struct Clearing {}

impl Clearing {
    /// Starts. Nothing is decided yet.
    #[must_use]
    pub fn start(_book: &AuctionBook) -> Self {
        Self {}
    }

    /// Works for about `quantum` units (at least one step, at most one step too many) and returns
    /// where it stands. The same book and the same total work give the same result, however the
    /// work is cut into quanta.
    pub fn advance(&mut self, _book: &AuctionBook, _quantum: u64) -> Progress {
        Progress::Done
    }

    /// The result; call after [`Progress::Done`].
    #[must_use]
    pub fn into_outcome(self) -> Option<Outcome> {
        None
    }
}
