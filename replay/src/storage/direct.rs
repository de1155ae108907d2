//! Appends that go past the page cache and wait for the disk, in one call.
//!
//! A journal is written once and hardly read, so the cache only costs: a copy of the batch, and a walk over its pages at
//! every sync. Written with `O_DIRECT` and `RWF_DSYNC` a batch of 128 bytes takes about nine tenths of the time here, one
//! of half a megabyte two thirds, and half of the processor time (benches/RUNS.md). The device takes whole blocks
//! only: what the journal has in the first one is written again as it was, and what follows the batch in the last one is
//! zeros before and after, as a segment's rest is. Blocks between them are written from where they are, if they lie in
//! memory as on the disk ([`Placed`]), and else from a copy.
//!
//! # Deliberately absent
//!
//! - **A wish.** Where it cannot be done (the end of a segment that is no multiple of a block, a kernel that does not
//!   permit it), appends go through the cache, with fdatasync.
//! - **Trust in any file system.** Taken are those of which it is known that a direct write with this flag is on the
//!   disk when it returns; a network's or a process's file system may say so and mean less.

use crate::frame::{index_of, offset_of};
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;

/// A multiple of every block size that is in use; the device asks for memory and offsets at multiples of its own.
const BLOCK_BYTES: usize = 4_096;

/// What `statfs(2)` calls the file systems that are taken.
#[cfg(target_os = "linux")]
const EXT4: rustix::fs::FsWord = 0xef53;
#[cfg(target_os = "linux")]
const XFS: rustix::fs::FsWord = 0x5846_5342;

/// Bytes that will be appended at an offset, so placed in memory that where a block begins on the disk one begins there,
/// unless they have outgrown the memory of all that was here before.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    /// Longer than what is in use: to make it longer costs more than to write over what was there.
    memory: Vec<u8>,
    used: Range<usize>,
}

impl Placed {
    /// Makes it empty, for an offset.
    pub(crate) fn begin(&mut self, offset: u64) {
        let start = self.memory.as_ptr().align_offset(BLOCK_BYTES) % BLOCK_BYTES
            + index_of(offset % offset_of(BLOCK_BYTES));
        self.used = start..start;
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.used.clone()]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.used.clone()]
    }

    pub(crate) fn len(&self) -> usize {
        self.used.len()
    }

    /// Adds so many bytes, which may be anything.
    pub(crate) fn add(&mut self, bytes: usize) -> &mut [u8] {
        let (from, to) = (self.used.end, self.used.end + bytes);
        if to > self.memory.len() {
            self.memory.resize((to + to / 2 + 2 * BLOCK_BYTES).next_multiple_of(BLOCK_BYTES), 0);
        }
        self.used.end = to;
        &mut self.memory[from..to]
    }
}

/// A second way to a file.
pub(super) struct Direct {
    file: File,
    /// Its length; 0 if it cannot be written so after all.
    file_bytes: u64,
    /// Room for a block before the first whole one, to begin where the device wants memory to begin.
    memory: Vec<u8>,
    /// Where the last append ended, and what the block has before that.
    end: Option<u64>,
    tail: Vec<u8>,
}

impl Direct {
    /// Opens the way, if there is one.
    #[cfg(target_os = "linux")]
    pub(super) fn open(file: &File) -> Option<Self> {
        use std::os::fd::AsRawFd as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        if ![EXT4, XFS].contains(&rustix::fs::fstatfs(file).ok()?.f_type) {
            return None;
        }
        let flags = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()?;
        // By its descriptor: it may have been renamed since it was opened.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let direct = std::fs::OpenOptions::new().write(true).custom_flags(flags).open(path).ok()?;
        let file_bytes = file.metadata().ok()?.len();
        Some(Self { file: direct, file_bytes, memory: Vec::new(), end: None, tail: Vec::new() })
    }

