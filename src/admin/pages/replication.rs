//! The replica: how far it is, whether it is the same, filling it anew.

use std::time::Duration;

use askama::Template;

use super::parts::{State, Tone, counted, grouped};
use super::shell::Shell;
use super::{Html, Page, PageError, Visit};
use crate::admin::site::Rooms;
use crate::desk::{ReplicaState, span};

#[derive(Template)]
#[template(path = "replication.html")]
struct Replication {
    shell: Shell,
    replica: Option<One>,
}

struct One {
    place: String,
    state: State,
    error: Option<String>,
    lag_changes: String,
    lag_time: String,
    position: String,
}

/// The page.
pub(super) async fn show(rooms: &Rooms, visit: &Visit) -> Result<Html, PageError> {
    let node = rooms.desk.status().await;
    Html::of(&Replication {
        shell: Shell::of(Page::Replication, visit),
        replica: node.replica.as_ref().map(one),
    })
}

/// How a replica stands, in brief.
pub(super) fn state(replica: &ReplicaState) -> State {
    match replica.phase.as_str() {
        "following" if replica.lag_changes == 0 => State::new(Tone::Good, "Has everything"),
        "following" => State::new(Tone::Busy, "Following"),
        "connecting" => State::new(Tone::Busy, "Connecting"),
        "filling" => State::new(Tone::Busy, "Being filled"),
        "refused" => State::new(Tone::Bad, "Left alone"),
        _ => State::new(Tone::Bad, "Away"),
    }
}

/// How long the oldest change waits that it has not yet.
pub(super) fn behind(replica: &ReplicaState) -> String {
    let lag = Duration::from_millis(replica.lag_milliseconds);
    if lag.is_zero() {
        "not at all".to_owned()
    } else {
        span(lag)
    }
}

fn one(replica: &ReplicaState) -> One {
    One {
        place: replica.place.clone(),
        state: state(replica),
        error: replica.error.clone(),
        lag_changes: counted(replica.lag_changes, "change"),
        lag_time: behind(replica),
        position: grouped(replica.position),
    }
}
