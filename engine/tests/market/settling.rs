//! Settlement of a day by hand: bands, two prices, runs, reversals, payments, holds, and refusals.

use crate::driver::{
    Cast, DAM, DAY, Driver, capacity, day, eve, exchange_with, registration, small_rules, step, text, user,
};
use merit_engine::auction::Side;
use merit_engine::command::{Action, Actor, Role};
use merit_engine::event::{Account, EventBody, Made};
use merit_engine::ids::{Market, PortfolioId, UserId};
use merit_engine::reject::{Place, Reject};
use merit_engine::rules::MarketRules;
use merit_engine::settlement::{
    Band, BandTable, Basis, Category, DeviationRules, Hold, HoldEnd, MeterBatch, MeterRow, Payment, Rate,
    RunRequest, RunStatus, Scheme, SettlementAction, SettlementEvent, SettlementRun,
};
use std::sync::Arc;

/// A day on which BERT sells 10 MW to ANNA in area A in the first of two periods of 12 hours, at 50.
fn published() -> (Driver, Cast, UserId) {
    published_at(50, small_rules(Market::Dam))
}

fn published_at(price: i64, rules: MarketRules) -> (Driver, Cast, UserId) {
    let (mut driver, cast) = exchange_with(vec![rules]);
    let clearing = {
        let made = driver.made(user(cast.operator), registration("clear", Role::Settlement, None));
        let Made::User(it) = made else { panic!("{made:?}") };
        it
    };
    driver.at(eve(10, 0));
    driver.submit(cast.bert, step(DAM, cast.south, 0, Side::Sell, &[(price, 10)]));
    driver.submit(cast.anna, step(DAM, cast.north, 0, Side::Buy, &[(price, 10)]));
    driver.at(eve(11, 0));
    driver.made(user(cast.dispatch), capacity(DAM, 1, 10));
    driver.settle();
    assert!(driver.lines().iter().any(|it| it.contains("obligations #1")));
    (driver, cast, clearing)
}

fn rate(basis: Basis, percent: u32) -> Rate {
    Rate { basis, millionths: percent * 10_000 }
}

/// Up to 10 % of the schedule the reference price both ways; beyond, nothing for too much and 120 %
/// for too little.
fn bands() -> DeviationRules {
    let inner = Band {
        until_millionths: 100_000,
        over: rate(Basis::Reference, 100),
        under: rate(Basis::Reference, 100),
    };
    let outer =
        Band { until_millionths: u32::MAX, over: rate(Basis::Normal, 0), under: rate(Basis::Normal, 120) };
    let tables = vec![BandTable { below_mhz: u32::MAX, bands: vec![inner, outer] }];
    let scheme = Scheme::Bands(vec![Category { name: text("general"), tables }]);
    DeviationRules { effective_from: DAY, scheme, placings: Vec::new() }
}

/// Meters that read what was scheduled, but for the changes (portfolio, block from 0, watt-hours).
fn batch(revision: u32, changes: &[(PortfolioId, usize, i64)], cast: &Cast) -> MeterBatch {
    let row = |portfolio, sign: i64| {
        // 10 MW over a quarter of an hour, in the first twelve hours.
        let mut net_wh: Vec<i64> = (0..96).map(|it| if it < 48 { sign * 2_500_000 } else { 0 }).collect();
        for (_, block, wh) in changes.iter().filter(|(of, _, _)| *of == portfolio) {
            net_wh[*block] += wh;
        }
        MeterRow { portfolio, area: text("A"), net_wh, estimated: Vec::new() }
    };
    let rows = vec![row(cast.north, -1), row(cast.south, 1)];
    let total_wh = rows.iter().flat_map(|it| &it.net_wh).sum();
    let (content, frequency_mhz) = ([1; 32], Vec::new());
    MeterBatch { day: DAY, revision, content, readings: 192, estimated: 0, total_wh, frequency_mhz, rows }
}

fn settle(driver: &mut Driver, clearing: UserId, action: SettlementAction) -> Made {
    driver.made(Actor::User(clearing), Action::Settle(action))
}

fn refuse(driver: &mut Driver, clearing: UserId, action: SettlementAction) -> (Reject, Place) {
    let digest = driver.engine.digest();
    let balances: Vec<_> = driver.engine.trial_balance().collect();
    let refusal = driver.refused(Actor::User(clearing), Action::Settle(action));
    assert_eq!(driver.engine.trial_balance().collect::<Vec<_>>(), balances);
    assert_ne!(driver.engine.digest(), digest, "the request itself is remembered");
    (refusal.reject, refusal.place)
}

