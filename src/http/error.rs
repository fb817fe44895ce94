//! The one place where errors become answers: a code and text for the client, another text for the log.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use http::StatusCode;
use utoipa::ToSchema;

use crate::backup::BackupError;
use crate::identity::IdentityError;
use crate::shares::{SessionError, ShareError, ValueError};
use crate::store::StoreError;

/// The codes of api.md, "Envelope". Clients act on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Code {
    UnknownError,
    InvalidRequest,
    Unauthorized,
    UserNotFound,
    WalletNotFound,
    KeyShareNotFound,
    DuplicatePublicKey,
    PublicKeyInvalid,
    ShareInvalid,
    CurveTypeNotSupported,
    ReshareFailed,
    RateLimitExceeded,
    SessionNotFound,
    SessionAlreadyExists,
    SessionExpired,
    InvalidSignature,
    PgDumpFailed,
    PgRestoreFailed,
    InvalidDays,
    InvalidDumpPath,
    InvalidDumpFile,
    DumpFileAccessError,
    DumpFileNotFound,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::UnknownError
            | Self::ReshareFailed
            | Self::PgDumpFailed
            | Self::PgRestoreFailed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::InvalidRequest
            | Self::PublicKeyInvalid
            | Self::ShareInvalid
            | Self::CurveTypeNotSupported
            | Self::InvalidSignature
            | Self::InvalidDays
            | Self::InvalidDumpPath
            | Self::InvalidDumpFile
            | Self::DumpFileAccessError
            | Self::DumpFileNotFound => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::UserNotFound
            | Self::WalletNotFound
            | Self::KeyShareNotFound
            | Self::SessionNotFound => StatusCode::NOT_FOUND,
            Self::DuplicatePublicKey | Self::SessionAlreadyExists => StatusCode::CONFLICT,
            Self::SessionExpired => StatusCode::GONE,
            Self::RateLimitExceeded => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

/// A refusal as the client sees it.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) code: Code,
    pub(super) message: Cow<'static, str>,
}

impl ApiError {
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::with_status(code.status(), code, message)
    }

    /// For the refusals of HTTP itself, whose status says more than their code.
    pub(super) fn with_status(
        status: StatusCode,
        code: Code,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub(super) fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    pub(super) fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unauthorized, message)
    }

    /// What will be possible in a moment.
    pub(super) fn later(message: &'static str) -> Self {
        Self::with_status(StatusCode::SERVICE_UNAVAILABLE, Code::UnknownError, message)
    }

    /// Trouble inside the node: never told apart for the client, and never a "not found", which would make wallets
    /// give up.
    pub(super) fn internal() -> Self {
        Self::new(Code::UnknownError, INTERNAL)
    }

    /// A backup that was not made.
    pub(super) fn dump_failed(error: BackupError) -> Self {
        tracing::error!(%error, "a backup that a request asked for was not made");
        Self::new(Code::PgDumpFailed, told(error))
    }

    /// A restore that did not happen. `file` is the backup's, once it was found.
    pub(super) fn restore_failed(error: BackupError, file: Option<&Path>) -> Self {
        let code = match &error {
            BackupError::Outside { .. } | BackupError::Symlink { .. } => Code::InvalidDumpPath,
            BackupError::NotFound { .. } => Code::DumpFileNotFound,
            BackupError::NotAFile { .. } => Code::InvalidDumpFile,
            BackupError::Io { path, .. } if file.is_none_or(|file| file == path) => {
                Code::DumpFileAccessError
            }
            _ => Code::PgRestoreFailed,
        };
        if code == Code::PgRestoreFailed {
            tracing::error!(%error, "a restore that a request asked for did not happen");
        } else {
            tracing::warn!(%error, "a restore was refused");
        }
        Self::new(code, told(error))
    }
}

const INTERNAL: &str =
    "the node could not do this now; its log says why, under the X-Request-Id of this answer";
const CLOSED: &str =
    "the node's data is being replaced or the node is stopping; try again in a moment";

/// What the operator reads of a failed backup or restore: what is to be done, files by their names alone, and
/// nothing of the database's inside.
fn told(mut error: BackupError) -> Cow<'static, str> {
    if let Some(path) = path_of(&mut error)
        && let Some(name) = path.file_name()
    {
        *path = name.into();
    }
    let text = match error {
        BackupError::Store(StoreError::Closed | StoreError::Paused) => return CLOSED.into(),
        BackupError::Store(_) | BackupError::Keychain(_) | BackupError::Thread(_) => {
            return INTERNAL.into();
        }
        BackupError::Outside { .. } => return "dump_path is outside the backup folder".into(),
        BackupError::Io { path, source } => format!("{}: {}", path.display(), source.kind()),
        BackupError::OtherSecret { path, .. } => format!(
            "{} was made under another encryption secret; `ksnode restore --secret-file` on the node's machine \
             can be told that one",
            path.display()
        ),
        BackupError::Encrypted { path } => format!(
            "{} is encrypted; `ksnode restore --age-identity` on the node's machine can open it",
            path.display()
        ),
        error => error.to_string(),
    };
    text.into()
}

