use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::testing::{JWKS, Signer, World, key_set, rejection, unavailability};
use super::*;
use crate::service::outbound::testing::Answer;

const DISCOVERY: &str = "/.well-known/openid-configuration";

fn wanted(id: &str) -> Wanted<'_> {
    Wanted {
        id: Some(id),
        algorithm: Algorithm::ES256,
    }
}

fn published(world: &World) -> Jwks {
    let endpoint = world.server.url(JWKS).parse().unwrap();
    Jwks::new(Source::Published(endpoint), &world.tools)
}

fn discovered(world: &World) -> Jwks {
    let source = Source::Discovered {
        issuer: world.server.url(""),
        document: world.server.url(DISCOVERY).parse().unwrap(),
    };
    Jwks::new(source, &world.tools)
}

fn keys(ids: &[&str]) -> Answer {
    let keys: Vec<Value> = ids.iter().map(|id| Signer::es256().jwk(id)).collect();
    key_set(&keys)
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerificationKey")
    }
}

/// Lets tasks run until the condition holds.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

/// Until no fetch is under way.
async fn quiet(jwks: &Jwks) {
    drop(jwks.0.flight.lock().await);
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_after_five_minutes() {
    let world = World::new().await;
    world.server.answer(JWKS, keys(&["a"]));
    let jwks = published(&world);
    for _ in 0..3 {
        jwks.key(wanted("a")).await.unwrap();
    }
    assert_eq!(world.server.hits(JWKS), 1);
    world.clock.advance(FRESH_FOR - Duration::from_secs(1));
    jwks.key(wanted("a")).await.unwrap();
    assert_eq!(world.server.hits(JWKS), 1);
    world.clock.advance(Duration::from_secs(1));
    jwks.key(wanted("a")).await.unwrap();
    assert_eq!(world.server.hits(JWKS), 2);
}

#[tokio::test]
async fn a_withdrawn_key_is_not_used_after_five_minutes() {
    let world = World::new().await;
    world.server.answer(JWKS, keys(&["a"]));
    let jwks = published(&world);
    jwks.key(wanted("a")).await.unwrap();
    world.server.answer(JWKS, keys(&["b"]));
    world.clock.advance(FRESH_FOR);
    assert_eq!(rejection(jwks.key(wanted("a")).await), UNKNOWN_KEY);
    assert_eq!(
        world.server.hits(JWKS),
        2,
        "what came a moment ago is not fetched again"
    );
}

#[tokio::test]
async fn concurrent_callers_share_one_fetch() {
    let world = World::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let gated = Answer::Gated(Arc::clone(&gate), Box::new(keys(&["a"])));
    world.server.answer(JWKS, gated);
    let jwks = published(&world);
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let jwks = jwks.clone();
        callers.spawn(async move { jwks.key(wanted("a")).await.is_ok() });
    }
    until(|| world.server.hits(JWKS) == 1).await;
    gate.add_permits(50);
    assert!(callers.join_all().await.into_iter().all(|found| found));
    assert_eq!(world.server.hits(JWKS), 1);
}

#[tokio::test]
async fn concurrent_callers_share_one_failure() {
    let world = World::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let gated = Answer::Gated(Arc::clone(&gate), Box::new(Answer::status(500)));
    world.server.answer(JWKS, gated);
    let jwks = published(&world);
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let jwks = jwks.clone();
        callers.spawn(async move { unavailability(jwks.key(wanted("a")).await) });
    }
    until(|| world.server.hits(JWKS) == 1).await;
    gate.add_permits(50);
    for reason in callers.join_all().await {
        assert!(reason.contains("500"), "{reason}");
    }
    assert_eq!(world.server.hits(JWKS), 1);
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_undo_the_fetch() {
    let world = World::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let gated = Answer::Gated(Arc::clone(&gate), Box::new(keys(&["a"])));
    world.server.answer(JWKS, gated);
    let jwks = published(&world);
    let impatient = tokio::spawn({
        let jwks = jwks.clone();
        async move { jwks.key(wanted("a")).await.is_ok() }
    });
    until(|| world.server.hits(JWKS) == 1).await;
    impatient.abort();
    assert!(impatient.await.unwrap_err().is_cancelled());
    gate.add_permits(1);
    jwks.key(wanted("a")).await.unwrap();
    assert_eq!(world.server.hits(JWKS), 1);
}

