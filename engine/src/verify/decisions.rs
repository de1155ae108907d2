//! Blocks and complex orders: ratios, families, groups, surpluses, and the reasons of the rejected.

use super::network::Traded;
use super::stand;
use super::{Break, Order, POINTS_PER_UNIT, price_at};
use crate::auction::{BlockHandle, BlockOrder, ComplexHandle, ComplexOrder, ComplexPeriod, Side};
use crate::book::AuctionBook;
use crate::limits::RATIO_UNIT;
use crate::outcome::{Outcome, Rejected, Rejection};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

/// One period of an active complex order.
#[derive(Clone, Debug)]
pub(super) struct ComplexPart {
    pub(super) handle: ComplexHandle,
    pub(super) side: Side,
    pub(super) lots: i64,
    curve: ComplexPeriod,
}

impl ComplexPart {
    /// Least and greatest lots that the order may trade at `price`.
    pub(super) fn range(&self, price: i64) -> (i64, i64) {
        let (beyond, most) = stand::range(&self.curve.points, self.side, price);
        let least = self.curve.quantity_min;
        (least.max(beyond), least.max(most))
    }
}

/// What accepted families and active complex orders earn at some prices, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Surpluses {
    next_block: usize,
    next_complex: usize,
    /// Of every accepted block with its accepted descendants, once all blocks are in; price ticks ×
    /// lots.
    families: BTreeMap<BlockHandle, i128>,
    /// Accepted children of each accepted block.
    children: BTreeMap<BlockHandle, usize>,
    /// Of every active complex order beyond its fixed term; grid units of welfare.
    complex: Vec<(ComplexHandle, i128)>,
}

/// What is said about rejected blocks, while it is looked at.
#[derive(Debug)]
struct Rejections {
    told: BTreeMap<BlockHandle, Rejected<BlockHandle>>,
    /// Sum of the accepted ratios of each group.
    groups: BTreeMap<u32, u64>,
    parents: BTreeSet<BlockHandle>,
    next: u32,
}

/// What is looked at next.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Start,
    Accept {
        next: usize,
    },
    Families(Surpluses),
    Activate {
        next: usize,
    },
    Complex(Surpluses),
    RejectedBlocks(Rejections),
    RejectedComplex {
        told: BTreeMap<ComplexHandle, Rejected<ComplexHandle>>,
        next: u32,
    },
    Done,
}

/// What the decisions of a result trade, cost and say.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    next: Stage,
    /// Welfare of accepted blocks and active complex orders in price ticks × lots, fixed terms apart.
    pub(super) value: i128,
    /// Fixed terms of active complex orders, grid units of welfare.
    pub(super) fixed: i128,
    /// Lots bought.
    pub(super) bought: i128,
    pub(super) paradoxically_rejected: Vec<(BlockHandle, i128)>,
    /// Ratio of every accepted block.
    ratios: BTreeMap<BlockHandle, u32>,
    /// Index `period * areas + area`; empty if nothing is accepted.
    traded: Vec<Traded>,
    complex: BTreeMap<(u16, u16), Vec<ComplexPart>>,
    active: BTreeSet<ComplexHandle>,
}

