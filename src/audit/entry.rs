//! What an entry says: who, what, how it ended, and of what.

use std::fmt;
use std::net::IpAddr;

/// Characters of an entry's detail at most: a path and an error's text.
const DETAIL: usize = 1_000;

/// Who has something done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The node itself, as it is configured.
    Node,
    /// A command on this machine.
    Command {
        /// The number of the user who runs it.
        user: u32,
    },
    /// A caller of the API with the administrator's password.
    Api {
        /// Where the call comes from.
        address: IpAddr,
    },
    /// The administrator at the admin page.
    Page {
        /// Where the request comes from.
        address: IpAddr,
        /// Names the session and opens nothing.
        session: String,
    },
}

impl Actor {
    /// How it is stored: its kind, and which of that kind.
    pub(super) fn stored(&self) -> (&'static str, String) {
        match self {
            Self::Node => ("node", String::new()),
            Self::Command { user } => ("command", user.to_string()),
            Self::Api { address } => ("api", address.to_string()),
            Self::Page { address, session } => ("page", format!("{address} {session}")),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, detail) = self.stored();
        f.write_str(&in_words(kind, &detail))
    }
}

/// An actor as it is stored, for people. What is not known is told as it stands.
pub(super) fn in_words(kind: &str, detail: &str) -> String {
    match (kind, detail.split_once(' ')) {
        ("node", _) => "the node".to_owned(),
        ("command", _) => format!("a command of user {detail}"),
        ("api", _) => format!("the API from {detail}"),
        ("page", Some((address, ""))) => format!("the admin page from {address}"),
        ("page", Some((address, session))) => {
            format!("the admin page from {address}, session {session}")
        }
        _ => format!("{kind} {detail}"),
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident = $name:literal,)*) => {
        /// What was done. The names are stored, and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* $action,)*
        }

        impl Action {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$action,)*];

            /// The stored name.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)*
                }
            }
        }
    };
}

actions! {
    /// The node was made.
    NodeCreate = "node-create",
    /// The node began to serve.
    Start = "start",
    /// The node stopped in order.
    Stop = "stop",
    /// The database was brought to a newer schema.
    Migrate = "migrate",
    /// The database was brought back to an older schema.
    Rollback = "rollback",
    /// A backup took the place of the data.
    Restore = "restore",
    /// A restore was tried without changing anything.
    RestoreCheck = "restore-check",
    /// Users and shares of another node were taken over.
    Import = "import",
    /// An import that was cut off was given up.
    ImportAbandon = "import-abandon",
    /// All shares were given to another node.
    Export = "export",
    /// A backup was asked for.
    BackupCreate = "backup-create",
    /// A backup's verification was asked for.
    BackupVerify = "backup-verify",
    /// Retention was asked for.
    BackupPrune = "backup-prune",
    /// A backup's file was deleted.
    BackupDelete = "backup-delete",
    /// A backup's file was given out.
    BackupDownload = "backup-download",
    /// A new key that seals shares.
    ShareKeyRotate = "share-key-rotate",
    /// A new ed25519 key of the node.
    NodeKeyRotate = "node-key-rotate",
    /// A new encryption secret.
    SecretChange = "secret-change",
    /// An authority was asked for a certificate.
    CertificateObtain = "certificate-obtain",
    /// Another certificate was taken into use, or its files could not be.
    CertificateReload = "certificate-reload",
    /// The certificate was asked for anew.
    CertificateRenew = "certificate-renew",
    /// The replica was asked to be filled anew.
    ReplicaResync = "replica-resync",
    /// The replica's comparison was asked for.
    ReplicaVerify = "replica-verify",
    /// The administrator's password was given, rightly or wrongly.
    Login = "login",
    /// A session at the admin page was ended by its administrator.
    Logout = "logout",
    /// Sessions at the admin page were ended by somebody else.
    SessionEnd = "session-end",
    /// The administrator's password was set.
    PasswordSet = "password-set",
    /// A second factor was set.
    SecondFactorSet = "second-factor-set",
    /// The second factor was taken away.
    SecondFactorReset = "second-factor-reset",
    /// It was looked up whether a user has shares.
    UserLookUp = "user-look-up",
    /// The log was found without its head, or with a false one, and begins anew.
    AuditRestart = "audit-restart",
    /// Old entries were forgotten.
    AuditPrune = "audit-prune",
    /// Entries could not be written, and are not known any more.
    AuditGap = "audit-gap",
}

