//! The store's rows from another node, for a node that goes on from that one's snapshot.
//!
//! A snapshot leaves out what is in the store, and the records that it was made of are no longer to be had; so
//! the rows come with it, into a directory of their own, and take the store's place when the snapshot is put in.
//! Only rows of commands up to the snapshot's are taken: what follows is made here from the records. Of each
//! stream every event must have come; the rest is believed as the snapshot is, for the sender's sake.

use super::keys::{self, Known};
use super::state::State;
use super::store::{self, Batch, Reach, Store};
use aws_lc_rs::digest::{Context, SHA256};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A hash over rows, as both ends build it.
#[derive(Clone)]
pub struct Sum {
    hash: Context,
    rows: u64,
}

impl Default for Sum {
    fn default() -> Self {
        Self { hash: Context::new(&SHA256), rows: 0 }
    }
}

impl Sum {
    /// Adds a row.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        for part in [key, value] {
            let length = u32::try_from(part.len()).expect("a row fits into a message");
            self.hash.update(&length.to_be_bytes());
            self.hash.update(part);
        }
        self.rows += 1;
    }

    /// How many rows there were, and their hash.
    #[must_use]
    pub fn finish(self) -> (u64, Vec<u8>) {
        (self.rows, self.hash.finish().as_ref().to_vec())
    }
}

/// Rows that are coming.
pub struct Rows {
    data: PathBuf,
    store: Store,
    known: Known,
    reach: Reach,
    last: Vec<u8>,
    /// Command of the last answer in the rows of this bucket: they are of ever later ones.
    last_answer: u64,
    events: u64,
    sum: Sum,
}

impl Rows {
    /// Begins, in place of what an earlier attempt left. `state` is that of the snapshot.
    ///
    /// # Errors
    ///
    /// What the system or sled said.
    pub fn begin(data: &Path, state: &State) -> Result<Self, String> {
        discard(data).map_err(|error| error.to_string())?;
        let (store, _) = Store::open(&directory(data)).map_err(|doubt| doubt.0)?;
        let reach = state.reach();
        let (known, last, sum) = (Known::to(state), Vec::new(), Sum::default());
        Ok(Self { data: data.to_owned(), store, known, reach, last, last_answer: 0, events: 0, sum })
    }

    /// Takes some rows, each with a greater key than the one before.
    ///
    /// # Errors
    ///
    /// What is wrong with them, or what sled said.
    pub fn add(&mut self, rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<(), String> {
        let mut batch = Batch::default();
        for (key, value) in rows {
            if key <= self.last {
                return Err("its rows are not in their order".to_owned());
            }
            self.sum.add(&key, &value);
            let bucket = keys::answers_bucket(&key);
            if bucket.is_none_or(|it| !self.last.starts_with(it)) {
                self.last_answer = 0;
            }
            store::records(&key, &value, &mut |record, value| {
                // While the sender writes, an answer may stand in two rows of its bucket.
                if keys::is_answer(record) {
                    let seq = keys::event_seq(record).unwrap_or(0);
                    if seq <= self.last_answer {
                        return;
                    }
                    self.last_answer = seq;
                }
                if self.known.has(record) {
                    self.events += u64::from(keys::is_event(record));
                    batch.put(record, value);
                }
            })
            .map_err(|doubt| doubt.0)?;
            self.last = key;
        }
        // How far it goes is said when all have come.
        self.store.commit(&batch, Reach::default());
        self.store.write_if_full().map_err(|doubt| doubt.0)
    }

    /// Checks that all of them have come, and makes them durable.
    ///
    /// # Errors
    ///
    /// What is wrong with them, or what sled said.
    pub fn finish(self, rows: u64, hash: &[u8]) -> Result<(), String> {
        let (came, sum) = self.sum.finish();
        if (came, sum.as_slice()) != (rows, hash) {
            return Err(format!("{came} rows came, and they are not the {rows} that were sent"));
        }
        if self.events != self.known.events() {
            let (have, should) = (self.events, self.known.events());
            return Err(format!("{have} of {should} events came with it"));
        }
        self.store.commit(&Batch::default(), self.reach);
        self.store.flush().map_err(|doubt| doubt.0)?;
        sync_names(&self.data).map_err(|error| error.to_string())
    }
}

/// Puts rows that have come in the place of the store. There may be none: then it was done before.
///
/// # Errors
///
/// What the system said.
pub fn put_in(data: &Path) -> io::Result<()> {
    let came = directory(data);
    if came.try_exists()? {
        let store = store::directory(data);
        Store::delete(&store)?;
        fs::rename(came, store)?;
        File::open(data)?.sync_all()?;
    }
    Ok(())
}

/// Removes rows that came with nothing that can be used.
///
/// # Errors
///
/// What the system said.
pub fn discard(data: &Path) -> io::Result<()> {
    Store::delete(&directory(data))
}

/// Makes the names of the files durable: their content is after a flush.
fn sync_names(data: &Path) -> io::Result<()> {
    let came = directory(data);
    for entry in fs::read_dir(&came)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(came)?.sync_all()?;
    File::open(data)?.sync_all()
}

fn directory(data: &Path) -> PathBuf {
    data.join("read-model.fetched")
}

#[cfg(test)]
mod tests {
    use super::{Rows, Sum, directory, discard, put_in};
    use crate::server::read_model::keys;
    use crate::server::read_model::state::State;
    use crate::server::read_model::store::{self, Store};
    use merit_engine::event::Stream;
    use merit_engine::ids::MemberId;
    use std::path::Path;

