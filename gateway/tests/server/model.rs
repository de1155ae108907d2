//! The read model is never an authority: whatever happens to its files, answers are the same.

use crate::common::{DAM, Exchange, accepted, files, step};
use merit_client::{Client, Subscription, orders, v1};
use std::fmt::Debug;
use std::path::Path;
use v1::Side::{Buy, Sell};

async fn told<M: Subscription + Debug>(client: &Client) -> Vec<String> {
    let mut events = client.subscribe::<M>(Some(1));
    let mut text = Vec::new();
    while let Some(message) = events.next_known().await.unwrap() {
        let mut position = *message.position().unwrap();
        position.head_seq = 0;
        text.push(format!("{position:?} {message:?}").replace("head_seq", ""));
    }
    text
}

/// What members and others are told about everything that has happened.
pub(crate) async fn answers(exchange: &Exchange) -> Vec<String> {
    let (gina, dora) = (exchange.user("gina"), exchange.user("dora"));
    let mut all = Vec::new();
    for client in [&gina, &dora] {
        all.push(format!("{:?}", client.orders(v1::ListOrdersRequest::default()).await.unwrap()));
        let request = v1::GetStatementRequest { delivery_day: "2026-11-23".into(), member: None, run: None };
        all.push(format!("{:?}", client.settlement().get_statement(request).await.unwrap().into_inner()));
    }
    for id in ["g-1", "g-2", "c-1", "x-1", "none"] {
        all.push(format!("{:?}", gina.order(id).await.unwrap()));
    }
    all.push(format!("{:?}", gina.explain(orders::by_client_id("g-1")).await.unwrap()));
    let request = v1::GetResultRequest { auction_id: DAM.into(), areas: Vec::new() };
    all.push(format!("{:?}", gina.market().get_result(request).await.unwrap().into_inner()));
    let request = v1::GetCurvesRequest { auction_id: DAM.into(), area: None, periods: Vec::new() };
    all.push(format!("{:?}", gina.market().get_curves(request).await.unwrap().into_inner()));
    let request = v1::GetTrialBalanceRequest { delivery_day: Some("2026-11-23".into()) };
    let house = exchange.user("house");
    let balance = house.settlement().get_trial_balance(request).await.unwrap().into_inner();
    all.push(format!("{:?}", balance.accounts));
    all.extend(told::<v1::StreamMarketResponse>(&gina).await.into_iter().map(strip_head));
    all.extend(told::<v1::StreamEventsResponse>(&gina).await.into_iter().map(strip_head));
    all.extend(told::<v1::StreamObligationsResponse>(&house).await.into_iter().map(strip_head));
    all
}

/// The head of a stream moves on while the clock does; everything else must not.
fn strip_head(text: String) -> String {
    match text.split_once(": ") {
        Some(_) => text.split(", ").filter(|it| !it.starts_with(": ")).collect::<Vec<_>>().join(", "),
        None => text,
    }
}

async fn some_history() -> Exchange {
    let exchange = Exchange::new(&[]).await;
    exchange.at("2026-11-22T04:30:00Z").await;
    trade(&exchange, 1..3).await;
    exchange
}

pub(crate) async fn trade(exchange: &Exchange, ids: std::ops::Range<u32>) {
    let (gina, dora) = (exchange.user("gina"), exchange.user("dora"));
    for id in ids {
        let sells: Vec<_> = (1..=96).map(|period| (period, "2500", "100")).collect();
        accepted(&gina.submit(format!("g-{id}"), step(DAM, "GEN-1", "N1", Sell, &sells)).await.unwrap());
        let buys: Vec<_> = (1..=96).map(|period| (period, "4000", "60")).collect();
        accepted(&dora.submit(format!("d-{id}"), step(DAM, "DISCOM-1", "N2", Buy, &buys)).await.unwrap());
    }
}

pub(crate) async fn rest_of_the_day(exchange: &Exchange) {
    let gina = exchange.user("gina");
    accepted(&gina.cancel("c-1", orders::by_client_id("g-2")).await.unwrap());
    gina.cancel("x-1", orders::by_client_id("g-2")).await.unwrap();
    exchange.at("2026-11-22T05:30:00Z").await;
    exchange.at("2026-11-22T07:30:00Z").await;
}

