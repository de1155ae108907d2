//! Drives an engine by commands, as the journal runner does, and writes events as lines.

use merit_engine::auction::{Point, Shape, Side};
use merit_engine::calendar::{Day, MINUTE_US};
use merit_engine::command::{
    Action, Actor, Body, Capacity, Command, NewOrder, OrderBody, Parent, Request, Role,
};
use merit_engine::event::{Answer, Event, EventBody, Made, Phase, Stream};
use merit_engine::few::Few;
use merit_engine::ids::{AuctionId, Market, MemberId, OrderId, PortfolioId, TextId, UserId};
use merit_engine::market::Engine;
use merit_engine::reject::{Refusal, Reject};
use merit_engine::rules::{AreaRule, Fees, LineRule, MarketRules, RiskRules, Suspension};

/// Delivery day of most scenarios: a Monday.
pub(crate) const DAY: Day = Day(20_780);

pub(crate) const DAM: AuctionId = AuctionId { day: DAY, market: Market::Dam, session: 1 };

pub(crate) fn rtm(session: u16) -> AuctionId {
    AuctionId { day: DAY, market: Market::Rtm, session }
}

pub(crate) fn text(id: &str) -> TextId {
    TextId::new(id).unwrap()
}

/// An engine and all that it said.
#[derive(Default)]
pub(crate) struct Driver {
    pub(crate) engine: Engine,
    pub(crate) events: Vec<Event>,
    pub(crate) commands: Vec<Command>,
    pub(crate) time_us: i64,
    /// Units of every quantum; 0 = what the engine wants.
    pub(crate) units: u32,
    requests: u64,
}

impl Driver {
    pub(crate) fn starting(time_us: i64) -> Self {
        Self { time_us, ..Self::default() }
    }

    pub(crate) fn apply(&mut self, body: Body) -> Answer {
        let seq = self.engine.seq() + 1;
        let command = Command { seq, epoch: 1, time_us: self.time_us, body };
        self.commands.push(command.clone());
        self.engine.apply(&command, &mut self.events)
    }

    /// Moves time and lets every clearing that wants quanta have them.
    pub(crate) fn at(&mut self, time_us: i64) -> &mut Self {
        assert!(time_us >= self.time_us);
        self.time_us = time_us;
        self.apply(Body::Tick);
        self.settle();
        self
    }

    /// Lets every clearing that wants quanta have them.
    pub(crate) fn settle(&mut self) {
        while let Some((auction, wanted)) = self.engine.wants_quantum() {
            let units = if self.units == 0 { wanted } else { self.units };
            self.apply(Body::ClearQuantum { auction, units });
        }
    }

    pub(crate) fn request_as(&mut self, actor: Actor, id: &str, action: Action) -> Answer {
        let request = Request { actor, request_id: text(id), action };
        self.apply(Body::Request(Box::new(request)))
    }

    /// A request under a fresh id.
    pub(crate) fn ask(&mut self, actor: Actor, action: Action) -> Answer {
        self.requests += 1;
        let id = format!("req-{}", self.requests);
        self.request_as(actor, &id, action)
    }

    pub(crate) fn made(&mut self, actor: Actor, action: Action) -> Made {
        match self.ask(actor, action) {
            Answer::Accepted { made, .. } => made,
            other @ (Answer::None | Answer::Refused { .. }) => panic!("{other:?}"),
        }
    }

    pub(crate) fn refused(&mut self, actor: Actor, action: Action) -> Refusal {
        match self.ask(actor, action) {
            Answer::Refused { refusal, .. } => refusal,
            other @ (Answer::None | Answer::Accepted { .. }) => panic!("{other:?}"),
        }
    }

    pub(crate) fn reject(&mut self, actor: Actor, action: Action) -> Reject {
        self.refused(actor, action).reject
    }

    pub(crate) fn submit(&mut self, user: UserId, order: NewOrder) -> OrderId {
        let made = self.made(Actor::User(user), Action::Submit(order));
        let Made::Order { order, version: 1 } = made else { panic!("{made:?}") };
        order
    }

    /// Events since the last call, as lines.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        core::mem::take(&mut self.events).iter().map(line).collect()
    }

    pub(crate) fn phase(&self, auction: AuctionId) -> Phase {
        self.engine.auction(auction).unwrap().phase
    }
}

/// Who is who in the scenarios.
#[derive(Clone, Copy)]
pub(crate) struct Cast {
    pub(crate) operator: UserId,
    pub(crate) dispatch: UserId,
    pub(crate) anna: UserId,
    pub(crate) bert: UserId,
    pub(crate) north: PortfolioId,
    pub(crate) south: PortfolioId,
    pub(crate) member_a: MemberId,
    pub(crate) member_b: MemberId,
}

pub(crate) fn user(it: UserId) -> Actor {
    Actor::User(it)
}

