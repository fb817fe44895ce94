//! The data of every release is served by this program: `tests/golden/releases` holds a small node of each, as that
//! release left it, and what it must serve.
//!
//! The folder of the release being made is written by this test, with this program, when it is run with
//! `KSNODE_GOLDEN=write`: as the last step before a release, and whenever its schema has changed until then. Once a
//! release is in the changelog its folder is never written again, and the test refuses to: from then on its schema is
//! what operators have, and a migration whose SQL is changed afterwards makes a database that differs from it.

mod making;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use ksnode::node::MIGRATIONS;
use ksnode::store::{migrate, schema_text};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::identities::{DISCORD, KEYS, X, auth0, google, providers};
use crate::issuer::{Issuer, RSA};
use crate::operator::{listed, names, open};
use crate::support::{Node, Setup, public_key, share, token, wallet};
use crate::tls::acme::certificate;

/// The user of Telegram's; the others have the numbers after.
const USER: u64 = 71;
/// The users of each release, and who they are to the node.
const USERS: [(&str, &str); 6] = [
    ("telegram", "telegram_71"),
    ("google", "google_108"),
    ("auth0", "someone@example.org"),
    ("x", "x_42"),
    ("discord", "discord_43"),
    ("own", "staff:e-5"),
];
const CURVES: [&str; 2] = ["secp256k1", "ed25519"];

/// A release, as its folder tells.
struct Release {
    folder: PathBuf,
    /// `expected.json`
    expected: Value,
}

static RELEASES: LazyLock<Vec<Release>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/releases");
    if std::env::var_os("KSNODE_GOLDEN").is_some_and(|value| value == "write") {
        assert!(!is_released(), "its folder is never written again");
        making::write(&folder.join(env!("CARGO_PKG_VERSION")));
    }
    let read = |name: String| {
        let folder = folder.join(name);
        let expected = std::fs::read(folder.join("expected.json")).unwrap();
        Release {
            expected: serde_json::from_slice(&expected).unwrap(),
            folder,
        }
    };
    names(&folder).into_iter().map(read).collect()
});

/// Whether the changelog has this version as one that was released.
fn is_released() -> bool {
    let changelog = Path::new(env!("CARGO_MANIFEST_DIR")).join("CHANGELOG.md");
    let changelog = std::fs::read_to_string(changelog).unwrap();
    changelog.contains(concat!("## [", env!("CARGO_PKG_VERSION"), "]"))
}

impl Release {
    fn schema(&self) -> usize {
        self.expected["schema"].as_u64().unwrap() as usize
    }

    /// A node with a copy of its data, and with providers that know its users.
    fn copy(&self, home: &Path) -> (Issuer, Setup) {
        let issuer = issuer();
        let setup = providers(home, &issuer).env("KSNODE_BACKUP__AT", "");
        let data = setup.data("");
        std::fs::create_dir_all(&data).unwrap();
        for name in ["ksnode.db", "node-id", "secret"] {
            let path = data.join(name);
            std::fs::copy(self.folder.join(name), &path).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        }
        (issuer, setup)
    }
}

/// Providers that know [`USERS`].
fn issuer() -> Issuer {
    let issuer = Issuer::start();
    issuer.publishes(KEYS, &[RSA.published("key")]);
    let x = json!({"data": {"id": "42", "name": "N", "username": "n"}});
    issuer.answers_by_token(X, &[("x-token", 200, x)]);
    let discord = json!({"id": "43", "email": "d@example.com"});
    issuer.answers_by_token(DISCORD, &[("d-token", 200, discord)]);
    issuer
}

fn bearer(auth_type: &str) -> String {
    match auth_type {
        "telegram" => token(USER),
        "google" => RSA.token("key", &google()),
        "auth0" => RSA.token("key", &auth0()),
        "x" => "x-token".into(),
        "discord" => "d-token".into(),
        _ => {
            let mut claims = google();
            claims["iss"] = json!("https://own.example");
            claims["aud"] = json!("own-client");
            claims["employee"] = json!("e-5");
            RSA.token("key", &claims)
        }
    }
}

fn call(node: &Node, auth_type: &str, path: &str, wallets: &Value) -> crate::support::Answer {
    let body = json!({"auth_type": auth_type, "wallets": wallets});
    node.post(path, &bearer(auth_type), &body)
}

