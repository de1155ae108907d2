//! The journal of the day, run again from empty: the same state, the money balanced, every order ended.

use super::report::histogram;
use hdrhistogram::Histogram;
use merit_engine::command::Body;
use merit_engine::event::{Answer, Event, EventBody};
use merit_engine::ids::{AuctionId, Market};
use merit_engine::market::Engine;
use merit_replay::error::JournalError;
use merit_replay::frame::Stamp;
use merit_replay::machine::{Machine, Sink};
use merit_replay::storage::disk::Disk;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// What the second run found.
#[derive(Debug)]
pub(super) struct Rerun {
    /// Records in the journal.
    pub(super) records: u64,
    /// Digest of the engine's state at the end.
    pub(super) digest: u128,
    /// How long it took.
    pub(super) took: Duration,
    /// Time of one request in the core, ns.
    pub(super) request_ns: Histogram<u64>,
    /// Time of one quantum of clearing in the core, ns.
    pub(super) quantum_ns: Histogram<u64>,
    /// Time of all quanta of each auction, both runs and publication included, ns.
    clearing_ns: BTreeMap<AuctionId, u64>,
    /// How often each order ended.
    ends: BTreeMap<u64, u32>,
    /// Orders that ended by the result, and those taken back.
    pub(super) decided: u64,
    /// See [`Self::decided`].
    pub(super) cancelled: u64,
    /// Ledger entries, and those whose postings do not sum to zero.
    pub(super) entries: u64,
    /// See [`Self::entries`].
    pub(super) unbalanced: u64,
    /// Accounts, and the sum of their balances, minor units.
    pub(super) accounts: usize,
    /// See [`Self::accounts`].
    pub(super) balance: i128,
}

impl Rerun {
    /// Runs the journal of a directory again.
    ///
    /// # Errors
    ///
    /// If the journal is not whole.
    pub(super) fn run(journal: &Path) -> Result<Self, JournalError> {
        let begun = Instant::now();
        let mut core = Timed::new();
        let mut ledger = Recount::default();
        merit_replay::core::replay(&Disk::existing(journal), &mut core, &mut ledger, &mut |_| {})?;
        let took = begun.elapsed();
        let balances: Vec<i128> = core.engine.trial_balance().map(|it| it.1).collect();
        Ok(Self {
            records: core.engine.seq(),
            digest: core.engine.digest(),
            took,
            request_ns: core.request_ns,
            quantum_ns: core.quantum_ns,
            clearing_ns: core.clearing_ns,
            ends: ledger.ends,
            decided: ledger.decided,
            cancelled: ledger.cancelled,
            entries: ledger.entries,
            unbalanced: ledger.unbalanced,
            accounts: balances.len(),
            balance: balances.iter().sum(),
        })
    }

    /// Time of clearing of each auction of a market and local delivery day, ns.
    pub(super) fn clearing_ns(&self, market: Market, day: &str) -> Histogram<u64> {
        let mut times = histogram();
        for (auction, took_ns) in &self.clearing_ns {
            if auction.market == market && auction.day.to_string() == day {
                times.saturating_record(*took_ns);
            }
        }
        times
    }

    /// Orders that were acknowledged but did not end exactly once, and orders that ended without having
    /// been acknowledged to anyone.
    pub(super) fn lost(&self, acknowledged: &BTreeSet<u64>) -> Vec<u64> {
        let wrong = acknowledged.iter().filter(|it| self.ends.get(it) != Some(&1)).copied();
        wrong.chain(self.ends.keys().filter(|it| !acknowledged.contains(it)).copied()).collect()
    }
}

/// The engine with a stopwatch beside it.
struct Timed {
    engine: Engine,
    request_ns: Histogram<u64>,
    quantum_ns: Histogram<u64>,
    clearing_ns: BTreeMap<AuctionId, u64>,
}

impl Timed {
    fn new() -> Self {
        let engine = Engine::new();
        Self { engine, request_ns: histogram(), quantum_ns: histogram(), clearing_ns: BTreeMap::new() }
    }
}

impl Machine for Timed {
    type Body = Body;
    type Answer = Answer;
    type Event = Event;

    fn encode(body: &Body, payload: &mut Vec<u8>) -> u16 {
        <Engine as Machine>::encode(body, payload)
    }

    fn decode(kind: u16, payload: &[u8]) -> Result<Body, String> {
        <Engine as Machine>::decode(kind, payload)
    }

    fn apply(&mut self, stamp: Stamp, body: Body, events: &mut Vec<Event>) -> Answer {
        let (is_request, clears) = match &body {
            Body::Request(_) => (true, None),
            Body::ClearQuantum { auction, .. } => (false, Some(*auction)),
            Body::Tick | Body::EpochStarted { .. } | Body::StandbyChanged { .. } => (false, None),
        };
        let begun = Instant::now();
        let answer = Machine::apply(&mut self.engine, stamp, body, events);
        let took_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if is_request {
            self.request_ns.saturating_record(took_ns);
        }
        if let Some(auction) = clears {
            self.quantum_ns.saturating_record(took_ns);
            *self.clearing_ns.entry(auction).or_default() += took_ns;
        }
        answer
    }

    fn next_timer_us(&self) -> Option<i64> {
        self.engine.next_timer_us()
    }

    fn tick() -> Body {
        <Engine as Machine>::tick()
    }

    fn quantum(&self) -> Option<Body> {
        Machine::quantum(&self.engine)
    }

    fn epoch_started(node: &str) -> Body {
        <Engine as Machine>::epoch_started(node)
    }

    fn standby_changed(alone: bool) -> Body {
        <Engine as Machine>::standby_changed(alone)
    }

    fn digest(&self) -> u128 {
        self.engine.digest()
    }
}

/// Counts what the second run says.
#[derive(Debug, Default)]
struct Recount {
    ends: BTreeMap<u64, u32>,
    decided: u64,
    cancelled: u64,
    entries: u64,
    unbalanced: u64,
}

impl Sink<Timed> for Recount {
    fn applied(&mut self, _: Stamp, _: &Answer, events: Vec<Event>, _: bool) {
        for event in events {
            if let EventBody::OrderEnded { order, .. } = &event.body {
                *self.ends.entry(order.0).or_default() += 1;
                self.decided += 1;
            } else if let EventBody::OrderCancelled { order, .. } = &event.body {
                *self.ends.entry(order.0).or_default() += 1;
                self.cancelled += 1;
            } else if let EventBody::LedgerPosted { entries, .. } = &event.body {
                for entry in entries.iter() {
                    let sum: i128 = entry.postings.iter().map(|it| i128::from(it.1)).sum();
                    self.entries += 1;
                    self.unbalanced += u64::from(sum != 0);
                }
            }
        }
    }
}
