//! Money behind orders: what is held when an order is entered, the margin of the day-ahead market, and
//! the funds check between its two runs.

use super::faults::Faults;
use super::orders::{Order, SealedBook};
use super::session::Auction;
use super::state::State;
use super::streams::Out;
use crate::calendar::Day;
use crate::command::{Actor, OrderBody};
use crate::event::{Alarm, CollateralCause, EventBody, Made, Obligation, Stream};
use crate::ids::{AuctionId, MemberId, OrderId};
use crate::limits;
use crate::reject::{Place, Reject};
use crate::risk::Grid;
use crate::risk::accounts::Account;
use crate::risk::families::{self, Relative};
use crate::risk::worst::{self, Worst};
use crate::rules::FundsRule;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// Minor units as millionths of the currency, as refusals say them.
fn micros(minor: i128, minor_decimals: u8) -> i64 {
    let unit = 10_i128.pow(6_u32.saturating_sub(u32::from(minor_decimals)));
    i64::try_from(minor.saturating_mul(unit)).unwrap_or(i64::MAX)
}

/// What the live orders of one member can cost together, minor units.
pub(super) fn worst_of(book: &SealedBook, member: MemberId) -> i128 {
    let grid = book.grid();
    let mut minor = 0;
    let mut blocks = Vec::new();
    for order in book.live_of(member) {
        match worst::of(grid, &book.body(order)) {
            Worst::Single(it) => minor += it,
            Worst::Block(worst) => blocks.push(relative(book, order, worst)),
        }
    }
    minor + families::worst(grid, &blocks)
}

/// A live block among those of its member.
fn relative<'a>(
    book: &'a SealedBook,
    order: &Order,
    worst: worst::BlockWorst,
) -> Relative<'a, OrderId, crate::ids::TextId> {
    Relative { id: order.id, parent: book.parent(order), group: group_of(book.lumpy_body(order)), worst }
}

fn group_of(body: &OrderBody) -> Option<&crate::ids::TextId> {
    match body {
        OrderBody::Block { group, .. } => group.as_ref(),
        OrderBody::Curve { .. } | OrderBody::Complex { .. } => None,
    }
}

fn is_linked(body: &OrderBody) -> bool {
    match body {
        OrderBody::Block { parent, group, .. } => parent.is_some() || group.is_some(),
        OrderBody::Curve { .. } | OrderBody::Complex { .. } => false,
    }
}

/// By how much a member's worst case changes when an order is entered, or `replaces` becomes `body`.
fn change(
    book: &SealedBook,
    grid: &Grid,
    member: MemberId,
    replaces: Option<&Order>,
    body: &OrderBody,
) -> i128 {
    let alone = |body: &OrderBody| match worst::of(grid, body) {
        Worst::Single(minor) => minor,
        Worst::Block(it) => it.alone(grid),
    };
    let linked = is_linked(body)
        || replaces
            .is_some_and(|it| is_linked(&book.body(it)) || !book.children(member, &[it.id]).is_empty());
    if !linked {
        return alone(body) - replaces.map_or(0, |it| alone(&book.body(it)));
    }
    let Worst::Block(worst) = worst::of(grid, body) else { return 0 };
    let mut blocks: Vec<_> =
        book.live_blocks_of(member).map(|it| relative(book, it, block_worst(book, it))).collect();
    let before = families::worst(grid, &blocks);
    let id = replaces.map_or(OrderId(u64::MAX), |it| it.id);
    let parent = match body {
        OrderBody::Block { parent: Some(parent), .. } => book.parent_block(member, parent).map(|it| it.id),
        OrderBody::Block { .. } | OrderBody::Curve { .. } | OrderBody::Complex { .. } => None,
    };
    blocks.retain(|it| it.id != id);
    blocks.push(Relative { id, parent, group: group_of(body), worst });
    blocks.sort_unstable_by_key(|it| it.id);
    families::worst(grid, &blocks) - before
}

fn block_worst(book: &SealedBook, order: &Order) -> worst::BlockWorst {
    match worst::of(book.grid(), book.lumpy_body(order)) {
        Worst::Block(it) => it,
        Worst::Single(_) => panic!("a block is a block"),
    }
}

impl State {
    /// Whether a member can pay for an order. Content, family and room are known to be sound, so no
    /// number is beyond its bounds.
    pub(super) fn check_funds(
        &self,
        member: MemberId,
        auction: &Auction,
        replaces: Option<&Order>,
        body: &OrderBody,
        faults: &mut Faults,
    ) {
        let rules = &auction.info.rules;
        if !faults.none() {
            return;
        }
        let account = self.accounts.of(member);
        let (reject, missing) = match rules.risk.funds {
            FundsRule::None => return,
            FundsRule::HoldAtEntry => {
                let Some(book) = &auction.book else { return };
                let more = change(book, book.grid(), member, replaces, body);
                (Reject::FundsShort, if more > 0 { more - account.available() } else { 0 })
            }
            FundsRule::CheckBetweenRuns => {
                if !worst::buys(body) {
                    return;
                }
                let margin = margin(account, auction.info.auction.day, &rules.risk);
                (Reject::MarginShort, margin - account.available())
            }
        };
        if missing > 0 {
            faults.short(reject, Place::Whole, micros(missing, rules.minor_decimals));
        }
    }

