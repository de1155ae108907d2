//! What the door costs: `door_share [PAIRS [ORDERS [SHAPE [SERVER]]]]` (shape 0, 1 or 2, all without it; for a profile one of the
//! servers alone, 0, 1 or 2). Durable acknowledged orders a second over mutual TLS, as a share of bare servers that take
//! and answer the same messages, in turn in one run.
//!
//! Three servers in this process, the client on the same cores: **echo** answers at once; **skeleton** hands each
//! message over to a thread that writes 128 bytes an order, makes a batch of all that waits durable by one
//! fdatasync, and then answers (no market); **merit** is a node with its journal on disk. Three shapes: one order a
//! call with 64 calls at the same time, one order a message on four streams, a hundred a message on four streams.
//! Shares are taken pair by pair; the median and quartiles are printed, and the processor time of an order (client,
//! server and system together; and what merit's core and read model take until they are done), which neighbours change less. The last lines are one order at a time:
//! the bare round trip, the skeleton, merit, and fdatasync by itself.

use merit_client::{Client, Config as ClientConfig, orders, v1};
use merit_gateway::cli::certs::{self, Plan};
use merit_gateway::server::clock::{Clock, parse_utc};
use merit_gateway::server::config::{Config, Sources};
use merit_gateway::server::run::{Running, Substitutes};
use merit_gateway::server::tls::{self, TlsFiles};
use merit_replay::storage::disk::Disk;
use merit_replay::storage::{Storage as _, StorageFile, write_all_at, write_zeros};
use std::fmt::Write as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};
use v1::member_service_server::{MemberService, MemberServiceServer};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MEMBERS: usize = 4;
/// Calls at the same time, over the members' connections.
const CALLS: usize = 64;
/// Orders that one stream may have on their way.
const WINDOW: usize = 1_024;
const RECORD_BYTES: usize = 128;
const FILE_BYTES: u64 = 64 << 20;
/// A session that is open, under rules that take more orders of a member than the preset's.
const SESSION: &str = "RTM-2026-11-26-01";
const OPEN: &str = "2026-11-25T17:20:00Z";

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A message's orders on their way to the thread that makes them durable.
type Handed = (usize, oneshot::Sender<()>);

/// A server without a market.
#[derive(Clone)]
struct Bare {
    journal: Option<crossbeam::channel::Sender<Handed>>,
}

fn answers<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<v1::OrderAnswer> {
    let answer = |id: &str| v1::OrderAnswer {
        client_order_id: id.to_owned(),
        replayed: false,
        outcome: Some(v1::order_answer::Outcome::Accepted(v1::Accepted {
            order_id: Some(4_711),
            version: Some(1),
            cancelled: None,
        })),
        seq: Some(4_712),
        time: Some(prost_types::Timestamp { seconds: 1_795_305_600, nanos: 1_000 }),
    };
    ids.map(answer).collect()
}

fn gone<T>(_: T) -> Status {
    Status::unavailable("the bench is over")
}

