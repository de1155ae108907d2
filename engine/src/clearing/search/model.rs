//! Blocks and complex orders as the search sees them: items with their periods, families and groups.

use crate::auction::{BlockHandle, ComplexHandle, Point, Side};
use crate::book::AuctionBook;
use crate::limits::RATIO_UNIT;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// The whole ratio, in millionths.
pub(super) const WHOLE: i64 = 1_000_000;
const _: () = assert!(RATIO_UNIT == 1_000_000);

/// Which order an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Block(BlockHandle),
    Complex(ComplexHandle),
}

/// What an item injects in one period.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) period: usize,
    /// Index `period × areas + area`.
    pub(super) cell: usize,
    /// Lots that run when the item is whole: a block's quantity, a complex order's minimum.
    pub(super) lots: i64,
    /// Σ limit price × lots of them.
    pub(super) cost: i128,
    /// Steps beyond the minimum, in merit order.
    pub(super) steps: Range<usize>,
}

/// A block or a complex order.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) order: Order,
    /// +1 sells, −1 buys.
    pub(super) sign: i64,
    /// Limit price of a block.
    pub(super) price: i64,
    /// Least ratio at which it can be accepted: its own, and one lot in every period.
    pub(super) least: i64,
    /// Fixed term, grid units of welfare.
    pub(super) fixed: i128,
    pub(super) parent: Option<usize>,
    pub(super) children: Vec<usize>,
    pub(super) group: Option<usize>,
    pub(super) unit: usize,
    pub(super) parts: Range<usize>,
}

/// What an item earns at prices; grid units of welfare.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Earning {
    /// Wholly accepted.
    pub(super) surplus: i128,
    /// In the periods that earn alone.
    pub(super) earned: i128,
    /// At ratio r it earns at most r × surplus and this more: rounding spares a losing period less
    /// than one lot.
    pub(super) loose: i128,
    /// No ratio from the least to the whole earns more than this, rounding included; only where
    /// rounding may help.
    pub(super) top: i128,
}

/// Lots of a block as its ratio moves from step to step.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounding {
    /// (lots, margin of one, lots of the whole, ratio at which the next step comes).
    parts: Vec<(i64, i64, i64, i64)>,
}

/// Steps that are walked before the rest is bounded by a straight line.
const STEPS: usize = 256;

impl Rounding {
    /// The most that a block earns at any of its ratios, price ticks × lots. At ratio r it earns at
    /// most r × `surplus` + `loose`: so the walk starts at the end that earns and ends where that line
    /// has fallen below the best found.
    fn top(&mut self, model: &Model, item: usize, prices: &[i64], surplus: i128, loose: i128) -> i128 {
        let entry = &model.items[item];
        let falls = surplus > 0;
        let mut ratio = if falls { WHOLE } else { entry.least };
        let mut earned = 0;
        self.parts.clear();
        for part in model.parts(item) {
            let margin = entry.sign * (prices[part.cell] - entry.price);
            let lots = part.lots * ratio / WHOLE;
            earned += i128::from(lots) * i128::from(margin);
            self.parts.push((lots, margin, part.lots, next_ratio(lots, part.lots, falls)));
        }
        let mut best = earned;
        for _ in 0..STEPS {
            let next = self.parts.iter().map(|it| it.3);
            let next = if falls { next.max() } else { next.min() };
            let Some(at) = next.filter(|&at| if falls { at > entry.least } else { at <= WHOLE }) else {
                return best;
            };
            // Falling, a step holds until just below the ratio at which its lots begin.
            ratio = if falls { at - 1 } else { at };
            if surplus * i128::from(ratio) / i128::from(WHOLE) + 1 + loose <= best {
                return best;
            }
            for part in self.parts.iter_mut().filter(|it| it.3 == at) {
                let change = if falls { -1 } else { 1 };
                part.0 += change;
                earned += i128::from(change * part.1);
                part.3 = next_ratio(part.0, part.2, falls);
            }
            best = best.max(earned);
        }
        best.max(surplus * i128::from(ratio) / i128::from(WHOLE) + 1 + loose)
    }
}

/// The ratio at which `lots` of `whole` begin, or, rising, at which one more begins.
fn next_ratio(lots: i64, whole: i64, falls: bool) -> i64 {
    let lots = if falls { lots } else { lots + 1 };
    (lots * WHOLE + whole - 1) / whole
}

