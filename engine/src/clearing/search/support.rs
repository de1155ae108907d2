//! Prices at which every accepted order is whole, searched over everything that clears.
//!
//! For given decisions the clearing prices of a period are all integer points of
//! `lo ≤ π ≤ hi` with π(b) ≤ π(a) wherever a line still has room from a to b. An accepted block with
//! its accepted descendants, or an active complex order, is a linear condition on them: Σ lots × π ≥
//! what it costs. First the mid-point is tried. Then boxes around the prices are narrowed by every
//! condition until nothing moves (often that already refutes), a point is sought by moving the
//! prices of each loser just far enough towards its best end, again and again, and where this fails
//! the weighted sum of the conditions that kept failing is tried as a refutation. Last, boxes are
//! halved: on small systems the answer is complete, on large ones work is bounded and the answer can
//! be "unknown".

use super::market::{Desk, Grid, Market};
use super::model::{Model, WHOLE};
use crate::book::AuctionBook;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// What a search for prices found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Support {
    /// Published prices, index: cell.
    Found(Vec<i64>),
    /// No prices make everyone whole.
    Refuted,
    /// Given up.
    Unknown,
}

/// Σ coefficient × price ≥ constant, in price ticks × lots.
#[derive(Clone, Debug)]
struct Condition {
    terms: Range<usize>,
    constant: i128,
    /// The item at the top.
    item: usize,
}

#[derive(Clone, Copy, Debug)]
struct Term {
    variable: usize,
    lots: i128,
}

/// The conditions of the accepted orders over the prices that clear.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    conditions: Vec<Condition>,
    terms: Vec<Term>,
    /// Variable of each cell.
    variable: Vec<usize>,
    lo: Vec<i64>,
    hi: Vec<i64>,
    /// (dearer or equal, cheaper or equal).
    order: Vec<(usize, usize)>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
    /// Conditions in which a variable stands.
    uses: Vec<Vec<usize>>,
    /// Work done.
    pub(super) work: u64,
}

fn mid(lo: i64, hi: i64) -> i64 {
    (lo + hi + 1).div_euclid(2)
}

/// ⌈a / b⌉ for b > 0.
fn ceil(a: i128, b: i128) -> i128 {
    -(-a).div_euclid(b)
}

fn narrow(value: i128) -> i64 {
    i64::try_from(value).expect("a distance between two prices")
}

/// Lots of an active complex order between two neighbouring clearing prices, and what it earns at
/// the first: (lots, earned), or of a block.
fn line_of(model: &Model, market: &Market, item: usize, part: usize) -> (i128, i128) {
    let entry = &model.items[item];
    let part = &model.parts[part];
    let sign = i128::from(entry.sign);
    if !model.is_complex(item) {
        let lots = i128::from(part.lots * market.level[item] / WHOLE);
        return (sign * lots, sign * lots * i128::from(entry.price));
    }
    let (mut lots, mut cost) = (i128::from(part.lots), part.cost);
    // Between lo and hi stands no step of an active order; at lo = hi the step at the price earns
    // nothing however much of it is accepted.
    let (lo, hi) = (market.lo[part.cell], market.hi[part.cell]);
    for step in &model.steps[part.steps.clone()] {
        let accepted = if entry.sign > 0 { step.price <= lo } else { step.price >= hi };
        if accepted {
            lots += i128::from(step.quantity);
            cost += i128::from(step.quantity) * i128::from(step.price);
        }
    }
    (sign * lots, sign * cost)
}

impl Conditions {
    /// Reads the conditions of everything accepted in an exact market whose prices are fresh.
    pub(super) fn read(
        &mut self,
        book: &AuctionBook,
        grid: &Grid,
        desk: &Desk,
        model: &Model,
        market: &Market,
    ) {
        self.variables(book, grid, desk, model, market);
        self.conditions.clear();
        self.terms.clear();
        for uses in &mut self.uses {
            uses.clear();
        }
        self.uses.resize(self.lo.len(), Vec::new());
        let mut weight = vec![0_i128; self.lo.len()];
        let mut touched = Vec::new();
        let mut stack = Vec::new();
        for item in 0..model.items.len() {
            if market.level[item] == 0 {
                continue;
            }
            let mut constant = ceil(model.items[item].fixed, model.scale);
            stack.push(item);
            while let Some(member) = stack.pop() {
                for part in model.items[member].parts.clone() {
                    let (lots, cost) = line_of(model, market, member, part);
                    let variable = self.variable[model.parts[part].cell];
                    if weight[variable] == 0 {
                        touched.push(variable);
                    }
                    weight[variable] += lots;
                    constant += cost;
                }
                stack.extend(model.items[member].children.iter().filter(|&&it| market.level[it] > 0));
            }
            let start = self.terms.len();
            touched.sort_unstable();
            touched.dedup();
            for variable in touched.drain(..) {
                let lots = core::mem::take(&mut weight[variable]);
                if lots != 0 {
                    self.terms.push(Term { variable, lots });
                    self.uses[variable].push(self.conditions.len());
                }
            }
            self.conditions.push(Condition { terms: start..self.terms.len(), constant, item });
        }
    }

