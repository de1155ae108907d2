//! A real directory.
//!
//! Appends go to files that were written with zeros before (`fallocate` alone leaves extents that
//! must be converted at every sync, which is slower than growing the file). The next file is filled
//! by a thread of its own, a megabyte per sync with pauses between, so that it disturbs the syncs of the
//! journal little.

use super::direct::Direct;
use super::{HeldFile, Preparation, Storage, StorageFile, write_all_at};
use crate::frame::offset_of;
use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const LOCK_NAME: &str = "lock";
const ZEROS_PER_SYNC_BYTES: usize = 1 << 20;
/// How much longer than a piece of zeros took its writer pauses, unless the journal waits for it. A segment of 64 MiB
/// then takes a second or two; with 200,000 orders a second it lasts as long.
const PAUSE_FACTOR: u32 = 3;
const PAUSE_MAX: Duration = Duration::from_millis(30);

/// A directory of the file system.
#[derive(Clone, Debug)]
pub struct Disk {
    dir: PathBuf,
}

impl Disk {
    /// A directory that exists, for reading.
    #[must_use]
    pub fn existing(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    /// The directory, made if it does not exist.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn create(dir: &Path) -> io::Result<Self> {
        if !dir.is_dir() {
            fs::create_dir_all(dir)?;
            if let Some(parent) = dir.parent().filter(|it| !it.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(Self::existing(dir))
    }
}

impl HeldFile for File {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }
}

impl Storage for Disk {
    fn place(&self) -> String {
        self.dir.display().to_string()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            // A name that is not text is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.dir.join(name))
    }

    fn read_into(&self, name: &str, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.clear();
        File::open(self.dir.join(name))?.read_to_end(bytes).map(drop)
    }

    fn hold(&self, name: &str) -> io::Result<Box<dyn HeldFile>> {
        Ok(Box::new(File::open(self.dir.join(name))?))
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn StorageFile>> {
        let file = if create {
            self.create_file(name)?
        } else {
            OpenOptions::new().read(true).write(true).open(self.dir.join(name))?
        };
        Ok(Box::new(DiskFile::new(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let to = self.dir.join(to);
        if to.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(self.dir.join(from), to)
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn reader(&self) -> Box<dyn Storage> {
        Box::new(self.clone())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send>>> {
        let path = self.dir.join(LOCK_NAME);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn prepare(&self, name: &str, bytes: u64) -> Box<dyn Preparation> {
        let (disk, name) = (self.clone(), name.to_owned());
        let wishes = Arc::new(Wishes::default());
        let heard = Arc::clone(&wishes);
        let spawned = std::thread::Builder::new()
            .name("journal-zeros".to_owned())
            .spawn(move || disk.fill(&name, bytes, &heard));
        Box::new(Filling { spawned: Some(spawned), wishes })
    }
}

impl Disk {
    fn create_file(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(self.dir.join(name))
    }

    fn fill(&self, name: &str, bytes: u64, wishes: &Wishes) -> io::Result<()> {
        let filled = self.create_file(name).and_then(|file| {
            // At full length at once: an append does not let it grow.
            file.set_len(bytes)?;
            let (mut file, zeros) = (DiskFile::new(file), vec![0; ZEROS_PER_SYNC_BYTES]);
            let mut at = 0;
            while at < bytes {
                if wishes.given_up.load(Ordering::Relaxed) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let begun = Instant::now();
                let piece = usize::try_from(bytes - at).map_or(zeros.len(), |it| it.min(zeros.len()));
                if let Some(appended) = file.append(at, &zeros[..piece]) {
                    appended?;
                } else {
                    write_all_at(&mut file, at, &zeros[..piece])?;
                    file.sync()?;
                }
                at += offset_of(piece);
                // Orders wait for the same disk: it is theirs most of the time.
                if at < bytes && !wishes.awaited.load(Ordering::Relaxed) {
                    std::thread::park_timeout((begun.elapsed() * PAUSE_FACTOR).min(PAUSE_MAX));
                }
            }
            Ok(())
        });
        if filled.is_err() && self.dir.join(name).exists() {
            // Half a spare is of no use, and the space is wanted by others on a full disk.
            self.remove(name)?;
        }
        filled
    }
}

struct DiskFile {
    file: File,
    /// Looked for at the first append; nothing inside if there is none.
    direct: Option<Option<Direct>>,
}

impl DiskFile {
    fn new(file: File) -> Self {
        Self { file, direct: None }
    }
}

impl StorageFile for DiskFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.direct.iter_mut().flatten().for_each(Direct::forget);
        FileExt::write_at(&self.file, bytes, offset)
    }

    fn append(&mut self, offset: u64, bytes: &[u8]) -> Option<io::Result<()>> {
        let Self { file, direct } = self;
        let direct = direct.get_or_insert_with(|| Direct::open(file)).as_mut()?;
        direct.append(offset, bytes, |from, before| file.read_exact_at(before, from))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// What is asked of the thread that writes zeros.
#[derive(Debug, Default)]
struct Wishes {
    /// To end.
    given_up: AtomicBool,
    /// To make haste.
    awaited: AtomicBool,
}

struct Filling {
    spawned: Option<io::Result<JoinHandle<io::Result<()>>>>,
    wishes: Arc<Wishes>,
}

impl Filling {
    fn finish(&mut self) -> io::Result<()> {
        let thread = self.spawned.take().ok_or(io::ErrorKind::InvalidInput)??;
        self.wishes.awaited.store(true, Ordering::Relaxed);
        thread.thread().unpark();
        thread.join().map_err(|_| io::Error::other("the thread that writes zeros panicked"))?
    }
}

impl Preparation for Filling {
    fn poll(&mut self) -> Option<io::Result<()>> {
        let running = matches!(&self.spawned, Some(Ok(thread)) if !thread.is_finished());
        if running { None } else { Some(self.finish()) }
    }

    fn wait(mut self: Box<Self>) -> io::Result<()> {
        self.finish()
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        // The next owner of the directory must not find a spare that still grows.
        self.wishes.given_up.store(true, Ordering::Relaxed);
        if self.spawned.is_some() {
            drop(self.finish());
        }
    }
}
