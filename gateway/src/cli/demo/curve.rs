//! Bid curves as plain data: whole rupees per MWh and tenths of a MW, as the market's ticks ask.

use super::profile::CAP;
use std::collections::BTreeSet;

/// One point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// Rupees per MWh.
    pub(super) rupees: i64,
    /// Tenths of a MW; in a portfolio curve positive buys and negative sells.
    pub(super) tenths: i64,
}

/// How points are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Steps wanted at their price or below.
    Buy,
    /// Steps offered at their price or above.
    Sell,
    /// A linear portfolio: net quantities, straight lines between points.
    Portfolio,
}

/// What a portfolio bids in one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Curve {
    /// How `points` are read.
    pub(super) shape: Shape,
    /// Prices rising; a portfolio curve has points at the floor and at the cap.
    pub(super) points: Vec<Point>,
}

/// Quantities by limit price, before they become a curve. A buyer's tranche at the cap is wanted at
/// any price.
#[derive(Clone, Debug, Default)]
pub(super) struct Ladder {
    /// (rupees, tenths) wanted.
    pub(super) buy: Vec<(i64, i64)>,
    /// (rupees, tenths) offered.
    pub(super) sell: Vec<(i64, i64)>,
}

impl Ladder {
    /// The ladder as steps of its one side, or nothing if it is empty.
    pub(super) fn steps(&self) -> Option<Curve> {
        assert!(self.buy.is_empty() || self.sell.is_empty(), "a step curve has one side");
        let (shape, tranches) =
            if self.buy.is_empty() { (Shape::Sell, &self.sell) } else { (Shape::Buy, &self.buy) };
        let mut points: Vec<Point> = Vec::with_capacity(tranches.len());
        let mut sorted = tranches.clone();
        sorted.sort_unstable();
        for (rupees, tenths) in sorted.into_iter().filter(|it| it.1 > 0) {
            match points.last_mut() {
                Some(last) if last.rupees == rupees => last.tenths += tenths,
                _ => points.push(Point { rupees, tenths }),
            }
        }
        (!points.is_empty()).then_some(Curve { shape, points })
    }

    /// The ladder as a linear portfolio, or nothing if it is empty. A tranche comes (or goes) along
    /// the last eighth below its price, so that no two neighbouring prices are far apart in quantity.
    pub(super) fn portfolio(&self) -> Option<Curve> {
        if self.buy.iter().chain(&self.sell).all(|it| it.1 == 0) {
            return None;
        }
        let mut knots = BTreeSet::from([0, CAP]);
        for &(rupees, _) in self.buy.iter().chain(&self.sell) {
            knots.extend([ramp(rupees), rupees]);
        }
        let points = knots.into_iter().map(|rupees| Point { rupees, tenths: self.net(rupees) }).collect();
        Some(Curve { shape: Shape::Portfolio, points })
    }
}

impl Ladder {
    /// (wanted, offered) at a price, tenths of a MW, as steps or as a linear portfolio.
    pub(super) fn wants(&self, rupees: i64, linear: bool) -> (i64, i64) {
        if linear {
            let net = self.net(rupees);
            (net.max(0), (-net).max(0))
        } else {
            let wanted = self.buy.iter().filter(|it| it.0 >= rupees).map(|it| it.1).sum();
            (wanted, self.sell.iter().filter(|it| it.0 <= rupees).map(|it| it.1).sum())
        }
    }

    fn net(&self, rupees: i64) -> i64 {
        let wanted: i64 = self.buy.iter().map(|&tranche| buys_at(tranche, rupees)).sum();
        let offered: i64 = self.sell.iter().map(|&tranche| sells_at(tranche, rupees)).sum();
        wanted - offered
    }
}

/// Where the ramp of a tranche begins.
fn ramp(rupees: i64) -> i64 {
    rupees * 7 / 8
}

