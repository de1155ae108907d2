//! The members' door.

use super::entry;
use super::orders::{self, Asked};
use super::{page_size, page_token};
use crate::server::certificate::hex;
use crate::server::convert::units::{auction_id, role_out};
use crate::server::convert::{order_out, timestamp};
use crate::server::node::{Caller, Node, doubt};
use crate::server::status;
use crate::server::streams::{self, All, Streamed};
use merit_engine::command::Role;
use merit_engine::event::Stream as Log;
use merit_engine::ids::OrderId;
use merit_proto::v1;
use merit_proto::v1::member_service_server::MemberService;
use merit_proto::v1::order_command::Command;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

const TRADERS: &[Role] = &[Role::Trader];
const READERS: &[Role] = &[Role::Trader, Role::Auditor];

/// The service.
#[derive(Clone)]
pub struct Member {
    /// The node.
    pub node: Arc<Node>,
}

impl Member {
    fn trader<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        self.node.caller_as(request, TRADERS, "traders")
    }

    fn reader<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        self.node.caller_as(request, READERS, "users of a member")
    }

    async fn one<T>(
        &self,
        request: Request<T>,
        read: impl FnOnce(T) -> Result<(String, Command, &'static str), Status>,
    ) -> Result<Option<v1::OrderAnswer>, Status> {
        let caller = self.trader(&request)?;
        let (client_order_id, command, field) = read(request.into_inner())?;
        let command = v1::OrderCommand { client_order_id, command: Some(command) };
        let answers = orders::execute(&self.node, &caller, &[Asked::single(&command, field)]).await?;
        Ok(answers.into_iter().next())
    }

    fn bounded<'a>(&self, commands: &'a [v1::OrderCommand]) -> Result<Vec<Asked<'a>>, Status> {
        if commands.len() > self.node.limits.batch_commands_max {
            return Err(status::too_many_commands(self.node.limits.batch_commands_max));
        }
        Ok(Asked::all(commands).collect())
    }
}

fn missing(field: &str) -> Status {
    status::invalid_argument(field, "this field is needed")
}

#[tonic::async_trait]
impl MemberService for Member {
    type OrderEntryStream = Streamed<v1::OrderEntryResponse>;
    type StreamEventsStream = Streamed<v1::StreamEventsResponse>;

    async fn submit_order(
        &self,
        request: Request<v1::SubmitOrderRequest>,
    ) -> Result<Response<v1::SubmitOrderResponse>, Status> {
        let read = |it: v1::SubmitOrderRequest| {
            let order = it.order.ok_or_else(|| missing("order"))?;
            Ok((it.client_order_id, Command::Submit(order), "order"))
        };
        let answer = self.one(request, read).await?;
        Ok(Response::new(v1::SubmitOrderResponse { answer }))
    }

    async fn amend_order(
        &self,
        request: Request<v1::AmendOrderRequest>,
    ) -> Result<Response<v1::AmendOrderResponse>, Status> {
        let read = |it: v1::AmendOrderRequest| {
            let amend = it.amend.ok_or_else(|| missing("amend"))?;
            Ok((it.client_order_id, Command::Amend(amend), "amend"))
        };
        let answer = self.one(request, read).await?;
        Ok(Response::new(v1::AmendOrderResponse { answer }))
    }

    async fn cancel_order(
        &self,
        request: Request<v1::CancelOrderRequest>,
    ) -> Result<Response<v1::CancelOrderResponse>, Status> {
        let read = |it: v1::CancelOrderRequest| {
            let cancel = it.cancel.ok_or_else(|| missing("cancel"))?;
            Ok((it.client_order_id, Command::Cancel(cancel), "cancel"))
        };
        let answer = self.one(request, read).await?;
        Ok(Response::new(v1::CancelOrderResponse { answer }))
    }

