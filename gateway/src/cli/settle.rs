//! `merit settle`: runs, meters, documents, the bank, and comparisons of books.

mod offline;
mod online;

use super::{Exit, Failure};

/// Settle delivery days: runs, meters, documents, payments, comparisons
#[derive(Debug, clap::Args)]
pub(super) struct Settle {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Run(online::Run),
    Deviation(online::DeviationRules),
    Meters(online::Meters),
    Pay(online::Pay),
    Follow(online::Follow),
    Documents(offline::Documents),
    Schemas(offline::Schemas),
    Check(offline::Check),
    PayOut(offline::PayOut),
    Bank(offline::Bank),
    Reconcile(offline::Reconcile),
    AddUp(offline::AddUp),
}

impl Settle {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.verb {
            Verb::Run(it) => it.run(),
            Verb::Deviation(it) => it.run(),
            Verb::Meters(it) => it.run(),
            Verb::Pay(it) => it.run(),
            Verb::Follow(it) => it.run(),
            Verb::Documents(it) => it.run(),
            Verb::Schemas(it) => it.run(),
            Verb::Check(it) => it.run(),
            Verb::PayOut(it) => it.run(),
            Verb::Bank(it) => it.run(),
            Verb::Reconcile(it) => it.run(),
            Verb::AddUp(it) => it.run(),
        }
    }
}
