//! A snapshot from another node, for a journal whose next record nobody can read any more.
//!
//! It is written under a name of its own while it comes, checked from its first byte to the digest of its
//! state, and renamed when it is whole: until then it is nothing, and from then on the next start puts it in
//! ([`install`]). That begins a segment after the snapshot's record, and then gives the snapshot its name; a
//! power cut at any moment leaves the journal as it was, or one that the next start finishes.
//!
//! What the journal held before stays where it is. It must be the beginning of the snapshot's history: its
//! last record has the epoch that the snapshot's lineage gives that number, and an epoch has one writer.
//! Otherwise this node has led since it asked, and the snapshot is thrown away.
//!
//! # Deliberately absent
//!
//! - **Going on with half a transfer.** It begins anew: a snapshot is short beside what it stands for.
//! - **Speed as a reason.** Records are followed wherever they can be had.

use crate::error::JournalError;
use crate::frame::{Head, offset_of};
use crate::recovery::{self, Discard};
use crate::segment::{self, HEADER_BYTES, SegmentHeader};
use crate::snapshot::{self, Header, Kept, Resumed};
use crate::storage::{Storage, StorageFile, write_all_at};
use crate::writer::{Options, SPARE_NAME, begin_after};
use std::io;

/// Under this name a snapshot is written while it comes.
pub(crate) const PART_NAME: &str = "fetched.part";
/// A snapshot that came whole, until the next start has put it in.
const WHOLE_NAME: &str = "fetched.snapshot";

/// A snapshot that is coming. Dropped before it is kept, it leaves nothing.
pub struct Fetch {
    storage: Box<dyn Storage>,
    file: Box<dyn StorageFile>,
    length: u64,
    kept: bool,
}

impl Fetch {
    /// Begins, in place of what an earlier attempt left.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn begin(storage: Box<dyn Storage>) -> Result<Self, JournalError> {
        let io = JournalError::io;
        let names = storage.list().map_err(io("list", &storage.place()))?;
        for left in [PART_NAME, WHOLE_NAME] {
            if names.iter().any(|it| it == left) {
                storage.remove(left).map_err(io("remove", left))?;
            }
        }
        let file = storage.open(PART_NAME, true).map_err(io("create", PART_NAME))?;
        Ok(Self { storage, file, length: 0, kept: false })
    }

    /// Adds the next piece.
    ///
    /// # Errors
    ///
    /// That it is not the next one, or what the system said.
    pub fn piece(&mut self, offset: u64, bytes: &[u8]) -> Result<(), String> {
        if offset != self.length {
            return Err(format!("byte {} was to come next, and not {offset}", self.length));
        }
        let written = write_all_at(&mut *self.file, offset, bytes);
        written.map_err(|error| format!("it cannot be written: {error}"))?;
        self.length += offset_of(bytes.len());
        Ok(())
    }

    /// Looks at its header, of which all must have come, so that what is not wanted need not come to its end.
    ///
    /// # Errors
    ///
    /// Why it is not wanted.
    pub fn look<M: Kept>(&self, exchange_id: u128, after: u64) -> Result<(), String> {
        let header = snapshot::foreign_header::<M>(&*self.storage, exchange_id, PART_NAME)?;
        goes_beyond(&header, after)
    }

    /// Makes it durable and checks all of it; it must go beyond record `after`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check<M: Kept>(&mut self, exchange_id: u128, after: u64) -> Result<(Resumed<M>, Header), String> {
        self.file.sync().map_err(|error| format!("it cannot be written: {error}"))?;
        let (resumed, header) = snapshot::load_foreign::<M>(&*self.storage, exchange_id, PART_NAME)?;
        goes_beyond(&header, after).map(|()| (resumed, header))
    }

    /// Has the next start go on from it. It was checked before.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn keep(mut self) -> Result<(), JournalError> {
        let io = JournalError::io;
        self.storage.rename(PART_NAME, WHOLE_NAME).map_err(io("name", WHOLE_NAME))?;
        self.kept = true;
        self.storage.sync_names().map_err(io("sync", "the journal directory"))
    }
}

#[cfg(test)]
impl Fetch {
    /// The process dies: what has come stays as it is.
    pub(crate) fn abandon(mut self) {
        self.kept = true;
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now is removed at the next start.
            drop(self.storage.remove(PART_NAME));
        }
    }
}

/// What became of a snapshot that had come whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installed {
    /// The journal goes on from it.
    From(Header),
    /// It was thrown away, for this reason; the journal is as it was.
    Refused(String),
}

