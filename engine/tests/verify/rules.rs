//! Every rule, broken alone in a hand-made result that has everything: families, a group, partial
//! ratios, complex orders, a full line, shared ties.

use crate::broken;
use merit_engine::auction::{
    BlockHandle, BlockOrder, ComplexHandle, ComplexOrder, ComplexPeriod, CurveOrder, Frame, Line, Point,
    Shape, Side,
};
use merit_engine::book::AuctionBook;
use merit_engine::outcome::{ComplexFill, Fill, Outcome, Rejected, Rejection};
use merit_engine::verify::verify;

const HALF: u32 = 500_000;
const ALL: u32 = 1_000_000;

fn curve(area: u16, period: u16, side: Side, points: &[(i64, i64)]) -> CurveOrder {
    let points = points.iter().map(|&(price, quantity)| Point { price, quantity }).collect();
    CurveOrder { area, period, shape: Shape::Step(side), points }
}

fn block(side: Side, price: i64, lots: i64, ratio_min: u32) -> BlockOrder {
    let quantity = vec![(0, lots), (1, lots)];
    BlockOrder { area: 1, side, price, quantity, ratio_min, parent: None, group: None }
}

fn frame(areas: &[&str], price_max: i64, lines: Vec<Line>) -> Frame {
    let areas = areas.iter().map(|it| (*it).into()).collect();
    Frame { price_min: 0, price_max, periods: 2, areas, lines, welfare_scale: 4 }
}

/// Area A exports all that its line carries to area B, where two buyers share what there is at their
/// limit of 100.
fn book() -> AuctionBook {
    let line = Line { id: "L".into(), from: 0, to: 1, capacity: vec![50; 2], capacity_back: vec![50; 2] };
    let mut book = AuctionBook::new(frame(&["A", "B"], 1_000, vec![line]));
    for period in 0..2 {
        let id = |name: &str| format!("{name}{}", period + 1);
        book.insert_curve(&id("mine"), curve(0, period, Side::Sell, &[(10, 100)]));
        book.insert_curve(&id("town"), curve(1, period, Side::Buy, &[(100, 120)]));
        book.insert_curve(&id("mill"), curve(1, period, Side::Buy, &[(100, 80)]));
        book.insert_curve(&id("coal"), curve(1, period, Side::Sell, &[(40, 50), (45, 10)]));
    }
    let parent = book.insert_block("parent", block(Side::Sell, 120, 10, ALL));
    book.insert_block("child", BlockOrder { parent: Some(parent), ..block(Side::Sell, 50, 20, HALF) });
    for (id, ratio_min) in [("morning", HALF), ("evening", 300_000), ("night", ALL)] {
        book.insert_block(id, BlockOrder { group: Some(0), ..block(Side::Sell, 30, 10, ratio_min) });
    }
    book.insert_block("poor", block(Side::Buy, 90, 5, ALL));
    let lonely = book.insert_block("lonely", block(Side::Sell, 80, 7, ALL));
    book.insert_block("orphan", BlockOrder { parent: Some(lonely), ..block(Side::Sell, 80, 1, ALL) });
    let part = |period, quantity_min, points: &[(i64, i64)]| ComplexPeriod {
        period,
        quantity_min,
        points: points.iter().map(|&(price, quantity)| Point { price, quantity }).collect(),
    };
    let steam = vec![part(0, 12, &[(110, 5), (90, 10)]), part(1, 0, &[(90, 10)])];
    book.insert_complex("steam", ComplexOrder { area: 1, side: Side::Sell, fixed: 600, curve: steam });
    let idle = vec![part(0, 0, &[(95, 4), (100, 9), (101, 3)])];
    book.insert_complex("idle", ComplexOrder { area: 1, side: Side::Sell, fixed: 100, curve: idle });
    book
}

