//! Every period of an auction, re-priced exactly after each change of what is injected.
//!
//! One type serves two ends. *Exact*: items stand at a ratio in millionths, quantities are whole lots,
//! prices lie within the bounds of the auction. *Relaxed*: items stand at a share in units of
//! 2^−shift, quantities are counted in the same units, prices may leave the bounds, and curves may be
//! smoothed: a step's lots are spread evenly over a window of ticks around its price, so that prices
//! answer continuously to what is injected.

use super::super::linear;
use super::super::network::{Flows, Network, Router};
use super::super::price::{MeritOrders, Pricing, Still};
use super::model::{Model, WHOLE};
use super::table::Table;
use crate::auction::{Point, Shape};
use crate::book::{AuctionBook, Cell};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// One step of a complex order in its cell.
#[derive(Clone, Debug)]
struct Step {
    price: i64,
    lots: i64,
    sign: i64,
    item: usize,
}

/// Points of curves that are added in one go.
const POINTS_AT_ONCE: usize = 16_000;
/// Periods that are priced in one go.
const PRICED_AT_ONCE: u64 = 12;
/// Levels that are looked at around one.
const NEAR: usize = 8;
/// Buckets of the index over the prices of a cell's levels.
const BUCKETS: usize = 64;

#[derive(Clone, Debug)]
struct GridCell {
    levels: Range<usize>,
    /// Lowest price of a level, and how wide a bucket of the index is: 2^log ticks.
    first: i64,
    log: u32,
    linear: Range<usize>,
    steps: Range<usize>,
}

/// What never changes: the curves of every area and period, and the steps that complex orders add.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    price_min: i64,
    price_max: i64,
    areas: usize,
    lines: usize,
    cells: Vec<GridCell>,
    /// First level whose price lies above the start of each bucket; BUCKETS + 1 of each cell.
    index: Vec<usize>,
    /// Price of a level; the first of each cell lies below every price.
    price: Vec<i64>,
    /// S(p) − D(p+1) from this level to the next.
    surplus: Vec<i64>,
    /// Value at p from this level to the next: surplus × p + constant.
    constant: Vec<i128>,
    linear: Vec<Vec<Point>>,
    steps: Vec<Step>,
    /// Steps of complex orders in the cells that are not in yet.
    waiting: Vec<Vec<Step>>,
    /// Lots of all curves, items and lines together.
    lots: i128,
}

/// (price, lots wanted, lots offered) of the step orders of a cell, cheapest first.
fn levels(cell: &Cell) -> Vec<(i64, i64, i64)> {
    let levels = cell.levels();
    let all = levels.single().chain(levels.arrivals().iter().copied());
    let mut all: Vec<(i64, i64, i64)> = all.map(|it| (it.price, it.buy, it.sell)).collect();
    all.sort_unstable_by_key(|it| it.0);
    all.dedup_by(|next, it| {
        let same = next.0 == it.0;
        if same {
            (it.1, it.2) = (it.1 + next.1, it.2 + next.2);
        }
        same
    });
    all.retain(|it| it.1 != 0 || it.2 != 0);
    all
}

impl Grid {
    /// No cell has its curves yet.
    pub(super) fn new(book: &AuctionBook, model: &Model) -> Self {
        let frame = book.frame();
        let mut grid = Self {
            price_min: frame.price_min,
            price_max: frame.price_max,
            areas: model.areas,
            lines: frame.lines.len(),
            cells: Vec::with_capacity(model.areas * model.periods),
            index: Vec::new(),
            price: Vec::new(),
            surplus: Vec::new(),
            constant: Vec::new(),
            linear: Vec::new(),
            steps: Vec::new(),
            waiting: Vec::new(),
            lots: 0,
        };
        let mut steps: Vec<Vec<Step>> = vec![Vec::new(); model.areas * model.periods];
        for (item, entry) in model.items.iter().enumerate() {
            for part in model.parts(item) {
                grid.lots += i128::from(part.lots);
                for step in &model.steps[part.steps.clone()] {
                    grid.lots += i128::from(step.quantity);
                    let (price, lots) = (step.price, step.quantity);
                    steps[part.cell].push(Step { price, lots, sign: entry.sign, item });
                }
            }
        }
        grid.waiting = steps;
        for line in &frame.lines {
            let both = line.capacity.iter().chain(&line.capacity_back);
            grid.lots += both.map(|&lots| i128::from(lots)).sum::<i128>();
        }
        grid
    }

