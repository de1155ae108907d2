//! What the judge can find: every rule that a result can break, and where it was broken.

use crate::auction::{BlockHandle, ComplexHandle, CurveHandle, Side};
use crate::book::AuctionBook;
use crate::outcome::Rejection;
use core::fmt;

/// An order of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// A curve order.
    Curve(CurveHandle),
    /// A block.
    Block(BlockHandle),
    /// A complex order.
    Complex(ComplexHandle),
}

/// One broken rule. Areas, periods and lines are indices from 0; prices count ticks, quantities
/// lots, money grid units of welfare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Break {
    /// A list has another length than the auction asks for; nothing else was looked at.
    Shape {
        /// Which list.
        list: &'static str,
        /// Its length.
        have: usize,
        /// The length that the auction asks for.
        want: usize,
    },
    /// A clearing price lies outside the bounds; nothing else was looked at.
    PriceOutOfBounds {
        /// Area.
        area: u16,
        /// Period.
        period: u16,
        /// Price.
        price: i64,
    },
    /// The result names an order that is not in the book, or names its orders out of order or twice.
    UnknownOrder {
        /// The order.
        order: Order,
    },
    /// An order trades more or less than its price allows.
    Quantity {
        /// The order.
        order: Order,
        /// Period.
        period: u16,
        /// Which side of it.
        side: Side,
        /// What it trades.
        lots: i64,
        /// What it must trade at least.
        least: i64,
        /// What it may trade at most.
        most: i64,
    },
    /// A block's ratio is 0, above 1 or below its minimum.
    Ratio {
        /// The block.
        block: BlockHandle,
        /// Its ratio, millionths.
        ratio: u32,
    },
    /// A block's ratio accepts not even one lot in one of its periods.
    EmptyPeriod {
        /// The block.
        block: BlockHandle,
        /// Period.
        period: u16,
    },
    /// A child is accepted further than its parent.
    BeyondParent {
        /// The child.
        block: BlockHandle,
    },
    /// The ratios of an exclusive group sum to more than 1.
    GroupOverfull {
        /// The last accepted block of the group.
        block: BlockHandle,
        /// The sum, millionths.
        ratios: u64,
    },
    /// An accepted block loses, together with its accepted descendants.
    ParadoxicallyAccepted {
        /// The block.
        block: BlockHandle,
        /// What the family earns: negative.
        surplus: i128,
    },
    /// An active complex order earns less than its fixed term.
    ActiveAtALoss {
        /// The order.
        order: ComplexHandle,
        /// What it earns less its fixed term: negative.
        surplus: i128,
    },
    /// An active complex order has not one quantity for each of its periods.
    ComplexPeriods {
        /// The order.
        order: ComplexHandle,
    },
    /// A block or complex order is neither accepted nor rejected.
    Undecided {
        /// The order.
        order: Order,
    },
    /// A block or complex order is both accepted and rejected.
    DecidedTwice {
        /// The order.
        order: Order,
    },
    /// The surplus told for a rejected order is not what it would have earned.
    RejectedSurplus {
        /// The order.
        order: Order,
        /// What the result says.
        told: i128,
        /// What it would have earned, wholly accepted, at the published prices.
        is: i128,
    },
    /// The reason told for a rejection cannot be the reason.
    RejectedReason {
        /// The order.
        order: Order,
        /// What the result says.
        told: Rejection,
    },
    /// What is bought and exported in an area is not what is sold and imported.
    Imbalance {
        /// Area.
        area: u16,
        /// Period.
        period: u16,
        /// Bought + exported − sold − imported.
        lots: i128,
    },
    /// A flow exceeds a capacity of its line.
    FlowLimit {
        /// Line.
        line: u16,
        /// Period.
        period: u16,
        /// The flow.
        flow: i64,
    },
    /// A line has room left towards its dearer end.
    RoomLeft {
        /// Line.
        line: u16,
        /// Period.
        period: u16,
        /// True if the dearer end is `to`.
        forward: bool,
    },
    /// A price is not the mid-point of the feasible prices.
    MidPoint {
        /// Area.
        area: u16,
        /// Period.
        period: u16,
        /// The published price.
        price: i64,
        /// The least feasible price.
        least: i64,
        /// The greatest feasible price.
        greatest: i64,
    },
    /// More could be traded at the clearing price.
    Volume {
        /// The area whose tied buyers could be served.
        area: u16,
        /// Period.
        period: u16,
    },
    /// An order's part of a tie is not its pro-rata share.
    Share {
        /// The order.
        order: Order,
        /// Period.
        period: u16,
        /// What it got of the tie.
        lots: i64,
        /// Its share.
        share: i64,
    },
    /// A tie could be shared more evenly between areas, or an area could serve itself more.
    Evenness {
        /// The area that sells a lot too many or buys one too few.
        area: u16,
        /// Period.
        period: u16,
        /// The side that is shared.
        side: Side,
    },
    /// The same trades are possible with less flow squared.
    LongWay {
        /// Period.
        period: u16,
    },
    /// An equally good result comes first in the order of ids.
    OrderOfIds {
        /// Period.
        period: u16,
    },
    /// The welfare told is not the welfare of the result.
    Welfare {
        /// What the result says.
        told: i128,
        /// Recomputed.
        is: i128,
    },
    /// The bound lies below the welfare, or, in an auction of curves alone, above it.
    Bound {
        /// What the result says.
        bound: i128,
        /// Welfare, recomputed.
        welfare: i128,
    },
}

