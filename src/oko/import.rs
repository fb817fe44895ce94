//! The import: table by table, each chunk of rows compared with what is here, decrypted where it must be, and written.
//!
//! What a row is compared with is found by the suite's ids, which `imported` keeps: so the same import may run again, after
//! it was cut off, or after the suite went on (a first run while it still serves, a second, short one after it has
//! stopped). Rows of the same id and content are there already; where status, times or notes are newer in the suite, they
//! are brought up to date; where the content differs, the row is a conflict, which is named and stops nothing.
//!
//! Only shares and key pairs cost anything: a key derivation each. They are decrypted on all cores, a few chunks ahead of
//! the writer and no more, and written in the order in which they came, a chunk in a transaction.

mod keypairs;
mod plan;
mod shares;
mod users;
mod wallets;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::imported::{Imported, is_unfinished, open_all};
use super::report::Outcome;
use super::rows::{Generation, Kind, Record, Row};
use super::source::Rows;
use super::{OkoError, Report, Source, Subjects, SuiteSecret};
use crate::audit::{Action, Actor, AuditLog, Entry};
use crate::backup::{Backups, Contents, Kind as BackupKind, Progress};
use crate::clock::SharedClock;
use crate::crypto::KeyRing;
use crate::shares::{ShareContents, Transfer};
use crate::store::{Keychain, Store, StoreError};

/// A node that is stopped, with its database open.
#[derive(Clone, Debug)]
pub struct Stopped {
    /// Its database.
    pub store: Arc<Store>,
    /// Its keys.
    pub ring: Arc<KeyRing>,
    /// Its backups: one is made before data that is here is written to.
    pub backups: Backups,
    /// Its audit log.
    pub audit: AuditLog,
    /// Who works on it.
    pub actor: Actor,
    /// The time.
    pub clock: SharedClock,
}

impl Stopped {
    /// Enters into the audit log what is about to be done: most or all of the data comes or goes with it.
    pub(super) async fn begins(&self, action: Action, detail: &str) {
        let entry = Entry::begun(&self.actor, action, detail);
        self.audit.record(entry).await;
    }

    /// Enters how it ended.
    pub(super) async fn ended<T>(
        &self,
        action: Action,
        detail: &str,
        outcome: &Result<T, OkoError>,
    ) {
        let entry = Entry::ended(&self.actor, action, detail, outcome);
        self.audit.record(entry).await;
    }
}

/// How an import is done.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Do everything but write.
    pub dry_run: bool,
    /// Take over the server's key pairs as well.
    pub keypairs: bool,
    /// Names of Google users who are known by their address.
    pub subjects: Subjects,
    /// Where the suite's secret came from, for errors.
    pub secret_file: PathBuf,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The table.
    pub kind: Kind,
    /// Rows done.
    pub done: u64,
    /// Of how many.
    pub total: u64,
}

/// Takes over what `source` has. `watch` is told of each chunk; it must not wait.
///
/// # Errors
/// [`OkoError`]. What was written until then is whole, and another run goes on there.
pub async fn import(
    node: &Stopped,
    source: &Source,
    secret: SuiteSecret,
    options: ImportOptions,
    watch: &(dyn Fn(Step) + Send + Sync),
) -> Result<Report, OkoError> {
    if options.dry_run {
        return run(node, source, secret, options, watch).await;
    }
    let place = format!("from {}", source.place());
    node.begins(Action::Import, &place).await;
    let imported = run(node, source, secret, options, watch).await;
    node.ended(Action::Import, &place, &imported).await;
    imported
}

async fn run(
    node: &Stopped,
    source: &Source,
    secret: SuiteSecret,
    options: ImportOptions,
    watch: &(dyn Fn(Step) + Send + Sync),
) -> Result<Report, OkoError> {
    let began = node.clock.monotonic();
    let mut import = Import {
        report: Report::new(options.dry_run, source.place(), source.generation()),
        node,
        source,
        secret: Arc::new(secret),
        options,
        watch,
        seen: Seen::default(),
        writes: false,
        by_email: 0,
    };
    if import.options.keypairs {
        import.keypairs().await?;
    }
    import.users().await?;
    import.wallets().await?;
    import.shares().await?;
    import.finish().await?;
    let took = node.clock.monotonic().saturating_sub(began);
    import.report.milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Ok(import.report)
}

/// Lets a node serve whose import was cut off and will not be finished.
///
/// # Errors
/// [`StoreError`].
pub async fn abandon(node: &Stopped) -> Result<(), StoreError> {
    let audit = node.audit.clone();
    let entry = Entry::done(&node.actor, Action::ImportAbandon, "");
    node.store
        .write(move |connection| {
            Imported(connection).mark(true)?;
            audit.append(connection, &entry);
            Ok(())
        })
        .await
}

