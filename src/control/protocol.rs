//! What is said over the socket.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use uuid::Uuid;

use crate::backup::{Phase, RestoreRequest, Step};

/// Bytes of a request's line at most: three paths, each of at most 4,096 bytes, with every byte escaped.
pub(super) const REQUEST_BYTES: u64 = 96 * 1024;
/// Bytes of an event's line at most: a history of some ten thousand backups.
pub(super) const EVENT_BYTES: u64 = 16 << 20;

/// What a client asks: the one line that it sends. Paths are absolute, because the node's working folder is another
/// one than the client's.
///
/// A field that this program does not know makes the request unknown: an older node must not overlook that only a
/// dry run was wanted. (That is why requests without fields are written with braces: serde looks into those alone.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How the node is: [`crate::desk::NodeStatus`].
    Status {},
    /// Make a backup: [`crate::desk::BackupEntry`].
    BackupCreate {},
    /// The history, newest first: a list of [`crate::desk::BackupEntry`].
    BackupList {
        /// Of the last so many days; all of it when absent.
        days: Option<u32>,
    },
    /// Verify a backup again: [`crate::desk::VerifiedFile`].
    BackupVerify {
        /// The backup's file.
        path: PathBuf,
        /// The encryption secret of that time, when it was another one than today's.
        secret_file: Option<PathBuf>,
        /// The age identity that opens an encrypted backup.
        age_identity: Option<PathBuf>,
    },
    /// Delete a backup: [`crate::desk::BackupEntry`].
    BackupDelete {
        /// Its id in the history.
        id: Uuid,
    },
    /// Delete what retention no longer keeps: a list of [`crate::desk::BackupEntry`].
    BackupPrune {},
    /// Make a new key: [`crate::desk::NewKey`].
    KeyRotate {
        /// Which.
        key: RotatedKey,
    },
    /// Fill the replica anew: [`crate::desk::ReplicaState`].
    ReplicaResync {
        /// Give up what only the replica has.
        discard: bool,
    },
    /// Compare the replica: [`crate::desk::ReplicaCompared`].
    ReplicaVerify {},
    /// Replace the node's data by a backup: [`crate::desk::Restored`].
    Restore {
        /// The backup's file.
        path: PathBuf,
        /// The encryption secret of that time, when it was another one than today's.
        secret_file: Option<PathBuf>,
        /// The age identity that opens an encrypted backup.
        age_identity: Option<PathBuf>,
        /// Verify and compare, and change nothing.
        dry_run: bool,
    },
    /// Who is logged in to the admin page: a list of [`super::SessionItem`].
    AdminSessions {},
    /// End a session: [`super::AccessChanged`].
    AdminRevoke {
        /// Which one; all of them when absent.
        id: Option<String>,
    },
    /// Whether a command may set the password: nothing, or a refusal that says who can.
    AdminPasswordCheck {},
    /// Take over the password that was kept in the data folder, and end all sessions: [`super::AccessChanged`].
    AdminPasswordSet {},
    /// Take the second factor away, and end all sessions: [`super::AccessChanged`].
    AdminResetTotp {},
}

/// A key that may be made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RotatedKey {
    /// What seals shares.
    Share,
    /// The node's ed25519 key.
    Node,
}

impl From<RestoreRequest> for Request {
    fn from(request: RestoreRequest) -> Self {
        Self::Restore {
            path: request.path,
            secret_file: request.secret_file,
            age_identity: request.age_identity,
            dry_run: request.dry_run,
        }
    }
}

impl Request {
    /// Understands a line.
    ///
    /// # Errors
    /// A text for whoever sent it.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let request: Self = serde_json::from_slice(line).map_err(|error| {
            let version = crate::VERSION;
            format!("the node (version {version}) does not understand the request: {error}")
        })?;
        if let Some(path) = request.paths().find(|path| !path.is_absolute()) {
            return Err(format!("{}: the path must be absolute", path.display()));
        }
        Ok(request)
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        let named = match self {
            Self::BackupVerify {
                path,
                secret_file,
                age_identity,
            }
            | Self::Restore {
                path,
                secret_file,
                age_identity,
                ..
            } => [Some(path), secret_file.as_ref(), age_identity.as_ref()],
            _ => [None; 3],
        };
        named.into_iter().flatten().map(PathBuf::as_path)
    }
}

