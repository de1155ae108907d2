//! How long the markets take, seen by their users over mutual TLS: `market_times [PORTFOLIOS [BLOCKS [books]]]`.
//!
//! One node in this process, its journal on disk, its clock moved by hand so that nothing waits; members,
//! dispatch centre and clearing house come through the door. A delivery day of 48 real-time sessions: from
//! the gate until the verified, durable result is out, its signed schedule pulled and checked, and its
//! obligations durable in the clearing house's ledger. In the middle of the day the day-ahead auction of
//! the next: from its capacities to the final result, with order entry timed while it clears and sessions
//! that close meanwhile. Then the day's settlement run, its documents and its pay-out file; with `books` also
//! after each session, as a provisional run, read from the journal and written to files.

use merit_client::signed::ExchangeKeys;
use merit_client::{Client, Config as ClientConfig, Events, orders, v1};
use merit_gateway::cli::certs::{self, Plan};
use merit_gateway::server::clock::{Clock, parse_utc};
use merit_gateway::server::config::{Config, Sources};
use merit_gateway::server::run::{Running, Substitutes};
use merit_gateway::settle::book::Book;
use merit_gateway::settle::{bank, documents};
use merit_replay::storage::disk::Disk;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

type Fault = Box<dyn std::error::Error + Send + Sync>;

const MINUTE_US: i64 = 60_000_000;
/// 22:40 in India, before the first session of the delivery day opens.
const BEGIN: &str = "2026-11-22T17:10:00Z";
/// The delivery day of the sessions, and midnight with which it begins.
const DAY: &str = "2026-11-23";
const MIDNIGHT: &str = "2026-11-22T18:30:00Z";
/// The auction of the next day; it opens at ten and closes at eleven.
const DAM: &str = "DAM-2026-11-24";
const MEMBERS: usize = 50;
const AREAS: [&str; 13] = ["N1", "N2", "N3", "E1", "E2", "W1", "W2", "W3", "S1", "S2", "S3", "A1", "A2"];
/// Orders that time entry.
const PROBES: usize = 1_000;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Chance(u64);

impl Chance {
    fn number(&mut self, low: i64, high: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        low + i64::try_from(z % high.abs_diff(low).saturating_add(1)).unwrap_or(0)
    }
}

/// Times, sorted when they are asked for.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn row(&mut self, name: &str) {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        let at = |share: usize| self.0.get(last * share / 100).map_or(0, Duration::as_micros);
        println!(
            "{name:<64} {:>5} {:>9.2} {:>9.2} {:>9.2}",
            self.0.len(),
            millis(at(50)),
            millis(at(99)),
            millis(at(100))
        );
    }
}

fn millis(micros: u128) -> f64 {
    u32::try_from(micros).map_or(f64::MAX, f64::from) / 1e3
}

fn one(name: &str, took: Duration) {
    Times(vec![took]).row(name);
}

/// The exchange and everybody who uses it.
struct Market {
    running: Running,
    members: Vec<Client>,
    dispatch: Client,
    house: Client,
    keys: ExchangeKeys,
    portfolios: usize,
    directory: PathBuf,
    /// Whether each session is settled, documented and paid out.
    books: bool,
    public: Events<v1::StreamMarketResponse>,
    chance: Chance,
    requests: u64,
}

fn registry(portfolios: usize) -> String {
    let mut text = String::new();
    for member in 0..MEMBERS {
        let _ = write!(
            text,
            "[[member]]\ncode = \"M{member:02}\"\nname = \"Member {member}\"\n\
             collateral_minor = 10_000_000_000_000\n\
             [[member.user]]\nname = \"M{member:02}-trader\"\nrole = \"trader\"\n\
             certificate = \"M{member:02}-trader.pem\"\n"
        );
        for portfolio in (member..portfolios).step_by(MEMBERS) {
            let _ = write!(text, "[[member.portfolio]]\ncode = \"P{portfolio:04}\"\n");
        }
    }
    for (name, role) in [("operator", "operator"), ("dispatch", "dispatch"), ("settlement", "settlement")] {
        let _ =
            write!(text, "[[user]]\nname = \"{name}\"\nrole = \"{role}\"\ncertificate = \"{name}.pem\"\n");
    }
    text
}

