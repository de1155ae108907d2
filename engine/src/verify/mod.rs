//! The independent judge: re-checks a result against the orders, rule by rule, in exact integers.
//!
//! It imports nothing from clearing, reads the orders point by point and trusts no aggregate. What
//! it checks is the format page whole, except that it does not look for better block and complex
//! decisions, nor for the least step beside the mid-point where somebody would lose at it.

mod breaks;
mod decisions;
mod network;
mod stand;

pub use breaks::{Break, Order};

use crate::auction::{BlockHandle, CurveHandle, Shape, Side};
use crate::book::{AuctionBook, Cell};
use crate::outcome::{Fill, Outcome};
use alloc::vec::Vec;
use decisions::Decisions;
use network::{Network, Place};
use stand::{Linear, Near, Stand};

/// What a result that breaks no rule amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lots bought, over all areas and periods.
    pub bought: i128,
    /// Welfare, recomputed; on the welfare grid.
    pub welfare: i128,
    /// Rejected blocks that would have earned at the published prices although their parent is
    /// accepted and their group has room, with that surplus; grid units of welfare.
    pub paradoxically_rejected: Vec<(BlockHandle, i128)>,
    /// Prices off the mid-point, so that every accepted block and complex order is whole.
    pub prices_off_midpoint: u32,
}

/// Checks every rule of the format page, ties included, in exact integers.
///
/// # Errors
///
/// Every break found, in a fixed order. Ties of a period are looked at only if nothing else is
/// broken in it.
pub fn verify(book: &AuctionBook, outcome: &Outcome) -> Result<Summary, Vec<Break>> {
    let mut breaks = Vec::new();
    check_shape(book, outcome, &mut breaks);
    if breaks.is_empty() {
        check_price_bounds(book, outcome, &mut breaks);
    }
    if !breaks.is_empty() {
        return Err(breaks);
    }
    let decisions = Decisions::check(book, outcome, &mut breaks);
    let mut judge = Judge {
        book,
        outcome,
        decisions: &decisions,
        network: Network::new(book.frame()),
        shares: Vec::new(),
        midpoints: Vec::new(),
        fills: 0,
        value: decisions.value,
        bought: decisions.bought,
        breaks,
    };
    let frame = book.frame();
    for period in 0..frame.periods {
        judge.period(period);
    }
    judge.check_fills_of_nobody();
    let off_midpoint = judge.check_midpoints();
    let welfare = judge.value * i128::from(frame.welfare_scale) - decisions.fixed;
    judge.check_welfare(welfare);
    let Judge { breaks, bought, .. } = judge;
    if !breaks.is_empty() {
        return Err(breaks);
    }
    let paradoxically_rejected = decisions.paradoxically_rejected;
    Ok(Summary { bought, welfare, paradoxically_rejected, prices_off_midpoint: off_midpoint })
}

fn check_shape(book: &AuctionBook, outcome: &Outcome, breaks: &mut Vec<Break>) {
    let frame = book.frame();
    let periods = usize::from(frame.periods);
    let curves = usize::try_from(book.curve_handles()).unwrap_or(usize::MAX);
    for (list, have, want) in [
        ("prices", outcome.prices.len(), periods * frame.areas.len()),
        ("flows", outcome.flows.len(), periods * frame.lines.len()),
        ("curves", outcome.curves.len(), curves),
    ] {
        if have != want {
            breaks.push(Break::Shape { list, have, want });
        }
    }
    for line in &frame.lines {
        let (forward, back) = (line.capacity.len(), line.capacity_back.len());
        let (list, want) = ("capacities of a line", periods);
        if let Some(have) = [forward, back].into_iter().find(|it| *it != want) {
            breaks.push(Break::Shape { list, have, want });
        }
    }
}

fn check_price_bounds(book: &AuctionBook, outcome: &Outcome, breaks: &mut Vec<Break>) {
    let frame = book.frame();
    for period in 0..frame.periods {
        for (area, _) in (0..).zip(&frame.areas) {
            let price = price_at(book, outcome, period, area);
            if price < frame.price_min || price > frame.price_max {
                breaks.push(Break::PriceOutOfBounds { area, period, price });
            }
        }
    }
}

/// The published price of an area and period.
fn price_at(book: &AuctionBook, outcome: &Outcome, period: u16, area: u16) -> i64 {
    outcome.prices[usize::from(period) * book.frame().areas.len() + usize::from(area)]
}

/// One order's part of a tie.
#[derive(Clone, Copy, Debug)]
struct Part<'a> {
    order: Order,
    id: &'a str,
    side: Side,
    accepted: i64,
    offered: i64,
}

/// A curve order while it is looked at.
#[derive(Clone, Copy, Debug)]
struct Trader<'a> {
    order: Order,
    id: &'a str,
    period: u16,
}

