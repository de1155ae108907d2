//! Life cycles and answers.

use crate::driver::{
    DAM, DAY, Driver, block, capacity, day, eve, exchange, exchange_with, rtm, small_rules, step, user,
};
use merit_engine::auction::Side;
use merit_engine::command::{Action, Actor, Body, Capacity};
use merit_engine::event::{Answer, Event, EventBody, Made, Phase};
use merit_engine::ids::{AuctionId, Market};
use merit_engine::reject::{Place, Reject};
use merit_engine::rules::{LateCapacity, MarketRules};

#[test]
fn whatever_opens_tomorrow_is_loaded_today() {
    let (mut driver, _) = exchange(&[Market::Dam]);
    let next = |days| AuctionId { day: DAY.plus(days), ..DAM };
    assert_eq!(driver.phase(DAM), Phase::Scheduled);
    assert_eq!(driver.phase(next(1)), Phase::Scheduled);
    driver.at(eve(24, 0) - 1);
    assert!(driver.engine.auction(next(2)).is_none());
    driver.at(eve(24, 0));
    assert_eq!(driver.phase(next(2)), Phase::Scheduled);
}

#[test]
fn an_order_at_the_very_gate_is_too_late_and_one_microsecond_before_is_not() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    let order = step(DAM, cast.north, 0, Side::Sell, &[(10, 5)]);
    driver.at(eve(10, 0) - 1);
    assert_eq!(driver.reject(user(cast.anna), Action::Submit(order.clone())), Reject::NotOpen);
    driver.at(eve(10, 0));
    driver.submit(cast.anna, order.clone());
    driver.time_us = eve(11, 0) - 1;
    driver.submit(cast.anna, order.clone());
    driver.time_us = eve(11, 0);
    assert_eq!(driver.reject(user(cast.anna), Action::Submit(order)), Reject::GateClosed);
}

#[test]
fn a_repeat_gets_the_first_answer_and_another_content_under_its_id_is_refused() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    driver.at(eve(10, 0));
    let order = Action::Submit(step(DAM, cast.north, 0, Side::Sell, &[(10, 5)]));
    let first = driver.request_as(user(cast.anna), "mine", order.clone());
    let Answer::Accepted { made: Made::Order { order: id, version: 1 }, seq, time_us, replayed: false } =
        first
    else {
        panic!("{first:?}")
    };
    driver.made(user(cast.anna), Action::Cancel { order: id });
    driver.events.clear();
    let again = driver.request_as(user(cast.anna), "mine", order);
    let made = Made::Order { order: id, version: 1 };
    assert_eq!(again, Answer::Accepted { made, seq, time_us, replayed: true });
    assert_eq!(driver.events, []);
    let other = Action::Submit(step(DAM, cast.north, 0, Side::Sell, &[(11, 5)]));
    let reused = driver.request_as(user(cast.anna), "mine", other);
    assert!(matches!(reused, Answer::Refused { refusal, .. } if refusal.reject == Reject::RequestIdReused));
}

#[test]
fn a_capacity_is_newer_than_the_last_one_accepted() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    assert_eq!(driver.made(user(cast.dispatch), capacity(DAM, 1, 5)), Made::Revision(1));
    assert_eq!(driver.reject(user(cast.dispatch), capacity(DAM, 1, 5)), Reject::StaleRevision);
    assert_eq!(driver.made(user(cast.dispatch), capacity(DAM, 4, 5)), Made::Revision(4));
}

