//! What the exchange says on its streams, gathered in one place while the day runs.
//!
//! Three readers (public, dispatch centre, clearing house) put what they hear into one queue. Whoever
//! waits for something takes from the queue until it is there; nothing is polled and nothing slept for.

use super::day::Day;
use anyhow::Context as _;
use merit_client::{Client, Events, Subscription, v1};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;

/// Silence after which the demo says what it is waiting for and gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// One piece of news.
#[derive(Debug)]
enum News {
    Auction(Box<v1::Auction>),
    Result(Box<v1::Result>),
    Rules(Box<v1::MarketRules>),
    Corridor(v1::CorridorRequest),
    Schedule(v1::Schedule),
    Obligations(v1::ObligationBatch),
    Ledger(v1::LedgerBatch),
    /// A stream ended, which it must not.
    Ended(String),
}

/// What has been heard so far, and the queue of what was not looked at yet.
#[derive(Debug)]
pub(super) struct Ear {
    queue: mpsc::UnboundedReceiver<News>,
    /// Auctions as last heard.
    pub(super) auctions: BTreeMap<String, v1::Auction>,
    /// Rules as last heard.
    pub(super) rules: Vec<v1::MarketRules>,
    /// What has been heard of results, schedules and money.
    pub(super) day: Day,
    /// Corridor requests, by auction.
    pub(super) corridors: BTreeMap<String, v1::CorridorRequest>,
    /// Schedules (auction, revision) that nobody has acknowledged yet.
    pub(super) schedules: Vec<(String, u32)>,
}

impl Ear {
    /// Listens to the public stream, to the dispatch centre's and to the clearing house's, each from
    /// its first message on.
    pub(super) fn open(public: &Client, dispatch: &Client, settlement: &Client) -> Self {
        let (queue_in, queue) = mpsc::unbounded_channel();
        tokio::spawn(read(
            "public",
            public.subscribe(Some(1)),
            queue_in.clone(),
            |it: v1::StreamMarketResponse| {
                use v1::stream_market_response::Event;
                match it.event? {
                    Event::Auction(it) => Some(News::Auction(Box::new(it))),
                    Event::Result(it) => Some(News::Result(Box::new(it))),
                    Event::Rules(it) => Some(News::Rules(Box::new(it))),
                    Event::Heartbeat(_) | Event::GoingAway(_) | Event::Notice(_) => None,
                }
            },
        ));
        tokio::spawn(read(
            "dispatch",
            dispatch.subscribe(Some(1)),
            queue_in.clone(),
            |it: v1::StreamDispatchResponse| {
                use v1::stream_dispatch_response::Event;
                match it.event? {
                    Event::CorridorRequest(it) => Some(News::Corridor(it)),
                    Event::Schedule(it) => Some(News::Schedule(it)),
                    Event::Heartbeat(_)
                    | Event::GoingAway(_)
                    | Event::Capacities(_)
                    | Event::Acknowledged(_) => None,
                }
            },
        ));
        tokio::spawn(read(
            "settlement",
            settlement.subscribe(Some(1)),
            queue_in,
            |it: v1::StreamObligationsResponse| {
                use v1::stream_obligations_response::Event;
                match it.event? {
                    Event::Obligations(it) => Some(News::Obligations(it)),
                    Event::Ledger(it) => Some(News::Ledger(it)),
                    Event::Heartbeat(_)
                    | Event::GoingAway(_)
                    | Event::Run(_)
                    | Event::Metered(_)
                    | Event::DeviationRules(_) => None,
                }
            },
        ));
        Self {
            queue,
            auctions: BTreeMap::new(),
            rules: Vec::new(),
            day: Day::default(),
            corridors: BTreeMap::new(),
            schedules: Vec::new(),
        }
    }

    /// The phase of an auction, as last heard.
    pub(super) fn phase(&self, auction: &str) -> v1::AuctionPhase {
        self.auctions.get(auction).map_or(v1::AuctionPhase::Unspecified, v1::Auction::phase)
    }

