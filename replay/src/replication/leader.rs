//! What a primary knows of those who follow it, and what it may acknowledge.

use super::{Mode, NodeId};
use crate::node::plant;
use std::collections::BTreeMap;

/// A standby that is so many records behind is close enough to wait for.
const CLOSE_RECORDS: u64 = 4_096;

/// What is known of a node that follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Last record durable there.
    pub durable_seq: u64,
    /// Last record applied there.
    pub applied_seq: u64,
    /// Whether it follows now.
    pub connected: bool,
    /// Whether its state was found to differ: it no longer counts.
    pub diverged: bool,
    /// When it last said something, ms.
    pub heard_ms: i64,
}

/// What an operator must know and the journal records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There is no standby: acknowledgements go on alone.
    Alone,
    /// A standby follows closely again: acknowledgements wait for it.
    Together,
}

/// The primary's view of one epoch.
#[derive(Clone, Debug)]
pub struct Leader {
    epoch: u32,
    mode: Mode,
    /// Nodes of the exchange, this one included.
    nodes: usize,
    /// The first record of this epoch; once it is acknowledged, everything before it is.
    first_seq: u64,
    acknowledged_seq: u64,
    followers: BTreeMap<NodeId, Progress>,
    alone: bool,
    /// Whether a standby has followed in this epoch: before that, going on alone is an
    /// operator's decision, for what another node holds is not known.
    together_once: bool,
    /// Whether an operator has ordered it to go on alone.
    ordered_alone: bool,
    missing_since_ms: i64,
}

impl Leader {
    /// A primary at the beginning of its epoch.
    #[must_use]
    pub fn new(epoch: u32, mode: Mode, nodes: usize, first_seq: u64, now_ms: i64) -> Self {
        Self {
            epoch,
            mode,
            nodes,
            first_seq,
            acknowledged_seq: 0,
            followers: BTreeMap::new(),
            alone: false,
            together_once: false,
            ordered_alone: false,
            missing_since_ms: now_ms,
        }
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether it acknowledges what is durable here only.
    #[must_use]
    pub fn alone(&self) -> bool {
        self.alone || self.nodes == 1
    }

    /// The mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What is known of the followers.
    #[must_use]
    pub fn followers(&self) -> &BTreeMap<NodeId, Progress> {
        &self.followers
    }

    /// An operator orders it to go on alone until a standby holds everything.
    pub fn order_alone(&mut self) {
        self.ordered_alone = true;
    }

    /// A node begins to follow; it holds the history up to `durable_seq`, which was proved by the chain.
    pub fn handle_follow(&mut self, node: NodeId, durable_seq: u64, now_ms: i64) {
        let follower = self.followers.entry(node).or_default();
        follower.connected = true;
        follower.heard_ms = now_ms;
        // Not what it held when it followed before: its disk may have been lost since.
        follower.durable_seq = durable_seq;
    }

    /// A follower has made records durable, in this epoch.
    pub fn handle_ack(&mut self, node: NodeId, durable_seq: u64, applied_seq: u64, now_ms: i64) {
        if let Some(follower) = self.followers.get_mut(&node) {
            follower.durable_seq = follower.durable_seq.max(durable_seq);
            follower.applied_seq = follower.applied_seq.max(applied_seq);
            // Its older connection may have been found dead only after it came by a new one.
            follower.connected = true;
            follower.heard_ms = plant::kept(now_ms);
        }
    }

    /// A node follows no more.
    pub fn handle_gone(&mut self, node: NodeId, now_ms: i64) {
        if let Some(follower) = self.followers.get_mut(&node) {
            follower.connected = false;
        }
        if !self.followers.values().any(|it| it.connected) {
            self.missing_since_ms = self.missing_since_ms.max(now_ms);
        }
    }

    /// A follower's state differs from this node's: it is not counted any more.
    pub fn handle_diverged(&mut self, node: NodeId) {
        self.followers.entry(node).or_default().diverged = true;
    }

    /// The last record that may be acknowledged, when this node has made everything up to `durable_seq`
    /// durable. Never decreases.
    pub fn poll_acknowledged(&mut self, durable_seq: u64) -> u64 {
        let theirs = self.followers.values().filter(|it| !it.diverged).map(|it| it.durable_seq).max();
        let may = if self.alone() || self.mode == Mode::Async {
            durable_seq
        } else {
            durable_seq.min(theirs.unwrap_or(0))
        };
        if may >= self.first_seq {
            self.acknowledged_seq = self.acknowledged_seq.max(may);
        }
        self.acknowledged_seq
    }

    /// Whether it is time to go on alone, or to wait for a standby again. The caller journals it and
    /// then calls [`Self::turn`].
    pub fn poll_turn(&mut self, durable_seq: u64, now_ms: i64, patience_ms: i64) -> Option<Turn> {
        if self.nodes == 1 || self.mode == Mode::Async {
            return None;
        }
        let counted = |it: &&Progress| it.connected && !it.diverged;
        let heard_ms = self.followers.values().filter(counted).map(|it| it.heard_ms).max();
        // Under load a standby is always some records behind; acknowledgements wait for it all the same.
        let close_seq = durable_seq.saturating_sub(CLOSE_RECORDS).max(self.first_seq);
        let close = |it: &Progress| it.durable_seq >= close_seq && now_ms - it.heard_ms < patience_ms.max(1);
        if self.followers.values().filter(counted).any(close) {
            self.together_once = true;
            return self.alone.then_some(Turn::Together);
        }
        let silent_ms = now_ms - heard_ms.unwrap_or(self.missing_since_ms);
        let lost = self.mode == Mode::SyncOrDegrade && self.together_once && silent_ms >= patience_ms;
        (!self.alone && (lost || self.ordered_alone)).then_some(Turn::Alone)
    }

    /// The turn is journaled.
    pub fn turn(&mut self, turn: Turn) {
        self.alone = turn == Turn::Alone;
        self.ordered_alone &= self.alone;
    }
}
