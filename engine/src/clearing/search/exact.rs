//! Decisions in whole lots: their welfare, whether prices make everyone whole, and the best so far.

use super::accounts::{Accounts, Loss};
use super::equals::KEPT;
use super::market::{Desk, Kept, Market};
use super::model::{Model, WHOLE};
use super::relax::Scene;
use super::support::{Conditions, Support};
use alloc::vec;
use alloc::vec::Vec;
use core::task::{Poll, ready};

/// Decisions with the prices that support them.
#[derive(Clone, Debug)]
pub(super) struct Best {
    /// Grid units.
    pub(super) welfare: i128,
    /// Ratio of each item, millionths.
    pub(super) levels: Vec<i64>,
    /// Published prices, index: cell.
    pub(super) prices: Vec<i64>,
}

/// How a trial of decisions ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// Everyone is whole; it was compared with the best.
    Legal(i128),
    /// It clears, but somebody loses at all prices.
    Loses(i128),
    /// It clears, and the search for prices was given up.
    Unknown(i128),
    /// Some area cannot absorb what is injected.
    NotClearing,
}

/// The exact market and what was found in it.
#[derive(Clone, Debug)]
pub(super) struct Exact {
    pub(super) market: Market,
    /// Value of each period, price ticks × lots.
    value: Vec<i128>,
    value_stale: Vec<bool>,
    /// What accepted items cost; grid units.
    pub(super) cost: i128,
    pub(super) conditions: Conditions,
    pub(super) best: Option<Best>,
    /// Other decisions with the welfare of the best.
    pub(super) equals: Vec<Best>,
    /// (item, level before) since the journal was opened.
    changes: Vec<(usize, i64)>,
    kept: Vec<(usize, Kept, i128)>,
    is_kept: Vec<bool>,
    journaling: bool,
    cost_before: i128,
    pub(super) accounts: Accounts,
    /// Accounts are kept up to date.
    accounting: bool,
    /// Welfare of what is being judged.
    judging: Option<i128>,
}

/// Periods that are valued in one go beside their pricing.
const VALUED_AT_ONCE: usize = 24;

/// Parts of items that are read in one go beside other work.
pub(super) const AT_ONCE: usize = 10_000;

/// Parts of a walk over all items, as they count for work.
pub(super) fn walk(model: &Model) -> u64 {
    u64::try_from(model.flat.len()).expect("a length fits")
}

/// What an item costs at a level; grid units.
fn cost(model: &Model, item: usize, level: i64) -> i128 {
    let entry = &model.items[item];
    if level == 0 {
        return 0;
    }
    let mut sum = 0;
    for part in model.parts(item) {
        sum += if model.is_complex(item) {
            part.cost
        } else {
            i128::from(part.lots * level / WHOLE) * i128::from(entry.price)
        };
    }
    sum * i128::from(entry.sign) * model.scale + entry.fixed
}

impl Exact {
    pub(super) fn new(market: Market, periods: usize) -> Self {
        Self {
            market,
            value: vec![0; periods],
            value_stale: vec![true; periods],
            cost: 0,
            conditions: Conditions::default(),
            best: None,
            equals: Vec::new(),
            changes: Vec::new(),
            kept: Vec::new(),
            is_kept: vec![false; periods],
            journaling: false,
            cost_before: 0,
            accounts: Accounts::default(),
            accounting: false,
            judging: None,
        }
    }

    pub(super) fn level(&self, item: usize) -> i64 {
        self.market.level[item]
    }

    pub(super) fn set(&mut self, scene: Scene<'_>, item: usize, level: i64) {
        let before = self.market.level[item];
        if before == level {
            return;
        }
        for part in scene.model.parts(item) {
            if self.journaling && !self.is_kept[part.period] {
                self.is_kept[part.period] = true;
                let kept = self.market.keep(scene.grid, part.period);
                self.kept.push((part.period, kept, self.value[part.period]));
            }
            self.value_stale[part.period] = true;
        }
        if self.journaling {
            self.changes.push((item, before));
        }
        self.cost += cost(scene.model, item, level) - cost(scene.model, item, before);
        self.market.set(scene.grid, scene.model, item, level);
        if self.accounting {
            self.accounts.level(scene.model, item, level);
        }
    }

