//! The best prices for the bound, exactly: where the relaxation is a small linear programme.
//!
//! What everybody could earn at given prices is convex and made of planes: it bends where a price
//! meets a step of a curve, where two areas cost the same, where a block earns nothing. A corner is
//! where as many bends meet as there are prices. From a corner one bend is left, along the line that
//! stays on the others, down to where the sum is least on that line; the bend that stops it is taken
//! in. That is the dual simplex method with long steps. Exclusive groups and families have prices of
//! their own, so that every block stands alone.
//!
//! Numbers are fixed-point and the inverse drifts a little: whatever prices come out, [`super::dual`]
//! makes a safe bound of them. A corner of one node is a good start for any other.

use super::choice::{self, Choice};
use super::market::Grid;
use super::model::{Model, WHOLE};
use super::relax::Scene;
use alloc::collections::BinaryHeap;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

/// Prices are counted in ticks × 2^−PRICE, lots × 2^−LOTS, weights × 2^−WEIGHT, the inverse × 2^−INVERSE.
const PRICE: u32 = 16;
const LOTS: u32 = 8;
const WEIGHT: u32 = 20;
const INVERSE: u32 = 28;
/// Greatest entry of the inverse: beyond it the corner is too sharp for these numbers.
const ENTRY: i64 = 1 << (INVERSE + 14);
/// Lots that a bend may stand outside of its range.
const SLACK: i64 = 1 << (LOTS - 3);
/// Least weight of a bend on a line that may stop it.
const PIVOT: i64 = 1 << (INVERSE - 12);
/// Most prices that are worth it: the inverse is dense.
const SIZE: usize = 640;
/// Open-ended range.
const ENDLESS: i64 = 1 << 60;

/// What bends the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The curves of a cell, by its variable: many bends, one for each step.
    Curves(usize),
    /// A price of a group or family that must not fall below nothing.
    Sign(usize),
    /// A line, or a block.
    Plane,
}

/// Something that bends the sum, and on which side of its bend it stands.
#[derive(Clone, Debug)]
struct Bend {
    kind: Kind,
    /// (variable, weight).
    terms: Range<usize>,
    /// How far the prices are from the bend.
    apart: i64,
    /// Lots to the left of it and to the right.
    lots: (i64, i64),
    right: bool,
    /// Level of curves; while they stand on a bend, the level to its left.
    level: usize,
    basic: bool,
}

/// A step of the way to the least sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Another corner.
    Moved,
    /// Nothing is less.
    Least,
    /// The numbers do not reach farther.
    Stuck,
}

/// A corner and all bends.
#[derive(Clone, Debug)]
pub(super) struct Corner {
    /// Prices of cells come first, then those of groups and families.
    prices: Vec<i64>,
    cells: usize,
    bends: Vec<Bend>,
    terms: Vec<(usize, i64)>,
    /// The bend that each row of the basis stands on; none: the start is held there.
    basis: Vec<Option<usize>>,
    /// Columns of the inverse of the basis.
    inverse: Vec<Vec<i64>>,
    /// What all bends that the corner does not stand on pull at each price, lots.
    pull: Vec<i64>,
    /// Lots of each row that balance it.
    held: Vec<i64>,
    /// (item, its bend, its lots).
    pub(super) items: Vec<(usize, usize, i64)>,
    /// Share of each item, millionths.
    pub(super) shares: Vec<i64>,
    ahead: Vec<i64>,
    next: BinaryHeap<Reverse<(i64, usize)>>,
    /// Work of one move, about.
    pub(super) toil: usize,
}

fn narrow(value: i128) -> i64 {
    i64::try_from(value.clamp(-i128::from(ENDLESS), i128::from(ENDLESS))).expect("clamped")
}

fn product(one: i64, other: i64, shift: u32) -> i64 {
    narrow((i128::from(one) * i128::from(other)) >> shift)
}

/// Lots × 2^LOTS at a ratio.
fn lots_at(lots: i64, ratio: i64) -> i64 {
    narrow((i128::from(lots) << LOTS) * i128::from(ratio) / i128::from(WHOLE))
}

