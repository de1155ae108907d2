//! Commands of the market as payloads of the journal, and the engine as the machine that runs them.
//!
//! The only file that knows both a command and its bytes. A payload begins with its version; the
//! kind stands outside, in the record, so that a journal can be listed without opening what is
//! sealed. FORMAT.md has the table.
//!
//! # Deliberately absent
//!
//! - **Judgement.** A payload that reads back is a command; whether the rules allow it, and every
//!   market limit, is the engine's answer. (Otherwise a limit that is lowered later would make old
//!   journals unreadable.)

mod bytes;
mod settle;
mod version1;
mod version2;

use crate::frame::Stamp;
use crate::machine::Machine;
use bytes::{Codec, Malformed, Take, choices, fields, wrapped};
use merit_engine::auction::{ComplexPeriod, Point, Shape, Side};
use merit_engine::calendar::{Day, Summer, Zone};
use merit_engine::command::{
    Act, Action, Actor, Body, Capacity, Clearance, Command, NewOrder, OrderBody, Parent, Request, Role,
};
use merit_engine::event::{Answer, Event};
use merit_engine::few::Few;
use merit_engine::ids::{AuctionId, Market, MemberId, OrderId, PortfolioId, TextId, UserId};
use merit_engine::market::Engine;
use merit_engine::rules::{
    AreaRule, Fees, FundsRule, LateCapacity, LineRule, MarketRules, OrderLimits, RiskRules, Suspension,
    Timetable,
};
use std::fmt;

/// Version of the payloads that this release writes.
pub const PAYLOAD_VERSION: u8 = 3;

/// Oldest version of the payloads that this release reads.
pub const PAYLOAD_VERSION_OLDEST: u8 = 1;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// What a record holds, without what is inside. Codes are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number in the record.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$name => $code,)* }
            }

            /// The kind of a number.
            #[must_use]
            pub const fn of_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }

        impl fmt::Display for Kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $text,)* })
            }
        }
    };
}

kinds! {
    /// A node became primary.
    EpochStarted = 1, "epoch-started";
    /// Time passed.
    Tick = 2, "tick";
    /// A quantum of clearing.
    ClearQuantum = 3, "clear-quantum";
    /// The primary lost its last standby, or has one again.
    StandbyChanged = 4, "standby-changed";
    /// Rules were set.
    SetRules = 16, "set-rules";
    /// A member was registered.
    RegisterMember = 17, "register-member";
    /// A member was suspended, or the suspension lifted.
    SetMemberSuspended = 18, "set-member-suspended";
    /// A portfolio was registered.
    RegisterPortfolio = 19, "register-portfolio";
    /// A user was registered.
    RegisterUser = 20, "register-user";
    /// Collateral was deposited.
    Deposit = 21, "deposit";
    /// Collateral was given back.
    Withdraw = 22, "withdraw";
    /// A member paid what it owed for a day.
    RecordPayIn = 23, "record-pay-in";
    /// A portfolio's clearance was set.
    SetClearance = 24, "set-clearance";
    /// An exceptional act was proposed.
    ProposeAct = 25, "propose-act";
    /// An exceptional act was approved.
    ApproveAct = 26, "approve-act";
    /// An order was entered.
    Submit = 32, "submit";
    /// An order was replaced.
    Amend = 33, "amend";
    /// An order was taken back.
    Cancel = 34, "cancel";
    /// A member's orders were taken back.
    CancelAll = 35, "cancel-all";
    /// Capacities came.
    SubmitCapacity = 48, "submit-capacity";
    /// A schedule was acknowledged.
    AcknowledgeSchedule = 49, "acknowledge-schedule";
    /// The clearing house asked something.
    Settle = 64, "settle";
}

