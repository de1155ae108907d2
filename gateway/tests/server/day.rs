//! A trading day on a manual clock: orders, gate, capacities, results, schedules, money.

use crate::common::{DAM, Exchange, accepted, refused, step};
use merit_client::{Client, orders, units, v1};
use v1::Side::{Buy, Sell};
use v1::stream_events_response::Event;

const PERIODS: u32 = 96;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_through_the_journal_into_the_engine_and_its_event_comes_back() {
    let exchange = Exchange::new(&[]).await;
    exchange.at("2026-11-22T04:30:00Z").await;
    let gina = exchange.user("gina");
    let answer = gina.submit("g-1", step(DAM, "GEN-1", "N1", Sell, &[(1, "2500", "100")])).await.unwrap();
    let (id, version) = accepted(&answer);
    assert_eq!(version, 1);
    assert_eq!(answer.seq, Some(1));
    let mut events = gina.events(Some(1));
    let event = events.next().await.unwrap();
    assert_eq!(event.position.as_ref().and_then(|it| it.seq), Some(1));
    let Some(Event::Order(order)) = event.event else { panic!("{event:?}") };
    assert_eq!((order.order_id, order.client_order_id.as_str(), order.area.as_str()), (id, "g-1", "N1"));
    assert_eq!(order.state(), v1::OrderState::Live);
}

/// Capacities of every line, the same in every period.
pub(crate) fn capacities(auction: &v1::Auction, watts: i64) -> Vec<v1::LineCapacity> {
    let both = [v1::Direction::Forward, v1::Direction::Backward];
    let periods = usize::try_from(auction.periods).unwrap();
    let lines = auction.lines.iter().flat_map(|line| both.map(|direction| (line.line.clone(), direction)));
    lines
        .map(|(line, direction)| v1::LineCapacity {
            line,
            direction: direction.into(),
            capacity_watts: vec![watts; periods],
        })
        .collect()
}

pub(crate) async fn auction(client: &Client, auction_id: &str) -> v1::Auction {
    let request = v1::GetAuctionRequest { auction_id: auction_id.into() };
    client.market().get_auction(request).await.unwrap().into_inner().auction.unwrap()
}

async fn result(client: &Client, auction_id: &str) -> v1::Result {
    let request = v1::GetResultRequest { auction_id: auction_id.into(), areas: Vec::new() };
    client.market().get_result(request).await.unwrap().into_inner().result.unwrap()
}

/// 100 MW offered at 2,500 in N1; 60 MW wanted at up to 4,000 in N2, 30 more at up to 2,000.
async fn enter_orders(exchange: &Exchange) {
    let sells: Vec<_> = (1..=PERIODS).map(|period| (period, "2500", "100")).collect();
    let gina = exchange.user("gina");
    accepted(&gina.submit("g-1", step(DAM, "GEN-1", "N1", Sell, &sells)).await.unwrap());
    let dora = exchange.user("dora");
    for (id, price, quantity) in [("d-1", "4000", "60"), ("d-2", "2000", "30")] {
        let buys: Vec<_> = (1..=PERIODS).map(|period| (period, price, quantity)).collect();
        accepted(&dora.submit(id, step(DAM, "DISCOM-1", "N2", Buy, &buys)).await.unwrap());
    }
}

