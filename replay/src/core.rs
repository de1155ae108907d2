//! One batch at a time: sequence, write, sync, apply, tell.
//!
//! No thread and no channel here: `runner.rs` feeds this from a bounded inbox, and tests feed it from
//! a seed, on a disk that forgets. The order of things is the product's promise: nothing is applied
//! before it is durable, and nobody hears of anything before it is applied.
//!
//! Applied ≤ durable ≤ sequenced, always; after a batch all three are equal.

use crate::error::JournalError;
use crate::frame::{Record, Stamp, offset_of, record_bytes};
use crate::machine::{Machine, Sink};
use crate::recovery::{Found, Progress, Visitor};
use crate::sequencer::Sequencer;
use crate::storage::Storage;
use crate::writer::{Options, Room, Writer};
use std::ops::Range;

/// Which epoch a node writes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epoch {
    /// The history's last one (1 in a new journal): the same primary comes back.
    Same,
    /// The one after: this node takes over.
    Next,
}

/// A command was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<A> {
    /// Its place in history.
    pub stamp: Stamp,
    /// The machine's answer.
    pub answer: A,
}

/// Why a batch, or one command of it, came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// No space for it. Nothing has happened; it can be tried again.
    NoSpace,
    /// The disk refused. What was in the batch is unknown until a restart.
    Failed,
}

/// What became of an offered command.
#[derive(Debug, PartialEq, Eq)]
pub enum Offer<B> {
    /// It is in the batch.
    Taken,
    /// The batch is full; it goes into the next one.
    Full(B),
    /// No batch can hold it.
    TooLarge {
        /// Its size in the journal.
        bytes: u64,
        /// The largest that fits.
        bytes_max: u64,
    },
}

/// The machine and its journal.
pub struct Core<M: Machine> {
    machine: M,
    writer: Writer,
    sequencer: Sequencer,
    sink: Box<dyn Sink<M>>,
    batch_bytes_max: u64,
    records_max: usize,
    payloads: Vec<u8>,
    entries: Vec<(u16, Range<usize>, M::Body)>,
    frames_bytes: u64,
    own: usize,
    failure: Option<JournalError>,
}

/// Largest batch in bytes; longer ones gain nothing and delay their first command.
const BATCH_BYTES_MAX: u64 = 4 << 20;

impl<M: Machine> Core<M> {
    /// Opens the journal, replays it into the machine, and is ready for the next command. `progress`
    /// hears how far the replay has come.
    ///
    /// # Errors
    ///
    /// As [`Writer::open`], and [`JournalError::Undecodable`].
    pub fn open(
        storage: Box<dyn Storage>,
        options: Options,
        epoch: Epoch,
        mut machine: M,
        mut sink: Box<dyn Sink<M>>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Option<Found>), JournalError> {
        let apply = Apply { machine: &mut machine, sink: &mut *sink };
        let mut replay = Replay { apply, progress };
        let (writer, found) = Writer::open(storage, options, &mut replay)?;
        let last = writer.durable().stamp;
        let epoch = match epoch {
            Epoch::Same => last.epoch.max(1),
            Epoch::Next => last.epoch + 1,
        };
        sink.batch_applied(last);
        let core = Self {
            batch_bytes_max: writer.batch_bytes_max().min(BATCH_BYTES_MAX),
            records_max: usize::MAX,
            sequencer: Sequencer::new(last, epoch),
            payloads: Vec::new(),
            entries: Vec::new(),
            frames_bytes: 0,
            own: 0,
            failure: None,
            machine,
            writer,
            sink,
        };
        Ok((core, found))
    }

    /// Bounds the records of one batch (default: by bytes only).
    pub fn set_records_max(&mut self, records_max: usize) {
        self.records_max = records_max.max(1);
    }

    /// The machine, as of the last durable batch.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Place of the last applied command.
    pub fn head(&self) -> Stamp {
        self.writer.durable().stamp
    }

    /// The epoch that commands get.
    pub fn epoch(&self) -> u32 {
        self.sequencer.epoch()
    }