impl Kind {
    /// The kind of a command.
    #[must_use]
    pub const fn of(body: &Body) -> Self {
        match body {
            Body::EpochStarted { .. } => Self::EpochStarted,
            Body::Tick => Self::Tick,
            Body::ClearQuantum { .. } => Self::ClearQuantum,
            Body::StandbyChanged { .. } => Self::StandbyChanged,
            Body::Request(request) => match &request.action {
                Action::SetRules(_) => Self::SetRules,
                Action::RegisterMember { .. } => Self::RegisterMember,
                Action::SetMemberSuspended { .. } => Self::SetMemberSuspended,
                Action::RegisterPortfolio { .. } => Self::RegisterPortfolio,
                Action::RegisterUser { .. } => Self::RegisterUser,
                Action::Deposit { .. } => Self::Deposit,
                Action::Withdraw { .. } => Self::Withdraw,
                Action::RecordPayIn { .. } => Self::RecordPayIn,
                Action::SetClearance { .. } => Self::SetClearance,
                Action::ProposeAct { .. } => Self::ProposeAct,
                Action::ApproveAct { .. } => Self::ApproveAct,
                Action::Submit(_) => Self::Submit,
                Action::Amend { .. } => Self::Amend,
                Action::Cancel { .. } => Self::Cancel,
                Action::CancelAll { .. } => Self::CancelAll,
                Action::SubmitCapacity(_) => Self::SubmitCapacity,
                Action::AcknowledgeSchedule { .. } => Self::AcknowledgeSchedule,
                Action::Settle(_) => Self::Settle,
            },
        }
    }
}

/// Appends a command's payload to `out` and returns its kind.
pub fn encode(body: &Body, out: &mut Vec<u8>) -> Kind {
    out.push(PAYLOAD_VERSION);
    match body {
        Body::EpochStarted { node } => node.put(out),
        Body::Tick => {}
        Body::StandbyChanged { alone } => alone.put(out),
        Body::ClearQuantum { auction, units } => (*auction, *units).put(out),
        Body::Request(request) => {
            let Request { actor, request_id, action } = &**request;
            actor.put(out);
            request_id.put(out);
            put_action(action, out);
        }
    }
    Kind::of(body)
}

fn put_action(action: &Action, out: &mut Vec<u8>) {
    match action {
        Action::SetRules(rules) => rules.put(out),
        Action::RegisterMember { code, name } => {
            code.put(out);
            name.put(out);
        }
        Action::SetMemberSuspended { member, suspended } => (*member, *suspended).put(out),
        Action::RegisterPortfolio { member, code, areas } => {
            member.put(out);
            code.put(out);
            areas.put(out);
        }
        Action::RegisterUser { name, fingerprint, role, member, portfolios } => {
            name.put(out);
            fingerprint.put(out);
            role.put(out);
            member.put(out);
            portfolios.put(out);
        }
        Action::Deposit { member, minor } | Action::Withdraw { member, minor } => (*member, *minor).put(out),
        Action::RecordPayIn { member, day } => (*member, *day).put(out),
        Action::SetClearance { portfolio, area, clearance } => {
            portfolio.put(out);
            area.put(out);
            clearance.put(out);
        }
        Action::ProposeAct { act, reason } => {
            act.put(out);
            reason.put(out);
        }
        Action::ApproveAct { proposal } => proposal.put(out),
        Action::Submit(order) => order.put(out),
        Action::Amend { order, version, body } => {
            order.put(out);
            version.put(out);
            body.put(out);
        }
        Action::Cancel { order } => order.put(out),
        Action::CancelAll { auction, portfolio } => (*auction, *portfolio).put(out),
        Action::SubmitCapacity(capacity) => capacity.put(out),
        Action::AcknowledgeSchedule { auction, revision } => (*auction, *revision).put(out),
        Action::Settle(action) => action.put(out),
    }
}

/// Reads a command back.
///
/// # Errors
///
/// In words, what is wrong with the bytes. Never panics, whatever they are.
pub fn decode(kind: u16, payload: &[u8]) -> Result<Body, String> {
    let kind = Kind::of_code(kind).ok_or_else(|| format!("{kind} is no kind of command"))?;
    let mut from = Take::new(payload);
    take_version(&mut from)?;
    let body = take_body(kind, &mut from).and_then(|body| from.end().map(|()| body));
    body.map_err(|malformed| format!("{kind}: {malformed}"))
}

#[inline]
fn take_version(from: &mut Take<'_>) -> Result<(), String> {
    match u8::take(from) {
        Ok(version) if (PAYLOAD_VERSION_OLDEST..=PAYLOAD_VERSION).contains(&version) => {
            from.version = version;
            Ok(())
        }
        other => Err(no_version(other)),
    }
}

#[cold]
fn no_version(found: Result<u8, Malformed>) -> String {
    match found {
        Ok(version) => format!(
            "payload version {version}; this release reads {PAYLOAD_VERSION_OLDEST} to {PAYLOAD_VERSION}"
        ),
        Err(malformed) => malformed.to_string(),
    }
}

