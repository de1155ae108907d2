//! From a published auction to other people's books: pushed once, compared, documented, paid.

use crate::common::{DAM, Exchange, accepted, step};
use crate::day;
use crate::hook::{Hook, SECRET};
use crate::postgres::Postgres;
use merit_client::v1;
use merit_gateway::push::embedded::{Ledger, directory};
use merit_gateway::settle::book::Book;
use merit_gateway::settle::{bank, documents, erp, hledger, html};
use merit_replay::storage::disk::Disk;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};
use v1::Side::{Buy, Sell};

const DAY: &str = "2026-11-23";

/// A day-ahead auction from its opening to its result; prices with paise, so that rounding has work.
async fn publish(exchange: &Exchange) {
    exchange.at("2026-11-22T04:30:00Z").await;
    let sells: Vec<_> = (1..=96).map(|period| (period, "2500", "100.1")).collect();
    let gina = exchange.user("gina");
    accepted(&gina.submit("g-1", step(DAM, "GEN-1", "N1", Sell, &sells)).await.unwrap());
    let buys: Vec<_> = (1..=96).map(|period| (period, "4001", "60.1")).collect();
    let dora = exchange.user("dora");
    accepted(&dora.submit("d-1", step(DAM, "DISCOM-1", "N2", Buy, &buys)).await.unwrap());
    exchange.at("2026-11-22T05:30:00Z").await;
    assert_eq!(day::send_capacities(exchange, 40_000_000).await.refused, None);
    exchange.at("2026-11-22T07:30:00Z").await;
}

fn merit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_merit")).args(arguments).output().unwrap()
}