    /// Adds the curves of some cells; how many points that took, and true once all are in.
    pub(super) fn add_some(&mut self, book: &AuctionBook) -> (usize, bool) {
        let mut points = 0;
        while self.cells.len() < self.waiting.len() && points < POINTS_AT_ONCE {
            let cell = self.cells.len();
            let small = |it: usize| u16::try_from(it).expect("limits of periods and areas fit");
            let (period, area) = (small(cell / self.areas), small(cell % self.areas));
            let mut steps = core::mem::take(&mut self.waiting[cell]);
            steps.sort_by_key(|step| step.price);
            self.add_cell(book, period, area, steps);
            points += 100 + book.cell(period, area).points().len();
        }
        (points, self.cells.len() == self.waiting.len())
    }

    fn add_cell(&mut self, book: &AuctionBook, period: u16, area: u16, steps: Vec<Step>) {
        let cell = book.cell(period, area);
        let start = self.price.len();
        let levels = levels(cell);
        let (mut wanted, mut value) = (0, 0);
        for &(price, buy, sell) in &levels {
            wanted += buy;
            value += i128::from(price) * i128::from(buy);
            self.lots += i128::from(buy) + i128::from(sell);
        }
        self.price.push(i64::MIN);
        self.surplus.push(-wanted);
        self.constant.push(value);
        let mut surplus = -wanted;
        for (price, buy, sell) in levels {
            surplus += buy + sell;
            value -= i128::from(price) * i128::from(buy + sell);
            self.price.push(price);
            self.surplus.push(surplus);
            self.constant.push(value);
        }
        let linear_start = self.linear.len();
        if cell.linear_len() > 0 {
            for order in cell.orders().filter(|it| it.shape == Shape::Linear) {
                let most = order.points.iter().map(|point| point.quantity.abs()).max();
                self.lots += 2 * i128::from(most.unwrap_or(0));
                self.linear.push(order.points.to_vec());
            }
        }
        let steps_start = self.steps.len();
        self.steps.extend(steps);
        let (first, log) = self.index(start..self.price.len());
        self.cells.push(GridCell {
            levels: start..self.price.len(),
            first,
            log,
            linear: linear_start..self.linear.len(),
            steps: steps_start..self.steps.len(),
        });
    }

    /// The price in the middle of the bounds.
    pub(super) fn middle(&self) -> i64 {
        self.price_min + (self.price_max - self.price_min) / 2
    }

    /// True if curves are steps alone, and small enough for fixed-point numbers.
    pub(super) fn is_plain(&self) -> bool {
        self.linear.is_empty() && self.lots < 1 << 44 && self.price_max - self.price_min < 1 << 30
    }

    /// Lots that the step curves of a cell are left with from a level to the next.
    pub(super) fn lots(&self, level: usize) -> i64 {
        self.surplus[level]
    }

    /// The price at which a level of a cell begins; nothing below its first step and above its last.
    pub(super) fn step(&self, cell: usize, level: usize) -> Option<i64> {
        let levels = &self.cells[cell].levels;
        (level > levels.start && level < levels.end).then(|| self.price[level])
    }

    /// The level of a cell in which a price lies.
    pub(super) fn level(&self, cell: usize, price: i64) -> usize {
        let entry = &self.cells[cell];
        if price < entry.first {
            return entry.levels.start;
        }
        let bucket = usize::try_from((price - entry.first) >> entry.log).unwrap_or(BUCKETS);
        let Some(&[from, until]) =
            self.index.get(cell * (BUCKETS + 1) + bucket..).and_then(|it| it.first_chunk())
        else {
            return entry.levels.end - 1;
        };
        if bucket >= BUCKETS {
            return entry.levels.end - 1;
        }
        from + self.price[from..until].partition_point(|it| *it <= price) - 1
    }

    /// As [`Self::level`], looked for around a level first: prices mostly stay near where they were.
    fn level_near(&self, cell: usize, price: i64, near: usize) -> usize {
        let mut at = near;
        if self.price[at] <= price {
            let end = self.cells[cell].levels.end;
            for _ in 0..NEAR {
                if at + 1 == end || self.price[at + 1] > price {
                    return at;
                }
                at += 1;
            }
        } else {
            for _ in 0..NEAR {
                at -= 1;
                if self.price[at] <= price {
                    return at;
                }
            }
        }
        self.level(cell, price)
    }

