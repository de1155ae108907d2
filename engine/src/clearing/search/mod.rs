//! The search for block and complex decisions: deterministic, in integers, anytime, with a bound.
//!
//! # How
//!
//! - [`model`]: blocks and complex orders as items with parts, families and groups as units.
//! - [`market`]: all periods with what is injected, re-priced exactly after each change, only where
//!   something changed. Once exact (whole lots), once relaxed (shares of items, curves smoothed over
//!   a window of ticks, so that prices answer continuously).
//! - [`dual`]: the bound. Any prices at all give one: curve surplus + congestion rent + the best
//!   answer of each unit. The relaxation only looks for good prices; it cannot make the bound wrong.
//! - [`relax`]: climbs the relaxed welfare unit by unit with a line search; with the smoothing window
//!   shrinking, its prices come within a fraction of a per mille of the best bound.
//! - [`support`]: for given decisions, prices at which everyone is whole, over the whole lattice of
//!   clearing prices: narrowing, moving, refuting by a weighted sum, halving.
//! - [`exact`], [`local`]: decisions in whole lots, ejection of losers, re-insertion of what would
//!   earn (also against group members), with a journal to take trials back.
//! - [`tree`], [`branch`]: best bound first with plunges. A node is bounded, items whose other choice
//!   cannot beat the best are fixed, the rounded relaxation is tried, and one item or ratio is split.
//!   An integral optimum of a node that no prices support is cut off once all that it accepts is
//!   fixed: if it is best among the node's decisions, then whatever accepts all of that and more at
//!   prices that make everyone whole is no better, and its prices would support it too.
//!
//! # What holds
//!
//! 22,000 enumerated tiny auctions: all proven optimal and equal. Real days: every proven optimum of
//! the literature's instances, the Iberian day with its 48 prices, Italian days with every block
//! decision and flow as published, all proven optimal. Figures are in the commits.
//!
//! # What is open
//!
//! - Large instances (thousands of blocks) are legal and bounded, but neither their speed nor the
//!   quality of the local search was tuned. Reading all conditions anew for each trial, a sweep over
//!   all units at each node and one step per stage (a sweep may take long) are the first to go.
//! - Steps are as long as a node or a sweep: on large auctions longer than a quantum should be.
//! - Of equal welfare the first found stays; volume and ids are not compared.

mod branch;
mod choice;
mod dual;
mod exact;
mod local;
mod market;
mod model;
mod publish;
mod relax;
mod support;
mod tree;

pub(super) use publish::{ActiveStep, Decided};
pub(super) use tree::Search;
