//! What the read model keeps in memory: small things that most requests need, and where in the
//! streams the bulky ones stand.

use super::Applied;
use super::encode::Repeated;
use super::orders::{OrderEntry, Orders};
use super::registry::Registry;
use super::store::Reach;
use crate::server::convert::{Scale, event};
use merit_engine::calendar::Day;
use merit_engine::digest::{Feed as _, Quick, Words as _};
use merit_engine::event::{Account, AuctionInfo, Phase, Stream};
use merit_engine::ids::{AuctionId, Market, MemberId, OrderId};
use merit_engine::rules::MarketRules;
use merit_proto::v1;
use merit_replay::frame::Stamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Alarms that are kept for status.
pub const ALARMS_MAX: usize = 50;

/// An auction as far as it has come.
#[derive(Clone, Debug)]
pub struct AuctionEntry {
    /// What everybody may know.
    pub info: Arc<AuctionInfo>,
    /// Where it stands.
    pub phase: Phase,
    /// When the next step is due, µs UTC.
    pub next_due_us: Option<i64>,
    /// Every phase that has begun, and when.
    pub history: Vec<(Phase, i64)>,
    /// Number of the result in the market's stream.
    pub result_seq: Option<u64>,
    /// Number of the corridor request in the dispatch centre's stream.
    pub corridor_seq: Option<u64>,
    /// (revision, number in the dispatch centre's stream, acknowledged), oldest first.
    pub schedules: Vec<(u32, u64, bool)>,
}

/// The whole state.
#[derive(Debug, Default)]
pub struct State {
    /// Everybody.
    pub registry: Registry,
    /// Every auction ever.
    pub auctions: BTreeMap<AuctionId, AuctionEntry>,
    /// Every set of rules.
    pub rules: BTreeMap<(Market, Day), Arc<MarketRules>>,
    /// Every order ever.
    pub orders: Orders,
    /// Orders of a member in an auction, in the order of their numbers.
    pub orders_in: BTreeMap<(MemberId, AuctionId), Vec<OrderId>>,
    /// Number of the last event of each stream.
    pub heads: BTreeMap<Stream, u64>,
    /// Balances, minor units.
    pub balances: BTreeMap<Account, i128>,
    /// Settlement runs of each delivery day: (number, status), oldest first.
    pub runs: BTreeMap<Day, Vec<(u32, merit_engine::settlement::RunStatus)>>,
    /// Digest of the last meter batch of each delivery day.
    pub metered: BTreeMap<Day, [u8; 32]>,
    /// The last alarms, oldest first: (journaled time, µs; what).
    pub alarms: Vec<(i64, v1::Alarm)>,
    /// Hash over places, requests and numbers of events of all commands: tells one history from another. A quick one:
    /// it is for accidents, and nobody gains by two histories that look alike.
    pub trail: u128,
    /// What the last order shown had.
    pub(super) repeated: Repeated,
    /// Last command applied.
    pub seq: u64,
    /// Its epoch.
    pub epoch: u32,
    /// Its time, µs UTC.
    pub time_us: i64,
}

impl State {
    /// A command has been applied, or is being; `trail` is what [`State::trail_after`] said of it.
    pub(super) fn stand_at(&mut self, stamp: Stamp, trail: u128) {
        self.seq = stamp.seq;
        self.epoch = stamp.epoch;
        self.time_us = stamp.time_us;
        self.trail = trail;
    }

    /// How far a store goes that has everything of this.
    #[must_use]
    pub fn reach(&self) -> Reach {
        Reach { seq: self.seq, trail: self.trail }
    }

    /// The trail after one more command.
    pub(super) fn trail_after(&self, applied: &Applied) -> u128 {
        let mut hasher = Quick::new();
        self.trail.feed(&mut hasher);
        applied.stamp.seq.feed(&mut hasher);
        applied.stamp.epoch.feed(&mut hasher);
        applied.stamp.time_us.feed(&mut hasher);
        if let Some(request) = &applied.reply.request {
            request.actor.feed(&mut hasher);
            request.id.feed(&mut hasher);
        }
        for event in &applied.events {
            let [kind, a, b, c, d] = event::stream_tag(event.stream);
            hasher.word(u64::from_be_bytes([0, 0, 0, kind, a, b, c, d]));
            event.stream_seq.feed(&mut hasher);
        }
        hasher.finish()
    }

    /// Number of the last event of a stream; 0 if it had none.
    #[must_use]
    pub fn head(&self, stream: Stream) -> u64 {
        self.heads.get(&stream).copied().unwrap_or(0)
    }

    /// Millionths of the currency in a minor unit: one for all markets; 1 before any rules are set.
    #[must_use]
    pub fn money_scale(&self) -> i64 {
        self.rules.values().next().map_or(1, |it| Scale::of(it).minor)
    }

    /// Rules of a market on a delivery day.
    #[must_use]
    pub fn rules_on(&self, market: Market, day: Day) -> Option<&Arc<MarketRules>> {
        let until = self.rules.range((market, Day::MIN)..=(market, day));
        until.last().map(|(_, rules)| rules)
    }

    /// Where an order is in its life, the gate included.
    #[must_use]
    pub fn order_state(&self, order: &OrderEntry<'_>) -> v1::OrderState {
        let sealed = self.auctions.get(&order.auction).is_some_and(|it| {
            !matches!(it.phase, Phase::Scheduled | Phase::Open) || it.info.gate_us <= self.time_us
        });
        if order.state == v1::OrderState::Live && sealed { v1::OrderState::Sealed } else { order.state }
    }
}
