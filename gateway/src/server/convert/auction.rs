//! Auctions, results and curves, as the contract shows them to everybody.

use super::units::{Scale, currency, decimal, market_out, time_row, timestamp};
use merit_engine::calendar::MINUTE_US;
use merit_engine::event::{AuctionInfo, Phase, PublishedResult};
use merit_engine::rules::MarketRules;
use merit_proto::v1;
use std::collections::BTreeMap;

/// The contract's phase.
#[must_use]
pub fn phase_out(phase: Phase) -> v1::AuctionPhase {
    match phase {
        Phase::Scheduled => v1::AuctionPhase::Scheduled,
        Phase::Open => v1::AuctionPhase::Open,
        Phase::ClearingUnconstrained => v1::AuctionPhase::UnconstrainedRun,
        Phase::AwaitingCapacity => v1::AuctionPhase::AwaitingCapacity,
        Phase::Clearing => v1::AuctionPhase::ConstrainedRun,
        Phase::Published => v1::AuctionPhase::Published,
        Phase::Halted => v1::AuctionPhase::Halted,
        Phase::Cancelled => v1::AuctionPhase::Cancelled,
    }
}

/// What follows a phase when nothing exceptional happens.
#[must_use]
pub fn phase_next(phase: Phase, rules: &MarketRules) -> Option<v1::AuctionPhase> {
    match phase {
        Phase::Scheduled => Some(v1::AuctionPhase::Open),
        Phase::Open if rules.timetable.two_runs => Some(v1::AuctionPhase::UnconstrainedRun),
        Phase::Open | Phase::ClearingUnconstrained => Some(v1::AuctionPhase::AwaitingCapacity),
        Phase::AwaitingCapacity => Some(v1::AuctionPhase::ConstrainedRun),
        Phase::Clearing => Some(v1::AuctionPhase::Published),
        Phase::Published | Phase::Halted | Phase::Cancelled => None,
    }
}

/// How final the figures of an auction in a phase are.
#[must_use]
pub fn status_of(phase: Phase) -> v1::PublicationStatus {
    match phase {
        Phase::Published => v1::PublicationStatus::Final,
        Phase::Cancelled => v1::PublicationStatus::Cancelled,
        Phase::Scheduled
        | Phase::Open
        | Phase::ClearingUnconstrained
        | Phase::AwaitingCapacity
        | Phase::Clearing
        | Phase::Halted => v1::PublicationStatus::NotPublished,
    }
}

/// An auction, without its rows.
#[must_use]
pub fn auction(info: &AuctionInfo, phase: Phase, next_due_us: Option<i64>) -> v1::Auction {
    let rules = &info.rules;
    let scale = Scale::of(rules);
    let minutes = i64::from(info.periods) * i64::from(rules.period_minutes);
    let area =
        |index: u16| rules.areas.get(usize::from(index)).map_or_else(String::new, |it| it.code.to_string());
    v1::Auction {
        auction_id: info.auction.to_string(),
        market: market_out(info.auction.market).into(),
        delivery_day: info.auction.day.to_string(),
        session: u32::from(info.auction.session),
        phase: phase_out(phase).into(),
        phase_next: phase_next(phase, rules).map(Into::into),
        phase_next_due: next_due_us.map(timestamp),
        opens_at: Some(timestamp(info.open_us)),
        gate_closes_at: Some(timestamp(info.gate_us)),
        publishes_at: Some(timestamp(info.publish_us)),
        delivery_start: Some(timestamp(info.delivery_start_us)),
        delivery_end: Some(timestamp(info.delivery_start_us + minutes * MINUTE_US)),
        currency: currency(rules),
        price_tick_micros_per_mwh: scale.price(1),
        order_price_tick_micros_per_mwh: scale.price(rules.order_price_step),
        price_min_micros_per_mwh: scale.price(rules.price_min),
        price_max_micros_per_mwh: scale.price(rules.price_max),
        quantity_tick_watts: scale.watts(1),
        order_quantity_tick_watts: scale.watts(rules.order_quantity_step),
        resolution_minutes: u32::from(rules.period_minutes),
        periods: u32::from(info.periods),
        areas: rules.areas.iter().map(|it| it.code.to_string()).collect(),
        lines: rules
            .lines
            .iter()
            .map(|it| v1::Line { line: it.id.to_string(), from: area(it.from), to: area(it.to) })
            .collect(),
        status: status_of(phase).into(),
        revision: (phase == Phase::Published).then_some(1),
        notice: None,
        rows: Vec::new(),
    }
}

