//! Takes the end of a journal away, keeping what is taken: a node that comes back gives up what no
//! other node has and nobody was told of.
//!
//! Whole segments are renamed, newest first; the segment in which the cut falls is written anew beside
//! the old one and replaces it at once. So a power cut at any moment leaves a journal that ends at the
//! cut, or at some whole batch after it, and never one that ends before it.
//!
//! # Deliberately absent
//!
//! - **The decision.** Whether the end may be taken is [`crate::node`]'s to say; here it is only
//!   checked once more that none of it is known to be acknowledged.

use crate::error::JournalError;
use crate::frame::{self, BatchEnd, Head, index_of, offset_of};
use crate::recovery::quarantine_name;
use crate::segment::{self, SegmentHeader};
use crate::storage::{Storage, write_all_at, write_zeros};

/// The segment that takes the place of the one in which the cut falls, while it is written.
pub(crate) const REPLACEMENT_NAME: &str = "cut.replacement";

/// Where the journal ends after a cut.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) header: SegmentHeader,
    pub(crate) end: u64,
    pub(crate) head: Head,
}

/// Cuts everything after record `seq`, which the journal holds (or the beginning, 0).
pub(crate) fn cut(storage: &dyn Storage, seq: u64, acknowledged_seq: u64) -> Result<End, JournalError> {
    assert!(seq >= acknowledged_seq, "nothing that was acknowledged is ever cut");
    let io = JournalError::io;
    let names = storage.list().map_err(io("list", &storage.place()))?;
    let mut segments: Vec<(u64, &String)> =
        names.iter().filter_map(|it| Some((segment::seq_of_name(it)?, it))).collect();
    while let Some((seq_first, name)) = segments.last().copied()
        && seq_first > seq + 1
    {
        // A segment's number is one after its predecessor's: this one begins after the cut.
        let kept = quarantine_name(storage, seq_first, 0)?;
        storage.rename(name, &kept).map_err(io("rename", name))?;
        storage.sync_names().map_err(io("sync", "the journal directory"))?;
        segments.pop();
    }
    let (_, name) = segments.last().ok_or_else(|| JournalError::NotFound { place: storage.place() })?;
    let bytes = storage.read(name).map_err(io("read", name))?;
    shorten(storage, name, &bytes, seq, acknowledged_seq)
}

fn shorten(
    storage: &dyn Storage,
    name: &str,
    bytes: &[u8],
    seq: u64,
    acknowledged_seq: u64,
) -> Result<End, JournalError> {
    let io = JournalError::io;
    let header = SegmentHeader::decode(bytes).expect("the segment was believed when it was opened");
    let (mut end, mut head) = (offset_of(segment::HEADER_BYTES), header.predecessor);
    let mut partial = Vec::new();
    let walked = segment::walk(&header, bytes, |batch, _| {
        let last = batch.last().map_or(0, |it| it.stamp.seq);
        if last <= seq {
            let record = batch.last().expect("a batch has a record");
            let bytes: usize = batch.iter().map(|it| frame::record_bytes(it.payload.len())).sum();
            end += offset_of(bytes + frame::FRAME_BYTES);
            head = Head { stamp: record.stamp, chain: record.chain };
            return Ok(());
        }
        partial.extend(batch.iter().filter(|it| it.stamp.seq <= seq).copied());
        Err(())
    });
    if walked.is_ok() && head.stamp.seq == seq {
        // An earlier cut has come so far already.
        return Ok(End { header, end, head });
    }
    let used = offset_of(bytes.iter().rposition(|it| *it != 0).map_or(0, |it| it + 1));
    keep(storage, seq + 1, end, &bytes[index_of(end)..index_of(used.max(end))])?;
    let mut tail = Vec::new();
    for record in &partial {
        let part = (record.kind, record.payload);
        head = frame::put_record(&mut tail, end, header.salt(), &head, record.stamp, part);
    }
    if let Some(records) = u32::try_from(partial.len()).ok().filter(|it| *it > 0) {
        let batch = BatchEnd {
            records,
            bytes: u32::try_from(tail.len()).expect("bounded by the segment"),
            epoch: head.stamp.epoch,
            seq_last: head.stamp.seq,
            acknowledged_seq: acknowledged_seq.min(seq - 1),
            chain: head.chain,
        };
        let start = tail.len();
        tail.resize(start + frame::FRAME_BYTES, 0);
        frame::put_batch_end(&mut tail[start..], end + offset_of(start), header.salt(), &batch);
    }
    assert!(head.stamp.seq == seq, "the journal holds the record after which it is cut");
    if storage.list().map_err(io("list", &storage.place()))?.iter().any(|it| it == REPLACEMENT_NAME) {
        storage.remove(REPLACEMENT_NAME).map_err(io("remove", REPLACEMENT_NAME))?;
    }
    let mut file = storage.open(REPLACEMENT_NAME, true).map_err(io("create", REPLACEMENT_NAME))?;
    let written = write_all_at(&mut *file, 0, &bytes[..index_of(end)])
        .and_then(|()| write_all_at(&mut *file, end, &tail))
        .and_then(|()| write_zeros(&mut *file, end + offset_of(tail.len()), header.segment_bytes))
        .and_then(|()| file.sync());
    written.map_err(io("write", REPLACEMENT_NAME))?;
    storage.replace(REPLACEMENT_NAME, name).map_err(io("replace", name))?;
    storage.sync_names().map_err(io("sync", "the journal directory"))?;
    Ok(End { header, end: end + offset_of(tail.len()), head })
}

/// Keeps the bytes in a file of their own.
fn keep(storage: &dyn Storage, seq: u64, offset: u64, bytes: &[u8]) -> Result<(), JournalError> {
    let io = JournalError::io;
    let name = quarantine_name(storage, seq, offset)?;
    let mut file = storage.open(&name, true).map_err(io("create", &name))?;
    write_all_at(&mut *file, 0, bytes).map_err(io("write", &name))?;
    file.sync().map_err(io("sync", &name))?;
    storage.sync_names().map_err(io("sync", "the journal directory"))
}
