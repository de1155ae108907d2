//! An exchange of one's own for the length of a run: certificates, a sandbox of European rules on a fast
//! clock, and `merit serve`, once or with a standby, in a directory that is gone afterwards.

use crate::Fault;
use crate::crowd::Access;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Local midnight with which the orders' day begins, a day before delivery; the auction opens with it.
const START: &str = "2026-11-22T23:00:00Z";
/// First delivery day, that of the auction.
const DAY: &str = "2026-11-24";
/// The auction.
pub(crate) const AUCTION: &str = "DAM-2026-11-24";
/// It takes orders for twelve hours.
const OPEN_SECONDS: u64 = 12 * 3_600;

/// What is hosted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The program; absent: beside this one, built first if cargo runs this one.
    pub(crate) merit: Option<PathBuf>,
    /// Where to keep the data; absent: nowhere.
    pub(crate) dir: Option<PathBuf>,
    pub(crate) members: usize,
    pub(crate) connections: usize,
    /// How long orders must be taken, from the start on.
    pub(crate) open: Duration,
    /// Whether a standby follows, and when orders are acknowledged then: `sync`, `sync-or-degrade`, `async`.
    pub(crate) standby: Option<String>,
}

/// A running exchange; stopped when it is dropped.
pub(crate) struct Host {
    nodes: Vec<Child>,
    address: String,
    dir: PathBuf,
    _temporary: Option<TempDir>,
}

impl Host {
    /// Starts it and waits until it listens.
    pub(crate) fn start(wanted: &Wanted) -> Result<Self, Fault> {
        let merit = match &wanted.merit {
            Some(path) => path.clone(),
            None => beside()?,
        };
        let temporary = if wanted.dir.is_none() { Some(TempDir::new()?) } else { None };
        let dir = wanted.dir.as_deref().or(temporary.as_ref().map(TempDir::path));
        let dir = dir.expect("one of them is there").to_path_buf();
        std::fs::create_dir_all(&dir)?;
        let members: Vec<String> = (1..=wanted.members).map(|at| format!("M{at:04}")).collect();
        let mut certs = Command::new(&merit);
        certs.arg("certs").arg(dir.join("certs")).args(["-o", "json"]);
        for member in &members {
            certs.args(["--member", member]);
        }
        let made = certs.output().map_err(|error| format!("{}: {error}", merit.display()))?;
        if !made.status.success() {
            return Err(format!("merit certs: {}", String::from_utf8_lossy(&made.stderr).trim()).into());
        }
        std::fs::write(dir.join("certs/registry.toml"), registry(&members))?;
        let mut host = Self { nodes: Vec::new(), address: String::new(), dir, _temporary: temporary };
        let ports = match wanted.standby {
            Some(_) => free_ports()?.to_vec(),
            None => vec![0],
        };
        for node in 0..ports.len() {
            let address = host.spawn(&merit, node, &config(&host.dir, wanted, node, &ports))?;
            if node == 0 {
                host.address = address;
            }
        }
        Ok(host)
    }

    /// Starts a node and waits until it listens; says where.
    fn spawn(&mut self, merit: &Path, node: usize, config: &str) -> Result<String, Fault> {
        let file = |kind: &str| self.dir.join(format!("{}.{kind}", name(node)));
        std::fs::write(file("toml"), config)?;
        let mut child = Command::new(merit)
            .args(["serve", "--config"])
            .arg(file("toml"))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(file("log"))?)
            .spawn()?;
        let out = child.stdout.take();
        let log = file("log");
        self.nodes.push(child);
        let mut line = String::new();
        if let Some(out) = out {
            BufReader::new(out).read_line(&mut line)?;
        }
        match line.strip_prefix("listening on ").and_then(|it| it.split_whitespace().next()) {
            Some(address) => Ok(address.to_string()),
            None => {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                Err(format!("merit serve does not listen: {line}{log}").into())
            }
        }
    }

    pub(crate) fn access(&self) -> Access {
        Access {
            endpoints: vec![format!("https://{}", self.address)],
            certs: self.dir.join("certs"),
            server_name: None,
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The standby first: the primary would wait for it.
        self.nodes.iter_mut().rev().for_each(stop);
    }
}