    /// Indexes the levels of the last cell.
    fn index(&mut self, levels: Range<usize>) -> (i64, u32) {
        let prices = &self.price[levels.start + 1..levels.end];
        let (first, last) = (prices.first().copied().unwrap_or(0), prices.last().copied().unwrap_or(0));
        let mut log = 0;
        while (last - first) >> log >= 64 {
            log += 1;
        }
        let mut at = 0;
        for bucket in 0..=64_i64 {
            let from = first + (bucket << log);
            while at < prices.len() && prices[at] <= from {
                at += 1;
            }
            self.index.push(levels.start + 1 + at);
        }
        (first, log)
    }

    fn curve_surplus(&self, cell: usize, price: i64, near: usize, still: &mut Still) -> i64 {
        let level = self.level_near(cell, price, near);
        let mut sum = self.surplus[level];
        still.from = still.from.max(self.price[level]);
        if level + 1 < self.cells[cell].levels.end {
            still.until = still.until.min(self.price[level + 1]);
        }
        if !self.cells[cell].linear.is_empty() {
            *still = Still { from: price, until: price + 1 };
        }
        for points in &self.linear[self.cells[cell].linear.clone()] {
            sum += linear::surplus(points, price, (self.price_min, self.price_max));
        }
        sum
    }

    /// What the curves of a cell are left with at prices 2^log ticks apart.
    pub(super) fn sample(&self, cell: usize, base: i64, log: u32, nodes: &mut [i64]) {
        let end = self.cells[cell].levels.end;
        let mut level = self.level(cell, base);
        let mut price = base;
        for node in nodes.iter_mut() {
            while level + 1 < end && self.price[level + 1] <= price {
                level += 1;
            }
            *node = self.surplus[level];
            for points in &self.linear[self.cells[cell].linear.clone()] {
                *node += linear::surplus(points, price, (self.price_min, self.price_max));
            }
            price += 1 << log;
        }
    }

    /// What the curves of a cell earn at a price: Σ lots × distance of their limits to it.
    pub(super) fn value(&self, cell: usize, price: i64) -> i128 {
        self.value_from(cell, price, self.level(cell, price))
    }

    /// As [`Self::value`], the level of the price known.
    fn value_from(&self, cell: usize, price: i64, level: usize) -> i128 {
        let mut sum = i128::from(self.surplus[level]) * i128::from(price) + self.constant[level];
        for points in &self.linear[self.cells[cell].linear.clone()] {
            let (bought, sold) = (
                linear::demand(points, price + 1, self.price_max),
                linear::supply(points, price - 1, self.price_min),
            );
            sum += linear::buy_value(points, price, self.price_max, bought);
            sum -= linear::sell_value(points, price, self.price_min, sold);
            sum += i128::from(price) * i128::from(sold - bought);
        }
        sum
    }

    /// Congestion rent of a period at prices (index: area).
    pub(super) fn rent(&self, book: &AuctionBook, period: usize, prices: &[i64]) -> i128 {
        let mut sum = 0;
        for line in &book.frame().lines {
            let spread = prices[usize::from(line.to)] - prices[usize::from(line.from)];
            let lots = if spread > 0 { line.capacity[period] } else { -line.capacity_back[period] };
            sum += i128::from(spread) * i128::from(lots);
        }
        sum
    }
}

/// Scratch that pricing needs.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) network: Network,
    flows: Flows,
    router: Router,
    pricing: Pricing,
    /// Periods priced so far.
    pub(super) priced: u64,
    /// Parts of items walked over in long loops so far.
    pub(super) walked: u64,
}

impl Desk {
    pub(super) fn new(book: &AuctionBook) -> Self {
        let network = Network::new(book.frame());
        let mut router = Router::default();
        router.load(&network);
        Self { network, flows: Flows::default(), router, pricing: Pricing::default(), priced: 0, walked: 0 }
    }
}

/// Prices and flows of one period, to put back after a trial.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    lo: Vec<i64>,
    hi: Vec<i64>,
    flow: Vec<i64>,
    clears: bool,
}

/// All periods with what is injected in them.
#[derive(Clone, Debug)]
pub(super) struct Market {
    /// `None`: exact. Else shares are counted in 2^−shift.
    shift: Option<u32>,
    /// Smoothing: what the curves are read from; `None`: the curves themselves.
    pub(super) table: Option<Table>,
    floor: i64,
    ceiling: i64,
    /// Ratio or share of each item.
    pub(super) level: Vec<i64>,
    injected: Vec<i64>,
    /// Prefix sums over the complex steps of a cell; a cell's first entry is `steps.start + cell`.
    over_surplus: Vec<i64>,
    over_constant: Vec<i128>,
    /// Whether any complex order of the cell is active.
    over_any: Vec<bool>,
    pub(super) lo: Vec<i64>,
    pub(super) hi: Vec<i64>,
    flow: Vec<i64>,
    /// The level of each cell's curves in which its least price lies.
    near: Vec<usize>,
    clears: Vec<bool>,
    stale: Vec<bool>,
    /// Every period was priced before: where prices were tells where they are near.
    priced_once: bool,
}