/// A published result.
#[must_use]
pub fn result(published: &PublishedResult, published_us: i64) -> v1::Result {
    let info = &published.info;
    let rules = &info.rules;
    let bought: i128 = published.bought.iter().map(|it| i128::from(*it)).sum();
    let scale = Scale::of(rules);
    let watt_hours = bought * i128::from(scale.lot) * i128::from(rules.period_minutes) / 60;
    let outcome = &published.outcome;
    let undecided = outcome.blocks_rejected.iter().map(|it| it.reason);
    let undecided = undecided.chain(outcome.complex_rejected.iter().map(|it| it.reason));
    let undecided = undecided.filter(|it| *it == merit_engine::outcome::Rejection::WorkLimit).count();
    v1::Result {
        auction_id: info.auction.to_string(),
        revision: Some(published.revision),
        status: final_status(published.revision).into(),
        published_at: Some(timestamp(published_us)),
        areas: area_rows(published),
        flows: flow_rows(published),
        welfare: welfare(outcome.welfare, info),
        bound: welfare(outcome.bound, info),
        energy_watt_hours: i64::try_from(watt_hours).ok(),
        blocks_undecided: u32::try_from(undecided).ok(),
    }
}

/// How final a published revision is: a later one corrects the one before.
#[must_use]
pub fn final_status(revision: u32) -> v1::PublicationStatus {
    if revision > 1 { v1::PublicationStatus::Corrected } else { v1::PublicationStatus::Final }
}

/// The answer for an auction that has no result (yet).
#[must_use]
pub fn no_result(info: &AuctionInfo, phase: Phase) -> v1::Result {
    v1::Result {
        auction_id: info.auction.to_string(),
        status: status_of(phase).into(),
        ..v1::Result::default()
    }
}

fn at(values: &[i64], index: usize) -> i64 {
    values.get(index).copied().unwrap_or_default()
}

fn area_rows(published: &PublishedResult) -> Vec<v1::AreaRow> {
    let info = &published.info;
    let scale = Scale::of(&info.rules);
    let areas = info.rules.areas.len();
    let mut rows = Vec::with_capacity(areas * usize::from(info.periods));
    for period in 0..info.periods {
        for (index, area) in info.rules.areas.iter().enumerate() {
            let cell = usize::from(period) * areas + index;
            let (bought, sold) = (at(&published.bought, cell), at(&published.sold, cell));
            rows.push(v1::AreaRow {
                row: Some(time_row(info, period, published.revision, final_status(published.revision))),
                area: area.code.to_string(),
                price_micros_per_mwh: scale.price(at(&published.outcome.prices, cell)),
                bought_watts: scale.watts(bought),
                sold_watts: scale.watts(sold),
                net_position_watts: scale.watts(sold - bought),
            });
        }
    }
    rows
}

fn flow_rows(published: &PublishedResult) -> Vec<v1::FlowRow> {
    let info = &published.info;
    let scale = Scale::of(&info.rules);
    let (areas, lines) = (info.rules.areas.len(), info.rules.lines.len());
    let mut rows = Vec::with_capacity(lines * usize::from(info.periods));
    for period in 0..info.periods {
        let number = usize::from(period);
        for (index, line) in info.rules.lines.iter().enumerate() {
            let flow = at(&published.outcome.flows, number * lines + index);
            let (forward, back) = published
                .capacities
                .get(index)
                .map_or((0, 0), |(forward, back)| (at(forward, number), at(back, number)));
            let price = |area: u16| at(&published.outcome.prices, number * areas + usize::from(area));
            rows.push(v1::FlowRow {
                row: Some(time_row(info, period, published.revision, final_status(published.revision))),
                line: line.id.to_string(),
                flow_watts: scale.watts(flow),
                capacity_watts: scale.watts(forward),
                capacity_back_watts: scale.watts(back),
                congested: (flow == forward || flow == -back) && price(line.from) != price(line.to),
            });
        }
    }
    rows
}

