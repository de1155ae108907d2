//! A store against an oracle of records: what it was given is what it says, written or not, after any end.

use super::disk::{Disk, Piece};
use super::heap::{self, Heap, Place};
use super::{
    Backend, Batch, Content, Doubt, PIECE_BYTES, Reach, Store, WITHIN_BYTES, WRITING, packed, records,
};
use crate::server::read_model::dice::Dice;
use crate::server::read_model::keys::{self, EventKey};
use merit_engine::calendar::Day;
use merit_engine::event::Stream;
use merit_engine::ids::{AuctionId, Market, MemberId};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// sled lets go of its files a moment after it was dropped.
fn patiently<T>(open: impl Fn() -> Result<T, Doubt>) -> Result<T, Doubt> {
    let mut tries = 0;
    loop {
        match open() {
            Err(doubt) if doubt.0.contains("lock") && tries < 1_000 => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}

fn open(directory: &Path) -> (Store, Reach) {
    patiently(|| Store::open(directory)).unwrap()
}

fn disk(store: &Store) -> &Disk {
    match &store.backend {
        Backend::Disk(disk) => disk,
        Backend::Memory(_) | Backend::Lost => panic!("it is not on the disk"),
    }
}

/// Where the rows stand that are in the heap, by place. They are all that is there.
fn places(store: &Store) -> Vec<Place> {
    let held = disk(store).db.iter().map(|it| it.unwrap());
    let held = held.filter(|(key, _)| !key.starts_with(b"!"));
    let mut places: Vec<_> = held.filter_map(|(_, held)| heap::placed(&held)).collect();
    places.sort_by_key(|it| it.offset);
    let mut end = 0;
    for place in &places {
        assert_eq!(place.offset, end, "every byte is some row's");
        end += u64::from(place.length);
    }
    assert_eq!(end, disk(store).heap.end());
    places
}

fn bytes(dice: &mut Dice) -> Vec<u8> {
    let length = match dice.roll(40) {
        0 => 20_000,
        1 => 0,
        _ => dice.roll(200),
    };
    (0..length).map(|_| u8::try_from(dice.roll(256)).unwrap()).collect()
}

fn stream(dice: &mut Dice) -> Stream {
    match dice.roll(7) {
        0 => Stream::Market,
        1 => Stream::Operator,
        member => Stream::Member(MemberId(u32::try_from(member).unwrap())),
    }
}

/// Everything that a store was given, record by record.
#[derive(Default)]
struct Oracle {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    heads: BTreeMap<Stream, u64>,
    seq: u64,
}

impl Oracle {
    /// Some commands' records.
    fn batch(&mut self, dice: &mut Dice) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..dice.roll(60) {
            self.seq += 1;
            let (key, value) = match dice.roll(10) {
                0..5 => {
                    let stream = stream(dice);
                    let head = self.heads.entry(stream).or_default();
                    *head += 1;
                    (keys::event(stream, *head).to_vec(), bytes(dice))
                }
                5..9 => {
                    let id = format!("id-{}", dice.roll(300));
                    (
                        keys::request(MemberId(u32::try_from(dice.roll(3)).unwrap()), &id, self.seq),
                        bytes(dice),
                    )
                }
                _ => {
                    let day = Day(i32::try_from(dice.roll(4)).unwrap());
                    let session = u16::try_from(dice.roll(30)).unwrap();
                    (
                        keys::statement(
                            MemberId(1),
                            AuctionId { day, market: Market::Rtm, session },
                            self.seq,
                        ),
                        bytes(dice),
                    )
                }
            };
            batch.put(&key, &value);
            self.records.insert(key, value);
        }
        batch
    }

    fn reach(&self) -> Reach {
        Reach { seq: self.seq, trail: u128::from(self.seq) * 3 }
    }

    fn content(&self) -> Content {
        let mut content = Content::default();
        self.records.iter().for_each(|(key, value)| content.add(key, value));
        content
    }

    fn compare(&self, store: &Store, dice: &mut Dice) {
        let stream = stream(dice);
        let head = self.heads.get(&stream).copied().unwrap_or(0);
        let (from, limit) = (1 + dice.roll(head + 2), 1 + dice.roll(150));
        let expected: Vec<_> = (from..=head)
            .take(usize::try_from(limit).unwrap())
            .map(|seq| self.records[keys::event(stream, seq).as_slice()].clone())
            .collect();
        let found = store.events(EventKey::new(stream, from), usize::try_from(limit).unwrap()).unwrap();
        assert!(found == expected, "events of {stream:?} from {from} on");
        let one = store.get(&keys::event(stream, from)).unwrap();
        assert_eq!(one.as_ref(), self.records.get(keys::event(stream, from).as_slice()));
        let mut near = store.near();
        for _ in 0..40 {
            let stream = self::stream(dice);
            let seq = 1 + dice.roll(self.heads.get(&stream).copied().unwrap_or(0) + 3);
            let expected = self.records.get(keys::event(stream, seq).as_slice());
            assert_eq!(near.event(EventKey::new(stream, seq)).unwrap().as_ref(), expected);
        }
        for _ in 0..20 {
            let member = MemberId(u32::try_from(dice.roll(3)).unwrap());
            let requests = keys::requests(member, &format!("id-{}", dice.roll(301)));
            let after = self.records.range(requests.clone()..);
            let last = after.take_while(|(key, _)| key.starts_with(&requests)).last();
            assert_eq!(store.last_answer(&requests).unwrap().as_ref(), last.map(|(_, value)| value));
        }
        let day = keys::statements(MemberId(1), Day(i32::try_from(dice.roll(4)).unwrap()));
        let after = self.records.range(day.clone()..);
        let of_day = after.take_while(|(key, _)| key.starts_with(&day));
        let last: BTreeMap<_, _> = of_day.map(|(key, it)| (keys::subject(key), it.clone())).collect();
        let expected: Vec<_> = last.into_values().collect();
        assert!(store.all(&day).unwrap() == expected);
    }
}

#[test]
fn a_store_says_what_it_was_given_before_and_after_it_is_written_and_opened_again() {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let directory = tempfile::tempdir().unwrap();
        let in_memory = seed % 3 == 0;
        let mut store = if in_memory { Store::in_memory() } else { open(directory.path()).0 };
        let mut oracle = Oracle::default();
        for _ in 0..80 {
            let batch = oracle.batch(&mut dice);
            store.commit(&batch, oracle.reach());
            oracle.compare(&store, &mut dice);
            match dice.roll(12) {
                0 => store.write().unwrap(),
                1 => store.flush().unwrap(),
                2 if !in_memory => {
                    store.flush().unwrap();
                    drop(store);
                    let (again, reach) = open(directory.path());
                    assert_eq!(reach, oracle.reach());
                    store = again;
                }
                _ => {}
            }
            oracle.compare(&store, &mut dice);
        }
        store.write().unwrap();
        assert_eq!(store.content().unwrap(), oracle.content());
        if !in_memory {
            places(&store);
        }
        // Another store that takes the rows apart has the same.
        let other = Store::in_memory();
        let mut last = Vec::new();
        loop {
            let rows = store.rows_after(&last, 10_000).unwrap();
            let Some((key, _)) = rows.last() else { break };
            last = key.to_vec();
            let mut batch = Batch::default();
            for (key, value) in &rows {
                records(key, value, &mut |key, value| batch.put(key, value)).unwrap();
            }
            other.commit(&batch, Reach::default());
            if dice.roll(3) == 0 {
                other.write().unwrap();
            }
        }
        other.commit(&Batch::default(), oracle.reach());
        other.write().unwrap();
        assert_eq!(other.content().unwrap(), oracle.content());
    }
}