/// All items of an auction.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) items: Vec<Item>,
    pub(super) parts: Vec<Part>,
    pub(super) steps: Vec<Point>,
    /// Members of each exclusive group.
    pub(super) groups: Vec<Vec<usize>>,
    /// Items that decide each other, children before their parents.
    pub(super) units: Vec<Vec<usize>>,
    /// Grid units per price tick and lot.
    pub(super) scale: i128,
    pub(super) periods: usize,
    pub(super) areas: usize,
    /// Complex orders.
    pub(super) complex: Vec<usize>,
    /// Items that touch each period.
    pub(super) touching: Vec<Vec<usize>>,
}

impl Model {
    pub(super) fn new(book: &AuctionBook) -> Self {
        let frame = book.frame();
        let mut model = Self {
            scale: i128::from(frame.welfare_scale),
            periods: usize::from(frame.periods),
            areas: frame.areas.len(),
            touching: vec![Vec::new(); usize::from(frame.periods)],
            ..Self::default()
        };
        let mut item_of = vec![usize::MAX; index(book.block_handles())];
        let mut group_of: Vec<(u32, usize)> = Vec::new();
        for (handle, _, order) in book.blocks() {
            item_of[index(handle.0)] = model.items.len();
            model.add_block(handle, order);
            if let Some(group) = order.group {
                let at = match group_of.binary_search_by_key(&group, |it| it.0) {
                    Ok(at) => group_of[at].1,
                    Err(at) => {
                        group_of.insert(at, (group, model.groups.len()));
                        model.groups.push(Vec::new());
                        model.groups.len() - 1
                    }
                };
                let item = model.items.len() - 1;
                model.groups[at].push(item);
                model.items[item].group = Some(at);
            }
        }
        for (handle, _, order) in book.blocks() {
            if let Some(parent) = order.parent {
                let (item, parent) = (item_of[index(handle.0)], item_of[index(parent.0)]);
                model.items[item].parent = Some(parent);
                model.items[parent].children.push(item);
            }
        }
        for (handle, _, order) in book.complex_orders() {
            model.add_complex(handle, order);
        }
        model.complex = (0..model.items.len()).filter(|&item| model.is_complex(item)).collect();
        model.gather_units();
        for (at, item) in model.items.iter().enumerate() {
            for part in &model.parts[item.parts.clone()] {
                model.touching[part.period].push(at);
            }
        }
        model
    }

    fn add_block(&mut self, handle: BlockHandle, order: &crate::auction::BlockOrder) {
        let start = self.parts.len();
        let mut least = i64::from(order.ratio_min);
        for &(period, lots) in &order.quantity {
            least = least.max((WHOLE + lots - 1) / lots);
            self.parts.push(Part {
                period: usize::from(period),
                cell: usize::from(period) * self.areas + usize::from(order.area),
                lots,
                cost: i128::from(lots) * i128::from(order.price),
                steps: 0..0,
            });
        }
        self.items.push(Item {
            order: Order::Block(handle),
            sign: order.side.sign(),
            price: order.price,
            least,
            fixed: 0,
            parent: None,
            children: Vec::new(),
            group: None,
            unit: 0,
            parts: start..self.parts.len(),
        });
    }

    fn add_complex(&mut self, handle: ComplexHandle, order: &crate::auction::ComplexOrder) {
        let start = self.parts.len();
        for curve in &order.curve {
            let mut points = curve.points.clone();
            match order.side {
                Side::Buy => points.sort_unstable_by_key(|point| core::cmp::Reverse(point.price)),
                Side::Sell => points.sort_unstable_by_key(|point| point.price),
            }
            let (mut must, mut cost) = (curve.quantity_min, 0);
            let steps = self.steps.len();
            for point in points {
                let run = point.quantity.min(must);
                must -= run;
                cost += i128::from(run) * i128::from(point.price);
                if point.quantity > run {
                    self.steps.push(Point { price: point.price, quantity: point.quantity - run });
                }
            }
            self.parts.push(Part {
                period: usize::from(curve.period),
                cell: usize::from(curve.period) * self.areas + usize::from(order.area),
                lots: curve.quantity_min,
                cost,
                steps: steps..self.steps.len(),
            });
        }
        self.items.push(Item {
            order: Order::Complex(handle),
            sign: order.side.sign(),
            price: 0,
            least: WHOLE,
            fixed: order.fixed,
            parent: None,
            children: Vec::new(),
            group: None,
            unit: 0,
            parts: start..self.parts.len(),
        });
    }

