//! The command line of ksnode: parse, dispatch, exit code.

use std::process::ExitCode;

/// Requests are answered by whichever thread is free, so that memory is given back by another thread than took it;
/// the C library's allocator locks for that, and a tenth of a get went into waiting for those locks. What is freed goes back to
/// the system under load, and otherwise when a thread ends: of the runtime's threads for blocking work the last does ten
/// seconds after it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ksnode::cli::run()
}
