//! One door for bad input: every case with the words that it gets.

use super::{Auction, FileError, PROBLEMS_MAX, Stats, read_auction, read_bounded, read_result, write_result};
use merit_engine::auction::{Point, Shape, Side};
use merit_engine::clearing::{Clearing, Progress};
use merit_engine::outcome::{Fill, Outcome};
use merit_engine::verify::verify;
use std::time::Duration;

const GOOD: &str = r#"{"format":"merit-auction/1","name":"t","currency":"EUR","price_tick":"0.01",
"order_price_tick":"0.1","price_min":"-500","price_max":"4000","quantity_tick":"0.001",
"order_quantity_tick":0.1,"period_minutes":60,"periods":2,"areas":["N","S"],
"lines":[{"id":"L","from":"N","to":"S","capacity":[100,50.5],"capacity_back":80}],
"curves":[
{"id":"c1","member":"M1","area":"N","period":1,"shape":"step","side":"sell","points":[["30.1",4],[-500,12.5]]},
{"id":"c2","area":"S","period":"2","shape":"linear","points":[["-500",20],[1e2,5],["4000",-10]]}],
"blocks":[
{"id":"b2","member":"M1","area":"N","side":"buy","price":"55.2","quantity":{"2":10},"parent":"b1","group":"g"},
{"id":"b1","member":"M1","area":"N","side":"sell","price":55.2,"quantity":{"2":10,"1":4},"min_ratio":"0.3333333","group":null}],
"complex":[{"id":"x1","member":"M1","area":"S","side":"sell","fixed":"1500.005",
"curve":[{"period":1,"min_quantity":10,"points":[["20",10],["35",30]]},{"period":2,"points":[["35",40]]}]}]}"#;

fn good() -> Auction {
    read_auction(GOOD).unwrap()
}

/// Replaces `what` in the good auction and compares the whole error.
#[track_caller]
fn check(what: &str, with: &str, expected: &str) {
    assert!(GOOD.contains(what), "{what} is not in the good auction");
    let text = GOOD.replacen(what, with, 1);
    match read_auction(&text) {
        Ok(_) => panic!("{with} was taken"),
        Err(error) => assert_eq!(error.to_string(), expected),
    }
}

#[test]
fn a_good_auction_becomes_integers() {
    let auction = good();
    let frame = auction.book.frame();
    assert_eq!((frame.price_min, frame.price_max, frame.periods), (-50_000, 400_000, 2));
    assert_eq!(frame.lines[0].capacity, [100_000, 50_500]);
    assert_eq!(frame.lines[0].capacity_back, [80_000, 80_000]);
    let curves: Vec<_> = auction.book.curves().collect();
    assert_eq!((curves[0].1, curves[0].2.shape), ("c1", Shape::Step(Side::Sell)));
    let points = [(3_010, 4_000), (-50_000, 12_500)].map(|(price, quantity)| Point { price, quantity });
    assert_eq!(curves[0].2.points, points);
    assert_eq!((curves[1].2.area, curves[1].2.period), (1, 1));
    let blocks: Vec<_> = auction.book.blocks().collect();
    assert_eq!((blocks[0].1, blocks[1].1), ("b1", "b2"), "parents come first");
    assert_eq!(blocks[0].2.quantity, [(0, 4_000), (1, 10_000)]);
    assert_eq!(blocks[0].2.ratio_min, 333_334, "rounded up to a millionth");
    assert_eq!(blocks[1].2.parent, Some(blocks[0].0));
    // 0.01 × 0.001 a lot and tick: 1500.005 is 150,000,500 of them.
    let complex: Vec<_> = auction.book.complex_orders().collect();
    assert_eq!((complex[0].2.fixed, frame.welfare_scale), (150_000_500, 1));
    assert_eq!(complex[0].2.curve[0].quantity_min, 10_000);
}

