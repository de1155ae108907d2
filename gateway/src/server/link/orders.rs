//! Operators' orders: hand the role over, take it over, say how things stand.

use super::lease::{epoch_taken, write_epoch};
use super::watch::{By, campaign, claim};
use super::{Link, PATIENCE, lock, node_id};
use crate::server::node::{Leave, Node};
use crate::server::status as statuses;
use merit_engine::event::Phase;
use merit_proto::v1;
use merit_replay::frame::Stamp;
use merit_replay::replication::{Mode, may_lead, node_of_epoch};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Status;

/// How long a switchover waits for the standby to hold everything.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// How long a candidate waits for another node's promise in an emergency.
const PROMISE_MAX: Duration = Duration::from_millis(200);
/// A switchover keeps such a distance to the next step of the timetable.
const DISTANCE_US: i64 = 60_000_000;

/// How the node stands among the others.
///
/// # Errors
///
/// If the core has ended.
pub async fn status(link: &Arc<Link>) -> Result<v1::ReplicationStatus, Status> {
    let asked = link.ask(|node, now_ms| {
        let standing = node.standing();
        let followers: Vec<_> = match node.leader() {
            Some(leader) => leader.followers().iter().map(|(id, it)| (id.0, *it)).collect(),
            None => Vec::new(),
        };
        (standing, node.position(), followers, now_ms)
    });
    let (standing, position, followers, now_ms) = asked.await?;
    let primary = link.primary();
    let follower = |(id, it): &(u8, merit_replay::replication::leader::Progress)| v1::FollowerStatus {
        node: link.name(usize::from(*id)).to_owned(),
        connected: it.connected,
        durable_seq: it.durable_seq,
        applied_seq: it.applied_seq,
        lag_records: position.durable_seq.saturating_sub(it.durable_seq),
        lag_ms: u64::try_from(now_ms - it.heard_ms).unwrap_or(0),
        diverged: it.diverged,
    };
    let mode = match link.config.mode {
        Mode::Sync => v1::ReplicationMode::Sync,
        Mode::SyncOrDegrade => v1::ReplicationMode::SyncOrDegrade,
        Mode::Async => v1::ReplicationMode::Async,
    };
    let entry = |(node, endpoint): &(String, String)| v1::NodeEntry {
        node: node.clone(),
        endpoint: endpoint.clone(),
    };
    Ok(v1::ReplicationStatus {
        mode: mode.into(),
        alone: position.alone,
        primary: primary.map(|(node, _)| link.name(node).to_owned()).unwrap_or_default(),
        promised: u64::from(standing.promised),
        durable_seq: position.durable_seq,
        acknowledged_seq: position.acknowledged_seq,
        followers: followers.iter().map(follower).collect(),
        silent_ms: primary
            .filter(|_| !position.leads)
            .map(|(_, silent)| u64::try_from(silent.as_millis()).unwrap_or(u64::MAX)),
        nodes: link.config.nodes.iter().map(entry).collect(),
        lease: lock(&link.lease).clone(),
    })
}

/// Every primary of the exchange.
///
/// # Errors
///
/// If the core has ended.
pub async fn history(link: &Arc<Link>) -> Result<Vec<v1::HistoryEntry>, Status> {
    let begins = link.ask(|node, _| node.core().lineage().begins().to_vec()).await?;
    let entry = |(epoch, seq_first): (u32, u64)| v1::HistoryEntry {
        epoch: u64::from(epoch),
        node: link.name(usize::from(node_of_epoch(epoch).0)).to_owned(),
        seq_first,
    };
    Ok(begins.into_iter().map(entry).collect())
}

/// The primary hands over: this node begins to lead if it holds everything.
///
/// # Errors
///
/// If it does not, or may not.
pub async fn take_over(link: &Arc<Link>, request: &v1::TakeOverRequest) -> Result<u32, Status> {
    let (seq, epoch) = (request.seq, request.epoch);
    let holds = link.ask(move |node, _| {
        let position = node.position();
        !position.leads && position.epoch == epoch && position.durable_seq == seq
    });
    if !holds.await? {
        return Err(Status::failed_precondition("this node does not hold everything in that epoch"));
    }
    let heard = epoch.max(epoch_taken(link).await);
    campaign(link, heard, None, PATIENCE, By::Operator).await.map_err(Status::failed_precondition)
}

