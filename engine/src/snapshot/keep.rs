//! Bytes of the types that commands, rules and events are made of, as far as they are state.

use super::{Damaged, Keep, Reader, Writer, keep_enum, keep_plain, keep_struct};
use crate::auction::{
    BlockHandle, BlockOrder, ComplexHandle, ComplexOrder, ComplexPeriod, CurveHandle, Frame, Line, Point,
    Shape, Side,
};
use crate::calendar::{Day, Summer, Zone};
use crate::command::{Act, Capacity, Clearance, OrderBody, Parent, Role};
use crate::event::{Account, AuctionInfo, Made, Phase, ScheduleRow, Stream};
use crate::ids::{AuctionId, Market, MemberId, OrderId, PortfolioId, TextId, UserId};
use crate::reject::{Place, Refusal, Reject};
use crate::rules::{
    AreaRule, Fees, FundsRule, LateCapacity, LineRule, MarketRules, OrderLimits, RiskRules, Suspension,
    Timetable,
};
use crate::settlement::{
    Band, BandTable, Basis, Category, DeviationRules, MemberNet, MeterBatch, MeterRow, Placing, Rate,
    RunStatus, Scheme,
};

macro_rules! keep_newtype {
    ($($ty:ident),*) => { $(impl Keep for $ty {
        fn put(&self, out: &mut Writer<'_>) { self.0.put(out); }
        fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> { Keep::take(from).map(Self) }
        const FIXED: usize = super::fixed_of(|it: &Self| &it.0);
        #[inline]
        fn of_fixed(bytes: &[u8]) -> Result<Self, Damaged> { Keep::of_fixed(bytes).map(Self) }
    })* };
}
keep_newtype!(Day, MemberId, PortfolioId, UserId, OrderId, CurveHandle, BlockHandle, ComplexHandle);

keep_plain! {
    Side { 0 = Buy, 1 = Sell }
    Market { 0 = Dam, 1 = Rtm }
}
keep_enum! {
    Summer { 0 = None, 1 = European }
    LateCapacity { 0 = UseStanding, 1 = Islands }
    FundsRule { 0 = None, 1 = HoldAtEntry, 2 = CheckBetweenRuns }
    Suspension { 0 = KeepsOrders, 1 = CancelsOrders }
    Role { 0 = Trader, 1 = Auditor, 2 = Dispatch, 3 = Settlement, 4 = Operator }
    Phase {
        0 = Scheduled, 1 = Open, 2 = ClearingUnconstrained, 3 = AwaitingCapacity, 4 = Clearing,
        5 = Published, 6 = Halted, 7 = Cancelled,
    }
    RunStatus { 0 = Provisional, 1 = Final, 2 = Resettled }
    Basis { 0 = Reference, 1 = Normal }
    Shape { 0 = Step(side), 1 = Linear }
    Account {
        0 = Member(member), 1 = Congestion, 2 = Fees, 3 = Rounding, 4 = Tax, 5 = Deviation, 6 = Margin(member),
        7 = Bank,
    }
    Stream { 0 = Market, 1 = Member(member), 2 = Dispatch, 3 = Settlement, 4 = Operator }
    Parent { 0 = Order(order), 1 = Named(name) }
    Act { 0 = CancelAuction { auction }, 1 = ExtendGate { auction, gate_us }, 2 = Rerun { auction } }
    Made {
        0 = Done, 1 = Member(it), 2 = Portfolio(it), 3 = User(it), 4 = Order { order, version },
        5 = Cancelled { orders }, 6 = Revision(it), 7 = Number(it), 8 = Proposal(it),
    }
    Place {
        0 = Whole, 1 = RequestId, 2 = Auction, 3 = Portfolio, 4 = Area, 5 = Order, 6 = Period { index },
        7 = Point { index, point }, 8 = Field(name), 9 = Line { index },
    }
    OrderBody {
        0 = Curve { shape, periods }, 1 = Block { side, price, quantity, ratio_min, parent, group },
        2 = Complex { side, fixed_minor, curve },
    }
    Scheme { 0 = Bands(categories), 1 = TwoPrice }
}

keep_struct! {
    Point { price, quantity }
    ComplexPeriod { period, quantity_min, points }
    BlockOrder { area, side, price, quantity, ratio_min, parent, group }
    ComplexOrder { area, side, fixed, curve }
    Line { id, from, to, capacity, capacity_back }
    Frame { price_min, price_max, periods, areas, lines, welfare_scale }
    Zone { offset_minutes, summer }
    AreaRule { code }
    LineRule { id, from, to, capacity, capacity_back }
    Timetable { session_minutes, open, gate, corridor, capacities, publish, acknowledge, two_runs }
    Fees { buy_minor_per_mwh, sell_minor_per_mwh, tax_millionths }
    RiskRules { funds, margin_days, margin_min_minor, clearance }
    OrderLimits {
        curve_points_max, quantity_max, blocks_per_portfolio_max, generations_max, orders_per_member_max,
        linear, blocks, complex,
    }
    MarketRules {
        market, effective_from, zone, currency, minor_decimals, price_decimals, order_price_step, price_min,
        price_max, quantity_decimals, order_quantity_step, period_minutes, areas, lines, timetable,
        late_capacity, limits, fees, risk, suspension, search_work,
    }
    AuctionId { day, market, session }
    Capacity { auction, revision, lines }
    Refusal { reject, place, missing }
    Clearance { buy_watts, sell_watts }
    ScheduleRow { portfolio, area, net }
    AuctionInfo {
        auction, rules, delivery_start_us, periods, first_block, blocks_in_day, open_us, gate_us, corridor_us,
        capacities_us, publish_us, acknowledge_us,
    }
    MeterBatch { day, revision, content, readings, estimated, total_wh, frequency_mhz, rows }
    MeterRow { portfolio, area, net_wh, estimated }
    Rate { basis, millionths }
    Band { until_millionths, over, under }
    BandTable { below_mhz, bands }
    Category { name, tables }
    Placing { portfolio, category, capacity_watts }
    DeviationRules { effective_from, scheme, placings }
    MemberNet { energy_minor, fee_minor, tax_minor, deviation_minor }
}

impl Keep for TextId {
    fn put(&self, out: &mut Writer<'_>) {
        super::put_length(self.as_bytes().len(), out);
        out.bytes(self.as_bytes());
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let length = from.length()?;
        Self::from_bytes(from.slice(length)?).ok_or(Damaged("an id is not one"))
    }
}

impl Keep for Reject {
    fn put(&self, out: &mut Writer<'_>) {
        self.code().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let code = u16::take(from)?;
        let reject = Self::ALL.iter().find(|it| it.code() == code);
        reject.copied().ok_or(Damaged("no refusal has this code"))
    }
}
