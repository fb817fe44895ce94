//! What concerns the administrator himself: password, second factor, sessions.
//!
//! Whatever changes how one comes in ends the other sessions: whoever came in by the old way is out. The change, the end of
//! the sessions and the entry in the audit log are one piece of work, which comes to its end when the browser goes away in
//! the middle of it. What has changed nothing ends no session and has no entry.

use http::StatusCode;

use super::super::answer::{html, see_other};
use super::super::pages::{self, EnrolmentView, Page};
use super::super::session::Flash;
use super::super::site::{Answer, Rooms};
use super::super::{AdminError, PageError, SecondFactor, login};
use super::{Asked, say};
use crate::audit::{Action, Entry};

pub(super) async fn change_password(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let (new, again) = (asked.form.secret("new"), asked.form.secret("again"));
    if new != again {
        let said = "The new password was not typed the same way twice; nothing was changed.";
        return Err(PageError::Refused(said.to_owned()));
    }
    let (administrator, sessions) = (rooms.administrator.clone(), rooms.sessions.clone());
    let (desk, actor) = (rooms.desk.clone(), asked.actor());
    detached(async move {
        let changed = administrator.change(new).await;
        if changed.is_ok() {
            sessions.revoke_all();
        }
        let entry = Entry::ended(&actor, Action::PasswordSet, "", &changed);
        desk.enter(entry).await;
        changed
    })
    .await?;
    let address = asked.visit.address;
    let token = rooms.sessions.begin(address, asked.agent, None)?;
    if let Some(session) = rooms.sessions.find(&token, true) {
        let said = Flash::good("The password was changed. All other sessions were ended.");
        rooms.sessions.leave(&session.name, said);
    }
    let mut answer = see_other(Page::Account.path());
    login::set_cookie(&mut answer, &token);
    Ok(answer)
}

pub(super) fn begin_second_factor(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let begun = rooms.second_factor.begin(&asked.visit.session);
    let view = EnrolmentView {
        enrolment: begun.map_err(refused)?,
        wrong: None,
    };
    Ok(html(StatusCode::OK, pages::enrolment(&view, asked.visit)?))
}

pub(super) async fn confirm_second_factor(
    rooms: &Rooms,
    asked: Asked<'_>,
) -> Result<Answer, PageError> {
    let session = &asked.visit.session;
    let (sessions, own) = (rooms.sessions.clone(), session.clone());
    let code = asked.form.secret("code");
    let what = (Action::SecondFactorSet, "");
    let confirmed = change_second_factor(rooms, asked, what, move |factor| {
        let codes = factor.confirm(&own, &code)?;
        if codes.is_some() {
            sessions.revoke_others(&own);
        }
        Ok(codes)
    });
    if let Some(codes) = confirmed.await? {
        return Ok(html(
            StatusCode::OK,
            pages::paper_codes(&codes, asked.visit)?,
        ));
    }
    let Some(enrolment) = rooms.second_factor.pending(session).map_err(refused)? else {
        let said = "That took too long, and nothing was changed. Begin again.";
        return Err(PageError::Refused(said.to_owned()));
    };
    let view = EnrolmentView {
        enrolment,
        wrong: Some(
            "That is not the code which the app shows now. Check that the clocks of telephone and node are right.",
        ),
    };
    Ok(html(
        StatusCode::BAD_REQUEST,
        pages::enrolment(&view, asked.visit)?,
    ))
}

pub(super) async fn drop_second_factor(
    rooms: &Rooms,
    asked: Asked<'_>,
) -> Result<Answer, PageError> {
    let (sessions, own) = (rooms.sessions.clone(), asked.visit.session.clone());
    let what = (Action::SecondFactorReset, "");
    let dropped = change_second_factor(rooms, asked, what, move |factor| {
        let dropped = factor.drop_it()?;
        Ok(dropped.then(|| sessions.revoke_others(&own)))
    });
    if dropped.await?.is_none() {
        let said = "There was no second factor.";
        return Err(PageError::Refused(said.to_owned()));
    }
    said(
        rooms,
        asked,
        "The second factor was taken away. All other sessions were ended.",
    )
}

pub(super) async fn renew_paper_codes(
    rooms: &Rooms,
    asked: Asked<'_>,
) -> Result<Answer, PageError> {
    let what = (Action::SecondFactorSet, "new recovery codes");
    let renewed = change_second_factor(rooms, asked, what, SecondFactor::renew_paper);
    let Some(codes) = renewed.await? else {
        let said = "There is no second factor, and so there are no codes for it.";
        return Err(PageError::Refused(said.to_owned()));
    };
    Ok(html(
        StatusCode::OK,
        pages::paper_codes(&codes, asked.visit)?,
    ))
}

pub(super) async fn revoke(
    rooms: &Rooms,
    asked: Asked<'_>,
    name: &str,
) -> Result<Answer, PageError> {
    if name == asked.visit.session {
        return Ok(login::leave(rooms, asked.visit).await);
    }
    if !rooms.sessions.revoke(name) {
        return Err(PageError::Refused(
            "That session has ended already.".to_owned(),
        ));
    }
    ended(rooms, asked, name).await;
    said(rooms, asked, "The session was ended.")
}

pub(super) async fn revoke_others(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let count = rooms.sessions.revoke_others(&asked.visit.session);
    if count > 0 {
        ended(rooms, asked, &format!("all others, {count}")).await;
    }
    let text = match count {
        0 => "There were no other sessions.".to_owned(),
        1 => "One other session was ended.".to_owned(),
        ended => format!("{ended} other sessions were ended."),
    };
    said(rooms, asked, text)
}

/// Writes to the audit log that other sessions were ended.
async fn ended(rooms: &Rooms, asked: Asked<'_>, which: &str) {
    let entry = Entry::done(&asked.actor(), Action::SessionEnd, which);
    rooms.desk.enter(entry).await;
}

/// Has `change` done to the second factor, and enters it with this detail, also that it failed; `None` says that there was
/// nothing to be changed.
async fn change_second_factor<T: Send + 'static>(
    rooms: &Rooms,
    asked: Asked<'_>,
    (action, detail): (Action, &'static str),
    change: impl FnOnce(&SecondFactor) -> Result<Option<T>, AdminError> + Send + 'static,
) -> Result<Option<T>, PageError> {
    let (factor, desk) = (rooms.second_factor.clone(), rooms.desk.clone());
    let actor = asked.actor();
    detached(async move {
        let changed = factor.beside(change).await;
        if !matches!(changed, Ok(None)) {
            let entry = Entry::ended(&actor, action, detail, &changed);
            desk.enter(entry).await;
        }
        changed
    })
    .await
}

/// Runs what must come to its end, also when the browser goes away.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, AdminError>> + Send + 'static,
) -> Result<T, PageError> {
    match tokio::spawn(work).await {
        Ok(done) => done.map_err(refused),
        Err(error) => Err(PageError::internal("change the way in", error)),
    }
}

/// Back to the account's page, which says so.
fn said(rooms: &Rooms, asked: Asked<'_>, text: impl Into<String>) -> Result<Answer, PageError> {
    Ok(say(rooms, asked, Page::Account, text))
}

/// What the administrator is to know of it, in its own words.
fn refused(error: AdminError) -> PageError {
    PageError::Refused(error.to_string())
}