    /// One variable for areas whose prices are equal in everything that clears.
    fn variables(&mut self, book: &AuctionBook, grid: &Grid, desk: &Desk, model: &Model, market: &Market) {
        let network = &desk.network;
        let cells = model.areas * model.periods;
        self.variable.clear();
        self.variable.resize(cells, usize::MAX);
        self.lo.clear();
        self.hi.clear();
        self.order.clear();
        let mut queue = Vec::new();
        for period in 0..model.periods {
            let first = period * model.areas;
            for area in 0..model.areas {
                if self.variable[first + area] != usize::MAX {
                    continue;
                }
                let variable = self.lo.len();
                self.lo.push(market.lo[first + area]);
                self.hi.push(market.hi[first + area]);
                self.variable[first + area] = variable;
                queue.push(area);
                while let Some(area) = queue.pop() {
                    for hop in network.hops(area) {
                        let room = market.room(book, grid, period, hop.line);
                        if room.0 && room.1 && self.variable[first + hop.other] == usize::MAX {
                            self.variable[first + hop.other] = variable;
                            queue.push(hop.other);
                        }
                    }
                }
            }
            for line in 0..network.lines {
                let (from, to) =
                    (self.variable[first + network.from[line]], self.variable[first + network.to[line]]);
                if from == to {
                    continue;
                }
                let room = market.room(book, grid, period, line);
                if room.0 {
                    self.order.push((from, to));
                }
                if room.1 {
                    self.order.push((to, from));
                }
            }
        }
        for list in [&mut self.above, &mut self.below] {
            for it in list.iter_mut() {
                it.clear();
            }
            list.resize(self.lo.len(), Vec::new());
        }
        for &(dearer, cheaper) in &self.order {
            self.above[cheaper].push(dearer);
            self.below[dearer].push(cheaper);
        }
    }

    /// What is left of a condition at prices: negative if somebody loses.
    fn slack(&self, condition: usize, prices: &[i64]) -> i128 {
        let entry = &self.conditions[condition];
        let earned: i128 =
            self.terms[entry.terms.clone()].iter().map(|it| it.lots * i128::from(prices[it.variable])).sum();
        earned - entry.constant
    }

    /// The greatest that a condition can be left with in a box.
    fn most(&self, condition: usize, lo: &[i64], hi: &[i64]) -> i128 {
        let entry = &self.conditions[condition];
        let earned: i128 = self.terms[entry.terms.clone()]
            .iter()
            .map(|it| it.lots * i128::from(if it.lots > 0 { hi[it.variable] } else { lo[it.variable] }))
            .sum();
        earned - entry.constant
    }

    fn mid_point(&self) -> Vec<i64> {
        self.lo.iter().zip(&self.hi).map(|(&lo, &hi)| mid(lo, hi)).collect()
    }

    /// Items that lose at the mid-point and by how much, with what they would be left with at best.
    pub(super) fn losers(&self) -> Vec<(usize, i128, i128)> {
        let prices = self.mid_point();
        let mut losers = Vec::new();
        for condition in 0..self.conditions.len() {
            let slack = self.slack(condition, &prices);
            if slack < 0 {
                let most = self.most(condition, &self.lo, &self.hi);
                losers.push((self.conditions[condition].item, slack, most));
            }
        }
        losers
    }

    fn whole(&self, prices: &[i64]) -> bool {
        (0..self.conditions.len()).all(|condition| self.slack(condition, prices) >= 0)
    }

