//! Calls at the same moment over connections of their own.

use serde_json::{Value, json};

use crate::support::{
    Answer, Setup, database, get_body, public_key, register_body, share, token, wallet,
};
use crate::wire::{post_bytes, race};

const RACERS: u64 = 8;
const ROUNDS: u64 = 25;

/// The body of the call, given which wallet and whose share.
type Body = fn(u64, u64) -> Value;

fn v1(number: u64, secret: u64) -> Value {
    json!({
        "auth_type": "telegram",
        "public_key": public_key("secp256k1", number),
        "share": share("secp256k1", secret),
    })
}

fn v2(number: u64, secret: u64) -> Value {
    let mut body = register_body(number);
    for curve in ["secp256k1", "ed25519"] {
        body["wallets"][curve]["share"] = json!(share(curve, secret));
    }
    body
}

const REGISTERS: [(&str, Body); 3] = [
    ("/keyshare/v1/register", v1),
    ("/keyshare/v2/register", v2),
    ("/keyshare/v2/reshare/register", v2),
];

/// The one that succeeded; all others were told that the key is known.
#[track_caller]
fn only_winner(answers: &[Answer]) -> usize {
    let winners: Vec<usize> = (0..answers.len())
        .filter(|&racer| answers[racer].status == 200)
        .collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.refused(409, "DUPLICATE_PUBLIC_KEY");
    }
    winners[0]
}

#[test]
fn registers_of_one_new_user_with_different_keys_all_succeed() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for round in 0..ROUNDS {
        for (call, (path, body)) in REGISTERS.into_iter().enumerate() {
            let user = 1000 + round * 10 + call as u64;
            let wallets: Vec<u64> = (0..RACERS).map(|racer| user * 100 + racer).collect();
            let requests: Vec<_> = wallets
                .iter()
                .map(|&number| post_bytes(path, &token(user), &body(number, number)))
                .collect();
            for answer in race(&node, &requests) {
                assert_eq!(answer.text, r#"{"success":true}"#, "{path}");
            }
            for number in wallets {
                let key =
                    json!({"auth_type": "telegram", "public_key": public_key("secp256k1", number)});
                let got = node.post("/keyshare/v1", &token(user), &key).data();
                assert_eq!(got["share"], share("secp256k1", number));
            }
        }
    }
    let users: i64 = database(home.path())
        .query_row("SELECT count(*) FROM user", [], |row| row.get(0))
        .unwrap();
    assert_eq!(users as u64, ROUNDS * 3);
}

#[test]
fn registers_of_one_key_succeed_once() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for round in 0..ROUNDS {
        for (call, (path, body)) in REGISTERS.into_iter().enumerate() {
            let number = 1000 + round * 10 + call as u64;
            // Of one new user, and of users who are all new.
            for (wallet, user_of) in [
                (number * 2, (|number, _| number) as fn(u64, u64) -> u64),
                (number * 2 + 1, |number, racer| number * 100 + racer),
            ] {
                let requests: Vec<_> = (0..RACERS)
                    .map(|racer| {
                        let body = body(wallet, number * 100 + racer);
                        post_bytes(path, &token(user_of(number, racer)), &body)
                    })
                    .collect();
                let winner = only_winner(&race(&node, &requests)) as u64;
                let key =
                    json!({"auth_type": "telegram", "public_key": public_key("secp256k1", wallet)});
                let got = node
                    .post("/keyshare/v1", &token(user_of(number, winner)), &key)
                    .data();
                assert_eq!(got["share"], share("secp256k1", number * 100 + winner));
            }
        }
    }
}

/// Two keys that two calls share crosswise: each call stores both of its wallets or none.
#[test]
fn registers_that_overlap_are_all_or_nothing() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for round in 0..ROUNDS {
        // Racers 0 and 1 share an ed25519 key, 1 and 2 a secp256k1 key.
        let base = 1000 + round * 10;
        let keys = [(base, base), (base + 1, base), (base + 1, base + 2)];
        let requests: Vec<_> = (0_u64..)
            .zip(keys)
            .map(|(racer, (secp, ed))| {
                let body = json!({"auth_type": "telegram", "wallets": {
                    "secp256k1": wallet("secp256k1", secp),
                    "ed25519": wallet("ed25519", ed),
                }});
                post_bytes("/keyshare/v2/register", &token(base + racer), &body)
            })
            .collect();
        let answers = race(&node, &requests);
        let won: Vec<bool> = answers.iter().map(|answer| answer.status == 200).collect();
        assert!(
            won == [true, false, true] || won == [false, true, false],
            "{answers:?}"
        );
        for (racer, (won, (secp, ed))) in (0_u64..).zip(won.into_iter().zip(keys)) {
            let body = json!({"auth_type": "telegram", "wallets": {
                "secp256k1": public_key("secp256k1", secp),
                "ed25519": public_key("ed25519", ed),
            }});
            let got = node.post("/keyshare/v2", &token(base + racer), &body);
            if won {
                got.data();
            } else {
                got.refused(404, "USER_NOT_FOUND");
            }
        }
    }
}

#[test]
fn reads_and_reshares_go_on_beside_registers() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    node.post("/keyshare/v2/register", &token(1), &register_body(1))
        .data();
    for round in 0..ROUNDS {
        let user = 1000 + round;
        let mut requests = vec![
            post_bytes("/keyshare/v2", &token(1), &get_body(1)),
            post_bytes("/keyshare/v2/reshare", &token(1), &register_body(1)),
            post_bytes("/keyshare/v2/register", &token(user), &register_body(user)),
            post_bytes("/keyshare/v2", &token(user), &get_body(user)),
        ];
        requests.extend(requests.clone());
        for (index, answer) in race(&node, &requests).iter().enumerate() {
            match index % 4 {
                0 | 1 => drop(answer.data()),
                2 => assert!([200, 409].contains(&answer.status), "{answer:?}"),
                // Before or after the register, never between its two wallets.
                _ if answer.status == 200 => {
                    assert_eq!(answer.data().as_object().unwrap().len(), 2);
                }
                _ => drop(answer.refused(404, "USER_NOT_FOUND")),
            }
        }
    }
}
