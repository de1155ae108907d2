//! The life of one auction, driven by the timetable, the dispatch centre and quanta of clearing.
//!
//! ```text
//! Scheduled ─open─► Open ─gate─┬─ two runs ─► ClearingUnconstrained ─done─► corridor request ─┐
//!                              └─ one run ──────────────────────────────────────────────────┤
//!                     capacities there, or due and the late rule holds ─► Clearing          │
//!                     else AwaitingCapacity ◄───────────────────────────────────────────────┘
//! Clearing ─verified─► Published        any run that fails or is refused ─► Halted
//! ```

use super::orders::SealedBook;
use super::publication::Publication;
use super::settlement::{Position, Settled};
use super::streams::Out;
use crate::clearing::{Clearing, Limit, Progress};
use crate::command::Capacity;
use crate::digest::{Feed, Words, quick};
use crate::event::{Alarm, AuctionInfo, EventBody, Phase, ScheduleRow, Stream};
use crate::ids::{MemberId, PortfolioId};
use crate::limits;
use crate::outcome::Outcome;
use crate::rules::{FundsRule, LateCapacity};
use crate::snapshot::{Damaged, Keep, Reader, Writer, keep_struct, state_struct};
use crate::verify::{self, Verification};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// A run of the clearing, cut into quanta.
#[derive(Debug)]
pub(super) enum Run {
    /// Nothing done yet.
    Begins,
    /// Clearing advances.
    Clears { clearing: Box<Clearing>, done: u64 },
    /// The verifier looks at an outcome.
    Verifies { outcome: Box<Outcome>, verification: Option<Box<Verification>> },
    /// What will be said is put together.
    Publishes(Box<Publication>),
}

// A clearing is a function of the book and the work done, and so is a verification with its outcome.
impl Feed for Run {
    fn feed<W: Words>(&self, hasher: &mut W) {
        match self {
            Self::Begins => hasher.word(0),
            Self::Clears { clearing: _, done } => (1_u64, *done).feed(hasher),
            Self::Verifies { outcome, verification } => {
                hasher.word(2);
                outcome.feed(hasher);
                verification.as_ref().map(|it| it.done()).feed(hasher);
            }
            Self::Publishes(publication) => {
                hasher.word(3);
                publication.feed(hasher);
            }
        }
    }
}

// A state is kept between runs only.
impl Keep for Run {
    fn put(&self, _: &mut Writer<'_>) {
        unreachable!("the engine rests when it is kept");
    }

    fn take(_: &mut Reader<'_>) -> Result<Self, Damaged> {
        Err(Damaged("a run is kept nowhere"))
    }
}

/// A published schedule.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) revision: u32,
    pub(super) rows: Arc<Vec<ScheduleRow>>,
    pub(super) acknowledged: bool,
}

/// What a published result traded and at which prices.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) positions: Vec<Position>,
    pub(super) prices: Vec<i64>,
}

keep_struct! { Standing { positions, prices } }

// The positions follow from the book and the digest of the result.
impl Feed for Standing {
    fn feed<W: Words>(&self, hasher: &mut W) {
        let Self { positions, prices } = self;
        positions.len().feed(hasher);
        prices.feed(hasher);
    }
}

/// Whose an order of an ended auction was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) member: MemberId,
    pub(super) portfolio: PortfolioId,
}

/// Whose the orders of an ended auction were, by slot. They never change.
#[derive(Debug, Default)]
pub(super) struct Owners {
    list: Vec<Owner>,
    digest: u128,
}

keep_struct! { Owners { list, digest } }

impl Owners {
    fn new(list: Vec<Owner>) -> Self {
        Self { digest: quick(&list), list }
    }
}

impl Feed for Owners {
    fn feed<W: Words>(&self, hasher: &mut W) {
        let digest = if hasher.recounts() && !self.list.is_empty() { quick(&self.list) } else { self.digest };
        (self.list.len(), digest).feed(hasher);
    }
}

/// One auction.
#[derive(Debug)]
pub(super) struct Auction {
    pub(super) info: Arc<AuctionInfo>,
    pub(super) phase: Phase,
    /// The last revision that the dispatch centre sent.
    pub(super) capacity: Option<Arc<Capacity>>,
    /// Whether capacities were due and absent.
    capacity_late: bool,
    /// Greatest revision of capacities that was ever taken.
    pub(super) capacity_revision: u32,
    /// What the published result traded, for as long as it can be voided.
    pub(super) standing: Option<Standing>,
    /// Whether the funds check is done.
    pub(super) funds_checked: bool,
    /// Until delivery begins, or the auction is cancelled.
    pub(super) book: Option<Box<SealedBook>>,
    pub(super) run: Option<Run>,
    /// Prices of the unconstrained run, `period * areas + area`.
    pub(super) provisional: Option<Vec<i64>>,
    /// After publication.
    pub(super) schedule: Option<Schedule>,
    /// After the end.
    pub(super) owners: Owners,
    /// Digest of the published result.
    pub(super) result: Option<u128>,
}

