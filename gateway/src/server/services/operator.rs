//! The operators' door: counts and registrations, never orders.

use super::{page_size, page_token, requests};
use crate::server::convert::auction::{phase_next, phase_out};
use crate::server::convert::faults::Faults;
use crate::server::convert::units::{day, market_in, timestamp};
use crate::server::convert::{event, operator, rules};
use crate::server::link;
use crate::server::node::{Caller, Node};
use crate::server::read_model::registry::Registry;
use crate::server::read_model::state::AuctionEntry;
use crate::server::status;
use crate::server::streams::{self, All, Streamed};
use merit_engine::command::{Action, Role};
use merit_engine::event::{Made, Phase, Stream as Log};
use merit_engine::ids::MemberId;
use merit_engine::reject::Reject;
use merit_proto::v1;
use merit_proto::v1::operator_service_server::OperatorService;
use merit_replay::frame::Stamp;
use merit_replay::runner::State as CoreState;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct Operator {
    /// The node.
    pub node: Arc<Node>,
}

impl Operator {
    fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        self.node.caller_as(request, &[Role::Operator], "operators")
    }

    async fn suspend(
        &self,
        caller: &Caller,
        request_id: &str,
        code: &str,
        suspended: bool,
    ) -> Result<v1::RequestAnswer, Status> {
        let mut faults = Faults::default();
        let member = self.node.model.read(|state, _| operator::member(code, &mut faults, &state.registry));
        let action = member.map(|member| Action::SetMemberSuspended { member, suspended });
        requests::execute(&self.node, caller, request_id, action, faults, "member").await
    }

    async fn journal(&self) -> Result<v1::JournalPosition, Status> {
        let look =
            |exchange: &crate::server::exchange::Exchange, head: Stamp| (exchange.engine.digest(), head);
        let (digest, head) = self.node.inbox.look(look).await?;
        Ok(v1::JournalPosition {
            epoch: u64::from(head.epoch),
            durable_seq: head.seq,
            applied_seq: head.seq,
            digest: digest.to_be_bytes().to_vec(),
        })
    }

    fn alarms(&self) -> Vec<String> {
        let core = self.node.inbox.status();
        let mut alarms = Vec::new();
        match core.state {
            CoreState::NoSpace => alarms.push("the journal has no space: no orders are taken".to_owned()),
            CoreState::Failed => alarms.push(core.failure.unwrap_or_else(|| "the core has failed".into())),
            CoreState::Running | CoreState::Standby | CoreState::Stopping | CoreState::Ended => {}
        }
        if let Some(link) = &self.node.link {
            alarms.extend(link.trouble());
            if link.position().alone {
                alarms.push("no standby holds the newest orders: this node acknowledges alone".into());
            }
        }
        if core.space_is_low {
            alarms.push("no further journal segment could be made: free disk space".into());
        }
        // A standby takes the primary's time. Asked now, not taken from the core: it looks at its clock only
        // when something is due.
        let behind_us = core.head.time_us.saturating_sub(self.node.clock.now_us());
        if behind_us > 0 && core.state != CoreState::Standby {
            alarms.push(format!("the clock is {behind_us} µs behind the journal"));
        }
        let line = |(time_us, alarm): &(i64, v1::Alarm)| {
            let about = alarm.auction_id.as_deref().unwrap_or("the node");
            let at = crate::server::clock::format_utc(*time_us);
            format!("{at} {} {about}: {}", alarm.name, alarm.text)
        };
        alarms.extend(self.node.model.read(|state, store| {
            let volatile = (!store.lasts()).then(|| "the read model is in memory only".to_owned());
            volatile.into_iter().chain(state.alarms.iter().map(line)).collect::<Vec<_>>()
        }));
        alarms
    }

    async fn counts(&self) -> Result<Vec<v1::AuctionCounts>, Status> {
        let counts: Vec<_> = self.node.inbox.look(|exchange, _| exchange.engine.counts().collect()).await?;
        let current =
            counts.into_iter().filter(|it| !matches!(it.phase, Phase::Published | Phase::Cancelled));
        Ok(self.node.model.read(|state, _| {
            let shown = |it: merit_engine::market::AuctionCount| {
                let entry = state.auctions.get(&it.auction);
                let next = entry.and_then(|entry| phase_next(it.phase, &entry.info.rules));
                v1::AuctionCounts {
                    auction_id: it.auction.to_string(),
                    phase: phase_out(it.phase).into(),
                    phase_next: next.map(Into::into),
                    phase_next_due: entry.and_then(|it| it.next_due_us).map(timestamp),
                    orders: u64::from(it.orders),
                    members: it.members,
                }
            };
            current.map(shown).collect()
        }))
    }
}

