//! What the search hands over to be published: injections, steps and prices of each period, reasons.

use super::model::{Model, Order, WHOLE};
use super::tree::Search;
use crate::auction::ComplexHandle;
use crate::book::AuctionBook;
use crate::outcome::{ComplexFill, Outcome, Rejected, Rejection};
use alloc::vec;
use alloc::vec::Vec;

/// A step of an active complex order, beyond its minimum.
#[derive(Clone, Copy, Debug)]
pub(in crate::clearing) struct ActiveStep {
    pub(in crate::clearing) price: i64,
    /// Lots; positive sells, negative buys.
    pub(in crate::clearing) lots: i64,
    item: usize,
}

/// The decisions of a finished search.
#[derive(Clone, Debug)]
pub(in crate::clearing) struct Decided {
    model: Model,
    levels: Vec<i64>,
    /// Published prices, index: cell.
    pub(in crate::clearing) prices: Vec<i64>,
    /// Lots injected whatever the price, index: cell.
    pub(in crate::clearing) injected: Vec<i64>,
    /// Steps of active complex orders by cell, then price.
    steps: Vec<ActiveStep>,
    steps_start: Vec<usize>,
    /// Lots of each part of an item.
    lots: Vec<i64>,
    /// Grid units.
    pub(in crate::clearing) welfare: i128,
    pub(in crate::clearing) bound: i128,
    /// The search ended before what would earn was tried again.
    cut_short: bool,
    /// What is injected costs, grid units.
    pub(in crate::clearing) cost: i128,
}

impl Search {
    /// Hands over the best decisions.
    pub(in crate::clearing) fn decide(self, book: &AuctionBook) -> Decided {
        let (bound, retried) = (self.bound(), self.retried);
        let Self { model, grid, mut exact, .. } = self;
        let best = exact.best.clone().expect("rejecting everything is legal and was tried first");
        let scene = super::relax::Scene { book, grid: &grid, model: &model };
        exact.assign(scene, &best.levels);
        let cells = model.areas * model.periods;
        let (mut steps, mut steps_start) = (Vec::new(), vec![0]);
        for cell in 0..cells {
            for (item, price, lots) in exact.market.active_steps(&grid, cell) {
                steps.push(ActiveStep { price, lots: lots * model.items[item].sign, item });
            }
            steps_start.push(steps.len());
        }
        let mut lots = vec![0; model.parts.len()];
        for item in 0..model.items.len() {
            for at in model.items[item].parts.clone() {
                lots[at] = model.parts[at].lots * best.levels[item] / WHOLE;
            }
        }
        Decided {
            injected: (0..cells).map(|cell| exact.market.injected(cell)).collect(),
            prices: best.prices,
            levels: best.levels,
            steps,
            steps_start,
            lots,
            welfare: best.welfare,
            bound,
            cut_short: !retried && bound > best.welfare,
            cost: exact.cost,
            model,
        }
    }
}

impl Decided {
    /// Steps of active complex orders in a cell, cheapest first.
    pub(in crate::clearing) fn steps(&self, cell: usize) -> &[ActiveStep] {
        &self.steps[self.steps_start[cell]..self.steps_start[cell + 1]]
    }

    /// Complex orders with a step at a price: (part of [`Self::accept`], order, lots).
    pub(in crate::clearing) fn tied(
        &self,
        cell: usize,
        price: i64,
        sign: i64,
    ) -> Vec<(usize, ComplexHandle, i64)> {
        let mut tied: Vec<(usize, ComplexHandle, i64)> = Vec::new();
        for step in self.steps(cell) {
            if step.price != price || step.lots.signum() != sign {
                continue;
            }
            let part = self.part(step.item, cell);
            match tied.iter_mut().find(|it| it.0 == part) {
                Some(entry) => entry.2 += step.lots.abs(),
                None => {
                    if let Order::Complex(handle) = self.model.items[step.item].order {
                        tied.push((part, handle, step.lots.abs()));
                    }
                }
            }
        }
        tied
    }

    /// Welfare of the steps of a cell that are better than a price.
    pub(in crate::clearing) fn steps_value(&self, cell: usize, price: i64) -> i128 {
        let better = |it: &&ActiveStep| if it.lots > 0 { it.price < price } else { it.price > price };
        self.steps(cell).iter().filter(better).map(|it| -i128::from(it.price) * i128::from(it.lots)).sum()
    }

    fn part(&self, item: usize, cell: usize) -> usize {
        let mut parts = self.model.items[item].parts.clone();
        parts.find(|&part| self.model.parts[part].cell == cell).expect("a step stands in a part of its order")
    }