    /// Elsewhere there is none.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn open(_: &File) -> Option<Self> {
        None
    }

    /// Writes bytes behind which the file has zeros only, durably; nothing, and nothing is written, if that cannot be done
    /// here. `before` reads what the file has at an offset.
    pub(super) fn append(
        &mut self,
        offset: u64,
        bytes: &[u8],
        before: impl FnOnce(u64, &mut [u8]) -> io::Result<()>,
    ) -> Option<io::Result<()>> {
        let into_block = index_of(offset % offset_of(BLOCK_BYTES));
        let from = offset - offset_of(into_block);
        let length = (into_block + bytes.len()).next_multiple_of(BLOCK_BYTES);
        if from + offset_of(length) > self.file_bytes {
            // The file must not grow.
            self.end = None;
            return None;
        }
        if self.end != Some(offset) {
            self.tail.resize(into_block, 0);
            if let Err(error) = before(from, &mut self.tail) {
                return Some(Err(error));
            }
        }
        self.end = None;
        // The rest of the first block, the whole blocks after it if they can be written from there, and what is left.
        let (first, rest) = bytes.split_at(((BLOCK_BYTES - into_block) % BLOCK_BYTES).min(bytes.len()));
        let placed = rest.as_ptr().align_offset(BLOCK_BYTES) == 0;
        let whole = if placed { rest.len() / BLOCK_BYTES * BLOCK_BYTES } else { 0 };
        let (whole, last) = rest.split_at(whole);
        let start = self.prepare(length - whole.len());
        let memory = &mut self.memory[start..start + length - whole.len()];
        let mut at = 0;
        for piece in [&self.tail, first, last] {
            memory[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
        memory[at..].fill(0);
        let (before, after) = memory.split_at(if whole.is_empty() { 0 } else { into_block + first.len() });
        let written = write_durably(&self.file, from, &mut [before, whole, after].map(IoSlice::new));
        match written {
            // The device has other wishes, now and later; nothing was written.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.file_bytes = 0;
                return None;
            }
            Err(error) => return Some(Err(error)),
            Ok(()) => {}
        }
        self.tail.clear();
        self.tail.extend_from_slice(&self.memory[start + at / BLOCK_BYTES * BLOCK_BYTES..start + at]);
        self.end = Some(offset + offset_of(bytes.len()));
        Some(Ok(()))
    }

    /// The file was written in another way.
    pub(super) fn forget(&mut self) {
        self.end = None;
    }

    /// Makes room for so many bytes; returns where they begin.
    fn prepare(&mut self, length: usize) -> usize {
        if self.memory.len() < length + BLOCK_BYTES {
            // What was in it is of no use, so it need not be copied.
            self.memory = vec![0; (length + BLOCK_BYTES).next_power_of_two()];
        }
        self.memory.as_ptr().align_offset(BLOCK_BYTES)
    }
}

/// Writes whole blocks from whole blocks of memory. After an error it is unknown what is on the disk, unless the error is that
/// the very first call was given what the device does not take.
#[cfg(target_os = "linux")]
fn write_durably(file: &File, mut offset: u64, mut blocks: &mut [IoSlice<'_>]) -> io::Result<()> {
    use rustix::io::{Errno, ReadWriteFlags, pwritev2};
    let begun = offset;
    IoSlice::advance_slices(&mut blocks, 0);
    while !blocks.is_empty() {
        match pwritev2(file, blocks, offset, ReadWriteFlags::DSYNC) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                IoSlice::advance_slices(&mut blocks, written);
                offset += offset_of(written);
            }
            Err(Errno::INTR) => {}
            // An old kernel, or one that permits little, says so of the flag or of the call.
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) if offset == begun => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            Err(Errno::INVAL) => {
                return Err(io::Error::other("a part of a batch was written, and the rest refused"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn write_durably(_: &File, _: u64, _: &mut [IoSlice<'_>]) -> io::Result<()> {
    Err(io::ErrorKind::InvalidInput.into())
}
