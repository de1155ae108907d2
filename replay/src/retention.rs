//! Old segments go to the archive, and are never deleted.
//!
//! A segment is old when everything in it lies before the oldest snapshot that is kept, and its last record
//! was journaled long enough ago. Then nothing that a start needs is in it; whoever builds something from
//! the beginning finds it through [`crate::storage::shelves`]. It is copied, read again, and then removed:
//! a power cut at any moment leaves it in one place or in both.

use crate::error::JournalError;
use crate::node::plant;
use crate::segment::{self, HEADER_BYTES, SegmentHeader};
use crate::snapshot;
use crate::storage::{Storage, write_all_at};

/// Under this name a segment is copied.
const PART_NAME: &str = "retired.part";

/// Moves the segments of a journal to its archive of which nothing is newer than `until_us`, journaled time.
/// Returns their names, oldest first.
///
/// # Errors
///
/// What the system said; what was moved before stays moved.
pub fn retire(
    journal: &dyn Storage,
    archive: &dyn Storage,
    until_us: i64,
) -> Result<Vec<String>, JournalError> {
    let io = JournalError::io;
    let Some(oldest) = snapshot::headers(journal)?.into_iter().next() else { return Ok(Vec::new()) };
    let names = journal.list().map_err(io("list", &journal.place()))?;
    let segments: Vec<&String> = names.iter().filter(|it| segment::seq_of_name(it).is_some()).collect();
    let mut retired = Vec::new();
    for pair in segments.windows(2) {
        let (name, next) = (pair[0], pair[1]);
        let mut sector = [0; HEADER_BYTES];
        journal.read_at(next, 0, &mut sector).map_err(io("read", next))?;
        // What is damaged stays where it is: recovery says what to do.
        let Ok(header) = SegmentHeader::decode(&sector) else { break };
        let last = header.predecessor.stamp;
        if last.seq > oldest.head.stamp.seq + plant::retires_too_far() || last.time_us > until_us {
            break;
        }
        shelve(journal, archive, name)?;
        retired.push(name.clone());
    }
    Ok(retired)
}

fn shelve(journal: &dyn Storage, archive: &dyn Storage, name: &str) -> Result<(), JournalError> {
    let io = JournalError::io;
    let bytes = journal.read(name).map_err(io("read", name))?;
    let names = archive.list().map_err(io("list", &archive.place()))?;
    let exists = names.iter().any(|it| it == PART_NAME);
    if exists {
        archive.remove(PART_NAME).map_err(io("remove", PART_NAME))?;
    }
    let mut file = archive.open(PART_NAME, true).map_err(io("create", PART_NAME))?;
    write_all_at(&mut *file, 0, &bytes).map_err(io("write", PART_NAME))?;
    file.sync().map_err(io("sync", PART_NAME))?;
    let copy = archive.read(PART_NAME).map_err(io("read", PART_NAME))?;
    if copy != bytes {
        let differs = std::io::Error::other("the copy differs from the segment");
        return Err(JournalError::Io { doing: format!("archive {name}"), source: differs });
    }
    archive.replace(PART_NAME, name).map_err(io("name", name))?;
    archive.sync_names().map_err(io("sync", "the archive's directory"))?;
    journal.remove(name).map_err(io("remove", name))?;
    journal.sync_names().map_err(io("sync", "the journal directory"))
}
