//! Ledger against journal against PostgreSQL: every obligation, entry and posting, to the last paisa.

use super::book::Book;
use super::money;
use crate::push::embedded::Ledger;
use crate::push::{PushError, account_name};
use merit_proto::v1;
use std::collections::BTreeMap;
use tokio_postgres::Client;

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which books: `embedded ledger` or `PostgreSQL`.
    pub books: &'static str,
    /// What: `obligation 17`, `entry 4 member:M1`, `balance fees`.
    pub what: String,
    /// Which figure.
    pub figure: &'static str,
    /// What the journal says; nothing if it has none.
    pub journal: Option<String>,
    /// What the other side says; nothing if it has none.
    pub other: Option<String>,
}

/// Figures by (what, figure): one side of a comparison.
pub type Figures = BTreeMap<(String, &'static str), String>;

fn of_obligation(figures: &mut Figures, it: &v1::Obligation, places: u32) {
    let what = format!("obligation {}", it.obligation_id);
    let amount = |micros: i64| money(i128::from(micros), places);
    for (figure, value) in [
        ("value", amount(it.value_micros)),
        ("fee", amount(it.fee_micros)),
        ("tax", amount(it.tax_micros)),
        ("bought_watts", it.bought_watts.to_string()),
        ("sold_watts", it.sold_watts.to_string()),
        ("price_micros_per_mwh", it.price_micros_per_mwh.to_string()),
        ("member", it.member.clone()),
        ("portfolio", it.portfolio.clone()),
    ] {
        figures.insert((what.clone(), figure), value);
    }
}

fn of_entry(figures: &mut Figures, it: &v1::LedgerEntry, places: u32) {
    for (line, posting) in (1..).zip(&it.postings) {
        let account = account_name(posting.account.as_ref());
        let what = format!("entry {} line {line} {account}", it.entry_id);
        figures.insert((what, "amount"), money(i128::from(posting.amount_micros), places));
    }
}

fn of_balances(figures: &mut Figures, balances: &BTreeMap<String, i128>, places: u32) {
    for (account, micros) in balances {
        figures.insert((format!("balance {account}"), "amount"), money(*micros, places));
    }
}

/// The journal's figures, up to a number on the settlement stream.
#[must_use]
pub fn of_journal(book: &Book, up_to: u64) -> Figures {
    use v1::stream_obligations_response::Event;
    let places = book.currency().1;
    let mut figures = Figures::new();
    let mut balances: BTreeMap<String, i128> = BTreeMap::new();
    for item in book.items.iter().filter(|it| it.seq <= up_to) {
        match &item.message.event {
            Some(Event::Obligations(batch)) => {
                batch.obligations.iter().for_each(|it| of_obligation(&mut figures, it, places));
            }
            Some(Event::Ledger(batch)) => {
                for it in &batch.entries {
                    of_entry(&mut figures, it, places);
                    for posting in &it.postings {
                        *balances.entry(account_name(posting.account.as_ref())).or_default() +=
                            i128::from(posting.amount_micros);
                    }
                }
            }
            Some(_) | None => {}
        }
    }
    of_balances(&mut figures, &balances, places);
    figures
}

/// The embedded ledger's figures.
///
/// # Errors
///
/// If it cannot be read.
pub fn of_ledger(ledger: &Ledger, places: u32) -> Result<Figures, String> {
    let mut figures = Figures::new();
    ledger.obligations()?.iter().for_each(|it| of_obligation(&mut figures, it, places));
    ledger.entries()?.iter().for_each(|it| of_entry(&mut figures, it, places));
    of_balances(&mut figures, &ledger.balances()?, places);
    Ok(figures)
}

/// PostgreSQL's figures and how far it is.
///
/// # Errors
///
/// If it cannot be read.
pub async fn of_postgres(client: &Client, places: u32) -> Result<(Figures, u64), PushError> {
    let broken = |error: tokio_postgres::Error| PushError::Unreachable(error.to_string());
    let row = client.query_one("select seq from merit.mark", &[]).await.map_err(broken)?;
    let seq = u64::try_from(row.get::<_, i64>(0)).unwrap_or(0);
    let mut figures = Figures::new();
    let obligations = "select obligation_id, member, portfolio, bought_watts, sold_watts,
        price_micros_per_mwh, value_micros, fee_micros, tax_micros from merit.obligation";
    for row in client.query(obligations, &[]).await.map_err(broken)? {
        let it = v1::Obligation {
            obligation_id: u64::try_from(row.get::<_, i64>(0)).unwrap_or(0),
            member: row.get(1),
            portfolio: row.get(2),
            bought_watts: row.get(3),
            sold_watts: row.get(4),
            price_micros_per_mwh: row.get(5),
            value_micros: row.get(6),
            fee_micros: row.get(7),
            tax_micros: row.get(8),
            ..v1::Obligation::default()
        };
        of_obligation(&mut figures, &it, places);
    }
    let postings = "select entry_id, line, account, amount_micros from merit.posting";
    let mut balances: BTreeMap<String, i128> = BTreeMap::new();
    for row in client.query(postings, &[]).await.map_err(broken)? {
        let (entry, line): (i64, i32) = (row.get(0), row.get(1));
        let (account, micros): (String, i64) = (row.get(2), row.get(3));
        let what = format!("entry {entry} line {line} {account}");
        figures.insert((what, "amount"), money(i128::from(micros), places));
        *balances.entry(account).or_default() += i128::from(micros);
    }
    of_balances(&mut figures, &balances, places);
    Ok((figures, seq))
}

/// Everything that differs, by what it is.
#[must_use]
pub fn compare(books: &'static str, journal: &Figures, other: &Figures) -> Vec<Difference> {
    let mut keys: Vec<&(String, &'static str)> = journal.keys().chain(other.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let differs = |key: &&(String, &'static str)| journal.get(*key) != other.get(*key);
    keys.into_iter()
        .filter(differs)
        .map(|key| Difference {
            books,
            what: key.0.clone(),
            figure: key.1,
            journal: journal.get(key).cloned(),
            other: other.get(key).cloned(),
        })
        .collect()
}
