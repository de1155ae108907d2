//! Requests: first everything that could be wrong, read-only; then, if nothing is, the change.

use super::admission::{self, Replaces};
use super::faults::Faults;
use super::orders::{Order, kind_of};
use super::registry::User;
use super::requests::{self, Free, Identity, Known, Scope};
use super::session::Auction;
use super::state::State;
use super::streams::Out;
use crate::command::{Action, Actor, Capacity, NewOrder, OrderBody, Request};
use crate::event::{Answer, EventBody, Made, Phase, Stream};
use crate::ids::{AuctionId, MemberId, OrderId, PortfolioId, TextId, UserId};
use crate::limits;
use crate::reject::{Place, Refusal, Reject};
use crate::rules::{MarketRules, Suspension};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

impl State {
    /// Answers a request, doing what it asks if nothing speaks against it.
    pub(super) fn request(&mut self, request: &mut Request, out: &mut Out<'_>) -> Answer {
        let at = (out.seq, out.time_us);
        let Some(scope) = self.registry.scope(request.actor) else {
            let refusal = Refusal::new(Reject::UnknownUser, Place::Whole);
            return requests::answer(Err(refusal), at.0, at.1, false);
        };
        let identity = Identity::of(scope, request);
        let (refusal, free) = match self.requests.look_up(&identity, self.day) {
            Known::Repeat(answer) => return answer,
            Known::Reused => (REUSED, None),
            Known::Fresh(free) => {
                let mut faults = Faults::first();
                self.check(request, at.1, &mut faults);
                self.note_operator(request.actor);
                let Some(refusal) = faults.refusal() else {
                    let made = self.commit(request, &identity, out);
                    return self.accept(&identity, made, at, free);
                };
                (refusal, free)
            }
        };
        self.say_refused(scope, request, refusal, out);
        self.requests.remember(&identity, Err(refusal), (self.day, at), free);
        requests::answer(Err(refusal), at.0, at.1, false)
    }

    /// Remembers and answers what came of an accepted request. An order in its parts, which is nearly always: what was just
    /// written part by part and is moved as a whole waits until all of it has arrived.
    #[inline]
    fn accept(&mut self, identity: &Identity, made: Made, at: (u64, i64), free: Option<Free>) -> Answer {
        if let Made::Order { order, version } = made {
            self.requests.remember_order(identity, (order, version), (self.day, at), free);
            return requests::answer(Ok(Made::Order { order, version }), at.0, at.1, false);
        }
        self.requests.remember(identity, Ok(made), (self.day, at), free);
        requests::answer(Ok(made), at.0, at.1, false)
    }

    /// From the first request of an operator on, the node's own configuration registers nothing.
    fn note_operator(&mut self, actor: Actor) {
        if self.registry.bootstrap_over {
            return;
        }
        if let Actor::User(user) = actor {
            let role = self.registry.user(user).map(|it| it.role);
            self.registry.bootstrap_over |= role == Some(crate::command::Role::Operator);
        }
    }

    fn say_refused(&self, scope: Scope, request: &Request, refusal: Refusal, out: &mut Out<'_>) {
        if let (Scope::Member(member), Actor::User(user)) = (scope, request.actor) {
            let request_id = request.request_id.clone();
            let body = EventBody::RequestRefused { request_id, user, refusal };
            out.say(Stream::Member(member), body);
        }
    }

    /// All that speaks against a request at an instant, in order of precedence; changes nothing. A
    /// repeat of an accepted request has nothing against it.
    pub(super) fn dry_run(&self, request: &Request, time_us: i64) -> Vec<Refusal> {
        let mut faults = Faults::all();
        let Some(scope) = self.registry.scope(request.actor) else {
            faults.add(Reject::UnknownUser, Place::Whole);
            return faults.into_all();
        };
        match self.requests.look_up(&Identity::of(scope, request), requests::utc_day(time_us)) {
            Known::Repeat(Answer::Accepted { .. } | Answer::None) => return Vec::new(),
            Known::Repeat(Answer::Refused { refusal, .. }) => faults.add(refusal.reject, refusal.place),
            Known::Reused => faults.add(REUSED.reject, REUSED.place),
            Known::Fresh(_) => {}
        }
        self.check(request, time_us, &mut faults);
        faults.into_all()
    }