state_struct! {
    Schedule { revision, rows, acknowledged }
    Owner { member, portfolio }
    Auction {
        info, phase, capacity, capacity_late, capacity_revision, standing, funds_checked, book, run, provisional, schedule, owners, result,
    }
}

/// What a quantum led to.
pub(super) enum Advance {
    /// More quanta are wanted, or none.
    Continues,
    /// The constrained run has passed the verifier: publish this.
    Publish(Box<Publication>),
    /// The auction is halted.
    Halted,
}

impl Auction {
    pub(super) fn new(info: AuctionInfo) -> Self {
        Self {
            book: Some(Box::new(SealedBook::new(&info))),
            info: Arc::new(info),
            phase: Phase::Scheduled,
            capacity: None,
            capacity_late: false,
            capacity_revision: 0,
            standing: None,
            funds_checked: false,
            run: None,
            provisional: None,
            schedule: None,
            owners: Owners::default(),
            result: None,
        }
    }

    /// Whether orders stand in a book that has not come to its end.
    pub(super) fn has_open_orders(&self) -> bool {
        !self.ended() && self.book.as_ref().is_some_and(|it| it.orders_live() > 0)
    }

    /// Whether the auction has come to its end.
    pub(super) const fn ended(&self) -> bool {
        matches!(self.phase, Phase::Published | Phase::Halted | Phase::Cancelled)
    }

    /// Whether the constrained run is about to begin and funds were not checked.
    pub(super) fn wants_funds_check(&self) -> bool {
        let asked = self.info.rules.risk.funds == FundsRule::CheckBetweenRuns;
        let begins = self.phase == Phase::Clearing && matches!(self.run, Some(Run::Begins));
        asked && begins && !self.funds_checked
    }

    /// Whether a new capacity would still be used.
    pub(super) const fn takes_capacity(&self) -> bool {
        match self.phase {
            Phase::Scheduled | Phase::Open | Phase::ClearingUnconstrained | Phase::AwaitingCapacity => true,
            Phase::Clearing | Phase::Published | Phase::Halted | Phase::Cancelled => false,
        }
    }

    /// Whose an order is or was.
    pub(super) fn owner(&self, slot: u32) -> Option<(MemberId, PortfolioId)> {
        if let Some(book) = &self.book {
            return book.order(slot).map(|it| (it.member(), it.portfolio));
        }
        let at = usize::try_from(slot).ok()?;
        self.owners.list.get(at).map(|it| (it.member, it.portfolio))
    }

    pub(super) fn enter(&mut self, phase: Phase, out: &mut Out<'_>) {
        self.phase = phase;
        let info = &self.info;
        let next_due_us = match phase {
            Phase::Scheduled => Some(info.open_us),
            Phase::Open => Some(info.gate_us),
            Phase::ClearingUnconstrained => Some(info.corridor_us),
            Phase::AwaitingCapacity => Some(info.capacities_us),
            Phase::Clearing => Some(info.publish_us),
            Phase::Published | Phase::Halted | Phase::Cancelled => None,
        };
        out.say(Stream::Market, EventBody::PhaseChanged { auction: info.auction, phase, next_due_us });
    }

    /// The auction opens.
    pub(super) fn open(&mut self, out: &mut Out<'_>) {
        assert!(self.phase == Phase::Scheduled);
        self.enter(Phase::Open, out);
    }

    /// The gate closes.
    pub(super) fn close_gate(&mut self, out: &mut Out<'_>) {
        assert!(self.phase == Phase::Open);
        if self.info.rules.timetable.two_runs {
            self.run = Some(Run::Begins);
            self.enter(Phase::ClearingUnconstrained, out);
        } else {
            self.await_capacity(out);
        }
    }

    /// Starts the constrained run if its capacities are settled, or waits for them.
    fn await_capacity(&mut self, out: &mut Out<'_>) {
        if self.capacity.is_some() || self.capacity_late {
            self.run = Some(Run::Begins);
            self.enter(Phase::Clearing, out);
        } else {
            self.enter(Phase::AwaitingCapacity, out);
        }
    }

