//! Starts a node, serves, and stops it: journal, core, read model, door and services in their order.

use super::bootstrap;
use super::clock::Clock;
use super::config::{ClockConfig, Config, Limits};
use super::door::{Door, DoorError, DoorLimits, Security};
use super::exchange::Exchange;
use super::inbox::Inbox;
use super::layer::Scope;
use super::link::{self, Link, Peers};
use super::node::{Leave, Node};
use super::read_model::{self, Keeper, Mirror, ReadModel, fetched};
use super::services::{Dispatch, MarketData, Member, Operator, Replication, Risk, Settlement};
use super::signing::Signer;
use super::snapshots::{self, Snapshots};
use super::tls::{self, TlsError};
use crate::push;
use crate::push::embedded::Ledger;
use merit_engine::event::Stream;
use merit_proto::reflection;
use merit_proto::v1::dispatch_service_server::DispatchServiceServer;
use merit_proto::v1::market_data_service_server::MarketDataServiceServer;
use merit_proto::v1::member_service_server::MemberServiceServer;
use merit_proto::v1::operator_service_server::OperatorServiceServer;
use merit_proto::v1::replication_service_server::ReplicationServiceServer;
use merit_proto::v1::risk_service_server::RiskServiceServer;
use merit_proto::v1::settlement_service_server::SettlementServiceServer;
use merit_replay::core::{Core, Epoch};
use merit_replay::error::JournalError;
use merit_replay::fetch::{self, Installed};
use merit_replay::frame::Head;
use merit_replay::machine::Clock as JournalClock;
use merit_replay::node::{Node as JournalNode, Settings};
use merit_replay::replication::NodeId;
use merit_replay::replication::lineage::Lineage;
use merit_replay::runner::{Runner, RunnerOptions, State};
use merit_replay::segment::{HEADER_BYTES, SegmentHeader, seq_of_name};
use merit_replay::snapshot::{self, Resumed};
use merit_replay::storage::Storage;
use merit_replay::storage::disk::Disk;
use merit_replay::writer::Options;
use std::fmt;
use std::future::Future;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// How often the health of order entry is compared with the core's.
const HEALTH_INTERVAL: Duration = Duration::from_millis(200);

impl JournalClock for Clock {
    fn now_us(&self) -> i64 {
        Self::now_us(self)
    }

    fn until(&self, time_us: i64) -> Duration {
        match self {
            // Whoever moves it wakes the core.
            Self::Manual(_) => Duration::MAX,
            Self::Wall | Self::Accelerated { .. } => self.wait_until(time_us),
        }
    }
}

