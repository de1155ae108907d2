//! The bank: pay-out files (ISO 20022 pain.001.001.09) and statements (camt.053) compared with runs.
//!
//! What a run moves between a member and the clearing house is the change against the run before: the
//! first run moves everything, a resettlement only its delta. Each movement has the end-to-end id
//! `MERIT-<day>-<run>-<member>`; pay-outs carry it, members put it on their pay-ins, and the bank's
//! statement returns it.

use super::book::Book;
use super::money;
use merit_engine::calendar::MINUTE_US;
use merit_proto::v1;
use roxmltree::{Document, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use v1::stream_obligations_response::Event;

/// An account at a bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankAccount {
    /// Holder's name.
    pub name: String,
    /// IBAN, or a national account number.
    pub account: String,
    /// BIC or a national clearing code.
    pub bank: String,
}

/// Reads accounts: lines `MEMBER,name,account,bank`; the clearing house's own under `*`.
///
/// # Errors
///
/// The line that is wrong.
pub fn accounts(file: &str) -> Result<BTreeMap<String, BankAccount>, String> {
    let mut accounts = BTreeMap::new();
    for (number, line) in (1..).zip(file.lines()) {
        if line.trim().is_empty() || line.starts_with("member,") {
            continue;
        }
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let [member, name, account, bank] = cells.as_slice() else {
            return Err(format!("line {number}: must be MEMBER,NAME,ACCOUNT,BANK"));
        };
        let plain = |it: &str| !it.is_empty() && it.chars().all(|c| c.is_ascii_alphanumeric());
        if !plain(account) || !plain(bank) || account.len() > 34 {
            return Err(format!("line {number}: account and bank are letters and digits"));
        }
        let found = BankAccount {
            name: (*name).to_owned(),
            account: (*account).to_owned(),
            bank: (*bank).to_owned(),
        };
        if accounts.insert((*member).to_owned(), found).is_some() {
            return Err(format!("line {number}: {member} stands twice"));
        }
    }
    Ok(accounts)
}

/// The end-to-end id of a movement.
#[must_use]
pub fn reference(run: &v1::SettlementRun, member: &str) -> String {
    format!("MERIT-{}-{}-{member}", run.delivery_day, run.run)
}

fn escaped(text: &str) -> String {
    let plain: String = text.chars().filter(|it| !it.is_control()).collect();
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn instant(time_us: i64) -> String {
    let shown = merit_replay::inspect::Utc(time_us - time_us.rem_euclid(1_000_000)).to_string();
    shown.get(..19).map_or(shown.clone(), |it| format!("{it}Z"))
}

/// The pay-out file of a run: one transfer for each member to whom the run moves money.
///
/// # Errors
///
/// A member without an account, or no account of the clearing house.
pub fn pay_out(
    book: &Book,
    run: &v1::SettlementRun,
    accounts: &BTreeMap<String, BankAccount>,
    execution_day: &str,
) -> Result<String, String> {
    let own = accounts.get("*").ok_or("the clearing house's own account (*) is missing")?;
    let (currency, places) = book.currency();
    let transfers: Vec<&v1::MemberNet> = run.deltas.iter().filter(|it| it.net_micros > 0).collect();
    let missing: Vec<&str> =
        transfers.iter().map(|it| it.member.as_str()).filter(|it| !accounts.contains_key(*it)).collect();
    if !missing.is_empty() {
        return Err(format!("no account of {}", missing.join(", ")));
    }
    let total: i128 = transfers.iter().map(|it| i128::from(it.net_micros)).sum();
    let (count, sum) = (transfers.len(), money(total, places));
    let made_at = instant(time_of(book, run));
    let id = format!("MERIT-{}-{}", run.delivery_day, run.run);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = write!(
        out,
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09\">\n<CstmrCdtTrfInitn>\n\
         <GrpHdr><MsgId>{id}-OUT</MsgId><CreDtTm>{made_at}</CreDtTm><NbOfTxs>{count}</NbOfTxs>\
         <CtrlSum>{sum}</CtrlSum><InitgPty><Nm>{}</Nm></InitgPty></GrpHdr>\n",
        escaped(&own.name)
    );
    if count > 0 {
        let _ = writeln!(
            out,
            "<PmtInf><PmtInfId>{id}</PmtInfId><PmtMtd>TRF</PmtMtd><NbOfTxs>{count}</NbOfTxs>\
             <CtrlSum>{sum}</CtrlSum><ReqdExctnDt><Dt>{execution_day}</Dt></ReqdExctnDt>\
             <Dbtr><Nm>{}</Nm></Dbtr><DbtrAcct>{}</DbtrAcct><DbtrAgt>{}</DbtrAgt>",
            escaped(&own.name),
            own.account_xml(),
            own.bank_xml()
        );
        for it in &transfers {
            let to = accounts.get(&it.member).expect("checked above");
            let amount = money(i128::from(it.net_micros), places);
            out += &transfer(&reference(run, &it.member), &currency, &amount, to, &run.delivery_day);
        }
        out += "</PmtInf>\n";
    }
    out += "</CstmrCdtTrfInitn>\n</Document>\n";
    Ok(out)
}

impl BankAccount {
    fn account_xml(&self) -> String {
        let iban = self.account.len() > 14 && self.account.chars().take(2).all(|c| c.is_ascii_alphabetic());
        if iban {
            format!("<Id><IBAN>{}</IBAN></Id>", self.account)
        } else {
            format!("<Id><Othr><Id>{}</Id></Othr></Id>", self.account)
        }
    }

    fn bank_xml(&self) -> String {
        format!("<FinInstnId><BICFI>{}</BICFI></FinInstnId>", self.bank)
    }
}

/// One transfer.
fn transfer(reference: &str, currency: &str, amount: &str, to: &BankAccount, day: &str) -> String {
    format!(
        "<CdtTrfTxInf><PmtId><EndToEndId>{}</EndToEndId></PmtId><Amt><InstdAmt Ccy=\"{currency}\">{amount}\
         </InstdAmt></Amt><CdtrAgt>{}</CdtrAgt><Cdtr><Nm>{}</Nm></Cdtr><CdtrAcct>{}</CdtrAcct>\
         <RmtInf><Ustrd>electricity {day}</Ustrd></RmtInf></CdtTrfTxInf>\n",
        escaped(reference),
        to.bank_xml(),
        escaped(&to.name),
        to.account_xml()
    )
}

fn time_of(book: &Book, run: &v1::SettlementRun) -> i64 {
    let is_it = |it: &v1::SettlementRun| it.delivery_day == run.delivery_day && it.run == run.run;
    let at = book.items.iter().position(|it| matches!(&it.message.event, Some(Event::Run(it)) if is_it(it)));
    at.and_then(|it| book.times_us.get(it)).copied().unwrap_or(MINUTE_US)
}

/// A movement on the bank's statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// The bank's own reference; unique in the statement.
    pub bank_reference: String,
    /// End-to-end id, if there is one.
    pub reference: Option<String>,
    /// Millionths: positive came in, negative went out.
    pub micros: i64,
    /// Currency.
    pub currency: String,
    /// Booking day.
    pub day: String,
}

