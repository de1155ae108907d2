//! Event streams: from any number on, then live, with heartbeats; nobody is skipped silently.
//!
//! A stream reads the log, not a queue of its own, so a reader who comes late or reads slowly costs
//! nothing but its place in the log. Who takes no message for too long is cut, with the last number
//! that was handed over, after everything up to it.

use super::node::{Caller, Leave, Node, StreamPlace, doubt};
use super::{status, work};
use merit_engine::event::Stream as Log;
use merit_proto::v1;
use prost::Message;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::{Response, Status};

/// Messages between the reader of the log and the connection.
const BUFFER: usize = 16;
/// Events that are read from the log at a time.
const CHUNK: usize = 64;

/// A message of a stream.
pub trait StreamMessage: Message + Default + Send + 'static {
    /// Its position.
    fn position_mut(&mut self) -> &mut Option<v1::Position>;
    /// A heartbeat.
    fn heartbeat(position: v1::Position) -> Self;
    /// A farewell.
    fn going_away(position: v1::Position, farewell: v1::GoingAway) -> Self;
}

macro_rules! stream_messages {
    ($($message:ident, $event:ident;)*) => { $(
        impl StreamMessage for v1::$message {
            fn position_mut(&mut self) -> &mut Option<v1::Position> {
                &mut self.position
            }

            fn heartbeat(position: v1::Position) -> Self {
                let heartbeat = v1::Heartbeat { oldest_seq: 1 };
                Self { position: Some(position), event: Some(v1::$event::Event::Heartbeat(heartbeat)) }
            }

            fn going_away(position: v1::Position, farewell: v1::GoingAway) -> Self {
                let event = v1::$event::Event::GoingAway(farewell);
                Self { position: Some(position), event: Some(event) }
            }
        }
    )* };
}

stream_messages! {
    StreamEventsResponse, stream_events_response;
    StreamMarketResponse, stream_market_response;
    StreamDispatchResponse, stream_dispatch_response;
    StreamObligationsResponse, stream_obligations_response;
    StreamOperatorEventsResponse, stream_operator_events_response;
}

/// What a call that streams returns.
pub type Streamed<M> = Outgoing<Result<M, Status>>;

/// Messages on their way out, and how the stream ends.
#[derive(Debug)]
pub struct Outgoing<T> {
    messages: mpsc::Receiver<T>,
    end: Arc<Mutex<Option<T>>>,
}

impl<T> Stream for Outgoing<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let polled = self.messages.poll_recv(context);
        if matches!(polled, Poll::Ready(None)) {
            return Poll::Ready(self.end.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        polled
    }
}

/// The writing end.
#[derive(Debug)]
pub struct Out<M> {
    messages: mpsc::Sender<Result<M, Status>>,
    end: Arc<Mutex<Option<Result<M, Status>>>>,
    patience: std::time::Duration,
    /// Number of the last event handed over.
    pub last_seq: u64,
    /// When the last message was handed over.
    pub sent_at: tokio::time::Instant,
}

/// Waits until everybody must leave.
pub async fn left(leave: &mut tokio::sync::watch::Receiver<Leave>) {
    // An error means that the node is gone.
    drop(leave.wait_for(|it| *it != Leave::Stays).await);
}

impl<M> Out<M> {
    /// Both ends; a message that is not taken within `patience` ends the stream.
    #[must_use]
    pub fn new(patience: std::time::Duration, last_seq: u64) -> (Self, Streamed<M>) {
        let (messages, receiver) = mpsc::channel(BUFFER);
        let end = Arc::new(Mutex::new(None));
        let sent_at = tokio::time::Instant::now();
        let out = Self { messages, end: Arc::clone(&end), patience, last_seq, sent_at };
        (out, Outgoing { messages: receiver, end })
    }

    /// Hands a message over; an error says that the stream has ended.
    ///
    /// # Errors
    ///
    /// If the reader is gone or too slow.
    pub async fn send(&mut self, message: M, seq: Option<u64>) -> Result<(), Ended> {
        match tokio::time::timeout(self.patience, self.messages.send(Ok(message))).await {
            Ok(Ok(())) => {
                self.last_seq = seq.unwrap_or(self.last_seq);
                self.sent_at = tokio::time::Instant::now();
                Ok(())
            }
            Ok(Err(_)) => Err(Ended),
            Err(_) => Err(self.end_with(status::slow_consumer(self.last_seq))),
        }
    }

    /// Ends the stream with a status, after everything handed over.
    pub fn end_with(&self, status: Status) -> Ended {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(Err(status));
        Ended
    }

    /// Waits until the reader is gone.
    pub async fn closed(&self) {
        self.messages.closed().await;
    }
}

