//! meshgate's command line. What it does is in `meshgate::cli`.

use std::process::ExitCode;

use clap::Parser;

/// Queries allocate many small buffers on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    meshgate::cli::Cli::parse().run()
}
