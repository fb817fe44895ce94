//! Where requests for the admin page come in, and what all of them have in common.
//!
//! The order of the checks is the order of what is given away: who is on no list learns nothing, who comes in clear learns
//! how to come, who has no session gets the login whatever he asks for, and only then is told what there is and what not.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use ipnet::IpNet;
use serde_json::json;

use super::actions::{self, Asked};
use super::answer::{finish, html, json, see_other};
use super::error::{TO_THE_OVERVIEW, title_of_refusal};
use super::forgery::{check_origin, check_token};
use super::form::{Form, query};
use super::login::{self, cookie};
use super::pages::{self, Page, Problem, Visit, sentence};
use super::route::{LOGIN, Route, wants_json};
use super::session::Known;
use super::visitor::Visitor;
use super::{Administrator, Jobs, PageError, SecondFactor, Sessions, assets, download};
use crate::clock::SharedClock;
use crate::desk::Desk;

/// An answer on its way to the browser.
pub type Answer = warp::reply::Response;

/// What lets the administrator in. Commands change it too. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Access {
    /// Whose password it is.
    pub administrator: Arc<Administrator>,
    /// What the login asks for besides.
    pub second_factor: Arc<SecondFactor>,
    /// Who is logged in.
    pub sessions: Sessions,
}

/// What the site is made of.
#[derive(Debug)]
pub struct SiteParts {
    /// What is asked for how the node is, and what does things.
    pub desk: Desk,
    /// What lets the administrator in.
    pub access: Access,
    /// The networks that may use it; none lets everybody.
    pub allow: Vec<IpNet>,
    /// What time it is.
    pub clock: SharedClock,
}

/// What pages and actions work with.
#[derive(Debug)]
pub struct Rooms {
    /// How the node is, and what does things.
    pub desk: Desk,
    /// Whose password it is.
    pub administrator: Arc<Administrator>,
    /// What the login asks for besides.
    pub second_factor: Arc<SecondFactor>,
    /// Who is logged in.
    pub sessions: Sessions,
    /// What is under way.
    pub jobs: Jobs,
    /// What time it is.
    pub clock: SharedClock,
}

/// The admin page. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Site(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rooms: Rooms,
    allow: Vec<IpNet>,
}

impl Site {
    /// The site of these parts.
    pub fn new(parts: SiteParts) -> Self {
        Self(Arc::new(Shared {
            rooms: Rooms {
                desk: parts.desk,
                administrator: parts.access.administrator,
                second_factor: parts.access.second_factor,
                sessions: parts.access.sessions,
                jobs: Jobs::new(parts.clock.clone()),
                clock: parts.clock,
            },
            allow: parts.allow,
        }))
    }

    /// Whether a path is the site's.
    pub fn is_at(path: &str) -> bool {
        path.strip_prefix(super::route::ROOT)
            .is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }

    /// Whether a request is one by which the password can be tried.
    pub fn tries_password(method: &Method, path: &str) -> bool {
        *method == Method::POST
            && match Route::of(path) {
                Some(Route::Login) => true,
                Some(Route::Action(action)) => action.needs_password(),
                _ => false,
            }
    }

    /// Whether a request comes from somebody who is logged in.
    pub fn knows(&self, headers: &HeaderMap) -> bool {
        self.0.session(headers, false).is_some()
    }

    /// Answers a request.
    pub async fn answer(&self, visitor: Visitor, request: Request<Bytes>) -> Answer {
        let json = wants_json(request.uri().path());
        let mut answer = match self.0.answer(visitor, &request).await {
            Ok(answer) => answer,
            Err(error) => refused(&error, json),
        };
        finish(answer.headers_mut());
        answer
    }

    /// The answer to a request for `path` that is refused before it comes here.
    pub fn refusal(path: &str, status: StatusCode, said: &str) -> Answer {
        let problem = Problem {
            status: status.as_u16(),
            title: title_of_refusal(status),
            said: &sentence(said),
            way_on: Some(TO_THE_OVERVIEW),
        };
        let mut answer = told(status, &problem, wants_json(path));
        finish(answer.headers_mut());
        answer
    }
}

impl Shared {
    async fn answer(
        &self,
        visitor: Visitor,
        request: &Request<Bytes>,
    ) -> Result<Answer, PageError> {
        visitor.check_address(&self.allow)?;
        let route = Route::of(request.uri().path());
        if let Some(Route::Asset(name)) = &route {
            check_method(request.method(), &Route::Asset(name.clone()))?;
            return assets::answer(name, request.headers());
        }
        visitor.check_way()?;
        let touch = !wants_json(request.uri().path());
        let session = self.session(request.headers(), touch);
        match (route, session) {
            (Some(Route::Login), session) => self.login(visitor, request, session).await,
            (_, None) => without_session(request),
            (None, Some(_)) => Err(PageError::NotFound),
            (Some(route), Some(session)) => {
                check_method(request.method(), &route)?;
                self.within(visitor, request, route, &session).await
            }
        }
    }

