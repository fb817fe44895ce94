//! `ksnode.toml` as a source of values.
//!
//! The file is walked against the table of keys, with the line of each value at hand. Nothing of a value goes
//! into an error text here: it may be a secret, or a secret under a misspelt key. For the same reason the parser's
//! own error text, which quotes the line, is not used.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::error::{Problem, Source, Wrong};
use super::key::{self, Key};
use super::settings::{Entry, Layer, Raw};

/// No configuration is larger; what is, is another file.
const MAX_BYTES: u64 = 1 << 20;

/// What the file at `path` says; `source` tells why it is this file.
pub(crate) fn layer(path: &Path, source: &Source, problems: &mut Vec<Problem>) -> Layer {
    match read(path) {
        Ok(text) => layer_of(path, &text, problems),
        Err(wrong) => {
            problems.push(Problem::new("configuration file", source.clone(), wrong));
            Layer::default()
        }
    }
}

/// What the file at `path` says when `text` is in it.
pub(crate) fn layer_of(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Layer {
    let mut walk = Walk {
        path,
        text,
        layer: Layer::default(),
        problems,
    };
    match DeTable::parse(text) {
        Ok(table) => walk.table("", table.get_ref()),
        Err(error) => {
            let start = error.span().map_or(0, |span| span.start);
            let wrong = Wrong::new(
                format!("is not TOML: {}", error.message()),
                "mend that line",
            );
            walk.problem("configuration file", start, wrong);
        }
    }
    walk.layer
}

fn read(path: &Path) -> Result<Zeroizing<String>, Wrong> {
    let unreadable = |error: std::io::Error| {
        Wrong::new(
            format!("{} cannot be read: {error}", path.display()),
            "check the path and who may read the file, or name another file with --config",
        )
    };
    let metadata = path.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        let wrong = format!("{} is not a file of at most 1 MiB", path.display());
        return Err(Wrong::new(wrong, "name the file ksnode.toml itself"));
    }
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    Ok(text)
}

struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    layer: Layer,
    problems: &'a mut Vec<Problem>,
}

impl Walk<'_> {
    fn source(&self, offset: usize) -> Source {
        let before = self.text.as_bytes().iter().take(offset);
        let breaks = before.filter(|byte| **byte == b'\n').count();
        Source::File {
            path: PathBuf::from(self.path),
            line: breaks.saturating_add(1),
        }
    }

    fn problem(&mut self, key: &str, offset: usize, wrong: Wrong) {
        let source = self.source(offset);
        self.problems.push(Problem::new(key, source, wrong));
    }

    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let offset = name.span().start;
            let path = join(section, name.get_ref());
            if path == key::OIDC {
                self.issuers(offset, value.get_ref());
            } else if let Some(known) = key::find(&path) {
                self.value(&path, known, offset, value.get_ref());
            } else if key::is_section(&path) {
                match value.get_ref().as_table() {
                    Some(table) => self.table(&path, table),
                    None => self.problem(
                        &path,
                        offset,
                        Wrong::new(
                            "is a section, not a value",
                            format!("write [{path}] and its keys below"),
                        ),
                    ),
                }
            } else {
                self.unknown(&path, offset, key::suggest(&path));
            }
        }
    }

    fn unknown(&mut self, path: &str, offset: usize, meant: Option<String>) {
        let mend = meant.map_or_else(
            || "remove it, or see `ksnode config show` for the known keys".to_owned(),
            |meant| format!("did you mean {meant}?"),
        );
        self.problem(path, offset, Wrong::new("unknown key", mend));
    }

    fn issuers(&mut self, offset: usize, value: &DeValue<'_>) {
        let Some(issuers) = value.as_array() else {
            let mend = "write [[identity.oidc]] with two brackets";
            self.problem(key::OIDC, offset, Wrong::new("is a list of sections", mend));
            return;
        };
        for (index, issuer) in issuers.iter().enumerate() {
            let section = format!("{}[{index}]", key::OIDC);
            match issuer.get_ref().as_table() {
                Some(table) => self.issuer(&section, table),
                None => self.problem(
                    &section,
                    issuer.span().start,
                    Wrong::new(
                        "is not a section",
                        "write [[identity.oidc]] and its keys below",
                    ),
                ),
            }
        }
        self.layer.oidc = issuers.len();
    }

    fn issuer(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let offset = name.span().start;
            let path = join(section, name.get_ref());
            match key::OIDC_FIELDS
                .iter()
                .find(|known| known.path == name.get_ref())
            {
                Some(known) => self.value(&path, known, offset, value.get_ref()),
                None => self.unknown(&path, offset, key::suggest_oidc(name.get_ref())),
            }
        }
    }

    fn value(&mut self, path: &str, known: &Key, offset: usize, value: &DeValue<'_>) {
        match raw(value) {
            Some(raw) => {
                let source = self.source(offset);
                self.layer.set(path, Entry::new(raw, source));
            }
            None => {
                let wanted = super::resolve::wanted(known.kind);
                let wrong = format!("is of a type that fits no key ({})", value.type_str());
                self.problem(path, offset, Wrong::new(wrong, format!("write {wanted}")));
            }
        }
    }
}

/// The value without its TOML dress; `None` for what no key takes.
fn raw(value: &DeValue<'_>) -> Option<Raw> {
    match value {
        DeValue::String(text) => Some(Raw::text(text.as_ref())),
        DeValue::Boolean(value) => Some(Raw::Boolean(*value)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(Raw::Number),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .map(Raw::List),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// The name below its section. A quoted name with a dot inside must not pass for two names.
fn join(section: &str, name: &str) -> String {
    let name: Cow<'_, str> = if name.contains(['.', '[']) {
        Cow::Owned(format!("{name:?}"))
    } else {
        Cow::Borrowed(name)
    };
    if section.is_empty() {
        name.into_owned()
    } else {
        format!("{section}.{name}")
    }
}
