//! What pre-trade risk costs: the worst case of one order, and order entry of 5,000 members with and
//! without holds.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use merit_engine::auction::{Point, Shape, Side};
use merit_engine::calendar::{Day, MINUTE_US};
use merit_engine::command::{Action, Actor, Body, Command, NewOrder, OrderBody, Request, Role};
use merit_engine::event::Event;
use merit_engine::ids::{AuctionId, Market, MemberId, PortfolioId, TextId, UserId};
use merit_engine::market::Engine;
use merit_engine::presets;
use merit_engine::risk::{Grid, worst};
use merit_engine::rules::{FundsRule, MarketRules};
use std::hint::black_box;
use std::time::{Duration, Instant};

const DAY: Day = Day(20_780);
const MEMBERS: u32 = 5_000;
/// Orders of each member in one session.
const ORDERS: u32 = 4;
const SESSION: AuctionId = AuctionId { day: DAY, market: Market::Rtm, session: 21 };

fn curve(shape: Shape, points: i64, from: i64) -> OrderBody {
    let point = |it: i64| Point {
        price: from + it * 10_000,
        quantity: if shape == Shape::Linear { 400 - it * 100 } else { 100 + it * 10 },
    };
    let points: Vec<Point> = (0..points).map(point).collect();
    OrderBody::Curve { shape, periods: vec![(0, points.clone().into()), (1, points.into())].into() }
}

fn block() -> OrderBody {
    OrderBody::Block {
        side: Side::Buy,
        price: 400_000,
        quantity: vec![(0, 100), (1, 100)],
        ratio_min: 1_000_000,
        parent: None,
        group: None,
    }
}

fn worst_case(criterion: &mut Criterion) {
    let [_, rules] = presets::indian(DAY);
    let grid = Grid::new(&rules);
    let mut group = criterion.benchmark_group("worst_case");
    let orders = [
        ("buy steps, 2 periods of 8", curve(Shape::Step(Side::Buy), 8, 100_000)),
        ("sell steps, 2 periods of 8", curve(Shape::Step(Side::Sell), 8, 100_000)),
        ("line, 2 periods of 8", curve(Shape::Linear, 8, 100_000)),
        ("line, 2 periods of 64", curve(Shape::Linear, 64, 100_000)),
        ("block of 2 periods", block()),
    ];
    for (name, body) in orders {
        group.bench_with_input(BenchmarkId::from_parameter(name), &body, |bench, body| {
            bench.iter(|| worst::of(&grid, black_box(body)));
        });
    }
    group.finish();
}

/// An exchange in the middle of a session, and where its journal stands.
struct Exchange {
    engine: Engine,
    seq: u64,
    time_us: i64,
    events: Vec<Event>,
}

fn text(text: &str) -> TextId {
    TextId::new(text).expect("the bench's ids are well-formed")
}

impl Exchange {
    fn new(rules: MarketRules) -> Self {
        let time_us = rules.zone.day_start_us(DAY) - 60 * MINUTE_US;
        let mut exchange = Self { engine: Engine::new(), seq: 0, time_us, events: Vec::new() };
        exchange.system("rules", Action::SetRules(Box::new(rules)));
        for number in 0..MEMBERS {
            let code = text(&format!("M{number}"));
            let name = "M".to_owned();
            exchange.system(&format!("m{number}"), Action::RegisterMember { code: code.clone(), name });
            let member = MemberId(number);
            let deposit = Action::Deposit { member, minor: 1_000_000_000_000 };
            exchange.system(&format!("d{number}"), deposit);
            let areas = Vec::new();
            exchange.system(&format!("p{number}"), Action::RegisterPortfolio { member, code, areas });
            let mut fingerprint = [0; 32];
            fingerprint[..4].copy_from_slice(&number.to_le_bytes());
            let user = Action::RegisterUser {
                name: text(&format!("u{number}")),
                fingerprint,
                role: Role::Trader,
                member: Some(member),
                portfolios: Vec::new(),
            };
            exchange.system(&format!("u{number}"), user);
        }
        exchange.time_us += (60 + 600 - 70) * MINUTE_US;
        exchange
    }

    fn system(&mut self, id: &str, action: Action) {
        self.apply(Body::Request(Box::new(Request { actor: Actor::System, request_id: text(id), action })));
    }

    fn apply(&mut self, body: Body) {
        self.seq += 1;
        let command = Command { seq: self.seq, epoch: 1, time_us: self.time_us, body };
        self.events.clear();
        black_box(self.engine.apply(&command, &mut self.events));
    }
}

fn submits() -> Vec<Body> {
    let mut all = Vec::new();
    for order in 0..ORDERS {
        for member in 0..MEMBERS {
            let body = curve(Shape::Step(Side::Buy), 8, 100_000 + i64::from(order) * 100);
            let order = NewOrder { auction: SESSION, portfolio: PortfolioId(member), area: 1, body };
            let request_id = text(&format!("o{}", all.len()));
            let action = Action::Submit(order);
            let actor = Actor::User(UserId(member));
            all.push(Body::Request(Box::new(Request { actor, request_id, action })));
        }
    }
    all
}

fn entry(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("entry_of_5000_members");
    group.sample_size(10);
    for (name, funds) in [("without holds", FundsRule::None), ("with holds", FundsRule::HoldAtEntry)] {
        let [_, mut rules] = presets::indian(DAY.plus(-1));
        rules.risk.funds = funds;
        group.bench_function(name, |bench| {
            bench.iter_custom(|iterations| {
                let mut left = iterations;
                let mut took = Duration::ZERO;
                while left > 0 {
                    let mut exchange = Exchange::new(rules.clone());
                    exchange.apply(Body::Tick);
                    let round = submits();
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(round.len());
                    let begun = Instant::now();
                    for body in round.into_iter().take(count) {
                        exchange.apply(body);
                    }
                    took += begun.elapsed();
                    left -= u64::try_from(count).expect("small");
                    let account = exchange.engine.collateral(MemberId(0));
                    assert_eq!(
                        account.held() > 0,
                        funds == FundsRule::HoldAtEntry,
                        "the orders are accepted"
                    );
                }
                took
            });
        });
    }
    group.finish();
}

criterion_group!(benches, worst_case, entry);
criterion_main!(benches);
