//! Prices for the bound: a relaxation in which items take any share, climbed unit by unit.
//!
//! With shares for ratios, the welfare of a period is a concave function of what is injected, its
//! slope is the price, and re-pricing a period exactly takes microseconds. So each unit in turn
//! moves along the line from where it stands to its best answer at the prices, as far as that earns.
//! Curves of steps would stop the climb at kinks: they are smoothed over a window of ticks that
//! shrinks as the climb goes on. Whatever prices come out, [`super::dual`] makes a safe bound of them.

use super::choice::Choice;
use super::dual::{Answers, Dual};
use super::market::{Desk, Grid, Market};
use super::model::{Model, WHOLE};
use crate::book::AuctionBook;
use alloc::vec;
use alloc::vec::Vec;

/// Steps of a line search are counted in 2^−LINE of the whole way.
const LINE: u32 = 14;

/// The climb and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Relaxation {
    pub(super) market: Market,
    /// Current prices and what items earn at them, as last looked at.
    live: Dual,
    way: Vec<i64>,
    start: Vec<i64>,
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
        let live = Dual { prices: vec![0; model.areas * model.periods], ..Dual::default() };
        let mut it = Self { market: Market::relaxed(grid, model), live, way: Vec::new(), start: Vec::new() };
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

    fn look(&mut self, cells: core::ops::Range<usize>) {
        for cell in cells {
            let (lo, hi) = (self.market.lo[cell], self.market.hi[cell]);
            self.live.prices[cell] = lo + (hi - lo) / 2;
        }
    }

    /// Opens the window of smoothing.
    pub(super) fn smooth(&mut self, width: Option<u32>) {
        if self.market.width != width {
            self.market.width = width;
            self.market.forget();
        }
    }

    /// Brings shares into their boxes and prices up to date.
    pub(super) fn settle(&mut self, scene: Scene<'_>, desk: &mut Desk, choices: &[Choice]) {
        self.clip(scene, choices);
        self.market.refresh(scene.book, scene.grid, desk);
        self.look(0..scene.model.areas * scene.model.periods);
    }

    /// All units move at once, `part` / 2^LINE of their way.
    pub(super) fn stride(
        &mut self,
        scene: Scene<'_>,
        desk: &mut Desk,
        choices: &[Choice],
        answers: &mut Answers,
        part: i64,
    ) {
        let model = scene.model;
        for unit in 0..model.units.len() {
            self.aim(model, choices, unit, answers);
        }
        for item in 0..model.items.len() {
            let level = self.market.level[item] + ((self.way[item] * part) >> LINE);
            self.market.set(scene.grid, model, item, level);
        }
        self.market.refresh(scene.book, scene.grid, desk);
        self.look(0..model.areas * model.periods);
    }

    /// Finds the way of each item of a unit to its best answer, and what going it would earn at most.
    fn aim(&mut self, model: &Model, choices: &[Choice], unit: usize, answers: &mut Answers) -> i128 {
        for &item in &model.units[unit] {
            self.live.earning[item] = model.surplus(item, &self.live.prices);
        }
        self.live.unit(model, choices, unit, answers);
        let mut gain = 0;
        for &item in &model.units[unit] {
            let target = self.scaled(self.live.answer(model, choices, item, answers));
            self.way[item] = target - self.market.level[item];
            gain += self.live.earning[item].surplus * i128::from(self.way[item]);
        }
        gain / i128::from(self.market.whole())
    }

    /// Every unit in turn moves as far as it earns. Returns what all ways promised together: how far
    /// the climb may still be from its top.
    pub(super) fn sweep(
        &mut self,
        scene: Scene<'_>,
        desk: &mut Desk,
        choices: &[Choice],
        answers: &mut Answers,
        least: i128,
    ) -> i128 {
        let mut sum = 0;
        for unit in 0..scene.model.units.len() {
            let gain = self.aim(scene.model, choices, unit, answers);
            sum += gain;
            if gain > least {
                self.climb(scene, desk, unit);
            }
        }
        sum
    }

    /// Moves a unit along its way and returns the slope there.
    fn go(&mut self, scene: Scene<'_>, desk: &mut Desk, unit: usize, part: i64) -> i128 {
        let model = scene.model;
        for &item in &model.units[unit] {
            let level = self.start[item] + ((self.way[item] * part) >> LINE);
            self.market.set(scene.grid, model, item, level);
        }
        for &item in &model.units[unit] {
            if self.way[item] != 0 {
                self.market.refresh_item(scene.book, scene.grid, model, desk, item);
                for part in model.parts(item) {
                    self.look(part.period * model.areas..(part.period + 1) * model.areas);
                }
            }
        }
        let mut slope = 0;
        for &item in &model.units[unit] {
            if self.way[item] != 0 {
                let earning = model.surplus(item, &self.live.prices);
                slope += earning.surplus * i128::from(self.way[item]) / i128::from(self.market.whole());
            }
        }
        slope
    }

    fn climb(&mut self, scene: Scene<'_>, desk: &mut Desk, unit: usize) {
        let mut slope_low = 0;
        for &item in &scene.model.units[unit] {
            self.start[item] = self.market.level[item];
            slope_low += self.live.earning[item].surplus * i128::from(self.way[item])
                / i128::from(self.market.whole());
        }
        let (mut low, mut high) = (0_i64, 1_i64 << LINE);
        let mut slope_high = self.go(scene, desk, unit, high);
        if slope_high >= 0 {
            return;
        }
        let first = slope_low;
        for round in 0..8 {
            // Regula falsi, kept away from the ends, and halving in between.
            let width = high - low;
            if width <= 1 {
                break;
            }
            let (a, b) = (slope_low.max(1), (-slope_high).max(1));
            let (mut a, mut b) = (a, b);
            while a > 1 << 60 || b > 1 << 60 {
                (a, b) = ((a >> 8).max(1), (b >> 8).max(1));
            }
            let aim = i64::try_from(i128::from(width) * a / (a + b)).expect("within the width");
            let step =
                if round % 3 == 2 { width / 2 } else { aim.clamp(1 + width / 32, width - 1 - width / 32) };
            let at = low + step.clamp(1, width - 1);
            let slope = self.go(scene, desk, unit, at);
            if slope >= 0 {
                (low, slope_low) = (at, slope);
            } else {
                (high, slope_high) = (at, slope);
            }
            if slope.abs() < first / 64 {
                return;
            }
        }
        self.go(scene, desk, unit, low);
    }
}
