//! The grid dispatch centre's door.

use super::requests;
use crate::server::convert::dispatch;
use crate::server::convert::faults::Faults;
use crate::server::convert::order_in::Directory as _;
use crate::server::convert::units::{auction_id, day};
use crate::server::node::{Caller, Node, doubt};
use crate::server::read_model::state::AuctionEntry;
use crate::server::status;
use crate::server::streams::{self, Selection, StreamMessage as _, Streamed};
use crate::server::work;
use merit_client::signed::SignatureError;
use merit_engine::command::{Action, Role};
use merit_engine::event::Stream as Log;
use merit_engine::reject::Reject;
use merit_proto::v1;
use merit_proto::v1::dispatch_service_server::DispatchService;
use merit_proto::v1::stream_dispatch_response::Event;
use prost::Message as _;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct Dispatch {
    /// The node.
    pub node: Arc<Node>,
}

impl Dispatch {
    fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        self.node.caller_as(request, &[Role::Dispatch], "the dispatch centre")
    }

    fn schedule(&self, entry: &AuctionEntry, revision: Option<u32>) -> Result<Option<v1::Schedule>, Status> {
        let wanted = |it: &&(u32, u64, bool)| revision.is_none_or(|revision| revision == it.0);
        let Some((_, seq, acknowledged)) = entry.schedules.iter().rev().find(wanted) else { return Ok(None) };
        let mut schedule = stored_schedule(&self.node, *seq)?;
        schedule.acknowledged = *acknowledged;
        if let Some(signer) = &self.node.signer {
            signer.schedule(&mut schedule).map_err(unsignable)?;
        }
        Ok(Some(schedule))
    }
}

/// An event as the journal makes it, unsigned.
fn stored(node: &Node, seq: u64) -> Result<Event, Status> {
    let message: Option<v1::StreamDispatchResponse> =
        node.model.message(Log::Dispatch, seq).map_err(doubt)?;
    message.and_then(|it| it.event).ok_or_else(|| status::internal("an event is missing"))
}

fn unsignable(error: SignatureError) -> Status {
    tracing::error!(%error, "a message for the dispatch centre cannot be signed");
    status::internal("a message cannot be signed")
}

/// Signs what is signed, if the node has a key.
fn sign(node: &Node, event: &mut Event) -> Result<(), Status> {
    let Some(signer) = &node.signer else { return Ok(()) };
    match event {
        Event::Schedule(it) => signer.schedule(it).map_err(unsignable),
        Event::CorridorRequest(it) => signer.corridor(it).map_err(unsignable),
        Event::Heartbeat(_) | Event::GoingAway(_) | Event::Capacities(_) | Event::Acknowledged(_) => Ok(()),
    }
}

/// What a revision changed against an earlier one, signed.
fn changes(
    node: &Node,
    before: Option<&v1::Schedule>,
    after: &v1::Schedule,
) -> Result<v1::ScheduleChanges, Status> {
    let mut changes = merit_client::signed::changes(before, after);
    if let Some(signer) = &node.signer {
        signer.changes(&mut changes).map_err(unsignable)?;
    }
    Ok(changes)
}

/// The schedule with a number in the dispatch centre's stream, unsigned.
fn stored_schedule(node: &Node, seq: u64) -> Result<v1::Schedule, Status> {
    match stored(node, seq)? {
        Event::Schedule(schedule) => Ok(schedule),
        Event::Heartbeat(_)
        | Event::GoingAway(_)
        | Event::CorridorRequest(_)
        | Event::Capacities(_)
        | Event::Acknowledged(_) => Err(status::internal("a schedule is missing")),
    }
}

/// The number of the last schedule before a number.
fn previous_schedule(node: &Node, before: Option<u64>) -> Option<u64> {
    node.model.read(|state, _| {
        let before = before.unwrap_or(state.head(Log::Dispatch) + 1);
        let all = state.auctions.values().flat_map(|it| &it.schedules).map(|(_, seq, _)| *seq);
        all.filter(|it| *it < before).max()
    })
}

#[tonic::async_trait]
impl DispatchService for Dispatch {
    type StreamScheduleChangesStream = Streamed<v1::StreamScheduleChangesResponse>;
    type StreamSchedulesStream = Streamed<v1::StreamSchedulesResponse>;
    type StreamDispatchStream = Streamed<v1::StreamDispatchResponse>;

