//! What a curve wants at a price, for reasons and published curves.
//!
//! The definitions of the auction file: `D(p)` is bought and `S(p)` sold when the clearing price is
//! `p` and every tie goes the order's way; outside of the price bounds both are 0.

use crate::auction::{Point, Shape, Side};
use crate::event::AggregateCurve;
use crate::limits::PUBLISHED_POINTS_MAX;
use alloc::vec::Vec;

/// Price bounds of an auction, ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) min: i64,
    pub(super) max: i64,
}

/// `D(price)` of one curve, lots.
pub(super) fn demand(shape: Shape, points: &[Point], price: i64, bounds: Bounds) -> i64 {
    match shape {
        _ if price > bounds.max => 0,
        Shape::Step(Side::Buy) => points.iter().filter(|it| it.price >= price).map(|it| it.quantity).sum(),
        Shape::Step(Side::Sell) => 0,
        Shape::Linear => net(points, price).max(0),
    }
}

/// `S(price)` of one curve, lots.
pub(super) fn supply(shape: Shape, points: &[Point], price: i64, bounds: Bounds) -> i64 {
    match shape {
        _ if price < bounds.min => 0,
        Shape::Step(Side::Sell) => points.iter().filter(|it| it.price <= price).map(|it| it.quantity).sum(),
        Shape::Step(Side::Buy) => 0,
        Shape::Linear => -net(points, price).min(0),
    }
}

/// Interpolated net quantity of a linear curve, rounded towards zero.
fn net(points: &[Point], price: i64) -> i64 {
    let right = points.partition_point(|it| it.price < price);
    match (right.checked_sub(1).and_then(|it| points.get(it)), points.get(right)) {
        (_, Some(to)) if to.price == price => to.quantity,
        (Some(from), Some(to)) => {
            let run = i128::from(to.price - from.price);
            let rise = i128::from(to.quantity - from.quantity);
            let exact = i128::from(from.quantity) * run + rise * i128::from(price - from.price);
            i64::try_from(exact / run).expect("between two quantities")
        }
        (None, Some(edge)) | (Some(edge), None) => edge.quantity,
        (None, None) => 0,
    }
}

/// The curves of one area and period, added up and thinned to at most [`PUBLISHED_POINTS_MAX`] points
/// a side: exact at every point kept, first, last and the ones around `price` always among them.
pub(super) fn aggregate(curves: &[(Shape, &[Point])], price: i64, bounds: Bounds) -> AggregateCurve {
    let steps = |side: Side| {
        let of_side = move |(shape, points): &(Shape, _)| (*shape == Shape::Step(side)).then_some(*points);
        let mut steps: Vec<(i64, i64)> =
            curves.iter().filter_map(of_side).flatten().map(|it: &Point| (it.price, it.quantity)).collect();
        steps.sort_unstable();
        steps
    };
    let linear: Vec<&[Point]> =
        curves.iter().filter(|(shape, _)| *shape == Shape::Linear).map(|(_, points)| *points).collect();
    let (buys, sells) = (steps(Side::Buy), steps(Side::Sell));
    let sell_prices = thin(prices_of(&sells, &linear), price, bounds);
    let mut buy_prices = thin(prices_of(&buys, &linear), price, bounds);
    buy_prices.reverse();
    AggregateCurve {
        buy: sum_at(
            &buy_prices,
            buys.iter().rev().copied(),
            |at, step| step >= at,
            |at| linear.iter().map(|it| net(it, at).max(0)).sum(),
        ),
        sell: sum_at(
            &sell_prices,
            sells.iter().copied(),
            |at, step| step <= at,
            |at| linear.iter().map(|it| -net(it, at).min(0)).sum(),
        ),
    }
}

/// The quantity at each price: steps that count there, walked once, and the linear curves.
fn sum_at(
    prices: &[i64],
    steps: impl Iterator<Item = (i64, i64)>,
    counts: impl Fn(i64, i64) -> bool,
    linear: impl Fn(i64) -> i64,
) -> Vec<(i64, i64)> {
    let mut steps = steps.peekable();
    let mut sum = 0;
    let mut curve = Vec::with_capacity(prices.len());
    for price in prices {
        while let Some((_, quantity)) = steps.next_if(|(step, _)| counts(*price, *step)) {
            sum += quantity;
        }
        curve.push((*price, sum + linear(*price)));
    }
    curve
}