#[test]
fn a_day_ahead_auction_says_this_and_nothing_else() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    driver.at(eve(10, 0));
    driver.submit(cast.anna, step(DAM, cast.north, 0, Side::Sell, &[(20, 30)]));
    driver.submit(cast.bert, step(DAM, cast.south, 1, Side::Buy, &[(50, 30)]));
    driver.submit(cast.anna, block(DAM, cast.north, 90, &[(0, 5), (1, 5)], None));
    driver.at(eve(11, 0));
    driver.time_us = eve(12, 0);
    driver.made(user(cast.dispatch), capacity(DAM, 1, 12));
    driver.settle();
    let expected = [
        "market 4: DAM-2026-11-23 Open, next D-1 11:00",
        "member0 1: accepted 1 v1 req-10",
        "member1 1: accepted 1 v1 req-11",
        "member0 2: accepted 2 v1 req-12",
        "market 5: DAM-2026-11-23 ClearingUnconstrained, next D-1 11:45",
        "dispatch 1: corridor net [30, -30, 0, 0] flows [30, 0]",
        "market 6: DAM-2026-11-23 AwaitingCapacity, next D-1 12:15",
        "dispatch 2: capacity DAM-2026-11-23 revision 1",
        "market 7: DAM-2026-11-23 Clearing, next D-1 13:00",
        "market 8: result DAM-2026-11-23 prices [20, 50, 50, 50] flows [12, 0] congestion 432000",
        "member0 3: ended 1 0:+0-12 MarginalShare",
        "member1 2: ended 1 0:+12-0 MarginalShare",
        "member0 4: ended 2 0:+0-0 Rejected(OutOfTheMoney) 1:+0-0 Rejected(OutOfTheMoney)",
        "dispatch 3: schedule 1 0@0 [12, 0] 1@1 [-12, 0]",
        "settlement 1: obligations #1 p0 288000-144 #2 p1 -720000-144",
        "settlement 2: ledger [(Member(MemberId(0)), 287856), (Member(MemberId(1)), -720144), (Congestion, 432000), (Fees, 288)]",
        "market 9: DAM-2026-11-23 Published, next last",
    ];
    assert_eq!(driver.lines(), expected);
}

/// Work of a day-ahead auction with blocks that compete, and whether its result is proven.
fn searched(search_work: u32) -> (u64, bool) {
    let rules = MarketRules { search_work, ..small_rules(Market::Dam) };
    let (mut driver, cast) = exchange_with(vec![rules]);
    driver.at(eve(10, 0));
    let wanted: Vec<(i64, i64)> = (0..40).map(|step| (90 - 2 * step, 3)).collect();
    driver.submit(cast.bert, step(DAM, cast.south, 0, Side::Buy, &wanted));
    for number in 0..40 {
        let lots = [(0, 3 + number * 7 % 11), (1, 1 + number * 5 % 3)];
        driver.submit(cast.anna, block(DAM, cast.north, 12 + number, &lots, None));
    }
    driver.at(eve(11, 0));
    driver.made(user(cast.dispatch), capacity(DAM, 1, 5));
    driver.settle();
    for event in &driver.events {
        if let EventBody::ResultPublished(published) = &event.body {
            let outcome = &published.outcome;
            return (outcome.work, outcome.welfare == outcome.bound);
        }
    }
    panic!("the auction was not published");
}

#[test]
fn a_search_ends_at_the_work_that_the_rules_give_it() {
    let (short, short_proven) = searched(1);
    let (long, long_proven) = searched(200_000);
    assert!(!short_proven && long_proven, "proven {short_proven} and {long_proven}");
    assert!(short < long, "{short} and {long} units");
    let none = MarketRules { search_work: 0, ..small_rules(Market::Dam) };
    assert_eq!(none.fault(), Some("search_work"));
}

