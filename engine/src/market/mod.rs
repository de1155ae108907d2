//! The exchange as a state machine: members, timetables, auctions, orders, results, money.
//!
//! On each command first everything that is due happens in due order, then what the command says. A
//! gate at `t` is closed for a command whose time is `t`.
//!
//! Until an auction is published, its orders are on no stream but their own member's, with one
//! exception that the grid needs: the corridor request to the dispatch centre carries net positions
//! and flows of the unconstrained run. Operators see [`Engine::counts`]. The `Debug` form of the
//! engine holds the books and is for tests only: nothing may log it.

mod actions;
mod acts;
mod admission;
mod auctions;
mod clearance;
mod curves;
mod faults;
mod funds;
mod orders;
mod publication;
mod registry;
mod requests;
mod results;
mod session;
mod settlement;
mod state;
mod streams;
#[cfg(test)]
mod tests;
mod timetable;

use crate::command::{Body, Clearance, Command, Request};
use crate::digest::{Feed, Hasher, Recount};
use crate::event::{Account, Alarm, Answer, AuctionInfo, Event, EventBody, Phase, ScheduleRow, Stream};
use crate::ids::{AuctionId, Market, MemberId, PortfolioId, UserId};
use crate::reject::Refusal;
use crate::rules::MarketRules;
use alloc::sync::Arc;
use alloc::vec::Vec;
pub use registry::{Member, Portfolio, User};
pub use timetable::LOADED_PER_JUMP_MAX;

/// Units of clearing work that the runner asks for in one quantum.
const QUANTUM_UNITS: u32 = 32;

/// The engine: the whole state of the exchange.
#[derive(Debug, Default)]
pub struct Engine {
    seq: u64,
    epoch: u32,
    time_us: i64,
    streams: streams::Streams,
    state: state::State,
}

crate::snapshot::state_struct! { Engine { seq, epoch, time_us, streams, state } }

/// What operators may know of an auction before it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuctionCount {
    /// Which.
    pub auction: AuctionId,
    /// Where it stands.
    pub phase: Phase,
    /// Live orders; 0 once the auction has ended.
    pub orders: u32,
    /// Members with a live order.
    pub members: u32,
}

