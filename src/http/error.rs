//! The one place where errors become answers: a code and text for the client, another text for the log.

use std::borrow::Cow;

use http::StatusCode;
use utoipa::ToSchema;

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
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::UnknownError | Self::ReshareFailed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::InvalidRequest
            | Self::PublicKeyInvalid
            | Self::ShareInvalid
            | Self::CurveTypeNotSupported
            | Self::InvalidSignature => StatusCode::BAD_REQUEST,
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

    /// Trouble inside the node: never told apart for the client, and never a "not found", which would make wallets
    /// give up.
    pub(super) fn internal() -> Self {
        Self::new(
            Code::UnknownError,
            "the node could not do this now; its log says why, under the X-Request-Id of this answer",
        )
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
        if let StoreError::Busy { waiting } = error {
            tracing::warn!(
                waiting,
                "a write was refused: the writer's queue is full; is the disk too slow?"
            );
            return Self::with_status(
                StatusCode::SERVICE_UNAVAILABLE,
                Code::UnknownError,
                "the node is busy; try again in a second",
            );
        }
        tracing::error!(%error, "the database failed a request");
        Self::internal()
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
            IdentityError::Unavailable { .. } | IdentityError::Configuration { .. } => {
                tracing::error!(%error, "a caller could not be identified");
                Self::internal()
            }
        }
    }
}
