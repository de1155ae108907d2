//! Public market data, for every registered user.

use super::{page_size, page_token};
use crate::server::convert::auction;
use crate::server::convert::units::{auction_id, day, market_in, time_row};
use crate::server::node::{Node, doubt};
use crate::server::read_model::keys;
use crate::server::read_model::state::{AuctionEntry, State};
use crate::server::status;
use crate::server::streams::{self, All, Selection, StreamMessage as _, Streamed};
use merit_engine::event::{Phase, Stream as Log};
use merit_engine::ids::{AuctionId, Market};
use merit_proto::v1;
use merit_proto::v1::market_data_service_server::MarketDataService;
use prost::Message as _;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct MarketData {
    /// The node.
    pub node: Arc<Node>,
}

impl MarketData {
    fn entry(&self, name: &str) -> Result<AuctionEntry, Status> {
        let id = auction_id(name).ok_or_else(|| status::not_found("auction"))?;
        let found = self.node.model.read(|state, _| state.auctions.get(&id).cloned());
        found.ok_or_else(|| status::not_found("auction"))
    }
}

fn shown(entry: &AuctionEntry) -> v1::Auction {
    auction::auction(&entry.info, entry.phase, entry.next_due_us)
}

fn market_asked(market: Option<i32>) -> Result<Option<Market>, Status> {
    let read = |it| market_in(it).ok_or_else(|| status::invalid_argument("market", "no such market"));
    market.map(read).transpose()
}

fn day_asked(text: Option<&str>, field: &str) -> Result<Option<merit_engine::calendar::Day>, Status> {
    let rule = "must be a day like 2026-11-23 that exists";
    text.map(|it| day(it).ok_or_else(|| status::invalid_argument(field, rule))).transpose()
}

#[tonic::async_trait]
impl MarketDataService for MarketData {
    type WatchAuctionsStream = Streamed<v1::WatchAuctionsResponse>;
    type StreamMarketStream = Streamed<v1::StreamMarketResponse>;

    async fn list_auctions(
        &self,
        request: Request<v1::ListAuctionsRequest>,
    ) -> Result<Response<v1::ListAuctionsResponse>, Status> {
        self.node.caller(&request)?;
        let asked = request.into_inner();
        let market = market_asked(asked.market)?;
        let last = day_asked(asked.day_last.as_deref(), "day_last")?;
        let first = day_asked(asked.day_first.as_deref(), "day_first")?;
        let skip = usize::try_from(page_token(asked.page_token.as_deref())?).unwrap_or(usize::MAX);
        let limit = page_size(asked.page_size);
        self.node.fresh().await;
        let now_us = self.node.time_us();
        let response = self.node.model.read(|state, _| {
            let today = |entry: &AuctionEntry| entry.info.rules.zone.day_of(now_us);
            let wanted = |(id, entry): &(&AuctionId, &AuctionEntry)| {
                market.is_none_or(|it| it == id.market)
                    && id.day >= first.unwrap_or_else(|| today(entry))
                    && last.is_none_or(|it| id.day <= it)
            };
            let mut found: Vec<_> = state.auctions.iter().filter(wanted).collect();
            found.sort_by_key(|(id, entry)| (entry.info.delivery_start_us, id.market, id.session));
            let page = found.iter().skip(skip).take(limit).map(|(_, entry)| shown(entry)).collect();
            let more = found.len() > skip.saturating_add(limit);
            v1::ListAuctionsResponse {
                auctions: page,
                next_page_token: more.then(|| (skip + limit).to_string()),
                head_seq: state.head(Log::Market),
            }
        });
        Ok(Response::new(response))
    }

    async fn get_auction(
        &self,
        request: Request<v1::GetAuctionRequest>,
    ) -> Result<Response<v1::GetAuctionResponse>, Status> {
        self.node.caller(&request)?;
        self.node.fresh().await;
        let entry = self.entry(&request.into_inner().auction_id)?;
        let mut found = shown(&entry);
        let status = found.status();
        let row = |period| time_row(&entry.info, period, 1, status);
        found.rows = (0..entry.info.periods).map(row).collect();
        Ok(Response::new(v1::GetAuctionResponse { auction: Some(found) }))
    }

    async fn watch_auctions(
        &self,
        request: Request<v1::WatchAuctionsRequest>,
    ) -> Result<Response<Self::WatchAuctionsStream>, Status> {
        let caller = self.node.caller(&request)?;
        let market = market_asked(request.into_inner().market)?;
        self.node.fresh().await;
        let (opening, head) = self.node.model.read(|state, _| {
            let head = state.head(Log::Market);
            let position = self.node.position(head, state.epoch);
            (picture(state, market, &position), head)
        });
        streams::open(&self.node, &caller, Log::Market, Some(head + 1), Watch { market }, opening).await
    }

