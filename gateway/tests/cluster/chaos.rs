//! Kills, frozen processes and hand-overs under load; a checker that only knows what clients were told.
//!
//! `MERIT_CHAOS_ROUNDS=100` is the long run.

use super::cluster::{Cluster, name};
use super::orders::order;
use merit_client::{Client, orders, v1};
use merit_replay::storage::faulty::Random;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SENDERS: usize = 3;

/// What a sender was told, in the order in which it was told: its id, the order's number.
type Told = Arc<Mutex<Vec<(String, u64)>>>;

fn rounds() -> usize {
    std::env::var("MERIT_CHAOS_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(4)
}

/// Sends one order after the other; an outcome that is unknown is asked for with the same id.
async fn send(client: Client, sender: usize, told: Told, stop: Arc<AtomicBool>) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let id = format!("s{sender}-{number}");
        let answer = client.submit(&id, order()).await;
        if let Ok(v1::OrderAnswer { outcome: Some(v1::order_answer::Outcome::Accepted(it)), .. }) = &answer {
            let taken = it.order_id.unwrap();
            told.lock().unwrap().push((id.clone(), taken));
            // The book is not what is tested: it stays small.
            let _ = client.cancel(&format!("c{sender}-{number}"), orders::by_client_id(&id)).await;
            number += 1;
        } else if let Ok(answer) = answer {
            panic!("{id}: {answer:?}");
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// How long no order was acknowledged.
async fn outage(told: &Told) -> Duration {
    let (before, begun) = (told.lock().unwrap().len(), Instant::now());
    loop {
        if told.lock().unwrap().len() > before {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "the market does not go on");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub(crate) async fn failover(cluster: &Cluster, lost: usize) -> Duration {
    let begun = Instant::now();
    loop {
        for to in (0..cluster.count()).filter(|it| *it != lost) {
            let request = v1::FailoverRequest { lost: name(lost), ..Default::default() };
            let answer = cluster.at(to, cluster.operator).operator().failover(request).await;
            if answer.as_ref().is_ok_and(|it| it.get_ref().epoch > 0) {
                return begun.elapsed();
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody may lead\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn switchover(cluster: &Cluster, from: usize, to: usize) -> Option<Duration> {
    let request = v1::SwitchoverRequest { to: name(to), plan: false, at_any_moment: true };
    let answer =
        cluster.at(from, cluster.operator).operator().switchover(request).await.unwrap().into_inner();
    (answer.epoch > 0).then(|| Duration::from_micros(answer.pause_us))
}

#[derive(Default)]
struct Times {
    switchover: Vec<Duration>,
    pause: Vec<Duration>,
    failover: Vec<Duration>,
    start: Vec<Duration>,
}

fn shown(what: &str, times: &mut [Duration]) {
    times.sort();
    if let (Some(median), Some(most)) = (times.get(times.len() / 2), times.last()) {
        println!("{what}: {} times, median {median:?}, most {most:?}", times.len());
    }
}

async fn round(cluster: &mut Cluster, random: &mut Random, told: &Told, times: &mut Times) {
    let primary = cluster.together().await;
    let other = (primary + 1 + random.below(cluster.count() - 1)) % cluster.count();
    match random.below(7) {
        0 => {
            cluster.kill(primary);
            times.failover.push(failover(cluster, primary).await);
            times.pause.push(outage(told).await);
            cluster.spawn(primary);
        }
        1 => {
            cluster.kill(other);
            tokio::time::sleep(Duration::from_millis(300)).await;
            outage(told).await;
            let begun = Instant::now();
            cluster.spawn(other);
            while cluster.status(other).await.is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            times.start.push(begun.elapsed());
        }
        2 => {
            // A frozen primary wakes up and believes that it still leads.
            cluster.signal(primary, "-STOP");
            tokio::time::sleep(Duration::from_millis(300)).await;
            times.failover.push(failover(cluster, primary).await);
            outage(told).await;
            cluster.signal(primary, "-CONT");
        }
        3 => {
            cluster.signal(other, "-STOP");
            tokio::time::sleep(Duration::from_millis(300)).await;
            outage(told).await;
            cluster.signal(other, "-CONT");
        }
        4 => {
            // The primary is alone on its side of the cut, and clients still reach it.
            cluster.cut_off(primary, true);
            tokio::time::sleep(Duration::from_millis(200)).await;
            times.failover.push(failover(cluster, primary).await);
            outage(told).await;
            cluster.cut_off(primary, false);
        }
        5 => {
            cluster.cut_off(other, true);
            tokio::time::sleep(Duration::from_millis(300)).await;
            outage(told).await;
            cluster.cut_off(other, false);
        }
        _ => {
            times.pause.extend(switchover(cluster, primary, other).await);
            times.switchover.push(outage(told).await);
        }
    }
}

/// Everything that was told is there, once, in the order in which it was told.
async fn check(cluster: &Cluster, told: &[Told]) -> usize {
    let mut acknowledged = 0;
    for node in 0..cluster.count() {
        let listed = cluster.at(node, "gina").orders(v1::ListOrdersRequest::default()).await.unwrap();
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for it in &listed {
            let before = found.insert(it.client_order_id.clone(), it.order_id);
            assert_eq!(before, None, "{} stands twice at {}", it.client_order_id, name(node));
        }
        acknowledged = 0;
        for of_sender in told {
            let of_sender = of_sender.lock().unwrap();
            acknowledged += of_sender.len();
            for (id, number) in of_sender.iter() {
                assert_eq!(found.get(id), Some(number), "{id} was acknowledged; {}", name(node));
            }
            let ordered = of_sender.windows(2).all(|it| it[0].1 < it[1].1);
            assert!(ordered, "orders of one sender stand in another order");
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_kills_loses_doubles_and_reorders_nothing() {
    let mut cluster = Cluster::new(3, "sync");
    cluster.together().await;
    let stop = Arc::new(AtomicBool::new(false));
    let told: Vec<Told> = (0..SENDERS).map(|_| Told::default()).collect();
    let senders: Vec<_> = told
        .iter()
        .enumerate()
        .map(|(sender, told)| {
            let client = cluster.client("gina", 30);
            tokio::spawn(send(client, sender, Arc::clone(told), Arc::clone(&stop)))
        })
        .collect();
    let mut random = Random::new(20_261_126);
    let mut times = Times::default();
    for _ in 0..rounds() {
        round(&mut cluster, &mut random, &told[0], &mut times).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    cluster.together().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let acknowledged = check(&cluster, &told).await;
    println!("{} rounds, {acknowledged} orders acknowledged: none lost, none twice", rounds());
    shown("failover ordered until a node led", &mut times.failover);
    shown("switchover, until the next acknowledgement", &mut times.switchover);
    shown("no orders taken", &mut times.pause);
    shown("cold start to serving", &mut times.start);
    assert!(acknowledged > 20 * rounds(), "the load was no load: {acknowledged}");
}
