//! Laws over random histories: thousands of requests, good, spoilt and absurd, from printed seeds.

use crate::chance::{Acts, Chance};
use crate::driver::{DAY, Driver, eve, portfolio, registration, small_rules, text};
use crate::model::Model;
use merit_engine::calendar::MINUTE_US;
use merit_engine::command::{Action, Actor, Body, Request, Role};
use merit_engine::event::{Answer, Event, EventBody, Made, Phase, Stream};
use merit_engine::ids::{AuctionId, Market};
use merit_engine::market::Engine;
use merit_engine::rules::{AreaRule, LineRule, MarketRules};

/// Three areas in a ring.
fn ring(market: Market) -> MarketRules {
    let mut rules = small_rules(market);
    rules.areas = ["A", "B", "C"].iter().map(|code| AreaRule { code: text(code) }).collect();
    let line = |id: &str, from, to| LineRule { id: text(id), from, to, capacity: 7, capacity_back: 4 };
    rules.lines = vec![line("A-B", 0, 1), line("B-C", 1, 2), line("C-A", 2, 0)];
    rules.limits.orders_per_member_max = 40;
    rules.limits.blocks_per_portfolio_max = 6;
    if market == Market::Rtm {
        rules.timetable.session_minutes = 240;
        rules.period_minutes = 120;
    }
    rules
}

fn exchange() -> Driver {
    let mut driver = Driver::starting(eve(8, 0));
    for market in Market::ALL {
        driver.made(Actor::System, Action::SetRules(Box::new(ring(market))));
    }
    for n in 0..4 {
        let action = Action::RegisterMember { code: text(&format!("M{n}")), name: format!("Member {n}") };
        let Made::Member(member) = driver.made(Actor::System, action) else { panic!("a member") };
        for p in 0..2 {
            portfolio(&mut driver, member, &format!("M{n}-P{p}"));
        }
        for role in [Role::Trader, Role::Auditor] {
            driver.made(Actor::System, registration(&format!("m{n}-{role:?}"), role, Some(member)));
        }
    }
    for role in [Role::Dispatch, Role::Settlement, Role::Operator] {
        driver.made(Actor::System, registration(&format!("{role:?}"), role, None));
    }
    driver.made(Actor::System, registration("second", Role::Operator, None));
    driver
}

/// Lives a history of `steps` requests; every request is compared with its dry run, every event goes
/// through the model.
pub(crate) fn live(seed: u64, steps: u32, units: u32) -> (Driver, Model) {
    let mut chance = Chance(seed);
    let mut driver = exchange();
    driver.units = units;
    let mut model = Model::default();
    let mut heard = 0;
    for _ in 0..steps {
        pass_time(&mut driver, &mut chance);
        ask(&mut driver, &mut chance, &model);
        if !chance.one_in(6) {
            driver.settle();
        }
        for event in &driver.events[heard..] {
            model.hear(event);
        }
        heard = driver.events.len();
    }
    driver.settle();
    driver.at(driver.time_us + 3 * 24 * 60 * MINUTE_US);
    for event in &driver.events[heard..] {
        model.hear(event);
    }
    (driver, model)
}

fn pass_time(driver: &mut Driver, chance: &mut Chance) {
    let step = match chance.below(100) {
        0 => chance.below(2 * 60) * 60_000_000,
        1..=2 => chance.below(60) * 60_000_000,
        5..=30 => chance.below(60_000_000),
        _ => 0,
    };
    driver.time_us += i64::try_from(step).unwrap();
    if chance.one_in(1_500) {
        driver.time_us += 3 * 24 * 60 * MINUTE_US;
    }
    if chance.one_in(if any_open(driver) { 60 } else { 3 }) {
        driver.time_us = driver.engine.next_timer_us().map_or(driver.time_us, |due| due.max(driver.time_us));
    }
    if chance.one_in(20) {
        driver.apply(Body::Tick);
    }
    if chance.one_in(20) {
        let auction = AuctionId { day: DAY, market: Market::Dam, session: 1 };
        driver.apply(Body::ClearQuantum { auction, units: 3 });
    }
}

fn any_open(driver: &Driver) -> bool {
    driver.engine.counts().any(|it| it.phase == Phase::Open)
}

