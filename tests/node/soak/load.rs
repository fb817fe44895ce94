//! Clients of all calls at a bounded rate.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use uuid::Uuid;

use super::PASSWORD;
use crate::admin::Client;
use crate::campaign::{Dice, number};
use crate::support::{Answer, Node, get_body, public_key, register_body, share, wallet};
use crate::wall_clock::WallClock;

const REGISTERING: u64 = 2;
const READING: u64 = 2;
/// Users of one client have numbers from its own multiple of this on.
const EACH: u64 = 1 << 32;
/// The clock is set on by eleven hours, of which the node may know earlier or later than a client: a login is good either way.
const LOGIN_AGE: Duration = Duration::from_secs(41_400);
const PAGES: [&str; 9] = [
    "/admin",
    "/admin/backups",
    "/admin/replication",
    "/admin/keys",
    "/admin/shares",
    "/admin/certificates",
    "/admin/logs",
    "/admin/audit",
    "/admin/settings",
];

pub struct Load<'a> {
    node: &'a Node,
    clock: &'a WallClock,
    /// Between two calls of a client.
    pause: Duration,
    registered: [AtomicU64; REGISTERING as usize],
    requests: AtomicU64,
    logins: AtomicU64,
    slowest: Mutex<Duration>,
    wrong: AtomicU64,
    over: AtomicBool,
}

