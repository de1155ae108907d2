//! The orders of one auction, kept so that clearing can start the moment the gate closes.
//!
//! A book takes orders one at a time (file reader, market) and gives a handle for each. Handles are
//! never reused within a book. What the book holds depends on the orders alone, not on the sequence
//! of inserts and removals: clearing reads orders through their ids wherever order matters.

use crate::auction::{BlockHandle, BlockOrder, ComplexHandle, ComplexOrder, CurveHandle, CurveOrder, Frame};
use alloc::string::String;
use alloc::vec::Vec;

/// One auction: its frame and the orders in it.
#[derive(Clone, Debug)]
pub struct AuctionBook {
    frame: Frame,
    curves: Vec<Option<(String, CurveOrder)>>,
    blocks: Vec<Option<(String, BlockOrder)>>,
    complex: Vec<Option<(String, ComplexOrder)>>,
}

impl AuctionBook {
    /// An empty book.
    #[must_use]
    pub fn new(frame: Frame) -> Self {
        Self { frame, curves: Vec::new(), blocks: Vec::new(), complex: Vec::new() }
    }

    /// The frame.
    #[must_use]
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Replaces the capacities of line `line`; each list holds one value per period.
    pub fn set_capacity(&mut self, line: u16, capacity: Vec<i64>, capacity_back: Vec<i64>) {
        let line = &mut self.frame.lines[usize::from(line)];
        line.capacity = capacity;
        line.capacity_back = capacity_back;
    }

    /// Adds a curve order. `id` is unique among the orders of its area and period; ties go by it.
    pub fn insert_curve(&mut self, id: &str, order: CurveOrder) -> CurveHandle {
        self.curves.push(Some((id.into(), order)));
        CurveHandle(u32::try_from(self.curves.len() - 1).expect("limits::POINTS_MAX fits"))
    }

    /// Takes a curve order out; returns it, or nothing if the handle is not in the book.
    pub fn remove_curve(&mut self, handle: CurveHandle) -> Option<CurveOrder> {
        self.curves.get_mut(usize::try_from(handle.0).ok()?)?.take().map(|(_, order)| order)
    }

    /// Adds a block. Its parent, if any, is in the book.
    pub fn insert_block(&mut self, id: &str, order: BlockOrder) -> BlockHandle {
        self.blocks.push(Some((id.into(), order)));
        BlockHandle(u32::try_from(self.blocks.len() - 1).expect("limits::BLOCKS_MAX fits"))
    }

    /// Takes a block out. The caller has taken out its children first.
    pub fn remove_block(&mut self, handle: BlockHandle) -> Option<BlockOrder> {
        self.blocks.get_mut(usize::try_from(handle.0).ok()?)?.take().map(|(_, order)| order)
    }

    /// Adds a complex order.
    pub fn insert_complex(&mut self, id: &str, order: ComplexOrder) -> ComplexHandle {
        self.complex.push(Some((id.into(), order)));
        ComplexHandle(u32::try_from(self.complex.len() - 1).expect("limits::BLOCKS_MAX fits"))
    }

    /// Takes a complex order out.
    pub fn remove_complex(&mut self, handle: ComplexHandle) -> Option<ComplexOrder> {
        self.complex.get_mut(usize::try_from(handle.0).ok()?)?.take().map(|(_, order)| order)
    }
}
