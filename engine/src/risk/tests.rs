//! Worst cases by hand, and against trying every price.

use super::Grid;
use super::families::{Relative, worst as family_worst};
use super::worst::{BlockWorst, Worst, of};
use crate::auction::{Point, Shape, Side};
use crate::calendar::Day;
use crate::command::OrderBody;
use crate::few::Few;
use crate::presets;
use crate::rules::{Fees, MarketRules};
use std::vec::Vec;

/// Prices -20..=60 in whole units, lots of 1 MW, periods of an hour, no fee: a grain is a minor unit
/// per hundredth, so costs can be read off.
fn rules(fee: i64) -> MarketRules {
    let [_, mut rules] = presets::indian(Day(20_779));
    rules.price_decimals = 0;
    rules.minor_decimals = 0;
    rules.quantity_decimals = 0;
    rules.period_minutes = 60;
    rules.price_min = -20;
    rules.price_max = 60;
    rules.fees = Fees { buy_minor_per_mwh: fee, sell_minor_per_mwh: fee, tax_millionths: 0 };
    rules
}

fn points(list: &[(i64, i64)]) -> Few<Point> {
    list.iter().map(|(price, quantity)| Point { price: *price, quantity: *quantity }).collect()
}

/// What an order of one period costs at worst, without what is added for rounding.
fn curve(shape: Shape, list: &[(i64, i64)], fee: i64) -> i128 {
    let body = OrderBody::Curve { shape, periods: Few::one((0, points(list))) };
    match of(&Grid::new(&rules(fee)), &body) {
        Worst::Single(minor) => (minor - super::ROUNDING_MINOR_PER_PERIOD).max(0),
        Worst::Block(_) => panic!("a curve"),
    }
}

#[test]
fn a_buyer_pays_most_at_one_of_its_limits() {
    assert_eq!(curve(Shape::Step(Side::Buy), &[(50, 1), (10, 20), (30, 2)], 0), 230);
    assert_eq!(curve(Shape::Step(Side::Buy), &[(10, 20), (30, 2), (50, 10)], 0), 500);
    assert_eq!(curve(Shape::Step(Side::Buy), &[(-5, 10)], 0), 0);
    assert_eq!(curve(Shape::Step(Side::Buy), &[(-5, 10)], 7), 20);
}

#[test]
fn a_seller_pays_where_prices_are_below_its_fee() {
    assert_eq!(curve(Shape::Step(Side::Sell), &[(-20, 5), (10, 100)], 0), 100);
    assert_eq!(curve(Shape::Step(Side::Sell), &[(30, 100)], 5), 0);
    assert_eq!(curve(Shape::Step(Side::Sell), &[(0, 100)], 5), 500);
}

#[test]
fn a_line_costs_most_in_between() {
    assert_eq!(curve(Shape::Linear, &[(0, 100), (50, 0)], 0), 1_250, "50 lots at 25");
    assert_eq!(curve(Shape::Linear, &[(0, 100), (60, 40)], 0), 2_500);
    assert_eq!(curve(Shape::Linear, &[(0, 10), (10, 10)], 0), 600, "constant up to the highest price");
    assert_eq!(curve(Shape::Linear, &[(-10, -5), (10, -50)], 0), 100, "constant down to the lowest price");
}

/// A small generator of numbers, the same everywhere.
struct Chance(u64);

impl Chance {
    fn number(&mut self, from: i64, to: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let width = u64::try_from(to - from + 1).unwrap();
        from + i64::try_from((self.0 >> 33) % width).unwrap()
    }
}