/// Puts in the snapshot that has come, if there is one: the journal's next segment begins after its record.
/// `rows` puts what else came with it in its place; it may be called again after a power cut. Called before
/// the journal is opened.
///
/// # Errors
///
/// [`JournalError::Locked`], what is wrong with the journal itself, or what the system said.
pub fn install<M: Kept>(
    storage: &dyn Storage,
    options: &Options,
    rows: &mut dyn FnMut() -> io::Result<()>,
) -> Result<Option<Installed>, JournalError> {
    let io = JournalError::io;
    let names = storage.list().map_err(io("list", &storage.place()))?;
    if !names.iter().any(|it| it == WHOLE_NAME) {
        return Ok(None);
    }
    let lock = storage.lock().map_err(io("lock", &storage.place()))?;
    let _lock = lock.ok_or(JournalError::Locked)?;
    let header = match believed::<M>(storage, options, &names)? {
        Ok(header) => header,
        Err(reason) => {
            storage.remove(WHOLE_NAME).map_err(io("remove", WHOLE_NAME))?;
            storage.sync_names().map_err(io("sync", "the journal directory"))?;
            return Ok(Some(Installed::Refused(reason)));
        }
    };
    if !begun(storage, &names, header.head)? {
        if names.iter().any(|it| it == SPARE_NAME) {
            storage.remove(SPARE_NAME).map_err(io("remove", SPARE_NAME))?;
        }
        begin_after(storage, options, header.head)?;
    }
    remove_blank(storage, &names, header.head)?;
    rows().map_err(io("put in place", "what came with the snapshot"))?;
    let name = snapshot::name(header.head.stamp.seq);
    storage.replace(WHOLE_NAME, &name).map_err(io("name", &name))?;
    storage.sync_names().map_err(io("sync", "the journal directory"))?;
    Ok(Some(Installed::From(header)))
}

/// Whether the snapshot is whole and the journal the beginning of its history; if not, why.
fn believed<M: Kept>(
    storage: &dyn Storage,
    options: &Options,
    names: &[String],
) -> Result<Result<Header, String>, JournalError> {
    let (resumed, header) = match snapshot::load_foreign::<M>(storage, options.exchange_id, WHOLE_NAME) {
        Ok(loaded) => loaded,
        Err(reason) => return Ok(Err(reason)),
    };
    if begun(storage, names, header.head)? {
        // Put in before the power was cut.
        return Ok(Ok(header));
    }
    let base = snapshot::bases(storage)?.pop();
    // A torn tail may be cut only while it is the end of the journal.
    let held = match recovery::recover(storage, options.exchange_id, base, &mut Discard) {
        Ok(found) => found.head.stamp,
        Err(JournalError::NotFound { .. }) => return Ok(Ok(header)),
        Err(error) => return Err(error),
    };
    let same = held.seq == 0 || resumed.lineage.epoch_of(held.seq) == Some(held.epoch);
    let same = if same {
        Ok(header)
    } else {
        Err(format!("record {} of epoch {} is held here and is not in its history", held.seq, held.epoch))
    };
    Ok(goes_beyond(&header, held.seq).and(same))
}

fn goes_beyond(header: &Header, after: u64) -> Result<(), String> {
    let seq = header.head.stamp.seq;
    if seq > after { Ok(()) } else { Err(format!("it ends with record {seq}, and {after} is held here")) }
}

/// Whether the segment after a head has begun.
fn begun(storage: &dyn Storage, names: &[String], head: Head) -> Result<bool, JournalError> {
    let name = segment::segment_name(head.stamp.seq + 1);
    if !names.contains(&name) {
        return Ok(false);
    }
    let mut sector = [0; HEADER_BYTES];
    storage.read_at(&name, 0, &mut sector).map_err(JournalError::io("read", &name))?;
    Ok(SegmentHeader::decode(&sector).is_ok_and(|it| it.predecessor == head))
}

/// Removes the last segment before a head if there is no record in it: a node that finds its journal empty
/// begins one before it can ask anybody.
fn remove_blank(storage: &dyn Storage, names: &[String], head: Head) -> Result<(), JournalError> {
    let io = JournalError::io;
    let before = |it: &&String| segment::seq_of_name(it).is_some_and(|it| it <= head.stamp.seq);
    let Some(last) = names.iter().rfind(before) else { return Ok(()) };
    let bytes = storage.read(last).map_err(io("read", last))?;
    let Ok(header) = SegmentHeader::decode(&bytes) else { return Ok(()) };
    let walked = segment::walk(&header, &bytes, |_, _| Err(()));
    if walked.is_ok_and(|it| it.flaw.is_none()) {
        storage.remove(last).map_err(io("remove", last))?;
        storage.sync_names().map_err(io("sync", "the journal directory"))?;
    }
    Ok(())
}