impl Decisions {
    /// Checks the next part; returns whether all is checked.
    pub(super) fn step(&mut self, book: &AuctionBook, outcome: &Outcome, breaks: &mut Vec<Break>) -> bool {
        self.next = match core::mem::take(&mut self.next) {
            Stage::Start => {
                if !outcome.blocks.is_empty() || !outcome.complex.is_empty() {
                    self.traded = vec![Traded::default(); outcome.prices.len()];
                }
                Stage::Accept { next: 0 }
            }
            Stage::Accept { next } => match self.accept_blocks(book, outcome, next, breaks) {
                Some(next) => Stage::Accept { next },
                None => {
                    self.check_ratios(book, breaks);
                    Stage::Families(Surpluses::default())
                }
            },
            Stage::Families(mut surpluses) => {
                if self.add_families(&mut surpluses, book, outcome, &outcome.prices) {
                    for (&block, &surplus) in surpluses.families.iter().filter(|it| *it.1 < 0) {
                        breaks.push(Break::ParadoxicallyAccepted { block, surplus });
                    }
                    Stage::Activate { next: 0 }
                } else {
                    Stage::Families(surpluses)
                }
            }
            Stage::Activate { next } => match self.activate(book, outcome, next, breaks) {
                Some(next) => Stage::Activate { next },
                None => Stage::Complex(Surpluses::default()),
            },
            Stage::Complex(mut surpluses) => {
                if self.add_complex(&mut surpluses, book, outcome, &outcome.prices) {
                    for &(order, surplus) in surpluses.complex.iter().filter(|it| it.1 < 0) {
                        breaks.push(Break::ActiveAtALoss { order, surplus });
                    }
                    Stage::RejectedBlocks(self.rejections(book, outcome, breaks))
                } else {
                    Stage::Complex(surpluses)
                }
            }
            Stage::RejectedBlocks(mut rejections) => {
                if self.check_rejected_blocks(&mut rejections, book, outcome, breaks) {
                    let told = by_handle(&outcome.complex_rejected, Order::Complex, breaks);
                    Stage::RejectedComplex { told, next: 0 }
                } else {
                    Stage::RejectedBlocks(rejections)
                }
            }
            Stage::RejectedComplex { told, next } => {
                match self.check_rejected_complex(&told, next, book, outcome, breaks) {
                    Some(next) => Stage::RejectedComplex { told, next },
                    None => Stage::Done,
                }
            }
            Stage::Done => Stage::Done,
        };
        matches!(self.next, Stage::Done)
    }

    /// Whether any block or complex order is accepted.
    pub(super) fn any(&self) -> bool {
        !self.ratios.is_empty() || !self.active.is_empty()
    }

    /// What blocks and complex orders trade in an area and period (`period * areas + area`): bought
    /// less sold, and each.
    pub(super) fn traded(&self, cell: usize) -> (i128, Traded) {
        let traded = self.traded.get(cell).copied().unwrap_or_default();
        (traded.bought - traded.sold, traded)
    }

    /// The active complex orders of an area and period.
    pub(super) fn complex_parts(&self, period: u16, area: u16) -> &[ComplexPart] {
        self.complex.get(&(period, area)).map_or(&[], Vec::as_slice)
    }

    /// Adds up what the next families and complex orders earn at `prices`; returns whether all are in.
    pub(super) fn add_surpluses(
        &self,
        surpluses: &mut Surpluses,
        book: &AuctionBook,
        outcome: &Outcome,
        prices: &[i64],
    ) -> bool {
        if surpluses.next_block < outcome.blocks.len() {
            self.add_families(surpluses, book, outcome, prices);
            return false;
        }
        self.add_complex(surpluses, book, outcome, prices)
    }

    fn trade(&mut self, cell: usize, side: Side, lots: i64) {
        let traded = &mut self.traded[cell];
        match side {
            Side::Buy => {
                traded.bought += i128::from(lots);
                self.bought += i128::from(lots);
            }
            Side::Sell => traded.sold += i128::from(lots),
        }
    }

