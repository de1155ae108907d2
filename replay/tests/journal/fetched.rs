//! A snapshot from another node: believed whole, refused for any flaw, and put in so that a power cut harms
//! nothing.

use crate::common::{EXCHANGE, Tally, Told, boxed, options};
use merit_engine::market::Engine;
use merit_replay::core::{Core, Epoch, Offer, replay};
use merit_replay::error::JournalError;
use merit_replay::fetch::{Fetch, Installed, install};
use merit_replay::frame::Head;
use merit_replay::machine::Silent;
use merit_replay::node::{Nobody, Node, Settings};
use merit_replay::recovery;
use merit_replay::repair::repair;
use merit_replay::replication::feed::{Backlog, Feed};
use merit_replay::replication::{Mode, NodeId, may_lead};
use merit_replay::segment::{segment_name, seq_of_name};
use merit_replay::snapshot::{self, Resumed};
use merit_replay::storage::Storage;
use merit_replay::storage::faulty::{Faults, FaultyDisk};

fn ignore(_: recovery::Progress) {}

type Opened = (Core<Tally>, Option<Head>);

/// Opens a journal from its newest snapshot, as a standby does.
fn open(disk: &FaultyDisk, epoch: Epoch) -> Result<Opened, JournalError> {
    let (resumed, _) = snapshot::newest::<Tally>(disk, Some(EXCHANGE), u64::MAX)?;
    let base = resumed.as_ref().map(|it| it.head);
    let machine = match resumed {
        Some(Resumed { machine, head, lineage }) => (machine, Some((head, lineage))),
        None => (Tally::default(), None),
    };
    let silent = Box::new(Silent);
    let opened = Core::open_after(boxed(disk), options(1_024), epoch, machine, silent, &mut ignore);
    opened.map(|(core, _)| (core, base))
}

fn tell(core: &mut Core<Tally>, number: u64) {
    let now_us = core.head().time_us.max(0) + 1_000;
    core.begin(now_us, "n");
    assert_eq!(core.offer(Told::Number(number)), Offer::Taken);
    core.finish(now_us).unwrap();
}

/// A primary whose segments before its snapshot after record 30 are gone.
fn primary() -> (FaultyDisk, Tally) {
    let disk = FaultyDisk::new(5);
    let mut core = open(&disk, Epoch::Same).unwrap().0;
    (0..40).for_each(|number| tell(&mut core, number));
    core.close().unwrap();
    let made = snapshot::make::<Tally>(&disk, 30, u64::MAX, &mut ignore).unwrap().unwrap();
    assert_eq!(made.head.stamp.seq, 30);
    let mut whole = Tally::default();
    replay(&disk, &mut whole, &mut Silent, &mut ignore).unwrap();
    let old: Vec<String> = disk.list().unwrap().into_iter().filter(|it| seq_of_name(it).is_some()).collect();
    let first = old.iter().rposition(|it| seq_of_name(it).unwrap() <= 31).unwrap();
    old[..first].iter().for_each(|it| disk.remove(it).unwrap());
    (disk, whole)
}

/// A standby that holds the primary's first records, and those only.
fn standby(records: u64) -> FaultyDisk {
    let disk = FaultyDisk::new(8);
    let mut core = open(&disk, Epoch::Same).unwrap().0;
    // The first one begins the epoch.
    (1..records).for_each(|number| tell(&mut core, number - 1));
    core.close().unwrap();
    disk
}

fn offered(disk: &FaultyDisk) -> Vec<u8> {
    let (header, length) = snapshot::offer::<Tally>(disk, None).unwrap().unwrap();
    let bytes = disk.content(&snapshot::name(header.head.stamp.seq)).unwrap();
    assert_eq!(u64::try_from(bytes.len()).unwrap(), length);
    bytes
}

/// Brings a snapshot in pieces.
fn bring(disk: &FaultyDisk, bytes: &[u8], after: u64) -> Result<(), String> {
    let mut fetch = Fetch::begin(boxed(disk)).map_err(|it| it.to_string())?;
    for (index, piece) in bytes.chunks(700).enumerate() {
        fetch.piece(u64::try_from(index * 700).unwrap(), piece)?;
    }
    fetch.check::<Tally>(EXCHANGE, after)?;
    fetch.keep().map_err(|it| it.to_string())
}

