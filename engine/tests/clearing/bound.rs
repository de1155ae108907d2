//! Without any search, the bound on welfare holds whatever blocks and complex orders are accepted,
//! lot by lot, paradoxically or not.

use crate::tiny::Seed;
use merit_engine::auction::{
    BlockHandle, BlockOrder, ComplexOrder, ComplexPeriod, CurveOrder, Frame, Point, Shape, Side,
};
use merit_engine::book::AuctionBook;
use merit_engine::clearing::{Clearing, Limit, Progress};
use merit_engine::outcome::{Outcome, Rejection};
use merit_engine::verify::verify;

const PERIODS: u16 = 2;
const SCALE: i64 = 4;

/// Limit prices of single lots of one area, per period and side, in merit order.
type Lots = [[Vec<i64>; 2]; 2];

fn book(seed: &mut Seed) -> (AuctionBook, Lots) {
    let mut book = AuctionBook::new(Frame {
        price_min: 0,
        price_max: 12,
        periods: PERIODS,
        areas: vec!["A".into()],
        lines: Vec::new(),
        welfare_scale: SCALE,
    });
    let mut lots = Lots::default();
    for number in 0..seed.within(1, 8) {
        let period = u16::try_from(seed.below(i64::from(PERIODS))).unwrap();
        let point = Point { price: seed.below(13), quantity: seed.within(1, 3) };
        let side = [Side::Buy, Side::Sell][seed.index(2)];
        for _ in 0..point.quantity {
            lots[usize::from(period)][usize::from(side == Side::Sell)].push(point.price);
        }
        let order = CurveOrder { area: 0, period, shape: Shape::Step(side), points: vec![point] };
        book.insert_curve(&format!("c{number}"), order);
    }
    for [buys, sells] in &mut lots {
        buys.sort_unstable_by_key(|&price| -price);
        sells.sort_unstable();
    }
    (book, lots)
}

fn blocks(seed: &mut Seed, book: &mut AuctionBook) -> Vec<BlockOrder> {
    let count = seed.within(0, 3);
    let mut blocks: Vec<BlockOrder> = Vec::new();
    for number in 0..count {
        let periods = [vec![0], vec![1], vec![0, 1]][seed.index(3)].clone();
        let order = BlockOrder {
            area: 0,
            side: [Side::Buy, Side::Sell][seed.index(2)],
            price: seed.below(13),
            quantity: periods.into_iter().map(|period| (period, seed.within(1, 5))).collect(),
            ratio_min: [1_000_000, 500_000, 1][seed.index(3)],
            parent: (number > 0 && seed.below(4) == 0).then_some(BlockHandle(0)),
            group: (seed.below(3) == 0).then_some(7),
        };
        book.insert_block(&format!("b{number}"), order.clone());
        blocks.push(order);
    }
    blocks
}

fn complex(seed: &mut Seed, book: &mut AuctionBook) -> Vec<ComplexOrder> {
    let mut orders = Vec::new();
    for number in 0..seed.within(0, 1) {
        let side = [Side::Buy, Side::Sell][seed.index(2)];
        let curve = (0..PERIODS)
            .map(|period| {
                let points: Vec<Point> = (0..seed.within(1, 2))
                    .map(|_| Point { price: seed.below(13), quantity: seed.within(1, 2) })
                    .collect();
                let most: i64 = points.iter().map(|point| point.quantity).sum();
                ComplexPeriod { period, quantity_min: seed.within(0, most), points }
            })
            .collect();
        let order = ComplexOrder { area: 0, side, fixed: i128::from(seed.below(30)), curve };
        book.insert_complex(&format!("x{number}"), order.clone());
        orders.push(order);
    }
    orders
}

/// What the orders do to the lots of two periods and to welfare; every way of accepting them.
#[derive(Clone, Copy, Default)]
struct Way {
    injected: [i64; 2],
    welfare: i128,
    group: i64,
    /// Ratio of the first block, the one that may have children.
    first: i64,
}