/// The welfare of [`outcome`] on its grid, added up by hand.
const WELFARE: i128 = 4
    * (100 * (152 + 150)  // town and mill
        - 2 * 10 * 50     // mine
        - 2 * (40 * 50 + 45 * 10) // coal
        - 2 * 120 * 10 - 2 * 50 * 10 - 2 * 30 * 10 // parent, child at half, the group
        - (90 * 10 + 110 * 2) - 90 * 10) // steam
    - 600;

fn outcome() -> Outcome {
    let buy = |bought| Fill { bought, sold: 0 };
    let sell = |sold| Fill { bought: 0, sold };
    let rejected = |handle, reason, surplus| Rejected { handle: BlockHandle(handle), reason, surplus };
    Outcome {
        prices: vec![10, 100, 10, 100],
        flows: vec![50, 50],
        // 152 of 200 lots: 91.2 and 60.8; 150 of 200: 90 and 60.
        curves: vec![sell(50), buy(91), buy(61), sell(60), sell(50), buy(90), buy(60), sell(60)],
        blocks: vec![
            (BlockHandle(0), ALL),
            (BlockHandle(1), HALF),
            (BlockHandle(2), 600_000),
            (BlockHandle(3), 400_000),
        ],
        complex: vec![ComplexFill { handle: ComplexHandle(0), quantity: vec![12, 10] }],
        blocks_rejected: vec![
            rejected(4, Rejection::GroupTaken, 4 * 2 * 70 * 10),
            rejected(5, Rejection::OutOfTheMoney, -4 * 2 * 10 * 5),
            rejected(6, Rejection::ParadoxicallyRejected, 4 * 2 * 20 * 7),
            rejected(7, Rejection::ParentRejected, 4 * 2 * 20),
        ],
        complex_rejected: vec![Rejected {
            handle: ComplexHandle(1),
            reason: Rejection::OutOfTheMoney,
            surplus: 4 * 5 * 4 - 100,
        }],
        welfare: WELFARE,
        bound: WELFARE + 1,
        work: 0,
    }
}

/// Changes the hand-made result and compares what the verifier finds.
#[track_caller]
fn check(change: impl Fn(&mut Outcome), expected: &[&str]) {
    let book = book();
    let mut changed = outcome();
    change(&mut changed);
    assert_eq!(broken(&book, &changed), expected);
}

#[test]
fn the_hand_made_result_breaks_nothing() {
    check(|_| {}, &[]);
    let summary = verify(&book(), &outcome()).unwrap();
    assert_eq!(summary.welfare, WELFARE);
    assert_eq!(summary.bought, 302);
    assert_eq!(summary.paradoxically_rejected, [(BlockHandle(6), 1_120)]);
    assert_eq!(summary.prices_off_midpoint, 0);
}

#[test]
fn lists_of_another_length_are_caught() {
    check(|it| it.prices.truncate(3), &["prices: 3 values where 4 belong"]);
    check(|it| it.flows.push(0), &["flows: 3 values where 2 belong"]);
    check(|it| it.curves.truncate(7), &["curves: 7 values where 8 belong"]);
}

#[test]
fn prices_beyond_the_bounds_are_caught() {
    let text = "area \"B\" period 2: price of 1001 ticks lies outside the bounds";
    check(|it| it.prices[3] = 1_001, &[text]);
    check(
        |it| it.prices[3] = i64::MIN,
        &["area \"B\" period 2: price of -9223372036854775808 ticks lies outside the bounds"],
    );
}

#[test]
fn trades_that_their_price_does_not_allow_are_caught() {
    check(
        |it| it.curves[0].sold = 101,
        &[
            "curve \"mine1\" sells 101 lots in period 1: at its price it must be from 0 to 100",
            "area \"A\" period 1: bought + exported − sold − imported = -51 lots",
            &format!("welfare: {WELFARE} told, recomputed {}", WELFARE - 4 * 10 * 50),
        ],
    );
    check(
        |it| it.curves[3] = Fill::default(),
        &[
            "curve \"coal1\" sells 0 lots in period 1: at its price it must be from 60 to 60",
            "area \"B\" period 1: bought + exported − sold − imported = 60 lots",
        ],
    );
    check(
        |it| it.curves[0].bought = 1,
        &[
            "curve \"mine1\" buys 1 lots in period 1: at its price it must be from 0 to 0",
            "area \"A\" period 1: bought + exported − sold − imported = 1 lots",
        ],
    );
}

