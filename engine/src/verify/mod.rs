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

use crate::auction::{BlockHandle, ComplexHandle, Shape, Side};
use crate::book::{AuctionBook, Cell, Ladders, Places, Rung, Span, key};
use crate::outcome::{Fill, Outcome};
use alloc::vec::Vec;
use decisions::{Decisions, Surpluses};
use network::{Network, Place};
use stand::{Linear, Near, Stand};

/// Points of curves, or periods of blocks, that one unit of work looks at.
const POINTS_PER_UNIT: usize = 512;

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
    let mut verification = Verification::start(book, outcome);
    while !verification.advance(book, outcome, u64::MAX) {}
    verification.finish(book, outcome)
}

fn check_shape(book: &AuctionBook, outcome: &Outcome, curves: usize, breaks: &mut Vec<Break>) {
    let frame = book.frame();
    let periods = usize::from(frame.periods);
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

/// Whose a part of a tie is: a curve order's, by its position in the cell, or a complex order's.
#[derive(Clone, Copy, Debug)]
enum Owner {
    Curve(u32),
    Complex(ComplexHandle),
}

/// One order's part of a tie.
#[derive(Clone, Copy, Debug)]
struct Part {
    owner: Owner,
    side: Side,
    accepted: i64,
    offered: i64,
}

/// The area and period at hand.
#[derive(Clone, Copy)]
struct At<'a> {
    cell: &'a Cell,
    period: u16,
}

impl At<'_> {
    fn order(&self, position: u32) -> Order {
        Order::Curve(self.cell.handle(position))
    }
}

/// What is looked at next.
#[derive(Debug)]
enum Stage {
    Decisions,
    Cell { period: u16, area: u16 },
    Network { period: u16 },
    Midpoints(Surpluses),
    Done,
}

/// A check of one result that advances in quanta, so that it never blocks the market.
///
/// The book and the outcome of all calls are those of [`Self::start`], unchanged. The same breaks are
/// found in the same order, however the work is cut.
#[derive(Debug)]
pub struct Verification {
    next: Stage,
    done: u64,
    places: Places,
    decisions: Decisions,
    network: Network,
    /// Parts of the ties of the cell at hand.
    shares: Vec<Part>,
    /// Mid-point prices, index `period * areas + area`; kept only if decisions may explain others.
    midpoints: Vec<i64>,
    /// Breaks known before the period at hand.
    broken_before: usize,
    /// Welfare in price ticks × lots, fixed terms apart.
    value: i128,
    bought: i128,
    breaks: Vec<Break>,
}

impl Verification {
    /// Starts. Only lengths and price bounds have been looked at.
    #[must_use]
    pub fn start(book: &AuctionBook, outcome: &Outcome) -> Self {
        let places = book.places();
        let mut breaks = Vec::new();
        check_shape(book, outcome, places.count(), &mut breaks);
        if breaks.is_empty() {
            check_price_bounds(book, outcome, &mut breaks);
        }
        Self {
            next: if breaks.is_empty() { Stage::Decisions } else { Stage::Done },
            done: 0,
            places,
            decisions: Decisions::default(),
            network: Network::new(book.frame()),
            shares: Vec::new(),
            midpoints: Vec::new(),
            broken_before: 0,
            value: 0,
            bought: 0,
            breaks,
        }
    }

    /// Works for about `units` units (at least one step, at most one step too many); returns whether
    /// all has been looked at.
    pub fn advance(&mut self, book: &AuctionBook, outcome: &Outcome, units: u64) -> bool {
        let until = self.done.saturating_add(units);
        loop {
            let cost = self.step(book, outcome);
            self.done += u64::try_from(cost).expect("an index fits a u64");
            if matches!(self.next, Stage::Done) {
                return true;
            }
            if self.done >= until {
                return false;
            }
        }
    }

    /// Units of work done.
    #[must_use]
    pub const fn done(&self) -> u64 {
        self.done
    }

    /// What the check has found; call after [`Self::advance`] has returned true.
    ///
    /// # Errors
    ///
    /// Every break.
    ///
    /// # Panics
    ///
    /// If something has not been looked at yet.
    pub fn finish(self, book: &AuctionBook, outcome: &Outcome) -> Result<Summary, Vec<Break>> {
        assert!(matches!(self.next, Stage::Done), "a verdict before the end of the check");
        if !self.breaks.is_empty() {
            return Err(self.breaks);
        }
        let welfare = self.welfare(book);
        let prices_off_midpoint = self.off_midpoint(outcome);
        let (bought, decisions) = (self.bought, self.decisions);
        Ok(Summary {
            bought,
            welfare,
            paradoxically_rejected: decisions.paradoxically_rejected,
            prices_off_midpoint,
        })
    }

