//! Where the read model keeps what is bulky: sled and a file of its own ([`heap`]) beside the journal, or memory if the
//! disk fails.
//!
//! Nothing here is an authority. Every record is a function of the journal, how far they go is written after
//! the rows that hold them ([`packed`]), and the sum over all records is compared with what the journal gives
//! before a record is believed. On any doubt the directory is deleted and filled again.
//!
//! The journal's syncs share the disk with this: what has gathered goes to it piece by piece with pauses between,
//! unless somebody waits. Which rows are on their way is written first, and a start takes those of an attempt away
//! that did not come to its end.

mod batch;
mod disk;
mod heap;
mod packed;

pub use batch::Batch;

use super::keys::{self, EventKey};
use disk::{Disk, Piece};
use packed::{Packer, Row, Tail};
use sled::IVec;
use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

/// How far the rows go. Rows of another layout have another such key, so no release takes them for its own.
const META: &[u8] = b"!meta.4";
/// Keys of the rows that are being written, if they are more than a piece.
const WRITING: &[u8] = b"!writing";
/// Bytes, before they are packed, that are written at once: some tenths of a millisecond, after which a thread that an order
/// waits for gets its processor. sled goes to the disk after each piece.
const PIECE_BYTES: usize = 64 << 10;
/// A row costs as much as so many bytes of it, be it ever so short: what sled does for it.
const ROW_BYTES: usize = 1 << 10;
/// Answers of fewer bytes, before they are packed, stay in sled, and the next row of their bucket takes them in: in the heap
/// what has been replaced would be there for good. Longer ones go to the heap and stay as they are; orders by the ten thousand
/// a second make such rows at once. Of ten million answers a bucket has some four hundred rows.
const SHORT_BYTES: usize = 1 << 10;
/// Bytes of any other value that sled keeps itself.
const WITHIN_BYTES: usize = 128;
/// How long it takes at least to write what has gathered if nobody waits, unless it is little.
const SPREAD: Duration = Duration::from_secs(5);
/// The longest pause between two pieces.
const PAUSE_MAX: Duration = Duration::from_millis(50);
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// About the memory that records may take before they are written: the more of them, the fuller their rows.
const TAIL_BYTES_MAX: usize = 32 << 20;
/// Rows that a reader keeps: an order's version and its result, or two of each, are in different ones.
const NEAR_ROWS: usize = 4;
/// Records that a batch adds before readers get their turn.
const LOCKED_RECORDS: usize = 1_024;

/// What is kept, and how to tell that it is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Number of records.
    pub records: u64,
    /// Sum of the hashes of all records; independent of their order.
    pub sum: u64,
}

impl Content {
    /// Adds one record.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        // A hash that another release computes otherwise makes every store doubtful, which is right.
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write_usize(key.len());
        hasher.write(key);
        hasher.write(value);
        self.sum = self.sum.wrapping_add(hasher.finish());
        self.records += 1;
    }

    /// Takes one record away again.
    pub fn remove(&mut self, key: &[u8], value: &[u8]) {
        let mut one = Self::default();
        one.add(key, value);
        self.sum = self.sum.wrapping_sub(one.sum);
        self.records -= 1;
    }
}

/// How far a store goes: which command it has everything of, and in which history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The last command.
    pub seq: u64,
    /// [`super::state::State::trail`] after it.
    pub trail: u128,
}

