//! Orders as members send them, and what is said of those that are malformed.

use super::{Directory, Reader};
use crate::server::clock::parse_day;
use crate::server::convert::{Paths, Scale, order_out};
use merit_engine::auction::{ComplexPeriod, Point, Shape, Side};
use merit_engine::command::{Action, OrderBody, Parent};
use merit_engine::event::AuctionInfo;
use merit_engine::ids::{AuctionId, Market, MemberId, OrderId, PortfolioId, TextId};
use merit_engine::presets;
use merit_proto::v1;
use merit_replay::storage::faulty::Random;
use std::sync::Arc;

/// One member, one portfolio, one order, both presets.
struct Known(Arc<AuctionInfo>);

impl Known {
    fn new(european: bool) -> Self {
        let day = parse_day("2026-11-23").unwrap();
        let rules = if european { presets::european(day) } else { presets::indian(day) };
        let start = rules[0].zone.day_start_us(day);
        let info = AuctionInfo {
            auction: AuctionId { day, market: Market::Dam, session: 1 },
            rules: Arc::new(rules[0].clone()),
            delivery_start_us: start,
            periods: 96,
            first_block: 1,
            blocks_in_day: 96,
            open_us: start - 4,
            gate_us: start - 3,
            corridor_us: start - 2,
            capacities_us: start - 2,
            publish_us: start - 1,
            acknowledge_us: None,
        };
        Self(Arc::new(info))
    }
}

impl Directory for Known {
    fn auction(&self, auction: AuctionId) -> Option<Arc<AuctionInfo>> {
        (auction == self.0.auction).then(|| Arc::clone(&self.0))
    }

    fn portfolio(&self, code: &str) -> Option<(PortfolioId, MemberId)> {
        (code == "P").then_some((PortfolioId(3), MemberId(1)))
    }

    fn order_named(&self, member: MemberId, id: &str) -> Option<OrderId> {
        (member == MemberId(1) && id == "parent").then_some(OrderId(9))
    }

    fn auction_of(&self, member: MemberId, order: OrderId) -> Option<AuctionId> {
        (member == MemberId(1) && order == OrderId(9)).then_some(self.0.auction)
    }
}

fn number(random: &mut Random, least: i64, most: i64) -> i64 {
    let width = usize::try_from(most - least).unwrap() + 1;
    least + i64::try_from(random.below(width)).unwrap()
}

fn points(random: &mut Random) -> Vec<Point> {
    let point = |random: &mut Random| Point {
        price: number(random, -1_000_000_000_000, 1_000_000_000_000),
        quantity: number(random, -1_000_000_000, 1_000_000_000),
    };
    (0..random.below(5)).map(|_| point(random)).collect()
}

fn body(random: &mut Random) -> OrderBody {
    let side = if random.below(2) == 0 { Side::Buy } else { Side::Sell };
    let period = |random: &mut Random| u16::try_from(random.below(65_535)).unwrap();
    let count = random.below(4);
    match random.below(4) {
        0 | 1 => {
            let shape = if random.below(2) == 0 { Shape::Step(side) } else { Shape::Linear };
            let periods = (0..count).map(|_| (period(random), points(random).into())).collect();
            OrderBody::Curve { shape, periods }
        }
        2 => OrderBody::Block {
            side,
            price: number(random, -1_000_000, 1_000_000),
            quantity: (0..count).map(|_| (period(random), number(random, -9, 9_000))).collect(),
            ratio_min: u32::try_from(random.below(2_000_000)).unwrap(),
            parent: (random.below(2) == 0).then(|| Parent::Named(TextId::new("parent").unwrap())),
            group: (random.below(2) == 0).then(|| TextId::new("one-of").unwrap()),
        },
        _ => {
            let fixed_minor = number(random, -9, 9_000_000);
            let curve = (0..count).map(|_| ComplexPeriod {
                period: period(random),
                quantity_min: number(random, -9, 9_000),
                points: points(random),
            });
            OrderBody::Complex { side, fixed_minor, curve: curve.collect() }
        }
    }
}

/// The content of a version as that of a new order.
fn as_new(content: v1::order_version::Body) -> v1::new_order::Body {
    match content {
        v1::order_version::Body::Step(it) => v1::new_order::Body::Step(it),
        v1::order_version::Body::Linear(it) => v1::new_order::Body::Linear(it),
        v1::order_version::Body::Block(it) => v1::new_order::Body::Block(it),
        v1::order_version::Body::Complex(it) => v1::new_order::Body::Complex(it),
    }
}

#[test]
fn whatever_the_engine_holds_is_read_back_as_it_was_shown() {
    for (european, seed) in (0..4_000).map(|seed| (seed % 2 == 0, seed)) {
        let known = Known::new(european);
        let body = body(&mut Random::new(seed));
        let parent = match &body {
            OrderBody::Block { parent: Some(_), .. } => Some("parent".to_owned()),
            OrderBody::Block { .. } | OrderBody::Curve { .. } | OrderBody::Complex { .. } => None,
        };
        let shown = order_out::version_body(&body, Scale::of(&known.0.rules), parent);
        let order = v1::NewOrder {
            auction_id: known.0.auction.to_string(),
            portfolio: "P".into(),
            area: known.0.rules.areas[2].code.to_string(),
            body: Some(as_new(shown)),
        };
        let mut reader = Reader::new(&known, MemberId(1));
        let read = reader.submit(&order, &mut Paths::single("order"));
        assert!(reader.faults.is_empty(), "seed {seed}: {:?}", reader.faults);
        let Some(Action::Submit(read)) = read else { panic!("seed {seed}: {read:?}") };
        assert_eq!((read.body, read.area, read.portfolio), (body, 2, PortfolioId(3)), "seed {seed}");
    }
}

#[test]
fn a_number_between_two_ticks_is_refused_and_never_rounded() {
    for (european, seed) in (0..500).map(|seed| (seed % 2 == 0, seed)) {
        let known = Known::new(european);
        let scale = Scale::of(&known.0.rules);
        let mut random = Random::new(seed);
        let (price, quantity) =
            (number(&mut random, -9_000_000, 9_000_000), number(&mut random, -9_000_000, 9_000_000));
        let point = v1::Point { price_micros_per_mwh: price, quantity_watts: quantity };
        let curve = v1::LinearCurve { periods: vec![v1::CurvePeriod { period: 1, points: vec![point] }] };
        let order = v1::NewOrder {
            auction_id: known.0.auction.to_string(),
            portfolio: "P".into(),
            area: known.0.rules.areas[0].code.to_string(),
            body: Some(v1::new_order::Body::Linear(curve)),
        };
        let mut reader = Reader::new(&known, MemberId(1));
        drop(reader.submit(&order, &mut Paths::single("order")));
        let found: Vec<i32> = reader.faults.sorted().iter().map(|it| it.reason).collect();
        let off = |value: i64, unit: i64, code: i32| (value % unit != 0).then_some(code);
        let expected: Vec<i32> =
            off(price, scale.tick, 161).into_iter().chain(off(quantity, scale.lot, 171)).collect();
        assert_eq!(found, expected, "seed {seed}: {price} and {quantity}");
    }
}
