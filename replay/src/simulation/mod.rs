//! A whole exchange in one thread, from one seed: members, nodes, disks that forget and fail, a network
//! that loses, delays, repeats and reorders, clocks that jump; in some storms operators without patience, in others
//! leases by which nodes go on alone and take over themselves.
//!
//! Nothing here imitates a node: it is [`crate::node::Node`] on [`FaultyDisk`]; the lease store is a model
//! ([`store`]). What is checked all along is in [`oracle`]. There are storms of moments, in which faults come without a pause, and storms of days, in which
//! whatever must not happen by itself has the time for it ([`days`]). In every fourth storm of moments nodes retire old
//! segments, and whoever was away for too long fetches a snapshot ([`transfer`]).
//!
//! `MERIT_SIM_SEEDS=10000 MERIT_SIM_DAYS=1000 cargo test -p merit-replay simulation` is a long run;
//! `MERIT_SIM_FROM=<seed> MERIT_SIM_SEEDS=1 MERIT_SIM_DAYS=1` repeats one.

mod agent;
mod days;
mod disks;
mod ledger;
mod oracle;
mod store;
mod transfer;
mod world;

use crate::node::plant::{Mistake, PLANTED};
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{Summary, World};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(default)
}

/// Runs one seed to its end.
fn run(seed: u64, by_leases: Option<bool>) -> Summary {
    let mut world = World::new(seed, by_leases, false);
    world.storm();
    world.calm();
    world.summary()
}

/// Runs one seed of days to its end.
fn run_days(seed: u64, by_leases: Option<bool>) -> Summary {
    let mut world = World::new(seed, by_leases, true);
    world.live();
    world.summary()
}

/// Runs seeds, and says how to repeat the one that finds something.
fn run_all(seeds: std::ops::Range<u64>, run: impl Fn(u64) -> Summary) -> Summary {
    let mut sum = Summary::default();
    for seed in seeds {
        let ended = catch_unwind(AssertUnwindSafe(|| run(seed)));
        let repeat = format!("MERIT_SIM_FROM={seed} MERIT_SIM_SEEDS=1 MERIT_SIM_DAYS=1");
        sum.add(&ended.unwrap_or_else(|_| {
            panic!("seed {seed} found something; repeat with: {repeat} cargo test -p merit-replay simulation")
        }));
    }
    sum
}

#[test]
fn days_go_by_and_nothing_happens_without_a_fault() {
    let (from, seeds) = (number("MERIT_SIM_FROM", 1), number("MERIT_SIM_DAYS", 60));
    let sum = run_all(from..from + seeds, |seed| run_days(seed, None));
    let (hours, calm) = (sum.days_ms / 3_600_000, sum.calm_ms / 3_600_000);
    println!("{seeds} seeds of days, {hours} hours, {calm} of them calm: {sum:?}");
    let least = i64::try_from(seeds).unwrap();
    assert!(hours > 20 * least && calm > 5 * least, "{sum:?}");
    assert!(sum.primaries > seeds && sum.power_cuts > 2 * seeds && sum.acknowledged > 500 * seeds, "{sum:?}");
}

#[test]
fn no_storm_loses_doubles_or_tells_apart_what_was_acknowledged() {
    let (from, seeds) = (number("MERIT_SIM_FROM", 1), number("MERIT_SIM_SEEDS", 300));
    let sum = run_all(from..from + seeds, |seed| run(seed, None));
    println!("{seeds} seeds: {sum:?}");
    // A storm in which nothing happens proves nothing.
    assert!(sum.acknowledged > 20 * seeds, "{sum:?}");
    assert!(sum.primaries > seeds && sum.cuts > 0 && sum.power_cuts > seeds, "{sum:?}");
    assert!(sum.taken_over > seeds / 2 && sum.gone_alone > seeds / 20, "{sum:?}");
    assert!(sum.wipes > seeds / 20, "{sum:?}");
    assert!(sum.retired > seeds && sum.fetched > seeds / 20 && sum.fetches_damaged > 0, "{sum:?}");
    assert!(sum.resumed > seeds / 4 && sum.flips > seeds / 10 && sum.repairs > 0, "{sum:?}");
}

/// The first seed that finds a planted mistake, by the oracle or by an assertion of the code itself.
fn finds(mistake: Mistake, from: u64, seeds: u64, run: impl Fn(u64) -> Summary) -> Option<u64> {
    PLANTED.set(Some(mistake));
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = (from..from + seeds).find(|seed| catch_unwind(AssertUnwindSafe(|| run(*seed))).is_err());
    std::panic::set_hook(quiet);
    PLANTED.set(None);
    println!("{mistake:?} is found by seed {found:?}");
    found
}

fn is_found(mistake: Mistake, from: u64, by_leases: Option<bool>) {
    let found = finds(mistake, from, number("MERIT_SIM_PLANTED", 600), |seed| run(seed, by_leases));
    assert!(found.is_some(), "{mistake:?} was not found");
}

#[test]
fn planted_mistakes_are_each_found() {
    is_found(Mistake::AcknowledgeBeforeSync, 1, None);
    is_found(Mistake::SkipFencing, 1, None);
    is_found(Mistake::CutOneTooMany, 1, None);
    is_found(Mistake::LeadBeforeWriting, 1, Some(true));
    is_found(Mistake::FetchUnchecked, 1, None);
    is_found(Mistake::RetireTooFar, 1, None);
    // These take many accidents together: the search begins not long before the first seed that finds each.
    is_found(Mistake::ProveWhileRefilling, 2_500, Some(true));
    is_found(Mistake::AloneOnOldWord, 2_000, Some(true));
}

#[test]
fn what_only_time_shows_is_found_in_days_and_not_in_moments() {
    for mistake in [Mistake::ForgetKeepAlive, Mistake::ShortClock] {
        assert_eq!(finds(mistake, 1, 100, |seed| run(seed, None)), None, "moments are too short for it");
        let found = finds(mistake, 1, 10, |seed| run_days(seed, Some(true)));
        assert!(found.is_some(), "{mistake:?} was not found");
    }
}

#[test]
fn the_same_seed_is_the_same_storm() {
    assert_eq!(run(7, Some(false)), run(7, Some(false)));
    assert_eq!(run(9, Some(false)), run(9, Some(false)));
    assert_eq!(run(7, Some(true)), run(7, Some(true)));
    assert_eq!(run_days(4, None), run_days(4, None));
}