#[test]
fn a_finer_fixed_term_refines_the_grid_of_money() {
    let auction = read_auction(&GOOD.replace("1500.005", "0.0000025")).unwrap();
    let (_, _, order) = auction.book.complex_orders().next().unwrap();
    assert_eq!((order.fixed, auction.book.frame().welfare_scale), (1, 4));
    assert_eq!(auction.units.money(3).to_string(), "0.0000075");
    let text = "complex \"x1\" fixed: 0.00000000000001 needs a finer grid of money than a millionth of price tick × lot";
    check("1500.005", "0.00000000000001", text);
}

#[test]
fn malformed_json_is_told_by_line_and_column() {
    let error = |text: &str| match read_auction(text) {
        Err(FileError::Malformed { line, column, message, .. }) => (line, column, message),
        other => panic!("{other:?}"),
    };
    assert_eq!(error(""), (1, 0, "EOF while parsing a value".into()));
    assert_eq!(error("{\n\"format\": merit}"), (2, 11, "expected value".into()));
    assert_eq!(error("[]").2, "invalid length 0, expected an auction object");
    let (line, column, message) = error(&GOOD.replace("\"c2\",\"area\"", "\"c2\" \"area\""));
    assert_eq!((line, column, message.as_str()), (7, 12, "expected `,` or `}`"));
    assert_eq!(error(&GOOD[..GOOD.len() - 1]).2, "EOF while parsing an object");
    assert_eq!(error(&format!("{GOOD}x")).2, "trailing characters");
}

#[test]
fn numbers_that_json_does_not_know_are_malformed() {
    for number in ["NaN", "Infinity", "-", "+1", "01", ".5", "1e", "0x1"] {
        let text = GOOD.replacen("\"30.1\"", number, 1);
        assert!(matches!(read_auction(&text), Err(FileError::Malformed { line: 6, .. })), "{number}");
    }
}

#[test]
fn numbers_that_no_order_can_have_name_order_field_and_value() {
    let place = "curve \"c1\" points[0] price:";
    for number in ["NaN", "Infinity", "-Infinity", "", " 30.1", "thirty", "1_0", "+30", "0x1E"] {
        check("30.1", number, &format!("{place} {number} is not a decimal number"));
    }
    for number in ["1e999", "12345678901234567890123456789012", "0.12345678901234567890123456789"] {
        let text = format!("{place} {number} has more digits than the 28 that are held exactly");
        check("30.1", number, &text);
    }
    check("\"30.1\"", "null", &format!("{place} null is not a decimal number"));
    check("\"30.1\"", "[1]", &format!("{place} [1] is not a decimal number"));
    check("30.1", "30.15", &format!("{place} 30.15 is off the tick 0.1"));
    check("30.1", "4000.1", &format!("{place} 4000.1 lies outside the bounds -500 to 4000"));
    check("30.1", "-500.1", &format!("{place} -500.1 lies outside the bounds -500 to 4000"));
    check("30.1", "1e27", &format!("{place} 1e27 lies outside the bounds -500 to 4000"));
}

#[test]
fn minus_zero_and_exponents_are_exact_numbers() {
    for (text, price) in [("-0", 0), ("-0.0", 0), ("3.01e1", 3_010), ("30100e-3", 3_010)] {
        let auction = read_auction(&GOOD.replacen("30.1", text, 1)).unwrap();
        assert_eq!(auction.book.curves().next().unwrap().2.points[0].price, price);
    }
}

