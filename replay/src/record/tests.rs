//! Every command reads back as itself, and no bytes whatever make the reader fall.

use super::{Kind, PAYLOAD_VERSION, decode, decode_over, encode};
use merit_engine::auction::{ComplexPeriod, Point, Shape, Side};
use merit_engine::calendar::{Day, Summer, Zone};
use merit_engine::command::{
    Act, Action, Actor, Body, Capacity, Clearance, NewOrder, OrderBody, Parent, Request, Role,
};
use merit_engine::few::Few;
use merit_engine::ids::{AuctionId, Market, MemberId, OrderId, PortfolioId, TextId, UserId};
use merit_engine::rules::{
    AreaRule, Fees, FundsRule, LateCapacity, LineRule, MarketRules, OrderLimits, RiskRules, Suspension,
    Timetable,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = TextId> {
    "[A-Za-z0-9._:-]{1,64}".prop_map(|it| TextId::new(&it).expect("the pattern keeps the rule"))
}

fn auction() -> impl Strategy<Value = AuctionId> {
    let market = prop_oneof![Just(Market::Dam), Just(Market::Rtm)];
    (any::<i32>(), market, any::<u16>()).prop_map(|(day, market, session)| AuctionId {
        day: Day(day),
        market,
        session,
    })
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Buy), Just(Side::Sell)]
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    vec((any::<i64>(), any::<i64>()).prop_map(|(price, quantity)| Point { price, quantity }), 0..5)
}

fn parent() -> impl Strategy<Value = Parent> {
    prop_oneof![any::<u64>().prop_map(|it| Parent::Order(OrderId(it))), text().prop_map(Parent::Named)]
}

fn order_body() -> impl Strategy<Value = OrderBody> {
    let shape = prop_oneof![side().prop_map(Shape::Step), Just(Shape::Linear)];
    let curve = (shape, vec((any::<u16>(), points()), 0..4)).prop_map(|(shape, periods)| {
        let periods = periods.into_iter().map(|(period, points)| (period, points.into())).collect();
        OrderBody::Curve { shape, periods }
    });
    let block = (
        side(),
        any::<i64>(),
        vec((any::<u16>(), any::<i64>()), 0..5),
        any::<u32>(),
        option::of(parent()),
        option::of(text()),
    )
        .prop_map(|(side, price, quantity, ratio_min, parent, group)| OrderBody::Block {
            side,
            price,
            quantity,
            ratio_min,
            parent,
            group,
        });
    let period = (any::<u16>(), any::<i64>(), points())
        .prop_map(|(period, quantity_min, points)| ComplexPeriod { period, quantity_min, points });
    let complex = (side(), any::<i64>(), vec(period, 0..4))
        .prop_map(|(side, fixed_minor, curve)| OrderBody::Complex { side, fixed_minor, curve });
    prop_oneof![curve, block, complex]
}

fn timetable() -> impl Strategy<Value = Timetable> {
    let acknowledge = option::of(any::<i32>());
    (any::<u16>(), any::<[i32; 5]>(), acknowledge, any::<bool>()).prop_map(
        |(session_minutes, minutes, acknowledge, two_runs)| {
            let [open, gate, corridor, capacities, publish] = minutes;
            Timetable { session_minutes, open, gate, corridor, capacities, publish, acknowledge, two_runs }
        },
    )
}

fn limits() -> impl Strategy<Value = OrderLimits> {
    (any::<[u16; 2]>(), any::<i64>(), any::<u8>(), any::<u32>(), any::<[bool; 3]>()).prop_map(
        |(small, quantity_max, generations_max, orders_per_member_max, [linear, blocks, complex])| {
            OrderLimits {
                curve_points_max: small[0],
                quantity_max,
                blocks_per_portfolio_max: small[1],
                generations_max,
                orders_per_member_max,
                linear,
                blocks,
                complex,
            }
        },
    )
}