    /// Holds what a member's orders in an auction can cost now, after an order was entered or replaced.
    /// `more` is by how much that changes.
    pub(super) fn hold_more(&mut self, member: MemberId, id: AuctionId, more: i128) {
        if more != 0 {
            let held = self.accounts.of(member).held_for(id) + more;
            self.accounts.hold(member, id, held);
        }
    }

    /// By how much an order changes what is held; 0 where nothing is held at entry.
    pub(super) fn change_of(
        auction: &Auction,
        member: MemberId,
        replaces: Option<u32>,
        body: &OrderBody,
    ) -> i128 {
        if auction.info.rules.risk.funds != FundsRule::HoldAtEntry {
            return 0;
        }
        let book = auction.book.as_ref().expect("an open auction has its book");
        let replaces = replaces.and_then(|slot| book.order(slot));
        change(book, book.grid(), member, replaces, body)
    }

    /// What is held no more when an order is taken back that stands by itself; nothing of one that belongs
    /// to a family or group, whose other members count anew.
    pub(super) fn held_alone(book: &SealedBook, body: &OrderBody) -> Option<i128> {
        match worst::of(book.grid(), body) {
            Worst::Single(minor) => Some(minor),
            Worst::Block(_) => None,
        }
    }

    /// Whether orders of an auction are held for when they are entered.
    pub(super) fn holds_at_entry(auction: &Auction) -> bool {
        auction.info.rules.risk.funds == FundsRule::HoldAtEntry
    }

    /// Holds what is left after orders were taken back.
    pub(super) fn hold_anew(&mut self, member: MemberId, id: AuctionId) {
        let auction = self.auctions.get(&id).expect("the auction at hand");
        if auction.info.rules.risk.funds != FundsRule::HoldAtEntry {
            return;
        }
        let book = auction.book.as_ref().expect("an open auction has its book");
        let minor = worst_of(book, member);
        self.accounts.hold(member, id, minor);
    }

    /// The funds check: holds the worst case of every member's orders and takes out what is not covered.
    /// Orders are looked at by id; a family stands or falls with its parent. The worst case, not the
    /// provisional result, counts: prices of an area can rise in the constrained run.
    pub(super) fn check_all_funds(&mut self, id: AuctionId, out: &mut Out<'_>) {
        let auction = self.auctions.get_mut(&id).expect("the auction at hand");
        auction.funds_checked = true;
        let book = auction.book.as_mut().expect("an auction that clears has its book");
        for member in book.members_with_orders() {
            // What was held for an earlier run of the same auction is there for this one.
            self.accounts.hold(member, id, 0);
            let there = self.accounts.of(member).available().max(0);
            let whole = worst_of(book, member);
            if whole <= there {
                self.accounts.hold(member, id, whole);
                continue;
            }
            let (kept, minor) = covered(book, member, there);
            let gone: Vec<OrderId> =
                book.live_of(member).map(|it| it.id).filter(|it| !kept.contains(it)).collect();
            for order in &gone {
                let fills = super::state::no_fills(
                    book,
                    book.live_order(member, *order).expect("it is live"),
                    crate::event::Reason::Funds,
                );
                drop(book.cancel(member, *order));
                let (ratio, missed) = (None, None);
                let body = EventBody::OrderEnded { order: *order, auction: id, fills, ratio, missed };
                out.say(Stream::Member(member), body);
            }
            self.accounts.hold(member, id, minor);
            let orders = u32::try_from(gone.len()).unwrap_or(u32::MAX);
            let alarm = Alarm::FundsShort { auction: id, member, orders };
            out.say(Stream::Operator, EventBody::Alarm(alarm));
        }
    }

