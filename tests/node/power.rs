//! Power cuts, simulated: what a real node writes and flushes is recorded, and each moment of the record is laid out as a
//! disk could have it then. Every such state opens, is whole, and holds all that had been acknowledged.
//!
//! The record is strace's of the real program: no part of SQLite or of the node is replaced, and the answers on the
//! sockets are in the same order as the flushes. `disk` says what a disk may lose. A disk whose flushes do nothing but which
//! keeps the order of writes has at any moment what another one has after a kill at an earlier moment, and these states
//! are among them.
//!
//! `KSNODE_POWER_POINTS` is the number of moments of each scene; `KSNODE_POWER_SEED` takes up the seed that an earlier run
//! printed. Which calls a record has depends on the machine: a failure keeps it, and `KSNODE_POWER_RECORD` with its
//! folder judges it again. The moments are judged in their order, so that a failure is the first one.

mod disk;
mod inspector;
mod record;
mod scenes;
mod trace;

use std::path::Path;
use std::time::Instant;

use crate::campaign::{Dice, number};
use crate::clients::assert_stored;
use crate::support::Setup;
use disk::{Disk, Manner};
use inspector::{Holding, Inspector};
use record::Record;

/// Of so many states one is opened by the program as well.
const SAMPLE: u64 = 150;

/// Judges moments of a record. `judge` is given what a state holds and the step after which it is.
fn simulate(record: &Record, judge: &dyn Fn(&Holding, usize) -> Result<(), String>) {
    let points = number("KSNODE_POWER_POINTS", 120);
    let seed = number("KSNODE_POWER_SEED", u64::from(std::process::id()));
    let steps = record.trace.steps.len();
    println!(
        "{}: {steps} steps, KSNODE_POWER_POINTS={points} KSNODE_POWER_SEED={seed}",
        record.name
    );
    let begun = Instant::now();
    let found = first_failure(record, points, seed, None, judge);
    if let Some(found) = found {
        let kept = record.keep();
        panic!(
            "{found}\nKSNODE_POWER_SEED={seed} KSNODE_POWER_POINTS={points} KSNODE_POWER_RECORD={}",
            kept.display()
        );
    }
    println!("{points} states in {:?}", begun.elapsed());
}

/// The first of the moments, in their order, whose state is not as it should be.
fn first_failure(
    record: &Record,
    points: u64,
    seed: u64,
    lies: Option<&'static str>,
    judge: &dyn Fn(&Holding, usize) -> Result<(), String>,
) -> Option<String> {
    let mut dice = Dice(seed);
    let steps = record.trace.steps.len();
    // Every second one comes right after an answer: what was promised too early is missing then.
    let moment = |number: u64| match record.registers.len() as u64 {
        answers if number.is_multiple_of(2) && answers > 0 => {
            record.registers[(number / 2 % answers) as usize].0 + 1
        }
        _ => dice.throw(steps as u64 + 1) as usize,
    };
    let mut moments: Vec<usize> = (0..points).map(moment).collect();
    moments.sort_unstable();
    let mut disk = Disk::new(&record.trace, &record.before, &record.root, seed);
    disk.lies = lies;
    let mut inspector = Inspector::default();
    let mut done = 0;
    for (count, &moment) in moments.iter().enumerate() {
        for &step in &record.trace.steps[done..moment] {
            disk.step(step);
        }
        done = moment;
        let manner = Manner::throw(&mut dice);
        let state = memory_folder();
        disk.lay_out(&record.root, state.path(), manner, &mut dice);
        let sampled = count as u64 % SAMPLE == SAMPLE / 2;
        let judged = inspector
            .inspect(state.path(), &mut dice)
            .and_then(|holding| judge(&holding, moment).map(|()| holding));
        match judged {
            Err(error) => {
                return Some(format!(
                    "{} after step {moment} of {steps} ({manner:?}, state {count}): {error}",
                    record.name
                ));
            }
            Ok(holding) if sampled => start(state.path(), &holding),
            Ok(_) => {}
        }
    }
    None
}

/// The program itself serves from the state.
fn start(home: &Path, holding: &Holding) {
    let node = Setup::new(home).start();
    for user in holding.users.iter().rev().take(5) {
        assert_stored(&node, *user);
    }
    assert!(node.stop().success());
}

/// Where flushes cost nothing.
fn memory_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}
