//! What a result means for each order and for everybody: quantities, reasons, the published result.

use super::curves::{self, Bounds};
use super::orders::{BookPlace, Order, SealedBook};
use crate::auction::{Shape, Side};
use crate::command::OrderBody;
use crate::digest::{Feed, Hasher};
use crate::event::{AuctionInfo, PeriodFill, PublishedResult, Reason};
use crate::limits::RATIO_UNIT;
use crate::outcome::Outcome;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// Lots traded, index `period * areas + area`.
pub(super) struct Traded {
    pub(super) bought: Vec<i64>,
    pub(super) sold: Vec<i64>,
}

/// What an order trades in one of its periods.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trade {
    pub(super) period: u16,
    pub(super) bought: i64,
    pub(super) sold: i64,
}

const fn of_side(period: u16, side: Side, lots: i64) -> Trade {
    match side {
        Side::Buy => Trade { period, bought: lots, sold: 0 },
        Side::Sell => Trade { period, bought: 0, sold: lots },
    }
}

/// Accepted ratio of a block, millionths; 0 if it is rejected.
fn ratio(order: &Order, outcome: &Outcome) -> u32 {
    let BookPlace::Block(handle) = order.place else { return 0 };
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

/// What an order trades, period by period, in the order of its periods.
pub(super) fn trades(order: &Order, outcome: &Outcome) -> Vec<Trade> {
    match (order.body().as_ref(), &order.place) {
        (OrderBody::Curve { periods, .. }, BookPlace::Curves(handles)) => {
            let fill = |((period, _), handle): (&(u16, _), &crate::auction::CurveHandle)| {
                let at = usize::try_from(handle.0).expect("handles are indexes");
                let fill = outcome.curves.get(at).copied().unwrap_or_default();
                Trade { period: *period, bought: fill.bought, sold: fill.sold }
            };
            periods.iter().zip(handles).map(fill).collect()
        }
        (OrderBody::Block { side, quantity, .. }, _) => {
            let ratio = ratio(order, outcome);
            quantity.iter().map(|(period, lots)| of_side(*period, *side, accepted(*lots, ratio))).collect()
        }
        (OrderBody::Complex { side, curve, .. }, BookPlace::Complex(handle)) => {
            let found = outcome.complex.binary_search_by_key(handle, |it| it.handle);
            let quantity = found.ok().map(|at| &outcome.complex[at].quantity);
            let lots = |entry: usize| quantity.and_then(|it| it.get(entry)).copied().unwrap_or(0);
            let of_period =
                |(entry, it): (usize, &crate::auction::ComplexPeriod)| of_side(it.period, *side, lots(entry));
            curve.iter().enumerate().map(of_period).collect()
        }
        (OrderBody::Curve { .. } | OrderBody::Complex { .. }, _) => Vec::new(),
    }
}

/// Everything traded, by area and period.
pub(super) fn traded(sealed: &SealedBook, outcome: &Outcome) -> Traded {
    let areas = sealed.book().frame().areas.len();
    let cells = areas * usize::from(sealed.book().frame().periods);
    let mut all = Traded { bought: vec![0; cells], sold: vec![0; cells] };
    for order in sealed.orders().iter().filter(|it| it.live) {
        for trade in trades(order, outcome) {
            let cell = usize::from(trade.period) * areas + usize::from(order.area);
            all.bought[cell] += trade.bought;
            all.sold[cell] += trade.sold;
        }
    }
    all
}

/// The prices that an order could have seen without transfer limits: lowest for a buyer, highest for
/// a seller; index `period * areas + area`.
///
/// After an unconstrained run they are its prices. A one-run market has none; there they are the
/// lowest and the highest price of the period in all areas that lines connect with the order's, for
/// only transfer limits stood between it and those.
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
pub(super) struct Explainer<'a> {
    pub(super) outcome: &'a Outcome,
    pub(super) unlimited: &'a Unlimited,
    pub(super) areas: usize,
    pub(super) bounds: Bounds,
}

