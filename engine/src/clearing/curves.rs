//! The merit orders of one period, area by area, read where the book keeps them.

use super::linear::{self, Line};
use super::price::{MeritOrders, Still};
use super::search::{ActiveStep, Decided};
use crate::book::{AuctionBook, Cell, Levels};
use alloc::vec::Vec;
use core::ops::Range;

/// Areas whose levels are asked for together: memory answers so many questions at once.
const ASKED_AT_ONCE: usize = 16;

/// What an area can trade at a price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stand {
    /// Lots sold at any lower price: S(p−1).
    pub(super) sold: i64,
    /// Lots offered exactly at the price: S(p) − S(p−1).
    pub(super) sold_tied: i64,
    /// Lots bought at any higher price: D(p+1).
    pub(super) bought: i64,
    /// Lots wanted exactly at the price: D(p) − D(p+1).
    pub(super) bought_tied: i64,
}

/// The curves of one period.
#[derive(Clone, Debug, Default)]
pub(super) struct Curves<'book> {
    pub(super) price_min: i64,
    pub(super) price_max: i64,
    areas: Vec<AreaCurve<'book>>,
    /// Per arrival: its price, and the sums up to and at it.
    arrivals: Vec<Sum>,
    linear: Vec<Line<'book>>,
}

#[derive(Clone, Debug)]
struct AreaCurve<'book> {
    levels: &'book Levels,
    arrivals: Range<usize>,
    linear: Range<usize>,
    /// Lots wanted by step orders at any price.
    wanted: i64,
    /// Lots injected whatever the price.
    injected: i64,
}

/// Lots of (both sides, sells) up to some price.
#[derive(Clone, Copy, Debug)]
struct Sum {
    price: i64,
    lots: i64,
    sold: i64,
}

impl MeritOrders for Curves<'_> {
    fn price_min(&self) -> i64 {
        self.price_min
    }

    fn price_max(&self) -> i64 {
        self.price_max
    }

    fn surplus_around(&self, area: usize, price: i64, still: &mut Still) -> i64 {
        self.surplus_in(area, self.areas[area].levels.started(price), price, still)
    }

    fn surplus_of(&self, areas: &[usize], price: i64, still: &mut Still) -> i64 {
        let mut sum = 0;
        for areas in areas.chunks(ASKED_AT_ONCE) {
            let (mut started, mut ahead) = ([0; ASKED_AT_ONCE], 0_i64);
            for (started, &area) in started.iter_mut().zip(areas) {
                let levels = self.areas[area].levels;
                *started = levels.started(price);
                ahead = ahead.wrapping_add(levels.touch_chunk(*started));
            }
            core::hint::black_box(ahead);
            for (&started, &area) in started.iter().zip(areas) {
                sum += self.surplus_in(area, started, price, still);
            }
        }
        sum
    }

    /// From the sums beside the chunk of levels alone, which lie close together.
    fn surplus_between(&self, area: usize, price: i64, still: &mut Still) -> (i64, i64) {
        let curve = &self.areas[area];
        if !curve.linear.is_empty() {
            let surplus = self.surplus_around(area, price, still);
            return (surplus, surplus);
        }
        let rough = curve.levels.roughly_up_to(price);
        still.narrow(rough.from, rough.until);
        let (arrived, _) = self.arrived(curve, price, still);
        let beside = arrived - curve.wanted + curve.injected;
        (rough.least + beside, rough.most + beside)
    }
}

impl<'book> Curves<'book> {
    /// Reads the curves of a period from the book, with what the decisions inject and add to them.
    pub(super) fn load(book: &'book AuctionBook, period: u16, decided: Option<&Decided>) -> Self {
        let frame = book.frame();
        let (price_min, price_max) = (frame.price_min, frame.price_max);
        let mut curves = Self { price_min, price_max, ..Self::default() };
        curves.areas.reserve(frame.areas.len());
        curves.arrivals.reserve(32 * frame.areas.len());
        let cells = (0..).zip(&frame.areas).map(|(area, _)| book.cell(period, area));
        core::hint::black_box(cells.fold(0, |sum: i64, cell| sum.wrapping_add(cell.levels().touch())));
        for (area, index) in (0..).zip(0..frame.areas.len()) {
            let at = usize::from(period) * frame.areas.len() + index;
            let (injected, steps) = decided.map_or((0, &[][..]), |it| (it.injected[at], it.steps(at)));
            curves.load_cell(book.cell(period, area), injected, steps);
        }
        curves
    }

    fn load_cell(&mut self, cell: &'book Cell, injected: i64, steps: &[ActiveStep]) {
        let levels = cell.levels();
        let total = levels.total();
        let arrivals_start = self.arrivals.len();
        self.arrivals.extend(levels.arrivals().iter().map(|it| Sum {
            price: it.price,
            lots: it.buy + it.sell,
            sold: it.sell,
        }));
        self.arrivals.extend(steps.iter().map(|it| Sum {
            price: it.price,
            lots: it.lots.abs(),
            sold: it.lots.max(0),
        }));
        let arrivals = &mut self.arrivals[arrivals_start..];
        if !steps.is_empty() {
            arrivals.sort_unstable_by_key(|it| it.price);
        }
        let mut before = (0, 0);
        for it in arrivals {
            before = (before.0 + it.lots, before.1 + it.sold);
            (it.lots, it.sold) = before;
        }
        let linear_start = self.linear.len();
        if cell.linear_len() > 0 {
            self.linear.extend(cell.linear().map(Line::new));
        }
        self.areas.push(AreaCurve {
            levels,
            arrivals: arrivals_start..self.arrivals.len(),
            linear: linear_start..self.linear.len(),
            wanted: (total.all - total.sold) + (before.0 - before.1),
            injected,
        });
    }

