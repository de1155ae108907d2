//! Writes a generated auction as a `merit-auction/1` file to standard output:
//! `auction liquid|lumpy|linear PERIODS AREAS SEED [--blocks N] [--complex N] [--linear PERCENT]
//! [--portfolios N] [--steps N]`, or `auction any SEED`.

use merit_benches::generate::{self, Recipe};
use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let auction = match words.as_slice() {
        ["any", seed] => generate::any_curves(seed.parse()?),
        words => match Recipe::parse(words)? {
            (recipe, unknown) if unknown.is_empty() => recipe.auction(),
            (_, unknown) => return Err(format!("{}: say {}", unknown.join(" "), Recipe::USAGE).into()),
        },
    };
    std::io::stdout().write_all(auction.json().as_bytes())?;
    Ok(())
}
