//! The store on the disk: sled, which says what there is, and the heap, where what is bulky stands.

use super::heap::{self, Heap, Place};
use super::packed::{self, Packer, Row};
use super::{CACHE_BYTES, Doubt, META, ROW_BYTES, Reach, SHORT_BYTES, WITHIN_BYTES, WRITING};
use crate::server::read_model::keys;
use sled::IVec;
use std::fs::{File, TryLockError};
use std::ops::Bound;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a store that was here before may take to let go of its files: sled's threads do that after its last owner has.
const LET_GO: Duration = Duration::from_secs(3);

/// Both. Where sled fails it may panic: whoever calls is ready for that.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) db: sled::Db,
    pub(super) heap: Heap,
}

impl Disk {
    /// Opens both, takes away what an attempt left that did not come to its end, and says how far the rest goes.
    pub(super) fn open(directory: &Path) -> Result<(Self, Reach), Doubt> {
        wait_until_free(directory);
        let db = sled::Config::new()
            .path(directory)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .open()
            .map_err(failed)?;
        let marker = db.get(META).map_err(failed)?;
        if let Some(keys) = db.get(WRITING).map_err(failed)? {
            let mut batch = sled::Batch::default();
            packed::keys_of(&keys).try_for_each(|key| key.map(|key| batch.remove(key)))?;
            batch.remove(WRITING);
            db.apply_batch(batch).map_err(failed)?;
        }
        let (reach, end) = match marker {
            Some(bytes) => {
                decode(&bytes).ok_or_else(|| Doubt("the marker is damaged, or of another release".into()))?
            }
            // The first attempt may have been interrupted: then nothing is left of it.
            None if db.is_empty() => (Reach::default(), 0),
            None => return Err(Doubt("records without a marker, or of another release".into())),
        };
        let heap = Heap::open(directory, end)?;
        Ok((Self { db, heap }, reach))
    }

    /// The row of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, Doubt> {
        self.db.get(key).map_err(failed)?.map(|held| self.heap.value(&held)).transpose()
    }

    /// The last row whose key is not after this one, and what [`Heap::value`] makes its value of.
    pub(super) fn last_until(&self, key: &[u8]) -> Result<Option<(IVec, IVec)>, Doubt> {
        self.db.range(..=key).next_back().transpose().map_err(failed)
    }

    /// The rows whose keys begin with a prefix, by key.
    pub(super) fn rows(&self, prefix: &[u8]) -> impl DoubleEndedIterator<Item = Result<(IVec, IVec), Doubt>> {
        self.resolved(self.db.scan_prefix(prefix))
    }

    /// The rows after a key, by key.
    pub(super) fn rows_after(&self, key: &[u8]) -> impl Iterator<Item = Result<(IVec, IVec), Doubt>> {
        self.resolved(self.db.range::<&[u8], _>((Bound::Excluded(key), Bound::Unbounded)))
    }

    fn resolved(&self, rows: sled::Iter) -> impl DoubleEndedIterator<Item = Result<(IVec, IVec), Doubt>> {
        rows.filter(|it| !matches!(it, Ok((key, _)) if key.starts_with(b"!"))).map(|row| {
            let (key, held) = row.map_err(failed)?;
            Ok((key, self.heap.value(&held)?))
        })
    }

    /// Says which rows are going to be written, so that a start takes them away if that comes to no end.
    pub(super) fn announce(&self, rows: &[Row<'_>]) -> Result<(), Doubt> {
        let keys = packed::keys_row(rows.iter().map(|row| row.key.as_slice()));
        self.db.insert(WRITING, keys).map_err(failed).map(|_| ())
    }

    /// Hands what was written to the disk: what sled refers to first.
    pub(super) fn flush(&self) -> Result<(), Doubt> {
        self.heap.sync()?;
        self.db.flush().map_err(failed).map(|_| ())
    }
}

