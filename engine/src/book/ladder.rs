//! Step orders in merit order, packed: what is read of every order when an auction is filled and
//! verified.
//!
//! A step is a key and its lots. Keys ascend from the best price to the worst, so one rule serves
//! both sides: at clearing price p an order trades its steps with a key below that of p and may trade
//! those at it. Where prices and lots fit 32 bits, as they do in markets, a step takes 8 bytes.
//!
//! Which step is the last to trade cannot be foreseen, and a processor that guesses wrong waits longer
//! than it takes to look at a few more steps. So steps are summed under a mask, without a branch; the
//! sums of an order fit their words by the bounds of `limits.rs`, and nothing here wraps.

use crate::auction::{Point, Side};
use crate::snapshot::{keep_enum, keep_struct};
use alloc::vec::Vec;

/// The key of a price: sells by price, buys by its negative.
pub(crate) const fn key(side: Side, price: i64) -> i64 {
    side.sign() * price
}

/// One step of an order.
pub(crate) trait Rung: Copy {
    /// Where it stands in merit order.
    type Key: Copy + Ord + Into<i64>;
    /// Holds Σ key × lots of the steps of an order.
    type Worth: Copy + Default + Into<i128>;

    /// The key that lies to the keys of all steps as `key` does.
    fn limit(key: i64) -> Self::Key;
    /// Where it stands in merit order.
    fn key(self) -> Self::Key;
    /// Lots offered or wanted.
    fn lots(self) -> i64;
    /// Adds its lots if they count.
    fn add_lots(self, sum: i64, counts: bool) -> i64;
    /// Adds its key × lots if they count.
    fn add_worth(self, sum: Self::Worth, counts: bool) -> Self::Worth;
}

/// A step that fits 8 bytes: its key lies between the ends of an `i32`, the lots of its order add up in
/// a `u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Narrow {
    key: i32,
    lots: u32,
}

/// Any step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wide {
    key: i64,
    lots: i64,
}

impl Narrow {
    fn new(key: i64, lots: i64) -> Option<Self> {
        let key = i32::try_from(key).ok().filter(|it| (i32::MIN + 1..i32::MAX).contains(it))?;
        Some(Self { key, lots: u32::try_from(lots).ok()? })
    }

    fn masked(self, counts: bool) -> i64 {
        (self.lots & u32::from(counts).wrapping_neg()).into()
    }
}

impl Rung for Narrow {
    type Key = i32;
    type Worth = i64;

    fn limit(key: i64) -> i32 {
        // No step has its key at an end.
        i32::try_from(key).unwrap_or(if key < 0 { i32::MIN } else { i32::MAX })
    }

    fn key(self) -> i32 {
        self.key
    }

    fn lots(self) -> i64 {
        self.lots.into()
    }

    fn add_lots(self, sum: i64, counts: bool) -> i64 {
        sum.wrapping_add(self.masked(counts))
    }

    fn add_worth(self, sum: i64, counts: bool) -> i64 {
        // At most 2^31 × Σ lots, which is below 2^32.
        sum.wrapping_add(i64::from(self.key).wrapping_mul(self.masked(counts)))
    }
}

impl Rung for Wide {
    type Key = i64;
    type Worth = i128;

    fn limit(key: i64) -> i64 {
        key
    }

    fn key(self) -> i64 {
        self.key
    }

    fn lots(self) -> i64 {
        self.lots
    }

    fn add_lots(self, sum: i64, counts: bool) -> i64 {
        sum.wrapping_add(self.lots & i64::from(counts).wrapping_neg())
    }

    fn add_worth(self, sum: i128, counts: bool) -> i128 {
        let lots = self.add_lots(0, counts);
        sum.wrapping_add(i128::from(self.key).wrapping_mul(i128::from(lots)))
    }
}

/// The steps of all step orders of a period, order by order.
///
/// In one piece for all areas: memory hands out a long piece several times faster than many short
/// ones, and filling and verifying a day is little else than reading it.
#[derive(Clone, Debug)]
pub(crate) enum Ladders {
    /// Every step fits 8 bytes.
    Narrow(Vec<Narrow>),
    /// One did not.
    Wide(Vec<Wide>),
}

keep_struct! {
    Narrow { key, lots }
    Wide { key, lots }
}
keep_enum! { Ladders { 0 = Narrow(rungs), 1 = Wide(rungs) } }

impl Default for Ladders {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

impl Ladders {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Narrow(rungs) => rungs.len(),
            Self::Wide(rungs) => rungs.len(),
        }
    }

    /// Reads one step in each line of 64 bytes.
    pub(super) fn touch(&self) -> i64 {
        match self {
            Self::Narrow(rungs) => first_lots(rungs.chunks(8)),
            Self::Wide(rungs) => first_lots(rungs.chunks(4)),
        }
    }

    /// Adds an order's points in merit order and returns where they start.
    pub(super) fn push(&mut self, side: Side, points: &[Point]) -> u32 {
        let at = u32::try_from(self.len()).expect("limits::POINTS_MAX steps fit a u32");
        if let (Self::Narrow(rungs), [point]) = (&mut *self, points)
            && let Some(rung) = Narrow::new(key(side, point.price), point.quantity)
        {
            // As nearly all are: nothing to sum up or to sort.
            rungs.push(rung);
            return at;
        }
        if let Self::Narrow(rungs) = self {
            let start = rungs.len();
            let total: i64 = points.iter().map(|it| it.quantity).sum();
            if u32::try_from(total).is_ok() {
                rungs.extend(points.iter().map_while(|it| Narrow::new(key(side, it.price), it.quantity)));
            }
            if rungs.len() == start + points.len() {
                rungs[start..].sort_unstable_by_key(|it| it.key);
                return at;
            }
            rungs.truncate(start);
            let wide = rungs.iter().map(|it| Wide { key: it.key.into(), lots: it.lots() }).collect();
            *self = Self::Wide(wide);
        }
        if let Self::Wide(rungs) = self {
            let start = rungs.len();
            rungs.extend(points.iter().map(|it| Wide { key: key(side, it.price), lots: it.quantity }));
            rungs[start..].sort_unstable_by_key(|it| it.key);
        }
        at
    }
}

