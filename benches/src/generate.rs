//! Auctions from a seed: the shapes of `liquid` and `lumpy` days, linear portfolios, and small
//! auctions that meet every corner of the rules.
//!
//! The same seed gives the same auction on every machine: the generator has its own random numbers
//! and takes only +, −, ×, ÷ and √ of floating point, which IEEE fixes to the last bit.

mod blocks;
mod complex;
mod file;
mod recipe;
#[cfg(test)]
mod tests;

pub use recipe::{Family, Recipe};

use crate::chance::{Chance, exp, whole};
use merit_engine::auction::{BlockOrder, ComplexOrder, CurveOrder, Frame, Line, Point, Shape, Side};
use merit_engine::book::AuctionBook;

/// Ticks in one unit of price: two decimals.
const PRICE_UNIT: i64 = 100;
/// The cap of the Indian markets, Rs/MWh.
const CAP: i64 = 10_000;

/// Lines of the meshed 13-area network, by area index.
const LINES_13: [(u16, u16); 19] = [
    (0, 1),
    (1, 2),
    (0, 2),
    (2, 3),
    (3, 4),
    (4, 5),
    (3, 5),
    (1, 6),
    (6, 7),
    (7, 8),
    (2, 6),
    (7, 9),
    (9, 10),
    (10, 11),
    (9, 11),
    (8, 10),
    (5, 12),
    (4, 7),
    (12, 9),
];
const LINES_5: [(u16, u16); 6] = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (1, 3)];

/// An auction as parts, from which a book or a file can be made.
#[derive(Clone, Debug)]
pub struct Auction {
    /// What it is.
    pub name: String,
    /// Minutes of one period.
    pub period_minutes: u16,
    /// The frame; price ticks of 0.01, lots of 0.1 MW.
    pub frame: Frame,
    /// (order id, member, order).
    pub orders: Vec<(String, String, CurveOrder)>,
    /// (order id, order); parents come before their children, and ids ascend.
    pub blocks: Vec<(String, BlockOrder)>,
    /// (order id, order); ids ascend.
    pub complex: Vec<(String, ComplexOrder)>,
}

impl Auction {
    /// A book with every order in it.
    #[must_use]
    pub fn book(&self) -> AuctionBook {
        let mut book = AuctionBook::new(self.frame.clone());
        for (id, _, order) in &self.orders {
            book.insert_points(id, order.area, order.period, order.shape, &order.points);
        }
        for (id, order) in &self.blocks {
            book.insert_block(id, order.clone());
        }
        for (id, order) in &self.complex {
            book.insert_complex(id, order.clone());
        }
        book
    }

    /// Points of all curve orders.
    #[must_use]
    pub fn points(&self) -> usize {
        self.orders.iter().map(|(_, _, order)| order.points.len()).sum()
    }
}

/// Load, sun and wind of a period, as shares of their peak.
fn weather(period: u16, periods: u16) -> (f64, f64, f64) {
    let hour = match periods {
        2 => 19.0 + 0.25 * f64::from(period),
        _ => (f64::from(period) + 0.5) * 24.0 / f64::from(periods),
    };
    let bump = |centre: f64, width: f64| {
        let distance = (hour - centre) / width;
        exp(-distance * distance)
    };
    let load = 0.72 + 0.16 * bump(9.5, 2.5) + 0.28 * bump(19.5, 2.6) - 0.06 * bump(3.5, 2.0);
    // A parabola between sunrise and sunset stands in for the sine.
    let sun = ((hour - 6.0) * (18.5 - hour) / 39.0625).max(0.0);
    let wind = 0.55 + 0.25 * (2.0 * bump(2.0, 4.0) + 2.0 * bump(26.0, 4.0) - 1.0);
    (load, sun, wind)
}

/// How the portfolios of a day bid.
#[derive(Clone, Copy, Debug)]
struct Day {
    buyers: usize,
    sellers: usize,
    steps: usize,
    demand_mw: f64,
    /// Per cent of the portfolios that are linear.
    linear: u32,
}

