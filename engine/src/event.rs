//! Everything the market says: one answer to whoever asked, and events on streams.
//!
//! Each event belongs to exactly one stream and has a gapless number there, given by the engine, so
//! that a client resumes at any number and finds the same numbering after a failover.

use crate::calendar::Day;
use crate::command::{Act, Capacity, Clearance, OrderBody, Role};
use crate::ids::{AuctionId, MemberId, OrderId, PortfolioId, TextId, UserId};
use crate::outcome::{Outcome, Rejection};
use crate::reject::Refusal;
use crate::rules::MarketRules;
use crate::settlement::{Cause, SettlementEvent};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The answer to a command; a [`Body::Request`](crate::command::Body::Request) has exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing was asked (ticks, quanta, epochs).
    None,
    /// Done.
    Accepted {
        /// What was made or changed.
        made: Made,
        /// Journal sequence number of the request that did it (the first one, on a repeat).
        seq: u64,
        /// Its journaled time.
        time_us: i64,
        /// Whether this repeats the answer to an earlier request with the same id and content.
        replayed: bool,
    },
    /// Refused; nothing changed.
    Refused {
        /// Why and where.
        refusal: Refusal,
        /// As above.
        seq: u64,
        /// As above.
        time_us: i64,
        /// As above.
        replayed: bool,
    },
}

/// What an accepted request made or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// Nothing with a number.
    Done,
    /// A member.
    Member(MemberId),
    /// A portfolio.
    Portfolio(PortfolioId),
    /// A user.
    User(UserId),
    /// An order in a version (from 1).
    Order {
        /// Which.
        order: OrderId,
        /// Version after the request.
        version: u32,
    },
    /// So many orders were cancelled.
    Cancelled {
        /// How many.
        orders: u32,
    },
    /// A revision was taken.
    Revision(u32),
    /// Something with a number of its own: a hold, a place in a stream.
    Number(u64),
    /// An act was proposed or done.
    Proposal(u32),
}

/// Who may read an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Everybody with a certificate.
    Market,
    /// One member.
    Member(MemberId),
    /// The dispatch centre.
    Dispatch,
    /// The clearing house.
    Settlement,
    /// Operators.
    Operator,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Sequence number of the command that caused it.
    pub seq: u64,
    /// Epoch of that command.
    pub epoch: u32,
    /// Journaled time of that command.
    pub time_us: i64,
    /// Stream.
    pub stream: Stream,
    /// Number in the stream, from 1, gapless.
    pub stream_seq: u64,
    /// What is said.
    pub body: EventBody,
}

/// Where an auction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Known, not open yet.
    Scheduled,
    /// Takes orders.
    Open,
    /// The gate has closed; the unconstrained run is on (two-run markets).
    ClearingUnconstrained,
    /// Waits for the dispatch centre's capacities.
    AwaitingCapacity,
    /// The constrained (final) run is on.
    Clearing,
    /// The final result is published.
    Published,
    /// The verifier refused the result, or the clearing cannot go on: nothing is published.
    Halted,
    /// Cancelled as a whole.
    Cancelled,
}

/// An auction as everybody may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuctionInfo {
    /// Which.
    pub auction: AuctionId,
    /// Rules it runs under.
    pub rules: Arc<MarketRules>,
    /// UTC start of its first delivery period, µs.
    pub delivery_start_us: i64,
    /// Number of delivery periods.
    pub periods: u16,
    /// Number (from 1) in the local day of its first period.
    pub first_block: u16,
    /// Number of periods of the local day.
    pub blocks_in_day: u16,
    /// Opens, µs UTC.
    pub open_us: i64,
    /// Gate closure, µs UTC.
    pub gate_us: i64,
    /// Corridor request due, µs UTC.
    pub corridor_us: i64,
    /// Capacities due, µs UTC.
    pub capacities_us: i64,
    /// Final result due, µs UTC.
    pub publish_us: i64,
    /// Acknowledgement of the schedule due, µs UTC; nothing: none is waited for.
    pub acknowledge_us: Option<i64>,
}

