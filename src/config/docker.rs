//! The variables of the Docker suite (api.md, "The environment of the Docker suite").
//!
//! They rank below `KSNODE_…` variables and above the file, so that a node that is started as that suite's server
//! is started behaves like it. As in Compose files an empty variable is an absent one. Paths there are
//! always paths, also without a slash: that suite knows no systemd credentials.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;

use super::environment::Environment;
use super::error::{Problem, Source, Wrong};
use super::key::{self, Kind};
use super::places::below;
use super::settings::{Entry, Layer, Raw};

/// How a variable's value becomes that of a key.
enum Form {
    /// A port, served at all addresses: `[::]:PORT`, which on Linux takes IPv4 callers too (unless
    /// `net.ipv6.bindv6only` is set). That suite's server listens so, because it runs in a container.
    Port,
    /// A file.
    File,
    /// A folder, also a relative one.
    Folder,
    /// The text itself.
    Text,
    /// `true` or `false`: whether the connection to Postgres is encrypted.
    Ssl,
}

/// A key and the names that set it; where there are two, they are the outer and the inner name of one setting.
const NAMES: &[(&str, &[&str], Form)] = &[
    ("server.listen", &["SERVER_PORT", "PORT"], Form::Port),
    (
        "secret_file",
        &["ENCRYPTION_SECRET_FILE_PATH", "ENCRYPTION_SECRET_PATH"],
        Form::File,
    ),
    ("admin.password", &["ADMIN_PASSWORD"], Form::Text),
    ("backup.dir", &["DUMP_DIR"], Form::Folder),
    ("log.dir", &["LOG_DIR"], Form::Folder),
    (
        "identity.telegram.bot_token",
        &["TELEGRAM_BOT_TOKEN"],
        Form::Text,
    ),
    ("telemetry.base_url", &["OKO_API_BASE_URL"], Form::Text),
    (
        "telemetry.password",
        &["KS_NODE_REPORT_PASSWORD"],
        Form::Text,
    ),
    ("replica.host", &["DB_HOST"], Form::Text),
    ("replica.port", &["DB_PORT"], Form::Text),
    ("replica.user", &["DB_USER"], Form::Text),
    ("replica.password", &["DB_PASSWORD"], Form::Text),
    ("replica.database", &["DB_NAME"], Form::Text),
    ("replica.sslmode", &["DB_SSL"], Form::Ssl),
];

/// Where that suite's Postgres keeps its files; nothing here obeys it.
const POSTGRES_DATA: &str = "PG_DATA_DIR";

/// Every variable of the suite that sets something here, with the key it sets.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    NAMES
        .iter()
        .flat_map(|(key, names, _)| names.iter().map(move |name| (*name, *key)))
}

/// Whether the variable may hold a secret, or one of our settings: the programs that the node starts get none of these.
pub fn is_private(name: &str) -> bool {
    let secret = |key| key::find(key).is_some_and(|known| known.kind == Kind::Secret);
    name.starts_with(key::PREFIX) || names().any(|(known, key)| known == name && secret(key))
}

/// What the suite's variables say.
pub(crate) fn layer(environment: &Environment, problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::default();
    for (key, names, form) in NAMES {
        match entry(environment, key, names, form) {
            Ok(Some(entry)) => layer.set(key, entry),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    layer
}

/// Whether the value came from one of the suite's variables.
pub(crate) fn is_ours(source: &Source) -> bool {
    matches!(source, Source::Environment(name) if names().any(|(known, _)| known == name))
}

/// Says what the suite's Postgres is here.
pub(crate) fn notice(environment: &Environment) -> Option<String> {
    let set = |name| environment.path(name).is_some();
    if set("DB_HOST") {
        return Some(
            "DB_HOST names a Postgres: this node keeps its data in its own database, and a replica of it there".to_owned(),
        );
    }
    set(POSTGRES_DATA).then(|| {
        format!(
            "{POSTGRES_DATA} is not used: this node keeps its data in its own database, not in Postgres"
        )
    })
}

fn entry(
    environment: &Environment,
    key: &str,
    names: &[&'static str],
    form: &Form,
) -> Result<Option<Entry>, Problem> {
    let mut found: Option<(&str, &str)> = None;
    for name in names {
        let Some(text) = environment.text(name, key)?.filter(|text| !text.is_empty()) else {
            continue;
        };
        match found {
            None => found = Some((name, text)),
            Some((first, other)) if other != text => {
                let wrong = format!("differs from {first}, and both name {key}");
                let wrong = Wrong::new(wrong, format!("unset {first} or {name}"));
                return Err(Problem::new(
                    key,
                    Source::Environment((*name).to_owned()),
                    wrong,
                ));
            }
            Some(_) => {}
        }
    }
    let Some((name, text)) = found else {
        return Ok(None);
    };
    let source = Source::Environment(name.to_owned());
    match value(environment, form, text) {
        Ok(value) => Ok(Some(Entry::new(Raw::text(value), source))),
        Err(wrong) => Err(Problem::new(key, source, wrong)),
    }
}

fn value(environment: &Environment, form: &Form, text: &str) -> Result<String, Wrong> {
    match form {
        Form::Text => Ok(text.to_owned()),
        Form::Ssl => match text {
            "true" => Ok("verify-full".to_owned()),
            "false" => Ok("disable".to_owned()),
            _ => Err(Wrong::new(
                format!("{text:?} is neither true nor false"),
                "write true or false",
            )),
        },
        Form::File => Ok(if text.contains('/') {
            text.to_owned()
        } else {
            format!("./{text}")
        }),
        Form::Folder => below(&environment.working_dir, Path::new(text))
            .to_str()
            .map(str::to_owned)
            .ok_or_else(|| {
                Wrong::new(
                    "lies in a folder whose name is not UTF-8",
                    "write an absolute path",
                )
            }),
        Form::Port => {
            let port: u16 = text.parse().map_err(|_| {
                Wrong::new(
                    format!("{text:?} is not a port"),
                    "write a number from 1 to 65535, for example 4201",
                )
            })?;
            Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_our_own_variables_are_private() {
        for name in [
            "KSNODE_ADMIN__PASSWORD",
            "KSNODE_DATA_DIR",
            "ADMIN_PASSWORD",
            "TELEGRAM_BOT_TOKEN",
            "KS_NODE_REPORT_PASSWORD",
            "DB_PASSWORD",
        ] {
            assert!(is_private(name), "{name}");
        }
        for name in [
            "PATH",
            "HOME",
            "PORT",
            "ENCRYPTION_SECRET_PATH",
            "RCLONE_CONFIG",
            "DB_HOST",
            "",
        ] {
            assert!(!is_private(name), "{name}");
        }
    }
}
