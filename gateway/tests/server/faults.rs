//! A day full of faults, minute by minute: late and wrong capacities, an absent dispatch centre, a member
//! suspended in mid-session, rules that change at midnight, a clock that steps back, two exceptional acts.
//! Nothing is stuck, every alarm is raised, every rule is followed; the surveillance report tells it.

use crate::common::{accepted, refused, step};
use crate::week::Week;
use merit_client::{units, v1};
use merit_gateway::server::clock::{format_utc, parse_utc};
use std::process::Command;
use v1::Side::{Buy, Sell};

const MINUTE_US: i64 = 60_000_000;
/// The delivery day of the story.
const DAY: &str = "2026-11-23";
/// Sessions for which the dispatch centre is silent.
const ABSENT: std::ops::RangeInclusive<u16> = 9..=12;
/// The session whose capacities come after they were due.
const LATE: u16 = 15;
/// The session whose capacities are corrected before the gate.
const CORRECTED: u16 = 17;
/// The session in which the buyer is suspended.
const SUSPENDED: u16 = 20;
/// The session that is run again.
const RERUN: u16 = 24;
/// The session that is cancelled.
const CANCELLED: u16 = 28;
/// The session whose schedule nobody acknowledges.
const UNACKNOWLEDGED: u16 = 30;

fn session(number: u16) -> String {
    format!("RTM-{DAY}-{number:02}")
}

/// Minutes from the eve's midnight at which a session delivers.
fn delivery(number: u16) -> i64 {
    1_440 + (i64::from(number) - 1) * 30
}

/// An instant, minutes since midnight of the eve.
fn at(minute: i64) -> String {
    format_utc(parse_utc("2026-11-21T18:30:00Z").unwrap() + minute * MINUTE_US)
}

async fn act(week: &mut Week, act: v1::propose_act_request::Act, reason: &str) {
    let (olga, otto) = (week.exchange.user("olga"), week.exchange.user("otto"));
    let request_id = week.id("p");
    let asked = v1::ProposeActRequest { request_id, reason: reason.into(), act: Some(act) };
    let proposed = olga.propose_act(asked).await.unwrap();
    assert_eq!(proposed.answer.unwrap().refused, None);
    let proposal_id = proposed.proposal_id.unwrap();
    let request_id = week.id("p");
    let alone = v1::ApproveActRequest { request_id, proposal_id: proposal_id.clone() };
    let refused = olga.approve_act(alone).await.unwrap().answer.unwrap().refused.unwrap();
    assert_eq!(refused.reason(), v1::RejectReason::SecondPersonNeeded);
    let asked = v1::ApproveActRequest { request_id: week.id("p"), proposal_id };
    assert_eq!(otto.approve_act(asked).await.unwrap().answer.unwrap().refused, None);
}

/// The second operator.
async fn register_otto(week: &mut Week) {
    let asked = v1::RegisterUserRequest {
        request_id: week.id("u"),
        user: "otto".into(),
        certificate_sha256: vec![7; 32],
        role: v1::Role::Operator.into(),
        ..Default::default()
    };
    let answer = week.exchange.user("olga").register_user(asked).await.unwrap().answer.unwrap();
    assert_eq!(answer.refused, None);
}

/// Rules from a day on: the price cap is halved. Not for a day whose auctions exist.
async fn change_rules(week: &mut Week) {
    let olga = week.exchange.user("olga");
    let asked = v1::GetMarketRulesRequest { market: v1::Market::Dam.into(), delivery_day: Some(DAY.into()) };
    let mut rules = olga.get_market_rules(asked).await.unwrap().rules.unwrap();
    rules.price_max_micros_per_mwh /= 2;
    let mut set = async |from: &str| {
        let rules = Some(v1::MarketRules { effective_from: from.into(), ..rules.clone() });
        let asked = v1::SetMarketRulesRequest { request_id: week.id("r"), rules };
        olga.set_market_rules(asked).await.unwrap().answer.unwrap().refused
    };
    assert_eq!(set(DAY).await.unwrap().reason(), v1::RejectReason::OrdersStand);
    assert_eq!(set("2026-11-25").await, None);
}

