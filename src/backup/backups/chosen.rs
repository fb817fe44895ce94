//! One backup of the history, by its id: deleting it, giving it away.

use std::fs::File;
use std::path::PathBuf;

use uuid::Uuid;

use super::{Backups, detached};
use crate::audit::{Action, Actor, Entry};
use crate::backup::candidate::existing_file;
use crate::backup::keeper::Turn;
use crate::backup::{BackupError, Record, Status, retention};
use crate::store::{StoreError, remove_database};

/// A backup's file, open to be read.
#[derive(Debug)]
pub struct BackupFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The file.
    pub file: File,
}

impl Backups {
    /// Deletes a backup's file as `actor` wants it, and notes that in the history. Never the last good one, and none while the live database
    /// is known to be damaged.
    ///
    /// # Errors
    /// [`BackupError::Unknown`], [`BackupError::NotFound`] when its file is gone already, [`BackupError::Needed`].
    pub async fn delete(&self, actor: &Actor, id: Uuid) -> Result<Record, BackupError> {
        let turn = self.keeper.turn().await?;
        let (this, actor) = (self.clone(), actor.clone());
        detached(async move {
            let deleted = this.delete_in(&turn, &actor, id).await;
            if deleted.is_err() {
                let detail = format!("backup {id}");
                let entry = Entry::ended(&actor, Action::BackupDelete, detail, &deleted);
                this.audit.record(entry).await;
            }
            deleted
        })
        .await
    }

    async fn delete_in(
        &self,
        _turn: &Turn,
        actor: &Actor,
        id: Uuid,
    ) -> Result<Record, BackupError> {
        let mut records = self.list(None).await?;
        let record = with_file(&records, id)?.clone();
        existing_file(&record.path, self.store.folder())?;
        // One that is not there must not stand for the newest.
        records.retain(|record| record.path.is_file());
        let needed = |why| BackupError::Needed {
            path: record.path.clone(),
            why,
        };
        if self.health().damage.is_some() {
            return Err(needed(
                "the live database is known to be damaged, and the last good state may be in this one; restore a good backup first",
            ));
        }
        if retention::last_good(&records, self.now()) == Some(record.created_at) {
            return Err(needed(
                "it is the last good backup; make another one first (`ksnode backup create`)",
            ));
        }
        let path = record.path.display().to_string();
        let entry = Entry::begun(actor, Action::BackupDelete, path);
        self.audit.record(entry).await;
        let deleted = self.remove_file(&record, actor).await?;
        tracing::info!(path = %deleted.path.display(), "a backup was deleted");
        self.refresh(self.health().known()).await?;
        Ok(deleted)
    }

    /// Deletes the file of a record, and notes it.
    pub(super) async fn remove_file(
        &self,
        record: &Record,
        actor: &Actor,
    ) -> Result<Record, BackupError> {
        // With the log of one that was saved byte for byte.
        remove_database(&record.path)?;
        let record = record.clone().deleted(self.now());
        let path = record.path.display().to_string();
        let entry = Entry::done(actor, Action::BackupDelete, path);
        self.note_with(record.clone(), entry).await?;
        Ok(record)
    }

    /// A backup's file, to be given away as it is.
    ///
    /// # Errors
    /// [`BackupError::Unknown`]; [`BackupError::NotFound`], [`BackupError::Symlink`], [`BackupError::NotAFile`],
    /// [`BackupError::Needed`], [`BackupError::Io`]; [`BackupError::Damaged`] when its size is not the one it was made with.
    pub async fn file(&self, id: Uuid) -> Result<BackupFile, BackupError> {
        let records: Result<_, StoreError> = self.list(None).await;
        let record = with_file(&records?, id)?.clone();
        let (path, folder) = (record.path, self.store.folder().clone());
        self.keeper
            .in_background(move || {
                existing_file(&path, &folder)?;
                let io = |error| BackupError::io(&path, error);
                let file = File::open(&path).map_err(io)?;
                let bytes = file.metadata().map_err(io)?.len();
                if record.bytes.is_some_and(|made| made != bytes) {
                    let what = "it has another size than when it was made".to_owned();
                    return Err(BackupError::Damaged { path, what });
                }
                Ok(BackupFile { path, bytes, file })
            })
            .await
    }
}

/// The record of this id, when it should have a file.
fn with_file(records: &[Record], id: Uuid) -> Result<&Record, BackupError> {
    let record = records.iter().find(|record| record.backup_id == id);
    let record = record.ok_or(BackupError::Unknown { id })?;
    match record.status {
        Status::Completed | Status::Failed => Ok(record),
        Status::InProgress | Status::Deleted => Err(BackupError::NotFound {
            path: record.path.clone(),
        }),
    }
}
