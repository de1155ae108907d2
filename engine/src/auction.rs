//! One auction in integers: its frame, its network and the orders that may stand in it.
//!
//! The meaning of every field is fixed by the auction file format `merit-auction/1`. Prices are
//! counted in price ticks, quantities in lots (quantity ticks). A period is an index from 0 here and
//! a number from 1 in files and messages. Whoever builds these values (file reader, market) has
//! checked them against [`crate::limits`].

use alloc::string::String;
use alloc::vec::Vec;

/// Which side of the market an order stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Wants energy.
    Buy,
    /// Offers energy.
    Sell,
}

impl Side {
    /// +1 for a sell, −1 for a buy: the sign of what an order injects.
    #[must_use]
    pub const fn sign(self) -> i64 {
        match self {
            Self::Buy => -1,
            Self::Sell => 1,
        }
    }
}

/// A transfer line between two areas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Unique among lines.
    pub id: String,
    /// Index of the area at its start.
    pub from: u16,
    /// Index of the area at its end.
    pub to: u16,
    /// Greatest flow `from` → `to`, lots, one per period.
    pub capacity: Vec<i64>,
    /// Greatest flow `to` → `from`, lots, one per period.
    pub capacity_back: Vec<i64>,
}

/// What every order of an auction shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Lowest price, ticks.
    pub price_min: i64,
    /// Highest price, ticks.
    pub price_max: i64,
    /// Number of delivery periods.
    pub periods: u16,
    /// Area ids, in the order of the file; ties between areas go by id, not by position.
    pub areas: Vec<String>,
    /// The network.
    pub lines: Vec<Line>,
    /// Welfare and surpluses are reported on a grid of money that is `1 / welfare_scale` of one
    /// price tick × lot, fine enough to hold the fixed terms of complex orders exactly.
    pub welfare_scale: i64,
}

/// One point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Limit price (step) or price of the point (linear), ticks.
    pub price: i64,
    /// Lots: offered or wanted at this price (step, > 0), or wanted net (linear, negative sells).
    pub quantity: i64,
}

/// How the points of a curve are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each point is a quantity offered or wanted at its own limit price.
    Step(Side),
    /// Each point is the net quantity at its price; straight lines between, constant outside.
    Linear,
}

/// A curve order of one area and period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurveOrder {
    /// Area index.
    pub area: u16,
    /// Period index.
    pub period: u16,
    /// How `points` are read.
    pub shape: Shape,
    /// At least one. Step: any order, prices may repeat. Linear: prices strictly increase,
    /// quantities never increase.
    pub points: Vec<Point>,
}

/// A block order: one limit price, one quantity for each of its periods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockOrder {
    /// Area index.
    pub area: u16,
    /// Side.
    pub side: Side,
    /// Limit price, ticks.
    pub price: i64,
    /// (period index, lots), periods strictly increasing, lots > 0.
    pub quantity: Vec<(u16, i64)>,
    /// Least accepted ratio in millionths, rounded up, 1 ..= 1,000,000.
    pub ratio_min: u32,
    /// The block that must be accepted at least as far as this one.
    pub parent: Option<BlockHandle>,
    /// Exclusive group: ratios in one group sum to at most 1.
    pub group: Option<u32>,
}

/// One period of a complex order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComplexPeriod {
    /// Period index.
    pub period: u16,
    /// Lots that run whenever the order is active.
    pub quantity_min: i64,
    /// Step points of the order's side.
    pub points: Vec<Point>,
}

/// A complex order: step curves over several periods, with a fixed term and minimum quantities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComplexOrder {
    /// Area index.
    pub area: u16,
    /// Side.
    pub side: Side,
    /// Money that an active order must earn beyond its steps, in grid units of welfare, ≥ 0.
    pub fixed: i128,
    /// Periods strictly increasing.
    pub curve: Vec<ComplexPeriod>,
}

/// A curve order in a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CurveHandle(pub u32);
/// A block order in a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHandle(pub u32);
/// A complex order in a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComplexHandle(pub u32);
