//! Commit-reveal.

use super::*;

/// A client inside a session.
struct Client {
    id: Uuid,
    key: NodeKey,
    operation: OperationType,
}

const TOKEN: &str = "a token";

impl Client {
    async fn commit(house: &House, operation: OperationType) -> Self {
        let key = NodeKey::generate().unwrap();
        let id = Uuid::new_v4();
        let commitment = Commitment {
            session_id: id,
            operation,
            ephemeral_key: key.public_key(),
            token_hash: sha(&format!("google{TOKEN}{id}")),
        };
        house.sessions.commit(commitment).await.unwrap();
        Self { id, key, operation }
    }

    fn token(&self) -> String {
        format!("{TOKEN}{}", self.id)
    }

    fn sign(&self, house: &House, api: ApiName) -> [u8; 64] {
        let text = format!(
            "{}{}google{}{}{}",
            hex::encode(house.node_key.public_key()),
            self.id,
            self.token(),
            self.operation.as_str(),
            api.as_str()
        );
        self.key.sign(&sha(&text))
    }

    async fn verify(&self, house: &House, api: ApiName) -> Result<Reveal, ShareError> {
        let signature = self.sign(house, api);
        self.send(house, api, Some(&signature), Some(&self.token()))
            .await
    }

    async fn send(
        &self,
        house: &House,
        api: ApiName,
        signature: Option<&[u8; 64]>,
        token: Option<&str>,
    ) -> Result<Reveal, ShareError> {
        let session_id = self.id.to_string();
        let call = RevealedCall {
            session_id: &session_id,
            signature,
            auth_type: "google",
            token,
            api,
        };
        house.sessions.verify(call).await
    }
}

fn sha(text: &str) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(text).into()
}

