//! Where an order stands at a clearing price: what it must and may trade, and what that is worth.
//!
//! Written from the format page alone: `D(p)` is what a curve buys and `S(p)` what it sells at price
//! p with every tie going its way; at clearing price p it trades between `D(p + 1)` and `D(p)`,
//! between `S(p − 1)` and `S(p)`.

use crate::auction::{Point, Side};
use crate::book::Rung;
use core::cmp::Ordering;

/// One side of one order at one price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stand {
    /// Lots that trade at this price whatever happens: `D(p + 1)` or `S(p − 1)`.
    pub(super) beyond: i64,
    /// Lots tied at this price.
    pub(super) tied: i64,
    /// Limit price × quantity of the lots beyond.
    pub(super) value: i128,
}

/// Distances in ticks from the clearing price to the nearest points on either side of it, or
/// [`Near::NONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Near {
    /// To the nearest point that trades anyway.
    pub(super) better: i64,
    /// To the nearest point that does not trade.
    pub(super) worse: i64,
}

impl Near {
    /// No point lies on that side.
    pub(super) const NONE: i64 = i64::MAX;
}

/// A step order where its side has the key `at`: one pass over its steps, which stand best first.
/// `value` has the sign of the keys.
///
/// Without branches, see [`crate::book`]'s ladder; ties are rare.
#[inline]
pub(super) fn step<R: Rung>(steps: &[R], at: i64) -> (Stand, Near) {
    let limit = R::limit(at);
    let (mut ahead, mut beyond, mut value) = (0_usize, 0, R::Worth::default());
    for step in steps {
        let trades = step.key() < limit;
        ahead = ahead.wrapping_add(usize::from(trades));
        beyond = step.add_lots(beyond, trades);
        value = step.add_worth(value, trades);
    }
    let mut stand = Stand { beyond, tied: 0, value: value.into() };
    let mut near = Near { better: Near::NONE, worse: Near::NONE };
    let Some(last) = steps.len().checked_sub(1) else { return (stand, near) };
    let (better, worse) = (steps[ahead.max(1) - 1], steps[ahead.min(last)]);
    if ahead > 0 {
        near.better = at - better.key().into();
    }
    if ahead <= last {
        near.worse = worse.key().into() - at;
    }
    if near.worse == 0 {
        near.worse = Near::NONE;
        for step in &steps[ahead..] {
            if step.key() > limit {
                near.worse = step.key().into() - at;
                break;
            }
            stand.tied += step.lots();
        }
    }
    (stand, near)
}

/// Points in any order at `price`: what trades anyway, and what may.
pub(super) fn range(points: &[Point], side: Side, price: i64) -> (i64, i64) {
    let (mut beyond, mut tied) = (0, 0);
    for point in points {
        match (point.price * side.sign()).cmp(&(price * side.sign())) {
            Ordering::Less => beyond += point.quantity,
            Ordering::Equal => tied += point.quantity,
            Ordering::Greater => {}
        }
    }
    (beyond, beyond + tied)
}

/// A linear curve between the price bounds of its auction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linear<'a> {
    pub(super) points: &'a [Point],
    pub(super) price_min: i64,
    pub(super) price_max: i64,
}

