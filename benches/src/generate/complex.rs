//! Complex orders around the prices that the curves alone would have: plants with a start-up cost
//! and a stable minimum, and a few buyers alike.

use super::blocks::{float, mean_price, on_tens, run};
use super::{Family, PRICE_UNIT};
use crate::chance::{Chance, exp, whole};
use merit_engine::auction::{ComplexOrder, ComplexPeriod, Frame, Point, Side};

/// Grid units of fixed terms are multiples of this, so that they are whole in money.
const FIXED_UNIT: i64 = 4_000;

/// `count` complex orders.
pub(super) fn complex(
    chance: &mut Chance,
    family: Family,
    frame: &Frame,
    prices: &[i64],
    count: usize,
) -> Vec<(String, ComplexOrder)> {
    let (median, spread) = match family {
        Family::Liquid => (100.0, 0.07),
        Family::Lumpy => (400.0, 0.03),
    };
    (0..count).map(|number| (format!("x{number:06}"), one(chance, median, spread, frame, prices))).collect()
}

fn one(chance: &mut Chance, median: f64, spread: f64, frame: &Frame, prices: &[i64]) -> ComplexOrder {
    let area = u16::try_from(chance.index(frame.areas.len())).expect("few areas");
    let side = if chance.between(0.0, 1.0) < 0.8 { Side::Sell } else { Side::Buy };
    let (start, span) = run(chance, frame.periods);
    let lots = whole((median * exp(0.7 * chance.normal())).clamp(30.0, 10.0 * median)).max(3);
    let quantity: Vec<(u16, i64)> = (0..span).map(|at| (start + at, lots)).collect();
    let mean = mean_price(prices, frame, area, &quantity);
    // The first step below (buyers: above) the mean price, the others dearer (cheaper) by a few per cent.
    let sign = float(side.sign());
    let first = 1.0 + sign * (spread * chance.normal() - 0.03);
    let steps = 1 + chance.below(4);
    let rise = sign * chance.between(0.005, 0.03);
    let minimum = if chance.below(3) == 0 { 0 } else { lots * chance.below(60) / 100 };
    let mut earned = 0;
    let curve: Vec<ComplexPeriod> = (0..span)
        .map(|at| {
            let mut left = lots;
            let points: Vec<Point> = (0..steps)
                .map(|step| {
                    let quantity = if step + 1 == steps { left } else { lots / steps };
                    left -= quantity;
                    let price = on_tens(mean * (first + rise * float(step)));
                    let area_price = prices[usize::from(start + at) * frame.areas.len() + usize::from(area)];
                    earned += (side.sign() * (area_price - price) * quantity).max(0);
                    Point { price, quantity }
                })
                .collect();
            ComplexPeriod { period: start + at, quantity_min: minimum, points }
        })
        .collect();
    // Between nothing and a little more than what the curves' prices would earn it.
    let fixed = i64::from(chance.below(5) > 0) * earned / 100 * chance.below(120);
    let fixed = fixed.max(PRICE_UNIT * chance.below(50)) / FIXED_UNIT * FIXED_UNIT;
    ComplexOrder { area, side, fixed: fixed.into(), curve }
}