fn restore(directory: &Path, content: &[(std::path::PathBuf, Vec<u8>)]) {
    std::fs::remove_dir_all(directory).unwrap();
    for (path, bytes) in content {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Stops, lets `harm` loose on the read model's files, starts, and compares all answers.
async fn survives(exchange: &mut Exchange, expected: &[String], harm: impl FnOnce(&Path)) {
    exchange.stop().await;
    harm(&exchange.read_model());
    exchange.start().await;
    let found = answers(exchange).await;
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_the_read_model_answers_stay_the_same() {
    let mut exchange = some_history().await;
    exchange.stop().await;
    let early = files(&exchange.read_model());
    exchange.start().await;
    rest_of_the_day(&exchange).await;
    let expected = answers(&exchange).await;
    assert!(expected.len() > 50, "there is something to compare");
    survives(&mut exchange, &expected, |_| {}).await;
    survives(&mut exchange, &expected, |it| std::fs::remove_dir_all(it).unwrap()).await;
    // An older copy, as a backup would bring it back.
    survives(&mut exchange, &expected, |it| restore(it, &early)).await;
    for part in [0, 1, 3, 7] {
        survives(&mut exchange, &expected, |it| {
            for (path, bytes) in files(it) {
                std::fs::write(path, &bytes[..bytes.len() * part / 8]).unwrap();
            }
        })
        .await;
    }
    for place in 1..6 {
        survives(&mut exchange, &expected, |it| {
            for (path, mut bytes) in files(it) {
                let at = bytes.len() * place / 6;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 0x40;
                }
                std::fs::write(path, bytes).unwrap();
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_damaged_under_a_running_node_are_not_shown_but_built_again() {
    let mut exchange = some_history().await;
    rest_of_the_day(&exchange).await;
    let expected = answers(&exchange).await;
    exchange.stop().await;
    exchange.start().await;
    let heap = exchange.read_model().join("heap");
    let harmed: Vec<u8> = std::fs::read(&heap).unwrap().iter().map(|it| !it).collect();
    assert!(harmed.len() > 1_000, "{}", harmed.len());
    std::fs::write(&heap, &harmed).unwrap();
    // Whoever asks meanwhile is told to ask again, which the client does; who names an order hears of no unknown one.
    let cancel = exchange.user("gina").dry_run(vec![orders::cancel("dry", "g-1")]).await.unwrap();
    let unknown = i32::from(v1::RejectReason::UnknownOrder);
    assert!(cancel[0].refusals.iter().all(|it| it.reason != unknown), "{cancel:?}");
    let order = exchange.user("gina").order("g-1").await.unwrap().unwrap();
    assert_eq!(order.order.unwrap().client_order_id, "g-1");
    assert!(std::fs::read(&heap).unwrap() != harmed, "it was built again");
    assert_eq!(answers(&exchange).await, expected);
    exchange.stop().await;
    exchange.start().await;
    assert_eq!(answers(&exchange).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_that_is_ahead_or_of_another_exchange_is_not_believed() {
    let mut exchange = some_history().await;
    exchange.stop().await;
    let journal = files(&exchange.journal());
    let model = files(&exchange.read_model());
    exchange.start().await;
    rest_of_the_day(&exchange).await;
    exchange.stop().await;
    // The journal comes back from a backup, the read model is newer.
    restore(&exchange.journal(), &journal);
    exchange.clock = merit_gateway::server::clock::Clock::manual(
        merit_gateway::server::clock::parse_utc("2026-11-22T04:30:00Z").unwrap(),
    );
    exchange.start().await;
    let gina = exchange.user("gina");
    assert!(gina.order("c-1").await.unwrap().is_none(), "what the journal does not say has not happened");
    assert_eq!(gina.order("g-2").await.unwrap().unwrap().order.unwrap().state(), v1::OrderState::Live);
    // And a day that went otherwise, with the first day's read model.
    accepted(&gina.cancel("c-2", orders::by_client_id("g-1")).await.unwrap());
    let expected = format!("{:?}", gina.orders(v1::ListOrdersRequest::default()).await.unwrap());
    exchange.stop().await;
    let mut other = Exchange::new(&[]).await;
    other.at("2026-11-22T04:30:00Z").await;
    trade(&other, 7..9).await;
    other.stop().await;
    let foreign: Vec<_> = files(&other.read_model())
        .into_iter()
        .map(|(path, bytes)| {
            let name = path.strip_prefix(other.read_model()).unwrap().to_owned();
            (exchange.read_model().join(name), bytes)
        })
        .collect();
    restore(&exchange.read_model(), &foreign);
    exchange.start().await;
    let found = exchange.user("gina").orders(v1::ListOrdersRequest::default()).await.unwrap();
    assert_eq!(format!("{found:?}"), expected);
    assert!(!model.is_empty());
}
