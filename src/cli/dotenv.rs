//! A Docker suite's `.env` turned into a `ksnode.toml`.
//!
//! The file's variables go through the same rules as those of a process, so what is taken over means the same as
//! starting `ksnode serve` with them. Nothing is written before everything has been checked, nothing that exists is
//! overwritten, and `ksnode.toml` is written last: when it is there, so are the files that it names.

mod syntax;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use zeroize::Zeroizing;

use self::syntax::{Assignment, NotUnderstood};
use super::files::{Made, private_file, private_folder};
use crate::config::{
    ConfigError, Environment, Kind, Loaded, Origin, Overrides, SecretText, Source, docker_names,
    load_without_file,
};

/// Secrets that are moved to files: the key, the key that names its file, the file's name.
const MOVED: [(&str, &str, &str); 3] = [
    ("admin.password", "admin.password_file", "admin-password"),
    (
        "identity.telegram.bot_token",
        "identity.telegram.bot_token_file",
        "telegram-bot-token",
    ),
    (
        "telemetry.password",
        "telemetry.password_file",
        "telemetry-password",
    ),
];

/// A `.env` that has been read and checked, not yet written.
#[derive(Debug)]
pub struct TakeOver {
    source: PathBuf,
    names: Vec<String>,
    loaded: Loaded,
}

impl TakeOver {
    /// Reads the `.env` at `path`; the node's data will be in `data_dir`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: the file cannot be read, or what it says is impossible.
    pub fn read(path: &Path, data_dir: &Path, environment: &Environment) -> anyhow::Result<Self> {
        let source = std::path::absolute(path)?;
        let mut variables = variables(&source)?;
        let names = variables.keys().cloned().collect();
        // They name the suite's own database, which is imported from, and not one for a second copy.
        variables.retain(|name, _| !is_postgres(name));
        // Compose files take relative paths from the folder of the `.env`.
        let folder = source.parent().context("a file needs a folder")?.to_owned();
        let overrides = Overrides {
            data_dir: Some(data_dir.to_owned()),
            ..Overrides::default()
        };
        let loaded = load_without_file(&overrides, &environment.with_variables(variables, folder))?;
        Ok(Self {
            source,
            names,
            loaded,
        })
    }

    /// Writes `target` and, beside it, the secrets. Returns lines that tell what became of each variable.
    ///
    /// # Errors
    ///
    /// Something that would be written is there already, or cannot be written.
    pub fn write(&self, target: &Path) -> anyhow::Result<Vec<String>> {
        let folder = target.parent().context("a file needs a folder")?;
        let mut secrets = Vec::new();
        for (key, _, name) in MOVED {
            let text = self
                .loaded
                .config
                .secret(key)
                .filter(|_| self.origin(key).is_some());
            if let Some(text) = text {
                let path = folder.join(name);
                refuse_other(&path, text)?;
                secrets.push((path, text));
            }
        }
        refuse_existing(target)?;
        private_folder(folder)?;
        for (path, text) in &secrets {
            private_file(
                path,
                Zeroizing::new(format!("{}\n", text.expose())).as_bytes(),
            )?;
        }
        if private_file(target, self.document(folder).as_bytes())? == Made::Found {
            refuse_existing(target)?;
        }
        Ok(self.told(folder))
    }

    /// The value of `key`, when the `.env` sets it.
    fn origin(&self, key: &str) -> Option<&Origin> {
        self.taken().find(|origin| origin.key == key)
    }

    fn taken(&self) -> impl Iterator<Item = &Origin> {
        self.loaded
            .origins
            .iter()
            .filter(|origin| matches!(origin.source, Source::Environment(_)))
    }

    fn document(&self, folder: &Path) -> String {
        let mut text = format!(
            "# Made by `ksnode init --from-env` from {:?}.\n# `ksnode config show` lists every key.\n\n",
            self.source
        );
        let data_dir = quoted(&self.loaded.config.data_dir.display().to_string());
        let _ = write!(text, "# Folder of the database.\ndata_dir = {data_dir}\n");
        let mut section = "";
        for origin in self.taken() {
            let (key, value) = written(origin, folder);
            let (of, name) = key.rsplit_once('.').unwrap_or(("", &key));
            if of != section {
                let _ = write!(text, "\n[{of}]\n");
            }
            let _ = write!(
                text,
                "# {} ({})\n{name} = {value}\n",
                origin.doc,
                name_of(origin)
            );
            section = section_of(origin);
        }
        text
    }

