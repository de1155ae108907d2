//! Journals that older releases wrote stay readable, command by command.
//!
//! `fixtures/vN` was written by format version 1 with payload version N. When a version is added, the test that writes moves on to a new directory; the one that
//! reads stays for each old one.

use merit_engine::auction::{ComplexPeriod, Point, Shape, Side};
use merit_engine::calendar::{Day, Summer, Zone};
use merit_engine::command::{
    Act, Action, Actor, Body, Capacity, Clearance, NewOrder, OrderBody, Parent, Request, Role,
};
use merit_engine::ids::{AuctionId, Market, MemberId, OrderId, PortfolioId, TextId, UserId};
use merit_engine::rules::{
    AreaRule, Fees, FundsRule, LateCapacity, LineRule, MarketRules, OrderLimits, RiskRules, Suspension,
    Timetable,
};
use merit_engine::settlement::{
    Band, BandTable, Basis, Category, DeviationRules, Hold, HoldEnd, MeterBatch, MeterRow, Payment, Placing,
    Rate, RunRequest, RunStatus, Scheme, SettlementAction,
};
use merit_replay::error::JournalError;
use merit_replay::frame::{Record, Stamp, record_bytes};
use merit_replay::record::{Kind, PAYLOAD_VERSION, decode, encode};
use merit_replay::recovery::{self, Discard, Visitor};
use merit_replay::storage::Storage;
use merit_replay::storage::disk::Disk;
use merit_replay::storage::faulty::FaultyDisk;
use merit_replay::writer::{Options, Writer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Payload version of this release.
const NOW: u8 = PAYLOAD_VERSION;
const EXCHANGE: u128 = 0x6d65_7269_7420_676f_6c64_656e_2076_0001;

fn fixture(version: u8) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/v{version}"))
}

fn text(text: &str) -> TextId {
    TextId::new(text).unwrap()
}

fn rules(version: u8) -> MarketRules {
    let old = version == 1;
    let fees = Fees { buy_minor_per_mwh: 2_000, sell_minor_per_mwh: 2_000, tax_millionths: 0 };
    let risk = RiskRules {
        funds: FundsRule::HoldAtEntry,
        margin_days: 7,
        margin_min_minor: 100_000,
        clearance: true,
    };
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
            acknowledge: (!old).then_some(-40),
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
        fees: if old { fees } else { Fees { sell_minor_per_mwh: 1_500, tax_millionths: 180_000, ..fees } },
        risk: if old { RiskRules::NONE } else { risk },
        suspension: if old { Suspension::KeepsOrders } else { Suspension::CancelsOrders },
        search_work: if version < 3 { 200_000 } else { 1_000 },
    }
}

