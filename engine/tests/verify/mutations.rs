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

/// Few prices and lots, wide lines: ties everywhere.
const TIED: Size = Size {
    periods: 1,
    areas: 4,
    lines: 6,
    capacity: 12,
    orders: 16,
    points: 2,
    lots: 4,
    ticks: 3,
    linear_every: 9,
};

fn clear(book: &AuctionBook) -> Outcome {
    let mut clearing = Clearing::start(book);
    while clearing.advance(book, u64::MAX) != Progress::Done {}
    clearing.into_outcome().unwrap()
}

/// Runs `change` on the result of every auction; it returns what it did, or nothing if it found
/// nothing to change. Every change must be caught, and at least `least` must have been made.
fn check(least: usize, change: impl FnMut(&mut Seed, &Auction, &mut Outcome) -> Option<String>) {
    check_of(&SIZE, AUCTIONS, least, change);
}

fn check_of(
    size: &Size,
    auctions: u64,
    least: usize,
    mut change: impl FnMut(&mut Seed, &Auction, &mut Outcome) -> Option<String>,
) {
    let mut made = 0;
    for number in 0..auctions {
        let mut seed = Seed::new(number);
        let mut auction = tiny::auction(&mut seed, size);
        // As fills stand in an outcome.
        auction.orders.sort_by_key(|(_, it)| (it.period, it.area));
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

/// A lot more flows along `line` in its direction or against it.
fn send(outcome: &mut Outcome, line: usize, forward: bool) {
    outcome.flows[line] += if forward { 1 } else { -1 };
}

/// A random walk over lines from an area; the lines walked, with their directions, and its end.
fn walk(seed: &mut Seed, auction: &Auction, start: u16, steps: usize) -> (Vec<(usize, bool)>, u16) {
    let (mut at, mut way) = (start, Vec::new());
    for _ in 0..steps {
        let lines: Vec<(usize, bool, u16)> = (0..)
            .zip(&auction.frame.lines)
            .filter_map(|(number, line)| match at {
                _ if way.iter().any(|it: &(usize, bool)| it.0 == number) => None,
                _ if line.from == at => Some((number, true, line.to)),
                _ if line.to == at => Some((number, false, line.from)),
                _ => None,
            })
            .collect();
        let Some(&(line, forward, end)) = lines.get(seed.index(lines.len().max(1))) else { break };
        way.push((line, forward));
        at = end;
    }
    (way, at)
}

#[test]
fn a_lot_traded_in_another_area_instead_is_caught() {
    check_of(&TIED, 8_000, 2_000, |seed, auction, outcome| {
        let count = auction.orders.len();
        let (from, to) = (seed.index(count.max(1)), seed.index(count.max(1)));
        let (a, b) = (&auction.orders.get(from)?.1, &auction.orders.get(to)?.1);
        let steps = seed.index(3) + 1;
        let (way, end) = walk(seed, auction, a.area, steps);
        if end != b.area || a.area == b.area {
            return None;
        }
        for (line, forward) in way {
            send(outcome, line, forward);
        }
        // What leaves `a` is sold there or bought there no more; the reverse where it arrives.
        let sells = outcome.curves[to].sold > 0;
        if sells {
            outcome.curves[from].sold += 1;
            outcome.curves[to].sold -= 1;
        } else if outcome.curves[from].bought > 0 {
            outcome.curves[from].bought -= 1;
            outcome.curves[to].bought += 1;
        } else {
            return None;
        }
        Some(format!("a lot of order {to} goes to order {from}"))
    });
}

#[test]
fn a_lot_sent_round_a_circle_is_caught() {
    check_of(&TIED, 8_000, 4_000, |seed, auction, outcome| {
        let areas = auction.frame.areas.len();
        let start = u16::try_from(seed.index(areas)).unwrap();
        let steps = seed.index(3) + 2;
        let (way, end) = walk(seed, auction, start, steps);
        if end != start || way.is_empty() {
            return None;
        }
        for (line, forward) in &way {
            send(outcome, *line, *forward);
        }
        Some(format!("a lot sent along {way:?}"))
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
