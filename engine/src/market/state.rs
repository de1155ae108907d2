//! The whole state, and what happens to it by itself: timers, quanta, publication.

use super::acts::Proposals;
use super::auctions::Auctions;
use super::clearance::Clearances;
use super::orders::{Order, SealedBook};
use super::publication::{Ended, Publication, Ready, Worked};
use super::registry::Registry;
use super::requests::{RequestLog, utc_day};
use super::session::{Advance, Auction, Standing};
use super::settlement::{Booked, Days, Ledger, Settled};
use super::streams::Out;
use super::timetable::{Step, Timer, Timetable};
use crate::command::{OrderBody, Request};
use crate::digest::{Feed, Words, quick};
use crate::event::{AuctionInfo, EventBody, PeriodFill, Phase, PublishedResult, Reason, Stream};
use crate::ids::{AuctionId, Market, MemberId, OrderId};
use crate::limits;
use crate::risk::accounts::Accounts;
use crate::snapshot::{keep_struct, state_struct};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Everything but the counters of streams.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) registry: Registry,
    pub(super) timetable: Timetable,
    pub(super) auctions: Auctions,
    pub(super) orders: OrderIndex,
    pub(super) requests: RequestLog,
    pub(super) ledger: Ledger,
    /// Delivery days in settlement.
    pub(super) days: Days,
    pub(super) accounts: Accounts,
    pub(super) clearances: Clearances,
    pub(super) proposals: Proposals,
    /// Auctions with a run, the most urgent first.
    running: BTreeSet<Urgency>,
    /// UTC day of the last command.
    pub(super) day: i64,
}

state_struct! { State {
    registry, timetable, auctions, orders, requests, ledger, days, accounts, clearances, proposals,
    running, day,
} }

/// A real-time session goes before a day-ahead auction, then the earlier gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Urgency {
    day_ahead: bool,
    gate_us: i64,
    auction: AuctionId,
}

state_struct! { Urgency { day_ahead, gate_us, auction } }

impl Urgency {
    fn of(info: &AuctionInfo) -> Self {
        let auction = info.auction;
        Self { day_ahead: auction.market == Market::Dam, gate_us: info.gate_us, auction }
    }
}

/// Where each order is: every member's are numbered without gaps, and so are members, so lists find it.
#[derive(Debug, Default)]
pub(super) struct OrderIndex {
    /// By number.
    members: Vec<MemberIndex>,
    /// Sum of the digests of all places.
    sum: u128,
}

#[derive(Debug, Default)]
struct MemberIndex {
    /// Orders before the first one of the list are forgotten.
    forgotten: u32,
    places: VecDeque<(AuctionId, u32)>,
}

keep_struct! {
    OrderIndex { members, sum }
    MemberIndex { forgotten, places }
}

fn digest_of(order: OrderId, (auction, slot): (AuctionId, u32)) -> u128 {
    quick(&(order, auction, slot))
}

impl Feed for OrderIndex {
    fn feed<W: Words>(&self, hasher: &mut W) {
        let Self { members, sum } = self;
        members.len().feed(hasher);
        for MemberIndex { forgotten, places } in members {
            (*forgotten, places.len()).feed(hasher);
        }
        let sum = if hasher.recounts() { self.recount() } else { *sum };
        sum.feed(hasher);
    }
}

impl MemberIndex {
    fn entered(&self) -> u32 {
        self.forgotten + u32::try_from(self.places.len()).expect("admission bounds the orders of a member")
    }
}

impl OrderIndex {
    /// Whether a member has used up its numbers.
    pub(super) fn is_full(&self, member: MemberId) -> bool {
        self.of(member).is_some_and(|it| it.entered() == u32::MAX)
    }

    /// The id that a member's next order gets.
    pub(super) fn next(&self, member: MemberId) -> OrderId {
        OrderId::new(member, self.of(member).map_or(0, MemberIndex::entered) + 1)
    }

    pub(super) fn add(&mut self, member: MemberId, auction: AuctionId, slot: u32) {
        let at = usize::try_from(member.0).expect("members are bounded by limits");
        if self.members.len() <= at {
            self.members.resize_with(at + 1, MemberIndex::default);
        }
        let index = &mut self.members[at];
        let digest = digest_of(OrderId::new(member, index.entered() + 1), (auction, slot));
        index.places.push_back((auction, slot));
        self.sum = self.sum.wrapping_add(digest);
    }

