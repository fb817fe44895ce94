//! A password's hash: Argon2id (RFC 9106) as a PHC text, which says its own cost, so that it can be raised later without
//! a word about old ones.

use std::fmt;

use argon2::password_hash::phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

use super::AdminError;
use crate::crypto::random;

/// Memory in KiB, passes and lanes: what OWASP's password storage cheat sheet asks of a server at least. The password
/// that is hashed has 100 random bits; the cost is for those that people will choose one day.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// What is kept of a password. Whoever reads it can only guess.
#[derive(Clone)]
pub struct PasswordHash(phc::PasswordHash);

impl PasswordHash {
    /// The hash of `password` under a new random salt.
    ///
    /// # Errors
    /// [`AdminError::Hash`].
    pub fn new(password: &str) -> Result<Self, AdminError> {
        let (memory, passes, lanes) = COST;
        let params = Params::new(memory, passes, lanes, None).map_err(refused)?;
        let salt: [u8; 16] = random().map_err(refused)?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_with_salt(password.as_bytes(), &salt)
            .map(Self)
            .map_err(refused)
    }

    /// Understands a PHC text; `None` when it is none, or holds no whole hash.
    pub fn parse(text: &str) -> Option<Self> {
        let hash = phc::PasswordHash::new(text).ok()?;
        (hash.salt.is_some() && hash.hash.is_some()).then_some(Self(hash))
    }

    /// Whether it was made of `password`. It takes as long whether it was or not: the hash is computed in any case, and
    /// compared in constant time.
    ///
    /// # Errors
    /// [`AdminError::Hash`] when it cannot be computed, as with a cost that is none.
    pub fn is_of(&self, password: &str) -> Result<bool, AdminError> {
        match Argon2::default().verify_password(password.as_bytes(), &self.0) {
            Ok(()) => Ok(true),
            Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(refused(error)),
        }
    }
}

fn refused(error: impl fmt::Display) -> AdminError {
    AdminError::Hash(error.to_string())
}

/// As a PHC text.
impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_password_and_no_other() {
        let hash = PasswordHash::new("a b").unwrap();
        let text = hash.to_string();
        assert!(
            text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{text}"
        );
        let again = PasswordHash::parse(&text).unwrap();
        for (given, right) in [("a b", true), ("a b ", false), ("", false), ("A b", false)] {
            assert_eq!(again.is_of(given).unwrap(), right, "{given}");
        }
        assert_ne!(PasswordHash::new("a b").unwrap().to_string(), text);
        assert!(!format!("{hash:?}").contains("argon2"));
    }
}
