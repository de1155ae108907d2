//! Exceptional acts: what no timetable foresees, done by two operators and told to everybody.
//!
//! One operator proposes with a reason, another approves, and only then it happens. Nothing here enters,
//! changes or removes a single order, and nothing reopens a closed book:
//!
//! - a whole auction is cancelled, before its result;
//! - a gate that has not closed is moved to a later time, before the result is due;
//! - an auction is run again with the book as it was at the gate, after a wrong capacity. Its result, if
//!   there is one, is void from then on: what it made anybody owe is reversed, what the orders can cost is
//!   held again, and the dispatch centre is asked for a new revision of its capacities.

use super::faults::Faults;
use super::session::Auction;
use super::settlement::{Position, Posting};
use super::state::State;
use super::streams::Out;
use crate::calendar::MINUTE_US;
use crate::command::Act;
use crate::event::{AuctionInfo, EventBody, Made, Phase, Reason, Stream};
use crate::ids::{AuctionId, UserId};
use crate::limits;
use crate::reject::{Place, Reject};
use crate::rules::FundsRule;
use crate::snapshot::state_struct;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A proposal lapses when nobody approves it for so long.
const LAPSES_AFTER_US: i64 = 24 * 60 * MINUTE_US;

/// What one operator proposed.
#[derive(Debug)]
struct Proposal {
    act: Act,
    reason: String,
    proposer: UserId,
    time_us: i64,
    done: bool,
}

/// All proposals, by number from 1.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    all: Vec<Proposal>,
}

state_struct! {
    Proposal { act, reason, proposer, time_us, done }
    Proposals { all }
}

impl Proposals {
    fn find(&self, number: u32) -> Option<&Proposal> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.all.get(at)
    }
}

/// How long capacities and then the result may take when an auction is run again: as long as the
/// timetable gives them after the gate.
fn lead_us(info: &AuctionInfo) -> (i64, i64) {
    let capacities = (info.capacities_us - info.gate_us).max(MINUTE_US);
    (capacities, (info.publish_us - info.capacities_us).max(MINUTE_US))
}

fn check_act(auction: &Auction, act: Act, time_us: i64, faults: &mut Faults) {
    let info = &auction.info;
    match act {
        Act::CancelAuction { .. } => {
            faults.require(!auction.ended(), Reject::WrongPhase, Place::Auction);
        }
        Act::ExtendGate { gate_us, .. } => {
            faults.require(time_us < info.gate_us, Reject::GateClosed, Place::Auction);
            let phase = matches!(auction.phase, Phase::Scheduled | Phase::Open);
            faults.require(phase, Reject::WrongPhase, Place::Auction);
            let later = (info.gate_us + 1..info.publish_us).contains(&gate_us);
            faults.require(later, Reject::GateOutOfRange, Place::Field("gate_closes_at"));
        }
        Act::Rerun { .. } => {
            let phase = matches!(auction.phase, Phase::Clearing | Phase::Published | Phase::Halted);
            faults.require(phase && auction.book.is_some(), Reject::WrongPhase, Place::Auction);
            let (capacities, result) = lead_us(info);
            let in_time = time_us.saturating_add(capacities + result) <= info.delivery_start_us;
            faults.require(in_time, Reject::TooLate, Place::Auction);
        }
    }
}

impl State {
    pub(super) fn check_proposal(&self, act: Act, reason: &str, time_us: i64, faults: &mut Faults) {
        let given = (1..=limits::NAME_BYTES_MAX).contains(&reason.len());
        faults.require(given, Reject::NameOutOfRange, Place::Field("reason"));
        match self.auctions.get(&act.auction()) {
            Some(auction) => check_act(auction, act, time_us, faults),
            None => faults.add(Reject::UnknownAuction, Place::Auction),
        }
    }

    pub(super) fn check_approval(&self, user: UserId, number: u32, time_us: i64, faults: &mut Faults) {
        let place = Place::Field("proposal_id");
        let Some(proposal) = self.proposals.find(number) else {
            return faults.add(Reject::UnknownProposal, place);
        };
        let open = !proposal.done && time_us.saturating_sub(proposal.time_us) <= LAPSES_AFTER_US;
        faults.require(open, Reject::ProposalClosed, place);
        faults.require(proposal.proposer != user, Reject::SecondPersonNeeded, place);
        match self.auctions.get(&proposal.act.auction()) {
            Some(auction) if open => check_act(auction, proposal.act, time_us, faults),
            Some(_) => {}
            None => faults.add(Reject::UnknownAuction, Place::Auction),
        }
    }

    pub(super) fn propose(&mut self, user: UserId, act: Act, reason: &str, out: &mut Out<'_>) -> Made {
        let (proposer, time_us, reason) = (user, out.time_us, String::from(reason));
        self.proposals.all.push(Proposal { act, reason: reason.clone(), proposer, time_us, done: false });
        let proposal = u32::try_from(self.proposals.all.len()).expect("operators propose seldom");
        out.say(Stream::Operator, EventBody::ActProposed { proposal, act, reason, proposer });
        Made::Proposal(proposal)
    }

