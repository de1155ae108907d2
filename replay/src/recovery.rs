//! What a node may believe of the journal that it finds, and what it must refuse.
//!
//! [`decide`] is the whole policy: a pure function of what was seen of one segment, tested over all
//! its inputs. [`scan`] sees and reads only; [`recover`] also cuts a torn tail, keeping what it cuts.
//!
//! # Deliberately absent
//!
//! - **Guessing.** Nothing is repaired but the end of the last segment, and only beyond everything
//!   that is known to have been acknowledged.

use crate::acknowledged;
use crate::error::{Damage, Flaw, JournalError};
use crate::frame::{self, Head, Record, offset_of};
use crate::segment::{self, HeaderFlaw, SegmentHeader, Walk};
use crate::snapshot;
use crate::storage::{Storage, write_all_at, write_zeros};

/// What was seen of a segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFact {
    /// Whole.
    Sound,
    /// Damaged, or contradicting the file's name.
    Damaged(Flaw),
    /// Whole, of a version that this release does not read.
    Version,
    /// Whole, of another exchange.
    OtherExchange,
}

/// How a segment joins the one before it (or the beginning of history).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFact {
    /// It begins where the other one ends.
    Follows,
    /// Records between them are missing.
    Gap,
    /// It begins before the other one ends.
    Overlap,
    /// It begins at the right number, but after another history.
    OtherHistory,
}

/// The file's length against its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthFact {
    /// As the header says.
    Exact,
    /// Shorter.
    Short,
    /// Longer.
    Long,
}

/// What was seen of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its header.
    pub header: HeaderFact,
    /// Its join.
    pub link: LinkFact,
    /// Its length.
    pub length: LengthFact,
    /// What stopped the walk before blank space; nothing if only blank space follows.
    pub flaw: Option<Flaw>,
    /// Whether it is the last segment.
    pub last: bool,
    /// Whether a record after its last whole batch is known to have been acknowledged.
    pub acknowledged_beyond: bool,
}

/// What is done about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Believe it as it is.
    Accept,
    /// Believe its whole batches; keep what follows in quarantine and blank it.
    CutTail,
    /// Believe it; the file is filled up with zeros again.
    Extend,
    /// Stop: wrong version.
    RefuseVersion,
    /// Stop: another exchange's.
    RefuseExchange,
    /// Stop: damage that only a copy can mend.
    Refuse(Flaw),
}

/// The policy. Rules in order; the first one that fits decides.
#[must_use]
pub fn decide(facts: &Facts) -> Decision {
    match facts.header {
        HeaderFact::Damaged(flaw) => return Decision::Refuse(flaw),
        HeaderFact::Version => return Decision::RefuseVersion,
        HeaderFact::OtherExchange => return Decision::RefuseExchange,
        HeaderFact::Sound => {}
    }
    match facts.link {
        LinkFact::Gap => return Decision::Refuse(Flaw::SegmentMissing),
        LinkFact::Overlap => return Decision::Refuse(Flaw::SegmentDuplicate),
        LinkFact::OtherHistory => return Decision::Refuse(Flaw::SegmentPredecessor),
        LinkFact::Follows => {}
    }
    match (facts.length, facts.flaw) {
        (LengthFact::Long, _) => Decision::Refuse(Flaw::FileLong),
        // A segment with a successor was whole and durable when the successor began.
        (_, Some(flaw)) if !facts.last || facts.acknowledged_beyond => Decision::Refuse(flaw),
        (LengthFact::Short, None) if !facts.last => Decision::Refuse(Flaw::FileShort),
        (_, None) if facts.acknowledged_beyond => Decision::Refuse(Flaw::Missing),
        (_, Some(_)) => Decision::CutTail,
        (LengthFact::Short, None) => Decision::Extend,
        (LengthFact::Exact, None) => Decision::Accept,
    }
}

/// The journal as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose history it is.
    pub exchange_id: u128,
    /// The record before the first one that was read: 0, or what a snapshot has to know.
    pub begins_after: u64,
    /// Number of segments.
    pub segments: u64,
    /// Number of records in whole batches.
    pub records: u64,
    /// Number of whole batches.
    pub batches: u64,
    /// The end of history.
    pub head: Head,
    /// The greatest sequence number known to have been acknowledged.
    pub acknowledged_seq: u64,
    /// What follows the last whole batch and is no history; nothing after a clean stop.
    pub tail: Option<Tail>,
    pub(crate) last: SegmentHeader,
    pub(crate) end: u64,
}

