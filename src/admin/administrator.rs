//! Whether somebody is the administrator: his password.
//!
//! His password is the configured one (`admin.password`, `admin.password_file`), or the one that the first start made. Of
//! that one a hash alone is kept ([`HASH_FILE`]); in clear it lies in [`FIRST_PASSWORD_FILE`] until it is rightly used for
//! the first time, so that whoever missed it on the terminal still finds it, and nobody finds it for ever.
//!
//! A hash is slow and takes memory by design, and anybody may send passwords. So it is computed beside the runtime's
//! threads, two at a time; some more wait, and further ones are sent away at once.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::PasswordHash;
use crate::config::{Config, SecretText};
use crate::store::sync_folder;

/// The file in the data folder with the hash of the password that was made at the first start.
pub const HASH_FILE: &str = "admin-password-hash";

/// The file in the data folder with that password itself, until its first use.
pub const FIRST_PASSWORD_FILE: &str = "initial-admin-password";

/// Passwords that are hashed at the same time, each in some 20 MiB.
const AT_ONCE: usize = 2;

/// Passwords that are hashed or wait for it.
const WAITING: usize = 32;

/// What can be wrong with the administrator's password.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// A file cannot be read.
    #[error("{path}: {source}; check that it belongs to the user that runs ksnode")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds no hash.
    #[error(
        "{path} holds no hash of a password; remove it and run `ksnode init`, which makes a new password, or set \
         admin.password_file"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A hash cannot be computed.
    #[error("the password's hash cannot be computed: {0}")]
    Hash(String),
    /// Too many passwords wait to be looked at.
    #[error("{WAITING} passwords are being looked at already")]
    Busy,
}

/// What a password is compared with.
#[derive(Debug)]
enum Known {
    Configured(SecretText),
    Hash(Box<PasswordHash>),
    Nothing,
}

/// Tells whether a password is the administrator's.
#[derive(Debug)]
pub struct Administrator {
    known: Arc<Known>,
    data_dir: PathBuf,
    /// Whether the first password may still lie there in clear.
    first: AtomicBool,
    waiting: Semaphore,
    at_work: Semaphore,
}

impl Administrator {
    /// The administrator of this configuration: the configured password, else the hash in the data folder, else nobody.
    ///
    /// # Errors
    /// [`AdminError::Unreadable`], [`AdminError::Damaged`].
    pub fn new(config: &Config) -> Result<Self, AdminError> {
        let known = match &config.admin.password {
            Some(password) => Known::Configured(password.clone()),
            None => {
                kept(&config.data_dir)?.map_or(Known::Nothing, |hash| Known::Hash(Box::new(hash)))
            }
        };
        Ok(Self::of(known, config.data_dir.clone()))
    }

    fn of(known: Known, data_dir: PathBuf) -> Self {
        Self {
            first: AtomicBool::new(matches!(known, Known::Hash(_))),
            known: Arc::new(known),
            data_dir,
            waiting: Semaphore::new(WAITING),
            at_work: Semaphore::new(AT_ONCE),
        }
    }

    /// One with this configured password, or with none.
    #[cfg(test)]
    pub(crate) fn configured(password: Option<&str>) -> Self {
        let known = password.map_or(Known::Nothing, |password| {
            Known::Configured(SecretText::new(password.to_owned()))
        });
        Self::of(known, PathBuf::from("/nonexistent"))
    }

    /// Whether there is a password at all.
    pub fn has_password(&self) -> bool {
        !matches!(*self.known, Known::Nothing)
    }

    /// Whether `given` is the password; it takes as long whatever of it is right. The first right use of the password that
    /// the first start made removes it from where it lies in clear.
    ///
    /// # Errors
    /// [`AdminError::Busy`] at once, when many passwords wait; [`AdminError::Hash`].
    pub async fn is(&self, given: Zeroizing<String>) -> Result<bool, AdminError> {
        if let Known::Configured(password) = &*self.known {
            return Ok(password.is(&given));
        }
        let _place = self.waiting.try_acquire().map_err(|_| AdminError::Busy)?;
        // Neither semaphore is ever closed.
        let _turn = self.at_work.acquire().await.map_err(|_| AdminError::Busy)?;
        let known = self.known.clone();
        let compared = tokio::task::spawn_blocking(move || match &*known {
            Known::Hash(hash) => hash.is_of(&given),
            Known::Configured(_) | Known::Nothing => Ok(false),
        });
        let right = compared
            .await
            .map_err(|error| AdminError::Hash(error.to_string()))??;
        if right && self.first.swap(false, Ordering::Relaxed) {
            forget_first(&self.data_dir);
        }
        Ok(right)
    }
}

