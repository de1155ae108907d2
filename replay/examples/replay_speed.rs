//! How fast a journal is replayed on one core, and what of it is frames, decoding and applying.
//!
//! `cargo run --release -p merit-replay --example replay_speed [orders [frames|decode|apply|unheard]]`: writes a journal of small orders of
//! 100 members (one point in one period), reads it back five times in each of four ways (or in one), and prints the best
//! CPU time of the thread for each; the clock on the wall would count the neighbours too.

use merit_engine::auction::{Point, Shape, Side};
use merit_engine::calendar::{Day, MINUTE_US};
use merit_engine::command::{Action, Actor, Body, NewOrder, OrderBody, Request, Role};
use merit_engine::event::{Answer, Event, Made};
use merit_engine::few::Few;
use merit_engine::ids::{AuctionId, Market, MemberId, PortfolioId, TextId, UserId};
use merit_engine::market::Engine;
use merit_engine::presets;
use merit_replay::core::replay;
use merit_replay::error::JournalError;
use merit_replay::frame::{Record, Stamp, record_bytes};
use merit_replay::machine::Sink;
use merit_replay::record;
use merit_replay::recovery::{self, Discard, Visitor};
use merit_replay::storage::disk::Disk;
use merit_replay::writer::{Options, Writer};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

/// As the binary `merit` allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DAY: Day = Day(20_780);
const MEMBERS: u32 = 100;
const BATCH: u64 = 1_000;
const TURNS: usize = 5;

fn text(text: &str) -> TextId {
    TextId::new(text).expect("a plain id")
}

fn request(actor: Actor, id: &str, action: Action) -> Body {
    Body::Request(Box::new(Request { actor, request_id: text(id), action }))
}

/// Rules, and members with a portfolio and a trader each.
fn founding() -> Vec<Body> {
    let system = |id: &str, action| request(Actor::System, id, action);
    let [dam, rtm] = presets::indian(DAY);
    let mut bodies = vec![
        system("rules-dam", Action::SetRules(Box::new(dam))),
        system("rules-rtm", Action::SetRules(Box::new(rtm))),
    ];
    for number in 0..MEMBERS {
        let member = MemberId(number);
        let (code, name) = (text(&format!("M{number}")), format!("Member {number}"));
        let mut fingerprint = [0; 32];
        fingerprint[..4].copy_from_slice(&number.to_le_bytes());
        let user = Action::RegisterUser {
            name: text(&format!("trader-{number}")),
            fingerprint,
            role: Role::Trader,
            member: Some(member),
            portfolios: Vec::new(),
        };
        let portfolio =
            Action::RegisterPortfolio { member, code: text(&format!("P{number}")), areas: Vec::new() };
        bodies.push(system(&format!("member-{number}"), Action::RegisterMember { code, name }));
        bodies
            .push(system(&format!("deposit-{number}"), Action::Deposit { member, minor: 1_000_000_000_000 }));
        bodies.push(system(&format!("portfolio-{number}"), portfolio));
        bodies.push(system(&format!("user-{number}"), user));
    }
    bodies
}

/// A small order: one point in one period.
fn order(number: u64) -> Body {
    let auction = AuctionId { day: DAY, market: Market::Dam, session: 1 };
    let member = u32::try_from(number % u64::from(MEMBERS)).expect("small");
    let spread = i64::try_from(number % 997).expect("small");
    let point = Point { price: 100_000 + spread * 100, quantity: 10 };
    let body = OrderBody::Curve { shape: Shape::Step(Side::Sell), periods: Few::one((0, Few::one(point))) };
    let action = Action::Submit(NewOrder { auction, portfolio: PortfolioId(member), area: 3, body });
    request(Actor::User(UserId(member)), &format!("o-{number}"), action)
}