fn put_in(disk: &FaultyDisk) -> Result<Option<Installed>, JournalError> {
    install::<Tally>(disk, &options(1_024), &mut || Ok(()))
}

fn fetched(disk: &FaultyDisk) -> usize {
    disk.list().unwrap().iter().filter(|it| it.starts_with("fetched")).count()
}

/// The core of a standby follows the primary's journal to its end.
fn catch_up(core: &mut Core<Tally>, primary: &FaultyDisk) {
    let head = inspect_head(primary);
    let mut feed = Feed::after(boxed(primary), core.durable().stamp.seq);
    while feed.is_behind(head) {
        core.follow(&feed.poll_disk(1 << 12).unwrap()).unwrap();
    }
    core.acknowledge(head, &mut |_| {});
}

fn inspect_head(disk: &FaultyDisk) -> u64 {
    let base = snapshot::headers(disk).unwrap().last().map(|it| it.head);
    recovery::scan_after(disk, Some(EXCHANGE), base, &mut recovery::Discard).unwrap().head.stamp.seq
}

#[test]
fn a_primary_knows_which_records_it_can_no_longer_send() {
    let (disk, _) = primary();
    let backlog = Backlog::new(1 << 20);
    let reaches = |seq| Feed::after(boxed(&disk), seq - 1).reaches(&backlog).unwrap();
    let first = disk.list().unwrap().iter().find_map(|it| seq_of_name(it)).unwrap();
    assert!(first > 5 && first <= 31, "{first}");
    assert!((1..first).all(|it| !reaches(it)));
    assert!((first..=41).all(reaches));
    // What lies in an archive before a gap does not hide the gap.
    let before = standby(4);
    for name in before.list().unwrap().iter().filter(|it| seq_of_name(it).is_some()) {
        disk.put(name, &before.content(name).unwrap());
    }
    assert!(reaches(1) && reaches(4) && !reaches(5) && !reaches(first - 1) && reaches(first));
    let error = Feed::after(boxed(&disk), 4).poll_disk(1).unwrap_err();
    assert!(matches!(error, JournalError::NotFound { .. }), "{error}");
}

#[test]
fn a_standby_goes_on_from_the_primarys_snapshot_and_holds_what_it_says() {
    let (primary, whole) = primary();
    let bytes = offered(&primary);
    for records in [0, 4] {
        let disk = standby(records);
        bring(&disk, &bytes, records).unwrap();
        let before = open(&disk, Epoch::Follow).unwrap().0.head().seq;
        assert_eq!(before, records, "before it is put in, it is nothing");
        let Some(Installed::From(header)) = put_in(&disk).unwrap() else { panic!("refused") };
        assert_eq!((header.head.stamp.seq, fetched(&disk)), (30, 0));
        assert_eq!(put_in(&disk).unwrap(), None);
        let (mut core, base) = open(&disk, Epoch::Follow).unwrap();
        assert_eq!(base, Some(header.head));
        assert_eq!((core.durable(), core.head()), (header.head, header.head.stamp));
        let settings = Settings { id: NodeId(1), nodes: 2, mode: Mode::Sync, ..Settings::solo("s") };
        let mut node = Node::standby(core, settings, Box::new(Nobody));
        let standing = node.standing();
        assert_eq!(standing.acknowledged_seq, 30, "all of it was acknowledged");
        assert_eq!(standing.promised, header.head.stamp.epoch, "nothing of an older epoch is taken");
        core = node.into_core();
        catch_up(&mut core, &primary);
        assert_eq!(*core.machine(), whole);
        core.close().unwrap();
        // It starts again, takes snapshots of its own, and verification says where it begins.
        assert_eq!(*open(&disk, Epoch::Follow).unwrap().0.machine(), whole);
        let made = snapshot::make::<Tally>(&disk, 35, u64::MAX, &mut ignore).unwrap().unwrap();
        let checked = snapshot::verify::<Tally>(&disk, &mut ignore).unwrap();
        assert!(checked.len() == 2 && checked.iter().all(|it| it.flaw.is_none()), "{checked:?}");
        let (machine, found) = snapshot::machine_at::<Tally>(&disk, Some(33), &mut ignore).unwrap();
        assert_eq!((machine.told.as_slice(), found.head.stamp.seq), (&whole.told[..33], 41));
        assert_eq!(*open(&disk, Epoch::Follow).unwrap().0.machine(), whole);
        assert_eq!(made.head.stamp.seq, 35);
    }
}

