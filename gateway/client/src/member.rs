//! The client: order entry that is safe to retry, look-ups, and the doors to every other service.

use crate::config::{Config, ConnectError};
use crate::entry::{Entry, EntryOptions};
use crate::error::{CallError, Verdict, verdict};
use crate::events::{Events, Subscription};
use crate::link::{Link, Transport};
use crate::v1;
use std::sync::Arc;
use tonic::Status;
use v1::dispatch_service_client::DispatchServiceClient;
use v1::market_data_service_client::MarketDataServiceClient;
use v1::member_service_client::MemberServiceClient;
use v1::operator_service_client::OperatorServiceClient;
use v1::risk_service_client::RiskServiceClient;
use v1::settlement_service_client::SettlementServiceClient;

/// A connection to the exchange as one user. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    pub(crate) link: Arc<Link>,
}

pub(crate) fn unknown_or_final(client_order_id: String) -> impl FnOnce(Status) -> CallError {
    move |status| match verdict(&status) {
        Verdict::Final => CallError::Status(Box::new(status)),
        Verdict::Here(_) | Verdict::Elsewhere => {
            CallError::OutcomeUnknown { client_order_id, last: Box::new(status) }
        }
    }
}

pub(crate) fn read_failed(status: Status) -> CallError {
    CallError::Status(Box::new(status))
}

fn answered(answer: Option<v1::OrderAnswer>) -> Result<v1::OrderAnswer, CallError> {
    answer.ok_or(CallError::Protocol("an answer is missing"))
}

impl Client {
    /// Makes a client; nothing is connected before the first call. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// A file or endpoint that cannot be used.
    pub fn new(config: Config) -> Result<Self, ConnectError> {
        Ok(Self { link: Arc::new(Link::new(&config)?) })
    }

    /// Order entry and everything of the member's own, at the endpoint used now, without repeats.
    #[must_use]
    pub fn member(&self) -> MemberServiceClient<Transport> {
        self.member_over(self.link.current().1)
    }

    fn member_over(&self, transport: Transport) -> MemberServiceClient<Transport> {
        MemberServiceClient::new(transport).max_decoding_message_size(self.link.message_max)
    }

    /// Market data, at the endpoint used now, without repeats.
    #[must_use]
    pub fn market(&self) -> MarketDataServiceClient<Transport> {
        MarketDataServiceClient::new(self.link.current().1).max_decoding_message_size(self.link.message_max)
    }

    /// The dispatch centre's service, at the endpoint used now, without repeats.
    #[must_use]
    pub fn dispatch(&self) -> DispatchServiceClient<Transport> {
        DispatchServiceClient::new(self.link.current().1).max_decoding_message_size(self.link.message_max)
    }

    /// Settlement, at the endpoint used now, without repeats.
    #[must_use]
    pub fn settlement(&self) -> SettlementServiceClient<Transport> {
        SettlementServiceClient::new(self.link.current().1).max_decoding_message_size(self.link.message_max)
    }

    /// The operators' service, at the endpoint used now, without repeats.
    #[must_use]
    pub fn operator(&self) -> OperatorServiceClient<Transport> {
        OperatorServiceClient::new(self.link.current().1).max_decoding_message_size(self.link.message_max)
    }

    /// Collateral and clearances, at the endpoint used now, without repeats.
    #[must_use]
    pub fn risk(&self) -> RiskServiceClient<Transport> {
        RiskServiceClient::new(self.link.current().1).max_decoding_message_size(self.link.message_max)
    }

