//! A store against an oracle of records: what it was given is what it says, written or not, after any end.

use super::{Batch, Content, PIECE_BYTES, Reach, Store, WRITING, packed, records};
use crate::server::read_model::dice::Dice;
use crate::server::read_model::keys::{self, EventKey};
use merit_engine::calendar::Day;
use merit_engine::event::Stream;
use merit_engine::ids::{AuctionId, Market, MemberId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// sled lets go of its files a moment after it was dropped.
fn open(directory: &std::path::Path) -> (Store, Reach) {
    let mut tries = 0;
    loop {
        match Store::open(directory) {
            Err(doubt) if doubt.0.contains("lock") && tries < 1_000 => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            opened => return opened.unwrap(),
        }
    }
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
    // As it stands after some pieces of the next attempt.
    let mut next = packed::Tail::default();
    for (key, value) in oracle.batch(&mut dice).records() {
        next.put(key, value);
    }
    let rows = next.rows();
    let mut tries = 0;
    let db = loop {
        match sled::open(directory.path()) {
            Ok(db) => break db,
            Err(_) if tries < 1_000 => tries += 1,
            Err(error) => panic!("{error}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    db.insert(WRITING, packed::keys_row(rows.iter().map(|row| row.key.as_slice()))).unwrap();
    for row in rows.iter().take(rows.len() / 2) {
        db.insert(row.key.as_slice(), row.value(&mut packed::Packer::default(), None)).unwrap();
    }
    db.flush().unwrap();
    drop(db);
    let (store, reach) = open(directory.path());
    assert_eq!((reach, store.content().unwrap()), (kept, content));
}

/// Its marker has another name, so what it had written before its last attempt looks like nobody's.
#[test]
fn a_store_of_another_release_that_was_being_written_is_not_taken_for_an_empty_one() {
    let directory = tempfile::tempdir().unwrap();
    let db = sled::open(directory.path()).unwrap();
    db.insert("!meta.2", vec![0; 24]).unwrap();
    db.insert("a row", "of the release before").unwrap();
    db.insert("a half", "of an attempt").unwrap();
    db.insert(WRITING, packed::keys_row([b"a half".as_slice()].into_iter())).unwrap();
    db.flush().unwrap();
    drop(db);
    let doubt = loop {
        match Store::open(directory.path()) {
            Err(doubt) if doubt.0.contains("lock") => {
                std::thread::sleep(std::time::Duration::from_millis(10))
            }
            opened => break opened.err().unwrap().0,
        }
    };
    assert!(doubt.contains("of another release"), "{doubt}");
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
    assert!((10..=20).contains(&answers), "{answers} rows");
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
