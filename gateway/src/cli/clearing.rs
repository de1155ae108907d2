//! Clears and verifies one auction in this process, with a progress bar when it takes long.

use super::{Exit, Failure};
use crate::files::{Auction, read_auction, read_text};
use indicatif::{ProgressBar, ProgressStyle};
use merit_engine::clearing::{Clearing, Progress};
use merit_engine::outcome::Outcome;
use merit_engine::verify::{Summary, verify};
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

/// Work between two looks at the progress bar: well under a millisecond.
const QUANTUM: u64 = 256;
/// A bar appears only if there is something to wait for.
const PATIENCE: Duration = Duration::from_millis(500);
/// Broken rules that a refusal lists.
const BREAKS_LISTED_MAX: usize = 20;

/// Reads an auction file.
pub(super) fn open(path: &Path) -> Result<Auction, Failure> {
    let text = read_text(path).map_err(|error| Failure::file(path, &error))?;
    read_auction(&text).map_err(|error| Failure::file(path, &error))
}

/// A verified outcome and what it took.
#[derive(Debug)]
pub(super) struct Cleared {
    pub(super) outcome: Outcome,
    pub(super) summary: Summary,
    pub(super) clearing: Duration,
    pub(super) verifying: Duration,
}

/// Clears `auction`; a result that the verifier rejects is not returned.
pub(super) fn clear(auction: &Auction, show_progress: bool) -> Result<Cleared, Failure> {
    let started = Instant::now();
    let outcome = run(auction, show_progress && std::io::stderr().is_terminal(), started)?;
    let clearing = started.elapsed();
    let summary = verify(&auction.book, &outcome).map_err(|breaks| {
        let mut message = format!("the result found breaks {} rules, so it is not published", breaks.len());
        for broken in breaks.iter().take(BREAKS_LISTED_MAX) {
            message += &format!("\n{}", broken.show(&auction.book));
        }
        Failure { exit: Exit::CheckFailed, message }
    })?;
    let verifying = started.elapsed().saturating_sub(clearing);
    Ok(Cleared { outcome, summary, clearing, verifying })
}

fn run(auction: &Auction, show_progress: bool, started: Instant) -> Result<Outcome, Failure> {
    let mut clearing = Clearing::start(&auction.book);
    let mut bar: Option<ProgressBar> = None;
    while let Progress::Running { done, total } = clearing.advance(&auction.book, QUANTUM) {
        if show_progress && started.elapsed() > PATIENCE {
            let bar = bar.get_or_insert_with(|| new_bar(total));
            bar.set_length(total);
            bar.set_position(done);
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    clearing.into_outcome().ok_or_else(|| Failure::error("clearing ended without a result"))
}

fn new_bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("clearing {wide_bar} {percent}% {elapsed}")
        .expect("the template is a constant and reads well");
    ProgressBar::new(total).with_style(style)
}
