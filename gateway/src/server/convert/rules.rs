//! Market rules of the contract as the engine's, and back.

use super::faults::Faults;
use super::units::{Scale, day, market_in, market_out, whole};
use merit_engine::calendar::{Summer, Zone};
use merit_engine::ids::TextId;
use merit_engine::reject::Reject;
use merit_engine::rules::{
    AreaRule, Fees, FundsRule, LateCapacity, LineRule, MarketRules, OrderLimits, RiskRules, Suspension,
    Timetable,
};
use merit_proto::v1;
use merit_proto::v1::RejectReason;

/// Time zones by the names that people use.
const ZONES: [(&str, Zone); 5] = [
    ("Asia/Kolkata", Zone::INDIA),
    ("Europe/Berlin", Zone::CENTRAL_EUROPE),
    ("CET", Zone::CENTRAL_EUROPE),
    ("WET", Zone { offset_minutes: 0, summer: Summer::European }),
    ("UTC", Zone { offset_minutes: 0, summer: Summer::None }),
];

/// Units of work of a search where rules do not say.
const SEARCH_WORK: u32 = 200_000;

/// Rules as the contract shows them.
#[must_use]
pub fn rules_out(rules: &MarketRules) -> v1::MarketRules {
    let scale = Scale::of(rules);
    let area =
        |index: u16| rules.areas.get(usize::from(index)).map_or_else(String::new, |it| it.code.to_string());
    let zone = ZONES.iter().find(|(_, zone)| *zone == rules.zone).map_or("", |(name, _)| name);
    let line = |it: &LineRule| v1::LineRule {
        line: it.id.to_string(),
        from: area(it.from),
        to: area(it.to),
        capacity_watts: scale.watts(it.capacity),
        capacity_back_watts: scale.watts(it.capacity_back),
    };
    let late = match rules.late_capacity {
        LateCapacity::UseStanding => v1::LateCapacity::UseStanding,
        LateCapacity::Islands => v1::LateCapacity::Islands,
    };
    let suspension = match rules.suspension {
        Suspension::KeepsOrders => v1::Suspension::KeepsOrders,
        Suspension::CancelsOrders => v1::Suspension::CancelsOrders,
    };
    v1::MarketRules {
        market: market_out(rules.market).into(),
        effective_from: rules.effective_from.to_string(),
        zone: zone.into(),
        currency: super::units::currency(rules),
        minor_decimals: u32::from(rules.minor_decimals),
        price_decimals: u32::from(rules.price_decimals),
        order_price_tick_micros_per_mwh: scale.price(rules.order_price_step),
        price_min_micros_per_mwh: scale.price(rules.price_min),
        price_max_micros_per_mwh: scale.price(rules.price_max),
        quantity_decimals: u32::from(rules.quantity_decimals),
        order_quantity_tick_watts: scale.watts(rules.order_quantity_step),
        period_minutes: u32::from(rules.period_minutes),
        areas: rules.areas.iter().map(|it| it.code.to_string()).collect(),
        lines: rules.lines.iter().map(line).collect(),
        timetable: Some(timetable_out(&rules.timetable)),
        late_capacity: late.into(),
        limits: Some(limits_out(&rules.limits, scale)),
        fee_micros_per_mwh: scale.money(rules.fees.buy_minor_per_mwh),
        fees: Some(v1::Fees {
            buy_micros_per_mwh: scale.money(rules.fees.buy_minor_per_mwh),
            sell_micros_per_mwh: scale.money(rules.fees.sell_minor_per_mwh),
            tax_millionths: rules.fees.tax_millionths,
        }),
        risk: Some(risk_out(&rules.risk, scale)),
        suspension: suspension.into(),
        search_work: rules.search_work,
    }
}

fn risk_out(it: &RiskRules, scale: Scale) -> v1::RiskRules {
    let funds = match it.funds {
        FundsRule::None => v1::FundsRule::None,
        FundsRule::HoldAtEntry => v1::FundsRule::HoldAtEntry,
        FundsRule::CheckBetweenRuns => v1::FundsRule::CheckBetweenRuns,
    };
    v1::RiskRules {
        funds: funds.into(),
        margin_days: u32::from(it.margin_days),
        margin_min_micros: scale.money(it.margin_min_minor),
        clearance: it.clearance,
    }
}

