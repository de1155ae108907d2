//! The crowd against the published tables, with a crossing of the test's own.

use super::super::curve::{Curve, Shape};
use super::super::profile::{BLOCKS, BLOCKS_PER_ROW, CAP, DAY_AHEAD, REAL_TIME, Row};
use super::{AREAS, Bids, Crowd, Kind, MEMBERS_MIN, apportion};
use merit_engine::auction::{CurveOrder, Frame, Line, Point, Shape as EngineShape, Side};
use merit_engine::book::AuctionBook;
use merit_engine::calendar::Day;
use merit_engine::clearing::{Clearing, Progress};
use merit_engine::outcome::Outcome;
use merit_engine::presets;

/// Clearing price in paise and volume in hundredths of a MW of curves in one area.
fn cross(curves: &[Option<Curve>]) -> (i64, i64) {
    let at = |paise: i64| {
        curves.iter().flatten().map(|it| it.wants(paise)).fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1))
    };
    // The highest price at which demand still covers supply.
    let (mut low, mut high) = (0, CAP * 100 + 1);
    while low + 1 < high {
        let middle = (low + high) / 2;
        let (bought, sold) = if middle > CAP * 100 { (0, 1) } else { at(middle) };
        if bought >= sold { low = middle } else { high = middle }
    }
    let (bought, sold) = at(low);
    (low, bought.min(sold))
}

/// Largest deviation of purchase and sell totals, of cleared volume and of the mean price from the
/// table, in thousandths; prices outside the published range count as failures.
fn check(seed: u64, members: u16, bids: &Bids, table: &[Row; 12], tolerances: [i64; 3]) {
    assert_eq!(bids.len(), BLOCKS);
    for (row, blocks) in table.iter().zip(bids.chunks(BLOCKS_PER_ROW)) {
        let (mut purchase, mut sell, mut cleared, mut price) = (0, 0, 0, 0);
        for curves in blocks {
            for curve in curves.iter().flatten() {
                let (bought, sold) = curve.extremes();
                purchase += bought;
                sell += sold;
            }
            let (paise, volume) = cross(curves);
            cleared += volume;
            price += paise;
            let range = row.low * 100..=row.high * 100;
            assert!(range.contains(&paise), "seed {seed}, {members} members: {paise} paise, {row:?}");
        }
        let near = |what: &str, found: i64, published: i64, tolerance: i64| {
            let off = (found - published).abs() * 1_000 / published;
            assert!(off <= tolerance, "seed {seed}, {members} members: {what} {found} {off}‰ off, {row:?}");
        };
        near("purchase", purchase / 80, row.purchase, tolerances[0]);
        near("sell", sell / 80, row.sell, tolerances[0]);
        near("cleared", cleared / 800, row.cleared, tolerances[1]);
        near("price", price / 800, row.price, tolerances[2]);
    }
}

#[test]
fn totals_prices_and_volumes_follow_the_published_days() {
    for seed in [1, 7] {
        for members in [40, 150] {
            let crowd = Crowd::new(seed, members);
            check(seed, members, &crowd.day_ahead, &DAY_AHEAD, [20, 40, 40]);
            check(seed, members, &crowd.real_time, &REAL_TIME, [20, 50, 50]);
        }
    }
}

#[test]
fn the_peaks_clear_at_the_cap_for_every_seed() {
    for seed in 0..4 {
        let crowd = Crowd::new(seed, 30);
        let at_cap = |blocks: std::ops::Range<usize>| {
            crowd.day_ahead[blocks].iter().filter(|it| cross(it).0 == CAP * 100).count()
        };
        assert_eq!(at_cap(32..40), 8, "seed {seed}");
        assert!((3..8).contains(&at_cap(72..80)), "seed {seed}");
        assert_eq!(at_cap(0..24) + at_cap(48..64) + at_cap(80..96), 0, "seed {seed}");
    }
}

#[test]
fn every_curve_keeps_the_market_s_ticks_and_form() {
    let rules = &presets::indian(Day::MIN)[0];
    let (limits, lots_per_tenth) = (rules.limits, rules.order_quantity_step);
    let fewest = (0..12).map(|seed| (seed, MEMBERS_MIN));
    for (seed, members) in fewest.chain([(3, 60)]) {
        let crowd = Crowd::new(seed, members);
        for (bids, curve) in [&crowd.day_ahead, &crowd.real_time]
            .into_iter()
            .flatten()
            .flat_map(|bids| bids.iter().flatten().map(move |it| (bids, it)))
        {
            assert_eq!(bids.len(), crowd.portfolios.len());
            let points = &curve.points;
            assert!((1..=usize::from(limits.curve_points_max)).contains(&points.len()));
            assert!(points.windows(2).all(|it| it[0].rupees < it[1].rupees));
            assert!(points.iter().all(|it| (0..=CAP).contains(&it.rupees)));
            let most = points.iter().map(|it| it.tenths.abs()).max().unwrap();
            assert!(most * lots_per_tenth <= limits.quantity_max, "seed {seed}: {most} tenths of a MW");
            match curve.shape {
                Shape::Buy | Shape::Sell => assert!(points.iter().all(|it| it.tenths > 0)),
                Shape::Portfolio => {
                    assert!(points.windows(2).all(|it| it[0].tenths >= it[1].tenths));
                    assert_eq!((points[0].rupees, points[points.len() - 1].rupees), (0, CAP));
                }
            }
        }
    }
}