fn printed(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {error}", output.status.code());
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// As the clearing house, over the exchange's door.
async fn house(exchange: &Exchange, verb: &str, arguments: &[&str]) -> Output {
    let mut all = vec!["settle".to_owned(), verb.to_owned(), "--endpoint".into(), exchange.url()];
    all.extend(["--user", "house"].map(str::to_owned));
    all.extend(arguments.iter().map(|it| (*it).to_owned()));
    let run = move || {
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        merit(&all)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn head(exchange: &Exchange) -> u64 {
    let model = &exchange.running().node().model;
    model.read(|state, _| state.head(merit_engine::event::Stream::Settlement))
}

/// Waits until something is so; the test fails by its own time limit otherwise.
async fn until(mut so: impl FnMut() -> bool) {
    let mut pause = tokio::time::interval(std::time::Duration::from_millis(5));
    for _ in 0..12_000 {
        if so() {
            return;
        }
        pause.tick().await;
    }
    panic!("it did not come to be within a minute");
}

fn book(exchange: &Exchange) -> Book {
    Book::read(&Disk::existing(&exchange.journal()), &mut |_| {}).unwrap()
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

const REGISTER: &str = "meter,portfolio,area,direction\n1,GEN-1,N1,injection\n2,DISCOM-1,N2,drawal\n";

/// Both meters as scheduled (60.1 MW), but for what is taken from the generator's in block 4.
fn readings(short_wh: i64, version: u32, blocks: std::ops::RangeInclusive<i64>) -> String {
    let mut text = String::from("meter,block_15min,watt_hours,version,quality\n");
    for meter in [1, 2] {
        for block in blocks.clone() {
            let short = if meter == 1 && block == 4 { short_wh } else { 0 };
            text += &format!("{meter},{block},{},{version},1\n", 15_025_000 - short);
        }
    }
    text
}

/// Runs the day: provisional with first readings, final, and resettled after a correction.
async fn settle(exchange: &Exchange) {
    let files = exchange.data.path();
    let register = write(files, "register.csv", REGISTER);
    let first = write(files, "first.csv", &readings(5_000_000, 1, 1..=95));
    let frequency = write(files, "frequency", &"50000\n".repeat(96));
    let run = async |id: &str, status: &str, reason: &str| {
        let arguments = ["--day", DAY, "--status", status, "--reason", reason, "--request-id", id];
        printed(&house(exchange, "run", &arguments).await)
    };
    printed(&house(exchange, "deviation", &["--preset", "india", "--from", DAY]).await);
    let arguments =
        ["--day", DAY, "--revision", "1", "--register", &register, "--frequency", &frequency, &first];
    let sent = house(exchange, "meters", &arguments).await;
    printed(&sent);
    assert!(String::from_utf8_lossy(&sent.stderr).contains("190 readings taken, 2 estimated"));
    assert_eq!(run("run-1", "provisional", "").await, "done\n");
    assert_eq!(run("run-1", "provisional", "").await, "done (it was done before)\n");
    exchange.at("2026-11-23T18:30:00Z").await;
    run("run-2", "final", "").await;
    let late = write(files, "late.csv", &readings(2_500_000, 2, 4..=4));
    let arguments = ["--day", DAY, "--revision", "2", "--frequency", &frequency, &late];
    printed(&house(exchange, "meters", &arguments).await);
    run("run-3", "resettled", "meter 1 was read again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn obligations_reach_every_target_once_and_the_books_agree() {
    let (hook, postgres) = (Hook::with(std::sync::Arc::default(), "127.0.0.1:0").await, Postgres::start());
    hook.booked.lock().unwrap().lose_answers = 2;
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), SECRET).unwrap();
    let secret = secret.path().display().to_string();
    let config = postgres.as_ref().map_or_else(String::new, Postgres::config);
    let settings =
        [("push.webhook_url", &*hook.url), ("push.webhook_secret", &secret), ("push.postgres", &config)];
    let mut exchange = Exchange::new(&settings).await;
    publish(&exchange).await;
    settle(&exchange).await;
    let head = head(&exchange);
    until(|| hook.booked.lock().unwrap().seq == head).await;
    let ledger = std::sync::Arc::clone(exchange.running().ledger().unwrap());
    until(|| ledger.mark().seq == head).await;
    let book = book(&exchange);
    {
        let booked = hook.booked.lock().unwrap();
        assert_eq!(booked.bad_signatures, 0);
        let ids: BTreeMap<u64, u32> = book.obligations().map(|(_, it)| (it.obligation_id, 1)).collect();
        assert_eq!(booked.obligations, ids, "each obligation once");
        let digests = book.items.iter().map(|it| (it.seq, merit_gateway::push::hex(&it.digest)));
        assert_eq!(booked.items, digests.collect(), "the journal gives the same messages again");
    }
    assert_eq!(ledger.balances().unwrap(), book.balances());
    drop(ledger);
    if let Some(postgres) = &postgres {
        let mark = "select seq from merit.mark";
        let there = "select to_regclass('merit.mark') is not null";
        until(|| postgres.query(there) == ["t"] && postgres.query(mark) == [head.to_string()]).await;
        let balances = postgres.query("select account, amount_micros from merit.balance order by account");
        let ours: Vec<String> = book.balances().iter().map(|(name, it)| format!("{name}|{it}")).collect();
        assert_eq!(balances, ours);
        let once = "select count(*), count(distinct obligation_id) from merit.obligation";
        let count = book.obligations().count();
        assert_eq!(postgres.query(once), [format!("{count}|{count}")]);
    }
    exchange.stop().await;
    let data = exchange.data.path().join("data").display().to_string();
    let mut arguments = vec!["settle", "reconcile", &data, "-o", "csv"];
    if postgres.is_some() {
        arguments.extend(["--postgres", &config]);
    }
    assert_eq!(printed(&merit(&arguments)), "books,what,figure,journal,other\n");
    if let Some(postgres) = &postgres {
        postgres.query(
            "update merit.posting set amount_micros = amount_micros + 10000 where entry_id = 7 and line = 1",
        );
        let found = merit(&arguments);
        assert_eq!(found.status.code(), Some(3));
        let said = String::from_utf8(found.stdout).unwrap();
        assert_eq!(said.lines().count(), 3, "{said}");
        assert!(
            said.contains("PostgreSQL,balance member:") && said.contains("PostgreSQL,entry 7 line 1 member:")
        );
    }
}

/// What of the embedded ledger's directory a test spoils.
type Spoil = fn(&Path, &Path);

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_ledger_deleted_truncated_or_rolled_back_is_what_the_journal_says() {
    let mut exchange = Exchange::new(&[]).await;
    let data = exchange.data.path().join("data");
    let (kept, older) = (directory(&data), data.join("older"));
    exchange.stop().await;
    // The empty ledger of the first start is the older one.
    copy(&kept, &older);
    exchange.start().await;
    publish(&exchange).await;
    let head = head(&exchange);
    until(|| exchange.running().ledger().unwrap().mark().seq == head).await;
    let expected = exchange.running().ledger().unwrap().balances().unwrap();
    assert!(expected.len() >= 4);
    let spoils: [Spoil; 4] = [
        |kept, _| std::fs::remove_dir_all(kept).unwrap(),
        |kept, _| {
            let db = std::fs::OpenOptions::new().write(true).open(kept.join("db")).unwrap();
            db.set_len(db.metadata().unwrap().len() / 2).unwrap();
        },
        |kept, older| {
            std::fs::remove_dir_all(kept).unwrap();
            copy(older, kept);
        },
        |kept, _| {
            let db = sled::open(kept).unwrap();
            db.insert(b"amember:GEN", &0_i128.to_le_bytes()).unwrap();
            db.flush().unwrap();
        },
    ];
    for spoil in spoils {
        exchange.stop().await;
        spoil(&kept, &older);
        exchange.start().await;
        until(|| exchange.running().ledger().unwrap().mark().seq == head).await;
        assert_eq!(exchange.running().ledger().unwrap().balances().unwrap(), expected);
    }
    // Nothing of this moved the journal.
    exchange.stop().await;
    let as_it_is = Ledger::open_as_it_is(&kept).unwrap();
    assert_eq!(as_it_is.balances().unwrap(), book(&exchange).balances());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_goes_away_has_every_message_once_and_acknowledges_only_what_it_has() {
    let exchange = Exchange::new(&[]).await;
    publish(&exchange).await;
    let lines = exchange.data.path().join("followed.jsonl");
    let into = lines.display().to_string();
    printed(&house(&exchange, "follow", &["--into", &into, "--once"]).await);
    let whole = std::fs::read(&lines).unwrap();
    // It died in the middle of a line.
    std::fs::write(&lines, &whole[..whole.len() - 40]).unwrap();
    printed(&house(&exchange, "follow", &["--into", &into, "--once"]).await);
    assert_eq!(std::fs::read(&lines).unwrap(), whole);
    let numbers: Vec<u64> = String::from_utf8(whole)
        .unwrap()
        .lines()
        .map(|it| serde_json::from_str::<serde_json::Value>(it).unwrap()["seq"].as_u64().unwrap())
        .collect();
    let head = head(&exchange);
    assert_eq!(numbers, (1..=head).collect::<Vec<_>>());
    let house = exchange.user("house");
    let acknowledge = async |id: &str, up_to_seq, epoch| {
        let request = v1::AcknowledgeObligationsRequest { request_id: id.into(), up_to_seq, epoch };
        house.acknowledge_obligations(request).await.unwrap()
    };
    assert_eq!(acknowledge("a-1", head, 1).await.acknowledged_seq, head);
    for (id, seq, epoch) in
        [("a-2", head + 1, 1), ("a-3", head, 2), ("a-4", u64::MAX, 1), ("a-5", head, u64::MAX)]
    {
        let refused = acknowledge(id, seq, epoch).await.refused.unwrap();
        assert_eq!(refused.reason(), v1::RejectReason::NeverSent, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_payments_and_exports_are_the_same_bytes_and_balance() {
    let exchange = Exchange::new(&[]).await;
    publish(&exchange).await;
    settle(&exchange).await;
    let (first, again) = (book(&exchange), book(&exchange));
    let runs: Vec<&v1::SettlementRun> = first.runs().collect();
    assert_eq!(runs.len(), 3);
    // 5 MWh short of 15.025 in block 4: 10 % at the price, 5 % at 120 %, the rest at 150 % of it.
    let of =
        |run: &v1::SettlementRun| run.members.iter().find(|it| it.member == "GEN").unwrap().deviation_micros;
    let minor = |micros: i64| micros / 10_000;
    // The last part is 1,029,843.75 paise; all of it is rounded once.
    assert_eq!(minor(of(runs[0])), -(375_625 + 225_375 + 1_029_844));
    assert_eq!(of(runs[1]), of(runs[0]));
    let delta = runs[2].deltas.iter().find(|it| it.member == "GEN").unwrap();
    assert_eq!(delta.deviation_micros, of(runs[2]) - of(runs[1]));
    assert!(delta.deviation_micros > 0, "less was missing than it seemed");
    for run in &runs {
        let number = Some(run.run);
        let files = documents::files(&first, run, None, None);
        assert_eq!(files, documents::files(&again, again.run(DAY, number).unwrap(), None, None));
        assert_eq!(files.len(), 2 * 6 * 3 + 1);
    }
    assert_eq!(html::page(&first, DAY), html::page(&again, DAY));
    let statement = documents::files(&first, runs[2], Some("GEN"), None);
    let csv = String::from_utf8(statement["GEN/statement.csv"].clone()).unwrap();
    let last = csv.lines().last().unwrap().rsplit(',').next().unwrap().to_owned();
    assert_eq!(last, first.balances()["member:GEN"].to_string(), "{csv}");
    let reference = bank::reference(runs[2], "GEN");
    let paid = camt("IN29HOUSE0000001", &[entry("B1", &reference, "9375.00", "DBIT", "INR")]);
    crate::samples::check(&first, runs[2], ACCOUNTS, &paid);
    check_payments(&first);
    check_erp(&first);
    check_signature(&exchange);
    check_hledger(&exchange, &first);
}

const ACCOUNTS: &str = "*,Clearing House,IN29HOUSE0000001,HOUSINBB\nGEN,Coal & Co,IN10GEN00000000001,BANKINBB\n\
    DISCOM,City,1234567890,BANKINBB\n";

fn entry(reference: &str, end_to_end: &str, amount: &str, indicator: &str, currency: &str) -> String {
    format!(
        "<Ntry><Amt Ccy=\"{currency}\">{amount}</Amt><CdtDbtInd>{indicator}</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>\
         <BookgDt><Dt>2026-11-24</Dt></BookgDt><AcctSvcrRef>{reference}</AcctSvcrRef><NtryDtls><TxDtls><Refs>\
         <EndToEndId>{end_to_end}</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>"
    )
}

fn camt(account: &str, entries: &[String]) -> String {
    format!(
        "<?xml version=\"1.0\"?><Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt>\
         <Stmt><Acct><Id><IBAN>{account}</IBAN></Id></Acct>{}</Stmt></BkToCstmrStmt></Document>",
        entries.concat()
    )
}

fn check_payments(book: &Book) {
    let accounts = bank::accounts(ACCOUNTS).unwrap();
    let run = book.run(DAY, Some(1)).unwrap();
    let xml = bank::pay_out(book, run, &accounts, "2026-11-24").unwrap();
    let gen_net = run.members.iter().find(|it| it.member == "GEN").unwrap().net_micros;
    let shown = merit_gateway::settle::money(i128::from(gen_net), 2);
    assert!(xml.contains(&format!("<CtrlSum>{shown}</CtrlSum>")) && xml.contains("Coal &amp; Co"), "{xml}");
    assert!(xml.contains("<EndToEndId>MERIT-2026-11-23-1-GEN</EndToEndId>"));
    roxmltree::Document::parse(&xml).unwrap();
    let due = -run.members.iter().find(|it| it.member == "DISCOM").unwrap().net_micros;
    let due = merit_gateway::settle::money(i128::from(due), 2);
    let entries = [
        entry("B1", "MERIT-2026-11-23-1-DISCOM", &due, "CRDT", "INR"),
        entry("B2", "MERIT-2026-11-23-1-DISCOM", &due, "CRDT", "INR"),
        entry("B3", "MERIT-2026-11-23-1-GEN", "0.01", "DBIT", "INR"),
        entry("B4", "RENT", "5.00", "DBIT", "INR"),
    ];
    let days = BTreeSet::from([DAY.to_owned()]);
    let own = &accounts["*"].account;
    let statement = bank::statement(&camt(own, &entries)).unwrap();
    let findings = bank::compare(book, &statement, own, &days).unwrap();
    let verdicts: Vec<&str> = findings.iter().map(|it| it.verdict).collect();
    assert_eq!(verdicts[..4], ["matched", "paid twice", "wrong amount", "unknown reference"]);
    assert!(verdicts[4..].iter().all(|it| *it == "missing"), "{verdicts:?}");
    let foreign = bank::statement(&camt("DE89SOMEBODYELSE", &entries)).unwrap();
    assert!(bank::compare(book, &foreign, own, &days).unwrap_err().contains("DE89SOMEBODYELSE"));
    let euros = bank::statement(&camt(own, &[entry("B1", "X", "1", "CRDT", "EUR")])).unwrap();
    assert!(bank::compare(book, &euros, own, &days).unwrap_err().contains("EUR"));
}

fn check_erp(book: &Book) {
    let mapping = erp::mapping("member,140000\nfees,500100\nmember:GEN,140007\n").unwrap();
    let csv =
        String::from_utf8(erp::export(book, 0, &mapping).render(merit_gateway::settle::table::Form::Csv))
            .unwrap();
    assert!(csv.contains(",140007,GEN,") && csv.contains(",140000,DISCOM,") && csv.contains(",500100,,"));
    let last = book.entries().count();
    let answers = "document_key,status,message\nMERIT-1,posted,\nMERIT-2,posted,\nMERIT-3,refused,period closed\nMERIT-5,posted,\n";
    let found = erp::acknowledged(book, answers).unwrap();
    assert_eq!((found.up_to, found.ahead.len()), (2, 1));
    assert_eq!(found.refused, [(3, "period closed".to_owned())]);
    for wrong in [
        format!("MERIT-{},posted,", last + 1),
        "MERIT-0,posted,".into(),
        "X,posted,".into(),
        "MERIT-1,maybe,".into(),
    ] {
        assert!(erp::acknowledged(book, &wrong).is_err(), "{wrong}");
    }
}

fn check_signature(exchange: &Exchange) {
    let files = exchange.data.path();
    let key = files.join("key.pem").display().to_string();
    let made = Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out", &key]).output();
    if !made.is_ok_and(|it| it.status.success()) {
        eprintln!("SKIPPED: no openssl to make a key with (apt-get install openssl)");
        return;
    }
    let data = files.join("data").display().to_string();
    let out = files.join("documents");
    let path = out.display().to_string();
    printed(&merit(&["settle", "documents", &data, "--day", DAY, "--out", &path, "--key", &key]));
    let public = std::fs::read_to_string(out.join("public-key.hex")).unwrap();
    let check = || merit(&["settle", "check", &path, "--public", public.trim()]);
    printed(&check());
    let invoice = out.join("GEN/invoice.csv");
    let text = std::fs::read_to_string(&invoice).unwrap();
    std::fs::write(&invoice, text.replacen('1', "2", 1)).unwrap();
    let found = check();
    assert_eq!(found.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&found.stderr).contains("GEN/invoice.csv"));
}

/// hledger adds the same entries up by itself and must come to every balance.
fn check_hledger(exchange: &Exchange, book: &Book) {
    if Command::new("hledger").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no hledger here (apt-get install hledger)");
        return;
    }
    let file = write(exchange.data.path(), "book.journal", &hledger::export(book));
    let output = Command::new("hledger")
        .args(["-f", &file, "balance", "--flat", "-N", "-O", "csv", "-E"])
        .output()
        .unwrap();
    let printed = printed(&output);
    let mut found = BTreeMap::new();
    for line in printed.lines().skip(1) {
        let (account, amount) = line.trim_matches('"').split_once("\",\"").unwrap();
        let digits = amount.trim_start_matches("INR").trim().replace(',', "");
        found.insert(account.to_owned(), digits);
    }
    let places = book.currency().1;
    let amount = |it: i128| if it == 0 { "0".to_owned() } else { merit_gateway::settle::money(it, places) };
    let ours: BTreeMap<String, String> =
        book.balances().into_iter().map(|(name, it)| (name, amount(it))).collect();
    assert_eq!(found, ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_that_are_wrong_leave_nothing_behind() {
    let exchange = Exchange::new(&[]).await;
    publish(&exchange).await;
    let before = head(&exchange);
    let files = exchange.data.path();
    let register = write(files, "register.csv", REGISTER);
    let header = "meter,block_15min,watt_hours,version,quality\n";
    for (name, text, expected) in [
        ("twice.csv", format!("{header}1,1,5,1,1\n1,1,5,1,1\n"), "has a reading of this block already"),
        ("order.csv", format!("{header}2,1,5,1,1\n1,1,5,1,1\n"), "out of order"),
        ("negative.csv", format!("{header}1,1,-5,1,1\n"), "must not be negative"),
        ("absurd.csv", format!("{header}1,1,9000000000,1,1\n"), "no meter passes more than"),
        ("late.csv", format!("{header}1,97,5,1,1\n"), "must be a block of 15 minutes"),
        ("foreign.csv", format!("{header}77,1,5,1,1\n"), "no such meter in the register"),
        (
            "hourly.csv",
            "meter,block_60min,watt_hours,version,quality\n1,1,5,1,1\n".into(),
            "must be block_15min",
        ),
    ] {
        let file = write(files, name, &text);
        let arguments = ["--day", DAY, "--revision", "1", "--register", &register, &file];
        let output = house(&exchange, "meters", &arguments).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{name}: {said}");
    }
    let unknown = write(files, "unknown.csv", "meter,portfolio,area,direction\n1,NOBODY,N1,injection\n");
    let file = write(files, "good.csv", &format!("{header}1,1,5,1,1\n"));
    let arguments = ["--day", DAY, "--revision", "1", "--register", &unknown, &file];
    assert!(!house(&exchange, "meters", &arguments).await.status.success());
    assert_eq!(head(&exchange), before, "nothing was booked");
}
