//! Obligations across a failover: the market's day is delivered by one node, then by the other, each
//! obligation once.

use super::chaos::failover;
use super::cluster::{Cluster, ports};
use super::hook::{Booked, Hook, SECRET};
use merit_client::v1::stream_obligations_response::Event;
use merit_gateway::settle::book::Book;
use merit_replay::storage::disk::Disk;
use merit_replay::storage::faulty::Random;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Rounds: 1, or as many as `MERIT_CHAOS_ROUNDS` says.
fn rounds() -> u32 {
    std::env::var("MERIT_CHAOS_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(1)
}

/// A finished day with money in it.
pub(crate) fn played(home: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_merit"))
        .args(["demo", "--members", "20", "--seed", "7", "--keep"])
        .arg(home)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Waits until the receiver has so many messages.
async fn delivered(hook: &Hook, seq: u64, cluster: &Cluster) {
    let begun = Instant::now();
    while hook.booked.lock().unwrap().seq < seq {
        assert!(begun.elapsed() < Duration::from_secs(60), "not delivered up to {seq}\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_amid_delivery_books_every_obligation_once() {
    let home = tempfile::tempdir().unwrap();
    played(&home.path().join("day"));
    let journal = home.path().join("day/data/journal");
    let book = Book::read(&Disk::existing(&journal), &mut |_| {}).unwrap();
    let head = book.items.last().unwrap().seq;
    let obligations = book.items.iter().filter_map(|it| match &it.message.event {
        Some(Event::Obligations(batch)) => Some(batch.obligations.iter()),
        _ => None,
    });
    let expected: BTreeMap<u64, u32> = obligations.flatten().map(|it| (it.obligation_id, 1)).collect();
    let secret = home.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let mut random = Random::new(20_261_127);
    for round in 0..rounds() {
        let address = format!("127.0.0.1:{}", ports(1)[0]);
        let url = format!("http://{address}/obligations");
        let settings = [
            ("push.webhook_url".to_owned(), url.clone()),
            ("push.webhook_secret".to_owned(), secret.display().to_string()),
        ];
        let mut cluster = Cluster::played(2, "async", &settings, &journal);
        cluster.together().await;
        // The receiver answers from now on, so that delivery is still going on when the node dies. Some
        // answers get lost: booked, and the sender never hears of it.
        let booked = Booked { lose_answers: 2, ..Booked::default() };
        let hook = Hook::with(Arc::new(Mutex::new(booked)), &address).await;
        assert_eq!(hook.url, url);
        let part = 1 + u64::try_from(random.below(usize::try_from(head).unwrap())).unwrap();
        delivered(&hook, part, &cluster).await;
        cluster.kill(0);
        let (at, first) = {
            let booked = hook.booked.lock().unwrap();
            (booked.seq, booked.epoch)
        };
        failover(&cluster, 0).await;
        delivered(&hook, head, &cluster).await;
        cluster.spawn(0);
        assert_eq!(cluster.together().await, 1, "the old primary follows");
        let booked = hook.booked.lock().unwrap();
        assert_eq!(booked.obligations, expected, "round {round}: each obligation once");
        assert_eq!(booked.bad_signatures, 0);
        assert!(at == head || booked.epoch > first, "the one who leads now delivered last");
        println!("round {round}: {at} of {head} messages by the first node, the rest by the second");
    }
}
