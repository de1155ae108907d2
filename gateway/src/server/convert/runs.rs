//! Runs, meters, deviation rules, payments and holds, as the clearing house sees and sends them.

use super::faults::Faults;
use super::operator::{self, Registry, code};
use super::settlement::Names;
use super::units::{Scale, currency, day, whole};
use merit_engine::calendar::Day;
use merit_engine::command::Action;
use merit_engine::ids::MemberId;
use merit_engine::reject::Reject;
use merit_engine::rules::MarketRules;
use merit_engine::settlement::{
    Band, BandTable, Basis, Category, DeviationRules, Hold, HoldEnd, MemberNet, MeterBatch, Payment, Placing,
    Rate, RunRequest, RunStatus, Scheme, SettlementAction, SettlementRun,
};
use merit_proto::v1;
use merit_proto::v1::RejectReason;

/// The contract's status of a run.
#[must_use]
pub fn status_out(status: RunStatus) -> v1::RunStatus {
    match status {
        RunStatus::Provisional => v1::RunStatus::Provisional,
        RunStatus::Final => v1::RunStatus::Final,
        RunStatus::Resettled => v1::RunStatus::Resettled,
    }
}

/// A run.
#[must_use]
pub fn run(run: &SettlementRun, rules: &MarketRules, names: &impl Names) -> v1::SettlementRun {
    let money = |minor| Scale::of(rules).money(minor);
    let net = |(member, it): &(MemberId, MemberNet)| v1::MemberNet {
        member: names.member(*member),
        energy_micros: money(it.energy_minor),
        fee_micros: money(it.fee_minor),
        tax_micros: money(it.tax_minor),
        deviation_micros: money(it.deviation_minor),
        net_micros: money(it.net_minor()),
    };
    let totals = &run.totals;
    v1::SettlementRun {
        delivery_day: run.request.day.to_string(),
        run: run.run,
        status: status_out(run.request.status).into(),
        reason: run.request.reason.clone(),
        effective_day: run.request.effective.to_string(),
        inputs_digest: run.inputs.to_be_bytes().to_vec(),
        currency: currency(rules),
        totals: Some(v1::RunTotals {
            auctions: totals.auctions,
            obligations: totals.obligations,
            readings: totals.readings,
            estimated: totals.estimated,
            pay_in_micros: money(totals.pay_in_minor),
            pay_out_micros: money(totals.pay_out_minor),
            congestion_micros: money(totals.congestion_minor),
            fees_micros: money(totals.fees_minor),
            tax_micros: money(totals.tax_minor),
            deviation_micros: money(totals.deviation_minor),
            rounding_micros: money(totals.rounding_minor),
        }),
        members: run.members.iter().map(net).collect(),
        deltas: run.deltas.iter().map(net).collect(),
        deviations: run
            .deviations
            .iter()
            .map(|it| v1::Deviation {
                member: names.member(it.member),
                portfolio: names.portfolio(it.portfolio),
                area: it.area.to_string(),
                block: u32::from(it.block),
                scheduled_watt_minutes: it.scheduled_watt_minutes,
                metered_watt_hours: it.metered_wh,
                estimated: it.estimated,
                amount_micros: money(it.minor),
            })
            .collect(),
    }
}

/// A meter batch.
#[must_use]
pub fn meter_batch(batch: &MeterBatch) -> v1::MeterBatch {
    v1::MeterBatch {
        delivery_day: batch.day.to_string(),
        revision: batch.revision,
        content_sha256: batch.content.to_vec(),
        readings: batch.readings,
        estimated: batch.estimated,
        total_watt_hours: batch.total_wh,
    }
}

