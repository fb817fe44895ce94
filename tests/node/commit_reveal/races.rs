//! Calls and commitments at the same moment.

use super::*;
use crate::support::public_key;
use crate::wire::{post_bytes, race};

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
