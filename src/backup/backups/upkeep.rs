//! What happens by itself: the daily backup, the hook behind it, the check of the live database.

use std::path::Path;
use std::time::Duration;

use super::Backups;
use crate::audit::Actor;
use crate::backup::history::History;
use crate::backup::pace::Pace;
use crate::backup::progress::Watch;
use crate::backup::verify::Checked;
use crate::backup::{BackupError, Kind, Progress, Record, hook, schedule};
use crate::clock::Timestamp;
use crate::store::{Keychain, StoreError, open_read_only};

/// The longest sleep of the daily run: the wall clock may be set meanwhile.
const LOOK: Duration = Duration::from_secs(30);

impl Backups {
    /// Looks whether the pages of the live database are whole.
    ///
    /// # Errors
    /// [`BackupError::Damaged`]; [`BackupError::Busy`] when something else is under way.
    pub async fn check_database(&self) -> Result<(), BackupError> {
        let (turn, stop) = self.keeper.turn_to_check()?;
        let path = self.store.path().to_owned();
        let clock = self.keeper.0.clock.clone();
        let watch = Watch::new(&Progress::unwatched(), stop.clone(), Pace::Aside, clock);
        let checked = self
            .keeper
            .in_background(move || check_database(&path, &watch))
            .await;
        stop.cancel();
        drop(turn);
        // What was found in rows while a backup was verified, this check does not see.
        let mut known = self.health().known();
        if let Err(error) = &checked
            && error.is_of_content()
        {
            tracing::error!(%error, "the live database is damaged; restore the last good backup, which is kept");
            known.damage = Some(error.to_string());
        }
        if !matches!(checked, Err(BackupError::Stopped)) {
            self.refresh(known).await?;
        }
        checked
    }

    /// When the next backup is made by itself; a moment that has passed means at once. None, where there are no regular ones.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let Some(at) = self.keeper.0.options.config.at else {
            return Ok(None);
        };
        let records = self.list(None).await?;
        let node_created = self
            .store
            .read(|connection| Keychain(connection).created_at())
            .await?;
        let history = schedule::LastRuns::of(node_created, &records, self.now());
        Ok(Some(schedule::next_due(at, self.now(), history)))
    }

    /// The daily run: makes a backup when one is due. Returns how long until it is worth asking again.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn run_due(&self) -> Result<Duration, BackupError> {
        let Some(due) = self.next_due().await? else {
            return Ok(LOOK);
        };
        if due > self.now() {
            return Ok(due.since(self.now()).min(LOOK));
        }
        self.create(Kind::Scheduled, &Actor::Node, &Progress::unwatched())
            .await?;
        Ok(Duration::ZERO)
    }

    /// Runs the command of `backup.after`; its failure is noted and told, and changes nothing about the backup.
    pub(super) fn run_hook(&self, record: &Record) {
        let Some(command) = self.keeper.0.options.config.after.clone() else {
            return;
        };
        let (this, path, id) = (self.clone(), record.path.clone(), record.backup_id);
        let run = async move {
            let config = &this.keeper.0.options.config;
            let Err(error) = hook::run(&command, &path, config.after_timeout).await else {
                return;
            };
            this.keeper.0.metrics.hook_failures.inc();
            tracing::error!(%error, path = %path.display(), "backup.after failed; the backup itself is good");
            let noted = this
                .store
                .write_note(move |connection| {
                    History(connection).set_hook_error(id, &error.to_string())
                })
                .await;
            let told = match noted {
                Ok(()) => this.refresh(this.health().known()).await,
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                tracing::warn!(%error, "the failure of backup.after is not in the history");
            }
        };
        let stop = self.keeper.0.stop.clone();
        self.keeper
            .0
            .hooks
            .spawn(async move { stop.run_until_cancelled(run).await });
    }

    /// Waits until the command of `backup.after` has ended, which runs on when a backup is made, and tells the backup as
    /// the history knows it then. No further commands are waited for after that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn after_hook(&self, made: Record) -> Result<Record, StoreError> {
        self.keeper.finish_hooks().await;
        let known = self.list(Some(made.created_at)).await?;
        let known = known
            .into_iter()
            .find(|record| record.backup_id == made.backup_id);
        Ok(known.unwrap_or(made))
    }
}

fn check_database(path: &Path, watch: &Watch) -> Result<(), BackupError> {
    // A first page that is damaged keeps it from being opened at all.
    let connection = open_read_only(path).map_err(|error| BackupError::of_file(path, error))?;
    Checked {
        path,
        connection: &connection,
        watch,
    }
    .quick()
}
