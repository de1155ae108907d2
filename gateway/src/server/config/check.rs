//! Gathers the sources of the configuration and checks every value.

use super::{Bootstrap, ClockConfig, FIELDS, Fault, Limits, Preset, Push, Sources, WebhookConfig};
use crate::server::link::{LeaseConfig, Replication};
use crate::server::snapshots::Retention;
use crate::server::tls::TlsFiles;
use crate::server::{certificate, clock};
use merit_replay::replication::Mode;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Value;

/// A configuration that is being checked.
#[derive(Debug)]
pub struct Draft {
    values: BTreeMap<&'static str, (Value, String)>,
    directory: PathBuf,
    faults: Vec<Fault>,
}

impl Draft {
    /// Puts the sources over the defaults; what cannot be placed is a fault.
    #[must_use]
    pub fn gather(sources: &Sources) -> Self {
        let mut draft = Self { values: BTreeMap::new(), directory: PathBuf::new(), faults: Vec::new() };
        for field in FIELDS {
            draft.values.insert(field.key, (parse_loosely(field.default), "default".into()));
        }
        if let Some((path, text)) = &sources.file {
            draft.directory = path.parent().map(Path::to_owned).unwrap_or_default();
            draft.take_file(&path.display().to_string(), text);
        }
        for (name, value) in &sources.environment {
            draft.take_variable(name, value);
        }
        for (key, value) in &sources.flags {
            draft.place(key, parse_loosely(value), "flag");
        }
        draft
    }

