//! What is said when an auction gets its result: to every order's member, the dispatch centre and the clearing
//! house, up to 10⁵ rows at once. What readers are shown of it depends on nothing that the same command changes, so
//! it can be made and stored while others read; only [`note`] needs the state for itself.

use super::keys;
use super::state::State;
use super::store::{Batch, Doubt};
use crate::server::convert::event::{self, Wire};
use crate::server::convert::rows::{EndedOrder, TimeRows};
use crate::server::convert::{auction, order_out, risk, rows, settlement};
use merit_engine::event::{Event, EventBody, PublishedResult};
use merit_engine::rules::MarketRules;
use merit_proto::v1;
use prost::Message as _;
use std::sync::Arc;
use v1::stream_events_response::Event as MemberEvent;
use v1::stream_market_response::Event as MarketEvent;
use v1::stream_obligations_response::Event as SettlementEvent;

/// What readers are shown of such an event, before [`note`] has seen it, as it is stored; its other records go to
/// the batch. Nothing for events of other kinds.
///
/// # Errors
///
/// If the event does not fit the state.
pub(super) fn shown(
    state: &State,
    event: &Event,
    times: &mut TimeRows,
    batch: &mut Batch,
) -> Result<Option<Vec<u8>>, Doubt> {
    let (registry, position) = (&state.registry, event::position(event));
    let encoded = |wire| event::encode(event, wire);
    Ok(Some(match &event.body {
        EventBody::PhaseChanged { auction, phase, next_due_us } => {
            let Some(entry) = state.auctions.get(auction) else {
                return Err(Doubt("an auction that is not known changed its phase".into()));
            };
            let shown = event::auction_out(&entry.info, *phase, *next_due_us);
            encoded(Wire::Market(MarketEvent::Auction(shown)))
        }
        EventBody::ResultPublished(published) => {
            put_curves(published, event.stream_seq, batch);
            encoded(Wire::Market(MarketEvent::Result(auction::result(published, event.time_us))))
        }
        EventBody::OrderEnded { order, fills, ratio, missed, .. } => {
            let entry = state.orders.get(*order);
            let Some((entry, auction)) = entry.and_then(|it| Some((it, state.auctions.get(&it.auction)?)))
            else {
                return Err(Doubt("an unknown order ended".into()));
            };
            let client_order_id = entry.client_order_id;
            let (ratio, missed) = (*ratio, *missed);
            let ended = EndedOrder { order: order.0, client_order_id, fills, ratio, missed };
            rows::order_result(position, &auction.info, ended, times)
        }
        EventBody::SchedulePublished { info, revision, rows: list } => {
            let owner = |portfolio| registry.owner_codes(portfolio);
            rows::schedule(position, info, *revision, list, owner, times)
        }
        EventBody::ObligationsPosted { info, obligations } => {
            // A reversal voids the result before it: what stood in statements is gone.
            let void = obligations.iter().any(|it| it.bought < 0 || it.sold < 0);
            for (member, lines) in settlement::statement_lines(info, obligations, registry) {
                let lines = if void { Vec::new() } else { lines };
                let part = v1::GetStatementResponse { lines, ..v1::GetStatementResponse::default() };
                batch.put(keys::statement(member, info.auction, event.stream_seq), part.encode_to_vec());
            }
            rows::obligations(position, info, obligations, registry, times)
        }
        EventBody::LedgerPosted { auction, entries } => {
            let (rules, auctions) = (any_rules(state)?, &state.auctions);
            let info = |auction| auctions.get(&auction).map(|it| &*it.info);
            let ledger = event::ledger(*auction, entries, &rules, info, registry);
            encoded(Wire::Settlement(SettlementEvent::Ledger(ledger)))
        }
        EventBody::CollateralChanged { cause, balance, held, due, .. } => {
            let notice = risk::notice(*cause, *balance, *held, *due, state.money_scale());
            encoded(Wire::Member(MemberEvent::Collateral(notice)))
        }
        EventBody::AuctionScheduled(_)
        | EventBody::AuctionChanged(_)
        | EventBody::RulesSet(_)
        | EventBody::ActProposed { .. }
        | EventBody::ActDone { .. }
        | EventBody::MemberSuspended { .. }
        | EventBody::ClearanceSet { .. }
        | EventBody::MemberRegistered { .. }
        | EventBody::PortfolioRegistered { .. }
        | EventBody::UserRegistered { .. }
        | EventBody::Alarm(_)
        | EventBody::EpochStarted { .. }
        | EventBody::OrderAccepted { .. }
        | EventBody::RequestRefused { .. }
        | EventBody::OrderCancelled { .. }
        | EventBody::CorridorRequested { .. }
        | EventBody::CapacityAccepted(_)
        | EventBody::ScheduleAcknowledged { .. }
        | EventBody::Settlement(_) => return Ok(None),
    }))
}

/// Remembers such an event, and says whether it is one.
pub(super) fn note(state: &mut State, event: &Event) -> bool {
    match &event.body {
        EventBody::PhaseChanged { auction, phase, next_due_us } => {
            if let Some(entry) = state.auctions.get_mut(auction) {
                entry.phase = *phase;
                entry.next_due_us = *next_due_us;
                entry.history.push((*phase, event.time_us));
            }
        }
        EventBody::ResultPublished(published) => {
            if let Some(entry) = state.auctions.get_mut(&published.info.auction) {
                entry.result_seq = Some(event.stream_seq);
            }
        }
        EventBody::OrderEnded { order, fills, .. } => {
            state.orders.end(*order, order_out::end_state(fills), event.stream_seq);
        }
        EventBody::SchedulePublished { info, revision, .. } => {
            if let Some(entry) = state.auctions.get_mut(&info.auction) {
                entry.schedules.push((*revision, event.stream_seq, false));
            }
        }
        EventBody::LedgerPosted { entries, .. } => {
            for (account, minor) in entries.iter().flat_map(|it| &it.postings) {
                *state.balances.entry(*account).or_default() += i128::from(*minor);
            }
        }
        EventBody::ObligationsPosted { .. } | EventBody::CollateralChanged { .. } => {}
        EventBody::AuctionScheduled(_)
        | EventBody::AuctionChanged(_)
        | EventBody::RulesSet(_)
        | EventBody::ActProposed { .. }
        | EventBody::ActDone { .. }
        | EventBody::MemberSuspended { .. }
        | EventBody::ClearanceSet { .. }
        | EventBody::MemberRegistered { .. }
        | EventBody::PortfolioRegistered { .. }
        | EventBody::UserRegistered { .. }
        | EventBody::Alarm(_)
        | EventBody::EpochStarted { .. }
        | EventBody::OrderAccepted { .. }
        | EventBody::RequestRefused { .. }
        | EventBody::OrderCancelled { .. }
        | EventBody::CorridorRequested { .. }
        | EventBody::CapacityAccepted(_)
        | EventBody::ScheduleAcknowledged { .. }
        | EventBody::Settlement(_) => return false,
    }
    true
}

fn put_curves(published: &PublishedResult, seq: u64, batch: &mut Batch) {
    for (period, area, curve) in auction::curves(published) {
        batch.put(keys::curve(published.info.auction, period, area, seq), curve.encode_to_vec());
    }
}

/// Rules of any market: all share one currency.
pub(super) fn any_rules(state: &State) -> Result<Arc<MarketRules>, Doubt> {
    let any = state.rules.values().next();
    any.cloned().ok_or_else(|| Doubt("money before any rules".into()))
}