/// A bank statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Whose account.
    pub account: String,
    /// Its booked movements.
    pub movements: Vec<Movement>,
}

fn child<'a, 'i>(node: Node<'a, 'i>, path: &[&str]) -> Option<Node<'a, 'i>> {
    path.iter().try_fold(node, |node, name| node.children().find(|it| it.tag_name().name() == *name))
}

fn words(node: Node<'_, '_>, path: &[&str]) -> Option<String> {
    child(node, path).and_then(|it| it.text()).map(|it| it.trim().to_owned())
}

/// Reads a camt.053 statement.
///
/// # Errors
///
/// What is wrong with the file: field, value, rule.
pub fn statement(xml: &str) -> Result<Statement, String> {
    let document = Document::parse(xml).map_err(|error| format!("not XML: {error}"))?;
    let root = document.root_element();
    let space = root.tag_name().namespace().unwrap_or_default();
    if !space.starts_with("urn:iso:std:iso:20022:tech:xsd:camt.053.") {
        return Err(format!("the namespace is {space:?}, not that of camt.053"));
    }
    let stmt = child(root, &["BkToCstmrStmt", "Stmt"]).ok_or("there is no BkToCstmrStmt/Stmt")?;
    let account = words(stmt, &["Acct", "Id", "IBAN"]).or_else(|| words(stmt, &["Acct", "Id", "Othr", "Id"]));
    let account = account.ok_or("Acct/Id is missing")?;
    let mut movements = Vec::new();
    let entries = stmt.children().filter(|it| it.tag_name().name() == "Ntry");
    for (number, entry) in (1..).zip(entries) {
        let status = words(entry, &["Sts", "Cd"]).or_else(|| words(entry, &["Sts"]));
        if status.as_deref() == Some("BOOK") {
            movements.push(movement(entry).map_err(|error| format!("Ntry {number}: {error}"))?);
        }
    }
    Ok(Statement { account, movements })
}

fn movement(entry: Node<'_, '_>) -> Result<Movement, String> {
    let amount = child(entry, &["Amt"]).ok_or("Amt is missing")?;
    let shown = amount.text().unwrap_or_default().trim();
    let micros = amount_micros(shown).ok_or_else(|| format!("Amt {shown:?} is not an amount"))?;
    let sign = match words(entry, &["CdtDbtInd"]).as_deref() {
        Some("CRDT") => 1,
        Some("DBIT") => -1,
        other => return Err(format!("CdtDbtInd is {other:?}, neither CRDT nor DBIT")),
    };
    let reversed = words(entry, &["RvslInd"]).as_deref() == Some("true");
    let details = child(entry, &["NtryDtls", "TxDtls"]);
    let reference = details.and_then(|it| words(it, &["Refs", "EndToEndId"]));
    let day = words(entry, &["BookgDt", "Dt"]).or_else(|| words(entry, &["ValDt", "Dt"]));
    Ok(Movement {
        bank_reference: words(entry, &["AcctSvcrRef"]).ok_or("AcctSvcrRef is missing")?,
        reference: reference.filter(|it| it != "NOTPROVIDED"),
        micros: if reversed { -sign * micros } else { sign * micros },
        currency: amount.attribute("Ccy").unwrap_or_default().to_owned(),
        day: day.ok_or("BookgDt/Dt is missing")?,
    })
}

