//! Nodes, members and the network between them, moved one small step at a time by seeded chance.

use super::agent::{Agent, Leases};
use super::days::{Days, Timers};
use super::ledger::{Answer, Ledger, Told};
use super::oracle::{Oracle, Published};
use super::transfer::{self, Transfer, Word};
use crate::core::{Core, Epoch, Offer};
use crate::error::JournalError;
use crate::node::plant::{Mistake, PLANTED};
use crate::node::{Ack, Follow, Node, Outlet, Position, Refusal, Settings, Welcome};
use crate::replication::feed::{Backlog, Feed};
use crate::replication::{Mode, NodeId, Run, Standing};
use crate::snapshot::Resumed;
use crate::storage::faulty::{Faults, FaultyDisk, Random};
use crate::writer::Options;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const MEMBERS: usize = 4;
pub(super) const EXCHANGE: u128 = 77;

/// What one storm amounted to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) acknowledged: u64,
    pub(super) records: u64,
    pub(super) primaries: u64,
    pub(super) cuts: u64,
    pub(super) power_cuts: u64,
    pub(super) kills: u64,
    pub(super) disk_faults: u64,
    /// Starts from a snapshot.
    pub(super) resumed: u64,
    pub(super) refused_parting: u64,
    /// Primaries that went on alone, and nodes that took over, by their lease.
    pub(super) gone_alone: u64,
    pub(super) taken_over: u64,
    /// Bits that flipped on a disk; journals that were mended from another node's.
    pub(super) flips: u64,
    pub(super) repairs: u64,
    /// Disks that were lost.
    pub(super) wipes: u64,
    /// Snapshots that were taken, and segments that were retired, while a node ran.
    pub(super) snapshots: u64,
    pub(super) retired: u64,
    /// Transfers of a snapshot: begun; ended, so that the node went on from it; refused because damaged.
    pub(super) fetches: u64,
    pub(super) fetched: u64,
    pub(super) fetches_damaged: u64,
    pub(super) simulated_ms: i64,
    /// Of these, in storms that last for days, and without a fault for so long that everything had to be well.
    pub(super) days_ms: i64,
    pub(super) calm_ms: i64,
    pub(super) steps: u64,
    /// The slowest answer in such a calm time.
    pub(super) slowest_ms: i64,
}

impl Summary {
    pub(super) fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.records += other.records;
        self.primaries += other.primaries;
        self.cuts += other.cuts;
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.disk_faults += other.disk_faults;
        self.resumed += other.resumed;
        self.refused_parting += other.refused_parting;
        self.gone_alone += other.gone_alone;
        self.taken_over += other.taken_over;
        self.flips += other.flips;
        self.repairs += other.repairs;
        self.wipes += other.wipes;
        self.snapshots += other.snapshots;
        self.retired += other.retired;
        self.fetches += other.fetches;
        self.fetched += other.fetched;
        self.fetches_damaged += other.fetches_damaged;
        self.simulated_ms += other.simulated_ms;
        self.days_ms += other.days_ms;
        self.calm_ms += other.calm_ms;
        self.steps += other.steps;
        self.slowest_ms = self.slowest_ms.max(other.slowest_ms);
    }
}

#[derive(Clone, Debug)]
pub(super) enum Message {
    Follow(Follow),
    Welcome(Welcome),
    Runs {
        epoch: u32,
        runs: Vec<Run>,
        durable_seq: u64,
        acknowledged: u64,
    },
    Ack(Ack),
    Claim(u32),
    /// A primary says which epoch it leads.
    Leads(u32),
    Promise(Standing),
    /// A node whose disk was empty asks what the others have promised, and is told.
    Asks,
    Says(Standing),
    Order(usize, u32),
    Answer {
        answer: Answer,
        number: u32,
        epoch: u32,
    },
    Elsewhere,
    /// Of the transfer of a snapshot.
    Transfer(Word),
    /// The connection of a node has ended.
    Gone,
}

/// Addresses: nodes first, then members.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub(super) due_ms: i64,
    pub(super) from: usize,
    pub(super) to: usize,
    message: Message,
}

#[derive(Default)]
pub(super) struct Words {
    acks: Vec<Ack>,
    unfit: bool,
}

/// The outlet of a simulated node.
struct Mouth {
    words: Arc<Mutex<Words>>,
    backlog: Arc<Backlog>,
}

impl Outlet for Mouth {
    fn journaled(&mut self, run: Run) {
        self.backlog.push(run);
    }

    fn moved(&mut self, _: Position) {}

