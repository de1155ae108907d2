//! What only the inside can show: a corrupted outcome, and a digest that sees every field.

use super::Engine;
use super::session::Run;
use crate::auction::{Point, Shape, Side};
use crate::calendar::Day;
use crate::command::{Action, Actor, Body, Command, NewOrder, OrderBody, Request, Role};
use crate::event::{Alarm, Event, EventBody, Phase, Reason};
use crate::few::Few;
use crate::ids::{AuctionId, Market, MemberId, PortfolioId, TextId, UserId};
use crate::outcome::Outcome;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use std::format;

const DAY: Day = Day(20_780);
const DAM: AuctionId = AuctionId { day: DAY, market: Market::Dam, session: 1 };

struct Bench {
    engine: Engine,
    events: Vec<Event>,
    time_us: i64,
}

impl Bench {
    fn apply(&mut self, body: Body) {
        let command = Command { seq: self.engine.seq() + 1, epoch: 1, time_us: self.time_us, body };
        self.engine.apply(&command, &mut self.events);
    }

    fn ask(&mut self, actor: Actor, action: Action) {
        let request_id = TextId::new(&format!("r{}", self.engine.seq())).unwrap();
        self.apply(Body::Request(Box::new(Request { actor, request_id, action })));
    }

    fn quantum(&mut self) {
        self.apply(Body::ClearQuantum { auction: DAM, units: 64 });
    }

    fn settle(&mut self) {
        while self.engine.wants_quantum().is_some() {
            self.quantum();
        }
    }

    fn auction(&mut self) -> &mut super::session::Auction {
        self.engine.state.auctions.get_mut(&DAM).unwrap()
    }
}

/// A day-ahead auction with trades in two areas, its constrained run just cleared.
fn cleared() -> Bench {
    let mut rules = crate::presets::indian(DAY.plus(-2))[0].clone();
    rules.timetable.two_runs = false;
    rules.risk = crate::rules::RiskRules::NONE;
    let mut bench = Bench { engine: Engine::new(), events: Vec::new(), time_us: 0 };
    bench.time_us = rules.zone.day_start_us(DAY.plus(-1));
    bench.ask(Actor::System, Action::SetRules(Box::new(rules)));
    let code = TextId::new("M").unwrap();
    bench.ask(Actor::System, Action::RegisterMember { code: code.clone(), name: "M".to_string() });
    bench.ask(
        Actor::System,
        Action::RegisterPortfolio { member: MemberId(0), code: code.clone(), areas: vec![] },
    );
    let user = Action::RegisterUser {
        name: code,
        fingerprint: [1; 32],
        role: Role::Trader,
        member: Some(MemberId(0)),
        portfolios: vec![],
    };
    bench.ask(Actor::System, user);
    bench.time_us += 10 * 3_600 * 1_000_000;
    for (area, side, price) in [(0, Side::Sell, 200_000), (1, Side::Buy, 500_000), (1, Side::Sell, 900_000)] {
        let points = vec![Point { price, quantity: 1_000 }];
        let body = OrderBody::Curve { shape: Shape::Step(side), periods: Few::one((3, points.into())) };
        let order = NewOrder { auction: DAM, portfolio: PortfolioId(0), area, body };
        bench.ask(Actor::User(UserId(0)), Action::Submit(order));
    }
    bench.time_us += 3 * 3_600 * 1_000_000;
    bench.apply(Body::Tick);
    while !matches!(bench.auction().run, Some(Run::Verifies { .. })) {
        assert_eq!(bench.auction().phase, Phase::Clearing);
        bench.quantum();
    }
    bench.events.clear();
    bench
}

