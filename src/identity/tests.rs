mod user_calls;

use serde_json::{Value, json};

use super::testing::{
    BOT_TOKEN, JWKS, RSA, Signer, World, key_set, rejection, unavailability, with,
};
use super::*;
use crate::clock::Clock as _;
use crate::config::SecretText;
use crate::service::outbound::testing::Answer;

const EMAIL: &str = "someone@example.com";

async fn verify(identities: &Identities, name: &str, token: &str) -> Result<UserId, IdentityError> {
    let auth_type = identities.auth_type(Some(name)).unwrap();
    identities.verify(&auth_type, token).await
}

async fn identifier(identities: &Identities, name: &str, token: &str) -> String {
    let user = verify(identities, name, token).await.unwrap();
    assert_eq!(user.auth_type().as_str(), name);
    user.identifier().to_owned()
}

fn auth0_claims(world: &World) -> Value {
    let changes = json!({"iss": "https://auth0.example.com/", "aud": "auth0-client"});
    with(world.google_claims(), changes)
}

fn oidc(world: &World, claim: &str) -> config::Oidc {
    config::Oidc {
        name: "company".into(),
        issuer: world.server.url("/realm/"),
        audience: "ksnode".into(),
        claim: claim.into(),
        prefix: "company_".into(),
        jwks_url: Some(world.server.url(JWKS)),
    }
}

fn oidc_claims(world: &World) -> Value {
    let issuer = world.server.url("/realm/");
    json!({"iss": issuer, "aud": "ksnode", "sub": "u-1", "exp": world.seconds(60)})
}

async fn with_oidc(claim: &str) -> (World, Identities) {
    let world = World::new().await;
    world.server.answer(JWKS, key_set(&[RSA.jwk("rsa")]));
    let mut config = world.config();
    config.oidc.push(oidc(&world, claim));
    let identities = world.identities(&config);
    (world, identities)
}

#[tokio::test]
async fn google_is_the_default_and_unknown_names_are_nobody() {
    let world = World::new().await;
    let identities = world.identities(&world.config());
    assert_eq!(identities.auth_type(None).unwrap().as_str(), "google");
    for name in ["google", "auth0", "x", "discord", "telegram"] {
        assert_eq!(identities.auth_type(Some(name)).unwrap().as_str(), name);
    }
    for name in ["", "Google", "facebook", "google "] {
        assert!(identities.auth_type(Some(name)).is_none(), "{name}");
    }
    let gone = AuthType::from_stored("gone");
    let reason = rejection(identities.verify(&gone, "token").await);
    assert!(reason.contains("not configured"), "{reason}");
}

#[tokio::test]
async fn google_users_are_known_by_their_subject() {
    let world = World::new().await;
    world.server.answer(JWKS, key_set(&[RSA.jwk("rsa")]));
    let identities = world.identities(&world.config());
    let token = RSA.token("rsa", &world.google_claims());
    assert_eq!(
        identifier(&identities, "google", &token).await,
        "google_1234567890"
    );
    for (changes, reason) in [
        (json!({"sub": null}), "claim sub is missing"),
        (json!({"sub": ""}), "claim sub is missing"),
        (json!({"sub": 1234567890}), "claim sub is not a text"),
        (json!({"email": null}), "claim email is missing"),
        (json!({"email_verified": null}), "not a verified one"),
        (json!({"email_verified": false}), "not a verified one"),
        (json!({"email_verified": "false"}), "not a verified one"),
        (json!({"email_verified": 1}), "not a verified one"),
        (json!({"sub": "1".repeat(314)}), "at most 320 bytes"),
    ] {
        let token = RSA.token("rsa", &with(world.google_claims(), changes.clone()));
        let told = rejection(verify(&identities, "google", &token).await);
        assert!(told.contains(reason), "{changes}: {told}");
    }
    let token = RSA.token(
        "rsa",
        &with(world.google_claims(), json!({"email_verified": "true"})),
    );
    identifier(&identities, "google", &token).await;
}

