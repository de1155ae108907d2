//! Order entry over one stream: messages in, answers out, in the order of the messages.
//!
//! Messages are put into the inbox as they come, without waiting for the answers to those before, so
//! that one connection can keep the core busy. Where a message names an order that one before it has
//! just entered, it waits until that one is answered.

use super::orders::{self, Asked, Step};
use crate::server::inbox::{Inbox, Outcomes};
use crate::server::node::{Caller, Leave, Node, StreamPlace};
use crate::server::status;
use crate::server::streams::{Ended, Out, Streamed, left};
use merit_engine::event::Stream as Log;
use merit_engine::ids::MemberId;
use merit_proto::v1;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tonic::{Response, Status, Streaming};

/// Messages of one stream whose answers are outstanding.
const OUTSTANDING: usize = 256;
/// How long the reader waits for room in the inbox at a time.
const CROWDED_PAUSE: Duration = Duration::from_millis(2);

/// A message that the core has, or all of which was refused.
struct Pending {
    steps: Vec<Step>,
    outcomes: Option<Outcomes>,
}

/// Opens the stream.
pub(super) fn open(
    node: &Arc<Node>,
    caller: Caller,
    messages: Streaming<v1::OrderEntryRequest>,
) -> Result<Response<Streamed<v1::OrderEntryResponse>>, Status> {
    let member = caller.member()?;
    let place = StreamPlace::take(node, caller.identity.user)?;
    let (out, outgoing) = Out::new(node.limits.slow_consumer_timeout, 0);
    let (pending, waiting) = mpsc::channel(OUTSTANDING);
    let (done, answered) = watch::channel(0);
    let reader = Reader { node: Arc::clone(node), caller, member, pending, answered, taken: 0 };
    let writer = Writer { node: Arc::clone(node), member, out, waiting, done };
    // The reader ends with the messages; the writer ends with the reader, after the last answer.
    let read = tokio::spawn(reader.run(messages));
    tokio::spawn(async move {
        writer.run(read).await;
        drop(place);
    });
    Ok(Response::new(outgoing))
}

struct Reader {
    node: Arc<Node>,
    caller: Caller,
    member: MemberId,
    pending: mpsc::Sender<Pending>,
    answered: watch::Receiver<u64>,
    taken: u64,
}

impl Reader {
    async fn run(mut self, mut messages: Streaming<v1::OrderEntryRequest>) -> Result<(), Status> {
        let mut leave = self.node.leave.subscribe();
        loop {
            let message = tokio::select! {
                message = messages.message() => message?,
                () = left(&mut leave) => return Ok(()),
            };
            let Some(message) = message else { return Ok(()) };
            if message.commands.len() > self.node.limits.batch_commands_max {
                return Err(status::too_many_commands(self.node.limits.batch_commands_max));
            }
            let pending = self.take(message.commands).await?;
            self.taken += 1;
            if self.pending.send(pending).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn take(&mut self, commands: Vec<v1::OrderCommand>) -> Result<Pending, Status> {
        // A suspension or a lost role takes effect on open streams too: the engine refuses by user.
        let asked: Vec<Asked> =
            commands.into_iter().enumerate().map(|(index, it)| Asked::in_batch(index, it)).collect();
        let read = |it: &Asked| orders::read(&self.node, &self.caller, self.member, it);
        let mut all: Vec<_> = asked.iter().map(read).collect();
        if all.iter().any(|it| it.request.is_err()) {
            let taken = self.taken;
            // An error means that the writer has ended, and with it the stream.
            let _ = self.answered.wait_for(|done| *done >= taken).await;
            all = orders::read_all(&self.node, &self.caller, &asked).await?;
        }
        let (steps, requests) = orders::part(&self.node, self.member, all).await?;
        if requests.is_empty() {
            return Ok(Pending { steps, outcomes: None });
        }
        self.room().await;
        let outcomes = self.node.inbox.enqueue(requests).map_err(status::refused)?;
        Ok(Pending { steps, outcomes: Some(outcomes) })
    }

    /// Holds the sender back while the inbox is crowded, instead of turning it away.
    async fn room(&self) {
        while self.node.inbox.waiting() > self.node.limits.inbox_commands_max / 2 {
            tokio::time::sleep(CROWDED_PAUSE).await;
        }
    }
}

struct Writer {
    node: Arc<Node>,
    member: MemberId,
    out: Out<v1::OrderEntryResponse>,
    waiting: mpsc::Receiver<Pending>,
    done: watch::Sender<u64>,
}

impl Writer {
    async fn run(mut self, mut read: tokio::task::JoinHandle<Result<(), Status>>) {
        let written = self.write().await;
        if written.is_err() {
            read.abort();
            return;
        }
        let ended = (&mut read).await;
        if let Ok(Err(status)) = ended {
            self.out.end_with(status);
        } else if *self.node.leave.borrow() != Leave::Stays {
            let farewell = self.response(Vec::new(), 0, true);
            let _ = self.out.send(farewell, None).await;
        }
    }

    async fn write(&mut self) -> Result<(), Ended> {
        let opening = self.response(Vec::new(), 0, false);
        self.out.send(opening, None).await?;
        let interval = self.node.limits.heartbeat_interval;
        loop {
            let pending = tokio::select! {
                () = self.out.closed() => return Err(Ended),
                pending = self.waiting.recv() => pending,
                () = tokio::time::sleep_until(self.out.sent_at + interval) => {
                    let heartbeat = self.response(Vec::new(), 0, false);
                    self.out.send(heartbeat, None).await?;
                    continue;
                }
            };
            let Some(pending) = pending else { return Ok(()) };
            let answered = match pending.outcomes {
                Some(outcomes) => Inbox::answered(outcomes).await,
                None => Ok(Vec::new()),
            };
            let answered = match answered {
                Ok(answered) => answered,
                Err(status) => return Err(self.out.end_with(status)),
            };
            let answers = orders::answers(&self.node, self.member, pending.steps, answered).await;
            let last = answers.iter().filter_map(|it| it.seq).max().unwrap_or(0);
            let response = self.response(answers, last, false);
            self.out.send(response, None).await?;
            self.done.send_modify(|done| *done += 1);
        }
    }

    fn response(&self, answers: Vec<v1::OrderAnswer>, last: u64, leaving: bool) -> v1::OrderEntryResponse {
        let log = Log::Member(self.member);
        let (head, epoch) = self.node.model.read(|state, _| (state.head(log), state.epoch));
        v1::OrderEntryResponse {
            position: Some(self.node.position(head.max(last), epoch)),
            answers,
            going_away: leaving.then(|| self.node.farewell()),
        }
    }
}
