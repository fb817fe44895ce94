use serde_json::json;

use super::super::testing::{RSA, Signer, with};
use super::*;

fn parse(keys: &[Value]) -> Option<KeySet> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

fn wanted(id: &str, algorithm: Algorithm) -> Wanted<'_> {
    Wanted {
        id: Some(id),
        algorithm,
    }
}

fn is_key(found: Found) -> bool {
    matches!(found, Found::Key(_))
}

#[test]
fn what_is_no_key_set_or_has_no_usable_key_is_refused() {
    for text in [
        "",
        "[]",
        "{}",
        r#"{"keys": 1}"#,
        r#"{"keys": []}"#,
        "<html>",
    ] {
        assert!(KeySet::parse(text.as_bytes()).is_none(), "{text}");
    }
    let symmetric = json!({"kty": "oct", "kid": "a", "alg": "HS256", "k": "c2VjcmV0"});
    assert!(parse(&[symmetric]).is_none());
    assert!(parse(&[with(RSA.jwk("a"), json!({"use": "enc"}))]).is_none());
    assert!(parse(&[with(RSA.jwk("a"), json!({"key_ops": ["encrypt"]}))]).is_none());
    assert!(parse(&[with(RSA.jwk("a"), json!({"alg": "RSA-OAEP"}))]).is_none());
    assert!(parse(&[with(RSA.jwk("a"), json!({"alg": "HS256"}))]).is_none());
    assert!(parse(&[with(RSA.jwk("a"), json!({"alg": "none"}))]).is_none());
    assert!(parse(&[with(RSA.jwk("a"), json!({"alg": "ES256"}))]).is_none());
}

#[test]
fn a_key_that_is_not_understood_does_not_hide_the_others() {
    let odd = [
        json!(17),
        json!({"kty": "AKP", "kid": "b", "alg": "ML-DSA-44", "pub": "AA"}),
        json!({"kty": "EC", "crv": "secp256k1", "kid": "c", "x": "AA", "y": "AA"}),
        with(RSA.jwk("d"), json!({"n": "not base64!"})),
        with(RSA.jwk("e"), json!({"n": null})),
        RSA.jwk("a"),
    ];
    let keys = parse(&odd).unwrap();
    assert_eq!(keys.0.len(), 1);
    assert!(is_key(keys.find(wanted("a", Algorithm::RS256))));
}

#[test]
fn the_key_says_which_algorithms_it_is_for() {
    let any_rsa = with(RSA.jwk("any"), json!({"alg": null}));
    let keys = parse(&[RSA.jwk("one"), any_rsa, Signer::es256().jwk("curve")]).unwrap();
    let allowed = |id, algorithm| is_key(keys.find(wanted(id, algorithm)));
    assert!(allowed("one", Algorithm::RS256));
    assert!(!allowed("one", Algorithm::PS256));
    assert!(allowed("any", Algorithm::RS256) && allowed("any", Algorithm::PS512));
    assert!(allowed("curve", Algorithm::ES256));
    for id in ["one", "any", "curve"] {
        for algorithm in [Algorithm::HS256, Algorithm::HS512, Algorithm::EdDSA] {
            assert!(matches!(
                keys.find(wanted(id, algorithm)),
                Found::WrongAlgorithm
            ));
        }
    }
    assert!(matches!(
        keys.find(wanted("two", Algorithm::RS256)),
        Found::Unknown
    ));
}

#[test]
fn one_id_may_stand_for_two_kinds_of_key() {
    let keys = parse(&[RSA.jwk("a"), Signer::es256().jwk("a")]).unwrap();
    assert!(is_key(keys.find(wanted("a", Algorithm::RS256))));
    assert!(is_key(keys.find(wanted("a", Algorithm::ES256))));
}

#[test]
fn a_token_without_key_id_needs_a_set_of_one() {
    let unnamed = Wanted {
        id: None,
        algorithm: Algorithm::RS256,
    };
    let one = parse(&[RSA.jwk("a")]).unwrap();
    assert!(is_key(one.find(unnamed)));
    let two = parse(&[RSA.jwk("a"), Signer::es256().jwk("b")]).unwrap();
    assert!(matches!(two.find(unnamed), Found::Ambiguous));
}