impl Bare {
    /// What to wait for until so many orders are durable.
    fn hand_over(&self, orders: usize) -> Result<Option<oneshot::Receiver<()>>, Status> {
        let Some(journal) = &self.journal else { return Ok(None) };
        let (done, durable) = oneshot::channel();
        journal.send((orders, done)).map_err(gone)?;
        Ok(Some(durable))
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl MemberService for Bare {
    type OrderEntryStream = Answers<v1::OrderEntryResponse>;
    type StreamEventsStream = Answers<v1::StreamEventsResponse>;

    async fn submit_order(
        &self,
        request: Request<v1::SubmitOrderRequest>,
    ) -> Result<Response<v1::SubmitOrderResponse>, Status> {
        if let Some(durable) = self.hand_over(1)? {
            durable.await.map_err(gone)?;
        }
        let asked = request.into_inner();
        let answer = answers(std::iter::once(asked.client_order_id.as_str())).pop();
        Ok(Response::new(v1::SubmitOrderResponse { answer }))
    }

    async fn order_entry(
        &self,
        request: Request<Streaming<v1::OrderEntryRequest>>,
    ) -> Result<Response<Self::OrderEntryStream>, Status> {
        let mut messages = request.into_inner();
        let (handed, mut waiting) = mpsc::channel(256);
        let (out, answered) = mpsc::channel(16);
        let bare = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                let Ok(durable) = bare.hand_over(message.commands.len()) else { return };
                if handed.send((message.commands, durable)).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            while let Some((commands, durable)) = waiting.recv().await {
                if let Some(durable) = durable
                    && durable.await.is_err()
                {
                    return;
                }
                let answers = answers(commands.iter().map(|it| it.client_order_id.as_str()));
                let response = v1::OrderEntryResponse { answers, ..Default::default() };
                if out.send(Ok(response)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answered))))
    }

    async fn amend_order(
        &self,
        _: Request<v1::AmendOrderRequest>,
    ) -> Result<Response<v1::AmendOrderResponse>, Status> {
        Err(Status::unimplemented("bare"))
    }

    async fn cancel_order(
        &self,
        _: Request<v1::CancelOrderRequest>,
    ) -> Result<Response<v1::CancelOrderResponse>, Status> {
        Err(Status::unimplemented("bare"))
    }

    async fn cancel_all(
        &self,
        _: Request<v1::CancelAllRequest>,
    ) -> Result<Response<v1::CancelAllResponse>, Status> {
        Err(Status::unimplemented("bare"))
    }

    async fn submit_batch(
        &self,
        _: Request<v1::SubmitBatchRequest>,
    ) -> Result<Response<v1::SubmitBatchResponse>, Status> {
        Err(Status::unimplemented("bare"))
    }

    async fn dry_run(&self, _: Request<v1::DryRunRequest>) -> Result<Response<v1::DryRunResponse>, Status> {
        Err(Status::unimplemented("bare"))
    }

    async fn list_orders(
        &self,
        _: Request<v1::ListOrdersRequest>,
    ) -> Result<Response<v1::ListOrdersResponse>, Status> {
        Err(Status::unimplemented("bare"))
    }

    async fn get_order(
        &self,
        _: Request<v1::GetOrderRequest>,
    ) -> Result<Response<v1::GetOrderResponse>, Status> {
        Err(Status::unimplemented("bare"))
    }

    async fn explain(&self, _: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        Err(Status::unimplemented("bare"))
    }

    async fn stream_events(
        &self,
        _: Request<v1::StreamEventsRequest>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        Err(Status::unimplemented("bare"))
    }

    async fn get_limits(
        &self,
        _: Request<v1::GetLimitsRequest>,
    ) -> Result<Response<v1::GetLimitsResponse>, Status> {
        Err(Status::unimplemented("bare"))
    }

