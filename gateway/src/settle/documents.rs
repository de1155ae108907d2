//! Documents of a run, per member, and a signed manifest over all of them.
//!
//! A run's documents hold what the journal said up to that run, so publishing them again gives the
//! same bytes, also after later runs: those supersede, and delete nothing.

use super::book::Book;
use super::table::{Form, Kind, Rows, Schema, text, whole};
use crate::push::{account_name, hex, sha256};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use merit_proto::v1;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use v1::stream_obligations_response::Event;

/// What one document is.
pub struct Document {
    /// Name without member and form.
    pub name: &'static str,
    /// Columns.
    pub schema: &'static Schema,
    /// Its rows for a member.
    rows: fn(&Content<'_>, &str) -> Rows,
}

/// Every document.
pub const DOCUMENTS: [Document; 6] = [
    Document { name: "obligations", schema: OBLIGATIONS, rows: obligations },
    Document { name: "summary", schema: SUMMARY, rows: summary },
    Document { name: "delivery", schema: DELIVERY, rows: delivery },
    Document { name: "invoice", schema: INVOICE, rows: invoice },
    Document { name: "statement", schema: STATEMENT, rows: statement },
    Document { name: "adjustment", schema: ADJUSTMENT, rows: adjustment },
];

const OBLIGATIONS: &Schema = &[
    ("obligation_id", Kind::Whole, "number, unique in the life of the exchange"),
    ("auction_id", Kind::Text, "auction"),
    ("delivery_day", Kind::Text, "local delivery day, ISO 8601"),
    ("block", Kind::Whole, "block of the day, from 1"),
    ("blocks", Kind::Whole, "blocks of the day"),
    ("portfolio", Kind::Text, "portfolio"),
    ("area", Kind::Text, "bid area"),
    ("bought_watts", Kind::Whole, "bought over the block, watts"),
    ("sold_watts", Kind::Whole, "sold over the block, watts"),
    ("price_micros_per_mwh", Kind::Whole, "clearing price, millionths of the currency per MWh"),
    ("value_micros", Kind::Whole, "value, millionths; positive is paid to the member"),
    ("fee_micros", Kind::Whole, "fee, millionths, paid by the member"),
    ("tax_micros", Kind::Whole, "tax on the fee, millionths, paid by the member"),
    ("currency", Kind::Text, "ISO 4217"),
];

const SUMMARY: &Schema = &[
    ("auction_id", Kind::Text, "auction"),
    ("portfolio", Kind::Text, "portfolio"),
    ("obligations", Kind::Whole, "how many"),
    ("bought_watt_minutes", Kind::Whole, "energy bought, watt-minutes"),
    ("sold_watt_minutes", Kind::Whole, "energy sold, watt-minutes"),
    ("value_micros", Kind::Whole, "value, millionths; positive is paid to the member"),
    ("fee_micros", Kind::Whole, "fees, millionths, paid by the member"),
    ("tax_micros", Kind::Whole, "taxes on fees, millionths, paid by the member"),
];

const DELIVERY: &Schema = &[
    ("portfolio", Kind::Text, "portfolio"),
    ("area", Kind::Text, "bid area"),
    ("block", Kind::Whole, "block of the day, from 1"),
    ("blocks", Kind::Whole, "blocks of the day"),
    ("scheduled_watts", Kind::Whole, "net injection over all markets, watts; negative is drawal"),
];

const INVOICE: &Schema = &[
    ("line", Kind::Whole, "line, from 1"),
    ("item", Kind::Text, "what for"),
    ("amount_micros", Kind::Whole, "millionths; positive is paid to the member"),
    ("currency", Kind::Text, "ISO 4217"),
];

const STATEMENT: &Schema = &[
    ("entry_id", Kind::Whole, "ledger entry"),
    ("date", Kind::Text, "day on which it counts"),
    ("text", Kind::Text, "what for"),
    ("amount_micros", Kind::Whole, "millionths; positive is owed to the member"),
    ("balance_micros", Kind::Whole, "balance after it, millionths"),
];

const ADJUSTMENT: &Schema = &[
    ("run", Kind::Whole, "this run"),
    ("supersedes", Kind::Whole, "the run before; 0 if it is the first"),
    ("reason", Kind::Text, "why the run was made"),
    ("effective_day", Kind::Text, "from which day it counts"),
    ("item", Kind::Text, "what for"),
    ("change_micros", Kind::Whole, "change against the run before, millionths"),
];

/// What a run's documents are made of.
pub struct Content<'a> {
    run: &'a v1::SettlementRun,
    currency: String,
    obligations: Vec<(&'a str, &'a v1::Obligation)>,
    entries: Vec<(i64, &'a v1::LedgerEntry)>,
}

impl<'a> Content<'a> {
    /// Gathers what the journal said up to a run.
    #[must_use]
    pub fn of(book: &'a Book, run: &'a v1::SettlementRun) -> Self {
        let is_it = |it: &v1::SettlementRun| it.delivery_day == run.delivery_day && it.run == run.run;
        let mut content =
            Self { run, currency: book.currency().0, obligations: Vec::new(), entries: Vec::new() };
        // The entries that a run causes come in the message after it.
        let mut last = None;
        for (at, (item, time)) in book.items.iter().zip(&book.times_us).enumerate() {
            match &item.message.event {
                Some(Event::Obligations(batch)) if last.is_none() => {
                    let of_day = |it: &&v1::Obligation| {
                        it.row.as_ref().is_some_and(|row| row.delivery_day == run.delivery_day)
                    };
                    let list = batch.obligations.iter().filter(of_day);
                    content.obligations.extend(list.map(|it| (batch.auction_id.as_str(), it)));
                }
                Some(Event::Ledger(batch)) => {
                    let own = |it: &v1::LedgerEntry| {
                        it.run == Some(run.run) && it.delivery_day.as_deref() == Some(&run.delivery_day)
                    };
                    if last.is_none() || (last == Some(at.saturating_sub(1)) && batch.entries.iter().all(own))
                    {
                        content.entries.extend(batch.entries.iter().map(|it| (*time, it)));
                    }
                }
                Some(Event::Run(it)) if is_it(it) => last = Some(at),
                Some(_) | None => {}
            }
        }
        content
    }

