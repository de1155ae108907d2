//! Snapshots: the machine's state after a record, so that a start replays only what follows it.
//!
//! A snapshot is a short cut and never the history: it is believed when its checksums hold, its state has the
//! layout of this release, and the journal holds the very record (number and chain) after which it was taken.
//! Otherwise it is passed over for the one before it, and at last for the journal itself. The core never stops
//! for one: [`make`] replays the journal beside it, from the last snapshot on. FORMAT.md draws the bytes.

use crate::core::Apply;
use crate::error::{Flaw, JournalError};
use crate::frame::{Head, Record, Stamp, array, index_of, offset_of};
use crate::machine::{Machine, Silent};
use crate::node::plant;
use crate::recovery::{self, Progress, Visitor};
use crate::replication::lineage::Lineage;
use crate::segment;
use crate::storage::{Storage, StorageFile, write_all_at};
use crossbeam::channel::{self, Receiver, Sender};
use merit_engine::snapshot::{self as state, Keep};
use std::io;
use xxhash_rust::xxh3::Xxh3;

/// Bytes of a snapshot before its first chunk.
pub const HEADER_BYTES: usize = 512;
/// Version of the file format.
const FORMAT_VERSION: u16 = 1;
/// Snapshots that are kept: the newest and, should it turn out to be damaged, one before it.
pub const KEPT: usize = 2;
/// Under this name a snapshot is written.
pub(crate) const PART_NAME: &str = "snapshot.part";

const MAGIC: [u8; 8] = *b"MERITSNP";
const USED_BYTES: usize = 128;
const CHUNK_HEADER_BYTES: usize = 8;
/// A chunk is about a MiB; one that claims to be much longer is damaged.
const CHUNK_BYTES_MAX: u32 = 4 << 20;
/// Chunks that are read ahead of the decoder.
const CHUNKS_AHEAD: usize = 8;
/// Looks at a journal in use before damage in it is believed.
const LOOKS: usize = 3;

/// A machine whose state can be kept as bytes.
pub trait Kept: Machine + Keep + Default {
    /// Layout of the bytes; those of another layout are not read.
    const LAYOUT: u16;

    /// Whether the state can be kept now: no long work is in progress.
    fn rests(&self) -> bool;
}

impl Kept for merit_engine::market::Engine {
    const LAYOUT: u16 = state::VERSION;

    fn rests(&self) -> bool {
        Self::rests(self)
    }
}

/// The first sector of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which exchange's state this is.
    pub exchange_id: u128,
    /// The record after which it was taken.
    pub head: Head,
    /// Layout of the state.
    pub layout: u16,
    /// Digest of the state.
    pub digest: u128,
    /// Bytes of lineage and state, without what frames the chunks.
    pub body_bytes: u64,
    /// XXH3-128 of them.
    pub body_hash: u128,
}

/// A snapshot that was passed over, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The file.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A state to go on from.
#[derive(Debug)]
pub struct Resumed<M> {
    /// The machine as it was after the record.
    pub machine: M,
    /// The record.
    pub head: Head,
    /// The epochs of the history up to it.
    pub lineage: Lineage,
}

/// Name of the snapshot after a record.
#[must_use]
pub fn name(seq: u64) -> String {
    format!("snapshot-{seq:020}.merit")
}

