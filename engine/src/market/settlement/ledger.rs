//! The books of the clearing house: entries that each sum to zero, and balances.

use super::Position;
use crate::event::{Account, AuctionInfo, LedgerEntry, Obligation};
use crate::ids::MemberId;
use crate::money::Money;
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
#[derive(Default)]
struct PeriodMoney {
    members: BTreeMap<MemberId, i64>,
    fees: i64,
    tax: i64,
    obligations: i64,
    /// Price ticks × lots that buyers pay and sellers do not get: what flows earn, since power is
    /// neither made nor lost on the way.
    paid: i128,
    congestion: i64,
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

    /// Turns positions into obligations and balanced entries, one entry per period, and posts them.
    pub(in crate::market) fn post(
        &mut self,
        info: &AuctionInfo,
        money: &Money,
        positions: &[Position],
        prices: &[i64],
    ) -> Posted {
        let areas = info.rules.areas.len();
        let mut periods: Vec<PeriodMoney> = Vec::new();
        periods.resize_with(usize::from(info.periods), PeriodMoney::default);
        let mut obligations = Vec::with_capacity(positions.len());
        let mut sums = AuctionSums::default();
        for it in positions {
            let price = prices[usize::from(it.period) * areas + usize::from(it.area)];
            let value = i128::from(it.sold - it.bought) * i128::from(price);
            let obligation = self.obligation(info, money, it, price);
            let Obligation { value_minor, fee_minor, tax_minor, .. } = obligation;
            let of_period = &mut periods[usize::from(it.period)];
            of_period.paid -= value;
            *of_period.members.entry(it.member).or_default() += value_minor - fee_minor - tax_minor;
            of_period.fees += fee_minor;
            of_period.tax += tax_minor;
            of_period.obligations += 1;
            let net = sums.members.entry(it.member).or_default();
            net.energy_minor += value_minor;
            net.fee_minor -= fee_minor;
            net.tax_minor -= tax_minor;
            sums.obligations += 1;
            obligations.push(obligation);
        }
        for it in &mut periods {
            it.congestion = money.value_minor(it.paid);
        }
        let entries = self.balance_periods(info, periods, &mut sums);
        Posted { obligations, entries, sums }
    }

    fn obligation(
        &mut self,
        info: &AuctionInfo,
        money: &Money,
        position: &Position,
        price: i64,
    ) -> Obligation {
        let Position { member, portfolio, area, period, bought, sold } = *position;
        let value_minor = money.value_minor(i128::from(sold - bought) * i128::from(price));
        let fee_minor = money.fee_minor(info.rules.fees.product(bought, sold));
        let tax_minor = crate::money::tax_minor(fee_minor, info.rules.fees.tax_millionths);
        self.obligations += 1;
        let id = self.obligations;
        Obligation {
            id,
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
        }
    }

    /// Closes each period with the rounding account and books it.
    fn balance_periods(
        &mut self,
        info: &AuctionInfo,
        periods: Vec<PeriodMoney>,
        sums: &mut AuctionSums,
    ) -> Vec<LedgerEntry> {
        let mut entries = Vec::new();
        for (period, it) in (0..).zip(periods) {
            let mut postings: Vec<(Account, i64)> =
                it.members.into_iter().map(|(member, minor)| (Account::Member(member), minor)).collect();
            postings.push((Account::Congestion, it.congestion));
            postings.push((Account::Fees, it.fees));
            postings.push((Account::Tax, it.tax));
            let rounding: i64 = -postings.iter().map(|(_, minor)| minor).sum::<i64>();
            // Fees and taxes are posted as they were rounded. Each value is off by half a unit at
            // most, and so is the congestion revenue, and without rounding they would sum to zero.
            assert!(rounding.abs() * 2 <= it.obligations + 1, "rounding keeps its bound");
            postings.push((Account::Rounding, rounding));
            postings.retain(|(_, minor)| *minor != 0);
            sums.congestion += it.congestion;
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
