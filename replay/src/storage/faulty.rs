//! A disk in memory that does what real ones do at the worst moment: it forgets what was not synced,
//! tears writes at sectors, takes less than it was given, fills up, flips bits, fails a sync and then claims that
//! the next one succeeded.
//!
//! Everything random comes from one seed. A clone is the same disk: tests keep one to break it.

use super::{Preparation, Storage, StorageFile, write_zeros};
use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A write of this many aligned bytes happens wholly or not at all.
pub const SECTOR_BYTES: usize = 512;

/// The disk.
#[derive(Clone, Debug)]
pub struct FaultyDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: Random,
    files: BTreeMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    names_durable: BTreeMap<String, u64>,
    name_changes: Vec<(String, Option<u64>)>,
    inode_next: u64,
    lock: Arc<()>,
    faults: Faults,
    operations: u64,
    dead: bool,
}

/// What the disk is told to do wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The power goes during the operation with this number (from 1).
    pub power_lost_at: Option<u64>,
    /// So many bytes fit in all files together.
    pub capacity_bytes: Option<u64>,
    /// Writes take only a part of what they are given, at random.
    pub short_writes: bool,
    /// The next sync of a file fails, and what it should have made durable never becomes so.
    pub sync_fails: bool,
    /// Nothing can be written.
    pub read_only: bool,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    cached: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