    fn ack(&mut self, ack: Ack) {
        lock(&self.words).acks.push(ack);
    }

    fn unfit(&mut self, _: &Refusal) {
        lock(&self.words).unfit = true;
    }

    fn begun(&mut self) {
        self.backlog.clear();
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Machine {
    pub(super) disk: FaultyDisk,
    /// Nothing while the process is dead.
    pub(super) node: Option<Node<Ledger>>,
    pub(super) agent: Agent,
    words: Arc<Mutex<Words>>,
    pub(super) backlog: Arc<Backlog>,
    pub(super) feeds: BTreeMap<usize, Feed>,
    pub(super) primary: Option<usize>,
    pub(super) heard_ms: i64,
    /// The candidacy under way: epoch, promises.
    pub(super) claim: Option<(u32, Vec<Standing>)>,
    pub(super) inbox: VecDeque<(usize, u32)>,
    asked: VecDeque<(usize, u32)>,
    pub(super) clock_off_us: i64,
    pub(super) up_at_ms: i64,
    /// Whether a bit of its journal has flipped, so that it does not start.
    pub(super) damaged: bool,
    /// Whether its disk was lost, and it does not hold everything again.
    pub(super) wiped: bool,
    /// The snapshot that is coming.
    pub(super) transfer: Option<Transfer>,
    /// What it has heard of the others' promises.
    heard: Vec<Standing>,
    pub(super) timers: Timers,
}

pub(super) struct Member {
    pub(super) number: u32,
    /// When it asks, first or again.
    pub(super) due_ms: i64,
    /// Since when it waits for an answer.
    pub(super) since_ms: Option<i64>,
    at: usize,
    /// How often it has asked.
    tries: u32,
    /// Whether that node has answered the last order.
    pub(super) knows: bool,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) now_ms: i64,
    pub(super) nodes: Vec<Machine>,
    pub(super) members: Vec<Member>,
    pub(super) network: Vec<Envelope>,
    /// Pairs of nodes that cannot hear each other.
    pub(super) cut: Vec<(usize, usize)>,
    pub(super) loss: usize,
    /// The lease store, in storms that have one; in the others operators decide.
    pub(super) leases: Option<Leases>,
    pub(super) oracle: Arc<Mutex<Oracle>>,
    pub(super) summary: Summary,
    pub(super) stormy: bool,
    /// Whether whole disks are lost: every third storm, for it leaves less time for other faults.
    loses_disks: bool,
    /// Whether nodes retire old segments, so that whoever was away for long needs a snapshot: every fourth storm.
    pub(super) transfers: bool,
    /// Transfers so far.
    pub(super) numbers: u64,
    /// Which node goes when.
    pub(super) doomed: Option<(i64, usize)>,
    /// In storms that last for days.
    pub(super) days: Option<Days>,
}

pub(super) fn options(transfers: bool) -> Options {
    let segment_bytes = if transfers { transfer::SEGMENT_BYTES } else { 4_096 };
    Options { segment_bytes, build: "sim".to_owned(), ..Options::new(EXCHANGE) }
}

impl Member {
    fn new() -> Self {
        Self { number: 1, due_ms: i64::MIN, since_ms: None, at: 0, tries: 0, knows: true }
    }
}

impl World {
    /// `by_leases` says whether nodes take over by leases; otherwise chance decides.
    pub(super) fn new(seed: u64, by_leases: Option<bool>, lasts_days: bool) -> Self {
        let mut random = Random::new(seed);
        let count = 2 + random.below(2);
        let machine = |index: usize| Machine {
            disk: FaultyDisk::new(seed * 16 + u64::try_from(index).unwrap()),
            node: None,
            agent: Agent::default(),
            words: Arc::default(),
            backlog: Arc::new(Backlog::new(2_048)),
            feeds: BTreeMap::new(),
            primary: None,
            heard_ms: 0,
            claim: None,
            inbox: VecDeque::new(),
            asked: VecDeque::new(),
            clock_off_us: 0,
            up_at_ms: 0,
            damaged: false,
            wiped: false,
            transfer: None,
            heard: Vec::new(),
            timers: Timers::default(),
        };
        let loss = [0, 20, 150][random.below(3)];
        let leases = by_leases.unwrap_or(random.below(3) == 0).then(|| Leases::new(120, 15, 30));
        let mut world = Self {
            nodes: (0..count).map(machine).collect(),
            members: (0..MEMBERS).map(|_| Member::new()).collect(),
            network: Vec::new(),
            cut: Vec::new(),
            now_ms: 1_000,
            oracle: Arc::default(),
            summary: Summary::default(),
            stormy: true,
            loses_disks: seed.is_multiple_of(3),
            transfers: seed % 4 == 1 && !lasts_days,
            numbers: 0,
            doomed: None,
            days: None,
            random,
            loss,
            leases,
        };
        if lasts_days {
            world.pace();
        }
        (0..count).for_each(|it| world.start(it));
        // The exchange is founded on the first node.
        let founder = world.nodes[0].node.as_mut().expect("it has just started");
        let epoch = founder.claim(0).expect("an empty disk takes a promise");
        founder.lead_by_order(epoch, false, 0).expect("the epoch is its own");
        world.nodes[0].timers.touched = true;
        world
    }

