//! A journal and the archive of its old segments, as one directory.
//!
//! Whoever reads finds a segment wherever it lies; what is in both places is the journal's. Everything
//! that is written is the journal's alone: segments get into the archive by [`crate::retention`].

use super::{HeldFile, Preparation, Storage, StorageFile};
use crate::segment;
use std::any::Any;
use std::io;

/// Both places.
pub struct Shelves {
    journal: Box<dyn Storage>,
    archive: Box<dyn Storage>,
}

impl Shelves {
    /// A journal's directory and that of its archive.
    #[must_use]
    pub fn new(journal: Box<dyn Storage>, archive: Box<dyn Storage>) -> Self {
        Self { journal, archive }
    }

    /// Reads in the journal, or else in the archive. A segment may move between the look and the reading.
    fn either<T>(&self, name: &str, mut read: impl FnMut(&dyn Storage) -> io::Result<T>) -> io::Result<T> {
        match read(&*self.journal) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && segment::seq_of_name(name).is_some() => {
                read(&*self.archive)
            }
            other => other,
        }
    }
}

impl Storage for Shelves {
    fn place(&self) -> String {
        format!("{} (archive {})", self.journal.place(), self.archive.place())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = match self.archive.list() {
            // Before the first segment is retired there may be no directory.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed?,
        };
        names.retain(|it| segment::seq_of_name(it).is_some());
        names.extend(self.journal.list()?);
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.either(name, |it| it.read(name))
    }

    fn read_into(&self, name: &str, bytes: &mut Vec<u8>) -> io::Result<()> {
        self.either(name, |it| it.read_into(name, bytes))
    }

    fn hold(&self, name: &str) -> io::Result<Box<dyn HeldFile>> {
        self.either(name, |it| it.hold(name))
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn StorageFile>> {
        self.journal.open(name, create)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.journal.rename(from, to)
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.journal.replace(from, to)
    }

    fn reader(&self) -> Box<dyn Storage> {
        Box::new(Self::new(self.journal.reader(), self.archive.reader()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.journal.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.journal.sync_names()
    }

    /// Both: an archive that two nodes move their segments to is the history of neither.
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send>>> {
        Ok(match (self.journal.lock()?, self.archive.lock()?) {
            (Some(journal), Some(archive)) => Some(Box::new((journal, archive))),
            (None, _) | (_, None) => None,
        })
    }

    fn prepare(&self, name: &str, bytes: u64) -> Box<dyn Preparation> {
        self.journal.prepare(name, bytes)
    }
}
