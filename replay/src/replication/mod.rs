//! How several nodes keep one history: epochs, positions, who may acknowledge, who may take over.
//!
//! One node writes, the primary; the others follow. Every primary has an epoch of its own: a number
//! that no other node can ever use ([`epoch_after`]). A node *promises* to an epoch, durably, before
//! it takes a record of it or lets a candidate have it, and takes nothing of a smaller one afterwards.
//! The whole of safety is three rules:
//!
//! 1. **Acknowledged** is what is durable at the primary and at one other node that follows it in its
//!    epoch, from the primary's own first record on ([`leader::Leader`]).
//! 2. **A candidate** becomes primary when all nodes but one have promised to its epoch, itself
//!    included, and none of them holds more than it ([`may_lead`]). Any two nodes that acknowledged
//!    something have at least one promise among them, so it holds everything acknowledged, and the old
//!    primary can acknowledge nothing any more.
//! 3. **A node whose history is another** keeps the common part and gives up the rest, but never
//!    anything that it knows to be acknowledged ([`lineage::Lineage::common`]).
//!
//! A node whose disk was lost and replaced by an empty one held promises and acknowledged records that nobody can
//! take from it any more. Three rules more, and both losses end by themselves:
//!
//! 4. **It follows nobody** before it has heard what the others have promised (all of them, or two that lack nothing),
//!    and promises to the greatest of these epochs: whoever was made primary by its lost promise has another's as well
//!    ([`crate::node::Node::handle_heard`]). Otherwise it would acknowledge for a primary that it helped to replace.
//! 5. **Its promise proves nothing**, and its own does not let it lead, before it has applied a record of the epoch in
//!    which it follows and everything that this primary has told it to be acknowledged ([`Standing::refilling`]): all
//!    that it acknowledged before is among that.
//! 6. **A primary forgets** what a node had made durable when it follows anew ([`leader::Leader::handle_follow`]).
//!
//! # Deliberately absent
//!
//! - **Messages on a wire, threads, clocks.** The gateway carries what is handed to it; time comes as
//!   an argument.
//! - **Choosing a primary.** An operator or a lease decides who should be; this decides who may.

pub mod feed;
pub mod leader;
pub mod lease;
pub mod lineage;

use crate::frame::{Head, Stamp};
use crate::node::plant;
use std::sync::Arc;

/// Nodes of one exchange.
pub const NODES_MAX: u32 = 16;

/// A node: its place in the list of nodes, which is the same everywhere and only grows at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub u8);

/// The smallest epoch after `epoch` that belongs to a node.
///
/// Epochs are dealt out like cards: each node has every sixteenth. So two nodes can never begin the
/// same one, whatever they know of each other, and a record's epoch says who wrote it.
///
/// # Panics
///
/// After 2^32 / 16 changes of primary.
#[must_use]
pub fn epoch_after(epoch: u32, node: NodeId) -> u32 {
    assert!(u32::from(node.0) < NODES_MAX, "the list of nodes is bounded");
    let round = epoch / NODES_MAX * NODES_MAX + u32::from(node.0);
    if round > epoch { round } else { round.checked_add(NODES_MAX).expect("an exchange has fewer primaries") }
}

/// The node to which an epoch belongs.
#[must_use]
pub fn node_of_epoch(epoch: u32) -> NodeId {
    NodeId(u8::try_from(epoch % NODES_MAX).expect("below sixteen"))
}

/// When an order is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// When it is durable here and at one standby; without a standby the market waits.
    Sync,
    /// The same, but the primary goes on alone when it has been without a standby for a while.
    SyncOrDegrade,
    /// When it is durable here.
    Async,
}

/// Records on their way to another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Head before the first of them.
    pub before: Head,
    /// Head after the last.
    pub last: Head,
    /// The records, as a journal holds them.
    pub frames: Arc<[u8]>,
}

/// What a node holds and has promised: what it tells a candidate, or a primary that it wants to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub node: NodeId,
    /// The greatest epoch that it has promised to.
    pub promised: u32,
    /// The last record durable there.
    pub head: Head,
    /// The greatest record that it knows to be acknowledged.
    pub acknowledged_seq: u64,
    /// Whether its journal began on an empty disk and it does not yet hold again what it may have acknowledged before.
    pub refilling: bool,
}

impl Standing {
    /// Whether it holds all that it ever acknowledged.
    fn proves(&self) -> bool {
        self.head.stamp.seq > 0 && (!self.refilling || plant::proves_while_refilling())
    }
}

/// Why a candidate does not become primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Too few nodes have promised to its epoch: another may hold acknowledged records that it lacks.
    Promises {
        /// Promises that there are, its own included.
        have: usize,
        /// Promises that are needed.
        need: usize,
    },
    /// A node holds more.
    Behind {
        /// Which.
        node: NodeId,
        /// What it holds.
        theirs: Stamp,
        /// What the candidate holds.
        mine: Stamp,
    },
    /// The epoch is not the candidate's, or it has promised to a greater one meanwhile.
    Epoch {
        /// What it has promised to.
        promised: u32,
    },
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Promises { have, need } => write!(
                f,
                "only {have} of {need} nodes have promised: one that was not asked may hold acknowledged records"
            ),
            Self::Behind { node, theirs, mine } => write!(
                f,
                "node {} holds record {} of epoch {}, this one only {} of epoch {}",
                node.0, theirs.seq, theirs.epoch, mine.seq, mine.epoch
            ),
            Self::Epoch { promised } => write!(f, "epoch {promised} has been promised to meanwhile"),
        }
    }
}

impl std::error::Error for Unfit {}

/// Whether a candidate may lead: `others` are the nodes that have promised to its epoch.
///
/// # Errors
///
/// Why not.
pub fn may_lead(epoch: u32, nodes: usize, me: &Standing, others: &[Standing]) -> Result<(), Unfit> {
    if me.promised != epoch || node_of_epoch(epoch) != me.node || me.head.stamp.epoch > epoch {
        return Err(Unfit::Epoch { promised: me.promised });
    }
    let asked = others.iter().filter(|it| it.promised == epoch && it.node != me.node);
    let mut promised: Vec<(NodeId, bool)> = asked.map(|it| (it.node, it.proves())).collect();
    promised.sort_unstable();
    promised.dedup();
    // A node whose disk is empty, or is being refilled, may have lost what it once acknowledged: its promise proves
    // nothing, unless every node has promised, when nothing more can be found anywhere.
    let proves = promised.iter().filter(|(_, holds)| *holds).count() + 1;
    let all = promised.len() + 1 >= nodes;
    let need = if me.proves() { nodes.saturating_sub(1).max(1) } else { nodes };
    if proves < need && !all {
        return Err(Unfit::Promises { have: proves, need });
    }
    // The later epoch decides before the number: a long tail of an old epoch was never acknowledged.
    let rank = |it: &Standing| (it.head.stamp.epoch, it.head.stamp.seq);
    match others.iter().max_by_key(|it| rank(it)).filter(|it| rank(it) > rank(me)) {
        Some(more) => Err(Unfit::Behind { node: more.node, theirs: more.head.stamp, mine: me.head.stamp }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