    pub(super) fn summary(mut self) -> Summary {
        self.summary.acknowledged = lock(&self.oracle).acknowledged();
        self.summary.simulated_ms = if self.days.is_some() { 0 } else { self.now_ms };
        if let Some(leases) = &self.leases {
            (self.summary.gone_alone, self.summary.taken_over) = (leases.gone_alone, leases.taken_over);
        }
        self.summary
    }

    pub(super) fn storm(&mut self) {
        // Leases need time between two faults: to run out, to be taken, to be given back; transfers, to come to their end.
        let (steps, seldom) = match (self.leases.is_some(), self.transfers) {
            (true, _) => (4_000, 8),
            (false, true) => (2_400, 4),
            (false, false) => (800, 1),
        };
        for _ in 0..steps {
            if self.chance(seldom) {
                self.fault();
            }
            if let Some((_, other)) = self.doomed.take_if(|it| it.0 <= self.now_ms) {
                self.stop(other, false);
                self.nodes[other].up_at_ms += 1_500;
            }
            self.step();
        }
    }

    /// Everything works again: the history that is left is one, and holds all that was promised.
    pub(super) fn calm(&mut self) {
        self.stormy = false;
        self.cut.clear();
        if let Some(leases) = &mut self.leases {
            leases.cut.clear();
        }
        self.loss = 0;
        for index in 0..self.nodes.len() {
            self.nodes[index].disk.set_faults(Faults::default());
            let failed = self.nodes[index].node.as_ref().is_some_and(|it| it.core().failure().is_some());
            if failed {
                self.stop(index, false);
            }
            if self.nodes[index].node.is_none() {
                self.nodes[index].up_at_ms = 0;
            }
        }
        for round in 0..3_000 {
            // The market must go on: an operator makes somebody primary until somebody is.
            let by_lease = self.leases.as_ref().is_some_and(|it| it.store.has_heirs());
            if round % 100 == 99 && self.leaders() == 0 && !by_lease {
                let candidate = (round / 100) % self.nodes.len();
                self.claim(candidate);
            }
            // Where the only heir is behind a node that is none, nobody takes over by itself: an operator looks who holds
            // most.
            if round % 400 == 399 && round > 1_500 && self.leaders() == 0 && by_lease {
                let held = |it: &usize| self.nodes[*it].node.as_ref().map(|it| it.core().durable().stamp);
                let most = (0..self.nodes.len()).max_by_key(|it| held(it).map(|it| (it.epoch, it.seq)));
                let most = most.expect("there are nodes");
                self.nodes[most].agent.by_lease = false;
                self.claim(most);
            }
            self.step();
            if round > 400 && self.agrees() {
                break;
            }
        }
        let heads: Vec<_> = self.nodes.iter().map(|it| it.node.as_ref().map(Node::position)).collect();
        assert!(self.agrees(), "the nodes do not come together: {heads:?}, leases {:?}", self.leases);
        self.finish();
    }

    /// The history that is left holds all that was promised.
    pub(super) fn finish(&self) {
        assert!(self.agrees(), "all nodes hold the same");
        let oracle = lock(&self.oracle);
        for machine in &self.nodes {
            let core = machine.node.as_ref().expect("all are up").core();
            oracle.finish(core.machine(), core.head().seq);
        }
    }

    pub(super) fn leaders(&self) -> usize {
        self.nodes.iter().filter(|it| it.node.as_ref().is_some_and(|it| it.leader().is_some())).count()
    }

