//! Anything at all as input of `merit clear`: refused with a reason, or cleared to a result that the
//! verifier passes and that reads back as it was written. Never a panic.
//!
//! Auction files are mutated from a seed: as bytes, and as JSON (numbers made extreme, entries doubled,
//! dropped, moved and copied elsewhere), so that many still are auctions. `MERIT_FUZZ_SECONDS` says for how
//! long (3 by default), `MERIT_FUZZ_SEED` where to start; a finding names the seed that repeats it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use merit_engine::clearing::{Clearing, Limit, Progress};
use merit_engine::verify::verify;
use merit_gateway::files::{Stats, read_auction, read_result, write_result};
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Work of one clearing: enough to try some decisions.
const LIMIT: Limit = Limit { work: 400, gap: 0 };

const NUMBERS: [&str; 24] = [
    "0",
    "1",
    "-1",
    "0.1",
    "0.001",
    "0.0001",
    "-0.1",
    "2",
    "3",
    "10",
    "99.9",
    "100",
    "1000",
    "9999",
    "1e6",
    "1e9",
    "-1e9",
    "1e12",
    "1000000000000",
    "9223372036854775807",
    "1e18",
    "0.333333",
    "1e-6",
    "1e30",
];

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Auctions to start from: all kinds of orders, lines, families, groups, linear curves.
fn corpus() -> Vec<Value> {
    let fixtures = ["day.auction.json", "blocks.auction.json", "search.auction.json"];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let read =
        |name: &&str| serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap();
    fixtures.iter().map(read).collect()
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(nodes).sum(),
        Value::Object(map) => map.values().map(nodes).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The node of a number, counted as [`nodes`] does.
fn node(value: &mut Value, number: usize) -> Option<&mut Value> {
    if number == 0 {
        return Some(value);
    }
    let mut left = number - 1;
    let children: Vec<&mut Value> = match value {
        Value::Array(list) => list.iter_mut().collect(),
        Value::Object(map) => map.values_mut().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    };
    for child in children {
        let count = nodes(child);
        if left < count {
            return node(child, left);
        }
        left -= count;
    }
    None
}

/// Changes one thing.
fn mutate(auction: &mut Value, donor: &mut Value, dice: &mut Dice) {
    let at = dice.below(nodes(auction));
    let from = dice.below(nodes(donor));
    let given = node(donor, from).cloned();
    let Some(place) = node(auction, at) else { return };
    match place {
        Value::Array(list) if !list.is_empty() => {
            let (one, two) = (dice.below(list.len()), dice.below(list.len()));
            match dice.below(5) {
                0 => drop(list.remove(one)),
                1 => list.swap(one, two),
                2 => list.insert(one, list[two].clone()),
                3 => list.truncate(one),
                _ => list[one] = list[two].clone(),
            }
        }
        Value::Object(map) if !map.is_empty() && dice.below(4) == 0 => {
            let keys: Vec<String> = map.keys().cloned().collect();
            let key = dice.of(&keys).clone();
            map.remove(&key);
        }
        Value::Number(_) | Value::String(_) if dice.below(3) > 0 => {
            let number = *dice.of(&NUMBERS);
            *place = match dice.below(2) {
                0 => Value::String(number.into()),
                _ => serde_json::from_str(number).unwrap(),
            };
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            if let Some(given) = given.filter(|it| nodes(it) < 40) {
                *place = given;
            }
        }
    }
}

/// The text of one case.
fn case(corpus: &[Value], seed: u64) -> String {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut auction = dice.of(corpus).clone();
    let mut donor = dice.of(corpus).clone();
    for _ in 0..=dice.below(4) {
        mutate(&mut auction, &mut donor, &mut dice);
    }
    let text = auction.to_string();
    if dice.below(4) > 0 {
        return text;
    }
    let mut bytes = text.into_bytes();
    for _ in 0..=dice.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = dice.below(bytes.len());
        match dice.below(4) {
            0 => drop(bytes.remove(at)),
            1 => bytes[at] = *dice.of(b"0123456789.-+eE\"[]{},: \0"),
            2 => bytes.truncate(at.max(1)),
            _ => bytes.insert(at, *dice.of(b"0123456789.-+eE\"[]{},: ")),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether the text was an auction; it then has been cleared.
fn clears(text: &str) -> bool {
    let auction = match read_auction(text) {
        Ok(auction) => auction,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let mut clearing = Clearing::start_within(&auction.book, LIMIT);
    while clearing.advance(&auction.book, u64::MAX) != Progress::Done {}
    let outcome = clearing.into_outcome().unwrap();
    if let Err(breaks) = verify(&auction.book, &outcome) {
        let told: Vec<String> = breaks.iter().map(|it| it.show(&auction.book).to_string()).collect();
        panic!("the result breaks rules: {told:?}");
    }
    let written = write_result(&auction, &outcome, &Stats::default());
    let read = read_result(&written, &auction).unwrap();
    assert!(read.claims.is_empty(), "{:?}", read.claims);
    assert_eq!((read.outcome.welfare, &read.outcome.curves), (outcome.welfare, &outcome.curves));
    true
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |it| it.parse().unwrap_or_else(|_| panic!("{name}={it} is no number")))
}

#[test]
fn no_input_of_clear_panics_or_passes_unverified() {
    let corpus = corpus();
    assert!(corpus.iter().all(|it| clears(&it.to_string())), "the corpus itself clears");
    let until = Instant::now() + Duration::from_secs(setting("MERIT_FUZZ_SECONDS", 3));
    let first = setting("MERIT_FUZZ_SEED", 1);
    let (mut seed, mut cleared, mut slowest) = (first, 0_u64, (Duration::ZERO, 0));
    while Instant::now() < until {
        let text = case(&corpus, seed);
        let started = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| clears(&text))) {
            Ok(is_auction) => cleared += u64::from(is_auction),
            Err(_) => panic!("MERIT_FUZZ_SEED={seed} repeats it; the input:\n{text}"),
        }
        slowest = slowest.max((started.elapsed(), seed));
        seed += 1;
    }
    let (took, which) = slowest;
    println!("{} inputs, {cleared} of them auctions; slowest {took:.1?} (seed {which})", seed - first);
    assert!(
        seed - first < 200 || cleared * 20 > seed - first,
        "only {cleared} of {} are auctions",
        seed - first
    );
}