/// The curve orders of a day and its network.
fn day_of(day: &Day, name: String, periods: u16, areas: u16, seed: u64) -> Auction {
    let mut chance = Chance::new(seed);
    let count = usize::from(areas);
    let demand_shares = chance.shares(count, 6);
    let supply_shares = chance.shares(count, 4);
    let offsets: Vec<f64> =
        (0..areas).map(|_| if areas > 1 { 250.0 * chance.normal() } else { 0.0 }).collect();
    let mut orders = Vec::new();
    let sizes = chance.sizes(day.buyers, 0.9, day.demand_mw);
    for (number, size) in sizes.into_iter().enumerate() {
        let area = chance.pick(&demand_shares);
        buyer(&mut chance, day, periods, (number, area), size, offsets[area], &mut orders);
    }
    let sizes = chance.sizes(day.sellers, 0.8, 1.75 * day.demand_mw);
    for (number, size) in sizes.into_iter().enumerate() {
        let area = chance.pick(&supply_shares);
        seller(&mut chance, day, periods, (day.buyers + number, area), size, offsets[area], &mut orders);
    }
    let lines = network(areas)
        .into_iter()
        .enumerate()
        .map(|(number, (from, to))| {
            let usual = day.demand_mw / f64::from(areas) * chance.between(0.08, 0.45) * 10.0;
            let back = usual * chance.between(0.6, 1.2);
            let mut each = |usual: f64| {
                (0..periods).map(|_| whole(usual * (1.0 + 0.05 * chance.normal())).max(10)).collect()
            };
            Line { id: format!("L{number}"), from, to, capacity: each(usual), capacity_back: each(back) }
        })
        .collect();
    Auction {
        name,
        period_minutes: if periods == 24 { 60 } else { 15 },
        frame: Frame {
            price_min: 0,
            price_max: CAP * PRICE_UNIT,
            periods,
            areas: (1..=areas).map(|area| format!("A{area}")).collect(),
            lines,
            welfare_scale: 1,
        },
        orders,
        blocks: Vec::new(),
        complex: Vec::new(),
    }
}

/// Ends of the lines: the meshed networks of 5 and of 13 areas, otherwise a ring with chords.
fn network(areas: u16) -> Vec<(u16, u16)> {
    match areas {
        0 | 1 => Vec::new(),
        2 => vec![(0, 1)],
        5 => LINES_5.to_vec(),
        13 => LINES_13.to_vec(),
        _ => {
            let ring = (0..areas).map(|area| (area, (area + 1) % areas));
            let chords = (0..areas - 2).step_by(2).map(|area| (area, area + 2));
            ring.chain(chords).collect()
        }
    }
}

type Orders = Vec<(String, String, CurveOrder)>;

fn buyer(
    chance: &mut Chance,
    day: &Day,
    periods: u16,
    (number, area): (usize, usize),
    size: f64,
    offset: f64,
    orders: &mut Orders,
) {
    let inelastic = chance.between(0.1, 0.6);
    let mut weights = vec![inelastic];
    weights.extend(chance.shares(day.steps - 1, 2).into_iter().map(|share| share * (1.0 - inelastic)));
    let middle = 4_300.0 + 500.0 * chance.normal() + offset;
    let width = chance.between(400.0, 1_800.0);
    let mut spread: Vec<f64> = (1..day.steps).map(|_| chance.between(-1.6, 1.6)).collect();
    spread.sort_by(|a, b| b.total_cmp(a));
    let mut drift = 0.0;
    for period in 0..periods {
        let (load, _, _) = weather(period, periods);
        drift += 25.0 * chance.normal();
        let level = size * load * (1.0 + 0.03 * chance.normal()) * 10.0;
        let dearest = if inelastic > 0.3 { CAP } else { 9_000 };
        let mut price = dearest;
        let mut points = vec![(dearest, whole(level * weights[0]).max(1))];
        for (place, weight) in spread.iter().zip(&weights[1..]) {
            let wish = middle + drift + 2_700.0 * (load - 0.85) + width * place;
            price = price.min(chance.round_price(wish, CAP));
            points.push((price, whole(level * weight).max(1)));
        }
        push(orders, day, (number, area, period), Side::Buy, points);
    }
}

