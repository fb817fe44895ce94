//! Whether somebody is the administrator: his password.
//!
//! His password is the configured one (`admin.password`, `admin.password_file`), or the one that the first start made or
//! `ksnode admin set-password` set. Of that one a hash alone is kept ([`HASH_FILE`]); the first one lies in clear in
//! [`FIRST_PASSWORD_FILE`] until it is rightly used for the first time, so that whoever missed it on the terminal still
//! finds it, and nobody finds it for ever. The hash belongs to the installation and not to the data: a restore leaves it.
//!
//! Every attempt is the same work, one hash: a configured password is hashed at the start, and where there is no password
//! the comparison is with the hash of one that nobody knows. A hash is slow and takes memory by design, and anybody may
//! send passwords. So it is computed beside the runtime's threads, two at a time; some more wait, and further ones are sent
//! away at once. Those that come from an address the right password came from have places of their own.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::pacing::Pacing;
use super::{PasswordHash, readable};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::crypto::CryptoError;
use crate::store::{replace_private_file, sync_folder};

/// The file in the data folder with the hash of a password that is not configured.
pub const HASH_FILE: &str = "admin-password-hash";

/// The file in the data folder with the password that the first start made, until its first use.
pub const FIRST_PASSWORD_FILE: &str = "initial-admin-password";

/// Characters that a new password has at least.
pub const SHORTEST_PASSWORD: usize = 12;

/// Passwords that are hashed at the same time, each in some 20 MiB.
const AT_ONCE: usize = 2;

/// Passwords that are hashed or wait for it.
const WAITING: usize = 32;

/// The same of those from known addresses.
const WAITING_KNOWN: usize = 8;

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
    /// A file cannot be written.
    #[error(
        "{path} cannot be written: {source}; check that the data folder belongs to the user that runs ksnode, and that \
         its disk has room"
    )]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds no hash.
    #[error(
        "{path} holds no hash of a password; run `ksnode admin set-password`, or set admin.password_file"
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
    /// The configuration has the password, and wins.
    #[error(
        "the password is configured (admin.password or admin.password_file), and only the configuration can change it: \
         change it there and restart the node, or take the key out to have a password that can be changed here"
    )]
    Configured,
    /// A new password is easily guessed.
    #[error("the password is too short: take at least {SHORTEST_PASSWORD} characters")]
    Short,
    /// The second factor's file does not open.
    #[error(
        "{path} does not open: {why}; run `ksnode admin reset-totp`, and set up the second factor again"
    )]
    SecondFactor {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// There is no randomness, or nothing can be sealed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// Where the password comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Configuration,
    Folder,
    Nowhere,
}

/// What a password is compared with.
#[derive(Debug)]
struct Known {
    hash: PasswordHash,
    origin: Origin,
}

/// Tells whether a password is the administrator's.
#[derive(Debug)]
pub struct Administrator {
    known: ArcSwap<Known>,
    data_dir: PathBuf,
    /// Whether the first password may still lie there in clear.
    first: AtomicBool,
    waiting: Semaphore,
    waiting_known: Semaphore,
    at_work: Semaphore,
    pacing: Pacing,
    /// Hashes that were computed to look at a password, for tests of that being the same work.
    #[cfg(test)]
    looked_at: AtomicUsize,
}

impl Administrator {
    /// The administrator of this configuration: the configured password, else the hash in the data folder, else nobody.
    ///
    /// # Errors
    /// [`AdminError::Unreadable`], [`AdminError::Damaged`], [`AdminError::Hash`].
    pub fn new(config: &Config, clock: SharedClock) -> Result<Self, AdminError> {
        let known = match &config.admin.password {
            Some(password) => Known {
                hash: PasswordHash::new(password.expose())?,
                origin: Origin::Configuration,
            },
            None => Known::of_folder(&config.data_dir)?,
        };
        Ok(Self {
            first: AtomicBool::new(known.origin == Origin::Folder),
            known: ArcSwap::from_pointee(known),
            data_dir: config.data_dir.clone(),
            waiting: Semaphore::new(WAITING),
            waiting_known: Semaphore::new(WAITING_KNOWN),
            at_work: Semaphore::new(AT_ONCE),
            pacing: Pacing::new(clock),
            #[cfg(test)]
            looked_at: AtomicUsize::new(0),
        })
    }