/// As [`decode`], over a command that is needed no more: a submission, as nearly all are, goes to where one was.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_over(kind: u16, payload: &[u8], spent: &mut Body) -> Result<(), String> {
    if kind == Kind::Submit.code()
        && let Body::Request(request) = spent
        && let Request { actor, request_id, action: Action::Submit(order) } = &mut **request
    {
        let mut from = Take::new(payload);
        let decoded = take_version(&mut from).and_then(|()| {
            let took = take_submit(&mut from, (actor, request_id, order)).and_then(|()| from.end());
            took.map_err(|malformed| format!("{}: {malformed}", Kind::Submit))
        });
        return decoded;
    }
    *spent = decode(kind, payload)?;
    Ok(())
}

/// Its parts go straight to where they stay.
#[inline]
fn take_submit(
    from: &mut Take<'_>,
    (actor, request_id, order): (&mut Actor, &mut TextId, &mut NewOrder),
) -> Result<(), Malformed> {
    *actor = Codec::take(from)?;
    take_text_id(from, request_id)?;
    if take_single(from, order)? {
        return Ok(());
    }
    order.auction = Codec::take(from)?;
    order.portfolio = Codec::take(from)?;
    order.area = Codec::take(from)?;
    order.body = match u8::take(from)? {
        CURVE => OrderBody::Curve { shape: Codec::take(from)?, periods: Codec::take(from)? },
        kind => take_lumpy(kind, from)?,
    };
    Ok(())
}

/// Takes an order if it is steps of one period with one point, as nearly all are, and says whether. Seen at a glance: so
/// many bytes are there or not, and where each part stands is known. Put together in registers, for what was written in
/// small pieces and is read in large ones waits. If it is another one, nothing is taken and some of it is written over.
#[inline(always)]
fn take_single(from: &mut Take<'_>, order: &mut NewOrder) -> Result<bool, Malformed> {
    const HEAD: usize = AuctionId::BYTES_MIN + PortfolioId::BYTES_MIN + u16::BYTES_MIN;
    const BODY: usize = <[u8; 3]>::BYTES_MIN + 2 * u32::BYTES_MIN + u16::BYTES_MIN + Point::BYTES_MIN;
    let Some(bytes) = from.ahead::<{ HEAD + BODY }>() else { return Ok(false) };
    // What these are made of is the same in every version.
    let mut single = Take::new(bytes);
    order.auction = Codec::take(&mut single)?;
    order.portfolio = Codec::take(&mut single)?;
    order.area = Codec::take(&mut single)?;
    let (kind, shape, side) = (u8::take(&mut single)?, u8::take(&mut single)?, u8::take(&mut single)?);
    let (periods, period, points) =
        (u32::take(&mut single)?, u16::take(&mut single)?, u32::take(&mut single)?);
    let side = match side {
        BUY => Side::Buy,
        SELL => Side::Sell,
        _ => return Ok(false),
    };
    if (kind, shape, periods, points) != (CURVE, STEP, 1, 1) {
        return Ok(false);
    }
    let point = Point { price: Codec::take(&mut single)?, quantity: Codec::take(&mut single)? };
    order.body = OrderBody::Curve { shape: Shape::Step(side), periods: Few::one((period, Few::one(point))) };
    from.bytes(HEAD + BODY)?;
    Ok(true)
}

/// The tag of a curve.
const CURVE: u8 = 0;
/// The tag of steps.
const STEP: u8 = 0;
/// The tags of the sides.
const BUY: u8 = 0;
const SELL: u8 = 1;

/// A content that is no curve.
#[inline(never)]
fn take_lumpy(kind: u8, from: &mut Take<'_>) -> Result<OrderBody, Malformed> {
    match kind {
        1 => Ok(OrderBody::Block {
            side: Codec::take(from)?,
            price: Codec::take(from)?,
            quantity: Codec::take(from)?,
            ratio_min: Codec::take(from)?,
            parent: if from.version == 1 { version1::parent(from)? } else { Codec::take(from)? },
            group: Codec::take(from)?,
        }),
        2 => Ok(OrderBody::Complex {
            side: Codec::take(from)?,
            fixed_minor: Codec::take(from)?,
            curve: Codec::take(from)?,
        }),
        tag => Err(Malformed::Tag("kind of order", tag)),
    }
}

