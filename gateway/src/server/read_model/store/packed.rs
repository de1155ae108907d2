//! Rows that hold many records, and records on their way to a row.
//!
//! An insertion into the store's tree costs ten to twenty microseconds, however small the record, and an order makes
//! two: what it says to its member, and its answer under its id. So records gather in memory ([`Tail`]) and go to
//! the disk by the run: consecutive events of a stream in one row, answers whose ids share a bucket in another, and
//! both compressed, for they are three quarters repetition. Everything else is a row of its own, as it is.
//!
//! A row of answers begins with a mark of each, four bytes of a hash of its member and id, which are not compressed:
//! whoever looks for an answer unpacks only rows that seem to have it.

use super::super::keys::{self, EventKey};
use super::Doubt;
use std::collections::BTreeMap;

/// Events in one row.
const RUN_EVENTS_MAX: usize = 128;
/// Bytes of a run that takes no more.
const RUN_BYTES_MAX: usize = 32 << 10;
/// About what a record in memory costs beside its bytes, in a run or a bucket, and alone.
const RECORD_BYTES: usize = 16;
const LONE_RECORD_BYTES: usize = 96;

/// Appends an item to a row: its length, 4 bytes in little endian, and its bytes.
fn push(row: &mut Vec<u8>, item: &[u8]) {
    let length = u32::try_from(item.len()).expect("a record fits into a message");
    row.reserve(4 + item.len());
    row.extend_from_slice(&length.to_le_bytes());
    row.extend_from_slice(item);
}

/// A row of keys.
pub(super) fn keys_row<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    keys.fold(Vec::new(), |mut row, key| {
        push(&mut row, key);
        row
    })
}

/// The keys in such a row.
pub(super) fn keys_of(row: &[u8]) -> impl Iterator<Item = Result<&[u8], Doubt>> {
    Items(row)
}

/// The items of a row; an error if it is damaged.
struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Result<&'a [u8], Doubt>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let item = self.0.split_first_chunk().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            (length <= rest.len()).then(|| rest.split_at(length))
        });
        let Some((item, rest)) = item else {
            self.0 = &[];
            return Some(Err(Doubt("a row of many records is damaged".into())));
        };
        self.0 = rest;
        Some(Ok(item))
    }
}

/// The bytes of a row of many records.
pub(super) fn unpack(row: &[u8]) -> Result<Vec<u8>, Doubt> {
    let unpacked = snap::raw::Decoder::new().decompress_vec(row);
    unpacked.map_err(|error| Doubt(format!("a row of many records is damaged: {error}")))
}

/// The events of a row from its `skip`th on.
pub(super) fn events(row: &[u8], skip: usize) -> impl Iterator<Item = Result<&[u8], Doubt>> {
    Items(row).skip(skip)
}

/// The bytes of a row of answers: their marks, one after the other, and the answers.
pub(super) fn unpack_answers(row: &[u8]) -> Result<(&[[u8; 4]], Vec<u8>), Doubt> {
    let (marks, packed) = marks(row)?;
    Ok((marks, unpack(packed)?))
}

/// Bytes of a row's answers when they are unpacked.
pub(super) fn answers_len(row: &[u8]) -> Result<usize, Doubt> {
    let (_, packed) = marks(row)?;
    snap::raw::decompress_len(packed).map_err(|error| Doubt(format!("a row of answers is damaged: {error}")))
}

fn marks(row: &[u8]) -> Result<(&[[u8; 4]], &[u8]), Doubt> {
    let parts = row.split_first_chunk().and_then(|(count, rest)| {
        let bytes = usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(4)?;
        rest.split_at_checked(bytes)
    });
    let (marks, packed) = parts.ok_or_else(|| Doubt("a row of answers is damaged".into()))?;
    Ok((marks.as_chunks().0, packed))
}

