//! Restoring: what is prepared beside the running node, and what is done once its database is closed.
//!
//! The order is what makes a restore safe: the candidate is verified before anything else happens; then nothing more is
//! written; then today's data is saved; then the candidate gets the history and a timeline of its own; then the database
//! is closed; and only then one step puts the candidate in its place. An error before that step leaves today's data.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use uuid::Uuid;

use super::backups::Backups;
use super::candidate::{Candidate, Legacy};
use super::health::Known;
use super::history::History;
use super::keeper::Turn;
use super::{
    BackupError, Keeper, Kind, Progress, Record, RestoreReport, RestoreRequest, Status, Summary,
};
use crate::audit::Actor;
use crate::store::{
    DATABASE_FILE, FolderLock, Keychain, Left, OpenKeys, StoreError, Timelines, WritesPaused,
    open_read_only,
};

/// A restore that somebody asked the running node for.
#[derive(Debug)]
pub struct RestoreOrder {
    /// What to restore.
    pub request: RestoreRequest,
    /// Who wants it.
    pub actor: Actor,
    /// Who watches.
    pub progress: Progress,
    reply: oneshot::Sender<Result<RestoreReport, BackupError>>,
    /// As long as the order is there, others are refused.
    only: OwnedSemaphorePermit,
}

impl RestoreOrder {
    /// Ends the order and tells its outcome to whoever asked, who may be gone.
    pub fn answer(self, outcome: Result<RestoreReport, BackupError>) {
        // First, because an answer may be followed by the next order at once.
        drop(self.only);
        let _ = self.reply.send(outcome);
    }
}

/// Where a restore of the running node is asked for: only the node as a whole can do it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Restorer {
    orders: mpsc::Sender<RestoreOrder>,
    /// One: a second order must not wait for its turn and then undo the first.
    only: Arc<Semaphore>,
}

impl Restorer {
    /// The place to ask, and where what was asked for comes out.
    pub fn new() -> (Self, mpsc::Receiver<RestoreOrder>) {
        let (orders, waiting) = mpsc::channel(1);
        let only = Arc::new(Semaphore::new(1));
        (Self { orders, only }, waiting)
    }

    /// Restores; it goes on to its end when the caller goes away.
    ///
    /// # Errors
    /// [`BackupError`]: the live data is untouched then. [`BackupError::Busy`] when another restore was asked for and is
    /// not done.
    pub async fn restore(
        &self,
        actor: &Actor,
        request: RestoreRequest,
        progress: &Progress,
    ) -> Result<RestoreReport, BackupError> {
        let only = self.only.clone().try_acquire_owned();
        let (reply, outcome) = oneshot::channel();
        let order = RestoreOrder {
            request,
            actor: actor.clone(),
            progress: progress.clone(),
            reply,
            only: only.map_err(|_| BackupError::Busy)?,
        };
        self.orders
            .try_send(order)
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => BackupError::Busy,
                mpsc::error::TrySendError::Closed(_) => BackupError::Stopped,
            })?;
        outcome.await.unwrap_or(Err(BackupError::Stopped))
    }
}

/// A verified backup, about to take the place of today's data. Dropping it leaves everything as it is.
#[derive(Debug)]
pub struct PreparedRestore {
    keeper: Keeper,
    folder: FolderLock,
    /// The backup is of another node than the database that it replaces, which holds nothing.
    of_another: bool,
    candidate: Arc<Candidate>,
    source: Record,
    report: RestoreReport,
    _turn: Turn,
}

