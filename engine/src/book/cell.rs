//! The curve orders of one area and period, their points in one piece of memory.
//!
//! Whoever fills or verifies an auction reads every order once. What that takes lies close together,
//! in the order of arrival: where each order's steps are and, in the ladders of the period, packed,
//! the steps in merit order. What is asked for rarely (handles, ids, points as they were entered) lies
//! apart.

use super::ladder::Ladders;
use super::levels::{Arrival, Level, Levels};
use crate::auction::{CurveHandle, Point, Shape, Side};
use crate::rows::Rows;
use crate::snapshot::{Damaged, Keep, Reader, Writer, keep_struct, put_text};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// Which order it is, and its points as they were entered.
#[derive(Clone, Copy, Debug)]
struct Entry {
    handle: CurveHandle,
    points_start: u32,
    /// 0 once the order was taken out: an order has at least one point.
    points_len: u32,
    id_start: u32,
    id_len: u32,
}

/// Where the steps of one order stand: in the ladders, of a linear order in the points. In 8 bytes, as
/// every order's is read by whoever fills or verifies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: u32,
    /// Four times the number of steps, and the shape's number; no steps once the order was taken out.
    len_shape: u32,
}

impl Span {
    fn new(start: u32, len: usize, shape: Shape) -> Self {
        let shape = match shape {
            Shape::Step(Side::Buy) => 0,
            Shape::Step(Side::Sell) => 1,
            Shape::Linear => 2,
        };
        Self { start, len_shape: count(len * 4) + shape }
    }

    /// How the steps are read.
    pub(crate) const fn shape(self) -> Shape {
        match self.len_shape % 4 {
            0 => Shape::Step(Side::Buy),
            1 => Shape::Step(Side::Sell),
            _ => Shape::Linear,
        }
    }

    /// Whether the order was taken out.
    pub(crate) const fn is_empty(self) -> bool {
        self.len_shape < 4
    }

    /// For the ladders of the period, of a linear order for [`Cell::points`].
    pub(crate) fn range(self) -> Range<usize> {
        let start = index(self.start);
        start..start + index(self.len_shape / 4)
    }
}

/// One order of a cell.
#[derive(Clone, Copy, Debug)]
pub struct CellOrder<'book> {
    /// Which.
    pub handle: CurveHandle,
    /// Its id, a text.
    pub id: &'book [u8],
    /// How `points` are read.
    pub shape: Shape,
    /// The points as they were entered.
    pub points: &'book [Point],
}

/// The ids of all orders, one after the other. Texts, of which nobody asks again whether they are: that is looked at when
/// they come as bytes, and when one is asked for by itself.
#[derive(Clone, Debug, Default)]
struct Ids(Vec<u8>);

// As one text is kept.
impl Keep for Ids {
    fn put(&self, out: &mut Writer<'_>) {
        put_text(&self.0, out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        String::take(from).map(|it| Self(it.into_bytes()))
    }
}

/// The curve orders of one area and period.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    entries: Rows<Entry>,
    /// One for each entry.
    spans: Vec<Span>,
    points: Vec<Point>,
    ids: Ids,
    /// Points of orders that were taken out and still stand in `points`.
    points_dead: usize,
    linear: u32,
    levels: Levels,
}

keep_struct! {
    Entry { handle, points_start, points_len, id_start, id_len }
    Span { start, len_shape }
    Cell { entries, spans, points, ids, points_dead, linear, levels }
}

fn index(value: u32) -> usize {
    usize::try_from(value).expect("a u32 fits an index on every platform we build for")
}

fn count(value: usize) -> u32 {
    u32::try_from(value).expect("limits::POINTS_MAX points and their ids fit a u32")
}

