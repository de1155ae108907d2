//! Corridor requests, capacities and schedules, as the dispatch centre sees and sends them.

use super::auction::final_status;
use super::faults::Faults;
use super::units::{Scale, auction_id, time_row, timestamp, whole};
use merit_engine::command::{Action, Capacity};
use merit_engine::event::{AuctionInfo, ScheduleRow};
use merit_engine::ids::PortfolioId;
use merit_engine::reject::Reject;
use merit_proto::v1;
use merit_proto::v1::RejectReason;

/// What the unconstrained run wants to transfer. Sums of orders go to the dispatch centre only.
#[must_use]
pub fn corridor_request(info: &AuctionInfo, net_positions: &[i64], flows: &[i64]) -> v1::CorridorRequest {
    let rules = &info.rules;
    let scale = Scale::of(rules);
    let status = v1::PublicationStatus::Provisional;
    let mut wanted = Vec::with_capacity(flows.len());
    let mut areas = Vec::with_capacity(net_positions.len());
    for period in 0..info.periods {
        for (index, line) in rules.lines.iter().enumerate() {
            let cell = usize::from(period) * rules.lines.len() + index;
            let flow = flows.get(cell).copied().unwrap_or_default();
            let direction = if flow < 0 { v1::Direction::Backward } else { v1::Direction::Forward };
            wanted.push(v1::CorridorRow {
                row: Some(time_row(info, period, 1, status)),
                line: line.id.to_string(),
                direction: direction.into(),
                flow_watts: scale.watts(flow.saturating_abs()),
            });
        }
        for (index, area) in rules.areas.iter().enumerate() {
            let cell = usize::from(period) * rules.areas.len() + index;
            let net = net_positions.get(cell).copied().unwrap_or_default();
            areas.push(v1::InjectionRow {
                row: Some(time_row(info, period, 1, status)),
                area: area.code.to_string(),
                injection_watts: scale.watts(net.max(0)),
                drawal_watts: scale.watts(net.saturating_neg().max(0)),
            });
        }
    }
    v1::CorridorRequest {
        auction_id: info.auction.to_string(),
        revision: 1,
        due_at: Some(timestamp(info.capacities_us)),
        flows: wanted,
        areas,
        signature: None,
    }
}

/// Capacities as the exchange has taken them.
#[must_use]
pub fn capacities(capacity: &Capacity, info: &AuctionInfo) -> v1::CapacitiesInForce {
    let scale = Scale::of(&info.rules);
    let mut listed = Vec::with_capacity(capacity.lines.len() * 2);
    for (line, forward, back) in &capacity.lines {
        let name = info.rules.lines.get(usize::from(*line)).map_or_else(String::new, |it| it.id.to_string());
        for (direction, lots) in [(v1::Direction::Forward, forward), (v1::Direction::Backward, back)] {
            listed.push(v1::LineCapacity {
                line: name.clone(),
                direction: direction.into(),
                capacity_watts: lots.iter().map(|it| scale.watts(*it)).collect(),
            });
        }
    }
    v1::CapacitiesInForce {
        auction_id: capacity.auction.to_string(),
        revision: Some(capacity.revision),
        capacities: listed,
    }
}

/// Net injections of a portfolio in an area.
pub(super) struct Listed<'a> {
    pub(super) member: String,
    pub(super) portfolio: String,
    pub(super) area: String,
    /// Lots by period.
    pub(super) net: &'a [i64],
}

/// The rows of a schedule by area, member, portfolio.
pub(super) fn in_order<'a>(
    info: &AuctionInfo,
    rows: &'a [ScheduleRow],
    owner: impl Fn(PortfolioId) -> (String, String),
) -> Vec<Listed<'a>> {
    let listed = |it: &'a ScheduleRow| {
        let (member, portfolio) = owner(it.portfolio);
        let area = info.rules.areas.get(usize::from(it.area));
        let area = area.map_or_else(String::new, |it| it.code.to_string());
        Listed { member, portfolio, area, net: &it.net }
    };
    let mut listed: Vec<Listed<'_>> = rows.iter().map(listed).collect();
    listed.sort_by(|a, b| (&a.area, &a.member, &a.portfolio).cmp(&(&b.area, &b.member, &b.portfolio)));
    listed
}

