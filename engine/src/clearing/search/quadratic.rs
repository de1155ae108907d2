//! Long steps of the climb: all shares move at once, guided by how prices would answer.
//!
//! Around where the climb stands, areas that share a price answer to lots with a slope, and the
//! relaxed welfare is nearly quadratic in the shares. On that quadratic each unit moves to its top in
//! turn, which costs one walk over its parts and no pricing; a few rounds settle thousands of blocks.
//! Then the periods are priced once and the way there is kept as far as it really earned. Whatever
//! this proposes, [`super::dual`] makes a safe bound of its prices.

use super::choice::Choice;
use super::dual::{Answers, Dual};
use super::exact::Exact;
use super::market::Desk;
use super::model::{Model, WHOLE};
use super::relax::{LINE, Relaxation, Scene};
use alloc::vec::Vec;

/// Rounds over all units between two pricings.
const ROUNDS: usize = 6;

/// How prices answer, and what the shares moved so far did to them.
#[derive(Clone, Debug, Default)]
pub(super) struct Quadratic {
    /// Areas of a period whose prices move together; index: cell.
    group: Vec<usize>,
    /// 2^48 ÷ (lots per tick × 2^16) of each group.
    answer: Vec<i64>,
    /// What the moves did to each group's price, ticks × 2^8.
    moved: Vec<i64>,
    /// Signed lots of each part, steps in the money included.
    lots: Vec<i64>,
    /// What an item earns at the prices of the start, price ticks × lots.
    earned: Vec<i128>,
    /// What an item's earning falls by when it goes from nothing to whole.
    bend: Vec<i128>,
    target: Vec<i64>,
    /// Lots of a joint move by group.
    joint: Vec<i64>,
    touched: Vec<usize>,
    /// Prices are taken to answer 2^firm times as much: grows when steps went too far.
    firm: u32,
}

fn clamp(value: i128) -> i64 {
    const ROOM: i128 = 1 << 60;
    i64::try_from(value.clamp(-ROOM, ROOM)).expect("clamped")
}

/// lots² × answer, in ticks × lots; bounded, for it only guides.
fn bent(lots: i64, answer: i64) -> i128 {
    let moved = (i128::from(lots) * i128::from(answer)) >> 16;
    if let Ok(moved) = i64::try_from(moved) {
        return ((i128::from(moved) * i128::from(lots)) >> 16).min(1 << 100);
    }
    (moved.saturating_mul(i128::from(lots)) >> 16).min(1 << 100)
}

/// A part of a worth, level in millionths.
fn part_of(worth: i128, level: i64) -> i128 {
    let (level, whole) = (i128::from(level), i128::from(WHOLE));
    if worth.abs() < 1 << 100 { worth * level / whole } else { worth / whole * level }
}

impl Quadratic {
    /// Reads slopes and earnings where the climb stands.
    pub(super) fn read(&mut self, scene: Scene<'_>, desk: &Desk, relaxation: &Relaxation) {
        self.join(scene, desk, relaxation);
        let model = scene.model;
        let prices = &relaxation.live.prices;
        self.lots.clear();
        self.earned.clear();
        self.bend.clear();
        for item in 0..model.items.len() {
            let entry = &model.items[item];
            let mut bend = 0;
            if !model.is_complex(item) {
                let mut sum = 0;
                for part in model.flat(item) {
                    let lots = entry.sign * part.lots;
                    self.lots.push(lots);
                    bend += bent(lots, self.answer[self.group[part.cell()]]);
                    sum += i128::from(prices[part.cell()] - entry.price) * i128::from(lots);
                }
                self.bend.push(bend.max(1));
                self.earned.push(sum);
                continue;
            }
            for part in model.parts(item) {
                let better = |price: i64| entry.sign * (prices[part.cell] - price) > 0;
                let steps = model.steps[part.steps.clone()].iter().filter(|it| better(it.price));
                let lots = entry.sign * (part.lots + steps.map(|it| it.quantity).sum::<i64>());
                self.lots.push(lots);
                bend += bent(lots, self.answer[self.group[part.cell]]);
            }
            self.bend.push(bend.max(1));
            let surplus = model.surplus(item, prices).surplus;
            self.earned.push(if model.scale == 1 { surplus } else { surplus / model.scale });
        }
        self.target.clone_from(&relaxation.market.level);
    }

