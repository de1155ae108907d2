//! How fast a node starts from a snapshot, and what of it is reading and what is the journal after it.
//!
//! `cargo run --release -p merit-replay --example restart_speed [orders [members]]`: writes a journal of small orders (one point in
//! one period) into the auctions of two days that are open at once, all of them live; takes a snapshot; then starts
//! three times from it with the files in the page cache, and prints the wall time of each part.

use merit_engine::auction::{Point, Shape, Side};
use merit_engine::calendar::{Day, MINUTE_US};
use merit_engine::command::{Action, Actor, Body, NewOrder, OrderBody, Request, Role};
use merit_engine::few::Few;
use merit_engine::ids::{AuctionId, Market, MemberId, PortfolioId, TextId, UserId};
use merit_engine::market::Engine;
use merit_engine::presets;
use merit_engine::rules::MarketRules;
use merit_replay::core::{Core, Epoch};
use merit_replay::frame::{Stamp, record_bytes};
use merit_replay::machine::Silent;
use merit_replay::record;
use merit_replay::recovery::Discard;
use merit_replay::snapshot::{self, Resumed};
use merit_replay::storage::Storage;
use merit_replay::storage::disk::Disk;
use merit_replay::writer::{Options, Writer};
use std::error::Error;
use std::time::Instant;

/// As the binary `merit` allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DAY: Day = Day(20_780);
const BATCH: u64 = 1_000;
/// Orders that follow the snapshot.
const TAIL: u64 = 100_000;
const TURNS: usize = 3;

fn text(text: &str) -> TextId {
    TextId::new(text).expect("a plain id")
}

fn request(actor: Actor, id: &str, action: Action) -> Body {
    Body::Request(Box::new(Request { actor, request_id: text(id), action }))
}

/// Real-time sessions that all open two days ahead, with room for as many orders as a member likes.
fn rules() -> MarketRules {
    let [_, mut rules] = presets::indian(DAY);
    rules.timetable.open = -2_880;
    rules.limits.orders_per_member_max = u32::MAX;
    rules.risk = merit_engine::rules::RiskRules::NONE;
    rules
}

fn founding(members: u32) -> Vec<Body> {
    let system = |id: &str, action| request(Actor::System, id, action);
    let mut bodies = vec![system("rules", Action::SetRules(Box::new(rules())))];
    for number in 0..members {
        let member = MemberId(number);
        let (code, name) = (text(&format!("M{number}")), format!("Member {number}"));
        let mut fingerprint = [0; 32];
        fingerprint[..4].copy_from_slice(&number.to_le_bytes());
        bodies.push(system(&format!("m{number}"), Action::RegisterMember { code, name }));
        let (code, areas) = (text(&format!("P{number}")), Vec::new());
        bodies.push(system(&format!("p{number}"), Action::RegisterPortfolio { member, code, areas }));
        let (name, member) = (text(&format!("t{number}")), Some(member));
        let (role, portfolios) = (Role::Trader, Vec::new());
        bodies.push(system(
            &format!("u{number}"),
            Action::RegisterUser { name, fingerprint, role, member, portfolios },
        ));
    }
    bodies
}

/// The n-th order: members, sessions, areas and periods in turn, prices and quantities scattered.
fn order(number: u64, members: u32) -> Body {
    let small = |by: u64| u16::try_from(by).expect("below the bound");
    let member = u32::try_from(number % u64::from(members)).expect("below");
    let session = small(number / u64::from(members) % 48) + 1;
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let price = i64::try_from(scattered % 10_000).expect("small") * 100;
    let quantity = i64::try_from(scattered / 10_000 % 500 + 1).expect("small") * 10;
    let side = if scattered.is_multiple_of(2) { Side::Buy } else { Side::Sell };
    let periods = Few::one((small(number % 2), Few::one(Point { price, quantity })));
    let body = OrderBody::Curve { shape: Shape::Step(side), periods };
    let auction = AuctionId { day: DAY, market: Market::Rtm, session };
    let order = NewOrder { auction, portfolio: PortfolioId(member), area: small(number % 13), body };
    request(Actor::User(UserId(member)), &format!("o-{number}"), Action::Submit(order))
}

fn write(disk: &Disk, orders: u64, members: u32) -> Result<u64, Box<dyn Error>> {
    let options = Options { segment_bytes: 64 << 20, ..Options::new(1) };
    let (mut writer, _) = Writer::open(Box::new(disk.clone()), options, &mut Discard)?;
    let opens_us = rules().zone.day_start_us(DAY) - 12 * 60 * MINUTE_US;
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
    batch(founding(members), opens_us - 3 * 24 * 60 * MINUTE_US)?;
    for first in (0..orders).step_by(usize::try_from(BATCH)?) {
        batch((first..orders.min(first + BATCH)).map(|it| order(it, members)).collect(), opens_us)?;
    }
    Ok(seq)
}

/// CPU time of this thread, ms.
fn cpu_ms() -> Result<u64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().unwrap_or_default().parse::<u64>()? / 1_000_000)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let orders: u64 = arguments.next().map_or(Ok(1_000_000), |it| it.parse())?;
    let members: u32 = arguments.next().map_or(Ok(1_000), |it| it.parse())?;
    let directory = tempfile::tempdir()?;
    let disk = Disk::existing(directory.path());
    let began = Instant::now();
    let last = write(&disk, orders + TAIL, members)?;
    println!("{last} records written in {:.1?}", began.elapsed());
    let began = Instant::now();
    let header = snapshot::make::<Engine>(&disk, last - TAIL, last, &mut |_| {})?.ok_or("none was due")?;
    let bytes = std::fs::metadata(directory.path().join(snapshot::name(header.head.stamp.seq)))?.len();
    println!(
        "snapshot after record {}: {bytes} bytes, made in {:.1?}",
        header.head.stamp.seq,
        began.elapsed()
    );
    for turn in 1..=TURNS {
        let (began, worked) = (Instant::now(), cpu_ms()?);
        let (resumed, passed_over) = snapshot::newest::<Engine>(&disk, Some(1), u64::MAX)?;
        let Some(Resumed { machine, head, lineage }) = resumed else {
            return Err(format!("passed over: {passed_over:?}").into());
        };
        let (loaded, decoding) = (began.elapsed(), cpu_ms()? - worked);
        let options = Options { segment_bytes: 64 << 20, ..Options::new(1) };
        let known = (machine, Some((head, lineage)));
        let (core, _) =
            Core::open_after(disk.reader(), options, Epoch::Same, known, Box::new(Silent), &mut |_| {})?;
        let started = began.elapsed();
        let live: u32 = core.machine().counts().map(|it| it.orders).sum();
        assert!(u64::from(live) == orders + TAIL, "{live} orders are live");
        println!(
            "start {turn}: state in {loaded:.2?} (this thread worked {decoding} ms of it), with {TAIL} records after it \
             in {started:.2?}"
        );
        drop(core);
    }
    let began = Instant::now();
    let (resumed, _) = snapshot::newest::<Engine>(&disk, Some(1), u64::MAX)?;
    let state = resumed.ok_or("it was there")?;
    let loaded = began.elapsed();
    let digest = state.machine.digest();
    assert!(digest == header.digest, "the digest differs");
    println!("digest of the state alone: {:.2?}", began.elapsed() - loaded);
    Ok(())
}