/// Bytes after the last whole batch: a batch that was being written when the node stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The segment file.
    pub segment: String,
    /// Where it begins.
    pub offset: u64,
    /// Its length in bytes; 0 if the file was only too short.
    pub bytes: u64,
    /// The first record that is not history.
    pub seq: u64,
    /// What ended the walk.
    pub flaw: Flaw,
    /// The file that keeps what was cut; nothing if nothing was cut.
    pub quarantine: Option<String>,
}

/// How far a scan has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Segments read.
    pub segments_done: u64,
    /// Segments in all.
    pub segments: u64,
    /// The last record handed on.
    pub seq: u64,
}

/// What receives the records of a journal as it is read.
pub trait Visitor {
    /// Takes the next record. Records come in order, whole batches at a time.
    ///
    /// # Errors
    ///
    /// Ends the scan with this error.
    fn record(&mut self, record: &Record<'_>) -> Result<(), JournalError>;

    /// Hears, after the records of a batch, up to which one history is known to be acknowledged.
    ///
    /// # Errors
    ///
    /// Ends the scan with this error.
    fn acknowledged(&mut self, _seq: u64) -> Result<(), JournalError> {
        Ok(())
    }

    /// Whether the scan shall go on to the next segment.
    fn wants_more(&self) -> bool {
        true
    }

    /// Hears how far the scan has come.
    fn progress(&mut self, _progress: Progress) {}
}

/// Receives records and does nothing with them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Visitor for Discard {
    fn record(&mut self, _record: &Record<'_>) -> Result<(), JournalError> {
        Ok(())
    }
}

/// Reads a journal from its beginning without changing it. Takes no lock: the tail of a journal that
/// is being written may look torn.
///
/// # Errors
///
/// [`JournalError::NotFound`] if there are neither segments nor a snapshot of some, and whatever [`decide`]
/// refuses.
pub fn scan(
    storage: &dyn Storage,
    exchange_id: Option<u128>,
    visitor: &mut dyn Visitor,
) -> Result<Found, JournalError> {
    scan_after(storage, exchange_id, None, visitor)
}

/// As [`scan`], from the record after `base` on, of which somebody knows the head: a snapshot. Segments that
/// lie before it altogether are not looked at, and need not be there.
///
/// # Errors
///
/// As [`scan`].
pub fn scan_after(
    storage: &dyn Storage,
    exchange_id: Option<u128>,
    base: Option<Head>,
    visitor: &mut dyn Visitor,
) -> Result<Found, JournalError> {
    scan_segments(storage, exchange_id, base, visitor).map(|(found, _)| found)
}

/// As [`scan`], and then mends the end of the last segment if a torn tail may be cut, and writes what is
/// believed of that segment once more: the last process may have ended because a sync failed, and what is
/// read then may be in memory only.
///
/// # Errors
///
/// As [`scan`], and what the system said when writing. Only the holder of the lock may call this.
pub(crate) fn recover(
    storage: &dyn Storage,
    exchange_id: u128,
    base: Option<Head>,
    visitor: &mut dyn Visitor,
) -> Result<Found, JournalError> {
    let (mut found, bytes) = scan_segments(storage, Some(exchange_id), base, visitor)?;
    if let Some(tail) = &mut found.tail {
        mend(storage, tail, &bytes, found.last.segment_bytes)?;
    }
    make_durable(storage, &found, &bytes)?;
    Ok(found)
}