/// Corrupts the outcome that the verifier is about to see and lets the market go on.
#[track_caller]
fn check_refused(corrupt: fn(&mut Outcome)) {
    let mut bench = cleared();
    let Some(Run::Verifies { outcome, .. }) = &mut bench.auction().run else {
        panic!("about to be verified")
    };
    corrupt(outcome);
    bench.settle();
    assert_eq!(bench.auction().phase, Phase::Halted);
    let is_alarm = |it: &&Event| matches!(it.body, EventBody::Alarm(Alarm::VerifierRefused { .. }));
    assert_eq!(bench.events.iter().filter(is_alarm).count(), 1);
    for event in &bench.events {
        let body = &event.body;
        if let EventBody::Alarm(Alarm::VerifierRefused { auction, breaks, first }) = body {
            assert!(*auction == DAM && *breaks > 0);
            assert!(first.bytes().all(|it| it.is_ascii_alphabetic()), "{first} tells of an order");
        } else if let EventBody::OrderEnded { fills, .. } = body {
            assert!(fills.iter().all(|it| it.reason == Reason::AuctionCancelled && it.sold == 0));
        } else {
            let phase = matches!(body, EventBody::PhaseChanged { phase: Phase::Halted, .. });
            assert!(phase, "nothing else is said of a refused result: {body:?}");
        }
    }
    assert_eq!(bench.events.len(), 1 + 3 + 1);
    assert!(bench.engine.trial_balance().next().is_none());
    assert_eq!(bench.engine.wants_quantum(), None);
}

#[test]
fn an_honest_outcome_is_published() {
    let mut bench = cleared();
    bench.settle();
    assert_eq!(bench.auction().phase, Phase::Published);
    let is_result = |it: &&Event| matches!(it.body, EventBody::ResultPublished(_));
    assert_eq!(bench.events.iter().filter(is_result).count(), 1);
}

#[test]
fn a_price_moved_by_one_tick_is_not_published() {
    check_refused(|outcome| outcome.prices[3 * 13] += 1);
}

#[test]
fn a_lot_given_to_a_buyer_from_nowhere_is_not_published() {
    check_refused(|outcome| outcome.curves[1].bought -= 1);
}

#[test]
fn a_flow_moved_round_is_not_published() {
    check_refused(|outcome| outcome.flows[3 * 20] += 1);
}

#[test]
fn welfare_that_is_not_the_orders_own_is_not_published() {
    check_refused(|outcome| outcome.welfare += 1);
}

#[test]
fn the_digest_sees_a_change_of_any_part_of_the_state() {
    type Change = fn(&mut Engine);
    let changes: &[(&str, Change)] = &[
        ("seq", |it| it.seq += 1),
        ("epoch", |it| it.epoch += 1),
        ("time", |it| it.time_us += 1),
        ("phase", |it| it.state.auctions.get_mut(&DAM).unwrap().phase = Phase::Cancelled),
        ("run", |it| it.state.auctions.get_mut(&DAM).unwrap().run = None),
        ("provisional", |it| it.state.auctions.get_mut(&DAM).unwrap().provisional = Some(vec![])),
        ("book", |it| it.state.auctions.get_mut(&DAM).unwrap().book = None),
        ("auction", |it| {
            it.state.auctions.retain(|id, _| *id != DAM);
        }),
        ("outcome", |it| {
            let Some(Run::Verifies { outcome, .. }) = &mut it.state.auctions.get_mut(&DAM).unwrap().run
            else {
                panic!("about to be verified")
            };
            outcome.curves[0].sold += 1;
        }),
        ("bootstrap", |it| it.state.registry.bootstrap_over ^= true),
        ("requests", |it| it.state.requests = super::requests::RequestLog::default()),
        ("timetable", |it| it.state.timetable = super::timetable::Timetable::default()),
        ("orders", |it| it.state.orders.add(MemberId(0), DAM, 7)),
        ("places", |it| it.state.orders.spoil()),
        ("an order", |it| it.state.auctions.get_mut(&DAM).unwrap().book.as_mut().unwrap().spoil()),
        ("streams", |it| it.streams = super::streams::Streams::default()),
    ];
    let mut seen = vec![cleared().engine.digest_in_full()];
    assert_eq!(cleared().engine.digest(), seen[0], "the same history, the same digest");
    for (part, change) in changes {
        let mut engine = cleared().engine;
        change(&mut engine);
        assert!(!seen.contains(&engine.digest_in_full()), "{part} is not in the digest");
        seen.push(engine.digest_in_full());
    }
}

#[test]
fn the_digest_sees_the_ledger() {
    let mut bench = cleared();
    bench.settle();
    let before = bench.engine.digest();
    bench.engine.state.ledger = super::settlement::Ledger::default();
    assert_ne!(bench.engine.digest(), before);
}
