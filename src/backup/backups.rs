//! The backups of one open database: making and listing; verifying, pruning, the regular runs and what is done with a chosen
//! one are in the parts.

mod chosen;
mod named;
mod proof;
mod pruning;
#[cfg(test)]
mod tests;
mod upkeep;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

pub use chosen::BackupFile;

use super::health::Known;
use super::history::History;
use super::keeper::Turn;
use super::make::{remove, remove_unfinished};
use super::{BackupError, Health, Keeper, Kind, Progress, Record, Status};
use crate::audit::{Action, Actor, AuditLog, Entry};
use crate::clock::Timestamp;
use crate::store::{Store, StoreError, Timelines};

/// How often a line of the history is written while too many writes wait.
const ATTEMPTS: u32 = 50;
/// The time between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// The backups of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Backups {
    pub(super) keeper: Keeper,
    pub(super) store: Arc<Store>,
    pub(super) node_id: Uuid,
    pub(super) audit: AuditLog,
}

impl Backups {
    pub(super) fn new(keeper: Keeper, store: Arc<Store>, node_id: Uuid, audit: AuditLog) -> Self {
        Self {
            keeper,
            store,
            node_id,
            audit,
        }
    }

    /// The same for the database that a restore has put in this one's place.
    pub fn over(&self, store: Arc<Store>, audit: AuditLog) -> Self {
        Self {
            store,
            audit,
            ..self.clone()
        }
    }

    /// What makes them.
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// The folder of the backups.
    pub fn folder(&self) -> &Path {
        &self.keeper.0.options.config.dir
    }

    /// How the last backup stands.
    pub fn health(&self) -> Health {
        self.keeper.health()
    }