    /// Turns a result into what members owe: lets go of what was held and books the day.
    pub(super) fn book_result(&mut self, id: AuctionId, obligations: &[Obligation], out: &mut Out<'_>) {
        let auction = self.auctions.get(&id).expect("the auction at hand");
        let rules = &auction.info.rules;
        let funds = rules.risk.funds;
        self.accounts.release(id);
        if funds == FundsRule::None {
            return;
        }
        let mut members: BTreeMap<MemberId, (i128, i128)> = BTreeMap::new();
        for of_member in obligations.chunk_by(|a, b| a.member == b.member) {
            let (net, bought) = members.entry(of_member[0].member).or_default();
            for it in of_member {
                let fee = i128::from(it.fee_minor) + i128::from(it.tax_minor);
                *net += i128::from(it.value_minor) - fee;
                *bought += i128::from(it.value_minor.saturating_neg().max(0));
            }
        }
        let ahead = funds == FundsRule::CheckBetweenRuns;
        for (member, (net, bought)) in members {
            self.accounts.book(member, id.day, net, if ahead { bought } else { 0 });
            self.say_collateral(member, CollateralCause::Result(id), out);
        }
    }

    pub(super) fn say_collateral(&self, member: MemberId, cause: CollateralCause, out: &mut Out<'_>) {
        let account = self.accounts.of(member);
        let (balance, held, due) = (account.balance(), account.held(), account.due());
        let body = EventBody::CollateralChanged { member, cause, balance, held, due };
        out.say(Stream::Member(member), body);
    }

    pub(super) fn check_deposit(&self, member: MemberId, minor: i64, faults: &mut Faults) {
        self.registry.check_known(member, faults);
        let bounded = self.accounts.takes(member, minor);
        faults.require(bounded, Reject::AmountOutOfRange, Place::Field("amount"));
    }

    pub(super) fn check_withdrawal(&self, member: MemberId, minor: i64, faults: &mut Faults) {
        self.registry.check_known(member, faults);
        let bounded = (1..=limits::COLLATERAL_MAX).contains(&minor);
        faults.require(bounded, Reject::AmountOutOfRange, Place::Field("amount"));
        let missing = i128::from(minor) - self.accounts.of(member).available();
        if bounded && missing > 0 {
            let decimals = self.timetable.rules().first().map_or(2, |it| it.minor_decimals);
            faults.short(Reject::CollateralInUse, Place::Field("amount"), micros(missing, decimals));
        }
    }

    /// What an exchange is founded with is no change: it is not said.
    pub(super) fn change_collateral(
        &mut self,
        actor: Actor,
        member: MemberId,
        minor: i64,
        out: &mut Out<'_>,
    ) -> Made {
        self.accounts.change_balance(member, minor);
        if actor == Actor::System {
            return Made::Done;
        }
        let cause = if minor < 0 { CollateralCause::Withdrawal } else { CollateralCause::Deposit };
        self.say_collateral(member, cause, out);
        Made::Done
    }

    pub(super) fn check_pay_in(&self, member: MemberId, day: Day, faults: &mut Faults) {
        self.registry.check_known(member, faults);
        let known = self.accounts.of(member).days().contains_key(&day);
        faults.require(known, Reject::NothingDue, Place::Field("delivery_day"));
    }

    pub(super) fn record_pay_in(&mut self, member: MemberId, day: Day, out: &mut Out<'_>) -> Made {
        self.accounts.pay(member, day);
        self.say_collateral(member, CollateralCause::PayIn(day), out);
        Made::Done
    }
}

/// The margin that a member needs to buy for a delivery day.
pub(super) fn margin(account: &Account, day: Day, risk: &crate::rules::RiskRules) -> i128 {
    account.average_bought(day, risk.margin_days).max(i128::from(risk.margin_min_minor))
}

/// The orders of a member that what is there covers, taken by id as long as they fit, and what they can
/// cost. No child is kept without its parent.
fn covered(book: &SealedBook, member: MemberId, there: i128) -> (BTreeSet<OrderId>, i128) {
    let grid = book.grid();
    let mut kept: BTreeSet<OrderId> = BTreeSet::new();
    let mut singles = 0;
    let mut blocks: Vec<Relative<'_, OrderId, crate::ids::TextId>> = Vec::new();
    let mut family = 0;
    for order in book.live_of(member) {
        match worst::of(grid, &book.body(order)) {
            Worst::Single(minor) if singles + minor + family <= there => singles += minor,
            Worst::Single(_) => continue,
            Worst::Block(worst) => {
                blocks.push(relative(book, order, worst));
                let with = families::worst(grid, &blocks);
                if singles + with > there {
                    blocks.pop();
                    continue;
                }
                family = with;
            }
        }
        kept.insert(order.id);
    }
    loop {
        let orphans: Vec<OrderId> = book
            .live_of(member)
            .filter(|it| {
                kept.contains(&it.id) && book.parent(it).is_some_and(|parent| !kept.contains(&parent))
            })
            .map(|it| it.id)
            .collect();
        if orphans.is_empty() {
            break;
        }
        for orphan in orphans {
            kept.remove(&orphan);
        }
    }
    blocks.retain(|it| kept.contains(&it.id));
    let minor = singles + families::worst(grid, &blocks);
    (kept, minor)
}
