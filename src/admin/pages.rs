//! What is seen: a page is a function from what the rooms say to HTML.
//!
//! A file a page: what it shows as plain fields, how they come about, and its template in `assets/templates`, which is checked
//! when the program is compiled. `parts` and `chart` are what all of them are made of, `shell` is what is around them. A page
//! is the same with and without scripts: where values go on, the script asks for the page anew and puts the parts that
//! changed in their places, so that nothing is said in two ways.

mod account;
mod audit;
mod backups;
mod certificates;
mod chart;
mod entry;
mod growth;
mod job;
mod keys;
mod logs;
mod overview;
mod parts;
mod replication;
mod settings;
mod shares;
mod shell;
mod traffic;

use std::net::IpAddr;

use askama::Template;
use bytes::Bytes;
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub(super) use audit::Asked as Audited;
pub(super) use entry::{EnrolmentView, LoginView, Problem, enrolment, login, paper_codes, problem};
pub(super) use parts::sentence;

use super::PageError;
use super::jobs::JobFacts;
use super::session::Flash;
use super::site::Rooms;
use crate::audit::Actor;
use crate::clock::Timestamp;
use crate::desk::UserLookUp;

/// A whole page.
#[derive(Debug)]
pub(super) struct Html(String);

impl Html {
    /// The page that a template makes.
    fn of(page: &impl Template) -> Result<Self, PageError> {
        Ok(Self(page.render()?))
    }

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

    /// Its icon in the menu.
    fn icon(self) -> &'static str {
        match self {
            Self::Overview => "gauge",
            Self::Backups => "archive",
            Self::Shares => "users-round",
            Self::Keys => "key-round",
            Self::Certificates => "file-badge",
            Self::Replication => "waypoints",
            Self::Logs => "scroll-text",
            Self::Audit => "history",
            Self::Settings => "sliders-horizontal",
            Self::Account => "circle-user",
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
    /// The name under which the browser knows the node.
    pub(super) host: String,
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

impl Visit {
    /// Who has done what is done.
    pub(super) fn actor(&self) -> Actor {
        Actor::Page {
            address: self.address,
            session: self.session.clone(),
        }
    }

    /// What the query says of `name`.
    fn asks(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter();
        pairs
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A page of the menu.
pub(super) async fn show(page: Page, rooms: &Rooms, visit: &Visit) -> Result<Html, PageError> {
    match page {
        Page::Overview => overview::show(rooms, visit).await,
        Page::Backups => backups::show(rooms, visit).await,
        Page::Shares => shares::show(None, rooms, visit).await,
        Page::Certificates => certificates::show(rooms, visit).await,
        Page::Replication => replication::show(rooms, visit).await,
        Page::Logs => logs::show(rooms, visit),
        Page::Account => account::show(rooms, visit),
        Page::Keys => keys::show(rooms, visit).await,
        Page::Settings => settings::show(rooms, visit).await,
        Page::Audit => audited(&Audited::Entries, rooms, visit).await,
    }
}

/// The same for a script, which puts what has changed into the page that is shown.
pub(super) async fn values(page: Page, rooms: &Rooms, visit: &Visit) -> Result<Value, PageError> {
    Ok(for_script(show(page, rooms, visit).await?, visit))
}

/// The page of shares with what was found of a user.
pub(super) async fn found(
    found: &UserLookUp,
    rooms: &Rooms,
    visit: &Visit,
) -> Result<Html, PageError> {
    shares::show(Some(found), rooms, visit).await
}

/// The page of the audit log with what else was asked of it.
pub(super) async fn audited(
    asked: &Audited<'_>,
    rooms: &Rooms,
    visit: &Visit,
) -> Result<Html, PageError> {
    audit::show(asked, rooms, visit).await
}

/// How a job stands. While it runs the page asks again by itself.
pub(super) fn job(job: &JobFacts, visit: &Visit) -> Result<Html, PageError> {
    job::show(job, visit)
}

/// The same for a script.
pub(super) fn job_values(job: &JobFacts, visit: &Visit) -> Result<Value, PageError> {
    Ok(for_script(job::show(job, visit)?, visit))
}

fn for_script(page: Html, visit: &Visit) -> Value {
    json!({ "page": page.0, "now": visit.now.to_string() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    fn files(folder: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn texts(folder: &str) -> Vec<(PathBuf, String)> {
        let read = |file: PathBuf| {
            let text = std::fs::read_to_string(&file).unwrap();
            (file, text)
        };
        files(folder).into_iter().map(read).collect()
    }

    /// What stands between `before` and the next quotation mark, each time.
    fn named<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
        let found = text.split(before).skip(1);
        found.map(|rest| rest.split('"').next().unwrap()).collect()
    }

    #[test]
    fn templates_keep_to_the_policy_that_forbids_what_stands_in_a_page() {
        for (file, text) in texts("assets/templates") {
            for forbidden in [
                " style=",
                "<style",
                "<script>",
                " onclick=",
                " onload=",
                "javascript:",
                "http:",
                "https:",
            ] {
                assert!(!text.contains(forbidden), "{}: {forbidden}", file.display());
            }
            let raw = text.contains("|safe");
            assert_eq!(raw, file.ends_with("enrolment.html"), "{}", file.display());
        }
    }

    #[test]
    fn templates_name_assets_that_there_are() {
        for (file, text) in texts("assets/templates") {
            for name in named(&text, "assets::url(\"") {
                let url = crate::admin::assets::url(name);
                assert!(
                    url.starts_with("/admin/assets/"),
                    "{}: {name}",
                    file.display()
                );
            }
        }
    }

    #[test]
    fn every_icon_is_there_and_used() {
        let icons: BTreeSet<String> = files("assets/icons")
            .iter()
            .map(|file| file.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        let templates = texts("assets/templates");
        for (file, text) in &templates {
            for name in named(text, "parts::icon(\"") {
                assert!(icons.contains(name), "{}: {name}", file.display());
            }
        }
        let sources = texts("src/admin/pages").into_iter();
        let all: String = templates
            .into_iter()
            .chain(sources)
            .map(|(_, text)| text)
            .chain([include_str!("pages.rs").to_owned()])
            .collect();
        for icon in icons {
            let used = [format!("\"{icon}\""), format!("#{icon}\"")];
            assert!(
                used.iter().any(|used| all.contains(used)),
                "{icon} is not used"
            );
        }
    }
}
