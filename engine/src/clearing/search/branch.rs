//! One node of the tree: bound it, fix what cannot pay, try what it suggests, split it.

use super::choice::{self, Choice};
use super::corner::{Corner, Way};
use super::dual::Dual;
use super::exact::{AT_ONCE, Trial, walk};
use super::local::Rejecting;
use super::model::{Model, WHOLE};
use super::relax::Scene;
use super::tree::{Node, Search};
use crate::book::AuctionBook;
use alloc::vec::Vec;
use core::task::{Poll, ready};

/// Work of moves of the corner in one step, parts walked over.
const TOIL: usize = 60_000;

/// Nodes before the linear programme is worth its start.
const CORNER_AFTER: u64 = 4;

/// How an item's choices are split.
struct Split {
    item: usize,
    /// Gone on with at once.
    first: Choice,
    second: Choice,
}

/// The node at hand and what is to be done with it next.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) node: Node,
    phase: Phase,
    /// What everybody earns at the prices of the node, while that is looked at.
    dual: Option<Dual>,
    /// The decisions that it suggests.
    levels: Vec<i64>,
    /// The prices of its corner.
    prices: Vec<i64>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// It takes over what was decided at the root since.
    First,
    /// Bounded at the prices of its parent.
    Bound,
    /// What cannot pay is fixed, before its relaxation is climbed (`entering`) and after.
    Fix {
        entering: bool,
        fixing: Fixing,
    },
    /// The relaxation climbs within its choices, smoothed widely first, then narrowly.
    Climb {
        narrow: bool,
        leaps: u32,
    },
    /// A leap has ended, so far from the top: it is bounded where that led.
    Leapt {
        narrow: bool,
        leaps: u32,
        left: i128,
    },
    /// The corner of the linear programme moves, so many times so far.
    Corner {
        moves: usize,
    },
    /// It is bounded at that corner.
    Cornered,
    /// As before, for everything that is still open: the bound of all, and what it decides.
    Root {
        moves: usize,
    },
    RootCornered,
    /// As [`Self::Fix`], for everything that is still open.
    Narrow {
        fixing: Fixing,
    },
    /// What is left has its linear programme set up.
    Restart,
    /// What it suggests is priced.
    Suggest,
    /// Prices that support it are looked for.
    Judge,
    /// It is bounded at the prices that came with that.
    Sharpen,
    /// What loses in it is rejected.
    Reject(Rejecting),
    /// It is split.
    Split,
}

/// How far units have been looked at, and the bound with what was fixed.
#[derive(Clone, Copy, Debug, Default)]
struct Fixing {
    unit: usize,
    bound: Option<i128>,
}

/// How a while of fixing ended.
enum Fixed {
    /// Nothing in the node can beat the best.
    Hopeless,
    Partly(Fixing),
    Wholly,
}

/// Items that are looked at in one go while fixing.
const FIXED_AT_ONCE: usize = 1_000;

impl Visit {
    fn of(node: Node, phase: Phase) -> Self {
        Self { node, phase, dual: None, levels: Vec::new(), prices: Vec::new() }
    }

    /// A node to be looked at.
    fn new(node: Node) -> Self {
        Self::of(node, Phase::First)
    }

    /// True if it is a node, and not the root once more.
    pub(super) fn is_node(&self) -> bool {
        !matches!(
            self.phase,
            Phase::Root { .. } | Phase::RootCornered | Phase::Narrow { .. } | Phase::Restart
        )
    }

    /// What is done with the node next.
    pub(super) fn doing(&self) -> &'static str {
        match self.phase {
            Phase::First => "node: enter",
            Phase::Bound => "node: bound",
            Phase::Fix { .. } => "node: fix",
            Phase::Climb { .. } => "node: climb",
            Phase::Leapt { .. } => "node: leapt",
            Phase::Corner { .. } => "node: corner",
            Phase::Cornered => "node: cornered",
            Phase::Root { .. } => "root: corner",
            Phase::RootCornered => "root: cornered",
            Phase::Narrow { .. } => "root: narrow",
            Phase::Restart => "root: restart",
            Phase::Suggest => "node: suggest",
            Phase::Judge => "node: judge",
            Phase::Sharpen => "node: sharpen",
            Phase::Reject(_) => "node: reject",
            Phase::Split => "node: split",
        }
    }
}

