//! What the orders say: a function of the seed and of the command's number, so that the referee can tell
//! what any order must hold without having kept it.

use crate::schedule::Random;
use merit_client::{orders, v1};

/// A portfolio in an area: where an order may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) portfolio: String,
    pub(crate) area: String,
}

/// Orders of one auction.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) seed: u64,
    pub(crate) auction: v1::Auction,
    /// Periods of one order.
    pub(crate) periods: u32,
    /// Points in each of its periods.
    pub(crate) points: u32,
}

impl Shape {
    /// The order that the command of this number enters.
    pub(crate) fn order(&self, number: u64, places: &[Place]) -> v1::NewOrder {
        let place = self.place(number, places);
        v1::NewOrder {
            auction_id: self.auction.auction_id.clone(),
            portfolio: place.portfolio.clone(),
            area: place.area.clone(),
            body: Some(v1::new_order::Body::Step(self.curve(number, number))),
        }
    }

    /// Where the order entered by this command stands.
    pub(crate) fn place<'a>(&self, number: u64, places: &'a [Place]) -> &'a Place {
        let count = u64::try_from(places.len()).expect("a length fits");
        let at = Random::of(self.seed ^ 1, number).below(count);
        &places[usize::try_from(at).expect("an index below a length fits")]
    }

    /// What the command of this number wants of the order that `origin` entered; the side stays.
    pub(crate) fn curve(&self, origin: u64, number: u64) -> v1::StepCurve {
        let buys = Random::of(self.seed ^ 2, origin).below(2) == 0;
        let mut random = Random::of(self.seed, number);
        let wanted = self.periods.clamp(1, self.auction.periods.max(1));
        let room = u64::from(self.auction.periods.saturating_sub(wanted)) + 1;
        let first = 1 + u32::try_from(random.below(room)).expect("below a 32-bit number");
        let periods = (first..first + wanted)
            .map(|period| v1::CurvePeriod { period, points: self.points(buys, &mut random) })
            .collect();
        let side = if buys { v1::Side::Buy } else { v1::Side::Sell };
        v1::StepCurve { side: side.into(), periods }
    }

    /// Buyers bid down from, sellers up from a price in the lower half of the range, so that they meet.
    fn points(&self, buys: bool, random: &mut Random) -> Vec<v1::Point> {
        let auction = &self.auction;
        let tick = auction.order_price_tick_micros_per_mwh.max(1);
        let lowest = auction.price_min_micros_per_mwh.div_euclid(tick)
            + i64::from(auction.price_min_micros_per_mwh.rem_euclid(tick) > 0);
        let ticks = auction.price_max_micros_per_mwh.div_euclid(tick) - lowest;
        let below = |random: &mut Random, bound: i64| {
            i64::try_from(random.below(u64::try_from(bound).unwrap_or(0))).expect("below a 63-bit number")
        };
        let base = ticks / 10 + below(random, ticks / 2);
        (0..i64::from(self.points))
            .map(|at| {
                let distance = at * (ticks / 500);
                let price = if buys { base - distance } else { base + distance };
                v1::Point {
                    price_micros_per_mwh: (lowest + price.clamp(0, ticks)) * tick,
                    quantity_watts: (1 + below(random, 200)) * auction.order_quantity_tick_watts.max(1),
                }
            })
            .collect()
    }

    /// The command that replaces version `version` of the order that `origin` entered.
    pub(crate) fn amendment(&self, origin: u64, number: u64, order_id: u64, version: u32) -> v1::AmendOrder {
        let body = Some(v1::amend_order::Body::Step(self.curve(origin, number)));
        v1::AmendOrder { order: Some(orders::by_order_id(order_id)), version, body }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn shape() -> Shape {
        let auction = v1::Auction {
            auction_id: "DAM-2026-11-24".to_string(),
            order_price_tick_micros_per_mwh: 10_000,
            price_min_micros_per_mwh: -500_000_000,
            price_max_micros_per_mwh: 4_000_000_000,
            order_quantity_tick_watts: 100_000,
            periods: 96,
            ..v1::Auction::default()
        };
        Shape { seed: 3, auction, periods: 4, points: 3 }
    }

    #[test]
    fn every_order_keeps_the_rules_of_its_auction() {
        let shape = shape();
        for number in 1..2_000 {
            let curve = shape.curve(number, number);
            assert_eq!(curve.periods.len(), 4);
            assert!(curve.periods.windows(2).all(|pair| pair[0].period < pair[1].period));
            assert!(curve.periods.iter().all(|it| (1..=96).contains(&it.period)));
            for point in curve.periods.iter().flat_map(|it| &it.points) {
                assert!((-500_000_000..=4_000_000_000).contains(&point.price_micros_per_mwh));
                assert_eq!(point.price_micros_per_mwh % 10_000, 0);
                assert!(point.quantity_watts > 0 && point.quantity_watts % 100_000 == 0);
            }
        }
    }

    #[test]
    fn an_amendment_has_other_content_and_the_same_side() {
        let shape = shape();
        for number in 1..100 {
            assert_eq!(shape.curve(number, number + 100).side, shape.curve(number, number).side);
            assert_ne!(shape.curve(number, number + 100), shape.curve(number, number));
        }
        let sides: Vec<i32> = (1..100).map(|number| shape.curve(number, number).side).collect();
        assert!(sides.contains(&1) && sides.contains(&2));
    }
}