#[test]
fn what_was_not_written_is_gone_after_a_crash_and_the_reach_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (mut dice, mut oracle) = (Dice(5), Oracle::default());
    let (store, _) = open(directory.path());
    store.commit(&oracle.batch(&mut dice), oracle.reach());
    store.flush().unwrap();
    let (kept, content) = (oracle.reach(), oracle.content());
    store.commit(&oracle.batch(&mut dice), oracle.reach());
    drop(store);
    let (store, reach) = open(directory.path());
    assert_eq!((reach, store.content().unwrap()), (kept, content));
}

#[test]
fn a_damaged_row_of_many_records_is_noticed() {
    let mut dice = Dice(9);
    let mut oracle = Oracle::default();
    let store = Store::in_memory();
    for _ in 0..10 {
        store.commit(&oracle.batch(&mut dice), oracle.reach());
    }
    store.write().unwrap();
    for (key, value) in store.rows_after(&[], usize::MAX).unwrap() {
        if !keys::is_answers_row(&key) && keys::events_row(&key).is_none() {
            continue;
        }
        let mut cut = value.to_vec();
        cut.pop();
        assert!(records(&key, &cut, &mut |_, _| {}).is_err());
        // Whole to whoever unpacks it, but a length goes beyond the row.
        let (head, mut long) = match keys::is_answers_row(&key) {
            true => {
                let (marks, row) = packed::unpack_answers(&value).unwrap();
                assert_eq!(packed::answers_len(&value).unwrap(), row.len());
                // A mark that is not its answer's would hide it.
                let mut other = value.to_vec();
                other[4] ^= 1;
                assert!(records(&key, &other, &mut |_, _| {}).is_err());
                (value[..4 + marks.as_flattened().len()].to_vec(), row)
            }
            false => (Vec::new(), packed::unpack(&value).unwrap()),
        };
        long[3] = 0xff;
        let long = [head, snap::raw::Encoder::new().compress_vec(&long).unwrap()].concat();
        assert!(records(&key, &long, &mut |_, _| {}).is_err());
    }
}