    /// All nodes are up, with one primary and one history, all of it acknowledged.
    pub(super) fn agrees(&self) -> bool {
        let cores: Vec<_> = self.nodes.iter().filter_map(|it| it.node.as_ref()).map(Node::core).collect();
        let first = cores.first().map(|it| it.durable());
        cores.len() == self.nodes.len()
            && self.leaders() == 1
            && cores.iter().all(|it| Some(it.durable()) == first && it.head() == it.durable().stamp)
            && cores.iter().all(|it| it.machine().orders == cores[0].machine().orders)
    }

    pub(super) fn chance(&mut self, one_in: usize) -> bool {
        self.random.below(one_in) == 0
    }

    fn fault(&mut self) {
        let index = self.random.below(self.nodes.len());
        match self.random.below(240) {
            0..3 => self.stop(index, false),
            3..6 => self.stop(index, true),
            6..9 => {
                let other = self.random.below(self.nodes.len());
                self.cut.push((index.min(other), index.max(other)));
            }
            9..14 => self.cut.clear(),
            14..18 if self.leases.is_none() => self.claim(index),
            14..16 => {
                // A node that is cut off from the store, and perhaps from everybody.
                let others = 0..if self.chance(2) { self.nodes.len() } else { 0 };
                self.cut.extend(others.map(|it| (index.min(it), index.max(it))));
                if let Some(leases) = &mut self.leases {
                    leases.cut.push(index);
                }
            }
            16..18 => {
                if let Some(leases) = &mut self.leases {
                    leases.cut.clear();
                }
            }
            18..20 => {
                let off = i64::try_from(self.random.below(4_000_000)).expect("small");
                self.nodes[index].clock_off_us = off - 2_000_000;
            }
            20 => self.disk_fault(index, Faults { sync_fails: true, ..Faults::default() }),
            21 => self.disk_fault(index, Faults { capacity_bytes: Some(0), ..Faults::default() }),
            22 => self.disk_fault(index, Faults { read_only: true, ..Faults::default() }),
            23..26 => {
                let at = self.nodes[index].disk.operations()
                    + 1
                    + u64::try_from(self.random.below(6)).expect("small");
                self.disk_fault(index, Faults { power_lost_at: Some(at), ..Faults::default() });
            }
            26..34 => self.nodes[index].disk.set_faults(Faults::default()),
            34..36 => self.nodes[index].disk.set_faults(Faults { short_writes: true, ..Faults::default() }),
            36..40 => self.flip(index),
            40..43 if self.loses_disks => self.lose_disk(index),
            _ => {}
        }
    }

    pub(super) fn disk_fault(&mut self, index: usize, faults: Faults) {
        self.summary.disk_faults += 1;
        self.nodes[index].disk.set_faults(faults);
    }

    /// The process ends; with the power, what was not synced may be gone.
    pub(super) fn stop(&mut self, index: usize, power: bool) {
        let back_ms = i64::try_from(self.random.below(400)).expect("small");
        if self.days.is_some() && self.nodes[index].node.is_some() {
            // At times a connection is found dead long after whoever had it has come back.
            let late_ms = [3, 3, 1_000, 20_000][self.random.below(4)];
            for other in (0..self.nodes.len()).filter(|it| *it != index) {
                let due_ms = self.now_ms + late_ms;
                self.network.push(Envelope { due_ms, from: index, to: other, message: Message::Gone });
            }
        }
        let machine = &mut self.nodes[index];
        machine.node = None;
        if let Some(it) = machine.transfer.take() {
            it.abandon();
        }
        machine.feeds.clear();
        machine.inbox.clear();
        machine.asked.clear();
        machine.agent = Agent::default();
        machine.heard.clear();
        (machine.primary, machine.claim) = (None, None);
        // Away for long: the others retire what it needs.
        let long = self.transfers && back_ms % 4 == 0;
        machine.up_at_ms = self.now_ms + if long { 4 * back_ms } else { back_ms };
        if power {
            machine.disk.restart();
            self.summary.power_cuts += 1;
        } else {
            self.summary.kills += 1;
        }
    }

