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
use super::market::Grid;
use super::model::{Earning, Model, Rounding, WHOLE};
use crate::book::AuctionBook;
use alloc::vec;
use alloc::vec::Vec;

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

impl Dual {
    pub(super) fn at(book: &AuctionBook, grid: &Grid, model: &Model, prices: Vec<i64>) -> Self {
        let mut base = 0;
        for period in 0..model.periods {
            let first = period * model.areas;
            base += grid.rent(book, period, &prices[first..first + model.areas]);
            for (cell, &price) in prices.iter().enumerate().skip(first).take(model.areas) {
                base += grid.value(cell, price);
            }
        }
        let mut scratch = Rounding::default();
        let earn = |item| model.surplus_rounded(item, &prices, &mut scratch);
        let earning = (0..model.items.len()).map(earn).collect();
        Self { prices, base: base * model.scale, earning }
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
                        model.surplus_at(item, least, &self.prices) + share(children, most)
                    } else {
                        let line = share(earned, most).max(share(earned, least)) + earning.loose;
                        line.min(earning.top.max(earning.surplus) + share(children, most))
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
}

impl Answers {
    pub(super) fn new(model: &Model) -> Self {
        Self { free: vec![0; model.items.len()], taken: vec![false; model.items.len()], groups: Vec::new() }
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
