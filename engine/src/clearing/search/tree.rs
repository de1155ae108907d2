//! Branch and bound over the choices, best bound first, with plunges.

use super::super::Limit;
use super::accounts::Accounts;
use super::anneal::{Anneal, Guide};
use super::branch::Visit;
use super::choice::{self, Choice};
use super::corner::Corner;
use super::dual::{Answers, Dual};
use super::equals::Comparing;
use super::exact::{AT_ONCE, Exact, Trial, walk};
use super::local::Retries;
use super::market::{Desk, Grid, Market};
use super::model::{Model, WHOLE};
use super::quadratic::Quadratic;
use super::relax::{Relaxation, Scene};
use crate::book::AuctionBook;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::task::Poll;

/// A part of the choices that is still open.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) bound: i128,
    pub(super) choices: Vec<Choice>,
    /// Prices that gave the bound.
    pub(super) prices: Vec<i64>,
}

/// A node that waits, packed: there may be a hundred thousand.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) bound: i128,
    /// Later nodes first among equals: they are deeper.
    number: u64,
    /// (item, choice) where it is narrower than the root's was.
    narrower: Vec<(u32, u32, u32)>,
    prices: Vec<i64>,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.bound, self.number).cmp(&(other.bound, other.number))
    }
}

/// Units of work of one step of a walk, about.
const WALK_STEP: u64 = 12;
/// Items of an auction that is rounded before the climb has ended.
const LARGE: usize = 1_000;
/// Walks have so much of the work for one of nodes.
const SHARE: u64 = 2;
/// Work of nodes before the first walk: easy auctions end before.
const WALK_AFTER: u64 = 1_000;

/// What the search is after next.
#[derive(Clone, Debug)]
enum Stage {
    Start,
    Open,
    /// The climb at the root, at this width of smoothing, this many sweeps in.
    Climb {
        width: u32,
        sweep: u32,
    },
    /// A leap has ended, so far from the top: it is bounded where that led.
    Bound {
        width: u32,
        sweep: u32,
        left: i128,
    },
    /// How prices answer is read at the end of the climb at this width.
    Answer {
        width: u32,
    },
    Round,
    /// Rounded shares on their way to where everyone is whole.
    Mend {
        then: Climbed,
    },
    Improve {
        pass: u32,
    },
    /// A walk from the best decisions.
    Anneal,
    Branch,
    /// What was found as good as the best is compared with it.
    Equals,
    Done,
}