    async fn cancel_all(
        &self,
        request: Request<v1::CancelAllRequest>,
    ) -> Result<Response<v1::CancelAllResponse>, Status> {
        let read = |it: v1::CancelAllRequest| {
            let cancel_all = it.cancel_all.ok_or_else(|| missing("cancel_all"))?;
            Ok((it.client_order_id, Command::CancelAll(cancel_all), "cancel_all"))
        };
        let answer = self.one(request, read).await?;
        Ok(Response::new(v1::CancelAllResponse { answer }))
    }

    async fn submit_batch(
        &self,
        request: Request<v1::SubmitBatchRequest>,
    ) -> Result<Response<v1::SubmitBatchResponse>, Status> {
        let caller = self.trader(&request)?;
        let commands = request.into_inner().commands;
        let asked = self.bounded(&commands)?;
        let answers = orders::execute(&self.node, &caller, &asked).await?;
        Ok(Response::new(v1::SubmitBatchResponse { answers }))
    }

    async fn order_entry(
        &self,
        request: Request<Streaming<v1::OrderEntryRequest>>,
    ) -> Result<Response<Self::OrderEntryStream>, Status> {
        let caller = self.trader(&request)?;
        entry::open(&self.node, caller, request.into_inner())
    }

    async fn dry_run(
        &self,
        request: Request<v1::DryRunRequest>,
    ) -> Result<Response<v1::DryRunResponse>, Status> {
        let caller = self.trader(&request)?;
        let commands = request.into_inner().commands;
        let asked = self.bounded(&commands)?;
        let time = Some(timestamp(self.node.time_us()));
        let results = orders::dry_run(&self.node, &caller, &asked).await?;
        Ok(Response::new(v1::DryRunResponse { results, time }))
    }

    async fn list_orders(
        &self,
        request: Request<v1::ListOrdersRequest>,
    ) -> Result<Response<v1::ListOrdersResponse>, Status> {
        let member = self.reader(&request)?.member()?;
        let asked = request.into_inner();
        let auction = match asked.auction_id.as_deref() {
            Some(name) => Some(auction_id(name).ok_or_else(|| status::not_found("auction"))?),
            None => None,
        };
        for (index, state) in asked.states.iter().enumerate() {
            let known = v1::OrderState::try_from(*state).is_ok_and(|it| it != v1::OrderState::Unspecified);
            if !known {
                return Err(status::invalid_argument(&format!("states[{index}]"), "no such state"));
            }
        }
        let after = OrderId(page_token(asked.page_token.as_deref())?);
        self.node.fresh().await;
        let wanted = |it: &v1::Order| {
            (asked.states.is_empty() || asked.states.contains(&it.state))
                && asked.portfolio.as_ref().is_none_or(|portfolio| *portfolio == it.portfolio)
        };
        let page = self.node.model.orders(member, auction, after, page_size(asked.page_size), wanted);
        let page = page.map_err(doubt)?;
        Ok(Response::new(v1::ListOrdersResponse {
            orders: page.orders,
            next_page_token: page.more_after.map(|it| it.0.to_string()),
            head_seq: page.head_seq,
        }))
    }

    async fn get_order(
        &self,
        request: Request<v1::GetOrderRequest>,
    ) -> Result<Response<v1::GetOrderResponse>, Status> {
        let member = self.reader(&request)?.member()?;
        let asked = request.into_inner();
        self.node.fresh().await;
        let (order, answer) = match asked.name.ok_or_else(|| missing("name"))? {
            v1::get_order_request::Name::OrderId(id) => (Some(OrderId(id)), None),
            v1::get_order_request::Name::ClientOrderId(id) => {
                let answer = self.node.model.answer(member, &id).map_err(doubt)?;
                let answer = answer.ok_or_else(|| status::not_found("command"))?;
                let order = match &answer.outcome {
                    Some(v1::order_answer::Outcome::Accepted(it)) => it.order_id.map(OrderId),
                    Some(v1::order_answer::Outcome::Refused(_)) | None => None,
                };
                (order, Some(answer))
            }
        };
        let order = match order {
            Some(id) => self.node.model.order(member, id, asked.with_versions).map_err(doubt)?,
            None => None,
        };
        if order.is_none() && answer.is_none() {
            return Err(status::not_found("order"));
        }
        Ok(Response::new(v1::GetOrderResponse { order, answer }))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let member = self.reader(&request)?.member()?;
        let name = request.into_inner().order.and_then(|it| it.name).ok_or_else(|| missing("order"))?;
        self.node.fresh().await;
        let id = match name {
            v1::order_ref::Name::OrderId(id) => Some(OrderId(id)),
            v1::order_ref::Name::ClientOrderId(id) => {
                self.node.model.order_named(member, &id).map_err(doubt)?
            }
        };
        let id = id.ok_or_else(|| status::not_found("order"))?;
        let order = self.node.model.order(member, id, false).map_err(doubt)?;
        let order = order.ok_or_else(|| status::not_found("order"))?;
        let (status, lines) = explained(&order);
        Ok(Response::new(v1::ExplainResponse { order: Some(order), status: status.into(), lines }))
    }

