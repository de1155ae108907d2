//! The binary `merit`: one command line for the exchange.

use std::process::ExitCode;

/// The core, the read model and the connections hand each other what one has allocated and another frees; the
/// system's allocator spends half of the core's time on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Where the system gives huge pages to everybody; to zero one takes long enough for orders to notice. An old
    // kernel does not know the wish: then they come.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    merit_gateway::cli::main(std::env::args_os())
}
