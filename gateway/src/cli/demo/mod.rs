//! `merit demo`: a whole trading day in a minute, through the real doors.
//!
//! An exchange with its journal runs in this process, in a directory of its own; everybody else comes
//! through its door on loopback with a certificate of their own. [`crowd`] makes the members and their
//! bids, [`crew`] their connections, [`story`] the day, [`rerun`] the proof at its end.

mod crew;
mod crowd;
mod curve;
mod day;
mod dispatch;
mod exchange;
mod home;
mod news;
mod orders;
mod profile;
mod random;
mod render;
mod report;
mod rerun;
mod story;

use super::output::{Format, print};
use super::{Exit, Failure};
use anyhow::Context as _;
use crowd::{Crowd, Kind, MEMBERS_MAX, MEMBERS_MIN};
use exchange::Exchange;
use home::Home;
use merit_client::v1;
use merit_engine::ids::Market;
use news::Ear;
use render::{Screen, Tone, around, columns, decimal, grouped};
use report::Summary;
use rerun::Rerun;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use story::{Lived, Stage};

/// The delivery day, a Tuesday.
const DAY: &str = "2026-11-24";

/// Live a whole trading day in a minute: members, dispatch centre and clearing house over real gRPC
///
/// Starts an exchange with a real journal on a loopback address, lets a seeded crowd trade the day-ahead
/// market and 48 real-time sessions of a 13-area Indian-style market over mutual TLS, then runs the
/// journal again from empty and compares. Prices and volumes are shaped on published days.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// The same seed and number of members give the same day
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Members of the exchange
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u16).range(i64::from(MEMBERS_MIN)..=i64::from(MEMBERS_MAX)))]
    members: u16,
    /// Keep journal and certificates in this directory, new or empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// How to print the table at the end; the story goes to standard error if not `table`
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Print the table at the end and nothing else
    #[arg(short, long)]
    quiet: bool,
}

impl Demo {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut screen = Screen::new(self.quiet, self.output != Format::Table);
        let home = Home::new(self.keep.as_deref()).map_err(|it| Failure::usage(format_args!("{it:#}")))?;
        let played = self.play(&home, &mut screen);
        let (summary, holds) = played.map_err(|it| Failure::error(format_args!("{it:#}")))?;
        if self.output != Format::Table || self.quiet {
            print(&summary.render(self.output)).map_err(Failure::error)?;
        }
        Ok(if holds { Exit::Ok } else { Exit::CheckFailed })
    }

    /// Lives the day, shows it, and says whether every check held.
    fn play(&self, home: &Home, screen: &mut Screen) -> anyhow::Result<(Summary, bool)> {
        let begun = Instant::now();
        let title = format!("merit demo: a day of a 13-area electricity market, seed {}", self.seed);
        screen.line(&screen.tone(Tone::Strong, &title));
        let crowd = Crowd::new(self.seed, self.members);
        screen.line(&introduction(&crowd));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let after = runtime.block_on(async {
            tokio::select! {
                after = self.trade(&crowd, home, screen) => after,
                // Not killed, so that the directory goes as well.
                _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
            }
        })?;
        drop(runtime);
        let rerun = Rerun::run(&home.journal()).context("the journal does not run again")?;
        let summary = self.summary(&after, &rerun, begun.elapsed());
        screen.line("");
        screen.line(summary.render(Format::Table).trim_end());
        screen.line("");
        let holds = prove(screen, &after, &rerun, &summary)?;
        home.farewell(screen);
        Ok((summary, holds))
    }

    /// Everything that needs the exchange to run.
    async fn trade(&self, crowd: &Crowd, home: &Home, screen: &mut Screen) -> anyhow::Result<After> {
        screen.live("making certificates, starting the exchange");
        let (exchange, made) = Exchange::start(home, crowd, DAY).await?;
        screen.end();
        screen.line(&format!("  mutual TLS on {}", exchange.endpoint()));
        screen.line(&format!("  journal in {}\n", home.journal().display()));

        let crew = crew::Crew::new(exchange.endpoint(), &home.certs(), crowd)?;
        let stage = Stage { crowd, crew: &crew, exchange: &exchange, day: DAY };
        let begun = Instant::now();
        screen.begin("registrations", stage.registrations());
        let count = crew.register(crowd, &made, |done| screen.step(done, "")).await?;
        let connected = crew.connect(crowd).await?;
        screen.end();
        stage.say(
            screen,
            &format!(
                "{} registrations, {connected} members connected, in {:.1} s",
                grouped(i64::try_from(count)?),
                begun.elapsed().as_secs_f64()
            ),
        );
        let mut ear = Ear::open(&crew.members[0], &crew.dispatch, &crew.settlement);
        let lived = stage.live(&mut ear, screen).await?;
        screen.line("");
        screen.line(&spread(&ear));
        let mut operator = crew.operator.operator();
        let position = operator.get_journal_position(v1::GetJournalPositionRequest::default()).await?;
        let position = position.into_inner().position.context("no position of the journal")?;
        let mut settlement = crew.settlement.settlement();
        let balance = settlement.get_trial_balance(v1::GetTrialBalanceRequest::default()).await?.into_inner();
        drop(crew);
        let day = ear.close();
        exchange.stop().await?;
        Ok(After { lived, day, position, balance })
    }

    fn summary(&self, after: &After, rerun: &Rerun, elapsed: Duration) -> Summary {
        Summary {
            seed: self.seed,
            members: u64::from(self.members),
            dam: after.day.figures(&format!("DAM-{DAY}")),
            rtm: after.day.figures(&format!("RTM-{DAY}")),
            door: after.lived.door.clone(),
            request_ns: rerun.request_ns.clone(),
            quantum_ns: rerun.quantum_ns.clone(),
            clearing_ns: [Market::Dam, Market::Rtm].map(|it| rerun.clearing_ns(it, DAY)),
            commands: rerun.records,
            elapsed,
            digest: after.day.digest(DAY),
        }
    }
}

