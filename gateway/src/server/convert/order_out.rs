//! Orders, their results and the answers to commands, as the contract shows them.

use super::faults::Paths;
use super::units::{Scale, time_row, timestamp};
use crate::files::decimal::Exact;
use merit_engine::auction::{Point, Shape, Side};
use merit_engine::command::OrderBody;
use merit_engine::event::{Answer, AuctionInfo, Made, PeriodFill, Reason};
use merit_engine::money::Money;
use merit_engine::outcome::Rejection;
use merit_proto::v1;

/// The content of a version.
#[must_use]
pub fn version_body(body: &OrderBody, scale: Scale, parent: Option<String>) -> v1::order_version::Body {
    match body {
        OrderBody::Curve { shape, periods } => {
            let curve = periods
                .iter()
                .map(|(period, points)| v1::CurvePeriod {
                    period: u32::from(*period) + 1,
                    points: points_out(points, scale),
                })
                .collect();
            match shape {
                Shape::Step(side) => v1::order_version::Body::Step(v1::StepCurve {
                    side: side_out(*side).into(),
                    periods: curve,
                }),
                Shape::Linear => v1::order_version::Body::Linear(v1::LinearCurve { periods: curve }),
            }
        }
        OrderBody::Block { side, price, quantity, ratio_min, parent: _, group } => {
            let periods = quantity.iter().map(|(period, lots)| v1::BlockPeriod {
                period: u32::from(*period) + 1,
                quantity_watts: scale.watts(*lots),
            });
            v1::order_version::Body::Block(v1::Block {
                side: side_out(*side).into(),
                price_micros_per_mwh: scale.price(*price),
                periods: periods.collect(),
                ratio_min_millionths: Some(*ratio_min),
                parent_client_order_id: parent,
                group: group.as_ref().map(ToString::to_string),
            })
        }
        OrderBody::Complex { side, fixed_minor, curve } => {
            let periods = curve.iter().map(|it| v1::ComplexPeriod {
                period: u32::from(it.period) + 1,
                quantity_min_watts: Some(scale.watts(it.quantity_min)),
                points: points_out(&it.points, scale),
            });
            v1::order_version::Body::Complex(v1::Complex {
                side: side_out(*side).into(),
                fixed_micros: scale.money(*fixed_minor),
                periods: periods.collect(),
            })
        }
    }
}

fn points_out(points: &[Point], scale: Scale) -> Vec<v1::Point> {
    let point = |it: &Point| v1::Point {
        price_micros_per_mwh: scale.price(it.price),
        quantity_watts: scale.watts(it.quantity),
    };
    points.iter().map(point).collect()
}

fn side_out(side: Side) -> v1::Side {
    match side {
        Side::Buy => v1::Side::Buy,
        Side::Sell => v1::Side::Sell,
    }
}

/// How final the result of an order is.
pub(super) fn result_status(fills: &[PeriodFill]) -> v1::PublicationStatus {
    match fills.iter().any(|it| it.reason == Reason::AuctionCancelled) {
        true => v1::PublicationStatus::Cancelled,
        false => v1::PublicationStatus::Final,
    }
}

/// The result of an order: what it traded in each of its periods, and why.
#[must_use]
pub fn result(
    order: u64,
    client_order_id: String,
    info: &AuctionInfo,
    fills: &[PeriodFill],
) -> v1::OrderResult {
    let scale = Scale::of(&info.rules);
    let status = result_status(fills);
    let rows = fills.iter().map(|it| v1::OrderResultRow {
        row: Some(time_row(info, it.period, 1, status)),
        price_micros_per_mwh: scale.price(it.price),
        bought_watts: scale.watts(it.bought),
        sold_watts: scale.watts(it.sold),
        reason: reason_out(it.reason).into(),
    });
    v1::OrderResult {
        order_id: order,
        client_order_id,
        auction_id: info.auction.to_string(),
        rows: rows.collect(),
        ratio_millionths: None,
        surplus_missed: None,
    }
}

/// Grid units of welfare as an exact decimal in money of the auction; nothing if it is none.
#[must_use]
pub fn money(info: &AuctionInfo, grid_units: i128) -> Option<String> {
    // `fixed` grid units are one minor unit.
    let minor = Exact { digits: grid_units, scale: u32::from(info.rules.minor_decimals) };
    let exact = minor.divided_by(Money::new(&info.rules)?.fixed)?;
    Some(exact.to_string())
}

/// How an order ended.
#[must_use]
pub fn end_state(fills: &[PeriodFill]) -> v1::OrderState {
    if fills.iter().any(|it| it.bought > 0 || it.sold > 0) {
        return v1::OrderState::Executed;
    }
    if fills.iter().any(|it| it.reason == Reason::AuctionCancelled) {
        return v1::OrderState::AuctionCancelled;
    }
    if fills.iter().any(|it| it.reason == Reason::Funds) {
        return v1::OrderState::RemovedForFunds;
    }
    v1::OrderState::NotExecuted
}

