//! Blocks and complex orders: ratios, families, groups, surpluses, and the reasons of the rejected.

use super::network::Traded;
use super::stand;
use super::{Break, Order, price_at};
use crate::auction::{BlockHandle, BlockOrder, ComplexHandle, ComplexOrder, ComplexPeriod, Side};
use crate::book::AuctionBook;
use crate::limits::RATIO_UNIT;
use crate::outcome::{Outcome, Rejected, Rejection};
use alloc::collections::{BTreeMap, BTreeSet};
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
        let (stand, _) = stand::step(&self.curve.points, self.side, price);
        let least = self.curve.quantity_min;
        (least.max(stand.beyond), least.max(stand.beyond + stand.tied))
    }
}

/// What the decisions of a result trade, cost and say.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    /// Welfare of accepted blocks and active complex orders in price ticks × lots, fixed terms apart.
    pub(super) value: i128,
    /// Fixed terms of active complex orders, grid units of welfare.
    pub(super) fixed: i128,
    /// Lots bought.
    pub(super) bought: i128,
    pub(super) paradoxically_rejected: Vec<(BlockHandle, i128)>,
    /// Ratio of every accepted block.
    ratios: BTreeMap<BlockHandle, u32>,
    /// By (period, area).
    traded: BTreeMap<(u16, u16), Traded>,
    complex: BTreeMap<(u16, u16), Vec<ComplexPart>>,
    active: BTreeSet<ComplexHandle>,
}

impl Decisions {
    pub(super) fn check(book: &AuctionBook, outcome: &Outcome, breaks: &mut Vec<Break>) -> Self {
        let mut decisions = Self::default();
        decisions.accept_blocks(book, outcome, breaks);
        decisions.check_ratios(book, breaks);
        for (block, surplus) in decisions.families(book, &outcome.prices) {
            if surplus < 0 {
                breaks.push(Break::ParadoxicallyAccepted { block, surplus });
            }
        }
        decisions.activate(book, outcome, breaks);
        for (order, surplus) in decisions.complex_surpluses(book, outcome, &outcome.prices) {
            if surplus < 0 {
                breaks.push(Break::ActiveAtALoss { order, surplus });
            }
        }
        decisions.check_rejected_blocks(book, outcome, breaks);
        decisions.check_rejected_complex(book, outcome, breaks);
        decisions
    }

    /// Whether any block or complex order is accepted.
    pub(super) fn any(&self) -> bool {
        !self.ratios.is_empty() || !self.active.is_empty()
    }

    /// What blocks and complex orders trade in an area and period: bought less sold, and each.
    pub(super) fn traded(&self, period: u16, area: u16) -> (i128, Traded) {
        if self.traded.is_empty() {
            return (0, Traded::default());
        }
        let traded = self.traded.get(&(period, area)).copied().unwrap_or_default();
        (traded.bought - traded.sold, traded)
    }

    /// The active complex orders of an area and period.
    pub(super) fn complex_parts(&self, period: u16, area: u16) -> &[ComplexPart] {
        self.complex.get(&(period, area)).map_or(&[], Vec::as_slice)
    }

    /// Whether every accepted family and every active complex order is whole at `prices`.
    pub(super) fn all_whole_at(&self, book: &AuctionBook, outcome: &Outcome, prices: &[i64]) -> bool {
        self.families(book, prices).values().all(|it| *it >= 0)
            && self.complex_surpluses(book, outcome, prices).iter().all(|it| it.1 >= 0)
    }

    fn trade(&mut self, side: Side, period: u16, area: u16, lots: i64) {
        let traded = self.traded.entry((period, area)).or_default();
        match side {
            Side::Buy => {
                traded.bought += i128::from(lots);
                self.bought += i128::from(lots);
            }
            Side::Sell => traded.sold += i128::from(lots),
        }
    }