    /// Starts to keep accounts, in steps; whether what is set clears.
    pub(super) fn open_accounts(&mut self, scene: Scene<'_>, desk: &mut Desk) -> Poll<bool> {
        if !self.market.refresh_some(scene.book, scene.grid, desk) {
            return Poll::Pending;
        }
        if self.market.all_clear() {
            self.accounts.open(scene.model, &self.market);
            self.accounting = true;
            desk.walked += walk(scene.model);
        }
        Poll::Ready(self.accounting)
    }

    /// True while accounts are kept.
    pub(super) fn accounting(&self) -> bool {
        self.accounting
    }

    /// Accounts are no longer kept.
    pub(super) fn close_accounts(&mut self) {
        self.accounting = false;
    }

    /// Welfare and losses at the mid-point of what is set, in steps; nothing if it does not clear.
    pub(super) fn assess(&mut self, scene: Scene<'_>, desk: &mut Desk) -> Poll<Option<(i128, Loss)>> {
        let Some(welfare) = ready!(self.welfare(scene, desk)) else { return Poll::Ready(None) };
        Poll::Ready(Some((welfare, self.accounts.loss(scene.model, &self.market))))
    }

    /// What is set clears, and everyone is whole at the mid-point: kept if it beats the best.
    pub(super) fn record(&mut self, welfare: i128) -> bool {
        let beats = self.best.as_ref().is_none_or(|best| welfare > best.welfare);
        if beats || self.is_equal(welfare) {
            let prices = self.accounts.prices.clone();
            self.keep(welfare, prices);
        }
        beats
    }

    /// True if what is set has the welfare of the best, is not known yet, and can still be kept.
    fn is_equal(&self, welfare: i128) -> bool {
        self.equals.len() < KEPT
            && self.best.as_ref().is_some_and(|best| best.welfare == welfare)
            && self.best.iter().chain(&self.equals).all(|it| it.levels != self.market.level)
    }

    /// Keeps what is set: as the best, or beside it.
    fn keep(&mut self, welfare: i128, prices: Vec<i64>) {
        let kept = Best { welfare, levels: self.market.level.clone(), prices };
        if self.best.as_ref().is_some_and(|best| best.welfare == welfare) {
            self.equals.push(kept);
        } else {
            self.best = Some(kept);
            self.equals.clear();
        }
    }

    /// Opens a journal. Prices and values are fresh.
    pub(super) fn begin(&mut self) {
        self.commit();
        self.journaling = true;
        self.cost_before = self.cost;
    }

    /// Keeps what was changed.
    pub(super) fn commit(&mut self) {
        self.changes.clear();
        for (period, _, _) in self.kept.drain(..) {
            self.is_kept[period] = false;
        }
        self.journaling = false;
    }

    /// Takes back what was changed since the journal was opened.
    pub(super) fn rollback(&mut self, scene: Scene<'_>) {
        self.journaling = false;
        for (item, before) in core::mem::take(&mut self.changes).into_iter().rev() {
            self.market.set(scene.grid, scene.model, item, before);
            if self.accounting {
                self.accounts.level(scene.model, item, before);
            }
        }
        for (period, kept, value) in core::mem::take(&mut self.kept) {
            self.is_kept[period] = false;
            self.market.put_back(scene.grid, period, &kept);
            self.value[period] = value;
            self.value_stale[period] = false;
            if self.accounting {
                self.accounts.period(scene.model, &self.market, period);
            }
        }
        if self.accounting {
            self.accounts.complex(scene.model);
        }
        self.cost = self.cost_before;
    }