/// The last of a row's answers whose keys begin with what [`keys::requests`] says of an id.
pub(super) fn last_answer(row: &[u8], requests: &[u8]) -> Result<Option<Vec<u8>>, Doubt> {
    let mark = mark(keys::requests_hash(requests));
    let (marks, packed) = marks(row)?;
    if !marks.contains(&mark) {
        return Ok(None);
    }
    let row = unpack(packed)?;
    let mut last = None;
    // Answers are in the order of their commands.
    for (answer, it) in answers(&row).zip(marks) {
        let (key, value) = answer?;
        if *it == mark && key.starts_with(requests) {
            last = Some(value);
        }
    }
    Ok(last.map(<[u8]>::to_vec))
}

/// The part of a hash that rows show; the bucket is made of another part.
fn mark(hash: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = hash.to_be_bytes();
    [a, b, c, d]
}

/// The answers of a row: (key, value).
pub(super) fn answers(row: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), Doubt>> {
    let mut items = Items(row);
    std::iter::from_fn(move || {
        let key = items.next()?;
        let value = items.next().unwrap_or_else(|| Err(Doubt("a row of answers is damaged".into())));
        Some(key.and_then(|key| Ok((key, value?))))
    })
}

/// Takes a row apart: `each` gets its records.
pub(super) fn records(key: &[u8], value: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Doubt> {
    if keys::is_answers_row(key) {
        let (marks, row) = unpack_answers(value)?;
        let mut count = 0;
        for answer in answers(&row) {
            let (key, value) = answer?;
            if marks.get(count) != Some(&mark(keys::answer_hash(key))) {
                return Err(Doubt("a row of answers has another's mark".into()));
            }
            count += 1;
            each(key, value);
        }
        if count != marks.len() {
            return Err(Doubt("a row of answers has marks of none".into()));
        }
    } else if let Some(first) = keys::events_row(key) {
        for (event, seq) in events(&unpack(value)?, 0).zip(first.seq..) {
            each(&EventKey { seq, ..first }.record(), event?);
        }
    } else {
        each(key, value);
    }
    Ok(())
}

/// Consecutive events of one stream, as their row will hold them.
#[derive(Debug, Default)]
struct Run {
    first: u64,
    row: Vec<u8>,
    starts: Vec<u32>,
}

impl Run {
    /// The number of the event that comes next.
    fn next(&self) -> u64 {
        self.first.saturating_add(u64::try_from(self.starts.len()).expect("a run is short"))
    }

    fn push(&mut self, event: &[u8]) {
        self.starts.push(u32::try_from(self.row.len()).expect("a run takes no more before it is this long"));
        push(&mut self.row, event);
    }

    fn is_full(&self) -> bool {
        self.starts.len() >= RUN_EVENTS_MAX || self.row.len() >= RUN_BYTES_MAX
    }

    /// The bytes from an event on, if it is here.
    fn from(&self, seq: u64) -> Option<&[u8]> {
        let start = *self.starts.get(usize::try_from(seq.checked_sub(self.first)?).ok()?)?;
        self.row.get(usize::try_from(start).ok()?..)
    }
}

/// Records that are in no row yet.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Which of the lists has a stream's runs.
    streams: BTreeMap<[u8; 5], usize>,
    /// By number.
    runs: Vec<Vec<Run>>,
    /// The stream of the last event: the next one's is mostly the same.
    last: Option<([u8; 5], usize)>,
    /// Answers of each bucket in the order of their commands, as their row will hold them; all buckets, or none yet. There is
    /// nothing else about an answer, for whatever is touched here is far from what was touched before.
    buckets: Vec<Vec<u8>>,
    others: BTreeMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
    /// Runs that were used before: memory that the system has made ready already.
    spare: Vec<Run>,
}

impl Tail {
    /// About the memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes it empty for the next use, with the memory of what was in it: fresh memory costs more than what is put
    /// there. What this use did not need is given back.
    pub(super) fn emptied(mut self) -> Self {
        let mut spare: Vec<Run> = self.runs.into_iter().flatten().collect();
        for run in &mut spare {
            // The next stream may have little to say: what no stream needs must not gather in all of them.
            if run.row.capacity() > 4 * run.row.len() {
                run.row.shrink_to(2 * run.row.len());
                run.starts.shrink_to(2 * run.starts.len());
            }
            run.row.clear();
            run.starts.clear();
        }
        // Long runs were one long event.
        spare.retain(|it| it.row.capacity() <= 4 * RUN_BYTES_MAX);
        for bucket in &mut self.buckets {
            bucket.shrink_to(bucket.len() * 4);
            bucket.clear();
        }
        Self { buckets: self.buckets, spare, ..Self::default() }
    }

