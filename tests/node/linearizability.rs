//! Promise: many clients of one key, of which several register it, see the node do one call after the other, also across
//! kills and starts.
//!
//! `KSNODE_KILL_ROUNDS` and `KSNODE_KILL_SEED` are as for the other kills.

mod checker;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::campaign::{Dice, campaign};
use crate::support::{Answer, Setup, agent, get_body, public_key, share, token, wait_for};
use checker::{Call, Operation, is_linearizable};

const CLIENTS: u64 = 6;
/// Keys that are used at the same time.
const KEYS: u64 = 5;
/// Calls after which the oldest of them makes room for a new one.
const CALLS: u64 = 30;
/// Calls between two kills.
const ROUND: u64 = 150;

type Histories = BTreeMap<u64, Vec<Operation>>;

/// Where the node is, and what was seen of it.
struct World {
    url: Mutex<String>,
    calls: AtomicU64,
    over: AtomicBool,
    seen: Mutex<Histories>,
}

/// Ends the clients also when the test panics.
struct Until<'a>(&'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn histories_of_clients_are_linearizable_across_kills() {
    let (rounds, mut dice) = campaign(6);
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let mut node = setup.start();
    let world = World {
        url: Mutex::new(node.url.clone()),
        calls: AtomicU64::new(0),
        over: AtomicBool::new(false),
        seen: Mutex::default(),
    };
    std::thread::scope(|scope| {
        let _until = Until(&world.over);
        for client in 0..CLIENTS {
            let (world, seed) = (&world, dice.throw(u64::MAX));
            scope.spawn(move || world.work(client, Dice(seed)));
        }
        for round in 1..=rounds {
            wait_for("calls", || {
                (world.calls.load(Ordering::Relaxed) >= round * ROUND).then_some(())
            });
            std::thread::sleep(dice.time(Duration::from_millis(8)));
            node.kill();
            node = setup.start();
            *world.url.lock().unwrap() = node.url.clone();
        }
    });
    let histories = world.seen.into_inner().unwrap();
    for (key, history) in &histories {
        assert!(is_linearizable(history), "key {key}: {history:#?}");
    }
    let operations = || histories.values().flatten();
    let unanswered = operations().filter(|seen| matches!(seen.call, Call::Unanswered { .. }));
    println!(
        "{} calls on {} keys, {rounds} kills, {} registers without an answer",
        operations().count(),
        histories.len(),
        unanswered.count()
    );
    assert_lies_are_found(&histories);
}

/// A real history in which one answer is replaced by a lie is not accepted.
fn assert_lies_are_found(histories: &Histories) {
    let mut lies = 0;
    for history in histories.values() {
        let stored = |seen: &&Operation| matches!(seen.call, Call::Register { stored: true, .. });
        let Some(stored) = history.iter().find(stored) else {
            continue;
        };
        let later = |seen: &Operation| seen.begun > stored.ended;
        let Some(told) = history
            .iter()
            .position(|seen| later(seen) && matches!(seen.call, Call::Get(Some(_))))
        else {
            continue;
        };
        for lie in [
            Call::Get(None),
            Call::Get(Some(CLIENTS)),
            Call::Check(false),
        ] {
            let mut history = history.clone();
            history[told].call = lie;
            assert!(!is_linearizable(&history), "{history:#?}");
            lies += 1;
        }
    }
    assert!(lies > 0, "no history has a register and a later get");
}