fn run(status: RunStatus) -> SettlementAction {
    let reason = "meter 7 was read again".to_owned();
    SettlementAction::Run(RunRequest { day: DAY, status, reason, effective: DAY })
}

fn last_run(driver: &Driver) -> Arc<SettlementRun> {
    let runs = driver.events.iter().rev().find_map(|it| {
        let EventBody::Settlement(SettlementEvent::Run(run)) = &it.body else { return None };
        Some(Arc::clone(run))
    });
    runs.unwrap()
}

fn balance(driver: &Driver, account: Account) -> i128 {
    driver.engine.trial_balance().find(|(it, _)| *it == account).map_or(0, |it| it.1)
}

/// Energy of the deal: 10 MW × 12 h × 50 Rs, in paise; fee 1 paisa per MWh.
const VALUE: i64 = 10 * 12 * 50 * 100;
const FEE: i64 = 120;

#[test]
fn bands_value_slice_by_slice() {
    let (mut driver, cast, clearing) = published();
    settle(&mut driver, clearing, SettlementAction::SetDeviation(bands()));
    // The seller injects 0.5 MWh too little in one block (20 % of 2.5 MWh), 0.1 MWh too much in another.
    let changes = [(cast.south, 3, -500_000), (cast.south, 5, 100_000)];
    settle(&mut driver, clearing, SettlementAction::Meter(Arc::new(batch(1, &changes, &cast))));
    assert_eq!(settle(&mut driver, clearing, run(RunStatus::Provisional)), Made::Revision(1));
    // 0.25 MWh at 50 + 0.25 MWh at 60 to pay; 0.1 MWh at 50 to get; in paise.
    let deviation = -(1_250 + 1_500) + 500;
    let made = last_run(&driver);
    let south = made.members.iter().find(|it| it.0 == cast.member_b).unwrap().1;
    assert_eq!((south.energy_minor, south.fee_minor, south.deviation_minor), (VALUE, -FEE, deviation));
    let busy: Vec<_> = made.deviations.iter().filter(|it| it.minor != 0).collect();
    assert_eq!(busy.iter().map(|it| (it.block, it.minor)).collect::<Vec<_>>(), [(4, -2_750), (6, 500)]);
    assert_eq!(balance(&driver, Account::Deviation), i128::from(-deviation));
    assert_eq!(balance(&driver, Account::Member(cast.member_b)), i128::from(VALUE - FEE + deviation));
}

#[test]
fn two_prices_charge_what_hurts_the_system_and_leave_the_rest() {
    let (mut driver, cast, clearing) = published();
    let rules = DeviationRules { effective_from: DAY, scheme: Scheme::TwoPrice, placings: Vec::new() };
    settle(&mut driver, clearing, SettlementAction::SetDeviation(rules));
    // The system is short by 0.3 MWh: the seller by 0.4, while the buyer draws 0.1 less. There is no
    // real-time market, so both prices are the day-ahead one.
    let changes = [(cast.south, 0, -400_000), (cast.north, 0, 100_000)];
    settle(&mut driver, clearing, SettlementAction::Meter(Arc::new(batch(1, &changes, &cast))));
    settle(&mut driver, clearing, run(RunStatus::Provisional));
    let minors: Vec<i64> =
        last_run(&driver).deviations.iter().map(|it| it.minor).filter(|it| *it != 0).collect();
    assert_eq!(minors, [500, -2_000]);
}

#[test]
fn a_correction_takes_back_and_books_again_with_its_reason() {
    let (mut driver, cast, clearing) = published();
    settle(&mut driver, clearing, SettlementAction::SetDeviation(bands()));
    let first = batch(1, &[(cast.south, 3, -500_000)], &cast);
    settle(&mut driver, clearing, SettlementAction::Meter(Arc::new(first)));
    settle(&mut driver, clearing, run(RunStatus::Provisional));
    driver.at(day(25, 0));
    driver.events.clear();
    settle(&mut driver, clearing, run(RunStatus::Final));
    assert_eq!(last_run(&driver).deltas, [], "nothing has changed");
    let posted = |driver: &Driver| {
        let entries = driver.events.iter().filter_map(|it| {
            let EventBody::LedgerPosted { auction: None, entries } = &it.body else { return None };
            Some(entries.to_vec())
        });
        entries.flatten().collect::<Vec<_>>()
    };
    assert_eq!(posted(&driver), [], "an unchanged run books nothing");
    let second = batch(2, &[(cast.south, 3, -250_000)], &cast);
    settle(&mut driver, clearing, SettlementAction::Meter(Arc::new(second)));
    let missing =
        RunRequest { day: DAY, status: RunStatus::Resettled, reason: String::new(), effective: DAY };
    let refused = refuse(&mut driver, clearing, SettlementAction::Run(missing));
    assert_eq!(refused, (Reject::ReasonMissing, Place::Field("reason")));
    assert_eq!(settle(&mut driver, clearing, run(RunStatus::Resettled)), Made::Revision(3));
    let entries = posted(&driver);
    let south = Account::Member(cast.member_b);
    assert_eq!(entries[0].postings, [(south, 2_750), (Account::Deviation, -2_750)]);
    assert_eq!(entries[1].postings, [(south, -1_250), (Account::Deviation, 1_250)]);
    let shown = format!("{:?}", entries[0].cause);
    assert!(shown.starts_with("Reversal") && shown.contains("meter 7 was read again"), "{shown}");
    assert_eq!(last_run(&driver).deltas[0].1.deviation_minor, 1_500);
    assert_eq!(refuse(&mut driver, clearing, run(RunStatus::Final)).0, Reject::RunOutOfOrder);
}