impl Explainer<'_> {
    /// What an order got in each of its periods, and why.
    pub(super) fn fills(&self, order: &Order) -> Vec<PeriodFill> {
        let trades = trades(order, self.outcome);
        let mut fills = Vec::with_capacity(trades.len());
        for (entry, trade) in trades.into_iter().enumerate() {
            let cell = usize::from(trade.period) * self.areas + usize::from(order.area);
            let price = self.outcome.prices[cell];
            let reason = match order.body().as_ref() {
                OrderBody::Curve { shape, periods } => {
                    self.curve_reason(*shape, &periods[entry].1, cell, &trade)
                }
                OrderBody::Block { .. } => self.block_reason(order),
                OrderBody::Complex { side, curve, .. } => {
                    let it = &curve[entry];
                    self.complex_reason(order, *side, it, price, trade.bought + trade.sold)
                }
            };
            let Trade { period, bought, sold } = trade;
            fills.push(PeriodFill { period, price, bought, sold, reason });
        }
        fills
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

    fn block_reason(&self, order: &Order) -> Reason {
        let BookPlace::Block(handle) = order.place else { return Reason::OutOfTheMoney };
        let rejected = &self.outcome.blocks_rejected;
        match rejected.binary_search_by_key(&handle, |it| it.handle) {
            Ok(at) => Reason::Rejected(rejected[at].reason),
            Err(_) if ratio(order, self.outcome) == RATIO_UNIT => Reason::Filled,
            Err(_) => Reason::MarginalShare,
        }
    }

    fn complex_reason(
        &self,
        order: &Order,
        side: Side,
        period: &crate::auction::ComplexPeriod,
        price: i64,
        lots: i64,
    ) -> Reason {
        let BookPlace::Complex(handle) = order.place else { return Reason::OutOfTheMoney };
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

/// The result as everybody may read it.
pub(super) fn published(
    info: &Arc<AuctionInfo>,
    sealed: &SealedBook,
    outcome: Outcome,
    capacities: Vec<(Vec<i64>, Vec<i64>)>,
    congestion_minor: i64,
) -> PublishedResult {
    let Traded { bought, sold } = traded(sealed, &outcome);
    let curves = aggregate_curves(sealed, &outcome);
    let digest = result_digest(info, sealed, &outcome);
    let info = Arc::clone(info);
    PublishedResult { info, outcome, capacities, bought, sold, curves, congestion_minor, digest }
}

fn aggregate_curves(sealed: &SealedBook, outcome: &Outcome) -> Vec<crate::event::AggregateCurve> {
    let frame = sealed.book().frame();
    let areas = frame.areas.len();
    let bounds = Bounds { min: frame.price_min, max: frame.price_max };
    let mut cells: Vec<Vec<(Shape, &[crate::auction::Point])>> = vec![Vec::new(); outcome.prices.len()];
    for order in sealed.orders().iter().filter(|it| it.live) {
        if let OrderBody::Curve { shape, periods } = order.body().as_ref() {
            for (period, points) in periods {
                let cell = usize::from(*period) * areas + usize::from(order.area);
                cells[cell].push((*shape, points));
            }
        }
    }
    let priced = cells.iter().zip(&outcome.prices);
    priced.map(|(curves, price)| curves::aggregate(curves, *price, bounds)).collect()
}

/// Digest of the auction, the orders that stood at the gate and what came of them.
fn result_digest(info: &AuctionInfo, sealed: &SealedBook, outcome: &Outcome) -> u128 {
    let mut hasher = Hasher::new();
    info.feed(&mut hasher);
    for order in sealed.orders().iter().filter(|it| it.live) {
        (order.id, order.version()).feed(&mut hasher);
        order.body().feed(&mut hasher);
    }
    outcome.feed(&mut hasher);
    hasher.finish()
}
