//! How long a day-ahead auction's obligations take from the engine's event to a target's disk:
//! `push_speed PORTFOLIOS AREAS [POSTGRES]`. Every portfolio trades in every area and block.

use merit_engine::calendar::Day;
use merit_engine::event::{Account, AuctionInfo, Event, EventBody, LedgerEntry, Obligation, Stream};
use merit_engine::ids::{AuctionId, Market, MemberId, PortfolioId, TextId};
use merit_engine::settlement::Cause;
use merit_gateway::push::embedded::Ledger;
use merit_gateway::push::postgres::Postgres;
use merit_gateway::push::{Item, Target};
use merit_gateway::settle::book::Book;
use std::sync::Arc;
use std::time::Instant;

const BLOCKS: u16 = 96;

fn info() -> AuctionInfo {
    let day = Day(20_780);
    let [rules, _] = merit_engine::presets::indian(day);
    AuctionInfo {
        auction: AuctionId { day, market: Market::Dam, session: 1 },
        rules: Arc::new(rules),
        delivery_start_us: 0,
        periods: BLOCKS,
        first_block: 1,
        blocks_in_day: BLOCKS,
        open_us: 0,
        gate_us: 0,
        corridor_us: 0,
        capacities_us: 0,
        publish_us: 0,
        acknowledge_us: None,
    }
}

fn events(portfolios: u32, areas: u16) -> Vec<Event> {
    let info = Arc::new(info());
    let mut obligations = Vec::new();
    for portfolio in 0..portfolios {
        for area in 0..areas {
            for period in 0..BLOCKS {
                let id = u64::try_from(obligations.len()).unwrap_or(0) + 1;
                let (bought, sold) = if portfolio % 2 == 0 { (100, 0) } else { (0, 100) };
                let member = MemberId(portfolio);
                let sign = if portfolio % 2 == 0 { -1 } else { 1 };
                obligations.push(Obligation {
                    id,
                    member,
                    portfolio: PortfolioId(portfolio),
                    area,
                    period,
                    bought,
                    sold,
                    price: 350_000,
                    value_minor: sign * 87_500,
                    fee_minor: 500,
                    tax_minor: 90,
                });
            }
        }
    }
    let entry = |period: u16| {
        let postings = (0..portfolios).map(|it| {
            let minor = if it % 2 == 0 { -87_500 } else { 87_500 };
            (Account::Member(MemberId(it)), minor * i64::from(areas))
        });
        let cause = Cause::Period { auction: info.auction, period };
        LedgerEntry { id: u64::from(period) + 1, cause, postings: postings.collect() }
    };
    let entries: Vec<LedgerEntry> = (0..BLOCKS).map(entry).collect();
    let bodies = [
        EventBody::ObligationsPosted { info: Arc::clone(&info), obligations: Arc::new(obligations) },
        EventBody::LedgerPosted { auction: Some(info.auction), entries: Arc::new(entries) },
    ];
    let event =
        |(seq, body)| Event { seq, epoch: 1, time_us: 0, stream: Stream::Settlement, stream_seq: seq, body };
    (1..).zip(bodies).map(event).collect()
}

fn text(code: &str) -> TextId {
    TextId::new(code).expect("a code")
}

fn book(portfolios: u32) -> Book {
    let mut book = Book::default();
    let mut say = |body| {
        book.hear(&Event { seq: 1, epoch: 1, time_us: 0, stream: Stream::Operator, stream_seq: 1, body });
    };
    say(EventBody::RulesSet(Arc::clone(&info().rules)));
    for it in 0..portfolios {
        let (member, portfolio) = (MemberId(it), PortfolioId(it));
        say(EventBody::MemberRegistered {
            member,
            code: text(&format!("M{it}")),
            name: format!("Member {it}"),
        });
        let (code, areas) = (text(&format!("M{it}-P1")), Vec::new());
        say(EventBody::PortfolioRegistered { member, portfolio, code, areas });
    }
    book
}

async fn deliver(target: &mut dyn Target, items: &[Item]) -> Result<(), Box<dyn std::error::Error>> {
    target.mark().await?;
    let begun = Instant::now();
    target.deliver(1, items).await?;
    println!("{}: durable after {:?}", target.name(), begun.elapsed());
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (portfolios, areas) = match arguments.as_slice() {
        [portfolios, areas, ..] => (portfolios.parse::<u32>()?, areas.parse::<u16>()?),
        _ => return Err("usage: push_speed PORTFOLIOS AREAS [POSTGRES]".into()),
    };
    let mut book = book(portfolios);
    let events = events(portfolios, areas);
    let begun = Instant::now();
    events.iter().for_each(|it| book.hear(it));
    println!("{} obligations as messages: {:?}", book.obligations().count(), begun.elapsed());
    let directory = tempfile::tempdir()?;
    let ledger = Ledger::open(&directory.path().join("ledger"), |_| None)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let mut embedded = merit_gateway::push::embedded::Embedded::new(Arc::new(ledger));
        deliver(&mut embedded, &book.items).await?;
        if let Some(config) = arguments.get(2) {
            deliver(&mut Postgres::new(config.clone()), &book.items).await?;
        }
        Ok(())
    })
}
