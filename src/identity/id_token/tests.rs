use aws_lc_rs::hmac;
use serde_json::json;

use super::super::key_set::ANY_SIGNATURE;
use super::super::testing::{
    JWKS, OTHER_RSA, RSA, Signer, World, base64url, key_set, rejection, unavailability, unsigned,
    with,
};
use super::*;
use crate::service::outbound::testing::Answer;

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Claims({:?})", self.0)
    }
}

fn id_tokens(world: &World, algorithms: &'static [Algorithm]) -> IdTokens {
    let google = world.config().google;
    let rules = Rules {
        source: Source::Published(google.jwks_url.parse().unwrap()),
        issuers: google.issuers,
        audience: google.client_id,
        algorithms,
    };
    IdTokens::new(rules, &world.tools)
}

/// A world whose issuer publishes the RSA key as `rsa`, and the verifier for it.
async fn issuer() -> (World, IdTokens) {
    let world = World::new().await;
    world.server.answer(JWKS, key_set(&[RSA.jwk("rsa")]));
    let tokens = id_tokens(&world, ANY_SIGNATURE);
    (world, tokens)
}

#[tokio::test]
async fn tokens_signed_with_published_keys_are_accepted() {
    let world = World::new().await;
    let curve = Signer::es256();
    let keys = [RSA.jwk("rsa"), curve.jwk("curve")];
    world.server.answer(JWKS, key_set(&keys));
    let tokens = id_tokens(&world, ANY_SIGNATURE);
    for token in [
        RSA.token("rsa", &world.google_claims()),
        curve.token("curve", &world.google_claims()),
    ] {
        let claims = tokens.verify(&token).await.unwrap();
        assert_eq!(claims.text("sub").unwrap(), "1234567890");
    }
}

#[tokio::test]
async fn tokens_signed_with_other_keys_are_rejected() {
    let (world, tokens) = issuer().await;
    let curve = Signer::es256();
    world
        .server
        .answer(JWKS, key_set(&[RSA.jwk("rsa"), curve.jwk("curve")]));
    let claims = world.google_claims();
    for token in [
        OTHER_RSA.token("rsa", &claims),
        Signer::es256().token("curve", &claims),
    ] {
        let reason = rejection(tokens.verify(&token).await);
        assert_eq!(reason, "its signature is wrong");
    }
    let reason = rejection(tokens.verify(&OTHER_RSA.token("other", &claims)).await);
    assert!(reason.contains("does not publish"), "{reason}");
}

#[tokio::test]
async fn changed_claims_break_the_signature() {
    let (world, tokens) = issuer().await;
    let token = RSA.token("rsa", &world.google_claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let changed = with(world.google_claims(), json!({"sub": "1"}));
    let forged = format!(
        "{header}.{}.{signature}",
        base64url(changed.to_string().as_bytes())
    );
    assert_eq!(
        rejection(tokens.verify(&forged).await),
        "its signature is wrong"
    );
}

#[tokio::test]
async fn no_signature_is_no_way_in() {
    let (world, tokens) = issuer().await;
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({"alg": algorithm, "typ": "JWT", "kid": "rsa"});
        let token = unsigned(&header, &world.google_claims());
        rejection(tokens.verify(&format!("{token}.")).await);
        rejection(tokens.verify(&token).await);
    }
    let signed = RSA.token("rsa", &world.google_claims());
    let (bare, _) = signed.rsplit_once('.').unwrap();
    rejection(tokens.verify(&format!("{bare}.")).await);
}

#[tokio::test]
async fn a_public_key_is_no_hmac_secret() {
    let (world, tokens) = issuer().await;
    let Signer::Rs256(pair) = &*RSA else {
        unreachable!()
    };
    let jwk = RSA.jwk("rsa").to_string();
    let modulus = RSA.jwk("rsa")["n"].as_str().unwrap().to_owned();
    let der = aws_lc_rs::signature::KeyPair::public_key(pair).as_ref();
    for secret in [der, jwk.as_bytes(), modulus.as_bytes()] {
        let header = json!({"alg": "HS256", "typ": "JWT", "kid": "rsa"});
        let text = unsigned(&header, &world.google_claims());
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let code = base64url(hmac::sign(&key, text.as_bytes()).as_ref());
        let reason = rejection(tokens.verify(&format!("{text}.{code}")).await);
        assert!(reason.contains("not accepted"), "{reason}");
    }
    assert_eq!(
        world.server.hits(JWKS),
        0,
        "such a token costs the issuer nothing"
    );
}

#[tokio::test]
async fn a_key_is_used_for_its_own_algorithm_alone() {
    let (world, tokens) = issuer().await;
    for algorithm in ["PS256", "RS512", "ES256", "EdDSA"] {
        let header = json!({"alg": algorithm, "typ": "JWT", "kid": "rsa"});
        let token = RSA.token_with_header(&header, &world.google_claims());
        let reason = rejection(tokens.verify(&token).await);
        assert!(reason.contains("its algorithm"), "{reason}");
    }
}

#[tokio::test]
async fn the_rules_may_narrow_the_algorithms() {
    let world = World::new().await;
    let curve = Signer::es256();
    let keys = [curve.jwk("curve"), RSA.jwk("rsa")];
    world.server.answer(JWKS, key_set(&keys));
    let tokens = id_tokens(&world, &[Algorithm::RS256]);
    let claims = world.google_claims();
    rejection(tokens.verify(&curve.token("curve", &claims)).await);
    tokens.verify(&RSA.token("rsa", &claims)).await.unwrap();
}

