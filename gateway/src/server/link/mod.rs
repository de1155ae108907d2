//! The link between the nodes of an exchange: one journal, carried over gRPC.
//!
//! What is decided is decided in [`merit_replay::node`], on the core's thread; here are the sockets. A
//! standby dials the primary and follows its journal on one stream ([`follow`]), or fetches its snapshot when
//! the records are no longer to be had ([`fetch`]); every node watches the
//! others and finds the primary ([`watch`]); operators' orders pass through [`orders`].
//!
//! # Deliberately absent
//!
//! - **Ambition.** A node whose configuration says `primary` asks for the role once, when it starts, and
//!   only with the promise of another node. Everything later is an operator's order.

mod etcd;
mod fetch;
mod follow;
mod lease;
mod orders;
mod peers;
mod serve;
mod watch;
mod wire;

pub use fetch::read_snapshot;
pub use lease::{LeaseConfig, run as keep_lease};
pub use orders::{failover, history, status, switchover, take_over};
pub use peers::{NODE_USER, Peers, is_node};
pub use serve::{claim_epoch, follow_journal};
pub use watch::{adopt, run};

use super::exchange::Exchange;
use super::status as statuses;
use merit_proto::v1;
use merit_replay::node::{Ack, Node, Outlet, Position, Refusal};
use merit_replay::replication::feed::Backlog;
use merit_replay::replication::{Mode, NodeId};
use merit_replay::runner::CoreHandle;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot, watch as channel};
use tonic::Status;

/// Bytes of the newest records that are kept in memory for standbys.
const BACKLOG_BYTES: usize = 32 << 20;
/// Silence on a stream between nodes before a heartbeat.
const HEARTBEAT: Duration = Duration::from_millis(100);
/// Silence after which a standby looks for another way to the primary.
const SILENCE_MAX: Duration = Duration::from_millis(1_500);
/// How long another node may take to answer a question.
const PATIENCE: Duration = Duration::from_millis(250);

/// What a node is among the others, as configured.
#[derive(Clone, Debug)]
pub struct Replication {
    /// The nodes, in their order: name and endpoint.
    pub nodes: Vec<(String, String)>,
    /// Place of this node among them.
    pub me: usize,
    /// Whether it asks for the role of primary when it starts.
    pub wants_to_lead: bool,
    /// When orders are acknowledged.
    pub mode: Mode,
    /// How long a primary waits for a silent standby before it goes on alone.
    pub patience: Duration,
    /// Records between two comparisons of digests.
    pub digest_every: u64,
    /// Name in the other nodes' certificates, where it is not the host of their endpoint.
    pub server_name: Option<String>,
}

/// What is shared by everything that has to do with other nodes.
pub struct Link {
    /// The configuration.
    pub config: Replication,
    /// The ways to the others.
    pub peers: Peers,
    /// The exchange, as 16 bytes.
    pub exchange_id: u128,
    backlog: Arc<Backlog>,
    grown: channel::Sender<u64>,
    position: channel::Sender<Position>,
    /// Where a standby's acknowledgements go while it follows.
    acks: Mutex<Option<mpsc::UnboundedSender<v1::FollowJournalRequest>>>,
    unfit: Notify,
    /// Where the node keeps what it has.
    data: PathBuf,
    /// That a snapshot has come, from which the node must start anew.
    fetched: Notify,
    /// Whom this node follows, and when it was last heard.
    primary: Mutex<Option<(usize, Instant)>>,
    /// Whether the primary was alone at its last word; nothing before there was one.
    alone: Mutex<Option<bool>>,
    /// Why it does not follow, when only an operator can help.
    trouble: Mutex<Option<String>>,
    /// Automatic failover as it was last read; nothing if there is none.
    lease: Mutex<Option<v1::LeaseStatus>>,
    /// etcd, where leases are configured.
    leases: OnceLock<Arc<lease::LeaseStore>>,
    core: OnceLock<CoreHandle<Exchange>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// A link that has no core yet.
    #[must_use]
    pub fn new(config: Replication, peers: Peers, exchange_id: u128, data: PathBuf) -> Arc<Self> {
        let nowhere = Position { epoch: 0, leads: false, alone: false, durable_seq: 0, acknowledged_seq: 0 };
        Arc::new(Self {
            config,
            peers,
            exchange_id,
            backlog: Arc::new(Backlog::new(BACKLOG_BYTES)),
            grown: channel::Sender::new(0),
            position: channel::Sender::new(nowhere),
            acks: Mutex::default(),
            unfit: Notify::new(),
            data,
            fetched: Notify::new(),
            primary: Mutex::default(),
            alone: Mutex::default(),
            trouble: Mutex::default(),
            lease: Mutex::default(),
            leases: OnceLock::new(),
            core: OnceLock::new(),
        })
    }

