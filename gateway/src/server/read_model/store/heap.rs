//! The bulk of the rows: a file beside sled's that only grows.
//!
//! sled writes a page anew whenever some of its values have changed, with all others in it; of a row of many records it is
//! told only where it stands. A value in sled ends with a byte that says which of the two it is: the value itself, or its
//! place here.
//!
//! Bytes are written before sled is told of them, and durable before the marker says that an attempt has come to its end.
//! A file that is shorter than the marker says, a place beyond its end, and bytes with another checksum are doubts.
//!
//! Nothing here becomes garbage while the store runs: no row that is here is ever replaced. What an attempt left that did
//! not come to its end is cut off when the file is opened, for how far it went is written with how far the rows go.
//!
//! # Deliberately absent
//!
//! - **A header.** The marker of the rows tells the release, and where a row begins only sled knows.
//! - **Space ahead of the end.** Its length is how far it goes.

use super::{Doubt, IVec};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Name of the file within the store's directory. sled leaves files alone that it does not know.
pub(super) const NAME: &str = "heap";
/// The last byte of a value that sled itself holds, and of the place of one that is here.
const WITHIN: u8 = 0;
const PLACED: u8 = 1;
/// Bytes after which they are made durable: all at once the journal's syncs would wait for them. To the disk it is a fraction
/// of a millisecond.
const SYNCED_BYTES: u64 = 256 << 10;

/// The file. One at a time appends to it; whoever likes reads.
#[derive(Debug)]
pub(super) struct Heap {
    file: File,
    end: AtomicU64,
    /// Up to where it is durable.
    synced: AtomicU64,
}

impl Heap {
    /// Opens it, or begins one, and cuts off what comes after the end of what the rows say is there.
    pub(super) fn open(directory: &Path, end: u64) -> Result<Self, Doubt> {
        let path = directory.join(NAME);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if length < end {
            return Err(Doubt(format!("the rows' file has {length} bytes, and {end} were written")));
        }
        if length > end {
            file.set_len(end).map_err(failed)?;
        }
        Ok(Self { file, end: AtomicU64::new(end), synced: AtomicU64::new(end) })
    }

    /// Where the next bytes will stand.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Appends bytes. After an error the store must not be used any more.
    pub(super) fn append(&self, bytes: &[u8]) -> Result<(), Doubt> {
        let end = self.end();
        self.file.write_all_at(bytes, end).map_err(failed)?;
        self.end.store(end + length(bytes), Ordering::Release);
        if self.end() - self.synced.load(Ordering::Acquire) >= SYNCED_BYTES { self.sync() } else { Ok(()) }
    }

    /// Makes what was appended durable.
    pub(super) fn sync(&self) -> Result<(), Doubt> {
        let end = self.end();
        if self.synced.load(Ordering::Acquire) < end {
            self.file.sync_data().map_err(failed)?;
            self.synced.store(end, Ordering::Release);
        }
        Ok(())
    }

    /// The value of which sled holds this.
    pub(super) fn value(&self, held: &IVec) -> Result<IVec, Doubt> {
        match held.split_last() {
            Some((&WITHIN, value)) => Ok(held.subslice(0, value.len())),
            Some((&PLACED, place)) => self.read(place).map(IVec::from),
            Some(_) | None => Err(Doubt("a row is neither here nor there".into())),
        }
    }

    fn read(&self, place: &[u8]) -> Result<Vec<u8>, Doubt> {
        let place = Place::decode(place).ok_or_else(|| Doubt("a row's place is damaged".into()))?;
        let ends = place.offset.checked_add(u64::from(place.length));
        if ends.is_none_or(|it| it > self.end()) {
            return Err(Doubt("a row stands beyond the end of the rows' file".into()));
        }
        let mut bytes = vec![0; usize::try_from(place.length).expect("a row fits into memory")];
        self.file.read_exact_at(&mut bytes, place.offset).map_err(failed)?;
        if crc32c::crc32c(&bytes) != place.crc {
            return Err(Doubt("a row in the rows' file is damaged".into()));
        }
        Ok(bytes)
    }
}

/// What sled holds of a value that it keeps itself, if that is all that sled holds.
pub(super) fn within(held: &IVec) -> Option<&[u8]> {
    held.split_last().filter(|(kind, _)| **kind == WITHIN).map(|(_, value)| value)
}

/// The place that sled holds of a value that is in the heap.
#[cfg(test)]
pub(super) fn placed(held: &IVec) -> Option<Place> {
    held.split_last().filter(|(kind, _)| **kind == PLACED).and_then(|(_, place)| Place::decode(place))
}

/// Makes of a value what sled shall hold to keep it itself.
pub(super) fn keep_within(value: &mut Vec<u8>) {
    value.push(WITHIN);
}

/// Where a value stands, and its checksum: short enough that sled needs no memory of its own for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) crc: u32,
}

impl Place {
    /// The place of a value that is going to stand there.
    pub(super) fn of(value: &[u8], offset: u64) -> Self {
        let length = u32::try_from(value.len()).expect("a row is not as long as that");
        Self { offset, length, crc: crc32c::crc32c(value) }
    }

    /// What sled shall hold: offset, length, checksum in little endian, and which of the two it is.
    pub(super) fn held(self) -> [u8; 17] {
        let mut bytes = [PLACED; 17];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (offset, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let crc = rest.try_into().ok()?;
        let (length, crc) = (u32::from_le_bytes(*length), u32::from_le_bytes(crc));
        Some(Self { offset: u64::from_le_bytes(*offset), length, crc })
    }
}

/// The length of bytes in a file.
pub(super) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("memory is not as long as that")
}

fn failed(error: io::Error) -> Doubt {
    Doubt(format!("the rows' file: {error}"))
}