/// Waits, but not for long, while somebody has the lock that sled wants: to build everything again takes longer.
fn wait_until_free(directory: &Path) {
    let Ok(file) = File::open(directory.join("db")) else { return };
    let until = Instant::now() + LET_GO;
    while matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How far the rows go, and the heap.
fn encode(reach: Reach, end: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    let (rows, heap) = bytes.split_at_mut(24);
    rows.copy_from_slice(&reach.encode());
    heap.copy_from_slice(&end.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<(Reach, u64)> {
    let (reach, end) = bytes.split_last_chunk()?;
    Some((Reach::decode(reach)?, u64::from_le_bytes(*end)))
}

/// What it costs to write a row, in bytes before they are packed.
pub(super) fn cost(row: &Row<'_>) -> usize {
    row.bytes().max(ROW_BYTES)
}

/// Rows that are written at once.
pub(super) struct Piece<'a> {
    disk: &'a Disk,
    packer: Packer,
    batch: sled::Batch,
    /// What goes to the heap.
    bulk: Vec<u8>,
    /// Of all its rows.
    cost: usize,
    /// Rows that others have taken in since the attempt began.
    superseded: Vec<IVec>,
}

impl<'a> Piece<'a> {
    /// None yet.
    pub(super) fn new(disk: &'a Disk) -> Self {
        let (packer, batch) = (Packer::default(), sled::Batch::default());
        Self { disk, packer, batch, bulk: Vec::new(), cost: 0, superseded: Vec::new() }
    }

    /// What it costs to write it, as [`cost`] has it.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Adds a row. Few answers take those of their bucket's last row in, while that is short: whoever looks for one that is
    /// not there looks at all rows of its bucket. The row that is no longer needed goes with the end of the attempt.
    pub(super) fn add(&mut self, row: &Row<'_>) -> Result<(), Doubt> {
        self.cost += cost(row);
        let start = self.bulk.len();
        let mut before = None;
        if let Some(bucket) = keys::answers_bucket(&row.key).filter(|_| row.bytes() < SHORT_BYTES)
            && let Some((key, held)) =
                self.disk.db.scan_prefix(bucket).next_back().transpose().map_err(failed)?
            // Those in the heap are long.
            && let Some(value) = heap::within(&held)
            && packed::answers_len(value)? < SHORT_BYTES
        {
            let (marks, answers) = packed::unpack_answers(value)?;
            row.append(&mut self.packer, Some((marks, &answers)), &mut self.bulk);
            before = Some(key);
        } else {
            row.append(&mut self.packer, None, &mut self.bulk);
        }
        self.superseded.extend(before);
        let value = &self.bulk[start..];
        let short = keys::is_answers_row(&row.key) && packed::answers_len(value)? < SHORT_BYTES;
        if short || value.len() <= WITHIN_BYTES {
            heap::keep_within(&mut self.bulk);
            self.batch.insert(row.key.as_slice(), &self.bulk[start..]);
            self.bulk.truncate(start);
        } else {
            let offset = self.disk.heap.end() + heap::length(&self.bulk[..start]);
            self.batch.insert(row.key.as_slice(), &Place::of(value, offset).held());
        }
        Ok(())
    }

    /// Writes it, and begins the next.
    pub(super) fn write(&mut self) -> Result<(), Doubt> {
        self.append()?;
        self.cost = 0;
        self.disk.db.apply_batch(std::mem::take(&mut self.batch)).map_err(failed)
    }

    fn append(&mut self) -> Result<(), Doubt> {
        if !self.bulk.is_empty() {
            self.disk.heap.append(&self.bulk)?;
            self.bulk.clear();
        }
        Ok(())
    }

    /// Writes the last one of an attempt, with how far the rows go now; `apart` is done around the moment at which rows
    /// are taken away that others have taken in.
    pub(super) fn end(mut self, reach: Reach, mut apart: impl FnMut()) -> Result<(), Doubt> {
        self.append()?;
        // Whoever finds the marker finds all that it speaks of, after a power cut too.
        self.disk.heap.sync()?;
        self.batch.remove(WRITING);
        std::mem::take(&mut self.superseded).into_iter().for_each(|key| self.batch.remove(key));
        self.batch.insert(META, &encode(reach, self.disk.heap.end()));
        apart();
        let written = self.write();
        apart();
        written
    }
}

fn failed(error: sled::Error) -> Doubt {
    Doubt(error.to_string())
}