/// Deviation rules.
#[must_use]
pub fn deviation_rules(rules: &DeviationRules, names: &impl Names) -> v1::DeviationRules {
    let rate = |it: Rate| v1::DeviationRate {
        basis: match it.basis {
            Basis::Reference => v1::PriceBasis::Reference.into(),
            Basis::Normal => v1::PriceBasis::Normal.into(),
        },
        millionths: it.millionths,
    };
    let bound = |it: u32| (it != u32::MAX).then_some(it);
    let band = |it: &Band| v1::DeviationBand {
        until_millionths: bound(it.until_millionths),
        over: Some(rate(it.over)),
        under: Some(rate(it.under)),
    };
    let table = |it: &BandTable| v1::DeviationTable {
        below_millihertz: bound(it.below_mhz),
        bands: it.bands.iter().map(band).collect(),
    };
    let categories: &[Category] = match &rules.scheme {
        Scheme::Bands(categories) => categories,
        Scheme::TwoPrice => &[],
    };
    let placing = |it: &Placing| v1::DeviationPlacing {
        portfolio: names.portfolio(it.portfolio),
        category: categories.get(usize::from(it.category)).map_or_else(String::new, |it| it.name.to_string()),
        capacity_watts: it.capacity_watts,
    };
    v1::DeviationRules {
        effective_from: rules.effective_from.to_string(),
        categories: categories
            .iter()
            .map(|it| v1::DeviationCategory {
                name: it.name.to_string(),
                tables: it.tables.iter().map(table).collect(),
            })
            .collect(),
        placings: rules.placings.iter().map(placing).collect(),
    }
}

/// Reads a day.
pub fn day_in(text: &str, field: &str, faults: &mut Faults) -> Option<Day> {
    let found = day(text);
    if found.is_none() {
        let reason = if text.is_empty() { RejectReason::MissingField } else { RejectReason::MalformedId };
        faults.malformed(reason, field, "must be a day like 2026-11-23 that exists");
    }
    found
}

fn unknown(field: &str, faults: &mut Faults) {
    faults.malformed(RejectReason::UnknownEnumValue, field, "no such value");
}

/// Reads a request for a run.
pub fn run_in(request: &v1::RunSettlementRequest, faults: &mut Faults) -> Option<Action> {
    let day = day_in(&request.delivery_day, "delivery_day", faults);
    let effective = match &request.effective_day {
        Some(text) => day_in(text, "effective_day", faults),
        None => day,
    };
    let status = match request.status() {
        v1::RunStatus::Provisional => Some(RunStatus::Provisional),
        v1::RunStatus::Final => Some(RunStatus::Final),
        v1::RunStatus::Resettled => Some(RunStatus::Resettled),
        v1::RunStatus::Unspecified => None,
    };
    if status.is_none() {
        unknown("status", faults);
    }
    let reason = request.reason.clone();
    let request = RunRequest { day: day?, status: status?, reason, effective: effective? };
    Some(Action::Settle(SettlementAction::Run(request)))
}

/// Whole minor units, or a refusal.
fn minor_in(micros: i64, rules: Option<&MarketRules>, faults: &mut Faults) -> Option<i64> {
    let Some(rules) = rules else {
        faults.reject(Reject::AmountOutOfRange, "amount_micros");
        return None;
    };
    let (minor, exact) = whole(micros, Scale::of(rules).minor);
    if !exact {
        faults.reject(Reject::AmountOutOfRange, "amount_micros");
    }
    Some(minor)
}

/// Reads a payment.
pub fn payment_in(
    request: &v1::RecordPaymentRequest,
    faults: &mut Faults,
    registry: &impl Registry,
    rules: Option<&MarketRules>,
) -> Option<Action> {
    let member = operator::member(&request.member, faults, registry);
    let minor = minor_in(request.amount_micros, rules, faults);
    let value_day = day_in(&request.value_day, "value_day", faults);
    let reference = code(&request.reference, "reference", faults);
    let payment = Payment { member: member?, minor: minor?, value_day: value_day?, reference: reference? };
    Some(Action::Settle(SettlementAction::Pay(payment)))
}

/// Reads a request for a hold.
pub fn hold_in(
    request: &v1::PlaceHoldRequest,
    faults: &mut Faults,
    registry: &impl Registry,
    rules: Option<&MarketRules>,
) -> Option<Action> {
    let member = operator::member(&request.member, faults, registry);
    let minor = minor_in(request.amount_micros, rules, faults);
    let hold = Hold { member: member?, minor: minor?, reason: request.reason.clone() };
    Some(Action::Settle(SettlementAction::Hold(hold)))
}