#[tokio::test]
async fn a_header_may_not_demand_more_or_be_another_tokens() {
    let (world, tokens) = issuer().await;
    let claims = world.google_claims();
    for (changes, accepted) in [
        (json!({}), true),
        (json!({"typ": "jwt"}), true),
        (json!({"typ": null}), true),
        (json!({"kid": null}), true),
        (json!({"typ": "at+jwt"}), false),
        (json!({"typ": "logout+jwt"}), false),
        (json!({"crit": ["b64"], "b64": false}), false),
        // A key that the token brings along is nobody's.
        (json!({"jwk": OTHER_RSA.jwk("rsa"), "kid": "other"}), false),
    ] {
        let header = with(json!({"alg": "RS256", "typ": "JWT", "kid": "rsa"}), changes);
        let verified = tokens
            .verify(&RSA.token_with_header(&header, &claims))
            .await;
        assert_eq!(verified.is_ok(), accepted, "{header}");
    }
}

#[tokio::test]
async fn what_is_no_jwt_is_rejected() {
    let (world, tokens) = issuer().await;
    for text in [
        "", ".", "..", "...", "a.b.c", "e30.e30.", "{}", "é.é.é", "a b c",
    ] {
        rejection(tokens.verify(text).await);
    }
    let text = RSA.token("rsa", &json!("no object"));
    assert!(rejection(tokens.verify(&text).await).contains("cannot be read"));
    assert!(world.server.hits(JWKS) <= 1);
}

/// What happens to a good token with these changes: nothing, or the reason of its rejection.
async fn changed(world: &World, tokens: &IdTokens, changes: Value) -> Option<String> {
    let token = RSA.token("rsa", &with(world.google_claims(), changes));
    match tokens.verify(&token).await {
        Ok(_) => None,
        failed => Some(rejection(failed)),
    }
}

#[tokio::test]
async fn times_are_kept_with_a_small_leeway() {
    let (world, tokens) = issuer().await;
    for (changes, reason) in [
        (json!({"exp": world.seconds(1)}), None),
        (json!({"exp": world.seconds(-9)}), None),
        (json!({"exp": world.seconds(-10)}), Some("it has expired")),
        (json!({"exp": world.seconds(-3600)}), Some("it has expired")),
        (json!({"exp": 0}), Some("it has expired")),
        (json!({"exp": -1}), Some("it has expired")),
        (json!({"exp": 9.5e9}), None),
        (json!({"exp": i64::MAX}), None),
        (
            json!({"exp": "9999999999"}),
            Some("its claim exp is not a time"),
        ),
        (json!({"exp": -0.5}), Some("its claim exp is not a time")),
        (json!({"exp": null}), Some("its claim exp is missing")),
        (json!({"nbf": world.seconds(-5)}), None),
        (json!({"nbf": world.seconds(10)}), None),
        (
            json!({"nbf": world.seconds(11)}),
            Some("it is not valid yet"),
        ),
        (json!({"nbf": i64::MAX}), Some("it is not valid yet")),
        (json!({"nbf": true}), Some("its claim nbf is not a time")),
    ] {
        let told = changed(&world, &tokens, changes.clone()).await;
        assert_eq!(told.as_deref(), reason, "{changes}");
    }
}

#[tokio::test]
async fn a_token_expires_by_the_nodes_clock() {
    let (world, tokens) = issuer().await;
    let token = RSA.token("rsa", &world.google_claims());
    tokens.verify(&token).await.unwrap();
    world.clock.advance(Duration::from_secs(3600) + LEEWAY);
    assert_eq!(rejection(tokens.verify(&token).await), "it has expired");
}

#[tokio::test]
async fn issuer_and_audience_must_match() {
    let (world, tokens) = issuer().await;
    let issuer = Some("it comes from another issuer");
    let audience = Some("it is meant for another audience");
    for (changes, reason) in [
        (json!({"iss": "https://oauth2.googleapis.com"}), None),
        (json!({"iss": "accounts.google.com"}), None),
        (json!({"iss": "https://accounts.google.com/"}), issuer),
        (
            json!({"iss": "https://accounts.google.com.example.com"}),
            issuer,
        ),
        (json!({"iss": null}), Some("its claim iss is missing")),
        (
            json!({"iss": ["https://accounts.google.com"]}),
            Some("its claim iss is not a text"),
        ),
        (json!({"aud": "google-client-2"}), audience),
        (json!({"aud": ""}), audience),
        (json!({"aud": 5}), audience),
        (json!({"aud": []}), audience),
        (json!({"aud": null}), Some("its claim aud is missing")),
        (json!({"aud": ["google-client"]}), None),
        (json!({"aud": ["other"]}), audience),
        (json!({"aud": ["google-client", "other"]}), audience),
        (
            json!({"aud": ["google-client", "other"], "azp": null}),
            audience,
        ),
        (
            json!({"aud": ["google-client", "other"], "azp": "google-client"}),
            None,
        ),
    ] {
        let told = changed(&world, &tokens, changes.clone()).await;
        assert_eq!(told.as_deref(), reason, "{changes}");
    }
}

#[tokio::test]
async fn an_issuer_that_is_down_is_told_apart() {
    let (world, tokens) = issuer().await;
    world.server.answer(JWKS, Answer::status(500));
    let token = RSA.token("rsa", &world.google_claims());
    let reason = unavailability(tokens.verify(&token).await);
    assert!(reason.contains("500"), "{reason}");
}
