//! `merit demo` as a newcomer runs it: the day is whole, its checks hold, and it is the same every time.
//!
//! `golden/demo-7-20.txt` holds the digest of the day of seed 7 with 20 members: prices, volumes, flows,
//! schedules and obligations of 49 auctions. It changes only when what the market decides changes (rules,
//! clearing, sharing, settlement) or the demo's crowd does. Then run `merit demo --seed 7 --members 20
//! -o csv`, put the new digest there, and say in the commit what moved it and why that is right.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const GOLDEN: &str = include_str!("golden/demo-7-20.txt");

fn demo(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_merit"))
        .arg("demo")
        .args(arguments)
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// One figure of the day out of the CSV table.
fn figure(output: &Output, name: &str) -> String {
    let table = text(&output.stdout);
    let line = table.lines().find_map(|it| it.strip_prefix(&format!("{name},")));
    line.unwrap_or_else(|| panic!("no {name} in\n{table}\n{}", text(&output.stderr)))
        .rsplit(',')
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn the_same_seed_gives_the_same_day_twice_and_the_one_that_is_written_down() {
    let home = tempfile::tempdir().unwrap();
    let kept = home.path().join("kept");
    let size = ["--seed", "7", "--members", "20", "-o", "csv"];
    let keep = ["--keep", kept.to_str().unwrap()];
    let (one, other) = (demo(&[&size[..], &keep[..]].concat()), demo(&size));
    for (child, keeps) in [(one, true), (other, false)] {
        let output = child.wait_with_output().unwrap();
        let story = text(&output.stderr);
        assert!(output.status.success(), "{story}");
        assert_eq!(
            figure(&output, "digest"),
            GOLDEN.trim(),
            "see the rule at the head of this file\n{story}"
        );
        let checks: Vec<&str> = story.lines().filter(|it| it.starts_with("ok  ")).collect();
        assert_eq!(checks.len(), 4, "{story}");
        assert!(!story.contains("FAIL"), "{story}");
        let wide = story.lines().find(|it| it.chars().count() > 80);
        assert_eq!(wide, None, "a terminal has 80 columns");
        assert_eq!(story.contains("merit journal verify"), keeps, "{story}");
    }
    verified(&kept.join("data").join("journal"));
}

/// What was kept passes the checks that the story advises.
fn verified(journal: &Path) {
    let verify = Command::new(env!("CARGO_BIN_EXE_merit")).args(["journal", "verify"]).arg(journal).output();
    let output = verify.unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn a_directory_with_something_in_it_is_not_written_to() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("mine"), "x").unwrap();
    let output =
        demo(&["--members", "20", "--keep", home.path().to_str().unwrap()]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("is not empty"));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn too_few_members_are_wrong_use() {
    let output = demo(&["--members", "19"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}
