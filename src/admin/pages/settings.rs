//! The settings: every key in force, where it came from, and what a restart would change.

use askama::Template;

use super::parts::{State, Tone};
use super::shell::Shell;
use super::{Html, Page, PageError, Visit};
use crate::admin::site::Rooms;
use crate::desk::{Setting, SettingChange, Settings};

/// The source of what nobody has set.
const DEFAULT: &str = "default";

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    shell: Shell,
    config_file: Option<String>,
    /// Why a restart would fail, and what else is to be known.
    notices: Vec<State>,
    changes: Vec<SettingChange>,
    /// What is looked for in keys, values and what they are for.
    text: String,
    /// Whether what nobody has set is left out.
    set_alone: bool,
    filtered: bool,
    sections: Vec<Section>,
}

/// The keys of a section.
struct Section {
    name: String,
    settings: Vec<Row>,
}

struct Row {
    key: String,
    value: String,
    source: String,
    about: String,
    /// Whether nobody has said anything.
    is_default: bool,
}

/// The page.
pub(super) async fn show(rooms: &Rooms, visit: &Visit) -> Result<Html, PageError> {
    let Settings {
        config_file,
        settings,
        notices,
        restart,
    } = rooms.desk.settings().await;
    let wrong = restart.problems.into_iter().map(|problem| {
        let text = format!("The node would not start again: {problem}");
        State::new(Tone::Bad, text)
    });
    let told = notices.into_iter().chain(restart.notices);
    let text = visit.asks("q").unwrap_or_default().trim().to_owned();
    let set_alone = visit.asks("set").is_some();
    let mut settings = settings;
    settings.retain(|setting| is_meant(setting, &text, set_alone));
    Html::of(&SettingsPage {
        shell: Shell::of(Page::Settings, visit),
        config_file,
        notices: wrong
            .chain(told.map(|notice| State::new(Tone::Warn, notice)))
            .collect(),
        changes: restart.changes,
        sections: sections(settings),
        filtered: set_alone || !text.is_empty(),
        text,
        set_alone,
    })
}

fn is_meant(setting: &Setting, text: &str, set_alone: bool) -> bool {
    let text = text.to_lowercase();
    let told = [&setting.key, &setting.value, &setting.about];
    let has_text = told.iter().any(|told| told.to_lowercase().contains(&text));
    has_text && !(set_alone && setting.source == DEFAULT)
}

/// The keys by the part before their first dot, in their order; those without one come first.
fn sections(settings: Vec<Setting>) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for setting in settings {
        let name = match setting.key.split_once('.') {
            Some((section, _)) => section.to_owned(),
            None => "The node".to_owned(),
        };
        let row = Row {
            is_default: setting.source == DEFAULT,
            key: setting.key,
            value: setting.value,
            source: setting.source,
            about: setting.about,
        };
        match sections.iter_mut().find(|section| section.name == name) {
            Some(section) => section.settings.push(row),
            None => sections.push(Section {
                name,
                settings: vec![row],
            }),
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &str) -> Setting {
        Setting {
            key: key.to_owned(),
            value: "Off".to_owned(),
            source: DEFAULT.to_owned(),
            default: None,
            about: "How clients are served.".to_owned(),
        }
    }

    #[test]
    fn keys_are_found_by_what_is_told_of_them() {
        let default = setting("tls.mode");
        for (text, meant) in [
            ("", true),
            ("TLS.", true),
            ("off", true),
            ("clients", true),
            ("acme", false),
        ] {
            assert_eq!(is_meant(&default, text, false), meant, "{text}");
            assert!(!is_meant(&default, text, true));
        }
        let set = Setting {
            source: "the file".to_owned(),
            ..default
        };
        assert!(is_meant(&set, "", true) && !is_meant(&set, "acme", true));
    }

    #[test]
    fn keys_are_grouped_by_section() {
        let keys = ["data_dir", "tls.mode", "secret_file", "tls.key"];
        let sections = sections(keys.map(setting).into());
        let found: Vec<(&str, usize)> = sections
            .iter()
            .map(|section| (section.name.as_str(), section.settings.len()))
            .collect();
        assert_eq!(found, [("The node", 2), ("tls", 2)]);
    }
}
