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
use super::model::{Model, WHOLE, index};
use crate::book::AuctionBook;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::task::Poll;

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
    variable: u32,
    lots: i64,
}

impl Term {
    fn variable(self) -> usize {
        index(self.variable)
    }

    /// What it earns at a price.
    fn earns(self, price: i64) -> i128 {
        i128::from(self.lots) * i128::from(price)
    }
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
    weight: Vec<i64>,
    /// Conditions looked at: what the effort of a search counts.
    work: u64,
    /// Terms and prices walked over.
    pub(super) toil: u64,
    hunt: Hunt,
}

/// A search for prices and where it stands.
#[derive(Clone, Debug, Default)]
struct Hunt {
    /// The mid-point.
    start: Vec<i64>,
    /// Boxes that are still to be searched.
    boxes: Vec<Span>,
    /// Work at which it is given up.
    until: u64,
    at: Stand,
}

/// Least and greatest prices.
#[derive(Clone, Debug, Default)]
struct Span {
    lo: Vec<i64>,
    hi: Vec<i64>,
}

#[derive(Clone, Debug, Default)]
enum Stand {
    #[default]
    Start,
    /// The next box is taken.
    Next,
    Tighten(Tightening),
    Approach(Approach),
    /// The prices nearest to the mid-point are looked for, this many 1,024ths of the way to a point.
    Publish {
        point: Vec<i64>,
        part: i64,
    },
}

/// A box that is narrowed.
#[derive(Clone, Debug)]
struct Tightening {
    span: Span,
    queued: Vec<bool>,
    queue: Vec<usize>,
    /// Narrowing can creep tick by tick: it is cut off where halving does better.
    left: usize,
    settled: bool,
}

/// A point on its way through a box.
#[derive(Clone, Debug)]
struct Approach {
    span: Span,
    point: Vec<i64>,
    weight: Vec<i128>,
    round: u32,
}

/// How moving a point ended.
enum End {
    Whole,
    Refuted,
    Stuck,
}

/// Terms and prices walked over in one step of a search, about.
const TOIL: u64 = 60_000;

fn mid(lo: i64, hi: i64) -> i64 {
    (lo + hi + 1).div_euclid(2)
}

/// ⌈a / b⌉ for b > 0.
fn ceil(a: i128, b: i128) -> i128 {
    -(-a).div_euclid(b)
}

fn small(variable: usize) -> u32 {
    u32::try_from(variable).expect("limits of periods and areas multiply to less")
}

fn narrow(value: i128) -> i64 {
    i64::try_from(value).expect("a distance between two prices")
}

/// Lots of an active complex order between two neighbouring clearing prices, and what it earns at
/// the first: (lots, earned), or of a block.
fn line_of(model: &Model, market: &Market, item: usize, part: usize) -> (i64, i128) {
    let entry = &model.items[item];
    if !model.is_complex(item) {
        let lots = entry.sign * at_level(model.flat[part].lots, market.level[item]);
        return (lots, i128::from(lots) * i128::from(entry.price));
    }
    let part = &model.parts[part];
    let (mut lots, mut cost) = (part.lots, part.cost);
    // Between lo and hi stands no step of an active order; at lo = hi the step at the price earns
    // nothing however much of it is accepted.
    let (lo, hi) = (market.lo[part.cell], market.hi[part.cell]);
    for step in &model.steps[part.steps.clone()] {
        let accepted = if entry.sign > 0 { step.price <= lo } else { step.price >= hi };
        if accepted {
            lots += step.quantity;
            cost += i128::from(step.quantity) * i128::from(step.price);
        }
    }
    (entry.sign * lots, i128::from(entry.sign) * cost)
}

