//! Going back to the version before an upgrade, with all that was registered since.

use std::path::PathBuf;

use super::open::keeper;
use super::upgrade::no_way_down;
use super::{MIGRATIONS, NodeError, WAYS_DOWN, lock};
use crate::audit::Actor;
use crate::backup::{Kept, Progress, RollbackReport};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::store::{DATABASE_FILE, StoreError, open_read_only, schema_version, steps_down};

/// Why data is not rolled back, and stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// To a schema that is newer than the data's.
    #[error(
        "{path} is of schema {found}, older than {target}: there is nothing to roll back, and a version that reads schema \
         {target} migrates it"
    )]
    OlderAlready {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// What was wanted.
        target: usize,
    },
    /// Over a migration that cannot be undone.
    #[error("{path} is of schema {found}; {what}")]
    NoWayBack {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// Where the way ends, and what can be done.
        what: String,
    },
}

/// Brings the data of a node that is stopped down to an older schema, as `actor` wants it. It takes the data folder for this process. `None`
/// when the data is of that schema already.
///
/// # Errors
/// [`NodeError`]: the data is as it was.
pub async fn rollback_stopped(
    config: &Config,
    target: usize,
    actor: &Actor,
    progress: &Progress,
    clock: &SharedClock,
) -> Result<Option<RollbackReport>, NodeError> {
    let database = config.data_dir.join(DATABASE_FILE);
    let none = || NodeError::NoDatabase {
        folder: config.data_dir.display().to_string(),
    };
    // A folder that is not there is not made.
    if !config.data_dir.is_dir() {
        return Err(none());
    }
    // First, because it finishes what a rollback before has begun.
    let folder = lock(config)?;
    let found = schema_version(&database)?.ok_or_else(none)?;
    let known = MIGRATIONS.len();
    if found > known {
        let path = database;
        return Err(StoreError::Newer { path, found, known }.into());
    }
    if found == target {
        return Ok(None);
    }
    if found < target {
        let path = database;
        return Err(RollbackError::OlderAlready {
            path,
            found,
            target,
        }
        .into());
    }
    if let Err(error) = steps_down(WAYS_DOWN, found, target) {
        let kept = Kept::of(&open_read_only(&database)?)?;
        let what = no_way_down(&error, config, target, &kept);
        let path = database;
        return Err(RollbackError::NoWayBack { path, found, what }.into());
    }
    let prepared = keeper(config, clock)?
        .prepare_rollback(folder, target, WAYS_DOWN, actor, progress)
        .await?;
    Ok(Some(prepared.decide()?))
}