    fn told(&self, folder: &Path) -> Vec<String> {
        let mut lines = Vec::new();
        for origin in self.taken() {
            let (key, value) = written(origin, folder);
            lines.push(format!(
                "taken over: {} as {key} = {value}",
                name_of(origin)
            ));
        }
        lines.extend(
            self.loaded
                .notices
                .iter()
                .map(|notice| format!("not taken over: {notice}")),
        );
        lines.extend(
            self.names
                .iter()
                .filter_map(|name| self.left(name))
                .map(|line| format!("not taken over: {line}")),
        );
        lines
    }

    /// Why the variable was left, unless it was taken or a notice tells.
    fn left(&self, name: &str) -> Option<String> {
        let taken = self.taken().any(|origin| name_of(origin) == name);
        let noticed = self
            .loaded
            .notices
            .iter()
            .any(|notice| notice.split([' ', ',']).any(|word| word == name));
        if taken || noticed {
            return None;
        }
        if is_postgres(name) {
            return Some(format!(
                "{name}: is of that suite's own database; [replica] names a Postgres for a second copy"
            ));
        }
        Some(match docker_names().find(|(known, _)| *known == name) {
            Some((_, key)) => format!("{name}: is empty, or {key} was already set by another name"),
            None => format!("{name}: not known to ksnode"),
        })
    }
}

/// Whether the variable is one of the suite's Postgres.
fn is_postgres(name: &str) -> bool {
    docker_names().any(|(known, key)| known == name && key.starts_with("replica."))
}

fn section_of(origin: &Origin) -> &str {
    origin
        .key
        .rsplit_once('.')
        .map_or("", |(section, _)| section)
}

fn name_of(origin: &Origin) -> &str {
    match &origin.source {
        Source::Environment(name) => name,
        _ => "",
    }
}

/// The key and value as they are written: a secret is the path of its file.
fn written(origin: &Origin, folder: &Path) -> (String, String) {
    if let Some((_, file_key, name)) = MOVED.iter().find(|(key, ..)| *key == origin.key) {
        return (
            (*file_key).to_owned(),
            quoted(&folder.join(name).display().to_string()),
        );
    }
    let value = match origin.kind {
        Kind::Number { .. } | Kind::Boolean => origin.value.clone(),
        Kind::List => {
            let items: Vec<String> = origin
                .value
                .split(", ")
                .filter(|item| !item.is_empty())
                .map(quoted)
                .collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Text | Kind::Secret | Kind::File | Kind::SecretFile | Kind::Folder => {
            quoted(&origin.value)
        }
    };
    (origin.key.clone(), value)
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    let there = path
        .try_exists()
        .with_context(|| format!("cannot look up {}", path.display()))?;
    anyhow::ensure!(
        !there,
        "{} exists and is not overwritten; move it away first",
        path.display()
    );
    Ok(())
}

/// Refuses a file that holds another secret. The same one is left from a run that was interrupted.
fn refuse_other(path: &Path, secret: &SecretText) -> anyhow::Result<()> {
    let same = std::fs::read(path).map(Zeroizing::new).is_ok_and(|there| {
        there.strip_suffix(b"\n").unwrap_or(&there) == secret.expose().as_bytes()
    });
    if same { Ok(()) } else { refuse_existing(path) }
}

/// The variables of the file; the last of several with one name counts, as in Compose.
fn variables(path: &Path) -> Result<BTreeMap<String, OsString>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| {
            let wrong = format!("{} cannot be read: {error}", path.display());
            let mend = "check the path and who may read the file";
            ConfigError::single("the .env", Source::Flag("--from-env"), &wrong, mend)
        })?;
    let in_line = |line| Source::File {
        path: path.to_owned(),
        line,
    };
    let assignments = syntax::parse(&text).map_err(|NotUnderstood(line)| {
        let mend = "write NAME=value, with quotes around a value that needs them";
        ConfigError::single(
            "the .env",
            in_line(line),
            "has a line that is not understood",
            mend,
        )
    })?;
    let mut variables = BTreeMap::new();
    for Assignment {
        name,
        value,
        line,
        dollar,
    } in assignments
    {
        if dollar && is_known(&name) {
            let wrong = "holds a $, which some programs replace and others do not";
            let mend = "write the value that is meant in single quotes";
            return Err(ConfigError::single(&name, in_line(line), wrong, mend));
        }
        variables.insert(name, value.as_str().into());
    }
    Ok(variables)
}

/// Whether the variable's value matters here.
fn is_known(name: &str) -> bool {
    name.starts_with("KSNODE_") || docker_names().any(|(known, _)| known == name)
}