fn first_lots<'a, R: Rung + 'a>(lines: impl Iterator<Item = &'a [R]>) -> i64 {
    lines.fold(0, |sum: i64, line| sum.wrapping_add(line[0].lots()))
}

#[cfg(test)]
mod tests {
    use super::{Ladders, Rung, Wide};
    use crate::auction::{Point, Side};
    use alloc::vec::Vec;

    fn point(price: i64, quantity: i64) -> Point {
        Point { price, quantity }
    }

    fn all(ladders: &Ladders) -> Vec<(i64, i64)> {
        match ladders {
            Ladders::Narrow(rungs) => rungs.iter().map(|it| (it.key().into(), it.lots())).collect(),
            Ladders::Wide(rungs) => rungs.iter().map(|it| (it.key(), it.lots())).collect(),
        }
    }

    #[test]
    fn steps_stand_in_merit_order_and_widen_when_one_does_not_fit() {
        let mut ladders = Ladders::default();
        ladders.push(Side::Buy, &[point(30, 1), point(50, 2), point(-10, 3), point(50, 4)]);
        let mut first = all(&ladders);
        assert!(matches!(ladders, Ladders::Narrow(_)));
        assert_eq!(first.iter().map(|it| it.0).collect::<Vec<_>>(), [-50, -50, -30, 10]);
        assert_eq!(first.iter().map(|it| it.1).sum::<i64>(), 10);
        ladders.push(Side::Sell, &[point(7, 1), point(2, 1 << 32)]);
        first.extend([(2, 1 << 32), (7, 1)]);
        assert_eq!(all(&ladders), first);
        let Ladders::Wide(rungs) = &ladders else { panic!("widened") };
        assert_eq!(rungs[4], Wide { key: 2, lots: 1 << 32 });
        ladders.push(Side::Sell, &[point(-(1 << 40), 9)]);
        assert_eq!(all(&ladders)[6], (-(1 << 40), 9));
    }

    /// One point by itself, at the ends of what is narrow and beyond them.
    #[test]
    fn a_single_step_is_narrow_exactly_where_its_key_and_lots_fit() {
        let end = i64::from(i32::MAX);
        let most = i64::from(u32::MAX);
        for side in [Side::Buy, Side::Sell] {
            for price in [-end - 2, -end - 1, -end, 1 - end, 0, end - 1, end, end + 1, end + 2] {
                for lots in [0, 1, most - 1, most, most + 1] {
                    let mut ladders = Ladders::default();
                    assert_eq!(ladders.push(side, &[point(price, lots)]), 0);
                    assert_eq!(ladders.push(side, &[point(7, 1)]), 1);
                    let key = side.sign() * price;
                    assert_eq!(all(&ladders), [(key, lots), (side.sign() * 7, 1)]);
                    let fits = -end <= key && key < end && lots <= most;
                    assert_eq!(matches!(ladders, Ladders::Narrow(_)), fits, "{side:?} {price} {lots}");
                }
            }
        }
    }

    /// (lots, Σ key × lots) of the first order's steps with a key below `key`.
    fn below<R: Rung>(rungs: &[R], key: i64) -> (i64, i128) {
        let limit = R::limit(key);
        let sum = |(lots, worth): (i64, R::Worth), it: &R| {
            let counts = it.key() < limit;
            (it.add_lots(lots, counts), it.add_worth(worth, counts))
        };
        let (lots, worth) = rungs.iter().fold((0, R::Worth::default()), sum);
        (lots, worth.into())
    }

    #[test]
    fn narrow_and_wide_steps_add_up_alike_at_the_ends_of_their_range() {
        let end = i64::from(i32::MAX);
        let lots = i64::from(u32::MAX) / 2;
        let points = [point(-end, lots), point(0, 1), point(end - 1, lots)];
        let mut narrow = Ladders::default();
        narrow.push(Side::Sell, &points);
        let Ladders::Narrow(rungs) = &narrow else { panic!("every step fits") };
        let wide: Vec<Wide> = points.iter().map(|it| Wide { key: it.price, lots: it.quantity }).collect();
        for key in [-end * 4, -end - 1, -end, 1 - end, 0, 1, end - 1, end, end + 1, end * 4] {
            assert_eq!(below(rungs, key), below(&wide, key), "{key}");
        }
        for order in [[point(end, 1), point(0, 1)], [point(0, lots + 1), point(1, lots + 1)]] {
            let mut ladders = Ladders::default();
            ladders.push(Side::Sell, &order);
            assert!(matches!(ladders, Ladders::Wide(_)), "{order:?}");
        }
    }
}
