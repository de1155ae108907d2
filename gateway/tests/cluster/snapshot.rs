//! A standby that begins when nobody has the beginning of the journal any more.

use super::archive::in_short_segments;
use super::cluster::Cluster;
use super::orders::{accepted, enter, verb};
use super::proxy::Mischief;
use super::push::played;
use merit_client::v1;
use merit_gateway::server::read_model::store::{self, Content, Reach, Store};
use merit_replay::segment::seq_of_name;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Exit code and output of a verb of `merit journal`.
fn journal(verb: &str, journal: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_merit"));
    let output = command.args(["journal", verb]).arg(journal).args(arguments).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), said)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
}

/// Takes a snapshot of a stopped node's journal, and loses all segments that lie before it.
fn lose_the_beginning(data: &Path, segment_bytes: u64) {
    let (whole, short) = (data.join("journal"), data.join("short"));
    in_short_segments(&whole, &short, segment_bytes);
    std::fs::remove_dir_all(&whole).unwrap();
    std::fs::rename(&short, &whole).unwrap();
    let (code, said) = journal("snapshot", &whole, &[]);
    assert_eq!(code, 0, "{said}");
    let mut firsts: Vec<(u64, String)> =
        names(&whole).into_iter().filter_map(|it| Some((seq_of_name(&it)?, it))).collect();
    firsts.sort();
    firsts.pop().unwrap();
    assert!(!firsts.is_empty(), "nothing lies before the last segment");
    firsts.iter().for_each(|(_, name)| std::fs::remove_file(whole.join(name)).unwrap());
}

/// What a transfer may leave behind.
fn left_behind(data: &Path) -> Vec<String> {
    let mut left = names(data);
    left.extend(names(&data.join("journal")));
    left.retain(|it| it.contains("fetched"));
    left
}