/// The record after which the snapshot of that name was taken; nothing if it is no snapshot's name.
#[must_use]
pub fn seq_of_name(file: &str) -> Option<u64> {
    let seq = file.strip_prefix("snapshot-")?.strip_suffix(".merit")?.parse().ok()?;
    (name(seq) == file).then_some(seq)
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&512u16.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.exchange_id.to_le_bytes());
        out.extend_from_slice(&self.head.stamp.seq.to_le_bytes());
        out.extend_from_slice(&self.head.stamp.time_us.to_le_bytes());
        out.extend_from_slice(&self.head.stamp.epoch.to_le_bytes());
        out.extend_from_slice(&u32::from(self.layout).to_le_bytes());
        out.extend_from_slice(&self.head.chain.to_le_bytes());
        out.extend_from_slice(&self.digest.to_le_bytes());
        out.extend_from_slice(&self.body_hash.to_le_bytes());
        out.extend_from_slice(&self.body_bytes.to_le_bytes());
        out.resize(HEADER_BYTES, 0);
        let crc = header_checksum(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        array(&out, 0)
    }

    fn decode(sector: &[u8; HEADER_BYTES]) -> Result<Self, String> {
        if sector[..8] != MAGIC {
            return Err("it does not begin like a snapshot".to_owned());
        }
        if header_checksum(sector) != u32::from_le_bytes(array(sector, 12)) {
            return Err("its header does not match its checksum".to_owned());
        }
        let version = u16::from_le_bytes(array(sector, 8));
        if version != FORMAT_VERSION {
            return Err(format!("it has format version {version}; this release reads {FORMAT_VERSION}"));
        }
        let fields = "its header contradicts itself";
        let stamp = Stamp {
            seq: u64::from_le_bytes(array(sector, 32)),
            time_us: i64::from_le_bytes(array(sector, 40)),
            epoch: u32::from_le_bytes(array(sector, 48)),
        };
        let layout = u32::from_le_bytes(array(sector, 52));
        let header = Self {
            exchange_id: u128::from_le_bytes(array(sector, 16)),
            head: Head { stamp, chain: u128::from_le_bytes(array(sector, 56)) },
            layout: u16::try_from(layout).map_err(|_| fields)?,
            digest: u128::from_le_bytes(array(sector, 72)),
            body_hash: u128::from_le_bytes(array(sector, 88)),
            body_bytes: u64::from_le_bytes(array(sector, 104)),
        };
        // What this release would not write, it does not read.
        if header.encode() == *sector { Ok(header) } else { Err(fields.to_owned()) }
    }

    fn chunk_checksum(&self, number: u64, bytes: &[u8]) -> u32 {
        let crc = crc32c::crc32c(&self.exchange_id.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &self.head.stamp.seq.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c_append(crc, &number.to_le_bytes()), bytes)
    }
}

const _: () = assert!(USED_BYTES >= 112 && USED_BYTES < HEADER_BYTES);

fn header_checksum(sector: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&sector[..12]), &sector[16..HEADER_BYTES])
}

fn header_in(storage: &dyn Storage, file: &str) -> Result<Header, String> {
    let mut sector = [0; HEADER_BYTES];
    storage.read_at(file, 0, &mut sector).map_err(|error| format!("it cannot be read: {error}"))?;
    Header::decode(&sector)
}

fn header_of(storage: &dyn Storage, name: &str) -> Result<Header, String> {
    let header = header_in(storage, name)?;
    if Some(header.head.stamp.seq) == seq_of_name(name) {
        Ok(header)
    } else {
        Err("its header contradicts its name".to_owned())
    }
}

fn names(storage: &dyn Storage) -> Result<Vec<String>, JournalError> {
    let mut names = storage.list().map_err(JournalError::io("list", &storage.place()))?;
    names.retain(|it| seq_of_name(it).is_some());
    Ok(names)
}

/// Headers of the snapshots in a directory that are whole, oldest first.
///
/// # Errors
///
/// What the system said.
pub fn headers(storage: &dyn Storage) -> Result<Vec<Header>, JournalError> {
    Ok(names(storage)?.iter().filter_map(|it| header_of(storage, it).ok()).collect())
}

/// The newest snapshot after a record up to `seq_max` that can be believed, and those that were passed over.
///
/// # Errors
///
/// What the system said when the directory was read.
pub fn newest<M: Kept>(
    storage: &dyn Storage,
    exchange_id: Option<u128>,
    seq_max: u64,
) -> Result<(Option<Resumed<M>>, Vec<PassedOver>), JournalError> {
    let mut passed_over = Vec::new();
    for name in names(storage)?.into_iter().rev() {
        if seq_of_name(&name).is_some_and(|it| it > seq_max) {
            continue;
        }
        match load(storage, exchange_id, &name) {
            Ok((resumed, _)) => return Ok((Some(resumed), passed_over)),
            Err(reason) => passed_over.push(PassedOver { name, reason }),
        }
    }
    Ok((None, passed_over))
}