struct Import<'a> {
    node: &'a Stopped,
    source: &'a Source,
    secret: Arc<SuiteSecret>,
    options: ImportOptions,
    watch: &'a (dyn Fn(Step) + Send + Sync),
    report: Report,
    seen: Seen,
    /// Whether this run has begun to write.
    writes: bool,
    /// Google users who are known by their address alone.
    by_email: u64,
}

/// What a dry run would have written: rows that later ones refer to. 16 bytes each, and nothing in an import.
#[derive(Debug, Default)]
struct Seen {
    users: HashSet<Uuid>,
    wallets: HashSet<Uuid>,
}

/// Rows that were read together.
struct Chunk<R> {
    rows: Vec<R>,
    last: bool,
}

/// Progress through one table.
struct Pass {
    rows: Rows,
    kind: Kind,
    done: u64,
    total: u64,
}

impl Import<'_> {
    async fn pass(&self, kind: Kind) -> Result<Pass, OkoError> {
        let total = self.source.count(kind).await?;
        let rows = self.source.rows(kind).await?;
        (self.watch)(Step {
            kind,
            done: 0,
            total,
        });
        Ok(Pass {
            rows,
            kind,
            done: 0,
            total,
        })
    }

    fn tell(&self, pass: &mut Pass, rows: usize) {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        pass.done = pass.done.saturating_add(rows);
        let (kind, done, total) = (pass.kind, pass.done, pass.total);
        (self.watch)(Step { kind, done, total });
    }

    /// The next rows. One that cannot be read is skipped by name.
    async fn chunk<R: Row>(&mut self, pass: &mut Pass, size: usize) -> Result<Chunk<R>, OkoError> {
        let mut rows = Vec::with_capacity(size);
        while rows.len() < size {
            let Some(values) = pass.rows.next().await? else {
                return Ok(Chunk { rows, last: true });
            };
            let names = pass.rows.columns();
            let record = Record { names, values };
            match R::read(&record) {
                Ok(row) => rows.push(row),
                Err(why) => self.report.skip(R::KIND, record.name(), why),
            }
        }
        Ok(Chunk { rows, last: false })
    }

    /// Before the first write: what is here is saved, and that an import is under way is noted.
    async fn begin(&mut self) -> Result<(), OkoError> {
        if self.writes {
            return Ok(());
        }
        let store = &self.node.store;
        let (_, _, shares) = store
            .read(|connection| Transfer(connection).totals())
            .await?;
        if shares > 0 {
            let backups = &self.node.backups;
            let made = backups
                .create(BackupKind::Manual, &self.node.actor, &Progress::unwatched())
                .await?;
            self.report.backup = Some(made.path.display().to_string());
        }
        store
            .write(|connection| Imported(connection).mark(false))
            .await?;
        self.writes = true;
        Ok(())
    }

    /// Reads again what was written, and says what there is to say.
    async fn finish(&mut self) -> Result<(), OkoError> {
        let (store, ring) = (&self.node.store, &self.node.ring);
        let unfinished = store.read(is_unfinished).await?;
        if !self.options.dry_run && (self.writes || unfinished) {
            self.check().await?;
            store
                .write(|connection| Imported(connection).mark(true))
                .await?;
        }
        let keys = store
            .read(|connection| Keychain(connection).open_node_keys(ring))
            .await?;
        if let Some((newest, _)) = keys.last() {
            self.report.public_key = hex::encode(newest.public_key);
        }
        self.notices();
        Ok(())
    }

    /// Every sealed row opens, and as many are there as were counted.
    async fn check(&self) -> Result<(), OkoError> {
        let ring = &self.node.ring;
        self.node
            .store
            .read(|connection| {
                ShareContents.open_all(connection, ring, &mut |_| Ok(()))?;
                open_all(connection, ring)?.map_err(OkoError::Check)?;
                for kind in Kind::ALL {
                    let tally = self.report.of(kind);
                    let counted = tally.read.saturating_sub(tally.skipped);
                    let there = Imported(connection).count(kind)?;
                    if there < counted {
                        let what = format!("{there} {kind}s are there and {counted} were counted");
                        return Err(OkoError::Check(what));
                    }
                }
                Ok(())
            })
            .await
    }

    fn notices(&mut self) {
        let notices = &mut self.report.notices;
        if self.source.has_both() {
            let other = match self.source.generation() {
                Generation::First => "second",
                Generation::Second => "first",
            };
            notices.push(format!(
                "the tables of the suite's {other} generation are there too and were not read (--generation)"
            ));
        }
        if self.by_email > 0 {
            notices.push(format!(
                "{} Google users are known by their email address alone, as the suite's first generation knew them; \
                 today's clients show another name (google_ and a number), under which they are not found: give a list \
                 of both with --google-subjects",
                self.by_email
            ));
        }
    }

    /// Notes the outcomes of rows that were written, or would have been.
    fn note_all(&mut self, kind: Kind, outcomes: impl IntoIterator<Item = Outcome>) {
        for outcome in outcomes {
            self.report.note(kind, outcome);
        }
    }
}
