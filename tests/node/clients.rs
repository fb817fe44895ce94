//! Clients of a node that may refuse them or be killed under them, and what they remember.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Node, agent, get_body, register_body, share, token, wait_for};

const REGISTERING: u64 = 4;
const READING: usize = 2;
/// A call that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client knows of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The node said that it is done.
    Acknowledged,
    /// The node said that it could not do it now.
    Refused,
    /// The node was killed before it answered.
    Unanswered,
}

/// A register, and when it was.
#[derive(Clone, Copy, Debug)]
pub struct Register {
    pub user: u64,
    pub known: Known,
    pub sent: Instant,
    pub answered: Instant,
}

/// Clients that register users from `first` on, one after the other, and others that read the shares of `readable`
/// again and again. A client whose call is not answered, because the node was killed, goes away.
pub struct Clients<'a> {
    pub url: &'a str,
    pub first: u64,
    pub readable: &'a [u64],
    /// Between two calls of one client.
    pub pause: Duration,
    /// Whether the node is killed meanwhile; otherwise it answers every call, and soon.
    pub mortal: bool,
}

/// What the clients have heard until now.
pub struct Heard {
    registers: Mutex<Vec<Register>>,
    over: AtomicBool,
}

impl Heard {
    /// Waits until so many registers are acknowledged.
    pub fn wait_for(&self, acknowledged: usize) {
        let count = || {
            let registers = self.registers.lock().unwrap();
            let known = registers.iter().map(|register| register.known);
            known.filter(|known| *known == Known::Acknowledged).count()
        };
        wait_for("registers", || (count() >= acknowledged).then_some(()));
    }

    /// Waits for so many more of them.
    pub fn wait_for_more(&self, acknowledged: usize) {
        let before = self.registers.lock().unwrap().len();
        wait_for("registers", || {
            let registers = self.registers.lock().unwrap();
            let new = registers.iter().skip(before);
            let new = new.filter(|register| register.known == Known::Acknowledged);
            (new.count() >= acknowledged).then_some(())
        });
    }
}

/// Ends the clients' work, also when what they accompany panics.
struct Until<'a>(&'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Clients<'_> {
    /// Lets them work while `act` runs. Returns all registers and what `act` returned.
    pub fn work_while<T>(&self, act: impl FnOnce(&Heard) -> T) -> (Vec<Register>, T) {
        let heard = Heard {
            registers: Mutex::default(),
            over: AtomicBool::new(false),
        };
        let done = std::thread::scope(|scope| {
            let _until = Until(&heard.over);
            for client in 0..REGISTERING {
                let users = (self.first + client..).step_by(REGISTERING as usize);
                scope.spawn(|| self.register(users, &heard));
            }
            for reader in 0..READING.min(self.readable.len()) {
                let users = self.readable.iter().skip(reader).cycle();
                scope.spawn(|| self.read(users, &heard));
            }
            act(&heard)
        });
        (heard.registers.into_inner().unwrap(), done)
    }

    fn register(&self, users: impl Iterator<Item = u64>, heard: &Heard) {
        for user in users {
            if heard.over.load(Ordering::Relaxed) {
                return;
            }
            let sent = Instant::now();
            let known = register(self.url, user);
            self.is_in_time(known, sent);
            heard.registers.lock().unwrap().push(Register {
                user,
                known,
                sent,
                answered: Instant::now(),
            });
            if known == Known::Unanswered {
                return;
            }
            std::thread::sleep(self.pause);
        }
    }

    fn read<'u>(&self, users: impl Iterator<Item = &'u u64>, heard: &Heard) {
        for user in users {
            let sent = Instant::now();
            let known = read(self.url, *user);
            self.is_in_time(known, sent);
            if heard.over.load(Ordering::Relaxed) || known == Known::Unanswered {
                return;
            }
            std::thread::sleep(self.pause);
        }
    }

    fn is_in_time(&self, known: Known, sent: Instant) {
        let took = sent.elapsed();
        let in_time = known != Known::Unanswered && took < PATIENCE;
        assert!(in_time || self.mortal, "{known:?} after {took:?}");
    }
}

/// Some users come by the one call, some by the other.
pub fn register(url: &str, user: u64) -> Known {
    let path = if user % 8 < 5 {
        "/keyshare/v2/register"
    } else {
        "/keyshare/v2/reshare/register"
    };
    known(&call(url, path, user, &register_body(user)), |answer| {
        assert_eq!(answer.text, r#"{"success":true}"#);
    })
}

/// Reads a user's shares.
pub fn read(url: &str, user: u64) -> Known {
    known(
        &call(url, "/keyshare/v2", user, &get_body(user)),
        |answer| {
            assert_shares(answer, user);
        },
    )
}

/// An answer that breaks off in its middle is none.
fn call(url: &str, path: &str, user: u64, body: &Value) -> Option<Answer> {
    let request = agent().post(format!("{url}{path}"));
    let request = request.header("authorization", format!("Bearer {}", token(user)));
    let (head, mut body) = request.send_json(body).ok()?.into_parts();
    Some(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        text: body.read_to_string().ok()?,
    })
}

/// There are three outcomes and no fourth.
fn known(answer: &Option<Answer>, done: impl FnOnce(&Answer)) -> Known {
    match answer {
        None => Known::Unanswered,
        Some(answer) if answer.status == 503 => {
            let message = answer.refused(503, "UNKNOWN_ERROR");
            assert!(message.contains("try again in a moment"), "{message}");
            assert_eq!(answer.header("retry-after"), "1", "{answer:?}");
            Known::Refused
        }
        Some(answer) => {
            assert_eq!(answer.status, 200, "{answer:?}");
            done(answer);
            Known::Acknowledged
        }
    }
}

fn assert_shares(answer: &Answer, user: u64) {
    let data = answer.data();
    for curve in ["secp256k1", "ed25519"] {
        assert_eq!(data[curve]["share"], share(curve, user), "user {user}");
    }
}

#[track_caller]
pub fn assert_stored(node: &Node, user: u64) {
    assert_shares(
        &node.post("/keyshare/v2", &token(user), &get_body(user)),
        user,
    );
}

/// Whether the node has the user's one share and the other.
pub fn check(node: &Node, user: u64) -> (bool, bool) {
    let wallets = &get_body(user)["wallets"];
    let body = json!({"user_auth_id": format!("telegram_{user}"), "auth_type": "telegram", "wallets": wallets});
    let data = node.post_open("/keyshare/v2/check", &body).data();
    let exists = |curve: &str| data[curve]["exists"].as_bool().unwrap();
    (exists("secp256k1"), exists("ed25519"))
}

/// Finds out what became of a user's register, completes it when there is nothing, and returns the user.
pub fn settle(node: &Node, user: u64, known: Known) -> u64 {
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

/// The database by itself: whole, of so many users, and its counts are those of its rows.
#[track_caller]
pub fn assert_sound(path: &Path, users: usize) {
    // Read-only: it can be done beside a node.
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(path, flags).unwrap();
    let text = |sql: &str| -> String { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    let count = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    let users = users as i64;
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    assert_eq!(count("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    assert_eq!(count("SELECT count(*) FROM user"), users);
    assert_eq!(count("SELECT count(*) FROM wallet"), 2 * users);
    assert_eq!(count("SELECT count(sealed) FROM wallet"), 2 * users);
    assert_eq!(
        count("SELECT coalesce(sum(shares), 0) FROM share_count"),
        2 * users
    );
}