/// Welfare in money, as an exact decimal; nothing if the rules have no money.
#[must_use]
pub fn welfare(grid: i128, info: &AuctionInfo) -> Option<String> {
    let rules = &info.rules;
    let per_minor = merit_engine::money::Money::new(rules)?.fixed;
    // Grid units per minor unit divide 20 × 10^(both decimals), since periods are a multiple of three
    // minutes; so two more decimals hold the quotient exactly.
    let finer = u32::from(rules.price_decimals) + u32::from(rules.quantity_decimals) + 2;
    let scaled = grid.checked_mul(10_i128.checked_pow(finer)?)?;
    Some(decimal(scaled / per_minor, finer + u32::from(rules.minor_decimals)))
}

/// The aggregated curves of each area and period of a published auction.
#[must_use]
pub fn curves(published: &PublishedResult) -> Vec<(u16, u16, v1::AggregatedCurve)> {
    let info = &published.info;
    let areas = u16::try_from(info.rules.areas.len()).unwrap_or(u16::MAX);
    let mut found = Vec::new();
    for period in 0..info.periods {
        for area in 0..areas {
            let cell = usize::from(period) * usize::from(areas) + usize::from(area);
            let Some(curve) = published.curves.get(cell) else { continue };
            let scale = Scale::of(&info.rules);
            let points = |list: &[(i64, i64)]| {
                let point = |(price, lots): &(i64, i64)| v1::CurvePoint {
                    price_micros_per_mwh: scale.price(*price),
                    quantity_watts: scale.watts(*lots),
                };
                list.iter().map(point).collect()
            };
            let code = info.rules.areas.get(usize::from(area)).map(|it| it.code.to_string());
            found.push((
                period,
                area,
                v1::AggregatedCurve {
                    row: Some(time_row(info, period, 1, v1::PublicationStatus::Final)),
                    area: code,
                    demand: points(&curve.buy),
                    supply: points(&curve.sell),
                    block_bought_watts: 0,
                    block_sold_watts: 0,
                },
            ));
        }
    }
    found
}

/// The whole market's curve of one period out of those of its areas.
#[must_use]
pub fn market_curve(areas: &[v1::AggregatedCurve]) -> v1::AggregatedCurve {
    let row = areas.first().and_then(|it| it.row.clone());
    let demand: Vec<_> = areas.iter().map(|it| it.demand.as_slice()).collect();
    let supply: Vec<_> = areas.iter().map(|it| it.supply.as_slice()).collect();
    let mut demand = sum_of_curves(&demand, |price| -price);
    demand.retain(|it| it.quantity_watts > 0);
    v1::AggregatedCurve {
        row,
        area: None,
        demand,
        supply: sum_of_curves(&supply, |price| price),
        block_bought_watts: areas.iter().fold(0, |sum, it| sum.saturating_add(it.block_bought_watts)),
        block_sold_watts: areas.iter().fold(0, |sum, it| sum.saturating_add(it.block_sold_watts)),
    }
}

/// Adds curves of cumulated quantities, each ordered by `rank` of its prices.
fn sum_of_curves(curves: &[&[v1::CurvePoint]], rank: impl Fn(i64) -> i64) -> Vec<v1::CurvePoint> {
    let mut steps: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for curve in curves {
        let mut before = 0;
        for point in *curve {
            let step =
                steps.entry(rank(point.price_micros_per_mwh)).or_insert((point.price_micros_per_mwh, 0));
            step.1 = step.1.saturating_add(point.quantity_watts - before);
            before = point.quantity_watts;
        }
    }
    let mut cumulated = 0_i64;
    let point = |(price, step): (i64, i64)| {
        cumulated = cumulated.saturating_add(step);
        v1::CurvePoint { price_micros_per_mwh: price, quantity_watts: cumulated }
    };
    steps.into_values().map(point).collect()
}
