//! An exchange of a few lines: it carries each id out once, and misbehaves as told.

use merit_client::v1;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};
use v1::member_service_server::{MemberService, MemberServiceServer};
use v1::stream_events_response::Event as EventBody;

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Fail(Code),
    NotPrimary,
    Throttle(Duration),
    DoThenFail(Code),
    DoThenHang,
}

/// What an event stream plays.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Play {
    Epoch(u64),
    Beat(u64),
    Event(u64),
    Break,
    Fail(Code),
}

type Book = Arc<Mutex<BTreeMap<String, (v1::OrderCommand, v1::OrderAnswer)>>>;

#[derive(Default)]
struct State {
    book: Mutex<Book>,
    faults: Mutex<VecDeque<Fault>>,
    calls: AtomicU64,
    streams: AtomicU64,
    break_after: AtomicU64,
    withheld: AtomicBool,
    released: Notify,
    plays: Mutex<VecDeque<Vec<Play>>>,
    asked_from: Mutex<Vec<Option<u64>>>,
}

#[derive(Clone)]
pub(crate) struct Stub {
    address: SocketAddr,
    state: Arc<State>,
}

impl Stub {
    pub(crate) async fn serve() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let service = MemberServiceServer::new(stub.clone());
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        stub
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn faults(&self, faults: Vec<Fault>) {
        *self.state.faults.lock().unwrap() = faults.into();
    }

    pub(crate) fn plays(&self, plays: Vec<Vec<Play>>) {
        *self.state.plays.lock().unwrap() = plays.into();
    }

    pub(crate) fn share_book_of(&self, other: &Self) {
        *self.state.book.lock().unwrap() = other.book();
    }

    pub(crate) fn break_after(&self, commands: u64) {
        self.state.break_after.store(commands, Ordering::SeqCst);
    }

    pub(crate) fn withhold(&self, on: bool) {
        self.state.withheld.store(on, Ordering::SeqCst);
        self.state.released.notify_waiters();
    }

    pub(crate) fn orders(&self) -> u64 {
        u64::try_from(self.book().lock().unwrap().len()).unwrap()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn streams(&self) -> u64 {
        self.state.streams.load(Ordering::SeqCst)
    }

    pub(crate) fn asked_from(&self) -> Vec<Option<u64>> {
        self.state.asked_from.lock().unwrap().clone()
    }

    fn book(&self) -> Book {
        Arc::clone(&self.state.book.lock().unwrap())
    }

    fn fault(&self) -> Option<Fault> {
        self.state.calls.fetch_add(1, Ordering::SeqCst);
        self.state.faults.lock().unwrap().pop_front()
    }

    fn carry_out(&self, command: v1::OrderCommand) -> v1::OrderAnswer {
        let book = self.book();
        let mut book = book.lock().unwrap();
        let id = command.client_order_id.clone();
        if let Some((first, answer)) = book.get(&id) {
            if *first == command {
                return v1::OrderAnswer { replayed: true, ..answer.clone() };
            }
            let reason = v1::RejectReason::ClientOrderIdReused.into();
            let refusal = v1::Refusal { reason, ..v1::Refusal::default() };
            let outcome = Some(v1::order_answer::Outcome::Refused(refusal));
            return v1::OrderAnswer { client_order_id: id, outcome, ..v1::OrderAnswer::default() };
        }
        let order_id = Some(u64::try_from(book.len()).unwrap() + 1);
        let accepted = v1::Accepted { order_id, version: Some(1), cancelled: None };
        let outcome = Some(v1::order_answer::Outcome::Accepted(accepted));
        let answer = v1::OrderAnswer { client_order_id: id.clone(), outcome, ..v1::OrderAnswer::default() };
        book.insert(id, (command, answer.clone()));
        answer
    }

    async fn until_released(&self) {
        loop {
            let released = self.state.released.notified();
            if !self.state.withheld.load(Ordering::SeqCst) {
                return;
            }
            released.await;
        }
    }

    async fn enter(&self, mut commands: mpsc::Receiver<v1::OrderCommand>, out: Answers) {
        let break_after = self.state.break_after.load(Ordering::SeqCst);
        let mut count = 0;
        while let Some(command) = commands.recv().await {
            let answer = self.carry_out(command);
            count += 1;
            if count == break_after {
                let _ = out.send(Err(Status::unavailable("broken"))).await;
                return;
            }
            self.until_released().await;
            let response = v1::OrderEntryResponse { answers: vec![answer], ..Default::default() };
            if out.send(Ok(response)).await.is_err() {
                return;
            }
        }
    }
}

type Answers = mpsc::Sender<Result<v1::OrderEntryResponse, Status>>;

fn not_primary() -> Status {
    let details = ErrorDetails::with_error_info("NOT_PRIMARY", "merit", std::collections::HashMap::new());
    Status::with_error_details(Code::Unavailable, "not primary", details)
}

fn throttled(wait: Duration) -> Status {
    Status::with_error_details(Code::ResourceExhausted, "too fast", ErrorDetails::with_retry_info(Some(wait)))
}

type Response_<T> = Result<Response<T>, Status>;

fn nothing<T>() -> Response_<T> {
    Err(Status::unimplemented("not in the stub"))
}

#[tonic::async_trait]
impl MemberService for Stub {
    type OrderEntryStream = Pin<Box<dyn Stream<Item = Result<v1::OrderEntryResponse, Status>> + Send>>;
    type StreamEventsStream = Pin<Box<dyn Stream<Item = Result<v1::StreamEventsResponse, Status>> + Send>>;

