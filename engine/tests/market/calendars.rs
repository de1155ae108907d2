//! Timetables: clock changes, long silences, timers that are exact.

use crate::driver::{Driver, eve, exchange, line};
use merit_engine::calendar::{Day, MINUTE_US};
use merit_engine::command::{Action, Actor, Body};
use merit_engine::event::{AuctionInfo, Event, EventBody, Phase, Stream};
use merit_engine::ids::{AuctionId, Market};
use merit_engine::market::LOADED_PER_JUMP_MAX;
use merit_engine::presets;
use merit_engine::rules::MarketRules;
use std::sync::Arc;

/// Everything that a pair of markets schedules for a delivery day.
fn of_day(rules: [MarketRules; 2], day: Day) -> Vec<Arc<AuctionInfo>> {
    let start = rules[0].zone.day_start_us(day.plus(-2));
    let mut driver = Driver::starting(start);
    for rules in rules {
        driver.made(Actor::System, Action::SetRules(Box::new(rules)));
    }
    driver.at(start + 24 * 60 * MINUTE_US);
    let infos = driver.engine.auctions().map(|it| Arc::clone(it.info));
    infos.filter(|it| it.auction.day == day).collect()
}

/// Local wall clock of an instant in an auction's zone, minutes since midnight.
fn wall(info: &AuctionInfo, time_us: i64) -> i64 {
    (time_us.div_euclid(MINUTE_US) + info.rules.zone.offset_at(time_us)).rem_euclid(1_440)
}

#[track_caller]
fn check_day(rules: [MarketRules; 2], day: Day, blocks: u16, sessions: usize) {
    let infos = of_day(rules, day);
    let dam: Vec<_> = infos.iter().filter(|it| it.auction.market == Market::Dam).collect();
    assert_eq!(dam.len(), 1);
    assert_eq!((dam[0].periods, dam[0].first_block, dam[0].blocks_in_day), (blocks, 1, blocks));
    assert_eq!(wall(dam[0], dam[0].delivery_start_us), 0);
    let rtm: Vec<_> = infos.iter().filter(|it| it.auction.market == Market::Rtm).collect();
    assert_eq!(rtm.len(), sessions);
    for (n, it) in (0_u16..).zip(&rtm) {
        assert_eq!(it.auction.session, n + 1);
        assert_eq!((it.periods, it.first_block, it.blocks_in_day), (2, 2 * n + 1, blocks));
        let start = dam[0].delivery_start_us + i64::from(n) * 30 * MINUTE_US;
        assert_eq!(it.delivery_start_us, start, "sessions follow each other without a gap");
        assert_eq!(it.open_us, start - 75 * MINUTE_US);
        assert_eq!(it.gate_us, start - 60 * MINUTE_US);
    }
}

fn european() -> [MarketRules; 2] {
    presets::european(Day::from_civil(2026, 1, 1).unwrap())
}

#[test]
fn a_day_in_march_has_92_quarters_and_46_sessions() {
    check_day(european(), Day::from_civil(2026, 3, 29).unwrap(), 92, 46);
}

#[test]
fn a_day_in_october_has_100_quarters_and_50_sessions() {
    check_day(european(), Day::from_civil(2026, 10, 25).unwrap(), 100, 50);
}

#[test]
fn other_days_have_96_quarters_and_48_sessions() {
    check_day(european(), Day::from_civil(2026, 3, 28).unwrap(), 96, 48);
    check_day(european(), Day::from_civil(2026, 3, 30).unwrap(), 96, 48);
    let indian = presets::indian(Day::from_civil(2026, 1, 1).unwrap());
    check_day(indian, Day::from_civil(2026, 3, 29).unwrap(), 96, 48);
}

