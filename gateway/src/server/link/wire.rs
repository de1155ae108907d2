//! Between the messages of the contract and the types of the journal.

use super::node_id;
use merit_proto::v1;
use merit_replay::frame::{Head, Stamp, read_run};
use merit_replay::node::{Ack, Follow};
use merit_replay::replication::lineage::Lineage;
use merit_replay::replication::{Run, Standing};

pub(super) fn head_out(head: &Head) -> v1::JournalHead {
    let Stamp { seq, epoch, time_us } = head.stamp;
    v1::JournalHead { seq, epoch, time_us, chain: head.chain.to_be_bytes().to_vec() }
}

pub(super) fn head_in(head: &v1::JournalHead) -> Option<Head> {
    let stamp = Stamp { seq: head.seq, epoch: head.epoch, time_us: head.time_us };
    let chain = head.chain.as_slice().try_into().ok().map(u128::from_be_bytes)?;
    Some(Head { stamp, chain })
}

pub(super) fn standing_out(
    name: &str,
    exchange_id: u128,
    standing: &Standing,
    leads: bool,
    epoch: u32,
) -> v1::Standing {
    v1::Standing {
        node: name.to_owned(),
        exchange_id: exchange_id.to_be_bytes().to_vec(),
        promised: standing.promised,
        head: Some(head_out(&standing.head)),
        acknowledged_seq: standing.acknowledged_seq,
        leads,
        epoch,
        refilling: standing.refilling,
    }
}

pub(super) fn exchange_in(standing: &v1::Standing) -> Option<u128> {
    standing.exchange_id.as_slice().try_into().ok().map(u128::from_be_bytes)
}

/// A standing, if it is of a node at this place and whole.
pub(super) fn standing_in(node: usize, standing: &v1::Standing) -> Option<Standing> {
    Some(Standing {
        node: node_id(node),
        promised: standing.promised,
        head: head_in(standing.head.as_ref()?)?,
        acknowledged_seq: standing.acknowledged_seq,
        refilling: standing.refilling,
    })
}

pub(super) fn follow_out(follow: &Follow, name: &str, exchange_id: u128) -> v1::FollowJournalRequest {
    let begins = follow.lineage.begins().iter();
    let start = v1::FollowStart {
        node: name.to_owned(),
        from_seq: follow.standing.head.stamp.seq + 1,
        epoch: u64::from(follow.standing.promised),
        chain: follow.standing.head.chain.to_be_bytes().to_vec(),
        standing: Some(standing_out(name, exchange_id, &follow.standing, false, 0)),
        epochs: begins.map(|(epoch, seq)| v1::EpochBegin { epoch: *epoch, seq_first: *seq }).collect(),
    };
    v1::FollowJournalRequest { message: Some(v1::follow_journal_request::Message::Start(start)) }
}

pub(super) fn follow_in(node: usize, start: &v1::FollowStart) -> Option<Follow> {
    let standing = standing_in(node, start.standing.as_ref()?)?;
    let begins = start.epochs.iter().map(|it| (it.epoch, it.seq_first)).collect();
    Some(Follow { standing, lineage: Lineage::of(begins)? })
}

pub(super) fn ack_out(ack: &Ack) -> v1::FollowJournalRequest {
    let (digest_seq, digest) = match ack.digest {
        Some((seq, digest)) => (Some(seq), digest.to_be_bytes().to_vec()),
        None => (None, Vec::new()),
    };
    let ack = v1::FollowAck {
        durable_seq: ack.durable_seq,
        applied_seq: ack.applied_seq,
        digest,
        epoch: u64::from(ack.epoch),
        digest_seq,
    };
    v1::FollowJournalRequest { message: Some(v1::follow_journal_request::Message::Ack(ack)) }
}

pub(super) fn ack_in(ack: &v1::FollowAck) -> Option<Ack> {
    let digest = ack.digest.as_slice().try_into().ok().map(u128::from_be_bytes);
    Some(Ack {
        epoch: u32::try_from(ack.epoch).ok()?,
        durable_seq: ack.durable_seq,
        applied_seq: ack.applied_seq,
        digest: ack.digest_seq.zip(digest),
    })
}

/// The runs of a message; nothing if they are not whole.
pub(super) fn runs_in(message: v1::FollowJournalResponse) -> Option<Vec<Run>> {
    if message.records.is_empty() {
        return Some(Vec::new());
    }
    let mut before = head_in(message.before.as_ref()?)?;
    let mut runs = Vec::with_capacity(message.records.len());
    for frames in message.records {
        let records = read_run(&frames, &before).ok()?;
        let record = records.last()?;
        let last = Head { stamp: record.stamp, chain: record.chain };
        runs.push(Run { before, last, frames: frames.into() });
        before = last;
    }
    Some(runs)
}
