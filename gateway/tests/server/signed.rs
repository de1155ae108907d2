//! What goes to the dispatch centre is signed, and differences between revisions are there.

use crate::common::{DAM, Exchange, accepted, step};
use crate::day;
use merit_client::signed::{ExchangeKeys, SignatureError, changes};
use merit_client::{Client, v1};
use merit_gateway::cli::certs::{self, Plan};
use std::process::{Command, Output};
use std::time::SystemTime;
use tokio_stream::StreamExt as _;
use v1::Side::{Buy, Sell};

/// Delivers at one in the night: its gate closes at midnight, local time.
const SESSION: &str = "RTM-2026-11-23-03";

fn of(auction: &str) -> v1::GetSchedulesRequest {
    v1::GetSchedulesRequest { auction_id: Some(auction.into()), ..Default::default() }
}

async fn capacities(nldc: &Client, auction: &str, revision: u32) {
    let capacities = day::capacities(&day::auction(nldc, auction).await, 1_000_000_000);
    let request_id = format!("c-{auction}-{revision}");
    let auction_id = auction.to_owned();
    let asked = v1::SubmitTransferCapacityRequest { request_id, auction_id, revision, capacities };
    assert_eq!(nldc.submit_transfer_capacity(asked).await.unwrap().answer.unwrap().refused, None);
}

async fn trade(exchange: &Exchange, auction: &str) {
    let (gina, dora) = (exchange.user("gina"), exchange.user("dora"));
    let sell = step(auction, "GEN-1", "E1", Sell, &[(1, "2500", "10"), (2, "2500", "20")]);
    accepted(&gina.submit(format!("s-{auction}"), sell).await.unwrap());
    let buy = step(auction, "DISCOM-1", "N2", Buy, &[(1, "4000", "10"), (2, "4000", "12")]);
    accepted(&dora.submit(format!("b-{auction}"), buy).await.unwrap());
}

/// Runs a session again and cancels it before there is a result: revision 2 takes everything back.
async fn rerun_and_cancel(exchange: &Exchange, auction: &str) {
    let olga = exchange.user("olga");
    let otto = v1::RegisterUserRequest {
        request_id: "u-1".into(),
        user: "otto".into(),
        certificate_sha256: vec![7; 32],
        role: v1::Role::Operator.into(),
        ..Default::default()
    };
    assert_eq!(olga.register_user(otto).await.unwrap().answer.unwrap().refused, None);
    let auction_id = auction.to_owned();
    let rerun =
        v1::propose_act_request::Act::RerunAuction(v1::RerunAuctionAct { auction_id: auction_id.clone() });
    let cancel = v1::propose_act_request::Act::CancelAuction(v1::CancelAuctionAct { auction_id });
    for (number, act) in [rerun, cancel].into_iter().enumerate() {
        let asked = v1::ProposeActRequest {
            request_id: format!("p-{number}"),
            reason: "a wrong margin".into(),
            act: Some(act),
        };
        let proposal_id = olga.propose_act(asked).await.unwrap().proposal_id.unwrap();
        let asked = v1::ApproveActRequest { request_id: format!("q-{number}"), proposal_id };
        let answer = exchange.user("otto").approve_act(asked).await.unwrap().answer.unwrap();
        assert_eq!(answer.refused, None);
    }
}

