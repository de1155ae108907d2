//! Who may do what: certificates, roles, members, portfolios.

use crate::common::{DAM, Exchange, accepted, refused, step};
use merit_client::{Client, Config as ClientConfig, orders, reason, v1};
use merit_gateway::cli::certs::{self, Plan};
use std::path::Path;
use std::time::SystemTime;
use tonic::Code;
use v1::RejectReason as Why;
use v1::Side::{Buy, Sell};

const OPEN: &str = "2026-11-22T04:30:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_acts_for_another_member() {
    let exchange = Exchange::new(&[]).await;
    exchange.at(OPEN).await;
    let (gina, dora, dirk) = (exchange.user("gina"), exchange.user("dora"), exchange.user("dirk"));
    let sell = |portfolio: &str| step(DAM, portfolio, "N2", Sell, &[(1, "2500", "10")]);
    let order = accepted(&gina.submit("g-1", sell("GEN-1")).await.unwrap()).0;
    let foreign = dora.submit("d-1", sell("GEN-1")).await.unwrap();
    assert_eq!(refused(&foreign), (Why::UnknownPortfolio, "order.portfolio".into()));
    let taken = dora.cancel("d-2", orders::by_order_id(order)).await.unwrap();
    assert_eq!(refused(&taken).0, Why::UnknownOrder);
    let named = dora.cancel("d-3", orders::by_client_id("g-1")).await.unwrap();
    assert_eq!(refused(&named).0, Why::UnknownOrder);
    assert!(dora.order("g-1").await.unwrap().is_none());
    // A trader of one portfolio may not trade another of its own member, nor in an area not allowed.
    let narrow = dirk.submit("k-1", sell("DISCOM-1")).await.unwrap();
    assert_eq!(refused(&narrow).0, Why::UnknownPortfolio);
    accepted(&dirk.submit("k-2", sell("DISCOM-2")).await.unwrap());
    let away = step(DAM, "DISCOM-1", "S1", Buy, &[(1, "2500", "10")]);
    assert_eq!(refused(&dora.submit("d-4", away).await.unwrap()).0, Why::AreaNotPermitted);
    assert_eq!(gina.orders(v1::ListOrdersRequest::default()).await.unwrap().len(), 1);
}

