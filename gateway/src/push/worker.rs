//! One task a target: asks how far it is, delivers what follows, waits for more.

use super::{Item, Mark, PushError, Target};
use crate::server::read_model::ReadModel;
use merit_engine::event::Stream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Messages in one delivery.
const MESSAGES_MAX: usize = 16;
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How often a target that contradicts the journal is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The tasks of a node.
#[derive(Debug)]
pub struct Pushing {
    tasks: Vec<JoinHandle<()>>,
}

impl Pushing {
    /// Waits until every task has ended, which they do when the node stops.
    pub async fn join(self) {
        for task in self.tasks {
            if task.await.is_err() {
                tracing::error!(
                    "a push task panicked; what it had not delivered is delivered at the next start"
                );
            }
        }
    }
}

/// Starts a task for each target.
#[must_use]
pub fn start(
    model: &Arc<ReadModel>,
    targets: Vec<Box<dyn Target>>,
    stopping: &watch::Receiver<bool>,
) -> Pushing {
    let task = |target| tokio::spawn(run(Arc::clone(model), target, stopping.clone()));
    Pushing { tasks: targets.into_iter().map(task).collect() }
}

async fn run(model: Arc<ReadModel>, mut target: Box<dyn Target>, mut stopping: watch::Receiver<bool>) {
    let mut wait = RETRY_MIN;
    loop {
        let mut work = Work { model: &model, target: &mut *target };
        let ended = tokio::select! {
            () = stopped(&mut stopping) => return,
            error = work.push(&mut wait) => error,
        };
        let name = target.name();
        let pause = match &ended {
            PushError::Unreachable(text) => {
                tracing::warn!(target = name, error = %text, "push: trying again");
                let longer = (wait * 2).min(RETRY_MAX);
                std::mem::replace(&mut wait, longer)
            }
            PushError::Fenced { .. } | PushError::Contradiction(_) => {
                tracing::error!(target = name, error = %ended, "push: nothing is delivered");
                LOOK_AGAIN
            }
        };
        tokio::select! {
            () = stopped(&mut stopping) => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Done when the node begins to stop, or is gone altogether.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stop| *stop).await);
}

struct Work<'a> {
    model: &'a ReadModel,
    target: &'a mut dyn Target,
}

impl Work<'_> {
    /// Delivers until something is wrong.
    async fn push(&mut self, wait: &mut Duration) -> PushError {
        let mut applied = self.model.watch();
        let mut mark = match self.target.mark().await {
            Ok(mark) => mark,
            Err(error) => return error,
        };
        loop {
            applied.borrow_and_update();
            match self.step(mark).await {
                Ok(Some(next)) => {
                    mark = next;
                    *wait = RETRY_MIN;
                }
                Ok(None) => {
                    if applied.changed().await.is_err() {
                        return PushError::Unreachable("the read model has ended".into());
                    }
                }
                Err(error) => return error,
            }
        }
    }

    /// One delivery; nothing if there is nothing to deliver.
    async fn step(&mut self, mark: Mark) -> Result<Option<Mark>, PushError> {
        let doubt = |text: String| PushError::Unreachable(format!("the read model: {text}"));
        let (events, head) = self
            .model
            .events(Stream::Settlement, mark.seq + 1, MESSAGES_MAX)
            .map_err(|error| doubt(error.0))?;
        let epoch = u64::from(self.model.read(|state, _| state.epoch));
        if mark.seq > head {
            let text = format!("it has number {}, the journal ends at {head}", mark.seq);
            return Err(PushError::Contradiction(text));
        }
        let items: Option<Vec<Item>> = events.iter().map(|it| Item::read(it)).collect();
        let items = items.ok_or_else(|| doubt("an event cannot be decoded".into()))?;
        if items.is_empty() {
            return Ok(None);
        }
        self.target.deliver(epoch, &items).await.map(Some)
    }
}