#[test]
fn rows_of_an_attempt_that_did_not_end_are_gone_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let (mut dice, mut oracle) = (Dice(11), Oracle::default());
    let (store, _) = open(directory.path());
    store.commit(&oracle.batch(&mut dice), oracle.reach());
    store.flush().unwrap();
    let (kept, content) = (oracle.reach(), oracle.content());
    drop(store);
    let length = || std::fs::metadata(directory.path().join(heap::NAME)).unwrap().len();
    let before = length();
    // As it stands after some pieces of the next attempt.
    let mut next = packed::Tail::default();
    for (key, value) in oracle.batch(&mut dice).records() {
        next.put(key, value);
    }
    let rows = next.rows();
    let (disk, _) = patiently(|| Disk::open(directory.path())).unwrap();
    disk.announce(&rows).unwrap();
    let mut piece = Piece::new(&disk);
    rows.iter().take(rows.len() / 2).for_each(|row| piece.add(row).unwrap());
    piece.write().unwrap();
    // And the next one's bytes, which sled was not told of any more.
    rows.iter().skip(rows.len() / 2).for_each(|row| piece.add(row).unwrap());
    disk.heap.append(&[7; 300]).unwrap();
    disk.flush().unwrap();
    drop(piece);
    drop(disk);
    assert!(length() > before + 300);
    let (store, reach) = open(directory.path());
    assert_eq!((reach, store.content().unwrap()), (kept, content));
    assert_eq!(length(), before);
    places(&store);
}

/// Its marker has another name, so what it had written before its last attempt looks like nobody's.
#[test]
fn a_store_of_another_release_that_was_being_written_is_not_taken_for_an_empty_one() {
    for marker in ["!meta.2", "!meta.3"] {
        let directory = tempfile::tempdir().unwrap();
        let db = sled::open(directory.path()).unwrap();
        db.insert(marker, vec![0; 24]).unwrap();
        db.insert("a row", "of the release before").unwrap();
        db.insert("a half", "of an attempt").unwrap();
        db.insert(WRITING, packed::keys_row([b"a half".as_slice()].into_iter())).unwrap();
        db.flush().unwrap();
        drop(db);
        let doubt = patiently(|| Store::open(directory.path())).err().unwrap().0;
        assert!(doubt.contains("of another release"), "{doubt}");
    }
}

#[test]
fn what_is_more_than_a_piece_is_written_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (mut dice, mut oracle) = (Dice(3), Oracle::default());
    let (store, _) = open(directory.path());
    for _ in 0..60 {
        store.commit(&oracle.batch(&mut dice), oracle.reach());
    }
    assert!(store.waiting_bytes() > 2 * PIECE_BYTES);
    std::thread::scope(|scope| {
        let slowly = scope.spawn(|| store.write_slowly());
        // Whoever waits is not kept waiting, and readers find everything meanwhile.
        oracle.compare(&store, &mut dice);
        store.flush().unwrap();
        slowly.join().unwrap().unwrap();
    });
    oracle.compare(&store, &mut dice);
    drop(store);
    let (store, reach) = open(directory.path());
    assert_eq!((reach, store.content().unwrap()), (oracle.reach(), oracle.content()));
}

/// Whoever looks for an answer that is not there reads every row of its bucket.
#[test]
fn many_small_writes_leave_few_rows_of_answers() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = open(directory.path());
    let mut oracle = Oracle::default();
    for _ in 0..800 {
        oracle.seq += 1;
        let (key, value) = (keys::request(MemberId(1), "a", oracle.seq), vec![7; 100]);
        oracle.records.insert(key.clone(), value.clone());
        let mut batch = Batch::default();
        batch.put(key, value);
        store.commit(&batch, oracle.reach());
        store.write().unwrap();
    }
    let rows = store.rows_after(&[], usize::MAX).unwrap();
    let answers = rows.iter().filter(|(key, _)| keys::is_answers_row(key)).count();
    assert!((70..=110).contains(&answers), "{answers} rows");
    // And nothing that has been replaced.
    assert_eq!(places(&store).len(), answers - 1);
    assert_eq!(store.content().unwrap(), oracle.content());
    assert_eq!(store.last_answer(&keys::requests(MemberId(1), "a")).unwrap(), Some(vec![7; 100]));
    assert_eq!(store.last_answer(&keys::requests(MemberId(1), "b")).unwrap(), None);
}

