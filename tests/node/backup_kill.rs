//! Kills in the middle of backups, restores and rollbacks: the next start finds the old data or the new, whole, and
//! never a third thing.
//!
//! The moments are spread over the length of the operation, which is measured first, and every second one follows a
//! sign in the folders, so that the short steps at the end are hit from both sides. In every third round backups are
//! encrypted. `KSNODE_KILL_ROUNDS` and `KSNODE_KILL_SEED` are as for the other kills.

mod backups;
mod restores;
#[cfg(not(feature = "rehearsal"))]
mod rollbacks;
mod together;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::campaign::{Dice, Moment, Sign, names};
use crate::clients::{Clients, Known, Register, assert_sound, assert_stored, check};
use crate::operator::document;
use crate::support::{Node, Setup, register_body, token};

/// Numbers of users for each round's clients.
const ROUND: u64 = 100_000;
const PASSWORD: &str = "correct horse";
/// `server.shutdown_seconds`, and what a busy machine takes for the rest.
const SHUTDOWN: Duration = Duration::from_secs(30);

/// A node that is killed again and again, and what it must hold.
struct Stage {
    _home: tempfile::TempDir,
    plain: Setup,
    encrypting: Setup,
    identity: PathBuf,
    live: BTreeSet<u64>,
    next: u64,
    /// Backups that were verified since they were made.
    verified: BTreeSet<String>,
}

impl Stage {
    fn new() -> Self {
        Self::with(|setup| setup)
    }

    /// One with further settings.
    fn with(settings: impl Fn(Setup) -> Setup) -> Self {
        use age::secrecy::ExposeSecret;
        let home = tempfile::tempdir().unwrap();
        let identity = age::x25519::Identity::generate();
        let file = home.path().join("identity");
        std::fs::write(&file, identity.to_string().expose_secret()).unwrap();
        let setup = || {
            let setup = Setup::new(home.path())
                .env("KSNODE_ADMIN__PASSWORD", PASSWORD)
                .env("KSNODE_BACKUP__AT", "");
            settings(setup)
        };
        let recipient = identity.to_public().to_string();
        Self {
            plain: setup(),
            encrypting: setup().env("KSNODE_BACKUP__AGE_RECIPIENTS", &recipient),
            identity: file,
            live: BTreeSet::new(),
            next: 1,
            verified: BTreeSet::new(),
            _home: home,
        }
    }

    fn setup(&self, round: u64) -> &Setup {
        if round % 3 == 2 {
            &self.encrypting
        } else {
            &self.plain
        }
    }

    fn data(&self) -> PathBuf {
        self.plain.data("")
    }

    fn backups(&self) -> PathBuf {
        self.plain.data("backups")
    }

    /// New users, registered.
    fn register(&mut self, node: &Node, count: u64) -> Vec<u64> {
        let users: Vec<u64> = (self.next..self.next + count).collect();
        for &user in &users {
            let path = "/keyshare/v2/register";
            node.post(path, &token(user), &register_body(user)).data();
        }
        self.next += count;
        self.live.extend(&users);
        users
    }

    /// Clients of the next round.
    fn clients<'a>(&mut self, url: &'a str, readable: &'a [u64]) -> Clients<'a> {
        let first = self.next.next_multiple_of(ROUND);
        self.next = first + ROUND;
        Clients {
            url,
            first,
            readable,
            pause: Duration::from_millis(20),
            mortal: true,
        }
    }

    /// The data was not replaced: everything acknowledged is there, and nothing else.
    fn is_old(&mut self, node: &Node, registers: &[Register]) {
        for register in registers {
            match register.known {
                Known::Acknowledged => assert_stored(node, register.user),
                known => match check(node, register.user) {
                    (true, true) if known == Known::Unanswered => {}
                    (false, false) => continue,
                    exist => panic!("{register:?}: secp256k1 and ed25519 exist: {exist:?}"),
                },
            }
            self.live.insert(register.user);
        }
        assert_sound(&self.plain.data("ksnode.db"), self.live.len());
    }

    /// All that was ever acknowledged.
    fn holds_all(&self, node: &Node) {
        for &user in &self.live {
            assert_stored(node, user);
        }
    }

    /// Nothing is left of what was killed, and what counts as a backup is one. When a command was killed just before its
    /// restore or rollback of a `stopped` node was decided, there may be a whole backup that no history knows.
    fn is_tidy(&mut self, round: u64, stopped: bool) {
        for name in names(&self.data()) {
            let left = [
                "ksnode.db.candidate",
                "ksnode.db.restored",
                "ksnode.backup.",
            ];
            let left = left.iter().any(|part| name.starts_with(part));
            assert!(!left, "{name} is left in the data folder");
        }
        let history = history(self.setup(round));
        for item in &history {
            assert_ne!(item["status"], "IN_PROGRESS", "{item}");
        }
        let completed = history.iter().filter(|item| item["status"] == "COMPLETED");
        let completed: BTreeSet<String> = completed.map(|item| name(&item["path"])).collect();
        for name in names(&self.backups()) {
            let saved = name.contains("before-restore") || name.contains("before-rollback");
            let unknown = stopped && saved && !name.ends_with(".partial");
            assert!(
                completed.contains(&name) || unknown,
                "{name} is in the backup folder and no backup"
            );
            self.verify(round, name);
        }
        for name in completed {
            self.verify(round, name);
        }
    }

    fn verify(&mut self, round: u64, name: String) {
        if self.verified.insert(name.clone()) {
            let arguments = ["backup", "verify", &name, "--json"];
            document(&self.with_identity(self.setup(round), &arguments));
        }
    }

    /// Runs a command on a backup, with the identity when it is encrypted.
    fn with_identity(&self, setup: &Setup, arguments: &[&str]) -> Output {
        setup.run(&self.opening(arguments))
    }

    fn opening<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = arguments.to_vec();
        if arguments.iter().any(|argument| argument.ends_with(".age")) {
            arguments.extend(["--age-identity", self.identity.to_str().unwrap()]);
        }
        arguments
    }
}

/// Asks a node to stop, which it does soon, whatever it is at.
fn stop_in_order(node: Node) {
    let begun = Instant::now();
    assert!(node.stop().success());
    let took = begun.elapsed();
    assert!(took < SHUTDOWN, "{took:?}");
}

fn history(setup: &Setup) -> Vec<Value> {
    let list = document(&setup.run(&["backup", "list", "--json"]));
    list["backups"].as_array().unwrap().clone()
}

/// Makes a backup; returns the name of its file.
fn backup(setup: &Setup) -> String {
    let made = document(&setup.run(&["backup", "create", "--json"]));
    name(&made["backup"]["path"])
}

fn name(path: &Value) -> String {
    let path = Path::new(path.as_str().unwrap());
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Every second moment is anywhere in the operation or a little after, every second follows one of the signs.
fn moment(
    round: u64,
    length: Duration,
    signs: &[(PathBuf, Sign, Duration)],
    dice: &mut Dice,
) -> Moment {
    if round.is_multiple_of(2) {
        return Moment::After(dice.time(length.mul_f64(1.6)));
    }
    let (folder, sign, longest) = &signs[(round / 2) as usize % signs.len()];
    Moment::Sign(folder.clone(), *sign, dice.time(*longest))
}