    /// Joins areas between which lines have room.
    fn join(&mut self, scene: Scene<'_>, desk: &Desk, relaxation: &Relaxation) {
        let (model, market) = (scene.model, &relaxation.market);
        self.group.clear();
        self.group.resize(model.areas * model.periods, usize::MAX);
        self.answer.clear();
        let mut queue = Vec::new();
        for period in 0..model.periods {
            let first = period * model.areas;
            for area in 0..model.areas {
                if self.group[first + area] != usize::MAX {
                    continue;
                }
                let group = self.answer.len();
                let mut slope = 0_i64;
                self.group[first + area] = group;
                queue.push(area);
                while let Some(area) = queue.pop() {
                    slope = slope
                        .saturating_add(market.slope(first + area, relaxation.live.prices[first + area]));
                    for hop in desk.network.hops(area) {
                        let room = market.room_relaxed(scene.book, scene.grid, period, hop.line);
                        if room && self.group[first + hop.other] == usize::MAX {
                            self.group[first + hop.other] = group;
                            queue.push(hop.other);
                        }
                    }
                }
                self.answer.push((((1_i64 << 48) / slope.max(1)) << self.firm).min(1 << 56));
            }
        }
        self.moved.clear();
        self.moved.resize(self.answer.len(), 0);
        self.joint.clear();
        self.joint.resize(self.answer.len(), 0);
    }

    /// What an item earns after the moves so far.
    fn earning(&self, model: &Model, item: usize) -> i128 {
        let parts = model.items[item].parts.clone();
        let mut sum = 0;
        for at in parts {
            sum += i128::from(self.lots[at]) * i128::from(self.moved[self.group[model.flat[at].cell()]]);
        }
        self.earned[item] + (sum >> 8)
    }

    /// Moves the share of an item.
    fn shift(&mut self, model: &Model, item: usize, by: i64, shift: u32) {
        if by == 0 {
            return;
        }
        self.target[item] += by;
        for at in model.items[item].parts.clone() {
            let group = self.group[model.flat[at].cell()];
            let lots = i128::from(self.lots[at]) * i128::from(by);
            let change = (lots * i128::from(self.answer[group])) >> (24 + shift);
            self.moved[group] = clamp(i128::from(self.moved[group]) - change);
        }
    }

    /// One item alone, as far as its family and group leave room.
    fn alone(&mut self, model: &Model, bounds: (i64, i64), item: usize, shift: u32) {
        let (low, high) = bounds;
        let earned = self.earning(model, item).clamp(-1 << 100, 1 << 100);
        let at = self.target[item];
        if high <= low || (earned >= 0 && at >= high) || (earned <= 0 && at <= low) {
            return;
        }
        let way = clamp((earned << shift) / self.bend[item]);
        self.shift(model, item, at.saturating_add(way).clamp(low, high) - at, shift);
    }

    /// A unit of several items along the line to its best answer.
    fn together(
        &mut self,
        model: &Model,
        choices: &[Choice],
        live: &mut Dual,
        unit: usize,
        answers: &mut Answers,
        shift: u32,
    ) {
        for &item in &model.units[unit] {
            live.earning[item].surplus = self.earning(model, item);
        }
        live.unit(model, choices, unit, answers);
        let mut gain = 0_i128;
        for &item in &model.units[unit] {
            let answer = live.answer(model, choices, item, answers);
            let way = scaled(answer, shift) - self.target[item];
            if way == 0 {
                continue;
            }
            gain = live.earning[item].surplus.saturating_mul(i128::from(way)).saturating_add(gain);
            for at in model.items[item].parts.clone() {
                let group = self.group[model.flat[at].cell()];
                if self.joint[group] == 0 {
                    self.touched.push(group);
                }
                self.joint[group] += clamp((i128::from(self.lots[at]) * i128::from(way)) >> shift);
            }
        }
        let mut bend = 0;
        for group in self.touched.drain(..) {
            bend += bent(core::mem::take(&mut self.joint[group]), self.answer[group]);
        }
        let part = (((gain >> shift).clamp(-1 << 100, 1 << 100) << LINE) / bend.max(1)).clamp(0, 1 << LINE);
        if part == 0 {
            return;
        }
        for &item in &model.units[unit] {
            let answer = live.answer(model, choices, item, answers);
            let way = scaled(answer, shift) - self.target[item];
            self.shift(model, item, clamp((i128::from(way) * part) >> LINE), shift);
        }
    }

    /// True if the prices of two cells moved together where the climb stood last.
    pub(super) fn same_price(&self, one: usize, other: usize) -> bool {
        self.group.get(one).is_some_and(|group| self.group.get(other) == Some(group))
    }

