//! The log: its newest records, by level and text.

use askama::Template;
use tracing::Level;

use super::backups::counted_entries;
use super::parts::{Moment, State, Tone, grouped};
use super::shell::Shell;
use super::{Html, Page, PageError, Visit};
use crate::admin::site::Rooms;
use crate::clock::Timestamp;
use crate::service::logging::{Recorded, Search, recent};

/// Records on one page.
const RECORDS: usize = 100;
/// Warnings on the overview.
const LAST_WARNINGS: usize = 5;

#[derive(Template)]
#[template(path = "logs.html")]
struct Logs {
    shell: Shell,
    /// Where records are that are not here.
    elsewhere: String,
    /// Whether the newest are shown and more may come.
    follows: bool,
    text: String,
    requests: bool,
    levels: Vec<Choice>,
    filtered: bool,
    count: String,
    records: Vec<Line>,
    older: Option<String>,
}

struct Choice {
    value: &'static str,
    name: &'static str,
    chosen: bool,
}

/// A record.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) at: Moment,
    pub(super) level: State,
    pub(super) target: &'static str,
    pub(super) message: String,
    /// `name=value name=value`.
    pub(super) fields: String,
}

const LEVELS: [(&str, &str, Level); 4] = [
    ("error", "Errors", Level::ERROR),
    ("warn", "Warnings and errors", Level::WARN),
    ("info", "Information and above", Level::INFO),
    ("trace", "Everything", Level::TRACE),
];

/// The page.
pub(super) fn show(_rooms: &Rooms, visit: &Visit) -> Result<Html, PageError> {
    let asked = visit.asks("level").unwrap_or("info");
    let found = LEVELS.iter().find(|(value, ..)| *value == asked);
    let (chosen, _, least) = *found.unwrap_or(&LEVELS[2]);
    let text = visit.asks("q").unwrap_or_default().trim().to_owned();
    let before = visit.asks("before").and_then(|number| number.parse().ok());
    let requests = visit.asks("requests").is_some();
    let found = recent(&Search {
        least,
        text: text.clone(),
        requests,
        before,
        limit: RECORDS,
    });
    Html::of(&Logs {
        shell: Shell::of(Page::Logs, visit),
        elsewhere: passed_over(requests, found.passed_over),
        follows: before.is_none(),
        filtered: !text.is_empty() || chosen != "info" || before.is_some() || requests,
        older: found
            .older
            .map(|before| link(&text, chosen, requests, before)),
        levels: LEVELS
            .iter()
            .map(|&(value, name, _)| Choice {
                value,
                name,
                chosen: value == chosen,
            })
            .collect(),
        count: counted_entries(found.records.len()),
        records: found
            .records
            .iter()
            .map(|record| line(record, visit.now))
            .collect(),
        text,
        requests,
    })
}

fn passed_over(requests: bool, count: u64) -> String {
    if requests && count > 0 {
        format!(
            "Of requests a few a second are kept here; {} were not.",
            grouped(count)
        )
    } else {
        String::new()
    }
}

fn link(text: &str, level: &str, requests: bool, before: u64) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("q", text).append_pair("level", level);
    if requests {
        query.append_pair("requests", "yes");
    }
    query.append_pair("before", &before.to_string());
    format!("{}?{}", Page::Logs.path(), query.finish())
}

/// The newest warnings and errors.
pub(super) fn last_warnings(now: Timestamp) -> Vec<Line> {
    let found = recent(&Search {
        least: Level::WARN,
        text: String::new(),
        requests: false,
        before: None,
        limit: LAST_WARNINGS,
    });
    found
        .records
        .iter()
        .map(|record| line(record, now))
        .collect()
}

fn line(record: &Recorded, now: Timestamp) -> Line {
    // Where in the source of a library a record comes from is of no use here.
    let of_library = |name: &str| name.starts_with("log.");
    let fields = record.fields.iter().filter(|(name, _)| !of_library(name));
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Line {
        at: Moment::new(record.at, now),
        level: level(record.level),
        target: record.target,
        message: record.message.clone(),
        fields: fields.join(" "),
    }
}

fn level(level: Level) -> State {
    match level {
        Level::ERROR => State::new(Tone::Bad, "Error"),
        Level::WARN => State::new(Tone::Warn, "Warning"),
        Level::INFO => State::new(Tone::Idle, "Info"),
        Level::DEBUG => State::new(Tone::Idle, "Debug"),
        _ => State::new(Tone::Idle, "Trace"),
    }
}