    pub(super) fn start(&mut self, index: usize) {
        if self.nodes[index].damaged {
            return self.repair(index);
        }
        if self.transfers && !self.install(index) {
            return;
        }
        let nodes = self.nodes.len();
        let from_snapshot = if self.days.is_some() { !self.chance(8) } else { self.chance(2) };
        // Nobody can do without whose journal does not begin at the beginning.
        let from_snapshot = from_snapshot || self.transfers && transfer::begins_late(&self.nodes[index].disk);
        let resumed = if from_snapshot { self.snapshot(index) } else { None };
        if let Some(Resumed { machine, head, .. }) = &resumed {
            self.summary.resumed += 1;
            lock(&self.oracle).resume(machine, head.stamp);
        }
        let machine = &mut self.nodes[index];
        let last_seq = resumed.as_ref().map_or(0, |it| it.head.stamp.seq);
        let sink = Box::new(Published { oracle: Arc::clone(&self.oracle), last_seq });
        let known = match resumed {
            Some(Resumed { machine, head, lineage }) => (machine, Some((head, lineage))),
            None => (Ledger::default(), None),
        };
        let storage = Box::new(machine.disk.clone());
        let options = options(self.transfers);
        let opened = Core::open_after(storage, options, Epoch::Follow, known, sink, &mut |_| {});
        let core = match opened {
            Ok((core, _)) => core,
            Err(JournalError::Io { .. } | JournalError::NoSpace { .. }) => {
                // The disk is still full or failing: an operator tries again later.
                machine.disk.restart();
                machine.up_at_ms = self.now_ms + 100;
                return;
            }
            Err(error) => panic!("a node refuses its own journal: {error}"),
        };
        let settings = Settings {
            name: format!("n{index}"),
            id: NodeId(u8::try_from(index).expect("few nodes")),
            nodes,
            mode: if self.leases.is_some() { Mode::SyncOrDegrade } else { Mode::Sync },
            patience_ms: if self.leases.is_some() {
                self.days.as_ref().map_or(60, |it| it.pace.patience_ms)
            } else {
                0
            },
            digest_every: 7,
            asks_before_alone: self.leases.is_some(),
        };
        machine.words = Arc::default();
        machine.backlog = Arc::new(Backlog::new(if self.transfers { 256 } else { 2_048 }));
        let mouth = Mouth { words: Arc::clone(&machine.words), backlog: Arc::clone(&machine.backlog) };
        machine.node = Some(Node::standby(core, settings, Box::new(mouth)));
        machine.heard_ms = 0;
    }

    /// An operator, or a lease, wants this node to lead.
    pub(super) fn claim(&mut self, index: usize) {
        let mut heard = self.leases.as_ref().map_or(0, |it| it.store.epoch());
        if self.days.is_some() {
            // It asks the others first.
            let reached =
                (0..self.nodes.len()).filter(|it| !self.cut.contains(&(index.min(*it), index.max(*it))));
            let reached: Vec<usize> = reached.collect();
            for other in reached {
                let node = self.nodes[other].node.as_mut();
                heard = heard.max(node.map_or(0, |it| it.standing().promised));
            }
        }
        let Some(node) = self.nodes[index].node.as_mut() else { return };
        let Ok(epoch) = node.claim(heard) else { return };
        self.nodes[index].claim = Some((epoch, Vec::new()));
        self.nodes[index].timers.claim_until_ms = self.now_ms + 1_000;
        self.nodes[index].primary = None;
        for other in (0..self.nodes.len()).filter(|it| *it != index) {
            self.send(index, other, Message::Claim(epoch));
        }
        self.try_lead(index);
    }

    fn try_lead(&mut self, index: usize) {
        let careless = PLANTED.get() == Some(Mistake::LeadBeforeWriting);
        if self.leases.is_some() && self.nodes[index].agent.by_lease && !careless {
            return self.write_epoch(index);
        }
        if let Some((epoch, _)) = self.nodes[index].claim {
            self.lead(index, epoch);
        }
    }

    /// Begins to lead in the epoch of its candidacy, if it may.
    pub(super) fn lead(&mut self, index: usize, wanted: u32) {
        let (now_ms, nodes) = (self.local_ms(index), self.nodes.len());
        let machine = &mut self.nodes[index];
        let (Some(node), Some((epoch, promises))) = (machine.node.as_mut(), &machine.claim) else { return };
        if *epoch == wanted && node.lead(*epoch, promises, now_ms).is_ok() {
            machine.claim = None;
            machine.feeds.clear();
            machine.asked.clear();
            machine.timers.touched = true;
            if std::mem::take(&mut machine.agent.by_lease) && nodes == 2 {
                node.order_alone();
            }
            self.summary.primaries += 1;
        }
    }