/// A row of answers goes into another, and is taken away, while somebody looks for what was in it.
#[test]
fn an_answer_is_found_at_every_moment_while_its_row_goes_into_another() {
    const ANSWERS: u64 = 300;
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = open(directory.path());
    let put = |id: u64, seq: u64| {
        let mut batch = Batch::default();
        batch.put(keys::request(MemberId(1), &format!("id-{id}"), seq), b"answer");
        store.commit(&batch, Reach { seq, trail: 0 });
    };
    (0..ANSWERS).for_each(|id| put(id, id + 1));
    store.write().unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut looks = 0;
            while !ended.load(Ordering::Acquire) || looks < ANSWERS {
                let id = looks % ANSWERS;
                let requests = keys::requests(MemberId(1), &format!("id-{id}"));
                assert!(store.last_answer(&requests).unwrap().is_some(), "id-{id} after {looks} looks");
                looks += 1;
            }
            looks
        });
        // Others in the same buckets, so that their rows are merged again and again.
        for seq in ANSWERS + 1..ANSWERS + 2_000 {
            put(seq, seq);
            if seq % 20 == 0 {
                store.write().unwrap();
            }
        }
        ended.store(true, Ordering::Release);
        assert!(looks.join().unwrap() >= ANSWERS);
    });
}

/// A store with long and short rows of all kinds on the disk, and what it was given.
fn written(directory: &Path, seed: u64) -> (Store, Oracle) {
    let (mut dice, mut oracle) = (Dice(seed), Oracle::default());
    let (store, _) = open(directory);
    for _ in 0..30 {
        store.commit(&oracle.batch(&mut dice), oracle.reach());
    }
    store.flush().unwrap();
    (store, oracle)
}

#[test]
fn sled_holds_no_bulky_row_and_all_of_them_come_back_after_a_reopen() {
    let directory = tempfile::tempdir().unwrap();
    let (store, oracle) = written(directory.path(), 21);
    let held = disk(&store).db.iter().map(|it| it.unwrap());
    let long = held.filter(|(key, held)| !keys::is_answers_row(key) && held.len() > WITHIN_BYTES + 1);
    assert_eq!(long.count(), 0);
    let before = places(&store);
    assert!(before.len() > 10, "{before:?}");
    drop(store);
    let (store, reach) = open(directory.path());
    assert_eq!((reach, store.content().unwrap()), (oracle.reach(), oracle.content()));
    assert_eq!(places(&store), before);
    oracle.compare(&store, &mut Dice(22));
}

#[test]
fn a_heap_that_was_cut_short_anywhere_in_its_last_row_is_a_doubt() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = written(directory.path(), 23);
    let last = *places(&store).last().unwrap();
    drop(store);
    let path = directory.path().join(heap::NAME);
    let whole = std::fs::read(&path).unwrap();
    let end = last.offset + u64::from(last.length);
    for length in last.offset..end {
        std::fs::write(&path, &whole[..usize::try_from(length).unwrap()]).unwrap();
        assert!(Heap::open(directory.path(), end).is_err(), "{length} of {end} bytes");
    }
    let doubt = patiently(|| Store::open(directory.path())).err().unwrap().0;
    assert!(doubt.contains("bytes, and"), "{doubt}");
    // Without any of it there is no row to believe in, either.
    std::fs::remove_file(&path).unwrap();
    assert!(patiently(|| Store::open(directory.path())).is_err());
    std::fs::write(&path, &whole).unwrap();
    let (store, _) = open(directory.path());
    store.content().unwrap();
}