    async fn get_corridor_request(
        &self,
        request: Request<v1::GetCorridorRequestRequest>,
    ) -> Result<Response<v1::GetCorridorRequestResponse>, Status> {
        self.caller(&request)?;
        self.node.fresh().await;
        let name = request.into_inner().auction_id;
        let id = auction_id(&name).ok_or_else(|| status::not_found("auction"))?;
        let entry = self.node.model.read(|state, _| state.auctions.get(&id).cloned());
        let entry = entry.ok_or_else(|| status::not_found("auction"))?;
        let response = match entry.corridor_seq {
            None => v1::GetCorridorRequestResponse {
                status: v1::PublicationStatus::NotPublished.into(),
                request: None,
            },
            Some(seq) => match stored(&self.node, seq)? {
                Event::CorridorRequest(mut found) => {
                    if let Some(signer) = &self.node.signer {
                        signer.corridor(&mut found).map_err(unsignable)?;
                    }
                    v1::GetCorridorRequestResponse {
                        status: v1::PublicationStatus::Provisional.into(),
                        request: Some(found),
                    }
                }
                Event::Heartbeat(_)
                | Event::GoingAway(_)
                | Event::Capacities(_)
                | Event::Schedule(_)
                | Event::Acknowledged(_) => {
                    return Err(status::internal("a corridor request is missing"));
                }
            },
        };
        Ok(Response::new(response))
    }

    async fn submit_transfer_capacity(
        &self,
        request: Request<v1::SubmitTransferCapacityRequest>,
    ) -> Result<Response<v1::SubmitTransferCapacityResponse>, Status> {
        let caller = self.caller(&request)?;
        let asked = request.into_inner();
        let mut faults = Faults::default();
        let id = dispatch::auction_named(&asked.auction_id, &mut faults);
        let info = id.and_then(|it| self.node.model.known(None, |known| known.auction(it)));
        if id.is_some() && info.is_none() {
            faults.reject(Reject::UnknownAuction, "auction_id");
        }
        let action = info.and_then(|info| dispatch::capacity_in(&asked, &info, &mut faults));
        let answer =
            requests::execute(&self.node, &caller, &asked.request_id, action, faults, "capacities").await?;
        Ok(Response::new(v1::SubmitTransferCapacityResponse { answer: Some(answer) }))
    }

    async fn get_schedules(
        &self,
        request: Request<v1::GetSchedulesRequest>,
    ) -> Result<Response<v1::GetSchedulesResponse>, Status> {
        self.caller(&request)?;
        let asked = request.into_inner();
        self.node.told().await;
        let auction = match asked.auction_id.as_deref() {
            Some(name) => Some(auction_id(name).ok_or_else(|| status::not_found("auction"))?),
            None => None,
        };
        let delivery = match asked.delivery_day.as_deref() {
            Some(text) => {
                let rule = "must be a day like 2026-11-23 that exists";
                Some(day(text).ok_or_else(|| status::invalid_argument("delivery_day", rule))?)
            }
            None if auction.is_none() => {
                return Err(status::invalid_argument("delivery_day", "is needed if no auction is given"));
            }
            None => None,
        };
        let mut entries: Vec<AuctionEntry> = self.node.model.read(|state, _| {
            let of_day = |day| state.auctions.iter().filter(move |(id, _)| id.day == day);
            match (auction, delivery) {
                (Some(id), _) => state.auctions.get(&id).cloned().into_iter().collect(),
                (None, Some(day)) => of_day(day).map(|(_, it)| it.clone()).collect(),
                (None, None) => Vec::new(),
            }
        });
        entries.sort_by_key(|it| (it.info.delivery_start_us, it.info.auction));
        let found =
            || entries.iter().filter_map(|it| self.schedule(it, asked.revision).transpose()).collect();
        let schedules: Result<Vec<v1::Schedule>, Status> = work::large(found);
        Ok(Response::new(v1::GetSchedulesResponse { schedules: schedules? }))
    }

