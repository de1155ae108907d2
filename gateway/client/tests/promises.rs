//! The client's promises, kept against an exchange that loses answers, breaks streams and tells stale news.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod stub;

use merit_client::{CallError, Client, Config, ConnectError, EntryOptions, Retry, StreamError, orders, v1};
use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use stub::{Fault, Stub};
use tonic::Code;
use v1::order_answer::Outcome;

fn quick() -> Retry {
    Retry {
        attempt_max: Duration::from_millis(300),
        attempts: 4,
        wait_first: Duration::from_millis(1),
        wait_max: Duration::from_millis(4),
    }
}

fn client(stubs: &[&Stub]) -> Client {
    let endpoints: Vec<String> = stubs.iter().map(|stub| stub.endpoint()).collect();
    client_of(&endpoints.iter().map(String::as_str).collect::<Vec<_>>())
}

fn client_of(endpoints: &[&str]) -> Client {
    let mut config = Config::plaintext_loopback(endpoints, "alice");
    config.retry = quick();
    Client::new(config).unwrap()
}

fn order() -> v1::NewOrder {
    let points = [(3_141_590_000, 12_500_000)];
    orders::step("DAM-2026-11-24", "M1-P1", "N2", v1::Side::Sell, &[(33, &points)])
}

fn order_id(answer: &v1::OrderAnswer) -> u64 {
    match &answer.outcome {
        Some(Outcome::Accepted(accepted)) => accepted.order_id.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lost_answer_costs_a_repeat_and_no_second_order() {
    let stub = Stub::serve().await;
    for fault in [Fault::DoThenFail(Code::Unavailable), Fault::DoThenHang, Fault::DoThenFail(Code::Internal)]
    {
        stub.faults(vec![fault]);
        let before = stub.orders();
        let answer = client(&[&stub]).submit(format!("id-{before}"), order()).await.unwrap();
        assert!(answer.replayed);
        assert_eq!(stub.orders(), before + 1);
        assert_eq!(order_id(&answer), stub.orders());
    }
}

#[tokio::test]
async fn the_next_endpoint_is_tried_when_one_is_gone_or_not_primary() {
    let (standby, primary) = (Stub::serve().await, Stub::serve().await);
    standby.faults(vec![Fault::NotPrimary; 8]);
    let client_of_both = client(&[&standby, &primary]);
    assert_eq!(order_id(&client_of_both.submit("a", order()).await.unwrap()), 1);
    // It stays where it was answered.
    assert_eq!(order_id(&client_of_both.submit("b", order()).await.unwrap()), 2);
    assert_eq!((standby.calls(), primary.calls()), (1, 2));
    // Nobody listens on port 1.
    let client = client_of(&["http://127.0.0.1:1", &primary.endpoint()]);
    assert_eq!(order_id(&client.submit("c", order()).await.unwrap()), 3);
}

#[tokio::test]
async fn without_an_answer_the_outcome_is_unknown_and_never_failed() {
    let stub = Stub::serve().await;
    stub.faults(vec![Fault::DoThenFail(Code::Unavailable); 4]);
    let client = client(&[&stub]);
    let error = client.submit("a", order()).await.unwrap_err();
    assert!(
        matches!(&error, CallError::OutcomeUnknown { client_order_id, .. } if client_order_id == "a"),
        "{error}"
    );
    assert_eq!(stub.calls(), 4);
    // It was carried out, once; the look-up says so, and so does calling again.
    let found = client.order("a").await.unwrap().unwrap();
    assert_eq!(order_id(&found.answer.unwrap()), 1);
    assert_eq!(client.order("b").await.unwrap(), None);
    let answer = client.submit("a", order()).await.unwrap();
    assert!(answer.replayed);
    assert_eq!(stub.orders(), 1);
}

#[tokio::test]
async fn a_final_status_is_not_repeated_and_a_refusal_is_an_answer() {
    let stub = Stub::serve().await;
    for code in [Code::PermissionDenied, Code::InvalidArgument, Code::Unimplemented, Code::ResourceExhausted]
    {
        stub.faults(vec![Fault::Fail(code)]);
        let before = stub.calls();
        let error = client(&[&stub]).submit("a", order()).await.unwrap_err();
        assert!(matches!(&error, CallError::Status(status) if status.code() == code), "{error}");
        assert_eq!(stub.calls(), before + 1);
    }
    let client = client(&[&stub]);
    client.submit("a", order()).await.unwrap();
    let other = orders::linear("DAM-2026-11-24", "M1-P1", "N2", &[]);
    let refused = client.submit("a", other).await.unwrap();
    let Some(Outcome::Refused(refusal)) = refused.outcome else { panic!("{refused:?}") };
    assert_eq!(refusal.reason(), v1::RejectReason::ClientOrderIdReused);
}

#[tokio::test]
async fn a_throttled_call_waits_as_told() {
    let stub = Stub::serve().await;
    stub.faults(vec![Fault::Throttle(Duration::from_millis(60))]);
    let begun = std::time::Instant::now();
    client(&[&stub]).submit("a", order()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(60));
    assert_eq!((stub.calls(), stub.orders()), (2, 1));
}

fn entry_options() -> EntryOptions {
    EntryOptions { window: 4, batch_max: 2, answer_max: Duration::from_millis(300) }
}

#[tokio::test]
async fn order_entry_answers_every_command_by_its_id() {
    let stub = Stub::serve().await;
    let entry = client(&[&stub]).entry(entry_options());
    let mut pending = Vec::new();
    for number in 0..100 {
        pending.push((number, entry.send(orders::submit(format!("id-{number}"), order())).await));
    }
    for (number, answer) in pending {
        assert_eq!(answer.await.unwrap().client_order_id, format!("id-{number}"));
    }
    assert_eq!(stub.orders(), 100);
}

#[tokio::test]
async fn order_entry_sends_no_more_than_its_window() {
    let stub = Stub::serve().await;
    stub.withhold(true);
    let entry =
        client(&[&stub]).entry(EntryOptions { answer_max: Duration::from_secs(60), ..entry_options() });
    let mut pending = Vec::new();
    for number in 0..4 {
        pending.push(entry.send(orders::submit(format!("id-{number}"), order())).await);
    }
    let mut fifth = pin!(entry.send(orders::submit("id-4", order())));
    assert!(matches!(fifth.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    stub.withhold(false);
    let fifth = fifth.await;
    for answer in pending {
        answer.await.unwrap();
    }
    assert_eq!(fifth.await.unwrap().client_order_id, "id-4");
}

#[tokio::test]
async fn order_entry_resends_what_a_broken_stream_left_unanswered() {
    let (first, second) = (Stub::serve().await, Stub::serve().await);
    second.share_book_of(&first);
    // Each stream carries out its commands and breaks before the fifth answer; then endpoints change.
    first.break_after(5);
    second.break_after(5);
    let entry = client(&[&first, &second]).entry(entry_options());
    let mut pending = Vec::new();
    for number in 0..60 {
        pending.push(entry.send(orders::submit(format!("id-{number}"), order())).await);
    }
    let mut replayed = 0;
    for answer in pending {
        replayed += u32::from(answer.await.unwrap().replayed);
    }
    assert_eq!(first.orders(), 60);
    assert!(replayed > 0 && first.streams() > 1 && second.streams() > 1);
}

#[tokio::test]
async fn order_entry_tells_a_final_status_and_an_id_sent_twice() {
    let stub = Stub::serve().await;
    stub.faults(vec![Fault::Fail(Code::PermissionDenied)]);
    let entry = client(&[&stub]).entry(entry_options());
    let error = entry.send(orders::submit("a", order())).await.await.unwrap_err();
    assert!(
        matches!(&error, CallError::Status(status) if status.code() == Code::PermissionDenied),
        "{error}"
    );
    stub.withhold(true);
    let one = entry.send(orders::submit("b", order())).await;
    let two = entry.send(orders::submit("b", order())).await;
    assert!(matches!(two.await, Err(CallError::InFlight { client_order_id }) if client_order_id == "b"));
    stub.withhold(false);
    one.await.unwrap();
}

#[tokio::test]
async fn a_silent_order_entry_stream_is_given_up_for_the_next_endpoint() {
    let (silent, other) = (Stub::serve().await, Stub::serve().await);
    silent.withhold(true);
    let entry = client(&[&silent, &other])
        .entry(EntryOptions { answer_max: Duration::from_millis(50), ..entry_options() });
    let answer = entry.send(orders::submit("a", order())).await;
    answer.await.unwrap();
    assert_eq!(other.orders(), 1);
}

async fn numbers(events: &mut merit_client::Events<v1::StreamEventsResponse>, count: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    for _ in 0..count {
        let event = events.next().await.unwrap();
        seen.push(event.position.unwrap().seq.unwrap());
    }
    seen
}

#[tokio::test]
async fn events_come_once_in_order_whatever_the_streams_do() {
    use stub::Play::{Beat, Break, Event};
    let stub = Stub::serve().await;
    // A break, a message twice, a message left out, a lost tail that only heartbeats show.
    stub.plays(vec![
        vec![Beat(10), Event(1), Event(2), Break],
        vec![Beat(10), Event(3), Event(3), Event(2), Event(4), Event(6)],
        vec![Beat(10), Event(5), Event(6), Beat(10), Beat(10)],
        vec![Beat(10), Event(7), Event(8), Event(9), Event(10), Beat(10)],
    ]);
    let mut events = client(&[&stub]).events(Some(1));
    assert_eq!(numbers(&mut events, 10).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(stub.asked_from(), [Some(1), Some(3), Some(5), Some(7)]);
    assert_eq!((events.next_seq(), events.head_seq(), events.resumptions()), (Some(11), 10, 3));
    assert_eq!(events.next_known().await.unwrap(), None);
}

#[tokio::test]
async fn only_new_events_still_resume_without_a_gap() {
    use stub::Play::{Beat, Break, Event};
    let stub = Stub::serve().await;
    stub.plays(vec![vec![Beat(41), Break], vec![Beat(43), Event(42), Event(43)]]);
    let mut events = client(&[&stub]).events(None);
    assert_eq!(numbers(&mut events, 2).await, [42, 43]);
    assert_eq!(stub.asked_from(), [None, Some(42)]);
}

#[tokio::test]
async fn a_stale_primary_is_left() {
    use stub::Play::{Beat, Epoch, Event};
    let (old, new) = (Stub::serve().await, Stub::serve().await);
    new.plays(vec![vec![Epoch(2), Beat(1), Event(1), stub::Play::Break], vec![Epoch(2), Beat(2), Event(2)]]);
    old.plays(vec![vec![Epoch(1), Beat(9), Event(2)]]);
    let mut events = client(&[&new, &old]).events(Some(1));
    assert_eq!(numbers(&mut events, 2).await, [1, 2]);
    assert_eq!((old.asked_from().len(), new.asked_from().len()), (1, 2));
    assert_eq!(events.head_seq(), 2);
}

#[tokio::test]
async fn what_is_lost_for_good_is_said() {
    use stub::Play::{Beat, Event};
    let stub = Stub::serve().await;
    stub.plays(vec![vec![Beat(9), Event(1), Event(5)], vec![Beat(9), Event(5)]]);
    let mut events = client(&[&stub]).events(Some(1));
    numbers(&mut events, 1).await;
    let error = events.next().await.unwrap_err();
    assert!(matches!(error, StreamError::Lost { expected: 2, found: 5 }), "{error}");
    stub.plays(vec![vec![stub::Play::Fail(Code::OutOfRange)]]);
    let error = client(&[&stub]).events(Some(1)).next().await.unwrap_err();
    assert!(matches!(error, StreamError::TooOld(_)), "{error}");
}

#[tokio::test]
async fn lists_are_read_page_by_page_and_batches_answered_one_by_one() {
    let stub = Stub::serve().await;
    let client = client(&[&stub]);
    let commands = (0..5).map(|number| orders::submit(format!("id-{number}"), order())).collect();
    let answers = client.batch(commands).await.unwrap();
    assert_eq!(answers.iter().map(order_id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let listed = client.orders(v1::ListOrdersRequest::default()).await.unwrap();
    assert_eq!(listed.iter().map(|order| order.order_id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(client.who_am_i().await.unwrap().user, "alice");
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_named() {
    let refused = |endpoints: &[&str]| {
        Client::new(Config::plaintext_loopback(endpoints, "alice")).map(drop).unwrap_err()
    };
    assert!(matches!(refused(&[]), ConnectError::NoEndpoint));
    for endpoint in
        ["http://10.0.0.1:7443", "https://127.0.0.1:7443", "http://exchange.example:1", "127.0.0.1"]
    {
        assert!(matches!(refused(&[endpoint]), ConnectError::Endpoint { .. }), "{endpoint}");
    }
    let missing = Config::mutual_tls(&["https://127.0.0.1:1"], "no-such-file.pem", "a.pem", "a.key");
    let error = Client::new(missing).map(drop).unwrap_err();
    assert!(error.to_string().starts_with("no-such-file.pem"), "{error}");
}
