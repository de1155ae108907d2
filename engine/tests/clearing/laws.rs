//! Laws that hold for auctions of any size.

use crate::tiny::{self, Auction, Seed, Size};
use crate::{clear, clear_in};
use merit_engine::auction::{CurveOrder, Point, Shape, Side};
use merit_engine::book::AuctionBook;
use merit_engine::outcome::{Fill, Outcome};
use merit_engine::verify::verify;

const SIZES: [Size; 2] = [
    Size {
        periods: 4,
        areas: 6,
        lines: 9,
        capacity: 400,
        orders: 120,
        points: 6,
        lots: 300,
        ticks: 500,
        linear_every: 5,
    },
    Size {
        periods: 2,
        areas: 13,
        lines: 20,
        capacity: 30,
        orders: 200,
        points: 3,
        lots: 20,
        ticks: 6,
        linear_every: 40,
    },
];

fn auctions() -> impl Iterator<Item = (u64, Seed, Auction)> {
    (0..300_u64).map(|number| {
        let mut seed = Seed::new(number + 1_000_000);
        let size = &SIZES[seed.index(SIZES.len())];
        let auction = tiny::auction(&mut seed, size);
        (number, seed, auction)
    })
}

/// Fills by order id, for books whose handles differ.
fn by_id(book: &AuctionBook, outcome: &Outcome) -> Vec<(String, Fill)> {
    let id = |handle| book.curve_id(handle).unwrap().into();
    let mut fills: Vec<(String, Fill)> =
        outcome.fills(book).map(|(handle, fill)| (id(handle), fill)).collect();
    fills.sort_by(|a, b| a.0.cmp(&b.0));
    fills
}

#[test]
fn the_order_of_orders_lines_and_areas_changes_nothing() {
    for (number, mut seed, auction) in auctions() {
        let mut other = auction.clone();
        seed.shuffle(&mut other.orders);
        seed.shuffle(&mut other.frame.lines);
        let mut areas: Vec<usize> = (0..auction.frame.areas.len()).collect();
        seed.shuffle(&mut areas);
        let place =
            |old: u16| u16::try_from(areas.iter().position(|&it| it == usize::from(old)).unwrap()).unwrap();
        other.frame.areas = areas.iter().map(|&old| auction.frame.areas[old].clone()).collect();
        for line in &mut other.frame.lines {
            (line.from, line.to) = (place(line.from), place(line.to));
        }
        for (_, order) in &mut other.orders {
            order.area = place(order.area);
        }
        let (one, two) = (clear(&auction.book()), clear(&other.book()));
        assert_eq!(one.welfare, two.welfare, "auction {number}");
        assert_eq!(by_id(&auction.book(), &one), by_id(&other.book(), &two), "auction {number}");
        let width = areas.len();
        for period in 0..usize::from(auction.frame.periods) {
            for (new, &old) in areas.iter().enumerate() {
                assert_eq!(one.prices[period * width + old], two.prices[period * width + new]);
            }
            for (at, line) in auction.frame.lines.iter().enumerate() {
                let lines = auction.frame.lines.len();
                let moved = other.frame.lines.iter().position(|it| it.id == line.id).unwrap();
                let (before, after) = (one.flows[period * lines + at], two.flows[period * lines + moved]);
                assert_eq!(before, after, "auction {number}, line {}", line.id);
            }
        }
    }
}