fn scan_segments(
    storage: &dyn Storage,
    exchange_id: Option<u128>,
    base: Option<Head>,
    visitor: &mut dyn Visitor,
) -> Result<(Found, Vec<u8>), JournalError> {
    let names = storage.list().map_err(JournalError::io("list", &storage.place()))?;
    let mut segments: Vec<String> = names.iter().filter(|it| is_segment_like(it)).cloned().collect();
    if let Some(base) = base {
        let before = |it: &String| segment::seq_of_name(it).is_some_and(|it| it <= base.stamp.seq + 1);
        let first = segments.iter().rposition(before).unwrap_or(0);
        segments.drain(..first);
    }
    let mut state = Scan {
        storage,
        exchange_id,
        base,
        visitor,
        found: None,
        bytes: Vec::new(),
        mark: 0,
        taken: 0,
        named: 0,
        total: segments.len(),
    };
    if names.iter().any(|it| it == acknowledged::MARK_NAME) {
        read(storage, acknowledged::MARK_NAME, &mut state.bytes)?;
    }
    let mark = std::mem::take(&mut state.bytes);
    state.mark = exchange_id.map_or(0, |it| acknowledged::decode(it, &mark));
    // A snapshot is taken of acknowledged records only, so each is a witness.
    let taken = snapshot::headers(storage)?;
    let taken = taken.iter().filter(|it| exchange_id.is_none_or(|of| of == it.exchange_id));
    state.taken = taken.map(|it| it.head.stamp.seq).max().unwrap_or(0);
    // A segment takes its name when everything before it is durable, so the last name is a witness.
    state.named = segments.iter().filter_map(|it| segment::seq_of_name(it)).max().unwrap_or(1) - 1;
    if segments.is_empty() && state.taken > 0 {
        // They were there when the snapshot was taken: this is no new journal.
        return Err(JournalError::Damaged(Box::new(Damage {
            segment: segment::segment_name(1),
            seq: 1,
            offset: 0,
            flaw: Flaw::SegmentMissing,
            acknowledged_seq: state.taken,
        })));
    }
    for (index, name) in segments.iter().enumerate() {
        state.segment(name, index, &mark)?;
        if !state.visitor.wants_more() {
            break;
        }
    }
    let found = state.found.ok_or_else(|| JournalError::NotFound { place: storage.place() })?;
    Ok((found, state.bytes))
}

/// Anything that calls itself a segment must be one: a copy left in the directory is not ignored.
fn is_segment_like(name: &str) -> bool {
    name.starts_with("segment-")
}

fn read(storage: &dyn Storage, name: &str, bytes: &mut Vec<u8>) -> Result<(), JournalError> {
    storage.read_into(name, bytes).map_err(JournalError::io("read", name))
}

struct Scan<'a> {
    storage: &'a dyn Storage,
    exchange_id: Option<u128>,
    /// Where it begins, if not at the beginning.
    base: Option<Head>,
    visitor: &'a mut dyn Visitor,
    found: Option<Found>,
    bytes: Vec<u8>,
    /// What the mark names as acknowledged.
    mark: u64,
    /// What snapshots prove to be acknowledged.
    taken: u64,
    /// What the names of segments prove to be acknowledged.
    named: u64,
    total: usize,
}

