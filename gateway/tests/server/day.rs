//! A trading day on a manual clock.

use crate::common::{DAM, Exchange, accepted, step};
use merit_client::v1;
use v1::Side::{Buy, Sell};
use v1::stream_events_response::Event;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_through_the_journal_into_the_engine_and_its_event_comes_back() {
    let exchange = Exchange::new(&[]).await;
    exchange.at("2026-11-22T04:30:00Z").await;
    let gina = exchange.user("gina");
    let answer = gina.submit("g-1", step(DAM, "GEN-1", "N1", Sell, &[(1, "2500", "100")])).await.unwrap();
    assert_eq!(accepted(&answer), (1, 1));
    assert_eq!(answer.seq, Some(1));
    let mut events = gina.events(Some(1));
    let event = events.next().await.unwrap();
    assert_eq!(event.position.as_ref().and_then(|it| it.seq), Some(1));
    let Some(Event::Order(order)) = event.event else { panic!("{event:?}") };
    assert_eq!((order.client_order_id.as_str(), order.area.as_str()), ("g-1", "N1"));
    assert_eq!(order.state(), v1::OrderState::Live);
    let _ = Buy;
}
