//! What must hold whatever happens, kept outside of every node.
//!
//! A record that any node has published is history: every node that ever publishes that number must
//! say the same. (An event's content is the digest of everything up to it, so equal content means an
//! equal past.) An acknowledged order stands at the record that its member was told, once.

use super::ledger::{Answer, Ledger};
use crate::frame::Stamp;
use crate::machine::{Machine as _, Sink};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Oracle {
    published: BTreeMap<u64, (u32, u128)>,
    acknowledged: BTreeMap<(u16, u32), u64>,
    /// Who acknowledged something in an epoch.
    primaries: BTreeMap<u32, usize>,
}

impl Oracle {
    fn publish(&mut self, stamp: Stamp, content: u128) {
        let known = self.published.entry(stamp.seq).or_insert((stamp.epoch, content));
        assert_eq!(*known, (stamp.epoch, content), "record {} was published with another content", stamp.seq);
    }

    /// A node goes on from a snapshot: its state is the history's at that record.
    pub(super) fn resume(&self, ledger: &Ledger, stamp: Stamp) {
        if let Some(known) = self.published.get(&stamp.seq) {
            let resumed = (stamp.epoch, ledger.digest());
            assert_eq!(*known, resumed, "a snapshot has another state after record {}", stamp.seq);
        }
    }

    /// A member was told that its order stands.
    pub(super) fn acknowledge(&mut self, order: (u16, u32), answer: Answer, epoch: u32, node: usize) {
        assert!(self.published.contains_key(&answer.seq), "acknowledged before it was published");
        let first = *self.acknowledged.entry(order).or_insert(answer.seq);
        assert_eq!(first, answer.seq, "order {order:?} stands in two places");
        let primary = *self.primaries.entry(epoch).or_insert(node);
        assert_eq!(primary, node, "two primaries acknowledged in epoch {epoch}");
    }

    /// The history that is left at the end must hold everything.
    pub(super) fn finish(&self, ledger: &Ledger, head_seq: u64) {
        let last = self.published.keys().next_back().copied().unwrap_or(0);
        assert!(head_seq >= last, "record {last} was published, history ends with {head_seq}");
        let gaps = self.published.keys().zip(1..).find(|(seq, expected)| **seq != *expected);
        assert_eq!(gaps, None, "published records have a gap");
        for (order, seq) in &self.acknowledged {
            assert_eq!(ledger.orders.get(order), Some(seq), "order {order:?} was acknowledged");
        }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        u64::try_from(self.acknowledged.len()).unwrap()
    }
}

/// What one node publishes, while it runs.
pub(super) struct Published {
    pub(super) oracle: Arc<Mutex<Oracle>>,
    pub(super) last_seq: u64,
}

impl Sink<Ledger> for Published {
    fn applied(&mut self, stamp: Stamp, _: &Answer, events: Vec<u128>, _: bool) {
        assert_eq!(stamp.seq, self.last_seq + 1, "a stream has neither gaps nor repetitions");
        self.last_seq = stamp.seq;
        let mut oracle = self.oracle.lock().unwrap_or_else(PoisonError::into_inner);
        events.into_iter().for_each(|content| oracle.publish(stamp, content));
    }
}