/// Asserts that everything of the release is served, and can be worked with.
fn serves(node: &Node, expected: &Value) {
    let status = node.get("/status").json();
    assert_eq!(status["ks_node_public_key"], expected["public_key"]);
    let users = expected["users"].as_array().unwrap();
    assert_eq!(users.len(), USERS.len());
    for user in users {
        let auth_type = user["auth_type"].as_str().unwrap();
        let wallets = user["wallets"].as_object().unwrap();
        let keys = wallets
            .iter()
            .map(|(curve, wallet)| (curve.clone(), wallet["public_key"].clone()));
        let keys = Value::Object(keys.collect());
        let got = call(node, auth_type, "/keyshare/v2", &keys).data();
        for (curve, wallet) in wallets {
            assert_eq!(got[curve]["share"], wallet["share"], "{user}");
            assert_eq!(got[curve]["share_id"], wallet["share_id"], "{user}");
        }
        let check = json!({
            "auth_type": auth_type, "user_auth_id": user["user_auth_id"], "wallets": keys,
        });
        let found = node.post_open("/keyshare/v2/check", &check).data();
        for curve in wallets.keys() {
            assert_eq!(found[curve]["exists"], true, "{user}");
        }
        let wallets = Value::Object(wallets.clone());
        call(node, auth_type, "/keyshare/v2/reshare", &wallets).data();
        let answer = call(node, auth_type, "/keyshare/v2/reshare/register", &wallets);
        answer.refused(409, "DUPLICATE_PUBLIC_KEY");
    }
    let new = json!({"secp256k1": wallet("secp256k1", 99), "ed25519": wallet("ed25519", 99)});
    call(node, "x", "/keyshare/v2/register", &new).data();
}

#[test]
fn the_data_of_every_release_is_served() {
    for release in &*RELEASES {
        println!("{}", release.folder.display());
        let home = tempfile::tempdir().unwrap();
        let (_issuer, setup) = release.copy(home.path());
        let older = release.schema() < MIGRATIONS.len();
        let node = setup.start();
        let entries = listed(&setup);
        let kinds: Vec<_> = entries.iter().map(|entry| entry["kind"].as_str()).collect();
        let expected = [Some("before-migration"), Some("manual")];
        assert_eq!(kinds, expected[usize::from(!older)..]);
        assert_eq!(node.get("/status").json()["is_db_backup_checked"], older);
        assert!(entries.iter().all(|entry| entry["status"] == "COMPLETED"));
        serves(&node, &release.expected);
        assert!(node.stop().success());
        holds_its_certificate(&setup, &release.expected["certificate"]);
    }
}

/// What an authority issued to the release is used still; the authority is not there.
fn holds_its_certificate(setup: &Setup, expected: &Value) {
    let text = |name: &str| expected[name].as_str().unwrap();
    let setup = setup
        .clone()
        .env("KSNODE_TLS__MODE", "acme")
        .env("KSNODE_TLS__DOMAINS", text("domains"))
        .env("KSNODE_TLS__CONTACT", text("contact"))
        .env("KSNODE_TLS__DIRECTORY", text("directory"));
    let _node = setup.start();
    let found = certificate(&setup);
    assert_eq!(found["sha256"], expected["sha256"], "{found}");
}

#[test]
fn no_schema_was_changed_after_its_release() {
    for release in &*RELEASES {
        let (folder, schema) = (release.folder.display(), release.schema());
        assert!(schema <= MIGRATIONS.len(), "{folder} is of schema {schema}");
        // On a copy: SQLite makes files beside what it opens.
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("ksnode.db");
        std::fs::copy(release.folder.join("ksnode.db"), &path).unwrap();
        let released = Connection::open(path).unwrap();
        let found: usize = released
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(schema, found);
        let mut made = Connection::open_in_memory().unwrap();
        migrate(&mut made, &MIGRATIONS[..schema]).unwrap();
        let released = schema_text(&released).unwrap();
        let made = schema_text(&made).unwrap();
        let other = |(released, made): &(&String, &String)| released != made;
        assert_eq!(
            (released.iter().zip(&made).find(other), released.len()),
            (None, made.len()),
            "{folder} (left) and a database made now: a migration up to schema {schema} is not what it was. Once released it \
             must not be changed; until then, run this test with KSNODE_GOLDEN=write"
        );
    }
}

#[test]
#[cfg(not(feature = "rehearsal"))]
fn this_release_is_among_them() {
    let this = RELEASES
        .iter()
        .find(|release| release.folder.ends_with(env!("CARGO_PKG_VERSION")));
    if is_released() {
        let schema = this.map(Release::schema);
        assert_eq!(
            schema,
            Some(MIGRATIONS.len()),
            "write it: KSNODE_GOLDEN=write"
        );
    }
}
