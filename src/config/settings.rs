//! The layers: who said what, and who wins.
//!
//! A [`Layer`] is what one source says. [`Settings`] is all of them laid over each other: defaults, the file,
//! the Docker suite's variables, `KSNODE_…` variables, flags. A secret and the file that holds it are two spellings
//! of one setting: both in one layer contradict each other, and a higher layer's spelling takes the place of
//! either one below it.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::error::{Problem, Source, Wrong};
use super::key;

/// A value as it was written.
#[derive(Clone, Debug)]
pub(crate) enum Raw {
    /// A text in the file, and everything from the environment and flags. It may be a secret.
    Text(Zeroizing<String>),
    /// A list of texts in the file.
    List(Vec<String>),
    /// A whole number in the file.
    Number(i64),
    /// `true` or `false` in the file.
    Boolean(bool),
}

impl Raw {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(Zeroizing::new(text.into()))
    }
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Raw,
    pub(crate) source: Source,
}

impl Entry {
    pub(crate) fn new(value: Raw, source: Source) -> Self {
        Self { value, source }
    }
}

/// What one source says, by key.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    pub(crate) entries: BTreeMap<String, Entry>,
    /// How many `[[identity.oidc]]` there are; the fields of the first are the keys `identity.oidc[0].…`.
    pub(crate) oidc: usize,
}

impl Layer {
    /// Adds a value; the caller sees to it that a source says each key once.
    pub(crate) fn set(&mut self, key: &str, entry: Entry) {
        self.entries.insert(key.to_owned(), entry);
    }
}

/// All layers together.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) oidc: usize,
    pub(crate) problems: Vec<Problem>,
    pub(crate) notices: Vec<String>,
}

impl Settings {
    /// The lowest layer: the defaults of the table.
    pub(crate) fn defaults() -> Self {
        let mut settings = Self::default();
        for known in key::KEYS {
            if let Some(default) = known.default {
                settings.set_default(known.path, default);
            }
        }
        settings
    }

    /// Sets what holds when nobody says anything.
    pub(crate) fn set_default(&mut self, key: &str, value: &str) {
        if !self.entries.contains_key(key) {
            self.entries.insert(
                key.to_owned(),
                Entry::new(Raw::text(value), Source::Default),
            );
        }
    }

    /// Lays `layer` over what is there.
    pub(crate) fn overlay(&mut self, layer: Layer) {
        for (inline, file) in key::PAIRS {
            match (layer.entries.get(*inline), layer.entries.get(*file)) {
                (Some(inline_entry), Some(file_entry)) => self.problems.push(Problem::new(
                    *inline,
                    inline_entry.source.clone(),
                    Wrong::new(
                        format!("is set beside {file} ({})", file_entry.source),
                        format!("keep one of the two, rather {file}"),
                    ),
                )),
                (Some(entry), None) => self.displace(file, inline, &entry.source),
                (None, Some(entry)) => self.displace(inline, file, &entry.source),
                (None, None) => {}
            }
        }
        self.oidc = self.oidc.max(layer.oidc);
        self.entries.extend(layer.entries);
    }

    /// Takes away the other spelling of a secret, and says so: nothing is overridden in silence.
    fn displace(&mut self, other: &str, by: &str, source: &Source) {
        if let Some(old) = self.entries.remove(other) {
            self.notices.push(format!(
                "{other} ({}) is overridden by {by} ({source})",
                old.source
            ));
        }
    }
}
