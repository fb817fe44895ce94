//! The overview: whether all is well, at a glance.

use askama::Template;

use super::chart::Chart;
use super::logs::{Line, last_warnings};
use super::parts::{
    Bar, Fact, Figure, Moment, State, Tone, counted, grouped, longest_unit, sentence,
};
use super::shares::{Count, all_shares, counts};
use super::shell::Shell;
use super::traffic::{self, Summary};
use super::{Html, Page, PageError, Visit, growth};
use crate::admin::site::Rooms;
use crate::clock::Timestamp;
use crate::desk::{DiskStatus, NodeStatus, SharesOn, Span, size};

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    shell: Shell,
    standing: Standing,
    problems: Vec<Trouble>,
    figures: Vec<Figure>,
    /// Whether the charts are of the last day.
    day: bool,
    charts: Option<Vec<Chart>>,
    shares: Vec<Count>,
    growth: Option<Chart>,
    database: Database,
    disks: Vec<Disk>,
    cards: Vec<Card>,
    logged: State,
    warnings: Vec<Line>,
}

/// How the node is, in one sentence.
struct Standing {
    tone: Tone,
    sentence: String,
    beside: String,
}

/// Something that is wrong, and where more of it is told.
struct Trouble {
    text: String,
    page: Option<Page>,
}

struct Database {
    size: String,
    log: String,
}

struct Disk {
    name: String,
    folder: String,
    free: String,
    total: String,
    bar: Bar,
}

/// What is told of one thing.
struct Card {
    title: &'static str,
    icon: &'static str,
    page: Option<Page>,
    state: State,
    facts: Vec<Fact>,
}

/// The page.
pub(super) async fn show(rooms: &Rooms, visit: &Visit) -> Result<Html, PageError> {
    let node = rooms.desk.status().await;
    let day = visit.asks("span") == Some("day");
    // A database that does not answer is told of as a problem, and its growth is left out.
    let grown = rooms.desk.growth(growth::DAYS).await.unwrap_or_default();
    let next = rooms.desk.next_backup().await.ok().flatten();
    let hour = rooms.desk.history(Span::Hour);
    let points = if day {
        rooms.desk.history(Span::Day)
    } else {
        hour.clone()
    };
    let page = Overview {
        shell: Shell::of(Page::Overview, visit),
        standing: standing(&node),
        problems: troubles(&node),
        figures: figures(&node, &Summary::of(&hour), &grown, visit.now),
        day,
        charts: traffic::charts(&points),
        shares: counts(&node.key_shares, &grown, visit.now),
        growth: growth::chart(&grown, all_shares(&node), visit.now),
        database: Database {
            size: size(node.database_bytes),
            log: size(node.log_bytes),
        },
        disks: node.disks.iter().map(disk).collect(),
        cards: vec![
            backup(&node, next, visit.now),
            certificate(&node, visit.now),
            replica(&node),
            telemetry(&node, visit.now),
            place(&node, visit.now),
        ],
        logged: logged(&node),
        warnings: last_warnings(visit.now),
    };
    Html::of(&page)
}

fn standing(node: &NodeStatus) -> Standing {
    let problems = node.problems().len();
    let sentence = match problems {
        0 => "All is well.".to_owned(),
        1 => "One thing is wrong.".to_owned(),
        many => format!("{many} things are wrong."),
    };
    let tone = if problems == 0 { Tone::Good } else { Tone::Bad };
    let beside = if node.backup.latest.is_some() {
        "The node serves, its database answers, and its newest backup is proven."
    } else {
        "The node serves and its database answers. The first backup is still to be made."
    };
    Standing {
        tone,
        sentence,
        beside: beside.to_owned(),
    }
}

/// Each problem, with the page that is about it.
fn troubles(node: &NodeStatus) -> Vec<Trouble> {
    let trouble = |text: String| Trouble {
        page: page_of(&text),
        text: sentence(&text),
    };
    node.problems().into_iter().map(trouble).collect()
}