    async fn stream_schedules(
        &self,
        request: Request<v1::StreamSchedulesRequest>,
    ) -> Result<Response<Self::StreamSchedulesStream>, Status> {
        let caller = self.caller(&request)?;
        self.node.fresh().await;
        let from = request.into_inner().from_seq;
        let (node, previous) = (Arc::clone(&self.node), previous_schedule(&self.node, from));
        let selection = Schedules { node, previous };
        streams::open(&self.node, &caller, Log::Dispatch, from, selection, Vec::new()).await
    }

    async fn get_schedule_changes(
        &self,
        request: Request<v1::GetScheduleChangesRequest>,
    ) -> Result<Response<v1::GetScheduleChangesResponse>, Status> {
        self.caller(&request)?;
        let asked = request.into_inner();
        self.node.fresh().await;
        let id = auction_id(&asked.auction_id).ok_or_else(|| status::not_found("auction"))?;
        let known = self.node.model.read(|state, _| state.auctions.get(&id).map(|it| it.schedules.clone()));
        let known = known.ok_or_else(|| status::not_found("auction"))?;
        let find = |revision: u32| known.iter().find(|it| it.0 == revision).map(|it| it.1);
        let after = match asked.to_revision {
            Some(revision) => find(revision),
            None => known.last().map(|it| it.1),
        };
        let after = after.ok_or_else(|| status::not_found("schedule"))?;
        let before = match asked.from_revision {
            0 => None,
            revision => Some(find(revision).ok_or_else(|| status::not_found("schedule"))?),
        };
        let changes = work::large(|| {
            let before = before.map(|seq| stored_schedule(&self.node, seq)).transpose()?;
            changes(&self.node, before.as_ref(), &stored_schedule(&self.node, after)?)
        })?;
        Ok(Response::new(v1::GetScheduleChangesResponse { changes: Some(changes) }))
    }

    async fn stream_schedule_changes(
        &self,
        request: Request<v1::StreamScheduleChangesRequest>,
    ) -> Result<Response<Self::StreamScheduleChangesStream>, Status> {
        let caller = self.caller(&request)?;
        self.node.fresh().await;
        let from = request.into_inner().from_seq;
        let (node, previous) = (Arc::clone(&self.node), previous_schedule(&self.node, from));
        let selection = Changes { node, previous };
        streams::open(&self.node, &caller, Log::Dispatch, from, selection, Vec::new()).await
    }

    async fn acknowledge_schedule(
        &self,
        request: Request<v1::AcknowledgeScheduleRequest>,
    ) -> Result<Response<v1::AcknowledgeScheduleResponse>, Status> {
        let caller = self.caller(&request)?;
        let asked = request.into_inner();
        let mut faults = Faults::default();
        let auction = dispatch::auction_named(&asked.auction_id, &mut faults);
        let revision = asked.revision;
        let action = auction.map(|auction| Action::AcknowledgeSchedule { auction, revision });
        let answer =
            requests::execute(&self.node, &caller, &asked.request_id, action, faults, "revision").await?;
        Ok(Response::new(v1::AcknowledgeScheduleResponse { answer: Some(answer) }))
    }

    async fn stream_dispatch(
        &self,
        request: Request<v1::StreamDispatchRequest>,
    ) -> Result<Response<Self::StreamDispatchStream>, Status> {
        let caller = self.caller(&request)?;
        let from = request.into_inner().from_seq;
        let selection = Signed { node: Arc::clone(&self.node) };
        streams::open(&self.node, &caller, Log::Dispatch, from, selection, Vec::new()).await
    }
}

/// An event of the dispatch centre's stream with the head filled in.
fn decoded(bytes: &[u8], head: u64) -> Result<v1::StreamDispatchResponse, Status> {
    let message = v1::StreamDispatchResponse::decode(bytes);
    let mut message = message.map_err(|_| status::internal("an event cannot be decoded"))?;
    if let Some(position) = message.position_mut() {
        position.head_seq = head;
    }
    Ok(message)
}

/// Everything for the dispatch centre, signed.
struct Signed {
    node: Arc<Node>,
}

