//! What can be known of a node that does not run, without touching its data.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cli::doctor::newest_backup;
use crate::cli::instance::{program_of, unit_of};
use crate::cli::text::size;
use crate::clock::Timestamp;
use crate::config::Loaded;
use crate::control::socket_path;
use crate::desk::DiskStatus;
use crate::store::DATABASE_FILE;

/// A node that does not run. Its configuration was found to be right, else there would be none of this.
#[derive(Debug)]
pub(super) struct Stopped {
    problem: String,
    config_file: Option<PathBuf>,
    database: PathBuf,
    /// Its bytes, when it is there.
    bytes: Option<u64>,
    backup: Option<(PathBuf, Timestamp)>,
    disks: Vec<DiskStatus>,
}

impl Stopped {
    /// Looks at what is there.
    ///
    /// # Errors
    /// The data folder's path is too long.
    pub(super) fn new(loaded: &Loaded) -> anyhow::Result<Self> {
        let config = &loaded.config;
        let database = config.data_dir.join(DATABASE_FILE);
        Ok(Self {
            problem: format!(
                "no node answers at {}: it is stopped, or just starting or stopping",
                socket_path(&config.data_dir)?.display()
            ),
            config_file: loaded.config_file.clone(),
            bytes: database.metadata().ok().map(|found| found.len()),
            database,
            backup: newest_backup(&config.backup.dir),
            disks: DiskStatus::all(&config.folders()),
        })
    }

    pub(super) fn document(&self) -> Value {
        let backup = self.backup.as_ref();
        let backup = backup.map(|(path, made)| json!({"path": path, "made": made.to_string()}));
        json!({
            "running": false,
            "well": false,
            "problems": [self.problem],
            "config_file": self.config_file,
            "database": {"path": self.database, "bytes": self.bytes},
            "latest_backup_file": backup,
            "disks": self.disks,
        })
    }

    pub(super) fn page(&self) -> String {
        let config = self.config_file.as_ref().map_or_else(
            || "right: defaults and the environment, no file".to_owned(),
            |file| format!("right: {}", file.display()),
        );
        let database = match self.bytes {
            Some(bytes) => format!("{}, {}", self.database.display(), size(bytes)),
            None => format!("none yet at {}", self.database.display()),
        };
        let backup = match &self.backup {
            Some((path, made)) => format!("{}, made {made}", path.display()),
            None => "none".to_owned(),
        };
        let mut lines = vec![
            format!("not running: {}", self.problem),
            format!("config:  {config}"),
            format!("data:    {database}"),
            format!("backup:  {backup}"),
        ];
        lines.extend(self.disks.iter().map(super::disk));
        let program = program_of(unit_of(self.config_file.as_deref()).as_deref());
        lines.push(format!(
            "`{program} doctor` says what may keep it from starting"
        ));
        lines.join("\n")
    }
}