impl Market {
    async fn start(directory: &Path, portfolios: usize, books: bool) -> Result<Self, Fault> {
        let certificates = directory.join("certs");
        let users: Vec<String> = (0..MEMBERS).map(|it| format!("M{it:02}")).collect();
        certs::make(&Plan::new(certificates.clone(), &users, vec![], 2)?, SystemTime::now())?;
        std::fs::write(certificates.join("registry.toml"), registry(portfolios))?;
        let file = |name: &str| certificates.join(name).display().to_string();
        let flags = [
            ("listen.address", "127.0.0.1:0".to_owned()),
            ("node.data", directory.join("data").display().to_string()),
            ("tls.certificate", file("server.pem")),
            ("tls.key", file("server.key")),
            ("tls.client_ca", file("authority.pem")),
            ("signing.key", file("signing.key")),
            ("bootstrap.rules", "india".to_owned()),
            ("bootstrap.effective_from", DAY.to_owned()),
            ("bootstrap.registry", file("registry.toml")),
            ("push.embedded", "true".to_owned()),
        ];
        let flags = flags.map(|(key, value)| (key.to_owned(), value)).to_vec();
        let config =
            Config::load(&Sources { flags, ..Sources::default() }).map_err(|it| format!("{it:?}"))?;
        let clock = Some(Clock::manual(parse_utc("2026-11-22T03:30:00Z").ok_or("an instant")?));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let running =
            Running::start(&config, listener, Substitutes { clock, ..Substitutes::default() }).await?;
        let url = format!("https://localhost:{}", running.address().port());
        let client = |name: &str| {
            let own = |ending: &str| certificates.join(format!("{name}.{ending}"));
            let authority = certificates.join("authority.pem");
            Client::new(ClientConfig::mutual_tls(&[&url], authority, own("pem"), own("key")))
        };
        let members = (0..MEMBERS).map(|it| client(&format!("M{it:02}-trader"))).collect::<Result<_, _>>()?;
        let public = client("M00-trader")?.subscribe(Some(1));
        Ok(Self {
            running,
            members,
            dispatch: client("dispatch")?,
            house: client("settlement")?,
            keys: ExchangeKeys::read(&std::fs::read_to_string(certificates.join("signing.pub"))?)?,
            portfolios,
            directory: directory.to_owned(),
            books,
            public,
            chance: Chance(5),
            requests: 0,
        })
    }

    fn id(&mut self, what: &str) -> String {
        self.requests += 1;
        format!("{what}-{}", self.requests)
    }

    /// Moves time; what is due happens by itself.
    fn move_to(&self, time_us: i64) {
        assert!(self.running.move_clock(time_us), "the clock is moved by hand");
    }

    /// The market's events from here on, for somebody else.
    fn watch(&self) -> Events<v1::StreamMarketResponse> {
        let model = &self.running.node().model;
        let head = model.read(|state, _| state.head(merit_engine::event::Stream::Market));
        self.members[1].subscribe(Some(head + 1))
    }

    /// Moves time and waits until the core has nothing to do.
    async fn at(&self, time_us: i64) -> Result<(), Fault> {
        self.move_to(time_us);
        let node = self.running.node();
        loop {
            let busy = node.inbox.look(move |exchange, _| {
                let engine = &exchange.engine;
                engine.wants_quantum().is_some() || engine.next_timer_us().is_some_and(|it| it <= time_us)
            });
            if !busy.await.map_err(|it| format!("{it:?}"))? {
                node.fresh().await;
                return Ok(());
            }
            node.inbox.core().wake();
        }
    }

