//! What a result means for each order: quantities and reasons.

use super::curves::{self, Bounds};
use super::orders::{Kind, LumpyPlace, Order, SealedBook};
use crate::auction::{Shape, Side};
use crate::book::{AuctionBook, Places};
use crate::command::OrderBody;
use crate::event::{AuctionInfo, PeriodFill, Reason};
use crate::limits::RATIO_UNIT;
use crate::outcome::Outcome;
use alloc::vec::Vec;

/// What an order trades in one of its periods.
#[derive(Clone, Copy, Debug)]
struct Trade {
    period: u16,
    bought: i64,
    sold: i64,
}

const fn of_side(period: u16, side: Side, lots: i64) -> Trade {
    match side {
        Side::Buy => Trade { period, bought: lots, sold: 0 },
        Side::Sell => Trade { period, bought: 0, sold: lots },
    }
}

/// Accepted ratio of a block, millionths; 0 if it is rejected.
fn ratio(place: LumpyPlace, outcome: &Outcome) -> u32 {
    let LumpyPlace::Block(handle) = place else { return 0 };
    let found = outcome.blocks.binary_search_by_key(&handle, |it| it.0);
    found.map_or(0, |at| outcome.blocks[at].1)
}

/// Accepted part of a block's quantity: rounded down, at least one lot.
fn accepted(lots: i64, ratio: u32) -> i64 {
    if ratio == 0 {
        return 0;
    }
    let part = i128::from(lots) * i128::from(ratio) / i128::from(RATIO_UNIT);
    i64::try_from(part).expect("no more than the quantity").max(1)
}

/// Hands what a block or complex order trades to `take`: (entry, trade) for each of its periods, in their
/// order.
fn each_trade(place: LumpyPlace, body: &OrderBody, outcome: &Outcome, mut take: impl FnMut(usize, Trade)) {
    match (body, place) {
        (OrderBody::Block { side, quantity, .. }, _) => {
            let ratio = ratio(place, outcome);
            for (entry, (period, lots)) in quantity.iter().enumerate() {
                take(entry, of_side(*period, *side, accepted(*lots, ratio)));
            }
        }
        (OrderBody::Complex { side, curve, .. }, LumpyPlace::Complex(handle)) => {
            let found = outcome.complex.binary_search_by_key(&handle, |it| it.handle);
            let quantity = found.ok().map(|at| &outcome.complex[at].quantity);
            for (entry, it) in curve.iter().enumerate() {
                let lots = quantity.and_then(|it| it.get(entry)).copied().unwrap_or(0);
                take(entry, of_side(it.period, *side, lots));
            }
        }
        (OrderBody::Curve { .. } | OrderBody::Complex { .. }, _) => panic!("a sealed order has its place"),
    }
}

/// The prices that an order could have seen without transfer limits: lowest for a buyer, highest for
/// a seller; index `period * areas + area`.
///
/// After an unconstrained run they are its prices. A one-run market has none; there they are the
/// lowest and the highest price of the period in all areas that lines connect with the order's, for
/// only transfer limits stood between it and those.
#[derive(Debug)]
pub(super) struct Unlimited {
    low: Vec<i64>,
    high: Vec<i64>,
}

impl Unlimited {
    pub(super) fn new(info: &AuctionInfo, prices: &[i64], provisional: Option<&[i64]>) -> Self {
        if let Some(prices) = provisional {
            return Self { low: prices.to_vec(), high: prices.to_vec() };
        }
        let areas = info.rules.areas.len();
        let island = islands(info);
        let (mut low, mut high) = (prices.to_vec(), prices.to_vec());
        for start in (0..prices.len()).step_by(areas) {
            for area in 0..areas {
                for other in (0..areas).filter(|other| island[*other] == island[area]) {
                    let price = prices[start + other];
                    low[start + area] = low[start + area].min(price);
                    high[start + area] = high[start + area].max(price);
                }
            }
        }
        Self { low, high }
    }
}

/// For every area the least area that lines connect it with.
fn islands(info: &AuctionInfo) -> Vec<usize> {
    let mut island: Vec<usize> = (0..info.rules.areas.len()).collect();
    loop {
        let mut changed = false;
        for line in &info.rules.lines {
            let (from, to) = (usize::from(line.from), usize::from(line.to));
            let least = island[from].min(island[to]);
            changed |= island[from] != least || island[to] != least;
            island[from] = least;
            island[to] = least;
        }
        if !changed {
            return island;
        }
    }
}

/// Explains orders of one result.
#[derive(Clone, Copy)]
pub(super) struct Explainer<'a> {
    pub(super) outcome: &'a Outcome,
    pub(super) sealed: &'a SealedBook,
    pub(super) book: &'a AuctionBook,
    pub(super) places: &'a Places,
    pub(super) unlimited: &'a Unlimited,
    pub(super) areas: usize,
    pub(super) bounds: Bounds,
}

