//! Real `merit serve` processes, one data directory each, and clients of them.

use super::proxy::Wire;
use merit_client::{Client, Config as ClientConfig, Retry, v1};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const DAM: &str = "DAM-2026-11-23";

const REGISTRY: &str = r#"
[[member]]
code = "GEN"
name = "Generator"

[[member.portfolio]]
code = "GEN-1"

[[member.user]]
name = "gina"
role = "trader"

[[user]]
name = "otto"
role = "operator"
"#;

pub(crate) struct Cluster {
    directory: TempDir,
    pub(crate) ports: Vec<u16>,
    /// The wires between nodes, from each to each; none to itself.
    wires: Vec<Vec<Option<Wire>>>,
    mode: &'static str,
    /// Keys and values; `{node}` in a value is the name of the node.
    settings: Vec<(String, String)>,
    /// Name of an operator.
    pub(crate) operator: &'static str,
    processes: Vec<Option<Child>>,
}

pub(crate) fn name(node: usize) -> String {
    format!("n{node}")
}

/// Ports that are free now, outside the range from which the system gives connections theirs: a node needs a moment
/// until it listens, and a connection may get its port meanwhile.
pub(crate) fn ports(count: usize) -> Vec<u16> {
    const FIRST: u32 = 20_000;
    const PORTS: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    let next = || FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
    let candidates = std::iter::repeat_with(|| u16::try_from(next()).unwrap());
    candidates.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).take(count).collect()
}

impl Cluster {
    pub(crate) fn new(count: usize, mode: &'static str) -> Self {
        Self::with(count, mode, &[])
    }

    pub(crate) fn with(count: usize, mode: &'static str, settings: &[(String, String)]) -> Self {
        let mut cluster = Self::still(count, mode, settings, "otto");
        (0..count).for_each(|node| cluster.spawn(node));
        cluster
    }

    /// The first node begins with the journal of a day that the demo played; the others have nothing yet.
    pub(crate) fn played(
        count: usize,
        mode: &'static str,
        settings: &[(String, String)],
        journal: &Path,
    ) -> Self {
        let mut cluster = Self::still(count, mode, settings, "operator");
        let to = cluster.data(0).join("journal");
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(journal).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        (0..count).for_each(|node| cluster.spawn(node));
        cluster
    }

