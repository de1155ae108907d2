//! The ledger as an hledger journal, for whoever wants another program to add it up.
//!
//! hledger's accounts carry the sign of the clearing house's own books, which is the engine's:
//! positive is owed to the account's owner. Amounts are exact decimals; a balance assertion of zero
//! over everything is hledger's own check that each transaction balances.

use super::book::Book;
use super::money;
use crate::push::account_name;
use merit_engine::calendar::{Day, MINUTE_US};
use merit_proto::v1;
use std::fmt::Write as _;

/// The journal in hledger's format.
#[must_use]
pub fn export(book: &Book) -> String {
    let (currency, places) = book.currency();
    let mut out =
        format!("; Merit: every ledger entry\ncommodity {currency} {}\n", money(1_000_000_000, places));
    for (time_us, entry) in book.entries() {
        let _ = writeln!(out, "\n{} ({}) {}", date(time_us, entry), entry.entry_id, words(entry));
        for it in &entry.postings {
            let amount = money(i128::from(it.amount_micros), places);
            let _ = writeln!(out, "    {:<40}  {currency} {amount}", account_name(it.account.as_ref()));
        }
    }
    out
}

/// The day on which an entry counts: its effective day, its delivery day, or the UTC day on which it
/// was booked.
#[must_use]
pub fn date(time_us: i64, entry: &v1::LedgerEntry) -> String {
    let of = entry.effective_day.as_ref().or(entry.delivery_day.as_ref()).cloned();
    of.unwrap_or_else(|| {
        let days = time_us.div_euclid(MINUTE_US * 24 * 60);
        i32::try_from(days).map_or_else(|_| "1970-01-01".into(), |it| Day(it).to_string())
    })
}

/// What an entry is, in words without a line end.
#[must_use]
pub fn words(entry: &v1::LedgerEntry) -> String {
    let text = match entry.cause() {
        v1::EntryCause::Unspecified => "entry".to_owned(),
        v1::EntryCause::Period => {
            let block = entry.row.as_ref().map_or(0, |it| it.block);
            format!("{} block {block}", entry.auction_id)
        }
        v1::EntryCause::Deviation => {
            let day = entry.delivery_day.as_deref().unwrap_or_default();
            format!("deviation {day} run {}", entry.run.unwrap_or(0))
        }
        v1::EntryCause::Reversal => format!(
            "reversal of {} by run {}: {}",
            entry.reverses.unwrap_or(0),
            entry.run.unwrap_or(0),
            entry.reason.as_deref().unwrap_or_default()
        ),
        v1::EntryCause::Payment => format!("payment {}", entry.reference.as_deref().unwrap_or_default()),
        v1::EntryCause::Hold => format!("hold {}", entry.hold_id.unwrap_or(0)),
        v1::EntryCause::HoldPosted => format!("hold {} posted", entry.hold_id.unwrap_or(0)),
        v1::EntryCause::HoldReleased => format!("hold {} released", entry.hold_id.unwrap_or(0)),
    };
    text.replace(['\n', '\r', ';', '|'], " ")
}