fn ways(blocks: &[BlockOrder], complex: &[ComplexOrder]) -> Vec<Way> {
    let mut ways = vec![Way::default()];
    for (number, block) in blocks.iter().enumerate() {
        // The least ratio of each quantity, and for a parent also the greatest: it leaves its children
        // the most room. A ratio that leaves a period without a lot is none.
        let step = |part: i64, lots: i64| (part * 1_000_000 + lots - 1) / lots;
        let mut ratios: Vec<i64> = block
            .quantity
            .iter()
            .flat_map(|&(_, lots)| {
                (1..=lots).flat_map(move |part| [step(part, lots), step(part + 1, lots) - 1])
            })
            .chain([i64::from(block.ratio_min)])
            .map(|ratio| ratio.min(1_000_000))
            .filter(|&ratio| ratio >= i64::from(block.ratio_min))
            .collect();
        ratios.sort_unstable();
        ratios.dedup();
        let mut more = Vec::new();
        for way in &ways {
            for &ratio in &ratios {
                let mut way = *way;
                way.group += if block.group.is_some() { ratio } else { 0 };
                let some_period_without = block.quantity.iter().any(|it| it.1 * ratio < 1_000_000);
                let beyond_parent = block.parent.is_some() && ratio > way.first;
                if way.group > 1_000_000 || some_period_without || beyond_parent {
                    continue;
                }
                if number == 0 {
                    way.first = ratio;
                }
                for &(period, lots) in &block.quantity {
                    let accepted = lots * ratio / 1_000_000 * block.side.sign();
                    way.injected[usize::from(period)] += accepted;
                    way.welfare -= i128::from(accepted * block.price * SCALE);
                }
                more.push(way);
            }
        }
        ways.extend(more);
    }
    for order in complex {
        let mut active: Vec<Way> =
            ways.iter().map(|way| Way { welfare: way.welfare - order.fixed, ..*way }).collect();
        for curve in &order.curve {
            let mut lots: Vec<i64> =
                curve.points.iter().flat_map(|point| (0..point.quantity).map(move |_| point.price)).collect();
            lots.sort_unstable_by_key(|&price| price * order.side.sign());
            let mut more = Vec::new();
            for accepted in usize::try_from(curve.quantity_min).unwrap()..=lots.len() {
                let value = lots[..accepted].iter().sum::<i64>() * order.side.sign() * SCALE;
                let injected = i64::try_from(accepted).unwrap() * order.side.sign();
                more.extend(active.iter().map(|way| {
                    let mut way = *way;
                    way.injected[usize::from(curve.period)] += injected;
                    way.welfare -= i128::from(value);
                    way
                }));
            }
            active = more;
        }
        ways.extend(active);
    }
    ways
}

/// The best that curves add in one period when `injected` lots must go, or nothing if they cannot.
fn best(lots: &[Vec<i64>; 2], injected: i64) -> Option<i128> {
    let [buys, sells] = lots;
    (0..=sells.len())
        .filter_map(|sold| {
            let bought = usize::try_from(i64::try_from(sold).unwrap() + injected).ok()?;
            let wanted = buys.get(..bought)?;
            Some(i128::from((wanted.iter().sum::<i64>() - sells[..sold].iter().sum::<i64>()) * SCALE))
        })
        .max()
}

/// Clears without searching for decisions: everything is rejected.
fn clear(book: &AuctionBook) -> Outcome {
    let mut clearing = Clearing::start_within(book, Limit { work: 0, ..Limit::default() });
    while clearing.advance(book, 1_000) != Progress::Done {}
    clearing.into_outcome().unwrap()
}

#[test]
fn no_acceptance_of_blocks_and_complex_orders_has_more_welfare_than_the_bound() {
    let mut tight = 0;
    for number in 0..4_000_u64 {
        let mut seed = Seed::new(number + 3_000_000);
        let (mut book, lots) = book(&mut seed);
        let blocks = blocks(&mut seed, &mut book);
        let complex = complex(&mut seed, &mut book);
        let outcome = clear(&book);
        assert_eq!(verify(&book, &outcome).err(), None, "auction {number}");
        let most = ways(&blocks, &complex)
            .into_iter()
            .filter_map(|way| {
                let curves = best(&lots[0], way.injected[0])? + best(&lots[1], way.injected[1])?;
                Some(way.welfare + curves)
            })
            .max()
            .unwrap();
        assert!(outcome.welfare <= most && most <= outcome.bound, "auction {number}: {most}, {outcome:?}");
        tight += u64::from(most == outcome.bound);
    }
    assert!(tight > 1_000, "the bound is often met: {tight}");
}

#[test]
fn reasons_of_rejected_blocks_follow_price_and_parent() {
    let mut book = AuctionBook::new(Frame {
        price_min: 0,
        price_max: 100,
        periods: 1,
        areas: vec!["A".into()],
        lines: Vec::new(),
        welfare_scale: 1,
    });
    for (id, side, price) in [("b", Side::Buy, 50), ("s", Side::Sell, 50)] {
        let points = vec![Point { price, quantity: 10 }];
        book.insert_curve(id, CurveOrder { area: 0, period: 0, shape: Shape::Step(side), points });
    }
    let block = |price, parent| BlockOrder {
        area: 0,
        side: Side::Sell,
        price,
        quantity: vec![(0, 4)],
        ratio_min: 1_000_000,
        parent,
        group: None,
    };
    let dear = book.insert_block("dear", block(60, None));
    book.insert_block("child", block(40, Some(dear)));
    book.insert_block("lone", block(45, None));
    book.insert_block("at the price", block(50, None));
    let outcome = clear(&book);
    let reasons: Vec<(Rejection, i128)> =
        outcome.blocks_rejected.iter().map(|it| (it.reason, it.surplus)).collect();
    let expected = [
        (Rejection::OutOfTheMoney, -40),
        (Rejection::ParentRejected, 40),
        (Rejection::WorkLimit, 20),
        (Rejection::OutOfTheMoney, 0),
    ];
    assert_eq!(reasons, expected);
    assert_eq!(outcome.bound, outcome.welfare + 20);
}
