//! A market day through the journal: killed again and again, and replayed to the same state.

use crate::common::{EXCHANGE, boxed};
use merit_engine::auction::{Point, Shape, Side};
use merit_engine::calendar::{Day, MINUTE_US};
use merit_engine::command::{Action, Actor, Body, NewOrder, OrderBody, Request, Role};
use merit_engine::event::{Answer, Event, EventBody};
use merit_engine::ids::{AuctionId, Market, MemberId, PortfolioId, TextId, UserId};
use merit_engine::market::Engine;
use merit_engine::presets;
use merit_replay::core::{Core, Epoch, Offer, replay};
use merit_replay::error::JournalError;
use merit_replay::frame::{Record, Stamp};
use merit_replay::inspect;
use merit_replay::machine::{Machine, Silent, Sink};
use merit_replay::record;
use merit_replay::recovery::{self, Visitor};
use merit_replay::storage::faulty::{FaultyDisk, Random};
use merit_replay::writer::Options;
use std::sync::{Arc, Mutex};

pub(crate) const DAY: Day = Day(20_780);

/// Hears events, of replays or of the first time.
#[derive(Clone, Default)]
struct Heard {
    first: Arc<Mutex<Vec<Event>>>,
    again: Arc<Mutex<Vec<Event>>>,
}

impl Sink<Engine> for Heard {
    fn applied(&mut self, _: Stamp, _: &Answer, events: Vec<Event>, replayed: bool) {
        let list = if replayed { &self.again } else { &self.first };
        list.lock().unwrap().extend(events);
    }
}

fn text(text: &str) -> TextId {
    TextId::new(text).unwrap()
}

fn request(actor: Actor, id: &str, action: Action) -> Body {
    Body::Request(Box::new(Request { actor, request_id: text(id), action }))
}

/// Rules of both markets, two members with a portfolio and a trader each.
pub(crate) fn founding() -> Vec<Body> {
    let system = |id: &str, action| request(Actor::System, id, action);
    let [dam, rtm] = presets::indian(DAY);
    let mut bodies = vec![
        system("rules-dam", Action::SetRules(Box::new(dam))),
        system("rules-rtm", Action::SetRules(Box::new(rtm))),
    ];
    for number in 0..2 {
        let (code, name) = (text(&format!("M{number}")), format!("Member {number}"));
        bodies.push(system(&format!("member-{number}"), Action::RegisterMember { code, name }));
        let member = MemberId(number);
        let deposit = Action::Deposit { member, minor: 1_000_000_000_000 };
        bodies.push(system(&format!("deposit-{number}"), deposit));
        let (code, areas) = (text(&format!("P{number}")), Vec::new());
        bodies
            .push(system(&format!("portfolio-{number}"), Action::RegisterPortfolio { member, code, areas }));
        let user = Action::RegisterUser {
            name: text(&format!("trader-{number}")),
            fingerprint: [u8::try_from(number).unwrap(); 32],
            role: Role::Trader,
            member: Some(member),
            portfolios: Vec::new(),
        };
        bodies.push(system(&format!("user-{number}"), user));
    }
    bodies
}

/// An order of one of the members; it may come too early or too late.
pub(crate) fn order(random: &mut Random, number: u64, now_us: i64) -> Body {
    let owner = u32::try_from(random.below(2)).unwrap();
    let midnight = presets::indian(DAY)[0].zone.day_start_us(DAY);
    let since_midnight = (now_us - midnight) / MINUTE_US;
    // The last session that has opened (75 minutes before its delivery); its gate may have closed.
    let session = u16::try_from(((since_midnight + 75).div_euclid(30) + 1).clamp(1, 48)).unwrap();
    let dam = AuctionId { day: DAY, market: Market::Dam, session: 1 };
    let auction = if since_midnight < -700 { dam } else { AuctionId { market: Market::Rtm, session, ..dam } };
    let side = if owner == 0 { Side::Sell } else { Side::Buy };
    let mut points = Vec::new();
    for _ in 0..1 + random.below(4) {
        let price = i64::try_from(random.below(10_000)).unwrap() * 100;
        let quantity = i64::try_from(1 + random.below(500)).unwrap() * 10;
        points.push(Point { price, quantity });
    }
    let periods = (0..2).map(|period| (period, points.clone().into())).collect();
    let body = OrderBody::Curve { shape: Shape::Step(side), periods };
    let area = u16::try_from(random.below(13)).unwrap();
    let order = NewOrder { auction, portfolio: PortfolioId(owner), area, body };
    request(Actor::User(UserId(owner)), &format!("o-{number}"), Action::Submit(order))
}

fn open(disk: &FaultyDisk, heard: &Heard) -> Core<Engine> {
    open_with(disk, heard, 1 << 15)
}

fn open_with(disk: &FaultyDisk, heard: &Heard, segment_bytes: u64) -> Core<Engine> {
    let options = Options { segment_bytes, ..Options::new(EXCHANGE) };
    let heard = Box::new(heard.clone());
    Core::open(boxed(disk), options, Epoch::Same, Engine::new(), heard, &mut |_| {}).unwrap().0
}

pub(crate) fn batch(core: &mut Core<Engine>, now_us: i64, bodies: Vec<Body>) {
    core.begin(now_us, "node");
    for body in bodies {
        assert_eq!(core.offer(body), Offer::Taken);
    }
    core.finish(now_us).unwrap();
}