impl Action {
    /// The action of that stored name.
    pub fn from_stored(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|action| action.as_str() == name)
    }

    /// Whether a log may begin with it: what makes a database, or brings one here from before there was a log.
    pub(super) fn may_begin(self) -> bool {
        matches!(self, Self::NodeCreate | Self::Migrate | Self::Restore)
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is about to be done; another entry tells how it ended.
    Begun,
    /// Done.
    Done,
    /// Not done.
    Failed,
}

impl Outcome {
    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// Of what, for people: a path, a version, an error. Never a user's identifier or public key, a share, a secret.
    pub detail: String,
}

impl Entry {
    /// Something that was done.
    pub fn done(actor: &Actor, action: Action, detail: impl Into<String>) -> Self {
        Self::new(actor, action, Outcome::Done, detail)
    }

    /// Something that is about to be done.
    pub fn begun(actor: &Actor, action: Action, detail: impl Into<String>) -> Self {
        Self::new(actor, action, Outcome::Begun, detail)
    }

    /// Something that was tried.
    pub fn failed(actor: &Actor, action: Action, detail: impl Into<String>) -> Self {
        Self::new(actor, action, Outcome::Failed, detail)
    }

    /// Something that was done, or not, as `outcome` says; its error is told behind the detail.
    pub fn ended<T>(
        actor: &Actor,
        action: Action,
        detail: impl Into<String>,
        outcome: &Result<T, impl fmt::Display>,
    ) -> Self {
        let detail = detail.into();
        match outcome {
            Ok(_) => Self::done(actor, action, detail),
            Err(error) if detail.is_empty() => Self::failed(actor, action, error.to_string()),
            Err(error) => Self::failed(actor, action, format!("{detail}: {error}")),
        }
    }

    fn new(actor: &Actor, action: Action, outcome: Outcome, detail: impl Into<String>) -> Self {
        // A zero would end the text for many who read it.
        let mut detail = detail.into().replace('\0', "\u{fffd}");
        if let Some((end, _)) = detail.char_indices().nth(DETAIL) {
            detail.truncate(end);
            detail.push('…');
        }
        Self {
            actor: actor.clone(),
            action,
            outcome,
            detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_one_each_and_lead_back() {
        let names: BTreeSet<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(names.len(), Action::ALL.len());
        for action in Action::ALL {
            assert_eq!(Action::from_stored(action.as_str()), Some(*action));
        }
    }

    #[test]
    fn actors_are_told_in_words() {
        let address = IpAddr::from([10, 0, 0, 7]);
        let page = |session: &str| Actor::Page {
            address,
            session: session.to_owned(),
        };
        for (actor, words) in [
            (Actor::Node, "the node"),
            (Actor::Command { user: 0 }, "a command of user 0"),
            (Actor::Api { address }, "the API from 10.0.0.7"),
            (page("b2"), "the admin page from 10.0.0.7, session b2"),
            (page(""), "the admin page from 10.0.0.7"),
        ] {
            assert_eq!(actor.to_string(), words);
        }
        assert_eq!(in_words("moon", "7"), "moon 7");
    }

    #[test]
    fn a_detail_is_bounded() {
        let long = "ä".repeat(2 * DETAIL);
        let entry = Entry::done(&Actor::Node, Action::Start, long);
        assert_eq!(entry.detail.chars().count(), DETAIL + 1);
        let failed: Result<(), _> = Err("no room");
        let entry = Entry::ended(&Actor::Node, Action::Import, "/d", &failed);
        assert_eq!(
            (entry.outcome, entry.detail.as_str()),
            (Outcome::Failed, "/d: no room")
        );
    }
}
