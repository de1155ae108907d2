//! Local search from the best decisions: what would earn at the published prices is tried again,
//! with what it displaces.

use super::choice;
use super::dual::{Answers, Dual};
use super::exact::{Exact, Trial};
use super::market::Desk;
use super::model::WHOLE;
use super::relax::Scene;
use alloc::vec::Vec;

/// One pass over everything that is rejected and would earn; true if the best was beaten.
pub(super) fn improve(scene: Scene<'_>, desk: &mut Desk, exact: &mut Exact, answers: &mut Answers) -> bool {
    let model = scene.model;
    let Some(best) = exact.best.clone() else { return false };
    exact.assign(scene, &best.levels);
    exact.welfare(scene, desk);
    let dual = Dual::at(scene.book, scene.grid, model, best.prices);
    let open = choice::open(model);
    // What each unit could earn more at the published prices.
    let mut missed: Vec<(i128, usize)> = Vec::new();
    for unit in 0..model.units.len() {
        let most = dual.unit(model, &open, unit, answers);
        let now: i128 = model.units[unit]
            .iter()
            .filter(|&&it| exact.level(it) > 0)
            .map(|&it| model.surplus_at(it, exact.level(it), &dual.prices))
            .sum();
        if most > now {
            missed.push((now - most, unit));
        }
    }
    missed.sort_unstable();
    let mut better = false;
    for (_, unit) in missed {
        dual.unit(model, &open, unit, answers);
        let target: Vec<(usize, i64)> = model.units[unit]
            .iter()
            .rev()
            .map(|&item| (item, dual.answer(model, &open, item, answers)))
            .collect();
        better |= attempt(scene, desk, exact, &target);
        // Members alone, beside what is accepted.
        for &item in model.units[unit].iter().rev() {
            if exact.level(item) == 0 && dual.earning[item].surplus > 0 && model.units[unit].len() > 1 {
                better |= attempt(scene, desk, exact, &insertion(scene, exact, item));
            }
        }
    }
    better
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

/// Tries levels for some items; keeps them if that beats the best, everyone whole.
fn attempt(scene: Scene<'_>, desk: &mut Desk, exact: &mut Exact, target: &[(usize, i64)]) -> bool {
    let Some(before) = exact.best_welfare() else { return false };
    exact.begin();
    for &(item, level) in target {
        if level == 0 {
            exact.eject(scene, item);
        } else {
            exact.set(scene, item, level);
        }
    }
    let sound = target.iter().all(|&(item, _)| fits(scene, exact, item));
    if sound && exact.welfare(scene, desk).is_some_and(|welfare| welfare > before) {
        let trial = exact.repair(scene, desk, 200, 4);
        if let Trial::Legal(welfare) = trial
            && welfare > before
        {
            exact.commit();
            return true;
        }
    }
    exact.rollback(scene);
    false
}

/// True if an item's level agrees with its parent, its children and its group.
fn fits(scene: Scene<'_>, exact: &Exact, item: usize) -> bool {
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