fn at_level(lots: i64, level: i64) -> i64 {
    if level == WHOLE { lots } else { lots * level / WHOLE }
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
        self.weight.clear();
        self.weight.resize(self.lo.len(), 0);
        let mut touched = Vec::new();
        let mut stack = Vec::new();
        for item in 0..model.items.len() {
            if market.level[item] == 0 || self.is_safe(model, market, item) {
                continue;
            }
            let mut constant = ceil(model.items[item].fixed, model.scale);
            stack.push(item);
            while let Some(member) = stack.pop() {
                for part in model.items[member].parts.clone() {
                    let (lots, cost) = line_of(model, market, member, part);
                    let variable = self.variable[model.flat[part].cell()];
                    touched.push(variable);
                    self.weight[variable] += lots;
                    constant += cost;
                }
                stack.extend(model.items[member].children.iter().filter(|&&it| market.level[it] > 0));
            }
            touched.sort_unstable();
            touched.dedup();
            let start = self.terms.len();
            let mut worst = -constant;
            for variable in touched.drain(..) {
                let lots = core::mem::take(&mut self.weight[variable]);
                if lots != 0 {
                    let end = if lots > 0 { self.lo[variable] } else { self.hi[variable] };
                    let term = Term { variable: small(variable), lots };
                    worst += term.earns(end);
                    self.terms.push(term);
                }
            }
            if worst >= 0 {
                self.terms.truncate(start);
                continue;
            }
            for term in &self.terms[start..] {
                self.uses[term.variable()].push(self.conditions.len());
            }
            self.conditions.push(Condition { terms: start..self.terms.len(), constant, item });
        }
    }

    /// True if an accepted block without accepted children is whole at all prices that clear: most are,
    /// and what cannot be broken takes no part in the search.
    fn is_safe(&self, model: &Model, market: &Market, item: usize) -> bool {
        let entry = &model.items[item];
        if model.is_complex(item) || entry.children.iter().any(|&it| market.level[it] > 0) {
            return false;
        }
        let ends = if entry.sign > 0 { &self.lo } else { &self.hi };
        let mut worst = 0;
        for part in model.flat(item) {
            let lots = at_level(part.lots, market.level[item]);
            worst += i128::from(ends[self.variable[part.cell()]] - entry.price) * i128::from(lots);
        }
        worst * i128::from(entry.sign) >= 0
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
        let terms = &self.terms[entry.terms.clone()];
        terms.iter().map(|it| it.earns(prices[it.variable()])).sum::<i128>() - entry.constant
    }

    /// The greatest that a condition can be left with in a box.
    fn most(&self, condition: usize, lo: &[i64], hi: &[i64]) -> i128 {
        let entry = &self.conditions[condition];
        let best = |it: &Term| it.earns(if it.lots > 0 { hi[it.variable()] } else { lo[it.variable()] });
        self.terms[entry.terms.clone()].iter().map(best).sum::<i128>() - entry.constant
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

    /// Starts to search for prices. `effort` bounds the work where the system is large.
    pub(super) fn begin(&mut self, effort: u64) {
        let start = self.mid_point();
        self.work += 1;
        let boxes = vec![Span { lo: self.lo.clone(), hi: self.hi.clone() }];
        self.hunt = Hunt { start, boxes, until: self.work + effort, at: Stand::Start };
    }

    /// Goes on with the search for a while; what it found once it has ended.
    pub(super) fn step(&mut self) -> Poll<Support> {
        let mut hunt = core::mem::take(&mut self.hunt);
        let until = self.toil + TOIL;
        loop {
            let all = self.size();
            hunt.at = match core::mem::take(&mut hunt.at) {
                Stand::Start => {
                    self.toil += all;
                    if self.whole(&hunt.start) {
                        return Poll::Ready(Support::Found(self.spread(&hunt.start)));
                    }
                    Stand::Next
                }
                Stand::Next => {
                    let Some(span) = hunt.boxes.pop() else { return Poll::Ready(Support::Refuted) };
                    if self.work > hunt.until {
                        return Poll::Ready(Support::Unknown);
                    }
                    Stand::Tighten(self.tightening(span))
                }
                Stand::Tighten(mut tightening) => match self.tighten(&mut tightening, until) {
                    Poll::Pending => Stand::Tighten(tightening),
                    Poll::Ready(false) => Stand::Next,
                    Poll::Ready(true) => {
                        let span = tightening.span;
                        let ends = hunt.start.iter().zip(span.lo.iter().zip(&span.hi));
                        let point = ends.map(|(&price, (&lo, &hi))| price.clamp(lo, hi)).collect();
                        let weight = vec![0; self.conditions.len()];
                        Stand::Approach(Approach { span, point, weight, round: 0 })
                    }
                },
                Stand::Approach(mut approach) => match self.approach(&mut approach, until) {
                    Poll::Pending => Stand::Approach(approach),
                    Poll::Ready(End::Whole) => {
                        let part = self.nearest(&hunt.start, &approach.point);
                        Stand::Publish { point: approach.point, part }
                    }
                    Poll::Ready(End::Refuted) => Stand::Next,
                    Poll::Ready(End::Stuck) => {
                        self.halve(&mut hunt.boxes, approach);
                        Stand::Next
                    }
                },
                Stand::Publish { point, part } => {
                    let prices = if part < 1024 { blend(&hunt.start, &point, part) } else { point.clone() };
                    self.work += 1;
                    self.toil += all;
                    if part >= 1024 || self.whole(&prices) {
                        return Poll::Ready(Support::Found(self.spread(&prices)));
                    }
                    Stand::Publish { point, part: part + 1 }
                }
            };
            if self.toil >= until {
                self.hunt = hunt;
                return Poll::Pending;
            }
        }
    }

    /// Terms and prices of a walk over everything.
    fn size(&self) -> u64 {
        u64::try_from(self.terms.len() + self.lo.len()).expect("a length fits")
    }

    /// Prices of all cells.
    fn spread(&self, prices: &[i64]) -> Vec<i64> {
        self.variable.iter().map(|&it| prices[it]).collect()
    }

    /// Halves a box along the widest price of a condition that is still broken.
    fn halve(&mut self, boxes: &mut Vec<Span>, stuck: Approach) {
        let Approach { span: Span { lo, hi }, point, .. } = stuck;
        self.toil += self.size();
        let mut widest = None;
        for condition in 0..self.conditions.len() {
            if self.slack(condition, &point) >= 0 {
                continue;
            }
            for term in &self.terms[self.conditions[condition].terms.clone()] {
                let width = hi[term.variable()] - lo[term.variable()];
                if width > 0 && widest.is_none_or(|(_, most)| width > most) {
                    widest = Some((term.variable(), width));
                }
            }
        }
        let widest = widest.or_else(|| {
            let widths = (0..lo.len()).map(|at| (at, hi[at] - lo[at])).filter(|it| it.1 > 0);
            widths.max_by_key(|it| it.1)
        });
        let Some((variable, _)) = widest else { return };
        let middle = lo[variable] + (hi[variable] - lo[variable]) / 2;
        let (mut upper_lo, mut lower_hi) = (lo.clone(), hi.clone());
        upper_lo[variable] = middle + 1;
        lower_hi[variable] = middle;
        let (lower, upper) = (Span { lo, hi: lower_hi }, Span { lo: upper_lo, hi });
        boxes.extend(if point[variable] > middle { [lower, upper] } else { [upper, lower] });
    }

    fn tightening(&self, span: Span) -> Tightening {
        let count = self.conditions.len();
        Tightening {
            span,
            queued: vec![true; count],
            queue: (0..count).collect(),
            left: 30 * count + 100,
            settled: false,
        }
    }

    /// Narrows a box by every condition; false if that leaves nothing.
    fn tighten(&mut self, tightening: &mut Tightening, until: u64) -> Poll<bool> {
        let Tightening { span: Span { lo, hi }, queued, queue, left, settled } = tightening;
        if !*settled {
            *settled = true;
            self.toil += self.size();
            if !self.settle_order(lo, hi) {
                return Poll::Ready(false);
            }
        }
        let mut changed = Vec::new();
        while let Some(condition) = queue.pop() {
            queued[condition] = false;
            if *left == 0 {
                break;
            }
            *left -= 1;
            let most = self.most(condition, lo, hi);
            self.work += 1;
            if most < 0 {
                return Poll::Ready(false);
            }
            changed.clear();
            let terms = &self.terms[self.conditions[condition].terms.clone()];
            self.toil += u64::try_from(terms.len()).expect("a length fits");
            for term in terms {
                let (variable, lots) = (term.variable(), term.lots);
                let reach = most / i128::from(lots.abs());
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
            for &variable in &changed {
                if !self.carry(lo, hi, variable) {
                    return Poll::Ready(false);
                }
            }
            for &variable in &changed {
                for &other in &self.uses[variable] {
                    if !queued[other] {
                        queued[other] = true;
                        queue.push(other);
                    }
                }
            }
            if self.toil >= until {
                return Poll::Pending;
            }
        }
        Poll::Ready(true)
    }

    /// Brings a box into order; false if nothing is left of it.
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

    /// Brings a box into order again after one price of it was narrowed; false if nothing is left of it.
    fn carry(&self, lo: &mut [i64], hi: &mut [i64], variable: usize) -> bool {
        let (mut queue, mut next) = (Vec::new(), Some(variable));
        while let Some(at) = next {
            for &other in &self.above[at] {
                if lo[other] < lo[at] {
                    lo[other] = lo[at];
                    queue.push(other);
                }
            }
            for &other in &self.below[at] {
                if hi[other] > hi[at] {
                    hi[other] = hi[at];
                    queue.push(other);
                }
            }
            if lo[at] > hi[at] {
                return false;
            }
            next = queue.pop();
        }
        true
    }

    /// Moves a point of the box until everyone is whole.
    fn approach(&mut self, approach: &mut Approach, until: u64) -> Poll<End> {
        let Approach { span: Span { lo, hi }, point, weight, round } = approach;
        for &(dearer, cheaper) in &self.order {
            // Clamping keeps order within a settled box.
            debug_assert!(point[cheaper] <= point[dearer]);
        }
        while *round < 120 {
            let mut broken = false;
            self.toil += self.size();
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
                    return Poll::Ready(End::Refuted);
                }
                // In the first rounds just as far as needed, later a little farther.
                let (mut part, mut all) = (-slack, best - slack);
                while all > 1 << 80 {
                    (part, all) = (part / 2 + 1, all / 2);
                }
                let part = if *round < 8 { part.min(all) } else { (part + part / 2).min(all) };
                let terms = self.conditions[condition].terms.clone();
                self.toil += 2 * u64::try_from(terms.len()).expect("a length fits");
                for at in terms {
                    let (variable, lots) = (self.terms[at].variable(), self.terms[at].lots);
                    let end = if lots > 0 { hi[variable] } else { lo[variable] };
                    let way = i128::from(end - point[variable]);
                    let step = ceil(way.abs() * part, all);
                    let target =
                        if way > 0 { point[variable] + narrow(step) } else { point[variable] - narrow(step) };
                    self.shift(point, variable, target);
                }
            }
            if !broken {
                return Poll::Ready(End::Whole);
            }
            *round += 1;
            if *round % 20 == 0 && self.refutes(weight, lo, hi) {
                return Poll::Ready(End::Refuted);
            }
            if self.toil >= until && *round < 120 {
                return Poll::Pending;
            }
        }
        Poll::Ready(End::Stuck)
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
                sum[term.variable()] += weight * i128::from(term.lots);
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
        let (mut queue, mut next) = (Vec::new(), Some(variable));
        while let Some(at) = next {
            let neighbours = if up { &self.above[at] } else { &self.below[at] };
            for &other in neighbours {
                if if up { point[other] < target } else { point[other] > target } {
                    point[other] = target;
                    queue.push(other);
                }
            }
            next = queue.pop();
        }
    }

    /// A step on the line before which somebody is bound to lose: rounding helps by less than a tick.
    fn nearest(&self, start: &[i64], whole: &[i64]) -> i64 {
        let mut least = 1;
        for condition in 0..self.conditions.len() {
            let (from, to) = (self.slack(condition, start), self.slack(condition, whole));
            let terms = &self.terms[self.conditions[condition].terms.clone()];
            let rounding: i128 = terms.iter().map(|it| i128::from(it.lots.abs())).sum();
            if from + rounding < 0 && to > from {
                least = least.max(narrow(((-from - rounding) / ((to - from) / 1024 + 1)).clamp(1, 1023)));
            }
        }
        least
    }
}

/// A point on the line from the mid-point to another, this many 1,024ths of the way.
fn blend(start: &[i64], whole: &[i64], part: i64) -> Vec<i64> {
    let at = |(&m, &s): (&i64, &i64)| {
        let way = (i128::from(s) - i128::from(m)) * i128::from(part) * 2 + 1024;
        m + narrow(way.div_euclid(2048))
    };
    start.iter().zip(whole).map(at).collect()
}
