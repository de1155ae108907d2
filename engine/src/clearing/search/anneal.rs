//! Local search by threshold accepting: one or two orders change at a time, a little worse is allowed
//! while it is warm, and what accepted orders lose weighs against welfare until nobody loses.
//!
//! A trial is first estimated on the climb's quadratic (how prices would answer), which costs one walk
//! over the periods of its orders; only what looks worth it is priced exactly. Orders that balance each
//! other are tried together: a sell with a buy, one in for another out. The weight of losses swings:
//! it grows while states with losers are walked through and falls while all are whole, so the walk
//! stays close to the border between the two, where the best results lie. Random numbers come from a
//! fixed seed: the walk is the same on every machine.

use super::accounts::Loss;
use super::choice::{self, Choice};
use super::dual::{Answers, Dual};
use super::exact::{Exact, walk};
use super::local;
use super::market::Desk;
use super::model::{Model, WHOLE};
use super::quadratic::Quadratic;
use super::relax::Scene;
use alloc::vec::Vec;
use core::task::Poll;

/// Stages of cooling in a cycle; each leaves five sixths of the heat.
const STAGES: u64 = 32;
/// Partners that are estimated for one order.
const PARTNERS: usize = 5;

/// What chance and prices suggest for one order.
struct Dice {
    coin: u64,
    part: usize,
    aim: i64,
}

/// What tells which units stand far from their best answer.
pub(super) struct Guide<'a> {
    pub(super) dual: &'a Dual,
    pub(super) choices: &'a [Choice],
    /// Where to start from; empty: from the best, with a kick.
    pub(super) from: Vec<i64>,
}

/// What is done next before the first move.
#[derive(Clone, Copy, Debug)]
enum Opening {
    Accounts,
    Kick,
    Assess,
}

/// What a walk does next.
#[derive(Clone, Copy, Debug, Default)]
enum Act {
    #[default]
    Move,
    /// The plan is set; it is priced.
    Price,
    /// The plan beats the best, if prices make everyone whole; whether the walk goes there then.
    Judge { goes: bool, there: (i128, Loss) },
    /// For the record, what loses most is rejected so many times yet, as long as welfare is above the
    /// floor: it is priced, and judged with these losses.
    Aside { left: u32, floor: i128, judged: Option<Loss> },
    /// What loses most is rejected, whatever it costs, so many times yet; whether one is set.
    Relieve { left: usize, set: bool },
    /// The next stage begins.
    Gather,
}

/// A walk and where it stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Anneal {
    random: u64,
    /// Weight of losses, sixteenths.
    weight: i128,
    heat: i128,
    /// What each loser counts for beside what it lacks; grid units.
    charge: i128,
    /// Moves of one stage, of those still to make, stages left.
    stage_moves: u64,
    moves_left: u64,
    stages_left: u64,
    pub(super) cycles: u32,
    /// A start is set, and what is done with it next; whether the best is to be kicked there.
    opening: Option<Opening>,
    kicked: bool,
    act: Act,
    /// Welfare and losses of what is set.
    welfare: i128,
    loss: Loss,
    /// Moves with losers among the last.
    recent: (u32, u32),
    /// Moves accepted in this stage.
    accepted: u32,
    /// The unit that a cycle leaves where its kick put it.
    locked: usize,
    /// Cycle until which each unit is not kicked again.
    tried: Vec<u32>,
    /// Orders that are not decided.
    open: Vec<usize>,
    plausible: Vec<usize>,
    plan: Vec<(usize, i64)>,
    other: Vec<(usize, i64)>,
}