/// Two areas, one line of 10 lots, two periods of 30 minutes: small enough to follow by hand. Prices
/// 0..=100, whole Rs; lots of 1 MW; fee 1 minor unit per MWh.
pub(crate) fn small_rules(market: Market) -> MarketRules {
    let [dam, rtm] = merit_engine::presets::indian(DAY.plus(-3));
    let mut rules = if market == Market::Dam { dam } else { rtm };
    rules.price_decimals = 0;
    rules.quantity_decimals = 0;
    rules.order_price_step = 1;
    rules.order_quantity_step = 1;
    rules.price_max = 100;
    rules.period_minutes = if market == Market::Dam { 720 } else { 15 };
    rules.areas = vec![AreaRule { code: text("A") }, AreaRule { code: text("B") }];
    rules.lines = vec![LineRule { id: text("A-B"), from: 0, to: 1, capacity: 10, capacity_back: 10 }];
    rules.limits.complex = true;
    rules.limits.quantity_max = 1_000;
    rules.fees = Fees { buy_minor_per_mwh: 1, sell_minor_per_mwh: 1, tax_millionths: 0 };
    rules.risk = RiskRules::NONE;
    rules.suspension = Suspension::KeepsOrders;
    rules.timetable.acknowledge = None;
    rules
}

/// An instant of the day before delivery, local time.
pub(crate) fn eve(hour: i64, minute: i64) -> i64 {
    let midnight = small_rules(Market::Dam).zone.day_start_us(DAY.plus(-1));
    midnight + (hour * 60 + minute) * MINUTE_US
}

/// An instant of the delivery day, local time.
pub(crate) fn day(hour: i64, minute: i64) -> i64 {
    eve(hour + 24, minute)
}

/// An exchange at 09:00 of the eve with members, users and the rules of the given markets.
pub(crate) fn exchange(markets: &[Market]) -> (Driver, Cast) {
    let rules = markets.iter().map(|it| small_rules(*it));
    exchange_with(rules.collect())
}

pub(crate) fn exchange_with(rules: Vec<MarketRules>) -> (Driver, Cast) {
    let mut driver = Driver::starting(eve(9, 0));
    for rules in rules {
        driver.made(Actor::System, Action::SetRules(Box::new(rules)));
    }
    let member = |driver: &mut Driver, code: &str| {
        let action = Action::RegisterMember { code: text(code), name: format!("{code} Ltd") };
        let made = driver.made(Actor::System, action);
        let Made::Member(member) = made else { panic!("{made:?}") };
        member
    };
    let (member_a, member_b) = (member(&mut driver, "ANNA"), member(&mut driver, "BERT"));
    let north = portfolio(&mut driver, member_a, "NORTH");
    let south = portfolio(&mut driver, member_b, "SOUTH");
    let anna = register(&mut driver, "anna", Role::Trader, Some(member_a));
    let bert = register(&mut driver, "bert", Role::Trader, Some(member_b));
    let dispatch = register(&mut driver, "grid", Role::Dispatch, None);
    let operator = register(&mut driver, "ops", Role::Operator, None);
    driver.events.clear();
    (driver, Cast { operator, dispatch, anna, bert, north, south, member_a, member_b })
}

pub(crate) fn portfolio(driver: &mut Driver, member: MemberId, code: &str) -> PortfolioId {
    let action = Action::RegisterPortfolio { member, code: text(code), areas: Vec::new() };
    let made = driver.made(Actor::System, action);
    let Made::Portfolio(it) = made else { panic!("{made:?}") };
    it
}

pub(crate) fn register(driver: &mut Driver, name: &str, role: Role, member: Option<MemberId>) -> UserId {
    let made = driver.made(Actor::System, registration(name, role, member));
    let Made::User(it) = made else { panic!("{made:?}") };
    it
}

pub(crate) fn registration(name: &str, role: Role, member: Option<MemberId>) -> Action {
    let mut fingerprint = [0; 32];
    fingerprint[..name.len()].copy_from_slice(name.as_bytes());
    Action::RegisterUser { name: text(name), fingerprint, role, member, portfolios: Vec::new() }
}

pub(crate) fn points(list: &[(i64, i64)]) -> Vec<Point> {
    list.iter().map(|(price, quantity)| Point { price: *price, quantity: *quantity }).collect()
}

/// A step curve in the first period.
pub(crate) fn step(
    auction: AuctionId,
    portfolio: PortfolioId,
    area: u16,
    side: Side,
    list: &[(i64, i64)],
) -> NewOrder {
    let body = OrderBody::Curve { shape: Shape::Step(side), periods: Few::one((0, points(list).into())) };
    NewOrder { auction, portfolio, area, body }
}