impl Break {
    /// The break in plain words, with the ids of `book`.
    #[must_use]
    pub fn show<'a>(&'a self, book: &'a AuctionBook) -> impl fmt::Display + 'a {
        Shown { broken: self, book }
    }
}

struct Shown<'a> {
    broken: &'a Break,
    book: &'a AuctionBook,
}

impl Shown<'_> {
    fn order(&self, f: &mut fmt::Formatter<'_>, order: Order) -> fmt::Result {
        let (kind, id, number) = match order {
            Order::Curve(handle) => ("curve", self.book.curve_id(handle), handle.0),
            Order::Block(handle) => ("block", self.book.block_id(handle), handle.0),
            Order::Complex(handle) => ("complex", self.book.complex_id(handle), handle.0),
        };
        match id {
            Some(id) => write!(f, "{kind} \"{id}\""),
            None => write!(f, "{kind} number {number}, which is not in the book,"),
        }
    }

    /// `area "N1" period 3`.
    fn cell(&self, f: &mut fmt::Formatter<'_>, area: u16, period: u16) -> fmt::Result {
        let id = self.book.frame().areas.get(usize::from(area)).map_or("?", |it| it.as_str());
        write!(f, "area \"{id}\" period {}", u32::from(period) + 1)
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, line: u16, period: u16) -> fmt::Result {
        let id = self.book.frame().lines.get(usize::from(line)).map_or("?", |it| it.id.as_str());
        write!(f, "line \"{id}\" period {}", u32::from(period) + 1)
    }

    /// Breaks of one order.
    fn order_break(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match *self.broken {
            Break::UnknownOrder { order }
            | Break::Quantity { order, .. }
            | Break::Undecided { order }
            | Break::DecidedTwice { order }
            | Break::RejectedSurplus { order, .. }
            | Break::RejectedReason { order, .. }
            | Break::Share { order, .. } => order,
            Break::Ratio { block, .. }
            | Break::EmptyPeriod { block, .. }
            | Break::BeyondParent { block }
            | Break::GroupOverfull { block, .. }
            | Break::ParadoxicallyAccepted { block, .. } => Order::Block(block),
            Break::ActiveAtALoss { order, .. } | Break::ComplexPeriods { order } => Order::Complex(order),
            Break::Shape { .. }
            | Break::PriceOutOfBounds { .. }
            | Break::Imbalance { .. }
            | Break::FlowLimit { .. }
            | Break::RoomLeft { .. }
            | Break::MidPoint { .. }
            | Break::Volume { .. }
            | Break::Evenness { .. }
            | Break::LongWay { .. }
            | Break::OrderOfIds { .. }
            | Break::Welfare { .. }
            | Break::Bound { .. } => return Ok(()),
        };
        self.order(f, order)
    }
}

