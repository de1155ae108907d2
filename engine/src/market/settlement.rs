//! Money: what each portfolio owes for a result, and a ledger that always sums to zero.
//!
//! Every obligation is rounded once, and so is the congestion revenue of each period. What rounding
//! leaves goes to an account of its own, so every entry balances by itself and, over any set of
//! entries, buyers paid − sellers received = congestion revenue + rounding, fees apart.

use crate::digest::feed_struct;
use crate::event::{Account, AuctionInfo, LedgerEntry, Obligation, ScheduleRow};
use crate::ids::{MemberId, PortfolioId};
use crate::money::Money;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// What an ended auction leaves behind.
pub(super) struct Settled {
    pub(super) rows: Arc<Vec<ScheduleRow>>,
    pub(super) digest: u128,
}

/// What one portfolio trades in an area and period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) member: MemberId,
    pub(super) portfolio: PortfolioId,
    pub(super) area: u16,
    pub(super) period: u16,
    pub(super) bought: i64,
    pub(super) sold: i64,
}

/// Positions by member, portfolio, area and period, one for each.
pub(super) fn merge(mut all: Vec<Position>) -> Vec<Position> {
    all.sort_unstable();
    all.dedup_by(|next, kept| {
        let key = |it: &Position| (it.member, it.portfolio, it.area, it.period);
        let same = key(next) == key(kept);
        if same {
            kept.bought += next.bought;
            kept.sold += next.sold;
        }
        same
    });
    all
}

/// Net injection per portfolio and area.
pub(super) fn schedule(periods: u16, positions: &[Position]) -> Vec<ScheduleRow> {
    let mut rows: Vec<ScheduleRow> = Vec::new();
    for it in positions {
        let (portfolio, area) = (it.portfolio, it.area);
        if rows.last().is_none_or(|row| (row.portfolio, row.area) != (portfolio, area)) {
            rows.push(ScheduleRow { portfolio, area, net: vec![0; usize::from(periods)] });
        }
        let row = rows.last_mut().expect("pushed above");
        row.net[usize::from(it.period)] = it.sold - it.bought;
    }
    rows.sort_unstable_by_key(|row| (row.portfolio, row.area));
    rows
}

/// The books of the clearing house.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    obligations: u64,
    entries: u64,
    balances: BTreeMap<Account, i128>,
}

feed_struct! { Ledger { obligations, entries, balances } }

/// Money of one period.
#[derive(Default)]
struct PeriodMoney {
    members: BTreeMap<MemberId, i64>,
    fees: i64,
    /// Price ticks × lots that buyers pay and sellers do not get: what flows earn, since power is
    /// neither made nor lost on the way.
    paid: i128,
    congestion: i64,
}

impl Ledger {
    /// Every account with its balance in minor units; they sum to zero.
    pub(super) const fn balances(&self) -> &BTreeMap<Account, i128> {
        &self.balances
    }

    /// Turns positions into obligations and balanced entries, one entry per period, and posts them.
    /// Returns the congestion revenue in minor units as third.
    pub(super) fn post(
        &mut self,
        info: &AuctionInfo,
        money: &Money,
        positions: &[Position],
        prices: &[i64],
    ) -> (Vec<Obligation>, Vec<LedgerEntry>, i64) {
        let areas = info.rules.areas.len();
        let mut periods: Vec<PeriodMoney> = Vec::new();
        periods.resize_with(usize::from(info.periods), PeriodMoney::default);
        let mut obligations = Vec::with_capacity(positions.len());
        for it in positions {
            let price = prices[usize::from(it.period) * areas + usize::from(it.area)];
            let value = i128::from(it.sold - it.bought) * i128::from(price);
            let value_minor = money.value_minor(value);
            let fee_minor = money.fee_minor(info.rules.fees.product(it.bought, it.sold));
            let of_period = &mut periods[usize::from(it.period)];
            of_period.paid -= value;
            *of_period.members.entry(it.member).or_default() += value_minor - fee_minor;
            of_period.fees += fee_minor;
            self.obligations += 1;
            let Position { member, portfolio, area, period, bought, sold } = *it;
            let id = self.obligations;
            obligations.push(Obligation {
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
            });
        }
        for it in &mut periods {
            it.congestion = money.value_minor(it.paid);
        }
        let congestion = periods.iter().map(|it| it.congestion).sum();
        let entries = self.balance(info, periods);
        (obligations, entries, congestion)
    }

    /// Closes each period with the rounding account and books it.
    fn balance(&mut self, info: &AuctionInfo, periods: Vec<PeriodMoney>) -> Vec<LedgerEntry> {
        let mut entries = Vec::new();
        for (period, it) in (0..).zip(periods) {
            let mut postings: Vec<(Account, i64)> =
                it.members.into_iter().map(|(member, minor)| (Account::Member(member), minor)).collect();
            postings.push((Account::Congestion, it.congestion));
            postings.push((Account::Fees, it.fees));
            let sum: i64 = postings.iter().map(|(_, minor)| minor).sum();
            postings.push((Account::Rounding, -sum));
            postings.retain(|(_, minor)| *minor != 0);
            if postings.is_empty() {
                continue;
            }
            let zero: i64 = postings.iter().map(|(_, minor)| minor).sum();
            assert!(zero == 0, "every entry balances");
            for (account, minor) in &postings {
                *self.balances.entry(*account).or_default() += i128::from(*minor);
            }
            self.entries += 1;
            let (id, auction) = (self.entries, info.auction);
            entries.push(LedgerEntry { id, auction, period: Some(period), postings });
        }
        let total: i128 = self.balances.values().sum();
        assert!(total == 0, "the ledger balances");
        entries
    }
}