fn write(disk: &Disk, orders: u64) -> Result<(), Box<dyn Error>> {
    let (mut writer, _) = Writer::open(Box::new(disk.clone()), Options::new(1), &mut Discard)?;
    let open_us = presets::indian(DAY)[0].zone.day_start_us(DAY) - 13 * 60 * MINUTE_US - 30 * MINUTE_US;
    let mut seq = 0;
    let mut batch = |bodies: Vec<Body>, time_us: i64| -> Result<(), Box<dyn Error>> {
        let encode = |body: &Body| {
            let mut payload = Vec::new();
            (record::encode(body, &mut payload), payload)
        };
        let payloads: Vec<_> = bodies.iter().map(encode).collect();
        let bytes: usize = payloads.iter().map(|(_, payload)| record_bytes(payload.len())).sum();
        writer.reserve(u64::try_from(bytes)?)?;
        for (kind, payload) in &payloads {
            seq += 1;
            writer.append(Stamp { seq, epoch: 1, time_us }, kind.code(), payload);
        }
        writer.commit()?;
        writer.acknowledge(seq)?;
        Ok(())
    };
    batch(founding(), open_us - 24 * 60 * MINUTE_US)?;
    for first in (0..orders).step_by(usize::try_from(BATCH)?) {
        batch((first..orders.min(first + BATCH)).map(order).collect(), open_us)?;
    }
    Ok(())
}

/// Reads each command over the one before, as a replay does.
struct Decode(Body);

impl Visitor for Decode {
    fn record(&mut self, found: &Record<'_>) -> Result<(), JournalError> {
        record::decode_over(found.kind, found.payload, &mut self.0).expect("written above");
        black_box(&self.0);
        Ok(())
    }
}

/// Counts the orders that are accepted, by their answers.
struct Count {
    accepted: u64,
    hears: bool,
}

impl Sink<Engine> for Count {
    fn applied(&mut self, stamp: Stamp, answer: &Answer, mut events: Vec<Event>, _: bool) {
        self.replayed(stamp, answer, &mut events);
    }

    fn replayed(&mut self, _: Stamp, answer: &Answer, events: &mut Vec<Event>) {
        let accepted = matches!(answer, Answer::Accepted { made: Made::Order { .. }, replayed: false, .. });
        assert!(!accepted || events.is_empty() != self.hears, "events are made where they are heard");
        self.accepted += u64::from(accepted);
    }

    fn hears_history(&self) -> bool {
        self.hears
    }
}

/// CPU time of this thread, ns.
fn cpu_ns() -> Result<u64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().unwrap_or_default().parse()?)
}

/// Times some runs; what they leave is dropped outside of the time. Returns what the last one left.
fn timed<T>(
    what: &str,
    orders: u64,
    mut run: impl FnMut() -> Result<T, Box<dyn Error>>,
) -> Result<Option<T>, Box<dyn Error>> {
    let (mut best, mut left) = (u64::MAX, None);
    for _ in 0..TURNS {
        drop(left.take());
        let before = cpu_ns()?;
        left = Some(run()?);
        best = best.min(cpu_ns()? - before);
    }
    println!("{what:30} {:5} ns an order, {:9} orders/s", best / orders, orders * 1_000_000_000 / best);
    Ok(left)
}

fn main() -> Result<(), Box<dyn Error>> {
    let orders: u64 = std::env::args().nth(1).map_or(Ok(200_000), |it| it.parse())?;
    let directory = tempfile::tempdir()?;
    let disk = Disk::existing(directory.path());
    write(&disk, orders)?;
    let only = std::env::args().nth(2);
    let wanted = |way: &str| only.as_deref().is_none_or(|it| it == way);
    if wanted("frames") {
        timed("frames, checksums, chain", orders, || Ok(recovery::scan(&disk, None, &mut Discard)?))?;
    }
    if wanted("decode") {
        timed("and decode", orders, || Ok(recovery::scan(&disk, None, &mut Decode(Body::Tick))?))?;
    }
    for (way, what, hears) in
        [("apply", "and apply", true), ("unheard", "and apply, nobody hears events", false)]
    {
        if !wanted(way) {
            continue;
        }
        let engine = timed(what, orders, || apply(&disk, orders, hears))?;
        let began = Instant::now();
        let digest = engine.as_ref().map_or(0, Engine::digest);
        let kept = began.elapsed();
        assert!(engine.is_some_and(|it| it.digest_in_full() == digest), "the digest in full differs");
        println!("state digest {digest:032x}, in {kept:.1?}; in full in {:.1?}", began.elapsed() - kept);
    }
    Ok(())
}

fn apply(disk: &Disk, orders: u64, hears: bool) -> Result<Engine, Box<dyn Error>> {
    let (mut engine, mut count) = (Engine::new(), Count { accepted: 0, hears });
    replay(disk, &mut engine, &mut count, &mut |_| {})?;
    assert!(count.accepted >= orders, "an order was refused");
    Ok(engine)
}
