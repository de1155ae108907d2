//! Mends a damaged journal from another node's copy of the same history, and from nothing else.
//!
//! What is whole before the damage stays as it is; from there on the records are the other copy's, in
//! segments of their own. It is done only if the other copy is whole, is the same history (its chain
//! agrees with everything of this journal that can still be read: the whole segments before the damage, the
//! headers of all others, and the ends of batches after the damage that are acknowledged), and lacks nothing that this journal knows to be acknowledged. What is
//! replaced is kept in quarantine.
//!
//! While it works the journal stays one that is refused: the segment with the damage is replaced last,
//! at once, and until then it is never the last segment, whose end recovery might take for a torn tail.
//! After a power cut the repair is done again.
//!
//! # Deliberately absent
//!
//! - **Guessing.** No byte is corrected, however obvious the correction.
//! - **The network.** The other copy is a directory: a standby's journal, stopped or copied, or a backup.

use crate::acknowledged::{self, MARK_NAME};
use crate::error::JournalError;
use crate::frame::{self, BatchEnd, Head, Record, Salt, offset_of, record_bytes};
use crate::recovery::{self, Discard, Found, Progress, Visitor, quarantine_name};
use crate::segment::{self, FORMAT_VERSION, HEADER_BYTES, SegmentHeader};
use crate::storage::{Storage, write_all_at, write_zeros};
use std::collections::BTreeMap;
use std::fmt;

/// A segment that is being made.
const MADE_PREFIX: &str = "repair-";

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The damage, in words.
    pub damage: String,
    /// The last record that stayed where it was.
    pub kept_seq: u64,
    /// The last record of the mended journal.
    pub seq_last: u64,
    /// Where what was replaced is kept.
    pub quarantine: Vec<String>,
}

/// Why nothing was repaired.
#[derive(Debug)]
pub enum Unrepaired {
    /// The journal is whole.
    Whole(Box<Found>),
    /// The journal cannot be used, for a reason that no copy can mend.
    Here(JournalError),
    /// The other copy cannot be used.
    Copy(JournalError),
    /// The other copy is another exchange's.
    OtherExchange,
    /// The other copy is another history: the chains differ after a record.
    OtherHistory {
        /// The record.
        seq: u64,
    },
    /// The other copy ends before the last record that was acknowledged here.
    Behind {
        /// Where it ends.
        seq_last: u64,
        /// What was acknowledged here.
        acknowledged_seq: u64,
    },
    /// The other copy has a batch that fits no segment.
    TooLarge,
}

impl fmt::Display for Unrepaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(found) => write!(f, "the journal is whole up to record {}", found.head.stamp.seq),
            Self::Here(error) => write!(f, "{error}; {}", error.remedy()),
            Self::Copy(error) => write!(f, "the copy cannot be used: {error}; take another one"),
            Self::OtherExchange => f.write_str("the copy is another exchange's"),
            Self::OtherHistory { seq } => write!(
                f,
                "the copy is another history: it holds another record {seq}; take the copy of a node that follows \
                 this journal's primary"
            ),
            Self::Behind { seq_last, acknowledged_seq } => write!(
                f,
                "the copy ends with record {seq_last}, and records up to {acknowledged_seq} were acknowledged here; \
                 take a newer one"
            ),
            Self::TooLarge => f.write_str("the copy has a record that fits no segment"),
        }
    }
}

impl std::error::Error for Unrepaired {}

