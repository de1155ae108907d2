//! The exchange of the demo: the server as it is, on a loopback port of its own, on a clock that stands
//! still until the demo moves it.

use super::crowd::Crowd;
use super::crew::user;
use super::home::Home;
use crate::cli::certs::{Made, Plan, make};
use crate::server::certificate::hex;
use crate::server::clock::{Clock, parse_day};
use crate::server::config::{Config, Sources};
use crate::server::run::{Running, Substitutes};
use anyhow::Context as _;
use merit_engine::calendar::{MINUTE_US, Zone};
use std::path::Path;
use std::time::SystemTime;
use tokio::net::TcpListener;

/// Local time of the market.
pub(super) const ZONE: Zone = Zone::INDIA;
/// Open files beside those of members' connections: journal, read model, the terminal, other users.
const FILES_SPARE: u64 = 100;

/// A running exchange.
pub(super) struct Exchange {
    endpoint: String,
    running: Running,
}

impl Exchange {
    /// Makes everybody's certificates and starts an exchange whose market begins with `day`, at nine
    /// o'clock of the morning before.
    pub(super) async fn start(home: &Home, crowd: &Crowd, day: &str) -> anyhow::Result<(Self, Vec<Made>)> {
        check_files(crowd.members.len())?;
        let members: Vec<String> =
            crowd.members.iter().map(|it| format!("{}:{}", it.code, user(&it.code))).collect();
        let plan = Plan::new(home.certs(), &members, Vec::new(), 30)?;
        let made = tokio::task::spawn_blocking(move || make(&plan, SystemTime::now())).await??;
        let operator = made.iter().find(|it| it.name == "operator").context("no certificate of the operator")?;
        let config = config(home, day, &hex(&operator.fingerprint), crowd.members.len())?;
        let eve = parse_day(day).context("the day of the demo is a day")?.plus(-1);
        let clock = Clock::manual(ZONE.day_start_us(eve) + 9 * 60 * MINUTE_US);
        let listener = TcpListener::bind(config.listen).await.context("cannot listen on loopback")?;
        let substitutes = Substitutes { clock: Some(clock), ..Substitutes::default() };
        let running = Running::start(&config, listener, substitutes).await?;
        let endpoint = format!("https://{}", running.address());
        Ok((Self { endpoint, running }, made))
    }

    /// Where it listens.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The exchange's time, µs since 1970 UTC.
    pub(super) fn now_us(&self) -> i64 {
        self.running.node().clock.now_us()
    }

    /// Moves the exchange's clock forward.
    pub(super) fn move_to(&self, time_us: i64) {
        let time_us = time_us.max(self.now_us());
        assert!(self.running.move_clock(time_us), "the demo's clock is moved by hand");
    }

    /// Stops it in order: what was taken is finished, the journal closed.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        Ok(self.running.stop().await?)
    }
}

/// The configuration, as an operator would give it.
fn config(home: &Home, day: &str, operator: &str, members: usize) -> anyhow::Result<Config> {
    let path = |it: &Path| it.display().to_string();
    let certs = home.certs();
    let connections = (members + 50).to_string();
    let flags = [
        ("node.name", "demo".to_owned()),
        ("node.data", path(&home.data())),
        ("listen.address", "127.0.0.1:0".to_owned()),
        ("tls.certificate", path(&certs.join("server.pem"))),
        ("tls.key", path(&certs.join("server.key"))),
        ("tls.client_ca", path(&certs.join("authority.pem"))),
        ("signing.key", path(&certs.join("signing.key"))),
        ("limits.connections_max", connections.clone()),
        ("limits.connections_per_address_max", connections),
        ("bootstrap.rules", "india".to_owned()),
        ("bootstrap.effective_from", day.to_owned()),
        ("bootstrap.operator", operator.to_owned()),
    ];
    let flags = flags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    // Not the environment: what somebody has set for their own exchange is not meant for this one.
    let sources = Sources { flags, ..Sources::default() };
    Config::load(&sources).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the demo's configuration is refused\n{}", lines.join("\n"))
    })
}

/// Both ends of every connection are in this process: whether it may open so many files.
fn check_files(members: usize) -> anyhow::Result<()> {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|it| it.strip_prefix("Max open files"));
    let most = line.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok());
    let needed = u64::try_from(members)? * 2 + FILES_SPARE;
    match most {
        Some(most) if most < needed => {
            anyhow::bail!("{members} members need {needed} open files, this shell allows {most}: ulimit -n {needed}")
        }
        Some(_) | None => Ok(()),
    }
}
