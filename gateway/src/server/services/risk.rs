//! Collateral and clearances: members look, operators change, the clearing house notes what was paid.

use super::requests;
use crate::server::convert::faults::Faults;
use crate::server::convert::units::{day, whole};
use crate::server::convert::{operator, risk, settlement};
use crate::server::node::{Caller, Node};
use crate::server::status;
use merit_engine::command::{Action, Clearance, Role};
use merit_engine::ids::{Market, MemberId};
use merit_engine::reject::Reject;
use merit_proto::v1;
use merit_proto::v1::RejectReason;
use merit_proto::v1::risk_service_server::RiskService;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct Risk {
    /// The node.
    pub node: Arc<Node>,
}

impl Risk {
    fn operator<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        self.node.caller_as(request, &[Role::Operator], "operators")
    }

    /// The member asked about: its own for a member's users, the one named for others.
    fn member(&self, caller: &Caller, named: Option<&str>) -> Result<Option<MemberId>, Status> {
        match caller.identity.role {
            Role::Trader | Role::Auditor => caller.member().map(Some),
            Role::Operator | Role::Settlement => match named {
                None => Ok(None),
                Some(code) => {
                    let found = self.node.model.read(|state, _| state.registry.member_of(code));
                    found.map(Some).ok_or_else(|| status::not_found("member"))
                }
            },
            Role::Dispatch => Err(status::role_not_permitted("members, operators and the clearing house")),
        }
    }

    /// Reads a member and an amount, and makes the action of them.
    async fn change(
        &self,
        caller: &Caller,
        request_id: &str,
        code: &str,
        amount_micros: i64,
        action: impl FnOnce(MemberId, i64) -> Action,
    ) -> Result<v1::RequestAnswer, Status> {
        let mut faults = Faults::default();
        let (member, unit) = self
            .node
            .model
            .read(|state, _| (operator::member(code, &mut faults, &state.registry), state.money_scale()));
        let (minor, exact) = whole(amount_micros, unit);
        if !exact {
            faults.reject(Reject::AmountOutOfRange, "amount_micros");
        }
        let action = member.map(|member| action(member, minor));
        requests::execute(&self.node, caller, request_id, action, faults, "amount_micros").await
    }
}