/// The stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

/// Which events of a log somebody wants, and as what.
pub trait Selection<M>: Send + 'static {
    /// The message for an event, or nothing if it is left out.
    fn select(&mut self, seq: u64, bytes: &[u8], head: u64) -> Result<Option<M>, Status>;
    /// A heartbeat.
    fn heartbeat(&self, position: v1::Position) -> M;
    /// A farewell.
    fn going_away(&self, position: v1::Position, farewell: v1::GoingAway) -> M;
}

/// All events of a log as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct All;

impl<M: StreamMessage> Selection<M> for All {
    fn select(&mut self, _seq: u64, bytes: &[u8], head: u64) -> Result<Option<M>, Status> {
        let mut message = M::decode(bytes).map_err(|_| status::internal("an event cannot be decoded"))?;
        if let Some(position) = message.position_mut() {
            position.head_seq = head;
        }
        Ok(Some(message))
    }

    fn heartbeat(&self, position: v1::Position) -> M {
        M::heartbeat(position)
    }

    fn going_away(&self, position: v1::Position, farewell: v1::GoingAway) -> M {
        M::going_away(position, farewell)
    }
}

/// Opens a stream of a log from a number on; `opening` is sent after the first heartbeat.
///
/// # Errors
///
/// If the number is 0 or lies beyond the next one, or the user has too many streams.
pub async fn open<M: Send + 'static>(
    node: &Arc<Node>,
    caller: &Caller,
    log: Log,
    from_seq: Option<u64>,
    selection: impl Selection<M>,
    opening: Vec<M>,
) -> Result<Response<Streamed<M>>, Status> {
    let place = StreamPlace::take(node, caller.identity.user)?;
    node.fresh().await;
    let head = node.model.read(|state, _| state.head(log));
    let from = from_seq.unwrap_or(head + 1);
    if from == 0 {
        return Err(status::invalid_argument("from_seq", "numbers begin at 1"));
    }
    if from > head + 1 {
        return Err(status::seq_in_future(head));
    }
    let (out, outgoing) = Out::new(node.limits.slow_consumer_timeout, from - 1);
    let mut pump = Pump { node: Arc::clone(node), log, next: from, selection, out };
    // Ends with the reader, the node or a fault, and says so on the stream.
    tokio::spawn(async move {
        let ended = pump.run(opening).await;
        drop(place);
        ended
    });
    Ok(Response::new(outgoing))
}

struct Pump<M, S> {
    node: Arc<Node>,
    log: Log,
    next: u64,
    selection: S,
    out: Out<M>,
}

impl<M: Send + 'static, S: Selection<M>> Pump<M, S> {
    async fn run(&mut self, opening: Vec<M>) -> Result<(), Ended> {
        self.heartbeat().await?;
        for message in opening {
            self.out.send(message, None).await?;
        }
        let mut applied = self.node.model.watch();
        let mut leave = self.node.leave.subscribe();
        let interval = self.node.limits.heartbeat_interval;
        loop {
            applied.mark_unchanged();
            while self.chunk().await? {}
            tokio::select! {
                () = self.out.closed() => return Err(Ended),
                () = left(&mut leave) => {
                    let farewell = self.selection.going_away(self.position(), self.node.farewell());
                    return self.out.send(farewell, None).await;
                }
                changed = applied.changed() => {
                    if changed.is_err() {
                        return Err(self.out.end_with(status::shutting_down()));
                    }
                }
                () = tokio::time::sleep_until(self.out.sent_at + interval) => self.heartbeat().await?,
            }
        }
    }

    /// Sends what there is, up to a bound; whether there may be more.
    async fn chunk(&mut self) -> Result<bool, Ended> {
        let (events, head) = match self.node.model.events(self.log, self.next, CHUNK) {
            Ok(read) => read,
            Err(error) => return Err(self.out.end_with(doubt(error))),
        };
        for bytes in &events {
            let (selection, next) = (&mut self.selection, self.next);
            let selected = work::on_message(bytes.len(), || selection.select(next, bytes, head));
            match selected {
                Ok(Some(message)) => self.out.send(message, Some(self.next)).await?,
                Ok(None) => {}
                Err(status) => return Err(self.out.end_with(status)),
            }
            self.next += 1;
        }
        Ok(!events.is_empty())
    }

    fn position(&self) -> v1::Position {
        let (head, epoch) = self.node.model.read(|state, _| (state.head(self.log), state.epoch));
        self.node.position(head, epoch)
    }

    async fn heartbeat(&mut self) -> Result<(), Ended> {
        let heartbeat = self.selection.heartbeat(self.position());
        self.out.send(heartbeat, None).await
    }
}
