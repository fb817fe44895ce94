//! Making the folder of the release that this program will be.

use std::path::Path;

use ksnode::node::MIGRATIONS;
use serde_json::{Value, json};

use super::{CURVES, USER, USERS, call, issuer, open, providers, public_key, share};
use crate::commit_reveal::Session;
use crate::operator::{backup, name};
use crate::support::{Node, Setup};
use crate::tls::acme::{issued, world};

const DOMAINS: &str = "node.example.org";

/// Writes it: the data of a node that was stopped, and what it served.
pub fn write(folder: &Path) {
    let home = tempfile::tempdir().unwrap();
    let issuer = issuer();
    let setup = providers(home.path(), &issuer).env("KSNODE_BACKUP__AT", "");
    let node = setup.start();
    let users: Vec<Value> = (USER..)
        .zip(USERS)
        .map(|user| register(&node, user))
        .collect();
    let public_key = node.get("/status").json()["ks_node_public_key"].clone();
    Session::begun(&node, USER, "sign_in");
    let saved = backup(&setup);
    assert!(node.stop().success());
    let certificate = have_certificate(home.path());
    // Nobody is to wonder whose folder that was.
    open(&setup)
        .execute(
            "UPDATE backup SET path = '/var/backups/ksnode/' || ?1",
            [name(&saved)],
        )
        .unwrap();
    let expected = json!({
        "schema": MIGRATIONS.len(),
        "public_key": public_key,
        "users": users,
        "certificate": certificate,
    });
    std::fs::create_dir_all(folder).unwrap();
    for name in ["ksnode.db", "node-id", "secret"] {
        std::fs::copy(setup.data(name), folder.join(name)).unwrap();
    }
    let log = setup.data("ksnode.db-wal");
    assert!(!log.exists(), "all of it is in the file");
    let text = serde_json::to_string_pretty(&expected).unwrap() + "\n";
    std::fs::write(folder.join("expected.json"), text).unwrap();
}

/// Registers a user with a wallet of each curve, or of one; some reshare. Returns what is to be served.
fn register(node: &Node, (number, (auth_type, user_auth_id)): (u64, (&str, &str))) -> Value {
    let curves = if auth_type == "discord" {
        &CURVES[..1]
    } else {
        &CURVES
    };
    let wallet = |curve: &&str| {
        let wallet =
            json!({"public_key": public_key(curve, number), "share": share(curve, number)});
        ((*curve).to_owned(), wallet)
    };
    let mut wallets = Value::Object(curves.iter().map(wallet).collect());
    call(node, auth_type, "/keyshare/v2/reshare/register", &wallets).data();
    if number % 2 == 0 {
        call(node, auth_type, "/keyshare/v2/reshare", &wallets).data();
    }
    let keys = curves
        .iter()
        .map(|curve| (String::from(*curve), json!(public_key(curve, number))));
    let keys = Value::Object(keys.collect());
    let got = call(node, auth_type, "/keyshare/v2", &keys).data();
    for curve in curves {
        wallets[curve]["share_id"] = got[curve]["share_id"].clone();
    }
    json!({"auth_type": auth_type, "user_auth_id": user_auth_id, "wallets": wallets})
}

/// Has a certificate from an authority, which is then kept sealed in the database.
fn have_certificate(home: &Path) -> Value {
    let (mut pebble, setup) = world(home, DOMAINS);
    pebble.start();
    let node = Setup::env(setup.clone(), "KSNODE_BACKUP__AT", "").start();
    let issued = issued(&setup, &pebble);
    assert!(node.stop().success());
    json!({
        "directory": pebble.directory(),
        "domains": DOMAINS,
        "contact": "admin@example.org",
        "sha256": issued["sha256"],
    })
}
