//! What concerns backups: each of them is long work but for the deletion of one.

use std::path::PathBuf;

use uuid::Uuid;

use super::super::PageError;
use super::super::jobs::Outcome;
use super::super::pages::Page;
use super::super::site::{Answer, Rooms};
use super::{Asked, say, to_job};
use crate::backup::RestoreRequest;

pub(super) fn create(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let (desk, actor) = (rooms.desk.clone(), asked.actor());
    let work = |progress| async move {
        let made = desk.create_backup(&actor, &progress).await?;
        Ok(Outcome::Made(made))
    };
    rooms
        .jobs
        .start("Make a backup", Page::Backups, work)
        .map(to_job)
}

pub(super) fn prune(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let (desk, actor) = (rooms.desk.clone(), asked.actor());
    let work = |_| async move { Ok(Outcome::Pruned(desk.prune_backups(&actor).await?)) };
    rooms
        .jobs
        .start("Delete old backups", Page::Backups, work)
        .map(to_job)
}

pub(super) async fn verify(rooms: &Rooms, asked: Asked<'_>, id: Uuid) -> Result<Answer, PageError> {
    let (path, name) = backup(rooms, id).await?;
    let (desk, actor) = (rooms.desk.clone(), asked.actor());
    let work = |progress| async move {
        let verified = desk.verify_backup(&actor, &path, None, None, &progress);
        Ok(Outcome::Verified(verified.await?))
    };
    rooms
        .jobs
        .start(format!("Verify {name}"), Page::Backups, work)
        .map(to_job)
}

pub(super) async fn restore(
    rooms: &Rooms,
    asked: Asked<'_>,
    id: Uuid,
    dry_run: bool,
) -> Result<Answer, PageError> {
    let (path, name) = backup(rooms, id).await?;
    if !dry_run && asked.form.text("confirm").map(str::trim) != Some(name.as_str()) {
        let said =
            format!("Nothing was restored: type the name of the backup, {name}, to confirm.");
        return Err(PageError::Refused(said));
    }
    let (desk, actor) = (rooms.desk.clone(), asked.actor());
    let request = RestoreRequest {
        path,
        secret_file: None,
        age_identity: None,
        dry_run,
    };
    let work = |progress| async move {
        let restored = desk.restore(&actor, request, &progress).await?;
        Ok(if dry_run {
            Outcome::Compared { id, restored }
        } else {
            Outcome::Restored(restored)
        })
    };
    let title = if dry_run { "Compare" } else { "Restore" };
    rooms
        .jobs
        .start(format!("{title} {name}"), Page::Backups, work)
        .map(to_job)
}

pub(super) async fn delete(rooms: &Rooms, asked: Asked<'_>, id: Uuid) -> Result<Answer, PageError> {
    let deleted = rooms.desk.delete_backup(&asked.actor(), id).await?;
    Ok(say(
        rooms,
        asked,
        Page::Backups,
        format!("Deleted: {}", deleted.path),
    ))
}

/// The backup's file and its name.
async fn backup(rooms: &Rooms, id: Uuid) -> Result<(PathBuf, String), PageError> {
    let entries = rooms.desk.backups(None).await?;
    let entry = entries.into_iter().find(|entry| entry.id == id);
    let path = PathBuf::from(entry.ok_or(PageError::NotFound)?.path);
    let name = path.file_name().map(|name| name.display().to_string());
    Ok((path, name.unwrap_or_default()))
}