/// A batch may be torn after the snapshot has come: at the end of the journal that is no damage, before another segment
/// it would be.
#[test]
fn a_torn_tail_is_cut_before_a_segment_follows_it() {
    let (primary, whole) = primary();
    for records in [0, 4] {
        let disk = standby(records);
        bring(&disk, &offered(&primary), records).unwrap();
        let name = disk.list().unwrap().into_iter().rfind(|it| seq_of_name(it).is_some()).unwrap();
        let mut torn = disk.content(&name).unwrap();
        *torn.last_mut().unwrap() = 1;
        disk.put(&name, &torn);
        assert!(matches!(put_in(&disk).unwrap(), Some(Installed::From(_))));
        let checked = snapshot::verify::<Tally>(&disk, &mut ignore).unwrap();
        assert!(checked.len() == 1 && checked[0].flaw.is_none(), "{checked:?}");
        let mut core = open(&disk, Epoch::Follow).unwrap().0;
        catch_up(&mut core, &primary);
        assert_eq!(*core.machine(), whole);
    }
}

/// With a promise from before, a node keeps it, whatever epoch the snapshot ends with.
#[test]
fn a_promise_outlives_the_snapshot() {
    let (primary, _) = primary();
    let disk = standby(4);
    let mut core = open(&disk, Epoch::Follow).unwrap().0;
    core.writer().promise(17).unwrap();
    drop(core);
    disk.restart();
    bring(&disk, &offered(&primary), 4).unwrap();
    assert!(matches!(put_in(&disk).unwrap(), Some(Installed::From(_))));
    assert_eq!(open(&disk, Epoch::Follow).unwrap().0.writer().promised(), 17);
}

#[test]
fn a_node_with_half_a_snapshot_proves_nothing() {
    let (primary, _) = primary();
    let disk = FaultyDisk::new(9);
    drop(open(&disk, Epoch::Follow).unwrap());
    let bytes = offered(&primary);
    let mut fetch = Fetch::begin(boxed(&disk)).unwrap();
    fetch.piece(0, &bytes[..bytes.len() / 2]).unwrap();
    std::mem::forget(fetch);
    disk.restart();
    assert_eq!(put_in(&disk).unwrap(), None);
    let standing = |disk: &FaultyDisk, id, epoch| {
        let settings = Settings { id: NodeId(id), nodes: 3, ..Settings::solo("s") };
        let mut core = open(disk, Epoch::Follow).unwrap().0;
        core.writer().promise(epoch).unwrap();
        Node::standby(core, settings, Box::new(Nobody)).standing()
    };
    let (empty, me) = (standing(&disk, 1, 18), standing(&standby(20), 2, 18));
    assert_eq!(empty.head.stamp.seq, 0);
    assert!(may_lead(18, 3, &me, &[empty]).is_err(), "its promise counts for nothing");
    assert_eq!(fetched(&disk), 0, "and the start has removed the half");
}

#[test]
fn a_snapshot_that_is_damaged_cut_foreign_or_of_another_layout_is_refused_and_leaves_nothing() {
    let (primary, _) = primary();
    let bytes = offered(&primary);
    let disk = standby(4);
    let names = disk.list().unwrap();
    let refused = |bytes: &[u8], what: &str| {
        let reason = bring(&disk, bytes, 4).unwrap_err();
        assert_eq!(disk.list().unwrap(), names, "{what}: {reason}");
        reason
    };
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        refused(&flipped, &format!("byte {at} flipped"));
        refused(&bytes[..at], &format!("cut at {at}"));
    }
    refused(&[bytes.as_slice(), &[0]].concat(), "a byte more");
    let mut fetch = Fetch::begin(boxed(&disk)).unwrap();
    fetch.piece(0, &bytes[..700]).unwrap();
    assert!(fetch.piece(1_400, &bytes[1_400..]).unwrap_err().contains("byte 700"));
    drop(fetch);
    let mut fetch = Fetch::begin(boxed(&disk)).unwrap();
    fetch.piece(0, &bytes).unwrap();
    assert!(fetch.look::<Tally>(EXCHANGE, 4).is_ok());
    assert!(fetch.look::<Engine>(EXCHANGE, 4).unwrap_err().contains("layout 7; this release reads"));
    assert!(fetch.look::<Tally>(EXCHANGE + 1, 4).unwrap_err().contains("it is of exchange"));
    assert!(fetch.check::<Tally>(EXCHANGE + 1, 4).unwrap_err().contains("it is of exchange"));
    assert!(fetch.check::<Engine>(EXCHANGE, 4).unwrap_err().contains("layout 7; this release reads"));
    assert!(fetch.check::<Tally>(EXCHANGE, 30).unwrap_err().contains("30 is held here"));
    drop(fetch);
    assert_eq!(disk.list().unwrap(), names);
    // Damaged before it was asked for, it is not even offered.
    let mut damaged = bytes.clone();
    damaged[600] ^= 1;
    primary.put(&snapshot::name(30), &damaged);
    assert!(snapshot::offer::<Tally>(&primary, None).unwrap().is_none());
}

