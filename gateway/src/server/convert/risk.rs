//! Collateral and clearances, as members, operators and the clearing house see them.

use merit_engine::calendar::Day;
use merit_engine::command::Clearance;
use merit_engine::event::CollateralCause;
use merit_engine::ids::{AuctionId, TextId};
use merit_engine::risk::accounts::Account;
use merit_proto::v1;

/// Minor units as millionths of the currency; what does not fit is shown as the greatest that does.
#[must_use]
pub fn micros(minor: i128, unit: i64) -> i64 {
    let exact = minor.saturating_mul(i128::from(unit));
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

/// A member's collateral after a change; `unit` is the millionths in a minor unit.
#[must_use]
pub fn notice(
    cause: CollateralCause,
    balance: i64,
    held: i128,
    due: i128,
    unit: i64,
) -> v1::CollateralNotice {
    let (kind, auction, day): (_, Option<AuctionId>, Option<Day>) = match cause {
        CollateralCause::Deposit => (v1::CollateralCause::Deposit, None, None),
        CollateralCause::Withdrawal => (v1::CollateralCause::Withdrawal, None, None),
        CollateralCause::PayIn(day) => (v1::CollateralCause::PayIn, None, Some(day)),
        CollateralCause::Result(auction) => (v1::CollateralCause::Result, Some(auction), None),
    };
    v1::CollateralNotice {
        cause: kind.into(),
        auction_id: auction.map(|it| it.to_string()),
        delivery_day: day.map(|it| it.to_string()),
        balance_micros: micros(i128::from(balance), unit),
        held_micros: micros(held, unit),
        due_micros: micros(due, unit),
    }
}

/// An account with the margin that it needs.
#[must_use]
pub fn collateral(
    account: &Account,
    margin: Option<i128>,
    member: String,
    currency: String,
    unit: i64,
) -> v1::Collateral {
    let hold = |(auction, minor): (&AuctionId, &i128)| v1::Hold {
        auction_id: auction.to_string(),
        held_micros: micros(*minor, unit),
    };
    let due = account
        .days()
        .iter()
        .map(|(day, it)| v1::DayDue { delivery_day: day.to_string(), due_micros: micros(it.due(), unit) });
    v1::Collateral {
        member,
        currency,
        balance_micros: micros(i128::from(account.balance()), unit),
        held_micros: micros(account.held(), unit),
        due_micros: micros(account.due(), unit),
        available_micros: micros(account.available(), unit),
        holds: account.held_by_auction().iter().map(hold).collect(),
        dues: due.filter(|it| it.due_micros != 0).collect(),
        margin_micros: margin.map(|it| micros(it, unit)),
    }
}

/// A clearance.
#[must_use]
pub fn clearance(portfolio: String, area: &TextId, clearance: Clearance) -> v1::ClearanceEntry {
    v1::ClearanceEntry {
        portfolio,
        area: area.to_string(),
        buy_watts: clearance.buy_watts,
        sell_watts: clearance.sell_watts,
    }
}
