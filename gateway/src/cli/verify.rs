//! `merit verify`: the engine's verifier on files, for regulators and for losers of an auction.

use super::output::{Cell, Format, Table, print};
use super::{Exit, Failure, clearing};
use crate::files::{Auction, read_result, read_text};
use merit_engine::verify::{Summary, verify};
use std::path::PathBuf;

/// Check a result against its auction, rule by rule, in exact integers
///
/// Prints every broken rule and every block that is rejected although it would have earned at the
/// published prices. Exits with 0 if all rules hold and with 3 if one is broken.
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// The auction (merit-auction/1, plain or gzip; `-` for standard input)
    auction: PathBuf,
    /// The result (merit-result/1, plain or gzip; `-` for standard input)
    result: PathBuf,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Verify {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        if self.auction.as_os_str() == "-" && self.result.as_os_str() == "-" {
            return Err(Failure::usage("standard input holds one file, not two"));
        }
        let auction = clearing::open(&self.auction)?;
        let file_error = |error| Failure::file(&self.result, &error);
        let text = read_text(&self.result).map_err(file_error)?;
        let result = read_result(&text, &auction).map_err(file_error)?;
        let mut broken: Vec<String> = result.claims.iter().map(ToString::to_string).collect();
        let verdict = verify(&auction.book, &result.outcome);
        if let Err(breaks) = &verdict {
            broken.extend(breaks.iter().map(|it| it.show(&auction.book).to_string()));
        }
        let summary = verdict.ok().filter(|_| broken.is_empty());
        print(&report(&auction, &broken, summary.as_ref(), self.output)).map_err(Failure::error)?;
        Ok(if summary.is_some() { Exit::Ok } else { Exit::CheckFailed })
    }
}

fn report(auction: &Auction, broken: &[String], summary: Option<&Summary>, format: Format) -> String {
    let mut breaks = Table::new(&["broken"]);
    for text in broken {
        breaks.add(vec![Cell::text(text)]);
    }
    let mut missed = Table::new(&["paradoxically_rejected", "surplus"]);
    for (handle, surplus) in summary.iter().flat_map(|it| &it.paradoxically_rejected) {
        let id = auction.book.block_id(*handle).unwrap_or_default();
        missed.add(vec![Cell::text(id), Cell::number(auction.units.money(*surplus))]);
    }
    match (format, summary) {
        (Format::Json, _) => {
            let welfare = summary.map_or("null".into(), |it| auction.units.money(it.welfare).to_string());
            format!(
                "{{\"valid\":{},\"welfare\":{welfare},\"broken\":{},\"paradoxically_rejected\":{}}}\n",
                summary.is_some(),
                breaks.json(),
                missed.json()
            )
        }
        (Format::Csv, None) => breaks.render(format),
        (Format::Csv, Some(_)) => missed.render(format),
        (Format::Table, None) => format!("{}{} broken\n", breaks.render(format), broken.len()),
        (Format::Table, Some(summary)) => {
            let welfare = auction.units.money(summary.welfare);
            let rows = if missed.is_empty() { String::new() } else { missed.render(format) };
            format!("every rule holds; welfare {welfare} {}\n{rows}", auction.units.currency)
        }
    }
}
