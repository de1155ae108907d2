//! A node of the exchange: the core, and the part that it plays among the others.
//!
//! Like [`crate::core`] without thread and channel: `handle_*` takes what other nodes say, [`Node::settle`]
//! does what follows from it, and what others must hear goes through an [`Outlet`]. The gateway's link
//! and the simulator drive the same code.
//!
//! # Deliberately absent
//!
//! - **Messages.** Who carries what, and in which bytes, is the gateway's.
//! - **Ambition.** A node leads when it is told to and when it may; it never decides to.

use crate::acknowledged::Lacks;
use crate::core::{Core, Done, Halt, Misfit};
use crate::error::JournalError;
use crate::frame::Stamp;
use crate::machine::Machine;
use crate::replication::leader::{Leader, Turn};
use crate::replication::lineage::Lineage;
use crate::replication::{Mode, NodeId, Run, Standing, Unfit, epoch_after, may_lead};
use std::collections::VecDeque;

/// Digests that a primary remembers for comparison.
const DIGESTS_KEPT: usize = 64;
/// Records that may wait for their acknowledgement; then no more are taken.
const WAITING_MAX: usize = 65_536;

/// Who this node is among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name, for the record that begins an epoch.
    pub name: String,
    /// Its place in the list of nodes.
    pub id: NodeId,
    /// Length of that list.
    pub nodes: usize,
    /// When orders are acknowledged.
    pub mode: Mode,
    /// How long a primary waits for a silent standby before it goes on alone, ms.
    pub patience_ms: i64,
    /// Records between two comparisons of digests; 0 for none.
    pub digest_every: u64,
    /// Whether it goes on alone only after [`Node::permit_alone`]: somebody keeps a list of who may take over.
    pub asks_before_alone: bool,
}

impl Settings {
    /// A node without others.
    #[must_use]
    pub fn solo(name: &str) -> Self {
        let name = name.to_owned();
        Self {
            name,
            id: NodeId(0),
            nodes: 1,
            mode: Mode::Async,
            patience_ms: 0,
            digest_every: 0,
            asks_before_alone: false,
        }
    }
}

/// What a standby tells its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The epoch in which it follows.
    pub epoch: u32,
    /// Last record durable here.
    pub durable_seq: u64,
    /// Last record applied here.
    pub applied_seq: u64,
    /// A record and the digest of the state after it, now and then.
    pub digest: Option<(u64, u128)>,
}

/// How far a node is, for followers and readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The epoch in which it leads or follows.
    pub epoch: u32,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it leads and acknowledges alone.
    pub alone: bool,
    /// Last record durable here.
    pub durable_seq: u64,
    /// Last record acknowledged, as far as is known here.
    pub acknowledged_seq: u64,
}

/// Where a node's words to other nodes go. Called on the core's thread: it hands on and returns.
pub trait Outlet: Send + 'static {
    /// A primary has journaled records; they may not be durable here yet.
    fn journaled(&mut self, run: Run);
    /// The position has changed.
    fn moved(&mut self, position: Position);
    /// A standby has something to tell its primary.
    fn ack(&mut self, ack: Ack);
    /// Records that came could not be taken: the connection to the primary is of no use.
    fn unfit(&mut self, why: &Refusal);
    /// Runs that were journaled before are void: this node begins to lead or ceases to.
    fn begun(&mut self);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Outlet for Nobody {
    fn journaled(&mut self, _: Run) {}
    fn moved(&mut self, _: Position) {}
    fn ack(&mut self, _: Ack) {}
    fn unfit(&mut self, _: &Refusal) {}
    fn begun(&mut self) {}
}

/// What a node asks when it wants to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// What it holds and has promised.
    pub standing: Standing,
    /// Its epochs.
    pub lineage: Lineage,
}

/// What a primary answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Welcome {
    /// Records follow, after the one named.
    From {
        /// The primary's epoch.
        epoch: u32,
        /// The last record in common.
        seq: u64,
        /// The last record of the node that asked: what it holds now must still be this.
        asked: Stamp,
    },
    /// The histories part after a record: give up what follows it, then ask again.
    PartsAfter {
        /// The primary's epoch.
        epoch: u32,
        /// The last record in common.
        seq: u64,
        /// The last record of the node that asked: what it holds now must still be this.
        asked: Stamp,
    },
    /// The node has promised to a greater epoch: this primary must ask for promises anew or give way.
    Outrun {
        /// The epoch.
        promised: u32,
    },
    /// This node does not lead.
    NotPrimary,
}