    async fn stream_events(
        &self,
        request: Request<v1::StreamEventsRequest>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        let caller = self.reader(&request)?;
        let member = caller.member()?;
        let from = request.into_inner().from_seq;
        streams::open(&self.node, &caller, Log::Member(member), from, All, Vec::new()).await
    }

    async fn get_limits(
        &self,
        request: Request<v1::GetLimitsRequest>,
    ) -> Result<Response<v1::GetLimitsResponse>, Status> {
        self.node.caller(&request)?;
        let limits = &self.node.limits;
        let whole = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let limit = |name: &str, limit: u64, remaining| v1::Limit {
            name: name.into(),
            limit,
            remaining,
            reset_at: None,
        };
        let inbox = u64::from(limits.inbox_commands_max);
        let waiting = u64::from(self.node.inbox.waiting());
        let limits = vec![
            limit("message_bytes", whole(limits.request_bytes_max), None),
            limit("commands_per_batch", whole(limits.batch_commands_max), None),
            limit("inbox_commands", inbox, Some(inbox.saturating_sub(waiting))),
            limit("streams_per_user", u64::from(limits.streams_per_user_max), None),
            limit("streams_per_connection", u64::from(limits.streams_per_connection_max), None),
            limit("calls_per_connection", whole(limits.calls_per_connection_max), None),
        ];
        Ok(Response::new(v1::GetLimitsResponse { limits }))
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let Caller { identity, peer } = self.node.caller(&request)?;
        self.node.fresh().await;
        let (member, portfolios, head, epoch) = self.node.model.read(|state, _| {
            let code = |it| crate::server::convert::settlement::Names::member(&state.registry, it);
            let head = identity.member.map_or(0, |it| state.head(Log::Member(it)));
            (identity.member.map(code), state.registry.portfolios_of(&identity), head, state.epoch)
        });
        let certificate = peer.certificate.as_ref();
        let ends = certificate.and_then(|it| it.ends_at_s);
        Ok(Response::new(v1::WhoAmIResponse {
            user: identity.name.to_string(),
            role: role_out(identity.role).into(),
            member,
            portfolios,
            certificate_sha256: certificate.map_or_else(String::new, |it| hex(&it.fingerprint)),
            certificate_ends_at: ends.map(|it| timestamp(it.saturating_mul(1_000_000))),
            node: self.node.name.clone(),
            time: Some(timestamp(self.node.time_us())),
            position: Some(self.node.position(head, epoch)),
        }))
    }
}

fn explained(order: &v1::Order) -> (v1::PublicationStatus, Vec<String>) {
    if order.state() == v1::OrderState::Cancelled {
        return (v1::PublicationStatus::Final, vec!["taken back by its member".into()]);
    }
    let Some(result) = &order.result else { return (v1::PublicationStatus::NotPublished, Vec::new()) };
    let row = result.rows.first().and_then(|it| it.row.as_ref());
    let status = row.map_or(v1::PublicationStatus::Final, v1::TimeRow::status);
    let line = |it: &v1::OrderResultRow| {
        let currency = it.row.as_ref().map_or("", |it| it.currency.as_str());
        order_out::explanation(it, currency)
    };
    (status, result.rows.iter().map(line).collect())
}
