//! Finds prices, flows and fills for the orders of one auction.
//!
//! Clearing is a state machine that advances in bounded quanta of counted work, so that a large
//! auction never blocks the market and a standby continues from the same point.
//!
//! A period is a convex flow problem in whole ticks and lots: [`price`] finds its prices, [`share`]
//! and [`loops`] close what prices leave open, [`fill`] gives each order its part. Where there are
//! blocks or complex orders, [`search`] decides them first.

mod curves;
mod fill;
mod linear;
mod loops;
mod network;
mod price;
mod scaling;
mod search;
mod share;

use crate::book::AuctionBook;
use crate::outcome::Outcome;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Points that are filled in one unit of work, blocks that are decided in one.
const POINTS_PER_UNIT: usize = 512;

/// When the search for block and complex decisions ends, proven optimal or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Units of work.
    pub work: u64,
    /// The search ends when its bound is within this of its welfare, on the welfare grid; 0: when
    /// nothing can be better.
    pub gap: i128,
}

impl Default for Limit {
    fn default() -> Self {
        Self { work: 200_000, gap: 0 }
    }
}

/// How far the search for decisions is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Welfare of the best result so far, on the welfare grid.
    pub welfare: i128,
    /// No result has more welfare than this.
    pub bound: i128,
    /// Parts of the decisions that were looked at.
    pub nodes: u64,
}

/// How a deliberately broken search corrupts the decisions that it publishes; a number picks one of
/// those that can be.
#[cfg(feature = "broken-search")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Says that it accepts an order which it rejected.
    Accepts(usize),
    /// Says that it rejects an order which it accepted.
    Rejects(usize),
    /// Halves the ratio of an accepted block.
    Ratio(usize),
    /// Gives a lot more to an active complex order.
    Lots(usize),
    /// Claims a bound below what it found.
    Bound,
}

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
    Search,
    Price { period: u16 },
    Fill { period: u16, area: u16 },
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
    /// The search for decisions, while it is set up.
    setup: Option<Box<search::Setup>>,
    /// The search for decisions, while it runs; only where there is something to decide.
    search: Option<Box<search::Search>>,
    decided: Option<Box<search::Decided>>,
    /// Published prices of the period at hand.
    prices: Vec<i64>,
    next: Step,
    done: u64,
    total: u64,
    /// Nodes of a search that has ended.
    nodes: u64,
    #[cfg(feature = "broken-search")]
    fault: Option<Fault>,
    outcome: Outcome,
}

impl Clearing {
    /// Starts. Nothing is decided yet.
    #[must_use]
    pub fn start(book: &AuctionBook) -> Self {
        Self::start_within(book, Limit::default())
    }

    /// Starts a clearing whose search for decisions ends at a limit.
    #[must_use]
    pub fn start_within(book: &AuctionBook, limit: Limit) -> Self {
        let frame = book.frame();
        let network = network::Network::new(frame);
        let periods = usize::from(frame.periods);
        let mut router = network::Router::default();
        router.load(&network);
        let outcome = Outcome {
            prices: Vec::with_capacity(periods * network.areas),
            flows: Vec::with_capacity(periods * network.lines),
            curves: Vec::with_capacity(book.places().count()),
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
            setup: None,
            search: None,
            decided: None,
            prices: Vec::new(),
            next: Step::Price { period: 0 },
            done: 0,
            total: 0,
            nodes: 0,
            #[cfg(feature = "broken-search")]
            fault: None,
            outcome,
        };
        clearing.total = clearing.count(book);
        if book.blocks().next().is_some() || book.complex_orders().next().is_some() {
            clearing.setup = Some(Box::new(search::Setup::new(book, limit)));
            clearing.next = Step::Search;
            clearing.total = clearing.total.saturating_add(limit.work);
        }
        clearing
    }

    /// Breaks the search: what it publishes is corrupted so. [`Self::is_broken`] says whether it was.
    #[cfg(feature = "broken-search")]
    pub fn break_search(&mut self, fault: Fault) {
        self.fault = Some(fault);
    }

