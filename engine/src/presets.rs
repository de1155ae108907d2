//! Rules to start from: an Indian and a European-style market.
//!
//! Figures that a rule book fixes are named with it; the rest is plausible and meant to be replaced
//! by whoever runs an exchange. Line capacities are invented, of the size of the published ones.

use crate::calendar::{Day, Summer, Zone};
use crate::ids::{Market, TextId};
use crate::rules::{
    AreaRule, Fees, FundsRule, LateCapacity, LineRule, MarketRules, OrderLimits, RiskRules, Suspension,
    Timetable,
};
use alloc::format;
use alloc::vec::Vec;

/// The bid areas of the Indian exchanges.
pub const INDIAN_AREAS: [&str; 13] =
    ["N1", "N2", "N3", "E1", "E2", "W1", "W2", "W3", "S1", "S2", "S3", "A1", "A2"];

/// (from, to, MW forward, MW backward) between Indian areas: neighbours on the map, invented sizes.
const INDIAN_LINES: [(&str, &str, i64, i64); 17] = [
    ("N1", "N2", 3_000, 3_000),
    ("N2", "N3", 3_500, 3_500),
    ("N1", "N3", 2_000, 2_000),
    ("W1", "N2", 6_000, 4_000),
    ("W3", "N2", 4_000, 3_000),
    ("E1", "N2", 3_500, 2_500),
    ("E1", "E2", 2_500, 2_500),
    ("W1", "W2", 5_000, 5_000),
    ("W1", "W3", 4_500, 4_500),
    ("W3", "E2", 3_000, 3_000),
    ("W2", "S1", 3_000, 2_500),
    ("W3", "S1", 3_500, 2_500),
    ("E2", "S1", 2_500, 1_500),
    ("S1", "S2", 3_500, 3_000),
    ("S2", "S3", 2_000, 1_500),
    ("E1", "A2", 1_200, 1_200),
    ("A2", "A1", 800, 800),
];

/// Areas of the European-style market.
pub const EUROPEAN_AREAS: [&str; 8] = ["AT", "BE", "CH", "CZ", "DE", "FR", "NL", "PL"];

const EUROPEAN_LINES: [(&str, &str, i64, i64); 11] = [
    ("AT", "CH", 1_200, 1_200),
    ("AT", "CZ", 900, 900),
    ("AT", "DE", 4_900, 4_900),
    ("BE", "DE", 1_000, 1_000),
    ("BE", "FR", 1_800, 3_000),
    ("BE", "NL", 2_400, 2_400),
    ("CH", "DE", 4_000, 2_000),
    ("CZ", "DE", 2_200, 2_000),
    ("CZ", "PL", 600, 800),
    ("DE", "FR", 3_000, 3_000),
    ("DE", "NL", 4_300, 4_300),
];

fn text(id: &str) -> TextId {
    TextId::new(id).expect("the presets' ids are well-formed")
}

fn areas(codes: &[&str]) -> Vec<AreaRule> {
    codes.iter().map(|code| AreaRule { code: text(code) }).collect()
}

fn lines(areas: &[&str], lines: &[(&str, &str, i64, i64)], lots_per_mw: i64) -> Vec<LineRule> {
    let index = |code: &str| {
        let at = areas.iter().position(|it| *it == code).expect("the presets' lines join its areas");
        u16::try_from(at).expect("few areas")
    };
    let line = |&(from, to, forward, back): &(&str, &str, i64, i64)| LineRule {
        id: text(&format!("{from}-{to}")),
        from: index(from),
        to: index(to),
        capacity: forward * lots_per_mw,
        capacity_back: back * lots_per_mw,
    };
    lines.iter().map(line).collect()
}

