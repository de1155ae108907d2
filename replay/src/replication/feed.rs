//! Records for a node that follows: the newest from memory, older ones from the segments.
//!
//! A run may be sent before it is durable here, so that both disks work at the same time: nothing is
//! acknowledged before this one has it too.

use super::Run;
use crate::error::JournalError;
use crate::frame::{Head, index_of, offset_of, record_bytes};
use crate::segment::{self, HEADER_BYTES, SegmentHeader};
use crate::storage::Storage;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// The newest runs of a primary, shared with whoever sends them.
#[derive(Debug)]
pub struct Backlog {
    inner: Mutex<Kept>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    runs: VecDeque<Run>,
    bytes: usize,
}

impl Backlog {
    /// Keeps about so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), bytes_max }
    }

    /// Adds the newest.
    pub fn push(&self, run: Run) {
        let mut kept = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += run.frames.len();
        kept.runs.push_back(run);
        while kept.bytes > self.bytes_max && kept.runs.len() > 1 {
            let oldest = kept.runs.pop_front().expect("there are more than one");
            kept.bytes -= oldest.frames.len();
        }
    }

    /// Forgets everything: this node leads no more, or anew.
    pub fn clear(&self) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }

    /// Runs from the one with record `seq` on, up to so many bytes and at least one; nothing if that
    /// one is not kept.
    fn from(&self, seq: u64, bytes_max: usize) -> Vec<Run> {
        let kept = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let first = kept.runs.partition_point(|it| it.last.stamp.seq < seq);
        if kept.runs.get(first).is_none_or(|it| it.before.stamp.seq >= seq) {
            return Vec::new();
        }
        let mut bytes = 0;
        let wanted = kept.runs.range(first..).take_while(|it| {
            let fits = bytes < bytes_max;
            bytes += it.frames.len();
            fits
        });
        wanted.cloned().collect()
    }
}

/// The place of one follower in the history.
pub struct Feed {
    storage: Box<dyn Storage>,
    next: u64,
    place: Option<Place>,
}

/// A segment that is being read.
struct Place {
    header: SegmentHeader,
    bytes: Vec<u8>,
    at: usize,
    head: Head,
}

impl Feed {
    /// Begins after a record.
    #[must_use]
    pub fn after(storage: Box<dyn Storage>, seq: u64) -> Self {
        Self { storage, next: seq + 1, place: None }
    }

    /// The next runs, about so many bytes; empty if there are none yet. Reads the disk when the backlog
    /// does not reach back far enough. The journal ends with `head_seq`.
    ///
    /// # Errors
    ///
    /// What the system said, or [`JournalError::NotFound`] if the records are no longer kept.
    pub fn poll(
        &mut self,
        backlog: &Backlog,
        head_seq: u64,
        bytes_max: usize,
    ) -> Result<Vec<Run>, JournalError> {
        let runs = self.poll_memory(backlog, bytes_max);
        if runs.is_empty() && self.is_behind(head_seq) { self.poll_disk(bytes_max) } else { Ok(runs) }
    }

    /// The next runs that the backlog holds; empty if it does not reach back so far, or there are none.
    pub fn poll_memory(&mut self, backlog: &Backlog, bytes_max: usize) -> Vec<Run> {
        let runs = backlog.from(self.next, bytes_max);
        if let Some(last) = runs.last() {
            self.next = last.last.stamp.seq + 1;
            self.place = None;
        }
        runs
    }

    /// Whether the journal, which ends with `head_seq`, holds more.
    #[must_use]
    pub fn is_behind(&self, head_seq: u64) -> bool {
        self.next <= head_seq
    }

    /// Whether the next record, which the journal has had, can still be read: in the backlog, or in a segment.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn reaches(&mut self, backlog: &Backlog) -> Result<bool, JournalError> {
        if !backlog.from(self.next, 1).is_empty() {
            return Ok(true);
        }
        let read = self.read(1);
        // Nothing was sent: what was read is read again.
        self.place = None;
        match read {
            Ok(runs) => Ok(runs.first().is_some_and(|it| it.before.stamp.seq < self.next)),
            Err(JournalError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The next runs from the segments.
    ///
    /// # Errors
    ///
    /// As [`Self::poll`].
    pub fn poll_disk(&mut self, bytes_max: usize) -> Result<Vec<Run>, JournalError> {
        let runs = self.read(bytes_max)?;
        if let Some(last) = runs.last() {
            self.next = last.last.stamp.seq + 1;
        }
        Ok(runs)
    }

    fn read(&mut self, bytes_max: usize) -> Result<Vec<Run>, JournalError> {
        if let Some(place) = &mut self.place {
            let runs = place.runs(self.next, bytes_max);
            if !runs.is_empty() {
                return Ok(runs);
            }
        }
        let names = self.storage.list().map_err(JournalError::io("list", &self.storage.place()))?;
        let firsts = names.iter().filter_map(|it| segment::seq_of_name(it)).filter(|it| *it <= self.next);
        let Some(seq_first) = firsts.max() else {
            return Err(JournalError::NotFound { place: self.storage.place() });
        };
        let name = segment::segment_name(seq_first);
        let bytes = self.storage.read(&name).map_err(JournalError::io("read", &name))?;
        // A segment has its whole header when it has its name.
        let Ok(header) = SegmentHeader::decode(&bytes) else {
            return Err(JournalError::NotFound { place: name });
        };
        let head = header.predecessor;
        let mut place = Place { header, bytes, at: HEADER_BYTES, head };
        let runs = place.runs(self.next, bytes_max);
        // A segment that has a successor is whole: what it does not hold is in none.
        let has_successor = names.iter().filter_map(|it| segment::seq_of_name(it)).any(|it| it > self.next);
        if runs.is_empty() && has_successor {
            return Err(JournalError::NotFound { place: name });
        }
        self.place = Some(place);
        Ok(runs)
    }
}

impl Place {
    /// Whole batches from the one with record `next` on. The end of a segment that is being written may
    /// look torn; what follows comes later.
    fn runs(&mut self, next: u64, bytes_max: usize) -> Vec<Run> {
        let (mut runs, mut bytes) = (Vec::new(), 0);
        let (mut at, mut head) = (self.at, self.head);
        let walked = segment::walk_from(&self.header, &self.bytes, at, head, |batch, _| {
            if bytes >= bytes_max {
                return Err(());
            }
            let length: usize = batch.iter().map(|it| record_bytes(it.payload.len())).sum();
            let last = batch.last().expect("a batch has a record");
            let last = Head { stamp: last.stamp, chain: last.chain };
            if last.stamp.seq >= next {
                runs.push(Run { before: head, last, frames: self.bytes[at..at + length].into() });
                bytes += length;
            }
            at += length + index_of(offset_of(crate::frame::FRAME_BYTES));
            head = last;
            Ok(())
        });
        // Where it ended, for whatever reason, is where it goes on.
        let _ = walked;
        (self.at, self.head) = (at, head);
        runs
    }
}
