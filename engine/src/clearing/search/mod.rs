//! The search for block and complex decisions: deterministic, in integers, anytime, with a bound.
//!
//! # How
//!
//! - [`setup`], [`model`]: blocks and complex orders as items with parts, families and groups as units.
//! - [`market`]: all periods with what is injected, re-priced exactly after each change, only where
//!   something changed. Once exact (whole lots), once relaxed (shares of items, curves smoothed over
//!   a window of ticks, so that prices answer continuously).
//! - [`dual`]: the bound. Any prices at all give one: curve surplus + congestion rent + the best
//!   answer of each unit. The relaxation only looks for good prices; it cannot make the bound wrong.
//! - [`relax`], [`quadratic`], [`table`]: the relaxed welfare is climbed by leaps. Curves are smoothed
//!   by short tables around their prices; around where the climb stands welfare is nearly quadratic
//!   in the shares, each unit moves to its top on that quadratic in turn, and one pricing of all
//!   periods tells how much of the way really earned. Tables grow finer until the bound stands.
//! - [`corner`]: where there are few prices, the relaxation is solved as the linear programme that it is,
//!   and a node starts at the corner of the one before. Its prices are the best there are, so that they
//!   decide most items at the root: walks and nodes keep to what is left.
//! - [`support`]: for given decisions, prices at which everyone is whole, over the whole lattice of
//!   clearing prices: narrowing, moving, refuting by a weighted sum, halving.
//! - [`exact`], [`accounts`]: decisions in whole lots, what everyone earns at the mid-point kept up to
//!   date as prices move, and a journal to take trials back.
//! - [`local`]: rounded shares are mended by rejecting what loses, then everything that is rejected
//!   and would earn is tried once more.
//! - [`anneal`]: walks by threshold accepting, from the best decisions with one unit kicked to its best
//!   answer, or from what a node suggested; losses weigh against welfare, and a trial is estimated on
//!   the quadratic before it is priced.
//! - [`equals`]: of the decisions that were found to have the welfare of the best, the first by the rules.
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
//! Walks and nodes take turns, so that small auctions are proven and large ones improve.
//!
//! # Steps
//!
//! Whatever walks over all orders or prices many periods goes on in the next step: setting up ([`setup`]),
//! everybody's answer to prices ([`dual`]), pricing ([`market`]), the search for supporting prices
//! ([`support`]), what cannot pay ([`branch`]). Trials are journals that stay open between steps. What
//! is done depends on what was done, never on how steps fall into quanta. Conditions that hold at all
//! prices that clear take no part in a search for prices: on liquid days that leaves few of thousands.
//!
//! # What is open
//!
//! - A step takes about half a millisecond in the mean and up to 3 ms with 4,000 blocks of 96 periods;
//!   a move of a linear programme near its greatest size is one step.
//! - The linear programme is solved up to 640 prices, and only where curves are steps and no order is complex.
//! - On lumpy days with thousands of blocks the bound is that of the relaxation, which no result may
//!   come near.

mod accounts;
mod anneal;
mod branch;
mod choice;
mod corner;
mod dual;
mod equals;
mod exact;
mod local;
mod market;
mod model;
mod publish;
mod quadratic;
mod relax;
mod setup;
mod support;
mod table;
mod tree;

pub(super) use publish::{ActiveStep, Decided};
pub(super) use setup::Setup;
pub(super) use tree::Search;
