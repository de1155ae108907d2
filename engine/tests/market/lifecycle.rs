//! Life cycles and answers.

use crate::driver::{DAM, DAY, block, capacity, day, eve, exchange, rtm, step, user};
use merit_engine::auction::Side;
use merit_engine::command::Action;
use merit_engine::event::{Answer, Made, Phase};
use merit_engine::ids::{AuctionId, Market};
use merit_engine::reject::Reject;

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
        "member1 1: accepted 2 v1 req-11",
        "member0 2: accepted 3 v1 req-12",
        "market 5: DAM-2026-11-23 ClearingUnconstrained, next D-1 11:45",
        "dispatch 1: corridor net [30, -30, 0, 0] flows [30, 0]",
        "market 6: DAM-2026-11-23 AwaitingCapacity, next D-1 12:15",
        "dispatch 2: capacity DAM-2026-11-23 revision 1",
        "market 7: DAM-2026-11-23 Clearing, next D-1 13:00",
        "market 8: result DAM-2026-11-23 prices [20, 50, 50, 50] flows [12, 0] congestion 432000",
        "member0 3: ended 1 0:+0-12 MarginalShare",
        "member1 2: ended 2 0:+12-0 MarginalShare",
        "member0 4: ended 3 0:+0-0 Rejected(OutOfTheMoney) 1:+0-0 Rejected(OutOfTheMoney)",
        "dispatch 3: schedule 1 0@0 [12, 0] 1@1 [-12, 0]",
        "settlement 1: obligations #1 p0 288000-144 #2 p1 -720000-144",
        "settlement 2: ledger [(Member(MemberId(0)), 287856), (Member(MemberId(1)), -720144), (Congestion, 432000), (Fees, 288)]",
        "market 9: DAM-2026-11-23 Published, next last",
    ];
    assert_eq!(driver.lines(), expected);
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
        "member1 2: ended 2 0:+10-0 MarginalShare",
        "market 412: RTM-2026-11-23-21 Published, next last",
    ];
    assert_eq!(lines, expected);
    assert_eq!((cast.operator.0, cast.member_a.0, cast.member_b.0), (3, 0, 1));
}