#[tonic::async_trait]
impl OperatorService for Operator {
    type StreamOperatorEventsStream = Streamed<v1::StreamOperatorEventsResponse>;

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        self.caller(&request)?;
        self.node.fresh().await;
        let core = self.node.inbox.status();
        let role = match core.state {
            CoreState::Running | CoreState::Stopping => v1::NodeRole::Primary,
            CoreState::Standby => v1::NodeRole::Standby,
            CoreState::NoSpace | CoreState::Failed | CoreState::Ended => v1::NodeRole::ReadOnly,
        };
        let open = self.node.door.get().map_or(0, |it| it.counts().open);
        let members = self.node.model.read(|state, _| state.registry.members.len());
        let replication = match &self.node.link {
            Some(link) => Some(link::status(link).await?),
            None => None,
        };
        Ok(Response::new(v1::GetStatusResponse {
            node: self.node.name.clone(),
            role: role.into(),
            epoch: u64::from(core.head.epoch),
            journal: Some(self.journal().await?),
            time: Some(timestamp(self.node.time_us())),
            started_at: Some(timestamp(self.node.started_us)),
            version: env!("CARGO_PKG_VERSION").into(),
            auctions: self.counts().await?,
            members: u32::try_from(members).unwrap_or(u32::MAX),
            inbox: self.node.inbox.waiting(),
            connections: u32::try_from(open).unwrap_or(u32::MAX),
            alarms: self.alarms(),
            replication,
        }))
    }

    async fn set_market_rules(
        &self,
        request: Request<v1::SetMarketRulesRequest>,
    ) -> Result<Response<v1::SetMarketRulesResponse>, Status> {
        let caller = self.caller(&request)?;
        let asked = request.into_inner();
        let mut faults = Faults::default();
        let empty = v1::MarketRules::default();
        let read = rules::rules_in(asked.rules.as_ref().unwrap_or(&empty), &mut faults);
        let action = read.map(|it| Action::SetRules(Box::new(it)));
        let answer =
            requests::execute(&self.node, &caller, &asked.request_id, action, faults, "rules").await?;
        Ok(Response::new(v1::SetMarketRulesResponse { answer: Some(answer) }))
    }

    async fn get_market_rules(
        &self,
        request: Request<v1::GetMarketRulesRequest>,
    ) -> Result<Response<v1::GetMarketRulesResponse>, Status> {
        self.caller(&request)?;
        let asked = request.into_inner();
        let market = market_in(asked.market);
        let market = market.ok_or_else(|| status::invalid_argument("market", "no such market"))?;
        self.node.fresh().await;
        let now_us = self.node.time_us();
        let asked_day = match asked.delivery_day.as_deref() {
            Some(text) => Some(day(text).ok_or_else(malformed_day)?),
            None => None,
        };
        let found = self.node.model.read(|state, _| {
            let newest = state.rules.iter().rfind(|((of, _), _)| *of == market);
            let today = newest.map(|(_, rules)| rules.zone.day_of(now_us));
            let rules = asked_day.or(today).and_then(|day| state.rules_on(market, day));
            rules.map(|it| rules::rules_out(it))
        });
        Ok(Response::new(v1::GetMarketRulesResponse { rules: found }))
    }

    async fn get_timetable(
        &self,
        request: Request<v1::GetTimetableRequest>,
    ) -> Result<Response<v1::GetTimetableResponse>, Status> {
        self.caller(&request)?;
        let asked = day(&request.into_inner().delivery_day).ok_or_else(malformed_day)?;
        self.node.fresh().await;
        let mut steps: Vec<(i64, v1::TimetableStep)> = self.node.model.read(|state, _| {
            let of_day = state.auctions.values().filter(|it| it.info.auction.day == asked);
            of_day.flat_map(timetable).collect()
        });
        steps.sort_by(|(a_us, a), (b_us, b)| (a_us, &a.auction_id).cmp(&(b_us, &b.auction_id)));
        let steps = steps.into_iter().map(|(_, it)| it).collect();
        Ok(Response::new(v1::GetTimetableResponse { steps }))
    }

    async fn register_member(
        &self,
        request: Request<v1::RegisterMemberRequest>,
    ) -> Result<Response<v1::RegisterMemberResponse>, Status> {
        let caller = self.caller(&request)?;
        let asked = request.into_inner();
        let mut faults = Faults::default();
        let code = operator::code(&asked.member, "member", &mut faults);
        let action = code.map(|code| Action::RegisterMember { code, name: asked.name });
        let answer =
            requests::execute(&self.node, &caller, &asked.request_id, action, faults, "member").await?;
        Ok(Response::new(v1::RegisterMemberResponse { answer: Some(answer) }))
    }

    async fn register_portfolio(
        &self,
        request: Request<v1::RegisterPortfolioRequest>,
    ) -> Result<Response<v1::RegisterPortfolioResponse>, Status> {
        let caller = self.caller(&request)?;
        let asked = request.into_inner();
        let mut faults = Faults::default();
        let action = self
            .node
            .model
            .read(|state, _| operator::register_portfolio(&asked, &mut faults, &state.registry));
        let answer =
            requests::execute(&self.node, &caller, &asked.request_id, action, faults, "portfolio").await?;
        Ok(Response::new(v1::RegisterPortfolioResponse { answer: Some(answer) }))
    }

    async fn register_user(
        &self,
        request: Request<v1::RegisterUserRequest>,
    ) -> Result<Response<v1::RegisterUserResponse>, Status> {
        let caller = self.caller(&request)?;
        let asked = request.into_inner();
        let mut faults = Faults::default();
        let action =
            self.node.model.read(|state, _| operator::register_user(&asked, &mut faults, &state.registry));
        let answer =
            requests::execute(&self.node, &caller, &asked.request_id, action, faults, "user").await?;
        Ok(Response::new(v1::RegisterUserResponse { answer: Some(answer) }))
    }

    async fn suspend_member(
        &self,
        request: Request<v1::SuspendMemberRequest>,
    ) -> Result<Response<v1::SuspendMemberResponse>, Status> {
        let caller = self.caller(&request)?;
        let asked = request.into_inner();
        let answer = self.suspend(&caller, &asked.request_id, &asked.member, true).await?;
        Ok(Response::new(v1::SuspendMemberResponse { answer: Some(answer) }))
    }

    async fn resume_member(
        &self,
        request: Request<v1::ResumeMemberRequest>,
    ) -> Result<Response<v1::ResumeMemberResponse>, Status> {
        let caller = self.caller(&request)?;
        let asked = request.into_inner();
        let answer = self.suspend(&caller, &asked.request_id, &asked.member, false).await?;
        Ok(Response::new(v1::ResumeMemberResponse { answer: Some(answer) }))
    }

    async fn list_members(
        &self,
        request: Request<v1::ListMembersRequest>,
    ) -> Result<Response<v1::ListMembersResponse>, Status> {
        self.caller(&request)?;
        let asked = request.into_inner();
        let skip = usize::try_from(page_token(asked.page_token.as_deref())?).unwrap_or(usize::MAX);
        let limit = page_size(asked.page_size);
        self.node.fresh().await;
        let response = self.node.model.read(|state, _| {
            let mut all: Vec<_> = state.registry.members.iter().collect();
            all.sort_by(|(_, a), (_, b)| a.code.cmp(&b.code));
            let more = all.len() > skip.saturating_add(limit);
            let page = all.into_iter().skip(skip).take(limit);
            v1::ListMembersResponse {
                members: page.map(|(id, _)| member_entry(&state.registry, *id)).collect(),
                next_page_token: more.then(|| (skip + limit).to_string()),
            }
        });
        Ok(Response::new(response))
    }

    async fn propose_act(
        &self,
        request: Request<v1::ProposeActRequest>,
    ) -> Result<Response<v1::ProposeActResponse>, Status> {
        let caller = self.caller(&request)?;
        let asked = request.into_inner();
        let mut faults = Faults::default();
        let action = operator::propose(&asked, &mut faults);
        let (answer, made) =
            requests::execute_made(&self.node, &caller, &asked.request_id, action, faults, "act").await?;
        let proposal_id = match made {
            Some(Made::Proposal(number)) => Some(operator::proposal_name(number)),
            Some(_) | None => None,
        };
        Ok(Response::new(v1::ProposeActResponse { answer: Some(answer), proposal_id }))
    }

    async fn approve_act(
        &self,
        request: Request<v1::ApproveActRequest>,
    ) -> Result<Response<v1::ApproveActResponse>, Status> {
        let caller = self.caller(&request)?;
        let asked = request.into_inner();
        let mut faults = Faults::default();
        let proposal = operator::proposal_number(&asked.proposal_id);
        if proposal.is_none() {
            faults.reject(Reject::UnknownProposal, "proposal_id");
        }
        let action = proposal.map(|proposal| Action::ApproveAct { proposal });
        let answer =
            requests::execute(&self.node, &caller, &asked.request_id, action, faults, "proposal_id").await?;
        Ok(Response::new(v1::ApproveActResponse { answer: Some(answer) }))
    }

    async fn stream_operator_events(
        &self,
        request: Request<v1::StreamOperatorEventsRequest>,
    ) -> Result<Response<Self::StreamOperatorEventsStream>, Status> {
        let caller = self.caller(&request)?;
        let from = request.into_inner().from_seq;
        streams::open(&self.node, &caller, Log::Operator, from, All, Vec::new()).await
    }

    async fn switchover(
        &self,
        request: Request<v1::SwitchoverRequest>,
    ) -> Result<Response<v1::SwitchoverResponse>, Status> {
        let caller = self.caller(&request)?;
        let link = self.node.link.as_ref().ok_or_else(no_others)?;
        let (node, link, request) = (Arc::clone(&self.node), Arc::clone(link), request.into_inner());
        tracing::warn!(user = %caller.identity.name, to = request.to, plan = request.plan, "switchover ordered");
        // An operator whose connection breaks does not leave it half done.
        let done = tokio::spawn(async move { link::switchover(&node, &link, &request).await });
        done.await.map_err(|_| status::internal("the switchover panicked"))?.map(Response::new)
    }

    async fn failover(
        &self,
        request: Request<v1::FailoverRequest>,
    ) -> Result<Response<v1::FailoverResponse>, Status> {
        let caller = self.caller(&request)?;
        let link = Arc::clone(self.node.link.as_ref().ok_or_else(no_others)?);
        let request = request.into_inner();
        tracing::warn!(user = %caller.identity.name, lost = request.lost, plan = request.plan, "failover ordered");
        let done = tokio::spawn(async move { link::failover(&link, &request).await });
        done.await.map_err(|_| status::internal("the failover panicked"))?.map(Response::new)
    }

    async fn get_history(
        &self,
        request: Request<v1::GetHistoryRequest>,
    ) -> Result<Response<v1::GetHistoryResponse>, Status> {
        self.caller(&request)?;
        let link = self.node.link.as_ref().ok_or_else(no_others)?;
        Ok(Response::new(v1::GetHistoryResponse { entries: link::history(link).await? }))
    }

    async fn get_journal_position(
        &self,
        request: Request<v1::GetJournalPositionRequest>,
    ) -> Result<Response<v1::GetJournalPositionResponse>, Status> {
        self.caller(&request)?;
        let asked = request.into_inner().at_seq;
        let position = self.journal().await?;
        let at = asked.filter(|it| *it == position.applied_seq).map(|_| position.digest.clone());
        Ok(Response::new(v1::GetJournalPositionResponse { position: Some(position), digest_at: at }))
    }
}

