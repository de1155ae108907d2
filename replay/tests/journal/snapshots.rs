//! Starts from snapshots: the same as from the beginning, whatever becomes of the file; and old segments in
//! the archive.

use crate::common::{EXCHANGE, Tally, Told, boxed, options};
use crate::market::{DAY, batch, founding, order};
use merit_engine::calendar::MINUTE_US;
use merit_engine::market::Engine;
use merit_engine::presets;
use merit_replay::acknowledged::MARK_NAME;
use merit_replay::core::{Core, Epoch, Offer, replay};
use merit_replay::error::{Flaw, JournalError};
use merit_replay::inspect;
use merit_replay::machine::Silent;
use merit_replay::recovery::{self, Discard};
use merit_replay::retention::retire;
use merit_replay::segment::{HEADER_BYTES, seq_of_name};
use merit_replay::snapshot::{self, Kept, Resumed};
use merit_replay::storage::disk::Disk;
use merit_replay::storage::faulty::{Faults, FaultyDisk, Random};
use merit_replay::storage::shelves::Shelves;
use merit_replay::storage::{Storage, write_all_at};
use merit_replay::writer::Options;
use std::io::ErrorKind;

fn ignore(_: recovery::Progress) {}

/// The newest snapshot, and the core that goes on from it.
fn resume<M: Kept>(storage: &dyn Storage, options: Options) -> Result<(Core<M>, u64), JournalError> {
    let (resumed, _) = snapshot::newest::<M>(storage, Some(EXCHANGE), u64::MAX)?;
    let from = resumed.as_ref().map_or(0, |it| it.head.stamp.seq);
    let machine = match resumed {
        Some(Resumed { machine, head, lineage }) => (machine, Some((head, lineage))),
        None => (M::default(), None),
    };
    let silent = Box::new(Silent);
    let opened = Core::open_after(storage.reader(), options, Epoch::Same, machine, silent, &mut ignore);
    opened.map(|(core, _)| (core, from))
}

/// A market day on a disk, with snapshots taken on the way.
fn market_day(segment_bytes: u64, every: u64) -> (FaultyDisk, Vec<(u64, Vec<u8>)>) {
    let disk = FaultyDisk::new(11);
    let options = || Options { segment_bytes, ..Options::new(EXCHANGE) };
    let mut random = Random::new(77);
    let silent = Box::new(Silent);
    let mut core =
        Core::open(boxed(&disk), options(), Epoch::Same, Engine::new(), silent, &mut ignore).unwrap().0;
    let midnight = presets::indian(DAY)[0].zone.day_start_us(DAY);
    let mut now_us = midnight - 15 * 60 * MINUTE_US;
    batch(&mut core, now_us, founding());
    let (mut number, mut taken) = (0, Vec::new());
    while now_us < midnight + 8 * 60 * MINUTE_US {
        now_us += i64::try_from(1 + random.below(9)).unwrap() * MINUTE_US;
        let orders = (0..random.below(4)).map(|_| {
            number += 1;
            order(&mut random, number, now_us)
        });
        let orders = orders.collect();
        batch(&mut core, now_us, orders);
        while core.wants_quantum() {
            batch(&mut core, now_us, Vec::new());
        }
        let head = core.head().seq;
        let made = snapshot::make::<Engine>(&disk, snapshot::due(head, every), head, &mut ignore).unwrap();
        if let Some(header) = made {
            let seq = header.head.stamp.seq;
            taken.push((seq, disk.content(&snapshot::name(seq)).unwrap()));
            // Killed, and started from what was just written.
            let digest = core.machine().digest();
            drop(core);
            disk.restart();
            let (again, from) = resume::<Engine>(&disk, options()).unwrap();
            assert_eq!((from, again.machine().digest()), (seq, digest), "after record {head}");
            core = again;
        }
    }
    core.close().unwrap();
    (disk, taken)
}

