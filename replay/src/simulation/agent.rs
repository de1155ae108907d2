//! What each node does about the lease store: the gateway's part, with the same decisions
//! ([`crate::replication::lease`]), one question at a time, given up when no answer comes.

use super::store::{Ask, Reply, Seen, Store};
use super::world::World;
use crate::node::plant::{Mistake, PLANTED};
use crate::replication::NodeId;
use crate::replication::lease::{Duty, Holder, Primary, duty, may_write, takes_over};
use crate::replication::may_lead;

/// Turns after which a planted mistake shows.
const FORGOTTEN_AFTER: u32 = 4_096;

/// What a node waits for.
#[derive(Clone, Debug)]
enum Waits {
    ForLook,
    /// For the holder and heirs to be written; then it may go on alone in that epoch.
    ToBeAlone(u32),
    ForWrite,
    /// For the lease of a primary that is gone.
    ToTakeOver(u64),
    /// For what stands there before it writes the epoch that it has promises for.
    ToWrite(u32),
    /// For its epoch to be written; then it leads.
    ToLead(u32),
}

#[derive(Debug, Default)]
pub(super) struct Agent {
    lease: Option<u64>,
    /// The last question, and since when an answer is waited for.
    asked: u64,
    waits: Option<(Waits, i64)>,
    next_ms: i64,
    /// After a try it lets the others have theirs: it may be behind one of them.
    rests_until_ms: i64,
    turns: u32,
    /// Whether the node's candidacy is by its lease, and not an operator's.
    pub(super) by_lease: bool,
}

/// A question or an answer on its way; answers that come too late are nobody's.
#[derive(Debug)]
pub(super) struct Mail {
    due_ms: i64,
    node: usize,
    number: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Ask(Ask),
    Reply(Reply),
}

/// The store with what is on its way to and from it.
#[derive(Debug, Default)]
pub(super) struct Leases {
    pub(super) store: Store,
    /// Between two turns of a node.
    turn_ms: i64,
    /// After so long without an answer a node begins anew; the store may still do what it was asked.
    given_up_ms: i64,
    pub(super) mail: Vec<Mail>,
    numbers: u64,
    /// Nodes that cannot reach it.
    pub(super) cut: Vec<usize>,
    pub(super) taken_over: u64,
    pub(super) gone_alone: u64,
}

impl Leases {
    /// `lease_ms` is how long a lease lasts that is not renewed.
    pub(super) fn new(lease_ms: i64, turn_ms: i64, given_up_ms: i64) -> Self {
        let mut store = Store::default();
        store.lease_ms = lease_ms;
        Self { store, turn_ms, given_up_ms, ..Self::default() }
    }

    /// When an agent asks next, or gives up what it has asked.
    pub(super) fn due_ms(&self, agent: &Agent) -> i64 {
        let given_up_ms = agent.waits.as_ref().map_or(i64::MIN, |(_, since_ms)| since_ms + self.given_up_ms);
        agent.next_ms.max(given_up_ms)
    }
}

impl Mail {
    pub(super) fn due_ms(&self) -> i64 {
        self.due_ms
    }
}

impl World {
    fn ask_store(&mut self, node: usize, ask: Ask, waits: Waits) {
        let now_ms = self.now_ms;
        let Some(leases) = &mut self.leases else { return };
        leases.numbers += 1;
        let number = leases.numbers;
        let agent = &mut self.nodes[node].agent;
        (agent.asked, agent.waits) = (number, Some((waits, now_ms)));
        self.post(node, number, What::Ask(ask));
    }

    fn post(&mut self, node: usize, number: u64, what: What) {
        let stormy = self.is_rough();
        let lost = self.loss > 0 && self.random.below(1_000) < self.loss;
        // Now and then the store does what it was asked after everybody has given it up.
        let delay = [1, 1, 3, 60, 400][self.random.below(if stormy { 5 } else { 3 })];
        let due_ms = self.now_ms + delay;
        let Some(leases) = &mut self.leases else { return };
        if !lost && !leases.cut.contains(&node) {
            leases.mail.push(Mail { due_ms, node, number, what });
        }
    }

    /// One step of the store and of every node's business with it.
    pub(super) fn lease_step(&mut self) {
        let now_ms = self.now_ms;
        loop {
            let Some(leases) = &mut self.leases else { return };
            let count = leases.mail.iter().filter(|it| it.due_ms <= now_ms).count();
            if count == 0 {
                break;
            }
            let nth = self.random.below(count);
            let mut due = leases.mail.iter().enumerate().filter(|(_, it)| it.due_ms <= now_ms);
            let picked = due.nth(nth).map(|(it, _)| it).expect("so many are due");
            let Mail { node, number, what, .. } = leases.mail.swap_remove(picked);
            match what {
                What::Ask(ask) => {
                    let reply = leases.store.answer(ask, now_ms);
                    self.post(node, number, What::Reply(reply));
                }
                What::Reply(reply) => {
                    let agent = &mut self.nodes[node].agent;
                    if agent.asked == number
                        && self.nodes[node].node.is_some()
                        && let Some((waits, _)) = self.nodes[node].agent.waits.take()
                    {
                        self.nodes[node].timers.touched = true;
                        self.heard_from_store(node, waits, reply);
                    }
                }
            }
        }
        for index in 0..self.nodes.len() {
            let Some(node) = &self.nodes[index].node else { continue };
            let leads = node.leader().is_some();
            let Some(leases) = &self.leases else { return };
            let agent = &mut self.nodes[index].agent;
            if leases.due_ms(agent) > now_ms {
                continue;
            }
            agent.next_ms = now_ms + leases.turn_ms;
            agent.turns += 1;
            let forgets = PLANTED.get() == Some(Mistake::ForgetKeepAlive) && agent.turns > FORGOTTEN_AFTER;
            let wanted = leads && !forgets;
            let lease = agent.lease.filter(|_| wanted);
            self.ask_store(index, Ask::Look { lease, wanted }, Waits::ForLook);
        }
    }

