//! A model of the lease store: what etcd does for nodes, with its answers late, lost or given to nobody, and
//! what was asked done long after whoever asked has given up.

use crate::replication::NodeId;
use crate::replication::lease::Holder;
use std::collections::BTreeMap;

/// What a node read: who holds the lease, who may take over, and as of which change of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) holder: Option<Holder>,
    pub(super) heirs: Vec<NodeId>,
    pub(super) holder_revision: u64,
    pub(super) heirs_revision: u64,
    /// The greatest epoch that a node took over in.
    pub(super) epoch: u32,
}

#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// Keep this lease (or give one) if it is wanted, and tell what is there.
    Look { lease: Option<u64>, wanted: bool },
    /// Change it, if it still is as it was seen.
    Put { seen: Seen, holder: Holder, lease: u64, heirs: Vec<NodeId>, epoch: u32 },
}

#[derive(Clone, Debug)]
pub(super) enum Reply {
    Seen { lease: Option<u64>, seen: Seen },
    Put(bool),
}

#[derive(Debug, Default)]
pub(super) struct Store {
    /// How long a lease lasts that is not renewed.
    pub(super) lease_ms: i64,
    seen: Seen,
    /// Under which the holder is written.
    holder_lease: u64,
    leases: BTreeMap<u64, i64>,
    last_lease: u64,
    revision: u64,
}

impl Store {
    fn expire(&mut self, now_ms: i64) {
        self.leases.retain(|_, until_ms| *until_ms > now_ms);
        if self.seen.holder.is_some() && !self.leases.contains_key(&self.holder_lease) {
            // As in etcd: what is absent is like what was never there.
            (self.seen.holder, self.seen.holder_revision) = (None, 0);
        }
    }

    /// The greatest epoch that a node took over in.
    pub(super) fn epoch(&self) -> u32 {
        self.seen.epoch
    }

    fn grant(&mut self, now_ms: i64) -> u64 {
        self.last_lease += 1;
        self.leases.insert(self.last_lease, now_ms + self.lease_ms);
        self.last_lease
    }

    /// Who holds the lease now.
    pub(super) fn holder(&mut self, now_ms: i64) -> Option<Holder> {
        self.expire(now_ms);
        self.seen.holder
    }

    /// Whether anybody was ever said to hold everything.
    pub(super) fn has_heirs(&self) -> bool {
        !self.seen.heirs.is_empty()
    }

    pub(super) fn answer(&mut self, ask: Ask, now_ms: i64) -> Reply {
        self.expire(now_ms);
        match ask {
            Ask::Look { lease, wanted } => {
                let kept = lease.filter(|it| wanted && self.leases.contains_key(it));
                if let Some(lease) = kept {
                    self.leases.insert(lease, now_ms + self.lease_ms);
                }
                let lease = kept.or_else(|| wanted.then(|| self.grant(now_ms)));
                Reply::Seen { lease, seen: self.seen.clone() }
            }
            Ask::Put { seen, holder, lease, heirs, epoch } => {
                let unchanged = seen == self.seen;
                if !unchanged || !self.leases.contains_key(&lease) {
                    return Reply::Put(false);
                }
                self.revision += 1;
                (self.seen.holder, self.seen.holder_revision) = (Some(holder), self.revision);
                self.holder_lease = lease;
                (self.seen.heirs, self.seen.heirs_revision) = (heirs, self.revision);
                self.seen.epoch = epoch;
                Reply::Put(true)
            }
        }
    }
}