#[tokio::test]
async fn an_unknown_key_causes_a_fetch_at_most_once_a_minute() {
    let world = World::new().await;
    world.server.answer(JWKS, keys(&["a"]));
    let jwks = published(&world);
    jwks.key(wanted("a")).await.unwrap();
    world.server.answer(JWKS, keys(&["a", "b"]));
    jwks.key(wanted("b")).await.unwrap();
    assert_eq!(world.server.hits(JWKS), 2);
    for id in ["c", "d", "e"] {
        assert_eq!(rejection(jwks.key(wanted(id)).await), UNKNOWN_KEY);
    }
    assert_eq!(world.server.hits(JWKS), 2);
    world
        .clock
        .advance(UNKNOWN_KEY_PACE - Duration::from_secs(1));
    rejection(jwks.key(wanted("c")).await);
    assert_eq!(world.server.hits(JWKS), 2);
    world.clock.advance(Duration::from_secs(1));
    rejection(jwks.key(wanted("c")).await);
    assert_eq!(world.server.hits(JWKS), 3);
    jwks.key(wanted("a")).await.unwrap();
}

#[tokio::test]
async fn an_unknown_key_that_could_not_be_asked_for_is_no_rejection() {
    let world = World::new().await;
    world.server.answer(JWKS, keys(&["a"]));
    let jwks = published(&world);
    jwks.key(wanted("a")).await.unwrap();
    world.server.answer(JWKS, Answer::status(503));
    unavailability(jwks.key(wanted("b")).await);
    unavailability(jwks.key(wanted("b")).await);
    assert_eq!(world.server.hits(JWKS), 2);
    jwks.key(wanted("a")).await.unwrap();
    world.server.answer(JWKS, keys(&["a", "b"]));
    world.clock.advance(UNKNOWN_KEY_PACE);
    jwks.key(wanted("b")).await.unwrap();
}

#[tokio::test]
async fn stale_keys_are_used_for_a_day_while_the_issuer_is_down() {
    let world = World::new().await;
    world.server.answer(JWKS, keys(&["a"]));
    let jwks = published(&world);
    jwks.key(wanted("a")).await.unwrap();
    world.server.answer(JWKS, Answer::status(500));
    world.clock.advance(FRESH_FOR);
    jwks.key(wanted("a")).await.unwrap();
    assert_eq!(world.server.hits(JWKS), 2);
    unavailability(jwks.key(wanted("b")).await);
    assert_eq!(world.server.hits(JWKS), 2);
    world
        .clock
        .advance(STALE_FOR - FRESH_FOR - Duration::from_secs(1));
    jwks.key(wanted("a")).await.unwrap();
    quiet(&jwks).await;
    world.clock.advance(RETRY_PACE);
    unavailability(jwks.key(wanted("a")).await);
    world.server.answer(JWKS, keys(&["a"]));
    world.clock.advance(RETRY_PACE);
    jwks.key(wanted("a")).await.unwrap();
}

#[tokio::test]
async fn callers_do_not_wait_for_an_issuer_known_to_be_down() {
    let world = World::new().await;
    world.server.answer(JWKS, keys(&["a"]));
    let jwks = published(&world);
    jwks.key(wanted("a")).await.unwrap();
    world.server.answer(JWKS, Answer::status(500));
    world.clock.advance(FRESH_FOR);
    jwks.key(wanted("a")).await.unwrap();

    let gate = Arc::new(Semaphore::new(0));
    let gated = Answer::Gated(Arc::clone(&gate), Box::new(keys(&["b"])));
    world.server.answer(JWKS, gated);
    jwks.key(wanted("a")).await.unwrap();
    assert_eq!(
        world.server.hits(JWKS),
        2,
        "failures are not repeated at once"
    );
    world.clock.advance(RETRY_PACE);
    for _ in 0..3 {
        jwks.key(wanted("a")).await.unwrap();
    }
    until(|| world.server.hits(JWKS) == 3).await;
    gate.add_permits(1);
    quiet(&jwks).await;
    jwks.key(wanted("b")).await.unwrap();
    assert_eq!(world.server.hits(JWKS), 3);
}