    /// About how much welfare changes when some items take other levels (item, level; the last of an
    /// item counts), and how much less `loser` would lack; grid units.
    pub(super) fn estimate(
        &mut self,
        model: &Model,
        exact: &Exact,
        plan: &[(usize, i64)],
        loser: Option<usize>,
    ) -> (i128, i128) {
        let mut gain = 0_i128;
        let mut rejected = false;
        for (at, &(item, level)) in plan.iter().enumerate() {
            if plan[at + 1..].iter().any(|it| it.0 == item) {
                continue;
            }
            let before = exact.level(item);
            let worth = exact.accounts.surplus[item];
            rejected |= level == 0 && loser == Some(item);
            gain += match (before, level) {
                (0, WHOLE) => worth,
                (0, _) => part_of(worth, level),
                (_, 0) => -worth,
                _ => worth / i128::from(before) * i128::from(level - before),
            };
            for part in model.items[item].parts.clone() {
                let group = self.group[model.flat[part].cell()];
                if self.joint[group] == 0 {
                    self.touched.push(group);
                }
                self.joint[group] += self.lots[part] * (level - before) / WHOLE;
            }
        }
        let mut relief = 0_i128;
        if let Some(loser) = loser {
            let lacks = -exact.accounts.slack(loser);
            let level = exact.level(loser);
            for part in model.items[loser].parts.clone() {
                let group = self.group[model.flat[part].cell()];
                let moved = (i128::from(self.joint[group]) * i128::from(self.answer[group])) >> 32;
                let earned = moved.saturating_mul(i128::from(self.lots[part]));
                relief = relief.saturating_sub(part_of(earned, level));
            }
            relief = if rejected { lacks } else { relief.saturating_mul(model.scale).min(lacks) };
        }
        let mut bend = 0;
        for group in self.touched.drain(..) {
            bend += bent(core::mem::take(&mut self.joint[group]), self.answer[group]);
        }
        (gain.saturating_sub((bend / 4).saturating_mul(model.scale)), relief)
    }

    /// The ratio at which an item would about earn nothing more, were everyone else to stay.
    pub(super) fn aim(&self, model: &Model, exact: &Exact, item: usize) -> i64 {
        let (level, least) = (exact.level(item), model.items[item].least);
        let mut worth = exact.accounts.surplus[item] / model.scale;
        if level > 0 {
            worth = worth / i128::from(level) * i128::from(WHOLE);
        }
        let way = clamp(worth * i128::from(WHOLE) / self.bend[item]);
        level.saturating_add(way).clamp(least, WHOLE)
    }

    /// The shares that an item may take beside its family and group.
    fn room(&self, model: &Model, choice: Choice, item: usize, shift: u32) -> (i64, i64) {
        let entry = &model.items[item];
        let children = entry.children.iter().map(|&child| self.target[child]).max().unwrap_or(0);
        let parent = entry.parent.map_or(1 << shift, |parent| self.target[parent]);
        let group = entry.group.map_or(1 << shift, |group| {
            let taken: i64 = model.groups[group].iter().map(|&it| self.target[it]).sum();
            (1 << shift) - taken + self.target[item]
        });
        let low = scaled(choice.least(), shift).max(children);
        (low, scaled(choice.most(), shift).min(parent).min(group))
    }
}

/// Millionths in units of 2^−shift.
pub(super) fn scaled(ratio: i64, shift: u32) -> i64 {
    if ratio == super::model::WHOLE { 1 << shift } else { (ratio << shift) / super::model::WHOLE }
}

/// Where a leap stands between two steps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Stride {
    /// Between two leaps.
    #[default]
    Stands,
    /// Periods are priced where it stands.
    Price,
    /// Slopes and earnings are read next.
    Read,
    /// Rounds on the quadratic made so far.
    Round(usize),
    /// The way is tried so far, in 2^−LINE of the whole: shares move, periods are priced.
    Move {
        attempt: u32,
        part: i64,
        promised: i128,
    },
    Try {
        attempt: u32,
        part: i64,
        promised: i128,
    },
}

impl Relaxation {
    /// True between two leaps.
    pub(super) fn stands(&self) -> bool {
        matches!(self.stride, Stride::Stands)
    }