/// The file that an error names. Exhaustive, so that a new error cannot tell strangers about folders by oversight.
fn path_of(error: &mut BackupError) -> Option<&mut PathBuf> {
    match error {
        BackupError::Io { path, .. }
        | BackupError::NotFound { path }
        | BackupError::NotAFile { path }
        | BackupError::Needed { path, .. }
        | BackupError::Symlink { path }
        | BackupError::Outside { path, .. }
        | BackupError::Empty { path }
        | BackupError::NotABackup { path }
        | BackupError::Newer { path, .. }
        | BackupError::OtherNode { path, .. }
        | BackupError::OtherSecret { path, .. }
        | BackupError::Damaged { path, .. }
        | BackupError::Encrypted { path }
        | BackupError::Armored { path }
        | BackupError::Identity { path, .. } => Some(path),
        // The folder of `Space` is the configured one, which the operator has to make room in.
        BackupError::Busy
        | BackupError::Unknown { .. }
        | BackupError::Stopped
        | BackupError::Thread(_)
        | BackupError::Space { .. }
        | BackupError::Recipients(_)
        | BackupError::WayDown { .. }
        | BackupError::NotOpened(_)
        | BackupError::Store(_)
        | BackupError::Keychain(_) => None,
    }
}

impl From<ValueError> for ApiError {
    fn from(error: ValueError) -> Self {
        let code = match error {
            ValueError::PublicKeyLength { .. } => Code::PublicKeyInvalid,
            ValueError::ShareLength { .. } => Code::ShareInvalid,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ShareError> for ApiError {
    fn from(error: ShareError) -> Self {
        let code = match error {
            ShareError::UserNotFound => Code::UserNotFound,
            ShareError::WalletNotFound(_) => Code::WalletNotFound,
            ShareError::KeyShareNotFound(_) => Code::KeyShareNotFound,
            ShareError::NotOwner(_) => Code::Unauthorized,
            ShareError::DuplicatePublicKey(_) => Code::DuplicatePublicKey,
            ShareError::ShareMismatch(_) => Code::ReshareFailed,
            ShareError::Session(error) => return error.into(),
            ShareError::Store(error) => return error.into(),
            ShareError::Crypto(error) => {
                tracing::error!(%error, "a stored value could not be sealed or opened");
                return Self::internal();
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy { waiting } => {
                tracing::warn!(
                    waiting,
                    "a write was refused: the writer's queue is full; is the disk too slow?"
                );
                Self::later("the node is busy; try again in a second")
            }
            // Two stages of one restore; the second is also that of a node that stops.
            error @ (StoreError::Paused | StoreError::Closed) => {
                tracing::warn!(%error, "a request was refused");
                Self::later(CLOSED)
            }
            // The log tells of the outage once; this may be every request.
            StoreError::ReplicaAway => Self::later(
                "the node's second copy cannot be reached, and writes wait for it; try again (the write may have been stored)",
            ),
            // As above.
            StoreError::Unflushed => Self::later(
                "the node's disk did not take a write, and nothing is stored until it does; try again in a moment",
            ),
            error => {
                tracing::error!(%error, "the database failed a request");
                Self::internal()
            }
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        let message = error.to_string();
        match error {
            SessionError::NotFound => Self::new(Code::SessionNotFound, message),
            SessionError::Expired => Self::new(Code::SessionExpired, message),
            SessionError::AlreadyExists => Self::new(Code::SessionAlreadyExists, message),
            SessionError::TokenMissing => Self::unauthorized(message),
            SessionError::MalformedSignature | SessionError::InvalidSignature => {
                Self::new(Code::InvalidSignature, message)
            }
            SessionError::AlreadyCalled(_) => {
                Self::with_status(StatusCode::CONFLICT, Code::InvalidRequest, message)
            }
            SessionError::NotCommitted(_)
            | SessionError::NotAllowed { .. }
            | SessionError::TokenMismatch => Self::invalid_request(message),
        }
    }
}

/// Why a token was refused goes to the log; the client learns that it was.
impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Rejected { .. } => {
                tracing::info!(%error, "a caller was refused");
                Self::unauthorized("the token was not accepted")
            }
            IdentityError::UserIdInvalid { .. } => {
                tracing::info!(%error, "a caller was refused");
                Self::invalid_request(error.to_string())
            }
            IdentityError::Unavailable { .. }
            | IdentityError::UnknownProvider { .. }
            | IdentityError::Configuration { .. } => {
                tracing::error!(%error, "a caller could not be identified");
                Self::internal()
            }
        }
    }
}
