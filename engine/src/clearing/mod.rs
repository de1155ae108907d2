//! Finds prices, flows and fills for the orders of one auction.
//!
//! Clearing is a state machine that advances in bounded quanta of counted work, so that a large
//! auction never blocks the market and a standby continues from the same point.
//!
//! A period is a convex flow problem in whole ticks and lots: [`price`] finds its prices, [`share`]
//! and [`loops`] close what prices leave open, [`fill`] gives each order its part. Blocks and complex
//! orders are all rejected; [`decisions`] says why and bounds what they could have added.

mod curves;
mod decisions;
mod fill;
mod linear;
mod loops;
mod network;
mod price;
mod scaling;
mod share;

use crate::auction::{BlockHandle, ComplexHandle};
use crate::book::AuctionBook;
use crate::outcome::{Fill, Outcome};
use alloc::vec::Vec;
use core::ops::Range;

/// Points that are filled in one unit of work, blocks that are decided in one.
const POINTS_PER_UNIT: usize = 512;
const BLOCKS_PER_UNIT: u32 = 64;

/// Where a clearing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More quanta are needed.
    Running {
        /// Units of work done.
        done: u64,
        /// Units of work expected in all.
        total: u64,
    },
    /// [`Clearing::into_outcome`] has the result.
    Done,
}

/// The next step of a clearing.
#[derive(Clone, Copy, Debug)]
enum Step {
    Price { period: u16 },
    Fill { period: u16, area: u16 },
    Blocks { first: u32 },
    Complex { first: u32 },
    Done,
}

/// A clearing in progress.
#[derive(Clone, Debug)]
pub struct Clearing {
    network: network::Network,
    flows: network::Flows,
    router: network::Router,
    pricing: price::Pricing,
    sharing: share::Sharing,
    loops: loops::Loops,
    ties: fill::Ties,
    decisions: decisions::Decisions,
    /// Published prices of the period at hand.
    prices: Vec<i64>,
    next: Step,
    done: u64,
    total: u64,
    outcome: Outcome,
}

impl Clearing {
    /// Starts. Nothing is decided yet.
    #[must_use]
    pub fn start(book: &AuctionBook) -> Self {
        let frame = book.frame();
        let network = network::Network::new(frame);
        let periods = usize::from(frame.periods);
        let mut router = network::Router::default();
        router.load(&network);
        let curves = usize::try_from(book.curve_handles()).expect("a u32 fits an index");
        let outcome = Outcome {
            prices: Vec::with_capacity(periods * network.areas),
            flows: Vec::with_capacity(periods * network.lines),
            curves: alloc::vec![Fill::default(); curves],
            blocks: Vec::new(),
            complex: Vec::new(),
            blocks_rejected: Vec::new(),
            complex_rejected: Vec::new(),
            welfare: 0,
            bound: 0,
            work: 0,
        };
        let mut clearing = Self {
            network,
            flows: network::Flows::default(),
            router,
            pricing: price::Pricing::default(),
            sharing: share::Sharing::default(),
            loops: loops::Loops::default(),
            ties: fill::Ties::default(),
            decisions: decisions::Decisions::default(),
            prices: Vec::new(),
            next: Step::Price { period: 0 },
            done: 0,
            total: 0,
            outcome,
        };
        clearing.total = clearing.count(book);
        clearing
    }

    /// Works for about `quantum` units (at least one step, at most one step too many) and returns
    /// where it stands. The same book and the same total work give the same result, however the
    /// work is cut into quanta. The book is the one that [`Self::start`] saw, unchanged.
    pub fn advance(&mut self, book: &AuctionBook, quantum: u64) -> Progress {
        let until = self.done.saturating_add(quantum);
        loop {
            self.step(book);
            if matches!(self.next, Step::Done) {
                return Progress::Done;
            }
            if self.done >= until {
                return Progress::Running { done: self.done, total: self.total };
            }
        }
    }

    /// The result; call after [`Progress::Done`].
    #[must_use]
    pub fn into_outcome(self) -> Option<Outcome> {
        matches!(self.next, Step::Done).then_some(self.outcome)
    }

    /// Units of all steps: they depend on the size of the book alone.
    fn count(&self, book: &AuctionBook) -> u64 {
        let frame = book.frame();
        let (mut at, mut total) = (self.next, 0);
        while !matches!(at, Step::Done) {
            total += self.cost(book, at);
            at = following(book, at, frame.areas.len());
        }
        total
    }

