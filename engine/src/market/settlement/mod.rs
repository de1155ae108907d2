//! Money: what each portfolio owes for a result, and a ledger that always sums to zero.
//!
//! Every obligation is rounded once, and so is the congestion revenue of each period. What rounding
//! leaves goes to an account of its own, so every entry balances by itself and, over any set of
//! entries, buyers paid − sellers received = congestion revenue + rounding, fees and taxes apart.

mod days;
mod deviation;
mod holds;
mod ledger;
mod requests;

use crate::event::ScheduleRow;
use crate::ids::{MemberId, PortfolioId};
use crate::snapshot::keep_struct;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
pub(super) use days::{Booked, Days};
pub(super) use ledger::{Ledger, Posting};

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

keep_struct! { Position { member, portfolio, area, period, bought, sold } }

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