    /// Accepts blocks from one on; returns where to go on.
    fn accept_blocks(
        &mut self,
        book: &AuctionBook,
        outcome: &Outcome,
        mut next: usize,
        breaks: &mut Vec<Break>,
    ) -> Option<usize> {
        let areas = book.frame().areas.len();
        let mut left = POINTS_PER_UNIT;
        while let Some(&(block, ratio)) = outcome.blocks.get(next) {
            let before = next.checked_sub(1).and_then(|it| outcome.blocks.get(it)).map(|it| it.0);
            let in_order = before.is_none_or(|it| it < block);
            next += 1;
            let Some(order) = book.block(block).filter(|_| in_order) else {
                breaks.push(Break::UnknownOrder { order: Order::Block(block) });
                continue;
            };
            if ratio < order.ratio_min.max(1) || ratio > RATIO_UNIT {
                breaks.push(Break::Ratio { block, ratio });
                continue;
            }
            self.ratios.insert(block, ratio);
            for &(period, lots) in &order.quantity {
                let lots = accepted(lots, ratio);
                if lots == 0 {
                    breaks.push(Break::EmptyPeriod { block, period });
                }
                self.value -= i128::from(order.side.sign()) * i128::from(order.price) * i128::from(lots);
                self.trade(usize::from(period) * areas + usize::from(order.area), order.side, lots);
            }
            left = left.saturating_sub(1 + order.quantity.len());
            if left == 0 {
                return Some(next);
            }
        }
        None
    }

    fn check_ratios(&self, book: &AuctionBook, breaks: &mut Vec<Break>) {
        let mut groups: BTreeMap<u32, (u64, BlockHandle)> = BTreeMap::new();
        for (&block, &ratio) in &self.ratios {
            let Some(order) = book.block(block) else { continue };
            if let Some(parent) = order.parent
                && ratio > self.ratio(parent)
            {
                breaks.push(Break::BeyondParent { block });
            }
            if let Some(group) = order.group {
                let sum = groups.entry(group).or_insert((0, block));
                *sum = (sum.0 + u64::from(ratio), block);
            }
        }
        for (ratios, block) in groups.into_values() {
            if ratios > u64::from(RATIO_UNIT) {
                breaks.push(Break::GroupOverfull { block, ratios });
            }
        }
    }

    fn ratio(&self, block: BlockHandle) -> u32 {
        self.ratios.get(&block).copied().unwrap_or(0)
    }

    /// Adds what the next accepted blocks earn at `prices`; with the last one, every parent gets what
    /// its descendants earn. Returns whether all are in.
    fn add_families(
        &self,
        surpluses: &mut Surpluses,
        book: &AuctionBook,
        outcome: &Outcome,
        prices: &[i64],
    ) -> bool {
        let Surpluses { next_block, families, children, .. } = surpluses;
        let mut left = POINTS_PER_UNIT;
        while let Some((block, _)) = outcome.blocks.get(*next_block) {
            if left == 0 {
                return false;
            }
            *next_block += 1;
            let (Some(&ratio), Some(order)) = (self.ratios.get(block), book.block(*block)) else { continue };
            if families.insert(*block, block_surplus(book, prices, order, ratio)).is_none()
                && let Some(parent) = order.parent
            {
                *children.entry(parent).or_default() += 1;
            }
            left = left.saturating_sub(1 + order.quantity.len());
        }
        // Leaves hand their sum up; a parent is a leaf once all of its children have.
        let mut leaves: Vec<BlockHandle> =
            families.keys().copied().filter(|it| !children.contains_key(it)).collect();
        while let Some(leaf) = leaves.pop() {
            let sum = families.get(&leaf).copied().unwrap_or(0);
            let Some(parent) = book.block(leaf).and_then(|it| it.parent) else { continue };
            let Some(of_parent) = families.get_mut(&parent) else { continue };
            *of_parent += sum;
            let Some(left) = children.get_mut(&parent) else { continue };
            *left -= 1;
            if *left == 0 {
                leaves.push(parent);
            }
        }
        true
    }

