//! Where the read model keeps what is bulky: sled beside the journal, or memory if sled fails.
//!
//! Nothing here is an authority. Every record is a function of the journal, how far it goes is written
//! in the same batch, and the sum over all records is compared with what the journal gives before a
//! record is believed. On any doubt the directory is deleted and filled again.

use sled::IVec;
use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::RwLock;

const META: &[u8] = b"!meta";
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

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

/// Records to be written together.
#[derive(Debug, Default)]
pub struct Batch {
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Batch {
    /// Adds one record. Records are written once and never changed.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.records.push((key, value));
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records so far.
    #[must_use]
    pub fn records(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.records
    }

    /// The value of a key in this batch.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.records.iter().rev().find(|(it, _)| it == key).map(|(_, value)| value.as_slice())
    }
}

/// Why a store cannot be used (any more); it is then deleted and filled again.
#[derive(Clone, Debug)]
pub struct Doubt(pub String);

/// The store.
#[derive(Debug)]
pub struct Store {
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Sled(sled::Db),
    Memory(RwLock<BTreeMap<Vec<u8>, IVec>>),
    Lost,
}

impl Store {
    /// A store that forgets everything at the end of the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { backend: Backend::Memory(RwLock::new(BTreeMap::new())) }
    }

    /// A store whose records are gone and could not be made again: whoever reads is told so.
    #[must_use]
    pub fn lost() -> Self {
        Self { backend: Backend::Lost }
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
            .map_err(|error| Doubt(error.to_string()))?;
        let marker = db.get(META).map_err(|error| Doubt(error.to_string()))?;
        let applied = match marker {
            Some(bytes) => Reach::decode(&bytes)
                .ok_or_else(|| Doubt("the marker is damaged, or of another release".into()))?,
            None if db.is_empty() => Reach::default(),
            None => return Err(Doubt("records without a marker".into())),
        };
        Ok((Self { backend: Backend::Sled(db) }, applied))
    }

    /// Reads all of it.
    ///
    /// # Errors
    ///
    /// If sled fails.
    pub fn content(&self) -> Result<Content, Doubt> {
        let mut content = Content::default();
        match &self.backend {
            Backend::Sled(db) => {
                let read = || {
                    for record in db.iter() {
                        let (key, value) = record?;
                        if key != META {
                            content.add(&key, &value);
                        }
                    }
                    Ok(())
                };
                flatten(catch_unwind(AssertUnwindSafe(read)))?;
            }
            Backend::Memory(map) => {
                let map = map.read().expect("no writer of this map panics");
                map.iter().for_each(|(key, value)| content.add(key, value));
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

    /// Writes a batch and how far it goes, all or nothing.
    ///
    /// # Errors
    ///
    /// If sled fails: the store must not be used any more.
    pub fn commit(&self, batch: Batch, reach: Reach) -> Result<(), Doubt> {
        match &self.backend {
            Backend::Sled(db) => {
                let mut writes = sled::Batch::default();
                for (key, value) in batch.records {
                    writes.insert(key, value);
                }
                writes.insert(META, &reach.encode());
                let commit = catch_unwind(AssertUnwindSafe(|| db.apply_batch(writes)));
                flatten(commit)
            }
            Backend::Memory(map) => {
                let mut map = map.write().expect("no writer of this map panics");
                map.extend(batch.records.into_iter().map(|(key, value)| (key, IVec::from(value))));
                Ok(())
            }
            Backend::Lost => Ok(()),
        }
    }

    /// Hands what was written to the disk.
    ///
    /// # Errors
    ///
    /// If sled fails: the store must not be used any more.
    pub fn flush(&self) -> Result<(), Doubt> {
        match &self.backend {
            Backend::Sled(db) => flatten(catch_unwind(AssertUnwindSafe(|| db.flush().map(|_| ())))),
            Backend::Memory(_) | Backend::Lost => Ok(()),
        }
    }

    /// The record of a key.
    ///
    /// # Errors
    ///
    /// If sled fails.
    pub fn get(&self, key: &[u8]) -> Result<Option<IVec>, Doubt> {
        match &self.backend {
            Backend::Sled(db) => flatten(catch_unwind(AssertUnwindSafe(|| db.get(key)))),
            Backend::Memory(map) => Ok(map.read().expect("no writer of this map panics").get(key).cloned()),
            Backend::Lost => Err(lost()),
        }
    }

    /// Up to `limit` records from `first` on whose keys begin with `prefix`, by key.
    ///
    /// # Errors
    ///
    /// If sled fails.
    pub fn range(&self, prefix: &[u8], first: &[u8], limit: usize) -> Result<Vec<(IVec, IVec)>, Doubt> {
        match &self.backend {
            Backend::Sled(db) => {
                let read = || {
                    let with_prefix = |record: &sled::Result<(IVec, IVec)>| {
                        record.as_ref().map_or(true, |(key, _)| key.starts_with(prefix))
                    };
                    db.range(first..).take_while(with_prefix).take(limit).collect()
                };
                flatten(catch_unwind(AssertUnwindSafe(read)))
            }
            Backend::Memory(map) => {
                let map = map.read().expect("no writer of this map panics");
                let from = map.range(first.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
                Ok(from.take(limit).map(|(key, value)| (IVec::from(key.as_slice()), value.clone())).collect())
            }
            Backend::Lost => Err(lost()),
        }
    }

    /// Records after a key, by key, until they have about so many bytes; none if there are no more.
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
            Backend::Sled(db) => {
                let read = || {
                    let after = (Bound::Excluded(key), Bound::Unbounded);
                    let rows = db.range::<&[u8], _>(after);
                    rows.filter(|it| !matches!(it, Ok((key, _)) if key == META))
                        .take_while(|it| it.as_ref().map_or(true, &mut wanted))
                        .collect()
                };
                flatten(catch_unwind(AssertUnwindSafe(read)))
            }
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
}

fn lost() -> Doubt {
    Doubt("its records are gone and could not be built again".into())
}

fn flatten<T>(result: std::thread::Result<sled::Result<T>>) -> Result<T, Doubt> {
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Doubt(error.to_string())),
        Err(_) => Err(Doubt("sled panicked".into())),
    }
}

/// The directory of the read model within the data directory.
#[must_use]
pub fn directory(data: &Path) -> PathBuf {
    data.join("read-model")
}