impl Corner {
    /// Starts at prices; nothing if the auction is too large, or has curves or orders that no planes
    /// describe.
    pub(super) fn new(scene: Scene<'_>, choices: &[Choice], prices: &[i64]) -> Option<Self> {
        let (model, grid) = (scene.model, scene.grid);
        let open = |item: usize| choice::is_open(choices[item]);
        let groups: Vec<usize> = (0..model.groups.len())
            .filter(|&at| model.groups[at].iter().filter(|&&it| open(it)).count() > 1)
            .collect();
        let linked = |&item: &usize| open(item) && model.items[item].parent.is_some_and(open);
        let links: Vec<usize> = (0..model.items.len()).filter(linked).collect();
        let size = prices.len() + groups.len() + links.len();
        if size > SIZE || !model.complex.is_empty() || !grid.is_plain() {
            return None;
        }
        let mut corner = Self {
            prices: prices.iter().map(|&it| it << PRICE).collect(),
            cells: prices.len(),
            bends: Vec::new(),
            terms: Vec::new(),
            basis: vec![None; size],
            inverse: (0..size)
                .map(|at| (0..size).map(|it| i64::from(it == at) << INVERSE).collect())
                .collect(),
            pull: vec![0; size],
            held: vec![0; size],
            items: Vec::new(),
            shares: choices.iter().map(|it| it.least()).collect(),
            ahead: Vec::new(),
            next: BinaryHeap::new(),
            toil: size * size / 8 + model.parts.len() / 2,
        };
        corner.prices.resize(size, 0);
        for (cell, &price) in prices.iter().enumerate() {
            let level = grid.level(cell, price);
            let at = corner.bend(Kind::Curves(cell), &[(cell, 1 << WEIGHT)], 0, (0, 0));
            corner.bends[at].level = level;
            corner.pull[cell] += grid.lots(level) << LOTS;
        }
        corner.add_lines(scene, prices);
        corner.add_items(model, choices, prices, &groups, &links);
        for at in 0..corner.bends.len() {
            if !corner.bends[at].basic {
                corner.push(at, 1);
            }
        }
        corner.ahead.resize(corner.bends.len(), 0);
        Some(corner)
    }

    fn bend(&mut self, kind: Kind, terms: &[(usize, i64)], apart: i64, lots: (i64, i64)) -> usize {
        let start = self.terms.len();
        self.terms.extend_from_slice(terms);
        let right = apart > 0;
        let terms = start..self.terms.len();
        self.bends.push(Bend { kind, terms, apart, lots, right, level: 0, basic: false });
        self.bends.len() - 1
    }

    fn add_lines(&mut self, scene: Scene<'_>, prices: &[i64]) {
        let frame = scene.book.frame();
        for period in 0..scene.model.periods {
            for line in &frame.lines {
                let first = period * scene.model.areas;
                let (from, to) = (first + usize::from(line.from), first + usize::from(line.to));
                let lots = (-line.capacity_back[period] << LOTS, line.capacity[period] << LOTS);
                if lots.0 < lots.1 {
                    let terms = [(to, 1 << WEIGHT), (from, -(1 << WEIGHT))];
                    self.bend(Kind::Plane, &terms, (prices[to] - prices[from]) << PRICE, lots);
                }
            }
        }
    }