    /// Activates complex orders from one on; returns where to go on.
    fn activate(
        &mut self,
        book: &AuctionBook,
        outcome: &Outcome,
        mut next: usize,
        breaks: &mut Vec<Break>,
    ) -> Option<usize> {
        let areas = book.frame().areas.len();
        let mut left = POINTS_PER_UNIT;
        while let Some(fill) = outcome.complex.get(next) {
            let handle = fill.handle;
            let before = next.checked_sub(1).and_then(|it| outcome.complex.get(it)).map(|it| it.handle);
            let in_order = before.is_none_or(|it| it < handle);
            next += 1;
            let Some(order) = book.complex(handle).filter(|_| in_order) else {
                breaks.push(Break::UnknownOrder { order: Order::Complex(handle) });
                continue;
            };
            if fill.quantity.len() != order.curve.len() {
                breaks.push(Break::ComplexPeriods { order: handle });
                continue;
            }
            if !check_within_points(order, handle, &fill.quantity, breaks) {
                continue;
            }
            self.active.insert(handle);
            self.fixed += order.fixed;
            for (curve, &lots) in order.curve.iter().zip(&fill.quantity) {
                let value = merit_order_value(curve, order.side, lots);
                self.value -= i128::from(order.side.sign()) * value;
                self.trade(usize::from(curve.period) * areas + usize::from(order.area), order.side, lots);
                let part = ComplexPart { handle, side: order.side, lots, curve: curve.clone() };
                self.complex.entry((curve.period, order.area)).or_default().push(part);
            }
            left = left.saturating_sub(points_of(order));
            if left == 0 {
                return Some(next);
            }
        }
        None
    }

    /// Adds what the next active complex orders earn at `prices`; returns whether all are in.
    fn add_complex(
        &self,
        surpluses: &mut Surpluses,
        book: &AuctionBook,
        outcome: &Outcome,
        prices: &[i64],
    ) -> bool {
        let scale = i128::from(book.frame().welfare_scale);
        let mut left = POINTS_PER_UNIT;
        while let Some(fill) = outcome.complex.get(surpluses.next_complex) {
            if left == 0 {
                return false;
            }
            surpluses.next_complex += 1;
            let active = self.active.contains(&fill.handle);
            let Some(order) = book.complex(fill.handle).filter(|_| active) else { continue };
            let mut surplus = 0;
            for (curve, &lots) in order.curve.iter().zip(&fill.quantity) {
                let price = price_in(book, prices, curve.period, order.area);
                let paid = i128::from(price) * i128::from(lots);
                surplus +=
                    i128::from(order.side.sign()) * (paid - merit_order_value(curve, order.side, lots));
            }
            surpluses.complex.push((fill.handle, surplus * scale - order.fixed));
            left = left.saturating_sub(points_of(order));
        }
        true
    }

    /// What is said about rejected blocks, and what it is judged by.
    fn rejections(&self, book: &AuctionBook, outcome: &Outcome, breaks: &mut Vec<Break>) -> Rejections {
        let mut groups: BTreeMap<u32, u64> = BTreeMap::new();
        for (&block, &ratio) in &self.ratios {
            if let Some(group) = book.block(block).and_then(|it| it.group) {
                *groups.entry(group).or_default() += u64::from(ratio);
            }
        }
        Rejections {
            told: by_handle(&outcome.blocks_rejected, Order::Block, breaks),
            groups,
            parents: book.blocks().filter_map(|it| it.2.parent).collect(),
            next: 0,
        }
    }

    /// Checks the next rejected blocks; returns whether all are checked.
    fn check_rejected_blocks(
        &mut self,
        rejections: &mut Rejections,
        book: &AuctionBook,
        outcome: &Outcome,
        breaks: &mut Vec<Break>,
    ) -> bool {
        let mut left = POINTS_PER_UNIT;
        while rejections.next < book.block_handles() {
            if left == 0 {
                return false;
            }
            let block = BlockHandle(rejections.next);
            rejections.next += 1;
            let Some(order) = book.block(block) else { continue };
            left = left.saturating_sub(1 + order.quantity.len());
            self.check_rejected_block(block, order, rejections, book, outcome, breaks);
        }
        for block in rejections.told.keys().filter(|it| book.block(**it).is_none()) {
            breaks.push(Break::UnknownOrder { order: Order::Block(*block) });
        }
        true
    }