    fn take_file(&mut self, name: &str, text: &str) {
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                let rule = error.to_string().trim_end().to_owned();
                self.faults.push(Fault {
                    field: "(file)".into(),
                    origin: name.into(),
                    value: "…".into(),
                    rule,
                });
                return;
            }
        };
        for (section, entry) in table {
            let Value::Table(fields) = entry else {
                self.place(&section, entry, name);
                continue;
            };
            for (field, value) in fields {
                self.place(&format!("{section}.{field}"), value, name);
            }
        }
    }

    /// Variables that begin like a section of ours must be fields; others are not ours.
    fn take_variable(&mut self, name: &str, value: &str) {
        let Some(rest) = name.strip_prefix("MERIT_") else { return };
        let key = rest.to_ascii_lowercase().replacen('_', ".", 1);
        let section = key.split('.').next().unwrap_or_default();
        if FIELDS.iter().any(|it| it.key.split('.').next() == Some(section)) {
            self.place(&key, parse_loosely(value), name);
        }
    }

    fn place(&mut self, key: &str, value: Value, origin: &str) {
        match FIELDS.iter().find(|it| it.key == key) {
            Some(field) => {
                self.values.insert(field.key, (value, origin.into()));
            }
            None => self.faults.push(Fault {
                field: key.into(),
                origin: origin.into(),
                value: value.to_string(),
                rule: match nearest(key) {
                    Some(close) => format!("there is no such field; did you mean {close}?"),
                    None => "there is no such field".into(),
                },
            }),
        }
    }

    /// Value and origin of a field, for printing.
    #[must_use]
    pub fn shown(&self, key: &str) -> (String, String) {
        let (value, origin) = self.given(key);
        (value.to_string(), origin.to_owned())
    }

    fn given(&self, key: &str) -> (&Value, &str) {
        let (value, origin) = self.values.get(key).expect("every field has a default");
        (value, origin)
    }

    /// Notes that the value of a field breaks a rule.
    pub fn fault(&mut self, key: &str, rule: impl Into<String>) {
        let (value, origin) = self.shown(key);
        self.faults.push(Fault { field: key.into(), origin, value, rule: rule.into() });
    }

    /// The configuration, or every fault.
    ///
    /// # Errors
    ///
    /// The faults, in the order of the fields.
    pub fn finish<T>(mut self, config: T) -> Result<T, Vec<Fault>> {
        if self.faults.is_empty() {
            return Ok(config);
        }
        let place = |it: &Fault| FIELDS.iter().position(|field| field.key == it.field);
        self.faults.sort_by_key(place);
        Err(self.faults)
    }

    /// A text.
    pub fn text(&mut self, key: &str) -> String {
        match self.given(key).0 {
            Value::String(text) => text.clone(),
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_) => {
                self.fault(key, "must be a text in quotes");
                String::new()
            }
        }
    }

    /// A code.
    pub fn code(&mut self, key: &str) -> String {
        let text = self.text(key);
        if merit_engine::ids::TextId::new(&text).is_none() {
            self.fault(key, "must be 1 to 64 characters out of A-Z a-z 0-9 . _ : -");
        }
        text
    }

    /// A path, relative to the file in which it stands; nothing if empty.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        let text = self.text(key);
        let from_file =
            !matches!(self.given(key).1, "default" | "flag") && !self.given(key).1.starts_with("MERIT_");
        let base = if from_file { self.directory.clone() } else { PathBuf::new() };
        (!text.is_empty()).then(|| base.join(text))
    }

    /// An address and a port.
    pub fn address(&mut self, key: &str) -> SocketAddr {
        let text = self.text(key);
        text.parse().unwrap_or_else(|_| {
            self.fault(key, "must be an IP address and a port, e.g. 127.0.0.1:7443 or [::1]:7443");
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
        })
    }

    /// True or false.
    pub fn flag(&mut self, key: &str) -> bool {
        match self.given(key).0 {
            Value::Boolean(flag) => *flag,
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_) => {
                self.fault(key, "must be true or false");
                false
            }
        }
    }

    /// The node among others; nothing if it is alone.
    pub fn replication(&mut self) -> Option<Replication> {
        let text = self.text("replication.nodes");
        let wants_to_lead = self.choice("replication.role", &["standby", "primary"]) == 1;
        let modes = [Mode::Sync, Mode::SyncOrDegrade, Mode::Async];
        let mode = modes[self.choice("replication.mode", &["sync", "sync-or-degrade", "async"])];
        let patience = Duration::from_millis(u64::from(self.whole("replication.patience_ms", 100, 600_000)));
        let digest_every = u64::from(self.whole("replication.digest_records", 0, 1_000_000_000));
        let server_name = Some(self.text("replication.server_name")).filter(|it| !it.is_empty());
        if text.trim().is_empty() {
            return None;
        }
        let mut nodes: Vec<(String, String)> = Vec::new();
        for entry in text.split_whitespace() {
            let pair = entry.split_once('=').filter(|(_, it)| it.starts_with("http"));
            match pair {
                Some((name, _)) if nodes.iter().any(|(it, _)| it == name) => {
                    self.fault("replication.nodes", format!("{name} stands twice"));
                }
                Some((name, endpoint)) => nodes.push((name.to_owned(), endpoint.to_owned())),
                None => self.fault("replication.nodes", format!("{entry} must be name=http(s)://host:port")),
            }
        }
        if nodes.len() < 2 || nodes.len() > 16 {
            self.fault("replication.nodes", "must name 2 to 16 nodes");
        }
        let name = self.text("node.name");
        let me = nodes.iter().position(|(it, _)| *it == name);
        if me.is_none() {
            self.fault("replication.nodes", format!("must name this node, {name} (node.name)"));
        }
        let me = me.unwrap_or_default();
        Some(Replication { nodes, me, wants_to_lead, mode, patience, digest_every, server_name })
    }

    /// Snapshots, and where old segments go.
    pub fn retention(&mut self) -> Retention {
        let archive = self.path("journal.archive");
        let snapshot_every = u64::from(self.whole("journal.snapshot_records", 0, 1_000_000_000));
        if archive.is_some() && snapshot_every == 0 {
            self.fault(
                "journal.archive",
                "needs snapshots (journal.snapshot_records), else a start needs all segments",
            );
        }
        let archive_after_days = self.whole("journal.archive_after_days", 0, 36_500);
        Retention { snapshot_every, archive, archive_after_days }
    }

    /// Leases; nothing without endpoints.
    pub fn lease(&mut self) -> Option<LeaseConfig> {
        let endpoints: Vec<String> =
            self.text("lease.endpoints").split_whitespace().map(str::to_owned).collect();
        let seconds = self.whole("lease.seconds", 1, 600);
        let automatic = self.flag("lease.automatic");
        if endpoints.is_empty() && automatic {
            self.fault("lease.automatic", "needs lease.endpoints");
        }
        if endpoints.iter().any(|it| !it.starts_with("http")) {
            self.fault("lease.endpoints", "must be http(s)://host:port, separated by spaces");
        }
        (!endpoints.is_empty()).then_some(LeaseConfig { endpoints, seconds, automatic })
    }

    /// One of some words; its index.
    pub fn choice(&mut self, key: &str, words: &[&str]) -> usize {
        let text = self.text(key);
        words.iter().position(|it| *it == text).unwrap_or_else(|| {
            let quoted: Vec<String> = words.iter().map(|it| format!("\"{it}\"")).collect();
            self.fault(key, format!("must be one of {}", quoted.join(", ")));
            0
        })
    }

    fn whole(&mut self, key: &str, least: u32, most: u32) -> u32 {
        let given = match self.given(key).0 {
            Value::Integer(number) => u32::try_from(*number).ok(),
            Value::String(_)
            | Value::Boolean(_)
            | Value::Float(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_) => None,
        };
        match given {
            Some(number) if (least..=most).contains(&number) => number,
            Some(_) | None => {
                self.fault(key, format!("must be a whole number from {least} to {most}"));
                least
            }
        }
    }

    fn count(&mut self, key: &str, least: u32, most: u32) -> usize {
        usize::try_from(self.whole(key, least, most)).expect("a u32 fits in a usize here")
    }

    fn millis(&mut self, key: &str, least: u32, most: u32) -> Duration {
        Duration::from_millis(u64::from(self.whole(key, least, most)))
    }

    pub(super) fn limits(&mut self) -> Limits {
        Limits {
            request_bytes_max: self.count("limits.request_bytes_max", 1_024, 67_108_864),
            batch_commands_max: self.count("limits.batch_commands_max", 1, 100_000),
            inbox_commands_max: self.whole("limits.inbox_commands_max", 1, 10_000_000),
            streams_per_user_max: self.whole("limits.streams_per_user_max", 1, 65_536),
            connections_max: self.count("limits.connections_max", 1, 1_000_000),
            connections_per_address_max: self.count("limits.connections_per_address_max", 1, 1_000_000),
            pending_max: self.count("limits.pending_max", 1, 1_000_000),
            pending_per_address_max: self.count("limits.pending_per_address_max", 1, 1_000_000),
            handshake_timeout: self.millis("limits.handshake_ms", 100, 60_000),
            streams_per_connection_max: self.whole("limits.streams_per_connection_max", 1, 65_536),
            calls_per_connection_max: self.count("limits.calls_per_connection_max", 1, 65_536),
            slow_consumer_timeout: self.millis("limits.slow_consumer_ms", 10, 3_600_000),
            heartbeat_interval: self.millis("limits.heartbeat_ms", 10, 600_000),
            keepalive_interval: self.millis("limits.keepalive_ms", 100, 3_600_000),
            keepalive_timeout: self.millis("limits.keepalive_timeout_ms", 100, 600_000),
            drain_timeout: self.millis("limits.drain_ms", 0, 600_000),
        }
    }

    pub(super) fn tls(&mut self) -> Option<TlsFiles> {
        let plaintext = matches!(self.given("listen.plaintext").0, Value::Boolean(true));
        let mut file = |key| {
            let path = self.path(key);
            match &path {
                None if !plaintext => self.fault(key, "is needed unless listen.plaintext is true"),
                Some(path) if !plaintext && !path.is_file() => self.fault(key, "there is no such file"),
                Some(_) | None => {}
            }
            path
        };
        let (certificate, key, client_ca) = (file("tls.certificate"), file("tls.key"), file("tls.client_ca"));
        if plaintext {
            return None;
        }
        Some(TlsFiles { certificate: certificate?, key: key?, client_authority: client_ca? })
    }

    pub(super) fn signing_key(&mut self) -> Option<PathBuf> {
        let path = self.path("signing.key");
        if path.as_ref().is_some_and(|it| !it.is_file()) {
            self.fault("signing.key", "there is no such file");
        }
        path
    }

    pub(super) fn clock(&mut self) -> ClockConfig {
        let accelerated = self.choice("clock.kind", &["wall", "accelerated"]) == 1;
        let factor = self.whole("clock.factor", 1, 100_000);
        let start = self.text("clock.start");
        let start_us = clock::parse_utc(&start);
        if !start.is_empty() && start_us.is_none() {
            self.fault("clock.start", "must be an instant in UTC like 2026-11-22T04:25:00Z, or empty");
        }
        if accelerated { ClockConfig::Accelerated { start_us, factor } } else { ClockConfig::Wall }
    }

    pub(super) fn bootstrap(&mut self) -> Bootstrap {
        let rules = match self.choice("bootstrap.rules", &["", "india", "european"]) {
            1 => Some(Preset::India),
            2 => Some(Preset::European),
            _ => None,
        };
        let day = self.text("bootstrap.effective_from");
        let effective_from = clock::parse_day(&day);
        if !day.is_empty() && effective_from.is_none() {
            self.fault("bootstrap.effective_from", "must be a day like 2026-11-23 that exists, or empty");
        }
        let hex = self.text("bootstrap.operator");
        let operator = certificate::parse_hex(&hex);
        if !hex.is_empty() && operator.is_none() {
            self.fault("bootstrap.operator", "must be 64 hexadecimal digits, or empty");
        }
        let registry = self.path("bootstrap.registry");
        if registry.as_ref().is_some_and(|it| !it.is_file()) {
            self.fault("bootstrap.registry", "there is no such file");
        }
        Bootstrap { rules, effective_from, operator, registry }
    }

    pub(super) fn push(&mut self) -> Push {
        let postgres = self.text("push.postgres");
        if postgres.parse::<tokio_postgres::Config>().is_err() {
            self.fault("push.postgres", "must be a connection string of PostgreSQL, or empty");
        }
        let url = self.text("push.webhook_url");
        let authority = self.path("push.webhook_ca");
        let secret = self.path("push.webhook_secret");
        let secure = url.starts_with("https://");
        if !(url.is_empty() || secure || url.starts_with("http://")) {
            self.fault("push.webhook_url", "must begin with http:// or https://, or be empty");
        }
        if !url.is_empty() && !secret.as_ref().is_some_and(|it| it.is_file()) {
            self.fault("push.webhook_secret", "a webhook needs a file with its secret");
        }
        if secure && !authority.as_ref().is_some_and(|it| it.is_file()) {
            self.fault("push.webhook_ca", "https needs a file with the receiver's authorities");
        }
        let webhook =
            secret.filter(|_| !url.is_empty()).map(|secret| WebhookConfig { url, secret, authority });
        Push {
            embedded: self.flag("push.embedded"),
            postgres: (!postgres.is_empty()).then_some(postgres),
            webhook,
        }
    }
}

/// A value as TOML if it is one, else as text: `MERIT_NODE_NAME=x` needs no quotes.
fn parse_loosely(text: &str) -> Value {
    let parsed = format!("v = {text}").parse::<toml::Table>().ok().and_then(|mut it| it.remove("v"));
    match parsed {
        Some(value @ (Value::String(_) | Value::Integer(_) | Value::Boolean(_))) => value,
        Some(Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_)) | None => {
            Value::String(text.into())
        }
    }
}

/// The field whose name is closest, if one is close.
fn nearest(key: &str) -> Option<&'static str> {
    let name = |it: &str| it.rsplit('.').next().unwrap_or_default().to_owned();
    let wanted = name(key);
    FIELDS
        .iter()
        .map(|it| (distance(&name(it.key), &wanted), it.key))
        .min()
        .filter(|(far, _)| *far <= 3)
        .map(|(_, found)| found)
}

/// Edits (insert, delete, replace) between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
