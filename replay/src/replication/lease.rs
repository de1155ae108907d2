//! What a lease store is told, and what follows from what it says: who may take over when the primary's lease has
//! run out, and when a primary may go on alone.
//!
//! The store keeps three things: the *holder* (the primary, under its lease, so that the entry goes with the lease),
//! the *heirs* (the nodes that hold everything acknowledged: one of them may take over), and the greatest *epoch*
//! that a node took over in. Safety does not hang on the lease's clock:
//!
//! 1. An order is acknowledged only when an heir has it, and a node ceases to be one *before* the primary
//!    acknowledges without it ([`Duty::Tell`], by a write of its own: what it wrote before may still be on its way).
//! 2. Whoever takes over has its epoch in the store *before* it leads, and a primary of a smaller one gives way
//!    when it sees that, whoever has died meanwhile. Promises alone do not do: a primary that lost sight of
//!    everybody would go on alone where its successor, gone by then, has acknowledged already (found by the simulation,
//!    `a_primary_gives_way_to_a_successor_that_is_gone`).
//!
//! So a primary that loses its lease or cannot reach the store goes on as long as a standby follows it: no watchdog
//! has to stop it, for the moment its standby is another's it can acknowledge nothing. It only may not go on alone.
//!
//! Like the rest of this module it knows no store and no clock: the gateway asks etcd, the simulation a model of it.

use super::NodeId;
use super::leader::Progress;
use crate::machine::Machine;
use crate::node::Node;

/// Who holds the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The node.
    pub node: NodeId,
    /// The epoch in which it leads; nothing while it tries to.
    pub epoch: Option<u32>,
}

/// A primary, as far as the store is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// The node.
    pub me: NodeId,
    /// The epoch in which it leads.
    pub epoch: u32,
    /// Nodes that follow it and hold everything acknowledged.
    pub followers: Vec<NodeId>,
    /// Whether it acknowledges alone.
    pub is_alone: bool,
    /// Whether it would if it were permitted to.
    pub wants_alone: bool,
}

impl Primary {
    /// A node as the store is to know it; nothing if it does not lead.
    pub fn of<M: Machine>(node: &Node<M>) -> Option<Self> {
        let (leader, position) = (node.leader()?, node.position());
        // Whoever holds everything acknowledged now holds all of it later: nothing is acknowledged without.
        let holds =
            |it: &Progress| it.connected && !it.diverged && it.durable_seq >= position.acknowledged_seq;
        Some(Self {
            me: node.settings().id,
            epoch: position.epoch,
            followers: leader.followers().iter().filter(|(_, it)| holds(it)).map(|(id, _)| *id).collect(),
            is_alone: position.alone,
            wants_alone: node.wants_to_be_alone(),
        })
    }
}

/// What a primary has to do about the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Another node leads in a greater epoch: give way.
    GiveWay(u32),
    /// Have the store say this, and the primary's epoch, if nobody has changed anything since it was read.
    Tell {
        /// The holder, under this node's lease.
        holder: Holder,
        /// The heirs, this node first.
        heirs: Vec<NodeId>,
        /// Whether it must be written even if the store says so already, and the primary goes on alone once it is:
        /// only a write of its own makes void what it wrote before and has not been heard of yet.
        alone_after: bool,
    },
}

/// What a primary has to do, given the greatest epoch that a node took over in.
#[must_use]
pub fn duty(primary: &Primary, epoch: u32) -> Duty {
    if epoch > primary.epoch {
        return Duty::GiveWay(epoch);
    }
    let mut heirs = vec![primary.me];
    if !primary.is_alone && !primary.wants_alone {
        heirs.extend(&primary.followers);
    }
    let holder = Holder { node: primary.me, epoch: Some(primary.epoch) };
    Duty::Tell { holder, heirs, alone_after: primary.wants_alone }
}

/// Whether a standby tries to take over by itself, perhaps again: it writes itself as the holder, then asks for
/// promises.
#[must_use]
pub fn takes_over(me: NodeId, holder: Option<Holder>, heirs: &[NodeId], paused: bool) -> bool {
    holder.is_none_or(|it| it.node == me && it.epoch.is_none()) && !paused && heirs.contains(&me)
}

/// Whether a node that has promises enough for an epoch may write it, and then lead in it, if nobody changes
/// anything before: it still is the holder or nobody is, it still is an heir (or nobody was ever named), and
/// no greater epoch stands there.
#[must_use]
pub fn may_write(me: NodeId, mine: u32, holder: Option<Holder>, heirs: &[NodeId], epoch: u32) -> bool {
    holder.is_none_or(|it| it.node == me) && (heirs.is_empty() || heirs.contains(&me)) && epoch < mine
}

#[cfg(test)]
mod tests {
    use super::{Duty, Holder, Primary, duty, may_write, takes_over};
    use crate::replication::NodeId;

    const ME: NodeId = NodeId(0);
    const OTHER: NodeId = NodeId(1);

    fn primary(wants_alone: bool) -> Primary {
        Primary { me: ME, epoch: 48, followers: vec![OTHER], is_alone: false, wants_alone }
    }

    #[test]
    fn a_primary_gives_way_to_a_successor_that_is_gone() {
        // Nobody holds the lease any more; the epoch stays.
        assert_eq!(duty(&primary(true), 65), Duty::GiveWay(65));
        assert!(matches!(duty(&primary(true), 48), Duty::Tell { .. }));
    }

    #[test]
    fn who_may_take_over_is_told_anew_before_a_primary_goes_on_alone() {
        let holder = Holder { node: ME, epoch: Some(48) };
        let together = Duty::Tell { holder, heirs: vec![ME, OTHER], alone_after: false };
        assert_eq!(duty(&primary(false), 0), together);
        let alone = Duty::Tell { holder, heirs: vec![ME], alone_after: true };
        assert_eq!(duty(&primary(true), 0), alone);
        let already = Primary { is_alone: true, ..primary(false) };
        assert_eq!(duty(&already, 48), Duty::Tell { holder, heirs: vec![ME], alone_after: false });
    }

    #[test]
    fn only_an_heir_takes_over_and_only_where_nobody_is() {
        let holder = Some(Holder { node: OTHER, epoch: None });
        assert!(takes_over(ME, None, &[OTHER, ME], false));
        assert!(!takes_over(ME, holder, &[ME], false), "another tries");
        assert!(!takes_over(ME, None, &[OTHER], false), "it lacks something");
        assert!(!takes_over(ME, None, &[ME], true), "paused");
        let mine = Some(Holder { node: ME, epoch: None });
        assert!(may_write(ME, 64, mine, &[OTHER, ME], 49) && may_write(ME, 64, None, &[], 0));
        assert!(!may_write(ME, 64, holder, &[ME], 49), "another was faster");
        assert!(!may_write(ME, 64, mine, &[OTHER], 49), "it is an heir no more");
        assert!(!may_write(ME, 64, mine, &[ME], 65), "another has led since");
    }
}