/// A node that has no others cannot be ordered about among them.
fn no_others() -> Status {
    Status::failed_precondition("this node is configured without others (replication.nodes)")
}

fn malformed_day() -> Status {
    status::invalid_argument("delivery_day", "must be a day like 2026-11-23 that exists")
}

/// Every step of an auction and when it is due.
fn timetable(entry: &AuctionEntry) -> Vec<(i64, v1::TimetableStep)> {
    let info = &entry.info;
    let two_runs = info.rules.timetable.two_runs;
    let mut steps = vec![(info.open_us, Phase::Open)];
    if two_runs {
        steps.push((info.gate_us, Phase::ClearingUnconstrained));
        steps.push((info.corridor_us, Phase::AwaitingCapacity));
    } else {
        steps.push((info.gate_us, Phase::AwaitingCapacity));
    }
    steps.push((info.capacities_us, Phase::Clearing));
    steps.push((info.publish_us, Phase::Published));
    let step = |(due_us, phase): (i64, Phase)| {
        let done = entry.history.iter().find(|(begun, _)| *begun == phase).map(|(_, time_us)| *time_us);
        let step = v1::TimetableStep {
            due_at: Some(timestamp(due_us)),
            auction_id: info.auction.to_string(),
            phase: phase_out(phase).into(),
            done_at: done.map(timestamp),
        };
        (due_us, step)
    };
    steps.into_iter().map(step).collect()
}

/// A member with its portfolios and users.
fn member_entry(registry: &Registry, member: MemberId) -> v1::MemberEntry {
    let Some(it) = registry.members.get(&member) else { return v1::MemberEntry::default() };
    let portfolios = registry.portfolios.values().filter(|it| it.member == member);
    let users = registry.users.values().filter(|it| it.identity.member == Some(member));
    let code = |id: &_| crate::server::convert::settlement::Names::portfolio(registry, *id);
    v1::MemberEntry {
        member: it.code.to_string(),
        name: it.name.clone(),
        suspended: it.suspended,
        portfolios: portfolios
            .map(|it| v1::PortfolioEntry {
                portfolio: it.code.to_string(),
                areas: it.areas.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        users: users
            .map(|it| {
                let own = &it.identity;
                let portfolios = own.portfolios.iter().map(code).collect();
                event::user_entry(own.name.as_str(), own.role, &it.fingerprint, portfolios)
            })
            .collect(),
    }
}
