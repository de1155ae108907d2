//! Records and batch ends as bytes: what one entry of the journal looks like on the disk.
//!
//! FORMAT.md draws the layout. This file and `segment.rs` are the only ones that know it.
//!
//! # Deliberately absent
//!
//! - **Meaning.** A payload is opaque here; `record.rs` knows commands.
//! - **IO.** Bytes in, bytes out.

use crate::error::Flaw;
use xxhash_rust::xxh3::xxh3_128;

/// Bytes of a record before its payload, and of a batch end.
pub const FRAME_BYTES: usize = 56;
/// Frames begin at multiples of this many bytes.
pub const ALIGN_BYTES: usize = 8;
const RECORD_MAGIC: [u8; 4] = *b"MREC";
const BATCH_END_MAGIC: [u8; 4] = *b"MEND";
const RECORD_WORD: u32 = u32::from_le_bytes(RECORD_MAGIC);
const BATCH_END_WORD: u32 = u32::from_le_bytes(BATCH_END_MAGIC);

/// The place of a command in history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Sequence number, from 1, gapless. 0 before the first record.
    pub seq: u64,
    /// Which primary wrote it; never decreases.
    pub epoch: u32,
    /// Journaled time, microseconds since 1970-01-01T00:00:00Z; never decreases.
    pub time_us: i64,
}

/// The end of a history: the last record's place and the chain over everything up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Place of the last record.
    pub stamp: Stamp,
    /// Chain over all records up to it.
    pub chain: u128,
}

impl Head {
    /// The head of an exchange that has no history yet.
    #[must_use]
    pub fn genesis(exchange_id: u128) -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(b"merit journal v1");
        bytes[16..].copy_from_slice(&exchange_id.to_le_bytes());
        let stamp = Stamp { seq: 0, epoch: 0, time_us: i64::MIN };
        Self { stamp, chain: xxh3_128(&bytes) }
    }
}

/// One record, borrowed from the bytes of its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place.
    pub stamp: Stamp,
    /// What kind of command it holds.
    pub kind: u16,
    /// The command's bytes.
    pub payload: &'a [u8],
    /// Chain over all records up to this one.
    pub chain: u128,
    /// Byte offset in its segment.
    pub offset: u64,
}

/// The end of a batch. Its records are history from here on, and not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchEnd {
    /// Records in the batch.
    pub records: u32,
    /// Bytes from the first record to this mark.
    pub bytes: u32,
    /// Epoch of the writer.
    pub epoch: u32,
    /// Sequence number of the last record of the batch.
    pub seq_last: u64,
    /// The greatest sequence number that was durable and acknowledged when this was written.
    pub acknowledged_seq: u64,
    /// Chain of the last record of the batch.
    pub chain: u128,
}

/// What begins at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Record(Record<'a>),
    BatchEnd(BatchEnd),
    /// All zeros up to the next frame boundary: nothing was ever written here.
    Blank,
}

/// Ties checksums to their segment and offset, so that bytes that were written elsewhere (an old
/// segment, another exchange, a member's payload) are never mistaken for a record here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Salt(u32);

impl Salt {
    pub(crate) fn new(exchange_id: u128, seq_first: u64) -> Self {
        let crc = crc32c::crc32c(&exchange_id.to_le_bytes());
        Self(crc32c::crc32c_append(crc, &seq_first.to_le_bytes()))
    }

    fn checksum(self, offset: u64, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(after_word(self.0, offset), bytes)
    }
}

/// What `crc32c_append` gives for the eight bytes of a word.
// Asking that for a few bytes costs as much as for a small record, so the word goes through tables. Offsets are below
// 2^32, so half of them stay in a near cache.
#[inline]
fn after_word(crc: u32, word: u64) -> u32 {
    let bytes = (u64::from(!crc) ^ word).to_le_bytes();
    !bytes.iter().zip(&AFTER).fold(0, |crc, (byte, table)| crc ^ table[usize::from(*byte)])
}

/// The remainder that each value of each byte of a word leaves after the last of them, by byte and value.
static AFTER: [[u32; 256]; 8] = {
    /// Castagnoli's polynomial, the lowest power in the highest bit.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut tables = [[0; 256]; 8];
    let (mut value, mut byte) = (0, 0_u32);
    while value < 256 {
        let (mut remainder, mut bits) = (byte, 0);
        let mut at = 8;
        while at > 0 {
            at -= 1;
            bits += 8;
            while bits > 0 {
                remainder = (remainder >> 1) ^ (POLYNOMIAL * (remainder & 1));
                bits -= 1;
            }
            tables[at][value] = remainder;
        }
        value += 1;
        byte += 1;
    }
    tables
};

