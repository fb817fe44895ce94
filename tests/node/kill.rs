//! Promise: an acknowledged share is never lost, and nothing is stored by halves, however the node ends.
//!
//! The number of rounds is `KSNODE_KILL_ROUNDS`; `KSNODE_KILL_SEED` takes up the seed that an earlier run printed (the
//! moments of the kills then are the same as far as the machine's scheduling lets them).

use std::time::Duration;

use serde_json::{Value, json};

use crate::campaign::{Dice, campaign, number};
use crate::clients::{Clients, Known, Register, assert_sound, assert_stored, settle};
use crate::support::{Answer, Node, Setup, public_key, register_body, share, token, wallet};

#[test]
fn acknowledged_shares_survive_kills_and_nothing_is_half_there() {
    let (rounds, mut dice) = campaign(20);
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let mut all = Vec::new();
    let mut node = setup.start();
    for round in 0..rounds {
        let registers = kill_amid_registers(node, round * 100_000, &mut dice);
        node = setup.start();
        let settled = registers.iter();
        all.extend(settled.map(|register| settle(&node, register.user, register.known)));
    }
    for user in &all {
        assert_stored(&node, *user);
    }
    println!("{} users in {rounds} rounds", all.len());
    assert!(node.stop().success());
    assert_sound(&setup.data("ksnode.db"), all.len());
}

/// Lets clients register until the node is killed; says what they know.
fn kill_amid_registers(node: Node, first: u64, dice: &mut Dice) -> Vec<Register> {
    let (enough, then) = (
        dice.throw(60) as usize,
        Duration::from_micros(dice.throw(8_000)),
    );
    let url = node.url.clone();
    let clients = Clients {
        url: &url,
        first,
        readable: &[],
        pause: Duration::ZERO,
        mortal: true,
    };
    let (registers, ()) = clients.work_while(|heard| {
        heard.wait_for(enough);
        std::thread::sleep(then);
        node.kill();
    });
    registers
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
    assert_sound(&setup.data("ksnode.db"), 19);
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