    pub(super) fn send(&mut self, from: usize, to: usize, message: Message) {
        let pair = (from.min(to), from.max(to));
        if self.cut.contains(&pair) || (self.loss > 0 && self.random.below(1_000) < self.loss) {
            return;
        }
        let copies = if self.loss > 0 && self.chance(30) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = [1, 1, 2, 3, 40][self.random.below(if self.is_rough() { 5 } else { 3 })];
            let message = message.clone();
            let mut due_ms = self.now_ms + delay;
            if self.days.is_some() && !self.is_rough() {
                // A connection keeps its order; where it does not, it has been broken and begun anew.
                let before = self.network.iter().filter(|it| (it.from, it.to) == (from, to));
                let before = before.filter(|it| !matches!(it.message, Message::Gone));
                due_ms = before.map(|it| it.due_ms + 1).fold(due_ms, i64::max);
            }
            self.network.push(Envelope { due_ms, from, to, message });
        }
    }

    fn step(&mut self) {
        self.now_ms += i64::try_from(self.random.below(4)).expect("small");
        self.happen();
        for index in 0..self.nodes.len() {
            self.turn(index);
        }
        if self.transfers {
            self.transfer_step();
        }
    }

    /// What is due now comes to the nodes: their starts, orders, messages, the lease store's answers.
    pub(super) fn happen(&mut self) {
        for index in 0..self.nodes.len() {
            if self.nodes[index].node.is_none() && self.nodes[index].up_at_ms <= self.now_ms {
                self.start(index);
            }
        }
        self.members();
        // Messages that are due come in any order.
        for _ in 0..12 {
            let now_ms = self.now_ms;
            let count = self.network.iter().filter(|it| it.due_ms <= now_ms).count();
            if count == 0 {
                break;
            }
            let nth = self.random.below(count);
            let mut due = self.network.iter().enumerate().filter(|(_, it)| it.due_ms <= now_ms);
            let picked = due.nth(nth).map(|(it, _)| it).expect("so many are due");
            let envelope = self.network.swap_remove(picked);
            self.deliver(envelope);
        }
        self.lease_step();
    }

    fn members(&mut self) {
        for index in 0..MEMBERS {
            if self.members[index].due_ms > self.now_ms {
                continue;
            }
            // No answer: unknown. The same order again, perhaps elsewhere.
            let at = self.random.below(self.nodes.len());
            let again_ms = self.days.as_ref().map_or(120, |it| it.pace.again_ms);
            let member = &mut self.members[index];
            let keeps = member.due_ms == i64::MIN || self.days.is_some() && member.knows;
            member.at = if keeps { member.at } else { at };
            member.due_ms =
                self.now_ms + (again_ms << if self.days.is_some() { member.tries.min(6) } else { 0 });
            member.tries += 1;
            if member.since_ms.is_some() {
                member.knows = false;
            }
            member.since_ms.get_or_insert(self.now_ms);
            let (at, number) = (member.at, member.number);
            self.send(self.nodes.len() + index, at, Message::Order(index, number));
        }
    }

    fn deliver(&mut self, envelope: Envelope) {
        let Envelope { from, to, message, .. } = envelope;
        if to >= self.nodes.len() {
            return self.deliver_to_member(from, to - self.nodes.len(), &message);
        }
        let now_ms = self.local_ms(to);
        if self.nodes[to].node.is_none() {
            return;
        }
        self.nodes[to].timers.touched = true;
        match message {
            Message::Order(member, number) => self.nodes[to].inbox.push_back((member, number)),
            Message::Follow(asked) => self.asked_to_follow(from, to, &asked),
            Message::Welcome(welcome) => self.welcome(from, to, welcome),
            Message::Runs { epoch, runs, durable_seq, acknowledged } => {
                let machine = &mut self.nodes[to];
                let node = machine.node.as_mut().expect("checked");
                if node.handle_runs(epoch, runs, acknowledged).is_ok() {
                    // A quiet stream with records missing has lost its last message.
                    let whole = node.core().durable().stamp.seq >= durable_seq;
                    if whole || machine.heard_ms == 0 {
                        machine.heard_ms = self.now_ms;
                    }
                }
            }
            Message::Ack(ack) => {
                let id = NodeId(u8::try_from(from).expect("few nodes"));
                self.nodes[to].node.as_mut().expect("checked").handle_ack(id, &ack, now_ms);
            }
            Message::Claim(epoch) => {
                self.nodes[to].primary = None;
                let node = self.nodes[to].node.as_mut().expect("checked");
                if let Ok(standing) = node.handle_claim(epoch) {
                    self.send(to, from, Message::Promise(standing));
                }
            }
            Message::Asks => {
                let standing = self.nodes[to].node.as_mut().expect("checked").standing();
                self.send(to, from, Message::Says(standing));
            }
            Message::Says(standing) => {
                let machine = &mut self.nodes[to];
                machine.heard.retain(|it| it.node != standing.node);
                machine.heard.push(standing);
                machine.node.as_mut().expect("checked").handle_heard(&machine.heard);
            }
            Message::Leads(epoch) => {
                self.nodes[to].node.as_mut().expect("checked").handle_rumour(epoch);
            }
            Message::Promise(standing) => {
                if let Some((_, promises)) = &mut self.nodes[to].claim {
                    promises.push(standing);
                }
                self.try_lead(to);
            }
            Message::Gone => {
                let id = NodeId(u8::try_from(from).expect("few nodes"));
                self.nodes[to].node.as_mut().expect("checked").handle_gone(id, now_ms);
            }
            Message::Transfer(word) => self.hear(from, to, word),
            Message::Answer { .. } | Message::Elsewhere => {}
        }
    }