/// What is known when the exchange has stopped.
struct After {
    lived: Lived,
    day: day::Day,
    position: v1::JournalPosition,
    balance: v1::GetTrialBalanceResponse,
}

/// The checks at the end; whether all of them hold.
fn prove(screen: &Screen, after: &After, rerun: &Rerun, summary: &Summary) -> anyhow::Result<bool> {
    let mut holds = true;
    let mut check = |good: bool, text: String| {
        holds &= good;
        screen.check(good, &text);
    };
    let live = after.position.digest.as_slice();
    let same = live == rerun.digest.to_be_bytes() && after.position.applied_seq == rerun.records;
    check(
        same,
        format!(
            "journal run again from empty: {} records in {:.1} s,\n      \
             state digest {:.16} live, {:.16} again",
            grouped(i64::try_from(rerun.records)?),
            rerun.took.as_secs_f64(),
            hex(live),
            format!("{:032x}", rerun.digest),
        ),
    );
    let balanced = rerun.unbalanced == 0 && rerun.balance == 0 && after.day.unbalanced == 0;
    let zero = after.balance.sum.parse::<rust_decimal::Decimal>().is_ok_and(|it| it.is_zero());
    check(
        balanced && zero && rerun.entries > 0,
        format!(
            "{} ledger entries each sum to zero, and so do the {} accounts",
            grouped(i64::try_from(rerun.entries)?),
            rerun.accounts
        ),
    );
    let acknowledged = crew::all_orders(&after.lived.orders)?;
    let lost = rerun.lost(&acknowledged);
    check(
        lost.is_empty(),
        format!(
            "{} acknowledged orders ended once: {} decided, {} taken back{}",
            grouped(i64::try_from(acknowledged.len())?),
            grouped(i64::try_from(rerun.decided)?),
            grouped(i64::try_from(rerun.cancelled)?),
            lost.first().map_or(String::new(), |it| format!("; not so order {it}")),
        ),
    );
    let unequal = after.day.unequal();
    let auctions = summary.dam.auctions + summary.rtm.auctions;
    check(
        unequal == 0 && auctions == 1 + u64::from(story::SESSIONS),
        format!("{auctions} results verified before publication; in every block bought = sold"),
    );
    screen.line(&format!("\ndigest of the day  {:032x}", summary.digest));
    Ok(holds)
}

/// How many of which kind.
fn introduction(crowd: &Crowd) -> String {
    let kinds: Vec<String> =
        Kind::ALL.iter().map(|it| format!("{} {}", crowd.count(*it), it.plural())).collect();
    let (first, rest) = kinds.split_at(2);
    format!(
        "  {} members with {} portfolios:\n  {},\n  {}",
        crowd.members.len(),
        crowd.portfolios.len(),
        first.join(", "),
        rest.join(", ")
    )
}

/// The areas of the day-ahead market: prices, and who exports.
fn spread(ear: &Ear) -> String {
    let areas = report::areas(&ear.day, &format!("DAM-{DAY}"));
    let net = |it: &report::AreaFigures| it.sold_wh - it.bought_wh;
    let most = areas.iter().map(|it| net(it).abs()).max().unwrap_or(0);
    let head = ["DAM area", "mean", "lowest", "highest", "bought GWh", "sold GWh", "imports │ exports"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for it in &areas {
        rows.push(vec![
            it.name.clone(),
            decimal(it.mean(), 0),
            decimal(i128::from(it.lowest), 0),
            decimal(i128::from(it.highest), 0),
            decimal(i128::from(it.bought_wh) / 1_000, 1),
            decimal(i128::from(it.sold_wh) / 1_000, 1),
            around(net(it), most, 8),
        ]);
    }
    columns(&rows).trim_end().to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}