    fn own<'c>(&'c self, member: &'c str) -> impl Iterator<Item = (&'a str, &'a v1::Obligation)> + 'c {
        self.obligations.iter().filter(move |(_, it)| it.member == member).copied()
    }
}

fn row_of(it: &v1::Obligation) -> v1::TimeRow {
    it.row.clone().unwrap_or_default()
}

fn obligations(content: &Content<'_>, member: &str) -> Rows {
    let mut rows = Rows::new(OBLIGATIONS);
    for (auction, it) in content.own(member) {
        let row = row_of(it);
        rows.add(vec![
            whole(i64::try_from(it.obligation_id).unwrap_or(i64::MAX)),
            text(auction),
            text(row.delivery_day),
            whole(row.block),
            whole(row.blocks),
            text(&it.portfolio),
            text(&it.area),
            whole(it.bought_watts),
            whole(it.sold_watts),
            whole(it.price_micros_per_mwh),
            whole(it.value_micros),
            whole(it.fee_micros),
            whole(it.tax_micros),
            text(row.currency),
        ]);
    }
    rows
}

fn summary(content: &Content<'_>, member: &str) -> Rows {
    let mut sums: BTreeMap<(&str, &str), [i64; 6]> = BTreeMap::new();
    for (auction, it) in content.own(member) {
        let minutes = it.row.as_ref().map_or(0, |row| i64::from(row.resolution_minutes));
        let sum = sums.entry((auction, &it.portfolio)).or_default();
        let parts = [
            1,
            it.bought_watts.saturating_mul(minutes),
            it.sold_watts.saturating_mul(minutes),
            it.value_micros,
            it.fee_micros,
            it.tax_micros,
        ];
        for (sum, part) in sum.iter_mut().zip(parts) {
            *sum = sum.saturating_add(part);
        }
    }
    let mut rows = Rows::new(SUMMARY);
    for ((auction, portfolio), sum) in sums {
        let mut row = vec![text(auction), text(portfolio)];
        row.extend(sum.map(whole));
        rows.add(row);
    }
    rows
}

fn delivery(content: &Content<'_>, member: &str) -> Rows {
    let mut sums: BTreeMap<(&str, &str, u32, u32), i64> = BTreeMap::new();
    for (_, it) in content.own(member) {
        let (block, blocks) = it.row.as_ref().map_or((0, 0), |row| (row.block, row.blocks));
        *sums.entry((&it.portfolio, &it.area, block, blocks)).or_default() +=
            it.sold_watts.saturating_sub(it.bought_watts);
    }
    let mut rows = Rows::new(DELIVERY);
    for ((portfolio, area, block, blocks), watts) in sums {
        rows.add(vec![text(portfolio), text(area), whole(block), whole(blocks), whole(watts)]);
    }
    rows
}

/// (what for, amount) of a member's net.
fn items(net: &v1::MemberNet) -> [(&'static str, i64); 4] {
    [
        ("energy", net.energy_micros),
        ("exchange fees", net.fee_micros),
        ("taxes on fees", net.tax_micros),
        ("deviation", net.deviation_micros),
    ]
}

fn of_member<'a>(list: &'a [v1::MemberNet], member: &str) -> Option<&'a v1::MemberNet> {
    list.iter().find(|it| it.member == member)
}

fn invoice(content: &Content<'_>, member: &str) -> Rows {
    let mut rows = Rows::new(INVOICE);
    let Some(net) = of_member(&content.run.members, member) else { return rows };
    let total = if net.net_micros < 0 { "to pay" } else { "to receive" };
    for (line, (item, amount)) in (1_i64..).zip(items(net).into_iter().chain([(total, net.net_micros)])) {
        rows.add(vec![whole(line), text(item), whole(amount), text(&content.currency)]);
    }
    rows
}

