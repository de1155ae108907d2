//! Writes a generated auction as a `merit-auction/1` file to standard output:
//! `auction liquid|lumpy|linear PERIODS AREAS SEED`, or `auction any SEED`.

use merit_benches::generate;
use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let auction = match words.as_slice() {
        ["any", seed] => generate::any_curves(seed.parse()?),
        [family, periods, areas, seed] => {
            let (periods, areas, seed) = (periods.parse()?, areas.parse()?, seed.parse()?);
            match *family {
                "liquid" => generate::liquid_curves(periods, areas, seed),
                "lumpy" => generate::lumpy_curves(periods, areas, seed),
                "linear" => generate::linear_curves(periods, areas, seed),
                _ => return Err("families: liquid, lumpy, linear, any".into()),
            }
        }
        _ => return Err("usage: auction liquid|lumpy|linear PERIODS AREAS SEED | any SEED".into()),
    };
    std::io::stdout().write_all(auction.json().as_bytes())?;
    Ok(())
}
