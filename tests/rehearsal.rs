//! The next release, as tests of upgrades imagine it: ksnode with the feature `rehearsal`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ksnode::cli::run()
}