impl Search {
    /// One step of the next node: the one at hand, the plunge, or the open one with the greatest bound.
    pub(super) fn branch(&mut self, book: &AuctionBook) {
        let Some(mut visit) = self.visit.take() else {
            self.visit = self.next_visit();
            return;
        };
        if self.hopeless(visit.node.bound) {
            self.reading = None;
            if !visit.is_node() {
                self.close_all();
            }
            return;
        }
        let next = match visit.phase {
            Phase::First => {
                self.desk.walked += walk(&self.model) / 2;
                self.confine(&mut visit.node).then_some(Phase::Bound)
            }
            Phase::Bound => Some(self.bound_node(book, &mut visit)),
            Phase::Fix { entering, fixing } => self.fix_some(book, &mut visit, entering, fixing),
            Phase::Corner { moves } => Some(match self.move_corner(book, &mut visit, moves) {
                Some(moves) => Phase::Corner { moves },
                None => Phase::Cornered,
            }),
            Phase::Root { moves } => Some(match self.move_corner(book, &mut visit, moves) {
                Some(moves) => Phase::Root { moves },
                None => Phase::RootCornered,
            }),
            Phase::Cornered | Phase::RootCornered => {
                let prices = &visit.prices;
                let sharpened = self.sharpen(book, &mut visit.node, |_| prices.clone());
                if sharpened.is_pending() {
                    Some(visit.phase)
                } else if visit.is_node() {
                    Some(Phase::Fix { entering: false, fixing: Fixing::default() })
                } else {
                    return self.lower_root(visit.node);
                }
            }
            Phase::Climb { narrow, leaps } => Some(self.climb_node(book, &visit.node, narrow, leaps)),
            Phase::Leapt { narrow, leaps, left } => {
                Some(self.leapt(book, &mut visit.node, (narrow, leaps), left))
            }
            Phase::Narrow { fixing } => return self.narrow_root(book, visit, fixing),
            Phase::Restart => return self.restart_corner(book, visit.node.prices),
            Phase::Suggest => Some(self.suggest(book, &mut visit)),
            Phase::Judge => self.judge_node(book, &visit),
            Phase::Sharpen => Some(self.sharpen_tried(book, &mut visit)),
            Phase::Reject(mut rejecting) => {
                let Self { model, grid, desk, exact, .. } = self;
                let ended = rejecting.step(Scene { book, grid, model }, desk, exact);
                Some(if ended { Phase::Split } else { Phase::Reject(rejecting) })
            }
            Phase::Split => return self.split_node(visit),
        };
        if let Some(phase) = next {
            visit.phase = phase;
            self.visit = Some(visit);
        }
    }

    /// The node that comes next, or the root once more.
    fn next_visit(&mut self) -> Option<Visit> {
        let root = |search: &Self| Node {
            bound: search.bound,
            choices: search.root.clone(),
            prices: search.bound_prices.clone(),
        };
        if self.narrowed != self.welfare() || self.nodes == CORNER_AFTER && self.corner_wanted() {
            self.narrowed = self.welfare();
            return Some(Visit::of(root(self), Phase::Narrow { fixing: Fixing::default() }));
        }
        if self.corner_due() {
            return Some(Visit::of(root(self), Phase::Root { moves: 0 }));
        }
        let node = self.plunge.take().or_else(|| self.pop())?;
        self.nodes += 1;
        Some(Visit::new(node))
    }

    /// Nothing that is open can beat the best.
    fn close_all(&mut self) {
        self.heap.clear();
        self.plunge = None;
    }

    /// Bounds a node at the prices of its parent; what comes after it.
    fn bound_node(&mut self, book: &AuctionBook, visit: &mut Visit) -> Phase {
        let prices = &visit.node.prices;
        let Poll::Ready(dual) = self.dual_at(book, |_| prices.clone()) else { return Phase::Bound };
        let bound = dual.bound(&self.model, &visit.node.choices, &mut self.answers);
        visit.node.bound = visit.node.bound.min(bound);
        visit.dual = Some(dual);
        self.desk.walked += walk(&self.model);
        Phase::Fix { entering: true, fixing: Fixing::default() }
    }

    /// Prices what a node suggests; what comes after it.
    fn suggest(&mut self, book: &AuctionBook, visit: &mut Visit) -> Phase {
        if visit.levels.is_empty() {
            visit.levels = self.suggested(&visit.node.choices);
            self.desk.walked += walk(&self.model);
        }
        let ready = visit.levels == self.tried || self.set_and_price(book, &visit.levels);
        if ready { Phase::Judge } else { Phase::Suggest }
    }

