//! Who takes part in the demo's day, and how each reaches the exchange: over mutual TLS, with a
//! certificate of its own, as anybody would from outside.

use super::crowd::{AREAS, Crowd};
use super::orders::{Batches, Session, batches};
use crate::cli::certs::Made;
use anyhow::Context as _;
use merit_client::v1::operator_service_client::OperatorServiceClient;
use merit_client::{Client, Config, v1};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Collateral of each member, millionths of a rupee: 1,000 million Rs cover what any of them can owe for a
/// day at the price cap.
const COLLATERAL_MICROS: i64 = 1_000_000_000_000_000;
/// Registrations and first connections at the same time.
const AT_ONCE: usize = 32;

/// Everybody.
pub(super) struct Crew {
    /// The exchange's operator.
    pub(super) operator: Client,
    /// The grid dispatch centre.
    pub(super) dispatch: Client,
    /// The clearing house.
    pub(super) settlement: Client,
    /// One for each member of the crowd, in its order.
    pub(super) members: Vec<Client>,
}

/// What came of a session's sending.
#[derive(Debug)]
pub(super) struct Sent {
    /// Commands answered.
    pub(super) commands: u64,
    /// Curves in them, one for each block.
    pub(super) curves: u64,
    /// Orders acknowledged: their numbers, by client order id.
    pub(super) orders: BTreeMap<String, u64>,
    /// Commands refused, and why.
    pub(super) refused: Vec<(String, v1::RejectReason)>,
    /// Commands by what they did: entered, amended, taken back.
    pub(super) amended: u64,
    /// See [`Self::amended`].
    pub(super) cancelled: u64,
    /// How long each batch took.
    pub(super) answered: Vec<Duration>,
    /// From the first to the last.
    pub(super) took: Duration,
}

impl Sent {
    fn new() -> Self {
        Self {
            commands: 0,
            curves: 0,
            orders: BTreeMap::new(),
            refused: Vec::new(),
            amended: 0,
            cancelled: 0,
            answered: Vec::new(),
            took: Duration::ZERO,
        }
    }

    fn add(&mut self, other: Self) {
        self.commands += other.commands;
        self.curves += other.curves;
        self.orders.extend(other.orders);
        self.refused.extend(other.refused);
        self.amended += other.amended;
        self.cancelled += other.cancelled;
        self.answered.extend(other.answered);
    }
}

impl Crew {
    /// Makes the connections (each dials at its first call). Certificates are files of `certs`.
    pub(super) fn new(endpoint: &str, certs: &Path, crowd: &Crowd) -> anyhow::Result<Self> {
        let client = |name: &str| {
            let file = |ending: &str| certs.join(format!("{name}.{ending}"));
            let config =
                Config::mutual_tls(&[endpoint], certs.join("authority.pem"), file("pem"), file("key"));
            Client::new(config).with_context(|| format!("cannot connect as {name}"))
        };
        Ok(Self {
            operator: client("operator")?,
            dispatch: client("dispatch")?,
            settlement: client("settlement")?,
            members: crowd.members.iter().map(|it| client(&user(&it.code))).collect::<Result<_, _>>()?,
        })
    }

    /// The operator registers everybody: members, then portfolios, then users with the fingerprints of
    /// their certificates. Returns the number of registrations.
    pub(super) async fn register(
        &self,
        crowd: &Crowd,
        made: &[Made],
        mut done: impl FnMut(u64),
    ) -> anyhow::Result<u64> {
        let mut count = 0;
        for wave in [members(crowd), portfolios(crowd), users(crowd, made)?] {
            let room = Arc::new(Semaphore::new(AT_ONCE));
            let mut tasks = JoinSet::new();
            for request in wave {
                let (operator, room) = (self.operator.clone(), Arc::clone(&room));
                tasks.spawn(async move {
                    let _place = room.acquire_owned().await?;
                    request.send(&operator).await
                });
            }
            while let Some(ended) = tasks.join_next().await {
                ended??;
                count += 1;
                done(count);
            }
        }
        Ok(count)
    }

