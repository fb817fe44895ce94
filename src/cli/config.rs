//! `ksnode config check` and `ksnode config show`.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::Global;
use super::doctor;
use super::finding::{Level, worst};
use crate::config::{Loaded, Origin};
use crate::desk::Setting;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the configuration; says everything that is wrong with it
    ///
    /// A second file can be checked before it takes the place of the one in use: ksnode config check --config new.toml. Put it
    /// into the folder of that one, so that the same paths hold. Beside what is in the file, its folders, its secret and its
    /// certificate are looked at, and whether the secret opens the database that is there. Nothing is changed. The exit code
    /// is 78 when the file is wrong, and 1 when the file is right and what it names is not.
    Check,
    /// Show every key's effective value and where it came from; secrets are redacted
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
///
/// # Errors
///
/// [`crate::config::ConfigError`], or the output cannot be written.
pub fn run(global: &Global, command: &Command) -> anyhow::Result<ExitCode> {
    let loaded = global.load()?;
    let mut out = std::io::stdout().lock();
    let mut level = Level::Ok;
    match command {
        Command::Check => level = check(global, loaded, &mut out)?,
        Command::Show { json: true } => show_json(&loaded, &mut out)?,
        Command::Show { json: false } => show(&loaded, &mut out)?,
    }
    out.flush()?;
    Ok(if level == Level::Wrong {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Tells what is wrong with what the configuration names; the file itself has been found to be right.
fn check(global: &Global, loaded: Loaded, out: &mut impl Write) -> anyhow::Result<Level> {
    match &loaded.config_file {
        Some(file) => writeln!(out, "ok: {}", file.display())?,
        None => writeln!(out, "ok: no configuration file, defaults and environment")?,
    }
    notices(&loaded, out)?;
    let mut findings = doctor::staged(global, loaded)?;
    findings.retain(|finding| finding.level > Level::Ok);
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    Ok(worst(&findings))
}

fn notices(loaded: &Loaded, out: &mut impl Write) -> std::io::Result<()> {
    loaded
        .notices
        .iter()
        .try_for_each(|notice| writeln!(out, "notice: {notice}"))
}

fn show(loaded: &Loaded, out: &mut impl Write) -> std::io::Result<()> {
    let width = |text: fn(&Origin) -> &str| {
        loaded
            .origins
            .iter()
            .map(|origin| text(origin).chars().count())
            .max()
            .unwrap_or(0)
    };
    let keys = width(|origin| &origin.key);
    let values = width(visible);
    for origin in &loaded.origins {
        let (key, value) = (&origin.key, visible(origin));
        writeln!(out, "{key:keys$}  {value:values$}  {}", origin.source)?;
    }
    // Not on standard output: the table may be read by a program.
    notices(loaded, &mut std::io::stderr().lock())
}

/// The value as a cell of the table: an empty one would shift the columns for the eye.
fn visible(origin: &Origin) -> &str {
    if origin.value.is_empty() {
        "(empty)"
    } else {
        &origin.value
    }
}

fn show_json(loaded: &Loaded, out: &mut impl Write) -> anyhow::Result<()> {
    let document = json!({
        "config_file": loaded.config_file.as_ref().map(|file| file.display().to_string()),
        "values": Setting::all(loaded),
        "notices": loaded.notices,
    });
    serde_json::to_writer_pretty(&mut *out, &document)?;
    Ok(writeln!(out)?)
}
