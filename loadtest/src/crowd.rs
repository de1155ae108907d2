//! The members: one certificate each, one or more connections each, and what the exchange shows them.

use crate::Fault;
use crate::ledger::{Ids, Outcome, Sent};
use crate::referee::Shown;
use crate::schedule::Random;
use crate::shape::{Place, Shape};
use merit_client::{Client, Config, orders, v1};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the exchange is and who calls.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) endpoints: Vec<String>,
    /// `authority.pem`, and for each user `NAME.pem` and `NAME.key`.
    pub(crate) certs: PathBuf,
    pub(crate) server_name: Option<String>,
}

impl Access {
    pub(crate) fn client(&self, user: &str) -> Result<Client, Fault> {
        let endpoints: Vec<&str> = self.endpoints.iter().map(String::as_str).collect();
        let file = |name: &str, kind: &str| self.certs.join(format!("{name}.{kind}"));
        let mut config =
            Config::mutual_tls(&endpoints, file("authority", "pem"), file(user, "pem"), file(user, "key"));
        if let Some(name) = &self.server_name {
            config = config.server_name(name);
        }
        Ok(Client::new(config)?)
    }
}

/// A trader.
pub(crate) struct Trader {
    pub(crate) user: String,
    pub(crate) member: String,
    pub(crate) portfolios: Vec<String>,
    pub(crate) places: Vec<Place>,
    /// One for each connection.
    pub(crate) clients: Vec<Client>,
    /// Last event of the member before the run.
    pub(crate) head: u64,
}

/// Finds the traders among the certificates of a directory and connects them; one trader for each member.
pub(crate) async fn gather(
    access: &Access,
    members: usize,
    connections: usize,
) -> Result<Vec<Trader>, Fault> {
    let mut traders: Vec<Trader> = Vec::new();
    let mut last = None;
    for user in users(&access.certs)? {
        if traders.len() == members {
            break;
        }
        let client = access.client(&user)?;
        let me = match client.who_am_i().await {
            Ok(me) => me,
            Err(error) => {
                last = Some(format!("{user}: {error}"));
                continue;
            }
        };
        let Some(member) = me.member.clone().filter(|_| me.role() == v1::Role::Trader) else { continue };
        if traders.iter().any(|it| it.member == member) {
            continue;
        }
        let head = me.position.map_or(0, |it| it.head_seq);
        let (portfolios, clients) = (me.portfolios, vec![client]);
        traders.push(Trader { user, member, portfolios, places: Vec::new(), clients, head });
    }
    if traders.is_empty() {
        let last = last.unwrap_or_else(|| "there is no certificate of a trader".to_string());
        return Err(format!("{}: nobody can trade: {last}", access.certs.display()).into());
    }
    if traders.len() < members {
        let found = traders.len();
        return Err(format!("{members} members wanted, {found} found in {}", access.certs.display()).into());
    }
    for at in members..connections {
        let trader = &mut traders[at % members];
        let client = access.client(&trader.user)?;
        // Connected before the run, so that handshakes are not timed as orders.
        client.who_am_i().await?;
        trader.clients.push(client);
    }
    Ok(traders)
}

fn users(certs: &Path) -> Result<Vec<String>, Fault> {
    let listed = std::fs::read_dir(certs).map_err(|error| format!("{}: {error}", certs.display()))?;
    let mut users = Vec::new();
    for entry in listed {
        let path = entry?.path();
        let name = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
        let pem = path.extension().is_some_and(|it| it == "pem");
        if pem && !["authority", "server"].contains(&name) && path.with_extension("key").exists() {
            users.push(name.to_string());
        }
    }
    users.sort();
    Ok(users)
}

