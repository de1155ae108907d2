//! A crowd of members over real mutual-TLS gRPC, and a referee that recounts what they were told.
//!
//! It sees the exchange as members see it: through the contract and their own certificates. Messages go at
//! moments that are fixed before the run, latency counts from those moments, and afterwards every
//! acknowledgement is recounted against order lists, look-ups, event streams and results.
//!
//! # Deliberately absent
//!
//! - **The engine.** What a member cannot know, this program does not know.
//! - **Retries of its own.** The client repeats calls as it does for every member, and the time counts.

mod crowd;
mod drive;
mod host;
mod lag;
mod ledger;
mod referee;
mod report;
mod schedule;
mod shape;

use clap::Parser;
use crowd::{Access, Trader};
use ledger::Ids;
use merit_client::v1;
use referee::{Public, Referee, Told};
use report::{Outcomes, Report};
use schedule::{Arrivals, Mix, Plan, Via};
use shape::Shape;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::JoinSet;

/// Why there is no result: in words, for whoever started the program.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// As the exchange's: what one thread allocates another frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The referee found something.
const EXIT_FOUND: u8 = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
}

/// Trade as a crowd of members and recount what they were told.
///
/// Exit code: 0 if all is well, 1 if there was no run to speak of, 2 for a wrong command line, 3 if the
/// referee found something.
#[derive(Debug, Parser)]
#[command(name = "merit-loadtest", version)]
struct Arguments {
    /// Start an exchange for this run, and stop it afterwards
    #[arg(long, conflicts_with_all = ["endpoint", "certs", "server_name"])]
    self_host: bool,
    /// With --self-host: the program merit, if not beside this one
    #[arg(long, value_name = "FILE", requires = "self_host")]
    merit: Option<PathBuf>,
    /// With --self-host: keep certificates, journal and log in this directory, which must be new
    #[arg(long, value_name = "DIR", requires = "self_host")]
    keep: Option<PathBuf>,
    /// With --self-host: a standby follows, and its lag is told; the mode says when orders are acknowledged
    #[arg(long, value_name = "MODE", requires = "self_host", num_args = 0..=1, default_missing_value = "sync",
        value_parser = ["sync", "sync-or-degrade", "async"])]
    standby: Option<String>,
    /// Where the exchange is, e.g. https://127.0.0.1:7443; the next one is tried when one fails
    #[arg(long, value_name = "URL", required_unless_present = "self_host")]
    endpoint: Vec<String>,
    /// Directory with authority.pem and NAME.pem, NAME.key of each trader, as `merit certs` makes it
    #[arg(long, value_name = "DIR", required_unless_present = "self_host")]
    certs: Option<PathBuf>,
    /// Name in the exchange's certificate, if not the host of the endpoint
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Auction to trade in [default: of those open, the one whose gate closes last]
    #[arg(long, value_name = "ID")]
    auction: Option<String>,
    /// Members, each with its own certificate
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    members: u16,
    /// Connections in all, at least one for each member [default: one for each member]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    connections: Option<u16>,
    /// Commands each second
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: u32,
    /// How long to send
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=36_000))]
    seconds: u32,
    /// How many commands of which kind
    #[arg(long, default_value = "submit=70,amend=20,cancel=10")]
    mix: Mix,
    /// How many messages by which method
    #[arg(long, default_value = "unary=96,batch=2,stream=2")]
    via: Via,
    /// Commands in one message of a batch or stream
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Most unanswered messages on one connection
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: u32,
    /// How the moments of sending lie
    #[arg(long, value_enum, default_value_t = Arrivals::Poisson)]
    arrivals: Arrivals,
    /// Periods of one order
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    periods: u32,
    /// Points in each period of an order
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    points: u32,
    /// Commands that the referee looks up by id, for each member; those without an answer always are
    #[arg(long, default_value_t = 50)]
    look_ups: usize,
    /// How many seconds to wait for the auction's result; 0: recount without it [default: 0, or until it is
    /// there with --self-host]
    #[arg(long, value_name = "SECONDS")]
    wait_result: Option<u64>,
    /// Makes the run repeatable
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