/// The merit orders of one period of a market.
struct Orders<'a> {
    grid: &'a Grid,
    market: &'a Market,
    first: usize,
}

impl MeritOrders for Orders<'_> {
    fn price_min(&self) -> i64 {
        self.market.floor
    }

    fn price_max(&self) -> i64 {
        self.market.ceiling
    }

    fn stride(&self, first: i64, last: i64) -> i64 {
        self.market.table.as_ref().map_or((last - first) / 1024, |table| 1 << table.log)
    }

    fn surplus_around(&self, area: usize, price: i64, still: &mut Still) -> i64 {
        self.market.surplus(self.grid, self.first + area, price, still)
    }
}

impl Market {
    pub(super) fn exact(grid: &Grid, model: &Model) -> Self {
        Self::new(grid, model, None, grid.price_min, grid.price_max)
    }

    /// Shares are as fine as the lots of the auction allow without overflow.
    pub(super) fn relaxed(grid: &Grid, model: &Model) -> Self {
        let mut shift = 20;
        while shift > 0 && grid.lots << shift >= 1 << 60 {
            shift -= 1;
        }
        let room = 4 * (grid.price_max - grid.price_min + 1);
        Self::new(grid, model, Some(shift), grid.price_min - room, grid.price_max + room)
    }

    fn new(grid: &Grid, model: &Model, shift: Option<u32>, floor: i64, ceiling: i64) -> Self {
        let cells = model.areas * model.periods;
        let mut market = Self {
            shift,
            table: None,
            floor,
            ceiling,
            level: vec![0; model.items.len()],
            injected: vec![0; cells],
            over_surplus: vec![0; grid.steps.len() + cells],
            over_constant: vec![0; grid.steps.len() + cells],
            over_any: vec![false; cells],
            lo: vec![0; cells],
            hi: vec![0; cells],
            flow: vec![0; model.periods * grid.lines],
            near: grid.cells.iter().map(|it| it.levels.start).collect(),
            clears: vec![true; model.periods],
            stale: vec![true; model.periods],
            priced_once: false,
        };
        for cell in 0..cells {
            market.overlay(grid, cell);
        }
        market
    }

    /// The level at which an item is whole.
    pub(super) fn whole(&self) -> i64 {
        self.shift.map_or(WHOLE, |shift| 1 << shift)
    }

    fn amount(&self, lots: i64, level: i64) -> i64 {
        if self.shift.is_some() { lots * level } else { lots * level / WHOLE }
    }

    /// Sets the level of an item; prices of its periods are stale until they are refreshed.
    pub(super) fn set(&mut self, grid: &Grid, model: &Model, item: usize, level: i64) {
        let before = self.level[item];
        if before == level {
            return;
        }
        self.level[item] = level;
        let sign = model.items[item].sign;
        for part in model.parts(item) {
            let change = self.amount(part.lots, level) - self.amount(part.lots, before);
            self.injected[part.cell] += sign * change;
            if !part.steps.is_empty() {
                self.overlay(grid, part.cell);
            }
            self.stale[part.period] = true;
        }
    }

    /// Sums up the steps of the complex orders of a cell.
    fn overlay(&mut self, grid: &Grid, cell: usize) {
        let steps = grid.cells[cell].steps.clone();
        let mut at = steps.start + cell;
        let (mut surplus, mut constant, mut any) = (0, 0, false);
        for step in &grid.steps[steps.clone()] {
            let lots = self.amount(step.lots, self.level[step.item]);
            any |= lots > 0;
            if step.sign < 0 {
                surplus -= lots;
                constant += i128::from(lots) * i128::from(step.price);
            }
        }
        self.over_any[cell] = any;
        self.over_surplus[at] = surplus;
        self.over_constant[at] = constant;
        if !any {
            return;
        }
        for step in &grid.steps[steps] {
            let lots = self.amount(step.lots, self.level[step.item]);
            surplus += lots;
            constant -= i128::from(lots) * i128::from(step.price);
            at += 1;
            self.over_surplus[at] = surplus;
            self.over_constant[at] = constant;
        }
    }