fn session_error<T: std::fmt::Debug>(result: Result<T, ShareError>) -> SessionError {
    match result.unwrap_err() {
        ShareError::Session(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_session_allows_its_calls_once_and_ends_with_the_completing_one() {
    let house = house().await;
    house.register("a", vec![wallet(K, 1)]).await;
    let client = Client::commit(&house, OperationType::SignInReshare).await;
    let get = client.verify(&house, ApiName::GetKeyShares).await.unwrap();
    house
        .shares
        .get(&user("a"), &[key(K, 1)], Some(get))
        .await
        .unwrap();
    let again = house.shares.get(&user("a"), &[key(K, 1)], Some(get)).await;
    assert_eq!(
        session_error(again),
        SessionError::AlreadyCalled("get_key_shares")
    );
    let again = client.verify(&house, ApiName::GetKeyShares).await;
    assert_eq!(
        session_error(again),
        SessionError::AlreadyCalled("get_key_shares")
    );
    let refused = client.verify(&house, ApiName::Register).await;
    assert!(session_error(refused).to_string().contains("not allowed"));

    let reshare = client.verify(&house, ApiName::Reshare).await.unwrap();
    house
        .shares
        .reshare(&user("a"), vec![wallet(K, 1)], Some(reshare))
        .await
        .unwrap();
    let over = client.verify(&house, ApiName::Reshare).await;
    assert_eq!(
        session_error(over),
        SessionError::NotCommitted("COMPLETED".into())
    );
}

#[tokio::test]
async fn a_session_goes_on_through_a_new_node_key() {
    let house = house().await;
    let before = Client::commit(&house, OperationType::SignUp).await;
    house.clock.advance(Duration::from_secs(1));
    let (version, new) = house
        .sessions
        .rotate_key(secret(), &house.audit, &Actor::Node)
        .await
        .unwrap();
    assert_eq!(version, 2);
    assert_ne!(new, house.node_key.public_key());
    assert_eq!(house.sessions.public_key(), new);
    // It was told the old name, and signs that.
    before.verify(&house, ApiName::Register).await.unwrap();
    house.clock.advance(Duration::from_secs(1));
    let after = Client::commit(&house, OperationType::SignUp).await;
    let refused = after.verify(&house, ApiName::Register).await;
    assert_eq!(session_error(refused), SessionError::InvalidSignature);
}

#[tokio::test]
async fn a_session_that_is_begun_while_a_new_node_key_is_made_goes_on_with_the_old_one() {
    let house = house().await;
    let rotating = house
        .sessions
        .rotate_key(secret(), &house.audit, &Actor::Node);
    let begun = async {
        house.clock.advance(Duration::from_secs(1));
        Client::commit(&house, OperationType::SignUp).await
    };
    let (rotated, client) = tokio::join!(rotating, begun);
    rotated.unwrap();
    client.verify(&house, ApiName::Register).await.unwrap();
}

#[tokio::test]
async fn a_failed_call_leaves_no_record() {
    let house = house().await;
    let client = Client::commit(&house, OperationType::SignUp).await;
    let reveal = client.verify(&house, ApiName::Register).await.unwrap();
    house.register("b", vec![wallet(K, 1)]).await;
    let failed = house
        .shares
        .register(&user("a"), vec![wallet(K, 1)], Some(reveal))
        .await;
    assert!(matches!(failed, Err(ShareError::DuplicatePublicKey(K))));
    house
        .shares
        .register(&user("a"), vec![wallet(K, 2)], Some(reveal))
        .await
        .unwrap();
    let over = house
        .shares
        .register(&user("a"), vec![wallet(K, 3)], Some(reveal))
        .await;
    assert_eq!(
        session_error(over),
        SessionError::NotCommitted("COMPLETED".into())
    );
}

#[tokio::test]
async fn signatures_and_tokens_are_checked_in_order() {
    let house = house().await;
    let client = Client::commit(&house, OperationType::SignIn).await;
    let api = ApiName::GetKeyShares;
    let good = client.sign(&house, api);
    let token = client.token();
    let send = |signature, token| client.send(&house, api, signature, token);
    assert_eq!(
        session_error(send(None, None).await),
        SessionError::MalformedSignature
    );
    assert_eq!(
        session_error(send(Some(&good), None).await),
        SessionError::TokenMissing
    );
    assert_eq!(
        session_error(send(Some(&good), Some("other")).await),
        SessionError::TokenMismatch
    );
    let mut bad = good;
    bad[3] ^= 1;
    assert_eq!(
        session_error(send(Some(&bad), Some(&token)).await),
        SessionError::InvalidSignature
    );
    assert!(send(Some(&good), Some(&token)).await.is_ok());
}

#[tokio::test]
async fn a_session_ends_with_its_time_and_is_forgotten_later() {
    let house = house().await;
    let client = Client::commit(&house, OperationType::SignIn).await;
    let api = ApiName::GetKeyShares;
    let good = client.sign(&house, api);
    let token = client.token();
    let send = |signature, token| client.send(&house, api, signature, token);
    let reveal = send(Some(&good), Some(&token)).await.unwrap();

    house
        .clock
        .advance(SESSION_LIFETIME + Duration::from_millis(1));
    assert_eq!(
        session_error(send(Some(&good), Some(&token)).await),
        SessionError::Expired
    );
    house.register("a", vec![wallet(K, 1)]).await;
    let late = house
        .shares
        .get(&user("a"), &[key(K, 1)], Some(reveal))
        .await;
    assert_eq!(session_error(late), SessionError::Expired);

    assert_eq!(house.sessions.sweep().await.unwrap(), 0);
    house.clock.advance(Duration::from_secs(601));
    assert_eq!(house.sessions.sweep().await.unwrap(), 1);
    assert_eq!(
        session_error(send(Some(&good), Some(&token)).await),
        SessionError::NotFound
    );
}

#[tokio::test]
async fn a_clock_that_is_set_back_ends_sessions_that_would_outlive_any() {
    let house = house().await;
    let client = Client::commit(&house, OperationType::SignIn).await;
    let api = ApiName::GetKeyShares;
    let good = client.sign(&house, api);
    let token = client.token();
    let now = house.clock.now();
    // By little it does nothing.
    for (back, is_over) in [(30, false), (3600, true), (0, false)] {
        house.clock.set_wall(now.minus(Duration::from_secs(back)));
        let sent = client.send(&house, api, Some(&good), Some(&token)).await;
        assert_eq!(sent.is_err(), is_over, "{back} seconds back");
        if is_over {
            assert_eq!(session_error(sent), SessionError::Expired);
        }
    }
}

#[tokio::test]
async fn a_second_session_with_the_same_id_key_or_token_is_refused() {
    let house = house().await;
    let first = Commitment {
        session_id: Uuid::new_v4(),
        operation: OperationType::SignIn,
        ephemeral_key: [1; 32],
        token_hash: [2; 32],
    };
    let (public_key, signature) = house.sessions.commit(first.clone()).await.unwrap();
    let digest = sha(&hex::encode(public_key));
    assert!(crate::crypto::verify_signature(
        &public_key,
        &digest,
        &signature
    ));
    for part in 0..3 {
        let mut second = Commitment {
            session_id: Uuid::new_v4(),
            operation: OperationType::SignIn,
            ephemeral_key: [3; 32],
            token_hash: [4; 32],
        };
        match part {
            0 => second.session_id = first.session_id,
            1 => second.ephemeral_key = first.ephemeral_key,
            _ => second.token_hash = first.token_hash,
        }
        let refused = house.sessions.commit(second).await;
        assert_eq!(session_error(refused), SessionError::AlreadyExists);
    }
}
