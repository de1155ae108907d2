//! The primary's end: takes followers in and sends them the journal.

use super::{HEARTBEAT, Link, node_id, wire};
use crate::server::convert::timestamp;
use crate::server::status;
use crate::server::streams::{Out, Streamed};
use merit_proto::v1;
use merit_proto::v1::follow_journal_request::Message;
use merit_replay::error::JournalError;
use merit_replay::node::{Follow, Position, Welcome};
use merit_replay::replication::Run;
use merit_replay::replication::feed::Feed;
use merit_replay::snapshot;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::{Response, Status, Streaming};

/// Bytes of records in one message.
const MESSAGE_BYTES: usize = 1 << 20;
/// How long a follower may take no message before it is cut.
const SLOW_MAX: Duration = Duration::from_secs(5);
/// How long the news of what is durable or acknowledged waits for records to go with: a message for each would wake
/// both ends three times a batch.
const TOGETHER: Duration = Duration::from_millis(2);

/// Promises to a candidate's epoch, or says to which it has.
///
/// # Errors
///
/// If the core has ended.
pub async fn claim_epoch(
    link: &Arc<Link>,
    request: &v1::ClaimEpochRequest,
) -> Result<v1::ClaimEpochResponse, Status> {
    let epoch = request.epoch;
    let promised = link.ask(move |node, _| node.handle_claim(epoch).is_ok()).await?;
    tracing::info!(candidate = request.node, epoch, promised, "an epoch was claimed");
    Ok(v1::ClaimEpochResponse { promised, standing: Some(link.standing().await?) })
}

/// Takes a follower in.
///
/// # Errors
///
/// If it is none, or this node does not lead.
pub async fn follow_journal(
    link: &Arc<Link>,
    mut messages: Streaming<v1::FollowJournalRequest>,
) -> Result<Response<Streamed<v1::FollowJournalResponse>>, Status> {
    let first = messages.message().await?;
    let Some(v1::FollowJournalRequest { message: Some(Message::Start(start)) }) = first else {
        return Err(status::invalid_argument("start", "must be the first message"));
    };
    let node = link.place(&start.node).filter(|it| *it != link.config.me);
    let node =
        node.ok_or_else(|| status::invalid_argument("start.node", "must be another node of the list"))?;
    let exchange = start.standing.as_ref().and_then(wire::exchange_in);
    if exchange != Some(link.exchange_id) {
        return Err(status::invalid_argument("start.standing.exchange_id", "must be this exchange's"));
    }
    let follow = wire::follow_in(node, &start);
    let follow = follow.ok_or_else(|| status::invalid_argument("start", "must be whole"))?;
    if let Some(needed) = needs_snapshot(link, &follow).await? {
        tracing::info!(follower = link.name(node), up_to = needed.snapshot_seq, "a standby needs a snapshot");
        let (mut out, outgoing) = Out::new(SLOW_MAX, 0);
        // Whether it is taken or not: the follower asks again.
        let _ = out.send(needed, None).await;
        return Ok(Response::new(outgoing));
    }
    let welcomed = link.ask(move |node, now_ms| {
        let welcome = node.handle_follow(&follow, now_ms);
        (welcome, node.position(), node.core_mut().writer().reader())
    });
    let (welcome, position, reader) = welcomed.await?;
    let (mut out, outgoing) = Out::new(SLOW_MAX, 0);
    let answer = v1::FollowJournalResponse {
        epoch: u64::from(position.epoch),
        durable_seq: position.durable_seq,
        acknowledged_seq: position.acknowledged_seq,
        ..Default::default()
    };
    match welcome {
        Welcome::NotPrimary => return Err(status::refused(merit_replay::runner::Refused::NotPrimary)),
        Welcome::Outrun { promised } => {
            super::watch::outrun(link, promised);
            // Whether it is taken or not: the follower asks again.
            let _ = out.send(v1::FollowJournalResponse { outrun_by: Some(promised), ..answer }, None).await;
        }
        Welcome::PartsAfter { seq, .. } => {
            let _ = out.send(v1::FollowJournalResponse { parts_after: Some(seq), ..answer }, None).await;
        }
        Welcome::From { epoch, seq, .. } => {
            tracing::info!(follower = link.name(node), after = seq, "a standby follows");
            let sender = Sender { link: Arc::clone(link), epoch, feed: Some(Feed::after(reader, seq)), out };
            let link = Arc::clone(link);
            tokio::spawn(async move {
                let sending = tokio::spawn(sender.run());
                listen(&link, node, messages).await;
                sending.abort();
                tracing::warn!(follower = link.name(node), "a standby follows no more");
                let id = node_id(node);
                drop(link.tell(move |node, now_ms| node.handle_gone(id, now_ms)));
            });
        }
    }
    Ok(Response::new(outgoing))
}

