//! An exchange of one's own for the length of a run: certificates, a sandbox of European rules on a fast
//! clock, and `merit serve`, in a directory that is gone afterwards.

use crate::Fault;
use crate::crowd::Access;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
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
}

/// A running exchange; stopped when it is dropped.
pub(crate) struct Host {
    child: Child,
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
        std::fs::write(dir.join("merit.toml"), config(&dir, wanted))?;
        let log = std::fs::File::create(dir.join("merit.log"))?;
        let mut child = Command::new(&merit)
            .args(["serve", "--config"])
            .arg(dir.join("merit.toml"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let host = |address: String| Self { child, address, dir: dir.clone(), _temporary: temporary };
        match line.strip_prefix("listening on ").and_then(|it| it.split_whitespace().next()) {
            Some(address) => Ok(host(address.to_string())),
            None => {
                drop(host(String::new()));
                let log = std::fs::read_to_string(dir.join("merit.log")).unwrap_or_default();
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
        // The standard library can only kill; a graceful stop is a signal.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(20);
        while asked.as_ref().is_ok_and(std::process::ExitStatus::success) && Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
    let mut text = String::new();
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

fn config(dir: &Path, wanted: &Wanted) -> String {
    let certs = dir.join("certs");
    let path = |name: &str| toml_text(&certs.join(name).display().to_string());
    let factor = (OPEN_SECONDS / wanted.open.as_secs().max(1)).clamp(1, 100_000);
    let connections = wanted.connections + wanted.members + 16;
    format!(
        "[node]\nname = \"load-1\"\ndata = {}\n\
         [listen]\naddress = \"127.0.0.1:0\"\n\
         [tls]\ncertificate = {}\nkey = {}\nclient_ca = {}\n\
         [limits]\nconnections_max = {connections}\nconnections_per_address_max = {connections}\n\
         [clock]\nkind = \"accelerated\"\nfactor = {factor}\nstart = \"{START}\"\n\
         [log]\nfilter = \"warn\"\n\
         [bootstrap]\nrules = \"european\"\neffective_from = \"{DAY}\"\nregistry = {}\n",
        toml_text(&dir.join("data").display().to_string()),
        path("server.pem"),
        path("server.key"),
        path("authority.pem"),
        path("registry.toml"),
    )
}

fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