    /// Why the core has stopped for good, if it has.
    pub fn failure(&self) -> Option<&JournalError> {
        self.failure.as_ref()
    }

    /// Whether nothing of this epoch is journaled yet.
    pub fn epoch_is_new(&self) -> bool {
        self.head().epoch < self.sequencer.epoch()
    }

    /// When the next timer is due, µs; a timer that does not lie after the applied time is spent.
    pub fn next_timer_us(&self) -> Option<i64> {
        self.machine.next_timer_us().filter(|it| *it > self.head().time_us)
    }

    /// How much room the journal has; tries again to make the next segment if there is none.
    pub fn retry_room(&mut self) -> Room {
        if matches!(self.writer.room(), Room::Low { .. }) {
            self.writer.prepare_spare();
        }
        self.writer.room()
    }

    /// How much room the journal has.
    pub fn room(&mut self) -> Room {
        self.writer.room()
    }

    /// Begins a batch with what the core itself wants: the start of its epoch, a tick if a timer is
    /// due, and a quantum of long work. Whatever commands are offered share the sync with it.
    pub fn begin(&mut self, now_us: i64, node: &str) {
        assert!(self.entries.is_empty(), "the last batch was finished");
        if self.epoch_is_new() {
            self.offer_own(M::epoch_started(node));
        }
        let time_us = self.sequencer.time_us(now_us);
        if self.next_timer_us().is_some_and(|it| it <= time_us) {
            self.offer_own(M::tick());
        }
        if let Some(quantum) = self.machine.quantum() {
            self.offer_own(quantum);
        }
    }

    /// Whether long work waits for a quantum.
    pub fn wants_quantum(&self) -> bool {
        self.machine.quantum().is_some()
    }

    /// Puts a command into the batch.
    pub fn offer(&mut self, body: M::Body) -> Offer<M::Body> {
        let start = self.payloads.len();
        let kind = M::encode(&body, &mut self.payloads);
        let range = start..self.payloads.len();
        let bytes = offset_of(record_bytes(range.len()));
        let too_large = bytes > self.batch_bytes_max;
        let full = self.frames_bytes + bytes > self.batch_bytes_max || self.entries.len() >= self.records_max;
        if too_large || full {
            self.payloads.truncate(start);
            let bytes_max = self.batch_bytes_max;
            return if too_large { Offer::TooLarge { bytes, bytes_max } } else { Offer::Full(body) };
        }
        self.frames_bytes += bytes;
        self.entries.push((kind, range, body));
        Offer::Taken
    }

    /// Puts commands into the batch, all of them or none.
    pub fn offer_all(&mut self, bodies: Vec<M::Body>) -> Offer<Vec<M::Body>> {
        let before = (self.entries.len(), self.payloads.len(), self.frames_bytes);
        let mut bodies = bodies.into_iter();
        while let Some(body) = bodies.next() {
            let (too_large, body) = match self.offer(body) {
                Offer::Taken => continue,
                Offer::Full(body) => (None, Some(body)),
                Offer::TooLarge { bytes, bytes_max } => (Some((bytes, bytes_max)), None),
            };
            let bytes = self.frames_bytes - before.2;
            let mut back: Vec<M::Body> = self.entries.drain(before.0..).map(|(_, _, body)| body).collect();
            self.payloads.truncate(before.1);
            self.frames_bytes = before.2;
            if let Some((bytes, bytes_max)) = too_large {
                return Offer::TooLarge { bytes, bytes_max };
            }
            // With nothing before them but the core's own, they will never fit.
            if before.0 == self.own {
                return Offer::TooLarge { bytes, bytes_max: self.batch_bytes_max };
            }
            back.extend(body);
            back.extend(bodies);
            return Offer::Full(back);
        }
        Offer::Taken
    }

    fn offer_own(&mut self, body: M::Body) {
        let records_max = std::mem::replace(&mut self.records_max, usize::MAX);
        let offer = self.offer(body);
        assert!(matches!(offer, Offer::Taken), "an empty batch holds the core's own small commands");
        self.records_max = records_max;
        self.own += 1;
    }

