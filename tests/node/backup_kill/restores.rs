//! The node is killed while it restores, and so is the command that restores a stopped node.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{PASSWORD, Stage, backup, history, moment, name, stop_in_order};
use crate::campaign::{Dice, Moment, Sign, campaign};
use crate::clients::{Known, Register, assert_sound, assert_stored, check};
use crate::operator::document;
use crate::support::{Node, Setup, agent};

/// What is restored in all rounds.
pub(super) struct Past {
    pub(super) users: Vec<u64>,
    pub(super) plain: String,
    encrypted: String,
}

impl Past {
    /// Registers users and makes backups of them.
    pub(super) fn of(stage: &mut Stage) -> (Self, Node) {
        let node = stage.encrypting.start();
        stage.register(&node, 100);
        let users = stage.live.iter().copied().collect();
        let encrypted = backup(&stage.encrypting);
        assert!(node.stop().success());
        let node = stage.plain.start();
        let plain = backup(&stage.plain);
        let past = Self {
            users,
            plain,
            encrypted,
        };
        (past, node)
    }

    pub(super) fn name(&self, round: u64) -> &str {
        if round % 3 == 2 {
            &self.encrypted
        } else {
            &self.plain
        }
    }
}

/// Restores through whatever there is, node or folder; returns how long it took.
pub(super) fn restore(stage: &Stage, setup: &Setup, name: &str) -> Duration {
    let begun = Instant::now();
    document(&stage.with_identity(setup, &["restore", name, "--yes", "--json"]));
    begun.elapsed()
}

/// What is seen of a restore, and how much later at most the kill comes.
pub(super) fn signs(stage: &Stage, length: Duration) -> Vec<(PathBuf, Sign, Duration)> {
    let (data, backups) = (stage.data(), stage.backups());
    let sign = |part, end, gone| Sign { part, end, gone };
    let micros = Duration::from_micros;
    // The nearest to the decision first, for campaigns of few rounds.
    vec![
        (
            data.clone(),
            sign("ksnode.db.restored", "", false),
            micros(0),
        ),
        (
            backups.clone(),
            sign("before-restore", ".partial", true),
            micros(20_000),
        ),
        (
            data.clone(),
            sign("ksnode.db.restored", "", true),
            micros(20_000),
        ),
        (
            data.clone(),
            sign("ksnode.db.candidate", "", true),
            micros(0),
        ),
        (
            backups,
            sign("before-restore", ".partial", false),
            length / 4,
        ),
        (
            data.clone(),
            sign("ksnode.db.restored", "", false),
            micros(500),
        ),
        (data, sign("ksnode.db.candidate", "", false), length / 2),
    ]
}

/// What a round knows of a restore that was killed.
pub(super) struct Killed {
    /// Users that were registered after the backup and before the restore was asked for.
    pub(super) since: Vec<u64>,
    pub(super) registers: Vec<Register>,
    /// When the restore was answered, if it was.
    pub(super) answered: Option<Instant>,
    /// The backups that were there before.
    pub(super) known: BTreeSet<String>,
}

impl Killed {
    /// Asserts that the node holds the old data or the restored data. Returns whether it is the restored, and then puts
    /// the old back.
    pub(super) fn judge(&self, stage: &mut Stage, past: &Past, round: u64, node: &Node) -> bool {
        let restored = check(node, self.since[0]) == (false, false);
        if restored {
            self.is_restored(stage, past, node);
        } else {
            assert!(
                self.answered.is_none(),
                "a restore was answered and is not done"
            );
            stage.is_old(node, &self.registers);
        }
        stage.is_tidy(round, self.registers.is_empty());
        if restored {
            self.put_back(stage, round, node);
        }
        restored
    }

    fn is_restored(&self, stage: &Stage, past: &Past, node: &Node) {
        for &user in &past.users {
            assert_stored(node, user);
        }
        for user in stage.live.iter().filter(|user| !past.users.contains(user)) {
            assert_eq!(
                check(node, *user),
                (false, false),
                "user {user} is not in the backup"
            );
        }
        let here = |register: &&Register| match check(node, register.user) {
            (true, true) => true,
            (false, false) => false,
            half => panic!("{register:?}: {half:?}"),
        };
        let (here, gone): (Vec<&Register>, Vec<_>) = self.registers.iter().partition(here);
        // There is one moment that parts them.
        let acknowledged = |register: &&&Register| register.known == Known::Acknowledged;
        let first_here = here.iter().map(|register| register.answered).min();
        for register in gone.iter().filter(acknowledged) {
            let late = first_here.is_some_and(|moment| register.sent > moment);
            let after = self.answered.is_some_and(|moment| register.sent > moment);
            assert!(
                !late && !after,
                "{register:?} was acknowledged by the restored data and is gone"
            );
        }
        assert!(here.iter().all(|register| register.known != Known::Refused));
        assert_sound(
            &stage.plain.data("ksnode.db"),
            past.users.len() + here.len(),
        );
    }

