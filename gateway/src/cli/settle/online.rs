//! The verbs that ask a running exchange, as the clearing house.

use crate::cli::output::print;
use crate::cli::report::text;
use crate::cli::{Exit, Failure};
use crate::meters::{Chunk, MINUTES, Register, source};
use crate::push::json;
use merit_client::{Client, Config};
use merit_proto::v1;
use std::path::{Path, PathBuf};
use v1::stream_obligations_response::Event;

/// Readings in one message.
const READINGS: usize = 50_000;
/// Meters in one message.
const METERS: usize = 100_000;
/// Messages that wait to be sent.
const WAITING: usize = 8;

/// How to reach the exchange.
#[derive(Debug, clap::Args)]
struct Reach {
    /// Where the exchange is, e.g. https://127.0.0.1:7443
    #[arg(long, env = "MERIT_ENDPOINT", value_name = "URL")]
    endpoint: String,
    /// Authority of the exchange's certificate, PEM
    #[arg(long, env = "MERIT_CA", value_name = "FILE", requires = "certificate")]
    ca: Option<PathBuf>,
    /// Own certificate, PEM
    #[arg(long, env = "MERIT_CERTIFICATE", value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, env = "MERIT_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
    /// User name, for a sandbox without TLS
    #[arg(long, env = "MERIT_USER", conflicts_with = "ca")]
    user: Option<String>,
}

impl Reach {
    fn client(&self) -> Result<Client, Failure> {
        let endpoints = [self.endpoint.as_str()];
        let config = match (&self.ca, &self.certificate, &self.key, &self.user) {
            (Some(ca), Some(certificate), Some(key), None) => {
                Config::mutual_tls(&endpoints, ca, certificate, key)
            }
            (None, None, None, Some(user)) => Config::plaintext_loopback(&endpoints, user),
            _ => return Err(Failure::usage("give --ca, --certificate and --key, or --user for a sandbox")),
        };
        Client::new(config).map_err(Failure::usage)
    }
}

/// Runs something with a client.
fn with<T>(
    reach: &Reach,
    work: impl AsyncFnOnce(Client) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::error)?;
    runtime.block_on(async { work(reach.client()?).await })
}

/// An id that is the same whenever the same thing is asked again.
fn id_of(given: Option<&str>, made: String) -> String {
    given.map_or(made, str::to_owned)
}

fn answered(answer: Option<v1::RequestAnswer>) -> Result<Exit, Failure> {
    let answer = answer.ok_or_else(|| Failure::error("the exchange gave no answer"))?;
    match answer.refused {
        Some(it) => {
            Err(Failure { exit: Exit::Refused, message: format!("refused: {}: {}", it.field, it.text) })
        }
        None => {
            let again = if answer.replayed { " (it was done before)" } else { "" };
            print(&format!("done{again}\n")).map_err(Failure::error)?;
            Ok(Exit::Ok)
        }
    }
}

/// What a run shall be.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Status {
    /// May still change
    Provisional,
    /// Final
    Final,
    /// After the final run
    Resettled,
}

/// Run the settlement of a delivery day
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    reach: Reach,
    /// Local delivery day
    #[arg(long)]
    day: String,
    /// What it shall be
    #[arg(long, value_enum)]
    status: Status,
    /// Why; needed for a resettlement
    #[arg(long, default_value = "")]
    reason: String,
    /// From which day it counts; the delivery day if it is not given
    #[arg(long)]
    effective: Option<String>,
    /// Id of the request, unique for each run; a repeat with the same id changes nothing
    #[arg(long)]
    request_id: String,
}

impl Run {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let status = match self.status {
            Status::Provisional => v1::RunStatus::Provisional,
            Status::Final => v1::RunStatus::Final,
            Status::Resettled => v1::RunStatus::Resettled,
        };
        let request = v1::RunSettlementRequest {
            request_id: self.request_id,
            delivery_day: self.day,
            status: status.into(),
            reason: self.reason,
            effective_day: self.effective,
        };
        with(&self.reach, async |client| {
            let response = client.run_settlement(request).await.map_err(Failure::error)?;
            answered(response.answer)
        })
    }
}

/// Deviation tables that ship with this release.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Preset {
    /// India: general sellers and buyers by frequency (order of February 2023), solar and wind of DSM 2024
    India,
    /// Two prices: against the system the worse of day-ahead and real-time price, else day-ahead
    TwoPrice,
}

/// Set how deviations are charged from a delivery day on
#[derive(Debug, clap::Args)]
pub(super) struct DeviationRules {
    #[command(flatten)]
    reach: Reach,
    /// Which tables
    #[arg(long, value_enum)]
    preset: Preset,
    /// First local delivery day
    #[arg(long)]
    from: String,
    /// Lines PORTFOLIO,CATEGORY,CAPACITY_WATTS for those that are not general
    #[arg(long, value_name = "FILE")]
    placings: Option<PathBuf>,
    /// Id of the request; made from the preset and the day if it is not given
    #[arg(long)]
    request_id: Option<String>,
}

