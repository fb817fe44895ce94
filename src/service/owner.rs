//! Becoming the user whose data this is.
//!
//! An administrator runs commands as root, and the node runs as a user of its own. Whatever root makes in the node's
//! folders the node cannot open afterwards, which shows at its next start, when nobody remembers the command. So a
//! process of root becomes the owner of the data folder before it opens anything. To refuse, and to tell to use
//! `sudo -u`, was the rule before: it is one more thing to know, and a script that was made as root stays wrong.
//!
//! The change cannot be taken back: a way back would leave what runs as the user with root's rights within reach. It is to
//! happen before there are threads, because on Linux some of it is a thread's own.
//!
//! Setting HOME in the process itself is not sound once there may be threads, so the programs that the node starts are
//! given it ([`environment`]).

use std::ffi::OsString;
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};

/// Why another user cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The owner cannot be looked up.
    #[error("{path}: its owner cannot be looked up: {source}")]
    Unseen {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no such user.
    #[error("there is no user {0:?}; name one that exists, or make it: useradd --system {0}")]
    NoUser(String),
    /// There is no such group.
    #[error("there is no group {0:?}; name one that exists, or make it: groupadd --system {0}")]
    NoGroup(String),
    /// The data folder is somebody else's.
    #[error(
        "{path} belongs to {owner}, and the node is to run as {user}; name that user, or give the folder away: \
         chown -R {user} {path}", path = path.display()
    )]
    Another {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: String,
        /// Who was named.
        user: String,
    },
    /// Only root can.
    #[error("only root can become {0}; run this as root, or as that user without naming it")]
    NotRoot(String),
    /// The system refuses.
    #[error(
        "this process cannot become {user}: {source}; run it as that user: sudo -u '{user}' ksnode …"
    )]
    Refused {
        /// Who was to be become.
        user: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What of root's rights is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// The capability to listen on ports below 1024, where the system has such a thing.
    LowPorts,
}

/// A user to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name, when the system knows one.
    name: Option<String>,
    uid: u32,
    gid: u32,
    home: PathBuf,
}

/// For people: the name, or the number with a `#` as sudo has it.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "#{}", self.uid),
        }
    }
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            name: Some(user.name),
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            home: user.dir,
        }
    }
}

impl Account {
    /// The user and the group of these names or numbers; the user's own group without one.
    ///
    /// # Errors
    /// [`OwnerError::NoUser`], [`OwnerError::NoGroup`].
    pub fn named(user: &str, group: Option<&str>) -> Result<Self, OwnerError> {
        let number = user.parse().ok();
        let found = User::from_name(user).ok().flatten();
        let found = found.or_else(|| User::from_uid(Uid::from_raw(number?)).ok().flatten());
        let found = found.ok_or_else(|| OwnerError::NoUser(user.to_owned()))?;
        let mut account = Self::from(found);
        if let Some(group) = group {
            account.gid = group_id(group)?;
        }
        Ok(account)
    }

