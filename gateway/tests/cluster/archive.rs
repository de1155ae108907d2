//! A standby that begins when the primary's first segments lie in its archive only.

use super::cluster::Cluster;
use super::push::played;
use merit_engine::market::Engine;
use merit_replay::core::{Core, Epoch};
use merit_replay::inspect;
use merit_replay::machine::Silent;
use merit_replay::replication::feed::Feed;
use merit_replay::segment::segment_name;
use merit_replay::snapshot;
use merit_replay::storage::disk::Disk;
use merit_replay::writer::Options;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Writes a journal again in short segments, for a day fills no whole one. Returns its last record.
pub(crate) fn in_short_segments(from: &Path, to: &Path, segment_bytes: u64) -> u64 {
    let from = Disk::existing(from);
    let found = inspect::verify(&from, &mut |_| {}).unwrap();
    let mut options = Options::new(found.exchange_id);
    options.segment_bytes = segment_bytes;
    let storage = Box::new(Disk::create(to).unwrap());
    let (machine, sink) = (Engine::new(), Box::new(Silent));
    let opened = Core::open(storage, options, Epoch::Follow, machine, sink, &mut |_| {});
    let mut core = opened.unwrap().0;
    let mut feed = Feed::after(Box::new(from), 0);
    let head = found.head.stamp.seq;
    while feed.is_behind(head) {
        core.follow(&feed.poll_disk(1 << 16).unwrap()).unwrap();
    }
    core.acknowledge(head, &mut |_| {});
    core.close().unwrap();
    head
}

/// What a verb of `merit journal` says of a node's journal and its archive.
fn journal(verb: &str, data: &Path, archive: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_merit"));
    command.args(["journal", verb]).arg(data.join("journal")).arg("--archive").arg(archive);
    let output = command.args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{verb}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_standby_gets_the_beginning_from_the_primarys_archive() {
    let home = tempfile::tempdir().unwrap();
    played(&home.path().join("day"));
    let short = home.path().join("short");
    let head = in_short_segments(&home.path().join("day/data/journal"), &short, 1 << 18);
    let archive = |node: &str| home.path().join(format!("archive-{node}"));
    let settings = [
        ("journal.snapshot_records".to_owned(), "500".to_owned()),
        ("journal.archive".to_owned(), archive("{node}").display().to_string()),
        ("journal.archive_after_days".to_owned(), "0".to_owned()),
    ];
    let mut cluster = Cluster::played(2, "async", &settings, &short);
    cluster.together().await;
    cluster.kill(1);
    std::fs::remove_dir_all(cluster.data(1)).unwrap();

    let begun = Instant::now();
    while !archive("n0").join(segment_name(1)).exists()
        || cluster.data(0).join("journal").join(segment_name(1)).exists()
    {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing was retired\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster.spawn(1);
    assert_eq!(cluster.together().await, 0, "the standby holds everything");
    let begun = Instant::now();
    while snapshot::headers(&Disk::existing(&cluster.data(1).join("journal"))).unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "no snapshot\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (0..2).for_each(|node| cluster.kill(node));

    // Both hold all of the history, and their snapshots are what it gives.
    let digests = [0, 1].map(|node| {
        let (data, archive) = (cluster.data(node), archive(&format!("n{node}")));
        journal("verify", &data, &archive, &[]);
        journal("digest", &data, &archive, &["--at", &head.to_string()])
    });
    assert_eq!(digests[0], digests[1]);
    assert!(digests[0].contains(&head.to_string()), "{}", digests[0]);
}
