//! Verifying a backup again.

use std::path::Path;

use super::{Backups, detached};
use crate::audit::{Action, Actor, Entry};
use crate::backup::candidate::existing_file;
use crate::backup::digest::digest;
use crate::backup::keeper::Turn;
use crate::backup::verify::header;
use crate::backup::{BackupError, Progress, Record, RestoreRequest, Verified};

impl Backups {
    /// Verifies a backup's file again, on a working copy as a restore would, and notes the outcome in the history. A file
    /// that the history knows must be the one that was verified when it was made, to the byte. That is all that can be
    /// told of an encrypted one when `age_identity` is absent.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn verify(
        &self,
        actor: &Actor,
        path: &Path,
        secret_file: Option<&Path>,
        age_identity: Option<&Path>,
        progress: &Progress,
    ) -> Result<Verified, BackupError> {
        let turn = self.keeper.turn().await?;
        let request = RestoreRequest {
            path: path.to_owned(),
            secret_file: secret_file.map(Path::to_owned),
            age_identity: age_identity.map(Path::to_owned),
            dry_run: true,
        };
        let (this, actor, progress) = (self.clone(), actor.clone(), progress.clone());
        detached(async move {
            let verified = this.verify_in(&turn, &request, &progress).await;
            let path = request.path.display().to_string();
            let entry = Entry::ended(&actor, Action::BackupVerify, path, &verified);
            this.audit.record(entry).await;
            this.note_verification(&request.path, &verified).await?;
            verified
        })
        .await
    }

    async fn verify_in(
        &self,
        _turn: &Turn,
        request: &RestoreRequest,
        progress: &Progress,
    ) -> Result<Verified, BackupError> {
        existing_file(&request.path, self.store.folder())?;
        let known = self.of_file(&request.path).await?;
        let path = request.path.clone();
        let encrypted = match self.keeper.in_background(move || header(&path)).await {
            Err(BackupError::Encrypted { .. }) => true,
            Ok(_) => false,
            Err(error) => return Err(error),
        };
        let path = request.path.clone();
        let (bytes, digest) = self
            .keeper
            .in_background(move || digest(&path).map_err(|error| BackupError::io(path, error)))
            .await?;
        let recorded = known.as_ref().and_then(|record| record.digest);
        if recorded.is_some_and(|recorded| recorded != digest) {
            let what = "it has changed since it was made".into();
            let path = request.path.clone();
            return Err(BackupError::Damaged { path, what });
        }
        let verified = |schema, summary, taken_at| Verified {
            path: request.path.clone(),
            bytes,
            digest,
            encrypted,
            schema,
            summary,
            taken_at,
        };
        match known {
            Some(Record {
                digest: Some(_),
                summary: Some(summary),
                created_at,
                ..
            }) if encrypted && request.age_identity.is_none() => {
                Ok(verified(None, summary, Some(created_at)))
            }
            _ => {
                let folder = self.store.folder().clone();
                let candidate = self
                    .keeper
                    .candidate(request, folder, Some(self.node_id), progress)
                    .await?;
                Ok(verified(
                    Some(candidate.schema),
                    candidate.summary,
                    candidate.taken_at,
                ))
            }
        }
    }

    /// A completed backup that turns out to be damaged is no longer one.
    async fn note_verification(
        &self,
        path: &Path,
        verified: &Result<Verified, BackupError>,
    ) -> Result<(), BackupError> {
        let Some(record) = self.of_file(path).await? else {
            return Ok(());
        };
        let now = self.now();
        let changed = match verified {
            Ok(_) => Some(Record {
                verified_at: Some(now),
                ..record
            }),
            Err(error) if error.is_of_a_broken_file() => {
                tracing::error!(%error, "a backup is damaged and does not count any more");
                Some(record.failed(error, now))
            }
            Err(_) => None,
        };
        if let Some(record) = changed {
            self.note(record).await?;
        }
        Ok(self.refresh(self.health().known()).await?)
    }
}