fn verb(side: Side) -> &'static str {
    match side {
        Side::Buy => "buys",
        Side::Sell => "sells",
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.order_break(f)?;
        match *self.broken {
            Break::Shape { list, have, want } => write!(f, "{list}: {have} values where {want} belong"),
            Break::PriceOutOfBounds { area, period, price } => {
                self.cell(f, area, period)?;
                write!(f, ": price of {price} ticks lies outside the bounds")
            }
            Break::UnknownOrder { .. } => f.write_str(" is named where it does not belong, or twice"),
            Break::Quantity { period, side, lots, least, most, .. } => {
                let period = u32::from(period) + 1;
                write!(f, " {} {lots} lots in period {period}: ", verb(side))?;
                write!(f, "at its price it must be from {least} to {most}")
            }
            Break::Ratio { ratio, .. } => write!(f, " has the ratio {ratio} millionths, which it may not"),
            Break::EmptyPeriod { period, .. } => {
                write!(f, ": its ratio accepts not one lot in period {}", u32::from(period) + 1)
            }
            Break::BeyondParent { .. } => f.write_str(" is accepted beyond its parent"),
            Break::GroupOverfull { ratios, .. } => {
                write!(f, ": the ratios of its exclusive group sum to {ratios} millionths")
            }
            Break::ParadoxicallyAccepted { surplus, .. } => {
                write!(f, " is paradoxically accepted: its family earns {surplus}")
            }
            Break::ActiveAtALoss { surplus, .. } => write!(f, " is active at a loss: it earns {surplus}"),
            Break::ComplexPeriods { .. } => f.write_str(" has not one quantity for each of its periods"),
            Break::Undecided { .. } => f.write_str(" is neither accepted nor rejected"),
            Break::DecidedTwice { .. } => f.write_str(" is both accepted and rejected"),
            Break::RejectedSurplus { told, is, .. } => {
                write!(f, " would have earned {is}, the result says {told}")
            }
            Break::RejectedReason { told, .. } => {
                write!(f, " cannot have been rejected for the reason {told:?}")
            }
            Break::Share { period, lots, share, .. } => {
                let period = u32::from(period) + 1;
                write!(f, " gets {lots} lots of its tie in period {period}: its pro-rata share is {share}")
            }
            Break::Welfare { told, is } => write!(f, "welfare: {told} told, recomputed {is}"),
            Break::Bound { bound, welfare } => {
                write!(f, "bound: {bound} does not go with the welfare {welfare}")
            }
            Break::Imbalance { .. }
            | Break::FlowLimit { .. }
            | Break::RoomLeft { .. }
            | Break::MidPoint { .. }
            | Break::Volume { .. }
            | Break::Evenness { .. }
            | Break::LongWay { .. }
            | Break::OrderOfIds { .. } => self.network_break(f),
        }
    }
}

impl Shown<'_> {
    /// Breaks of an area or a line.
    fn network_break(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.broken {
            Break::Imbalance { area, period, lots } => {
                self.cell(f, area, period)?;
                write!(f, ": bought + exported − sold − imported = {lots} lots")
            }
            Break::FlowLimit { line, period, flow } => {
                self.line(f, line, period)?;
                write!(f, ": a flow of {flow} lots exceeds its capacity")
            }
            Break::RoomLeft { line, period, forward } => {
                self.line(f, line, period)?;
                let end = if forward { "to" } else { "from" };
                write!(f, ": room left towards its dearer end, `{end}`")
            }
            Break::MidPoint { area, period, price, least, greatest } => {
                self.cell(f, area, period)?;
                write!(f, ": price of {price} ticks is not the mid-point of [{least}, {greatest}]")
            }
            Break::Volume { area, period } => {
                self.cell(f, area, period)?;
                f.write_str(": more could be traded at the clearing price")
            }
            Break::Evenness { area, period, side } => {
                self.cell(f, area, period)?;
                f.write_str(match side {
                    Side::Buy => ": should buy a lot that another area buys",
                    Side::Sell => ": sells a lot that another area should sell",
                })
            }
            Break::LongWay { period } => {
                write!(f, "period {}: the same trades are possible with less flow", u32::from(period) + 1)
            }
            Break::OrderOfIds { period } => {
                let period = u32::from(period) + 1;
                write!(f, "period {period}: an equally good result comes first in the order of ids")
            }
            Break::Shape { .. }
            | Break::PriceOutOfBounds { .. }
            | Break::UnknownOrder { .. }
            | Break::Quantity { .. }
            | Break::Ratio { .. }
            | Break::EmptyPeriod { .. }
            | Break::BeyondParent { .. }
            | Break::GroupOverfull { .. }
            | Break::ParadoxicallyAccepted { .. }
            | Break::ActiveAtALoss { .. }
            | Break::ComplexPeriods { .. }
            | Break::Undecided { .. }
            | Break::DecidedTwice { .. }
            | Break::RejectedSurplus { .. }
            | Break::RejectedReason { .. }
            | Break::Share { .. }
            | Break::Welfare { .. }
            | Break::Bound { .. } => Ok(()),
        }
    }
}