    /// The auction and slot of an order, unless it is unknown or forgotten.
    pub(super) fn find(&self, order: OrderId) -> Option<(AuctionId, u32)> {
        let index = self.of(order.member()?)?;
        let at = order.number().checked_sub(index.forgotten + 1)?;
        index.places.get(usize::try_from(at).ok()?).copied()
    }

    fn of(&self, member: MemberId) -> Option<&MemberIndex> {
        self.members.get(usize::try_from(member.0).ok()?)
    }

    fn forget_while(&mut self, gone: impl Fn(AuctionId) -> bool) {
        for (member, index) in (0..).map(MemberId).zip(&mut self.members) {
            while let Some(place) = index.places.front().filter(|(auction, _)| gone(*auction)) {
                let digest = digest_of(OrderId::new(member, index.forgotten + 1), *place);
                self.sum = self.sum.wrapping_sub(digest);
                index.places.pop_front();
                index.forgotten += 1;
            }
        }
    }

    /// Changes a place behind the back of the sum.
    #[cfg(test)]
    pub(super) fn spoil(&mut self) {
        let index = self.members.first_mut().expect("a member has orders");
        index.places.front_mut().expect("an order").1 ^= 1;
    }

    fn recount(&self) -> u128 {
        let mut sum: u128 = 0;
        for (member, index) in (0..).map(MemberId).zip(&self.members) {
            for (number, place) in (index.forgotten + 1..).zip(&index.places) {
                sum = sum.wrapping_add(digest_of(OrderId::new(member, number), *place));
            }
        }
        sum
    }
}