    fn accept_blocks(&mut self, book: &AuctionBook, outcome: &Outcome, breaks: &mut Vec<Break>) {
        let mut before = None;
        for &(block, ratio) in &outcome.blocks {
            let in_order = before.is_none_or(|it| it < block);
            before = Some(block);
            if !in_order {
                breaks.push(Break::UnknownOrder { order: Order::Block(block) });
                continue;
            }
            let Some(order) = book.block(block) else {
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
                self.trade(order.side, period, order.area, lots);
            }
        }
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

    /// Surplus of every accepted block with its accepted descendants at `prices`; price ticks × lots.
    fn families(&self, book: &AuctionBook, prices: &[i64]) -> BTreeMap<BlockHandle, i128> {
        let mut surplus = BTreeMap::new();
        let mut children: BTreeMap<BlockHandle, usize> = BTreeMap::new();
        for (&block, &ratio) in &self.ratios {
            let Some(order) = book.block(block) else { continue };
            surplus.insert(block, block_surplus(book, prices, order, ratio));
            if let Some(parent) = order.parent {
                *children.entry(parent).or_default() += 1;
            }
        }
        // Leaves hand their sum up; a parent is a leaf once all of its children have.
        let mut leaves: Vec<BlockHandle> =
            surplus.keys().copied().filter(|it| !children.contains_key(it)).collect();
        while let Some(leaf) = leaves.pop() {
            let sum = surplus.get(&leaf).copied().unwrap_or(0);
            let Some(parent) = book.block(leaf).and_then(|it| it.parent) else { continue };
            let Some(of_parent) = surplus.get_mut(&parent) else { continue };
            *of_parent += sum;
            let Some(left) = children.get_mut(&parent) else { continue };
            *left -= 1;
            if *left == 0 {
                leaves.push(parent);
            }
        }
        surplus
    }

    fn activate(&mut self, book: &AuctionBook, outcome: &Outcome, breaks: &mut Vec<Break>) {
        let mut before = None;
        for fill in &outcome.complex {
            let handle = fill.handle;
            let in_order = before.is_none_or(|it| it < handle);
            before = Some(handle);
            if !in_order {
                breaks.push(Break::UnknownOrder { order: Order::Complex(handle) });
                continue;
            }
            let Some(order) = book.complex(handle) else {
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
                self.trade(order.side, curve.period, order.area, lots);
                let part = ComplexPart { handle, side: order.side, lots, curve: curve.clone() };
                self.complex.entry((curve.period, order.area)).or_default().push(part);
            }
        }
    }

    /// What every active complex order earns beyond its fixed term; grid units of welfare.
    fn complex_surpluses(
        &self,
        book: &AuctionBook,
        outcome: &Outcome,
        prices: &[i64],
    ) -> Vec<(ComplexHandle, i128)> {
        let scale = i128::from(book.frame().welfare_scale);
        let surplus_of = |order: &ComplexOrder, quantity: &[i64]| {
            let mut surplus = 0;
            for (curve, &lots) in order.curve.iter().zip(quantity) {
                let price = price_in(book, prices, curve.period, order.area);
                let paid = i128::from(price) * i128::from(lots);
                surplus +=
                    i128::from(order.side.sign()) * (paid - merit_order_value(curve, order.side, lots));
            }
            surplus * scale - order.fixed
        };
        let active = outcome.complex.iter().filter(|it| self.active.contains(&it.handle));
        active
            .filter_map(|it| Some((it.handle, surplus_of(book.complex(it.handle)?, &it.quantity))))
            .collect()
    }

    fn check_rejected_blocks(&mut self, book: &AuctionBook, outcome: &Outcome, breaks: &mut Vec<Break>) {
        let rejected = by_handle(&outcome.blocks_rejected, Order::Block, breaks);
        let mut groups: BTreeMap<u32, u64> = BTreeMap::new();
        for (&block, &ratio) in &self.ratios {
            if let Some(group) = book.block(block).and_then(|it| it.group) {
                *groups.entry(group).or_default() += u64::from(ratio);
            }
        }
        let scale = i128::from(book.frame().welfare_scale);
        let has_children: BTreeSet<BlockHandle> = book.blocks().filter_map(|it| it.2.parent).collect();
        for (block, _, order) in book.blocks() {
            let told = rejected.get(&block).copied();
            let handle = Order::Block(block);
            if !check_decided(handle, self.ratios.contains_key(&block), told.is_some(), breaks) {
                continue;
            }
            let Some(told) = told else { continue };
            let is = block_surplus(book, &outcome.prices, order, RATIO_UNIT) * scale;
            if told.surplus != is {
                breaks.push(Break::RejectedSurplus { order: handle, told: told.surplus, is });
            }
            let parent_rejected = order.parent.is_some_and(|it| !self.ratios.contains_key(&it));
            let full = |group| groups.get(&group).is_some_and(|it| *it >= u64::from(RATIO_UNIT));
            let group_full = order.group.is_some_and(full);
            let possible = match told.reason {
                Rejection::OutOfTheMoney => is <= 0,
                Rejection::ParadoxicallyRejected => is > 0 && !parent_rejected && !group_full,
                Rejection::ParentRejected => is > 0 && parent_rejected,
                Rejection::GroupTaken => is > 0 && group_full,
                Rejection::LossOfFamily => {
                    is > 0 && (order.parent.is_some() || has_children.contains(&block))
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
        for block in rejected.into_keys().filter(|it| book.block(*it).is_none()) {
            breaks.push(Break::UnknownOrder { order: Order::Block(block) });
        }
    }

    fn check_rejected_complex(&self, book: &AuctionBook, outcome: &Outcome, breaks: &mut Vec<Break>) {
        let rejected = by_handle(&outcome.complex_rejected, Order::Complex, breaks);
        let scale = i128::from(book.frame().welfare_scale);
        for (complex, _, order) in book.complex_orders() {
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
        for complex in rejected.into_keys().filter(|it| book.complex(*it).is_none()) {
            breaks.push(Break::UnknownOrder { order: Order::Complex(complex) });
        }
    }
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
        let (stand, _) = stand::step(&curve.points, order.side, price);
        let lots = curve.quantity_min.max(stand.beyond + stand.tied);
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
