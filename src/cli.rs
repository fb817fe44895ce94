//! The command line: parse, dispatch, exit code. One file a command; `running`, `progress` and `text` serve several.
//!
//! Exit codes: 0 done, 1 failed, 2 the command line is wrong, 3 an upgrade is a rollback (`upgrade-check`), 78 (`EX_CONFIG` of sysexits) the configuration is
//! wrong, which service managers are told not to answer with a restart.

pub mod admin;
pub mod audit;
pub mod backup;
pub mod completions;
pub mod config;
pub mod doctor;
pub mod dotenv;
pub mod export;
pub mod files;
pub mod finding;
pub mod import;
pub mod init;
pub mod instance;
pub mod key;
pub mod manual;
pub mod progress;
pub mod replica;
pub mod restore;
pub mod rollback;
pub mod running;
pub mod secret;
pub mod serve;
pub mod setup;
pub mod status;
pub mod stop;
pub mod text;
pub mod token;
pub mod upgrade_check;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use rustix::process::getuid;

use instance::Instance;

use crate::audit::Actor;
use crate::config::{ConfigError, Environment, InForce, Loaded, Overrides, load};
use crate::service::owner::become_owner_of;

/// The exit code of what failed.
const FAILURE: u8 = 1;
/// The exit code of a configuration that cannot be used.
const EX_CONFIG: u8 = 78;

/// A key share node in one file.
#[derive(Debug, Parser)]
#[command(name = "ksnode", version = crate::VERSION, about)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that every command takes. They win over the environment and the configuration file.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Configuration file [default: /etc/ksnode/ksnode.toml when it exists, else ksnode.toml in the user's folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The node of this name among several on one machine: its configuration is /etc/ksnode/NAME/ksnode.toml
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "config")]
    pub instance: Option<Instance>,
    /// Folder of the database
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address the API is served at; may be given several times
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Vec<String>,
    /// The user who calls, before this process becomes the owner of the data.
    #[arg(skip = getuid().as_raw())]
    pub caller: u32,
}

impl Global {
    /// Who has done what this command does.
    pub fn actor(&self) -> Actor {
        Actor::Command { user: self.caller }
    }

    /// The flags as the configuration's top layer.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            config_file: self
                .instance
                .as_ref()
                .map(Instance::config_file)
                .or_else(|| self.config.clone()),
            data_dir: self.data_dir.clone(),
            listen: self.listen.clone(),
        }
    }

    /// The configuration in force.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], or the working folder is gone.
    pub fn load(&self) -> anyhow::Result<Loaded> {
        Ok(load(&self.overrides(), &Environment::of_process()?)?)
    }

    /// The same, which can be loaded again.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn load_in_force(&self) -> anyhow::Result<InForce> {
        Ok(InForce::load(self.overrides(), Environment::of_process()?)?)
    }

    /// The configuration in force, for a command that touches the node's files: root becomes their owner before that.
    /// The configuration is read before, because only it tells where they are.
    ///
    /// # Errors
    ///
    /// As [`Self::load`]; [`crate::service::owner::OwnerError`].
    pub fn load_as_owner(&self) -> anyhow::Result<Loaded> {
        let loaded = self.load()?;
        become_owner_of(&loaded.config.data_dir)?;
        Ok(loaded)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the node; this is what happens without a command too
    Serve(serve::Arguments),
    /// End the running node, and wait until it has ended
    Stop(stop::Arguments),
    /// Make what a first start needs: data folder, encryption secret, admin password, database
    Init(init::Arguments),
    /// Tell whether the node runs and is well; the exit code is 0 then, 1 when it runs and is not, 3 when it does not run
    Status(status::Arguments),
    /// Find what is wrong around the node, and say what mends it; the exit code is 0 when nothing is
    Doctor(doctor::Arguments),
    /// Make, list, verify and delete backups
    #[command(subcommand)]
    Backup(backup::Command),
    /// Replace the node's data by a backup, or by the replica in Postgres
    Restore(restore::Arguments),
    /// Tell whether another version may be installed in place of this one; the exit code is 0 then, 3 when the data is to
    /// be rolled back first, and 1 otherwise
    UpgradeCheck(upgrade_check::Arguments),
    /// Bring the data of a stopped node to what an older version reads; nothing is lost
    Rollback(rollback::Arguments),
    /// Look at the replica in Postgres, compare it, fill it anew
    #[command(subcommand)]
    Replica(replica::Command),
    /// List and verify the audit log: who had what done, and what became of the node
    #[command(subcommand)]
    Audit(audit::Command),
    /// Take over another node
    #[command(subcommand)]
    Import(import::Command),
    /// Give this node's data to another one
    #[command(subcommand)]
    Export(export::Command),
    /// Set the administrator's password, and end what lets somebody into the admin page
    #[command(subcommand)]
    Admin(admin::Command),
    /// Make a bearer token to try the node by hand
    #[command(subcommand)]
    Token(token::Command),
    /// Change the encryption secret
    #[command(subcommand)]
    Secret(secret::Command),
    /// List and rotate keys
    #[command(subcommand)]
    Key(key::Command),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Print the completions of a shell, for packages and for those who installed without one
    Completions(completions::Arguments),
    /// Write the manual pages into a folder, for packages
    #[command(hide = true)]
    Manual(manual::Arguments),
}

