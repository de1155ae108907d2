//! The merit orders of one period, area by area, read where the book keeps them.

use super::linear;
use super::price::{MeritOrders, Still};
use super::search::{ActiveStep, Decided};
use crate::auction::Point;
use crate::book::{AuctionBook, Cell, Chunk};
use alloc::vec::Vec;
use core::ops::Range;

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
    /// Per chunk: its lowest price, and the sums before it.
    directory: Vec<Sum>,
    /// Per arrival: its price, and the sums up to and at it.
    arrivals: Vec<Sum>,
    linear: Vec<Range<usize>>,
    points: Vec<Point>,
}

#[derive(Clone, Debug)]
struct AreaCurve<'book> {
    chunks: &'book [Chunk],
    directory: Range<usize>,
    arrivals: Range<usize>,
    linear: Range<usize>,
    /// Lots of both sides in the chunks.
    chunk_lots: i64,
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
        let curve = &self.areas[area];
        let (lots, _) = self.steps(curve, price, still);
        let mut sum = lots - curve.wanted + curve.injected;
        if !curve.linear.is_empty() {
            *still = Still { from: price, until: price + 1 };
            for range in &self.linear[curve.linear.clone()] {
                let points = &self.points[range.clone()];
                sum += linear::surplus(points, price, (self.price_min, self.price_max));
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
        let directory = &self.directory[curve.directory.clone()];
        let above = directory.partition_point(|it| it.price <= price);
        let mut most = curve.chunk_lots;
        if let Some(next) = directory.get(above) {
            still.until = still.until.min(next.price);
            most = next.lots;
        }
        let mut least = 0;
        if let Some(at) = above.checked_sub(1) {
            still.from = still.from.max(directory[at].price);
            least = directory[at].lots;
        }
        let (arrived, _) = self.arrived(curve, price, still);
        let beside = arrived - curve.wanted + curve.injected;
        (least + beside, most + beside)
    }
}

impl<'book> Curves<'book> {
    /// Reads the curves of a period from the book, with what the decisions inject and add to them.
    pub(super) fn load(book: &'book AuctionBook, period: u16, decided: Option<&Decided>) -> Self {
        let frame = book.frame();
        let (price_min, price_max) = (frame.price_min, frame.price_max);
        let mut curves = Self { price_min, price_max, ..Self::default() };
        curves.areas.reserve(frame.areas.len());
        curves.directory.reserve(8 * frame.areas.len());
        curves.arrivals.reserve(32 * frame.areas.len());
        for (area, index) in (0..).zip(0..frame.areas.len()) {
            let at = usize::from(period) * frame.areas.len() + index;
            let (injected, steps) = decided.map_or((0, &[][..]), |it| (it.injected[at], it.steps(at)));
            curves.load_cell(book.cell(period, area), injected, steps);
        }
        curves
    }

    fn load_cell(&mut self, cell: &'book Cell, injected: i64, steps: &[ActiveStep]) {
        let levels = cell.levels();
        let (mut lots, mut sold) = (0, 0);
        let directory_start = self.directory.len();
        for chunk in levels.chunks() {
            self.directory.push(Sum { price: chunk.first_price, lots, sold });
            lots += chunk.lots;
            sold += chunk.sold;
        }
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
        arrivals.sort_unstable_by_key(|it| it.price);
        let mut before = (0, 0);
        for it in arrivals {
            before = (before.0 + it.lots, before.1 + it.sold);
            (it.lots, it.sold) = before;
        }
        let linear_start = self.linear.len();
        if cell.linear_len() > 0 {
            for points in cell.linear() {
                let start = self.points.len();
                self.points.extend_from_slice(points);
                self.linear.push(start..self.points.len());
            }
        }
        self.areas.push(AreaCurve {
            chunks: levels.chunks(),
            directory: directory_start..self.directory.len(),
            arrivals: arrivals_start..self.arrivals.len(),
            linear: linear_start..self.linear.len(),
            chunk_lots: lots,
            wanted: (lots - sold) + (before.0 - before.1),
            injected,
        });
    }

    /// What an area injects at any price.
    pub(super) fn injected(&self, area: usize) -> i64 {
        self.areas[area].injected
    }

    /// Step orders up to and at a price. Narrows `still` to the prices at which that is so.
    fn steps(&self, curve: &AreaCurve<'_>, price: i64, still: &mut Still) -> (i64, i64) {
        let (mut lots, mut sold) = (0, 0);
        let directory = &self.directory[curve.directory.clone()];
        let above = directory.partition_point(|it| it.price <= price);
        if let Some(next) = directory.get(above) {
            still.until = still.until.min(next.price);
        }
        if let Some(at) = above.checked_sub(1) {
            let levels = curve.chunks[at].levels();
            let next = levels.partition_point(|it| it.price <= price);
            if let Some(level) = levels.get(next) {
                still.until = still.until.min(level.price);
            }
            let level = levels[next - 1];
            still.from = still.from.max(level.price);
            lots += directory[at].lots + level.lots;
            sold += directory[at].sold + level.sold;
        }
        let arrived = self.arrived(curve, price, still);
        (lots + arrived.0, sold + arrived.1)
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

    /// What the area's curves can trade at a price.
    pub(super) fn stand(&self, area: usize, price: i64) -> Stand {
        let curve = &self.areas[area];
        let mut still = Still { from: i64::MIN, until: i64::MAX };
        let (lots, sold) = self.steps(curve, price, &mut still);
        let (lots_below, sold_below) =
            if still.from == price { self.steps(curve, price - 1, &mut still) } else { (lots, sold) };
        let mut stand = Stand {
            sold: sold_below,
            sold_tied: sold - sold_below,
            bought: curve.wanted - (lots - sold),
            bought_tied: (lots - sold) - (lots_below - sold_below),
        };
        for range in &self.linear[curve.linear.clone()] {
            let points = &self.points[range.clone()];
            let below = linear::supply(points, price - 1, self.price_min);
            stand.sold += below;
            stand.sold_tied += linear::supply(points, price, self.price_min) - below;
            let above = linear::demand(points, price + 1, self.price_max);
            stand.bought += above;
            stand.bought_tied += linear::demand(points, price, self.price_max) - above;
        }
        stand
    }

    /// Welfare of the step orders of an area at a price, those tied at the price apart.
    pub(super) fn steps_value(book: &AuctionBook, period: u16, area: u16, price: i64) -> i128 {
        let levels = book.cell(period, area).levels();
        let mut value: i128 = levels.chunks().iter().map(|chunk| chunk.value_beside(price)).sum();
        for it in levels.arrivals() {
            if it.price < price {
                value -= i128::from(it.price) * i128::from(it.sell);
            } else if it.price > price {
                value += i128::from(it.price) * i128::from(it.buy);
            }
        }
        value
    }

    /// Welfare of the linear orders of an area at a price, those lots tied at the price apart.
    pub(super) fn linear_value(&self, area: usize, price: i64) -> i128 {
        let curve = &self.areas[area];
        let mut value = 0;
        for range in &self.linear[curve.linear.clone()] {
            let points = &self.points[range.clone()];
            let bought = linear::demand(points, price + 1, self.price_max);
            let sold = linear::supply(points, price - 1, self.price_min);
            value += linear::buy_value(points, price, self.price_max, bought);
            value -= linear::sell_value(points, price, self.price_min, sold);
        }
        value
    }
}