#[test]
fn the_indian_day_ahead_steps_stand_at_the_minutes_of_the_grid_code() {
    let day = Day::from_civil(2026, 11, 23).unwrap();
    let infos = of_day(presets::indian(Day::from_civil(2026, 1, 1).unwrap()), day);
    let dam = infos.iter().find(|it| it.auction.market == Market::Dam).unwrap();
    let steps = [dam.open_us, dam.gate_us, dam.corridor_us, dam.capacities_us, dam.publish_us];
    assert_eq!(steps.map(|it| wall(dam, it)), [600, 660, 705, 735, 780]);
    assert!(steps.iter().all(|it| dam.rules.zone.day_of(*it) == day.plus(-1)));
    let first = infos.iter().find(|it| it.auction.session == 1 && it.auction.market == Market::Rtm).unwrap();
    assert_eq!(wall(first, first.open_us), 22 * 60 + 45);
}

#[test]
fn a_day_of_a_clock_change_clears_and_settles_all_its_periods() {
    for (month, date, blocks) in [(3, 29, 92), (10, 25, 100)] {
        let day = Day::from_civil(2026, month, date).unwrap();
        let start = european()[0].zone.day_start_us(day.plus(-1));
        let mut driver = Driver::starting(start);
        driver.made(Actor::System, Action::SetRules(Box::new(european()[0].clone())));
        driver.at(start + 14 * 60 * MINUTE_US);
        let result = |event: &Event| {
            let EventBody::ResultPublished(it) = &event.body else { return None };
            Some(it.outcome.prices.len())
        };
        assert_eq!(driver.events.iter().filter_map(result).collect::<Vec<_>>(), [blocks * 8]);
    }
}

#[test]
fn years_of_silence_are_passed_in_one_command_and_load_a_bounded_number_of_auctions() {
    let (mut driver, _) = exchange(&Market::ALL);
    let known = driver.engine.auctions().count();
    driver.time_us = Day::from_civil(2120, 2, 28).unwrap().0.into();
    driver.time_us *= 1_440 * MINUTE_US;
    driver.apply(Body::Tick);
    let loaded = driver.events.iter().filter(|it| matches!(it.body, EventBody::AuctionScheduled(_))).count();
    assert!((97..=LOADED_PER_JUMP_MAX).contains(&loaded), "{loaded}");
    assert!(driver.engine.next_timer_us().unwrap() > driver.time_us);
    driver.settle();
    // Those that stood before the silence came to their end; the late ones raised an alarm.
    let ended = driver.engine.auctions().filter(|it| it.phase == Phase::Published).count();
    assert!(ended <= known);
    assert!(
        driver.engine.auctions().all(|it| it.info.gate_us > driver.time_us || it.phase == Phase::Published)
    );
}

#[test]
fn instants_beyond_the_calendar_do_no_harm() {
    let (mut driver, _) = exchange(&Market::ALL);
    for time_us in [i64::MAX / 4, i64::MAX / 2, i64::MAX] {
        driver.time_us = time_us;
        driver.apply(Body::Tick);
        driver.settle();
    }
}

/// What everybody heard until an instant.
fn heard(driver: &Driver) -> Vec<String> {
    driver.events.iter().filter(|it| it.stream == Stream::Market).map(line).collect()
}

#[test]
fn timers_are_exact_so_a_node_may_sleep_until_the_next_one() {
    let (mut sleeper, _) = exchange(&Market::ALL);
    let (mut busy, _) = exchange(&Market::ALL);
    let until = eve(9, 0) + 50 * 60 * MINUTE_US;
    while let Some(due) = sleeper.engine.next_timer_us().filter(|it| *it <= until) {
        let before = sleeper.events.len();
        sleeper.at(due);
        assert!(sleeper.events.len() > before, "something happened at {due}");
    }
    while busy.time_us < until {
        busy.at(busy.time_us + MINUTE_US);
    }
    assert_eq!(heard(&sleeper), heard(&busy));
}

#[test]
fn auctions_long_past_are_forgotten_and_their_orders_unknown() {
    let (mut driver, _) = exchange(&[Market::Dam]);
    let first = AuctionId { day: crate::driver::DAY, market: Market::Dam, session: 1 };
    for _ in 0..60 {
        driver.at(driver.time_us + 1_440 * MINUTE_US);
        driver.events.clear();
    }
    assert!(driver.engine.auction(first).is_none());
    assert!(driver.engine.auctions().count() < 45);
}
