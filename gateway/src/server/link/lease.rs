//! Leases in etcd: a standby may take over by itself when the primary's has run out, and a primary goes on
//! alone only when no standby may take over any more.
//!
//! Under `/merit/<exchange>/` lie four keys: `leader` (the primary's name and epoch, under its lease; the name alone
//! while it tries to take over), `in-sync` (who may take over: nodes that hold everything acknowledged), `epoch` (the
//! greatest one that a node took over in) and `paused` (any value: nobody takes over by itself). What follows from
//! them, and why it is safe whatever the clocks say, is in [`merit_replay::replication::lease`].

use super::etcd::{Entry, Etcd, If, Put};
use super::watch::{By, campaign};
use super::{Link, PATIENCE, lock, node_id};
use merit_proto::v1;
use merit_replay::replication::lease::{Duty, Holder, Primary, duty, may_write, takes_over};
use merit_replay::replication::{Mode, NodeId};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// As configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseConfig {
    /// Endpoints of etcd.
    pub endpoints: Vec<String>,
    /// Time after which a lease that is not renewed runs out, s.
    pub seconds: u32,
    /// Whether this node takes over by itself.
    pub automatic: bool,
}

struct Keys {
    leader: String,
    in_sync: String,
    epoch: String,
    paused: String,
}

/// What stands in etcd at one moment.
struct Seen {
    leader: Option<Entry>,
    in_sync: Option<Entry>,
    epoch: Option<Entry>,
    paused: bool,
}

/// How often an epoch is tried to be written, and the wait after a question that was lost.
const WRITE_TRIES: usize = 8;
const WRITE_PAUSE: Duration = Duration::from_millis(50);
/// A node that is in nobody's list of nodes, but not nobody.
const STRANGER: NodeId = NodeId(u8::MAX);

fn words(entry: Option<&Entry>) -> Vec<String> {
    entry.map(|it| it.value.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
}

impl Seen {
    fn holder(&self, link: &Link) -> Option<Holder> {
        let words = words(self.leader.as_ref());
        let name = words.first()?;
        let node = link.place(name).map_or(STRANGER, node_id);
        Some(Holder { node, epoch: words.get(1).and_then(|it| it.parse().ok()) })
    }

    fn heirs(&self, link: &Link) -> Vec<NodeId> {
        words(self.in_sync.as_ref()).iter().filter_map(|it| link.place(it)).map(node_id).collect()
    }

    /// The greatest epoch that a node took over in; 0 if none did.
    fn epoch(&self) -> Result<u32, String> {
        let Some(entry) = &self.epoch else { return Ok(0) };
        entry.value.trim().parse().map_err(|_| format!("etcd holds no epoch but {:?}", entry.value))
    }
}

/// etcd, as the nodes of one exchange use it.
pub(super) struct LeaseStore {
    etcd: Etcd,
    keys: Keys,
    seconds: u32,
    /// This node's lease, while it leads or tries to.
    id: Mutex<Option<i64>>,
}

impl LeaseStore {
    fn new(link: &Link, config: &LeaseConfig) -> Result<Self, String> {
        let key = |name: &str| format!("/merit/{:032x}/{name}", link.exchange_id);
        Ok(Self {
            etcd: Etcd::new(&config.endpoints)?,
            keys: Keys {
                leader: key("leader"),
                in_sync: key("in-sync"),
                epoch: key("epoch"),
                paused: key("paused"),
            },
            seconds: config.seconds,
            id: Mutex::default(),
        })
    }

    async fn grant(&self) -> Result<i64, String> {
        let id = self.etcd.grant(i64::from(self.seconds)).await?;
        *lock(&self.id) = Some(id);
        Ok(id)
    }

    async fn see(&self) -> Result<Seen, String> {
        let keys = [self.keys.leader.as_str(), &self.keys.in_sync, &self.keys.epoch, &self.keys.paused];
        let found = self.etcd.read(&keys).await?;
        let [leader, in_sync, epoch, paused] =
            <[_; 4]>::try_from(found).map_err(|_| "etcd answered something else")?;
        Ok(Seen { leader, in_sync, epoch, paused: paused.is_some() })
    }

    /// Writes if nobody has changed anything since; whether it was written.
    async fn put(
        &self,
        seen: &Seen,
        leader: &str,
        lease: i64,
        in_sync: &str,
        epoch: u32,
    ) -> Result<bool, String> {
        let unchanged = |key, entry: &Option<Entry>| match entry {
            Some(entry) => If::Unchanged(key, entry.revision),
            None => If::Absent(key),
        };
        let Keys { leader: leader_key, in_sync: in_sync_key, epoch: epoch_key, .. } = &self.keys;
        let conditions = [
            unchanged(leader_key, &seen.leader),
            unchanged(in_sync_key, &seen.in_sync),
            unchanged(epoch_key, &seen.epoch),
        ];
        let epoch = epoch.to_string();
        let puts = [
            Put { key: leader_key, value: leader, lease },
            Put { key: in_sync_key, value: in_sync, lease: 0 },
            Put { key: epoch_key, value: &epoch, lease: 0 },
        ];
        self.etcd.put_if(&conditions, &puts).await
    }
}

/// Writes the epoch for which this node has promises, before it leads in it. Without leases there is nothing to
/// write. An operator's word goes without the store's consent, and without etcd if it does not answer.
pub(super) async fn write_epoch(link: &Link, epoch: u32, by: By) -> Result<(), String> {
    let Some(store) = link.leases.get() else { return Ok(()) };
    let writing = write_epoch_in(store, link, epoch, by);
    if by == By::Itself {
        return writing.await;
    }
    let written = tokio::time::timeout(PATIENCE, writing).await;
    if let Err(error) = written.unwrap_or_else(|_| Err("etcd does not answer".to_owned())) {
        tracing::warn!(error, "an operator's order goes on without etcd");
    }
    Ok(())
}

/// The greatest epoch that a node took over in, as far as etcd says so in time; else 0.
pub(super) async fn epoch_taken(link: &Link) -> u32 {
    let Some(store) = link.leases.get() else { return 0 };
    match tokio::time::timeout(PATIENCE, store.see()).await {
        Ok(Ok(seen)) => seen.epoch().unwrap_or(0),
        Ok(Err(_)) | Err(_) => 0,
    }
}

/// A member of etcd may be gone and a question lost: it is asked again, and an answer that was lost is found.
async fn write_epoch_in(store: &LeaseStore, link: &Link, epoch: u32, by: By) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..WRITE_TRIES {
        match try_epoch(store, link, epoch, by).await {
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) => "etcd was changed by another node meanwhile".clone_into(&mut last),
            Ok(Err(refused)) => return Err(refused),
            Err(error) => {
                last = error;
                tokio::time::sleep(WRITE_PAUSE).await;
            }
        }
    }
    Err(last)
}

