//! A standby's end: follows the primary's journal until the stream ends.

use super::fetch::fetch;
use super::{Link, SILENCE_MAX, lock, wire};
use merit_proto::v1;
use merit_replay::node::Refusal;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// Wait before a snapshot that could not be had is asked for again.
const FETCH_AGAIN: Duration = Duration::from_secs(2);

/// How following ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The end of this journal was given up; the primary is asked again at once.
    Cut,
    /// A snapshot has come: the node starts anew and goes on from it.
    Fetched,
    /// In words, why; it is tried again after a moment.
    Lost(String),
}

/// Follows a primary.
pub(super) async fn follow(link: &Arc<Link>, primary: usize) -> Ended {
    let ended = follow_until(link, primary).await;
    *lock(&link.acks) = None;
    *lock(&link.primary) = None;
    ended.unwrap_or_else(Ended::Lost)
}

async fn follow_until(link: &Arc<Link>, primary: usize) -> Result<Ended, String> {
    let follow = link.ask(|node, _| node.follow()).await.map_err(|it| it.to_string())?;
    let mut client = link.peers.client(primary).ok_or("this node cannot follow itself")?;
    let (requests, queue) = mpsc::unbounded_channel();
    let start = wire::follow_out(&follow, link.name(link.config.me), link.exchange_id);
    drop(requests.send(start));
    let call = client.follow_journal(UnboundedReceiverStream::new(queue));
    let opened = tokio::time::timeout(SILENCE_MAX, call).await.map_err(|_| "no answer in time")?;
    let mut stream = opened.map_err(|it| it.to_string())?.into_inner();
    let first = next(&mut stream).await?;
    if let Some(promised) = first.outrun_by {
        return Err(format!("epoch {promised} was promised to; the primary asks for promises anew"));
    }
    let epoch = u32::try_from(first.epoch).map_err(|_| "an epoch that cannot be")?;
    let asked = follow.standing.head.stamp;
    if let Some(seq) = first.parts_after {
        let parted = link.ask(move |node, _| node.handle_parting(epoch, seq, asked)).await;
        return match parted.map_err(|it| it.to_string())? {
            Ok(()) => {
                tracing::warn!(
                    after = seq,
                    had = asked.seq,
                    "records that were never acknowledged were given up"
                );
                Ok(Ended::Cut)
            }
            Err(refusal) => {
                if matches!(refusal, Refusal::Acknowledged { .. }) {
                    *lock(&link.trouble) = Some(refusal.to_string());
                }
                Err(refusal.to_string())
            }
        };
    }
    if first.snapshot_seq.is_some() {
        drop(stream);
        let fit = link.ask(move |node, _| node.leader().is_none() && node.standing().promised <= epoch);
        if !fit.await.map_err(|it| it.to_string())? {
            return Err("a greater epoch was promised to meanwhile".to_owned());
        }
        let fetched = fetch(link, client, link.name(primary), asked).await;
        if let Err(why) = &fetched {
            // It costs both ends much: not again at once.
            *lock(&link.trouble) = Some(why.clone());
            tokio::time::sleep(FETCH_AGAIN).await;
        }
        return fetched.map(|()| Ended::Fetched);
    }
    let welcomed =
        link.ask(move |node, _| node.handle_welcome(epoch, asked)).await.map_err(|it| it.to_string())?;
    welcomed.map_err(|it| it.to_string())?;
    *lock(&link.acks) = Some(requests);
    *lock(&link.trouble) = None;
    tracing::info!(primary = link.name(primary), epoch, after = asked.seq, "following");
    take(link, primary, epoch, first)?;
    loop {
        let message = tokio::select! {
            message = next(&mut stream) => message?,
            () = link.unfit.notified() => return Err("records were not taken".to_owned()),
        };
        take(link, primary, epoch, message)?;
    }
}

async fn next(
    stream: &mut tonic::Streaming<v1::FollowJournalResponse>,
) -> Result<v1::FollowJournalResponse, String> {
    match tokio::time::timeout(SILENCE_MAX, stream.message()).await {
        Ok(Ok(Some(message))) => Ok(message),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Ok(Ok(None)) => Err("the primary ended the stream".to_owned()),
        Err(_) => Err("the primary is silent".to_owned()),
    }
}

/// Hands a message to the core.
fn take(
    link: &Arc<Link>,
    primary: usize,
    epoch: u32,
    message: v1::FollowJournalResponse,
) -> Result<(), String> {
    if message.epoch != u64::from(epoch) {
        return Err("the primary's epoch changed".to_owned());
    }
    *lock(&link.primary) = Some((primary, Instant::now()));
    *lock(&link.alone) = Some(message.alone);
    let acknowledged = message.acknowledged_seq;
    let runs = wire::runs_in(message).ok_or("records were damaged on their way")?;
    let told = Arc::clone(link);
    let handle = move |node: &mut merit_replay::node::Node<_>, _| {
        if node.handle_runs(epoch, runs, acknowledged).is_err() {
            told.unfit.notify_one();
        }
    };
    link.tell(handle).map_err(|it| it.to_string())
}
