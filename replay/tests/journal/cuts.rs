//! Every cut and every flipped byte: a journal recovers or refuses exactly as FORMAT.md says.
//!
//! The expectation is worked out here from where batches lie, without the code under test.

use crate::common::{EXCHANGE, boxed, options};
use merit_replay::acknowledged::MARK_NAME;
use merit_replay::error::{Flaw, JournalError};
use merit_replay::frame::{Record, Stamp, record_bytes};
use merit_replay::recovery::{self, Discard, Found, Visitor};
use merit_replay::segment::{HEADER_BYTES, SegmentHeader, segment_name, walk};
use merit_replay::storage::Storage;
use merit_replay::storage::faulty::FaultyDisk;
use merit_replay::writer::Writer;
use std::ops::Range;

/// A batch in a segment: its bytes and its records.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) bytes: Range<usize>,
    pub(crate) seqs: Range<u64>,
}

/// A whole journal, and where its batches lie.
pub(crate) struct Journal {
    pub(crate) disk: FaultyDisk,
    pub(crate) segments: Vec<(String, Vec<Batch>)>,
}

/// What recovery ought to do.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Whole,
    /// Believed up to this record; so many bytes kept in quarantine.
    Cut(u64),
    Refused,
}

/// Numbers that were handed on.
#[derive(Default)]
pub(crate) struct Collect(pub(crate) Vec<(u64, Vec<u8>)>);

impl Visitor for Collect {
    fn record(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        self.0.push((record.stamp.seq, record.payload.to_vec()));
        Ok(())
    }
}

pub(crate) fn payload(seq: u64) -> Vec<u8> {
    let length = usize::try_from(seq * 7 % 40).unwrap();
    (0..length).map(|it| u8::try_from(it).unwrap() ^ u8::try_from(seq % 251).unwrap()).collect()
}

pub(crate) fn append(writer: &mut Writer, records: u64) {
    let last = writer.durable().stamp;
    let seqs = last.seq + 1..last.seq + 1 + records;
    let bytes: usize = seqs.clone().map(|seq| record_bytes(payload(seq).len())).sum();
    writer.reserve(u64::try_from(bytes).unwrap()).unwrap();
    for seq in seqs {
        let time_us = i64::try_from(seq * 1_000).unwrap();
        writer.append(Stamp { seq, epoch: 1, time_us }, 1, &payload(seq));
    }
    let head = writer.commit().unwrap();
    writer.acknowledge(head.stamp.seq).unwrap();
}

/// Three segments of 1,024 bytes, several batches in the last, all of it acknowledged.
pub(crate) fn journal() -> Journal {
    let disk = FaultyDisk::new(3);
    let (mut writer, found) = Writer::open(boxed(&disk), options(1_024), &mut Discard).unwrap();
    assert!(found.is_none());
    for records in [2, 1, 3, 1, 2, 1, 1] {
        append(&mut writer, records);
    }
    writer.close().unwrap();
    let names = disk.list().unwrap();
    let segments: Vec<_> = names.iter().filter(|it| it.starts_with("segment-")).collect();
    let layout = |name: &String| {
        let bytes = disk.content(name).unwrap();
        let header = SegmentHeader::decode(&bytes).unwrap();
        let mut batches: Vec<Batch> = Vec::new();
        walk(&header, &bytes, |records, _| {
            let start = usize::try_from(records[0].offset).unwrap();
            let last = records.last().unwrap();
            let end = usize::try_from(last.offset).unwrap() + record_bytes(last.payload.len()) + 56;
            batches.push(Batch { bytes: start..end, seqs: records[0].stamp.seq..last.stamp.seq + 1 });
            Ok::<(), JournalError>(())
        })
        .unwrap();
        (name.clone(), batches)
    };
    let segments: Vec<_> = segments.into_iter().map(layout).collect();
    assert_eq!(segments.len(), 3);
    assert!(segments[2].1.len() >= 2);
    Journal { disk, segments }
}

impl Journal {
    /// A disk with the same files, but for one.
    pub(crate) fn with(&self, changed: &str, content: Option<&[u8]>, keep_mark: bool) -> FaultyDisk {
        let disk = FaultyDisk::new(4);
        for name in self.disk.list().unwrap() {
            let known = name.starts_with("segment-") || (keep_mark && name == MARK_NAME);
            if known && name != changed {
                disk.put(&name, &self.disk.content(&name).unwrap());
            }
        }
        if let Some(content) = content {
            disk.put(changed, content);
        }
        disk
    }

    fn seq_last(&self) -> u64 {
        self.segments[2].1.last().unwrap().seqs.end - 1
    }

