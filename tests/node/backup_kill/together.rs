//! All features at once: the node is killed while clients register and read, and backups, checks of them, rotations of
//! keys, fillings of the replica, outages of its Postgres and in some rounds a restore are under way. Then its starts are
//! killed, of each node's first ones those that migrate its data.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::restores::{Killed, Past, known, restore, signs};
use super::{Stage, history, moment, name};
use crate::campaign::{Dice, Moment, campaign};
use crate::clients::{assert_sound, assert_stored};
use crate::operator::open;
use crate::postgres::{ADMINISTRATOR, DATABASE, Postgres};
use crate::replica::verified;
use crate::restore_candidates::TO_SCHEMA_2;
use crate::support::{Node, Setup};

/// Rounds of one node; then comes a new one, so that the disk does not fill with backups.
const ROUNDS: u64 = 20;
/// A start is killed so late at most.
const START: Duration = Duration::from_millis(900);

/// How often what came to its end.
#[derive(Default)]
struct Count {
    rounds: u64,
    starts: u64,
    restores: u64,
    backups: u64,
    checks: u64,
    rotations: u64,
    fillings: u64,
    outages: u64,
    users: usize,
}

#[test]
fn everything_at_once_is_killed_and_nothing_acknowledged_is_lost() {
    let (rounds, mut dice) = campaign(5);
    let mut count = Count::default();
    while count.rounds < rounds {
        let until = rounds.min(count.rounds + ROUNDS);
        of_one_node(until, &mut dice, &mut count);
        println!("{count}");
    }
}

fn of_one_node(until: u64, dice: &mut Dice, count: &mut Count) {
    let mut postgres = Postgres::start();
    let url = postgres.url();
    let mut stage = Stage::with(|setup| setup.env("KSNODE_REPLICA__URL", &url));
    migrate(&mut stage, &postgres, dice, count);
    let (past, mut node) = Past::of(&mut stage);
    let length = restore(&stage, &stage.plain, &past.plain);
    while count.rounds < until {
        let round = count.rounds;
        assert!(node.stop().success());
        node = stage.setup(round).start();
        let killed = kill_amid(
            &mut stage,
            &past,
            node,
            &mut postgres,
            (length, round),
            dice,
            count,
        );
        kill_starts(stage.setup(round), dice, count);
        node = stage.setup(round).start();
        count.restores += u64::from(killed.judge(&mut stage, &past, round, &node));
        assert_eq!(verified(stage.setup(round)), stage.live.len() as u64);
        count.rounds += 1;
    }
    stage.holds_all(&node);
    assert!(node.stop().success());
    assert_sound(&stage.plain.data("ksnode.db"), stage.live.len());
    count.users += stage.live.len();
}

/// Data of an older schema, whose first starts are killed.
fn migrate(stage: &mut Stage, postgres: &Postgres, dice: &mut Dice, count: &mut Count) {
    let node = stage.plain.start();
    let users = stage.register(&node, 50);
    assert!(node.stop().success());
    open(&stage.plain).execute_batch(TO_SCHEMA_2).unwrap();
    // Whoever had that schema had no replica yet.
    postgres.sql(ADMINISTRATOR, DATABASE, "DROP SCHEMA ksnode CASCADE");
    for _ in 0..3 {
        kill_starts(&stage.plain, dice, count);
    }
    let node = stage.plain.start();
    for user in users {
        assert_stored(&node, user);
    }
    assert_sound(&stage.plain.data("ksnode.db"), 50);
    assert_eq!(verified(&stage.plain), 50);
    assert!(node.stop().success());
    // What a killed start has saved has no place in a history that did not exist.
    let known = history(&stage.plain);
    let known: Vec<String> = known.iter().map(|item| name(&item["path"])).collect();
    for file in crate::campaign::names(&stage.backups()) {
        if !known.contains(&file) {
            assert!(file.contains("before-migration"), "{file}");
            std::fs::remove_file(stage.backups().join(file)).unwrap();
        }
    }
}