#[test]
fn quantities_are_positive_on_their_tick_and_within_limits() {
    let place = "curve \"c1\" points[0] quantity:";
    check("\"30.1\",4", "\"30.1\",-4", &format!("{place} -4 must be positive"));
    check("\"30.1\",4", "\"30.1\",0", &format!("{place} 0 must be positive"));
    check("\"30.1\",4", "\"30.1\",-0", &format!("{place} -0 must be positive"));
    check("\"30.1\",4", "\"30.1\",4.05", &format!("{place} 4.05 is off the tick 0.1"));
    check("\"30.1\",4", "\"30.1\",1e10", &format!("{place} 1e10 is more than 1000000000000 lots"));
    check("\"1\":4", "\"1\":0", "block \"b1\" quantity: 0 must be positive");
    check("80}", "-80}", "line \"L\" capacity_back: -80 must not be negative");
    check("50.5]", "-50.5]", "line \"L\" capacity: -50.5 must not be negative");
    check("50.5]", "50.0001]", "line \"L\" capacity: 50.0001 is off the tick 0.001");
}

#[test]
fn ids_stand_once() {
    check("\"c2\"", "\"c1\"", "curve \"c1\": its id stands twice in the file");
    check("\"x1\"", "\"c1\"", "complex \"c1\": its id stands twice in the file");
    check("\"c2\"", "\"\"", "a curve: has an empty id");
    check("[\"N\",\"S\"]", "[\"N\",\"S\",\"N\"]", "area \"N\": its id stands twice in the file");
    let twice = r#"{"id":"L","from":"N","to":"S","capacity":1,"capacity_back":1},{"id":"L""#;
    check("{\"id\":\"L\"", twice, "line \"L\": its id stands twice in the file");
    let text = "block \"b1\" quantity: names period 2 twice";
    check("\"1\":4", "\"2.0\":4", text);
    check("{\"period\":2,", "{\"period\":1,", "complex \"x1\" curve: names period 1 twice");
}

#[test]
fn unknown_areas_periods_sides_and_shapes_are_named() {
    check("\"area\":\"S\"", "\"area\":\"X\"", "curve \"c2\" area: X is not an area of this auction");
    check("\"to\":\"S\"", "\"to\":\"X\"", "line \"L\" to: X is not an area of this auction");
    check("\"to\":\"S\"", "\"to\":\"N\"", "line \"L\": both ends are the same area");
    for period in ["0", "3", "-1", "1.5", "99999999999"] {
        let text = format!("curve \"c1\" period: {period} is not a period from 1 to 2");
        check("\"period\":1", &format!("\"period\":{period}"), &text);
    }
    check("\"1\":4", "\"7\":4", "block \"b1\" quantity: 7 is not a period from 1 to 2");
    check("\"side\":\"sell\"", "\"side\":\"Sell\"", "curve \"c1\" side: Sell is neither buy nor sell");
    check("\"side\":\"sell\",\"points\"", "\"points\"", "curve \"c1\": a step curve needs a side");
    check("\"linear\"", "\"curvy\"", "curve \"c2\" shape: curvy is neither step nor linear");
    let sided = "\"linear\",\"side\":\"buy\"";
    check("\"linear\"", sided, "curve \"c2\": a linear curve is a net quantity and has no side");
}

#[test]
fn families_and_groups_belong_to_one_member() {
    let parent = "block \"b2\" parent:";
    check("\"parent\":\"b1\"", "\"parent\":\"c1\"", &format!("{parent} c1 is not a block of this auction"));
    check("\"parent\":\"b1\"", "\"parent\":\"\"", &format!("{parent}  is not a block of this auction"));
    check("\"parent\":\"b1\"", "\"parent\":\"b2\"", &format!("{parent} its parents run in a circle"));
    check("\"group\":null", "\"parent\":\"b2\"", "block \"b1\" parent: its parents run in a circle");
    let other = "\"id\":\"b1\",\"member\":\"M2\"";
    check("\"id\":\"b1\",\"member\":\"M1\"", other, &format!("{parent} b1 belongs to another member"));
    check("\"group\":\"g\"", "\"group\":\"\"", "block \"b2\" group: its name is empty");
    let text =
        GOOD.replace("\"group\":null", "\"group\":\"g\"").replace("\"parent\":\"b1\"", "\"parent\":null");
    let text = text.replacen("\"b1\",\"member\":\"M1\"", "\"b1\"", 1);
    let error = read_auction(&text).unwrap_err().to_string();
    assert_eq!(error, "block \"b2\" group: g holds blocks of several members");
}

