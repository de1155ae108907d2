//! The way to the core: a bounded inbox in front of one thread.
//!
//! What is bounded is work and memory, not messages: a batch takes as many places as it has commands,
//! and a command with many points takes several.
//!
//! An answer comes only after the command is durable. A full inbox turns commands away at once, with a
//! time to retry; a full disk does too, while reads go on. Whoever stops waiting does not take a
//! command back: what was taken is carried out, and the same id finds its answer.

use super::exchange::{Exchange, Reply};
use super::status;
use merit_engine::command::{Action, Body, OrderBody, Request};
use merit_replay::frame::Stamp;
use merit_replay::runner::{CoreHandle, Refused, Status as CoreStatus};
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot};
use tonic::Status;

/// An answer and the place of its command.
pub type Answered = (Stamp, Arc<Reply>);

/// The way to the core.
#[derive(Clone)]
pub struct Inbox {
    core: CoreHandle<Exchange>,
    places: Arc<Semaphore>,
    places_max: u32,
}

impl Inbox {
    /// The way to a core.
    #[must_use]
    pub fn new(core: CoreHandle<Exchange>, places_max: u32) -> Self {
        let places = usize::try_from(places_max).unwrap_or(Semaphore::MAX_PERMITS);
        Self { core, places: Arc::new(Semaphore::new(places)), places_max }
    }

    /// Places that are taken.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        self.places_max.saturating_sub(free)
    }

    /// Submits one request.
    ///
    /// # Errors
    ///
    /// If it was not taken, or its outcome is unknown.
    pub async fn submit(&self, request: Request) -> Result<Answered, Status> {
        let mut answers = self.submit_all(vec![Body::Request(Box::new(request))]).await?;
        answers.pop().ok_or_else(|| status::internal("one request, no answer"))
    }

    /// Submits requests, in the form that the core takes, that become durable together or not at all.
    ///
    /// # Errors
    ///
    /// If they were not taken, or their outcome is unknown.
    pub async fn submit_all(&self, requests: Vec<Body>) -> Result<Vec<Answered>, Status> {
        let receiver = self.enqueue(requests).map_err(status::refused)?;
        Self::answered(receiver).await
    }

    /// Puts requests into the inbox without waiting for their answers.
    ///
    /// # Errors
    ///
    /// If they were not taken.
    pub fn enqueue(&self, requests: Vec<Body>) -> Result<Outcomes, Refused> {
        let cost = requests.iter().map(cost_of).fold(0_u32, u32::saturating_add);
        // What is larger than the whole inbox goes when nothing else waits.
        let places = Arc::clone(&self.places).try_acquire_many_owned(cost.min(self.places_max));
        let places = places.map_err(|_| Refused::Busy)?;
        let (sender, receiver) = oneshot::channel();
        // The asker may have gone; the command stands all the same.
        self.core.submit_many(requests, move |outcomes| {
            drop(places);
            drop(sender.send(outcomes));
        })?;
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

/// Points that one place pays for.
const POINTS_PER_PLACE: usize = 128;

fn cost_of(body: &Body) -> u32 {
    match body {
        Body::Request(request) => cost(&request.action),
        Body::EpochStarted { .. } | Body::StandbyChanged { .. } | Body::Tick | Body::ClearQuantum { .. } => 1,
    }
}

/// Places that an action takes.
#[must_use]
pub fn cost(action: &Action) -> u32 {
    let points = match action {
        Action::Submit(order) => points(&order.body),
        Action::Amend { body, .. } => points(body),
        Action::SubmitCapacity(capacity) => {
            capacity.lines.iter().map(|(_, forward, back)| forward.len() + back.len()).sum()
        }
        Action::Cancel { .. }
        | Action::CancelAll { .. }
        | Action::SetRules(_)
        | Action::RegisterMember { .. }
        | Action::SetMemberSuspended { .. }
        | Action::RegisterPortfolio { .. }
        | Action::RegisterUser { .. }
        | Action::Deposit { .. }
        | Action::Withdraw { .. }
        | Action::RecordPayIn { .. }
        | Action::SetClearance { .. }
        | Action::ProposeAct { .. }
        | Action::ApproveAct { .. }
        | Action::AcknowledgeSchedule { .. }
        | Action::Settle(_) => 0,
    };
    u32::try_from(points / POINTS_PER_PLACE).unwrap_or(u32::MAX).saturating_add(1)
}

fn points(body: &OrderBody) -> usize {
    match body {
        OrderBody::Curve { periods, .. } => periods.iter().map(|(_, points)| points.len()).sum(),
        OrderBody::Block { quantity, .. } => quantity.len(),
        OrderBody::Complex { curve, .. } => curve.iter().map(|it| it.points.len()).sum(),
    }
}

type Outcome = merit_replay::runner::Outcome<Exchange>;
/// Outcomes that will come.
pub type Outcomes = oneshot::Receiver<Vec<Outcome>>;
