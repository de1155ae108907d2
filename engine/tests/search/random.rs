//! Random auctions with blocks and complex orders, small enough to enumerate.

use merit_engine::auction::{
    BlockHandle, BlockOrder, ComplexOrder, ComplexPeriod, CurveOrder, Frame, Line, Point, Shape, Side,
};
use merit_engine::book::AuctionBook;

/// A stream of numbers from a seed (xorshift64*).
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(77).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number in 0 .. bound.
    pub(crate) fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        i64::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 1).unwrap() % bound
    }

    pub(crate) fn within(&mut self, first: i64, last: i64) -> i64 {
        first + self.below(last - first + 1)
    }

    fn side(&mut self) -> Side {
        if self.below(2) == 0 { Side::Buy } else { Side::Sell }
    }
}

/// How large a random auction may become.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) periods: i64,
    pub(crate) areas: i64,
    pub(crate) ticks: i64,
    pub(crate) curves: i64,
    pub(crate) lots: i64,
    pub(crate) blocks: i64,
    pub(crate) complex: i64,
    /// Decisions that the enumeration may have to look at.
    pub(crate) decisions: i64,
}

/// An auction as its parts.
#[derive(Clone, Debug)]
pub(crate) struct Auction {
    pub(crate) frame: Frame,
    pub(crate) curves: Vec<CurveOrder>,
    pub(crate) blocks: Vec<BlockOrder>,
    pub(crate) complex: Vec<ComplexOrder>,
}

impl Auction {
    pub(crate) fn book(&self) -> AuctionBook {
        let mut book = AuctionBook::new(self.frame.clone());
        for (at, order) in self.curves.iter().enumerate() {
            book.insert_curve(&format!("c{at}"), order.clone());
        }
        for (at, order) in self.blocks.iter().enumerate() {
            book.insert_block(&format!("b{at}"), order.clone());
        }
        for (at, order) in self.complex.iter().enumerate() {
            book.insert_complex(&format!("x{at}"), order.clone());
        }
        book
    }
}

/// Ratios at both ends of every accepted-quantity step of a block, in millionths, 0 first. Where a
/// block's ratio is bound both by a parent or child and by a group, the ends of the others' steps
/// count as well.
pub(crate) fn ratios(blocks: &[BlockOrder], at: usize) -> Vec<i64> {
    let whole = 1_000_000;
    let block = &blocks[at];
    let is_parent = blocks.iter().any(|it| it.parent == Some(BlockHandle(u32::try_from(at).unwrap())));
    let bound = block.group.is_some() && (block.parent.is_some() || is_parent);
    let others = blocks.iter().filter(|_| bound);
    let legal = |ratio: i64| {
        ratio >= i64::from(block.ratio_min)
            && ratio <= whole
            && block.quantity.iter().all(|&(_, lots)| lots * ratio / whole >= 1)
    };
    let mut ends = vec![i64::from(block.ratio_min), whole];
    for it in others.chain([block]) {
        ends.push(it.ratio_min.into());
        for &(_, lots) in &it.quantity {
            for step in 1..=lots {
                let first = (step * whole + lots - 1) / lots;
                ends.extend([first - 1, first]);
            }
        }
    }
    ends.retain(|&ratio| legal(ratio));
    ends.push(0);
    ends.sort_unstable();
    ends.dedup();
    ends
}