    /// A curve of eight steps in each of some periods: buyers and sellers in turn.
    fn curve(&mut self, auction: &str, portfolio: usize, periods: u32) -> v1::NewOrder {
        let side = if portfolio.is_multiple_of(2) { v1::Side::Buy } else { v1::Side::Sell };
        let mut rows: Vec<(u32, Vec<(i64, i64)>)> = Vec::new();
        for period in 1..=periods {
            let step = |chance: &mut Chance, step: i64| {
                let price = chance.number(1_000 + step * 500, 1_499 + step * 500);
                (price * 1_000_000, chance.number(1, 80) * 100_000)
            };
            let mut points: Vec<_> = (0..8).map(|it| step(&mut self.chance, it)).collect();
            if side == v1::Side::Buy {
                points.reverse();
            }
            rows.push((period, points));
        }
        let rows: Vec<(u32, &[(i64, i64)])> =
            rows.iter().map(|(it, points)| (*it, points.as_slice())).collect();
        let area = AREAS[portfolio / 2 % AREAS.len()];
        orders::step(auction, &format!("P{portfolio:04}"), area, side, &rows)
    }

    /// A block of two to eight hours.
    fn block(&mut self, auction: &str, number: usize) -> v1::NewOrder {
        let portfolio = number % self.portfolios;
        let length = self.chance.number(8, 32);
        let first = self.chance.number(1, 97 - length);
        let watts = self.chance.number(50, 500) * 100_000;
        let row = |period| (u32::try_from(period).unwrap_or(1), watts);
        let profile: Vec<(u32, i64)> = (first..first + length).map(row).collect();
        let side = if portfolio.is_multiple_of(2) { v1::Side::Buy } else { v1::Side::Sell };
        let price = self.chance.number(2_000, 4_000) * 1_000_000;
        let area = AREAS[portfolio / 2 % AREAS.len()];
        let block = orders::block(side, price, &profile);
        orders::block_order(auction, &format!("P{portfolio:04}"), area, block)
    }

