//! The clearing house's door, and members' statements.

use crate::server::convert::units::{auction_id, currency, day, decimal};
use crate::server::convert::{settlement, timestamp};
use crate::server::node::{Node, doubt};
use crate::server::read_model::keys;
use crate::server::status;
use crate::server::streams::{self, All, Streamed};
use merit_engine::calendar::Day;
use merit_engine::command::Role;
use merit_engine::event::Stream as Log;
use merit_engine::ids::{Market, MemberId};
use merit_proto::v1;
use merit_proto::v1::settlement_service_server::SettlementService;
use std::collections::BTreeMap;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Events that are read at a time when balances up to a day are added up.
const CHUNK: usize = 256;

/// The service.
#[derive(Clone)]
pub struct Settlement {
    /// The node.
    pub node: Arc<Node>,
}

fn delivery_day(text: &str) -> Result<Day, Status> {
    let rule = "must be a day like 2026-11-23 that exists";
    day(text).ok_or_else(|| status::invalid_argument("delivery_day", rule))
}

#[tonic::async_trait]
impl SettlementService for Settlement {
    type StreamObligationsStream = Streamed<v1::StreamObligationsResponse>;

    async fn stream_obligations(
        &self,
        request: Request<v1::StreamObligationsRequest>,
    ) -> Result<Response<Self::StreamObligationsStream>, Status> {
        let caller = self.node.caller_as(&request, &[Role::Settlement], "the clearing house")?;
        let from = request.into_inner().from_seq;
        streams::open(&self.node, &caller, Log::Settlement, from, All, Vec::new()).await
    }

    async fn acknowledge_obligations(
        &self,
        request: Request<v1::AcknowledgeObligationsRequest>,
    ) -> Result<Response<v1::AcknowledgeObligationsResponse>, Status> {
        self.node.caller_as(&request, &[Role::Settlement], "the clearing house")?;
        Err(status::not_implemented("acknowledging obligations comes with the settlement push"))
    }

    async fn get_statement(
        &self,
        request: Request<v1::GetStatementRequest>,
    ) -> Result<Response<v1::GetStatementResponse>, Status> {
        let roles = [Role::Settlement, Role::Trader, Role::Auditor];
        let caller = self.node.caller_as(&request, &roles, "the clearing house and users of a member")?;
        let asked = request.into_inner();
        let day = delivery_day(&asked.delivery_day)?;
        self.node.fresh().await;
        let member = match caller.identity.member {
            Some(own) => own,
            None => {
                let code = asked.member.as_deref().unwrap_or_default();
                let found = self.node.model.read(|state, _| state.registry.member_of(code));
                found.ok_or_else(|| status::not_found("member"))?
            }
        };
        if asked.run.is_some_and(|it| it != 1) {
            return Err(status::not_found("settlement run"));
        }
        self.statement(member, day).map(Response::new)
    }

    async fn get_trial_balance(
        &self,
        request: Request<v1::GetTrialBalanceRequest>,
    ) -> Result<Response<v1::GetTrialBalanceResponse>, Status> {
        self.node.caller_as(&request, &[Role::Settlement], "the clearing house")?;
        let until = request.into_inner().delivery_day;
        self.node.fresh().await;
        let until = until.as_deref().map(delivery_day).transpose()?;
        let balances = self.balances(until)?;
        let sum: i128 = balances.values().map(|(_, micros)| micros).sum();
        let accounts = balances.into_values().map(|(mut account, micros)| {
            account.balance = decimal(micros, 6);
            account
        });
        Ok(Response::new(v1::GetTrialBalanceResponse {
            accounts: accounts.collect(),
            sum: decimal(sum, 6),
            time: Some(timestamp(self.node.model.read(|state, _| state.time_us))),
        }))
    }
}

impl Settlement {
    fn statement(&self, member: MemberId, day: Day) -> Result<v1::GetStatementResponse, Status> {
        let parts: Vec<v1::GetStatementResponse> =
            self.node.model.all(&keys::statements(member, day)).map_err(doubt)?;
        let lines: Vec<v1::StatementLine> = parts.into_iter().flat_map(|it| it.lines).collect();
        let known = !lines.is_empty();
        let net = lines.iter().fold(0_i64, |sum, it| sum.saturating_add(it.amount_micros));
        let (code, currency) = self.node.model.read(|state, _| {
            let code = settlement::Names::member(&state.registry, member);
            let rules = Market::ALL.iter().find_map(|it| state.rules_on(*it, day));
            (code, rules.map_or_else(String::new, |it| currency(it)))
        });
        Ok(v1::GetStatementResponse {
            member: code,
            delivery_day: day.to_string(),
            run: known.then_some(1),
            status: known.then_some(v1::RunStatus::Provisional.into()),
            currency,
            lines,
            net_micros: known.then_some(net),
        })
    }

    /// Balances in millionths by account, out of the ledger's entries.
    fn balances(&self, until: Option<Day>) -> Result<Balances, Status> {
        let mut balances = Balances::new();
        let mut next = 1;
        loop {
            let (events, _) = self.node.model.events(Log::Settlement, next, CHUNK).map_err(doubt)?;
            if events.is_empty() {
                return Ok(balances);
            }
            for bytes in &events {
                next += 1;
                let message = <v1::StreamObligationsResponse as prost::Message>::decode(bytes.as_slice());
                let message = message.map_err(|_| status::internal("an event cannot be decoded"))?;
                let Some(v1::stream_obligations_response::Event::Ledger(batch)) = message.event else {
                    continue;
                };
                let wanted = |day| auction_id(&batch.auction_id).is_some_and(|it| it.day <= day);
                if until.is_none_or(wanted) {
                    add(&mut balances, &batch);
                }
            }
        }
    }
}

type Balances = BTreeMap<(i32, Option<String>, String), (v1::AccountBalance, i128)>;

fn add(balances: &mut Balances, batch: &v1::LedgerBatch) {
    for entry in &batch.entries {
        for posting in &entry.postings {
            let Some(account) = &posting.account else { continue };
            let key = (account.kind, account.member.clone(), entry.currency.clone());
            let (_, sum) = balances.entry(key).or_insert_with(|| {
                let balance = v1::AccountBalance {
                    account: Some(account.clone()),
                    currency: entry.currency.clone(),
                    balance: String::new(),
                };
                (balance, 0)
            });
            *sum += i128::from(posting.amount_micros);
        }
    }
}
