//! Doors for fuzzers ([`crate::fuzzing`]): ID tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Claims, signed_claims};
use crate::identity::key_set::{ANY_SIGNATURE, Found, KeySet, Wanted};

/// Public keys of which nobody here has the private ones: an RSA key would do for more algorithms and is slow.
const KEYS: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
{"kty":"EC","crv":"P-256","kid":"1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

/// The header of a token, its signature, and its claims as if that were good.
pub fn id_token(bytes: &[u8]) {
    let Ok(token) = std::str::from_utf8(bytes) else {
        return;
    };
    let known = jsonwebtoken::decode_header(token).ok();
    if let (Some(header), Some(keys)) = (known, KeySet::parse(KEYS)) {
        for algorithm in ANY_SIGNATURE
            .iter()
            .copied()
            .filter(|known| *known == header.alg)
        {
            let id = header.kid.as_deref();
            if let Found::Key(key) = keys.find(Wanted { id, algorithm }) {
                let _ = signed_claims(token, &key, algorithm).is_ok();
            }
        }
    }
    let payload = token.split('.').nth(1).unwrap_or(token);
    let payload = URL_SAFE_NO_PAD
        .decode(payload)
        .unwrap_or_else(|_| bytes.to_vec());
    if let Ok(claims) = serde_json::from_slice(&payload).map(Claims) {
        let _ = claims.text("sub").is_ok();
        let _ = claims.verified_email().is_ok();
        let _ = claims.time("exp").is_ok();
    }
}