    /// Any other call, repeated over the endpoints until it is answered: reads, and writes that carry a
    /// request id, are safe to repeat. The closure is called once for each attempt.
    ///
    /// # Errors
    ///
    /// The last status.
    pub async fn call<T, F, A>(&self, attempt: F) -> Result<T, Status>
    where
        F: Fn(Transport) -> A,
        A: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        self.link.call(attempt).await
    }

    /// Enters an order.
    ///
    /// # Errors
    ///
    /// No answer came; see [`CallError`].
    pub async fn submit(
        &self,
        client_order_id: impl Into<String>,
        order: v1::NewOrder,
    ) -> Result<v1::OrderAnswer, CallError> {
        let client_order_id = client_order_id.into();
        let request = v1::SubmitOrderRequest { client_order_id: client_order_id.clone(), order: Some(order) };
        let attempt = |transport| {
            let (mut service, request) = (self.member_over(transport), request.clone());
            async move { service.submit_order(request).await }
        };
        let response = self.link.call(attempt).await.map_err(unknown_or_final(client_order_id))?;
        answered(response.answer)
    }

    /// Replaces an order's content.
    ///
    /// # Errors
    ///
    /// No answer came; see [`CallError`].
    pub async fn amend(
        &self,
        client_order_id: impl Into<String>,
        amend: v1::AmendOrder,
    ) -> Result<v1::OrderAnswer, CallError> {
        let client_order_id = client_order_id.into();
        let request = v1::AmendOrderRequest { client_order_id: client_order_id.clone(), amend: Some(amend) };
        let attempt = |transport| {
            let (mut service, request) = (self.member_over(transport), request.clone());
            async move { service.amend_order(request).await }
        };
        let response = self.link.call(attempt).await.map_err(unknown_or_final(client_order_id))?;
        answered(response.answer)
    }

    /// Takes an order back.
    ///
    /// # Errors
    ///
    /// No answer came; see [`CallError`].
    pub async fn cancel(
        &self,
        client_order_id: impl Into<String>,
        order: v1::OrderRef,
    ) -> Result<v1::OrderAnswer, CallError> {
        let client_order_id = client_order_id.into();
        let cancel = Some(v1::CancelOrder { order: Some(order) });
        let request = v1::CancelOrderRequest { client_order_id: client_order_id.clone(), cancel };
        let attempt = |transport| {
            let (mut service, request) = (self.member_over(transport), request.clone());
            async move { service.cancel_order(request).await }
        };
        let response = self.link.call(attempt).await.map_err(unknown_or_final(client_order_id))?;
        answered(response.answer)
    }

    /// Takes back all of the member's orders in an auction, or those of one portfolio.
    ///
    /// # Errors
    ///
    /// No answer came; see [`CallError`].
    pub async fn cancel_all(
        &self,
        client_order_id: impl Into<String>,
        auction: &str,
        portfolio: Option<&str>,
    ) -> Result<v1::OrderAnswer, CallError> {
        let client_order_id = client_order_id.into();
        let cancel_all = Some(v1::CancelOrders {
            auction_id: auction.to_string(),
            portfolio: portfolio.map(str::to_string),
        });
        let request = v1::CancelAllRequest { client_order_id: client_order_id.clone(), cancel_all };
        let attempt = |transport| {
            let (mut service, request) = (self.member_over(transport), request.clone());
            async move { service.cancel_all(request).await }
        };
        let response = self.link.call(attempt).await.map_err(unknown_or_final(client_order_id))?;
        answered(response.answer)
    }

    /// Sends many commands as one batch: they become durable together or not at all. One answer for each.
    ///
    /// # Errors
    ///
    /// No answer came; see [`CallError`].
    pub async fn batch(&self, commands: Vec<v1::OrderCommand>) -> Result<Vec<v1::OrderAnswer>, CallError> {
        let first = commands.first().map(|command| command.client_order_id.clone()).unwrap_or_default();
        let request = v1::SubmitBatchRequest { commands };
        let attempt = |transport| {
            let (mut service, request) = (self.member_over(transport), request.clone());
            async move { service.submit_batch(request).await }
        };
        let response = self.link.call(attempt).await.map_err(unknown_or_final(first))?;
        if response.answers.len() != request.commands.len() {
            return Err(CallError::Protocol("a batch has another number of answers than commands"));
        }
        Ok(response.answers)
    }

    /// Opens order entry over a stream; see [`Entry`].
    #[must_use]
    pub fn entry(&self, options: EntryOptions) -> Entry {
        Entry::open(self.clone(), options)
    }

    /// Checks commands without entering them: every error of each.
    ///
    /// # Errors
    ///
    /// The exchange could not be asked.
    pub async fn dry_run(&self, commands: Vec<v1::OrderCommand>) -> Result<Vec<v1::DryRunResult>, CallError> {
        let request = v1::DryRunRequest { commands };
        let attempt = |transport| {
            let (mut service, request) = (self.member_over(transport), request.clone());
            async move { service.dry_run(request).await }
        };
        Ok(self.link.call(attempt).await.map_err(read_failed)?.results)
    }

    /// All orders that fit the request, page after page.
    ///
    /// # Errors
    ///
    /// The exchange could not be asked.
    pub async fn orders(&self, request: v1::ListOrdersRequest) -> Result<Vec<v1::Order>, CallError> {
        let mut orders = Vec::new();
        let mut page_token = request.page_token.clone();
        loop {
            let page = v1::ListOrdersRequest { page_token, ..request.clone() };
            let attempt = |transport| {
                let (mut service, page) = (self.member_over(transport), page.clone());
                async move { service.list_orders(page).await }
            };
            let mut response = self.link.call(attempt).await.map_err(read_failed)?;
            orders.append(&mut response.orders);
            if response.next_page_token.is_none() {
                return Ok(orders);
            }
            page_token = response.next_page_token;
        }
    }

    /// Looks up what became of a client order id; nothing if the exchange does not know it (yet).
    ///
    /// # Errors
    ///
    /// The exchange could not be asked.
    pub async fn order(&self, client_order_id: &str) -> Result<Option<v1::GetOrderResponse>, CallError> {
        let request = v1::GetOrderRequest {
            name: Some(v1::get_order_request::Name::ClientOrderId(client_order_id.to_string())),
            with_versions: true,
        };
        let attempt = |transport| {
            let (mut service, request) = (self.member_over(transport), request.clone());
            async move { service.get_order(request).await }
        };
        match self.link.call(attempt).await {
            Ok(found) => Ok(Some(found)),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(read_failed(status)),
        }
    }

    /// Why a decided order traded what it traded.
    ///
    /// # Errors
    ///
    /// The exchange could not be asked, or does not know the order.
    pub async fn explain(&self, order: v1::OrderRef) -> Result<v1::ExplainResponse, CallError> {
        let request = v1::ExplainRequest { order: Some(order) };
        let attempt = |transport| {
            let (mut service, request) = (self.member_over(transport), request.clone());
            async move { service.explain(request).await }
        };
        self.link.call(attempt).await.map_err(read_failed)
    }

    /// Who the exchange takes this client for.
    ///
    /// # Errors
    ///
    /// The exchange could not be asked.
    pub async fn who_am_i(&self) -> Result<v1::WhoAmIResponse, CallError> {
        let attempt = |transport| {
            let mut service = self.member_over(transport);
            async move { service.who_am_i(v1::WhoAmIRequest {}).await }
        };
        self.link.call(attempt).await.map_err(read_failed)
    }

    /// The limits that hold for this client.
    ///
    /// # Errors
    ///
    /// The exchange could not be asked.
    pub async fn limits(&self) -> Result<Vec<v1::Limit>, CallError> {
        let attempt = |transport| {
            let mut service = self.member_over(transport);
            async move { service.get_limits(v1::GetLimitsRequest {}).await }
        };
        Ok(self.link.call(attempt).await.map_err(read_failed)?.limits)
    }

    /// The member's own events from a number on (the first is 1), or only what is new.
    #[must_use]
    pub fn events(&self, from_seq: Option<u64>) -> Events<v1::StreamEventsResponse> {
        Events::new(self.clone(), from_seq)
    }

    /// Any stream of numbered events: public ones, the dispatch centre's, obligations, the operators'.
    #[must_use]
    pub fn subscribe<M: Subscription>(&self, from_seq: Option<u64>) -> Events<M> {
        Events::new(self.clone(), from_seq)
    }
}