/// Reads one snapshot and believes it, or says why not.
fn load<M: Kept>(
    storage: &dyn Storage,
    exchange_id: Option<u128>,
    name: &str,
) -> Result<(Resumed<M>, Header), String> {
    let header = header_of(storage, name)?;
    belongs::<M>(&header, exchange_id)?;
    fits(storage, &header)?;
    Ok((state_of(storage, name, &header)?, header))
}

/// Reads a snapshot that came from another node, whose record this journal does not hold: every check but
/// that one, and its digest, for here is no journal that could show it wrong later.
pub(crate) fn load_foreign<M: Kept>(
    storage: &dyn Storage,
    exchange_id: u128,
    file: &str,
) -> Result<(Resumed<M>, Header), String> {
    let header = foreign_header::<M>(storage, exchange_id, file)?;
    let resumed: Resumed<M> = state_of(storage, file, &header)?;
    right_digest(&resumed.machine, &header)?;
    Ok((resumed, header))
}

/// Whether a snapshot that is coming can be what is wanted, from its header alone: the rest may be long.
pub(crate) fn foreign_header<M: Kept>(
    storage: &dyn Storage,
    exchange_id: u128,
    file: &str,
) -> Result<Header, String> {
    let header = header_in(storage, file)?;
    belongs::<M>(&header, Some(exchange_id)).map(|()| header)
}

fn belongs<M: Kept>(header: &Header, exchange_id: Option<u128>) -> Result<(), String> {
    if exchange_id.is_some_and(|it| it != header.exchange_id) {
        return Err(format!("it is of exchange {:032x}", header.exchange_id));
    }
    if header.layout != M::LAYOUT {
        return Err(format!("its state has layout {}; this release reads {}", header.layout, M::LAYOUT));
    }
    Ok(())
}

fn state_of<M: Kept>(storage: &dyn Storage, file: &str, header: &Header) -> Result<Resumed<M>, String> {
    let (begins, machine): (Vec<(u32, u64)>, M) = body(storage, file, header)?;
    let lineage = Lineage::of(begins).ok_or("its epochs do not increase")?;
    Ok(Resumed { machine, head: header.head, lineage })
}

fn right_digest<M: Kept>(machine: &M, header: &Header) -> Result<(), String> {
    // In full: the sums that the state keeps came with it.
    let (digest, says) = (machine.digest_in_full(), header.digest);
    if digest == says && machine.digest() == says {
        Ok(())
    } else {
        Err(format!("its state has digest {digest:032x}, its header says {says:032x}"))
    }
}

/// The newest snapshot that another node may be given (the one after record `seq`, if that is asked for), and
/// the length of its file: whole, of this release's layout, and the journal goes on from it.
///
/// # Errors
///
/// What the system said when the directory was read.
pub fn offer<M: Kept>(
    storage: &dyn Storage,
    seq: Option<u64>,
) -> Result<Option<(Header, u64)>, JournalError> {
    let mut names = names(storage)?;
    names.retain(|it| seq.is_none() || seq_of_name(it) == seq);
    let whole = |name: &String| {
        let header = header_of(storage, name).ok()?;
        belongs::<M>(&header, None).and_then(|()| fits(storage, &header)).ok()?;
        Some((header, length(storage, name, &header).ok()?))
    };
    Ok(names.iter().rev().find_map(whole))
}

/// Checks every byte of a snapshot without decoding it, and returns its length.
fn length(storage: &dyn Storage, name: &str, header: &Header) -> Result<u64, String> {
    let (chunks, coming) = channel::bounded::<Vec<u8>>(CHUNKS_AHEAD);
    let (spent, empty) = channel::unbounded();
    let reader = storage.reader();
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read_chunks(&*reader, name, header, &chunks, &empty));
        for chunk in coming {
            // The reader may have ended.
            drop(spent.send(chunk));
        }
        reading.join().map_err(|_| "it could not be read")?
    })
}

/// Heads of the snapshots of whose records the journal holds the very one, oldest first: from each of them it
/// can be read.
pub(crate) fn bases(storage: &dyn Storage) -> Result<Vec<Head>, JournalError> {
    Ok(headers(storage)?.iter().filter(|it| fits(storage, it).is_ok()).map(|it| it.head).collect())
}