/// Indian market: day-ahead and real-time, from a delivery day on.
///
/// - 13 bid areas; bids in Re 1/MWh and 0.1 MW, results in 0.01 Rs/MWh and 0.01 MW (files and rules
///   published by IEX and HPX); 0 to 10,000 Rs/MWh since 4 April 2023 (CERC).
/// - Day-ahead: bids 10:00–11:00, corridor request 11:45, margins 12:15, final 13:00 on the day
///   before delivery; real-time: session of 30 minutes, opens 75 and closes 60 minutes before
///   delivery, result 45 minutes before (IEGC 2023, Regulation 49(1)). The margins of the real-time
///   market come at closure; five minutes are left for them here before the late rule holds.
/// - The search for block decisions of a real-time session is short, so that its result is out in a few
///   hundredths of a second; a day-ahead run's may take some seconds.
/// - Fee 2 paise/kWh of each side, the regulator's cap, and 18 % goods and services tax on it.
/// - Day-ahead: to buy, a margin of the average daily purchase of the last seven days, and the funds
///   check between the runs; real-time: the worst case of every order is held. Clearances are off, for
///   they need a registry of the load dispatch centres; they are one field away.
#[must_use]
pub fn indian(effective_from: Day) -> [MarketRules; 2] {
    let dam = MarketRules {
        market: Market::Dam,
        effective_from,
        zone: Zone { offset_minutes: 330, summer: Summer::None },
        currency: *b"INR",
        minor_decimals: 2,
        price_decimals: 2,
        order_price_step: 100,
        price_min: 0,
        price_max: 1_000_000,
        quantity_decimals: 2,
        order_quantity_step: 10,
        period_minutes: 15,
        areas: areas(&INDIAN_AREAS),
        lines: lines(&INDIAN_AREAS, &INDIAN_LINES, 100),
        timetable: Timetable {
            session_minutes: 0,
            open: -14 * 60,
            gate: -13 * 60,
            corridor: -12 * 60 - 15,
            capacities: -11 * 60 - 45,
            publish: -11 * 60,
            acknowledge: Some(-10 * 60),
            two_runs: true,
        },
        late_capacity: LateCapacity::UseStanding,
        limits: OrderLimits {
            curve_points_max: 64,
            quantity_max: 1_000_000,
            blocks_per_portfolio_max: 50,
            generations_max: 3,
            orders_per_member_max: 10_000,
            linear: true,
            blocks: true,
            // No Indian exchange has them; they cost nothing where nobody enters one.
            complex: true,
        },
        fees: Fees { buy_minor_per_mwh: 2_000, sell_minor_per_mwh: 2_000, tax_millionths: 180_000 },
        risk: RiskRules {
            funds: FundsRule::CheckBetweenRuns,
            margin_days: 7,
            margin_min_minor: 0,
            clearance: false,
        },
        suspension: Suspension::CancelsOrders,
        search_work: 200_000,
    };
    let risk = RiskRules { funds: FundsRule::HoldAtEntry, ..dam.risk };
    let search_work = REAL_TIME_SEARCH_WORK;
    let rtm = MarketRules { market: Market::Rtm, timetable: REAL_TIME, risk, search_work, ..dam.clone() };
    [dam, rtm]
}

/// Search of a real-time session: with 200 blocks some 15 ms, after which nine of ten sessions gain nothing more
/// and the tenth 0.01 % of what its blocks add (`benches/RUNS.md`). A proof can take seconds; who wants it raises
/// this.
const REAL_TIME_SEARCH_WORK: u32 = 1_000;

const REAL_TIME: Timetable = Timetable {
    session_minutes: 30,
    open: -75,
    gate: -60,
    corridor: -60,
    capacities: -55,
    publish: -45,
    acknowledge: Some(-40),
    two_runs: false,
};

/// European-style market: day-ahead in quarter hours, from a delivery day on, and a real-time market
/// beside it with the Indian sessions (Europe has none of that form; it serves to try 46 and 50
/// sessions on the days of the clock change).
///
/// Harmonised prices −500 to 4,000 EUR/MWh, tick 0.01, 0.1 MW, 15-minute periods since 1 October
/// 2025, gate 12:00 and result 12:57 of the day before (SDAC; Nord Pool rule book 2026).
#[must_use]
pub fn european(effective_from: Day) -> [MarketRules; 2] {
    let [indian, _] = indian(effective_from);
    let dam = MarketRules {
        zone: Zone { offset_minutes: 60, summer: Summer::European },
        currency: *b"EUR",
        order_price_step: 1,
        price_min: -50_000,
        price_max: 400_000,
        quantity_decimals: 1,
        order_quantity_step: 1,
        areas: areas(&EUROPEAN_AREAS),
        lines: lines(&EUROPEAN_AREAS, &EUROPEAN_LINES, 10),
        timetable: Timetable {
            session_minutes: 0,
            open: -24 * 60,
            gate: -12 * 60,
            corridor: -12 * 60,
            capacities: -12 * 60 + 5,
            publish: -11 * 60 - 3,
            acknowledge: Some(-9 * 60 - 30),
            two_runs: false,
        },
        limits: OrderLimits {
            curve_points_max: 256,
            quantity_max: 100_000,
            blocks_per_portfolio_max: 200,
            orders_per_member_max: 100_000,
            complex: true,
            ..indian.limits
        },
        fees: Fees { buy_minor_per_mwh: 4, sell_minor_per_mwh: 4, tax_millionths: 0 },
        // Clearing houses look after collateral there, not the exchange.
        risk: RiskRules::NONE,
        suspension: Suspension::KeepsOrders,
        ..indian
    };
    let search_work = REAL_TIME_SEARCH_WORK;
    let rtm = MarketRules { market: Market::Rtm, timetable: REAL_TIME, search_work, ..dam.clone() };
    [dam, rtm]
}

#[cfg(test)]
mod tests {
    use super::{european, indian};
    use crate::calendar::Day;

    #[test]
    fn presets_keep_the_rules_about_rules() {
        for rules in indian(Day(20_779)).iter().chain(&european(Day(20_779))) {
            assert_eq!(rules.fault(), None);
        }
    }

    #[test]
    fn every_indian_area_is_on_the_grid() {
        let [rules, _] = indian(Day(20_779));
        for area in 0..13 {
            assert!(rules.lines.iter().any(|it| it.from == area || it.to == area), "area {area}");
        }
    }
}