    /// Searches for prices. `effort` bounds the work where the system is large.
    pub(super) fn search(&mut self, effort: u64) -> Support {
        let start = self.mid_point();
        self.work += 1;
        if self.whole(&start) {
            return Support::Found(self.variable.iter().map(|&it| start[it]).collect());
        }
        let mut boxes = vec![(self.lo.clone(), self.hi.clone())];
        let until = self.work + effort;
        while let Some((mut lo, mut hi)) = boxes.pop() {
            if self.work > until {
                return Support::Unknown;
            }
            if !self.tighten(&mut lo, &mut hi) {
                continue;
            }
            let mut point: Vec<i64> =
                start.iter().enumerate().map(|(at, &price)| price.clamp(lo[at], hi[at])).collect();
            match self.approach(&lo, &hi, &mut point) {
                Approach::Whole => return Support::Found(self.publish(&start, &point)),
                Approach::Refuted => continue,
                Approach::Stuck => {}
            }
            // Halve the widest box of a condition that is still broken.
            let mut widest = None;
            for condition in 0..self.conditions.len() {
                if self.slack(condition, &point) >= 0 {
                    continue;
                }
                for term in &self.terms[self.conditions[condition].terms.clone()] {
                    let width = hi[term.variable] - lo[term.variable];
                    if width > 0 && widest.is_none_or(|(_, most)| width > most) {
                        widest = Some((term.variable, width));
                    }
                }
            }
            let widest = widest.or_else(|| {
                let widths = (0..lo.len()).map(|at| (at, hi[at] - lo[at])).filter(|it| it.1 > 0);
                widths.max_by_key(|it| it.1)
            });
            let Some((variable, _)) = widest else { continue };
            let middle = lo[variable] + (hi[variable] - lo[variable]) / 2;
            let (mut upper_lo, mut lower_hi) = (lo.clone(), hi.clone());
            upper_lo[variable] = middle + 1;
            lower_hi[variable] = middle;
            if point[variable] > middle {
                boxes.push((lo, lower_hi));
                boxes.push((upper_lo, hi));
            } else {
                boxes.push((upper_lo, hi));
                boxes.push((lo, lower_hi));
            }
        }
        Support::Refuted
    }

    /// Narrows a box by every condition; false if that leaves nothing.
    fn tighten(&mut self, lo: &mut [i64], hi: &mut [i64]) -> bool {
        let mut queued = vec![true; self.conditions.len()];
        let mut queue: Vec<usize> = (0..self.conditions.len()).collect();
        // Narrowing can creep tick by tick: it is cut off where halving does better.
        let mut left = 30 * self.conditions.len() + 100;
        if !self.settle_order(lo, hi) {
            return false;
        }
        while let Some(condition) = queue.pop() {
            queued[condition] = false;
            if left == 0 {
                break;
            }
            left -= 1;
            let most = self.most(condition, lo, hi);
            self.work += 1;
            if most < 0 {
                return false;
            }
            let mut changed = Vec::new();
            for at in self.conditions[condition].terms.clone() {
                let Term { variable, lots } = self.terms[at];
                let reach = most / lots.abs();
                if reach >= i128::from(hi[variable] - lo[variable]) {
                    continue;
                }
                if lots > 0 {
                    lo[variable] = hi[variable] - narrow(reach);
                } else {
                    hi[variable] = lo[variable] + narrow(reach);
                }
                changed.push(variable);
            }
            if changed.is_empty() {
                continue;
            }
            if !self.settle_order(lo, hi) {
                return false;
            }
            for variable in changed {
                for &other in &self.uses[variable] {
                    if !queued[other] {
                        queued[other] = true;
                        queue.push(other);
                    }
                }
            }
        }
        true
    }

    fn settle_order(&self, lo: &mut [i64], hi: &mut [i64]) -> bool {
        loop {
            let mut changed = false;
            for &(dearer, cheaper) in &self.order {
                if lo[cheaper] > lo[dearer] {
                    lo[dearer] = lo[cheaper];
                    changed = true;
                }
                if hi[dearer] < hi[cheaper] {
                    hi[cheaper] = hi[dearer];
                    changed = true;
                }
                if lo[dearer] > hi[dearer] || lo[cheaper] > hi[cheaper] {
                    return false;
                }
            }
            if !changed {
                return true;
            }
        }
    }