    fn cost(&self, book: &AuctionBook, step: Step) -> u64 {
        let units = match step {
            Step::Price { .. } => 1 + self.network.areas + self.network.lines,
            Step::Fill { period, area } => 1 + book.cell(period, area).points_len() / POINTS_PER_UNIT,
            Step::Blocks { .. } | Step::Complex { .. } => 1,
            Step::Done => 0,
        };
        u64::try_from(units).expect("an index fits a u64")
    }

    fn step(&mut self, book: &AuctionBook) {
        let step = self.next;
        self.done += self.cost(book, step);
        match step {
            Step::Price { period } => self.price(book, period),
            Step::Fill { period, area } => {
                let frame = book.frame();
                let bounds = (frame.price_min, frame.price_max);
                let (cell, index) = (book.cell(period, area), usize::from(area));
                fill::fill(
                    &mut self.ties,
                    cell,
                    &self.sharing,
                    index,
                    self.prices[index],
                    bounds,
                    &mut self.outcome.curves,
                );
            }
            Step::Blocks { first } => {
                for handle in chunk(first, book.block_handles()) {
                    self.decisions.reject_block(book, &self.outcome.prices, BlockHandle(handle));
                }
            }
            Step::Complex { first } => {
                for handle in chunk(first, book.complex_handles()) {
                    self.decisions.reject_complex(book, &self.outcome.prices, ComplexHandle(handle));
                }
            }
            Step::Done => return,
        }
        self.next = following(book, step, self.network.areas);
        if matches!(self.next, Step::Done) {
            self.finish(book);
        }
    }

    /// Prices, flows and shares of one period.
    fn price(&mut self, book: &AuctionBook, period: u16) {
        let frame = book.frame();
        let Self { network, flows, router, pricing, sharing, loops, prices, outcome, .. } = self;
        let curves = &curves::Curves::load(book, period, &[]);
        flows.load(frame, usize::from(period));
        let clears = pricing.price(network, curves, flows, router);
        assert!(clears, "curves alone clear at some price: each may be left unaccepted");
        prices.clear();
        prices.extend(pricing.lo.iter().zip(&pricing.hi).map(|(lo, hi)| (lo + hi + 1).div_euclid(2)));
        sharing.share(network, curves, prices, &pricing.net, flows, router);
        loops.settle(network, flows, &mut sharing.ties);
        for (area, &price) in (0..).zip(prices.iter()) {
            outcome.welfare += curves::Curves::steps_value(book, period, area, price);
            let area = usize::from(area);
            let (bought, sold) = sharing.accepted(area);
            outcome.welfare += curves.linear_value(area, price);
            outcome.welfare += i128::from(price) * i128::from(bought - sold);
        }
        outcome.prices.extend_from_slice(prices);
        outcome.flows.extend_from_slice(&flows.flow);
    }

    fn finish(&mut self, book: &AuctionBook) {
        let outcome = &mut self.outcome;
        outcome.welfare *= i128::from(book.frame().welfare_scale);
        outcome.bound = outcome.welfare + self.decisions.gain;
        outcome.blocks_rejected = core::mem::take(&mut self.decisions.blocks);
        outcome.complex_rejected = core::mem::take(&mut self.decisions.complex);
        outcome.work = self.done;
    }
}

/// The handles of one step.
fn chunk(first: u32, handles: u32) -> Range<u32> {
    first..handles.min(first + BLOCKS_PER_UNIT)
}

fn following(book: &AuctionBook, step: Step, areas: usize) -> Step {
    match step {
        Step::Price { period } if areas > 0 => Step::Fill { period, area: 0 },
        Step::Fill { period, area } if usize::from(area) + 1 < areas => Step::Fill { period, area: area + 1 },
        Step::Price { period } | Step::Fill { period, .. } if period + 1 < book.frame().periods => {
            Step::Price { period: period + 1 }
        }
        Step::Price { .. } | Step::Fill { .. } => Step::Blocks { first: 0 },
        Step::Blocks { first } if first + BLOCKS_PER_UNIT < book.block_handles() => {
            Step::Blocks { first: first + BLOCKS_PER_UNIT }
        }
        Step::Blocks { .. } => Step::Complex { first: 0 },
        Step::Complex { first } if first + BLOCKS_PER_UNIT < book.complex_handles() => {
            Step::Complex { first: first + BLOCKS_PER_UNIT }
        }
        Step::Complex { .. } | Step::Done => Step::Done,
    }
}
