//! What an import brings, and what it says.

use serde_json::json;

use super::contents::{contents, expected};
use super::fixture::{Generation, Suite};
use super::place::{Place, Report, done, import_into, refused};
use crate::support::{database, get_body, public_key, register_body, share, token};

#[test]
fn everything_that_opens_comes_and_the_rest_is_named() {
    let suite = Suite::odd(Generation::Second, 4);
    let place = Place::new(&suite);
    let report = place.imported(&[]);
    assert_eq!(place.contents(), expected(&suite));

    assert!(!report.complete);
    let (users, wallets, shares) = (suite.users.len(), suite.wallets.len(), suite.shares.len());
    assert_eq!(report.counts("keypair"), [3, 0, 0, 0]);
    assert_eq!(report.counts("user"), [users, 0, 0, 0]);
    // An unknown curve, two wallets of somebody who is gone.
    assert_eq!(report.counts("wallet"), [wallets - 3, 0, 0, 3]);
    // Three that do not open, theirs, and one of a wallet that is gone.
    assert_eq!(report.counts("share"), [shares - 7, 0, 0, 7]);
    let skipped = report.skipped("share");
    for spoilt in suite.shares.iter().filter(|share| share.spoilt.is_some()) {
        assert!(skipped.contains_key(&spoilt.id.to_string()), "{skipped:?}");
    }
    assert!(skipped.values().any(|why| why.contains("does not decrypt")));
    assert!(
        skipped
            .values()
            .any(|why| why.contains("not in the suite's form"))
    );
    assert!(
        skipped
            .values()
            .any(|why| why.contains("hex text of 64 bytes"))
    );
    let skipped = report.skipped("wallet");
    assert!(
        skipped
            .values()
            .any(|why| why.contains("no curve is called 'p256'"))
    );
    assert!(skipped.values().any(|why| why.contains("its user")));
    assert_eq!(report.json["public_key"], suite.active_key().as_str());
    assert_eq!(report.json["backup"], json!(null));

    let before = place.contents();
    let again = place.imported(&[]);
    assert_eq!(again.counts("keypair"), [0, 0, 3, 0]);
    assert_eq!(again.counts("user"), [0, 0, users, 0]);
    assert_eq!(again.counts("wallet"), [0, 0, wallets - 3, 3]);
    assert_eq!(again.counts("share"), [0, 0, shares - 7, 7]);
    assert_eq!(again.json["backup"], json!(null));
    assert_eq!(place.contents(), before);
}

#[test]
fn the_node_serves_what_it_took_over() {
    let suite = Suite::plain(Generation::Second, 3);
    let place = Place::new(&suite);
    let said = done(place.import(&[]));
    assert!(said.contains("imported, and read again"), "{said}");
    let node = place.setup.start();
    for user in 1..=3 {
        let data = node
            .post("/keyshare/v2", &token(user), &get_body(user))
            .data();
        for curve in ["secp256k1", "ed25519"] {
            assert_eq!(data[curve]["share"], share(curve, user));
            let id = data[curve]["share_id"].as_str().unwrap();
            let known = suite.shares.iter().find(|share| share.id.to_string() == id);
            assert_eq!(known.unwrap().share, share(curve, user));
        }
    }
    let status = node.get("/status").json();
    assert_eq!(status["ks_node_public_key"], suite.active_key().as_str());
    node.post("/keyshare/v2/register", &token(9), &register_body(9))
        .data();
    assert!(node.stop().success());
    assert!(place.setup.run(&["backup", "create"]).status.success());
    // What came beside the shares is in the node's own hand alone.
    let database = std::fs::read(place.setup.data("ksnode.db")).unwrap();
    for text in [
        "telegram_1",
        "active\"",
        "reshared_at\":",
        suite.shares[0].share.as_str(),
    ] {
        let found = memchr::memmem::find(&database, text.as_bytes());
        assert!(found.is_none(), "{text}");
    }
}

#[test]
fn a_backup_verifies_what_came_beside_the_shares() {
    let suite = Suite::plain(Generation::Second, 1);
    let place = Place::new(&suite);
    done(place.import(&[]));
    done(place.setup.run(&["backup", "create"]));
    let damage = "UPDATE imported SET sealed = zeroblob(96) WHERE kind = 'user'";
    database(place.home.path()).execute(damage, []).unwrap();
    let id = suite.users[0].id.to_string();
    let create = place.setup.run(&["backup", "create"]);
    refused(create, &["what was imported with user", &id]);
}

#[test]
fn a_dry_run_says_the_same_and_writes_nothing() {
    let suite = Suite::odd(Generation::Second, 2);
    let place = Place::new(&suite);
    let before = place.contents();
    let dry = place.imported(&["--dry-run"]);
    assert_eq!(place.contents(), before);
    assert_eq!(dry.json["dry_run"], true);
    let wet = place.imported(&[]);
    for kind in ["keypair", "user", "wallet", "share"] {
        assert_eq!(dry.counts(kind), wet.counts(kind), "{kind}");
        assert_eq!(dry.skipped(kind), wet.skipped(kind));
    }
}

