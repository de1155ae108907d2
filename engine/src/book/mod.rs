//! The orders of one auction, kept so that clearing can start the moment the gate closes.
//!
//! A book takes orders one at a time (file reader, market) and gives a handle for each. Handles are
//! never reused within a book. What the book holds depends on the orders alone, not on the sequence
//! of inserts and removals: clearing reads orders through their ids wherever order matters.

mod cell;
mod ladder;
mod levels;
mod places;

pub(crate) use cell::Span;
pub use cell::{Cell, CellOrder};
pub(crate) use ladder::{Ladders, Rung, key};
pub(crate) use levels::Levels;
pub use places::Places;

use crate::auction::{
    BlockHandle, BlockOrder, ComplexHandle, ComplexOrder, CurveHandle, CurveOrder, Frame, Point, Shape,
};
use crate::rows::Rows;
use crate::snapshot::{Damaged, Keep, Reader, Writer, keep_struct};
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

/// Where a curve order stands: its cell, its position there.
#[derive(Clone, Copy, Debug)]
struct Place {
    area: u16,
    period: u16,
    /// [`GONE`] once the order was taken out.
    position: u32,
}

/// No position: a cell has fewer orders.
const GONE: u32 = u32::MAX;

/// One auction: its frame and the orders in it.
#[derive(Clone, Debug)]
pub struct AuctionBook {
    frame: Frame,
    /// Index `period * areas + area`.
    cells: Vec<Cell>,
    /// One for each period.
    ladders: Vec<Ladders>,
    /// Steps of orders that were taken out and still stand in `ladders`, by period.
    steps_dead: Vec<usize>,
    /// By handle.
    curves: Rows<Place>,
    blocks: Vec<Option<(String, BlockOrder)>>,
    complex: Vec<Option<(String, ComplexOrder)>>,
    /// Overwritten by every insert.
    scratch: Vec<levels::Level>,
}

keep_struct! { Place { area, period, position } }

impl Keep for AuctionBook {
    fn put(&self, out: &mut Writer<'_>) {
        let Self { frame, cells, ladders, steps_dead, curves, blocks, complex, scratch: _ } = self;
        frame.put(out);
        cells.put(out);
        ladders.put(out);
        steps_dead.put(out);
        curves.put(out);
        blocks.put(out);
        complex.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self {
            frame: Keep::take(from)?,
            cells: Keep::take(from)?,
            ladders: Keep::take(from)?,
            steps_dead: Keep::take(from)?,
            curves: Keep::take(from)?,
            blocks: Keep::take(from)?,
            complex: Keep::take(from)?,
            scratch: Vec::new(),
        })
    }
}