/// Hands the role of primary over to a standby that holds everything.
///
/// # Errors
///
/// If the core has ended.
pub async fn switchover(
    node: &Arc<Node>,
    link: &Arc<Link>,
    request: &v1::SwitchoverRequest,
) -> Result<v1::SwitchoverResponse, Status> {
    let (objections, target) = objections(node, link, request).await?;
    if !objections.is_empty() || request.plan {
        return Ok(v1::SwitchoverResponse { objections, ..Default::default() });
    }
    let target = target.ok_or_else(|| statuses::internal("no objection, and no target"))?;
    let endpoint = link.config.nodes.get(target).map(|(_, it)| it.clone()).unwrap_or_default();
    tracing::warn!(to = request.to, "switchover begins");
    node.leave.send_replace(Leave::MovesTo(endpoint));
    let begun = Instant::now();
    let handed = hand_over(link, target).await;
    if handed.is_err() {
        drop(link.ask(|node, _| node.hold(false)).await);
    }
    let pause_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    node.leave.send_if_modified(|leave| {
        let moves = matches!(leave, Leave::MovesTo(_));
        if moves {
            *leave = Leave::Stays;
        }
        moves
    });
    Ok(match handed {
        Ok((epoch, seq)) => {
            tracing::warn!(to = request.to, epoch, pause_us, "switchover done");
            v1::SwitchoverResponse { objections: Vec::new(), epoch: u64::from(epoch), pause_us, seq }
        }
        Err(why) => {
            tracing::warn!(to = request.to, why, "switchover given up; this node goes on");
            v1::SwitchoverResponse { objections: vec![why], epoch: 0, pause_us, seq: 0 }
        }
    })
}

