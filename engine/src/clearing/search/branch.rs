//! One node of the tree: bound it, fix what cannot pay, try what it suggests, split it.

use super::choice::{self, Choice};
use super::corner::{Corner, Way};
use super::dual::Dual;
use super::exact::Trial;
use super::model::{Model, WHOLE};
use super::relax::Scene;
use super::tree::{Node, Search};
use crate::book::AuctionBook;
use alloc::vec::Vec;

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
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Bounded at the prices of its parent.
    First,
    /// The relaxation climbs within its choices, smoothed widely first, then narrowly.
    Climb { narrow: bool, leaps: u32 },
    /// The corner of the linear programme moves, so many times so far.
    Corner { moves: usize },
    /// As before, for everything that is still open: the bound of all, and what it decides.
    Root { moves: usize },
    /// What cannot pay is fixed.
    Fix,
    /// What it suggests is tried, and it is split.
    Split,
}

impl Search {
    /// One step of the next node: the one at hand, the plunge, or the open one with the greatest bound.
    pub(super) fn branch(&mut self, book: &AuctionBook) {
        let Some(visit) = self.visit.take() else {
            if self.narrowed != self.welfare() || self.nodes == CORNER_AFTER && self.corner_wanted() {
                self.narrow_root(book);
                return;
            }
            if self.corner_due() {
                let (bound, prices) = (self.bound, self.bound_prices.clone());
                let node = Node { bound, choices: self.root.clone(), prices };
                self.visit = Some(Visit { node, phase: Phase::Root { moves: 0 } });
                return;
            }
            if let Some(node) = self.plunge.take().or_else(|| self.pop()) {
                self.nodes += 1;
                self.visit = Some(Visit { node, phase: Phase::First });
            }
            return;
        };
        let Visit { mut node, phase } = visit;
        if self.hopeless(node.bound) {
            return;
        }
        let next = match phase {
            Phase::First => {
                if !self.confine(&mut node) {
                    return;
                }
                let dual = Dual::at(book, &self.grid, &self.model, node.prices.clone());
                node.bound = node.bound.min(dual.bound(&self.model, &node.choices, &mut self.answers));
                if self.hopeless(node.bound) || !self.fix(&dual, &mut node) {
                    return;
                }
                match &mut self.corner {
                    Some(corner) => {
                        corner.choose(&node.choices);
                        Phase::Corner { moves: 0 }
                    }
                    None => Phase::Climb { narrow: false, leaps: 0 },
                }
            }
            Phase::Corner { moves } => self.move_corner(book, &mut node, moves),
            Phase::Root { moves } => match self.move_corner(book, &mut node, moves) {
                Phase::Corner { moves } => Phase::Root { moves },
                Phase::First | Phase::Climb { .. } | Phase::Root { .. } | Phase::Fix | Phase::Split => {
                    return self.lower_root(node);
                }
            },
            Phase::Climb { narrow, leaps } => self.climb_node(book, &mut node, narrow, leaps),
            Phase::Fix => {
                let dual = Dual::at(book, &self.grid, &self.model, node.prices.clone());
                if !self.fix(&dual, &mut node) {
                    return;
                }
                Phase::Split
            }
            Phase::Split => {
                if self.suggest(book, &node) {
                    return self.decide_node(book, node);
                }
                Phase::Split
            }
        };
        self.visit = Some(Visit { node, phase: next });
    }

    /// Sets what a node suggests and prices it, in steps; true when all is priced.
    fn suggest(&mut self, book: &AuctionBook, node: &Node) -> bool {
        let levels = if self.is_leaf(&node.choices) {
            node.choices.iter().map(|it| it.least()).collect()
        } else {
            self.rounded(&node.choices, WHOLE / 2)
        };
        let Self { model, grid, desk, exact, tried, .. } = self;
        if levels == *tried {
            return true;
        }
        exact.assign(Scene { book, grid, model }, &levels);
        exact.market.refresh_some(book, grid, desk)
    }

    /// Tries what a bounded node suggests, and splits it.
    fn decide_node(&mut self, book: &AuctionBook, mut node: Node) {
        let mut losers = Vec::new();
        if self.is_leaf(&node.choices) {
            let levels: Vec<i64> = node.choices.iter().map(|it| it.least()).collect();
            if let Trial::Unknown(welfare) = self.attempt(book, &levels, 4_000) {
                self.unresolved = self.unresolved.max(Some(welfare));
            }
            return;
        }
        let levels = self.rounded(&node.choices, WHOLE / 2);
        if levels != self.tried {
            self.tried.clone_from(&levels);
            self.tried_outcome = self.attempt(book, &levels, 600);
            if !matches!(self.tried_outcome, Trial::Legal(_)) {
                self.fresh.clone_from(&levels);
            }
            self.tried_losers = self.exact.conditions.losers().iter().map(|it| it.0).collect();
            let clears = self.tried_outcome != Trial::NotClearing;
            let prices =
                self.exact.best.as_ref().filter(|best| best.levels == levels).map(|best| best.prices.clone());
            if let Some(prices) = prices.or_else(|| clears.then(|| self.exact.mid_point())) {
                self.sharpen(book, &mut node, prices);
            }
            if let Trial::Loses(welfare) | Trial::Unknown(welfare) = self.tried_outcome
                && !self.hopeless(welfare)
            {
                let Self { model, grid, desk, exact, .. } = self;
                super::local::reject_losers(Scene { book, grid, model }, desk, exact);
            }
        }
        if self.hopeless(node.bound) {
            return;
        }
        if let Trial::Loses(welfare) = self.tried_outcome {
            losers.clone_from(&self.tried_losers);
            if welfare >= node.bound && self.is_closed(&node.choices, &levels) {
                // Nothing here has more welfare, and whatever accepts all of this and more at
                // prices that make everyone whole would be no better: then those prices would
                // support this too.
                return;
            }
        }
        if let Some(split) = self.split(&node, &losers, &levels) {
            self.open(node, &split);
        }
    }

