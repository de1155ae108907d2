//! How good a clearing is as time goes by: `anytime` with the words of a recipe, `[--seconds S]
//! [--work N]` after them. Prints a line of JSON whenever the best welfare or the bound has changed,
//! and a last one with `"done"` once the result stands and the verifier has passed it. Welfare counts
//! price ticks × lots; `block_free` is that of the curves alone. `seconds` count from the admitted book, on the
//! processor where the system tells, so that a busy machine does not slow it.
//!
//! After S seconds the search counts as ended: the same auction is cleared again with the units of work
//! done so far as its limit, which gives the same decisions, and that result is verified.

use merit_benches::generate::Recipe;
use merit_engine::book::AuctionBook;
use merit_engine::clearing::{Clearing, Limit, Progress, Standing};
use merit_engine::outcome::Outcome;
use merit_engine::verify::verify;
use std::time::Instant;

type Fault = Box<dyn std::error::Error>;

/// Processor time of this thread where the system tells, else the time on the wall.
struct Watch {
    wall: Instant,
    processor: Option<f64>,
}

impl Watch {
    fn processor() -> Option<f64> {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let nanos: f64 = told.split_whitespace().next()?.parse().ok()?;
        (nanos > 0.0).then_some(nanos / 1e9)
    }

    fn start() -> Self {
        Self { wall: Instant::now(), processor: Self::processor() }
    }

    fn seconds(&self) -> f64 {
        match (self.processor, Self::processor()) {
            (Some(before), Some(now)) => now - before,
            _ => self.wall.elapsed().as_secs_f64(),
        }
    }
}

fn main() -> Result<(), Fault> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (recipe, rest) = Recipe::parse(&words)?;
    let (mut seconds, mut limit) = (f64::INFINITY, Limit::default());
    for pair in rest.chunks(2) {
        match pair {
            ["--seconds", number] => seconds = number.parse()?,
            ["--work", number] => limit.work = number.parse()?,
            _ => return Err(format!("say {} [--seconds S] [--work N]", Recipe::USAGE).into()),
        }
    }
    let auction = recipe.auction();
    let book = auction.book();
    let mut curves = auction.clone();
    (curves.blocks, curves.complex) = (Vec::new(), Vec::new());
    let block_free = clear(&curves.book(), Limit::default())?.welfare;

    let started = Watch::start();
    let (mut outcome, done) = search(&book, limit, &started, seconds)?;
    let mut took = started.seconds();
    if outcome.is_none() {
        // The limit is work, not time: clearing from the start to the same work ends the same way.
        limit.work = done;
        outcome = Some(clear(&book, limit)?);
        took = seconds;
    }
    let outcome = outcome.ok_or("clearing ended without a result")?;
    let verified = verify(&book, &outcome).is_ok();
    let optimal = outcome.welfare == outcome.bound;
    println!(
        r#"{{"done":true,"seconds":{:.6},"welfare":{},"bound":{},"block_free":{block_free},"work":{},"optimal":{optimal},"verified":{verified},"memory_kb":{}}}"#,
        took,
        outcome.welfare,
        outcome.bound,
        outcome.work,
        memory_peak_kb(),
    );
    if verified { Ok(()) } else { Err("the result breaks a rule".into()) }
}

/// Searches and tells of every change; returns the outcome unless time ran out, and the work done.
fn search(
    book: &AuctionBook,
    limit: Limit,
    started: &Watch,
    seconds: f64,
) -> Result<(Option<Outcome>, u64), Fault> {
    let mut clearing = Clearing::start_within(book, limit);
    let mut before: Option<Standing> = None;
    loop {
        let progress = clearing.advance(book, 1);
        let standing = clearing.standing();
        let changed = |it: &Standing| {
            before.is_none_or(|before| (before.welfare, before.bound) != (it.welfare, it.bound))
        };
        if let Some(standing) = standing.filter(changed) {
            println!(
                r#"{{"seconds":{:.6},"welfare":{},"bound":{},"nodes":{}}}"#,
                started.seconds(),
                standing.welfare,
                standing.bound,
                standing.nodes,
            );
            before = Some(standing);
        }
        match progress {
            Progress::Done => return Ok((clearing.into_outcome(), 0)),
            Progress::Running { done, .. } => {
                if standing.is_some() && started.seconds() > seconds {
                    return Ok((None, done));
                }
            }
        }
    }
}

fn clear(book: &AuctionBook, limit: Limit) -> Result<Outcome, Fault> {
    let mut clearing = Clearing::start_within(book, limit);
    while clearing.advance(book, u64::MAX) != Progress::Done {}
    Ok(clearing.into_outcome().ok_or("clearing ended without a result")?)
}

/// The most memory this process ever held; zero where the system does not tell.
fn memory_peak_kb() -> u64 {
    let told = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|it| it.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
