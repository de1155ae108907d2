//! Clears and verifies one auction in this process, with a progress bar when it takes long.

use super::{Exit, Failure};
use crate::files::{Auction, Stats, read_auction, read_text};
use indicatif::{ProgressBar, ProgressStyle};
use merit_engine::clearing::{Clearing, Limit, Progress, Standing};
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
    pub(super) stats: Stats,
}

/// Clears `auction`, the search for decisions within `limit`; a result that the verifier rejects is
/// not returned.
pub(super) fn clear(auction: &Auction, limit: Limit, show_progress: bool) -> Result<Cleared, Failure> {
    let started = Instant::now();
    let watched = show_progress && std::io::stderr().is_terminal();
    let (outcome, nodes) = run(auction, limit, watched.then_some(started))?;
    let clearing = started.elapsed();
    let summary = verify(&auction.book, &outcome).map_err(|breaks| {
        let mut message = format!("the result found breaks {} rules, so it is not published", breaks.len());
        for broken in breaks.iter().take(BREAKS_LISTED_MAX) {
            message += &format!("\n{}", broken.show(&auction.book));
        }
        Failure { exit: Exit::CheckFailed, message }
    })?;
    let verifying = started.elapsed().saturating_sub(clearing);
    Ok(Cleared { outcome, summary, stats: Stats { nodes, clearing, verifying } })
}

/// The outcome and the nodes of its search. A watched run shows how far it is when it takes long.
fn run(auction: &Auction, limit: Limit, watched: Option<Instant>) -> Result<(Outcome, u64), Failure> {
    let mut clearing = Clearing::start_within(&auction.book, limit);
    let mut bar: Option<ProgressBar> = None;
    while let Progress::Running { done, total } = clearing.advance(&auction.book, QUANTUM) {
        if watched.is_some_and(|started| started.elapsed() > PATIENCE) {
            let bar = bar.get_or_insert_with(|| new_bar(total));
            bar.set_length(total);
            bar.set_position(done);
            if let Some(standing) = clearing.standing() {
                bar.set_message(standing_line(auction, standing));
            }
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let nodes = clearing.nodes();
    let outcome = clearing.into_outcome();
    Ok((outcome.ok_or_else(|| Failure::error("clearing ended without a result"))?, nodes))
}

/// `best 219923124.30, bound 219923990.10, gap 865.80 EUR, 12 nodes`.
fn standing_line(auction: &Auction, standing: Standing) -> String {
    let Standing { welfare, bound, nodes } = standing;
    let money = |it| auction.units.money(it);
    let currency = &auction.units.currency;
    format!(
        "best {}, bound {}, gap {} {currency}, {nodes} nodes",
        money(welfare),
        money(bound),
        money(bound - welfare)
    )
}

fn new_bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("clearing {bar:20} {percent}% {elapsed} {wide_msg}")
        .expect("the template is a constant and reads well");
    ProgressBar::new(total).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::standing_line;
    use crate::files::read_auction;
    use merit_engine::clearing::Standing;

    #[test]
    fn a_long_run_tells_best_bound_gap_and_nodes() {
        let text = r#"{"format": "merit-auction/1", "name": "n", "currency": "EUR", "price_tick": "0.01",
            "price_min": "0", "price_max": "10", "quantity_tick": "0.1", "period_minutes": 60, "periods": 1,
            "areas": ["A"]}"#;
        let auction = read_auction(text).unwrap();
        let line = standing_line(&auction, Standing { welfare: 1_500, bound: 2_750, nodes: 7 });
        assert_eq!(line, "best 1.5, bound 2.75, gap 1.25 EUR, 7 nodes");
    }
}