    /// Welfare of what is set, in steps; nothing if it does not clear. Grid units.
    pub(super) fn welfare(&mut self, scene: Scene<'_>, desk: &mut Desk) -> Poll<Option<i128>> {
        let before = desk.priced;
        let priced = self.market.refresh_some(scene.book, scene.grid, desk);
        // What they are worth is read in a step of its own where that takes about as long.
        let stale = || self.value_stale.iter().filter(|it| **it).count();
        if !priced || desk.priced > before && stale() > VALUED_AT_ONCE {
            return Poll::Pending;
        }
        if !self.market.all_clear() {
            return Poll::Ready(None);
        }
        let mut moved = false;
        for period in 0..self.value.len() {
            if self.value_stale[period] {
                self.value[period] = self.market.value(scene.book, scene.grid, period);
                self.value_stale[period] = false;
                moved = true;
                if self.accounting {
                    self.accounts.period(scene.model, &self.market, period);
                }
            }
        }
        if self.accounting && moved {
            self.accounts.complex(scene.model);
        }
        Poll::Ready(Some(self.value.iter().sum::<i128>() * scene.model.scale - self.cost))
    }

    /// True while a judgement goes on.
    pub(super) fn is_judging(&self) -> bool {
        self.judging.is_some()
    }

    /// Looks for supporting prices of what is set, in steps; kept if it beats the best.
    pub(super) fn judge(&mut self, scene: Scene<'_>, desk: &mut Desk, effort: u64) -> Poll<Trial> {
        let welfare = match self.judging {
            Some(welfare) => welfare,
            None => {
                let Some(welfare) = ready!(self.welfare(scene, desk)) else {
                    return Poll::Ready(Trial::NotClearing);
                };
                self.conditions.read(scene.book, scene.grid, desk, scene.model, &self.market);
                self.conditions.begin(effort);
                desk.walked += walk(scene.model);
                self.judging = Some(welfare);
                if scene.model.flat.len() > AT_ONCE {
                    return Poll::Pending;
                }
                welfare
            }
        };
        let support = ready!(self.conditions.step());
        self.judging = None;
        Poll::Ready(match support {
            Support::Found(prices) => {
                if self.best.as_ref().is_none_or(|best| welfare > best.welfare) || self.is_equal(welfare) {
                    self.keep(welfare, prices);
                }
                Trial::Legal(welfare)
            }
            Support::Refuted => Trial::Loses(welfare),
            Support::Unknown => Trial::Unknown(welfare),
        })
    }

    /// Sets all levels.
    pub(super) fn assign(&mut self, scene: Scene<'_>, levels: &[i64]) {
        for (item, &level) in levels.iter().enumerate() {
            self.set(scene, item, level);
        }
    }

    /// Mid-point prices of what is set.
    pub(super) fn mid_point(&self) -> Vec<i64> {
        self.market.lo.iter().zip(&self.market.hi).map(|(lo, hi)| (lo + hi + 1).div_euclid(2)).collect()
    }

    pub(super) fn best_welfare(&self) -> Option<i128> {
        self.best.as_ref().map(|best| best.welfare)
    }

    /// Rejects an item and its accepted descendants.
    pub(super) fn eject(&mut self, scene: Scene<'_>, item: usize) {
        let mut stack = vec![item];
        while let Some(item) = stack.pop() {
            self.set(scene, item, 0);
            stack.extend(scene.model.items[item].children.iter().filter(|&&it| self.market.level[it] > 0));
        }
    }

    /// Rejects the largest item of each period that does not clear; false if there is none.
    pub(super) fn unclog(&mut self, scene: Scene<'_>) -> bool {
        let mut any = false;
        for period in 0..scene.model.periods {
            if !self.market.clears(period)
                && let Some(item) = self.stuck(scene, period)
            {
                self.eject(scene, item);
                any = true;
            }
        }
        any
    }

    /// An accepted item in a period that does not clear.
    fn stuck(&self, scene: Scene<'_>, period: usize) -> Option<usize> {
        scene.model.touching[period].iter().copied().filter(|&item| self.market.level[item] > 0).max_by_key(
            |&item| {
                scene.model.parts(item).iter().filter(|it| it.period == period).map(|it| it.lots).sum::<i64>()
            },
        )
    }
}