    /// Every portfolio's orders, each member on its own connection.
    async fn enter(&mut self, auction: &str, periods: u32, blocks: usize) -> Result<(), Fault> {
        let mut work: Vec<Vec<v1::OrderCommand>> = vec![Vec::new(); MEMBERS];
        for number in 0..self.portfolios + blocks {
            let order = match number.checked_sub(self.portfolios) {
                None => self.curve(auction, number, periods),
                Some(block) => self.block(auction, block),
            };
            let member =
                number.checked_sub(self.portfolios).map_or(number, |it| it % self.portfolios) % MEMBERS;
            let command = Some(v1::order_command::Command::Submit(order));
            work[member].push(v1::OrderCommand { client_order_id: self.id("o"), command });
        }
        let mut tasks = JoinSet::new();
        for (client, commands) in self.members.iter().cloned().zip(work) {
            tasks.spawn(async move {
                for some in commands.chunks(10) {
                    for answer in client.batch(some.to_vec()).await? {
                        if !matches!(answer.outcome, Some(v1::order_answer::Outcome::Accepted(_))) {
                            return Err(Fault::from(format!("not accepted: {answer:?}")));
                        }
                    }
                }
                Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }

    async fn capacities(&mut self, auction: &str) -> Result<(), Fault> {
        let request = v1::GetAuctionRequest { auction_id: auction.into() };
        let shown = self.dispatch.get_auction(request).await?.auction.ok_or("no auction")?;
        let periods = usize::try_from(shown.periods)?;
        let capacities = shown.lines.iter().flat_map(|it| {
            [v1::Direction::Forward, v1::Direction::Backward].map(|direction| v1::LineCapacity {
                line: it.line.clone(),
                direction: direction.into(),
                capacity_watts: vec![200_000_000; periods],
            })
        });
        let asked = v1::SubmitTransferCapacityRequest {
            request_id: self.id("c"),
            auction_id: auction.to_owned(),
            revision: 1,
            capacities: capacities.collect(),
        };
        match self.dispatch.submit_transfer_capacity(asked).await?.answer.and_then(|it| it.refused) {
            None => Ok(()),
            Some(refusal) => Err(format!("{auction}: {refusal:?}").into()),
        }
    }

    /// Waits for a phase on the public stream.
    async fn heard(&mut self, auction: &str, phase: v1::AuctionPhase) -> Result<(), Fault> {
        loop {
            let message = self.public.next().await?;
            if let Some(v1::stream_market_response::Event::Auction(it)) = message.event
                && it.auction_id == auction
                && it.phase() == phase
            {
                return Ok(());
            }
        }
    }

    /// The dispatch centre, for somebody who does not wait for others.
    fn centre(&self) -> Centre {
        Centre { client: self.dispatch.clone(), keys: self.keys.clone() }
    }

    /// Waits until the ledger holds everything that the clearing house was told.
    async fn booked(&self) {
        let node = self.running.node();
        let head = node.model.read(|state, _| state.head(merit_engine::event::Stream::Settlement));
        let Some(ledger) = self.running.ledger() else { return };
        while ledger.mark().seq < head {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }

    /// Orders one by one into an open session, each after the answer to the one before.
    async fn probe(&mut self, auction: &str, count: usize, until: impl Fn() -> bool) -> Result<Times, Fault> {
        let mut times = Times::default();
        while times.0.len() < count && !until() {
            let (id, order) = (self.id("p"), self.curve(auction, 0, 2));
            let begun = Instant::now();
            self.members[0].submit(id, order).await?;
            times.0.push(begun.elapsed());
        }
        Ok(times)
    }
}

fn session(number: i64) -> String {
    format!("RTM-{DAY}-{number:02}")
}

/// When a session delivers.
fn delivery_us(number: i64) -> i64 {
    parse_utc(MIDNIGHT).unwrap_or(0) + (number - 1) * 30 * MINUTE_US
}

/// Who pulls schedules.
struct Centre {
    client: Client,
    keys: ExchangeKeys,
}

impl Centre {
    /// Pulls the schedule and checks its signature; the number of its rows.
    async fn pull(&self, auction: &str) -> Result<usize, Fault> {
        let request = v1::GetSchedulesRequest { auction_id: Some(auction.into()), ..Default::default() };
        let found = self.client.get_schedules(request).await?.schedules;
        let schedule = found.first().ok_or("no schedule")?;
        self.keys.check_schedule(schedule)?;
        Ok(schedule.rows.len())
    }
}

/// What a session's gate sets off, by what is finished when.
#[derive(Default)]
struct Gates {
    published: Times,
    pulled: Times,
    booked: Times,
    written: Times,
    rows: usize,
}

impl Gates {
    async fn close(&mut self, market: &mut Market, number: i64) -> Result<(), Fault> {
        let name = session(number);
        let begun = Instant::now();
        market.move_to(delivery_us(number) - 60 * MINUTE_US);
        market.heard(&name, v1::AuctionPhase::Published).await?;
        self.published.0.push(begun.elapsed());
        self.rows += market.centre().pull(&name).await?;
        self.pulled.0.push(begun.elapsed());
        self.finish(market, begun).await
    }

    /// What comes after the schedule.
    async fn finish(&mut self, market: &mut Market, begun: Instant) -> Result<(), Fault> {
        market.booked().await;
        self.booked.0.push(begun.elapsed());
        if market.books {
            provisional(market).await?;
            write(market)?;
            self.written.0.push(begun.elapsed());
        }
        Ok(())
    }

    fn rows(&mut self, what: &str) {
        self.published.row(&format!("{what}: gate to published, verified, durable result"));
        self.pulled.row(&format!("{what}: gate to schedule pulled, its signature checked"));
        self.booked.row(&format!("{what}: gate to obligations and entries in the ledger"));
        if !self.written.0.is_empty() {
            self.written.row(&format!("{what}: gate to documents and pay-out file written"));
        }
    }
}

/// Opens a session and lets every portfolio enter its curve.
async fn open(market: &mut Market, number: i64) -> Result<(), Fault> {
    market.move_to(delivery_us(number) - 75 * MINUTE_US);
    market.heard(&session(number), v1::AuctionPhase::Open).await?;
    market.enter(&session(number), 2, 0).await?;
    market.capacities(&session(number)).await
}

/// The day-ahead auction: entry, gate, corridor request, with the sessions that close meanwhile; what is
/// left is the constrained run.
async fn day_ahead(
    market: &mut Market,
    blocks: usize,
    busy: &mut Gates,
    quiet: &mut Gates,
) -> Result<(), Fault> {
    // It opens with the gate of session 23 and closes with that of session 25.
    open(market, 23).await?;
    let opened = market.watch();
    quiet.close(market, 23).await?;
    until(opened, DAM, v1::AuctionPhase::Open, Instant::now()).await?;
    let begun = Instant::now();
    market.enter(DAM, 96, blocks).await?;
    one("day-ahead: all orders entered", begun.elapsed());
    open(market, 24).await?;
    quiet.close(market, 24).await?;
    open(market, 25).await?;
    let (session_25, centre) = (market.watch(), market.centre());
    let begun = Instant::now();
    // Its schedule is pulled when it is out, not when the corridor request is.
    let pulled = tokio::spawn(async move {
        let published = until(session_25, &session(25), v1::AuctionPhase::Published, begun).await?;
        let rows = centre.pull(&session(25)).await?;
        Ok::<_, Fault>((published, begun.elapsed(), rows))
    });
    market.move_to(delivery_us(25) - 60 * MINUTE_US);
    market.heard(DAM, v1::AuctionPhase::AwaitingCapacity).await?;
    one("day-ahead: gate to corridor request", begun.elapsed());
    let (published, pulled, rows) = pulled.await??;
    busy.published.0.push(published);
    busy.pulled.0.push(pulled);
    busy.rows += rows;
    busy.finish(market, begun).await?;
    open(market, 26).await?;
    quiet.close(market, 26).await
}

/// From the capacities to the final result, with order entry and gates of sessions in between; the number
/// of the next session.
async fn constrained(market: &mut Market, busy: &mut Gates, quiet: &mut Gates) -> Result<i64, Fault> {
    open(market, 27).await?;
    market.at(delivery_us(27) - 61 * MINUTE_US).await?;
    let watcher = market.watch();
    let begun = Instant::now();
    market.capacities(DAM).await?;
    let done = tokio::spawn(async move { until(watcher, DAM, v1::AuctionPhase::Published, begun).await });
    busy.close(market, 27).await?;
    let (mut entry, mut number) = (Times::default(), 28);
    while !done.is_finished() && number <= 30 {
        market.move_to(delivery_us(number) - 75 * MINUTE_US);
        market.heard(&session(number), v1::AuctionPhase::Open).await?;
        entry.0.extend(market.probe(&session(number), PROBES, || done.is_finished()).await?.0);
        market.enter(&session(number), 2, 0).await?;
        market.capacities(&session(number)).await?;
        let gates = if done.is_finished() { &mut *quiet } else { &mut *busy };
        gates.close(market, number).await?;
        number += 1;
    }
    one("day-ahead: capacities to final result", done.await??);
    entry.row("order entry while the day-ahead auction clears");
    let begun = Instant::now();
    let rows = market.centre().pull(DAM).await?;
    one(&format!("day-ahead: schedule of {rows} rows pulled, its signature checked"), begun.elapsed());
    market.booked().await;
    Ok(number)
}

/// How long after `begun` an auction is in a phase.
async fn until(
    mut events: Events<v1::StreamMarketResponse>,
    auction: &str,
    phase: v1::AuctionPhase,
    begun: Instant,
) -> Result<Duration, Fault> {
    loop {
        let message = events.next().await?;
        if let Some(v1::stream_market_response::Event::Auction(it)) = message.event
            && it.auction_id == auction
            && it.phase() == phase
        {
            return Ok(begun.elapsed());
        }
    }
}

/// A provisional settlement run of the day, until it is in the ledger.
async fn provisional(market: &mut Market) -> Result<(), Fault> {
    let request = v1::RunSettlementRequest {
        request_id: market.id("run"),
        delivery_day: DAY.into(),
        status: v1::RunStatus::Provisional.into(),
        ..Default::default()
    };
    let answer = market.house.run_settlement(request).await?;
    if let Some(refusal) = answer.answer.and_then(|it| it.refused) {
        return Err(format!("{refusal:?}").into());
    }
    market.booked().await;
    Ok(())
}

/// The pay-out file of the newest run.
fn pay_out(book: &Book, run: &v1::SettlementRun) -> Result<String, Fault> {
    let mut list = String::from("member,name,account,bank\n*,House,IN00HOUSE,HOUSEINBB\n");
    for member in 0..MEMBERS {
        let _ = writeln!(list, "M{member:02},Member {member},IN00M{member:02},BANKINBB");
    }
    Ok(bank::pay_out(book, run, &bank::accounts(&list)?, "2026-11-25")?)
}

/// Every document of the newest run and its pay-out file, from the journal to files.
fn write(market: &Market) -> Result<(), Fault> {
    let book = Book::read(&Disk::existing(&market.directory.join("data/journal")), &mut |_| {})?;
    let run = book.run(DAY, None).ok_or("no run")?;
    let out = market.directory.join("documents");
    for (name, bytes) in documents::files(&book, run, None, None) {
        let path = out.join(name);
        std::fs::create_dir_all(path.parent().ok_or("a directory")?)?;
        std::fs::write(path, bytes)?;
    }
    std::fs::write(out.join("pain.001.xml"), pay_out(&book, run)?)?;
    Ok(())
}

/// The settlement run of the day, its documents and its pay-out file.
async fn settle(market: &mut Market) -> Result<(), Fault> {
    market.at(delivery_us(49) + 60 * MINUTE_US).await?;
    let begun = Instant::now();
    provisional(market).await?;
    one("settlement run of the day, in the ledger", begun.elapsed());
    let begun = Instant::now();
    let book = Book::read(&Disk::existing(&market.directory.join("data/journal")), &mut |_| {})?;
    let run = book.run(DAY, None).ok_or("no run")?;
    one("the day's book read from the whole journal", begun.elapsed());
    let begun = Instant::now();
    let files = documents::files(&book, run, None, None);
    one(&format!("documents of {MEMBERS} members: {} files", files.len()), begun.elapsed());
    let begun = Instant::now();
    let xml = pay_out(&book, run)?;
    one(&format!("pay-out file of {} bytes", xml.len()), begun.elapsed());
    Ok(())
}

async fn run(portfolios: usize, blocks: usize, books: bool) -> Result<(), Fault> {
    let directory = tempfile::tempdir()?;
    let mut market = Market::start(directory.path(), portfolios, books).await?;
    println!("{portfolios} portfolios of {MEMBERS} members, {blocks} blocks; milliseconds");
    println!("{:<64} {:>5} {:>9} {:>9} {:>9}", "", "count", "p50", "p99", "max");
    market.at(parse_utc(BEGIN).ok_or("an instant")?).await?;
    let (mut quiet, mut busy) = (Gates::default(), Gates::default());
    let mut number = 1;
    while number <= 48 {
        if number == 23 {
            day_ahead(&mut market, blocks, &mut busy, &mut quiet).await?;
            number = constrained(&mut market, &mut busy, &mut quiet).await?;
            continue;
        }
        open(&mut market, number).await?;
        if number == 10 {
            market.probe(&session(number), PROBES, || false).await?.row("order entry, nothing else running");
        }
        quiet.close(&mut market, number).await?;
        number += 1;
    }
    quiet.rows("session");
    busy.rows("session while the day-ahead auction clears");
    println!("rows of schedules pulled: {} and {}", quiet.rows, busy.rows);
    settle(&mut market).await?;
    let head = market.running.node().inbox.status().head;
    println!("journal: {} records", head.seq);
    market.running.stop().await?;
    Ok(())
}

fn main() -> Result<(), Fault> {
    let mut words = std::env::args().skip(1);
    let portfolios = words.next().map_or(Ok(1_000), |it| it.parse())?;
    let blocks = words.next().map_or(Ok(1_000), |it| it.parse())?;
    tokio::runtime::Runtime::new()?.block_on(run(
        portfolios,
        blocks,
        words.next().is_some_and(|it| it == "books"),
    ))
}
