//! Entering, changing and taking back orders; what is refused, and how often it may be sent.

use crate::common::{DAM, Exchange, accepted, refused, step};
use merit_client::{Client, EntryOptions, orders, units, v1};
use v1::RejectReason as Why;
use v1::Side::{Buy, Sell};

const OPEN: &str = "2026-11-22T04:30:00Z";
const GATE: &str = "2026-11-22T05:30:00Z";

async fn open() -> Exchange {
    let exchange = Exchange::new(&[]).await;
    exchange.at(OPEN).await;
    exchange
}

fn sell(price: &str, quantity: &str) -> v1::NewOrder {
    step(DAM, "GEN-1", "N1", Sell, &[(1, price, quantity)])
}

fn amend(of: &str, version: u32, price: &str) -> v1::AmendOrder {
    let Some(v1::new_order::Body::Step(curve)) = sell(price, "10").body else { panic!("a step curve") };
    v1::AmendOrder {
        order: Some(orders::by_client_id(of)),
        version,
        body: Some(v1::amend_order::Body::Step(curve)),
    }
}

/// Number of the last command of the journal.
fn head(exchange: &Exchange) -> u64 {
    exchange.running().node().inbox.status().head.seq
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_gets_its_first_answer_again_and_no_second_order_also_after_a_restart() {
    let mut exchange = open().await;
    let gina = exchange.user("gina");
    let first = gina.submit("g-1", sell("2500", "10")).await.unwrap();
    assert!(!first.replayed);
    let again = gina.submit("g-1", sell("2500", "10")).await.unwrap();
    assert_eq!(again, v1::OrderAnswer { replayed: true, ..first.clone() });
    let other = gina.submit("g-1", sell("2501", "10")).await.unwrap();
    assert_eq!(refused(&other), (Why::ClientOrderIdReused, "client_order_id".into()));
    // Not even one that the engine could not be asked about.
    let malformed = gina.submit("g-1", sell("2501", "0.001")).await.unwrap();
    assert_eq!(refused(&malformed).0, Why::ClientOrderIdReused);
    exchange.stop().await;
    exchange.start().await;
    let gina = exchange.user("gina");
    let again = gina.submit("g-1", sell("2500", "10")).await.unwrap();
    assert_eq!(again, v1::OrderAnswer { replayed: true, ..first });
    let listed = gina.orders(v1::ListOrdersRequest::default()).await.unwrap();
    assert_eq!(listed.len(), 1);
    // Two members may use the same id.
    let buy = step(DAM, "DISCOM-1", "N2", Buy, &[(1, "3000", "1")]);
    let other = accepted(&exchange.user("dora").submit("g-1", buy).await.unwrap());
    assert_ne!(other.0, accepted(&again).0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_time_cures_leaves_the_id_free() {
    let exchange = Exchange::new(&[]).await;
    let gina = exchange.user("gina");
    let early = gina.submit("g-1", sell("2500", "10")).await.unwrap();
    assert_eq!(refused(&early).0, Why::NotOpen);
    exchange.at(OPEN).await;
    let order = accepted(&gina.submit("g-1", sell("2500", "10")).await.unwrap()).0;
    let known = gina.order("g-1").await.unwrap().unwrap();
    assert_eq!(known.order.unwrap().order_id, order);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_keeps_all_its_versions_and_ends_once() {
    let exchange = open().await;
    let gina = exchange.user("gina");
    let order = accepted(&gina.submit("g-1", sell("2500", "10")).await.unwrap()).0;
    assert_eq!(accepted(&gina.amend("g-2", amend("g-1", 1, "2600")).await.unwrap()), (order, 2));
    let stale = gina.amend("g-3", amend("g-1", 1, "2700")).await.unwrap();
    assert_eq!(refused(&stale).0, Why::VersionConflict);
    let request = v1::GetOrderRequest {
        name: Some(v1::get_order_request::Name::ClientOrderId("g-2".into())),
        with_versions: true,
    };
    let known = gina.member().get_order(request).await.unwrap().into_inner();
    let shown = known.order.unwrap();
    let price = |it: &v1::OrderVersion| {
        let Some(v1::order_version::Body::Step(it)) = it.body.as_ref() else { panic!("{it:?}") };
        it.periods[0].points[0].price_micros_per_mwh
    };
    assert_eq!(shown.client_order_id, "g-1");
    let versions: Vec<_> =
        shown.versions.iter().map(|it| (it.version, it.client_order_id.as_str(), price(it))).collect();
    let money = |text| units::micros(text).unwrap();
    assert_eq!(versions, [(1, "g-1", money("2500")), (2, "g-2", money("2600"))]);
    let cancelled = gina.cancel("g-4", orders::by_order_id(order)).await.unwrap();
    let Some(v1::order_answer::Outcome::Accepted(done)) = cancelled.outcome else { panic!("{cancelled:?}") };
    assert_eq!((done.order_id, done.cancelled), (Some(order), Some(1)));
    let again = gina.cancel("g-5", orders::by_client_id("g-1")).await.unwrap();
    assert_eq!(refused(&again).0, Why::OrderNotLive);
    let known = gina.order("g-1").await.unwrap().unwrap().order.unwrap();
    assert_eq!((known.state(), known.current.unwrap().version), (v1::OrderState::Cancelled, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_a_batch_are_answered_one_by_one_and_follow_each_other() {
    let exchange = open().await;
    let gina = exchange.user("gina");
    let commands = vec![
        orders::submit("g-1", sell("2500", "10")),
        orders::submit("g-2", sell("2500.005", "10")),
        orders::submit("", sell("2500", "10")),
        orders::submit("g-4", sell("2600", "10")),
    ];
    let answers = gina.batch(commands).await.unwrap();
    let first = accepted(&answers[0]).0;
    let field = "commands[1].submit.step.periods[0].points[0].price_micros_per_mwh";
    assert_eq!(refused(&answers[1]), (Why::PriceOffTick, field.into()));
    assert_eq!(refused(&answers[2]), (Why::MissingField, "commands[2].client_order_id".into()));
    assert!(accepted(&answers[3]).0 > first);
    let journaled: Vec<_> = answers.iter().map(|it| (it.seq, it.time.is_some())).collect();
    assert_eq!(journaled, [(Some(1), true), (None, false), (None, false), (Some(2), true)]);
}

/// Those that name orders stand among those that name none, where groups that are read together begin and end.
#[tokio::test(flavor = "multi_thread")]
async fn commands_that_name_orders_are_answered_in_their_places_among_many_that_do_not() {
    let exchange = open().await;
    let gina = exchange.user("gina");
    let places = [0, 7, 16, 17, 39];
    let entered: Vec<_> =
        places.iter().map(|it| orders::submit(format!("old-{it}"), sell("2500", "10"))).collect();
    let old: Vec<u64> = gina.batch(entered).await.unwrap().iter().map(|it| accepted(it).0).collect();
    let mut commands: Vec<_> =
        (0..40).map(|it| orders::submit(format!("new-{it}"), sell("2500", "10"))).collect();
    for place in places {
        commands[place] = orders::cancel(format!("end-{place}"), format!("old-{place}"));
    }
    // One of many points, and one for an auction that is not.
    let many = units::micros("2500").unwrap();
    if let Some(v1::order_command::Command::Submit(order)) = &mut commands[9].command {
        let point = curve(order).periods[0].points[0];
        let next = |it: i64| v1::Point { price_micros_per_mwh: many + it * 100_000_000, ..point };
        curve(order).periods[0].points = (0..300).map(next).collect();
    }
    if let Some(v1::order_command::Command::Submit(order)) = &mut commands[12].command {
        order.auction_id = "DAM-2026-12-31".into();
    }
    let answers = gina.batch(commands).await.unwrap();
    let mut last = 0;
    for (place, answer) in answers.iter().enumerate() {
        match place {
            9 => assert_eq!(refused(answer).0, Why::TooManyPoints),
            12 => assert_eq!(refused(answer), (Why::UnknownAuction, "commands[12].submit.auction_id".into())),
            _ => {
                let order = accepted(answer).0;
                match places.iter().position(|it| *it == place) {
                    Some(at) => assert_eq!(order, old[at]),
                    None => assert!(std::mem::replace(&mut last, order) < order),
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_gate_nothing_is_entered_changed_or_taken_back() {
    let exchange = open().await;
    let gina = exchange.user("gina");
    accepted(&gina.submit("g-1", sell("2500", "10")).await.unwrap());
    exchange.at(GATE).await;
    let entered = gina.submit("g-2", sell("2500", "10")).await.unwrap();
    let amended = gina.amend("g-3", amend("g-1", 1, "2600")).await.unwrap();
    let taken = gina.cancel("g-4", orders::by_client_id("g-1")).await.unwrap();
    let all = gina.cancel_all("g-5", DAM, None).await.unwrap();
    for answer in [&entered, &amended, &taken, &all] {
        assert_eq!(refused(answer).0, Why::GateClosed);
    }
    // The gate comes before the tick in the order of precedence, also where the gateway sees the tick.
    let both = gina.submit("g-6", sell("2500.005", "0.001")).await.unwrap();
    assert_eq!(refused(&both), (Why::GateClosed, "order.auction_id".into()));
}

/// A change to a good order, the reason for which it is refused, and the field.
type Case = (fn(&mut v1::NewOrder), Why, &'static str);

fn curve(order: &mut v1::NewOrder) -> &mut v1::StepCurve {
    match order.body.as_mut() {
        Some(v1::new_order::Body::Step(curve)) => curve,
        other => panic!("{other:?}"),
    }
}

fn point(order: &mut v1::NewOrder) -> &mut v1::Point {
    &mut curve(order).periods[0].points[0]
}

const CASES: [Case; 16] = [
    (|it| it.body = None, Why::MissingField, "order.body"),
    (|it| it.auction_id = String::new(), Why::MissingField, "order.auction_id"),
    (|it| it.auction_id = "DAM-2026-13-01".into(), Why::UnknownAuction, "order.auction_id"),
    (|it| it.portfolio = "DISCOM-1".into(), Why::UnknownPortfolio, "order.portfolio"),
    (|it| it.area = "MARS".into(), Why::UnknownArea, "order.area"),
    (|it| curve(it).side = 0, Why::UnknownEnumValue, "order.step.side"),
    (|it| curve(it).side = 77, Why::UnknownEnumValue, "order.step.side"),
    (|it| curve(it).side = i32::MIN, Why::UnknownEnumValue, "order.step.side"),
    (|it| curve(it).periods[0].period = 0, Why::UnknownPeriod, "order.step.periods[0].period"),
    (|it| curve(it).periods[0].period = 97, Why::UnknownPeriod, "order.step.periods[0].period"),
    (|it| curve(it).periods[0].period = u32::MAX, Why::UnknownPeriod, "order.step.periods[0].period"),
    (|it| curve(it).periods[0].points.clear(), Why::NoPoints, "order.step.periods[0].points"),
    (
        |it| point(it).price_micros_per_mwh = 1,
        Why::PriceOffTick,
        "order.step.periods[0].points[0].price_micros_per_mwh",
    ),
    (
        |it| point(it).price_micros_per_mwh = -1_000_000,
        Why::PriceOutOfRange,
        "order.step.periods[0].points[0].price_micros_per_mwh",
    ),
    (
        |it| point(it).quantity_watts = -100_000,
        Why::QuantityOutOfRange,
        "order.step.periods[0].points[0].quantity_watts",
    ),
    (
        |it| point(it).quantity_watts = 100_001,
        Why::QuantityOffTick,
        "order.step.periods[0].points[0].quantity_watts",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_malformed_order_is_refused_with_its_field_and_none_hurts() {
    let exchange = open().await;
    let gina = exchange.user("gina");
    for (number, (spoil, why, field)) in CASES.iter().enumerate() {
        let mut order = sell("2500", "10");
        spoil(&mut order);
        let answer = gina.submit(format!("g-{number}"), order).await.unwrap();
        assert_eq!(refused(&answer), (*why, (*field).into()));
    }
    for extreme in [i64::MIN, i64::MIN + 1, i64::MAX, -1, 1, 0] {
        for price in [true, false] {
            let mut order = sell("2500", "10");
            let point = point(&mut order);
            *(if price { &mut point.price_micros_per_mwh } else { &mut point.quantity_watts }) = extreme;
            let answer = gina.submit(format!("x-{extreme}-{price}").replace("--", "-"), order).await.unwrap();
            if price && extreme == 0 {
                accepted(&answer);
            } else {
                refused(&answer);
            }
        }
    }
    accepted(&gina.submit("good", sell("2500", "10")).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_names_every_fault_and_journals_nothing() {
    let exchange = open().await;
    let gina = exchange.user("gina");
    let before = head(&exchange);
    let mut bad =
        step(DAM, "GEN-1", "N1", Sell, &[(1, "99999999", "10"), (2, "2500", "0"), (2, "2500", "10")]);
    bad.area = "N1".into();
    let commands = vec![orders::submit("g-1", sell("2500", "10")), orders::submit("g-2", bad)];
    let results = gina.dry_run(commands).await.unwrap();
    assert!(results[0].refusals.is_empty());
    let found: Vec<_> = results[1].refusals.iter().map(|it| (it.reason(), it.field.as_str())).collect();
    let root = "commands[1].submit.step";
    let expected = [
        (Why::PeriodsNotIncreasing, format!("{root}.periods[2].period")),
        (Why::PriceOutOfRange, format!("{root}.periods[0].points[0].price_micros_per_mwh")),
        (Why::QuantityOutOfRange, format!("{root}.periods[1].points[0].quantity_watts")),
    ];
    let expected: Vec<_> = expected.iter().map(|(why, field)| (*why, field.as_str())).collect();
    assert_eq!(found, expected);
    assert_eq!(head(&exchange), before);
}

async fn enter_every_kind(client: &Client) {
    let linear =
        orders::linear(DAM, "DISCOM-1", "N2", &[(3, &[(0, 5_000_000), (4_000_000_000, -5_000_000)])]);
    accepted(&client.submit("linear", linear).await.unwrap());
    let parent = orders::block(Sell, 3_000_000_000, &[(1, 1_000_000), (2, 2_000_000)]);
    accepted(&client.submit("parent", orders::block_order(DAM, "DISCOM-1", "N2", parent)).await.unwrap());
    let child = v1::Block {
        parent_client_order_id: Some("parent".into()),
        group: Some("either".into()),
        ratio_min_millionths: Some(500_000),
        ..orders::block(Sell, 2_000_000_000, &[(3, 1_000_000)])
    };
    accepted(&client.submit("child", orders::block_order(DAM, "DISCOM-1", "N2", child)).await.unwrap());
    let complex = v1::Complex {
        side: Sell.into(),
        fixed_micros: 1_250_000,
        periods: vec![v1::ComplexPeriod {
            period: 5,
            quantity_min_watts: Some(100_000),
            points: vec![v1::Point { price_micros_per_mwh: 1_000_000_000, quantity_watts: 500_000 }],
        }],
    };
    accepted(&client.submit("complex", orders::complex_order(DAM, "DISCOM-2", "N2", complex)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_every_kind_come_back_as_they_were_entered() {
    let exchange = open().await;
    let dora = exchange.user("dora");
    enter_every_kind(&dora).await;
    let listed = dora.orders(v1::ListOrdersRequest::default()).await.unwrap();
    let body = |index: usize| listed[index].current.as_ref().unwrap().body.as_ref().unwrap();
    let v1::order_version::Body::Linear(linear) = body(0) else { panic!("{:?}", body(0)) };
    assert_eq!(linear.periods[0].points[1].quantity_watts, -5_000_000);
    let v1::order_version::Body::Block(child) = body(2) else { panic!("{:?}", body(2)) };
    assert_eq!(child.parent_client_order_id.as_deref(), Some("parent"));
    assert_eq!((child.group.as_deref(), child.ratio_min_millionths), (Some("either"), Some(500_000)));
    let v1::order_version::Body::Complex(complex) = body(3) else { panic!("{:?}", body(3)) };
    assert_eq!((complex.fixed_micros, complex.periods[0].quantity_min_watts), (1_250_000, Some(100_000)));
    let of_portfolio = v1::ListOrdersRequest { portfolio: Some("DISCOM-2".into()), ..Default::default() };
    assert_eq!(dora.orders(of_portfolio).await.unwrap().len(), 1);
    let paged = v1::ListOrdersRequest { page_size: Some(3), ..Default::default() };
    let page = dora.member().list_orders(paged.clone()).await.unwrap().into_inner();
    assert_eq!((page.orders.len(), page.head_seq), (3, 4));
    let rest = v1::ListOrdersRequest { page_token: page.next_page_token, ..paged };
    let page = dora.member().list_orders(rest).await.unwrap().into_inner();
    assert_eq!((page.orders.len(), page.next_page_token), (1, None));
    // A parent takes its family along.
    let taken = dora.cancel("c-1", orders::by_client_id("parent")).await.unwrap();
    let Some(v1::order_answer::Outcome::Accepted(done)) = taken.outcome else { panic!("{taken:?}") };
    assert_eq!(done.cancelled, Some(2));
}

/// Else whoever wants few of a million keeps a thread for as long as it takes to look at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_few_orders_among_many_ends_early_and_the_next_goes_on() {
    let exchange = open().await;
    let gina = exchange.user("gina");
    let all = async |commands: Vec<v1::OrderCommand>| {
        for some in commands.chunks(500) {
            for answer in gina.batch(some.to_vec()).await.unwrap() {
                accepted(&answer);
            }
        }
    };
    let enter = |number: u32| orders::submit(format!("many-{number}"), sell("2500", "1"));
    let cancel = |number: u32| orders::cancel(format!("no-{number}"), format!("many-{number}"));
    // A member may have 10,000 at a time, and as many are looked at for one page.
    all((0..10_000).map(enter).collect()).await;
    all((9_900..10_000).map(cancel).collect()).await;
    all((10_000..10_100).map(enter).collect()).await;
    all(vec![cancel(10_099)]).await;
    let asked =
        v1::ListOrdersRequest { states: vec![v1::OrderState::Cancelled.into()], ..Default::default() };
    let page = gina.member().list_orders(asked.clone()).await.unwrap().into_inner();
    assert_eq!(page.orders.len(), 100);
    let rest = v1::ListOrdersRequest { page_token: page.next_page_token.clone(), ..asked.clone() };
    assert!(page.next_page_token.is_some());
    let rest = gina.member().list_orders(rest).await.unwrap().into_inner();
    assert_eq!((rest.orders.len(), rest.next_page_token), (1, None));
    assert_eq!(gina.orders(asked).await.unwrap().len(), 101);
    let none = v1::ListOrdersRequest { states: vec![v1::OrderState::Executed.into()], ..Default::default() };
    let page = gina.member().list_orders(none.clone()).await.unwrap().into_inner();
    assert!(page.orders.is_empty() && page.next_page_token.is_some());
    assert!(gina.orders(none).await.unwrap().is_empty());
    assert_eq!(gina.orders(v1::ListOrdersRequest::default()).await.unwrap().len(), 10_100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_may_stand_in_the_same_batch_as_its_parent() {
    let exchange = open().await;
    let gina = exchange.user("gina");
    let family = |parent: &str| {
        let block = orders::block(v1::Side::Sell, 3_000_000_000, &[(1, 1_000_000)]);
        let child = v1::Block { parent_client_order_id: Some(parent.into()), ..block.clone() };
        vec![
            orders::submit("eldest", orders::block_order(DAM, "GEN-1", "N2", block)),
            orders::submit("youngest", orders::block_order(DAM, "GEN-1", "N2", child)),
        ]
    };
    let answers = gina.batch(family("eldest")).await.unwrap();
    for answer in &answers {
        accepted(answer);
    }
    let replayed = gina.batch(family("eldest")).await.unwrap();
    assert!(replayed.iter().all(|it| it.replayed));
    let mut orphan = family("nobody").split_off(1);
    orphan[0].client_order_id = "orphan".into();
    let answer = gina.batch(orphan).await.unwrap().remove(0);
    let Some(v1::order_answer::Outcome::Refused(refusal)) = answer.outcome else { panic!("{answer:?}") };
    assert_eq!(refusal.reason(), v1::RejectReason::UnknownParent);
    assert_eq!(refusal.field, "commands[0].submit.block.parent_client_order_id");
    let listed = gina.orders(v1::ListOrdersRequest::default()).await.unwrap();
    let body = listed[1].current.as_ref().unwrap().body.as_ref().unwrap();
    let v1::order_version::Body::Block(child) = body else { panic!("{body:?}") };
    assert_eq!(child.parent_client_order_id.as_deref(), Some("eldest"));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_on_one_stream_are_answered_in_order_and_may_name_those_before() {
    let exchange = open().await;
    let gina = exchange.user("gina");
    let entry = gina.entry(EntryOptions { window: 64, batch_max: 1, ..EntryOptions::default() });
    let mut waiting = Vec::new();
    for number in 0..300 {
        waiting.push(entry.send(orders::submit(format!("s-{number}"), sell("2500", "10"))).await);
        waiting.push(entry.send(orders::cancel(format!("c-{number}"), format!("s-{number}"))).await);
    }
    let mut events = Vec::new();
    for pending in waiting {
        let answer = pending.await.unwrap();
        accepted(&answer);
        events.push(answer.seq.unwrap());
    }
    assert_eq!(events, (1..=600).collect::<Vec<u64>>());
    let request = v1::ListOrdersRequest { states: vec![v1::OrderState::Live.into()], ..Default::default() };
    assert!(gina.orders(request).await.unwrap().is_empty());
}

/// Those that have come together are read together, wherever a message begins: each is told its own places, and finds
/// what those before it have entered; also where the inbox is so small that a message begins the next group.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_come_together_are_answered_like_messages_that_come_alone() {
    for inbox in ["40", "8192"] {
        let settings = [("limits.inbox_commands_max", inbox), ("limits.batch_commands_max", "20")];
        let exchange = Exchange::new(&settings).await;
        exchange.at(OPEN).await;
        let gina = exchange.user("gina");
        let (messages, expected) = messages_of_every_kind();
        let mut incoming =
            gina.member().order_entry(tokio_stream::iter(messages)).await.unwrap().into_inner();
        let mut answers = Vec::new();
        let ended = loop {
            match incoming.message().await {
                Ok(Some(message)) => answers.extend(message.answers),
                Ok(None) => panic!("the last message but one is too long"),
                Err(status) => break status,
            }
        };
        assert_eq!(ended.code(), tonic::Code::ResourceExhausted, "{ended:?}");
        let told = |it: &v1::OrderAnswer| {
            let refusal = match &it.outcome {
                Some(v1::order_answer::Outcome::Refused(_)) => Some(refused(it)),
                Some(v1::order_answer::Outcome::Accepted(_)) | None => None,
            };
            (it.client_order_id.clone(), refusal)
        };
        assert_eq!(answers.iter().map(told).collect::<Vec<_>>(), expected);
        let live = v1::ListOrdersRequest { states: vec![v1::OrderState::Live.into()], ..Default::default() };
        let live = gina.orders(live).await.unwrap();
        let stand: Vec<_> = live.into_iter().map(|it| it.client_order_id).collect();
        let named: Vec<_> = (0..19).map(|it| format!("n-{it}")).chain(["c".into(), "d".into()]).collect();
        assert_eq!(stand, named);
    }
}

/// A command's id, and why and where it is refused if it is.
type Told = (String, Option<(Why, String)>);

/// Messages, the last but one of which is too long; and what is told of each command before that.
fn messages_of_every_kind() -> (Vec<v1::OrderEntryRequest>, Vec<Told>) {
    let submit = |id: &str| orders::submit(id.to_owned(), sell("2500", "10"));
    let cancel = |id: &str, of: &str| orders::cancel(id.to_owned(), of.to_owned());
    let mut elsewhere = submit("elsewhere");
    if let Some(v1::order_command::Command::Submit(order)) = &mut elsewhere.command {
        order.auction_id = "DAM-2026-12-31".into();
    }
    let many = |name: &str, count: usize| (0..count).map(|it| submit(&format!("{name}-{it}"))).collect();
    let good: Vec<Vec<_>> = vec![
        vec![submit("a")],
        vec![submit("b"), submit("")],
        vec![cancel("end-a", "a")],
        many("n", 20),
        vec![],
        vec![elsewhere, submit("c")],
        vec![cancel("end-b", "b"), cancel("end-n", "n-19"), cancel("end-none", "none")],
        vec![submit("d")],
    ];
    let expected = |(at, it): (usize, &v1::OrderCommand)| {
        let refusal = match it.client_order_id.as_str() {
            "" => Some((Why::MissingField, format!("commands[{at}].client_order_id"))),
            "elsewhere" => Some((Why::UnknownAuction, format!("commands[{at}].submit.auction_id"))),
            "end-none" => Some((Why::UnknownOrder, format!("commands[{at}].cancel.order.client_order_id"))),
            _ => None,
        };
        (it.client_order_id.clone(), refusal)
    };
    let expected = good.iter().flat_map(|it| it.iter().enumerate()).map(expected).collect();
    let messages = good.into_iter().chain([many("long", 21), vec![submit("e")]]);
    (messages.map(|commands| v1::OrderEntryRequest { commands }).collect(), expected)
}