/// Why a node does not do what another wants.
#[derive(Debug)]
pub enum Refusal {
    /// It has promised to a greater epoch.
    Fenced {
        /// Which.
        promised: u32,
    },
    /// Its disk was empty, and it has not heard yet what the others have promised.
    Unheard,
    /// It would have to give up records that it knows to be acknowledged. Another node was made primary
    /// that lacks them: an operator must decide.
    Acknowledged {
        /// The last record in common.
        common_seq: u64,
        /// The last one known here to be acknowledged.
        acknowledged_seq: u64,
    },
    /// The records do not fit.
    Misfit(Misfit),
    /// The disk refused.
    Halt(Halt),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fenced { promised } => write!(f, "epoch {promised} has been promised to"),
            Self::Unheard => f.write_str(
                "this node began with an empty disk: the other nodes must say first what they have promised",
            ),
            Self::Acknowledged { common_seq, acknowledged_seq } => write!(
                f,
                "records {} to {acknowledged_seq} were acknowledged here and are not in the primary's history; \
                 keep this journal aside and start from an empty directory, or bring this node back as primary",
                common_seq + 1
            ),
            Self::Misfit(Misfit::Gap) => f.write_str("records are missing"),
            Self::Misfit(Misfit::OtherHistory) => {
                f.write_str("the records belong to another history, or were damaged on their way")
            }
            Self::Misfit(Misfit::Undecodable { seq, reason }) => {
                write!(f, "record {seq} cannot be understood: {reason}; run the release of the primary")
            }
            Self::Misfit(Misfit::Halt(halt)) | Self::Halt(halt) => match halt {
                Halt::NoSpace => f.write_str("no space for the journal"),
                Halt::Failed => f.write_str("the journal cannot be written"),
            },
        }
    }
}

enum Part {
    Leads(Leader),
    Follows {
        /// Epoch of the primary; 0 while there is none.
        epoch: u32,
        acknowledged_seq: u64,
        ack_due: bool,
        /// Whether the primary has said since how much is acknowledged.
        heard: bool,
    },
}

/// The node.
pub struct Node<M: Machine> {
    core: Core<M>,
    settings: Settings,
    part: Part,
    incoming: Vec<Run>,
    digests: VecDeque<(u64, u128)>,
    digest_new: Option<(u64, u128)>,
    outlet: Box<dyn Outlet>,
    told: Option<Position>,
    held: bool,
    wants_alone: bool,
}

impl<M: Machine> Node<M> {
    /// A node without others, which leads.
    pub fn solo(core: Core<M>, name: &str) -> Self {
        let leader = Leader::new(core.epoch(), Mode::Async, 1, 0, 0);
        Self::new(core, Settings::solo(name), Part::Leads(leader), Box::new(Nobody))
    }

    /// A node that follows until it is told to lead. The core was opened with
    /// [`crate::core::Epoch::Follow`].
    pub fn standby(core: Core<M>, settings: Settings, outlet: Box<dyn Outlet>) -> Self {
        let part =
            Part::Follows { epoch: 0, acknowledged_seq: core.head().seq, ack_due: false, heard: false };
        Self::new(core, settings, part, outlet)
    }

    fn new(core: Core<M>, settings: Settings, part: Part, outlet: Box<dyn Outlet>) -> Self {
        let (incoming, digests) = (Vec::new(), VecDeque::new());
        Self {
            core,
            settings,
            part,
            incoming,
            digests,
            digest_new: None,
            outlet,
            told: None,
            held: false,
            wants_alone: false,
        }
    }

    /// The core.
    pub fn core(&self) -> &Core<M> {
        &self.core
    }

