//! The engine as the core runs it: with its answer goes what the asker needs to be told and found by.
//!
//! Journal bytes and behaviour are the engine's own; only the answer is wrapped, so that whoever hears
//! it knows whose request it was and which number the event has in the member's stream.

use super::convert::event::fields_of;
use merit_engine::command::{Action, Actor, Body};
use merit_engine::event::{Answer, Event, Stream};
use merit_engine::ids::{OrderId, TextId};
use merit_engine::market::Engine;
use merit_replay::frame::Stamp;
use merit_replay::machine::Machine;
use std::sync::Arc;

/// The machine.
#[derive(Default)]
pub struct Exchange {
    /// The engine. Its `Debug` form holds sealed books, so this type has none.
    pub engine: Engine,
}

/// Which request an answer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Who asked.
    pub actor: Actor,
    /// Under which id.
    pub id: TextId,
    /// Field of the command in an `OrderCommand`, and of its content; empty for other requests.
    pub fields: (&'static str, &'static str),
    /// The order that an amendment or cancellation names.
    pub order: Option<OrderId>,
}

/// An answer with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The engine's answer.
    pub answer: Answer,
    /// The request; nothing for ticks, quanta and epochs.
    pub request: Option<Echo>,
    /// Number of the last event of this command in its member's stream.
    pub member_seq: Option<u64>,
}

impl Machine for Exchange {
    type Body = Body;
    type Answer = Arc<Reply>;
    type Event = Event;

    fn encode(body: &Body, payload: &mut Vec<u8>) -> u16 {
        <Engine as Machine>::encode(body, payload)
    }

    fn decode(kind: u16, payload: &[u8]) -> Result<Body, String> {
        <Engine as Machine>::decode(kind, payload)
    }

    fn decode_over(kind: u16, payload: &[u8], spent: &mut Body) -> Result<(), String> {
        <Engine as Machine>::decode_over(kind, payload, spent)
    }

    fn expect<'a>(&self, bodies: impl Iterator<Item = &'a Body>) {
        Machine::expect(&self.engine, bodies);
    }

    fn apply(&mut self, stamp: Stamp, mut body: Body, events: &mut Vec<Event>) -> Arc<Reply> {
        self.apply_again(stamp, &mut body, Some(events))
    }

    fn apply_again(&mut self, stamp: Stamp, body: &mut Body, events: Option<&mut Vec<Event>>) -> Arc<Reply> {
        // The number of a member's event is part of what is replied: they are made also where nobody else hears them.
        let unheard = &mut Vec::new();
        let events = events.unwrap_or(unheard);
        let request = match &*body {
            Body::Request(request) => Some(Echo {
                actor: request.actor,
                id: request.request_id.clone(),
                fields: fields_of(&request.action),
                order: order_named(&request.action),
            }),
            Body::EpochStarted { .. }
            | Body::StandbyChanged { .. }
            | Body::Tick
            | Body::ClearQuantum { .. } => None,
        };
        let first = events.len();
        let answer = self.engine.apply_again(stamp, body, Some(&mut *events));
        // A request may have come when a gate closed: what the passing of time said is not its doing,
        // but its own events come last.
        let own = events.get(first..).unwrap_or_default();
        let said = own.iter().rev().find(|it| matches!(it.stream, Stream::Member(_)));
        let member_seq = said.filter(|_| is_new(&answer)).map(|it| it.stream_seq);
        Arc::new(Reply { answer, request, member_seq })
    }

    fn next_timer_us(&self) -> Option<i64> {
        self.engine.next_timer_us()
    }

    fn tick() -> Body {
        <Engine as Machine>::tick()
    }

    fn quantum(&self) -> Option<Body> {
        <Engine as Machine>::quantum(&self.engine)
    }

    fn epoch_started(node: &str) -> Body {
        <Engine as Machine>::epoch_started(node)
    }

    fn standby_changed(alone: bool) -> Body {
        <Engine as Machine>::standby_changed(alone)
    }

    fn digest(&self) -> u128 {
        self.engine.digest()
    }

    fn digest_in_full(&self) -> u128 {
        self.engine.digest_in_full()
    }
}

fn is_new(answer: &Answer) -> bool {
    match answer {
        Answer::None => false,
        Answer::Accepted { replayed, .. } | Answer::Refused { replayed, .. } => !replayed,
    }
}

fn order_named(action: &Action) -> Option<OrderId> {
    match action {
        Action::Amend { order, .. } | Action::Cancel { order } => Some(*order),
        Action::Submit(_)
        | Action::CancelAll { .. }
        | Action::SetRules(_)
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
        | Action::Settle(_) => None,
    }
}