impl Reach {
    fn encode(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let (seq, trail) = bytes.split_at_mut(8);
        seq.copy_from_slice(&self.seq.to_le_bytes());
        trail.copy_from_slice(&self.trail.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (seq, trail) = bytes.split_first_chunk::<8>()?;
        let trail = u128::from_le_bytes(trail.try_into().ok()?);
        Some(Self { seq: u64::from_le_bytes(*seq), trail })
    }
}

/// Why a store cannot be used (any more); it is then deleted and filled again.
#[derive(Clone, Debug)]
pub struct Doubt(pub String);

/// The store.
#[derive(Debug)]
pub struct Store {
    backend: Backend,
    tails: RwLock<Tails>,
    /// Held by whoever adds records, so that a command's are written together.
    committing: Mutex<()>,
    /// Held by whoever writes rows.
    writing: Mutex<()>,
    /// How many wait for rows to be written.
    hurry: AtomicU32,
    /// Odd while rows are taken away that others hold the records of; greater afterwards.
    superseded: AtomicU64,
    /// Whether the disk has failed, or something on it is damaged.
    failed: AtomicBool,
}

impl Drop for Store {
    fn drop(&mut self) {
        // After a failure sled may wait for ever for what it could not write: its files stay open until the process
        // ends.
        if *self.failed.get_mut()
            && let Backend::Disk(disk) = std::mem::replace(&mut self.backend, Backend::Lost)
        {
            std::mem::forget(disk.db);
        }
    }
}

/// What is not on the disk yet.
#[derive(Debug, Default)]
struct Tails {
    /// What comes goes here.
    open: Tail,
    /// What is being written.
    closed: Option<Arc<Tail>>,
    /// Empty, with the memory of the last one written.
    spare: Option<Tail>,
    reach: Reach,
    /// What the rows say.
    written: Reach,
}

impl Tails {
    /// Newest first.
    fn all(&self) -> impl Iterator<Item = &Tail> {
        std::iter::once(&self.open).chain(self.closed.as_deref())
    }
}

#[derive(Debug)]
enum Backend {
    Disk(Disk),
    Memory(RwLock<BTreeMap<Vec<u8>, IVec>>),
    Lost,
}

impl Store {
    fn with(backend: Backend, reach: Reach) -> Self {
        let tails = Tails { reach, written: reach, ..Tails::default() };
        let failed = AtomicBool::new(false);
        let (tails, hurry) = (RwLock::new(tails), AtomicU32::new(0));
        let (committing, writing) = (Mutex::new(()), Mutex::new(()));
        Self { backend, tails, committing, writing, hurry, superseded: AtomicU64::new(0), failed }
    }

    /// A store that forgets everything at the end of the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::with(Backend::Memory(RwLock::new(BTreeMap::new())), Reach::default())
    }

    /// A store whose records are gone and have not been made again: whoever reads is told so.
    #[must_use]
    pub fn lost() -> Self {
        Self::with(Backend::Lost, Reach::default())
    }

    /// Opens the store in a directory, and says how far it goes.
    ///
    /// # Errors
    ///
    /// If it cannot be opened or read, is damaged, or says nothing about how far it goes.
    pub fn open(directory: &Path) -> Result<(Self, Reach), Doubt> {
        // sled panics on some damaged files instead of returning an error.
        catch_unwind(AssertUnwindSafe(|| Self::open_checked(directory)))
            .unwrap_or_else(|_| Err(Doubt("sled panicked while opening".into())))
    }

    fn open_checked(directory: &Path) -> Result<(Self, Reach), Doubt> {
        let (disk, reach) = Disk::open(directory)?;
        Ok((Self::with(Backend::Disk(disk), reach), reach))
    }

    /// Reads all that is on the disk.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a row is damaged.
    pub fn content(&self) -> Result<Content, Doubt> {
        let mut content = Content::default();
        self.rows(&[], |key, value| packed::records(key, value, &mut |key, value| content.add(key, value)))?;
        Ok(content)
    }

    /// Deletes the directory of a store.
    ///
    /// # Errors
    ///
    /// If it exists and cannot be deleted.
    pub fn delete(directory: &Path) -> std::io::Result<()> {
        match std::fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Takes a batch, and notes how far all of it goes. Records go to the disk with [`Self::write_if_full`],
    /// [`Self::write_slowly`] or [`Self::flush`]; a start finds either all of a command or nothing.
    pub fn commit(&self, batch: &Batch, reach: Reach) {
        if matches!(self.backend, Backend::Lost) {
            return;
        }
        let mut records = batch.records();
        let committing = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // Readers need not wait for the whole of a long batch.
            let mut tails = self.tails.write().expect("no writer of the tails panics");
            records.by_ref().take(LOCKED_RECORDS).for_each(|(key, value)| tails.open.put(key, value));
            if records.len() == 0 {
                // Whoever only notes how far it goes may come late.
                if reach.seq > tails.reach.seq {
                    tails.reach = reach;
                }
                drop((tails, committing));
                return;
            }
        }
    }

    /// Bytes of what is in memory and not being written.
    pub fn waiting_bytes(&self) -> usize {
        self.tails().open.bytes()
    }

    /// Writes at once if so much has gathered that memory asks for it. Whoever comes waits, but not for readers: no
    /// lock that they need may be held.
    ///
    /// # Errors
    ///
    /// If the disk fails: the store must not be used any more.
    pub fn write_if_full(&self) -> Result<(), Doubt> {
        if self.waiting_bytes() >= TAIL_BYTES_MAX { self.write() } else { Ok(()) }
    }

