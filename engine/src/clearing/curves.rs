//! The merit orders of one period, area by area, read where the book keeps them.

use super::linear;
use crate::auction::{Point, Shape};
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

/// Prices between which nothing changes: the level at or below, the level above.
#[derive(Clone, Copy, Debug)]
struct Still {
    from: i64,
    until: i64,
}

impl<'book> Curves<'book> {
    /// Reads the curves of a period from the book. `injected` lots stand in an area whatever the
    /// price (accepted blocks; buys are negative); areas beyond its end have none.
    pub(super) fn load(book: &'book AuctionBook, period: u16, injected: &[i64]) -> Self {
        let frame = book.frame();
        let (price_min, price_max) = (frame.price_min, frame.price_max);
        let mut curves = Self { price_min, price_max, ..Self::default() };
        curves.areas.reserve(frame.areas.len());
        curves.directory.reserve(8 * frame.areas.len());
        curves.arrivals.reserve(32 * frame.areas.len());
        for (area, index) in (0..).zip(0..frame.areas.len()) {
            curves.load_cell(book.cell(period, area), injected.get(index).copied().unwrap_or(0));
        }
        curves
    }

    fn load_cell(&mut self, cell: &'book Cell, injected: i64) {
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
        let arrivals = &mut self.arrivals[arrivals_start..];
        arrivals.sort_unstable_by_key(|it| it.price);
        let mut before = (0, 0);
        for it in arrivals {
            before = (before.0 + it.lots, before.1 + it.sold);
            (it.lots, it.sold) = before;
        }
        let linear_start = self.linear.len();
        if cell.linear_len() > 0 {
            for (_, points) in cell.walk().filter(|(it, _)| it.shape == Shape::Linear) {
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
        let arrivals = &self.arrivals[curve.arrivals.clone()];
        if !arrivals.is_empty() {
            let above = arrivals.partition_point(|it| it.price <= price);
            if let Some(next) = arrivals.get(above) {
                still.until = still.until.min(next.price);
            }
            if let Some(at) = above.checked_sub(1) {
                still.from = still.from.max(arrivals[at].price);
                lots += arrivals[at].lots;
                sold += arrivals[at].sold;
            }
        }
        (lots, sold)
    }

    /// Net lots that the area is left with between `price` and the tick above:
    /// S(price) − D(price + 1) + injected. Never falls as the price rises.
    pub(super) fn surplus(&self, area: usize, price: i64) -> i64 {
        self.surplus_around(area, price, &mut Still { from: i64::MIN, until: i64::MAX })
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

    /// Least price in `first ..= last` at which the areas together, `extra` included, are left with
    /// no shortage; `last` if there is none below. Looks first around `hint`.
    pub(super) fn clears(&self, areas: &[usize], extra: i64, first: i64, last: i64, hint: i64) -> i64 {
        // Short at `low`, not short at `high`; both ends may be unproved bounds.
        let (mut low, mut high) = (first - 1, last);
        let (mut short, mut long): (Option<i64>, Option<i64>) = (None, None);
        let (mut turn, mut stale_low, mut stale_high) = (0_u32, 0_u32, 0_u32);
        let mut stride = ((last - first) / 256).max(1);
        while high - low > 1 {
            let price = match (short, long) {
                (None, None) => hint,
                (None, Some(_)) => high.saturating_sub(stride).max(low + (high - low) / 4),
                (Some(_), None) => low.saturating_add(stride).min(high - (high - low) / 4),
                // A straight line between the ends, where an end that stays behind counts for less
                // each time; halving in between bounds the number of turns.
                (Some(_), Some(_)) if turn % 4 == 3 => low + (high - low) / 2,
                (Some(short), Some(long)) => {
                    let short = (i128::from(-short) * 2) >> stale_low.min(60);
                    let long = (i128::from(long) * 2 + 1) >> stale_high.min(60);
                    let part = i128::from(high - low) * short / (short + long).max(1);
                    low + i64::try_from(part).expect("a part of the span")
                }
            };
            let price = price.clamp(low + 1, high - 1);
            if short.is_some() && long.is_some() {
                turn += 1;
            } else {
                stride = stride.saturating_mul(4);
            }
            let mut still = Still { from: i64::MIN, until: i64::MAX };
            let surplus: i64 =
                areas.iter().map(|&area| self.surplus_around(area, price, &mut still)).sum::<i64>() + extra;
            if surplus >= 0 {
                high = still.from.max(low + 1);
                long = Some(surplus);
                (stale_low, stale_high) = (stale_low + 1, 0);
            } else {
                low = (still.until - 1).min(high - 1);
                short = Some(surplus);
                (stale_low, stale_high) = (0, stale_high + 1);
            }
        }
        high
    }

    /// Greatest price at which an area may stand that is left with `lots`: surplus(p − 1) ≤ lots.
    /// It may stand at `from`.
    pub(super) fn greatest(&self, area: usize, lots: i64, from: i64) -> i64 {
        // Levels are few between `from` and the answer, ticks of linear curves may be many.
        let (mut low, mut high) = (from, self.price_max);
        let mut stride = 1;
        while low < high {
            let probe = (low - 1).saturating_add(stride).min(high - 1);
            let mut still = Still { from: i64::MIN, until: i64::MAX };
            if self.surplus_around(area, probe, &mut still) <= lots {
                low = still.until.min(high);
                stride = stride.saturating_mul(2);
            } else {
                high = still.from.max(low);
                stride = ((high - low) / 2).max(1);
            }
        }
        low
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