/// The check of one result, as far as it has come.
struct Judge<'a> {
    book: &'a AuctionBook,
    outcome: &'a Outcome,
    decisions: &'a Decisions,
    network: Network,
    /// Parts of the ties of the cell at hand.
    shares: Vec<Part<'a>>,
    /// Mid-point prices, index `period * areas + area`; kept only if decisions may explain others.
    midpoints: Vec<i64>,
    /// Fills other than nothing that belong to orders of the book.
    fills: usize,
    /// Welfare in price ticks × lots, fixed terms apart.
    value: i128,
    bought: i128,
    breaks: Vec<Break>,
}

impl<'a> Judge<'a> {
    fn period(&mut self, period: u16) {
        let broken_before = self.breaks.len();
        let book = self.book;
        let frame = book.frame();
        for (area, _) in (0..).zip(&frame.areas) {
            let price = price_at(book, self.outcome, period, area);
            let (balance, own) = self.decisions.traded(period, area);
            let mut place = Place::new(price, frame.price_min, frame.price_max, balance, own);
            self.shares.clear();
            self.cell(period, book.cell(period, area), &mut place);
            self.complex(period, area, &mut place);
            self.check_shares(period, &mut place);
            self.network.set_place(area, place);
        }
        let lines = frame.lines.len();
        let flows = &self.outcome.flows[usize::from(period) * lines..][..lines];
        self.network.check_flows(frame, period, flows, &mut self.breaks);
        // What follows explains prices and shares by fills and flows: senseless if those are wrong.
        if self.breaks.len() > broken_before {
            return;
        }
        self.network.check_ties(frame, period, &mut self.breaks);
        for (area, (price, least, greatest)) in (0..).zip(self.network.price_ranges()) {
            let midpoint = (least + greatest + 1).div_euclid(2);
            if self.decisions.any() {
                self.midpoints.push(midpoint);
            } else if price != midpoint {
                self.breaks.push(Break::MidPoint { area, period, price, least, greatest });
            }
        }
    }

    /// Every curve order of an area and period.
    fn cell(&mut self, period: u16, cell: &'a Cell, place: &mut Place) {
        let (price_min, price_max) = (self.book.frame().price_min, self.book.frame().price_max);
        for order in cell.orders() {
            let slot = usize::try_from(order.handle.0).unwrap_or(usize::MAX);
            let fill = self.outcome.curves.get(slot).copied().unwrap_or_default();
            self.fills += usize::from(fill != Fill::default());
            let trader = Trader { order: Order::Curve(order.handle), id: order.id, period };
            match order.shape {
                Shape::Step(side) => {
                    let (stand, near) = stand::step(order.points, side, place.price);
                    let (own, other, other_side) = match side {
                        Side::Buy => (fill.bought, fill.sold, Side::Sell),
                        Side::Sell => (fill.sold, fill.bought, Side::Buy),
                    };
                    if self.take(trader, side, stand, own, place) {
                        narrow_by_step(place, side, stand, near, own);
                    }
                    if other != 0 {
                        self.take(trader, other_side, Stand::default(), other, place);
                    }
                }
                Shape::Linear => {
                    let curve = Linear { points: order.points, price_min, price_max };
                    let (buy, sell) = curve.stands(place.price);
                    let (bought, sold) = (fill.bought, fill.sold);
                    let buys_right = self.take(trader, Side::Buy, buy, bought, place);
                    let sells_right = self.take(trader, Side::Sell, sell, sold, place);
                    if buys_right && sells_right {
                        place.narrow(
                            |price| curve.demand(price + 1) <= bought && curve.supply(price) >= sold,
                            |price| curve.demand(price) >= bought && curve.supply(price - 1) <= sold,
                        );
                    }
                }
            }
        }
    }

    /// Books what one side of a curve trades. Returns whether its price allows that.
    fn take(&mut self, trader: Trader<'a>, side: Side, stand: Stand, lots: i64, place: &mut Place) -> bool {
        let Trader { order, id, period } = trader;
        let (least, most) = (stand.beyond, stand.beyond + stand.tied);
        // A trade out of range breaks a rule; its value must only not break the arithmetic.
        let value = stand.value + i128::from(place.price) * i128::from(lots.clamp(least, most) - least);
        place.trade(side, lots.into());
        match side {
            Side::Buy => {
                self.value += value;
                self.bought += i128::from(lots);
            }
            Side::Sell => self.value -= value,
        }
        if lots < least || lots > most {
            self.breaks.push(Break::Quantity { order, period, side, lots, least, most });
            return false;
        }
        if stand.tied > 0 {
            let (accepted, offered) = (lots - least, stand.tied);
            place.tie(side, accepted, offered);
            self.shares.push(Part { order, id, side, accepted, offered });
        }
        true
    }

