//! What every item earns at the mid-point of the clearing prices, kept up to date as prices move.
//!
//! A change of prices in one cell changes what its items earn by lots × ticks, so a trial costs what
//! it moves and not the size of the auction.

use super::market::Market;
use super::model::{Model, WHOLE, index};
use alloc::vec;
use alloc::vec::Vec;

/// A part of an item in its cell.
#[derive(Clone, Copy, Debug)]
struct Entry {
    item: u32,
    /// What it sells at the level that counts; negative if it buys, nothing of a complex order.
    lots: i64,
}

/// Mid-point prices and earnings at them.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    /// Index: cell.
    pub(super) prices: Vec<i64>,
    /// At the level of an accepted item, wholly accepted for a rejected one; grid units.
    pub(super) surplus: Vec<i128>,
    /// What stands in each cell, cell by cell.
    entries: Vec<Entry>,
    /// First entry of each cell; one more at the end.
    starts: Vec<usize>,
    /// Entry of each part.
    slots: Vec<u32>,
    /// Scratch of [`Self::loss`]: what an item is left with, descendants included.
    slack: Vec<i128>,
}

/// What the accepted orders that lose lack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    /// Grid units.
    pub(super) sum: i128,
    pub(super) losers: usize,
    /// The item that lacks most.
    pub(super) worst: Option<usize>,
}

impl Accounts {
    /// Reads everything anew; all parts are laid out. Prices of the market are fresh.
    pub(super) fn open(&mut self, model: &Model, market: &Market) {
        self.prices.clear();
        self.prices.extend(market.lo.iter().zip(&market.hi).map(|(lo, hi)| (lo + hi + 1).div_euclid(2)));
        self.surplus.clear();
        self.surplus.resize(model.items.len(), 0);
        self.slack.resize(model.items.len(), 0);
        for item in 0..model.items.len() {
            self.level(model, item, market.level[item]);
        }
    }

    /// Sorts all parts by cell.
    pub(super) fn lay_out(&mut self, model: &Model) {
        let small =
            |it: usize| u32::try_from(it).expect("limits of orders and their periods multiply to less");
        let mut starts = vec![0; model.areas * model.periods + 1];
        for part in &model.flat {
            starts[part.cell() + 1] += 1;
        }
        for cell in 1..starts.len() {
            starts[cell] += starts[cell - 1];
        }
        let mut next = starts.clone();
        self.starts = starts;
        self.entries.resize(model.flat.len(), Entry { item: 0, lots: 0 });
        self.slots.resize(model.flat.len(), 0);
        for (item, entry) in model.items.iter().enumerate() {
            for at in entry.parts.clone() {
                let slot = &mut next[model.flat[at].cell()];
                let lots = if model.is_complex(item) { 0 } else { entry.sign * model.flat[at].lots };
                self.entries[*slot] = Entry { item: small(item), lots };
                self.slots[at] = small(*slot);
                *slot += 1;
            }
        }
    }

    /// An item has a new level.
    pub(super) fn level(&mut self, model: &Model, item: usize, level: i64) {
        let level = if level == 0 { WHOLE } else { level };
        self.surplus[item] = model.surplus_at(item, level, &self.prices);
        let entry = &model.items[item];
        if entry.least < WHOLE {
            for at in entry.parts.clone() {
                let lots = entry.sign * (model.flat[at].lots * level / WHOLE);
                self.entries[index(self.slots[at])].lots = lots;
            }
        }
    }

    /// A period has new prices.
    pub(super) fn period(&mut self, model: &Model, market: &Market, period: usize) {
        for cell in period * model.areas..(period + 1) * model.areas {
            let price = (market.lo[cell] + market.hi[cell] + 1).div_euclid(2);
            let change = price - self.prices[cell];
            if change == 0 {
                continue;
            }
            self.prices[cell] = price;
            for entry in &self.entries[self.starts[cell]..self.starts[cell + 1]] {
                let earned = i128::from(change) * i128::from(entry.lots);
                self.surplus[index(entry.item)] += model.scaled(earned);
            }
        }
    }

    /// Complex orders are read anew after prices moved: steps come in and go out.
    pub(super) fn complex(&mut self, model: &Model) {
        for &item in &model.complex {
            self.surplus[item] = model.surplus(item, &self.prices).surplus;
        }
    }

    /// What an accepted item is left with, its accepted descendants included; from the last
    /// [`Self::loss`].
    pub(super) fn slack(&self, item: usize) -> i128 {
        self.slack[item]
    }

    /// How many parts of items stand in a cell.
    pub(super) fn count(&self, cell: usize) -> usize {
        self.starts[cell + 1] - self.starts[cell]
    }

    /// The item of one of the parts in a cell.
    pub(super) fn item(&self, cell: usize, at: usize) -> usize {
        index(self.entries[self.starts[cell] + at].item)
    }

    /// True if every accepted order that loses at the mid-point could be whole at some prices that
    /// clear, were it alone; after [`Self::loss`].
    pub(super) fn within_reach(&self, model: &Model, market: &Market) -> bool {
        let mut stack = Vec::new();
        for item in 0..model.items.len() {
            if market.level[item] == 0 || self.slack[item] >= 0 {
                continue;
            }
            let mut most = self.slack[item];
            stack.push(item);
            while let Some(member) = stack.pop() {
                let sign = model.items[member].sign;
                for part in model.parts(member) {
                    let end = if sign > 0 { market.hi[part.cell] } else { market.lo[part.cell] };
                    let lots = part.lots * market.level[member] / WHOLE * sign;
                    most += i128::from(end - self.prices[part.cell]) * i128::from(lots) * model.scale;
                }
                stack.extend(model.items[member].children.iter().filter(|&&it| market.level[it] > 0));
            }
            if most < 0 {
                return false;
            }
        }
        true
    }

    /// What accepted orders lose.
    pub(super) fn loss(&mut self, model: &Model, market: &Market) -> Loss {
        let mut loss = Loss::default();
        let mut most = 0;
        for unit in &model.units {
            for &item in unit {
                if market.level[item] == 0 {
                    continue;
                }
                let mut slack = self.surplus[item];
                for &child in &model.items[item].children {
                    if market.level[child] > 0 {
                        slack += self.slack[child];
                    }
                }
                self.slack[item] = slack;
                if slack < 0 {
                    loss.sum -= slack;
                    loss.losers += 1;
                    if slack < most {
                        most = slack;
                        loss.worst = Some(item);
                    }
                }
            }
        }
        loss
    }
}
