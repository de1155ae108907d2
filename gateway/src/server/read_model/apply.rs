//! Applies one command's answer and events to the read model.

use super::orders::OrderEntry;
use super::state::{ALARMS_MAX, AuctionEntry, State};
use super::store::{Batch, Doubt, Store};
use super::{Applied, encode, keys, registry, result};
use crate::server::convert::event::{self, Wire};
use crate::server::convert::rows::TimeRows;
use crate::server::convert::{Paths, Scale, operator, order_out, risk, settlement, timestamp};
use crate::server::exchange::Echo;
use merit_engine::command::{Act, Actor, OrderBody, Parent};
use merit_engine::event::{Alarm, Answer, Event, EventBody, Made, Stream};
use merit_engine::ids::{MemberId, OrderId, UserId};
use merit_engine::reject::Reject;
use merit_proto::v1;
use prost::Message as _;
use v1::stream_dispatch_response::Event as DispatchEvent;
use v1::stream_events_response::Event as MemberEvent;
use v1::stream_market_response::Event as MarketEvent;
use v1::stream_obligations_response::Event as SettlementEvent;
use v1::stream_operator_events_response::Event as OperatorEvent;

/// One command being applied.
#[derive(Debug)]
pub(super) struct Applying<'a> {
    /// The state.
    pub(super) state: &'a mut State,
    /// Where older records are read; nothing if only the state is wanted: then no records are made.
    pub(super) store: Option<&'a Store>,
    /// Where new ones go.
    pub(super) batch: &'a mut Batch,
}