fn take_body(kind: Kind, from: &mut Take<'_>) -> Result<Body, Malformed> {
    match kind {
        // Nearly all records, so apart: its parts go straight to where they stay.
        Kind::Submit => {
            let request = Box::new_uninit();
            let (actor, request_id) = (Codec::take(from)?, Codec::take(from)?);
            let order = NewOrder {
                auction: Codec::take(from)?,
                portfolio: Codec::take(from)?,
                area: Codec::take(from)?,
                body: Codec::take(from)?,
            };
            Ok(Body::Request(Box::write(
                request,
                Request { actor, request_id, action: Action::Submit(order) },
            )))
        }
        Kind::EpochStarted => Ok(Body::EpochStarted { node: Codec::take(from)? }),
        Kind::Tick => Ok(Body::Tick),
        Kind::StandbyChanged => Ok(Body::StandbyChanged { alone: Codec::take(from)? }),
        Kind::ClearQuantum => {
            Ok(Body::ClearQuantum { auction: Codec::take(from)?, units: Codec::take(from)? })
        }
        Kind::SetRules
        | Kind::RegisterMember
        | Kind::SetMemberSuspended
        | Kind::RegisterPortfolio
        | Kind::RegisterUser
        | Kind::Deposit
        | Kind::Withdraw
        | Kind::RecordPayIn
        | Kind::SetClearance
        | Kind::ProposeAct
        | Kind::ApproveAct
        | Kind::Amend
        | Kind::Cancel
        | Kind::CancelAll
        | Kind::SubmitCapacity
        | Kind::AcknowledgeSchedule
        | Kind::Settle => {
            let (actor, request_id) = Codec::take(from)?;
            let action = take_action(kind, from)?;
            Ok(Body::Request(Box::new(Request { actor, request_id, action })))
        }
    }
}

fn take_action(kind: Kind, from: &mut Take<'_>) -> Result<Action, Malformed> {
    Ok(match kind {
        Kind::SetRules => Action::SetRules(Codec::take(from)?),
        Kind::RegisterMember => Action::RegisterMember { code: Codec::take(from)?, name: Codec::take(from)? },
        Kind::SetMemberSuspended => {
            Action::SetMemberSuspended { member: Codec::take(from)?, suspended: Codec::take(from)? }
        }
        Kind::RegisterPortfolio => Action::RegisterPortfolio {
            member: Codec::take(from)?,
            code: Codec::take(from)?,
            areas: Codec::take(from)?,
        },
        Kind::RegisterUser => Action::RegisterUser {
            name: Codec::take(from)?,
            fingerprint: Codec::take(from)?,
            role: Codec::take(from)?,
            member: Codec::take(from)?,
            portfolios: Codec::take(from)?,
        },
        Kind::Deposit => Action::Deposit { member: Codec::take(from)?, minor: Codec::take(from)? },
        Kind::Withdraw => Action::Withdraw { member: Codec::take(from)?, minor: Codec::take(from)? },
        Kind::RecordPayIn => Action::RecordPayIn { member: Codec::take(from)?, day: Codec::take(from)? },
        Kind::SetClearance => Action::SetClearance {
            portfolio: Codec::take(from)?,
            area: Codec::take(from)?,
            clearance: Codec::take(from)?,
        },
        Kind::ProposeAct => Action::ProposeAct { act: Codec::take(from)?, reason: Codec::take(from)? },
        Kind::ApproveAct => Action::ApproveAct { proposal: Codec::take(from)? },
        Kind::Amend => {
            Action::Amend { order: Codec::take(from)?, version: Codec::take(from)?, body: Codec::take(from)? }
        }
        Kind::Cancel => Action::Cancel { order: Codec::take(from)? },
        Kind::CancelAll => Action::CancelAll { auction: Codec::take(from)?, portfolio: Codec::take(from)? },
        Kind::SubmitCapacity => Action::SubmitCapacity(Codec::take(from)?),
        Kind::AcknowledgeSchedule => {
            Action::AcknowledgeSchedule { auction: Codec::take(from)?, revision: Codec::take(from)? }
        }
        Kind::Settle => Action::Settle(Codec::take(from)?),
        Kind::Submit | Kind::EpochStarted | Kind::Tick | Kind::ClearQuantum | Kind::StandbyChanged => {
            return Err(Malformed::Tag("request", u8::MAX));
        }
    })
}