fn seller(
    chance: &mut Chance,
    day: &Day,
    periods: u16,
    (number, area): (usize, usize),
    size: f64,
    offset: f64,
    orders: &mut Orders,
) {
    let plant = chance.pick(&[0.22, 0.15, 0.15, 0.35, 0.13]);
    let weights = chance.shares(day.steps, 3);
    let (low, width) = match plant {
        0 => (chance.between(0.0, 1_200.0), chance.between(200.0, 2_200.0)),
        1 => (chance.between(0.0, 1_500.0), chance.between(300.0, 2_500.0)),
        2 => (chance.between(2_300.0, 4_200.0), chance.between(500.0, 2_000.0)),
        3 => (chance.between(2_600.0, 4_600.0), chance.between(300.0, 2_500.0)),
        _ => (chance.between(4_800.0, 7_800.0), chance.between(400.0, 2_400.0)),
    };
    let mut spread: Vec<f64> = (0..day.steps).map(|_| chance.between(0.0, 1.0)).collect();
    spread.sort_by(f64::total_cmp);
    let mut drift = 0.0;
    for period in 0..periods {
        let (_, sun, wind) = weather(period, periods);
        drift += 20.0 * chance.normal();
        let runs = match plant {
            0 => sun,
            1 => wind,
            2 => 0.8,
            3 => 0.9,
            _ => 1.0,
        } * (1.0 + 0.03 * chance.normal());
        if runs < 0.01 {
            continue;
        }
        let mut price = 0;
        let mut points = Vec::new();
        for (place, weight) in spread.iter().zip(&weights) {
            price = price.max(chance.round_price(low + offset + drift + width * place, CAP));
            points.push((price, whole(size * runs * weight * 10.0).max(1)));
        }
        push(orders, day, (number, area, period), Side::Sell, points);
    }
}

/// Adds one order; its points lie in merit order and equal prices are added up.
fn push(
    orders: &mut Orders,
    day: &Day,
    (number, area, period): (usize, usize, u16),
    side: Side,
    points: Vec<(i64, i64)>,
) {
    let mut ladder: Vec<Point> = Vec::new();
    for (price, quantity) in points {
        let price = price * PRICE_UNIT;
        match ladder.last_mut() {
            Some(last) if last.price == price => last.quantity += quantity,
            Some(_) | None => ladder.push(Point { price, quantity }),
        }
    }
    // Spread over the portfolios, and the same ones in every period.
    let linear = number * 37 % 100 < usize::try_from(day.linear).expect("per cent");
    let shape = if linear { Shape::Linear } else { Shape::Step(side) };
    if linear {
        ladder = portfolio(side, &ladder);
    }
    let area = u16::try_from(area).expect("few areas");
    let order = CurveOrder { area, period, shape, points: ladder };
    orders.push((format!("o{number}-{}", period + 1), format!("m{number}"), order));
}

/// A net curve through the corners of a ladder.
fn portfolio(side: Side, ladder: &[Point]) -> Vec<Point> {
    let mut sum = 0;
    let mut points: Vec<Point> = ladder
        .iter()
        .map(|point| {
            sum += point.quantity;
            Point { price: point.price, quantity: -side.sign() * sum }
        })
        .collect();
    points.sort();
    let nothing = match side {
        Side::Buy => (CAP * PRICE_UNIT).max(points.last().map_or(0, |it| it.price + 1)),
        Side::Sell => points.first().map_or(0, |it| it.price - 1),
    };
    if (0..=CAP * PRICE_UNIT).contains(&nothing) {
        points.push(Point { price: nothing, quantity: 0 });
        points.sort();
    }
    points
}

