//! Everything else that can be asked in one call: market data, the dispatch centre's, the clearing house's and
//! the operators' requests, each repeated over the endpoints until it is answered.

use crate::error::CallError;
use crate::member::{Client, read_failed, unknown_or_final};
use crate::v1;

/// Reads: the same question may be asked any number of times.
macro_rules! reads {
    ($($(#[$doc:meta])* $service:ident :: $method:ident($request:ident) -> $response:ident;)*) => {
        impl Client { $(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// The exchange could not be asked, or has no answer.
            pub async fn $method(&self, request: v1::$request) -> Result<v1::$response, CallError> {
                let attempt = |_| {
                    let (mut service, request) = (self.$service(), request.clone());
                    async move { service.$method(request).await }
                };
                self.call(attempt).await.map_err(read_failed)
            }
        )* }
    };
}

/// Writes: each carries a request id, so a repeat changes nothing a second time.
macro_rules! writes {
    ($($(#[$doc:meta])* $service:ident :: $method:ident($request:ident) -> $response:ident;)*) => {
        impl Client { $(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// No answer came; see [`CallError`]. Call again with the same request id.
            pub async fn $method(&self, request: v1::$request) -> Result<v1::$response, CallError> {
                let attempt = |_| {
                    let (mut service, request) = (self.$service(), request.clone());
                    async move { service.$method(request).await }
                };
                self.call(attempt).await.map_err(unknown_or_final(request.request_id))
            }
        )* }
    };
}

reads! {
    /// One page of auctions by market and delivery day.
    market::list_auctions(ListAuctionsRequest) -> ListAuctionsResponse;
    /// One auction: its phase, next step, ticks, areas, lines and periods.
    market::get_auction(GetAuctionRequest) -> GetAuctionResponse;
    /// Prices, volumes, net positions and flows of a published auction.
    market::get_result(GetResultRequest) -> GetResultResponse;
    /// Aggregated curves of a published auction.
    market::get_curves(GetCurvesRequest) -> GetCurvesResponse;
    /// What the unconstrained run would like to transfer.
    dispatch::get_corridor_request(GetCorridorRequestRequest) -> GetCorridorRequestResponse;
    /// The schedules of an auction or of a day.
    dispatch::get_schedules(GetSchedulesRequest) -> GetSchedulesResponse;
    /// What a revision of a schedule changed against an earlier one.
    dispatch::get_schedule_changes(GetScheduleChangesRequest) -> GetScheduleChangesResponse;
    /// What one member owes and is owed for one delivery day.
    settlement::get_statement(GetStatementRequest) -> GetStatementResponse;
    /// Balances of all accounts.
    settlement::get_trial_balance(GetTrialBalanceRequest) -> GetTrialBalanceResponse;
    /// The node, its journal and the market at a glance.
    operator::get_status(GetStatusRequest) -> GetStatusResponse;
    /// The rules of one market on a delivery day.
    operator::get_market_rules(GetMarketRulesRequest) -> GetMarketRulesResponse;
    /// Every step of a delivery day and when it is due.
    operator::get_timetable(GetTimetableRequest) -> GetTimetableResponse;
    /// One page of members with their portfolios and users.
    operator::list_members(ListMembersRequest) -> ListMembersResponse;
    /// The collateral of a member.
    risk::get_collateral(GetCollateralRequest) -> GetCollateralResponse;
    /// What portfolios are cleared for.
    risk::list_clearances(ListClearancesRequest) -> ListClearancesResponse;
    /// Position and digest of the journal.
    operator::get_journal_position(GetJournalPositionRequest) -> GetJournalPositionResponse;
}

writes! {
    /// Gives the transfer capacities of an auction.
    dispatch::submit_transfer_capacity(SubmitTransferCapacityRequest) -> SubmitTransferCapacityResponse;
    /// Says that a schedule has been received.
    dispatch::acknowledge_schedule(AcknowledgeScheduleRequest) -> AcknowledgeScheduleResponse;
    /// Says up to which number obligations are durable at the clearing house.
    settlement::acknowledge_obligations(AcknowledgeObligationsRequest) -> AcknowledgeObligationsResponse;
    /// Runs the settlement of a delivery day.
    settlement::run_settlement(RunSettlementRequest) -> RunSettlementResponse;
    /// Sets how deviations are charged from a delivery day on.
    settlement::set_deviation_rules(SetDeviationRulesRequest) -> SetDeviationRulesResponse;
    /// Books a payment.
    settlement::record_payment(RecordPaymentRequest) -> RecordPaymentResponse;
    /// Blocks funds of a member.
    settlement::place_hold(PlaceHoldRequest) -> PlaceHoldResponse;
    /// Posts or releases what is blocked.
    settlement::end_hold(EndHoldRequest) -> EndHoldResponse;
    /// Sets the rules of one market from a delivery day on.
    operator::set_market_rules(SetMarketRulesRequest) -> SetMarketRulesResponse;
    /// Registers a member.
    operator::register_member(RegisterMemberRequest) -> RegisterMemberResponse;
    /// Registers a portfolio of a member.
    operator::register_portfolio(RegisterPortfolioRequest) -> RegisterPortfolioResponse;
    /// Registers a user, or replaces the certificate of one.
    operator::register_user(RegisterUserRequest) -> RegisterUserResponse;
    /// Suspends a member.
    operator::suspend_member(SuspendMemberRequest) -> SuspendMemberResponse;
    /// Lifts a suspension.
    operator::resume_member(ResumeMemberRequest) -> ResumeMemberResponse;
    /// Notes collateral that a member has deposited.
    risk::deposit(DepositRequest) -> DepositResponse;
    /// Gives collateral back that nothing needs.
    risk::withdraw(WithdrawRequest) -> WithdrawResponse;
    /// Notes that a member has paid what it owed for a day.
    risk::record_pay_in(RecordPayInRequest) -> RecordPayInResponse;
    /// Sets what a portfolio is cleared to trade in an area.
    risk::set_clearance(SetClearanceRequest) -> SetClearanceResponse;
    /// Proposes an exceptional act.
    operator::propose_act(ProposeActRequest) -> ProposeActResponse;
    /// Approves an act that another operator proposed.
    operator::approve_act(ApproveActRequest) -> ApproveActResponse;
}
