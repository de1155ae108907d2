//! Records on their way into the store.

/// Memory that an empty batch may hold for the next.
const BYTES_KEPT: usize = 1 << 20;

/// Records to be written together, one after the other in one piece of memory, which serves batch after batch.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where each one's value begins, and where it ends.
    ends: Vec<(usize, usize)>,
}

impl Batch {
    /// Adds one record. Records are written once and never changed.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.put_with(&[key.as_ref()], |out| out.extend_from_slice(value.as_ref()));
    }

    /// Adds one whose key has parts, and whose value `append` appends to what it is given.
    pub(in super::super) fn put_with(&mut self, key: &[&[u8]], append: impl FnOnce(&mut Vec<u8>)) {
        key.iter().for_each(|part| self.bytes.extend_from_slice(part));
        let value = self.bytes.len();
        append(&mut self.bytes);
        self.ends.push((value, self.bytes.len()));
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The records so far.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + ExactSizeIterator {
        self.ends.iter().enumerate().map(|(index, (value, end))| {
            let key = index.checked_sub(1).and_then(|it| self.ends.get(it)).map_or(0, |(_, end)| *end);
            (&self.bytes[key..*value], &self.bytes[*value..*end])
        })
    }

    /// The value of a key in this batch.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.records().rev().find(|(it, _)| *it == key).map(|(_, value)| value)
    }

    /// Takes all of them out, and keeps the memory if it is not much.
    pub(in super::super) fn clear(&mut self) {
        if self.bytes.capacity() > BYTES_KEPT {
            *self = Self::default();
        }
        self.bytes.clear();
        self.ends.clear();
    }
}
