//! Meter readings over the stream: into the archive first, then added up, then to the core.

use super::requests;
use crate::meters::archive::{Archive, Manifest};
use crate::meters::register::{Place, Register};
use crate::meters::{Bad, Chunk, Day, MINUTES};
use crate::server::convert::{Faults, runs};
use crate::server::node::{Caller, Node};
use crate::server::status;
use merit_engine::calendar;
use merit_engine::command::Action;
use merit_engine::ids::TextId;
use merit_engine::settlement::{MeterBatch, MeterRow, SettlementAction};
use merit_proto::v1;
use std::sync::Arc;
use tonic::{Status, Streaming};
use v1::submit_meter_readings_request::Part;

/// Chunks that wait for the disk.
const WAITING: usize = 4;
/// Readings of one row group in the archive.
const GROUP: usize = 1 << 20;

/// What came over a stream.
struct Intake {
    header: v1::MeterHeader,
    groups: Vec<(Place, Vec<u64>)>,
    /// Digest of the readings' file.
    file: String,
}

fn bad(error: &Bad) -> Status {
    status::invalid_argument("readings", &error.to_string())
}

/// Takes a batch.
pub(super) async fn take(
    node: &Arc<Node>,
    caller: &Caller,
    stream: Streaming<v1::SubmitMeterReadingsRequest>,
) -> Result<v1::SubmitMeterReadingsResponse, Status> {
    let intake = receive(&node.archive, stream).await?;
    let mut faults = Faults::default();
    let day = runs::day_in(&intake.header.delivery_day, "header.delivery_day", &mut faults);
    node.fresh().await;
    let request_id = intake.header.request_id.clone();
    let Some(day) = day else {
        let (answer, _) = requests::execute_made(node, caller, &request_id, None, faults, "header").await?;
        return Ok(v1::SubmitMeterReadingsResponse { answer: Some(answer), batch: None });
    };
    let (blocks, before) = node.model.read(|state, _| {
        let of_day = state.auctions.iter().find(|(id, _)| id.day == day).map(|(_, it)| &it.info);
        let blocks = of_day.map_or(96, |info| {
            usize::from(info.blocks_in_day) * usize::from(info.rules.period_minutes / MINUTES)
        });
        (blocks, state.metered.get(&day).copied())
    });
    let archive = node.archive.clone();
    let header = intake.header.clone();
    let added = tokio::task::spawn_blocking(move || add_up(&archive, intake, before, blocks)).await;
    let (manifest, sums) = added.map_err(|_| status::internal("adding up failed"))?.map_err(|it| bad(&it))?;
    let batch = batch(node, day, &header, &manifest, &sums)?;
    let shown = runs::meter_batch(&batch);
    let action = Some(Action::Settle(SettlementAction::Meter(Arc::new(batch))));
    let (answer, made) = requests::execute_made(node, caller, &request_id, action, faults, "header").await?;
    Ok(v1::SubmitMeterReadingsResponse { answer: Some(answer), batch: made.map(|_| shown) })
}

/// Reads the stream into the archive.
async fn receive(
    archive: &Archive,
    mut stream: Streaming<v1::SubmitMeterReadingsRequest>,
) -> Result<Intake, Status> {
    let first = stream.message().await?.and_then(|it| it.part);
    let Some(Part::Header(header)) = first else {
        return Err(status::invalid_argument("header", "must be the first message"));
    };
    if header.resolution_minutes != u32::from(MINUTES) {
        let rule = format!("must be {MINUTES}, is {}", header.resolution_minutes);
        return Err(status::invalid_argument("header.resolution_minutes", &rule));
    }
    let mut groups = Vec::new();
    let mut incoming = archive.begin().map_err(|error| status::internal(&error.to_string()))?;
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Chunk>(WAITING);
    let writer = tokio::task::spawn_blocking(move || {
        while let Some(chunk) = receiver.blocking_recv() {
            incoming.add(chunk)?;
        }
        incoming.finish()
    });
    let mut waiting = Chunk::default();
    while let Some(message) = stream.message().await? {
        match message.part {
            Some(Part::Group(it)) => {
                groups.push((Place { portfolio: it.portfolio, area: it.area, drawal: it.drawal }, it.meters));
            }
            Some(Part::Readings(readings)) => {
                append(&mut waiting, readings)?;
                if waiting.len() >= GROUP && sender.send(std::mem::take(&mut waiting)).await.is_err() {
                    // The writer has ended: its error is returned below.
                    break;
                }
            }
            Some(Part::Header(_)) | None => {
                return Err(status::invalid_argument("part", "must be a group or readings after the header"));
            }
        }
    }
    if !waiting.is_empty() {
        drop(sender.send(waiting).await);
    }
    drop(sender);
    let file = writer.await.map_err(|_| status::internal("the archive's writer panicked"))?;
    let file = file.map_err(|error| status::internal(&error.to_string()))?;
    Ok(Intake { header, groups, file })
}