/// What a follower is told whose next record is in no segment and not in the archive; nothing if it is not
/// so. It is looked for before anything is noted of the follower: that takes a while, and a follower that
/// goes away meanwhile must not be counted.
async fn needs_snapshot(
    link: &Arc<Link>,
    follow: &Follow,
) -> Result<Option<v1::FollowJournalResponse>, Status> {
    let asked = follow.clone();
    let welcomed = link
        .ask(move |node, _| (node.welcome(&asked), node.position(), node.core_mut().writer().reader()))
        .await?;
    let (Welcome::From { epoch, seq, .. }, position, reader) = welcomed else { return Ok(None) };
    if seq >= position.durable_seq {
        return Ok(None);
    }
    let known = Arc::clone(link);
    let looked = tokio::task::spawn_blocking(move || {
        if Feed::after(reader.reader(), seq).reaches(&known.backlog)? {
            return Ok(None);
        }
        Ok(Some(snapshot::headers(&*reader)?.last().map(|it| it.head.stamp.seq)))
    });
    let looked: Result<_, JournalError> =
        looked.await.map_err(|error| status::internal(&error.to_string()))?;
    let Some(newest) = looked.map_err(|error| {
        tracing::error!(%error, "the journal cannot be read for a standby");
        status::internal("the journal cannot be read")
    })?
    else {
        return Ok(None);
    };
    let Some(snapshot_seq) = newest else {
        let next = seq + 1;
        let why = format!("record {next} is no longer in the primary's journal, and it has no snapshot");
        return Err(Status::failed_precondition(why));
    };
    Ok(Some(v1::FollowJournalResponse {
        epoch: u64::from(epoch),
        durable_seq: position.durable_seq,
        acknowledged_seq: position.acknowledged_seq,
        snapshot_seq: Some(snapshot_seq),
        ..Default::default()
    }))
}

/// Hands a follower's acknowledgements to the core until it is gone.
async fn listen(link: &Arc<Link>, node: usize, mut messages: Streaming<v1::FollowJournalRequest>) {
    let id = node_id(node);
    while let Ok(Some(message)) = messages.message().await {
        let Some(Message::Ack(ack)) = message.message else { return };
        let Some(ack) = wire::ack_in(&ack) else { return };
        if link.tell(move |node, now_ms| node.handle_ack(id, &ack, now_ms)).is_err() {
            return;
        }
    }
}

struct Sender {
    link: Arc<Link>,
    epoch: u32,
    feed: Option<Feed>,
    out: Out<v1::FollowJournalResponse>,
}

impl Sender {
    async fn run(mut self) {
        let mut grown = self.link.grown.subscribe();
        let mut moved = self.link.position.subscribe();
        let (mut told, mut told_at) = (None::<Position>, Instant::now());
        let mut behind_since = None;
        loop {
            grown.mark_unchanged();
            let position = *moved.borrow_and_update();
            if !position.leads || position.epoch != self.epoch {
                self.out.end_with(status::refused(merit_replay::runner::Refused::NotPrimary));
                return;
            }
            let runs = match self.runs(position.durable_seq).await {
                Ok(runs) => runs,
                Err(error) => {
                    tracing::error!(error, "the journal cannot be read for a standby");
                    self.out.end_with(status::internal("the journal cannot be read"));
                    return;
                }
            };
            let now = Instant::now();
            let due = match told {
                // Where this node stands goes with the next records, if they come soon.
                Some(known) if known != position && known.alone == position.alone => {
                    *behind_since.get_or_insert(now) + TOGETHER
                }
                Some(known) if known == position => told_at + HEARTBEAT,
                Some(_) | None => now,
            };
            if !runs.is_empty() || due <= now {
                let message = self.message(&runs, position);
                if self.out.send(message, None).await.is_err() {
                    return;
                }
                (told, told_at, behind_since) = (Some(position), now, None);
                continue;
            }
            tokio::select! {
                changed = grown.changed() => if changed.is_err() { return },
                changed = moved.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(due.into()) => {}
            }
        }
    }

    fn message(&self, runs: &[Run], position: Position) -> v1::FollowJournalResponse {
        v1::FollowJournalResponse {
            epoch: u64::from(self.epoch),
            seq_first: runs.first().map(|it| it.before.stamp.seq + 1),
            before: runs.first().map(|it| wire::head_out(&it.before)),
            records: runs.iter().map(|it| it.frames.to_vec()).collect(),
            durable_seq: position.durable_seq,
            acknowledged_seq: position.acknowledged_seq,
            alone: position.alone,
            time: Some(timestamp(crate::server::clock::Clock::Wall.now_us())),
            ..Default::default()
        }
    }

    async fn runs(&mut self, head_seq: u64) -> Result<Vec<Run>, String> {
        let Some(feed) = &mut self.feed else { return Err("the last read did not end".to_owned()) };
        let runs = feed.poll_memory(&self.link.backlog, MESSAGE_BYTES);
        if !runs.is_empty() || !feed.is_behind(head_seq) {
            return Ok(runs);
        }
        // An old segment: not on the threads that everybody shares.
        let mut feed = self.feed.take().ok_or("the last read did not end")?;
        let read = tokio::task::spawn_blocking(move || (feed.poll_disk(MESSAGE_BYTES), feed)).await;
        let (runs, feed) = read.map_err(|error| error.to_string())?;
        self.feed = Some(feed);
        runs.map_err(|error| error.to_string())
    }
}
