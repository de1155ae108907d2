//! The high-water mark: a small file that says how far history is known to be acknowledged.
//!
//! Batch ends say the same inside the journal, one batch late. This file is written (and not synced)
//! after each batch, so that a node that was killed knows exactly what it had promised, and damage
//! to the last batch is never mistaken for a torn tail. It is evidence only: it is never ahead of
//! what was durable, and without it the batch ends still count.

use crate::error::JournalError;
use crate::frame::array;
use crate::storage::{Storage, StorageFile, write_all_at};

/// Its name in the journal's directory.
pub const MARK_NAME: &str = "acknowledged.mark";
const SLOT_BYTES: usize = 512;
const USED_BYTES: usize = 32;
const MAGIC: [u8; 8] = *b"MERITACK";

/// The open mark of a running writer.
pub(crate) struct Mark {
    file: Box<dyn StorageFile>,
    exchange_id: u128,
    slot_next: u64,
}

impl Mark {
    pub(crate) fn open(storage: &dyn Storage, exchange_id: u128, exists: bool) -> Result<Self, JournalError> {
        let io = JournalError::io;
        let mut file = storage.open(MARK_NAME, !exists).map_err(io("open", MARK_NAME))?;
        if !exists {
            write_all_at(&mut *file, 0, &[0; 2 * SLOT_BYTES]).map_err(io("write", MARK_NAME))?;
            file.sync().map_err(io("sync", MARK_NAME))?;
            storage.sync_names().map_err(io("sync", "the journal directory"))?;
        }
        Ok(Self { file, exchange_id, slot_next: 0 })
    }

    /// Writes the mark into the older of its two sectors, so that a torn write leaves the other.
    pub(crate) fn write(&mut self, seq: u64) -> Result<(), JournalError> {
        let offset = self.slot_next * crate::frame::offset_of(SLOT_BYTES);
        let bytes = encode(self.exchange_id, seq);
        write_all_at(&mut *self.file, offset, &bytes).map_err(JournalError::io("write", MARK_NAME))?;
        self.slot_next = 1 - self.slot_next;
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> Result<(), JournalError> {
        self.file.sync().map_err(JournalError::io("sync", MARK_NAME))
    }
}

/// The greatest sequence number that the file's intact sectors name; 0 without evidence.
pub(crate) fn decode(exchange_id: u128, content: &[u8]) -> u64 {
    let intact = content.chunks(SLOT_BYTES).filter_map(|slot| {
        let used = slot.get(..USED_BYTES)?;
        let seq = u64::from_le_bytes(array(used, 8));
        (used == encode(exchange_id, seq)).then_some(seq)
    });
    intact.max().unwrap_or(0)
}

fn encode(exchange_id: u128, seq: u64) -> [u8; USED_BYTES] {
    let mut bytes = [0; USED_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&seq.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&exchange_id.to_le_bytes()), &bytes[..16]);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    bytes
}
