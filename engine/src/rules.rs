//! Market rules as dated data: what is traded, on which grid, between which areas, and when.
//!
//! Rules enter by command, are journaled, and hold for delivery days from `effective_from` on until
//! the next set begins. An auction keeps the rules it was created under, so history stays
//! reproducible. Sources of the shipped presets are named where the presets are built.

use crate::calendar::{Day, Summer, Zone};
use crate::ids::{Market, TextId};
use crate::limits;
use crate::money::Money;
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
/// Increasing: open < gate ≤ corridor ≤ capacities < publish ≤ acknowledge ≤ 0.
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
    /// The dispatch centre's acknowledgement of the schedule is due; nothing: none is waited for.
    pub acknowledge: Option<i32>,
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

/// What the exchange takes of both sides, by date and market as all rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fees {
    /// Of a buyer, minor units per MWh (2 paise/kWh = 2,000 paise/MWh).
    pub buy_minor_per_mwh: i64,
    /// Of a seller.
    pub sell_minor_per_mwh: i64,
    /// Tax on fees, millionths of them.
    pub tax_millionths: u32,
}

impl Fees {
    /// Lots × minor units per MWh of what is bought and sold in one period, without tax.
    #[must_use]
    pub fn product(&self, bought: i64, sold: i64) -> i128 {
        i128::from(bought) * i128::from(self.buy_minor_per_mwh)
            + i128::from(sold) * i128::from(self.sell_minor_per_mwh)
    }
}

/// How money is made sure of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FundsRule {
    /// Not by the exchange.
    None,
    /// The worst case of every order is held when it is entered (real-time markets).
    HoldAtEntry,
    /// A margin is needed to buy; what funds do not cover is taken out between the two runs (day-ahead
    /// markets with two runs).
    CheckBetweenRuns,
}

/// Collateral and grid access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RiskRules {
    /// How money is made sure of.
    pub funds: FundsRule,
    /// With [`FundsRule::CheckBetweenRuns`]: days over which the average of a member's purchases is
    /// the margin that it needs to buy.
    pub margin_days: u8,
    /// The least such margin, minor units.
    pub margin_min_minor: i64,
    /// Whether a portfolio needs a clearance for the area and side that it trades.
    pub clearance: bool,
}

impl RiskRules {
    /// Nothing is checked.
    pub const NONE: Self =
        Self { funds: FundsRule::None, margin_days: 1, margin_min_minor: 0, clearance: false };
}

/// What becomes of a member's open orders when it is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspension {
    /// They stand.
    KeepsOrders,
    /// They are taken back, up to the gate.
    CancelsOrders,
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
    /// Fees.
    pub fees: Fees,
    /// Collateral and grid access.
    pub risk: RiskRules,
    /// The rule for suspended members.
    pub suspension: Suspension,
    /// Units of work after which a run ends its search for block and complex decisions, proven optimal or
    /// not ([`crate::clearing::Limit`]): counted, so that every node ends it at the same point.
    pub search_work: u32,
}

/// Largest number of decimals of prices, quantities and money.
const DECIMALS_MAX: u8 = 6;