/// Parses the command line of this process and does what it says.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(&cli) {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

fn dispatch(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        None => return serve::run(&cli.global, &serve::Arguments::default()),
        Some(Command::Serve(arguments)) => return serve::run(&cli.global, arguments),
        Some(Command::Stop(arguments)) => stop::run(&cli.global, arguments)?,
        Some(Command::Status(arguments)) => return status::run(&cli.global, arguments),
        Some(Command::UpgradeCheck(arguments)) => {
            return upgrade_check::run(&cli.global, arguments);
        }
        Some(Command::Doctor(arguments)) => return doctor::run(&cli.global, arguments),
        Some(Command::Import(command)) => return import::run(&cli.global, command),
        Some(Command::Export(command)) => return export::run(&cli.global, command),
        Some(Command::Backup(command)) => backup::run(&cli.global, command)?,
        Some(Command::Restore(arguments)) => restore::run(&cli.global, arguments)?,
        Some(Command::Rollback(arguments)) => rollback::run(&cli.global, arguments)?,
        Some(Command::Replica(command)) => return replica::run(&cli.global, command),
        Some(Command::Audit(command)) => return audit::run(&cli.global, command),
        Some(Command::Init(arguments)) => init::run(&cli.global, arguments)?,
        Some(Command::Admin(command)) => admin::run(&cli.global, command)?,
        Some(Command::Token(command)) => token::run(&cli.global, command)?,
        Some(Command::Secret(command)) => secret::run(&cli.global, command)?,
        Some(Command::Key(command)) => key::run(&cli.global, command)?,
        Some(Command::Config(command)) => return config::run(&cli.global, command),
        Some(Command::Completions(arguments)) => completions::run(arguments)?,
        Some(Command::Manual(arguments)) => manual::run(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command's asynchronous part.
fn block_on<T>(task: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    Ok(runtime.block_on(task))
}

/// Says what went wrong.
fn report(error: &anyhow::Error) -> ExitCode {
    if is_read_no_more(error) {
        return ExitCode::from(FAILURE);
    }
    let (code, text) = in_words(error);
    // A closed standard error leaves the exit code to tell.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
    ExitCode::from(code)
}

/// Whether the one who reads our output has seen enough, as `head` has; an error of something else has causes or words.
fn is_read_no_more(error: &anyhow::Error) -> bool {
    let output = error.downcast_ref::<std::io::Error>();
    output.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
        && error.chain().count() == 1
}

/// The exit code of an error, and what is said of it: a line for each mistake in the configuration.
fn in_words(error: &anyhow::Error) -> (u8, String) {
    let Some(config) = error.downcast_ref::<ConfigError>() else {
        return (FAILURE, format!("ksnode: {}\n", on_one_line(error)));
    };
    let lines = config.problems().iter();
    let lines = lines.map(|problem| format!("ksnode: {problem}\n"));
    (EX_CONFIG, lines.collect())
}

/// The error with its causes. Many of our texts name their cause in their middle, before the mend: it is not said again.
fn on_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_before_and_behind_the_command() {
        for line in [
            "ksnode --data-dir /d config show",
            "ksnode config show --data-dir /d",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.global.data_dir, Some(PathBuf::from("/d")));
        }
    }
}
