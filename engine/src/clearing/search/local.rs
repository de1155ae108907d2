//! Retries of what is rejected and would earn: each unit once, at the published prices, with what it
//! displaces.

use super::accounts::Loss;
use super::choice::{self, Choice};
use super::dual::{Answers, Dual};
use super::exact::{Exact, Trial, walk};
use super::market::Desk;
use super::model::WHOLE;
use super::relax::Scene;
use alloc::vec::Vec;
use core::task::{Poll, ready};

/// Losers that make room for one retry.
const ROOM: usize = 6;

/// Losers that a node's decisions give up.
const REJECTED: usize = 12;

/// What is done next before the first trial.
#[derive(Clone, Copy, Debug, Default)]
enum Opening {
    #[default]
    Accounts,
    Value,
    Answers,
    Missed,
    Open,
}

/// One pass over everything that is rejected and would earn.
#[derive(Clone, Debug, Default)]
pub(super) struct Retries {
    opening: Opening,
    dual: Dual,
    open: Vec<Choice>,
    /// Units by what they miss, least first.
    missed: Vec<usize>,
    /// Members of the unit at hand that are still to be tried alone.
    alone: Vec<usize>,
    /// Losers that made room in the trial at hand.
    trial: Option<usize>,
    better: bool,
}

impl Retries {
    /// Starts a pass from the best decisions.
    pub(super) fn start(scene: Scene<'_>, exact: &mut Exact) -> Self {
        exact.close_accounts();
        if let Some(best) = exact.best.clone() {
            exact.assign(scene, &best.levels);
        }
        Self { open: choice::open(scene.model), ..Self::default() }
    }

    /// Reads what is missed, once all is priced and has answered.
    fn read(&mut self, scene: Scene<'_>, desk: &mut Desk, exact: &Exact, answers: &mut Answers) {
        let (model, dual) = (scene.model, &self.dual);
        let mut missed: Vec<(i128, usize)> = Vec::new();
        for unit in 0..model.units.len() {
            let most = dual.unit(model, &self.open, unit, answers);
            let now: i128 = model.units[unit]
                .iter()
                .filter(|&&it| exact.level(it) > 0)
                .map(|&it| model.surplus_at(it, exact.level(it), &dual.prices))
                .sum();
            if most > now {
                missed.push((most - now, unit));
            }
        }
        missed.sort_unstable_by_key(|it| (it.0, core::cmp::Reverse(it.1)));
        self.missed = missed.into_iter().map(|it| it.1).collect();
        desk.walked += walk(model);
    }

    /// One trial: of a unit, or of one of its members; when none is left, whether any beat the best.
    pub(super) fn step(
        &mut self,
        scene: Scene<'_>,
        desk: &mut Desk,
        exact: &mut Exact,
        answers: &mut Answers,
    ) -> Option<bool> {
        let model = scene.model;
        match self.opening {
            Opening::Accounts => {
                if exact.open_accounts(scene, desk).is_ready() {
                    self.opening = Opening::Value;
                }
                return None;
            }
            Opening::Value => {
                if exact.welfare(scene, desk).is_ready() {
                    let prices = exact.best.as_ref().map(|best| best.prices.clone());
                    self.dual = Dual::new(prices.unwrap_or_else(|| exact.mid_point()));
                    self.opening = Opening::Answers;
                }
                return None;
            }
            Opening::Answers => {
                if self.dual.read(scene, desk) {
                    self.opening = Opening::Missed;
                }
                return None;
            }
            Opening::Missed => {
                self.read(scene, desk, exact, answers);
                self.opening = Opening::Open;
                return None;
            }
            Opening::Open => {}
        }
        if self.trial.is_some() {
            self.pursue(scene, desk, exact);
            return None;
        }
        if let Some(item) = self.alone.pop() {
            if exact.level(item) == 0 && self.dual.earning[item].surplus > 0 {
                let target = insertion(scene, exact, item);
                self.attempt(scene, desk, exact, &target);
            }
            return None;
        }
        let Some(unit) = self.missed.pop() else {
            exact.close_accounts();
            return Some(self.better);
        };
        self.dual.unit(model, &self.open, unit, answers);
        let target: Vec<(usize, i64)> = model.units[unit]
            .iter()
            .rev()
            .map(|&item| (item, self.dual.answer(model, &self.open, item, answers)))
            .collect();
        // Members alone come after it, beside what is accepted.
        if model.units[unit].len() > 1 {
            self.alone.clone_from(&model.units[unit]);
        }
        self.attempt(scene, desk, exact, &target);
        None
    }

    /// Tries levels for some items, in this step and the next ones.
    fn attempt(&mut self, scene: Scene<'_>, desk: &mut Desk, exact: &mut Exact, target: &[(usize, i64)]) {
        desk.walked += 256;
        exact.begin();
        for &(item, level) in target {
            if level == 0 {
                exact.eject(scene, item);
            } else {
                exact.set(scene, item, level);
            }
        }
        if target.iter().all(|&(item, _)| fits(scene, exact, item)) {
            self.trial = Some(0);
            self.pursue(scene, desk, exact);
        } else {
            exact.rollback(scene);
        }
    }

