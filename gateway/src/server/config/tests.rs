//! Configurations that are right, and every way in which they can be wrong.

use super::{ClockConfig, Config, FIELDS, Sources};

fn sources(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
    let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
    Sources {
        file: Some(("merit.toml".into(), file.into())),
        environment: own(environment),
        flags: own(flags),
    }
}

#[track_caller]
fn check(file: &str, expected: &[&str]) {
    let faults = Config::load(&sources(file, &[], &[])).unwrap_err();
    let actual: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(actual, expected);
}

#[test]
fn every_fault_is_listed_with_field_value_and_rule() {
    check(
        "node.name = \"a b\"\n[listen]\naddress = 7\nplaintext = true\n[limits]\ninbox_commands_max = -1\nhandshake_sm = 3\n\
         [clock]\nkind = \"fast\"\nstart = \"yesterday\"\n[bootstrap]\nrules = \"mars\"\noperator = \"12\"",
        &[
            "limits.handshake_sm = 3 (merit.toml): there is no such field; did you mean limits.handshake_ms?",
            "node.name = \"a b\" (merit.toml): must be 1 to 64 characters out of A-Z a-z 0-9 . _ : -",
            "listen.address = 7 (merit.toml): must be a text in quotes",
            "listen.address = 7 (merit.toml): must be an IP address and a port, e.g. 127.0.0.1:7443 or [::1]:7443",
            "limits.inbox_commands_max = -1 (merit.toml): must be a whole number from 1 to 10000000",
            "clock.kind = \"fast\" (merit.toml): must be one of \"wall\", \"accelerated\"",
            "clock.start = \"yesterday\" (merit.toml): must be an instant in UTC like 2026-11-22T04:25:00Z, or empty",
            "bootstrap.rules = \"mars\" (merit.toml): must be one of \"\", \"india\", \"european\"",
            "bootstrap.operator = \"12\" (merit.toml): must be 64 hexadecimal digits, or empty",
        ],
    );
}

#[test]
fn plaintext_is_for_loopback_only() {
    check(
        "[listen]\naddress = \"0.0.0.0:7443\"\nplaintext = true",
        &["listen.plaintext = true (merit.toml): plaintext is for loopback addresses only"],
    );
}

#[test]
fn mutual_tls_needs_its_files() {
    check(
        "[tls]\nkey = \"absent.key\"",
        &[
            "tls.certificate = \"\" (default): is needed unless listen.plaintext is true",
            "tls.key = \"absent.key\" (merit.toml): there is no such file",
            "tls.client_ca = \"\" (default): is needed unless listen.plaintext is true",
        ],
    );
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_place() {
    let faults = Config::load(&sources("[listen\n", &[], &[("listen.plaintext", "true")])).unwrap_err();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].rule.contains("line 1"), "{}", faults[0]);
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let given = sources(
        "[node]\nname = \"file\"\ndata = \"d\"\n[listen]\nplaintext = true\n[limits]\nheartbeat_ms = 11",
        &[("MERIT_NODE_NAME", "variable"), ("MERIT_LIMITS_HEARTBEAT_MS", "12"), ("MERIT_SHARED", "not ours")],
        &[("node.name", "flag"), ("clock.kind", "accelerated")],
    );
    let config = Config::load(&given).unwrap();
    assert_eq!(config.node_name, "flag");
    assert_eq!(config.limits.heartbeat_interval.as_millis(), 12);
    assert_eq!(config.clock, ClockConfig::Accelerated { start_us: None, factor: 60 });
    assert!(Config::print(&given).contains("heartbeat_ms = 12  # from MERIT_LIMITS_HEARTBEAT_MS\n"));
    let wrong = sources("[listen]\nplaintext = true", &[("MERIT_NODE_NAEM", "x")], &[]);
    assert!(Config::load(&wrong).unwrap_err()[0].rule.contains("node.name"));
}

#[test]
fn the_example_file_is_the_table_of_fields() {
    let example = include_str!("../../../merit.example.toml");
    assert_eq!(example, Config::print(&Sources::default()), "write it again: merit serve --print-config");
    assert_eq!(Config::print(&sources(example, &[], &[])).matches("# from").count(), FIELDS.len());
}

#[test]
fn an_archive_needs_snapshots() {
    check(
        "[listen]\nplaintext = true\n[journal]\nsnapshot_records = 0\narchive = \"old\"",
        &[
            "journal.archive = \"old\" (merit.toml): needs snapshots (journal.snapshot_records), else a start needs all segments",
        ],
    );
}
