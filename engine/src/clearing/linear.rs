//! A linear portfolio curve, tick by tick, without ever walking over ticks.

use crate::auction::Point;
use core::cell::Cell;

/// A straight part of a curve: for prices above that of the left end, up to and at that of the right.
#[derive(Clone, Copy, Debug)]
struct Segment {
    left: Point,
    right: Point,
}

impl Segment {
    /// Holds for no price.
    const NOWHERE: Self =
        Self { left: Point { price: i64::MAX, quantity: 0 }, right: Point { price: i64::MIN, quantity: 0 } };

    /// The part in which a price lies; the curve is level beyond its points.
    fn at(points: &[Point], price: i64) -> Self {
        let after = points.partition_point(|point| point.price < price);
        let left = after.checked_sub(1).and_then(|before| points.get(before)).copied();
        let right = points.get(after).copied();
        let quantity = right.or(left).map_or(0, |it| it.quantity);
        Self {
            left: match right {
                Some(_) => left.unwrap_or(Point { price: i64::MIN, quantity }),
                None => Point { price: left.map_or(i64::MIN, |it| it.price), quantity },
            },
            right: right.unwrap_or(Point { price: i64::MAX, quantity }),
        }
    }

    const fn holds(&self, price: i64) -> bool {
        self.left.price < price && price <= self.right.price
    }

    /// Net lots wanted at a price, rounded towards zero.
    fn net(&self, price: i64) -> i64 {
        let Self { left, right } = self;
        if left.quantity == right.quantity {
            return right.quantity;
        }
        let width = right.price - left.price;
        let (to_left, to_right) = (price - left.price, right.price - price);
        // The weights are distances to the two ends: nothing here exceeds lots × ticks.
        if let (Some(high), Some(low)) =
            (left.quantity.checked_mul(to_right), right.quantity.checked_mul(to_left))
            && let Some(sum) = high.checked_add(low)
        {
            return sum / width;
        }
        let high = i128::from(left.quantity) * i128::from(to_right);
        let low = i128::from(right.quantity) * i128::from(to_left);
        i64::try_from((high + low) / i128::from(width)).expect("between the two quantities")
    }
}

/// Net lots wanted at a price: on the straight line between two points, rounded towards zero;
/// constant below the first and above the last point.
pub(super) fn net(points: &[Point], price: i64) -> i64 {
    Segment::at(points, price).net(price)
}

/// A linear order whose curve is looked up again and again: it remembers where it was looked up last,
/// and the next price mostly lies near.
#[derive(Clone, Debug)]
pub(super) struct Line<'book> {
    pub(super) points: &'book [Point],
    buys: bool,
    sells: bool,
    last: Cell<Segment>,
}

impl<'book> Line<'book> {
    pub(super) fn new(points: &'book [Point]) -> Self {
        Self { points, buys: buys(points), sells: sells(points), last: Cell::new(Segment::NOWHERE) }
    }

    fn net(&self, price: i64) -> i64 {
        let mut segment = self.last.get();
        if !segment.holds(price) {
            segment = Segment::at(self.points, price);
            self.last.set(segment);
        }
        segment.net(price)
    }

    /// As [`demand`].
    pub(super) fn demand(&self, price: i64, price_max: i64) -> i64 {
        if price > price_max || !self.buys { 0 } else { self.net(price).max(0) }
    }

    /// As [`supply`].
    pub(super) fn supply(&self, price: i64, price_min: i64) -> i64 {
        if price < price_min || !self.sells { 0 } else { (-self.net(price)).max(0) }
    }

    /// As [`surplus`].
    pub(super) fn surplus(&self, price: i64, bounds: (i64, i64)) -> i64 {
        let supply = self.supply(price, bounds.0);
        if supply == 0 { -self.demand(price + 1, bounds.1) } else { supply }
    }
}

/// S(price) − D(price + 1): what the order leaves between a price and the tick above.
pub(super) fn surplus(points: &[Point], price: i64, bounds: (i64, i64)) -> i64 {
    let supply = supply(points, price, bounds.0);
    // Whoever sells at a price buys nothing above it.
    if supply == 0 { -demand(points, price + 1, bounds.1) } else { supply }
}

/// Whether the order buys anything at any price.
fn buys(points: &[Point]) -> bool {
    points.first().is_some_and(|first| first.quantity > 0)
}

/// Whether the order sells anything at any price.
fn sells(points: &[Point]) -> bool {
    points.last().is_some_and(|last| last.quantity < 0)
}

/// Lots bought at a price when every tie goes the order's way.
pub(super) fn demand(points: &[Point], price: i64, price_max: i64) -> i64 {
    if price > price_max || !buys(points) { 0 } else { net(points, price).max(0) }
}