impl FaultyDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random::new(seed),
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            names_durable: BTreeMap::new(),
            name_changes: Vec::new(),
            inode_next: 0,
            lock: Arc::new(()),
            faults: Faults::default(),
            operations: 0,
            dead: false,
        })))
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Number of operations that could have been interrupted so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Whether the power is off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.state().dead
    }

    /// The power comes back: of what was not synced, any part may be there.
    pub fn restart(&self) {
        self.state().restart();
    }

    /// Content of a file as a reader sees it now; nothing if there is none.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(name).and_then(|inode| state.files.get(inode)).map(|it| it.cached.clone())
    }

    /// Everything reaches the disk, as it does after some time if the power stays.
    pub fn write_back(&self) {
        let mut state = self.state();
        state.names_durable = state.names.clone();
        state.name_changes.clear();
        for file in state.files.values_mut() {
            file.pending.clear();
            file.durable = file.cached.clone();
        }
    }

    /// Flips one bit of what a file holds, as disks do that are not looked at.
    ///
    /// # Panics
    ///
    /// If there is no such byte.
    pub fn flip(&self, name: &str, at: usize, bit: u32) {
        let mut state = self.state();
        let inode = *state.names.get(name).expect("a file of this disk");
        let file = state.files.get_mut(&inode).expect("names have files");
        file.cached[at] ^= 1 << bit;
        if let Some(byte) = file.durable.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }

    /// Puts a file there, durably.
    pub fn put(&self, name: &str, content: &[u8]) {
        let mut state = self.state();
        let inode = state.inode_next;
        state.inode_next += 1;
        let file = Inode { cached: content.to_vec(), durable: content.to_vec(), pending: Vec::new() };
        state.files.insert(inode, file);
        state.names.insert(name.to_owned(), inode);
        state.names_durable.insert(name.to_owned(), inode);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an operation. True if the power goes during it.
    fn count(&mut self) -> io::Result<bool> {
        if self.dead {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        self.dead = self.faults.power_lost_at == Some(self.operations);
        Ok(self.dead)
    }

    fn change_name(&mut self, name: &str, inode: Option<u64>) -> io::Result<()> {
        if self.faults.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let lost = self.count()?;
        self.name_changes.push((name.to_owned(), inode));
        put_name(&mut self.names, name, inode);
        if lost { Err(io::Error::other("the power went")) } else { Ok(()) }
    }

    fn write(&mut self, inode: u64, at: usize, bytes: &[u8]) -> io::Result<usize> {
        if self.faults.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let lost = self.count()?;
        let mut length = bytes.len();
        if self.faults.short_writes && length > 1 {
            length = self.random.below(length) + 1;
        }
        let capacity = self.faults.capacity_bytes;
        let used: usize = capacity.map_or(0, |_| self.files.values().map(|it| it.cached.len()).sum());
        let file = self.files.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
        if let Some(capacity) = capacity {
            let free = usize::try_from(capacity).unwrap_or(usize::MAX).saturating_sub(used);
            length = length.min((file.cached.len() + free).saturating_sub(at));
            if length == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let written = &bytes[..length];
        overwrite(&mut file.cached, at, written);
        file.pending.push((at, written.to_vec()));
        if lost { Err(io::Error::other("the power went")) } else { Ok(length) }
    }

    fn sync(&mut self, inode: u64) -> io::Result<()> {
        let lost = self.count()?;
        if lost {
            return Err(io::Error::other("the power went"));
        }
        let file = self.files.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
        let pending = std::mem::take(&mut file.pending);
        if self.faults.sync_fails {
            // The kernel marks the pages clean and forgets them: nothing pends any more.
            self.faults.sync_fails = false;
            return Err(io::Error::other("input/output error"));
        }
        for (at, bytes) in pending {
            overwrite(&mut file.durable, at, &bytes);
        }
        Ok(())
    }

    fn restart(&mut self) {
        let survivors = self.random.below(self.name_changes.len() + 1);
        for (name, inode) in std::mem::take(&mut self.name_changes).into_iter().take(survivors) {
            put_name(&mut self.names_durable, &name, inode);
        }
        self.names = self.names_durable.clone();
        for file in self.files.values_mut() {
            // A style for each file, so that all-lost and all-kept happen often as well.
            let style = self.random.below(4);
            for (at, bytes) in std::mem::take(&mut file.pending) {
                for (from, to) in sectors(at, bytes.len()) {
                    let kept = [false, true, self.random.below(2) == 0, self.random.below(8) > 0];
                    if kept[style] {
                        overwrite(&mut file.durable, at + from, &bytes[from..to]);
                    }
                }
            }
            file.cached = file.durable.clone();
        }
        let linked: Vec<u64> = self.names.values().copied().collect();
        self.files.retain(|inode, _| linked.contains(inode));
        self.lock = Arc::new(());
        self.dead = false;
        self.faults = Faults::default();
    }
}

fn put_name(names: &mut BTreeMap<String, u64>, name: &str, inode: Option<u64>) {
    match inode {
        Some(inode) => names.insert(name.to_owned(), inode),
        None => names.remove(name),
    };
}

fn overwrite(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The pieces of a write that are atomic, as ranges of its bytes.
fn sectors(at: usize, length: usize) -> Vec<(usize, usize)> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < length {
        let to = length.min((at + from + 1).next_multiple_of(SECTOR_BYTES) - at);
        pieces.push((from, to));
        from = to;
    }
    pieces
}

impl Storage for FaultyDisk {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.content(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.state();
        let found = state.names.get(name).copied();
        let inode = match (found, create) {
            (Some(_), true) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(inode), false) => inode,
            (None, false) => return Err(io::ErrorKind::NotFound.into()),
            (None, true) => {
                let inode = state.inode_next;
                state.inode_next += 1;
                state.files.insert(inode, Inode::default());
                state.change_name(name, Some(inode))?;
                inode
            }
        };
        Ok(Box::new(FaultyFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if state.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // One change of the file system's own journal, but the new name comes first here, so that a
        // crash between finds both: the harder case.
        state.change_name(to, Some(inode))?;
        state.change_name(from, None)
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        // As for a rename: a crash between finds both names.
        state.change_name(to, Some(inode))?;
        state.change_name(from, None)
    }

    fn reader(&self) -> Box<dyn Storage> {
        Box::new(self.clone())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_name(name, None)
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.count()? {
            return Err(io::Error::other("the power went"));
        }
        for (name, inode) in std::mem::take(&mut state.name_changes) {
            put_name(&mut state.names_durable, &name, inode);
        }
        Ok(())
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send>>> {
        let state = self.state();
        // The disk holds one reference; the writer the other.
        if Arc::strong_count(&state.lock) > 1 {
            return Ok(None);
        }
        Ok(Some(Box::new(Arc::clone(&state.lock))))
    }

    fn prepare(&self, name: &str, bytes: u64) -> Box<dyn Preparation> {
        let filled = self.open(name, true).and_then(|mut file| {
            write_zeros(&mut *file, 0, bytes)?;
            file.sync()
        });
        let done = match filled {
            Err(error) if self.content(name).is_some() => self.remove(name).and(Err(error)),
            other => other,
        };
        Box::new(Done(Some(done)))
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    inode: u64,
}

impl StorageFile for FaultyFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.disk.state().write(self.inode, crate::frame::index_of(offset), bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.state().sync(self.inode)
    }
}

struct Done(Option<io::Result<()>>);

impl Preparation for Done {
    fn poll(&mut self) -> Option<io::Result<()>> {
        self.0.take()
    }

    fn wait(mut self: Box<Self>) -> io::Result<()> {
        self.0.take().unwrap_or(Ok(()))
    }
}

/// Small seeded numbers (splitmix64, public domain): simulations must repeat from their seed alone.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0. (Its small bias does not matter here.)
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("an index fits 64 bits");
        usize::try_from(self.draw() % bound).expect("below an index")
    }
}