#[test]
fn a_start_from_a_snapshot_is_the_same_as_one_from_the_beginning() {
    let (disk, taken) = market_day(1 << 15, 100);
    let mut engine = Engine::new();
    let found = replay(&disk, &mut engine, &mut Silent, &mut ignore).unwrap();
    let (core, from) = resume::<Engine>(&disk, Options::new(EXCHANGE)).unwrap();
    assert_eq!(core.head(), found.head.stamp);
    assert_eq!(inspect::digest_text(core.machine()), inspect::digest_text(&engine));
    assert_eq!(Some(from), taken.last().map(|it| it.0));
    assert!(taken.len() > 5, "{} snapshots", taken.len());
    let kept = snapshot::headers(&disk).unwrap();
    assert_eq!(kept.len(), snapshot::KEPT, "older ones are forgotten");
    let checked = snapshot::verify::<Engine>(&disk, &mut ignore).unwrap();
    assert!(checked.len() == 2 && checked.iter().all(|it| it.flaw.is_none()), "{checked:?}");
}

/// Other segments, other batches in them, another disk: the same bytes.
#[test]
fn two_nodes_take_the_same_bytes_at_the_same_record() {
    let (_, one) = market_day(1 << 15, 150);
    let (_, other) = market_day(1 << 18, 150);
    assert!(one.len() > 3);
    assert_eq!(one.len(), other.len());
    for ((seq, bytes), (other_seq, other_bytes)) in one.iter().zip(&other) {
        assert_eq!(seq, other_seq);
        assert!(bytes == other_bytes, "the snapshots after record {seq} differ");
    }
}

fn tally(disk: &dyn Storage) -> (Core<Tally>, u64) {
    resume::<Tally>(disk, options(1_024)).unwrap()
}

fn tell(core: &mut Core<Tally>, told: Told) {
    let now_us = core.head().time_us.max(0) + 1_000;
    core.begin(now_us, "n");
    assert_eq!(core.offer(told), Offer::Taken);
    core.finish(now_us).unwrap();
}

fn make(disk: &dyn Storage, seq: u64) -> Option<u64> {
    let made = snapshot::make::<Tally>(disk, seq, u64::MAX, &mut ignore).unwrap();
    made.map(|it| it.head.stamp.seq)
}

/// Some segments, and snapshots after records 9 and 20.
fn small() -> FaultyDisk {
    let disk = FaultyDisk::new(5);
    let (mut core, _) = tally(&disk);
    for number in 0..25 {
        tell(&mut core, Told::Number(number));
    }
    core.close().unwrap();
    assert_eq!((make(&disk, 9), make(&disk, 20)), (Some(9), Some(20)));
    disk
}

fn copy(disk: &FaultyDisk, but: &str, content: Option<&[u8]>) -> FaultyDisk {
    let other = FaultyDisk::new(6);
    for name in disk.list().unwrap().iter().filter(|it| *it != but) {
        other.put(name, &disk.content(name).unwrap());
    }
    if let Some(content) = content {
        other.put(but, content);
    }
    other
}

fn replayed(disk: &dyn Storage) -> Tally {
    let mut machine = Tally::default();
    replay(disk, &mut machine, &mut Silent, &mut ignore).unwrap();
    machine
}

#[test]
fn a_snapshot_waits_until_the_machine_rests_and_is_taken_once() {
    let disk = FaultyDisk::new(5);
    let (mut core, _) = tally(&disk);
    tell(&mut core, Told::Number(1));
    tell(&mut core, Told::Work(3));
    assert_eq!(make(&disk, 3), None, "long work is in progress");
    while core.wants_quantum() {
        tell(&mut core, Told::Number(2));
    }
    let rests = core.head().seq - 1;
    let made = make(&disk, 3).unwrap();
    assert!((rests..=rests + 1).contains(&made), "{made}, rests after {rests}");
    assert_eq!(make(&disk, 3), None, "there is one already");
    assert_eq!(snapshot::due(1_234, 100), 1_200);
    let beyond = snapshot::make::<Tally>(&disk, made + 1, made, &mut ignore).unwrap();
    assert_eq!(beyond, None, "nothing that is not acknowledged is in a snapshot");
}

