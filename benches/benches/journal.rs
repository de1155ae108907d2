//! The journal against the disk it stands on: appends with one sync a batch, and replay.
//!
//! `append` compares the writer with a bare loop (copy, write into a file that was filled with zeros,
//! fdatasync) of the same batch and record size, in interleaved pairs in one run, because disks and
//! neighbours drift. The writer's share includes checksums, chain, batch ends and the acknowledgement mark. It is
//! measured twice: in a segment that was filled with zeros before, as the bare loop's file was; and with segments of the
//! usual size that come and go, so that the zeros of the following ones are made meanwhile.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use merit_engine::auction::{Point, Shape, Side};
use merit_engine::calendar::Day;
use merit_engine::command::{Action, Actor, Body, NewOrder, OrderBody, Request};
use merit_engine::few::Few;
use merit_engine::ids::{AuctionId, Market, PortfolioId, TextId, UserId};
use merit_replay::error::JournalError;
use merit_replay::frame::{Record, Stamp, record_bytes};
use merit_replay::record;
use merit_replay::recovery::{self, Discard, Found, Visitor};
use merit_replay::storage::disk::Disk;
use merit_replay::storage::{Preparation, Storage, StorageFile, write_all_at, write_zeros};
use merit_replay::writer::{Options, Room, Writer};
use std::any::Any;
use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const RECORD_BYTES: usize = 128;
const BARE_BYTES: u64 = 64 << 20;
const PAIRS: usize = 15;
const PAIR_BATCHES: usize = 60;

/// The bare loop's file.
struct Bare {
    file: Box<dyn StorageFile>,
    at: u64,
    records: Vec<u8>,
    buffer: Vec<u8>,
    _dir: TempDir,
}

impl Bare {
    fn new(batch: usize) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the bench");
        let mut file = Disk::existing(dir.path()).open("bare", true).expect("a new file");
        write_zeros(&mut *file, 0, BARE_BYTES).expect("space for the bench");
        file.sync().expect("a disk that syncs");
        Self { file, at: 0, records: vec![0x5a; RECORD_BYTES * batch], buffer: Vec::new(), _dir: dir }
    }

    fn batch(&mut self) {
        self.buffer.clear();
        for record in self.records.chunks(RECORD_BYTES) {
            self.buffer.extend_from_slice(record);
        }
        let bytes = u64::try_from(self.buffer.len()).expect("small");
        if self.at + bytes > BARE_BYTES {
            self.at = 0;
        }
        write_all_at(&mut *self.file, self.at, &self.buffer).expect("a disk that writes");
        self.file.sync().expect("a disk that syncs");
        self.at += bytes;
    }
}

/// The journal's writer with records of the same size.
struct Journal {
    writer: Writer,
    batch: usize,
    payload: Vec<u8>,
    _dir: Option<TempDir>,
}

impl Journal {
    fn new(batch: usize) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the bench");
        Self::on(Box::new(Disk::existing(dir.path())), batch, Options::new(1), Some(dir))
    }

    /// With one segment for all pairs, and nothing else to do for the disk.
    fn prepared(batch: usize) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the bench");
        let batch_bytes = u64::try_from(batch * RECORD_BYTES + 2 * record_bytes(0)).expect("small");
        let pairs = u64::try_from((PAIRS + 1) * PAIR_BATCHES).expect("small");
        let segment_bytes = (batch_bytes * pairs).next_multiple_of(1 << 20);
        let options = Options { segment_bytes, ..Options::new(1) };
        let mut journal = Self::on(Box::new(Disk::existing(dir.path())), batch, options, Some(dir));
        while journal.writer.room() != Room::Ready {
            std::thread::sleep(Duration::from_millis(5));
        }
        journal
    }

    fn on(storage: Box<dyn Storage>, batch: usize, options: Options, dir: Option<TempDir>) -> Self {
        let (writer, _) = Writer::open(storage, options, &mut Discard).expect("a new journal");
        let payload = vec![0x5a; RECORD_BYTES - record_bytes(0)];
        assert!(record_bytes(payload.len()) == RECORD_BYTES, "the same size as the bare loop's");
        Self { writer, batch, payload, _dir: dir }
    }

    fn batch(&mut self) {
        let bytes = u64::try_from(self.batch * RECORD_BYTES).expect("small");
        self.writer.reserve(bytes).expect("space for the bench");
        let last = self.writer.durable().stamp.seq;
        for seq in (last + 1..).take(self.batch) {
            self.writer.append(Stamp { seq, epoch: 1, time_us: 0 }, 1, &self.payload);
        }
        let head = self.writer.commit().expect("a disk that syncs");
        self.writer.acknowledge(head.stamp.seq).expect("a disk that writes");
    }
}

fn append(criterion: &mut Criterion) {
    for batch in [1, 64, 256, 1_024, 4_096] {
        // Made when one of the benches is asked for, after the pairs have been measured.
        let mut pair = None;
        let make = || {
            let mut bare = Bare::new(batch);
            print_pairs("in a segment that is there", batch, &mut bare, &mut Journal::prepared(batch));
            let mut journal = Journal::new(batch);
            print_pairs("segments come and go", batch, &mut bare, &mut journal);
            (bare, journal)
        };
        let mut group = criterion.benchmark_group(format!("append {batch} x {RECORD_BYTES} B"));
        group.sample_size(20);
        group.throughput(Throughput::Elements(u64::try_from(batch).expect("small")));
        group.bench_function("bare", |bench| {
            let (bare, _) = pair.get_or_insert_with(make);
            bench.iter(|| bare.batch());
        });
        group.bench_function("journal", |bench| {
            let (_, journal) = pair.get_or_insert_with(make);
            bench.iter(|| journal.batch());
        });
        group.finish();
    }
}