impl Keeper {
    /// Verifies and migrates a backup in a data folder without an open database. `node` is the node the folder belongs
    /// to; absent, any node's backup will do.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn prepare_restore(
        &self,
        request: &RestoreRequest,
        folder: FolderLock,
        node: Option<Uuid>,
        progress: &Progress,
    ) -> Result<PreparedRestore, BackupError> {
        let turn = self.turn().await?;
        let candidate = self
            .candidate(request, folder.clone(), node, progress)
            .await?;
        let known = self.0.options.migrations.len();
        let now = self.0.clock.now();
        let source = Record {
            status: Status::Completed,
            bytes: std::fs::metadata(&request.path).ok().map(|meta| meta.len()),
            summary: Some(candidate.summary),
            verified_at: Some(now),
            encrypted: request.age_identity.is_some(),
            ..Record::begin(Uuid::nil(), Kind::Manual, request.path.clone(), now)
        };
        let before = self.summary(&folder);
        let public_key_before = self.public_key(&folder).await.ok().flatten();
        let report = RestoreReport {
            path: request.path.clone(),
            // Where there is no database, or one that cannot be read, there is nothing to compare.
            before: before.await.ok(),
            after: candidate.summary,
            taken_at: candidate.taken_at,
            safety: None,
            safety_error: None,
            timeline: None,
            migrated_from: (candidate.schema < known).then_some(candidate.schema),
            rewrapped: candidate.rewrapped,
            public_key_before,
            public_key: candidate.keys.node_key.public_key(),
        };
        let in_place = folder.node_id()?;
        Ok(PreparedRestore {
            keeper: self.clone(),
            of_another: node.is_none() && in_place.is_some_and(|id| id != candidate.keys.node_id),
            folder,
            candidate: Arc::new(candidate),
            source,
            report,
            _turn: turn,
        })
    }

    /// Whether there is a database in the folder, and neither a user nor a share in it.
    pub async fn holds_nothing(&self, folder: &FolderLock) -> bool {
        let summary = self.summary(folder).await;
        summary.is_ok_and(|summary| (summary.users, summary.shares) == (0, 0))
    }

    /// The node's public key in the database of a folder.
    async fn public_key(&self, folder: &FolderLock) -> Result<Option<[u8; 32]>, BackupError> {
        let database = folder.path().join(DATABASE_FILE);
        self.in_background(move || {
            let keys = Keychain(&open_read_only(&database)?).node_keys()?;
            Ok(keys.last().map(|key| key.public_key))
        })
        .await
    }

    /// What is in the database of a folder.
    async fn summary(&self, folder: &FolderLock) -> Result<Summary, BackupError> {
        let database = folder.path().join(DATABASE_FILE);
        let contents = self.0.options.contents.clone();
        self.in_background(move || Ok(contents.summary(&open_read_only(&database)?)?))
            .await
    }
}

impl PreparedRestore {
    /// Whose backup it is.
    pub fn node_id(&self) -> Uuid {
        self.candidate.keys.node_id
    }

    /// What would change.
    pub fn report(&self) -> &RestoreReport {
        &self.report
    }

    /// Saves today's data as one more backup and gives the candidate its history and timeline, and the audit log with word of
    /// what `actor` has done. Nothing may write to the
    /// database from here on but this: `paused` shows that nobody does, and is absent when no node runs.
    ///
    /// # Errors
    /// [`BackupError`]: today's data could not be saved, and is as it was.
    pub async fn save(
        &mut self,
        actor: &Actor,
        paused: Option<&WritesPaused>,
        progress: &Progress,
    ) -> Result<(), BackupError> {
        let database = self.folder.path().join(DATABASE_FILE);
        // Of an empty node there is nothing to save, and its history is not the other one's.
        let replaced = (database.exists() && !self.of_another).then_some(database);
        let saved = match &replaced {
            Some(_) => Some(self.save_today(paused, progress).await?),
            None => None,
        };
        let (candidate, source) = (self.candidate.clone(), self.source.clone());
        let (shared, actor) = (self.keeper.0.clone(), actor.clone());
        let timeline = self.keeper.in_background(move || {
            let legacy = Legacy {
                history: replaced.as_deref().and_then(read_history),
                timelines: replaced.as_deref().map_or_else(Left::default, |database| {
                    let whole = saved.as_ref().is_some_and(|saved| saved.error.is_none());
                    read_timelines(database, whole)
                }),
                database: replaced.as_deref(),
                saved: saved.as_ref(),
            };
            let contents = &*shared.options.contents;
            candidate.begin_timeline(contents, &source, &legacy, &actor, shared.clock.now())
        });
        self.report.timeline = Some(timeline.await?.id);
        Ok(())
    }