fn rules() -> impl Strategy<Value = MarketRules> {
    let line = (text(), any::<[u16; 2]>(), any::<[i64; 2]>()).prop_map(|(id, [from, to], capacity)| {
        LineRule { id, from, to, capacity: capacity[0], capacity_back: capacity[1] }
    });
    let areas = vec(text().prop_map(|code| AreaRule { code }), 0..4);
    let zone = (any::<i16>(), prop_oneof![Just(Summer::None), Just(Summer::European)])
        .prop_map(|(offset_minutes, summer)| Zone { offset_minutes, summer });
    let late = prop_oneof![Just(LateCapacity::UseStanding), Just(LateCapacity::Islands)];
    let funds = [FundsRule::None, FundsRule::HoldAtEntry, FundsRule::CheckBetweenRuns].map(Just).to_vec();
    let money = (late, proptest::strategy::Union::new(funds));
    let numbers = (any::<[i64; 5]>(), any::<[u8; 3]>(), any::<u16>(), any::<[u8; 3]>(), any::<i32>());
    (zone, areas, vec(line, 0..3), timetable(), limits(), money, numbers).prop_map(
        |(zone, areas, lines, timetable, limits, (late_capacity, funds), numbers)| {
            let (wide, decimals, period_minutes, currency, day) = numbers;
            MarketRules {
                market: Market::Rtm,
                effective_from: Day(day),
                zone,
                currency,
                minor_decimals: decimals[0],
                price_decimals: decimals[1],
                order_price_step: wide[0],
                price_min: wide[1],
                price_max: wide[2],
                quantity_decimals: decimals[2],
                order_quantity_step: wide[3],
                period_minutes,
                areas,
                lines,
                timetable,
                late_capacity,
                limits,
                fees: Fees {
                    buy_minor_per_mwh: wide[4],
                    sell_minor_per_mwh: wide[2],
                    tax_millionths: 180_000,
                },
                risk: RiskRules {
                    funds,
                    margin_days: decimals[0],
                    margin_min_minor: wide[1],
                    clearance: wide[0] > 0,
                },
                suspension: if wide[3] > 0 { Suspension::KeepsOrders } else { Suspension::CancelsOrders },
                search_work: u32::from(period_minutes),
            }
        },
    )
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        auction().prop_map(|auction| Act::CancelAuction { auction }),
        (auction(), any::<i64>()).prop_map(|(auction, gate_us)| Act::ExtendGate { auction, gate_us }),
        auction().prop_map(|auction| Act::Rerun { auction }),
    ]
}

fn operator_action() -> impl Strategy<Value = Action> {
    let role =
        [Role::Trader, Role::Auditor, Role::Dispatch, Role::Settlement, Role::Operator].map(Just).to_vec();
    let role = proptest::strategy::Union::new(role);
    let member = any::<u32>().prop_map(MemberId);
    let portfolios = vec(any::<u32>().prop_map(PortfolioId), 0..4);
    prop_oneof![
        rules().prop_map(|it| Action::SetRules(Box::new(it))),
        (text(), any::<String>()).prop_map(|(code, name)| Action::RegisterMember { code, name }),
        (member, any::<bool>())
            .prop_map(|(member, suspended)| Action::SetMemberSuspended { member, suspended }),
        (act(), any::<String>()).prop_map(|(act, reason)| Action::ProposeAct { act, reason }),
        any::<u32>().prop_map(|proposal| Action::ApproveAct { proposal }),
        (any::<u32>(), any::<i64>())
            .prop_map(|(member, minor)| Action::Deposit { member: MemberId(member), minor }),
        (any::<u32>(), any::<i64>())
            .prop_map(|(member, minor)| Action::Withdraw { member: MemberId(member), minor }),
        (any::<u32>(), any::<i32>())
            .prop_map(|(member, day)| Action::RecordPayIn { member: MemberId(member), day: Day(day) }),
        (any::<u32>(), text(), any::<[i64; 2]>()).prop_map(|(portfolio, area, [buy_watts, sell_watts])| {
            let clearance = Clearance { buy_watts, sell_watts };
            Action::SetClearance { portfolio: PortfolioId(portfolio), area, clearance }
        }),
        (any::<u32>(), text(), vec(text(), 0..4)).prop_map(|(member, code, areas)| {
            Action::RegisterPortfolio { member: MemberId(member), code, areas }
        }),
        (text(), any::<[u8; 32]>(), role, option::of(any::<u32>().prop_map(MemberId)), portfolios).prop_map(
            |(name, fingerprint, role, member, portfolios)| Action::RegisterUser {
                name,
                fingerprint,
                role,
                member,
                portfolios
            }
        ),
    ]
}

