//! Backups and restores one after the other, while clients register and read all the time.

use std::time::{Duration, Instant};

use super::{backup, register, restore, setup};
use crate::clients::{Clients, Known, Register, assert_sound, assert_stored, check};
use crate::support::{Node, Setup};

/// A restore, and the data it replaced, served by a node of its own.
struct Replaced {
    asked: Instant,
    answered: Instant,
    node: Node,
    _home: tempfile::TempDir,
}

/// A new node made of a backup and the secret alone.
fn node_of(backup: &str, secret: &std::path::Path) -> (Node, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path()).env("KSNODE_SECRET_FILE", secret.to_str().unwrap());
    let output = setup.run(&["restore", backup, "--yes"]);
    assert!(output.status.success(), "{output:?}");
    (setup.start(), home)
}

fn has(node: &Node, user: u64) -> bool {
    match check(node, user) {
        (true, true) => {
            assert_stored(node, user);
            true
        }
        (false, false) => false,
        half => panic!("user {user}: {half:?}"),
    }
}

#[test]
fn acknowledged_shares_are_live_or_in_the_backup_made_before_the_restore() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    register(&node, 1..=30);
    let base: Vec<u64> = (1..=30).collect();
    let first = backup(&node);
    let clients = Clients {
        url: &node.url,
        first: 1000,
        readable: &base,
        pause: Duration::from_millis(15),
        mortal: false,
    };
    let (registers, restores) = clients.work_while(|heard| {
        let mut restores = Vec::new();
        let mut path = first.clone();
        for round in 0..5 {
            heard.wait_for_more(12);
            let asked = Instant::now();
            let safety = restore(&node, &path);
            restores.push((asked, Instant::now(), safety));
            heard.wait_for_more(12);
            // The next one brings back some of what came since the first backup, or nothing of it.
            path = if round % 2 == 0 {
                backup(&node)
            } else {
                first.clone()
            };
        }
        restores
    });
    let secret = setup.data("secret");
    let replaced: Vec<Replaced> = restores
        .into_iter()
        .map(|(asked, answered, safety)| {
            let (node, home) = node_of(&safety, &secret);
            Replaced {
                asked,
                answered,
                node,
                _home: home,
            }
        })
        .collect();
    let mut refused = 0;
    for register in &registers {
        match register.known {
            Known::Acknowledged => is_kept(register, &replaced, &node),
            _ => refused += 1,
        }
    }
    println!("{} registers, {refused} refused", registers.len());
    let live = registers
        .iter()
        .filter(|register| has(&node, register.user));
    let users = live.count() + base.len();
    for &user in &base {
        assert_stored(&node, user);
    }
    assert!(node.stop().success());
    assert_sound(&setup.data("ksnode.db"), users);
    let log = std::fs::read_to_string(home.path().join("stderr.log")).unwrap();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
}

/// What was acknowledged is in what was in place then: in the data that the next restore replaced, or in the live data.
/// When it was acknowledged while a restore was under way, that may be what this restore replaced.
fn is_kept(register: &Register, replaced: &[Replaced], live: &Node) {
    let next = replaced
        .iter()
        .position(|restore| restore.asked > register.answered);
    let then = next.map_or(live, |next| &replaced[next].node);
    if has(then, register.user) {
        return;
    }
    let last = next.unwrap_or(replaced.len()).checked_sub(1);
    let during = last
        .map(|last| &replaced[last])
        .filter(|restore| restore.answered > register.sent);
    let kept = during.is_some_and(|restore| has(&restore.node, register.user));
    assert!(kept, "{register:?} was acknowledged and is gone");
}
