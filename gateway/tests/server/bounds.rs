//! What one client can use up is bounded: messages, batches, the inbox, the disk, connections.

use crate::common::{DAM, Exchange, accepted, step};
use crate::rights::{over_tls, tls_user};
use merit_client::{Client, orders, reason, v1};
use merit_gateway::server::run::Substitutes;
use merit_replay::storage::faulty::{Faults, FaultyDisk};
use std::collections::VecDeque;
use std::io::Write as _;
use std::time::Duration;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;
use v1::Side::Sell;

const OPEN: &str = "2026-11-22T04:30:00Z";

fn sell(quantity: &str) -> v1::NewOrder {
    step(DAM, "GEN-1", "N1", Sell, &[(1, "2500", quantity)])
}

/// One attempt, without the client's retries.
async fn submit(client: &Client, id: &str) -> Result<v1::OrderAnswer, tonic::Status> {
    let request = v1::SubmitOrderRequest { client_order_id: id.into(), order: Some(sell("10")) };
    Ok(client.member().submit_order(request).await?.into_inner().answer.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_is_told_the_limit() {
    let exchange =
        Exchange::new(&[("limits.request_bytes_max", "4096"), ("limits.batch_commands_max", "10")]).await;
    exchange.at(OPEN).await;
    let gina = exchange.user("gina");
    let points: Vec<_> = (1..=96).map(|period| (period, "2500", "10")).collect();
    let large = step(DAM, "GEN-1", "N1", Sell, &points.repeat(5));
    let request = v1::SubmitOrderRequest { client_order_id: "g-1".into(), order: Some(large) };
    let status = gina.member().submit_order(request).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::ResourceExhausted, Some("REQUEST_TOO_LARGE".into())));
    assert_eq!(status.get_details_error_info().unwrap().metadata["limit_bytes"], "4096");
    let commands = (0..11).map(|n| orders::submit(format!("b-{n}"), sell("10"))).collect();
    let status = gina.member().submit_batch(v1::SubmitBatchRequest { commands }).await.unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().metadata["limit_commands"], "10");
    accepted(&gina.submit("g-2", sell("10")).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_inbox_turns_commands_away_with_a_time_to_retry_and_loses_none() {
    let exchange = Exchange::new(&[("limits.inbox_commands_max", "2")]).await;
    exchange.at(OPEN).await;
    let gina = exchange.user("gina");
    accepted(&submit(&gina, "g-0").await.unwrap());
    // The core is held while it answers a query.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (entered, inside) = tokio::sync::oneshot::channel();
    let core = exchange.running().node().inbox.core().clone();
    core.query(move |_, _| {
        entered.send(()).unwrap();
        held.recv().unwrap();
    })
    .unwrap();
    inside.await.unwrap();
    let waiting: Vec<_> = ["g-1", "g-2"]
        .map(|id| {
            let gina = gina.clone();
            tokio::spawn(async move { submit(&gina, id).await })
        })
        .into_iter()
        .collect();
    while core.status().waiting < 2 {
        tokio::task::yield_now().await;
    }
    let status = submit(&gina, "g-3").await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Unavailable, Some("OVERLOADED".into())));
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    release.send(()).unwrap();
    for answer in waiting {
        accepted(&answer.await.unwrap().unwrap());
    }
    accepted(&gina.submit("g-3", sell("10")).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_a_bounded_number_of_streams_and_gets_a_place_back_when_one_ends() {
    let exchange = Exchange::new(&[("limits.streams_per_user_max", "2")]).await;
    let gina = exchange.user("gina");
    let open = || async {
        let request = v1::StreamMarketRequest { from_seq: Some(1) };
        gina.market().stream_market(request).await
    };
    let (_first, second) = (open().await.unwrap(), open().await.unwrap());
    let status = open().await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::ResourceExhausted, Some("TOO_MANY_STREAMS".into())));
    // Others have their own places.
    let request = v1::StreamMarketRequest { from_seq: Some(1) };
    exchange.user("dora").market().stream_market(request).await.unwrap();
    drop(second);
    while open().await.is_err() {
        tokio::task::yield_now().await;
    }
}