#[test]
fn a_real_time_session_waits_for_its_capacities_and_follows_the_late_rule() {
    let (mut driver, cast) = exchange(&[Market::Rtm]);
    driver.at(day(10, 0) - 75 * 60_000_000);
    driver.submit(cast.anna, step(rtm(21), cast.north, 0, Side::Sell, &[(20, 30)]));
    driver.submit(cast.bert, step(rtm(21), cast.south, 1, Side::Buy, &[(50, 30)]));
    driver.events.clear();
    driver.at(day(9, 6));
    let of_21 = |it: &String| it.contains("RTM-2026-11-23-21") || it.contains("ended");
    let lines: Vec<String> = driver.lines().into_iter().filter(of_21).collect();
    let expected = [
        "market 409: RTM-2026-11-23-21 AwaitingCapacity, next D+0 09:05",
        "market 410: RTM-2026-11-23-21 Clearing, next D+0 09:15",
        "market 411: result RTM-2026-11-23-21 prices [20, 50, 50, 50] flows [10, 0] congestion 7500",
        "member0 2: ended 1 0:+0-10 MarginalShare",
        "member1 2: ended 1 0:+10-0 MarginalShare",
        "market 412: RTM-2026-11-23-21 Published, next last",
    ];
    assert_eq!(lines, expected);
    assert_eq!((cast.operator.0, cast.member_a.0, cast.member_b.0), (3, 0, 1));
}

/// Phases that an auction went through, with the capacities that its result used.
fn phases(driver: &Driver, auction: AuctionId) -> Vec<String> {
    let of_auction = |event: &Event| {
        if let EventBody::PhaseChanged { auction: it, phase, .. } = &event.body {
            return (*it == auction).then(|| format!("{phase:?}"));
        }
        if let EventBody::ResultPublished(it) = &event.body {
            return (it.info.auction == auction).then(|| format!("result with {:?}", it.capacities));
        }
        let EventBody::Alarm(alarm) = &event.body else { return None };
        Some(format!("{alarm:?}"))
    };
    driver.events.iter().filter_map(of_auction).collect()
}

#[test]
fn capacities_that_are_there_early_let_the_constrained_run_start_at_once() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    driver.made(user(cast.dispatch), capacity(DAM, 1, 3));
    driver.made(user(cast.dispatch), capacity(DAM, 2, 4));
    driver.at(eve(11, 0));
    let expected =
        ["Open", "ClearingUnconstrained", "Clearing", "result with [([4, 4], [4, 4])]", "Published"];
    assert_eq!(phases(&driver, DAM), expected);
}

#[test]
fn capacities_that_do_not_come_follow_the_late_rule_and_raise_one_alarm() {
    for (late, lots) in [(LateCapacity::UseStanding, 10), (LateCapacity::Islands, 0)] {
        let mut rules = small_rules(Market::Dam);
        rules.late_capacity = late;
        let (mut driver, _) = exchange_with(vec![rules]);
        driver.at(eve(12, 15) - 1);
        assert_eq!(driver.phase(DAM), Phase::AwaitingCapacity);
        driver.at(eve(12, 15));
        let alarm = format!("CapacityLate {{ auction: {DAM:?} }}");
        let result = format!("result with [([{lots}, {lots}], [{lots}, {lots}])]");
        let expected =
            ["Open", "ClearingUnconstrained", "AwaitingCapacity", &alarm, "Clearing", &result, "Published"];
        assert_eq!(phases(&driver, DAM), expected);
    }
}

#[test]
fn capacities_that_come_after_they_were_due_but_before_the_run_are_used() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    // No quanta: the unconstrained run is late.
    driver.time_us = eve(12, 30);
    driver.apply(Body::Tick);
    driver.made(user(cast.dispatch), capacity(DAM, 1, 4));
    driver.settle();
    let alarm = format!("CapacityLate {{ auction: {DAM:?} }}");
    let result = "result with [([4, 4], [4, 4])]";
    let expected = ["Open", "ClearingUnconstrained", &alarm, "Clearing", result, "Published"];
    assert_eq!(phases(&driver, DAM), expected);
    assert_eq!(driver.reject(user(cast.dispatch), capacity(DAM, 2, 4)), Reject::TooLate);
}

#[test]
fn a_result_that_is_not_there_when_due_raises_one_alarm() {
    let (mut driver, _) = exchange(&[Market::Dam]);
    for minute in [59, 60, 61, 120] {
        driver.time_us = eve(12, minute);
        driver.apply(Body::Tick);
    }
    let alarms = phases(&driver, DAM).iter().filter(|it| it.starts_with("ResultLate")).count();
    assert_eq!(alarms, 1);
}

