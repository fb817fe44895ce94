//! Who is logged in to the admin page, as it is told to commands.

use serde::{Deserialize, Serialize};

use crate::admin::{Access, AdminError, SecondFactor, SessionFacts};
use crate::audit::{Action, Actor, Entry};
use crate::desk::Desk;

/// A session at the admin page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionItem {
    /// Names it, and opens nothing.
    pub id: String,
    /// Where it was begun from.
    pub address: String,
    /// What the browser calls itself; empty when it does not say.
    pub agent: String,
    /// When it was begun.
    pub since: String,
    /// When it was last used.
    pub used: String,
}

/// What a command changed of how the administrator comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessChanged {
    /// Whether there was something to be changed.
    pub changed: bool,
    /// Sessions that were ended.
    pub ended: usize,
}

impl From<SessionFacts> for SessionItem {
    fn from(facts: SessionFacts) -> Self {
        Self {
            id: facts.name,
            address: facts.address.to_string(),
            agent: facts.agent,
            since: facts.since.to_string(),
            used: facts.used.to_string(),
        }
    }
}

/// All sessions, the newest first.
pub(super) fn list(access: &Access) -> Vec<SessionItem> {
    let sessions = access.sessions.list();
    sessions.into_iter().map(SessionItem::from).collect()
}

/// Ends one session, or all of them.
pub(super) async fn end(
    access: &Access,
    desk: &Desk,
    actor: &Actor,
    id: Option<&str>,
) -> Result<AccessChanged, String> {
    let ended = match id {
        None => access.sessions.revoke_all(),
        Some(id) if access.sessions.revoke(id) => 1,
        Some(id) => {
            return Err(format!(
                "there is no session {id}; it may have ended already"
            ));
        }
    };
    let changed = ended > 0;
    if changed {
        tracing::info!(%actor, ended, "sessions of the admin page were ended");
        let detail = id.map_or_else(|| format!("all, {ended}"), str::to_owned);
        desk.enter(Entry::done(actor, Action::SessionEnd, detail))
            .await;
    }
    Ok(AccessChanged { changed, ended })
}

/// Whether a command may set the password: to be asked before it keeps one in the data folder. The node's environment may
/// configure one, and the command's not.
pub(super) fn check_password(access: &Access) -> Result<(), AdminError> {
    if access.administrator.is_configured() {
        return Err(AdminError::Configured);
    }
    Ok(())
}

/// Takes over the password that a command has kept in the data folder, and ends all sessions.
pub(super) async fn take_password(
    access: &Access,
    desk: &Desk,
    actor: &Actor,
) -> Result<AccessChanged, AdminError> {
    check_password(access)?;
    let reloaded = access.administrator.reload();
    let entry = Entry::ended(actor, Action::PasswordSet, "", &reloaded);
    desk.enter(entry).await;
    reloaded?;
    let ended = access.sessions.revoke_all();
    tracing::info!(%actor, ended, "the administrator's password was set");
    let changed = true;
    Ok(AccessChanged { changed, ended })
}

/// Takes the second factor away, and ends all sessions; where there is none, nothing is done.
pub(super) async fn reset_second_factor(
    access: &Access,
    desk: &Desk,
    actor: &Actor,
) -> Result<AccessChanged, AdminError> {
    let dropped = access.second_factor.beside(SecondFactor::drop_it).await;
    let ended = match &dropped {
        Ok(false) => {
            return Ok(AccessChanged {
                changed: false,
                ended: 0,
            });
        }
        Ok(true) => access.sessions.revoke_all(),
        Err(_) => 0,
    };
    let entry = Entry::ended(actor, Action::SecondFactorReset, "", &dropped);
    desk.enter(entry).await;
    let changed = dropped?;
    tracing::info!(%actor, ended, "the second factor was taken away");
    Ok(AccessChanged { changed, ended })
}