    fn add_items(
        &mut self,
        model: &Model,
        choices: &[Choice],
        prices: &[i64],
        groups: &[usize],
        links: &[usize],
    ) {
        let lots_of = |item: usize| model.parts(item).iter().map(|part| part.lots).sum::<i64>().max(1);
        let first_link = self.cells + groups.len();
        let weight_group =
            |at: usize| model.groups[groups[at]].iter().map(|&it| lots_of(it)).min().unwrap_or(1);
        let weight_link = |item: usize| lots_of(item).min(model.items[item].parent.map_or(i64::MAX, lots_of));
        for (at, &group) in groups.iter().enumerate() {
            let taken: i64 = model.groups[group]
                .iter()
                .filter(|&&it| !choice::is_open(choices[it]))
                .map(|&it| choices[it].least())
                .sum();
            self.pull[self.cells + at] = lots_at(weight_group(at), WHOLE - taken);
        }
        for variable in self.cells..self.prices.len() {
            let at = self.bend(Kind::Sign(variable), &[(variable, 1 << WEIGHT)], 0, (-ENDLESS, 0));
            self.bends[at].basic = true;
            self.basis[variable] = Some(at);
        }
        let mut terms = Vec::new();
        for (item, entry) in model.items.iter().enumerate() {
            let lots = lots_of(item);
            if !choice::is_open(choices[item]) {
                for part in model.parts(item) {
                    self.pull[part.cell] += entry.sign * lots_at(part.lots, choices[item].least());
                }
                continue;
            }
            let weigh = |part: i64| narrow((i128::from(part) << WEIGHT) / i128::from(lots));
            terms.clear();
            let mut earned = 0;
            for part in model.parts(item) {
                terms.push((part.cell, entry.sign * weigh(part.lots)));
                earned += i128::from(entry.sign * (prices[part.cell] - entry.price)) * i128::from(part.lots);
            }
            if let Some(group) = entry.group
                && let Ok(at) = groups.binary_search(&group)
            {
                terms.push((self.cells + at, -weigh(weight_group(at))));
            }
            if let Ok(at) = links.binary_search(&item) {
                terms.push((first_link + at, -weigh(weight_link(item))));
            }
            for &child in &entry.children {
                if let Ok(at) = links.binary_search(&child) {
                    terms.push((first_link + at, weigh(weight_link(child))));
                }
            }
            let apart = narrow((earned << PRICE) / i128::from(lots));
            let range = (lots_at(lots, choices[item].least()), lots_at(lots, choices[item].most()));
            let at = self.bend(Kind::Plane, &terms, apart, range);
            self.items.push((item, at, lots));
        }
    }

    /// Adds what a bend pulls, or takes it away. What curves pull is kept as they move.
    fn push(&mut self, at: usize, sign: i64) {
        let bend = &self.bends[at];
        if bend.kind != Kind::Plane {
            return;
        }
        let lots = if bend.right { bend.lots.1 } else { bend.lots.0 };
        for &(variable, weight) in &self.terms[bend.terms.clone()] {
            self.pull[variable] += sign * product(lots, weight, WEIGHT);
        }
    }

    /// Other choices for the items, within those of the start.
    pub(super) fn choose(&mut self, choices: &[Choice]) {
        for at in 0..self.items.len() {
            let (item, bend, lots) = self.items[at];
            let range = (lots_at(lots, choices[item].least()), lots_at(lots, choices[item].most()));
            if self.bends[bend].lots == range {
                continue;
            }
            let basic = self.bends[bend].basic;
            if !basic {
                self.push(bend, -1);
            }
            self.bends[bend].lots = range;
            if !basic {
                self.push(bend, 1);
            }
        }
    }

    /// Lots to the left and to the right of a bend that the corner stands on.
    fn range(&self, grid: &Grid, at: usize) -> (i64, i64) {
        let bend = &self.bends[at];
        match bend.kind {
            Kind::Curves(_) => (grid.lots(bend.level) << LOTS, grid.lots(bend.level + 1) << LOTS),
            Kind::Sign(_) | Kind::Plane => bend.lots,
        }
    }

    /// The row to leave, whether to its right, and by how many lots it stands outside.
    fn leaving(&mut self, grid: &Grid) -> Option<(usize, bool, i64)> {
        let mut best: Option<(i128, usize, bool, i64)> = None;
        for row in 0..self.basis.len() {
            let column = &self.inverse[row];
            let sum: i128 = column.iter().zip(&self.pull).map(|(&a, &b)| i128::from(a) * i128::from(b)).sum();
            let held = narrow(-(sum >> INVERSE));
            self.held[row] = held;
            let (least, most) = self.basis[row].map_or((0, 0), |at| self.range(grid, at));
            let (right, outside) = if held > most { (true, held - most) } else { (false, least - held) };
            if outside <= SLACK {
                continue;
            }
            let norm: i128 = column.iter().map(|&it| i128::from(it >> 8) * i128::from(it >> 8)).sum();
            let square = i128::from(outside.min(1 << 45)) * i128::from(outside.min(1 << 45));
            let score = (square << 30) / ((norm >> 10).max(1));
            if best.is_none_or(|it| score > it.0) {
                best = Some((score, row, right, outside));
            }
        }
        best.map(|(_, row, right, outside)| (row, right, outside))
    }