    /// Fixes some of what cannot pay; what comes after it, or nothing if the node is hopeless.
    fn fix_some(
        &mut self,
        book: &AuctionBook,
        visit: &mut Visit,
        entering: bool,
        fixing: Fixing,
    ) -> Option<Phase> {
        let Some(dual) = visit.dual.take() else {
            let prices = &visit.node.prices;
            if let Poll::Ready(dual) = self.dual_at(book, |_| prices.clone()) {
                visit.dual = Some(dual);
            }
            return Some(Phase::Fix { entering, fixing });
        };
        match self.fix(&dual, &mut visit.node, fixing) {
            Fixed::Hopeless => None,
            Fixed::Partly(fixing) => {
                visit.dual = Some(dual);
                Some(Phase::Fix { entering, fixing })
            }
            Fixed::Wholly if entering => Some(match &mut self.corner {
                Some(corner) => {
                    corner.choose(&visit.node.choices);
                    Phase::Corner { moves: 0 }
                }
                None => Phase::Climb { narrow: false, leaps: 0 },
            }),
            Fixed::Wholly => Some(Phase::Suggest),
        }
    }

    /// The decisions nearest to the relaxation of a node.
    fn suggested(&self, choices: &[Choice]) -> Vec<i64> {
        if self.is_leaf(choices) {
            choices.iter().map(|it| it.least()).collect()
        } else {
            self.rounded(choices, WHOLE / 2)
        }
    }

    /// Sets decisions and prices them, in steps; true when all is priced.
    fn set_and_price(&mut self, book: &AuctionBook, levels: &[i64]) -> bool {
        let Self { model, grid, desk, exact, .. } = self;
        exact.assign(Scene { book, grid, model }, levels);
        exact.market.refresh_some(book, grid, desk)
    }

    /// Judges what a node suggests; what comes after it, or nothing if the node has ended with it.
    fn judge_node(&mut self, book: &AuctionBook, visit: &Visit) -> Option<Phase> {
        let leaf = self.is_leaf(&visit.node.choices);
        if !leaf && visit.levels == self.tried {
            return Some(Phase::Split);
        }
        let Self { model, grid, desk, exact, .. } = self;
        let scene = Scene { book, grid, model };
        if !exact.is_judging() {
            exact.assign(scene, &visit.levels);
        }
        let effort = if leaf { 4_000 } else { 600 };
        let Poll::Ready(trial) = exact.judge(scene, desk, effort) else { return Some(Phase::Judge) };
        if leaf {
            if let Trial::Unknown(welfare) = trial {
                self.unresolved = self.unresolved.max(Some(welfare));
            }
            return None;
        }
        self.tried.clone_from(&visit.levels);
        self.tried_outcome = trial;
        if !matches!(trial, Trial::Legal(_)) {
            self.fresh.clone_from(&visit.levels);
        }
        self.tried_losers = self.exact.conditions.losers().iter().map(|it| it.0).collect();
        Some(Phase::Sharpen)
    }

    /// Bounds a node at the prices of what it suggested; what comes after it.
    fn sharpen_tried(&mut self, book: &AuctionBook, visit: &mut Visit) -> Phase {
        let clears = self.tried_outcome != Trial::NotClearing;
        let best = self.exact.best.as_ref().filter(|best| best.levels == visit.levels);
        let prices = best.map(|best| best.prices.clone()).or_else(|| clears.then(|| self.exact.mid_point()));
        if let Some(prices) = prices
            && self.sharpen(book, &mut visit.node, |_| prices).is_pending()
        {
            return Phase::Sharpen;
        }
        match self.tried_outcome {
            Trial::Loses(welfare) | Trial::Unknown(welfare) if !self.hopeless(welfare) => {
                Phase::Reject(Rejecting::default())
            }
            Trial::Loses(_) | Trial::Unknown(_) | Trial::Legal(_) | Trial::NotClearing => Phase::Split,
        }
    }

    /// Splits a node that was tried.
    fn split_node(&mut self, visit: Visit) {
        let Visit { node, levels, .. } = visit;
        self.desk.walked += walk(&self.model);
        let mut losers: &[usize] = &[];
        if let Trial::Loses(welfare) = self.tried_outcome {
            losers = &self.tried_losers;
            if welfare >= node.bound && self.is_closed(&node.choices, &levels) {
                // Nothing here has more welfare, and whatever accepts all of this and more at
                // prices that make everyone whole would be no better: then those prices would
                // support this too.
                return;
            }
        }
        if let Some(split) = self.split(&node, losers, &levels) {
            self.open(node, &split);
        }
    }

