//! Deviation tables that ship with this release, as data that `merit settle deviation` sends.
//!
//! India: `general` follows the order of February 2023 on the deviation settlement mechanism: within
//! 10 % of the schedule the reference rate, more or less of it by frequency; beyond, nothing for too
//! much, 120 % of the normal rate for too little, 150 % beyond 15 %. `solar` (bands at 5 and 10 %)
//! and `wind` (10 and 15 %) follow the regulations of 2024 as they hold from 1 April 2026: too much
//! is paid at 100, 90 and 0 %, too little costs 100, 110 and 200 %, at any frequency. The tables of
//! 2024 for general sellers and buyers could not be read in the gazette: replace `general` with them.

use merit_proto::v1;

const PERCENT: u32 = 10_000;

fn rate(basis: v1::PriceBasis, percent: u32) -> Option<v1::DeviationRate> {
    Some(v1::DeviationRate { basis: basis.into(), millionths: percent * PERCENT })
}

fn band(until_percent: Option<u32>, over: u32, under: u32, basis: v1::PriceBasis) -> v1::DeviationBand {
    v1::DeviationBand {
        until_millionths: until_percent.map(|it| it * PERCENT),
        over: rate(v1::PriceBasis::Reference, over),
        under: rate(basis, under),
    }
}

/// `general`, `solar` and `wind`.
#[must_use]
pub fn indian() -> Vec<v1::DeviationCategory> {
    let (reference, normal) = (v1::PriceBasis::Reference, v1::PriceBasis::Normal);
    // (frequency below, paid and charged within 10 %).
    let frequencies = [
        (Some(49_900), 150, 200),
        (Some(49_950), 120, 150),
        (Some(50_030), 100, 100),
        (Some(50_050), 50, 75),
        (None, 0, 50),
    ];
    let general = frequencies.map(|(below_millihertz, over, under)| v1::DeviationTable {
        below_millihertz,
        bands: vec![
            band(Some(10), over, under, reference),
            band(Some(15), 0, 120, normal),
            band(None, 0, 150, normal),
        ],
    });
    let renewable = |inner, outer| v1::DeviationTable {
        below_millihertz: None,
        bands: vec![
            band(Some(inner), 100, 100, reference),
            band(Some(outer), 90, 110, reference),
            band(None, 0, 200, reference),
        ],
    };
    let category =
        |name: &str, tables: Vec<v1::DeviationTable>| v1::DeviationCategory { name: name.into(), tables };
    vec![
        category("general", general.to_vec()),
        category("solar", vec![renewable(5, 10)]),
        category("wind", vec![renewable(10, 15)]),
    ]
}