    /// Whether the disk has failed, or a row is damaged: the store must not be used any more.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Nothing is written after a failure; a reader may be the one who finds it.
    fn check_whole(&self) -> Result<(), Doubt> {
        if self.has_failed() { Err(Doubt("the store has failed".into())) } else { Ok(()) }
    }

    /// Writes what is in memory as rows, with how far they go, all or nothing. Readers go on meanwhile.
    ///
    /// # Errors
    ///
    /// If the disk fails: the store must not be used any more.
    pub fn write(&self) -> Result<(), Doubt> {
        self.hurry.fetch_add(1, Ordering::AcqRel);
        let written = self.write_slowly();
        self.hurry.fetch_sub(1, Ordering::AcqRel);
        written
    }

    /// As [`Self::write`], but leaves the disk to others most of the time, unless somebody begins to wait.
    ///
    /// # Errors
    ///
    /// If the disk fails: the store must not be used any more.
    pub fn write_slowly(&self) -> Result<(), Doubt> {
        let _only = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        // What could not be written is missing: how far the next goes would be a lie.
        self.check_whole()?;
        let (tail, reach) = {
            let _between = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut tails = self.tails.write().expect("no writer of the tails panics");
            if tails.reach == tails.written && tails.open.bytes() == 0 {
                return Ok(());
            }
            let next = tails.spare.take().unwrap_or_default();
            let tail = Arc::new(std::mem::replace(&mut tails.open, next));
            tails.closed = Some(Arc::clone(&tail));
            (tail, tails.reach)
        };
        match &self.backend {
            Backend::Disk(disk) => self.guarded(|| self.write_rows(disk, &tail.rows(), reach))?,
            Backend::Memory(map) => {
                let (mut map, mut packer) =
                    (map.write().expect("no writer of this map panics"), Packer::default());
                let rows = tail.rows();
                map.extend(rows.iter().map(|row| (row.key.clone(), IVec::from(row.value(&mut packer)))));
            }
            Backend::Lost => {}
        }
        let closed = {
            let mut tails = self.tails.write().expect("no writer of the tails panics");
            tails.written = reach;
            tails.closed.take()
        };
        drop(closed);
        // Nobody need wait while it is emptied. Readers own no part of it.
        if let Some(spare) = Arc::into_inner(tail).map(Tail::emptied) {
            self.tails.write().expect("no writer of the tails panics").spare = Some(spare);
        }
        Ok(())
    }

    fn write_rows(&self, disk: &Disk, rows: &[Row<'_>], reach: Reach) -> Result<(), Doubt> {
        let cost: usize = rows.iter().map(disk::cost).sum();
        let pieces = u32::try_from(cost / PIECE_BYTES).unwrap_or(u32::MAX);
        let pause = SPREAD.checked_div(pieces).map_or(Duration::ZERO, |it| it.min(PAUSE_MAX));
        if pieces > 0 {
            disk.announce(rows)?;
        }
        let mut piece = Piece::new(disk);
        for row in rows {
            piece.add(row)?;
            if piece.cost() >= PIECE_BYTES {
                self.check_whole()?;
                piece.write()?;
                let crowded = self.waiting_bytes() >= TAIL_BYTES_MAX / 4;
                if self.hurry.load(Ordering::Acquire) == 0 && !crowded {
                    std::thread::sleep(pause);
                }
            }
        }
        self.check_whole()?;
        piece.end(reach, || {
            self.superseded.fetch_add(1, Ordering::AcqRel);
        })
    }

    /// Writes what is in memory, and hands it to the disk.
    ///
    /// # Errors
    ///
    /// If the disk fails: the store must not be used any more.
    pub fn flush(&self) -> Result<(), Doubt> {
        self.write()?;
        // sled lets nobody write while it flushes, and nobody read who comes after one that would write.
        let _only = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.backend {
            Backend::Disk(disk) => self.guarded(|| disk.flush()),
            Backend::Memory(_) => Ok(()),
            Backend::Lost => Err(lost()),
        }
    }

    /// The record of a key; not for answers.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a row is damaged.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Doubt> {
        if let Some(event) = keys::event_key(key) {
            return self.near().event(event);
        }
        let tails = self.tails();
        if let Some(value) = tails.all().find_map(|it| it.other(key)) {
            return Ok(Some(value.clone()));
        }
        Ok(self.row(key)?.map(|it| it.to_vec()))
    }