fn market_action() -> impl Strategy<Value = Action> {
    let order = || any::<u64>().prop_map(OrderId);
    let lots = || vec(any::<i64>(), 0..4);
    prop_oneof![
        (auction(), any::<u32>(), any::<u16>(), order_body()).prop_map(|(auction, portfolio, area, body)| {
            Action::Submit(NewOrder { auction, portfolio: PortfolioId(portfolio), area, body })
        }),
        (order(), any::<u32>(), order_body()).prop_map(|(order, version, body)| Action::Amend {
            order,
            version,
            body
        }),
        order().prop_map(|order| Action::Cancel { order }),
        (auction(), option::of(any::<u32>().prop_map(PortfolioId)))
            .prop_map(|(auction, portfolio)| Action::CancelAll { auction, portfolio }),
        (auction(), any::<u32>(), vec((any::<u16>(), lots(), lots()), 0..4)).prop_map(
            |(auction, revision, lines)| Action::SubmitCapacity(Capacity { auction, revision, lines })
        ),
        (auction(), any::<u32>())
            .prop_map(|(auction, revision)| Action::AcknowledgeSchedule { auction, revision }),
    ]
}

fn settlement_action() -> impl Strategy<Value = Action> {
    use merit_engine::settlement::{
        Band, BandTable, Basis, Category, DeviationRules, Hold, HoldEnd, MeterBatch, MeterRow, Payment,
        Placing, Rate, RunRequest, RunStatus, Scheme, SettlementAction,
    };
    let rate = || any::<u32>().prop_map(|millionths| Rate { basis: Basis::Normal, millionths });
    let band = (any::<u32>(), rate(), rate()).prop_map(|(until_millionths, over, under)| Band {
        until_millionths,
        over,
        under,
    });
    let table = (any::<u32>(), vec(band, 0..3)).prop_map(|(below_mhz, bands)| BandTable { below_mhz, bands });
    let category = (text(), vec(table, 0..3)).prop_map(|(name, tables)| Category { name, tables });
    let scheme = prop_oneof![vec(category, 0..3).prop_map(Scheme::Bands), Just(Scheme::TwoPrice)];
    let placing =
        (any::<u32>(), any::<u16>(), any::<i64>()).prop_map(|(portfolio, category, capacity_watts)| {
            Placing { portfolio: PortfolioId(portfolio), category, capacity_watts }
        });
    let row = (any::<u32>(), text(), vec(any::<i64>(), 0..4), vec(any::<u16>(), 0..3)).prop_map(
        |(portfolio, area, net_wh, estimated)| MeterRow {
            portfolio: PortfolioId(portfolio),
            area,
            net_wh,
            estimated,
        },
    );
    let numbers = (any::<i32>(), any::<u32>(), any::<[u8; 32]>(), any::<[u64; 2]>(), any::<i64>());
    let batch =
        (numbers, vec(any::<u32>(), 0..4), vec(row, 0..3)).prop_map(|(numbers, frequency_mhz, rows)| {
            let (day, revision, content, [readings, estimated], total_wh) = numbers;
            let day = Day(day);
            MeterBatch { day, revision, content, readings, estimated, total_wh, frequency_mhz, rows }
        });
    let status =
        prop_oneof![Just(RunStatus::Provisional), Just(RunStatus::Final), Just(RunStatus::Resettled)];
    let run =
        (any::<i32>(), status, any::<String>(), any::<i32>()).prop_map(|(day, status, reason, effective)| {
            RunRequest { day: Day(day), status, reason, effective: Day(effective) }
        });
    let pay =
        (any::<u32>(), any::<i64>(), any::<i32>(), text()).prop_map(|(member, minor, day, reference)| {
            Payment { member: MemberId(member), minor, value_day: Day(day), reference }
        });
    let hold = (any::<u32>(), any::<i64>(), any::<String>()).prop_map(|(member, minor, reason)| Hold {
        member: MemberId(member),
        minor,
        reason,
    });
    let end = prop_oneof![Just(HoldEnd::Posted), Just(HoldEnd::Released)];
    let rules = (any::<i32>(), scheme, vec(placing, 0..3))
        .prop_map(|(day, scheme, placings)| DeviationRules { effective_from: Day(day), scheme, placings });
    prop_oneof![
        rules.prop_map(SettlementAction::SetDeviation),
        batch.prop_map(|it| SettlementAction::Meter(std::sync::Arc::new(it))),
        run.prop_map(SettlementAction::Run),
        pay.prop_map(SettlementAction::Pay),
        hold.prop_map(SettlementAction::Hold),
        (any::<u64>(), end).prop_map(|(hold, end)| SettlementAction::EndHold { hold, end }),
        (any::<u64>(), any::<u32>())
            .prop_map(|(stream_seq, epoch)| SettlementAction::Acknowledge { stream_seq, epoch }),
    ]
    .prop_map(Action::Settle)
}

