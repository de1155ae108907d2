//! Exceptional acts: two operators, a public notice, and no order touched.

use crate::driver::{
    Cast, DAM, DAY, Driver, capacity, day, eve, exchange_with, rtm, small_rules, step, user,
};
use merit_engine::auction::Side;
use merit_engine::command::{Act, Action, Role};
use merit_engine::event::{Account, EventBody, Made, Phase, Stream};
use merit_engine::ids::{AuctionId, Market, UserId};
use merit_engine::reject::Reject;
use merit_engine::rules::{Fees, FundsRule};

/// Both markets with acknowledgements, fees and collateral, and a second operator.
fn exchange() -> (Driver, Cast, UserId) {
    let rules = Market::ALL.map(|market| {
        let mut rules = small_rules(market);
        rules.timetable.acknowledge = Some(if market == Market::Dam { -10 * 60 } else { -40 });
        rules.fees = Fees { buy_minor_per_mwh: 10, sell_minor_per_mwh: 10, tax_millionths: 180_000 };
        rules.risk.funds =
            if market == Market::Dam { FundsRule::CheckBetweenRuns } else { FundsRule::HoldAtEntry };
        rules
    });
    let (mut driver, cast) = exchange_with(rules.to_vec());
    let second = register_second(&mut driver, cast);
    for member in [cast.member_a, cast.member_b] {
        driver.made(user(cast.operator), Action::Deposit { member, minor: 10_000_000 });
    }
    driver.events.clear();
    (driver, cast, second)
}

fn register_second(driver: &mut Driver, cast: Cast) -> UserId {
    let action = crate::driver::registration("ops-2", Role::Operator, None);
    let Made::User(it) = driver.made(user(cast.operator), action) else { panic!("a user") };
    it
}

/// One proposes, the other approves.
fn act(driver: &mut Driver, cast: Cast, second: UserId, act: Act) {
    let made = driver.made(user(cast.operator), Action::ProposeAct { act, reason: "why not".to_owned() });
    let Made::Proposal(proposal) = made else { panic!("{made:?}") };
    driver.made(user(second), Action::ApproveAct { proposal });
    driver.settle();
}

fn trade(driver: &mut Driver, cast: Cast, auction: AuctionId) {
    driver.submit(cast.anna, step(auction, cast.north, 0, Side::Sell, &[(20, 30)]));
    driver.submit(cast.bert, step(auction, cast.south, 1, Side::Buy, &[(60, 30)]));
}

fn notices(driver: &Driver) -> usize {
    let notice = |it: &&merit_engine::event::Event| {
        it.stream == Stream::Market && matches!(it.body, EventBody::ActDone { .. })
    };
    driver.events.iter().filter(notice).count()
}

fn debt(driver: &Driver, cast: Cast) -> i128 {
    driver.engine.collateral(cast.member_b).due()
}

#[test]
fn an_act_needs_a_second_operator_and_is_done_once() {
    let (mut driver, cast, second) = exchange();
    driver.at(eve(10, 0));
    let act = Act::CancelAuction { auction: DAM };
    let propose = |reason: &str| Action::ProposeAct { act, reason: reason.to_owned() };
    assert_eq!(driver.reject(user(cast.operator), propose("")), Reject::NameOutOfRange);
    assert_eq!(driver.reject(user(cast.dispatch), propose("fire")), Reject::NotPermitted);
    assert_eq!(driver.made(user(cast.operator), propose("fire")), Made::Proposal(1));
    let approve = |proposal| Action::ApproveAct { proposal };
    assert_eq!(driver.reject(user(second), approve(2)), Reject::UnknownProposal);
    assert_eq!(driver.reject(user(cast.operator), approve(1)), Reject::SecondPersonNeeded);
    assert_eq!(notices(&driver), 0);
    assert_eq!(driver.made(user(second), approve(1)), Made::Proposal(1));
    assert_eq!(notices(&driver), 1);
    assert_eq!(driver.phase(DAM), Phase::Cancelled);
    assert_eq!(driver.reject(user(second), approve(1)), Reject::ProposalClosed);
    assert_eq!(driver.reject(user(cast.operator), propose("again")), Reject::WrongPhase);
}