    /// The core, for whoever makes batches. A standby's takes none.
    pub fn core_mut(&mut self) -> &mut Core<M> {
        &mut self.core
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Gives the core back.
    pub fn into_core(self) -> Core<M> {
        self.core
    }

    /// The primary's view, if this node leads.
    pub fn leader(&self) -> Option<&Leader> {
        match &self.part {
            Part::Leads(leader) => Some(leader),
            Part::Follows { .. } => None,
        }
    }

    /// Whether this node takes commands now.
    pub fn takes_commands(&self) -> bool {
        self.leader().is_some() && !self.held && self.core.waiting() < WAITING_MAX
    }

    /// What this node holds and has promised.
    pub fn standing(&mut self) -> Standing {
        let (promised, known) = (self.core.writer().promised(), self.core.writer().acknowledged_seq());
        let acknowledged_seq = known.max(self.core.head().seq);
        let refilling = self.core.writer().lacks().records;
        Standing { node: self.settings.id, promised, head: self.core.durable(), acknowledged_seq, refilling }
    }

    /// Where it is.
    pub fn position(&self) -> Position {
        let durable_seq = self.core.durable().stamp.seq;
        let acknowledged_seq = self.core.head().seq;
        match &self.part {
            Part::Leads(leader) => {
                let (epoch, alone) = (self.core.epoch(), leader.alone());
                Position { epoch, leads: true, alone, durable_seq, acknowledged_seq }
            }
            Part::Follows { epoch, .. } => {
                Position { epoch: *epoch, leads: false, alone: false, durable_seq, acknowledged_seq }
            }
        }
    }

    /// What this node asks a primary.
    pub fn follow(&mut self) -> Follow {
        Follow { standing: self.standing(), lineage: self.core.lineage().clone() }
    }

    /// What the other nodes have promised, as far as they have been asked. Whether this node may follow: if its disk
    /// was empty, that takes all of them, or two that lack nothing.
    pub fn handle_heard(&mut self, others: &[Standing]) -> bool {
        let lacks = self.core.writer().lacks();
        if !lacks.promises {
            return true;
        }
        let others = others.iter().filter(|it| it.node != self.settings.id);
        let mut heard: Vec<(NodeId, bool, u32)> =
            others.map(|it| (it.node, it.refilling, it.promised)).collect();
        heard.sort_unstable();
        heard.dedup_by_key(|it| it.0);
        let whole = heard.iter().filter(|it| !it.1).count();
        if whole < 2 && heard.len() + 1 < self.settings.nodes {
            return false;
        }
        let promised = heard.iter().map(|it| it.2).max().unwrap_or(0);
        let epoch = promised.max(self.core.writer().promised());
        self.promise(epoch).is_ok() && self.regain(Lacks { promises: false, ..lacks })
    }

    fn regain(&mut self, lacks: Lacks) -> bool {
        match self.core.writer().regain(lacks) {
            Ok(()) => true,
            Err(error) => {
                self.core.fail(error);
                false
            }
        }
    }

    /// Whether it holds again what it may have acknowledged before its disk was lost.
    fn refill(&mut self) {
        let head = self.core.head();
        let Part::Follows { epoch, acknowledged_seq, heard: true, .. } = self.part else { return };
        let holds = epoch != 0 && head.epoch == epoch && head.seq >= acknowledged_seq;
        if holds && self.core.writer().lacks().records && self.core.failure().is_none() {
            self.regain(Lacks::default());
        }
    }

    /// Promises to an epoch: nothing of a smaller one is taken any more, and if this node leads in one,
    /// it has done so.
    fn promise(&mut self, epoch: u32) -> Result<(), Halt> {
        if self.core.writer().promised() < epoch {
            if let Err(error) = self.core.writer().promise(epoch) {
                self.core.fail(error);
                return Err(Halt::Failed);
            }
            self.step_down();
        }
        Ok(())
    }

    /// Ceases to lead, and to follow whom it followed.
    pub fn step_down(&mut self) {
        if self.leader().is_some() && self.settings.nodes > 1 {
            self.core.step_down();
            self.outlet.begun();
        }
        self.incoming.clear();
        self.held = false;
        let acknowledged_seq = self.core.head().seq;
        self.part = Part::Follows { epoch: 0, acknowledged_seq, ack_due: false, heard: false };
    }

    /// A candidate asks for a promise to its epoch.
    ///
    /// # Errors
    ///
    /// [`Refusal::Fenced`] if the same or a greater one has been promised to.
    pub fn handle_claim(&mut self, epoch: u32) -> Result<Standing, Refusal> {
        // What has come is durable before it is told.
        self.take_incoming().map_err(Refusal::Misfit)?;
        let promised = self.core.writer().promised();
        if epoch <= promised {
            return Err(Refusal::Fenced { promised });
        }
        self.promise(epoch).map_err(Refusal::Halt)?;
        Ok(self.standing())
    }

    /// Another node is said to lead in an epoch: if it is a greater one, this node leads no more.
    pub fn handle_rumour(&mut self, epoch: u32) {
        if epoch > self.core.writer().promised() && self.promise(epoch).is_err() {
            // The core has noted it and stops.
            self.incoming.clear();
        }
    }

    /// This node wants to lead: promises to an epoch of its own, beyond all it has heard of.
    ///
    /// # Errors
    ///
    /// [`Refusal::Halt`] if the disk refused.
    pub fn claim(&mut self, heard: u32) -> Result<u32, Refusal> {
        self.take_incoming().map_err(Refusal::Misfit)?;
        let epoch = epoch_after(self.core.writer().promised().max(heard), self.settings.id);
        self.promise(epoch).map_err(Refusal::Halt)?;
        Ok(epoch)
    }

    /// Begins to lead in an epoch that it has claimed; `others` have promised to it.
    ///
    /// # Errors
    ///
    /// Why it may not.
    pub fn lead(&mut self, epoch: u32, others: &[Standing], now_ms: i64) -> Result<(), Unfit> {
        let me = self.standing();
        may_lead(epoch, self.settings.nodes, &me, others)?;
        self.begin(epoch, now_ms);
        Ok(())
    }

    /// Begins to lead by an operator's order, without the proof that nothing acknowledged is missing;
    /// alone if the order says so.
    ///
    /// # Errors
    ///
    /// [`Unfit::Epoch`] if the epoch is not this node's own, newest one.
    pub fn lead_by_order(&mut self, epoch: u32, alone: bool, now_ms: i64) -> Result<(), Unfit> {
        let me = self.standing();
        may_lead(epoch, 1, &me, &[])?;
        self.begin(epoch, now_ms);
        if alone {
            self.order_alone();
        }
        Ok(())
    }

    /// An operator orders this primary to go on alone until a standby holds everything.
    pub fn order_alone(&mut self) {
        if let Part::Leads(leader) = &mut self.part {
            leader.order_alone();
        }
    }

    /// Takes no commands for a while, so that another node can take over with everything; or again.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    fn begin(&mut self, epoch: u32, now_ms: i64) {
        let first_seq = self.core.durable().stamp.seq + 1;
        // By order, or since nothing more can be found anywhere.
        self.regain(Lacks::default());
        self.outlet.begun();
        self.core.lead(epoch);
        self.digests.clear();
        let Settings { mode, nodes, .. } = self.settings;
        self.part = Part::Leads(Leader::new(epoch, mode, nodes, first_seq, now_ms));
    }