/// The chain after a record: over the chain before it, its header fields and its payload.
// Word by word: what was just written in small pieces and is read in large ones waits until it has reached the cache.
fn link(before: u128, fields: [u64; FIELDS], payload: &[u8]) -> u128 {
    let mut bytes = [0; 64];
    bytes[..16].copy_from_slice(&before.to_le_bytes());
    let (words, _) = bytes[16..48].as_chunks_mut();
    words.iter_mut().zip(fields).for_each(|(word, it)| *word = it.to_le_bytes());
    bytes[48..].copy_from_slice(&xxh3_128(payload).to_le_bytes());
    xxh3_128(&bytes)
}

/// Words of a record's header that the chain covers: length and kind, number, epoch, time.
const FIELDS: usize = 4;

/// Those of a record.
fn fields((kind, length): (u16, u32), stamp: Stamp) -> [u64; FIELDS] {
    [
        u64::from(length) | u64::from(kind) << 32,
        stamp.seq,
        u64::from(stamp.epoch),
        stamp.time_us.cast_unsigned(),
    ]
}

fn fields_of(head: &[u8; FRAME_BYTES]) -> [u64; FIELDS] {
    std::array::from_fn(|it| u64::from_le_bytes(array(head, 8 + 8 * it)))
}

/// Bytes that a record with a payload of so many bytes takes.
#[must_use]
pub const fn record_bytes(payload_bytes: usize) -> usize {
    FRAME_BYTES + payload_bytes.next_multiple_of(ALIGN_BYTES)
}

/// Appends a record to `out`, whose first byte lies at `base` in the segment, and returns the new
/// head.
pub(crate) fn put_record(
    out: &mut Vec<u8>,
    base: u64,
    salt: Salt,
    before: &Head,
    stamp: Stamp,
    record: (u16, &[u8]),
) -> Head {
    let start = out.len();
    out.resize(start + record_bytes(record.1.len()), 0);
    let whole = &mut out[start..];
    let chain = put_unsealed(whole, before.chain, stamp, record);
    seal(whole, base + offset_of(start), salt, RECORD_MAGIC);
    Head { stamp, chain }
}

/// Writes a record without its checksum over as many bytes as it takes, and returns the chain after it.
// By itself, or a record's checksum waits for its chain, and the next record's chain for its checksum: what a processor
// does side by side is only what it finds within some hundred instructions.
pub(crate) fn put_unsealed(
    out: &mut [u8],
    before: u128,
    stamp: Stamp,
    (kind, payload): (u16, &[u8]),
) -> u128 {
    let length = u32::try_from(payload.len()).expect("the writer bounds payloads by the segment size");
    let fields = fields((kind, length), stamp);
    let chain = link(before, fields, payload);
    let (head, rest) = out.split_at_mut(FRAME_BYTES);
    head[..8].copy_from_slice(&u64::from(RECORD_WORD).to_le_bytes());
    let (words, _) = head[8..40].as_chunks_mut();
    words.iter_mut().zip(fields).for_each(|(word, it)| *word = it.to_le_bytes());
    head[40..].copy_from_slice(&chain.to_le_bytes());
    let (whole, padding) = rest.split_at_mut(payload.len());
    whole.copy_from_slice(payload);
    padding.fill(0);
    chain
}

/// Gives records that were put one after the other, the first of them at `base` in the segment, their checksums.
///
/// # Panics
///
/// If they were not put here.
pub(crate) fn seal_records(records: &mut [u8], base: u64, salt: Salt) {
    let (mut rest, mut offset) = (records, base);
    while !rest.is_empty() {
        let length = usize::try_from(u32::from_le_bytes(array(rest, 8))).expect("it was a length of memory");
        let (record, after) = rest.split_at_mut(record_bytes(length));
        seal(record, offset, salt, RECORD_MAGIC);
        offset += offset_of(record.len());
        rest = after;
    }
}

