//! Streams of numbered events that resume by themselves and cannot lose a message unnoticed.
//!
//! The rules, as any client should keep them:
//! 1. The next message has the number after the last one. A smaller number was seen before: drop it. A
//!    greater one means that something is lost: resume from the number that is missing.
//! 2. A heartbeat says how far the stream is. If it is further than what has come, and nothing came since the
//!    heartbeat before, the tail is lost: resume.
//! 3. A smaller epoch than seen before is a primary that does not know that it was replaced: leave it.

use crate::error::reason;
use crate::link::LineAt;
use crate::member::Client;
use crate::v1;
use std::fmt;
use std::future::Future;
use tonic::{Code, Response, Status, Streaming};

/// What every message of a stream holds.
pub trait Message: Send + 'static {
    /// Where it stands.
    fn position(&self) -> Option<&v1::Position>;
    /// Whether it is a heartbeat.
    fn is_heartbeat(&self) -> bool;
    /// Whether it announces the end of the stream.
    fn is_going_away(&self) -> bool;
}

/// A stream that a client can open from a number on.
pub trait Subscription: Message + Sized {
    /// Opens it.
    fn open(
        client: &Client,
        from_seq: Option<u64>,
    ) -> impl Future<Output = Result<Response<Streaming<Self>>, Status>> + Send;
}

macro_rules! subscriptions {
    ($($message:ident, $events:ident, $request:ident, $service:ident . $method:ident;)*) => { $(
        impl Message for v1::$message {
            fn position(&self) -> Option<&v1::Position> {
                self.position.as_ref()
            }

            fn is_heartbeat(&self) -> bool {
                matches!(self.event, Some(v1::$events::Event::Heartbeat(_)))
            }

            fn is_going_away(&self) -> bool {
                matches!(self.event, Some(v1::$events::Event::GoingAway(_)))
            }
        }

        impl Subscription for v1::$message {
            async fn open(
                client: &Client,
                from_seq: Option<u64>,
            ) -> Result<Response<Streaming<Self>>, Status> {
                client.$service().$method(v1::$request { from_seq }).await
            }
        }
    )* };
}

subscriptions! {
    StreamEventsResponse, stream_events_response, StreamEventsRequest, member.stream_events;
    StreamMarketResponse, stream_market_response, StreamMarketRequest, market.stream_market;
    StreamDispatchResponse, stream_dispatch_response, StreamDispatchRequest, dispatch.stream_dispatch;
    StreamObligationsResponse, stream_obligations_response, StreamObligationsRequest,
        settlement.stream_obligations;
    StreamOperatorEventsResponse, stream_operator_events_response, StreamOperatorEventsRequest,
        operator.stream_operator_events;
}

/// Why a stream of events ended.
#[derive(Debug)]
pub enum StreamError {
    /// The exchange no longer has the number asked for; begin from a list (its `head_seq` plus 1).
    TooOld(Box<Status>),
    /// The exchange refused for good.
    Status(Box<Status>),
    /// After a resumption the same message is still missing.
    Lost {
        /// Number that is missing.
        expected: u64,
        /// Number that came instead.
        found: u64,
    },
    /// A message breaks the contract.
    Protocol(&'static str),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooOld(status) | Self::Status(status) => {
                write!(f, "{:?}: {}", status.code(), status.message())
            }
            Self::Lost { expected, found } => write!(f, "event {expected} is lost; {found} came instead"),
            Self::Protocol(what) => write!(f, "unexpected message: {what}"),
        }
    }
}

impl std::error::Error for StreamError {}

/// Events in order, each exactly once, over failures of connections and nodes.
pub struct Events<M> {
    client: Client,
    open: Option<(LineAt, Streaming<M>)>,
    /// Number wanted next; unknown until the first heartbeat if only what is new was asked for.
    next: Option<u64>,
    /// Whether anything was heard, so that `epoch` and `head` mean something.
    heard: bool,
    epoch: u64,
    head: u64,
    /// `next` at a heartbeat that was ahead of it.
    behind_at: Option<u64>,
    /// `next` at which a gap was seen and resumed from.
    gap_at: Option<u64>,
    attempt: u32,
    resumptions: u64,
}

impl<M: Subscription> Events<M> {
    pub(crate) fn new(client: Client, from_seq: Option<u64>) -> Self {
        Self {
            client,
            open: None,
            next: from_seq,
            heard: false,
            epoch: 0,
            head: 0,
            behind_at: None,
            gap_at: None,
            attempt: 0,
            resumptions: 0,
        }
    }