fn timetable_out(it: &Timetable) -> v1::Timetable {
    v1::Timetable {
        session_minutes: u32::from(it.session_minutes),
        open: it.open,
        gate: it.gate,
        corridor: it.corridor,
        capacities: it.capacities,
        publish: it.publish,
        two_runs: it.two_runs,
        acknowledge: it.acknowledge,
    }
}

fn limits_out(it: &OrderLimits, scale: Scale) -> v1::OrderLimits {
    v1::OrderLimits {
        curve_points_max: u32::from(it.curve_points_max),
        quantity_max_watts: scale.watts(it.quantity_max),
        blocks_per_portfolio_max: u32::from(it.blocks_per_portfolio_max),
        generations_max: u32::from(it.generations_max),
        orders_per_member_max: it.orders_per_member_max,
        linear: it.linear,
        blocks: it.blocks,
        complex: it.complex,
    }
}

/// Reads rules; whether they contradict themselves is for the engine to say.
pub fn rules_in(rules: &v1::MarketRules, faults: &mut Faults) -> Option<MarketRules> {
    let mut reader = Reader { faults };
    let market = reader.given(market_in(rules.market), RejectReason::UnknownEnumValue, "rules.market");
    let effective =
        reader.given(day(&rules.effective_from), RejectReason::MalformedDate, "rules.effective_from");
    let zone = ZONES.iter().find(|(name, _)| *name == rules.zone).map(|(_, zone)| *zone);
    let zone = reader.given(zone, RejectReason::UnknownEnumValue, "rules.zone");
    let currency: Option<[u8; 3]> = rules.currency.as_bytes().try_into().ok();
    let currency = currency.filter(|it| it.iter().all(u8::is_ascii_uppercase));
    let currency = reader.given(currency, RejectReason::MalformedId, "rules.currency");
    let minor = reader.small(rules.minor_decimals, 6, "rules.minor_decimals");
    let price = reader.small(rules.price_decimals, 6, "rules.price_decimals");
    let quantity = reader.small(rules.quantity_decimals, 6, "rules.quantity_decimals");
    let unit = |decimals: Option<u8>| 10_i64.pow(6 - u32::from(decimals.unwrap_or(6)));
    let scale = Scale { tick: unit(price), lot: unit(quantity), minor: unit(minor) };
    let areas = reader.areas(&rules.areas);
    let lines = reader.lines(&rules.lines, &rules.areas, scale);
    let timetable = reader.timetable(rules.timetable.as_ref());
    let late = match v1::LateCapacity::try_from(rules.late_capacity) {
        Ok(v1::LateCapacity::UseStanding) => Some(LateCapacity::UseStanding),
        Ok(v1::LateCapacity::Islands) => Some(LateCapacity::Islands),
        Ok(v1::LateCapacity::Unspecified) | Err(_) => None,
    };
    let late_capacity = reader.given(late, RejectReason::UnknownEnumValue, "rules.late_capacity");
    let limits = reader.limits(rules.limits.as_ref(), scale);
    let tick = |micros, name: &str, reader: &mut Reader<'_>| reader.whole(micros, scale.tick, name);
    let order_price_step =
        tick(rules.order_price_tick_micros_per_mwh, "order_price_tick_micros_per_mwh", &mut reader);
    let price_min = tick(rules.price_min_micros_per_mwh, "price_min_micros_per_mwh", &mut reader);
    let price_max = tick(rules.price_max_micros_per_mwh, "price_max_micros_per_mwh", &mut reader);
    let step = reader.whole(rules.order_quantity_tick_watts, scale.lot, "order_quantity_tick_watts");
    let period_minutes = reader.short(rules.period_minutes, "rules.period_minutes");
    let fees = reader.fees(rules, scale);
    let risk = reader.risk(rules.risk.as_ref(), scale);
    let suspension = reader.suspension(rules.suspension);
    Some(MarketRules {
        market: market?,
        effective_from: effective?,
        zone: zone?,
        currency: currency?,
        minor_decimals: minor?,
        price_decimals: price?,
        order_price_step: order_price_step?,
        price_min: price_min?,
        price_max: price_max?,
        quantity_decimals: quantity?,
        order_quantity_step: step?,
        period_minutes: period_minutes?,
        areas: areas?,
        lines: lines?,
        timetable: timetable?,
        late_capacity: late_capacity?,
        limits: limits?,
        fees: fees?,
        risk: risk?,
        suspension: suspension?,
        search_work: match rules.search_work {
            0 => SEARCH_WORK,
            given => given,
        },
    })
}