/// How far a phase is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseStep {
    /// `copy`, `check`, `open`, `encrypt` or `decrypt`.
    pub phase: String,
    /// Pages, rows or bytes done.
    pub done: u64,
    /// Of how many; 0 when that is not known.
    pub total: u64,
}

impl From<Step> for PhaseStep {
    fn from(step: Step) -> Self {
        let phase = match step.phase {
            Phase::Copy => "copy",
            Phase::Check => "check",
            Phase::Open => "open",
            Phase::Encrypt => "encrypt",
            Phase::Decrypt => "decrypt",
        };
        Self {
            phase: phase.to_owned(),
            done: step.done,
            total: step.total,
        }
    }
}

/// What the node says: any number of the first two, then one of the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The work is so far. Steps that follow each other quickly are told now and then.
    Progress(PhaseStep),
    /// The work goes on and has nothing to tell: it comes every few seconds, so that silence means that the node hangs.
    Alive,
    /// Done.
    Done {
        /// What [`Request`] says of it.
        answer: Value,
    },
    /// Not done.
    Failed {
        /// Why, for people.
        message: String,
    },
}

/// Reads a line of at most `limit` bytes. `None`: the other side ended before one was complete.
pub(super) async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    limit: u64,
) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.take(limit).read_until(b'\n', &mut line).await?;
    if line.pop_if(|last| *last == b'\n').is_some() {
        return Ok(Some(line));
    }
    if u64::try_from(line.len()).is_ok_and(|length| length >= limit) {
        let text = format!("a line of more than {limit} bytes");
        return Err(Error::new(ErrorKind::InvalidData, text));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn requests() -> Vec<Request> {
        let path = PathBuf::from("/b/a \"backup\"\n.db");
        vec![
            Request::Status {},
            Request::BackupCreate {},
            Request::BackupList { days: None },
            Request::BackupList { days: Some(7) },
            Request::BackupVerify {
                path: path.clone(),
                secret_file: Some("/s".into()),
                age_identity: None,
            },
            Request::BackupPrune {},
            Request::ReplicaResync { discard: true },
            Request::ReplicaVerify {},
            Request::Restore {
                path,
                secret_file: None,
                age_identity: Some("/i".into()),
                dry_run: true,
            },
        ]
    }

    #[test]
    fn a_request_is_one_line_and_comes_back_as_it_was() {
        for request in requests() {
            let line = serde_json::to_string(&request).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(Request::parse(line.as_bytes()).unwrap(), request);
        }
    }

    #[test]
    fn events_come_back_as_they_were() {
        let events = [
            Event::Progress(PhaseStep {
                phase: "open".into(),
                done: 3,
                total: 0,
            }),
            Event::Alive,
            Event::Done {
                answer: json!([{"event": "failed"}]),
            },
            Event::Failed {
                message: "no\nroom".into(),
            },
        ];
        for event in events {
            let line = serde_json::to_string(&event).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
        }
    }

    #[test]
    fn what_a_newer_client_adds_is_not_overlooked() {
        for line in [
            r#"{"ask":"restore","path":"/b","dry_run":true,"only_users":true}"#,
            r#"{"ask":"restore","path":"/b"}"#,
            r#"{"ask":"backup-create","pretend":true}"#,
            r#"{"ask":"backup-list","days":-1}"#,
            r#"{"ask":"format-disk"}"#,
            "{}",
            "GET / HTTP/1.1\r",
            "",
        ] {
            let error = Request::parse(line.as_bytes()).unwrap_err();
            assert!(error.contains("does not understand"), "{line}: {error}");
        }
    }

    #[test]
    fn paths_are_absolute() {
        for line in [
            r#"{"ask":"restore","path":"b","dry_run":true}"#,
            r#"{"ask":"backup-verify","path":"/b","secret_file":"s"}"#,
        ] {
            let error = Request::parse(line.as_bytes()).unwrap_err();
            assert!(error.contains("must be absolute"), "{error}");
        }
    }

    #[tokio::test]
    async fn lines_end_and_are_bounded() {
        let mut input: &[u8] = b"one\n\ntoo long\nrest";
        assert_eq!(read_line(&mut input, 4).await.unwrap().unwrap(), b"one");
        assert_eq!(read_line(&mut input, 4).await.unwrap().unwrap(), b"");
        let error = read_line(&mut input, 4).await.unwrap_err();
        assert!(error.to_string().contains("more than 4 bytes"), "{error}");
        let mut input: &[u8] = b"no end";
        assert_eq!(read_line(&mut input, 99).await.unwrap(), None);
    }
}
