//! The rules for an ID token (OpenID Connect Core, section 3.1.3.7; RFC 7519; RFC 8725).
//!
//! `jsonwebtoken` checks the shape and the signature. The claims are checked here: the library would ask the
//! system for the time where this node has one clock, and it lets a token pass whose `iss` is absent.

#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde_json::{Map, Value};

use crate::clock::{SharedClock, Timestamp};

use super::jwks::{Jwks, Source};
use super::key_set::{VerificationKey, Wanted};
use super::{IdentityError, Tools};

/// How far the issuer's clock and this node's may differ: a token is good for this long after its `exp` and
/// before its `nbf`.
const LEEWAY: Duration = Duration::from_secs(10);

/// What an ID token of an issuer must fulfil.
pub(super) struct IdTokens {
    keys: Jwks,
    issuers: Vec<String>,
    audience: String,
    algorithms: &'static [Algorithm],
    clock: SharedClock,
}

/// What is asked of the tokens of one issuer.
pub(super) struct Rules {
    /// Where the issuer's keys are.
    pub(super) source: Source,
    /// The texts of `iss` that are accepted.
    pub(super) issuers: Vec<String>,
    /// The `aud` that a token must name.
    pub(super) audience: String,
    /// The algorithms accepted, as far as the key allows them.
    pub(super) algorithms: &'static [Algorithm],
}

impl IdTokens {
    pub(super) fn new(rules: Rules, tools: &Tools) -> Self {
        Self {
            keys: Jwks::new(rules.source, tools),
            issuers: rules.issuers,
            audience: rules.audience,
            algorithms: rules.algorithms,
            clock: tools.clock.clone(),
        }
    }

    /// The claims of a token that fulfils the rules.
    pub(super) async fn verify(&self, token: &str) -> Result<Claims, IdentityError> {
        let header = self.header(token)?;
        let wanted = Wanted {
            id: header.kid.as_deref(),
            algorithm: header.alg,
        };
        let key = self.keys.key(wanted).await?;
        let claims = signed_claims(token, &key, header.alg)?;
        self.check(&claims)?;
        Ok(claims)
    }

    fn header(&self, token: &str) -> Result<Header, IdentityError> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| {
            IdentityError::rejected(match error.kind() {
                ErrorKind::InvalidToken => "it is not a JWT",
                _ => "its header is not that of a JWT, or names an algorithm that is not accepted",
            })
        })?;
        if !self.algorithms.contains(&header.alg) {
            return Err(IdentityError::rejected(
                "its header names an algorithm that is not accepted",
            ));
        }
        // RFC 7515 section 4.1.11: what must be understood and is not, refuses the token.
        if header.crit.is_some() {
            return Err(IdentityError::rejected("its header demands an extension"));
        }
        // Access and logout tokens of the same issuer say so here (RFC 8725 section 3.11).
        let is_jwt = |kind: &str| kind.eq_ignore_ascii_case("JWT");
        if !header.typ.as_deref().is_none_or(is_jwt) {
            return Err(IdentityError::rejected(
                "it is another kind of token than an ID token",
            ));
        }
        Ok(header)
    }

    fn check(&self, claims: &Claims) -> Result<(), IdentityError> {
        let now = self.clock.now();
        let expires = claims
            .time("exp")?
            .ok_or_else(|| IdentityError::rejected("its claim exp is missing"))?;
        if now >= expires.plus(LEEWAY) {
            return Err(IdentityError::rejected("it has expired"));
        }
        let begins = claims.time("nbf")?;
        if begins.is_some_and(|begins| now.plus(LEEWAY) < begins) {
            return Err(IdentityError::rejected("it is not valid yet"));
        }
        let issuer = claims.text("iss")?;
        if !self.issuers.iter().any(|accepted| accepted == issuer) {
            return Err(IdentityError::rejected("it comes from another issuer"));
        }
        self.check_audience(claims)
    }

    fn check_audience(&self, claims: &Claims) -> Result<(), IdentityError> {
        let is_ours = |value: &Value| value.as_str() == Some(&self.audience);
        let ours = match claims.0.get("aud") {
            None | Some(Value::Null) => {
                return Err(IdentityError::rejected("its claim aud is missing"));
            }
            // With several audiences the token must have been issued to this one (`azp`). With one, `azp` may be
            // another client of the same project, as Google's mobile clients are.
            Some(Value::Array(several)) if several.len() > 1 => {
                several.iter().any(is_ours) && claims.0.get("azp").is_some_and(is_ours)
            }
            Some(Value::Array(one)) => one.iter().any(is_ours),
            Some(one) => is_ours(one),
        };
        if ours {
            Ok(())
        } else {
            Err(IdentityError::rejected("it is meant for another audience"))
        }
    }
}

/// Verifies the signature and nothing else.
fn signed_claims(
    token: &str,
    key: &VerificationKey,
    algorithm: Algorithm,
) -> Result<Claims, IdentityError> {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    match jsonwebtoken::decode::<Map<String, Value>>(token, &key.decoding, &validation) {
        Ok(decoded) => Ok(Claims(decoded.claims)),
        Err(error) => Err(IdentityError::rejected(match error.kind() {
            ErrorKind::InvalidSignature => "its signature is wrong",
            _ => "its signature or its claims cannot be read",
        })),
    }
}

/// The claims of a token whose signature is good.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// A claim that must be there as a text that is not empty.
    pub(super) fn text(&self, name: &str) -> Result<&str, IdentityError> {
        match self.0.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            None | Some(Value::Null | Value::String(_)) => Err(IdentityError::rejected(format!(
                "its claim {name} is missing"
            ))),
            Some(_) => Err(IdentityError::rejected(format!(
                "its claim {name} is not a text"
            ))),
        }
    }

    /// The email address, which must be there, and which the issuer must have verified. Some issuers write
    /// `email_verified` as a text.
    pub(super) fn verified_email(&self) -> Result<&str, IdentityError> {
        let email = self.text("email")?;
        match self.0.get("email_verified") {
            Some(Value::Bool(true)) => Ok(email),
            Some(Value::String(text)) if text == "true" => Ok(email),
            _ => Err(IdentityError::rejected(
                "its email address is not a verified one",
            )),
        }
    }

    /// A claim that is a NumericDate (RFC 7519 section 2), fractions included, when it is there.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, IdentityError> {
        let number = match self.0.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value,
        };
        if let Some(seconds) = number.as_i64() {
            return Ok(Some(Timestamp::from_millis(seconds.saturating_mul(1000))));
        }
        number
            .as_f64()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(|since_epoch| Some(Timestamp::from_millis(0).plus(since_epoch)))
            .ok_or_else(|| IdentityError::rejected(format!("its claim {name} is not a time")))
    }
}
