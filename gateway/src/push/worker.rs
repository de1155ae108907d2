//! One task a target: asks how far it is, delivers what follows, waits for more. To what all nodes share,
//! only the primary delivers.

use super::{Item, Mark, PushError, Target};
use crate::server::read_model::ReadModel;
use crate::server::work;
use merit_engine::event::Stream;
use merit_replay::node::Position;
use std::future::pending;
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

/// Starts a task for each target. `position` says where this node is among others; nothing if it is alone.
#[must_use]
pub fn start(
    model: &Arc<ReadModel>,
    targets: Vec<Box<dyn Target>>,
    stopping: &watch::Receiver<bool>,
    position: Option<watch::Receiver<Position>>,
) -> Pushing {
    let task = |target: Box<dyn Target>| {
        let role = Role { position: position.clone().filter(|_| target.is_shared()) };
        tokio::spawn(run(Arc::clone(model), target, stopping.clone(), role))
    };
    Pushing { tasks: targets.into_iter().map(task).collect() }
}

/// Whether it is this node that delivers to a target.
struct Role {
    /// Nothing if it is, whoever leads.
    position: Option<watch::Receiver<Position>>,
}

impl Role {
    fn delivers(&self) -> bool {
        self.position.as_ref().is_none_or(|it| it.borrow().leads)
    }

    /// Waits until it is, or is no more.
    async fn until(&mut self, delivers: bool) {
        match &mut self.position {
            None if delivers => {}
            None => pending().await,
            Some(position) => {
                if position.wait_for(|it| it.leads == delivers).await.is_err() {
                    // The node is going, and says so by itself.
                    pending::<()>().await;
                }
            }
        }
    }
}

async fn run(
    model: Arc<ReadModel>,
    mut target: Box<dyn Target>,
    mut stopping: watch::Receiver<bool>,
    mut role: Role,
) {
    let mut wait = RETRY_MIN;
    loop {
        tokio::select! {
            () = stopped(&mut stopping) => return,
            () = role.until(true) => {}
        }
        let mut work = Work { model: &model, target: &mut *target, role: &mut role };
        let ended = tokio::select! {
            () = stopped(&mut stopping) => return,
            ended = work.push(&mut wait) => ended,
        };
        let name = target.name();
        let Err(ended) = ended else {
            tracing::info!(target = name, "push: this node leads no more");
            continue;
        };
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
    role: &'a mut Role,
}

impl Work<'_> {
    /// Delivers while this node is the one that does, and until something is wrong. A delivery that has
    /// begun is not broken off: the target itself refuses whoever leads no more.
    async fn push(&mut self, wait: &mut Duration) -> Result<(), PushError> {
        let mut applied = self.model.watch();
        let mut mark = self.target.mark().await?;
        while self.role.delivers() {
            applied.borrow_and_update();
            if let Some(next) = self.step(mark).await? {
                mark = next;
                *wait = RETRY_MIN;
                continue;
            }
            tokio::select! {
                changed = applied.changed() => if changed.is_err() {
                    return Err(PushError::Unreachable("the read model has ended".into()));
                },
                () = self.role.until(false) => {}
            }
        }
        Ok(())
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
        let bytes = events.iter().map(Vec::len).sum();
        let items = work::on_message(bytes, || events.iter().map(|it| Item::read(it)).collect());
        let items: Option<Vec<Item>> = items;
        let items = items.ok_or_else(|| doubt("an event cannot be decoded".into()))?;
        if items.is_empty() {
            return Ok(None);
        }
        let delivered = self.target.deliver(epoch, &items).await;
        work::on_message(bytes, || drop(items));
        delivered.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::Role;
    use merit_replay::node::Position;
    use std::time::Duration;
    use tokio::sync::watch;
    use tokio::time::timeout;

    const STANDBY: Position =
        Position { epoch: 1, leads: false, alone: false, durable_seq: 0, acknowledged_seq: 0 };

    #[tokio::test]
    async fn a_standby_waits_until_it_leads_and_ceases_when_it_leads_no_more() {
        let (sender, position) = watch::channel(STANDBY);
        let mut role = Role { position: Some(position) };
        let waits = Duration::from_millis(20);
        assert!(!role.delivers());
        assert!(timeout(waits, role.until(true)).await.is_err());
        sender.send_replace(Position { leads: true, ..STANDBY });
        assert!(role.delivers() && timeout(waits, role.until(true)).await.is_ok());
        assert!(timeout(waits, role.until(false)).await.is_err());
        sender.send_replace(STANDBY);
        assert!(timeout(waits, role.until(false)).await.is_ok());
    }

    #[tokio::test]
    async fn a_node_without_others_and_a_ledger_of_its_own_always_deliver() {
        let mut role = Role { position: None };
        assert!(role.delivers() && timeout(Duration::from_millis(20), role.until(true)).await.is_ok());
        assert!(timeout(Duration::from_millis(20), role.until(false)).await.is_err());
    }
}