/// Lots sold at a price when every tie goes the order's way.
pub(super) fn supply(points: &[Point], price: i64, price_min: i64) -> i64 {
    if price < price_min || !sells(points) { 0 } else { (-net(points, price)).max(0) }
}

/// Σ limit price × lots of the dearest `bought` lots, which lie in [D(p+1), D(p)].
pub(super) fn buy_value(points: &[Point], price: i64, price_max: i64, bought: i64) -> i128 {
    if !buys(points) {
        return 0;
    }
    // Abel: Σ over x > p of x·(D(x) − D(x+1)) = (p+1)·D(p+1) + Σ over x in p+2 ..= max of D(x).
    let above = demand(points, price + 1, price_max);
    let mut value = i128::from(price) * i128::from(bought - above);
    if price < price_max {
        value += i128::from(price + 1) * i128::from(above);
        value += sum_positive(points, 1, price + 2, price_max);
    }
    value
}

/// Σ limit price × lots of the cheapest `sold` lots, which lie in [S(p−1), S(p)].
pub(super) fn sell_value(points: &[Point], price: i64, price_min: i64, sold: i64) -> i128 {
    if !sells(points) {
        return 0;
    }
    // Σ over x < p of x·(S(x) − S(x−1)) = (p−1)·S(p−1) − Σ over x in min ..= p−2 of S(x).
    let below = supply(points, price - 1, price_min);
    let mut value = i128::from(price) * i128::from(sold - below);
    if price > price_min {
        value += i128::from(price - 1) * i128::from(below);
        value -= sum_positive(points, -1, price_min, price - 2);
    }
    value
}

/// Σ over ticks first ..= last of max(sign × N, 0).
fn sum_positive(points: &[Point], sign: i64, first: i64, last: i64) -> i128 {
    let (Some(&start), Some(&end)) = (points.first(), points.last()) else { return 0 };
    if first > last {
        return 0;
    }
    let mut sum = flat(sign * start.quantity, first, last.min(start.price));
    sum += flat(sign * end.quantity, first.max(end.price + 1), last);
    for pair in points.windows(2) {
        let &[left, right] = pair else { continue };
        // Each segment counts its right end; the left end of the first was counted above.
        let (from, to) = (first.max(left.price + 1), last.min(right.price));
        if from > to {
            continue;
        }
        sum += if left.quantity == right.quantity {
            flat(sign * left.quantity, from, to)
        } else {
            slope(left, right, sign, from, to)
        };
    }
    sum
}

fn flat(lots: i64, first: i64, last: i64) -> i128 {
    if lots <= 0 || first > last { 0 } else { i128::from(lots) * i128::from(last - first + 1) }
}

/// Σ over ticks first ..= last of ⌊sign × line⌋ where that is positive.
fn slope(left: Point, right: Point, sign: i64, mut first: i64, mut last: i64) -> i128 {
    let width = i128::from(right.price - left.price);
    let rise = i128::from(sign) * i128::from(right.quantity - left.quantity);
    let base = i128::from(sign) * i128::from(left.quantity) * width;
    let at = |price: i64| base + rise * i128::from(price - left.price);
    // The line is monotone: keep the part where it is above zero.
    if rise > 0 {
        if at(first) <= 0 {
            let step = (-at(first)).div_euclid(rise) + 1;
            match i64::try_from(step) {
                Ok(step) if step <= last - first => first += step,
                Ok(_) | Err(_) => return 0,
            }
        }
    } else if at(last) <= 0 {
        let step = (-at(last)).div_euclid(-rise) + 1;
        match i64::try_from(step) {
            Ok(step) if step <= last - first => last -= step,
            Ok(_) | Err(_) => return 0,
        }
    }
    // Read from the low end, so that neither slope nor start is negative.
    let (start, slope) = if rise > 0 { (at(first), rise) } else { (at(last), -rise) };
    floor_sum(last - first + 1, width, slope, start)
}

/// Σ of ⌊(a·i + b) / m⌋ for i in 0 .. n, with a, b ≥ 0 and m > 0.
fn floor_sum(n: i64, m: i128, a: i128, b: i128) -> i128 {
    let narrow = |value: i128| u64::try_from(value).ok().filter(|it| *it < 1 << 62);
    if let (Ok(n), Some(m), Some(a), Some(b)) = (u64::try_from(n), narrow(m), narrow(a), narrow(b))
        && a.checked_mul(n).and_then(|it| it.checked_add(b)).is_some_and(|it| it < 1 << 62)
    {
        return floor_sum_narrow(n, m, a, b);
    }
    floor_sum_wide(i128::from(n), m, a, b)
}

