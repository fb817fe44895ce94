//! Providers that are asked whose a token is.

use super::*;

#[tokio::test]
async fn x_is_asked_whose_a_token_is() {
    let world = World::new().await;
    let identities = world.identities(&world.config());
    let answer = json!({"data": {"id": "42", "name": "Z", "username": "z"}});
    world.server.answer("/x/me", Answer::json(&answer));
    assert_eq!(identifier(&identities, "x", "opaque").await, "x_42");
    assert_eq!(
        world.server.last().headers["authorization"],
        "Bearer opaque"
    );
    for answer in [
        json!({}),
        json!({"data": null}),
        json!({"data": {}}),
        json!({"data": {"id": ""}}),
    ] {
        world.server.answer("/x/me", Answer::json(&answer));
        rejection(verify(&identities, "x", "opaque").await);
    }
}

#[tokio::test]
async fn discord_must_tell_id_and_email() {
    let world = World::new().await;
    let identities = world.identities(&world.config());
    let answer = json!({"id": "80351110224678912", "email": EMAIL});
    world.server.answer("/discord/me", Answer::json(&answer));
    assert_eq!(
        identifier(&identities, "discord", "opaque").await,
        "discord_80351110224678912"
    );
    for changes in [
        json!({"id": null}),
        json!({"id": ""}),
        json!({"email": null}),
        json!({"email": ""}),
    ] {
        let answer = with(answer.clone(), changes);
        world.server.answer("/discord/me", Answer::json(&answer));
        rejection(verify(&identities, "discord", "opaque").await);
    }
}

#[tokio::test]
async fn a_refusal_and_an_outage_of_a_user_call_are_told_apart() {
    let world = World::new().await;
    let identities = world.identities(&world.config());
    world
        .server
        .answer("/elsewhere", Answer::json(&json!({"data": {"id": "1"}})));
    for name in ["x", "discord"] {
        let path = format!("/{name}/me");
        for code in [400, 401, 403] {
            world.server.answer(&path, Answer::status(code));
            rejection(verify(&identities, name, "opaque").await);
        }
        let huge = json!({"id": "1", "email": EMAIL, "padding": "x".repeat(100_000)});
        for answer in [
            Answer::status(404),
            Answer::status(429),
            Answer::status(500),
            Answer::Redirect(world.server.url("/elsewhere")),
            Answer::json(&huge),
            Answer::json(&json!("hello")),
            Answer::json(&json!({"id": 5, "data": {"id": 5}})),
            Answer::status(200),
        ] {
            world.server.answer(&path, answer);
            unavailability(verify(&identities, name, "opaque").await);
        }
    }
    assert_eq!(world.server.hits("/elsewhere"), 0);
    rejection(verify(&identities, "x", "line\r\nfeed").await);
}