#[test]
fn a_proposal_lapses_after_a_day() {
    let (mut driver, cast, second) = exchange();
    let auction = AuctionId { day: DAY.plus(1), ..DAM };
    driver.at(eve(10, 0));
    let act = Act::CancelAuction { auction };
    driver.made(user(cast.operator), Action::ProposeAct { act, reason: "fire".to_owned() });
    driver.at(day(10, 1));
    assert_eq!(driver.reject(user(second), Action::ApproveAct { proposal: 1 }), Reject::ProposalClosed);
}

#[test]
fn a_cancelled_auction_ends_every_order_and_lets_go_of_what_was_held() {
    let (mut driver, cast, second) = exchange();
    driver.at(day(8, 45));
    trade(&mut driver, cast, rtm(21));
    assert!(driver.engine.collateral(cast.member_b).held() > 0);
    act(&mut driver, cast, second, Act::CancelAuction { auction: rtm(21) });
    let ended = driver.events.iter().filter(|it| matches!(it.body, EventBody::OrderEnded { .. }));
    assert_eq!(ended.count(), 2);
    assert_eq!(driver.engine.collateral(cast.member_b).held(), 0);
    let late = step(rtm(21), cast.north, 0, Side::Sell, &[(20, 30)]);
    assert_eq!(driver.reject(user(cast.anna), Action::Submit(late)), Reject::AuctionHalted);
    driver.made(user(cast.dispatch), capacity(rtm(22), 1, 5));
    driver.at(day(10, 0));
    assert_eq!(driver.phase(rtm(22)), Phase::Published, "others are not disturbed");
}

#[test]
fn a_gate_is_extended_before_it_closes_and_only_then() {
    let (mut driver, cast, second) = exchange();
    driver.at(eve(10, 30));
    let later = Act::ExtendGate { auction: DAM, gate_us: eve(11, 20) };
    let propose = |act| Action::ProposeAct { act, reason: "exchange was down".to_owned() };
    let earlier = Act::ExtendGate { auction: DAM, gate_us: eve(10, 50) };
    assert_eq!(driver.reject(user(cast.operator), propose(earlier)), Reject::GateOutOfRange);
    let beyond = Act::ExtendGate { auction: DAM, gate_us: eve(13, 0) };
    assert_eq!(driver.reject(user(cast.operator), propose(beyond)), Reject::GateOutOfRange);
    act(&mut driver, cast, second, later);
    driver.at(eve(11, 10));
    assert_eq!(driver.phase(DAM), Phase::Open);
    trade(&mut driver, cast, DAM);
    driver.at(eve(11, 20));
    assert_eq!(
        driver.reject(user(cast.operator), propose(Act::ExtendGate { auction: DAM, gate_us: eve(11, 40) })),
        Reject::GateClosed
    );
    let late = step(DAM, cast.north, 0, Side::Sell, &[(20, 30)]);
    assert_eq!(driver.reject(user(cast.anna), Action::Submit(late)), Reject::GateClosed);
    driver.at(eve(13, 0));
    assert_eq!(driver.phase(DAM), Phase::Published);
}

/// The last result, schedule and sum of all that was owed.
fn standing(driver: &Driver, auction: AuctionId) -> (u32, Vec<i64>, u32) {
    let mut found = (0, Vec::new(), 0);
    for event in &driver.events {
        if let EventBody::ResultPublished(it) = &event.body
            && it.info.auction == auction
        {
            found.0 = it.revision;
            found.1.clone_from(&it.outcome.flows);
        }
        if let EventBody::SchedulePublished { info, revision, .. } = &event.body
            && info.auction == auction
        {
            found.2 = *revision;
        }
    }
    found
}