#[tokio::test]
async fn auth0_users_are_known_by_their_verified_email() {
    let world = World::new().await;
    let curve = Signer::es256();
    world
        .server
        .answer(JWKS, key_set(&[RSA.jwk("rsa"), curve.jwk("curve")]));
    let identities = world.identities(&world.config());
    let token = RSA.token("rsa", &auth0_claims(&world));
    assert_eq!(identifier(&identities, "auth0", &token).await, EMAIL);
    for changes in [
        json!({"sub": null}),
        json!({"email": null}),
        json!({"email_verified": false}),
        json!({"email_verified": null}),
        json!({"iss": "https://auth0.example.com"}),
        json!({"aud": "google-client"}),
    ] {
        let token = RSA.token("rsa", &with(auth0_claims(&world), changes));
        rejection(verify(&identities, "auth0", &token).await);
    }
    let token = curve.token("curve", &auth0_claims(&world));
    rejection(verify(&identities, "auth0", &token).await);
    let google = RSA.token("rsa", &world.google_claims());
    rejection(verify(&identities, "auth0", &google).await);
}

#[tokio::test]
async fn oidc_users_are_known_by_the_configured_claim() {
    let (world, identities) = with_oidc("sub").await;
    let token = RSA.token("rsa", &oidc_claims(&world));
    assert_eq!(
        identifier(&identities, "company", &token).await,
        "company_u-1"
    );

    let (world, identities) = with_oidc("employee").await;
    let token = RSA.token("rsa", &oidc_claims(&world));
    let reason = rejection(verify(&identities, "company", &token).await);
    assert!(reason.contains("employee is missing"), "{reason}");
    let token = RSA.token("rsa", &with(oidc_claims(&world), json!({"employee": "e7"})));
    assert_eq!(
        identifier(&identities, "company", &token).await,
        "company_e7"
    );
}

#[tokio::test]
async fn an_oidc_email_must_be_verified() {
    let (world, identities) = with_oidc("email").await;
    let claims = with(oidc_claims(&world), json!({ "email": EMAIL }));
    let unverified = RSA.token("rsa", &claims);
    rejection(verify(&identities, "company", &unverified).await);
    let verified = RSA.token("rsa", &with(claims, json!({"email_verified": true})));
    let known_as = identifier(&identities, "company", &verified).await;
    assert_eq!(known_as, format!("company_{EMAIL}"));
}

#[tokio::test]
async fn an_oidc_issuers_keys_are_found_by_discovery() {
    let world = World::new().await;
    let document =
        json!({"issuer": world.server.url("/realm/"), "jwks_uri": world.server.url(JWKS)});
    world.server.answer(
        "/realm/.well-known/openid-configuration",
        Answer::json(&document),
    );
    world.server.answer(JWKS, key_set(&[RSA.jwk("rsa")]));
    let mut config = world.config();
    config.oidc.push(config::Oidc {
        jwks_url: None,
        ..oidc(&world, "sub")
    });
    let identities = world.identities(&config);
    let token = RSA.token("rsa", &oidc_claims(&world));
    assert_eq!(
        identifier(&identities, "company", &token).await,
        "company_u-1"
    );
}

#[tokio::test]
async fn a_silent_provider_is_unavailable_in_time() {
    let world = World::impatient().await;
    let identities = world.identities(&world.config());
    for name in ["x", "discord"] {
        world.server.answer(&format!("/{name}/me"), Answer::Never);
        unavailability(verify(&identities, name, "opaque").await);
    }
}

#[tokio::test]
async fn a_provider_that_is_gone_is_unavailable_and_the_others_go_on() {
    let world = World::new().await;
    let mut config = world.config();
    let gone = World::new().await.server.url("/me");
    config.x_user_url.clone_from(&gone);
    config.google.jwks_url = gone;
    let identities = world.identities(&config);
    unavailability(verify(&identities, "x", "opaque").await);
    let token = RSA.token("rsa", &world.google_claims());
    unavailability(verify(&identities, "google", &token).await);
    let login = telegram::sign(&SecretText::new(BOT_TOKEN.into()), 7, world.clock.now());
    assert_eq!(
        identifier(&identities, "telegram", &login).await,
        "telegram_7"
    );
}