    async fn login(
        &self,
        visitor: Visitor,
        request: &Request<Bytes>,
        session: Option<Known>,
    ) -> Result<Answer, PageError> {
        check_method(request.method(), &Route::Login)?;
        if *request.method() == Method::POST {
            check_origin(request.headers(), request.uri())?;
            return login::enter(&self.rooms, visitor, request).await;
        }
        match session {
            Some(_) => Ok(see_other(Page::Overview.path())),
            None => login::form(&self.rooms, request),
        }
    }

    /// What a session has asked for.
    async fn within(
        &self,
        visitor: Visitor,
        request: &Request<Bytes>,
        route: Route,
        session: &Known,
    ) -> Result<Answer, PageError> {
        let rooms = &self.rooms;
        match route {
            Route::Page(page) => {
                let visit = self.visit(visitor, request, session);
                Ok(html(
                    StatusCode::OK,
                    pages::show(page, rooms, &visit).await?,
                ))
            }
            Route::Values(page) => {
                let visit = self.visit(visitor, request, session);
                Ok(json(
                    StatusCode::OK,
                    &pages::values(page, rooms, &visit).await?,
                ))
            }
            Route::Job(id) => {
                let job = rooms.jobs.find(id).ok_or(PageError::NotFound)?;
                let visit = self.visit(visitor, request, session);
                Ok(html(StatusCode::OK, pages::job(&job, &visit)?))
            }
            Route::JobValues(id) => {
                let job = rooms.jobs.find(id).ok_or(PageError::NotFound)?;
                let visit = self.visit(visitor, request, session);
                Ok(json(StatusCode::OK, &pages::job_values(&job, &visit)?))
            }
            Route::Download(id) => {
                let visit = self.visit(visitor, request, session);
                download::backup(rooms, &visit, id).await
            }
            Route::Action(action) => {
                check_origin(request.headers(), request.uri())?;
                let form = Form::read(request.headers(), request.body())?;
                check_token(&form, session)?;
                let visit = self.visit(visitor, request, session);
                let asked = Asked {
                    form: &form,
                    visit: &visit,
                    agent: login::agent(request.headers()),
                };
                actions::run(&action, rooms, asked).await
            }
            Route::Login | Route::Asset(_) => Err(PageError::NotFound),
        }
    }

    fn visit(&self, visitor: Visitor, request: &Request<Bytes>, session: &Known) -> Visit {
        // A script that asks for values does not take away what is to be said on the page.
        let page = *request.method() == Method::GET && !wants_json(request.uri().path());
        let flash = page
            .then(|| self.rooms.sessions.take_flash(&session.name))
            .flatten();
        Visit {
            session: session.name.clone(),
            address: visitor.address,
            host: host(request),
            csrf: session.csrf.clone(),
            query: query(request.uri().query()),
            second_factor: self.rooms.second_factor.is_set(),
            flash,
            now: self.rooms.clock.now(),
        }
    }

    fn session(&self, headers: &HeaderMap, touch: bool) -> Option<Known> {
        self.rooms.sessions.find(cookie(headers)?, touch)
    }
}

/// The name under which a browser asks, without a port.
fn host(request: &Request<Bytes>) -> String {
    let named = request.headers().get(header::HOST);
    let named = named.and_then(|host| host.to_str().ok());
    let host = request.uri().host().map(str::to_owned);
    host.or_else(|| {
        let authority: http::uri::Authority = named?.parse().ok()?;
        Some(authority.host().to_owned())
    })
    .unwrap_or_default()
}

/// The answer to whoever has no session: the way to the login, whatever he has asked for.
fn without_session(request: &Request<Bytes>) -> Result<Answer, PageError> {
    let path = request.uri().path();
    if *request.method() != Method::GET || wants_json(path) {
        return Err(PageError::NoSession);
    }
    Ok(match Route::of(path) {
        Some(Route::Page(page)) if page != Page::Overview => {
            see_other(&format!("{LOGIN}?next={}", page.name()))
        }
        _ => see_other(LOGIN),
    })
}

fn check_method(method: &Method, route: &Route) -> Result<(), PageError> {
    let allow = route.methods();
    allow
        .split(", ")
        .any(|allowed| allowed == method.as_str())
        .then_some(())
        .ok_or(PageError::Method(allow))
}

fn refused(error: &PageError, as_json: bool) -> Answer {
    let status = error.status();
    let problem = Problem {
        status: status.as_u16(),
        title: error.title(),
        said: &error.to_string(),
        way_on: error.way_on(),
    };
    let mut answer = told(status, &problem, as_json);
    let headers = answer.headers_mut();
    match error {
        PageError::Method(allow) => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        PageError::Later(_) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    answer
}

fn told(status: StatusCode, problem: &Problem<'_>, as_json: bool) -> Answer {
    let values = || json(status, &json!({ "error": problem.said }));
    if as_json {
        return values();
    }
    match pages::problem(problem) {
        Ok(page) => html(status, page),
        Err(_) => values(),
    }
}