#[test]
fn the_final_run_waits_for_the_end_of_delivery() {
    let (mut driver, _, clearing) = published();
    assert_eq!(refuse(&mut driver, clearing, run(RunStatus::Final)).0, Reject::DayNotOver);
    assert_eq!(refuse(&mut driver, clearing, run(RunStatus::Resettled)).0, Reject::DayNotOver);
    driver.at(day(24, 0));
    assert_eq!(refuse(&mut driver, clearing, run(RunStatus::Resettled)).0, Reject::RunOutOfOrder);
    settle(&mut driver, clearing, run(RunStatus::Final));
}

#[test]
fn meters_that_make_no_sense_are_refused_whole() {
    let (mut driver, cast, clearing) = published();
    let good = batch(1, &[], &cast);
    let mut check = |expected: Reject, field: &'static str, spoil: &dyn Fn(&mut MeterBatch)| {
        let mut bad = good.clone();
        spoil(&mut bad);
        let refused = refuse(&mut driver, clearing, SettlementAction::Meter(Arc::new(bad)));
        assert_eq!(refused, (expected, Place::Field(field)));
    };
    check(Reject::UnknownDay, "day", &|it| it.day = DAY.plus(9));
    check(Reject::StaleRevision, "revision", &|it| it.revision = 0);
    check(Reject::MeterRowsInvalid, "rows", &|it| it.rows[0].net_wh.truncate(95));
    check(Reject::MeterRowsInvalid, "rows", &|it| it.rows.swap(0, 1));
    check(Reject::MeterRowsInvalid, "rows", &|it| it.rows[1] = it.rows[0].clone());
    check(Reject::MeterRowsInvalid, "rows", &|it| it.rows[0].area = text("Z"));
    check(Reject::MeterRowsInvalid, "rows", &|it| it.rows[0].portfolio = PortfolioId(77));
    check(Reject::MeterRowsInvalid, "rows", &|it| it.rows[0].estimated = vec![96]);
    check(Reject::MeterRowsInvalid, "frequency", &|it| it.frequency_mhz = vec![50_000]);
    check(Reject::EnergyOutOfRange, "rows", &|it| it.rows[0].net_wh[0] = i64::MAX);
    check(Reject::EnergyOutOfRange, "total_wh", &|it| it.total_wh += 1);
}

#[test]
fn amounts_that_would_overflow_are_refused_and_nothing_is_booked() {
    let dear = MarketRules { price_max: 100_000, ..small_rules(Market::Dam) };
    let (mut driver, cast, clearing) = published_at(100_000, dear);
    let mut rules = bands();
    let Scheme::Bands(categories) = &mut rules.scheme else { panic!("bands") };
    categories[0].tables[0].bands[1].under.millionths = 10_000_000;
    settle(&mut driver, clearing, SettlementAction::SetDeviation(rules));
    let mut wild = batch(1, &[], &cast);
    for wh in &mut wild.rows[0].net_wh {
        *wh = -1_000_000_000_000;
    }
    wild.total_wh = wild.rows.iter().flat_map(|it| &it.net_wh).sum();
    settle(&mut driver, clearing, SettlementAction::Meter(Arc::new(wild)));
    let refused = refuse(&mut driver, clearing, run(RunStatus::Provisional));
    assert_eq!(refused.0, Reject::AmountOutOfRange);
    let absurd = Payment { member: cast.member_a, minor: i64::MAX, value_day: DAY, reference: text("ref-1") };
    assert_eq!(refuse(&mut driver, clearing, SettlementAction::Pay(absurd)).0, Reject::AmountOutOfRange);
}

