//! Rules of adding up, by example.

use super::register::{Place, Register};
use super::source::{Chunk, Csv, Memory, Source};
use super::{Day, aggregate};

fn register() -> Register {
    let place = |portfolio: &str, drawal| Place { portfolio: portfolio.into(), area: "N1".into(), drawal };
    Register::new([(place("GEN", false), vec![7, 3]), (place("LOAD", true), vec![5, 9])]).unwrap()
}

/// A source of (meter, block, watt-hours, version).
fn source(readings: &[(i64, i64, i64, i64)]) -> Box<dyn Source> {
    let mut chunk = Chunk::default();
    for (meter, block, wh, version) in readings {
        chunk.meters.push(*meter);
        chunk.blocks.push(*block);
        chunk.watt_hours.push(*wh);
        chunk.versions.push(*version);
        chunk.qualities.push(1);
    }
    Box::new(Memory::new(vec![chunk]))
}

fn day(sources: Vec<Box<dyn Source>>) -> Day {
    aggregate(&register(), sources, 4, &mut |_| {}).unwrap()
}

fn net(day: &Day, portfolio: &str) -> Vec<i64> {
    day.totals[&(portfolio.to_owned(), "N1".to_owned())].net_wh.clone()
}

const WHOLE: [(i64, i64, i64, i64); 8] = [
    (3, 1, 10, 1),
    (3, 2, 20, 1),
    (3, 3, 30, 1),
    (3, 4, 40, 1),
    (5, 1, 1, 1),
    (5, 2, 2, 1),
    (5, 3, 3, 1),
    (5, 4, 4, 1),
];

#[test]
fn injection_counts_up_and_drawal_down_and_a_silent_meter_is_its_groups_mean() {
    let found = day(vec![source(&WHOLE)]);
    // Meters 7 and 9 are silent: as the other one of their group.
    assert_eq!(net(&found, "GEN"), [20, 40, 60, 80]);
    assert_eq!(net(&found, "LOAD"), [-2, -4, -6, -8]);
    assert_eq!((found.readings, found.estimated, found.silent_meters), (8, 8, 2));
    assert!(found.totals.values().all(|it| it.estimated.iter().all(|it| *it)));
}

#[test]
fn gaps_lie_on_the_line_and_ends_are_like_the_nearest() {
    let found = day(vec![source(&[(3, 2, 10, 1), (3, 4, 20, 1), (7, 3, 5, 1)])]);
    assert_eq!(net(&found, "GEN"), [10 + 5, 10 + 5, 15 + 5, 20 + 5]);
    assert_eq!(found.estimated, 2 + 3);
    assert_eq!(found.left_out, [("LOAD".to_owned(), "N1".to_owned())]);
}

#[test]
fn the_greatest_version_counts_wherever_it_comes() {
    let first = source(&[(3, 1, 10, 1), (3, 2, 10, 2), (3, 3, 10, 1), (3, 4, 10, 1), (7, 1, 0, 1)]);
    let late =
        source(&[(3, 1, 11, 2), (3, 2, 12, 1), (3, 3, 13, 1), (7, 2, 0, 1), (7, 3, 0, 1), (7, 4, 0, 1)]);
    let found = day(vec![first, late]);
    assert_eq!(net(&found, "GEN"), [11, 10, 13, 10]);
    assert_eq!((found.readings, found.superseded, found.estimated), (8, 3, 0));
}

#[test]
fn one_file_read_alone_and_among_others_is_the_same() {
    let alone = day(vec![source(&WHOLE)]);
    let among = day(vec![source(&WHOLE), source(&[])]);
    assert_eq!(alone, among);
}

fn refused(readings: &[(i64, i64, i64, i64)], expected: &str) {
    for sources in [vec![source(readings)], vec![source(readings), source(&[])]] {
        let error = aggregate(&register(), sources, 4, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains(expected), "{error} is not {expected}");
    }
}

#[test]
fn readings_that_make_no_sense_are_refused_by_name() {
    refused(
        &[(3, 1, 1, 1), (3, 1, 1, 1)],
        "reading 2: block = 1: meter 3 has a reading of this block already",
    );
    refused(&[(3, 2, 1, 1), (3, 1, 1, 1)], "reading 2: block = 1: out of order after meter 3 block 2");
    refused(&[(5, 1, 1, 1), (3, 1, 1, 1)], "reading 2: meter = 3: out of order");
    refused(&[(3, 1, -1, 1)], "watt_hours = -1: a meter counts one direction");
    refused(&[(3, 1, 1_000_000_001, 1)], "no meter passes more than");
    refused(&[(3, 1, i64::MAX, 1)], "no meter passes more than");
    refused(&[(3, 5, 1, 1)], "block = 5: must be a block of 15 minutes, from 1 to 4");
    refused(&[(3, 0, 1, 1)], "block = 0");
    refused(&[(3, 1, 1, 0)], "version = 0");
    refused(&[(0, 1, 1, 1)], "meter = 0");
    refused(&[(4, 1, 1, 1)], "meter = 4: no such meter");
}

#[test]
fn a_file_of_another_resolution_is_refused_before_its_readings() {
    let hourly = "meter,block_60min,watt_hours,version,quality\n3,1,1,1,1\n";
    let error = Csv::new("hourly.csv", hourly.as_bytes()).err().unwrap();
    assert!(error.to_string().contains("block_60min: must be block_15min"), "{error}");
    let short = "meter,block_15min,watt_hours,version\n";
    assert!(Csv::new("short.csv", short.as_bytes()).err().unwrap().to_string().contains("is missing"));
}

#[test]
fn csv_says_which_cell_is_wrong() {
    let text = "meter,block_15min,watt_hours,version,quality\n3,1,1,1,1\n3,2,1.5,1,1\n";
    let mut csv = Csv::new("a.csv", text.as_bytes()).unwrap();
    let error = csv.next_chunk().unwrap_err().to_string();
    assert_eq!(error, "a.csv, reading 2: watt_hours = 1.5: must be a whole number");
}

#[test]
fn a_register_names_every_meter_once() {
    let text = "meter,portfolio,area,direction\n1,A,N1,injection\n1,B,N1,drawal\n";
    assert!(Register::read("r.csv", text).unwrap_err().to_string().contains("stands twice"));
    let text = "meter,portfolio,area,direction\n1,A,N1,sideways\n";
    assert!(Register::read("r.csv", text).unwrap_err().to_string().contains("must be injection or drawal"));
    let same = register();
    assert_eq!(Register::read("r.csv", &same.csv()).unwrap(), same);
}
