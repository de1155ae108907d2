//! Where the read model keeps what is bulky: sled beside the journal, or memory if sled fails.
//!
//! Nothing here is an authority. Every record is a function of the journal, how far they go is written after
//! the rows that hold them ([`packed`]), and the sum over all records is compared with what the journal gives
//! before a record is believed. On any doubt the directory is deleted and filled again.
//!
//! The journal's syncs share the disk with this: what has gathered goes to it piece by piece with pauses between,
//! unless somebody waits. Which rows are on their way is written first, and a start takes those of an attempt away
//! that did not come to its end.

mod batch;
mod packed;

pub use batch::Batch;

use super::keys::{self, EventKey};
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
const META: &[u8] = b"!meta.3";
/// Keys of the rows that are being written, if they are more than a piece.
const WRITING: &[u8] = b"!writing";
/// Bytes, before they are packed, that are written at once: some tenths of a millisecond, after which a thread that an order
/// waits for gets its processor.
const PIECE_BYTES: usize = 16 << 10;
/// Bytes of answers in a row that takes more.
const SHORT_BYTES: usize = 8 << 10;
/// How long it takes at least to write what has gathered if nobody waits, unless it is little.
const SPREAD: Duration = Duration::from_secs(5);
/// The longest pause between two pieces.
const PAUSE_MAX: Duration = Duration::from_millis(50);
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// About the memory that records may take before they are written: the more of them, the fuller their rows.
const TAIL_BYTES_MAX: usize = 32 << 20;
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
    /// Whether sled has failed.
    failed: AtomicBool,
}