#[test]
fn the_fewest_members_are_of_every_kind_and_more_sit_in_every_area() {
    let crowd = Crowd::new(5, MEMBERS_MIN);
    assert!(Kind::ALL.iter().all(|it| crowd.count(*it) >= 1));
    let mut areas: Vec<u16> = Crowd::new(5, 120).portfolios.iter().map(|it| it.area).collect();
    areas.sort_unstable();
    areas.dedup();
    assert_eq!(areas.len(), 13);
}

#[test]
fn the_same_seed_gives_the_same_bids_and_another_seed_others() {
    let (one, same, other) = (Crowd::new(9, 30), Crowd::new(9, 30), Crowd::new(10, 30));
    assert!(one.day_ahead == same.day_ahead && one.real_time == same.real_time);
    assert!(one.day_ahead != other.day_ahead && one.real_time != other.real_time);
}

#[test]
fn shares_add_up_to_the_total() {
    assert_eq!(apportion(10, &[1, 1, 1]), [4, 3, 3]);
    assert_eq!(apportion(10, &[0, 0]), [0, 0]);
    assert_eq!(apportion(7, &[0, 5, 2]), [0, 5, 2]);
}

/// A whole day of a market in one auction, cleared by the engine over the lines of the preset.
fn engine_clears(crowd: &Crowd, bids: &Bids) -> Outcome {
    let rules = &presets::indian(Day::MIN)[0];
    let lines = rules.lines.iter().map(|it| Line {
        id: it.id.as_str().into(),
        from: it.from,
        to: it.to,
        capacity: vec![it.capacity; BLOCKS],
        capacity_back: vec![it.capacity_back; BLOCKS],
    });
    let mut book = AuctionBook::new(Frame {
        price_min: rules.price_min,
        price_max: rules.price_max,
        periods: 96,
        areas: rules.areas.iter().map(|it| it.code.as_str().into()).collect(),
        lines: lines.collect(),
        welfare_scale: 1,
    });
    for (period, curves) in (0..).zip(bids) {
        for (portfolio, curve) in crowd.portfolios.iter().zip(curves) {
            let Some(curve) = curve else { continue };
            let shape = match curve.shape {
                Shape::Buy => EngineShape::Step(Side::Buy),
                Shape::Sell => EngineShape::Step(Side::Sell),
                Shape::Portfolio => EngineShape::Linear,
            };
            let points = curve.points.iter();
            let points = points.map(|it| Point { price: it.rupees * 100, quantity: it.tenths * 10 }).collect();
            book.insert_curve(&portfolio.code, CurveOrder { area: portfolio.area, period, shape, points });
        }
    }
    let mut clearing = Clearing::start(&book);
    while clearing.advance(&book, u64::MAX) != Progress::Done {}
    clearing.into_outcome().unwrap()
}

#[test]
fn the_engine_s_prices_balance_the_crowd_and_areas_rarely_part() {
    let crowd = Crowd::new(7, 60);
    let codes: Vec<String> =
        presets::indian(Day::MIN)[0].areas.iter().map(|it| it.code.as_str().to_owned()).collect();
    assert_eq!(codes, AREAS, "bids name areas by their place in the rules");
    let (mut together, mut blocks) = (0, 0);
    for bids in [&crowd.day_ahead, &crowd.real_time] {
        let outcome = engine_clears(&crowd, bids);
        for (curves, prices) in bids.iter().zip(outcome.prices.chunks(AREAS.len())) {
            blocks += 1;
            if prices.iter().any(|it| *it != prices[0]) {
                continue;
            }
            together += 1;
            let at = |paise: i64| {
                let sum = |sum: (i64, i64), it: (i64, i64)| (sum.0 + it.0, sum.1 + it.1);
                if paise > CAP * 100 {
                    return (0, i64::MAX);
                }
                curves.iter().flatten().map(|it| it.wants(paise)).fold((0, 0), sum)
            };
            // One price: demand at it covers what sellers offer below it, and the other way round.
            let price = prices[0];
            assert!(at(price).0 >= at(price - 1).1, "{price}");
            assert!(at(price).1 >= at(price + 1).0, "{price}");
        }
    }
    assert!(together * 10 >= blocks * 9, "{together} of {blocks} blocks have one price");
}
