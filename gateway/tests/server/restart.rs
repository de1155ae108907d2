//! Starts from a snapshot: the same answers, whatever lies in the journal's directory, in its archive and in the
//! read model's.

use crate::common::{DAM, Exchange, step};
use crate::model::{answers, rest_of_the_day, trade};
use merit_client::orders;
use merit_client::v1::Side;
use merit_gateway::server::read_model::Mirror;
use merit_gateway::server::run::{Running, ServeError, Substitutes};
use merit_replay::error::JournalError;
use merit_replay::segment::seq_of_name;
use merit_replay::snapshot;
use merit_replay::storage::disk::Disk;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;

const SEGMENT_BYTES: u64 = 1 << 14;
const SNAPSHOT_RECORDS: u64 = 40;

fn segments(directory: &Path) -> Vec<u64> {
    let names = std::fs::read_dir(directory).unwrap().map(|it| it.unwrap().file_name());
    let mut found: Vec<u64> = names.filter_map(|it| seq_of_name(it.to_str().unwrap())).collect();
    found.sort_unstable();
    found
}

fn snapshots(exchange: &Exchange) -> Vec<u64> {
    let headers = snapshot::headers(&Disk::existing(&exchange.journal())).unwrap();
    headers.iter().map(|it| it.head.stamp.seq).collect()
}

fn file(exchange: &Exchange, seq: u64) -> PathBuf {
    exchange.journal().join(snapshot::name(seq))
}

async fn start(exchange: &mut Exchange) {
    let substitutes = Substitutes { segment_bytes: Some(SEGMENT_BYTES), ..Substitutes::default() };
    exchange.start_with(substitutes).await;
}

/// An exchange that has lived a day, with snapshots and an archive.
async fn lived() -> (Exchange, PathBuf) {
    let mut exchange = Exchange::new(&[]).await;
    exchange.stop().await;
    std::fs::remove_dir_all(exchange.data.path().join("data")).unwrap();
    let archive = exchange.data.path().join("archive");
    for (key, value) in [
        ("journal.snapshot_records", SNAPSHOT_RECORDS.to_string()),
        ("journal.archive", archive.display().to_string()),
        ("journal.archive_after_days", "0".to_owned()),
    ] {
        exchange.settings.push((key.to_owned(), value));
    }
    start(&mut exchange).await;
    exchange.at("2026-11-22T04:30:00Z").await;
    trade(&exchange, 1..12).await;
    wait_for_snapshot(&exchange).await;
    trade(&exchange, 12..30).await;
    wait_for_snapshot(&exchange).await;
    rest_of_the_day(&exchange).await;
    wait_for_snapshot(&exchange).await;
    // Some more, which a start has to replay.
    exchange.at("2026-11-22T08:00:00Z").await;
    (exchange, archive)
}

