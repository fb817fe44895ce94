//! Promise: whoever holds the node's files, and not the encryption secret, learns neither shares nor who the users are
//! nor their public keys; and no token or password of anybody.

mod needle;
mod replica;

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use needle::{Needle, contains};
use serde_json::{Value, json};

use crate::operator::{backup, restore};
use crate::receiver::Receiver;
use crate::support::{
    BOT_TOKEN, Node, Setup, get_body, public_key, register_body, share, token, wait_for, wallet,
};

/// Long enough to occur nowhere by chance.
const USERS: std::ops::Range<u64> = 771_234_567_890_123..771_234_567_890_127;
/// Who has nothing here and is only asked for.
const STRANGER: u64 = 661_234_567_890_999;
const EMAIL: &str = "margarethe.known-to-nobody@mail.example.org";
const X_USER: &str = "551234567890777";
const X_TOKEN: &str = "an-opaque-access-token-of-x";
const SECRET: &str = "the secret that the operator of this node chose himself";
const ADMIN_PASSWORD: &str = "correct-horse-battery-staple-of-the-admin";
const REPORT_PASSWORD: &str = "password-of-the-telemetry-reports";

fn needles() -> Vec<Needle> {
    let mut needles = vec![
        Needle::new("email", EMAIL.as_bytes()),
        Needle::new("user part of the email", b"margarethe.known-to-nobody"),
        Needle::new("X user", X_USER.as_bytes()),
        Needle::new("X token", X_TOKEN.as_bytes()),
        Needle::new("secret", SECRET.as_bytes()),
        Needle::new("admin password", ADMIN_PASSWORD.as_bytes()),
        Needle::new("report password", REPORT_PASSWORD.as_bytes()),
        Needle::new("bot token", BOT_TOKEN.as_bytes()),
        Needle::number("stranger", STRANGER),
    ];
    for user in USERS.chain([STRANGER]) {
        needles.push(Needle::number("telegram id", user));
        for curve in ["secp256k1", "ed25519"] {
            let (key, share) = (public_key(curve, user), share(curve, user));
            let (key, share) = (hex::decode(key).unwrap(), hex::decode(share).unwrap());
            // A point's first byte says only its sign; and either half of a share is a secret.
            needles.push(Needle::new(
                format!("{curve} key of {user}"),
                &key[key.len() - 32..],
            ));
            needles.push(Needle::new(
                format!("{curve} share of {user}, x"),
                &share[..32],
            ));
            needles.push(Needle::new(
                format!("{curve} share of {user}, y"),
                &share[32..],
            ));
        }
    }
    needles
}

/// Every file below a folder. A socket has no content.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.is_file() {
            files.push(path);
        }
    }
    files
}

#[track_caller]
fn assert_blind(node_files: &[PathBuf], needles: &[Needle]) {
    for path in node_files {
        let content = std::fs::read(path).unwrap();
        for needle in needles {
            assert!(
                !needle.is_in(&content),
                "{} is in {}",
                needle.name,
                path.display()
            );
        }
    }
}

struct House {
    _home: tempfile::TempDir,
    setup: Setup,
    logs: PathBuf,
    receiver: Receiver,
}

impl House {
    /// A node that logs as much as it can, with everything that it must keep to itself.
    fn new(format: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let receiver = Receiver::start(|request| match request.line.as_str() {
            "GET /2/users/me" => (
                200,
                json!({"data": {"id": X_USER, "name": "N"}}).to_string(),
            ),
            _ => (200, "{}".into()),
        });
        let secret = home.path().join("the-secret");
        std::fs::write(&secret, SECRET).unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let logs = home.path().join("logs");
        let setup = Setup::new(home.path())
            .env("KSNODE_SECRET_FILE", secret.to_str().unwrap())
            .env("KSNODE_LOG__DIR", logs.to_str().unwrap())
            .env("KSNODE_LOG__LEVEL", "trace")
            .env("KSNODE_LOG__FORMAT", format)
            .env("KSNODE_ADMIN__PASSWORD", ADMIN_PASSWORD)
            .env("KSNODE_TELEMETRY__BASE_URL", &receiver.url)
            .env("KSNODE_TELEMETRY__PASSWORD", REPORT_PASSWORD)
            .env(
                "KSNODE_IDENTITY__X__USER_URL",
                &format!("{}/2/users/me", receiver.url),
            );
        Self {
            _home: home,
            setup,
            logs,
            receiver,
        }
    }

    fn files(&self, node_log: &Path) -> Vec<PathBuf> {
        let mut all = files(&self.setup.data(""));
        all.extend(files(&self.logs));
        all.push(node_log.to_owned());
        all
    }
}

