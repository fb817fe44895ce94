//! Keys that sign tokens, and a node's configuration that points at a local issuer. Tokens are put together by hand, so
//! that what is verified was not made by the library that verifies it.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::clock::{Clock as _, ManualClock};
use crate::config::{self, SecretText};
use crate::service::outbound::Timeouts;
use crate::service::outbound::testing::{Answer, LocalServer};

pub(super) const BOT_TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
pub(super) const JWKS: &str = "/jwks.json";

/// A key pair of an issuer's.
pub(super) enum Signer {
    Rs256(RsaKeyPair),
    Es256(EcdsaKeyPair),
}

/// The issuer's RSA key, and one it never publishes. Making one takes long, so the tests share them.
pub(super) static RSA: LazyLock<Signer> = LazyLock::new(Signer::rs256);
pub(super) static OTHER_RSA: LazyLock<Signer> = LazyLock::new(Signer::rs256);

impl Signer {
    fn rs256() -> Self {
        Self::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(super) fn es256() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
        }
    }

    /// The public key as an issuer publishes it.
    pub(super) fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Rs256(pair) => {
                let public = pair.public_key();
                let n = base64url(public.modulus().big_endian_without_leading_zero());
                let e = base64url(public.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "kid": id, "use": "sig", "alg": "RS256", "n": n, "e": e})
            }
            Self::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                let (x, y) = (base64url(x), base64url(y));
                json!({"kty": "EC", "crv": "P-256", "kid": id, "x": x, "y": y})
            }
        }
    }

    pub(super) fn sign(&self, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature)
                    .unwrap();
                signature
            }
            Self::Es256(pair) => pair.sign(&random, text).unwrap().as_ref().to_vec(),
        }
    }

    /// A token signed with this key.
    pub(super) fn token(&self, id: &str, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "typ": "JWT", "kid": id});
        self.token_with_header(&header, claims)
    }

    /// The same with any header.
    pub(super) fn token_with_header(&self, header: &Value, claims: &Value) -> String {
        let text = unsigned(header, claims);
        let signature = base64url(&self.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }
}

pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Header and claims without a signature.
pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    let header = base64url(header.to_string().as_bytes());
    format!("{header}.{}", base64url(claims.to_string().as_bytes()))
}

/// A key set as an issuer publishes it.
pub(super) fn key_set(keys: &[Value]) -> Answer {
    Answer::json(&json!({ "keys": keys }))
}

/// `claims` with some of them changed; null takes one away.
pub(super) fn with(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
    }
    claims
}

/// A local issuer, a clock to move by hand, and what providers are built with.
pub(super) struct World {
    pub(super) server: LocalServer,
    pub(super) clock: Arc<ManualClock>,
    pub(super) tools: Tools,
}

impl World {
    /// An issuer that publishes nothing yet.
    pub(super) async fn new() -> Self {
        Self::with_timeouts(Timeouts::default()).await
    }

    /// The same, given up on after 200 ms.
    pub(super) async fn impatient() -> Self {
        let limit = Duration::from_millis(200);
        Self::with_timeouts(Timeouts {
            connect: limit,
            total: limit,
        })
        .await
    }

    async fn with_timeouts(timeouts: Timeouts) -> Self {
        let clock = ManualClock::shared();
        Self {
            server: LocalServer::start().await,
            tools: Tools {
                clock: clock.clone(),
                outbound: Outbound::new(timeouts).unwrap(),
            },
            clock,
        }
    }

    /// Seconds since the Unix epoch, `by` seconds from now.
    pub(super) fn seconds(&self, by: i64) -> i64 {
        self.clock.now().as_seconds() + by
    }

    /// The claims of a good Google token.
    pub(super) fn google_claims(&self) -> Value {
        json!({
            "iss": "https://accounts.google.com",
            "aud": "google-client",
            "azp": "google-mobile-client",
            "sub": "1234567890",
            "email": "someone@example.com",
            "email_verified": true,
            "iat": self.seconds(-10),
            "exp": self.seconds(3600),
        })
    }

    /// A configuration whose every address is the local server.
    pub(super) fn config(&self) -> config::Identity {
        config::Identity {
            google: config::Google {
                client_id: "google-client".into(),
                issuers: vec![
                    "https://accounts.google.com".into(),
                    "https://oauth2.googleapis.com".into(),
                    "accounts.google.com".into(),
                ],
                jwks_url: self.server.url(JWKS),
            },
            auth0: config::Auth0 {
                domain: "auth0.example.com".into(),
                client_id: "auth0-client".into(),
                jwks_url: self.server.url(JWKS),
            },
            x_user_url: self.server.url("/x/me"),
            discord_user_url: self.server.url("/discord/me"),
            telegram_bot_token: Some(SecretText::new(BOT_TOKEN.into())),
            oidc: Vec::new(),
        }
    }

    pub(super) fn identities(&self, config: &config::Identity) -> Identities {
        Identities::new(config, self.clock.clone(), self.tools.outbound.clone()).unwrap()
    }
}

/// The reason of a rejection.
pub(super) fn rejection<T: fmt::Debug>(outcome: Result<T, IdentityError>) -> String {
    match outcome {
        Err(IdentityError::Rejected { reason }) => reason.into_owned(),
        other => panic!("not rejected: {other:?}"),
    }
}

/// The reason why nothing is known.
pub(super) fn unavailability<T: fmt::Debug>(outcome: Result<T, IdentityError>) -> String {
    match outcome {
        Err(IdentityError::Unavailable { reason }) => reason,
        other => panic!("not unavailable: {other:?}"),
    }
}
