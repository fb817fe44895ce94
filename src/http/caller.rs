//! Who makes a call: bearer token, provider, and the commit-reveal session it may belong to.

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::Bytes;
use http::HeaderValue;
use serde::de::DeserializeOwned;

use super::Api;
use super::body;
use super::error::ApiError;
use super::wire::Credentials;
use crate::config::CommitRevealMode;
use crate::identity::{DEFAULT_AUTH_TYPE, UserId};
use crate::shares::{ApiName, Reveal, RevealedCall};

/// A call, before anything in it is believed.
pub(super) struct Call {
    /// The `Authorization` header.
    pub(super) authorization: Option<HeaderValue>,
    /// What follows the question mark of the request's target.
    pub(super) query: String,
    /// The whole body.
    pub(super) body: Bytes,
    /// Where the call comes from.
    pub(super) address: IpAddr,
}

/// Where a request comes from, on its way through the routes.
#[derive(Clone, Copy, Debug)]
pub(super) struct From(pub(super) IpAddr);

/// A verified caller.
pub(super) struct Caller {
    pub(super) user: UserId,
    pub(super) reveal: Option<Reveal>,
}

impl Call {
    /// The caller, verified: first the session (v2), then the token, as api.md orders it. The call's own fields
    /// are looked at only afterwards, so that a stranger learns nothing about them.
    pub(super) async fn caller(
        &self,
        api: &Api,
        name: Option<ApiName>,
    ) -> Result<Caller, ApiError> {
        let credentials: Credentials = self.parse()?;
        let token = self.authorization.as_ref().and_then(bearer);
        let reveal = match name {
            Some(name) => reveal(api, &credentials, token.as_deref(), name).await?,
            // The first generation of calls knows no sessions: where sessions are required it would be a way around.
            None if api.commit_reveal == CommitRevealMode::Required => {
                return Err(ApiError::invalid_request(
                    "this node requires commit-reveal, which the v2 calls have",
                ));
            }
            None => None,
        };
        let token = token
            .ok_or_else(|| ApiError::unauthorized("Authorization: Bearer TOKEN is required"))?;
        let auth_type = api
            .identities
            .auth_type(credentials.auth_type.as_deref())
            .ok_or_else(|| ApiError::unauthorized("this auth_type is not known here"))?;
        let user = api.identities.verify(&auth_type, &token).await?;
        Ok(Caller { user, reveal })
    }

    /// The body as a `T`.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        body::parse(&self.body)
    }
}

/// The provider and user that a call without a token names.
pub(super) fn named_user(
    api: &Api,
    auth_type: Option<&str>,
    identifier: &str,
) -> Result<UserId, ApiError> {
    let auth_type = api
        .identities
        .auth_type(auth_type)
        .ok_or_else(|| ApiError::invalid_request("this auth_type is not known here"))?;
    UserId::new(auth_type, identifier)
        .map_err(|error| ApiError::invalid_request(format!("user_auth_id: {error}")))
}

async fn reveal(
    api: &Api,
    credentials: &Credentials,
    token: Option<&str>,
    name: ApiName,
) -> Result<Option<Reveal>, ApiError> {
    let (session_id, signature) = match (&credentials.cr_session_id, &credentials.cr_signature) {
        _ if api.commit_reveal == CommitRevealMode::Off => return Ok(None),
        (None, None) if api.commit_reveal == CommitRevealMode::Optional => return Ok(None),
        (Some(session_id), Some(signature)) => (session_id, signature),
        _ => {
            return Err(ApiError::invalid_request(
                "cr_session_id and cr_signature are required together",
            ));
        }
    };
    let mut bytes = [0; 64];
    let well_formed = hex::decode_to_slice(signature, &mut bytes).is_ok();
    let auth_type = credentials.auth_type.as_deref();
    let call = RevealedCall {
        session_id,
        signature: well_formed.then_some(&bytes),
        auth_type: auth_type.unwrap_or(DEFAULT_AUTH_TYPE),
        token,
        api: name,
    };
    Ok(Some(api.sessions.verify(call).await?))
}

/// The token of `Bearer TOKEN`, the scheme in any case (RFC 9110, section 11.1).
///
/// A telegram token is JSON and may hold a name in any script. Clients written for Node.js put it into the header as
/// Latin-1, others as UTF-8; what is valid UTF-8 is taken as that.
pub(super) fn bearer(header: &HeaderValue) -> Option<Cow<'_, str>> {
    let text = match std::str::from_utf8(header.as_bytes()) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(header.as_bytes().iter().copied().map(char::from).collect()),
    };
    match text {
        Cow::Borrowed(text) => token(text).map(Cow::Borrowed),
        Cow::Owned(text) => token(&text).map(|token| Cow::Owned(token.to_owned())),
    }
}

fn token(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_is_read_in_any_case() {
        let read = |text: &str| {
            bearer(&HeaderValue::from_bytes(text.as_bytes()).unwrap()).map(Cow::into_owned)
        };
        assert_eq!(read("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(read("bEARER   abc ").as_deref(), Some("abc"));
        for malformed in ["abc", "Basic abc", "Bearer", "Bearer ", "Bearerabc"] {
            assert_eq!(read(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn names_come_as_utf_8_or_latin_1() {
        let read =
            |bytes: &[u8]| bearer(&HeaderValue::from_bytes(bytes).unwrap()).map(Cow::into_owned);
        assert_eq!(
            read("Bearer Zoë Жук".as_bytes()).as_deref(),
            Some("Zoë Жук")
        );
        assert_eq!(read(b"Bearer Zo\xEB").as_deref(), Some("Zoë"));
    }
}
