//! What forms have done. Each has a path of its own and is done at the desk; what takes long becomes a job.
//!
//! What cannot be undone, or decides who comes in, asks for the password again: whoever finds a browser open can look, and
//! not restore.

mod account;

use std::path::PathBuf;

use uuid::Uuid;

use super::answer::see_other;
use super::form::Form;
use super::jobs::Outcome;
use super::pages::{Page, Visit};
use super::session::Flash;
use super::site::{Answer, Rooms};
use super::{PageError, login, route};
use crate::audit::Actor;
use crate::backup::RestoreRequest;

/// What a form has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// End this session.
    Logout,
    /// Make a backup.
    CreateBackup,
    /// Delete what retention no longer keeps.
    PruneBackups,
    /// Verify a backup again.
    VerifyBackup(Uuid),
    /// Tell what a restore of it would do.
    CompareBackup(Uuid),
    /// Put it in the place of the data. Fields: `password`, and `confirm`, which is the name of its file.
    RestoreBackup(Uuid),
    /// Fill the replica anew. Field: `discard`, when what only the replica has is to be given up.
    ResyncReplica,
    /// Compare the replica.
    VerifyReplica,
    /// Set another password. Fields: `password`, `new`, `again`.
    ChangePassword,
    /// Begin to set up the second factor, or a new one. Field: `password`.
    BeginSecondFactor,
    /// Set it up. Field: `code`, the app's first.
    ConfirmSecondFactor,
    /// Take it away. Field: `password`.
    DropSecondFactor,
    /// Make new codes for the paper. Field: `password`.
    RenewPaperCodes,
    /// End another session.
    RevokeSession(String),
    /// End all other sessions.
    RevokeOthers,
}

impl Action {
    /// The action at a path below `/admin/`.
    pub(super) fn of(segments: &[&str]) -> Option<Self> {
        Some(match *segments {
            ["logout"] => Self::Logout,
            ["backups", "create"] => Self::CreateBackup,
            ["backups", "prune"] => Self::PruneBackups,
            ["backups", id, "verify"] => Self::VerifyBackup(route::id(id)?),
            ["backups", id, "compare"] => Self::CompareBackup(route::id(id)?),
            ["backups", id, "restore"] => Self::RestoreBackup(route::id(id)?),
            ["replication", "resync"] => Self::ResyncReplica,
            ["replication", "verify"] => Self::VerifyReplica,
            ["account", "password"] => Self::ChangePassword,
            ["account", "second-factor", "begin"] => Self::BeginSecondFactor,
            ["account", "second-factor", "confirm"] => Self::ConfirmSecondFactor,
            ["account", "second-factor", "drop"] => Self::DropSecondFactor,
            ["account", "second-factor", "codes"] => Self::RenewPaperCodes,
            ["account", "sessions", "revoke-others"] => Self::RevokeOthers,
            ["account", "sessions", name, "revoke"] if is_name(name) => {
                Self::RevokeSession(name.to_owned())
            }
            _ => return None,
        })
    }

    /// Whether its form asks for the password.
    pub(super) fn needs_password(&self) -> bool {
        matches!(
            self,
            Self::RestoreBackup(_)
                | Self::ChangePassword
                | Self::BeginSecondFactor
                | Self::DropSecondFactor
                | Self::RenewPaperCodes
        )
    }

    /// The page that its form stands on.
    fn page(&self) -> Page {
        match self {
            Self::Logout => Page::Overview,
            Self::CreateBackup
            | Self::PruneBackups
            | Self::VerifyBackup(_)
            | Self::CompareBackup(_)
            | Self::RestoreBackup(_) => Page::Backups,
            Self::ResyncReplica | Self::VerifyReplica => Page::Replication,
            Self::ChangePassword
            | Self::BeginSecondFactor
            | Self::ConfirmSecondFactor
            | Self::DropSecondFactor
            | Self::RenewPaperCodes
            | Self::RevokeSession(_)
            | Self::RevokeOthers => Page::Account,
        }
    }
}

/// The form, and who sent it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) form: &'a Form,
    pub(super) visit: &'a Visit,
    /// What the browser calls itself.
    pub(super) agent: &'a str,
}

impl Asked<'_> {
    fn actor(&self) -> Actor {
        Actor::Page {
            address: self.visit.address,
            session: self.visit.session.clone(),
        }
    }
}

