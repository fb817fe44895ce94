//! Every sentence of api.md's "Commit-reveal".

use std::sync::atomic::{AtomicU64, Ordering};

use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use ksnode::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::support::{
    Answer, BOT_TOKEN, Node, Setup, database, get_body, public_key, register_body, share, token,
    wallet,
};
use crate::wire::{post_bytes, race};

/// A client inside a session.
struct Session {
    id: String,
    operation: &'static str,
    key: SigningKey,
    token: String,
    node_key: String,
}

/// A token of the user's that no other session of this program has.
fn fresh_token(user: u64) -> String {
    static USED: AtomicU64 = AtomicU64::new(0);
    let age = std::time::Duration::from_secs(USED.fetch_add(1, Ordering::Relaxed));
    let at = SystemClock::new().now().minus(age);
    let secret = ksnode::config::SecretText::new(BOT_TOKEN.into());
    ksnode::identity::telegram::sign(&secret, user, at)
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

impl Session {
    fn new(user: u64, operation: &'static str) -> Self {
        let token = fresh_token(user);
        Self {
            id: Uuid::new_v4().to_string(),
            operation,
            key: SigningKey::from_bytes(&sha256(&token)),
            token,
            node_key: String::new(),
        }
    }

    fn begun(node: &Node, user: u64, operation: &'static str) -> Self {
        let mut session = Self::new(user, operation);
        let data = node
            .post_open("/keyshare/v2/commit", &session.commitment())
            .data();
        session.node_key = data["node_pubkey"].as_str().unwrap().to_owned();
        session
    }

    fn commitment(&self) -> Value {
        json!({
            "session_id": self.id,
            "operation_type": self.operation,
            "client_ephemeral_pubkey": hex::encode(self.key.verifying_key().as_bytes()),
            "id_token_hash": hex::encode(sha256(&format!("telegram{}", self.token))),
        })
    }

    fn signature(&self, api: &str) -> String {
        let text = [
            &self.node_key,
            &self.id,
            "telegram",
            &self.token,
            self.operation,
            api,
        ]
        .concat();
        hex::encode(self.key.sign(&sha256(&text)).to_bytes())
    }

    /// `body` with the session's fields.
    fn signed(&self, api: &str, body: Value) -> Value {
        let mut body = body;
        body["cr_session_id"] = json!(self.id);
        body["cr_signature"] = json!(self.signature(api));
        body
    }

    fn call(&self, node: &Node, (path, api): (&str, &str), body: Value) -> Answer {
        node.post(path, &self.token, &self.signed(api, body))
    }

    /// The state in the database, and the calls recorded.
    fn stored(&self, home: &std::path::Path) -> (String, i64) {
        let id: Uuid = self.id.parse().unwrap();
        database(home)
            .query_row(
                "SELECT state, (SELECT count(*) FROM session_call WHERE session = session.id)
                 FROM session WHERE session_id = ?1",
                [id.as_bytes()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap()
    }
}

const GET: (&str, &str) = ("/keyshare/v2", "get_key_shares");
const REGISTER: (&str, &str) = ("/keyshare/v2/register", "register");
const RESHARE: (&str, &str) = ("/keyshare/v2/reshare", "reshare");
const JOIN: (&str, &str) = ("/keyshare/v2/reshare/register", "reshare_register");
const ADD: (&str, &str) = ("/keyshare/v2/register/ed25519", "register_ed25519");
const CALLS: [(&str, &str); 5] = [GET, REGISTER, RESHARE, JOIN, ADD];

/// The body with which a call of user `number` would succeed.
fn body_of(call: (&str, &str), number: u64) -> Value {
    match call {
        GET => get_body(number),
        ADD => {
            let mut body = wallet("ed25519", number);
            body["auth_type"] = json!("telegram");
            body
        }
        _ => register_body(number),
    }
}

fn node_with(home: &tempfile::TempDir, mode: &str) -> Node {
    Setup::new(home.path())
        .env("KSNODE_COMMIT_REVEAL__MODE", mode)
        .start()
}

fn register(node: &Node, user: u64) {
    node.post(REGISTER.0, &token(user), &register_body(user))
        .data();
}

#[test]
fn a_commitment_is_answered_with_the_nodes_signature() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for path in ["/keyshare/v2/commit", "/commit-reveal/v2/commit/"] {
        let data = node
            .post_open(path, &Session::new(1, "sign_in").commitment())
            .data();
        assert_eq!(data.as_object().unwrap().len(), 2, "{data}");
        let text = data["node_pubkey"].as_str().unwrap();
        assert_eq!(text, node.get("/status").json()["ks_node_public_key"]);
        let key: [u8; 32] = hex::decode(text).unwrap().try_into().unwrap();
        let signature = hex::decode(data["node_signature"].as_str().unwrap()).unwrap();
        let signature = Signature::from_bytes(&signature.try_into().unwrap());
        VerifyingKey::from_bytes(&key)
            .unwrap()
            .verify(&sha256(text), &signature)
            .unwrap();
    }
    let first = Session::begun(&node, 1, "sign_in");
    for field in ["session_id", "client_ephemeral_pubkey", "id_token_hash"] {
        let mut second = Session::new(1, "sign_up").commitment();
        second[field] = first.commitment()[field].clone();
        node.post_open("/keyshare/v2/commit", &second)
            .refused(409, "SESSION_ALREADY_EXISTS");
        let upper = second[field].as_str().unwrap().to_uppercase();
        second[field] = json!(upper);
        node.post_open("/keyshare/v2/commit", &second)
            .refused(409, "SESSION_ALREADY_EXISTS");
    }
    for (field, wrong) in [
        ("session_id", json!("not-a-uuid")),
        ("session_id", json!("c232ab00-9414-11ec-b3c8-9f6bdeced846")),
        ("session_id", json!(null)),
        ("operation_type", json!("sign_off")),
        ("operation_type", json!(3)),
        ("client_ephemeral_pubkey", json!("00")),
        ("client_ephemeral_pubkey", json!("zz".repeat(32))),
        ("client_ephemeral_pubkey", json!(null)),
        ("id_token_hash", json!("00".repeat(33))),
        ("id_token_hash", json!([])),
    ] {
        let mut body = Session::new(1, "sign_in").commitment();
        body[field] = wrong;
        let message = node
            .post_open("/keyshare/v2/commit", &body)
            .refused(400, "INVALID_REQUEST");
        assert!(message.contains(field), "{message}");
    }
    let body = json!(["c", "sign_in", "00", "00"]);
    node.post_open("/keyshare/v2/commit", &body)
        .refused(400, "INVALID_REQUEST");
}

#[test]
fn each_operation_allows_its_calls_and_its_last_completes_it() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for (user, operation, allowed) in [
        (1, "sign_in", &[GET][..]),
        (2, "sign_up", &[REGISTER]),
        (3, "sign_in_reshare", &[GET, RESHARE]),
        (4, "register_reshare", &[GET, JOIN]),
        (5, "add_ed25519", &[ADD, GET]),
    ] {
        match operation {
            "sign_in" | "sign_in_reshare" => register(&node, user),
            "register_reshare" => {
                // What it fetches are the shares of other wallets than it then stores.
                node.post(REGISTER.0, &token(user), &register_body(user + 100))
                    .data();
            }
            "add_ed25519" => {
                let secp = json!({"auth_type": "telegram", "wallets":
                    {"secp256k1": wallet("secp256k1", user)}});
                node.post(JOIN.0, &token(user), &secp).data();
            }
            _ => {}
        }
        let session = Session::begun(&node, user, operation);
        for call in CALLS.into_iter().filter(|call| !allowed.contains(call)) {
            let message = session
                .call(&node, call, body_of(call, user))
                .refused(400, "INVALID_REQUEST");
            assert!(message.contains("not allowed"), "{message}");
        }
        for (index, &call) in allowed.iter().enumerate() {
            assert_eq!(
                session.stored(home.path()),
                ("COMMITTED".into(), index as i64),
                "{operation}"
            );
            let number = match (operation, call) {
                ("register_reshare", GET) => user + 100,
                _ => user,
            };
            session.call(&node, call, body_of(call, number)).data();
            if index + 1 < allowed.len() {
                // Once: whoever heard the call cannot repeat it.
                session
                    .call(&node, call, body_of(call, number))
                    .refused(409, "INVALID_REQUEST");
            }
        }
        assert_eq!(session.stored(home.path()).0, "COMPLETED", "{operation}");
        for call in CALLS {
            let message = session
                .call(&node, call, body_of(call, user))
                .refused(400, "INVALID_REQUEST");
            assert!(message.contains("COMPLETED"), "{message}");
        }
    }
    // A completing call may be the first.
    register(&node, 6);
    let session = Session::begun(&node, 6, "sign_in_reshare");
    session.call(&node, RESHARE, register_body(6)).data();
    assert_eq!(session.stored(home.path()), ("COMPLETED".into(), 1));
}

/// Every request fails the check of its row and all later ones that it can: the answer tells which came first.
#[test]
fn checks_come_in_their_order() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for user in [1, 2] {
        register(&node, user);
    }
    let post = |token: Option<&str>, body: &Value| match token {
        Some(token) => node.post(GET.0, token, body),
        None => node.post_open(GET.0, body),
    };
    let stranger = fresh_token(2);
    let with = |body: &Value, field: &str, value: Value| {
        let mut body = body.clone();
        body[field] = value;
        body
    };

    // Both fields or none.
    let session = Session::begun(&node, 1, "sign_up");
    let bad = json!({"auth_type": "telegram", "cr_signature": "zz", "cr_session_id": session.id});
    for field in ["cr_signature", "cr_session_id"] {
        post(None, &with(&bad, field, json!(null))).refused(400, "INVALID_REQUEST");
        let typed = post(None, &with(&bad, field, json!(5))).refused(400, "INVALID_REQUEST");
        assert!(typed.contains(field), "{typed}");
    }
    // Known.
    for id in [Uuid::new_v4().to_string(), "no uuid".into(), String::new()] {
        post(None, &with(&bad, "cr_session_id", json!(id))).refused(404, "SESSION_NOT_FOUND");
    }
    // State, before expiry.
    let expire = |session: &Session, state: &str| {
        let id: Uuid = session.id.parse().unwrap();
        database(home.path())
            .execute(
                "UPDATE session SET expires_at = 1700000000000, state = ?2 WHERE session_id = ?1",
                rusqlite::params![id.as_bytes(), state],
            )
            .unwrap();
    };
    expire(&session, "COMPLETED");
    let message = post(None, &bad).refused(400, "INVALID_REQUEST");
    assert!(message.contains("COMPLETED"), "{message}");
    // Expiry, before what is allowed.
    expire(&session, "COMMITTED");
    post(None, &bad).refused(410, "SESSION_EXPIRED");
    // Allowed, before the signature's form.
    let session = Session::begun(&node, 1, "sign_up");
    let bad = with(&bad, "cr_session_id", json!(session.id));
    let message = post(None, &bad).refused(400, "INVALID_REQUEST");
    assert!(message.contains("not allowed"), "{message}");
    // The signature's form, before the bearer.
    let session = Session::begun(&node, 1, "sign_in");
    let bad = with(&bad, "cr_session_id", json!(session.id));
    let good = session.signature(GET.1);
    for malformed in [
        "zz".to_owned(),
        String::new(),
        good[2..].to_owned(),
        format!("{good}00"),
        format!("0x{good}"),
        format!("zz{}", &good[2..]),
    ] {
        post(None, &with(&bad, "cr_signature", json!(malformed))).refused(400, "INVALID_SIGNATURE");
    }
    // The bearer, before its hash.
    let wrong = with(&bad, "cr_signature", json!("00".repeat(64)));
    post(None, &wrong).refused(401, "UNAUTHORIZED");
    let basic = [("authorization", "Basic abc")];
    node.post_with(GET.0, &basic, &wrong)
        .refused(401, "UNAUTHORIZED");
    // The hash, before the signature; a token that would not verify does not come so far.
    for token in [stranger.as_str(), "nonsense"] {
        let message = post(Some(token), &wrong).refused(400, "INVALID_REQUEST");
        assert!(message.contains("id_token_hash mismatch"), "{message}");
    }
    let other_type = with(&wrong, "auth_type", json!("google"));
    let message = post(Some(&session.token), &other_type).refused(400, "INVALID_REQUEST");
    assert!(message.contains("id_token_hash mismatch"), "{message}");
    // The signature, before anything else in the body.
    post(Some(&session.token), &wrong).refused(400, "INVALID_SIGNATURE");
    for api in ["register", "get_key_shares ", ""] {
        let other = with(&bad, "cr_signature", json!(session.signature(api)));
        post(Some(&session.token), &other).refused(400, "INVALID_SIGNATURE");
    }
    // After all of it, the body is looked at, and nothing was recorded on the way.
    let empty = session.signed(GET.1, json!({"auth_type": "telegram"}));
    post(Some(&session.token), &empty).refused(400, "INVALID_REQUEST");
    assert_eq!(session.stored(home.path()), ("COMMITTED".into(), 0));
    let upper = session.signature(GET.1).to_uppercase();
    let mut body = session.signed(GET.1, get_body(1));
    body["cr_signature"] = json!(upper);
    post(Some(&session.token), &body).data();
}