pub(crate) fn auction(seed: &mut Seed, size: Size) -> Auction {
    let periods = seed.within(1, size.periods);
    let areas = seed.within(1, size.areas);
    let price_min = seed.within(-2, 1);
    let price_max = price_min + seed.within(1, size.ticks);
    let lines = if areas == 1 { 0 } else { seed.within(0, areas) };
    let lines = (0..lines)
        .map(|at| {
            let from = seed.below(areas);
            let to = (from + 1 + seed.below(areas - 1)) % areas;
            let mut capacity = || (0..periods).map(|_| seed.below(4)).collect::<Vec<_>>();
            let (forth, back) = (capacity(), capacity());
            let area = |it| u16::try_from(it).unwrap();
            Line {
                id: format!("l{at}"),
                from: area(from),
                to: area(to),
                capacity: forth,
                capacity_back: back,
            }
        })
        .collect();
    let frame = Frame {
        price_min,
        price_max,
        periods: u16::try_from(periods).unwrap(),
        areas: (0..areas).map(|at| format!("Z{at}")).collect(),
        lines,
        welfare_scale: seed.within(1, 3),
    };
    let mut it = Auction { frame, curves: Vec::new(), blocks: Vec::new(), complex: Vec::new() };
    for _ in 0..seed.within(1, size.curves) {
        it.add_curve(seed, size);
    }
    let mut decisions = 1;
    for _ in 0..seed.within(0, size.blocks) {
        let block = it.random_block(seed, size);
        it.blocks.push(block);
        let options = (0..it.blocks.len()).map(|at| i64::try_from(ratios(&it.blocks, at).len()).unwrap());
        let product = options.fold(1, i64::saturating_mul);
        if product <= size.decisions {
            decisions = product;
        } else {
            it.blocks.pop();
        }
    }
    for _ in 0..seed.within(0, size.complex) {
        if decisions * 2 <= size.decisions {
            decisions *= 2;
            let order = it.random_complex(seed, size);
            it.complex.push(order);
        }
    }
    it
}

impl Auction {
    fn price(&self, seed: &mut Seed) -> i64 {
        seed.within(self.frame.price_min, self.frame.price_max)
    }

    fn area(&self, seed: &mut Seed) -> u16 {
        u16::try_from(seed.below(i64::try_from(self.frame.areas.len()).unwrap())).unwrap()
    }

    fn add_curve(&mut self, seed: &mut Seed, size: Size) {
        let (area, period) = (self.area(seed), u16::try_from(seed.below(self.frame.periods.into())).unwrap());
        let order = if seed.below(5) == 0 {
            let mut price = self.frame.price_min;
            let mut quantity = seed.within(-2, size.lots);
            let mut points = Vec::new();
            while price <= self.frame.price_max {
                points.push(Point { price, quantity });
                price += seed.within(1, 3);
                quantity -= seed.below(size.lots);
            }
            CurveOrder { area, period, shape: Shape::Linear, points }
        } else {
            let points = (0..seed.within(1, 3))
                .map(|_| Point { price: self.price(seed), quantity: seed.within(1, size.lots) })
                .collect();
            CurveOrder { area, period, shape: Shape::Step(seed.side()), points }
        };
        self.curves.push(order);
    }

    fn random_block(&self, seed: &mut Seed, size: Size) -> BlockOrder {
        let mut quantity = Vec::new();
        while quantity.is_empty() {
            for period in 0..self.frame.periods {
                if seed.below(3) > 0 {
                    quantity.push((period, seed.within(1, size.lots)));
                }
            }
        }
        let ratio_min = match seed.below(5) {
            0 => 500_000,
            1 => u32::try_from(seed.within(1, 1_000_000)).unwrap(),
            _ => 1_000_000,
        };
        let count = i64::try_from(self.blocks.len()).unwrap();
        let parent =
            (count > 0 && seed.below(3) == 0).then(|| BlockHandle(u32::try_from(seed.below(count)).unwrap()));
        let group = (seed.below(4) == 0).then(|| u32::try_from(seed.below(2)).unwrap());
        let (area, side) = match parent {
            // Families mostly stand together.
            Some(parent) if seed.below(3) > 0 => {
                let parent = &self.blocks[usize::try_from(parent.0).unwrap()];
                (parent.area, parent.side)
            }
            Some(_) | None => (self.area(seed), seed.side()),
        };
        BlockOrder { area, side, price: self.price(seed), quantity, ratio_min, parent, group }
    }

    fn random_complex(&self, seed: &mut Seed, size: Size) -> ComplexOrder {
        let mut curve = Vec::new();
        while curve.is_empty() {
            for period in 0..self.frame.periods {
                if seed.below(3) > 0 {
                    let points: Vec<Point> = (0..seed.within(1, 3))
                        .map(|_| Point { price: self.price(seed), quantity: seed.within(1, size.lots) })
                        .collect();
                    let most: i64 = points.iter().map(|it| it.quantity).sum();
                    let quantity_min = if seed.below(2) == 0 { 0 } else { seed.below(most + 1) };
                    curve.push(ComplexPeriod { period, quantity_min, points });
                }
            }
        }
        let fixed = if seed.below(2) == 0 { 0 } else { i128::from(seed.below(12)) };
        ComplexOrder { area: self.area(seed), side: seed.side(), fixed, curve }
    }
}
