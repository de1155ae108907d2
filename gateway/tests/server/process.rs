//! The program itself: what it says about a wrong configuration or a damaged journal, and how it stops.

use crate::common::REGISTRY;
use merit_replay::segment::HEADER_BYTES;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

fn serve(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_merit"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--set", "listen.plaintext=true"]);
    // So that the journal has more than one batch.
    command.args(["--set", "bootstrap.rules=india", "--data"]).arg(data);
    command
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts a node that ends well, and returns what it said on standard error.
fn start_and_stop(data: &Path) -> String {
    let mut child = serve(data).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on 127.0.0.1:"), "{line}");
    terminate(&child);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    said
}

fn terminate(child: &Child) {
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn asked_to_stop_it_closes_the_journal_and_exits_with_0() {
    let data = tempfile::tempdir().unwrap();
    start_and_stop(data.path());
    let again = start_and_stop(data.path());
    assert!(!again.contains("torn"), "a clean stop leaves no tail: {again}");
}

#[test]
fn every_fault_of_the_configuration_is_listed_and_the_exit_code_is_2() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("merit.toml");
    std::fs::write(&file, "[limits]\ninbox_commands_max = 0\n[clock]\nkind = \"sundial\"\n").unwrap();
    let output = serve(data.path()).arg("--config").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = words(&output);
    assert!(said.contains("limits.inbox_commands_max = 0 ("), "{said}");
    assert!(said.contains("clock.kind = \"sundial\" ("), "{said}");
    let output = serve(data.path()).args(["--config", "absent.toml"]).output().unwrap();
    assert_eq!((output.status.code(), words(&output).contains("absent.toml")), (Some(2), true));
}

#[test]
fn a_registry_that_is_wrong_keeps_the_exchange_from_starting() {
    let data = tempfile::tempdir().unwrap();
    let registry = data.path().join("registry.toml");
    let wrong = REGISTRY.replace("role = \"auditor\"", "role = \"king\"").replace("\"GEN-1\"", "\"GEN 1\"");
    std::fs::write(&registry, wrong).unwrap();
    let setting = format!("bootstrap.registry={}", registry.display());
    let output = serve(data.path()).args(["--set", &setting]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = words(&output);
    assert!(said.contains("role \"king\" of user \"gustav\""), "{said}");
    assert!(said.contains("portfolio \"GEN 1\""), "{said}");
}

#[test]
fn the_example_registry_is_one() {
    let data = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("registry.example.toml");
    let setting = format!("bootstrap.registry={}", example.display());
    let mut child = serve(data.path())
        .args(["--set", &setting])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on"), "the example is refused");
    terminate(&child);
    assert!(child.wait().unwrap().success());
}

/// The journal's only segment.
fn segment(data: &Path) -> PathBuf {
    let entries = std::fs::read_dir(data.join("journal")).unwrap().map(|it| it.unwrap().path());
    let is_segment = |it: &PathBuf| it.file_name().unwrap().to_str().unwrap().starts_with("segment-");
    entries.filter(is_segment).min().unwrap()
}

/// Where the last byte that is not zero stands.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|it| *it != 0).unwrap()
}

#[test]
fn a_flipped_bit_in_the_middle_of_the_journal_is_refused_with_record_and_remedy() {
    let data = tempfile::tempdir().unwrap();
    start_and_stop(data.path());
    let path = segment(data.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[HEADER_BYTES + 60] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let output = serve(data.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = words(&output);
    assert!(said.contains("record 1") && said.contains("restore"), "{said}");
}

#[test]
fn a_torn_tail_is_dropped_and_the_node_says_so() {
    let data = tempfile::tempdir().unwrap();
    start_and_stop(data.path());
    let path = segment(data.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let end = used(&bytes);
    // The beginning of a batch that was never finished.
    for byte in bytes.iter_mut().skip(end + 64).take(100) {
        *byte = 0x5a;
    }
    std::fs::write(&path, bytes).unwrap();
    let said = start_and_stop(data.path());
    assert!(said.contains("torn"), "{said}");
    let said = start_and_stop(data.path());
    assert!(!said.contains("torn"), "{said}");
}