impl DeviationRules {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let (name, categories) = match self.preset {
            Preset::India => ("india", crate::settle::tables::indian()),
            Preset::TwoPrice => ("two-price", Vec::new()),
        };
        let mut placings = Vec::new();
        if let Some(path) = &self.placings {
            for (number, line) in (1..).zip(text(path)?.lines().filter(|it| !it.trim().is_empty())) {
                let cells: Vec<&str> = line.split(',').map(str::trim).collect();
                let wrong = || {
                    let rule = "must be PORTFOLIO,CATEGORY,CAPACITY_WATTS";
                    Failure::usage(format_args!("{}, line {number}: {rule}", path.display()))
                };
                let [portfolio, category, watts] = cells.as_slice() else { return Err(wrong()) };
                placings.push(v1::DeviationPlacing {
                    portfolio: (*portfolio).into(),
                    category: (*category).into(),
                    capacity_watts: watts.parse().map_err(|_| wrong())?,
                });
            }
        }
        let request_id =
            id_of(self.request_id.as_deref(), format!("deviation-{name}-{}-{}", self.from, placings.len()));
        let rules = v1::DeviationRules { effective_from: self.from, categories, placings };
        let request = v1::SetDeviationRulesRequest { request_id, rules: Some(rules) };
        with(&self.reach, async |client| {
            let response = client.set_deviation_rules(request).await.map_err(Failure::error)?;
            answered(response.answer)
        })
    }
}

/// Send meter readings of a delivery day (.parquet or .csv)
///
/// Sorted by meter, then block; columns meter, block_15min, watt_hours, version, quality (1 measured,
/// 2 estimated, 3 corrected). The first batch of a day needs the register.
#[derive(Debug, clap::Args)]
pub(super) struct Meters {
    #[command(flatten)]
    reach: Reach,
    /// Local delivery day
    #[arg(long)]
    day: String,
    /// Revision of the day's metering, from 1
    #[arg(long)]
    revision: u32,
    /// The readings
    file: PathBuf,
    /// Where the meters belong: lines meter,portfolio,area,direction
    #[arg(long, value_name = "FILE")]
    register: Option<PathBuf>,
    /// System frequency of each block in millihertz, one a line
    #[arg(long, value_name = "FILE")]
    frequency: Option<PathBuf>,
}

impl Meters {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let frequency = match &self.frequency {
            Some(path) => frequencies(path)?,
            None => Vec::new(),
        };
        let register = match &self.register {
            Some(path) => {
                Some(Register::read(&path.display().to_string(), &text(path)?).map_err(Failure::usage)?)
            }
            None => None,
        };
        let header = v1::MeterHeader {
            request_id: format!("meters-{}-{}", self.day, self.revision),
            delivery_day: self.day.clone(),
            revision: self.revision,
            frequency_millihertz: frequency,
            resolution_minutes: u32::from(MINUTES),
        };
        with(&self.reach, async |client| send(&client, header, register, &self.file).await)
    }
}

fn frequencies(path: &Path) -> Result<Vec<u32>, Failure> {
    let file = text(path)?;
    let parsed: Result<Vec<u32>, _> = file.lines().map(|it| it.trim().parse()).collect();
    parsed.map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))
}