pub(crate) async fn send_capacities(exchange: &Exchange, watts: i64) -> v1::RequestAnswer {
    let nldc = exchange.user("nldc");
    let request = v1::SubmitTransferCapacityRequest {
        request_id: "cap-1".into(),
        auction_id: DAM.into(),
        revision: 1,
        capacities: capacities(&auction(&nldc, DAM).await, watts),
    };
    nldc.dispatch().submit_transfer_capacity(request).await.unwrap().into_inner().answer.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_ahead_auction_runs_from_its_opening_to_schedules_and_money() {
    let exchange = Exchange::new(&[]).await;
    let (gina, dora, nldc) = (exchange.user("gina"), exchange.user("dora"), exchange.user("nldc"));
    let shown = auction(&gina, DAM).await;
    assert_eq!(shown.phase(), v1::AuctionPhase::Scheduled);
    assert_eq!(shown.phase_next(), v1::AuctionPhase::Open);
    assert_eq!((shown.rows.len(), shown.areas.len(), shown.lines.len()), (96, 13, 17));
    let row = &shown.rows[95];
    assert_eq!((row.block, row.blocks, row.resolution_minutes), (96, 96, 15));
    assert_eq!(row.currency, "INR");

    exchange.at("2026-11-22T04:30:00Z").await;
    enter_orders(&exchange).await;
    assert_eq!(auction(&gina, DAM).await.phase(), v1::AuctionPhase::Open);
    assert_eq!(result(&gina, DAM).await.status(), v1::PublicationStatus::NotPublished);

    // The gate: what is entered now is too late, and the book is sealed.
    exchange.at("2026-11-22T05:30:00Z").await;
    let late = gina.submit("g-2", step(DAM, "GEN-1", "N1", Sell, &[(1, "1", "1")])).await.unwrap();
    assert_eq!(refused(&late), (v1::RejectReason::GateClosed, "order.auction_id".into()));
    let sealed = gina.order("g-1").await.unwrap().unwrap().order.unwrap();
    assert_eq!(sealed.state(), v1::OrderState::Sealed);
    assert!(sealed.result.is_none());

    let request = v1::GetCorridorRequestRequest { auction_id: DAM.into() };
    let corridor = nldc.dispatch().get_corridor_request(request).await.unwrap().into_inner();
    let corridor = corridor.request.unwrap();
    let injected: i64 = corridor.areas.iter().map(|it| it.injection_watts - it.drawal_watts).sum();
    assert_eq!(injected, 0);
    let n1 = corridor.areas.iter().find(|it| it.area == "N1").unwrap();
    assert_eq!(n1.injection_watts, units::micros("60").unwrap());
    assert_eq!(send_capacities(&exchange, units::micros("40").unwrap()).await.refused, None);

    exchange.at("2026-11-22T07:30:00Z").await;
    let published = result(&dora, DAM).await;
    assert_eq!(published.status(), v1::PublicationStatus::Final);
    // Two ways from N1 to N2, each of 40 MW, carry the 60 MW: one price everywhere on the way.
    let cell = |area: &str| published.areas.iter().find(|it| it.area == area).unwrap();
    assert_eq!(cell("N2").bought_watts, units::micros("60").unwrap());
    assert_eq!(cell("N1").sold_watts, units::micros("60").unwrap());
    assert_eq!(cell("N1").price_micros_per_mwh, units::micros("2500").unwrap());
    let net: i64 = published.areas.iter().map(|it| it.net_position_watts).sum();
    assert_eq!(net, 0);
    check_explanations(&gina, &dora).await;
    check_curves(&dora).await;
    check_schedule(&nldc).await;
    check_money(&exchange).await;
}

async fn check_explanations(gina: &Client, dora: &Client) {
    let explained = gina.explain(orders::by_client_id("g-1")).await.unwrap();
    assert_eq!(explained.status(), v1::PublicationStatus::Final);
    assert_eq!(explained.order.as_ref().unwrap().state(), v1::OrderState::Executed);
    assert_eq!(explained.lines.len(), 96);
    let explained_id = explained.order.as_ref().unwrap().order_id;
    assert_eq!(
        explained.lines[0],
        "period 1 at 2500 INR/MWh: sold 60 MW; its share of what was left at the clearing price"
    );
    let explained = dora.explain(orders::by_client_id("d-2")).await.unwrap();
    assert_eq!(explained.order.as_ref().unwrap().state(), v1::OrderState::NotExecuted);
    assert!(explained.lines[95].ends_with("traded nothing; the clearing price does not reach its limit"));
    // Nobody's orders can be explained to another.
    let foreign = dora.explain(orders::by_order_id(explained_id)).await;
    assert!(foreign.is_err());
}

async fn check_curves(client: &Client) {
    let request = |area: Option<&str>| v1::GetCurvesRequest {
        auction_id: DAM.into(),
        area: area.map(ToOwned::to_owned),
        periods: vec![1],
    };
    let curves = client.market().get_curves(request(None)).await.unwrap().into_inner().curves;
    assert_eq!(curves.len(), 1);
    let point = |price: &str, quantity: &str| v1::CurvePoint {
        price_micros_per_mwh: units::micros(price).unwrap(),
        quantity_watts: units::micros(quantity).unwrap(),
    };
    assert_eq!(curves[0].demand, [point("4000", "60"), point("2500", "60"), point("2000", "90")]);
    assert_eq!(curves[0].supply, [point("2500", "100")]);
    let of_area = client.market().get_curves(request(Some("N1"))).await.unwrap().into_inner().curves;
    assert_eq!(of_area[0].area.as_deref(), Some("N1"));
    assert!(of_area[0].demand.is_empty());
}

async fn check_schedule(nldc: &Client) {
    let request = v1::GetSchedulesRequest { delivery_day: Some("2026-11-23".into()), ..Default::default() };
    let schedules = nldc.dispatch().get_schedules(request.clone()).await.unwrap().into_inner().schedules;
    assert_eq!(schedules.len(), 1);
    assert_eq!(schedules[0].rows.len(), 192);
    assert!(!schedules[0].acknowledged);
    let acknowledge = v1::AcknowledgeScheduleRequest {
        request_id: "ack-1".into(),
        auction_id: DAM.into(),
        revision: schedules[0].revision,
    };
    let answer = nldc.dispatch().acknowledge_schedule(acknowledge).await.unwrap().into_inner().answer;
    assert_eq!(answer.unwrap().refused, None);
    let schedules = nldc.dispatch().get_schedules(request).await.unwrap().into_inner().schedules;
    assert!(schedules[0].acknowledged);
}

async fn check_money(exchange: &Exchange) {
    let house = exchange.user("house");
    let request = v1::GetTrialBalanceRequest { delivery_day: None };
    let balance = house.settlement().get_trial_balance(request).await.unwrap().into_inner();
    assert_eq!(balance.sum, "0");
    // 60 MW for 24 h at 2,500, 20 Rs/MWh of fees, and 18 % of tax on them.
    let of = |member: &str| {
        let own = balance.accounts.iter().find(|it| it.account.as_ref().unwrap().member() == member);
        own.unwrap().balance.clone()
    };
    assert_eq!(of("GEN"), "3566016");
    assert_eq!(of("DISCOM"), "-3633984");
    let request = v1::GetStatementRequest { delivery_day: "2026-11-23".into(), member: None, run: None };
    let statement = exchange.user("dora").settlement().get_statement(request).await.unwrap().into_inner();
    assert_eq!((statement.member.as_str(), statement.lines.len()), ("DISCOM", 3));
    assert_eq!(statement.net_micros, Some(-3_633_984_000_000));
    assert_eq!(statement.lines[0].bought_watt_hours, 1_440_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_time_session_takes_orders_for_a_quarter_of_an_hour() {
    let exchange = Exchange::new(&[]).await;
    // Session 17 delivers from 08:00: it opens at 06:45 and closes at 07:00 local time.
    let session = "RTM-2026-11-23-17";
    let (gina, dora) = (exchange.user("gina"), exchange.user("dora"));
    exchange.at("2026-11-23T01:14:59Z").await;
    let early = gina.submit("g-1", step(session, "GEN-1", "N2", Sell, &[(1, "2000", "5")])).await.unwrap();
    assert_eq!(refused(&early).0, v1::RejectReason::NotOpen);
    exchange.at("2026-11-23T01:15:00Z").await;
    // What a retry can cure leaves the id free.
    accepted(&gina.submit("g-1", step(session, "GEN-1", "N2", Sell, &[(1, "2000", "5")])).await.unwrap());
    accepted(
        &dora
            .submit("d-1", step(session, "DISCOM-1", "N2", Buy, &[(1, "3000", "5"), (2, "3000", "5")]))
            .await
            .unwrap(),
    );
    exchange.at("2026-11-23T01:45:00Z").await;
    let published = result(&gina, session).await;
    assert_eq!(published.status(), v1::PublicationStatus::Final);
    let cell = |period: u32| {
        let wanted = |it: &&v1::AreaRow| it.area == "N2" && it.row.as_ref().unwrap().period == period;
        published.areas.iter().find(wanted).unwrap().clone()
    };
    assert_eq!(cell(1).bought_watts, units::micros("5").unwrap());
    assert_eq!(cell(1).price_micros_per_mwh, units::micros("2500").unwrap());
    assert_eq!(cell(1).row.unwrap().block, 33);
    assert_eq!(cell(2).bought_watts, 0);
}
