//! The merit orders of one period, area by area, laid out for pricing.

use super::linear;
use crate::auction::{Point, Shape};
use crate::book::{AuctionBook, Cell};
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
pub(super) struct Curves {
    pub(super) price_min: i64,
    pub(super) price_max: i64,
    areas: Vec<AreaCurve>,
    price: Vec<i64>,
    /// Lots of both sides up to and at a level's price.
    lots: Vec<i64>,
    /// Lots offered up to and at a level's price.
    sold: Vec<i64>,
    linear: Vec<Range<usize>>,
    points: Vec<Point>,
}

#[derive(Clone, Debug, Default)]
struct AreaCurve {
    levels: Range<usize>,
    linear: Range<usize>,
    /// Lots wanted by step orders at any price.
    wanted: i64,
    /// Lots injected whatever the price.
    injected: i64,
}

impl Curves {
    /// Reads the curves of a period from the book. `injected` lots stand in an area whatever the
    /// price (accepted blocks; buys are negative); areas beyond its end have none.
    pub(super) fn load(&mut self, book: &AuctionBook, period: u16, injected: &[i64]) {
        let frame = book.frame();
        (self.price_min, self.price_max) = (frame.price_min, frame.price_max);
        self.areas.clear();
        self.price.clear();
        self.lots.clear();
        self.sold.clear();
        self.linear.clear();
        self.points.clear();
        for (area, index) in (0..).zip(0..frame.areas.len()) {
            self.load_cell(book.cell(period, area), injected.get(index).copied().unwrap_or(0));
        }
    }

    fn load_cell(&mut self, cell: &Cell, injected: i64) {
        let levels_start = self.price.len();
        let (mut bought, mut sold) = (0, 0);
        for level in cell.levels() {
            bought += level.buy;
            sold += level.sell;
            self.price.push(level.price);
            self.lots.push(bought + sold);
            self.sold.push(sold);
        }
        let linear_start = self.linear.len();
        if cell.linear_len() > 0 {
            for order in cell.orders().filter(|it| it.shape == Shape::Linear) {
                let start = self.points.len();
                self.points.extend_from_slice(order.points);
                self.linear.push(start..self.points.len());
            }
        }
        self.areas.push(AreaCurve {
            levels: levels_start..self.price.len(),
            linear: linear_start..self.linear.len(),
            wanted: bought,
            injected,
        });
    }

    /// What an area injects at any price.
    pub(super) fn injected(&self, area: usize) -> i64 {
        self.areas[area].injected
    }

    /// Net lots that the area is left with between `price` and the tick above:
    /// S(price) − D(price + 1) + injected. Never falls as the price rises.
    pub(super) fn surplus(&self, area: usize, price: i64) -> i64 {
        let curve = &self.areas[area];
        let steps = match self.level_at(curve, price) {
            Some(level) => self.lots[level],
            None => 0,
        };
        steps - curve.wanted + curve.injected + self.linear_surplus(curve, price)
    }

    fn linear_surplus(&self, curve: &AreaCurve, price: i64) -> i64 {
        let mut sum = 0;
        for range in &self.linear[curve.linear.clone()] {
            let points = &self.points[range.clone()];
            sum += linear::supply(points, price, self.price_min)
                - linear::demand(points, price + 1, self.price_max);
        }
        sum
    }

    /// The last level at or below a price.
    fn level_at(&self, curve: &AreaCurve, price: i64) -> Option<usize> {
        let levels = &self.price[curve.levels.clone()];
        levels.partition_point(|it| *it <= price).checked_sub(1).map(|it| curve.levels.start + it)
    }

    /// What the area's curves can trade at a price.
    pub(super) fn stand(&self, area: usize, price: i64) -> Stand {
        let curve = &self.areas[area];
        let (lots, sold) = self.level_at(curve, price).map_or((0, 0), |it| (self.lots[it], self.sold[it]));
        let (lots_below, sold_below) =
            self.level_at(curve, price - 1).map_or((0, 0), |it| (self.lots[it], self.sold[it]));
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
    /// no shortage; `last` if there is none.
    pub(super) fn clears(&self, areas: &[usize], extra: i64, first: i64, last: i64) -> i64 {
        let (mut low, mut high) = (first, last);
        while low < high {
            let middle = low + (high - low) / 2;
            let surplus: i64 = areas.iter().map(|&area| self.surplus(area, middle)).sum();
            if surplus + extra >= 0 {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// Greatest price at which an area may stand that is left with `lots`: surplus(p − 1) ≤ lots.
    pub(super) fn greatest(&self, area: usize, lots: i64, from: i64) -> i64 {
        let (mut low, mut high) = (from, self.price_max);
        while low < high {
            let middle = low + (high - low + 1) / 2;
            if self.surplus(area, middle - 1) <= lots {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }

    /// Welfare of the step orders of an area at a price, those tied at the price apart.
    pub(super) fn steps_value(&self, area: usize, price: i64) -> i128 {
        let curve = &self.areas[area];
        let (mut lots_before, mut sold_before) = (0, 0);
        let mut value = 0;
        for level in curve.levels.clone() {
            let at = self.price[level];
            if at < price {
                value -= i128::from(at) * i128::from(self.sold[level] - sold_before);
            } else if at > price {
                let bought = (self.lots[level] - lots_before) - (self.sold[level] - sold_before);
                value += i128::from(at) * i128::from(bought);
            }
            (lots_before, sold_before) = (self.lots[level], self.sold[level]);
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