impl Scan<'_> {
    fn segment(&mut self, name: &str, index: usize, mark: &[u8]) -> Result<(), JournalError> {
        let last = index + 1 == self.total;
        read(self.storage, name, &mut self.bytes)?;
        let decoded = SegmentHeader::decode(&self.bytes);
        let mut facts = Facts {
            header: self.header_fact(&decoded, name),
            link: LinkFact::Follows,
            length: LengthFact::Exact,
            flaw: None,
            last,
            acknowledged_beyond: false,
        };
        let header = match (&facts.header, decoded) {
            (HeaderFact::Sound, Ok(header)) => header,
            (_, decoded) => return Err(self.refuse(name, 0, decide(&facts), &decoded)),
        };
        let exchange_id = *self.exchange_id.get_or_insert(header.exchange_id);
        self.mark = self.mark.max(acknowledged::decode(exchange_id, mark)).max(self.taken);
        facts.link = self.link_fact(&header);
        facts.length = match offset_of(self.bytes.len()).cmp(&header.segment_bytes) {
            std::cmp::Ordering::Less => LengthFact::Short,
            std::cmp::Ordering::Equal => LengthFact::Exact,
            std::cmp::Ordering::Greater => LengthFact::Long,
        };
        if facts.link != LinkFact::Follows || facts.length == LengthFact::Long {
            return Err(self.refuse(name, 0, decide(&facts), &Ok(header)));
        }
        let (walk, records, batches) = self.walk(&header)?;
        self.note(&header, &walk, records, batches);
        facts.flaw = walk.flaw.map(|(_, flaw)| flaw);
        facts.acknowledged_beyond = last && self.acknowledged(&header, &walk) > walk.head.stamp.seq;
        let decision = decide(&facts);
        let tail_flaw = match decision {
            Decision::Accept => None,
            Decision::CutTail => facts.flaw,
            Decision::Extend => Some(Flaw::FileShort),
            Decision::RefuseVersion | Decision::RefuseExchange | Decision::Refuse(_) => {
                let offset = walk.flaw.map_or(walk.end, |(offset, _)| offset);
                return Err(self.refuse(name, offset, decision, &Ok(header)));
            }
        };
        self.note_tail(name, &walk, tail_flaw);
        let seq = walk.head.stamp.seq;
        self.visitor.progress(Progress {
            segments_done: offset_of(index + 1),
            segments: offset_of(self.total),
            seq,
        });
        Ok(())
    }

    fn header_fact(&self, decoded: &Result<SegmentHeader, HeaderFlaw>, name: &str) -> HeaderFact {
        match decoded {
            Err(HeaderFlaw::Damaged(flaw)) => HeaderFact::Damaged(*flaw),
            Err(HeaderFlaw::Version(_)) => HeaderFact::Version,
            Ok(header) if self.exchange_id.is_some_and(|it| it != header.exchange_id) => {
                HeaderFact::OtherExchange
            }
            Ok(header) if segment::seq_of_name(name) != Some(header.seq_first) => {
                HeaderFact::Damaged(Flaw::HeaderFields)
            }
            Ok(_) => HeaderFact::Sound,
        }
    }

    fn link_fact(&self, header: &SegmentHeader) -> LinkFact {
        let genesis = Head::genesis(header.exchange_id);
        let begin = self.base.unwrap_or(genesis);
        let before = self.found.as_ref().map_or(begin, |it| it.head);
        if self.found.is_none() && header.predecessor.stamp.seq < begin.stamp.seq {
            // The base lies in this segment: the walk comes by it.
            return LinkFact::Follows;
        }
        match header.predecessor.stamp.seq.cmp(&before.stamp.seq) {
            std::cmp::Ordering::Greater => LinkFact::Gap,
            std::cmp::Ordering::Less => LinkFact::Overlap,
            std::cmp::Ordering::Equal if header.predecessor == before => LinkFact::Follows,
            std::cmp::Ordering::Equal => LinkFact::OtherHistory,
        }
    }

    fn walk(&mut self, header: &SegmentHeader) -> Result<(Walk, u64, u64), JournalError> {
        let (mut records, mut batches) = (0, 0);
        let visitor = &mut *self.visitor;
        let base = self.base.map_or(0, |it| it.stamp.seq);
        let mut known = self.mark.max(self.found.as_ref().map_or(0, |it| it.acknowledged_seq));
        let walk = segment::walk(header, &self.bytes, |batch, end| {
            records += offset_of(batch.len());
            batches += 1;
            let mut new = batch.iter().filter(|it| it.stamp.seq > base);
            new.try_for_each(|record| visitor.record(record))?;
            known = known.max(end.acknowledged_seq);
            visitor.acknowledged(known)
        })?;
        Ok((walk, records, batches))
    }

    fn note(&mut self, header: &SegmentHeader, walk: &Walk, records: u64, batches: u64) {
        let before = self.found.take();
        let sum = |past: fn(&Found) -> u64| before.as_ref().map_or(0, past);
        self.found = Some(Found {
            exchange_id: header.exchange_id,
            begins_after: before.as_ref().map_or(header.predecessor.stamp.seq, |it| it.begins_after),
            segments: sum(|it| it.segments) + 1,
            records: sum(|it| it.records) + records,
            batches: sum(|it| it.batches) + batches,
            head: walk.head,
            acknowledged_seq: sum(|it| it.acknowledged_seq).max(walk.acknowledged_seq),
            tail: None,
            last: header.clone(),
            end: walk.end,
        });
    }

    /// The greatest acknowledged number by every witness, the bytes after the walk included.
    fn acknowledged(&mut self, header: &SegmentHeader, walk: &Walk) -> u64 {
        let end = frame::index_of(walk.end);
        let beyond = match walk.flaw {
            Some(_) => frame::acknowledged_beyond(&self.bytes, end, header.salt()).unwrap_or(0),
            // Blank to the end: no batch end can lie there.
            None => 0,
        };
        let found = self.found.as_mut().expect("the segment was noted before");
        found.acknowledged_seq = found.acknowledged_seq.max(beyond).max(self.mark);
        found.acknowledged_seq
    }

    fn note_tail(&mut self, name: &str, walk: &Walk, flaw: Option<Flaw>) {
        let Some(flaw) = flaw else { return };
        let end = frame::index_of(walk.end);
        let used = self.bytes.iter().rposition(|it| *it != 0).map_or(0, |it| it + 1);
        let found = self.found.as_mut().expect("the segment was noted before");
        found.tail = Some(Tail {
            segment: name.to_owned(),
            offset: walk.end,
            bytes: offset_of(used.saturating_sub(end)),
            seq: walk.head.stamp.seq + 1,
            flaw,
            quarantine: None,
        });
    }

    fn refuse(
        &self,
        name: &str,
        offset: u64,
        decision: Decision,
        decoded: &Result<SegmentHeader, HeaderFlaw>,
    ) -> JournalError {
        let segment = name.to_owned();
        let seq = self.found.as_ref().map_or(0, |it| it.head.stamp.seq) + 1;
        let known = self.found.as_ref().map_or(0, |it| it.acknowledged_seq).max(self.named).max(self.mark);
        let damaged = |flaw| {
            let acknowledged_seq = known;
            JournalError::Damaged(Box::new(Damage {
                segment: segment.clone(),
                seq,
                offset,
                flaw,
                acknowledged_seq,
            }))
        };
        match (decision, decoded) {
            (Decision::RefuseVersion, Err(HeaderFlaw::Version(found))) => JournalError::Format {
                segment,
                found: *found,
                oldest: segment::FORMAT_VERSION_OLDEST,
                newest: segment::FORMAT_VERSION,
            },
            (Decision::RefuseExchange, Ok(header)) => JournalError::OtherExchange {
                segment,
                found: header.exchange_id,
                expected: self.exchange_id.unwrap_or_default(),
            },
            (Decision::Refuse(flaw), _) => damaged(flaw),
            (_, _) => damaged(Flaw::HeaderFields),
        }
    }
}