#[test]
fn a_real_time_session_clears_before_a_day_ahead_auction_that_is_under_way() {
    let (mut driver, _) = exchange(&Market::ALL);
    // Session 24 of the eve delivers at 11:30; its gate is half an hour before the day-ahead one's.
    driver.time_us = eve(11, 0);
    driver.apply(Body::Tick);
    let mut sequence = Vec::new();
    while let Some((auction, units)) = driver.engine.wants_quantum() {
        if sequence.last() != Some(&auction) {
            sequence.push(auction);
        }
        driver.apply(Body::ClearQuantum { auction, units });
    }
    assert_eq!(sequence.last(), Some(&DAM));
    assert!(sequence.len() > 1);
    assert!(sequence[..sequence.len() - 1].iter().all(|it| it.market == Market::Rtm));
}

#[test]
fn cancelling_a_parent_cancels_its_descendants_in_the_same_answer() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    driver.at(eve(10, 0));
    let sell = |parent| block(DAM, cast.north, 10, &[(0, 5)], parent);
    let parent = driver.submit(cast.anna, sell(None));
    let child = driver.submit(cast.anna, sell(Some(parent)));
    let grandchild = driver.submit(cast.anna, sell(Some(child)));
    let other = driver.submit(cast.anna, sell(None));
    driver.events.clear();
    let made = driver.made(user(cast.anna), Action::Cancel { order: parent });
    assert_eq!(made, Made::Cancelled { orders: 3 });
    let expected =
        ["member0 5: cancelled 1 by 0", "member0 6: cancelled 2 by 0", "member0 7: cancelled 3 by 0"];
    assert_eq!(driver.lines(), expected);
    assert_eq!(driver.reject(user(cast.anna), Action::Cancel { order: grandchild }), Reject::OrderNotLive);
    driver.at(eve(13, 0));
    let ended: Vec<String> = driver.lines().into_iter().filter(|it| it.contains("ended")).collect();
    assert_eq!(
        ended,
        [format!("member0 9: ended {} 0:+0-0 Rejected(ParadoxicallyRejected)", other.number())]
    );
}

#[test]
fn a_family_and_a_group_clear_whatever_the_order_of_entry() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    driver.at(eve(10, 0));
    let sell = |parent| block(DAM, cast.north, 10, &[(0, 5)], parent);
    let elder = driver.submit(cast.anna, sell(None));
    let younger = driver.submit(cast.anna, sell(None));
    // The elder descends from the younger: parents must enter the clearing book first all the same.
    let body = sell(Some(younger)).body;
    driver.made(user(cast.anna), Action::Amend { order: elder, version: 1, body });
    driver.at(eve(13, 0));
    assert_eq!(driver.phase(DAM), Phase::Published);
}

#[test]
fn an_amendment_replaces_the_version_it_names_and_only_that() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    driver.at(eve(10, 0));
    let sell = |lots| step(DAM, cast.north, 0, Side::Sell, &[(10, lots)]);
    let order = driver.submit(cast.anna, sell(5));
    let amend = |version, lots| Action::Amend { order, version, body: sell(lots).body };
    assert_eq!(driver.made(user(cast.anna), amend(1, 7)), Made::Order { order, version: 2 });
    assert_eq!(driver.reject(user(cast.anna), amend(1, 9)), Reject::VersionConflict);
    let body = block(DAM, cast.north, 10, &[(0, 5)], None).body;
    let kind = Action::Amend { order, version: 2, body };
    assert_eq!(driver.reject(user(cast.anna), kind), Reject::KindChanged);
    driver.submit(cast.bert, step(DAM, cast.south, 0, Side::Buy, &[(50, 6)]));
    driver.at(eve(13, 0));
    let ended: Vec<String> = driver.lines().into_iter().filter(|it| it.contains("ended")).collect();
    assert_eq!(ended, ["member0 5: ended 1 0:+0-6 MarginalShare", "member1 2: ended 1 0:+6-0 Filled"]);
}

