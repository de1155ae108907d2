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
/// Name of the file that holds the greatest epoch that this node has promised to.
pub const PROMISE_NAME: &str = "promised.epoch";
const PROMISE_MAGIC: [u8; 8] = *b"MERITEPO";

/// What a node lacks whose journal began on an empty disk: it may have held a history and lost it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lacks {
    /// What it had promised: it may follow a primary that it helped to replace.
    pub(crate) promises: bool,
    /// Records that it had acknowledged: its promise proves nothing.
    pub(crate) records: bool,
}

impl Lacks {
    const RECORDS: u64 = 1 << 32;
    const PROMISES: u64 = 1 << 33;

    /// An epoch and this, as one number of the promise's file.
    pub(crate) fn with(self, epoch: u32) -> u64 {
        let bit = |lacks: bool, bit: u64| if lacks { bit } else { 0 };
        u64::from(epoch) | bit(self.records, Self::RECORDS) | bit(self.promises, Self::PROMISES)
    }

    /// The epoch and what is lacking, from that number.
    pub(crate) fn of(number: u64) -> (u32, Self) {
        let lacks = Self { records: number & Self::RECORDS != 0, promises: number & Self::PROMISES != 0 };
        (u32::try_from(number & 0xffff_ffff).expect("32 bits"), lacks)
    }
}

/// An open mark of a running writer.
pub(crate) struct Mark {
    file: Box<dyn StorageFile>,
    name: &'static str,
    magic: [u8; 8],
    exchange_id: u128,
    slot_next: u64,
}

impl Mark {
    /// How far history is acknowledged.
    pub(crate) fn open(storage: &dyn Storage, exchange_id: u128, exists: bool) -> Result<Self, JournalError> {
        Self::open_as(storage, (MARK_NAME, MAGIC), exchange_id, exists)
    }

    /// The greatest epoch promised to. The slot that does not hold `promised` is written first.
    pub(crate) fn open_promise(
        storage: &dyn Storage,
        exchange_id: u128,
        exists: bool,
    ) -> Result<(Self, u64), JournalError> {
        let mut mark = Self::open_as(storage, (PROMISE_NAME, PROMISE_MAGIC), exchange_id, exists)?;
        let content = storage.read(PROMISE_NAME).map_err(JournalError::io("read", PROMISE_NAME))?;
        let promised = decode_as(PROMISE_MAGIC, exchange_id, &content);
        let first = content.get(..SLOT_BYTES).unwrap_or_default();
        mark.slot_next = u64::from(promised > 0 && decode_as(PROMISE_MAGIC, exchange_id, first) == promised);
        Ok((mark, promised))
    }

    fn open_as(
        storage: &dyn Storage,
        (name, magic): (&'static str, [u8; 8]),
        exchange_id: u128,
        exists: bool,
    ) -> Result<Self, JournalError> {
        let io = JournalError::io;
        let mut file = storage.open(name, !exists).map_err(io("open", name))?;
        if !exists {
            write_all_at(&mut *file, 0, &[0; 2 * SLOT_BYTES]).map_err(io("write", name))?;
            file.sync().map_err(io("sync", name))?;
            storage.sync_names().map_err(io("sync", "the journal directory"))?;
        }
        Ok(Self { file, name, magic, exchange_id, slot_next: 0 })
    }

    /// Writes the mark into the older of its two sectors, so that a torn write leaves the other.
    pub(crate) fn write(&mut self, seq: u64) -> Result<(), JournalError> {
        let offset = self.slot_next * crate::frame::offset_of(SLOT_BYTES);
        let bytes = encode(self.magic, self.exchange_id, seq);
        write_all_at(&mut *self.file, offset, &bytes).map_err(JournalError::io("write", self.name))?;
        self.slot_next = 1 - self.slot_next;
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> Result<(), JournalError> {
        self.file.sync().map_err(JournalError::io("sync", self.name))
    }
}

/// The greatest sequence number that the file's intact sectors name; 0 without evidence.
pub(crate) fn decode(exchange_id: u128, content: &[u8]) -> u64 {
    decode_as(MAGIC, exchange_id, content)
}

fn decode_as(magic: [u8; 8], exchange_id: u128, content: &[u8]) -> u64 {
    let intact = content.chunks(SLOT_BYTES).filter_map(|slot| {
        let used = slot.get(..USED_BYTES)?;
        let seq = u64::from_le_bytes(array(used, 8));
        (used == encode(magic, exchange_id, seq)).then_some(seq)
    });
    intact.max().unwrap_or(0)
}

fn encode(magic: [u8; 8], exchange_id: u128, seq: u64) -> [u8; USED_BYTES] {
    let mut bytes = [0; USED_BYTES];
    bytes[..8].copy_from_slice(&magic);
    bytes[8..16].copy_from_slice(&seq.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&exchange_id.to_le_bytes()), &bytes[..16]);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    bytes
}