/// How far the climb was when shares were rounded.
#[derive(Clone, Copy, Debug)]
enum Climbed {
    /// It goes on at this width.
    Partly {
        width: u32,
    },
    Wholly,
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
    anneal: Anneal,
    /// How prices answer around the top of the climb, smoothed widely.
    market_answer: Quadratic,
    stage: Stage,
    after_mending: Climbed,
    comparing: Comparing,
    retries: Option<Retries>,
    pub(super) heap: BinaryHeap<Waiting>,
    /// The node that a plunge goes on with.
    pub(super) plunge: Option<Node>,
    /// The node at hand.
    pub(super) visit: Option<Visit>,
    /// What nothing better than the best contradicts.
    pub(super) root: Vec<Choice>,
    /// Least bound known at the root.
    pub(super) bound: i128,
    pub(super) bound_prices: Vec<i64>,
    pub(super) root_dual: Option<Dual>,
    /// Answers that are being read.
    pub(super) reading: Option<Dual>,
    /// The relaxation as a linear programme, where it is small.
    pub(super) corner: Option<Corner>,
    /// It was asked for, and has bounded the root.
    pub(super) wanted: bool,
    pub(super) lowered: bool,
    /// The best welfare for which the root was narrowed.
    pub(super) narrowed: Option<i128>,
    /// Work of nodes and of walks.
    branched: u64,
    walked: u64,
    /// Rounded shares of a node that no walk has started from.
    pub(super) fresh: Vec<i64>,
    /// Welfare with everything rejected.
    free: i128,
    /// Greatest welfare of decisions whose prices could not be settled.
    pub(super) unresolved: Option<i128>,
    pub(super) numbers: u64,
    /// Nodes looked at.
    pub(in crate::clearing) nodes: u64,
    /// Units of work of setting it up.
    work_before: u64,
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
    /// The search over a model and a grid that are whole. Nothing is priced yet.
    pub(super) fn over(
        book: &AuctionBook,
        model: Model,
        grid: Grid,
        accounts: Accounts,
        (limit, work): (Limit, u64),
    ) -> Self {
        let mut exact = Exact::new(Market::exact(&grid, &model), model.periods);
        exact.accounts = accounts;
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
            anneal: Anneal::default(),
            market_answer: Quadratic::default(),
            stage: Stage::Start,
            after_mending: Climbed::Wholly,
            comparing: Comparing::default(),
            retries: None,
            heap: BinaryHeap::new(),
            plunge: None,
            visit: None,
            root: choice::open(&model),
            bound: 0,
            bound_prices: Vec::new(),
            root_dual: None,
            reading: None,
            corner: None,
            wanted: false,
            lowered: false,
            narrowed: None,
            free: 0,
            branched: 0,
            walked: 0,
            fresh: Vec::new(),
            unresolved: None,
            numbers: 0,
            nodes: 0,
            work_before: work,
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

    /// Units of work done: periods priced, and walks over orders and searches for prices by their size.
    pub(in crate::clearing) fn work(&self) -> u64 {
        let searched = self.desk.walked / 2048 + self.exact.conditions.toil / 4096;
        self.work_before + self.desk.priced + searched + self.nodes
    }

    /// True once there is a result and a bound.
    pub(in crate::clearing) fn is_bounded(&self) -> bool {
        !matches!(self.stage, Stage::Start | Stage::Open)
    }

    /// The best welfare so far, grid units.
    pub(in crate::clearing) fn welfare(&self) -> Option<i128> {
        self.exact.best_welfare()
    }

    /// No result has more welfare than this, grid units.
    pub(in crate::clearing) fn bound(&self) -> i128 {
        if matches!(self.stage, Stage::Anneal | Stage::Branch | Stage::Equals | Stage::Done) {
            let best = self.exact.best_welfare().unwrap_or(i128::MIN);
            let waiting = self.heap.peek().map(|it| it.bound);
            let nodes =
                self.plunge.iter().chain(self.visit.iter().filter(|it| it.is_node()).map(|it| &it.node));
            let open = nodes.map(|node| node.bound).chain(waiting).max();
            best.max(open.unwrap_or(best)).max(self.unresolved.unwrap_or(best)).min(self.bound.max(best))
        } else {
            self.bound
        }
    }

    /// What the next step does.
    pub(in crate::clearing) fn doing(&self) -> &'static str {
        match self.stage {
            Stage::Start => "start",
            Stage::Open => "start: bound",
            Stage::Climb { .. } => "climb",
            Stage::Bound { .. } => "climb: bound",
            Stage::Answer { .. } => "climb: answer",
            Stage::Round => "round",
            Stage::Mend { .. } => "mend",
            Stage::Improve { .. } => "retry",
            Stage::Anneal if self.anneal.runs() => "walk",
            Stage::Anneal => "walk: start",
            Stage::Branch => self.visit.as_ref().map_or("node: take", Visit::doing),
            Stage::Equals => "equals",
            Stage::Done => "done",
        }
    }

    /// One bounded step; true when the search has ended.
    pub(in crate::clearing) fn step(&mut self, book: &AuctionBook) -> bool {
        let before = self.work();
        if self.prices_wait(book) {
            self.take_turns(before);
            return false;
        }
        match self.stage.clone() {
            Stage::Start => self.start(book),
            Stage::Open => self.open_root(book),
            Stage::Climb { width, sweep } => self.climb(book, width, sweep),
            Stage::Bound { width, sweep, left } => self.bound_climb(book, width, sweep, left),
            Stage::Answer { width } => {
                let Self { model, grid, desk, relaxation, market_answer, .. } = self;
                market_answer.read(Scene { book, grid, model }, desk, relaxation);
                desk.walked += walk(model);
                self.end_climb(width);
            }
            Stage::Round => self.round(book),
            Stage::Mend { then } => self.mend(book, then),
            Stage::Improve { pass } => self.improve(book, pass),
            Stage::Anneal => self.anneal(book),
            Stage::Branch => self.branch(book),
            Stage::Equals => {
                let Self { model, grid, desk, exact, comparing, .. } = self;
                if comparing.step(Scene { book, grid, model }, desk, exact) {
                    self.stage = Stage::Done;
                }
                return matches!(self.stage, Stage::Done);
            }
            Stage::Done => return true,
        }
        self.take_turns(before);
        if !self.is_bounded() {
            return false;
        }
        let solved = self.welfare().is_some_and(|best| self.bound() - best <= self.limit.gap);
        let exhausted = matches!(self.stage, Stage::Branch | Stage::Anneal)
            && self.heap.is_empty()
            && self.plunge.is_none()
            && self.visit.is_none();
        if solved || exhausted || self.work() >= self.limit.work {
            if !matches!(self.stage, Stage::Branch | Stage::Anneal) {
                self.stop_early();
            }
            self.stage = if self.exact.equals.is_empty() { Stage::Done } else { Stage::Equals };
        }
        matches!(self.stage, Stage::Done)
    }

