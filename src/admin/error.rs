//! Why a request to the admin page is not answered as it was asked, and with which status it is told.

use std::net::IpAddr;

use http::StatusCode;

use super::route::{LOGIN, ROOT};
use crate::backup::BackupError;
use crate::crypto::CryptoError;
use crate::desk::DeskError;

/// The way on that is open to whoever is logged in, and leads to the login otherwise.
pub(super) const TO_THE_OVERVIEW: (&str, &str) = ("To the overview", ROOT);

/// The title of a refusal that comes before the page: limits, and what is no request that could be read.
pub(super) fn title_of_refusal(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS => "Too many attempts",
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            "That is more than is taken"
        }
        StatusCode::REQUEST_TIMEOUT => "That took too long",
        _ => "This was not understood",
    }
}

/// Why a request is not answered as it was asked. The text is what the administrator reads.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    /// No page, action, job or backup has this path.
    #[error(
        "There is nothing at this address. It may be mistyped, or what stood here is gone: a job is known until newer ones \
         take its place, a backup until it is deleted."
    )]
    NotFound,
    /// The path has other methods.
    #[error(
        "This address answers {0} and nothing else. Open the page that it belongs to, and use what is there."
    )]
    Method(&'static str),
    /// The address is on no list.
    #[error(
        "The admin page is closed to {0}: the node's configuration names the networks that may use it (admin.allow)."
    )]
    Closed(IpAddr),
    /// The connection can be listened to.
    #[error(
        "The admin page is not shown over an unencrypted connection: the password and the session would go over it in \
         clear. Come over https. Behind a proxy, name it in server.trusted_proxies, and have it send \
         X-Forwarded-Proto: https and pass the Host header on. Without TLS, come through a tunnel, as with \
         ssh -L 4201:127.0.0.1:4201, to http://127.0.0.1:4201/admin."
    )]
    Clear,
    /// There is no session, or no more.
    #[error(
        "Your session has ended, or there was none. Nothing was done: log in, and do it again."
    )]
    NoSession,
    /// The form was not sent by a page of ours.
    #[error("{0}")]
    Forged(&'static str),
    /// A field is missing or is nothing that can be used.
    #[error("{0}")]
    Invalid(String),
    /// The desk said no.
    #[error("{0}")]
    Refused(String),
    /// It will be possible in a moment.
    #[error("{0}")]
    Later(&'static str),
    /// Trouble inside the node; the log has the reason.
    #[error("The node could not do this now. Its log says why; try again when that is mended.")]
    Internal,
}

impl PageError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Closed(_) | Self::Clear | Self::Forged(_) => StatusCode::FORBIDDEN,
            Self::NoSession => StatusCode::UNAUTHORIZED,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Refused(_) => StatusCode::CONFLICT,
            Self::Later(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What is wrong, in a few words.
    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::NotFound => "There is nothing here",
            Self::Method(_) => "This address is for something else",
            Self::Closed(_) => "The page is closed to your network",
            Self::Clear => "Come over https",
            Self::NoSession => "You are not logged in",
            Self::Forged(_) => "Nothing was done",
            Self::Invalid(_) => "This was not understood",
            Self::Refused(_) => "This was refused",
            Self::Later(_) => "The node has much to do",
            Self::Internal => "Something went wrong in the node",
        }
    }

    /// Where to go from here: what the link says, and its path. Nowhere, when every page would say the same.
    pub(super) fn way_on(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Closed(_) | Self::Clear => None,
            Self::NoSession => Some(("Log in", LOGIN)),
            _ => Some(TO_THE_OVERVIEW),
        }
    }

    /// Trouble inside the node: `what` and the reason go to the log.
    pub(super) fn internal(what: &str, error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, what, "the admin page could not do what was asked");
        Self::Internal
    }
}

impl From<askama::Error> for PageError {
    fn from(error: askama::Error) -> Self {
        Self::internal("a page could not be written", error)
    }
}

impl From<CryptoError> for PageError {
    fn from(error: CryptoError) -> Self {
        Self::internal("there is no randomness", error)
    }
}

/// The administrator reads the whole reason, as on the command line.
impl From<DeskError> for PageError {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Backup(BackupError::NotFound { .. }) => Self::NotFound,
            error => Self::Refused(error.to_string()),
        }
    }
}