    async fn get_result(
        &self,
        request: Request<v1::GetResultRequest>,
    ) -> Result<Response<v1::GetResultResponse>, Status> {
        self.node.caller(&request)?;
        let asked = request.into_inner();
        self.node.fresh().await;
        let entry = self.entry(&asked.auction_id)?;
        let Some(seq) = entry.result_seq else {
            let result = Some(auction::no_result(&entry.info, entry.phase));
            return Ok(Response::new(v1::GetResultResponse { result }));
        };
        let message: Option<v1::StreamMarketResponse> =
            self.node.model.message(Log::Market, seq).map_err(doubt)?;
        let Some(v1::stream_market_response::Event::Result(mut result)) = message.and_then(|it| it.event)
        else {
            return Err(status::internal("the result of this auction is missing"));
        };
        if !asked.areas.is_empty() {
            let known = |area: &String| entry.info.rules.areas.iter().any(|it| it.code.as_str() == area);
            if let Some(index) = asked.areas.iter().position(|it| !known(it)) {
                return Err(status::invalid_argument(&format!("areas[{index}]"), "no such area"));
            }
            keep(&mut result, &asked.areas, &shown(&entry).lines);
        }
        Ok(Response::new(v1::GetResultResponse { result: Some(result) }))
    }

    async fn get_curves(
        &self,
        request: Request<v1::GetCurvesRequest>,
    ) -> Result<Response<v1::GetCurvesResponse>, Status> {
        self.node.caller(&request)?;
        let asked = request.into_inner();
        self.node.fresh().await;
        let entry = self.entry(&asked.auction_id)?;
        let area = match &asked.area {
            Some(code) => {
                let place = entry.info.rules.areas.iter().position(|it| it.code.as_str() == code);
                Some(place.ok_or_else(|| status::invalid_argument("area", "no such area"))?)
            }
            None => None,
        };
        let mut curves = Vec::new();
        if entry.phase == Phase::Published {
            for period in periods(&asked.periods, entry.info.periods)? {
                let prefix = keys::curves(entry.info.auction, period);
                let mut of_areas: Vec<v1::AggregatedCurve> = self.node.model.all(&prefix).map_err(doubt)?;
                curves.push(match area {
                    Some(place) if place < of_areas.len() => of_areas.swap_remove(place),
                    Some(_) => continue,
                    None => auction::market_curve(&of_areas),
                });
            }
        }
        let status = auction::status_of(entry.phase).into();
        Ok(Response::new(v1::GetCurvesResponse { status, curves }))
    }

    async fn stream_market(
        &self,
        request: Request<v1::StreamMarketRequest>,
    ) -> Result<Response<Self::StreamMarketStream>, Status> {
        let caller = self.node.caller(&request)?;
        let from = request.into_inner().from_seq;
        streams::open(&self.node, &caller, Log::Market, from, All, Vec::new()).await
    }
}

/// Periods asked for as indices; all if none is named.
fn periods(asked: &[u32], periods: u16) -> Result<Vec<u16>, Status> {
    if asked.is_empty() {
        return Ok((0..periods).collect());
    }
    let index = |(place, number): (usize, &u32)| {
        let found = number.checked_sub(1).and_then(|it| u16::try_from(it).ok()).filter(|it| *it < periods);
        found.ok_or_else(|| status::invalid_argument(&format!("periods[{place}]"), "no such period"))
    };
    asked.iter().enumerate().map(index).collect()
}

fn keep(result: &mut v1::Result, areas: &[String], lines: &[v1::Line]) {
    let touches = |line: &v1::Line| areas.contains(&line.from) || areas.contains(&line.to);
    result.areas.retain(|it| areas.contains(&it.area));
    result.flows.retain(|it| lines.iter().any(|line| line.line == it.line && touches(line)));
}

/// Every auction that has not ended.
fn picture(state: &State, market: Option<Market>, position: &v1::Position) -> Vec<v1::WatchAuctionsResponse> {
    let ended = |it: &AuctionEntry| matches!(it.phase, Phase::Published | Phase::Cancelled);
    let wanted = state.auctions.values().filter(|it| !ended(it));
    let wanted = wanted.filter(|it| market.is_none_or(|market| market == it.info.auction.market));
    let update = |it: &AuctionEntry| v1::WatchAuctionsResponse {
        position: Some(*position),
        update: Some(v1::watch_auctions_response::Update::Auction(shown(it))),
    };
    wanted.map(update).collect()
}

/// Changes of phase in one market or in all.
struct Watch {
    market: Option<Market>,
}

impl Selection<v1::WatchAuctionsResponse> for Watch {
    fn select(
        &mut self,
        _seq: u64,
        bytes: &[u8],
        head: u64,
    ) -> Result<Option<v1::WatchAuctionsResponse>, Status> {
        let message = v1::StreamMarketResponse::decode(bytes);
        let mut message = message.map_err(|_| status::internal("an event cannot be decoded"))?;
        if let Some(position) = message.position_mut() {
            position.head_seq = head;
        }
        let Some(v1::stream_market_response::Event::Auction(auction)) = message.event else {
            return Ok(None);
        };
        let wanted = self.market.is_none_or(|it| market_in(auction.market) == Some(it));
        Ok(wanted.then_some(v1::WatchAuctionsResponse {
            position: message.position,
            update: Some(v1::watch_auctions_response::Update::Auction(auction)),
        }))
    }

    fn heartbeat(&self, position: v1::Position) -> v1::WatchAuctionsResponse {
        let heartbeat = v1::watch_auctions_response::Update::Heartbeat(v1::Heartbeat { oldest_seq: 1 });
        v1::WatchAuctionsResponse { position: Some(position), update: Some(heartbeat) }
    }

    fn going_away(&self, position: v1::Position, farewell: v1::GoingAway) -> v1::WatchAuctionsResponse {
        let farewell = v1::watch_auctions_response::Update::GoingAway(farewell);
        v1::WatchAuctionsResponse { position: Some(position), update: Some(farewell) }
    }
}
