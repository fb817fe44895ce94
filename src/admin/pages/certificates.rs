//! The certificate: how long it lasts, and what came of the attempts to replace it.

use std::time::Duration;

use askama::Template;

use super::overview::moment;
use super::parts::{Bar, Moment, State, Tone, counted, sentence};
use super::shell::Shell;
use super::{Html, Page, PageError, Visit};
use crate::admin::site::Rooms;
use crate::clock::Timestamp;
use crate::desk::CertificateStatus;

#[derive(Template)]
#[template(path = "certificates.html")]
struct Certificates {
    shell: Shell,
    certificate: Option<One>,
    /// What the button says that has another one.
    renew: Option<&'static str>,
}

struct One {
    state: State,
    problems: Vec<String>,
    days: String,
    lifetime: String,
    bar: Bar,
    names: String,
    source: &'static str,
    issuer: String,
    from: Moment,
    until: Moment,
    last_attempt: Option<Moment>,
    next_attempt: Option<Moment>,
    sha256: String,
}

/// The page.
pub(super) async fn show(rooms: &Rooms, visit: &Visit) -> Result<Html, PageError> {
    let node = rooms.desk.status().await;
    let certificate = node.certificate.as_ref();
    let page = Certificates {
        shell: Shell::of(Page::Certificates, visit),
        renew: certificate.and_then(renewal),
        certificate: certificate.map(|one| self::one(one, visit.now)),
    };
    Html::of(&page)
}

/// How a certificate stands, in brief.
pub(super) fn state(one: &CertificateStatus) -> State {
    let days = counted(one.days_left.unsigned_abs(), "day");
    match one.standing.as_str() {
        _ if one.source == "fallback" => State::new(Tone::Bad, "None was issued yet"),
        "good" => State::new(Tone::Good, format!("Good for {days}")),
        "early" => State::new(Tone::Bad, "Its time has not begun"),
        "expired" => State::new(Tone::Bad, format!("Expired {days} ago")),
        _ => State::new(Tone::Warn, format!("Not renewed, {days} left")),
    }
}

/// What can be done to have another one. Nothing for one that the node makes for itself; nor while an authority's is in order,
/// which is asked again in time, and counts how often it is asked.
fn renewal(one: &CertificateStatus) -> Option<&'static str> {
    match one.source.as_str() {
        "files" => Some("Read the files again"),
        "acme" | "fallback" => one.problems().next().map(|_| "Ask the authority now"),
        _ => None,
    }
}

fn one(one: &CertificateStatus, now: Timestamp) -> One {
    let (from, until) = (
        Timestamp::parse(&one.not_before),
        Timestamp::parse(&one.not_after),
    );
    let spans = from.zip(until);
    let (whole, used) = spans.map_or((Duration::ZERO, Duration::ZERO), |(from, until)| {
        (until.since(from), now.since(from))
    });
    let state = state(one);
    let days = whole.as_secs().checked_div(86_400).unwrap_or(0);
    let left = counted(one.days_left.unsigned_abs(), "day");
    One {
        problems: one.problems().map(|text| sentence(&text)).collect(),
        days: if one.days_left < 0 {
            format!("{left} over")
        } else {
            format!("{left} left")
        },
        lifetime: counted(days, "day"),
        bar: Bar::of(
            used.as_secs(),
            whole.as_secs(),
            match state.tone {
                Tone::Good => Tone::Idle,
                other => other,
            },
        ),
        state,
        names: one.names.join(", "),
        source: match one.source.as_str() {
            "acme" => "issued by an authority, and renewed by itself (acme)",
            "files" => "files of yours, read again when they change (files)",
            "self-signed" => "made by the node for itself (self-signed)",
            _ => "made by the node until an authority issues one (acme)",
        },
        issuer: one.issuer.clone(),
        from: Moment::told(&one.not_before, now),
        until: Moment::told(&one.not_after, now),
        last_attempt: moment(one.last_attempt.as_ref(), now),
        next_attempt: moment(one.next_attempt.as_ref(), now),
        sha256: one.sha256.clone(),
    }
}