#[test]
fn empty_lists_are_refused() {
    let points = "[[\"30.1\",4],[-500,12.5]]";
    check(points, "[]", "curve \"c1\" points: must hold at least one point");
    check("{\"2\":10,\"1\":4}", "{}", "block \"b1\" quantity: must name at least one period");
    check("[[\"35\",40]]", "[]", "complex \"x1\" curve[1] points: must hold at least one point");
    let text = "areas: must name at least one area";
    let empty = r#"{"format":"merit-auction/1","name":"t","currency":"EUR","price_tick":1,"price_min":0,
        "price_max":1,"quantity_tick":1,"period_minutes":60,"periods":1,"areas":[]}"#;
    assert_eq!(read_auction(empty).unwrap_err().to_string(), text);
}

#[test]
fn linear_curves_never_rise() {
    let place = "curve \"c2\" points[1]";
    check(
        "[1e2,5]",
        "[1e2,20.1]",
        &format!(
            "{place} quantity: 20.1 is more than the quantity before it: net demand must never rise with the price"
        ),
    );
    check("[1e2,5]", "[-500,5]", &format!("{place} price: -500 does not lie above the price before it"));
    check("[1e2,5]", "[4000,5]", "curve \"c2\" points[2] price: 4000 does not lie above the price before it");
}

#[test]
fn capacities_have_one_value_per_period() {
    check("[100,50.5]", "[100]", "line \"L\" capacity: holds 1 values, the auction has 2 periods");
    check("[100,50.5]", "[]", "line \"L\" capacity: holds 0 values, the auction has 2 periods");
    check("[100,50.5]", "{}", "line \"L\" capacity: {} is not a decimal number");
}

#[test]
fn ratios_lie_above_zero_and_at_most_at_one() {
    for ratio in ["0", "-0.5", "1.0000001", "1e9"] {
        check("0.3333333", ratio, &format!("block \"b1\" min_ratio: {ratio} must be above 0 and at most 1"));
    }
    let least = |ratio: &str| {
        let auction = read_auction(&GOOD.replace("0.3333333", ratio)).unwrap();
        auction.book.blocks().next().unwrap().2.ratio_min
    };
    assert_eq!(least("0.00000000001"), 1);
    assert_eq!(least("1.0"), 1_000_000);
    assert_eq!(least("0.9999990000000001"), 1_000_000);
}

#[test]
fn complex_terms_stay_within_their_points() {
    let text = "must lie between 0 and the sum of its points";
    let place = "complex \"x1\" curve[0] min_quantity:";
    check("\"min_quantity\":10", "\"min_quantity\":40.001", &format!("{place} 40.001 {text}"));
    check("\"min_quantity\":10", "\"min_quantity\":-1", &format!("{place} -1 {text}"));
    check("\"1500.005\"", "-1", "complex \"x1\" fixed: -1 must not be negative");
    check("\"1500.005\"", "1e26", "complex \"x1\" fixed: 1e26 is too large");
}