    /// FORMAT.md, "What recovery believes", for damage that begins at a byte of a segment.
    fn verdict(&self, segment: usize, at: usize, keep_mark: bool, cut_off: bool) -> Verdict {
        let (_, batches) = &self.segments[segment];
        if segment < 2 || at < HEADER_BYTES {
            return Verdict::Refused;
        }
        let Some(hit) = batches.iter().position(|it| it.bytes.contains(&at)) else {
            return Verdict::Whole;
        };
        // A batch that lies after the damage, and is still there, vouches for the one before it.
        let vouched = !cut_off && hit + 1 < batches.len();
        if keep_mark || vouched { Verdict::Refused } else { Verdict::Cut(batches[hit].seqs.start - 1) }
    }
}

/// Recovers and compares with the verdict; then goes on writing, to see that the mended journal is a
/// journal.
#[track_caller]
fn check(disk: &FaultyDisk, verdict: &Verdict, seq_whole: u64, what: &str) {
    let mut seen = Collect::default();
    let opened = Writer::open(boxed(disk), options(1_024), &mut seen);
    let believed = match (opened, verdict) {
        (Err(JournalError::Damaged(damage)), Verdict::Refused) => {
            let vouched = disk.content(MARK_NAME).is_some();
            assert!(!vouched || damage.acknowledged_seq >= damage.seq, "{what}: {damage}");
            return;
        }
        (Ok((mut writer, Some(found))), Verdict::Whole | Verdict::Cut(_)) => {
            append(&mut writer, 2);
            writer.close().unwrap();
            found
        }
        (other, _) => panic!("{what}: expected {verdict:?}, got {:?}", other.map(|(_, found)| found)),
    };
    let seq = if let Verdict::Cut(seq) = verdict { *seq } else { seq_whole };
    assert_eq!(believed.head.stamp.seq, seq, "{what}");
    let expected: Vec<_> = (1..=seq).map(|seq| (seq, payload(seq))).collect();
    assert_eq!(seen.0, expected, "{what}");

    let mut again = Collect::default();
    let found = recovery::scan(disk, Some(EXCHANGE), &mut again).unwrap();
    let expected: Vec<_> = (1..=seq + 2).map(|seq| (seq, payload(seq))).collect();
    assert_eq!((again.0, found.tail), (expected, None), "{what}");
}

/// What was cut is in quarantine, byte for byte.
fn check_quarantine(disk: &FaultyDisk, damaged: &[u8], found: &Found) {
    let tail = found.tail.as_ref().unwrap();
    let from = usize::try_from(tail.offset).unwrap();
    let bytes = &damaged[from..from + usize::try_from(tail.bytes).unwrap()];
    assert_eq!(disk.content(tail.quarantine.as_ref().unwrap()).unwrap(), bytes);
    assert!(damaged[from + bytes.len()..].iter().all(|it| *it == 0));
}

#[test]
fn a_journal_with_any_byte_flipped_recovers_or_refuses_as_the_format_says() {
    let journal = journal();
    let mut cut = 0;
    for keep_mark in [true, false] {
        for (index, (name, _)) in journal.segments.iter().enumerate() {
            let whole = journal.disk.content(name).unwrap();
            for at in 0..whole.len() {
                for mask in [0x01, 0x80, 0xff] {
                    let mut damaged = whole.clone();
                    damaged[at] ^= mask;
                    let disk = journal.with(name, Some(&damaged), keep_mark);
                    let verdict = journal.verdict(index, at, keep_mark, false);
                    let what = format!("{name} byte {at} ^ {mask:#x}, mark {keep_mark}");
                    if let Verdict::Cut(_) = verdict {
                        let (writer, found) =
                            Writer::open(boxed(&disk), options(1_024), &mut Discard).unwrap();
                        writer.close().unwrap();
                        check_quarantine(&disk, &damaged, &found.unwrap());
                        disk.put(name, &damaged);
                        cut += 1;
                    }
                    check(&disk, &verdict, journal.seq_last(), &what);
                }
            }
        }
    }
    assert!(cut > 100, "the last batch was cut at each of its bytes");
}

#[test]
fn a_journal_cut_at_any_byte_recovers_or_refuses_as_the_format_says() {
    let journal = journal();
    for keep_mark in [true, false] {
        for (index, (name, batches)) in journal.segments.iter().enumerate() {
            let whole = journal.disk.content(name).unwrap();
            for at in 0..whole.len() {
                let disk = journal.with(name, Some(&whole[..at]), keep_mark);
                let verdict = journal.verdict(index, at, keep_mark, true);
                check(&disk, &verdict, journal.seq_last(), &format!("{name} cut at {at}, mark {keep_mark}"));
            }
            assert!(batches.last().unwrap().bytes.end < whole.len());
        }
    }
}