    async fn submit_order(
        &self,
        request: Request<v1::SubmitOrderRequest>,
    ) -> Response_<v1::SubmitOrderResponse> {
        let request = request.into_inner();
        let command = merit_client::orders::submit(request.client_order_id, request.order.unwrap());
        let fault = self.fault();
        match fault {
            Some(Fault::Fail(code)) => return Err(Status::new(code, "told to fail")),
            Some(Fault::NotPrimary) => return Err(not_primary()),
            Some(Fault::Throttle(wait)) => return Err(throttled(wait)),
            Some(Fault::DoThenFail(_) | Fault::DoThenHang) | None => {}
        }
        let answer = Some(self.carry_out(command));
        match fault {
            Some(Fault::DoThenFail(code)) => Err(Status::new(code, "answer lost")),
            Some(Fault::DoThenHang) => std::future::pending().await,
            _ => Ok(Response::new(v1::SubmitOrderResponse { answer })),
        }
    }

    async fn submit_batch(
        &self,
        request: Request<v1::SubmitBatchRequest>,
    ) -> Response_<v1::SubmitBatchResponse> {
        let commands = request.into_inner().commands;
        let answers = commands.into_iter().map(|command| self.carry_out(command)).collect();
        Ok(Response::new(v1::SubmitBatchResponse { answers }))
    }

    async fn order_entry(
        &self,
        request: Request<Streaming<v1::OrderEntryRequest>>,
    ) -> Response_<Self::OrderEntryStream> {
        self.state.streams.fetch_add(1, Ordering::SeqCst);
        if let Some(Fault::Fail(code)) = self.fault() {
            return Err(Status::new(code, "told to fail"));
        }
        let mut incoming = request.into_inner();
        let (sender, receiver) = mpsc::channel(16);
        let (commands, taken) = mpsc::channel(1_024);
        let stub = self.clone();
        tokio::spawn(async move { stub.enter(taken, sender).await });
        tokio::spawn(async move {
            while let Some(Ok(message)) = incoming.next().await {
                assert!(message.commands.len() <= 2, "more than the client's batch");
                for command in message.commands {
                    let _ = commands.send(command).await;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn stream_events(
        &self,
        request: Request<v1::StreamEventsRequest>,
    ) -> Response_<Self::StreamEventsStream> {
        self.state.asked_from.lock().unwrap().push(request.into_inner().from_seq);
        let play = self.state.plays.lock().unwrap().pop_front();
        let (mut epoch, mut head, mut out, mut ends) = (1, 0, Vec::new(), false);
        for step in play.unwrap_or_default() {
            let (seq, event) = match step {
                Play::Epoch(number) => {
                    epoch = number;
                    continue;
                }
                Play::Fail(code) => return Err(Status::new(code, "told to fail")),
                Play::Break => {
                    out.push(Err(Status::unavailable("broken")));
                    ends = true;
                    continue;
                }
                Play::Beat(number) => {
                    head = number;
                    (None, EventBody::Heartbeat(v1::Heartbeat { oldest_seq: 1 }))
                }
                Play::Event(seq) => (Some(seq), EventBody::Standing(v1::MemberStanding::default())),
            };
            let position = Some(v1::Position { epoch, seq, head_seq: head, time: None });
            out.push(Ok(v1::StreamEventsResponse { position, event: Some(event) }));
        }
        let played = tokio_stream::iter(out);
        // A stream that does not break stays open, as real ones do.
        if ends {
            return Ok(Response::new(Box::pin(played)));
        }
        Ok(Response::new(Box::pin(played.chain(tokio_stream::pending()))))
    }

    async fn get_order(&self, request: Request<v1::GetOrderRequest>) -> Response_<v1::GetOrderResponse> {
        let Some(v1::get_order_request::Name::ClientOrderId(id)) = request.into_inner().name else {
            return nothing();
        };
        let book = self.book();
        let book = book.lock().unwrap();
        let (_, answer) = book.get(&id).ok_or_else(|| Status::not_found("no such id"))?;
        Ok(Response::new(v1::GetOrderResponse { order: None, answer: Some(answer.clone()) }))
    }

    async fn list_orders(
        &self,
        request: Request<v1::ListOrdersRequest>,
    ) -> Response_<v1::ListOrdersResponse> {
        // Two orders a page; the token is the number of those before.
        let begin: u64 = request.into_inner().page_token.map_or(0, |token| token.parse().unwrap());
        let all = self.orders();
        let end = all.min(begin + 2);
        let orders =
            (begin..end).map(|number| v1::Order { order_id: number + 1, ..v1::Order::default() }).collect();
        let next_page_token = (end < all).then(|| end.to_string());
        Ok(Response::new(v1::ListOrdersResponse { orders, next_page_token, head_seq: 0 }))
    }

    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Response_<v1::WhoAmIResponse> {
        let user = request.metadata().get("merit-user").unwrap().to_str().unwrap().to_string();
        Ok(Response::new(v1::WhoAmIResponse { user, ..v1::WhoAmIResponse::default() }))
    }

    async fn amend_order(&self, _: Request<v1::AmendOrderRequest>) -> Response_<v1::AmendOrderResponse> {
        nothing()
    }

    async fn cancel_order(&self, _: Request<v1::CancelOrderRequest>) -> Response_<v1::CancelOrderResponse> {
        nothing()
    }

    async fn cancel_all(&self, _: Request<v1::CancelAllRequest>) -> Response_<v1::CancelAllResponse> {
        nothing()
    }

    async fn dry_run(&self, _: Request<v1::DryRunRequest>) -> Response_<v1::DryRunResponse> {
        nothing()
    }

    async fn explain(&self, _: Request<v1::ExplainRequest>) -> Response_<v1::ExplainResponse> {
        nothing()
    }

    async fn get_limits(&self, _: Request<v1::GetLimitsRequest>) -> Response_<v1::GetLimitsResponse> {
        nothing()
    }
}