fn body() -> impl Strategy<Value = Body> {
    let actor = prop_oneof![Just(Actor::System), any::<u32>().prop_map(|it| Actor::User(UserId(it)))];
    let request = (actor, text(), prop_oneof![operator_action(), market_action(), settlement_action()])
        .prop_map(|(actor, request_id, action)| {
            Body::Request(Box::new(Request { actor, request_id, action }))
        });
    prop_oneof![
        1 => any::<String>().prop_map(|node| Body::EpochStarted { node }),
        1 => Just(Body::Tick),
        1 => any::<bool>().prop_map(|alone| Body::StandbyChanged { alone }),
        1 => (auction(), any::<u32>()).prop_map(|(auction, units)| Body::ClearQuantum { auction, units }),
        12 => request,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_command_reads_back_as_itself(body in body()) {
        let mut payload = Vec::new();
        let kind = encode(&body, &mut payload);
        prop_assert_eq!(decode(kind.code(), &payload), Ok(body));
    }

    #[test]
    fn a_command_read_over_any_other_is_itself(spent in body(), body in body()) {
        let (mut payload, mut over) = (Vec::new(), spent);
        let kind = encode(&body, &mut payload).code();
        prop_assert_eq!(decode_over(kind, &payload, &mut over), Ok(()));
        prop_assert_eq!(&over, &body);
        // What an engine leaves of an order.
        if let Body::Request(request) = &mut over
            && let Action::Submit(order) = &mut request.action
        {
            order.body = OrderBody::Curve { shape: Shape::Linear, periods: Few::new() };
        }
        prop_assert_eq!(decode_over(kind, &payload, &mut over), Ok(()));
        prop_assert_eq!(&over, &body);
    }

    #[test]
    fn bytes_that_are_no_command_are_refused_alike_wherever_they_are_read(
        spent in body(),
        body in body(),
        at in any::<prop::sample::Index>(),
        byte: u8,
        cut: bool,
    ) {
        let mut payload = Vec::new();
        let kind = encode(&body, &mut payload).code();
        let at = at.index(payload.len());
        payload[at] = byte;
        if cut {
            payload.truncate(at);
        }
        let mut over = spent;
        let decoded = decode_over(kind, &payload, &mut over);
        prop_assert_eq!(decoded.map(|()| over), decode(kind, &payload));
    }

    #[test]
    fn a_cut_or_longer_payload_is_refused(body in body(), cut in any::<prop::sample::Index>()) {
        let mut payload = Vec::new();
        let kind = encode(&body, &mut payload).code();
        prop_assert!(decode(kind, &payload[..cut.index(payload.len())]).is_err());
        payload.push(0);
        prop_assert!(decode(kind, &payload).is_err());
    }

    #[test]
    fn a_changed_payload_is_refused_or_has_its_own_spelling(body in body(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut payload = Vec::new();
        let kind = encode(&body, &mut payload).code();
        let at = at.index(payload.len());
        payload[at] = byte;
        // An older version is read and never written.
        let now = payload[0] == PAYLOAD_VERSION;
        if let (true, Ok(changed)) = (now, decode(kind, &payload)) {
            let mut again = Vec::new();
            encode(&changed, &mut again);
            prop_assert_eq!(again, payload);
        }
    }

    #[test]
    fn arbitrary_bytes_never_make_the_reader_panic(
        kind in 0..72u16,
        version in 1..=PAYLOAD_VERSION,
        mut payload in vec(any::<u8>(), 0..200),
    ) {
        if let Some(first) = payload.first_mut() {
            *first = version;
        }
        drop(decode(kind, &payload));
    }
}

#[test]
fn kinds_have_codes_of_their_own() {
    for kind in Kind::ALL {
        assert_eq!(Kind::of_code(kind.code()), Some(*kind));
    }
    assert_eq!(Kind::of_code(0), None);
}

#[test]
fn a_length_beyond_the_payload_costs_no_memory() {
    // A submit of a curve that announces four billion periods.
    let order = OrderBody::Curve { shape: Shape::Linear, periods: Few::new() };
    let auction = AuctionId { day: Day(1), market: Market::Dam, session: 1 };
    let action = Action::Submit(NewOrder { auction, portfolio: PortfolioId(1), area: 0, body: order });
    let request_id = TextId::new("a").unwrap();
    let body = Body::Request(Box::new(Request { actor: Actor::System, request_id, action }));
    let mut payload = Vec::new();
    let kind = encode(&body, &mut payload);
    let length = payload.len();
    payload[length - 4..].copy_from_slice(&[0xff; 4]);
    assert_eq!(decode(kind.code(), &payload), Err("submit: the payload ends too early".to_owned()));
}

/// Orders of one step in one period, nearly all there are, are read at a glance: over any submission exactly as bytes one by
/// one would be, whichever of them is another, is missing, or is there for nothing.
#[test]
fn a_single_step_is_read_at_a_glance_as_it_is_read_part_by_part() {
    let submit = |body: OrderBody| {
        let auction = AuctionId { day: Day(20_780), market: Market::Rtm, session: 7 };
        let action = Action::Submit(NewOrder { auction, portfolio: PortfolioId(3), area: 258, body });
        let request_id = TextId::new("o-17").unwrap();
        Body::Request(Box::new(Request { actor: Actor::User(UserId(9)), request_id, action }))
    };
    let curve = |side, points: Few<Point>| {
        submit(OrderBody::Curve { shape: Shape::Step(side), periods: Few::one((5, points)) })
    };
    let point = Point { price: -1_234_567_890_123, quantity: 77 };
    let block = OrderBody::Block {
        side: Side::Buy,
        price: 5,
        quantity: vec![(1, 2), (2, 3)],
        ratio_min: 1,
        parent: Some(Parent::Order(OrderId(4))),
        group: None,
    };
    let spent = [curve(Side::Sell, Few::one(point)), submit(block.clone())];
    let read = [
        curve(Side::Buy, Few::one(point)),
        curve(Side::Sell, Few::one(point)),
        curve(Side::Sell, [point, point].into_iter().collect()),
        submit(block),
    ];
    let mut whole = 0;
    for (spent, body) in spent.iter().flat_map(|it| read.iter().map(move |body| (it, body))) {
        let mut payload = Vec::new();
        let kind = encode(body, &mut payload).code();
        let mut check = |payload: &[u8]| {
            let mut over = spent.clone();
            let decoded = decode_over(kind, payload, &mut over).map(|()| over);
            whole += usize::from(decoded.is_ok());
            assert_eq!(decoded, decode(kind, payload), "{payload:?}");
        };
        for at in 0..payload.len() {
            check(&payload[..at]);
            for byte in 0..=u8::MAX {
                let mut changed = payload.clone();
                changed[at] = byte;
                check(&changed);
            }
        }
        check(&[payload.as_slice(), &[0]].concat());
    }
    assert!(whole > 10_000, "most numbers are some order's: {whole}");
}