#[test]
fn shares_other_than_pro_rata_are_caught() {
    check(
        |it| (it.curves[1].bought, it.curves[2].bought) = (92, 60),
        &["curve \"mill1\" gets 60 lots of its tie in period 1: its pro-rata share is 61"],
    );
    check(
        |it| (it.curves[1].bought, it.curves[2].bought) = (100, 52),
        &[
            "curve \"town1\" gets 100 lots of its tie in period 1: its pro-rata share is 91",
            "curve \"mill1\" gets 52 lots of its tie in period 1: its pro-rata share is 60",
        ],
    );
}

#[test]
fn lots_made_or_lost_are_caught() {
    let text = "area \"B\" period 2: bought + exported − sold − imported = -1 lots";
    let welfare = format!("welfare: {WELFARE} told, recomputed {}", WELFARE - 400);
    check(|it| it.curves[5].bought = 89, &[text, &welfare]);
    check(
        |it| it.flows[0] = 49,
        &[
            "line \"L\" period 1: room left towards its dearer end, `to`",
            "area \"A\" period 1: bought + exported − sold − imported = -1 lots",
            "area \"B\" period 1: bought + exported − sold − imported = 1 lots",
        ],
    );
    check(
        |it| it.flows[0] = 51,
        &[
            "line \"L\" period 1: a flow of 51 lots exceeds its capacity",
            "area \"A\" period 1: bought + exported − sold − imported = 1 lots",
            "area \"B\" period 1: bought + exported − sold − imported = -1 lots",
        ],
    );
}

#[test]
fn wrong_ratios_are_caught() {
    let first = |it: &mut Outcome, ratio| it.blocks[1].1 = ratio;
    let message = |ratio: u32| format!("block \"child\" has the ratio {ratio} millionths, which it may not");
    for ratio in [0, HALF - 1, ALL + 1] {
        let book = book();
        let mut changed = outcome();
        first(&mut changed, ratio);
        assert_eq!(broken(&book, &changed).first(), Some(&message(ratio)));
    }
}

#[test]
fn overfull_groups_and_children_beyond_their_parents_are_caught() {
    let book = book();
    let mut changed = outcome();
    changed.blocks[3].1 = 500_000;
    let text = "block \"evening\": the ratios of its exclusive group sum to 1100000 millionths";
    assert_eq!(broken(&book, &changed).first().unwrap(), text);
    let mut changed = outcome();
    changed.blocks.remove(0);
    assert_eq!(broken(&book, &changed).first().unwrap(), "block \"child\" is accepted beyond its parent");
}

#[test]
fn families_that_lose_are_caught() {
    let book = book();
    let mut changed = outcome();
    changed.blocks.remove(1);
    let found = broken(&book, &changed);
    assert_eq!(found[0], "block \"parent\" is paradoxically accepted: its family earns -400");
    assert_eq!(found[1], "block \"child\" is neither accepted nor rejected");
}

