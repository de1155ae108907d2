//! The one door to the disk.
//!
//! Everything that the journal does to files goes through [`Storage`], so that the same writer and
//! the same recovery run on a real disk ([`disk::Disk`]) and on one that loses what was not synced
//! ([`faulty::FaultyDisk`]). Names are flat: a journal is one directory.

use std::any::Any;
use std::io;

pub(crate) mod direct;
pub mod disk;
pub mod faulty;
pub mod shelves;

/// Zeros are written in pieces of this many bytes.
const ZEROS_BYTES: usize = 1 << 20;

/// A directory that holds a journal.
pub trait Storage: Send {
    /// Where it is, for messages.
    fn place(&self) -> String;

    /// Names in the directory, sorted.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The whole content of a file.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// The whole content of a file, in place of what `bytes` held. Storage of `bytes` is used again:
    /// fresh memory for each segment costs a reader more than the checksums.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn read_into(&self, name: &str, bytes: &mut Vec<u8>) -> io::Result<()> {
        *bytes = self.read(name)?;
        Ok(())
    }

    /// Fills `bytes` from an offset of a file.
    ///
    /// # Errors
    ///
    /// What the system said; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read_at(&self, name: &str, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.hold(name)?.read_at(offset, bytes)
    }

    /// A file to read from that stays as it is when its name is gone.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn hold(&self, name: &str) -> io::Result<Box<dyn HeldFile>> {
        Ok(Box::new(self.read(name)?))
    }

    /// Opens a file for writing; creates it, empty, if told to, and then it must not exist.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn StorageFile>>;

    /// Renames a file; the new name must be free. Durable after [`Self::sync_names`].
    ///
    /// # Errors
    ///
    /// What the system said.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Renames a file over another, which is gone then: at once, readers see one or the other. Durable
    /// after [`Self::sync_names`].
    ///
    /// # Errors
    ///
    /// What the system said.
    fn replace(&self, from: &str, to: &str) -> io::Result<()>;

    /// Another handle to the same directory, for another thread.
    fn reader(&self) -> Box<dyn Storage>;

    /// Removes a file. Durable after [`Self::sync_names`].
    ///
    /// # Errors
    ///
    /// What the system said.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn sync_names(&self) -> io::Result<()>;

    /// Takes the lock that only one writer can hold, until the returned value is dropped. Nothing if
    /// another process holds it.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send>>>;

    /// Begins to make a file of so many zeros, durable when it is done; on failure it is removed.
    fn prepare(&self, name: &str, bytes: u64) -> Box<dyn Preparation>;
}

/// An open file.
pub trait StorageFile: Send {
    /// Writes at an offset; may write less than it was given.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Writes bytes behind which the file has nothing but zeros, and makes them durable, in one step; nothing, and then
    /// nothing is written, if this file takes two. What was written before in other ways must be durable already.
    ///
    /// # Errors
    ///
    /// As [`Self::sync`].
    fn append(&mut self, _offset: u64, _bytes: &[u8]) -> Option<io::Result<()>> {
        None
    }

    /// Makes everything written durable (fdatasync).
    ///
    /// # Errors
    ///
    /// What the system said. What was written before may or may not be durable, and a second call
    /// may succeed without making it so.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that is read from, whatever becomes of its name.
pub trait HeldFile: Send {
    /// Fills `bytes` from an offset.
    ///
    /// # Errors
    ///
    /// What the system said; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
}

impl HeldFile for Vec<u8> {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let from = self.get(crate::frame::index_of(offset)..).unwrap_or_default();
        bytes.copy_from_slice(from.get(..bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A file that is being filled with zeros.
pub trait Preparation: Send {
    /// Whether it is done, without waiting. After an answer it is not asked again.
    fn poll(&mut self) -> Option<io::Result<()>>;

    /// Waits until it is done.
    ///
    /// # Errors
    ///
    /// What the system said; [`io::ErrorKind::StorageFull`] if the disk is full.
    fn wait(self: Box<Self>) -> io::Result<()>;
}

/// Writes all the bytes, however few the file takes at a time.
///
/// # Errors
///
/// What the system said; [`io::ErrorKind::WriteZero`] if the file takes none.
pub fn write_all_at(file: &mut dyn StorageFile, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(offset, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = bytes.get(written..).ok_or(io::ErrorKind::InvalidData)?;
                offset += crate::frame::offset_of(written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes zeros from an offset to another.
///
/// # Errors
///
/// As [`write_all_at`].
pub fn write_zeros(file: &mut dyn StorageFile, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES];
    let mut at = from;
    while at < to {
        let piece = usize::try_from(to - at).unwrap_or(usize::MAX).min(ZEROS_BYTES);
        write_all_at(file, at, &zeros[..piece])?;
        at += crate::frame::offset_of(piece);
    }
    Ok(())
}

/// Whether an error says that there is no space left (or no quota, or no larger file allowed).
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    [StorageFull, QuotaExceeded, FileTooLarge].contains(&error.kind())
}
