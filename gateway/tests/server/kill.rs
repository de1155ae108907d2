//! `kill -9` of a real node under load: what was acknowledged is there once, no batch is there by half.

use crate::common::{DAM, REGISTRY, step};
use merit_client::{Client, Config as ClientConfig, Retry, orders, v1};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use v1::Side::Sell;

const BATCH: usize = 5;
const SENDERS: u32 = 4;

/// Rounds: 5, or as many as `MERIT_ROUNDS` says.
fn rounds() -> u32 {
    std::env::var("MERIT_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(5)
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // SIGKILL; a process that is gone already is fine too.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program and waits until it says where it listens.
fn start(data: &Path, registry: &Path) -> (Killed, String) {
    let set = |key: &str, value: &str| ["--set".to_owned(), format!("{key}={value}")];
    let mut child = Command::new(env!("CARGO_BIN_EXE_merit"))
        .arg("serve")
        .args(["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()])
        .args(set("listen.plaintext", "true"))
        .args(set("clock.kind", "accelerated"))
        .args(set("clock.factor", "1"))
        .args(set("clock.start", "\"2026-11-22T04:30:00Z\""))
        .args(set("bootstrap.rules", "india"))
        .args(set("bootstrap.effective_from", "\"2026-11-23\""))
        .args(set("bootstrap.registry", registry.to_str().unwrap()))
        .args(set("log.filter", "warn"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.strip_prefix("listening on ").and_then(|it| it.split(' ').next());
    let url = format!("http://{}", address.unwrap_or_else(|| panic!("unexpected: {line}")));
    (Killed(child), url)
}

fn client(url: &str) -> Client {
    let mut config = ClientConfig::plaintext_loopback(&[url], "gina");
    // One attempt: an unknown outcome stays unknown.
    config.retry = Retry { attempts: 1, ..Retry::default() };
    Client::new(config).unwrap()
}

/// Sends batches until the node is gone; notes what was sent and what was acknowledged.
async fn load(url: String, round: u32, sender: u32, acknowledged: Arc<Mutex<BTreeSet<String>>>) {
    let client = client(&url);
    for number in 0_u32.. {
        let ids: Vec<String> = (0..BATCH).map(|n| format!("r{round}-s{sender}-b{number}-{n}")).collect();
        let order = || step(DAM, "GEN-1", "N1", Sell, &[(1, "2500", "0.1")]);
        let commands = ids.iter().map(|id| orders::submit(id.clone(), order())).collect();
        let Ok(answers) = client.batch(commands).await else { return };
        let done =
            answers.iter().all(|it| matches!(it.outcome, Some(v1::order_answer::Outcome::Accepted(_))));
        assert!(done, "{answers:?}");
        acknowledged.lock().unwrap().extend(ids);
    }
}

/// Every order of the member, by the id that entered it: how often.
async fn orders_by_id(url: &str) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for order in client(url).orders(v1::ListOrdersRequest::default()).await.unwrap() {
        *found.entry(order.client_order_id).or_insert(0) += 1;
    }
    found
}

fn check(found: &BTreeMap<String, u32>, acknowledged: &BTreeSet<String>) {
    for (id, times) in found {
        assert_eq!(*times, 1, "{id} is there more than once");
    }
    for id in acknowledged {
        assert!(found.contains_key(id), "{id} was acknowledged and is gone");
    }
    let mut batches: BTreeMap<&str, usize> = BTreeMap::new();
    for id in found.keys() {
        *batches.entry(id.rsplit_once('-').unwrap().0).or_insert(0) += 1;
    }
    for (batch, orders) in batches {
        assert_eq!(orders, BATCH, "half of batch {batch} is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_comes_back_with_every_acknowledged_order_once_and_no_half_batch() {
    let data = tempfile::tempdir().unwrap();
    let registry = data.path().join("registry.toml");
    std::fs::write(&registry, REGISTRY).unwrap();
    let directory = data.path().join("data");
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let mut random = merit_replay::storage::faulty::Random::new(20_261_122);
    let (mut slowest, mut unacknowledged) = (Duration::ZERO, 0);
    for round in 0..rounds() {
        let begun = Instant::now();
        let (node, url) = start(&directory, &registry);
        slowest = slowest.max(begun.elapsed());
        let found = orders_by_id(&url).await;
        check(&found, &acknowledged.lock().unwrap());
        unacknowledged = found.len() - acknowledged.lock().unwrap().len();
        // A member may have so many live orders and no more; cancelled ones are still listed.
        client(&url).cancel_all(format!("c{round}"), DAM, None).await.unwrap();
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| tokio::spawn(load(url.clone(), round, sender, Arc::clone(&acknowledged))))
            .collect();
        let moment = Duration::from_micros(u64::try_from(20_000 + random.below(400_000)).unwrap());
        tokio::time::sleep(moment).await;
        drop(node);
        for sender in senders {
            sender.await.unwrap();
        }
    }
    let (_node, url) = start(&directory, &registry);
    let found = orders_by_id(&url).await;
    let acknowledged = acknowledged.lock().unwrap();
    check(&found, &acknowledged);
    println!(
        "{} rounds, {} orders acknowledged, {} there without acknowledgement, slowest start {slowest:?}",
        rounds(),
        acknowledged.len(),
        unacknowledged.max(found.len() - acknowledged.len()),
    );
}
