//! Digests of the types that commands, rules and results are made of.

use super::{Feed, Words, feed_struct};
use crate::auction::{BlockHandle, ComplexHandle, ComplexPeriod, Point, Shape, Side};
use crate::calendar::{Day, Summer, Zone};
use crate::command::{Act, Action, Actor, Capacity, Clearance, NewOrder, OrderBody, Parent, Role};
use crate::event::{Account, AuctionInfo, Made, Phase, ScheduleRow};
use crate::ids::{AuctionId, Market, MemberId, OrderId, PortfolioId, TextId, UserId};
use crate::outcome::{ComplexFill, Fill, Outcome, Rejected, Rejection};
use crate::reject::{Place, Refusal, Reject};
use crate::rules::{
    AreaRule, Fees, FundsRule, LateCapacity, LineRule, MarketRules, OrderLimits, RiskRules, Suspension,
    Timetable,
};
use crate::settlement::{Basis, HoldEnd, RunStatus, Scheme, SettlementAction};

macro_rules! feed_newtype {
    ($($ty:ident),*) => { $(impl Feed for $ty {
        fn feed<W: Words>(&self, hasher: &mut W) { self.0.feed(hasher); }
    })* };
}
feed_newtype!(Day, MemberId, PortfolioId, UserId, OrderId, BlockHandle, ComplexHandle);

/// Numbers the variants of an enum without contents.
macro_rules! feed_plain {
    ($($ty:ident { $($variant:ident = $number:literal),* $(,)? })*) => { $(impl Feed for $ty {
        fn feed<W: Words>(&self, hasher: &mut W) { hasher.word(match self { $(Self::$variant => $number,)* }); }
    })* };
}
feed_plain! {
    Side { Buy = 0, Sell = 1 }
    Market { Dam = 0, Rtm = 1 }
    Summer { None = 0, European = 1 }
    LateCapacity { UseStanding = 0, Islands = 1 }
    FundsRule { None = 0, HoldAtEntry = 1, CheckBetweenRuns = 2 }
    Suspension { KeepsOrders = 0, CancelsOrders = 1 }
    Role { Trader = 0, Auditor = 1, Dispatch = 2, Settlement = 3, Operator = 4 }
    Phase {
        Scheduled = 0, Open = 1, ClearingUnconstrained = 2, AwaitingCapacity = 3, Clearing = 4,
        Published = 5, Halted = 6, Cancelled = 7,
    }
    RunStatus { Provisional = 0, Final = 1, Resettled = 2 }
    Basis { Reference = 0, Normal = 1 }
    HoldEnd { Posted = 0, Released = 1 }
    Rejection {
        OutOfTheMoney = 0, ParadoxicallyRejected = 1, ParentRejected = 2, GroupTaken = 3,
        LossOfFamily = 4, WorkLimit = 5,
    }
}

feed_struct! {
    Point { price, quantity }
    ComplexPeriod { period, quantity_min, points }
    Zone { offset_minutes, summer }
    AreaRule { code }
    LineRule { id, from, to, capacity, capacity_back }
    Timetable { session_minutes, open, gate, corridor, capacities, publish, acknowledge, two_runs }
    Fees { buy_minor_per_mwh, sell_minor_per_mwh, tax_millionths }
    RiskRules { funds, margin_days, margin_min_minor, clearance }
    OrderLimits {
        curve_points_max, quantity_max, blocks_per_portfolio_max, generations_max,
        orders_per_member_max, linear, blocks, complex,
    }
    MarketRules {
        market, effective_from, zone, currency, minor_decimals, price_decimals, order_price_step,
        price_min, price_max, quantity_decimals, order_quantity_step, period_minutes, areas, lines,
        timetable, late_capacity, limits, fees, risk, suspension, search_work,
    }
    AuctionId { day, market, session }
    NewOrder { auction, portfolio, area, body }
    Capacity { auction, revision, lines }
    Refusal { reject, place, missing }
    Clearance { buy_watts, sell_watts }
    ScheduleRow { portfolio, area, net }
    Fill { bought, sold }
    ComplexFill { handle, quantity }
    Outcome {
        prices, flows, curves, blocks, complex, blocks_rejected, complex_rejected, welfare, bound, work,
    }
    AuctionInfo {
        auction, rules, delivery_start_us, periods, first_block, blocks_in_day, open_us, gate_us,
        corridor_us, capacities_us, publish_us, acknowledge_us,
    }
}

