//! Curves around their prices as short tables of nodes with straight lines between them: smooth, and
//! read in one look-up.
//!
//! A node holds what the curve really leaves at its price, so a table never falls and joins the curve
//! at both of its ends. Outside its reach the curve itself is read.

use super::market::Grid;
use alloc::vec;
use alloc::vec::Vec;

/// Nodes of one cell.
const NODES: usize = 64;
const STRIDES: i64 = 63;

/// The tables of all cells at one spacing of nodes.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Nodes stand 2^log ticks apart.
    pub(super) log: u32,
    /// Price of each cell's first node.
    base: Vec<i64>,
    nodes: Vec<i64>,
}

impl Table {
    /// Tables around prices (index: cell).
    pub(super) fn new(grid: &Grid, prices: &[i64], log: u32) -> Self {
        let mut table =
            Self { log, base: vec![i64::MIN; prices.len()], nodes: vec![0; prices.len() * NODES] };
        table.follow(grid, prices);
        table
    }

    /// Moves the tables whose prices have come near an end of them.
    pub(super) fn follow(&mut self, grid: &Grid, prices: &[i64]) {
        let reach = STRIDES << self.log;
        for (cell, &price) in prices.iter().enumerate() {
            let from = price.saturating_sub(self.base[cell]);
            if self.base[cell] == i64::MIN || from < reach / 8 || from > reach - reach / 8 {
                self.base[cell] = price - reach / 2;
                let nodes = &mut self.nodes[cell * NODES..(cell + 1) * NODES];
                grid.sample(cell, self.base[cell], self.log, nodes);
            }
        }
    }

    /// Lots that the curves of a cell are left with at a price, times 2^shift; nothing out of reach.
    pub(super) fn surplus(&self, cell: usize, price: i64, shift: u32) -> Option<i64> {
        let from = price - self.base[cell];
        if from < 0 || from >= STRIDES << self.log {
            return None;
        }
        let at = cell * NODES + usize::try_from(from >> self.log).ok()?;
        let (low, high) = (self.nodes[at], self.nodes[at + 1]);
        let part = from & ((1 << self.log) - 1);
        let over = (i128::from(high - low) * i128::from(part)) << shift >> self.log;
        Some((low << shift) + i64::try_from(over).expect("lots of curves fit with their shares"))
    }

    /// Lots per tick around a price, times 2^16; at least 1.
    pub(super) fn slope(&self, cell: usize, price: i64) -> i64 {
        let last = NODES - 1;
        let at = usize::try_from(((price - self.base[cell]) >> self.log).max(0)).unwrap_or(0).min(last);
        let (low, high) = (at.saturating_sub(1), (at + 2).min(last));
        let nodes = &self.nodes[cell * NODES..(cell + 1) * NODES];
        let lots = i128::from(nodes[high] - nodes[low]) << 16 >> self.log;
        let apart = i128::try_from(high - low).unwrap_or(1).max(1);
        i64::try_from((lots / apart).clamp(1, 1 << 46)).expect("clamped")
    }
}