impl Applying<'_> {
    /// Applies it.
    ///
    /// # Errors
    ///
    /// If an older record cannot be read: the store is in doubt.
    pub(super) fn apply(&mut self, applied: &Applied) -> Result<(), Doubt> {
        let trail = self.state.trail_after(applied);
        self.state.stand_at(applied.stamp, trail);
        let mut times = TimeRows::default();
        for it in &applied.events {
            if matches!(it.body, EventBody::OrderAccepted { .. }) {
                self.order_accepted(it, applied)?;
            } else if self.store.is_some() {
                let shown = match result::shown(self.state, it, &mut times, self.batch)? {
                    Some(shown) => {
                        result::note(self.state, it);
                        shown
                    }
                    None => event::encode(it, self.event(it, applied)?),
                };
                self.batch.put(keys::event(it.stream, it.stream_seq), shown);
            } else if !result::note(self.state, it) {
                self.event(it, applied)?;
            }
            self.state.heads.insert(it.stream, it.stream_seq);
        }
        if self.store.is_some() {
            self.request(applied);
        }
        Ok(())
    }

    /// Keeps the answer to an order command under its id.
    fn request(&mut self, applied: &Applied) {
        let Some(request) = &applied.reply.request else { return };
        let replayed = match &applied.reply.answer {
            Answer::None => return,
            Answer::Accepted { replayed, .. } => *replayed,
            // A reuse is told its own refusal and changes nothing about the first answer.
            Answer::Refused { replayed, refusal, .. } => {
                *replayed || refusal.reject == Reject::RequestIdReused
            }
        };
        let Actor::User(user) = request.actor else { return };
        let member = self.state.registry.users.get(&user).and_then(|it| it.identity.member);
        let Some(member) = member.filter(|_| !replayed && !request.fields.0.is_empty()) else { return };
        let (number, seq) = (member.0.to_be_bytes(), applied.stamp.seq.to_be_bytes());
        let key = keys::request_parts(&number, request.id.as_bytes(), &seq);
        let (command, kind) = request.fields;
        let paths = Paths { index: None, command, kind };
        let (id, named) = (request.id.as_str(), request.order.map(|it| it.0));
        let answer =
            || order_out::order_answer(id, &applied.reply.answer, named, applied.reply.member_seq, &paths);
        if let Some(seq) = said_by_event(applied, request, member) {
            debug_assert_eq!(
                self.batch.get(&keys::event(Stream::Member(member), seq)).and_then(answer_in),
                Some(answer()),
                "an event says all that the answer does"
            );
            self.batch.put_with(&key, |out| encode::refer(seq, out));
            return;
        }
        let answer = answer();
        self.batch.put_with(&key, |out| answer.encode(out).expect("a vector takes every message"));
    }

    fn record(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Doubt> {
        // The batch is searched from end to end: only for what the store does not have yet.
        let stored = match self.store {
            Some(store) => store.get(key)?,
            None => None,
        };
        Ok(stored.or_else(|| self.batch.get(key).map(<[u8]>::to_vec)))
    }

    fn event(&mut self, event: &Event, applied: &Applied) -> Result<Wire, Doubt> {
        // It may change what something is called.
        self.state.repeated.forget();
        let member_of = |stream| match stream {
            Stream::Member(member) => member,
            Stream::Market | Stream::Dispatch | Stream::Settlement | Stream::Operator => MemberId(u32::MAX),
        };
        Ok(match &event.body {
            EventBody::AuctionScheduled(_) | EventBody::AuctionChanged(_) | EventBody::RulesSet(_) => {
                Wire::Market(self.market(event)?)
            }
            EventBody::ActProposed { .. } | EventBody::ActDone { .. } => self.exceptional(event)?,
            EventBody::MemberSuspended { member, suspended } if event.stream != Stream::Operator => {
                let member = settlement::Names::member(&self.state.registry, *member);
                Wire::Member(MemberEvent::Standing(v1::MemberStanding { member, suspended: *suspended }))
            }
            EventBody::ClearanceSet { portfolio, area, clearance } => {
                let portfolio = settlement::Names::portfolio(&self.state.registry, *portfolio);
                Wire::Member(MemberEvent::Clearance(risk::clearance(portfolio, area, *clearance)))
            }
            EventBody::MemberRegistered { .. }
            | EventBody::MemberSuspended { .. }
            | EventBody::PortfolioRegistered { .. }
            | EventBody::UserRegistered { .. }
            | EventBody::Alarm(_)
            | EventBody::EpochStarted { .. } => Wire::Operator(self.operator(event)?),
            EventBody::RequestRefused { request_id, refusal, .. } => {
                let (command, kind) = applied.reply.request.as_ref().map_or(("", ""), |it| it.fields);
                let paths = Paths { index: None, command, kind };
                let mut answer = order_out::refused_answer(request_id.as_str(), paths.refusal(refusal));
                answer.seq = Some(event.stream_seq);
                answer.time = Some(timestamp(event.time_us));
                Wire::Member(MemberEvent::Refused(answer))
            }
            EventBody::OrderCancelled { order, .. } => {
                Wire::Member(self.order_cancelled(member_of(event.stream), *order, event)?)
            }
            EventBody::CorridorRequested { .. }
            | EventBody::CapacityAccepted(_)
            | EventBody::ScheduleAcknowledged { .. } => Wire::Dispatch(self.dispatch(event)?),
            EventBody::Settlement(said) => Wire::Settlement(self.settled(said)?),
            EventBody::PhaseChanged { .. }
            | EventBody::ResultPublished(_)
            | EventBody::OrderEnded { .. }
            | EventBody::SchedulePublished { .. }
            | EventBody::ObligationsPosted { .. }
            | EventBody::LedgerPosted { .. }
            | EventBody::CollateralChanged { .. }
            | EventBody::OrderAccepted { .. } => {
                return Err(Doubt("an event that is not shown as one of its kind".into()));
            }
        })
    }

    /// An exceptional act: a notice for everybody, a record for operators.
    fn exceptional(&self, event: &Event) -> Result<Wire, Doubt> {
        if let EventBody::ActProposed { proposal, act, reason, proposer } = &event.body {
            return Ok(Wire::Operator(self.act(*proposal, *act, reason, *proposer, None)));
        }
        let EventBody::ActDone { proposal, act, reason, proposer, approver } = &event.body else {
            return Err(Doubt("an event on a stream that is not its own".into()));
        };
        if event.stream == Stream::Operator {
            return Ok(Wire::Operator(self.act(*proposal, *act, reason, *proposer, Some(*approver))));
        }
        let text = format!("{}: {reason}", operator::act_in_words(*act));
        Ok(Wire::Market(MarketEvent::Notice(v1::Notice {
            auction_id: Some(act.auction().to_string()),
            text,
        })))
    }

    fn act(
        &self,
        proposal: u32,
        act: Act,
        reason: &str,
        proposer: UserId,
        approver: Option<UserId>,
    ) -> OperatorEvent {
        let name = |user| self.state.registry.user_name(user);
        OperatorEvent::Act(v1::ActRecord {
            proposal_id: operator::proposal_name(proposal),
            act: operator::act_in_words(act),
            auction_id: act.auction().to_string(),
            reason: reason.to_owned(),
            proposed_by: name(proposer),
            approved_by: approver.map(name),
        })
    }

    fn market(&mut self, event: &Event) -> Result<MarketEvent, Doubt> {
        if let EventBody::AuctionScheduled(info) = &event.body {
            let entry = AuctionEntry {
                info: std::sync::Arc::clone(info),
                phase: merit_engine::event::Phase::Scheduled,
                next_due_us: Some(info.open_us),
                history: Vec::new(),
                result_seq: None,
                corridor_seq: None,
                schedules: Vec::new(),
            };
            let shown = event::auction_out(info, entry.phase, entry.next_due_us);
            self.state.auctions.insert(info.auction, entry);
            return Ok(MarketEvent::Auction(shown));
        }
        if let EventBody::AuctionChanged(info) = &event.body {
            let Some(entry) = self.state.auctions.get_mut(&info.auction) else {
                return Err(Doubt("an auction that is not known got other times".into()));
            };
            entry.info = std::sync::Arc::clone(info);
            entry.next_due_us = match entry.phase {
                merit_engine::event::Phase::Scheduled => Some(info.open_us),
                merit_engine::event::Phase::Open => Some(info.gate_us),
                merit_engine::event::Phase::ClearingUnconstrained
                | merit_engine::event::Phase::AwaitingCapacity
                | merit_engine::event::Phase::Clearing
                | merit_engine::event::Phase::Published
                | merit_engine::event::Phase::Halted
                | merit_engine::event::Phase::Cancelled => entry.next_due_us,
            };
            return Ok(MarketEvent::Auction(event::auction_out(info, entry.phase, entry.next_due_us)));
        }
        if let EventBody::RulesSet(rules) = &event.body {
            let key = (rules.market, rules.effective_from);
            self.state.rules.insert(key, std::sync::Arc::clone(rules));
            return Ok(MarketEvent::Rules(event::rules_out(rules)));
        }
        Err(Doubt("an event on a stream that is not its own".into()))
    }

    fn operator(&mut self, event: &Event) -> Result<OperatorEvent, Doubt> {
        let registry = &mut self.state.registry;
        if let EventBody::MemberRegistered { member, code, name } = &event.body {
            registry.add_member(*member, code.clone(), name.clone());
            return Ok(OperatorEvent::Member(member_entry(registry, *member)));
        }
        if let EventBody::MemberSuspended { member, suspended } = &event.body {
            if let Some(it) = registry.members.get_mut(member) {
                it.suspended = *suspended;
            }
            return Ok(OperatorEvent::Member(member_entry(registry, *member)));
        }
        if let EventBody::PortfolioRegistered { member, portfolio, code, areas } = &event.body {
            let entry = registry::Portfolio { code: code.clone(), member: *member, areas: areas.clone() };
            registry.add_portfolio(*portfolio, entry);
            return Ok(OperatorEvent::Portfolio(v1::PortfolioRegistered {
                member: settlement::Names::member(registry, *member),
                portfolio: Some(v1::PortfolioEntry {
                    portfolio: code.to_string(),
                    areas: areas.iter().map(ToString::to_string).collect(),
                }),
            }));
        }
        if let EventBody::UserRegistered { user, name, fingerprint, role, member, portfolios } = &event.body {
            let identity = registry::Registry::identity(*user, name, *role, *member, portfolios);
            registry.set_user(registry::User { identity, fingerprint: *fingerprint });
            let codes = portfolios.iter().map(|it| settlement::Names::portfolio(registry, *it)).collect();
            return Ok(OperatorEvent::User(v1::UserRegistered {
                member: member.map(|it| settlement::Names::member(registry, it)),
                user: Some(event::user_entry(name.as_str(), *role, fingerprint, codes)),
            }));
        }
        if let EventBody::Alarm(alarm) = &event.body {
            // Whether the primary is alone is shown by its position; what has passed does not stand.
            let passes = matches!(alarm, Alarm::StandbyLost | Alarm::StandbyBack);
            let alarm = event::alarm(alarm);
            if !passes {
                self.state.alarms.push((event.time_us, alarm.clone()));
            }
            let surplus = self.state.alarms.len().saturating_sub(ALARMS_MAX);
            self.state.alarms.drain(..surplus);
            return Ok(OperatorEvent::Alarm(alarm));
        }
        if let EventBody::EpochStarted { node } = &event.body {
            return Ok(OperatorEvent::Primary(v1::PrimaryChanged {
                node: node.clone(),
                epoch: u64::from(event.epoch),
            }));
        }
        Err(Doubt("an event on a stream that is not its own".into()))
    }

    fn order_accepted(&mut self, event: &Event, applied: &Applied) -> Result<(), Doubt> {
        let EventBody::OrderAccepted { order, version, client_order_id, auction, .. } = &event.body else {
            return Err(Doubt("not the acceptance of an order".into()));
        };
        let Stream::Member(member) = event.stream else {
            return Err(Doubt("an order on another stream than its member's".into()));
        };
        if self.store.is_some() {
            self.show_accepted(event, applied)?;
        }
        if *version > 1 {
            self.state.orders.amend(*order, event.stream_seq);
            return Ok(());
        }
        let entry = OrderEntry {
            member,
            auction: *auction,
            client_order_id: client_order_id.as_str(),
            latest: event.stream_seq,
            first: event.stream_seq,
            amended: &[],
            state: v1::OrderState::Live,
            result_seq: None,
        };
        let added = self.state.orders.add(*order, entry);
        added.map_err(|_| Doubt("a member's orders are not numbered in their order".into()))?;
        self.state.orders_in.entry((member, *auction)).or_default().push(*order);
        Ok(())
    }

    /// Puts what the member is shown of it into the batch.
    fn show_accepted(&mut self, event: &Event, applied: &Applied) -> Result<(), Doubt> {
        let EventBody::OrderAccepted {
            order,
            version,
            client_order_id,
            user,
            auction,
            portfolio,
            area,
            body,
        } = &event.body
        else {
            return Err(Doubt("not the acceptance of an order".into()));
        };
        let State { repeated, registry, auctions, orders, .. } = &mut *self.state;
        repeated.at((*auction, *portfolio, *area), || {
            let Some(info) = auctions.get(auction).map(|it| &it.info) else {
                return Err(Doubt("an order of an unknown auction".into()));
            };
            let code = info.rules.areas.get(usize::from(*area)).map(|it| it.code.to_string());
            let portfolio = settlement::Names::portfolio(registry, *portfolio);
            Ok((Scale::of(&info.rules), [auction.to_string(), portfolio, code.unwrap_or_default()]))
        })?;
        repeated.by(*user, || registry.user_name(*user));
        let parent = match body.as_ref() {
            OrderBody::Block { parent: Some(Parent::Order(parent)), .. } => {
                orders.get(*parent).map(|it| it.client_order_id)
            }
            OrderBody::Block { .. } | OrderBody::Curve { .. } | OrderBody::Complex { .. } => None,
        };
        let request = applied.reply.request.as_ref().map_or(client_order_id, |it| &it.id);
        let shown = encode::AcceptedOrder {
            order: *order,
            version: *version,
            client_order_id: client_order_id.as_bytes(),
            request: request.as_bytes(),
            body,
            parent,
        };
        let key = keys::event(event.stream, event.stream_seq);
        self.batch.put_with(&[&key], |out| repeated.accepted(&shown, event, out));
        Ok(())
    }

    fn order_cancelled(
        &mut self,
        member: MemberId,
        order: OrderId,
        event: &Event,
    ) -> Result<MemberEvent, Doubt> {
        let Some(before) = self.state.orders.cancel(order, event.stream_seq) else {
            return Err(Doubt("an unknown order was cancelled".into()));
        };
        if self.store.is_none() {
            return Ok(MemberEvent::Order(v1::Order::default()));
        }
        let bytes = self.record(&keys::event(Stream::Member(member), before))?;
        let before = bytes.and_then(|it| v1::StreamEventsResponse::decode(it.as_slice()).ok());
        match before.and_then(|it| it.event) {
            Some(MemberEvent::Order(mut shown)) => {
                shown.state = v1::OrderState::Cancelled.into();
                Ok(MemberEvent::Order(shown))
            }
            Some(_) | None => Err(Doubt("the version of a cancelled order is missing".into())),
        }
    }

    fn dispatch(&mut self, event: &Event) -> Result<DispatchEvent, Doubt> {
        if let EventBody::CorridorRequested { info, net_positions, flows } = &event.body {
            if let Some(entry) = self.state.auctions.get_mut(&info.auction) {
                entry.corridor_seq = Some(event.stream_seq);
            }
            return Ok(DispatchEvent::CorridorRequest(event::corridor_request(info, net_positions, flows)));
        }
        if let EventBody::CapacityAccepted(capacity) = &event.body {
            let info = self.state.auctions.get(&capacity.auction).map(|it| &it.info);
            let shown = info.map(|info| event::capacities(capacity, info));
            return Ok(DispatchEvent::Capacities(shown.unwrap_or_default()));
        }
        if let EventBody::ScheduleAcknowledged { auction, revision } = &event.body {
            if let Some(entry) = self.state.auctions.get_mut(auction) {
                for (known, _, acknowledged) in &mut entry.schedules {
                    *acknowledged |= known == revision;
                }
            }
            return Ok(DispatchEvent::Acknowledged(v1::ScheduleAcknowledged {
                auction_id: auction.to_string(),
                revision: *revision,
            }));
        }
        Err(Doubt("an event on a stream that is not its own".into()))
    }

    fn settled(
        &mut self,
        event: &merit_engine::settlement::SettlementEvent,
    ) -> Result<SettlementEvent, Doubt> {
        use merit_engine::settlement::SettlementEvent as Said;
        let registry = &self.state.registry;
        Ok(match event {
            Said::DeviationSet(rules) => {
                SettlementEvent::DeviationRules(event::deviation_rules(rules, registry))
            }
            Said::Metered(batch) => {
                self.state.metered.insert(batch.day, batch.content);
                SettlementEvent::Metered(event::meter_batch(batch))
            }
            Said::Run(run) => {
                let day = run.request.day;
                let rules = result::any_rules(self.state)?;
                for (member, lines) in settlement::deviation_lines(run, &rules, registry) {
                    let part = v1::GetStatementResponse { lines, ..v1::GetStatementResponse::default() };
                    self.batch.put(keys::run_statement(member, day, run.run), part.encode_to_vec());
                }
                let shown = event::run(run, &rules, registry);
                self.state.runs.entry(day).or_default().push((run.run, run.request.status));
                SettlementEvent::Run(shown)
            }
        })
    }
}