    /// Prices decisions that were set as a whole, in steps; true if that was this one. Nodes and walks
    /// price what they change.
    fn prices_wait(&mut self, book: &AuctionBook) -> bool {
        let whole = matches!(self.stage, Stage::Start | Stage::Mend { .. });
        let Self { grid, desk, exact, .. } = self;
        whole && !exact.market.refresh_some(book, grid, desk)
    }

    /// The whole root is still open.
    fn stop_early(&mut self) {
        let (bound, prices, root) = (self.bound, self.bound_prices.clone(), self.root.clone());
        self.push(bound, &root, prices);
    }

    pub(super) fn push(&mut self, bound: i128, choices: &[Choice], prices: Vec<i64>) {
        self.numbers += 1;
        let narrower = choice::pack(&self.root, choices);
        self.heap.push(Waiting { bound, number: self.numbers, narrower, prices });
    }

    /// The waiting node with the greatest bound. What was decided at the root since holds for it too.
    pub(super) fn pop(&mut self) -> Option<Node> {
        let Waiting { bound, narrower, prices, .. } = self.heap.pop()?;
        Some(Node { bound, choices: choice::unpack(&self.root, &narrower), prices })
    }

    /// Everybody's answer to prices, read in steps.
    pub(super) fn dual_at(
        &mut self,
        book: &AuctionBook,
        prices: impl FnOnce(&Self) -> Vec<i64>,
    ) -> Poll<Dual> {
        let mut dual = match self.reading.take() {
            Some(dual) => dual,
            None => Dual::new(prices(self)),
        };
        let Self { model, grid, desk, .. } = self;
        if dual.read(Scene { book, grid, model }, desk) {
            return Poll::Ready(dual);
        }
        self.reading = Some(dual);
        Poll::Pending
    }

    /// Everything rejected: always legal.
    fn start(&mut self, book: &AuctionBook) {
        let Self { model, grid, desk, exact, relaxation, .. } = self;
        let scene = Scene { book, grid, model };
        if exact.judge(scene, desk, 0).is_pending() {
            return;
        }
        self.free = exact.best_welfare().unwrap_or(0);
        relaxation.stand_at(exact.mid_point());
        self.stage = Stage::Open;
    }

    /// Bounds everything at the prices without blocks.
    fn open_root(&mut self, book: &AuctionBook) {
        let Poll::Ready(dual) = self.dual_at(book, |it| it.exact.mid_point()) else { return };
        let Self { model, answers, desk, .. } = self;
        desk.walked += walk(model);
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
        if relaxation.stands() {
            if sweep == 0 {
                relaxation.smooth(grid, width);
            }
            relaxation.settle(scene, root);
            desk.walked += walk(model);
            if model.flat.len() > AT_ONCE {
                return;
            }
        }
        if let Some(left) = relaxation.leap_step(scene, desk, root, answers) {
            self.stage = Stage::Bound { width, sweep, left };
        }
    }

    /// Bounds the root where a leap led.
    fn bound_climb(&mut self, book: &AuctionBook, width: u32, sweep: u32, left: i128) {
        let Poll::Ready(dual) = self.dual_at(book, |it| it.relaxation.prices()) else { return };
        let Self { model, desk, answers, root, .. } = self;
        let bound = dual.bound(model, root, answers);
        desk.walked += walk(model);
        if bound < self.bound {
            self.bound = bound;
            self.bound_prices = dual.prices;
        }
        let gap = self.bound - self.exact.best_welfare().unwrap_or(0);
        if left > gap / 10_000 && sweep < if self.is_early(width) { 3 } else { 12 } {
            self.stage = Stage::Climb { width, sweep: sweep + 1 };
        } else if width + 3 >= self.width_first {
            self.stage = Stage::Answer { width };
        } else {
            self.end_climb(width);
        }
    }

    /// Large auctions have something legal early.
    fn is_early(&self, width: u32) -> bool {
        self.model.items.len() > LARGE && width == self.width_first
    }

    /// The climb at one width has ended.
    fn end_climb(&mut self, width: u32) {
        self.stage = match width.checked_sub(3) {
            Some(next) if next >= self.width_node => {
                if self.is_early(width) {
                    self.after_mending = Climbed::Partly { width: next };
                    Stage::Round
                } else {
                    Stage::Climb { width: next, sweep: 0 }
                }
            }
            Some(_) | None => {
                self.after_mending = Climbed::Wholly;
                Stage::Round
            }
        };
    }