fn prices_of(steps: &[(i64, i64)], linear: &[&[Point]]) -> Vec<i64> {
    let mut prices: Vec<i64> = steps.iter().map(|it| it.0).collect();
    prices.extend(linear.iter().copied().flatten().map(|it| it.price));
    prices.sort_unstable();
    prices.dedup();
    prices
}

/// Keeps at most [`PUBLISHED_POINTS_MAX`] of rising `prices`, spread evenly over the list, and the
/// clearing price itself if there is anything at all.
fn thin(mut prices: Vec<i64>, price: i64, bounds: Bounds) -> Vec<i64> {
    if prices.is_empty() {
        return prices;
    }
    if let Err(at) = prices.binary_search(&price) {
        prices.insert(at, price.clamp(bounds.min, bounds.max));
    }
    if prices.len() <= PUBLISHED_POINTS_MAX {
        return prices;
    }
    let last = prices.len() - 1;
    let around = prices.partition_point(|it| *it < price);
    let spread = PUBLISHED_POINTS_MAX - 3;
    let mut kept: Vec<usize> = (0..spread).map(|n| n * last / (spread - 1)).collect();
    kept.extend([around.saturating_sub(1), around, (around + 1).min(last)]);
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|it| prices[it]).collect()
}

#[cfg(test)]
mod tests {
    use super::{Bounds, aggregate, demand, supply};
    use crate::auction::{Point, Shape, Side};
    use crate::limits::PUBLISHED_POINTS_MAX;
    use alloc::vec;
    use alloc::vec::Vec;

    const BOUNDS: Bounds = Bounds { min: 0, max: 10_000 };

    fn points(list: &[(i64, i64)]) -> Vec<Point> {
        list.iter().map(|(price, quantity)| Point { price: *price, quantity: *quantity }).collect()
    }

    #[test]
    fn linear_quantities_round_towards_zero_on_both_sides() {
        let line = points(&[(0, 10), (3, -10)]);
        let d = |price| demand(Shape::Linear, &line, price, BOUNDS);
        let s = |price| supply(Shape::Linear, &line, price, BOUNDS);
        assert_eq!([d(0), d(1), d(2), d(3)], [10, 3, 0, 0]);
        assert_eq!([s(0), s(1), s(2), s(3)], [0, 0, 3, 10]);
        assert_eq!((d(10_001), s(-1)), (0, 0));
        assert_eq!((d(-5), s(9_999)), (10, 10));
    }

    #[test]
    fn a_thinned_curve_is_exact_at_the_points_kept() {
        let sells = points(&(0..2_000).map(|n| (n * 5, n % 7 + 1)).collect::<Vec<_>>());
        let line = points(&[(0, 500), (4_000, 0), (10_000, -700)]);
        let curves = vec![(Shape::Step(Side::Sell), &sells[..]), (Shape::Linear, &line[..])];
        let curve = aggregate(&curves, 3_333, BOUNDS);
        assert!(curve.sell.len() <= PUBLISHED_POINTS_MAX);
        for (price, lots) in &curve.sell {
            let exact: i64 = curves.iter().map(|(shape, it)| supply(*shape, it, *price, BOUNDS)).sum();
            assert_eq!(*lots, exact, "at {price}");
        }
        for (price, lots) in &curve.buy {
            let exact: i64 = curves.iter().map(|(shape, it)| demand(*shape, it, *price, BOUNDS)).sum();
            assert_eq!(*lots, exact, "at {price}");
        }
        assert_eq!(curve.sell.first().map(|it| it.0), Some(0));
        assert_eq!(curve.sell.last().map(|it| it.0), Some(10_000));
        assert!(curve.sell.iter().any(|it| it.0 == 3_333));
        assert!(curve.buy.is_sorted_by(|a, b| a.0 > b.0 && a.1 <= b.1));
    }
}