impl Arguments {
    fn plan(&self) -> Plan {
        Plan {
            rate: self.rate,
            seconds: self.seconds,
            seed: self.seed,
            mix: self.mix,
            via: self.via,
            arrivals: self.arrivals,
            connections: usize::from(self.connections.unwrap_or(self.members).max(self.members)),
            batch: self.batch,
        }
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Fault> {
    let plan = arguments.plan();
    let members = usize::from(arguments.members);
    let (host, access) = if arguments.self_host {
        let host = host::Host::start(&host::Wanted {
            merit: arguments.merit.clone(),
            dir: arguments.keep.clone(),
            members,
            connections: plan.connections,
            standby: arguments.standby.clone(),
            // Beside the run itself: connecting, and answers that come late.
            open: Duration::from_secs(
                u64::from(plan.seconds) + 8 + u64::try_from(plan.connections / 50).unwrap_or(0),
            ),
        })?;
        let access = host.access();
        (Some(host), access)
    } else {
        let certs = arguments.certs.clone().ok_or("--certs is missing")?;
        let (endpoints, server_name) = (arguments.endpoint.clone(), arguments.server_name.clone());
        (None, Access { endpoints, certs, server_name })
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let code = runtime.block_on(trade(arguments, &plan, &access));
    drop(host);
    code
}

async fn trade(arguments: &Arguments, plan: &Plan, access: &Access) -> Result<ExitCode, Fault> {
    if arguments.standby.is_some() {
        lag::followed(access).await?;
    }
    let mut traders = crowd::gather(access, usize::from(arguments.members), plan.connections).await?;
    let named = arguments.auction.as_deref().or(arguments.self_host.then_some(host::AUCTION));
    let auction = crowd::auction(&traders[0].clients[0], named, Duration::from_secs(10)).await?;
    let (periods, points) = (arguments.periods, arguments.points);
    let shape = Shape { seed: arguments.seed, auction, periods, points };
    for trader in &mut traders {
        crowd::find_places(trader, &shape).await?;
    }
    let traders: Vec<Arc<Trader>> = traders.into_iter().map(Arc::new).collect();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let ids = Ids::new(since.as_micros());
    eprintln!(
        "{} members over {} connections trade in {}",
        traders.len(),
        plan.connections,
        shape.auction.auction_id
    );
    let watch = arguments.standby.as_ref().map(|_| lag::Watch::begin(access)).transpose()?;
    let measured = drive::run(plan, arguments.in_flight, &traders, &ids, &shape).await;
    let lag = match watch {
        Some(watch) => Some(watch.end().await?),
        None => None,
    };
    eprintln!("\nrecounting");
    let judged = judge(arguments, &traders, &measured, &ids, &shape).await?;
    let report = Report {
        plan,
        members: traders.len(),
        auction: &shape.auction.auction_id,
        measured: &measured,
        counted: judged.referee.counted,
        findings: &judged.referee.findings,
        published: judged.published,
        lag: lag.as_ref(),
    };
    match arguments.output {
        Output::Table => print!("{}", report.table()),
        Output::Json => println!("{:#}", report.json()),
    }
    if !judged.referee.findings.is_empty() {
        return Ok(ExitCode::from(EXIT_FOUND));
    }
    if Outcomes::of(&measured).accepted == 0 {
        return Err("nothing was accepted".into());
    }
    Ok(ExitCode::SUCCESS)
}

struct Judged<'a> {
    referee: Referee<'a>,
    published: bool,
}

/// Recounts at once, and again when the result is there.
async fn judge<'a>(
    arguments: &Arguments,
    traders: &[Arc<Trader>],
    measured: &drive::Measured,
    ids: &'a Ids,
    shape: &'a Shape,
) -> Result<Judged<'a>, Fault> {
    let mut referee = Referee::new(ids, shape);
    recount(arguments, traders, measured, &mut referee, None).await?;
    let patience = arguments.wait_result.unwrap_or(if arguments.self_host { 120 } else { 0 });
    let client = &traders[0].clients[0];
    let auction_id = shape.auction.auction_id.clone();
    match crowd::ended(client, &auction_id, Duration::from_secs(patience)).await? {
        Some(v1::AuctionPhase::Published) => {
            let request = v1::GetResultRequest { auction_id, areas: Vec::new() };
            let result = client.get_result(request).await?.result.ok_or("the published result is missing")?;
            let public = Public::of(&result);
            referee.again();
            recount(arguments, traders, measured, &mut referee, Some(&public)).await?;
            referee.judge_sums(&public, arguments.self_host);
            return Ok(Judged { referee, published: true });
        }
        Some(phase) => referee.no_result(phase),
        None => {}
    }
    Ok(Judged { referee, published: false })
}

async fn recount(
    arguments: &Arguments,
    traders: &[Arc<Trader>],
    measured: &drive::Measured,
    referee: &mut Referee<'_>,
    public: Option<&Public>,
) -> Result<(), Fault> {
    // All at once, as members do after a publication; judged one after another.
    let mut asking = JoinSet::new();
    for (at, trader) in traders.iter().enumerate() {
        let (trader, sent, ids) = (Arc::clone(trader), measured.sent[at].clone(), referee.ids.clone());
        let (auction, look_ups) = (referee.shape.auction.auction_id.clone(), arguments.look_ups);
        asking.spawn(async move { (at, crowd::shown(&trader, &sent, &ids, &auction, look_ups).await) });
    }
    while let Some(asked) = asking.join_next().await {
        let (at, shown) = asked?;
        let trader = &traders[at];
        let told = Told { member: &trader.member, places: &trader.places, sent: &measured.sent[at] };
        referee.judge(&told, &shown?, public);
    }
    Ok(())
}
