//! One file of the journal: its name, its header, and a walk over its batches.
//!
//! A segment is written with zeros up to its full length before it takes its name, so that an append
//! changes no metadata and cannot meet a full disk. The walk believes only whole batches: records
//! are handed on when the end of their batch has been seen, and never before.

use crate::error::Flaw;
use crate::frame::{self, BatchEnd, FRAME_BYTES, Frame, Head, Record, Salt, Stamp, array};

/// Bytes of a segment before its first record: one sector, so that no record shares it.
pub const HEADER_BYTES: usize = 512;
/// Version that this release writes.
pub const FORMAT_VERSION: u16 = 1;
/// Oldest version that this release reads.
pub const FORMAT_VERSION_OLDEST: u16 = 1;
/// Shortest segment: the header and room for a batch of one small record.
pub const SEGMENT_BYTES_MIN: u64 = 1_024;
/// Longest segment: recovery reads one into memory at a time.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Longest build id kept in a header, bytes.
pub const BUILD_BYTES_MAX: usize = 64;

const MAGIC: [u8; 8] = *b"MERITJNL";
const HEADER_USED_BYTES: usize = 176;

/// The header of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Format version.
    pub version: u16,
    /// Which exchange's history this is.
    pub exchange_id: u128,
    /// Sequence number of the first record that the segment may hold.
    pub seq_first: u64,
    /// Length of the file, bytes.
    pub segment_bytes: u64,
    /// Head of the history before it.
    pub predecessor: Head,
    /// The release that began the segment, at most [`BUILD_BYTES_MAX`] bytes.
    pub build: String,
}

/// Why a header is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFlaw {
    /// The bytes are damaged.
    Damaged(Flaw),
    /// Whole, but of a version that this release does not read.
    Version(u16),
}

impl SegmentHeader {
    /// The first sector of the segment.
    ///
    /// # Panics
    ///
    /// If the build id is longer than [`BUILD_BYTES_MAX`].
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&512u16.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.exchange_id.to_le_bytes());
        out.extend_from_slice(&self.seq_first.to_le_bytes());
        out.extend_from_slice(&self.segment_bytes.to_le_bytes());
        out.extend_from_slice(&self.predecessor.chain.to_le_bytes());
        out.extend_from_slice(&self.predecessor.stamp.seq.to_le_bytes());
        out.extend_from_slice(&self.predecessor.stamp.time_us.to_le_bytes());
        out.extend_from_slice(&self.predecessor.stamp.epoch.to_le_bytes());
        let build = self.build.as_bytes();
        assert!(build.len() <= BUILD_BYTES_MAX, "the build id is bounded when the journal is opened");
        let length = u32::try_from(build.len()).expect("bounded above");
        out.extend_from_slice(&length.to_le_bytes());
        out.resize(HEADER_USED_BYTES - BUILD_BYTES_MAX, 0);
        out.extend_from_slice(build);
        out.resize(HEADER_BYTES, 0);
        let crc = header_checksum(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        array(&out, 0)
    }

    /// Reads the first sector of a segment.
    ///
    /// # Errors
    ///
    /// The flaw. The magic, the version and the checksum over the first sector stay where they are
    /// in every version, so damage and a foreign version are told apart.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderFlaw> {
        let sector = bytes.get(..HEADER_BYTES).ok_or(HeaderFlaw::Damaged(Flaw::HeaderShort))?;
        if sector[..8] != MAGIC {
            return Err(HeaderFlaw::Damaged(Flaw::HeaderMagic));
        }
        if header_checksum(sector) != u32::from_le_bytes(array(sector, 12)) {
            return Err(HeaderFlaw::Damaged(Flaw::HeaderChecksum));
        }
        let version = u16::from_le_bytes(array(sector, 8));
        if !(FORMAT_VERSION_OLDEST..=FORMAT_VERSION).contains(&version) {
            return Err(HeaderFlaw::Version(version));
        }
        let fields = HeaderFlaw::Damaged(Flaw::HeaderFields);
        let length = usize::try_from(u32::from_le_bytes(array(sector, 84))).map_err(|_| fields)?;
        let build_at = HEADER_USED_BYTES - BUILD_BYTES_MAX;
        let build = sector[build_at..HEADER_USED_BYTES].get(..length).ok_or(fields)?;
        let stamp = Stamp {
            seq: u64::from_le_bytes(array(sector, 64)),
            time_us: i64::from_le_bytes(array(sector, 72)),
            epoch: u32::from_le_bytes(array(sector, 80)),
        };
        let header = Self {
            version,
            exchange_id: u128::from_le_bytes(array(sector, 16)),
            seq_first: u64::from_le_bytes(array(sector, 32)),
            segment_bytes: u64::from_le_bytes(array(sector, 40)),
            predecessor: Head { stamp, chain: u128::from_le_bytes(array(sector, 48)) },
            build: String::from_utf8(build.to_vec()).map_err(|_| fields)?,
        };
        // Every field is canonical: what this release would not write, it does not read.
        if header.encode() == *sector && header.is_sound() { Ok(header) } else { Err(fields) }
    }

    fn is_sound(&self) -> bool {
        (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes)
            && self.predecessor.stamp.seq.checked_add(1) == Some(self.seq_first)
    }

    pub(crate) fn salt(&self) -> Salt {
        Salt::new(self.exchange_id, self.seq_first)
    }
}