#[test]
fn who_would_have_traded_without_limits_is_told_congestion() {
    let ended = |markets: &[Market], auction: AuctionId, open: i64, done: i64| -> Vec<String> {
        let (mut driver, cast) = exchange(markets);
        driver.at(open);
        for (price, lots) in [(20, 8), (30, 10), (80, 10)] {
            driver.submit(cast.anna, step(auction, cast.north, 0, Side::Sell, &[(price, lots)]));
        }
        driver.submit(cast.bert, step(auction, cast.south, 1, Side::Buy, &[(50, 30)]));
        driver.made(user(cast.dispatch), capacity(auction, 1, 6));
        driver.at(done);
        driver.lines().into_iter().filter(|it| it.contains("ended")).collect()
    };
    let expected = [
        "member0 4: ended 1 0:+0-6 MarginalShare",
        "member0 5: ended 2 0:+0-0 Congestion",
        "member0 6: ended 3 0:+0-0 OutOfTheMoney",
        "member1 2: ended 1 0:+6-0 MarginalShare",
    ];
    assert_eq!(ended(&[Market::Dam], DAM, eve(10, 0), eve(13, 0)), expected);
    assert_eq!(ended(&[Market::Rtm], rtm(21), day(8, 45), day(9, 30)), expected);
}

#[test]
fn a_buyer_is_told_congestion_only_if_it_would_surely_have_traded() {
    let ended = |markets: &[Market], auction: AuctionId, open: i64, done: i64| -> Vec<String> {
        let (mut driver, cast) = exchange(markets);
        driver.at(open);
        driver.submit(cast.anna, step(auction, cast.north, 0, Side::Sell, &[(20, 30)]));
        for (price, lots) in [(60, 6), (40, 10), (20, 5)] {
            driver.submit(cast.bert, step(auction, cast.south, 1, Side::Buy, &[(price, lots)]));
        }
        driver.made(user(cast.dispatch), capacity(auction, 1, 6));
        driver.at(done);
        let lines = driver.lines().into_iter().filter(|it| it.starts_with("member1") && it.contains("ended"));
        lines.map(|it| it.rsplit(' ').next().unwrap().to_owned()).collect()
    };
    // The last one ties with the price it would have seen, and at a tie nobody knows.
    let expected = ["Filled", "Congestion", "OutOfTheMoney"];
    assert_eq!(ended(&[Market::Dam], DAM, eve(10, 0), eve(13, 0)), expected);
    assert_eq!(ended(&[Market::Rtm], rtm(21), day(8, 45), day(9, 30)), expected);
}

#[test]
fn a_schedule_is_acknowledged_once() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    let acknowledge = |revision| Action::AcknowledgeSchedule { auction: DAM, revision };
    assert_eq!(driver.reject(user(cast.dispatch), acknowledge(1)), Reject::UnknownSchedule);
    driver.at(eve(13, 0));
    assert_eq!(driver.reject(user(cast.dispatch), acknowledge(2)), Reject::UnknownSchedule);
    driver.events.clear();
    assert_eq!(driver.made(user(cast.dispatch), acknowledge(1)), Made::Revision(1));
    assert_eq!(driver.reject(user(cast.dispatch), acknowledge(1)), Reject::AlreadyAcknowledged);
    assert_eq!(driver.events.len(), 1);
}

