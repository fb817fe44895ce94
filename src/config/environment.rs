//! The environment as a source of values, and flags beside it.
//!
//! The variables are handed in, so that tests need not change those of their own process. Values stay text until
//! a key's own rule reads them: a password `012345` is not a number here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::{Problem, Source, Wrong};
use super::key;
use super::places::below;
use super::settings::{Entry, Layer, Raw};

/// What the process was started with.
#[derive(Clone, Debug)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
    /// What relative paths from variables and flags are relative to.
    pub(crate) working_dir: PathBuf,
    /// The configuration of an installed service, used when it exists.
    pub(crate) system_file: PathBuf,
}

impl Environment {
    /// These variables in this working folder.
    pub fn new(
        variables: impl IntoIterator<Item = (String, OsString)>,
        working_dir: PathBuf,
    ) -> Self {
        Self {
            variables: variables.into_iter().collect(),
            working_dir,
            system_file: PathBuf::from(super::places::SYSTEM_FILE),
        }
    }

    /// The environment of this process. A name that is not Unicode is none that anything here asks for.
    pub fn of_process() -> std::io::Result<Self> {
        let variables =
            std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value));
        Ok(Self::new(variables, std::env::current_dir()?))
    }

    /// Other variables in another working folder, on the same machine.
    pub fn with_variables(
        &self,
        variables: BTreeMap<String, OsString>,
        working_dir: PathBuf,
    ) -> Self {
        Self {
            variables,
            working_dir,
            system_file: self.system_file.clone(),
        }
    }

    /// The variable `name`, when it is set and not empty.
    pub(crate) fn path(&self, name: &str) -> Option<&Path> {
        self.variables
            .get(name)
            .filter(|value| !value.is_empty())
            .map(Path::new)
    }

    /// The data folder that `KSNODE_DATA_DIR` names.
    pub(crate) fn data_dir(&self) -> Option<&Path> {
        self.path("KSNODE_DATA_DIR")
    }

    /// The variable `name` as text; a problem of `key` when it is not Unicode.
    pub(crate) fn text(&self, name: &str, key: &str) -> Result<Option<&str>, Problem> {
        let Some(value) = self.variables.get(name) else {
            return Ok(None);
        };
        value.to_str().map(Some).ok_or_else(|| {
            let wrong = Wrong::new("is not UTF-8", "write it as UTF-8 text");
            Problem::new(key, Source::Environment(name.to_owned()), wrong)
        })
    }

    /// What the `KSNODE_…` variables say. An empty one is an empty text, not an absent one.
    pub(crate) fn layer(&self, problems: &mut Vec<Problem>) -> Layer {
        let mut layer = Layer::default();
        for name in self
            .variables
            .keys()
            .filter(|name| name.starts_with(key::PREFIX))
        {
            let Some(known) = key::by_variable(name) else {
                problems.push(unknown(name));
                continue;
            };
            match self.text(name, known.path) {
                Ok(Some(text)) => {
                    layer.set(
                        known.path,
                        Entry::new(Raw::text(text), Source::Environment(name.clone())),
                    );
                }
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        layer
    }
}

fn unknown(name: &str) -> Problem {
    let wrong = if name.starts_with("KSNODE_IDENTITY__OIDC") {
        Wrong::new(
            "is a list of sections, which no variable can hold",
            "write [[identity.oidc]] in ksnode.toml",
        )
    } else {
        let mend = key::suggest_variable(name).map_or_else(
            || "unset it, or see `ksnode config show` for the known keys".to_owned(),
            |known| format!("did you mean {known}?"),
        );
        Wrong::new("unknown variable", mend)
    };
    Problem::new(name, Source::Environment(name.to_owned()), wrong)
}

/// What flags say, which wins over everything else.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`: the configuration file, which must exist.
    pub config_file: Option<PathBuf>,
    /// `--data-dir`; relative to the working folder.
    pub data_dir: Option<PathBuf>,
    /// `--listen`, as often as given; none leaves `server.listen` alone.
    pub listen: Vec<String>,
}

impl Overrides {
    pub(crate) fn layer(&self, working_dir: &Path, problems: &mut Vec<Problem>) -> Layer {
        let mut layer = Layer::default();
        if let Some(dir) = &self.data_dir {
            let source = Source::Flag("--data-dir");
            match below(working_dir, dir).to_str() {
                Some(text) => layer.set("data_dir", Entry::new(Raw::text(text), source)),
                None => problems.push(Problem::new(
                    "data_dir",
                    source,
                    Wrong::new("is not UTF-8", "choose a folder whose name is UTF-8"),
                )),
            }
        }
        if !self.listen.is_empty() {
            let source = Source::Flag("--listen");
            layer.set(
                "server.listen",
                Entry::new(Raw::text(self.listen.join(",")), source),
            );
        }
        layer
    }
}
