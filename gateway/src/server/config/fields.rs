//! Every field of the configuration, with its default and its meaning.

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// `section.name`.
    pub key: &'static str,
    /// Default, as TOML.
    pub default: &'static str,
    /// For people: what it does, its unit, its bounds.
    pub about: &'static str,
}

const fn field(key: &'static str, default: &'static str, about: &'static str) -> Field {
    Field { key, default, about }
}

/// Every field, in the order of the file.
pub const FIELDS: &[Field] = &[
    field("node.name", "\"merit-1\"", "Name of this node in the journal, in status and in the log."),
    field(
        "node.data",
        "\"data\"",
        "Directory of the journal, which is the exchange, and of the read model beside it, which can be\n\
         deleted at any time: it is built again from the journal.",
    ),
    field("listen.address", "\"127.0.0.1:7443\"", "Address and port of the gRPC services."),
    field(
        "listen.plaintext",
        "false",
        "No TLS; who asks is then the user named in the metadata `merit-user`. For sandboxes, and only\n\
         on a loopback address.",
    ),
    field("tls.certificate", "\"\"", "PEM file with the chain of the server's certificate."),
    field("tls.key", "\"\"", "PEM file with its private key."),
    field("tls.client_ca", "\"\"", "PEM file with the authorities whose client certificates are let in."),
    field(
        "signing.key",
        "\"\"",
        "PEM file with an Ed25519 key (PKCS#8) that signs schedules, their changes and corridor requests;\n\
         empty: they go out unsigned. `merit certs` makes one, with its public key beside it.",
    ),
    field("limits.request_bytes_max", "4194304", "Largest message that is read, bytes (1024 to 67108864)."),
    field("limits.batch_commands_max", "5000", "Commands in one batch (1 to 100000)."),
    field(
        "limits.inbox_commands_max",
        "50000",
        "Commands that wait for the core; when so many wait, more are turned away with a time to retry\n\
         (1 to 10000000). A command with more than 128 points counts for several.",
    ),
    field("limits.streams_per_user_max", "64", "Event streams of one user at the same time (1 to 65536)."),
    field(
        "limits.connections_max",
        "600",
        "Open connections (1 to 1000000). With the pending ones they must stay below the number of files\n\
         that the process may have open.",
    ),
    field("limits.connections_per_address_max", "300", "Open connections of one address (1 to 1000000)."),
    field(
        "limits.pending_max",
        "256",
        "Connections that have not shown a certificate yet; the oldest makes room (1 to 1000000).",
    ),
    field("limits.pending_per_address_max", "128", "The same of one address (1 to 1000000)."),
    field(
        "limits.handshake_ms",
        "5000",
        "Time that a new connection has to finish its TLS handshake, ms (100 to 60000).",
    ),
    field(
        "limits.streams_per_connection_max",
        "256",
        "Calls and streams at the same time on one connection (1 to 65536).",
    ),
    field(
        "limits.calls_per_connection_max",
        "128",
        "Calls of one connection that are worked on at the same time; others wait (1 to 65536).",
    ),
    field(
        "limits.slow_consumer_ms",
        "10000",
        "How long a reader of a stream may take nothing before it is cut, ms (10 to 3600000).",
    ),
    field("limits.heartbeat_ms", "5000", "Silence on a stream before a heartbeat, ms (10 to 600000)."),
    field("limits.keepalive_ms", "15000", "Silence on a connection before a ping, ms (100 to 3600000)."),
    field(
        "limits.keepalive_timeout_ms",
        "10000",
        "Time that a ping may stay unanswered, ms (100 to 600000).",
    ),
    field("limits.drain_ms", "10000", "Time that open calls have to finish at a stop, ms (0 to 600000)."),
    field(
        "journal.snapshot_records",
        "1000000",
        "Records between two snapshots of the state, from which a start replays only the rest (0: none; to\n\
         1000000000). While one is taken, the node needs the memory of the state a second time and half of a\n\
         processor.",
    ),
    field(
        "journal.archive",
        "\"\"",
        "Directory, of this node alone, that old segments of the journal are moved to; empty: they stay. Nothing\n\
         ever deletes them there: whatever is built from the beginning (a new read model, a new standby) reads\n\
         them.",
    ),
    field(
        "journal.archive_after_days",
        "35",
        "How long a segment stays in the journal after its last record, days of the market's clock (0 to 36500).",
    ),
    field(
        "replication.nodes",
        "\"\"",
        "Nodes of the exchange, this one included: `name=endpoint` separated by spaces, for example\n\
         \"merit-1=https://a:7443 merit-2=https://b:7443\". The same list in the same order on every node; it\n\
         may only grow at its end (at most 16). Empty: this node has no standby.",
    ),
    field(
        "replication.role",
        "\"standby\"",
        "`primary`: asks for the role when it starts, once, with another node's promise; an empty data\n\
         directory founds the exchange. `standby`: follows, until an operator orders it to lead.",
    ),
    field(
        "replication.mode",
        "\"sync\"",
        "When orders are acknowledged. `sync`: durable here and at one standby; without one the market\n\
         waits. `sync-or-degrade`: the same, but after replication.patience_ms without a standby the primary\n\
         goes on alone and says so. `async`: durable here.",
    ),
    field(
        "replication.patience_ms",
        "1000",
        "How long a primary waits for a silent standby before it goes on alone, ms (100 to 600000).",
    ),
    field(
        "replication.digest_records",
        "1000000",
        "Records between two comparisons of the nodes' states, for which the core stands still: a third of a\n\
         second with 500,000 orders in the book (0: never; to 1000000000).",
    ),
    field(
        "replication.server_name",
        "\"\"",
        "Name in the other nodes' certificates, where it is not the host of their endpoint.",
    ),
    field(
        "lease.endpoints",
        "\"\"",
        "Endpoints of etcd, separated by spaces, in which the primary holds a lease and keeps the list of\n\
         nodes that may take over. The same on every node. Empty: only operators change who leads.",
    ),
    field("lease.seconds", "2", "Time after which a lease that is not renewed runs out, s (1 to 600)."),
    field(
        "lease.automatic",
        "false",
        "Whether this node takes over by itself when the primary's lease has run out and it holds everything\n\
         acknowledged. Paused on all nodes while the key /merit/<exchange id>/paused exists in etcd.",
    ),
    field("clock.kind", "\"wall\"", "`wall`, or `accelerated` for a sandbox."),
    field("clock.factor", "60", "Accelerated: how many times as fast as time (1 to 100000)."),
    field(
        "clock.start",
        "\"\"",
        "Accelerated: first instant, e.g. \"2026-11-22T04:25:00Z\"; empty: where the journal ends, or now.",
    ),
    field("log.filter", "\"info\"", "What is logged, e.g. \"info,merit_gateway=debug\"."),
    field("log.format", "\"text\"", "`text` or `json`."),
    field(
        "bootstrap.rules",
        "\"\"",
        "Market rules that a new exchange starts with: `india`, `european`, or empty for none.",
    ),
    field(
        "bootstrap.effective_from",
        "\"\"",
        "First local delivery day of these rules, e.g. \"2026-11-23\"; empty: tomorrow.",
    ),
    field(
        "bootstrap.operator",
        "\"\"",
        "SHA-256 of the first operator's certificate (DER), 64 hexadecimal digits; empty for none.",
    ),
    field(
        "bootstrap.registry",
        "\"\"",
        "TOML file with members, portfolios and users that a sandbox starts with; empty for none.",
    ),
    field(
        "push.embedded",
        "true",
        "Keep the embedded ledger in the data directory; it can be deleted at any time.",
    ),
    field(
        "push.postgres",
        "\"\"",
        "PostgreSQL that obligations and ledger entries are carried to, e.g. \"host=/run/postgresql\n\
         user=merit dbname=clearing\"; better given as MERIT_PUSH_POSTGRES if it has a password. Its schema\n\
         `merit` is made and brought up to date. Empty for none.",
    ),
    field(
        "push.webhook_url",
        "\"\"",
        "http:// or https:// address that obligations are posted to as signed JSON; empty for none.",
    ),
    field("push.webhook_secret", "\"\"", "File with the secret that the requests are signed with."),
    field("push.webhook_ca", "\"\"", "PEM file with the receiver's authorities, for https."),
];
