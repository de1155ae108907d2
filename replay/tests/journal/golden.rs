//! Journals that older releases wrote stay readable, command by command.
//!
//! `fixtures/v1` was written by format version 1, payload version 1. When a version is added, the
//! test that writes moves on to a new directory; the one that reads stays for each old one.

use merit_engine::auction::{ComplexPeriod, Point, Shape, Side};
use merit_engine::calendar::{Day, Summer, Zone};
use merit_engine::command::{Action, Actor, Body, Capacity, NewOrder, OrderBody, Request, Role};
use merit_engine::ids::{AuctionId, Market, MemberId, OrderId, PortfolioId, TextId, UserId};
use merit_engine::rules::{AreaRule, LateCapacity, LineRule, MarketRules, OrderLimits, Timetable};
use merit_replay::error::JournalError;
use merit_replay::frame::{Record, Stamp, record_bytes};
use merit_replay::record::{Kind, decode, encode};
use merit_replay::recovery::{self, Discard, Visitor};
use merit_replay::storage::Storage;
use merit_replay::storage::disk::Disk;
use merit_replay::storage::faulty::FaultyDisk;
use merit_replay::writer::{Options, Writer};
use std::path::{Path, PathBuf};

const EXCHANGE: u128 = 0x6d65_7269_7420_676f_6c64_656e_2076_0001;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1")
}

fn text(text: &str) -> TextId {
    TextId::new(text).unwrap()
}

fn rules() -> MarketRules {
    MarketRules {
        market: Market::Rtm,
        effective_from: Day(20_779),
        zone: Zone { offset_minutes: 330, summer: Summer::None },
        currency: *b"INR",
        minor_decimals: 2,
        price_decimals: 2,
        order_price_step: 10,
        price_min: 0,
        price_max: 1_000_000,
        quantity_decimals: 2,
        order_quantity_step: 10,
        period_minutes: 15,
        areas: vec![AreaRule { code: text("N1") }, AreaRule { code: text("W2") }],
        lines: vec![LineRule { id: text("N1-W2"), from: 0, to: 1, capacity: 50_000, capacity_back: 40_000 }],
        timetable: Timetable {
            session_minutes: 30,
            open: -75,
            gate: -60,
            corridor: -60,
            capacities: -55,
            publish: -45,
            two_runs: false,
        },
        late_capacity: LateCapacity::UseStanding,
        limits: OrderLimits {
            curve_points_max: 64,
            quantity_max: 1_000_000,
            blocks_per_portfolio_max: 50,
            generations_max: 7,
            orders_per_member_max: 1_000,
            linear: true,
            blocks: true,
            complex: true,
        },
        fee_minor_per_mwh: 2_000,
    }
}

fn orders() -> [OrderBody; 3] {
    let point = |price, quantity| Point { price, quantity };
    let points = vec![point(250_000, 100), point(300_000, 50)];
    [
        OrderBody::Curve { shape: Shape::Step(Side::Sell), periods: vec![(0, points.clone()), (1, points)] },
        OrderBody::Block {
            side: Side::Buy,
            price: 400_000,
            quantity: vec![(0, 200), (1, 250)],
            ratio_min: 500_000,
            parent: Some(OrderId(1)),
            group: Some(text("night")),
        },
        OrderBody::Complex {
            side: Side::Sell,
            fixed_minor: 1_000_000,
            curve: vec![ComplexPeriod { period: 1, quantity_min: 10, points: vec![point(200_000, 90)] }],
        },
    ]
}