    /// True if nothing within the bound can beat the best.
    fn hopeless(&self, bound: i128) -> bool {
        self.exact.best_welfare().is_some_and(|best| bound <= best)
    }

    /// True if every item that `levels` accepts must be accepted with just these lots.
    fn is_closed(&self, choices: &[Choice], levels: &[i64]) -> bool {
        choices.iter().enumerate().all(|(item, choice)| match *choice {
            Choice::In(least, most) => self.model.same_lots(item, least, most),
            Choice::Free(_) | Choice::Out => levels[item] == 0,
        })
    }

    fn is_leaf(&self, choices: &[Choice]) -> bool {
        choices.iter().enumerate().all(|(item, choice)| match *choice {
            Choice::Out => true,
            Choice::Free(_) => false,
            Choice::In(least, most) => self.model.same_lots(item, least, most),
        })
    }

    /// Keeps the prices if they bound the node better.
    fn sharpen(
        &mut self,
        book: &AuctionBook,
        node: &mut Node,
        prices: impl FnOnce(&Self) -> Vec<i64>,
    ) -> Poll<()> {
        let dual = ready!(self.dual_at(book, prices));
        let bound = dual.bound(&self.model, &node.choices, &mut self.answers);
        self.desk.walked += walk(&self.model);
        if bound < node.bound {
            node.bound = bound;
            node.prices = dual.prices;
        }
        Poll::Ready(())
    }

    /// Decides at the root what nothing better than the best contradicts, in steps.
    fn narrow_root(&mut self, book: &AuctionBook, mut visit: Visit, fixing: Fixing) {
        let Some(dual) = self.root_dual.take() else {
            if let Poll::Ready(dual) = self.dual_at(book, |it| it.bound_prices.clone()) {
                self.root_dual = Some(dual);
            }
            self.visit = Some(visit);
            return;
        };
        let fixed = self.fix(&dual, &mut visit.node, fixing);
        self.root_dual = Some(dual);
        match fixed {
            Fixed::Hopeless => self.close_all(),
            Fixed::Partly(fixing) => {
                visit.phase = Phase::Narrow { fixing };
                self.visit = Some(visit);
            }
            Fixed::Wholly => {
                self.root.clone_from(&visit.node.choices);
                if let Some(best) = self.welfare() {
                    self.heap.retain(|waiting| waiting.bound > best);
                }
                let left = self.root.iter().filter(|&&it| choice::is_open(it)).count();
                let due = self.corner.as_ref().is_none_or(|corner| left * 5 < corner.items.len() * 4);
                if due && self.nodes >= CORNER_AFTER {
                    visit.phase = Phase::Restart;
                    self.visit = Some(visit);
                }
            }
        }
    }

    /// Starts the linear programme of what is left.
    fn restart_corner(&mut self, book: &AuctionBook, prices: Vec<i64>) {
        let scene = Scene { book, grid: &self.grid, model: &self.model };
        let from = self.corner.as_ref().map_or(prices, Corner::ticks);
        self.corner = Corner::new(scene, &self.root, &from).or(self.corner.take());
        self.desk.walked += walk(&self.model);
    }

    /// Carries over what is decided at the root; false if the node contradicts it.
    fn confine(&mut self, node: &mut Node) -> bool {
        for (choice, root) in node.choices.iter_mut().zip(&self.root) {
            let (least, most) = (choice.least().max(root.least()), choice.most().min(root.most()));
            *choice = match (*choice, *root) {
                (Choice::Free(_), Choice::Free(_)) => Choice::Free(most),
                (Choice::Out | Choice::Free(_), Choice::Out | Choice::Free(_)) => Choice::Out,
                (Choice::In(..), Choice::In(..) | Choice::Free(_)) | (Choice::Free(_), Choice::In(..))
                    if least <= most =>
                {
                    Choice::In(least, most)
                }
                (Choice::In(..), _) | (_, Choice::In(..)) => return false,
            };
        }
        (0..self.model.units.len()).all(|unit| choice::propagate(&self.model, &mut node.choices, unit))
    }