    fn check(&self, request: &Request, time_us: i64, faults: &mut Faults) {
        let Request { actor, request_id: _, action } = request;
        faults.require(self.registry.permits(*actor, action), Reject::NotPermitted, Place::Whole);
        let registry = &self.registry;
        match action {
            Action::SetRules(rules) => self.check_rules(rules, faults),
            Action::RegisterMember { code, name } => registry.check_member(code, name, faults),
            Action::SetMemberSuspended { member, suspended: _ } => registry.check_known(*member, faults),
            Action::Deposit { member, minor } => self.check_deposit(*member, *minor, faults),
            Action::Withdraw { member, minor } => self.check_withdrawal(*member, *minor, faults),
            Action::RecordPayIn { member, day } => self.check_pay_in(*member, *day, faults),
            Action::SetClearance { portfolio, area, clearance } => {
                self.check_set_clearance(*portfolio, area, *clearance, time_us, faults);
            }
            Action::RegisterPortfolio { member, code, areas } => {
                registry.check_portfolio(*member, code, areas, faults);
            }
            Action::RegisterUser { .. } => {
                registry.check_user(&user_of(action).expect("the action registers a user"), faults);
            }
            Action::ProposeAct { act, reason } => self.check_proposal(*act, reason, time_us, faults),
            Action::ApproveAct { proposal } => match actor {
                Actor::User(user) => self.check_approval(*user, *proposal, time_us, faults),
                Actor::System => {}
            },
            Action::SubmitCapacity(capacity) => self.check_capacity(capacity, faults),
            Action::AcknowledgeSchedule { auction, revision } => {
                self.check_acknowledgement(*auction, *revision, faults);
            }
            Action::Settle(action) => self.check_settlement(action, time_us, faults),
            Action::Submit(_) | Action::Amend { .. } | Action::Cancel { .. } | Action::CancelAll { .. } => {
                if let Some((user, member)) = self.trader(*actor) {
                    self.check_trade(user, member, action, time_us, faults);
                }
            }
        }
    }

    /// The user behind a trading request and its member; whoever has none is refused already.
    fn trader(&self, actor: Actor) -> Option<(&User, MemberId)> {
        let Actor::User(id) = actor else { return None };
        let user = self.registry.user(id)?;
        Some((user, user.member?))
    }

    fn check_rules(&self, rules: &MarketRules, faults: &mut Faults) {
        if let Some(field) = rules.fault() {
            faults.add(Reject::RulesInvalid, Place::Field(field));
        }
        let money = |it: &MarketRules| (it.currency, it.minor_decimals);
        let one = self.timetable.rules().iter().all(|it| money(it) == money(rules));
        faults.require(one, Reject::RulesInvalid, Place::Field("currency"));
        let free = rules.effective_from >= self.timetable.first_free_day(rules.market);
        let (market, from) = (rules.market, rules.effective_from);
        let changed = |it: &&Auction| it.info.auction.market == market && it.info.auction.day >= from;
        let stand = self.auctions.values().filter(changed).any(Auction::has_open_orders);
        faults.require(!stand, Reject::OrdersStand, Place::Field("effective_from"));
        faults.require(free, Reject::RulesTooLate, Place::Field("effective_from"));
    }