#[test]
fn no_price_costs_more_than_the_worst_case_and_one_costs_as_much() {
    let mut chance = Chance(7);
    for case in 0..4_000 {
        let fee = chance.number(0, 9);
        let rules = rules(fee);
        let grid = Grid::new(&rules);
        let count = chance.number(1, 6);
        let linear = case % 2 == 0;
        let side = if chance.number(0, 1) == 0 { Side::Buy } else { Side::Sell };
        let mut list: Vec<(i64, i64)> = Vec::new();
        for _ in 0..count {
            list.push((chance.number(-20, 60), chance.number(1, 40)));
        }
        if linear {
            list.sort_unstable();
            list.dedup_by_key(|it| it.0);
            let mut quantity: Vec<i64> = list.iter().map(|_| chance.number(-60, 60)).collect();
            quantity.sort_unstable_by(|a, b| b.cmp(a));
            for (at, it) in list.iter_mut().enumerate() {
                it.1 = quantity[at];
            }
        }
        let shape = if linear { Shape::Linear } else { Shape::Step(side) };
        let body = OrderBody::Curve { shape, periods: Few::one((0, points(&list))) };
        let Worst::Single(worst) = of(&grid, &body) else { panic!("a curve") };
        let mut most = 0;
        let mut most_of_a_line = 0;
        for price in -20..=60 {
            let (exact, above) = cost(shape, &list, price, fee);
            most = most.max(exact);
            most_of_a_line = most_of_a_line.max(above);
        }
        assert!(worst >= i128::from(most), "{case}: {list:?} fee {fee}: {worst} for {most}");
        let bound = i128::from(most_of_a_line) + super::ROUNDING_MINOR_PER_PERIOD;
        assert!(worst <= bound, "{case}: {list:?} fee {fee}: {worst} for at most {bound}");
    }
}

/// What a curve costs at a price: with its quantity rounded away from zero, and with a lot more
/// wherever the line is between two points.
fn cost(shape: Shape, list: &[(i64, i64)], price: i64, fee: i64) -> (i64, i64) {
    let lots = match shape {
        Shape::Step(Side::Buy) => list.iter().filter(|it| it.0 >= price).map(|it| it.1).sum(),
        Shape::Step(Side::Sell) => -list.iter().filter(|it| it.0 <= price).map(|it| it.1).sum::<i64>(),
        Shape::Linear => {
            let right = list.partition_point(|it| it.0 < price);
            match (right.checked_sub(1).map(|at| list[at]), list.get(right)) {
                (_, Some(to)) if to.0 == price => to.1,
                (Some(from), Some(to)) => {
                    let run = to.0 - from.0;
                    let exact = from.1 * run + (to.1 - from.1) * (price - from.0);
                    exact / run + if exact % run == 0 { 0 } else { exact.signum() }
                }
                (None, Some(edge)) => edge.1,
                (Some(edge), None) => edge.1,
                (None, None) => 0,
            }
        }
    };
    let at = |lots: i64| if lots > 0 { lots * (price + fee) } else { -lots * (fee - price) };
    let line = shape == Shape::Linear;
    (
        at(lots),
        if line { at(lots).max(at(lots + 1)).max(at(lots - 1)).max(at(1)).max(at(-1)) } else { at(lots) },
    )
}

fn block(
    id: u32,
    parent: Option<u32>,
    group: Option<&'static &'static str>,
    grains: i128,
) -> Relative<'static, u32, &'static str> {
    Relative { id, parent, group, worst: BlockWorst { grains, rounding: 0 } }
}

#[track_caller]
fn check_family(blocks: &[Relative<'_, u32, &'static str>], expected: i128) {
    assert_eq!(family_worst(&Grid::new(&rules(0)), blocks), expected);
}

#[test]
fn families_and_groups_are_not_counted_twice() {
    check_family(&[block(1, None, None, 100), block(2, None, None, 50)], 150);
    check_family(&[block(1, None, Some(&"g"), 100), block(2, None, Some(&"g"), 50)], 100);
    check_family(&[block(1, None, None, -100), block(2, Some(1), None, 50)], 0);
    check_family(&[block(1, None, None, -100), block(2, Some(1), None, 130)], 30);
    check_family(&[block(1, None, None, 100), block(2, Some(1), None, -130)], 100);
    check_family(
        &[block(1, None, None, 100), block(2, Some(1), Some(&"g"), 30), block(3, Some(1), Some(&"g"), 40)],
        140,
    );
    check_family(
        &[block(1, None, None, -10), block(2, Some(1), Some(&"g"), 30), block(3, Some(1), Some(&"g"), 40)],
        60,
    );
    check_family(&[block(2, Some(1), None, 50)], 50);
    check_family(&[], 0);
}
