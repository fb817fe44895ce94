//! The audit log: who had what done, whether the log is whole, and its head, signed.

use askama::Template;

use super::parts::{Moment, State, Tone, grouped, sentence};
use super::shell::Shell;
use super::{Html, Page, PageError, Visit};
use crate::admin::site::Rooms;
use crate::audit::{Action, Query};
use crate::clock::Timestamp;
use crate::desk::{AuditHead, AuditItem, AuditVerified};

/// Entries on one page.
const ENTRIES: u32 = 100;

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    shell: Shell,
    notices: Vec<State>,
    /// The signed head as the command writes it.
    head: Option<String>,
    actor: String,
    actions: Vec<Choice>,
    filtered: bool,
    rows: Vec<Row>,
    older: Option<String>,
}

struct Choice {
    name: &'static str,
    chosen: bool,
}

struct Row {
    number: i64,
    at: Moment,
    actor: String,
    action: String,
    outcome: State,
    detail: String,
}

/// What was asked of the log beside its entries.
pub(in crate::admin) enum Asked<'a> {
    /// Nothing.
    Entries,
    /// Whether it is whole.
    Verified(&'a AuditVerified),
    /// Its head.
    Head(&'a AuditHead),
}

/// The page.
pub(super) async fn show(
    asked: &Asked<'_>,
    rooms: &Rooms,
    visit: &Visit,
) -> Result<Html, PageError> {
    let actor = visit.asks("actor").unwrap_or_default().trim().to_owned();
    let action = visit.asks("action").and_then(Action::from_stored);
    let query = Query {
        before: visit.asks("before").and_then(|number| number.parse().ok()),
        since: None,
        action: action.map(|action| action.as_str().to_owned()),
        actor: (!actor.is_empty()).then(|| actor.clone()),
        limit: ENTRIES,
    };
    let items = rooms.desk.audit(&query).await?;
    let full = u32::try_from(items.len()).is_ok_and(|count| count >= ENTRIES);
    let last = items.last().filter(|_| full);
    let older = last.map(|last| link(&actor, action, last.seq));
    let choice = |known: &Action| Choice {
        name: known.as_str(),
        chosen: Some(*known) == action,
    };
    Html::of(&Audit {
        shell: Shell::of(Page::Audit, visit),
        notices: notices(asked),
        head: head(asked)?,
        filtered: query.before.is_some() || query.action.is_some() || query.actor.is_some(),
        actions: Action::ALL.iter().map(choice).collect(),
        rows: items.iter().map(|item| row(item, visit.now)).collect(),
        actor,
        older,
    })
}

fn notices(asked: &Asked<'_>) -> Vec<State> {
    let Asked::Verified(found) = asked else {
        return Vec::new();
    };
    let mut notices: Vec<State> = found
        .findings
        .iter()
        .map(|finding| State::new(Tone::Bad, sentence(finding)))
        .collect();
    if found.whole {
        let entries = found.entries;
        let text = if entries == 1 {
            "The log is whole: its one entry is as it was written.".to_owned()
        } else {
            format!(
                "The log is whole: all {} entries are there, as they were written and in their order.",
                grouped(entries)
            )
        };
        notices.push(State::new(Tone::Good, text));
    }
    if found.forgotten_until > 0 {
        let text = format!(
            "Entries until number {} were forgotten by audit.keep_days.",
            found.forgotten_until
        );
        notices.push(State::new(Tone::Idle, text));
    }
    notices
}

fn head(asked: &Asked<'_>) -> Result<Option<String>, PageError> {
    let Asked::Head(head) = asked else {
        return Ok(None);
    };
    let text = serde_json::to_string_pretty(head);
    text.map(Some)
        .map_err(|error| PageError::internal("the signed head could not be written", error))
}

fn link(actor: &str, action: Option<Action>, before: i64) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("actor", actor);
    query.append_pair("action", action.map_or("", Action::as_str));
    query.append_pair("before", &before.to_string());
    format!("{}?{}", Page::Audit.path(), query.finish())
}

fn row(item: &AuditItem, now: Timestamp) -> Row {
    Row {
        number: item.seq,
        at: Moment::told(&item.at, now),
        actor: item.actor.clone(),
        action: item.action.clone(),
        outcome: match item.outcome.as_str() {
            "done" => State::new(Tone::Good, "Done"),
            "begun" => State::new(Tone::Busy, "Begun"),
            _ => State::new(Tone::Bad, "Failed"),
        },
        detail: item.detail.clone(),
    }
}
