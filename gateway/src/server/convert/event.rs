//! Events as messages of their streams, encoded once and sent as often as somebody reads them.

use super::units::{role_out, timestamp};
use super::{auction, dispatch, operator, rules, runs, settlement};
use merit_engine::command::{Action, OrderBody};
use merit_engine::event::{Event, Stream};
use merit_proto::v1;
use prost::Message;

/// A message of one of the event streams.
#[derive(Clone, Debug, PartialEq)]
pub enum Wire {
    /// For everybody.
    Market(v1::stream_market_response::Event),
    /// For one member.
    Member(v1::stream_events_response::Event),
    /// For the dispatch centre.
    Dispatch(v1::stream_dispatch_response::Event),
    /// For the clearing house.
    Settlement(v1::stream_obligations_response::Event),
    /// For operators.
    Operator(v1::stream_operator_events_response::Event),
}

/// Where an event stands; the head is filled in when it is sent.
#[must_use]
pub fn position(event: &Event) -> v1::Position {
    v1::Position {
        epoch: u64::from(event.epoch),
        seq: Some(event.stream_seq),
        head_seq: event.stream_seq,
        time: Some(timestamp(event.time_us)),
    }
}

/// The bytes of a message at its place.
#[must_use]
pub fn encode(event: &Event, wire: Wire) -> Vec<u8> {
    let position = Some(position(event));
    match wire {
        Wire::Market(event) => v1::StreamMarketResponse { position, event: Some(event) }.encode_to_vec(),
        Wire::Member(event) => v1::StreamEventsResponse { position, event: Some(event) }.encode_to_vec(),
        Wire::Dispatch(event) => v1::StreamDispatchResponse { position, event: Some(event) }.encode_to_vec(),
        Wire::Settlement(event) => {
            v1::StreamObligationsResponse { position, event: Some(event) }.encode_to_vec()
        }
        Wire::Operator(event) => {
            v1::StreamOperatorEventsResponse { position, event: Some(event) }.encode_to_vec()
        }
    }
}

/// Field of an action in an `OrderCommand`, and of its content.
#[must_use]
pub fn fields_of(action: &Action) -> (&'static str, &'static str) {
    match action {
        Action::Submit(order) => ("submit", kind_of(&order.body)),
        Action::Amend { body, .. } => ("amend", kind_of(body)),
        Action::Cancel { .. } => ("cancel", ""),
        Action::CancelAll { .. } => ("cancel_all", ""),
        Action::SetRules(_)
        | Action::RegisterMember { .. }
        | Action::SetMemberSuspended { .. }
        | Action::RegisterPortfolio { .. }
        | Action::RegisterUser { .. }
        | Action::Deposit { .. }
        | Action::Withdraw { .. }
        | Action::RecordPayIn { .. }
        | Action::SetClearance { .. }
        | Action::ProposeAct { .. }
        | Action::ApproveAct { .. }
        | Action::SubmitCapacity(_)
        | Action::AcknowledgeSchedule { .. }
        | Action::Settle(_) => ("", ""),
    }
}

fn kind_of(body: &OrderBody) -> &'static str {
    match body {
        OrderBody::Curve { shape: merit_engine::auction::Shape::Step(_), .. } => "step",
        OrderBody::Curve { shape: merit_engine::auction::Shape::Linear, .. } => "linear",
        OrderBody::Block { .. } => "block",
        OrderBody::Complex { .. } => "complex",
    }
}

/// The key of a stream in stores: one byte for its kind, four for its member.
#[must_use]
pub fn stream_tag(stream: Stream) -> [u8; 5] {
    let (kind, member) = match stream {
        Stream::Market => (1, 0),
        Stream::Member(member) => (2, member.0),
        Stream::Dispatch => (3, 0),
        Stream::Settlement => (4, 0),
        Stream::Operator => (5, 0),
    };
    let [a, b, c, d] = u32::to_be_bytes(member);
    [kind, a, b, c, d]
}

pub(crate) use auction::auction as auction_out;
pub(crate) use dispatch::{capacities, corridor_request};
pub(crate) use operator::alarm;
pub(crate) use rules::rules_out;
pub(crate) use runs::{deviation_rules, meter_batch, run};
pub(crate) use settlement::{ledger, obligations};

/// An entry of a user.
#[must_use]
pub fn user_entry(
    name: &str,
    role: merit_engine::command::Role,
    fingerprint: &[u8; 32],
    portfolios: Vec<String>,
) -> v1::UserEntry {
    v1::UserEntry {
        user: name.into(),
        role: role_out(role).into(),
        certificate_sha256: fingerprint.to_vec(),
        portfolios,
    }
}