fn ask(driver: &mut Driver, chance: &mut Chance, model: &Model) {
    let time_us = driver.time_us;
    let all: Vec<AuctionId> = driver.engine.auctions().map(|it| it.info.auction).collect();
    let is_open =
        |it: &merit_engine::market::AuctionView<'_>| (it.info.open_us..it.info.gate_us).contains(&time_us);
    let open: Vec<AuctionId> = driver.engine.auctions().filter(is_open).map(|it| it.info.auction).collect();
    let ahead = |it: &merit_engine::market::AuctionView<'_>| {
        it.phase == Phase::Published && it.info.delivery_start_us > time_us + 60 * MINUTE_US
    };
    let ripe = driver.engine.auctions().filter(ahead).map(|it| it.info.auction).collect();
    let acts = Acts { proposed: model.proposals, time_us, ripe };
    let action = chance.action(&open, &all, model.orders(), &acts);
    let request_id = chance.id();
    let actor = if chance.one_in(8) { chance.actor() } else { fitting(&action, driver, model) };
    let request = Request { actor, request_id, action };
    // Timers first, so that the dry run and the request see the same auctions.
    driver.apply(Body::Tick);
    let before = chance.one_in(20).then(|| driver.engine.digest());
    let dry = driver.engine.dry_run(&request, time_us);
    assert!(before.is_none_or(|it| it == driver.engine.digest()), "a dry run changes nothing");
    let answer = driver.apply(Body::Request(Box::new(request.clone())));
    match &answer {
        Answer::Accepted { made, replayed, .. } => {
            assert_eq!(dry, [], "{request:?}");
            if !replayed {
                check_accepted(&request, *made, model, driver, time_us);
            }
        }
        Answer::Refused { refusal, .. } => assert_eq!(dry.first(), Some(refusal), "{request:?}"),
        Answer::None => panic!("a request has an answer"),
    }
    if chance.one_in(15) {
        let again = driver.apply(Body::Request(Box::new(request)));
        assert_eq!(same_answer(&again), same_answer(&answer));
    }
}

/// A user who may do this, as far as there is one.
fn fitting(action: &Action, driver: &Driver, model: &Model) -> Actor {
    let trader = |member| {
        let users = driver.engine.users();
        users.iter().position(|it| it.role == Role::Trader && it.member == member)
    };
    let of_role = |role| driver.engine.users().iter().position(|it| it.role == role);
    let found = match action {
        Action::Submit(order) => trader(driver.engine.portfolio(order.portfolio).map(|it| it.member)),
        Action::Amend { order, .. } | Action::Cancel { order } => trader(model.member(*order)),
        Action::CancelAll { portfolio, .. } => {
            trader(portfolio.and_then(|it| driver.engine.portfolio(it)).map(|it| it.member))
        }
        Action::SubmitCapacity(_) | Action::AcknowledgeSchedule { .. } => of_role(Role::Dispatch),
        Action::SetRules(_)
        | Action::Deposit { .. }
        | Action::Withdraw { .. }
        | Action::RecordPayIn { .. }
        | Action::SetClearance { .. }
        | Action::ProposeAct { .. }
        | Action::RegisterMember { .. }
        | Action::SetMemberSuspended { .. }
        | Action::RegisterPortfolio { .. }
        | Action::RegisterUser { .. } => of_role(Role::Operator),
        // Who approves is not who proposed.
        Action::ApproveAct { .. } => driver.engine.users().iter().rposition(|it| it.role == Role::Operator),
        Action::Settle(_) => of_role(Role::Settlement),
    };
    let number = found.unwrap_or(0);
    Actor::User(merit_engine::ids::UserId(u32::try_from(number).unwrap()))
}

/// An answer without its place in the journal.
fn same_answer(answer: &Answer) -> Result<Made, merit_engine::reject::Refusal> {
    match answer {
        Answer::Accepted { made, .. } => Ok(*made),
        Answer::Refused { refusal, .. } => Err(*refusal),
        Answer::None => panic!("a request has an answer"),
    }
}

/// Nobody acts for another, nothing moves that does not stand.
fn check_accepted(request: &Request, made: Made, model: &Model, driver: &Driver, time_us: i64) {
    let member = match request.actor {
        Actor::System => None,
        Actor::User(user) => driver.engine.user(user).unwrap().member,
    };
    match (&request.action, made) {
        (Action::Submit(order), Made::Order { order: id, version }) => {
            assert_eq!((Some(id), version), (member.map(|it| model.next(it)), 1));
            let owner = driver.engine.portfolio(order.portfolio).unwrap().member;
            assert_eq!(Some(owner), member);
        }
        (Action::Amend { order, version, .. }, Made::Order { order: id, version: now }) => {
            assert!(model.stands(*order, member, time_us));
            assert_eq!(model.version(*order), Some(*version));
            assert_eq!((id, now), (*order, version + 1));
        }
        (Action::Cancel { order }, Made::Cancelled { orders }) => {
            assert!(model.stands(*order, member, time_us));
            assert!(orders >= 1);
        }
        (_, _) => {}
    }
}