/// Stops taking orders, waits until the standby holds everything, and has it lead.
async fn hand_over(link: &Arc<Link>, target: usize) -> Result<(u32, u64), String> {
    let text = |status: Status| status.message().to_owned();
    link.ask(|node, _| node.hold(true)).await.map_err(text)?;
    let begun = Instant::now();
    let id = node_id(target);
    let (seq, epoch) = loop {
        let asked = link.ask(move |node, _| {
            let position = node.position();
            let theirs = node.leader().and_then(|it| it.followers().get(&id)).map_or(0, |it| it.durable_seq);
            let whole = node.core().waiting() == 0 && theirs == position.durable_seq;
            (position, whole)
        });
        let (position, whole) = asked.await.map_err(text)?;
        if !position.leads {
            return Err("this node leads no more".to_owned());
        }
        if whole {
            break (position.durable_seq, position.epoch);
        }
        if begun.elapsed() > DRAIN_MAX {
            return Err("the standby did not come to hold everything in time".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let mut client = link.peers.client(target).ok_or("this node cannot hand over to itself")?;
    let request = v1::TakeOverRequest { node: link.name(link.config.me).to_owned(), epoch, seq };
    let call = tokio::time::timeout(DRAIN_MAX, client.take_over(request)).await;
    // Without an answer it may lead all the same: then this node hears of it, and gives way.
    let answer = call.map_err(|_| "the standby did not answer in time")?.map_err(text)?;
    let epoch = answer.into_inner().epoch;
    link.ask(move |node, _| node.handle_rumour(epoch)).await.map_err(text)?;
    Ok((epoch, seq))
}

/// What stands against a switchover, and the place of the node that shall lead.
async fn objections(
    node: &Arc<Node>,
    link: &Arc<Link>,
    request: &v1::SwitchoverRequest,
) -> Result<(Vec<String>, Option<usize>), Status> {
    let mut objections = Vec::new();
    let target = link.place(&request.to);
    if !link.position().leads {
        objections.push("this node does not lead: ask the primary".to_owned());
    }
    match target {
        None => objections.push(format!("{} is none of the nodes", request.to)),
        Some(target) if target == link.config.me => {
            objections.push(format!("{} leads already", request.to));
        }
        Some(target) => {
            let id = node_id(target);
            let asked = link.ask(move |node, _| {
                node.leader().and_then(|it| it.followers().get(&id)).copied().unwrap_or_default()
            });
            let progress = asked.await?;
            if !progress.connected {
                objections.push(format!("{} does not follow", request.to));
            }
            if progress.diverged {
                objections.push(format!("the state of {} differs", request.to));
            }
        }
    }
    if !request.at_any_moment {
        objections.extend(moment(node).await?);
    }
    Ok((objections, target))
}

/// Why this is no good moment.
async fn moment(node: &Arc<Node>) -> Result<Vec<String>, Status> {
    let now_us = node.time_us();
    let look = move |exchange: &crate::server::exchange::Exchange, _: Stamp| {
        let engine = &exchange.engine;
        let clearing =
            engine.counts().filter(|it| matches!(it.phase, Phase::ClearingUnconstrained | Phase::Clearing));
        let clearing: Vec<String> = clearing.map(|it| format!("{} is being cleared", it.auction)).collect();
        let soon = engine.next_timer_us().filter(|it| *it - now_us < DISTANCE_US);
        (clearing, soon)
    };
    let (mut objections, soon) = node.inbox.look(look).await?;
    if let Some(due_us) = soon {
        let at = crate::server::clock::format_utc(due_us);
        objections.push(format!("the timetable has a step at {at}, within a minute"));
    }
    Ok(objections)
}

/// Leads in place of a primary that is gone.
///
/// # Errors
///
/// If the core has ended.
pub async fn failover(
    link: &Arc<Link>,
    request: &v1::FailoverRequest,
) -> Result<v1::FailoverResponse, Status> {
    let mut objections = Vec::new();
    if link.position().leads {
        objections.push("this node leads already".to_owned());
    }
    let lost = link.place(&request.lost);
    match lost {
        None => objections.push(format!("{} is none of the nodes", request.lost)),
        Some(lost) if lost == link.config.me => {
            objections.push("the node that loses the role is another than the one that takes it".to_owned());
        }
        Some(_) => {}
    }
    let standings = link.peers.standings(PROMISE_MAX).await;
    for (node, standing) in &standings {
        if standing.leads {
            let name = link.name(*node);
            objections.push(format!("{name} leads and answers: use merit switchover, or stop it first"));
        }
    }
    let loss = loss(link, request);
    let position = link.position();
    let seq = position.durable_seq;
    if !objections.is_empty() || request.plan {
        return Ok(v1::FailoverResponse { objections, loss, epoch: 0, seq });
    }
    let heard = standings.iter().map(|(_, it)| it.promised).max().unwrap_or(0).max(epoch_taken(link).await);
    let alone = request.alone || (link.config.mode != Mode::Sync && link.config.nodes.len() == 2);
    let (led, seq) = lead(link, heard, lost, request.accept_loss, alone).await?;
    match led {
        Ok(epoch) => {
            tracing::warn!(epoch, lost = request.lost, alone, "failover: this node leads");
            Ok(v1::FailoverResponse { objections, loss, epoch: u64::from(epoch), seq })
        }
        Err(why) => Ok(v1::FailoverResponse { objections: vec![why], loss, epoch: 0, seq }),
    }
}

async fn lead(
    link: &Arc<Link>,
    heard: u32,
    lost: Option<usize>,
    accept_loss: bool,
    alone: bool,
) -> Result<(Result<u32, String>, u64), Status> {
    let (epoch, promised) = match claim(link, heard, lost, PROMISE_MAX).await {
        Ok(claimed) => claimed,
        Err(why) => return Ok((Err(why), 0)),
    };
    let (nodes, others) = (link.config.nodes.len(), promised.clone());
    let may = link.ask(move |node, _| may_lead(epoch, nodes, &node.standing(), &others)).await?;
    if let Err(why) = may
        && !accept_loss
    {
        return Ok((Err(why.to_string()), 0));
    }
    // The old primary, if it lives, gives way when it sees this.
    write_epoch(link, epoch, By::Operator).await.map_err(Status::internal)?;
    link.ask(move |node, now_ms| {
        let seq = node.standing().head.stamp.seq;
        let led = match node.lead(epoch, &promised, now_ms) {
            Ok(()) if alone => {
                node.order_alone();
                Ok(())
            }
            Err(_) if accept_loss => node.lead_by_order(epoch, alone, now_ms),
            led => led,
        };
        (led.map(|()| epoch).map_err(|it| it.to_string()), seq)
    })
    .await
}

/// What may be lost, in words.
fn loss(link: &Arc<Link>, request: &v1::FailoverRequest) -> String {
    let silent = match link.primary() {
        Some((_, silent)) => format!("it was heard {} ms ago", silent.as_millis()),
        None => "it is not heard any more".to_owned(),
    };
    match link.config.mode {
        Mode::Sync if request.accept_loss => {
            "whatever another node holds that was not asked, and this one lacks".to_owned()
        }
        Mode::Sync if *lock(&link.alone) == Some(false) => String::new(),
        Mode::Sync => "what a primary was ordered to acknowledge alone, if one was: this node has not seen \
                       the last one wait for it"
            .to_owned(),
        Mode::SyncOrDegrade => format!(
            "nothing, if {} stopped before it went on alone ({silent}); else what it acknowledged alone since",
            request.lost
        ),
        Mode::Async => format!(
            "whatever {} acknowledged after record {} ({silent})",
            request.lost,
            link.position().durable_seq
        ),
    }
}