    /// Some moves of the corner, so many so far; how many then, or nothing once its prices are read.
    fn move_corner(&mut self, book: &AuctionBook, visit: &mut Visit, moves: usize) -> Option<usize> {
        let Some(corner) = &mut self.corner else {
            visit.prices.clone_from(&visit.node.prices);
            return None;
        };
        let most = 400 + 12 * self.model.areas * self.model.periods;
        let mut made = 0;
        let mut way = Way::Moved;
        while way == Way::Moved && moves + made < most && made * corner.toil < TOIL {
            way = corner.step(&self.grid);
            made += 1;
        }
        self.desk.walked += u64::try_from(made * corner.toil).unwrap_or(0);
        if way == Way::Moved && moves + made < most {
            return Some(moves + made);
        }
        corner.read(&visit.node.choices);
        visit.prices = corner.ticks();
        if way == Way::Stuck {
            // It starts anew, from where it stands.
            let scene = Scene { book, grid: &self.grid, model: &self.model };
            self.corner = Corner::new(scene, &self.root, &visit.prices);
        }
        None
    }

    /// True once, when easy auctions would have ended.
    fn corner_wanted(&mut self) -> bool {
        !core::mem::replace(&mut self.wanted, true)
    }

    /// True if the linear programme is to start now.
    fn corner_due(&mut self) -> bool {
        let due = self.nodes == CORNER_AFTER && self.corner.is_some() && !self.lowered;
        self.lowered |= due;
        due
    }

    /// The bound of all that is open, at better prices.
    fn lower_root(&mut self, node: Node) {
        if node.bound < self.bound {
            self.bound = node.bound;
            self.bound_prices = node.prices;
            self.root_dual = None;
            self.narrowed = None;
        }
    }

    /// One step of a leap towards prices that bound a node better; what comes after it.
    fn climb_node(&mut self, book: &AuctionBook, node: &Node, narrow: bool, leaps: u32) -> Phase {
        let Self { model, grid, desk, relaxation, answers, .. } = self;
        let scene = Scene { book, grid, model };
        if relaxation.stands() {
            if leaps == 0 {
                relaxation.smooth(grid, self.width_node + if narrow { 0 } else { 4 });
            }
            relaxation.settle(scene, &node.choices);
            desk.walked += walk(model);
            if model.flat.len() > AT_ONCE {
                return Phase::Climb { narrow, leaps };
            }
        }
        match relaxation.leap_step(scene, desk, &node.choices, answers) {
            Some(left) => Phase::Leapt { narrow, leaps, left },
            None => Phase::Climb { narrow, leaps },
        }
    }

    /// Bounds a node where a leap led; what comes after it.
    fn leapt(
        &mut self,
        book: &AuctionBook,
        node: &mut Node,
        (narrow, leaps): (bool, u32),
        left: i128,
    ) -> Phase {
        let gap = node.bound - self.exact.best_welfare().unwrap_or(0);
        if self.sharpen(book, node, |it| it.relaxation.prices()).is_pending() {
            return Phase::Leapt { narrow, leaps, left };
        }
        if left > gap / 100 && leaps < if narrow { 3 } else { 2 } {
            Phase::Climb { narrow, leaps: leaps + 1 }
        } else if narrow {
            Phase::Fix { entering: false, fixing: Fixing::default() }
        } else {
            Phase::Climb { narrow: true, leaps: 0 }
        }
    }

    /// Decides free items of which one choice cannot beat the best, for a while.
    fn fix(&mut self, dual: &Dual, node: &mut Node, mut fixing: Fixing) -> Fixed {
        let Some(best) = self.exact.best_welfare() else { return Fixed::Wholly };
        let Self { model, answers, desk, .. } = self;
        let mut sum = fixing.bound.unwrap_or_else(|| dual.bound(model, &node.choices, answers));
        let mut trial = node.choices.clone();
        let mut left = FIXED_AT_ONCE;
        while fixing.unit < model.units.len() {
            if left == 0 {
                fixing.bound = Some(sum);
                return Fixed::Partly(fixing);
            }
            let unit = fixing.unit;
            fixing.unit += 1;
            let mut now = dual.unit(model, &node.choices, unit, answers);
            for position in 0..model.units[unit].len() {
                let item = model.units[unit][position];
                if !node.choices[item].is_free() {
                    continue;
                }
                left = left.saturating_sub(model.units[unit].len());
                desk.walked += 8;
                let slack = sum - best;
                let reject = worth(model, dual, &mut trial, answers, unit, item, Choice::Out);
                let rejected_pays = reject.is_some_and(|it| now - it < slack);
                restore(model, &mut trial, &node.choices, unit);
                let whole = choice::accepted(model, item, node.choices[item]);
                let accept = worth(model, dual, &mut trial, answers, unit, item, whole);
                let accepted_pays = accept.is_some_and(|it| now - it < slack);
                restore(model, &mut trial, &node.choices, unit);
                let decided = match (rejected_pays, accepted_pays) {
                    (true, true) => continue,
                    (false, false) => return Fixed::Hopeless,
                    (true, false) => Choice::Out,
                    (false, true) => whole,
                };
                node.choices[item] = decided;
                if !choice::propagate(model, &mut node.choices, unit) {
                    return Fixed::Hopeless;
                }
                restore(model, &mut trial, &node.choices, unit);
                let after = dual.unit(model, &node.choices, unit, answers);
                sum += after - now;
                now = after;
            }
        }
        node.bound = node.bound.min(sum);
        if self.hopeless(node.bound) { Fixed::Hopeless } else { Fixed::Wholly }
    }