    /// The core's way to the others.
    #[must_use]
    pub fn mouth(self: &Arc<Self>) -> Box<dyn Outlet> {
        Box::new(Mouth(Arc::clone(self)))
    }

    /// Binds the link to the core.
    pub fn bind(&self, core: CoreHandle<Exchange>) {
        // It is bound once, when the core has started.
        drop(self.core.set(core));
    }

    /// Where this node is.
    #[must_use]
    pub fn position(&self) -> Position {
        *self.position.borrow()
    }

    /// Where this node is, whenever that changes.
    #[must_use]
    pub fn watch(&self) -> channel::Receiver<Position> {
        self.position.subscribe()
    }

    /// Name of a node.
    #[must_use]
    pub fn name(&self, node: usize) -> &str {
        self.config.nodes.get(node).map_or("", |(name, _)| name)
    }

    /// Place of a node by its name.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<usize> {
        self.config.nodes.iter().position(|(it, _)| it == name)
    }

    /// The primary, as far as this node knows, and how long it has been silent.
    #[must_use]
    pub fn primary(&self) -> Option<(usize, Duration)> {
        if self.position().leads {
            return Some((self.config.me, Duration::ZERO));
        }
        (*lock(&self.primary)).map(|(node, heard)| (node, heard.elapsed()))
    }

    /// Another node's endpoint: the primary's if one is known.
    #[must_use]
    pub fn next_endpoint(&self) -> Option<String> {
        let known = self.primary().map(|(node, _)| node).filter(|it| *it != self.config.me);
        let next = known.or_else(|| self.peers.others().next())?;
        self.config.nodes.get(next).map(|(_, endpoint)| endpoint.clone())
    }

    /// Why this node does not follow, when only an operator can help.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// Has the node do something on the core's thread.
    ///
    /// # Errors
    ///
    /// If the core has ended.
    pub async fn ask<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Node<Exchange>, i64) -> R + Send + 'static,
    ) -> Result<R, Status> {
        let (sender, receiver) = oneshot::channel();
        self.tell(move |node, now_ms| drop(sender.send(act(node, now_ms))))?;
        receiver.await.map_err(|_| statuses::shutting_down())
    }

    /// The same, without waiting.
    fn tell(&self, act: impl FnOnce(&mut Node<Exchange>, i64) + Send + 'static) -> Result<(), Status> {
        let core = self.core.get().ok_or_else(statuses::shutting_down)?;
        core.act(act).map_err(statuses::refused)
    }

    /// Waits until a snapshot has come, from which the node must start anew.
    pub async fn fetched(&self) {
        self.fetched.notified().await;
    }

    /// What this node says about itself to the others.
    ///
    /// # Errors
    ///
    /// If the core has ended.
    pub async fn standing(&self) -> Result<v1::Standing, Status> {
        let (standing, position) = self.ask(|node, _| (node.standing(), node.position())).await?;
        let following = lock(&self.primary).is_some_and(|(_, heard)| heard.elapsed() < SILENCE_MAX);
        let epoch = if position.leads || following { position.epoch } else { 0 };
        Ok(wire::standing_out(self.name(self.config.me), self.exchange_id, &standing, position.leads, epoch))
    }
}

fn node_id(node: usize) -> NodeId {
    NodeId(u8::try_from(node).expect("the list of nodes is bounded by the configuration"))
}

/// The node's words, on their way to sockets.
struct Mouth(Arc<Link>);

impl Outlet for Mouth {
    fn journaled(&mut self, run: merit_replay::replication::Run) {
        self.0.backlog.push(run);
        self.0.grown.send_modify(|count| *count += 1);
    }

    fn moved(&mut self, position: Position) {
        self.0.position.send_replace(position);
    }

    fn ack(&mut self, ack: Ack) {
        if let Some(acks) = &*lock(&self.0.acks) {
            // A stream that has ended is noticed by whoever reads it.
            drop(acks.send(wire::ack_out(&ack)));
        }
    }

    fn unfit(&mut self, why: &Refusal) {
        tracing::warn!(why = %why, "records from the primary were not taken");
        *lock(&self.0.acks) = None;
        self.0.unfit.notify_one();
    }

    fn begun(&mut self) {
        self.0.backlog.clear();
    }
}