/// After a power cut there may be zeros where something was to be written.
#[test]
fn a_row_with_another_byte_anywhere_is_a_doubt_to_every_reader_and_the_store_has_failed() {
    for place in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = written(directory.path(), 25);
        let rows = store.rows_after(&[], usize::MAX).unwrap();
        let of = |wanted: &dyn Fn(&[u8]) -> bool| {
            let mut held = disk(&store).db.iter().map(|it| it.unwrap());
            held.find_map(|(key, held)| heap::placed(&held).filter(|_| wanted(&key)).map(|it| (key, it)))
        };
        let (key, placed) = match place {
            0 => of(&|key| keys::events_row(key).is_some()),
            1 => of(&keys::is_answers_row),
            _ => of(&|key| keys::events_row(key).is_none() && !keys::is_answers_row(key)),
        }
        .unwrap();
        let read = || match place {
            0 => store.events(keys::events_row(&key).unwrap(), 1).map(drop),
            1 => {
                let (_, value) = rows.iter().find(|(it, _)| *it == key).unwrap();
                let mut first = None;
                records(&key, value, &mut |key, _| first = first.take().or(Some(key.to_vec()))).unwrap();
                let first = first.unwrap();
                store.last_answer(first.split_last_chunk::<8>().unwrap().0).map(drop)
            }
            _ => store.get(&key).map(drop).and(store.all(&key).map(drop)),
        };
        read().unwrap();
        assert!(!store.has_failed());
        let path = directory.path().join(heap::NAME);
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut whole = vec![0; usize::try_from(placed.length).unwrap()];
        file.read_exact_at(&mut whole, placed.offset).unwrap();
        for at in 0..whole.len().min(400) {
            let mut harmed = whole.clone();
            harmed[at] ^= 0x10;
            file.write_all_at(&harmed, placed.offset).unwrap();
            assert!(read().is_err(), "byte {at} of {placed:?}");
            assert!(store.has_failed());
        }
        file.write_all_at(&vec![0; whole.len()], placed.offset).unwrap();
        assert!(read().is_err() && store.content().is_err() && store.rows_after(&[], usize::MAX).is_err());
        let seq = store.tails().reach.seq;
        store.commit(&Batch::default(), Reach { seq: seq + 1, trail: 0 });
        assert!(store.write().is_err(), "nothing more is written");
    }
}

/// What sled refers to may be more than the heap has although it is as long as it says: the sum tells.
#[test]
fn a_place_beyond_the_heap_is_a_doubt() {
    let directory = tempfile::tempdir().unwrap();
    let heap = Heap::open(directory.path(), 0).unwrap();
    heap.append(b"some bytes").unwrap();
    let read = |place: Place| heap.value(&sled::IVec::from(place.held().as_slice()));
    let place = Place::of(b"bytes", 5);
    assert_eq!(read(place).unwrap(), b"bytes");
    for wrong in [
        Place { offset: 6, ..place },
        Place { offset: u64::MAX, ..place },
        Place { length: 6, ..place },
        Place { length: 4, ..place },
        Place { length: u32::MAX, ..place },
        Place { crc: place.crc ^ 1, ..place },
    ] {
        assert!(read(wrong).is_err(), "{wrong:?}");
    }
    for held in [[].as_slice(), &[2], &[1], &place.held()[1..]] {
        assert!(heap.value(&sled::IVec::from(held)).is_err());
    }
}

#[test]
fn a_disk_that_is_full_is_a_doubt_and_readers_go_on() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", directory.path().join(heap::NAME)).unwrap();
    let (mut dice, mut oracle) = (Dice(27), Oracle::default());
    let (store, _) = open(directory.path());
    for _ in 0..10 {
        store.commit(&oracle.batch(&mut dice), oracle.reach());
    }
    for _ in 0..2 {
        assert!(store.flush().is_err() && store.has_failed());
    }
    assert!(disk(&store).db.get(super::META).unwrap().is_none());
    oracle.compare(&store, &mut dice);
}

#[test]
fn another_node_is_given_the_rows_themselves_and_keeps_them_in_the_same_way() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, oracle) = written(here.path(), 29);
    let (other, _) = open(there.path());
    let mut batch = Batch::default();
    for (key, value) in store.rows_after(&[], usize::MAX).unwrap() {
        records(&key, &value, &mut |key, value| batch.put(key, value)).unwrap();
    }
    other.commit(&batch, oracle.reach());
    other.flush().unwrap();
    assert_eq!(other.content().unwrap(), oracle.content());
    assert!(!places(&other).is_empty());
    let rows = |store: &Store| store.rows_after(&[], usize::MAX).unwrap();
    assert!(rows(&other) == rows(&store), "what was written at once is the same on both");
}

/// Whoever starts next in the same process would find a store that cannot be opened, and build it again.
#[test]
fn a_store_that_somebody_lets_go_of_a_moment_later_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = open(directory.path());
    let reach = Reach { seq: 7, trail: 9 };
    store.commit(&Batch::default(), reach);
    store.flush().unwrap();
    let (opened, found) = std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(100));
            drop(store);
        });
        Store::open(directory.path()).unwrap()
    });
    assert_eq!(found, reach);
    drop(opened);
}