    pub(super) fn approve(&mut self, approver: UserId, proposal: u32, out: &mut Out<'_>) -> Made {
        let at = usize::try_from(proposal).expect("checked") - 1;
        let found = &mut self.proposals.all[at];
        found.done = true;
        let (act, proposer, reason) = (found.act, found.proposer, found.reason.clone());
        for stream in [Stream::Market, Stream::Operator] {
            let reason = reason.clone();
            out.say(stream, EventBody::ActDone { proposal, act, reason, proposer, approver });
        }
        match act {
            Act::CancelAuction { auction } => self.end_without_result(auction, Phase::Cancelled, out),
            Act::ExtendGate { auction, gate_us } => self.extend_gate(auction, gate_us, out),
            Act::Rerun { auction } => self.rerun(auction, out),
        }
        Made::Proposal(proposal)
    }

    fn extend_gate(&mut self, id: AuctionId, gate_us: i64, out: &mut Out<'_>) {
        let auction = self.auctions.get_mut(&id).expect("checked");
        let old = Arc::clone(&auction.info);
        let corridor_us = old.corridor_us.max(gate_us);
        let capacities_us = old.capacities_us.max(corridor_us);
        let new = AuctionInfo { gate_us, corridor_us, capacities_us, ..AuctionInfo::clone(&old) };
        self.reschedule(id, new, out);
    }

    /// Gives an auction other times, tells everybody, and moves its timers.
    fn reschedule(&mut self, id: AuctionId, new: AuctionInfo, out: &mut Out<'_>) {
        let auction = self.auctions.get_mut(&id).expect("the auction at hand");
        self.timetable.move_timers(&auction.info, &new, out.time_us);
        auction.info = Arc::new(new);
        out.say(Stream::Market, EventBody::AuctionChanged(Arc::clone(&auction.info)));
    }

    fn rerun(&mut self, id: AuctionId, out: &mut Out<'_>) {
        self.void_result(id, out);
        let auction = self.auctions.get_mut(&id).expect("checked");
        if auction.info.rules.risk.funds != FundsRule::None {
            self.check_all_funds(id, out);
        }
        let auction = self.auctions.get_mut(&id).expect("checked");
        let old = Arc::clone(&auction.info);
        let (capacities, result) = lead_us(&old);
        let capacities_us = out.time_us + capacities;
        let publish_us = capacities_us + result;
        let acknowledge_us = old.acknowledge_us.map(|it| publish_us + (it - old.publish_us));
        let new = AuctionInfo { capacities_us, publish_us, acknowledge_us, ..AuctionInfo::clone(&old) };
        self.reschedule(id, new, out);
        let auction = self.auctions.get_mut(&id).expect("checked");
        auction.ask_again(out);
        self.note_run(id);
    }

    /// Takes back what a published result made anybody owe.
    fn void_result(&mut self, id: AuctionId, out: &mut Out<'_>) {
        let auction = self.auctions.get_mut(&id).expect("checked");
        let Some(standing) = auction.standing.take() else { return };
        let info = Arc::clone(&auction.info);
        let money = *auction.book.as_ref().expect("a result that can be voided has its book").money();
        let (areas, mut posting) = (info.rules.areas.len(), Posting::new(info.periods));
        for it in &standing.positions {
            let back = Position { bought: -it.bought, sold: -it.sold, ..*it };
            let price = standing.prices[usize::from(it.period) * areas + usize::from(it.area)];
            posting.add(&info.rules, &money, &back, price);
        }
        let posted = self.ledger.post(&info, &money, posting);
        let (obligations, entries) = (Arc::new(posted.obligations), Arc::new(posted.entries));
        let owed = Arc::clone(&obligations);
        self.days.void(id);
        self.days.say(EventBody::ObligationsPosted { info, obligations }, out);
        self.days.say(EventBody::LedgerPosted { auction: Some(id), entries }, out);
        self.book_result(id, &owed, out);
    }

    /// Ends an auction without a result: every order ends, nothing is held any more, and a schedule that
    /// was published before is replaced by an empty one.
    pub(super) fn end_without_result(&mut self, id: AuctionId, phase: Phase, out: &mut Out<'_>) {
        let auction = self.auctions.get_mut(&id).expect("the auction at hand");
        let sealed = auction.book.as_ref().expect("an auction that has not ended has its book");
        for order in sealed.orders().iter().filter(|it| it.live) {
            let fills = super::state::no_fills(sealed, order, Reason::AuctionCancelled);
            let (ratio, missed) = (None, None);
            let body = EventBody::OrderEnded { order: order.id, auction: id, fills, ratio, missed };
            out.say(Stream::Member(order.member()), body);
        }
        if let Some(schedule) = &mut auction.schedule {
            schedule.revision += 1;
            schedule.rows = Arc::default();
            schedule.acknowledged = false;
            let (info, revision, rows) =
                (Arc::clone(&auction.info), schedule.revision, Arc::clone(&schedule.rows));
            out.say(Stream::Dispatch, EventBody::SchedulePublished { info, revision, rows });
        }
        auction.run = None;
        auction.result = None;
        auction.enter(phase, out);
        if phase == Phase::Cancelled {
            auction.forget_book();
            self.timetable.drop_timers(&auction.info);
        }
        self.close_if_delivered(id, out.time_us);
        self.accounts.release(id);
        self.note_run(id);
    }
}
