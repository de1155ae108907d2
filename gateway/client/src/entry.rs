//! Order entry over one stream: many commands on their way at once, each answered exactly once.
//!
//! A window bounds how many commands are unanswered, so that a slow exchange slows the sender and nothing
//! piles up. When the stream breaks, or the oldest command is not answered in time, everything unanswered is
//! sent again with the same ids, in the same order, at the next endpoint if need be.

use crate::error::CallError;
use crate::link::LineAt;
use crate::member::Client;
use crate::v1;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// How order entry over a stream behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryOptions {
    /// Most unanswered commands.
    pub window: u32,
    /// Most commands in one message; what is waiting goes together.
    pub batch_max: usize,
    /// How long the oldest command may stay unanswered before the stream is given up for another.
    pub answer_max: Duration,
}

impl Default for EntryOptions {
    fn default() -> Self {
        Self { window: 1_024, batch_max: 64, answer_max: Duration::from_secs(5) }
    }
}

type Answer = Result<v1::OrderAnswer, CallError>;

/// A command's answer, some time later.
#[derive(Debug)]
pub struct Pending {
    client_order_id: String,
    receiver: oneshot::Receiver<Answer>,
}

impl Future for Pending {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let id = &self.client_order_id.clone();
        Pin::new(&mut self.receiver).poll(context).map(|received| {
            // The driver lives as long as the runtime does.
            received.unwrap_or_else(|_| {
                let last = Box::new(Status::cancelled("the runtime is stopping"));
                Err(CallError::OutcomeUnknown { client_order_id: id.clone(), last })
            })
        })
    }
}

struct Job {
    command: v1::OrderCommand,
    answer: oneshot::Sender<Answer>,
    _place: OwnedSemaphorePermit,
}

/// Order entry over one stream. Drop it when all is sent; what is on its way is still answered.
pub struct Entry {
    jobs: mpsc::UnboundedSender<Job>,
    window: Arc<Semaphore>,
}

impl Entry {
    pub(crate) fn open(client: Client, options: EntryOptions) -> Self {
        let window = usize::try_from(options.window.max(1)).unwrap_or(Semaphore::MAX_PERMITS);
        let (jobs, receiver) = mpsc::unbounded_channel();
        let driver =
            Driver { client, options, jobs: receiver, unanswered: Unanswered::default(), attempt: 0 };
        tokio::spawn(driver.run());
        Self { jobs, window: Arc::new(Semaphore::new(window)) }
    }

    /// Sends a command as soon as the window has room; the answer comes with [`Pending`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn send(&self, command: v1::OrderCommand) -> Pending {
        let place = Arc::clone(&self.window).acquire_owned().await.expect("the window is never closed");
        let (answer, receiver) = oneshot::channel();
        let client_order_id = command.client_order_id.clone();
        // A driver that is gone drops the sender, and the pending answer says so.
        let _ = self.jobs.send(Job { command, answer, _place: place });
        Pending { client_order_id, receiver }
    }
}

struct Waiting {
    job: Job,
    since: Instant,
}

/// Commands on their way, in the order in which they were sent.
#[derive(Default)]
struct Unanswered {
    serial: u64,
    by_serial: BTreeMap<u64, Waiting>,
    by_id: HashMap<String, u64>,
}

impl Unanswered {
    /// Takes a command in; nothing if its id is on its way already.
    fn add(&mut self, job: Job) -> Option<v1::OrderCommand> {
        let id = job.command.client_order_id.clone();
        if self.by_id.contains_key(&id) {
            let _ = job.answer.send(Err(CallError::InFlight { client_order_id: id }));
            return None;
        }
        self.serial += 1;
        let command = job.command.clone();
        self.by_id.insert(id, self.serial);
        self.by_serial.insert(self.serial, Waiting { job, since: Instant::now() });
        Some(command)
    }

    fn answer(&mut self, answer: v1::OrderAnswer) {
        // An answer that nobody waits for is one that a resent command got twice.
        let waiting = self.by_id.remove(&answer.client_order_id).and_then(|at| self.by_serial.remove(&at));
        if let Some(waiting) = waiting {
            let _ = waiting.job.answer.send(Ok(answer));
        }
    }

    fn fail_all(&mut self, error: impl Fn(String) -> CallError) {
        self.by_id.clear();
        while let Some((_, waiting)) = self.by_serial.pop_first() {
            let _ = waiting.job.answer.send(Err(error(waiting.job.command.client_order_id)));
        }
    }