/// Waits until there is a snapshot of what has happened so far.
async fn wait_for_snapshot(exchange: &Exchange) {
    let head = exchange.running().node().inbox.status().head.seq;
    let due = snapshot::due(head, SNAPSHOT_RECORDS);
    for _ in 0..600 {
        if snapshots(exchange).last().is_some_and(|it| *it >= due) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no snapshot after record {due} of {head}: {:?}", snapshots(exchange));
}

#[track_caller]
fn check(found: &[String], expected: &[String], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_from_a_snapshot_answers_as_one_from_the_beginning() {
    let (mut exchange, archive) = lived().await;
    let expected = answers(&exchange).await;
    exchange.stop().await;
    let (left, retired) = (segments(&exchange.journal()), segments(&archive));
    assert_eq!(retired.first(), Some(&1), "old segments went to the archive");
    assert!(left[0] > 1 && left[0] > *retired.last().unwrap());
    // A start that needs no archive reads none of it.
    let aside = exchange.data.path().join("aside");
    std::fs::rename(&archive, &aside).unwrap();
    start(&mut exchange).await;
    check(&answers(&exchange).await, &expected, "from a snapshot");
    exchange.stop().await;
    std::fs::remove_dir_all(&archive).unwrap();
    std::fs::rename(&aside, &archive).unwrap();

    // The newest snapshot damaged: the one before it, or the beginning, tells the same.
    let taken = snapshots(&exchange);
    for seq in taken.into_iter().rev() {
        let mut bytes = std::fs::read(file(&exchange, seq)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(file(&exchange, seq), bytes).unwrap();
        start(&mut exchange).await;
        check(&answers(&exchange).await, &expected, &format!("snapshot {seq} is damaged"));
        exchange.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_is_built_again_from_the_archive_and_never_lacks_rows() {
    let (mut exchange, archive) = lived().await;
    let expected = answers(&exchange).await;
    exchange.stop().await;
    std::fs::remove_dir_all(exchange.read_model()).unwrap();
    start(&mut exchange).await;
    check(&answers(&exchange).await, &expected, "without a read model");
    exchange.stop().await;
    // With neither the read model nor the archive nothing can tell the day's beginning.
    std::fs::remove_dir_all(exchange.read_model()).unwrap();
    std::fs::rename(&archive, exchange.data.path().join("aside")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let substitutes = Substitutes { clock: Some(exchange.clock.clone()), ..Substitutes::default() };
    let error = Running::start(&exchange.config(), listener, substitutes).await.err().unwrap();
    let ServeError::Journal(error) = error else { panic!("{error}") };
    assert!(error.to_string().contains("damaged record 1 "), "{error}");
    assert!(error.remedy().contains("journal.archive"), "{}", error.remedy());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_do_not_share_an_archive() {
    let (exchange, archive) = lived().await;
    let mut other = Exchange::new(&[]).await;
    other.stop().await;
    other.settings.push(("journal.archive".to_owned(), archive.display().to_string()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let substitutes = Substitutes { clock: Some(other.clock.clone()), ..Substitutes::default() };
    let error = Running::start(&other.config(), listener, substitutes).await.err().unwrap();
    assert!(matches!(&error, ServeError::Journal(JournalError::Locked)), "{error}");
    drop(exchange);
}

/// A repeat says nothing and is recorded nowhere; the read model knows all the same that it has come so far.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_after_commands_that_said_nothing_is_of_use() {
    let (mut exchange, archive) = lived().await;
    let expected = answers(&exchange).await;
    let before = *snapshots(&exchange).last().unwrap();
    let gina = exchange.user("gina");
    let sells: Vec<_> = (1..=96).map(|period| (period, "2500", "100")).collect();
    for _ in 0..2 * SNAPSHOT_RECORDS {
        let repeat = gina.submit("g-1", step(DAM, "GEN-1", "N1", Side::Sell, &sells)).await.unwrap();
        assert!(repeat.replayed);
    }
    wait_for_snapshot(&exchange).await;
    exchange.stop().await;
    let taken = snapshots(&exchange);
    let (newest, older) = taken.split_last().unwrap();
    assert!(*newest >= before + SNAPSHOT_RECORDS, "{newest} is among the repeats");
    // Neither an older snapshot nor the beginning can help.
    older.iter().for_each(|it| std::fs::remove_file(file(&exchange, *it)).unwrap());
    std::fs::rename(&archive, exchange.data.path().join("aside")).unwrap();
    start(&mut exchange).await;
    check(&answers(&exchange).await, &expected, "from a snapshot among repeats");
}

/// A read model of another history that reaches the snapshot is not believed because it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_of_another_history_is_built_again_after_a_snapshot_too() {
    let (mut exchange, _) = lived().await;
    let expected = answers(&exchange).await;
    exchange.stop().await;
    let (mut other, _) = lived().await;
    // Nearly the same day, under the same ids.
    other.user("gina").cancel("more", orders::by_client_id("g-2")).await.unwrap();
    other.stop().await;
    std::fs::remove_dir_all(exchange.read_model()).unwrap();
    std::fs::rename(other.read_model(), exchange.read_model()).unwrap();
    start(&mut exchange).await;
    check(&answers(&exchange).await, &expected, "with another exchange's read model");
    assert!(exchange.user("gina").order("more").await.unwrap().is_none());
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_of_a_running_node_are_what_a_replay_gives() {
    let (mut exchange, archive) = lived().await;
    exchange.stop().await;
    let journal = Box::new(Disk::existing(&exchange.journal()));
    let shelves = merit_replay::storage::shelves::Shelves::new(journal, Box::new(Disk::existing(&archive)));
    let checked = snapshot::verify::<Mirror>(&shelves, &mut |_| {}).unwrap();
    assert_eq!(checked.len(), snapshot::KEPT);
    assert!(checked.iter().all(|it| it.flaw.is_none()), "{checked:?}");
}