/// Reads how a hold ends.
pub fn hold_end_in(request: &v1::EndHoldRequest, faults: &mut Faults) -> Option<Action> {
    let end = match request.end() {
        v1::HoldEnd::Posted => HoldEnd::Posted,
        v1::HoldEnd::Released => HoldEnd::Released,
        v1::HoldEnd::Unspecified => {
            unknown("end", faults);
            return None;
        }
    };
    Some(Action::Settle(SettlementAction::EndHold { hold: request.hold_id, end }))
}

fn rate_in(rate: Option<&v1::DeviationRate>, field: &str, faults: &mut Faults) -> Option<Rate> {
    let basis = match rate.map(v1::DeviationRate::basis) {
        Some(v1::PriceBasis::Reference) => Basis::Reference,
        Some(v1::PriceBasis::Normal) => Basis::Normal,
        Some(v1::PriceBasis::Unspecified) | None => {
            unknown(&format!("{field}.basis"), faults);
            return None;
        }
    };
    Some(Rate { basis, millionths: rate.map_or(0, |it| it.millionths) })
}

fn category_in(at: usize, category: &v1::DeviationCategory, faults: &mut Faults) -> Option<Category> {
    let root = format!("rules.categories[{at}]");
    let name = code(&category.name, &format!("{root}.name"), faults);
    let mut tables = Vec::with_capacity(category.tables.len());
    for (at, table) in category.tables.iter().enumerate() {
        let mut bands = Vec::with_capacity(table.bands.len());
        for (number, band) in table.bands.iter().enumerate() {
            let path = format!("{root}.tables[{at}].bands[{number}]");
            let over = rate_in(band.over.as_ref(), &format!("{path}.over"), faults);
            let under = rate_in(band.under.as_ref(), &format!("{path}.under"), faults);
            let until_millionths = band.until_millionths.unwrap_or(u32::MAX);
            bands.push(Band { until_millionths, over: over?, under: under? });
        }
        tables.push(BandTable { below_mhz: table.below_millihertz.unwrap_or(u32::MAX), bands });
    }
    Some(Category { name: name?, tables })
}

/// Reads deviation rules.
pub fn deviation_in(
    rules: Option<&v1::DeviationRules>,
    faults: &mut Faults,
    registry: &impl Registry,
) -> Option<Action> {
    let Some(rules) = rules else {
        faults.malformed(RejectReason::MissingField, "rules", "is needed");
        return None;
    };
    let effective_from = day_in(&rules.effective_from, "rules.effective_from", faults);
    let mut categories = Vec::with_capacity(rules.categories.len());
    for (at, it) in rules.categories.iter().enumerate() {
        categories.push(category_in(at, it, faults)?);
    }
    let mut placings = Vec::with_capacity(rules.placings.len());
    for (at, it) in rules.placings.iter().enumerate() {
        let portfolio = registry.portfolio(&it.portfolio);
        if portfolio.is_none() {
            faults.reject(Reject::UnknownPortfolio, format!("rules.placings[{at}].portfolio"));
        }
        let category = categories.iter().position(|known| known.name.as_str() == it.category);
        let category = if categories.is_empty() { Some(0) } else { category };
        let category = category.and_then(|it| u16::try_from(it).ok());
        if category.is_none() {
            faults.reject(Reject::DeviationInvalid, format!("rules.placings[{at}].category"));
        }
        placings.push(Placing {
            portfolio: portfolio?,
            category: category?,
            capacity_watts: it.capacity_watts,
        });
    }
    placings.sort_by_key(|it| it.portfolio);
    let scheme = if categories.is_empty() { Scheme::TwoPrice } else { Scheme::Bands(categories) };
    let rules = DeviationRules { effective_from: effective_from?, scheme, placings };
    Some(Action::Settle(SettlementAction::SetDeviation(rules)))
}
