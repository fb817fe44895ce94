//! What forms have done. Each has a path of its own and is done at the desk; what takes long becomes a job.
//!
//! What cannot be undone, or decides who comes in, asks for the password again: whoever finds a browser open can look, and
//! not restore.

mod account;
mod backups;

use http::StatusCode;
use uuid::Uuid;

use super::answer::{html, see_other};
use super::form::Form;
use super::jobs::Outcome;
use super::pages::{self, Audited, Page, Visit};
use super::session::Flash;
use super::site::{Answer, Rooms};
use super::{PageError, login, route};
use crate::audit::Actor;

/// What is typed to confirm a new node key: the network has to be told of it.
const ROTATE_NODE: &str = "rotate node";

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
    /// Delete a backup. Field: `password`.
    DeleteBackup(Uuid),
    /// Look up a user. Fields: `provider`, `user`.
    LookUp,
    /// Have the certificate anew.
    RenewCertificate,
    /// Tell whether the audit log is whole.
    VerifyAudit,
    /// Sign the audit log's head.
    SignAudit,
    /// Make a new share key. Field: `password`.
    RotateShareKey,
    /// Make a new node key. Fields: `password`, and `confirm`, which is [`ROTATE_NODE`].
    RotateNodeKey,
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
            ["backups", id, "delete"] => Self::DeleteBackup(route::id(id)?),
            ["shares", "look-up"] => Self::LookUp,
            ["certificates", "renew"] => Self::RenewCertificate,
            ["audit", "verify"] => Self::VerifyAudit,
            ["audit", "head"] => Self::SignAudit,
            ["keys", "share", "rotate"] => Self::RotateShareKey,
            ["keys", "node", "rotate"] => Self::RotateNodeKey,
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
                | Self::DeleteBackup(_)
                | Self::ChangePassword
                | Self::BeginSecondFactor
                | Self::DropSecondFactor
                | Self::RenewPaperCodes
                | Self::RotateShareKey
                | Self::RotateNodeKey
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
            | Self::RestoreBackup(_)
            | Self::DeleteBackup(_) => Page::Backups,
            Self::LookUp => Page::Shares,
            Self::RenewCertificate => Page::Certificates,
            Self::VerifyAudit | Self::SignAudit => Page::Audit,
            Self::RotateShareKey | Self::RotateNodeKey => Page::Keys,
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
        self.visit.actor()
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
            let flash = Flash::bad(pages::sentence(&said));
            rooms.sessions.leave(&asked.visit.session, flash);
            Ok(see_other(action.page().path()))
        }
        done => done,
    }
}

async fn act(action: &Action, rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    match action {
        Action::Logout => Ok(login::leave(rooms, asked.visit).await),
        Action::CreateBackup => backups::create(rooms, asked),
        Action::PruneBackups => backups::prune(rooms, asked),
        Action::VerifyBackup(id) => backups::verify(rooms, asked, *id).await,
        Action::CompareBackup(id) => backups::restore(rooms, asked, *id, true).await,
        Action::RestoreBackup(id) => backups::restore(rooms, asked, *id, false).await,
        Action::DeleteBackup(id) => backups::delete(rooms, asked, *id).await,
        Action::LookUp => look_up(rooms, asked).await,
        Action::RenewCertificate => renew_certificate(rooms, asked).await,
        Action::VerifyAudit => verify_audit(rooms, asked).await,
        Action::SignAudit => sign_audit(rooms, asked).await,
        Action::RotateShareKey => rotate_share_key(rooms, asked).await,
        Action::RotateNodeKey => rotate_node_key(rooms, asked).await,
        Action::ResyncReplica => resync(rooms, asked),
        Action::VerifyReplica => verify_replica(rooms, asked),
        Action::ChangePassword => account::change_password(rooms, asked).await,
        Action::BeginSecondFactor => account::begin_second_factor(rooms, asked),
        Action::ConfirmSecondFactor => account::confirm_second_factor(rooms, asked).await,
        Action::DropSecondFactor => account::drop_second_factor(rooms, asked).await,
        Action::RenewPaperCodes => account::renew_paper_codes(rooms, asked).await,
        Action::RevokeSession(name) => account::revoke(rooms, asked, name).await,
        Action::RevokeOthers => account::revoke_others(rooms, asked).await,
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
            let why = login::WRONG_PASSWORD;
            rooms.desk.login_failed(&asked.actor(), why).await;
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

async fn look_up(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let field = |name| asked.form.text(name).unwrap_or_default();
    let (provider, user) = (field("provider"), field("user"));
    let found = rooms.desk.look_up(&asked.actor(), provider, user).await?;
    let page = pages::found(&found, rooms, asked.visit).await?;
    Ok(html(StatusCode::OK, page))
}

async fn verify_audit(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let found = rooms.desk.verify_audit().await?;
    let page = pages::audited(&Audited::Verified(&found), rooms, asked.visit).await?;
    Ok(html(StatusCode::OK, page))
}

async fn sign_audit(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let head = rooms.desk.audit_head().await?;
    let page = pages::audited(&Audited::Head(&head), rooms, asked.visit).await?;
    Ok(html(StatusCode::OK, page))
}

async fn renew_certificate(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let renewal = rooms.desk.renew_certificate(&asked.actor()).await?;
    let in_order = renewal.certificate.problems().next().is_none();
    let text = match renewal.certificate.source.as_str() {
        "acme" if in_order => {
            "The certificate is in order, and the authority is asked when it is due."
        }
        "files" if renewal.in_time => "The files were read again; what came of it is below.",
        "files" => "The files are being read; their disk is slow to answer.",
        "self-signed" => "The node’s own certificate is made anew by itself when it is due.",
        _ => {
            "The authority is asked, a minute after the last attempt at the earliest; what comes of it will be below."
        }
    };
    Ok(say(rooms, asked, Page::Certificates, text))
}

async fn rotate_share_key(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let new = rooms.desk.rotate_share_key(&asked.actor()).await?;
    let text = format!("Share key {} seals from now on.", new.version);
    Ok(say(rooms, asked, Page::Keys, text))
}

async fn rotate_node_key(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    if asked.form.text("confirm").map(str::trim) != Some(ROTATE_NODE) {
        let said = format!("Nothing was done: type {ROTATE_NODE} to confirm.");
        return Err(PageError::Refused(said));
    }
    let new = rooms.desk.rotate_node_key(&asked.actor()).await?;
    let text = format!(
        "The node’s public key is now {}. Tell the network, which knows the former one.",
        new.public_key.unwrap_or_default()
    );
    Ok(say(rooms, asked, Page::Keys, text))
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

fn verify_replica(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let (desk, actor) = (rooms.desk.clone(), asked.actor());
    let work = |_| async move { Ok(Outcome::ReplicaCompared(desk.verify_replica(&actor).await?)) };
    rooms
        .jobs
        .start("Compare the replica", Page::Replication, work)
        .map(to_job)
}

/// Back to a page, which says so.
fn say(rooms: &Rooms, asked: Asked<'_>, page: Page, text: impl Into<String>) -> Answer {
    let sessions = &rooms.sessions;
    sessions.leave(&asked.visit.session, Flash::good(text));
    see_other(page.path())
}

/// Whether a text may name a session.
fn is_name(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