    /// True if nothing within the bound can beat the best.
    fn hopeless(&self, bound: i128) -> bool {
        self.exact.best_welfare().is_some_and(|best| bound <= best)
    }

    fn attempt(&mut self, book: &AuctionBook, levels: &[i64], effort: u64) -> Trial {
        let Self { model, grid, desk, exact, .. } = self;
        let scene = Scene { book, grid, model };
        exact.assign(scene, levels);
        exact.judge(scene, desk, effort)
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
    fn sharpen(&mut self, book: &AuctionBook, node: &mut Node, prices: Vec<i64>) {
        let dual = Dual::at(book, &self.grid, &self.model, prices);
        let bound = dual.bound(&self.model, &node.choices, &mut self.answers);
        if bound < node.bound {
            node.bound = bound;
            node.prices = dual.prices;
        }
    }

    /// Decides at the root what nothing better than the best contradicts, and starts the linear programme
    /// of what is left.
    fn narrow_root(&mut self, book: &AuctionBook) {
        self.narrowed = self.welfare();
        let prices = self.bound_prices.clone();
        let dual = self.root_dual.take();
        let dual = dual.unwrap_or_else(|| Dual::at(book, &self.grid, &self.model, prices.clone()));
        let mut node = Node { bound: self.bound, choices: self.root.clone(), prices };
        let open = self.fix(&dual, &mut node);
        self.root_dual = Some(dual);
        if !open {
            self.heap.clear();
            self.plunge = None;
            return;
        }
        self.root = node.choices;
        if let Some(best) = self.welfare() {
            self.heap.retain(|waiting| waiting.bound > best);
        }
        let left = self.root.iter().filter(|&&it| choice::is_open(it)).count();
        let due = self.corner.as_ref().is_none_or(|corner| left * 5 < corner.items.len() * 4);
        if due && self.nodes >= CORNER_AFTER {
            let scene = Scene { book, grid: &self.grid, model: &self.model };
            let from = self.corner.as_ref().map_or(node.prices, Corner::ticks);
            self.corner = Corner::new(scene, &self.root, &from).or(self.corner.take());
        }
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

    /// Some moves of the corner; what comes after them.
    fn move_corner(&mut self, book: &AuctionBook, node: &mut Node, moves: usize) -> Phase {
        let Some(corner) = &mut self.corner else { return Phase::Fix };
        let most = 400 + 12 * self.model.areas * self.model.periods;
        let mut made = 0;
        let mut way = Way::Moved;
        while way == Way::Moved && moves + made < most && made * corner.toil < TOIL {
            way = corner.step(&self.grid);
            made += 1;
        }
        self.desk.walked += u64::try_from(made * corner.toil).unwrap_or(0);
        if way == Way::Moved && moves + made < most {
            return Phase::Corner { moves: moves + made };
        }
        corner.read(&node.choices);
        let prices = corner.ticks();
        if way == Way::Stuck {
            // It starts anew, from where it stands.
            let scene = Scene { book, grid: &self.grid, model: &self.model };
            self.corner = Corner::new(scene, &self.root, &prices);
        }
        self.sharpen(book, node, prices);
        Phase::Fix
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
    fn climb_node(&mut self, book: &AuctionBook, node: &mut Node, narrow: bool, leaps: u32) -> Phase {
        let gap = node.bound - self.exact.best_welfare().unwrap_or(0);
        let Self { model, grid, desk, relaxation, answers, .. } = self;
        let scene = Scene { book, grid, model };
        if relaxation.stands() {
            if leaps == 0 {
                relaxation.smooth(grid, self.width_node + if narrow { 0 } else { 4 });
            }
            relaxation.settle(scene, &node.choices);
        }
        let Some(left) = relaxation.leap_step(scene, desk, &node.choices, answers) else {
            return Phase::Climb { narrow, leaps };
        };
        let prices = relaxation.prices();
        self.sharpen(book, node, prices);
        if left > gap / 100 && leaps < if narrow { 3 } else { 2 } {
            Phase::Climb { narrow, leaps: leaps + 1 }
        } else if narrow {
            Phase::Fix
        } else {
            Phase::Climb { narrow: true, leaps: 0 }
        }
    }

    /// Decides free items of which one choice cannot beat the best; false if neither choice can.
    fn fix(&mut self, dual: &Dual, node: &mut Node) -> bool {
        let Some(best) = self.exact.best_welfare() else { return true };
        let Self { model, answers, .. } = self;
        let bound = dual.bound(model, &node.choices, answers);
        let mut trial = node.choices.clone();
        let mut sum = bound;
        for unit in 0..model.units.len() {
            let mut now = dual.unit(model, &node.choices, unit, answers);
            for position in 0..model.units[unit].len() {
                let item = model.units[unit][position];
                if !node.choices[item].is_free() {
                    continue;
                }
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
                    (false, false) => return false,
                    (true, false) => Choice::Out,
                    (false, true) => whole,
                };
                node.choices[item] = decided;
                if !choice::propagate(model, &mut node.choices, unit) {
                    return false;
                }
                restore(model, &mut trial, &node.choices, unit);
                let after = dual.unit(model, &node.choices, unit, answers);
                sum += after - now;
                now = after;
            }
        }
        node.bound = node.bound.min(sum);
        !self.hopeless(node.bound)
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