    /// Up to `limit` events of a stream from one on, as many as there are without a gap.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a row is damaged.
    pub fn events(&self, first: EventKey, limit: usize) -> Result<Vec<Vec<u8>>, Doubt> {
        let (mut near, mut events) = (self.near(), Vec::new());
        while events.len() < limit {
            let run = near.run_from(first.next(events.len()), limit - events.len())?;
            if run.is_empty() {
                break;
            }
            events.extend(run);
        }
        Ok(events)
    }

    /// For whoever reads many events that stand near each other.
    #[must_use]
    pub fn near(&self) -> Near<'_> {
        Near { store: self, rows: Vec::new() }
    }

    /// The last of the answers whose keys begin with `requests`, what [`keys::requests`] says of an id.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a row is damaged.
    pub fn last_answer(&self, requests: &[u8]) -> Result<Option<Vec<u8>>, Doubt> {
        let rows = keys::answers_rows(keys::bucket(keys::requests_hash(requests)));
        loop {
            let superseded = self.superseded.load(Ordering::Acquire);
            if let Some(value) = self.tails().all().find_map(|it| it.last_answer(requests)) {
                return Ok(Some(value.to_vec()));
            }
            // What is no longer in memory is in a row, and nobody need wait while it is looked for. Rows of a bucket are of
            // ever later commands.
            let mut found = None;
            self.rows_backwards(&rows, |row| {
                found = packed::last_answer(row, requests)?;
                Ok(found.is_none())
            })?;
            let whole = superseded.is_multiple_of(2) && superseded == self.superseded.load(Ordering::Acquire);
            if found.is_some() || whole || self.has_failed() {
                return Ok(found);
            }
            // A row may have gone into another, which came behind this look.
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// The records whose keys begin with a prefix, by key, and of several about the same the last ([`keys::subject`]);
    /// not for events and answers.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a row is damaged.
    pub fn all(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, Doubt> {
        let tails = self.tails();
        let mut found = BTreeMap::new();
        self.rows(prefix, |key, value| {
            found.insert(keys::subject(key).to_vec(), value.to_vec());
            Ok(())
        })?;
        for tail in [tails.closed.as_deref(), Some(&tails.open)].into_iter().flatten() {
            found
                .extend(tail.others(prefix).map(|(key, value)| (keys::subject(key).to_vec(), value.clone())));
        }
        Ok(found.into_values().collect())
    }

    /// Rows after a key, by key, until they have about so many bytes; none if there are no more. What is in memory
    /// is in no row: [`Self::write`] comes before the first.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a row is damaged.
    pub fn rows_after(&self, key: &[u8], bytes_max: usize) -> Result<Vec<(IVec, IVec)>, Doubt> {
        let mut bytes = 0;
        let mut wanted = |(key, value): &(IVec, IVec)| {
            let fits = bytes < bytes_max;
            bytes += key.len() + value.len();
            fits
        };
        match &self.backend {
            Backend::Disk(disk) => self.guarded(|| {
                disk.rows_after(key).take_while(|it| it.as_ref().map_or(true, &mut wanted)).collect()
            }),
            Backend::Memory(map) => {
                let map = map.read().expect("no writer of this map panics");
                let rows = map.range::<[u8], _>((Bound::Excluded(key), Bound::Unbounded));
                let rows = rows.map(|(key, value)| (IVec::from(key.as_slice()), value.clone()));
                Ok(rows.take_while(wanted).collect())
            }
            Backend::Lost => Err(lost()),
        }
    }

    /// Whether records outlive the process.
    #[must_use]
    pub fn lasts(&self) -> bool {
        matches!(self.backend, Backend::Disk(_))
    }

    fn tails(&self) -> RwLockReadGuard<'_, Tails> {
        self.tails.read().expect("no writer of the tails panics")
    }

    /// Calls the disk; sled panics on some damage instead of returning an error.
    fn guarded<T>(&self, call: impl FnOnce() -> Result<T, Doubt>) -> Result<T, Doubt> {
        let called = catch_unwind(AssertUnwindSafe(call));
        let called = called.unwrap_or_else(|_| Err(Doubt("sled panicked".into())));
        if called.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        called
    }

    fn row(&self, key: &[u8]) -> Result<Option<IVec>, Doubt> {
        match &self.backend {
            Backend::Disk(disk) => self.guarded(|| disk.get(key)),
            Backend::Memory(map) => Ok(map.read().expect("no writer of this map panics").get(key).cloned()),
            Backend::Lost => Err(lost()),
        }
    }

    /// Hands out the rows whose keys begin with a prefix, the last first, as long as more are wanted.
    fn rows_backwards(
        &self,
        prefix: &[u8],
        mut wants_more: impl FnMut(&[u8]) -> Result<bool, Doubt>,
    ) -> Result<(), Doubt> {
        match &self.backend {
            Backend::Disk(disk) => self.guarded(|| {
                for row in disk.rows(prefix).rev() {
                    if !wants_more(&row?.1)? {
                        break;
                    }
                }
                Ok(())
            }),
            Backend::Memory(map) => {
                let map = map.read().expect("no writer of this map panics");
                let from = map.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
                let rows: Vec<_> = from.map(|(_, value)| value).collect();
                for row in rows.into_iter().rev() {
                    if !wants_more(row)? {
                        break;
                    }
                }
                Ok(())
            }
            Backend::Lost => Err(lost()),
        }
    }

    /// Hands out the rows whose keys begin with a prefix, by key.
    fn rows(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Doubt>,
    ) -> Result<(), Doubt> {
        match &self.backend {
            Backend::Disk(disk) => self.guarded(|| {
                disk.rows(prefix).try_for_each(|row| {
                    let (key, value) = row?;
                    each(&key, &value)
                })
            }),
            Backend::Memory(map) => {
                let map = map.read().expect("no writer of this map panics");
                let from = map.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
                from.into_iter().try_for_each(|(key, value)| each(key, value))
            }
            Backend::Lost => Err(lost()),
        }
    }
}

/// Reads events, and keeps the rows it read last: to read one and unpack it takes a hundred times as long as to find one
/// of its events.
#[derive(Debug)]
pub struct Near<'a> {
    store: &'a Store,
    /// Unpacked; the last one was read last.
    rows: Vec<(EventKey, Vec<u8>)>,
}

