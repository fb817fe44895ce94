//! Promise: an acknowledged share is never lost, and nothing is stored by halves, however the node ends.
//!
//! The number of rounds is `KSNODE_KILL_ROUNDS`; `KSNODE_KILL_SEED` takes up the seed that an earlier run printed (the
//! moments of the kills then are the same as far as the machine's scheduling lets them).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Answer, Node, Setup, agent, get_body, public_key, register_body, share, token, wait_for, wallet,
};

const CLIENTS: u64 = 4;

/// What a client knows of a user's register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// The node said that it is stored.
    Acknowledged,
    /// The node was killed before it answered.
    Unanswered,
}

/// SplitMix64: a few lines, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn acknowledged_shares_survive_kills_and_nothing_is_half_there() {
    let rounds = number("KSNODE_KILL_ROUNDS", 20);
    let seed = number("KSNODE_KILL_SEED", u64::from(std::process::id()));
    println!("KSNODE_KILL_ROUNDS={rounds} KSNODE_KILL_SEED={seed}");
    let mut dice = Dice(seed);
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let mut all = Vec::new();
    let mut node = setup.start();
    for round in 0..rounds {
        let known = kill_amid_registers(node, round * 100_000, &mut dice);
        node = setup.start();
        all.extend(
            known
                .into_iter()
                .map(|(user, known)| settle(&node, user, known)),
        );
    }
    for user in &all {
        assert_stored(&node, *user);
    }
    println!("{} users in {rounds} rounds", all.len());
    assert!(node.stop().success());
    assert_sound(&setup, all.len());
}