fn names_of(files: &[PathBuf]) -> Vec<String> {
    files
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_searcher_finds_what_is_there() {
    let house = House::new("text");
    let node = house.setup.start();
    let log = node.log.clone();
    node.stop();
    let database = house.setup.data("ksnode.db");
    let clean = std::fs::read(&database).unwrap();
    for needle in needles() {
        assert!(!needle.is_in(&clean), "{}", needle.name);
        for spelling in &needle.spellings {
            let middle = clean.len() / 2;
            let planted = [&clean[..middle], spelling, &clean[middle..]].concat();
            assert!(needle.is_in(&planted), "{}", needle.name);
        }
    }
    // And through the same walk over the files that the test below takes.
    let key = hex::decode(public_key("ed25519", USERS.start)).unwrap();
    for prefix in ["", "x", "xy"] {
        let text = STANDARD_NO_PAD.encode([prefix.as_bytes(), &key, b"tail"].concat());
        std::fs::write(&database, [&clean[..], text.as_bytes()].concat()).unwrap();
        let found = std::panic::catch_unwind(|| assert_blind(&house.files(&log), &needles()));
        assert!(found.is_err(), "planted behind {prefix:?}");
    }
}

#[test]
fn nothing_readable_rests_in_database_backups_and_logs() {
    blind_with("text");
}

#[test]
fn nothing_readable_rests_in_json_logs() {
    blind_with("json");
}

fn blind_with(format: &str) {
    let house = House::new(format);
    let node = house.setup.start();
    let mut needles = needles();
    needles.extend(use_it(&node));
    misuse_it(&node);
    let made = backup(&house.setup);
    restore(&house.setup, &made);
    wait_for("a report", || {
        house
            .receiver
            .received()
            .iter()
            .any(|r| r.line.starts_with("POST"))
            .then_some(())
    });
    // The threads that write the logs have written all when they have written the line of the last request.
    let last = node.get("/the-last-one").header("x-request-id").to_owned();
    for log in [vec![node.log.clone()], files(&house.logs)].concat() {
        wait_for("the log", || {
            contains(&std::fs::read(&log).unwrap(), last.as_bytes()).then_some(())
        });
    }

    let running = house.files(&node.log);
    let names = names_of(&running);
    for expected in ["ksnode.db", "ksnode.db-wal", "ksnode.db-shm", "stderr.log"] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
    for expected in [".log", "-manual-", "-before-restore-"] {
        let there = |name: &String| name.starts_with("ksnode-20") && name.contains(expected);
        assert!(names.iter().any(there), "{names:?}");
    }
    assert_blind(&running, &needles);
    for needle in &needles {
        assert!(!needle.is_in(node.printed.as_bytes()), "{}", needle.name);
    }
    let log = node.log.clone();
    assert!(std::fs::read_to_string(&log).unwrap().contains("TRACE"));
    node.stop();
    assert_blind(&house.files(&log), &needles);
    // It was all there nevertheless.
    let user = USERS.start;
    let data = house
        .setup
        .start()
        .post("/keyshare/v2", &token(user), &get_body(user))
        .data();
    assert_eq!(data["ed25519"]["share"], share("ed25519", user));
}

/// Calls that succeed. Returns the tokens that were used.
fn use_it(node: &Node) -> Vec<Needle> {
    let mut used = Vec::new();
    for user in USERS {
        let token = token(user);
        node.post("/keyshare/v2/register", &token, &register_body(user))
            .data();
        node.post("/keyshare/v2", &token, &get_body(user)).data();
        node.post("/keyshare/v2/reshare", &token, &register_body(user))
            .data();
        let fields: Value = serde_json::from_str(&token).unwrap();
        used.push(Needle::new(
            "hash of a token",
            fields["hash"].as_str().unwrap().as_bytes(),
        ));
        used.push(Needle::new("token", token.as_bytes()));
    }
    for (auth_type, user) in [
        ("auth0", EMAIL),
        ("telegram", &format!("telegram_{STRANGER}")),
    ] {
        let mut body = json!({"auth_type": auth_type, "user_auth_id": user});
        body["wallets"] = get_body(STRANGER)["wallets"].clone();
        node.post_open("/keyshare/v2/check", &body).data();
        body["public_key"] = public_key("secp256k1", STRANGER).into();
        node.post_open("/keyshare/v1/check", &body).data();
    }
    // Of this one the id comes from outside.
    let mut body = wallet("secp256k1", STRANGER);
    body["auth_type"] = "x".into();
    body["curve_type"] = "secp256k1".into();
    node.post("/keyshare/v1/register", X_TOKEN, &body).data();
    used.extend(in_a_session(node));
    used
}

/// A sign-in by commit-reveal, the second call of which is refused.
fn in_a_session(node: &Node) -> Vec<Needle> {
    use ed25519_dalek::{Signer, SigningKey};
    use sha2::{Digest, Sha256};
    let key = SigningKey::from_bytes(&[42; 32]);
    let (session, token) = (uuid::Uuid::new_v4().to_string(), token(USERS.start));
    let commit = json!({
        "session_id": session,
        "operation_type": "sign_in",
        "client_ephemeral_pubkey": hex::encode(key.verifying_key()),
        "id_token_hash": hex::encode(Sha256::digest(format!("telegram{token}"))),
    });
    let node_key = node.post_open("/keyshare/v2/commit", &commit).data()["node_pubkey"].clone();
    let node_key = node_key.as_str().unwrap();
    let signed = format!("{node_key}{session}telegram{token}sign_inget_key_shares");
    let signature = hex::encode(key.sign(&Sha256::digest(signed)).to_bytes());
    let mut body = get_body(USERS.start);
    body["cr_session_id"] = session.into();
    body["cr_signature"] = signature.into();
    node.post("/keyshare/v2", &token, &body).data();
    node.post("/keyshare/v2", &token, &body)
        .refused(400, "INVALID_REQUEST");
    vec![Needle::new("token of a session", token.as_bytes())]
}

/// Calls that fail, each with something in it that is nobody's business.
fn misuse_it(node: &Node) {
    let user = USERS.start;
    let (good, bad) = (token(user), token(user).replace("hash\":\"", "hash\":\"00"));
    let register = "/keyshare/v2/register";
    node.post(register, &good, &register_body(user))
        .refused(409, "DUPLICATE_PUBLIC_KEY");
    node.post(register, &bad, &register_body(user))
        .refused(401, "UNAUTHORIZED");
    node.post(register, &token(STRANGER), &register_body(user))
        .refused(409, "DUPLICATE_PUBLIC_KEY");
    node.post("/keyshare/v2", &token(STRANGER), &get_body(user))
        .refused(404, "USER_NOT_FOUND");
    node.post("/keyshare/v2", &token(user + 1), &get_body(user))
        .refused(401, "UNAUTHORIZED");
    node.post_open("/keyshare/v2", &get_body(user))
        .refused(401, "UNAUTHORIZED");
    let mut swapped = register_body(user);
    swapped["wallets"]["ed25519"]["share"] = share("ed25519", user + 1).into();
    node.post("/keyshare/v2/reshare", &good, &swapped)
        .refused(500, "RESHARE_FAILED");
    mangle_shares(node, &mut swapped);
    be_careless(node);
}

/// Where no share belongs, or in no form of one.
fn mangle_shares(node: &Node, body: &mut Value) {
    let (user, register) = (USERS.start, "/keyshare/v2/register");
    let good = token(user);
    for mangled in [
        json!([share("ed25519", user)]),
        json!(format!("0x{}", share("ed25519", user))),
        json!(share("ed25519", user) + "00"),
        json!({"hex": share("ed25519", user)}),
        json!(hex::decode(share("ed25519", user)).unwrap()),
    ] {
        body["wallets"]["ed25519"]["share"] = mangled;
        assert_eq!(node.post(register, &good, body).status, 400);
        body["auth_type"] = json!(EMAIL);
        assert_eq!(node.post(register, &good, body).status, 401);
        body["auth_type"] = json!("telegram");
    }
}

/// What a careless client might send.
fn be_careless(node: &Node) {
    let (user, register) = (USERS.start, "/keyshare/v2/register");
    let text = format!("{{\"share\": \"{}\", {EMAIL}", share("ed25519", user));
    let broken = crate::support::agent()
        .post(format!("{}{register}", node.url))
        .send(text)
        .unwrap();
    assert_eq!(broken.status().as_u16(), 400);
    node.get(&format!(
        "/status?token={X_TOKEN}&email={EMAIL}&share={}",
        share("ed25519", user)
    ));
    node.get(&format!("/keyshare/v2?user_auth_id={EMAIL}"));
    node.post(
        &format!("{register}?token={X_TOKEN}"),
        X_TOKEN,
        &json!({"auth_type": "x"}),
    );
    node.post_with(
        register,
        &[
            ("authorization", &format!("Basic {X_TOKEN}")),
            ("cookie", EMAIL),
        ],
        &json!({}),
    );
}