impl Cell {
    /// Every order, in the order of arrival.
    pub fn orders(&self) -> impl Iterator<Item = CellOrder<'_>> {
        self.positions().map(|(_, position)| self.order(position))
    }

    /// Where the steps of every order stand, in the order of arrival; those that were taken out
    /// included until the cell is swept. The index is the order's position.
    pub(crate) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Reads one in each line of 64 bytes of the spans.
    pub(super) fn touch(&self) -> u32 {
        self.spans.chunks(8).fold(0, |sum: u32, line| sum.wrapping_add(line[0].len_shape))
    }

    /// The points of all orders.
    pub(crate) fn points(&self) -> &[Point] {
        &self.points
    }

    /// The points of every linear order.
    pub(crate) fn linear(&self) -> impl Iterator<Item = &[Point]> {
        let linear = self.spans.iter().filter(|it| it.shape() == Shape::Linear && !it.is_empty());
        linear.map(|it| &self.points[it.range()])
    }

    /// The handle of the order at a position.
    pub(crate) fn handle(&self, position: u32) -> CurveHandle {
        self.entries[index(position)].handle
    }

    /// What the step orders want and offer together.
    pub(crate) fn levels(&self) -> &Levels {
        &self.levels
    }

    /// Points of all orders, those not yet swept out included: how long a walk through takes.
    #[must_use]
    pub fn points_len(&self) -> usize {
        self.points.len()
    }

    /// Number of linear orders.
    #[must_use]
    pub fn linear_len(&self) -> u32 {
        self.linear
    }

    /// The order at a position.
    pub(crate) fn order(&self, position: u32) -> CellOrder<'_> {
        let entry = &self.entries[index(position)];
        let points = index(entry.points_start)..index(entry.points_start) + index(entry.points_len);
        let id = index(entry.id_start)..index(entry.id_start) + index(entry.id_len);
        CellOrder {
            handle: entry.handle,
            id: &self.ids.0[id],
            shape: self.spans[index(position)].shape(),
            points: &self.points[points],
        }
    }

    /// Whether an order stands at a position with everything that belongs to it; of a state that came as bytes.
    pub(super) fn is_whole(&self, position: u32) -> bool {
        let at = index(position);
        let (Some(entry), Some(_)) = (self.entries.get(at), self.spans.get(at)) else { return false };
        let inside = |start: u32, len: u32| index(start)..index(start).saturating_add(index(len));
        let points = self.points.get(inside(entry.points_start, entry.points_len));
        let id = self.ids.0.get(inside(entry.id_start, entry.id_len));
        let is_text = id.is_some_and(|it| core::str::from_utf8(it).is_ok());
        entry.points_len > 0 && points.is_some() && is_text
    }

    /// Adds an order and returns its position; `ladders` are those of the period, and `id` appends the bytes of its id.
    pub(super) fn insert(
        &mut self,
        handle: CurveHandle,
        id: impl FnOnce(&mut Vec<u8>),
        (shape, points): (Shape, &[Point]),
        ladders: &mut Ladders,
        scratch: &mut Vec<Level>,
    ) -> u32 {
        self.count_in(shape, points, 1, scratch);
        let start = match shape {
            Shape::Step(side) => ladders.push(side, points),
            Shape::Linear => count(self.points.len()),
        };
        self.append(handle, id, Span::new(start, points.len(), shape), points)
    }

    fn append(
        &mut self,
        handle: CurveHandle,
        id: impl FnOnce(&mut Vec<u8>),
        span: Span,
        points: &[Point],
    ) -> u32 {
        let position = count(self.entries.len());
        let (points_start, points_len) = (count(self.points.len()), count(points.len()));
        self.spans.push(span);
        let id_start = self.ids.0.len();
        id(&mut self.ids.0);
        let (id_start, id_len) = (count(id_start), count(self.ids.0.len() - id_start));
        self.entries.push(Entry { handle, points_start, points_len, id_start, id_len });
        self.points.extend_from_slice(points);
        position
    }

    /// Takes the order at `position` out. Returns true if positions changed: then the caller reads
    /// them again from [`Self::positions`].
    pub(super) fn remove(&mut self, position: u32, scratch: &mut Vec<Level>) -> bool {
        let entry = self.entries[index(position)];
        let range = index(entry.points_start)..index(entry.points_start) + index(entry.points_len);
        let points: Vec<Point> = self.points[range].to_vec();
        let shape = self.spans[index(position)].shape();
        self.count_in(shape, &points, -1, scratch);
        self.entries[index(position)].points_len = 0;
        self.spans[index(position)] = Span::new(0, 0, shape);
        self.points_dead += points.len();
        let sweep = self.points_dead > 64 && self.points_dead * 2 > self.points.len();
        if sweep {
            self.sweep();
        }
        sweep
    }

    /// (handle, position) of every order.
    pub(super) fn positions(&self) -> impl Iterator<Item = (CurveHandle, u32)> {
        (0..).zip(&self.entries).filter(|(_, it)| it.points_len > 0).map(|(at, it)| (it.handle, at))
    }

    fn count_in(&mut self, shape: Shape, points: &[Point], sign: i64, scratch: &mut Vec<Level>) {
        let side = match shape {
            Shape::Step(side) => side,
            Shape::Linear => {
                self.linear = if sign > 0 { self.linear + 1 } else { self.linear - 1 };
                return;
            }
        };
        for point in points {
            let (price, lots) = (point.price, sign * point.quantity);
            let arrival = match side {
                Side::Buy => Arrival { price, buy: lots, sell: 0 },
                Side::Sell => Arrival { price, buy: 0, sell: lots },
            };
            self.levels.add(arrival, scratch);
        }
    }

    /// Drops what was taken out. Paid for by the removals since the last sweep.
    fn sweep(&mut self) {
        let mut swept =
            Self { levels: core::mem::take(&mut self.levels), linear: self.linear, ..Self::default() };
        for (_, position) in self.positions() {
            let CellOrder { handle, id, shape, points } = self.order(position);
            let mut span = self.spans[index(position)];
            if shape == Shape::Linear {
                span.start = count(swept.points.len());
            }
            swept.append(handle, |ids| ids.extend_from_slice(id), span, points);
        }
        *self = swept;
    }

    /// Moves the steps of its orders to other ladders; orders that were taken out have none.
    pub(super) fn move_steps(&mut self, ladders: &mut Ladders) {
        for (span, entry) in self.spans.iter_mut().zip(&self.entries) {
            if let (Shape::Step(side), false) = (span.shape(), span.is_empty()) {
                let start = index(entry.points_start);
                span.start = ladders.push(side, &self.points[start..start + index(entry.points_len)]);
            }
        }
    }
}