    /// Goes on with a trial: it is kept if it beats the best, everyone whole; else what loses most makes
    /// room, a few times.
    fn pursue(&mut self, scene: Scene<'_>, desk: &mut Desk, exact: &mut Exact) {
        let made = self.trial.unwrap_or(ROOM);
        let before = exact.best_welfare().unwrap_or(i128::MAX);
        let Poll::Ready(assessed) = exact.assess(scene, desk) else { return };
        if let Some((welfare, loss)) = assessed.filter(|it| it.0 >= before) {
            let Poll::Ready(settled) = exact.settles(scene, desk, (welfare, loss), 100) else { return };
            if settled {
                // What is just as good is kept beside the best; retries go on from where they were.
                if welfare > before {
                    exact.commit();
                    self.better = true;
                    self.trial = None;
                    return;
                }
            } else if made < ROOM
                && let Some(worst) = loss.worst
            {
                exact.eject(scene, worst);
                self.trial = Some(made + 1);
                return;
            }
        }
        self.trial = None;
        exact.rollback(scene);
    }
}

/// An item accepted, with room made for it in its group.
fn insertion(scene: Scene<'_>, exact: &Exact, item: usize) -> Vec<(usize, i64)> {
    let entry = &scene.model.items[item];
    let mut target = Vec::new();
    if let Some(group) = entry.group {
        for &other in &scene.model.groups[group] {
            if other != item && exact.level(other) > 0 {
                target.push((other, 0));
            }
        }
    }
    target.push((item, entry.parent.map_or(WHOLE, |parent| exact.level(parent))));
    target
}

/// True if an item's level agrees with its parent, its children and its group.
pub(super) fn fits(scene: Scene<'_>, exact: &Exact, item: usize) -> bool {
    let (model, level) = (scene.model, exact.level(item));
    let entry = &model.items[item];
    if level > 0 && level < entry.least {
        return false;
    }
    let family = entry.parent.is_none_or(|parent| level <= exact.level(parent))
        && entry.children.iter().all(|&child| exact.level(child) <= level);
    let group = entry
        .group
        .is_none_or(|group| model.groups[group].iter().map(|&it| exact.level(it)).sum::<i64>() <= WHOLE);
    family && group
}

/// Mends decisions in bounded steps until everyone is whole. True when that is so, or hopeless.
pub(super) fn mend(scene: Scene<'_>, desk: &mut Desk, exact: &mut Exact) -> bool {
    let model = scene.model;
    if !exact.accounting() {
        return match exact.open_accounts(scene, desk) {
            // Nobody can absorb what is injected there: the largest goes.
            Poll::Ready(false) => !exact.unclog(scene),
            Poll::Ready(true) | Poll::Pending => false,
        };
    }
    let (welfare, loss) = match exact.assess(scene, desk) {
        Poll::Pending => return false,
        Poll::Ready(None) => return !exact.unclog(scene),
        Poll::Ready(Some(assessed)) => assessed,
    };
    if loss.losers == 0 || exact.best_welfare().is_some_and(|best| welfare <= best) && loss.losers < 2 {
        if loss.losers == 0 {
            exact.record(welfare);
        }
        return true;
    }
    if loss.losers <= 8 {
        match exact.settles(scene, desk, (welfare, loss), 60) {
            Poll::Pending => return false,
            Poll::Ready(true) => return true,
            Poll::Ready(false) => {}
        }
    }
    let mut losers: Vec<(i128, usize)> = (0..model.items.len())
        .filter(|&item| exact.level(item) > 0)
        .map(|item| (exact.accounts.slack(item), item))
        .filter(|it| it.0 < 0)
        .collect();
    losers.sort_unstable();
    losers.truncate((loss.losers / 4).max(1));
    for (_, item) in losers {
        exact.eject(scene, item);
    }
    false
}

/// Rejects what loses most until nobody loses, as long as that may beat the best.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rejecting {
    open: bool,
    made: usize,
}

impl Rejecting {
    /// One step; true when it has ended.
    pub(super) fn step(&mut self, scene: Scene<'_>, desk: &mut Desk, exact: &mut Exact) -> bool {
        if !self.open {
            self.open = true;
            return match exact.open_accounts(scene, desk) {
                Poll::Pending => {
                    self.open = false;
                    false
                }
                Poll::Ready(clears) => !clears,
            };
        }
        let before = exact.best_welfare();
        let better = |it: &(i128, Loss)| before.is_none_or(|best| it.0 > best);
        let Poll::Ready(assessed) = exact.assess(scene, desk) else { return false };
        if let Some((welfare, loss)) = assessed.filter(better) {
            let Poll::Ready(settled) = exact.settles(scene, desk, (welfare, loss), 60) else { return false };
            if let Some(worst) = loss.worst.filter(|_| !settled) {
                exact.eject(scene, worst);
                self.made += 1;
                if self.made < REJECTED {
                    return false;
                }
            }
        }
        exact.close_accounts();
        true
    }
}

impl Exact {
    /// Whether everyone is whole, at the mid-point or at prices that are near at hand, in steps: then it
    /// is compared with the best.
    pub(super) fn settles(
        &mut self,
        scene: Scene<'_>,
        desk: &mut Desk,
        (welfare, loss): (i128, Loss),
        effort: u64,
    ) -> Poll<bool> {
        if !self.is_judging() {
            if loss.losers == 0 {
                self.record(welfare);
                return Poll::Ready(true);
            }
            if !self.accounts.within_reach(scene.model, &self.market) {
                return Poll::Ready(false);
            }
        }
        let trial = ready!(self.judge(scene, desk, effort));
        Poll::Ready(matches!(trial, Trial::Legal(_)))
    }
}
