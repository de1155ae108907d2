//! What every item earns at the mid-point of the clearing prices, kept up to date as prices move.
//!
//! A change of prices in one cell changes what its items earn by lots × ticks, so a trial costs what
//! it moves and not the size of the auction.

use super::market::Market;
use super::model::{Model, WHOLE};
use alloc::vec;
use alloc::vec::Vec;

/// Mid-point prices and earnings at them.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    /// Index: cell.
    pub(super) prices: Vec<i64>,
    /// At the level of an accepted item, wholly accepted for a rejected one; grid units.
    pub(super) surplus: Vec<i128>,
    /// (item, part) by cell.
    at_cell: Vec<Vec<(usize, usize)>>,
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
    /// Reads everything anew. Prices of the market are fresh.
    pub(super) fn open(&mut self, model: &Model, market: &Market) {
        if self.at_cell.is_empty() {
            self.at_cell = vec![Vec::new(); model.areas * model.periods];
            for item in 0..model.items.len() {
                for at in model.items[item].parts.clone() {
                    self.at_cell[model.parts[at].cell].push((item, at));
                }
            }
        }
        self.prices.clear();
        self.prices.extend(market.lo.iter().zip(&market.hi).map(|(lo, hi)| (lo + hi + 1).div_euclid(2)));
        self.surplus.clear();
        self.surplus.resize(model.items.len(), 0);
        self.slack.resize(model.items.len(), 0);
        for item in 0..model.items.len() {
            self.level(model, item, market.level[item]);
        }
    }

    /// An item has a new level.
    pub(super) fn level(&mut self, model: &Model, item: usize, level: i64) {
        let level = if level == 0 { WHOLE } else { level };
        self.surplus[item] = model.surplus_at(item, level, &self.prices);
    }

    /// A period has new prices.
    pub(super) fn period(&mut self, model: &Model, market: &Market, period: usize) {
        for cell in period * model.areas..(period + 1) * model.areas {
            let price = (market.lo[cell] + market.hi[cell] + 1).div_euclid(2);
            let change = i128::from(price - self.prices[cell]) * model.scale;
            if change == 0 {
                continue;
            }
            self.prices[cell] = price;
            for &(item, at) in &self.at_cell[cell] {
                if model.is_complex(item) {
                    continue;
                }
                let (lots, level) = (model.parts[at].lots, market.level[item]);
                let lots = if level == 0 || level == WHOLE { lots } else { lots * level / WHOLE };
                self.surplus[item] += change * i128::from(lots * model.items[item].sign);
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

    /// (item, part) in a cell.
    pub(super) fn at(&self, cell: usize) -> &[(usize, usize)] {
        &self.at_cell[cell]
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
