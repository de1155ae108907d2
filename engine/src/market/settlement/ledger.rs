//! The books of the clearing house: entries that each sum to zero, and balances.

use super::Position;
use crate::event::{Account, AuctionInfo, LedgerEntry, Obligation};
use crate::ids::MemberId;
use crate::money::Money;
use crate::rules::MarketRules;
use crate::settlement::{Cause, MemberNet};
use crate::snapshot::state_struct;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The books.
#[derive(Debug, Default)]
pub(in crate::market) struct Ledger {
    obligations: u64,
    entries: u64,
    balances: BTreeMap<Account, i128>,
}

state_struct! { Ledger { obligations, entries, balances } }

/// What an auction's posting leaves: everything that is said, and the sums that runs start from.
pub(in crate::market) struct Posted {
    pub(in crate::market) obligations: Vec<Obligation>,
    pub(in crate::market) entries: Vec<LedgerEntry>,
    pub(in crate::market) sums: AuctionSums,
}

/// Sums over one auction, minor units.
#[derive(Debug, Default)]
pub(in crate::market) struct AuctionSums {
    pub(super) members: BTreeMap<MemberId, MemberNet>,
    pub(super) obligations: u64,
    pub(in crate::market) congestion: i64,
    pub(super) fees: i64,
    pub(super) tax: i64,
    pub(super) rounding: i64,
}

state_struct! { AuctionSums { members, obligations, congestion, fees, tax, rounding } }

/// Money of one period.
#[derive(Debug, Default)]
struct PeriodMoney {
    /// By member; positions come ordered by member.
    members: Vec<(MemberId, i64)>,
    fees: i64,
    tax: i64,
    obligations: i64,
    /// Price ticks × lots that buyers pay and sellers do not get: what flows earn, since power is
    /// neither made nor lost on the way.
    paid: i128,
}

/// What an auction obliges to, worked out position by position; nothing is booked yet.
#[derive(Debug)]
pub(in crate::market) struct Posting {
    periods: Vec<PeriodMoney>,
    /// Without their numbers.
    obligations: Vec<Obligation>,
    sums: AuctionSums,
}

impl Posting {
    /// Nothing yet.
    pub(in crate::market) fn new(periods: u16) -> Self {
        let mut all = Vec::new();
        all.resize_with(usize::from(periods), PeriodMoney::default);
        Self { periods: all, obligations: Vec::new(), sums: AuctionSums::default() }
    }

    /// Adds a position that trades at a price. Positions come ordered by member.
    pub(in crate::market) fn add(&mut self, rules: &MarketRules, money: &Money, it: &Position, price: i64) {
        let Position { member, portfolio, area, period, bought, sold } = *it;
        let value = i128::from(sold - bought) * i128::from(price);
        let value_minor = money.value_minor(value);
        let fee_minor = money.fee_minor(rules.fees.product(bought, sold));
        let tax_minor = crate::money::tax_minor(fee_minor, rules.fees.tax_millionths);
        let of_period = &mut self.periods[usize::from(period)];
        of_period.paid -= value;
        let minor = value_minor - fee_minor - tax_minor;
        match of_period.members.last_mut() {
            Some((last, sum)) if *last == member => *sum += minor,
            Some(_) | None => of_period.members.push((member, minor)),
        }
        of_period.fees += fee_minor;
        of_period.tax += tax_minor;
        of_period.obligations += 1;
        let net = self.sums.members.entry(member).or_default();
        net.energy_minor += value_minor;
        net.fee_minor -= fee_minor;
        net.tax_minor -= tax_minor;
        self.sums.obligations += 1;
        self.obligations.push(Obligation {
            id: 0,
            member,
            portfolio,
            area,
            period,
            bought,
            sold,
            price,
            value_minor,
            fee_minor,
            tax_minor,
        });
    }
}

impl Ledger {
    /// Every account with its balance in minor units; they sum to zero.
    pub(in crate::market) const fn balances(&self) -> &BTreeMap<Account, i128> {
        &self.balances
    }

    /// Balance of an account, minor units.
    pub(super) fn balance(&self, account: Account) -> i128 {
        self.balances.get(&account).copied().unwrap_or(0)
    }

    /// Books one entry.
    ///
    /// # Panics
    ///
    /// If its postings do not sum to zero.
    pub(super) fn book(&mut self, cause: Cause, postings: Vec<(Account, i64)>) -> LedgerEntry {
        let zero: i128 = postings.iter().map(|(_, minor)| i128::from(*minor)).sum();
        assert!(zero == 0, "every entry balances");
        for (account, minor) in &postings {
            *self.balances.entry(*account).or_default() += i128::from(*minor);
        }
        self.entries += 1;
        LedgerEntry { id: self.entries, cause, postings }
    }

    /// Gives obligations their numbers and books balanced entries, one per period.
    pub(in crate::market) fn post(&mut self, info: &AuctionInfo, money: &Money, posting: Posting) -> Posted {
        let Posting { periods, mut obligations, mut sums } = posting;
        for (id, it) in (self.obligations + 1..).zip(&mut obligations) {
            it.id = id;
        }
        self.obligations += sums.obligations;
        let entries = self.balance_periods(info, money, periods, &mut sums);
        Posted { obligations, entries, sums }
    }

    /// Closes each period with the rounding account and books it.
    fn balance_periods(
        &mut self,
        info: &AuctionInfo,
        money: &Money,
        periods: Vec<PeriodMoney>,
        sums: &mut AuctionSums,
    ) -> Vec<LedgerEntry> {
        let mut entries = Vec::new();
        for (period, it) in (0..).zip(periods) {
            let congestion = money.value_minor(it.paid);
            let mut postings: Vec<(Account, i64)> =
                it.members.into_iter().map(|(member, minor)| (Account::Member(member), minor)).collect();
            postings.push((Account::Congestion, congestion));
            postings.push((Account::Fees, it.fees));
            postings.push((Account::Tax, it.tax));
            let rounding: i64 = -postings.iter().map(|(_, minor)| minor).sum::<i64>();
            // Fees and taxes are posted as they were rounded. Each value is off by half a unit at
            // most, and so is the congestion revenue, and without rounding they would sum to zero.
            assert!(rounding.abs() * 2 <= it.obligations + 1, "rounding keeps its bound");
            postings.push((Account::Rounding, rounding));
            postings.retain(|(_, minor)| *minor != 0);
            sums.congestion += congestion;
            sums.fees += it.fees;
            sums.tax += it.tax;
            sums.rounding += rounding;
            if !postings.is_empty() {
                entries.push(self.book(Cause::Period { auction: info.auction, period }, postings));
            }
        }
        self.assert_balanced();
        entries
    }

    /// The books sum to zero.
    pub(super) fn assert_balanced(&self) {
        let total: i128 = self.balances.values().sum();
        assert!(total == 0, "the ledger balances");
    }
}