    /// To be called once, before anything else: what an earlier process left unfinished has failed, and its files go.
    /// Notes `made`, a backup of the time before the history could be written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn recover(&self, made: Option<Record>) -> Result<(), StoreError> {
        let now = self.now();
        let unfinished = self
            .store
            .write_note(move |connection| {
                let history = History(connection);
                let unfinished = history.unfinished()?;
                for record in unfinished.clone() {
                    history.put(&record.failed("the node ended before it was finished", now))?;
                }
                made.iter().try_for_each(|record| history.put(record))?;
                Ok::<_, StoreError>(unfinished)
            })
            .await?;
        for record in unfinished {
            // If it has its name already: it was not noted as completed, and nobody was told of it.
            remove(&record.path);
        }
        remove_unfinished(self.store.folder(), self.folder())?;
        self.refresh(Known::default()).await
    }

    /// Makes a backup and verifies it, as `actor` wants it. It goes on to its end when the caller goes away.
    ///
    /// # Errors
    /// [`BackupError`]; the history has the same text.
    pub async fn create(
        &self,
        kind: Kind,
        actor: &Actor,
        progress: &Progress,
    ) -> Result<Record, BackupError> {
        let turn = self.keeper.turn().await?;
        let (this, actor, progress) = (self.clone(), actor.clone(), progress.clone());
        detached(async move { this.create_in(turn, kind, &actor, &progress).await }).await
    }

    async fn create_in(
        &self,
        turn: Turn,
        kind: Kind,
        actor: &Actor,
        progress: &Progress,
    ) -> Result<Record, BackupError> {
        let begun = self.keeper.begin(kind);
        if begun.is_err() {
            let entry = Entry::ended(actor, Action::BackupCreate, "", &begun);
            self.audit.record(entry).await;
        }
        let record = begun?;
        tracing::info!(kind = kind.as_str(), path = %record.path.display(), "a backup begins");
        let made = self.make(record, actor, progress).await;
        if let Err(error) = &made {
            tracing::error!(kind = kind.as_str(), %error, "a backup failed; the ones before are kept");
        }
        let damage = match &made {
            // Content that does not verify came from the live database.
            Err(error) if error.is_of_content() => Some(error.to_string()),
            Err(_) => self.health().damage,
            Ok(_) => None,
        };
        let unnoted = made.as_ref().err().map(ToString::to_string);
        let refreshed = self.refresh(Known { damage, unnoted }).await;
        let record = made?;
        refreshed?;
        if let Err(error) = self.prune_in(&turn, &Actor::Node).await {
            tracing::error!(%error, "old backups could not be pruned");
        }
        drop(turn);
        self.run_hook(&record);
        Ok(record)
    }

    async fn make(
        &self,
        begun: Record,
        actor: &Actor,
        progress: &Progress,
    ) -> Result<Record, BackupError> {
        // The row is in the copy as well, which tells by it what it is.
        self.note(begun.clone()).await?;
        let began = self.keeper.0.clock.monotonic();
        let made = self
            .keeper
            .produce(
                &begun,
                self.store.folder().clone(),
                Some(self.node_id),
                progress,
            )
            .await
            .and_then(|product| self.keeper.complete(begun.clone(), product, began));
        let record = match &made {
            Ok(record) => record.clone(),
            Err(error) => begun.failed(error, self.now()),
        };
        self.keeper.0.metrics.observe(&record);
        let path = record.path.display().to_string();
        let entry = Entry::ended(actor, Action::BackupCreate, path, &made);
        if let Err(error) = self.note_with(record.clone(), entry).await {
            // A file that the history does not know would never be deleted again.
            remove(&record.path);
            return Err(made.err().unwrap_or(error.into()));
        }
        if let (Ok(record), Some(summary)) = (&made, record.summary) {
            let seconds = record.duration.unwrap_or_default().as_secs_f64();
            tracing::info!(path = %record.path.display(), bytes = record.bytes, seconds, users = summary.users,
                shares = summary.shares, "a backup is verified and in its place");
        }
        made
    }

    /// The history since a moment (or all of it), newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, since: Option<Timestamp>) -> Result<Vec<Record>, StoreError> {
        self.store
            .read(|connection| History(connection).since(since))
            .await
    }

    async fn of_file(&self, path: &Path) -> Result<Option<Record>, StoreError> {
        self.store
            .read(|connection| History(connection).of_file(path))
            .await
    }

    /// Writes a record.
    pub(super) async fn note(&self, record: Record) -> Result<(), StoreError> {
        self.put(&record, None).await
    }

    /// The same, with what is told of it, in one transaction.
    pub(super) async fn note_with(&self, record: Record, entry: Entry) -> Result<(), StoreError> {
        self.put(&record, Some(&entry)).await
    }

    /// What is noted is done already, and may have taken minutes: a queue that is full at this moment is no reason to
    /// throw it away.
    async fn put(&self, record: &Record, entry: Option<&Entry>) -> Result<(), StoreError> {
        for _ in 1..ATTEMPTS {
            match self.put_once(record, entry).await {
                Err(StoreError::Busy { .. }) => sleep(PAUSE).await,
                put => return put,
            }
        }
        self.put_once(record, entry).await
    }

    /// The history is this machine's alone, and no replica is asked for it.
    async fn put_once(&self, record: &Record, entry: Option<&Entry>) -> Result<(), StoreError> {
        let (record, entry) = (record.clone(), entry.cloned());
        let audit = self.audit.clone();
        self.store
            .write_note(move |connection| {
                History(connection).put(&record)?;
                if let Some(entry) = &entry {
                    audit.append(connection, entry);
                }
                Ok(())
            })
            .await
    }

    /// Reads anew how things stand.
    pub(super) async fn refresh(&self, known: Known) -> Result<(), StoreError> {
        let read = self.store.read(|connection| {
            let records = History(connection).since(None)?;
            Ok((records, Timelines(connection).current()?))
        });
        let (records, timeline) = match read.await {
            // Another database is in place by now.
            Err(StoreError::Closed) => return Err(StoreError::Closed),
            Err(error) => {
                let health = self.health().without_history(known, &error);
                self.keeper.0.metrics.show(&health, None);
                self.keeper.set_health(health);
                return Err(error);
            }
            Ok(read) => read,
        };
        let since = timeline.map(|timeline| timeline.started_at);
        let health = Health::of(&records, since, self.folder(), known);
        let newest = records
            .iter()
            .find(|record| record.status == Status::Completed);
        self.keeper.0.metrics.show(&health, newest);
        self.keeper.set_health(health);
        Ok(())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.keeper.0.clock.now()
    }
}

/// Runs work that must come to its end, also when whoever asked for it goes away.
pub(super) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, BackupError>> + Send + 'static,
) -> Result<T, BackupError> {
    // The task is cut off only when the runtime ends.
    tokio::spawn(work)
        .await
        .unwrap_or(Err(BackupError::Stopped))
}