    /// One with this configured password, or with none.
    #[cfg(test)]
    pub(crate) fn configured(password: Option<&str>) -> Arc<Self> {
        let mut config = crate::config::defaults_in(Path::new("/nonexistent"));
        config.admin.password =
            password.map(|text| crate::config::SecretText::new(text.to_owned()));
        Arc::new(Self::new(&config, crate::clock::ManualClock::shared()).unwrap())
    }

    /// Whether there is a password at all.
    pub fn has_password(&self) -> bool {
        self.known.load().origin != Origin::Nowhere
    }

    /// Whether the configuration has it, so that it cannot be changed here.
    pub fn is_configured(&self) -> bool {
        self.known.load().origin == Origin::Configuration
    }

    /// Whether `given`, which came from `address`, is the password; it takes as long whatever of it is right, and longer
    /// after many that were wrong. The first right use of the password that the first start made removes it from where it
    /// lies in clear.
    ///
    /// # Errors
    /// [`AdminError::Busy`] at once, when many passwords wait; [`AdminError::Hash`].
    pub async fn is(
        self: &Arc<Self>,
        given: Zeroizing<String>,
        address: IpAddr,
    ) -> Result<bool, AdminError> {
        // A task of its own: the request's is gone when the caller hangs up, and with it would be the place and the turn of a
        // hash that goes on, and the failure that slows down the next attempt.
        let this = self.clone();
        let looked_at = tokio::spawn(async move { this.look_at(given, address).await });
        looked_at
            .await
            .map_err(|error| AdminError::Hash(error.to_string()))?
    }

    async fn look_at(&self, given: Zeroizing<String>, address: IpAddr) -> Result<bool, AdminError> {
        let is_known = self.pacing.knows(address);
        let places = if is_known {
            &self.waiting_known
        } else {
            &self.waiting
        };
        let _place = places.try_acquire().map_err(|_| AdminError::Busy)?;
        if !is_known {
            tokio::time::sleep(self.pacing.wait()).await;
        }
        // Neither semaphore is ever closed.
        let _turn = self.at_work.acquire().await.map_err(|_| AdminError::Busy)?;
        let known = self.known.load_full();
        #[cfg(test)]
        self.looked_at.fetch_add(1, Ordering::Relaxed);
        let compared = tokio::task::spawn_blocking(move || {
            let same = known.hash.is_of(&given);
            same.map(|same| same && known.origin != Origin::Nowhere)
        });
        let right = compared
            .await
            .map_err(|error| AdminError::Hash(error.to_string()))??;
        if !right {
            self.pacing.failed();
            return Ok(false);
        }
        self.pacing.passed(address);
        if self.first.swap(false, Ordering::Relaxed) {
            forget_first(&self.data_dir);
        }
        Ok(true)
    }

    /// Makes `new` the password.
    ///
    /// # Errors
    /// [`AdminError::Configured`], [`AdminError::Short`], [`AdminError::Hash`], [`AdminError::Unwritable`]: the password is
    /// the old one then.
    pub async fn change(&self, new: Zeroizing<String>) -> Result<(), AdminError> {
        if self.is_configured() {
            return Err(AdminError::Configured);
        }
        let data_dir = self.data_dir.clone();
        let kept = tokio::task::spawn_blocking(move || keep_password(&data_dir, &new));
        kept.await
            .map_err(|error| AdminError::Hash(error.to_string()))??;
        self.reload()
    }

