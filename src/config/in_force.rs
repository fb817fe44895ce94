//! The configuration that a process goes by, and what it would go by after a restart.
//!
//! It is read once, at the start. Whoever changes the file afterwards sees nothing happen, and the restart that brings the
//! change may be months later and somebody else's. So what it was made from is kept, and can be read again.

use std::sync::Arc;

use super::environment::{Environment, Overrides};
use super::error::{ConfigError, Source};
use super::load::{Loaded, Origin, load};
use super::resolve::REDACTED;
use super::{Config, ReplicaAddress, SecretText};

/// What stands for a value that is not there.
const NOT_SET: &str = "(not set)";

/// The configuration of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct InForce(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    loaded: Loaded,
    overrides: Overrides,
    environment: Environment,
}

/// A key that a restart would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// Its value now, as it is shown.
    pub now: String,
    /// Its value after a restart.
    pub then: String,
    /// Where that comes from.
    pub source: Source,
}

/// What a restart would bring.
#[derive(Clone, Debug)]
pub struct AfterRestart {
    /// Keys whose value would be another one.
    pub changes: Vec<Change>,
    /// What the operator should know and what is no error.
    pub notices: Vec<String>,
}

impl InForce {
    /// Reads the configuration.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(overrides: Overrides, environment: Environment) -> Result<Self, ConfigError> {
        let loaded = load(&overrides, &environment)?;
        Ok(Self(Arc::new(Parts {
            loaded,
            overrides,
            environment,
        })))
    }

    /// What was read.
    pub fn loaded(&self) -> &Loaded {
        &self.0.loaded
    }

    /// What is in force.
    pub fn config(&self) -> &Config {
        &self.0.loaded.config
    }

    /// Reads it again, with the flags and the environment of this process, and compares. It reads files.
    ///
    /// # Errors
    /// [`ConfigError`]: with this configuration the node would not start again.
    pub fn after_restart(&self) -> Result<AfterRestart, ConfigError> {
        let then = load(&self.0.overrides, &self.0.environment)?;
        Ok(AfterRestart {
            changes: changes(&self.0.loaded, &then),
            notices: then.notices,
        })
    }
}

fn changes(now: &Loaded, then: &Loaded) -> Vec<Change> {
    let known = |key: &str| now.origins.iter().find(|origin| origin.key == key);
    let of = |then_origin: &Origin| {
        let key = &then_origin.key;
        let before = known(key).map_or(NOT_SET, |origin| &origin.value);
        let mut change = Change {
            key: key.clone(),
            now: before.to_owned(),
            then: then_origin.value.clone(),
            source: then_origin.source.clone(),
        };
        if change.now != change.then {
            return Some(change);
        }
        // Secrets look the same whatever they are.
        let (old, new) = (now.config.secret(key)?, then.config.secret(key)?);
        change.then = format!("{REDACTED}, another one");
        (!old.is(new.expose())).then_some(change)
    };
    let gone = now.origins.iter().filter(|origin| {
        origin.value != NOT_SET && then.origins.iter().all(|then| then.key != origin.key)
    });
    let gone = gone.map(|origin| Change {
        key: origin.key.clone(),
        now: origin.value.clone(),
        then: NOT_SET.to_owned(),
        source: Source::Default,
    });
    then.origins.iter().filter_map(of).chain(gone).collect()
}

impl Config {
    /// The secret that is the value of a key.
    pub(crate) fn secret(&self, key: &str) -> Option<&SecretText> {
        let replica = self.replica.as_ref();
        match key {
            "admin.password" => self.admin.password.as_ref(),
            "identity.telegram.bot_token" => self.identity.telegram_bot_token.as_ref(),
            "telemetry.password" => self.telemetry.as_ref().map(|to| &to.password),
            "replica.password" => replica?.password.as_ref(),
            "replica.url" => match &replica?.address {
                ReplicaAddress::Url(url) => Some(url),
                ReplicaAddress::Parts { .. } => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use super::super::key::{KEYS, Kind};
    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// The configuration of a file with this text, with the node's address from a flag.
    fn of(folder: &Path, text: &str) -> InForce {
        write(&folder.join("ksnode.toml"), text);
        let overrides = Overrides {
            config_file: Some(folder.join("ksnode.toml")),
            data_dir: Some(folder.to_owned()),
            listen: vec!["127.0.0.1:1".to_owned()],
        };
        InForce::load(overrides, Environment::new([], PathBuf::from("/"))).unwrap()
    }

    fn told(in_force: &InForce) -> Vec<(String, String, String)> {
        let after = in_force.after_restart().unwrap();
        let told = |change: Change| (change.key, change.now, change.then);
        after.changes.into_iter().map(told).collect()
    }

    #[test]
    fn nothing_changes_until_the_file_does() {
        let folder = tempfile::tempdir().unwrap();
        let in_force = of(folder.path(), "[log]\nlevel = \"info\"\n");
        assert_eq!(told(&in_force), []);
        let text = "[log]\nkeep_days = 9\n[server]\nlisten = \"127.0.0.1:2\"\n";
        write(&folder.path().join("ksnode.toml"), text);
        // The level is what it was, by default; the flag wins over the new address.
        let keep_days = ("log.keep_days".into(), "7".into(), "9".into());
        assert_eq!(told(&in_force), [keep_days]);
        let after = in_force.after_restart().unwrap();
        let source = after.changes[0].source.to_string();
        assert!(source.ends_with("ksnode.toml line 2"), "{source}");
    }

    #[test]
    fn another_secret_is_told_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        write(&file, "4711:first");
        let text = "[identity.telegram]\nbot_token_file = \"./token\"\n";
        let in_force = of(folder.path(), text);
        write(&file, "4711:second");
        let key = "identity.telegram.bot_token".to_owned();
        let then = "(redacted), another one".to_owned();
        assert_eq!(told(&in_force), [(key, "(redacted)".into(), then)]);
    }

    #[test]
    fn what_is_taken_away_is_not_set_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let issuer =
            "[[identity.oidc]]\nname = \"own\"\nissuer = \"https://i.example\"\naudience = \"a\"\n";
        let in_force = of(folder.path(), issuer);
        write(&folder.path().join("ksnode.toml"), "");
        let changes = told(&in_force);
        let name = ("identity.oidc[0].name", "own", "(not set)");
        let found = changes
            .iter()
            .any(|(key, now, then)| (key.as_str(), now.as_str(), then.as_str()) == name);
        assert!(found, "{changes:?}");
    }

    #[test]
    fn a_file_that_would_not_start_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let in_force = of(folder.path(), "");
        write(
            &folder.path().join("ksnode.toml"),
            "[log]\nlevle = \"info\"\n",
        );
        let error = in_force.after_restart().unwrap_err();
        assert!(error.problems()[0].to_string().contains("log.level"));
    }

    #[test]
    fn every_secret_of_the_table_is_compared() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[admin]\npassword = \"0123456789abcdef\"\n[identity.telegram]\nbot_token = \"4711:t\"\n\
                    [telemetry]\nbase_url = \"https://m.example\"\npassword = \"p\"\n\
                    [replica]\nurl = \"postgresql://u:p@h/d\"\n";
        let in_force = of(folder.path(), text);
        let secrets = KEYS.iter().filter(|key| key.kind == Kind::Secret);
        for secret in secrets.filter(|key| key.path != "replica.password") {
            assert!(
                in_force.config().secret(secret.path).is_some(),
                "{}",
                secret.path
            );
        }
    }
}
