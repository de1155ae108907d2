//! Order entry over one stream: messages in, answers out, in the order of the messages.
//!
//! Messages are put into the inbox as they come, without waiting for the answers to those before, so
//! that one connection can keep the core busy; those that have come together are handed over and answered
//! together. Where a message names an order that one before it has just entered, it waits until that one is
//! answered.

use super::orders::{self, Asked, Step};
use crate::server::inbox::{Inbox, Outcomes, cost};
use crate::server::node::{Caller, Leave, Node, StreamPlace};
use crate::server::status;
use crate::server::streams::{Ended, Out, Streamed, left};
use merit_engine::command::Body;
use merit_engine::event::Stream as Log;
use merit_engine::ids::MemberId;
use merit_proto::v1;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tonic::{Response, Status, Streaming};

/// Messages of one stream whose answers are outstanding.
const OUTSTANDING: usize = 256;
/// How long the reader waits for room in the inbox at a time.
const CROWDED_PAUSE: Duration = Duration::from_millis(2);
/// Commands that are handed over, and answered, together if they have come by then.
const GROUP_COMMANDS: usize = 256;
/// Places in the inbox that messages which are handed over together may take; one of them may take more.
const GROUP_PLACES: u32 = 256;

/// Messages on their way to the core.
#[derive(Default)]
struct Group {
    steps: Vec<Step>,
    requests: Vec<Body>,
    places: u32,
}

impl Group {
    fn with_capacity(commands: usize) -> Self {
        Self { steps: Vec::with_capacity(commands), requests: Vec::with_capacity(commands), places: 0 }
    }
}

/// Messages that the core has, or all of which was refused.
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
    let writer = Writer { node: Arc::clone(node), member, out, waiting, carried: None, done };
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
            let Some(first) = message else { return Ok(()) };
            let mut group = vec![first];
            let ended = more(&mut messages, &mut group).await;
            if self.take_all(group).await?.is_break() {
                return Ok(());
            }
            match ended {
                None => {}
                Some(Ok(())) => return Ok(()),
                Some(Err(status)) => return Err(status),
            }
        }
    }

    /// Hands messages over, as many at once as can be read without the answers to those before. Breaks if the
    /// stream has ended.
    async fn take_all(&mut self, messages: Vec<v1::OrderEntryRequest>) -> Result<ControlFlow<()>, Status> {
        let commands_max = self.node.limits.batch_commands_max;
        // Nothing is made of a message that is too long, nor of those behind it.
        let fit = messages.iter().take_while(|it| it.commands.len() <= commands_max).count();
        let (messages, too_long) = messages.split_at(fit);
        let asked: Vec<_> = messages.iter().flat_map(|it| Asked::all(&it.commands)).collect();
        let mut group = Group::with_capacity(asked.len());
        // Some are read with those of the messages before, so that the model is locked less often.
        let (mut rest, mut read) = (asked.as_slice(), VecDeque::with_capacity(asked.len()));
        for message in messages {
            let commands = message.commands.len();
            // A suspension or a lost role takes effect on open streams too: the engine refuses by user.
            while read.len() < commands {
                let unread = rest.get(read.len()..).unwrap_or_default();
                if let Err(status) =
                    orders::read_some(&self.node, &self.caller, self.member, unread, &mut read)
                {
                    // Whether anybody is left to hear of it or not.
                    let _ = self.hand_over(std::mem::take(&mut group)).await?;
                    return Err(status);
                }
            }
            let (mine, after) = rest.split_at(commands);
            rest = after;
            if read.iter().take(commands).any(|it| it.request.is_err()) {
                if self.hand_over(std::mem::take(&mut group)).await?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                let taken = self.taken;
                // An error means that the writer has ended, and with it the stream.
                let _ = self.answered.wait_for(|done| *done >= taken).await;
                let again = orders::read_all(&self.node, &self.caller, mine).await?;
                read.drain(..commands);
                again.into_iter().rev().for_each(|it| read.push_front(it));
            }
            // Each message is durable as a whole: one that would make the group too large begins the next.
            let for_core = read.iter().take(commands).filter_map(|it| it.request.as_ref().ok());
            let costs = for_core.map(|it| cost(&it.action));
            let places = costs.fold(0, u32::saturating_add);
            // The inbox may be smaller; half of it is what a stream waits for.
            let places_max = GROUP_PLACES.min(self.node.limits.inbox_commands_max / 2);
            if group.places.saturating_add(places) > places_max
                && self.hand_over(std::mem::take(&mut group)).await?.is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
            let Group { steps, requests, places: taken } = &mut group;
            *taken = taken.saturating_add(places);
            orders::part(&self.node, self.member, (mine, read.drain(..commands)), (steps, requests)).await?;
        }
        let handed_over = self.hand_over(group).await?;
        if too_long.is_empty() { Ok(handed_over) } else { Err(status::too_many_commands(commands_max)) }
    }

    async fn hand_over(&mut self, group: Group) -> Result<ControlFlow<()>, Status> {
        let Group { steps, requests, .. } = group;
        if steps.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let outcomes = if requests.is_empty() {
            None
        } else {
            self.room().await;
            Some(self.node.inbox.enqueue(requests).map_err(status::refused)?)
        };
        self.taken += 1;
        let sent = self.pending.send(Pending { steps, outcomes }).await;
        Ok(if sent.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }

    /// Holds the sender back while the inbox is crowded, instead of turning it away.
    async fn room(&self) {
        while self.node.inbox.waiting() > self.node.limits.inbox_commands_max / 2 {
            tokio::time::sleep(CROWDED_PAUSE).await;
        }
    }
}