impl Anneal {
    fn next(&mut self) -> u64 {
        // xorshift64*, Vigna 2016.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next()) * u128::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// True once a cycle is prepared that has not started.
    pub(super) fn is_prepared(&self) -> bool {
        self.opening.is_some()
    }

    /// True while a cycle runs.
    pub(super) fn runs(&self) -> bool {
        self.stages_left > 0
    }

    /// Sets where the next cycle starts from: the best so far, or what the guide says. Prices follow.
    pub(super) fn prepare(
        &mut self,
        scene: Scene<'_>,
        desk: &mut Desk,
        exact: &mut Exact,
        guide: &Guide<'_>,
    ) {
        self.cycles += 1;
        desk.walked += 2_048;
        self.opening = Some(Opening::Accounts);
        self.kicked = guide.from.is_empty();
        let Exact { best, .. } = exact;
        let Some(best) = best.as_ref().map(|best| best.levels.clone()) else { return };
        // Nothing better contradicts the choices: the walk keeps to them from its start.
        let levels = if self.kicked { &best } else { &guide.from };
        for (item, (&level, &choice)) in levels.iter().zip(guide.choices).enumerate() {
            let level = match choice {
                Choice::Out => 0,
                Choice::In(least, most) => level.clamp(least, most),
                Choice::Free(most) if most >= level => level,
                Choice::Free(most) if most >= scene.model.items[item].least => most,
                Choice::Free(_) => 0,
            };
            exact.set(scene, item, level);
        }
    }

    /// One step of the start of a prepared cycle; all is priced. `gain` is what blocks may add to welfare.
    pub(super) fn start(
        &mut self,
        scene: Scene<'_>,
        desk: &mut Desk,
        exact: &mut Exact,
        gain: i128,
        guide: &Guide<'_>,
        answers: &mut Answers,
    ) {
        match self.opening.take() {
            Some(Opening::Accounts) => {
                if self.random == 0 {
                    self.random = 0x9E37_79B9_7F4A_7C15;
                    self.tried.resize(scene.model.units.len(), 0);
                }
                self.locked = usize::MAX;
                self.opening = match exact.open_accounts(scene, desk) {
                    Poll::Pending => Some(Opening::Accounts),
                    Poll::Ready(true) if self.kicked => Some(Opening::Kick),
                    Poll::Ready(true) => Some(Opening::Assess),
                    Poll::Ready(false) => None,
                };
            }
            Some(Opening::Kick) => {
                self.kick(scene, exact, guide, answers);
                desk.walked += walk(scene.model);
                self.opening = Some(Opening::Assess);
            }
            Some(Opening::Assess) => match exact.assess(scene, desk) {
                Poll::Pending => self.opening = Some(Opening::Assess),
                Poll::Ready(None) => {
                    if let Some(best) = &exact.best {
                        let levels = best.levels.clone();
                        exact.assign(scene, &levels);
                    }
                }
                Poll::Ready(Some(here)) => self.set_out(scene, exact, gain, guide, here),
            },
            None => {}
        }
    }

    /// The first stage of a cycle begins, at this welfare and these losses.
    fn set_out(
        &mut self,
        scene: Scene<'_>,
        exact: &Exact,
        gain: i128,
        guide: &Guide<'_>,
        here: (i128, Loss),
    ) {
        let (model, kicked) = (scene.model, self.kicked);
        (self.welfare, self.loss) = here;
        let items = i128::try_from(model.items.len().max(1)).unwrap_or(1);
        self.heat = (if kicked { gain / items / 16 } else { gain / items }).max(1);
        self.weight = 16;
        self.charge = gain / items / 16;
        self.open.clear();
        self.open.extend((0..model.items.len()).filter(|&item| choice::is_open(guide.choices[item])));
        self.gather(model, exact);
        let size = u64::try_from(self.plausible.len()).unwrap_or(0).max(20);
        self.stage_moves = size / 2;
        self.stages_left = if kicked { STAGES / 2 } else { STAGES };
        self.accepted = 0;
        self.moves_left = self.stage_moves;
        self.act = Act::Move;
    }

    /// Gives one unit its best answer to the prices of the bound, and locks it there for a cycle.
    fn kick(&mut self, scene: Scene<'_>, exact: &mut Exact, guide: &Guide<'_>, answers: &mut Answers) {
        let model = scene.model;
        let mut missed: Vec<(i128, usize)> = Vec::new();
        for unit in 0..model.units.len() {
            if self.tried[unit] > self.cycles {
                continue;
            }
            let most = guide.dual.unit(model, guide.choices, unit, answers);
            let now: i128 = model.units[unit]
                .iter()
                .filter(|&&it| exact.level(it) > 0)
                .map(|&it| model.surplus_at(it, exact.level(it), &guide.dual.prices))
                .sum();
            if most > now {
                missed.push((now - most, unit));
            }
        }
        missed.sort_unstable();
        let (one, two) = (self.below(missed.len()), self.below(missed.len()));
        let Some(&(_, unit)) = missed.get(one * two / missed.len().max(1)) else { return };
        self.locked = unit;
        let wait = u32::try_from(missed.len() / 2).unwrap_or(u32::MAX);
        self.tried[unit] = self.cycles.saturating_add(wait);
        guide.dual.unit(model, guide.choices, unit, answers);
        let before: Vec<i64> = model.units[unit].iter().map(|&item| exact.level(item)).collect();
        for &item in model.units[unit].iter().rev() {
            let answer = guide.dual.answer(model, guide.choices, item, answers);
            exact.set(scene, item, answer);
        }
        // The bound answers for groups of roots alone; others may not fit together.
        if !model.units[unit].iter().all(|&item| local::fits(scene, exact, item)) {
            self.locked = usize::MAX;
            for (&item, level) in model.units[unit].iter().zip(before) {
                exact.set(scene, item, level);
            }
        }
    }

    /// Orders for which a change may pay at this heat.
    fn gather(&mut self, model: &Model, exact: &Exact) {
        self.plausible.clear();
        let room = self.heat.saturating_mul(6).saturating_add(self.loss.sum);
        for &item in &self.open {
            let surplus = exact.accounts.surplus[item];
            let family = !model.items[item].children.is_empty() || model.items[item].parent.is_some();
            let potential = if exact.level(item) == 0 { surplus } else { -surplus };
            let flexible = exact.level(item) > 0 && model.items[item].least < WHOLE;
            if potential > -room || family || flexible {
                self.plausible.push(item);
            }
        }
    }

    /// One step; true if the cycle has ended.
    pub(super) fn step(
        &mut self,
        scene: Scene<'_>,
        desk: &mut Desk,
        exact: &mut Exact,
        quadratic: &mut Quadratic,
    ) -> bool {
        self.act = match self.act {
            Act::Move if self.moves_left == 0 => self.end_stage(scene, exact),
            Act::Move => {
                self.moves_left -= 1;
                desk.walked += 64;
                let at = self.below(self.plausible.len());
                let direct = self.next() >> 61 == 0;
                let item = self.loss.worst.filter(|_| direct).unwrap_or(self.plausible[at]);
                if self.propose(scene, exact, quadratic, item) {
                    exact.begin();
                    for &(item, level) in &self.plan {
                        exact.set(scene, item, level);
                    }
                    self.price(scene, desk, exact)
                } else {
                    self.swing();
                    Act::Move
                }
            }
            Act::Price => self.price(scene, desk, exact),
            Act::Judge { goes, there } => match exact.judge(scene, desk, 60) {
                Poll::Pending => self.act,
                Poll::Ready(_) => self.arrive(scene, exact, goes, there),
            },
            Act::Aside { left, floor, judged } => self.look_aside(scene, desk, exact, (left, floor, judged)),
            Act::Relieve { left, set } => self.relieve(scene, desk, exact, left, set),
            Act::Gather => {
                self.accepted = 0;
                self.gather(scene.model, exact);
                if self.stages_left == 0 || self.plausible.is_empty() {
                    self.stages_left = 0;
                    exact.close_accounts();
                    self.act = Act::Move;
                    return true;
                }
                Act::Move
            }
        };
        false
    }

    /// A stage has ended; what comes before the next one.
    fn end_stage(&mut self, scene: Scene<'_>, exact: &mut Exact) -> Act {
        self.stages_left = self.stages_left.saturating_sub(1);
        self.moves_left = self.stage_moves;
        self.heat -= self.heat / 6;
        let floor = exact.best_welfare().unwrap_or(i128::MIN);
        let Some(worst) = self.loss.worst.filter(|_| self.welfare > floor) else { return self.relief() };
        exact.begin();
        exact.eject(scene, worst);
        Act::Aside { left: 19, floor, judged: None }
    }

    /// Plans a change of one order, perhaps with a partner; false if the estimate is against it.
    fn propose(&mut self, scene: Scene<'_>, exact: &Exact, quadratic: &mut Quadratic, item: usize) -> bool {
        let model = scene.model;
        let mut plan = core::mem::take(&mut self.plan);
        let mut other = core::mem::take(&mut self.other);
        plan.clear();
        let (coin, part) = (self.next() >> 40, self.below(1 << 20));
        let possible =
            flip(model, exact, &mut plan, item, &Dice { coin, part, aim: quadratic.aim(model, exact, item) });
        let mut best = if possible {
            self.worth(quadratic.estimate(model, exact, &plan, self.loss.worst))
        } else {
            i128::MIN
        };
        if possible && self.next() >> 63 == 0 {
            let gives = sign_of(model, exact, item, plan.iter().find(|it| it.0 == item).map_or(0, |it| it.1));
            let single = plan.len();
            for _ in 0..PARTNERS {
                let Some(partner) = self.partner(model, exact, quadratic, item, gives) else { continue };
                other.clear();
                other.extend_from_slice(&plan[..single]);
                let (coin, part) = (self.next() >> 40, self.below(1 << 20));
                if other.iter().any(|it| it.0 == partner)
                    || !flip(
                        model,
                        exact,
                        &mut other,
                        partner,
                        &Dice { coin, part, aim: quadratic.aim(model, exact, partner) },
                    )
                {
                    continue;
                }
                let estimate = self.worth(quadratic.estimate(model, exact, &other, self.loss.worst));
                if estimate > best {
                    best = estimate;
                    plan.clone_from(&other);
                }
            }
        }
        self.plan = plan;
        self.other = other;
        let kept = |it: &(usize, i64)| (it.1 > 0) == (exact.level(it.0) > 0);
        let free = self.plan.iter().all(|it| model.items[it.0].unit != self.locked || kept(it));
        possible && free && (best > -self.heat || self.loss.worst == Some(item))
    }

    /// An order in a cell of `item`, or one whose price moves with it, that would balance it.
    fn partner(
        &mut self,
        model: &Model,
        exact: &Exact,
        quadratic: &Quadratic,
        item: usize,
        gives: i64,
    ) -> Option<usize> {
        let parts = model.parts(item);
        let part = &parts[self.below(parts.len())];
        let mut cell = part.cell;
        let area = self.below(model.areas);
        let there = part.period * model.areas + area;
        if self.next() >> 63 == 0 && quadratic.same_price(cell, there) {
            cell = there;
        }
        let count = exact.accounts.count(cell);
        if count == 0 {
            return None;
        }
        let partner = exact.accounts.item(cell, self.below(count));
        let accepted = exact.level(partner) > 0;
        let change = if accepted { -model.items[partner].sign } else { model.items[partner].sign };
        (partner != item && change == -gives).then_some(partner)
    }

    /// Prices the plan and goes there if it is not too much worse.
    fn price(&mut self, scene: Scene<'_>, desk: &mut Desk, exact: &mut Exact) -> Act {
        let Poll::Ready(assessed) = exact.assess(scene, desk) else { return Act::Price };
        let Some((welfare, loss)) = assessed else {
            exact.rollback(scene);
            self.swing();
            return Act::Move;
        };
        let change = (welfare - self.welfare).saturating_sub(self.burden(loss) - self.burden(self.loss));
        let chance = i128::from(self.next() >> 48);
        let goes = change >= -portion(portion(self.heat, chance), chance);
        let best = exact.best_welfare().unwrap_or(i128::MIN);
        if welfare >= best {
            if loss.losers == 0 {
                exact.record(welfare);
            } else if welfare > best
                && loss.losers <= 8
                && exact.accounts.within_reach(scene.model, &exact.market)
            {
                return Act::Judge { goes, there: (welfare, loss) };
            }
        }
        self.arrive(scene, exact, goes, (welfare, loss))
    }

    /// Goes where the plan leads, or takes it back.
    fn arrive(&mut self, scene: Scene<'_>, exact: &mut Exact, goes: bool, there: (i128, Loss)) -> Act {
        if goes {
            exact.commit();
            self.accepted += 1;
            (self.welfare, self.loss) = there;
        } else {
            exact.rollback(scene);
        }
        self.swing();
        Act::Move
    }

    /// An estimate of (welfare, relief of the worst loser) as one number.
    fn worth(&self, (gain, relief): (i128, i128)) -> i128 {
        gain.saturating_add(relief.saturating_mul(self.weight) / 16)
    }

    /// What losses count for.
    fn burden(&self, loss: Loss) -> i128 {
        let losers = i128::try_from(loss.losers).unwrap_or(i128::MAX);
        (loss.sum + losers * self.charge).saturating_mul(self.weight) / 16
    }

    /// Rejects what loses most until nobody loses, for the record; the walk goes on from where it was.
    fn look_aside(
        &mut self,
        scene: Scene<'_>,
        desk: &mut Desk,
        exact: &mut Exact,
        (left, floor, judged): (u32, i128, Option<Loss>),
    ) -> Act {
        let loss = match judged {
            Some(loss) => match exact.judge(scene, desk, 100) {
                Poll::Pending => return self.act,
                Poll::Ready(_) => Some(loss),
            },
            None => {
                let Poll::Ready(assessed) = exact.assess(scene, desk) else { return self.act };
                match assessed.filter(|it| it.0 > floor) {
                    Some((welfare, loss)) if loss.losers == 0 => {
                        exact.record(welfare);
                        None
                    }
                    Some((_, loss)) if exact.accounts.within_reach(scene.model, &exact.market) => {
                        return Act::Aside { left, floor, judged: Some(loss) };
                    }
                    Some((_, loss)) => Some(loss),
                    None => None,
                }
            }
        };
        if left > 0
            && let Some(worst) = loss.and_then(|it| it.worst)
        {
            exact.eject(scene, worst);
            return Act::Aside { left: left - 1, floor, judged: None };
        }
        exact.rollback(scene);
        self.relief()
    }

    /// A walk that is stuck with losers finds nothing: how many are rejected, whatever that costs, if a
    /// stage could not.
    fn relief(&self) -> Act {
        let left = if self.stages_left < STAGES / 4 { 8 } else { usize::from(self.accepted < 4) };
        Act::Relieve { left, set: false }
    }

    /// Rejects what loses most, whatever it costs.
    fn relieve(
        &mut self,
        scene: Scene<'_>,
        desk: &mut Desk,
        exact: &mut Exact,
        left: usize,
        set: bool,
    ) -> Act {
        if !set {
            let Some(worst) = self.loss.worst.filter(|_| left > 0) else { return Act::Gather };
            exact.begin();
            exact.eject(scene, worst);
        }
        let Poll::Ready(assessed) = exact.assess(scene, desk) else {
            return Act::Relieve { left, set: true };
        };
        let Some((welfare, loss)) = assessed else {
            exact.rollback(scene);
            return Act::Gather;
        };
        exact.commit();
        (self.welfare, self.loss) = (welfare, loss);
        if loss.losers == 0 {
            exact.record(welfare);
        }
        Act::Relieve { left: left - 1, set: false }
    }

    /// Lets the weight of losses swing.
    fn swing(&mut self) {
        self.recent.0 += 1;
        self.recent.1 += u32::from(self.loss.losers > 0);
        if self.recent.0 < 40 {
            return;
        }
        if self.recent.1 > 30 {
            self.weight = (self.weight + self.weight / 8 + 1).min(160);
        } else if self.recent.1 < 10 {
            self.weight = (self.weight - self.weight / 8).max(16);
        }
        self.recent = (0, 0);
    }
}

/// A part of a heat, chance in 2^−16.
fn portion(heat: i128, chance: i128) -> i128 {
    if heat < 1 << 100 { (heat * chance) >> 16 } else { (heat >> 16) * chance }
}

/// +1 if a change of level injects more, −1 if less.
fn sign_of(model: &Model, exact: &Exact, item: usize, level: i64) -> i64 {
    model.items[item].sign * (level - exact.level(item)).signum()
}

/// The level of an item once a plan is carried out.
fn level_in(exact: &Exact, plan: &[(usize, i64)], item: usize) -> i64 {
    plan.iter().rev().find(|it| it.0 == item).map_or(exact.level(item), |it| it.1)
}

/// Plans another level for an item, with what its family and group need; false if it cannot be.
fn flip(model: &Model, exact: &Exact, plan: &mut Vec<(usize, i64)>, item: usize, dice: &Dice) -> bool {
    let coin = dice.coin;
    let (entry, now) = (&model.items[item], exact.level(item));
    let between = || {
        let way = i64::try_from(dice.part).unwrap_or(0);
        entry.least + (((WHOLE - entry.least) * way) >> 20)
    };
    let flexible = entry.least < WHOLE;
    if now == 0 {
        let level = match coin % 8 {
            _ if !flexible => WHOLE,
            0 => between(),
            1 => WHOLE,
            _ => dice.aim,
        };
        return insert(model, exact, plan, item, level);
    }
    if flexible && coin & 1 == 0 {
        let level = match coin % 8 {
            0 if coin & 15 == 0 => WHOLE,
            0 => entry.least,
            2 => between(),
            _ => dice.aim,
        };
        if level != now {
            return if level < now {
                lower(model, exact, plan, item, level)
            } else {
                insert(model, exact, plan, item, level)
            };
        }
    }
    lower(model, exact, plan, item, 0)
}

/// Plans a lower level, and no more of the descendants.
fn lower(model: &Model, exact: &Exact, plan: &mut Vec<(usize, i64)>, item: usize, level: i64) -> bool {
    plan.push((item, level));
    for &child in &model.items[item].children {
        if level_in(exact, plan, child) > level {
            let fits = level >= model.items[child].least;
            lower(model, exact, plan, child, if fits { level } else { 0 });
        }
    }
    true
}

/// Plans a higher level: ancestors come along, the rest of the group makes room.
fn insert(model: &Model, exact: &Exact, plan: &mut Vec<(usize, i64)>, item: usize, level: i64) -> bool {
    let entry = &model.items[item];
    if level < entry.least {
        return false;
    }
    if let Some(parent) = entry.parent
        && level_in(exact, plan, parent) < level
        && !insert(model, exact, plan, parent, level.max(model.items[parent].least))
    {
        return false;
    }
    plan.push((item, level));
    if let Some(group) = entry.group {
        let mut room = WHOLE - level;
        for &other in &model.groups[group] {
            if other != item {
                let taken = level_in(exact, plan, other);
                if taken > room {
                    lower(model, exact, plan, other, 0);
                } else {
                    room -= taken;
                }
            }
        }
        // Making room may have taken an ancestor along.
        return level_in(exact, plan, item) == level;
    }
    true
}