/// Mends the journal in `storage` from the copy in `peer`. Nobody may write to either.
///
/// # Errors
///
/// Why nothing was done; a journal that was refused before is still refused then.
pub fn repair(storage: &dyn Storage, peer: &dyn Storage) -> Result<Repaired, Unrepaired> {
    let here = |error| Unrepaired::Here(error);
    let lock = storage.lock().map_err(|error| here(JournalError::io("lock", &storage.place())(error)))?;
    let _lock = lock.ok_or(here(JournalError::Locked))?;
    let mut whole = Whole::default();
    let damage = match recovery::scan(storage, None, &mut whole) {
        Ok(found) => return Err(Unrepaired::Whole(Box::new(found))),
        Err(JournalError::Damaged(damage)) => damage,
        Err(error) => return Err(here(error)),
    };
    let copy = recovery::scan(peer, None, &mut Discard).map_err(Unrepaired::Copy)?;
    // What recovery got to know before it met the damage is less than what the mark says.
    let marked = marked(storage, copy.exchange_id).map_err(here)?;
    let (seq_last, acknowledged_seq) = (copy.head.stamp.seq, damage.acknowledged_seq.max(marked));
    let old = Old::look(storage, &whole, (copy.exchange_id, acknowledged_seq)).map_err(here)?;
    if old.exchanges.iter().any(|it| *it != copy.exchange_id) {
        return Err(Unrepaired::OtherExchange);
    }
    if seq_last < acknowledged_seq.max(whole.kept) {
        return Err(Unrepaired::Behind { seq_last, acknowledged_seq: acknowledged_seq.max(whole.kept) });
    }
    let mut making = Making {
        storage,
        exchange_id: copy.exchange_id,
        segment_bytes: copy.last.segment_bytes,
        kept: whole.kept,
        witnesses: old.witnesses,
        head: Head::genesis(copy.exchange_id),
        batch: Vec::new(),
        open: None,
        made: Vec::new(),
        acknowledged_seq: 0,
        stopped: None,
    };
    making.clear().map_err(here)?;
    let made = recovery::scan(peer, None, &mut making);
    if let Some(stopped) = making.stopped.take() {
        return Err(stopped);
    }
    made.map_err(Unrepaired::Copy)?;
    making.end_segment().map_err(here)?;
    let quarantine = install(storage, &making.made, &old.names).map_err(here)?;
    let damage = damage.to_string();
    Ok(Repaired { damage, kept_seq: whole.kept, seq_last, quarantine })
}

/// The greatest record that the mark beside the segments says was acknowledged.
fn marked(storage: &dyn Storage, exchange_id: u128) -> Result<u64, JournalError> {
    let names = storage.list().map_err(JournalError::io("list", &storage.place()))?;
    if !names.iter().any(|it| it == MARK_NAME) {
        return Ok(0);
    }
    let content = storage.read(MARK_NAME).map_err(JournalError::io("read", MARK_NAME))?;
    Ok(acknowledged::decode(exchange_id, &content))
}

/// Finds how far whole segments reach.
#[derive(Default)]
struct Whole {
    head: Option<Head>,
    kept: u64,
    segments: u64,
    kept_head: Option<Head>,
}

impl Visitor for Whole {
    fn record(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        self.head = Some(Head { stamp: record.stamp, chain: record.chain });
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        self.kept = progress.seq;
        self.segments = progress.segments_done;
        self.kept_head = self.head;
    }
}

/// The segments from the damaged one on, and what they still say.
struct Old {
    names: Vec<String>,
    exchanges: Vec<u128>,
    /// Chains that the copy must have, by record.
    witnesses: BTreeMap<u64, u128>,
}

impl Old {
    fn look(
        storage: &dyn Storage,
        whole: &Whole,
        (exchange_id, acknowledged_seq): (u128, u64),
    ) -> Result<Self, JournalError> {
        let names = storage.list().map_err(JournalError::io("list", &storage.place()))?;
        let names = names.into_iter().filter(|it| it.starts_with("segment-"));
        let kept = usize::try_from(whole.segments).unwrap_or(usize::MAX);
        let mut old = Self { names: Vec::new(), exchanges: Vec::new(), witnesses: BTreeMap::new() };
        if let Some(head) = whole.kept_head {
            old.witnesses.insert(head.stamp.seq, head.chain);
        }
        for (index, name) in names.enumerate() {
            let bytes = storage.read(&name).map_err(JournalError::io("read", &name))?;
            if let Ok(header) = SegmentHeader::decode(&bytes) {
                old.exchanges.push(header.exchange_id);
                if header.predecessor.stamp.seq > 0 && segment::seq_of_name(&name) == Some(header.seq_first) {
                    old.witnesses.insert(header.predecessor.stamp.seq, header.predecessor.chain);
                }
            }
            if index >= kept {
                // What is acknowledged is what this journal says it is, as far as it still can: a longer copy may be one
                // of a primary that was given up, whose records have the same numbers.
                if let Some(seq_first) = segment::seq_of_name(&name) {
                    let ends = frame::batch_ends_beyond(&bytes, 0, Salt::new(exchange_id, seq_first));
                    let acknowledged = ends.filter(|it| it.seq_last <= acknowledged_seq);
                    old.witnesses.extend(acknowledged.map(|it| (it.seq_last, it.chain)));
                }
                old.names.push(name);
            }
        }
        Ok(old)
    }
}

