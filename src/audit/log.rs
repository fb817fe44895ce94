//! The log of one open database.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::AuditError;
use super::chain::Chain;
use super::entry::{Actor, Entry};
use super::read::{Query, Written};
use super::standing::{AuditHealth, Standing};
use super::verify::{Finding, Verification};
use crate::clock::{SharedClock, Timestamp};
use crate::crypto::KeyRing;
use crate::store::{Store, StoreError};

/// Entries that are kept at most, some 30 MB.
const MOST: i64 = 100_000;
/// Entries that are kept however old they are: a clock that is set wrongly is not to take the log away.
const LEAST: i64 = 1_000;

/// How long entries are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// `audit.keep_days`
    pub keep_days: u32,
}

/// Writes to the log and reads it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuditLog {
    store: Arc<Store>,
    chain: Chain,
    standing: Standing,
    clock: SharedClock,
}

impl AuditLog {
    /// The log in this database, whose keys are in `ring`.
    pub fn new(store: Arc<Store>, ring: &KeyRing, standing: Standing, clock: SharedClock) -> Self {
        Self {
            store,
            chain: Chain::new(ring),
            standing,
            clock,
        }
    }

    /// Writes an entry into the transaction of what it tells: call it last, with the writer's connection. It never fails: an
    /// entry that cannot be written is logged, counted, and waits in memory.
    pub fn append(&self, connection: &Connection, entry: &Entry) {
        let now = self.clock.now();
        if let Err(error) = self.chain.append(connection, now, entry) {
            self.tell(&error);
            // A transaction that has ended takes with it what the entry tells.
            if !connection.is_autocommit() {
                self.standing.keep((now, entry.clone()));
            }
        }
    }

    /// Writes an entry of its own, with all that wait before it, and returns when it is on the disk, or waits. It never
    /// fails, goes on when the caller goes away, and waits for no replica.
    pub async fn record(&self, entry: Entry) {
        self.standing.keep((self.clock.now(), entry));
        self.flush().await;
    }

    /// A login that was refused. They are bounded: see the room's documentation.
    pub async fn login_failed(&self, actor: &Actor, why: &str) {
        let now = self.clock.monotonic();
        let due = self
            .standing
            .with_logins(|logins| logins.failed(actor, why, now));
        for entry in due {
            self.record(entry).await;
        }
    }

    /// Writes what waits: to be called now and then, and when a database is in place again.
    pub async fn flush(&self) {
        let now = self.clock.monotonic();
        let due = self.standing.with_logins(|logins| logins.due(now));
        due.into_iter().for_each(|entry| self.keep(entry));
        let this = self.clone();
        // Whoever waits may go away, and an entry that is neither here nor there is lost.
        let written = tokio::spawn(async move { this.write().await });
        if let Err(error) = written.await {
            tracing::error!(%error, "an entry of the audit log is lost");
        }
    }

    /// The last entry of this process.
    pub async fn stop(&self, entry: Entry) {
        let rest = self.standing.with_logins(|logins| logins.rest());
        rest.into_iter().for_each(|entry| self.keep(entry));
        self.record(entry).await;
    }

    /// Keeps an entry until the next flush.
    pub(super) fn keep(&self, entry: Entry) {
        self.standing.keep((self.clock.now(), entry));
    }

    async fn write(&self) {
        let taken = self.standing.take(self.clock.now());
        if taken.is_empty() {
            return;
        }
        let (chain, entries) = (self.chain.clone(), taken.clone());
        let written = self.store.write_note(move |connection| {
            for (at, entry) in entries.entries() {
                chain.append(connection, *at, entry)?;
            }
            Ok::<_, AuditError>(())
        });
        match written.await {
            Ok(()) => self.standing.written(),
            Err(error) => {
                self.standing.give_back(taken);
                // During a restore another database is about to be in place.
                if !error.is_of_a_restore() {
                    self.tell(&error);
                }
            }
        }
    }

    fn tell(&self, error: &AuditError) {
        if self.standing.failed(error.to_string()) {
            tracing::error!(%error, "the audit log cannot be written; the node goes on, and entries wait in memory");
        }
    }

    /// What is wrong with it, as far as is known.
    pub fn health(&self) -> AuditHealth {
        self.standing.health()
    }

