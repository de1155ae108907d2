//! The worst case of one order by itself.

use super::{Grid, ROUNDING_MINOR_PER_PERIOD};
use crate::auction::{ComplexPeriod, Point, Shape, Side};
use crate::command::OrderBody;
use crate::limits::RATIO_UNIT;
use alloc::vec::Vec;

/// What a body can cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worst {
    /// By itself, minor units.
    Single(i128),
    /// A block, as a member of its family and group.
    Block(BlockWorst),
}

/// What an accepted block costs, before its family is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockWorst {
    /// Grains that it costs at its limit; below zero: that it earns.
    pub grains: i128,
    /// Minor units that rounding can add.
    pub rounding: i128,
}

impl BlockWorst {
    /// Minor units of the block alone.
    #[must_use]
    pub fn alone(self, grid: &Grid) -> i128 {
        if self.grains <= 0 && self.rounding == 0 { 0 } else { grid.minor(self.grains) + self.rounding }
    }
}

/// The worst case of an order.
#[must_use]
pub fn of(grid: &Grid, body: &OrderBody) -> Worst {
    match body {
        OrderBody::Curve { shape, periods } => {
            let mut minor = 0;
            for (_, points) in periods {
                minor += curve(grid, *shape, points);
            }
            Worst::Single(minor)
        }
        OrderBody::Block { side, price, quantity, ratio_min, .. } => {
            let (mut lots, mut periods) = (0, 0);
            for (_, quantity) in quantity {
                lots += i128::from(*quantity);
                periods += 1;
            }
            let each = per_lot(grid, *side, *price);
            // A ratio cuts lots off in each period; at worst one lot of what others pay for.
            let loose = if *ratio_min == RATIO_UNIT { 0 } else { periods * dearest(grid, *side) };
            let sure = *side == Side::Sell && loose == 0 && grid.earns(*price);
            let rounding = if sure { 0 } else { periods * ROUNDING_MINOR_PER_PERIOD };
            Worst::Block(BlockWorst { grains: lots * each + loose, rounding })
        }
        OrderBody::Complex { side, fixed_minor: _, curve } => {
            Worst::Single(curve.iter().map(|it| complex_period(grid, *side, it)).sum())
        }
    }
}

/// Whether a body can buy.
#[must_use]
pub fn buys(body: &OrderBody) -> bool {
    match body {
        OrderBody::Curve { shape: Shape::Step(side), .. }
        | OrderBody::Block { side, .. }
        | OrderBody::Complex { side, .. } => *side == Side::Buy,
        OrderBody::Curve { shape: Shape::Linear, periods } => {
            periods.iter().any(|(_, points)| points.first().is_some_and(|it| it.quantity > 0))
        }
    }
}

/// What a lot costs at a price, parts of a tick; below zero: what it earns.
fn per_lot(grid: &Grid, side: Side, price: i64) -> i128 {
    let price = i128::from(price) * grid.parts;
    match side {
        Side::Buy => price + grid.buy_fee,
        Side::Sell => grid.sell_fee - price,
    }
}

/// The most that one lot can cost or fail to earn.
fn dearest(grid: &Grid, side: Side) -> i128 {
    let fee = match side {
        Side::Buy => grid.buy_fee,
        Side::Sell => grid.sell_fee,
    };
    i128::from(grid.price_max.max(-grid.price_min)) * grid.parts + fee
}

fn complex_period(grid: &Grid, side: Side, period: &ComplexPeriod) -> i128 {
    let cost = |it: &Point| (i128::from(it.quantity) * per_lot(grid, side, it.price)).max(0);
    let sure = side == Side::Sell && period.points.iter().all(|it| grid.earns(it.price));
    let rounding = if sure { 0 } else { ROUNDING_MINOR_PER_PERIOD };
    grid.minor(period.points.iter().map(cost).sum()) + rounding
}

/// Minor units of a curve in one period.
fn curve(grid: &Grid, shape: Shape, points: &[Point]) -> i128 {
    let (grains, sure) = match shape {
        Shape::Step(Side::Buy) => (step(grid, Side::Buy, points), false),
        Shape::Step(Side::Sell) => {
            (step(grid, Side::Sell, points), points.iter().all(|it| grid.earns(it.price)))
        }
        Shape::Linear => linear(grid, points),
    };
    grid.minor(grains) + if sure { 0 } else { ROUNDING_MINOR_PER_PERIOD }
}