/// Does something with a journal from its first record on, or, if its beginning is not here, from the oldest
/// snapshot after which all of it is.
pub(crate) fn from_where_it_begins<T>(
    storage: &dyn Storage,
    mut read: impl FnMut(Option<Head>) -> Result<T, JournalError>,
) -> Result<T, JournalError> {
    let lacks = |result: &Result<T, JournalError>| matches!(result, Err(JournalError::Damaged(it)) if it.flaw == Flaw::SegmentMissing);
    let mut result = read(None);
    if lacks(&result) {
        for base in bases(storage)? {
            result = read(Some(base));
            if !lacks(&result) {
                break;
            }
        }
    }
    result
}

/// The machine after a record (after the last one if none is named), from the newest snapshot up to it and the
/// records that follow.
///
/// # Errors
///
/// As [`recovery::scan_after`], and [`JournalError::Undecodable`].
pub fn machine_at<M: Kept>(
    storage: &dyn Storage,
    seq_last: Option<u64>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(M, recovery::Found), JournalError> {
    let seq_last = seq_last.unwrap_or(u64::MAX);
    let (resumed, _) = newest::<M>(storage, None, seq_last)?;
    let base = resumed.as_ref().map(|it| it.head);
    let resumed = resumed.unwrap_or_else(fresh);
    let mut until = Until { resumed, due_seq: u64::MAX, acknowledged_seq: seq_last, found: false, progress };
    let found = recovery::scan_after(storage, None, base, &mut until)?;
    Ok((until.resumed.machine, found))
}

fn fresh<M: Kept>() -> Resumed<M> {
    let head = Head { stamp: Stamp::default(), chain: 0 };
    Resumed { machine: M::default(), head, lineage: Lineage::default() }
}

/// Whether the journal holds the record after which a snapshot was taken, or begins right after it.
fn fits(storage: &dyn Storage, header: &Header) -> Result<(), String> {
    let seq = header.head.stamp.seq;
    let names = storage.list().map_err(|error| error.to_string())?;
    let firsts = names.iter().filter_map(|it| segment::seq_of_name(it));
    // A segment that begins after the record names it as its predecessor.
    let first = firsts.filter(|it| *it <= seq + 1).max();
    let first = first.ok_or_else(|| format!("the journal lacks the segments from record {} on", seq + 1))?;
    let name = segment::segment_name(first);
    let bytes = storage.read(&name).map_err(|error| format!("{name} cannot be read: {error}"))?;
    let whole = segment::SegmentHeader::decode(&bytes).ok();
    let whole = whole.filter(|it| it.exchange_id == header.exchange_id);
    let journal = whole.ok_or_else(|| format!("the header of {name} is damaged or of another exchange"))?;
    let mut found = Some(journal.predecessor).filter(|it| it.stamp.seq == seq);
    let walked: Result<_, ()> = segment::walk(&journal, &bytes, |records, _| {
        let record = records.iter().find(|it| it.stamp.seq == seq);
        found = found.or(record.map(|it| Head { stamp: it.stamp, chain: it.chain }));
        if found.is_some() { Err(()) } else { Ok(()) }
    });
    // Where the walk ended is of no interest: found or not.
    let _ = walked;
    match found {
        Some(found) if found == header.head => Ok(()),
        Some(_) => Err(format!("record {seq} of the journal is another one: it belongs to another history")),
        None => Err(format!("the journal holds no whole record {seq}")),
    }
}

/// Decodes the body while another thread reads ahead and checks.
fn body<T: Keep>(storage: &dyn Storage, name: &str, header: &Header) -> Result<T, String> {
    let reader = storage.reader();
    std::thread::scope(|scope| {
        let (chunks, coming) = channel::bounded::<Vec<u8>>(CHUNKS_AHEAD);
        // Read chunks go back: fresh memory for each costs more than reading it.
        let (spent, empty) = channel::unbounded();
        let carry = plant::carried();
        let reading = scope.spawn(move || {
            carry();
            read_chunks(&*reader, name, header, &chunks, &empty)
        });
        let mut source = |into: &mut Vec<u8>| match coming.recv() {
            Ok(mut chunk) => {
                if into.is_empty() {
                    std::mem::swap(into, &mut chunk);
                } else {
                    into.extend_from_slice(&chunk);
                }
                // The reader may have ended.
                drop(spent.send(chunk));
                true
            }
            Err(_) => false,
        };
        let decoded = state::take(header.body_bytes, &mut source);
        // The reader must not wait for a place in a channel that nobody empties.
        drop(coming);
        let read = reading.join().map_err(|_| "it could not be read")?;
        // What the bytes on the disk are comes before what they mean.
        read.and_then(|_| decoded.map_err(|damaged| damaged.to_string()))
    })
}

/// Hands on the chunks whose checksums hold, and says where they end if they are all that there should be.
fn read_chunks(
    storage: &dyn Storage,
    name: &str,
    header: &Header,
    chunks: &Sender<Vec<u8>>,
    empty: &Receiver<Vec<u8>>,
) -> Result<u64, String> {
    let (mut at, mut left) = (offset_of(HEADER_BYTES), header.body_bytes);
    let mut hash = Xxh3::new();
    let mut number = 0;
    while left > 0 {
        let mut frame = [0; CHUNK_HEADER_BYTES];
        let torn = |error: io::Error| format!("it ends or cannot be read at byte {at}: {error}");
        storage.read_at(name, at, &mut frame).map_err(torn)?;
        let length = u32::from_le_bytes(array(&frame, 0));
        if length == 0 || length > CHUNK_BYTES_MAX || u64::from(length) > left {
            return Err(format!("the chunk at byte {at} has an impossible length of {length}"));
        }
        let mut chunk = empty.try_recv().unwrap_or_default();
        chunk.resize(index_of(u64::from(length)), 0);
        storage.read_at(name, at + offset_of(CHUNK_HEADER_BYTES), &mut chunk).map_err(torn)?;
        let holds = header.chunk_checksum(number, &chunk) == u32::from_le_bytes(array(&frame, 4));
        if !holds && !plant::fetches_unchecked() {
            return Err(format!("the chunk at byte {at} does not match its checksum"));
        }
        hash.update(&chunk);
        at += offset_of(CHUNK_HEADER_BYTES) + u64::from(length);
        left -= u64::from(length);
        number += 1;
        if chunks.send(chunk).is_err() {
            // The decoder has given up, and says why.
            return Ok(at);
        }
    }
    if storage.read_at(name, at, &mut [0]).is_ok() {
        return Err(format!("bytes follow its end at byte {at}"));
    }
    if hash.digest128() == header.body_hash || plant::fetches_unchecked() {
        Ok(at)
    } else {
        Err("it does not match its hash".to_owned())
    }
}

/// Writes chunks, one behind the other.
struct Chunks {
    file: Box<dyn StorageFile>,
    header: Header,
    at: u64,
    number: u64,
    hash: Xxh3,
    result: io::Result<()>,
}

impl Chunks {
    fn write(&mut self, bytes: &[u8]) {
        if self.result.is_err() {
            return;
        }
        let length = u32::try_from(bytes.len()).expect("a piece is about a MiB");
        assert!(length <= CHUNK_BYTES_MAX, "a piece is about a MiB");
        let crc = self.header.chunk_checksum(self.number, bytes);
        let mut chunk = Vec::with_capacity(CHUNK_HEADER_BYTES + bytes.len());
        chunk.extend_from_slice(&length.to_le_bytes());
        chunk.extend_from_slice(&crc.to_le_bytes());
        chunk.extend_from_slice(bytes);
        self.result = write_all_at(&mut *self.file, self.at, &chunk);
        self.hash.update(bytes);
        self.at += offset_of(chunk.len());
        self.header.body_bytes += u64::from(length);
        self.number += 1;
    }
}

fn put_body<M: Kept>(lineage: &Lineage, machine: &M, sink: &mut dyn FnMut(&[u8])) {
    state::put(&lineage.begins().to_vec(), sink);
    state::put(machine, sink);
}

/// Writes the snapshot of a machine that rests, and forgets those before the last [`KEPT`].
///
/// # Errors
///
/// What the system said; the name exists only when all of it is durable.
pub fn write<M: Kept>(
    storage: &dyn Storage,
    exchange_id: u128,
    resumed: &Resumed<M>,
) -> Result<Header, JournalError> {
    let io = JournalError::io;
    let Resumed { machine, head, lineage } = resumed;
    let (head, digest) = (*head, machine.digest());
    let header = Header { exchange_id, head, layout: M::LAYOUT, digest, body_bytes: 0, body_hash: 0 };
    let name = name(head.stamp.seq);
    discard_part(storage)?;
    let file = storage.open(PART_NAME, true).map_err(io("create", PART_NAME))?;
    let at = offset_of(HEADER_BYTES);
    let mut chunks = Chunks { file, header, at, number: 0, hash: Xxh3::new(), result: Ok(()) };
    put_body(lineage, machine, &mut |piece| chunks.write(piece));
    let Chunks { mut file, mut header, hash, result, .. } = chunks;
    result.map_err(io("write", PART_NAME))?;
    header.body_hash = hash.digest128();
    write_all_at(&mut *file, 0, &header.encode()).map_err(io("write", PART_NAME))?;
    file.sync().map_err(io("sync", PART_NAME))?;
    storage.replace(PART_NAME, &name).map_err(io("name", &name))?;
    storage.sync_names().map_err(io("sync", "the journal directory"))?;
    let names = names(storage)?;
    for old in &names[..names.len().saturating_sub(KEPT)] {
        storage.remove(old).map_err(io("remove", old))?;
    }
    storage.sync_names().map_err(io("sync", "the journal directory"))?;
    Ok(header)
}

/// Removes what an interrupted writing left.
pub(crate) fn discard_part(storage: &dyn Storage) -> Result<(), JournalError> {
    let names = storage.list().map_err(JournalError::io("list", &storage.place()))?;
    if names.iter().any(|it| it == PART_NAME) {
        storage.remove(PART_NAME).map_err(JournalError::io("remove", PART_NAME))?;
    }
    Ok(())
}

/// The record at or after which the next snapshot is due in a journal whose acknowledged part ends with
/// `head_seq`: a multiple of `every`, so that two nodes take theirs after the same records.
#[must_use]
pub fn due(head_seq: u64, every: u64) -> u64 {
    head_seq / every.max(1) * every.max(1)
}

/// Replays the journal from its newest snapshot to the first record at or after `due_seq` at which the machine
/// rests, and writes a snapshot there. Nothing if there is one already, or if there is no such record up to
/// `acknowledged_seq`. The journal may be in use: nothing beyond that record is read into the state.
///
/// # Errors
///
/// As [`recovery::scan`], [`JournalError::Undecodable`], and what the system said.
pub fn make<M: Kept>(
    storage: &dyn Storage,
    due_seq: u64,
    acknowledged_seq: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<Header>, JournalError> {
    if due_seq == 0 || headers(storage)?.iter().any(|it| it.head.stamp.seq >= due_seq) {
        return Ok(None);
    }
    let mut looks = 0;
    loop {
        looks += 1;
        let (resumed, _) = newest::<M>(storage, None, due_seq)?;
        let base = resumed.as_ref().map(|it| it.head);
        let resumed = resumed.unwrap_or_else(fresh);
        let mut until = Until { resumed, due_seq, acknowledged_seq, found: false, progress };
        match recovery::scan_after(storage, None, base, &mut until) {
            // Pages of a file in use are read at different moments; what is damaged stays damaged.
            Err(JournalError::Damaged(_)) if looks < LOOKS => {}
            Err(error) => return Err(error),
            Ok(found) if until.found => return write(storage, found.exchange_id, &until.resumed).map(Some),
            Ok(_) => return Ok(None),
        }
    }
}

/// Applies records until the machine rests at or after the one that is due.
struct Until<'a, M> {
    resumed: Resumed<M>,
    due_seq: u64,
    acknowledged_seq: u64,
    found: bool,
    progress: &'a mut dyn FnMut(Progress),
}

impl<M: Kept> Visitor for Until<'_, M> {
    fn record(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        if self.found || record.stamp.seq > self.acknowledged_seq {
            return Ok(());
        }
        let Resumed { machine, head, lineage } = &mut self.resumed;
        Apply::new(machine, &mut Silent).record(record)?;
        lineage.note(record.stamp);
        *head = Head { stamp: record.stamp, chain: record.chain };
        self.found = record.stamp.seq >= self.due_seq && self.resumed.machine.rests();
        Ok(())
    }

    fn wants_more(&self) -> bool {
        !self.found
    }

    fn progress(&mut self, progress: Progress) {
        (self.progress)(progress);
    }
}