/// The page of what a problem names first; what it names later may be a path.
fn page_of(problem: &str) -> Option<Page> {
    let named = [
        ("backup", Page::Backups),
        ("certificate", Page::Certificates),
        ("replica", Page::Replication),
        ("audit", Page::Audit),
        ("database", Page::Logs),
    ];
    let found = named
        .into_iter()
        .filter_map(|(word, page)| Some((problem.find(word)?, page)));
    found.min_by_key(|(at, _)| *at).map(|(_, page)| page)
}

fn figures(
    node: &NodeStatus,
    traffic: &Summary,
    grown: &[SharesOn],
    now: Timestamp,
) -> Vec<Figure> {
    let shares = all_shares(node);
    let up = std::time::Duration::from_secs(node.uptime_seconds);
    let up = longest_unit(up).unwrap_or_else(|| "a moment".to_owned());
    let (uptime, unit) = match up.split_once(' ') {
        Some((count, unit)) if unit != "moment" => (count.to_owned(), unit_of(unit)),
        _ => ("<1".to_owned(), "minute"),
    };
    vec![
        Figure {
            name: "Up for",
            value: uptime,
            unit,
            beside: format!("ksnode {}", node.version),
        },
        Figure {
            name: "Key shares",
            value: shares.map_or_else(|| "not known".to_owned(), grouped),
            unit: "",
            beside: shares.map_or_else(String::new, |shares| {
                growth::since_yesterday(grown, shares, now)
            }),
        },
        Figure {
            name: "Requests, last hour",
            value: grouped(traffic.requests),
            unit: "",
            beside: match traffic.failures {
                0 => "none failed".to_owned(),
                failures => format!("{} failed", grouped(failures)),
            },
        },
        Figure {
            name: "99 of 100 within",
            value: traffic.slow.clone().unwrap_or_else(|| "–".to_owned()),
            unit: if traffic.slow.is_some() { "ms" } else { "" },
            beside: traffic.usual(),
        },
        Figure {
            name: "Open connections",
            value: grouped(node.connections),
            unit: "",
            beside: node
                .memory_bytes
                .map_or_else(String::new, |bytes| format!("{} of memory", size(bytes))),
        },
    ]
}

/// The same word with a longer life.
fn unit_of(word: &str) -> &'static str {
    ["day", "days", "hour", "hours", "minute", "minutes"]
        .into_iter()
        .find(|unit| *unit == word)
        .unwrap_or_default()
}

fn disk(disk: &DiskStatus) -> Disk {
    let used = disk.total_bytes.saturating_sub(disk.free_bytes);
    let tone = match disk.free_percent {
        0..5 => Tone::Bad,
        5..15 => Tone::Warn,
        _ => Tone::Idle,
    };
    Disk {
        name: sentence(&disk.of).trim_end_matches('.').to_owned(),
        folder: disk.folder.display().to_string(),
        free: size(disk.free_bytes),
        total: size(disk.total_bytes),
        bar: Bar::of(used, disk.total_bytes, tone),
    }
}

fn backup(node: &NodeStatus, next: Option<Timestamp>, now: Timestamp) -> Card {
    let health = &node.backup;
    let (tone, text) = match (&health.latest, health.checked) {
        _ if node.busy => (Tone::Busy, "A backup or a restore is under way"),
        (None, _) => (Tone::Idle, "None yet"),
        (Some(_), true) => (Tone::Good, "Verified"),
        (Some(_), false) => (Tone::Bad, "Not as it should be"),
    };
    let mut facts = Vec::new();
    facts.extend(health.latest.as_ref().map(|at| Fact::at("Made", at, now)));
    facts.extend(next.map(|at| Fact::of("Next", at, now)));
    facts.extend(health.failure.as_ref().map(|why| Fact::new("Failed", why)));
    facts.extend(health.damage.as_ref().map(|why| Fact::new("Damage", why)));
    facts.extend(
        health
            .hook_failure
            .as_ref()
            .map(|why| Fact::new("Off-site", why)),
    );
    Card {
        title: "Last backup",
        icon: "archive",
        page: Some(Page::Backups),
        state: State::new(tone, text),
        facts,
    }
}

