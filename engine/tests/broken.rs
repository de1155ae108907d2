//! A deliberately broken search: every corrupted decision is caught by the verifier, every time.
//!
//! `cargo test -p merit-engine --features broken-search --test broken`

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use merit_engine::auction::{
    BlockHandle, BlockOrder, ComplexOrder, ComplexPeriod, CurveOrder, Frame, Line, Point, Shape, Side,
};
use merit_engine::book::AuctionBook;
use merit_engine::clearing::{Clearing, Fault, Limit, Progress};
use merit_engine::verify::verify;

struct Dice(u64);

impl Dice {
    /// A number in 0 .. bound.
    fn below(&mut self, bound: u32) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((self.0 >> 33) % u64::from(bound)).unwrap()
    }

    fn index(&mut self, bound: u32) -> u16 {
        u16::try_from(self.below(bound)).unwrap()
    }

    fn side(&mut self) -> Side {
        if self.below(2) == 0 { Side::Buy } else { Side::Sell }
    }
}

/// Two areas, three periods, curves, blocks with ratios, families and groups, complex orders.
fn book(dice: &mut Dice) -> AuctionBook {
    let line = Line { id: "L".into(), from: 0, to: 1, capacity: vec![6; 3], capacity_back: vec![4; 3] };
    let areas = vec!["A".into(), "B".into()];
    let frame = Frame { price_min: 0, price_max: 60, periods: 3, areas, lines: vec![line], welfare_scale: 2 };
    let mut book = AuctionBook::new(frame);
    for number in 0..24 {
        let shape = Shape::Step(dice.side());
        let points = vec![Point { price: dice.below(61), quantity: 1 + dice.below(12) }];
        let order = CurveOrder { area: dice.index(2), period: dice.index(3), shape, points };
        book.insert_curve(&format!("c{number:02}"), order);
    }
    for number in 0..6 {
        let order = BlockOrder {
            area: dice.index(2),
            side: dice.side(),
            price: 15 + dice.below(30),
            quantity: (0..=dice.index(3)).map(|period| (period, 1 + dice.below(6))).collect(),
            ratio_min: [1_000_000, 500_000, 250_000][usize::from(dice.index(3))],
            parent: (number > 0 && dice.below(4) == 0).then_some(BlockHandle(0)),
            group: (dice.below(4) == 0).then_some(1),
        };
        book.insert_block(&format!("b{number}"), order);
    }
    for number in 0..2 {
        let curve = (0..3).map(|period| {
            let points = vec![Point { price: 10 + dice.below(40), quantity: 1 + dice.below(5) }];
            ComplexPeriod { period, quantity_min: dice.below(2), points }
        });
        let curve = curve.collect();
        let order =
            ComplexOrder { area: dice.index(2), side: dice.side(), fixed: dice.below(60).into(), curve };
        book.insert_complex(&format!("x{number}"), order);
    }
    book
}

#[test]
fn every_corrupted_decision_is_caught() {
    let mut caught = [0_u32; 5];
    for seed in 0..400 {
        let book = book(&mut Dice(seed));
        let pick = usize::try_from(seed).unwrap();
        let faults =
            [Fault::Accepts(pick), Fault::Rejects(pick), Fault::Ratio(pick), Fault::Lots(pick), Fault::Bound];
        for (count, fault) in caught.iter_mut().zip(faults) {
            let mut clearing = Clearing::start_within(&book, Limit { work: 2_000, gap: 0 });
            clearing.break_search(fault);
            while clearing.advance(&book, 1_000) != Progress::Done {}
            let broken = clearing.is_broken();
            let verdict = verify(&book, &clearing.into_outcome().unwrap());
            assert_eq!(verdict.is_err(), broken, "seed {seed}: {fault:?}: {verdict:?}");
            *count += u32::from(broken);
        }
    }
    println!("caught by kind: {caught:?}");
    assert!(caught.iter().all(|it| *it > 100), "too few of a kind: {caught:?}");
}
