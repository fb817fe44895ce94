//! What turns the Google users of the suite's first generation into those whom today's clients name.

use std::collections::HashMap;
use std::path::Path;

use super::OkoError;
use super::rows::User;
use crate::identity::{AuthType, DEFAULT_AUTH_TYPE, UserId};

/// Email addresses and the `sub` that Google gives their owners in ID tokens.
#[derive(Clone, Debug, Default)]
pub struct Subjects(HashMap<String, String>);

impl Subjects {
    /// Reads lines of `address,sub`.
    ///
    /// # Errors
    /// [`OkoError::Io`], [`OkoError::Subjects`].
    pub fn read(path: &Path) -> Result<Self, OkoError> {
        let text = std::fs::read_to_string(path).map_err(|error| OkoError::io(path, error))?;
        Self::parse(&text).map_err(|line| OkoError::Subjects {
            path: path.to_owned(),
            line,
        })
    }

    /// The number of the first line that is wrong comes back in its place.
    fn parse(text: &str) -> Result<Self, usize> {
        let mut subjects = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let digits = |sub: &str| !sub.is_empty() && sub.bytes().all(|b| b.is_ascii_digit());
            match line.trim().rsplit_once(',') {
                Some((address, sub)) if address.contains('@') && digits(sub.trim()) => {
                    subjects.insert(address.trim().to_owned(), sub.trim().to_owned());
                }
                _ => return Err(index.saturating_add(1)),
            }
        }
        Ok(Self(subjects))
    }

    /// Gives a user the name `google_<sub>` when his address is in the list. True: he is known by his address alone.
    pub(super) fn apply(&self, user: &mut User) -> bool {
        let identity = &user.identity;
        let google = identity.auth_type().as_str() == DEFAULT_AUTH_TYPE;
        if !google || identity.identifier().starts_with("google_") {
            return false;
        }
        let sub = self.0.get(identity.identifier());
        let named = sub.and_then(|sub| {
            UserId::new(
                AuthType::from_stored(DEFAULT_AUTH_TYPE),
                format!("google_{sub}"),
            )
            .ok()
        });
        let Some(named) = named else {
            return true;
        };
        user.identity = named;
        false
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::oko::Micros;

    #[test]
    fn an_address_becomes_the_name_that_clients_show() {
        let subjects = Subjects::parse("a@example.com, 117\n\nb@example.com,118\n").unwrap();
        for (auth_type, before, after, unnamed) in [
            ("google", "a@example.com", "google_117", false),
            ("google", "A@example.com", "A@example.com", true),
            ("google", "google_5", "google_5", false),
            ("auth0", "a@example.com", "a@example.com", false),
        ] {
            let mut user = User {
                user_id: Uuid::nil(),
                identity: UserId::new(AuthType::from_stored(auth_type), before).unwrap(),
                status: "active".into(),
                created_at: Micros(0),
                updated_at: Micros(0),
                aux: None,
            };
            assert_eq!(subjects.apply(&mut user), unnamed, "{auth_type} {before}");
            assert_eq!(user.identity.identifier(), after);
        }
        assert_eq!(Subjects::parse("a@example.com,117\nb").unwrap_err(), 2);
        assert_eq!(Subjects::parse("a@example.com,x").unwrap_err(), 1);
    }
}