/// Writes the copy's records after the kept ones into segments with names of their own.
struct Making<'a> {
    storage: &'a dyn Storage,
    exchange_id: u128,
    segment_bytes: u64,
    kept: u64,
    witnesses: BTreeMap<u64, u128>,
    /// Head of the records that are written, or passed over.
    head: Head,
    batch: Vec<(Head, u16, Vec<u8>)>,
    open: Option<(SegmentHeader, Vec<u8>)>,
    made: Vec<u64>,
    acknowledged_seq: u64,
    stopped: Option<Unrepaired>,
}

fn made_name(seq_first: u64) -> String {
    format!("{MADE_PREFIX}{seq_first:020}.part")
}

impl Making<'_> {
    /// Takes away what a repair that did not end has left.
    fn clear(&self) -> Result<(), JournalError> {
        let io = JournalError::io;
        let names = self.storage.list().map_err(io("list", &self.storage.place()))?;
        for name in names.iter().filter(|it| it.starts_with(MADE_PREFIX)) {
            self.storage.remove(name).map_err(io("remove", name))?;
        }
        self.storage.sync_names().map_err(io("sync", "the journal directory"))
    }

    /// Ends the scan of the copy: why is told by [`repair`].
    fn stop(&mut self, why: Unrepaired) -> JournalError {
        self.stopped = Some(why);
        JournalError::Poisoned
    }

    fn begin_segment(&mut self) {
        let header = SegmentHeader {
            version: FORMAT_VERSION,
            exchange_id: self.exchange_id,
            seq_first: self.head.stamp.seq + 1,
            segment_bytes: self.segment_bytes,
            predecessor: self.head,
            build: "repair".to_owned(),
        };
        let bytes = header.encode().to_vec();
        self.open = Some((header, bytes));
    }

    /// Makes the open segment durable under its name of the moment.
    fn end_segment(&mut self) -> Result<(), JournalError> {
        let Some((header, bytes)) = self.open.take() else { return Ok(()) };
        let name = made_name(header.seq_first);
        let io = JournalError::io;
        let mut file = self.storage.open(&name, true).map_err(io("create", &name))?;
        let written = write_all_at(&mut *file, 0, &bytes)
            .and_then(|()| write_zeros(&mut *file, offset_of(bytes.len()), header.segment_bytes))
            .and_then(|()| file.sync());
        written.map_err(io("write", &name))?;
        self.made.push(header.seq_first);
        Ok(())
    }

    /// Bytes that are free in the open segment.
    fn free(&self) -> u64 {
        let used = self.open.as_ref().map_or(0, |(_, bytes)| offset_of(bytes.len()));
        self.segment_bytes.saturating_sub(used)
    }

    fn end_batch(&mut self) -> Result<(), JournalError> {
        let batch = std::mem::take(&mut self.batch);
        let mut rest = &batch[..];
        while !rest.is_empty() {
            if self.open.is_none() {
                self.begin_segment();
            }
            let mut bytes = offset_of(frame::FRAME_BYTES);
            let free = self.free();
            let fits = |(_, _, payload): &&(Head, u16, Vec<u8>)| {
                bytes += offset_of(record_bytes(payload.len()));
                bytes <= free
            };
            let count = rest.iter().take_while(fits).count();
            let is_new = self.open.as_ref().is_some_and(|(_, bytes)| bytes.len() == HEADER_BYTES);
            if count < rest.len() && !is_new {
                self.end_segment()?;
                continue;
            }
            if count == 0 {
                return Err(self.stop(Unrepaired::TooLarge));
            }
            self.put(&rest[..count]);
            rest = &rest[count..];
        }
        Ok(())
    }

    fn put(&mut self, records: &[(Head, u16, Vec<u8>)]) {
        let (header, out) = self.open.as_mut().expect("a segment is open");
        let (salt, start) = (header.salt(), out.len());
        for (after, kind, payload) in records {
            self.head = frame::put_record(out, 0, salt, &self.head, after.stamp, (*kind, payload));
            assert!(self.head == *after, "the chain covers what is written, wherever it lies");
        }
        let seq_last = self.head.stamp.seq;
        let end = BatchEnd {
            records: u32::try_from(records.len()).expect("bounded by the segment"),
            bytes: u32::try_from(out.len() - start).expect("bounded by the segment"),
            epoch: self.head.stamp.epoch,
            seq_last,
            acknowledged_seq: self.acknowledged_seq.min(seq_last - 1),
            chain: self.head.chain,
        };
        let start = out.len();
        out.resize(start + frame::FRAME_BYTES, 0);
        frame::put_batch_end(&mut out[start..], offset_of(start), salt, &end);
    }
}