/// The answer to an order in the bytes of its event.
fn answer_in(event: &[u8]) -> Option<v1::OrderAnswer> {
    encode::answer_of(v1::StreamEventsResponse::decode(event).ok()?)
}

/// The event in the member's stream that says all that the answer to a command does: of most commands there is one.
fn said_by_event(applied: &Applied, request: &Echo, member: MemberId) -> Option<u64> {
    let Answer::Accepted { made: Made::Order { order, version }, time_us, replayed: false, .. } =
        applied.reply.answer
    else {
        return None;
    };
    let last = applied.events.last()?;
    let EventBody::OrderAccepted { order: said, version: said_version, client_order_id, .. } = &last.body
    else {
        return None;
    };
    let same = request.order.is_none()
        && (*said, *said_version) == (order, version)
        && *client_order_id == request.id
        && last.stream == Stream::Member(member)
        && last.time_us == time_us
        && applied.reply.member_seq == Some(last.stream_seq);
    same.then_some(last.stream_seq)
}

/// A member's entry without portfolios and users.
pub(super) fn member_entry(registry: &registry::Registry, member: MemberId) -> v1::MemberEntry {
    let Some(it) = registry.members.get(&member) else { return v1::MemberEntry::default() };
    v1::MemberEntry {
        member: it.code.to_string(),
        name: it.name.clone(),
        suspended: it.suspended,
        portfolios: Vec::new(),
        users: Vec::new(),
    }
}