    /// Number of the event that comes next, if known: what to keep in order to go on later.
    #[must_use]
    pub fn next_seq(&self) -> Option<u64> {
        self.next
    }

    /// How far the stream was when the exchange last said so.
    #[must_use]
    pub fn head_seq(&self) -> u64 {
        self.head
    }

    /// How often the stream was resumed.
    #[must_use]
    pub fn resumptions(&self) -> u64 {
        self.resumptions
    }

    /// The next event; heartbeats are seen to here. Waits as long as nothing happens.
    ///
    /// # Errors
    ///
    /// Only what resuming cannot mend; see [`StreamError`]. Safe to cancel: nothing is lost.
    pub async fn next(&mut self) -> Result<M, StreamError> {
        loop {
            if let Some(message) = self.advance().await? {
                return Ok(message);
            }
        }
    }

    /// The next event that is known to exist; nothing once everything up to the head of the stream has come.
    ///
    /// # Errors
    ///
    /// As [`Events::next`].
    pub async fn next_known(&mut self) -> Result<Option<M>, StreamError> {
        loop {
            if self.heard && self.next.is_some_and(|next| next > self.head) {
                return Ok(None);
            }
            if let Some(message) = self.advance().await? {
                return Ok(Some(message));
            }
        }
    }

    /// One step: opens, or takes one message. An event if there was one.
    async fn advance(&mut self) -> Result<Option<M>, StreamError> {
        let Some((line, stream)) = &mut self.open else {
            self.reopen().await?;
            return Ok(None);
        };
        let line = *line;
        match stream.message().await {
            Ok(Some(message)) => self.take(line, message),
            Ok(None) => {
                self.drop_line(line, true);
                Ok(None)
            }
            Err(status) => {
                self.open = None;
                self.fail(line, status).await?;
                Ok(None)
            }
        }
    }

    async fn reopen(&mut self) -> Result<(), StreamError> {
        let (line, _) = self.client.link.current();
        let limit = self.client.link.retry.attempt_max;
        let opened = tokio::time::timeout(limit, M::open(&self.client, self.next)).await;
        let status = match opened {
            Ok(Ok(response)) => {
                self.behind_at = None;
                self.open = Some((line, response.into_inner()));
                return Ok(());
            }
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("no answer in time"),
        };
        self.fail(line, status).await
    }

    /// Waits before the next attempt, or says why there is none.
    async fn fail(&mut self, line: LineAt, status: Status) -> Result<(), StreamError> {
        self.resumptions += 1;
        if status.code() == Code::OutOfRange {
            return Err(StreamError::TooOld(Box::new(status)));
        }
        let Some(wait) = self.client.link.after(line, &status, self.attempt) else {
            return Err(StreamError::Status(Box::new(status)));
        };
        self.attempt = self.attempt.saturating_add(1);
        tracing::debug!(next = ?self.next, code = ?status.code(), reason = ?reason(&status), "stream resumes");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn drop_line(&mut self, line: LineAt, elsewhere: bool) {
        self.resumptions += 1;
        self.open = None;
        if elsewhere {
            self.client.link.leave(line);
        }
    }

    fn take(&mut self, line: LineAt, message: M) -> Result<Option<M>, StreamError> {
        let Some(position) = message.position() else {
            return Err(StreamError::Protocol("a message has no position"));
        };
        if position.epoch < self.epoch {
            self.drop_line(line, true);
            return Ok(None);
        }
        self.heard = true;
        self.epoch = position.epoch;
        self.head = self.head.max(position.head_seq);
        self.attempt = 0;
        if message.is_going_away() {
            self.drop_line(line, true);
            return Ok(None);
        }
        if message.is_heartbeat() {
            let head = position.head_seq;
            self.heartbeat(line, head);
            return Ok(None);
        }
        let Some(seq) = position.seq else {
            return Err(StreamError::Protocol("an event has no number"));
        };
        let next = self.next.unwrap_or(seq);
        if seq < next {
            return Ok(None);
        }
        if seq > next {
            if self.gap_at == Some(next) {
                return Err(StreamError::Lost { expected: next, found: seq });
            }
            self.gap_at = Some(next);
            self.drop_line(line, false);
            return Ok(None);
        }
        self.next = Some(seq + 1);
        self.behind_at = None;
        Ok(Some(message))
    }

    fn heartbeat(&mut self, line: LineAt, head: u64) {
        let next = *self.next.get_or_insert(head + 1);
        if head < next {
            self.behind_at = None;
        } else if self.behind_at == Some(next) {
            self.behind_at = None;
            self.drop_line(line, false);
        } else {
            self.behind_at = Some(next);
        }
    }
}