    /// What was replaced is in the safety backup, whole.
    fn put_back(&self, stage: &mut Stage, round: u64, node: &Node) {
        let setup = &stage.setup(round).clone();
        let gone = self
            .registers
            .iter()
            .filter(|register| check(node, register.user) == (false, false));
        let gone: Vec<Register> = gone.copied().collect();
        let safety = history(setup).into_iter().find(|item| {
            item["kind"] == "before-restore" && !self.known.contains(&name(&item["path"]))
        });
        let safety = safety.expect("a safety backup");
        assert_eq!(safety["status"], "COMPLETED", "{safety}");
        restore(stage, setup, &name(&safety["path"]));
        stage.is_old(node, &gone);
    }
}

pub(super) fn known(stage: &Stage) -> BTreeSet<String> {
    crate::campaign::names(&stage.backups())
        .into_iter()
        .collect()
}

#[test]
fn a_restore_of_a_running_node_is_done_or_not_begun() {
    end_amid_restores(campaign(8), Node::kill);
}

#[test]
fn a_node_that_is_stopped_amid_a_restore_ends_in_order() {
    end_amid_restores(campaign(6), stop_in_order);
}

/// Ends a node that restores, round after round.
fn end_amid_restores((rounds, mut dice): (u64, Dice), end: fn(Node)) {
    let mut stage = Stage::new();
    let (past, mut node) = Past::of(&mut stage);
    let length = restore(&stage, &stage.plain, &past.plain);
    let signs = signs(&stage, length);
    let (mut restored, mut answered) = (0, 0);
    for round in 0..rounds {
        assert!(node.stop().success());
        node = stage.setup(round).start();
        let since = stage.register(&node, 3);
        let moment = moment(round, length, &signs, &mut dice);
        let known = known(&stage);
        let url = node.url.clone();
        let clients = stage.clients(&url, &past.users);
        let (registers, answer) = clients.work_while(|heard| {
            heard.wait_for(5);
            end_amid_restore(&stage, &past, &url, round, &moment, move || end(node))
        });
        node = stage.setup(round).start();
        let killed = Killed {
            since,
            registers,
            answered: answer,
            known,
        };
        println!("round {round}: {moment:?}, answered: {}", answer.is_some());
        answered += u64::from(answer.is_some());
        restored += u64::from(killed.judge(&mut stage, &past, round, &node));
    }
    stage.holds_all(&node);
    println!(
        "{restored} of {rounds} restores were done, {answered} answered, {} users",
        stage.live.len()
    );
}

/// Asks for the restore, over HTTP in some rounds, and ends the node. Returns when it was answered before.
fn end_amid_restore(
    stage: &Stage,
    past: &Past,
    url: &str,
    round: u64,
    moment: &Moment,
    end: impl FnOnce(),
) -> Option<Instant> {
    let over = AtomicBool::new(false);
    let ask = || {
        let done = if round % 3 == 1 {
            let body = json!({"password": PASSWORD, "dump_path": past.plain});
            let sent = agent()
                .post(format!("{url}/pg_dump/v1/restore"))
                .send_json(body);
            sent.is_ok_and(|answer| {
                answer.status() == 200 && answer.into_body().read_to_string().is_ok()
            })
        } else {
            let arguments = ["restore", past.name(round), "--yes", "--json"];
            stage
                .with_identity(stage.setup(round), &arguments)
                .status
                .success()
        };
        over.store(true, Ordering::Relaxed);
        done.then(Instant::now)
    };
    std::thread::scope(|scope| {
        let asked = scope.spawn(ask);
        moment.wait(|| over.load(Ordering::Relaxed));
        end();
        asked.join().unwrap()
    })
}

#[test]
fn a_restore_of_a_stopped_node_is_done_or_not_begun() {
    let (rounds, mut dice) = campaign(8);
    let mut stage = Stage::new();
    let (past, mut node) = Past::of(&mut stage);
    assert!(node.stop().success());
    let length = restore(&stage, &stage.plain, &past.plain);
    node = stage.plain.start();
    let signs = signs(&stage, length);
    let mut restored = 0;
    for round in 0..rounds {
        let since = stage.register(&node, 3);
        assert!(node.stop().success());
        let moment = moment(round, length, &signs, &mut dice);
        let known = known(&stage);
        let arguments = ["restore", past.name(round), "--yes"];
        let child = stage.setup(round).spawn(&stage.opening(&arguments));
        let child = RefCell::new(child);
        moment.wait(|| child.borrow_mut().try_wait().unwrap().is_some());
        let mut child = child.into_inner();
        child.kill().unwrap();
        let answered = child.wait().unwrap().success().then(Instant::now);
        node = stage.setup(round).start();
        let killed = Killed {
            since,
            registers: Vec::new(),
            answered,
            known,
        };
        println!(
            "round {round}: {moment:?}, answered: {}",
            answered.is_some()
        );
        restored += u64::from(killed.judge(&mut stage, &past, round, &node));
    }
    stage.holds_all(&node);
    println!("{restored} of {rounds} restores were done");
}