pub(super) fn reason_out(reason: Reason) -> v1::ExplainReason {
    match reason {
        Reason::Filled => v1::ExplainReason::Accepted,
        Reason::OutOfTheMoney | Reason::Rejected(Rejection::OutOfTheMoney) => {
            v1::ExplainReason::OutOfTheMoney
        }
        Reason::MarginalShare => v1::ExplainReason::MarginalShare,
        Reason::Congestion => v1::ExplainReason::Congestion,
        Reason::Rejected(Rejection::ParadoxicallyRejected) => v1::ExplainReason::ParadoxicallyRejected,
        Reason::Rejected(Rejection::ParentRejected) => v1::ExplainReason::ParentRejected,
        Reason::Rejected(Rejection::GroupTaken) => v1::ExplainReason::GroupTaken,
        Reason::Rejected(Rejection::LossOfFamily) => v1::ExplainReason::LossOfFamily,
        Reason::Rejected(Rejection::WorkLimit) => v1::ExplainReason::WorkLimit,
        Reason::Funds => v1::ExplainReason::Funds,
        Reason::AuctionCancelled => v1::ExplainReason::AuctionCancelled,
    }
}

/// One line for people about one period of a result.
#[must_use]
pub fn explanation(row: &v1::OrderResultRow, currency: &str) -> String {
    let money = super::units::decimal(i128::from(row.price_micros_per_mwh), 6);
    let period = row.row.as_ref().map_or(0, |it| it.period);
    let watts = i128::from(row.bought_watts) + i128::from(row.sold_watts);
    let verb = if row.bought_watts > 0 { "bought" } else { "sold" };
    let traded = match watts {
        0 => "traded nothing".to_owned(),
        watts => format!("{verb} {} MW", super::units::decimal(watts, 6)),
    };
    let why = match v1::ExplainReason::try_from(row.reason).unwrap_or(v1::ExplainReason::Unspecified) {
        v1::ExplainReason::Accepted => "all that was in the money",
        v1::ExplainReason::MarginalShare => "its share of what was left at the clearing price",
        v1::ExplainReason::PartlyInTheMoney => "some of its points are in the money, others are not",
        v1::ExplainReason::OutOfTheMoney => "the clearing price does not reach its limit",
        v1::ExplainReason::ParadoxicallyRejected => {
            "it would earn at these prices, but no decision that accepts it was better"
        }
        v1::ExplainReason::ParentRejected => "its parent is rejected",
        v1::ExplainReason::GroupTaken => "its exclusive group has no room",
        v1::ExplainReason::LossOfFamily => "it would earn itself but its family would lose",
        v1::ExplainReason::Congestion => "the lines to its area are full",
        v1::ExplainReason::Funds => "removed by the funds check",
        v1::ExplainReason::WorkLimit => "not decided within the work limit",
        v1::ExplainReason::Ratio => "accepted by the ratio of its block",
        v1::ExplainReason::Cancelled => "taken back by its member",
        v1::ExplainReason::AuctionCancelled => "the auction was cancelled",
        v1::ExplainReason::KindNotCleared => "the auction does not decide orders of this kind",
        v1::ExplainReason::Unspecified => "no reason given",
    };
    format!("period {period} at {money} {currency}/MWh: {traded}; {why}")
}

/// The answer to an order command. `seq` is the number of its event in the member's stream.
#[must_use]
pub fn order_answer(
    client_order_id: &str,
    answer: &Answer,
    cancelled: Option<u64>,
    seq: Option<u64>,
    paths: &Paths,
) -> v1::OrderAnswer {
    let (outcome, time_us, replayed) = match answer {
        Answer::None => (None, None, false),
        Answer::Accepted { made, time_us, replayed, .. } => {
            let outcome = v1::order_answer::Outcome::Accepted(accepted(*made, cancelled));
            (Some(outcome), Some(*time_us), *replayed)
        }
        Answer::Refused { refusal, time_us, replayed, .. } => {
            let outcome = v1::order_answer::Outcome::Refused(paths.refusal(refusal));
            (Some(outcome), Some(*time_us), *replayed)
        }
    };
    v1::OrderAnswer {
        client_order_id: client_order_id.into(),
        replayed,
        outcome,
        seq,
        time: time_us.map(timestamp),
    }
}

fn accepted(made: Made, cancelled: Option<u64>) -> v1::Accepted {
    match made {
        Made::Order { order, version } => {
            v1::Accepted { order_id: Some(order.0), version: Some(version), cancelled: cancelled.map(|_| 1) }
        }
        Made::Cancelled { orders } => {
            v1::Accepted { order_id: cancelled, version: None, cancelled: Some(orders) }
        }
        Made::Done
        | Made::Member(_)
        | Made::Portfolio(_)
        | Made::User(_)
        | Made::Proposal(_)
        | Made::Revision(_)
        | Made::Number(_) => {
            v1::Accepted { order_id: cancelled, version: None, cancelled: cancelled.map(|_| 1) }
        }
    }
}

/// The answer to a command that was never journaled.
#[must_use]
pub fn refused_answer(client_order_id: &str, refusal: v1::Refusal) -> v1::OrderAnswer {
    v1::OrderAnswer {
        client_order_id: client_order_id.into(),
        replayed: false,
        outcome: Some(v1::order_answer::Outcome::Refused(refusal)),
        seq: None,
        time: None,
    }
}