/// Appends a record as another node would have sent it; returns the head after it.
#[must_use]
pub fn put_record_for_another_node(
    out: &mut Vec<u8>,
    before: &Head,
    stamp: Stamp,
    kind: (u16, &[u8]),
) -> Head {
    put_record(out, 0, Salt::new(0, 0), before, stamp, kind)
}

/// Writes a batch end over its bytes, where they lie at an offset of the segment.
pub(crate) fn put_batch_end(out: &mut [u8], offset: u64, salt: Salt, end: &BatchEnd) {
    out[8..12].copy_from_slice(&end.records.to_le_bytes());
    out[12..16].copy_from_slice(&end.bytes.to_le_bytes());
    out[16..24].copy_from_slice(&end.seq_last.to_le_bytes());
    out[24..32].copy_from_slice(&u64::from(end.epoch).to_le_bytes());
    out[32..40].copy_from_slice(&end.acknowledged_seq.to_le_bytes());
    out[40..].copy_from_slice(&end.chain.to_le_bytes());
    seal(out, offset, salt, BATCH_END_MAGIC);
}

/// Writes the first 8 bytes of a frame, its magic and its checksum; where they stand, the checksum wants its offset.
fn seal(frame: &mut [u8], offset: u64, salt: Salt, magic: [u8; 4]) {
    frame[..8].copy_from_slice(&offset.to_le_bytes());
    let crc = crc32c::crc32c_append(salt.0, frame);
    frame[..4].copy_from_slice(&magic);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// Reads what begins at `at` in the bytes of a segment. A record's place in history and its chain
/// are not judged here.
///
/// # Errors
///
/// The flaw, if it is neither whole nor blank.
#[inline(always)]
pub(crate) fn read_frame(segment: &[u8], at: usize, salt: Salt) -> Result<Frame<'_>, Flaw> {
    let rest = segment.get(at..).unwrap_or(&[]);
    let Some(head) = rest.get(..FRAME_BYTES) else {
        return if rest.iter().all(|it| *it == 0) { Ok(Frame::Blank) } else { Err(Flaw::FrameMagic) };
    };
    let offset = offset_of(at);
    // As one word: four bytes would be compared one after the other.
    match u32::from_le_bytes(array(head, 0)) {
        RECORD_WORD => read_record(rest, offset, salt).map(Frame::Record),
        BATCH_END_WORD => read_batch_end(head, offset, salt).map(Frame::BatchEnd),
        0 if head.iter().all(|it| *it == 0) => Ok(Frame::Blank),
        _ => Err(Flaw::FrameMagic),
    }
}

#[inline(always)]
fn read_record(rest: &[u8], offset: u64, salt: Salt) -> Result<Record<'_>, Flaw> {
    let length = usize::try_from(u32::from_le_bytes(array(rest, 8))).map_err(|_| Flaw::FrameLength)?;
    let whole = rest.get(..record_bytes(length)).ok_or(Flaw::FrameLength)?;
    if salt.checksum(offset, &whole[8..]) != u32::from_le_bytes(array(whole, 4)) {
        return Err(Flaw::FrameChecksum);
    }
    take_record(whole, length, offset)
}

#[inline(always)]
fn take_record(whole: &[u8], length: usize, offset: u64) -> Result<Record<'_>, Flaw> {
    let head = whole.first_chunk().ok_or(Flaw::FrameLength)?;
    let [sizes, seq, epoch, time_us] = fields_of(head);
    let [a, b, c, d, kind_low, kind_high, ..] = sizes.to_le_bytes();
    debug_assert!(usize::try_from(u32::from_le_bytes([a, b, c, d])) == Ok(length), "as it was read");
    let payload = &whole[FRAME_BYTES..];
    let blank = (sizes >> 48) | (epoch >> 32);
    if blank != 0 || payload[length..].iter().any(|byte| *byte != 0) {
        return Err(Flaw::FramePadding);
    }
    let epoch = u32::try_from(epoch).map_err(|_| Flaw::FramePadding)?;
    let stamp = Stamp { seq, epoch, time_us: time_us.cast_signed() };
    let kind = u16::from_le_bytes([kind_low, kind_high]);
    let chain = u128::from_le_bytes(array(whole, 40));
    Ok(Record { stamp, kind, payload: &payload[..length], chain, offset })
}