    /// Looks at the next part; returns the units of work that it took.
    fn step(&mut self, book: &AuctionBook, outcome: &Outcome) -> usize {
        let frame = book.frame();
        match &mut self.next {
            Stage::Decisions => {
                if self.decisions.step(book, outcome, &mut self.breaks) {
                    (self.value, self.bought) = (self.decisions.value, self.decisions.bought);
                    self.broken_before = self.breaks.len();
                    self.next = self.following(book, outcome, 0);
                }
                1
            }
            Stage::Cell { period, area } => {
                let (period, area) = (*period, *area);
                if area == 0 {
                    book.touch(period);
                }
                self.place(book, outcome, period, area);
                let is_last = usize::from(area) + 1 == frame.areas.len();
                self.next =
                    if is_last { Stage::Network { period } } else { Stage::Cell { period, area: area + 1 } };
                1 + book.cell(period, area).points().len() / POINTS_PER_UNIT
            }
            Stage::Network { period } => {
                let period = *period;
                self.network(book, outcome, period);
                self.broken_before = self.breaks.len();
                self.next = self.following(book, outcome, period + 1);
                1 + frame.areas.len() + frame.lines.len()
            }
            Stage::Midpoints(surpluses) => {
                if self.decisions.add_surpluses(surpluses, book, outcome, &self.midpoints) {
                    let whole = surpluses.all_whole();
                    self.next = Stage::Done;
                    if whole {
                        self.break_midpoints(book, outcome);
                    }
                    self.check_welfare(book, outcome);
                }
                1
            }
            Stage::Done => 0,
        }
    }

    /// What comes once the periods before one have been looked at.
    fn following(&mut self, book: &AuctionBook, outcome: &Outcome, period: u16) -> Stage {
        let frame = book.frame();
        if period < frame.periods && !frame.areas.is_empty() {
            return Stage::Cell { period, area: 0 };
        }
        if self.off_midpoint(outcome) > 0 {
            return Stage::Midpoints(Surpluses::default());
        }
        self.check_welfare(book, outcome);
        Stage::Done
    }

    /// Everything that is traded in an area and period.
    fn place(&mut self, book: &AuctionBook, outcome: &Outcome, period: u16, area: u16) {
        let frame = book.frame();
        let price = price_at(book, outcome, period, area);
        let index = usize::from(period) * frame.areas.len() + usize::from(area);
        let (balance, own) = self.decisions.traded(index);
        let mut place = Place::new(price, frame.price_min, frame.price_max, balance, own);
        self.shares.clear();
        let at = At { cell: book.cell(period, area), period };
        let fills = &outcome.curves[self.places.of_cell(index)];
        match book.ladders(period) {
            Ladders::Narrow(rungs) => self.steps(at, rungs, fills, &mut place),
            Ladders::Wide(rungs) => self.steps(at, rungs, fills, &mut place),
        }
        if at.cell.linear_len() > 0 {
            self.linear(at, (frame.price_min, frame.price_max), fills, &mut place);
        }
        self.complex(period, area, &mut place);
        self.check_shares(book, at, &place);
        self.network.set_place(area, place);
    }

