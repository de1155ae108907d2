//! What clearing an auction decides: the result file `merit-result/1` in integers.

use crate::auction::{BlockHandle, ComplexHandle, CurveHandle};
use crate::book::AuctionBook;
use alloc::vec::Vec;

/// What a curve order trades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Lots bought.
    pub bought: i64,
    /// Lots sold.
    pub sold: i64,
}

/// Why a block is rejected or a complex order inactive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// It would not earn at the published prices.
    OutOfTheMoney,
    /// It would earn when wholly accepted, but no decision that accepts it was better.
    ParadoxicallyRejected,
    /// Its parent is rejected.
    ParentRejected,
    /// Its exclusive group has no room.
    GroupTaken,
    /// It would earn itself but its family would lose.
    LossOfFamily,
    /// It was not decided within the work limit.
    WorkLimit,
}

/// A rejected block or inactive complex order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected<H> {
    /// Which.
    pub handle: H,
    /// Why.
    pub reason: Rejection,
    /// What it would have earned, wholly accepted, at the published prices; grid units of welfare.
    pub surplus: i128,
}

/// An active complex order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComplexFill {
    /// Which.
    pub handle: ComplexHandle,
    /// Lots accepted, one per entry of the order's `curve`.
    pub quantity: Vec<i64>,
}

/// One clearing result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Clearing prices in ticks; index `period * areas + area`.
    pub prices: Vec<i64>,
    /// Flows in lots, `from` → `to` positive; index `period * lines + line`.
    pub flows: Vec<i64>,
    /// Fills of curve orders; index as [`crate::book::Places`] says. Places of orders that are not in the
    /// book any more hold zeros.
    pub curves: Vec<Fill>,
    /// (block, ratio in millionths) of every accepted block, by handle.
    pub blocks: Vec<(BlockHandle, u32)>,
    /// Every active complex order, by handle.
    pub complex: Vec<ComplexFill>,
    /// Every rejected block, by handle.
    pub blocks_rejected: Vec<Rejected<BlockHandle>>,
    /// Every inactive complex order, by handle.
    pub complex_rejected: Vec<Rejected<ComplexHandle>>,
    /// Welfare on the welfare grid.
    pub welfare: i128,
    /// Proven upper bound on the welfare of any result, on the welfare grid. Optimal exactly if it
    /// equals `welfare`.
    pub bound: i128,
    /// Deterministic units of work that the clearing took (network cuts, periods re-priced).
    pub work: u64,
}

impl Outcome {
    /// Every curve order of the book with its fill, by handle.
    pub fn fills<'a>(&'a self, book: &'a AuctionBook) -> impl Iterator<Item = (CurveHandle, Fill)> + 'a {
        let places = book.places();
        (0..book.curve_handles()).map(CurveHandle).filter_map(move |handle| {
            let place = places.of(book, handle)?;
            Some((handle, self.curves.get(place).copied().unwrap_or_default()))
        })
    }
}