impl Linear<'_> {
    /// Net lots wanted at `price`, the exact fraction rounded towards zero.
    fn net(&self, price: i64) -> i64 {
        let above = self.points.partition_point(|it| it.price < price);
        let Some(right) = self.points.get(above) else {
            return self.points.last().map_or(0, |it| it.quantity);
        };
        let left = match above.checked_sub(1).and_then(|it| self.points.get(it)) {
            Some(left) if right.price != price => left,
            Some(_) | None => return right.quantity,
        };
        let (width, along) = (right.price - left.price, price - left.price);
        let (start, rise) = (left.quantity, right.quantity - left.quantity);
        // Machine words where they do: dividing wide numbers costs several times more.
        let words = start.checked_mul(width).zip(rise.checked_mul(along));
        if let Some(number) = words.and_then(|(flat, slope)| flat.checked_add(slope)) {
            return number / width;
        }
        let number = i128::from(start) * i128::from(width) + i128::from(rise) * i128::from(along);
        i64::try_from(number / i128::from(width)).expect("a point of a line lies between its ends")
    }

    /// Whether it ever trades on a side: quantities never rise with the price.
    fn trades(&self, side: Side) -> bool {
        match side {
            Side::Buy => self.points.first().is_some_and(|it| it.quantity > 0),
            Side::Sell => self.points.last().is_some_and(|it| it.quantity < 0),
        }
    }

    /// `D(price)`.
    pub(super) fn demand(&self, price: i64) -> i64 {
        if price > self.price_max || !self.trades(Side::Buy) { 0 } else { self.net(price).max(0) }
    }

    /// `S(price)`.
    pub(super) fn supply(&self, price: i64) -> i64 {
        if price < self.price_min || !self.trades(Side::Sell) { 0 } else { (-self.net(price)).max(0) }
    }

    /// Both sides at `price`: buys, then sells.
    pub(super) fn stands(&self, price: i64) -> (Stand, Stand) {
        let bought = self.demand(price + 1);
        let sold = self.supply(price - 1);
        // Summation by parts: Σ over x > p of x (D(x) − D(x + 1)) = (p + 1) D(p + 1) + Σ over
        // x ≥ p + 2 of D(x), and likewise below for the sells.
        let buy_value =
            i128::from(price + 1) * i128::from(bought) + self.sum(Side::Buy, price + 2, self.price_max);
        let sell_value =
            i128::from(price - 1) * i128::from(sold) - self.sum(Side::Sell, self.price_min, price - 2);
        let buy = Stand { beyond: bought, tied: self.demand(price) - bought, value: buy_value };
        let sell = Stand { beyond: sold, tied: self.supply(price) - sold, value: sell_value };
        (buy, sell)
    }

    /// Sum of `D` (buy) or `S` (sell) over the ticks `first ..= last`.
    fn sum(&self, side: Side, first: i64, last: i64) -> i128 {
        if !self.trades(side) {
            return 0;
        }
        let sign = i128::from(-side.sign());
        let (Some(lowest), Some(highest)) = (self.points.first(), self.points.last()) else { return 0 };
        let flat = |quantity: i64, first: i64, last: i64| {
            (i128::from(quantity) * sign).max(0) * i128::from((last - first + 1).max(0))
        };
        let mut total = flat(lowest.quantity, first, last.min(lowest.price));
        total += flat(highest.quantity, first.max(highest.price + 1), last);
        for pair in self.points.windows(2) {
            let &[left, right] = pair else { continue };
            // A segment owns the ticks above its left end, up to and with its right end.
            let (from, to) = (first.max(left.price + 1), last.min(right.price));
            if from > to {
                continue;
            }
            if left.quantity == right.quantity {
                total += flat(left.quantity, from, to);
            } else {
                total += segment_sum(left, right, side, from, to);
            }
        }
        total
    }
}

/// Sum over the ticks `from ..= to` of the positive part, rounded down, of a falling segment (buy)
/// or of its negation (sell).
fn segment_sum(left: Point, right: Point, side: Side, from: i64, to: i64) -> i128 {
    let width = i128::from(right.price - left.price);
    let fall = i128::from(left.quantity) - i128::from(right.quantity);
    let start = i128::from(left.quantity) * width;
    // The exact quantity at tick left.price + t is (start − fall t) / width.
    let (from, to) = (i128::from(from - left.price), i128::from(to - left.price));
    match side {
        Side::Buy => {
            // Positive while fall t < start; read from its far end it rises.
            let to = to.min((start - 1).div_euclid(fall));
            if from > to { 0 } else { floor_sum(to - from + 1, width, fall, start - fall * to) }
        }
        Side::Sell => {
            let from = from.max(start.div_euclid(fall) + 1);
            if from > to { 0 } else { floor_sum(to - from + 1, width, fall, fall * from - start) }
        }
    }
}

