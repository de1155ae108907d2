//! A snapshot between nodes: the primary gives its newest whole one and the read model's rows, a standby whose
//! next record is no longer to be had takes them.
//!
//! What comes is written by a thread of its own and believed when all of it has come and holds
//! ([`merit_replay::fetch`]); then the node starts anew. Whatever goes wrong leaves nothing, and the next
//! attempt begins at the beginning.

use super::Link;
use super::peers::NodeClient;
use crate::server::read_model::fetched::{self, Rows, Sum};
use crate::server::read_model::{Mirror, ReadModel};
use crate::server::status;
use crate::server::streams::{Out, Streamed};
use merit_proto::v1;
use merit_replay::fetch::Fetch;
use merit_replay::frame::Stamp;
use merit_replay::snapshot::{self, Header};
use merit_replay::storage::{HeldFile, Storage};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tonic::{Response, Status};

/// Bytes of a snapshot, or of rows, in one message.
const MESSAGE_BYTES: usize = 1 << 20;
/// Messages that may wait for the disk.
const WAITING: usize = 4;
/// How long either end waits for the other: a snapshot is read through before it is sent, and when it has come.
const PATIENCE: Duration = Duration::from_secs(120);

/// Gives a node the newest whole snapshot, or the one that it names.
///
/// # Errors
///
/// If this node does not lead, or has no such snapshot.
pub async fn read_snapshot(
    link: &Arc<Link>,
    model: &Arc<ReadModel>,
    request: &v1::ReadSnapshotRequest,
) -> Result<Response<Streamed<v1::ReadSnapshotResponse>>, Status> {
    let asked = link.ask(|node, _| (node.position(), node.core_mut().writer().reader())).await?;
    let (position, reader) = asked;
    if !position.leads {
        return Err(status::refused(merit_replay::runner::Refused::NotPrimary));
    }
    let seq = request.seq;
    let looked = tokio::task::spawn_blocking(move || offered(&*reader, seq)).await;
    let offered = looked.map_err(|error| status::internal(&error.to_string()))?;
    let offered = offered.map_err(|error| status::internal(&error))?;
    let (header, length, file) =
        offered.ok_or_else(|| Status::failed_precondition("this node has no such snapshot that is whole"))?;
    if request.offset > length {
        return Err(status::invalid_argument("offset", "must lie within the snapshot"));
    }
    let (out, outgoing) = Out::new(PATIENCE, 0);
    let (link, model) = (Arc::clone(link), Arc::clone(model));
    let giving = Giving { link, epoch: position.epoch, model, header, length, out };
    tokio::spawn(giving.run(file, request.offset));
    Ok(Response::new(outgoing))
}

/// A snapshot that is whole, its length, and its file: newer ones may take its place while it is given.
type Offered = (Header, u64, Box<dyn HeldFile>);

fn offered(reader: &dyn Storage, seq: Option<u64>) -> Result<Option<Offered>, String> {
    let found = snapshot::offer::<Mirror>(reader, seq).map_err(|error| error.to_string())?;
    let Some((header, length)) = found else { return Ok(None) };
    let file = reader.hold(&snapshot::name(header.head.stamp.seq)).map_err(|error| error.to_string())?;
    Ok(Some((header, length, file)))
}

struct Giving {
    link: Arc<Link>,
    epoch: u32,
    model: Arc<ReadModel>,
    header: Header,
    length: u64,
    out: Out<v1::ReadSnapshotResponse>,
}

impl Giving {
    async fn run(mut self, file: Box<dyn HeldFile>, from: u64) {
        let begun = Instant::now();
        match self.give(file, from).await {
            Ok(rows) => {
                let (seq, bytes) = (self.header.head.stamp.seq, self.length);
                tracing::info!(seq, bytes, rows, seconds = begun.elapsed().as_secs(), "a snapshot was given");
            }
            Err(why) => {
                tracing::warn!(why, "a snapshot could not be given to its end");
                // A stream that was cut for its slowness has its status already, and nobody reads it.
                self.out.end_with(status::internal(&why));
            }
        }
    }

    async fn give(&mut self, mut file: Box<dyn HeldFile>, from: u64) -> Result<u64, String> {
        let mut at = from;
        while at < self.length {
            let bytes = usize::try_from(self.length - at).map_or(MESSAGE_BYTES, |it| it.min(MESSAGE_BYTES));
            let offset = at;
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; bytes];
                (file.read_at(offset, &mut piece).map(|()| piece), file)
            });
            let (piece, again) = read.await.map_err(|error| error.to_string())?;
            file = again;
            let data = piece.map_err(|error| error.to_string())?;
            at += u64::try_from(data.len()).unwrap_or(0);
            self.send(v1::ReadSnapshotResponse { offset, data, ..Default::default() }).await?;
        }
        // The store holds everything up to the snapshot once its own state has come by.
        self.model.caught_up(self.header.head.stamp.seq).await;
        let store = self.model.store();
        let rows = Arc::clone(&store);
        let written = tokio::task::spawn_blocking(move || rows.write());
        written.await.map_err(|error| error.to_string())?.map_err(|doubt| doubt.0)?;
        let (mut sum, mut last) = (Sum::default(), Vec::new());
        loop {
            let (rows, after) = (Arc::clone(&store), last.clone());
            let read = move || rows.rows_after(&after, MESSAGE_BYTES);
            let read = tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?;
            let rows = read.map_err(|doubt| doubt.0)?;
            let Some((key, _)) = rows.last() else { break };
            last = key.to_vec();
            rows.iter().for_each(|(key, value)| sum.add(key, value));
            let row = |(key, value): &(_, _)| v1::SnapshotRow { key: bytes_of(key), value: bytes_of(value) };
            let rows = rows.iter().map(row).collect();
            self.send(v1::ReadSnapshotResponse { rows, ..Default::default() }).await?;
        }
        if store.has_failed() || !Arc::ptr_eq(&store, &self.model.store()) {
            return Err("the read model was built again meanwhile".to_owned());
        }
        let (rows, hash) = sum.finish();
        let end = Some(v1::SnapshotEnd { rows, hash });
        self.send(v1::ReadSnapshotResponse { end, ..Default::default() }).await?;
        Ok(rows)
    }

    async fn send(&mut self, message: v1::ReadSnapshotResponse) -> Result<(), String> {
        let position = self.link.position();
        if !position.leads || position.epoch != self.epoch {
            return Err("this node leads no more".to_owned());
        }
        let message = v1::ReadSnapshotResponse {
            seq: self.header.head.stamp.seq,
            epoch: u64::from(self.header.head.stamp.epoch),
            length: self.length,
            digest: self.header.digest.to_be_bytes().to_vec(),
            ..message
        };
        self.out.send(message, None).await.map_err(|_| "the standby takes no more".to_owned())
    }
}