#[test]
fn complex_orders_at_a_loss_or_outside_their_curve_are_caught() {
    let book = book();
    let mut changed = outcome();
    changed.complex[0].quantity = vec![11, 10];
    assert!(broken(&book, &changed).contains(
        &"complex \"steam\" sells 11 lots in period 1: at its price it must be from 12 to 12".into()
    ));
    changed.complex[0].quantity = vec![16, 10];
    assert_eq!(
        broken(&book, &changed)[0],
        "complex \"steam\" sells 16 lots in period 1: at its price it must be from 12 to 15"
    );
    changed.complex[0].quantity = vec![15, i64::MAX];
    assert!(broken(&book, &changed)[0].starts_with("complex \"steam\" sells 9223372036854775807 lots"));
    changed.complex[0].quantity = vec![12];
    assert_eq!(broken(&book, &changed)[0], "complex \"steam\" has not one quantity for each of its periods");
    changed.complex[0].quantity = vec![15, 10];
    // 5 lots at 110 for 100 cost 50 more than the minimum's 2.
    changed.complex.push(ComplexFill { handle: ComplexHandle(1), quantity: vec![4] });
    let found = broken(&book, &changed);
    assert_eq!(found[0], "complex \"idle\" is active at a loss: it earns -20");
    assert!(found.contains(&"complex \"idle\" is both accepted and rejected".into()));
}

#[test]
fn every_block_and_complex_order_is_decided_once_and_explained_rightly() {
    let undecided = ["block \"poor\" is neither accepted nor rejected"];
    check(|it| it.blocks_rejected.retain(|it| it.handle.0 != 5), &undecided);
    check(|it| it.complex_rejected.clear(), &["complex \"idle\" is neither accepted nor rejected"]);
    check(
        |it| it.blocks_rejected.swap(0, 1),
        &["block \"night\" is named where it does not belong, or twice"],
    );
    check(
        |it| it.blocks_rejected.insert(1, it.blocks_rejected[0]),
        &["block \"night\" is named where it does not belong, or twice"],
    );
    check(
        |it| it.blocks_rejected[0].surplus += 1,
        &["block \"night\" would have earned 5600, the result says 5601"],
    );
    check(
        |it| it.complex_rejected[0].surplus += 1,
        &["complex \"idle\" would have earned -20, the result says -19"],
    );
    check(
        |it| it.blocks_rejected.push(Rejected { handle: BlockHandle(99), ..it.blocks_rejected[0] }),
        &["block number 99, which is not in the book, is named where it does not belong, or twice"],
    );
    for (place, wrong) in [
        (0, Rejection::OutOfTheMoney),
        (0, Rejection::ParadoxicallyRejected),
        (0, Rejection::ParentRejected),
        (1, Rejection::ParadoxicallyRejected),
        (1, Rejection::WorkLimit),
        (2, Rejection::GroupTaken),
        (2, Rejection::ParentRejected),
        (3, Rejection::ParadoxicallyRejected),
    ] {
        let mut changed = outcome();
        changed.blocks_rejected[place].reason = wrong;
        let found = broken(&book(), &changed);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(&format!("cannot have been rejected for the reason {wrong:?}")));
    }
}

#[test]
fn a_block_accepted_twice_is_caught() {
    let book = book();
    let mut changed = outcome();
    changed.blocks.push(changed.blocks[0]);
    assert_eq!(broken(&book, &changed), ["block \"parent\" is named where it does not belong, or twice"]);
}

#[test]
fn accepted_blocks_out_of_order_are_caught() {
    let book = book();
    let mut changed = outcome();
    changed.blocks.swap(2, 3);
    let found = broken(&book, &changed);
    assert_eq!(found[0], "block \"morning\" is named where it does not belong, or twice");
}

#[test]
fn wrong_welfare_and_bounds_below_it_are_caught() {
    let told = WELFARE + 1;
    check(|it| it.welfare = told, &[&format!("welfare: {told} told, recomputed {WELFARE}")]);
    let low = WELFARE - 1;
    check(|it| it.bound = low, &[&format!("bound: {low} does not go with the welfare {WELFARE}")]);
}

#[test]
fn fills_of_orders_that_were_taken_out_are_caught() {
    let mut book = AuctionBook::new(frame(&["A"], 100, Vec::new()));
    let gone = book.insert_curve("gone", curve(0, 0, Side::Sell, &[(10, 5)]));
    book.remove_curve(gone);
    let mut outcome = empty_outcome(2, 1);
    assert_eq!(broken(&book, &outcome), [""; 0]);
    outcome.curves[0].sold = 5;
    let text = "curve number 0, which is not in the book, is named where it does not belong, or twice";
    assert_eq!(broken(&book, &outcome), [text]);
}