    /// Who a node with this data folder is to be when somebody was named: that user, who must own the folder when there
    /// is one; without a user the folder's owner, or whoever this process is.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub fn for_folder(
        path: &Path,
        user: Option<&str>,
        group: Option<&str>,
    ) -> Result<Self, OwnerError> {
        let owner = Self::owning(path)?;
        let Some(user) = user else {
            let own = || Self::of(geteuid().as_raw(), getegid().as_raw());
            let mut account = owner.unwrap_or_else(own);
            account.gid = group.map_or(Ok(account.gid), group_id)?;
            return Ok(account);
        };
        let account = Self::named(user, group)?;
        match owner {
            Some(owner) if owner.uid != account.uid => Err(OwnerError::Another {
                path: path.to_owned(),
                owner: owner.to_string(),
                user: account.to_string(),
            }),
            _ => Ok(account),
        }
    }

    /// Whoever has this number. Somebody whom the system does not know is in that group alone.
    fn of(uid: u32, gid: u32) -> Self {
        let known = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        known.map_or_else(
            || Self {
                name: None,
                uid,
                gid,
                home: PathBuf::from("/"),
            },
            Self::from,
        )
    }

    /// Whose `path` is; `None` when there is nothing of that name.
    ///
    /// # Errors
    /// [`OwnerError::Unseen`].
    pub fn owning(path: &Path) -> Result<Option<Self>, OwnerError> {
        match path.metadata() {
            Ok(found) => Ok(Some(Self::of(found.uid(), found.gid()))),
            Err(error) if is_absence(error.kind()) => Ok(None),
            Err(source) => Err(OwnerError::Unseen {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Its number.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Its group's number.
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// Becomes it, for good, with its supplementary groups and without those of root. Nothing changes when this process is
    /// it already.
    ///
    /// # Errors
    /// [`OwnerError::NotRoot`], [`OwnerError::Refused`].
    pub fn become_it(self, keep: Keep) -> Result<Self, OwnerError> {
        if !geteuid().is_root() {
            let own = (geteuid().as_raw(), getegid().as_raw());
            if own == (self.uid, self.gid) {
                return Ok(self);
            }
            return Err(OwnerError::NotRoot(self.to_string()));
        }
        change(&self, keep).map_err(|source| OwnerError::Refused {
            user: self.to_string(),
            source,
        })?;
        // A process changes once: it is not root afterwards.
        Ok(BECOME.get_or_init(|| self).clone())
    }
}

/// Below a file there is nothing either; whoever makes the folder says what is wrong with that.
fn is_absence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Who this process has become.
static BECOME: OnceLock<Account> = OnceLock::new();

fn group_id(group: &str) -> Result<u32, OwnerError> {
    let number = group.parse().ok();
    let found = Group::from_name(group).ok().flatten();
    let found = found.or_else(|| Group::from_gid(Gid::from_raw(number?)).ok().flatten());
    let found = found.ok_or_else(|| OwnerError::NoGroup(group.to_owned()))?;
    Ok(found.gid.as_raw())
}

/// A process of root becomes the owner of `path`; `None` when there is nothing to change: it is not root, `path` is
/// root's, or there is no such file yet.
///
/// # Errors
/// [`OwnerError`].
pub fn become_owner_of(path: &Path) -> Result<Option<Account>, OwnerError> {
    become_owner_keeping(path, Keep::Nothing)
}

/// The same, keeping some of root's rights.
///
/// # Errors
/// [`OwnerError`].
pub fn become_owner_keeping(path: &Path, keep: Keep) -> Result<Option<Account>, OwnerError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let owner = Account::owning(path)?.filter(|owner| owner.uid != 0);
    owner.map(|owner| owner.become_it(keep)).transpose()
}

/// What programs started by this process are to be told of who it became; nothing when it is who it was at its start.
pub fn environment() -> Vec<(&'static str, OsString)> {
    let Some(account) = BECOME.get() else {
        return Vec::new();
    };
    let mut variables = vec![("HOME", account.home.clone().into_os_string())];
    if let Some(name) = &account.name {
        variables.extend(["USER", "LOGNAME"].map(|variable| (variable, OsString::from(name))));
    }
    variables
}

#[cfg(target_os = "linux")]
fn change(account: &Account, keep: Keep) -> std::io::Result<()> {
    use rustix::thread::set_keep_capabilities;

    set_groups(account)?;
    if keep == Keep::LowPorts {
        set_keep_capabilities(true)?;
    }
    nix::unistd::setuid(Uid::from_raw(account.uid))?;
    if keep == Keep::LowPorts {
        set_keep_capabilities(false)?;
        keep_low_ports()?;
    }
    Ok(())
}

/// The groups first: who is not root may not choose them.
#[cfg(target_os = "linux")]
fn set_groups(account: &Account) -> std::io::Result<()> {
    let group = Gid::from_raw(account.gid);
    match &account.name {
        Some(name) => nix::unistd::initgroups(&std::ffi::CString::new(name.as_str())?, group)?,
        None => nix::unistd::setgroups(&[group])?,
    }
    Ok(nix::unistd::setgid(group)?)
}

/// Gives up all that was kept over the change but this.
#[cfg(target_os = "linux")]
fn keep_low_ports() -> std::io::Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

    // A container may not have had it to begin with.
    let kept = capabilities(None)?.permitted & CapabilitySet::NET_BIND_SERVICE;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, sets)?)
}

/// Elsewhere a process has no safe way to leave root's groups.
#[cfg(not(target_os = "linux"))]
fn change(_: &Account, _: Keep) -> std::io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_known_by_name_and_by_number() {
        let root = Account::named("root", None).unwrap();
        assert_eq!((root.uid(), root.to_string().as_str()), (0, "root"));
        assert_eq!(Account::named("0", Some("0")).unwrap(), root);
        let error = Account::named("no-such-user", None).unwrap_err();
        assert!(error.to_string().contains("useradd"), "{error}");
        let error = Account::named("root", Some("no-such-group")).unwrap_err();
        assert!(error.to_string().contains("groupadd"), "{error}");
    }

    #[test]
    fn a_number_without_a_name_is_an_account_too() {
        let unknown = Account::of(1_234_567, 89);
        assert_eq!(
            (unknown.to_string().as_str(), unknown.gid()),
            ("#1234567", 89)
        );
    }

    #[test]
    fn nothing_changes_where_there_is_nothing_to_change() {
        let folder = tempfile::tempdir().unwrap();
        // The folder is this process's own.
        assert_eq!(become_owner_of(folder.path()).unwrap(), None);
        let absent = folder.path().join("absent");
        assert_eq!(become_owner_of(&absent).unwrap(), None);
        assert_eq!(Account::owning(&absent).unwrap(), None);
        let owner = Account::owning(folder.path()).unwrap().unwrap();
        assert_eq!(owner.uid(), geteuid().as_raw());
        assert!(environment().is_empty());
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let own = Account::for_folder(folder.path(), None, Some("0")).unwrap();
        assert_eq!((own.uid(), own.gid()), (geteuid().as_raw(), 0));
        let other = if geteuid().is_root() {
            "nobody"
        } else {
            "root"
        };
        let error = Account::for_folder(folder.path(), Some(other), None).unwrap_err();
        assert!(error.to_string().contains("chown -R"), "{error}");
        let absent = folder.path().join("absent");
        Account::for_folder(&absent, Some(other), None).unwrap();
    }

    #[test]
    fn only_root_can_become_somebody() {
        if geteuid().is_root() {
            eprintln!("this is root: it would become somebody");
            return;
        }
        let error = Account::of(0, 0).become_it(Keep::Nothing).unwrap_err();
        assert!(matches!(error, OwnerError::NotRoot(_)), "{error}");
    }
}