    /// The rules between the areas of a period.
    fn network(&mut self, book: &AuctionBook, outcome: &Outcome, period: u16) {
        let frame = book.frame();
        let lines = frame.lines.len();
        let flows = &outcome.flows[usize::from(period) * lines..][..lines];
        self.network.check_flows(frame, period, flows, &mut self.breaks);
        // What follows explains prices and shares by fills and flows: senseless if those are wrong.
        if self.breaks.len() > self.broken_before {
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

    /// Every step order of an area and period, and the places of orders that were taken out.
    fn steps<R: Rung>(&mut self, at: At<'_>, rungs: &[R], fills: &[Fill], place: &mut Place) {
        let mut buys = Plain::new(Side::Buy, place.price);
        let mut sells = Plain::new(Side::Sell, place.price);
        for (position, (span, fill)) in (0..).zip(at.cell.spans().iter().zip(fills)) {
            let (plain, own, other) = match span.shape() {
                _ if span.is_empty() => {
                    if *fill != Fill::default() {
                        self.breaks.push(Break::UnknownOrder { order: at.order(position) });
                    }
                    continue;
                }
                Shape::Step(Side::Buy) => (&mut buys, fill.bought, fill.sold),
                Shape::Step(Side::Sell) => (&mut sells, fill.sold, fill.bought),
                Shape::Linear => continue,
            };
            let (stand, near) = stand::step(&rungs[span.range()], plain.key);
            plain.near.better = plain.near.better.min(near.better);
            plain.near.worse = plain.near.worse.min(near.worse);
            if stand.tied == 0 && own == stand.beyond && other == 0 {
                plain.lots += own;
                plain.value += stand.value;
            } else {
                self.tied_step(at, position, plain.side, stand, [own, other], place);
            }
        }
        for plain in [buys, sells] {
            self.trade(plain.side, plain.value * i128::from(plain.side.sign()), plain.lots, place);
            narrow_by_steps(place, plain.side, plain.near);
        }
    }

    /// A step order with a tie, or a wrong one.
    fn tied_step(
        &mut self,
        at: At<'_>,
        position: u32,
        side: Side,
        mut stand: Stand,
        [own, other]: [i64; 2],
        place: &mut Place,
    ) {
        stand.value *= i128::from(side.sign());
        if self.take(at, position, side, stand, own, place) {
            // With none of the tie left it may be worse off, with none of it taken better.
            let worse = if own == stand.beyond + stand.tied { Near::NONE } else { 0 };
            let better = if own == stand.beyond { Near::NONE } else { 0 };
            narrow_by_steps(place, side, Near { better, worse });
        }
        if other != 0 {
            self.take(at, position, opposite(side), Stand::default(), other, place);
        }
    }

    /// Every linear order of an area and period.
    fn linear(&mut self, at: At<'_>, bounds: (i64, i64), fills: &[Fill], place: &mut Place) {
        let (price_min, price_max) = bounds;
        let is_linear = |span: &Span| span.shape() == Shape::Linear && !span.is_empty();
        for (position, (span, fill)) in (0..).zip(at.cell.spans().iter().zip(fills)) {
            if !is_linear(span) {
                continue;
            }
            let curve = Linear { points: &at.cell.points()[span.range()], price_min, price_max };
            let (buy, sell) = curve.stands(place.price);
            let (bought, sold) = (fill.bought, fill.sold);
            let buys_right = self.take(at, position, Side::Buy, buy, bought, place);
            let sells_right = self.take(at, position, Side::Sell, sell, sold, place);
            if buys_right && sells_right {
                place.narrow(
                    |price| curve.demand(price + 1) <= bought && curve.supply(price) >= sold,
                    |price| curve.demand(price) >= bought && curve.supply(price - 1) <= sold,
                );
            }
        }
    }

    /// Books what one side of a curve trades. Returns whether its price allows that.
    fn take(
        &mut self,
        at: At<'_>,
        position: u32,
        side: Side,
        stand: Stand,
        lots: i64,
        place: &mut Place,
    ) -> bool {
        let (least, most) = (stand.beyond, stand.beyond + stand.tied);
        // A trade out of range breaks a rule; its value must only not break the arithmetic.
        let value = stand.value + i128::from(place.price) * i128::from(lots.clamp(least, most) - least);
        self.trade(side, value, lots, place);
        if lots < least || lots > most {
            let (order, period) = (at.order(position), at.period);
            self.breaks.push(Break::Quantity { order, period, side, lots, least, most });
            return false;
        }
        if stand.tied > 0 {
            let (accepted, offered) = (lots - least, stand.tied);
            place.tie(side, accepted, offered);
            self.shares.push(Part { owner: Owner::Curve(position), side, accepted, offered });
        }
        true
    }

    /// Books lots of curves and their worth.
    fn trade(&mut self, side: Side, value: i128, lots: i64, place: &mut Place) {
        place.trade(side, lots.into());
        match side {
            Side::Buy => {
                self.value += value;
                self.bought += i128::from(lots);
            }
            Side::Sell => self.value -= value,
        }
    }

    /// Every active complex order of an area and period.
    fn complex(&mut self, period: u16, area: u16, place: &mut Place) {
        for part in self.decisions.complex_parts(period, area) {
            let order = Order::Complex(part.handle);
            let (least, most) = part.range(place.price);
            let (side, lots) = (part.side, part.lots);
            if lots < least || lots > most {
                self.breaks.push(Break::Quantity { order, period, side, lots, least, most });
                continue;
            }
            place.tie_decided(side, lots - least, most - least);
            if most > least {
                let (accepted, offered) = (lots - least, most - least);
                self.shares.push(Part { owner: Owner::Complex(part.handle), side, accepted, offered });
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
    fn check_shares(&mut self, book: &AuctionBook, at: At<'_>, place: &Place) {
        let period = at.period;
        let id = |part: &Part| match part.owner {
            Owner::Curve(position) => at.cell.order(position).id,
            Owner::Complex(handle) => book.complex_id(handle).unwrap_or_default().as_bytes(),
        };
        let order = |part: &Part| match part.owner {
            Owner::Curve(position) => at.order(position),
            Owner::Complex(handle) => Order::Complex(handle),
        };
        for side in [Side::Buy, Side::Sell] {
            let tie = place.tied(side);
            // Nothing or everything accepted leaves nothing to share.
            if tie.accepted <= 0 || tie.accepted >= tie.offered {
                continue;
            }
            let (total, offered) = (wide(tie.accepted), wide(tie.offered));
            let share = |part: &Part| {
                let product = total * wide(part.offered);
                (i64::try_from(product / offered).unwrap_or(i64::MAX), product % offered)
            };
            // Whether a lot that is left over goes to the first rather than to the second.
            let comes_before =
                |a: (u128, &Part), b: (u128, &Part)| b.0.cmp(&a.0).then_with(|| id(a.1).cmp(id(b.1))).is_lt();
            let (mut last_served, mut first_unserved) = (None, None);
            for part in self.shares.iter().filter(|it| it.side == side) {
                let (floor, remainder) = share(part);
                let turn = (remainder, part);
                if part.accepted == floor + 1 {
                    if last_served.is_none_or(|last| comes_before(last, turn)) {
                        last_served = Some(turn);
                    }
                } else if part.accepted == floor {
                    if first_unserved.is_none_or(|first| comes_before(turn, first)) {
                        first_unserved = Some(turn);
                    }
                } else {
                    let (order, lots) = (order(part), part.accepted);
                    self.breaks.push(Break::Share { order, period, lots, share: floor });
                }
            }
            if let (Some(served), Some(unserved)) = (last_served, first_unserved)
                && comes_before(unserved, served)
            {
                let (order, lots) = (order(unserved.1), unserved.1.accepted);
                self.breaks.push(Break::Share { order, period, lots, share: lots + 1 });
            }
        }
    }

    /// How many prices lie off the mid-points; where there are no decisions, each of them has been
    /// found broken.
    fn off_midpoint(&self, outcome: &Outcome) -> u32 {
        if self.midpoints.len() != outcome.prices.len() {
            return 0;
        }
        let off = outcome.prices.iter().zip(&self.midpoints).filter(|(price, mid)| price != mid);
        u32::try_from(off.count()).unwrap_or(u32::MAX)
    }

    /// Where accepted blocks and complex orders are all whole at the mid-points, those are the
    /// prices.
    fn break_midpoints(&mut self, book: &AuctionBook, outcome: &Outcome) {
        let areas = book.frame().areas.len();
        for (index, (price, midpoint)) in (0..).zip(outcome.prices.iter().zip(&self.midpoints)) {
            let cell = (u16::try_from(index / areas), u16::try_from(index % areas));
            if let (true, (Ok(period), Ok(area))) = (price != midpoint, cell) {
                let (price, least, greatest) = (*price, *midpoint, *midpoint);
                self.breaks.push(Break::MidPoint { area, period, price, least, greatest });
            }
        }
    }

    /// Welfare, recomputed; on the welfare grid.
    fn welfare(&self, book: &AuctionBook) -> i128 {
        self.value * i128::from(book.frame().welfare_scale) - self.decisions.fixed
    }

    fn check_welfare(&mut self, book: &AuctionBook, outcome: &Outcome) {
        let (told, bound, welfare) = (outcome.welfare, outcome.bound, self.welfare(book));
        if told != welfare {
            self.breaks.push(Break::Welfare { told, is: welfare });
        }
        // Curves that stand right at prices that fit the flows have the greatest welfare there is.
        let proven = book.blocks().next().is_none() && book.complex_orders().next().is_none();
        if bound < welfare || (proven && bound != welfare) {
            self.breaks.push(Break::Bound { bound, welfare });
        }
    }
}

/// The step orders of one side of an area that trade what they must and have no tie, together.
#[derive(Clone, Copy)]
struct Plain {
    side: Side,
    /// Of the clearing price.
    key: i64,
    lots: i64,
    /// Σ key × lots of what trades.
    value: i128,
    /// The nearest points of all step orders of the side.
    near: Near,
}

impl Plain {
    fn new(side: Side, price: i64) -> Self {
        let near = Near { better: Near::NONE, worse: Near::NONE };
        Self { side, key: key(side, price), lots: 0, value: 0, near }
    }
}

/// Narrows the feasible prices of a place to those at which trades stay right: at worse prices down to
/// the next worse point, at better ones up to the next better point.
fn narrow_by_steps(place: &mut Place, side: Side, near: Near) {
    let limit = |ticks| (ticks != Near::NONE).then_some(ticks);
    match side {
        Side::Buy => place.narrow_to(limit(near.worse), limit(near.better)),
        Side::Sell => place.narrow_to(limit(near.better), limit(near.worse)),
    }
}

const fn opposite(side: Side) -> Side {
    match side {
        Side::Buy => Side::Sell,
        Side::Sell => Side::Buy,
    }
}

/// A quantity known to be ≥ 0.
fn wide(lots: i64) -> u128 {
    u128::try_from(lots).unwrap_or(0)
}