impl Selection<v1::StreamDispatchResponse> for Signed {
    fn select(
        &mut self,
        _seq: u64,
        bytes: &[u8],
        head: u64,
    ) -> Result<Option<v1::StreamDispatchResponse>, Status> {
        let mut message = decoded(bytes, head)?;
        if let Some(event) = &mut message.event {
            sign(&self.node, event)?;
        }
        Ok(Some(message))
    }

    fn heartbeat(&self, position: v1::Position) -> v1::StreamDispatchResponse {
        v1::StreamDispatchResponse::heartbeat(position)
    }

    fn going_away(&self, position: v1::Position, farewell: v1::GoingAway) -> v1::StreamDispatchResponse {
        v1::StreamDispatchResponse::going_away(position, farewell)
    }
}

/// What each schedule changed against the revision before it.
struct Changes {
    node: Arc<Node>,
    previous: Option<u64>,
}

impl Changes {
    fn of(&self, schedule: &v1::Schedule) -> Result<v1::ScheduleChanges, Status> {
        let id = auction_id(&schedule.auction_id).ok_or_else(|| status::internal("an auction is missing"))?;
        let before = self.node.model.read(|state, _| {
            let known = state.auctions.get(&id).map(|it| it.schedules.as_slice()).unwrap_or_default();
            known.iter().rev().find(|it| it.0 < schedule.revision).map(|it| it.1)
        });
        let before = before.map(|seq| stored_schedule(&self.node, seq)).transpose()?;
        changes(&self.node, before.as_ref(), schedule)
    }
}

impl Selection<v1::StreamScheduleChangesResponse> for Changes {
    fn select(
        &mut self,
        seq: u64,
        bytes: &[u8],
        head: u64,
    ) -> Result<Option<v1::StreamScheduleChangesResponse>, Status> {
        let message = decoded(bytes, head)?;
        let Some(Event::Schedule(schedule)) = message.event else { return Ok(None) };
        Ok(Some(v1::StreamScheduleChangesResponse {
            position: message.position,
            previous_seq: self.previous.replace(seq),
            event: Some(v1::stream_schedule_changes_response::Event::Changes(self.of(&schedule)?)),
        }))
    }

    fn heartbeat(&self, position: v1::Position) -> v1::StreamScheduleChangesResponse {
        let event = v1::stream_schedule_changes_response::Event::Heartbeat(v1::Heartbeat { oldest_seq: 1 });
        v1::StreamScheduleChangesResponse { position: Some(position), previous_seq: None, event: Some(event) }
    }

    fn going_away(
        &self,
        position: v1::Position,
        farewell: v1::GoingAway,
    ) -> v1::StreamScheduleChangesResponse {
        let event = v1::stream_schedule_changes_response::Event::GoingAway(farewell);
        v1::StreamScheduleChangesResponse { position: Some(position), previous_seq: None, event: Some(event) }
    }
}

/// Schedules out of the dispatch centre's stream; each names the one before it.
struct Schedules {
    node: Arc<Node>,
    previous: Option<u64>,
}

impl Selection<v1::StreamSchedulesResponse> for Schedules {
    fn select(
        &mut self,
        seq: u64,
        bytes: &[u8],
        head: u64,
    ) -> Result<Option<v1::StreamSchedulesResponse>, Status> {
        let mut message = decoded(bytes, head)?;
        if let Some(event) = &mut message.event {
            sign(&self.node, event)?;
        }
        let Some(Event::Schedule(schedule)) = message.event else { return Ok(None) };
        Ok(Some(v1::StreamSchedulesResponse {
            position: message.position,
            previous_seq: self.previous.replace(seq),
            event: Some(v1::stream_schedules_response::Event::Schedule(schedule)),
        }))
    }

    fn heartbeat(&self, position: v1::Position) -> v1::StreamSchedulesResponse {
        let event = v1::stream_schedules_response::Event::Heartbeat(v1::Heartbeat { oldest_seq: 1 });
        v1::StreamSchedulesResponse { position: Some(position), previous_seq: None, event: Some(event) }
    }

    fn going_away(&self, position: v1::Position, farewell: v1::GoingAway) -> v1::StreamSchedulesResponse {
        let event = v1::stream_schedules_response::Event::GoingAway(farewell);
        v1::StreamSchedulesResponse { position: Some(position), previous_seq: None, event: Some(event) }
    }
}
