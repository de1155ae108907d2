//! Snapshots that nodes take and old segments that they retire while they run, and what becomes of a node whose next
//! record is in no segment any more: it fetches its primary's newest snapshot, piece by piece.
//!
//! The gateway's part (`server/link/serve.rs`, `follow.rs` and `fetch.rs`), with the same decisions in the same order.
//! Pieces are lost, repeated and damaged as all messages are, either end dies amid a transfer, and the power goes while
//! what has come is put in.
//!
//! # Deliberately absent
//!
//! - **An archive.** What is retired is gone from the exchange's own disks.
//! - **Rows** of the read model, which come with a snapshot in the gateway.

use super::ledger::Ledger;
use super::world::{EXCHANGE, Message, World, options};
use crate::error::{Flaw, JournalError};
use crate::fetch::{Fetch, Installed, install};
use crate::frame::{Stamp, index_of, offset_of};
use crate::node::{Follow, Welcome};
use crate::recovery::{self, Discard};
use crate::replication::feed::Feed;
use crate::retention;
use crate::snapshot;
use crate::storage::Storage as _;
use crate::storage::faulty::{Faults, FaultyDisk};

/// A few records, so that there are old ones soon.
pub(super) const SEGMENT_BYTES: u64 = 1_024;
/// Records between two snapshots of a node that runs.
const SNAPSHOT_EVERY: u64 = 12;
/// The first one holds the header.
const PIECE_BYTES: u64 = 800;
/// Between two requests for the same piece.
const AGAIN_MS: i64 = 60;
/// After so long without a piece the transfer is given up.
const PATIENCE_MS: i64 = 200;

/// What is said about a snapshot.
#[derive(Clone, Debug)]
pub(super) enum Word {
    /// The record after the one that a follower holds is gone: it needs a snapshot.
    Needed {
        epoch: u32,
        asked: Stamp,
    },
    /// From which byte on, of which snapshot; at first of the newest.
    Read {
        number: u64,
        epoch: u32,
        seq: Option<u64>,
        offset: u64,
    },
    Piece {
        number: u64,
        seq: u64,
        offset: u64,
        length: u64,
        bytes: Vec<u8>,
    },
    /// There is no such snapshot, or the node leads no more.
    Ended {
        number: u64,
    },
}

/// A snapshot that is coming.
pub(super) struct Transfer {
    number: u64,
    from: usize,
    epoch: u32,
    /// The last record held here when it was asked for.
    after: Stamp,
    seq: Option<u64>,
    offset: u64,
    fetch: Fetch,
    asked_ms: i64,
    heard_ms: i64,
}

impl Transfer {
    /// The process dies amid it.
    pub(super) fn abandon(self) {
        self.fetch.abandon();
    }
}

/// Whether a journal lacks its beginning.
pub(super) fn begins_late(disk: &FaultyDisk) -> bool {
    let scanned = recovery::scan(disk, None, &mut Discard);
    matches!(scanned, Err(JournalError::Damaged(damage)) if damage.flaw == Flaw::SegmentMissing)
}

/// Whether an operation ended for what a disk does; anything else is a mistake.
fn is_disks(error: &JournalError) -> bool {
    matches!(error, JournalError::Io { .. } | JournalError::NoSpace { .. })
}

impl World {
    /// Nodes look after their journals and their transfers.
    pub(super) fn transfer_step(&mut self) {
        if self.chance(8) {
            let index = self.random.below(self.nodes.len());
            self.keep_house(index);
        }
        for index in 0..self.nodes.len() {
            if self.nodes[index].node.is_some() && self.nodes[index].disk.is_off() {
                // It went amid something of which the core hears nothing.
                self.stop(index, true);
            }
            let now_ms = self.now_ms;
            let Some(transfer) = &mut self.nodes[index].transfer else { continue };
            if now_ms > transfer.heard_ms + PATIENCE_MS {
                self.nodes[index].transfer = None;
            } else if now_ms > transfer.asked_ms + AGAIN_MS {
                self.ask_for_piece(index);
            }
        }
    }

    /// A running node takes a snapshot if one is due, and retires what lies before the oldest that is kept.
    fn keep_house(&mut self, index: usize) {
        let machine = &self.nodes[index];
        let Some(node) = machine.node.as_ref().filter(|it| it.core().failure().is_none()) else { return };
        let acknowledged_seq = node.core().head().seq;
        let due_seq = snapshot::due(acknowledged_seq, SNAPSHOT_EVERY);
        match snapshot::make::<Ledger>(&machine.disk, due_seq, acknowledged_seq, &mut |_| {}) {
            Ok(made) => self.summary.snapshots += u64::from(made.is_some()),
            Err(error) if is_disks(&error) => return,
            Err(error) => panic!("a running node cannot take a snapshot: {error}"),
        }
        match retention::retire(&machine.disk, &FaultyDisk::new(0), i64::MAX) {
            Ok(retired) => self.summary.retired += offset_of(retired.len()),
            Err(error) if is_disks(&error) => {}
            Err(error) => panic!("a running node cannot retire a segment: {error}"),
        }
    }

    /// Whether a node that wants to follow is told that it needs a snapshot.
    pub(super) fn needs_snapshot(&mut self, from: usize, to: usize, asked: &Follow) -> bool {
        let machine = &mut self.nodes[to];
        let node = machine.node.as_mut().expect("the caller looked");
        let Welcome::From { epoch, seq, asked } = node.welcome(asked) else { return false };
        if seq >= node.position().durable_seq {
            return false;
        }
        let mut feed = Feed::after(node.core_mut().writer().reader(), seq);
        if feed.reaches(&machine.backlog).expect("disks can be read") {
            return false;
        }
        let headers = snapshot::headers(&machine.disk).expect("disks can be read");
        assert!(!headers.is_empty(), "record {} was retired and no snapshot covers it", seq + 1);
        self.send(to, from, Message::Transfer(Word::Needed { epoch, asked }));
        true
    }