/// Why a node does not serve.
#[derive(Debug)]
pub enum ServeError {
    /// The data directory cannot be used.
    Data(PathBuf, io::Error),
    /// The journal cannot be used; the error names what to do.
    Journal(JournalError),
    /// TLS cannot be set up.
    Tls(TlsError),
    /// The door cannot be opened.
    Door(DoorError),
    /// The key that schedules are signed with cannot be used.
    Signing(PathBuf, String),
    /// What the exchange should start with was refused.
    Bootstrap(Vec<String>),
    /// Obligations cannot be carried to a target.
    Push(String),
    /// The transport failed.
    Transport(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Signing(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Journal(error) => write!(f, "{error}; {}", error.remedy()),
            Self::Tls(error) => error.fmt(f),
            Self::Door(error) => error.fmt(f),
            Self::Bootstrap(faults) => f.write_str(&faults.join("\n")),
            Self::Push(error) | Self::Transport(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for ServeError {}

/// What tests put in place of the real thing.
#[derive(Default)]
pub struct Substitutes {
    /// The clock.
    pub clock: Option<Clock>,
    /// The journal's storage.
    pub storage: Option<Box<dyn Storage>>,
    /// Length of the journal's segments, bytes.
    pub segment_bytes: Option<u64>,
}

/// A node that serves.
pub struct Running {
    node: Arc<Node>,
    address: SocketAddr,
    /// Says to those who carry obligations that the node stops.
    stopping: watch::Sender<bool>,
    shutdown: oneshot::Sender<()>,
    served: JoinHandle<Result<(), tonic::transport::Error>>,
    health: HealthReporter,
    watchers: Vec<JoinHandle<()>>,
    runner: Runner<Exchange>,
    keeper: Keeper,
    pushing: push::Pushing,
    ledger: Option<Arc<Ledger>>,
    snapshots: Option<Snapshots>,
}

/// Serves until `shutdown` is done, and stops in order; `serves` hears when it begins to. Starts anew when another
/// node's snapshot has come: the core, the journal and the read model go on from it together or not at all.
///
/// # Errors
///
/// What kept the node from starting, or what ended it.
pub async fn run(
    config: &Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    serves: impl FnOnce(),
) -> Result<(), ServeError> {
    let mut serves = Some(serves);
    let door = |error| ServeError::Door(DoorError::Io(error));
    let listener = listener.into_std().map_err(door)?;
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        // Who connects meanwhile waits at the listener.
        let again = listener.try_clone().and_then(TcpListener::from_std).map_err(door)?;
        // A standby with an empty disk may wait for its primary for long.
        let running = tokio::select! {
            running = Running::start(config, again, Substitutes::default()) => running?,
            () = &mut shutdown => return Ok(()),
        };
        if let Some(serves) = serves.take() {
            serves();
        }
        let link = running.node.link.clone();
        let fetched = async {
            match link {
                Some(link) => link.fetched().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut shutdown => return running.stop().await,
            () = fetched => tracing::info!("starting anew from the primary's snapshot"),
        }
        running.stop().await?;
    }
}

impl Running {
    /// Starts a node on a listener. It serves when this returns.
    ///
    /// # Errors
    ///
    /// [`ServeError`].
    pub async fn start(
        config: &Config,
        listener: TcpListener,
        substitutes: Substitutes,
    ) -> Result<Self, ServeError> {
        let (security, signer) = keys(config)?;
        let given = config.clone();
        let (link, founds) = match link_of(config).await? {
            Some((link, founds)) => (Some(link), founds),
            None => (None, false),
        };
        let linked = link.clone();
        let opened = tokio::task::spawn_blocking(move || open(&given, substitutes, linked.as_ref())).await;
        let opened = opened.map_err(|error| ServeError::Transport(error.to_string()))??;
        let node = Arc::new(Node {
            name: config.node_name.clone(),
            inbox: opened.inbox,
            model: opened.model,
            started_us: opened.clock.now_us(),
            clock: opened.clock,
            limits: config.limits,
            door: OnceLock::new(),
            archive: crate::meters::archive::Archive::in_data(&config.data),
            leave: watch::Sender::new(Leave::Stays),
            link: link.clone(),
            signer,
            streams: std::sync::Mutex::default(),
        });
        node.fresh().await;
        if link.is_none()
            && let Err(faults) = bootstrap::run(&node, &config.bootstrap).await
        {
            end(&node, opened.runner, opened.keeper).await?;
            return Err(ServeError::Bootstrap(faults));
        }
        let (targets, ledger) = match targets(&node, config).await {
            Ok(made) => made,
            Err(error) => {
                end(&node, opened.runner, opened.keeper).await?;
                return Err(error);
            }
        };
        let (stopping, stopped) = watch::channel(false);
        let pushing = push::start(&node.model, targets, &stopped, node.link.as_ref().map(|it| it.watch()));
        let address = listener.local_addr().map_err(|error| ServeError::Door(DoorError::Io(error)))?;
        let (door, incoming) =
            Door::open(listener, security, door_limits(&config.limits)).map_err(ServeError::Door)?;
        drop(node.door.set(door));
        let (health, health_service) = tonic_health::server::health_reporter();
        let router = router(&node)?.add_service(health_service);
        let (shutdown, signal) = oneshot::channel::<()>();
        let served = tokio::spawn(router.serve_with_incoming_shutdown(incoming, async {
            // A dropped sender stops the server as well.
            drop(signal.await);
        }));
        set_all(&health, ServingStatus::Serving).await;
        let watchers = watchers(&node, config, &health, founds);
        tracing::info!(%address, node = config.node_name, "serving");
        let Opened { runner, keeper, snapshots, .. } = opened;
        Ok(Self {
            snapshots,
            node,
            address,
            shutdown,
            stopping,
            served,
            health,
            watchers,
            runner,
            keeper,
            pushing,
            ledger,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The node, for tests and for whoever embeds it.
    #[must_use]
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The embedded ledger, if one is kept.
    #[must_use]
    pub fn ledger(&self) -> Option<&Arc<Ledger>> {
        self.ledger.as_ref()
    }

    /// Moves a manual clock and has the core look at it; returns whether it was a manual one.
    #[must_use]
    pub fn move_clock(&self, time_us: i64) -> bool {
        let moved = self.node.clock.set(time_us);
        self.node.inbox.core().wake();
        moved
    }

    /// Says that it stops, lets open calls finish, and closes the journal.
    ///
    /// # Errors
    ///
    /// What ended the core or the transport, if it was not this.
    pub async fn stop(self) -> Result<(), ServeError> {
        drop(self.snapshots);
        // Balancers look at health: they must know before the first call is turned away.
        self.watchers.iter().for_each(JoinHandle::abort);
        set_all(&self.health, ServingStatus::NotServing).await;
        tracing::info!("stopping");
        self.node.leave.send_replace(Leave::Stops);
        self.stopping.send_replace(true);
        drop(self.shutdown);
        let mut served = self.served;
        let drained = tokio::time::timeout(self.node.limits.drain_timeout, &mut served).await;
        let transport = match drained {
            Ok(Ok(result)) => result.map_err(|error| ServeError::Transport(error.to_string())),
            Ok(Err(error)) => Err(ServeError::Transport(error.to_string())),
            Err(_) => {
                tracing::warn!("some calls did not finish in time");
                served.abort();
                Ok(())
            }
        };
        self.pushing.join().await;
        end(&self.node, self.runner, self.keeper).await?;
        transport
    }
}

/// What the configuration says of keys: the door's, and the one that schedules are signed with.
fn keys(config: &Config) -> Result<(Security, Option<Signer>), ServeError> {
    let security = match &config.tls {
        Some(files) => Security::MutualTls(tls::server_config(files).map_err(ServeError::Tls)?),
        None => Security::Plaintext,
    };
    let Some(path) = &config.signing_key else { return Ok((security, None)) };
    let signer = Signer::read(path).map_err(|error| ServeError::Signing(path.clone(), error))?;
    tracing::info!(public_key = signer.public_hex(), "schedules are signed");
    Ok((security, Some(signer)))
}

type Targets = Vec<Box<dyn push::Target>>;

/// The targets of the configuration.
async fn targets(node: &Arc<Node>, config: &Config) -> Result<(Targets, Option<Arc<Ledger>>), ServeError> {
    let mut targets: Targets = Vec::new();
    let mut kept = None;
    if config.push.embedded {
        let (model, directory) = (Arc::clone(&node.model), push::embedded::directory(&config.data));
        let opened = tokio::task::spawn_blocking(move || open_ledger(&model, &directory)).await;
        let opened = opened.map_err(|error| ServeError::Transport(error.to_string()))?;
        let ledger = Arc::new(opened.map_err(|error| ServeError::Push(error.to_string()))?);
        targets.push(Box::new(push::embedded::Embedded::new(Arc::clone(&ledger))));
        kept = Some(ledger);
    }
    if let Some(postgres) = &config.push.postgres {
        targets.push(Box::new(push::postgres::Postgres::new(postgres.clone())));
    }
    if let Some(webhook) = &config.push.webhook {
        let wrong = |error: &dyn fmt::Display| ServeError::Push(format!("push.webhook: {error}"));
        let secret = std::fs::read(&webhook.secret).map_err(|error| wrong(&error))?;
        let tls = webhook.authority.as_deref().map(tls::client_config).transpose();
        let tls = tls.map_err(ServeError::Tls)?;
        let now_s = || Clock::Wall.now_us() / 1_000_000;
        let made = push::webhook::Webhook::new(&webhook.url, secret.trim_ascii(), tls, now_s);
        targets.push(Box::new(made.map_err(|error| wrong(&error))?));
    }
    Ok((targets, kept))
}

/// Opens the embedded ledger, comparing it with the journal's messages.
fn open_ledger(model: &ReadModel, directory: &Path) -> Result<Ledger, push::PushError> {
    Ledger::open(directory, |seq| {
        let mut chain = [0; 32];
        let mut next = 1;
        while next <= seq {
            let (events, _) = model.events(Stream::Settlement, next, 256).ok()?;
            if events.is_empty() {
                return None;
            }
            for bytes in events {
                if next <= seq {
                    chain = push::embedded::chained(chain, push::sha256(&bytes));
                }
                next += 1;
            }
        }
        Some(chain)
    })
}

/// Stops the core after what it has taken, then the read model.
async fn end(node: &Arc<Node>, runner: Runner<Exchange>, keeper: Keeper) -> Result<(), ServeError> {
    let core = node.inbox.core().clone();
    let ended = tokio::task::spawn_blocking(move || {
        core.stop();
        // The engine's memory goes back before anything else happens.
        let ended = runner.join().map(drop);
        keeper.join();
        ended
    });
    match ended.await {
        Ok(result) => result.map_err(ServeError::Journal),
        Err(error) => Err(ServeError::Transport(error.to_string())),
    }
}

struct Opened {
    inbox: Inbox,
    model: Arc<ReadModel>,
    clock: Clock,
    runner: Runner<Exchange>,
    keeper: Keeper,
    snapshots: Option<Snapshots>,
}

/// Whatever watches the core and the other nodes while the node runs.
fn watchers(node: &Arc<Node>, config: &Config, health: &HealthReporter, founds: bool) -> Vec<JoinHandle<()>> {
    let mut watchers = vec![tokio::spawn(watch_core(Arc::clone(node), health.clone()))];
    if let Some(link) = &node.link {
        if let Some(lease) = &config.lease {
            watchers.push(tokio::spawn(link::keep_lease(Arc::clone(link), lease.clone())));
        }
        watchers.push(tokio::spawn(link::run(Arc::clone(link), founds)));
        watchers.push(tokio::spawn(bootstrap_when_leading(Arc::clone(node), config.bootstrap.clone())));
    }
    watchers
}

/// The link to the other nodes, if there are any, and whether this node founds the exchange. A node with an
/// empty disk that is not to found one waits until another tells it which exchange it belongs to.
async fn link_of(config: &Config) -> Result<Option<(Arc<Link>, bool)>, ServeError> {
    let Some(replication) = &config.replication else { return Ok(None) };
    let peers = Peers::new(replication, config.tls.as_ref()).map_err(ServeError::Transport)?;
    let journal = config.data.join("journal");
    let data = |error| ServeError::Data(journal.clone(), error);
    std::fs::create_dir_all(&journal).map_err(data)?;
    let mut waits = false;
    let (exchange_id, founds) = loop {
        if let Some(known) = known_exchange_id(&journal).map_err(data)? {
            break (known, false);
        }
        if let Some(adopted) = link::adopt(&peers).await {
            break (adopted, false);
        }
        if replication.wants_to_lead {
            break (fresh_exchange_id().map_err(data)?, true);
        }
        if !std::mem::replace(&mut waits, true) {
            tracing::info!("the journal is empty: waiting for the primary");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    Ok(Some((Link::new(replication.clone(), peers, exchange_id, config.data.clone()), founds)))
}

/// Enters what is configured once this node leads; a standby has it from the journal.
async fn bootstrap_when_leading(node: Arc<Node>, bootstrap: super::config::Bootstrap) {
    while node.inbox.status().state != State::Running {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    node.fresh().await;
    if let Err(faults) = bootstrap::run(&node, &bootstrap).await {
        tracing::error!(faults = faults.join("; "), "the bootstrap was not carried out");
    }
}

/// Opens the journal, replays it and starts the core.
fn open(config: &Config, substitutes: Substitutes, link: Option<&Arc<Link>>) -> Result<Opened, ServeError> {
    let journal = config.data.join("journal");
    let data = |error| ServeError::Data(journal.clone(), error);
    std::fs::create_dir_all(&journal).map_err(data)?;
    let storage: Box<dyn Storage> = match substitutes.storage {
        Some(storage) => storage,
        None => Box::new(Disk::create(&journal).map_err(data)?),
    };
    let storage = config.retention.shelves(storage).map_err(data)?;
    let exchange_id = match link {
        Some(link) => link.exchange_id,
        None => match known_exchange_id(&journal).map_err(data)? {
            Some(known) => known,
            None => fresh_exchange_id().map_err(data)?,
        },
    };
    let mut options = Options::new(exchange_id);
    options.segment_bytes = substitutes.segment_bytes.unwrap_or(options.segment_bytes);
    if link.is_some() {
        put_in(config, &*storage, &options)?;
    }
    let opened = read_model::Opened::at(&config.data);
    let known = resume(&*storage, exchange_id, opened.has.seq)?;
    let start = Keeper::start(opened, known.state, storage.reader(), link.is_some()).map_err(data)?;
    let shelves = storage.reader();
    let feed = Box::new(start.feed);
    let epoch = if link.is_some() { Epoch::Follow } else { Epoch::Same };
    let opened =
        Core::open_after(storage, options, epoch, (known.exchange, known.history), feed, &mut |progress| {
            tracing::info!(segments = progress.segments_done, of = progress.segments, "replayed");
        });
    let (core, found) = opened.map_err(ServeError::Journal)?;
    if let Some(tail) = found.as_ref().and_then(|it| it.tail.as_ref()) {
        tracing::warn!(segment = tail.segment, bytes = tail.bytes, seq = tail.seq, "a torn tail was cut");
    }
    let head = core.head();
    let clock = substitutes.clock.unwrap_or_else(|| clock_of(config.clock, head.time_us));
    let runner = RunnerOptions {
        node: config.node_name.clone(),
        inbox_commands: usize::try_from(config.limits.inbox_commands_max).unwrap_or(usize::MAX),
        batch_commands_max: config.limits.batch_commands_max.max(4_096),
        ..RunnerOptions::default()
    };
    let journaling = match link {
        Some(link) => JournalNode::standby(core, settings(config, link), link.mouth()),
        None => JournalNode::solo(core, &config.node_name),
    };
    let started = Runner::start_node(journaling, clock.clone(), runner);
    let (handle, runner) = started.map_err(ServeError::Journal)?;
    if let Some(link) = link {
        link.bind(handle.clone());
    }
    let model = &start.model;
    let snapshots =
        snapshots::start(handle.clone(), model, shelves, &journal, &config.retention).map_err(data)?;
    Ok(Opened {
        snapshots,
        inbox: Inbox::new(handle, config.limits.inbox_commands_max),
        model: start.model,
        clock,
        runner,
        keeper: start.keeper,
    })
}

/// Puts in the snapshot that has come from another node, if there is one, and the rows that came with it.
fn put_in(config: &Config, storage: &dyn Storage, options: &Options) -> Result<(), ServeError> {
    let mut rows = || fetched::put_in(&config.data);
    let installed = fetch::install::<Mirror>(storage, options, &mut rows).map_err(ServeError::Journal)?;
    match installed {
        Some(Installed::From(header)) => {
            tracing::info!(seq = header.head.stamp.seq, "the journal goes on from the primary's snapshot");
        }
        Some(Installed::Refused(reason)) => tracing::warn!(reason, "the primary's snapshot was refused"),
        None => {}
    }
    fetched::discard(&config.data).map_err(|error| ServeError::Data(config.data.clone(), error))
}

/// What is known before the journal is replayed.
#[derive(Default)]
struct Known {
    exchange: Exchange,
    history: Option<(Head, Lineage)>,
    state: Option<read_model::state::State>,
}

/// What is known from the newest snapshot that the read model's store reaches, or nothing.
fn resume(storage: &dyn Storage, exchange_id: u128, has: u64) -> Result<Known, ServeError> {
    let newest = snapshot::newest::<Mirror>(storage, Some(exchange_id), has);
    let (resumed, passed_over) = newest.map_err(ServeError::Journal)?;
    for it in passed_over {
        tracing::warn!(snapshot = it.name, reason = it.reason, "a snapshot was passed over");
    }
    let Some(Resumed { machine, head, lineage }) = resumed else {
        return Ok(Known::default());
    };
    tracing::info!(seq = head.stamp.seq, "goes on from a snapshot");
    let Mirror { exchange, state, .. } = machine;
    Ok(Known { exchange, history: Some((head, lineage)), state: Some(state) })
}

fn settings(config: &Config, link: &Link) -> Settings {
    Settings {
        name: config.node_name.clone(),
        id: NodeId(u8::try_from(link.config.me).expect("at most sixteen nodes")),
        nodes: link.config.nodes.len(),
        mode: link.config.mode,
        patience_ms: i64::try_from(link.config.patience.as_millis()).unwrap_or(i64::MAX),
        digest_every: link.config.digest_every,
        asks_before_alone: config.lease.is_some(),
    }
}

fn clock_of(config: ClockConfig, journaled_us: i64) -> Clock {
    match config {
        ClockConfig::Wall => Clock::Wall,
        ClockConfig::Accelerated { start_us, factor } => {
            let configured = start_us.unwrap_or_else(|| match journaled_us {
                0 => Clock::Wall.now_us(),
                journaled => journaled,
            });
            // A restart goes on where the journal ends.
            Clock::accelerated(configured.max(journaled_us), factor)
        }
    }
}

/// A new exchange's id.
fn fresh_exchange_id() -> io::Result<u128> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(u128::from_le_bytes(bytes))
}

/// The id of the exchange whose journal is here.
fn known_exchange_id(journal: &Path) -> io::Result<Option<u128>> {
    let mut first: Option<(u64, PathBuf)> = None;
    for entry in std::fs::read_dir(journal)? {
        let entry = entry?;
        if let Some(seq) = entry.file_name().to_str().and_then(seq_of_name)
            && first.as_ref().is_none_or(|(known, _)| seq < *known)
        {
            first = Some((seq, entry.path()));
        }
    }
    let Some((_, path)) = first else { return Ok(None) };
    let mut header = vec![0; HEADER_BYTES];
    // What is wrong with a header is for recovery to say, which reads it again.
    match std::fs::File::open(path)?.read_exact(&mut header) {
        Ok(()) => Ok(Some(SegmentHeader::decode(&header).map_or(0, |it| it.exchange_id))),
        Err(_) => Ok(Some(0)),
    }
}

fn door_limits(limits: &Limits) -> DoorLimits {
    DoorLimits {
        pending_max: limits.pending_max,
        pending_per_address_max: limits.pending_per_address_max,
        open_max: limits.connections_max,
        open_per_address_max: limits.connections_per_address_max,
        handshake_max: limits.handshake_timeout,
    }
}

type Routes = tonic::transport::server::Router<tower_layer::Stack<Scope, tower_layer::Identity>>;

fn router(node: &Arc<Node>) -> Result<Routes, ServeError> {
    let limits = node.limits;
    let bytes = limits.request_bytes_max;
    let known = reflection::methods();
    // What nodes say to each other is nobody else's to explore.
    let public = |it: &&str| !it.starts_with("merit.v1.ReplicationService/");
    let shown: Vec<&str> = known.iter().map(String::as_str).filter(public).collect();
    let shown = reflection::implemented_encoded(&shown).map_err(ServeError::Transport)?;
    let reflected = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(&shown)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let unreadable = |error: tonic_reflection::server::Error| ServeError::Transport(error.to_string());
    let node = || Arc::clone(node);
    Ok(Server::builder()
        .layer(Scope { request_bytes_max: u64::try_from(bytes).unwrap_or(u64::MAX) })
        .max_concurrent_streams(Some(limits.streams_per_connection_max))
        .concurrency_limit_per_connection(limits.calls_per_connection_max)
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        .add_service(reflected().build_v1().map_err(unreadable)?)
        .add_service(reflected().build_v1alpha().map_err(unreadable)?)
        .add_service(MemberServiceServer::new(Member { node: node() }).max_decoding_message_size(bytes))
        .add_service(
            MarketDataServiceServer::new(MarketData { node: node() }).max_decoding_message_size(bytes),
        )
        .add_service(DispatchServiceServer::new(Dispatch { node: node() }).max_decoding_message_size(bytes))
        .add_service(
            SettlementServiceServer::new(Settlement { node: node() }).max_decoding_message_size(bytes),
        )
        .add_service(OperatorServiceServer::new(Operator { node: node() }).max_decoding_message_size(bytes))
        .add_service(RiskServiceServer::new(Risk { node: node() }).max_decoding_message_size(bytes))
        .add_service(
            ReplicationServiceServer::new(Replication { node: node() }).max_decoding_message_size(bytes),
        ))
}

const SERVICES: [&str; 6] = [
    "merit.v1.MemberService",
    "merit.v1.MarketDataService",
    "merit.v1.DispatchService",
    "merit.v1.SettlementService",
    "merit.v1.OperatorService",
    "merit.v1.RiskService",
];

async fn set_all(health: &HealthReporter, status: ServingStatus) {
    for service in SERVICES.iter().chain(&[""]) {
        health.set_service_status(service, status).await;
    }
}

/// Order entry is healthy while the core takes commands; reads go on either way.
async fn watch_core(node: Arc<Node>, health: HealthReporter) {
    let mut healthy = true;
    loop {
        tokio::time::sleep(HEALTH_INTERVAL).await;
        let now = node.inbox.status().state == State::Running;
        if now != healthy {
            healthy = now;
            let status = if now { ServingStatus::Serving } else { ServingStatus::NotServing };
            tracing::warn!(taking_orders = now, "the core's state changed");
            health.set_service_status("merit.v1.MemberService", status).await;
        }
    }
}