fn buys_at((rupees, tenths): (i64, i64), at: i64) -> i64 {
    let begins = ramp(rupees);
    if rupees >= CAP || at <= begins {
        tenths
    } else if at >= rupees {
        0
    } else {
        tenths * (rupees - at) / (rupees - begins)
    }
}

fn sells_at((rupees, tenths): (i64, i64), at: i64) -> i64 {
    let begins = ramp(rupees);
    if at >= rupees {
        tenths
    } else if at <= begins {
        0
    } else {
        tenths * (at - begins) / (rupees - begins)
    }
}

impl Curve {
    /// (bought, sold) in hundredths of a MW at a price in paise, every tie going the curve's way: the
    /// market's own definition, told again for calibration and tests.
    pub(super) fn wants(&self, paise: i64) -> (i64, i64) {
        let steps = |taken: &dyn Fn(i64) -> bool| -> i64 {
            self.points.iter().filter(|it| taken(it.rupees * 100)).map(|it| it.tenths * 10).sum()
        };
        match self.shape {
            Shape::Buy => (steps(&|limit| limit >= paise), 0),
            Shape::Sell => (0, steps(&|limit| limit <= paise)),
            Shape::Portfolio => {
                let net = self.net(paise);
                (net.max(0), (-net).max(0))
            }
        }
    }

    fn net(&self, paise: i64) -> i64 {
        let after = self.points.partition_point(|it| it.rupees * 100 <= paise);
        let (Some(left), right) = (self.points[..after].last(), self.points.get(after)) else {
            return self.points.first().map_or(0, |it| it.tenths * 10);
        };
        let Some(right) = right else { return left.tenths * 10 };
        let (x0, x1) = (left.rupees * 100, right.rupees * 100);
        let rise = i128::from(right.tenths - left.tenths) * 10 * i128::from(paise - x0);
        let exact = i128::from(left.tenths) * 10 * i128::from(x1 - x0) + rise;
        i64::try_from(exact / i128::from(x1 - x0)).expect("between two quantities of the curve")
    }

    /// Most that is bought and most that is sold at any price, tenths of a MW.
    #[cfg(test)]
    pub(super) fn extremes(&self) -> (i64, i64) {
        let sum = || self.points.iter().map(|it| it.tenths).sum();
        match self.shape {
            Shape::Buy => (sum(), 0),
            Shape::Sell => (0, sum()),
            Shape::Portfolio => {
                let end = |it: Option<&Point>| it.map_or(0, |it| it.tenths);
                (end(self.points.first()).max(0), (-end(self.points.last())).max(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Curve, Ladder, Point, Shape};

    #[test]
    fn a_portfolio_buys_cheap_and_sells_dear_along_straight_lines() {
        let ladder = Ladder { buy: vec![(1_600, 100)], sell: vec![(4_000, 60)] };
        let curve = ladder.portfolio().unwrap();
        let points: Vec<(i64, i64)> = curve.points.iter().map(|it| (it.rupees, it.tenths)).collect();
        assert_eq!(points, [(0, 100), (1_400, 100), (1_600, 0), (3_500, 0), (4_000, -60), (10_000, -60)]);
        assert_eq!(curve.wants(150_000), (500, 0));
        assert_eq!(curve.wants(150_001), (499, 0));
        assert_eq!(curve.wants(375_000), (0, 300));
        assert_eq!(curve.extremes(), (100, 60));
    }

    #[test]
    fn equal_step_prices_add_up_and_ties_go_the_order_s_way() {
        let ladder = Ladder { buy: vec![(5_000, 3), (10_000, 4), (5_000, 1)], sell: Vec::new() };
        let curve = ladder.steps().unwrap();
        let point = |rupees, tenths| Point { rupees, tenths };
        assert_eq!(curve, Curve { shape: Shape::Buy, points: vec![point(5_000, 4), point(10_000, 4)] });
        assert_eq!(curve.wants(500_000), (80, 0));
        assert_eq!(curve.wants(500_001), (40, 0));
    }
}