    /// Takes the password that another process has kept in the data folder meanwhile. A configured one stays.
    ///
    /// # Errors
    /// [`AdminError::Unreadable`], [`AdminError::Damaged`]: the password is the old one then.
    pub fn reload(&self) -> Result<(), AdminError> {
        if !self.is_configured() {
            self.known
                .store(Arc::new(Known::of_folder(&self.data_dir)?));
            self.pacing.forget();
        }
        Ok(())
    }

    #[cfg(test)]
    fn looked_at(&self) -> usize {
        self.looked_at.load(Ordering::Relaxed)
    }
}

impl Known {
    fn of_folder(data_dir: &Path) -> Result<Self, AdminError> {
        if let Some(hash) = kept(data_dir)? {
            return Ok(Self {
                hash,
                origin: Origin::Folder,
            });
        }
        Ok(Self {
            hash: PasswordHash::new(&readable::<32>()?)?,
            origin: Origin::Nowhere,
        })
    }
}

/// Keeps the hash of `password` in the data folder, where the next start or a reload finds it. The first password goes
/// from where it lies in clear: it is none any more.
///
/// # Errors
/// [`AdminError::Short`], [`AdminError::Hash`], [`AdminError::Unwritable`].
pub fn keep_password(data_dir: &Path, password: &str) -> Result<(), AdminError> {
    if password.chars().count() < SHORTEST_PASSWORD {
        return Err(AdminError::Short);
    }
    let line = Zeroizing::new(format!("{}\n", PasswordHash::new(password)?));
    let path = data_dir.join(HASH_FILE);
    replace_private_file(&path, line.as_bytes())
        .map_err(|source| AdminError::Unwritable { path, source })?;
    forget_first(data_dir);
    Ok(())
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
    use crate::clock::ManualClock;
    use crate::config::{SecretText, defaults_in as config};

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    async fn is(administrator: &Arc<Administrator>, given: &str) -> bool {
        let given = Zeroizing::new(given.to_owned());
        administrator.is(given, HERE).await.unwrap()
    }

    fn administrator(config: &Config) -> Arc<Administrator> {
        Arc::new(Administrator::new(config, ManualClock::shared()).unwrap())
    }

    /// A data folder with the password `made`, which lies there in clear too.
    fn made() -> (tempfile::TempDir, PathBuf) {
        let data = tempfile::tempdir().unwrap();
        let hash = PasswordHash::new("made").unwrap();
        std::fs::write(data.path().join(HASH_FILE), format!("{hash}\n")).unwrap();
        let first = data.path().join(FIRST_PASSWORD_FILE);
        std::fs::write(&first, "made\n").unwrap();
        (data, first)
    }

    #[tokio::test]
    async fn only_the_configured_password_is_right() {
        let data = tempfile::tempdir().unwrap();
        let mut config = config(data.path());
        config.admin.password = Some(SecretText::new("a b".to_owned()));
        // It wins over one that was made.
        let hash = PasswordHash::new("made").unwrap();
        std::fs::write(data.path().join(HASH_FILE), hash.to_string()).unwrap();
        let administrator = administrator(&config);
        assert!(administrator.has_password() && is(&administrator, "a b").await);
        for given in ["", "a", "a b ", "A b", "made", &"a b".repeat(1000)] {
            assert!(!is(&administrator, given).await, "{given}");
        }
        let new = Zeroizing::new("a long password".to_owned());
        let refused = administrator.change(new).await;
        assert!(matches!(refused, Err(AdminError::Configured)));
        administrator.reload().unwrap();
        assert!(is(&administrator, "a b").await);
    }

    #[tokio::test]
    async fn the_first_right_use_removes_what_lies_in_clear() {
        let (data, first) = made();
        let administrator = administrator(&config(data.path()));
        for wrong in ["", "made\n", "Made"] {
            assert!(!is(&administrator, wrong).await, "{wrong}");
        }
        assert!(first.exists());
        assert!(is(&administrator, "made").await && !first.exists());
        assert!(is(&administrator, "made").await);
    }

    #[tokio::test]
    async fn a_new_password_takes_the_place_of_the_old_one() {
        let (data, first) = made();
        let administrator = administrator(&config(data.path()));
        let change = |new: &str| administrator.change(Zeroizing::new(new.to_owned()));
        assert!(matches!(
            change("eleven char").await,
            Err(AdminError::Short)
        ));
        assert!(first.exists() && is(&administrator, "made").await);
        change("twelve chars").await.unwrap();
        assert!(!first.exists() && !is(&administrator, "made").await);
        assert!(is(&administrator, "twelve chars").await);
        // One that a command has kept is taken over when it says so.
        keep_password(data.path(), "another password").unwrap();
        assert!(is(&administrator, "twelve chars").await);
        administrator.reload().unwrap();
        assert!(is(&administrator, "another password").await);
    }

    #[tokio::test]
    async fn nobody_passes_without_a_password() {
        let data = tempfile::tempdir().unwrap();
        let administrator = administrator(&config(data.path()));
        assert!(!administrator.has_password() && !is(&administrator, "").await);
    }

    #[tokio::test]
    async fn an_attempt_is_one_hash_whatever_is_wrong() {
        let (folder, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        keep_password(folder.path(), "twelve chars").unwrap();
        let mut configured = config(empty.path());
        configured.admin.password = Some(SecretText::new("a".to_owned()));
        for config in [config(folder.path()), config(empty.path()), configured] {
            let administrator = administrator(&config);
            for (count, given) in ["", "a", "twelve chars", "twelve charsx"]
                .iter()
                .enumerate()
            {
                is(&administrator, given).await;
                assert_eq!(administrator.looked_at(), count + 1);
            }
        }
    }

    #[tokio::test]
    async fn who_finds_many_waiting_is_sent_away_unless_he_was_here_before() {
        let data = tempfile::tempdir().unwrap();
        keep_password(data.path(), "twelve chars").unwrap();
        let administrator = administrator(&config(data.path()));
        let places = u32::try_from(WAITING).unwrap();
        assert!(is(&administrator, "twelve chars").await);
        let taken = administrator.waiting.acquire_many(places).await.unwrap();
        let elsewhere = IpAddr::from([10, 0, 0, 1]);
        let given = || Zeroizing::new("twelve chars".to_owned());
        assert!(matches!(
            administrator.is(given(), elsewhere).await,
            Err(AdminError::Busy)
        ));
        assert!(is(&administrator, "twelve chars").await);
        drop(taken);
        assert!(administrator.is(given(), elsewhere).await.unwrap());
    }

    #[tokio::test]
    async fn who_hangs_up_makes_no_room_for_another_hash_and_has_failed() {
        let data = tempfile::tempdir().unwrap();
        let administrator = administrator(&config(data.path()));
        let until_at_work = |count: usize| {
            let administrator = &administrator;
            async move {
                while AT_ONCE - administrator.at_work.available_permits() != count {
                    tokio::task::yield_now().await;
                }
            }
        };
        while administrator.pacing.wait().is_zero() {
            let before = administrator.looked_at();
            tokio::select! {
                _ = is(&administrator, "wrong") => {}
                () = until_at_work(1) => {}
            }
            // The attempt was dropped; no other task has run since.
            assert_eq!(administrator.at_work.available_permits(), AT_ONCE - 1);
            until_at_work(0).await;
            assert_eq!(administrator.looked_at(), before + 1);
        }
    }

    #[test]
    fn a_damaged_hash_is_told_with_its_mend() {
        let data = tempfile::tempdir().unwrap();
        for text in [&b"hunter2"[..], b"", b"$argon2id$", b"\xff"] {
            std::fs::write(data.path().join(HASH_FILE), text).unwrap();
            let error =
                Administrator::new(&config(data.path()), ManualClock::shared()).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains(HASH_FILE) && error.contains("ksnode admin set-password"),
                "{error}"
            );
            assert!(!error.contains("hunter2"));
        }
    }
}
