//! Real time, faster: a clock that runs by itself, and members, a dispatch centre and operators who each
//! follow their own streams and wait for nobody, while things go wrong.
//!
//! `MERIT_SOAK_HOURS` and `MERIT_SOAK_FACTOR` set how much of the market's time is lived and how fast; the
//! default is a night of four hours in some twenty seconds. A whole day with its day-ahead auction and a
//! change of rules at midnight, at 120 times the speed of time:
//!
//! `MERIT_SOAK_HOURS=27 MERIT_SOAK_FACTOR=120 cargo test -p merit-gateway --test server soak -- --nocapture`
//!
//! Nothing is asserted about speed: what must happen is derived from what was answered. If a capacity was
//! taken too late because the machine was slow, then the alarm must be there.

use crate::common::{Exchange, step};
use crate::day;
use merit_client::{Client, units, v1};
use merit_gateway::server::clock::{format_utc, parse_utc};
use merit_gateway::server::node::Node;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use v1::Side::{Buy, Sell};

const MINUTE_US: i64 = 60_000_000;
/// 22:40 in India: five minutes before the first session of 23 November opens.
const BEGIN: &str = "2026-11-22T17:10:00Z";
/// The delivery day whose rules are other ones: a lower price cap.
const CHANGED: &str = "2026-11-24";
/// The clock is behind between these instants.
const STEP_BACK: (&str, &str) = ("2026-11-22T18:33:00Z", "2026-11-22T18:43:00Z");
const STEP_US: i64 = 3 * MINUTE_US;

/// What goes wrong in a session; they take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Late,
    Absent,
    Corrected,
    Suspended,
    Rerun,
    Cancelled,
    Unacknowledged,
}

fn fault(auction: &v1::Auction) -> Fault {
    if auction.market() != v1::Market::Rtm {
        return Fault::None;
    }
    match auction.session % 8 {
        1 => Fault::Absent,
        2 => Fault::Corrected,
        3 => Fault::Suspended,
        4 => Fault::Rerun,
        5 => Fault::Cancelled,
        6 => Fault::Unacknowledged,
        7 => Fault::Late,
        _ => Fault::None,
    }
}

fn us(instant: Option<&prost_types::Timestamp>) -> i64 {
    instant.map_or(0, |it| it.seconds * 1_000_000 + i64::from(it.nanos) / 1_000)
}

/// What was answered.
#[derive(Debug, Default)]
struct Heard {
    /// Journaled time at which an auction's first capacities were taken.
    capacity: BTreeMap<String, i64>,
    /// Capacities refused, and why.
    capacity_refused: BTreeMap<String, v1::RejectReason>,
    /// Auctions whose second revision was taken.
    corrected: BTreeSet<String>,
    /// Journaled time at which a schedule was acknowledged.
    acknowledged: BTreeMap<(String, u32), i64>,
    cancelled: BTreeSet<String>,
    rerun: BTreeSet<String>,
    /// Orders refused, by reason.
    refused: BTreeMap<String, u32>,
    orders: u32,
    /// Whether status said that the clock was behind.
    clock_behind: bool,
}

#[derive(Clone)]
struct World {
    node: Arc<Node>,
    heard: Arc<Mutex<Heard>>,
    url: String,
    ends_us: i64,
}

/// What somebody does when an auction opens.
#[derive(Clone, Copy, Debug)]
enum Part {
    Sell,
    Buy,
    Margins,
    Operate,
}

impl World {
    fn user(&self, name: &str) -> Client {
        Client::new(merit_client::Config::plaintext_loopback(&[&self.url], name)).unwrap()
    }

    fn now_us(&self) -> i64 {
        self.node.clock.now_us()
    }

    fn ended(&self) -> bool {
        self.now_us() >= self.ends_us
    }

