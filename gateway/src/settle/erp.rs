//! Journal entries for an ERP: generic lines with mapped accounts, and the acknowledgement loop.
//!
//! An export covers a range of entry numbers and has a number of its own, its last entry. The ERP
//! answers with a file of lines `export,entry_id,status,document,message`; what it has posted is
//! remembered nowhere here: the next export begins after the last entry that its answers say is
//! posted, so a lost answer makes lines come again under the same key, which the ERP refuses as a
//! duplicate.

use super::book::Book;
use super::hledger::{date, words};
use super::money;
use super::table::{Kind, Rows, Schema, text, whole};
use crate::push::account_name;
use std::collections::{BTreeMap, BTreeSet};

/// Columns of an export.
pub const SCHEMA: &Schema = &[
    ("document_key", Kind::Text, "MERIT-<entry number>: the same whenever it is exported"),
    ("line", Kind::Whole, "line of the document, from 1"),
    ("posting_date", Kind::Text, "day on which it counts, ISO 8601"),
    ("account", Kind::Text, "the ERP's account, by the mapping; the exchange's own name if none is given"),
    ("party", Kind::Text, "member, or empty"),
    ("debit", Kind::Text, "amount owed to the exchange, or empty"),
    ("credit", Kind::Text, "amount owed by the exchange, or empty"),
    ("currency", Kind::Text, "ISO 4217"),
    ("text", Kind::Text, "what for"),
];

/// Account names of the exchange to the ERP's. A kind (`member`) maps all its accounts.
pub type Mapping = BTreeMap<String, String>;

/// Reads a mapping: lines `ours,theirs`.
///
/// # Errors
///
/// The line that is wrong.
pub fn mapping(file: &str) -> Result<Mapping, String> {
    let mut mapping = Mapping::new();
    for (number, line) in (1..).zip(file.lines()).filter(|(_, it)| !it.trim().is_empty()) {
        match line.split_once(',') {
            Some((ours, theirs)) if !ours.trim().is_empty() && !theirs.trim().is_empty() => {
                if mapping.insert(ours.trim().to_owned(), theirs.trim().to_owned()).is_some() {
                    return Err(format!("line {number}: {} is mapped twice", ours.trim()));
                }
            }
            _ => return Err(format!("line {number}: must be OUR_ACCOUNT,THEIR_ACCOUNT")),
        }
    }
    Ok(mapping)
}

/// Entries after `after`, as rows.
#[must_use]
pub fn export(book: &Book, after: u64, mapping: &Mapping) -> Rows {
    let (currency, places) = book.currency();
    let mut rows = Rows::new(SCHEMA);
    for (time_us, entry) in book.entries().filter(|(_, it)| it.entry_id > after) {
        for (line, it) in (1_i64..).zip(&entry.postings) {
            let name = account_name(it.account.as_ref());
            let (kind, party) = name.split_once(':').unwrap_or((&name, ""));
            let account = mapping.get(&name).or_else(|| mapping.get(kind)).unwrap_or(&name).clone();
            let amount = money(i128::from(it.amount_micros).abs(), places);
            let (debit, credit) =
                if it.amount_micros < 0 { (amount, String::new()) } else { (String::new(), amount) };
            rows.add(vec![
                text(format!("MERIT-{}", entry.entry_id)),
                whole(line),
                text(date(time_us, entry)),
                text(account),
                text(party),
                text(debit),
                text(credit),
                text(&currency),
                text(words(entry)),
            ]);
        }
    }
    rows
}

/// What an ERP says about documents.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// Everything up to this entry is posted.
    pub up_to: u64,
    /// Entries after the first gap that are posted nevertheless.
    pub ahead: BTreeSet<u64>,
    /// (entry, message) of what was refused.
    pub refused: Vec<(u64, String)>,
}

/// Reads the ERP's answers: lines `document_key,status,message`, status `posted` or `refused`.
///
/// # Errors
///
/// The line that is wrong, or an acknowledgement of what was never exported.
pub fn acknowledged(book: &Book, answers: &str) -> Result<Acknowledged, String> {
    let last = book.entries().map(|(_, it)| it.entry_id).max().unwrap_or(0);
    let mut posted = BTreeSet::new();
    let mut refused = BTreeMap::new();
    let header = |it: &str| it.starts_with("document_key");
    for (number, line) in (1..).zip(answers.lines()).filter(|(_, it)| !it.trim().is_empty() && !header(it)) {
        let mut cells = line.splitn(3, ',');
        let (key, status) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        let entry = key.trim().strip_prefix("MERIT-").and_then(|it| it.parse::<u64>().ok());
        let entry = entry.ok_or_else(|| format!("line {number}: {key} is no document key"))?;
        if entry == 0 || entry > last {
            return Err(format!("line {number}: {key} was never exported; the last entry is {last}"));
        }
        match status.trim() {
            "posted" => {
                posted.insert(entry);
            }
            "refused" => {
                refused.insert(entry, cells.next().unwrap_or_default().trim().to_owned());
            }
            other => return Err(format!("line {number}: status {other} is neither posted nor refused")),
        }
    }
    let up_to = (1..).take_while(|it| posted.contains(it)).last().unwrap_or(0);
    refused.retain(|it, _| !posted.contains(it));
    let ahead = posted.split_off(&(up_to + 1));
    Ok(Acknowledged { up_to, ahead, refused: refused.into_iter().collect() })
}
