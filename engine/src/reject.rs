//! Why a request was refused.

use core::fmt;

macro_rules! rejects {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $retry:ident, $text:literal;)*) => {
        /// The first rule that a request broke.
        ///
        /// Rules are checked in the order of these variants. A request that breaks two of them is
        /// refused for the earlier one, on every replica and in every release: the reason is part of
        /// the result, so it must be as deterministic as a price.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reject { $($(#[$doc])* $name,)* }

        impl Reject {
            /// Every reason, in order of precedence.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number in the journal and on the wire. Never reused, never renumbered.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$name => $code,)* }
            }

            /// Whether the same request can succeed later without being changed.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$name => rejects!(@ $retry),)* }
            }
        }

        impl fmt::Display for Reject {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $text,)* })
            }
        }
    };
    (@ retry) => { true };
    (@ never) => { false };
}

rejects! {
    /// The request id was used before with another content.
    RequestIdReused = 100, never, "this id was used before for another request";
    /// The user is not registered (any more).
    UnknownUser = 110, never, "the certificate belongs to no registered user";
    /// The user's role does not allow this.
    NotPermitted = 111, never, "the user's role or member does not allow this";
    /// The member is suspended.
    MemberSuspended = 112, retry, "the member is suspended";
    /// No such member.
    UnknownMember = 120, never, "no such member";
    /// No such portfolio, or not the user's.
    UnknownPortfolio = 121, never, "no such portfolio of this user";
    /// No such auction.
    UnknownAuction = 122, never, "no such auction";
    /// No such order, or not the member's.
    UnknownOrder = 123, never, "no such order of this member";
    /// No such schedule revision.
    UnknownSchedule = 124, never, "no such schedule revision";
    /// The schedule revision is acknowledged already.
    AlreadyAcknowledged = 125, never, "this schedule revision is acknowledged already";
    /// No such proposal.
    UnknownProposal = 126, never, "no such proposal";
    /// The proposal was carried out, or has lapsed.
    ProposalClosed = 127, never, "the proposal was carried out or has lapsed";
    /// The one who proposed cannot approve.
    SecondPersonNeeded = 128, never, "an operator other than the one who proposed must approve";
    /// The auction does not take orders yet.
    NotOpen = 130, retry, "the auction is not open yet";
    /// The gate has closed.
    GateClosed = 131, never, "the gate has closed";
    /// The auction was cancelled or halted.
    AuctionHalted = 132, never, "the auction is halted or cancelled";
    /// The capacity came after the run that would have used it.
    TooLate = 133, never, "it came too late for this auction";
    /// The order has ended (cancelled).
    OrderNotLive = 134, never, "the order is no longer live";
    /// The order has another current version.
    VersionConflict = 135, never, "the order has another current version";
    /// The new content is of another kind than the order.
    KindChanged = 136, never, "an order keeps its kind: cancel it and enter another";
    /// The market takes no orders of this kind.
    KindNotAllowed = 137, never, "the market takes no orders of this kind";
    /// The act cannot be done in the auction's phase.
    WrongPhase = 138, never, "the auction is not in a phase in which this can be done";
    /// The new gate is not later than the old one, or too late for the result.
    GateOutOfRange = 139, never, "the new gate must be later than the old one and before the result is due";
    /// No such area in the auction.
    UnknownArea = 140, never, "no such area";
    /// The portfolio may not trade in this area.
    AreaNotPermitted = 141, never, "the portfolio may not trade in this area";
    /// A period is outside the auction.
    UnknownPeriod = 142, never, "no such period in the auction";
    /// Periods are not strictly increasing, or there is none.
    PeriodsNotIncreasing = 143, never, "periods must strictly increase and there must be one";
    /// A curve has no points.
    NoPoints = 150, never, "a curve needs at least one point";
    /// Too many points.
    TooManyPoints = 151, never, "too many points in one curve";
    /// A price is outside the bounds.
    PriceOutOfRange = 160, never, "the price lies outside the market's bounds";
    /// A price is off the order price tick.
    PriceOffTick = 161, never, "the price is off the order price tick";
    /// Linear prices do not strictly increase.
    PricesNotIncreasing = 162, never, "prices of a linear curve must strictly increase";
    /// A quantity is zero or negative, or too large.
    QuantityOutOfRange = 170, never, "the quantity is not positive or too large";
    /// A quantity is off the order quantity tick.
    QuantityOffTick = 171, never, "the quantity is off the order quantity tick";
    /// Linear net quantities increase with price.
    QuantityIncreases = 172, never, "net quantities of a linear curve must not increase with price";
    /// A minimum ratio or minimum quantity is out of range.
    MinimumOutOfRange = 173, never, "the minimum ratio or quantity is out of range";
    /// A fixed term is negative or too large.
    FixedOutOfRange = 174, never, "the fixed term is negative or too large";
    /// The parent is not a live block of the same member in the same auction.
    UnknownParent = 180, never, "the parent is not a live block of this member in this auction";
    /// The family would have a circle.
    FamilyCircle = 181, never, "a block cannot descend from itself";
    /// Too many generations.
    FamilyTooDeep = 182, never, "too many generations in the family";
    /// Too many blocks or complex orders of the portfolio.
    TooManyBlocks = 190, never, "too many blocks or complex orders of this portfolio";
    /// Too many orders of the member.
    TooManyOrders = 191, never, "too many live orders of this member";
    /// The book is full.
    BookFull = 192, never, "the auction's book is full";
    /// The margin to buy in the day-ahead market is not there.
    MarginShort = 193, retry, "the margin that is needed to buy is not there";
    /// The portfolio has no clearance for this area and side.
    NoClearance = 194, retry, "the portfolio has no clearance for this area and side";
    /// The clearance is exceeded.
    ClearanceExceeded = 195, retry, "the orders of the portfolio would exceed its clearance";
    /// The collateral does not cover the worst case.
    FundsShort = 196, retry, "the collateral does not cover what the order can cost";
    /// A code or name is taken.
    AlreadyExists = 200, never, "the code or name is taken";
    /// A name is empty or too long.
    NameOutOfRange = 201, never, "the name is empty or too long";
    /// A registry is full.
    RegistryFull = 202, never, "no more members, portfolios or users can be registered";
    /// The collateral is needed.
    CollateralInUse = 204, retry, "the collateral is needed for orders or results";
    /// Nothing is known of that day.
    NothingDue = 205, never, "the member owes nothing for this day";
    /// Open orders stand that it would invalidate.
    OrdersStand = 206, retry, "open orders stand that this would invalidate";
    /// Rules contradict themselves or a bound.
    RulesInvalid = 210, never, "the rules contradict themselves or a bound";
    /// The rules' first day has auctions already.
    RulesTooLate = 211, never, "auctions of that day exist already";
    /// The capacity's revision is not newer.
    StaleRevision = 220, never, "a capacity of this or a newer revision is known";
    /// A line is missing, unknown or stands twice.
    LinesIncomplete = 221, never, "every line must stand exactly once with a value per period";
    /// A capacity is negative or too large.
    CapacityOutOfRange = 222, never, "the capacity is negative or too large";
    /// No auction of the delivery day is published, or the day is forgotten.
    UnknownDay = 300, never, "no auction of this delivery day is published, or it is long past";
    /// The run comes too early.
    DayNotOver = 301, retry, "auctions of this day have not ended, or it is not all delivered";
    /// A run of this status cannot follow the last one.
    RunOutOfOrder = 302, never, "provisional runs come before the final one, resettlements after it";
    /// A reason is missing or too long, or the effective day does not exist.
    ReasonMissing = 303, never, "a reason is missing or too long, or the day does not exist";
    /// Rows of a meter batch are wrong.
    MeterRowsInvalid = 310, never, "every portfolio and area must stand once, sorted, with a value per block";
    /// A metered energy is too large, or the control total is another.
    EnergyOutOfRange = 311, never, "a metered energy is too large, or the control total is not the sum";
    /// Deviation rules contradict themselves.
    DeviationInvalid = 312, never, "the deviation rules contradict themselves or a bound";
    /// A table needs the frequency.
    FrequencyMissing = 313, never, "the deviation tables need the frequency of every block";
    /// An amount is zero or too large.
    AmountOutOfRange = 320, never, "an amount is zero, or too large to be booked";
    /// The member's balance does not cover it.
    BalanceShort = 321, retry, "the member's balance does not cover it";
    /// No such hold.
    UnknownHold = 322, never, "no such hold stands";
    /// Something was acknowledged that was never sent.
    NeverSent = 330, never, "nothing with this number was ever sent in this epoch";
}

/// A refusal: the reason and where in the request the fault lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reject: Reject,
    /// Where.
    pub place: Place,
    /// What is missing of it, millionths of the currency or of a megawatt; 0 where nothing is counted.
    pub missing: i64,
}

impl Refusal {
    /// A refusal in which nothing is counted.
    #[must_use]
    pub const fn new(reject: Reject, place: Place) -> Self {
        Self { reject, place, missing: 0 }
    }
}

/// The part of a request at fault; with it the gateway builds the path of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The request as a whole.
    Whole,
    /// The client's id.
    RequestId,
    /// The auction.
    Auction,
    /// The portfolio.
    Portfolio,
    /// The area.
    Area,
    /// The order named.
    Order,
    /// Entry `index` (from 0) of the list of periods.
    Period {
        /// Entry.
        index: u16,
    },
    /// Point `point` of entry `index` of the list of periods.
    Point {
        /// Entry.
        index: u16,
        /// Point.
        point: u16,
    },
    /// A field named in the proto (`price`, `min_ratio`, `parent`, `fixed`, `group`, …).
    Field(&'static str),
    /// Line entry `index` of a capacity.
    Line {
        /// Entry.
        index: u16,
    },
}