/// Between the transfer and the start this node led: its records are not thrown away for a snapshot.
#[test]
fn a_journal_that_is_not_the_beginning_of_the_snapshots_history_stays_as_it_is() {
    let (primary, _) = primary();
    let disk = standby(4);
    bring(&disk, &offered(&primary), 4).unwrap();
    let mut core = open(&disk, Epoch::Next).unwrap().0;
    tell(&mut core, 99);
    let head = core.head();
    core.close().unwrap();
    let Some(Installed::Refused(reason)) = put_in(&disk).unwrap() else { panic!("put in") };
    assert!(reason.contains("of epoch 2 is held here"), "{reason}");
    assert_eq!((fetched(&disk), open(&disk, Epoch::Follow).unwrap().0.durable().stamp), (0, head));
    // What rotted on the disk meanwhile is thrown away, too.
    let disk = standby(4);
    bring(&disk, &offered(&primary), 4).unwrap();
    let mut damaged = disk.content("fetched.snapshot").unwrap();
    damaged[700] ^= 1;
    disk.put("fetched.snapshot", &damaged);
    assert!(matches!(put_in(&disk).unwrap(), Some(Installed::Refused(_))));
    assert_eq!(open(&disk, Epoch::Follow).unwrap().0.durable().stamp.seq, 4);
}

#[test]
fn a_power_cut_at_any_moment_leaves_the_journal_as_it_was_or_finished_by_the_next_start() {
    let (primary, whole) = primary();
    let bytes = offered(&primary);
    let mut seen = [0, 0];
    for operation in 1.. {
        let disk = standby(4);
        let held = open(&disk, Epoch::Follow).unwrap().0.durable().stamp.seq;
        disk.restart();
        disk.set_faults(Faults { power_lost_at: Some(disk.operations() + operation), ..Faults::default() });
        let done = bring(&disk, &bytes, held).is_ok() && put_in(&disk).is_ok();
        disk.restart();
        put_in(&disk).unwrap();
        let (mut core, base) = open(&disk, Epoch::Follow).unwrap();
        assert_eq!(fetched(&disk), 0, "power lost at operation {operation}");
        match base {
            None => assert_eq!(core.durable().stamp.seq, held),
            Some(_) => {
                catch_up(&mut core, &primary);
                assert_eq!(*core.machine(), whole, "power lost at operation {operation}");
            }
        }
        seen[usize::from(base.is_some())] += 1;
        if done {
            break;
        }
    }
    assert!(seen[0] > 3 && seen[1] > 3, "{seen:?}");
    assert!(!primary.list().unwrap().contains(&segment_name(1)));
}

/// Whoever still has everything gives such a journal its history back.
#[test]
fn a_whole_copy_mends_a_journal_that_begins_with_a_snapshot() {
    let (primary, whole) = primary();
    for records in [0, 4] {
        let disk = standby(records);
        bring(&disk, &offered(&primary), records).unwrap();
        put_in(&disk).unwrap();
        let mut core = open(&disk, Epoch::Follow).unwrap().0;
        catch_up(&mut core, &primary);
        core.close().unwrap();
        let copy = standby(41);
        repair(&disk, &copy).unwrap();
        let mut again = Tally::default();
        replay(&disk, &mut again, &mut Silent, &mut ignore).unwrap();
        assert_eq!(again, whole);
        let checked = snapshot::verify::<Tally>(&disk, &mut ignore).unwrap();
        assert!(checked.len() == 1 && checked[0].flaw.is_none(), "{checked:?}");
    }
}
