//! Takes snapshots beside the core, and moves old segments to the archive.
//!
//! A thread of its own sees when the next one is due; then another replays the journal from the last snapshot on, at about
//! half of one processor and behind all threads that orders wait for, and needs the memory of a second state meanwhile.
//! The core is asked one short question: whether it rests. What goes wrong is said in the log and tried again; nothing depends on it.

use super::background;
use super::exchange::Exchange;
use super::read_model::{Mirror, ReadModel};
use merit_replay::error::JournalError;
use merit_replay::node::Node;
use merit_replay::recovery::Progress;
use merit_replay::retention;
use merit_replay::runner::CoreHandle;
use merit_replay::snapshot::{self, Header};
use merit_replay::storage::Storage;
use merit_replay::storage::disk::Disk;
use merit_replay::storage::shelves::Shelves;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often it looks whether one is due.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long it waits after a failure.
const RETRY: Duration = Duration::from_secs(60);
/// The longest rest after a segment: one of 64 MiB, some half a million small orders, takes about as long if it has a processor.
const REST_MAX: Duration = Duration::from_millis(250);
const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

/// How the journal is kept short.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// Records between two snapshots; 0 for none.
    pub snapshot_every: u64,
    /// Where old segments go; nothing: they stay.
    pub archive: Option<PathBuf>,
    /// How long after its last record a segment stays, days.
    pub archive_after_days: u32,
}

impl Retention {
    /// The journal's directory together with its archive.
    ///
    /// # Errors
    ///
    /// If the archive's directory cannot be made.
    pub fn shelves(&self, journal: Box<dyn Storage>) -> std::io::Result<Box<dyn Storage>> {
        Ok(match &self.archive {
            Some(archive) => Box::new(Shelves::new(journal, Box::new(Disk::create(archive)?))),
            None => journal,
        })
    }
}

/// The running thread; it ends when this is dropped.
#[derive(Debug)]
pub struct Snapshots {
    _running: Sender<()>,
}

/// Starts the thread, if there is anything for it to do. `shelves` reads the journal and its archive.
///
/// # Errors
///
/// If the system gives no thread.
pub fn start(
    core: CoreHandle<Exchange>,
    model: &Arc<ReadModel>,
    shelves: Box<dyn Storage>,
    journal: &Path,
    retention: &Retention,
) -> std::io::Result<Option<Snapshots>> {
    if retention.snapshot_every == 0 {
        return Ok(None);
    }
    let (running, stop) = mpsc::channel();
    let model = Arc::downgrade(model);
    let turn =
        Turn { core, model, shelves, journal: Disk::existing(journal), retention: retention.clone(), stop };
    std::thread::Builder::new().name("snapshots".into()).spawn(move || turn.run())?;
    Ok(Some(Snapshots { _running: running }))
}

struct Turn {
    core: CoreHandle<Exchange>,
    /// Gone when the node is.
    model: Weak<ReadModel>,
    shelves: Box<dyn Storage>,
    journal: Disk,
    retention: Retention,
    stop: Receiver<()>,
}

impl Turn {
    /// Whether the node goes on after so long.
    fn goes_on(&self, after: Duration) -> bool {
        matches!(self.stop.recv_timeout(after), Err(RecvTimeoutError::Timeout))
    }

    fn run(self) {
        let mut taken = 0;
        let mut wait = INTERVAL;
        while self.goes_on(wait) {
            wait = INTERVAL;
            let head = self.core.status().head;
            let due_seq = snapshot::due(head.seq, self.retention.snapshot_every);
            if due_seq <= taken {
                continue;
            }
            // From a record at which the core rests a snapshot can be taken, so the replay is not for nothing.
            let Some((true, seq)) = self.rests() else { continue };
            match self.take(due_seq, seq, head.time_us) {
                Ok(()) => taken = due_seq,
                Err(error) => {
                    tracing::warn!(error = %error, remedy = error.remedy(), "no snapshot could be taken");
                    wait = RETRY;
                }
            }
        }
    }

    /// Whether the core rests, and after which record; nothing if it has ended. Not asked as a query: those who
    /// read need not wait for what only this thread was told.
    fn rests(&self) -> Option<(bool, u64)> {
        let (sender, receiver) = mpsc::channel();
        let look = move |node: &mut Node<Exchange>, _| {
            let core = node.core();
            // Nobody hears it if the node stops meanwhile.
            let _ = sender.send((core.machine().engine.rests(), core.head().seq));
        };
        self.core.act(look).ok()?;
        receiver.recv().ok()
    }

    /// Has the store written as far as a snapshot: a start needs one that reaches it.
    fn keep(&self, seq: u64) {
        let until = Instant::now() + RETRY;
        while self.goes_on(Duration::ZERO)
            && let Some(model) = self.model.upgrade()
        {
            if model.read(|state, _| state.seq) >= seq {
                if let Err(doubt) = model.keep() {
                    tracing::warn!(doubt = %doubt.0, "the read model could not be written");
                }
                return;
            }
            drop(model);
            if Instant::now() > until || !self.goes_on(INTERVAL) {
                return;
            }
        }
    }

    /// Replays and writes, on a thread that steps back: this one takes locks of the read model's later, and whoever waits for
    /// one must not wait until all others have had their turn.
    fn make(&self, due_seq: u64, head_seq: u64) -> Result<Option<Header>, JournalError> {
        let shelves = self.shelves.reader();
        let replay = move || {
            background::step_back();
            let mut segment = Instant::now();
            let mut progress = |_: Progress| {
                // As long a rest as the segment took, not counting most of the time in which others came before.
                std::thread::sleep(segment.elapsed().min(REST_MAX));
                segment = Instant::now();
            };
            snapshot::make::<Mirror>(&*shelves, due_seq, head_seq, &mut progress)
        };
        let thread = std::thread::Builder::new().name("snapshot-replay".into()).spawn(replay);
        let refused = |source| JournalError::Io { doing: "start the thread of a snapshot".into(), source };
        let thread = thread.map_err(refused)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn take(&self, due_seq: u64, head_seq: u64, time_us: i64) -> Result<(), JournalError> {
        let began = Instant::now();
        if let Some(header) = self.make(due_seq, head_seq)? {
            let (seq, bytes) = (header.head.stamp.seq, header.body_bytes);
            self.keep(seq);
            tracing::info!(seq, bytes, seconds = began.elapsed().as_secs(), "a snapshot was taken");
        }
        let Some(archive) = &self.retention.archive else { return Ok(()) };
        let until_us = time_us - i64::from(self.retention.archive_after_days) * DAY_US;
        for name in retention::retire(&self.journal, &Disk::existing(archive), until_us)? {
            tracing::info!(segment = name, "a segment went to the archive");
        }
        Ok(())
    }
}