async fn suspend(week: &mut Week, suspended: bool) {
    let (olga, member) = (week.exchange.user("olga"), "DISCOM".to_owned());
    let answer = if suspended {
        let asked = v1::SuspendMemberRequest { request_id: week.id("s"), member };
        olga.suspend_member(asked).await.unwrap().answer
    } else {
        let asked = v1::ResumeMemberRequest { request_id: week.id("s"), member };
        olga.resume_member(asked).await.unwrap().answer
    };
    assert_eq!(answer.unwrap().refused, None);
}

/// The gate of a session, and what the dispatch centre does about it.
async fn gate(week: &mut Week, number: u16, minute: i64) {
    let auction = session(number);
    if ABSENT.contains(&number) || number == LATE || number == CANCELLED {
        return;
    }
    if number != CORRECTED {
        week.send_capacities(&auction, 1).await;
    }
    week.exchange.at(&at(minute)).await;
    if number != UNACKNOWLEDGED {
        week.acknowledge(&auction, 1).await;
    }
}

/// What goes wrong at a minute.
async fn trouble(week: &mut Week, minute: i64) {
    if minute == delivery(LATE) - 54 {
        // A minute late: the standing capacities hold already and the result is out.
        let refusal = week.try_capacities(&session(LATE), 1).await.unwrap();
        assert_eq!(refusal.reason(), v1::RejectReason::TooLate);
        week.acknowledge(&session(LATE), 1).await;
    }
    if minute == delivery(CORRECTED) - 65 {
        week.send_capacities(&session(CORRECTED), 1).await;
        week.send_capacities(&session(CORRECTED), 2).await;
    }
    if minute == delivery(SUSPENDED) - 70 {
        suspend(week, true).await;
        let order = step(&session(SUSPENDED), "DISCOM-1", "N2", Buy, &[(1, "3000", "5")]);
        let id = week.id("x");
        let answer = week.dora.submit(&id, order).await.unwrap();
        assert_eq!(refused(&answer).0, v1::RejectReason::MemberSuspended);
        let live = v1::ListOrdersRequest {
            auction_id: Some(session(SUSPENDED)),
            states: vec![v1::OrderState::Live.into()],
            ..Default::default()
        };
        assert!(week.dora.orders(live).await.unwrap().is_empty(), "the rules take them back");
    }
    if minute == delivery(SUSPENDED) - 50 {
        suspend(week, false).await;
    }
    if minute == delivery(RERUN) - 50 {
        let auction_id = session(RERUN);
        let rerun = v1::propose_act_request::Act::RerunAuction(v1::RerunAuctionAct { auction_id });
        act(week, rerun, "the margin of a line was typed wrong").await;
        week.send_capacities(&session(RERUN), 2).await;
        week.exchange.at(&at(minute)).await;
        week.acknowledge(&session(RERUN), 2).await;
    }
    if minute == delivery(CANCELLED) - 70 {
        let auction_id = session(CANCELLED);
        let cancel = v1::propose_act_request::Act::CancelAuction(v1::CancelAuctionAct { auction_id });
        act(week, cancel, "the line of communication is cut").await;
    }
    if minute == delivery(32) - 40 {
        // The clock steps back by three minutes: journaled time stands still and goes on by itself.
        assert!(week.exchange.running().move_clock(parse_utc(&at(minute - 3)).unwrap()));
    }
    if minute == delivery(34) - 70 {
        let rich = step(&session(34), "DISCOM-1", "N2", Buy, &[(1, "9000", "9000"), (2, "9000", "9000")]);
        let id = week.id("y");
        accepted(&week.dora.submit(&id, rich).await.unwrap());
        let order = step(&session(34), "GEN-1", "N1", Sell, &[(1, "9500", "1")]);
        let id = week.id("y");
        accepted(&week.gina.submit(&id, order).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_faults_leaves_nothing_stuck_and_every_alarm_raised() {
    let mut week = Week::begin().await;
    register_otto(&mut week).await;
    for minute in 9 * 60..2 * 1_440 {
        if minute != delivery(32) - 39 {
            week.exchange.at(&at(minute)).await;
        }
        if minute == 600 {
            week.bid(&format!("DAM-{DAY}"), 96).await;
            change_rules(&mut week).await;
        }
        for number in 1..=48 {
            if minute == delivery(number) - 75 {
                week.bid(&session(number), 2).await;
            }
            if minute == delivery(number) - 60 {
                gate(&mut week, number, minute).await;
            }
        }
        trouble(&mut week, minute).await;
    }
    check_phases(&week).await;
    check_alarms(&week).await;
    week.exchange.stop().await;
    check_report(&week);
}

async fn check_phases(week: &Week) {
    for (auction, cap) in [("DAM-2026-11-24", "10000"), ("DAM-2026-11-25", "5000")] {
        let request = v1::GetAuctionRequest { auction_id: auction.into() };
        let shown = week.dora.get_auction(request).await.unwrap().auction.unwrap();
        assert_eq!(
            shown.price_max_micros_per_mwh,
            units::micros(cap).unwrap(),
            "rules hold from their day on"
        );
    }
    for number in 1..=48 {
        let request = v1::GetAuctionRequest { auction_id: session(number) };
        let shown = week.dora.get_auction(request).await.unwrap().auction.unwrap();
        let expected =
            if number == CANCELLED { v1::AuctionPhase::Cancelled } else { v1::AuctionPhase::Published };
        assert_eq!(shown.phase(), expected, "session {number}");
    }
    let request = v1::GetResultRequest { auction_id: session(RERUN), areas: Vec::new() };
    let result = week.dora.get_result(request).await.unwrap().result.unwrap();
    assert_eq!((result.revision, result.status()), (Some(2), v1::PublicationStatus::Corrected));
    let request = v1::GetTrialBalanceRequest { delivery_day: None };
    let balance = week.exchange.user("house").get_trial_balance(request).await.unwrap();
    assert_eq!(balance.sum, "0");
    let own = week.dora.get_collateral(v1::GetCollateralRequest::default()).await.unwrap();
    let own = own.collateral.unwrap();
    assert!(own.available_micros > 0 && own.due_micros > 0 && own.held_micros == 0, "{own:?}");
}

/// Every alarm of the day, and none that nobody caused.
async fn check_alarms(week: &Week) {
    let status = week.exchange.user("olga").get_status(v1::GetStatusRequest {}).await.unwrap();
    let about = |name: &str, auction: &str| {
        status.alarms.iter().filter(|it| it.contains(name) && it.contains(auction)).count()
    };
    for number in ABSENT.chain([LATE]) {
        assert_eq!(about("CAPACITY_LATE", &session(number)), 1, "session {number}");
    }
    assert_eq!(about("CAPACITY_LATE", &format!("DAM-{DAY}")), 1);
    for number in [CORRECTED, RERUN, SUSPENDED] {
        assert_eq!(about("LATE", &session(number)), 0, "session {number}: {:?}", status.alarms);
    }
    assert_eq!(about("ACKNOWLEDGEMENT_LATE", &session(UNACKNOWLEDGED)), 1);
    assert_eq!(about("RESULT_LATE", ""), 0);
}

/// The report of the day, as a supervisor makes it from the journal.
fn check_report(week: &Week) {
    let merit = Command::new(env!("CARGO_BIN_EXE_merit"))
        .args(["report", "surveillance", "-o", "csv"])
        .arg(week.exchange.journal())
        .output()
        .unwrap();
    let text = String::from_utf8(merit.stdout).unwrap();
    assert!(merit.status.success(), "{text}");
    let count = |words: &[&str]| text.lines().filter(|line| words.iter().all(|it| line.contains(it))).count();
    assert_eq!(count(&[",act,", "proposed"]), 2, "{text}");
    assert_eq!(count(&[",act,", "approved and done", "olga and otto"]), 2);
    assert_eq!(count(&[",correction,", &session(RERUN)]), 1);
    assert_eq!(count(&[",suspension,", "DISCOM"]), 2);
    assert_eq!(count(&["MEMBER_SUSPENDED"]), 1);
    assert!(count(&[",alarm,", "CAPACITY_LATE"]) >= 6);
}
