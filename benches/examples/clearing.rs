//! Times one auction from orders to verified result, one thread: `clearing` with the words of a recipe,
//! `[RUNS [WORK]]` after them. The last line is for programs: name, orders, points, best and median microseconds from
//! admitted book to verified result, and the welfare in price ticks × lots. On Linux the processor time
//! is shown too, as a mean: on a busy machine it leaves out what other programs took, though not what
//! they evicted from the caches.

use merit_benches::generate::Recipe;
use merit_engine::clearing::{Clearing, Limit, Progress};
use merit_engine::verify::verify;
use std::time::{Duration, Instant};

struct Figures(Vec<Duration>);

impl Figures {
    fn micros(&mut self) -> (f64, f64, f64) {
        self.0.sort();
        let at = |index: usize| self.0.get(index).map_or(0.0, |it| it.as_secs_f64() * 1e6);
        (at(0), at(self.0.len() / 2), at(self.0.len().saturating_sub(1)))
    }

    fn show(&mut self, what: &str) {
        let (best, median, worst) = self.micros();
        println!("{what:<28} best {best:>10.1} us   median {median:>10.1} us   worst {worst:>10.1} us");
    }
}

/// Time this thread has run on a processor; zero where the system does not tell.
fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = told.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (recipe, rest) = Recipe::parse(&words)?;
    let (mut runs, mut limit) = (100_usize, Limit::default());
    match rest.as_slice() {
        [] => {}
        [count] => runs = count.parse()?,
        [count, work] => (runs, limit.work) = (count.parse()?, work.parse()?),
        _ => return Err(format!("say {} [RUNS [WORK]]", Recipe::USAGE).into()),
    }
    let auction = recipe.auction();
    println!("{}: {} orders, {} points", auction.name, auction.orders.len(), auction.points());
    let started = Instant::now();
    let book = auction.book();
    let admission = started.elapsed();
    let per_order = admission.as_secs_f64() * 1e6 / f64::from(u32::try_from(auction.orders.len())?);
    println!("admission                    {per_order:.2} us per order");

    let (mut clearings, mut checks, mut all) =
        (Figures(Vec::new()), Figures(Vec::new()), Figures(Vec::new()));
    let mut welfare = 0;
    let before = processor_time();
    for _ in 0..runs {
        let started = Instant::now();
        let mut clearing = Clearing::start_within(&book, limit);
        while clearing.advance(&book, u64::MAX) != Progress::Done {}
        let outcome = clearing.into_outcome().ok_or("clearing ended without a result")?;
        let cleared = started.elapsed();
        verify(&book, &outcome).map_err(|breaks| format!("{} rules broken", breaks.len()))?;
        let whole = started.elapsed();
        clearings.0.push(cleared);
        checks.0.push(whole.saturating_sub(cleared));
        all.0.push(whole);
        welfare = outcome.welfare;
    }
    clearings.show("clearing");
    checks.show("verification");
    all.show("book to verified result");
    let processor = processor_time().saturating_sub(before).as_secs_f64() * 1e6;
    let mean = processor / f64::from(u32::try_from(runs.max(1))?);
    println!("{:<28} mean {mean:>10.1} us", "  of it on a processor");

    let mut steps = Figures(Vec::new());
    let mut clearing = Clearing::start_within(&book, limit);
    loop {
        let started = Instant::now();
        let progress = clearing.advance(&book, 1);
        steps.0.push(started.elapsed());
        if progress == Progress::Done {
            break;
        }
    }
    steps.show("one step");
    let (best, median, _) = all.micros();
    let (orders, points) = (auction.orders.len(), auction.points());
    let name = auction.name.replace(' ', "-");
    println!("{name} {orders} {points} {best:.1} {median:.1} {welfare}");
    Ok(())
}