#[tokio::test]
async fn an_address_that_cannot_be_used_is_named_by_its_key() {
    let world = World::new().await;
    let remote = "http://example.com/keys?secret=hidden".to_owned();
    let mut cases = vec![
        world.config(),
        world.config(),
        world.config(),
        world.config(),
    ];
    cases[0].google.jwks_url = remote.clone();
    cases[1].auth0.jwks_url = remote.clone();
    cases[2].x_user_url = remote.clone();
    cases[3].discord_user_url = remote.clone();
    let mut discovered = world.config();
    discovered.oidc.push(config::Oidc {
        issuer: "not an address".into(),
        jwks_url: None,
        ..oidc(&world, "sub")
    });
    cases.push(discovered);
    let keys = [
        "identity.google.jwks_url",
        "identity.auth0.jwks_url",
        "identity.x.user_url",
        "identity.discord.user_url",
        "identity.oidc.company.issuer",
    ];
    for (config, key) in cases.iter().zip(keys) {
        let made = Identities::new(config, world.clock.clone(), world.tools.outbound.clone());
        let text = made.unwrap_err().to_string();
        assert!(text.starts_with(key), "{text}");
        assert!(!text.contains("hidden"), "{text}");
    }
}

#[tokio::test]
async fn outcomes_are_counted_by_provider() {
    let world = World::new().await;
    let identities = world.identities(&world.config());
    let mut registry = Registry::default();
    identities.register_metrics(&mut registry);
    let login = telegram::sign(&SecretText::new(BOT_TOKEN.into()), 7, world.clock.now());
    verify(&identities, "telegram", &login).await.unwrap();
    verify(&identities, "telegram", "{}").await.unwrap_err();
    verify(&identities, "x", "opaque").await.unwrap_err();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for (provider, outcome, count) in [
        ("telegram", "accepted", 1),
        ("telegram", "rejected", 1),
        ("telegram", "unavailable", 0),
        ("x", "unavailable", 1),
        ("google", "accepted", 0),
    ] {
        let name = "identity_verifications_total";
        let line = format!("{name}{{provider=\"{provider}\",outcome=\"{outcome}\"}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[tokio::test]
async fn no_text_holds_a_token_an_identifier_or_an_email() {
    let world = World::new().await;
    world.server.answer(JWKS, key_set(&[RSA.jwk("rsa")]));
    world.server.answer(
        "/x/me",
        Answer::json(&json!({"data": {"id": 4711, "email": EMAIL}})),
    );
    world
        .server
        .answer("/discord/me", Answer::json(&json!({"id": "4711"})));
    let identities = world.identities(&world.config());
    let sub = "1234567890";
    let unverified = with(world.google_claims(), json!({"email_verified": false}));
    let expired = with(world.google_claims(), json!({"exp": 1}));
    let login = format!(
        r#"{{"id":4711,"auth_date":"{EMAIL}","hash":"{}"}}"#,
        "0".repeat(64)
    );
    for (name, token) in [
        ("google", RSA.token("rsa", &unverified)),
        ("google", RSA.token("rsa", &expired)),
        ("google", RSA.token(EMAIL, &expired)),
        ("google", EMAIL.to_owned()),
        ("x", "secret-token-4711".to_owned()),
        ("discord", "secret-token-4711".to_owned()),
        ("telegram", login),
        ("telegram", format!("[\"{EMAIL}\"]")),
    ] {
        let error = verify(&identities, name, &token).await.unwrap_err();
        let text = format!("{error} {error:?}");
        for secret in [EMAIL, sub, "4711", "eyJ"] {
            assert!(!text.contains(secret), "{name}: {text}");
        }
    }
}

#[tokio::test]
async fn somebody_is_meant_as_stored_or_as_the_provider_has_it() {
    let (_world, identities) = with_oidc("sub").await;
    for (provider, written, stored) in [
        ("google", "12345", &["12345", "google_12345"][..]),
        (
            "google",
            "google_12345",
            &["google_12345", "google_google_12345"],
        ),
        ("x", "42", &["42", "x_42"]),
        ("discord", "43", &["43", "discord_43"]),
        ("telegram", "44", &["44", "telegram_44"]),
        ("auth0", "a@example.com", &["a@example.com"]),
    ] {
        let meant = identities.meant(provider, written).unwrap();
        let found: Vec<&str> = meant.iter().map(UserId::identifier).collect();
        assert_eq!(found, stored, "{provider}");
    }
    let long = "9".repeat(320);
    assert_eq!(identities.meant("google", &long).unwrap().len(), 1);
    let unknown = identities.meant("gogle", "1").unwrap_err().to_string();
    assert!(unknown.contains("'gogle'"), "{unknown}");
    assert!(
        unknown.contains("auth0, company, discord, google"),
        "{unknown}"
    );
    for written in ["", &"9".repeat(321)] {
        let refused = identities.meant("google", written).unwrap_err();
        assert!(matches!(refused, IdentityError::UserIdInvalid { .. }));
    }
}