    /// When an auction opens and when its gate closes, µs since 1970 UTC.
    pub(super) fn times(&self, auction: &str) -> anyhow::Result<(i64, i64)> {
        let it = self.auctions.get(auction).with_context(|| format!("{auction} is not in the timetable"))?;
        let micros = |it: &Option<prost_types::Timestamp>| {
            it.as_ref().map(|it| it.seconds * 1_000_000 + i64::from(it.nanos) / 1_000)
        };
        micros(&it.opens_at)
            .zip(micros(&it.gate_closes_at))
            .with_context(|| format!("{auction} has no times"))
    }

    /// Auctions of a market that have no result yet and whose gate closed at `now_us` or before.
    pub(super) fn gates_closed(&self, market: v1::Market, now_us: i64) -> Vec<String> {
        let waits = |it: &&v1::Auction| it.market() == market && it.phase() != v1::AuctionPhase::Published;
        let closed = |it: &&v1::Auction| self.times(&it.auction_id).is_ok_and(|(_, gate)| gate <= now_us);
        self.auctions.values().filter(waits).filter(closed).map(|it| it.auction_id.clone()).collect()
    }

    /// The rules of a market.
    pub(super) fn rules_of(&self, market: v1::Market) -> anyhow::Result<&v1::MarketRules> {
        self.rules.iter().rev().find(|it| it.market() == market).context("no rules were heard")
    }

    /// Listens until `there`; what is waited for is named in the error.
    pub(super) async fn until(
        &mut self,
        what: &str,
        mut there: impl FnMut(&Self) -> bool,
    ) -> anyhow::Result<()> {
        while !there(self) {
            match tokio::time::timeout(PATIENCE, self.queue.recv()).await {
                Ok(Some(news)) => self.take(news)?,
                Ok(None) => anyhow::bail!("every stream ended while waiting for {what}"),
                Err(_) => {
                    anyhow::bail!("nothing heard for {} s while waiting for {what}", PATIENCE.as_secs())
                }
            }
        }
        Ok(())
    }

    /// What was heard, when nobody listens any more.
    pub(super) fn close(self) -> Day {
        self.day
    }

    fn take(&mut self, news: News) -> anyhow::Result<()> {
        match news {
            News::Auction(it) => {
                let phase = it.phase();
                anyhow::ensure!(
                    !matches!(phase, v1::AuctionPhase::Halted | v1::AuctionPhase::Cancelled),
                    "{} was halted or cancelled",
                    it.auction_id
                );
                self.auctions.insert(it.auction_id.clone(), *it);
            }
            News::Result(it) => self.day.take_result(*it),
            News::Rules(it) => self.rules.push(*it),
            News::Corridor(it) => {
                self.corridors.insert(it.auction_id.clone(), it);
            }
            News::Schedule(it) => {
                self.schedules.push((it.auction_id.clone(), it.revision));
                self.day.take_schedule(it);
            }
            News::Obligations(it) => self.day.take_obligations(it),
            News::Ledger(it) => self.day.take_ledger(it),
            News::Ended(why) => anyhow::bail!(why),
        }
        Ok(())
    }
}

/// Reads one stream for as long as somebody wants the news. The client resumes by itself; what it
/// cannot mend is an end.
async fn read<M: Subscription>(
    name: &'static str,
    mut events: Events<M>,
    queue: mpsc::UnboundedSender<News>,
    sort: impl Fn(M) -> Option<News>,
) {
    loop {
        let news = match events.next().await {
            Ok(message) => match sort(message) {
                Some(news) => news,
                None => continue,
            },
            Err(error) => News::Ended(format!("the {name} stream ended: {error}")),
        };
        let ended = matches!(news, News::Ended(_));
        if queue.send(news).is_err() || ended {
            return;
        }
    }
}