async fn wait(cluster: &Cluster, what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A member's orders, as a node tells them.
async fn told(cluster: &Cluster, node: usize) -> Vec<v1::Order> {
    let client = cluster.at(node, "gina");
    let mut orders = client.orders(v1::ListOrdersRequest::default()).await.unwrap();
    orders.sort_by_key(|it| it.order_id);
    orders
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_joins_from_a_snapshot_when_the_beginning_is_lost_and_takes_over_with_everything() {
    let mut cluster = Cluster::new(2, "sync-or-degrade");
    cluster.together().await;
    let mut known = Vec::new();
    for number in 0..100 {
        let id = format!("before-{number}");
        known.push((accepted(&enter(&cluster, &id).await), id));
    }
    (0..2).for_each(|node| cluster.stop(node));
    std::fs::remove_dir_all(cluster.data(1)).unwrap();
    lose_the_beginning(&cluster.data(0), 1 << 12);

    // The first transfer is spoilt, the second one cut, and neither leaves anything that counts.
    cluster.wire(1, 0).plan(&[Mischief::Flip(700), Mischief::Cut(4_000)]);
    (0..2).for_each(|node| cluster.spawn(node));
    wait(&cluster, "the damaged snapshot was not refused", || {
        cluster.log(1).contains("the snapshot was refused") && cluster.log(1).contains("its checksum")
    })
    .await;
    assert_eq!(left_behind(&cluster.data(1)), [""; 0]);
    wait(&cluster, "the second transfer did not begin", || cluster.wire(1, 0).planned() == 0).await;
    wait(&cluster, "the second transfer was not cut", || cluster.wire(1, 0).is_cut()).await;
    cluster.wire(1, 0).cut(false);
    wait(&cluster, "nobody noticed the cut", || {
        cluster.log(1).contains("the transfer of the snapshot was interrupted")
    })
    .await;
    assert_eq!(cluster.together().await, 0);
    assert!(cluster.log(1).contains("the journal goes on from the primary's snapshot"), "{}", cluster.logs());
    assert_eq!(left_behind(&cluster.data(1)), [""; 0]);

    // It has what was before the snapshot and what came after it, also when it has started again.
    for number in 0..10 {
        let id = format!("after-{number}");
        known.push((accepted(&enter(&cluster, &id).await), id));
    }
    cluster.together().await;
    assert_eq!(told(&cluster, 0).await.len(), known.len());
    assert_eq!(told(&cluster, 1).await, told(&cluster, 0).await);
    cluster.kill(1);
    cluster.spawn(1);
    assert_eq!(cluster.together().await, 0);
    assert_eq!(told(&cluster, 1).await, told(&cluster, 0).await);
    assert_eq!(cluster.log(1).matches("fetching a snapshot").count(), 3, "it started from what it has");

    // The primary dies with what only these two have ever had.
    cluster.kill(0);
    let (code, said) = verb(&cluster, &["failover", "--to", "n1", "--lost", "n0"]);
    assert_eq!(code, 0, "{said}\n{}", cluster.logs());
    for (order, id) in &known {
        let again = enter(&cluster, id).await;
        assert_eq!((accepted(&again), again.replayed), (*order, true), "{id}");
    }
    accepted(&enter(&cluster, "alone").await);
    cluster.spawn(0);
    assert_eq!(cluster.together().await, 1);
    accepted(&enter(&cluster, "together").await);
    cluster.together().await;
    assert_eq!(told(&cluster, 0).await, told(&cluster, 1).await);
    (0..2).for_each(|node| cluster.kill(node));

    let journals = [0, 1].map(|node| cluster.data(node).join("journal"));
    let [(_, one), (_, other)] = [0, 1].map(|node| journal("digest", &journals[node], &["-o", "csv"]));
    assert!(one == other && one.lines().count() == 2, "{one}{other}");
    for journal_dir in &journals {
        let (code, said) = journal("verify", journal_dir, &[]);
        assert!(code == 4 && said.contains("not checked"), "{code}: {said}");
    }
}

/// How far a stopped node's read model goes, and what it holds.
fn rows(data: &Path) -> (Reach, Content) {
    let (store, reach) = Store::open(&store::directory(data)).unwrap();
    (reach, store.content().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_was_away_too_long_goes_on_from_a_snapshot_and_keeps_what_it_had() {
    let mut cluster = Cluster::new(2, "sync-or-degrade");
    cluster.together().await;
    accepted(&enter(&cluster, "together").await);
    cluster.together().await;
    cluster.stop(1);
    let had = names(&cluster.data(1).join("journal"));
    let mut orders = 1;
    for number in 0..100 {
        accepted(&enter(&cluster, &format!("alone-{number}")).await);
        orders += 1;
    }
    cluster.stop(0);
    lose_the_beginning(&cluster.data(0), 1 << 12);
    (0..2).for_each(|node| cluster.spawn(node));
    assert_eq!(cluster.together().await, 0);
    assert!(cluster.log(1).contains("the journal goes on from the primary's snapshot"), "{}", cluster.logs());
    accepted(&enter(&cluster, "again").await);
    cluster.together().await;
    assert_eq!(told(&cluster, 1).await.len(), orders + 1);
    assert_eq!(told(&cluster, 1).await, told(&cluster, 0).await);
    (0..2).for_each(|node| cluster.stop(node));
    assert_eq!(rows(&cluster.data(1)), rows(&cluster.data(0)));
    // As after a power cut: how far history is acknowledged is on the disk later than the read model. It could
    // not be built again, and need not be.
    std::fs::remove_file(cluster.data(1).join("journal/acknowledged.mark")).unwrap();
    (0..2).for_each(|node| cluster.spawn(node));
    accepted(&enter(&cluster, "after-a-power-cut").await);
    assert_eq!(cluster.together().await, 0);
    assert_eq!(told(&cluster, 1).await.len(), orders + 2);
    assert_eq!(told(&cluster, 1).await, told(&cluster, 0).await);
    assert!(!cluster.log(1).contains("in doubt"), "{}", cluster.logs());
    (0..2).for_each(|node| cluster.stop(node));
    assert_eq!(rows(&cluster.data(1)), rows(&cluster.data(0)));
    let has = names(&cluster.data(1).join("journal"));
    assert!(had.iter().filter(|it| seq_of_name(it).is_some()).all(|it| has.contains(it)), "{had:?} {has:?}");
    let (code, said) = journal("verify", &cluster.data(1).join("journal"), &[]);
    assert!(code == 4 && said.contains("not checked"), "{code}: {said}");
}

/// Results, curves, statements, obligations, runs: whatever readers are told of a day comes with its snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_from_a_snapshot_has_every_row_that_its_primary_has() {
    let home = tempfile::tempdir().unwrap();
    played(&home.path().join("day"));
    let day = home.path().join("day/data/journal");
    let mut cluster = Cluster::played(2, "async", &[], &day);
    cluster.together().await;
    (0..2).for_each(|node| cluster.stop(node));
    std::fs::remove_dir_all(cluster.data(1)).unwrap();
    lose_the_beginning(&cluster.data(0), 1 << 18);
    (0..2).for_each(|node| cluster.spawn(node));
    assert_eq!(cluster.together().await, 0);
    assert!(cluster.log(1).contains("the journal goes on from the primary's snapshot"), "{}", cluster.logs());
    (0..2).for_each(|node| cluster.stop(node));
    let [(reach, content), other] = [1, 0].map(|node| rows(&cluster.data(node)));
    assert!(content.records > 10_000, "{content:?}");
    assert_eq!((reach, content), other);
}