impl<H: Feed> Feed for Rejected<H> {
    fn feed<W: Words>(&self, hasher: &mut W) {
        let Self { handle, reason, surplus } = self;
        handle.feed(hasher);
        reason.feed(hasher);
        surplus.feed(hasher);
    }
}
impl Feed for TextId {
    #[inline(always)]
    fn feed<W: Words>(&self, hasher: &mut W) {
        match self.short_words() {
            Some((length, [first, second, third])) => {
                hasher.word(length.into());
                if length > 0 {
                    hasher.word(first);
                }
                if length > 8 {
                    hasher.word(second);
                }
                if length > 16 {
                    hasher.word(third);
                }
            }
            None => hasher.bytes(self.as_bytes()),
        }
    }
}
impl Feed for Reject {
    fn feed<W: Words>(&self, hasher: &mut W) {
        self.code().feed(hasher);
    }
}

impl Feed for Shape {
    #[inline]
    fn feed<W: Words>(&self, hasher: &mut W) {
        match self {
            Self::Step(side) => {
                hasher.word(0);
                side.feed(hasher);
            }
            Self::Linear => hasher.word(1),
        }
    }
}

impl Feed for Account {
    fn feed<W: Words>(&self, hasher: &mut W) {
        match self {
            Self::Member(member) => {
                hasher.word(0);
                member.feed(hasher);
            }
            Self::Congestion => hasher.word(1),
            Self::Fees => hasher.word(2),
            Self::Rounding => hasher.word(3),
            Self::Tax => hasher.word(4),
            Self::Deviation => hasher.word(5),
            Self::Margin(member) => (6_u64, *member).feed(hasher),
            Self::Bank => hasher.word(7),
        }
    }
}

impl Feed for Parent {
    fn feed<W: Words>(&self, hasher: &mut W) {
        match self {
            Self::Order(id) => (0_u64, *id).feed(hasher),
            Self::Named(id) => {
                hasher.word(1);
                id.feed(hasher);
            }
        }
    }
}

impl Feed for Actor {
    fn feed<W: Words>(&self, hasher: &mut W) {
        match self {
            Self::System => hasher.word(0),
            Self::User(user) => {
                hasher.word(1);
                user.feed(hasher);
            }
        }
    }
}

impl Feed for Act {
    fn feed<W: Words>(&self, hasher: &mut W) {
        match self {
            Self::CancelAuction { auction } => (0_u64, *auction).feed(hasher),
            Self::ExtendGate { auction, gate_us } => (1_u64, *auction, *gate_us).feed(hasher),
            Self::Rerun { auction } => (2_u64, *auction).feed(hasher),
        }
    }
}

impl Feed for Made {
    fn feed<W: Words>(&self, hasher: &mut W) {
        match self {
            Self::Done => hasher.word(0),
            Self::Member(it) => (1_u64, *it).feed(hasher),
            Self::Portfolio(it) => (2_u64, *it).feed(hasher),
            Self::User(it) => (3_u64, *it).feed(hasher),
            Self::Order { order, version } => (4_u64, *order, *version).feed(hasher),
            Self::Cancelled { orders } => (5_u64, *orders).feed(hasher),
            Self::Revision(it) => (6_u64, *it).feed(hasher),
            Self::Number(it) => (7_u64, *it).feed(hasher),
            Self::Proposal(it) => (8_u64, *it).feed(hasher),
        }
    }
}

impl Feed for Place {
    fn feed<W: Words>(&self, hasher: &mut W) {
        match self {
            Self::Whole => hasher.word(0),
            Self::RequestId => hasher.word(1),
            Self::Auction => hasher.word(2),
            Self::Portfolio => hasher.word(3),
            Self::Area => hasher.word(4),
            Self::Order => hasher.word(5),
            Self::Period { index } => (6_u64, *index).feed(hasher),
            Self::Point { index, point } => (7_u64, *index, *point).feed(hasher),
            Self::Field(name) => {
                hasher.word(8);
                name.feed(hasher);
            }
            Self::Line { index } => (9_u64, *index).feed(hasher),
        }
    }
}

impl Feed for OrderBody {
    // A curve's in place: what the first words make of a digest is known beforehand.
    #[inline(always)]
    fn feed<W: Words>(&self, hasher: &mut W) {
        match self {
            Self::Curve { shape, periods } => {
                hasher.word(0);
                shape.feed(hasher);
                periods.feed(hasher);
            }
            Self::Block { .. } | Self::Complex { .. } => feed_lumpy(self, hasher),
        }
    }
}