/// Writes the last segment up to its end again, over itself, and syncs it. After a failed sync the system
/// takes the pages for written: they are read back as if they were on the disk, and gone after a power cut.
/// Segments before the last one were synced when the next one began.
fn make_durable(storage: &dyn Storage, found: &Found, bytes: &[u8]) -> Result<(), JournalError> {
    let io = JournalError::io;
    let name = segment::segment_name(found.last.seq_first);
    let mut file = storage.open(&name, false).map_err(io("open", &name))?;
    write_all_at(&mut *file, 0, &bytes[..frame::index_of(found.end)]).map_err(io("write", &name))?;
    file.sync().map_err(io("sync", &name))?;
    storage.sync_names().map_err(io("sync", "the journal directory"))
}

/// Keeps the tail in a file of its own, then blanks it, then both are durable.
fn mend(
    storage: &dyn Storage,
    tail: &mut Tail,
    bytes: &[u8],
    segment_bytes: u64,
) -> Result<(), JournalError> {
    let io = JournalError::io;
    let from = frame::index_of(tail.offset);
    let to = from + frame::index_of(tail.bytes);
    if tail.bytes > 0 {
        let name = quarantine_name(storage, tail.seq, tail.offset)?;
        let mut file = storage.open(&name, true).map_err(io("create", &name))?;
        write_all_at(&mut *file, 0, &bytes[from..to]).map_err(io("write", &name))?;
        file.sync().map_err(io("sync", &name))?;
        storage.sync_names().map_err(io("sync", "the journal directory"))?;
        tail.quarantine = Some(name);
    }
    let name = &tail.segment;
    let mut file = storage.open(name, false).map_err(io("open", name))?;
    let blank_to = if offset_of(bytes.len()) < segment_bytes { segment_bytes } else { offset_of(to) };
    write_zeros(&mut *file, tail.offset, blank_to).map_err(io("write", name))?;
    file.sync().map_err(io("sync", name))
}

/// A name that is free: what an earlier recovery cut at the same place is kept too.
pub(crate) fn quarantine_name(storage: &dyn Storage, seq: u64, offset: u64) -> Result<String, JournalError> {
    let names = storage.list().map_err(JournalError::io("list", "the journal directory"))?;
    let taken = |name: &String| names.iter().any(|it| it == name);
    let mut count = 1u64;
    loop {
        let name = format!("cut-{seq:020}-at-{offset}-{count}.quarantine");
        if !taken(&name) {
            return Ok(name);
        }
        count += 1;
    }
}

#[cfg(test)]
mod tests;