/// One try: whether it is written, or why it must not be; the outer error says that etcd did not answer.
async fn try_epoch(
    store: &LeaseStore,
    link: &Link,
    epoch: u32,
    by: By,
) -> Result<Result<bool, String>, String> {
    let seen = store.see().await?;
    let (me, holder, taken) = (node_id(link.config.me), seen.holder(link), seen.epoch()?);
    if holder == Some(Holder { node: me, epoch: Some(epoch) }) && taken == epoch {
        return Ok(Ok(true));
    }
    if by == By::Itself && !may_write(me, epoch, holder, &seen.heirs(link), taken) {
        let why = "etcd says that another node may have taken over, or that this one lacks something";
        return Ok(Err(why.to_owned()));
    }
    let known = *lock(&store.id);
    let lease = match known {
        Some(lease) => lease,
        None => store.grant().await?,
    };
    let name = link.name(link.config.me);
    let in_sync = seen.in_sync.as_ref().map_or(name, |it| it.value.as_str());
    let epoch = epoch.max(taken);
    store.put(&seen, &format!("{name} {epoch}"), lease, in_sync, epoch).await.map(Ok)
}

struct Lease {
    link: Arc<Link>,
    store: Arc<LeaseStore>,
    automatic: bool,
    /// After a try in vain it lets the others have theirs: it may be behind one of them.
    rests_until: Option<Instant>,
}

/// Keeps the lease until the task is aborted. From the call on, before the first poll, this node asks etcd before
/// it leads.
pub fn run(link: Arc<Link>, config: LeaseConfig) -> impl Future<Output = ()> + Send {
    let store = LeaseStore::new(&link, &config);
    let store = store.map(|it| Arc::clone(link.leases.get_or_init(|| Arc::new(it))));
    async move {
        match store {
            Ok(store) => keep(link, store, &config).await,
            Err(error) => tracing::error!(error, "no leases"),
        }
    }
}

async fn keep(link: Arc<Link>, store: Arc<LeaseStore>, config: &LeaseConfig) {
    // A third of the lease: two renewals may be lost.
    let interval =
        Duration::from_millis(u64::from(config.seconds) * 1_000 / 6).min(Duration::from_millis(250));
    let mut lease = Lease { link, store, automatic: config.automatic, rests_until: None };
    let mut well = true;
    loop {
        let turned = lease.turn().await;
        if turned.is_err() {
            lock(&lease.link.lease).get_or_insert_default().reachable = false;
        }
        if turned.is_ok() != well {
            well = turned.is_ok();
            tracing::warn!(well, error = turned.err(), "etcd");
        }
        tokio::time::sleep(interval).await;
    }
}

impl Lease {
    fn me(&self) -> &str {
        self.link.name(self.link.config.me)
    }

