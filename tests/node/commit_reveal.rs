//! Every sentence of api.md's "Commit-reveal".

mod modes;
mod order;
mod races;

use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use ksnode::clock::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::support::{
    Answer, BOT_TOKEN, Node, Setup, database, get_body, register_body, share, token, wallet,
};

/// A client inside a session.
pub struct Session {
    id: String,
    operation: &'static str,
    key: SigningKey,
    token: String,
    node_key: String,
}

/// A token of the user's that no other session of this program has: each is a second older than the one before.
fn fresh_token(user: u64) -> String {
    static OLDEST: LazyLock<Mutex<Timestamp>> =
        LazyLock::new(|| Mutex::new(SystemClock::new().now()));
    let mut oldest = OLDEST.lock().unwrap();
    *oldest = oldest.minus(Duration::from_secs(1));
    let secret = ksnode::config::SecretText::new(BOT_TOKEN.into());
    ksnode::identity::telegram::sign(&secret, user, *oldest)
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

    pub fn begun(node: &Node, user: u64, operation: &'static str) -> Self {
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

    pub fn call(&self, node: &Node, (path, api): (&str, &str), body: Value) -> Answer {
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

pub const GET: (&str, &str) = ("/keyshare/v2", "get_key_shares");
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
