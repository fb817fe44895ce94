//! The pages around coming in: the login, the second factor's set-up and its recovery codes, and what is told of an error.

use askama::Template;

use super::shell::Shell;
use super::{Html, Page, PageError, Visit};
use crate::admin::second_factor::{Enrolment, PaperCodes};

/// What the login shows.
#[derive(Debug)]
pub(in crate::admin) struct LoginView {
    /// Whether there is a password at all; without one nobody can log in.
    pub(in crate::admin) has_password: bool,
    /// Whether a code is asked for too.
    pub(in crate::admin) second_factor: bool,
    /// The page to go on to; its name goes into the field `next`.
    pub(in crate::admin) next: Option<Page>,
    /// What was wrong with the last attempt.
    pub(in crate::admin) wrong: Option<&'static str>,
}

/// What the set-up of the second factor shows.
pub(in crate::admin) struct EnrolmentView {
    /// What the app is to be told.
    pub(in crate::admin) enrolment: Enrolment,
    /// What was wrong with the last code.
    pub(in crate::admin) wrong: Option<&'static str>,
}

/// What a page of an error shows.
#[derive(Debug)]
pub(in crate::admin) struct Problem<'a> {
    pub(in crate::admin) status: u16,
    pub(in crate::admin) title: &'a str,
    pub(in crate::admin) said: &'a str,
    /// Where to go from here: what the link says, and its path.
    pub(in crate::admin) way_on: Option<(&'static str, &'static str)>,
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
#[template(path = "enrolment.html")]
struct EnrolmentPage<'a> {
    shell: Shell,
    view: &'a EnrolmentView,
}

#[derive(Template)]
#[template(path = "paper_codes.html")]
struct PaperCodesPage<'a> {
    shell: Shell,
    codes: &'a PaperCodes,
}

/// The page of the login.
pub(in crate::admin) fn login(view: &LoginView) -> Result<Html, PageError> {
    Html::of(&LoginPage { view })
}

/// The page of an error.
pub(in crate::admin) fn problem(problem: &Problem<'_>) -> Result<Html, PageError> {
    Html::of(&ProblemPage { problem })
}

/// The page that tells an app of the second factor, with the form for its first code.
pub(in crate::admin) fn enrolment(view: &EnrolmentView, visit: &Visit) -> Result<Html, PageError> {
    Html::of(&EnrolmentPage {
        shell: Shell::titled("Second factor", Page::Account, visit),
        view,
    })
}

/// The page with the recovery codes, which are not shown again.
pub(in crate::admin) fn paper_codes(codes: &PaperCodes, visit: &Visit) -> Result<Html, PageError> {
    Html::of(&PaperCodesPage {
        shell: Shell::titled("Recovery codes", Page::Account, visit),
        codes,
    })
}
