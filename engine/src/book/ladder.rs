//! Step orders in merit order, packed: what is read of every order when an auction is filled and
//! verified.
//!
//! A step is a key and its lots. Keys ascend from the best price to the worst, so one rule serves
//! both sides: at clearing price p an order trades its steps with a key below that of p and may trade
//! those at it. Where prices and lots fit 32 bits, as they do in markets, a step takes 8 bytes.

use crate::auction::{Point, Side};
use alloc::vec::Vec;

/// The key of a price: sells by price, buys by its negative.
pub(crate) const fn key(side: Side, price: i64) -> i64 {
    side.sign() * price
}

/// One step of an order.
pub(crate) trait Rung: Copy {
    /// Where it stands in merit order.
    fn key(self) -> i64;
    /// Lots offered or wanted.
    fn lots(self) -> i64;
}

/// A step that fits 8 bytes.
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

impl Rung for Narrow {
    fn key(self) -> i64 {
        self.key.into()
    }

    fn lots(self) -> i64 {
        self.lots.into()
    }
}

impl Rung for Wide {
    fn key(self) -> i64 {
        self.key
    }

    fn lots(self) -> i64 {
        self.lots
    }
}

/// The steps of all step orders of a cell, order by order.
#[derive(Clone, Debug)]
pub(crate) enum Ladders {
    /// Every step fits 8 bytes.
    Narrow(Vec<Narrow>),
    /// One did not.
    Wide(Vec<Wide>),
}

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

    /// Adds an order's points in merit order.
    pub(super) fn push(&mut self, side: Side, points: &[Point]) {
        if let Self::Narrow(rungs) = self {
            let start = rungs.len();
            for point in points {
                let (key, lots) = (i32::try_from(key(side, point.price)), u32::try_from(point.quantity));
                if let (Ok(key), Ok(lots)) = (key, lots) {
                    rungs.push(Narrow { key, lots });
                }
            }
            if rungs.len() == start + points.len() {
                rungs[start..].sort_unstable_by_key(|it| it.key);
                return;
            }
            rungs.truncate(start);
            let wide = rungs.iter().map(|it| Wide { key: it.key(), lots: it.lots() }).collect();
            *self = Self::Wide(wide);
        }
        if let Self::Wide(rungs) = self {
            let start = rungs.len();
            rungs.extend(points.iter().map(|it| Wide { key: key(side, it.price), lots: it.quantity }));
            rungs[start..].sort_unstable_by_key(|it| it.key);
        }
    }
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
            Ladders::Narrow(rungs) => rungs.iter().map(|it| (it.key(), it.lots())).collect(),
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
}
