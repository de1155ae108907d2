//! `merit journal` as an operator meets it: on the golden journal, whole and damaged.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const LAST_SEGMENT: &str = "segment-00000000000000000012.merit";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../replay/fixtures/v1")
}

/// A copy that may be damaged.
fn copy() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    dir
}

fn damage(dir: &Path, segment: &str, at: usize) {
    let path = dir.join(segment);
    let mut bytes = fs::read(&path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Exit code, standard output, standard error.
fn merit(verb: &str, dir: &Path, more: &[&str]) -> (i32, String, String) {
    run(&["journal", verb], dir, more)
}

fn run(verb: &[&str], dir: &Path, more: &[&str]) -> (i32, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_merit")).args(verb).arg(dir).args(more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

#[test]
fn a_whole_journal_verifies() {
    let (code, out, _) = merit("verify", &golden(), &["-o", "csv"]);
    assert_eq!(code, 0);
    assert!(out.lines().nth(1).unwrap().starts_with("ok,6d65726974"), "{out}");
    assert!(out.contains(",3,8,16,2,"), "3 segments, 8 batches, 16 records, epoch 2: {out}");
}

#[test]
fn a_flipped_bit_in_the_middle_is_named_with_its_record_and_remedy() {
    let dir = copy();
    damage(dir.path(), "segment-00000000000000000006.merit", 600);
    let (code, out, _) = merit("verify", dir.path(), &[]);
    assert_eq!(code, 3);
    for words in [
        "damaged",
        "segment-00000000000000000006.merit",
        "record        6",
        "512",
        "restore the named segment",
    ] {
        assert!(out.contains(words), "{words} is missing in:\n{out}");
    }
    let (code, _, error) = merit("digest", dir.path(), &[]);
    assert_eq!(code, 3);
    assert!(error.contains("damaged record 6") && error.contains("remedy: restore"), "{error}");
}

#[test]
fn a_torn_tail_that_nobody_was_promised_is_reported_and_passes() {
    let dir = copy();
    damage(dir.path(), LAST_SEGMENT, 1_530);
    let (code, out, _) = merit("verify", dir.path(), &["-o", "json"]);
    assert_eq!(code, 0);
    assert!(out.contains(r#""status":"torn tail""#) && out.contains(r#""record":17"#), "{out}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "verify leaves everything as it is");
}

#[test]
fn a_listing_shows_that_orders_came_and_nothing_of_what_is_in_them() {
    let (code, out, _) = merit("print", &golden(), &[]);
    assert_eq!(code, 0);
    assert_eq!(out.lines().count(), 17);
    for words in ["epoch-started", "delhi-1", "submit", "clear-quantum", "RTM-2026-11-22-17"] {
        assert!(out.contains(words), "{words} is missing in:\n{out}");
    }
    // Member codes, users, request ids, groups, prices and lots of the golden orders.
    for sealed in ["MAHA", "a.rao", "o-1", "night", "250000", "400000", "500000"] {
        assert!(!out.contains(sealed), "{sealed} is shown:\n{out}");
    }
    let (_, out, _) = merit("print", &golden(), &["--from", "6", "--to", "7", "-o", "csv"]);
    assert_eq!(out.lines().count(), 3);
}

#[test]
fn the_digest_is_the_same_each_time_and_refuses_a_record_beyond_the_end() {
    let first = merit("digest", &golden(), &["-o", "json"]);
    assert_eq!(first.0, 0);
    assert_eq!(merit("digest", &golden(), &["-o", "json"]), first);
    assert_eq!(merit("digest", &golden(), &["--at", "16", "-o", "json"]), first);
    assert_eq!(merit("digest", &golden(), &["--at", "17"]).0, 2);
}

#[test]
fn a_directory_without_a_journal_is_wrong_use() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, error) = merit("verify", dir.path(), &[]);
    assert_eq!(code, 2);
    assert!(error.contains("no journal in"), "{error}");
    assert_eq!(merit("verify", &dir.path().join("nowhere"), &[]).0, 2);
}

#[test]
fn a_damaged_journal_is_mended_from_a_copy_and_from_nothing_else() {
    let dir = copy();
    let from = golden();
    let from = from.to_str().unwrap();
    damage(dir.path(), "segment-00000000000000000006.merit", 600);
    // Another history, or a copy that is damaged itself.
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("../replay/fixtures/v2");
    let (code, _, said) = merit("repair", dir.path(), &["--from", other.to_str().unwrap()]);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    let (code, _, said) = merit("repair", dir.path(), &["--from", dir.path().to_str().unwrap()]);
    assert_eq!(code, 5, "{said}");

    let (code, out, said) = merit("repair", dir.path(), &["--from", from, "-o", "csv"]);
    assert_eq!(code, 0, "{said}");
    let line = out.lines().nth(1).unwrap();
    assert!(line.starts_with("repaired,") && line.contains(",5,16,"), "{out}");
    let (code, out, _) = merit("verify", dir.path(), &["-o", "csv"]);
    assert_eq!(code, 0, "{out}");
    let chain = |out: &str| out.lines().nth(1).unwrap().split(',').nth(8).unwrap().to_owned();
    assert_eq!(chain(&out), chain(&merit("verify", &golden(), &["-o", "csv"]).1));
    let (code, out, _) = merit("repair", dir.path(), &["--from", from, "-o", "csv"]);
    assert!(code == 0 && out.lines().nth(1).unwrap().starts_with("ok,"), "{out}");
}

#[test]
fn what_was_said_is_made_again_with_the_same_digests() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../replay/fixtures/v2");
    let (code, out, said) = merit("outputs", &dir, &["-o", "csv"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(out.lines().count(), 6, "{out}");
    assert!(out.lines().any(|it| it.starts_with("operator,") && !it.starts_with("operator,0,")), "{out}");
    assert_eq!(merit("outputs", &dir, &["-o", "csv"]).1, out);
}

#[test]
fn a_snapshot_is_taken_and_verified_and_a_damaged_one_is_named() {
    let dir = copy();
    let (code, _, error) = merit("snapshot", dir.path(), &["--at", "17"]);
    assert_eq!(code, 2, "there is no record 17: {error}");
    let (code, out, error) = merit("snapshot", dir.path(), &["--at", "1", "-o", "csv"]);
    assert_eq!(code, 0, "{error}");
    let files = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let taken: Vec<String> = files.filter(|it| it.starts_with("snapshot")).collect();
    assert_eq!(taken.len(), 1);
    assert!(out.contains(&taken[0]), "{out}");
    assert_eq!(merit("snapshot", dir.path(), &["--at", "1", "-o", "csv"]).1, out, "there is one already");
    let (code, out, _) = merit("verify", dir.path(), &[]);
    assert!(code == 0 && out.contains("snapshots"), "{out}");
    damage(dir.path(), &taken[0], 700);
    let (code, out, _) = merit("verify", dir.path(), &[]);
    assert_eq!(code, 4, "{out}");
    assert!(out.contains(&taken[0]) && out.contains("does not match its checksum"), "{out}");
}

/// Segments that lie in the archive are read from there, and are named when nobody says where it is.
#[test]
fn a_journal_is_read_together_with_its_archive() {
    let dir = copy();
    let archive = tempfile::tempdir().unwrap();
    let first = "segment-00000000000000000001.merit";
    fs::rename(dir.path().join(first), archive.path().join(first)).unwrap();
    let (code, out, _) = merit("verify", dir.path(), &[]);
    assert_eq!(code, 3);
    assert!(out.contains("a segment before this one is missing") && out.contains("--archive"), "{out}");
    let place = archive.path().to_str().unwrap();
    let verbs = ["verify", "print", "digest", "outputs"].map(|it| ["journal", it]);
    for verb in verbs.into_iter().chain([["report", "surveillance"], ["report", "balances"]]) {
        let (whole, split) = (run(&verb, &golden(), &[]), run(&verb, dir.path(), &["--archive", place]));
        assert_eq!(split, whole, "{verb:?}");
        assert_eq!(whole.0, 0, "{verb:?}: {}", whole.2);
    }
}