#[test]
fn capacities_name_every_line_once_with_a_value_for_every_period() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    let dispatch = user(cast.dispatch);
    let send = |auction, lines| Action::SubmitCapacity(Capacity { auction, revision: 1, lines });
    let whole = || (0, vec![1, 2], vec![3, 4]);
    for lines in
        [vec![], vec![whole(), whole()], vec![(1, vec![1, 2], vec![3, 4])], vec![(0, vec![1], vec![3, 4])]]
    {
        assert_eq!(driver.reject(dispatch, send(DAM, lines)), Reject::LinesIncomplete);
    }
    let negative = vec![(0, vec![1, -2], vec![3, 4])];
    assert_eq!(driver.reject(dispatch, send(DAM, negative)), Reject::CapacityOutOfRange);
    let absurd = vec![(0, vec![1, 2], vec![i64::MAX, 4])];
    assert_eq!(driver.reject(dispatch, send(DAM, absurd)), Reject::CapacityOutOfRange);
    assert_eq!(driver.reject(dispatch, send(rtm(1), vec![whole()])), Reject::UnknownAuction);
    driver.made(dispatch, send(DAM, vec![whole()]));
}

#[test]
fn rules_hold_from_their_day_on_and_never_for_a_day_that_has_auctions() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    let ops = user(cast.operator);
    let from = |days| {
        let mut rules = small_rules(Market::Dam);
        rules.effective_from = DAY.plus(days);
        rules.price_max = 60;
        Action::SetRules(Box::new(rules))
    };
    assert_eq!(driver.reject(ops, from(1)), Reject::RulesTooLate);
    driver.made(ops, from(2));
    for days in 1..4 {
        driver.at(eve(9 + days * 24, 0));
    }
    let cap = |days| {
        let auction = AuctionId { day: DAY.plus(days), ..DAM };
        driver.engine.auction(auction).unwrap().info.rules.price_max
    };
    assert_eq!([cap(0), cap(1), cap(2), cap(3)], [100, 100, 60, 60]);
}

#[test]
fn rules_for_a_far_day_leave_the_days_before_free() {
    let mut driver = Driver::starting(eve(9, 0));
    let from = |days| {
        let mut rules = small_rules(Market::Dam);
        rules.effective_from = DAY.plus(days);
        Action::SetRules(Box::new(rules))
    };
    driver.made(Actor::System, from(1_000));
    assert_eq!(driver.engine.auctions().count(), 0);
    driver.made(Actor::System, from(0));
    let days: Vec<AuctionId> = driver.engine.auctions().map(|it| it.info.auction).collect();
    assert_eq!(days, [DAM, AuctionId { day: DAY.plus(1), ..DAM }]);
    assert_eq!(driver.reject(Actor::System, from(1)), Reject::RulesTooLate);
}

#[test]
fn rules_that_contradict_themselves_name_the_field() {
    type Spoil = fn(&mut MarketRules);
    let cases: [(&str, Spoil); 16] = [
        ("zone", |it| it.zone.offset_minutes = 900),
        ("currency", |it| it.currency = *b"inr"),
        ("price_decimals", |it| it.price_decimals = 9),
        ("order_price_step", |it| it.order_price_step = 0),
        ("price_max", |it| it.price_max = -1),
        ("price_max", |it| it.order_price_step = 3),
        ("order_quantity_step", |it| it.order_quantity_step = 0),
        ("period_minutes", |it| it.period_minutes = 7),
        ("timetable.session_minutes", |it| it.timetable.session_minutes = 100),
        ("areas", |it| it.areas.clear()),
        ("lines", |it| it.lines[0].to = 5),
        ("lines", |it| it.lines[0].capacity = -1),
        ("timetable.gate", |it| it.timetable.gate = it.timetable.open),
        ("timetable.publish", |it| it.timetable.publish = 5),
        ("limits.quantity_max", |it| it.limits.quantity_max = 0),
        ("limits.quantity_max", |it| {
            it.limits.quantity_max = 1_000_000_000_000;
            it.price_max = 1_000_000_000_000;
        }),
    ];
    let (mut driver, cast) = exchange(&[Market::Dam]);
    for (field, spoil) in cases {
        let mut rules = small_rules(Market::Dam);
        rules.effective_from = DAY.plus(30);
        spoil(&mut rules);
        let refusal = driver.refused(user(cast.operator), Action::SetRules(Box::new(rules)));
        assert_eq!((refusal.reject, refusal.place), (Reject::RulesInvalid, Place::Field(field)));
    }
}
