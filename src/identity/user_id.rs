//! The name of a user as it is stored: a provider and an identifier of the provider's.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::IdentityError;

/// Bytes a user identifier may have: the longest email address (64 + 1 + 255).
pub const MAX_IDENTIFIER_BYTES: usize = 320;

/// One of the ways to log in, e.g. `google`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AuthType(Arc<str>);

impl AuthType {
    /// The way to log in that a stored row names, whether or not it is still configured. What callers name
    /// goes through [`super::Identities::auth_type`].
    pub fn from_stored(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// `Hash` and `Eq` of an `Arc<str>` are those of the text, as `Borrow` demands.
impl Borrow<str> for AuthType {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AuthType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AuthType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthType({})", self.0)
    }
}

/// A user: the provider and the stored identifier (`google_<sub>`, see api.md, "Who is calling"), which has 1 to
/// [`MAX_IDENTIFIER_BYTES`] bytes. `Debug` does not show the identifier.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserId {
    auth_type: AuthType,
    identifier: String,
}

impl UserId {
    /// The user whom `auth_type` knows as `identifier`.
    ///
    /// # Errors
    /// [`IdentityError::UserIdInvalid`] when the identifier is empty or too long.
    pub fn new(auth_type: AuthType, identifier: impl Into<String>) -> Result<Self, IdentityError> {
        let identifier = identifier.into();
        if identifier.is_empty() {
            return Err(IdentityError::UserIdInvalid {
                reason: "must not be empty",
            });
        }
        if identifier.len() > MAX_IDENTIFIER_BYTES {
            return Err(IdentityError::UserIdInvalid {
                reason: "has at most 320 bytes",
            });
        }
        Ok(Self {
            auth_type,
            identifier,
        })
    }

    /// The provider.
    pub fn auth_type(&self) -> &AuthType {
        &self.auth_type
    }

    /// The stored identifier.
    pub fn identifier(&self) -> &str {
        &self.identifier
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({}, redacted)", self.auth_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_has_1_to_320_bytes() {
        let google = AuthType::from_stored("google");
        for (length, fits) in [(0, false), (1, true), (320, true), (321, false)] {
            let made = UserId::new(google.clone(), "a".repeat(length));
            assert_eq!(made.is_ok(), fits, "{length}");
        }
    }

    #[test]
    fn debug_does_not_show_the_identifier() {
        let user = UserId::new(AuthType::from_stored("auth0"), "a@example.com").unwrap();
        assert_eq!(format!("{user:?}"), "UserId(auth0, redacted)");
        assert_eq!(user.identifier(), "a@example.com");
        assert_eq!(user.auth_type().to_string(), "auth0");
    }
}
