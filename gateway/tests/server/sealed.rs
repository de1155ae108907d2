//! Until an auction is published nobody sees another's order, by any door, the log included.

use crate::common::{DAM, Exchange, accepted, step};
use merit_client::{Client, Subscription, orders, v1};
use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use tracing_subscriber::fmt::MakeWriter;
use v1::Side::{Buy, Sell};

/// Numbers that stand in no rule and no other test: whoever prints one has seen the order.
const SECRET_PRICE: &str = "3917";
const SECRET_QUANTITY: &str = "717.3";
/// As text, in ticks and lots, in millionths; and the client's own name for it.
const SECRETS: [&str; 7] = ["3917.", "391700", "3917000000", "717.3", "71730", "717300000", "secret-1"];

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Everything that this process logs at the finest level of our own crates.
fn log() -> &'static Captured {
    static LOG: OnceLock<Captured> = OnceLock::new();
    LOG.get_or_init(|| {
        let captured = Captured::default();
        let filter = "debug,merit_gateway=trace,merit_replay=trace,merit_engine=trace";
        // Times of day are numbers too, and no secrets.
        let fmt = tracing_subscriber::fmt().without_time();
        fmt.with_env_filter(filter).with_writer(captured.clone()).init();
        captured
    })
}

#[track_caller]
fn keeps_silent(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{what} shows {secret}");
    }
}

/// Everything a stream holds so far, as text.
async fn told<M: Subscription + Debug>(client: &Client) -> String {
    let mut events = client.subscribe::<M>(Some(1));
    let mut text = String::new();
    while let Some(message) = events.next_known().await.unwrap() {
        text.push_str(&format!("{message:?}\n"));
    }
    text
}

async fn enter_secrets(exchange: &Exchange) {
    let gina = exchange.user("gina");
    let sells: Vec<_> = (1..=96).map(|period| (period, SECRET_PRICE, SECRET_QUANTITY)).collect();
    accepted(&gina.submit("secret-1", step(DAM, "GEN-1", "N1", Sell, &sells)).await.unwrap());
    // Refusals, repeats, cancellations and dry runs are secrets too.
    let off_tick = step(DAM, "GEN-1", "N1", Sell, &[(1, "3917.5", SECRET_QUANTITY)]);
    gina.submit("secret-1-x", off_tick.clone()).await.unwrap();
    gina.dry_run(vec![orders::submit("secret-1-y", off_tick)]).await.unwrap();
    accepted(&gina.submit("secret-1-z", step(DAM, "GEN-1", "N1", Sell, &sells)).await.unwrap());
    accepted(&gina.cancel("secret-1-c", orders::by_client_id("secret-1-z")).await.unwrap());
    let buys: Vec<_> = (1..=96).map(|period| (period, "5000", "10")).collect();
    accepted(&exchange.user("dora").submit("d-1", step(DAM, "DISCOM-1", "N2", Buy, &buys)).await.unwrap());
}

async fn look_everywhere(exchange: &Exchange) {
    let (dora, olga) = (exchange.user("dora"), exchange.user("olga"));
    keeps_silent("the market's stream", &told::<v1::StreamMarketResponse>(&dora).await);
    keeps_silent("another member's stream", &told::<v1::StreamEventsResponse>(&dora).await);
    keeps_silent("the operators' stream", &told::<v1::StreamOperatorEventsResponse>(&olga).await);
    let house = exchange.user("house");
    keeps_silent("the clearing house's stream", &told::<v1::StreamObligationsResponse>(&house).await);
    let nldc = exchange.user("nldc");
    keeps_silent("the dispatch centre's stream", &told::<v1::StreamDispatchResponse>(&nldc).await);
    let status = olga.operator().get_status(v1::GetStatusRequest {}).await.unwrap().into_inner();
    keeps_silent("status", &format!("{status:?}"));
    let counts = status.auctions.iter().find(|it| it.auction_id == DAM).unwrap();
    assert_eq!((counts.orders, counts.members), (2, 2));
    let request = v1::GetResultRequest { auction_id: DAM.into(), areas: Vec::new() };
    let result = dora.market().get_result(request).await.unwrap().into_inner().result.unwrap();
    assert!(result.areas.is_empty() && result.energy_watt_hours.is_none());
    let request = v1::GetCurvesRequest { auction_id: DAM.into(), area: None, periods: Vec::new() };
    assert!(dora.market().get_curves(request).await.unwrap().into_inner().curves.is_empty());
    let listed = dora.orders(v1::ListOrdersRequest::default()).await.unwrap();
    keeps_silent("another member's orders", &format!("{listed:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn before_publication_no_door_and_no_log_line_shows_anyone_elses_order() {
    let log = log();
    let mut exchange = Exchange::new(&[]).await;
    exchange.at("2026-11-22T04:30:00Z").await;
    enter_secrets(&exchange).await;
    look_everywhere(&exchange).await;
    // After the gate, and after a restart that reads every order again.
    exchange.at("2026-11-22T05:45:00Z").await;
    exchange.stop().await;
    exchange.start().await;
    look_everywhere(&exchange).await;
    let lines = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(lines.contains("SubmitOrder") && lines.contains("gina"), "the log is captured");
    keeps_silent("the log", &lines);
    exchange.at("2026-11-22T07:30:00Z").await;
    let curves = v1::GetCurvesRequest { auction_id: DAM.into(), area: None, periods: vec![1] };
    let curves = exchange.user("dora").market().get_curves(curves).await.unwrap().into_inner();
    assert!(format!("{curves:?}").contains("3917000000"), "published curves are for everybody");
}