#[test]
fn the_header_is_checked_first() {
    check("merit-auction/1", "merit-auction/2", "format: merit-auction/2 is not merit-auction/1");
    for minutes in ["50", "0", "-60", "60.5", "10083"] {
        let text = match minutes {
            "50" => "period_minutes: 50 is not a multiple of 3".into(),
            _ => format!("period_minutes: {minutes} must be a whole number from 3 to 10080"),
        };
        check("\"period_minutes\":60", &format!("\"period_minutes\":{minutes}"), &text);
    }
    check("\"periods\":2", "\"periods\":0", "periods: 0 must be a whole number from 1 to 1000");
    check("\"periods\":2", "\"periods\":1001", "periods: 1001 must be a whole number from 1 to 1000");
    check("\"0.1\"", "\"0.015\"", "order_price_tick: 0.015 is not a multiple of 0.01");
    check(":0.1,", ":0.0005,", "order_quantity_tick: 0.0005 is not a multiple of 0.001");
    let tick = "must be positive, of at most 9 digits and 18 decimals";
    check("\"0.01\"", "0", &format!("price_tick: 0 {tick}"));
    check("\"0.01\"", "-0.01", &format!("price_tick: -0.01 {tick}"));
    check("\"-500\"", "5000", "price_min: 5000 lies above price_max");
    check("\"-500\"", "0.001", "price_min: 0.001 is off the tick 0.01");
    check("\"-500\"", "-1e20", "price_min: -1e20 is more than 1000000000000 price ticks");
}

#[test]
fn a_misspelt_or_repeated_field_is_an_error() {
    let message = |what: &str, with: &str| match read_auction(&GOOD.replacen(what, with, 1)) {
        Err(FileError::Malformed { message, .. }) => message,
        other => panic!("{other:?}"),
    };
    let text = message("min_ratio", "min_ration");
    assert!(text.starts_with("unknown field `min_ration`, expected one of `id`, `member`"), "{text}");
    assert!(message("\"name\"", "\"nome\"").starts_with("unknown field `nome`"));
    assert_eq!(message("\"id\":\"c1\"", "\"id\":\"c1\",\"id\":\"c3\""), "duplicate field `id`");
    assert_eq!(message("\"1\":4", "\"1\":4,\"1\":5"), "duplicate field `1`");
    assert_eq!(message("\"periods\":2", "\"periods\":2,\"periods\":2"), "duplicate field `periods`");
    assert!(message("\"periods\":2,", "").starts_with("missing field `periods`"));
    assert_eq!(message("[\"30.1\",4]", "[\"30.1\"]"), "invalid length 1, expected a tuple of size 2");
    assert_eq!(message("\"name\":\"t\"", "\"name\":7"), "invalid type: integer `7`, expected a string");
}

#[test]
fn all_broken_rules_are_told_at_once_and_many_are_counted() {
    let text = GOOD.replace("30.1", "x").replace("\"to\":\"S\"", "\"to\":\"Y\"").replace("0.3333333", "2");
    let Err(FileError::Invalid(problems)) = read_auction(&text) else { panic!("taken") };
    assert_eq!(problems.count(), 3);
    assert_eq!(problems.listed()[1].place, "curve \"c1\" points[0] price");
    let many = vec!["[1,-1]"; PROBLEMS_MAX + 7].join(",");
    let Err(FileError::Invalid(problems)) = read_auction(&GOOD.replace("[\"30.1\",4]", &many)) else {
        panic!("taken")
    };
    assert_eq!((problems.listed().len(), problems.count()), (PROBLEMS_MAX, PROBLEMS_MAX + 7));
    assert!(problems.to_string().ends_with("and 7 more"));
}

#[test]
fn deep_nesting_is_refused_without_a_deep_stack() {
    for (what, depth) in [("\"lines\":[", 100_000), ("\"capacity_back\":", 1_000_000)] {
        let text = GOOD.replacen(what, &format!("{what}{}", "[".repeat(depth)), 1);
        assert!(matches!(read_auction(&text), Err(FileError::Malformed { .. })));
    }
    let closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read_auction(&GOOD.replacen("\"30.1\"", &closed, 1)).is_err());
}

#[test]
fn limits_are_kept() {
    let areas: Vec<String> = (0..257).map(|it| format!("\"Z{it}\"")).collect();
    let areas = format!("[\"N\",\"S\",{}]", areas.join(","));
    check("[\"N\",\"S\"]", &areas, "auction: 259 areas, at most 256 are possible");
}

