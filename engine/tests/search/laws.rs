//! What holds for every search: any cut into quanta gives the same result, and limits only cost welfare.

use crate::enumerate::clear;
use crate::random::{self, Auction, Seed, Size};
use merit_engine::auction::Point;
use merit_engine::clearing::{Clearing, Limit, Progress};
use merit_engine::verify::verify;

const SIZE: Size = Size {
    periods: 3,
    areas: 3,
    ticks: 9,
    curves: 20,
    lots: 9,
    blocks: 9,
    complex: 3,
    decisions: i64::MAX / 64,
};

#[test]
fn any_cut_into_quanta_gives_the_same_result() {
    for number in 0..150 {
        let auction = random::auction(&mut Seed::new(number), SIZE);
        let whole = clear(&auction, u64::MAX);
        for quantum in [1, 7, 100] {
            assert_eq!(clear(&auction, quantum), whole, "auction {number}, quantum {quantum}");
        }
    }
}

/// Blocks and complex orders with quantities and prices near the limits of the market: nothing
/// overflows, and what comes out passes the verifier.
#[test]
fn walks_over_large_numbers_pass_the_verifier() {
    let size = Size { periods: 4, areas: 4, ticks: 40, curves: 60, lots: 30, blocks: 60, complex: 6, ..SIZE };
    for number in 0..24_u32 {
        let mut auction = random::auction(&mut Seed::new(u64::from(number) + 5_000), size);
        let (lots, ticks) = (10_i64.pow(number % 9), 10_i64.pow(number / 3));
        enlarge(&mut auction, lots, ticks);
        let book = auction.book();
        let limit = Limit { work: 4_000, gap: 0 };
        let mut clearing = Clearing::start_within(&book, limit);
        while clearing.advance(&book, 500) != Progress::Done {}
        let outcome = clearing.into_outcome().unwrap();
        assert!(outcome.bound >= outcome.welfare, "auction {number}");
        verify(&book, &outcome).unwrap_or_else(|breaks| panic!("auction {number}: {breaks:?}"));
    }
}

fn enlarge(auction: &mut Auction, lots: i64, ticks: i64) {
    let grow = |point: &mut Point| {
        point.price *= ticks;
        point.quantity *= lots;
    };
    auction.frame.price_min *= ticks;
    auction.frame.price_max *= ticks;
    for line in &mut auction.frame.lines {
        line.capacity.iter_mut().chain(&mut line.capacity_back).for_each(|it| *it *= lots);
    }
    auction.curves.iter_mut().flat_map(|it| &mut it.points).for_each(grow);
    for block in &mut auction.blocks {
        block.price *= ticks;
        block.quantity.iter_mut().for_each(|it| it.1 *= lots);
    }
    for order in &mut auction.complex {
        order.fixed *= i128::from(lots) * i128::from(ticks);
        for curve in &mut order.curve {
            curve.quantity_min *= lots;
            curve.points.iter_mut().for_each(grow);
        }
    }
}
