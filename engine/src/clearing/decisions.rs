//! Blocks and complex orders at given prices: what they would earn, and what that bounds.
//!
//! # Why the bound holds
//!
//! Let π be clearing prices of the curves alone. In any result every area balances, so its welfare
//! does not change when π × (sold + imported − bought − exported) = 0 is added for every area and
//! period. Then each order stands alone: a curve contributes at most its surplus at π, a line at most
//! its congestion rent at π, and these sum to the welfare of the curves alone, because π is an
//! optimal dual of that problem. A block contributes its surplus at π, a complex order its surplus
//! less its fixed term, or 0 when rejected. So welfare of the curves + the best that each block or
//! complex order alone could add at π bounds the welfare of every result; rules that tie orders
//! together only lower it.
//!
//! - A block at ratio r sells ⌊q·r⌋ of q in a period: r × its whole surplus, plus less than one
//!   lot's loss in each period in which a lot loses. So max(0, whole surplus) + those lots' losses
//!   bounds it, and so does what the earning periods alone would earn. Accepted whole or not at all:
//!   max(0, whole surplus).
//! - Ratios of an exclusive group sum to at most 1: the greatest whole surplus in it, plus the
//!   losses that rounding may spare each of its blocks.

use crate::auction::{BlockHandle, BlockOrder, ComplexHandle, ComplexOrder, Point, Side};
use crate::book::AuctionBook;
use crate::limits::RATIO_UNIT;
use crate::outcome::{Rejected, Rejection};
use alloc::vec::Vec;

/// Decisions and their part of the bound, as they are gathered.
#[derive(Clone, Debug, Default)]
pub(super) struct Decisions {
    pub(super) blocks: Vec<Rejected<BlockHandle>>,
    pub(super) complex: Vec<Rejected<ComplexHandle>>,
    /// What blocks and complex orders could add to welfare at most, on the welfare grid.
    pub(super) gain: i128,
    /// (group, best whole surplus so far).
    groups: Vec<(u32, i128)>,
}

fn price_of(prices: &[i64], book: &AuctionBook, period: u16, area: u16) -> i64 {
    prices[usize::from(period) * book.frame().areas.len() + usize::from(area)]
}

impl Decisions {
    /// Rejects one block.
    pub(super) fn reject_block(&mut self, book: &AuctionBook, prices: &[i64], handle: BlockHandle) {
        let Some(block) = book.block(handle) else { return };
        let scale = i128::from(book.frame().welfare_scale);
        let (surplus, spared) = block_surplus(book, prices, block);
        let (surplus, spared) = (surplus * scale, spared * scale);
        self.gain += spared;
        match block.group {
            Some(group) => match self.groups.binary_search_by_key(&group, |it| it.0) {
                Ok(at) => {
                    let better = (surplus - self.groups[at].1).max(0);
                    self.groups[at].1 += better;
                    self.gain += better;
                }
                Err(at) => {
                    self.groups.insert(at, (group, surplus.max(0)));
                    self.gain += surplus.max(0);
                }
            },
            None => self.gain += surplus.max(0),
        }
        let reason = if surplus <= 0 {
            Rejection::OutOfTheMoney
        } else if block.parent.is_some() {
            Rejection::ParentRejected
        } else {
            Rejection::WorkLimit
        };
        self.blocks.push(Rejected { handle, reason, surplus });
    }

    /// Leaves one complex order inactive.
    pub(super) fn reject_complex(&mut self, book: &AuctionBook, prices: &[i64], handle: ComplexHandle) {
        let Some(order) = book.complex(handle) else { return };
        let scale = i128::from(book.frame().welfare_scale);
        let surplus = complex_surplus(book, prices, order) * scale - order.fixed;
        self.gain += surplus.max(0);
        let reason = if surplus <= 0 { Rejection::OutOfTheMoney } else { Rejection::WorkLimit };
        self.complex.push(Rejected { handle, reason, surplus });
    }
}

/// What a block earns wholly accepted, and what rounding down may spare it when partly accepted;
/// price ticks × lots.
fn block_surplus(book: &AuctionBook, prices: &[i64], block: &BlockOrder) -> (i128, i128) {
    let (mut earned, mut lost, mut lots_lose) = (0, 0, 0);
    for &(period, lots) in &block.quantity {
        let margin = price_of(prices, book, period, block.area) - block.price;
        let margin = i128::from(margin * block.side.sign());
        if margin > 0 {
            earned += margin * i128::from(lots);
        } else {
            lost -= margin * i128::from(lots);
            lots_lose -= margin;
        }
    }
    let surplus = earned - lost;
    if block.ratio_min == RATIO_UNIT {
        return (surplus, 0);
    }
    (surplus, lots_lose.min(earned - surplus.max(0)))
}

/// What an active complex order earns on its steps: all lots that earn, and the dearest of those
/// that lose only as far as its minimum demands.
fn complex_surplus(book: &AuctionBook, prices: &[i64], order: &ComplexOrder) -> i128 {
    let mut surplus = 0;
    let mut points: Vec<Point> = Vec::new();
    for curve in &order.curve {
        let price = price_of(prices, book, curve.period, order.area);
        points.clear();
        points.extend_from_slice(&curve.points);
        match order.side {
            Side::Buy => points.sort_unstable_by_key(|point| core::cmp::Reverse(point.price)),
            Side::Sell => points.sort_unstable_by_key(|point| point.price),
        }
        let mut must = curve.quantity_min;
        for point in &points {
            let margin = (price - point.price) * order.side.sign();
            let lots = if margin > 0 { point.quantity } else { point.quantity.min(must) };
            must = (must - lots).max(0);
            surplus += i128::from(margin) * i128::from(lots);
        }
    }
    surplus
}
