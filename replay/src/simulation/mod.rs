//! A whole exchange in one thread, from one seed: members, nodes, disks that forget and fail, a network
//! that loses, delays, repeats and reorders, clocks that jump, operators without patience.
//!
//! Nothing here imitates a node: it is [`crate::node::Node`] on [`FaultyDisk`]. What is checked all along
//! is in [`oracle`]. `MERIT_SIM_SEEDS=10000 cargo test --release -p merit-replay simulation` is the long run;
//! `MERIT_SIM_FROM=<seed> MERIT_SIM_SEEDS=1` repeats one.

mod ledger;
mod oracle;
mod world;

use crate::node::plant::{Mistake, PLANTED};
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{Summary, World};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(default)
}

/// Runs one seed to its end.
fn run(seed: u64) -> Summary {
    let mut world = World::new(seed);
    world.storm();
    world.calm();
    world.summary()
}

#[test]
fn no_storm_loses_doubles_or_tells_apart_what_was_acknowledged() {
    let (from, seeds) = (number("MERIT_SIM_FROM", 1), number("MERIT_SIM_SEEDS", 300));
    let mut sum = Summary::default();
    for seed in from..from + seeds {
        let ended = catch_unwind(AssertUnwindSafe(|| run(seed)));
        let repeat = format!("MERIT_SIM_FROM={seed} MERIT_SIM_SEEDS=1 cargo test -p merit-replay simulation");
        sum.add(&ended.unwrap_or_else(|_| panic!("seed {seed} found something; repeat with: {repeat}")));
    }
    println!("{seeds} seeds: {sum:?}");
    // A storm in which nothing happens proves nothing.
    assert!(sum.acknowledged > 20 * seeds, "{sum:?}");
    assert!(sum.primaries > 2 * seeds && sum.cuts > 0 && sum.power_cuts > seeds, "{sum:?}");
    assert!(sum.resumed > seeds / 4, "{sum:?}");
}

/// A planted mistake must be found, by the oracle or by an assertion of the code itself.
fn is_found(mistake: Mistake) {
    PLANTED.set(Some(mistake));
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = (1..=number("MERIT_SIM_PLANTED", 600)).find(|seed| catch_unwind(|| run(*seed)).is_err());
    std::panic::set_hook(quiet);
    PLANTED.set(None);
    println!("{mistake:?} is found by seed {found:?}");
    assert!(found.is_some(), "{mistake:?} was not found");
}

#[test]
fn planted_mistakes_are_each_found() {
    is_found(Mistake::AcknowledgeBeforeSync);
    is_found(Mistake::SkipFencing);
    is_found(Mistake::CutOneTooMany);
}

#[test]
fn the_same_seed_is_the_same_storm() {
    assert_eq!(run(7), run(7));
}
