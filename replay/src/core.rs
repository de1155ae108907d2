//! One batch at a time: sequence, write, sync, apply, tell.
//!
//! No thread and no channel here: `runner.rs` feeds this from a bounded inbox, and tests feed it from
//! a seed, on a disk that forgets. The order of things is the product's promise: nothing is applied
//! before it is acknowledged by rule (durable here; with standbys, at one of them too), and nobody
//! hears of anything before it is applied. So a record that must be given up later has never changed
//! the machine, and nobody has heard of it.
//!
//! Applied ≤ acknowledged ≤ durable ≤ sequenced, always. Without standbys all four are equal after a
//! batch; with them, several batches may wait for their acknowledgement.

use crate::error::JournalError;
use crate::frame::{self, Head, Record, Stamp, offset_of, record_bytes};
use crate::machine::{Machine, Sink};
use crate::recovery::{Found, Progress, Visitor};
use crate::replication::Run;
use crate::replication::lineage::Lineage;
use crate::sequencer::Sequencer;
use crate::storage::Storage;
use crate::writer::{Options, Room, Writer};
use std::collections::VecDeque;
use std::ops::Range;

/// Which epoch a node writes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epoch {
    /// The history's last one (1 in a new journal): the same primary comes back.
    Same,
    /// The one after: this node takes over.
    Next,
    /// None: this node follows until it is told to lead, and applies only what it knows to be
    /// acknowledged.
    Follow,
}

/// Why records from another node were not taken.
#[derive(Debug)]
pub enum Misfit {
    /// Records between this node's last one and the first of them are missing.
    Gap,
    /// They follow another history, or are damaged.
    OtherHistory,
    /// This node could not write them.
    Halt(Halt),
    /// This release cannot understand one.
    Undecodable {
        /// Which.
        seq: u64,
        /// Why.
        reason: String,
    },
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
    /// The quantum of long work that ends the batch in the making: commands are applied and answered before it.
    quantum: Option<(u16, Range<usize>, M::Body)>,
    /// Journaled and not yet acknowledged, so not yet applied.
    pending: VecDeque<Pending<M>>,
    /// Quanta among them: the machine does not know of them yet, so none is asked for twice.
    quanta_pending: usize,
    applied: Stamp,
    lineage: Lineage,
    failure: Option<JournalError>,
}

struct Pending<M: Machine> {
    stamp: Stamp,
    body: M::Body,
    /// Somebody here waits for the answer.
    asked: bool,
    quantum: bool,
}

fn pop_up_to<M: Machine>(pending: &mut VecDeque<Pending<M>>, seq: u64) -> Option<Pending<M>> {
    if pending.front()?.stamp.seq <= seq { pending.pop_front() } else { None }
}

/// Commands that a machine hears of before it applies the first of them. What they look up has to stay in a near
/// cache until then.
const EXPECTED_MAX: usize = 64;

