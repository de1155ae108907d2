//! Seven days of both markets, minute by minute, through gRPC: 7 day-ahead auctions and 336 real-time
//! sessions, every step at its time, everything that adds up added up, and a transcript.
//!
//! `golden/week.txt` is the transcript: one line an auction. It changes only when what the market decides
//! changes. Then run this test with `MERIT_BLESS=1` and say in the commit what moved it and why that is right.

use crate::common::{Exchange, accepted};
use merit_client::{Client, orders, v1};
use merit_gateway::server::clock::{format_utc, parse_day, parse_utc};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use tokio_stream::StreamExt as _;
use v1::Side::{Buy, Sell};

/// The first of the delivery days.
const FIRST: &str = "2026-11-23";
const DAYS: i32 = 7;
const MINUTE_US: i64 = 60_000_000;
/// India is ahead of UTC by so much.
const AHEAD_US: i64 = 330 * MINUTE_US;

pub(crate) struct Week {
    pub(crate) exchange: Exchange,
    pub(crate) gina: Client,
    pub(crate) dora: Client,
    pub(crate) nldc: Client,
    requests: u64,
}

/// A number that looks random and depends on what it is for.
fn number(what: &str, low: i64, high: i64) -> i64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in what.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 29;
    low + i64::try_from(hash % u64::try_from(high - low + 1).unwrap()).unwrap()
}

/// Local delivery day `day` days after the first.
fn day(day: i32) -> String {
    parse_day(FIRST).unwrap().plus(day).to_string()
}

impl Week {
    pub(crate) async fn begin() -> Self {
        let exchange = Exchange::new(&[]).await;
        let [gina, dora, nldc] = ["gina", "dora", "nldc"].map(|name| exchange.user(name));
        Self { exchange, gina, dora, nldc, requests: 0 }
    }

    pub(crate) fn id(&mut self, what: &str) -> String {
        self.requests += 1;
        format!("{what}-{}", self.requests)
    }

    /// A seller in three areas and a buyer in two, one of them behind the lines into the South.
    pub(crate) async fn bid(&mut self, auction: &str, periods: u32) {
        let slices = |who: &str, low: i64, high: i64| -> Vec<(u32, Vec<(i64, i64)>)> {
            let point = |period: u32, step: i64| {
                let name = format!("{auction}/{who}/{period}/{step}");
                let price = number(&name, low, high) * 1_000_000;
                (price, number(&format!("{name}/mw"), 1, 400) * 100_000)
            };
            (1..=periods).map(|period| (period, (0..3).map(|step| point(period, step)).collect())).collect()
        };
        for (number, area) in ["N1", "E1", "W2"].into_iter().enumerate() {
            let points = slices(area, 1_500, 5_000);
            let points: Vec<(u32, &[(i64, i64)])> =
                points.iter().map(|(period, list)| (*period, list.as_slice())).collect();
            let id = self.id(&format!("g{number}"));
            let order = orders::step(auction, "GEN-1", area, Sell, &points);
            accepted(&self.gina.submit(&id, order).await.unwrap());
        }
        for (portfolio, area) in [("DISCOM-1", "N2"), ("DISCOM-2", "S2")] {
            let points = slices(portfolio, 2_500, 8_000);
            let points: Vec<(u32, &[(i64, i64)])> =
                points.iter().map(|(period, list)| (*period, list.as_slice())).collect();
            let id = self.id("d");
            let order = orders::step(auction, portfolio, area, Buy, &points);
            accepted(&self.dora.submit(&id, order).await.unwrap());
        }
    }