impl Drop for Store {
    fn drop(&mut self) {
        // After a failure sled may wait for ever for what it could not write: its files stay open until the process
        // ends.
        if *self.failed.get_mut()
            && let Backend::Sled(db) = std::mem::replace(&mut self.backend, Backend::Lost)
        {
            std::mem::forget(db);
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
    Sled(sled::Db),
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

    /// A store whose records are gone and could not be made again: whoever reads is told so.
    #[must_use]
    pub fn lost() -> Self {
        Self::with(Backend::Lost, Reach::default())
    }

    /// Opens the store in a directory, and says how far it goes.
    ///
    /// # Errors
    ///
    /// If sled cannot open or read it, or it says nothing about how far it is.
    pub fn open(directory: &Path) -> Result<(Self, Reach), Doubt> {
        // sled panics on some damaged files instead of returning an error.
        catch_unwind(AssertUnwindSafe(|| Self::open_checked(directory)))
            .unwrap_or_else(|_| Err(Doubt("sled panicked while opening".into())))
    }

    fn open_checked(directory: &Path) -> Result<(Self, Reach), Doubt> {
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
        let reach = match marker {
            Some(bytes) => Reach::decode(&bytes)
                .ok_or_else(|| Doubt("the marker is damaged, or of another release".into()))?,
            // The first attempt may have been interrupted: then nothing is left of it.
            None if db.is_empty() => Reach::default(),
            None => return Err(Doubt("records without a marker, or of another release".into())),
        };
        Ok((Self::with(Backend::Sled(db), reach), reach))
    }

    /// Reads all that is on the disk.
    ///
    /// # Errors
    ///
    /// If sled fails, or a row is damaged.
    pub fn content(&self) -> Result<Content, Doubt> {
        let mut content = Content::default();
        let mut row = |key: &[u8], value: &[u8]| {
            if key.starts_with(b"!") {
                return Ok(());
            }
            packed::records(key, value, &mut |key, value| content.add(key, value))
        };
        match &self.backend {
            Backend::Sled(db) => self.guarded(|| {
                for read in db.iter() {
                    let (key, value) = read.map_err(failed)?;
                    row(&key, &value)?;
                }
                Ok(())
            })?,
            Backend::Memory(map) => {
                let map = map.read().expect("no writer of this map panics");
                map.iter().try_for_each(|(key, value)| row(key, value))?;
            }
            Backend::Lost => return Err(lost()),
        }
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
    /// If sled fails: the store must not be used any more.
    pub fn write_if_full(&self) -> Result<(), Doubt> {
        if self.waiting_bytes() >= TAIL_BYTES_MAX { self.write() } else { Ok(()) }
    }

    /// Whether sled has failed: the store must not be used any more.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Writes what is in memory as rows, with how far they go, all or nothing. Readers go on meanwhile.
    ///
    /// # Errors
    ///
    /// If sled fails: the store must not be used any more.
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
    /// If sled fails: the store must not be used any more.
    pub fn write_slowly(&self) -> Result<(), Doubt> {
        let _only = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        // What could not be written is missing: how far the next goes would be a lie.
        if self.has_failed() {
            return Err(Doubt("sled has failed".into()));
        }
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
            Backend::Sled(db) => self.guarded(|| self.write_rows(db, &tail.rows(), reach))?,
            Backend::Memory(map) => {
                let (mut map, mut packer) =
                    (map.write().expect("no writer of this map panics"), Packer::default());
                let rows = tail.rows();
                map.extend(
                    rows.iter().map(|row| (row.key.clone(), IVec::from(row.value(&mut packer, None)))),
                );
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

    fn write_rows(&self, db: &sled::Db, rows: &[Row<'_>], reach: Reach) -> Result<(), Doubt> {
        let bytes: usize = rows.iter().map(Row::bytes).sum();
        let pieces = u32::try_from(bytes / PIECE_BYTES).unwrap_or(u32::MAX);
        let (mut batch, mut superseded) = (sled::Batch::default(), Vec::new());
        let mut packer = Packer::default();
        if pieces > 0 {
            let pause = (SPREAD / pieces).min(PAUSE_MAX);
            db.insert(WRITING, packed::keys_row(rows.iter().map(|row| row.key.as_slice())))
                .map_err(failed)?;
            let mut piece = 0;
            for row in rows {
                piece += row.bytes();
                batch.insert(row.key.as_slice(), value_beside(db, row, &mut packer, &mut superseded)?);
                if piece >= PIECE_BYTES {
                    piece = 0;
                    db.apply_batch(std::mem::take(&mut batch)).map_err(failed)?;
                    let crowded = self.waiting_bytes() >= TAIL_BYTES_MAX / 4;
                    if self.hurry.load(Ordering::Acquire) == 0 && !crowded {
                        std::thread::sleep(pause);
                    }
                }
            }
            batch.remove(WRITING);
        } else {
            for row in rows {
                batch.insert(row.key.as_slice(), value_beside(db, row, &mut packer, &mut superseded)?);
            }
        }
        superseded.into_iter().for_each(|key| batch.remove(key));
        batch.insert(META, &reach.encode());
        self.superseded.fetch_add(1, Ordering::AcqRel);
        let applied = db.apply_batch(batch).map_err(failed);
        self.superseded.fetch_add(1, Ordering::AcqRel);
        applied
    }

    /// Writes what is in memory, and hands it to the disk.
    ///
    /// # Errors
    ///
    /// If sled fails: the store must not be used any more.
    pub fn flush(&self) -> Result<(), Doubt> {
        self.write()?;
        match &self.backend {
            Backend::Sled(db) => self.guarded(|| db.flush().map(|_| ()).map_err(failed)),
            Backend::Memory(_) | Backend::Lost => Ok(()),
        }
    }

    /// The record of a key; not for answers.
    ///
    /// # Errors
    ///
    /// If sled fails.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Doubt> {
        if let Some(event) = keys::event_key(key) {
            return Ok(self.run_from(event, 1)?.pop());
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
    /// If sled fails.
    pub fn events(&self, first: EventKey, limit: usize) -> Result<Vec<Vec<u8>>, Doubt> {
        let mut events = Vec::new();
        while events.len() < limit {
            let run = self.run_from(first.next(events.len()), limit - events.len())?;
            if run.is_empty() {
                break;
            }
            events.extend(run);
        }
        Ok(events)
    }

    /// Events from one on, of the run that it is in.
    fn run_from(&self, key: EventKey, limit: usize) -> Result<Vec<Vec<u8>>, Doubt> {
        let owned = |events: &mut dyn Iterator<Item = Result<&[u8], Doubt>>| {
            events.take(limit).map(|it| it.map(<[u8]>::to_vec)).collect::<Result<Vec<_>, _>>()
        };
        // Until the row is read: what is being written stays here until it is there.
        let tails = self.tails();
        if let Some(row) = tails.all().find_map(|it| it.events_from(key)) {
            return owned(&mut packed::events(row, 0));
        }
        let row = match &self.backend {
            Backend::Sled(db) => self.guarded(|| {
                let before = db.range(..=key.row()).next_back();
                before.transpose().map_err(failed)
            })?,
            Backend::Memory(map) => {
                let map = map.read().expect("no writer of this map panics");
                let before = map.range(..=key.row()).next_back();
                before.map(|(key, value)| (IVec::from(key.as_slice()), value.clone()))
            }
            Backend::Lost => return Err(lost()),
        };
        let found =
            row.as_ref().and_then(|(first, row)| Some((keys::events_row(first)?.distance(key)?, row)));
        match found {
            Some((skip, row)) => owned(&mut packed::events(&packed::unpack(row)?, skip)),
            None => Ok(Vec::new()),
        }
    }

    /// The last of the answers whose keys begin with `requests`, what [`keys::requests`] says of an id.
    ///
    /// # Errors
    ///
    /// If sled fails.
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
    /// If sled fails.
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
    /// If sled fails.
    pub fn rows_after(&self, key: &[u8], bytes_max: usize) -> Result<Vec<(IVec, IVec)>, Doubt> {
        let mut bytes = 0;
        let mut wanted = |(key, value): &(IVec, IVec)| {
            let fits = bytes < bytes_max;
            bytes += key.len() + value.len();
            fits
        };
        match &self.backend {
            Backend::Sled(db) => self.guarded(|| {
                let after = (Bound::Excluded(key), Bound::Unbounded);
                let rows = db.range::<&[u8], _>(after);
                rows.filter(|it| !matches!(it, Ok((key, _)) if key.starts_with(b"!")))
                    .take_while(|it| it.as_ref().map_or(true, &mut wanted))
                    .map(|it| it.map_err(failed))
                    .collect()
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
        matches!(self.backend, Backend::Sled(_))
    }

    fn tails(&self) -> RwLockReadGuard<'_, Tails> {
        self.tails.read().expect("no writer of the tails panics")
    }

    /// Calls sled, which panics on some damage instead of returning an error.
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
            Backend::Sled(db) => self.guarded(|| db.get(key).map_err(failed)),
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
            Backend::Sled(db) => self.guarded(|| {
                for row in db.scan_prefix(prefix).rev() {
                    if !wants_more(&row.map_err(failed)?.1)? {
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
            Backend::Sled(db) => self.guarded(|| {
                for row in db.scan_prefix(prefix) {
                    let (key, value) = row.map_err(failed)?;
                    each(&key, &value)?;
                }
                Ok(())
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

/// Takes a row of another store apart: `each` gets its records.
///
/// # Errors
///
/// If it is damaged.
pub fn records(key: &[u8], value: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Doubt> {
    packed::records(key, value, each)
}

/// The value of a row; few answers take those of their bucket's last row in, while that is short: whoever looks for
/// one that is not there looks at all rows of its bucket. The row that is no longer needed goes with the end of the attempt.
fn value_beside(
    db: &sled::Db,
    row: &Row<'_>,
    packer: &mut Packer,
    superseded: &mut Vec<IVec>,
) -> Result<Vec<u8>, Doubt> {
    let bucket = keys::answers_bucket(&row.key).filter(|_| row.bytes() < SHORT_BYTES);
    let Some(bucket) = bucket else { return Ok(row.value(packer, None)) };
    let last = db.scan_prefix(bucket).next_back().transpose().map_err(failed)?;
    let Some((key, value)) = last else { return Ok(row.value(packer, None)) };
    if packed::answers_len(&value)? >= SHORT_BYTES {
        return Ok(row.value(packer, None));
    }
    superseded.push(key);
    let (marks, before) = packed::unpack_answers(&value)?;
    Ok(row.value(packer, Some((marks, &before))))
}

fn lost() -> Doubt {
    Doubt("its records are gone and could not be built again".into())
}

fn failed(error: sled::Error) -> Doubt {
    Doubt(error.to_string())
}

/// The directory of the read model within the data directory.
#[must_use]
pub fn directory(data: &Path) -> PathBuf {
    data.join("read-model")
}

#[cfg(test)]
mod tests;
