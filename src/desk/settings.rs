//! The configuration as it is shown: every key, where its value came from, and what a restart would change.

use serde::{Deserialize, Serialize};

use super::Desk;
use crate::config::{AfterRestart, Change, ConfigError, Loaded, Origin};

/// A key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The key, section and name joined by dots.
    pub key: String,
    /// Its value as text; secrets are `(redacted)`, absent values `(not set)`.
    pub value: String,
    /// Where the value came from.
    pub source: String,
    /// What holds when nobody says anything, where that hangs on nothing else.
    pub default: Option<String>,
    /// What the key means, in one line.
    pub about: String,
}

impl From<&Origin> for Setting {
    fn from(origin: &Origin) -> Self {
        Self {
            key: origin.key.clone(),
            value: origin.value.clone(),
            source: origin.source.to_string(),
            default: origin.default.map(str::to_owned),
            about: origin.doc.to_owned(),
        }
    }
}

impl Setting {
    /// All keys, in the order of the documentation.
    pub fn all(loaded: &Loaded) -> Vec<Self> {
        loaded.origins.iter().map(Self::from).collect()
    }
}

/// A key that a restart would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    /// The key.
    pub key: String,
    /// Its value now.
    pub now: String,
    /// Its value after a restart.
    pub then: String,
    /// Where that comes from.
    pub source: String,
}

impl From<Change> for SettingChange {
    fn from(change: Change) -> Self {
        Self {
            key: change.key,
            now: change.now,
            then: change.then,
            source: change.source.to_string(),
        }
    }
}

/// What a restart would bring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Keys whose value would be another one.
    pub changes: Vec<SettingChange>,
    /// Why the node would not start again: a line for each mistake.
    pub problems: Vec<String>,
    /// What the operator should know and what is no mistake.
    pub notices: Vec<String>,
}

/// The configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The file that was read.
    pub config_file: Option<String>,
    /// Every key.
    pub settings: Vec<Setting>,
    /// What the operator should know of it.
    pub notices: Vec<String>,
    /// What a restart would bring.
    pub restart: Restart,
}

impl Desk {
    /// The configuration, and what a restart would change: the file is read again for that.
    pub async fn settings(&self) -> Settings {
        let in_force = self.facts.in_force.clone();
        // Files may be on a disk that does not answer.
        let restart = tokio::task::spawn_blocking(move || restart(in_force.after_restart()));
        let loaded = self.facts.in_force.loaded();
        let file = loaded.config_file.as_ref();
        Settings {
            config_file: file.map(|file| file.display().to_string()),
            settings: Setting::all(loaded),
            notices: loaded.notices.clone(),
            restart: restart.await.unwrap_or_default(),
        }
    }
}

fn restart(after: Result<AfterRestart, ConfigError>) -> Restart {
    match after {
        Ok(after) => Restart {
            changes: after.changes.into_iter().map(SettingChange::from).collect(),
            problems: Vec::new(),
            notices: after.notices,
        },
        Err(error) => Restart {
            problems: error.problems().iter().map(ToString::to_string).collect(),
            ..Restart::default()
        },
    }
}