impl Visitor for Making<'_> {
    fn record(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        let seq = record.stamp.seq;
        if self.witnesses.get(&seq).is_some_and(|chain| *chain != record.chain) {
            return Err(self.stop(Unrepaired::OtherHistory { seq }));
        }
        let head = Head { stamp: record.stamp, chain: record.chain };
        if seq <= self.kept {
            self.head = head;
        } else {
            self.batch.push((head, record.kind, record.payload.to_vec()));
        }
        Ok(())
    }

    fn acknowledged(&mut self, seq: u64) -> Result<(), JournalError> {
        self.acknowledged_seq = seq;
        match self.end_batch() {
            Err(error) if self.stopped.is_none() => Err(self.stop(Unrepaired::Here(error))),
            ended => ended,
        }
    }
}

/// Puts the made segments in the place of the old ones, the first one last. Returns where the old ones
/// are kept.
fn install(storage: &dyn Storage, made: &[u64], old: &[String]) -> Result<Vec<String>, JournalError> {
    let io = JournalError::io;
    let sync = || storage.sync_names().map_err(io("sync", "the journal directory"));
    sync()?;
    // A copy of each: the names are still in use.
    let mut quarantine = Vec::new();
    for name in old {
        let bytes = storage.read(name).map_err(io("read", name))?;
        let kept = quarantine_name(storage, segment::seq_of_name(name).unwrap_or(0), 0)?;
        let mut file = storage.open(&kept, true).map_err(io("create", &kept))?;
        write_all_at(&mut *file, 0, &bytes).map_err(io("write", &kept))?;
        file.sync().map_err(io("sync", &kept))?;
        quarantine.push(kept);
    }
    sync()?;
    let replace = |seq_first: &u64| {
        let name = segment::segment_name(*seq_first);
        storage.replace(&made_name(*seq_first), &name).map_err(io("replace", &name))
    };
    let names: Vec<String> = made.iter().map(|it| segment::segment_name(*it)).collect();
    let superfluous: Vec<&String> = old.iter().filter(|it| !names.contains(it)).collect();
    let (first, later) = match made.split_first() {
        Some((first, later)) => (Some(first), later),
        None => (None, &[][..]),
    };
    later.iter().rev().try_for_each(replace)?;
    sync()?;
    if later.is_empty() {
        // Without later segments the damaged one would be the last when the others are gone.
        first.iter().try_for_each(|it| replace(it))?;
        sync()?;
    }
    for name in superfluous {
        storage.remove(name).map_err(io("remove", name))?;
    }
    sync()?;
    if !later.is_empty() {
        first.iter().try_for_each(|it| replace(it))?;
        sync()?;
    }
    Ok(quarantine)
}
