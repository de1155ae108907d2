//! Worked examples of rule books and of the format page.

use crate::clear;
use merit_engine::auction::{CurveOrder, Frame, Line, Point, Shape, Side};
use merit_engine::book::AuctionBook;
use merit_engine::outcome::Outcome;

const BUY: Shape = Shape::Step(Side::Buy);
const SELL: Shape = Shape::Step(Side::Sell);

fn book(bounds: (i64, i64), areas: &[&str], lines: &[(&str, u16, u16, i64, i64)]) -> AuctionBook {
    AuctionBook::new(Frame {
        price_min: bounds.0,
        price_max: bounds.1,
        periods: 1,
        areas: areas.iter().map(|&id| id.into()).collect(),
        lines: lines
            .iter()
            .map(|&(id, from, to, capacity, back)| Line {
                id: id.into(),
                from,
                to,
                capacity: vec![capacity],
                capacity_back: vec![back],
            })
            .collect(),
        welfare_scale: 1,
    })
}

fn insert(book: &mut AuctionBook, id: &str, area: u16, shape: Shape, points: &[(i64, i64)]) {
    let points = points.iter().map(|&(price, quantity)| Point { price, quantity }).collect();
    book.insert_curve(id, CurveOrder { area, period: 0, shape, points });
}

fn fills(book: &AuctionBook, outcome: &Outcome) -> Vec<(i64, i64)> {
    outcome.fills(book).map(|(_, it)| (it.bought, it.sold)).collect()
}

#[test]
fn indian_training_example_clears_where_the_net_is_zero() {
    // Nets 120, 100, 80, 80, 20, 0, −20, −21, −80 as a ladder; the market price 2.5 and volume 60 lie
    // where buys and sells of the portfolios meet. One lot is 1 MW, one tick 0.1.
    let mut book = book((0, 50), &["A"], &[]);
    let portfolios: [&[(i64, i64)]; 3] = [
        &[(0, 60), (5, 50), (10, 40), (15, 40), (20, 20), (25, 20), (30, 0), (35, 0), (40, 0)],
        &[(0, 60), (5, 50), (10, 40), (15, 40), (20, 40), (25, 40), (30, 40), (35, 39), (40, 0)],
        &[(0, 0), (5, 0), (10, 0), (15, 0), (20, -40), (25, -60), (30, -60), (35, -60), (40, -80)],
    ];
    for (number, points) in portfolios.iter().enumerate() {
        insert(&mut book, &format!("p{number}"), 0, Shape::Linear, points);
    }
    let outcome = clear(&book);
    assert_eq!(outcome.prices, [25]);
    assert_eq!(outcome.curves.iter().map(|it| it.bought).sum::<i64>(), 60);
    assert_eq!(outcome.curves.iter().map(|it| it.sold).sum::<i64>(), 60);
}

#[test]
fn price_between_a_buy_and_a_sell_is_the_mid_point_rounded_up() {
    let mut book = book((0, 100), &["A"], &[]);
    insert(&mut book, "b", 0, BUY, &[(41, 10)]);
    insert(&mut book, "s", 0, SELL, &[(30, 10)]);
    let outcome = clear(&book);
    assert_eq!(outcome.prices, [36]);
    assert_eq!(fills(&book, &outcome), [(10, 0), (0, 10)]);
    assert_eq!(outcome.welfare, 110);
}

#[test]
fn an_empty_book_clears_in_the_middle_of_the_bounds() {
    let outcome = clear(&book((-500, 4_000), &["A", "B"], &[("l", 0, 1, 5, 5)]));
    assert_eq!(outcome.prices, [1_750, 1_750]);
    assert_eq!(outcome.flows, [0]);
    assert_eq!(outcome.welfare, 0);
}

#[test]
fn buyers_alone_drive_the_price_to_where_nobody_buys() {
    let mut book = book((0, 100), &["A"], &[]);
    insert(&mut book, "b", 0, BUY, &[(40, 10)]);
    let outcome = clear(&book);
    assert_eq!(outcome.prices, [70]);
    assert_eq!(fills(&book, &outcome), [(0, 0)]);
}

#[test]
fn scarcity_clears_at_the_cap_and_is_shared_by_volume() {
    let mut book = book((0, 100), &["A"], &[]);
    insert(&mut book, "a", 0, BUY, &[(100, 60)]);
    insert(&mut book, "b", 0, BUY, &[(100, 30)]);
    insert(&mut book, "c", 0, BUY, &[(100, 11)]);
    insert(&mut book, "s", 0, SELL, &[(20, 50)]);
    let outcome = clear(&book);
    assert_eq!(outcome.prices, [100]);
    // 50 of 101: 29.70, 14.85, 5.44; the two lots left over go to the largest remainders.
    assert_eq!(fills(&book, &outcome), [(30, 0), (15, 0), (5, 0), (0, 50)]);
}

