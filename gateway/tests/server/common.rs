//! A node in the test's own process, on a manual clock, and members who talk to it.

use merit_client::{Client, Config as ClientConfig, orders, units, v1};
use merit_gateway::server::clock::{Clock, parse_utc};
use merit_gateway::server::config::{Config, Sources};
use merit_gateway::server::run::{Running, Substitutes};
use std::path::Path;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Nine in the morning in India, an hour before the day-ahead market opens.
pub(crate) const MORNING: &str = "2026-11-22T03:30:00Z";
/// The day-ahead auction that opens then.
pub(crate) const DAM: &str = "DAM-2026-11-23";

pub(crate) const REGISTRY: &str = r#"
[[member]]
code = "GEN"
name = "Coal of the East"
collateral_minor = 100_000_000_000
[[member.portfolio]]
code = "GEN-1"
[[member.user]]
name = "gina"
role = "trader"
[[member.user]]
name = "gustav"
role = "auditor"

[[member]]
code = "DISCOM"
name = "City of Lights"
collateral_minor = 100_000_000_000
[[member.portfolio]]
code = "DISCOM-1"
areas = ["N2", "W2"]
[[member.portfolio]]
code = "DISCOM-2"
[[member.user]]
name = "dora"
role = "trader"
[[member.user]]
name = "dirk"
role = "trader"
portfolios = ["DISCOM-2"]

[[user]]
name = "nldc"
role = "dispatch"
[[user]]
name = "house"
role = "settlement"
[[user]]
name = "olga"
role = "operator"
"#;

/// A node and its data.
pub(crate) struct Exchange {
    pub(crate) data: TempDir,
    pub(crate) clock: Clock,
    pub(crate) running: Option<Running>,
    pub(crate) settings: Vec<(String, String)>,
}

impl Exchange {
    /// A new exchange with the Indian rules from 2026-11-23 on and the members of [`REGISTRY`].
    pub(crate) async fn new(settings: &[(&str, &str)]) -> Self {
        Self::starting(MORNING, settings).await
    }

    /// The same, at another instant.
    pub(crate) async fn starting(instant: &str, settings: &[(&str, &str)]) -> Self {
        let data = TempDir::new().unwrap();
        let registry = data.path().join("registry.toml");
        std::fs::write(&registry, REGISTRY).unwrap();
        let mut all = vec![
            ("listen.address".to_owned(), "127.0.0.1:0".to_owned()),
            ("listen.plaintext".into(), "true".into()),
            ("bootstrap.rules".into(), "india".into()),
            ("bootstrap.effective_from".into(), "\"2026-11-23\"".into()),
            ("bootstrap.registry".into(), registry.display().to_string()),
            ("node.data".into(), data.path().join("data").display().to_string()),
        ];
        all.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let clock = Clock::manual(parse_utc(instant).unwrap());
        let mut exchange = Self { data, clock, running: None, settings: all };
        exchange.start().await;
        exchange
    }

    pub(crate) fn config(&self) -> Config {
        let sources = Sources { flags: self.settings.clone(), ..Sources::default() };
        Config::load(&sources).unwrap()
    }

    pub(crate) fn journal(&self) -> std::path::PathBuf {
        self.data.path().join("data/journal")
    }

    pub(crate) fn read_model(&self) -> std::path::PathBuf {
        self.data.path().join("data/read-model")
    }

    /// Starts (again) with what is in the data directory.
    pub(crate) async fn start(&mut self) {
        self.start_with(Substitutes::default()).await;
    }

    pub(crate) async fn start_with(&mut self, substitutes: Substitutes) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let substitutes = Substitutes { clock: Some(self.clock.clone()), ..substitutes };
        self.running = Some(Running::start(&self.config(), listener, substitutes).await.unwrap());
    }

    pub(crate) async fn stop(&mut self) {
        self.running.take().unwrap().stop().await.unwrap();
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.running().address())
    }

    /// A client of a user.
    pub(crate) fn user(&self, name: &str) -> Client {
        Client::new(ClientConfig::plaintext_loopback(&[&self.url()], name)).unwrap()
    }

    /// Moves time and waits until everything that is due has happened and can be read.
    pub(crate) async fn at(&self, text: &str) {
        assert!(self.running().move_clock(parse_utc(text).unwrap()));
        loop {
            let node = self.running().node();
            let now_us = node.clock.now_us();
            let busy = node.inbox.look(move |exchange, _| {
                let engine = &exchange.engine;
                engine.wants_quantum().is_some() || engine.next_timer_us().is_some_and(|it| it <= now_us)
            });
            if !busy.await.unwrap() {
                node.fresh().await;
                return;
            }
            self.running().node().inbox.core().wake();
        }
    }
}

/// A step order of one point per period.
pub(crate) fn step(
    auction: &str,
    portfolio: &str,
    area: &str,
    side: v1::Side,
    points: &[(u32, &str, &str)],
) -> v1::NewOrder {
    let points: Vec<(u32, Vec<(i64, i64)>)> = points
        .iter()
        .map(|(period, price, quantity)| {
            (*period, vec![(units::micros(price).unwrap(), units::micros(quantity).unwrap())])
        })
        .collect();
    let slices: Vec<(u32, &[(i64, i64)])> =
        points.iter().map(|(period, list)| (*period, list.as_slice())).collect();
    orders::step(auction, portfolio, area, side, &slices)
}

/// What was accepted: order and version.
#[track_caller]
pub(crate) fn accepted(answer: &v1::OrderAnswer) -> (u64, u32) {
    match &answer.outcome {
        Some(v1::order_answer::Outcome::Accepted(it)) => {
            (it.order_id.unwrap_or_default(), it.version.unwrap_or_default())
        }
        other => panic!("not accepted: {other:?}"),
    }
}

/// Why it was refused, and where.
#[track_caller]
pub(crate) fn refused(answer: &v1::OrderAnswer) -> (v1::RejectReason, String) {
    match &answer.outcome {
        Some(v1::order_answer::Outcome::Refused(it)) => (it.reason(), it.field.clone()),
        other => panic!("not refused: {other:?}"),
    }
}

/// All files below a directory, with their bytes.
pub(crate) fn files(directory: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found
}
