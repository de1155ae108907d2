//! What an operator can set: a TOML file, then the environment, then flags, checked as a whole.
//!
//! Every field has a line in [`FIELDS`] with its default and its meaning; the example file and
//! `merit serve --print-config` are written from the same table. A field may be given as
//! `section.name` in the file, as `MERIT_SECTION_NAME` in the environment, and as
//! `--set section.name=value`. All errors are listed at once, each with the field, where its value
//! came from, the value and the rule that it breaks.

mod check;
mod fields;

pub use check::Draft;
pub use fields::{FIELDS, Field};

use super::tls::TlsFiles;
use std::fmt;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The whole configuration of a node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the node in journal and status.
    pub node_name: String,
    /// Directory of the journal and of what the gateway keeps beside it.
    pub data: PathBuf,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Whether it speaks plaintext (loopback only) instead of mutual TLS.
    pub plaintext: bool,
    /// Certificate and key of the server and the authority of client certificates; nothing with
    /// plaintext.
    pub tls: Option<TlsFiles>,
    /// Key that schedules are signed with, if any.
    pub signing_key: Option<PathBuf>,
    /// Bounds on what clients can use up.
    pub limits: Limits,
    /// Where time comes from.
    pub clock: ClockConfig,
    /// Filter of the log, in the syntax of `tracing`.
    pub log_filter: String,
    /// Whether log lines are JSON objects.
    pub log_json: bool,
    /// What is entered at the first start.
    pub bootstrap: Bootstrap,
    /// Where obligations are carried.
    pub push: Push,
    /// The node among others; nothing if it is alone.
    pub replication: Option<super::link::Replication>,
    /// Snapshots, and where old segments go.
    pub retention: super::snapshots::Retention,
    /// Leases in etcd; nothing: only operators change who leads.
    pub lease: Option<super::link::LeaseConfig>,
}

/// Where obligations are carried.
#[derive(Clone, Default)]
pub struct Push {
    /// Whether the embedded ledger is kept.
    pub embedded: bool,
    /// Connection string of PostgreSQL.
    pub postgres: Option<String>,
    /// A webhook.
    pub webhook: Option<WebhookConfig>,
}

/// Says which targets there are, and no password.
impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push")
            .field("embedded", &self.embedded)
            .field("postgres", &self.postgres.is_some())
            .field("webhook", &self.webhook)
            .finish()
    }
}

/// A webhook.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// `http://` or `https://`.
    pub url: String,
    /// File with the shared secret; its bytes without white space at the ends.
    pub secret: PathBuf,
    /// PEM file with the receiver's authorities, for https.
    pub authority: Option<PathBuf>,
}

/// Bounds on what clients can use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest message that is read, bytes.
    pub request_bytes_max: usize,
    /// Commands in one batch.
    pub batch_commands_max: usize,
    /// Commands that wait for the core before new ones are turned away.
    pub inbox_commands_max: u32,
    /// Streams of one user at the same time.
    pub streams_per_user_max: u32,
    /// Open connections.
    pub connections_max: usize,
    /// Open connections of one address.
    pub connections_per_address_max: usize,
    /// Connections that have not shown a certificate yet.
    pub pending_max: usize,
    /// The same of one address.
    pub pending_per_address_max: usize,
    /// Time that a new connection has to finish its TLS handshake.
    pub handshake_timeout: Duration,
    /// Streams and calls at the same time on one connection.
    pub streams_per_connection_max: u32,
    /// Calls of one connection that are worked on at the same time.
    pub calls_per_connection_max: usize,
    /// How long a reader of a stream may take no message before it is cut.
    pub slow_consumer_timeout: Duration,
    /// Silence on a stream before a heartbeat.
    pub heartbeat_interval: Duration,
    /// Silence on a connection before an HTTP/2 ping.
    pub keepalive_interval: Duration,
    /// Time that a ping may stay unanswered.
    pub keepalive_timeout: Duration,
    /// Time that open calls have to finish at a stop.
    pub drain_timeout: Duration,
}

