//! A damaged journal is mended from a copy whose segments and batches lie elsewhere, or not at all.

use crate::common::{boxed, options};
use crate::cuts::{Collect, Journal, append, journal, payload};
use merit_replay::acknowledged::MARK_NAME;
use merit_replay::error::JournalError;
use merit_replay::recovery::{self, Discard};
use merit_replay::repair::{Unrepaired, repair};
use merit_replay::storage::Storage;
use merit_replay::storage::faulty::{Faults, FaultyDisk};
use merit_replay::writer::Writer;

/// Another node's journal of the same records, up to one of them: longer segments, other batches.
fn copy(seq_last: u64) -> FaultyDisk {
    let disk = FaultyDisk::new(5);
    let (mut writer, _) = Writer::open(boxed(&disk), options(1_280), &mut Discard).unwrap();
    let mut records = 3;
    let mut left = seq_last;
    while left > 0 {
        append(&mut writer, left.min(records));
        left -= left.min(records);
        records = 5 - records;
    }
    writer.close().unwrap();
    disk
}

/// Damages a journal in one way and looks at what is left of it.
fn is_refused(disk: &FaultyDisk) -> bool {
    match recovery::scan(disk, None, &mut Discard) {
        Ok(_) => false,
        Err(JournalError::Damaged(_)) => true,
        Err(error) => panic!("{error}"),
    }
}

/// The mended journal holds every record once, and can be gone on with.
#[track_caller]
fn check_whole(disk: &FaultyDisk, seq_last: u64, what: &str) {
    let mut seen = Collect::default();
    let (mut writer, found) = Writer::open(boxed(disk), options(1_024), &mut seen).unwrap();
    let expected: Vec<_> = (1..=seq_last).map(|seq| (seq, payload(seq))).collect();
    assert_eq!(seen.0, expected, "{what}");
    assert_eq!(found.unwrap().tail, None, "{what}");
    append(&mut writer, 2);
    writer.close().unwrap();
    assert!(!is_refused(disk), "{what}");
}

/// Every way in which the journal's segments are damaged here.
fn damages(journal: &Journal) -> Vec<(String, FaultyDisk)> {
    let mut damaged = Vec::new();
    for (name, _) in &journal.segments {
        let whole = journal.disk.content(name).unwrap();
        damaged.push((format!("{name} gone"), journal.with(name, None, true)));
        let longer = [&whole[..], &[1]].concat();
        damaged.push((format!("{name} longer"), journal.with(name, Some(&longer), true)));
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x81;
            damaged.push((format!("{name} byte {at}"), journal.with(name, Some(&flipped), true)));
            damaged.push((format!("{name} cut at {at}"), journal.with(name, Some(&whole[..at]), true)));
        }
    }
    damaged
}

#[test]
fn whatever_is_damaged_is_mended_from_a_copy_and_what_was_there_is_kept() {
    let (journal, peer) = (journal(), copy(11));
    let mut mended = 0;
    for (what, disk) in damages(&journal) {
        if !is_refused(&disk) {
            assert!(matches!(repair(&disk, &peer), Err(Unrepaired::Whole(_))), "{what}");
            continue;
        }
        let before: Vec<Vec<u8>> = disk.list().unwrap().iter().map(|it| disk.content(it).unwrap()).collect();
        let repaired = repair(&disk, &peer).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(repaired.seq_last, 11, "{what}");
        let kept: Vec<Vec<u8>> = disk.list().unwrap().iter().map(|it| disk.content(it).unwrap()).collect();
        assert!(before.iter().all(|it| kept.contains(it)), "{what}: something is gone");
        check_whole(&disk, 11, &what);
        mended += 1;
    }
    assert!(mended > 2_000, "{mended}");
}

#[test]
fn a_copy_that_ends_before_what_was_acknowledged_mends_nothing() {
    let journal = journal();
    let (name, _) = &journal.segments[1];
    let damaged = || journal.with(name, None, true);
    for seq_last in 1..11 {
        let disk = damaged();
        let refused = repair(&disk, &copy(seq_last)).unwrap_err();
        let words = refused.to_string();
        assert!(matches!(refused, Unrepaired::Behind { acknowledged_seq: 11, .. }), "{words}");
        assert!(words.contains("take a newer one"), "{words}");
        assert!(is_refused(&disk));
    }
    repair(&damaged(), &copy(14)).unwrap();
}

