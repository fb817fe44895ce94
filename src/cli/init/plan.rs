//! Which configuration `ksnode init` writes: the file it is in, what it says now, and what it is to say.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::edit::{Change, edited};
use super::{Arguments, Global};
use crate::cli::doctor::has_ipv6;
use crate::cli::instance::Instance;
use crate::config::{
    Environment, Loaded, Overrides, SYSTEM_FILE, Source, config_file, load, load_text,
};
use crate::store::{beside, private_folder, replace_private_file, unnamed_private_file};

/// What a new configuration is made of: every key, with its default behind a `#`.
const SAMPLE: &str = include_str!("../../../packaging/ksnode.toml");

/// Where further nodes of a machine look for ports: above those of the first one.
const FIRST_PORT: u16 = 4203;
const LAST_PORT: u16 = 4999;

/// A configuration that is to be written, or is as it should be. It was found to be right.
#[derive(Debug)]
pub(super) struct Plan {
    /// Its file.
    pub(super) path: PathBuf,
    /// What is in the file, when there is one.
    old: Option<String>,
    text: String,
    /// What will be in force.
    pub(super) loaded: Loaded,
    /// A line for each key that becomes another one.
    pub(super) told: Vec<String>,
}

impl Plan {
    /// Decides what is to be written; writes nothing. `None`: nothing is asked for that takes a file.
    ///
    /// # Errors
    /// The file that is there cannot be read or is wrong ([`crate::config::ConfigError`]), or would be.
    pub(super) fn new(
        global: &Global,
        arguments: &Arguments,
        environment: &Environment,
    ) -> anyhow::Result<Option<Self>> {
        if !arguments.system && !arguments.serves() && global.instance.is_none() {
            return Ok(None);
        }
        let path = path(global, arguments, environment)?;
        let old = read(&path)?;
        // The flags are written into the file and are no layer of their own.
        let none = Overrides::default();
        let before = load_text(&path, old.as_deref().unwrap_or(SAMPLE), &none, environment)?;
        let changes = changes(global, arguments, &before)?;
        let text = edited(old.as_deref().unwrap_or(SAMPLE), &changes)
            .with_context(|| format!("{} was not changed", path.display()))?;
        let loaded = load_text(&path, &text, &none, environment)?;
        Ok(Some(Self {
            told: told(&changes, old.as_ref().map(|_| &before), &loaded),
            path,
            old,
            text,
            loaded,
        }))
    }

    /// Whether the file will be another one.
    pub(super) fn changes(&self) -> bool {
        self.old.as_ref() != Some(&self.text)
    }

