//! A small crowd against the real binary, over real mutual TLS.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

fn loadtest(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_merit-loadtest")).args(arguments).output().unwrap()
}

/// The binary `merit` of this build, if it is there and can serve.
fn merit() -> Option<PathBuf> {
    let merit = PathBuf::from(env!("CARGO_BIN_EXE_merit-loadtest")).with_file_name("merit");
    let serves = Command::new(&merit).args(["serve", "--help"]).output().is_ok_and(|it| it.status.success());
    if !serves {
        eprintln!("SKIPPED: {} is not there; cargo test --workspace builds it", merit.display());
    }
    serves.then_some(merit)
}

#[test]
fn a_crowd_s_acknowledgements_are_found_again_before_and_after_publication() {
    let Some(merit) = merit() else { return };
    let merit = merit.display().to_string();
    let small = ["--members", "3", "--connections", "5", "--rate", "200", "--seconds", "2", "-o", "json"];
    let mix = ["--via", "unary=4,batch=1,stream=1", "--batch", "5"];
    let out = loadtest(&[&["--self-host", "--merit", &merit][..], &small, &mix].concat());
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&out.stdout));
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    let referee = &report["referee"];
    assert_eq!((&report["accepted"], &report["unknown"]), (&Value::from(400), &Value::from(0)), "{report:#}");
    assert_eq!(report["latency"]["all"]["count"], 400);
    for what in ["submit", "amend", "cancel", "batch", "stream"] {
        assert!(report["latency"][what]["p50_us"].as_u64().unwrap() > 0, "{what}");
    }
    assert_eq!(
        (&referee["published"], &referee["acknowledgements"]),
        (&Value::from(true), &Value::from(400))
    );
    // One event for each command, and a result for each order that was not taken back.
    assert_eq!(referee["events"], 400);
    assert!(referee["results"].as_u64().unwrap() > 100, "{referee:#}");
    assert_eq!(referee["findings"], Value::Array(Vec::new()));
}

#[test]
fn what_cannot_be_run_ends_with_words_and_a_code() {
    let out = loadtest(&["--endpoint", "https://127.0.0.1:1", "--certs", "no/such/directory"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("no/such/directory"));
    for wrong in
        [&["--mix", "submit=lots", "--self-host"][..], &["--rate", "5"], &["--self-host", "--rate", "0"]]
    {
        assert_eq!(loadtest(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