async fn send(
    client: &Client,
    header: v1::MeterHeader,
    register: Option<Register>,
    file: &Path,
) -> Result<Exit, Failure> {
    use v1::submit_meter_readings_request::Part;
    let (sender, receiver) = tokio::sync::mpsc::channel(WAITING);
    let mut source = source::open(file).map_err(Failure::usage)?;
    let reader = tokio::task::spawn_blocking(move || {
        let say = |part| sender.blocking_send(v1::SubmitMeterReadingsRequest { part: Some(part) }).is_ok();
        if !say(Part::Header(header)) {
            return Ok(());
        }
        for group in register.iter().flat_map(groups) {
            if !say(Part::Group(group)) {
                return Ok(());
            }
        }
        while let Some(chunk) = source.next_chunk()? {
            for readings in messages(&chunk) {
                if !say(Part::Readings(readings)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    });
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let response = client.settlement().submit_meter_readings(stream).await;
    let read: Result<(), crate::meters::Bad> = reader.await.map_err(Failure::error)?;
    read.map_err(Failure::usage)?;
    let response = response.map_err(|error| Failure::error(error.message()))?.into_inner();
    if let Some(batch) = &response.batch {
        let (readings, estimated) = (batch.readings, batch.estimated);
        eprintln!("merit: {readings} readings taken, {estimated} estimated");
    }
    answered(response.answer)
}

fn groups(register: &Register) -> Vec<v1::MeterGroup> {
    let mut out = Vec::new();
    for (index, place) in register.groups().iter().enumerate() {
        let own = register.meters().iter().filter(|(_, group)| *group == index).map(|(meter, _)| *meter);
        let meters: Vec<u64> = own.collect();
        out.extend(meters.chunks(METERS).map(|some| v1::MeterGroup {
            portfolio: place.portfolio.clone(),
            area: place.area.clone(),
            meters: some.to_vec(),
            drawal: place.drawal,
        }));
    }
    out
}

fn messages(chunk: &Chunk) -> Vec<v1::MeterReadings> {
    let unsigned = |it: &i64| u32::try_from(*it).unwrap_or(0);
    let part = |from: usize| {
        let to = (from + READINGS).min(chunk.len());
        v1::MeterReadings {
            meters: chunk.meters[from..to].iter().map(|it| u64::try_from(*it).unwrap_or(0)).collect(),
            blocks: chunk.blocks[from..to].iter().map(unsigned).collect(),
            watt_hours: chunk.watt_hours[from..to].to_vec(),
            versions: chunk.versions[from..to].iter().map(unsigned).collect(),
            qualities: chunk.qualities[from..to].iter().map(|it| i32::try_from(*it).unwrap_or(0)).collect(),
        }
    };
    (0..chunk.len()).step_by(READINGS).map(part).collect()
}

/// Book a payment between a member and the clearing house
#[derive(Debug, clap::Args)]
pub(super) struct Pay {
    #[command(flatten)]
    reach: Reach,
    /// The member
    #[arg(long)]
    member: String,
    /// Amount: positive was received from the member, negative was paid to it
    #[arg(long, allow_hyphen_values = true)]
    amount: String,
    /// Day on which it counts
    #[arg(long)]
    on: String,
    /// The bank's reference; the same one again changes nothing
    #[arg(long)]
    reference: String,
}

impl Pay {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let amount_micros = merit_client::units::micros(&self.amount).map_err(Failure::usage)?;
        let request = v1::RecordPaymentRequest {
            request_id: format!("payment-{}", self.reference),
            member: self.member,
            amount_micros,
            value_day: self.on,
            reference: self.reference,
        };
        with(&self.reach, async |client| {
            let response = client.record_payment(request).await.map_err(Failure::error)?;
            answered(response.answer)
        })
    }
}

/// Follow the settlement stream into a file and acknowledge what is durable there
///
/// One JSON object a line, by number. Started again, it goes on after the last whole line, so every
/// message stands in the file exactly once.
#[derive(Debug, clap::Args)]
pub(super) struct Follow {
    #[command(flatten)]
    reach: Reach,
    /// The file; lines are added
    #[arg(long, value_name = "FILE")]
    into: PathBuf,
    /// Stop when everything that was there at the start is in the file
    #[arg(long)]
    once: bool,
}

impl Follow {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let (file, after) = open_lines(&self.into)
            .map_err(|error| Failure::error(format_args!("{}: {error}", self.into.display())))?;
        with(&self.reach, async |client| follow(&client, file, after, self.once).await)
    }
}

/// Opens the file, cuts a line that was not finished, and returns the number of the last whole one.
fn open_lines(path: &Path) -> std::io::Result<(std::fs::File, u64)> {
    use std::io::{Read as _, Seek as _};
    let mut file =
        std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
    let lines = bytes.get(..whole).unwrap_or_default();
    let last = lines.split(|it| *it == b'\n').rfind(|it| !it.is_empty()).unwrap_or_default();
    let seq = serde_json::from_slice::<serde_json::Value>(last).ok();
    let seq = seq.and_then(|it| it.get("seq").and_then(serde_json::Value::as_u64)).unwrap_or(0);
    file.set_len(u64::try_from(whole).unwrap_or(0))?;
    file.seek(std::io::SeekFrom::End(0))?;
    Ok((file, seq))
}

async fn follow(client: &Client, mut file: std::fs::File, after: u64, once: bool) -> Result<Exit, Failure> {
    use std::io::Write as _;
    let mut events = client.subscribe::<v1::StreamObligationsResponse>(Some(after + 1));
    loop {
        let next = if once { events.next_known().await } else { events.next().await.map(Some) };
        let Some(message) = next.map_err(Failure::error)? else { return Ok(Exit::Ok) };
        let position = message.position.unwrap_or_default();
        let quiet = matches!(message.event, Some(Event::Heartbeat(_) | Event::GoingAway(_)) | None);
        if let (Some(number), false) = (position.seq, quiet) {
            let digest = crate::push::sha256(&prost::Message::encode_to_vec(&message));
            let item = crate::push::Item { seq: number, epoch: position.epoch, digest, message };
            let line = format!("{}\n", json::item(&item));
            file.write_all(line.as_bytes()).and_then(|()| file.sync_data()).map_err(Failure::error)?;
            let request = v1::AcknowledgeObligationsRequest {
                request_id: format!("have-{}-{number}", item.epoch),
                up_to_seq: number,
                epoch: item.epoch,
            };
            let answer = client.acknowledge_obligations(request).await.map_err(Failure::error)?;
            if let Some(refused) = answer.refused {
                return Err(Failure { exit: Exit::Refused, message: refused.text });
            }
        }
    }
}
