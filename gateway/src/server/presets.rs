//! Market rules that a new exchange can start with. They are data: operators change any of it, from
//! any delivery day on, by command.
//!
//! Indian-style: 96 blocks of 15 minutes over 13 bid areas, bids from 10:00 to 11:00 the day before,
//! corridor request by 11:45, margins by 12:15, final by 13:00 (Indian Electricity Grid Code 2023,
//! regulation 49); 48 real-time sessions that open 75 and close 60 minutes before delivery; price
//! tick of bids Re 1 and of results 0.01, cap 10,000 Rs/MWh (CERC, from 4 April 2023); volumes in
//! 0.1 MW, results in 0.01 MW; fee 2 paise/kWh a side. European-style: harmonised limits −500 and
//! 4,000 EUR/MWh, bid tick 0.01 EUR and 0.1 MW, 15-minute market time unit, gate at noon the day
//! before. Transfer capacities of both are plausible, not published figures.

use merit_engine::calendar::{Day, Summer, Zone};
use merit_engine::ids::{Market, TextId};
use merit_engine::rules::{AreaRule, LateCapacity, LineRule, MarketRules, OrderLimits, Timetable};

/// Indian local time.
pub const INDIA: Zone = Zone { offset_minutes: 330, summer: Summer::None };
/// Central European local time.
pub const CENTRAL_EUROPE: Zone = Zone { offset_minutes: 60, summer: Summer::European };

/// The areas of the Indian market.
const INDIA_AREAS: [&str; 13] =
    ["N1", "N2", "N3", "E1", "E2", "W1", "W2", "W3", "S1", "S2", "S3", "A1", "A2"];

/// (from, to, MW forward, MW back).
const INDIA_LINES: [(&str, &str, i64, i64); 17] = [
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

const EUROPE_AREAS: [&str; 6] = ["AT", "BE", "CH", "DE", "FR", "NL"];

const EUROPE_LINES: [(&str, &str, i64, i64); 8] = [
    ("AT", "DE", 4_900, 4_900),
    ("AT", "CH", 1_200, 1_200),
    ("BE", "DE", 1_000, 1_000),
    ("BE", "FR", 2_500, 3_500),
    ("BE", "NL", 2_400, 2_400),
    ("CH", "DE", 4_000, 2_000),
    ("DE", "FR", 3_000, 3_000),
    ("DE", "NL", 4_200, 4_200),
];

/// Both Indian-style markets, from a delivery day on.
#[must_use]
pub fn india(effective_from: Day) -> Vec<MarketRules> {
    let dam = MarketRules {
        market: Market::Dam,
        effective_from,
        zone: INDIA,
        currency: *b"INR",
        minor_decimals: 2,
        price_decimals: 2,
        order_price_step: 100,
        price_min: 0,
        price_max: 1_000_000,
        quantity_decimals: 2,
        order_quantity_step: 10,
        period_minutes: 15,
        areas: areas(&INDIA_AREAS),
        lines: lines_of(&INDIA_AREAS, &INDIA_LINES, 100),
        timetable: Timetable {
            session_minutes: 0,
            open: -14 * 60,
            gate: -13 * 60,
            corridor: -(12 * 60 + 15),
            capacities: -(11 * 60 + 45),
            publish: -11 * 60,
            two_runs: true,
        },
        late_capacity: LateCapacity::UseStanding,
        limits: order_limits(64, 10_000 * 100),
        fee_minor_per_mwh: 2_000,
    };
    let mut rtm = dam.clone();
    rtm.market = Market::Rtm;
    rtm.timetable = Timetable {
        session_minutes: 30,
        open: -75,
        gate: -60,
        corridor: -60,
        capacities: -60,
        publish: -45,
        two_runs: false,
    };
    vec![dam, rtm]
}

/// Both European-style markets, from a delivery day on. The real-time market has hourly sessions.
#[must_use]
pub fn european(effective_from: Day) -> Vec<MarketRules> {
    let dam = MarketRules {
        market: Market::Dam,
        effective_from,
        zone: CENTRAL_EUROPE,
        currency: *b"EUR",
        minor_decimals: 2,
        price_decimals: 2,
        order_price_step: 1,
        price_min: -50_000,
        price_max: 400_000,
        quantity_decimals: 3,
        order_quantity_step: 100,
        period_minutes: 15,
        areas: areas(&EUROPE_AREAS),
        lines: lines_of(&EUROPE_AREAS, &EUROPE_LINES, 1_000),
        timetable: Timetable {
            session_minutes: 0,
            open: -24 * 60,
            gate: -12 * 60,
            corridor: -12 * 60,
            capacities: -12 * 60,
            publish: -(11 * 60 + 3),
            two_runs: false,
        },
        late_capacity: LateCapacity::UseStanding,
        limits: order_limits(256, 20_000 * 1_000),
        fee_minor_per_mwh: 4,
    };
    let mut rtm = dam.clone();
    rtm.market = Market::Rtm;
    rtm.timetable = Timetable {
        session_minutes: 60,
        open: -120,
        gate: -60,
        corridor: -60,
        capacities: -60,
        publish: -45,
        two_runs: false,
    };
    vec![dam, rtm]
}

fn order_limits(curve_points_max: u16, quantity_max: i64) -> OrderLimits {
    OrderLimits {
        curve_points_max,
        quantity_max,
        blocks_per_portfolio_max: 50,
        generations_max: 3,
        orders_per_member_max: 100_000,
        linear: true,
        blocks: true,
        complex: true,
    }
}

fn code(text: &str) -> TextId {
    TextId::new(text).expect("the codes of this file keep the rule")
}

fn areas(codes: &[&str]) -> Vec<AreaRule> {
    codes.iter().map(|it| AreaRule { code: code(it) }).collect()
}

fn lines_of(areas: &[&str], lines: &[(&str, &str, i64, i64)], lots_per_mw: i64) -> Vec<LineRule> {
    let index = |area: &str| {
        let found = areas.iter().position(|it| *it == area);
        u16::try_from(found.expect("lines join areas of their market")).expect("there are few areas")
    };
    lines
        .iter()
        .map(|(from, to, forward, back)| LineRule {
            id: code(&format!("{from}-{to}")),
            from: index(from),
            to: index(to),
            capacity: forward * lots_per_mw,
            capacity_back: back * lots_per_mw,
        })
        .collect()
}