    pub(super) fn hear(&mut self, from: usize, to: usize, word: Word) {
        match word {
            Word::Needed { epoch, asked } => self.begin_transfer(from, to, epoch, asked),
            Word::Read { number, epoch, seq, offset } => {
                let word = self.piece(to, number, epoch, seq, offset).unwrap_or(Word::Ended { number });
                self.send(to, from, Message::Transfer(word));
            }
            Word::Piece { number, seq, offset, length, bytes } => {
                if self.nodes[to].transfer.as_ref().is_some_and(|it| it.number == number) {
                    self.take_piece(to, seq, offset, length, bytes);
                }
            }
            Word::Ended { number } => {
                self.nodes[to].transfer.take_if(|it| it.number == number);
            }
        }
    }

    fn begin_transfer(&mut self, from: usize, to: usize, epoch: u32, asked: Stamp) {
        let (now_ms, number) = (self.now_ms, self.numbers + 1);
        let machine = &mut self.nodes[to];
        let node = machine.node.as_mut().expect("the caller looked");
        // One question at a time; an answer to an older one is nobody's.
        let stale = machine.transfer.is_some() || node.core().durable().stamp != asked;
        if stale || node.leader().is_some() || node.standing().promised > epoch {
            return;
        }
        let Ok(fetch) = Fetch::begin(node.core_mut().writer().reader()) else { return };
        machine.transfer = Some(Transfer {
            number,
            from,
            epoch,
            after: asked,
            seq: None,
            offset: 0,
            fetch,
            asked_ms: now_ms,
            heard_ms: now_ms,
        });
        (machine.primary, self.numbers) = (None, number);
        self.summary.fetches += 1;
        self.ask_for_piece(to);
    }

    fn ask_for_piece(&mut self, index: usize) {
        let Some(transfer) = &mut self.nodes[index].transfer else { return };
        transfer.asked_ms = self.now_ms;
        let Transfer { number, epoch, seq, offset, from, .. } = *transfer;
        self.send(index, from, Message::Transfer(Word::Read { number, epoch, seq, offset }));
    }

    /// What a primary gives; nothing if it leads no more or has no such snapshot.
    fn piece(&self, index: usize, number: u64, epoch: u32, seq: Option<u64>, offset: u64) -> Option<Word> {
        let machine = &self.nodes[index];
        let position = machine.node.as_ref()?.position();
        if !position.leads || position.epoch != epoch {
            return None;
        }
        let (header, length) = snapshot::offer::<Ledger>(&machine.disk, seq).expect("disks can be read")?;
        let seq = header.head.stamp.seq;
        let mut bytes = vec![0; index_of((length - offset).min(PIECE_BYTES))];
        machine.disk.read_at(&snapshot::name(seq), offset, &mut bytes).expect("it was read a moment ago");
        Some(Word::Piece { number, seq, offset, length, bytes })
    }

    fn take_piece(&mut self, index: usize, seq: u64, offset: u64, length: u64, mut bytes: Vec<u8>) {
        // In the calm too: it costs one transfer more.
        if self.chance(if self.stormy { 3 } else { 12 }) {
            let (at, bit) = (self.random.below(bytes.len()), self.random.below(8));
            bytes[at] ^= 1 << bit;
        }
        let machine = &mut self.nodes[index];
        let Some(mut transfer) = machine.transfer.take() else { return };
        if transfer.fetch.piece(offset, &bytes).is_err() {
            // One that has come already, or the disk takes no more: it begins anew.
            return;
        }
        let after = transfer.after.seq;
        let more = transfer.offset + offset_of(bytes.len()) < length;
        let looked = if offset == 0 { transfer.fetch.look::<Ledger>(EXCHANGE, after) } else { Ok(()) };
        let checked = looked.and_then(|()| {
            if more { Ok(()) } else { transfer.fetch.check::<Ledger>(EXCHANGE, after).map(|_| ()) }
        });
        if checked.is_err() {
            self.summary.fetches_damaged += 1;
            return;
        }
        if more {
            transfer.offset += offset_of(bytes.len());
            (transfer.seq, transfer.heard_ms) = (Some(seq), self.now_ms);
            machine.transfer = Some(transfer);
            return self.ask_for_piece(index);
        }
        let node = machine.node.as_ref().expect("the caller looked");
        // It may have led since it asked, or followed another.
        let same = node.leader().is_none() && node.core().durable().stamp == transfer.after;
        if same && transfer.fetch.keep().is_ok() {
            let power = self.stormy && self.chance(4);
            self.stop(index, power);
            self.nodes[index].up_at_ms = self.now_ms + 5;
        }
    }

    /// Puts in what has come, before a node starts. Whether it may start.
    pub(super) fn install(&mut self, index: usize) -> bool {
        let disk = self.nodes[index].disk.clone();
        let names = disk.list().expect("disks can be read");
        if self.stormy && names.iter().any(|it| it.starts_with("fetched")) && self.chance(3) {
            let after = 1 + u64::try_from(self.random.below(12)).expect("small");
            disk.set_faults(Faults { power_lost_at: Some(disk.operations() + after), ..Faults::default() });
        }
        match install::<Ledger>(&disk, &options(true), &mut || Ok(())) {
            Ok(installed) => {
                self.summary.fetched += u64::from(matches!(installed, Some(Installed::From(_))));
                true
            }
            Err(error) if is_disks(&error) => {
                disk.restart();
                self.nodes[index].up_at_ms = self.now_ms + 100;
                false
            }
            Err(error) => panic!("a node refuses its own journal before a snapshot is put in: {error}"),
        }
    }
}
