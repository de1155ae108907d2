//! The upper bound: what everybody could earn at given prices, added up.
//!
//! In any result every area balances, so its welfare does not change when price × (sold + imported −
//! bought − exported) = 0 is added for every area and period. Then curves, lines and units of blocks
//! and complex orders stand alone, and each contributes at most its best answer to the prices. This
//! holds at every vector of prices, within the bounds of the auction or not; the search only looks
//! for prices at which the sum is small.
//!
//! The best answer of a family is its most valuable closed part; of a group its most valuable root;
//! a partly accepted block answers linearly in its ratio, plus less than one lot's loss in each
//! period that rounding may spare it.

use super::choice::Choice;
use super::market::Desk;
use super::model::{Earning, Model, Rounding, WHOLE};
use super::relax::Scene;
use alloc::vec;
use alloc::vec::Vec;

/// Parts of items that are looked at in one go while answers are read.
const ANSWERED_AT_ONCE: u64 = 80_000;

/// One vector of prices with everybody's answer to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Dual {
    /// Index: cell.
    pub(super) prices: Vec<i64>,
    /// What curves and lines earn; grid units.
    pub(super) base: i128,
    /// What each item earns.
    pub(super) earning: Vec<Earning>,
}

/// r × surplus in whole grid units, rounded up.
fn share(surplus: i128, ratio: i64) -> i128 {
    if ratio == WHOLE {
        return surplus;
    }
    let (whole, ratio) = (i128::from(WHOLE), i128::from(ratio));
    let (units, rest) = (surplus.div_euclid(whole), surplus.rem_euclid(whole));
    units * ratio + (rest * ratio + whole - 1) / whole
}

/// How much more of a ratio, in millionths and rounded up, until a slope comes to a sum.
fn cut(sum: i128, slope: i128) -> i64 {
    if slope == 0 || sum >= slope {
        return WHOLE;
    }
    let ratio = (sum.max(0) * i128::from(WHOLE) + slope - 1) / slope;
    i64::try_from(ratio).unwrap_or(WHOLE)
}

/// What slopes come to from their start to a ratio.
fn climb(slopes: &[(i64, i128)], until: i64) -> i128 {
    let mut sum = 0;
    for (at, &(from, slope)) in slopes.iter().enumerate() {
        let to = slopes.get(at + 1).map_or(until, |it| it.0).min(until);
        if to > from {
            sum += share(slope, to - from);
        }
    }
    sum
}

/// Adds slopes to others, from where the others start.
fn add(slopes: &mut Vec<(i64, i128)>, more: &[(i64, i128)]) {
    let start = slopes[0].0;
    let slope_at =
        |list: &[(i64, i128)], ratio: i64| list.iter().rev().find(|it| it.0 <= ratio).map_or(0, |it| it.1);
    let mut ratios: Vec<i64> = slopes.iter().chain(more).map(|it| it.0.max(start)).collect();
    ratios.sort_unstable();
    ratios.dedup();
    *slopes = ratios.into_iter().map(|it| (it, slope_at(slopes, it) + slope_at(more, it))).collect();
}

impl Dual {
    /// Starts at prices. Nobody has answered yet.
    pub(super) fn new(prices: Vec<i64>) -> Self {
        Self { prices, ..Self::default() }
    }

    /// Reads some of the answers; true once all are in.
    pub(super) fn read(&mut self, scene: Scene<'_>, desk: &mut Desk) -> bool {
        let Scene { book, grid, model } = scene;
        if self.earning.is_empty() {
            let mut base = 0;
            for period in 0..model.periods {
                let first = period * model.areas;
                base += grid.rent(book, period, &self.prices[first..first + model.areas]);
                for (cell, &price) in self.prices.iter().enumerate().skip(first).take(model.areas) {
                    base += grid.value(cell, price);
                }
            }
            self.base = base * model.scale;
            self.earning.reserve(model.items.len());
        }
        let mut scratch = Rounding::default();
        while self.earning.len() < model.items.len() && scratch.toil < ANSWERED_AT_ONCE {
            let item = self.earning.len();
            self.earning.push(model.surplus_rounded(item, &self.prices, &mut scratch));
        }
        desk.walked += scratch.toil / 4;
        self.earning.len() == model.items.len()
    }

    /// No result that keeps to the choices has more welfare.
    pub(super) fn bound(&self, model: &Model, choices: &[Choice], scratch: &mut Answers) -> i128 {
        let mut sum = self.base;
        for unit in 0..model.units.len() {
            sum += self.unit(model, choices, unit, scratch);
        }
        sum
    }