#[test]
fn a_dump_brings_the_same() {
    let suite = Suite::odd(Generation::Second, 3);
    let place = Place::new(&suite);
    let dump = place.dump();
    let from = place.dumped(&dump);
    let report = Report::of(import_into(&place.setup, &from, &["--json"]));
    assert_eq!(report.counts("share"), [suite.shares.len() - 7, 0, 0, 7]);
    assert_eq!(place.contents(), expected(&suite));
    // The live suite has nothing that the dump had not.
    let live = place.imported(&[]);
    assert_eq!(live.counts("share"), [0, 0, suite.shares.len() - 7, 7]);
    assert_eq!(live.counts("user"), [0, 0, suite.users.len(), 0]);
}

#[test]
fn the_first_generation_comes_by_address_or_by_a_list() {
    let mut suite = Suite::odd(Generation::First, 3);
    let place = Place::new(&suite);
    let report = place.imported(&[]);
    assert_eq!(place.contents(), expected(&suite));
    assert_eq!(report.json["generation"], "first");
    let notice = report.json["notices"][0].as_str().unwrap();
    assert!(
        notice.contains("Google users are known by their email address"),
        "{notice}"
    );
    // Who is asked for by his address is there.
    let node = place.setup.start();
    let body =
        json!({"user_auth_id": "user1@example.com", "public_key": public_key("secp256k1", 1)});
    assert_eq!(
        node.post_open("/keyshare/v1/check", &body).data()["exists"],
        true
    );
    assert!(node.stop().success());

    let (home, setup) = Place::second_home();
    let list = home.path().join("subjects.csv");
    let lines: Vec<String> = suite
        .users
        .iter()
        .enumerate()
        .map(|(place, user)| format!("{},{place}", user.identifier))
        .collect();
    std::fs::write(&list, lines.join("\n")).unwrap();
    let dump = place.dump();
    let list = ["--json", "--google-subjects", list.to_str().unwrap()];
    let report = Report::of(import_into(&setup, &place.dumped(&dump), &list));
    assert_eq!(report.json["notices"], json!([]));
    for (place, user) in suite.users.iter_mut().enumerate() {
        user.identifier = format!("google_{place}");
    }
    assert_eq!(contents(home.path()), expected(&suite));
}

#[test]
fn two_addresses_of_one_user_become_one() {
    let suite = Suite::plain(Generation::First, 2);
    let place = Place::new(&suite);
    let list = place.home.path().join("subjects.csv");
    let lines: Vec<String> = suite
        .users
        .iter()
        .map(|user| format!("{},7", user.identifier))
        .collect();
    std::fs::write(&list, lines.join("\n")).unwrap();
    let subjects = ["--google-subjects", list.to_str().unwrap()];
    let report = place.imported(&subjects);
    assert_eq!(report.counts("user"), [suite.users.len(), 0, 0, 0]);
    let again = place.imported(&subjects);
    assert_eq!(again.counts("user"), [0, 0, suite.users.len(), 0]);
    let node = place.setup.start();
    for user in [1, 2] {
        let body = json!({"user_auth_id": "google_7", "public_key": public_key("secp256k1", user)});
        assert_eq!(
            node.post_open("/keyshare/v1/check", &body).data()["exists"],
            true
        );
    }
}

#[test]
fn of_two_generations_the_second_is_read() {
    let second = Suite::plain(Generation::Second, 1);
    let place = Place::new(&second);
    place.fill(&Suite::plain(Generation::First, 2));
    let report = place.imported(&["--dry-run"]);
    assert_eq!(
        (report.counts("user")[0], &report.json["generation"]),
        (1, &json!("second"))
    );
    assert!(
        report.json["notices"][0]
            .as_str()
            .unwrap()
            .contains("--generation")
    );
    let report = place.imported(&["--dry-run", "--generation", "first"]);
    assert_eq!(report.counts("user")[0], 2);
}

