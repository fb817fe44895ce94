//! What is recorded: each scene has something that a power cut must not halve.

use std::sync::Mutex;

use serde_json::json;

use super::inspector::Holding;
use super::record::{Record, Recorder};
use super::trace::{Call, Step};
use super::{first_failure, simulate};
use crate::operator::{backup, open, printed, register as register_all};
use crate::restore_candidates::TO_SCHEMA_2;
use crate::support::{Node, Setup, agent, register_body, token};

const PASSWORD: &str = "correct horse";

/// Registers a user; returns the request's id when the user was told that the shares are there.
fn register(url: &str, user: u64) -> Option<String> {
    let request = agent().post(format!("{url}/keyshare/v2/register"));
    let request = request.header("authorization", format!("Bearer {}", token(user)));
    let answer = request.send_json(register_body(user)).ok()?;
    let id = answer.headers().get("x-request-id")?;
    let id = id.to_str().unwrap().to_owned();
    // Whoever asks again takes this for success.
    let known = [200, 409].contains(&answer.status().as_u16());
    let read = answer.into_body().read_to_string().is_ok();
    (known && read).then_some(id)
}

/// Lets four clients register these users; `act` runs once half of them were tried.
fn crowd(record: &mut Recorder, url: &str, users: std::ops::Range<u64>, act: impl FnOnce()) {
    let half = users.start + (users.end - users.start) / 2;
    let next = Mutex::new(users);
    let heard = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(user) = { next.lock().unwrap().next() } {
                    if let Some(request) = register(url, user) {
                        heard.lock().unwrap().push((user, request));
                    }
                }
            });
        }
        crate::support::wait_for("half of the users", || {
            (next.lock().unwrap().start >= half).then_some(())
        });
        act();
    });
    for (user, request) in heard.into_inner().unwrap() {
        record.registered(user, request);
    }
}

fn stop(node: Node) {
    assert!(node.stop().success());
}

/// A state must hold whoever was acknowledged; there may be more.
fn holds_acknowledged(record: &Record, holding: &Holding, moment: usize) -> Result<(), String> {
    let lost: Vec<u64> = record
        .acknowledged(moment)
        .filter(|user| !holding.users.contains(user))
        .collect();
    if lost.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "users {lost:?} were acknowledged and are lost; {} are there",
            holding.users.len()
        ))
    }
}

fn judge_registers(record: &Record) {
    simulate(record, &|holding, moment| {
        holds_acknowledged(record, holding, moment)
    });
}

/// The first start, group commits, a kill before a flush, the start after it with clients that ask again, a clean stop,
/// and a start on the database without a log.
fn registers() -> Record {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let mut record = Recorder::begin("registers", home.path(), &setup);
    // A flush that begins late leaves room for the kill between writing and flushing.
    let node = record.start("-e inject=fdatasync,fsync:delay_enter=4000");
    let url = node.url.clone();
    crowd(&mut record, &url, 1..80, || node.kill());
    let node = record.start("");
    crowd(&mut record, &node.url, 1..120, || {});
    stop(node);
    let node = record.start("");
    crowd(&mut record, &node.url, 120..140, || {});
    stop(node);
    record.end()
}

#[test]
fn registers_survive_a_power_cut() {
    let record = Record::again("registers").unwrap_or_else(registers);
    judge_registers(&record);
    // The same with a log whose flushes do nothing: that it is found, as lost users or as damage, shows that the rest can fail.
    let judge = |holding: &Holding, moment| holds_acknowledged(&record, holding, moment);
    let found = first_failure(&record, 60, 1, Some("-wal"), &judge);
    println!("with a log whose flushes do nothing: {found:?}");
    assert!(found.is_some());
}

/// Flushes that fail, each thread's fifteenth and every thirtieth after it: the log is thrown away then, and begun anew. Then
/// one that fails while the process is killed: what the next one finds in the log is in the system's memory alone.
#[test]
fn registers_survive_failed_flushes_and_a_power_cut() {
    let name = "failed-flushes";
    let record = Record::again(name).unwrap_or_else(|| {
        let home = tempfile::tempdir().unwrap();
        let setup = Setup::new(home.path());
        stop(setup.start());
        let mut record = Recorder::begin(name, home.path(), &setup);
        let node = record.start("-e inject=fdatasync:error=EIO:when=15+30");
        crowd(&mut record, &node.url, 1..150, || {});
        node.kill();
        // The kill comes while a flush has begun and does not end.
        let node = record.start("-e inject=fdatasync:delay_enter=4000");
        let url = node.url.clone();
        crowd(&mut record, &url, 150..200, || node.kill());
        let node = record.start("");
        crowd(&mut record, &node.url, 150..210, || {});
        stop(node);
        record.end()
    });
    judge_registers(&record);
}

/// Whoever was there at first is there for ever, and whoever was acknowledged since.
fn judge_all(record: &Record, first: std::ops::RangeInclusive<u64>) {
    simulate(record, &|holding, moment| {
        let lost = first.clone().find(|user| !holding.users.contains(user));
        match lost {
            Some(user) => Err(format!("user {user}, who was there at first, is lost")),
            None => holds_acknowledged(record, holding, moment),
        }
    });
}

