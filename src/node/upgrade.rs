//! Whether another version may take this one's place: what the installed program tells the package of the incoming one.
//!
//! The installed program is asked, and not the incoming one: it knows the way back from its own schema, and it is there
//! before anything of the package is unpacked.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::{MIGRATIONS, NodeError, OLDEST_SCHEMA, WAYS_DOWN};
use crate::backup::{Kept, room_for_migration};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::desk::NodeStatus;
use crate::store::{
    DATABASE_FILE, Keychain, StoreError, open_read_only, schema_version, steps_down,
};

/// A newest good backup older than this is worth a warning: they are made daily.
const OLD: Duration = Duration::from_secs(2 * 86_400);

/// A version of ksnode and the data it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// Its version.
    pub version: String,
    /// The newest schema it reads, which it migrates to.
    pub schema: usize,
    /// The oldest schema it reads.
    pub oldest_schema: usize,
}

impl Release {
    /// This program.
    pub fn this() -> Self {
        Self {
            version: crate::VERSION.to_owned(),
            schema: MIGRATIONS.len(),
            oldest_schema: OLDEST_SCHEMA,
        }
    }
}

/// Whether a release may be installed in place of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It takes the data as it is, or migrates it.
    Accepted,
    /// It takes the data once it was rolled back.
    Rollback,
    /// It does not take the data, or this is not the moment.
    Refused,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpgradeCheck {
    /// Whether it may be installed.
    pub verdict: Verdict,
    /// The schema of the database; absent when there is none yet.
    pub schema: Option<usize>,
    /// Why it is refused, or what happens; for people.
    pub reasons: Vec<String>,
    /// What is to be looked after, and is no reason to refuse.
    pub warnings: Vec<String>,
}

/// Looks whether `incoming` may take this program's place. Nothing is changed, and a running node is not disturbed; what
/// it says of itself is `running`.
///
/// # Errors
/// [`NodeError`]: the database cannot be looked at.
pub fn check_upgrade(
    config: &Config,
    incoming: &Release,
    running: Option<&NodeStatus>,
    now: Timestamp,
) -> Result<UpgradeCheck, NodeError> {
    let database = config.data_dir.join(DATABASE_FILE);
    let mut check = UpgradeCheck {
        verdict: Verdict::Accepted,
        schema: schema_version(&database)?,
        reasons: Vec::new(),
        warnings: Vec::new(),
    };
    let Some(found) = check.schema else {
        return Ok(check);
    };
    let kept = match look(&database, found) {
        Ok((kept, created)) => {
            check.warnings.extend(old_backups(&kept, created, now));
            kept
        }
        Err(error) => {
            let text = format!("whether there is a good backup cannot be told: {error}");
            check.warnings.push(text);
            Kept::default()
        }
    };
    check.reasons = refusals(config, &database, incoming, found, &kept);
    check
        .reasons
        .extend(running.into_iter().flat_map(|node| moment(node, &database)));
    if !check.reasons.is_empty() {
        check.verdict = Verdict::Refused;
    } else if incoming.schema < found {
        check.verdict = Verdict::Rollback;
        check.reasons.push(rollback(&database, incoming, found));
    }
    Ok(check)
}

/// The backups there are, and when the node was made.
fn look(database: &Path, found: usize) -> Result<(Kept, Timestamp), StoreError> {
    if found > MIGRATIONS.len() {
        return Err(StoreError::Newer {
            path: database.to_owned(),
            found,
            known: MIGRATIONS.len(),
        });
    }
    let connection = open_read_only(database)?;
    Ok((Kept::of(&connection)?, Keychain(&connection).created_at()?))
}

fn old_backups(kept: &Kept, created: Timestamp, now: Timestamp) -> Option<String> {
    let mend = "`ksnode backup create` makes one now, and `ksnode status` tells what is wrong with those of the schedule";
    match kept.newest() {
        Some(record) if now.since(record.created_at) > OLD => Some(format!(
            "the newest good backup is of {}; {mend}",
            record.created_at
        )),
        None if now.since(created) > OLD => Some(format!("there is no good backup; {mend}")),
        _ => None,
    }
}

/// What is in the way of taking this data to that version, whenever it is tried.
fn refusals(
    config: &Config,
    database: &Path,
    incoming: &Release,
    found: usize,
    kept: &Kept,
) -> Vec<String> {
    let Release {
        version,
        schema,
        oldest_schema,
    } = incoming;
    let path = database.display();
    if found < *oldest_schema {
        return vec![format!(
            "{path} is of schema {found}, and ksnode {version} reads schemas {oldest_schema} to {schema}. Install a version \
             between {} and {version} first that reads schema {found} (the changelog of ksnode tells which do), start the \
             node with it, and then install {version}",
            crate::VERSION
        )];
    }
    if let Err(error) = steps_down(WAYS_DOWN, found, *schema) {
        return vec![format!(
            "{path} is of schema {found}, and ksnode {version} reads schemas up to {schema}; {}",
            no_way_down(&error, config, *schema, kept)
        )];
    }
    if found == *schema {
        return Vec::new();
    }
    let room = room_for_migration(database, &config.backup).err();
    let what = if found < *schema {
        "before the data is migrated"
    } else {
        "before the data is rolled back"
    };
    room.map(|error| format!("a backup is made {what}, and there is no room for it: {error}"))
        .into_iter()
        .collect()
}

/// What can be done where the data cannot be brought down.
pub(super) fn no_way_down(
    error: &StoreError,
    config: &Config,
    schema: usize,
    kept: &Kept,
) -> String {
    let mut text = format!("{error}. ");
    let Some(record) = kept.before_migration(schema) else {
        let folder = config.backup.dir.display();
        let _ = write!(
            text,
            "Keep this version ({}): there is no backup from before the upgrade in {folder} that the older one could restore",
            crate::VERSION
        );
        return text;
    };
    let _ = write!(
        text,
        "Keep this version ({}); or restore the backup from before the upgrade, {}, and lose what was registered or reshared \
         after it was made, {}: remove this version (its data stays), install the older one, and run `ksnode restore` with \
         that file",
        crate::VERSION,
        record.path.display(),
        record.created_at
    );
    if let Some(summary) = record.summary {
        let _ = write!(
            text,
            " (it holds users {}, shares {})",
            summary.users, summary.shares
        );
    }
    text
}

/// What makes this the wrong moment.
fn moment(node: &NodeStatus, database: &Path) -> Vec<String> {
    let busy = node.busy.then(|| {
        format!(
            "the running node (process {}) is at work on a backup or a restore, which is not to be cut off; try again in a \
             minute",
            node.process
        )
    });
    let damage = node.backup.damage.as_ref().map(|damage| {
        format!(
            "{} is damaged, and a damaged database cannot be saved before a migration: {damage}; first restore the last good \
             backup: `ksnode backup list` shows it, `ksnode restore FILE` restores it",
            database.display()
        )
    });
    busy.into_iter().chain(damage).collect()
}

fn rollback(database: &Path, incoming: &Release, found: usize) -> String {
    let Release {
        version, schema, ..
    } = incoming;
    format!(
        "this is a rollback: {} is of schema {found}, and ksnode {version} reads schemas up to {schema}. With the node \
         stopped, `ksnode rollback --schema {schema}` of this version ({}) makes a backup and brings the data to schema \
         {schema}; no user and no share is lost by it. It is to be done before {version} is installed",
        database.display(),
        crate::VERSION
    )
}
