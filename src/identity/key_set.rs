//! An issuer's published keys (RFC 7517), reduced to those that can verify a token.
//!
//! What a key may be used for is read from the key and never from a token: a token's header only picks among what the key
//! allows. So neither `none` nor an HMAC keyed with a public key has a way in: symmetric keys are not taken
//! into the set, and no algorithm but a signature is ever listed.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Every algorithm that can be verified.
pub(super) const ANY_SIGNATURE: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// A public key and what it may verify.
pub(super) struct VerificationKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

impl VerificationKey {
    /// `None` for a key that verifies nothing this node understands.
    fn new(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        if common
            .public_key_use
            .as_ref()
            .is_some_and(|purpose| *purpose != PublicKeyUse::Signature)
        {
            return None;
        }
        if common
            .key_operations
            .as_ref()
            .is_some_and(|operations| !operations.contains(&KeyOperations::Verify))
        {
            return None;
        }
        let mut algorithms = suited(&jwk.algorithm).to_vec();
        if let Some(stated) = common.key_algorithm {
            let stated = Algorithm::try_from(stated).ok()?;
            algorithms.retain(|algorithm| *algorithm == stated);
        }
        if algorithms.is_empty() {
            return None;
        }
        Some(Self {
            id: common.key_id.clone(),
            algorithms,
            decoding: DecodingKey::from_jwk(jwk).ok()?,
        })
    }

    /// Whether a signature by this algorithm may be verified with the key.
    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

/// The algorithms that a kind of key is made for (RFC 7518 section 3, RFC 8037 section 3).
fn suited(parameters: &AlgorithmParameters) -> &'static [Algorithm] {
    match parameters {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            &[Algorithm::ES256]
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
            &[Algorithm::ES384]
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        _ => &[],
    }
}

/// The usable keys of an issuer.
pub(super) struct KeySet(Vec<Arc<VerificationKey>>);

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// What a token's header asks of a key set.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The header's `kid`.
    pub(super) id: Option<&'a str>,
    /// The header's `alg`.
    pub(super) algorithm: Algorithm,
}

/// What a key set says to that.
pub(super) enum Found {
    /// This key.
    Key(Arc<VerificationKey>),
    /// No such key: the issuer may have made it since.
    Unknown,
    /// The key is there, but it may not verify that algorithm.
    WrongAlgorithm,
    /// The token names no key, and there are several.
    Ambiguous,
}

impl KeySet {
    /// Reads a JWK set (RFC 7517 section 5). A key that is not understood is left out, as the RFC advises; `None`
    /// when it is no such document or none of its keys is usable.
    pub(super) fn parse(document: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(document).ok()?;
        let keys: Vec<_> = document
            .keys
            .into_iter()
            .filter_map(|key| VerificationKey::new(&serde_json::from_value(key).ok()?))
            .map(Arc::new)
            .collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The key for a token. A token without `kid` is understood only where there is one key to choose from
    /// (OpenID Connect Core, section 10.1).
    pub(super) fn find(&self, wanted: Wanted<'_>) -> Found {
        let mut named: Vec<_> = match wanted.id {
            Some(_) => self
                .0
                .iter()
                .filter(|key| key.id.as_deref() == wanted.id)
                .collect(),
            None => self.0.iter().collect(),
        };
        if wanted.id.is_none() && named.len() > 1 {
            return Found::Ambiguous;
        }
        if named.is_empty() {
            return Found::Unknown;
        }
        // One id may stand for several kinds of key (RFC 7517 section 4.5).
        named.retain(|key| key.allows(wanted.algorithm));
        match named.first() {
            Some(key) => Found::Key(Arc::clone(key)),
            None => Found::WrongAlgorithm,
        }
    }
}