/// A published result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedResult {
    /// The auction.
    pub info: Arc<AuctionInfo>,
    /// From 1; a greater one replaces a smaller one.
    pub revision: u32,
    /// Prices, flows, fills.
    pub outcome: Outcome,
    /// Capacities used: per line, (forward, backward) lots per period.
    pub capacities: Vec<(Vec<i64>, Vec<i64>)>,
    /// Lots bought, index `period * areas + area`.
    pub bought: Vec<i64>,
    /// Lots sold, index `period * areas + area`.
    pub sold: Vec<i64>,
    /// Aggregated curves, for market data after publication: per `period * areas + area`.
    pub curves: Vec<AggregateCurve>,
    /// Congestion revenue, minor units (rounded once; see the ledger).
    pub congestion_minor: i64,
    /// Digest of the result (orders, prices, fills), for comparison between nodes.
    pub digest: u128,
}

/// Aggregated curve orders of an area and period, as published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AggregateCurve {
    /// (price ticks, lots wanted at that price or above), prices falling, at most a bounded number.
    pub buy: Vec<(i64, i64)>,
    /// (price ticks, lots offered at that price or below), prices rising.
    pub sell: Vec<(i64, i64)>,
}

/// Why an order traded what it traded in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// All that was wanted or offered at this price or better traded.
    Filled,
    /// Its limit lies on the wrong side of the clearing price.
    OutOfTheMoney,
    /// At the clearing price: it got its share of the tie.
    MarginalShare,
    /// It would have traded without transfer limits; its area is congested.
    Congestion,
    /// A block or complex order was rejected.
    Rejected(Rejection),
    /// Taken out because funds did not cover it.
    Funds,
    /// The auction was halted or cancelled.
    AuctionCancelled,
}

/// What an order got in one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeriodFill {
    /// Period index.
    pub period: u16,
    /// Clearing price, ticks; without meaning if the reason is [`Reason::AuctionCancelled`].
    pub price: i64,
    /// Lots bought.
    pub bought: i64,
    /// Lots sold.
    pub sold: i64,
    /// Why.
    pub reason: Reason,
}

/// An account of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// A member with the clearing house; negative = owes.
    Member(MemberId),
    /// Congestion revenue, held for the system operator.
    Congestion,
    /// Fees earned by the exchange.
    Fees,
    /// What rounding leaves.
    Rounding,
    /// Taxes on fees, owed to the state.
    Tax,
    /// The deviation pool: what deviations cost some and earn others.
    Deviation,
    /// A member's blocked funds.
    Margin(MemberId),
    /// The clearing house's bank account; negative = money is there.
    Bank,
}

/// What a portfolio owes or is owed for one period of an auction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obligation {
    /// Number, gapless from 1 over the life of the exchange.
    pub id: u64,
    /// Owner.
    pub member: MemberId,
    /// Portfolio.
    pub portfolio: PortfolioId,
    /// Area index.
    pub area: u16,
    /// Period index.
    pub period: u16,
    /// Lots bought.
    pub bought: i64,
    /// Lots sold.
    pub sold: i64,
    /// Price, ticks.
    pub price: i64,
    /// Energy value in minor units: negative = to pay.
    pub value_minor: i64,
    /// Fee in minor units, ≥ 0, to pay.
    pub fee_minor: i64,
    /// Tax on the fee in minor units, ≥ 0, to pay.
    pub tax_minor: i64,
}

/// One balanced journal entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Number, gapless from 1.
    pub id: u64,
    /// Cause.
    pub cause: Cause,
    /// (account, minor units); sums to zero.
    pub postings: Vec<(Account, i64)>,
}