/// A schedule. `owner` gives the codes of a portfolio's member and of the portfolio.
#[must_use]
pub fn schedule(
    info: &AuctionInfo,
    revision: u32,
    rows: &[ScheduleRow],
    owner: impl Fn(PortfolioId) -> (String, String),
) -> v1::Schedule {
    let scale = Scale::of(&info.rules);
    let listed = in_order(info, rows, owner);
    let row = |period: u16, it: &Listed<'_>| {
        let net = it.net.get(usize::from(period)).copied().filter(|net| *net != 0)?;
        Some(v1::ScheduleRow {
            row: Some(time_row(info, period, revision, final_status(revision))),
            member: it.member.clone(),
            portfolio: it.portfolio.clone(),
            area: it.area.clone(),
            net_watts: scale.watts(net),
        })
    };
    let of_period = |period| listed.iter().filter_map(move |it| row(period, it));
    v1::Schedule {
        auction_id: info.auction.to_string(),
        revision,
        status: final_status(revision).into(),
        rows: (0..info.periods).flat_map(of_period).collect(),
        acknowledged: false,
        signature: None,
    }
}

/// Capacities of a line, forward and back, as far as they have come.
type BothWays = (Option<Vec<i64>>, Option<Vec<i64>>);

/// Reads the capacities that the dispatch centre sends for an auction.
pub fn capacity_in(
    request: &v1::SubmitTransferCapacityRequest,
    info: &AuctionInfo,
    faults: &mut Faults,
) -> Option<Action> {
    let scale = Scale::of(&info.rules);
    let mut lines: Vec<BothWays> = vec![BothWays::default(); info.rules.lines.len()];
    for (index, it) in request.capacities.iter().enumerate() {
        let place = info.rules.lines.iter().position(|line| line.id.as_str() == it.line);
        let Some(entry) = place.and_then(|place| lines.get_mut(place)) else {
            faults.reject(Reject::LinesIncomplete, format!("capacities[{index}].line"));
            continue;
        };
        let mut lots = Vec::with_capacity(it.capacity_watts.len());
        for (period, watts) in it.capacity_watts.iter().enumerate() {
            let (whole_lots, exact) = whole(*watts, scale.lot);
            if !exact {
                let field = format!("capacities[{index}].capacity_watts[{period}]");
                faults.reject(Reject::CapacityOutOfRange, field);
            }
            lots.push(whole_lots);
        }
        let (forward, back) = entry;
        let side = match v1::Direction::try_from(it.direction) {
            Ok(v1::Direction::Forward) => forward,
            Ok(v1::Direction::Backward) => back,
            Ok(v1::Direction::Unspecified) | Err(_) => {
                let text = "a direction is DIRECTION_FORWARD or DIRECTION_BACKWARD";
                let field = format!("capacities[{index}].direction");
                faults.malformed(RejectReason::UnknownEnumValue, field, text);
                continue;
            }
        };
        if side.replace(lots).is_some() {
            faults.reject(Reject::LinesIncomplete, format!("capacities[{index}].line"));
        }
    }
    let mut complete = Vec::with_capacity(lines.len());
    for (line, entry) in (0_u16..).zip(lines) {
        match entry {
            (Some(forward), Some(back)) => complete.push((line, forward, back)),
            (None, _) | (_, None) => {
                faults.reject(Reject::LinesIncomplete, "capacities");
                return None;
            }
        }
    }
    Some(Action::SubmitCapacity(Capacity {
        auction: info.auction,
        revision: request.revision,
        lines: complete,
    }))
}

/// Reads the name of an auction in a request of the dispatch centre.
pub fn auction_named(name: &str, faults: &mut Faults) -> Option<merit_engine::ids::AuctionId> {
    let found = auction_id(name);
    if found.is_none() {
        faults.reject(Reject::UnknownAuction, "auction_id");
    }
    found
}
