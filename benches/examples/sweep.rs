//! How cost grows: `sweep OUT.svg [RUNS]` clears generated auctions while one of periods, areas, steps
//! and blocks grows and the others stay, prints the times and draws them, both axes logarithmic.
//!
//! Periods, areas and steps: curves only, from admitted book to verified result, the best of RUNS (5).
//! Blocks: until the bound proves the best result within 0.1 % of the welfare that blocks add; an open
//! dot means not within ten seconds, and stands there.

use merit_benches::generate::{Family, Recipe};
use merit_engine::book::AuctionBook;
use merit_engine::clearing::{Clearing, Limit, Progress};
use merit_engine::outcome::Outcome;
use merit_engine::verify::verify;
use std::fmt::Write;
use std::time::Instant;

type Fault = Box<dyn std::error::Error>;

/// The most seconds that a search may take.
const PATIENCE: f64 = 10.0;
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 300.0;
const MARGIN: f64 = 56.0;

struct Dot {
    size: u32,
    millis: f64,
    reached: bool,
}

struct Panel {
    title: &'static str,
    axis: &'static str,
    dots: Vec<Dot>,
}

fn clear(book: &AuctionBook) -> Result<Outcome, Fault> {
    let mut clearing = Clearing::start(book);
    while clearing.advance(book, u64::MAX) != Progress::Done {}
    let outcome = clearing.into_outcome().ok_or("clearing ended without a result")?;
    verify(book, &outcome).map_err(|breaks| format!("{} rules broken", breaks.len()))?;
    Ok(outcome)
}