#[inline(never)]
fn feed_lumpy<W: Words>(body: &OrderBody, hasher: &mut W) {
    match body {
        OrderBody::Curve { .. } => unreachable!("a curve is fed in place"),
        OrderBody::Block { side, price, quantity, ratio_min, parent, group } => {
            hasher.word(1);
            side.feed(hasher);
            price.feed(hasher);
            quantity.feed(hasher);
            ratio_min.feed(hasher);
            parent.feed(hasher);
            group.feed(hasher);
        }
        OrderBody::Complex { side, fixed_minor, curve } => {
            hasher.word(2);
            side.feed(hasher);
            fixed_minor.feed(hasher);
            curve.feed(hasher);
        }
    }
}

impl Feed for Action {
    fn feed<W: Words>(&self, hasher: &mut W) {
        match self {
            Self::SetRules(rules) => {
                hasher.word(0);
                rules.feed(hasher);
            }
            Self::RegisterMember { code, name } => {
                hasher.word(1);
                code.feed(hasher);
                name.feed(hasher);
            }
            Self::SetMemberSuspended { member, suspended } => (2_u64, *member, *suspended).feed(hasher),
            Self::RegisterPortfolio { member, code, areas } => {
                hasher.word(3);
                member.feed(hasher);
                code.feed(hasher);
                areas.feed(hasher);
            }
            Self::RegisterUser { name, fingerprint, role, member, portfolios } => {
                hasher.word(4);
                name.feed(hasher);
                fingerprint.feed(hasher);
                role.feed(hasher);
                member.feed(hasher);
                portfolios.feed(hasher);
            }
            Self::Submit(order) => {
                hasher.word(5);
                order.feed(hasher);
            }
            Self::Amend { order, version, body } => {
                hasher.word(6);
                order.feed(hasher);
                version.feed(hasher);
                body.feed(hasher);
            }
            Self::Cancel { order } => (7_u64, *order).feed(hasher),
            Self::CancelAll { auction, portfolio } => (8_u64, *auction, *portfolio).feed(hasher),
            Self::SubmitCapacity(capacity) => {
                hasher.word(9);
                capacity.feed(hasher);
            }
            Self::AcknowledgeSchedule { auction, revision } => (10_u64, *auction, *revision).feed(hasher),
            Self::Deposit { member, minor } => (11_u64, *member, *minor).feed(hasher),
            Self::Withdraw { member, minor } => (12_u64, *member, *minor).feed(hasher),
            Self::RecordPayIn { member, day } => (13_u64, *member, *day).feed(hasher),
            Self::ProposeAct { act, reason } => {
                (15_u64, *act).feed(hasher);
                reason.as_str().feed(hasher);
            }
            Self::ApproveAct { proposal } => (16_u64, *proposal).feed(hasher),
            Self::SetClearance { portfolio, area, clearance } => {
                (14_u64, *portfolio).feed(hasher);
                area.feed(hasher);
                clearance.feed(hasher);
            }
            Self::Settle(action) => {
                hasher.word(20);
                action.feed(hasher);
            }
        }
    }
}

impl Feed for Scheme {
    fn feed<W: Words>(&self, hasher: &mut W) {
        match self {
            Self::Bands(categories) => {
                hasher.word(0);
                categories.feed(hasher);
            }
            Self::TwoPrice => hasher.word(1),
        }
    }
}

impl Feed for SettlementAction {
    fn feed<W: Words>(&self, hasher: &mut W) {
        match self {
            Self::SetDeviation(rules) => {
                hasher.word(0);
                rules.feed(hasher);
            }
            Self::Meter(batch) => {
                hasher.word(1);
                batch.feed(hasher);
            }
            Self::Run(request) => {
                hasher.word(2);
                request.feed(hasher);
            }
            Self::Pay(payment) => {
                hasher.word(3);
                payment.feed(hasher);
            }
            Self::Hold(hold) => {
                hasher.word(4);
                hold.feed(hasher);
            }
            Self::EndHold { hold, end } => (5_u64, *hold, *end).feed(hasher),
            Self::Acknowledge { stream_seq, epoch } => (6_u64, *stream_seq, *epoch).feed(hasher),
        }
    }
}