    /// What an area injects at any price.
    pub(super) fn injected(&self, area: usize) -> i64 {
        self.areas[area].injected
    }

    /// [`MeritOrders::surplus_around`] where so many chunks of levels start at or below the price.
    fn surplus_in(&self, area: usize, started: usize, price: i64, still: &mut Still) -> i64 {
        let curve = &self.areas[area];
        let mut sum = self.steps_in(curve, started, price, still) - curve.wanted + curve.injected;
        if !curve.linear.is_empty() {
            *still = Still { from: price, until: price + 1 };
            let bounds = (self.price_min, self.price_max);
            sum += self.linear[curve.linear.clone()].iter().map(|it| it.surplus(price, bounds)).sum::<i64>();
        }
        sum
    }

    /// Lots of step orders, both sides, up to and at a price. Narrows `still` to the prices at which
    /// that is so.
    fn steps(&self, curve: &AreaCurve<'_>, price: i64, still: &mut Still) -> i64 {
        self.steps_in(curve, curve.levels.started(price), price, still)
    }

    /// As [`Self::steps`] where so many chunks of levels start at or below the price.
    fn steps_in(&self, curve: &AreaCurve<'_>, started: usize, price: i64, still: &mut Still) -> i64 {
        let found = curve.levels.up_to(started, price);
        still.narrow(found.from, found.until);
        let (arrived, _) = self.arrived(curve, price, still);
        found.least + arrived
    }

    /// Lots that step orders offer up to and at a price.
    fn steps_sold(&self, curve: &AreaCurve<'_>, price: i64) -> i64 {
        let (_, arrived) = self.arrived(curve, price, &mut Still { from: i64::MIN, until: i64::MAX });
        curve.levels.sold_up_to(price) + arrived
    }

    /// What has arrived and is not in the chunks yet, up to and at a price.
    fn arrived(&self, curve: &AreaCurve<'_>, price: i64, still: &mut Still) -> (i64, i64) {
        let arrivals = &self.arrivals[curve.arrivals.clone()];
        let above = arrivals.partition_point(|it| it.price <= price);
        if let Some(next) = arrivals.get(above) {
            still.until = still.until.min(next.price);
        }
        let Some(at) = above.checked_sub(1) else { return (0, 0) };
        still.from = still.from.max(arrivals[at].price);
        (arrivals[at].lots, arrivals[at].sold)
    }

    /// Reads through what [`Self::stand`] and [`Self::steps_value`] need at the prices of all areas.
    pub(super) fn touch_stands(&self, prices: &[i64]) {
        let areas = self.areas.iter().zip(prices);
        let ahead = areas.fold(0, |sum: i64, (it, &price)| sum.wrapping_add(it.levels.touch_sold(price)));
        core::hint::black_box(ahead);
    }

    /// What the area's curves can trade at a price.
    pub(super) fn stand(&self, area: usize, price: i64) -> Stand {
        let curve = &self.areas[area];
        let mut still = Still { from: i64::MIN, until: i64::MAX };
        let lots = self.steps(curve, price, &mut still);
        let sold = self.steps_sold(curve, price);
        let (lots_below, sold_below) = if still.from == price {
            (self.steps(curve, price - 1, &mut still), self.steps_sold(curve, price - 1))
        } else {
            (lots, sold)
        };
        let mut stand = Stand {
            sold: sold_below,
            sold_tied: sold - sold_below,
            bought: curve.wanted - (lots - sold),
            bought_tied: (lots - sold) - (lots_below - sold_below),
        };
        for line in &self.linear[curve.linear.clone()] {
            let below = line.supply(price - 1, self.price_min);
            stand.sold += below;
            stand.sold_tied += line.supply(price, self.price_min) - below;
            let above = line.demand(price + 1, self.price_max);
            stand.bought += above;
            stand.bought_tied += line.demand(price, self.price_max) - above;
        }
        stand
    }

    /// Welfare of the step orders of an area at a price, those tied at the price apart.
    pub(super) fn steps_value(book: &AuctionBook, period: u16, area: u16, price: i64) -> i128 {
        book.cell(period, area).levels().value_beside(price)
    }

    /// Welfare of the linear orders of an area at a price, those lots tied at the price apart.
    pub(super) fn linear_value(&self, area: usize, price: i64) -> i128 {
        let curve = &self.areas[area];
        let mut value = 0;
        for line in &self.linear[curve.linear.clone()] {
            let bought = line.demand(price + 1, self.price_max);
            let sold = line.supply(price - 1, self.price_min);
            value += linear::buy_value(line.points, price, self.price_max, bought);
            value -= linear::sell_value(line.points, price, self.price_min, sold);
        }
        value
    }
}