    /// What to decide next.
    fn split(&self, node: &Node, losers: &[usize], levels: &[i64]) -> Option<Split> {
        let model = &self.model;
        let choices = &node.choices;
        let share = |item: usize| self.share(item);
        let fractional = (0..choices.len()).filter(|&item| choices[item].is_free()).filter_map(|item| {
            let apart = share(item).min(model.items[item].least.max(share(item)) - share(item));
            let size: i64 = model.parts(item).iter().map(|part| part.lots).sum();
            let score = i128::from(apart) * (i128::from(size) + 1);
            (apart > WHOLE / 200).then_some((score, item))
        });
        let item = fractional
            .max_by_key(|it| (it.0, core::cmp::Reverse(it.1)))
            .map(|it| it.1)
            .or_else(|| losers.iter().copied().find(|&item| choices[item].is_free()))
            .or_else(|| {
                let dual = |item: usize| model.surplus(item, &node.prices).surplus.abs();
                let free = (0..choices.len()).filter(|&item| choices[item].is_free());
                free.min_by_key(|&item| (dual(item), item))
            });
        let Some(item) = item else { return self.split_ratio(choices) };
        let (out, whole) = (Choice::Out, choice::accepted(model, item, choices[item]));
        let accept =
            share(item) * 2 >= WHOLE && !losers.contains(&item) || levels[item] > 0 && losers.is_empty();
        let (first, second) = if accept { (whole, out) } else { (out, whole) };
        Some(Split { item, first, second })
    }

    /// Halves the widest ratio that is still open.
    fn split_ratio(&self, choices: &[Choice]) -> Option<Split> {
        let mut widest = None;
        for (item, choice) in choices.iter().enumerate() {
            if let Choice::In(least, most) = *choice
                && !self.model.same_lots(item, least, most)
                && widest.is_none_or(|(_, _, _, width)| most - least > width)
            {
                widest = Some((item, least, most, most - least));
            }
        }
        let (item, least, most, _) = widest?;
        let middle = least + (most - least) / 2;
        // The upper part begins where a lot more is accepted.
        let upper = self.model.next_step(item, middle);
        let upper = if upper > most { middle.max(least + 1) } else { upper };
        let (low, high) = (Choice::In(least, upper - 1), Choice::In(upper, most));
        let (first, second) = if self.share(item) >= upper { (high, low) } else { (low, high) };
        Some(Split { item, first, second })
    }

    fn open(&mut self, node: Node, split: &Split) {
        let unit = self.model.items[split.item].unit;
        let mut second = node.choices.clone();
        second[split.item] = split.second;
        if choice::propagate(&self.model, &mut second, unit) {
            self.push(node.bound, &second, node.prices.clone());
        }
        let mut first = node.choices;
        first[split.item] = split.first;
        if choice::propagate(&self.model, &mut first, unit) {
            self.plunge = Some(Node { bound: node.bound, choices: first, prices: node.prices });
        }
    }
}

/// Best answer of a unit if one of its items is decided; nothing if that contradicts the rest.
fn worth(
    model: &Model,
    dual: &Dual,
    trial: &mut [Choice],
    answers: &mut super::dual::Answers,
    unit: usize,
    item: usize,
    choice: Choice,
) -> Option<i128> {
    trial[item] = choice;
    choice::propagate(model, trial, unit).then(|| dual.unit(model, trial, unit, answers))
}

fn restore(model: &Model, trial: &mut [Choice], choices: &[Choice], unit: usize) {
    for &item in &model.units[unit] {
        trial[item] = choices[item];
    }
}