struct Reader<'a> {
    faults: &'a mut Faults,
}

impl Reader<'_> {
    fn given<T>(&mut self, value: Option<T>, reason: RejectReason, field: &str) -> Option<T> {
        if value.is_none() {
            self.faults.malformed(reason, field, "this field is missing or has no value that is known");
        }
        value
    }

    fn small(&mut self, value: u32, most: u8, field: &str) -> Option<u8> {
        let read = u8::try_from(value).ok().filter(|it| *it <= most);
        self.given(read, RejectReason::NumberOutOfRange, field)
    }

    fn short(&mut self, value: u32, field: &str) -> Option<u16> {
        self.given(u16::try_from(value).ok(), RejectReason::NumberOutOfRange, field)
    }

    fn whole(&mut self, micros: i64, unit: i64, name: &str) -> Option<i64> {
        let (units, exact) = whole(micros, unit);
        if !exact {
            self.faults.reject(Reject::RulesInvalid, format!("rules.{name}"));
            return None;
        }
        Some(units)
    }

    fn code(&mut self, text: &str, field: &str) -> Option<TextId> {
        self.given(TextId::new(text), RejectReason::MalformedId, field)
    }

    fn areas(&mut self, codes: &[String]) -> Option<Vec<AreaRule>> {
        let mut areas = Vec::with_capacity(codes.len());
        for (index, it) in codes.iter().enumerate() {
            areas.push(AreaRule { code: self.code(it, &format!("rules.areas[{index}]"))? });
        }
        Some(areas)
    }

    fn lines(&mut self, lines: &[v1::LineRule], areas: &[String], scale: Scale) -> Option<Vec<LineRule>> {
        let place =
            |area: &String| areas.iter().position(|it| it == area).and_then(|it| u16::try_from(it).ok());
        let mut read = Vec::with_capacity(lines.len());
        for (index, it) in lines.iter().enumerate() {
            let (Some(from), Some(to)) = (place(&it.from), place(&it.to)) else {
                self.faults.reject(Reject::UnknownArea, format!("rules.lines[{index}]"));
                return None;
            };
            read.push(LineRule {
                id: self.code(&it.line, &format!("rules.lines[{index}].line"))?,
                from,
                to,
                capacity: self.whole(
                    it.capacity_watts,
                    scale.lot,
                    &format!("lines[{index}].capacity_watts"),
                )?,
                capacity_back: self.whole(
                    it.capacity_back_watts,
                    scale.lot,
                    &format!("lines[{index}].capacity_back_watts"),
                )?,
            });
        }
        Some(read)
    }

    fn timetable(&mut self, it: Option<&v1::Timetable>) -> Option<Timetable> {
        let it = self.given(it, RejectReason::MissingField, "rules.timetable")?;
        Some(Timetable {
            session_minutes: self.short(it.session_minutes, "rules.timetable.session_minutes")?,
            open: it.open,
            gate: it.gate,
            corridor: it.corridor,
            capacities: it.capacities,
            publish: it.publish,
            acknowledge: it.acknowledge,
            two_runs: it.two_runs,
        })
    }

    fn fees(&mut self, rules: &v1::MarketRules, scale: Scale) -> Option<Fees> {
        let Some(fees) = &rules.fees else {
            let fee = self.whole(rules.fee_micros_per_mwh, scale.minor, "fee_micros_per_mwh")?;
            return Some(Fees { buy_minor_per_mwh: fee, sell_minor_per_mwh: fee, tax_millionths: 0 });
        };
        Some(Fees {
            buy_minor_per_mwh: self.whole(fees.buy_micros_per_mwh, scale.minor, "fees.buy_micros_per_mwh")?,
            sell_minor_per_mwh: self.whole(
                fees.sell_micros_per_mwh,
                scale.minor,
                "fees.sell_micros_per_mwh",
            )?,
            tax_millionths: fees.tax_millionths,
        })
    }

    fn risk(&mut self, risk: Option<&v1::RiskRules>, scale: Scale) -> Option<RiskRules> {
        let Some(it) = risk else { return Some(RiskRules::NONE) };
        let funds = match v1::FundsRule::try_from(it.funds) {
            Ok(v1::FundsRule::None) => Some(FundsRule::None),
            Ok(v1::FundsRule::HoldAtEntry) => Some(FundsRule::HoldAtEntry),
            Ok(v1::FundsRule::CheckBetweenRuns) => Some(FundsRule::CheckBetweenRuns),
            Ok(v1::FundsRule::Unspecified) | Err(_) => None,
        };
        Some(RiskRules {
            funds: self.given(funds, RejectReason::UnknownEnumValue, "rules.risk.funds")?,
            margin_days: self.small(it.margin_days, u8::MAX, "rules.risk.margin_days")?,
            margin_min_minor: self.whole(it.margin_min_micros, scale.minor, "risk.margin_min_micros")?,
            clearance: it.clearance,
        })
    }

    fn suspension(&mut self, value: i32) -> Option<Suspension> {
        let read = match v1::Suspension::try_from(value) {
            Ok(v1::Suspension::Unspecified | v1::Suspension::KeepsOrders) => Some(Suspension::KeepsOrders),
            Ok(v1::Suspension::CancelsOrders) => Some(Suspension::CancelsOrders),
            Err(_) => None,
        };
        self.given(read, RejectReason::UnknownEnumValue, "rules.suspension")
    }

    fn limits(&mut self, it: Option<&v1::OrderLimits>, scale: Scale) -> Option<OrderLimits> {
        let it = self.given(it, RejectReason::MissingField, "rules.limits")?;
        Some(OrderLimits {
            curve_points_max: self.short(it.curve_points_max, "rules.limits.curve_points_max")?,
            quantity_max: self.whole(it.quantity_max_watts, scale.lot, "limits.quantity_max_watts")?,
            blocks_per_portfolio_max: self
                .short(it.blocks_per_portfolio_max, "rules.limits.blocks_per_portfolio_max")?,
            generations_max: self.small(it.generations_max, u8::MAX, "rules.limits.generations_max")?,
            orders_per_member_max: it.orders_per_member_max,
            linear: it.linear,
            blocks: it.blocks,
            complex: it.complex,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{rules_in, rules_out};
    use crate::server::convert::Faults;
    use merit_engine::calendar::Day;
    use merit_engine::presets;

    #[test]
    fn rules_come_back_as_they_went_out() {
        let presets = [presets::indian(Day(20_780)), presets::european(Day(20_780))].concat();
        for rules in presets {
            let mut faults = Faults::default();
            assert_eq!(rules_in(&rules_out(&rules), &mut faults), Some(rules));
            assert!(faults.is_empty());
        }
    }

    #[test]
    fn every_malformed_field_of_rules_is_named() {
        let mut rules = rules_out(&presets::indian(Day(20_780))[0]);
        rules.market = 9;
        rules.zone = "Mars/Olympus".into();
        rules.price_decimals = 7;
        rules.timetable = None;
        rules.lines[1].to = "N9".into();
        let mut faults = Faults::default();
        assert_eq!(rules_in(&rules, &mut faults), None);
        let fields: Vec<String> = faults.sorted().into_iter().map(|it| it.field).collect();
        let expected =
            ["rules.timetable", "rules.market", "rules.zone", "rules.price_decimals", "rules.lines[1]"];
        assert_eq!(fields, expected);
    }
}