fn merit(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_merit")).args(words).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_corridors_and_changes_are_signed_pulled_and_streamed() {
    let directory = tempfile::tempdir().unwrap();
    let plan = Plan::new(directory.path().to_owned(), &[], vec![], 2).unwrap();
    certs::make(&plan, SystemTime::now()).unwrap();
    let key = directory.path().join("signing.key").display().to_string();
    let public = directory.path().join("signing.pub");
    let keys = ExchangeKeys::read(&std::fs::read_to_string(&public).unwrap()).unwrap();
    let mut exchange = Exchange::new(&[("signing.key", &key)]).await;
    let nldc = exchange.user("nldc");
    exchange.at("2026-11-22T04:30:00Z").await;
    trade(&exchange, DAM).await;
    exchange.at("2026-11-22T05:30:00Z").await;
    let asked = v1::GetCorridorRequestRequest { auction_id: DAM.into() };
    let corridor = nldc.get_corridor_request(asked).await.unwrap().request.unwrap();
    keys.check_corridor(&corridor).unwrap();
    capacities(&nldc, DAM, 1).await;
    exchange.at("2026-11-22T05:31:00Z").await;

    // A session, run and then cancelled: two revisions.
    exchange.at("2026-11-22T18:15:00Z").await;
    trade(&exchange, SESSION).await;
    exchange.at("2026-11-22T18:30:00Z").await;
    capacities(&nldc, SESSION, 1).await;
    exchange.at("2026-11-22T18:31:00Z").await;
    let [first] = nldc.get_schedules(of(SESSION)).await.unwrap().schedules.try_into().unwrap();
    rerun_and_cancel(&exchange, SESSION).await;
    exchange.at("2026-11-22T18:32:00Z").await;
    let [second] = nldc.get_schedules(of(SESSION)).await.unwrap().schedules.try_into().unwrap();
    assert_eq!((first.revision, second.revision, first.rows.len(), second.rows.len()), (1, 2, 4, 0));
    for it in [&first, &second] {
        keys.check_schedule(it).unwrap();
    }
    let mut forged = first.clone();
    forged.rows[0].net_watts += 100_000;
    assert_eq!(keys.check_schedule(&forged), Err(SignatureError::Wrong));

    check_changes(&nldc, &keys, &first, &second).await;

    // The signature depends on the content and the key alone, also after a restart.
    exchange.stop().await;
    let sentinel = exchange.read_model().join("sentinel");
    std::fs::write(&sentinel, "").unwrap();
    exchange.start().await;
    let nldc = exchange.user("nldc");
    let request = v1::GetSchedulesRequest { revision: Some(1), ..of(SESSION) };
    let [again] = nldc.get_schedules(request).await.unwrap().schedules.try_into().unwrap();
    assert_eq!(again, first);
    check_files(&exchange, directory.path()).await;
    // A voided result is no reason to doubt the read model and to build it again.
    exchange.stop().await;
    assert!(sentinel.exists());
}

/// Differences, pulled and streamed.
async fn check_changes(nldc: &Client, keys: &ExchangeKeys, first: &v1::Schedule, second: &v1::Schedule) {
    let ask = |from_revision, to_revision| v1::GetScheduleChangesRequest {
        auction_id: SESSION.into(),
        from_revision,
        to_revision,
    };
    let pulled = nldc.get_schedule_changes(ask(1, None)).await.unwrap().changes.unwrap();
    keys.check_changes(&pulled).unwrap();
    let unsigned = v1::ScheduleChanges { signature: None, ..pulled.clone() };
    assert_eq!(unsigned, changes(Some(first), second));
    assert!(pulled.rows.len() == 4 && pulled.rows.iter().all(|it| it.after_watts == 0));
    assert!(nldc.get_schedule_changes(ask(1, Some(3))).await.is_err());
    let asked = v1::StreamScheduleChangesRequest { from_seq: Some(1) };
    let mut stream = nldc.dispatch().stream_schedule_changes(asked).await.unwrap().into_inner();
    let mut streamed = Vec::new();
    while streamed.len() < 5 {
        let message = stream.next().await.unwrap().unwrap();
        if let Some(v1::stream_schedule_changes_response::Event::Changes(it)) = message.event {
            keys.check_changes(&it).unwrap();
            streamed.push((it.auction_id.clone(), it.to_revision, it));
        }
    }
    let names: Vec<_> = streamed.iter().map(|it| (it.0.as_str(), it.1)).collect();
    // Nobody traded in the two sessions before.
    let before = ["RTM-2026-11-23-01", "RTM-2026-11-23-02"];
    assert_eq!(names, [(DAM, 1), (before[0], 1), (before[1], 1), (SESSION, 1), (SESSION, 2)]);
    assert_eq!(streamed[4].2, pulled);
}

/// `merit dispatch schedules --save` and `verify-schedule`, the latter with no connection.
async fn check_files(exchange: &Exchange, directory: &std::path::Path) {
    let public = directory.join("signing.pub").display().to_string();
    let saved = directory.join("saved").display().to_string();
    let url = exchange.url();
    let words: Vec<String> = ["dispatch", "schedules", SESSION, "--revision", "1", "--user", "nldc"]
        .into_iter()
        .chain(["--endpoint", &url, "--public", &public, "--save", &saved])
        .map(str::to_owned)
        .collect();
    let done =
        tokio::task::spawn_blocking(move || merit(&words.iter().map(String::as_str).collect::<Vec<_>>()));
    let done = done.await.unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && said.contains("1 signatures are the exchange's"), "{said}");
    let file = format!("{saved}/{SESSION}-1.schedule");
    let verify = ["dispatch", "verify-schedule", "--public", &public, &file];
    assert!(merit(&verify).status.success());
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(merit(&verify).status.code(), Some(3));
}
