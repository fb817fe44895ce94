//! What is seen: a page is a function from what the rooms say to HTML.

use std::net::IpAddr;

use askama::Template;
use bytes::Bytes;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::PageError;
use super::jobs::JobFacts;
use super::second_factor::{Enrolment, PaperCodes};
use super::session::Flash;
use super::site::Rooms;
use crate::clock::Timestamp;

/// A whole page.
#[derive(Debug)]
pub(super) struct Html(String);

impl Html {
    pub(super) fn into_bytes(self) -> Bytes {
        self.0.into()
    }
}

/// The pages of the menu, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Overview,
    Backups,
    Shares,
    Keys,
    Certificates,
    Replication,
    Logs,
    Audit,
    Settings,
    Account,
}

impl Page {
    pub(super) const ALL: [Self; 10] = [
        Self::Overview,
        Self::Backups,
        Self::Shares,
        Self::Keys,
        Self::Certificates,
        Self::Replication,
        Self::Logs,
        Self::Audit,
        Self::Settings,
        Self::Account,
    ];

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Overview => "/admin",
            Self::Backups => "/admin/backups",
            Self::Shares => "/admin/shares",
            Self::Keys => "/admin/keys",
            Self::Certificates => "/admin/certificates",
            Self::Replication => "/admin/replication",
            Self::Logs => "/admin/logs",
            Self::Audit => "/admin/audit",
            Self::Settings => "/admin/settings",
            Self::Account => "/admin/account",
        }
    }

    /// Its name in paths.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            other => other.path().rsplit('/').next().unwrap_or_default(),
        }
    }

    /// The page of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.name() == name)
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Backups => "Backups",
            Self::Shares => "Shares",
            Self::Keys => "Keys",
            Self::Certificates => "Certificates",
            Self::Replication => "Replication",
            Self::Logs => "Logs",
            Self::Audit => "Audit",
            Self::Settings => "Settings",
            Self::Account => "Account",
        }
    }
}

/// A request within a session.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// The session's name; it opens nothing.
    pub(super) session: String,
    /// Where the request comes from.
    pub(super) address: IpAddr,
    /// What each form carries in its field `csrf`.
    pub(super) csrf: Zeroizing<String>,
    /// The pairs behind the question mark.
    pub(super) query: Vec<(String, String)>,
    /// Whether the login asks for a second factor.
    pub(super) second_factor: bool,
    /// What the last action left to be said.
    pub(super) flash: Option<Flash>,
    /// The time of the request.
    pub(super) now: Timestamp,
}

/// What the login shows.
#[derive(Debug)]
pub(super) struct LoginView {
    /// Whether there is a password at all; without one nobody can log in.
    pub(super) has_password: bool,
    /// Whether a code is asked for too.
    pub(super) second_factor: bool,
    /// The page to go on to; its name goes into the field `next`.
    pub(super) next: Option<Page>,
    /// What was wrong with the last attempt.
    pub(super) wrong: Option<&'static str>,
}

/// What the set-up of the second factor shows.
pub(super) struct EnrolmentView {
    /// What the app is to be told.
    pub(super) enrolment: Enrolment,
    /// What was wrong with the last code.
    pub(super) wrong: Option<&'static str>,
}

/// What a page of an error shows.
#[derive(Debug)]
pub(super) struct Problem<'a> {
    pub(super) status: u16,
    pub(super) title: &'a str,
    pub(super) said: &'a str,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    view: &'a LoginView,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    problem: &'a Problem<'a>,
}

#[derive(Template)]
#[template(path = "plain.html")]
struct PlainPage<'a> {
    title: &'a str,
    text: String,
    /// Where to go back to from a job, and whether it runs.
    job: Option<(Page, bool)>,
    visit: &'a Visit,
}

#[derive(Template)]
#[template(path = "enrolment.html")]
struct EnrolmentPage<'a> {
    view: &'a EnrolmentView,
    visit: &'a Visit,
}

#[derive(Template)]
#[template(path = "paper_codes.html")]
struct PaperCodesPage<'a> {
    codes: &'a PaperCodes,
    visit: &'a Visit,
}

/// The page that tells an app of the second factor, with the form for its first code.
pub(super) fn enrolment(view: &EnrolmentView, visit: &Visit) -> Result<Html, PageError> {
    Ok(Html(EnrolmentPage { view, visit }.render()?))
}

/// The page with the recovery codes, which are not shown again.
pub(super) fn paper_codes(codes: &PaperCodes, visit: &Visit) -> Result<Html, PageError> {
    Ok(Html(PaperCodesPage { codes, visit }.render()?))
}

/// The page of the login.
pub(super) fn login(view: &LoginView) -> Result<Html, PageError> {
    Ok(Html(LoginPage { view }.render()?))
}

/// The page of an error.
pub(super) fn problem(problem: &Problem<'_>) -> Result<Html, PageError> {
    Ok(Html(ProblemPage { problem }.render()?))
}

/// A page of the menu.
pub(super) async fn show(page: Page, rooms: &Rooms, visit: &Visit) -> Result<Html, PageError> {
    let text = match page {
        Page::Overview => rooms.desk.status().await.line(),
        Page::Account => format!(
            "configured: {}, second factor: {}, recovery codes left: {}, sessions: {:?}",
            rooms.administrator.is_configured(),
            visit.second_factor,
            rooms.second_factor.paper_left(),
            rooms.sessions.list()
        ),
        Page::Logs => format!("{:?}", visit.query),
        _ => String::new(),
    };
    plain(page.title(), text, None, visit)
}

/// The values on a page that a script keeps up to date.
pub(super) async fn values(page: Page, rooms: &Rooms, _visit: &Visit) -> Result<Value, PageError> {
    match page {
        Page::Overview => Ok(json!({ "line": rooms.desk.status().await.line() })),
        _ => Err(PageError::NotFound),
    }
}

/// How a job stands. While it runs the page asks again by itself.
pub(super) fn job(job: &JobFacts, _rooms: &Rooms, visit: &Visit) -> Result<Html, PageError> {
    plain(
        &job.title,
        format!("{:?}", job.result),
        Some((job.page, job.result.is_none())),
        visit,
    )
}

/// The same for a script.
pub(super) fn job_values(job: &JobFacts, _rooms: &Rooms) -> Value {
    json!({ "id": job.id, "ended": job.ended.map(|at| at.to_string()) })
}

fn plain(
    title: &str,
    text: String,
    job: Option<(Page, bool)>,
    visit: &Visit,
) -> Result<Html, PageError> {
    let page = PlainPage {
        title,
        text,
        job,
        visit,
    };
    Ok(Html(page.render()?))
}
