//! Event streams: every number once, over restarts too; heartbeats; who is too slow is told so.

use crate::common::{DAM, Exchange, accepted, step};
use merit_client::{Client, reason, v1};
use std::time::Duration;
use tonic::Code;
use tonic_types::StatusExt as _;
use v1::Side::Sell;
use v1::member_service_client::MemberServiceClient;
use v1::stream_events_response::Event;

const OPEN: &str = "2026-11-22T04:30:00Z";

async fn enter(client: &Client, ids: std::ops::Range<u32>) {
    for id in ids {
        let order = step(DAM, "GEN-1", "N1", Sell, &[(1, "2500", "10")]);
        accepted(&client.submit(format!("g-{id}"), order).await.unwrap());
    }
}

async fn open(
    client: &Client,
    from_seq: Option<u64>,
) -> Result<tonic::Streaming<v1::StreamEventsResponse>, tonic::Status> {
    Ok(client.member().stream_events(v1::StreamEventsRequest { from_seq }).await?.into_inner())
}

/// Events up to a number, without what depends on when they are read.
async fn events(client: &Client, from: u64, to: u64) -> Vec<v1::StreamEventsResponse> {
    let mut stream = open(client, Some(from)).await.unwrap();
    let mut found = Vec::new();
    while found.len() < usize::try_from(to + 1 - from).unwrap() {
        let mut message = stream.message().await.unwrap().unwrap();
        let position = message.position.as_mut().unwrap();
        if position.seq.is_some() {
            assert!(position.head_seq >= position.seq());
            position.head_seq = 0;
            found.push(message);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_the_same_messages_under_the_same_numbers_after_a_restart() {
    let mut exchange = Exchange::new(&[]).await;
    exchange.at(OPEN).await;
    enter(&exchange.user("gina"), 1..21).await;
    let before = events(&exchange.user("gina"), 1, 20).await;
    exchange.stop().await;
    exchange.start().await;
    let gina = exchange.user("gina");
    enter(&gina, 21..31).await;
    let after = events(&gina, 1, 30).await;
    assert_eq!(after[..20], before);
    let numbers: Vec<u64> = after.iter().map(|it| it.position.as_ref().unwrap().seq()).collect();
    assert_eq!(numbers, (1..=30).collect::<Vec<_>>());
    assert_eq!(events(&gina, 17, 23).await, after[16..23]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_follows_over_a_restart_misses_nothing() {
    let mut exchange = Exchange::new(&[]).await;
    exchange.at(OPEN).await;
    enter(&exchange.user("gina"), 1..6).await;
    let mut stream = open(&exchange.user("gina"), Some(1)).await.unwrap();
    let mut last = 0;
    let running = exchange.running.take().unwrap();
    let stopping = tokio::spawn(running.stop());
    let mut farewell = false;
    while let Ok(Some(message)) = stream.message().await {
        let position = message.position.unwrap();
        if let Some(seq) = position.seq {
            assert_eq!(seq, last + 1);
            last = seq;
        }
        farewell |= matches!(message.event, Some(Event::GoingAway(_)));
    }
    assert!(farewell, "a stream says that it ends");
    stopping.await.unwrap().unwrap();
    exchange.start().await;
    let gina = exchange.user("gina");
    enter(&gina, 6..9).await;
    let rest = events(&gina, last + 1, 8).await;
    assert_eq!(rest.first().unwrap().position.as_ref().unwrap().seq(), last + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_beyond_the_next_one_is_out_of_range_and_the_next_one_waits() {
    let exchange = Exchange::new(&[]).await;
    exchange.at(OPEN).await;
    let gina = exchange.user("gina");
    enter(&gina, 1..4).await;
    let refused = open(&gina, Some(5)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::OutOfRange, Some("SEQ_IN_FUTURE".into())));
    assert_eq!(refused.get_details_error_info().unwrap().metadata["head_seq"], "3");
    assert_eq!(open(&gina, Some(0)).await.unwrap_err().code(), Code::InvalidArgument);
    for from in [Some(4), None] {
        let mut stream = open(&gina, from).await.unwrap();
        let first = stream.message().await.unwrap().unwrap();
        assert!(matches!(first.event, Some(Event::Heartbeat(_))));
    }
    let next = events(&gina, 4, 4);
    let (next, ()) = tokio::join!(next, enter(&gina, 4..5));
    assert_eq!(next[0].position.as_ref().unwrap().seq(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_told_from_loss_by_heartbeats() {
    let exchange = Exchange::new(&[("limits.heartbeat_ms", "20")]).await;
    exchange.at(OPEN).await;
    let gina = exchange.user("gina");
    enter(&gina, 1..4).await;
    let mut stream = open(&gina, None).await.unwrap();
    for _ in 0..5 {
        let message = stream.message().await.unwrap().unwrap();
        assert!(matches!(message.event, Some(Event::Heartbeat(_))), "{message:?}");
        let position = message.position.unwrap();
        assert_eq!((position.seq, position.head_seq, position.epoch), (None, 3, 1));
        assert_eq!(position.time.unwrap().seconds, exchange.clock.now_us() / 1_000_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_cut_with_the_last_number_it_was_given_and_goes_on_from_there() {
    let exchange = Exchange::new(&[("limits.slow_consumer_ms", "50")]).await;
    exchange.at(OPEN).await;
    let gina = exchange.user("gina");
    // More than the buffers of both ends hold.
    let points: Vec<(u32, &str, &str)> = (1..=96).map(|period| (period, "2500", "10")).collect();
    for id in 0..40 {
        let order = |number: u32| {
            step(DAM, "GEN-1", "N1", Sell, &points[..usize::try_from(number % 2 + 95).unwrap()])
        };
        let commands =
            (0..20).map(|n| merit_client::orders::submit(format!("g-{id}-{n}"), order(n))).collect();
        for answer in gina.batch(commands).await.unwrap() {
            accepted(&answer);
        }
    }
    // A narrow window, so that what is on its way without being read is little.
    let endpoint = tonic::transport::Channel::from_shared(exchange.url()).unwrap();
    let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let mut narrow = MemberServiceClient::new(endpoint.connect().await.unwrap());
    let mut request = tonic::Request::new(v1::StreamEventsRequest { from_seq: Some(1) });
    request.metadata_mut().insert("merit-user", "gina".parse().unwrap());
    let mut stream = narrow.stream_events(request).await.unwrap().into_inner();
    // Not reading for much longer than the node is patient.
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let mut last = 0;
    let status = loop {
        match stream.message().await {
            Ok(Some(message)) => {
                if let Some(seq) = message.position.unwrap().seq {
                    assert_eq!(seq, last + 1, "nothing is skipped");
                    last = seq;
                }
            }
            Ok(None) => panic!("the stream ended without a status"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status)), (Code::ResourceExhausted, Some("SLOW_CONSUMER".into())));
    assert_eq!(status.get_details_error_info().unwrap().metadata["last_seq"], last.to_string());
    assert!(last < 800);
    let rest = events(&gina, last + 1, 800).await;
    assert_eq!(rest.len(), usize::try_from(800 - last).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_sees_the_present_phase_first_and_then_every_change() {
    let exchange = Exchange::new(&[]).await;
    let gina = exchange.user("gina");
    let request = v1::WatchAuctionsRequest { market: Some(v1::Market::Dam.into()) };
    let mut stream = gina.market().watch_auctions(request).await.unwrap().into_inner();
    let mut phases = Vec::new();
    exchange.at(OPEN).await;
    while phases.len() < 2 {
        let message = stream.message().await.unwrap().unwrap();
        if let Some(v1::watch_auctions_response::Update::Auction(auction)) = message.update
            && auction.auction_id == DAM
        {
            phases.push((auction.phase(), message.position.unwrap().seq.is_some()));
        }
    }
    assert_eq!(phases, [(v1::AuctionPhase::Scheduled, false), (v1::AuctionPhase::Open, true)]);
}