/// A block over the given periods.
pub(crate) fn block(
    auction: AuctionId,
    portfolio: PortfolioId,
    price: i64,
    quantity: &[(u16, i64)],
    parent: Option<OrderId>,
) -> NewOrder {
    let body = OrderBody::Block {
        side: Side::Sell,
        price,
        quantity: quantity.to_vec(),
        ratio_min: 1_000_000,
        parent: parent.map(Parent::Order),
        group: None,
    };
    NewOrder { auction, portfolio, area: 0, body }
}

/// A capacity of the one line of the small rules, the same in every period.
pub(crate) fn capacity(auction: AuctionId, revision: u32, lots: i64) -> Action {
    Action::SubmitCapacity(Capacity { auction, revision, lines: vec![(0, vec![lots; 2], vec![lots; 2])] })
}

/// One event as a line: stream, number in it, what is said in short.
pub(crate) fn line(event: &Event) -> String {
    let stream = match event.stream {
        Stream::Market => "market".to_owned(),
        Stream::Member(it) => format!("member{}", it.0),
        Stream::Dispatch => "dispatch".to_owned(),
        Stream::Settlement => "settlement".to_owned(),
        Stream::Operator => "operator".to_owned(),
    };
    format!("{stream} {}: {}", event.stream_seq, said(&event.body))
}

fn said(body: &EventBody) -> String {
    match body {
        EventBody::AuctionScheduled(info) => format!("scheduled {}", info.auction),
        EventBody::PhaseChanged { auction, phase, next_due_us } => {
            let due = next_due_us.map_or("last".to_owned(), clock);
            format!("{auction} {phase:?}, next {due}")
        }
        EventBody::ResultPublished(it) => {
            let (auction, outcome) = (it.info.auction, &it.outcome);
            let (prices, flows, congestion) = (&outcome.prices, &outcome.flows, it.congestion_minor);
            format!("result {auction} prices {prices:?} flows {flows:?} congestion {congestion}")
        }
        EventBody::OrderAccepted { order, version, client_order_id, .. } => {
            format!("accepted {} v{version} {client_order_id}", order.number())
        }
        EventBody::OrderCancelled { order, user } => format!("cancelled {} by {}", order.number(), user.0),
        EventBody::OrderEnded { order, fills, .. } => {
            let fills: Vec<String> = fills
                .iter()
                .map(|it| format!("{}:+{}-{} {:?}", it.period, it.bought, it.sold, it.reason))
                .collect();
            format!("ended {} {}", order.number(), fills.join(" "))
        }
        EventBody::CorridorRequested { net_positions, flows, .. } => {
            format!("corridor net {net_positions:?} flows {flows:?}")
        }
        EventBody::CapacityAccepted(it) => format!("capacity {} revision {}", it.auction, it.revision),
        EventBody::SchedulePublished { revision, rows, .. } => {
            let rows: Vec<String> =
                rows.iter().map(|it| format!("{}@{} {:?}", it.portfolio.0, it.area, it.net)).collect();
            format!("schedule {revision} {}", rows.join(" "))
        }
        EventBody::ObligationsPosted { obligations, .. } => {
            let owed: Vec<String> = obligations
                .iter()
                .map(|it| format!("#{} p{} {}-{}", it.id, it.portfolio.0, it.value_minor, it.fee_minor))
                .collect();
            format!("obligations {}", owed.join(" "))
        }
        EventBody::LedgerPosted { entries, .. } => {
            let entries: Vec<String> = entries.iter().map(|it| format!("{:?}", it.postings)).collect();
            format!("ledger {}", entries.join(" "))
        }
        EventBody::RequestRefused { request_id, refusal, .. } => {
            format!("refused {request_id} {:?} at {:?}", refusal.reject, refusal.place)
        }
        EventBody::Alarm(it) => format!("alarm {it:?}"),
        EventBody::Settlement(it) => format!("settlement {it:?}"),
        other @ (EventBody::RulesSet(_)
        | EventBody::MemberRegistered { .. }
        | EventBody::MemberSuspended { .. }
        | EventBody::PortfolioRegistered { .. }
        | EventBody::UserRegistered { .. }
        | EventBody::EpochStarted { .. }
        | EventBody::AuctionChanged(_)
        | EventBody::ActProposed { .. }
        | EventBody::ActDone { .. }
        | EventBody::CollateralChanged { .. }
        | EventBody::ClearanceSet { .. }
        | EventBody::ScheduleAcknowledged { .. }) => format!("{other:?}"),
    }
}

/// Local time of day, with the day relative to delivery.
fn clock(time_us: i64) -> String {
    let minutes = (time_us - eve(0, 0)) / MINUTE_US;
    let (days, minutes) = (minutes.div_euclid(1_440) - 1, minutes.rem_euclid(1_440));
    format!("D{days:+} {:02}:{:02}", minutes / 60, minutes % 60)
}