#[tonic::async_trait]
impl RiskService for Risk {
    async fn get_collateral(
        &self,
        request: Request<v1::GetCollateralRequest>,
    ) -> Result<Response<v1::GetCollateralResponse>, Status> {
        let caller = self.node.caller(&request)?;
        let named = request.into_inner().member;
        let rule = "is needed: whose collateral";
        let member = self.member(&caller, named.as_deref())?;
        let member = member.ok_or_else(|| status::invalid_argument("member", rule))?;
        self.node.fresh().await;
        let (code, unit, currency) = self.node.model.read(|state, _| {
            let code = settlement::Names::member(&state.registry, member);
            let currency = state
                .rules
                .values()
                .next()
                .map_or_else(String::new, |it| crate::server::convert::units::currency(it));
            (code, state.money_scale(), currency)
        });
        let now_us = self.node.time_us();
        let (account, margin) = self
            .node
            .inbox
            .look(move |exchange, _| {
                let engine = &exchange.engine;
                let ahead = |it: &merit_engine::market::AuctionView<'_>| {
                    it.info.auction.market == Market::Dam && now_us < it.info.gate_us
                };
                let next = engine.auctions().filter(ahead).map(|it| it.info.auction.day).min();
                let margin = next.and_then(|day| engine.margin(member, day));
                (engine.collateral(member).clone(), margin)
            })
            .await?;
        let collateral = risk::collateral(&account, margin, code, currency, unit);
        Ok(Response::new(v1::GetCollateralResponse { collateral: Some(collateral) }))
    }

    async fn list_clearances(
        &self,
        request: Request<v1::ListClearancesRequest>,
    ) -> Result<Response<v1::ListClearancesResponse>, Status> {
        let caller = self.node.caller(&request)?;
        let member = self.member(&caller, request.into_inner().member.as_deref())?;
        self.node.fresh().await;
        let all: Vec<_> = self
            .node
            .inbox
            .look(|exchange, _| {
                exchange
                    .engine
                    .clearances()
                    .map(|(portfolio, area, it)| (portfolio, area.clone(), it))
                    .collect()
            })
            .await?;
        let mut clearances: Vec<v1::ClearanceEntry> = self.node.model.read(|state, _| {
            let registry = &state.registry;
            let owned = |portfolio| registry.portfolios.get(portfolio).map(|it| it.member);
            let own = all.iter().filter(|(portfolio, _, _)| member.is_none() || owned(portfolio) == member);
            own.map(|(portfolio, area, it)| {
                risk::clearance(settlement::Names::portfolio(registry, *portfolio), area, *it)
            })
            .collect()
        });
        clearances.sort_by(|a, b| (&a.portfolio, &a.area).cmp(&(&b.portfolio, &b.area)));
        Ok(Response::new(v1::ListClearancesResponse { clearances }))
    }

    async fn deposit(
        &self,
        request: Request<v1::DepositRequest>,
    ) -> Result<Response<v1::DepositResponse>, Status> {
        let caller = self.operator(&request)?;
        let it = request.into_inner();
        let action = |member, minor| Action::Deposit { member, minor };
        let answer = self.change(&caller, &it.request_id, &it.member, it.amount_micros, action).await?;
        Ok(Response::new(v1::DepositResponse { answer: Some(answer) }))
    }

    async fn withdraw(
        &self,
        request: Request<v1::WithdrawRequest>,
    ) -> Result<Response<v1::WithdrawResponse>, Status> {
        let caller = self.operator(&request)?;
        let it = request.into_inner();
        let action = |member, minor| Action::Withdraw { member, minor };
        let answer = self.change(&caller, &it.request_id, &it.member, it.amount_micros, action).await?;
        Ok(Response::new(v1::WithdrawResponse { answer: Some(answer) }))
    }

    async fn record_pay_in(
        &self,
        request: Request<v1::RecordPayInRequest>,
    ) -> Result<Response<v1::RecordPayInResponse>, Status> {
        let roles = [Role::Operator, Role::Settlement];
        let caller = self.node.caller_as(&request, &roles, "operators and the clearing house")?;
        let it = request.into_inner();
        let mut faults = Faults::default();
        let member =
            self.node.model.read(|state, _| operator::member(&it.member, &mut faults, &state.registry));
        let found = day(&it.delivery_day);
        if found.is_none() {
            faults.malformed(RejectReason::MalformedDate, "delivery_day", "must be a day that exists");
        }
        let action = member.zip(found).map(|(member, day)| Action::RecordPayIn { member, day });
        let answer =
            requests::execute(&self.node, &caller, &it.request_id, action, faults, "delivery_day").await?;
        Ok(Response::new(v1::RecordPayInResponse { answer: Some(answer) }))
    }

    async fn set_clearance(
        &self,
        request: Request<v1::SetClearanceRequest>,
    ) -> Result<Response<v1::SetClearanceResponse>, Status> {
        let caller = self.operator(&request)?;
        let asked = request.into_inner();
        let it = asked.clearance.unwrap_or_default();
        let mut faults = Faults::default();
        let area = operator::code(&it.area, "clearance.area", &mut faults);
        let portfolio = self.node.model.read(|state, _| state.registry.portfolio_of(&it.portfolio));
        if portfolio.is_none() {
            faults.reject(Reject::UnknownPortfolio, "clearance.portfolio");
        }
        let clearance = Clearance { buy_watts: it.buy_watts, sell_watts: it.sell_watts };
        let action = portfolio.zip(area).map(|((portfolio, _), area)| Action::SetClearance {
            portfolio,
            area,
            clearance,
        });
        let answer =
            requests::execute(&self.node, &caller, &asked.request_id, action, faults, "clearance").await?;
        Ok(Response::new(v1::SetClearanceResponse { answer: Some(answer) }))
    }
}