    fn asked_to_follow(&mut self, from: usize, to: usize, asked: &Follow) {
        if self.transfers && self.needs_snapshot(from, to, asked) {
            return;
        }
        let now_ms = self.local_ms(to);
        let node = self.nodes[to].node.as_mut().expect("checked");
        let welcome = node.handle_follow(asked, now_ms);
        if let Welcome::From { seq, .. } = welcome {
            let reader = node.core_mut().writer().reader();
            self.nodes[to].feeds.insert(from, Feed::after(reader, seq));
        }
        if let Welcome::Outrun { .. } = welcome {
            // Nobody else leads in that epoch as far as it knows: it asks for promises anew.
            let node = self.nodes[to].node.as_mut().expect("checked");
            let heard = asked.standing.promised;
            if self.random.below(2) == 0
                && let Ok(epoch) = node.claim(heard)
            {
                self.nodes[to].claim = Some((epoch, Vec::new()));
                self.nodes[to].timers.claim_until_ms = self.now_ms + 1_000;
                self.nodes[to].agent.by_lease = self.leases.is_some();
                for other in (0..self.nodes.len()).filter(|it| *it != to) {
                    self.send(to, other, Message::Claim(epoch));
                }
            }
        }
        self.send(to, from, Message::Welcome(welcome));
    }

    fn welcome(&mut self, from: usize, to: usize, welcome: Welcome) {
        let machine = &mut self.nodes[to];
        let node = machine.node.as_mut().expect("the caller looked");
        match welcome {
            Welcome::From { epoch, asked, .. } => {
                if node.handle_welcome(epoch, asked).is_ok() {
                    machine.primary = Some(from);
                    machine.heard_ms = self.now_ms;
                    machine.claim = None;
                }
            }
            Welcome::PartsAfter { epoch, seq, asked } => match node.handle_parting(epoch, seq, asked) {
                Ok(()) => {
                    self.summary.cuts += 1;
                    let follow = node.follow();
                    self.send(to, from, Message::Follow(follow));
                }
                Err(Refusal::Acknowledged { .. }) => {
                    self.summary.refused_parting += 1;
                    panic!("acknowledged records are not in the primary's history");
                }
                Err(_) => {}
            },
            Welcome::Outrun { .. } | Welcome::NotPrimary => {}
        }
    }

    fn deliver_to_member(&mut self, from: usize, index: usize, message: &Message) {
        let member = &mut self.members[index];
        match message {
            Message::Answer { answer, number, epoch } => {
                let order = (u16::try_from(index).expect("few members"), *number);
                lock(&self.oracle).acknowledge(order, *answer, *epoch, from);
                if *number == member.number {
                    member.number += 1;
                    member.due_ms = self.now_ms;
                    member.tries = 0;
                    let since_ms = member.since_ms.take();
                    let knew = std::mem::replace(&mut member.knows, true);
                    member.at = from;
                    self.answered(index, since_ms.filter(|_| knew));
                }
            }
            Message::Elsewhere => {
                member.due_ms = self.now_ms + 20;
                member.knows = false;
            }
            Message::Gone => {}
            Message::Follow(_)
            | Message::Welcome(_)
            | Message::Runs { .. }
            | Message::Ack(_)
            | Message::Claim(_)
            | Message::Leads(_)
            | Message::Promise(_)
            | Message::Asks
            | Message::Says(_)
            | Message::Transfer(_)
            | Message::Order(..) => {}
        }
    }

