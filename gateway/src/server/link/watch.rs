//! Watches the other nodes: finds the primary and follows it, hears of a newer one, asks for the role once.

use super::follow::{Ended, follow};
use super::lease::write_epoch;
use super::{Link, PATIENCE, Peers, wire};
use merit_proto::v1;
use merit_replay::node::Position;
use merit_replay::replication::{Unfit, may_lead};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a primary's core looks at its standbys' silence.
const TICK: Duration = Duration::from_millis(50);
/// How often the other nodes are asked who leads.
const LOOK: Duration = Duration::from_millis(500);
/// Wait before a primary is looked for again.
const AGAIN: Duration = Duration::from_millis(50);

/// The exchange whose history another node has: what a node with an empty disk asks before it begins.
/// Nothing if no node knows one.
pub async fn adopt(peers: &Peers) -> Option<u128> {
    let standings = peers.standings(PATIENCE).await;
    let has_history = |it: &v1::Standing| it.head.as_ref().is_some_and(|head| head.seq > 0);
    // A node that leads knows best; one that has founded an exchange a moment ago may have no record yet.
    let best = standings.iter().max_by_key(|(_, it)| (it.leads, has_history(it)));
    best.filter(|(_, it)| it.leads || has_history(it)).and_then(|(_, it)| wire::exchange_in(it))
}

/// Watches until the task is aborted. `founds` says that this node has just founded the exchange.
pub async fn run(link: Arc<Link>, founds: bool) {
    let mut wants_to_lead = link.config.wants_to_lead;
    if founds && wants_to_lead {
        wants_to_lead = false;
        let founded = link.ask(|node, now_ms| {
            let epoch = node.claim(0).map_err(|it| it.to_string())?;
            node.lead_by_order(epoch, false, now_ms).map_err(|it| it.to_string())
        });
        let founded = founded.await;
        tracing::info!(result = ?founded, "the exchange is founded here");
    }
    let mut position = link.position.subscribe();
    let mut looked = Instant::now();
    loop {
        if link.position().leads {
            wants_to_lead = false;
            // What follows from a standby's silence follows when the core looks.
            if link.tell(|_, _| {}).is_err() {
                return;
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                tokio::spawn(hear(Arc::clone(&link)));
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = until(&mut position, false) => {}
            }
            continue;
        }
        let standings = link.peers.standings(PATIENCE).await;
        // After an empty disk it follows nobody before the others have said what they have promised.
        let said: Vec<_> = standings.iter().filter_map(|(node, it)| wire::standing_in(*node, it)).collect();
        let Ok(heard) = link.ask(move |node, _| node.handle_heard(&said)).await else { return };
        let leads = standings.iter().filter(|(_, it)| it.leads).max_by_key(|(_, it)| it.epoch);
        if let Some((primary, _)) = leads.filter(|_| heard) {
            let ended = follow(&link, *primary).await;
            wants_to_lead = false;
            match ended {
                Ended::Cut => {}
                Ended::Lost(why) => {
                    tracing::warn!(primary = link.name(*primary), why, "following ended");
                    tokio::time::sleep(AGAIN).await;
                }
                Ended::Fetched => {
                    link.fetched.notify_one();
                    return;
                }
            }
            continue;
        }
        let followed = standings.iter().any(|(_, it)| it.epoch != 0);
        if wants_to_lead && !standings.is_empty() && !followed && !link.position().leads {
            let heard = standings.iter().map(|(_, it)| it.promised).max().unwrap_or(0);
            match campaign(&link, heard, None, PATIENCE, By::Itself).await {
                Ok(epoch) => tracing::info!(epoch, "this node leads"),
                Err(why) => tracing::warn!(why, "this node may not lead yet"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = until(&mut position, true) => {}
        }
    }
}

/// Waits until this node leads, or leads no more.
async fn until(position: &mut tokio::sync::watch::Receiver<Position>, leads: bool) {
    // An error means that the link is gone.
    drop(position.wait_for(|it| it.leads == leads).await);
}

/// Gives way if another node leads in a greater epoch.
async fn hear(link: Arc<Link>) {
    let standings = link.peers.standings(PATIENCE).await;
    let newest = standings.iter().filter(|(_, it)| it.leads).map(|(_, it)| it.epoch).max();
    if let Some(epoch) = newest.filter(|it| *it > link.position().epoch) {
        tracing::warn!(epoch, "another node leads in a greater epoch: this one gives way");
        drop(link.tell(move |node, _| node.handle_rumour(epoch)));
    }
}

/// A follower has promised to a greater epoch than this primary's. If nobody leads in it, the primary asks
/// for promises anew; else it gives way.
pub(super) fn outrun(link: &Arc<Link>, promised: u32) {
    let link = Arc::clone(link);
    tokio::spawn(async move {
        let standings = link.peers.standings(PATIENCE).await;
        if standings.iter().any(|(_, it)| it.leads && it.epoch > link.position().epoch) {
            return hear(link).await;
        }
        if !link.position().leads {
            return;
        }
        let renewed = campaign(&link, promised, None, PATIENCE, By::Itself).await;
        tracing::warn!(promised, result = ?renewed, "a standby had promised to a greater epoch");
    });
}

/// On whose word a node wants to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Its own: by its lease, when it starts, or since a standby has promised to another.
    Itself,
    /// An operator's.
    Operator,
}

/// Asks all nodes but one to promise, and leads if it may. Returns the epoch.
pub(super) async fn campaign(
    link: &Arc<Link>,
    heard: u32,
    without: Option<usize>,
    patience: Duration,
    by: By,
) -> Result<u32, String> {
    let (epoch, promised) = claim(link, heard, without, patience).await?;
    // Only who may lead writes: the others need not give way for it.
    let (nodes, others) = (link.config.nodes.len(), promised.clone());
    let may = link.ask(move |node, _| may_lead(epoch, nodes, &node.standing(), &others));
    may.await.map_err(|it| it.to_string())?.map_err(|it| it.to_string())?;
    write_epoch(link, epoch, by).await?;
    let led = link.ask(move |node, now_ms| node.lead(epoch, &promised, now_ms)).await;
    led.map_err(|it| it.to_string())?.map_err(|it: Unfit| it.to_string())?;
    Ok(epoch)
}

/// Claims an epoch of this node's own and collects promises to it.
pub(super) async fn claim(
    link: &Arc<Link>,
    heard: u32,
    without: Option<usize>,
    patience: Duration,
) -> Result<(u32, Vec<merit_replay::replication::Standing>), String> {
    let claimed = link.ask(move |node, _| node.claim(heard)).await.map_err(|it| it.to_string())?;
    let epoch = claimed.map_err(|it| it.to_string())?;
    let me = link.name(link.config.me);
    let standings = link.peers.claim(me, epoch, without, patience).await;
    let promised = standings.iter().filter_map(|(node, it)| wire::standing_in(*node, it)).collect();
    Ok((epoch, promised))
}