    /// One step of a leap, in which all shares move once: a walk over all units, or one pricing. At its
    /// end, what the quadratic promised: how far the climb may still be from its top.
    pub(super) fn leap_step(
        &mut self,
        scene: Scene<'_>,
        desk: &mut Desk,
        choices: &[Choice],
        answers: &mut Answers,
    ) -> Option<i128> {
        desk.walked += u64::try_from(scene.model.parts.len()).expect("a length fits");
        let stride = core::mem::take(&mut self.stride);
        let promised = match stride {
            Stride::Stands | Stride::Price => {
                let priced = self.market.refresh_some(scene.book, scene.grid, desk);
                self.stride = if priced { Stride::Read } else { Stride::Price };
                if priced {
                    self.look(0..scene.model.areas * scene.model.periods);
                }
                return None;
            }
            Stride::Read => {
                let mut quadratic = core::mem::take(&mut self.quadratic);
                quadratic.read(scene, desk, self);
                self.quadratic = quadratic;
                self.stride = Stride::Round(0);
                return None;
            }
            Stride::Round(made) => {
                self.round(scene.model, choices, answers);
                if made + 1 < ROUNDS {
                    self.stride = Stride::Round(made + 1);
                    return None;
                }
                let promised = self.aim();
                if promised > 0 {
                    self.stride = Stride::Move { attempt: 0, part: 1 << LINE, promised };
                    return None;
                }
                promised
            }
            Stride::Move { attempt, part, promised } => {
                self.go(scene, part);
                self.stride = Stride::Try { attempt, part, promised };
                return None;
            }
            Stride::Try { attempt, part, promised } => {
                if !self.market.refresh_some(scene.book, scene.grid, desk) {
                    self.stride = stride;
                    return None;
                }
                if let Some(part) = self.follow_way(scene, attempt, part, promised) {
                    self.stride = Stride::Move { attempt: attempt + 1, part, promised };
                    return None;
                }
                promised
            }
        };
        Some((promised >> self.market.shift()).saturating_mul(scene.model.scale))
    }

    /// Each unit moves to its top on the quadratic.
    fn round(&mut self, model: &Model, choices: &[Choice], answers: &mut Answers) {
        let shift = self.market.shift();
        for unit in 0..model.units.len() {
            if model.units[unit].len() > 1 {
                self.quadratic.together(model, choices, &mut self.live, unit, answers, shift);
            }
            for &item in &model.units[unit] {
                let room = self.quadratic.room(model, choices[item], item, shift);
                self.quadratic.alone(model, room, item, shift);
            }
        }
    }

    /// Takes the way to where the rounds led; returns what it promises.
    fn aim(&mut self) -> i128 {
        let mut promised = 0_i128;
        for item in 0..self.way.len() {
            self.start[item] = self.market.level[item];
            self.way[item] = self.quadratic.target[item] - self.start[item];
            let gain = self.quadratic.earned[item].saturating_mul(i128::from(self.way[item]));
            promised = gain.saturating_add(promised);
        }
        promised
    }

    /// Stays at a part of the way; returns the part to try instead if that is too far.
    fn follow_way(&mut self, scene: Scene<'_>, attempt: u32, part: i64, promised: i128) -> Option<i64> {
        let slope = self.slope(scene);
        if slope >= 0 || -slope < promised / 16 || attempt == 4 {
            if attempt == 0 {
                self.quadratic.firm = self.quadratic.firm.saturating_sub(1);
            }
            return None;
        }
        // The slope falls along the way: where it would be nothing on a straight line.
        let mut parts = (promised, -slope);
        while parts.0 > 1 << 100 || parts.1 > 1 << 100 {
            parts = (parts.0 >> 8, parts.1 >> 8);
        }
        let next = (i128::from(part) * parts.0 / (parts.0 + parts.1).max(1)).max(1);
        if attempt == 0 && next < i128::from(part / 2) {
            self.quadratic.firm = (self.quadratic.firm + 1).min(8);
        }
        Some(clamp(next).min(part - 1).max(1))
    }

    /// Goes a part of the way (2^−LINE).
    fn go(&mut self, scene: Scene<'_>, part: i64) {
        let model = scene.model;
        for item in 0..model.items.len() {
            if self.way[item] != 0 {
                let level = self.start[item] + ((self.way[item] * part) >> LINE);
                self.market.set(scene.grid, model, item, level);
            }
        }
    }

    /// The slope of the way where it stands, freshly priced.
    fn slope(&mut self, scene: Scene<'_>) -> i128 {
        let model = scene.model;
        self.look(0..model.areas * model.periods);
        let mut slope = 0_i128;
        for item in 0..model.items.len() {
            if self.way[item] != 0 {
                let surplus = model.surplus(item, &self.live.prices).surplus;
                let surplus = if model.scale == 1 { surplus } else { surplus / model.scale };
                slope = surplus.saturating_mul(i128::from(self.way[item])).saturating_add(slope);
            }
        }
        slope
    }
}
