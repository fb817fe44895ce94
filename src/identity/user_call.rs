//! Asking a provider whose an opaque access token is.

use serde::de::DeserializeOwned;

use crate::service::outbound::{Endpoint, Outbound, OutboundError};

use super::{IdentityError, Tools};

/// The largest answer read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// A provider's "who am I" call.
pub(super) struct UserCall {
    endpoint: Endpoint,
    outbound: Outbound,
}

impl UserCall {
    pub(super) fn new(endpoint: Endpoint, tools: &Tools) -> Self {
        Self {
            endpoint,
            outbound: tools.outbound.clone(),
        }
    }

    /// What the provider says about the token's user. A refusal of the token is [`IdentityError::Rejected`]; that the
    /// provider is busy, broken or moved says nothing about the token and is [`IdentityError::Unavailable`].
    pub(super) async fn ask<T: DeserializeOwned>(&self, token: &str) -> Result<T, IdentityError> {
        let asked = self
            .outbound
            .get_json(&self.endpoint, Some(token), MAX_ANSWER);
        asked.await.map_err(|error| match &error {
            OutboundError::Status { status, .. } if matches!(status.as_u16(), 400 | 401 | 403) => {
                IdentityError::rejected(error.to_string())
            }
            OutboundError::Request { reason, .. } => IdentityError::rejected(*reason),
            _ => IdentityError::unavailable(error),
        })
    }
}

/// A field that must be there and not empty.
pub(super) fn present<'a>(
    field: Option<&'a str>,
    absent: &'static str,
) -> Result<&'a str, IdentityError> {
    field
        .filter(|text| !text.is_empty())
        .ok_or_else(|| IdentityError::rejected(absent))
}