    fn gather_units(&mut self) {
        let mut seen = vec![false; self.items.len()];
        for start in 0..self.items.len() {
            if seen[start] {
                continue;
            }
            seen[start] = true;
            let mut members = vec![start];
            let mut head = 0;
            while let Some(&item) = members.get(head) {
                head += 1;
                let entry = &self.items[item];
                let group = entry.group.map_or(&[][..], |group| &self.groups[group]);
                for &other in entry.parent.iter().chain(&entry.children).chain(group) {
                    if !seen[other] {
                        seen[other] = true;
                        members.push(other);
                    }
                }
            }
            members.sort_by_key(|&item| (core::cmp::Reverse(self.depth(item)), item));
            for &item in &members {
                self.items[item].unit = self.units.len();
            }
            self.units.push(members);
        }
    }

    fn depth(&self, mut item: usize) -> usize {
        let mut depth = 0;
        while let Some(parent) = self.items[item].parent {
            item = parent;
            depth += 1;
        }
        depth
    }

    pub(super) fn parts(&self, item: usize) -> &[Part] {
        &self.parts[self.items[item].parts.clone()]
    }

    pub(super) fn is_complex(&self, item: usize) -> bool {
        matches!(self.items[item].order, Order::Complex(_))
    }

    /// What an item earns at prices (index: cell), wholly accepted; grid units of welfare.
    pub(super) fn surplus(&self, item: usize, prices: &[i64]) -> Earning {
        let entry = &self.items[item];
        let sign = i128::from(entry.sign);
        let (mut earned, mut lost, mut lots_lose) = (0, 0, 0);
        for part in self.parts(item) {
            let price = i128::from(prices[part.cell]);
            let must = sign * (price * i128::from(part.lots) - part.cost);
            if must > 0 {
                earned += must;
            } else {
                lost -= must;
                lots_lose += sign * (i128::from(entry.price) - price);
            }
            for step in &self.steps[part.steps.clone()] {
                let margin = sign * (price - i128::from(step.price));
                if margin <= 0 {
                    break;
                }
                earned += margin * i128::from(step.quantity);
            }
        }
        let loose = if entry.least >= WHOLE { 0 } else { lots_lose.min(lost) * self.scale };
        let surplus = (earned - lost) * self.scale - entry.fixed;
        Earning { surplus, earned: earned * self.scale, loose, top: surplus }
    }

    /// As [`Self::surplus`], with a bound on what rounding may add.
    pub(super) fn surplus_rounded(&self, item: usize, prices: &[i64], scratch: &mut Rounding) -> Earning {
        let mut earning = self.surplus(item, prices);
        if earning.loose > 0 {
            let loose = earning.loose / self.scale;
            earning.top = scratch.top(self, item, prices, earning.surplus / self.scale, loose) * self.scale;
        }
        earning
    }

    /// What an item earns at a ratio, in whole lots.
    pub(super) fn surplus_at(&self, item: usize, ratio: i64, prices: &[i64]) -> i128 {
        let entry = &self.items[item];
        if ratio == WHOLE || matches!(entry.order, Order::Complex(_)) {
            return self.surplus(item, prices).surplus;
        }
        let mut sum = 0;
        for part in self.parts(item) {
            let lots = part.lots * ratio / WHOLE;
            sum += i128::from(prices[part.cell] - entry.price) * i128::from(lots);
        }
        sum * i128::from(entry.sign) * self.scale
    }

    /// True if every ratio from `least` to `most` accepts the same lots.
    pub(super) fn same_lots(&self, item: usize, least: i64, most: i64) -> bool {
        self.parts(item).iter().all(|part| part.lots * least / WHOLE == part.lots * most / WHOLE)
    }

    /// Least ratio above `ratio` at which some period accepts a lot more; more than whole if none.
    pub(super) fn next_step(&self, item: usize, ratio: i64) -> i64 {
        let mut next = WHOLE + 1;
        for part in self.parts(item) {
            let lots = part.lots * ratio / WHOLE + 1;
            if lots <= part.lots {
                next = next.min((lots * WHOLE + part.lots - 1) / part.lots);
            }
        }
        next
    }
}

pub(super) fn index(value: u32) -> usize {
    usize::try_from(value).expect("a u32 fits an index on every platform we build for")
}