/// The greatest cost of step points: at each limit price everything that trades there.
fn step(grid: &Grid, side: Side, points: &[Point]) -> i128 {
    let rising = points.is_sorted_by_key(|it| it.price);
    let falling = !rising && points.is_sorted_by(|a, b| a.price >= b.price);
    match (side, rising, falling) {
        (Side::Buy, true, _) => walk(grid, side, points.iter().rev()),
        (Side::Sell, true, _) | (Side::Buy, _, true) => walk(grid, side, points.iter()),
        (Side::Sell, _, true) => walk(grid, side, points.iter().rev()),
        (_, false, false) => {
            let mut sorted: Vec<&Point> = points.iter().collect();
            sorted.sort_unstable_by_key(|it| it.price);
            match side {
                Side::Buy => walk(grid, side, sorted.into_iter().rev()),
                Side::Sell => walk(grid, side, sorted.into_iter()),
            }
        }
    }
}

/// Points from the one that trades first on.
fn walk<'a>(grid: &Grid, side: Side, points: impl Iterator<Item = &'a Point>) -> i128 {
    let (mut lots, mut worst) = (0, 0);
    for it in points {
        lots += i128::from(it.quantity);
        worst = worst.max(lots * per_lot(grid, side, it.price));
    }
    worst
}

/// The greatest cost of a linear curve, and whether rounding can add nothing to it.
fn linear(grid: &Grid, points: &[Point]) -> (i128, bool) {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return (0, true) };
    let at = |price: i64, net: i64| {
        let side = if net > 0 { Side::Buy } else { Side::Sell };
        i128::from(net).abs() * per_lot(grid, side, price)
    };
    // Constant outside: a buyer pays most at the highest price, a seller earns least at the lowest.
    let mut worst = at(grid.price_max, last.quantity.max(0)).max(at(grid.price_min, first.quantity.min(0)));
    // Prices rise and quantities fall: after the first point that sells above its fee nothing costs anything.
    let costs = |it: &Point| it.quantity > 0 || per_lot(grid, Side::Sell, it.price) > 0;
    let costly = points.iter().take_while(|it| costs(it)).count();
    let points_costly = points.get(..(costly + 1).min(points.len())).unwrap_or(points);
    for it in points_costly {
        worst = worst.max(at(it.price, it.quantity));
    }
    for pair in points_costly.windows(2) {
        let [from, to] = pair else { continue };
        if from.quantity > 0 {
            worst = worst.max(between(grid, Side::Buy, from, to, worst));
        }
        if to.quantity < 0 {
            worst = worst.max(between(grid, Side::Sell, from, to, worst));
        }
    }
    let selling = points.partition_point(|it| it.quantity >= 0);
    let sells_from = points.get(selling).map(|it| it.price);
    // The line may begin to sell anywhere after the last point that does not.
    let before = selling.checked_sub(1).and_then(|it| points.get(it));
    let begins = before.map_or(grid.price_min, |it| it.price);
    let sure = first.quantity <= 0 && (sells_from.is_none() || grid.earns(begins));
    (worst.max(0), sure)
}

/// The greatest cost strictly between two points of a line, if it can exceed `worst`. Where quantities
/// are fractions of a lot, one lot more than the line says can trade.
fn between(grid: &Grid, side: Side, from: &Point, to: &Point, worst: i128) -> i128 {
    let (low, high) = (i128::from(from.price), i128::from(to.price));
    let (run, rise) = (high - low, i128::from(to.quantity) - i128::from(from.quantity));
    if run < 2 || rise == 0 {
        return 0;
    }
    // At the better of the two prices and a lot more than at either end it costs more than anywhere between:
    // most pairs end here, without a division.
    let (lots_most, price_best) = match side {
        Side::Buy => (i128::from(from.quantity).max(i128::from(to.quantity)) + 1, to.price),
        Side::Sell => (1 - i128::from(from.quantity).min(i128::from(to.quantity)), from.price),
    };
    if lots_most * per_lot(grid, side, price_best) <= worst {
        return 0;
    }
    // Lots on this side at `from`, and how they change along the line.
    let more = i128::from(rise % run != 0);
    let (start, slope) = match side {
        Side::Buy => (i128::from(from.quantity) + more, rise),
        Side::Sell => (more - i128::from(from.quantity), -rise),
    };
    // lots(p) = start + slope × (p − low) / run, cost(p) = lots(p) × (sign × parts × p + fee): a
    // parabola that opens downwards, greatest where its derivative is zero.
    let (sign, fee) = match side {
        Side::Buy => (1, grid.buy_fee),
        Side::Sell => (-1, grid.sell_fee),
    };
    let parts = sign * grid.parts;
    let top = (slope * parts * low - slope * fee - parts * start * run).div_euclid(2 * slope * parts);
    let cost = |price: i128| {
        let lots = start * run + slope * (price - low);
        if lots <= 0 {
            return 0;
        }
        let exact = lots * (parts * price + fee);
        exact.div_euclid(run) + i128::from(exact.rem_euclid(run) != 0)
    };
    let inside = |price: i128| price.clamp(low + 1, high - 1);
    // Rounded to either side, whatever the signs.
    [top - 1, top, top + 1].into_iter().map(|price| cost(inside(price))).max().unwrap_or(0)
}