    /// What a node that wants to follow this one would be answered now; nothing is noted of it.
    pub fn welcome(&self, asked: &Follow) -> Welcome {
        let (mine, head) = (self.core.lineage(), self.core.durable());
        let epoch = self.core.epoch();
        if self.leader().is_none() {
            return Welcome::NotPrimary;
        }
        let Standing { promised, head: theirs, .. } = asked.standing;
        if promised > epoch && !plant::skips_fencing() {
            return Welcome::Outrun { promised };
        }
        let seq = mine.common(head.stamp.seq, &asked.lineage, theirs.stamp.seq);
        if seq < theirs.stamp.seq {
            return Welcome::PartsAfter { epoch, seq, asked: theirs.stamp };
        }
        Welcome::From { epoch, seq, asked: theirs.stamp }
    }

    /// A node wants to follow this one.
    pub fn handle_follow(&mut self, asked: &Follow, now_ms: i64) -> Welcome {
        let welcome = self.welcome(asked);
        if let (Part::Leads(leader), Welcome::From { seq, .. }) = (&mut self.part, welcome) {
            leader.handle_follow(asked.standing.node, seq, now_ms);
        }
        welcome
    }

    /// A follower has made records durable.
    pub fn handle_ack(&mut self, node: NodeId, ack: &Ack, now_ms: i64) {
        let Part::Leads(leader) = &mut self.part else { return };
        if ack.epoch != leader.epoch() {
            return;
        }
        leader.handle_ack(node, ack.durable_seq, ack.applied_seq, now_ms);
        if let Some((seq, digest)) = ack.digest
            && self.digests.iter().any(|(at, mine)| *at == seq && *mine != digest)
        {
            leader.handle_diverged(node);
        }
    }

