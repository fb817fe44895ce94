//! A job: how far it is, and what came of it.

use askama::Template;
use uuid::Uuid;

use super::backups::{file_name, seconds};
use super::parts::{Fact, State, Tone, counted, difference, grouped, sentence};
use super::shell::Shell;
use super::{Html, Page, PageError, Visit};
use crate::admin::jobs::{JobFacts, Outcome};
use crate::backup::{Phase, Step};
use crate::clock::Timestamp;
use crate::desk::{BackupEntry, Counts, ReplicaCompared, Restored, VerifiedFile, size, span};

#[derive(Template)]
#[template(path = "job.html")]
struct Job {
    shell: Shell,
    /// The page that it was begun on.
    back: Page,
    running: bool,
    state: State,
    steps: Vec<StepView>,
    facts: Vec<Fact>,
    versus: Option<Versus>,
    restore: Option<RestoreForm>,
    tables: Option<Vec<Table>>,
}

/// A phase, and how far it is.
struct StepView {
    name: &'static str,
    far: String,
    percent: Option<u64>,
}

/// Two databases side by side.
struct Versus {
    title: &'static str,
    before: &'static str,
    after: &'static str,
    rows: Vec<VersusRow>,
    remarks: Vec<State>,
}

struct VersusRow {
    name: &'static str,
    before: String,
    after: String,
    difference: String,
}

struct RestoreForm {
    id: Uuid,
    name: String,
}

struct Table {
    name: String,
    rows: String,
    replica_rows: String,
    state: State,
}

/// A job that is under way, on the page that it was begun on.
pub(super) struct Running {
    pub(super) title: String,
    pub(super) path: String,
    pub(super) step: &'static str,
    pub(super) percent: Option<u64>,
}

/// Those of a page that are under way.
pub(super) fn running(jobs: &[JobFacts], page: Page) -> Vec<Running> {
    let of_page = jobs
        .iter()
        .filter(|job| job.page == page && job.result.is_none());
    of_page
        .map(|job| {
            let step = job.steps.last().map(step);
            Running {
                title: job.title.clone(),
                path: format!("/admin/jobs/{}", job.id),
                step: step.as_ref().map_or("", |step| step.name),
                percent: step.and_then(|step| step.percent),
            }
        })
        .collect()
}

/// The page.
pub(super) fn show(job: &JobFacts, visit: &Visit) -> Result<Html, PageError> {
    let found = match &job.result {
        Some(Ok(outcome)) => found(outcome, visit.now),
        _ => Found::default(),
    };
    Html::of(&Job {
        shell: Shell::titled(&job.title, job.page, visit),
        back: job.page,
        running: job.result.is_none(),
        state: state(job, visit.now),
        steps: if job.result.is_none() {
            job.steps.iter().map(step).collect()
        } else {
            Vec::new()
        },
        facts: facts(job, found.facts, visit.now),
        versus: found.versus,
        restore: found.restore,
        tables: found.tables,
    })
}

fn state(job: &JobFacts, now: Timestamp) -> State {
    let took = span(job.ended.unwrap_or(now).since(job.begun));
    match &job.result {
        None => State::new(Tone::Busy, format!("Under way for {took}")),
        Some(Ok(Outcome::ReplicaCompared(compared))) if !compared.equal => {
            State::new(Tone::Bad, "The replica is different; it can be filled anew")
        }
        Some(Ok(_)) => State::new(Tone::Good, format!("Done after {took}")),
        Some(Err(error)) => State::new(Tone::Bad, sentence(error)),
    }
}

fn facts(job: &JobFacts, found: Vec<Fact>, now: Timestamp) -> Vec<Fact> {
    let begun = Fact::of("Begun", job.begun, now);
    std::iter::once(begun).chain(found).collect()
}

fn step(step: &Step) -> StepView {
    let name = match step.phase {
        Phase::Copy => "Copying",
        Phase::Check => "Checking pages, indexes and references",
        Phase::Open => "Opening every sealed row",
        Phase::Encrypt => "Encrypting",
        Phase::Decrypt => "Decrypting",
    };
    let (done, total) = (step.done, step.total);
    StepView {
        name,
        far: match total {
            0 => String::new(),
            total if done >= total => "done".to_owned(),
            total => format!("{} of {}", grouped(done), grouped(total)),
        },
        percent: done
            .saturating_mul(100)
            .checked_div(total)
            .map(|percent| percent.min(100)),
    }
}

/// What is shown of an outcome.
#[derive(Default)]
struct Found {
    facts: Vec<Fact>,
    versus: Option<Versus>,
    restore: Option<RestoreForm>,
    tables: Option<Vec<Table>>,
}

impl Found {
    fn facts(facts: Vec<Fact>) -> Self {
        Self {
            facts,
            ..Self::default()
        }
    }
}