    async fn turn(&mut self) -> Result<(), String> {
        let position = self.link.position();
        self.renew(position.leads).await?;
        let seen = self.store.see().await?;
        *lock(&self.link.lease) = Some(v1::LeaseStatus {
            reachable: true,
            leader: words(seen.leader.as_ref()).into_iter().next().unwrap_or_default(),
            may_take_over: words(seen.in_sync.as_ref()),
            paused: seen.paused,
        });
        if position.leads {
            return self.lead(&seen).await;
        }
        let (me, holder, heirs) =
            (node_id(self.link.config.me), seen.holder(&self.link), seen.heirs(&self.link));
        let rests = self.rests_until.is_some_and(|it| it > Instant::now());
        if self.automatic && !rests && takes_over(me, holder, &heirs, seen.paused) {
            self.take_over(&seen).await?;
        }
        Ok(())
    }

    async fn renew(&mut self, leads: bool) -> Result<(), String> {
        if !leads {
            // A standby lets its lease run out; a candidate needs it for a moment only.
            return Ok(());
        }
        let known = *lock(&self.store.id);
        let kept = match known {
            Some(id) => self.store.etcd.keep(id).await?,
            None => false,
        };
        if !kept {
            self.store.grant().await?;
        }
        Ok(())
    }

    /// A primary's turn: holds the key of the leader, and keeps the list of who may take over.
    async fn lead(&mut self, seen: &Seen) -> Result<(), String> {
        let primary = self.link.ask(|node, _| Primary::of(node));
        let Some(primary) = primary.await.map_err(|it| it.to_string())? else { return Ok(()) };
        match duty(&primary, seen.epoch()?) {
            Duty::GiveWay(epoch) => {
                tracing::warn!(epoch, "another node took over: this one gives way");
                let given = self.link.ask(move |node, _| node.handle_rumour(epoch));
                given.await.map_err(|it| it.to_string())
            }
            Duty::Tell { holder: _, heirs, alone_after } => {
                let heirs = heirs.iter().map(|it| self.link.name(usize::from(it.0)).to_owned()).collect();
                self.tell(seen, primary.epoch, heirs, alone_after).await
            }
        }
    }

    async fn tell(
        &mut self,
        seen: &Seen,
        epoch: u32,
        may: Vec<String>,
        alone_after: bool,
    ) -> Result<(), String> {
        let (mine, listed) = (format!("{} {epoch}", self.me()), may.join(" "));
        let held = |entry: &Option<Entry>, value: &str| entry.as_ref().is_some_and(|it| it.value == value);
        let known = *lock(&self.store.id);
        let Some(lease) = known else { return Ok(()) };
        // Under a lease that is not renewed any more the entry would go, and another node take over.
        let leased = seen.leader.as_ref().is_some_and(|it| it.lease == lease);
        let told = held(&seen.leader, &mine) && held(&seen.in_sync, &listed) && seen.epoch()? == epoch;
        if told && leased && !alone_after {
            return Ok(());
        }
        if !self.store.put(seen, &mine, lease, &listed, epoch).await? {
            return Ok(());
        }
        tracing::info!(leader = mine, in_sync = listed, "etcd was told");
        {
            // What was found before holds no more: nobody must count on who may no longer take over.
            let mut status = lock(&self.link.lease);
            let status = status.get_or_insert_default();
            status.leader = self.me().to_owned();
            status.may_take_over = may;
        }
        if alone_after {
            // Nobody else may take over any more: it may go on alone, if it still has to.
            let permitted = self.link.ask(move |node, now_ms| node.permit_alone(epoch, now_ms));
            permitted.await.map_err(|it| it.to_string())?;
        }
        Ok(())
    }

    /// The primary's lease has run out, and this node holds everything.
    async fn take_over(&mut self, seen: &Seen) -> Result<(), String> {
        let id = self.store.grant().await?;
        let me = self.me().to_owned();
        // While it tries, the others stay who they were: it may fail.
        let in_sync = seen.in_sync.as_ref().map_or("", |it| it.value.as_str());
        if !self.store.put(seen, &me, id, in_sync, seen.epoch()?).await? {
            return Ok(());
        }
        self.rests_until = Some(Instant::now() + Duration::from_secs(2 * u64::from(self.store.seconds)));
        tracing::warn!("the primary's lease has run out: this node takes over");
        let standings = self.link.peers.standings(PATIENCE).await;
        let heard = standings.iter().map(|(_, it)| it.promised).max().unwrap_or(0).max(seen.epoch()?);
        let epoch = campaign(&self.link, heard, None, PATIENCE, By::Itself).await?;
        self.rests_until = None;
        if self.link.config.mode != Mode::Sync && self.link.config.nodes.len() == 2 {
            self.link.ask(|node, _| node.order_alone()).await.map_err(|it| it.to_string())?;
        }
        tracing::warn!(epoch, "this node leads");
        Ok(())
    }
}