    /// A follower's connection has ended.
    pub fn handle_gone(&mut self, node: NodeId, now_ms: i64) {
        if let Part::Leads(leader) = &mut self.part {
            leader.handle_gone(node, now_ms);
        }
    }

    /// The primary whom this node asked has taken it: from now on it takes records of that epoch.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unheard`] after an empty disk, [`Refusal::Fenced`] if a greater epoch has been promised to
    /// meanwhile, [`Misfit::OtherHistory`] if this
    /// node holds something else than when it asked: it may have led since, and what it holds now is then no
    /// part of that primary's history, though its number would be counted.
    pub fn handle_welcome(&mut self, epoch: u32, asked: Stamp) -> Result<(), Refusal> {
        self.take_incoming().map_err(Refusal::Misfit)?;
        if self.core.durable().stamp != asked {
            return Err(Refusal::Misfit(Misfit::OtherHistory));
        }
        if self.core.writer().lacks().promises {
            return Err(Refusal::Unheard);
        }
        let promised = self.core.writer().promised();
        if epoch < promised && !plant::skips_fencing() {
            return Err(Refusal::Fenced { promised });
        }
        if epoch > promised {
            self.promise(epoch).map_err(Refusal::Halt)?;
        } else if self.leader().is_some() {
            return Err(Refusal::Fenced { promised });
        }
        self.incoming.clear();
        let acknowledged_seq = self.core.head().seq;
        self.part = Part::Follows { epoch, acknowledged_seq, ack_due: true, heard: false };
        Ok(())
    }

    /// The primary of an epoch says where its history and this one part.
    ///
    /// # Errors
    ///
    /// [`Refusal::Acknowledged`] if acknowledged records would go: then nothing is cut, ever.
    pub fn handle_parting(&mut self, epoch: u32, common_seq: u64, asked: Stamp) -> Result<(), Refusal> {
        self.take_incoming().map_err(Refusal::Misfit)?;
        let Standing { promised, acknowledged_seq, head, .. } = self.standing();
        if asked != head.stamp {
            // An answer to an older question.
            return Err(Refusal::Misfit(Misfit::OtherHistory));
        }
        if epoch < promised || self.leader().is_some() && epoch <= self.core.epoch() {
            return Err(Refusal::Fenced { promised });
        }
        self.promise(epoch).map_err(Refusal::Halt)?;
        if common_seq < acknowledged_seq {
            return Err(Refusal::Acknowledged { common_seq, acknowledged_seq });
        }
        self.core.cut(common_seq.saturating_sub(plant::cuts_too_many())).map_err(Refusal::Halt)
    }

    /// Records and the position of the primary of an epoch have come.
    ///
    /// # Errors
    ///
    /// [`Refusal::Fenced`] if this node does not follow in that epoch.
    pub fn handle_runs(&mut self, epoch: u32, runs: Vec<Run>, acknowledged: u64) -> Result<(), Refusal> {
        let promised = self.core.writer().promised();
        match &mut self.part {
            Part::Follows { epoch: mine, acknowledged_seq, ack_due, heard }
                if *mine == epoch && epoch != 0 =>
            {
                *heard = true;
                self.incoming.extend(runs);
                *acknowledged_seq = (*acknowledged_seq).max(acknowledged);
                *ack_due = true;
                Ok(())
            }
            Part::Follows { .. } | Part::Leads(_) => Err(Refusal::Fenced { promised }),
        }
    }

    fn take_incoming(&mut self) -> Result<(), Misfit> {
        if self.incoming.is_empty() {
            return Ok(());
        }
        let runs = std::mem::take(&mut self.incoming);
        self.core.follow(&runs)
    }

