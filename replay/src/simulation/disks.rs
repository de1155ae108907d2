//! What befalls disks, and how a node comes back from it.
//!
//! Where old segments are retired a journal is read from the oldest snapshot on after which all of it is here; what lies
//! before is then what the snapshot's lineage says.

use super::ledger::Ledger;
use super::world::{EXCHANGE, World};
use crate::error::JournalError;
use crate::frame::{Head, Record};
use crate::recovery::{self, Discard, Found, Visitor};
use crate::repair::{self, Unrepaired};
use crate::segment::seq_of_name;
use crate::snapshot::{self, Resumed};
use crate::storage::Storage as _;
use crate::storage::faulty::FaultyDisk;

/// The journal, from where it begins.
fn look(disk: &FaultyDisk) -> Result<Found, JournalError> {
    snapshot::from_where_it_begins(disk, |base| recovery::scan_after(disk, None, base, &mut Discard))
}

/// Whether a journal holds a record, with everything before it.
fn holds(disk: &FaultyDisk, head: Head) -> bool {
    struct Seeks(Head, bool);
    impl Visitor for Seeks {
        fn record(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
            self.1 |= Head { stamp: record.stamp, chain: record.chain } == self.0;
            Ok(())
        }
    }
    let covers = |base: Head| {
        let resumed = snapshot::newest::<Ledger>(disk, None, base.stamp.seq).ok().and_then(|it| it.0);
        let epoch = resumed.and_then(|it| it.lineage.epoch_of(head.stamp.seq));
        head.stamp.seq <= base.stamp.seq && epoch == Some(head.stamp.epoch)
    };
    let held = snapshot::from_where_it_begins(disk, |base| {
        let mut seeks = Seeks(head, base.is_some_and(covers));
        recovery::scan_after(disk, None, base, &mut seeks).map(|_| seeks.1)
    });
    held.unwrap_or(false)
}

impl World {
    /// A bit of a journal flips while its node is down. Left out are two damages that no node can be asked to survive:
    /// of what no other node holds, as after a time alone; and of the newest batch, which nothing tells from a torn one.
    pub(super) fn flip(&mut self, index: usize) {
        // Where segments are retired a damaged disk may have to be replaced, which is as good as lost.
        let lost = self.nodes.iter().any(|it| it.damaged || self.transfers && it.wiped);
        if self.nodes[index].node.is_some() || lost {
            return;
        }
        let disk = self.nodes[index].disk.clone();
        // Without this a power cut could take back the mark that tells the damage from a torn batch.
        disk.write_back();
        let Ok(before) = look(&disk) else { return };
        let segments: Vec<String> =
            disk.list().unwrap_or_default().into_iter().filter(|it| seq_of_name(it).is_some()).collect();
        let name = &segments[self.random.below(segments.len())];
        let bytes = disk.content(name).map_or(0, |it| it.len());
        let (at, bit) = (self.random.below(bytes), u32::try_from(self.random.below(8)).expect("small"));
        disk.flip(name, at, bit);
        let mut others = self.nodes.iter().enumerate().filter(|(it, _)| *it != index);
        let copied = others.any(|(_, it)| holds(&it.disk, before.head));
        match look(&disk) {
            Ok(found) if found.head == before.head => self.summary.flips += 1,
            Err(_) if copied => {
                self.nodes[index].damaged = true;
                self.summary.flips += 1;
            }
            Ok(_) | Err(_) => disk.flip(name, at, bit),
        }
    }

    /// A node's disk is lost, and while it is being refilled another node goes for a while.
    pub(super) fn lose_disk(&mut self, index: usize) {
        if self.nodes.iter().any(|it| it.damaged || it.wiped) {
            return;
        }
        self.stop(index, true);
        if !self.wipe(index) {
            return;
        }
        self.nodes[index].up_at_ms = self.now_ms + 60;
        let other = (index + 1 + self.random.below(self.nodes.len() - 1)) % self.nodes.len();
        let after_ms = i64::try_from(60 + self.random.below(300)).expect("small");
        self.doomed = Some((self.now_ms + after_ms, other));
    }

    /// A node's disk is lost while it is down, and an empty one takes its place. Left out is what no exchange survives:
    /// the loss of what no other disk holds, and of a second one before the first is full again.
    pub(super) fn wipe(&mut self, index: usize) -> bool {
        let lost = self.nodes.iter().any(|it| it.damaged || it.wiped);
        if lost || self.nodes[index].node.is_some() {
            return false;
        }
        let Ok(found) = look(&self.nodes[index].disk) else { return false };
        let mut others = self.nodes.iter().enumerate().filter(|(it, _)| *it != index);
        let copied = others.any(|(_, it)| holds(&it.disk, found.head));
        if copied {
            self.replace_disk(index);
        }
        copied
    }

    fn replace_disk(&mut self, index: usize) {
        self.nodes[index].disk = FaultyDisk::new(self.random.draw());
        self.nodes[index].wiped = true;
        self.summary.wipes += 1;
        // That takes longer than any message.
        self.network.retain(|it| it.from != index && it.to != index);
    }

    /// An operator mends a damaged journal from the copy of the node that holds most: a shorter one might lack what this
    /// node had acknowledged and its own mark does not say yet.
    pub(super) fn repair(&mut self, index: usize) {
        let disk = &self.nodes[index].disk;
        let others = self.nodes.iter().enumerate().filter(|(it, _)| *it != index);
        let heads = others.filter_map(|(at, it)| Some((look(&it.disk).ok()?.head.stamp, at)));
        let most = heads.max_by_key(|(it, at)| (it.epoch, it.seq, *at));
        let mended = most.map(|(_, at)| repair::repair(disk, &self.nodes[at].disk));
        if matches!(mended, Some(Ok(_))) {
            self.nodes[index].damaged = false;
            self.summary.repairs += 1;
        } else if self.transfers && matches!(mended, Some(Err(Unrepaired::Copy(_)))) {
            // The copy does not begin at the beginning, and the archive is somebody else's: an empty disk.
            self.nodes[index].damaged = false;
            self.replace_disk(index);
        } else {
            // The power may have gone amid it, or the disk may be full.
            disk.restart();
            let again_ms = if self.days.is_some() { 60_000 } else { 100 };
            self.nodes[index].up_at_ms = self.now_ms + again_ms;
        }
    }

    /// The newest snapshot of a node that is down, made now if one is due.
    pub(super) fn snapshot(&mut self, index: usize) -> Option<Resumed<Ledger>> {
        let disk = &self.nodes[index].disk;
        let acknowledged_seq = look(disk).ok()?.acknowledged_seq;
        let due_seq = snapshot::due(acknowledged_seq, 3);
        // The disk may be full or failing: then the last one must do.
        drop(snapshot::make::<Ledger>(disk, due_seq, acknowledged_seq, &mut |_| {}));
        let (resumed, passed_over) = snapshot::newest(disk, Some(EXCHANGE), u64::MAX).ok()?;
        assert_eq!(passed_over, [], "nothing damages whole files");
        resumed
    }
}