    /// Every active complex order of an area and period.
    fn complex(&mut self, period: u16, area: u16, place: &mut Place) {
        let decisions = self.decisions;
        for part in decisions.complex_parts(period, area) {
            let order = Order::Complex(part.handle);
            let (least, most) = part.range(place.price);
            let (side, lots) = (part.side, part.lots);
            if lots < least || lots > most {
                self.breaks.push(Break::Quantity { order, period, side, lots, least, most });
                continue;
            }
            place.tie_decided(side, lots - least, most - least);
            if most > least {
                let id = self.book.complex_id(part.handle).unwrap_or_default();
                let (accepted, offered) = (lots - least, most - least);
                self.shares.push(Part { order, id, side, accepted, offered });
            }
            match side {
                Side::Buy => {
                    place.narrow(|price| part.range(price).0 <= lots, |price| part.range(price).1 >= lots)
                }
                Side::Sell => {
                    place.narrow(|price| part.range(price).1 >= lots, |price| part.range(price).0 <= lots)
                }
            }
        }
    }

    /// Each order of a tie gets its pro-rata share, lots left over by largest remainder, then by id.
    fn check_shares(&mut self, period: u16, place: &mut Place) {
        for side in [Side::Buy, Side::Sell] {
            let tie = place.tied(side);
            // Nothing or everything accepted leaves nothing to share.
            if tie.accepted <= 0 || tie.accepted >= tie.offered {
                continue;
            }
            let (total, offered) = (wide(tie.accepted), wide(tie.offered));
            let share = |part: &Part<'a>| {
                let product = total * wide(part.offered);
                let floor = i64::try_from(product / offered).unwrap_or(i64::MAX);
                // Ascending order is the order in which lots left over are handed out.
                (floor, (u128::MAX - product % offered, part.id))
            };
            let mut last_served = None;
            let mut first_unserved: Option<((u128, &str), &Part<'a>, i64)> = None;
            for part in self.shares.iter().filter(|it| it.side == side) {
                let (floor, turn) = share(part);
                if part.accepted == floor + 1 {
                    last_served = last_served.max(Some(turn));
                } else if part.accepted == floor {
                    if first_unserved.is_none_or(|it| turn < it.0) {
                        first_unserved = Some((turn, part, floor));
                    }
                } else {
                    let (order, lots) = (part.order, part.accepted);
                    self.breaks.push(Break::Share { order, period, lots, share: floor });
                }
            }
            if let (Some(served), Some((unserved, part, floor))) = (last_served, first_unserved)
                && unserved < served
            {
                let (order, lots) = (part.order, part.accepted);
                self.breaks.push(Break::Share { order, period, lots, share: floor + 1 });
            }
        }
    }

    /// Every fill belongs to an order of the book.
    fn check_fills_of_nobody(&mut self) {
        let fills = self.outcome.curves.iter().filter(|it| **it != Fill::default()).count();
        if fills == self.fills {
            return;
        }
        for (handle, fill) in (0..).map(CurveHandle).zip(&self.outcome.curves) {
            if *fill != Fill::default() && self.book.curve(handle).is_none() {
                self.breaks.push(Break::UnknownOrder { order: Order::Curve(handle) });
            }
        }
    }

    /// Where accepted blocks and complex orders are all whole at the mid-points, those are the
    /// prices. Returns how many prices lie elsewhere.
    fn check_midpoints(&mut self) -> u32 {
        let prices = &self.outcome.prices;
        if self.midpoints.len() != prices.len() {
            return 0;
        }
        let off = (0..).zip(prices.iter().zip(&self.midpoints)).filter(|(_, (price, mid))| price != mid);
        let count = u32::try_from(off.clone().count()).unwrap_or(u32::MAX);
        if count > 0 && self.decisions.all_whole_at(self.book, self.outcome, &self.midpoints) {
            let areas = self.book.frame().areas.len();
            for (index, (price, midpoint)) in off {
                let cell = (u16::try_from(index / areas), u16::try_from(index % areas));
                let (Ok(period), Ok(area)) = cell else { continue };
                let (price, least, greatest) = (*price, *midpoint, *midpoint);
                self.breaks.push(Break::MidPoint { area, period, price, least, greatest });
            }
        }
        count
    }

    fn check_welfare(&mut self, welfare: i128) {
        let (told, bound) = (self.outcome.welfare, self.outcome.bound);
        if told != welfare {
            self.breaks.push(Break::Welfare { told, is: welfare });
        }
        // Curves that stand right at prices that fit the flows have the greatest welfare there is.
        let proven = self.book.blocks().next().is_none() && self.book.complex_orders().next().is_none();
        if bound < welfare || (proven && bound != welfare) {
            self.breaks.push(Break::Bound { bound, welfare });
        }
    }
}

/// Narrows the feasible prices of a place to those at which a step order's trade stays right.
fn narrow_by_step(place: &mut Place, side: Side, stand: Stand, near: Near, lots: i64) {
    // With all of the tie taken, the order is as content at worse prices down to its next worse
    // point; with none of it, at better prices up to its next better point.
    let towards_worse = if lots == stand.beyond + stand.tied { near.worse } else { Some(0) };
    let towards_better = if lots == stand.beyond { near.better } else { Some(0) };
    match side {
        Side::Buy => place.narrow_to(towards_worse, towards_better),
        Side::Sell => place.narrow_to(towards_better, towards_worse),
    }
}

/// A quantity known to be ≥ 0.
fn wide(lots: i64) -> u128 {
    u128::try_from(lots).unwrap_or(0)
}
