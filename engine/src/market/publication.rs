//! What will be said of a verified result, put together in quanta so that orders of other auctions
//! go on meanwhile: order by order, then area by area (and with them what portfolios owe), then its
//! digest. Nothing is said before all is ready.

use super::curves::{self, Bounds};
use super::orders::SealedBook;
use super::results::{Explainer, Unlimited};
use super::settlement::{self, Position, Posting};
use crate::auction::{Point, Shape};
use crate::book::{AuctionBook, Places};
use crate::digest::{Feed, Hasher, Words};
use crate::event::{AggregateCurve, AuctionInfo, PeriodFill, PublishedResult, ScheduleRow};
use crate::ids::{MemberId, OrderId, PortfolioId};
use crate::outcome::Outcome;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// Points of orders that one unit of work looks at.
const POINTS_PER_UNIT: u64 = 512;

/// Fills that the digest sees at once.
const FILLS_AT_ONCE: usize = 512;

/// How an order ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) member: MemberId,
    pub(super) order: OrderId,
    pub(super) fills: Vec<PeriodFill>,
    pub(super) ratio: Option<u32>,
    pub(super) missed: Option<i128>,
}

/// Whose a position is, and in which area.
type Trader = (MemberId, PortfolioId, u16);

/// What portfolios trade, schedule and owe.
#[derive(Debug)]
pub(super) struct Worked {
    pub(super) positions: Vec<Position>,
    /// In no particular order before the end.
    pub(super) rows: Vec<ScheduleRow>,
    pub(super) posting: Posting,
}

/// What there is to say.
pub(super) struct Ready {
    /// Revision and congestion revenue are still to be set.
    pub(super) result: PublishedResult,
    pub(super) ended: Vec<Ended>,
    pub(super) posted: Worked,
}

/// A publication in the making.
#[derive(Debug)]
pub(super) struct Publication {
    info: Arc<AuctionInfo>,
    outcome: Outcome,
    places: Places,
    unlimited: Unlimited,
    areas: usize,
    bounds: Bounds,
    bought: Vec<i64>,
    sold: Vec<i64>,
    /// Lots bought and sold by period, of traders that are still to be posted.
    traders: BTreeMap<Trader, Vec<(i64, i64)>>,
    posted: Worked,
    ended: Vec<Ended>,
    curves: Vec<AggregateCurve>,
    /// Next order to look at.
    next: usize,
    /// Fills that the digest has seen.
    digested: usize,
    hasher: Hasher,
}

// All else follows from the outcome, the book and how far the work has come.
impl Feed for Publication {
    fn feed<W: Words>(&self, hasher: &mut W) {
        let Self { outcome, next, curves, digested, .. } = self;
        outcome.feed(hasher);
        next.feed(hasher);
        curves.len().feed(hasher);
        digested.feed(hasher);
    }
}