impl Near<'_> {
    /// An event.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a row is damaged.
    pub fn event(&mut self, key: EventKey) -> Result<Option<Vec<u8>>, Doubt> {
        Ok(self.run_from(key, 1)?.pop())
    }

    /// Events from one on, of the run that it is in.
    fn run_from(&mut self, key: EventKey, limit: usize) -> Result<Vec<Vec<u8>>, Doubt> {
        let owned = |events: &mut dyn Iterator<Item = Result<&[u8], Doubt>>| {
            events.take(limit).map(|it| it.map(<[u8]>::to_vec)).collect::<Result<Vec<_>, _>>()
        };
        // No row of events is ever another.
        for (first, row) in self.rows.iter().rev() {
            let Some(skip) = first.distance(key) else { continue };
            let run = owned(&mut packed::events(row, skip))?;
            if !run.is_empty() {
                return Ok(run);
            }
        }
        let store = self.store;
        // Until the row is read: what is being written stays here until it is there.
        let tails = store.tails();
        if let Some(row) = tails.all().find_map(|it| it.events_from(key)) {
            return owned(&mut packed::events(row, 0));
        }
        let row = match &store.backend {
            Backend::Disk(disk) => store.guarded(|| disk.last_until(&key.row()))?,
            Backend::Memory(map) => {
                let map = map.read().expect("no writer of this map panics");
                let before = map.range(..=key.row()).next_back();
                before.map(|(key, value)| (IVec::from(key.as_slice()), value.clone()))
            }
            Backend::Lost => return Err(lost()),
        };
        // It stays where it is: nobody need wait while it is read.
        drop(tails);
        let found = row.and_then(|(first, row)| {
            let first = keys::events_row(&first)?;
            Some((first, first.distance(key)?, row))
        });
        let Some((first, skip, row)) = found else { return Ok(Vec::new()) };
        let (row, run) = store.guarded(|| {
            let row = match &store.backend {
                Backend::Disk(disk) => disk.heap.value(&row)?,
                Backend::Memory(_) | Backend::Lost => row,
            };
            let row = packed::unpack(&row)?;
            let run = owned(&mut packed::events(&row, skip))?;
            Ok((row, run))
        })?;
        if self.rows.len() >= NEAR_ROWS {
            self.rows.remove(0);
        }
        self.rows.push((first, row));
        Ok(run)
    }
}

/// Takes a row of another store apart: `each` gets its records.
///
/// # Errors
///
/// If it is damaged.
pub fn records(key: &[u8], value: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Doubt> {
    packed::records(key, value, each)
}

fn lost() -> Doubt {
    Doubt("its records are gone and have not been built again".into())
}

/// The directory of the read model within the data directory.
#[must_use]
pub fn directory(data: &Path) -> PathBuf {
    data.join("read-model")
}

#[cfg(test)]
mod tests;
