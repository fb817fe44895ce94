//! Where things are when nobody says where.
//!
//! An installed service has the folders of the system. Everybody else has one folder of their own that holds
//! everything, the configuration too: it is easy to find, to keep private and to move away.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::environment::{Environment, Overrides};
use super::error::{Problem, Source, Wrong};

/// The configuration of an installed service.
pub const SYSTEM_FILE: &str = "/etc/ksnode/ksnode.toml";

/// The configuration file's name in the user's folder.
pub const FILE_NAME: &str = "ksnode.toml";

/// The secret's name in the data folder.
const SECRET_NAME: &str = "secret";

/// The data folder of an installed service.
pub const SYSTEM_DATA: &str = "/var/lib/ksnode";
const SYSTEM_BACKUPS: &str = "/var/backups/ksnode";
const SYSTEM_SECRET: &str = "/etc/ksnode/secret";

/// The user's folder: `$XDG_DATA_HOME/ksnode`, else `~/.local/share/ksnode` (macOS:
/// `~/Library/Application Support/ksnode`). `None` when neither variable names a folder.
pub(crate) fn user_folder(environment: &Environment) -> Option<PathBuf> {
    // The XDG specification has relative paths ignored.
    if let Some(data) = environment
        .path("XDG_DATA_HOME")
        .filter(|path| path.is_absolute())
    {
        return Some(data.join("ksnode"));
    }
    let home = environment.path("HOME").filter(|path| path.is_absolute())?;
    Some(home.join(if cfg!(target_os = "macos") {
        "Library/Application Support/ksnode"
    } else {
        ".local/share/ksnode"
    }))
}

/// The folder that stands for the user's: the one that the flag or the variable names, else the default one.
pub fn own_folder(overrides: &Overrides, environment: &Environment) -> Option<PathBuf> {
    let named = overrides
        .data_dir
        .as_deref()
        .or_else(|| environment.data_dir());
    match named {
        Some(dir) => Some(below(&environment.working_dir, dir)),
        None => user_folder(environment),
    }
}

/// Whether `file` is that of an installed service, or lies beside it, to take its place one day.
pub(crate) fn is_system(file: Option<&Path>, environment: &Environment) -> bool {
    file.is_some_and(|file| file.parent() == environment.system_file.parent())
}

/// The configuration file in use, and why that one: `--config`, else the system's when it exists, else the
/// one in the user's folder when it exists.
pub(crate) fn config_file(
    overrides: &Overrides,
    environment: &Environment,
    notices: &mut Vec<String>,
) -> Result<Option<(PathBuf, Source)>, Problem> {
    if let Some(file) = &overrides.config_file {
        return Ok(Some((
            below(&environment.working_dir, file),
            Source::Flag("--config"),
        )));
    }
    let own = own_folder(overrides, environment).map(|folder| folder.join(FILE_NAME));
    let system = &environment.system_file;
    if exists(system)? {
        // Whether it can be looked up does not matter here: it is only talked about.
        if let Some(file) = own.filter(|file| file != system && file.exists()) {
            notices.push(format!(
                "{} is not read, {} is: name the one you mean with --config",
                file.display(),
                system.display()
            ));
        }
        return Ok(Some((system.clone(), Source::Default)));
    }
    match own {
        Some(file) if exists(&file)? => Ok(Some((file, Source::Default))),
        Some(_) | None => Ok(None),
    }
}

/// Whether the configuration file is there. A folder that may not be looked into is an error, not an absent
/// file: running on without the operator's configuration would be worse than stopping.
fn exists(file: &Path) -> Result<bool, Problem> {
    is_there(file).map_err(|error| {
        let wrong = format!("{} cannot be looked up: {error}", file.display());
        let mend =
            "run ksnode with sudo or as the user it belongs to, or name another file with --config";
        Problem::new(
            "configuration file",
            Source::Default,
            Wrong::new(wrong, mend),
        )
    })
}

/// `path`, a relative one below `base`, without `.` in it: people read it.
pub(crate) fn below(base: &Path, path: &Path) -> PathBuf {
    base.join(path).components().collect()
}

/// Whether something has this name. Below a home that is no folder (`/dev/null`, as some service users
/// have it) there is nothing.
pub(crate) fn is_there(path: &Path) -> std::io::Result<bool> {
    match path.try_exists() {
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(false),
        answer => answer,
    }
}

/// What the table cannot hold because it depends on where we are.
#[derive(Debug)]
pub(crate) struct Places {
    /// `None` when the user has no folder.
    pub(crate) data_dir: Option<PathBuf>,
    system: bool,
}

impl Places {
    pub(crate) fn new(file: Option<&Path>, environment: &Environment) -> Self {
        let system = is_system(file, environment);
        let data_dir = if system {
            Some(PathBuf::from(SYSTEM_DATA))
        } else {
            user_folder(environment)
        };
        Self { data_dir, system }
    }

    pub(crate) fn secret_file(&self, data_dir: &Path) -> PathBuf {
        if self.system {
            PathBuf::from(SYSTEM_SECRET)
        } else {
            data_dir.join(SECRET_NAME)
        }
    }

    pub(crate) fn backups(&self, data_dir: &Path) -> PathBuf {
        if self.system {
            PathBuf::from(SYSTEM_BACKUPS)
        } else {
            data_dir.join("backups")
        }
    }
}