    /// Adds a record.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) {
        if let Some(event) = keys::event_key(key) {
            self.bytes += value.len() + RECORD_BYTES;
            self.event(event, value);
        } else if keys::is_answer(key) {
            self.bytes += key.len() + value.len() + RECORD_BYTES;
            if self.buckets.is_empty() {
                self.buckets.resize_with(keys::BUCKETS, Vec::new);
            }
            let bucket = &mut self.buckets[usize::from(keys::bucket(keys::answer_hash(key)))];
            push(bucket, key);
            push(bucket, value);
        } else {
            self.bytes += key.len() + value.len() + LONE_RECORD_BYTES;
            self.others.insert(key.to_vec(), value.to_vec());
        }
    }

    fn event(&mut self, key: EventKey, value: &[u8]) {
        let place = match self.last {
            Some((tag, place)) if tag == key.tag => place,
            Some(_) | None => {
                let place = *self.streams.entry(key.tag).or_insert_with(|| {
                    self.runs.push(Vec::new());
                    self.runs.len() - 1
                });
                self.last = Some((key.tag, place));
                place
            }
        };
        let runs = &mut self.runs[place];
        if let Some(run) = runs.last_mut()
            && run.next() == key.seq
            && !run.is_full()
        {
            return run.push(value);
        }
        // The next is about as long as the last.
        let like = |last: &Run| Run {
            row: Vec::with_capacity((last.row.len() + last.row.len() / 8).min(2 * RUN_BYTES_MAX)),
            starts: Vec::with_capacity(last.starts.len()),
            ..Run::default()
        };
        let spare = self.spare.pop().or_else(|| runs.last().map(like));
        let mut run = Run { first: key.seq, ..spare.unwrap_or_default() };
        run.push(value);
        // A stream's events come in their order; whoever tears it apart still finds them.
        let at = runs.partition_point(|it| it.first < key.seq);
        runs.insert(at, run);
    }

    /// The bytes of the run that holds an event, from that event on, if one does.
    pub(super) fn events_from(&self, key: EventKey) -> Option<&[u8]> {
        let runs = self.runs.get(*self.streams.get(&key.tag)?)?;
        let after = runs.partition_point(|it| it.first <= key.seq);
        runs.get(after.checked_sub(1)?)?.from(key.seq)
    }

    /// A record that is neither an event nor an answer.
    pub(super) fn other(&self, key: &[u8]) -> Option<&Vec<u8>> {
        self.others.get(key)
    }

    /// The last of the answers whose keys begin with what [`keys::requests`] says of an id.
    pub(super) fn last_answer(&self, requests: &[u8]) -> Option<&[u8]> {
        let bucket = self.buckets.get(usize::from(keys::bucket(keys::requests_hash(requests))))?;
        let found = answers(bucket).filter_map(Result::ok).filter(|(key, _)| key.starts_with(requests));
        found.last().map(|(_, value)| value)
    }

    /// Records of neither kind whose keys begin with a prefix.
    pub(super) fn others(&self, prefix: &[u8]) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.others.range(prefix.to_vec()..).take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// All of it as rows, which are packed one by one: all at once would take a processor for long.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        for (tag, place) in &self.streams {
            rows.extend(self.runs[*place].iter().map(|run| {
                let key = EventKey { tag: *tag, seq: run.first }.row();
                Row { key, value: Value::Events(&run.row) }
            }));
        }
        for (number, bucket) in (0..).zip(&self.buckets) {
            // A command has one answer, so no other row has the number of one of these.
            let Some((first, _)) = answers(bucket).next().and_then(Result::ok) else { continue };
            let key = keys::answers_row(number, keys::event_seq(first).unwrap_or(0));
            rows.push(Row { key, value: Value::Answers(bucket) });
        }
        let plain = |(key, value): (&Vec<u8>, _)| Row { key: key.clone(), value: Value::Plain(value) };
        rows.extend(self.others.iter().map(|(key, value)| (key, value.as_slice())).map(plain));
        rows
    }
}

