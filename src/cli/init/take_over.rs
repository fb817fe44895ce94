//! The take-over of a Docker suite's `.env`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::Global;
use crate::cli::dotenv::TakeOver;
use crate::config::{Environment, FILE_NAME, Overrides, SYSTEM_DATA, SYSTEM_FILE, own_folder};

/// Writes the configuration; returns the flags under which the rest of the set-up sees it.
pub(super) fn take_over(
    file: &Path,
    global: &Global,
    environment: &Environment,
    out: &mut impl Write,
) -> anyhow::Result<Overrides> {
    let overrides = global.overrides();
    let (target, data_dir) = target(&overrides, environment)?;
    if target
        .try_exists()
        .with_context(|| format!("cannot look up {}", target.display()))?
    {
        bail!(
            "{} exists and is not overwritten; move it away first",
            target.display()
        );
    }
    let lines = TakeOver::read(file, &data_dir, environment)?.write(&target)?;
    for line in lines {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "created: {}", target.display())?;
    Ok(Overrides {
        config_file: Some(target),
        ..overrides
    })
}

/// Where the configuration is to be written, and the data folder it will name.
fn target(overrides: &Overrides, environment: &Environment) -> anyhow::Result<(PathBuf, PathBuf)> {
    let system = Path::new(SYSTEM_FILE);
    let own = own_folder(overrides, environment);
    let unknown = "no folder is known for the data; name one with --data-dir";
    if let Some(file) = &overrides.config_file {
        let target = std::path::absolute(file)?;
        let named = overrides.data_dir.is_some() || environment.data_dir().is_some();
        let data_dir = if target == system && !named {
            Some(PathBuf::from(SYSTEM_DATA))
        } else {
            own
        };
        return Ok((target, data_dir.context(unknown)?));
    }
    if system
        .try_exists()
        .with_context(|| format!("cannot look up {SYSTEM_FILE}; run this as root"))?
    {
        bail!(
            "{SYSTEM_FILE} exists and would win over the new file: an installed node has its settings there, and gets them by \
             `ksnode init --domain NAME` and by hand; for a node of your own name the new file with --config"
        );
    }
    let folder = own.context(unknown)?;
    Ok((folder.join(FILE_NAME), folder))
}