/// The hash that is kept in the data folder.
fn kept(data_dir: &Path) -> Result<Option<PasswordHash>, AdminError> {
    let path = data_dir.join(HASH_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => match PasswordHash::parse(text.trim_end()) {
            Some(hash) => Ok(Some(hash)),
            None => Err(AdminError::Damaged { path }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(AdminError::Damaged { path }),
        Err(source) => Err(AdminError::Unreadable { path, source }),
    }
}

/// Removes the password that lies there in clear. That it cannot be removed is no reason to turn the administrator away.
fn forget_first(data_dir: &Path) {
    let path = data_dir.join(FIRST_PASSWORD_FILE);
    let removed = std::fs::remove_file(&path).and_then(|()| sync_folder(data_dir));
    match removed {
        Ok(()) => tracing::info!(
            path = %path.display(),
            "the administrator's first password was used, and its file was removed"
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(
            %error, path = %path.display(),
            "the administrator's first password was used, and its file could not be removed; remove it"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults_in as config;

    async fn is(administrator: &Administrator, given: &str) -> bool {
        let given = Zeroizing::new(given.to_owned());
        administrator.is(given).await.unwrap()
    }

    #[tokio::test]
    async fn only_the_configured_password_is_right() {
        let data = tempfile::tempdir().unwrap();
        let mut config = config(data.path());
        config.admin.password = Some(SecretText::new("a b".to_owned()));
        // It wins over one that was made.
        let hash = PasswordHash::new("made").unwrap();
        std::fs::write(data.path().join(HASH_FILE), hash.to_string()).unwrap();
        let administrator = Administrator::new(&config).unwrap();
        assert!(administrator.has_password() && is(&administrator, "a b").await);
        for given in ["", "a", "a b ", "A b", "made", &"a b".repeat(1000)] {
            assert!(!is(&administrator, given).await, "{given}");
        }
    }

    #[tokio::test]
    async fn the_first_right_use_removes_what_lies_in_clear() {
        let data = tempfile::tempdir().unwrap();
        let hash = PasswordHash::new("made").unwrap();
        std::fs::write(data.path().join(HASH_FILE), format!("{hash}\n")).unwrap();
        let first = data.path().join(FIRST_PASSWORD_FILE);
        std::fs::write(&first, "made\n").unwrap();
        let administrator = Administrator::new(&config(data.path())).unwrap();
        for wrong in ["", "made\n", "Made"] {
            assert!(!is(&administrator, wrong).await, "{wrong}");
        }
        assert!(first.exists());
        assert!(is(&administrator, "made").await && !first.exists());
        assert!(is(&administrator, "made").await);
    }

    #[tokio::test]
    async fn nobody_passes_without_a_password() {
        let data = tempfile::tempdir().unwrap();
        let administrator = Administrator::new(&config(data.path())).unwrap();
        assert!(!administrator.has_password() && !is(&administrator, "").await);
    }

    #[tokio::test]
    async fn who_finds_many_waiting_is_sent_away() {
        let data = tempfile::tempdir().unwrap();
        let administrator = Administrator::new(&config(data.path())).unwrap();
        let places = u32::try_from(WAITING).unwrap();
        let taken = administrator.waiting.acquire_many(places).await.unwrap();
        let given = Zeroizing::new("a".to_owned());
        assert!(matches!(
            administrator.is(given).await,
            Err(AdminError::Busy)
        ));
        drop(taken);
        assert!(!is(&administrator, "a").await);
    }

    #[test]
    fn a_damaged_hash_is_told_with_its_mend() {
        let data = tempfile::tempdir().unwrap();
        for text in [&b"hunter2"[..], b"", b"$argon2id$", b"\xff"] {
            std::fs::write(data.path().join(HASH_FILE), text).unwrap();
            let error = Administrator::new(&config(data.path())).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains(HASH_FILE) && error.contains("ksnode init"),
                "{error}"
            );
            assert!(!error.contains("hunter2"));
        }
    }
}