impl AuctionBook {
    /// An empty book.
    #[must_use]
    pub fn new(frame: Frame) -> Self {
        let periods = usize::from(frame.periods);
        let cells = frame.areas.len() * periods;
        Self {
            frame,
            cells: alloc::vec![Cell::default(); cells],
            ladders: alloc::vec![Ladders::default(); periods],
            steps_dead: alloc::vec![0; periods],
            curves: Rows::default(),
            blocks: Vec::new(),
            complex: Vec::new(),
            scratch: Vec::new(),
        }
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

    fn cell_index(&self, period: u16, area: u16) -> usize {
        assert!(usize::from(area) < self.frame.areas.len() && period < self.frame.periods);
        usize::from(period) * self.frame.areas.len() + usize::from(area)
    }

    /// The curve orders of one area and period.
    ///
    /// # Panics
    ///
    /// If the frame has no such area or period.
    #[must_use]
    pub fn cell(&self, period: u16, area: u16) -> &Cell {
        &self.cells[self.cell_index(period, area)]
    }

    /// The steps of the step orders of a period.
    pub(crate) fn ladders(&self, period: u16) -> &Ladders {
        &self.ladders[usize::from(period)]
    }

    /// Reads through what filling or verifying a period needs, so that it is at hand in whatever order it
    /// is asked for. Changes nothing but the time that takes: memory answers many questions at once much
    /// sooner than one after the other.
    pub(crate) fn touch(&self, period: u16) {
        let areas = self.frame.areas.len();
        let cells = &self.cells[usize::from(period) * areas..][..areas];
        let spans = cells.iter().fold(0, |sum: u32, cell| sum.wrapping_add(cell.touch()));
        core::hint::black_box((spans, self.ladders(period).touch()));
    }

    /// Adds a curve order. `id` is unique among the orders of its area and period; ties go by it.
    ///
    /// # Panics
    ///
    /// If the frame has no such area or period, or the order no point.
    pub fn insert_curve(&mut self, id: &str, order: CurveOrder) -> CurveHandle {
        let CurveOrder { area, period, shape, points } = order;
        self.insert_points(id, area, period, shape, &points)
    }

    /// Adds a curve order whose points stand elsewhere; as [`Self::insert_curve`], and cheaper.
    ///
    /// # Panics
    ///
    /// If the frame has no such area or period, or the order no point.
    pub fn insert_points(
        &mut self,
        id: &str,
        area: u16,
        period: u16,
        shape: Shape,
        points: &[Point],
    ) -> CurveHandle {
        self.insert_named(|ids| ids.extend_from_slice(id.as_bytes()), area, period, shape, points)
    }

    /// As [`Self::insert_points`], of an order whose id is put together where it stays: `id` appends its bytes, a text.
    pub(crate) fn insert_named(
        &mut self,
        id: impl FnOnce(&mut Vec<u8>),
        area: u16,
        period: u16,
        shape: Shape,
        points: &[Point],
    ) -> CurveHandle {
        assert!(!points.is_empty(), "a curve has at least one point");
        let handle = CurveHandle(self.curve_handles());
        let cell = self.cell_index(period, area);
        let ladders = &mut self.ladders[usize::from(period)];
        let position = self.cells[cell].insert(handle, id, (shape, points), ladders, &mut self.scratch);
        self.curves.push(Place { area, period, position });
        handle
    }

    /// Takes a curve order out; returns it, or nothing if the handle is not in the book.
    pub fn remove_curve(&mut self, handle: CurveHandle) -> Option<CurveOrder> {
        let place = self.place(handle)?;
        let slot = usize::try_from(handle.0).ok()?;
        self.curves[slot].position = GONE;
        let index = self.cell_index(place.period, place.area);
        let cell = &mut self.cells[index];
        let order = cell.order(place.position);
        let order = CurveOrder {
            area: place.area,
            period: place.period,
            shape: order.shape,
            points: order.points.to_vec(),
        };
        if cell.remove(place.position, &mut self.scratch) {
            for (handle, position) in cell.positions() {
                let slot = usize::try_from(handle.0).expect("it was an index when it came in");
                self.curves[slot] = Place { position, ..place };
            }
        }
        if let Shape::Step(_) = order.shape {
            self.drop_steps(place.period, order.points.len());
        }
        Some(order)
    }

    /// Counts steps that were taken out, and sweeps once they are many.
    fn drop_steps(&mut self, period: u16, steps: usize) {
        let (at, areas) = (usize::from(period), self.frame.areas.len());
        self.steps_dead[at] += steps;
        if self.steps_dead[at] > 64 && self.steps_dead[at] * 2 > self.ladders[at].len() {
            let mut swept = Ladders::default();
            for cell in &mut self.cells[at * areas..][..areas] {
                cell.move_steps(&mut swept);
            }
            self.ladders[at] = swept;
            self.steps_dead[at] = 0;
        }
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

    /// How many block handles were given out.
    #[must_use]
    pub fn block_handles(&self) -> u32 {
        u32::try_from(self.blocks.len()).expect("limits::BLOCKS_MAX fits")
    }

    /// How many handles of complex orders were given out.
    #[must_use]
    pub fn complex_handles(&self) -> u32 {
        u32::try_from(self.complex.len()).expect("limits::BLOCKS_MAX fits")
    }

    /// Every curve order in handle order: (handle, id, order). For walks through all points,
    /// [`Self::cell`] reads memory in order and this does not.
    pub fn curves(&self) -> impl Iterator<Item = (CurveHandle, &str, CurveView<'_>)> {
        (0..self.curve_handles()).map(CurveHandle).filter_map(|handle| {
            let (place, order) = self.standing(handle)?;
            Some((handle, text(order.id)?, view(place, &order)))
        })
    }

    /// The curve order behind a handle, or nothing if it is not in the book.
    #[must_use]
    pub fn curve(&self, handle: CurveHandle) -> Option<CurveView<'_>> {
        self.standing(handle).map(|(place, order)| view(place, &order))
    }

    /// The id of a curve order.
    #[must_use]
    pub fn curve_id(&self, handle: CurveHandle) -> Option<&str> {
        text(self.id_bytes(handle)?)
    }

    /// The bytes of the id of a curve order.
    pub(crate) fn id_bytes(&self, handle: CurveHandle) -> Option<&[u8]> {
        self.standing(handle).map(|(_, order)| order.id)
    }

    /// Whether a curve order stands in the book with everything that belongs to it: so it is, unless the book
    /// came as bytes.
    pub(crate) fn has_whole(&self, handle: CurveHandle) -> bool {
        let Some(place) = self.place(handle) else { return false };
        let inside = usize::from(place.area) < self.frame.areas.len() && place.period < self.frame.periods;
        let index = usize::from(place.period) * self.frame.areas.len() + usize::from(place.area);
        inside && self.cells.get(index).is_some_and(|it| it.is_whole(place.position))
    }

    /// Where the fills of curve orders stand in an outcome. Holds until an order comes or goes.
    #[must_use]
    pub fn places(&self) -> Places {
        Places::new(&self.cells)
    }

    fn place(&self, handle: CurveHandle) -> Option<Place> {
        let place = self.curves.get(usize::try_from(handle.0).ok()?)?;
        Some(*place).filter(|it| it.position != GONE)
    }

    fn standing(&self, handle: CurveHandle) -> Option<(Place, CellOrder<'_>)> {
        let place = self.place(handle)?;
        Some((place, self.cell(place.period, place.area).order(place.position)))
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

/// An id, which is a text, unless the book came as bytes.
fn text(id: &[u8]) -> Option<&str> {
    core::str::from_utf8(id).ok()
}

fn view<'book>(place: Place, order: &CellOrder<'book>) -> CurveView<'book> {
    CurveView { area: place.area, period: place.period, shape: order.shape, points: order.points }
}