#[test]
fn a_snapshot_with_any_byte_flipped_or_cut_anywhere_is_passed_over_for_the_one_before() {
    let disk = small();
    let (name, whole) = (snapshot::name(20), disk.content(&snapshot::name(20)).unwrap());
    let expected = replayed(&disk);
    let check = |content: &[u8], what: &str| {
        let disk = copy(&disk, &name, Some(content));
        let (resumed, passed_over) = snapshot::newest::<Tally>(&disk, Some(EXCHANGE), u64::MAX).unwrap();
        assert_eq!(resumed.unwrap().head.stamp.seq, 9, "{what}");
        assert_eq!(passed_over.len(), 1, "{what}");
        assert_eq!(passed_over[0].name, name, "{what}");
        let (core, _) = tally(&disk);
        assert_eq!(*core.machine(), expected, "{what}");
    };
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= if at % 3 == 0 { 0xff } else { 1 << (at % 8) };
        check(&flipped, &format!("byte {at} flipped"));
        check(&whole[..at], &format!("cut at {at}"));
    }
    check(&[whole.as_slice(), &[0]].concat(), "a byte more");
}

#[test]
fn without_any_snapshot_that_can_be_believed_the_journal_is_replayed() {
    let disk = small();
    let expected = replayed(&disk);
    for name in [snapshot::name(9), snapshot::name(20)] {
        let mut damaged = disk.content(&name).unwrap();
        damaged[HEADER_BYTES + 20] ^= 1;
        disk.put(&name, &damaged);
    }
    let (core, from) = tally(&disk);
    assert_eq!((core.machine(), from), (&expected, 0));
}

/// What a release with another layout wrote, and what belongs to another exchange or history, is no state.
#[test]
fn a_snapshot_that_does_not_belong_is_passed_over_with_its_reason() {
    let reason = |disk: &FaultyDisk, exchange| {
        let (_, passed_over) = snapshot::newest::<Tally>(disk, Some(exchange), u64::MAX).unwrap();
        passed_over.into_iter().map(|it| it.reason).collect::<Vec<_>>().join("; ")
    };
    let disk = small();
    assert!(reason(&disk, EXCHANGE + 1).contains("it is of exchange"));
    // The same numbers, told otherwise.
    let other = FaultyDisk::new(5);
    let (mut core, _) = tally(&other);
    for number in 0..25 {
        tell(&mut core, Told::Number(number + 1));
    }
    core.close().unwrap();
    other.put(&snapshot::name(20), &disk.content(&snapshot::name(20)).unwrap());
    assert!(reason(&other, EXCHANGE).contains("record 20 of the journal is another one"));
    let expected = replayed(&other);
    assert_eq!(*tally(&other).0.machine(), expected);
    // A name that says something else.
    let named = copy(&disk, &snapshot::name(20), None);
    named.put(&snapshot::name(21), &disk.content(&snapshot::name(20)).unwrap());
    assert!(reason(&named, EXCHANGE).contains("contradicts its name"));
    let engine = snapshot::newest::<Engine>(&disk, Some(EXCHANGE), u64::MAX).unwrap();
    assert!(engine.0.is_none() && engine.1[0].reason.contains("layout 7; this release reads 3"));
}