#[test]
fn the_committed_token_must_verify() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let mut session = Session::new(1, "sign_in");
    session.token = r#"{"id":1,"auth_date":1,"hash":"00"}"#.into();
    let data = node
        .post_open("/keyshare/v2/commit", &session.commitment())
        .data();
    session.node_key = data["node_pubkey"].as_str().unwrap().to_owned();
    session
        .call(&node, GET, get_body(1))
        .refused(401, "UNAUTHORIZED");
    assert_eq!(session.stored(home.path()), ("COMMITTED".into(), 0));
}

#[test]
fn a_call_that_failed_may_be_tried_again() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let untouched = ("COMMITTED".to_owned(), 0);
    register(&node, 1);

    let up = Session::begun(&node, 2, "sign_up");
    for (body, status, code) in [
        (register_body(1), 409, "DUPLICATE_PUBLIC_KEY"),
        (json!({"auth_type": "telegram"}), 400, "INVALID_REQUEST"),
    ] {
        up.call(&node, REGISTER, body).refused(status, code);
        assert_eq!(up.stored(home.path()), untouched);
    }
    up.call(&node, REGISTER, register_body(2)).data();

    let sign_in = Session::begun(&node, 2, "sign_in");
    sign_in
        .call(&node, GET, get_body(9))
        .refused(404, "WALLET_NOT_FOUND");
    assert_eq!(sign_in.stored(home.path()), untouched);
    sign_in.call(&node, GET, get_body(2)).data();

    let reshare = Session::begun(&node, 2, "sign_in_reshare");
    let mut wrong = register_body(2);
    wrong["wallets"]["ed25519"]["share"] = json!(share("ed25519", 9));
    reshare
        .call(&node, RESHARE, wrong)
        .refused(500, "RESHARE_FAILED");
    assert_eq!(reshare.stored(home.path()), untouched);
    reshare.call(&node, RESHARE, register_body(2)).data();

    let add = Session::begun(&node, 3, "add_ed25519");
    add.call(&node, ADD, body_of(ADD, 3))
        .refused(404, "USER_NOT_FOUND");
    let join = Session::begun(&node, 3, "register_reshare");
    join.call(&node, GET, get_body(3))
        .refused(404, "USER_NOT_FOUND");
    join.call(&node, JOIN, register_body(1))
        .refused(409, "DUPLICATE_PUBLIC_KEY");
    assert_eq!(join.stored(home.path()), untouched);
    let secp = json!({"auth_type": "telegram", "wallets": {"secp256k1": wallet("secp256k1", 3)}});
    join.call(&node, JOIN, secp).data();
    add.call(&node, ADD, body_of(ADD, 3)).data();
}

