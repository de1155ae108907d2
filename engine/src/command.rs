//! Everything that can happen to the market, as journaled.
//!
//! A command is the only way in. It has been given its place (`seq`), its epoch and its time by the
//! sequencer and is durable before it is applied. The gateway has made it well-formed; whether the
//! rules allow it is decided here, as an answer, never as an error.

use crate::auction::{Point, Shape, Side};
use crate::calendar::Day;
use crate::few::Few;
use crate::ids::{AuctionId, MemberId, OrderId, PortfolioId, TextId, UserId};
use crate::rules::MarketRules;
use crate::settlement::SettlementAction;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// One journaled command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Place in the journal, from 1, gapless.
    pub seq: u64,
    /// Which primary wrote it; never decreases.
    pub epoch: u32,
    /// Journaled time, microseconds since 1970-01-01T00:00:00Z; never decreases.
    pub time_us: i64,
    /// What happens.
    pub body: Body,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A node took the role of primary.
    EpochStarted {
        /// Its name.
        node: String,
    },
    /// The primary lost its last standby and acknowledges alone, or has one again.
    StandbyChanged {
        /// Whether it is alone.
        alone: bool,
    },
    /// Time passes. (Every command moves time; this one does nothing else.)
    Tick,
    /// A clearing advances by one quantum.
    ClearQuantum {
        /// Which.
        auction: AuctionId,
        /// Units of work, see [`crate::clearing::Clearing::advance`].
        units: u32,
    },
    /// A request that somebody made.
    Request(Box<Request>),
}

/// A request: who asks, under which id, for what. The same id again gets the first answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The user whose certificate the connection carried; [`UserId`] of the node itself for
    /// commands out of its own configuration (see [`Actor`]).
    pub actor: Actor,
    /// Made by the client, unique per member (or per role for users without a member) for at least
    /// [`crate::limits::REQUEST_ID_DAYS`] days.
    pub request_id: TextId,
    /// What is asked.
    pub action: Action,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// The node's own configuration: only rules, members, portfolios and users, at bootstrap.
    System,
    /// A registered user.
    User(UserId),
}

/// What a user may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Trades for portfolios of one member.
    Trader,
    /// Reads one member's orders, results and statements.
    Auditor,
    /// The grid dispatch centre.
    Dispatch,
    /// The clearing house.
    Settlement,
    /// Runs the exchange; sees counts, never orders.
    Operator,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Operator: sets the rules of one market from a day on.
    SetRules(Box<MarketRules>),
    /// Operator: registers a member.
    RegisterMember {
        /// Unique code.
        code: TextId,
        /// Full name.
        name: String,
    },
    /// Operator: suspends a member (no new orders) or lifts the suspension.
    SetMemberSuspended {
        /// Which.
        member: MemberId,
        /// New state.
        suspended: bool,
    },
    /// Operator: registers a portfolio.
    RegisterPortfolio {
        /// Its owner.
        member: MemberId,
        /// Unique code over all members.
        code: TextId,
        /// Codes of the areas in which it may trade; empty = all.
        areas: Vec<TextId>,
    },
    /// Operator: registers a user, or replaces the certificate of one.
    RegisterUser {
        /// Unique name.
        name: TextId,
        /// SHA-256 of the DER of the certificate.
        fingerprint: [u8; 32],
        /// What the user may be.
        role: Role,
        /// The member of a trader or auditor.
        member: Option<MemberId>,
        /// Portfolios that a trader may trade; empty = all of the member's.
        portfolios: Vec<PortfolioId>,
    },
    /// Trader: enters an order. The request id is the client order id.
    Submit(NewOrder),
    /// Trader: replaces the content of a live order; a new version, the same order id.
    Amend {
        /// Which.
        order: OrderId,
        /// The version it replaces; another current version is refused.
        version: u32,
        /// New content, same kind.
        body: OrderBody,
    },
    /// Trader: takes a live order back.
    Cancel {
        /// Which.
        order: OrderId,
    },
    /// Trader: takes back every live order of the member (and portfolio) in an auction.
    CancelAll {
        /// Which auction.
        auction: AuctionId,
        /// Only this portfolio's, if given.
        portfolio: Option<PortfolioId>,
    },
    /// Operator: notes collateral that a member has deposited.
    Deposit {
        /// Whose.
        member: MemberId,
        /// How much, minor units.
        minor: i64,
    },
    /// Operator: gives collateral back that nothing needs.
    Withdraw {
        /// Whose.
        member: MemberId,
        /// How much, minor units.
        minor: i64,
    },
    /// Clearing house or operator: notes that a member has paid what it owed for a delivery day.
    RecordPayIn {
        /// Who.
        member: MemberId,
        /// For which local delivery day.
        day: Day,
    },
    /// Operator: sets what a portfolio is cleared to trade in an area.
    SetClearance {
        /// Which portfolio.
        portfolio: PortfolioId,
        /// Code of the area.
        area: TextId,
        /// How much.
        clearance: Clearance,
    },
    /// Operator: proposes an exceptional act.
    ProposeAct {
        /// What.
        act: Act,
        /// Why, for the public notice.
        reason: String,
    },
    /// Operator: approves what another operator proposed; with that it is done.
    ApproveAct {
        /// Number of the proposal.
        proposal: u32,
    },
    /// Dispatch centre: transfer capacities for an auction.
    SubmitCapacity(Capacity),
    /// Dispatch centre: acknowledges a schedule.
    AcknowledgeSchedule {
        /// Which auction.
        auction: AuctionId,
        /// Which revision.
        revision: u32,
    },
    /// Clearing house: what it asks; see [`SettlementAction`].
    Settle(SettlementAction),
}