    /// The share of an item in the relaxation, millionths.
    pub(super) fn share(&self, item: usize) -> i64 {
        self.corner.as_ref().map_or_else(|| self.relaxation.ratio(item), |corner| corner.shares[item])
    }

    /// Decisions nearest to the shares of the relaxation, families and groups respected.
    pub(super) fn rounded(&self, choices: &[Choice], threshold: i64) -> Vec<i64> {
        let model = &self.model;
        let mut levels = alloc::vec![0; model.items.len()];
        for unit in &model.units {
            for &item in unit.iter().rev() {
                let (entry, share) = (&model.items[item], self.share(item));
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

    /// Rounds the shares and mends them step by step.
    fn round(&mut self, book: &AuctionBook) {
        let levels = self.rounded(&self.root, WHOLE / 2);
        let Self { model, grid, exact, .. } = self;
        exact.close_accounts();
        exact.assign(Scene { book, grid, model }, &levels);
        self.desk.walked += 2 * walk(&self.model);
        self.fresh = levels;
        self.stage = Stage::Mend { then: self.after_mending };
    }

    fn mend(&mut self, book: &AuctionBook, then: Climbed) {
        let Self { model, grid, desk, exact, .. } = self;
        let scene = Scene { book, grid, model };
        desk.walked += 256;
        if super::local::mend(scene, desk, exact) {
            exact.close_accounts();
            self.stage = match then {
                Climbed::Partly { width } => Stage::Climb { width, sweep: 0 },
                Climbed::Wholly => Stage::Improve { pass: 0 },
            };
        }
    }

    fn improve(&mut self, book: &AuctionBook, pass: u32) {
        let Self { model, grid, desk, exact, answers, retries, .. } = self;
        let scene = Scene { book, grid, model };
        let Some(pending) = retries else {
            *retries = Some(Retries::start(scene, exact));
            return;
        };
        let Some(better) = pending.step(scene, desk, exact, answers) else { return };
        self.retries = None;
        self.stage = if better && pass < 4 { Stage::Improve { pass: pass + 1 } } else { Stage::Branch };
        if matches!(self.stage, Stage::Branch) {
            self.retried = true;
            self.stop_early();
        }
    }

    /// Walks and nodes take turns, so that walks have had about [`SHARE`] times as much work.
    fn take_turns(&mut self, before: u64) {
        let spent = self.work() - before;
        match self.stage {
            Stage::Anneal => {
                self.walked += spent;
                if !self.anneal.runs() && !self.anneal.is_prepared() && self.walked >= SHARE * self.branched {
                    self.stage = Stage::Branch;
                }
            }
            Stage::Branch => {
                self.branched += spent;
                let open = self.heap.len() + usize::from(self.plunge.is_some());
                if self.visit.is_none() && self.branched > self.walked / SHARE + WALK_AFTER && open > 0 {
                    self.stage = Stage::Anneal;
                }
            }
            Stage::Start
            | Stage::Open
            | Stage::Climb { .. }
            | Stage::Bound { .. }
            | Stage::Answer { .. }
            | Stage::Round
            | Stage::Mend { .. }
            | Stage::Improve { .. }
            | Stage::Equals
            | Stage::Done => {}
        }
    }

    fn anneal(&mut self, book: &AuctionBook) {
        if self.root_dual.is_none() {
            let dual = self.dual_at(book, |it| it.bound_prices.clone());
            self.root_dual = match dual {
                Poll::Ready(dual) => Some(dual),
                Poll::Pending => None,
            };
            return;
        }
        let until = self.work() + WALK_STEP;
        let Self { model, grid, desk, exact, anneal, answers, root, root_dual, .. } = self;
        let scene = Scene { book, grid, model };
        if let Some(dual) = root_dual
            && !anneal.runs()
        {
            if anneal.is_prepared() {
                if exact.market.refresh_some(book, grid, desk) {
                    let gain = self.bound - self.free;
                    let guide = Guide { dual, choices: root, from: Vec::new() };
                    anneal.start(scene, desk, exact, gain, &guide, answers);
                }
            } else {
                let from = if anneal.cycles % 2 == 0 { core::mem::take(&mut self.fresh) } else { Vec::new() };
                anneal.prepare(scene, desk, exact, &Guide { dual, choices: root, from });
            }
            return;
        }
        for _ in 0..16 {
            let Self { model, grid, desk, exact, anneal, market_answer, .. } = self;
            if anneal.step(Scene { book, grid, model }, desk, exact, market_answer) || self.work() >= until {
                return;
            }
        }
    }
}