#[test]
fn tables_by_frequency_need_the_frequency() {
    let (mut driver, cast, clearing) = published();
    let mut rules = bands();
    let Scheme::Bands(categories) = &mut rules.scheme else { panic!("bands") };
    let mut low = categories[0].tables[0].clone();
    low.below_mhz = 49_900;
    low.bands[0].under.millionths = 1_500_000;
    categories[0].tables.insert(0, low);
    settle(&mut driver, clearing, SettlementAction::SetDeviation(rules));
    let changes = [(cast.south, 3, -100_000), (cast.south, 4, -100_000)];
    settle(&mut driver, clearing, SettlementAction::Meter(Arc::new(batch(1, &changes, &cast))));
    assert_eq!(refuse(&mut driver, clearing, run(RunStatus::Provisional)).0, Reject::FrequencyMissing);
    let mut with = batch(2, &changes, &cast);
    with.frequency_mhz = (0..96).map(|it| if it == 3 { 49_899 } else { 49_900 }).collect();
    settle(&mut driver, clearing, SettlementAction::Meter(Arc::new(with)));
    settle(&mut driver, clearing, run(RunStatus::Provisional));
    let minors: Vec<i64> =
        last_run(&driver).deviations.iter().map(|it| it.minor).filter(|it| *it != 0).collect();
    assert_eq!(minors, [-750, -500]);
}

#[test]
fn payments_and_holds_move_funds_and_every_hold_ends_once() {
    let (mut driver, cast, clearing) = published();
    let hold = |minor| Hold { member: cast.member_a, minor, reason: "margin of the day".to_owned() };
    let refused = refuse(&mut driver, clearing, SettlementAction::Hold(hold(1)));
    assert_eq!(refused, (Reject::BalanceShort, Place::Field("amount")));
    let pay = Payment {
        member: cast.member_a,
        minor: VALUE + FEE + 900,
        value_day: DAY,
        reference: text("BANK-1"),
    };
    settle(&mut driver, clearing, SettlementAction::Pay(pay));
    assert_eq!(balance(&driver, Account::Member(cast.member_a)), 900);
    assert_eq!(settle(&mut driver, clearing, SettlementAction::Hold(hold(600))), Made::Number(1));
    assert_eq!(refuse(&mut driver, clearing, SettlementAction::Hold(hold(301))).0, Reject::BalanceShort);
    assert_eq!(settle(&mut driver, clearing, SettlementAction::Hold(hold(300))), Made::Number(2));
    let end = |hold, end| SettlementAction::EndHold { hold, end };
    settle(&mut driver, clearing, end(1, HoldEnd::Released));
    settle(&mut driver, clearing, end(2, HoldEnd::Posted));
    assert_eq!(balance(&driver, Account::Margin(cast.member_a)), 0);
    assert_eq!(balance(&driver, Account::Member(cast.member_a)), 600);
    assert_eq!(balance(&driver, Account::Bank), i128::from(-(VALUE + FEE + 600)));
    for number in [1, 2, 3] {
        let refused = refuse(&mut driver, clearing, end(number, HoldEnd::Released));
        assert_eq!(refused, (Reject::UnknownHold, Place::Field("hold")));
    }
}

#[test]
fn what_was_never_sent_cannot_be_acknowledged() {
    let (mut driver, _, clearing) = published();
    let head = driver.engine.stream_head(merit_engine::event::Stream::Settlement);
    let acknowledge = |stream_seq, epoch| SettlementAction::Acknowledge { stream_seq, epoch };
    for (seq, epoch) in [(0, 1), (head + 1, 1), (u64::MAX, 1), (head, 0), (head, 2)] {
        let refused = refuse(&mut driver, clearing, acknowledge(seq, epoch));
        assert_eq!(refused, (Reject::NeverSent, Place::Field("up_to_seq")), "{seq} of epoch {epoch}");
    }
    assert_eq!(settle(&mut driver, clearing, acknowledge(head, 1)), Made::Number(head));
    assert_eq!(settle(&mut driver, clearing, acknowledge(1, 1)), Made::Number(head), "it never goes back");
}

#[test]
fn only_the_clearing_house_settles() {
    let (mut driver, cast, _) = published();
    let auditor = register_auditor(&mut driver, cast);
    for actor in [user(cast.anna), user(cast.operator), user(cast.dispatch), user(auditor)] {
        let rejected = driver.reject(actor, Action::Settle(run(RunStatus::Provisional)));
        assert_eq!(rejected, Reject::NotPermitted);
    }
}

fn register_auditor(driver: &mut Driver, cast: Cast) -> UserId {
    let action = registration("auditor", Role::Auditor, Some(cast.member_a));
    let Made::User(it) = driver.made(user(cast.operator), action) else { panic!("a user") };
    it
}