    /// Every member connects; says the number of those that the exchange knows as who they are.
    pub(super) async fn connect(&self, crowd: &Crowd) -> anyhow::Result<usize> {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks = JoinSet::new();
        for (client, member) in self.members.iter().zip(&crowd.members) {
            let (client, code, room) = (client.clone(), member.code.clone(), Arc::clone(&room));
            tasks.spawn(async move {
                let _place = room.acquire_owned().await?;
                let me = client.who_am_i().await.with_context(|| format!("{code} cannot connect"))?;
                anyhow::ensure!(me.member.as_deref() == Some(&code), "{code} is taken for {me:?}");
                Ok(())
            });
        }
        let mut connected = 0;
        while let Some(ended) = tasks.join_next().await {
            ended??;
            connected += 1;
        }
        Ok(connected)
    }

    /// Every member sends what it has for a session, all at the same time.
    pub(super) async fn send(
        &self,
        crowd: &Crowd,
        session: Session<'_>,
        mut progress: impl FnMut(u64, u64),
    ) -> anyhow::Result<Sent> {
        let mut tasks = JoinSet::new();
        let begun = Instant::now();
        for (number, client) in (0..).zip(&self.members) {
            let work = batches(crowd, number, session);
            if !work.is_empty() {
                tasks.spawn(send_one(client.clone(), work));
            }
        }
        let (mut sent, mut members) = (Sent::new(), 0);
        while let Some(ended) = tasks.join_next().await {
            sent.add(ended??);
            members += 1;
            progress(members, sent.commands);
        }
        sent.took = begun.elapsed();
        Ok(sent)
    }
}

/// Name of the one user of a member.
pub(super) fn user(member: &str) -> String {
    format!("{member}-trader")
}

async fn send_one(client: Client, work: Batches) -> anyhow::Result<Sent> {
    let mut sent = Sent::new();
    for batch in work {
        sent.curves += batch.iter().map(curves).sum::<u64>();
        let begun = Instant::now();
        let asked: Vec<(String, Asked)> =
            batch.iter().map(|it| (it.client_order_id.clone(), Asked::of(it))).collect();
        let answers = client.batch(batch).await?;
        sent.answered.push(begun.elapsed());
        anyhow::ensure!(answers.len() == asked.len(), "{} answers to {} commands", answers.len(), asked.len());
        for ((id, asked), answer) in asked.into_iter().zip(answers) {
            anyhow::ensure!(answer.client_order_id == id, "answer to {} for {id}", answer.client_order_id);
            sent.take(id, asked, answer)?;
        }
    }
    Ok(sent)
}

/// How many curves a command brings.
fn curves(command: &v1::OrderCommand) -> u64 {
    use v1::order_command::Command;
    let periods = match &command.command {
        Some(Command::Submit(it)) => match &it.body {
            Some(v1::new_order::Body::Step(it)) => it.periods.len(),
            Some(v1::new_order::Body::Linear(it)) => it.periods.len(),
            Some(v1::new_order::Body::Block(_) | v1::new_order::Body::Complex(_)) | None => 0,
        },
        Some(Command::Amend(it)) => match &it.body {
            Some(v1::amend_order::Body::Step(it)) => it.periods.len(),
            Some(v1::amend_order::Body::Linear(it)) => it.periods.len(),
            Some(v1::amend_order::Body::Block(_) | v1::amend_order::Body::Complex(_)) | None => 0,
        },
        Some(Command::Cancel(_) | Command::CancelAll(_)) | None => 0,
    };
    u64::try_from(periods).unwrap_or(u64::MAX)
}

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Entry,
    Amendment,
    Cancellation,
}

impl Asked {
    fn of(command: &v1::OrderCommand) -> Self {
        use v1::order_command::Command;
        match &command.command {
            Some(Command::Submit(_)) | None => Self::Entry,
            Some(Command::Amend(_)) => Self::Amendment,
            Some(Command::Cancel(_) | Command::CancelAll(_)) => Self::Cancellation,
        }
    }
}

impl Sent {
    fn take(&mut self, id: String, asked: Asked, answer: v1::OrderAnswer) -> anyhow::Result<()> {
        use v1::order_answer::Outcome;
        self.commands += 1;
        match answer.outcome.context("an answer without an outcome")? {
            Outcome::Refused(refusal) => self.refused.push((id, refusal.reason())),
            Outcome::Accepted(accepted) => match asked {
                Asked::Entry => {
                    let order = accepted.order_id.context("an accepted order without a number")?;
                    self.orders.insert(id, order);
                }
                Asked::Amendment => self.amended += 1,
                Asked::Cancellation => self.cancelled += 1,
            },
        }
        Ok(())
    }
}