    /// Accepts every step that is better than the price.
    pub(in crate::clearing) fn accept_better(&mut self, cell: usize, price: i64) {
        for at in self.steps_start[cell]..self.steps_start[cell + 1] {
            let step = self.steps[at];
            if if step.lots > 0 { step.price < price } else { step.price > price } {
                let part = self.part(step.item, cell);
                self.lots[part] += step.lots.abs();
            }
        }
    }

    /// Accepts lots of a tie.
    pub(in crate::clearing) fn accept(&mut self, part: usize, lots: i64) {
        self.lots[part] += lots;
    }

    /// Writes decisions and reasons. A rejected order that would earn says why by the first that
    /// holds: its family would lose, its parent is rejected, its group is taken, the work limit came
    /// before it was tried, and otherwise it is paradoxically rejected.
    pub(in crate::clearing) fn write(self, outcome: &mut Outcome) {
        let model = &self.model;
        for (item, entry) in model.items.iter().enumerate() {
            let level = self.levels[item];
            if level == 0 {
                let surplus = model.surplus(item, &self.prices).surplus;
                let reason = self.reason(item, surplus);
                match entry.order {
                    Order::Block(handle) => {
                        outcome.blocks_rejected.push(Rejected { handle, reason, surplus })
                    }
                    Order::Complex(handle) => {
                        outcome.complex_rejected.push(Rejected { handle, reason, surplus })
                    }
                }
                continue;
            }
            match entry.order {
                Order::Block(handle) => {
                    outcome.blocks.push((handle, u32::try_from(level).expect("a ratio is at most whole")));
                }
                Order::Complex(handle) => {
                    outcome
                        .complex
                        .push(ComplexFill { handle, quantity: self.lots[entry.parts.clone()].to_vec() });
                }
            }
        }
    }

    fn reason(&self, item: usize, surplus: i128) -> Rejection {
        let (model, entry) = (&self.model, &self.model.items[item]);
        if surplus <= 0 {
            return Rejection::OutOfTheMoney;
        }
        if let Some(parent) = entry.parent
            && self.levels[parent] == 0
        {
            return if self.family_loses(item) { Rejection::LossOfFamily } else { Rejection::ParentRejected };
        }
        if let Some(group) = entry.group
            && model.groups[group].iter().map(|&it| self.levels[it]).sum::<i64>() >= WHOLE
        {
            return Rejection::GroupTaken;
        }
        if self.cut_short { Rejection::WorkLimit } else { Rejection::ParadoxicallyRejected }
    }

    /// True if accepting an item with its rejected ancestors, and whatever else below them would
    /// earn, would lose at the published prices.
    fn family_loses(&self, item: usize) -> bool {
        let model = &self.model;
        let mut path = vec![item];
        let mut top = item;
        while let Some(parent) = model.items[top].parent
            && self.levels[parent] == 0
        {
            path.push(parent);
            top = parent;
        }
        fn worth(decided: &Decided, path: &[usize], item: usize) -> i128 {
            let model = &decided.model;
            let own = model.surplus(item, &decided.prices).surplus;
            let children: i128 = model.items[item]
                .children
                .iter()
                .map(|&child| {
                    let worth = worth(decided, path, child);
                    if path.contains(&child) { worth } else { worth.max(0) }
                })
                .sum();
            own + children
        }
        worth(self, &path, top) < 0
    }
}

#[cfg(feature = "broken-search")]
impl Decided {
    /// Breaks what is about to be published; false if there is nothing to break in this way.
    pub(in crate::clearing) fn corrupt(&mut self, fault: crate::clearing::Fault) -> bool {
        use crate::clearing::Fault;
        let Self { model, levels, lots, .. } = self;
        let of = |wanted: bool, pick: usize| {
            let items: Vec<usize> = (0..levels.len()).filter(|&it| (levels[it] > 0) == wanted).collect();
            items.get(pick.checked_rem(items.len())?).copied()
        };
        let item = match fault {
            Fault::Accepts(pick) => of(false, pick),
            Fault::Rejects(pick) | Fault::Ratio(pick) | Fault::Lots(pick) => of(true, pick),
            Fault::Bound => {
                self.bound = self.welfare - 1;
                return true;
            }
        };
        let Some(item) = item else { return false };
        let (parts, is_block) =
            (model.items[item].parts.clone(), matches!(model.items[item].order, Order::Block(_)));
        match fault {
            Fault::Accepts(_) => {
                levels[item] = WHOLE;
                lots[parts.start] += 1;
            }
            Fault::Rejects(_) => levels[item] = 0,
            // Half a ratio is a lot less somewhere, or a period without any.
            Fault::Ratio(_) if is_block => levels[item] = (levels[item] / 2).max(1),
            Fault::Lots(_) if !is_block => lots[parts.start] += 1,
            Fault::Ratio(_) | Fault::Lots(_) | Fault::Bound => return false,
        }
        true
    }
}
