//! Leases in etcd: a standby may take over by itself when the primary's has run out, and a primary goes on
//! alone only when no standby may take over any more.
//!
//! Under `/merit/<exchange>/` lie three keys: `leader` (the primary's name, under its lease), `in-sync` (who
//! may take over: nodes that hold everything acknowledged) and `paused` (any value: nobody takes over by
//! itself). Safety does not hang on the lease's clock: an order is acknowledged only when a node of `in-sync`
//! has it, a node leaves `in-sync` *before* the primary acknowledges without it, and whoever takes over
//! fences the old primary by its epoch. So a primary that cannot reach etcd goes on as long as a standby
//! follows it; it only may not go on alone.

use super::etcd::{Entry, Etcd, If, Put};
use super::watch::campaign;
use super::{Link, PATIENCE, lock};
use merit_proto::v1;
use merit_replay::replication::Mode;
use std::sync::Arc;
use std::time::Duration;

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
    paused: String,
}

struct Lease {
    link: Arc<Link>,
    etcd: Etcd,
    config: LeaseConfig,
    keys: Keys,
    id: Option<i64>,
}

/// Keeps the lease until the task is aborted.
pub async fn run(link: Arc<Link>, config: LeaseConfig) {
    let etcd = match Etcd::new(&config.endpoints) {
        Ok(etcd) => etcd,
        Err(error) => return tracing::error!(error, "no leases"),
    };
    let key = |name: &str| format!("/merit/{:032x}/{name}", link.exchange_id);
    let keys = Keys { leader: key("leader"), in_sync: key("in-sync"), paused: key("paused") };
    // A third of the lease: two renewals may be lost.
    let interval =
        Duration::from_millis(u64::from(config.seconds) * 1_000 / 6).min(Duration::from_millis(250));
    let mut lease = Lease { link, etcd, config, keys, id: None };
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

fn names(entry: Option<&Entry>) -> Vec<String> {
    entry.map(|it| it.value.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
}

impl Lease {
    fn me(&self) -> &str {
        self.link.name(self.link.config.me)
    }

    async fn turn(&mut self) -> Result<(), String> {
        let position = self.link.position();
        self.renew(position.leads).await?;
        let read = [self.keys.leader.as_str(), &self.keys.in_sync, &self.keys.paused];
        let found = self.etcd.read(&read).await?;
        let [leader, in_sync, paused] =
            <[_; 3]>::try_from(found).map_err(|_| "etcd answered something else")?;
        *lock(&self.link.lease) = Some(v1::LeaseStatus {
            reachable: true,
            leader: names(leader.as_ref()).into_iter().next().unwrap_or_default(),
            may_take_over: names(in_sync.as_ref()),
            paused: paused.is_some(),
        });
        if position.leads {
            return self.lead(leader.as_ref(), in_sync.as_ref()).await;
        }
        let may = names(in_sync.as_ref()).iter().any(|it| it == self.me());
        if self.config.automatic && leader.is_none() && paused.is_none() && may {
            self.take_over(in_sync.as_ref()).await?;
        }
        Ok(())
    }

    async fn renew(&mut self, leads: bool) -> Result<(), String> {
        if let Some(id) = self.id
            && (!leads || !self.etcd.keep(id).await?)
        {
            // A standby lets its lease run out.
            self.id = None;
        }
        if leads && self.id.is_none() {
            self.id = Some(self.etcd.grant(i64::from(self.config.seconds)).await?);
        }
        Ok(())
    }

    fn unchanged<'a>(key: &'a str, entry: Option<&Entry>) -> If<'a> {
        match entry {
            Some(entry) => If::Unchanged(key, entry.revision),
            None => If::Absent(key),
        }
    }

    /// A primary's turn: holds the key of the leader, and keeps the list of who may take over.
    async fn lead(&mut self, leader: Option<&Entry>, in_sync: Option<&Entry>) -> Result<(), String> {
        let position = self.link.position();
        let mine = format!("{} {}", self.me(), position.epoch);
        let lease = self.id.unwrap_or(0);
        let follows = self.link.ask(|node, _| {
            let leader = node.leader();
            // Whoever holds everything acknowledged now holds all of it later: nothing is acknowledged without.
            let acknowledged_seq = node.position().acknowledged_seq;
            let counted = |it: &merit_replay::replication::leader::Progress| {
                it.connected && !it.diverged && it.durable_seq >= acknowledged_seq
            };
            let all =
                leader.map(|it| it.followers().iter().filter(|(_, it)| counted(it)).map(|(id, _)| id.0));
            let all = all.map(Iterator::collect::<Vec<u8>>).unwrap_or_default();
            (all, node.wants_to_be_alone(), node.position().alone)
        });
        let (followers, wants_alone, is_alone) = follows.await.map_err(|it| it.to_string())?;
        let epoch_of = |it: &Entry| it.value.split_whitespace().nth(1).and_then(|it| it.parse::<u32>().ok());
        if leader.is_some_and(|it| epoch_of(it).is_some_and(|epoch| epoch > position.epoch)) {
            let epoch = leader.and_then(epoch_of).unwrap_or_default();
            return self
                .link
                .ask(move |node, _| node.handle_rumour(epoch))
                .await
                .map_err(|it| it.to_string());
        }
        let alone = is_alone || wants_alone;
        let mut may = vec![self.me().to_owned()];
        if !alone {
            may.extend(followers.iter().map(|it| self.link.name(usize::from(*it)).to_owned()));
        }
        let listed = may.join(" ");
        let held = leader.is_some_and(|it| it.value == mine);
        if !held || in_sync.is_none_or(|it| it.value != listed) {
            let conditions =
                [Self::unchanged(&self.keys.leader, leader), Self::unchanged(&self.keys.in_sync, in_sync)];
            let puts = [
                Put { key: &self.keys.leader, value: &mine, lease },
                Put { key: &self.keys.in_sync, value: &listed, lease: 0 },
            ];
            if !self.etcd.put_if(&conditions, &puts).await? {
                return Ok(());
            }
            tracing::info!(leader = mine, in_sync = listed, "etcd was told");
            // What was found before holds no more: nobody must count on who may no longer take over.
            let mut status = lock(&self.link.lease);
            let status = status.get_or_insert_default();
            status.leader = self.me().to_owned();
            status.may_take_over = may;
        }
        if wants_alone {
            // Nobody else may take over any more: it may go on alone, if it still has to.
            let epoch = position.epoch;
            self.link
                .ask(move |node, now_ms| node.permit_alone(epoch, now_ms))
                .await
                .map_err(|it| it.to_string())?;
        }
        Ok(())
    }

    /// The primary's lease has run out, and this node holds everything.
    async fn take_over(&mut self, in_sync: Option<&Entry>) -> Result<(), String> {
        let id = self.etcd.grant(i64::from(self.config.seconds)).await?;
        let me = self.me().to_owned();
        let conditions = [If::Absent(&self.keys.leader), Self::unchanged(&self.keys.in_sync, in_sync)];
        // While it tries, the others stay who they were: it may fail.
        let puts = [Put { key: &self.keys.leader, value: &me, lease: id }];
        if !self.etcd.put_if(&conditions, &puts).await? {
            return Ok(());
        }
        self.id = Some(id);
        tracing::warn!("the primary's lease has run out: this node takes over");
        let standings = self.link.peers.standings(PATIENCE).await;
        let heard = standings.iter().map(|(_, it)| it.promised).max().unwrap_or(0);
        let epoch = campaign(&self.link, heard, None, PATIENCE).await?;
        if self.link.config.mode != Mode::Sync && self.link.config.nodes.len() == 2 {
            self.link.ask(|node, _| node.order_alone()).await.map_err(|it| it.to_string())?;
        }
        tracing::warn!(epoch, "this node leads");
        Ok(())
    }
}