    /// Capacities: 3,000 MW everywhere but into the South, where 30 MW are left in some blocks.
    pub(crate) async fn try_capacities(&mut self, auction: &str, revision: u32) -> Option<v1::Refusal> {
        let request = v1::GetAuctionRequest { auction_id: auction.into() };
        let shown = self.nldc.get_auction(request).await.unwrap().auction.unwrap();
        let mut capacities = Vec::new();
        for line in &shown.lines {
            let south = line.from.starts_with('S') != line.to.starts_with('S');
            let watts = |period: u32| {
                let tight = south && number(&format!("{auction}/tight/{period}"), 0, 3) == 0;
                if tight { 3_000_000 } else { 3_000_000_000 }
            };
            for direction in [v1::Direction::Forward, v1::Direction::Backward] {
                capacities.push(v1::LineCapacity {
                    line: line.line.clone(),
                    direction: direction.into(),
                    capacity_watts: (1..=shown.periods).map(watts).collect(),
                });
            }
        }
        let request_id = self.id("c");
        let asked = v1::SubmitTransferCapacityRequest {
            request_id,
            auction_id: auction.into(),
            revision,
            capacities,
        };
        self.nldc.submit_transfer_capacity(asked).await.unwrap().answer.unwrap().refused
    }

    pub(crate) async fn send_capacities(&mut self, auction: &str, revision: u32) {
        assert_eq!(self.try_capacities(auction, revision).await, None, "{auction}");
    }

    pub(crate) async fn acknowledge(&mut self, auction: &str, revision: u32) {
        let request_id = self.id("a");
        let asked = v1::AcknowledgeScheduleRequest { request_id, auction_id: auction.into(), revision };
        let answer = self.nldc.acknowledge_schedule(asked).await.unwrap().answer.unwrap();
        assert_eq!(answer.refused, None, "{auction}");
    }

    /// What happens at a minute, given in minutes since midnight before the first delivery day's eve.
    async fn minute(&mut self, minute: i64) {
        let eve = parse_utc("2026-11-21T18:30:00Z").unwrap();
        let now = format_utc(eve + minute * MINUTE_US);
        self.exchange.at(&now).await;
        let (of_day, today) = (minute % 1_440, i32::try_from(minute / 1_440).unwrap());
        if today < DAYS {
            let auction = format!("DAM-{}", day(today));
            match of_day {
                600 => self.bid(&auction, 96).await,
                670 => {
                    self.send_capacities(&auction, 1).await;
                    self.exchange.at(&now).await;
                    self.acknowledge(&auction, 1).await;
                }
                _ => {}
            }
        }
        // Sessions of the delivery days are counted from the first midnight, 30 minutes each.
        let session = |ahead: i64| {
            let since = minute + ahead - 1_440;
            let number = since.div_euclid(30);
            let delivered = i32::try_from(number.div_euclid(48)).unwrap();
            let fits = since % 30 == 0 && (0..DAYS).contains(&delivered);
            fits.then(|| format!("RTM-{}-{:02}", day(delivered), number.rem_euclid(48) + 1))
        };
        if let Some(auction) = session(75) {
            self.bid(&auction, 2).await;
        }
        if let Some(auction) = session(60) {
            self.send_capacities(&auction, 1).await;
            self.exchange.at(&now).await;
            self.acknowledge(&auction, 1).await;
        }
    }

    /// Everything that the clearing house was told, by auction: sums of obligations and of each account.
    async fn money(&self) -> BTreeMap<String, Money> {
        let request = v1::StreamObligationsRequest { from_seq: Some(1) };
        let house = self.exchange.user("house");
        let mut stream = house.settlement().stream_obligations(request).await.unwrap().into_inner();
        let mut all: BTreeMap<String, Money> = BTreeMap::new();
        loop {
            let message = stream.next().await.unwrap().unwrap();
            let position = message.position.unwrap();
            match message.event.unwrap() {
                v1::stream_obligations_response::Event::Obligations(batch) => {
                    let sums = all.entry(batch.auction_id).or_default();
                    for it in batch.obligations {
                        sums.value += i128::from(it.value_micros);
                        sums.fees += i128::from(it.fee_micros);
                        let row = it.row.unwrap();
                        let key = (row.block, it.area, it.portfolio);
                        sums.net.insert(key, it.sold_watts - it.bought_watts);
                    }
                }
                v1::stream_obligations_response::Event::Ledger(batch) => {
                    let sums = all.entry(batch.auction_id).or_default();
                    for posting in batch.entries.iter().flat_map(|it| &it.postings) {
                        let kind = posting.account.as_ref().unwrap().kind();
                        *sums.accounts.entry(kind.as_str_name()).or_default() +=
                            i128::from(posting.amount_micros);
                    }
                }
                v1::stream_obligations_response::Event::Heartbeat(_)
                | v1::stream_obligations_response::Event::GoingAway(_)
                | v1::stream_obligations_response::Event::Run(_)
                | v1::stream_obligations_response::Event::Metered(_)
                | v1::stream_obligations_response::Event::DeviationRules(_) => {}
            }
            if position.seq == Some(position.head_seq) {
                return all;
            }
        }
    }
}