    fn still(
        count: usize,
        mode: &'static str,
        settings: &[(String, String)],
        operator: &'static str,
    ) -> Self {
        let ports = ports(count);
        let wire =
            |from: usize, to: usize| (from != to).then(|| Wire::new(([127, 0, 0, 1], ports[to]).into()));
        let wires = (0..count).map(|from| (0..count).map(|to| wire(from, to)).collect()).collect();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("registry.toml"), REGISTRY).unwrap();
        let processes = (0..count).map(|_| None).collect();
        let settings = settings.to_vec();
        Self { directory, ports, wires, mode, settings, operator, processes }
    }

    pub(crate) fn count(&self) -> usize {
        self.ports.len()
    }

    pub(crate) fn url(&self, node: usize) -> String {
        format!("http://127.0.0.1:{}", self.ports[node])
    }

    pub(crate) fn data(&self, node: usize) -> PathBuf {
        self.directory.path().join(name(node))
    }

    /// Starts a node; it may take a while until it serves.
    pub(crate) fn spawn(&mut self, node: usize) {
        let set = |key: &str, value: &str| ["--set".to_owned(), format!("{key}={value}")];
        let registry = self.directory.path().join("registry.toml");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join(format!("{}.log", name(node))))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_merit"))
            .arg("serve")
            .args(["--listen", &format!("127.0.0.1:{}", self.ports[node])])
            .args(["--data", self.data(node).to_str().unwrap()])
            .args(set("node.name", &name(node)))
            .args(set("listen.plaintext", "true"))
            .args(set("clock.kind", "accelerated"))
            .args(set("clock.factor", "1"))
            .args(set("clock.start", "\"2026-11-22T04:30:00Z\""))
            .args(set("bootstrap.rules", "india"))
            .args(set("bootstrap.effective_from", "\"2026-11-23\""))
            .args(set("bootstrap.registry", registry.to_str().unwrap()))
            .args(set("replication.nodes", &self.nodes(node)))
            .args(
                self.settings.iter().flat_map(|(key, value)| set(key, &value.replace("{node}", &name(node)))),
            )
            .args(set("replication.role", if node == 0 { "primary" } else { "standby" }))
            .args(set("replication.mode", self.mode))
            .args(set("replication.digest_records", "500"))
            .args(set("log.filter", "info"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.processes[node] = Some(child);
    }

    /// The list of nodes as one of them has it: the others lie behind its wires.
    fn nodes(&self, from: usize) -> String {
        let port = |to: usize| self.wires[from][to].as_ref().map_or(self.ports[to], |it| it.port);
        let entries: Vec<String> =
            (0..self.count()).map(|to| format!("n{to}=http://127.0.0.1:{}", port(to))).collect();
        entries.join(" ")
    }

    /// Cuts a node off from the other nodes, or connects it again. Clients still reach it.
    pub(crate) fn cut_off(&self, node: usize, cut: bool) {
        let from = self.wires[node].iter().flatten();
        let to = self.wires.iter().filter_map(|it| it[node].as_ref());
        from.chain(to).for_each(|it| it.cut(cut));
    }

    /// The wire by which a node reaches another.
    pub(crate) fn wire(&self, from: usize, to: usize) -> &Wire {
        self.wires[from][to].as_ref().unwrap()
    }

    /// All that a node has logged.
    pub(crate) fn log(&self, node: usize) -> String {
        let log = std::fs::read_to_string(self.directory.path().join(format!("{}.log", name(node))));
        log.unwrap_or_default()
    }

    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.processes[node].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Has a node stop in order.
    pub(crate) fn stop(&mut self, node: usize) {
        self.signal(node, "-TERM");
        let mut child = self.processes[node].take().unwrap();
        assert!(child.wait().unwrap().success(), "{}", self.logs());
    }

    pub(crate) fn runs(&self, node: usize) -> bool {
        self.processes[node].is_some()
    }

    /// Stops or continues a process as a debugger or a frozen machine would.
    pub(crate) fn signal(&self, node: usize, signal: &str) {
        let child = self.processes[node].as_ref().unwrap();
        let status = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// A client of one user over all nodes, in which an outcome may stay unknown.
    pub(crate) fn client(&self, user: &str, attempts: u32) -> Client {
        let urls: Vec<String> = (0..self.count()).map(|it| self.url(it)).collect();
        client(&urls, user, attempts)
    }

    pub(crate) fn at(&self, node: usize, user: &str) -> Client {
        client(&[self.url(node)], user, 1)
    }

    pub(crate) async fn status(&self, node: usize) -> Option<v1::GetStatusResponse> {
        let client = self.at(node, self.operator);
        let asked = tokio::time::timeout(Duration::from_secs(1), client.get_status(v1::GetStatusRequest {}));
        asked.await.ok()?.ok()
    }

    /// The node that leads, once one does.
    pub(crate) async fn primary(&self) -> usize {
        let begun = Instant::now();
        loop {
            for node in 0..self.count() {
                if self.runs(node)
                    && self.status(node).await.is_some_and(|it| it.role() == v1::NodeRole::Primary)
                {
                    return node;
                }
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "nobody leads\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until every running node but the primary follows it and holds everything.
    pub(crate) async fn together(&self) -> usize {
        let begun = Instant::now();
        loop {
            let primary = self.primary().await;
            let followers = (0..self.count()).filter(|it| self.runs(*it)).count() - 1;
            if let Some(status) = self.status(primary).await {
                let known = status.replication.unwrap_or_default().followers;
                let whole = known.iter().filter(|it| it.connected && it.lag_records == 0).count();
                if whole == followers {
                    return primary;
                }
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "they do not come together\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The same, and with automatic failover: each of them may take over.
    pub(crate) async fn together_with_lease(&self) -> usize {
        let begun = Instant::now();
        loop {
            let primary = self.together().await;
            let status = self.status(primary).await.and_then(|it| it.replication?.lease);
            let lease = status.unwrap_or_default();
            let may = |node: usize| lease.may_take_over.contains(&name(node));
            let all = (0..self.count()).filter(|it| self.runs(*it)).all(may);
            if lease.reachable && lease.leader == name(primary) && all {
                return primary;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{lease:?}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for node in 0..self.count() {
            let log = self.log(node);
            let tail: Vec<&str> = log.lines().rev().take(25).collect();
            text.push_str(&format!("--- {}\n", name(node)));
            tail.iter().rev().for_each(|line| {
                text.push_str(line);
                text.push('\n');
            });
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.processes.iter_mut().flatten() {
            // One that is gone already is fine too.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A client of some nodes.
pub(crate) fn client(urls: &[String], user: &str, attempts: u32) -> Client {
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let mut config = ClientConfig::plaintext_loopback(&urls, user);
    let attempt_max = Duration::from_millis(1_500);
    let wait_max = Duration::from_millis(200);
    config.retry = Retry { attempts, attempt_max, wait_max, ..Retry::default() };
    Client::new(config).unwrap()
}