/// Nothing trades at the middle of 0 to 100.
fn empty_outcome(prices: usize, curves: usize) -> Outcome {
    Outcome {
        prices: vec![50; prices],
        flows: Vec::new(),
        curves: vec![Fill::default(); curves],
        blocks: Vec::new(),
        complex: Vec::new(),
        blocks_rejected: Vec::new(),
        complex_rejected: Vec::new(),
        welfare: 0,
        bound: 0,
        work: 0,
    }
}

/// A buyer of 10 lots at 100 meets a block of 10 lots; every price from 0 to 100 suits the buyer.
fn block_alone(limit: i64, price: i64) -> Vec<String> {
    let mut book = AuctionBook::new(frame(&["B"], 1_000, Vec::new()));
    for period in 0..2 {
        let side = if period == 0 { "first" } else { "second" };
        book.insert_curve(side, curve(0, period, Side::Buy, &[(100, 10)]));
    }
    let order = block(Side::Sell, limit, 10, ALL);
    book.insert_block("block", BlockOrder { area: 0, ..order });
    let mut outcome = empty_outcome(2, 2);
    outcome.prices = vec![price; 2];
    outcome.curves = vec![Fill { bought: 10, sold: 0 }; 2];
    outcome.blocks = vec![(BlockHandle(0), ALL)];
    outcome.welfare = i128::from(4 * 2 * 10 * (100 - limit));
    outcome.bound = outcome.welfare;
    broken(&book, &outcome)
}

#[test]
fn prices_leave_the_mid_point_only_so_that_everyone_is_whole() {
    assert_eq!(block_alone(30, 50), [""; 0]);
    let off =
        |period| format!("area \"B\" period {period}: price of 51 ticks is not the mid-point of [50, 50]");
    assert_eq!(block_alone(30, 51), [off(1), off(2)]);
    assert_eq!(block_alone(70, 70), [""; 0]);
    assert_eq!(block_alone(70, 69), ["block \"block\" is paradoxically accepted: its family earns -20"]);
}

#[test]
fn prices_off_the_mid_point_are_caught_without_decisions() {
    let mut book = AuctionBook::new(frame(&["A"], 100, Vec::new()));
    book.insert_curve("buyer", curve(0, 0, Side::Buy, &[(60, 10), (20, 5)]));
    book.insert_curve("seller", curve(0, 0, Side::Sell, &[(30, 10), (80, 1)]));
    let mut outcome = empty_outcome(2, 2);
    outcome.prices = vec![45, 50];
    outcome.curves = vec![Fill { bought: 10, sold: 0 }, Fill { bought: 0, sold: 10 }];
    outcome.welfare = 4 * 10 * 30;
    outcome.bound = outcome.welfare;
    assert_eq!(broken(&book, &outcome), [""; 0]);
    outcome.prices[0] = 46;
    let text = "area \"A\" period 1: price of 46 ticks is not the mid-point of [30, 60]";
    assert_eq!(broken(&book, &outcome), [text]);
}

/// Two areas joined by a wide line: sellers of 30 and 10 lots at 20, a buyer of `wanted` lots at
/// `buys_at` in the second; what each sells, what flows.
fn two_sellers(buys_at: i64, wanted: i64, sold: [i64; 2], bought: i64) -> Vec<String> {
    let line = Line { id: "L".into(), from: 0, to: 1, capacity: vec![90; 2], capacity_back: vec![90; 2] };
    let mut book = AuctionBook::new(frame(&["A", "B"], 100, vec![line]));
    book.insert_curve("large", curve(0, 0, Side::Sell, &[(20, 30)]));
    book.insert_curve("small", curve(1, 0, Side::Sell, &[(20, 10)]));
    book.insert_curve("buyer", curve(1, 0, Side::Buy, &[(buys_at, wanted)]));
    let mut outcome = empty_outcome(4, 3);
    outcome.prices[0] = 20;
    outcome.prices[1] = 20;
    outcome.flows = vec![sold[0], 0];
    outcome.curves =
        vec![Fill { bought: 0, sold: sold[0] }, Fill { bought: 0, sold: sold[1] }, Fill { bought, sold: 0 }];
    outcome.welfare = i128::from(4 * bought * (buys_at - 20));
    outcome.bound = outcome.welfare;
    broken(&book, &outcome)
}