#[test]
fn a_damaged_mark_takes_nothing_away_from_a_whole_journal() {
    let journal = journal();
    let mark = journal.disk.content(MARK_NAME).unwrap();
    for at in 0..mark.len() {
        let mut damaged = mark.clone();
        damaged[at] ^= 0xff;
        let disk = journal.with(MARK_NAME, Some(&damaged), false);
        check(&disk, &Verdict::Whole, journal.seq_last(), &format!("mark byte {at}"));
        let disk = journal.with(MARK_NAME, Some(&mark[..at]), false);
        check(&disk, &Verdict::Whole, journal.seq_last(), &format!("mark cut at {at}"));
    }
}

#[track_caller]
fn check_refused(disk: &FaultyDisk, flaw: Flaw, seq: u64) {
    let error = recovery::scan(disk, Some(EXCHANGE), &mut Discard).unwrap_err();
    let JournalError::Damaged(damage) = error else { panic!("{error}") };
    assert_eq!((damage.flaw, damage.seq), (flaw, seq));
}

#[test]
fn a_missing_repeated_or_foreign_segment_is_refused() {
    let journal = journal();
    let names: Vec<_> = journal.segments.iter().map(|(name, _)| name.clone()).collect();
    let first = |index: usize| journal.segments[index].1[0].seqs.start;
    check_refused(&journal.with(&names[0], None, true), Flaw::SegmentMissing, 1);
    check_refused(&journal.with(&names[1], None, true), Flaw::SegmentMissing, first(1));
    check_refused(&journal.with(&names[2], None, true), Flaw::Missing, first(2));

    // A copy under a name that sorts after the original.
    let copy = journal.disk.content(&names[1]).unwrap();
    for name in [format!("{} (copy)", names[1]), segment_name(first(2) - 1)] {
        check_refused(&journal.with(&name, Some(&copy), true), Flaw::HeaderFields, first(2));
    }
}

#[test]
fn a_segment_of_another_history_or_exchange_or_version_is_refused_by_name() {
    let journal = journal();
    let (name, batches) = &journal.segments[1];
    let whole = journal.disk.content(name).unwrap();
    let header = SegmentHeader::decode(&whole).unwrap();
    let with_header = |header: &SegmentHeader| {
        let mut content = whole.clone();
        content[..HEADER_BYTES].copy_from_slice(&header.encode());
        journal.with(name, Some(&content), true)
    };

    let mut other = header.clone();
    other.predecessor.chain ^= 1;
    check_refused(&with_header(&other), Flaw::SegmentPredecessor, batches[0].seqs.start);

    let mut other = header.clone();
    other.exchange_id += 1;
    let error = recovery::scan(&with_header(&other), Some(EXCHANGE), &mut Discard).unwrap_err();
    assert!(matches!(&error, JournalError::OtherExchange { segment, .. } if segment == name), "{error}");

    for (version, remedy) in
        [(2, "run the newer release that wrote it"), (0, "run the release that wrote it")]
    {
        let mut other = header.clone();
        other.version = version;
        let error = recovery::scan(&with_header(&other), Some(EXCHANGE), &mut Discard).unwrap_err();
        assert!(matches!(&error, JournalError::Format { found, .. } if *found == version), "{error}");
        assert!(error.remedy().starts_with(remedy), "{}", error.remedy());
    }
}

#[test]
fn records_of_an_older_life_of_the_disk_are_not_mistaken_for_the_end_of_this_one() {
    // The spare of a file system can bring back old blocks. Here: the last batch of the journal once
    // more, right after itself, and the first segment's batches in the place of the last one's.
    let journal = journal();
    let (name, batches) = &journal.segments[2];
    let whole = journal.disk.content(name).unwrap();
    let last = batches.last().unwrap().bytes.clone();
    let mut stale = whole.clone();
    let length = last.len().min(whole.len() - last.end);
    stale.copy_within(last.start..last.start + length, last.end);
    let disk = journal.with(name, Some(&stale), true);
    check(&disk, &Verdict::Whole, journal.seq_last(), "a batch repeated");

    let mut stale = journal.disk.content(&journal.segments[0].0).unwrap();
    stale[..HEADER_BYTES].copy_from_slice(&whole[..HEADER_BYTES]);
    let disk = journal.with(name, Some(&stale), false);
    check(&disk, &Verdict::Cut(batches[0].seqs.start - 1), journal.seq_last(), "an old segment");
}
