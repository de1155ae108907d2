//! The sample of every document in `gateway/samples`: what a back office builds its import on.

use merit_client::v1;
use merit_gateway::settle::book::Book;
use merit_gateway::settle::table::Form;
use merit_gateway::settle::{bank, documents, erp, hledger, html};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A key that everybody knows: PKCS#8 of the Ed25519 seed 00 01 02 … 1f (RFC 8410, section 7).
fn sample_key() -> aws_lc_rs::signature::Ed25519KeyPair {
    let head =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let pkcs8: Vec<u8> = head.into_iter().chain(0..32).collect();
    aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8).unwrap()
}

fn samples(
    book: &Book,
    run: &v1::SettlementRun,
    accounts: &str,
    statement: &str,
) -> BTreeMap<String, Vec<u8>> {
    let mut files = documents::files(book, run, Some("GEN"), Some(&sample_key()));
    let accounts = bank::accounts(accounts).unwrap();
    let mapping = erp::mapping("member,140000\nfees,500100\nmember:GEN,140007\n").unwrap();
    let entries = erp::export(book, 0, &mapping);
    let mut add = |name: &str, bytes: Vec<u8>| assert!(files.insert(name.into(), bytes).is_none());
    add("schemas.json", documents::schemas().into_bytes());
    add("pain.001.xml", bank::pay_out(book, run, &accounts, "2026-11-24").unwrap().into_bytes());
    add("camt.053.xml", statement.as_bytes().to_vec());
    add("erp.csv", entries.render(Form::Csv));
    add("erp.json", entries.render(Form::Json));
    add("hledger.journal", hledger::export(book).into_bytes());
    add("day.html", html::page(book, &run.delivery_day).into_bytes());
    files
}

fn committed(root: &Path, below: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            committed(root, &path, found);
        } else if path.file_name().is_some_and(|it| it != "README.md") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

/// Compares what the book gives with the committed samples; `MERIT_SAMPLES_COMMIT=1` writes them anew.
pub(crate) fn check(book: &Book, run: &v1::SettlementRun, accounts: &str, statement: &str) {
    let made = samples(book, run, accounts, statement);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("samples");
    if std::env::var("MERIT_SAMPLES_COMMIT").is_ok_and(|it| it == "1") {
        for (name, bytes) in &made {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
    let mut found = BTreeMap::new();
    committed(&root, &root, &mut found);
    assert!(found.keys().eq(made.keys()), "{:?} beside {:?}", found.keys(), made.keys());
    for (name, bytes) in &made {
        assert!(found[name] == *bytes, "{name} is not the sample (MERIT_SAMPLES_COMMIT=1 writes it anew)");
    }
    let public = String::from_utf8(made["public-key.hex"].clone()).unwrap();
    assert_eq!(documents::verify(&root, public.trim()), Ok(18), "a receiver can check the samples");
}