/// What is wrong with a snapshot, if anything: its bytes, its place in the journal, or its state against a
/// replay of the journal from the beginning (or from the snapshot before it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The file.
    pub name: String,
    /// What is wrong; nothing if it is right.
    pub flaw: Option<String>,
}

/// Checks every snapshot of a journal against a replay from the beginning, or, where that is not here, from
/// the oldest snapshot after which all records are: that one is checked by itself.
///
/// # Errors
///
/// As [`recovery::scan`], and [`JournalError::Undecodable`].
pub fn verify<M: Kept>(
    storage: &dyn Storage,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Checked>, JournalError> {
    let names = names(storage)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let loaded = |name: &String| {
        let (resumed, header) = load::<M>(storage, None, name)?;
        right_digest(&resumed.machine, &header).map(|()| header)
    };
    let headers: Vec<Result<Header, String>> = names.iter().map(loaded).collect();
    let replayed = from_where_it_begins(storage, |base| {
        let resumed = match base {
            Some(head) => load::<M>(storage, None, &name(head.stamp.seq)).ok().map(|it| it.0),
            None => None,
        };
        let base = resumed.as_ref().map(|it| it.head);
        let Resumed { machine, lineage, .. } = resumed.unwrap_or_else(fresh);
        let after = base.map_or(0, |it| it.stamp.seq);
        let seqs = headers.iter().flatten().map(|it| it.head.stamp.seq);
        let wanted = seqs.filter(|it| *it > after).collect();
        let mut compare = Compare { machine, lineage, wanted, found: Vec::new(), progress };
        recovery::scan_after(storage, None, base, &mut compare)?;
        Ok((after, compare.found))
    });
    let (after, found) = replayed?;
    let flaw = |header: Result<Header, String>| {
        let header = match header {
            Ok(header) => header,
            Err(reason) => return Some(reason),
        };
        let replayed = found.iter().find(|it| it.0 == header.head.stamp.seq);
        match replayed {
            Some((_, digest, _)) if *digest != header.digest => {
                Some(format!("its state has digest {:032x}, a replay gives {digest:032x}", header.digest))
            }
            Some((_, _, hash)) if *hash != header.body_hash => {
                Some("a replay gives other bytes for the same state".to_owned())
            }
            Some(_) => None,
            None if header.head.stamp.seq == after => None,
            None if header.head.stamp.seq < after => Some("records that follow it are missing".to_owned()),
            None => Some("the machine does not rest there, or the journal ends before it".to_owned()),
        }
    };
    let checked = names.into_iter().zip(headers).map(|(name, it)| Checked { name, flaw: flaw(it) });
    Ok(checked.collect())
}

/// Notes the digests of state and bytes after some records.
struct Compare<'a, M> {
    machine: M,
    /// Increasing.
    wanted: Vec<u64>,
    lineage: Lineage,
    found: Vec<(u64, u128, u128)>,
    progress: &'a mut dyn FnMut(Progress),
}

impl<M: Kept> Visitor for Compare<'_, M> {
    fn record(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        let Some(next) = self.wanted.get(self.found.len()) else { return Ok(()) };
        Apply::new(&mut self.machine, &mut Silent).record(record)?;
        self.lineage.note(record.stamp);
        if *next == record.stamp.seq && self.machine.rests() {
            let mut hash = Xxh3::new();
            put_body(&self.lineage, &self.machine, &mut |piece| hash.update(piece));
            self.found.push((*next, self.machine.digest_in_full(), hash.digest128()));
        }
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        (self.progress)(progress);
    }
}
