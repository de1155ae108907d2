//! A whole exchange in one thread, from one seed: members, nodes, disks that forget and fail, a network
//! that loses, delays, repeats and reorders, clocks that jump; in some storms operators without patience, in others
//! leases by which nodes go on alone and take over themselves.
//!
//! Nothing here imitates a node: it is [`crate::node::Node`] on [`FaultyDisk`]; the lease store is a model
//! ([`store`]). What is checked all along
//! is in [`oracle`]. `MERIT_SIM_SEEDS=10000 cargo test --release -p merit-replay simulation` is the long run;
//! `MERIT_SIM_FROM=<seed> MERIT_SIM_SEEDS=1` repeats one.

mod agent;
mod ledger;
mod oracle;
mod store;
mod world;

use crate::node::plant::{Mistake, PLANTED};
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{Summary, World};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(default)
}

/// Runs one seed to its end.
fn run(seed: u64, by_leases: Option<bool>) -> Summary {
    let mut world = World::new(seed, by_leases);
    world.storm();
    world.calm();
    world.summary()
}

#[test]
fn no_storm_loses_doubles_or_tells_apart_what_was_acknowledged() {
    let (from, seeds) = (number("MERIT_SIM_FROM", 1), number("MERIT_SIM_SEEDS", 300));
    let mut sum = Summary::default();
    for seed in from..from + seeds {
        let ended = catch_unwind(AssertUnwindSafe(|| run(seed, None)));
        let repeat = format!("MERIT_SIM_FROM={seed} MERIT_SIM_SEEDS=1 cargo test -p merit-replay simulation");
        sum.add(&ended.unwrap_or_else(|_| panic!("seed {seed} found something; repeat with: {repeat}")));
    }
    println!("{seeds} seeds: {sum:?}");
    // A storm in which nothing happens proves nothing.
    assert!(sum.acknowledged > 20 * seeds, "{sum:?}");
    assert!(sum.primaries > seeds && sum.cuts > 0 && sum.power_cuts > seeds, "{sum:?}");
    assert!(sum.taken_over > seeds / 2 && sum.gone_alone > seeds / 20, "{sum:?}");
    assert!(sum.resumed > seeds / 4 && sum.flips > seeds / 10 && sum.repairs > 0, "{sum:?}");
}

/// A planted mistake must be found, by the oracle or by an assertion of the code itself.
fn is_found(mistake: Mistake, from: u64, by_leases: Option<bool>) {
    PLANTED.set(Some(mistake));
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut seeds = from..from + number("MERIT_SIM_PLANTED", 600);
    let found = seeds.find(|seed| catch_unwind(|| run(*seed, by_leases)).is_err());
    std::panic::set_hook(quiet);
    PLANTED.set(None);
    println!("{mistake:?} is found by seed {found:?}");
    assert!(found.is_some(), "{mistake:?} was not found");
}

#[test]
fn planted_mistakes_are_each_found() {
    is_found(Mistake::AcknowledgeBeforeSync, 1, None);
    is_found(Mistake::SkipFencing, 1, None);
    is_found(Mistake::CutOneTooMany, 1, None);
    is_found(Mistake::LeadBeforeWriting, 1, Some(true));
    // This one takes many accidents together: the search begins not long before the first seed that finds it.
    is_found(Mistake::AloneOnOldWord, 15_500, Some(true));
}

#[test]
fn the_same_seed_is_the_same_storm() {
    assert_eq!(run(7, Some(false)), run(7, Some(false)));
    assert_eq!(run(7, Some(true)), run(7, Some(true)));
}
