//! Appends batches to the journal, each made durable by one sync, or by one write that is both
//! ([`StorageFile::append`]).
//!
//! Nothing of a batch exists before [`Writer::commit`] returns, and all of it does after. A writer
//! whose disk refused anything is poisoned: the kernel may have thrown away what it could not write
//! and will not say so twice, so only a restart, which reads what is really there, goes on.

use crate::acknowledged::{Lacks, MARK_NAME, Mark, PROMISE_NAME};
use crate::cut::{self, REPLACEMENT_NAME};
use crate::error::JournalError;
use crate::frame::{self, BatchEnd, FRAME_BYTES, Head, Salt, Stamp, offset_of, record_bytes};
use crate::recovery::{self, Found, Visitor};
use crate::segment::{self, FORMAT_VERSION, HEADER_BYTES, SegmentHeader};
use crate::storage::direct::Placed;
use crate::storage::{Preparation, Storage, StorageFile, is_full, write_all_at};
use std::any::Any;
use std::io;

pub(crate) const SPARE_NAME: &str = "spare.zeros";

/// How a journal is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whose history it is. Drawn at random when an exchange is founded, and never changed.
    pub exchange_id: u128,
    /// Length of new segments, bytes.
    pub segment_bytes: u64,
    /// The release that writes, for the segment headers.
    pub build: String,
}

impl Options {
    /// Segments of 64 MiB.
    #[must_use]
    pub fn new(exchange_id: u128) -> Self {
        let build = concat!("merit ", env!("CARGO_PKG_VERSION")).to_owned();
        Self { exchange_id, segment_bytes: 64 << 20, build }
    }
}

/// How much room there is to append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Another segment lies ready.
    Ready,
    /// Another segment is being made.
    Preparing,
    /// No other segment could be made; this one has so many bytes left.
    Low {
        /// Bytes left in the current segment.
        bytes: u64,
    },
}

enum Spare {
    Missing,
    Preparing(Box<dyn Preparation>),
    Ready,
}

/// The one writer of a journal.
pub struct Writer {
    storage: Box<dyn Storage>,
    options: Options,
    file: Box<dyn StorageFile>,
    name: String,
    salt: Salt,
    segment_bytes: u64,
    /// Offset after the last durable batch.
    end: u64,
    durable: Head,
    acknowledged_seq: u64,
    mark: Mark,
    /// Nothing before the first promise: a node without others makes none.
    promise: Option<Mark>,
    promised: u32,
    lacks: Lacks,
    batch: Placed,
    batch_records: u32,
    batch_head: Head,
    spare: Spare,
    poisoned: bool,
    _lock: Box<dyn Any + Send>,
}

