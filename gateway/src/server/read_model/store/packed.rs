//! Rows that hold many records, and records on their way to a row.
//!
//! An insertion into the store's tree costs ten to twenty microseconds, however small the record, and an order makes
//! two: what it says to its member, and its answer under its id. So records gather in memory ([`Tail`]) and go to
//! the disk by the run: consecutive events of a stream in one row, answers whose ids share a bucket in another, and
//! both compressed, for they are three quarters repetition. Everything else is a row of its own, as it is.

use super::super::keys::{self, EventKey};
use super::Doubt;
use std::collections::{BTreeMap, HashMap};

/// Events in one row.
const RUN_EVENTS_MAX: usize = 64;
/// Bytes of a run that takes no more.
const RUN_BYTES_MAX: usize = 16 << 10;
/// About what a record in memory costs beside its bytes.
const RECORD_BYTES: usize = 64;

/// Appends an item to a row: its length, 4 bytes in little endian, and its bytes.
fn push(row: &mut Vec<u8>, item: &[u8]) {
    let length = u32::try_from(item.len()).expect("a record fits into a message");
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

fn pack(row: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(row).expect("a row is not as long as that")
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
        for answer in answers(&unpack(value)?) {
            let (key, value) = answer?;
            each(key, value);
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
    row: Vec<u8>,
    starts: Vec<u32>,
}

impl Run {
    fn push(&mut self, event: &[u8]) {
        self.starts.push(u32::try_from(self.row.len()).expect("a run takes no more before it is this long"));
        push(&mut self.row, event);
    }

    fn is_full(&self) -> bool {
        self.starts.len() >= RUN_EVENTS_MAX || self.row.len() >= RUN_BYTES_MAX
    }
}

/// Records that are in no row yet.
#[derive(Debug, Default)]
pub(super) struct Tail {
    runs: BTreeMap<EventKey, Run>,
    /// In the order of their commands, each as its row will hold it.
    answers: Vec<u8>,
    /// Hash of each, and where it begins.
    answer_starts: Vec<(u64, usize)>,
    /// Where the last answer with a hash begins.
    answer_of: HashMap<u64, usize>,
    others: BTreeMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
}

impl Tail {
    /// An empty one with room for as many answers: lists that grow while readers wait cost milliseconds.
    pub(super) fn next(&self) -> Self {
        Self {
            answers: Vec::with_capacity(self.answers.len()),
            answer_starts: Vec::with_capacity(self.answer_starts.len()),
            answer_of: HashMap::with_capacity(self.answer_starts.len()),
            ..Self::default()
        }
    }

    /// About the memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a record.
    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.bytes += key.len() + value.len() + RECORD_BYTES;
        if let Some(event) = keys::event_key(&key) {
            self.event(event, &value);
        } else if keys::is_answer(&key) {
            let (hash, start) = (keys::answer_hash(&key), self.answers.len());
            self.answer_of.insert(hash, start);
            self.answer_starts.push((hash, start));
            push(&mut self.answers, &key);
            push(&mut self.answers, &value);
        } else {
            self.others.insert(key, value);
        }
    }

    fn event(&mut self, key: EventKey, value: &[u8]) {
        if let Some((first, run)) = self.runs.range_mut(..key).next_back()
            && first.next(run.starts.len()) == key
            && !run.is_full()
        {
            run.push(value);
        } else {
            self.runs.entry(key).or_default().push(value);
        }
    }

    /// The bytes of the run that holds an event, from that event on, if one does.
    pub(super) fn events_from(&self, key: EventKey) -> Option<&[u8]> {
        let (first, run) = self.runs.range(..=key).next_back()?;
        let start = *run.starts.get(first.distance(key)?)?;
        run.row.get(usize::try_from(start).ok()?..)
    }

    /// A record that is neither an event nor an answer.
    pub(super) fn other(&self, key: &[u8]) -> Option<&Vec<u8>> {
        self.others.get(key)
    }

    /// The last of the answers whose keys begin with what [`keys::requests`] says of an id.
    pub(super) fn last_answer(&self, requests: &[u8]) -> Option<&[u8]> {
        let at = |start: usize| answers(self.answers.get(start..)?).next()?.ok();
        let hash = keys::requests_hash(requests);
        let last = at(*self.answer_of.get(&hash)?)?;
        // Another id may have the same hash, and have come later.
        let same_hash = self.answer_starts.iter().rev().filter(|(other, _)| *other == hash);
        let mut found = std::iter::once(last).chain(same_hash.filter_map(|(_, start)| at(*start)));
        found.find(|(key, _)| key.starts_with(requests)).map(|(_, value)| value)
    }

    /// Records of neither kind whose keys begin with a prefix.
    pub(super) fn others(&self, prefix: &[u8]) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.others.range(prefix.to_vec()..).take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// All of it as rows, which are packed one by one: all at once would take a processor for long.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let runs = self.runs.iter().map(|(first, run)| Row::packed(first.row(), vec![run.row.as_slice()]));
        let mut rows: Vec<_> = runs.collect();
        let ends = self.answer_starts.iter().skip(1).map(|(_, start)| *start).chain([self.answers.len()]);
        let mut spans: Vec<_> = self
            .answer_starts
            .iter()
            .zip(ends)
            .map(|((hash, start), end)| (keys::bucket(*hash), *start, end))
            .collect();
        spans.sort_unstable();
        for of_bucket in spans.chunk_by(|(a, ..), (b, ..)| a == b) {
            let parts: Vec<_> = of_bucket.iter().map(|(_, start, end)| &self.answers[*start..*end]).collect();
            // A command has one answer, so no other row has the number of one of these.
            let first = answers(parts[0]).next().and_then(Result::ok);
            let seq = first.and_then(|(key, _)| keys::event_seq(key)).unwrap_or(0);
            rows.push(Row::packed(keys::answers_row(of_bucket[0].0, seq), parts));
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
    Packed(Vec<&'a [u8]>),
    Plain(&'a [u8]),
}

impl<'a> Row<'a> {
    fn packed(key: Vec<u8>, parts: Vec<&'a [u8]>) -> Self {
        Self { key, value: Value::Packed(parts) }
    }

    /// Its bytes before they are packed.
    pub(super) fn bytes(&self) -> usize {
        let value = match &self.value {
            Value::Packed(parts) => parts.iter().map(|it| it.len()).sum(),
            Value::Plain(value) => value.len(),
        };
        self.key.len() + value
    }

    /// The same with the records of an earlier row before its own.
    pub(super) fn value_after(&self, before: &[u8]) -> Vec<u8> {
        match &self.value {
            Value::Packed(parts) => pack(&[before, &parts.concat()].concat()),
            Value::Plain(value) => value.to_vec(),
        }
    }

    /// The value as it is written.
    pub(super) fn value(&self) -> Vec<u8> {
        match &self.value {
            Value::Packed(parts) => pack(&parts.concat()),
            Value::Plain(value) => value.to_vec(),
        }
    }
}