#[test]
fn ties_across_areas_must_be_even() {
    assert_eq!(two_sellers(90, 20, [15, 5], 20), [""; 0]);
    let text = |area: &str| format!("area \"{area}\" period 1: sells a lot that another area should sell");
    assert_eq!(two_sellers(90, 20, [16, 4], 20), [text("A")]);
    assert_eq!(two_sellers(90, 20, [14, 6], 20), [text("B")]);
}

#[test]
fn volume_must_be_greatest() {
    assert_eq!(two_sellers(20, 20, [15, 5], 20), [""; 0]);
    let text = "area \"B\" period 1: more could be traded at the clearing price";
    assert_eq!(two_sellers(20, 20, [14, 5], 19), [text]);
}

/// At the cap: areas A and B want 10 each, sell 4 and 0, and a line joins them.
fn at_the_cap(bought: [i64; 2]) -> Vec<String> {
    let line = Line { id: "L".into(), from: 0, to: 1, capacity: vec![90; 2], capacity_back: vec![90; 2] };
    let mut book = AuctionBook::new(frame(&["A", "B"], 100, vec![line]));
    book.insert_curve("home", curve(0, 0, Side::Buy, &[(100, 10)]));
    book.insert_curve("away", curve(1, 0, Side::Buy, &[(100, 10)]));
    book.insert_curve("wind", curve(0, 0, Side::Sell, &[(0, 4)]));
    let mut outcome = empty_outcome(4, 3);
    outcome.prices[0] = 100;
    outcome.prices[1] = 100;
    outcome.flows = vec![bought[1], 0];
    let buy = |bought| Fill { bought, sold: 0 };
    outcome.curves = vec![buy(bought[0]), Fill { bought: 0, sold: 4 }, buy(bought[1])];
    outcome.welfare = 4 * 4 * 100;
    outcome.bound = outcome.welfare;
    broken(&book, &outcome)
}

#[test]
fn at_the_cap_an_area_serves_itself_first() {
    assert_eq!(at_the_cap([4, 0]), [""; 0]);
    let text = "area \"A\" period 1: should buy a lot that another area buys";
    assert_eq!(at_the_cap([2, 2]), [text]);
}

#[test]
fn flows_that_run_in_circles_are_caught() {
    let line = |id: &str, from, to| Line {
        id: id.into(),
        from,
        to,
        capacity: vec![9; 2],
        capacity_back: vec![9; 2],
    };
    let lines = vec![line("1", 0, 1), line("2", 1, 2), line("3", 2, 0)];
    let book = AuctionBook::new(frame(&["A", "B", "C"], 100, lines));
    let mut outcome = empty_outcome(6, 0);
    outcome.flows = vec![0; 6];
    assert_eq!(broken(&book, &outcome), [""; 0]);
    outcome.flows = vec![0, 0, 0, 1, 1, 1];
    assert_eq!(broken(&book, &outcome), ["period 2: the same trades are possible with less flow"]);
}

#[test]
fn curves_alone_are_proven_optimal() {
    let book = AuctionBook::new(frame(&["A"], 100, Vec::new()));
    let mut outcome = empty_outcome(2, 0);
    outcome.bound = 1;
    assert_eq!(broken(&book, &outcome), ["bound: 1 does not go with the welfare 0"]);
}