fn orders(version: u8) -> [OrderBody; 3] {
    let parent = if version == 1 { Parent::Order(OrderId(1)) } else { Parent::Named(text("o-1")) };
    let point = |price, quantity| Point { price, quantity };
    let points = vec![point(250_000, 100), point(300_000, 50)];
    [
        OrderBody::Curve {
            shape: Shape::Step(Side::Sell),
            periods: vec![(0, points.clone().into()), (1, points.into())].into(),
        },
        OrderBody::Block {
            side: Side::Buy,
            price: 400_000,
            quantity: vec![(0, 200), (1, 250)],
            ratio_min: 500_000,
            parent: Some(parent),
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
fn batches(version: u8) -> Vec<Vec<Body>> {
    let auction = AuctionId { day: Day(20_779), market: Market::Rtm, session: 17 };
    let request =
        |actor, id: &str, action| Body::Request(Box::new(Request { actor, request_id: text(id), action }));
    let trader = Actor::User(UserId(7));
    let submit = |id, body| {
        request(trader, id, Action::Submit(NewOrder { auction, portfolio: PortfolioId(3), area: 1, body }))
    };
    let [curve, block, complex] = orders(version);
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
    let system = |id: &str, action| request(Actor::System, id, action);
    let mut batches = vec![
        vec![Body::EpochStarted { node: "delhi-1".to_owned() }],
        vec![
            system("rules-1", Action::SetRules(Box::new(rules(version)))),
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
    ];
    if version > 1 {
        batches.extend(since_version_2(&system));
        batches.extend(settling(&system));
    }
    batches
}

/// Kinds that version 1 did not know.
fn since_version_2(system: &impl Fn(&str, Action) -> Body) -> Vec<Vec<Body>> {
    let (member, day, portfolio) = (MemberId(0), Day(20_779), PortfolioId(3));
    let auction = AuctionId { day, market: Market::Rtm, session: 17 };
    let act = Act::ExtendGate { auction, gate_us: 1_795_305_600_000_000 };
    let clearance = Clearance { buy_watts: 100_000_000, sell_watts: 0 };
    vec![vec![
        system("d-1", Action::Deposit { member, minor: 100_000_000 }),
        system("w-1", Action::Withdraw { member, minor: 1 }),
        system("y-1", Action::RecordPayIn { member, day }),
        system("x-1", Action::ProposeAct { act, reason: "wrong capacity".to_owned() }),
        system("x-2", Action::ApproveAct { proposal: 1 }),
        system("n-1", Action::SetClearance { portfolio, area: text("N1"), clearance }),
    ]]
}

/// What the clearing house asks, one of each, and a standby that was lost, each a batch of its own; appended
/// to the fixture later.
fn settling(system: &impl Fn(&str, Action) -> Body) -> Vec<Vec<Body>> {
    let (member, day, portfolio) = (MemberId(0), Day(20_779), PortfolioId(3));
    let rate = |basis, millionths| Rate { basis, millionths };
    let band = |until_millionths, over, under| Band {
        until_millionths,
        over: rate(Basis::Reference, over),
        under: rate(Basis::Normal, under),
    };
    let tables = vec![
        BandTable { below_mhz: 49_900, bands: vec![band(u32::MAX, 1_000_000, 1_500_000)] },
        BandTable {
            below_mhz: u32::MAX,
            bands: vec![band(100_000, 1_000_000, 1_000_000), band(u32::MAX, 0, 1_200_000)],
        },
    ];
    let scheme = Scheme::Bands(vec![Category { name: text("general"), tables }]);
    let placings = vec![Placing { portfolio, category: 0, capacity_watts: 5_000_000 }];
    let rows =
        vec![MeterRow { portfolio, area: text("N1"), net_wh: vec![-25_000_000; 8], estimated: vec![3, 7] }];
    let batch = MeterBatch {
        day,
        revision: 1,
        content: [0x5a; 32],
        readings: 190,
        estimated: 2,
        total_wh: -8 * 25_000_000,
        frequency_mhz: vec![49_990; 8],
        rows,
    };
    let run = |status, reason: &str| {
        SettlementAction::Run(RunRequest { day, status, reason: reason.to_owned(), effective: day })
    };
    let two_price =
        DeviationRules { effective_from: Day(20_800), scheme: Scheme::TwoPrice, placings: Vec::new() };
    let payment = Payment { member, minor: -5_000, value_day: day, reference: text("B1") };
    let asked = [
        SettlementAction::SetDeviation(DeviationRules { effective_from: day, scheme, placings }),
        SettlementAction::SetDeviation(two_price),
        SettlementAction::Meter(Arc::new(batch)),
        run(RunStatus::Provisional, ""),
        run(RunStatus::Final, ""),
        run(RunStatus::Resettled, "a meter was read again"),
        SettlementAction::Pay(payment),
        SettlementAction::Hold(Hold { member, minor: 100_000, reason: "margin".to_owned() }),
        SettlementAction::EndHold { hold: 1, end: HoldEnd::Posted },
        SettlementAction::EndHold { hold: 2, end: HoldEnd::Released },
        SettlementAction::Acknowledge { stream_seq: 40, epoch: 2 },
    ];
    let named = asked.into_iter().zip(1..).map(|(it, n)| system(&format!("t-{n}"), Action::Settle(it)));
    named.chain([true, false].map(|alone| Body::StandbyChanged { alone })).map(|it| vec![it]).collect()
}

/// Writes the batches in two epochs with small segments.
fn write(storage: Box<dyn Storage>) {
    let build = "merit fixture".to_owned();
    let options = Options { exchange_id: EXCHANGE, segment_bytes: 1_536, build };
    let (mut writer, _) = Writer::open(storage, options, &mut Discard).unwrap();
    let mut seq = 0;
    for bodies in batches(NOW) {
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

fn check(version: u8) {
    let mut commands = Commands::default();
    let found = recovery::scan(&Disk::existing(&fixture(version)), None, &mut commands).unwrap();
    let expected: Vec<_> = (1..).map(stamp).zip(batches(version).into_iter().flatten()).collect();
    assert_eq!(commands.0, expected);
    let records = u64::try_from(expected.len()).unwrap();
    assert_eq!((found.exchange_id, found.acknowledged_seq, found.tail), (EXCHANGE, records, None));
    assert!(found.segments > 1);
}

#[test]
fn the_golden_journal_of_version_1_reads_as_the_commands_it_was_written_from() {
    check(1);
}

#[test]
fn the_golden_journal_of_version_2_reads_as_the_commands_it_was_written_from() {
    check(2);
}

#[test]
fn the_golden_journal_of_version_3_reads_as_the_commands_it_was_written_from() {
    check(3);
    let mut kinds: Vec<_> = batches(NOW).iter().flatten().map(Kind::of).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, Kind::ALL, "the newest fixture has one of each kind");
}

#[test]
fn the_same_commands_are_written_as_the_same_bytes_today() {
    if std::env::var_os("MERIT_WRITE_FIXTURE").is_some() {
        // Written anew as a whole: a journal is only ever appended to.
        drop(std::fs::remove_dir_all(fixture(NOW)));
        std::fs::create_dir_all(fixture(NOW)).unwrap();
        write(Box::new(Disk::create(&fixture(NOW)).unwrap()));
        for name in ["lock", "spare.zeros"] {
            drop(std::fs::remove_file(fixture(NOW).join(name)));
        }
    }
    let today = FaultyDisk::new(1);
    write(Box::new(today.clone()));
    let golden = Disk::existing(&fixture(NOW));
    let names: Vec<_> = today.list().unwrap().into_iter().filter(|it| it != "spare.zeros").collect();
    assert_eq!(golden.list().unwrap(), names);
    for name in names {
        assert!(golden.read(&name).unwrap() == today.content(&name).unwrap(), "{name} differs");
    }
}
