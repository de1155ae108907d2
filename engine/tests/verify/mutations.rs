//! Results of clearing with one number changed: the rules leave one result, so every change breaks
//! one of them.

use crate::broken;
use crate::tiny::{self, Auction, Seed, Size};
use merit_engine::auction::Shape;
use merit_engine::book::AuctionBook;
use merit_engine::clearing::{Clearing, Progress};
use merit_engine::outcome::Outcome;

const AUCTIONS: u64 = 400;
const SIZE: Size = Size {
    periods: 2,
    areas: 5,
    lines: 7,
    capacity: 40,
    orders: 40,
    points: 4,
    lots: 30,
    ticks: 12,
    linear_every: 6,
};

fn clear(book: &AuctionBook) -> Outcome {
    let mut clearing = Clearing::start(book);
    while clearing.advance(book, u64::MAX) != Progress::Done {}
    clearing.into_outcome().unwrap()
}

/// Runs `change` on the result of every auction; it returns what it did, or nothing if it found
/// nothing to change. Every change must be caught, and at least `least` must have been made.
fn check(least: usize, mut change: impl FnMut(&mut Seed, &Auction, &mut Outcome) -> Option<String>) {
    let mut made = 0;
    for number in 0..AUCTIONS {
        let mut seed = Seed::new(number);
        let auction = tiny::auction(&mut seed, &SIZE);
        let book = auction.book();
        let outcome = clear(&book);
        assert_eq!(broken(&book, &outcome), [""; 0], "auction {number} as cleared");
        for _ in 0..5 {
            let mut changed = outcome.clone();
            let Some(what) = change(&mut seed, &auction, &mut changed) else { continue };
            made += 1;
            let found = broken(&book, &changed);
            assert!(!found.is_empty(), "auction {number}: {what} was not caught");
        }
    }
    assert!(made >= least, "only {made} changes made");
}

fn either(seed: &mut Seed) -> i64 {
    seed.below(2) * 2 - 1
}

#[test]
fn a_price_one_tick_off_is_caught() {
    check(2_000, |seed, _, outcome| {
        let place = seed.index(outcome.prices.len());
        let by = either(seed);
        outcome.prices[place] += by;
        Some(format!("price {place} changed by {by}"))
    });
}

#[test]
fn a_flow_one_lot_off_is_caught() {
    check(1_000, |seed, _, outcome| {
        if outcome.flows.is_empty() {
            return None;
        }
        let place = seed.index(outcome.flows.len());
        let by = either(seed);
        outcome.flows[place] += by;
        Some(format!("flow {place} changed by {by}"))
    });
}

#[test]
fn a_fill_one_lot_off_is_caught() {
    check(1_500, |seed, _, outcome| {
        if outcome.curves.is_empty() {
            return None;
        }
        let place = seed.index(outcome.curves.len());
        let by = either(seed);
        let fill = &mut outcome.curves[place];
        let side = if seed.below(2) == 0 { &mut fill.bought } else { &mut fill.sold };
        *side += by;
        Some(format!("fill {place} changed by {by}"))
    });
}

#[test]
fn a_dropped_fill_is_caught() {
    check(500, |seed, _, outcome| {
        let filled: Vec<usize> = (0..outcome.curves.len())
            .filter(|&it| outcome.curves[it].bought + outcome.curves[it].sold > 0)
            .collect();
        let place = *filled.get(seed.index(filled.len().max(1)))?;
        outcome.curves[place] = merit_engine::outcome::Fill::default();
        Some(format!("fill {place} dropped"))
    });
}

#[test]
fn a_lot_bought_and_sold_beside_the_market_is_caught() {
    check(1_500, |seed, _, outcome| {
        if outcome.curves.is_empty() {
            return None;
        }
        let place = seed.index(outcome.curves.len());
        outcome.curves[place].bought += 1;
        outcome.curves[place].sold += 1;
        Some(format!("order {place} trades a lot with itself"))
    });
}

#[test]
fn a_lot_moved_between_orders_of_an_area_is_caught() {
    check(400, |seed, auction, outcome| {
        let twins = |a: usize, b: usize| {
            let (a, b) = (&auction.orders[a].1, &auction.orders[b].1);
            (a.area, a.period, a.shape) == (b.area, b.period, b.shape) && a.shape != Shape::Linear
        };
        let count = auction.orders.len();
        let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        let pairs: Vec<_> = pairs.filter(|&(from, to)| from != to && twins(from, to)).collect();
        let &(from, to) = pairs.get(seed.index(pairs.len().max(1)))?;
        let buys = outcome.curves[from].bought > 0;
        if !buys && outcome.curves[from].sold == 0 {
            return None;
        }
        if buys {
            outcome.curves[from].bought -= 1;
            outcome.curves[to].bought += 1;
        } else {
            outcome.curves[from].sold -= 1;
            outcome.curves[to].sold += 1;
        }
        Some(format!("a lot moved from order {from} to order {to}"))
    });
}

#[test]
fn welfare_or_bound_one_unit_off_is_caught() {
    check(2_000, |seed, _, outcome| {
        let by = i128::from(either(seed));
        if seed.below(2) == 0 {
            outcome.welfare += by;
        } else {
            outcome.bound += by;
        }
        Some(format!("welfare or bound changed by {by}"))
    });
}

#[test]
fn no_number_in_a_result_can_stop_the_judge() {
    let extremes = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    for number in 0..AUCTIONS {
        let mut seed = Seed::new(number);
        let auction = tiny::auction(&mut seed, &SIZE);
        let book = auction.book();
        let outcome = clear(&book);
        for _ in 0..10 {
            let mut changed = outcome.clone();
            let mut wreck = |list: &mut [i64]| {
                for value in list {
                    if seed.below(3) == 0 {
                        *value = extremes[seed.index(extremes.len())];
                    }
                }
            };
            wreck(&mut changed.flows);
            for fill in &mut changed.curves {
                let mut both = [fill.bought, fill.sold];
                wreck(&mut both);
                [fill.bought, fill.sold] = both;
            }
            if number % 4 == 0 {
                wreck(&mut changed.prices);
            }
            changed.welfare = i128::MAX;
            changed.bound = i128::MIN;
            assert!(!broken(&book, &changed).is_empty());
        }
    }
}
