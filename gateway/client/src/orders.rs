//! Orders of every kind in one line each. Prices and quantities are millionths, see [`crate::units`].

use crate::v1;
use v1::new_order::Body;

/// A point: price in millionths of the currency per MWh, quantity in watts.
pub type PointAt = (i64, i64);

fn points(points: &[PointAt]) -> Vec<v1::Point> {
    let point = |&(price_micros_per_mwh, quantity_watts): &PointAt| v1::Point {
        price_micros_per_mwh,
        quantity_watts,
    };
    points.iter().map(point).collect()
}

fn periods(curve: &[(u32, &[PointAt])]) -> Vec<v1::CurvePeriod> {
    curve.iter().map(|(period, at)| v1::CurvePeriod { period: *period, points: points(at) }).collect()
}

fn order(auction: &str, portfolio: &str, area: &str, body: Body) -> v1::NewOrder {
    v1::NewOrder {
        auction_id: auction.to_string(),
        portfolio: portfolio.to_string(),
        area: area.to_string(),
        body: Some(body),
    }
}

/// A step curve: (period, points) with periods strictly increasing.
#[must_use]
pub fn step(
    auction: &str,
    portfolio: &str,
    area: &str,
    side: v1::Side,
    curve: &[(u32, &[PointAt])],
) -> v1::NewOrder {
    let body = v1::StepCurve { side: side.into(), periods: periods(curve) };
    order(auction, portfolio, area, Body::Step(body))
}

/// A linear portfolio curve: net quantities, positive buys.
#[must_use]
pub fn linear(auction: &str, portfolio: &str, area: &str, curve: &[(u32, &[PointAt])]) -> v1::NewOrder {
    order(auction, portfolio, area, Body::Linear(v1::LinearCurve { periods: periods(curve) }))
}

/// An all-or-none block without family or group; set `ratio_min_millionths`, `parent_client_order_id` and
/// `group` on the returned block where they are wanted, and pass it to [`block_order`].
#[must_use]
pub fn block(side: v1::Side, price_micros_per_mwh: i64, profile: &[(u32, i64)]) -> v1::Block {
    let period = |&(period, quantity_watts): &(u32, i64)| v1::BlockPeriod { period, quantity_watts };
    v1::Block {
        side: side.into(),
        price_micros_per_mwh,
        periods: profile.iter().map(period).collect(),
        ..v1::Block::default()
    }
}

/// An order of a block.
#[must_use]
pub fn block_order(auction: &str, portfolio: &str, area: &str, block: v1::Block) -> v1::NewOrder {
    order(auction, portfolio, area, Body::Block(block))
}

/// An order of a complex order.
#[must_use]
pub fn complex_order(auction: &str, portfolio: &str, area: &str, complex: v1::Complex) -> v1::NewOrder {
    order(auction, portfolio, area, Body::Complex(complex))
}

/// A command that submits an order, for batches and order entry.
#[must_use]
pub fn submit(client_order_id: impl Into<String>, order: v1::NewOrder) -> v1::OrderCommand {
    v1::OrderCommand {
        client_order_id: client_order_id.into(),
        command: Some(v1::order_command::Command::Submit(order)),
    }
}

/// A command that cancels the order with this client order id.
#[must_use]
pub fn cancel(client_order_id: impl Into<String>, of: impl Into<String>) -> v1::OrderCommand {
    v1::OrderCommand {
        client_order_id: client_order_id.into(),
        command: Some(v1::order_command::Command::Cancel(v1::CancelOrder { order: Some(by_client_id(of)) })),
    }
}

/// Names an order by its client order id.
#[must_use]
pub fn by_client_id(client_order_id: impl Into<String>) -> v1::OrderRef {
    v1::OrderRef { name: Some(v1::order_ref::Name::ClientOrderId(client_order_id.into())) }
}

/// Names an order by its order id.
#[must_use]
pub fn by_order_id(order_id: u64) -> v1::OrderRef {
    v1::OrderRef { name: Some(v1::order_ref::Name::OrderId(order_id)) }
}