/// Where time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockConfig {
    /// The machine's clock.
    Wall,
    /// For sandboxes.
    Accelerated {
        /// First instant, µs since 1970 UTC; nothing: where the journal ends, or now.
        start_us: Option<i64>,
        /// How many times as fast as time.
        factor: u32,
    },
}

/// What is entered at the first start, if it is not there yet.
#[derive(Clone, Debug, Default)]
pub struct Bootstrap {
    /// Preset of market rules.
    pub rules: Option<Preset>,
    /// First delivery day of these rules; nothing: the day after the clock's day.
    pub effective_from: Option<merit_engine::calendar::Day>,
    /// Certificate of the first operator.
    pub operator: Option<[u8; 32]>,
    /// File of members, portfolios and users.
    pub registry: Option<PathBuf>,
}

/// A preset of market rules, see [`merit_engine::presets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Indian-style day-ahead and real-time markets with 13 areas.
    India,
    /// European-style day-ahead and intraday-auction markets.
    European,
}

/// One fault of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Field, `section.name`.
    pub field: String,
    /// Where its value came from.
    pub origin: String,
    /// The value.
    pub value: String,
    /// The rule that it breaks.
    pub rule: String,
}

/// `listen.address = "x" (merit.toml): must be an address and a port`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({}): {}", self.field, self.value, self.origin, self.rule)
    }
}

/// What the three sources say.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Name and text of the file, if there is one.
    pub file: Option<(PathBuf, String)>,
    /// Variables of the environment.
    pub environment: Vec<(String, String)>,
    /// Flags, `section.name` and value.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// Reads the file, if given, and takes the process's environment.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn read(file: Option<&Path>, flags: Vec<(String, String)>) -> std::io::Result<Self> {
        let file = match file {
            Some(path) => Some((path.to_owned(), std::fs::read_to_string(path)?)),
            None => None,
        };
        Ok(Self { file, environment: std::env::vars().collect(), flags })
    }
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    ///
    /// Every fault that was found, in the order of [`FIELDS`].
    pub fn load(sources: &Sources) -> Result<Self, Vec<Fault>> {
        let mut draft = Draft::gather(sources);
        let config = Self {
            node_name: draft.code("node.name"),
            data: draft.path("node.data").unwrap_or_default(),
            listen: draft.address("listen.address"),
            plaintext: draft.flag("listen.plaintext"),
            tls: draft.tls(),
            signing_key: draft.signing_key(),
            limits: draft.limits(),
            clock: draft.clock(),
            log_filter: draft.text("log.filter"),
            log_json: draft.choice("log.format", &["text", "json"]) == 1,
            bootstrap: draft.bootstrap(),
            push: draft.push(),
            replication: draft.replication(),
            lease: draft.lease(),
            retention: draft.retention(),
        };
        if config.plaintext && !config.listen.ip().is_loopback() {
            draft.fault("listen.plaintext", "plaintext is for loopback addresses only");
        }
        draft.finish(config)
    }

    /// The configuration in force, as a commented TOML file.
    #[must_use]
    pub fn print(sources: &Sources) -> String {
        let draft = Draft::gather(sources);
        let mut text = String::from(
            "# Configuration of `merit serve`. Every field may also be given as MERIT_SECTION_NAME in the\n\
             # environment or as --set section.name=value; flags win over the environment, the environment\n\
             # over the file.\n",
        );
        let mut section = "";
        for field in FIELDS {
            let (table, name) = field.key.split_once('.').expect("every key has a section");
            if table != section {
                let _ = write!(text, "\n[{table}]\n");
                section = table;
            }
            for line in field.about.lines() {
                let _ = writeln!(text, "# {line}");
            }
            let (value, origin) = draft.shown(field.key);
            let origin = if origin == "default" { String::new() } else { format!("  # from {origin}") };
            let _ = writeln!(text, "{name} = {value}{origin}");
        }
        text
    }
}

#[cfg(test)]
mod tests;
