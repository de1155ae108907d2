//! Branch and bound over the choices, best bound first, with plunges.

use super::super::Limit;
use super::choice::{self, Choice};
use super::dual::{Answers, Dual};
use super::exact::{Exact, Trial};
use super::market::{Desk, Grid, Market};
use super::model::{Model, WHOLE};
use super::relax::{Relaxation, Scene};
use crate::book::AuctionBook;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// A part of the choices that is still open.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) bound: i128,
    /// Later nodes first among equals: they are deeper.
    pub(super) number: u64,
    pub(super) choices: Vec<Choice>,
    /// Prices that gave the bound.
    pub(super) prices: Vec<i64>,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Node {}
impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Node {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.bound, self.number).cmp(&(other.bound, other.number))
    }
}

/// What the search is after next.
#[derive(Clone, Debug)]
enum Stage {
    Start,
    /// The climb at the root, at this width of smoothing, this many sweeps in.
    Climb {
        width: u32,
        sweep: u32,
    },
    Round,
    Improve {
        pass: u32,
    },
    Branch,
    Done,
}

/// The search for the best decisions.
#[derive(Clone, Debug)]
pub(in crate::clearing) struct Search {
    pub(super) model: Model,
    pub(super) grid: Grid,
    pub(super) desk: Desk,
    pub(super) exact: Exact,
    pub(super) relaxation: Relaxation,
    pub(super) answers: Answers,
    stage: Stage,
    pub(super) heap: BinaryHeap<Node>,
    /// The node that a plunge goes on with.
    pub(super) plunge: Option<Node>,
    root: Vec<Choice>,
    /// Least bound known at the root.
    bound: i128,
    bound_prices: Vec<i64>,
    /// Greatest welfare of decisions whose prices could not be settled.
    pub(super) unresolved: Option<i128>,
    pub(super) numbers: u64,
    /// Nodes looked at.
    pub(in crate::clearing) nodes: u64,
    limit: Limit,
    width_first: u32,
    /// The smoothing that nodes use.
    pub(super) width_node: u32,
    /// The decisions tried last.
    pub(super) tried: Vec<i64>,
    pub(super) tried_outcome: Trial,
    /// What would earn was tried again.
    pub(super) retried: bool,
    /// Items that lost in it, those that lost at the mid-point.
    pub(super) tried_losers: Vec<usize>,
}

impl Search {
    /// Sets the search up. Nothing is priced yet.
    pub(in crate::clearing) fn new(book: &AuctionBook, limit: Limit) -> Self {
        let model = Model::new(book);
        let grid = Grid::new(book, &model);
        let exact = Exact::new(Market::exact(&grid, &model), model.periods);
        let relaxation = Relaxation::new(&grid, &model);
        let frame = book.frame();
        let range = frame.price_max - frame.price_min + 1;
        // The first window is about a hundredth of all prices wide.
        let width_first = (64 - range.leading_zeros()).saturating_sub(7);
        Self {
            desk: Desk::new(book),
            exact,
            relaxation,
            answers: Answers::new(&model),
            stage: Stage::Start,
            heap: BinaryHeap::new(),
            plunge: None,
            root: choice::open(&model),
            bound: 0,
            bound_prices: Vec::new(),
            unresolved: None,
            numbers: 0,
            nodes: 0,
            limit,
            width_first,
            width_node: width_first.saturating_sub(9),
            tried: Vec::new(),
            tried_outcome: Trial::NotClearing,
            tried_losers: Vec::new(),
            retried: false,
            model,
            grid,
        }
    }

    /// Units of work done: periods priced, and searches for prices by their size.
    pub(in crate::clearing) fn work(&self) -> u64 {
        self.desk.priced + self.exact.conditions.work / 64 + self.nodes
    }

    /// The best welfare so far, grid units.
    pub(in crate::clearing) fn welfare(&self) -> Option<i128> {
        self.exact.best_welfare()
    }

    /// No result has more welfare than this, grid units.
    pub(in crate::clearing) fn bound(&self) -> i128 {
        if matches!(self.stage, Stage::Branch | Stage::Done) {
            let best = self.exact.best_welfare().unwrap_or(i128::MIN);
            let open = self.heap.peek().into_iter().chain(&self.plunge).map(|node| node.bound).max();
            best.max(open.unwrap_or(best)).max(self.unresolved.unwrap_or(best)).min(self.bound.max(best))
        } else {
            self.bound
        }
    }

    /// One bounded step; true when the search has ended.
    pub(in crate::clearing) fn step(&mut self, book: &AuctionBook) -> bool {
        match self.stage.clone() {
            Stage::Start => self.start(book),
            Stage::Climb { width, sweep } => self.climb(book, width, sweep),
            Stage::Round => self.round(book),
            Stage::Improve { pass } => self.improve(book, pass),
            Stage::Branch => self.branch(book),
            Stage::Done => return true,
        }
        let solved = !matches!(self.stage, Stage::Start)
            && self.welfare().is_some_and(|best| self.bound() - best <= self.limit.gap);
        let exhausted = matches!(self.stage, Stage::Branch) && self.heap.is_empty() && self.plunge.is_none();
        if solved || exhausted || self.work() >= self.limit.work {
            if !matches!(self.stage, Stage::Branch) {
                self.stop_early();
            }
            self.stage = Stage::Done;
        }
        matches!(self.stage, Stage::Done)
    }