/// What needs an operator's eye.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Capacities had not come when they were due; the named rule was followed.
    CapacityLate {
        /// Which auction.
        auction: AuctionId,
    },
    /// The result is later than the timetable says.
    ResultLate {
        /// Which auction.
        auction: AuctionId,
    },
    /// The verifier refused a result; the auction is halted.
    VerifierRefused {
        /// Which auction.
        auction: AuctionId,
        /// Number of breaks; 0 if the clearing found no result at all.
        breaks: u32,
        /// The rule that the first one breaks, and nothing of any order: the book stays sealed.
        first: String,
    },
    /// The dispatch centre has not acknowledged a schedule in time.
    AcknowledgementLate {
        /// Which auction.
        auction: AuctionId,
        /// Which revision.
        revision: u32,
    },
    /// Funds did not cover all orders of a member; those that were not were taken out.
    FundsShort {
        /// Which auction.
        auction: AuctionId,
        /// Whose.
        member: MemberId,
        /// How many orders were taken out.
        orders: u32,
    },
    /// The clock was behind the journal; journaled time stood still.
    ClockBehind {
        /// By how much, µs.
        behind_us: i64,
    },
    /// The primary lost its last standby: what it acknowledges from here on, no other node holds.
    StandbyLost,
    /// A standby holds everything again, and acknowledgements wait for it.
    StandbyBack,
}

