//! `ksnode config check` and `ksnode config show`.

use std::io::Write;

use clap::Subcommand;
use serde_json::json;

use super::Global;
use crate::config::{Loaded, Origin};

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the configuration; says everything that is wrong with it
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
pub fn run(global: &Global, command: &Command) -> anyhow::Result<()> {
    let loaded = global.load()?;
    let mut out = std::io::stdout().lock();
    match command {
        Command::Check => check(&loaded, &mut out)?,
        Command::Show { json: true } => show_json(&loaded, &mut out)?,
        Command::Show { json: false } => show(&loaded, &mut out)?,
    }
    Ok(out.flush()?)
}

fn check(loaded: &Loaded, out: &mut impl Write) -> std::io::Result<()> {
    match &loaded.config_file {
        Some(file) => writeln!(out, "ok: {}", file.display())?,
        None => writeln!(out, "ok: no configuration file, defaults and environment")?,
    }
    notices(loaded, out)
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
    let values: Vec<_> = loaded
        .origins
        .iter()
        .map(|origin| {
            json!({
                "key": origin.key,
                "value": origin.value,
                "source": origin.source.to_string(),
                "about": origin.doc,
            })
        })
        .collect();
    let document = json!({
        "config_file": loaded.config_file.as_ref().map(|file| file.display().to_string()),
        "values": values,
        "notices": loaded.notices,
    });
    serde_json::to_writer_pretty(&mut *out, &document)?;
    Ok(writeln!(out)?)
}
