//! Prices for the bound: a relaxation in which items take any share, climbed unit by unit.
//!
//! With shares for ratios, the welfare of a period is a concave function of what is injected, its
//! slope is the price, and re-pricing a period exactly takes microseconds. So each unit in turn
//! moves along the line from where it stands to its best answer at the prices, as far as that earns.
//! Curves of steps would stop the climb at kinks: they are smoothed over a window of ticks that
//! shrinks as the climb goes on. Whatever prices come out, [`super::dual`] makes a safe bound of them.

use super::choice::Choice;
use super::dual::Dual;
use super::market::{Grid, Market};
use super::model::{Model, WHOLE};
use super::quadratic::{Quadratic, Stride};
use super::table::Table;
use crate::book::AuctionBook;
use alloc::vec;
use alloc::vec::Vec;

/// Steps of a line search are counted in 2^−LINE of the whole way.
pub(super) const LINE: u32 = 14;

/// The climb and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Relaxation {
    pub(super) market: Market,
    /// Current prices and what items earn at them, as last looked at.
    pub(super) live: Dual,
    pub(super) quadratic: Quadratic,
    pub(super) stride: Stride,
    /// Tables of other spacings, kept for when they are wanted again.
    tables: Vec<Table>,
    pub(super) way: Vec<i64>,
    pub(super) start: Vec<i64>,
}

/// What everybody reads.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) book: &'a AuctionBook,
    pub(super) grid: &'a Grid,
    pub(super) model: &'a Model,
}

impl Relaxation {
    pub(super) fn new(grid: &Grid, model: &Model) -> Self {
        let live = Dual { prices: vec![grid.middle(); model.areas * model.periods], ..Dual::default() };
        let market = Market::relaxed(grid, model);
        let mut it = Self {
            market,
            live,
            quadratic: Quadratic::default(),
            stride: Stride::default(),
            tables: Vec::new(),
            way: Vec::new(),
            start: Vec::new(),
        };
        it.live.earning.resize(model.items.len(), super::model::Earning::default());
        it.way.resize(model.items.len(), 0);
        it.start.resize(model.items.len(), 0);
        it
    }

    fn scaled(&self, ratio: i64) -> i64 {
        if ratio == WHOLE { self.market.whole() } else { ratio * self.market.whole() / WHOLE }
    }

    /// The share of an item in millionths.
    pub(super) fn ratio(&self, item: usize) -> i64 {
        let (level, whole) = (i128::from(self.market.level[item]), i128::from(self.market.whole()));
        i64::try_from(level * i128::from(WHOLE) / whole).expect("a share is at most the whole")
    }

    /// Starts from prices that are near.
    pub(super) fn stand_at(&mut self, prices: Vec<i64>) {
        self.live.prices = prices;
    }

    /// The prices at which the climb stands.
    pub(super) fn prices(&self) -> Vec<i64> {
        self.live.prices.clone()
    }

    /// Moves every share into its box.
    fn clip(&mut self, scene: Scene<'_>, choices: &[Choice]) {
        for (item, choice) in choices.iter().enumerate() {
            let (least, most) = (self.scaled(choice.least()), self.scaled(choice.most()));
            let level = self.market.level[item].clamp(least, most);
            self.market.set(scene.grid, scene.model, item, level);
        }
    }

    pub(super) fn look(&mut self, cells: core::ops::Range<usize>) {
        for cell in cells {
            let (lo, hi) = (self.market.lo[cell], self.market.hi[cell]);
            self.live.prices[cell] = lo + (hi - lo) / 2;
        }
    }

    /// Smooths the curves over about 2^log ticks around the prices at which the climb stands.
    pub(super) fn smooth(&mut self, grid: &Grid, log: u32) {
        if self.market.table.as_ref().is_some_and(|table| table.log == log) {
            return;
        }
        let spare = self.tables.iter().position(|table| table.log == log);
        let table = match spare {
            Some(at) => self.tables.swap_remove(at),
            None => Table::new(grid, &self.live.prices, log),
        };
        self.tables.extend(self.market.table.replace(table));
        self.market.forget();
    }

    /// Brings shares into their boxes; prices follow in the next steps.
    pub(super) fn settle(&mut self, scene: Scene<'_>, choices: &[Choice]) {
        self.clip(scene, choices);
        if let Some(table) = &mut self.market.table {
            table.follow(scene.grid, &self.live.prices);
        }
        self.stride = Stride::Price;
    }
}