    fn check_capacity(&self, capacity: &Capacity, faults: &mut Faults) {
        let Some(auction) = self.auctions.get(&capacity.auction) else {
            return faults.add(Reject::UnknownAuction, Place::Auction);
        };
        let halted = matches!(auction.phase, Phase::Halted | Phase::Cancelled);
        faults.require(!halted, Reject::AuctionHalted, Place::Auction);
        faults.require(halted || auction.takes_capacity(), Reject::TooLate, Place::Auction);
        faults.require(
            capacity.revision > auction.capacity_revision,
            Reject::StaleRevision,
            Place::Field("revision"),
        );
        let lines = auction.info.rules.lines.len();
        let periods = usize::from(auction.info.periods);
        let mut named = BTreeSet::new();
        for (index, (line, forward, backward)) in capacity.lines.iter().enumerate() {
            let place = Place::Line { index: u16::try_from(index).unwrap_or(u16::MAX) };
            let once = usize::from(*line) < lines && named.insert(*line);
            let whole = forward.len() == periods && backward.len() == periods;
            faults.require(once && whole, Reject::LinesIncomplete, place);
            let bounded = forward.iter().chain(backward).all(|it| (0..=limits::LOTS_MAX).contains(it));
            faults.require(bounded, Reject::CapacityOutOfRange, place);
        }
        faults.require(named.len() == lines, Reject::LinesIncomplete, Place::Field("lines"));
    }

    fn check_acknowledgement(&self, auction: AuctionId, revision: u32, faults: &mut Faults) {
        match self.auctions.get(&auction) {
            None => faults.add(Reject::UnknownAuction, Place::Auction),
            Some(it) => {
                let known = it.schedule.as_ref().is_some_and(|it| it.revision == revision);
                faults.require(known, Reject::UnknownSchedule, Place::Field("revision"));
                let fresh = it.schedule.as_ref().is_none_or(|it| !known || !it.acknowledged);
                faults.require(fresh, Reject::AlreadyAcknowledged, Place::Field("revision"));
            }
        }
    }

    fn check_trade(&self, user: &User, member: MemberId, action: &Action, time_us: i64, faults: &mut Faults) {
        let suspended = self.registry.member(member).is_some_and(|it| it.suspended);
        match action {
            Action::Submit(order) => {
                faults.require(!suspended, Reject::MemberSuspended, Place::Whole);
                self.check_submit(user, member, order, time_us, faults);
            }
            Action::Amend { order, version, body } => {
                faults.require(!suspended, Reject::MemberSuspended, Place::Whole);
                self.check_amend(user, member, (*order, *version, body), time_us, faults);
            }
            Action::Cancel { order } => {
                self.check_standing(user, member, *order, time_us, faults);
            }
            Action::CancelAll { auction, portfolio } => {
                if let Some(portfolio) = portfolio {
                    let own = self.registry.trades(user, *portfolio);
                    faults.require(own, Reject::UnknownPortfolio, Place::Portfolio);
                }
                match self.auctions.get(auction) {
                    Some(auction) => check_open(auction, time_us, faults),
                    None => faults.add(Reject::UnknownAuction, Place::Auction),
                }
            }
            Action::SetRules(_)
            | Action::RegisterMember { .. }
            | Action::SetMemberSuspended { .. }
            | Action::RegisterPortfolio { .. }
            | Action::RegisterUser { .. }
            | Action::Deposit { .. }
            | Action::Withdraw { .. }
            | Action::RecordPayIn { .. }
            | Action::SetClearance { .. }
            | Action::ProposeAct { .. }
            | Action::ApproveAct { .. }
            | Action::SubmitCapacity(_)
            | Action::AcknowledgeSchedule { .. }
            | Action::Settle(_) => {}
        }
    }

    fn check_submit(
        &self,
        user: &User,
        member: MemberId,
        order: &NewOrder,
        time_us: i64,
        faults: &mut Faults,
    ) {
        let own = self.registry.trades(user, order.portfolio);
        faults.require(own, Reject::UnknownPortfolio, Place::Portfolio);
        let Some(auction) = self.auctions.get(&order.auction) else {
            return faults.add(Reject::UnknownAuction, Place::Auction);
        };
        check_open(auction, time_us, faults);
        if let Some(portfolio) = self.registry.portfolio(order.portfolio).filter(|_| own) {
            admission::check_area(&auction.info.rules, portfolio, order.area, faults);
        }
        admission::check_body(&auction.info, &order.body, faults);
        faults.require(!self.orders.is_full(member), Reject::TooManyOrders, Place::Whole);
        if let Some(book) = &auction.book {
            let owner = (member, order.portfolio);
            admission::check_room(&auction.info, book, owner, &order.body, None, faults);
        }
        self.check_clearance(auction, (order.portfolio, order.area), None, &order.body, faults);
        self.check_funds(member, auction, None, &order.body, faults);
    }