/// The auction to trade in: the one named, or of those open the one whose gate closes last. Waits up to
/// `patience` for it to be open.
pub(crate) async fn auction(
    client: &Client,
    named: Option<&str>,
    patience: Duration,
) -> Result<v1::Auction, Fault> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let mut found = match named {
            Some(name) => {
                let request = v1::GetAuctionRequest { auction_id: name.to_string() };
                client.get_auction(request).await.map(|it| it.auction.into_iter().collect::<Vec<_>>())
            }
            None => client.list_auctions(v1::ListAuctionsRequest::default()).await.map(|it| it.auctions),
        };
        if let Ok(auctions) = &mut found {
            auctions.retain(|it| it.phase() == v1::AuctionPhase::Open);
            let gate = |it: &v1::Auction| it.gate_closes_at.as_ref().map_or(0, |it| it.seconds);
            if let Some(auction) = auctions.iter().max_by_key(|it| (gate(it), it.periods)) {
                return Ok(auction.clone());
            }
        }
        if tokio::time::Instant::now() >= deadline {
            let name = named.unwrap_or("any auction");
            return Err(match found {
                Ok(_) => format!("{name} is not open for orders").into(),
                Err(error) => format!("{name}: {error}").into(),
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Finds out, by dry runs, in which areas a trader's portfolios may trade.
pub(crate) async fn find_places(trader: &mut Trader, shape: &Shape) -> Result<(), Fault> {
    let mut asked = Vec::new();
    for portfolio in &trader.portfolios {
        for area in &shape.auction.areas {
            asked.push(Place { portfolio: portfolio.clone(), area: area.clone() });
        }
    }
    let command = |place: &Place| {
        let order = shape.order(1, std::slice::from_ref(place));
        orders::submit(format!("load-try-{}-{}", place.portfolio, place.area), order)
    };
    let results = trader.clients[0].dry_run(asked.iter().map(command).collect()).await?;
    let refusal = results.iter().find_map(|it| it.refusals.first()).cloned();
    let free = asked.into_iter().zip(&results).filter(|(_, it)| it.refusals.is_empty());
    trader.places = free.map(|(place, _)| place).collect();
    if trader.places.is_empty() {
        let why = refusal.map_or_else(|| "it has no portfolio".to_string(), |it| it.text);
        return Err(
            format!("{} may trade nowhere in {}: {why}", trader.user, shape.auction.auction_id).into()
        );
    }
    Ok(())
}

/// Waits until the auction has reached an end; its phase then, or nothing if it takes longer.
pub(crate) async fn ended(
    client: &Client,
    auction: &str,
    patience: Duration,
) -> Result<Option<v1::AuctionPhase>, Fault> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let request = v1::GetAuctionRequest { auction_id: auction.to_string() };
        let phase = client.get_auction(request).await?.auction.map(|it| it.phase());
        let ends = [v1::AuctionPhase::Published, v1::AuctionPhase::Halted, v1::AuctionPhase::Cancelled];
        if let Some(phase) = phase.filter(|it| ends.contains(it)) {
            return Ok(Some(phase));
        }
        if tokio::time::Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Asks the exchange for everything that it shows a member about the run.
pub(crate) async fn shown(
    trader: &Trader,
    sent: &[Sent],
    ids: &Ids,
    auction: &str,
    look_ups: usize,
) -> Result<Shown, Fault> {
    let client = &trader.clients[0];
    let request = v1::ListOrdersRequest { auction_id: Some(auction.to_string()), ..Default::default() };
    let orders = client.orders(request).await?;
    let mut looked_up = Vec::new();
    for number in sample(sent, look_ups) {
        looked_up.push((number, client.order(&ids.id(number)).await?));
    }
    let mut events = Vec::new();
    let mut stream = client.events(Some(trader.head + 1));
    while let Some(event) = stream.next_known().await? {
        events.push(event);
    }
    Ok(Shown { orders, looked_up, events })
}

/// Every command without an answer, and `count` of the others.
fn sample(sent: &[Sent], count: usize) -> Vec<u64> {
    let unknown = sent.iter().filter(|it| it.outcome == Outcome::Unknown);
    let mut numbers: Vec<u64> = unknown.map(|it| it.number).collect();
    let mut random = Random::new(u64::try_from(sent.len()).expect("a length fits"));
    for _ in 0..count.min(sent.len()) {
        let at = random.below(u64::try_from(sent.len()).expect("a length fits"));
        numbers.push(sent[usize::try_from(at).expect("below a length")].number);
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