/// Interleaved pairs: the share of the bare loop's records/s that the writer reaches.
fn print_pairs(how: &str, batch: usize, bare: &mut Bare, journal: &mut Journal) {
    let mut shares = Vec::new();
    let (mut bare_sum, mut journal_sum) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..PAIRS {
        let bare_time = time(|| bare.batch());
        let journal_time = time(|| journal.batch());
        bare_sum += bare_time;
        journal_sum += journal_time;
        shares.push(bare_time.as_secs_f64() / journal_time.as_secs_f64());
    }
    shares.sort_by(f64::total_cmp);
    let records = f64::from(u32::try_from(batch * PAIR_BATCHES * PAIRS).expect("small"));
    println!(
        "pairs, {batch} records of {RECORD_BYTES} B a batch, {how}: bare {:.0}/s, journal {:.0}/s, share median {:.2} \
         (quartiles {:.2}, {:.2}) of {PAIRS}",
        records / bare_sum.as_secs_f64(),
        records / journal_sum.as_secs_f64(),
        shares[PAIRS / 2],
        shares[PAIRS / 4],
        shares[PAIRS * 3 / 4],
    );
}

fn time(mut batch: impl FnMut()) -> Duration {
    let started = Instant::now();
    for _ in 0..PAIR_BATCHES {
        batch();
    }
    started.elapsed()
}

/// A disk that takes everything at once and keeps nothing: what is left is the writer's own work.
struct Nowhere;

impl Storage for Nowhere {
    fn place(&self) -> String {
        "nowhere".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn read(&self, _: &str) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn open(&self, _: &str, _: bool) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(Self))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn replace(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn reader(&self) -> Box<dyn Storage> {
        Box::new(Self)
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send>>> {
        Ok(Some(Box::new(())))
    }

    fn prepare(&self, _: &str, _: u64) -> Box<dyn Preparation> {
        Box::new(Self)
    }
}

impl StorageFile for Nowhere {
    fn write_at(&mut self, _: u64, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Preparation for Nowhere {
    fn poll(&mut self) -> Option<io::Result<()>> {
        Some(Ok(()))
    }

    fn wait(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

/// The writer's own work for each record: copy, checksum, chain.
fn frame(criterion: &mut Criterion) {
    const BATCH: usize = 1_024;
    let mut journal = Journal::on(Box::new(Nowhere), BATCH, Options::new(1), None);
    let mut group = criterion.benchmark_group("frame");
    group.throughput(Throughput::Elements(u64::try_from(BATCH).expect("small")));
    group.bench_function(format!("{BATCH} x {RECORD_BYTES} B"), |bench| bench.iter(|| journal.batch()));
    group.finish();
}

/// A small order: one point in one period.
fn order(number: u64) -> Body {
    let auction = AuctionId { day: Day(20_779), market: Market::Rtm, session: 17 };
    let point = Point { price: 250_000, quantity: 100 };
    let body = OrderBody::Curve { shape: Shape::Step(Side::Sell), periods: Few::one((0, Few::one(point))) };
    let request_id = TextId::new(&format!("o-{number}")).expect("a plain id");
    let action = Action::Submit(NewOrder { auction, portfolio: PortfolioId(7), area: 3, body });
    Body::Request(Box::new(Request { actor: Actor::User(UserId(9)), request_id, action }))
}

struct Decode;

impl Visitor for Decode {
    fn record(&mut self, found: &Record<'_>) -> Result<(), JournalError> {
        black_box(record::decode(found.kind, found.payload)).map(drop).expect("written above");
        Ok(())
    }
}

const ORDERS: u64 = 200_000;

/// A journal of small orders on the disk.
fn journal_of_orders() -> (Disk, TempDir) {
    let dir = tempfile::tempdir().expect("a directory for the bench");
    let disk = Disk::existing(dir.path());
    let (mut writer, _) =
        Writer::open(Box::new(disk.clone()), Options::new(1), &mut Discard).expect("a new journal");
    for seqs in (1..=ORDERS).collect::<Vec<_>>().chunks(1_000) {
        let encode = |seq: &u64| {
            let mut payload = Vec::new();
            let kind = record::encode(&order(*seq), &mut payload);
            (*seq, kind, payload)
        };
        let payloads: Vec<_> = seqs.iter().map(encode).collect();
        let bytes: usize = payloads.iter().map(|(_, _, payload)| record_bytes(payload.len())).sum();
        writer.reserve(u64::try_from(bytes).expect("small")).expect("space for the bench");
        for (seq, kind, payload) in &payloads {
            writer.append(Stamp { seq: *seq, epoch: 1, time_us: 0 }, kind.code(), payload);
        }
        writer.commit().expect("a disk that syncs");
    }
    println!("chain after {ORDERS} small orders: {:032x}", writer.durable().chain);
    (disk, dir)
}

fn scan(disk: &Disk, visitor: &mut dyn Visitor) -> Found {
    recovery::scan(disk, None, visitor).expect("a whole journal")
}

/// Reads a journal of small orders: frames, checksums and chain, with and without decoding.
fn read(criterion: &mut Criterion) {
    let mut journal = None;
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(ORDERS));
    group.sample_size(10);
    group.bench_function("verify", |bench| {
        let (disk, _) = journal.get_or_insert_with(journal_of_orders);
        bench.iter(|| scan(disk, &mut Discard));
    });
    group.bench_function("verify and decode", |bench| {
        let (disk, _) = journal.get_or_insert_with(journal_of_orders);
        bench.iter(|| scan(disk, &mut Decode));
    });
    group.finish();
}

criterion_group!(benches, frame, append, read);
criterion_main!(benches);
