//! Obligations, ledger entries, statements and balances, as clearing house and members see them.

use super::units::{Scale, currency, market_out, time_row};
use merit_engine::event::{Account, AuctionInfo, LedgerEntry, Obligation};
use merit_engine::ids::{MemberId, PortfolioId};
use merit_proto::v1;
use std::collections::BTreeMap;

/// Codes of members and portfolios.
pub trait Names {
    /// A member's code.
    fn member(&self, member: MemberId) -> String;
    /// A portfolio's code.
    fn portfolio(&self, portfolio: PortfolioId) -> String;
}

/// The obligations of an auction.
#[must_use]
pub fn obligations(info: &AuctionInfo, list: &[Obligation], names: &impl Names) -> v1::ObligationBatch {
    let scale = Scale::of(&info.rules);
    let area = |index: u16| {
        info.rules.areas.get(usize::from(index)).map_or_else(String::new, |it| it.code.to_string())
    };
    let obligation = |it: &Obligation| v1::Obligation {
        obligation_id: it.id,
        row: Some(time_row(info, it.period, 1, v1::PublicationStatus::Final)),
        member: names.member(it.member),
        portfolio: names.portfolio(it.portfolio),
        area: area(it.area),
        bought_watts: scale.watts(it.bought),
        sold_watts: scale.watts(it.sold),
        price_micros_per_mwh: scale.price(it.price),
        value_micros: scale.money(it.value_minor),
        fee_micros: scale.money(it.fee_minor),
    };
    v1::ObligationBatch {
        auction_id: info.auction.to_string(),
        revision: 1,
        obligations: list.iter().map(obligation).collect(),
        digest: None,
    }
}

/// An account of the ledger.
#[must_use]
pub fn account(account: Account, names: &impl Names) -> v1::Account {
    let (kind, member) = match account {
        Account::Member(member) => (v1::AccountKind::Member, Some(names.member(member))),
        Account::Congestion => (v1::AccountKind::Congestion, None),
        Account::Fees => (v1::AccountKind::Fees, None),
        Account::Rounding => (v1::AccountKind::Rounding, None),
    };
    v1::Account { kind: kind.into(), member }
}

/// Ledger entries of an auction.
#[must_use]
pub fn ledger(info: &AuctionInfo, entries: &[LedgerEntry], names: &impl Names) -> v1::LedgerBatch {
    let scale = Scale::of(&info.rules);
    let entry = |it: &LedgerEntry| v1::LedgerEntry {
        entry_id: it.id,
        auction_id: it.auction.to_string(),
        row: it.period.map(|period| time_row(info, period, 1, v1::PublicationStatus::Final)),
        currency: currency(&info.rules),
        postings: it
            .postings
            .iter()
            .map(|(of, minor)| v1::Posting {
                account: Some(account(*of, names)),
                amount_micros: scale.money(*minor),
            })
            .collect(),
    };
    v1::LedgerBatch { auction_id: info.auction.to_string(), entries: entries.iter().map(entry).collect() }
}

/// The lines of every member's statement that an auction adds.
#[must_use]
pub fn statement_lines(
    info: &AuctionInfo,
    list: &[Obligation],
    names: &impl Names,
) -> BTreeMap<MemberId, Vec<v1::StatementLine>> {
    let scale = Scale::of(&info.rules);
    let mut sums: BTreeMap<(MemberId, PortfolioId), [i128; 4]> = BTreeMap::new();
    for it in list {
        let sum = sums.entry((it.member, it.portfolio)).or_default();
        sum[0] += i128::from(it.bought);
        sum[1] += i128::from(it.sold);
        sum[2] += i128::from(it.value_minor);
        sum[3] -= i128::from(it.fee_minor);
    }
    let watt_hours = |lots: i128| {
        let watts = lots * i128::from(scale.lot) * i128::from(info.rules.period_minutes) / 60;
        i64::try_from(watts).unwrap_or(i64::MAX)
    };
    let money = |minor: i128| scale.money(i64::try_from(minor).unwrap_or(i64::MAX));
    let mut lines: BTreeMap<MemberId, Vec<v1::StatementLine>> = BTreeMap::new();
    for ((member, portfolio), [bought, sold, value, fee]) in sums {
        let line = |kind: v1::AmountKind, amount: i128| v1::StatementLine {
            market: market_out(info.auction.market).into(),
            auction_id: Some(info.auction.to_string()),
            kind: kind.into(),
            portfolio: names.portfolio(portfolio),
            bought_watt_hours: watt_hours(bought),
            sold_watt_hours: watt_hours(sold),
            amount_micros: money(amount),
        };
        let entry = lines.entry(member).or_default();
        entry.push(line(v1::AmountKind::Energy, value));
        if fee != 0 {
            entry.push(line(v1::AmountKind::Fee, fee));
        }
    }
    lines
}