    /// The dispatch centre sent capacities, checked.
    pub(super) fn take_capacity(&mut self, capacity: Arc<Capacity>, out: &mut Out<'_>) {
        assert!(self.takes_capacity());
        out.say(Stream::Dispatch, EventBody::CapacityAccepted(Arc::clone(&capacity)));
        self.capacity_revision = capacity.revision;
        self.capacity = Some(capacity);
        if self.phase == Phase::AwaitingCapacity {
            self.await_capacity(out);
        }
    }

    /// Capacities are due.
    pub(super) fn capacities_due(&mut self, out: &mut Out<'_>) {
        if self.ended() || self.capacity.is_some() {
            return;
        }
        self.capacity_late = true;
        let auction = self.info.auction;
        out.say(Stream::Operator, EventBody::Alarm(Alarm::CapacityLate { auction }));
        if self.phase == Phase::AwaitingCapacity {
            self.await_capacity(out);
        }
    }

    /// The final result is due.
    pub(super) fn result_due(&self, out: &mut Out<'_>) {
        if !self.ended() {
            let auction = self.info.auction;
            out.say(Stream::Operator, EventBody::Alarm(Alarm::ResultLate { auction }));
        }
    }

    /// The acknowledgement of the schedule is due.
    pub(super) fn acknowledgement_due(&self, out: &mut Out<'_>) {
        if let Some(Schedule { revision, acknowledged: false, .. }) = self.schedule {
            let alarm = Alarm::AcknowledgementLate { auction: self.info.auction, revision };
            out.say(Stream::Operator, EventBody::Alarm(alarm));
        }
    }

    /// Waits for capacities again, whatever came of the ones before.
    pub(super) fn ask_again(&mut self, out: &mut Out<'_>) {
        self.run = None;
        self.capacity = None;
        self.capacity_late = false;
        self.enter(Phase::AwaitingCapacity, out);
    }

    /// One quantum of work. `seal` is called once, when the first run begins.
    pub(super) fn quantum(
        &mut self,
        units: u32,
        seal: impl FnOnce(&mut SealedBook),
        out: &mut Out<'_>,
    ) -> Advance {
        let Some(run) = self.run.take() else { return Advance::Continues };
        match run {
            Run::Begins => {
                let capacities = self.capacities();
                let first = self.provisional.is_none();
                let sealed = self.book.as_mut().expect("an auction that clears has its book");
                if first {
                    seal(sealed);
                }
                for (line, (forward, backward)) in (0..).zip(capacities) {
                    sealed.book_mut().set_capacity(line, forward, backward);
                }
                let work = u64::from(self.info.rules.search_work);
                let clearing = Box::new(Clearing::start_within(sealed.book(), Limit { work, gap: 0 }));
                self.run = Some(Run::Clears { clearing, done: 0 });
                Advance::Continues
            }
            Run::Clears { mut clearing, done: _ } => {
                let sealed = self.book.as_ref().expect("an auction that clears has its book");
                match clearing.advance(sealed.book(), u64::from(units)) {
                    Progress::Running { done, total: _ } => {
                        self.run = Some(Run::Clears { clearing, done });
                        Advance::Continues
                    }
                    Progress::Done => match clearing.into_outcome() {
                        Some(outcome) => {
                            self.run = Some(Run::Verifies { outcome: Box::new(outcome), verification: None });
                            Advance::Continues
                        }
                        None => self.halt(0, String::from("the clearing found no result"), out),
                    },
                }
            }
            Run::Verifies { outcome, verification } => self.judge(outcome, verification, units, out),
            Run::Publishes(mut publication) => {
                let sealed = self.book.as_ref().expect("an auction that clears has its book");
                if publication.advance(sealed, units) {
                    return Advance::Publish(publication);
                }
                self.run = Some(Run::Publishes(publication));
                Advance::Continues
            }
        }
    }

    /// Lets the verifier go on with an outcome; nothing that it refuses goes any further.
    fn judge(
        &mut self,
        outcome: Box<Outcome>,
        verification: Option<Box<Verification>>,
        units: u32,
        out: &mut Out<'_>,
    ) -> Advance {
        let sealed = self.book.as_ref().expect("an auction that clears has its book");
        let book = sealed.book();
        let mut verification = verification.unwrap_or_else(|| Box::new(Verification::start(book, &outcome)));
        if !verification.advance(book, &outcome, u64::from(units)) {
            self.run = Some(Run::Verifies { outcome, verification: Some(verification) });
            return Advance::Continues;
        }
        if let Err(breaks) = verification.finish(book, &outcome) {
            let first = breaks.first().map(rule_name).unwrap_or_default();
            return self.halt(u32::try_from(breaks.len()).unwrap_or(u32::MAX), first, out);
        }
        if self.phase == Phase::ClearingUnconstrained {
            self.request_corridor(*outcome, out);
        } else {
            let publication = Publication::new(&self.info, *outcome, book, self.provisional.as_deref());
            self.run = Some(Run::Publishes(Box::new(publication)));
        }
        Advance::Continues
    }