/// Sum of ⌊(a i + b) / m⌋ for i in 0 .. n, all of them ≥ 0 and m > 0: Euclid's algorithm on the
/// lattice points below a line.
fn floor_sum(n: i128, m: i128, a: i128, b: i128) -> i128 {
    // While n ≤ m no term of these exceeds a n + b, so machine words do for all but vast curves.
    if n <= m && m < 1 << 30 && a < 1 << 30 && b < 1 << 60 {
        let word = |it| u64::try_from(it).expect("below 2^60 and not negative");
        return floor_sum_of_words(word(n), word(m), word(a), word(b)).into();
    }
    let (mut n, mut m, mut a, mut b) = (n, m, a, b);
    let mut total = 0;
    while n > 0 {
        total += n * (n - 1) / 2 * (a / m) + n * (b / m);
        a %= m;
        b %= m;
        let top = a * n + b;
        n = top / m;
        b = top % m;
        (m, a) = (a, m);
        if m == 0 {
            break;
        }
    }
    total
}

/// [`floor_sum`] where n ≤ m < 2^30, a < 2^30 and b < 2^60. In every round a n + b stays below 2^61,
/// n never grows, and the terms added sum up to at most n (a n + b) / m.
fn floor_sum_of_words(mut n: u64, mut m: u64, mut a: u64, mut b: u64) -> u64 {
    let mut total = 0;
    while n > 0 {
        total += n * (n - 1) / 2 * (a / m) + n * (b / m);
        a %= m;
        b %= m;
        let top = a * n + b;
        n = top / m;
        b = top % m;
        (m, a) = (a, m);
        if m == 0 {
            break;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::{Linear, Near, Stand, floor_sum, range, step};
    use crate::auction::{Point, Side};
    use crate::book::Rung;
    use alloc::vec::Vec;
    use alloc::{format, vec};

    fn point(price: i64, quantity: i64) -> Point {
        Point { price, quantity }
    }

    /// A small generator of its own: the judge shares nothing with the accused.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, below: u64) -> i64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from((self.0 >> 33) % below).unwrap()
        }
    }

    #[test]
    fn floor_sums_equal_their_terms_added_up() {
        let mut dice = Dice(1);
        for _ in 0..2_000 {
            let (n, m) = (i128::from(dice.roll(30)), i128::from(dice.roll(12)) + 1);
            let (a, b) = (i128::from(dice.roll(40)), i128::from(dice.roll(40)));
            let slow: i128 = (0..n).map(|i| (a * i + b) / m).sum();
            assert_eq!(floor_sum(n, m, a, b), slow, "n {n} m {m} a {a} b {b}");
        }
    }

    #[test]
    fn words_and_wide_numbers_give_the_same_floor_sums() {
        let mut dice = Dice(3);
        for bits in [4, 12, 20, 29, 30] {
            for _ in 0..500 {
                let m = i128::from(dice.roll(1 << bits)) + 1;
                let n = i128::from(dice.roll(u64::try_from(m).unwrap())) + 1;
                let (a, b) = (i128::from(dice.roll(1 << bits)), i128::from(dice.roll(1 << 31)) << (bits - 2));
                let (a, b) = (a.min((1 << 30) - 1), b.min((1 << 60) - 1));
                // Twice as many terms do not fit the words' contract, so this goes the wide way.
                let wide = floor_sum(2 * m, m, a, b) - floor_sum(2 * m - n, m, a, b + a * n);
                let shifted = floor_sum(n, m, a, b);
                assert_eq!(wide, shifted, "n {n} m {m} a {a} b {b}");
            }
        }
    }

    /// A step as an order holds it.
    #[derive(Clone, Copy)]
    struct Step(i64, i64);

    impl Rung for Step {
        type Key = i64;
        type Worth = i128;

        fn limit(key: i64) -> i64 {
            key
        }

        fn key(self) -> i64 {
            self.0
        }

        fn lots(self) -> i64 {
            self.1
        }

        fn add_lots(self, sum: i64, counts: bool) -> i64 {
            if counts { sum + self.1 } else { sum }
        }

        fn add_worth(self, sum: i128, counts: bool) -> i128 {
            if counts { sum + i128::from(self.0) * i128::from(self.1) } else { sum }
        }
    }

    #[test]
    fn vast_step_curves_are_summed_exactly() {
        let far = 1_000_000_000_000;
        let steps = [Step(-far, far), Step(-far, 7), Step(far, far)];
        let (stand, near) = step(&steps, far);
        assert_eq!(stand.value, -i128::from(far) * i128::from(far + 7));
        assert_eq!((stand.beyond, stand.tied, near.better), (far + 7, far, 2 * far));
    }

    #[test]
    fn a_step_curve_stands_between_its_points() {
        let steps = [Step(10, 2), Step(20, 3), Step(20, 1), Step(30, 5)];
        let (stand, near) = step(&steps, 20);
        assert_eq!(stand, Stand { beyond: 2, tied: 4, value: 20 });
        assert_eq!(near, Near { better: 10, worse: 10 });
        let steps = [Step(-30, 5), Step(-20, 3), Step(-20, 1), Step(-10, 2)];
        let (stand, near) = step(&steps, -15);
        assert_eq!(stand, Stand { beyond: 9, tied: 0, value: -230 });
        assert_eq!(near, Near { better: 5, worse: 5 });
        let (stand, near) = step(&steps, -40);
        assert_eq!(stand, Stand::default());
        assert_eq!(near, Near { better: Near::NONE, worse: 10 });
        let points = [point(30, 5), point(10, 2), point(20, 3), point(20, 1)];
        assert_eq!(range(&points, Side::Sell, 20), (2, 6));
        assert_eq!(range(&points, Side::Buy, 20), (5, 9));
        assert_eq!(range(&points, Side::Buy, 40), (0, 0));
    }

    /// The definition, read out: one step per tick.
    fn slow_stands(curve: &Linear<'_>, price: i64) -> (Stand, Stand) {
        let (mut buy, mut sell) = (Stand::default(), Stand::default());
        for tick in curve.price_min..=curve.price_max {
            let wanted = i128::from(curve.demand(tick) - curve.demand(tick + 1));
            let offered = i128::from(curve.supply(tick) - curve.supply(tick - 1));
            if tick > price {
                buy.value += i128::from(tick) * wanted;
            }
            if tick < price {
                sell.value += i128::from(tick) * offered;
            }
        }
        buy.beyond = curve.demand(price + 1);
        sell.beyond = curve.supply(price - 1);
        buy.tied = curve.demand(price) - buy.beyond;
        sell.tied = curve.supply(price) - sell.beyond;
        (buy, sell)
    }

    /// The quantity at a tick by search for the segment and floating-free rounding towards zero.
    fn slow_net(points: &[Point], price: i64) -> i64 {
        for pair in points.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            if a.price <= price && price <= b.price {
                let number = a.quantity * (b.price - price) + b.quantity * (price - a.price);
                return number / (b.price - a.price);
            }
        }
        if price < points[0].price { points[0].quantity } else { points[points.len() - 1].quantity }
    }

    #[test]
    fn a_linear_curve_is_one_step_per_tick() {
        let mut dice = Dice(2);
        for round in 0..400 {
            let (price_min, price_max) = (-dice.roll(15), dice.roll(25) + 1);
            let mut prices: Vec<i64> = (0..=dice.roll(5))
                .map(|_| price_min + dice.roll(u64::try_from(price_max - price_min + 1).unwrap()))
                .collect();
            prices.sort_unstable();
            prices.dedup();
            let mut quantity = dice.roll(60) - 20;
            let mut points = vec![];
            for price in prices {
                points.push(point(price, quantity));
                quantity -= dice.roll(30);
            }
            let curve = Linear { points: &points, price_min, price_max };
            for price in price_min..=price_max {
                let place = format!("round {round} {points:?} at {price}");
                assert_eq!(curve.net(price), slow_net(&points, price), "{place}");
                assert_eq!(curve.stands(price), slow_stands(&curve, price), "{place}");
            }
        }
    }
}
