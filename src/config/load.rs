//! From the sources to a [`Config`].

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::environment::{Environment, Overrides};
use super::error::{ConfigError, Source};
use super::key::{self, Key, Kind};
use super::places::{self, Places};
use super::resolve::Resolver;
use super::settings::Settings;
use super::{Config, build, docker, file};

/// One key's effective value, for people.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The key, section and name joined by dots.
    pub key: String,
    /// Its value as text; secrets are `(redacted)`, absent values `(not set)`.
    pub value: String,
    /// Where the value came from.
    pub source: Source,
    /// What the key means, in one line.
    pub doc: &'static str,
    /// What holds when nobody says anything, where that hangs on nothing else.
    pub default: Option<&'static str>,
    /// What the value is made of.
    pub(crate) kind: Kind,
}

/// A configuration and how it came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// Every key in the order of the documentation.
    pub origins: Vec<Origin>,
    /// What the operator should know and what is no error.
    pub notices: Vec<String>,
    /// The file that was read.
    pub config_file: Option<PathBuf>,
}

impl Loaded {
    /// A digest of all settings in force, for telling whether they were the same at another time. Secrets are in it as they
    /// are shown, and so not at all.
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for Origin { key, value, .. } in &self.origins {
            digest.update(format!("{key} = {value}\n"));
        }
        digest.finalize().into()
    }
}

/// Reads and checks the configuration: defaults, `ksnode.toml`, the Docker suite's variables, `KSNODE_…` variables,
/// flags, each over the ones before it.
///
/// Reads secret files too; writes nothing.
///
/// # Errors
///
/// [`ConfigError`] with everything that is wrong.
pub fn load(overrides: &Overrides, environment: &Environment) -> Result<Loaded, ConfigError> {
    let mut notices = Vec::new();
    let found = places::config_file(overrides, environment, &mut notices);
    let file = found.map_err(|problem| ConfigError::new(vec![problem]))?;
    let file = file.map(|(path, source)| (path, Content::On(source)));
    let mut loaded = assemble(file, overrides, environment)?;
    notices.append(&mut loaded.notices);
    Ok(Loaded { notices, ..loaded })
}

/// The same without looking for a file, for values that are to become one.
///
/// # Errors
///
/// As [`load`].
pub fn load_without_file(
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Loaded, ConfigError> {
    assemble(None, overrides, environment)
}

/// The defaults with this data folder, for other rooms' tests.
#[cfg(test)]
pub(crate) fn defaults_in(data_dir: &Path) -> Config {
    let overrides = Overrides {
        data_dir: Some(data_dir.to_owned()),
        ..Overrides::default()
    };
    let environment = Environment::new([], PathBuf::from("/"));
    load_without_file(&overrides, &environment).unwrap().config
}

/// The same as if `text` were in the file at `path`: what is to be written is checked before.
///
/// # Errors
///
/// As [`load`].
pub fn load_text(
    path: &Path,
    text: &str,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Loaded, ConfigError> {
    let path = places::below(&environment.working_dir, path);
    assemble(Some((path, Content::Given(text))), overrides, environment)
}

/// The file that [`load`] would read, and whether it is there; `None` when the user has no folder where it would be.
///
/// # Errors
///
/// [`ConfigError`]: it cannot be looked up.
pub fn config_file(
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Option<(PathBuf, bool)>, ConfigError> {
    let found = places::config_file(overrides, environment, &mut Vec::new());
    let found = found.map_err(|problem| ConfigError::new(vec![problem]))?;
    let own = || places::own_folder(overrides, environment);
    let path = found.map(|(path, _)| path);
    let path = path.or_else(|| Some(own()?.join(places::FILE_NAME)));
    path.map(|path| match places::is_there(&path) {
        Ok(there) => Ok((path, there)),
        Err(error) => {
            let wrong = format!("{} cannot be looked up: {error}", path.display());
            let mend = "run ksnode with sudo or as the user it belongs to";
            let key = "configuration file";
            Err(ConfigError::single(key, Source::Default, &wrong, mend))
        }
    })
    .transpose()
}

/// Where the file's text is.
enum Content<'a> {
    /// In the file, which is this one for this reason.
    On(Source),
    /// Here.
    Given(&'a str),
}

fn assemble(
    file: Option<(PathBuf, Content<'_>)>,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Loaded, ConfigError> {
    let mut settings = Settings::defaults();
    let mut problems = Vec::new();
    if let Some((path, content)) = &file {
        settings.overlay(match content {
            Content::On(source) => file::layer(path, source, &mut problems),
            Content::Given(text) => file::layer_of(path, text, &mut problems),
        });
    }
    settings.overlay(docker::layer(environment, &mut problems));
    settings.overlay(environment.layer(&mut problems));
    settings.overlay(overrides.layer(&environment.working_dir, &mut problems));
    settings.problems.append(&mut problems);
    settings.notices.extend(docker::notice(environment));

    let config_file = file.map(|(path, _)| path);
    let places = Places::new(config_file.as_deref(), environment);
    let mut resolver = Resolver::new(settings, environment);
    let config = build::config(&mut resolver, &places);
    let origins = origins(&resolver);
    let Settings {
        problems, notices, ..
    } = resolver.settings;
    match config {
        Ok(config) if problems.is_empty() => Ok(Loaded {
            config,
            origins,
            notices,
            config_file,
        }),
        _ => Err(ConfigError::new(problems)),
    }
}

fn origins(resolver: &Resolver<'_>) -> Vec<Origin> {
    let mut origins: Vec<Origin> = key::KEYS
        .iter()
        .map(|known| origin(resolver, known.path.to_owned(), known))
        .collect();
    for index in 0..resolver.settings.oidc {
        origins.extend(key::OIDC_FIELDS.iter().map(|field| {
            origin(
                resolver,
                format!("{}[{index}].{}", key::OIDC, field.path),
                field,
            )
        }));
    }
    origins
}

fn origin(resolver: &Resolver<'_>, key: String, known: &Key) -> Origin {
    let (value, source) = resolver
        .shown
        .get(&key)
        .cloned()
        .unwrap_or_else(|| ("(not set)".to_owned(), Source::Default));
    Origin {
        key,
        value,
        source,
        doc: known.doc,
        default: known.default,
        kind: known.kind,
    }
}
