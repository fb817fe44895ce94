//! From what was written to what is meant, with a record of both.
//!
//! A [`Resolver`] reads one key after the other. It goes on after a mistake, so that all mistakes are found in one
//! run: a getter that failed has noted the problem and returns [`Reported`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::{Problem, Source, Wrong};
use super::key::{self, Kind};
use super::places::is_there;
use super::secret::{Place, absolute, is_open, shell_quoted};
use super::settings::{Entry, Raw, Settings};
use super::{SecretText, check, docker};

/// What stands for a secret wherever values are shown.
pub(super) const REDACTED: &str = "(redacted)";

/// The problem has been noted; there is nothing to add.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported;

/// A value, or its problem noted.
pub(crate) type Resolved<T> = Result<T, Reported>;

/// What a value of this kind looks like in the file.
pub(crate) fn wanted(kind: Kind) -> String {
    match kind {
        Kind::Text | Kind::Secret | Kind::File | Kind::SecretFile | Kind::Folder => {
            "a text in quotes".to_owned()
        }
        Kind::List => "a text or a list of texts".to_owned(),
        Kind::Number { min, max } => format!("a whole number from {min} to {max}"),
        Kind::Boolean => "true or false".to_owned(),
    }
}

/// Reads keys and notes what is wrong with them.
#[derive(Debug)]
pub(crate) struct Resolver<'a> {
    pub(crate) settings: Settings,
    pub(crate) environment: &'a Environment,
    /// What was read, as text to be shown, and where it came from.
    pub(crate) shown: BTreeMap<String, (String, Source)>,
    pub(crate) allow_readable: bool,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(settings: Settings, environment: &'a Environment) -> Self {
        Self {
            settings,
            environment,
            shown: BTreeMap::new(),
            allow_readable: false,
        }
    }

    /// Notes a problem of `key`.
    pub(crate) fn problem(&mut self, key: &str, source: Source, wrong: Wrong) -> Reported {
        self.settings
            .problems
            .push(Problem::new(key, source, wrong));
        Reported
    }

    /// Where the value of `key` came from.
    pub(crate) fn source(&self, key: &str) -> Source {
        self.settings
            .entries
            .get(key)
            .map_or(Source::Default, |entry| entry.source.clone())
    }

    /// Reads `key` with `parse`; `None` when nobody set it.
    fn read<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&Entry) -> Result<(T, String), Wrong>,
    ) -> Resolved<Option<T>> {
        let Some(entry) = self.settings.entries.get(key) else {
            return Ok(None);
        };
        let source = entry.source.clone();
        match parse(entry) {
            Ok((value, shown)) => {
                self.shown.insert(key.to_owned(), (shown, source));
                Ok(Some(value))
            }
            Err(wrong) => Err(self.problem(key, source, wrong)),
        }
    }

    /// A text that may be absent.
    pub(crate) fn optional<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Resolved<Option<T>> {
        self.read(key, |entry| {
            let text = text(entry)?;
            Ok((parse(text)?, text.to_owned()))
        })
    }

    /// A text that must be there.
    pub(crate) fn required<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Resolved<T> {
        let value = self.optional(key, parse)?;
        self.present(key, value)
    }

    /// The value; a problem when it is absent.
    fn present<T>(&mut self, key: &str, value: Option<T>) -> Resolved<T> {
        value.ok_or_else(|| {
            let section = key
                .rsplit_once('.')
                .map_or("ksnode.toml", |(section, _)| section);
            let mend = format!("add it to {section}");
            self.problem(key, Source::Default, Wrong::new("is missing", mend))
        })
    }

    /// A list; a text is a list with commas. Empty items (a comma at the end) do not count.
    pub(crate) fn list<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Resolved<Vec<T>> {
        let value = self.read(key, |entry| {
            let items: Vec<&str> = match &entry.value {
                Raw::Text(text) => text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .collect(),
                Raw::List(items) => items.iter().map(|item| item.trim()).collect(),
                Raw::Number(_) | Raw::Boolean(_) => return Err(misfit(Kind::List)),
            };
            let values = items
                .iter()
                .map(|item| parse(item))
                .collect::<Result<Vec<T>, Wrong>>()?;
            Ok((values, items.join(", ")))
        })?;
        self.present(key, value)
    }

    /// A list with at least one item, none twice.
    pub(crate) fn filled_list<T: PartialEq>(
        &mut self,
        key: &str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Resolved<Vec<T>> {
        let values = self.list(key, parse)?;
        let source = self.source(key);
        if values.is_empty() {
            let wrong = Wrong::new(
                "is an empty list",
                format!("write at least one, like {example}"),
            );
            return Err(self.problem(key, source, wrong));
        }
        let repeated = values
            .iter()
            .enumerate()
            .any(|(i, value)| values.iter().take(i).any(|other| other == value));
        if repeated {
            let wrong = Wrong::new("names the same thing twice", "remove one of the two");
            return Err(self.problem(key, source, wrong));
        }
        Ok(values)
    }

    /// A whole number within the bounds of its key.
    pub(crate) fn number(&mut self, key: &'static str) -> Resolved<u64> {
        let kind = key::find(key).map_or(Kind::Text, |known| known.kind);
        let value = self.read(key, |entry| {
            let number = match &entry.value {
                Raw::Number(number) => u64::try_from(*number).map_err(|_| outside(kind, number))?,
                Raw::Text(text) if !from_file(entry) => text
                    .trim()
                    .parse()
                    .map_err(|_| outside(kind, &format!("{:?}", text.as_str())))?,
                _ => return Err(misfit(kind)),
            };
            match kind {
                Kind::Number { min, max } if number < min || number > max => {
                    Err(outside(kind, &number))
                }
                _ => Ok((number, number.to_string())),
            }
        })?;
        self.present(key, value)
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, key: &str) -> Resolved<bool> {
        let value = self.read(key, |entry| {
            let value = match &entry.value {
                Raw::Boolean(value) => *value,
                Raw::Text(text) if !from_file(entry) => text
                    .parse()
                    .map_err(|_| outside(Kind::Boolean, &format!("{:?}", text.as_str())))?,
                _ => return Err(misfit(Kind::Boolean)),
            };
            Ok((value, value.to_string()))
        })?;
        self.present(key, value)
    }

    /// The folder that a relative path from `source` is relative to.
    fn base(&self, source: &Source) -> PathBuf {
        match source {
            Source::File { path, .. } => path.parent().map(Path::to_path_buf),
            _ => None,
        }
        .unwrap_or_else(|| self.environment.working_dir.clone())
    }

    /// A place where a secret is kept, not yet looked at.
    fn place(&mut self, key: &str) -> Resolved<Option<Place>> {
        let base = self.base(&self.source(key));
        let environment = self.environment;
        let from_default = self.source(key) == Source::Default;
        self.read(key, |entry| {
            let text = text(entry)?;
            let place = if from_default {
                Place {
                    path: absolute(text, &base)?,
                    credential: false,
                }
            } else {
                Place::new(text, &base, environment)?
            };
            let shown = place.path.display().to_string();
            Ok((place, shown))
        })
    }

    /// A secret: the text of `key`, or what is in the file that `file_key` names.
    pub(crate) fn secret(
        &mut self,
        key: &'static str,
        file_key: &'static str,
    ) -> Resolved<Option<SecretText>> {
        let inline = self.read(key, |entry| {
            let text = text(entry)?;
            if text.is_empty() {
                return Err(Wrong::new(
                    "is empty",
                    "write the secret, or remove the key",
                ));
            }
            Ok((SecretText::new(text.to_owned()), REDACTED.to_owned()))
        })?;
        if inline.is_some() {
            self.private_config(key, file_key)?;
            return Ok(inline);
        }
        let Some(place) = self.place(file_key)? else {
            return Ok(None);
        };
        match place.read(self.allow_readable) {
            Ok(secret) => {
                self.shown
                    .insert(key.to_owned(), (REDACTED.to_owned(), Source::Key(file_key)));
                Ok(Some(secret))
            }
            Err(wrong) => Err(self.problem(file_key, self.source(file_key), wrong)),
        }
    }

    /// A configuration file that holds a secret is itself a file that nobody else may read.
    fn private_config(&mut self, key: &'static str, file_key: &'static str) -> Resolved<()> {
        use std::os::unix::fs::PermissionsExt;
        let Source::File { path, line } = self.source(key) else {
            return Ok(());
        };
        let mode = path
            .metadata()
            .map_or(0, |metadata| metadata.permissions().mode());
        if self.allow_readable || !is_open(mode) {
            return Ok(());
        }
        let wrong = Wrong::new(
            format!(
                "is a secret in a file that is accessible to others (mode {:04o})",
                mode & 0o7777
            ),
            format!(
                "run: chmod 600 {}, or put the secret into a file of its own with {file_key}",
                shell_quoted(&path)
            ),
        );
        Err(self.problem(key, Source::File { path, line }, wrong))
    }

    /// The path of the encryption secret. It need not exist: the set-up may be about to make it. When it does, it
    /// is private and can be read. The Docker suite never makes it, so there its absence is a mistake.
    pub(crate) fn secret_file(&mut self, key: &'static str) -> Resolved<PathBuf> {
        let place = self.place(key)?;
        let place = self.present(key, place)?;
        let source = self.source(key);
        let must_exist = place.credential || docker::is_ours(&source);
        let absent = matches!(is_there(&place.path), Ok(false));
        if absent && !must_exist {
            return Ok(place.path);
        }
        match place.check(self.allow_readable) {
            Ok(_) => Ok(place.path),
            Err(wrong) => Err(self.problem(key, source, wrong)),
        }
    }

    /// The path of a file that is there and can be read.
    pub(crate) fn existing_file(&mut self, key: &'static str) -> Resolved<Option<Place>> {
        self.existing(key, true)
    }

    /// The same of a file with a secret, which nobody else may read.
    pub(crate) fn existing_secret_file(&mut self, key: &'static str) -> Resolved<Option<Place>> {
        self.existing(key, self.allow_readable)
    }

    fn existing(&mut self, key: &'static str, allow_readable: bool) -> Resolved<Option<Place>> {
        let Some(place) = self.place(key)? else {
            return Ok(None);
        };
        match place.check(allow_readable) {
            Ok(_) => Ok(Some(place)),
            Err(wrong) => Err(self.problem(key, self.source(key), wrong)),
        }
    }

    /// Whether anybody has said something about `key`.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        let entry = self.settings.entries.get(key);
        entry.is_some_and(|entry| entry.source != Source::Default)
    }

    /// A folder that must be known.
    pub(crate) fn folder(&mut self, key: &str) -> Resolved<PathBuf> {
        self.required(key, check::folder)
    }
}

fn text(entry: &Entry) -> Result<&str, Wrong> {
    match &entry.value {
        Raw::Text(text) => Ok(text),
        Raw::List(_) | Raw::Number(_) | Raw::Boolean(_) => Err(misfit(Kind::Text)),
    }
}

fn from_file(entry: &Entry) -> bool {
    matches!(entry.source, Source::File { .. })
}

fn misfit(kind: Kind) -> Wrong {
    Wrong::new("is of the wrong type", format!("write {}", wanted(kind)))
}

fn outside(kind: Kind, value: &dyn std::fmt::Display) -> Wrong {
    Wrong::new(
        format!("{value} is impossible"),
        format!("write {}", wanted(kind)),
    )
}