    type Row = (Vec<u8>, Vec<u8>);

    fn state() -> State {
        let heads = [(Stream::Market, 2), (Stream::Member(MemberId(1)), 1)].into();
        State { heads, seq: 9, trail: 77, ..State::default() }
    }

    fn events() -> Vec<Row> {
        let event = |stream, seq| (keys::event(stream, seq).to_vec(), vec![7; 3]);
        vec![event(Stream::Market, 1), event(Stream::Market, 2), event(Stream::Member(MemberId(1)), 1)]
    }

    fn bring(data: &Path, rows: &[Row]) -> Result<(), String> {
        let mut coming = Rows::begin(data, &state())?;
        let mut sum = Sum::default();
        rows.iter().for_each(|(key, value)| sum.add(key, value));
        coming.add(rows.iter().cloned())?;
        let (count, hash) = sum.finish();
        coming.finish(count, &hash)
    }

    #[test]
    fn rows_of_later_commands_are_left_out_and_the_others_take_the_stores_place() {
        let data = tempfile::tempdir().unwrap();
        let mut rows = events();
        let answer = |seq: u64| (keys::request(MemberId(1), "a", seq), seq.to_be_bytes().to_vec());
        rows.extend([(keys::event(Stream::Member(MemberId(1)), 2).to_vec(), vec![8]), answer(9), answer(10)]);
        bring(data.path(), &rows).unwrap();
        assert!(!store::directory(data.path()).exists());
        put_in(data.path()).unwrap();
        put_in(data.path()).unwrap();
        let (store, reach) = Store::open(&store::directory(data.path())).unwrap();
        assert_eq!((reach.seq, reach.trail, store.content().unwrap().records), (9, 77, 4));
        let last = store.last_answer(&keys::requests(MemberId(1), "a")).unwrap();
        assert_eq!(last.as_deref(), Some(9_u64.to_be_bytes().as_slice()));
    }

    #[test]
    fn rows_that_are_missing_or_others_than_were_sent_are_refused() {
        let data = tempfile::tempdir().unwrap();
        let mut rows = events();
        rows.remove(1);
        assert!(bring(data.path(), &rows).unwrap_err().contains("2 of 3 events"));
        rows.swap(0, 1);
        assert!(bring(data.path(), &rows).unwrap_err().contains("not in their order"));
        let mut coming = Rows::begin(data.path(), &state()).unwrap();
        coming.add(events().into_iter()).unwrap();
        assert!(coming.finish(3, &[0; 32]).unwrap_err().contains("not the 3 that were sent"));
        discard(data.path()).unwrap();
        assert!(!directory(data.path()).exists());
    }
}
