//! The binary `merit`: one command line for the exchange.

use std::process::ExitCode;

/// The core, the read model and the connections hand each other what one has allocated and another frees; the
/// system's allocator spends half of the core's time on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    merit_gateway::cli::main(std::env::args_os())
}
