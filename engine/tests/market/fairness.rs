//! What must not matter, and what must fit: sequence of entry, detours, the largest orders allowed.

use crate::chance::Chance;
use crate::driver::{Cast, DAM, Driver, block, eve, exchange_with, small_rules, step, user};
use merit_engine::auction::Side;
use merit_engine::command::{Action, NewOrder};
use merit_engine::event::{Account, EventBody, Made, Reason};
use merit_engine::ids::{Market, OrderId, TextId};
use merit_engine::rules::MarketRules;
use std::collections::BTreeMap;

/// Orders with many ties, by client order id.
fn tied(chance: &mut Chance, cast: &Cast) -> Vec<(String, NewOrder)> {
    let mut orders = Vec::new();
    for n in 0..24 {
        let area = u16::try_from(chance.below(2)).unwrap();
        let price = i64::try_from(10 + 10 * chance.below(3)).unwrap();
        let lots = i64::try_from(1 + chance.below(9)).unwrap();
        let (portfolio, side) =
            if chance.one_in(2) { (cast.north, Side::Sell) } else { (cast.south, Side::Buy) };
        orders.push((format!("t{n}"), step(DAM, portfolio, area, side, &[(price, lots)])));
    }
    orders
}

/// Prices, flows and what each order got, by client order id.
type Got = (Vec<i64>, Vec<i64>, BTreeMap<TextId, Vec<(i64, i64, Reason)>>);

fn got(driver: &Driver) -> Got {
    let mut names: BTreeMap<OrderId, TextId> = BTreeMap::new();
    let mut got: Got = Default::default();
    for event in &driver.events {
        if let EventBody::OrderAccepted { order, client_order_id, .. } = &event.body {
            names.insert(*order, client_order_id.clone());
        } else if let EventBody::ResultPublished(it) = &event.body {
            got.0.clone_from(&it.outcome.prices);
            got.1.clone_from(&it.outcome.flows);
        } else if let EventBody::OrderEnded { order, fills, .. } = &event.body {
            let fills = fills.iter().map(|it| (it.bought, it.sold, it.reason)).collect();
            assert!(got.2.insert(names[order].clone(), fills).is_none());
        }
    }
    got
}

fn enter(driver: &mut Driver, cast: &Cast, name: &str, order: NewOrder) -> OrderId {
    let trader = if order.portfolio == cast.north { cast.anna } else { cast.bert };
    match driver.request_as(user(trader), name, Action::Submit(order)) {
        merit_engine::event::Answer::Accepted { made: Made::Order { order, .. }, .. } => order,
        other @ (merit_engine::event::Answer::Accepted { .. }
        | merit_engine::event::Answer::None
        | merit_engine::event::Answer::Refused { .. }) => panic!("{other:?}"),
    }
}

#[test]
fn the_sequence_of_entry_and_detours_on_the_way_change_nothing_that_anyone_gets() {
    for seed in 0..40 {
        println!("seed {seed}");
        let play = |shuffle: u64, detours: bool| {
            let (mut driver, cast) = exchange_with(vec![small_rules(Market::Dam)]);
            driver.at(eve(10, 0));
            let mut orders = tied(&mut Chance(seed), &cast);
            let mut chance = Chance(shuffle);
            orders.sort_by_cached_key(|_| chance.next());
            for (name, order) in orders {
                driver.time_us += 1_000_000;
                if detours {
                    let trader = if order.portfolio == cast.north { cast.anna } else { cast.bert };
                    let gone = driver.submit(trader, order.clone());
                    let other = step(DAM, order.portfolio, order.area, Side::Sell, &[(7, 3), (9, 4)]);
                    let id = enter(&mut driver, &cast, &name, NewOrder { area: order.area, ..other });
                    driver.made(user(trader), Action::Amend { order: id, version: 1, body: order.body });
                    driver.made(user(trader), Action::Cancel { order: gone });
                } else {
                    enter(&mut driver, &cast, &name, order);
                }
            }
            driver.at(eve(13, 0));
            got(&driver)
        };
        let plain = play(0, false);
        assert_eq!(plain.2.len(), 24);
        assert_eq!(play(1, false), plain, "seed {seed}");
        assert_eq!(play(2, true), plain, "seed {seed}");
    }
}

/// Rules with the largest quantity that a price allows.
fn largest(price_max: i64) -> MarketRules {
    let mut rules = small_rules(Market::Dam);
    rules.timetable.two_runs = false;
    rules.price_max = price_max;
    rules.limits.quantity_max = 1;
    while rules.fault().is_none() {
        rules.limits.quantity_max *= 2;
    }
    rules.limits.quantity_max /= 2;
    for line in &mut rules.lines {
        line.capacity = merit_engine::limits::LOTS_MAX;
        line.capacity_back = merit_engine::limits::LOTS_MAX;
    }
    rules
}

#[test]
fn the_largest_orders_that_rules_allow_are_settled_to_the_unit() {
    for price_max in [1, 100, 1_000_000, 100_000_000] {
        let rules = largest(price_max);
        let lots = rules.limits.quantity_max;
        let (mut driver, cast) = exchange_with(vec![rules]);
        driver.at(eve(10, 0));
        let many = vec![(price_max, lots); 64];
        driver.submit(cast.anna, step(DAM, cast.north, 0, Side::Sell, &many));
        driver.submit(cast.bert, step(DAM, cast.south, 1, Side::Buy, &many));
        driver.submit(cast.anna, block(DAM, cast.north, price_max, &[(0, lots), (1, lots)], None));
        driver.at(eve(13, 0));
        let owed: BTreeMap<Account, i128> = driver.engine.trial_balance().collect();
        // 12 hours at 100 minor units a Rs, and the fee of one minor unit per MWh.
        let (energy, money) = (i128::from(lots) * 64 * 12, i128::from(price_max) * 100);
        assert_eq!(owed[&Account::Member(cast.member_b)], -energy * money - energy);
        assert_eq!(owed[&Account::Member(cast.member_a)], energy * money - energy);
        assert_eq!(owed.values().sum::<i128>(), 0);
    }
}