impl Writer {
    /// Opens the journal for writing: takes its lock, recovers it and hands its records to `visitor`,
    /// or begins a new one if the directory holds none.
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`], whatever recovery refuses, what the visitor returns, or what the
    /// system said.
    pub fn open(
        storage: Box<dyn Storage>,
        options: Options,
        visitor: &mut dyn Visitor,
    ) -> Result<(Self, Option<Found>), JournalError> {
        Self::open_after(storage, options, None, visitor)
    }

    /// As [`Self::open`], from the record after `base` on: the rest is known from a snapshot.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_after(
        storage: Box<dyn Storage>,
        options: Options,
        base: Option<Head>,
        visitor: &mut dyn Visitor,
    ) -> Result<(Self, Option<Found>), JournalError> {
        let io = JournalError::io;
        let lock = storage.lock().map_err(io("lock", &storage.place()))?;
        let lock = lock.ok_or(JournalError::Locked)?;
        let names = storage.list().map_err(io("list", &storage.place()))?;
        for left in [SPARE_NAME, REPLACEMENT_NAME, crate::snapshot::PART_NAME, crate::fetch::PART_NAME] {
            if names.iter().any(|it| it == left) {
                storage.remove(left).map_err(io("remove", left))?;
                storage.sync_names().map_err(io("sync", "the journal directory"))?;
            }
        }
        let found = match recovery::recover(&*storage, options.exchange_id, base, visitor) {
            Ok(found) => Some(found),
            Err(JournalError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        let header = match &found {
            Some(found) => found.last.clone(),
            None => begin_after(&*storage, &options, Head::genesis(options.exchange_id))?,
        };
        let mark_exists = names.iter().any(|it| it == MARK_NAME);
        let mark = Mark::open(&*storage, options.exchange_id, mark_exists)?;
        let durable = found.as_ref().map_or(header.predecessor, |it| it.head);
        let promise_exists = names.iter().any(|it| it == PROMISE_NAME);
        let (promise, promised, lacks) = if promise_exists {
            let (mut mark, number) = Mark::open_promise(&*storage, options.exchange_id, true)?;
            let (promised, kept) = Lacks::of(number);
            let empty = durable.stamp.seq == 0;
            let lacks =
                Lacks { promises: kept.promises || empty && promised == 0, records: kept.records || empty };
            // As for the last segment: what is read may never have reached the disk.
            mark.write(lacks.with(promised))?;
            mark.sync()?;
            (Some(mark), promised, lacks)
        } else {
            // Every promise is synced before a record is taken for it: whoever has neither begins with nothing.
            let empty = durable.stamp.seq == 0;
            (None, 0, Lacks { promises: empty, records: empty })
        };
        let name = segment::segment_name(header.seq_first);
        let file = storage.open(&name, false).map_err(io("open", &name))?;
        let end = found.as_ref().map_or(offset_of(HEADER_BYTES), |it| it.end);
        let mut writer = Self {
            salt: header.salt(),
            segment_bytes: header.segment_bytes,
            acknowledged_seq: found.as_ref().map_or(0, |it| it.acknowledged_seq),
            batch: Placed::default(),
            batch_records: 0,
            batch_head: durable,
            spare: Spare::Missing,
            poisoned: false,
            _lock: lock,
            storage,
            options,
            file,
            name,
            end,
            durable,
            mark,
            promise,
            promised: promised.max(durable.stamp.epoch),
            lacks,
        };
        writer.prepare_spare();
        Ok((writer, found))
    }

    /// Head of what is durable.
    #[must_use]
    pub fn durable(&self) -> Head {
        self.durable
    }

    /// Bytes of frames (the batch end not counted) that one batch may have.
    #[must_use]
    pub fn batch_bytes_max(&self) -> u64 {
        let least = self.options.segment_bytes.min(self.segment_bytes);
        least - offset_of(HEADER_BYTES + FRAME_BYTES)
    }

    /// How much room there is. Also notices that a segment being made is ready.
    pub fn room(&mut self) -> Room {
        if let Spare::Preparing(preparation) = &mut self.spare {
            match preparation.poll() {
                None => return Room::Preparing,
                Some(Ok(())) => self.spare = Spare::Ready,
                Some(Err(_)) => self.spare = Spare::Missing,
            }
        }
        match self.spare {
            Spare::Ready => Room::Ready,
            Spare::Preparing(_) => Room::Preparing,
            Spare::Missing => Room::Low { bytes: self.segment_bytes.saturating_sub(self.end) },
        }
    }

    /// Begins to make the next segment if none is ready or being made.
    pub fn prepare_spare(&mut self) {
        if matches!(self.spare, Spare::Missing) {
            let preparation = self.storage.prepare(SPARE_NAME, self.options.segment_bytes);
            self.spare = Spare::Preparing(preparation);
        }
    }

    /// Makes sure that a batch of so many bytes of frames can be written, beginning the next segment
    /// if this one has no room. Called before anything of the batch is sequenced.
    ///
    /// # Errors
    ///
    /// [`JournalError::NoSpace`] if there is no room: nothing has changed, it can be asked again.
    /// [`JournalError::TooLarge`] if no segment could hold it.
    pub fn reserve(&mut self, frames_bytes: u64) -> Result<(), JournalError> {
        self.check_sound()?;
        assert!(self.batch_records == 0, "a batch is reserved before its first record is appended");
        let bytes_max = self.batch_bytes_max();
        if frames_bytes > bytes_max {
            return Err(JournalError::TooLarge { bytes: frames_bytes, bytes_max });
        }
        if self.fits(frames_bytes) {
            return Ok(());
        }
        self.prepare_spare();
        if let Spare::Preparing(preparation) = std::mem::replace(&mut self.spare, Spare::Missing)
            && let Err(error) = preparation.wait()
        {
            return Err(self.no_spare(error));
        }
        self.spare = Spare::Missing;
        let begun = self.begin_next();
        self.poisoned = begun.is_err();
        begun?;
        self.prepare_spare();
        assert!(self.fits(frames_bytes), "a fresh segment holds the largest batch");
        Ok(())
    }

    /// Adds a record to the batch in memory.
    ///
    /// # Panics
    ///
    /// If the stamp is not the successor of the last one, or the batch outgrows what was reserved:
    /// the caller is broken, and its history must not reach the disk.
    pub fn append(&mut self, stamp: Stamp, kind: u16, payload: &[u8]) {
        let before = self.batch_head.stamp;
        assert!(stamp.seq == before.seq + 1, "sequence numbers are gapless");
        assert!(stamp.epoch >= before.epoch, "epochs never decrease");
        assert!(stamp.time_us >= before.time_us, "journaled time never decreases");
        if self.batch_records == 0 {
            self.batch.begin(self.end);
        }
        let out = self.batch.add(record_bytes(payload.len()));
        let chain = frame::put_unsealed(out, self.batch_head.chain, stamp, (kind, payload));
        self.batch_head = Head { stamp, chain };
        self.batch_records += 1;
        assert!(self.fits(offset_of(self.batch.len())), "the batch was reserved");
    }

    /// The records of the batch in memory, as the journal will hold them but for their checksums, which are of use where
    /// the records lie on a disk.
    #[must_use]
    pub fn batch(&self) -> &[u8] {
        if self.batch_records == 0 { &[] } else { self.batch.bytes() }
    }

    /// Head after the batch in memory.
    #[must_use]
    pub fn batch_head(&self) -> Head {
        self.batch_head
    }

    /// Forgets the batch in memory.
    pub fn discard_batch(&mut self) {
        self.batch_records = 0;
        self.batch_head = self.durable;
    }

    /// The greatest epoch that this node has promised to, or has records of.
    #[must_use]
    pub fn promised(&self) -> u32 {
        self.promised
    }

    /// Promises to an epoch: durably, when this returns.
    ///
    /// # Errors
    ///
    /// What the system said; the writer is poisoned then.
    ///
    /// # Panics
    ///
    /// If a greater epoch was promised before.
    pub fn promise(&mut self, epoch: u32) -> Result<(), JournalError> {
        assert!(epoch >= self.promised, "a promise is never taken back");
        self.check_sound()?;
        if epoch > self.promised {
            self.write_promise(epoch, self.lacks, 1)?;
        }
        Ok(())
    }

    fn write_promise(&mut self, epoch: u32, lacks: Lacks, times: usize) -> Result<(), JournalError> {
        self.poisoned = true;
        if self.promise.is_none() {
            let (mark, _) = Mark::open_promise(&*self.storage, self.options.exchange_id, false)?;
            self.promise = Some(mark);
        }
        let mark = self.promise.as_mut().expect("it was opened above");
        for _ in 0..times {
            mark.write(lacks.with(epoch))?;
            mark.sync()?;
        }
        self.poisoned = false;
        (self.promised, self.lacks) = (epoch, lacks);
        Ok(())
    }

    /// What this journal lacks, which began on an empty disk.
    pub(crate) fn lacks(&self) -> Lacks {
        self.lacks
    }

    /// It lacks less from now on: durably, when this returns.
    pub(crate) fn regain(&mut self, lacks: Lacks) -> Result<(), JournalError> {
        self.check_sound()?;
        if lacks != self.lacks {
            // The greater number of the two sectors counts, and this one is smaller: it goes into both.
            self.write_promise(self.promised, lacks, 2)?;
        }
        Ok(())
    }

    /// The greatest sequence number that is known here to be acknowledged.
    #[must_use]
    pub fn acknowledged_seq(&self) -> u64 {
        self.acknowledged_seq
    }

    /// Takes everything after a record away; what is taken is kept in quarantine.
    ///
    /// # Errors
    ///
    /// What the system said; the writer is poisoned then.
    ///
    /// # Panics
    ///
    /// If something acknowledged would go, or a batch is in memory.
    pub fn cut(&mut self, seq: u64) -> Result<(), JournalError> {
        self.check_sound()?;
        assert!(self.batch_records == 0, "a batch is ended or discarded before a cut");
        assert!(seq <= self.durable.stamp.seq, "only what is there is cut");
        if seq == self.durable.stamp.seq {
            return Ok(());
        }
        self.poisoned = true;
        let end = cut::cut(&*self.storage, seq, self.acknowledged_seq)?;
        self.name = segment::segment_name(end.header.seq_first);
        self.file = self.storage.open(&self.name, false).map_err(JournalError::io("open", &self.name))?;
        self.salt = end.header.salt();
        self.segment_bytes = end.header.segment_bytes;
        self.end = end.end;
        self.durable = end.head;
        self.batch_head = end.head;
        self.poisoned = false;
        Ok(())
    }

    /// A handle to the journal's directory, for a reader on another thread.
    #[must_use]
    pub fn reader(&self) -> Box<dyn Storage> {
        self.storage.reader()
    }

    /// Ends the batch and writes it durably. When this returns, all of the batch is durable.
    ///
    /// # Errors
    ///
    /// What the system said. Whether the batch is durable is unknown then, and the writer refuses
    /// everything that follows.
    pub fn commit(&mut self) -> Result<Head, JournalError> {
        self.check_sound()?;
        if self.batch_records == 0 {
            return Ok(self.durable);
        }
        let end = BatchEnd {
            records: self.batch_records,
            bytes: u32::try_from(self.batch.len()).expect("bounded by the segment"),
            epoch: self.batch_head.stamp.epoch,
            seq_last: self.batch_head.stamp.seq,
            acknowledged_seq: self.acknowledged_seq,
            chain: self.batch_head.chain,
        };
        frame::seal_records(self.batch.bytes_mut(), self.end, self.salt);
        let offset = self.end + u64::from(end.bytes);
        frame::put_batch_end(self.batch.add(FRAME_BYTES), offset, self.salt, &end);
        self.poisoned = true;
        if let Some(appended) = self.file.append(self.end, self.batch.bytes()) {
            appended.map_err(JournalError::io("write and sync", &self.name))?;
        } else {
            write_all_at(&mut *self.file, self.end, self.batch.bytes())
                .map_err(JournalError::io("write", &self.name))?;
            if !crate::node::plant::skips_sync() {
                self.file.sync().map_err(JournalError::io("sync", &self.name))?;
            }
        }
        self.poisoned = false;
        self.end += offset_of(self.batch.len());
        self.durable = self.batch_head;
        self.batch_records = 0;
        Ok(self.durable)
    }

    /// Notes that everything up to a durable record has been, or is about to be, acknowledged. The
    /// note is on its way to the disk when this returns, not yet durable.
    ///
    /// # Errors
    ///
    /// What the system said; the writer is poisoned then.
    ///
    /// # Panics
    ///
    /// If the record is not durable.
    pub fn acknowledge(&mut self, seq: u64) -> Result<(), JournalError> {
        assert!(seq <= self.durable.stamp.seq, "only what is durable is acknowledged");
        self.check_sound()?;
        self.acknowledged_seq = self.acknowledged_seq.max(seq);
        let written = self.mark.write(self.acknowledged_seq);
        self.poisoned = written.is_err();
        written
    }

    /// Makes the last acknowledgement's note durable and closes the journal.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn close(mut self) -> Result<(), JournalError> {
        self.check_sound()?;
        self.mark.sync()
    }

    fn check_sound(&self) -> Result<(), JournalError> {
        if self.poisoned { Err(JournalError::Poisoned) } else { Ok(()) }
    }

    fn fits(&self, frames_bytes: u64) -> bool {
        self.end + frames_bytes + offset_of(FRAME_BYTES) <= self.segment_bytes
    }

    fn no_spare(&self, error: io::Error) -> JournalError {
        if is_full(&error) {
            JournalError::NoSpace { wanted_bytes: self.options.segment_bytes }
        } else {
            JournalError::Io { doing: "prepare the next segment".to_owned(), source: error }
        }
    }

    /// Turns the spare into the next segment.
    fn begin_next(&mut self) -> Result<(), JournalError> {
        let header = header_after(&self.options, self.durable);
        self.mark.sync()?;
        self.file = name_segment(&*self.storage, &header)?;
        self.name = segment::segment_name(header.seq_first);
        self.salt = header.salt();
        self.segment_bytes = header.segment_bytes;
        self.end = offset_of(HEADER_BYTES);
        Ok(())
    }
}

fn header_after(options: &Options, predecessor: Head) -> SegmentHeader {
    SegmentHeader {
        version: FORMAT_VERSION,
        exchange_id: options.exchange_id,
        seq_first: predecessor.stamp.seq + 1,
        segment_bytes: options.segment_bytes,
        predecessor,
        build: options.build.clone(),
    }
}

/// Begins the first segment of a journal, after a head: that of no record, or of a snapshot's.
pub(crate) fn begin_after(
    storage: &dyn Storage,
    options: &Options,
    head: Head,
) -> Result<SegmentHeader, JournalError> {
    let prepared = storage.prepare(SPARE_NAME, options.segment_bytes).wait();
    prepared.map_err(|error| {
        if is_full(&error) {
            JournalError::NoSpace { wanted_bytes: options.segment_bytes }
        } else {
            JournalError::Io { doing: "prepare the first segment".to_owned(), source: error }
        }
    })?;
    let header = header_after(options, head);
    name_segment(storage, &header)?;
    Ok(header)
}

/// Writes the header into the spare, and gives it its name when the header is durable.
fn name_segment(storage: &dyn Storage, header: &SegmentHeader) -> Result<Box<dyn StorageFile>, JournalError> {
    let io = JournalError::io;
    let name = segment::segment_name(header.seq_first);
    let mut file = storage.open(SPARE_NAME, false).map_err(io("open", SPARE_NAME))?;
    write_all_at(&mut *file, 0, &header.encode()).map_err(io("write the header of", &name))?;
    file.sync().map_err(io("sync the header of", &name))?;
    storage.rename(SPARE_NAME, &name).map_err(io("name", &name))?;
    storage.sync_names().map_err(io("sync", "the journal directory"))?;
    Ok(file)
}