/// One of each kind, in batches.
fn batches() -> Vec<Vec<Body>> {
    let auction = AuctionId { day: Day(20_779), market: Market::Rtm, session: 17 };
    let request =
        |actor, id: &str, action| Body::Request(Box::new(Request { actor, request_id: text(id), action }));
    let trader = Actor::User(UserId(7));
    let submit = |id, body| {
        request(trader, id, Action::Submit(NewOrder { auction, portfolio: PortfolioId(3), area: 1, body }))
    };
    let [curve, block, complex] = orders();
    let code = text("MAHADISCOM");
    let (member, areas) = (MemberId(0), vec![text("N1")]);
    let user = Action::RegisterUser {
        name: text("a.rao"),
        fingerprint: [0xab; 32],
        role: Role::Trader,
        member: Some(member),
        portfolios: vec![PortfolioId(3)],
    };
    let lines = vec![(0, vec![50_000, 45_000], vec![40_000, 0])];
    let system = |id, action| request(Actor::System, id, action);
    vec![
        vec![Body::EpochStarted { node: "delhi-1".to_owned() }],
        vec![
            system("rules-1", Action::SetRules(Box::new(rules()))),
            system("m-1", Action::RegisterMember { code, name: "Maharashtra ⚡".to_owned() }),
            system("p-1", Action::RegisterPortfolio { member, code: text("MAHA.W"), areas }),
            system("u-1", user),
        ],
        vec![submit("o-1", curve.clone()), submit("o-2", block), submit("o-3", complex)],
        vec![
            request(trader, "o-4", Action::Amend { order: OrderId(1), version: 1, body: curve }),
            request(trader, "o-5", Action::Cancel { order: OrderId(2) }),
        ],
        vec![request(trader, "o-6", Action::CancelAll { auction, portfolio: Some(PortfolioId(3)) })],
        vec![system("s-1", Action::SetMemberSuspended { member, suspended: true })],
        vec![Body::Tick, Body::ClearQuantum { auction, units: 10_000 }],
        vec![
            system("c-1", Action::SubmitCapacity(Capacity { auction, revision: 2, lines })),
            system("a-1", Action::AcknowledgeSchedule { auction, revision: 1 }),
        ],
    ]
}

/// Writes the batches in two epochs with small segments.
fn write(storage: Box<dyn Storage>) {
    let build = "merit fixture".to_owned();
    let options = Options { exchange_id: EXCHANGE, segment_bytes: 1_536, build };
    let (mut writer, _) = Writer::open(storage, options, &mut Discard).unwrap();
    let mut seq = 0;
    for bodies in batches() {
        let encoded: Vec<_> = bodies
            .iter()
            .map(|body| {
                let mut payload = Vec::new();
                (encode(body, &mut payload), payload)
            })
            .collect();
        let bytes: usize = encoded.iter().map(|(_, payload)| record_bytes(payload.len())).sum();
        writer.reserve(u64::try_from(bytes).unwrap()).unwrap();
        for (kind, payload) in encoded {
            seq += 1;
            writer.append(stamp(seq), kind.code(), &payload);
        }
        let head = writer.commit().unwrap();
        writer.acknowledge(head.stamp.seq).unwrap();
    }
    writer.close().unwrap();
}

/// The primary changes before record 9.
fn stamp(seq: u64) -> Stamp {
    let time_us = 1_795_305_600_000_000 + i64::try_from(seq).unwrap() * 1_000_000;
    Stamp { seq, epoch: if seq < 9 { 1 } else { 2 }, time_us }
}

#[derive(Default)]
struct Commands(Vec<(Stamp, Body)>);

impl Visitor for Commands {
    fn record(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        self.0.push((record.stamp, decode(record.kind, record.payload).unwrap()));
        Ok(())
    }
}

#[test]
fn the_golden_journal_of_version_1_reads_as_the_commands_it_was_written_from() {
    let mut commands = Commands::default();
    let found = recovery::scan(&Disk::existing(&fixture()), None, &mut commands).unwrap();
    let expected: Vec<_> = (1..).map(stamp).zip(batches().into_iter().flatten()).collect();
    assert_eq!(commands.0, expected);
    let mut kinds: Vec<_> = expected.iter().map(|(_, body)| Kind::of(body)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, Kind::ALL, "the fixture has one of each kind");
    assert_eq!((found.exchange_id, found.acknowledged_seq, found.tail), (EXCHANGE, 16, None));
    assert!(found.segments > 1);
}

#[test]
fn the_same_commands_are_written_as_the_same_bytes_today() {
    if std::env::var_os("MERIT_WRITE_FIXTURE").is_some() {
        write(Box::new(Disk::create(&fixture()).unwrap()));
        for name in ["lock", "spare.zeros"] {
            drop(std::fs::remove_file(fixture().join(name)));
        }
    }
    let today = FaultyDisk::new(1);
    write(Box::new(today.clone()));
    let golden = Disk::existing(&fixture());
    let names: Vec<_> = today.list().unwrap().into_iter().filter(|it| it != "spare.zeros").collect();
    assert_eq!(golden.list().unwrap(), names);
    for name in names {
        assert!(golden.read(&name).unwrap() == today.content(&name).unwrap(), "{name} differs");
    }
}
