//! Operators' orders over real nodes, one after the other.

use super::cluster::{Cluster, DAM, name};
use merit_client::{orders, units, v1};
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) fn order() -> v1::NewOrder {
    let points = [(units::micros("2500").unwrap(), units::micros("0.1").unwrap())];
    orders::step(DAM, "GEN-1", "N1", v1::Side::Sell, &[(1, &points)])
}

pub(crate) async fn enter(cluster: &Cluster, id: &str) -> v1::OrderAnswer {
    let client = cluster.client("gina", 160);
    client.submit(id, order()).await.unwrap_or_else(|error| panic!("{id}: {error}\n{}", cluster.logs()))
}

pub(crate) fn accepted(answer: &v1::OrderAnswer) -> u64 {
    match &answer.outcome {
        Some(v1::order_answer::Outcome::Accepted(it)) => it.order_id.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Runs a verb of the command line as an operator.
pub(crate) fn verb(cluster: &Cluster, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_merit"));
    command.arg(arguments[0]).args(["--user", "otto"]);
    for node in 0..cluster.count() {
        command.args(["--endpoint", &cluster.url(node)]);
    }
    let output = command.args(&arguments[1..]).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_hands_over_fails_over_and_comes_together_again() {
    let mut cluster = Cluster::new(2, "sync-or-degrade");
    assert_eq!(cluster.together().await, 0);
    let first = accepted(&enter(&cluster, "before").await);
    let (code, said) = verb(&cluster, &["status"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("primary") && said.contains("standby"), "{said}");

    // Planned: nothing is lost, and the same id finds its answer at the new primary.
    let (code, said) =
        verb(&cluster, &["switchover", "--from", "n0", "--to", "n1", "--plan", "--at-any-moment"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = verb(&cluster, &["switchover", "--from", "n1", "--to", "n0", "--at-any-moment"]);
    assert_eq!(code, 5, "only the primary hands over: {said}");
    let (code, said) = verb(&cluster, &["switchover", "--from", "n0", "--to", "n1", "--at-any-moment"]);
    assert_eq!(code, 0, "{said}\n{}", cluster.logs());
    let again = enter(&cluster, "before").await;
    assert_eq!((accepted(&again), again.replayed), (first, true));
    assert_eq!(cluster.together().await, 1);

    // The standby answers reads, and turns orders away by name.
    let listed = cluster.at(0, "gina").orders(v1::ListOrdersRequest::default()).await.unwrap();
    assert_eq!(listed.len(), 1);
    let refused = cluster.at(0, "gina").submit("elsewhere", order()).await.unwrap_err();
    assert!(refused.to_string().contains("standby"), "{refused}");

    // The primary dies; an operator orders the standby to lead, and names the node that loses the role.
    let second = accepted(&enter(&cluster, "second").await);
    cluster.kill(1);
    let (code, said) = verb(&cluster, &["failover", "--to", "n0", "--lost", "n7"]);
    assert_eq!(code, 5, "{said}");
    let begun = Instant::now();
    let (code, said) = verb(&cluster, &["failover", "--to", "n0", "--lost", "n1"]);
    assert_eq!(code, 0, "{said}\n{}", cluster.logs());
    assert!(said.contains("may be lost"), "{said}");
    let again = enter(&cluster, "second").await;
    assert_eq!((accepted(&again), again.replayed), (second, true), "after {:?}", begun.elapsed());
    let (code, said) = verb(&cluster, &["status"]);
    assert_eq!(code, 10, "one is gone, the other alone: {said}");

    // It comes back as standby, and the journal knows all of it.
    cluster.spawn(1);
    assert_eq!(cluster.together().await, 0);
    accepted(&enter(&cluster, "third").await);
    let (code, said) = verb(&cluster, &["history", "-o", "csv"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(said.lines().count(), 4, "{said}");
    let begun = Instant::now();
    loop {
        let (code, said) = verb(&cluster, &["status"]);
        if code == 0 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{said}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for node in 0..2 {
        let listed = cluster.at(node, "gina").orders(v1::ListOrdersRequest::default()).await.unwrap();
        assert_eq!(listed.len(), 3, "{}", name(node));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_synchronous_mode_nothing_is_acknowledged_without_a_standby() {
    let mut cluster = Cluster::new(2, "sync");
    cluster.together().await;
    accepted(&enter(&cluster, "with").await);
    cluster.kill(1);
    let client = cluster.at(0, "gina");
    let waiting = tokio::time::timeout(Duration::from_millis(800), client.submit("without", order())).await;
    assert!(!matches!(waiting, Ok(Ok(_))), "acknowledged on one disk: {waiting:?}");
    cluster.spawn(1);
    cluster.together().await;
    let answer = enter(&cluster, "without").await;
    assert!(answer.replayed, "it was journaled, and acknowledged when a standby had it");
}