    async fn who_am_i(&self, _: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIResponse>, Status> {
        Err(Status::unimplemented("bare"))
    }
}

/// Makes everything that waits durable, again and again.
fn journal(directory: &Path) -> Result<crossbeam::channel::Sender<Handed>, Fault> {
    let mut file: Box<dyn StorageFile> = Disk::existing(directory).open("bare", true)?;
    write_zeros(&mut *file, 0, FILE_BYTES)?;
    file.sync()?;
    let (sender, inbox) = crossbeam::channel::bounded::<Handed>(65_536);
    std::thread::spawn(move || {
        let (record, mut bytes, mut at) = (vec![0x5a_u8; RECORD_BYTES], Vec::new(), 0);
        while let Ok(first) = inbox.recv() {
            let mut all = vec![first];
            let mut orders = all[0].0;
            while orders < 4_096
                && let Ok(more) = inbox.try_recv()
            {
                orders += more.0;
                all.push(more);
            }
            bytes.clear();
            (0..orders).for_each(|_| bytes.extend_from_slice(&record));
            let length = u64::try_from(bytes.len()).unwrap_or(0);
            if at + length > FILE_BYTES {
                at = 0;
            }
            write_all_at(&mut *file, at, &bytes).expect("a disk that writes");
            file.sync().expect("a disk that syncs");
            at += length;
            for (_, done) in all {
                let _ = done.send(());
            }
        }
    });
    Ok(sender)
}

/// A connection as tonic takes it, with nothing of ours around it.
struct Bared(TlsStream<TcpStream>);

impl Connected for Bared {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Bared {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Bared {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

async fn bare(
    files: &TlsFiles,
    journal: Option<crossbeam::channel::Sender<Handed>>,
) -> Result<String, Fault> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://localhost:{}", listener.local_addr()?.port());
    let acceptor = TlsAcceptor::from(tls::server_config(files)?);
    let (sender, incoming) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let stream = acceptor.accept(stream).await.map(Bared);
            if sender.send(stream).await.is_err() {
                return;
            }
        }
    });
    let incoming = ReceiverStream::new(incoming);
    let server = tonic::transport::Server::builder()
        .max_concurrent_streams(Some(256))
        .add_service(MemberServiceServer::new(Bare { journal }));
    tokio::spawn(server.serve_with_incoming(incoming));
    Ok(url)
}

fn registry() -> String {
    let mut text = String::new();
    for member in 0..MEMBERS {
        let _ = write!(
            text,
            "[[member]]\ncode = \"M{member}\"\nname = \"Member {member}\"\ncollateral_minor = 10_000_000_000_000\n\
             [[member.user]]\nname = \"M{member}-trader\"\nrole = \"trader\"\ncertificate = \"M{member}-trader.pem\"\n\
             [[member.portfolio]]\ncode = \"P{member}\"\n"
        );
    }
    text + "[[user]]\nname = \"operator\"\nrole = \"operator\"\ncertificate = \"operator.pem\"\n"
}

/// A node with an open session that takes any number of orders.
async fn merit(directory: &Path, certificates: &Path) -> Result<(Running, String), Fault> {
    let file = |name: &str| certificates.join(name).display().to_string();
    let flags = [
        ("listen.address", "127.0.0.1:0".to_owned()),
        ("node.data", directory.join("data").display().to_string()),
        ("tls.certificate", file("server.pem")),
        ("tls.key", file("server.key")),
        ("tls.client_ca", file("authority.pem")),
        ("bootstrap.rules", "india".to_owned()),
        ("bootstrap.effective_from", "2026-11-23".to_owned()),
        ("bootstrap.registry", file("registry.toml")),
    ];
    let flags = flags.map(|(key, value)| (key.to_owned(), value)).to_vec();
    let config = Config::load(&Sources { flags, ..Sources::default() }).map_err(|it| format!("{it:?}"))?;
    let clock = Some(Clock::manual(parse_utc("2026-11-23T04:00:00Z").ok_or("an instant")?));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let running = Running::start(&config, listener, Substitutes { clock, ..Substitutes::default() }).await?;
    let url = format!("https://localhost:{}", running.address().port());
    let operator = client(&url, certificates, "operator")?;
    let asked = v1::GetMarketRulesRequest { market: v1::Market::Rtm.into(), delivery_day: None };
    let mut rules = operator.get_market_rules(asked).await?.rules.ok_or("no rules")?;
    rules.effective_from = "2026-11-26".into();
    rules.limits.get_or_insert_default().orders_per_member_max = 4_000_000;
    let asked = v1::SetMarketRulesRequest { request_id: "more".into(), rules: Some(rules) };
    if let Some(refusal) = operator.set_market_rules(asked).await?.answer.and_then(|it| it.refused) {
        return Err(format!("{refusal:?}").into());
    }
    assert!(running.move_clock(parse_utc(OPEN).ok_or("an instant")?), "the clock is moved by hand");
    Ok((running, url))
}

