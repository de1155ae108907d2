//! The embedded ledger: obligations, entries and balances in sled beside the journal.
//!
//! sled 0.34 does not flush the device's cache, so what it holds may be older than it said after a
//! power cut, or damaged. Nothing here is an authority: at a start the mark is compared with the
//! journal (a chain of digests over every message up to it) and all records with their sum; on any
//! doubt the directory is deleted and filled again.

use super::{Item, Mark, PushError, Target, account_name, after, sha256};
use crate::server::read_model::store::Content;
use crate::server::work;
use merit_proto::v1;
use prost::Message as _;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use v1::stream_obligations_response::Event;

const META: &[u8] = b"!mark";
/// Obligations in one record: sled is slow with many small ones.
const OBLIGATIONS: usize = 512;
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// The mark, and what must hold with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Meta {
    mark: Mark,
    /// SHA-256 of the chain before and the digest of the last message, from zero.
    chain: [u8; 32],
    content: Content,
}

impl Meta {
    fn encode(&self) -> Vec<u8> {
        let numbers = [self.mark.epoch, self.mark.seq, self.content.records, self.content.sum];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
        bytes.extend_from_slice(&self.chain);
        bytes.extend_from_slice(&crc32(&bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if crc32(body) != u32::from_le_bytes(*sum) || body.len() != 64 {
            return None;
        }
        let number = |at: usize| body.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        Some(Self {
            mark: Mark { epoch: number(0)?, seq: number(8)? },
            content: Content { records: number(16)?, sum: number(24)? },
            chain: body.get(32..)?.try_into().ok()?,
        })
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let [a, b, c, d, ..] = sha256(bytes);
    u32::from_le_bytes([a, b, c, d])
}

/// The digest chain after one more message.
#[must_use]
pub fn chained(chain: [u8; 32], digest: [u8; 32]) -> [u8; 32] {
    sha256(&[chain, digest].concat())
}

/// Where the embedded ledger lies.
#[must_use]
pub fn directory(data: &Path) -> PathBuf {
    data.join("ledger")
}

/// The ledger on disk.
#[derive(Debug)]
pub struct Ledger {
    db: sled::Db,
    meta: std::sync::Mutex<Meta>,
}

impl Ledger {
    /// Opens it and believes what agrees with `chain_at`, the journal's digest chain up to a number
    /// (nothing if the journal does not reach it); everything else is deleted and begun anew.
    ///
    /// # Errors
    ///
    /// If no new one can be made either.
    pub fn open(directory: &Path, chain_at: impl Fn(u64) -> Option<[u8; 32]>) -> Result<Self, PushError> {
        match Self::open_checked(directory, &chain_at) {
            Ok(ledger) => Ok(ledger),
            Err(doubt) => {
                tracing::warn!(%doubt, "the embedded ledger is in doubt and is built again");
                match std::fs::remove_dir_all(directory) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(PushError::Unreachable(error.to_string()));
                    }
                    Ok(()) | Err(_) => {}
                }
                Self::open_checked(directory, &chain_at).map_err(PushError::Unreachable)
            }
        }
    }

    fn open_checked(directory: &Path, chain_at: impl Fn(u64) -> Option<[u8; 32]>) -> Result<Self, String> {
        let (ledger, content) = Self::load(directory)?;
        let meta = *ledger.meta.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if meta.content != content {
            return Err("its records are not those that its mark was written with".into());
        }
        if meta.mark.seq > 0 && chain_at(meta.mark.seq) != Some(meta.chain) {
            return Err("its mark is not one of the journal's".into());
        }
        Ok(ledger)
    }

    /// Opens it as it is, believing nothing, for whoever compares.
    ///
    /// # Errors
    ///
    /// If it cannot be read at all.
    pub fn open_as_it_is(directory: &Path) -> Result<Self, String> {
        Self::load(directory).map(|it| it.0)
    }

    /// Opens it and reads all of it.
    fn load(directory: &Path) -> Result<(Self, Content), String> {
        let opened = guarded(|| {
            sled::Config::new()
                .path(directory)
                .cache_capacity(CACHE_BYTES)
                .flush_every_ms(None)
                .open()
                .map_err(|error| error.to_string())
        });
        let db = opened?;
        let mut content = Content::default();
        let mut meta = Meta::default();
        guarded(|| {
            for record in db.iter() {
                let (key, value) = record.map_err(|error| error.to_string())?;
                if key == META {
                    meta = Meta::decode(&value).ok_or("the mark is damaged")?;
                } else {
                    content.add(&key, &value);
                }
            }
            Ok(())
        })?;
        Ok((Self { db, meta: std::sync::Mutex::new(meta) }, content))
    }

    /// How far it is.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.meta.lock().unwrap_or_else(std::sync::PoisonError::into_inner).mark
    }

