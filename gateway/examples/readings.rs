//! Makes a day of meter readings to measure with: `readings DIRECTORY METERS PORTFOLIOS`.
//!
//! Writes `readings.parquet` and `register.csv`. Every meter has its own level and a daily shape, one
//! reading in a thousand is missing, and one in ten thousand was estimated by whoever read it.

use merit_gateway::meters::source::{Chunk, ParquetOut};
use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

const BLOCKS: i64 = 96;
const GROUP: usize = 1 << 20;
const AREAS: [&str; 13] = ["N1", "N2", "N3", "E1", "E2", "W1", "W2", "W3", "S1", "S2", "S3", "A1", "A2"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, meters, portfolios] = arguments.as_slice() else {
        return Err("usage: readings DIRECTORY METERS PORTFOLIOS".into());
    };
    let (directory, meters, portfolios) =
        (PathBuf::from(directory), meters.parse::<i64>()?, portfolios.parse::<i64>()?);
    std::fs::create_dir_all(&directory)?;
    let mut register = String::from("meter,portfolio,area,direction\n");
    let mut out = ParquetOut::new(BufWriter::new(File::create(directory.join("readings.parquet"))?))?;
    let mut chunk = Chunk::default();
    for meter in 1..=meters {
        let portfolio = meter % portfolios;
        let area = AREAS[usize::try_from(portfolio)? % AREAS.len()];
        let direction = if portfolio % 3 == 0 { "injection" } else { "drawal" };
        writeln!(register, "{meter},P{portfolio},{area},{direction}")?;
        for block in 1..=BLOCKS {
            let mixed = mix(u64::try_from(meter * 128 + block)?);
            if mixed % 1_000 == 7 {
                continue;
            }
            let level = 50 + i64::try_from(mix(u64::try_from(meter)?) % 400)?;
            let shape = 64 - (block - 48).abs();
            chunk.meters.push(meter);
            chunk.blocks.push(block);
            chunk.watt_hours.push(level * shape / 48 + i64::try_from(mixed % 16)?);
            chunk.versions.push(1);
            chunk.qualities.push(if mixed % 10_000 == 11 { 2 } else { 1 });
        }
        if chunk.len() >= GROUP {
            out.add(std::mem::take(&mut chunk))?;
        }
    }
    if !chunk.is_empty() {
        out.add(chunk)?;
    }
    out.close()?;
    std::fs::write(directory.join("register.csv"), register)?;
    Ok(())
}

/// SplitMix64's finalizer.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