fn bytes_of(bytes: &impl AsRef<[u8]>) -> Vec<u8> {
    bytes.as_ref().to_vec()
}

/// Takes a primary's snapshot, which must go beyond the last record held here, `after`. The next start goes on
/// from it.
///
/// # Errors
///
/// In words, why not; then nothing is left of it.
pub(super) async fn fetch(
    link: &Arc<Link>,
    mut client: NodeClient,
    primary: &str,
    after: Stamp,
) -> Result<(), String> {
    let storage = link.ask(|node, _| node.core_mut().writer().reader()).await;
    let storage = storage.map_err(|it| it.to_string())?;
    tracing::info!(primary, after = after.seq, "the records that follow are gone: fetching a snapshot");
    let (pieces, coming) = mpsc::channel(WAITING);
    let (data, exchange_id) = (link.data.clone(), link.exchange_id);
    let staging = tokio::task::spawn_blocking(move || stage(storage, &data, exchange_id, after.seq, coming));
    let brought = bring(&mut client, pieces).await;
    let staged = staging.await.map_err(|error| error.to_string())?;
    let kept = match (brought, staged) {
        (Err(why), _) => Err(format!("the transfer of the snapshot was interrupted: {why}")),
        (Ok(()), Err(why)) => Err(format!("the snapshot was refused: {why}")),
        (Ok(()), Ok((seq, fetch))) => keep(link, fetch, after).await.map(|()| seq),
    };
    if kept.is_err() {
        let data = link.data.clone();
        // What cannot be removed now is removed at the next attempt, or the next start.
        drop(tokio::task::spawn_blocking(move || fetched::discard(&data)).await);
    }
    let seq = kept?;
    tracing::info!(primary, seq, "a snapshot has come whole");
    Ok(())
}

/// Has the next start go on from what has come, unless this node leads now or holds something else than before.
async fn keep(link: &Arc<Link>, fetch: Fetch, after: Stamp) -> Result<(), String> {
    let same = link.ask(move |node, _| node.leader().is_none() && node.core().durable().stamp == after);
    if !same.await.map_err(|it| it.to_string())? {
        return Err("this node has led since it asked for a snapshot".to_owned());
    }
    let kept = tokio::task::spawn_blocking(move || fetch.keep()).await;
    kept.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// Hands on what comes until all has come, or nobody wants it any more.
async fn bring(client: &mut NodeClient, pieces: Sender<v1::ReadSnapshotResponse>) -> Result<(), String> {
    let silent = |_| "the primary is silent".to_owned();
    let text = |status: Status| status.message().to_owned();
    let call = client.read_snapshot(v1::ReadSnapshotRequest::default());
    let opened = tokio::time::timeout(PATIENCE, call).await.map_err(silent)?;
    let mut stream = opened.map_err(text)?.into_inner();
    loop {
        let message = tokio::time::timeout(PATIENCE, stream.message()).await.map_err(silent)?;
        let message = message.map_err(text)?.ok_or("the primary ended the stream")?;
        let ends = message.end.is_some();
        // Whoever takes no more says why.
        if pieces.send(message).await.is_err() || ends {
            return Ok(());
        }
    }
}

/// Writes and checks what comes. Returns it, and the record up to which it goes.
fn stage(
    storage: Box<dyn Storage>,
    data: &Path,
    exchange_id: u128,
    after: u64,
    mut coming: Receiver<v1::ReadSnapshotResponse>,
) -> Result<(u64, Fetch), String> {
    let mut fetch = Fetch::begin(storage).map_err(|error| error.to_string())?;
    let mut rows: Option<(u64, Rows)> = None;
    while let Some(message) = coming.blocking_recv() {
        if rows.is_none() && !message.data.is_empty() {
            fetch.piece(message.offset, &message.data)?;
            if message.offset == 0 {
                fetch.look::<Mirror>(exchange_id, after)?;
            }
            continue;
        }
        let (seq, taken) = match &mut rows {
            Some(rows) => rows,
            None => {
                let (resumed, header) = fetch.check::<Mirror>(exchange_id, after)?;
                let begun = Rows::begin(data, &resumed.machine.state)?;
                rows.insert((header.head.stamp.seq, begun))
            }
        };
        taken.add(message.rows.into_iter().map(|it| (it.key, it.value)))?;
        if let Some(end) = message.end {
            let seq = *seq;
            let (_, taken) = rows.take().ok_or("its rows have ended before")?;
            taken.finish(end.rows, &end.hash)?;
            return Ok((seq, fetch));
        }
    }
    Err("it did not come to its end".to_owned())
}