async fn health(exchange: &Exchange, service: &str) -> ServingStatus {
    let channel = tonic::transport::Channel::from_shared(exchange.url()).unwrap().connect().await.unwrap();
    let request = HealthCheckRequest { service: service.into() };
    HealthClient::new(channel).check(request).await.unwrap().into_inner().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_orders_but_not_reads_and_orders_go_on_when_space_returns() {
    let mut exchange = Exchange::new(&[]).await;
    exchange.stop().await;
    let disk = FaultyDisk::new(1);
    let storage: Box<dyn merit_replay::storage::Storage> = Box::new(disk.clone());
    let data = exchange.data.path().join("other");
    exchange.settings.push(("node.data".into(), data.display().to_string()));
    let segment_bytes = Some(64 * 1024);
    exchange
        .start_with(Substitutes { storage: Some(storage), segment_bytes, ..Substitutes::default() })
        .await;
    exchange.at(OPEN).await;
    let gina = exchange.user("gina");
    accepted(&submit(&gina, "g-0").await.unwrap());
    disk.set_faults(Faults { capacity_bytes: Some(0), ..Faults::default() });
    let mut taken = 1;
    let status = loop {
        match submit(&gina, &format!("g-{taken}")).await {
            Ok(answer) => {
                accepted(&answer);
                taken += 1;
            }
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status)), (Code::Unavailable, Some("STORAGE_UNAVAILABLE".into())));
    assert!(status.get_details_retry_info().is_some());
    // Reads go on.
    let listed = gina.orders(v1::ListOrdersRequest::default()).await.unwrap();
    assert_eq!(listed.len(), taken);
    let olga = exchange.user("olga");
    let node = olga.operator().get_status(v1::GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(node.role(), v1::NodeRole::ReadOnly);
    assert!(node.alarms[0].contains("no space"), "{:?}", node.alarms);
    while health(&exchange, "merit.v1.MemberService").await == ServingStatus::Serving {
        tokio::task::yield_now().await;
    }
    assert_eq!(health(&exchange, "merit.v1.MarketDataService").await, ServingStatus::Serving);
    // Space returns, and with it the market; the client's own retries bridge the time until then.
    disk.set_faults(Faults::default());
    accepted(&gina.submit(format!("g-{taken}"), sell("10")).await.unwrap());
    let listed = gina.orders(v1::ListOrdersRequest::default()).await.unwrap();
    assert_eq!(listed.len(), taken + 1);
}

/// A small file system of its own, if this process may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(directory.path())
            .output();
        mount.ok().filter(|it| it.status.success()).map(|_| Self(directory))
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.path().join("filler")).unwrap();
        while file.write_all(&[1; 4_096]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_disk_that_is_full_stops_orders_only_until_it_has_space() {
    let Some(small) = SmallDisk::mount("16m") else {
        eprintln!("skipped: this process may not mount a file system");
        return;
    };
    let mut exchange = Exchange::new(&[]).await;
    exchange.stop().await;
    exchange.settings.push(("node.data".into(), small.0.path().join("data").display().to_string()));
    let substitutes = || Substitutes { segment_bytes: Some(64 * 1024), ..Substitutes::default() };
    exchange.start_with(substitutes()).await;
    exchange.at(OPEN).await;
    let gina = exchange.user("gina");
    accepted(&submit(&gina, "g-0").await.unwrap());
    small.fill();
    let mut taken = 1;
    while let Ok(answer) = submit(&gina, &format!("g-{taken}")).await {
        accepted(&answer);
        taken += 1;
    }
    // Long enough for the read model to want the disk too.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let listed = gina.orders(v1::ListOrdersRequest::default()).await.unwrap();
    assert_eq!(listed.len(), taken);
    assert!(gina.order("g-0").await.unwrap().is_some());
    std::fs::remove_file(small.0.path().join("filler")).unwrap();
    accepted(&gina.submit(format!("g-{taken}"), sell("10")).await.unwrap());
    assert_eq!(gina.orders(v1::ListOrdersRequest::default()).await.unwrap().len(), taken + 1);
    exchange.stop().await;
    exchange.start_with(substitutes()).await;
    let listed = exchange.user("gina").orders(v1::ListOrdersRequest::default()).await.unwrap();
    assert_eq!(listed.len(), taken + 1);
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_that_send_nothing_keep_no_member_from_trading() {
    let certificates = tempfile::tempdir().unwrap();
    let settings = [("limits.pending_max", "64"), ("limits.pending_per_address_max", "64")];
    let exchange = over_tls(certificates.path(), &settings).await;
    exchange.at(OPEN).await;
    let address = exchange.running().address();
    let gina = tls_user(&exchange, certificates.path(), "gina");
    let mut silent = VecDeque::new();
    for number in 0..10_000 {
        let connection = tokio::net::TcpStream::connect(address).await;
        // The test's own files are bounded too: the oldest go. The node has given them up long ago.
        silent.extend(connection.ok());
        if silent.len() > 200 {
            silent.pop_front();
        }
        if number % 1_000 == 999 {
            accepted(&gina.submit(format!("g-{number}"), sell("10")).await.unwrap());
            // And somebody who was not connected before gets in.
            let fresh = tls_user(&exchange, certificates.path(), "gina");
            tokio::time::timeout(Duration::from_secs(30), fresh.who_am_i()).await.unwrap().unwrap();
        }
    }
    let counts = exchange.running().node().door.get().unwrap().counts();
    assert!(counts.pending_peak <= 64, "{counts:?}");
    assert!(counts.evicted > 5_000, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_not_serving_before_the_node_goes() {
    let mut exchange = Exchange::new(&[]).await;
    assert_eq!(health(&exchange, "").await, ServingStatus::Serving);
    let channel = tonic::transport::Channel::from_shared(exchange.url()).unwrap().connect().await.unwrap();
    let request = HealthCheckRequest { service: "merit.v1.MemberService".into() };
    let mut watch = HealthClient::new(channel).watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let running = exchange.running.take().unwrap();
    let stopping = tokio::spawn(running.stop());
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    drop(watch);
    stopping.await.unwrap().unwrap();
}

/// Names of the services that reflection shows.
async fn reflected(exchange: &Exchange) -> Vec<String> {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let channel = tonic::transport::Channel::from_shared(exchange.url()).unwrap().connect().await.unwrap();
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = tokio_stream::iter([request]);
    let mut answers =
        ServerReflectionClient::new(channel).server_reflection_info(requests).await.unwrap().into_inner();
    match answers.message().await.unwrap().unwrap().message_response {
        Some(MessageResponse::ListServicesResponse(it)) => it.service.into_iter().map(|it| it.name).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_shows_what_this_release_answers_and_nothing_else() {
    let exchange = Exchange::new(&[]).await;
    let shown = reflected(&exchange).await;
    assert!(shown.contains(&"merit.v1.MemberService".to_owned()), "{shown:?}");
    assert!(shown.contains(&"grpc.health.v1.Health".to_owned()), "{shown:?}");
    assert!(!shown.contains(&"merit.v1.ReplicationService".to_owned()), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_found_by_its_request_id() {
    let exchange = Exchange::new(&[]).await;
    let gina = exchange.user("gina");
    let mut request = tonic::Request::new(v1::WhoAmIRequest {});
    request.metadata_mut().insert("x-request-id", "my-own-17".parse().unwrap());
    let response = gina.member().who_am_i(request).await.unwrap();
    assert_eq!(response.metadata().get("x-request-id").unwrap(), "my-own-17");
    let response = gina.member().who_am_i(v1::WhoAmIRequest {}).await.unwrap();
    assert_eq!(response.metadata().get("x-request-id").unwrap().len(), 16);
}