/// A registration to be made.
enum Registration {
    Member(v1::RegisterMemberRequest),
    Portfolio(v1::RegisterPortfolioRequest),
    User(v1::RegisterUserRequest),
    Deposit(v1::DepositRequest),
}

impl Registration {
    async fn send(self, operator: &Client) -> anyhow::Result<()> {
        let answer = match self {
            Self::Member(request) => {
                let send = |line| {
                    let (mut door, request) = (OperatorServiceClient::new(line), request.clone());
                    async move { door.register_member(request).await }
                };
                operator.call(send).await?.answer
            }
            Self::Portfolio(request) => {
                let send = |line| {
                    let (mut door, request) = (OperatorServiceClient::new(line), request.clone());
                    async move { door.register_portfolio(request).await }
                };
                operator.call(send).await?.answer
            }
            Self::User(request) => {
                let send = |line| {
                    let (mut door, request) = (OperatorServiceClient::new(line), request.clone());
                    async move { door.register_user(request).await }
                };
                operator.call(send).await?.answer
            }
            Self::Deposit(request) => operator.deposit(request).await?.answer,
        };
        accepted(answer)
    }
}

/// Whether a request was carried out.
pub(super) fn accepted(answer: Option<v1::RequestAnswer>) -> anyhow::Result<()> {
    let answer = answer.context("a response without an answer")?;
    match answer.refused {
        Some(refusal) => anyhow::bail!("{} was refused: {}", answer.request_id, refusal.text),
        None => Ok(()),
    }
}

fn members(crowd: &Crowd) -> Vec<Registration> {
    let member = |it: &super::crowd::Member| {
        Registration::Member(v1::RegisterMemberRequest {
            request_id: format!("member-{}", it.code),
            member: it.code.clone(),
            name: format!("{} ({})", it.code, it.kind.plural()),
        })
    };
    crowd.members.iter().map(member).collect()
}

/// And what every member deposits.
fn portfolios(crowd: &Crowd) -> Vec<Registration> {
    let portfolio = |it: &super::crowd::Portfolio| {
        Registration::Portfolio(v1::RegisterPortfolioRequest {
            request_id: format!("portfolio-{}", it.code),
            member: crowd.members[usize::from(it.member)].code.clone(),
            portfolio: it.code.clone(),
            areas: vec![AREAS[usize::from(it.area)].to_owned()],
        })
    };
    let deposit = |it: &super::crowd::Member| {
        Registration::Deposit(v1::DepositRequest {
            request_id: format!("deposit-{}", it.code),
            member: it.code.clone(),
            amount_micros: COLLATERAL_MICROS,
        })
    };
    crowd.portfolios.iter().map(portfolio).chain(crowd.members.iter().map(deposit)).collect()
}

/// The members' users, the dispatch centre's and the clearing house's. The operator is there already:
/// somebody has to be.
fn users(crowd: &Crowd, made: &[Made]) -> anyhow::Result<Vec<Registration>> {
    let fingerprints: BTreeMap<&str, &[u8; 32]> =
        made.iter().map(|it| (it.name.as_str(), &it.fingerprint)).collect();
    let registration = |name: String, role: v1::Role, member: Option<String>| {
        let fingerprint =
            fingerprints.get(name.as_str()).with_context(|| format!("{name} has no certificate"))?;
        Ok(Registration::User(v1::RegisterUserRequest {
            request_id: format!("user-{name}"),
            user: name,
            certificate_sha256: fingerprint.to_vec(),
            role: role.into(),
            member,
            portfolios: Vec::new(),
        }))
    };
    let own = [("dispatch", v1::Role::Dispatch), ("settlement", v1::Role::Settlement)];
    let own = own.into_iter().map(|(name, role)| registration(name.to_owned(), role, None));
    let traders = crowd.members.iter();
    let traders = traders.map(|it| registration(user(&it.code), v1::Role::Trader, Some(it.code.clone())));
    own.chain(traders).collect()
}

/// Every order number of a list of sessions, each once.
pub(super) fn all_orders(sent: &[BTreeMap<String, u64>]) -> anyhow::Result<BTreeSet<u64>> {
    let mut all = BTreeSet::new();
    for (id, order) in sent.iter().flatten() {
        anyhow::ensure!(all.insert(*order), "order number {order} was given twice, also to {id}");
    }
    Ok(all)
}
