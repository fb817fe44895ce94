//! The command line of ksnode: parse, dispatch, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ksnode::cli::run()
}