    fn check_amend(
        &self,
        user: &User,
        member: MemberId,
        amendment: (OrderId, u32, &OrderBody),
        time_us: i64,
        faults: &mut Faults,
    ) {
        let (id, version, body) = amendment;
        let Some((auction, slot)) = self.check_standing(user, member, id, time_us, faults) else { return };
        admission::check_body(&auction.info, body, faults);
        let Some(book) = &auction.book else { return };
        let order = book.order(slot).expect("the index holds slots of the book");
        let current = order.version == version;
        faults.require(current, Reject::VersionConflict, Place::Field("version"));
        faults.require(order.kind == kind_of(body), Reject::KindChanged, Place::Field("body"));
        let portfolio = self.registry.portfolio(order.portfolio).expect("portfolios stay");
        admission::check_area(&auction.info.rules, portfolio, order.area, faults);
        let (owner, replaces) = ((member, order.portfolio), Some(Replaces { order }));
        admission::check_room(&auction.info, book, owner, body, replaces, faults);
        self.check_clearance(auction, (order.portfolio, order.area), Some(order), body, faults);
        self.check_funds(member, auction, Some(order), body, faults);
    }

    /// Whether an order is the user's to change, and can be changed now.
    fn check_standing(
        &self,
        user: &User,
        member: MemberId,
        id: OrderId,
        time_us: i64,
        faults: &mut Faults,
    ) -> Option<(&Auction, u32)> {
        let found = self.orders.find(id).and_then(|(auction, slot)| {
            let auction = self.auctions.get(&auction)?;
            let (owner, portfolio) = auction.owner(slot)?;
            (owner == member && self.registry.trades(user, portfolio)).then_some((auction, slot))
        });
        let Some((auction, slot)) = found else {
            faults.add(Reject::UnknownOrder, Place::Order);
            return None;
        };
        check_open(auction, time_us, faults);
        if let Some(order) = auction.book.as_ref().and_then(|it| it.order(slot)) {
            faults.require(order.live, Reject::OrderNotLive, Place::Order);
        }
        Some((auction, slot))
    }

    /// Does what a checked request asks. What an order wants goes from the request to where it stays, without a copy
    /// between.
    fn commit(&mut self, request: &mut Request, identity: &Identity, out: &mut Out<'_>) -> Made {
        let Request { actor, request_id, action } = request;
        let actor = *actor;
        match action {
            Action::SetRules(rules) => self.set_rules(rules, out),
            Action::RegisterMember { code, name } => self.registry.register_member(code, name, out),
            Action::SetMemberSuspended { member, suspended } => {
                self.set_suspended(user_id(actor), *member, *suspended, out)
            }
            Action::Deposit { member, minor } => self.change_collateral(actor, *member, *minor, out),
            Action::Withdraw { member, minor } => self.change_collateral(actor, *member, -*minor, out),
            Action::RecordPayIn { member, day } => self.record_pay_in(*member, *day, out),
            Action::SetClearance { portfolio, area, clearance } => {
                self.set_clearance(*portfolio, area, *clearance, out)
            }
            Action::RegisterPortfolio { member, code, areas } => {
                self.registry.register_portfolio(*member, code, areas, out)
            }
            Action::RegisterUser { .. } => {
                let user = user_of(action).expect("the action registers a user");
                self.registry.register_user(user, out)
            }
            Action::ProposeAct { act, reason } => self.propose(user_id(actor), *act, reason, out),
            Action::ApproveAct { proposal } => self.approve(user_id(actor), *proposal, out),
            Action::SubmitCapacity(capacity) => {
                let (id, revision) = (capacity.auction, capacity.revision);
                let auction = self.auctions.get_mut(&id).expect("checked");
                auction.take_capacity(Arc::new(capacity.clone()), out);
                self.note_run(id);
                Made::Revision(revision)
            }
            Action::AcknowledgeSchedule { auction, revision } => self.acknowledge(*auction, *revision, out),
            Action::Settle(action) => self.settle(action, out),
            Action::Submit(order) => self.submit(user_id(actor), request_id, order, identity, out),
            Action::Amend { order, version: _, body } => self.amend(user_id(actor), *order, body.take(), out),
            Action::Cancel { order } => {
                let (auction, _) = self.orders.find(*order).expect("checked");
                self.cancel(self.trader_of(user_id(actor)), auction, vec![*order], out)
            }
            Action::CancelAll { auction, portfolio } => {
                let all = self.tradable(user_id(actor), *auction, *portfolio);
                self.cancel(self.trader_of(user_id(actor)), *auction, all, out)
            }
        }
    }