    /// Ends the batch in the making and makes it durable here.
    ///
    /// # Errors
    ///
    /// [`Halt`].
    pub fn journal(&mut self, now_us: i64) -> Result<(), Halt> {
        if self.settings.nodes == 1 {
            return self.core.journal(now_us, None);
        }
        let outlet = &mut self.outlet;
        self.core.journal(now_us, Some(&mut |run| outlet.journaled(run)))
    }

    /// Does what follows from everything handled since: makes what came durable, applies what is
    /// acknowledged, tells the others. Tells what became of each command that was offered here as soon as it
    /// is applied: long work that follows it is not waited for.
    pub fn settle_telling(&mut self, now_us: i64, now_ms: i64, tell: &mut dyn FnMut(Done<M::Answer>)) {
        if let Err(misfit) = self.take_incoming() {
            let acknowledged_seq = self.core.head().seq;
            self.part = Part::Follows { epoch: 0, acknowledged_seq, ack_due: false, heard: false };
            self.outlet.unfit(&Refusal::Misfit(misfit));
        }
        let durable_seq = self.core.durable().stamp.seq;
        let until = match &mut self.part {
            Part::Leads(leader) => leader.poll_acknowledged(durable_seq),
            Part::Follows { acknowledged_seq, .. } => (*acknowledged_seq).min(durable_seq),
        };
        self.acknowledge(until, tell);
        self.refill();
        self.turn(now_us, now_ms, tell);
        self.tell();
    }

    /// [`settle_telling`](Self::settle_telling), all at the end.
    pub fn settle(&mut self, now_us: i64, now_ms: i64) -> Vec<Done<M::Answer>> {
        let mut done = Vec::new();
        self.settle_telling(now_us, now_ms, &mut |it| done.push(it));
        done
    }

    /// Applies up to a record, stopping where a digest is due.
    fn acknowledge(&mut self, until: u64, tell: &mut dyn FnMut(Done<M::Answer>)) {
        let every = self.settings.digest_every;
        while every > 0 && (self.core.head().seq / every + 1) * every <= until {
            let due = (self.core.head().seq / every + 1) * every;
            self.core.acknowledge(due, tell);
            let digest = (due, self.core.machine().digest());
            self.digests.push_back(digest);
            self.digest_new = Some(digest);
            if self.digests.len() > DIGESTS_KEPT {
                self.digests.pop_front();
            }
        }
        self.core.acknowledge(until, tell);
    }

    /// Goes on alone, or together again, if it is time to; the journal hears of it first.
    fn turn(&mut self, now_us: i64, now_ms: i64, tell: &mut dyn FnMut(Done<M::Answer>)) {
        let (durable_seq, patience_ms) = (self.core.durable().stamp.seq, self.settings.patience_ms);
        let Part::Leads(leader) = &mut self.part else { return };
        let turn = leader.poll_turn(durable_seq, now_ms, patience_ms);
        self.wants_alone = turn == Some(Turn::Alone) && self.settings.asks_before_alone;
        let Some(turn) = turn.filter(|_| !self.wants_alone) else { return };
        self.make_turn(turn, now_us);
        let Part::Leads(leader) = &mut self.part else { return };
        let until = leader.poll_acknowledged(self.core.durable().stamp.seq);
        self.acknowledge(until, tell);
    }

    fn make_turn(&mut self, turn: Turn, now_us: i64) {
        if self.core.epoch_is_new() || self.core.failure().is_some() {
            return;
        }
        self.core.begin_with(M::standby_changed(turn == Turn::Alone));
        if self.journal(now_us).is_ok()
            && let Part::Leads(leader) = &mut self.part
        {
            leader.turn(turn);
        }
    }

    /// Whether it would go on alone if it were permitted to.
    pub fn wants_to_be_alone(&self) -> bool {
        self.wants_alone && self.leader().is_some()
    }

    /// No other node may take over any more: it goes on alone, if it leads in that epoch and still has to.
    pub fn permit_alone(&mut self, epoch: u32, now_ms: i64) {
        let (durable_seq, patience_ms) = (self.core.durable().stamp.seq, self.settings.patience_ms);
        let Part::Leads(leader) = &mut self.part else { return };
        let lonely = leader.poll_turn(durable_seq, now_ms, patience_ms) == Some(Turn::Alone);
        if lonely && leader.epoch() == epoch {
            self.wants_alone = false;
            // Journaled time stands where it stood.
            self.make_turn(Turn::Alone, i64::MIN);
        }
    }

