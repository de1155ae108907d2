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

/// A part in short, for the walks over all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flat {
    cell: u32,
    pub(super) lots: i64,
}

impl Flat {
    pub(super) fn cell(self) -> usize {
        index(self.cell)
    }
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
    /// In the periods that earn alone; only where rounding may help.
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
    /// Parts of items looked at.
    pub(super) toil: u64,
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
            self.toil += u64::try_from(self.parts.len()).expect("a length fits");
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

/// Parts of blocks that are added in one go.
const ADDED_AT_ONCE: usize = 20_000;

/// Where items stand while they are added.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    /// Item of each block's handle.
    item_of: Vec<usize>,
    /// (group as the book counts, group here), sorted.
    group_of: Vec<(u32, usize)>,
}

/// All items of an auction.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) items: Vec<Item>,
    pub(super) parts: Vec<Part>,
    /// The same parts.
    pub(super) flat: Vec<Flat>,
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
        Self {
            scale: i128::from(frame.welfare_scale),
            periods: usize::from(frame.periods),
            areas: frame.areas.len(),
            touching: vec![Vec::new(); usize::from(frame.periods)],
            ..Self::default()
        }
    }

    /// Adds some of the blocks, from a handle on; where to go on, if there are more.
    pub(super) fn add_blocks(&mut self, book: &AuctionBook, links: &mut Links, from: u32) -> Option<u32> {
        let until = self.parts.len() + ADDED_AT_ONCE;
        links.item_of.resize(index(book.block_handles()), usize::MAX);
        for handle in from..book.block_handles() {
            if self.parts.len() > until {
                return Some(handle);
            }
            let handle = BlockHandle(handle);
            let Some(order) = book.block(handle) else { continue };
            links.item_of[index(handle.0)] = self.items.len();
            self.add_block(handle, order);
            if let Some(group) = order.group {
                let at = match links.group_of.binary_search_by_key(&group, |it| it.0) {
                    Ok(at) => links.group_of[at].1,
                    Err(at) => {
                        links.group_of.insert(at, (group, self.groups.len()));
                        self.groups.push(Vec::new());
                        self.groups.len() - 1
                    }
                };
                let item = self.items.len() - 1;
                self.groups[at].push(item);
                self.items[item].group = Some(at);
            }
        }
        None
    }

    /// Links families and adds complex orders, once all blocks are in.
    pub(super) fn close(&mut self, book: &AuctionBook, links: &Links) {
        for (handle, _, order) in book.blocks() {
            if let Some(parent) = order.parent {
                let (item, parent) = (links.item_of[index(handle.0)], links.item_of[index(parent.0)]);
                self.items[item].parent = Some(parent);
                self.items[parent].children.push(item);
            }
        }
        for (handle, _, order) in book.complex_orders() {
            self.add_complex(handle, order);
        }
        self.complex = (0..self.items.len()).filter(|&item| self.is_complex(item)).collect();
        self.gather_units();
    }

    /// Lists the parts in other orders, once all items are in.
    pub(super) fn list_parts(&mut self) {
        let small = |cell: usize| u32::try_from(cell).expect("limits of periods and areas multiply to less");
        self.flat = self.parts.iter().map(|it| Flat { cell: small(it.cell), lots: it.lots }).collect();
        for (at, item) in self.items.iter().enumerate() {
            for part in &self.parts[item.parts.clone()] {
                self.touching[part.period].push(at);
            }
        }
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

    /// The parts of an item in short.
    pub(super) fn flat(&self, item: usize) -> &[Flat] {
        &self.flat[self.items[item].parts.clone()]
    }

    pub(super) fn is_complex(&self, item: usize) -> bool {
        matches!(self.items[item].order, Order::Complex(_))
    }

    /// What an item earns at prices (index: cell), wholly accepted; grid units of welfare.
    pub(super) fn surplus(&self, item: usize, prices: &[i64]) -> Earning {
        let entry = &self.items[item];
        if matches!(entry.order, Order::Block(_)) {
            return self.surplus_of_block(entry, prices);
        }
        let sign = i128::from(entry.sign);
        let (mut earned, mut lost) = (0, 0);
        for part in self.parts(item) {
            let price = i128::from(prices[part.cell]);
            let must = sign * (price * i128::from(part.lots) - part.cost);
            if must > 0 {
                earned += must;
            } else {
                lost -= must;
            }
            for step in &self.steps[part.steps.clone()] {
                let margin = sign * (price - i128::from(step.price));
                if margin <= 0 {
                    break;
                }
                earned += margin * i128::from(step.quantity);
            }
        }
        let surplus = (earned - lost) * self.scale - entry.fixed;
        Earning { surplus, earned: 0, loose: 0, top: surplus }
    }

    fn surplus_of_block(&self, entry: &Item, prices: &[i64]) -> Earning {
        let margin = |part: &Flat| prices[part.cell()] - entry.price;
        let flat = &self.flat[entry.parts.clone()];
        if entry.least >= WHOLE {
            let sum: i128 = flat.iter().map(|it| i128::from(margin(it)) * i128::from(it.lots)).sum();
            let surplus = self.scaled(if entry.sign > 0 { sum } else { -sum });
            return Earning { surplus, earned: 0, loose: 0, top: surplus };
        }
        let (mut earned, mut lost, mut lots_lose) = (0, 0, 0);
        for part in flat {
            let margin = entry.sign * margin(part);
            let must = i128::from(margin) * i128::from(part.lots);
            if must > 0 {
                earned += must;
            } else {
                lost -= must;
                lots_lose -= i128::from(margin);
            }
        }
        let surplus = self.scaled(earned - lost);
        let loose = self.scaled(lots_lose.min(lost));
        Earning { surplus, earned: self.scaled(earned), loose, top: surplus }
    }

    /// Price ticks × lots in grid units: most auctions count in them.
    pub(super) fn scaled(&self, value: i128) -> i128 {
        if self.scale == 1 { value } else { value * self.scale }
    }

    /// As [`Self::surplus`], with a bound on what rounding may add.
    pub(super) fn surplus_rounded(&self, item: usize, prices: &[i64], scratch: &mut Rounding) -> Earning {
        scratch.toil += 2 + u64::try_from(self.items[item].parts.len()).expect("a length fits");
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
        for part in self.flat(item) {
            let lots = part.lots * ratio / WHOLE;
            sum += i128::from(prices[part.cell()] - entry.price) * i128::from(lots);
        }
        self.scaled(if entry.sign > 0 { sum } else { -sum })
    }

    /// True if every ratio from `least` to `most` accepts the same lots.
    pub(super) fn same_lots(&self, item: usize, least: i64, most: i64) -> bool {
        let same = |part: &Flat| part.lots * least / WHOLE == part.lots * most / WHOLE;
        least == most || self.flat(item).iter().all(same)
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