fn nothing_trades(auction: &Auction) -> Outcome {
    let frame = auction.book.frame();
    let periods = usize::from(frame.periods);
    Outcome {
        prices: vec![5; periods * frame.areas.len()],
        flows: vec![-1_500; periods * frame.lines.len()],
        curves: vec![Fill { bought: 0, sold: 12_500 }, Fill::default()],
        blocks: Vec::new(),
        complex: Vec::new(),
        blocks_rejected: Vec::new(),
        complex_rejected: Vec::new(),
        welfare: -123_456,
        bound: 7,
        work: 9,
    }
}

#[test]
fn a_result_is_written_canonically_and_read_back() {
    let auction = good();
    let outcome = nothing_trades(&auction);
    let (clearing, verifying) = (Duration::from_micros(1_500), Duration::from_micros(20));
    let text = write_result(&auction, &outcome, &Stats { nodes: 3, clearing, verifying });
    let expected = r#"{
"format":"merit-result/1",
"auction":"t",
"prices":{
"N":["0.05","0.05"],
"S":["0.05","0.05"]
},
"flows":{
"L":["-1.5","-1.5"]
},
"curves":[
{"id":"c1","bought":"0","sold":"12.5"}
],
"blocks":[
],
"complex":[
],
"rejected":[
],
"welfare":"-1.23456",
"bound":"0.00007",
"status":"limit",
"stats":{"work":9,"nodes":3,"clearing_seconds":0.001500,"verifying_seconds":0.000020}
}
"#;
    assert_eq!(text, expected);
    let read = read_result(&text, &auction).unwrap();
    assert!(read.claims.is_empty());
    assert_eq!(Outcome { work: 9, ..read.outcome }, outcome);
}