    fn check_rejected_block(
        &mut self,
        block: BlockHandle,
        order: &BlockOrder,
        rejections: &Rejections,
        book: &AuctionBook,
        outcome: &Outcome,
        breaks: &mut Vec<Break>,
    ) {
        let told = rejections.told.get(&block).copied();
        let handle = Order::Block(block);
        if !check_decided(handle, self.ratios.contains_key(&block), told.is_some(), breaks) {
            return;
        }
        let Some(told) = told else { return };
        let scale = i128::from(book.frame().welfare_scale);
        let is = block_surplus(book, &outcome.prices, order, RATIO_UNIT) * scale;
        if told.surplus != is {
            breaks.push(Break::RejectedSurplus { order: handle, told: told.surplus, is });
        }
        let parent_rejected = order.parent.is_some_and(|it| !self.ratios.contains_key(&it));
        let full = |group| rejections.groups.get(&group).is_some_and(|it| *it >= u64::from(RATIO_UNIT));
        let group_full = order.group.is_some_and(full);
        let possible = match told.reason {
            Rejection::OutOfTheMoney => is <= 0,
            Rejection::ParadoxicallyRejected => is > 0 && !parent_rejected && !group_full,
            Rejection::ParentRejected => is > 0 && parent_rejected,
            Rejection::GroupTaken => is > 0 && group_full,
            Rejection::LossOfFamily => {
                is > 0 && (order.parent.is_some() || rejections.parents.contains(&block))
            }
            Rejection::WorkLimit => is > 0 && outcome.bound > outcome.welfare,
        };
        if !possible {
            breaks.push(Break::RejectedReason { order: handle, told: told.reason });
        }
        if is > 0 && !parent_rejected && !group_full {
            self.paradoxically_rejected.push((block, is));
        }
    }

    /// Checks inactive complex orders from one on; returns where to go on.
    fn check_rejected_complex(
        &self,
        rejected: &BTreeMap<ComplexHandle, Rejected<ComplexHandle>>,
        mut next: u32,
        book: &AuctionBook,
        outcome: &Outcome,
        breaks: &mut Vec<Break>,
    ) -> Option<u32> {
        let scale = i128::from(book.frame().welfare_scale);
        let mut left = POINTS_PER_UNIT;
        while next < book.complex_handles() {
            if left == 0 {
                return Some(next);
            }
            let complex = ComplexHandle(next);
            next += 1;
            let Some(order) = book.complex(complex) else { continue };
            left = left.saturating_sub(points_of(order));
            let told = rejected.get(&complex).copied();
            let handle = Order::Complex(complex);
            if !check_decided(handle, self.active.contains(&complex), told.is_some(), breaks) {
                continue;
            }
            let Some(told) = told else { continue };
            let is = would_earn(book, outcome, order) * scale - order.fixed;
            if told.surplus != is {
                breaks.push(Break::RejectedSurplus { order: handle, told: told.surplus, is });
            }
            let possible = match told.reason {
                Rejection::OutOfTheMoney => is <= 0,
                Rejection::ParadoxicallyRejected => is > 0,
                Rejection::WorkLimit => is > 0 && outcome.bound > outcome.welfare,
                Rejection::ParentRejected | Rejection::GroupTaken | Rejection::LossOfFamily => false,
            };
            if !possible {
                breaks.push(Break::RejectedReason { order: handle, told: told.reason });
            }
        }
        for complex in rejected.keys().filter(|it| book.complex(**it).is_none()) {
            breaks.push(Break::UnknownOrder { order: Order::Complex(*complex) });
        }
        None
    }
}

impl Surpluses {
    /// Whether nobody loses.
    pub(super) fn all_whole(&self) -> bool {
        self.families.values().all(|it| *it >= 0) && self.complex.iter().all(|it| it.1 >= 0)
    }
}

/// A complex order's share of a unit of work.
fn points_of(order: &ComplexOrder) -> usize {
    order.curve.iter().map(|it| 1 + it.points.len()).sum()
}