impl MarketRules {
    /// The field that contradicts another or breaks a bound, if any: the first in the order of the
    /// struct.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let grid = [
            (!(Day::MIN..=Day::MAX).contains(&self.effective_from), "effective_from"),
            (!(-840..=840).contains(&self.zone.offset_minutes), "zone"),
            (!self.currency.iter().all(u8::is_ascii_uppercase), "currency"),
            (self.minor_decimals > DECIMALS_MAX, "minor_decimals"),
            (self.price_decimals > DECIMALS_MAX, "price_decimals"),
            (!(1..=limits::PRICE_TICKS_MAX).contains(&self.order_price_step), "order_price_step"),
            (self.price_min < -limits::PRICE_TICKS_MAX, "price_min"),
            (self.price_max > limits::PRICE_TICKS_MAX || self.price_max <= self.price_min, "price_max"),
            (self.quantity_decimals > DECIMALS_MAX, "quantity_decimals"),
            (!(1..=limits::LOTS_MAX).contains(&self.order_quantity_step), "order_quantity_step"),
        ];
        let broken = grid.iter().find(|(broken, _)| *broken).map(|(_, field)| *field);
        broken
            .or_else(|| self.bounds_fault())
            .or_else(|| self.period_fault())
            .or_else(|| self.network_fault())
            .or_else(|| self.timetable_fault())
            .or_else(|| self.limits_fault())
            .or_else(|| self.money_fault())
            .or_else(|| (!(1..=limits::SEARCH_WORK_MAX).contains(&self.search_work)).then_some("search_work"))
            .or_else(|| Money::new(self).is_none().then_some("limits.quantity_max"))
    }

    fn bounds_fault(&self) -> Option<&'static str> {
        let off = |price: i64| price % self.order_price_step != 0;
        (off(self.price_min)).then_some("price_min").or(off(self.price_max).then_some("price_max"))
    }

    /// Periods divide the shortest and longest local day and the session, and each session too.
    fn period_fault(&self) -> Option<&'static str> {
        let unit = match self.zone.summer {
            Summer::None => 1_440,
            Summer::European => 60,
        };
        let (period, session) = (self.period_minutes, self.timetable.session_minutes);
        if period == 0 || !period.is_multiple_of(3) || unit % period != 0 {
            return Some("period_minutes");
        }
        let whole_day = session == 0;
        let fits = whole_day || (session.is_multiple_of(period) && unit % session == 0);
        (!fits).then_some("timetable.session_minutes")
    }

    fn network_fault(&self) -> Option<&'static str> {
        let areas = self.areas.len();
        if areas == 0 || areas > usize::from(limits::AREAS_MAX) {
            return Some("areas");
        }
        let mut codes: Vec<&TextId> = self.areas.iter().map(|it| &it.code).collect();
        codes.sort_unstable();
        if codes.windows(2).any(|pair| pair[0] == pair[1]) {
            return Some("areas");
        }
        let mut ids: Vec<&TextId> = self.lines.iter().map(|it| &it.id).collect();
        ids.sort_unstable();
        let capacity = 0..=limits::LOTS_MAX;
        let sound = |it: &LineRule| {
            it.from != it.to
                && usize::from(it.from.max(it.to)) < areas
                && capacity.contains(&it.capacity)
                && capacity.contains(&it.capacity_back)
        };
        let fits = self.lines.len() <= usize::from(limits::LINES_MAX)
            && ids.windows(2).all(|pair| pair[0] != pair[1])
            && self.lines.iter().all(sound);
        (!fits).then_some("lines")
    }

    fn timetable_fault(&self) -> Option<&'static str> {
        let it = &self.timetable;
        let steps = [
            (it.open < -limits::OPEN_MINUTES_MAX, "timetable.open"),
            (it.gate <= it.open, "timetable.gate"),
            (it.corridor < it.gate, "timetable.corridor"),
            (it.capacities < it.corridor, "timetable.capacities"),
            (it.publish <= it.capacities || it.publish > 0, "timetable.publish"),
            (it.acknowledge.is_some_and(|at| at < it.publish || at > 0), "timetable.acknowledge"),
        ];
        steps.iter().find(|(broken, _)| *broken).map(|(_, field)| *field)
    }

    fn limits_fault(&self) -> Option<&'static str> {
        let it = &self.limits;
        let largest = it.quantity_max >= self.order_quantity_step && it.quantity_max <= limits::LOTS_MAX;
        let bounds = [
            (it.curve_points_max == 0, "limits.curve_points_max"),
            (!largest, "limits.quantity_max"),
            (it.generations_max == 0, "limits.generations_max"),
            (it.orders_per_member_max == 0, "limits.orders_per_member_max"),
        ];
        bounds.iter().find(|(broken, _)| *broken).map(|(_, field)| *field)
    }

    fn money_fault(&self) -> Option<&'static str> {
        let (fees, risk) = (&self.fees, &self.risk);
        let two_runs = risk.funds != FundsRule::CheckBetweenRuns || self.timetable.two_runs;
        let bounds = [
            (fees.buy_minor_per_mwh < 0, "fees.buy_minor_per_mwh"),
            (fees.sell_minor_per_mwh < 0, "fees.sell_minor_per_mwh"),
            (fees.tax_millionths > limits::RATIO_UNIT, "fees.tax_millionths"),
            (!two_runs, "risk.funds"),
            (!(1..=limits::MARGIN_DAYS_MAX).contains(&risk.margin_days), "risk.margin_days"),
            (!(0..=limits::COLLATERAL_MAX).contains(&risk.margin_min_minor), "risk.margin_min_minor"),
        ];
        bounds.iter().find(|(broken, _)| *broken).map(|(_, field)| *field)
    }

    /// Index of the area with a code.
    #[must_use]
    pub fn area(&self, code: &str) -> Option<u16> {
        let found = self.areas.iter().position(|it| it.code.as_str() == code)?;
        u16::try_from(found).ok()
    }
}
