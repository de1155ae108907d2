//! Random auctions from a seed, small enough to enumerate or large enough to stress.

use merit_engine::auction::{CurveOrder, Frame, Line, Point, Shape, Side};
use merit_engine::book::AuctionBook;

/// A stream of numbers from a seed (xorshift64*).
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number in 0 .. bound.
    pub(crate) fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 1;
        i64::try_from(bits).unwrap() % bound
    }

    /// A number in first ..= last.
    pub(crate) fn within(&mut self, first: i64, last: i64) -> i64 {
        first + self.below(last - first + 1)
    }

    pub(crate) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(i64::try_from(bound).unwrap())).unwrap()
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.index(last + 1));
        }
    }
}

/// How large a random auction may become.
pub(crate) struct Size {
    pub(crate) periods: i64,
    pub(crate) areas: i64,
    pub(crate) lines: i64,
    pub(crate) capacity: i64,
    pub(crate) orders: i64,
    pub(crate) points: i64,
    pub(crate) lots: i64,
    pub(crate) ticks: i64,
    /// One order in so many is linear; 0: none.
    pub(crate) linear_every: i64,
}

/// An auction as a list of parts, which a book can be built from in any order.
#[derive(Clone)]
pub(crate) struct Auction {
    pub(crate) frame: Frame,
    pub(crate) orders: Vec<(String, CurveOrder)>,
}

impl Auction {
    pub(crate) fn book(&self) -> AuctionBook {
        let mut book = AuctionBook::new(self.frame.clone());
        for (id, order) in &self.orders {
            book.insert_curve(id, order.clone());
        }
        book
    }
}

pub(crate) fn auction(seed: &mut Seed, size: &Size) -> Auction {
    let periods = seed.within(1, size.periods);
    let price_min = seed.within(-size.ticks, 0);
    let price_max = price_min + seed.below(size.ticks);
    let areas = seed.within(1, size.areas);
    let mut names: Vec<String> = (0..areas).map(|area| format!("Z{area}")).collect();
    seed.shuffle(&mut names);
    let lines = if areas == 1 { 0 } else { seed.within(0, size.lines) };
    let mut line_names: Vec<String> = (0..lines).map(|line| format!("L{line}")).collect();
    seed.shuffle(&mut line_names);
    let frame = Frame {
        price_min,
        price_max,
        periods: u16::try_from(periods).unwrap(),
        lines: line_names.into_iter().map(|id| line(seed, size, id, periods, areas)).collect(),
        areas: names,
        welfare_scale: 1,
    };
    let orders = seed.within(0, size.orders);
    let mut ids: Vec<String> = (0..orders).map(|order| format!("o{order}")).collect();
    seed.shuffle(&mut ids);
    // Now and then a whole side is missing.
    let sides = match seed.below(12) {
        0 => [Side::Buy, Side::Buy],
        1 => [Side::Sell, Side::Sell],
        _ => [Side::Buy, Side::Sell],
    };
    let orders = ids
        .into_iter()
        .map(|id| {
            let linear = size.linear_every > 0 && seed.below(size.linear_every) == 0;
            let (shape, points) = if linear {
                linear_points(seed, size, &frame)
            } else {
                step_points(seed, size, &frame, sides)
            };
            let area = u16::try_from(seed.below(areas)).unwrap();
            let period = u16::try_from(seed.below(periods)).unwrap();
            (id, CurveOrder { area, period, shape, points })
        })
        .collect();
    Auction { frame, orders }
}

fn line(seed: &mut Seed, size: &Size, id: String, periods: i64, areas: i64) -> Line {
    let from = seed.below(areas);
    let to = (from + 1 + seed.below(areas - 1)) % areas;
    let generous = seed.below(3) == 0;
    let mut capacities = || {
        let most = if generous { size.capacity } else { seed.below(size.capacity + 1) };
        (0..periods).map(|_| if seed.below(4) == 0 { seed.below(most + 1) } else { most }).collect()
    };
    let (capacity, capacity_back) = (capacities(), capacities());
    let area = |index| u16::try_from(index).unwrap();
    Line { id, from: area(from), to: area(to), capacity, capacity_back }
}

fn step_points(seed: &mut Seed, size: &Size, frame: &Frame, sides: [Side; 2]) -> (Shape, Vec<Point>) {
    let points = seed.within(1, size.points);
    let points = (0..points)
        .map(|_| {
            let price = match seed.below(8) {
                0 => frame.price_min,
                1 => frame.price_max,
                _ => seed.within(frame.price_min, frame.price_max),
            };
            Point { price, quantity: seed.within(1, size.lots) }
        })
        .collect();
    (Shape::Step(sides[seed.index(2)]), points)
}

fn linear_points(seed: &mut Seed, size: &Size, frame: &Frame) -> (Shape, Vec<Point>) {
    let mut points = Vec::new();
    let mut price = frame.price_min;
    if seed.below(2) == 0 {
        price = seed.within(frame.price_min, frame.price_max);
    }
    let mut quantity = seed.within(-size.lots / 2, size.lots);
    while price <= frame.price_max {
        points.push(Point { price, quantity });
        price += 1 + seed.below(size.ticks);
        quantity -= seed.below(size.lots + 1);
    }
    (Shape::Linear, points)
}