/// Tells a machine of the next command and those that wait behind it up to a record; returns of how many.
fn expect<M: Machine>(machine: &M, (next, rest): (&Pending<M>, &VecDeque<Pending<M>>), seq: u64) -> usize {
    let more = rest.iter().take(EXPECTED_MAX - 1).take_while(|it| it.stamp.seq <= seq).count();
    machine.expect(std::iter::once(next).chain(rest).take(1 + more).map(|it| &it.body));
    1 + more
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
        machine: M,
        sink: Box<dyn Sink<M>>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Option<Found>), JournalError> {
        Self::open_after(storage, options, epoch, (machine, None), sink, progress)
    }

    /// As [`Self::open`], with a machine that knows the history up to a record: only what follows it is
    /// replayed, and only of that the sink hears.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_after(
        storage: Box<dyn Storage>,
        options: Options,
        epoch: Epoch,
        (mut machine, base): (M, Option<(Head, Lineage)>),
        mut sink: Box<dyn Sink<M>>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Option<Found>), JournalError> {
        let (base, lineage) = base.map_or((None, Lineage::default()), |(head, it)| (Some(head), it));
        let apply = Apply::new(&mut machine, &mut *sink);
        let mut replay = Replay {
            apply,
            progress,
            lineage,
            holds: epoch == Epoch::Follow,
            held: VecDeque::new(),
            group: Vec::new(),
            next: 0,
            applied: base.map_or(Stamp { time_us: i64::MIN, ..Stamp::default() }, |it| it.stamp),
        };
        let (writer, found) = Writer::open_after(storage, options, base, &mut replay)?;
        // The scan may have learned more at its end than a batch could tell.
        replay.acknowledged(found.as_ref().map_or(0, |it| it.acknowledged_seq))?;
        let Replay { lineage, held, applied, .. } = replay;
        let last = writer.durable().stamp;
        let epoch = match epoch {
            Epoch::Same => last.epoch.max(1),
            Epoch::Next => last.epoch + 1,
            Epoch::Follow => last.epoch,
        };
        sink.batch_applied(applied);
        let core = Self {
            quantum: None,
            quanta_pending: 0,
            pending: held,
            applied,
            lineage,
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

    /// The machine, as of the last acknowledged command.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Place of the last applied command.
    pub fn head(&self) -> Stamp {
        self.applied
    }

    /// Head of what is durable here.
    pub fn durable(&self) -> Head {
        self.writer.durable()
    }

    /// The journal's writer.
    pub fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// The epochs of the history.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// Records that are durable here and not yet acknowledged.
    pub fn waiting(&self) -> usize {
        self.pending.len()
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
        self.sequencer.last().epoch < self.sequencer.epoch()
    }

    /// When the next timer is due, µs; a timer that does not lie after the journaled time is spent, or
    /// will be when what is journaled is applied.
    pub fn next_timer_us(&self) -> Option<i64> {
        self.machine.next_timer_us().filter(|it| *it > self.sequencer.last().time_us)
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

    /// Begins a batch with what the core itself wants: first the start of its epoch and a tick if a timer
    /// is due, last a quantum of long work. Whatever commands are offered share the sync with it, and do
    /// not wait for the quantum.
    pub fn begin(&mut self, now_us: i64, node: &str) {
        assert!(self.entries.is_empty() && self.quantum.is_none(), "the last batch was finished");
        if self.epoch_is_new() {
            self.offer_own(M::epoch_started(node));
        }
        let time_us = self.sequencer.time_us(now_us);
        if self.next_timer_us().is_some_and(|it| it <= time_us) {
            self.offer_own(M::tick());
        }
        if self.quanta_pending == 0
            && let Some(body) = self.machine.quantum()
        {
            let start = self.payloads.len();
            let kind = M::encode(&body, &mut self.payloads);
            let range = start..self.payloads.len();
            self.frames_bytes += offset_of(record_bytes(range.len()));
            self.quantum = Some((kind, range, body));
        }
    }

    /// Whether long work waits for a quantum.
    pub fn wants_quantum(&self) -> bool {
        self.quanta_pending == 0 && self.machine.quantum().is_some()
    }

    /// Begins a batch with one command of the node's own.
    pub fn begin_with(&mut self, body: M::Body) {
        assert!(self.entries.is_empty(), "the last batch was finished");
        self.offer_own(body);
    }

    /// Puts a command into the batch.
    pub fn offer(&mut self, body: M::Body) -> Offer<M::Body> {
        let start = self.payloads.len();
        let kind = M::encode(&body, &mut self.payloads);
        let range = start..self.payloads.len();
        let bytes = offset_of(record_bytes(range.len()));
        let too_large = bytes > self.batch_bytes_max;
        let records = self.entries.len() + usize::from(self.quantum.is_some());
        let full = self.frames_bytes + bytes > self.batch_bytes_max || records >= self.records_max;
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
        self.journal(now_us, None)?;
        let mut done = Vec::new();
        self.acknowledge(self.durable().stamp.seq, &mut |it| done.push(it));
        Ok(done)
    }

    /// Ends the batch: sequences it and makes it durable. Others may have it before this disk has:
    /// `send` gets it when it is whole, so that both syncs go on at the same time.
    ///
    /// # Errors
    ///
    /// [`Halt`]: then the batch is not history, or nobody knows.
    pub fn journal(&mut self, now_us: i64, send: Option<&mut dyn FnMut(Run)>) -> Result<(), Halt> {
        let quantum = self.quantum.take();
        let has_quantum = quantum.is_some();
        self.entries.extend(quantum);
        if self.entries.is_empty() {
            return Ok(());
        }
        let journaled = self.write(now_us, send);
        self.payloads.clear();
        self.frames_bytes = 0;
        let own = std::mem::take(&mut self.own);
        let before = match journaled {
            Ok(before) => before,
            Err(error) => {
                self.entries.clear();
                return Err(self.halt(error));
            }
        };
        let last = self.sequencer.last();
        self.lineage.note(Stamp { seq: before.seq + 1, ..last });
        let mut stamp = Stamp { seq: before.seq, ..last };
        let count = self.entries.len();
        for (index, (_, _, body)) in self.entries.drain(..).enumerate() {
            stamp.seq += 1;
            let quantum = has_quantum && index + 1 == count;
            let asked = index >= own && !quantum;
            self.pending.push_back(Pending { stamp, body, asked, quantum });
        }
        self.quanta_pending += usize::from(has_quantum);
        assert!(stamp == last, "everything sequenced is durable");
        Ok(())
    }

    fn halt(&mut self, error: JournalError) -> Halt {
        if matches!(error, JournalError::NoSpace { .. }) {
            return Halt::NoSpace;
        }
        self.failure.get_or_insert(error);
        Halt::Failed
    }

    /// Sequences and writes the batch. Returns the place before its first record.
    fn write(&mut self, now_us: i64, send: Option<&mut dyn FnMut(Run)>) -> Result<Stamp, JournalError> {
        let before = self.sequencer.last();
        // Space first: a batch for which there is none is never sequenced.
        self.writer.reserve(self.frames_bytes)?;
        for (kind, range, _) in &self.entries {
            let stamp = self.sequencer.place(now_us);
            self.writer.append(stamp, *kind, &self.payloads[range.clone()]);
        }
        if let Some(send) = send {
            let (before, last) = (self.writer.durable(), self.writer.batch_head());
            send(Run { before, last, frames: self.writer.batch().into() });
        }
        self.writer.commit()?;
        Ok(before)
    }

    /// Applies what is journaled up to a record, and tells what became of each offered command before it
    /// goes on.
    ///
    /// # Panics
    ///
    /// If the record is not durable here.
    pub fn acknowledge(&mut self, seq: u64, tell: &mut dyn FnMut(Done<M::Answer>)) {
        assert!(seq <= self.durable().stamp.seq, "only what is durable is acknowledged");
        if seq <= self.applied.seq {
            return;
        }
        let before = self.applied.seq;
        // The mark first: whoever reads the journal because of what it heard finds that acknowledged.
        if self.failure.is_none()
            && let Err(error) = self.writer.acknowledge(seq)
        {
            // The records themselves are safe: they are answered, and then the core stops.
            self.failure.get_or_insert(error);
        }
        let mut expected = 0;
        while let Some(next) = pop_up_to(&mut self.pending, seq) {
            expected =
                if expected > 0 { expected } else { expect(&self.machine, (&next, &self.pending), seq) };
            expected -= 1;
            let Pending { stamp, body, asked, quantum } = next;
            if quantum && self.applied.seq > before {
                // Readers need not wait for it either.
                self.sink.batch_applied(self.applied);
            }
            let mut events = Vec::new();
            let answer = self.machine.apply(stamp, body, &mut events);
            self.sink.applied(stamp, &answer, events, false);
            self.quanta_pending -= usize::from(quantum);
            self.applied = stamp;
            if asked {
                tell(Done { stamp, answer });
            }
        }
        assert!(self.applied.seq == seq, "everything acknowledged was applied");
        self.sink.batch_applied(self.applied);
    }

    /// Takes records of another node, which follow this node's last one, and makes them durable. What is
    /// here already is passed over.
    ///
    /// # Errors
    ///
    /// [`Misfit`]: then none of the run that does not fit was taken.
    pub fn follow(&mut self, runs: &[Run]) -> Result<(), Misfit> {
        let mut head = self.durable();
        let mut fresh = Vec::new();
        for run in runs.iter().filter(|it| it.last.stamp.seq > self.durable().stamp.seq) {
            if run.last.stamp.seq <= head.stamp.seq {
                continue;
            }
            if run.before.stamp.seq > head.stamp.seq {
                return Err(Misfit::Gap);
            }
            let records = frame::read_run(&run.frames, &run.before).map_err(|_| Misfit::OtherHistory)?;
            let known = records.iter().take_while(|it| it.stamp.seq <= head.stamp.seq).last();
            let before = known.map_or(run.before.chain, |it| it.chain);
            if before != head.chain || records.last().map(|it| it.chain) != Some(run.last.chain) {
                return Err(Misfit::OtherHistory);
            }
            fresh.extend(records.into_iter().filter(|it| it.stamp.seq > head.stamp.seq));
            head = run.last;
        }
        let mut rest = &fresh[..];
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |record: &&Record<'_>| {
                bytes += offset_of(record_bytes(record.payload.len()));
                bytes <= self.batch_bytes_max
            };
            // One record at least: whether it fits at all is the journal's answer.
            let count = rest.iter().take_while(fits).count().max(1);
            self.take(&rest[..count])?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Makes records durable as one batch.
    fn take(&mut self, records: &[Record<'_>]) -> Result<(), Misfit> {
        let mut waiting = Vec::with_capacity(records.len());
        for record in records {
            let stamp = record.stamp;
            let body = M::decode(record.kind, record.payload)
                .map_err(|reason| Misfit::Undecodable { seq: stamp.seq, reason })?;
            waiting.push(Pending { stamp, body, asked: false, quantum: false });
        }
        let bytes = records.iter().map(|it| offset_of(record_bytes(it.payload.len()))).sum();
        let written = self.writer.reserve(bytes).and_then(|()| {
            records.iter().for_each(|it| self.writer.append(it.stamp, it.kind, it.payload));
            self.writer.commit()
        });
        let head = written.map_err(|error| Misfit::Halt(self.halt(error)))?;
        records.iter().for_each(|it| self.lineage.note(it.stamp));
        self.pending.extend(waiting);
        self.sequencer = Sequencer::new(head.stamp, head.stamp.epoch);
        Ok(())
    }

    /// Takes everything after a record away, which nobody has heard of.
    ///
    /// # Errors
    ///
    /// [`Halt::Failed`] if the disk refused.
    ///
    /// # Panics
    ///
    /// If something applied would go.
    pub fn cut(&mut self, seq: u64) -> Result<(), Halt> {
        assert!(seq >= self.applied.seq, "what was applied is never cut");
        self.writer.discard_batch();
        self.pending.retain(|it| it.stamp.seq <= seq);
        self.lineage.cut(seq);
        if let Err(error) = self.writer.cut(seq) {
            return Err(self.halt(error));
        }
        let last = self.durable().stamp;
        self.sequencer = Sequencer::new(last, last.epoch);
        Ok(())
    }

    /// Begins to write in an epoch.
    pub fn lead(&mut self, epoch: u32) {
        self.sequencer = Sequencer::new(self.durable().stamp, epoch);
    }

    /// Writes no more; nobody waits for what is not acknowledged yet.
    pub fn step_down(&mut self) {
        let last = self.durable().stamp;
        self.sequencer = Sequencer::new(last, last.epoch);
        self.quanta_pending = 0;
        for waiting in &mut self.pending {
            (waiting.asked, waiting.quantum) = (false, false);
        }
    }

    /// Notes that the journal cannot be gone on with.
    pub fn fail(&mut self, error: JournalError) {
        self.failure.get_or_insert(error);
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
    /// Of the last commands, one list for each, as far as the sink leaves them. Giving back what is shared waits
    /// for everything that was written before, so a few are given back together.
    events: [Vec<M::Event>; SPENT_MAX],
    /// Lists that are in use.
    spent: usize,
    /// Whether the sink hears events.
    heard: bool,
}

/// Commands whose events are given back together.
const SPENT_MAX: usize = 6;
/// Events that a list keeps memory for; more of them are given back with the next command.
const EVENTS_KEPT: usize = 64;

impl<'a, M: Machine> Apply<'a, M> {
    pub(crate) fn new(machine: &'a mut M, sink: &'a mut dyn Sink<M>) -> Self {
        let heard = sink.hears_history();
        Self { machine, sink, events: std::array::from_fn(|_| Vec::new()), spent: 0, heard }
    }
}

impl<M: Machine> Apply<'_, M> {
    pub(crate) fn record(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        let mut body = self.decode(record)?;
        self.body(record.stamp, &mut body);
        Ok(())
    }

    fn decode(&self, record: &Record<'_>) -> Result<M::Body, JournalError> {
        let seq = record.stamp.seq;
        M::decode(record.kind, record.payload).map_err(|reason| JournalError::Undecodable { seq, reason })
    }

    fn body(&mut self, stamp: Stamp, body: &mut M::Body) {
        if !self.heard {
            let answer = self.machine.apply_again(stamp, body, None);
            self.sink.replayed(stamp, &answer, &mut Vec::new());
            return;
        }
        if self.spent == SPENT_MAX {
            for list in &mut self.events {
                list.clear();
                list.shrink_to(EVENTS_KEPT);
            }
            self.spent = 0;
        }
        let events = &mut self.events[self.spent];
        self.spent += 1;
        let answer = self.machine.apply_again(stamp, body, Some(events));
        self.sink.replayed(stamp, &answer, events);
        if events.len() > EVENTS_KEPT {
            self.spent = SPENT_MAX;
        }
    }
}

struct Replay<'a, M: Machine> {
    apply: Apply<'a, M>,
    progress: &'a mut dyn FnMut(Progress),
    lineage: Lineage,
    /// Whether records are held back until they are known to be acknowledged.
    holds: bool,
    held: VecDeque<Pending<M>>,
    /// Those that are applied next, together, and behind them bodies that are spent.
    group: Vec<(Stamp, M::Body)>,
    /// How many are applied next.
    next: usize,
    applied: Stamp,
}

impl<M: Machine> Replay<'_, M> {
    fn apply_group(&mut self) {
        let group = &mut self.group[..std::mem::take(&mut self.next)];
        self.apply.machine.expect(group.iter().map(|it| &it.1));
        for (stamp, body) in group {
            self.applied = *stamp;
            self.apply.body(*stamp, body);
        }
    }

    /// A place for one more that is applied next.
    #[inline]
    fn place(&mut self) -> &mut (Stamp, M::Body) {
        if self.next == EXPECTED_MAX {
            self.apply_group();
        }
        if self.next == self.group.len() {
            self.group.push((Stamp::default(), M::tick()));
        }
        &mut self.group[self.next]
    }

    /// Reads a record over a spent body.
    fn gather(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        let (stamp, body) = self.place();
        *stamp = record.stamp;
        let decoded = M::decode_over(record.kind, record.payload, body);
        if let Err(reason) = decoded {
            self.apply_group();
            return Err(JournalError::Undecodable { seq: record.stamp.seq, reason });
        }
        self.next += 1;
        Ok(())
    }
}

impl<M: Machine> Visitor for Replay<'_, M> {
    fn record(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        let stamp = record.stamp;
        self.lineage.note(stamp);
        if !self.holds {
            return self.gather(record);
        }
        let body = self.apply.decode(record)?;
        self.held.push_back(Pending { stamp, body, asked: false, quantum: false });
        Ok(())
    }

    fn acknowledged(&mut self, seq: u64) -> Result<(), JournalError> {
        while let Some(next) = pop_up_to(&mut self.held, seq) {
            *self.place() = (next.stamp, next.body);
            self.next += 1;
        }
        self.apply_group();
        Ok(())
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
    replay_some(storage, machine, sink, progress, false)
}

/// As [`replay`], but stops at the last record that is known to be acknowledged: what a node among others
/// may tell.
///
/// # Errors
///
/// As [`replay`].
pub fn replay_acknowledged<M: Machine>(
    storage: &dyn Storage,
    machine: &mut M,
    sink: &mut dyn Sink<M>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Found, JournalError> {
    replay_some(storage, machine, sink, progress, true)
}

fn replay_some<M: Machine>(
    storage: &dyn Storage,
    machine: &mut M,
    sink: &mut dyn Sink<M>,
    progress: &mut dyn FnMut(Progress),
    holds: bool,
) -> Result<Found, JournalError> {
    let apply = Apply::new(machine, sink);
    let (lineage, held, applied) = (Lineage::default(), VecDeque::new(), Stamp::default());
    let mut replay = Replay { apply, progress, lineage, holds, held, group: Vec::new(), next: 0, applied };
    let found = crate::recovery::scan(storage, None, &mut replay)?;
    replay.acknowledged(found.acknowledged_seq)?;
    Ok(found)
}