wrapped!(Day(i32), MemberId(u32), PortfolioId(u32), UserId(u32), OrderId(u64));

choices!("market", Market { 0 = Dam, 1 = Rtm });
choices!("side", Side { BUY = Buy, SELL = Sell });
choices!("role", Role { 0 = Trader, 1 = Auditor, 2 = Dispatch, 3 = Settlement, 4 = Operator });
choices!("summer time", Summer { 0 = None, 1 = European });
choices!("rule for late capacities", LateCapacity { 0 = UseStanding, 1 = Islands });
choices!("rule for funds", FundsRule { 0 = None, 1 = HoldAtEntry, 2 = CheckBetweenRuns });
choices!("rule for suspended members", Suspension { 0 = KeepsOrders, 1 = CancelsOrders });

fields!(AuctionId { day: Day, market: Market, session: u16 });
fields!(Point { price: i64, quantity: i64 });
fields!(NewOrder { auction: AuctionId, portfolio: PortfolioId, area: u16, body: OrderBody });
fields!(ComplexPeriod { period: u16, quantity_min: i64, points: Vec<Point> });
fields!(Capacity { auction: AuctionId, revision: u32, lines: Vec<(u16, Vec<i64>, Vec<i64>)> });
fields!(Clearance { buy_watts: i64, sell_watts: i64 });
fields!(Zone { offset_minutes: i16, summer: Summer });
fields!(AreaRule { code: TextId });
fields!(LineRule { id: TextId, from: u16, to: u16, capacity: i64, capacity_back: i64 });
fields!(Timetable {
    session_minutes: u16,
    open: i32,
    gate: i32,
    corridor: i32,
    capacities: i32,
    publish: i32,
    acknowledge: Option<i32> = until 1 version1::acknowledge,
    two_runs: bool,
});
fields!(Fees { buy_minor_per_mwh: i64, sell_minor_per_mwh: i64, tax_millionths: u32 });
fields!(RiskRules { funds: FundsRule, margin_days: u8, margin_min_minor: i64, clearance: bool });
fields!(OrderLimits {
    curve_points_max: u16,
    quantity_max: i64,
    blocks_per_portfolio_max: u16,
    generations_max: u8,
    orders_per_member_max: u32,
    linear: bool,
    blocks: bool,
    complex: bool,
});
fields!(MarketRules {
    market: Market,
    effective_from: Day,
    zone: Zone,
    currency: [u8; 3],
    minor_decimals: u8,
    price_decimals: u8,
    order_price_step: i64,
    price_min: i64,
    price_max: i64,
    quantity_decimals: u8,
    order_quantity_step: i64,
    period_minutes: u16,
    areas: Vec<AreaRule>,
    lines: Vec<LineRule>,
    timetable: Timetable,
    late_capacity: LateCapacity,
    limits: OrderLimits,
    fees: Fees = until 1 version1::fees,
    risk: RiskRules = until 1 version1::risk,
    suspension: Suspension = until 1 version1::suspension,
    search_work: u32 = until 2 version2::search_work,
});

impl Codec for TextId {
    const BYTES_MIN: usize = 2;

    fn put(&self, out: &mut Vec<u8>) {
        let text = self.as_bytes();
        u8::try_from(text.len()).expect("a text id has at most 64 bytes").put(out);
        out.extend_from_slice(text);
    }

    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let length = usize::from(u8::take(from)?);
        Self::from_first(from.bytes_and_more(length)?, length).ok_or(Malformed::Text)
    }
}

/// As it is taken, over another one.
#[inline(always)]
fn take_text_id(from: &mut Take<'_>, over: &mut TextId) -> Result<(), Malformed> {
    let length = usize::from(u8::take(from)?);
    if over.set_first(from.bytes_and_more(length)?, length) { Ok(()) } else { Err(Malformed::Text) }
}

impl Codec for Actor {
    const BYTES_MIN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::System => out.push(0),
            Self::User(user) => (1u8, *user).put(out),
        }
    }

    #[inline]
    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        match u8::take(from)? {
            0 => Ok(Self::System),
            1 => Codec::take(from).map(Self::User),
            tag => Err(Malformed::Tag("actor", tag)),
        }
    }
}

