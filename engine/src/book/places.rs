//! Where the fills of curve orders stand in an outcome: cell by cell (period by period, in each area
//! by area), in a cell as the orders arrived. So whoever fills or verifies a cell goes through memory
//! in order; by handle, every fill would lie in another page.

use super::{AuctionBook, Cell};
use crate::auction::CurveHandle;
use alloc::vec::Vec;
use core::ops::Range;

/// The places of the curve orders of a book, as long as no order comes or goes.
#[derive(Clone, Debug)]
pub struct Places {
    /// First place of each cell, and one past the last place of all.
    starts: Vec<usize>,
}

impl Places {
    pub(super) fn new(cells: &[Cell]) -> Self {
        let mut starts = Vec::with_capacity(cells.len() + 1);
        let mut next = 0;
        for cell in cells {
            starts.push(next);
            next += cell.spans().len();
        }
        starts.push(next);
        Self { starts }
    }

    /// How many there are, those of orders that were taken out included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The places of a cell, index `period * areas + area`.
    pub(crate) fn of_cell(&self, cell: usize) -> Range<usize> {
        self.starts[cell]..self.starts[cell + 1]
    }

    /// The place of an order, or nothing if it is not in the book.
    #[must_use]
    pub fn of(&self, book: &AuctionBook, handle: CurveHandle) -> Option<usize> {
        let place = book.place(handle)?;
        let start = self.starts.get(book.cell_index(place.period, place.area))?;
        Some(start + usize::try_from(place.position).ok()?)
    }
}