    /// One turn of a node's thread.
    pub(super) fn turn(&mut self, index: usize) {
        let (now_ms, now_us) = (self.local_ms(index), self.wall_us(index));
        let machine = &mut self.nodes[index];
        let Some(node) = machine.node.as_mut() else { return };
        if node.core().failure().is_some() {
            // The process says so and ends; what was on its way to the disk is in doubt.
            return self.stop(index, true);
        }
        let mut elsewhere = Vec::new();
        if node.leader().is_some() && machine.timers.full_until_ms > self.now_ms {
            // Refused until there may be space again.
            machine.inbox.clear();
        } else if node.leader().is_some() {
            node.core_mut().begin(now_us, "n");
            let mut offered = Vec::new();
            while let Some((member, number)) = machine.inbox.pop_front() {
                let body = Told::Order(u16::try_from(member).expect("few members"), number);
                if matches!(node.core_mut().offer(body), Offer::Taken) {
                    offered.push((member, number));
                } else {
                    break;
                }
            }
            if node.journal(now_us).is_ok() {
                machine.asked.extend(offered);
            } else if self.days.is_some() {
                machine.timers.full_until_ms = self.now_ms + 1_000;
            }
        } else {
            elsewhere.extend(machine.inbox.drain(..).map(|(member, _)| member));
            machine.asked.clear();
        }
        let done = node.settle(now_us, now_ms);
        machine.wiped &= node.standing().refilling;
        let epoch = node.core().epoch();
        if node.leader().is_none() {
            machine.asked.clear();
        }
        let mut answers = Vec::new();
        for it in done {
            let (member, number) = machine.asked.pop_front().expect("every answer has an asker");
            answers.push((member, number, it.answer));
        }
        let members = self.nodes.len();
        elsewhere.into_iter().for_each(|it| self.send(index, members + it, Message::Elsewhere));
        for (member, number, answer) in answers {
            let message = Message::Answer { answer, number, epoch };
            self.send(index, members + member, message);
        }
        self.speak(index);
    }

    /// What a node has to say to the others after its turn.
    fn speak(&mut self, index: usize) {
        let others: Vec<usize> = (0..self.nodes.len()).filter(|it| *it != index).collect();
        let wiped: Vec<bool> = self.nodes.iter().map(|it| it.wiped).collect();
        let now_ms = self.local_ms(index);
        let machine = &mut self.nodes[index];
        let Some(node) = machine.node.as_mut() else { return };
        let words = std::mem::take(&mut *lock(&machine.words));
        if words.unfit {
            machine.primary = None;
        }
        let (mut out, mut ended) = (Vec::new(), Vec::new());
        let position = node.position();
        if self.days.is_some() {
            return self.speak_in_time(index, &others, position, words.acks);
        }
        if position.leads {
            if self.random.below(20) == 0 {
                out.extend(others.iter().map(|to| (*to, Message::Leads(position.epoch))));
            }
            for (to, feed) in &mut machine.feeds {
                // Refilling takes long.
                let bytes_max = if wiped[*to] { 1 } else { 1_024 };
                if wiped[*to] && self.random.below(4) > 0 {
                    continue;
                }
                let polled = feed.poll(&machine.backlog, position.durable_seq, bytes_max);
                if self.transfers && matches!(polled, Err(JournalError::NotFound { .. })) {
                    // Retired before it was sent: the stream ends.
                    ended.push(*to);
                    continue;
                }
                let runs = polled.expect("all segments are kept");
                let (durable_seq, acknowledged) = (position.durable_seq, position.acknowledged_seq);
                out.push((*to, Message::Runs { epoch: position.epoch, runs, durable_seq, acknowledged }));
            }
            for to in ended {
                machine.feeds.remove(&to);
                node.handle_gone(NodeId(u8::try_from(to).expect("few nodes")), now_ms);
            }
        } else {
            machine.feeds.clear();
            if let Some(primary) = machine.primary {
                out.extend(words.acks.into_iter().map(|ack| (primary, Message::Ack(ack))));
            }
            let silent = self.now_ms - machine.heard_ms > 150;
            let busy = machine.claim.is_some() || machine.transfer.is_some();
            if !busy && (machine.primary.is_none() || silent) && self.random.below(8) == 0 {
                machine.heard_ms = self.now_ms;
                let to = others[self.random.below(others.len())];
                if node.handle_heard(&[]) {
                    out.push((to, Message::Follow(node.follow())));
                } else {
                    out.extend(others.iter().map(|to| (*to, Message::Asks)));
                }
            }
            // Whoever waits for promises in vain gives up.
            if machine.claim.is_some() && self.random.below(60) == 0 {
                machine.claim = None;
            }
        }
        out.into_iter().for_each(|(to, message)| self.send(index, to, message));
        self.summary.records = self.summary.records.max(position.durable_seq);
    }
}