    /// Writes the file, the one that it replaces being kept beside it as `ksnode.toml.old`. Returns what was made.
    ///
    /// # Errors
    /// It cannot be written; then it is as it was.
    pub(super) fn write(&self) -> anyhow::Result<Vec<PathBuf>> {
        if !self.changes() {
            return Ok(Vec::new());
        }
        let folder = self.path.parent().context("a file needs a folder")?;
        let write = || -> std::io::Result<Vec<PathBuf>> {
            private_folder(folder)?;
            let Some(old) = &self.old else {
                replace_private_file(&self.path, self.text.as_bytes())?;
                return Ok(vec![self.path.clone()]);
            };
            let mode = self.path.metadata()?.permissions().mode();
            let kept = beside(&self.path, ".old");
            for (path, text) in [(&kept, old), (&self.path, &self.text)] {
                let file = unnamed_private_file(folder, text.as_bytes())?;
                file.as_file()
                    .set_permissions(Permissions::from_mode(mode & 0o7777))?;
                file.persist(path)?;
            }
            crate::store::sync_folder(folder)?;
            Ok(vec![kept])
        };
        write().with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

fn path(
    global: &Global,
    arguments: &Arguments,
    environment: &Environment,
) -> anyhow::Result<PathBuf> {
    let overrides = global.overrides();
    if let Some(file) = &overrides.config_file {
        return Ok(std::path::absolute(file)?);
    }
    if arguments.system {
        return Ok(PathBuf::from(SYSTEM_FILE));
    }
    let found = config_file(&overrides, environment)?;
    let (path, _) =
        found.context("no folder is known for the configuration; name a file with --config")?;
    Ok(path)
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => bail!(
            "{} cannot be read and was left alone: {error}",
            path.display()
        ),
    }
}

/// What is asked for, as keys.
fn changes(global: &Global, arguments: &Arguments, before: &Loaded) -> anyhow::Result<Vec<Change>> {
    let mut changes = Vec::new();
    if let Some(instance) = &global.instance {
        let own_address = !arguments.serves() && global.listen.is_empty();
        changes.extend(places(instance, own_address, before));
    }
    if let Some(folder) = &global.data_dir {
        let folder = std::path::absolute(folder)?;
        changes.retain(|change: &Change| change.key != "data_dir");
        changes.push(Change::text("data_dir", &folder.display().to_string()));
    }
    let every = if has_ipv6() { "[::]" } else { "0.0.0.0" };
    let listen = if arguments.behind_proxy.is_empty() {
        vec![format!("{every}:443")]
    } else {
        vec![arguments.address_for_proxies(every)]
    };
    let listen = if global.listen.is_empty() {
        listen
    } else {
        global.listen.clone()
    };
    if arguments.serves() {
        changes.extend(arguments.tls());
        changes.push(Change::list("server.listen", &listen));
        // Beside another port than 443 there is no telling who has port 80.
        let mut hosts = listen.iter().filter_map(|at| at.strip_suffix(":443"));
        if let Some(host) = hosts.next().filter(|_| arguments.behind_proxy.is_empty()) {
            changes.push(Change::text("tls.redirect_listen", &format!("{host}:80")));
        }
    } else if !global.listen.is_empty() {
        changes.push(Change::list("server.listen", &listen));
    }
    Ok(changes)
}

/// The places of a further node, and ports that are no other's; `own_address` for the API too. What its file says already
/// stays.
fn places(instance: &Instance, own_address: bool, before: &Loaded) -> Vec<Change> {
    let said = |key: &str| {
        let mut origins = before.origins.iter();
        origins.any(|origin| origin.key == key && matches!(origin.source, Source::File { .. }))
    };
    let path = |path: PathBuf| path.display().to_string();
    let mut changes = vec![
        Change::text("data_dir", &path(instance.data_dir())),
        Change::text("secret_file", &path(instance.secret_file())),
        Change::text("backup.dir", &path(instance.backup_dir())),
    ];
    let mut taken = ports_of_others();
    let api = own_address.then_some("server.listen");
    for key in api.into_iter().chain(["ops.listen"]) {
        let mut ports = FIRST_PORT..=LAST_PORT;
        let free = ports.find(|port| !taken.contains(port) && is_free(*port));
        if let Some(port) = free.filter(|_| !said(key)) {
            taken.push(port);
            let address = format!("127.0.0.1:{port}");
            changes.push(match key {
                "server.listen" => Change::list(key, &[address]),
                _ => Change::text(key, &address),
            });
        }
    }
    changes.retain(|change| !said(change.key));
    changes
}

fn is_free(port: u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// The ports in the configurations of the machine's nodes, also of those that are stopped.
fn ports_of_others() -> Vec<u16> {
    let folder = Path::new(SYSTEM_FILE).parent().unwrap_or(Path::new("/"));
    let inner = folder.read_dir().into_iter().flatten().flatten();
    let files = inner.map(|entry| entry.path().join("ksnode.toml"));
    let mut ports = Vec::new();
    for file in files.chain([PathBuf::from(SYSTEM_FILE)]) {
        let overrides = Overrides {
            config_file: Some(file),
            ..Overrides::default()
        };
        // One that is wrong or not there has none.
        let Ok(loaded) = load(&overrides, &Environment::new([], PathBuf::from("/"))) else {
            continue;
        };
        let config = loaded.config;
        let all = config.server.listen.iter().chain(&config.ops.listen);
        ports.extend(all.chain(&config.tls.redirect_listen).map(SocketAddr::port));
    }
    ports
}

/// A line for each key whose value becomes another one; in a new file, for each that is set.
fn told(changes: &[Change], before: Option<&Loaded>, after: &Loaded) -> Vec<String> {
    let origin = |loaded: &Loaded, key: &str| {
        let mut origins = loaded.origins.iter();
        origins.find(|origin| origin.key == key).cloned()
    };
    let told = changes.iter().filter_map(|change| {
        let key = change.key;
        let after = origin(after, key)?;
        if let Source::Environment(name) = &after.source {
            let line =
                format!("notice: {key} is written, and the variable {name} wins over it here");
            return Some(line);
        }
        let Some(before) = before.and_then(|before| origin(before, key)) else {
            return Some(format!("{key} = {}", after.value));
        };
        let changed = before.value != after.value;
        changed.then(|| format!("{key}: {} -> {}", before.value, after.value))
    });
    told.collect()
}
