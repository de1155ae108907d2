//! Retries of what is rejected and would earn: each unit once, at the published prices, with what it
//! displaces.

use super::choice::{self, Choice};
use super::dual::{Answers, Dual};
use super::exact::{Exact, Trial};
use super::market::Desk;
use super::model::WHOLE;
use super::relax::Scene;
use alloc::vec::Vec;

/// Losers that make room for one retry.
const ROOM: usize = 6;

/// Losers that a node's decisions give up.
const REJECTED: usize = 12;

/// One pass over everything that is rejected and would earn.
#[derive(Clone, Debug, Default)]
pub(super) struct Retries {
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
    pub(super) fn start(scene: Scene<'_>, desk: &mut Desk, exact: &mut Exact, answers: &mut Answers) -> Self {
        let model = scene.model;
        let mut retries = Self { open: choice::open(model), ..Self::default() };
        let Some(best) = exact.best.clone() else { return retries };
        exact.close_accounts();
        exact.assign(scene, &best.levels);
        exact.open_accounts(scene, desk);
        exact.welfare(scene, desk);
        let dual = Dual::at(scene.book, scene.grid, model, best.prices);
        let mut missed: Vec<(i128, usize)> = Vec::new();
        for unit in 0..model.units.len() {
            let most = dual.unit(model, &retries.open, unit, answers);
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
        retries.missed = missed.into_iter().map(|it| it.1).collect();
        retries.dual = dual;
        desk.walked += u64::try_from(model.parts.len()).unwrap_or(0);
        retries
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
        let made = self.trial.take().unwrap_or(ROOM);
        let before = exact.best_welfare().unwrap_or(i128::MAX);
        if let Some((welfare, loss)) = exact.assess(scene, desk).filter(|it| it.0 >= before) {
            if exact.settles(scene, desk, welfare, loss, 100) {
                // What is just as good is kept beside the best; retries go on from where they were.
                if welfare > before {
                    exact.commit();
                    self.better = true;
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
    if !exact.accounting() && !exact.open_accounts(scene, desk) {
        // Nobody can absorb what is injected there: the largest goes.
        return !exact.unclog(scene);
    }
    let Some((welfare, loss)) = exact.assess(scene, desk) else {
        return !exact.unclog(scene);
    };
    if loss.losers == 0 || exact.best_welfare().is_some_and(|best| welfare <= best) && loss.losers < 2 {
        if loss.losers == 0 {
            exact.record(welfare);
        }
        return true;
    }
    if loss.losers <= 8 && exact.settles(scene, desk, welfare, loss, 60) {
        return true;
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
pub(super) fn reject_losers(scene: Scene<'_>, desk: &mut Desk, exact: &mut Exact) {
    if !exact.open_accounts(scene, desk) {
        return;
    }
    desk.walked += u64::try_from(scene.model.parts.len()).unwrap_or(0);
    let before = exact.best_welfare();
    for _ in 0..REJECTED {
        let better = |it: &(i128, super::accounts::Loss)| before.is_none_or(|best| it.0 > best);
        let Some((welfare, loss)) = exact.assess(scene, desk).filter(better) else { break };
        if exact.settles(scene, desk, welfare, loss, 60) {
            break;
        }
        let Some(worst) = loss.worst else { break };
        exact.eject(scene, worst);
    }
    exact.close_accounts();
}

impl Exact {
    /// True if everyone is whole, at the mid-point or at prices that are near at hand: then it is
    /// compared with the best.
    fn settles(
        &mut self,
        scene: Scene<'_>,
        desk: &mut Desk,
        welfare: i128,
        loss: super::accounts::Loss,
        effort: u64,
    ) -> bool {
        if loss.losers == 0 {
            self.record(welfare);
            return true;
        }
        self.accounts.within_reach(scene.model, &self.market)
            && matches!(self.judge(scene, desk, effort), Trial::Legal(_))
    }
}