/// Adds items to a list; the first ones without copying them.
fn append<T>(list: &mut Vec<T>, mut more: Vec<T>) {
    if list.is_empty() {
        *list = more;
    } else {
        list.append(&mut more);
    }
}

/// Adds what has come already, without waiting; says how the stream has ended, if it has.
async fn more(
    messages: &mut Streaming<v1::OrderEntryRequest>,
    group: &mut Vec<v1::OrderEntryRequest>,
) -> Option<Result<(), Status>> {
    let mut commands = group.iter().map(|it| it.commands.len()).sum::<usize>();
    while commands < GROUP_COMMANDS {
        let message = tokio::select! {
            biased;
            message = messages.message() => message,
            () = std::future::ready(()) => return None,
        };
        match message {
            Ok(Some(message)) => {
                commands += message.commands.len().max(1);
                group.push(message);
            }
            Ok(None) => return Some(Ok(())),
            Err(status) => return Some(Err(status)),
        }
    }
    None
}

struct Writer {
    node: Arc<Node>,
    member: MemberId,
    out: Out<v1::OrderEntryResponse>,
    waiting: mpsc::Receiver<Pending>,
    /// Taken from `waiting` before its answers had come.
    carried: Option<Pending>,
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
            let carried = self.carried.take();
            let pending = tokio::select! {
                // Whoever has gone is noticed with the next answer, too.
                biased;
                () = std::future::ready(()), if carried.is_some() => carried,
                pending = self.waiting.recv() => pending,
                () = self.out.closed() => return Err(Ended),
                () = tokio::time::sleep_until(self.out.sent_at + interval) => {
                    let heartbeat = self.response(Vec::new(), 0, false);
                    self.out.send(heartbeat, None).await?;
                    continue;
                }
            };
            let Some(mut pending) = pending else { return Ok(()) };
            let (mut answers, mut done) = (Vec::new(), 0);
            loop {
                let answered = match pending.outcomes {
                    Some(outcomes) => Inbox::answered(outcomes).await,
                    None => Ok(Vec::new()),
                };
                let answered = match answered {
                    Ok(answered) => answered,
                    Err(status) => {
                        // What was answered before is told before.
                        if !answers.is_empty() {
                            self.respond(answers).await?;
                        }
                        return Err(self.out.end_with(status));
                    }
                };
                append(&mut answers, orders::answers(&self.node, self.member, pending.steps, answered).await);
                done += 1;
                // What has its answers already goes with them.
                if answers.len() >= GROUP_COMMANDS {
                    break;
                }
                match self.waiting.try_recv() {
                    Ok(next) if next.outcomes.as_ref().is_none_or(|it| !it.is_empty()) => pending = next,
                    Ok(next) => {
                        self.carried = Some(next);
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.respond(answers).await?;
            self.done.send_modify(|all| *all += done);
        }
    }

    async fn respond(&mut self, answers: Vec<v1::OrderAnswer>) -> Result<(), Ended> {
        let last = answers.iter().filter_map(|it| it.seq).max().unwrap_or(0);
        let response = self.response(answers, last, false);
        self.out.send(response, None).await
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