/// The simulation found it: with its very first bytes damaged, a journal says nothing of what was acknowledged, and a
/// copy without any record passed.
#[test]
fn an_empty_copy_mends_nothing_where_the_mark_says_that_something_was_acknowledged() {
    let journal = journal();
    let (first, _) = &journal.segments[0];
    for at in 0..64 {
        let mut flipped = journal.disk.content(first).unwrap();
        flipped[at] ^= 1;
        let disk = journal.with(first, Some(&flipped), true);
        if !is_refused(&disk) {
            continue;
        }
        let refused = repair(&disk, &copy(0)).unwrap_err();
        let words = refused.to_string();
        assert!(matches!(refused, Unrepaired::Behind { acknowledged_seq: 11, .. }), "byte {at}: {words}");
        assert!(is_refused(&disk), "byte {at}: nothing was changed");
    }
}

#[test]
fn a_copy_of_another_history_mends_nothing() {
    let journal = journal();
    let peer = FaultyDisk::new(6);
    let (mut writer, _) = Writer::open(boxed(&peer), options(1_024), &mut Discard).unwrap();
    writer.reserve(1_024 - 600).unwrap();
    let stamp = merit_replay::frame::Stamp { seq: 1, epoch: 1, time_us: 7 };
    writer.append(stamp, 1, b"another beginning");
    writer.commit().unwrap();
    append(&mut writer, 5);
    append(&mut writer, 5);
    writer.close().unwrap();
    for index in 1..3 {
        let disk = journal.with(&journal.segments[index].0, None, true);
        let refused = repair(&disk, &peer).unwrap_err();
        assert!(matches!(refused, Unrepaired::OtherHistory { .. }), "{refused}");
        assert!(is_refused(&disk));
    }
}

/// The simulation found it: the other node holds more records, but from the damage on they are those of a primary
/// that was given up.
#[test]
fn a_longer_copy_with_other_records_under_acknowledged_numbers_mends_nothing() {
    let journal = journal();
    let (last, batches) = journal.segments.last().unwrap();
    let common = batches[0].seqs.start - 1;
    let peer = copy(common);
    let (mut writer, _) = Writer::open(boxed(&peer), options(1_280), &mut Discard).unwrap();
    for seq in common + 1..30 {
        writer.reserve(200).unwrap();
        let time_us = i64::try_from(seq * 1_000).unwrap();
        writer.append(merit_replay::frame::Stamp { seq, epoch: 1, time_us }, 1, b"given up");
        writer.commit().unwrap();
    }
    writer.close().unwrap();
    let mut damaged = journal.disk.content(last).unwrap();
    damaged[batches[0].bytes.start + 40] ^= 1;
    let disk = journal.with(last, Some(&damaged), true);
    let refused = repair(&disk, &peer).unwrap_err();
    assert!(matches!(refused, Unrepaired::OtherHistory { .. }), "{refused}");
    assert!(is_refused(&disk));
    repair(&disk, &copy(14)).unwrap();
}

#[test]
fn a_power_cut_in_a_repair_leaves_a_journal_that_is_refused_or_mended() {
    let (journal, mut refused, mut whole) = (journal(), 0, 0);
    for seq_last in [11, 14, 30] {
        let peer = copy(seq_last);
        for index in 0..3 {
            let name = &journal.segments[index].0;
            let damaged = || {
                let mut bytes = journal.disk.content(name).unwrap();
                bytes[520] ^= 0xff;
                journal.with(name, Some(&bytes), true)
            };
            let tried = damaged();
            repair(&tried, &peer).unwrap();
            for at in 1..=tried.operations() {
                let disk = damaged();
                disk.set_faults(Faults { power_lost_at: Some(at), ..Faults::default() });
                assert!(repair(&disk, &peer).is_err());
                disk.restart();
                let what = format!("{name}, power cut at {at}, copy up to {seq_last}");
                if is_refused(&disk) {
                    repair(&disk, &peer).unwrap_or_else(|error| panic!("{what}: {error}"));
                    refused += 1;
                } else {
                    whole += 1;
                }
                let found = recovery::scan(&disk, None, &mut Discard).unwrap();
                assert!(found.head.stamp.seq >= 11, "{what}");
                check_whole(&disk, found.head.stamp.seq, &what);
            }
        }
    }
    assert!(refused > 100 && whole > 0, "{refused} {whole}");
}

#[test]
fn promises_and_marks_stay_this_nodes_own() {
    let journal = journal();
    let disk = journal.with(&journal.segments[0].0, None, true);
    disk.put("promised.epoch", &[7; 8]);
    let mark = disk.content(MARK_NAME).unwrap();
    repair(&disk, &copy(20)).unwrap();
    assert_eq!(disk.content("promised.epoch").unwrap(), vec![7; 8]);
    assert_eq!(disk.content(MARK_NAME).unwrap(), mark);
}