fn client(url: &str, certificates: &Path, user: &str) -> Result<Client, Fault> {
    let file = |ending: &str| certificates.join(format!("{user}.{ending}"));
    let authority = certificates.join("authority.pem");
    Ok(Client::new(ClientConfig::mutual_tls(&[url], authority, file("pem"), file("key")))?)
}

/// A server, and every member's connection to it.
struct Target {
    members: Vec<Client>,
}

impl Target {
    async fn new(url: &str, certificates: &Path) -> Result<Self, Fault> {
        let member = |it| client(url, certificates, &format!("M{it}-trader"));
        let target = Self { members: (0..MEMBERS).map(member).collect::<Result<_, _>>()? };
        // Until the session is open.
        for member in 0..MEMBERS {
            let until = Instant::now() + Duration::from_secs(60);
            while !accepted(&target.members[member].submit(id(), order(member)).await?) {
                if Instant::now() > until {
                    return Err("the session does not open".into());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(target)
    }

    /// Orders a second of so many, one a call.
    async fn calls(&self, count: usize) -> Result<f64, Fault> {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for call in 0..CALLS {
            let mut service = self.members[call % MEMBERS].member();
            tasks.spawn(async move {
                for _ in 0..count / CALLS {
                    let order = Some(order(call % MEMBERS));
                    let asked = v1::SubmitOrderRequest { client_order_id: id(), order };
                    let answer = service.submit_order(asked).await?.into_inner().answer;
                    if !answer.is_some_and(|it| accepted(&it)) {
                        return Err(Fault::from("an order was not accepted"));
                    }
                }
                Ok(())
            });
        }
        join(tasks).await?;
        Ok(per_second(count / CALLS * CALLS, begun))
    }

    /// Orders a second of so many, so many a message, each member on a stream of its own.
    async fn streams(&self, count: usize, batch: usize) -> Result<f64, Fault> {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        let messages = count / MEMBERS / batch;
        for member in 0..MEMBERS {
            let mut service = self.members[member].member();
            tasks.spawn(async move {
                let window = Arc::new(Semaphore::new(WINDOW / batch));
                let (sender, outgoing) = mpsc::channel(16);
                let places = Arc::clone(&window);
                let sending = tokio::spawn(async move {
                    for _ in 0..messages {
                        let Ok(place) = places.acquire().await else { return };
                        place.forget();
                        let commands = (0..batch).map(|_| orders::submit(id(), order(member))).collect();
                        if sender.send(v1::OrderEntryRequest { commands }).await.is_err() {
                            return;
                        }
                    }
                });
                let mut incoming = service.order_entry(ReceiverStream::new(outgoing)).await?.into_inner();
                let mut answered = 0;
                while answered < messages * batch {
                    let message = incoming.next().await.ok_or("the stream ended")??;
                    if !message.answers.iter().all(accepted) {
                        return Err(Fault::from(format!("not accepted: {:?}", message.answers.first())));
                    }
                    let before = answered / batch;
                    answered += message.answers.len();
                    window.add_permits(answered / batch - before);
                }
                sending.await?;
                Ok(())
            });
        }
        join(tasks).await?;
        Ok(per_second(messages * batch * MEMBERS, begun))
    }

    /// Times of orders one after the other.
    async fn lone(&self, count: usize) -> Result<Vec<Duration>, Fault> {
        let mut service = self.members[0].member();
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let asked = v1::SubmitOrderRequest { client_order_id: id(), order: Some(order(0)) };
            let begun = Instant::now();
            service.submit_order(asked).await?;
            times.push(begun.elapsed());
        }
        Ok(times)
    }
}

async fn join(mut tasks: JoinSet<Result<(), Fault>>) -> Result<(), Fault> {
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

fn per_second(count: usize, begun: Instant) -> f64 {
    u32::try_from(count).map_or(0.0, f64::from) / begun.elapsed().as_secs_f64()
}

/// Threads whose processor time is told by itself. Only merit has them, and what they do lasts beyond its turn.
const OWN: [&str; 3] = ["core", "read-model", "read-model-rows"];

/// Processor time of this process's threads so far: of all, and of [`OWN`].
fn processor() -> Result<[f64; 4], Fault> {
    let mut seconds = [0.0; 4];
    for task in std::fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        // A thread may have ended meanwhile.
        let Ok(text) = std::fs::read_to_string(path.join("schedstat")) else { continue };
        let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        let ns: f64 = text.split(' ').next().unwrap_or_default().parse()?;
        let own = OWN.iter().position(|it| *it == name.trim()).map(|it| it + 1);
        for index in std::iter::once(0).chain(own) {
            seconds[index] += ns / 1e9;
        }
    }
    Ok(seconds)
}

/// The same when those threads have nothing to do any more, or ten seconds later.
async fn settled() -> Result<[f64; 4], Fault> {
    let mut before = processor()?;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = processor()?;
        if now[1..].iter().sum::<f64>() - before[1..].iter().sum::<f64>() < 0.005 {
            return Ok(now);
        }
        before = now;
    }
    Ok(before)
}

/// What each server has taken for so many orders, and what merit's own threads have from the first to the last.
fn tell_processor(taken: &[[f64; 4]; 3], own: [f64; 4], orders: usize) -> Result<(), Fault> {
    let orders = f64::from(u32::try_from(orders)?);
    let micros = |seconds: f64| seconds * 1e6 / orders;
    println!(
        "  processor, us an order: echo {:.2}, skeleton {:.2}, merit {:.2}; in all: core {:.2}, read model {:.2}, its rows {:.2}",
        micros(taken[0][0]),
        micros(taken[1][0]),
        micros(taken[2][0]),
        micros(own[1]),
        micros(own[2]),
        micros(own[3])
    );
    Ok(())
}

fn id() -> String {
    format!("o-{}", NEXT_ID.fetch_add(1, Ordering::Relaxed))
}

fn order(member: usize) -> v1::NewOrder {
    let rows: [(u32, &[(i64, i64)]); 1] = [(1, &[(2_500_000_000, 100_000)])];
    orders::step(SESSION, &format!("P{member}"), "N1", v1::Side::Sell, &rows)
}

fn accepted(answer: &v1::OrderAnswer) -> bool {
    matches!(answer.outcome, Some(v1::order_answer::Outcome::Accepted(_)))
}

fn at(sorted: &[f64], share: usize) -> f64 {
    sorted.get((sorted.len().saturating_sub(1)) * share / 100).copied().unwrap_or_default()
}

/// The median of some numbers, and their quartiles in words; of none a dash.
fn spread(mut numbers: Vec<f64>, decimals: usize) -> String {
    if numbers.is_empty() {
        return "-".to_owned();
    }
    numbers.sort_by(f64::total_cmp);
    let [low, middle, high] = [25, 50, 75].map(|share| at(&numbers, share));
    format!("{middle:.decimals$} ({low:.decimals$}, {high:.decimals$})")
}

#[derive(Clone, Copy)]
enum Shape {
    Calls,
    Single,
    Hundred,
}

async fn run(pairs: usize, orders: usize, only: Option<usize>, alone: Option<usize>) -> Result<(), Fault> {
    let directory = tempfile::tempdir()?;
    let certificates = directory.path().join("certs");
    let users: Vec<String> = (0..MEMBERS).map(|it| format!("M{it}")).collect();
    certs::make(&Plan::new(certificates.clone(), &users, vec![], 2)?, SystemTime::now())?;
    std::fs::write(certificates.join("registry.toml"), registry())?;
    let files = TlsFiles {
        certificate: certificates.join("server.pem"),
        key: certificates.join("server.key"),
        client_authority: certificates.join("authority.pem"),
    };
    let echo = Target::new(&bare(&files, None).await?, &certificates).await?;
    let skeleton = journal(directory.path())?;
    let skeleton = Target::new(&bare(&files, Some(skeleton)).await?, &certificates).await?;
    let (running, url) = merit(directory.path(), &certificates).await?;
    let merit = Target::new(&url, &certificates).await?;
    println!("{pairs} rounds; orders/s and shares: median (quartiles)");
    println!(
        "{:<24}{:>26}{:>26}{:>26}{:>20}{:>20}",
        "", "echo", "skeleton", "merit", "of echo", "of skeleton"
    );
    let shapes = [
        ("a call, 64 at a time", Shape::Calls, orders),
        ("1 a message, 4 streams", Shape::Single, orders * 2),
        ("100 a message", Shape::Hundred, orders * 4),
    ];
    let wanted = shapes.into_iter().enumerate().filter(|(index, _)| only.is_none_or(|it| it == *index));
    for (_, (name, shape, count)) in wanted {
        let mut found: [Vec<f64>; 3] = Default::default();
        let mut taken = [[0.0; 4]; 3];
        let begun = settled().await?;
        for round in 0..pairs {
            for turn in 0..3 {
                let which = (round + turn) % 3;
                if alone.is_some_and(|it| it != which) {
                    continue;
                }
                let target = [&echo, &skeleton, &merit][which];
                let before = processor()?;
                found[which].push(match shape {
                    Shape::Calls => target.calls(count).await?,
                    Shape::Single => target.streams(count, 1).await?,
                    Shape::Hundred => target.streams(count, 100).await?,
                });
                let after = processor()?;
                taken[which].iter_mut().zip(after.iter().zip(before)).for_each(|(sum, (b, a))| *sum += b - a);
            }
        }
        let share = |of: usize| found[2].iter().zip(&found[of]).map(|(mine, bare)| mine / bare).collect();
        println!(
            "{name:<24}{:>26}{:>26}{:>26}{:>20}{:>20}",
            spread(found[0].clone(), 0),
            spread(found[1].clone(), 0),
            spread(found[2].clone(), 0),
            spread(share(0), 2),
            spread(share(1), 2)
        );
        let ended = settled().await?;
        tell_processor(&taken, std::array::from_fn(|it| ended[it] - begun[it]), count * pairs)?;
    }
    let micros = |times: Vec<Duration>| spread(times.iter().map(|it| it.as_secs_f64() * 1e6).collect(), 0);
    println!("one after the other, us: bare round trip {}", micros(echo.lone(2_000).await?));
    println!("one after the other, us: skeleton {}", micros(skeleton.lone(2_000).await?));
    println!("one after the other, us: merit {}", micros(merit.lone(2_000).await?));
    println!("fdatasync of one record, us: {}", micros(syncs(directory.path())?));
    running.stop().await?;
    Ok(())
}

fn syncs(directory: &Path) -> Result<Vec<Duration>, Fault> {
    let mut file = Disk::existing(directory).open("syncs", true)?;
    write_zeros(&mut *file, 0, 1 << 20)?;
    file.sync()?;
    let one = |number: u64| {
        write_all_at(&mut *file, number * 128, &[0x5a; RECORD_BYTES])?;
        let begun = Instant::now();
        file.sync()?;
        Ok(begun.elapsed())
    };
    (0..2_000).map(one).collect()
}

fn main() -> Result<(), Fault> {
    let mut words = std::env::args().skip(1);
    let pairs = words.next().map_or(Ok(9), |it| it.parse())?;
    let orders = words.next().map_or(Ok(10_000), |it| it.parse())?;
    let shape = words.next().map(|it| it.parse()).transpose()?;
    let alone = words.next().map(|it| it.parse()).transpose()?;
    tokio::runtime::Runtime::new()?.block_on(run(pairs, orders, shape, alone))
}
