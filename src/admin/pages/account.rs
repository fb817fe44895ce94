//! The account: password, second factor, sessions.

use askama::Template;

use super::parts::{Moment, State, Tone, counted};
use super::shell::Shell;
use super::{Html, Page, PageError, Visit};
use crate::admin::session::SessionFacts;
use crate::admin::site::Rooms;

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    shell: Shell,
    /// Whether the password is the configuration's, and changed there.
    configured: bool,
    second_factor: SecondFactor,
    sessions: Vec<Session>,
}

struct SecondFactor {
    is_set: bool,
    state: State,
    /// How many recovery codes are left.
    codes: String,
}

struct Session {
    name: String,
    address: String,
    browser: String,
    since: Moment,
    used: Moment,
    is_this: bool,
}

/// The page.
pub(super) fn show(rooms: &Rooms, visit: &Visit) -> Result<Html, PageError> {
    let sessions = rooms.sessions.list();
    Html::of(&Account {
        shell: Shell::of(Page::Account, visit),
        configured: rooms.administrator.is_configured(),
        second_factor: second_factor(rooms, visit),
        sessions: sessions
            .iter()
            .map(|session| self::session(session, visit))
            .collect(),
    })
}

fn second_factor(rooms: &Rooms, visit: &Visit) -> SecondFactor {
    let left = rooms.second_factor.paper_left();
    let left = u64::try_from(left).unwrap_or(u64::MAX);
    SecondFactor {
        is_set: visit.second_factor,
        state: if visit.second_factor {
            State::new(Tone::Good, "On")
        } else {
            State::new(Tone::Idle, "Off")
        },
        codes: counted(left, "recovery code"),
    }
}

fn session(session: &SessionFacts, visit: &Visit) -> Session {
    Session {
        name: session.name.clone(),
        address: session.address.to_string(),
        browser: browser(&session.agent),
        since: Moment::new(session.since, visit.now),
        used: Moment::new(session.used, visit.now),
        is_this: session.name == visit.session,
    }
}

/// What a browser calls itself, in two words; most of it is there to be taken for another one.
fn browser(agent: &str) -> String {
    let named = |names: &[(&str, &'static str)]| {
        let found = names.iter().find(|(mark, _)| agent.contains(mark));
        found.map(|(_, name)| *name)
    };
    let browser = named(&[
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = named(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) => one.to_owned(),
        _ if agent.is_empty() => "does not say".to_owned(),
        _ => agent.chars().take(60).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_known_by_what_sets_them_apart() {
        for (agent, known) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Safari/604.1",
                "Safari on iPhone",
            ),
            ("curl/8.17.0", "curl/8.17.0"),
            ("", "does not say"),
        ] {
            assert_eq!(browser(agent), known);
        }
    }
}