/// An auction as it stands.
#[derive(Clone, Copy, Debug)]
pub struct AuctionView<'a> {
    /// What everybody may know.
    pub info: &'a Arc<AuctionInfo>,
    /// Where it stands.
    pub phase: Phase,
    /// The last revision of the dispatch centre's capacities.
    pub capacity_revision: Option<u32>,
    /// The schedule, once published: (revision, rows, whether it is acknowledged).
    pub schedule: Option<(u32, &'a Arc<Vec<ScheduleRow>>, bool)>,
    /// Digest of the published result.
    pub result_digest: Option<u128>,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies the next command: moves time, does what is due, then what the command says. Appends
    /// the events in the order in which they happen and returns the answer.
    ///
    /// # Panics
    ///
    /// If the command's place, epoch or time goes backwards: the sequencer is broken.
    pub fn apply(&mut self, command: &Command, events: &mut Vec<Event>) -> Answer {
        self.take(command.clone(), events)
    }

    /// As [`Self::apply`], of a command that nobody else needs: what an order wants is not copied.
    ///
    /// # Panics
    ///
    /// As [`Self::apply`].
    pub fn take(&mut self, command: Command, events: &mut Vec<Event>) -> Answer {
        let Command { seq, epoch, time_us, mut body } = command;
        self.take_from((seq, epoch, time_us), &mut body, Some(events))
    }

    /// As [`Self::take`], of a body that stays where it is: what is left of it is as good as any for the next one to be
    /// read into. `place` is the command's number, epoch and time. Without a list nobody hears the events: they are
    /// counted, and those of submitted orders are not made.
    ///
    /// # Panics
    ///
    /// As [`Self::apply`].
    pub fn take_from(
        &mut self,
        place: (u64, u32, i64),
        body: &mut Body,
        events: Option<&mut Vec<Event>>,
    ) -> Answer {
        let (seq, epoch, time_us) = place;
        assert!(seq == self.seq + 1, "commands come without gaps");
        assert!(epoch >= self.epoch, "epochs never go back");
        assert!(time_us >= self.time_us, "time never goes back");
        self.seq = seq;
        self.epoch = epoch;
        self.time_us = time_us;
        let mut out = streams::Out::new(place, &mut self.streams, events);
        self.state.pass_time(&mut out);
        match body {
            Body::Tick => Answer::None,
            Body::EpochStarted { node } => {
                let node = core::mem::take(node);
                out.say(Stream::Operator, EventBody::EpochStarted { node });
                Answer::None
            }
            Body::StandbyChanged { alone } => {
                let alarm = if *alone { Alarm::StandbyLost } else { Alarm::StandbyBack };
                out.say(Stream::Operator, EventBody::Alarm(alarm));
                Answer::None
            }
            Body::ClearQuantum { auction, units } => {
                self.state.quantum(*auction, *units, &mut out);
                Answer::None
            }
            Body::Request(request) => self.state.request(request, &mut out),
        }
    }

    /// Reads what commands that come soon will look up, so that it is at hand then: memory answers these questions
    /// together, and later each would wait for its own. Changes nothing. Some dozens at a time: what was read has to
    /// stay in a near cache.
    pub fn expect<'a>(&self, bodies: impl Iterator<Item = &'a Body>) {
        let request = |it: &'a Body| if let Body::Request(request) = it { Some(&**request) } else { None };
        self.state.touch(bodies.filter_map(request));
    }

    /// All that would be refused about a request at `time_us`, in order of precedence: the first is
    /// what [`Self::apply`] would answer if nothing changed until then. Reads only, and knows only
    /// auctions that are loaded.
    #[must_use]
    pub fn dry_run(&self, request: &Request, time_us: i64) -> Vec<Refusal> {
        self.state.dry_run(request, time_us)
    }

    /// Whether no auction is clearing: only then can the state be kept ([`crate::snapshot`]); keeping it amid a
    /// run panics.
    #[must_use]
    pub fn rests(&self) -> bool {
        self.state.most_urgent().is_none()
    }

    /// Sequence number of the last command applied.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Epoch of the last command applied.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Journaled time of the last command applied.
    #[must_use]
    pub const fn time_us(&self) -> i64 {
        self.time_us
    }

    /// The next instant at which something is due, if any.
    #[must_use]
    pub fn next_timer_us(&self) -> Option<i64> {
        self.state.timetable.next_due_us()
    }

    /// The auction whose clearing wants a quantum next (a real-time session before a day-ahead
    /// auction), and the units of work for one quantum.
    #[must_use]
    pub fn wants_quantum(&self) -> Option<(AuctionId, u32)> {
        self.state.most_urgent().map(|auction| (auction, QUANTUM_UNITS))
    }

    /// Digest of the whole state: equal exactly if two engines would behave alike from here on
    /// (up to hash collisions). Of orders and remembered requests it feeds sums that are kept as they come
    /// and go, so what it costs does not grow with them.
    #[must_use]
    pub fn digest(&self) -> u128 {
        let mut hasher = Hasher::new();
        self.feed(&mut hasher);
        hasher.finish()
    }

    /// The same digest, every sum formed anew from what is there: for a state that was not lived but taken
    /// from somewhere, and for tests. Walks the whole state.
    #[must_use]
    pub fn digest_in_full(&self) -> u128 {
        let mut recount = Recount::default();
        self.feed(&mut recount);
        recount.0.finish()
    }

    /// Every stream that had an event, with the number of its last one. Cheap: two engines that said
    /// different things almost surely differ here.
    pub fn stream_heads(&self) -> impl Iterator<Item = (Stream, u64)> {
        self.streams.heads()
    }

    /// Number of the last event of a stream; 0 if it had none.
    #[must_use]
    pub fn stream_head(&self, stream: Stream) -> u64 {
        self.streams.head(stream)
    }

    /// Counts of every auction that is known, by day, market and session: what operators may see of
    /// a sealed book.
    pub fn counts(&self) -> impl Iterator<Item = AuctionCount> {
        self.state.auctions.iter().map(|(auction, it)| {
            let book = it.book.as_ref().filter(|_| !it.ended());
            let members = book.map_or(0, |it| it.members_live());
            AuctionCount {
                auction: *auction,
                phase: it.phase,
                orders: book.map_or(0, |it| it.orders_live()),
                members: u32::try_from(members).expect("limits::MEMBERS_MAX fits"),
            }
        })
    }

    /// An auction.
    #[must_use]
    pub fn auction(&self, auction: AuctionId) -> Option<AuctionView<'_>> {
        self.state.auctions.get(&auction).map(view)
    }

    /// Every auction that is known, by day, market and session.
    pub fn auctions(&self) -> impl Iterator<Item = AuctionView<'_>> {
        self.state.auctions.values().map(view)
    }

    /// Every set of rules, by market and first day.
    #[must_use]
    pub fn rules(&self) -> &[Arc<MarketRules>] {
        self.state.timetable.rules()
    }

    /// The rules of a market for a delivery day.
    #[must_use]
    pub fn rules_on(&self, market: Market, day: crate::calendar::Day) -> Option<&Arc<MarketRules>> {
        self.state.timetable.rules_on(market, day)
    }

    /// A member.
    #[must_use]
    pub fn member(&self, member: MemberId) -> Option<&Member> {
        self.state.registry.member(member)
    }

    /// All members, by number.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        self.state.registry.members()
    }

    /// A portfolio.
    #[must_use]
    pub fn portfolio(&self, portfolio: PortfolioId) -> Option<&Portfolio> {
        self.state.registry.portfolio(portfolio)
    }

    /// All portfolios, by number.
    #[must_use]
    pub fn portfolios(&self) -> &[Portfolio] {
        self.state.registry.portfolios()
    }

    /// A user.
    #[must_use]
    pub fn user(&self, user: UserId) -> Option<&User> {
        self.state.registry.user(user)
    }

    /// All users, by number.
    #[must_use]
    pub fn users(&self) -> &[User] {
        self.state.registry.users()
    }

    /// The user whose current certificate has this SHA-256.
    #[must_use]
    pub fn user_with(&self, fingerprint: &[u8; 32]) -> Option<UserId> {
        self.state.registry.user_with(fingerprint)
    }

    /// The collateral account of a member.
    #[must_use]
    pub fn collateral(&self, member: MemberId) -> &crate::risk::accounts::Account {
        self.state.accounts.of(member)
    }

    /// The margin that a member needs to buy day-ahead for a delivery day, minor units; nothing where the
    /// rules ask for none.
    #[must_use]
    pub fn margin(&self, member: MemberId, day: crate::calendar::Day) -> Option<i128> {
        let rules = self.rules_on(Market::Dam, day)?;
        let asked = rules.risk.funds == crate::rules::FundsRule::CheckBetweenRuns;
        asked.then(|| funds::margin(self.state.accounts.of(member), day, &rules.risk))
    }

    /// Every clearance: portfolio, area code, how much.
    pub fn clearances(&self) -> impl Iterator<Item = (PortfolioId, &crate::ids::TextId, Clearance)> {
        self.state.clearances.all()
    }

    /// What a member's live orders in an auction can cost at worst, computed from the orders alone, minor
    /// units. For tests and reports: walks the orders.
    #[must_use]
    pub fn worst_case(&self, member: MemberId, auction: AuctionId) -> Option<i128> {
        let book = self.state.auctions.get(&auction)?.book.as_ref()?;
        Some(funds::worst_of(book, member))
    }

    /// Balance of every account in minor units; they sum to zero. All markets share one currency.
    pub fn trial_balance(&self) -> impl Iterator<Item = (Account, i128)> {
        self.state.ledger.balances().iter().map(|(account, minor)| (*account, *minor))
    }
}

fn view(auction: &session::Auction) -> AuctionView<'_> {
    AuctionView {
        info: &auction.info,
        phase: auction.phase,
        capacity_revision: auction.capacity.as_ref().map(|it| it.revision),
        schedule: auction.schedule.as_ref().map(|it| (it.revision, &it.rows, it.acknowledged)),
        result_digest: auction.result,
    }
}