fn stop(node: &mut Child) {
    // The standard library can only kill; a graceful stop is a signal.
    let asked = Command::new("kill").arg(node.id().to_string()).status();
    let deadline = Instant::now() + Duration::from_secs(20);
    while asked.as_ref().is_ok_and(std::process::ExitStatus::success) && Instant::now() < deadline {
        if let Ok(Some(_)) = node.try_wait() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = node.kill();
    let _ = node.wait();
}

fn name(node: usize) -> String {
    format!("load-{}", node + 1)
}

/// Two ports that are free now: nodes must know each other's before they start.
fn free_ports() -> Result<[u16; 2], Fault> {
    let held = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    Ok([held[0].local_addr()?.port(), held[1].local_addr()?.port()])
}

/// The program beside this one. When cargo runs this one, cargo makes sure that the other is there and new.
fn beside() -> Result<PathBuf, Fault> {
    let this = std::env::current_exe()?;
    let path = this.with_file_name("merit");
    let profile = this.parent().and_then(Path::file_name).and_then(|it| it.to_str());
    if let (Some(cargo), Some(manifest)) = (std::env::var_os("CARGO"), std::env::var_os("CARGO_MANIFEST_DIR"))
    {
        eprintln!("building merit");
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "-p", "merit-gateway", "--bin", "merit"]);
        if profile == Some("release") {
            build.arg("--release");
        }
        if !build.current_dir(manifest).status()?.success() {
            return Err("merit could not be built".into());
        }
    }
    if path.exists() {
        return Ok(path);
    }
    Err(format!("{}: not there; build it, or name it with --merit", path.display()).into())
}

fn registry(members: &[String]) -> String {
    let mut text =
        String::from("[[user]]\nname = \"operator\"\nrole = \"operator\"\ncertificate = \"operator.pem\"\n");
    for member in members {
        let _ = write!(
            text,
            "[[member]]\ncode = \"{member}\"\nname = \"Member {member}\"\n\
             [[member.portfolio]]\ncode = \"{member}-P\"\n\
             [[member.user]]\nname = \"{member}-trader\"\nrole = \"trader\"\ncertificate = \"{member}-trader.pem\"\n"
        );
    }
    text
}

fn config(dir: &Path, wanted: &Wanted, node: usize, ports: &[u16]) -> String {
    let certs = dir.join("certs");
    let path = |name: &str| toml_text(&certs.join(name).display().to_string());
    let factor = (OPEN_SECONDS / wanted.open.as_secs().max(1)).clamp(1, 100_000);
    let connections = wanted.connections + wanted.members + 16;
    let replication = wanted.standby.as_ref().map_or_else(String::new, |mode| {
        let nodes: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(node, port)| format!("{}=https://127.0.0.1:{port}", name(node)))
            .collect();
        let role = if node == 0 { "primary" } else { "standby" };
        format!("[replication]\nnodes = \"{}\"\nrole = \"{role}\"\nmode = \"{mode}\"\n", nodes.join(" "))
    });
    format!(
        "[node]\nname = \"{}\"\ndata = {}\n\
         [listen]\naddress = \"127.0.0.1:{}\"\n\
         [tls]\ncertificate = {}\nkey = {}\nclient_ca = {}\n\
         [limits]\nconnections_max = {connections}\nconnections_per_address_max = {connections}\n\
         [clock]\nkind = \"accelerated\"\nfactor = {factor}\nstart = \"{START}\"\n\
         [log]\nfilter = \"warn\"\n\
         [bootstrap]\nrules = \"european\"\neffective_from = \"{DAY}\"\nregistry = {}\n{replication}",
        name(node),
        toml_text(&dir.join(if node == 0 { "data" } else { "data-standby" }).display().to_string()),
        ports[node],
        path("server.pem"),
        path("server.key"),
        path("authority.pem"),
        path("registry.toml"),
    )
}

fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