    fn over(&self, grid: &Grid, cell: usize, price: i64) -> usize {
        let steps = grid.cells[cell].steps.clone();
        steps.start + cell + grid.steps[steps].partition_point(|step| step.price <= price)
    }

    /// Value of the complex steps of a cell at a price, in this market's units.
    fn over_value(&self, grid: &Grid, cell: usize, price: i64) -> i128 {
        if !self.over_any[cell] {
            return 0;
        }
        let at = self.over(grid, cell, price);
        i128::from(self.over_surplus[at]) * i128::from(price) + self.over_constant[at]
    }

    fn surplus(&self, grid: &Grid, cell: usize, price: i64, still: &mut Still) -> i64 {
        let shift = self.shift.unwrap_or(0);
        let Some(table) = &self.table else {
            let mut sum =
                (grid.curve_surplus(cell, price, self.near[cell], still) << shift) + self.injected[cell];
            if self.over_any[cell] {
                let at = self.over(grid, cell, price);
                let first = grid.cells[cell].steps.start + cell;
                if at > first {
                    still.from = still.from.max(grid.steps[at - cell - 1].price);
                }
                if at < grid.cells[cell].steps.end + cell {
                    still.until = still.until.min(grid.steps[at - cell].price);
                }
                sum += self.over_surplus[at];
            }
            return sum;
        };
        *still = Still { from: price, until: price + 1 };
        let curves = table.surplus(cell, price, shift);
        let mut sum =
            curves.unwrap_or_else(|| grid.curve_surplus(cell, price, self.near[cell], &mut *still) << shift);
        *still = Still { from: price, until: price + 1 };
        if self.over_any[cell] {
            let width = table.log;
            let (below, above) = (price - (1 << width), price + (1 << width));
            let over = self.over_value(grid, cell, above) - self.over_value(grid, cell, below);
            sum += i64::try_from(over >> (width + 1)).expect("an average of surpluses that fit");
        }
        sum + self.injected[cell]
    }

    /// Prices some of the periods whose injections changed; true if none is left.
    pub(super) fn refresh_some(&mut self, book: &AuctionBook, grid: &Grid, desk: &mut Desk) -> bool {
        let until = desk.priced + PRICED_AT_ONCE;
        for period in 0..self.stale.len() {
            if self.stale[period] {
                if desk.priced == until {
                    return false;
                }
                self.price(book, grid, desk, period);
            }
        }
        self.priced_once = true;
        true
    }

    /// All prices are to be found anew.
    pub(super) fn forget(&mut self) {
        self.stale.fill(true);
    }

    fn price(&mut self, book: &AuctionBook, grid: &Grid, desk: &mut Desk, period: usize) {
        let first = period * grid.areas;
        desk.flows.load(book.frame(), period);
        if let Some(shift) = self.shift {
            for lots in desk.flows.capacity.iter_mut().chain(&mut desk.flows.capacity_back) {
                *lots <<= shift;
            }
        }
        if self.priced_once {
            desk.pricing.expect(&self.lo[first..first + grid.areas]);
        }
        let orders = Orders { grid, market: self, first };
        let clears = desk.pricing.price(&desk.network, &orders, &mut desk.flows, &mut desk.router);
        desk.priced += 1;
        self.clears[period] = clears;
        let cells = first..first + grid.areas;
        self.lo[cells.clone()].copy_from_slice(&desk.pricing.lo);
        self.hi[cells].copy_from_slice(if clears { &desk.pricing.hi } else { &desk.pricing.lo });
        for cell in first..first + grid.areas {
            self.near[cell] = grid.level_near(cell, self.lo[cell], self.near[cell]);
        }
        let lines = period * grid.lines..(period + 1) * grid.lines;
        self.flow[lines].copy_from_slice(&desk.flows.flow);
        self.stale[period] = false;
    }

    /// True if every period clears.
    pub(super) fn all_clear(&self) -> bool {
        self.clears.iter().all(|it| *it)
    }

    /// True if the period clears.
    pub(super) fn clears(&self, period: usize) -> bool {
        self.clears[period]
    }

    /// Welfare of one period in price ticks × lots, what injected items cost apart. Exact only.
    pub(super) fn value(&self, book: &AuctionBook, grid: &Grid, period: usize) -> i128 {
        let cells = period * grid.areas..(period + 1) * grid.areas;
        let prices = &self.lo[cells.clone()];
        let mut sum = grid.rent(book, period, prices);
        for cell in cells {
            let price = self.lo[cell];
            sum += grid.value_from(cell, price, self.near[cell]) + self.over_value(grid, cell, price);
            sum += i128::from(price) * i128::from(self.injected[cell]);
        }
        sum
    }