/// An amount with at most six places, in millionths; nothing if it is none or too large.
fn amount_micros(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |it: &str| it.chars().all(|c| c.is_ascii_digit());
    if whole.is_empty() || whole.len() > 15 || fraction.len() > 6 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction: i64 = format!("{fraction:0<6}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction)
}

/// What a comparison found about one movement or one expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `matched`, or what kind of exception.
    pub verdict: &'static str,
    /// End-to-end id.
    pub reference: String,
    /// Member, if it is known.
    pub member: String,
    /// What the run says, millionths; positive comes in.
    pub expected_micros: Option<i64>,
    /// What the bank says.
    pub found_micros: Option<i64>,
    /// The bank's reference.
    pub bank_reference: String,
    /// Booking day.
    pub day: String,
}

/// Compares a statement with what runs of a day should have moved.
///
/// # Errors
///
/// A statement of somebody else's account, or in part of another currency.
pub fn compare(
    book: &Book,
    statement: &Statement,
    own_account: &str,
    days: &BTreeSet<String>,
) -> Result<Vec<Finding>, String> {
    if statement.account != own_account {
        return Err(format!("the statement is of account {}, ours is {own_account}", statement.account));
    }
    let currency = book.currency().0;
    let mut expected: BTreeMap<String, (String, i64)> = BTreeMap::new();
    for run in book.runs().filter(|it| days.contains(&it.delivery_day)) {
        for it in run.deltas.iter().filter(|it| it.net_micros != 0) {
            expected.insert(reference(run, &it.member), (it.member.clone(), -it.net_micros));
        }
    }
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for it in &statement.movements {
        if it.currency != currency {
            return Err(format!("{}: currency {}, ours is {currency}", it.bank_reference, it.currency));
        }
        let reference = it.reference.clone().unwrap_or_default();
        let known = expected.get(&reference);
        let verdict = match known {
            None => "unknown reference",
            Some(_) if !seen.insert(reference.clone()) => "paid twice",
            Some((_, micros)) if *micros == it.micros => "matched",
            Some((_, micros)) if micros.signum() != it.micros.signum() => "wrong direction",
            Some(_) => "wrong amount",
        };
        findings.push(Finding {
            verdict,
            reference,
            member: known.map_or_else(String::new, |it| it.0.clone()),
            expected_micros: known.map(|it| it.1),
            found_micros: Some(it.micros),
            bank_reference: it.bank_reference.clone(),
            day: it.day.clone(),
        });
    }
    for (reference, (member, micros)) in expected.into_iter().filter(|(it, _)| !seen.contains(it)) {
        findings.push(Finding {
            verdict: "missing",
            reference,
            member,
            expected_micros: Some(micros),
            found_micros: None,
            bank_reference: String::new(),
            day: String::new(),
        });
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::{accounts, amount_micros, statement};

    #[test]
    fn amounts_are_exact_or_refused() {
        assert_eq!(amount_micros("12.5"), Some(12_500_000));
        assert_eq!(amount_micros("0.01"), Some(10_000));
        for bad in ["", "-1", "1e3", "1.0000001", "1,5", ".5", "99999999999999999"] {
            assert_eq!(amount_micros(bad), None, "{bad}");
        }
        // The largest that the check of digits lets through does not fit.
        assert_eq!(amount_micros("999999999999999"), None);
    }

    #[test]
    fn what_is_no_statement_names_the_rule() {
        assert!(statement("<a>").unwrap_err().starts_with("not XML"));
        let other = "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.052.001.08\"/>";
        assert!(statement(other).unwrap_err().contains("camt.053"));
        let entry = "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt><Stmt>\
            <Acct><Id><IBAN>X</IBAN></Id></Acct><Ntry><Amt Ccy=\"INR\">1</Amt><Sts><Cd>BOOK</Cd></Sts></Ntry>\
            </Stmt></BkToCstmrStmt></Document>";
        assert!(statement(entry).unwrap_err().starts_with("Ntry 1: CdtDbtInd"));
    }

    #[test]
    fn accounts_are_checked_line_by_line() {
        assert_eq!(accounts("*,House,IN00X,BANKINBB\nM1,One,12345,BANKINBB\n").unwrap().len(), 2);
        for bad in ["M1,One,12345", "M1,One,12 45,B", "M1,A,1,B\nM1,A,1,B"] {
            assert!(accounts(bad).unwrap_err().starts_with("line "), "{bad}");
        }
    }
}