#[test]
fn after_a_wrong_capacity_the_same_book_is_run_again_and_the_old_result_is_void() {
    for (auction, opens, published, again) in
        [(DAM, eve(10, 0), eve(13, 0), eve(13, 30)), (rtm(21), day(8, 45), day(9, 15), day(9, 18))]
    {
        let (mut driver, cast, second) = exchange();
        driver.at(opens);
        trade(&mut driver, cast, auction);
        driver.made(user(cast.dispatch), capacity(auction, 4, 2));
        driver.at(published);
        assert_eq!(standing(&driver, auction), (1, vec![2, 0], 1));
        let first = debt(&driver, cast);
        assert!(first > 0);
        act(&mut driver, cast, second, Act::Rerun { auction });
        assert_eq!(driver.phase(auction), Phase::AwaitingCapacity);
        assert_eq!(debt(&driver, cast), 0, "the void result makes nobody owe");
        assert!(driver.engine.collateral(cast.member_b).held() > 0, "the orders stand again");
        let late = step(auction, cast.north, 0, Side::Sell, &[(20, 30)]);
        assert_eq!(driver.reject(user(cast.anna), Action::Submit(late)), Reject::GateClosed);
        assert_eq!(driver.reject(user(cast.dispatch), capacity(auction, 4, 7)), Reject::StaleRevision);
        driver.at(again);
        driver.made(user(cast.dispatch), capacity(auction, 5, 7));
        driver.settle();
        assert_eq!(standing(&driver, auction), (2, vec![7, 0], 2));
        assert!(debt(&driver, cast) > first);
        assert_eq!(driver.engine.trial_balance().map(|it| it.1).sum::<i128>(), 0);
        let owed: i128 = driver
            .engine
            .trial_balance()
            .filter(|it| it.0 == Account::Member(cast.member_b))
            .map(|it| it.1)
            .sum();
        assert!(owed < 0 && -owed <= debt(&driver, cast), "the ledger and the collateral agree but for tax");
        let acknowledge = |revision| Action::AcknowledgeSchedule { auction, revision };
        assert_eq!(driver.reject(user(cast.dispatch), acknowledge(1)), Reject::UnknownSchedule);
        driver.made(user(cast.dispatch), acknowledge(2));
    }
}

#[test]
fn a_rerun_without_new_capacities_follows_the_late_rule_and_one_too_late_is_refused() {
    let (mut driver, cast, second) = exchange();
    driver.at(day(8, 45));
    trade(&mut driver, cast, rtm(21));
    driver.made(user(cast.dispatch), capacity(rtm(21), 1, 2));
    driver.at(day(9, 20));
    act(&mut driver, cast, second, Act::Rerun { auction: rtm(21) });
    driver.at(day(9, 25));
    assert_eq!(standing(&driver, rtm(21)), (2, vec![10, 0], 2), "the standing capacity");
    driver.at(day(9, 50));
    let act = Act::Rerun { auction: rtm(21) };
    let propose = Action::ProposeAct { act, reason: "late".to_owned() };
    assert_eq!(driver.reject(user(cast.operator), propose), Reject::TooLate);
    driver.at(day(10, 0));
    let propose = Action::ProposeAct { act, reason: "later".to_owned() };
    assert_eq!(driver.reject(user(cast.operator), propose), Reject::TooLate);
}

#[test]
fn a_schedule_that_nobody_acknowledges_raises_an_alarm() {
    let (mut driver, cast, _) = exchange();
    driver.at(day(9, 0));
    driver.made(user(cast.dispatch), capacity(rtm(21), 1, 2));
    driver.at(day(9, 5));
    driver.made(user(cast.dispatch), Action::AcknowledgeSchedule { auction: rtm(21), revision: 1 });
    driver.events.clear();
    driver.at(day(9, 20));
    assert!(!driver.lines().iter().any(|it| it.contains("AcknowledgementLate")));
    driver.made(user(cast.dispatch), capacity(rtm(22), 1, 2));
    driver.at(day(9, 49));
    assert!(!driver.lines().iter().any(|it| it.contains("AcknowledgementLate")));
    driver.at(day(9, 50));
    let lines = driver.lines();
    assert_eq!(lines.iter().filter(|it| it.contains("AcknowledgementLate")).count(), 1, "{lines:?}");
}