fn statement(content: &Content<'_>, member: &str) -> Rows {
    let mut rows = Rows::new(STATEMENT);
    let name = format!("member:{member}");
    let mut balance = 0_i64;
    for (time, entry) in &content.entries {
        for posting in entry.postings.iter().filter(|it| account_name(it.account.as_ref()) == name) {
            balance = balance.saturating_add(posting.amount_micros);
            rows.add(vec![
                whole(i64::try_from(entry.entry_id).unwrap_or(i64::MAX)),
                text(super::hledger::date(*time, entry)),
                text(super::hledger::words(entry)),
                whole(posting.amount_micros),
                whole(balance),
            ]);
        }
    }
    rows
}

fn adjustment(content: &Content<'_>, member: &str) -> Rows {
    let mut rows = Rows::new(ADJUSTMENT);
    let Some(delta) = of_member(&content.run.deltas, member) else { return rows };
    for (item, change) in items(delta).into_iter().filter(|(_, change)| *change != 0) {
        rows.add(vec![
            whole(content.run.run),
            whole(content.run.run.saturating_sub(1)),
            text(&content.run.reason),
            text(&content.run.effective_day),
            text(item),
            whole(change),
        ]);
    }
    rows
}

/// Every file of a run by its name, the manifest included; signed if there is a key.
#[must_use]
pub fn files(
    book: &Book,
    run: &v1::SettlementRun,
    member: Option<&str>,
    key: Option<&Ed25519KeyPair>,
) -> BTreeMap<String, Vec<u8>> {
    let content = Content::of(book, run);
    let mut files = BTreeMap::new();
    let mut listed = Vec::new();
    let members = run.members.iter().map(|it| it.member.as_str());
    for one in members.filter(|it| member.is_none_or(|wanted| wanted == *it)) {
        for document in &DOCUMENTS {
            let rows = (document.rows)(&content, one);
            for form in Form::ALL {
                let name = format!("{one}/{}.{}", document.name, form.extension());
                let bytes = rows.render(form);
                listed.push(json!({
                    "name": name,
                    "rows": rows.len(),
                    "bytes": bytes.len(),
                    "sha256": hex(&sha256(&bytes)),
                }));
                files.insert(name, bytes);
            }
        }
    }
    let manifest = json!({
        "format": "merit-documents/1",
        "delivery_day": run.delivery_day,
        "run": run.run,
        "status": run.status().as_str_name(),
        "inputs_digest": hex(&run.inputs_digest),
        "files": listed,
    });
    let manifest = format!("{manifest:#}\n").into_bytes();
    if let Some(key) = key {
        let signature = hex(key.sign(&manifest).as_ref());
        files.insert("manifest.json.ed25519".into(), format!("{signature}\n").into_bytes());
        let public = format!("{}\n", hex(key.public_key().as_ref()));
        files.insert("public-key.hex".into(), public.into_bytes());
    }
    files.insert("manifest.json".into(), manifest);
    files
}

/// The schemas of all documents, for people and programs.
#[must_use]
pub fn schemas() -> String {
    let columns = |schema: &Schema| {
        let column = |(name, kind, about): &(&str, Kind, &str)| {
            let kind = match kind {
                Kind::Text => "text",
                Kind::Whole => "int64",
            };
            json!({"name": name, "type": kind, "about": about})
        };
        schema.iter().map(column).collect::<Vec<_>>()
    };
    let all = DOCUMENTS.iter().map(|it| json!({"document": it.name, "columns": columns(it.schema)}));
    format!("{:#}\n", serde_json::Value::Array(all.collect()))
}

/// Bytes from hexadecimal digits.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().as_bytes();
    let digit = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let pairs = text.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

/// Checks a directory of documents against its manifest and signature; `public` is the key that the
/// receiver trusts, in hexadecimal digits.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn verify(directory: &Path, public: &str) -> Result<usize, String> {
    let read = |name: &str| std::fs::read(directory.join(name)).map_err(|error| format!("{name}: {error}"));
    let manifest = read("manifest.json")?;
    let signature = String::from_utf8_lossy(&read("manifest.json.ed25519")?).into_owned();
    let signature = from_hex(&signature).ok_or("the signature is not hexadecimal")?;
    let public = from_hex(public).ok_or("the public key is not hexadecimal")?;
    UnparsedPublicKey::new(&ED25519, public)
        .verify(&manifest, &signature)
        .map_err(|_| "the signature is not that of this key over this manifest")?;
    let listed: serde_json::Value = serde_json::from_slice(&manifest).map_err(|error| error.to_string())?;
    let files = listed.get("files").and_then(|it| it.as_array()).cloned().unwrap_or_default();
    for file in &files {
        let said = |name: &str| file.get(name).and_then(|it| it.as_str()).unwrap_or_default();
        let name = said("name");
        if name.split('/').any(|it| it == "..") || name.starts_with('/') {
            return Err(format!("{name}: leads out of the directory"));
        }
        if hex(&sha256(&read(name)?)) != said("sha256") {
            return Err(format!("{name}: is not the file that was signed"));
        }
    }
    Ok(files.len())
}