    fn heard_from_store(&mut self, index: usize, waits: Waits, reply: Reply) {
        match (waits, reply) {
            (Waits::ForLook, Reply::Seen { lease, seen }) => self.looked(index, lease, seen),
            (Waits::ToBeAlone(epoch), Reply::Put(true)) => {
                let now_ms = self.local_ms(index);
                let node = self.nodes[index].node.as_mut().expect("the caller looked");
                node.permit_alone(epoch, now_ms);
                let alone = node.position().alone;
                if let Some(leases) = &mut self.leases {
                    leases.gone_alone += u64::from(alone);
                }
            }
            (Waits::ToTakeOver(lease), Reply::Put(true)) => {
                let Some(leases) = &mut self.leases else { return };
                leases.taken_over += 1;
                let rests_ms = 3 * leases.store.lease_ms;
                let agent = &mut self.nodes[index].agent;
                (agent.lease, agent.by_lease) = (Some(lease), true);
                agent.rests_until_ms = self.now_ms + rests_ms;
                self.claim(index);
            }
            (Waits::ToWrite(epoch), Reply::Seen { lease: Some(lease), seen }) => {
                let me = NodeId(u8::try_from(index).expect("few nodes"));
                if may_write(me, epoch, seen.holder, &seen.heirs, seen.epoch) {
                    let (holder, heirs) = (Holder { node: me, epoch: Some(epoch) }, seen.heirs.clone());
                    let put = Ask::Put { seen, holder, lease, heirs, epoch };
                    self.ask_store(index, put, Waits::ToLead(epoch));
                }
            }
            (Waits::ToLead(epoch), Reply::Put(true)) => self.lead(index, epoch),
            _ => {}
        }
    }

    /// A candidate by lease has heard of a promise: with enough of them its epoch is written, and then it leads.
    pub(super) fn write_epoch(&mut self, index: usize) {
        let nodes = self.nodes.len();
        let machine = &mut self.nodes[index];
        let (Some(node), Some((epoch, promises))) = (machine.node.as_mut(), &machine.claim) else { return };
        let (epoch, standing) = (*epoch, node.standing());
        let asks =
            matches!(machine.agent.waits, Some((Waits::ToWrite(it) | Waits::ToLead(it), _)) if it == epoch);
        if !asks && may_lead(epoch, nodes, &standing, promises).is_ok() {
            let lease = machine.agent.lease;
            self.ask_store(index, Ask::Look { lease, wanted: true }, Waits::ToWrite(epoch));
        }
    }

    fn looked(&mut self, index: usize, lease: Option<u64>, seen: Seen) {
        let me = NodeId(u8::try_from(index).expect("few nodes"));
        self.nodes[index].agent.lease = lease;
        let node = self.nodes[index].node.as_ref().expect("the caller looked");
        let Some(primary) = Primary::of(node) else {
            let rests = self.nodes[index].agent.rests_until_ms > self.now_ms;
            let may = takes_over(me, seen.holder, &seen.heirs, false);
            if may && !rests && self.nodes[index].claim.is_none() {
                // It asks for a lease first.
                let Some(leases) = &mut self.leases else { return };
                let Reply::Seen { lease: Some(lease), .. } =
                    leases.store.answer(Ask::Look { lease: None, wanted: true }, self.now_ms)
                else {
                    return;
                };
                let holder = Holder { node: me, epoch: None };
                let (heirs, epoch) = (seen.heirs.clone(), seen.epoch);
                let put = Ask::Put { seen, holder, lease, heirs, epoch };
                self.ask_store(index, put, Waits::ToTakeOver(lease));
            }
            return;
        };
        match duty(&primary, seen.epoch) {
            Duty::GiveWay(epoch) => {
                self.nodes[index].node.as_mut().expect("it leads").handle_rumour(epoch);
            }
            Duty::Tell { holder, heirs, alone_after } => {
                let Some(lease) = lease else { return };
                let told = seen.holder == Some(holder) && seen.heirs == heirs;
                if told && alone_after && PLANTED.get() == Some(Mistake::AloneOnOldWord) {
                    let (epoch, now_ms) = (primary.epoch, self.local_ms(index));
                    return self.nodes[index].node.as_mut().expect("it leads").permit_alone(epoch, now_ms);
                }
                if alone_after || !told {
                    let waits = if alone_after { Waits::ToBeAlone(primary.epoch) } else { Waits::ForWrite };
                    let put = Ask::Put { seen, holder, lease, heirs, epoch: primary.epoch };
                    self.ask_store(index, put, waits);
                }
            }
        }
    }
}