/// What no timetable foresees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A whole auction is cancelled before its result.
    CancelAuction {
        /// Which.
        auction: AuctionId,
    },
    /// A gate that has not closed closes later.
    ExtendGate {
        /// Which auction's.
        auction: AuctionId,
        /// When instead, µs UTC.
        gate_us: i64,
    },
    /// An auction is run again on the same book, after a wrong capacity.
    Rerun {
        /// Which.
        auction: AuctionId,
    },
}

impl Act {
    /// The auction that it is about.
    #[must_use]
    pub const fn auction(self) -> AuctionId {
        match self {
            Self::CancelAuction { auction } | Self::ExtendGate { auction, .. } | Self::Rerun { auction } => {
                auction
            }
        }
    }
}

/// What a portfolio is cleared to trade in one area and delivery period (a load dispatch centre's standing
/// clearance), millionths of a megawatt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clearance {
    /// Bought at most; 0: not cleared to buy.
    pub buy_watts: i64,
    /// Sold at most; 0: not cleared to sell.
    pub sell_watts: i64,
}

/// A new order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// Where it stands.
    pub auction: AuctionId,
    /// For whom.
    pub portfolio: PortfolioId,
    /// Area index in the auction's rules.
    pub area: u16,
    /// What it wants.
    pub body: OrderBody,
}

/// How a block names its parent. An order of a book has its parent's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parent {
    /// By the exchange's id.
    Order(OrderId),
    /// By the client order id, so that parent and child can come in one batch.
    Named(TextId),
}

/// The content of an order. Periods are indices from 0 in the auction; prices are ticks, quantities
/// lots of the auction's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderBody {
    /// Step curves of one side or linear portfolio curves, one per period.
    Curve {
        /// How points are read.
        shape: Shape,
        /// (period, points), periods strictly increasing.
        periods: Few<(u16, Few<Point>)>,
    },
    /// A block.
    Block {
        /// Side.
        side: Side,
        /// Limit price, ticks.
        price: i64,
        /// (period, lots), periods strictly increasing.
        quantity: Vec<(u16, i64)>,
        /// Least accepted ratio, millionths.
        ratio_min: u32,
        /// Parent: a live block of the same member in the same auction.
        parent: Option<Parent>,
        /// Exclusive group, a name of the member's own.
        group: Option<TextId>,
    },
    /// A complex order.
    Complex {
        /// Side.
        side: Side,
        /// Fixed term, minor units of the currency.
        fixed_minor: i64,
        /// Periods strictly increasing.
        curve: Vec<crate::auction::ComplexPeriod>,
    },
}

impl OrderBody {
    /// The content; what is left in its place is a curve without periods.
    #[inline]
    pub(crate) const fn take(&mut self) -> Self {
        core::mem::replace(self, Self::Curve { shape: Shape::Linear, periods: Few::new() })
    }
}

/// Capacities of an auction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// For which auction.
    pub auction: AuctionId,
    /// From 1; must be greater than the last one accepted.
    pub revision: u32,
    /// Every line of the rules once: (line index, forward lots per period, backward lots per period).
    pub lines: Vec<(u16, Vec<i64>, Vec<i64>)>,
}