/// Best time of curves alone, milliseconds.
fn curves(recipe: &Recipe, runs: u32) -> Result<f64, Fault> {
    let book = recipe.auction().book();
    let mut best = f64::INFINITY;
    for _ in 0..runs.max(1) {
        let started = Instant::now();
        clear(&book)?;
        best = best.min(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(best)
}

/// Milliseconds until the gap is 0.1 % of what blocks add, and whether it came to that.
fn blocks(recipe: &Recipe) -> Result<(f64, bool), Fault> {
    let auction = recipe.auction();
    let book = auction.book();
    let free = clear(&Recipe { blocks: 0, ..recipe.clone() }.auction().book())?.welfare;
    let started = Instant::now();
    let mut clearing = Clearing::start_within(&book, Limit { work: u64::MAX / 4, gap: 0 });
    loop {
        let progress = clearing.advance(&book, 1);
        let seconds = started.elapsed().as_secs_f64();
        let near = |welfare: i128, bound: i128| (bound - welfare) * 1_000 <= bound - free;
        let reached = match (progress, clearing.standing()) {
            (Progress::Done, _) => true,
            (Progress::Running { .. }, Some(it)) => near(it.welfare, it.bound),
            (Progress::Running { .. }, None) => false,
        };
        if reached || seconds > PATIENCE {
            return Ok((seconds.min(PATIENCE) * 1e3, reached));
        }
    }
}

fn sweep(
    title: &'static str,
    axis: &'static str,
    sizes: &[u32],
    mut time: impl FnMut(u32) -> Result<(f64, bool), Fault>,
) -> Result<Panel, Fault> {
    let mut dots = Vec::new();
    for &size in sizes {
        let (millis, reached) = time(size)?;
        println!("{axis:<28} {size:>6} {millis:>10.3} ms{}", if reached { "" } else { " (not reached)" });
        dots.push(Dot { size, millis, reached });
    }
    Ok(Panel { title, axis, dots })
}

/// Decades that hold all of some numbers.
fn decades(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for number in numbers {
        (low, high) = (low.min(number.log10()), high.max(number.log10()));
    }
    (low.floor(), high.ceil().max(low.floor() + 1.0))
}

/// A power of ten as people write it.
fn power(exponent: f64) -> String {
    let number = 10_f64.powf(exponent);
    if exponent < 0.0 { format!("{number:.3}").trim_end_matches('0').into() } else { format!("{number:.0}") }
}

fn draw(out: &mut String, panel: &Panel, left: f64, top: f64) -> std::fmt::Result {
    let (wide, high) = (WIDTH - 1.5 * MARGIN, HEIGHT - 1.7 * MARGIN);
    let (x0, y0) = (left + MARGIN, top + 0.7 * MARGIN);
    let (first, last) = decades(panel.dots.iter().map(|it| f64::from(it.size)));
    let (least, most) = decades(panel.dots.iter().map(|it| it.millis));
    let x = |size: f64| x0 + wide * (size.log10() - first) / (last - first);
    let y = |millis: f64| y0 + high - high * (millis.log10() - least) / (most - least);
    writeln!(
        out,
        r#"<text x="{x0:.0}" y="{:.0}" font-weight="bold">{}: milliseconds</text>"#,
        y0 - 12.0,
        panel.title
    )?;
    writeln!(
        out,
        r##"<rect x="{x0:.1}" y="{y0:.1}" width="{wide:.1}" height="{high:.1}" fill="none" stroke="#888"/>"##
    )?;
    let mut exponent = first;
    while exponent <= last {
        let at = x(10_f64.powf(exponent));
        let (label, below) = (power(exponent), y0 + high);
        writeln!(out, r##"<path d="M{at:.1} {y0:.1}V{below:.1}" stroke="#ddd"/>"##)?;
        writeln!(out, r#"<text x="{at:.1}" y="{:.1}" text-anchor="middle">{label}</text>"#, below + 16.0)?;
        exponent += 1.0;
    }
    let mut exponent = least;
    while exponent <= most {
        let at = y(10_f64.powf(exponent));
        let (label, right) = (power(exponent), x0 + wide);
        writeln!(out, r##"<path d="M{x0:.1} {at:.1}H{right:.1}" stroke="#ddd"/>"##)?;
        writeln!(out, r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{label}</text>"#, x0 - 6.0, at + 4.0)?;
        exponent += 1.0;
    }
    let middle = x0 + wide / 2.0;
    writeln!(
        out,
        r#"<text x="{middle:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
        y0 + high + 34.0,
        panel.axis
    )?;
    let points: Vec<(f64, f64, bool)> =
        panel.dots.iter().map(|it| (x(it.size.into()), y(it.millis), it.reached)).collect();
    let line: Vec<String> = points.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
    writeln!(
        out,
        r##"<polyline points="{}" fill="none" stroke="#1f6fb2" stroke-width="2"/>"##,
        line.join(" ")
    )?;
    for (x, y, reached) in points {
        let fill = if reached { "#1f6fb2" } else { "#fff" };
        writeln!(out, r##"<circle cx="{x:.1}" cy="{y:.1}" r="4" fill="{fill}" stroke="#1f6fb2"/>"##)?;
    }
    Ok(())
}

fn picture(panels: &[Panel]) -> Result<String, std::fmt::Error> {
    let (wide, high) = (2.0 * WIDTH, 2.0 * HEIGHT);
    let mut out = String::new();
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" font-family="sans-serif" font-size="12">"#
    )?;
    writeln!(out, r##"<rect width="{wide}" height="{high}" fill="#fff"/>"##)?;
    let places = [(0.0, 0.0), (WIDTH, 0.0), (0.0, HEIGHT), (WIDTH, HEIGHT)];
    for (panel, (left, top)) in panels.iter().zip(places) {
        draw(&mut out, panel, left, top)?;
    }
    writeln!(out, "</svg>")?;
    Ok(out)
}

fn main() -> Result<(), Fault> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (path, runs) = match words.as_slice() {
        [path] => (path, 5),
        [path, runs] => (path, runs.parse()?),
        _ => return Err("say sweep OUT.svg [RUNS]".into()),
    };
    let day = |periods, areas| Recipe::new(Family::Liquid, periods, areas, 1);
    let small = |size: u32| u16::try_from(size).map_err(|_| "too many");
    let panels = [
        sweep("Periods (13 areas, 10 steps)", "periods", &[2, 4, 8, 16, 32, 64, 128, 200], |size| {
            Ok((curves(&day(small(size)?, 13), runs)?, true))
        })?,
        sweep("Areas (96 periods, 10 steps)", "areas", &[1, 2, 3, 5, 8, 13, 20, 30, 40], |size| {
            Ok((curves(&day(96, small(size)?), runs)?, true))
        })?,
        sweep("Steps (96 periods, 13 areas)", "steps of a ladder", &[2, 5, 10, 20, 50, 100, 200], |size| {
            let steps = Some(usize::try_from(size)?);
            // A fifth of the portfolios, so that two decades fit the memory.
            Ok((curves(&Recipe { steps, portfolios: Some(100), ..day(96, 13) }, runs)?, true))
        })?,
        sweep(
            "Blocks (24 periods, 13 areas)",
            "blocks",
            &[40, 100, 200, 400, 1_000, 2_000, 4_000],
            |size| blocks(&Recipe { blocks: usize::try_from(size)?, ..day(24, 13) }),
        )?,
    ];
    std::fs::write(path, picture(&panels)?)?;
    Ok(())
}
