//! The curve orders of one area and period, their points in one piece of memory.
//!
//! Whoever fills or verifies an auction reads every point once: the points, entries and ids of a
//! cell are contiguous, in the order of their arrival.

use super::levels::{Arrival, Level, Levels};
use crate::auction::{CurveHandle, Point, Shape, Side};
use alloc::string::String;
use alloc::vec::Vec;

/// Where one order stands in its cell.
#[derive(Clone, Copy, Debug)]
struct Entry {
    handle: CurveHandle,
    points_start: u32,
    /// 0 once the order was taken out: an order has at least one point.
    points_len: u32,
    id_start: u32,
    id_len: u32,
    shape: Shape,
}

/// One order of a cell.
#[derive(Clone, Copy, Debug)]
pub struct CellOrder<'book> {
    /// Which.
    pub handle: CurveHandle,
    /// Its id.
    pub id: &'book str,
    /// How `points` are read.
    pub shape: Shape,
    /// The points as they were entered.
    pub points: &'book [Point],
}

/// One order of a cell, its points apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walked {
    pub(crate) handle: CurveHandle,
    /// For [`Cell::order`].
    pub(crate) position: u32,
    pub(crate) shape: Shape,
}

/// The curve orders of one area and period.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    entries: Vec<Entry>,
    points: Vec<Point>,
    ids: String,
    /// Points of orders that were taken out and still stand in `points`.
    points_dead: usize,
    linear: u32,
    levels: Levels,
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
        self.entries.iter().filter(|it| it.points_len > 0).map(|entry| self.order_of(entry))
    }

    /// Every order without its id, in the order of arrival: what a walk through all points needs.
    pub(crate) fn walk(&self) -> impl Iterator<Item = (Walked, &[Point])> {
        (0..).zip(&self.entries).filter(|(_, it)| it.points_len > 0).map(|(position, entry)| {
            let points = index(entry.points_start)..index(entry.points_start) + index(entry.points_len);
            (Walked { handle: entry.handle, position, shape: entry.shape }, &self.points[points])
        })
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

    fn order_of(&self, entry: &Entry) -> CellOrder<'_> {
        let points = index(entry.points_start)..index(entry.points_start) + index(entry.points_len);
        let id = index(entry.id_start)..index(entry.id_start) + index(entry.id_len);
        CellOrder {
            handle: entry.handle,
            id: &self.ids[id],
            shape: entry.shape,
            points: &self.points[points],
        }
    }

    /// The order at a position that [`Self::insert`] or [`Self::walk`] gave.
    pub(crate) fn order(&self, position: u32) -> CellOrder<'_> {
        self.order_of(&self.entries[index(position)])
    }

    /// Adds an order and returns its position.
    pub(super) fn insert(
        &mut self,
        handle: CurveHandle,
        id: &str,
        shape: Shape,
        points: &[Point],
        scratch: &mut Vec<Level>,
    ) -> u32 {
        let position = count(self.entries.len());
        self.entries.push(Entry {
            handle,
            points_start: count(self.points.len()),
            points_len: count(points.len()),
            id_start: count(self.ids.len()),
            id_len: count(id.len()),
            shape,
        });
        self.points.extend_from_slice(points);
        self.ids.push_str(id);
        self.count_in(shape, points, 1, scratch);
        position
    }

    /// Takes the order at `position` out. Returns true if positions changed: then the caller reads
    /// them again from [`Self::positions`].
    pub(super) fn remove(&mut self, position: u32, scratch: &mut Vec<Level>) -> bool {
        let entry = self.entries[index(position)];
        let range = index(entry.points_start)..index(entry.points_start) + index(entry.points_len);
        let points: Vec<Point> = self.points[range].to_vec();
        self.count_in(entry.shape, &points, -1, scratch);
        self.entries[index(position)].points_len = 0;
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
        for entry in self.entries.iter().filter(|it| it.points_len > 0) {
            let order = self.order_of(entry);
            swept.entries.push(Entry {
                points_start: count(swept.points.len()),
                id_start: count(swept.ids.len()),
                ..*entry
            });
            swept.points.extend_from_slice(order.points);
            swept.ids.push_str(order.id);
        }
        *self = swept;
    }
}