#[test]
fn orders_that_came_and_went_leave_no_trace() {
    for (number, mut seed, auction) in auctions() {
        let passing = tiny::auction(&mut seed, &SIZES[0]);
        let mut book = merit_engine::book::AuctionBook::new(auction.frame.clone());
        let mut kept = Vec::new();
        let mut gone = Vec::new();
        let mut stay = auction.orders.iter();
        let mut pass = passing.orders.iter().filter(|(_, order)| {
            usize::from(order.area) < auction.frame.areas.len() && order.period < auction.frame.periods
        });
        loop {
            let next = match seed.below(3) {
                0 => stay.next().map(|(id, order)| kept.push(book.insert_curve(id, order.clone()))),
                1 => pass.next().map(|(id, order)| gone.push((book.insert_curve(id, order.clone()), order))),
                _ if gone.is_empty() => None,
                _ => {
                    let (handle, order) = gone.swap_remove(seed.index(gone.len()));
                    assert_eq!(book.remove_curve(handle).as_ref(), Some(order));
                    assert_eq!(book.remove_curve(handle), None);
                    Some(())
                }
            };
            if next.is_none() && kept.len() == auction.orders.len() {
                break;
            }
        }
        for (handle, order) in gone {
            assert_eq!(book.remove_curve(handle).as_ref(), Some(order));
        }
        let (never, went) = (clear(&auction.book()), clear(&book));
        assert_eq!((&never.prices, &never.flows), (&went.prices, &went.flows), "auction {number}");
        assert_eq!(never.welfare, went.welfare);
        assert_eq!(by_id(&auction.book(), &never), by_id(&book, &went), "auction {number}");
        for (slot, handle) in kept.iter().enumerate() {
            assert_eq!(book.curve_id(*handle), Some(auction.orders[slot].0.as_str()));
        }
        let all: i64 = went.curves.iter().map(|it| it.bought + it.sold).sum();
        assert_eq!(all, never.curves.iter().map(|it| it.bought + it.sold).sum::<i64>(), "auction {number}");
    }
}

#[test]
fn the_size_of_quanta_changes_nothing() {
    for (number, mut seed, auction) in auctions() {
        let book = auction.book();
        let whole = clear(&book);
        assert_eq!(clear_in(&book, 1), whole, "auction {number}");
        assert_eq!(clear_in(&book, 0), whole, "auction {number}");
        let quantum = u64::try_from(seed.within(2, 60)).unwrap();
        assert_eq!(clear_in(&book, quantum), whole, "auction {number}, quantum {quantum}");
    }
}

#[test]
fn large_networks_and_huge_quantities_pass_the_verifier() {
    const MOST: i64 = 1_000_000_000_000;
    for number in 0..200_u64 {
        let mut seed = Seed::new(number + 2_000_000);
        let (areas, lines) = if number % 10 == 0 { (256, 1_000) } else { (40, 90) };
        let lots = [9, 100_000, MOST][seed.index(3)];
        let ticks = [3, 1_000, MOST][seed.index(3)];
        let size = Size {
            periods: 1,
            areas,
            lines,
            capacity: lots,
            orders: 400,
            points: 4,
            lots,
            ticks,
            linear_every: 6,
        };
        let book = tiny::auction(&mut seed, &size).book();
        let outcome = clear(&book);
        assert_eq!(verify(&book, &outcome).err(), None, "auction {number}");
    }
}

#[test]
fn ties_of_ten_thousand_orders_pass_the_verifier() {
    let size = Size {
        periods: 1,
        areas: 1,
        lines: 0,
        capacity: 0,
        orders: 3,
        points: 2,
        lots: 5,
        ticks: 3,
        linear_every: 0,
    };
    for number in 0..4_u64 {
        let mut seed = Seed::new(number + 4_000_000);
        let mut auction = tiny::auction(&mut seed, &size);
        let (low, high) = (auction.frame.price_min, auction.frame.price_max);
        for order in 0..10_000 {
            let side = [Side::Buy, Side::Sell][seed.index(2)];
            let points = vec![Point { price: seed.within(low, high), quantity: seed.within(1, 9) }];
            let order_id = format!("many{}", order * 7_919 % 10_007);
            auction
                .orders
                .push((order_id, CurveOrder { area: 0, period: 0, shape: Shape::Step(side), points }));
        }
        let book = auction.book();
        let outcome = clear(&book);
        assert_eq!(verify(&book, &outcome).err(), None, "auction {number}");
        assert_eq!(clear_in(&book, 1), outcome, "auction {number}");
    }
}

#[test]
fn a_book_cleared_twice_gives_the_same_result() {
    for (number, _, auction) in auctions().take(50) {
        let book = auction.book();
        assert_eq!(clear(&book), clear(&book.clone()), "auction {number}");
    }
}