    /// The whole root is still open.
    fn stop_early(&mut self) {
        let (bound, prices) = (self.bound, self.bound_prices.clone());
        self.push(bound, self.root.clone(), prices);
    }

    pub(super) fn push(&mut self, bound: i128, choices: Vec<Choice>, prices: Vec<i64>) {
        self.numbers += 1;
        self.heap.push(Node { bound, number: self.numbers, choices, prices });
    }

    /// Everything rejected: always legal.
    fn start(&mut self, book: &AuctionBook) {
        let Self { model, grid, desk, exact, answers, .. } = self;
        let scene = Scene { book, grid, model };
        exact.judge(scene, desk, 0);
        let dual = Dual::at(book, grid, model, exact.mid_point());
        for unit in 0..model.units.len() {
            // Consequences of ratios that no group or parent has room for.
            let sound = choice::propagate(model, &mut self.root, unit);
            debug_assert!(sound, "rejecting everything is always possible");
        }
        self.bound = dual.bound(model, &self.root, answers);
        self.bound_prices = dual.prices;
        self.stage = Stage::Climb { width: self.width_first, sweep: 0 };
    }

    fn climb(&mut self, book: &AuctionBook, width: u32, sweep: u32) {
        let Self { model, grid, desk, relaxation, answers, root, .. } = self;
        let scene = Scene { book, grid, model };
        if sweep == 0 {
            relaxation.smooth(Some(width));
            relaxation.settle(scene, desk, root);
        }
        let large = model.items.len() > 200;
        let left = if large && sweep < 8 {
            let part = (2 << 14) / (i64::from(sweep) + 3 + if width == self.width_first { 0 } else { 16 });
            relaxation.stride(scene, desk, root, answers, part);
            i128::MAX
        } else {
            let gap = self.bound - self.exact.best_welfare().unwrap_or(0);
            relaxation.sweep(scene, desk, root, answers, gap / 100_000 / i128::from(width + 1))
        };
        let gap = self.bound - self.exact.best_welfare().unwrap_or(0);
        if left > gap / 1000 && sweep < if large { 11 } else { 12 } {
            self.stage = Stage::Climb { width, sweep: sweep + 1 };
            return;
        }
        let dual = Dual::at(book, grid, model, relaxation.prices());
        let bound = dual.bound(model, root, answers);
        if bound < self.bound {
            self.bound = bound;
            self.bound_prices = dual.prices;
        }
        self.stage = match width.checked_sub(3) {
            Some(width) if width >= self.width_node => Stage::Climb { width, sweep: 0 },
            Some(_) | None => Stage::Round,
        };
    }

    /// Decisions nearest to the shares of the relaxation, families and groups respected.
    pub(super) fn rounded(&self, choices: &[Choice], threshold: i64) -> Vec<i64> {
        let model = &self.model;
        let mut levels = alloc::vec![0; model.items.len()];
        for unit in &model.units {
            for &item in unit.iter().rev() {
                let (entry, share) = (&model.items[item], self.relaxation.ratio(item));
                let room = entry.parent.map_or(WHOLE, |parent| levels[parent]).min(choices[item].most());
                let taken: i64 = entry.group.map_or(0, |group| {
                    model.groups[group].iter().map(|&it| levels[it].max(choices[it].least())).sum()
                });
                let room = room.min(WHOLE - taken + choices[item].least());
                let wanted = match choices[item] {
                    Choice::Out => 0,
                    Choice::In(least, most) => share.clamp(least, most),
                    Choice::Free(_) if share >= threshold => share.max(entry.least),
                    Choice::Free(_) => 0,
                };
                if wanted > 0 && room >= entry.least {
                    levels[item] = wanted.min(room);
                }
            }
        }
        levels
    }

    fn round(&mut self, book: &AuctionBook) {
        for threshold in [WHOLE / 2, WHOLE - WHOLE / 20] {
            let levels = self.rounded(&self.root, threshold);
            let Self { model, grid, desk, exact, .. } = self;
            let scene = Scene { book, grid, model };
            exact.assign(scene, &levels);
            exact.repair(scene, desk, 2_000, model.items.len() + 1);
        }
        self.stage = Stage::Improve { pass: 0 };
    }

    fn improve(&mut self, book: &AuctionBook, pass: u32) {
        let Self { model, grid, desk, exact, answers, .. } = self;
        let scene = Scene { book, grid, model };
        let better = super::local::improve(scene, desk, exact, answers);
        self.stage = if better && pass < 4 { Stage::Improve { pass: pass + 1 } } else { Stage::Branch };
        if matches!(self.stage, Stage::Branch) {
            self.retried = true;
            self.stop_early();
        }
    }
}
