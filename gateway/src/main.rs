//! The binary `merit`: one command line for the exchange.

use std::process::ExitCode;

fn main() -> ExitCode {
    merit_gateway::cli::main(std::env::args_os())
}
