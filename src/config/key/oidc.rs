//! The fields of `[[identity.oidc]]`.

use super::table::key;
use super::{Key, Kind};

/// The fields of one `[[identity.oidc]]`; `path` is the field's name alone.
pub(crate) const OIDC_FIELDS: &[Key] = &[
    key("name", Kind::Text, None, "The auth_type that callers send."),
    key(
        "issuer",
        Kind::Text,
        None,
        "The iss a token must carry, to the letter.",
    ),
    key("audience", Kind::Text, None, "The aud a token must name."),
    key(
        "claim",
        Kind::Text,
        Some("sub"),
        "The claim that identifies the user.",
    ),
    key(
        "prefix",
        Kind::Text,
        None,
        "Put before the claim's text to form the stored user identifier; <name>_ when absent.",
    ),
    key(
        "jwks_url",
        Kind::Text,
        None,
        "Where the issuer publishes its keys; discovered when absent.",
    ),
];