fn found(outcome: &Outcome, now: Timestamp) -> Found {
    match outcome {
        Outcome::Made(entry) => Found::facts(made(entry, now)),
        Outcome::Verified(verified) => Found::facts(self::verified(verified, now)),
        Outcome::Pruned(entries) => Found::facts(vec![Fact::new(
            "Deleted",
            match entries.len() {
                0 => "none; all of them are kept".to_owned(),
                _ => entries
                    .iter()
                    .map(|entry| file_name(&entry.path))
                    .collect::<Vec<_>>()
                    .join(", "),
            },
        )]),
        Outcome::Compared { id, restored } => Found {
            versus: Some(versus(restored, true)),
            restore: Some(RestoreForm {
                id: *id,
                name: file_name(&restored.path),
            }),
            ..Found::default()
        },
        Outcome::Restored(restored) => Found {
            facts: self::restored(restored),
            versus: Some(versus(restored, false)),
            ..Found::default()
        },
        Outcome::Resynced(replica) => {
            Found::facts(vec![Fact::new("Replica", replica.place.clone())])
        }
        Outcome::ReplicaCompared(compared) => Found {
            facts: vec![Fact::new("At change", compared.position.to_string())],
            tables: Some(tables(compared)),
            ..Found::default()
        },
    }
}

fn made(entry: &BackupEntry, now: Timestamp) -> Vec<Fact> {
    let mut facts = vec![Fact::new("File", entry.path.clone())];
    facts.extend(entry.bytes.map(|bytes| Fact::new("Size", size(bytes))));
    facts.extend(
        entry
            .milliseconds
            .map(|took| Fact::new("Took", format!("{} s", seconds(took)))),
    );
    facts.extend(
        entry
            .holds
            .as_ref()
            .map(|holds| Fact::new("Holds", holding(holds))),
    );
    facts.extend(
        entry
            .verified_at
            .as_ref()
            .map(|at| Fact::at("Verified", at, now)),
    );
    facts.extend(
        entry
            .sha256
            .as_ref()
            .map(|digest| Fact::new("SHA-256", digest.clone())),
    );
    facts
}

fn verified(file: &VerifiedFile, now: Timestamp) -> Vec<Fact> {
    let mut facts = vec![
        Fact::new("File", file.path.clone()),
        Fact::new("Size", size(file.bytes)),
        Fact::new("Holds", holding(&file.holds)),
    ];
    facts.extend(file.taken_at.as_ref().map(|at| Fact::at("Of", at, now)));
    facts.push(Fact::new("SHA-256", file.sha256.clone()));
    facts
}

fn holding(counts: &Counts) -> String {
    let (users, shares) = (
        counted(counts.users, "user"),
        counted(counts.shares, "key share"),
    );
    format!("{users}, {shares}")
}

fn restored(restored: &Restored) -> Vec<Fact> {
    let mut facts = vec![Fact::new("Restored", restored.path.clone())];
    let safety = restored.safety.as_ref();
    facts.extend(safety.map(|path| Fact::new("The data until then", path.clone())));
    facts.extend(
        restored
            .timeline
            .map(|timeline| Fact::new("New timeline", timeline.to_string())),
    );
    facts
}

fn versus(restored: &Restored, dry_run: bool) -> Versus {
    let row = |name, count: fn(&Counts) -> u64| {
        let after = count(&restored.after);
        let before = restored.before.as_ref().map(count);
        VersusRow {
            name,
            before: before.map_or_else(|| "not readable".to_owned(), grouped),
            after: grouped(after),
            difference: before.map_or_else(String::new, |before| difference(before, after)),
        }
    };
    Versus {
        title: if dry_run {
            "What a restore would change"
        } else {
            "What the restore changed"
        },
        before: if dry_run { "Today" } else { "Before" },
        after: "The backup",
        rows: vec![
            row("Users", |counts| counts.users),
            row("Key shares", |counts| counts.shares),
        ],
        remarks: remarks(restored, dry_run),
    }
}

fn remarks(restored: &Restored, dry_run: bool) -> Vec<State> {
    let lost = restored.lost_seconds;
    let tone = if lost == Some(0) {
        Tone::Good
    } else {
        Tone::Warn
    };
    let mut remarks = vec![State::new(tone, sentence(&restored.loss()))];
    let will = if dry_run { "will be" } else { "was" };
    remarks.extend(restored.migrated_from.map(|schema| {
        let text =
            format!("The backup is of an older ksnode (schema {schema}) and {will} migrated.");
        State::new(Tone::Idle, text)
    }));
    if restored.rewrapped {
        let text = format!(
            "The backup is of an earlier encryption secret and {will} rewrapped under today’s."
        );
        remarks.push(State::new(Tone::Idle, text));
    }
    remarks.extend(restored.new_public_key.as_ref().map(|key| {
        let be = if dry_run { "would be" } else { "is now" };
        let text = format!("The node’s public key {be} {key}, and the network knows another one: tell it, or rotate the key.");
        State::new(Tone::Warn, text)
    }));
    remarks.extend(restored.safety_error.as_ref().map(|error| {
        let text = format!("The copy of the data until then could not be verified: {error}");
        State::new(Tone::Warn, text)
    }));
    remarks
}

fn tables(compared: &ReplicaCompared) -> Vec<Table> {
    let tables = compared.tables.iter();
    tables
        .map(|table| Table {
            name: table.table.clone(),
            rows: grouped(table.rows),
            replica_rows: grouped(table.replica_rows),
            state: if table.equal {
                State::new(Tone::Good, "Equal")
            } else {
                State::new(Tone::Bad, "Different")
            },
        })
        .collect()
}
