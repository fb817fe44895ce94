//! Deleting what retention no longer keeps.

use std::io::ErrorKind;
use std::path::Path;

use uuid::Uuid;

use super::{Backups, detached};
use crate::audit::{Action, Actor, Entry};
use crate::backup::history::History;
use crate::backup::keeper::Turn;
use crate::backup::retention::Place;
use crate::backup::{BackupError, Record, retention};
use crate::clock::Timestamp;
use crate::store::StoreError;

impl Backups {
    /// Deletes what retention no longer keeps, as `actor` wants it. Returns what was deleted.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn prune(&self, actor: &Actor) -> Result<Vec<Record>, BackupError> {
        let turn = self.keeper.turn().await?;
        let (this, actor) = (self.clone(), actor.clone());
        detached(async move {
            let pruned = this.prune_in(&turn, &actor).await;
            let count = pruned.as_ref().map_or(0, Vec::len);
            let detail = format!("{count} backups deleted");
            let entry = Entry::ended(&actor, Action::BackupPrune, detail, &pruned);
            this.audit.record(entry).await;
            pruned
        })
        .await
    }

    /// The same in a turn that somebody has.
    pub(super) async fn prune_in(
        &self,
        _turn: &Turn,
        actor: &Actor,
    ) -> Result<Vec<Record>, BackupError> {
        let records = self.list(None).await?;
        let now = self.now();
        let mut deleted = Vec::new();
        for record in self.expired(&records, now) {
            if self.is_in_folder(&record.path) {
                let record = self.remove_file(record, actor).await?;
                tracing::info!(path = %record.path.display(), "a backup older than backup.keep_days was deleted");
                deleted.push(record);
            } else {
                // Somebody has taken it away, and what lies beside its name is not the node's.
                self.note(record.clone().deleted(now)).await?;
            }
        }
        let place = |record: &Record| self.place(&record.path);
        let forgotten = retention::forgotten(&records, place, now);
        let forgotten = forgotten.iter().map(|record| record.backup_id).collect();
        self.forget(forgotten).await?;
        Ok(deleted)
    }

    fn expired<'a>(&self, records: &'a [Record], now: Timestamp) -> Vec<&'a Record> {
        let place = |record: &Record| self.place(&record.path);
        let keep_days = self.keeper.0.options.config.keep_days;
        let damaged = self.health().damage.is_some();
        retention::expired(records, place, keep_days, now, damaged)
    }

    async fn forget(&self, ids: Vec<Uuid>) -> Result<(), StoreError> {
        self.store
            .write_note(move |connection| {
                ids.into_iter()
                    .try_for_each(|id| History(connection).remove(id))
            })
            .await
    }

    /// What cannot be looked at is not known to be gone, and is not touched.
    fn place(&self, path: &Path) -> Place {
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_file() && self.is_in_folder(path) => Place::Folder,
            Err(error) if is_absence(error.kind()) => Place::Nowhere,
            _ => Place::Elsewhere,
        }
    }

    /// Whether a path is that of a file right in the folder of the backups, whatever the way to it: each of the two may lead
    /// through symbolic links.
    fn is_in_folder(&self, path: &Path) -> bool {
        let real = |folder: &Path| folder.canonicalize().ok();
        let parent = path.parent().and_then(real);
        parent.is_some() && parent == real(self.folder())
    }
}

fn is_absence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}