#[test]
fn at_the_cap_an_area_serves_itself_before_it_exports() {
    // Together 60 for 100 at the cap. Shared alike it would be 30 and 30; A serves its own 40 first.
    let mut book = book((0, 100), &["A", "B"], &[("l", 0, 1, 1_000, 1_000)]);
    insert(&mut book, "a", 0, BUY, &[(100, 50)]);
    insert(&mut book, "b", 1, BUY, &[(100, 50)]);
    insert(&mut book, "s", 0, SELL, &[(10, 40)]);
    insert(&mut book, "t", 1, SELL, &[(10, 20)]);
    let outcome = clear(&book);
    assert_eq!(outcome.prices, [100, 100]);
    assert_eq!(fills(&book, &outcome), [(40, 0), (20, 0), (0, 40), (0, 20)]);
    assert_eq!(outcome.flows, [0]);
}

#[test]
fn a_full_line_splits_prices_and_an_open_one_does_not() {
    for (capacity, prices) in [(99, [20, 60]), (150, [20, 20])] {
        let mut book = book((0, 100), &["CHEAP", "DEAR"], &[("l", 0, 1, capacity, 0)]);
        insert(&mut book, "s", 0, SELL, &[(20, 500)]);
        insert(&mut book, "t", 1, SELL, &[(60, 500)]);
        insert(&mut book, "b", 1, BUY, &[(90, 120)]);
        let outcome = clear(&book);
        assert_eq!(outcome.prices, prices);
        assert_eq!(outcome.flows, [capacity.min(120)]);
    }
}

#[test]
fn parallel_lines_share_a_flow_evenly_and_the_odd_lot_goes_by_id() {
    let mut book = book((0, 9), &["A", "B"], &[("l2", 0, 1, 9, 9), ("l1", 1, 0, 9, 9)]);
    insert(&mut book, "s", 0, SELL, &[(1, 7)]);
    insert(&mut book, "b", 1, BUY, &[(8, 7)]);
    let outcome = clear(&book);
    // l1 runs B → A: its flow is −3 or −4, and the least comes first.
    assert_eq!(outcome.flows, [3, -4]);
}

#[test]
fn ties_across_areas_are_shared_by_what_is_offered() {
    let mut book = book((0, 9), &["A", "B"], &[("l", 0, 1, 99, 99)]);
    insert(&mut book, "s", 0, SELL, &[(5, 30)]);
    insert(&mut book, "t", 1, SELL, &[(5, 10)]);
    insert(&mut book, "b", 1, BUY, &[(9, 20)]);
    let outcome = clear(&book);
    assert_eq!(outcome.prices, [5, 5]);
    assert_eq!(fills(&book, &outcome), [(0, 15), (0, 5), (20, 0)]);
    assert_eq!(outcome.flows, [15]);
}

#[test]
fn a_tie_that_nothing_else_settles_goes_to_the_later_area_id() {
    // N and M offer alike and send alike: of three lots the least by id gets one.
    let mut book = book((0, 9), &["N", "C", "M"], &[("l", 0, 1, 9, 9), ("k", 2, 1, 9, 9)]);
    insert(&mut book, "s", 0, SELL, &[(5, 2)]);
    insert(&mut book, "t", 2, SELL, &[(5, 2)]);
    insert(&mut book, "b", 1, BUY, &[(9, 3)]);
    let outcome = clear(&book);
    assert_eq!(fills(&book, &outcome), [(0, 2), (0, 1), (3, 0)]);
    assert_eq!(outcome.flows, [2, 1]);
}

#[test]
fn quantities_and_prices_at_the_limits_do_not_overflow() {
    use merit_engine::limits::{LOTS_MAX, PRICE_TICKS_MAX};
    let lines = [("l", 0, 1, LOTS_MAX, LOTS_MAX), ("m", 0, 1, LOTS_MAX, LOTS_MAX), ("n", 1, 0, LOTS_MAX, 0)];
    let mut book = book((-PRICE_TICKS_MAX, PRICE_TICKS_MAX), &["A", "B"], &lines);
    for number in 0..50_i64 {
        insert(&mut book, &format!("s{number}"), 0, SELL, &[(-PRICE_TICKS_MAX + number, LOTS_MAX)]);
        insert(&mut book, &format!("b{number}"), 1, BUY, &[(PRICE_TICKS_MAX - number, LOTS_MAX)]);
        let slope = [(-PRICE_TICKS_MAX, LOTS_MAX - number), (PRICE_TICKS_MAX, -LOTS_MAX)];
        insert(&mut book, &format!("l{number}"), 1, Shape::Linear, &slope);
    }
    let outcome = clear(&book);
    let (bought, sold): (Vec<i64>, Vec<i64>) = fills(&book, &outcome).into_iter().unzip();
    assert_eq!(bought.iter().sum::<i64>(), sold.iter().sum::<i64>());
    assert_eq!(outcome.flows[0] + outcome.flows[1] - outcome.flows[2], LOTS_MAX * 2);
}