#[derive(Debug, Default)]
struct Money {
    value: i128,
    fees: i128,
    net: BTreeMap<(u32, String, String), i64>,
    accounts: BTreeMap<&'static str, i128>,
}

/// Micros of a currency as whole units, rounded for people.
fn whole(micros: i128) -> i128 {
    (micros + 500_000).div_euclid(1_000_000)
}

/// Checks one auction and says it in a line.
async fn check(week: &Week, auction: &str, money: &Money) -> String {
    let request = v1::GetResultRequest { auction_id: auction.into(), areas: Vec::new() };
    let result = week.dora.get_result(request).await.unwrap().result.unwrap();
    assert_eq!(result.status(), v1::PublicationStatus::Final, "{auction}");
    let request = v1::GetSchedulesRequest { auction_id: Some(auction.into()), ..Default::default() };
    let schedules = week.nldc.get_schedules(request).await.unwrap().schedules;
    let [schedule] = schedules.as_slice() else { panic!("{auction} has one schedule") };
    assert!(schedule.acknowledged, "{auction}");
    let mut scheduled: BTreeMap<(u32, &str), i64> = BTreeMap::new();
    for it in &schedule.rows {
        let block = it.row.as_ref().unwrap().block;
        *scheduled.entry((block, it.area.as_str())).or_default() += it.net_watts;
        let key = (block, it.area.clone(), it.portfolio.clone());
        assert_eq!(money.net.get(&key), Some(&it.net_watts), "{auction}: schedule and obligation");
    }
    let mut prices: BTreeMap<(u32, &str), i64> = BTreeMap::new();
    let mut sums: BTreeMap<u32, i64> = BTreeMap::new();
    for it in &result.areas {
        let block = it.row.as_ref().unwrap().block;
        prices.insert((block, it.area.as_str()), it.price_micros_per_mwh);
        *sums.entry(block).or_default() += it.bought_watts - it.sold_watts;
        let of_area = scheduled.get(&(block, it.area.as_str())).copied().unwrap_or(0);
        assert_eq!(of_area, it.net_position_watts, "{auction}: block {block} of {}", it.area);
    }
    assert!(sums.values().all(|it| *it == 0), "{auction}: bought is sold in every block");
    // Congestion: what flows earn between areas, exactly, in parts of a rupee that do not round.
    let lines = lines_of(week, auction).await;
    let (mut earned, mut congested) = (0_i128, 0);
    for it in &result.flows {
        let block = it.row.as_ref().unwrap().block;
        let (from, to) = &lines[&it.line];
        let gap = prices[&(block, to.as_str())] - prices[&(block, from.as_str())];
        earned += i128::from(it.flow_watts) * i128::from(gap) / 4;
        congested += u32::from(it.congested);
    }
    let revenue = money.accounts.get("ACCOUNT_KIND_CONGESTION").copied().unwrap_or(0);
    let blocks = i128::try_from(sums.len()).unwrap();
    assert!((earned / 1_000_000 - revenue).abs() <= blocks * 5_000, "{auction}: {earned} and {revenue}");
    let rounding = money.accounts.get("ACCOUNT_KIND_ROUNDING").copied().unwrap_or(0);
    assert_eq!(-money.value, revenue + rounding, "{auction}: buyers paid what sellers got and lines earned");
    assert_eq!(money.accounts.values().sum::<i128>(), 0);
    assert!(money.fees > 0 || money.value == 0);
    let (low, high) = (prices.values().min().unwrap(), prices.values().max().unwrap());
    let energy = result.energy_watt_hours.unwrap();
    format!(
        "{auction} {} kWh, {} to {} Rs/MWh, {congested} lines congested, congestion {} Rs, fees {} Rs",
        energy / 1_000,
        whole(i128::from(*low)),
        whole(i128::from(*high)),
        whole(revenue),
        whole(money.fees),
    )
}