    /// The best answer of one unit. Leaves in `scratch` which free items take part in it.
    pub(super) fn unit(&self, model: &Model, choices: &[Choice], unit: usize, scratch: &mut Answers) -> i128 {
        let mut sum = 0;
        scratch.groups.clear();
        for &item in &model.units[unit] {
            let (entry, earning) = (&model.items[item], self.earning[item]);
            let children: i128 = entry.children.iter().map(|&child| scratch.free[child]).sum();
            let earned = earning.surplus + children;
            scratch.free[item] = 0;
            scratch.taken[item] = false;
            match choices[item] {
                Choice::Out => {}
                Choice::Free(most) => {
                    scratch.taken[item] = earned > 0;
                    scratch.free[item] = earned.max(0);
                    if earning.loose > 0 {
                        let least = if earned > 0 { 0 } else { share(earned, entry.least) };
                        let mut room = (earning.earned + children - earned.max(0)).max(0);
                        if most == WHOLE {
                            room = room.min((earning.top + children - earned.max(0)).max(0));
                        }
                        sum += (least + earning.loose).clamp(0, room);
                    }
                    if entry.parent.is_none() {
                        let worth = share(earned.max(0), most);
                        match entry.group {
                            Some(group) => scratch.offer(group, worth, item),
                            None => sum += worth,
                        }
                    }
                }
                Choice::In(least, most) => {
                    scratch.taken[item] = true;
                    sum += if least == most || model.same_lots(item, least, most) {
                        let own = if least == WHOLE {
                            earning.surplus
                        } else {
                            model.surplus_at(item, least, &self.prices)
                        };
                        own + share(children, most)
                    } else if entry.children.is_empty() && !scratch.follows(model, choices, item) {
                        let line = share(earned, most).max(share(earned, least)) + earning.loose;
                        line.min(earning.top.max(earning.surplus))
                    } else {
                        scratch.slope(model, choices, item, earning, children)
                    };
                }
            }
        }
        sum + scratch.groups.iter().map(|it| it.1).sum::<i128>()
    }

    /// The share of an item in the best answer of its unit, after [`Self::unit`].
    pub(super) fn answer(&self, model: &Model, choices: &[Choice], item: usize, scratch: &Answers) -> i64 {
        match choices[item] {
            Choice::Out => 0,
            Choice::Free(most) => {
                let mut at = item;
                loop {
                    if !scratch.taken[at] {
                        return 0;
                    }
                    match model.items[at].parent {
                        Some(parent) if choices[at].is_free() => at = parent,
                        Some(_) | None => return most,
                    }
                }
            }
            Choice::In(least, most) => {
                if self.earning[item].surplus > 0 {
                    most
                } else {
                    least
                }
            }
        }
    }
}

/// Scratch for the answers of items.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    /// What a free item with its descendants is worth.
    free: Vec<i128>,
    taken: Vec<bool>,
    /// (group, worth of its best free root, that root).
    groups: Vec<(usize, i128, usize)>,
    /// What an accepted item whose ratio is open earns the more, the greater it may be: (from this ratio
    /// on, slope), for its parent.
    slopes: Vec<Vec<(i64, i128)>>,
}

impl Answers {
    pub(super) fn new(model: &Model) -> Self {
        let items = model.items.len();
        Self {
            free: vec![0; items],
            taken: vec![false; items],
            groups: Vec::new(),
            slopes: vec![Vec::new(); items],
        }
    }

    /// True if the ratio of an accepted item may not exceed an open one.
    fn follows(&self, model: &Model, choices: &[Choice], item: usize) -> bool {
        model.items[item].parent.is_some_and(
            |parent| matches!(choices[parent], Choice::In(least, most) if !model.same_lots(parent, least, most)),
        )
    }

    /// The answer of an accepted item whose ratio is open, with its children, none of which may exceed
    /// it: what it earns falls off in slopes as its ratio grows. Returns what it earns at its least ratio,
    /// and as much of the rest as its parent does not decide.
    fn slope(
        &mut self,
        model: &Model,
        choices: &[Choice],
        item: usize,
        earning: Earning,
        free: i128,
    ) -> i128 {
        let (least, most) = (choices[item].least(), choices[item].most());
        let (surplus, top) = (earning.surplus, earning.top.max(earning.surplus));
        let line = share(surplus, least) + earning.loose;
        let mut earned = line.min(top) + share(free, least);
        // Its own worth: the line up to the most that rounding allows.
        let mut slopes = if surplus >= 0 {
            vec![(least, surplus), (cut(top - line, surplus).saturating_add(least), 0)]
        } else {
            vec![(least, 0), (cut(line - top, -surplus).saturating_add(least), surplus)]
        };
        slopes[0].1 += free;
        slopes[1].1 += free;
        for &child in &model.items[item].children {
            let of_child = core::mem::take(&mut self.slopes[child]);
            earned += climb(&of_child, least);
            add(&mut slopes, &of_child);
        }
        slopes.retain(|it| it.0 < most);
        let falls = slopes.iter().position(|it| it.1 <= 0).unwrap_or(slopes.len());
        let end = slopes.get(falls).map_or(most, |it| it.0);
        slopes.truncate(falls);
        slopes.push((end, 0));
        if self.follows(model, choices, item) {
            self.slopes[item] = slopes;
            return earned;
        }
        earned + climb(&slopes, most)
    }

    /// Only the best free root of a group is taken.
    fn offer(&mut self, group: usize, worth: i128, item: usize) {
        match self.groups.iter_mut().find(|it| it.0 == group) {
            Some(entry) if worth > entry.1 => {
                self.taken[entry.2] = false;
                *entry = (group, worth, item);
            }
            Some(_) => self.taken[item] = false,
            None => self.groups.push((group, worth, item)),
        }
    }
}