    /// Ends the batch: sequences it, makes it durable, applies it. Returns what became of the offered
    /// commands, in their order (not of the core's own).
    ///
    /// # Errors
    ///
    /// [`Halt`]: then none of the batch was applied.
    pub fn finish(&mut self, now_us: i64) -> Result<Vec<Done<M::Answer>>, Halt> {
        if self.entries.is_empty() {
            return Ok(Vec::new());
        }
        let journaled = self.journal(now_us);
        self.payloads.clear();
        self.frames_bytes = 0;
        let own = std::mem::take(&mut self.own);
        match journaled {
            Ok(first) => Ok(self.apply(first, own)),
            Err(error) => {
                self.entries.clear();
                if matches!(error, JournalError::NoSpace { .. }) {
                    return Err(Halt::NoSpace);
                }
                self.failure.get_or_insert(error);
                Err(Halt::Failed)
            }
        }
    }

    /// Sequences and writes the batch. Returns the place before its first record.
    fn journal(&mut self, now_us: i64) -> Result<Stamp, JournalError> {
        let before = self.sequencer.last();
        // Space first: a batch for which there is none is never sequenced.
        self.writer.reserve(self.frames_bytes)?;
        for (kind, range, _) in &self.entries {
            let stamp = self.sequencer.place(now_us);
            self.writer.append(stamp, *kind, &self.payloads[range.clone()]);
        }
        self.writer.commit()?;
        Ok(before)
    }

    fn apply(&mut self, before: Stamp, own: usize) -> Vec<Done<M::Answer>> {
        let last = self.sequencer.last();
        let mut done = Vec::with_capacity(self.entries.len());
        let mut stamp = Stamp { seq: before.seq, ..last };
        for (_, _, body) in self.entries.drain(..) {
            stamp.seq += 1;
            let mut events = Vec::new();
            let answer = self.machine.apply(stamp, body, &mut events);
            self.sink.applied(stamp, &answer, events, false);
            done.push(Done { stamp, answer });
        }
        assert!(stamp == last, "everything sequenced was applied");
        assert!(stamp == self.head(), "everything durable was applied");
        if let Err(error) = self.writer.acknowledge(stamp.seq) {
            // The batch itself is safe: it is answered, and then the core stops.
            self.failure.get_or_insert(error);
        }
        self.sink.batch_applied(stamp);
        done.drain(..own);
        done
    }

    /// Closes the journal and gives the machine back.
    ///
    /// # Errors
    ///
    /// What stopped the core, or what the system said while closing.
    pub fn close(self) -> Result<M, JournalError> {
        match self.failure {
            Some(error) => Err(error),
            None => self.writer.close().map(|()| self.machine),
        }
    }
}

/// Feeds records to a machine, and tells the sink that they are replayed.
pub(crate) struct Apply<'a, M: Machine> {
    pub(crate) machine: &'a mut M,
    pub(crate) sink: &'a mut dyn Sink<M>,
}

impl<M: Machine> Apply<'_, M> {
    pub(crate) fn record(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        let seq = record.stamp.seq;
        let body = M::decode(record.kind, record.payload)
            .map_err(|reason| JournalError::Undecodable { seq, reason })?;
        let mut events = Vec::new();
        let answer = self.machine.apply(record.stamp, body, &mut events);
        self.sink.applied(record.stamp, &answer, events, true);
        Ok(())
    }
}

struct Replay<'a, M: Machine> {
    apply: Apply<'a, M>,
    progress: &'a mut dyn FnMut(Progress),
}

impl<M: Machine> Visitor for Replay<'_, M> {
    fn record(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        self.apply.record(record)
    }

    fn progress(&mut self, progress: Progress) {
        (self.progress)(progress);
    }
}

/// Replays a journal from its beginning into a machine, without changing anything.
///
/// # Errors
///
/// As [`crate::recovery::scan`], and [`JournalError::Undecodable`].
pub fn replay<M: Machine>(
    storage: &dyn Storage,
    machine: &mut M,
    sink: &mut dyn Sink<M>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Found, JournalError> {
    crate::recovery::scan(storage, None, &mut Replay { apply: Apply { machine, sink }, progress })
}