impl World {
    fn work(&self, client: u64, mut dice: Dice) {
        while !self.over.load(Ordering::Relaxed) {
            let url = self.url.lock().unwrap().clone();
            let key = self.calls.load(Ordering::Relaxed) / CALLS + dice.throw(KEYS);
            let begun = Instant::now();
            let call = match dice.throw(8) {
                0 | 1 => self.register(key, client),
                2 | 3 => self.get(key),
                4 => self.check(key, "/keyshare/v1/check"),
                5 => self.check(key, "/keyshare/v2/check"),
                6 => self.reshare(key, dice.throw(CLIENTS), "/keyshare/v1/reshare"),
                _ => self.reshare(key, dice.throw(CLIENTS), "/keyshare/v2/reshare"),
            };
            let ended = Instant::now();
            // A read without an answer says nothing.
            if let Some(call) = call {
                let mut seen = self.seen.lock().unwrap();
                seen.entry(key)
                    .or_default()
                    .push(Operation { begun, ended, call });
            }
            if matches!(call, None | Some(Call::Unanswered { .. })) {
                self.wait_for_the_next(&url);
            } else {
                self.calls.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until the node that did not answer has been started anew, and not for long: it may only have had trouble.
    fn wait_for_the_next(&self, url: &str) {
        let begun = Instant::now();
        while *self.url.lock().unwrap() == url
            && begun.elapsed() < Duration::from_secs(5)
            && !self.over.load(Ordering::Relaxed)
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the node said; nothing when it was killed or had trouble.
    fn ask(&self, path: &str, key: u64, body: &Value) -> Option<Answer> {
        let url = self.url.lock().unwrap().clone();
        let request = agent().post(format!("{url}{path}"));
        let request = request.header("authorization", format!("Bearer {}", token(key)));
        let (head, mut body) = request.send_json(body).ok()?.into_parts();
        let answer = Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            text: body.read_to_string().ok()?,
        };
        (answer.status < 500 || answer.json()["code"] != "UNKNOWN_ERROR").then_some(answer)
    }

    fn register(&self, key: u64, share: u64) -> Option<Call> {
        let answer = self.ask("/keyshare/v2/register", key, &both(key, share));
        Some(match answer {
            None => Call::Unanswered { share },
            Some(answer) => {
                let stored = answer.status == 200;
                if !stored {
                    answer.refused(409, "DUPLICATE_PUBLIC_KEY");
                }
                Call::Register { share, stored }
            }
        })
    }

    fn get(&self, key: u64) -> Option<Call> {
        let answer = self.ask("/keyshare/v2", key, &get_body(key))?;
        if answer.status != 200 {
            answer.refused(404, "USER_NOT_FOUND");
            return Some(Call::Get(None));
        }
        let data = answer.data();
        let is_of = |share: &u64| {
            ["secp256k1", "ed25519"]
                .iter()
                .all(|curve| data[curve]["share"] == secret(curve, key, *share))
        };
        let found = (0..CLIENTS).find(is_of);
        assert!(found.is_some(), "nobody sent these: {answer:?}");
        Some(Call::Get(found))
    }

    fn check(&self, key: u64, path: &str) -> Option<Call> {
        let mut body = get_body(key);
        body["user_auth_id"] = format!("telegram_{key}").into();
        body["public_key"] = public_key("secp256k1", key).into();
        let data = self.ask(path, key, &body)?.data();
        let exists = |value: &Value| value["exists"].as_bool().unwrap();
        if path.contains("v1") {
            return Some(Call::Check(exists(&data)));
        }
        let both = ["secp256k1", "ed25519"].map(|curve| exists(&data[curve]));
        assert_eq!(both[0], both[1], "half of a register");
        Some(Call::Check(both[0]))
    }

    fn reshare(&self, key: u64, share: u64, path: &str) -> Option<Call> {
        let mut body = both(key, share);
        if path.contains("v1") {
            body = json!({
                "auth_type": "telegram",
                "curve_type": "secp256k1",
                "public_key": public_key("secp256k1", key),
                "share": secret("secp256k1", key, share),
            });
        }
        let answer = self.ask(path, key, &body)?;
        let confirmed = match answer.status {
            200 => Some(true),
            500 => {
                answer.refused(500, "RESHARE_FAILED");
                Some(false)
            }
            _ => {
                answer.refused(404, "USER_NOT_FOUND");
                None
            }
        };
        Some(Call::Reshare { share, confirmed })
    }
}

/// The share of a key that this client would store.
fn secret(curve: &str, key: u64, client: u64) -> String {
    share(curve, key * 100 + client)
}

fn both(key: u64, client: u64) -> Value {
    let wallet = |curve: &str| json!({"public_key": public_key(curve, key), "share": secret(curve, key, client)});
    json!({"auth_type": "telegram", "wallets": {
        "secp256k1": wallet("secp256k1"),
        "ed25519": wallet("ed25519"),
    }})
}