fn kill_starts(setup: &Setup, dice: &mut Dice, count: &mut Count) {
    for _ in 0..dice.throw(3) {
        setup.kill_amid(&["serve"], dice.time(START));
        count.starts += 1;
    }
}

/// Kills the node amid everything.
fn kill_amid(
    stage: &mut Stage,
    past: &Past,
    node: Node,
    postgres: &mut Postgres,
    (length, round): (Duration, u64),
    dice: &mut Dice,
    count: &mut Count,
) -> Killed {
    let since = stage.register(&node, 3);
    let known = known(stage);
    let restores = dice.throw(3) == 0;
    let moment = if restores {
        moment(dice.throw(1000), length, &signs(stage, length), dice)
    } else {
        Moment::After(dice.time(length.mul_f64(1.5)))
    };
    println!("round {round}: {moment:?}, a restore among it: {restores}");
    let url = node.url.clone();
    let clients = stage.clients(&url, &past.users);
    let stage = &*stage;
    let (setup, over) = (stage.setup(round), AtomicBool::new(false));
    let mut saving = Dice(dice.throw(u64::MAX));
    let mut changing = Dice(dice.throw(u64::MAX));
    let (registers, (answered, saved, changed)) = clients.work_while(|heard| {
        heard.wait_for(5);
        std::thread::scope(|scope| {
            let saved = scope.spawn(|| save(stage, past, round, &mut saving, &over));
            let changed = scope.spawn(|| change(setup, &mut changing, postgres, &over));
            let restored = restores.then(|| {
                scope.spawn(|| {
                    let arguments = ["restore", past.name(round), "--yes", "--json"];
                    let output = stage.with_identity(setup, &arguments);
                    output.status.success().then(Instant::now)
                })
            });
            moment.wait(|| restored.as_ref().is_some_and(|asked| asked.is_finished()));
            node.kill();
            over.store(true, Ordering::Relaxed);
            let answered = restored.and_then(|asked| asked.join().unwrap());
            (answered, saved.join().unwrap(), changed.join().unwrap())
        })
    });
    count.add(saved, changed);
    Killed {
        since,
        registers,
        answered,
        known,
    }
}

/// What is done beside with backups: made and checked.
fn save(stage: &Stage, past: &Past, round: u64, dice: &mut Dice, over: &AtomicBool) -> [u64; 2] {
    let setup = stage.setup(round);
    let mut done = [0; 2];
    while !over.load(Ordering::Relaxed) {
        let which = dice.throw(2) as usize;
        let output = if which == 0 {
            setup.run(&["backup", "create"])
        } else {
            stage.with_identity(setup, &["backup", "verify", past.name(round)])
        };
        done[which] += u64::from(output.status.success());
    }
    done
}

/// Rotations, fillings, outages.
fn change(setup: &Setup, dice: &mut Dice, postgres: &mut Postgres, over: &AtomicBool) -> [u64; 3] {
    let mut done = [0; 3];
    while !over.load(Ordering::Relaxed) {
        let which = dice.throw(4) as usize;
        let is_done = match which {
            0 => setup.run(&["key", "rotate", "share"]).status.success(),
            1 => setup.run(&["replica", "resync"]).status.success(),
            2 => {
                postgres.kill();
                postgres.run();
                true
            }
            _ => setup.run(&["key", "rotate", "node"]).status.success(),
        };
        done[which % 3] += u64::from(is_done);
    }
    done
}

impl Count {
    fn add(&mut self, [backups, checks]: [u64; 2], [rotations, fillings, outages]: [u64; 3]) {
        self.backups += backups;
        self.checks += checks;
        self.rotations += rotations;
        self.fillings += fillings;
        self.outages += outages;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds, and {} starts killed; done meanwhile: {} restores, {} backups, {} checks, {} rotations, {} fillings, \
             {} outages of Postgres; {} users",
            self.rounds,
            self.starts,
            self.restores,
            self.backups,
            self.checks,
            self.rotations,
            self.fillings,
            self.outages,
            self.users
        )
    }
}
