//! What will be said of a verified result, put together in quanta so that orders of other auctions
//! go on meanwhile: first order by order, then area by area. Nothing is said before all is ready.

use super::curves::{self, Bounds};
use super::orders::SealedBook;
use super::results::{Explainer, Unlimited};
use super::settlement::{self, Position};
use crate::auction::{Point, Shape};
use crate::digest::{Feed, Hasher};
use crate::event::{AggregateCurve, AuctionInfo, PeriodFill, PublishedResult};
use crate::ids::{MemberId, OrderId};
use crate::outcome::Outcome;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// Points of orders that one unit of work looks at.
const POINTS_PER_UNIT: u64 = 512;

/// How an order ended.
type Ended = (MemberId, OrderId, Vec<PeriodFill>);

/// A publication in the making.
#[derive(Debug)]
pub(super) struct Publication {
    outcome: Outcome,
    unlimited: Unlimited,
    areas: usize,
    bounds: Bounds,
    bought: Vec<i64>,
    sold: Vec<i64>,
    positions: Vec<Position>,
    ended: Vec<Ended>,
    curves: Vec<AggregateCurve>,
    /// Next order to look at.
    next: usize,
    hasher: Hasher,
}

// All else follows from the outcome, the book and how far the work has come.
impl Feed for Publication {
    fn feed(&self, hasher: &mut Hasher) {
        let Self { outcome, next, curves, .. } = self;
        outcome.feed(hasher);
        next.feed(hasher);
        curves.len().feed(hasher);
    }
}

impl Publication {
    pub(super) fn new(info: &AuctionInfo, outcome: Outcome, provisional: Option<&[i64]>) -> Self {
        let cells = outcome.prices.len();
        let mut hasher = Hasher::new();
        info.feed(&mut hasher);
        Self {
            unlimited: Unlimited::new(info, &outcome.prices, provisional),
            outcome,
            areas: info.rules.areas.len(),
            bounds: Bounds { min: info.rules.price_min, max: info.rules.price_max },
            bought: vec![0; cells],
            sold: vec![0; cells],
            positions: Vec::new(),
            ended: Vec::new(),
            curves: Vec::new(),
            next: 0,
            hasher,
        }
    }

    /// Works for about `units` units and says whether all is ready.
    pub(super) fn advance(&mut self, sealed: &SealedBook, units: u32) -> bool {
        let mut left = u64::from(units.max(1)) * POINTS_PER_UNIT;
        loop {
            let points = if self.next < sealed.orders().len() {
                self.end_order(sealed)
            } else if self.curves.len() < self.outcome.prices.len() {
                self.add_curve(sealed)
            } else {
                return true;
            };
            left = left.saturating_sub(points + 1);
            if left == 0 {
                return false;
            }
        }
    }

    /// Ends the next order; returns its points.
    fn end_order(&mut self, sealed: &SealedBook) -> u64 {
        let order = &sealed.orders()[self.next];
        self.next += 1;
        if !order.live {
            return 0;
        }
        let Self { outcome, unlimited, areas, bounds, .. } = self;
        let explainer = Explainer { outcome, unlimited, areas: *areas, bounds: *bounds };
        let fills = explainer.fills(order);
        let (member, portfolio, area) = (order.member, order.portfolio, order.area);
        for PeriodFill { period, bought, sold, .. } in fills.iter().copied() {
            if bought != 0 || sold != 0 {
                let cell = usize::from(period) * self.areas + usize::from(area);
                self.bought[cell] += bought;
                self.sold[cell] += sold;
                self.positions.push(Position { member, portfolio, area, period, bought, sold });
            }
        }
        self.ended.push((member, order.id, fills));
        (order.id, order.version()).feed(&mut self.hasher);
        order.body().feed(&mut self.hasher);
        super::orders::points_of(order.body())
    }

    /// Adds up the curves of the next area and period; returns their points.
    fn add_curve(&mut self, sealed: &SealedBook) -> u64 {
        let at = self.curves.len();
        let small = "auctions have few periods and areas";
        let period = u16::try_from(at / self.areas).expect(small);
        let area = u16::try_from(at % self.areas).expect(small);
        let cell = sealed.book().cell(period, area);
        let orders: Vec<(Shape, &[Point])> = cell.orders().map(|it| (it.shape, it.points)).collect();
        self.curves.push(curves::aggregate(&orders, self.outcome.prices[at], self.bounds));
        let points: usize = orders.iter().map(|(_, points)| points.len()).sum();
        u64::try_from(points).expect("lengths fit")
    }

    /// The result (congestion revenue still to be posted), the ends of orders and the positions.
    pub(super) fn finish(
        self,
        info: &Arc<AuctionInfo>,
        capacities: Vec<(Vec<i64>, Vec<i64>)>,
    ) -> (PublishedResult, Vec<Ended>, Vec<Position>) {
        let Self { outcome, bought, sold, positions, ended, curves, mut hasher, .. } = self;
        outcome.feed(&mut hasher);
        let result = PublishedResult {
            info: Arc::clone(info),
            outcome,
            capacities,
            bought,
            sold,
            curves,
            congestion_minor: 0,
            digest: hasher.finish(),
        };
        (result, ended, settlement::merge(positions))
    }
}