    /// Whether there was something to corrupt; call after [`Progress::Done`].
    #[cfg(feature = "broken-search")]
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.fault.is_some()
    }

    /// What the next step does, in a word or two: for whoever times steps.
    #[must_use]
    pub fn doing(&self) -> &'static str {
        match self.next {
            Step::Search => self.search.as_ref().map_or("set up", |search| search.doing()),
            Step::Price { .. } => "price",
            Step::Fill { .. } => "fill",
            Step::Done => "done",
        }
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

    /// How far the search for decisions is, while it runs; only where there is something to decide.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        let search = self.search.as_deref().filter(|it| it.is_bounded())?;
        Some(Standing { welfare: search.welfare()?, bound: search.bound(), nodes: search.nodes })
    }

    /// Parts of the decisions that were looked at so far; 0 where there is nothing to decide.
    #[must_use]
    pub fn nodes(&self) -> u64 {
        self.search.as_deref().map_or(self.nodes, |it| it.nodes)
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
            // The search counts its own work.
            Step::Search => 0,
            Step::Price { .. } => 1 + self.network.areas + self.network.lines,
            Step::Fill { period, area } => 1 + book.cell(period, area).points_len() / POINTS_PER_UNIT,
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
                let at = usize::from(period) * frame.areas.len() + index;
                let decided = self.decided.as_deref_mut();
                if area == 0 {
                    book.touch(period);
                }
                fill::fill(
                    &mut self.ties,
                    (cell, book.ladders(period)),
                    &self.sharing,
                    index,
                    fill::Priced { price: self.prices[index], bounds },
                    &mut self.outcome.curves,
                    decided.map(|decided| fill::Complex { book, cell: at, decided }),
                );
            }
            Step::Search => {
                if !self.search(book) {
                    return;
                }
            }
            Step::Done => return,
        }
        self.next = following(book, step, self.network.areas);
        if matches!(self.next, Step::Done) {
            self.finish(book);
        }
    }

    /// One step of the search; true when it has ended.
    fn search(&mut self, book: &AuctionBook) -> bool {
        if let Some(setup) = &mut self.setup {
            let before = setup.work;
            let ready = setup.step(book);
            self.done += setup.work - before;
            if let Some(search) = ready {
                (self.setup, self.search) = (None, Some(Box::new(search)));
            }
            return false;
        }
        let Some(search) = &mut self.search else { return true };
        let before = search.work();
        let ended = search.step(book);
        self.done += search.work() - before;
        if ended {
            self.nodes = search.nodes;
            self.decided = self.search.take().map(|it| Box::new(it.decide(book)));
        }
        ended
    }

    /// Prices, flows and shares of one period.
    fn price(&mut self, book: &AuctionBook, period: u16) {
        let frame = book.frame();
        let Self { network, flows, router, pricing, sharing, loops, prices, outcome, decided, .. } = self;
        let curves = &curves::Curves::load(book, period, decided.as_deref());
        flows.load(frame, usize::from(period));
        let clears = pricing.price(network, curves, flows, router);
        assert!(clears, "curves alone clear at some price, and decisions that do not were dropped");
        prices.clear();
        match decided {
            Some(decided) => {
                let first = usize::from(period) * network.areas;
                prices.extend_from_slice(&decided.prices[first..first + network.areas]);
            }
            None => {
                prices.extend(pricing.lo.iter().zip(&pricing.hi).map(|(lo, hi)| (lo + hi + 1).div_euclid(2)))
            }
        }
        sharing.share(network, curves, prices, &pricing.net, flows, router);
        loops.settle(network, flows, &mut sharing.ties);
        for (area, &price) in (0..).zip(prices.iter()) {
            outcome.welfare += curves::Curves::steps_value(book, period, area, price);
            let area = usize::from(area);
            let cell = usize::from(period) * network.areas + area;
            outcome.welfare += decided.as_ref().map_or(0, |it| it.steps_value(cell, price));
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
        outcome.bound = outcome.welfare;
        #[cfg(feature = "broken-search")]
        {
            self.fault =
                self.fault.filter(|fault| self.decided.as_mut().is_some_and(|it| it.corrupt(*fault)));
        }
        if let Some(decided) = self.decided.take() {
            outcome.welfare -= decided.cost;
            outcome.bound = decided.bound;
            debug_assert_eq!(outcome.welfare, decided.welfare, "the search and the result agree");
            decided.write(outcome);
        }
        outcome.work = self.done;
    }
}

fn following(book: &AuctionBook, step: Step, areas: usize) -> Step {
    match step {
        Step::Price { period } if areas > 0 => Step::Fill { period, area: 0 },
        Step::Fill { period, area } if usize::from(area) + 1 < areas => Step::Fill { period, area: area + 1 },
        Step::Price { period } | Step::Fill { period, .. } if period + 1 < book.frame().periods => {
            Step::Price { period: period + 1 }
        }
        Step::Search => Step::Price { period: 0 },
        Step::Price { .. } | Step::Fill { .. } | Step::Done => Step::Done,
    }
}