    /// Suspends a member or lifts the suspension. Open orders stand or go as the rules of each auction say;
    /// after a gate nothing moves.
    fn set_suspended(&mut self, user: UserId, member: MemberId, suspended: bool, out: &mut Out<'_>) -> Made {
        let made = self.registry.set_suspended(member, suspended, out);
        if suspended {
            let goes = |it: &&Auction| {
                let rule = it.info.rules.suspension == Suspension::CancelsOrders;
                rule && out.time_us < it.info.gate_us && it.book.is_some()
            };
            let auctions: Vec<AuctionId> =
                self.auctions.values().filter(goes).map(|it| it.info.auction).collect();
            for auction in auctions {
                let book =
                    self.auctions.get(&auction).and_then(|it| it.book.as_ref()).expect("it has its book");
                let all = book.live_of(member).map(|it| it.id).collect();
                self.cancel((user, member), auction, all, out);
            }
        }
        made
    }

    fn set_rules(&mut self, rules: &MarketRules, out: &mut Out<'_>) -> Made {
        let rules = Arc::new(rules.clone());
        out.say(Stream::Market, EventBody::RulesSet(Arc::clone(&rules)));
        self.timetable.set_rules(rules, out.time_us);
        self.pass_time(out);
        Made::Done
    }

    fn acknowledge(&mut self, id: AuctionId, revision: u32, out: &mut Out<'_>) -> Made {
        let auction = self.auctions.get_mut(&id).expect("checked");
        auction.schedule.as_mut().expect("checked").acknowledged = true;
        out.say(Stream::Dispatch, EventBody::ScheduleAcknowledged { auction: id, revision });
        Made::Revision(revision)
    }

    fn submit(
        &mut self,
        user: UserId,
        client_order_id: &mut TextId,
        order: &mut NewOrder,
        identity: &Identity,
        out: &mut Out<'_>,
    ) -> Made {
        let member = self.registry.user(user).and_then(|it| it.member).expect("checked");
        let code = &self.registry.member(member).expect("members stay").code;
        let (id, version) = (self.orders.next(member), 1);
        let (auction, portfolio, area) = (order.auction, order.portfolio, order.area);
        let it = self.auctions.get_mut(&auction).expect("checked");
        let more = Self::change_of(it, member, None, &order.body);
        let book = it.book.as_mut().expect("an open auction has its book");
        let slot = book.insert(id, (member, code), client_order_id, order, (identity.body(), identity.key()));
        self.orders.add(member, auction, slot);
        let mut parts = (client_order_id, &mut order.body);
        out.say_made(Stream::Member(member), &mut parts, |(client_order_id, body)| {
            EventBody::OrderAccepted {
                order: id,
                version,
                client_order_id: client_order_id.take(),
                user,
                auction,
                portfolio,
                area,
                body: Box::new(body.take()),
            }
        });
        self.hold_more(member, auction, more);
        Made::Order { order: id, version }
    }

