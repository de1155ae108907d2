//! Times real days, from parsed orders to verified result, one thread: `days [--runs N] FILE...`, each a
//! `merit-auction/1` file. One line a file: its name, curve orders, blocks and complex orders; best and
//! median milliseconds of clearing and verification together, from orders that have been read to a result
//! that is verified (putting them into the book included, and shown apart); status, welfare, work.

use merit_engine::auction::{BlockOrder, ComplexOrder, Point, Shape};
use merit_engine::book::AuctionBook;
use merit_engine::clearing::{Clearing, Progress};
use merit_engine::outcome::Outcome;
use merit_engine::verify::verify;
use merit_gateway::files::{read_auction, read_text};
use std::path::Path;
use std::time::{Duration, Instant};

/// The orders of a book, apart from it.
struct Orders {
    curves: Vec<(String, u16, u16, Shape, Vec<Point>)>,
    blocks: Vec<(String, BlockOrder)>,
    complex: Vec<(String, ComplexOrder)>,
}

impl Orders {
    fn of(book: &AuctionBook) -> Self {
        let curve = |id: &str, area, period, shape, points: &[Point]| {
            (id.to_owned(), area, period, shape, points.to_vec())
        };
        Self {
            curves: book
                .curves()
                .map(|(_, id, it)| curve(id, it.area, it.period, it.shape, it.points))
                .collect(),
            blocks: book.blocks().map(|(_, id, order)| (id.to_owned(), order.clone())).collect(),
            complex: book.complex_orders().map(|(_, id, order)| (id.to_owned(), order.clone())).collect(),
        }
    }

    fn enter(&self, book: &mut AuctionBook) {
        for (id, area, period, shape, points) in &self.curves {
            book.insert_points(id, *area, *period, *shape, points);
        }
        for (id, order) in &self.blocks {
            book.insert_block(id, order.clone());
        }
        for (id, order) in &self.complex {
            book.insert_complex(id, order.clone());
        }
    }
}

fn clear(book: &AuctionBook) -> Result<Outcome, String> {
    let mut clearing = Clearing::start(book);
    while clearing.advance(book, u64::MAX) != Progress::Done {}
    let outcome = clearing.into_outcome().ok_or("clearing ended without a result")?;
    verify(book, &outcome).map_err(|breaks| format!("{} rules broken", breaks.len()))?;
    Ok(outcome)
}

/// Best and median, milliseconds.
fn figures(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let at = |index: usize| times.get(index).map_or(0.0, |it| it.as_secs_f64() * 1e3);
    (at(0), at(times.len() / 2))
}

fn time(path: &Path, runs: usize) -> Result<(), Box<dyn std::error::Error>> {
    let auction = read_auction(&read_text(path)?)?;
    let orders = Orders::of(&auction.book);
    let (mut entered, mut all, mut last) = (Vec::new(), Vec::new(), None);
    for _ in 0..runs.max(1) {
        let started = Instant::now();
        let mut book = AuctionBook::new(auction.book.frame().clone());
        orders.enter(&mut book);
        entered.push(started.elapsed());
        last = Some(clear(&book)?);
        all.push(started.elapsed());
    }
    let outcome = last.ok_or("no run")?;
    let ((book_best, _), (best, median)) = (figures(entered), figures(all));
    let name = path.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    println!(
        "{name} {} {} {} best {best:.2} median {median:.2} book {book_best:.2} {} {} work {}",
        orders.curves.len(),
        orders.blocks.len(),
        orders.complex.len(),
        if outcome.welfare == outcome.bound { "optimal" } else { "limit" },
        auction.units.money(outcome.welfare),
        outcome.work,
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (mut runs, mut files) = (20, Vec::new());
    while let Some(word) = words.next() {
        match word.as_str() {
            "--runs" => runs = words.next().ok_or("--runs needs a number")?.parse()?,
            file => files.push(file.to_owned()),
        }
    }
    if files.is_empty() {
        return Err("say days [--runs N] FILE...".into());
    }
    for file in files {
        time(Path::new(&file), runs)?;
    }
    Ok(())
}
