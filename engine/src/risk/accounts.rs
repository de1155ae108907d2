//! Collateral accounts: what members have deposited, what is held of it and what they owe.
//!
//! Available is what was deposited, less what is held for orders that could still trade, less what
//! published results made the member owe and it has not paid. It is never negative: an order is held
//! in full before it can trade, and a result owes no more than was held.

use crate::calendar::Day;
use crate::ids::{AuctionId, MemberId};
use crate::limits;
use crate::snapshot::state_struct;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Money of one local delivery day, minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayMoney {
    /// What the member is owed for the day, over all auctions; negative: it owes.
    pub net: i128,
    /// What it has paid of that.
    pub paid: i128,
    /// What it bought in the day-ahead market.
    pub bought_ahead: i128,
}

impl DayMoney {
    /// Owed and not paid.
    #[must_use]
    pub fn due(self) -> i128 {
        (-self.net - self.paid).max(0)
    }
}

/// The collateral of one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Deposited, minor units; never negative.
    balance: i64,
    /// Held, by auction; nothing is zero.
    held: BTreeMap<AuctionId, i128>,
    held_total: i128,
    days: BTreeMap<Day, DayMoney>,
    due_total: i128,
}

state_struct! {
    DayMoney { net, paid, bought_ahead }
    Account { balance, held, held_total, days, due_total }
}

impl Account {
    /// Deposited, minor units.
    #[must_use]
    pub const fn balance(&self) -> i64 {
        self.balance
    }

    /// Held for orders, minor units.
    #[must_use]
    pub const fn held(&self) -> i128 {
        self.held_total
    }

    /// What is held, by auction.
    #[must_use]
    pub const fn held_by_auction(&self) -> &BTreeMap<AuctionId, i128> {
        &self.held
    }

    /// Owed for published results and not paid, minor units.
    #[must_use]
    pub const fn due(&self) -> i128 {
        self.due_total
    }

    /// Money of each delivery day that is still known.
    #[must_use]
    pub const fn days(&self) -> &BTreeMap<Day, DayMoney> {
        &self.days
    }

    /// What is there for further orders, minor units.
    #[must_use]
    pub fn available(&self) -> i128 {
        i128::from(self.balance) - self.held_total - self.due_total
    }

    /// Held for one auction, minor units.
    #[must_use]
    pub fn held_for(&self, auction: AuctionId) -> i128 {
        self.held.get(&auction).copied().unwrap_or(0)
    }

    /// Average of what was bought day-ahead over the `days` delivery days before `day`, rounded up.
    #[must_use]
    pub fn average_bought(&self, day: Day, days: u8) -> i128 {
        let first = day.plus(-i32::from(days));
        let bought: i128 = self.days.range(first..day).map(|(_, it)| it.bought_ahead).sum();
        let days = i128::from(days.max(1));
        bought / days + i128::from(bought % days != 0)
    }

    fn hold(&mut self, auction: AuctionId, minor: i128) {
        let before = if minor == 0 { self.held.remove(&auction) } else { self.held.insert(auction, minor) };
        self.held_total += minor - before.unwrap_or(0);
    }

    fn change_day(&mut self, day: Day, change: impl FnOnce(&mut DayMoney)) {
        let money = self.days.entry(day).or_default();
        let before = money.due();
        change(money);
        self.due_total += money.due() - before;
    }
}

/// The accounts of all members.
#[derive(Debug, Default)]
pub struct Accounts {
    /// By member.
    accounts: Vec<Account>,
}

state_struct! { Accounts { accounts } }

const NOTHING: &Account =
    &Account { balance: 0, held: BTreeMap::new(), held_total: 0, days: BTreeMap::new(), due_total: 0 };

impl Accounts {
    /// A member's account.
    #[must_use]
    pub fn of(&self, member: MemberId) -> &Account {
        usize::try_from(member.0).ok().and_then(|at| self.accounts.get(at)).unwrap_or(NOTHING)
    }

    fn of_mut(&mut self, member: MemberId) -> &mut Account {
        let at = usize::try_from(member.0).expect("members are bounded by limits");
        if self.accounts.len() <= at {
            self.accounts.resize_with(at + 1, Account::default);
        }
        &mut self.accounts[at]
    }

    /// Whether a deposit would stay within bounds.
    #[must_use]
    pub fn takes(&self, member: MemberId, minor: i64) -> bool {
        let whole = self.of(member).balance.checked_add(minor);
        minor > 0 && whole.is_some_and(|it| it <= limits::COLLATERAL_MAX)
    }

    /// Changes what is deposited; the caller has checked that it stays within bounds.
    ///
    /// # Panics
    ///
    /// If it would become negative, or less than what is needed of it.
    pub(crate) fn change_balance(&mut self, member: MemberId, minor: i64) {
        let account = self.of_mut(member);
        account.balance = account.balance.checked_add(minor).expect("deposits are bounded");
        assert!(
            account.balance >= 0 && (minor > 0 || account.available() >= 0),
            "collateral is never negative"
        );
    }

    /// Sets what is held for a member in an auction.
    ///
    /// # Panics
    ///
    /// If more is held than there is, and more than before.
    pub(crate) fn hold(&mut self, member: MemberId, auction: AuctionId, minor: i128) {
        let account = self.of_mut(member);
        let more = minor > account.held_for(auction);
        account.hold(auction, minor);
        assert!(!more || account.available() >= 0, "nothing is held that is not there");
    }

    /// Lets go of everything held for an auction.
    pub(crate) fn release(&mut self, auction: AuctionId) {
        for account in &mut self.accounts {
            account.hold(auction, 0);
        }
    }

    /// Books what a result makes a member owe (negative) or be owed for a day.
    pub(crate) fn book(&mut self, member: MemberId, day: Day, net: i128, bought_ahead: i128) {
        self.of_mut(member).change_day(day, |it| {
            it.net += net;
            it.bought_ahead += bought_ahead;
        });
    }

    /// Notes that a member has paid what it owed for a day.
    pub(crate) fn pay(&mut self, member: MemberId, day: Day) {
        self.of_mut(member).change_day(day, |it| it.paid += it.due());
    }

    /// Forgets days before `oldest` for which nothing is due.
    pub(crate) fn forget(&mut self, oldest: Day) {
        for account in &mut self.accounts {
            account.days.retain(|day, it| *day >= oldest || it.due() > 0);
        }
    }
}