async fn lines_of(week: &Week, auction: &str) -> BTreeMap<String, (String, String)> {
    let request = v1::GetAuctionRequest { auction_id: auction.into() };
    let shown = week.nldc.get_auction(request).await.unwrap().auction.unwrap();
    shown.lines.into_iter().map(|it| (it.line, (it.from, it.to))).collect()
}

/// Every step of a day happened when it was due, or before where it may (results).
async fn check_times(week: &Week, delivery: &str, transcript: &mut String) -> usize {
    let request = v1::GetTimetableRequest { delivery_day: delivery.into() };
    let steps = week.exchange.user("olga").get_timetable(request).await.unwrap().steps;
    let us = |it: &prost_types::Timestamp| it.seconds * 1_000_000 + i64::from(it.nanos) / 1_000;
    let mut auctions = 0;
    for step in &steps {
        let due = us(step.due_at.as_ref().unwrap());
        let done = us(step.done_at.as_ref().unwrap_or_else(|| panic!("{step:?} was not done")));
        match step.phase() {
            v1::AuctionPhase::Open | v1::AuctionPhase::UnconstrainedRun => {
                assert_eq!(done, due, "{step:?}")
            }
            v1::AuctionPhase::AwaitingCapacity if step.auction_id.starts_with("RTM") => {
                assert_eq!(done, due, "{step:?}");
            }
            v1::AuctionPhase::Published => {
                auctions += 1;
                assert!(done <= due, "{step:?}");
                if step.auction_id.starts_with("DAM") {
                    let local = format_utc(done + AHEAD_US);
                    let local = local.trim_end_matches('Z');
                    writeln!(transcript, "{} published at {local} local time", step.auction_id).unwrap();
                }
            }
            v1::AuctionPhase::Unspecified
            | v1::AuctionPhase::Scheduled
            | v1::AuctionPhase::AwaitingCapacity
            | v1::AuctionPhase::GateClosed
            | v1::AuctionPhase::FundsCheck
            | v1::AuctionPhase::ConstrainedRun
            | v1::AuctionPhase::Halted
            | v1::AuctionPhase::Cancelled => assert!(done <= due, "{step:?}"),
        }
    }
    auctions
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_minute_by_minute_keeps_every_time_and_adds_up() {
    let mut week = Week::begin().await;
    // From nine in the morning of the eve until the end of the seventh day.
    for minute in 9 * 60..(i64::from(DAYS) + 1) * 1_440 {
        week.minute(minute).await;
    }
    let money = week.money().await;
    let mut transcript = String::new();
    let mut published = 0;
    for number in 0..DAYS {
        let delivery = day(number);
        published += check_times(&week, &delivery, &mut transcript).await;
        let mut names = vec![format!("DAM-{delivery}")];
        names.extend((1..=48).map(|session| format!("RTM-{delivery}-{session:02}")));
        for name in names {
            let line = check(&week, &name, &money[&name]).await;
            writeln!(transcript, "{line}").unwrap();
        }
    }
    assert_eq!(published, 7 + 336);
    let request = v1::GetTrialBalanceRequest { delivery_day: None };
    let balance = week.exchange.user("house").get_trial_balance(request).await.unwrap();
    assert_eq!(balance.sum, "0");
    let status = week.exchange.user("olga").get_status(v1::GetStatusRequest {}).await.unwrap();
    // The eighth day's auctions have begun, and nobody cares for them.
    let beyond = day(DAYS);
    assert!(status.alarms.iter().all(|it| it.contains(&beyond)), "{:?}", status.alarms);
    compare(&transcript);
}

fn compare(transcript: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/week.txt");
    if std::env::var_os("MERIT_BLESS").is_some() {
        std::fs::write(&path, transcript).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (number, (ours, theirs)) in (1..).zip(transcript.lines().zip(golden.lines())) {
        assert_eq!(ours, theirs, "line {number} of golden/week.txt");
    }
    assert_eq!(transcript.lines().count(), golden.lines().count(), "lines of golden/week.txt");
}
