//! The command line of ksnode: parse, dispatch, exit code.

use std::process::ExitCode;

/// Requests are answered by whichever thread is free, so that memory is given back by another thread than took it;
/// the C library's allocator locks for that, and a tenth of a get went into waiting for those locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ksnode::cli::run()
}