#[test]
fn of_racing_calls_one_takes_effect() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    register(&node, 1);
    for round in 0..20_u64 {
        // Identical calls.
        for (operation, call, user) in [
            ("sign_in", GET, 1),
            ("sign_in_reshare", GET, 1),
            ("sign_in_reshare", RESHARE, 1),
            ("sign_up", REGISTER, 100 + round),
            ("register_reshare", JOIN, 200 + round),
        ] {
            let session = Session::begun(&node, user, operation);
            let body = session.signed(call.1, body_of(call, user));
            let requests = vec![post_bytes(call.0, &session.token, &body); 6];
            let answers = race(&node, &requests);
            let won = answers.iter().filter(|answer| answer.status == 200);
            assert_eq!(won.count(), 1, "{operation}: {answers:?}");
            for answer in answers.iter().filter(|answer| answer.status != 200) {
                assert!([400, 409].contains(&answer.status), "{answer:?}");
                assert_eq!(answer.json()["code"], "INVALID_REQUEST", "{answer:?}");
            }
            assert_eq!(session.stored(home.path()).1, 1);
        }
        // One session, different new wallets: those of one call are stored.
        let user = 300 + round;
        let session = Session::begun(&node, user, "sign_up");
        let numbers: Vec<u64> = (0..6).map(|racer| user * 10 + racer).collect();
        let requests: Vec<_> = numbers
            .iter()
            .map(|&number| {
                let body = session.signed(REGISTER.1, register_body(number));
                post_bytes(REGISTER.0, &session.token, &body)
            })
            .collect();
        let answers = race(&node, &requests);
        for (number, answer) in numbers.into_iter().zip(&answers) {
            let key =
                json!({"auth_type": "telegram", "public_key": public_key("secp256k1", number)});
            let stored = node.post("/keyshare/v1", &token(user), &key);
            assert_eq!(stored.status == 200, answer.status == 200, "{answers:?}");
        }
        let won = answers.iter().filter(|answer| answer.status == 200);
        assert_eq!(won.count(), 1, "{answers:?}");
    }
}

