//! Obligations, ledger entries, statements and balances, as clearing house and members see them.

use super::units::{Scale, currency, market_out, time_row};
use merit_engine::event::{Account, AuctionInfo, LedgerEntry, Obligation};
use merit_engine::ids::{AuctionId, MemberId, PortfolioId};
use merit_engine::rules::MarketRules;
use merit_engine::settlement::{Cause, HoldEnd, SettlementRun};
use merit_proto::v1;
use prost::Message as _;
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
        tax_micros: scale.money(it.tax_minor),
    };
    let obligations: Vec<v1::Obligation> = list.iter().map(obligation).collect();
    let digest = Some(digest(&obligations));
    v1::ObligationBatch { auction_id: info.auction.to_string(), revision: 1, obligations, digest }
}

/// SHA-256 over the messages of some obligations, each after its length (4 bytes, little endian).
#[must_use]
pub fn digest(obligations: &[v1::Obligation]) -> Vec<u8> {
    let (mut sum, mut bytes) = (Sha256::new(), Vec::new());
    for it in obligations {
        bytes.clear();
        it.encode(&mut bytes).expect("a vector takes every message");
        sum.add(&bytes);
    }
    sum.finish()
}

/// That digest in the making.
pub(super) struct Sha256(aws_lc_rs::digest::Context);

impl Sha256 {
    pub(super) fn new() -> Self {
        Self(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256))
    }

    /// Adds one message.
    pub(super) fn add(&mut self, message: &[u8]) {
        self.0.update(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.0.update(message);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
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
        Account::Tax => (v1::AccountKind::Tax, None),
        Account::Deviation => (v1::AccountKind::Deviation, None),
        Account::Margin(member) => (v1::AccountKind::Margin, Some(names.member(member))),
        Account::Bank => (v1::AccountKind::Bank, None),
    };
    v1::Account { kind: kind.into(), member }
}

/// Ledger entries of one cause. `info` finds auctions, `rules` are those of any market: all share one
/// currency.
#[must_use]
pub fn ledger<'a>(
    auction: Option<AuctionId>,
    entries: &[LedgerEntry],
    rules: &MarketRules,
    info: impl Fn(AuctionId) -> Option<&'a AuctionInfo>,
    names: &impl Names,
) -> v1::LedgerBatch {
    let scale = Scale::of(rules);
    let entry = |it: &LedgerEntry| {
        let posting = |(of, minor): &(Account, i64)| v1::Posting {
            account: Some(account(*of, names)),
            amount_micros: scale.money(*minor),
        };
        let postings = it.postings.iter().map(posting).collect();
        let bare =
            v1::LedgerEntry { entry_id: it.id, currency: currency(rules), postings, ..Default::default() };
        with_cause(bare, &it.cause, &info)
    };
    let auction_id = auction.map_or_else(String::new, |it| it.to_string());
    v1::LedgerBatch { auction_id, entries: entries.iter().map(entry).collect() }
}

fn with_cause<'a>(
    mut entry: v1::LedgerEntry,
    cause: &Cause,
    info: impl Fn(AuctionId) -> Option<&'a AuctionInfo>,
) -> v1::LedgerEntry {
    let kind = match cause {
        Cause::Period { auction, period } => {
            entry.auction_id = auction.to_string();
            entry.row = info(*auction).map(|it| time_row(it, *period, 1, v1::PublicationStatus::Final));
            entry.delivery_day = Some(auction.day.to_string());
            v1::EntryCause::Period
        }
        Cause::Deviation { day, run } => {
            (entry.delivery_day, entry.run) = (Some(day.to_string()), Some(*run));
            v1::EntryCause::Deviation
        }
        Cause::Reversal { of, day, run, reason, effective } => {
            (entry.delivery_day, entry.run) = (Some(day.to_string()), Some(*run));
            (entry.reverses, entry.reason) = (Some(*of), Some(reason.clone()));
            entry.effective_day = Some(effective.to_string());
            v1::EntryCause::Reversal
        }
        Cause::Payment { reference, value_day } => {
            entry.reference = Some(reference.to_string());
            entry.effective_day = Some(value_day.to_string());
            v1::EntryCause::Payment
        }
        Cause::Hold { hold } => {
            entry.hold_id = Some(*hold);
            v1::EntryCause::Hold
        }
        Cause::HoldEnded { hold, end } => {
            entry.hold_id = Some(*hold);
            match end {
                HoldEnd::Posted => v1::EntryCause::HoldPosted,
                HoldEnd::Released => v1::EntryCause::HoldReleased,
            }
        }
    };
    entry.cause = kind.into();
    entry
}

/// The deviation lines of every member's statement that a run adds, by portfolio.
#[must_use]
pub fn deviation_lines(
    run: &SettlementRun,
    rules: &MarketRules,
    names: &impl Names,
) -> BTreeMap<MemberId, Vec<v1::StatementLine>> {
    let mut sums: BTreeMap<(MemberId, PortfolioId), i64> = BTreeMap::new();
    for it in run.deviations.iter() {
        *sums.entry((it.member, it.portfolio)).or_default() += it.minor;
    }
    let mut lines: BTreeMap<MemberId, Vec<v1::StatementLine>> = BTreeMap::new();
    for ((member, portfolio), minor) in sums {
        lines.entry(member).or_default().push(v1::StatementLine {
            market: v1::Market::Unspecified.into(),
            auction_id: None,
            kind: v1::AmountKind::Deviation.into(),
            portfolio: names.portfolio(portfolio),
            bought_watt_hours: 0,
            sold_watt_hours: 0,
            amount_micros: Scale::of(rules).money(minor),
        });
    }
    lines
}

/// The lines of every member's statement that an auction adds.
#[must_use]
pub fn statement_lines(
    info: &AuctionInfo,
    list: &[Obligation],
    names: &impl Names,
) -> BTreeMap<MemberId, Vec<v1::StatementLine>> {
    let scale = Scale::of(&info.rules);
    let mut sums: BTreeMap<(MemberId, PortfolioId), [i128; 5]> = BTreeMap::new();
    for it in list {
        let sum = sums.entry((it.member, it.portfolio)).or_default();
        sum[0] += i128::from(it.bought);
        sum[1] += i128::from(it.sold);
        sum[2] += i128::from(it.value_minor);
        sum[3] -= i128::from(it.fee_minor);
        sum[4] -= i128::from(it.tax_minor);
    }
    let watt_hours = |lots: i128| {
        let watts = lots * i128::from(scale.lot) * i128::from(info.rules.period_minutes) / 60;
        i64::try_from(watts).unwrap_or(i64::MAX)
    };
    let money = |minor: i128| scale.money(i64::try_from(minor).unwrap_or(i64::MAX));
    let mut lines: BTreeMap<MemberId, Vec<v1::StatementLine>> = BTreeMap::new();
    for ((member, portfolio), [bought, sold, value, fee, tax]) in sums {
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
        if tax != 0 {
            entry.push(line(v1::AmountKind::Tax, tax));
        }
    }
    lines
}