impl Publication {
    pub(super) fn new(
        info: &Arc<AuctionInfo>,
        outcome: Outcome,
        book: &AuctionBook,
        provisional: Option<&[i64]>,
    ) -> Self {
        let cells = outcome.prices.len();
        let mut hasher = Hasher::new();
        info.feed(&mut hasher);
        Self {
            unlimited: Unlimited::new(info, &outcome.prices, provisional),
            places: book.places(),
            info: Arc::clone(info),
            outcome,
            areas: info.rules.areas.len(),
            bounds: Bounds { min: info.rules.price_min, max: info.rules.price_max },
            bought: vec![0; cells],
            sold: vec![0; cells],
            traders: BTreeMap::new(),
            posted: Worked { positions: Vec::new(), rows: Vec::new(), posting: Posting::new(info.periods) },
            ended: Vec::new(),
            curves: Vec::new(),
            next: 0,
            digested: 0,
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
            } else if self.digested < self.outcome.curves.len() {
                self.digest_fills()
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
        let Self { outcome, places, unlimited, areas, bounds, .. } = self;
        let book = sealed.book();
        let explainer =
            Explainer { outcome, sealed, book, places, unlimited, areas: *areas, bounds: *bounds };
        let fills = explainer.fills(order);
        let (ratio, missed) = (explainer.ratio(order), explainer.missed(order));
        let (member, portfolio, area) = (order.member(), order.portfolio, order.area);
        let periods = self.outcome.prices.len() / self.areas.max(1);
        let position = self.traders.entry((member, portfolio, area)).or_insert_with(|| vec![(0, 0); periods]);
        for PeriodFill { period, bought, sold, .. } in fills.iter().copied() {
            let cell = usize::from(period) * self.areas + usize::from(area);
            self.bought[cell] += bought;
            self.sold[cell] += sold;
            let (all_bought, all_sold) = &mut position[usize::from(period)];
            *all_bought += bought;
            *all_sold += sold;
        }
        self.ended.push(Ended { member, order: order.id, fills, ratio, missed });
        (order.id, order.version).feed(&mut self.hasher);
        sealed.feed_body(order, &mut self.hasher);
        sealed.points_of(order)
    }

    /// Adds up the curves of the next area and period; returns their points. Every order has ended: a
    /// share of those who traded is posted with each, so that all are when the last curve is.
    fn add_curve(&mut self, sealed: &SealedBook) -> u64 {
        let at = self.curves.len();
        let share = self.traders.len().div_ceil(self.outcome.prices.len() - at);
        (0..share).for_each(|_| self.post_trader(sealed));
        let small = "auctions have few periods and areas";
        let period = u16::try_from(at / self.areas).expect(small);
        let area = u16::try_from(at % self.areas).expect(small);
        let cell = sealed.book().cell(period, area);
        let orders: Vec<(Shape, &[Point])> = cell.orders().map(|it| (it.shape, it.points)).collect();
        self.curves.push(curves::aggregate(&orders, self.outcome.prices[at], self.bounds));
        let points: usize = orders.iter().map(|(_, points)| points.len()).sum();
        u64::try_from(points).expect("lengths fit")
    }

    /// Posts what the next trader trades.
    fn post_trader(&mut self, sealed: &SealedBook) {
        let Some(((member, portfolio, area), periods)) = self.traders.pop_first() else { return };
        let Worked { positions, rows, posting } = &mut self.posted;
        let first = positions.len();
        for (period, (bought, sold)) in (0..).zip(periods).filter(|(_, lots)| *lots != (0, 0)) {
            let position = Position { member, portfolio, area, period, bought, sold };
            let price = self.outcome.prices[usize::from(period) * self.areas + usize::from(area)];
            posting.add(&self.info.rules, sealed.money(), &position, price);
            positions.push(position);
        }
        rows.extend(settlement::schedule(self.info.periods, &positions[first..]));
    }

    /// Shows the digest the next fills; returns how many.
    fn digest_fills(&mut self) -> u64 {
        let left = &self.outcome.curves[self.digested..];
        let some = left.len().min(FILLS_AT_ONCE);
        left[..some].feed(&mut self.hasher);
        self.digested += some;
        u64::try_from(some).expect("lengths fit")
    }

    /// All of it, once [`advance`](Self::advance) has said that it is ready.
    pub(super) fn finish(self, capacities: Vec<(Vec<i64>, Vec<i64>)>) -> Ready {
        let Self { info, mut outcome, bought, sold, ended, curves, mut hasher, mut posted, .. } = self;
        // The digest has seen the fills.
        let fills = core::mem::take(&mut outcome.curves);
        outcome.feed(&mut hasher);
        outcome.curves = fills;
        let result = PublishedResult {
            info,
            revision: 1,
            outcome,
            capacities,
            bought,
            sold,
            curves,
            congestion_minor: 0,
            digest: hasher.finish(),
        };
        posted.rows.sort_unstable_by_key(|row| (row.portfolio, row.area));
        Ready { result, ended, posted }
    }
}