/// A snapshot holds acknowledged records only, so a journal that ends before one has lost some.
#[test]
fn a_journal_that_ends_before_its_snapshot_is_refused() {
    let disk = small();
    let names = disk.list().unwrap();
    let last = names.iter().rfind(|it| seq_of_name(it).is_some_and(|it| it <= 20)).unwrap().clone();
    for name in names.iter().filter(|it| seq_of_name(it).is_some_and(|it| it > 20)) {
        disk.remove(name).unwrap();
    }
    disk.remove(MARK_NAME).unwrap();
    let mut content = disk.content(&last).unwrap();
    content[HEADER_BYTES..].fill(0);
    disk.put(&last, &content);
    let error = recovery::scan(&disk, Some(EXCHANGE), &mut Discard).unwrap_err();
    let JournalError::Damaged(damage) = error else { panic!("{error}") };
    assert_eq!((damage.flaw, damage.acknowledged_seq), (Flaw::Missing, 20));
}

/// What lies before a snapshot altogether is not read by a start. Verification reads it.
#[test]
fn damage_before_a_snapshot_stops_no_start_and_is_found_by_verification() {
    let disk = small();
    let first = disk.list().unwrap().into_iter().find(|it| seq_of_name(it) == Some(1)).unwrap();
    let mut damaged = disk.content(&first).unwrap();
    damaged[HEADER_BYTES + 60] ^= 1;
    let expected = replayed(&disk);
    disk.put(&first, &damaged);
    let (core, from) = tally(&disk);
    assert_eq!((core.machine(), from), (&expected, 20));
    let error = recovery::scan(&disk, Some(EXCHANGE), &mut Discard).unwrap_err();
    assert!(matches!(error, JournalError::Damaged(_)), "{error}");
}

#[test]
fn a_power_cut_while_a_snapshot_is_written_leaves_the_old_one_or_the_new_one() {
    let whole = small();
    let without = copy(&whole, &snapshot::name(20), None);
    let expected = replayed(&whole);
    let mut seen = [0, 0];
    for operation in 1.. {
        let disk = copy(&without, "", None);
        disk.set_faults(Faults { power_lost_at: Some(disk.operations() + operation), ..Faults::default() });
        let made = snapshot::make::<Tally>(&disk, 20, u64::MAX, &mut ignore);
        disk.restart();
        let (core, from) = tally(&disk);
        assert_eq!(*core.machine(), expected, "power lost at operation {operation}");
        assert!(from == 9 || from == 20, "power lost at operation {operation}: from {from}");
        seen[usize::from(from == 20)] += 1;
        let parts = disk.list().unwrap().into_iter().filter(|it| it.ends_with(".part")).count();
        assert_eq!(parts, 0, "a start removes what was not finished");
        if made.is_ok() {
            break;
        }
    }
    assert!(seen[0] > 3 && seen[1] > 0, "{seen:?}");
}

#[test]
fn a_full_disk_makes_no_snapshot_and_harms_nothing() {
    let whole = small();
    let disk = copy(&whole, &snapshot::name(20), None);
    let used: usize = disk.list().unwrap().iter().map(|it| disk.content(it).unwrap().len()).sum();
    let capacity_bytes = Some(u64::try_from(used + 100).unwrap());
    disk.set_faults(Faults { capacity_bytes, ..Faults::default() });
    let error = snapshot::make::<Tally>(&disk, 20, u64::MAX, &mut ignore).unwrap_err();
    assert!(error.to_string().contains("snapshot.part"), "{error}");
    disk.set_faults(Faults::default());
    assert_eq!(make(&disk, 20), Some(20), "the next attempt begins anew");
    assert_eq!(disk.content(&snapshot::name(20)), whole.content(&snapshot::name(20)));
}

fn segments(disk: &dyn Storage) -> Vec<u64> {
    disk.list().unwrap().iter().filter_map(|it| seq_of_name(it)).collect()
}

