//! The command that rolls a stopped node back is killed: the data is the next release's or this one's, and nothing of
//! it is lost.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Stage, moment};
use crate::campaign::{Dice, Sign, campaign};
use crate::clients::assert_sound;
use crate::operator::{document, said};
use crate::support::{Node, Setup, next_release};

/// What is seen of a rollback, and how much later at most the kill comes.
fn signs(stage: &Stage, length: Duration) -> Vec<(PathBuf, Sign, Duration)> {
    let sign = |part, end, gone| Sign { part, end, gone };
    let (data, backups) = (stage.data(), stage.backups());
    let short = Duration::from_micros(500);
    vec![
        (data.clone(), sign("ksnode.db.restored", "", false), short),
        (data.clone(), sign("ksnode.db.candidate", "", true), short),
        (data.clone(), sign("-journal", "", false), length / 4),
        (data.clone(), sign("-journal", "", true), short),
        (
            backups,
            sign("before-rollback", ".partial", true),
            length / 4,
        ),
        (data, sign("ksnode.db.candidate", "", false), length / 2),
    ]
}

/// A round ends the next release's node, in order or not, and kills the rollback after it. Returns whether it was done.
fn kill_amid_rollback(
    (stage, this): (&Stage, &Setup),
    (round, length): (u64, Duration),
    node: Node,
    dice: &mut Dice,
) -> bool {
    if round % 4 < 2 {
        assert!(node.stop().success());
    } else {
        node.kill();
    }
    let schema = ksnode::node::MIGRATIONS.len().to_string();
    let moment = moment(round, length, &signs(stage, length), dice);
    let child = stage.setup(round).spawn(&["rollback", "--schema", &schema]);
    let child = RefCell::new(child);
    moment.wait(|| child.borrow_mut().try_wait().unwrap().is_some());
    let mut child = child.into_inner();
    child.kill().unwrap();
    let answered = child.wait().unwrap().success();
    let list = this.run(&["backup", "list", "--json"]);
    let down = list.status.success();
    println!("round {round}: {moment:?}, answered: {answered}, down: {down}");
    assert!(down || !answered, "a rollback was answered and is not done");
    assert!(
        down || said(&list).contains("newer ksnode"),
        "{}",
        said(&list)
    );
    down
}

#[test]
fn a_rollback_that_is_killed_is_done_or_not_begun() {
    let (rounds, mut dice) = campaign(8);
    let mut stage = Stage::new();
    let this = stage.plain.clone();
    stage.plain = stage.plain.program(next_release());
    stage.encrypting = stage.encrypting.program(next_release());
    let mut node = stage.plain.start();
    stage.register(&node, 100);
    assert!(node.stop().success());
    let schema = ksnode::node::MIGRATIONS.len().to_string();
    let begun = Instant::now();
    document(
        &stage
            .plain
            .run(&["rollback", "--schema", &schema, "--json"]),
    );
    let length = begun.elapsed();
    node = stage.plain.start();
    let mut done = 0;
    for round in 0..rounds {
        stage.register(&node, 3);
        let both = (&stage, &this);
        if kill_amid_rollback(both, (round, length), node, &mut dice) {
            done += 1;
            node = this.start();
            stage.holds_all(&node);
            stage.register(&node, 1);
            assert!(node.stop().success());
        }
        node = stage.setup(round).start();
        stage.holds_all(&node);
        stage.is_tidy(round, true);
        assert_sound(&stage.plain.data("ksnode.db"), stage.live.len());
    }
    println!(
        "{done} of {rounds} rollbacks were done, {} users",
        stage.live.len()
    );
}
