//! Messages of the settlement stream as JSON, for receivers that do not speak protobuf.
//!
//! Names are those of the contract; amounts are whole numbers in millionths as there, given as text
//! where they may not fit a double.

use super::{Item, account_name, hex};
use merit_proto::v1;
use serde_json::{Value, json};
use v1::stream_obligations_response::Event;

/// An obligation.
#[must_use]
pub fn obligation(it: &v1::Obligation) -> Value {
    let row = it.row.clone().unwrap_or_default();
    json!({
        "obligation_id": it.obligation_id,
        "delivery_day": row.delivery_day,
        "block": row.block,
        "blocks": row.blocks,
        "member": it.member,
        "portfolio": it.portfolio,
        "area": it.area,
        "bought_watts": it.bought_watts,
        "sold_watts": it.sold_watts,
        "price_micros_per_mwh": it.price_micros_per_mwh,
        "value_micros": it.value_micros.to_string(),
        "fee_micros": it.fee_micros.to_string(),
        "tax_micros": it.tax_micros.to_string(),
        "currency": row.currency,
    })
}

/// A ledger entry.
#[must_use]
pub fn entry(it: &v1::LedgerEntry) -> Value {
    let posting = |it: &v1::Posting| json!({"account": account_name(it.account.as_ref()), "amount_micros": it.amount_micros.to_string()});
    json!({
        "entry_id": it.entry_id,
        "cause": it.cause().as_str_name(),
        "auction_id": it.auction_id,
        "delivery_day": it.delivery_day,
        "run": it.run,
        "reverses": it.reverses,
        "reason": it.reason,
        "effective_day": it.effective_day,
        "reference": it.reference,
        "hold_id": it.hold_id,
        "currency": it.currency,
        "postings": it.postings.iter().map(posting).collect::<Vec<_>>(),
    })
}

/// What one member owes and is owed.
#[must_use]
pub fn net(it: &v1::MemberNet) -> Value {
    json!({
        "member": it.member,
        "energy_micros": it.energy_micros.to_string(),
        "fee_micros": it.fee_micros.to_string(),
        "tax_micros": it.tax_micros.to_string(),
        "deviation_micros": it.deviation_micros.to_string(),
        "net_micros": it.net_micros.to_string(),
    })
}

fn run(it: &v1::SettlementRun) -> Value {
    json!({
        "delivery_day": it.delivery_day,
        "run": it.run,
        "status": it.status().as_str_name(),
        "reason": it.reason,
        "effective_day": it.effective_day,
        "inputs_digest": hex(&it.inputs_digest),
        "currency": it.currency,
        "members": it.members.iter().map(net).collect::<Vec<_>>(),
        "deltas": it.deltas.iter().map(net).collect::<Vec<_>>(),
    })
}

/// A message.
#[must_use]
pub fn item(it: &Item) -> Value {
    let (kind, content) = match &it.message.event {
        Some(Event::Obligations(batch)) => (
            "obligations",
            json!({
                "auction_id": batch.auction_id,
                "revision": batch.revision,
                "obligations": batch.obligations.iter().map(obligation).collect::<Vec<_>>(),
            }),
        ),
        Some(Event::Ledger(batch)) => {
            ("ledger", json!({"entries": batch.entries.iter().map(entry).collect::<Vec<_>>()}))
        }
        Some(Event::Run(it)) => ("run", run(it)),
        Some(Event::Metered(it)) => (
            "metered",
            json!({
                "delivery_day": it.delivery_day,
                "revision": it.revision,
                "content_sha256": hex(&it.content_sha256),
                "readings": it.readings,
                "estimated": it.estimated,
            }),
        ),
        Some(Event::DeviationRules(it)) => ("deviation_rules", json!({"effective_from": it.effective_from})),
        Some(Event::Heartbeat(_) | Event::GoingAway(_)) | None => ("nothing", Value::Null),
    };
    json!({"seq": it.seq, "epoch": it.epoch, "digest": hex(&it.digest), "kind": kind, "content": content})
}