/// A small auction that may have anything: 1 to 13 areas, steps and linear portfolios, ties, prices
/// at cap and floor, no liquidity, one side only, islands, parallel lines, loops, closed lines.
#[must_use]
pub fn any_curves(seed: u64) -> Auction {
    let mut chance = Chance::new(seed);
    let areas = 1 + chance.below(13);
    let periods = 1 + chance.below(3);
    let coarse = [1, 10, 100, 5_000][usize::try_from(chance.below(4)).expect("small")];
    let price_max = coarse * (1 + chance.below(40));
    let price_min = if chance.below(2) == 0 { 0 } else { -coarse * chance.below(20) };
    let lots_max = [1, 4, 30, 1_000, 100_000][usize::try_from(chance.below(5)).expect("small")];
    let lines = if areas == 1 { 0 } else { chance.below(2 * areas + 2) };
    let roomy = chance.below(3);
    let area_index = |number: i64| u16::try_from(number).expect("few areas");
    let lines = (0..lines)
        .map(|number| {
            let from = chance.below(areas);
            let to = (from + 1 + chance.below(areas - 1)) % areas;
            let mut capacities = || {
                let most = match (roomy, chance.below(4)) {
                    (0, _) => lots_max * 50,
                    (_, 0) => 0,
                    _ => chance.below(lots_max * 4 + 1),
                };
                (0..periods).map(|_| if chance.below(6) == 0 { most / 2 } else { most }).collect()
            };
            let (capacity, capacity_back) = (capacities(), capacities());
            let id = format!("L{}", (number * 7) % 31);
            Line { id, from: area_index(from), to: area_index(to), capacity, capacity_back }
        })
        .collect();
    let frame = Frame {
        price_min,
        price_max,
        periods: area_index(periods),
        areas: (0..areas).map(|area| format!("Z{}", (area * 5) % 13)).collect(),
        lines,
        welfare_scale: 1,
    };
    let most = [4, 20, 80, 150][usize::try_from(chance.below(4)).expect("small")];
    let orders = 1 + chance.below(most);
    let sides =
        [[Side::Buy, Side::Sell], [Side::Buy, Side::Sell], [Side::Buy, Side::Buy], [Side::Sell, Side::Sell]];
    let sides = sides[usize::try_from((chance.below(9) - 5).max(0)).expect("small")];
    let linear_in_ten = [0, 0, 3, 10][usize::try_from(chance.below(4)).expect("small")];
    let orders = (0..orders)
        .map(|number| {
            let shape = if chance.below(10) < linear_in_ten {
                Shape::Linear
            } else {
                Shape::Step(sides[usize::from(chance.below(2) == 0)])
            };
            let points = any_points(&mut chance, shape, &frame, coarse, lots_max);
            let (area, period) = (area_index(chance.below(areas)), area_index(chance.below(periods)));
            let id = format!("o{}", (number * 83) % 151);
            (id, format!("m{}", number % 9), CurveOrder { area, period, shape, points })
        })
        .collect();
    Auction {
        name: format!("any seed {seed}"),
        period_minutes: 15,
        frame,
        orders,
        blocks: Vec::new(),
        complex: Vec::new(),
    }
}

fn any_points(chance: &mut Chance, shape: Shape, frame: &Frame, coarse: i64, lots_max: i64) -> Vec<Point> {
    let span = frame.price_max - frame.price_min;
    let mut prices: Vec<i64> = (0..=chance.below(8))
        .map(|_| match chance.below(10) {
            0 => frame.price_min,
            1 => frame.price_max,
            2 => frame.price_min + chance.below(span + 1),
            _ => frame.price_min + chance.below(span / coarse + 1) * coarse,
        })
        .collect();
    match shape {
        Shape::Step(_) => {
            prices.into_iter().map(|price| Point { price, quantity: 1 + chance.below(lots_max) }).collect()
        }
        Shape::Linear => {
            prices.sort_unstable();
            prices.dedup();
            let mut quantity = chance.below(2 * lots_max + 1) - lots_max / 2;
            prices
                .into_iter()
                .map(|price| {
                    let point = Point { price, quantity };
                    quantity -= chance.below(lots_max + 1);
                    point
                })
                .collect()
        }
    }
}