/// So many writes that the log is folded in beside them.
#[test]
fn checkpoints_survive_a_power_cut() {
    let name = "checkpoints";
    let record = Record::again(name).unwrap_or_else(|| {
        let home = tempfile::tempdir().unwrap();
        let setup = Setup::new(home.path());
        stop(setup.start());
        let mut record = Recorder::begin(name, home.path(), &setup);
        let node = record.start("");
        crowd(&mut record, &node.url, 1..800, || {});
        node.kill();
        record.end()
    });
    let folded = record
        .trace
        .calls
        .iter()
        .any(|call| matches!(call, Call::Write { path, .. } if path.ends_with("ksnode.db")));
    assert!(folded, "no checkpoint is in the record");
    judge_registers(&record);
}

/// A new share key, a new encryption secret, and the start that seals everything anew while users register.
#[test]
fn rotated_keys_survive_a_power_cut() {
    let name = "rotation";
    let record = Record::again(name).unwrap_or_else(|| {
        let home = tempfile::tempdir().unwrap();
        let setup = Setup::new(home.path());
        let node = setup.start();
        register_all(&node, 1..=30);
        stop(node);
        let mut record = Recorder::begin(name, home.path(), &setup);
        printed(&record.run(&["key", "rotate", "share"]));
        printed(&record.run(&["secret", "change"]));
        let node = record.start("");
        crowd(&mut record, &node.url, 31..60, || {});
        stop(node);
        record.end()
    });
    judge_all(&record, 1..=30);
}

/// Data of an older schema: saved, migrated, and written to.
#[test]
fn a_migration_survives_a_power_cut() {
    let name = "migration";
    let record = Record::again(name).unwrap_or_else(|| {
        let home = tempfile::tempdir().unwrap();
        let setup = Setup::new(home.path());
        let node = setup.start();
        register_all(&node, 1..=9);
        stop(node);
        open(&setup).execute_batch(TO_SCHEMA_2).unwrap();
        let mut record = Recorder::begin(name, home.path(), &setup);
        let node = record.start("");
        crowd(&mut record, &node.url, 10..30, || {});
        stop(node);
        record.end()
    });
    judge_all(&record, 1..=9);
    simulate(&record, &|holding, _| {
        let saved = holding
            .backups
            .iter()
            .any(|name| name.contains("before-migration"));
        match holding.schema {
            Some(2) => Ok(()),
            _ if saved => Ok(()),
            schema => Err(format!(
                "the schema is {schema:?}, and nothing was saved before"
            )),
        }
    });
}

/// A backup of users 1 to 20 takes the place of the data of users 1 to 30, while users register.
fn restore() -> Record {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path()).env("KSNODE_ADMIN__PASSWORD", PASSWORD);
    let node = setup.start();
    register_all(&node, 1..=20);
    let file = backup(&setup);
    register_all(&node, 21..=30);
    stop(node);
    let mut record = Recorder::begin("restore", home.path(), &setup);
    let node = record.start("");
    let url = node.url.clone();
    let mut answered = None;
    crowd(&mut record, &url, 100..180, || {
        let body = json!({"password": PASSWORD, "dump_path": file});
        let answer = node.post_open("/pg_dump/v1/restore", &body);
        answer.data();
        answered = Some(answer.header("x-request-id").to_owned());
    });
    record.mark("restored", answered.unwrap());
    node.kill();
    let node = record.start("");
    crowd(&mut record, &node.url, 200..220, || {});
    stop(node);
    record.end()
}

/// The old data with all that was acknowledged, or the restored with all that was acknowledged since; and then what was
/// replaced is in the backup made before.
#[test]
fn a_restore_survives_a_power_cut() {
    let record = Record::again("restore").unwrap_or_else(restore);
    let answered = record.mark("restored");
    let decided = record.trace.steps.iter().position(|step| match step {
        Step::Begin(call) => {
            matches!(&record.trace.calls[*call], Call::Rename { to, .. } if to.ends_with("ksnode.db.restored"))
        }
        Step::End(..) => false,
    });
    let decided = decided.unwrap();
    simulate(&record, &|holding, moment| {
        if holding.users.contains(&21) {
            if moment > answered {
                return Err("the restore was answered and is undone".to_owned());
            }
            return holds_acknowledged(&record, holding, moment);
        }
        let before: Vec<u64> = record.acknowledged(decided.min(moment)).collect();
        let since = record.registers.iter();
        let since = since.filter(|(step, _)| (answered..moment).contains(step));
        let mut kept = (1..=20).chain(since.map(|(_, user)| *user));
        if let Some(user) = kept.find(|user| !holding.users.contains(user)) {
            return Err(format!("user {user} is lost by the restore"));
        }
        let safety = holding
            .safety
            .as_ref()
            .ok_or("there is no backup of the data before")?;
        let mut replaced = (1..=30).chain(before);
        match replaced.find(|user| !safety.contains(user)) {
            Some(user) => Err(format!("user {user} is not in the backup made before")),
            None => Ok(()),
        }
    });
}
