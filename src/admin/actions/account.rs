//! What concerns the administrator himself: password, second factor, sessions.
//!
//! Whatever changes how one comes in ends the other sessions: whoever came in by the old way is out.

use http::StatusCode;

use super::super::answer::{html, see_other};
use super::super::pages::{self, EnrolmentView, Page};
use super::super::session::Flash;
use super::super::site::{Answer, Rooms};
use super::super::{AdminError, PageError, login};
use super::{Asked, say};

pub(super) async fn change_password(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let (new, again) = (asked.form.secret("new"), asked.form.secret("again"));
    if new != again {
        let said = "The new password was not typed the same way twice; nothing was changed.";
        return Err(PageError::Refused(said.to_owned()));
    }
    rooms.administrator.change(new).await.map_err(refused)?;
    rooms.sessions.revoke_all();
    let address = asked.visit.address;
    let token = rooms.sessions.begin(address, asked.agent, None)?;
    if let Some(session) = rooms.sessions.find(&token, true) {
        let said = Flash::good("The password was changed. All other sessions were ended.");
        rooms.sessions.leave(&session.name, said);
    }
    tracing::info!(actor = %asked.actor(), "the administrator's password was changed");
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

pub(super) fn confirm_second_factor(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let session = &asked.visit.session;
    let code = asked.form.secret("code");
    let confirmed = rooms.second_factor.confirm(session, &code);
    if let Some(codes) = confirmed.map_err(refused)? {
        rooms.sessions.revoke_others(session);
        tracing::info!(actor = %asked.actor(), "a second factor was set");
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

pub(super) fn drop_second_factor(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    if !rooms.second_factor.drop_it().map_err(refused)? {
        let said = "There was no second factor.";
        return Err(PageError::Refused(said.to_owned()));
    }
    rooms.sessions.revoke_others(&asked.visit.session);
    tracing::info!(actor = %asked.actor(), "the second factor was taken away");
    said(
        rooms,
        asked,
        "The second factor was taken away. All other sessions were ended.",
    )
}

pub(super) fn renew_paper_codes(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let Some(codes) = rooms.second_factor.renew_paper().map_err(refused)? else {
        let said = "There is no second factor, and so there are no codes for it.";
        return Err(PageError::Refused(said.to_owned()));
    };
    tracing::info!(actor = %asked.actor(), "new recovery codes were made");
    Ok(html(
        StatusCode::OK,
        pages::paper_codes(&codes, asked.visit)?,
    ))
}

pub(super) fn revoke(rooms: &Rooms, asked: Asked<'_>, name: &str) -> Result<Answer, PageError> {
    if name == asked.visit.session {
        return Ok(login::leave(rooms, name));
    }
    if !rooms.sessions.revoke(name) {
        return Err(PageError::Refused(
            "That session has ended already.".to_owned(),
        ));
    }
    said(rooms, asked, "The session was ended.")
}

pub(super) fn revoke_others(rooms: &Rooms, asked: Asked<'_>) -> Result<Answer, PageError> {
    let text = match rooms.sessions.revoke_others(&asked.visit.session) {
        0 => "There were no other sessions.".to_owned(),
        1 => "One other session was ended.".to_owned(),
        ended => format!("{ended} other sessions were ended."),
    };
    said(rooms, asked, text)
}

/// Back to the account's page, which says so.
fn said(rooms: &Rooms, asked: Asked<'_>, text: impl Into<String>) -> Result<Answer, PageError> {
    Ok(say(rooms, asked, Page::Account, text))
}

/// What the administrator is to know of it, in its own words.
fn refused(error: AdminError) -> PageError {
    PageError::Refused(error.to_string())
}
