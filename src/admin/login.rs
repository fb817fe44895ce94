//! The way in and out.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use zeroize::Zeroizing;

use super::answer::{html, see_other};
use super::form::{Form, query};
use super::pages::{self, LoginView, Page, Visit};
use super::route::LOGIN;
use super::site::{Answer, Rooms};
use super::visitor::Visitor;
use super::{AdminError, PageError};
use crate::audit::{Action, Actor, Entry};

/// The cookie of a session. Its prefix has browsers take it from this host alone, over TLS alone, for all paths.
const COOKIE: &str = "__Host-ksnode";
/// What a cookie of ours says beside its value.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

/// What the audit log says of a failed login, which its page does not say.
pub(super) const WRONG_PASSWORD: &str = "a wrong password";
const WRONG_CODE: &str = "the right password, and a wrong code of the second factor";

/// One text whatever was wrong.
const WRONG: &str = "That was not right. Check what you typed and try again.";

/// The token of the session that a request belongs to. One that comes twice counts for nothing: somebody has planted one.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE);
    let (_, token) = found.next()?;
    found.next().is_none().then_some(token)
}

/// The form.
pub(super) fn form(rooms: &Rooms, request: &Request<Bytes>) -> Result<Answer, PageError> {
    let query = query(request.uri().query());
    let next = query.iter().find(|(name, _)| name == "next");
    let next = next.and_then(|(_, name)| Page::named(name));
    let page = pages::login(&view(rooms, next, None))?;
    Ok(html(StatusCode::OK, page))
}

/// Lets in whoever knows what has to be known.
pub(super) async fn enter(
    rooms: &Rooms,
    visitor: Visitor,
    request: &Request<Bytes>,
) -> Result<Answer, PageError> {
    let form = Form::read(request.headers(), request.body())?;
    let next = form.text("next").and_then(Page::named);
    let right = is_password(rooms, form.secret("password"), visitor.address).await?;
    let (factor, code) = (rooms.second_factor.clone(), form.secret("code"));
    // A used code is written to the disk.
    let admitted = tokio::task::spawn_blocking(move || factor.admits(&code, right));
    let admitted = admitted.await.unwrap_or(false);
    if !(right && admitted) {
        tracing::warn!(address = %visitor.address, "a login to the admin page was refused");
        let why = if right { WRONG_CODE } else { WRONG_PASSWORD };
        rooms.desk.login_failed(&actor(visitor, ""), why).await;
        let page = pages::login(&view(rooms, next, Some(WRONG)))?;
        return Ok(html(StatusCode::FORBIDDEN, page));
    }
    let headers = request.headers();
    let replaced = cookie(headers);
    let token = rooms
        .sessions
        .begin(visitor.address, agent(headers), replaced)?;
    let session = rooms.sessions.find(&token, true);
    let session = session.map(|session| session.name).unwrap_or_default();
    let entry = Entry::done(&actor(visitor, &session), Action::Login, "");
    rooms.desk.enter(entry).await;
    let mut answer = see_other(next.unwrap_or(Page::Overview).path());
    set_cookie(&mut answer, &token);
    Ok(answer)
}

/// Whether it is the administrator's password.
pub(super) async fn is_password(
    rooms: &Rooms,
    given: Zeroizing<String>,
    address: IpAddr,
) -> Result<bool, PageError> {
    match rooms.administrator.is(given, address).await {
        Ok(right) => Ok(right),
        Err(AdminError::Busy) => Err(PageError::Later(
            "Many passwords are being looked at; try again in a second.",
        )),
        Err(error) => Err(PageError::internal("look at a password", error)),
    }
}

/// What a browser calls itself.
pub(super) fn agent(headers: &HeaderMap) -> &str {
    let agent = headers.get(header::USER_AGENT);
    agent
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default()
}

/// Who is at the page.
fn actor(visitor: Visitor, session: &str) -> Actor {
    Actor::Page {
        address: visitor.address,
        session: session.to_owned(),
    }
}

/// Ends the session of a visit.
pub(super) async fn leave(rooms: &Rooms, visit: &Visit) -> Answer {
    rooms.sessions.revoke(&visit.session);
    let entry = Entry::done(&visit.actor(), Action::Logout, "");
    rooms.desk.enter(entry).await;
    let mut answer = see_other(LOGIN);
    let gone = HeaderValue::from_static(
        "__Host-ksnode=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0",
    );
    answer.headers_mut().insert(header::SET_COOKIE, gone);
    answer
}

/// Hands out a session.
pub(super) fn set_cookie(answer: &mut Answer, token: &str) {
    let cookie = HeaderValue::from_str(&format!("{COOKIE}={token}; {ATTRIBUTES}"));
    // A token is plain ASCII.
    if let Ok(mut cookie) = cookie {
        cookie.set_sensitive(true);
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

fn view(rooms: &Rooms, next: Option<Page>, wrong: Option<&'static str>) -> LoginView {
    LoginView {
        has_password: rooms.administrator.has_password(),
        second_factor: rooms.second_factor.is_set(),
        next,
        wrong,
    }
}
