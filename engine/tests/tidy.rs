//! Rules about the source itself. They run with every `cargo test`; CI has no list of its own.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

use std::fs;
use std::path::{Path, PathBuf};

const LINES_PER_FILE_MAX: usize = 1_000;

#[test]
fn every_file_says_what_it_is_for_and_stays_readable() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{path} has no module doc");
        let lines = text.lines().count();
        assert!(lines <= LINES_PER_FILE_MAX, "{path}: {lines} lines");
    }
}

#[test]
fn engine_depends_on_nothing() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("dependencies]"), "engine has dependencies");
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert!(lib.contains("\n#![no_std]\n"), "engine must stay no_std");
}

#[test]
fn the_verifier_shares_no_code_with_what_it_judges() {
    let judge = |path: &str| path.ends_with("src/verify.rs") || path.contains("src/verify/");
    let mut seen = 0;
    for (path, text) in sources().into_iter().filter(|(path, _)| judge(path)) {
        seen += 1;
        for word in ["clearing::", "market::", "use super::super"] {
            assert!(!code(&text).contains(word), "{path} uses {word}");
        }
    }
    assert!(seen > 0);
}

#[test]
fn nothing_in_the_engine_depends_on_chance_or_rounding() {
    let words =
        ["HashMap", "HashSet", "f32", "f64", "std::time", "Instant", "SystemTime", "RefCell", "unsafe "];
    for (path, text) in sources().into_iter().filter(|(path, _)| path.contains("/src/")) {
        for word in words {
            assert!(!code(&text).contains(word), "{path} uses {word}");
        }
    }
}

#[test]
fn clearing_and_verifier_know_nothing_of_members() {
    let below = ["src/clearing", "src/book", "src/verify", "src/auction.rs", "src/outcome.rs"];
    for (path, text) in sources() {
        if below.iter().any(|it| path.contains(it)) {
            for word in ["crate::market", "crate::command", "crate::event"] {
                assert!(!code(&text).contains(word), "{path} uses {word}");
            }
        }
    }
}

/// The text without its comments.
fn code(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        code.push_str(line.split("//").next().unwrap());
        code.push('\n');
    }
    code
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the engine: (path, text).
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        gather(&root().join(folder), &mut files);
    }
    files.sort();
    assert!(files.len() > 10);
    files
}

fn gather(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            files.push((path.display().to_string(), text));
        }
    }
}