fn append(chunk: &mut Chunk, readings: v1::MeterReadings) -> Result<(), Status> {
    let fits = |it: u64| i64::try_from(it).map_err(|_| status::invalid_argument("meters", "is too large"));
    let before = chunk.len();
    for meter in &readings.meters {
        chunk.meters.push(fits(*meter)?);
    }
    chunk.blocks.extend(readings.blocks.iter().copied().map(i64::from));
    chunk.watt_hours.extend(&readings.watt_hours);
    chunk.versions.extend(readings.versions.iter().copied().map(i64::from));
    chunk.qualities.extend(readings.qualities.iter().copied().map(i64::from));
    if chunk.is_whole() {
        return Ok(());
    }
    let rule = format!("columns must be of one length, {} of meters", chunk.len() - before);
    Err(status::invalid_argument("readings", &rule))
}

/// Puts the manifest together and adds the day up.
fn add_up(
    archive: &Archive,
    intake: Intake,
    before: Option<[u8; 32]>,
    blocks: usize,
) -> Result<(Manifest, Day), Bad> {
    let mut manifest = match before {
        Some(digest) => archive.manifest(&digest)?,
        None => Manifest::default(),
    };
    if !intake.groups.is_empty() {
        manifest.register = archive.keep_register(&Register::new(intake.groups)?)?;
    }
    if manifest.register.is_empty() {
        let rule = "the first batch of a day must say where its meters belong".into();
        return Err(Bad { origin: "stream".into(), row: 0, field: "group", value: "(none)".into(), rule });
    }
    // A batch that is sent again changes nothing.
    if !manifest.files.contains(&intake.file) {
        manifest.files.push(intake.file);
    }
    let sums = archive.add_up(&manifest, blocks, &mut |_| {})?;
    archive.keep_manifest(&manifest)?;
    Ok((manifest, sums))
}

fn batch(
    node: &Node,
    day: calendar::Day,
    header: &v1::MeterHeader,
    manifest: &Manifest,
    sums: &Day,
) -> Result<MeterBatch, Status> {
    let mut rows = Vec::new();
    node.model.read(|state, _| {
        for ((portfolio, area), totals) in &sums.totals {
            let known = state.registry.portfolio_of(portfolio);
            let (id, _) = known.ok_or_else(|| status::not_found("portfolio of a meter group"))?;
            let rule = "must be the code of an area";
            let area = TextId::new(area).ok_or_else(|| status::invalid_argument("group.area", rule))?;
            let flagged = (0_u16..).zip(&totals.estimated).filter(|(_, it)| **it).map(|(block, _)| block);
            let (net_wh, estimated) = (totals.net_wh.clone(), flagged.collect());
            rows.push(MeterRow { portfolio: id, area, net_wh, estimated });
        }
        Ok::<(), Status>(())
    })?;
    rows.sort_by(|a, b| (a.portfolio, &a.area).cmp(&(b.portfolio, &b.area)));
    let total: i128 = rows.iter().flat_map(|it| &it.net_wh).copied().map(i128::from).sum();
    Ok(MeterBatch {
        day,
        revision: header.revision,
        content: manifest.digest(),
        readings: sums.readings,
        estimated: sums.estimated + sums.estimated_before,
        total_wh: i64::try_from(total).unwrap_or(i64::MAX),
        frequency_mhz: header.frequency_millihertz.clone(),
        rows,
    })
}
