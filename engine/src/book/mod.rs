//! The orders of one auction, kept so that clearing can start the moment the gate closes.
//!
//! A book takes orders one at a time (file reader, market) and gives a handle for each. Handles are
//! never reused within a book. What the book holds depends on the orders alone, not on the sequence
//! of inserts and removals: clearing reads orders through their ids wherever order matters.

use crate::auction::{
    BlockHandle, BlockOrder, ComplexHandle, ComplexOrder, CurveHandle, CurveOrder, Frame, Point, Shape,
};
use alloc::string::String;
use alloc::vec::Vec;

/// A curve order as it stands in a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurveView<'book> {
    /// Area index.
    pub area: u16,
    /// Period index.
    pub period: u16,
    /// How `points` are read.
    pub shape: Shape,
    /// The points as they were entered.
    pub points: &'book [Point],
}

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

    /// How many curve handles were given out: every curve handle of this book is below it.
    #[must_use]
    pub fn curve_handles(&self) -> u32 {
        u32::try_from(self.curves.len()).expect("limits::POINTS_MAX fits")
    }

    /// Every curve order in handle order: (handle, id, order).
    pub fn curves(&self) -> impl Iterator<Item = (CurveHandle, &str, CurveView<'_>)> {
        (0..self.curve_handles()).map(CurveHandle).filter_map(|handle| {
            let (id, order) = self.curve_slot(handle)?;
            Some((handle, id.as_str(), view(order)))
        })
    }

    /// The curve order behind a handle, or nothing if it is not in the book.
    #[must_use]
    pub fn curve(&self, handle: CurveHandle) -> Option<CurveView<'_>> {
        self.curve_slot(handle).map(|(_, order)| view(order))
    }

    /// The id of a curve order.
    #[must_use]
    pub fn curve_id(&self, handle: CurveHandle) -> Option<&str> {
        self.curve_slot(handle).map(|(id, _)| id.as_str())
    }

    fn curve_slot(&self, handle: CurveHandle) -> Option<&(String, CurveOrder)> {
        self.curves.get(usize::try_from(handle.0).ok()?)?.as_ref()
    }

    /// Every block in handle order: (handle, id, order).
    pub fn blocks(&self) -> impl Iterator<Item = (BlockHandle, &str, &BlockOrder)> {
        (0..).zip(&self.blocks).filter_map(|(handle, slot)| {
            slot.as_ref().map(|(id, order)| (BlockHandle(handle), id.as_str(), order))
        })
    }

    /// The block behind a handle, or nothing if it is not in the book.
    #[must_use]
    pub fn block(&self, handle: BlockHandle) -> Option<&BlockOrder> {
        self.blocks.get(usize::try_from(handle.0).ok()?)?.as_ref().map(|(_, order)| order)
    }

    /// The id of a block.
    #[must_use]
    pub fn block_id(&self, handle: BlockHandle) -> Option<&str> {
        self.blocks.get(usize::try_from(handle.0).ok()?)?.as_ref().map(|(id, _)| id.as_str())
    }

    /// Every complex order in handle order: (handle, id, order).
    pub fn complex_orders(&self) -> impl Iterator<Item = (ComplexHandle, &str, &ComplexOrder)> {
        (0..).zip(&self.complex).filter_map(|(handle, slot)| {
            slot.as_ref().map(|(id, order)| (ComplexHandle(handle), id.as_str(), order))
        })
    }

    /// The complex order behind a handle, or nothing if it is not in the book.
    #[must_use]
    pub fn complex(&self, handle: ComplexHandle) -> Option<&ComplexOrder> {
        self.complex.get(usize::try_from(handle.0).ok()?)?.as_ref().map(|(_, order)| order)
    }

    /// The id of a complex order.
    #[must_use]
    pub fn complex_id(&self, handle: ComplexHandle) -> Option<&str> {
        self.complex.get(usize::try_from(handle.0).ok()?)?.as_ref().map(|(id, _)| id.as_str())
    }
}

fn view(order: &CurveOrder) -> CurveView<'_> {
    CurveView { area: order.area, period: order.period, shape: order.shape, points: &order.points }
}