    /// Moves a point of the box until everyone is whole.
    fn approach(&mut self, lo: &[i64], hi: &[i64], point: &mut [i64]) -> Approach {
        for &(dearer, cheaper) in &self.order {
            // Clamping keeps order within a settled box.
            debug_assert!(point[cheaper] <= point[dearer]);
        }
        let mut weight = vec![0_i128; self.conditions.len()];
        for round in 0..120 {
            let mut broken = false;
            for (condition, weight) in weight.iter_mut().enumerate() {
                let slack = self.slack(condition, point);
                if slack >= 0 {
                    continue;
                }
                broken = true;
                self.work += 1;
                *weight += -slack;
                let best = self.most(condition, lo, hi);
                if best < 0 {
                    return Approach::Refuted;
                }
                // In the first rounds just as far as needed, later a little farther.
                let (mut part, mut all) = (-slack, best - slack);
                while all > 1 << 80 {
                    (part, all) = (part / 2 + 1, all / 2);
                }
                let part = if round < 8 { part.min(all) } else { (part + part / 2).min(all) };
                for at in self.conditions[condition].terms.clone() {
                    let Term { variable, lots } = self.terms[at];
                    let end = if lots > 0 { hi[variable] } else { lo[variable] };
                    let way = i128::from(end - point[variable]);
                    let step = ceil(way.abs() * part, all);
                    let target =
                        if way > 0 { point[variable] + narrow(step) } else { point[variable] - narrow(step) };
                    self.shift(point, variable, target);
                }
            }
            if !broken {
                return Approach::Whole;
            }
            if round % 20 == 19 && self.refutes(&weight, lo, hi) {
                return Approach::Refuted;
            }
        }
        Approach::Stuck
    }

    /// True if the weighted sum of the conditions cannot hold anywhere in the box.
    fn refutes(&self, weight: &[i128], lo: &[i64], hi: &[i64]) -> bool {
        let most = weight.iter().copied().max().unwrap_or(0);
        let mut sum = vec![0_i128; self.lo.len()];
        let mut constant = 0;
        for (entry, &weight) in self.conditions.iter().zip(weight) {
            // Weights are brought to sixteen bits: sums stay far from overflow.
            let weight = if most > 1 << 16 { weight / (most >> 16) } else { weight };
            if weight == 0 {
                continue;
            }
            constant += weight * entry.constant;
            for term in &self.terms[entry.terms.clone()] {
                sum[term.variable] += weight * term.lots;
            }
        }
        let earned: i128 = sum
            .iter()
            .enumerate()
            .map(|(at, &lots)| lots * i128::from(if lots > 0 { hi[at] } else { lo[at] }))
            .sum();
        earned < constant
    }

    /// Moves one price and what must move with it.
    fn shift(&self, point: &mut [i64], variable: usize, target: i64) {
        let up = target > point[variable];
        point[variable] = target;
        let mut queue = vec![variable];
        while let Some(at) = queue.pop() {
            let neighbours = if up { &self.above[at] } else { &self.below[at] };
            for &other in neighbours {
                if if up { point[other] < target } else { point[other] > target } {
                    point[other] = target;
                    queue.push(other);
                }
            }
        }
    }

    /// A step on the line before which somebody is bound to lose: rounding helps by less than a tick.
    fn nearest(&self, start: &[i64], whole: &[i64]) -> i64 {
        let mut least = 1;
        for condition in 0..self.conditions.len() {
            let (from, to) = (self.slack(condition, start), self.slack(condition, whole));
            let terms = &self.terms[self.conditions[condition].terms.clone()];
            let rounding: i128 = terms.iter().map(|it| it.lots.abs()).sum();
            if from + rounding < 0 && to > from {
                least = least.max(narrow(((-from - rounding) / ((to - from) / 1024 + 1)).clamp(1, 1023)));
            }
        }
        least
    }

    /// The prices nearest to the mid-point, on the line to `whole`, at which everyone is whole.
    fn publish(&mut self, start: &[i64], whole: &[i64]) -> Vec<i64> {
        let blend = |k: i64| -> Vec<i64> {
            let at = |(&m, &s): (&i64, &i64)| {
                let way = (i128::from(s) - i128::from(m)) * i128::from(k) * 2 + 1024;
                m + narrow(way.div_euclid(2048))
            };
            start.iter().zip(whole).map(at).collect()
        };
        for k in self.nearest(start, whole)..1024 {
            let prices = blend(k);
            self.work += 1;
            if self.whole(&prices) {
                return self.variable.iter().map(|&it| prices[it]).collect();
            }
        }
        self.variable.iter().map(|&it| whole[it]).collect()
    }
}

/// How moving a point ended.
enum Approach {
    Whole,
    Refuted,
    Stuck,
}