#[test]
fn a_node_with_registers_of_its_own_is_saved_first_and_keeps_them() {
    let suite = Suite::plain(Generation::Second, 3);
    let place = Place::new(&suite);
    let node = place.setup.start();
    let own_key = node.get("/status").json()["ks_node_public_key"].clone();
    // User 2 is the suite's too; user 7 has a key that is user 3's there.
    node.post(
        "/keyshare/v1/register",
        &token(2),
        &json!({"auth_type": "telegram", "curve_type": "ed25519",
        "public_key": public_key("ed25519", 77), "share": share("ed25519", 77)}),
    )
    .data();
    node.post(
        "/keyshare/v1/register",
        &token(7),
        &json!({"auth_type": "telegram", "curve_type": "secp256k1",
        "public_key": public_key("secp256k1", 3), "share": share("secp256k1", 7)}),
    )
    .data();
    assert!(node.stop().success());

    let report = place.imported(&[]);
    assert_eq!(report.counts("user"), [2, 0, 1, 0]);
    assert_eq!(report.counts("wallet"), [5, 0, 0, 1]);
    assert_eq!(report.counts("share"), [5, 0, 0, 1]);
    let why = report.skipped("wallet").into_values().next().unwrap();
    assert!(
        why.contains(&public_key("secp256k1", 3)) && why.contains("registered here"),
        "{why}"
    );
    let backup = report.json["backup"].as_str().unwrap();
    assert!(std::path::Path::new(backup).is_file());

    let contents = place.contents();
    assert_eq!((contents.users.len(), contents.shares.len()), (4, 7));
    let keys: Vec<_> = contents
        .keys
        .iter()
        .map(|key| (key.1.as_str(), key.3.is_none()))
        .collect();
    let old = hex::encode(suite.keypairs[0].public_key());
    assert_eq!(
        keys,
        [
            (own_key.as_str().unwrap(), false),
            (old.as_str(), false),
            (suite.active_key().as_str(), true)
        ]
    );
    let node = place.setup.start();
    let data = node.post("/keyshare/v2", &token(2), &get_body(2)).data();
    assert_eq!(data["ed25519"]["share"], share("ed25519", 2));
    assert_eq!(
        node.get("/status").json()["ks_node_public_key"],
        suite.active_key().as_str()
    );
}

/// A first run while the suite serves, a second one after it has stopped.
#[test]
fn a_second_run_brings_what_the_suite_did_since() {
    let mut suite = Suite::plain(Generation::Second, 3);
    let place = Place::new(&suite);
    done(place.import(&[]));
    let id = suite.shares[0].id;
    place.postgres.query(&format!(
        "UPDATE \"2_key_shares\" SET reshared_at = '2027-01-01 00:00:00.000001+00', updated_at = reshared_at WHERE share_id = '{id}';
         UPDATE \"2_users\" SET aux = '{{\"new\": true}}' WHERE user_auth_id = 'telegram_2';
         INSERT INTO \"2_users\" (user_id, auth_type, user_auth_id) VALUES (gen_random_uuid(), 'x', 'x_1')"
    ));
    let report = place.imported(&[]);
    assert!(report.complete);
    assert_eq!(report.counts("user"), [1, 1, 2, 0]);
    assert_eq!(report.counts("share"), [0, 1, 5, 0]);
    let times = place.contents().shares[&id.to_string()].2;
    assert_eq!(times[2], 1_798_761_600_000);
    assert!(report.json["backup"].is_string());

    // Encrypted anew it is the same share; another one under the same id is a conflict.
    let other = suite.shares[2].id;
    suite.shares.swap(1, 2);
    let line = suite
        .sql()
        .lines()
        .find(|line| line.starts_with(&other.to_string()))
        .unwrap()
        .to_owned();
    let encrypted = line.split('\t').nth(2).unwrap().replace("\\\\x", "\\x");
    place.postgres.query(&format!(
        "UPDATE \"2_key_shares\" SET enc_share = '{encrypted}' WHERE share_id = '{other}'"
    ));
    assert_eq!(place.imported(&[]).counts("share"), [0, 1, 5, 0]);
    place.postgres.query(&format!(
        "UPDATE \"2_key_shares\" SET enc_share = '{encrypted}' WHERE share_id = '{id}'"
    ));
    let report = place.imported(&[]);
    assert_eq!(report.counts("share"), [0, 0, 5, 1]);
    assert!(report.skipped("share")[&id.to_string()].contains("another one here"));
}

#[test]
fn a_lost_active_key_leaves_this_node_its_own() {
    let suite = Suite::plain(Generation::Second, 1);
    let place = Place::new(&suite);
    let own = place.contents().keys;
    place
        .postgres
        .query("UPDATE \"2_server_keypairs\" SET enc_private_key = 'AAAA' WHERE is_active");
    let report = place.imported(&[]);
    assert_eq!(report.counts("keypair"), [0, 0, 0, 2]);
    assert_eq!(report.counts("share"), [2, 0, 0, 0]);
    assert_eq!(place.contents().keys, own);

    // Without any the operator has to say that this is meant.
    place
        .postgres
        .query("UPDATE \"2_server_keypairs\" SET enc_private_key = 'AAAA'");
    let (home, setup) = Place::second_home();
    assert!(!import_into(&setup, &place.live(), &[]).status.success());
    assert!(contents(home.path()).users.is_empty());
    let report = Report::of(import_into(
        &setup,
        &place.live(),
        &["--json", "--without-keypairs"],
    ));
    assert!(report.complete);
    assert_eq!(report.counts("share"), [2, 0, 0, 0]);
}