    /// Tells the dispatch centre what the unconstrained result wants of the grid: net positions of
    /// areas and flows, no order and no portfolio. It is the one thing that leaves the book before
    /// publication, for the centre must know it to set the capacities (IEGC 2023, Reg. 49(1)).
    fn request_corridor(&mut self, outcome: Outcome, out: &mut Out<'_>) {
        let net_positions = net_positions(&self.info, &outcome.flows);
        let info = Arc::clone(&self.info);
        let (net_positions, flows) = (Arc::new(net_positions), Arc::new(outcome.flows));
        out.say(Stream::Dispatch, EventBody::CorridorRequested { info, net_positions, flows });
        self.provisional = Some(outcome.prices);
        self.await_capacity(out);
    }

    fn halt(&mut self, breaks: u32, first: String, out: &mut Out<'_>) -> Advance {
        let auction = self.info.auction;
        out.say(Stream::Operator, EventBody::Alarm(Alarm::VerifierRefused { auction, breaks, first }));
        self.run = None;
        Advance::Halted
    }

    /// Capacities of the run that begins, per line: (forward, backward) per period.
    pub(super) fn capacities(&self) -> Vec<(Vec<i64>, Vec<i64>)> {
        let rules = &self.info.rules;
        let all = |forward, backward| {
            let periods = usize::from(self.info.periods);
            (vec![forward; periods], vec![backward; periods])
        };
        if self.phase == Phase::ClearingUnconstrained {
            // No line carries more than everything that is offered; a book beyond this bound has its
            // provisional run limited to it, its final run is limited by real lines anyway.
            return rules.lines.iter().map(|_| all(limits::LOTS_MAX, limits::LOTS_MAX)).collect();
        }
        if let Some(capacity) = &self.capacity {
            let mut lines: Vec<_> = capacity.lines.iter().collect();
            lines.sort_unstable_by_key(|(line, _, _)| *line);
            return lines.into_iter().map(|(_, forward, back)| (forward.clone(), back.clone())).collect();
        }
        match rules.late_capacity {
            LateCapacity::UseStanding => {
                rules.lines.iter().map(|it| all(it.capacity, it.capacity_back)).collect()
            }
            LateCapacity::Islands => rules.lines.iter().map(|_| all(0, 0)).collect(),
        }
    }

    /// Keeps what a published result left behind.
    pub(super) fn settle(&mut self, revision: u32, settled: Settled) {
        let Settled { rows, digest } = settled;
        self.result = Some(digest);
        self.schedule = Some(Schedule { revision, rows, acknowledged: false });
    }

    /// Forgets the book, keeping what is asked about afterwards. From delivery on no act runs an auction
    /// again; an auction that is still without a result then keeps its book.
    pub(super) fn forget_book(&mut self) {
        if !self.ended() {
            return;
        }
        let Some(sealed) = self.book.take() else { return };
        let owner = |it: &super::orders::Order| Owner { member: it.member(), portfolio: it.portfolio };
        self.owners = Owners::new(sealed.orders().iter().map(owner).collect());
        self.provisional = None;
        self.standing = None;
    }
}

/// Net export per `period * areas + area`. Power balances in every area, which the verifier has
/// checked, so the flows say it.
fn net_positions(info: &AuctionInfo, flows: &[i64]) -> Vec<i64> {
    let (areas, lines) = (info.rules.areas.len(), &info.rules.lines);
    let mut net = vec![0; areas * usize::from(info.periods)];
    if lines.is_empty() {
        return net;
    }
    for (net, flows) in net.chunks_mut(areas).zip(flows.chunks(lines.len())) {
        for (line, flow) in lines.iter().zip(flows) {
            net[usize::from(line.from)] += flow;
            net[usize::from(line.to)] -= flow;
        }
    }
    net
}

/// The name of a broken rule without what it was broken by: the book stays sealed, also in an alarm.
fn rule_name(broken: &verify::Break) -> String {
    let shown = format!("{broken:?}");
    let name = shown.split(|it: char| !it.is_ascii_alphanumeric()).next();
    String::from(name.unwrap_or_default())
}