/// Lets clients register until the node is killed; says what they know.
fn kill_amid_registers(node: Node, first: u64, dice: &mut Dice) -> BTreeMap<u64, Known> {
    let known = Mutex::new(BTreeMap::new());
    let acknowledged = AtomicU64::new(0);
    let (enough, then) = (dice.throw(60), Duration::from_micros(dice.throw(8_000)));
    let url = node.url.clone();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (url, known, acknowledged) = (&url, &known, &acknowledged);
            scope.spawn(move || {
                for user in (first + client..).step_by(CLIENTS as usize) {
                    let stored = register(url, user);
                    known.lock().unwrap().insert(user, stored);
                    if stored == Known::Unanswered {
                        return;
                    }
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        wait_for("registers", || {
            (acknowledged.load(Ordering::Relaxed) >= enough).then_some(())
        });
        std::thread::sleep(then);
        node.kill();
    });
    known.into_inner().unwrap()
}

/// Some users come by the one call, some by the other.
fn register(url: &str, user: u64) -> Known {
    let path = if user % 8 < 5 {
        "register"
    } else {
        "reshare/register"
    };
    let sent = agent()
        .post(format!("{url}/keyshare/v2/{path}"))
        .header("authorization", format!("Bearer {}", token(user)))
        .send_json(register_body(user));
    // An answer that breaks off in its middle is none.
    let read = sent.and_then(|answer| {
        let status = answer.status();
        Ok((status, answer.into_body().read_to_string()?))
    });
    match read {
        Ok((status, body)) => {
            assert_eq!(
                (status.as_u16(), body.as_str()),
                (200, r#"{"success":true}"#)
            );
            Known::Acknowledged
        }
        Err(_) => Known::Unanswered,
    }
}

/// Finds out what became of a user's register, completes it when there is nothing, and returns the user.
fn settle(node: &Node, user: u64, known: Known) -> u64 {
    let exists = check(node, user);
    match (known, exists) {
        (_, (true, true)) => {}
        (Known::Unanswered, (false, false)) => {
            let get = node.post("/keyshare/v2", &token(user), &get_body(user));
            get.refused(404, "USER_NOT_FOUND");
            node.post("/keyshare/v2/register", &token(user), &register_body(user))
                .data();
        }
        _ => panic!("user {user}, {known:?}: secp256k1 and ed25519 exist: {exists:?}"),
    }
    assert_stored(node, user);
    user
}

fn check(node: &Node, user: u64) -> (bool, bool) {
    let wallets = &get_body(user)["wallets"];
    let body = json!({"user_auth_id": format!("telegram_{user}"), "auth_type": "telegram", "wallets": wallets});
    let data = node.post_open("/keyshare/v2/check", &body).data();
    let exists = |curve: &str| data[curve]["exists"].as_bool().unwrap();
    (exists("secp256k1"), exists("ed25519"))
}

fn assert_stored(node: &Node, user: u64) {
    let data = node
        .post("/keyshare/v2", &token(user), &get_body(user))
        .data();
    for curve in ["secp256k1", "ed25519"] {
        assert_eq!(data[curve]["share"], share(curve, user), "user {user}");
    }
}

/// The database by itself: whole, and its counts are those of its rows.
fn assert_sound(setup: &Setup, users: usize) {
    let database = rusqlite::Connection::open(setup.data("ksnode.db")).unwrap();
    let text = |sql: &str| -> String { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    let count = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    let users = users as i64;
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    assert_eq!(count("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    assert_eq!(count("SELECT count(*) FROM user"), users);
    assert_eq!(count("SELECT count(*) FROM wallet"), 2 * users);
    assert_eq!(count("SELECT count(sealed) FROM wallet"), 2 * users);
    assert_eq!(count("SELECT sum(shares) FROM share_count"), 2 * users);
}

/// The moment that has no second chance: the first start makes secret, database, keys and ring.
#[test]
fn a_kill_during_the_first_start_leaves_a_folder_that_the_next_start_completes() {
    let mut dice = Dice(number("KSNODE_KILL_SEED", 7));
    for round in 0..number("KSNODE_KILL_ROUNDS", 20) / 2 {
        let home = tempfile::tempdir().unwrap();
        let setup = Setup::new(home.path());
        setup.kill_amid(&["serve"], Duration::from_micros(dice.throw(400_000)));
        let node = setup.start();
        assert_eq!(
            node.get("/status").json()["is_db_connected"],
            true,
            "round {round}"
        );
        node.post("/keyshare/v2/register", &token(1), &register_body(1))
            .data();
        assert!(node.stop().success());
        assert_stored(&setup.start(), 1);
    }
}

/// A disk without room is a power cut in slow motion: what is acknowledged stays, what is not leaves no trace, and the
/// node goes on by itself as soon as there is room again.
#[test]
fn a_full_disk_is_refused_clearly_and_survived() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start_on_small_disk();
    for user in 1..=3 {
        node.post("/keyshare/v2/register", &token(user), &register_body(user))
            .data();
    }
    let room = std::fs::metadata(setup.data("ksnode.db-wal"))
        .unwrap()
        .len();
    // In the middle of a page, so that the last write ends torn.
    node.fill_disk(Some(room + 6_000));
    let refused: Vec<Answer> = concurrently(10..26, |user| {
        node.post("/keyshare/v2/register", &token(user), &register_body(user))
    });
    assert!(refused.iter().any(failed));
    for answer in refused.iter().filter(|answer| failed(answer)) {
        let message = answer.refused(500, "UNKNOWN_ERROR").to_lowercase();
        assert!(
            !message.contains("sql") && !message.contains("disk"),
            "{message}"
        );
    }
    serves_what_needs_no_room(&node);

    node.fill_disk(None);
    for (user, answer) in (10..26).zip(&refused) {
        let known = if failed(answer) {
            Known::Unanswered
        } else {
            Known::Acknowledged
        };
        settle(&node, user, known);
    }
    node.logs("could not be committed");
    node.kill();
    let node = setup.start();
    for user in (1..=3).chain(10..26) {
        assert_stored(&node, user);
    }
    assert!(node.stop().success());
    assert_sound(&setup, 19);
}

fn v1_check(user: u64) -> Value {
    json!({
        "user_auth_id": format!("telegram_{user}"), "auth_type": "telegram",
        "public_key": public_key("secp256k1", user),
    })
}

fn concurrently<T: Send>(users: std::ops::Range<u64>, call: impl Fn(u64) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let calls: Vec<_> = users
            .map(|user| {
                scope.spawn({
                    let call = &call;
                    move || call(user)
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    })
}

fn failed(answer: &Answer) -> bool {
    answer.status != 200
}

fn serves_what_needs_no_room(node: &Node) {
    for user in 1..=3 {
        assert_stored(node, user);
    }
    assert_eq!(node.get("/").text, "Ok");
    node.post_open("/keyshare/v1/check", &v1_check(10)).data();
    assert!(
        !node
            .get_ops("/metrics")
            .text
            .contains("ksnode_store_commit_failures_total 0")
    );
}

/// The first generation of calls stores one curve; it obeys the same promise.
#[test]
fn a_v1_register_survives_a_kill() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    let mut body = wallet("secp256k1", 5);
    body["auth_type"] = "telegram".into();
    body["curve_type"] = "secp256k1".into();
    node.post("/keyshare/v1/register", &token(5), &body).data();
    node.kill();
    let get = json!({"auth_type": "telegram", "public_key": public_key("secp256k1", 5)});
    let data = setup.start().post("/keyshare/v1", &token(5), &get).data();
    assert_eq!(data["share"], share("secp256k1", 5));
}
