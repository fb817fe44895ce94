//! Which path is what.
//!
//! Paths are compared as they were sent. Nothing of ours needs an escape, so that one with `%` in it, with an empty segment or
//! with dots names nothing.

use uuid::Uuid;

use super::actions::Action;
use super::pages::Page;

/// What everything of the page stands below.
pub(super) const ROOT: &str = "/admin";

/// Where the administrator logs in.
pub(super) const LOGIN: &str = "/admin/login";

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The form of the login.
    Login,
    /// A style, script or picture.
    Asset(String),
    /// A page.
    Page(Page),
    /// The values on a page that a script keeps up to date.
    Values(Page),
    /// How a job stands.
    Job(Uuid),
    /// The same for a script.
    JobValues(Uuid),
    /// A backup's file.
    Download(Uuid),
    /// What a form has done.
    Action(Action),
}

impl Route {
    /// What has this path.
    pub(super) fn of(path: &str) -> Option<Self> {
        let below = path.strip_prefix(ROOT)?;
        if below.is_empty() || below == "/" {
            return Some(Self::Page(Page::Overview));
        }
        let segments: Vec<&str> = below.strip_prefix('/')?.split('/').collect();
        match *segments.as_slice() {
            ["login"] => Some(Self::Login),
            ["assets", name] => Some(Self::Asset(name.to_owned())),
            ["jobs", name] => match name.strip_suffix(".json") {
                Some(name) => id(name).map(Self::JobValues),
                None => id(name).map(Self::Job),
            },
            ["backups", name, "download"] => id(name).map(Self::Download),
            [name] => match name.strip_suffix(".json") {
                Some(name) => Page::named(name).map(Self::Values),
                None => Page::named(name)
                    .filter(|page| *page != Page::Overview)
                    .map(Self::Page)
                    .or_else(|| Action::of(&segments).map(Self::Action)),
            },
            _ => Action::of(&segments).map(Self::Action),
        }
    }

    /// The methods that it answers to, as `Allow` lists them. HEAD comes as GET.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Login => "GET, HEAD, POST",
            Self::Action(_) => "POST",
            Self::Asset(_)
            | Self::Page(_)
            | Self::Values(_)
            | Self::Job(_)
            | Self::JobValues(_)
            | Self::Download(_) => "GET, HEAD",
        }
    }
}

/// Whether whoever asks for this path reads JSON, also of what is wrong.
pub(super) fn wants_json(path: &str) -> bool {
    path.ends_with(".json")
}

/// An id in the one spelling that we write.
pub(super) fn id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.to_string() == text).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_by_their_paths() {
        for page in Page::ALL {
            assert_eq!(Route::of(page.path()), Some(Route::Page(page)));
            let values = format!("{ROOT}/{}.json", page.name());
            assert_eq!(Route::of(&values), Some(Route::Values(page)));
        }
        assert_eq!(Route::of("/admin/"), Some(Route::Page(Page::Overview)));
    }

    #[test]
    fn an_action_has_a_path_of_its_own() {
        let (id, session) = (Uuid::nil(), "0123abcd".to_owned());
        for (path, action) in [
            ("/admin/logout".to_owned(), Action::Logout),
            ("/admin/backups/create".to_owned(), Action::CreateBackup),
            (
                format!("/admin/backups/{id}/restore"),
                Action::RestoreBackup(id),
            ),
            (
                format!("/admin/account/sessions/{session}/revoke"),
                Action::RevokeSession(session),
            ),
        ] {
            assert_eq!(Route::of(&path), Some(Route::Action(action)), "{path}");
        }
    }

    #[test]
    fn other_spellings_name_nothing() {
        let id = "123e4567-e89b-42d3-a456-426614174000";
        assert!(Route::of(&format!("/admin/jobs/{id}")).is_some());
        for path in [
            "",
            "/",
            "/administrator",
            "//admin",
            "/admin//",
            "/admin//backups",
            "/admin/backups/",
            "/admin/overview",
            "/admin/../admin",
            "/admin/./backups",
            "/admin/%62ackups",
            "/admin/Backups",
            "/ADMIN",
            "/admin/login/",
            "/admin/login.json",
            "/admin/assets",
            "/admin/assets/a/b",
            "/admin/jobs",
            "/admin/jobs/1",
            "/admin/backups.json.json",
            &format!("/admin/jobs/{}", id.to_uppercase()),
            &format!("/admin/jobs/{}", id.replace('-', "")),
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}