/// As [`floor_sum`] where `a·n + b` fits 62 bits: then every later round is smaller still.
fn floor_sum_narrow(mut n: u64, mut m: u64, mut a: u64, mut b: u64) -> i128 {
    let mut total: u128 = 0;
    loop {
        if a >= m {
            total += u128::from(n) * u128::from(n.saturating_sub(1)) / 2 * u128::from(a / m);
            a %= m;
        }
        if b >= m {
            total += u128::from(n) * u128::from(b / m);
            b %= m;
        }
        let top = a * n + b;
        if top < m {
            return i128::try_from(total).expect("a sum of lots over ticks fits by limits.rs");
        }
        n = top / m;
        b = top % m;
        core::mem::swap(&mut m, &mut a);
    }
}

fn floor_sum_wide(mut n: i128, mut m: i128, mut a: i128, mut b: i128) -> i128 {
    let mut total = 0;
    loop {
        total += n * (n - 1) / 2 * (a / m) + n * (b / m);
        a %= m;
        b %= m;
        let top = a * n + b;
        if top < m {
            return total;
        }
        n = top / m;
        b = top % m;
        core::mem::swap(&mut m, &mut a);
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, buy_value, demand, floor_sum, floor_sum_wide, net, sell_value, supply};
    use crate::auction::Point;
    use alloc::vec::Vec;

    struct Seed(u64);
    impl Seed {
        fn below(&mut self, bound: u64) -> i64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            i64::try_from((self.0 >> 11) % bound).unwrap()
        }
    }

    #[test]
    fn floor_sums_agree_with_plain_addition() {
        let mut seed = Seed(1);
        for _ in 0..20_000 {
            let (n, m) = (seed.below(30), seed.below(40) + 1);
            let (a, b) = (seed.below(90), seed.below(90));
            let plain: i64 = (0..n).map(|i| (a * i + b) / m).sum();
            assert_eq!(floor_sum(n, m.into(), a.into(), b.into()), plain.into(), "{n} {m} {a} {b}");
            assert_eq!(floor_sum_wide(n.into(), m.into(), a.into(), b.into()), plain.into());
        }
    }

    #[test]
    fn values_agree_with_a_walk_over_every_tick() {
        let mut seed = Seed(2);
        for _ in 0..3_000 {
            let (low, high) = (-20 - seed.below(5), 20 + seed.below(5));
            let mut points = Vec::new();
            let (mut price, mut quantity) = (low + seed.below(12), seed.below(60));
            while price <= high && points.len() < 6 {
                points.push(Point { price, quantity });
                price += 1 + seed.below(14);
                quantity -= seed.below(35);
            }
            for price in low..=high {
                let (above, most) = (demand(&points, price + 1, high), demand(&points, price, high));
                let plain: i64 = (price + 1..=high)
                    .map(|x| x * (demand(&points, x, high) - demand(&points, x + 1, high)))
                    .sum();
                for bought in [above, most] {
                    let expected = plain + price * (bought - above);
                    assert_eq!(
                        buy_value(&points, price, high, bought),
                        expected.into(),
                        "{points:?} {price}"
                    );
                }
                let (below, most) = (supply(&points, price - 1, low), supply(&points, price, low));
                let plain: i64 =
                    (low..price).map(|x| x * (supply(&points, x, low) - supply(&points, x - 1, low))).sum();
                for sold in [below, most] {
                    let expected = plain + price * (sold - below);
                    assert_eq!(sell_value(&points, price, low, sold), expected.into(), "{points:?} {price}");
                }
            }
        }
    }

    #[test]
    fn a_line_remembers_where_it_was_looked_up_and_answers_the_same() {
        let mut seed = Seed(3);
        for _ in 0..300 {
            let (mut price, mut quantity) = (-20 + seed.below(12), seed.below(60) - 20);
            let mut points = Vec::new();
            for _ in 0..=seed.below(6) {
                points.push(Point { price, quantity });
                price += 1 + seed.below(9);
                quantity -= seed.below(35);
            }
            let line = Line::new(&points);
            for _ in 0..60 {
                let price = seed.below(70) - 30;
                let plain = (demand(&points, price, 25), supply(&points, price, -25));
                assert_eq!((line.demand(price, 25), line.supply(price, -25)), plain, "{points:?} {price}");
                let surplus = supply(&points, price, -25) - demand(&points, price + 1, 25);
                assert_eq!(line.surplus(price, (-25, 25)), surplus, "{points:?} {price}");
            }
        }
    }

    #[test]
    fn net_quantity_is_rounded_towards_zero_on_both_sides() {
        let points = [Point { price: 0, quantity: 5 }, Point { price: 3, quantity: -5 }];
        let nets: Vec<i64> = (-1..=4).map(|price| net(&points, price)).collect();
        assert_eq!(nets, [5, 5, 1, -1, -5, -5]);
    }
}