fn code(result: Result<impl Sized, tonic::Status>) -> (Code, Option<String>) {
    let status = result.err().unwrap();
    (status.code(), reason(&status))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_is_for_its_role() {
    let exchange = Exchange::new(&[]).await;
    let denied = (Code::PermissionDenied, Some("ROLE_NOT_PERMITTED".to_owned()));
    let (gina, gustav, olga) = (exchange.user("gina"), exchange.user("gustav"), exchange.user("olga"));
    assert_eq!(code(gina.operator().get_status(v1::GetStatusRequest {}).await), denied);
    let balance = v1::GetTrialBalanceRequest { delivery_day: None };
    assert_eq!(code(olga.settlement().get_trial_balance(balance).await), denied);
    let corridor = v1::GetCorridorRequestRequest { auction_id: DAM.into() };
    assert_eq!(code(gina.dispatch().get_corridor_request(corridor).await), denied);
    assert_eq!(code(olga.member().list_orders(v1::ListOrdersRequest::default()).await), denied);
    let submit = v1::SubmitBatchRequest { commands: Vec::new() };
    assert_eq!(code(gustav.member().submit_batch(submit).await), denied);
    assert!(gustav.orders(v1::ListOrdersRequest::default()).await.unwrap().is_empty());
    let stranger = exchange.user("mallory");
    let unknown = (Code::Unauthenticated, Some("UNAUTHENTICATED".to_owned()));
    assert_eq!(code(stranger.member().who_am_i(v1::WhoAmIRequest {}).await), unknown);
    let nothing = v1::ApproveActRequest { request_id: "a-1".into(), proposal_id: "act-1".into() };
    let answer = olga.approve_act(nothing).await.unwrap().answer.unwrap();
    assert_eq!(answer.refused.unwrap().reason(), Why::UnknownProposal);
}

#[tokio::test(flavor = "multi_thread")]
async fn collateral_is_read_by_its_member_and_changed_by_operators() {
    let exchange = Exchange::new(&[]).await;
    let (dora, olga, nldc) = (exchange.user("dora"), exchange.user("olga"), exchange.user("nldc"));
    let denied = (Code::PermissionDenied, Some("ROLE_NOT_PERMITTED".to_owned()));
    let deposit = |amount_micros: i64, request_id: &str| v1::DepositRequest {
        request_id: request_id.into(),
        member: "DISCOM".into(),
        amount_micros,
    };
    assert_eq!(code(dora.risk().deposit(deposit(1_000_000, "d-0")).await), denied);
    assert_eq!(code(nldc.risk().get_collateral(v1::GetCollateralRequest::default()).await), denied);
    // A member that asks for another is shown its own.
    let asked = v1::GetCollateralRequest { member: Some("GEN".into()) };
    let own = dora.get_collateral(asked).await.unwrap().collateral.unwrap();
    assert_eq!((own.member.as_str(), own.currency.as_str()), ("DISCOM", "INR"));
    let before = own.available_micros;
    for (amount, id) in [(0, "d-1"), (-1_000_000, "d-2"), (1, "d-3"), (i64::MAX - 5_807, "d-4")] {
        let answer = olga.deposit(deposit(amount, id)).await.unwrap().answer.unwrap();
        assert_eq!(answer.refused.map(|it| it.reason()), Some(Why::AmountOutOfRange), "{amount}");
    }
    let answer = olga.deposit(deposit(12_340_000, "d-5")).await.unwrap().answer.unwrap();
    assert_eq!(answer.refused, None);
    assert!(olga.deposit(deposit(12_340_000, "d-5")).await.unwrap().answer.unwrap().replayed);
    let own = dora.get_collateral(v1::GetCollateralRequest::default()).await.unwrap().collateral.unwrap();
    assert_eq!(own.available_micros, before + 12_340_000);
    let withdraw = v1::WithdrawRequest {
        request_id: "w-1".into(),
        member: "DISCOM".into(),
        amount_micros: own.available_micros + 10_000,
    };
    let refusal = olga.withdraw(withdraw).await.unwrap().answer.unwrap().refused.unwrap();
    assert_eq!((refusal.reason(), refusal.missing), (Why::CollateralInUse, Some(10_000)));
    let clearance =
        v1::ClearanceEntry { portfolio: "GEN-1".into(), area: "N1".into(), buy_watts: 0, sell_watts: 5 };
    let set = v1::SetClearanceRequest { request_id: "c-1".into(), clearance: Some(clearance.clone()) };
    assert_eq!(olga.set_clearance(set).await.unwrap().answer.unwrap().refused, None);
    let listed = exchange.user("gina").list_clearances(v1::ListClearancesRequest::default()).await.unwrap();
    assert_eq!(listed.clearances, [clearance]);
    assert!(dora.list_clearances(v1::ListClearancesRequest::default()).await.unwrap().clearances.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_holds_at_once_and_can_be_lifted() {
    let exchange = Exchange::new(&[]).await;
    exchange.at(OPEN).await;
    let (gina, olga) = (exchange.user("gina"), exchange.user("olga"));
    let order = || step(DAM, "GEN-1", "N2", Sell, &[(1, "2500", "10")]);
    let suspend = v1::SuspendMemberRequest { request_id: "s-1".into(), member: "GEN".into() };
    let answer = olga.operator().suspend_member(suspend).await.unwrap().into_inner().answer.unwrap();
    assert_eq!(answer.refused, None);
    assert_eq!(refused(&gina.submit("g-1", order()).await.unwrap()).0, Why::MemberSuspended);
    let resume = v1::ResumeMemberRequest { request_id: "s-2".into(), member: "GEN".into() };
    olga.operator().resume_member(resume).await.unwrap();
    accepted(&gina.submit("g-1", order()).await.unwrap());
}

/// A node over mutual TLS whose registry names the certificates in `certificates`.
pub(crate) async fn over_tls(certificates: &Path, settings: &[(&str, &str)]) -> Exchange {
    let users = ["GEN:gina".to_owned(), "DISCOM:dora".to_owned()];
    let plan = Plan::new(certificates.to_owned(), &users, vec![], 2).unwrap();
    certs::make(&plan, SystemTime::now()).unwrap();
    let file = |name: &str| certificates.join(name).display().to_string();
    let (certificate, key, authority) = (file("server.pem"), file("server.key"), file("authority.pem"));
    let registry = format!(
        "[[member]]\ncode = \"GEN\"\nname = \"Coal\"\n[[member.portfolio]]\ncode = \"GEN-1\"\n\
         [[member.user]]\nname = \"gina\"\nrole = \"trader\"\ncertificate = \"{}\"\n\
         [[user]]\nname = \"olga\"\nrole = \"operator\"\ncertificate = \"{}\"\n",
        file("gina.pem"),
        file("operator.pem"),
    );
    let path = certificates.join("registry.toml");
    std::fs::write(&path, registry).unwrap();
    let registry = path.display().to_string();
    let mut all = vec![
        ("listen.plaintext", "false"),
        ("tls.certificate", certificate.as_str()),
        ("tls.key", key.as_str()),
        ("tls.client_ca", authority.as_str()),
        ("bootstrap.registry", registry.as_str()),
    ];
    all.extend_from_slice(settings);
    Exchange::new(&all).await
}

pub(crate) fn tls_user(exchange: &Exchange, certificates: &Path, name: &str) -> Client {
    let url = format!("https://localhost:{}", exchange.running().address().port());
    let file = |name: String| certificates.join(name);
    let (own, key) = (file(format!("{name}.pem")), file(format!("{name}.key")));
    Client::new(ClientConfig::mutual_tls(&[&url], file("authority.pem".into()), own, key)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_mutual_tls_the_certificate_says_who_asks() {
    let certificates = tempfile::tempdir().unwrap();
    let exchange = over_tls(certificates.path(), &[]).await;
    exchange.at(OPEN).await;
    let gina = tls_user(&exchange, certificates.path(), "gina");
    let who = gina.who_am_i().await.unwrap();
    assert_eq!((who.user.as_str(), who.member.as_deref()), ("gina", Some("GEN")));
    assert_eq!(who.certificate_sha256.len(), 64);
    assert!(who.certificate_ends_at.is_some());
    accepted(&gina.submit("g-1", step(DAM, "GEN-1", "N2", Sell, &[(1, "2500", "10")])).await.unwrap());
    // Dora's certificate is the authority's, but nobody has registered it; a name does not help her.
    let dora = tls_user(&exchange, certificates.path(), "dora");
    let mut request = tonic::Request::new(v1::WhoAmIRequest {});
    request.metadata_mut().insert("merit-user", "gina".parse().unwrap());
    let unknown = (Code::Unauthenticated, Some("UNAUTHENTICATED".to_owned()));
    assert_eq!(code(dora.member().who_am_i(request).await), unknown);
    // With a new certificate for gina's user the old one ends, on connections that are open too.
    let olga = tls_user(&exchange, certificates.path(), "operator");
    let replace = v1::RegisterUserRequest {
        request_id: "u-1".into(),
        user: "gina".into(),
        certificate_sha256: vec![7; 32],
        role: v1::Role::Trader.into(),
        member: Some("GEN".into()),
        portfolios: Vec::new(),
    };
    let answer = olga.operator().register_user(replace).await.unwrap().into_inner().answer.unwrap();
    assert_eq!(answer.refused, None);
    assert_eq!(code(gina.member().who_am_i(v1::WhoAmIRequest {}).await), unknown);
}