fn header_checksum(sector: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&sector[..12]);
    crc32c::crc32c_append(crc, &sector[16..])
}

/// The name of the segment that begins with a record.
#[must_use]
pub fn segment_name(seq_first: u64) -> String {
    format!("segment-{seq_first:020}.merit")
}

/// The first record of the segment of that name; nothing if it is not a segment's name.
#[must_use]
pub fn seq_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("segment-")?.strip_suffix(".merit")?;
    let seq = digits.parse().ok()?;
    (segment_name(seq) == name).then_some(seq)
}

/// Where a walk over a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Head after the last whole batch.
    pub head: Head,
    /// Offset after the last whole batch.
    pub end: u64,
    /// The greatest sequence number that whole batches name as acknowledged.
    pub acknowledged_seq: u64,
    /// What stopped the walk, and at which offset; nothing if only blank space follows.
    pub flaw: Option<(u64, Flaw)>,
}

/// Walks the batches of a segment whose header was believed, and hands on whole ones.
///
/// # Errors
///
/// What `visit` returns; the walk ends there.
pub fn walk<'a, E>(
    header: &SegmentHeader,
    segment: &'a [u8],
    visit: impl FnMut(&[Record<'a>], &BatchEnd) -> Result<(), E>,
) -> Result<Walk, E> {
    walk_from(header, segment, HEADER_BYTES, header.predecessor, visit)
}

/// As [`walk`], from a place where a batch begins and the head of the history before it.
///
/// # Errors
///
/// What `visit` returns; the walk ends there.
pub fn walk_from<'a, E>(
    header: &SegmentHeader,
    segment: &'a [u8],
    from: usize,
    before: Head,
    mut visit: impl FnMut(&[Record<'a>], &BatchEnd) -> Result<(), E>,
) -> Result<Walk, E> {
    let salt = header.salt();
    let mut done = Walk { head: before, end: frame::offset_of(from), acknowledged_seq: 0, flaw: None };
    let mut batch: Vec<Record<'a>> = Vec::new();
    let mut head = done.head;
    let mut at = from;
    loop {
        match step(segment, at, salt, &head, &batch, done.end) {
            Ok(Frame::Record(record)) => {
                head = Head { stamp: record.stamp, chain: record.chain };
                at += frame::record_bytes(record.payload.len());
                batch.push(record);
            }
            Ok(Frame::BatchEnd(end)) => {
                visit(&batch, &end)?;
                batch.clear();
                at += FRAME_BYTES;
                done.head = head;
                done.end = frame::offset_of(at);
                done.acknowledged_seq = done.acknowledged_seq.max(end.acknowledged_seq);
            }
            Ok(Frame::Blank) => return Ok(done),
            Err(flaw) => {
                done.flaw = Some((frame::offset_of(at), flaw));
                return Ok(done);
            }
        }
    }
}

/// Reads one frame and judges it against what came before.
// In place, with what it calls: a record that is returned in memory is waited for there.
#[inline(always)]
fn step<'a>(
    segment: &'a [u8],
    at: usize,
    salt: Salt,
    head: &Head,
    batch: &[Record<'_>],
    batch_at: u64,
) -> Result<Frame<'a>, Flaw> {
    let found = frame::read_frame(segment, at, salt)?;
    match &found {
        Frame::Record(record) => frame::check_follows(head, record)?,
        Frame::BatchEnd(end) => {
            let agrees = u32::try_from(batch.len()) == Ok(end.records)
                && end.records > 0
                && u64::from(end.bytes) == frame::offset_of(at) - batch_at
                && end.seq_last == head.stamp.seq
                && end.epoch == head.stamp.epoch
                && end.chain == head.chain
                && end.acknowledged_seq < end.seq_last;
            if !agrees {
                return Err(Flaw::BatchEnd);
            }
        }
        Frame::Blank if !batch.is_empty() => return Err(Flaw::BatchOpen),
        Frame::Blank => {
            if !is_blank(&segment[at..]) {
                return Err(Flaw::FramePadding);
            }
        }
    }
    Ok(found)
}

/// Whether all bytes are zero. Compares in pages: a segment that has hardly begun is mostly blank.
fn is_blank(bytes: &[u8]) -> bool {
    const PAGE: [u8; 4_096] = [0; 4_096];
    bytes.chunks(PAGE.len()).all(|chunk| *chunk == PAGE[..chunk.len()])
}