    /// Entries, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entries(&self, query: &Query) -> Result<Vec<Written>, StoreError> {
        self.store.read(|connection| query.run(connection)).await
    }

    /// Looks at every row, beside the requests. What is found is told as the log's health from then on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify(&self) -> Result<Verification, StoreError> {
        let (export, chain) = (self.store.export().await?, self.chain.clone());
        let verified = tokio::task::spawn_blocking(move || chain.verify(export.connection(), None));
        let verified = verified.await.unwrap_or(Err(StoreError::Panicked))?;
        self.standing.set_broken(in_brief(&verified.findings));
        Ok(verified)
    }

    /// Forgets entries that are older than `retention` says, and the oldest of too many.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn prune(&self, retention: Retention) -> Result<(), AuditError> {
        let now = self.clock.now();
        let expired = |connection: &Connection| retention.expired(connection, now);
        let Some(seq) = self.store.read(expired).await? else {
            return Ok(());
        };
        let chain = self.chain.clone();
        self.store
            .write_note(move |connection| chain.forget(connection, now, seq))
            .await
    }
}

impl Retention {
    /// The newest entry that need not be kept any more. Entries wait a tenth longer, so that forgetting, which is an entry
    /// too, is not all that ever happens.
    fn expired(self, connection: &Connection, now: Timestamp) -> Result<Option<i64>, StoreError> {
        let (oldest, newest, at): (Option<i64>, Option<i64>, Option<i64>) = connection.query_row(
            "SELECT min(seq), max(seq), (SELECT at FROM audit ORDER BY seq LIMIT 1) FROM audit",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let (Some(oldest), Some(newest), Some(at)) = (oldest, newest, at) else {
            return Ok(None);
        };
        let too_many = newest.saturating_sub(oldest) > MOST;
        let by_number = too_many.then(|| newest.saturating_sub(MOST - MOST / 10));
        let day = Duration::from_secs(86_400);
        let keep = day.saturating_mul(self.keep_days);
        let since = now.minus(keep);
        let mut by_time = None;
        if at < since.minus(keep / 10).as_millis() {
            let sql = "SELECT seq FROM audit WHERE at >= ?1 ORDER BY seq LIMIT 1";
            let first: Option<i64> = connection
                .query_row(sql, [since.as_millis()], |row| row.get(0))
                .optional()?;
            let last = first.map_or(newest, |first| first.saturating_sub(1));
            by_time = Some(last.min(newest.saturating_sub(LEAST)));
        }
        Ok(by_number.max(by_time).filter(|seq| *seq >= oldest))
    }
}

/// The first finding, and how many more there are.
fn in_brief(findings: &[Finding]) -> Option<String> {
    let first = findings.first()?;
    let more = findings.len().saturating_sub(1);
    Some(if more > 0 {
        format!("{first} (and {more} more)")
    } else {
        first.to_string()
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::audit::{AUDIT_TABLES, Action};
    use crate::clock::{Clock, ManualClock};
    use crate::store::{FolderLock, StoreMetrics, StoreOptions};

    fn entry(action: Action) -> Entry {
        Entry::done(&Actor::Node, action, "")
    }

    /// A log in a store of its own.
    fn opened(folder: &Path) -> (Arc<Store>, AuditLog, Arc<ManualClock>) {
        let clock = ManualClock::shared();
        let store = Store::open(
            FolderLock::take(folder).unwrap(),
            &[AUDIT_TABLES],
            StoreOptions::default(),
            StoreMetrics::default(),
            clock.clone(),
        );
        let store = Arc::new(store.unwrap());
        let ring = KeyRing::generate([7; 16]).unwrap();
        let audit = AuditLog::new(store.clone(), &ring, Standing::default(), clock.clone());
        (store, audit, clock)
    }

    async fn sql(store: &Store, sql: &'static str) {
        let run =
            move |connection: &Connection| Ok::<_, StoreError>(connection.execute_batch(sql)?);
        store.write(run).await.unwrap();
    }

    async fn actions(audit: &AuditLog) -> Vec<String> {
        let written = audit.entries(&Query::default()).await.unwrap();
        written
            .into_iter()
            .rev()
            .map(|entry| entry.action)
            .collect()
    }

    const FAILS: &str =
        "CREATE TRIGGER fails BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'no'); END;";

    #[tokio::test]
    async fn what_cannot_be_written_waits_and_is_written_with_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let (store, audit, clock) = opened(folder.path());
        audit.record(entry(Action::NodeCreate)).await;
        sql(&store, FAILS).await;
        let then = clock.now();
        audit.record(entry(Action::Start)).await;
        let health = audit.health();
        assert_eq!(health.waiting, 1);
        assert!(health.error.unwrap().contains("no"));
        // In the transaction of an effect, which goes on.
        let (entering, told) = (audit.clone(), entry(Action::SecretChange));
        store
            .write(move |connection| {
                connection.execute_batch("CREATE TABLE effect (id INTEGER)")?;
                entering.append(connection, &told);
                Ok::<_, StoreError>(())
            })
            .await
            .unwrap();
        assert_eq!(audit.health().waiting, 2);
        assert_eq!(actions(&audit).await, ["node-create"]);

        clock.advance(Duration::from_secs(60));
        sql(&store, "DROP TRIGGER fails; INSERT INTO effect VALUES (1)").await;
        audit.flush().await;
        assert_eq!(audit.health(), AuditHealth::default());
        assert_eq!(
            actions(&audit).await,
            ["node-create", "start", "secret-change"]
        );
        let written = audit.entries(&Query::default()).await.unwrap();
        assert_eq!(written[1].at, then);
        assert!(audit.verify().await.unwrap().is_whole());
    }

    #[tokio::test]
    async fn during_a_pause_entries_wait_and_nobody_is_alarmed() {
        let folder = tempfile::tempdir().unwrap();
        let (store, audit, _) = opened(folder.path());
        let pause = store.pause_writes().await.unwrap();
        audit.record(entry(Action::NodeCreate)).await;
        let health = audit.health();
        assert_eq!((health.waiting, health.error), (1, None));
        drop(pause);
        audit.flush().await;
        assert_eq!(actions(&audit).await, ["node-create"]);
    }

    #[tokio::test]
    async fn old_entries_are_forgotten_and_never_all() {
        let folder = tempfile::tempdir().unwrap();
        let (_store, audit, clock) = opened(folder.path());
        let day = Duration::from_secs(86_400);
        let retention = Retention { keep_days: 30 };
        audit.record(entry(Action::NodeCreate)).await;
        // The clock has jumped: what is there is old at once, and stays.
        clock.advance(day * 365);
        audit.prune(retention).await.unwrap();
        assert_eq!(actions(&audit).await.len(), 1);
        for _ in 0..1_100 {
            audit.keep(entry(Action::Login));
            if audit.health().waiting > 500 {
                audit.flush().await;
            }
        }
        audit.flush().await;
        audit.prune(retention).await.unwrap();
        let left = actions(&audit).await;
        assert_eq!(left.len(), 1_101, "{:?}", &left[..3]);
        assert_eq!(left.last().unwrap(), "audit-prune");
        // Nothing more until a tenth of the time has passed beyond it.
        clock.advance(day * 31);
        audit.prune(retention).await.unwrap();
        assert_eq!(actions(&audit).await.len(), 1_101);
        clock.advance(day * 3);
        audit.prune(retention).await.unwrap();
        assert_eq!(actions(&audit).await.len(), 1_001);
        let verified = audit.verify().await.unwrap();
        assert!(verified.is_whole(), "{:?}", verified.findings);
    }

    /// Somebody has changed a row: it is told as a problem from the next verification on.
    #[tokio::test]
    async fn a_broken_log_is_a_problem_of_the_node() {
        let folder = tempfile::tempdir().unwrap();
        let (store, audit, _) = opened(folder.path());
        audit.record(entry(Action::NodeCreate)).await;
        audit.record(entry(Action::Start)).await;
        sql(&store, "UPDATE audit SET detail = 'x'").await;
        assert!(!audit.verify().await.unwrap().is_whole());
        let broken = audit.health().broken.unwrap();
        assert_eq!(
            broken,
            "entry 1 was changed, or stands where another one was written (and 1 more)"
        );
    }
}
