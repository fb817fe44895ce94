//! The node is killed while it makes a backup.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Stage, backup, history, moment, name, stop_in_order};
use crate::campaign::{Dice, Sign, campaign};
use crate::operator::document;
use crate::support::Node;

const APPEARS: fn(&'static str, &'static str) -> Sign = |part, end| Sign {
    part,
    end,
    gone: false,
};

#[test]
fn a_backup_that_is_killed_leaves_nothing_and_one_that_was_answered_stays() {
    end_amid_backups(campaign(8), Node::kill);
}

#[test]
fn a_node_that_is_stopped_amid_a_backup_ends_in_order() {
    end_amid_backups(campaign(4), stop_in_order);
}

/// Ends a node that makes a backup, round after round.
fn end_amid_backups((rounds, mut dice): (u64, Dice), end: fn(Node)) {
    let mut stage = Stage::new();
    let mut node = stage.encrypting.start();
    stage.register(&node, 100);
    let begun = Instant::now();
    backup(&stage.encrypting);
    let length = begun.elapsed();
    let short = Duration::from_millis(10);
    let signs = [
        (stage.backups(), APPEARS("manual", ".partial"), length),
        (stage.backups(), APPEARS("manual", ""), length),
        (
            stage.backups(),
            Sign {
                gone: true,
                ..APPEARS("manual", ".partial")
            },
            short,
        ),
        (stage.data(), APPEARS("ksnode.backup.partial", ""), length),
        (
            stage.backups(),
            Sign {
                gone: true,
                ..APPEARS("manual", ".partial")
            },
            Duration::ZERO,
        ),
    ];
    let mut answers = 0;
    for round in 0..rounds {
        assert!(node.stop().success());
        node = stage.setup(round).start();
        let moment = moment(round, length, &signs, &mut dice);
        let before = stage.live.len();
        let url = node.url.clone();
        let (registers, answer) = stage.clients(&url, &[]).work_while(|heard| {
            heard.wait_for(5);
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let asked = scope.spawn(|| {
                    let output = stage.setup(round).run(&["backup", "create", "--json"]);
                    over.store(true, Ordering::Relaxed);
                    output
                });
                moment.wait(|| over.load(Ordering::Relaxed));
                end(node);
                asked.join().unwrap()
            })
        });
        node = stage.setup(round).start();
        stage.is_old(&node, &registers);
        stage.is_tidy(round, false);
        if answer.status.success() {
            answers += 1;
            let made = &document(&answer)["backup"];
            assert!(made["holds"]["users"].as_u64().unwrap() >= before as u64 + 5);
            let kept = history(&stage.plain)
                .into_iter()
                .find(|item| item["id"] == made["id"]);
            let kept = kept.unwrap();
            assert_eq!(
                (name(&kept["path"]), kept["status"].as_str()),
                (name(&made["path"]), Some("COMPLETED"))
            );
        }
    }
    stage.holds_all(&node);
    println!(
        "{answers} of {rounds} backups were answered, {} users",
        stage.live.len()
    );
}