#[test]
fn racing_commitments_make_one_session() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for _ in 0..20 {
        let commitment = Session::new(1, "sign_in").commitment();
        let requests = vec![post_bytes("/keyshare/v2/commit", "", &commitment); 6];
        let answers = race(&node, &requests);
        let (made, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status == 200);
        assert_eq!(made.len(), 1, "{answers:?}");
        for answer in refused {
            answer.refused(409, "SESSION_ALREADY_EXISTS");
        }
    }
}

#[test]
fn sessions_are_optional_unless_configured_otherwise() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    register(&node, 1);
    node.post(GET.0, &token(1), &get_body(1)).data();
    let mut null = get_body(1);
    null["cr_session_id"] = json!(null);
    null["cr_signature"] = json!(null);
    node.post(GET.0, &token(1), &null).data();
}

#[test]
fn where_sessions_are_required_nothing_goes_without() {
    let home = tempfile::tempdir().unwrap();
    let node = node_with(&home, "required");
    for call in CALLS {
        node.post(call.0, &token(1), &body_of(call, 1))
            .refused(400, "INVALID_REQUEST");
    }
    let up = Session::begun(&node, 1, "sign_up");
    up.call(&node, REGISTER, register_body(1)).data();
    // The first generation knows no sessions and would be a way around.
    let mut v1 = wallet("secp256k1", 1);
    v1["auth_type"] = json!("telegram");
    for call in ["", "/register", "/reshare"] {
        let path = format!("/keyshare/v1{call}");
        node.post(&path, &token(1), &v1)
            .refused(400, "INVALID_REQUEST");
        let session = Session::begun(&node, 1, "sign_in");
        node.post(&path, &session.token, &session.signed(GET.1, v1.clone()))
            .refused(400, "INVALID_REQUEST");
    }
    // What takes no token goes on.
    v1["user_auth_id"] = json!("telegram_1");
    assert_eq!(
        node.post_open("/keyshare/v1/check", &v1).data(),
        json!({"exists": true})
    );
    let mut v2 = get_body(1);
    v2["user_auth_id"] = json!("telegram_1");
    node.post_open("/keyshare/v2/check", &v2).data();
    let sign_in = Session::begun(&node, 1, "sign_in");
    sign_in.call(&node, GET, get_body(1)).data();
}

#[test]
fn where_sessions_are_off_they_are_ignored_and_not_made() {
    let home = tempfile::tempdir().unwrap();
    let node = node_with(&home, "off");
    register(&node, 1);
    let session = Session::new(1, "sign_in");
    for path in ["/keyshare/v2/commit", "/commit-reveal/v2/commit"] {
        node.post_open(path, &session.commitment())
            .refused(400, "INVALID_REQUEST");
    }
    for _ in 0..2 {
        session.call(&node, GET, get_body(1)).data();
    }
    let mut half = get_body(1);
    half["cr_signature"] = json!("nonsense");
    node.post(GET.0, &token(1), &half).data();
}
