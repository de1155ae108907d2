//! What payloads of version 1 say where version 2 says more.
//!
//! Version 1 knew one fee for both sides, no tax, no collateral, no acknowledgement that is due, and
//! named a parent by its number only.

use super::bytes::{Codec, Malformed, Take};
use merit_engine::command::Parent;
use merit_engine::ids::OrderId;
use merit_engine::rules::{Fees, RiskRules, Suspension};

pub(super) fn acknowledge(_: &mut Take<'_>) -> Result<Option<i32>, Malformed> {
    Ok(None)
}

pub(super) fn fees(from: &mut Take<'_>) -> Result<Fees, Malformed> {
    let fee = i64::take(from)?;
    Ok(Fees { buy_minor_per_mwh: fee, sell_minor_per_mwh: fee, tax_millionths: 0 })
}

pub(super) fn risk(_: &mut Take<'_>) -> Result<RiskRules, Malformed> {
    Ok(RiskRules::NONE)
}

pub(super) fn suspension(_: &mut Take<'_>) -> Result<Suspension, Malformed> {
    Ok(Suspension::KeepsOrders)
}

pub(super) fn parent(from: &mut Take<'_>) -> Result<Option<Parent>, Malformed> {
    Ok(<Option<OrderId> as Codec>::take(from)?.map(Parent::Order))
}
