//! The clearing house's door, and members' statements.

use super::requests;
use crate::server::convert::units::{currency, day, decimal};
use crate::server::convert::{Faults, runs, settlement, timestamp};
use crate::server::node::{Caller, Node, doubt};
use crate::server::read_model::keys;
use crate::server::status;
use crate::server::streams::{self, All, Streamed};
use merit_engine::calendar::Day;
use merit_engine::command::{Action, Role};
use merit_engine::event::{Made, Stream as Log};
use merit_engine::ids::{Market, MemberId};
use merit_engine::reject::Reject;
use merit_engine::settlement::{RunStatus, SettlementAction};
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
        let caller = self.clearing_house(&request)?;
        let asked = request.into_inner();
        let mut faults = Faults::default();
        let epoch = u32::try_from(asked.epoch).ok();
        if epoch.is_none() {
            faults.reject(Reject::NeverSent, "epoch");
        }
        let action = epoch.map(|epoch| {
            let stream_seq = asked.up_to_seq;
            Action::Settle(SettlementAction::Acknowledge { stream_seq, epoch })
        });
        let (answer, made) = self.execute(&caller, &asked.request_id, action, faults).await?;
        let acknowledged_seq = match made {
            Some(Made::Number(number)) => number,
            Some(_) | None => 0,
        };
        Ok(Response::new(v1::AcknowledgeObligationsResponse { acknowledged_seq, refused: answer.refused }))
    }

    async fn run_settlement(
        &self,
        request: Request<v1::RunSettlementRequest>,
    ) -> Result<Response<v1::RunSettlementResponse>, Status> {
        let caller = self.clearing_house(&request)?;
        let asked = request.into_inner();
        let mut faults = Faults::default();
        let action = runs::run_in(&asked, &mut faults);
        let (answer, _) = self.execute(&caller, &asked.request_id, action, faults).await?;
        Ok(Response::new(v1::RunSettlementResponse { answer: Some(answer) }))
    }

    async fn set_deviation_rules(
        &self,
        request: Request<v1::SetDeviationRulesRequest>,
    ) -> Result<Response<v1::SetDeviationRulesResponse>, Status> {
        let caller = self.clearing_house(&request)?;
        let asked = request.into_inner();
        let mut faults = Faults::default();
        let action = self
            .node
            .model
            .read(|state, _| runs::deviation_in(asked.rules.as_ref(), &mut faults, &state.registry));
        let (answer, _) = self.execute(&caller, &asked.request_id, action, faults).await?;
        Ok(Response::new(v1::SetDeviationRulesResponse { answer: Some(answer) }))
    }

    async fn submit_meter_readings(
        &self,
        request: Request<tonic::Streaming<v1::SubmitMeterReadingsRequest>>,
    ) -> Result<Response<v1::SubmitMeterReadingsResponse>, Status> {
        let caller = self.clearing_house(&request)?;
        super::meters::take(&self.node, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn record_payment(
        &self,
        request: Request<v1::RecordPaymentRequest>,
    ) -> Result<Response<v1::RecordPaymentResponse>, Status> {
        let caller = self.clearing_house(&request)?;
        let asked = request.into_inner();
        let mut faults = Faults::default();
        let action = self.node.model.read(|state, _| {
            let rules = state.rules.values().next().map(|it| &**it);
            runs::payment_in(&asked, &mut faults, &state.registry, rules)
        });
        let (answer, _) = self.execute(&caller, &asked.request_id, action, faults).await?;
        Ok(Response::new(v1::RecordPaymentResponse { answer: Some(answer) }))
    }

    async fn place_hold(
        &self,
        request: Request<v1::PlaceHoldRequest>,
    ) -> Result<Response<v1::PlaceHoldResponse>, Status> {
        let caller = self.clearing_house(&request)?;
        let asked = request.into_inner();
        let mut faults = Faults::default();
        let action = self.node.model.read(|state, _| {
            let rules = state.rules.values().next().map(|it| &**it);
            runs::hold_in(&asked, &mut faults, &state.registry, rules)
        });
        let (answer, made) = self.execute(&caller, &asked.request_id, action, faults).await?;
        let hold_id = match made {
            Some(Made::Number(number)) => Some(number),
            Some(_) | None => None,
        };
        Ok(Response::new(v1::PlaceHoldResponse { answer: Some(answer), hold_id }))
    }

    async fn end_hold(
        &self,
        request: Request<v1::EndHoldRequest>,
    ) -> Result<Response<v1::EndHoldResponse>, Status> {
        let caller = self.clearing_house(&request)?;
        let asked = request.into_inner();
        let mut faults = Faults::default();
        let action = runs::hold_end_in(&asked, &mut faults);
        let (answer, _) = self.execute(&caller, &asked.request_id, action, faults).await?;
        Ok(Response::new(v1::EndHoldResponse { answer: Some(answer) }))
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
        self.statement(member, day, asked.run).map(Response::new)
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
    fn clearing_house<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        self.node.caller_as(request, &[Role::Settlement], "the clearing house")
    }

    async fn execute(
        &self,
        caller: &Caller,
        request_id: &str,
        action: Option<Action>,
        faults: Faults,
    ) -> Result<(v1::RequestAnswer, Option<Made>), Status> {
        requests::execute_made(&self.node, caller, request_id, action, faults, "request").await
    }

    /// What the auctions of a day add up to, and the deviations of a run: the one asked for, else the
    /// newest.
    fn statement(
        &self,
        member: MemberId,
        day: Day,
        run: Option<u32>,
    ) -> Result<v1::GetStatementResponse, Status> {
        let runs = self.node.model.read(|state, _| state.runs.get(&day).cloned()).unwrap_or_default();
        // Before the first run, what the auctions have left stands as the run that is to come.
        let coming = [(1, RunStatus::Provisional)];
        let runs = if runs.is_empty() { &coming[..] } else { &runs };
        let found = runs.iter().rev().find(|(number, _)| run.is_none_or(|it| it == *number));
        let (run, run_status) = *found.ok_or_else(|| status::not_found("settlement run"))?;
        let mut parts: Vec<v1::GetStatementResponse> =
            self.node.model.all(&keys::statements(member, day)).map_err(doubt)?;
        let deviations = keys::run_statement(member, day, run);
        parts.extend(self.node.model.all::<v1::GetStatementResponse>(&deviations).map_err(doubt)?);
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
            run: known.then_some(run),
            status: known.then_some(runs::status_out(run_status).into()),
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
                for entry in batch.entries.iter().filter(|it| until.is_none_or(|day| is_until(it, day))) {
                    add(&mut balances, entry);
                }
            }
        }
    }
}

type Balances = BTreeMap<(i32, Option<String>, String), (v1::AccountBalance, i128)>;

/// Whether an entry belongs to the time until the end of a day: by its delivery day, or by the day on
/// which it counts. Holds have neither and always count.
fn is_until(entry: &v1::LedgerEntry, until: Day) -> bool {
    let of = entry.delivery_day.as_deref().or(entry.effective_day.as_deref());
    of.and_then(day).is_none_or(|it| it <= until)
}

fn add(balances: &mut Balances, entry: &v1::LedgerEntry) {
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
