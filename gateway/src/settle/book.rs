//! The whole settlement stream of a journal, with who is who: what every report is made of.

use crate::push::{Item, account_name};
use crate::server::convert::event::{self, Wire, encode};
use crate::server::convert::{self, settlement::Names};
use merit_engine::event::{Answer, AuctionInfo, Event, EventBody, PublishedResult};
use merit_engine::ids::{AuctionId, Market, MemberId, PortfolioId};
use merit_engine::market::Engine;
use merit_engine::rules::MarketRules;
use merit_engine::settlement::SettlementEvent;
use merit_proto::v1;
use merit_replay::error::JournalError;
use merit_replay::frame::Stamp;
use merit_replay::machine::Sink;
use merit_replay::recovery::Progress;
use merit_replay::storage::Storage;
use std::collections::BTreeMap;
use std::sync::Arc;
use v1::stream_obligations_response::Event as Said;

/// The book.
#[derive(Debug, Default)]
pub struct Book {
    /// Codes and names of members.
    pub members: BTreeMap<MemberId, (String, String)>,
    portfolios: BTreeMap<PortfolioId, String>,
    auctions: BTreeMap<AuctionId, Arc<AuctionInfo>>,
    /// Rules by market and first day.
    pub rules: BTreeMap<(Market, i32), Arc<MarketRules>>,
    /// Published results, by auction.
    pub results: BTreeMap<AuctionId, Arc<PublishedResult>>,
    /// Every message of the settlement stream, in order.
    pub items: Vec<Item>,
    /// Journaled time of each message, µs since 1970 UTC.
    pub times_us: Vec<i64>,
}

impl Names for Book {
    fn member(&self, member: MemberId) -> String {
        self.members.get(&member).map_or_else(String::new, |it| it.0.clone())
    }

    fn portfolio(&self, portfolio: PortfolioId) -> String {
        self.portfolios.get(&portfolio).cloned().unwrap_or_default()
    }
}

impl Sink<Engine> for Book {
    fn applied(&mut self, _stamp: Stamp, _answer: &Answer, events: Vec<Event>, _replayed: bool) {
        for it in &events {
            self.hear(it);
        }
    }

    fn batch_applied(&mut self, _head: Stamp) {}
}

impl Book {
    /// Reads a journal from its beginning; it may be in use.
    ///
    /// # Errors
    ///
    /// If it is not whole.
    pub fn read(journal: &dyn Storage, progress: &mut dyn FnMut(Progress)) -> Result<Self, JournalError> {
        let (mut book, mut engine) = (Self::default(), Engine::new());
        merit_replay::core::replay(journal, &mut engine, &mut book, progress)?;
        Ok(book)
    }

    /// Takes one event of the engine.
    pub fn hear(&mut self, event: &Event) {
        if let EventBody::MemberRegistered { member, code, name } = &event.body {
            self.members.insert(*member, (code.to_string(), name.clone()));
        } else if let EventBody::PortfolioRegistered { portfolio, code, .. } = &event.body {
            self.portfolios.insert(*portfolio, code.to_string());
        } else if let EventBody::RulesSet(rules) = &event.body {
            self.rules.insert((rules.market, rules.effective_from.0), Arc::clone(rules));
        } else if let EventBody::AuctionScheduled(info) = &event.body {
            self.auctions.insert(info.auction, Arc::clone(info));
        } else if let EventBody::ResultPublished(result) = &event.body {
            self.results.insert(result.info.auction, Arc::clone(result));
        } else if let Some(said) = self.said(&event.body) {
            let bytes = encode(event, Wire::Settlement(said));
            self.items.push(Item::read(&bytes).expect("just encoded with its position"));
            self.times_us.push(event.time_us);
        }
    }

    fn said(&self, body: &EventBody) -> Option<Said> {
        if let EventBody::ObligationsPosted { info, obligations } = body {
            return Some(Said::Obligations(event::obligations(info, obligations, self)));
        }
        let rules = self.rules.values().next()?;
        if let EventBody::LedgerPosted { auction, entries } = body {
            let info = |auction| self.auctions.get(&auction).map(|it| &**it);
            return Some(Said::Ledger(event::ledger(*auction, entries, rules, info, self)));
        }
        let EventBody::Settlement(settled) = body else { return None };
        Some(match settled {
            SettlementEvent::DeviationSet(it) => Said::DeviationRules(event::deviation_rules(it, self)),
            SettlementEvent::Metered(it) => Said::Metered(event::meter_batch(it)),
            SettlementEvent::Run(it) => Said::Run(event::run(it, rules, self)),
        })
    }

    /// Every obligation, by number.
    pub fn obligations(&self) -> impl Iterator<Item = (&str, &v1::Obligation)> {
        let batches = self.items.iter().filter_map(|it| match &it.message.event {
            Some(Said::Obligations(batch)) => Some(batch),
            Some(_) | None => None,
        });
        batches.flat_map(|it| it.obligations.iter().map(|one| (it.auction_id.as_str(), one)))
    }

    /// Every ledger entry, by number, with its journaled time in µs.
    pub fn entries(&self) -> impl Iterator<Item = (i64, &v1::LedgerEntry)> {
        let batches =
            self.items.iter().zip(&self.times_us).filter_map(|(it, time)| match &it.message.event {
                Some(Said::Ledger(batch)) => Some((*time, batch)),
                Some(_) | None => None,
            });
        batches.flat_map(|(time, it)| it.entries.iter().map(move |one| (time, one)))
    }

    /// Every run, in order.
    pub fn runs(&self) -> impl Iterator<Item = &v1::SettlementRun> {
        self.items.iter().filter_map(|it| match &it.message.event {
            Some(Said::Run(run)) => Some(run),
            Some(_) | None => None,
        })
    }

    /// A run of a day: the one with this number, else the newest.
    #[must_use]
    pub fn run(&self, day: &str, number: Option<u32>) -> Option<&v1::SettlementRun> {
        let of_day = self.runs().filter(|it| it.delivery_day == day);
        of_day.filter(|it| number.is_none_or(|wanted| wanted == it.run)).last()
    }

    /// Balances in millionths, by account name.
    #[must_use]
    pub fn balances(&self) -> BTreeMap<String, i128> {
        let mut balances = BTreeMap::new();
        for posting in self.entries().flat_map(|(_, it)| &it.postings) {
            let name = account_name(posting.account.as_ref());
            *balances.entry(name).or_default() += i128::from(posting.amount_micros);
        }
        balances
    }

    /// The currency and the number of its decimals; all markets share one.
    #[must_use]
    pub fn currency(&self) -> (String, u32) {
        let rules = self.rules.values().next();
        rules.map_or(("XXX".into(), 2), |it| (convert::units::currency(it), u32::from(it.minor_decimals)))
    }
}