    fn amend(&mut self, user: UserId, order: OrderId, body: OrderBody, out: &mut Out<'_>) -> Made {
        let member = self.registry.user(user).and_then(|it| it.member).expect("checked");
        let code = &self.registry.member(member).expect("members stay").code;
        let (auction, slot) = self.orders.find(order).expect("checked");
        let it = self.auctions.get_mut(&auction).expect("checked");
        let more = Self::change_of(it, member, Some(slot), &body);
        let book = it.book.as_mut().expect("an open auction has its book");
        let (client_order_id, body) = book.amend(slot, code, body);
        let &Order { version, portfolio, area, .. } = book.order(slot).expect("just amended");
        let accepted = EventBody::OrderAccepted {
            order,
            version,
            client_order_id,
            user,
            auction,
            portfolio,
            area,
            body,
        };
        out.say(Stream::Member(member), accepted);
        self.hold_more(member, auction, more);
        Made::Order { order, version }
    }

    /// The live orders of an auction that a user may cancel, sorted.
    fn tradable(&self, user: UserId, auction: AuctionId, only: Option<PortfolioId>) -> Vec<OrderId> {
        let user = self.registry.user(user).expect("checked");
        let member = user.member.expect("checked");
        let book = self.auctions.get(&auction).and_then(|it| it.book.as_ref()).expect("checked");
        let wanted = book.live_of(member).filter(|it| only.is_none_or(|only| only == it.portfolio));
        wanted.filter(|it| self.registry.trades(user, it.portfolio)).map(|it| it.id).collect()
    }

    /// A trader and its member.
    fn trader_of(&self, user: UserId) -> (UserId, MemberId) {
        (user, self.registry.user(user).and_then(|it| it.member).expect("checked"))
    }

    /// Cancels live orders of a member, sorted, and with a block everything that descends
    /// from it: a child without its parent could never trade. One answer counts them all.
    fn cancel(
        &mut self,
        (user, member): (UserId, MemberId),
        id: AuctionId,
        mut generation: Vec<OrderId>,
        out: &mut Out<'_>,
    ) -> Made {
        let auction = self.auctions.get_mut(&id).expect("checked");
        let holds = Self::holds_at_entry(auction);
        let book = auction.book.as_mut().expect("an open auction has its book");
        let (mut orders, mut less, mut alone) = (0, 0, true);
        while !generation.is_empty() {
            for order in &generation {
                let body = book.cancel(member, *order);
                if holds {
                    let held = Self::held_alone(book, &body);
                    (less, alone) = (less + held.unwrap_or(0), alone && held.is_some());
                }
                orders += 1;
                out.say(Stream::Member(member), EventBody::OrderCancelled { order: *order, user });
            }
            generation = book.children(member, &generation);
        }
        if alone {
            self.hold_more(member, id, -less);
        } else {
            self.hold_anew(member, id);
        }
        Made::Cancelled { orders }
    }
}

const REUSED: Refusal = Refusal::new(Reject::RequestIdReused, Place::RequestId);

/// Whether orders may come, change or go at an instant: from the opening on, until just before the
/// gate. Decided by the times of the timetable alone, so a dry run sees the same as the request.
fn check_open(auction: &Auction, time_us: i64, faults: &mut Faults) {
    let closed = auction.info.gate_us <= time_us;
    faults.require(auction.info.open_us <= time_us, Reject::NotOpen, Place::Auction);
    faults.require(!closed, Reject::GateClosed, Place::Auction);
    let halted = matches!(auction.phase, Phase::Halted | Phase::Cancelled);
    faults.require(!halted, Reject::AuctionHalted, Place::Auction);
}

/// The user that a registration makes.
fn user_of(action: &Action) -> Option<User> {
    let Action::RegisterUser { name, fingerprint, role, member, portfolios } = action else { return None };
    let (name, portfolios) = (name.clone(), portfolios.clone());
    Some(User { name, fingerprint: *fingerprint, role: *role, member: *member, portfolios })
}

fn user_id(actor: Actor) -> UserId {
    match actor {
        Actor::User(user) => user,
        Actor::System => panic!("the node's configuration does not trade; checked"),
    }
}
