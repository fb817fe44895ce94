//! What is around every page: its title, the menu, what was done last.

use zeroize::Zeroizing;

use super::parts::Tone;
use super::{Page, Visit};

/// The frame of a page.
#[derive(Debug)]
pub(super) struct Shell {
    /// The page of the menu that this one belongs to.
    pub(super) page: Page,
    pub(super) title: String,
    /// The name under which the browser came.
    pub(super) host: String,
    pub(super) version: &'static str,
    pub(super) csrf: Zeroizing<String>,
    pub(super) flash: Option<Said>,
}

/// What the last action left to be said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) tone: Tone,
    pub(super) text: String,
}

/// The menu, in groups of what belongs together.
const GROUPS: &[&[Page]] = &[
    &[Page::Overview],
    &[Page::Shares, Page::Backups, Page::Replication],
    &[Page::Keys, Page::Certificates],
    &[Page::Logs, Page::Audit],
    &[Page::Settings, Page::Account],
];

impl Shell {
    /// The frame of a page of the menu.
    pub(super) fn of(page: Page, visit: &Visit) -> Self {
        Self::titled(page.title(), page, visit)
    }

    /// The frame of a page that belongs to one of the menu.
    pub(super) fn titled(title: &str, page: Page, visit: &Visit) -> Self {
        let said = |flash: &crate::admin::session::Flash| Said {
            tone: if flash.good { Tone::Good } else { Tone::Bad },
            text: flash.text.clone(),
        };
        Self {
            page,
            title: title.to_owned(),
            host: visit.host.clone(),
            version: crate::VERSION,
            csrf: visit.csrf.clone(),
            flash: visit.flash.as_ref().map(said),
        }
    }

    /// The menu.
    pub(super) fn groups(&self) -> &'static [&'static [Page]] {
        GROUPS
    }
}