/// An engine that takes one record after the other, and before each expects some of a list.
struct Alone {
    engine: Engine,
    expected: Vec<Body>,
    events: Vec<Event>,
}

impl Visitor for Alone {
    fn record(&mut self, found: &Record<'_>) -> Result<(), JournalError> {
        let body = record::decode(found.kind, found.payload).unwrap();
        let skipped = usize::try_from(found.stamp.seq * 7).unwrap() % (self.expected.len() + 1);
        self.engine.expect(self.expected.iter().skip(skipped));
        Machine::apply(&mut self.engine, found.stamp, body, &mut self.events);
        Ok(())
    }
}

/// Batches of all sizes around those of the groups in which commands are expected, some sent again: replayed and lived
/// they are what a machine makes of them that expects nothing, or always something else.
#[test]
fn what_is_expected_changes_nothing_wherever_groups_are_cut() {
    let (disk, heard) = (FaultyDisk::new(9), Heard::default());
    let mut random = Random::new(77);
    let mut core = open_with(&disk, &heard, 1 << 18);
    let mut now_us = presets::indian(DAY)[0].zone.day_start_us(DAY) - 13 * 60 * MINUTE_US;
    batch(&mut core, now_us, founding());
    let (mut numbers, mut sent) = (0, founding());
    for size in [1, 2, 63, 64, 65, 0, 128, 129, 200, 1] {
        now_us += 7 * MINUTE_US;
        let bodies = (0..size).map(|_| {
            numbers += 1;
            let again = random.below(9) == 0;
            let number = if again { random.below(numbers) } else { numbers };
            let number = u64::try_from(number).unwrap();
            order(&mut random, number, now_us)
        });
        let bodies: Vec<Body> = bodies.collect();
        sent.extend(bodies.iter().cloned());
        batch(&mut core, now_us, bodies);
    }
    let digest = core.machine().digest();
    core.close().unwrap();

    let (mut replayed, mut again) = (Engine::new(), Heard::default());
    replay(&disk, &mut replayed, &mut again, &mut |_| {}).unwrap();
    assert_eq!((replayed.digest(), replayed.digest_in_full()), (digest, digest));
    assert!(*heard.first.lock().unwrap() == *again.again.lock().unwrap(), "the same events");

    let mut unheard = Engine::new();
    replay(&disk, &mut unheard, &mut Silent, &mut |_| {}).unwrap();
    assert_eq!((unheard.digest(), unheard.digest_in_full()), (digest, digest));

    for expected in [Vec::new(), sent] {
        let mut alone = Alone { engine: Engine::new(), expected, events: Vec::new() };
        recovery::scan(&disk, None, &mut alone).unwrap();
        assert_eq!(alone.engine.digest_in_full(), digest);
        assert!(*heard.first.lock().unwrap() == alone.events, "the same events");
    }
}

#[test]
fn a_market_day_of_killed_nodes_replays_to_the_same_events_and_digest() {
    let (disk, heard) = (FaultyDisk::new(9), Heard::default());
    let mut random = Random::new(2_611);
    let mut core = open(&disk, &heard);
    let midnight = presets::indian(DAY)[0].zone.day_start_us(DAY);
    let (mut now_us, end_us) = (midnight - 15 * 60 * MINUTE_US, midnight + 24 * 60 * MINUTE_US);
    batch(&mut core, now_us, founding());
    let (mut number, mut kills) = (0, 0);
    while now_us < end_us {
        now_us += i64::try_from(1 + random.below(9)).unwrap() * MINUTE_US;
        let orders = (0..random.below(4)).map(|_| {
            number += 1;
            order(&mut random, number, now_us)
        });
        let orders = orders.collect();
        batch(&mut core, now_us, orders);
        // The runner comes back at once while there is long work, and takes what has come meanwhile.
        while core.wants_quantum() && random.below(50) > 0 {
            batch(&mut core, now_us, Vec::new());
        }
        if random.below(60) == 0 {
            let digest = inspect::digest_text(core.machine());
            drop(core);
            disk.restart();
            core = open(&disk, &heard);
            assert_eq!(inspect::digest_text(core.machine()), digest, "after kill {kills}");
            kills += 1;
        }
    }
    let digest = inspect::digest_text(core.machine());
    core.close().unwrap();

    let (mut engine, mut again) = (Engine::new(), Heard::default());
    let found = replay(&disk, &mut engine, &mut again, &mut |_| {}).unwrap();
    assert_eq!(inspect::digest_text(&engine), digest);
    let (first, again) = (heard.first.lock().unwrap(), again.again.lock().unwrap());
    assert!(*first == *again, "the same events, in the same order, with the same numbers");

    // Streams count the events that nobody hears.
    let mut unheard = Engine::new();
    replay(&disk, &mut unheard, &mut Silent, &mut |_| {}).unwrap();
    assert_eq!(inspect::digest_text(&unheard), digest);
    assert!(
        unheard.stream_heads().eq(engine.stream_heads()),
        "a history that nobody hears has the same numbers"
    );

    let count = |wanted: fn(&EventBody) -> bool| first.iter().filter(|it| wanted(&it.body)).count();
    let published = count(|it| matches!(it, EventBody::ResultPublished(_)));
    let accepted = count(|it| matches!(it, EventBody::OrderAccepted { .. }));
    eprintln!("{} records, {kills} kills, {published} results, {accepted} orders", found.records);
    assert!(published >= 49 && accepted > 150 && kills >= 3);
    assert!(found.segments > 1);
}