    /// Books messages, all or none.
    ///
    /// # Errors
    ///
    /// [`PushError`].
    pub fn book(&self, epoch: u64, items: &[Item]) -> Result<Mark, PushError> {
        let mut meta = self.meta.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let new = after(meta.mark, epoch, items)?;
        let mut next = *meta;
        let mut writes = Writes { db: &self.db, batch: sled::Batch::default(), balances: BTreeMap::new() };
        for item in new {
            writes.item(item, &mut next.content);
            next.mark.seq = item.seq;
            next.chain = chained(next.chain, item.digest);
        }
        next.mark.epoch = epoch;
        let broken = PushError::Unreachable;
        let mut batch = writes.finish(&mut next.content).map_err(broken)?;
        batch.insert(META, next.encode());
        guarded(|| {
            self.db.apply_batch(batch).map_err(|error| error.to_string())?;
            self.db.flush().map(drop).map_err(|error| error.to_string())
        })
        .map_err(PushError::Unreachable)?;
        *meta = next;
        Ok(next.mark)
    }

    /// Balances in millionths by account name.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn balances(&self) -> Result<BTreeMap<String, i128>, String> {
        let mut balances = BTreeMap::new();
        self.each(b"a", |name, value| {
            let name = String::from_utf8_lossy(name).into_owned();
            let amount = value.try_into().map(i128::from_le_bytes).map_err(|_| "a damaged balance")?;
            balances.insert(name, amount);
            Ok(())
        })?;
        Ok(balances)
    }

    /// Obligations by number.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn obligations(&self) -> Result<Vec<v1::Obligation>, String> {
        let mut list = Vec::new();
        self.each(b"o", |_, value| {
            let part = v1::ObligationBatch::decode(value).map_err(|error| error.to_string())?;
            list.extend(part.obligations);
            Ok(())
        })?;
        Ok(list)
    }

    /// Entries by number.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn entries(&self) -> Result<Vec<v1::LedgerEntry>, String> {
        let mut list = Vec::new();
        self.each(b"e", |_, value| {
            list.push(v1::LedgerEntry::decode(value).map_err(|error| error.to_string())?);
            Ok(())
        })?;
        Ok(list)
    }

    fn each(
        &self,
        prefix: &[u8],
        mut see: impl FnMut(&[u8], &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        guarded(|| {
            for record in self.db.scan_prefix(prefix) {
                let (key, value) = record.map_err(|error| error.to_string())?;
                see(key.get(prefix.len()..).unwrap_or_default(), &value)?;
            }
            Ok(())
        })
    }
}

/// Runs something with sled, which panics on some damaged files instead of returning an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("sled panicked".into()))
}

struct Writes<'a> {
    db: &'a sled::Db,
    batch: sled::Batch,
    balances: BTreeMap<String, i128>,
}

impl Writes<'_> {
    fn item(&mut self, item: &Item, content: &mut Content) {
        match &item.message.event {
            Some(Event::Obligations(batch)) => {
                for some in batch.obligations.chunks(OBLIGATIONS) {
                    let first = some.first().map_or(0, |it| it.obligation_id);
                    let part = v1::ObligationBatch { obligations: some.to_vec(), ..Default::default() };
                    self.put(b"o", first, part.encode_to_vec(), content);
                }
            }
            Some(Event::Ledger(batch)) => {
                for it in &batch.entries {
                    self.put(b"e", it.entry_id, it.encode_to_vec(), content);
                    for posting in &it.postings {
                        let name = account_name(posting.account.as_ref());
                        *self.balances.entry(name).or_default() += i128::from(posting.amount_micros);
                    }
                }
            }
            Some(Event::Run(it)) => self.put(b"r", item.seq, it.encode_to_vec(), content),
            Some(
                Event::Metered(_) | Event::DeviationRules(_) | Event::Heartbeat(_) | Event::GoingAway(_),
            )
            | None => {}
        }
    }

    fn put(&mut self, kind: &[u8], number: u64, value: Vec<u8>, content: &mut Content) {
        let key = [kind, &number.to_be_bytes()].concat();
        content.add(&key, &value);
        self.batch.insert(key, value);
    }

    /// Adds the changes to the balances.
    fn finish(mut self, content: &mut Content) -> Result<sled::Batch, String> {
        for (name, change) in std::mem::take(&mut self.balances) {
            let key = [b"a", name.as_bytes()].concat();
            let before = guarded(|| self.db.get(&key).map_err(|error| error.to_string()))?;
            let amount = match &before {
                Some(bytes) => {
                    content.remove(&key, bytes);
                    bytes.as_ref().try_into().map(i128::from_le_bytes).map_err(|_| "a damaged balance")?
                }
                None => 0,
            };
            let value = (amount + change).to_le_bytes();
            content.add(&key, &value);
            self.batch.insert(key, &value);
        }
        Ok(self.batch)
    }
}

/// The target.
pub struct Embedded {
    ledger: Arc<Ledger>,
}

impl Embedded {
    /// The ledger as a target.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }
}

#[tonic::async_trait]
impl Target for Embedded {
    fn name(&self) -> &'static str {
        "embedded ledger"
    }

    /// It lies beside this node's journal; whoever leads next has it already.
    fn is_shared(&self) -> bool {
        false
    }

    async fn mark(&mut self) -> Result<Mark, PushError> {
        Ok(self.ledger.mark())
    }

    async fn deliver(&mut self, epoch: u64, items: &[Item]) -> Result<Mark, PushError> {
        // It works and waits for the disk.
        work::large(|| self.ledger.book(epoch, items))
    }
}