#[tokio::test]
async fn failed_fetches_are_not_repeated_within_five_seconds() {
    let world = World::new().await;
    world.server.answer(JWKS, Answer::status(500));
    let jwks = published(&world);
    for _ in 0..3 {
        unavailability(jwks.key(wanted("a")).await);
    }
    assert_eq!(world.server.hits(JWKS), 1);
    world.clock.advance(RETRY_PACE);
    unavailability(jwks.key(wanted("a")).await);
    assert_eq!(world.server.hits(JWKS), 2);
}

#[tokio::test]
async fn a_step_of_the_wall_clock_changes_nothing() {
    let world = World::new().await;
    world.server.answer(JWKS, keys(&["a"]));
    let jwks = published(&world);
    jwks.key(wanted("a")).await.unwrap();
    world
        .clock
        .set_wall(crate::clock::Timestamp::from_millis(0));
    jwks.key(wanted("a")).await.unwrap();
    assert_eq!(world.server.hits(JWKS), 1);
}

#[tokio::test]
async fn useless_answers_make_the_issuer_unavailable() {
    let world = World::new().await;
    let oversized = json!({"keys": [], "padding": "x".repeat(MAX_DOCUMENT)});
    world.server.answer("/elsewhere", keys(&["a"]));
    for (answer, reason) in [
        (Answer::Redirect(world.server.url("/elsewhere")), "302"),
        (Answer::json(&oversized), "more than"),
        (Answer::json(&json!("keys")), "no usable key"),
        (Answer::status(200), "no usable key"),
    ] {
        world.server.answer(JWKS, answer);
        let told = unavailability(published(&world).key(wanted("a")).await);
        assert!(told.contains(reason), "{told}");
    }
    assert_eq!(world.server.hits("/elsewhere"), 0);
}

#[tokio::test]
async fn a_silent_issuer_is_unavailable_in_time() {
    let world = World::impatient().await;
    world.server.answer(JWKS, Answer::Never);
    let told = unavailability(published(&world).key(wanted("a")).await);
    assert!(told.contains("in time"), "{told}");
}

#[tokio::test]
async fn keys_are_found_by_discovery() {
    let world = World::new().await;
    let document = json!({"issuer": world.server.url(""), "jwks_uri": world.server.url(JWKS)});
    world.server.answer(DISCOVERY, Answer::json(&document));
    world.server.answer(JWKS, keys(&["a"]));
    let jwks = discovered(&world);
    jwks.key(wanted("a")).await.unwrap();
    jwks.key(wanted("a")).await.unwrap();
    assert_eq!(
        (world.server.hits(DISCOVERY), world.server.hits(JWKS)),
        (1, 1)
    );
}

#[tokio::test]
async fn a_discovery_document_must_be_the_issuers_own() {
    let world = World::new().await;
    world.server.answer(JWKS, keys(&["a"]));
    let keys = world.server.url(JWKS);
    for (document, reason) in [
        (
            json!({"issuer": "https://example.com", "jwks_uri": keys}),
            "another issuer",
        ),
        (
            json!({"issuer": world.server.url("/"), "jwks_uri": keys}),
            "another issuer",
        ),
        (json!({"issuer": world.server.url("")}), "expected JSON"),
        (
            json!({"issuer": world.server.url(""), "jwks_uri": "http://example.com/"}),
            "https",
        ),
    ] {
        world.server.answer(DISCOVERY, Answer::json(&document));
        let told = unavailability(discovered(&world).key(wanted("a")).await);
        assert!(told.contains(reason), "{told}");
    }
    assert_eq!(world.server.hits(JWKS), 0);
}