    fn tell(&mut self) {
        let position = self.position();
        let applied_seq = self.core.head().seq;
        if let Part::Follows { epoch, ack_due, .. } = &mut self.part
            && std::mem::take(ack_due)
            && *epoch != 0
        {
            let digest = self.digest_new.take();
            let durable_seq = position.durable_seq;
            self.outlet.ack(Ack { epoch: *epoch, durable_seq, applied_seq, digest });
        }
        if self.told != Some(position) {
            self.told = Some(position);
            self.outlet.moved(position);
        }
    }

    /// Notes that the journal cannot be gone on with.
    pub fn fail(&mut self, error: JournalError) {
        self.core.fail(error);
    }
}

/// Mistakes that the simulator must find. Outside of the simulator's own build they do not exist.
pub(crate) mod plant {
    #[cfg(test)]
    thread_local! {
        pub(crate) static PLANTED: std::cell::Cell<Option<Mistake>> = const { std::cell::Cell::new(None) };
    }

    /// A mistake.
    #[cfg(test)]
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Mistake {
        AcknowledgeBeforeSync,
        SkipFencing,
        CutOneTooMany,
        /// Goes on alone because the list says already that nobody may take over, though a longer one, written before,
        /// may still be on its way.
        AloneOnOldWord,
        /// Keeps when a standby was heard as microseconds in 32 bits: right for 71 minutes.
        ShortClock,
        /// Forgets to keep its lease alive once it has asked too often.
        ForgetKeepAlive,
        /// Lets the promise of a node prove something that is being refilled after its disk was lost.
        ProveWhileRefilling,
        /// Leads with promises alone, before its epoch is in the lease store.
        LeadBeforeWriting,
        /// Believes a snapshot that came without looking at its checksums.
        FetchUnchecked,
        /// Retires a segment with a record that the oldest snapshot does not cover.
        RetireTooFar,
    }

    #[cfg(test)]
    fn is(mistake: Mistake) -> bool {
        PLANTED.get() == Some(mistake)
    }

    #[cfg(test)]
    pub(crate) fn skips_fencing() -> bool {
        is(Mistake::SkipFencing)
    }

    #[cfg(not(test))]
    pub(crate) const fn skips_fencing() -> bool {
        false
    }

    #[cfg(test)]
    pub(crate) fn skips_sync() -> bool {
        is(Mistake::AcknowledgeBeforeSync)
    }

    #[cfg(not(test))]
    pub(crate) const fn skips_sync() -> bool {
        false
    }

    #[cfg(test)]
    pub(crate) fn proves_while_refilling() -> bool {
        is(Mistake::ProveWhileRefilling)
    }

    #[cfg(not(test))]
    pub(crate) const fn proves_while_refilling() -> bool {
        false
    }

    #[cfg(test)]
    pub(crate) fn kept(now_ms: i64) -> i64 {
        if is(Mistake::ShortClock) { now_ms % 4_294_967 } else { now_ms }
    }

    #[cfg(not(test))]
    pub(crate) const fn kept(now_ms: i64) -> i64 {
        now_ms
    }

    #[cfg(test)]
    pub(crate) fn cuts_too_many() -> u64 {
        u64::from(is(Mistake::CutOneTooMany))
    }

    #[cfg(not(test))]
    pub(crate) const fn cuts_too_many() -> u64 {
        0
    }

    /// Takes what is planted along to another thread.
    #[cfg(test)]
    pub(crate) fn carried() -> impl FnOnce() + Send {
        let planted = PLANTED.get();
        move || PLANTED.set(planted)
    }

    #[cfg(not(test))]
    pub(crate) const fn carried() -> impl FnOnce() + Send {
        || ()
    }

    #[cfg(test)]
    pub(crate) fn fetches_unchecked() -> bool {
        is(Mistake::FetchUnchecked)
    }

    #[cfg(not(test))]
    pub(crate) const fn fetches_unchecked() -> bool {
        false
    }

    #[cfg(test)]
    pub(crate) fn retires_too_far() -> u64 {
        u64::from(is(Mistake::RetireTooFar))
    }

    #[cfg(not(test))]
    pub(crate) const fn retires_too_far() -> u64 {
        0
    }
}
