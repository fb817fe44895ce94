//! `ksnode completions`: made from the command line's own definition.

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::{Generator, Shell};

use super::Cli;

/// What `ksnode completions` takes.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints the completions.
///
/// # Errors
/// Standard output is closed.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut command = Cli::command();
    command.set_bin_name("ksnode");
    command.build();
    arguments
        .shell
        .try_generate(&command, &mut std::io::stdout().lock())
        .context("standard output")
}