    async fn save_today(
        &mut self,
        paused: Option<&WritesPaused>,
        progress: &Progress,
    ) -> Result<Record, BackupError> {
        let begun = self.keeper.begin(Kind::BeforeRestore)?;
        // Today's history knows of it from its beginning, so that nothing of it is left unknown when the process is
        // killed before the replacement is decided. The row is in the copy as well, which tells by it what it is.
        note(paused, begun.clone()).await;
        let saved = self.produce_today(begun.clone(), progress).await;
        let record = match &saved {
            Ok(record) => record.clone(),
            Err(error) => begun.failed(error, self.keeper.0.clock.now()),
        };
        note(paused, record.clone()).await;
        self.keeper.0.metrics.observe(&record);
        if let Some(error) = &record.error {
            tracing::warn!(%error, path = %record.path.display(), "today's data could not be saved as a good backup before the restore");
        }
        saved?;
        self.report.safety = Some(record.path.clone());
        self.report.safety_error.clone_from(&record.error);
        Ok(record)
    }

    async fn produce_today(
        &self,
        begun: Record,
        progress: &Progress,
    ) -> Result<Record, BackupError> {
        let began = self.keeper.0.clock.monotonic();
        let node = self.folder.node_id()?;
        let product = self
            .keeper
            .produce(&begun, self.folder.clone(), node, progress)
            .await?;
        self.keeper.complete(begun, product, began)
    }

    /// Puts the candidate in the database's place, which must be closed. From here on it is the node's data, whatever
    /// happens to this process.
    ///
    /// # Errors
    /// [`StoreError`]: today's data is still in place.
    pub fn decide(&self) -> Result<(), StoreError> {
        self.folder.decide_replacement()
    }

    /// The keys of the database that is in place now, and what was done.
    ///
    /// # Errors
    /// [`BackupError::Stopped`] when the candidate is still being worked on, which it is not after [`Self::save`].
    pub fn done(self) -> Result<(OpenKeys, RestoreReport), BackupError> {
        let candidate = Arc::into_inner(self.candidate).ok_or(BackupError::Stopped)?;
        self.keeper.0.metrics.restores.inc();
        let RestoreReport { before, after, .. } = &self.report;
        let before = before.unwrap_or(Summary::default());
        tracing::warn!(
            path = %self.report.path.display(), users_before = before.users, users = after.users,
            shares_before = before.shares, shares = after.shares,
            changes_after = self.report.taken_at.map(|moment| moment.to_string()),
            safety = self.report.safety.as_ref().map(|path| path.display().to_string()),
            "a backup was restored: changes after its moment are gone, and are in the backup made before"
        );
        Ok((candidate.keys, self.report))
    }
}

impl Backups {
    /// As [`Keeper::prepare_restore`], for the database in use.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn prepare_restore(
        &self,
        request: &RestoreRequest,
        progress: &Progress,
    ) -> Result<PreparedRestore, BackupError> {
        let folder = self.store.folder().clone();
        self.keeper
            .prepare_restore(request, folder, Some(self.node_id), progress)
            .await
    }

    /// To be called when a restored database is in place: what was wrong with the one before no longer counts.
    pub async fn begin_anew(&self) {
        if let Err(error) = self.refresh(Known::default()).await {
            tracing::warn!(%error, "the history of the restored database cannot be read");
        }
    }
}

/// Writes a record to the history of a running node. A damaged database that cannot take it is to be restored all the same.
async fn note(paused: Option<&WritesPaused>, record: Record) {
    let Some(paused) = paused else {
        return;
    };
    let noted = paused.write(move |connection| History(connection).put(&record));
    if let Err(error) = noted.await {
        tracing::warn!(%error, "the backup before a restore is not in the history of the data that is replaced");
    }
}

/// The timelines of a database that may be of any schema, or damaged. The changes of the one that is left now count only
/// when they were `saved` as they should be: else a replica may be the only one that has them whole.
fn read_timelines(database: &std::path::Path, saved: bool) -> Left {
    let read = |connection: rusqlite::Connection| {
        let timelines = Timelines(&connection);
        if saved {
            timelines.left()
        } else {
            timelines.left_unsaved()
        }
    };
    open_read_only(database).and_then(read).unwrap_or_default()
}

/// The history of a database that may be of any schema, or damaged.
fn read_history(database: &std::path::Path) -> Option<Vec<Record>> {
    let connection = open_read_only(database).ok()?;
    let history = History(&connection);
    match history.exists() {
        Ok(true) => history.since(None).ok(),
        _ => None,
    }
}