    fn restart(&mut self) -> VecDeque<v1::OrderCommand> {
        let now = Instant::now();
        let all = self.by_serial.values_mut();
        all.map(|waiting| {
            waiting.since = now;
            waiting.job.command.clone()
        })
        .collect()
    }

    fn oldest(&self) -> Option<Instant> {
        self.by_serial.values().next().map(|waiting| waiting.since)
    }
}

struct Driver {
    client: Client,
    options: EntryOptions,
    jobs: mpsc::UnboundedReceiver<Job>,
    unanswered: Unanswered,
    attempt: u32,
}

impl Driver {
    async fn run(mut self) {
        loop {
            // Nothing is opened for nothing.
            if self.unanswered.by_serial.is_empty() {
                let Some(job) = self.jobs.recv().await else { return };
                self.unanswered.add(job);
            }
            let outgoing = self.unanswered.restart();
            let (line, _) = self.client.link.current();
            let Err(status) = self.session(outgoing).await else { return };
            self.broken(line, status).await;
        }
    }

    /// One stream, until all is answered and nobody will send more, or until it breaks.
    async fn session(&mut self, mut outgoing: VecDeque<v1::OrderCommand>) -> Result<(), Status> {
        let (sender, receiver) = mpsc::channel(4);
        let batch = self.options.batch_max.max(1);
        // The first message goes before the response is awaited: a server may answer only then.
        let first: Vec<_> = outgoing.drain(..outgoing.len().min(batch)).collect();
        let _ = sender.try_send(v1::OrderEntryRequest { commands: first });
        let mut service = self.client.member();
        let opening = service.order_entry(ReceiverStream::new(receiver));
        let mut answers: Streaming<v1::OrderEntryResponse> =
            tokio::time::timeout(self.options.answer_max, opening)
                .await
                .map_err(|_| Status::deadline_exceeded("no answer in time"))??
                .into_inner();
        let mut more = true;
        loop {
            let Some(oldest) = self.unanswered.oldest() else {
                if !more {
                    return Ok(());
                }
                tokio::select! {
                    message = answers.message() => self.answered(message)?,
                    job = self.jobs.recv() => more = self.taken(job, &mut outgoing),
                }
                continue;
            };
            tokio::select! {
                message = answers.message() => self.answered(message)?,
                permit = sender.reserve(), if !outgoing.is_empty() => {
                    let permit = permit.map_err(|_| Status::unavailable("the stream is closed"))?;
                    let commands = outgoing.drain(..outgoing.len().min(batch)).collect();
                    permit.send(v1::OrderEntryRequest { commands });
                }
                job = self.jobs.recv(), if more => more = self.taken(job, &mut outgoing),
                () = tokio::time::sleep_until(oldest + self.options.answer_max) => {
                    return Err(Status::deadline_exceeded("no answer in time"));
                }
            }
        }
    }

    /// Takes a job and those that wait behind it, so that they go in one message. False if none will come.
    fn taken(&mut self, job: Option<Job>, outgoing: &mut VecDeque<v1::OrderCommand>) -> bool {
        let more = job.is_some();
        let mut next = job;
        while let Some(job) = next {
            outgoing.extend(self.unanswered.add(job));
            next = if outgoing.len() < self.options.batch_max { self.jobs.try_recv().ok() } else { None };
        }
        more
    }

    fn answered(&mut self, message: Result<Option<v1::OrderEntryResponse>, Status>) -> Result<(), Status> {
        let message = message?.ok_or_else(|| Status::unavailable("the stream has ended"))?;
        if !message.answers.is_empty() {
            self.attempt = 0;
        }
        for answer in message.answers {
            self.unanswered.answer(answer);
        }
        match message.going_away {
            Some(away) => Err(Status::unavailable(away.reason)),
            None => Ok(()),
        }
    }

    async fn broken(&mut self, line: LineAt, status: Status) {
        let wait = self.client.link.after(line, &status, self.attempt);
        self.attempt += 1;
        match wait {
            Some(wait) if self.attempt < self.client.link.retry.attempts => tokio::time::sleep(wait).await,
            Some(_) => {
                self.attempt = 0;
                self.unanswered.fail_all(|client_order_id| CallError::OutcomeUnknown {
                    client_order_id,
                    last: Box::new(status.clone()),
                });
            }
            None => {
                self.attempt = 0;
                self.unanswered.fail_all(|_| CallError::Status(Box::new(status.clone())));
            }
        }
    }
}