#[test]
fn what_a_result_cannot_say_is_told() {
    let auction = good();
    let text = write_result(&auction, &nothing_trades(&auction), &Stats::default());
    let claims = |what: &str, with: &str| -> Vec<String> {
        assert!(text.contains(what));
        let read = read_result(&text.replacen(what, with, 1), &auction).unwrap();
        read.claims.iter().map(ToString::to_string).collect()
    };
    assert_eq!(claims("\"c1\"", "\"c9\""), ["curve \"c9\" is not in the auction"]);
    let twice = "{\"id\":\"c1\"},{\"id\":\"c1\"";
    assert_eq!(claims("{\"id\":\"c1\"", twice), ["curve \"c1\" is reported twice"]);
    assert_eq!(
        claims("\"limit\"", "\"optimal\""),
        ["status \"optimal\": from welfare and bound follows \"limit\""]
    );
    assert_eq!(
        claims("-1.23456", "-1.234567"),
        ["welfare -1.234567 is no exact amount of this auction's money"]
    );
    assert_eq!(claims("\"auction\":\"t\"", "\"auction\":\"u\""), ["the result is of auction \"u\""]);
    assert_eq!(claims("\"L\":[", "\"M\":["), ["line \"M\" is not in the auction"]);
    let block = |entry: &str| claims("\"blocks\":[", &format!("\"blocks\":[{entry}"));
    assert_eq!(
        block(r#"{"id":"b1","ratio":"1.5"}"#),
        ["block \"b1\": ratio 1.5 is no whole number of millionths above 0, at most 1"]
    );
    assert_eq!(
        block(r#"{"id":"b1","ratio":"0.5","sold":{"1":"2","2":"5.5"}}"#),
        ["block \"b1\" period 2: 5500 lots reported, its ratio gives 5000"]
    );
    assert_eq!(
        block(r#"{"id":"b1","ratio":"0.5","sold":{"1":"2"}}"#),
        ["order \"b1\" is reported for other periods than its own or on the other side"]
    );
}

#[test]
fn results_off_their_ticks_or_of_another_length_are_refused() {
    let auction = good();
    let text = write_result(&auction, &nothing_trades(&auction), &Stats::default());
    let error = |what: &str, with: &str| {
        read_result(&text.replacen(what, with, 1), &auction).unwrap_err().to_string()
    };
    assert_eq!(error("\"0.05\"", "\"0.055\""), "area \"N\" period 1: 0.055 is off the tick 0.01");
    assert_eq!(error("\"12.5\"", "\"12.5001\""), "curve \"c1\" sold: 12.5001 is off the tick 0.001");
    assert_eq!(error("\"0.05\",", ""), "area \"N\": holds 1 values, the auction has 2 periods");
    assert_eq!(error("\"N\":[\"0.05\",\"0.05\"],\n", ""), "prices: N has no row");
    assert!(error("\"limit\",", "\"limit\",\"extra\":1,").contains("unknown field `extra`"));
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packer, text).unwrap();
    packer.finish().unwrap()
}

#[test]
fn packed_and_plain_text_read_the_same() {
    assert_eq!(read_bounded(GOOD.as_bytes(), "plain", 10_000).unwrap(), GOOD);
    assert_eq!(read_bounded(packed(GOOD.as_bytes()).as_slice(), "packed", 10_000).unwrap(), GOOD);
    assert_eq!(read_bounded(&b""[..], "empty", 10).unwrap(), "");
}

#[test]
fn more_text_than_allowed_is_refused_before_it_is_held() {
    let bomb = packed(&vec![b' '; 1 << 20]);
    assert!(bomb.len() < 5_000);
    for source in [bomb.as_slice(), &[b' '; 1_001]] {
        let error = read_bounded(source, "bomb", 1_000).unwrap_err();
        assert!(matches!(error, FileError::TooLarge { .. }), "{error}");
    }
}

#[test]
fn damaged_packing_and_other_encodings_are_told() {
    let mut cut = packed(GOOD.as_bytes());
    cut.truncate(cut.len() / 2);
    let error = read_bounded(cut.as_slice(), "cut.gz", 10_000).unwrap_err();
    assert!(error.to_string().starts_with("cannot read cut.gz: "), "{error}");
    let error = read_bounded(&b"{\n \"a\xff\"}"[..], "latin", 10_000).unwrap_err();
    assert_eq!(error.to_string(), "line 2 column 4: not UTF-8 text");
}

/// A stream of numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[test]
fn whatever_is_read_can_be_cleared_verified_written_and_read_back() {
    let pieces: [&[u8]; 8] = [b"0", b"9", b"5", b"99", b"-1", b"1e2", b"0.5", b"00000"];
    let mut taken = 0;
    for seed in 0..6_000 {
        let mut dice = Dice(seed);
        let mut bytes = GOOD.as_bytes().to_vec();
        for _ in 0..=dice.below(2) {
            let digits: Vec<usize> = (0..bytes.len()).filter(|&it| bytes[it].is_ascii_digit()).collect();
            let at = digits[dice.below(digits.len())];
            bytes.splice(at..=at, pieces[dice.below(pieces.len())].iter().copied());
        }
        let text = String::from_utf8(bytes).unwrap();
        let Ok(auction) = read_auction(&text) else { continue };
        taken += 1;
        let mut clearing = Clearing::start(&auction.book);
        while clearing.advance(&auction.book, 1_000) != Progress::Done {}
        let outcome = clearing.into_outcome().unwrap();
        if let Err(breaks) = verify(&auction.book, &outcome) {
            let words: Vec<String> = breaks.iter().map(|it| it.show(&auction.book).to_string()).collect();
            panic!("seed {seed}: {words:?}");
        }
        let written = write_result(&auction, &outcome, &Stats::default());
        let read = read_result(&written, &auction).unwrap();
        assert!(read.claims.is_empty(), "seed {seed}: {:?}", read.claims);
        assert_eq!(Outcome { work: outcome.work, ..read.outcome }, outcome, "seed {seed}");
    }
    assert!(taken > 600, "only {taken} auctions were taken");
}