/// Does it. What is refused is said on the page that the form stands on.
pub(super) async fn run(
    action: &Action,
    rooms: &Rooms,
    asked: Asked<'_>,
) -> Result<Answer, PageError> {
    let done = match check_password(action, rooms, asked).await {
        Ok(()) => act(action, rooms, asked).await,
        Err(error) => Err(error),
    };
    match done {
        Err(PageError::Refused(said) | PageError::Invalid(said)) => {
            rooms.sessions.leave(&asked.visit.session, Flash::bad(said));
            Ok(see_other(action.page().path()))
        }
        done => done,
    }
}

async fn act(action: &Action, rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    match action {
        Action::Logout => Ok(login::leave(rooms, &asked.visit.session)),
        Action::CreateBackup => create(rooms, asked),
        Action::PruneBackups => prune(rooms, asked),
        Action::VerifyBackup(id) => verify(rooms, asked, *id).await,
        Action::CompareBackup(id) => restore(rooms, asked, *id, true).await,
        Action::RestoreBackup(id) => restore(rooms, asked, *id, false).await,
        Action::ResyncReplica => resync(rooms, asked),
        Action::VerifyReplica => verify_replica(rooms),
        Action::ChangePassword => account::change_password(rooms, asked).await,
        Action::BeginSecondFactor => account::begin_second_factor(rooms, asked),
        Action::ConfirmSecondFactor => account::confirm_second_factor(rooms, asked),
        Action::DropSecondFactor => account::drop_second_factor(rooms, asked),
        Action::RenewPaperCodes => account::renew_paper_codes(rooms, asked),
        Action::RevokeSession(name) => account::revoke(rooms, asked, name),
        Action::RevokeOthers => account::revoke_others(rooms, asked),
    }
}

async fn check_password(action: &Action, rooms: &Rooms, asked: Asked<'_>) -> Result<(), PageError> {
    if !action.needs_password() {
        return Ok(());
    }
    let given = asked.form.secret("password");
    match login::is_password(rooms, given, asked.visit.address).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            tracing::warn!(actor = %asked.actor(), "an action of the admin page was refused: the password is wrong");
            let said = "The password is wrong; nothing was done.";
            Err(PageError::Refused(said.to_owned()))
        }
        Err(PageError::Later(said)) => Err(PageError::Refused(said.to_owned())),
        Err(error) => Err(error),
    }
}

fn to_job(id: Uuid) -> Answer {
    see_other(&format!("{}/jobs/{id}", route::ROOT))
}

fn create(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
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

fn prune(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let (desk, actor) = (rooms.desk.clone(), asked.actor());
    let work = |_| async move { Ok(Outcome::Pruned(desk.prune_backups(&actor).await?)) };
    rooms
        .jobs
        .start("Delete old backups", Page::Backups, work)
        .map(to_job)
}

async fn verify(rooms: &Rooms, asked: Asked<'_>, id: Uuid) -> Result<Answer, PageError> {
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

async fn restore(
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
            Outcome::Compared(restored)
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

/// The backup's file and its name.
async fn backup(rooms: &Rooms, id: Uuid) -> Result<(PathBuf, String), PageError> {
    let entries = rooms.desk.backups(None).await?;
    let entry = entries.into_iter().find(|entry| entry.id == id);
    let path = PathBuf::from(entry.ok_or(PageError::NotFound)?.path);
    let name = path.file_name().map(|name| name.display().to_string());
    Ok((path, name.unwrap_or_default()))
}

fn resync(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let (desk, actor) = (rooms.desk.clone(), asked.actor());
    let discard = asked.form.is_set("discard");
    let work = |_| async move {
        Ok(Outcome::Resynced(
            desk.resync_replica(&actor, discard).await?,
        ))
    };
    rooms
        .jobs
        .start("Fill the replica anew", Page::Replication, work)
        .map(to_job)
}

fn verify_replica(rooms: &Rooms) -> Result<Answer, PageError> {
    let desk = rooms.desk.clone();
    let work = |_| async move { Ok(Outcome::ReplicaCompared(desk.verify_replica().await?)) };
    rooms
        .jobs
        .start("Compare the replica", Page::Replication, work)
        .map(to_job)
}

/// Whether a text may name a session.
fn is_name(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
