//! Market rules as dated data: what is traded, on which grid, between which areas, and when.
//!
//! Rules enter by command, are journaled, and hold for delivery days from `effective_from` on until
//! the next set begins. An auction keeps the rules it was created under, so history stays
//! reproducible. Sources of the shipped presets are named where the presets are built.

use crate::calendar::{Day, Zone};
use crate::ids::{Market, TextId};
use alloc::vec::Vec;

/// A bid area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AreaRule {
    /// Code, unique, e.g. `N1`.
    pub code: TextId,
}

/// A transfer line with its standing capacity, used when the dispatch centre sends none in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRule {
    /// Unique among lines.
    pub id: TextId,
    /// Index into the areas.
    pub from: u16,
    /// Index into the areas.
    pub to: u16,
    /// Standing ATC `from` → `to`, lots.
    pub capacity: i64,
    /// Standing ATC `to` → `from`, lots.
    pub capacity_back: i64,
}

/// The steps of one session, in minutes relative to the start of its delivery (negative = before).
///
/// Strictly increasing: open < gate ≤ corridor ≤ capacities < publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timetable {
    /// Length of a session's delivery in minutes; 0 = the whole local day is one session.
    pub session_minutes: u16,
    /// Orders are taken from here.
    pub open: i32,
    /// Gate closure: from this instant on no order is entered, changed or removed.
    pub gate: i32,
    /// The corridor request is due (two-run markets).
    pub corridor: i32,
    /// Capacities are due; what has not come by then follows [`LateCapacity`].
    pub capacities: i32,
    /// The final result is due.
    pub publish: i32,
    /// Whether an unconstrained run and a corridor request precede the constrained run.
    pub two_runs: bool,
}

/// What happens when the dispatch centre's capacities are not there in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateCapacity {
    /// The standing capacities of the rules hold; an alarm is raised.
    UseStanding,
    /// Areas clear alone (all capacities zero); an alarm is raised.
    Islands,
}

/// Bounds on what one order may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderLimits {
    /// Points of one curve in one period.
    pub curve_points_max: u16,
    /// Largest quantity of one point or one block period, lots.
    pub quantity_max: i64,
    /// Blocks and complex orders of one portfolio in one auction.
    pub blocks_per_portfolio_max: u16,
    /// Generations in a linked family, the oldest parent counted as 1.
    pub generations_max: u8,
    /// Live orders of one member in one auction.
    pub orders_per_member_max: u32,
    /// Whether linear curves are taken.
    pub linear: bool,
    /// Whether blocks are taken.
    pub blocks: bool,
    /// Whether complex orders are taken.
    pub complex: bool,
}

/// The rules of one market from one delivery day on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketRules {
    /// The market.
    pub market: Market,
    /// First local delivery day.
    pub effective_from: Day,
    /// Local time.
    pub zone: Zone,
    /// ISO 4217 code, e.g. `INR`.
    pub currency: [u8; 3],
    /// Decimals of the currency's minor unit (2 = paise, cents).
    pub minor_decimals: u8,
    /// A price tick is 10^−price_decimals currency units per MWh; clearing prices lie on it.
    pub price_decimals: u8,
    /// Limit prices are multiples of this many ticks.
    pub order_price_step: i64,
    /// Lowest price, ticks.
    pub price_min: i64,
    /// Highest price, ticks.
    pub price_max: i64,
    /// A lot is 10^−quantity_decimals MW; accepted quantities, capacities and flows lie on it.
    pub quantity_decimals: u8,
    /// Order quantities are multiples of this many lots.
    pub order_quantity_step: i64,
    /// Length of a delivery period, minutes; a multiple of 3 that divides the day and the session.
    pub period_minutes: u16,
    /// Bid areas.
    pub areas: Vec<AreaRule>,
    /// Lines between them.
    pub lines: Vec<LineRule>,
    /// Steps of a session.
    pub timetable: Timetable,
    /// The late-capacity rule.
    pub late_capacity: LateCapacity,
    /// Bounds on orders.
    pub limits: OrderLimits,
    /// Exchange fee of each side, minor units per MWh (2 paise/kWh = 2,000 paise/MWh).
    pub fee_minor_per_mwh: i64,
}
