//! How long roles take to change, as a client sees it that sends one order after the other.
//!
//! `MERIT_TIMES_ROUNDS=100 cargo test --release -p merit-gateway --test cluster times -- --nocapture`
//! measures; with fewer rounds it only sees that the measurement works.

use super::cluster::{Cluster, client, name};
use super::lease::Etcd;
use super::orders::order;
use merit_client::{Client, orders, v1};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn rounds() -> usize {
    std::env::var("MERIT_TIMES_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(2)
}

/// When acknowledgements came.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Instant>>>);

impl Heard {
    /// Waits for the next acknowledgement.
    async fn next(&self, cluster: &Cluster) {
        let (before, begun) = (self.0.lock().unwrap().len(), Instant::now());
        while self.0.lock().unwrap().len() == before {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "the market does not go on\n{}",
                cluster.logs()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The longest time between two acknowledgements since an instant.
    fn gap_since(&self, begun: Instant) -> Duration {
        let heard = self.0.lock().unwrap();
        let pairs = heard.windows(2).filter(|it| it[1] > begun);
        pairs.map(|it| it[1] - it[0]).max().unwrap_or_default()
    }
}

async fn send(client: Client, heard: Heard, stop: Arc<AtomicBool>) {
    for number in 0.. {
        let id = format!("t-{number}");
        client.submit(&id, order()).await.unwrap();
        heard.0.lock().unwrap().push(Instant::now());
        client.cancel(&format!("c-{number}"), orders::by_client_id(&id)).await.unwrap();
        heard.0.lock().unwrap().push(Instant::now());
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// A cluster with a client that sends.
struct Scene {
    cluster: Cluster,
    heard: Heard,
    stop: Arc<AtomicBool>,
    sender: tokio::task::JoinHandle<()>,
}

impl Scene {
    async fn new(cluster: Cluster) -> Self {
        cluster.together().await;
        let (heard, stop) = (Heard::default(), Arc::new(AtomicBool::new(false)));
        let urls: Vec<String> = (0..cluster.count()).map(|it| cluster.url(it)).collect();
        let sending = send(client(&urls, "gina", 200), heard.clone(), Arc::clone(&stop));
        let sender = tokio::spawn(sending);
        heard.next(&cluster).await;
        Self { cluster, heard, stop, sender }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.await.unwrap();
    }
}

fn shown(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() * share).div_ceil(100).max(1) - 1];
    println!("{what}: {} times, p50 {:?}, p99 {:?}, most {:?}", times.len(), at(50), at(99), at(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_orders_of_an_operator() {
    let mut scene = Scene::new(Cluster::new(2, "sync-or-degrade")).await;
    let (mut pauses, mut ordered, mut until_ack, mut starts) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rounds() {
        let primary = scene.cluster.together().await;
        let to = 1 - primary;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let begun = Instant::now();
        let request = v1::SwitchoverRequest { to: name(to), plan: false, at_any_moment: true };
        let operator = scene.cluster.at(primary, "otto");
        let answer = operator.operator().switchover(request).await.unwrap().into_inner();
        assert!(answer.epoch > 0, "{:?}\n{}", answer.objections, scene.cluster.logs());
        scene.heard.next(&scene.cluster).await;
        scene.heard.next(&scene.cluster).await;
        pauses.push(scene.heard.gap_since(begun));

        let primary = scene.cluster.together().await;
        let operator = scene.cluster.at(1 - primary, "otto");
        scene.cluster.kill(primary);
        let begun = Instant::now();
        let request = v1::FailoverRequest { lost: name(primary), ..Default::default() };
        let answer = operator.operator().failover(request).await.unwrap().into_inner();
        assert!(answer.epoch > 0, "{:?}\n{}", answer.objections, scene.cluster.logs());
        ordered.push(begun.elapsed());
        scene.heard.next(&scene.cluster).await;
        until_ack.push(begun.elapsed());

        let begun = Instant::now();
        scene.cluster.spawn(primary);
        while scene.cluster.status(primary).await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        starts.push(begun.elapsed());
    }
    shown("planned switchover, longest time between two acknowledgements", pauses);
    shown("failover ordered after kill -9, until the node leads", ordered);
    shown("failover ordered after kill -9, until the next acknowledgement", until_ack);
    shown("cold start until status is answered", starts);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_a_failover_by_lease() {
    let Some(etcd) = Etcd::start() else { return };
    let mut scene = Scene::new(Cluster::with(2, "sync-or-degrade", &etcd.settings())).await;
    let mut times = Vec::new();
    for _ in 0..rounds().div_ceil(4) {
        let primary = scene.cluster.together_with_lease().await;
        scene.cluster.kill(primary);
        let begun = Instant::now();
        scene.heard.next(&scene.cluster).await;
        times.push(begun.elapsed());
        scene.cluster.spawn(primary);
    }
    shown("kill -9 until the next acknowledgement, lease of 2 s", times);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_an_order_with_and_without_waiting_for_the_standby() {
    let clusters = [Cluster::new(2, "async"), Cluster::new(2, "sync")];
    let mut clients = Vec::new();
    for cluster in &clusters {
        let primary = cluster.together().await;
        clients.push(cluster.at(primary, "gina"));
    }
    let mut times = [vec![], vec![]];
    for number in 0..rounds() * 25 {
        for (client, times) in clients.iter().zip(&mut times) {
            let id = format!("l-{number}");
            let begun = Instant::now();
            client.submit(&id, order()).await.unwrap();
            times.push(begun.elapsed());
            client.cancel(&format!("c-{number}"), orders::by_client_id(&id)).await.unwrap();
        }
    }
    let [alone, both] = times;
    shown("a lone order, acknowledged when durable at the primary (async)", alone);
    shown("a lone order, acknowledged when durable at both (sync)", both);
}