    /// Where on a line a bend is met: how far away it is now, and how fast it comes near.
    fn meets(&self, grid: &Grid, at: usize) -> Option<i64> {
        let (bend, speed) = (&self.bends[at], self.ahead[at]);
        if bend.basic || speed.abs() < PIVOT {
            return None;
        }
        let apart = match bend.kind {
            Kind::Curves(variable) => {
                let level = if speed > 0 { bend.level + 1 } else { bend.level };
                (grid.step(variable, level)? << PRICE) - self.prices[variable]
            }
            Kind::Sign(variable) => {
                if speed > 0 {
                    return None;
                }
                -self.prices[variable]
            }
            Kind::Plane => {
                if (speed > 0) == bend.right || bend.lots.0 == bend.lots.1 {
                    return None;
                }
                -bend.apart
            }
        };
        let way = if speed > 0 { apart } else { -apart };
        Some(narrow((i128::from(way.max(0)) << INVERSE) / i128::from(speed.abs())))
    }

    /// The line from the corner: how fast each bend's distance changes on it.
    fn look(&mut self, line: &[i64]) {
        for (at, bend) in self.bends.iter().enumerate() {
            self.ahead[at] = match bend.kind {
                _ if bend.basic => 0,
                Kind::Curves(variable) | Kind::Sign(variable) => line[variable],
                Kind::Plane => {
                    let terms = &self.terms[bend.terms.clone()];
                    let sum: i128 = terms.iter().map(|&(v, w)| i128::from(line[v]) * i128::from(w)).sum();
                    narrow(sum >> WEIGHT)
                }
            };
        }
    }

    /// Takes a bend out of the basis, to one side.
    fn leave(&mut self, grid: &Grid, at: usize, right: bool) {
        self.bends[at].basic = false;
        self.bends[at].right = right;
        if let Kind::Curves(variable) = self.bends[at].kind {
            self.bends[at].level += usize::from(right);
            self.pull[variable] += grid.lots(self.bends[at].level) << LOTS;
        }
        self.push(at, 1);
    }

    /// Takes a bend into the basis, met on the way to its right or left.
    fn enter(&mut self, grid: &Grid, at: usize, right: bool) {
        self.push(at, -1);
        let bend = &mut self.bends[at];
        bend.basic = true;
        bend.apart = 0;
        match bend.kind {
            Kind::Curves(variable) => {
                self.pull[variable] -= grid.lots(bend.level) << LOTS;
                bend.level -= usize::from(!right);
                if let Some(step) = grid.step(variable, bend.level + 1) {
                    self.prices[variable] = step << PRICE;
                }
            }
            Kind::Sign(variable) => self.prices[variable] = 0,
            Kind::Plane => {}
        }
    }

    /// Lots by which a bend that is crossed turns the line.
    fn turns(&self, grid: &Grid, at: usize) -> i64 {
        let bend = &self.bends[at];
        match bend.kind {
            Kind::Curves(_) if self.ahead[at] > 0 => {
                (grid.lots(bend.level + 1) - grid.lots(bend.level)) << LOTS
            }
            Kind::Curves(_) => (grid.lots(bend.level) - grid.lots(bend.level - 1)) << LOTS,
            Kind::Sign(_) => ENDLESS,
            Kind::Plane => bend.lots.1 - bend.lots.0,
        }
    }

    /// Crosses a bend.
    fn cross(&mut self, grid: &Grid, at: usize) {
        let right = self.ahead[at] > 0;
        self.push(at, -1);
        self.bends[at].right = right;
        self.push(at, 1);
        if let Kind::Curves(variable) = self.bends[at].kind {
            let level = self.bends[at].level;
            let next = if right { level + 1 } else { level - 1 };
            self.bends[at].level = next;
            self.pull[variable] += (grid.lots(next) - grid.lots(level)) << LOTS;
        }
    }