/// Why a member's collateral changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollateralCause {
    /// It deposited.
    Deposit,
    /// It got something back.
    Withdrawal,
    /// It paid what it owed for a day.
    PayIn(Day),
    /// A result was published.
    Result(AuctionId),
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventBody {
    /// Market: a new auction stands in the timetable.
    AuctionScheduled(Arc<AuctionInfo>),
    /// Market: an auction changed its phase.
    PhaseChanged {
        /// Which.
        auction: AuctionId,
        /// New phase.
        phase: Phase,
        /// When the next step is due, µs UTC; nothing if it is the last.
        next_due_us: Option<i64>,
    },
    /// Market: the times of an auction changed by an exceptional act.
    AuctionChanged(Arc<AuctionInfo>),
    /// Operator: an exceptional act was proposed.
    ActProposed {
        /// Number of the proposal.
        proposal: u32,
        /// What.
        act: Act,
        /// Why.
        reason: String,
        /// Who.
        proposer: UserId,
    },
    /// Market (a public notice) and operator: an exceptional act was done.
    ActDone {
        /// Number of the proposal.
        proposal: u32,
        /// What.
        act: Act,
        /// Why.
        reason: String,
        /// Who proposed it.
        proposer: UserId,
        /// Who approved it.
        approver: UserId,
    },
    /// Market: the final result.
    ResultPublished(Arc<PublishedResult>),
    /// Market: rules were set.
    RulesSet(Arc<MarketRules>),
    /// Operator: a member was registered.
    MemberRegistered {
        /// Which.
        member: MemberId,
        /// Code.
        code: TextId,
        /// Name.
        name: String,
    },
    /// Operator and member: suspended or not.
    MemberSuspended {
        /// Which.
        member: MemberId,
        /// New state.
        suspended: bool,
    },
    /// Operator: a portfolio was registered.
    PortfolioRegistered {
        /// Owner.
        member: MemberId,
        /// Which.
        portfolio: PortfolioId,
        /// Code.
        code: TextId,
        /// Areas; empty = all.
        areas: Vec<TextId>,
    },
    /// Operator: a user was registered or got a new certificate.
    UserRegistered {
        /// Which.
        user: UserId,
        /// Name.
        name: TextId,
        /// Certificate.
        fingerprint: [u8; 32],
        /// Role.
        role: Role,
        /// Member.
        member: Option<MemberId>,
        /// Portfolios; empty = all of the member's.
        portfolios: Vec<PortfolioId>,
    },
    /// Operator: an alarm.
    Alarm(Alarm),
    /// Operator: a node became primary.
    EpochStarted {
        /// Its name.
        node: String,
    },
    /// Member: an order stands in a new version (1 = new).
    OrderAccepted {
        /// Which.
        order: OrderId,
        /// Version.
        version: u32,
        /// Client order id of the order.
        client_order_id: TextId,
        /// User who did it.
        user: UserId,
        /// Auction.
        auction: AuctionId,
        /// Portfolio.
        portfolio: PortfolioId,
        /// Area index.
        area: u16,
        /// Content.
        // Its own: nobody shares it, and what is shared waits for all other cores when it is given back.
        body: Box<OrderBody>,
    },
    /// Member: a request was refused.
    RequestRefused {
        /// Its id.
        request_id: TextId,
        /// User.
        user: UserId,
        /// Why and where.
        refusal: Refusal,
    },
    /// Member: an order was taken back.
    OrderCancelled {
        /// Which.
        order: OrderId,
        /// User who did it.
        user: UserId,
    },
    /// Member: how an order ended. Every order that stood at the gate ends exactly once in each revision of
    /// the result.
    OrderEnded {
        /// Which.
        order: OrderId,
        /// Auction.
        auction: AuctionId,
        /// One entry per period of the order.
        fills: Vec<PeriodFill>,
        /// Block: accepted ratio in millionths, 0 if rejected. Nothing for other kinds, and in an
        /// auction that ended without a result.
        ratio: Option<u32>,
        /// Rejected block or inactive complex order: what it would have earned, wholly accepted, at the
        /// published prices; grid units of welfare. Nothing otherwise.
        missed: Option<i128>,
    },
    /// Member: its collateral changed otherwise than by its own orders.
    CollateralChanged {
        /// Whose.
        member: MemberId,
        /// Why.
        cause: CollateralCause,
        /// Deposited, minor units.
        balance: i64,
        /// Held for orders, minor units.
        held: i128,
        /// Owed for results and not paid, minor units.
        due: i128,
    },
    /// Member: a clearance of one of its portfolios was set.
    ClearanceSet {
        /// Which portfolio.
        portfolio: PortfolioId,
        /// Code of the area.
        area: TextId,
        /// How much.
        clearance: Clearance,
    },
    /// Dispatch: flows and net positions that the unconstrained result wants.
    CorridorRequested {
        /// Auction.
        info: Arc<AuctionInfo>,
        /// Net export in lots (sold − bought), index `period * areas + area`.
        net_positions: Arc<Vec<i64>>,
        /// Flows in lots, index `period * lines + line`.
        flows: Arc<Vec<i64>>,
    },
    /// Dispatch: capacities were taken.
    CapacityAccepted(Arc<Capacity>),
    /// Dispatch: schedules of an auction.
    SchedulePublished {
        /// Auction.
        info: Arc<AuctionInfo>,
        /// From 1.
        revision: u32,
        /// Net injection per portfolio and area, only where something is scheduled.
        rows: Arc<Vec<ScheduleRow>>,
    },
    /// Dispatch: a schedule was acknowledged.
    ScheduleAcknowledged {
        /// Which auction.
        auction: AuctionId,
        /// Which revision.
        revision: u32,
    },
    /// Settlement: obligations of one auction, all of them.
    ObligationsPosted {
        /// Auction.
        info: Arc<AuctionInfo>,
        /// The obligations, by member, portfolio, area, period.
        obligations: Arc<Vec<Obligation>>,
    },
    /// Settlement: ledger entries of one cause, such as an auction or a run.
    LedgerPosted {
        /// The auction, if one caused them.
        auction: Option<AuctionId>,
        /// Balanced entries.
        entries: Arc<Vec<LedgerEntry>>,
    },
    /// Settlement: deviation rules, meter batches and runs.
    Settlement(SettlementEvent),
}

/// One row of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    /// Portfolio.
    pub portfolio: PortfolioId,
    /// Area index.
    pub area: u16,
    /// Net injection (sold − bought), lots per period of the auction.
    pub net: Vec<i64>,
}