    /// Waits until the exchange's clock shows it, or the soak ends.
    async fn until(&self, time_us: i64) {
        while self.now_us() < time_us.min(self.ends_us) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn note(&self, what: impl FnOnce(&mut Heard)) {
        what(&mut self.heard.lock().unwrap());
    }

    /// The dispatch centre sends a revision; what comes of it is noted.
    async fn send(&self, nldc: &Client, auction: &str, revision: u32) {
        let capacities = day::capacities(&day::auction(nldc, auction).await, 1_000_000_000);
        let (request_id, auction_id) = (format!("c-{auction}-{revision}"), auction.to_owned());
        let asked = v1::SubmitTransferCapacityRequest { request_id, auction_id, revision, capacities };
        let answer = nldc.submit_transfer_capacity(asked).await.unwrap().answer.unwrap();
        let time_us = us(answer.time.as_ref());
        self.note(|heard| match answer.refused {
            Some(refusal) => {
                heard.capacity_refused.insert(auction.to_owned(), refusal.reason());
            }
            None => {
                heard.capacity.entry(auction.to_owned()).or_insert(time_us);
                if revision > 1 {
                    heard.corrected.insert(auction.to_owned());
                }
            }
        });
    }
}

/// Follows the market: every auction as it opens.
async fn each_opening(world: World, client: Client, part: Part) {
    let mut events = client.subscribe::<v1::StreamMarketResponse>(Some(1));
    let mut seen = BTreeSet::new();
    while !world.ended() {
        let next = tokio::time::timeout(Duration::from_millis(200), events.next()).await;
        let Ok(message) = next else { continue };
        let Some(v1::stream_market_response::Event::Auction(auction)) = message.unwrap().event else {
            continue;
        };
        let open =
            auction.phase() == v1::AuctionPhase::Open && us(auction.gate_closes_at.as_ref()) > world.now_us();
        if open && seen.insert(auction.auction_id.clone()) {
            match part {
                Part::Sell => sell(&world, &client, auction).await,
                Part::Buy => buy(&world, &client, auction).await,
                Part::Margins => margins(&world, &client, auction),
                Part::Operate => operate(&world, &client, auction),
            }
        }
    }
}

async fn trade(world: &World, client: &Client, auction: v1::Auction, order: v1::NewOrder, tag: &str) {
    let id = format!("{tag}-{}", auction.auction_id);
    let answer = client.submit(id, order).await.unwrap();
    world.note(|heard| match answer.outcome {
        Some(v1::order_answer::Outcome::Accepted(_)) => heard.orders += 1,
        Some(v1::order_answer::Outcome::Refused(it)) => {
            *heard.refused.entry(it.reason().as_str_name().to_owned()).or_default() += 1;
        }
        None => panic!("an answer without an outcome"),
    });
}

async fn sell(world: &World, client: &Client, auction: v1::Auction) {
    let order = step(&auction.auction_id, "GEN-1", "E1", Sell, &[(1, "2500", "30"), (2, "3000", "30")]);
    trade(world, client, auction, order, "s").await;
}

async fn buy(world: &World, client: &Client, auction: v1::Auction) {
    let order = step(&auction.auction_id, "DISCOM-1", "N2", Buy, &[(1, "4500", "20"), (2, "4500", "25")]);
    trade(world, client, auction.clone(), order, "b").await;
    // Beyond the cap of the changed rules, within that of the old ones.
    let order = step(&auction.auction_id, "DISCOM-2", "W2", Buy, &[(1, "9000", "1")]);
    trade(world, client, auction.clone(), order, "d").await;
    if fault(&auction) == Fault::Suspended {
        world.until(us(auction.gate_closes_at.as_ref()) - 5 * MINUTE_US).await;
        let order = step(&auction.auction_id, "DISCOM-2", "W2", Buy, &[(1, "3000", "1")]);
        trade(world, client, auction, order, "x").await;
    }
}

/// The dispatch centre's part of a real-time session.
fn margins(world: &World, nldc: &Client, auction: v1::Auction) {
    let (name, gate_us) = (auction.auction_id.clone(), us(auction.gate_closes_at.as_ref()));
    let kind = fault(&auction);
    if auction.market() != v1::Market::Rtm || kind == Fault::Absent {
        return;
    }
    // On its own, so that the next session does not wait for a late one.
    let (world, nldc) = (world.clone(), nldc.clone());
    tokio::spawn(async move {
        world.until(if kind == Fault::Late { gate_us + 7 * MINUTE_US } else { gate_us - MINUTE_US }).await;
        if world.ended() {
            return;
        }
        world.send(&nldc, &name, 1).await;
        if kind == Fault::Corrected {
            world.send(&nldc, &name, 2).await;
        }
    });
}

/// Corridor requests are answered, schedules acknowledged, but for one session in eight.
async fn dispatch(world: World, nldc: Client) {
    let mut events = nldc.subscribe::<v1::StreamDispatchResponse>(Some(1));
    while !world.ended() {
        let next = tokio::time::timeout(Duration::from_millis(200), events.next()).await;
        let Ok(message) = next else { continue };
        match message.unwrap().event {
            Some(v1::stream_dispatch_response::Event::CorridorRequest(it)) => {
                world.send(&nldc, &it.auction_id, 1).await;
            }
            Some(v1::stream_dispatch_response::Event::Schedule(it)) => {
                let session: u32 = it.auction_id.rsplit('-').next().unwrap().parse().unwrap();
                if it.auction_id.starts_with("RTM") && session % 8 == 6 {
                    continue;
                }
                let (auction_id, revision) = (it.auction_id.clone(), it.revision);
                let request_id = format!("a-{auction_id}-{revision}");
                let asked = v1::AcknowledgeScheduleRequest { request_id, auction_id, revision };
                let answer = nldc.acknowledge_schedule(asked).await.unwrap().answer.unwrap();
                // Of two revisions in short order the first is not to be acknowledged any more.
                if answer.refused.is_none() {
                    let at = us(answer.time.as_ref());
                    world.note(|heard| {
                        heard.acknowledged.insert((it.auction_id, it.revision), at);
                    });
                }
            }
            Some(_) | None => {}
        }
    }
}

async fn act(world: &World, olga: &Client, otto: &Client, act: v1::propose_act_request::Act, name: &str) {
    let asked = v1::ProposeActRequest {
        request_id: format!("p-{name}"),
        reason: "as the soak has it".into(),
        act: Some(act.clone()),
    };
    let proposed = olga.propose_act(asked).await.unwrap();
    let Some(proposal_id) = proposed.proposal_id else { return };
    let asked = v1::ApproveActRequest { request_id: format!("q-{name}"), proposal_id };
    if otto.approve_act(asked).await.unwrap().answer.unwrap().refused.is_some() {
        return;
    }
    world.note(|heard| {
        let of = if matches!(act, v1::propose_act_request::Act::RerunAuction(_)) {
            &mut heard.rerun
        } else {
            &mut heard.cancelled
        };
        of.insert(name.to_owned());
    });
}

/// What operators do about a session: suspensions and exceptional acts.
fn operate(world: &World, olga: &Client, auction: v1::Auction) {
    let (world, olga) = (world.clone(), olga.clone());
    tokio::spawn(async move {
        let (name, gate_us) = (auction.auction_id.clone(), us(auction.gate_closes_at.as_ref()));
        let auction_id = name.clone();
        match fault(&auction) {
            Fault::Suspended => {
                world.until(gate_us - 8 * MINUTE_US).await;
                let (request_id, member) = (format!("h-{name}"), "DISCOM".to_owned());
                olga.suspend_member(v1::SuspendMemberRequest { request_id, member }).await.unwrap();
                world.until(gate_us + 2 * MINUTE_US).await;
                let (request_id, member) = (format!("r-{name}"), "DISCOM".to_owned());
                olga.resume_member(v1::ResumeMemberRequest { request_id, member }).await.unwrap();
            }
            Fault::Rerun => {
                world.until(gate_us + 8 * MINUTE_US).await;
                if world.ended() {
                    return;
                }
                let rerun = v1::propose_act_request::Act::RerunAuction(v1::RerunAuctionAct { auction_id });
                act(&world, &olga, &world.user("otto"), rerun, &name).await;
                let nldc = world.user("nldc");
                if world.heard.lock().unwrap().rerun.contains(&name) && !world.ended() {
                    world.send(&nldc, &name, 2).await;
                }
            }
            Fault::Cancelled => {
                world.until(gate_us - 4 * MINUTE_US).await;
                if world.ended() {
                    return;
                }
                let cancel = v1::propose_act_request::Act::CancelAuction(v1::CancelAuctionAct { auction_id });
                act(&world, &olga, &world.user("otto"), cancel, &name).await;
            }
            Fault::None | Fault::Late | Fault::Absent | Fault::Corrected | Fault::Unacknowledged => {}
        }
    });
}

/// The clock: `factor` times as fast as time, with a step back of three minutes and forward again.
async fn tick(world: World, begin_us: i64, factor: i64) {
    let begun = Instant::now();
    let behind = parse_utc(STEP_BACK.0).unwrap()..parse_utc(STEP_BACK.1).unwrap();
    while !world.ended() {
        let passed = i64::try_from(begun.elapsed().as_micros()).unwrap() * factor;
        let real_us = begin_us + passed;
        let shown_us = if behind.contains(&real_us) { real_us - STEP_US } else { real_us };
        assert!(world.node.clock.set(shown_us));
        world.node.inbox.core().wake();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// An operator looks at the status until it says that the clock is behind.
async fn watch_clock(world: World, olga: Client) {
    let until = parse_utc(STEP_BACK.1).unwrap() + MINUTE_US;
    while !world.ended() && world.now_us() < until {
        let status = olga.get_status(v1::GetStatusRequest {}).await.unwrap();
        let behind = status.alarms.iter().any(|it| it.contains("behind the journal"));
        world.note(|heard| heard.clock_behind |= behind);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The second operator, and the rules from a day on that no auction exists for yet.
async fn prepare(exchange: &Exchange) {
    let olga = exchange.user("olga");
    let asked = v1::RegisterUserRequest {
        request_id: "u".into(),
        user: "otto".into(),
        certificate_sha256: vec![7; 32],
        role: v1::Role::Operator.into(),
        ..Default::default()
    };
    assert_eq!(olga.register_user(asked).await.unwrap().answer.unwrap().refused, None);
    for market in [v1::Market::Dam, v1::Market::Rtm] {
        let asked = v1::GetMarketRulesRequest { market: market.into(), delivery_day: Some(CHANGED.into()) };
        let mut rules = olga.get_market_rules(asked).await.unwrap().rules.unwrap();
        rules.price_max_micros_per_mwh /= 2;
        rules.effective_from = CHANGED.into();
        let asked = v1::SetMarketRulesRequest { request_id: format!("r{market:?}"), rules: Some(rules) };
        assert_eq!(olga.set_market_rules(asked).await.unwrap().answer.unwrap().refused, None);
    }
}

fn setting(name: &str, default: i64) -> i64 {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soak_in_faster_time_with_faults_leaves_nothing_stuck() {
    let (hours, factor) = (setting("MERIT_SOAK_HOURS", 4), setting("MERIT_SOAK_FACTOR", 720));
    // Two days before, when the timetable has not reached the changed day.
    let exchange = Exchange::starting("2026-11-21T03:30:00Z", &[]).await;
    prepare(&exchange).await;
    exchange.at(BEGIN).await;
    let begin_us = parse_utc(BEGIN).unwrap();
    let node = Arc::clone(exchange.running().node());
    let (url, ends_us) = (exchange.url(), begin_us + hours * 60 * MINUTE_US);
    let world = World { node, heard: Arc::default(), url, ends_us };
    let user = |name: &str| exchange.user(name);
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(tick(world.clone(), begin_us, factor));
    tasks.spawn(watch_clock(world.clone(), user("olga")));
    tasks.spawn(dispatch(world.clone(), user("nldc")));
    tasks.spawn(each_opening(world.clone(), user("gina"), Part::Sell));
    tasks.spawn(each_opening(world.clone(), user("dora"), Part::Buy));
    tasks.spawn(each_opening(world.clone(), user("nldc"), Part::Margins));
    tasks.spawn(each_opening(world.clone(), user("olga"), Part::Operate));
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    println!("{hours} h at factor {factor} took {:?}", begun.elapsed());
    // What is under way is answered; then time stands still, and what was due is done.
    tokio::time::sleep(Duration::from_millis(300)).await;
    exchange.at(&format_utc(world.ends_us + MINUTE_US)).await;
    check(&exchange, &world, begin_us, factor).await;
}

/// Every auction and alarm against what was answered.
async fn check(exchange: &Exchange, world: &World, begin_us: i64, factor: i64) {
    let olga = exchange.user("olga");
    let alarms = alarms(&olga).await;
    let heard = std::mem::take(&mut *world.heard.lock().unwrap());
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut lateness_us = Vec::new();
    for auction in auctions(&olga).await {
        let name = auction.auction_id.clone();
        let (publish_us, delivery_us) =
            (us(auction.publishes_at.as_ref()), us(auction.delivery_start.as_ref()));
        if us(auction.gate_closes_at.as_ref()) <= begin_us || delivery_us > world.ends_us {
            continue;
        }
        let expected = if heard.cancelled.contains(&name) {
            v1::AuctionPhase::Cancelled
        } else {
            v1::AuctionPhase::Published
        };
        assert_eq!(auction.phase(), expected, "{name} is stuck");
        *counts.entry(format!("{:?} {expected:?}", fault(&auction))).or_default() += 1;
        if heard.rerun.contains(&name) {
            let request = v1::GetResultRequest { auction_id: name.clone(), areas: Vec::new() };
            let result = olga.get_result(request).await.unwrap().result.unwrap();
            assert_eq!(result.revision, Some(2), "{name}");
        }
        let capped = auction.price_max_micros_per_mwh == units::micros("5000").unwrap();
        assert_eq!(capped, auction.delivery_day.as_str() >= CHANGED, "{name}: rules hold from their day on");
        if expected == v1::AuctionPhase::Cancelled || heard.rerun.contains(&name) {
            continue;
        }
        let due_us = if auction.market() == v1::Market::Rtm {
            publish_us - 10 * MINUTE_US
        } else {
            publish_us - 45 * MINUTE_US
        };
        let in_time = heard.capacity.get(&name).is_some_and(|it| *it < due_us);
        let alarmed = alarms.contains(&("CAPACITY_LATE".to_owned(), name.clone()));
        assert_eq!(alarmed, !in_time, "{name}: {:?}", heard.capacity.get(&name));
        let acknowledged = heard.acknowledged.get(&(name.clone(), 1));
        let in_time = acknowledged.is_some_and(|it| {
            *it < publish_us + if auction.market() == v1::Market::Rtm { 5 } else { 60 } * MINUTE_US
        });
        let alarmed = alarms.contains(&("ACKNOWLEDGEMENT_LATE".to_owned(), name.clone()));
        assert_eq!(alarmed, !in_time, "{name}: {acknowledged:?}");
        assert!(!alarms.contains(&("VERIFIER_REFUSED".to_owned(), name.clone())));
    }
    let days: BTreeSet<&str> = ["2026-11-23", "2026-11-24"].into();
    for day in days {
        lateness_us.extend(lateness(&olga, day, begin_us).await);
    }
    lateness_us.sort_unstable();
    let late = |share: usize| lateness_us.get(lateness_us.len() * share / 100).map_or(0, |it| it / factor);
    let worst = lateness_us.last().map_or(0, |it| it / factor);
    println!(
        "{} steps, late by (real time): median {} us, 99 % {} us, worst {worst} us",
        lateness_us.len(),
        late(50),
        late(99)
    );
    println!("{counts:#?}\norders taken {}, refused {:?}", heard.orders, heard.refused);
    println!("corrected before the run: {:?}", heard.corrected);
    println!("capacities refused {:?}", heard.capacity_refused.values().collect::<BTreeSet<_>>());
    let balance = v1::GetTrialBalanceRequest { delivery_day: None };
    assert_eq!(exchange.user("house").get_trial_balance(balance).await.unwrap().sum, "0");
    let own = exchange.user("dora").get_collateral(v1::GetCollateralRequest::default()).await.unwrap();
    assert!(own.collateral.unwrap().available_micros > 0);
    assert!(heard.clock_behind, "nobody was told that the clock was behind");
    assert!(counts.len() >= 6, "few faults happened: {counts:?}");
}

async fn auctions(olga: &Client) -> Vec<v1::Auction> {
    let mut all = Vec::new();
    let mut page_token = None;
    loop {
        let request = v1::ListAuctionsRequest {
            day_first: Some("2026-11-23".into()),
            day_last: Some("2026-11-25".into()),
            page_token,
            ..Default::default()
        };
        let page = olga.list_auctions(request).await.unwrap();
        all.extend(page.auctions);
        page_token = page.next_page_token;
        if page_token.is_none() {
            return all;
        }
    }
}

/// Every alarm ever: name and auction.
async fn alarms(olga: &Client) -> BTreeSet<(String, String)> {
    let mut events = olga.subscribe::<v1::StreamOperatorEventsResponse>(Some(1));
    let mut all = BTreeSet::new();
    loop {
        let message = events.next().await.unwrap();
        let position = message.position.unwrap();
        if let Some(v1::stream_operator_events_response::Event::Alarm(it)) = message.event {
            all.insert((it.name, it.auction_id.unwrap_or_default()));
        }
        if position.seq == Some(position.head_seq) {
            return all;
        }
    }
}

/// By how much steps of a day that the clock alone decides were late, µs of the market's time.
async fn lateness(olga: &Client, delivery_day: &str, begin_us: i64) -> Vec<i64> {
    let behind = parse_utc(STEP_BACK.0).unwrap() - STEP_US..parse_utc(STEP_BACK.1).unwrap();
    let request = v1::GetTimetableRequest { delivery_day: delivery_day.into() };
    let steps = olga.get_timetable(request).await.unwrap().steps;
    let mut found = Vec::new();
    for step in steps {
        let by_clock = matches!(step.phase(), v1::AuctionPhase::Open | v1::AuctionPhase::UnconstrainedRun);
        let (due, done) = (us(step.due_at.as_ref()), step.done_at.as_ref().map(|it| us(Some(it))));
        if let (true, Some(done)) = (by_clock && due > begin_us && !behind.contains(&due), done) {
            assert!(done >= due, "{step:?} was done before its time");
            found.push(done - due);
        }
    }
    found
}
