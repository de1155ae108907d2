//! A PostgreSQL server of the test's own, on a socket in a temporary directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The server; stopped on drop.
pub(crate) struct Postgres {
    directory: TempDir,
    bin: PathBuf,
    as_postgres: bool,
}

/// Where the programs are: on the path, or where Debian keeps them.
fn programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<PathBuf> = debian.filter_map(|it| Some(it.ok()?.path().join("bin"))).collect();
    found.sort();
    found.extend(["/usr/local/bin", "/usr/bin"].map(PathBuf::from));
    found.into_iter().rev().find(|it| it.join("initdb").exists() && it.join("pg_ctl").exists())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.starts_with(b"0\n")
}

impl Postgres {
    /// Starts a server, or says loudly why there is none.
    pub(crate) fn start() -> Option<Self> {
        let Some(bin) = programs() else {
            eprintln!("SKIPPED: no PostgreSQL here (apt-get install postgresql)");
            return None;
        };
        // A short path: a socket's may have 107 bytes.
        let directory = tempfile::Builder::new().prefix("merit-pg-").tempdir_in("/tmp").unwrap();
        let as_postgres = is_root();
        if as_postgres {
            let owner = Command::new("chown").arg("postgres").arg(directory.path()).status().unwrap();
            assert!(owner.success(), "the user postgres comes with the package");
        }
        let server = Self { directory, bin, as_postgres };
        let data = server.data();
        let made = server.command("initdb");
        server.run(made, &["-D", data.to_str().unwrap(), "-U", "merit", "-A", "trust", "-N", "-E", "UTF8"]);
        server.up();
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let path = self.bin.join(program);
        if !self.as_postgres {
            return Command::new(path);
        }
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(path);
        command
    }

    fn run(&self, mut command: Command, arguments: &[&str]) {
        let status = command
            .args(arguments)
            .current_dir(self.directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{arguments:?}");
    }

    /// Starts it (again).
    pub(crate) fn up(&self) {
        let socket = self.directory.path().to_str().unwrap();
        let options = format!("-k {socket} -c listen_addresses=''");
        let (data, log) = (self.data(), self.directory.path().join("log"));
        let arguments =
            ["-D", data.to_str().unwrap(), "-l", log.to_str().unwrap(), "-w", "-o", &options, "start"];
        self.run(self.command("pg_ctl"), &arguments);
    }

    /// Stops it as a power cut would: no checkpoint, every connection broken.
    pub(crate) fn crash(&self) {
        let data = self.data();
        self.run(self.command("pg_ctl"), &["-D", data.to_str().unwrap(), "-m", "immediate", "-w", "stop"]);
    }

    /// How to connect.
    pub(crate) fn config(&self) -> String {
        format!("host={} user=merit dbname=postgres", self.directory.path().display())
    }

    /// Runs a statement and returns its rows as text, cells separated by `|`.
    pub(crate) fn query(&self, statement: &str) -> Vec<String> {
        let socket = self.directory.path();
        let psql =
            if Path::new("/usr/bin/psql").exists() { "/usr/bin/psql".into() } else { self.bin.join("psql") };
        let output = Command::new(psql)
            .args(["-X", "-A", "-t", "-q", "-U", "merit", "-d", "postgres", "-c", statement, "-h"])
            .arg(socket)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.data();
        let mut stop = self.command("pg_ctl");
        stop.args(["-D", data.to_str().unwrap(), "-m", "immediate", "-w", "stop"]);
        let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
