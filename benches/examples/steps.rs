//! How long steps of clearing and verifying take: `steps` with the words of a recipe, `[--runs N]
//! [--work N] [--quantum UNITS]` after them.
//!
//! The search does the same steps every time, so each step counts as the quickest of N runs: what other
//! programs took from it is left out. Prints, for each kind of step, how many there were, their mean,
//! the 99.9 % one and the longest, in milliseconds. With a quantum, quanta of so many units are timed
//! instead, as the market does them.

use merit_benches::generate::Recipe;
use merit_engine::book::AuctionBook;
use merit_engine::clearing::{Clearing, Limit, Progress};
use merit_engine::outcome::Outcome;
use merit_engine::verify::Verification;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

type Fault = Box<dyn std::error::Error>;

/// Kind and time of each step of one run.
type Steps = Vec<(&'static str, Duration)>;

fn run(book: &AuctionBook, limit: Limit, quantum: u64) -> Result<(Steps, Outcome), Fault> {
    let mut steps = Vec::new();
    let started = Instant::now();
    let mut clearing = Clearing::start_within(book, limit);
    steps.push(("set up", started.elapsed()));
    loop {
        let kind = clearing.doing();
        let started = Instant::now();
        let progress = clearing.advance(book, quantum);
        steps.push((kind, started.elapsed()));
        if progress == Progress::Done {
            break;
        }
    }
    let outcome = clearing.into_outcome().ok_or("clearing ended without a result")?;
    let started = Instant::now();
    let mut verification = Verification::start(book, &outcome);
    steps.push(("verify: set up", started.elapsed()));
    loop {
        let started = Instant::now();
        let ended = verification.advance(book, &outcome, quantum);
        steps.push(("verify", started.elapsed()));
        if ended {
            break;
        }
    }
    let started = Instant::now();
    let verdict = verification.finish(book, &outcome);
    steps.push(("verify: finish", started.elapsed()));
    verdict.map_err(|breaks| format!("{} rules broken", breaks.len()))?;
    Ok((steps, outcome))
}

fn main() -> Result<(), Fault> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (recipe, rest) = Recipe::parse(&words)?;
    let (mut runs, mut quantum, mut limit) = (3_usize, 1, Limit::default());
    for pair in rest.chunks(2) {
        match pair {
            ["--runs", number] => runs = number.parse()?,
            ["--work", number] => limit.work = number.parse()?,
            ["--quantum", number] => quantum = number.parse()?,
            _ => {
                return Err(format!("say {} [--runs N] [--work N] [--quantum UNITS]", Recipe::USAGE).into());
            }
        }
    }
    let book = recipe.auction().book();
    let (mut least, outcome) = run(&book, limit, quantum)?;
    for _ in 1..runs {
        let (again, _) = run(&book, limit, quantum)?;
        if again.len() != least.len() {
            return Err("another number of steps than before".into());
        }
        for (least, again) in least.iter_mut().zip(again) {
            least.1 = least.1.min(again.1);
        }
    }
    let mut kinds: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for (kind, took) in least {
        kinds.entry(kind).or_default().push(took);
    }
    let millis = |it: Duration| it.as_secs_f64() * 1e3;
    println!("{:<16}{:>9}{:>9}{:>9}{:>9}", "step", "count", "mean", "99.9 %", "longest");
    for (kind, mut times) in kinds {
        times.sort_unstable();
        let sum: Duration = times.iter().sum();
        let count = u32::try_from(times.len())?;
        let tail = times[times.len() - 1 - times.len() / 1_000];
        let longest = times[times.len() - 1];
        println!(
            "{kind:<16}{count:>9}{:>9.3}{:>9.3}{:>9.3}",
            millis(sum / count),
            millis(tail),
            millis(longest)
        );
    }
    println!("welfare {} bound {} work {}", outcome.welfare, outcome.bound, outcome.work);
    Ok(())
}
