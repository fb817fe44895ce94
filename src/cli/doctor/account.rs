//! The user that the node runs as, and what it may do with a file.

use std::ffi::CString;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

/// What is to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Read it.
    Read,
    /// Write to it.
    Write,
    /// Enter it, as a folder on the way to a file.
    Enter,
}

/// A user and its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// Its number.
    pub(crate) uid: u32,
    name: String,
    group: String,
    groups: Vec<u32>,
}

/// For people and for commands: the name, or the number.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Account {
    /// The user with this number; somebody whom the system does not know is in that group alone.
    pub(crate) fn new(uid: u32, gid: u32) -> Self {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let gid = user.as_ref().map_or(gid, |user| user.gid.as_raw());
        let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
        let mut groups = vec![gid];
        if let Some(name) = user
            .as_ref()
            .and_then(|user| CString::new(user.name.as_str()).ok())
            && let Ok(all) = getgrouplist(&name, Gid::from_raw(gid))
        {
            groups.extend(all.into_iter().map(Gid::as_raw));
        }
        Self {
            uid,
            name: user.map_or_else(|| uid.to_string(), |user| user.name),
            group: group.map_or_else(|| gid.to_string(), |group| group.name),
            groups,
        }
    }

    /// Whose `path` is.
    pub(crate) fn owning(path: &Path) -> Option<Self> {
        let found = path.metadata().ok()?;
        Some(Self::new(found.uid(), found.gid()))
    }

    /// Whoever this process runs for.
    pub(crate) fn own() -> Self {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        Self::new(uid.as_raw(), gid.as_raw())
    }

    /// As `chown` takes it.
    pub(crate) fn user_and_group(&self) -> String {
        format!("{}:{}", self.name, self.group)
    }

    /// Whether it may, as far as owner and mode tell. Access lists and security modules are not seen.
    pub(crate) fn may(&self, right: Right, file: &Metadata) -> bool {
        if self.uid == 0 {
            return true;
        }
        let shift = if file.uid() == self.uid {
            6
        } else if self.groups.contains(&file.gid()) {
            3
        } else {
            0
        };
        let bit = match right {
            Right::Read => 0o4,
            Right::Write => 0o2,
            Right::Enter => 0o1,
        };
        (file.permissions().mode() >> shift) & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_group_and_others_have_bits_of_their_own() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let owner = Account::owning(file.path()).unwrap();
        let gid = file.path().metadata().unwrap().gid();
        let stranger = |groups: Vec<u32>| Account {
            uid: 1_234_567,
            name: "1234567".into(),
            group: "89".into(),
            groups,
        };
        for (mode, group_reads, others_read) in [
            (0o600, false, false),
            (0o640, true, false),
            (0o604, false, true),
        ] {
            std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
            let found = file.path().metadata().unwrap();
            assert!(owner.may(Right::Read, &found));
            assert_eq!(stranger(vec![gid]).may(Right::Read, &found), group_reads);
            let other = stranger(vec![gid + 1]);
            assert_eq!(other.may(Right::Read, &found), others_read);
            assert!(!other.may(Right::Enter, &found));
        }
        assert_eq!(Account::new(0, 0).to_string(), "root");
        assert_eq!(
            Account::new(1_234_567, 89_001).user_and_group(),
            "1234567:89001"
        );
    }
}