#[test]
fn old_segments_go_to_the_archive_and_are_found_there() {
    let (disk, archive) = (small(), FaultyDisk::new(7));
    let expected = replayed(&disk);
    let all = segments(&disk);
    assert!(all.len() > 4, "{all:?}");
    assert!(retire(&disk, &archive, 0).unwrap().is_empty(), "nothing is old enough");
    let retired = retire(&disk, &archive, i64::MAX).unwrap();
    assert!(!retired.is_empty());
    let (left, gone) = (segments(&disk), segments(&archive));
    assert_eq!([gone.clone(), left.clone()].concat(), all);
    // The older snapshot may be needed: record 10 is still in the journal.
    assert!(left[0] <= 10 && left[1] > 10, "{left:?}");

    let shelves = Shelves::new(boxed(&disk), boxed(&archive));
    assert_eq!(replayed(&shelves), expected);
    assert_eq!(snapshot::verify::<Tally>(&shelves, &mut ignore).unwrap().len(), 2);
    let (core, from) = tally(&disk);
    assert_eq!((core.machine(), from), (&expected, 20), "a start does without the archive");
    drop(core);
    let error = recovery::scan(&disk, Some(EXCHANGE), &mut Discard).unwrap_err();
    let JournalError::Damaged(damage) = &error else { panic!("{error}") };
    assert_eq!((damage.flaw, damage.seq), (Flaw::SegmentMissing, 1));

    // Without a snapshot the archive is all that a start has, and enough.
    for seq in [9, 20] {
        disk.remove(&snapshot::name(seq)).unwrap();
    }
    let (core, from) = tally(&shelves);
    assert_eq!((core.machine(), from), (&expected, 0));
}

#[test]
fn a_power_cut_while_segments_are_retired_loses_none() {
    let whole = small();
    let expected = replayed(&whole);
    for operation in 1.. {
        let mut done = 0;
        for breaks in [true, false] {
            let (disk, archive) = (copy(&whole, "", None), FaultyDisk::new(8));
            let broken = if breaks { &disk } else { &archive };
            let at = broken.operations() + operation;
            broken.set_faults(Faults { power_lost_at: Some(at), ..Faults::default() });
            let retired = retire(&disk, &archive, i64::MAX);
            disk.restart();
            archive.restart();
            let shelves = Shelves::new(boxed(&disk), boxed(&archive));
            assert_eq!(replayed(&shelves), expected, "power lost at operation {operation}");
            retire(&disk, &archive, i64::MAX).unwrap();
            assert_eq!(replayed(&shelves), expected, "retired again after operation {operation}");
            done += u32::from(retired.is_ok());
        }
        if done == 2 {
            break;
        }
    }
}

/// Whoever has a snapshot had a journal: a directory that lost its segments does not begin a new one.
#[test]
fn a_directory_with_nothing_but_a_snapshot_is_refused() {
    let whole = small();
    let disk = FaultyDisk::new(9);
    disk.put(&snapshot::name(20), &whole.content(&snapshot::name(20)).unwrap());
    let error = resume::<Tally>(&disk, options(1_024)).err().unwrap();
    let JournalError::Damaged(damage) = &error else { panic!("{error}") };
    assert_eq!((damage.flaw, damage.acknowledged_seq), (Flaw::SegmentMissing, 20), "{error}");
}

/// A standby may take minutes to fetch what the primary forgets meanwhile.
#[test]
fn a_file_that_is_held_stays_readable_when_it_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::existing(directory.path());
    write_all_at(&mut *disk.open("some", true).unwrap(), 0, b"seven bytes and more").unwrap();
    let shelves = Shelves::new(disk.reader(), boxed(&FaultyDisk::new(1)));
    let held = [disk.hold("some").unwrap(), shelves.hold("some").unwrap()];
    disk.remove("some").unwrap();
    for file in held {
        let mut piece = [0; 5];
        file.read_at(6, &mut piece).unwrap();
        assert_eq!(&piece, b"bytes");
        let beyond = file.read_at(18, &mut piece).unwrap_err();
        assert_eq!(beyond.kind(), ErrorKind::UnexpectedEof);
    }
    assert_eq!(disk.hold("some").err().unwrap().kind(), ErrorKind::NotFound);
}
