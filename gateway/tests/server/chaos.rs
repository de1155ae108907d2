//! Exchange, consumer and PostgreSQL are killed at random moments: every obligation is there once.

use crate::hook::{Booked, Hook, SECRET};
use crate::postgres::Postgres;
use merit_gateway::settle::book::Book;
use merit_replay::storage::disk::Disk;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Rounds: 3, or as many as `MERIT_ROUNDS` says.
fn rounds() -> u32 {
    std::env::var("MERIT_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(3)
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // SIGKILL; a process that is gone already is fine too.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct World {
    data: PathBuf,
    lines: PathBuf,
    secret: PathBuf,
    hook: Hook,
    postgres: Option<Postgres>,
    port: u16,
    node: Option<Killed>,
    consumer: Option<Killed>,
}

impl World {
    fn serve(&mut self) {
        let set = |key: &str, value: &str| ["--set".to_owned(), format!("{key}={value}")];
        let mut command = Command::new(env!("CARGO_BIN_EXE_merit"));
        command
            .arg("serve")
            .args(["--listen", &format!("127.0.0.1:{}", self.port), "--data", self.data.to_str().unwrap()])
            .args(set("listen.plaintext", "true"))
            .args(set("push.webhook_url", &self.hook.url))
            .args(set("push.webhook_secret", self.secret.to_str().unwrap()))
            .args(set("clock.kind", "accelerated"))
            .args(set("clock.factor", "1"))
            .args(set("log.filter", "off"));
        if let Some(postgres) = &self.postgres {
            command.args(set("push.postgres", &postgres.config()));
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.split(' ').nth(2).and_then(|it| it.rsplit(':').next()).and_then(|it| it.parse().ok());
        self.port = port.unwrap_or_else(|| panic!("unexpected: {line}"));
        self.node = Some(Killed(child));
    }

    fn consume(&mut self) {
        let child = Command::new(env!("CARGO_BIN_EXE_merit"))
            .args(["settle", "follow", "--user", "settlement", "--endpoint"])
            .arg(format!("http://127.0.0.1:{}", self.port))
            .arg("--into")
            .arg(&self.lines)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.consumer = Some(Killed(child));
    }

    /// Numbers in the consumer's file, whole lines only.
    fn followed(&self) -> Vec<u64> {
        let text = std::fs::read_to_string(&self.lines).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let number =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap();
        whole.lines().map(number).collect()
    }

    fn booked_in_postgres(&self) -> u64 {
        let Some(postgres) = &self.postgres else { return u64::MAX };
        let there = postgres.query("select to_regclass('merit.mark') is not null");
        if there != ["t"] {
            return 0;
        }
        postgres.query("select seq from merit.mark")[0].parse().unwrap()
    }

    fn everything_has(&self, head: u64) -> bool {
        // The exchange goes on meanwhile: a session without orders adds messages without obligations.
        self.hook.booked.lock().unwrap().seq >= head
            && self.followed().last().copied() >= Some(head)
            && self.booked_in_postgres() >= head
    }

    /// Forgets everything outside, so that there is something to deliver again.
    fn reset(&mut self) {
        self.node = None;
        self.consumer = None;
        *self.hook.booked.lock().unwrap() = Booked::default();
        let _ = std::fs::remove_file(&self.lines);
        if let Some(postgres) = &self.postgres {
            postgres.query("drop schema if exists merit cascade");
        }
        let _ = std::fs::remove_dir_all(self.data.join("ledger"));
        self.serve();
        self.consume();
    }

    /// What is outside is a beginning of the journal, each obligation once.
    fn check(&self, expected: &BTreeMap<u64, Vec<u64>>) {
        let until = |seq: u64| -> BTreeMap<u64, u32> {
            expected.range(..=seq).flat_map(|(_, ids)| ids).map(|id| (*id, 1)).collect()
        };
        let followed = self.followed();
        let last = followed.last().copied().unwrap_or(0);
        assert!(followed == (1..=last).collect::<Vec<_>>(), "the consumer has each message once");
        let booked = self.hook.booked.lock().unwrap();
        assert!(booked.obligations == until(booked.seq), "the webhook's receiver has each obligation once");
        drop(booked);
        if self.booked_in_postgres() > 0
            && let Some(postgres) = &self.postgres
        {
            // One statement, one snapshot: the exchange goes on delivering.
            let rows = postgres.query(
                "select seq, (select coalesce(string_agg(obligation_id::text, ','), '') from merit.obligation)
                 from merit.mark",
            );
            let (seq, list) = rows[0].split_once('|').unwrap();
            let mut ids: BTreeMap<u64, u32> = BTreeMap::new();
            for id in list.split(',').filter(|it| !it.is_empty()) {
                *ids.entry(id.parse().unwrap()).or_default() += 1;
            }
            assert!(ids == until(seq.parse().unwrap()), "PostgreSQL has each obligation once");
        }
    }
}

/// A finished day with money in it.
fn played(home: &Path) -> PathBuf {
    let output = Command::new(env!("CARGO_BIN_EXE_merit"))
        .args(["demo", "--members", "20", "--seed", "7", "--keep"])
        .arg(home)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    home.join("data")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_whenever_every_obligation_is_booked_once() {
    let home = tempfile::tempdir().unwrap();
    let data = played(&home.path().join("day"));
    let book = Book::read(&Disk::existing(&data.join("journal")), &mut |_| {}).unwrap();
    let head = book.items.last().unwrap().seq;
    let mut expected: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for item in &book.items {
        use merit_client::v1::stream_obligations_response::Event;
        if let Some(Event::Obligations(batch)) = &item.message.event {
            expected.insert(item.seq, batch.obligations.iter().map(|it| it.obligation_id).collect());
        }
    }
    let secret = home.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let lines = home.path().join("followed.jsonl");
    let (hook, postgres) = (Hook::with(std::sync::Arc::default(), "127.0.0.1:0").await, Postgres::start());
    let mut world = World { data, lines, secret, hook, postgres, port: 0, node: None, consumer: None };
    let mut random = merit_replay::storage::faulty::Random::new(61_126);
    world.reset();
    let (mut complete, mut killed) = (0, [0_u32; 4]);
    for _ in 0..rounds() {
        let moment = Duration::from_millis(u64::try_from(10 + random.below(250)).unwrap());
        tokio::time::sleep(moment).await;
        let victim = random.below(4);
        killed[victim] += 1;
        match (victim, &world.postgres) {
            (0, _) => {
                world.node = None;
                world.serve();
            }
            (1, _) => {
                world.consumer = None;
                world.consume();
            }
            (2, Some(postgres)) => {
                postgres.crash();
                postgres.up();
            }
            _ => {
                let booked = Arc::clone(&world.hook.booked);
                let address = world.hook.url.trim_start_matches("http://").trim_end_matches("/obligations");
                let address = address.to_owned();
                world.hook =
                    Hook::with(Arc::new(std::sync::Mutex::new(Booked::default())), "127.0.0.1:0").await;
                world.hook = Hook::with(booked, &address).await;
            }
        }
        world.check(&expected);
        if world.everything_has(head) {
            complete += 1;
            world.reset();
        }
    }
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..1_200 {
        if world.everything_has(head) {
            world.check(&expected);
            let [exchange, consumer, postgres, hook] = killed;
            println!(
                "{} rounds: exchange killed {exchange} times, consumer {consumer}, PostgreSQL {postgres}, webhook \
                 {hook}; delivered from nothing {} times; {} obligations in {head} messages, each once",
                rounds(),
                complete + 1,
                book.obligations().count(),
            );
            return;
        }
        pause.tick().await;
    }
    panic!("not everything was delivered within a minute");
}