impl Codec for Act {
    const BYTES_MIN: usize = 1 + AuctionId::BYTES_MIN;

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::CancelAuction { auction } => (0u8, *auction).put(out),
            Self::ExtendGate { auction, gate_us } => (1u8, *auction, *gate_us).put(out),
            Self::Rerun { auction } => (2u8, *auction).put(out),
        }
    }

    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        match u8::take(from)? {
            0 => Ok(Self::CancelAuction { auction: Codec::take(from)? }),
            1 => Ok(Self::ExtendGate { auction: Codec::take(from)?, gate_us: Codec::take(from)? }),
            2 => Ok(Self::Rerun { auction: Codec::take(from)? }),
            tag => Err(Malformed::Tag("exceptional act", tag)),
        }
    }
}

impl Codec for Parent {
    const BYTES_MIN: usize = 3;

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Order(order) => (0u8, *order).put(out),
            Self::Named(name) => {
                out.push(1);
                name.put(out);
            }
        }
    }

    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        match u8::take(from)? {
            0 => Codec::take(from).map(Self::Order),
            1 => Codec::take(from).map(Self::Named),
            tag => Err(Malformed::Tag("parent", tag)),
        }
    }
}

impl Codec for Shape {
    const BYTES_MIN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Step(side) => (STEP, *side).put(out),
            Self::Linear => out.push(1),
        }
    }

    #[inline]
    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        match u8::take(from)? {
            STEP => Codec::take(from).map(Self::Step),
            1 => Ok(Self::Linear),
            tag => Err(Malformed::Tag("curve shape", tag)),
        }
    }
}

impl Codec for OrderBody {
    const BYTES_MIN: usize = 2;

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Curve { shape, periods } => {
                out.push(CURVE);
                shape.put(out);
                periods.put(out);
            }
            Self::Block { side, price, quantity, ratio_min, parent, group } => {
                out.push(1);
                side.put(out);
                price.put(out);
                quantity.put(out);
                ratio_min.put(out);
                parent.put(out);
                group.put(out);
            }
            Self::Complex { side, fixed_minor, curve } => {
                out.push(2);
                side.put(out);
                fixed_minor.put(out);
                curve.put(out);
            }
        }
    }

    #[inline]
    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        match u8::take(from)? {
            CURVE => Ok(Self::Curve { shape: Codec::take(from)?, periods: Codec::take(from)? }),
            kind => take_lumpy(kind, from),
        }
    }
}

impl Machine for Engine {
    type Body = Body;
    type Answer = Answer;
    type Event = Event;

    fn encode(body: &Body, payload: &mut Vec<u8>) -> u16 {
        encode(body, payload).code()
    }

    fn decode(kind: u16, payload: &[u8]) -> Result<Body, String> {
        decode(kind, payload)
    }

    fn decode_over(kind: u16, payload: &[u8], spent: &mut Body) -> Result<(), String> {
        decode_over(kind, payload, spent)
    }

    fn expect<'a>(&self, bodies: impl Iterator<Item = &'a Body>) {
        Self::expect(self, bodies);
    }

    fn apply(&mut self, stamp: Stamp, body: Body, events: &mut Vec<Event>) -> Answer {
        let Stamp { seq, epoch, time_us } = stamp;
        self.take(Command { seq, epoch, time_us, body }, events)
    }

    fn apply_again(&mut self, stamp: Stamp, body: &mut Body, events: Option<&mut Vec<Event>>) -> Answer {
        self.take_from((stamp.seq, stamp.epoch, stamp.time_us), body, events)
    }

    fn next_timer_us(&self) -> Option<i64> {
        Self::next_timer_us(self)
    }

    fn tick() -> Body {
        Body::Tick
    }

    fn quantum(&self) -> Option<Body> {
        self.wants_quantum().map(|(auction, units)| Body::ClearQuantum { auction, units })
    }

    fn epoch_started(node: &str) -> Body {
        Body::EpochStarted { node: node.to_owned() }
    }

    fn standby_changed(alone: bool) -> Body {
        Body::StandbyChanged { alone }
    }

    fn digest(&self) -> u128 {
        Self::digest(self)
    }

    fn digest_in_full(&self) -> u128 {
        Self::digest_in_full(self)
    }
}

#[cfg(test)]
mod tests;
