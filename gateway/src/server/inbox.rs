//! The way to the core: a bounded inbox in front of one thread.
//!
//! An answer comes only after the command is durable. A full inbox turns commands away at once, with a
//! time to retry; a full disk does too, while reads go on. Whoever stops waiting does not take a
//! command back: what was taken is carried out, and the same id finds its answer.

use super::exchange::{Exchange, Reply};
use super::status;
use merit_engine::command::{Body, Request};
use merit_replay::frame::Stamp;
use merit_replay::runner::{CoreHandle, Refused, Status as CoreStatus};
use std::sync::Arc;
use tokio::sync::oneshot;
use tonic::Status;

/// An answer and the place of its command.
pub type Answered = (Stamp, Arc<Reply>);

/// The way to the core.
#[derive(Clone)]
pub struct Inbox {
    core: CoreHandle<Exchange>,
}

impl Inbox {
    /// The way to a core.
    #[must_use]
    pub fn new(core: CoreHandle<Exchange>) -> Self {
        Self { core }
    }

    /// Submits one request.
    ///
    /// # Errors
    ///
    /// If it was not taken, or its outcome is unknown.
    pub async fn submit(&self, request: Request) -> Result<Answered, Status> {
        let mut answers = self.submit_all(vec![request]).await?;
        answers.pop().ok_or_else(|| status::internal("one request, no answer"))
    }

    /// Submits requests that become durable together or not at all.
    ///
    /// # Errors
    ///
    /// If they were not taken, or their outcome is unknown.
    pub async fn submit_all(&self, requests: Vec<Request>) -> Result<Vec<Answered>, Status> {
        let receiver = self.enqueue(requests).map_err(status::refused)?;
        Self::answered(receiver).await
    }

    /// Puts requests into the inbox without waiting for their answers.
    ///
    /// # Errors
    ///
    /// If they were not taken.
    pub fn enqueue(&self, requests: Vec<Request>) -> Result<Outcomes, Refused> {
        let (sender, receiver) = oneshot::channel();
        let bodies = requests.into_iter().map(|it| Body::Request(Box::new(it))).collect();
        // The asker may have gone; the command stands all the same.
        self.core.submit_many(bodies, move |outcomes| drop(sender.send(outcomes)))?;
        Ok(receiver)
    }

    /// Waits for the answers to what was enqueued.
    ///
    /// # Errors
    ///
    /// If they were refused, or their outcome is unknown.
    pub async fn answered(outcomes: Outcomes) -> Result<Vec<Answered>, Status> {
        let outcomes = outcomes.await.map_err(|_| status::outcome_unknown())?;
        let answer = |it: Outcome| it.map(|done| (done.stamp, done.answer)).map_err(status::refused);
        outcomes.into_iter().map(answer).collect()
    }

    /// Looks at the engine between two batches.
    ///
    /// # Errors
    ///
    /// If the core cannot be asked.
    pub async fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Exchange, Stamp) -> R + Send + 'static,
    ) -> Result<R, Status> {
        let (sender, receiver) = oneshot::channel();
        let query = move |exchange: &Exchange, head| drop(sender.send(look(exchange, head)));
        self.core.query(query).map_err(status::refused)?;
        receiver.await.map_err(|_| status::shutting_down())
    }

    /// Where the core stands.
    #[must_use]
    pub fn status(&self) -> CoreStatus {
        self.core.status()
    }

    /// The core itself.
    #[must_use]
    pub fn core(&self) -> &CoreHandle<Exchange> {
        &self.core
    }
}

type Outcome = merit_replay::runner::Outcome<Exchange>;
/// Outcomes that will come.
pub type Outcomes = oneshot::Receiver<Vec<Outcome>>;