#[test]
fn laws_hold_over_random_histories() {
    let (mut published, mut trades, mut congested, mut halted) = (0, 0, 0, 0);
    let (mut runs, mut reversals, mut holds) = (0, 0, 0);
    let (mut cancelled, mut extended, mut voided) = (0, 0, 0);
    for seed in 0..16 {
        println!("seed {seed}");
        let (driver, model) = live(seed, 2_000, 0);
        let balances: std::collections::BTreeMap<_, _> = driver.engine.trial_balance().collect();
        assert_eq!(balances, model.balances());
        assert_eq!(balances.values().sum::<i128>(), 0);
        model.money.check_booked();
        runs += model.money.runs;
        reversals += model.money.reversals;
        holds += model.money.holds;
        cancelled += model.cancelled;
        extended += model.extended;
        voided += model.voided;
        for (stream, head) in driver.engine.stream_heads() {
            let last = driver.events.iter().rev().find(|it| it.stream == stream).unwrap();
            assert_eq!(last.stream_seq, head);
        }
        published += model.published;
        trades += model.trades;
        congested += model.congested;
        halted += model.halted;
    }
    println!("{published} results, {trades} trades, {congested} kept out by congestion, {halted} halted");
    assert!(published > 1_000 && trades > 2_000 && congested > 100, "the histories must trade");
    println!("{runs} settlement runs, {reversals} reversals, {holds} holds");
    assert!(runs > 100 && reversals > 10 && holds > 5, "the histories must settle");
    println!("{cancelled} auctions cancelled, {extended} gates extended, {voided} results void");
    assert!(cancelled > 10 && extended > 10 && voided > 20, "the histories must have exceptional acts");
    assert_eq!(halted, 0, "the verifier refuses no honest result");
}

/// The digest that is kept as things come and go against the one that walks the whole state, in histories with
/// everything that makes them: amendments, cancellations, funds checks, auctions forgotten, days of requests past.
#[test]
fn the_digest_that_is_kept_is_the_one_of_the_whole_state() {
    let mut compared = 0;
    for seed in 300..308 {
        let (driver, _) = live(seed, 1_200, 0);
        let mut engine = Engine::new();
        let (mut events, mut chance) = (Vec::new(), Chance(seed));
        for command in &driver.commands {
            engine.apply(command, &mut events);
            events.clear();
            if chance.one_in(7) {
                assert_eq!(engine.digest(), engine.digest_in_full(), "seed {seed}, after {}", engine.seq());
                compared += 1;
            }
        }
        assert_eq!(engine.digest(), engine.digest_in_full(), "seed {seed}");
    }
    assert!(compared > 1_000, "{compared}");
}

#[test]
fn the_same_history_gives_the_same_events_and_the_same_digest() {
    for seed in 100..104 {
        let (driver, _) = live(seed, 400, 0);
        let mut engine = Engine::new();
        let mut events = Vec::new();
        for command in &driver.commands {
            engine.apply(command, &mut events);
        }
        assert_eq!(events, driver.events, "seed {seed}");
        assert_eq!(engine.digest(), driver.engine.digest(), "seed {seed}");
    }
}

/// What was said, without the journal's numbers.
fn said(events: &[Event]) -> Vec<(Stream, u64, i64, &EventBody)> {
    events.iter().map(|it| (it.stream, it.stream_seq, it.time_us, &it.body)).collect()
}

#[test]
fn the_size_of_a_quantum_changes_nothing_that_is_said() {
    for seed in 200..204 {
        let (whole, _) = live(seed, 300, 1_000_000);
        for units in [1, 7] {
            let (cut, _) = live(seed, 300, units);
            assert_eq!(said(&cut.events), said(&whole.events), "seed {seed}, {units} units");
        }
    }
}

#[test]
fn a_quantum_for_an_auction_that_is_not_clearing_changes_nothing_but_the_place() {
    let mut driver = exchange();
    let heads: Vec<_> = driver.engine.stream_heads().collect();
    for auction in driver.engine.auctions().map(|it| it.info.auction).collect::<Vec<_>>() {
        assert_eq!(driver.engine.auction(auction).unwrap().phase, Phase::Scheduled);
        driver.apply(Body::ClearQuantum { auction, units: 0 });
    }
    driver.apply(Body::ClearQuantum {
        auction: AuctionId { day: DAY.plus(1_000), market: Market::Rtm, session: 9 },
        units: u32::MAX,
    });
    assert_eq!(driver.engine.stream_heads().collect::<Vec<_>>(), heads);
}