/// A row that is to be written.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// Its key.
    pub(super) key: Vec<u8>,
    value: Value<'a>,
}

#[derive(Debug)]
enum Value<'a> {
    Events(&'a [u8]),
    Answers(&'a [u8]),
    Plain(&'a [u8]),
}

impl Row<'_> {
    /// Its bytes before they are packed.
    pub(super) fn bytes(&self) -> usize {
        let value = match self.value {
            Value::Events(row) | Value::Plain(row) => row.len(),
            Value::Answers(row) => 4 * answers(row).count() + row.len(),
        };
        self.key.len() + value
    }

    /// The value as it is written.
    pub(super) fn value(&self, packer: &mut Packer) -> Vec<u8> {
        let mut value = Vec::new();
        self.append(packer, None, &mut value);
        value
    }

    /// Appends the value as it is written. A row of answers may take in those of an earlier one, before its own.
    pub(super) fn append(&self, packer: &mut Packer, before: Option<(&[[u8; 4]], &[u8])>, out: &mut Vec<u8>) {
        match &self.value {
            Value::Events(row) => packer.pack(row, out),
            Value::Plain(value) => out.extend_from_slice(value),
            Value::Answers(row) => {
                let (marks_before, row_before) = before.unwrap_or_default();
                let keys = answers(row).filter_map(Result::ok).map(|(key, _)| key);
                let marks: Vec<_> = keys.map(|it| mark(keys::answer_hash(it))).collect();
                let count =
                    u32::try_from(marks_before.len() + marks.len()).expect("a row is not as long as that");
                out.extend_from_slice(&count.to_le_bytes());
                out.extend_from_slice(marks_before.as_flattened());
                out.extend_from_slice(marks.as_flattened());
                if row_before.is_empty() {
                    packer.pack(row, out);
                } else {
                    packer.pack(&[row_before, row].concat(), out);
                }
            }
        }
    }
}

/// Packs row after row with the same memory.
#[derive(Debug)]
pub(super) struct Packer {
    encoder: snap::raw::Encoder,
    packed: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Self {
        Self { encoder: snap::raw::Encoder::new(), packed: Vec::new() }
    }
}

impl Packer {
    fn pack(&mut self, row: &[u8], out: &mut Vec<u8>) {
        let room = snap::raw::max_compress_len(row.len());
        if self.packed.len() < room {
            self.packed.resize(room, 0);
        }
        let length = self.encoder.compress(row, &mut self.packed).expect("a row is not as long as that");
        out.extend_from_slice(&self.packed[..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::keys;
    use super::{RUN_EVENTS_MAX, Tail};
    use merit_engine::event::Stream;
    use merit_engine::ids::MemberId;

    fn put(tail: &mut Tail, member: u32, seqs: std::ops::Range<u64>) {
        for seq in seqs {
            tail.put(&keys::event(Stream::Member(MemberId(member)), seq), &[7; 300]);
        }
    }

    /// Else every run would become as long as the longest ever was, and nobody would count it.
    #[test]
    fn memory_that_is_used_again_is_not_more_than_the_last_use_needed() {
        const MEMBERS: u32 = 200;
        let full = u64::try_from(RUN_EVENTS_MAX).unwrap();
        let mut tail = Tail::default();
        (0..MEMBERS).for_each(|member| put(&mut tail, member, 1..1 + full));
        let spare = |tail: &Tail| tail.spare.iter().map(|it| it.row.capacity()).sum::<usize>();
        tail = tail.emptied();
        let after_much = spare(&tail);
        assert!(after_much > 200 * 30_000, "a full run's memory is used again: {after_much}");
        (0..MEMBERS).for_each(|member| put(&mut tail, member, full + 1..full + 2));
        tail = tail.emptied();
        assert!(spare(&tail) < 200 * 1_000, "{} after {after_much}", spare(&tail));
    }
}