/// No period trades less than nothing or more than all points: what follows relies on it.
fn check_within_points(
    order: &ComplexOrder,
    handle: ComplexHandle,
    quantity: &[i64],
    breaks: &mut Vec<Break>,
) -> bool {
    let broken_before = breaks.len();
    for (curve, &lots) in order.curve.iter().zip(quantity) {
        let (period, side) = (curve.period, order.side);
        let (least, most) = (curve.quantity_min, curve.points.iter().map(|it| it.quantity).sum());
        if lots < 0 || lots > most {
            breaks.push(Break::Quantity { order: Order::Complex(handle), period, side, lots, least, most });
        }
    }
    breaks.len() == broken_before
}

/// Lots of a block's period at a ratio, rounded down.
fn accepted(lots: i64, ratio: u32) -> i64 {
    let share = i128::from(lots) * i128::from(ratio) / i128::from(RATIO_UNIT);
    i64::try_from(share).unwrap_or(lots)
}

/// Prices in the layout of [`Outcome::prices`].
fn price_in(book: &AuctionBook, prices: &[i64], period: u16, area: u16) -> i64 {
    prices[usize::from(period) * book.frame().areas.len() + usize::from(area)]
}

/// What a block earns at a ratio; price ticks × lots.
fn block_surplus(book: &AuctionBook, prices: &[i64], order: &BlockOrder, ratio: u32) -> i128 {
    let earned = order.quantity.iter().map(|&(period, lots)| {
        let margin = i128::from(price_in(book, prices, period, order.area)) - i128::from(order.price);
        margin * i128::from(accepted(lots, ratio))
    });
    earned.sum::<i128>() * i128::from(order.side.sign())
}

/// Price × quantity over the first `lots` of a complex order's period, in merit order.
fn merit_order_value(curve: &ComplexPeriod, side: Side, lots: i64) -> i128 {
    let mut points: Vec<(i64, i64)> = curve.points.iter().map(|it| (it.price, it.quantity)).collect();
    points.sort_unstable();
    if side == Side::Buy {
        points.reverse();
    }
    let (mut value, mut left) = (0, lots);
    for (price, quantity) in points {
        let taken = quantity.min(left).max(0);
        value += i128::from(price) * i128::from(taken);
        left -= taken;
    }
    value
}

/// What a complex order would earn on its steps if it were active at the published prices.
fn would_earn(book: &AuctionBook, outcome: &Outcome, order: &ComplexOrder) -> i128 {
    let earned = order.curve.iter().map(|curve| {
        let price = price_at(book, outcome, curve.period, order.area);
        let (_, most) = stand::range(&curve.points, order.side, price);
        let lots = curve.quantity_min.max(most);
        i128::from(price) * i128::from(lots) - merit_order_value(curve, order.side, lots)
    });
    earned.sum::<i128>() * i128::from(order.side.sign())
}

/// The rejected by handle; one that stands out of order or twice is a break.
fn by_handle<H: Copy + Ord>(
    rejected: &[Rejected<H>],
    order: impl Fn(H) -> Order,
    breaks: &mut Vec<Break>,
) -> BTreeMap<H, Rejected<H>> {
    for pair in rejected.windows(2) {
        if let [before, after] = pair
            && before.handle >= after.handle
        {
            breaks.push(Break::UnknownOrder { order: order(after.handle) });
        }
    }
    rejected.iter().map(|it| (it.handle, *it)).collect()
}

/// Every order is decided exactly once. Returns whether it is.
fn check_decided(order: Order, accepted: bool, rejected: bool, breaks: &mut Vec<Break>) -> bool {
    match (accepted, rejected) {
        (true, true) => breaks.push(Break::DecidedTwice { order }),
        (false, false) => breaks.push(Break::Undecided { order }),
        (true, false) | (false, true) => return true,
    }
    false
}