impl<'a> Load<'a> {
    pub fn new(node: &'a Node, clock: &'a WallClock) -> Self {
        // Calls a second of all clients together.
        let rate = number("KSNODE_SOAK_RATE", 40) as u32;
        let clients = (REGISTERING + READING + 1) as u32;
        Self {
            node,
            clock,
            pause: Duration::from_secs(1) * clients / rate,
            registered: Default::default(),
            requests: AtomicU64::new(0),
            logins: AtomicU64::new(0),
            slowest: Mutex::default(),
            wrong: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    pub fn go_on_while<T>(&self, act: impl FnOnce(&Self) -> T) -> T {
        /// Ends it also when `act` panics.
        struct Until<'a>(&'a AtomicBool);
        impl Drop for Until<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        std::thread::scope(|scope| {
            let _until = Until(&self.over);
            for client in 0..REGISTERING {
                scope.spawn(move || self.register(client));
            }
            for client in 0..READING {
                scope.spawn(move || self.read(client));
            }
            scope.spawn(|| self.watch());
            act(self)
        })
    }

    /// How many users were acknowledged.
    pub fn users(&self) -> u64 {
        self.registered
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }

    /// Every share that was acknowledged is there, with the content that was sent.
    pub fn assert_all_there(&self) {
        std::thread::scope(|scope| {
            for client in 0..REGISTERING {
                scope.spawn(move || {
                    let count = self.registered[client as usize].load(Ordering::Relaxed);
                    for user in (0..count).map(|index| client * EACH + index) {
                        let answer = self.post("/keyshare/v2", user, &get_body(user));
                        assert!(has_shares(&answer, user), "user {user}: {answer:?}");
                    }
                });
            }
        });
    }

    /// New users by one way or another; each is checked, read and confirmed at once.
    fn register(&self, client: u64) {
        for index in 0.. {
            let user = client * EACH + index;
            match user % 3 {
                0 => self.done("/keyshare/v2/register", user, &register_body(user)),
                1 => self.done("/keyshare/v2/reshare/register", user, &register_body(user)),
                _ => {
                    self.done("/keyshare/v1/register", user, &v1("secp256k1", user));
                    let ed25519 = json!({"auth_type": "telegram", "public_key": public_key("ed25519", user),
                                         "share": share("ed25519", user)});
                    self.done("/keyshare/v2/register/ed25519", user, &ed25519);
                }
            }
            self.registered[client as usize].store(index + 1, Ordering::Relaxed);
            self.ask(user, user);
            if self.over.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    fn read(&self, client: u64) {
        let mut dice = Dice(client);
        while !self.over.load(Ordering::Relaxed) {
            let of = dice.throw(REGISTERING);
            let count = self.registered[of as usize].load(Ordering::Relaxed);
            if count > 0 {
                let user = of * EACH + dice.throw(count);
                self.ask(user, dice.throw(8));
            } else {
                std::thread::sleep(self.pause);
            }
        }
    }

    /// One call about a user who is there, chosen by `way`.
    fn ask(&self, user: u64, way: u64) {
        let auth = json!({"user_auth_id": format!("telegram_{user}"), "auth_type": "telegram"});
        match way % 8 {
            0 | 1 => self.call("/keyshare/v2", user, &get_body(user), |answer| {
                has_shares(answer, user)
            }),
            2 => self.call("/keyshare/v1", user, &v1("ed25519", user), |answer| {
                answer.status == 200 && answer.json()["data"]["share"] == share("ed25519", user)
            }),
            3 => self.done("/keyshare/v2/reshare", user, &register_body(user)),
            4 => self.done("/keyshare/v1/reshare", user, &v1("secp256k1", user)),
            5 => {
                let mut body = auth;
                body["wallets"] = get_body(user)["wallets"].clone();
                self.call("/keyshare/v2/check", user, &body, |answer| {
                    answer.status == 200
                        && answer.json()["data"]
                            == json!({"secp256k1": {"exists": true}, "ed25519": {"exists": true}})
                });
            }
            6 => {
                let mut body = auth;
                body["public_key"] = public_key("secp256k1", user).into();
                self.call("/keyshare/v1/check", user, &body, |answer| {
                    answer.status == 200 && answer.json()["data"]["exists"] == true
                });
            }
            _ => self.call(
                "/keyshare/v2/register",
                user,
                &register_body(user),
                |answer| answer.status == 409 && answer.json()["code"] == "DUPLICATE_PUBLIC_KEY",
            ),
        }
    }

    /// What monitors, wallets before their login, and an administrator ask.
    fn watch(&self) {
        let mut client = Client::new(self.node);
        let mut pages = PAGES.iter().cycle();
        while !self.over.load(Ordering::Relaxed) {
            self.timed(
                "/status",
                || self.node.get("/status"),
                |answer| answer.status == 200 && answer.json()["is_db_connected"] == true,
            );
            self.timed("/", || self.node.get("/"), |answer| answer.text == "Ok");
            for path in ["/metrics", "/healthz", "/readyz"] {
                self.timed(
                    path,
                    || self.node.get_ops(path),
                    |answer| answer.status == 200,
                );
            }
            self.call("/keyshare/v2/commit", 0, &commitment(), |answer| {
                answer.status == 200
            });
            let page = *pages.next().unwrap();
            // Its session ends when the clock is set.
            if client.get(page).status == 303 {
                self.logins.fetch_add(1, Ordering::Relaxed);
                self.timed(
                    "/admin/login",
                    || client.login(PASSWORD, ""),
                    |answer| answer.status == 303,
                );
            }
            self.timed(
                page,
                || client.get(page),
                |answer| [200, 303].contains(&answer.status),
            );
        }
    }

    /// A call that answers with a success and nothing else.
    fn done(&self, path: &str, user: u64, body: &Value) {
        self.call(path, user, body, |answer| {
            answer.status == 200 && answer.text == r#"{"success":true}"#
        });
    }

    fn call(&self, path: &str, user: u64, body: &Value, is_right: impl FnOnce(&Answer) -> bool) {
        self.timed(path, || self.post(path, user, body), is_right);
    }

    fn post(&self, path: &str, user: u64, body: &Value) -> Answer {
        let token = self.clock.token(user, LOGIN_AGE);
        self.node.post(path, &token, body)
    }

    fn timed(
        &self,
        path: &str,
        ask: impl FnOnce() -> Answer,
        is_right: impl FnOnce(&Answer) -> bool,
    ) {
        let begun = Instant::now();
        let answer = ask();
        let took = begun.elapsed();
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = took.max(*slowest);
        drop(slowest);
        if !is_right(&answer) {
            // The first ones tell what it is.
            if self.wrong.fetch_add(1, Ordering::Relaxed) < 20 {
                println!("{path} at {}: {answer:?}", self.clock.now());
            }
        }
        std::thread::sleep(self.pause.saturating_sub(took));
    }
}

impl fmt::Display for Load<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, {} of them wrong, the slowest {:?}; {} users, {} logins of the administrator",
            self.requests(),
            self.wrong(),
            self.slowest.lock().unwrap(),
            self.users(),
            self.logins.load(Ordering::Relaxed)
        )
    }
}

fn v1(curve: &str, user: u64) -> Value {
    let mut body = wallet(curve, user);
    body["auth_type"] = "telegram".into();
    body["curve_type"] = curve.into();
    body
}

fn commitment() -> Value {
    let id = Uuid::new_v4();
    let digest = [*id.as_bytes(), *id.as_bytes()].concat();
    let key = SigningKey::from_bytes(&digest.clone().try_into().unwrap());
    json!({
        "session_id": id.to_string(),
        "operation_type": "sign_in",
        "client_ephemeral_pubkey": hex::encode(key.verifying_key().as_bytes()),
        "id_token_hash": hex::encode(digest),
    })
}

fn has_shares(answer: &Answer, user: u64) -> bool {
    answer.status == 200
        && ["secp256k1", "ed25519"]
            .iter()
            .all(|curve| answer.json()["data"][curve]["share"] == share(curve, user))
}