impl Explainer<'_> {
    /// The ratio of a block.
    pub(super) fn ratio(&self, order: &Order) -> Option<u32> {
        let place = self.sealed.lumpy_place(order);
        matches!(place, LumpyPlace::Block(_)).then(|| ratio(place, self.outcome))
    }

    /// What a rejected block or an inactive complex order would have earned, grid units of welfare.
    pub(super) fn missed(&self, order: &Order) -> Option<i128> {
        let Outcome { blocks_rejected: blocks, complex_rejected: complex, .. } = self.outcome;
        match self.sealed.lumpy_place(order) {
            LumpyPlace::Block(handle) => {
                blocks.binary_search_by_key(&handle, |it| it.handle).ok().map(|at| blocks[at].surplus)
            }
            LumpyPlace::Complex(handle) => {
                complex.binary_search_by_key(&handle, |it| it.handle).ok().map(|at| complex[at].surplus)
            }
            LumpyPlace::None => None,
        }
    }

    /// What an order got in each of its periods, and why.
    pub(super) fn fills(&self, order: &Order) -> Vec<PeriodFill> {
        if order.kind == Kind::Curve {
            return self.curve_fills(order);
        }
        let (place, body) = (self.sealed.lumpy_place(order), self.sealed.lumpy_body(order));
        let mut fills = Vec::new();
        each_trade(place, body, self.outcome, |entry, trade| {
            let cell = usize::from(trade.period) * self.areas + usize::from(order.area);
            let price = self.outcome.prices[cell];
            let reason = match body {
                OrderBody::Complex { side, curve, .. } => {
                    let it = &curve[entry];
                    self.complex_reason(place, *side, it, price, trade.bought + trade.sold)
                }
                OrderBody::Block { .. } | OrderBody::Curve { .. } => self.block_reason(place),
            };
            let Trade { period, bought, sold } = trade;
            fills.push(PeriodFill { period, price, bought, sold, reason });
        });
        fills
    }

    fn curve_fills(&self, order: &Order) -> Vec<PeriodFill> {
        let each = self.sealed.curves(order).map(|(handle, curve)| {
            let cell = usize::from(curve.period) * self.areas + usize::from(order.area);
            let place = self.places.of(self.book, handle).and_then(|it| self.outcome.curves.get(it));
            let fill = place.copied().unwrap_or_default();
            let trade = Trade { period: curve.period, bought: fill.bought, sold: fill.sold };
            let reason = self.curve_reason(curve.shape, curve.points, cell, &trade);
            let Trade { period, bought, sold } = trade;
            PeriodFill { period, price: self.outcome.prices[cell], bought, sold, reason }
        });
        each.collect()
    }

    fn curve_reason(
        &self,
        shape: Shape,
        points: &[crate::auction::Point],
        cell: usize,
        trade: &Trade,
    ) -> Reason {
        let price = self.outcome.prices[cell];
        let buys = curves::demand(shape, points, price, self.bounds);
        let sells = curves::supply(shape, points, price, self.bounds);
        if buys != 0 || sells != 0 {
            let whole = (buys, sells) == (trade.bought, trade.sold);
            return if whole { Reason::Filled } else { Reason::MarginalShare };
        }
        // Strictly in the money there: at a tie nobody knows.
        let (low, high) = (self.unlimited.low[cell], self.unlimited.high[cell]);
        let would = curves::demand(shape, points, low + 1, self.bounds) > 0
            || curves::supply(shape, points, high - 1, self.bounds) > 0;
        if would { Reason::Congestion } else { Reason::OutOfTheMoney }
    }

    fn block_reason(&self, place: LumpyPlace) -> Reason {
        let LumpyPlace::Block(handle) = place else { return Reason::OutOfTheMoney };
        let rejected = &self.outcome.blocks_rejected;
        match rejected.binary_search_by_key(&handle, |it| it.handle) {
            Ok(at) => Reason::Rejected(rejected[at].reason),
            Err(_) if ratio(place, self.outcome) == RATIO_UNIT => Reason::Filled,
            Err(_) => Reason::MarginalShare,
        }
    }

    fn complex_reason(
        &self,
        place: LumpyPlace,
        side: Side,
        period: &crate::auction::ComplexPeriod,
        price: i64,
        lots: i64,
    ) -> Reason {
        let LumpyPlace::Complex(handle) = place else { return Reason::OutOfTheMoney };
        let rejected = &self.outcome.complex_rejected;
        if let Ok(at) = rejected.binary_search_by_key(&handle, |it| it.handle) {
            return Reason::Rejected(rejected[at].reason);
        }
        let shape = Shape::Step(side);
        let wanted = curves::demand(shape, &period.points, price, self.bounds)
            + curves::supply(shape, &period.points, price, self.bounds);
        match lots {
            0 if wanted == 0 => Reason::OutOfTheMoney,
            _ if lots >= wanted => Reason::Filled,
            _ => Reason::MarginalShare,
        }
    }
}