    /// Goes to the next corner.
    pub(super) fn step(&mut self, grid: &Grid) -> Way {
        let Some((row, right, outside)) = self.leaving(grid) else { return Way::Least };
        let mut line = self.inverse[row].clone();
        if !right {
            for it in &mut line {
                *it = -*it;
            }
        }
        for other in 0..self.basis.len() {
            if other != row
                && let Some(at) = self.basis[other]
                && let Kind::Curves(variable) | Kind::Sign(variable) = self.bends[at].kind
            {
                line[variable] = 0;
            }
        }
        if let Some(at) = self.basis[row] {
            self.leave(grid, at, right);
        }
        self.look(&line);
        let mut next = core::mem::take(&mut self.next);
        next.clear();
        next.extend((0..self.bends.len()).filter_map(|at| Some(Reverse((self.meets(grid, at)?, at)))));
        let mut slope = -outside;
        let mut stop = None;
        while let Some(Reverse((way, at))) = next.pop() {
            slope += product(self.turns(grid, at), self.ahead[at].abs(), INVERSE);
            if slope >= 0 {
                stop = Some((way, at));
                break;
            }
            self.cross(grid, at);
            if let Kind::Curves(_) = self.bends[at].kind
                && let Some(way) = self.meets(grid, at)
            {
                next.push(Reverse((way, at)));
            }
        }
        self.next = next;
        let Some((way, at)) = stop else { return Way::Stuck };
        for (price, &speed) in self.prices.iter_mut().zip(&line) {
            *price = (*price + product(speed, way, INVERSE)).clamp(-(1 << 58), 1 << 58);
        }
        for (bend, &speed) in self.bends.iter_mut().zip(&self.ahead) {
            bend.apart += product(speed, way, INVERSE);
        }
        self.enter(grid, at, self.ahead[at] > 0);
        self.basis[row] = Some(at);
        if self.exchange(row, at) { Way::Moved } else { Way::Stuck }
    }

    /// Puts a bend into a row of the basis; false if the inverse grows too large.
    fn exchange(&mut self, row: usize, at: usize) -> bool {
        let terms = &self.terms[self.bends[at].terms.clone()];
        let weight = |column: &[i64]| {
            let sum: i128 = terms.iter().map(|&(v, w)| i128::from(column[v]) * i128::from(w)).sum();
            narrow(sum >> WEIGHT)
        };
        let mut left = core::mem::take(&mut self.inverse[row]);
        let pivot = weight(&left);
        if pivot.abs() < PIVOT / 2 {
            return false;
        }
        let mut fits = true;
        for it in &mut left {
            *it = narrow((i128::from(*it) << INVERSE) / i128::from(pivot));
            fits &= it.abs() < ENTRY;
        }
        for (other, column) in self.inverse.iter_mut().enumerate() {
            if other == row {
                continue;
            }
            let part = weight(column);
            if part == 0 {
                continue;
            }
            for (it, &by) in column.iter_mut().zip(&left) {
                *it -= product(by, part, INVERSE);
                fits &= it.abs() < ENTRY;
            }
        }
        self.inverse[row] = left;
        fits
    }

    /// Prices of the cells, whole ticks.
    pub(super) fn ticks(&self) -> Vec<i64> {
        let half = 1 << (PRICE - 1);
        self.prices[..self.cells].iter().map(|&it| (it + half) >> PRICE).collect()
    }

    /// Reads the shares of the items off the corner.
    pub(super) fn read(&mut self, choices: &[Choice]) {
        for (share, choice) in self.shares.iter_mut().zip(choices) {
            *share = choice.least();
        }
        for &(item, at, lots) in &self.items {
            let bend = &self.bends[at];
            let held = if bend.basic {
                let row = self.basis.iter().position(|it| *it == Some(at));
                row.map_or(0, |row| self.held[row])
            } else if bend.right {
                bend.lots.1
            } else {
                bend.lots.0
            };
            let ratio = narrow(i128::from(held) * i128::from(WHOLE) / (i128::from(lots) << LOTS));
            self.shares[item] = ratio.clamp(choices[item].least(), choices[item].most());
        }
    }
}
