//! A list of very many rows that grows without being moved.
//!
//! A [`Vec`] that doubles copies everything it holds into memory that nobody has touched yet: of a list of
//! millions of orders that is a stall of milliseconds, and over its life two thirds of what it touches is
//! given back. Rows lie in pieces that stay where they are. The first piece grows as a vector does, so a short
//! list is no longer than it must be.

use crate::snapshot::{Damaged, Keep, Reader, Writer, put_all};
use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

/// Rows in a piece.
const PIECE: usize = 4_096;

/// The list. Its rows are numbered from 0, and stay until all go.
#[derive(Clone, Debug)]
pub(crate) struct Rows<T> {
    /// All full but the last one, and none empty.
    pieces: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), len: 0 }
    }
}

impl<T> Rows<T> {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The row of a number.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.pieces.get(at / PIECE)?.get(at % PIECE)
    }

    /// Adds a row at the end.
    #[inline]
    pub(crate) fn push(&mut self, row: T) {
        if self.len.is_multiple_of(PIECE) {
            self.begin_piece();
        }
        self.len += 1;
        // Nothing but this takes the row, so it is put together where it stays.
        self.pieces.last_mut().expect("begun above").push(row);
    }

    #[cold]
    fn begin_piece(&mut self) {
        self.pieces.push(Vec::with_capacity(if self.pieces.is_empty() { 4 } else { PIECE }));
    }

    /// All rows, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flatten()
    }
}

impl<T> Index<usize> for Rows<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        &self.pieces[at / PIECE][at % PIECE]
    }
}

impl<T> IndexMut<usize> for Rows<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.pieces[at / PIECE][at % PIECE]
    }
}

impl<'a, T> IntoIterator for &'a Rows<T> {
    type Item = &'a T;
    type IntoIter = core::iter::Flatten<core::slice::Iter<'a, Vec<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.iter().flatten()
    }
}

// As a vector is kept.
impl<T: Keep> Keep for Rows<T> {
    fn put(&self, out: &mut Writer<'_>) {
        put_all(self.len, self.iter(), out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let mut left = from.list::<T>()?;
        let (mut pieces, len) = (Vec::new(), left);
        while left > 0 {
            let rows = left.min(PIECE);
            // The first has no room to spare if it is short; the last one is filled on.
            let mut piece = Vec::with_capacity(if pieces.is_empty() { rows } else { PIECE });
            from.rows(rows, &mut piece)?;
            pieces.push(piece);
            left -= rows;
        }
        Ok(Self { pieces, len })
    }
}

#[cfg(test)]
mod tests {
    use super::{PIECE, Rows};
    use crate::snapshot;
    use alloc::vec::Vec;

    /// Lists around the ends of pieces are what a vector of the same rows is, when pushed and when taken back.
    #[test]
    fn rows_are_the_vector_of_what_was_pushed() {
        for length in [0, 1, 5, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7] {
            let plain: Vec<u64> = (0..).map(|it| it * 3).take(length).collect();
            let mut rows = Rows::default();
            plain.iter().for_each(|it| rows.push(*it));
            let bytes_of = |rows: &Rows<u64>| {
                let mut bytes = Vec::new();
                snapshot::put(rows, &mut |piece| bytes.extend_from_slice(piece));
                bytes
            };
            let bytes = bytes_of(&rows);
            let mut kept = Vec::new();
            snapshot::put(&plain, &mut |piece| kept.extend_from_slice(piece));
            assert!(bytes == kept, "{length}");
            let mut source = bytes.chunks(777);
            let total = u64::try_from(bytes.len()).unwrap();
            let mut again: Rows<u64> = snapshot::take(total, &mut |into| {
                source.next().map(|it| into.extend_from_slice(it)).is_some()
            })
            .unwrap();
            for rows in [&mut rows, &mut again] {
                assert_eq!((rows.len(), rows.is_empty()), (length, length == 0));
                assert!(rows.iter().eq(&plain), "{length}");
                assert_eq!(rows.get(length), None);
                rows.push(1);
                assert_eq!((rows[length], rows.len()), (1, length + 1));
                rows[length] += 1;
                assert_eq!(rows.get(length), Some(&2));
            }
            assert!(bytes_of(&rows) == bytes_of(&again));
        }
    }
}