    /// Room on a line of a period: (from → to, to → from).
    pub(super) fn room(&self, book: &AuctionBook, grid: &Grid, period: usize, line: usize) -> (bool, bool) {
        let flow = self.flow[period * grid.lines + line];
        let entry = &book.frame().lines[line];
        (flow < entry.capacity[period], flow > -entry.capacity_back[period])
    }

    /// What [`Self::put_back`] needs.
    pub(super) fn keep(&self, grid: &Grid, period: usize) -> Kept {
        let cells = period * grid.areas..(period + 1) * grid.areas;
        Kept {
            lo: self.lo[cells.clone()].to_vec(),
            hi: self.hi[cells].to_vec(),
            flow: self.flow[period * grid.lines..(period + 1) * grid.lines].to_vec(),
            clears: self.clears[period],
        }
    }

    /// True if a line of a relaxed period has room both ways.
    pub(super) fn room_relaxed(&self, book: &AuctionBook, grid: &Grid, period: usize, line: usize) -> bool {
        let (flow, shift) = (self.flow[period * grid.lines + line], self.shift.unwrap_or(0));
        let entry = &book.frame().lines[line];
        flow < entry.capacity[period] << shift && flow > -(entry.capacity_back[period] << shift)
    }

    /// Lots per tick of the curves of a cell around a price, times 2^16; at least 1.
    pub(super) fn slope(&self, cell: usize, price: i64) -> i64 {
        self.table.as_ref().map_or(1, |table| table.slope(cell, price))
    }

    /// Shares are counted in 2^−shift.
    pub(super) fn shift(&self) -> u32 {
        self.shift.unwrap_or(0)
    }

    /// Restores the prices of a period whose injections are again what they were.
    pub(super) fn put_back(&mut self, grid: &Grid, period: usize, kept: &Kept) {
        let cells = period * grid.areas..(period + 1) * grid.areas;
        self.lo[cells.clone()].copy_from_slice(&kept.lo);
        self.hi[cells].copy_from_slice(&kept.hi);
        self.flow[period * grid.lines..(period + 1) * grid.lines].copy_from_slice(&kept.flow);
        for cell in period * grid.areas..(period + 1) * grid.areas {
            self.near[cell] = grid.level_near(cell, self.lo[cell], self.near[cell]);
        }
        self.clears[period] = kept.clears;
        self.stale[period] = false;
    }

    /// Lots that leave each area over the lines of a fresh period, on balance.
    pub(super) fn net(&self, grid: &Grid, desk: &Desk, period: usize) -> Vec<i64> {
        let mut net = vec![0; grid.areas];
        for line in 0..grid.lines {
            let flow = self.flow[period * grid.lines + line];
            net[desk.network.from[line]] += flow;
            net[desk.network.to[line]] -= flow;
        }
        net
    }

    /// Moves lots from areas that give to areas that take, as far as the lines between equal prices have
    /// room beside the flows of a fresh period.
    pub(super) fn transfer(
        &self,
        book: &AuctionBook,
        grid: &Grid,
        desk: &mut Desk,
        period: usize,
        prices: &[i64],
        lots: (&mut [i64], &mut [i64]),
    ) {
        let Desk { network, flows, router, .. } = desk;
        flows.load(book.frame(), period);
        let first = period * grid.areas;
        for line in 0..grid.lines {
            flows.flow[line] = self.flow[period * grid.lines + line];
            flows.open[line] = prices[first + network.from[line]] == prices[first + network.to[line]];
        }
        let members: Vec<usize> = (0..grid.areas).collect();
        router.transfer(network, flows, &members, lots.0, lots.1);
    }

    /// Steps of active complex orders in a cell: (item, price, lots), for publication.
    pub(super) fn active_steps<'a>(
        &'a self,
        grid: &'a Grid,
        cell: usize,
    ) -> impl Iterator<Item = (usize, i64, i64)> + 'a {
        grid.steps[grid.cells[cell].steps.clone()]
            .iter()
            .filter(|step| self.level[step.item] > 0)
            .map(|step| (step.item, step.price, step.lots))
    }

    /// What is injected in a cell whatever the price.
    pub(super) fn injected(&self, cell: usize) -> i64 {
        self.injected[cell]
    }
}