impl State {
    /// Reads what some requests will look up.
    pub(super) fn touch<'a>(&self, requests: impl Iterator<Item = &'a Request>) {
        self.requests.touch(requests.map(|it| &it.request_id));
    }

    /// Does everything that is due, in order.
    #[inline]
    pub(super) fn pass_time(&mut self, out: &mut Out<'_>) {
        // Nearly always there is nothing to do.
        if self.day != utc_day(out.time_us) || self.timetable.may_be_due(out.time_us) {
            self.pass_time_by(out);
        }
    }

    #[inline(never)]
    fn pass_time_by(&mut self, out: &mut Out<'_>) {
        let day = utc_day(out.time_us);
        if self.day != day {
            self.day = day;
            self.requests.expire(day);
        }
        while let Some(timer) = self.timetable.take_due(out.time_us) {
            if timer.step == Step::Load {
                self.load_day(timer, out);
            } else {
                self.step(timer, out);
            }
        }
    }

    fn load_day(&mut self, timer: Timer, out: &mut Out<'_>) {
        self.retire(timer);
        for info in self.timetable.load(timer, out.time_us) {
            self.timetable.set_timers(&info);
            let auction = Auction::new(info);
            out.say(Stream::Market, EventBody::AuctionScheduled(Arc::clone(&auction.info)));
            self.auctions.insert(auction);
        }
    }

    /// Forgets auctions that ended long before the day being loaded.
    fn retire(&mut self, timer: Timer) {
        let oldest = timer.day.plus(-limits::AUCTION_RETENTION_DAYS);
        self.auctions.retain(|id, it| id.market != timer.market || id.day >= oldest || !it.ended());
        self.days.retire(oldest);
        self.accounts.forget(oldest);
        let auctions = &self.auctions;
        self.orders.forget_while(|auction| !auctions.contains_key(&auction));
    }

    fn step(&mut self, timer: Timer, out: &mut Out<'_>) {
        let id = timer.auction();
        let auction = self.auctions.get_mut(&id).expect("timers of auctions that exist");
        match timer.step {
            Step::Load => {}
            Step::Open => auction.open(out),
            Step::Gate => auction.close_gate(out),
            Step::Capacities => auction.capacities_due(out),
            Step::Publish => auction.result_due(out),
            Step::Acknowledge => auction.acknowledgement_due(out),
            Step::Deliver => auction.forget_book(),
        }
        self.note_run(id);
    }

    /// A result that comes after delivery has begun stands: its book is closed at once.
    pub(super) fn close_if_delivered(&mut self, id: AuctionId, time_us: i64) {
        let auction = self.auctions.get_mut(&id).expect("the auction at hand");
        if auction.info.delivery_start_us <= time_us {
            auction.forget_book();
        }
    }

    /// Keeps the list of running auctions and idle timers in step with an auction.
    pub(super) fn note_run(&mut self, id: AuctionId) {
        let auction = self.auctions.get(&id).expect("the auction at hand");
        let urgency = Urgency::of(&auction.info);
        if auction.run.is_some() {
            self.running.insert(urgency);
        } else {
            self.running.remove(&urgency);
        }
        if auction.ended() || auction.capacity.is_some() {
            self.timetable.clear_timer(&auction.info, Step::Capacities, auction.info.capacities_us);
        }
        if auction.ended() {
            self.timetable.clear_timer(&auction.info, Step::Publish, auction.info.publish_us);
        }
    }

    /// The most urgent auction that is clearing.
    pub(super) fn most_urgent(&self) -> Option<AuctionId> {
        self.running.first().map(|it| it.auction)
    }

    /// One quantum of an auction's run; nothing if it has none.
    pub(super) fn quantum(&mut self, id: AuctionId, units: u32, out: &mut Out<'_>) {
        if self.auctions.get(&id).is_some_and(Auction::wants_funds_check) {
            self.check_all_funds(id, out);
        }
        let Some(auction) = self.auctions.get_mut(&id) else { return };
        let registry = &self.registry;
        let code = |member| registry.member(member).expect("members stay").code.clone();
        match auction.quantum(units, |book| book.seal(code), out) {
            Advance::Continues => {}
            Advance::Publish(publication) => self.publish(id, *publication, out),
            Advance::Halted => self.end_without_result(id, Phase::Halted, out),
        }
        self.note_run(id);
    }

    /// Publishes a verified result: to everybody, to every order's member, to the dispatch centre and
    /// to the clearing house; then the phase, so that whoever sees it finds everything there.
    fn publish(&mut self, id: AuctionId, publication: Publication, out: &mut Out<'_>) {
        let auction = self.auctions.get_mut(&id).expect("the auction at hand");
        let info = Arc::clone(&auction.info);
        let sealed = auction.book.as_ref().expect("an auction that clears has its book");
        let Ready { result, ended, posted } = publication.finish(auction.capacities());
        let Worked { positions, rows, posting } = posted;
        let prices = result.outcome.prices.clone();
        let posted = self.ledger.post(&info, sealed.money(), posting);
        let congestion_minor = posted.sums.congestion;
        let rows = Arc::new(rows);
        let digest = result.digest;
        let bought = result.bought.clone();
        let revision = auction.schedule.as_ref().map_or(1, |it| it.revision + 1);
        let result = PublishedResult { congestion_minor, revision, ..result };
        out.say(Stream::Market, EventBody::ResultPublished(Arc::new(result)));
        for Ended { member, order, fills, ratio, missed } in ended {
            let body = EventBody::OrderEnded { order, auction: id, fills, ratio, missed };
            out.say(Stream::Member(member), body);
        }
        let schedule = Arc::clone(&rows);
        let body = EventBody::SchedulePublished { info: Arc::clone(&info), revision, rows: schedule };
        out.say(Stream::Dispatch, body);
        let (obligations, entries) = (Arc::new(posted.obligations), Arc::new(posted.entries));
        let owed = Arc::clone(&obligations);
        self.days.say(EventBody::ObligationsPosted { info: Arc::clone(&info), obligations }, out);
        self.days.say(EventBody::LedgerPosted { auction: Some(id), entries }, out);
        auction.standing = Some(Standing { positions, prices: prices.clone() });
        auction.settle(revision, Settled { rows: Arc::clone(&rows), digest });
        self.days.book(Booked { info, rows, prices, bought, sums: posted.sums, digest });
        self.book_result(id, &owed, out);
        self.auctions.get_mut(&id).expect("the auction at hand").enter(Phase::Published, out);
        self.close_if_delivered(id, out.time_us);
    }
}

/// The fills of an order in an auction that ended without a result. There is no price; the floor
/// stands for it.
pub(super) fn no_fills(book: &SealedBook, order: &Order, reason: Reason) -> Vec<PeriodFill> {
    let price = book.book().frame().price_min;
    let fill = |period: u16| PeriodFill { period, price, bought: 0, sold: 0, reason };
    match book.body(order).as_ref() {
        OrderBody::Curve { periods, .. } => periods.iter().map(|(period, _)| fill(*period)).collect(),
        OrderBody::Block { quantity, .. } => quantity.iter().map(|(period, _)| fill(*period)).collect(),
        OrderBody::Complex { curve, .. } => curve.iter().map(|it| fill(it.period)).collect(),
    }
}