fn read_batch_end(head: &[u8], offset: u64, salt: Salt) -> Result<BatchEnd, Flaw> {
    if salt.checksum(offset, &head[8..]) != u32::from_le_bytes(array(head, 4)) {
        return Err(Flaw::FrameChecksum);
    }
    if array::<4>(head, 28) != [0; 4] {
        return Err(Flaw::FramePadding);
    }
    Ok(BatchEnd {
        records: u32::from_le_bytes(array(head, 8)),
        bytes: u32::from_le_bytes(array(head, 12)),
        seq_last: u64::from_le_bytes(array(head, 16)),
        epoch: u32::from_le_bytes(array(head, 24)),
        acknowledged_seq: u64::from_le_bytes(array(head, 32)),
        chain: u128::from_le_bytes(array(head, 40)),
    })
}

/// Reads records that were sent from another node, one after the other. Those from its disk have checksums, which belong to
/// the place where they lay there, and those from its memory have none yet; what is held against the head is their chain,
/// which covers all of them.
///
/// # Errors
///
/// The flaw, if they are not the whole successors of the head.
pub fn read_run<'a>(frames: &'a [u8], before: &Head) -> Result<Vec<Record<'a>>, Flaw> {
    let mut records = Vec::new();
    let (mut at, mut head) = (0, *before);
    while at < frames.len() {
        let rest = &frames[at..];
        if rest.len() < FRAME_BYTES || rest[..4] != RECORD_MAGIC {
            return Err(Flaw::FrameMagic);
        }
        let length = usize::try_from(u32::from_le_bytes(array(rest, 8))).map_err(|_| Flaw::FrameLength)?;
        let whole = rest.get(..record_bytes(length)).ok_or(Flaw::FrameLength)?;
        let record = take_record(whole, length, offset_of(at))?;
        check_follows(&head, &record)?;
        head = Head { stamp: record.stamp, chain: record.chain };
        at += whole.len();
        records.push(record);
    }
    Ok(records)
}

/// Whether a record is the successor of a head.
///
/// # Errors
///
/// The flaw, if it is not.
#[inline(always)]
pub(crate) fn check_follows(before: &Head, record: &Record<'_>) -> Result<(), Flaw> {
    let (old, new) = (before.stamp, record.stamp);
    if old.seq.checked_add(1) != Some(new.seq) || new.epoch < old.epoch || new.time_us < old.time_us {
        return Err(Flaw::Order);
    }
    let length = u32::try_from(record.payload.len()).map_err(|_| Flaw::FrameLength)?;
    if link(before.chain, fields((record.kind, length), new), record.payload) == record.chain {
        Ok(())
    } else {
        Err(Flaw::Chain)
    }
}

/// The greatest acknowledged sequence number that any intact batch end in `segment[from..]` names.
pub(crate) fn acknowledged_beyond(segment: &[u8], from: usize, salt: Salt) -> Option<u64> {
    batch_ends_beyond(segment, from, salt).map(|it| it.acknowledged_seq).max()
}

/// The intact batch ends in `segment[from..]`, whatever lies between them.
pub(crate) fn batch_ends_beyond(segment: &[u8], from: usize, salt: Salt) -> impl Iterator<Item = BatchEnd> {
    let places = (from.next_multiple_of(ALIGN_BYTES)..).step_by(ALIGN_BYTES);
    let heads = places.map_while(move |at| Some((at, segment.get(at..at + FRAME_BYTES)?)));
    let ends = heads.filter(|(_, head)| head[..4] == BATCH_END_MAGIC);
    ends.filter_map(move |(at, head)| read_batch_end(head, offset_of(at), salt).ok())
}

/// `N` bytes of a slice that is known to be long enough.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the range has N bytes")
}

/// An index as an offset on the disk.
pub(crate) fn offset_of(index: usize) -> u64 {
    u64::try_from(index).expect("an index into memory fits 64 bits")
}

/// An offset on the disk as an index.
pub(crate) fn index_of(offset: u64) -> usize {
    usize::try_from(offset).expect("a segment is bounded to fit into memory")
}

#[cfg(test)]
mod tests {
    use super::after_word;

    #[test]
    fn a_word_through_tables_leaves_the_checksum_of_its_bytes() {
        let mut crc = 0;
        for step in 0..1_000_u64 {
            let word = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (step % 64);
            let expected = crc32c::crc32c_append(crc, &word.to_le_bytes());
            assert_eq!(after_word(crc, word), expected, "{crc} {word}");
            crc = expected;
        }
    }
}