fn certificate(node: &NodeStatus, now: Timestamp) -> Card {
    let mut facts = Vec::new();
    let state = match &node.certificate {
        None => State::new(Tone::Idle, "Served in clear, behind a proxy"),
        Some(one) => {
            facts.push(Fact::new("For", one.names.join(", ")));
            facts.push(Fact::at("Until", &one.not_after, now));
            facts.push(Fact::new("Source", one.source.clone()));
            super::certificates::state(one)
        }
    };
    Card {
        title: "Certificate",
        icon: "file-badge",
        page: Some(Page::Certificates),
        state,
        facts,
    }
}

fn replica(node: &NodeStatus) -> Card {
    let mut facts = Vec::new();
    let state = match &node.replica {
        None => State::new(Tone::Idle, "None is configured"),
        Some(replica) => {
            facts.push(Fact::new("Place", replica.place.clone()));
            facts.push(Fact::new(
                "Has not yet",
                counted(replica.lag_changes, "change"),
            ));
            facts.push(Fact::new("Behind", super::replication::behind(replica)));
            super::replication::state(replica)
        }
    };
    Card {
        title: "Replica",
        icon: "waypoints",
        page: Some(Page::Replication),
        state,
        facts,
    }
}

fn telemetry(node: &NodeStatus, now: Timestamp) -> Card {
    let mut facts = Vec::new();
    let state = match &node.telemetry {
        None => State::new(Tone::Idle, "Reports are not configured"),
        Some(one) => {
            facts.extend(
                one.last_report
                    .as_ref()
                    .map(|at| Fact::at("Last report", at, now)),
            );
            facts.push(Fact::new("To", one.receiver.clone()));
            facts.extend(one.error.as_ref().map(|why| Fact::new("Failed", why)));
            match one.delivered {
                Some(true) => State::new(Tone::Good, "Delivered"),
                Some(false) => State::new(Tone::Bad, "Not delivered"),
                None => State::new(Tone::Idle, "None sent yet"),
            }
        }
    };
    Card {
        title: "Telemetry",
        icon: "send",
        page: None,
        state,
        facts,
    }
}

fn logged(node: &NodeStatus) -> State {
    let (errors, warnings) = (node.logged.errors, node.logged.warnings);
    let tone = match (errors, warnings) {
        (0, 0) => Tone::Good,
        (0, _) => Tone::Warn,
        _ => Tone::Bad,
    };
    let (errors, warnings) = (counted(errors, "error"), counted(warnings, "warning"));
    State::new(tone, format!("{errors}, {warnings} since the start"))
}

fn place(node: &NodeStatus, now: Timestamp) -> Card {
    let mut facts = vec![
        Fact::new("API", node.listen.join(", ")),
        Fact::at("Since", &node.launched, now),
        Fact::new("Process", node.process.to_string()),
    ];
    let unit = node
        .service
        .as_ref()
        .and_then(|service| service.unit.clone());
    facts.extend(unit.map(|unit| Fact::new("Unit", unit)));
    facts.extend(node.ops_listen.clone().map(|at| Fact::new("Metrics", at)));
    let commit = node.git_hash.as_ref().and_then(|hash| hash.get(..12));
    facts.extend(commit.map(|commit| Fact::new("Commit", commit)));
    Card {
        title: "Node",
        icon: "server",
        page: Some(Page::Keys),
        state: State::new(
            Tone::Good,
            if node.certificate.is_some() {
                "Serves https"
            } else {
                "Serves http"
            },
        ),
        facts,
    }
}

/// A moment of the desk, where there is one.
pub(super) fn moment(told: Option<&String>, now: Timestamp) -> Option<Moment> {
    told.map(|told| Moment::told(told, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_leads_to_the_page_that_is_about_it() {
        for (problem, page) in [
            (
                "the newest backup failed: /var/backups/ksnode: no room",
                Some(Page::Backups),
            ),
            ("the database is damaged: page 7", Some(Page::Logs)),
            (
                "the replica is away and lacks 3 changes: the database system is starting up",
                Some(Page::Replication),
            ),
            (
                "the certificate has expired (2026-11-19T03:00:00.000Z)",
                Some(Page::Certificates),
            ),
            (
                "the audit log is not whole (see `ksnode audit verify`): entry 6 was removed",
                Some(Page::Audit),
            ),
            (
                "the last report to the network's monitor was not delivered: no route",
                None,
            ),
        ] {
            assert_eq!(page_of(problem), page, "{problem}");
        }
    }
}
