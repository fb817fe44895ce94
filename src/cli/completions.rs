//! `ksnode completions` and `ksnode manual`: what packages install beside the program, made from the command line's own
//! definition, so that it cannot tell of flags that are not there.

use std::path::PathBuf;

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

/// What `ksnode manual` takes.
#[derive(Args, Debug)]
pub struct Manual {
    /// The folder that the pages are written into
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
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

/// Writes a page of the manual for the program and one for each command: `ksnode.1`, `ksnode-backup-create.1`.
///
/// # Errors
/// The folder cannot be written.
pub fn write_manual(arguments: &Manual) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .with_context(|| format!("the manual cannot be written to {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_unless_it_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = Manual {
            folder: folder.path().join("man1"),
        };
        write_manual(&arguments).unwrap();
        let page = |name: &str| std::fs::read_to_string(arguments.folder.join(name));
        assert!(page("ksnode.1").unwrap().contains("A key share node"));
        assert!(page("ksnode-backup-create.1").unwrap().contains("verified"));
        for hidden in ["ksnode-manual.1", "ksnode-help.1"] {
            assert!(page(hidden).is_err(), "{hidden}");
        }
    }
}
