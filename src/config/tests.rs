//! The sources together: who wins, where it came from, and what an error says.

mod mistakes;
mod sample;
mod secrets;
mod tls;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

/// A machine of its own: a home, a working folder, variables, and a place for the system's file.
pub(crate) struct Machine {
    pub(crate) root: tempfile::TempDir,
    pub(crate) variables: Vec<(String, OsString)>,
    pub(crate) overrides: Overrides,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let variables = vec![("HOME".to_owned(), home.into())];
        Self {
            root,
            variables,
            overrides: Overrides::default(),
        }
    }

    /// With this `ksnode.toml`, named by `--config`.
    pub(crate) fn with_file(text: &str) -> Self {
        let mut machine = Self::new();
        machine.overrides.config_file = Some(machine.write("ksnode.toml", text));
        machine
    }

    pub(crate) fn with_variables(variables: &[(&str, &str)]) -> Self {
        Self::new().and(variables)
    }

    pub(crate) fn and(mut self, variables: &[(&str, &str)]) -> Self {
        self.variables.extend(
            variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.into())),
        );
        self
    }

    /// A private file below the machine's root, which is the working folder too.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    pub(crate) fn own_folder(&self) -> PathBuf {
        self.root.path().join("home/.local/share/ksnode")
    }

    pub(crate) fn system_file(&self) -> PathBuf {
        self.root.path().join("etc/ksnode.toml")
    }

    pub(crate) fn load(&self) -> Result<Loaded, ConfigError> {
        let mut environment = Environment::new(self.variables.clone(), self.root.path().to_owned());
        environment.system_file = self.system_file();
        load(&self.overrides, &environment)
    }

    /// The only problem, as its line.
    pub(crate) fn problem(&self) -> String {
        let error = self.load().unwrap_err();
        assert_eq!(error.problems().len(), 1, "{:?}", error.problems());
        error.to_string()
    }
}

pub(crate) fn origin<'a>(loaded: &'a Loaded, key: &str) -> &'a Origin {
    loaded
        .origins
        .iter()
        .find(|origin| origin.key == key)
        .unwrap()
}

fn shown(loaded: &Loaded, key: &str) -> (String, String) {
    let origin = origin(loaded, key);
    (origin.value.clone(), origin.source.to_string())
}

#[test]
fn a_fresh_machine_has_a_folder_of_the_users() {
    let machine = Machine::new();
    let loaded = machine.load().unwrap();
    let config = &loaded.config;
    assert_eq!(config.data_dir, machine.own_folder());
    assert_eq!(config.secret_file, machine.own_folder().join("secret"));
    assert_eq!(config.backup.dir, machine.own_folder().join("backups"));
    assert_eq!(config.server.listen, ["127.0.0.1:4201".parse().unwrap()]);
    assert_eq!(config.server.rate_limit, Some(100));
    assert_eq!(config.server.admin_rate_limit, Some(5));
    assert_eq!(config.server.rate_window, Duration::from_secs(60));
    assert_eq!(
        (config.server.max_connections, config.server.shutdown),
        (10_000, Duration::from_secs(20))
    );
    assert_eq!(config.ops.listen, Some("127.0.0.1:4202".parse().unwrap()));
    assert_eq!(config.identity.google.issuers.len(), 3);
    assert_eq!(
        config.identity.auth0.jwks_url,
        "https://auth0.oko.app/.well-known/jwks.json"
    );
    assert_eq!(config.commit_reveal, CommitRevealMode::Optional);
    assert_eq!(
        (config.backup.at.unwrap().seconds(), config.backup.keep_days),
        (3 * 3600, 7)
    );
    assert_eq!(
        (&config.backup.after, config.backup.after_timeout),
        (&None, Duration::from_secs(3600))
    );
    assert!(config.backup.age_recipients.is_empty());
    assert_eq!(
        config.backup.check_interval,
        Some(Duration::from_secs(21_600))
    );
    assert!(
        config.telemetry.is_none() && config.admin.password.is_none() && config.log.dir.is_none()
    );
    assert_eq!(
        (
            config.log.level.as_str(),
            config.log.format,
            config.log.keep_days
        ),
        ("info", LogFormat::Text, 7)
    );
    assert_eq!((loaded.config_file, loaded.notices), (None, vec![]));
}

#[test]
fn xdg_data_home_moves_the_folder() {
    let machine = Machine::with_variables(&[("XDG_DATA_HOME", "/data")]);
    assert_eq!(
        machine.load().unwrap().config.data_dir,
        Path::new("/data/ksnode")
    );
}

#[test]
fn every_layer_wins_over_those_below() {
    let mut machine = Machine::with_file("[server]\nlisten = '127.0.0.1:1'\nrate_limit = 7");
    let file = machine.overrides.config_file.clone().unwrap();
    let loaded = machine.load().unwrap();
    let from_file = |line| format!("file {} line {line}", file.display());
    assert_eq!(
        shown(&loaded, "server.listen"),
        ("127.0.0.1:1".into(), from_file(2))
    );

    machine = machine.and(&[("SERVER_PORT", "2")]);
    let loaded = machine.load().unwrap();
    assert_eq!(
        shown(&loaded, "server.listen"),
        ("[::]:2".into(), "environment SERVER_PORT".into())
    );

    machine = machine.and(&[("KSNODE_SERVER__LISTEN", "127.0.0.1:3, [::1]:3")]);
    let loaded = machine.load().unwrap();
    let expected = (
        "127.0.0.1:3, [::1]:3".into(),
        "environment KSNODE_SERVER__LISTEN".into(),
    );
    assert_eq!(shown(&loaded, "server.listen"), expected);

    machine.overrides.listen = vec!["127.0.0.1:4".into(), "127.0.0.1:5".into()];
    let loaded = machine.load().unwrap();
    assert_eq!(
        shown(&loaded, "server.listen"),
        ("127.0.0.1:4, 127.0.0.1:5".into(), "flag --listen".into())
    );
    assert_eq!(loaded.config.server.listen.len(), 2);
    assert_eq!(
        shown(&loaded, "server.rate_limit"),
        ("7".into(), from_file(3))
    );
    assert_eq!(
        shown(&loaded, "server.max_connections"),
        ("10000".into(), "default".into())
    );
}

#[test]
fn the_systems_file_brings_the_systems_folders_and_wins_over_the_users() {
    let machine = Machine::new();
    machine.write("etc/ksnode.toml", "");
    let loaded = machine.load().unwrap();
    assert_eq!(loaded.config.data_dir, Path::new("/var/lib/ksnode"));
    assert_eq!(loaded.config.backup.dir, Path::new("/var/backups/ksnode"));
    assert_eq!(loaded.config.secret_file, Path::new("/etc/ksnode/secret"));
    assert_eq!(loaded.config_file, Some(machine.system_file()));
    assert!(loaded.notices.is_empty());

    let own = machine.write("home/.local/share/ksnode/ksnode.toml", "");
    let loaded = machine.load().unwrap();
    assert_eq!(loaded.config_file, Some(machine.system_file()));
    assert!(
        loaded.notices[0].starts_with(&own.display().to_string()),
        "{:?}",
        loaded.notices
    );
}

#[test]
fn the_users_file_is_found_in_the_users_folder_or_in_the_one_named() {
    let mut machine = Machine::new();
    let own = machine.write(
        "home/.local/share/ksnode/ksnode.toml",
        "[server]\nrate_limit = 7",
    );
    assert_eq!(machine.load().unwrap().config_file, Some(own));
    let other = machine.write("other/ksnode.toml", "");
    machine.overrides.data_dir = Some("other".into());
    let loaded = machine.load().unwrap();
    assert_eq!(loaded.config_file, Some(other.clone()));
    assert_eq!(loaded.config.data_dir, other.parent().unwrap());
    assert_eq!(
        origin(&loaded, "data_dir").source.to_string(),
        "flag --data-dir"
    );
}

#[test]
fn every_key_is_shown_once_in_order() {
    let loaded = Machine::with_file(
        "[[identity.oidc]]\nname='corp'\nissuer='https://a.example'\naudience='w'",
    )
    .load()
    .unwrap();
    let keys: Vec<&str> = loaded
        .origins
        .iter()
        .map(|origin| origin.key.as_str())
        .collect();
    let known: Vec<&str> = key::KEYS.iter().map(|key| key.path).collect();
    assert_eq!(&keys[..known.len()], &known[..]);
    assert_eq!(keys[known.len()], "identity.oidc[0].name");
    assert_eq!(
        shown(&loaded, "identity.oidc[0].prefix"),
        ("corp_".into(), "default".into())
    );
    let issuer = &loaded.config.identity.oidc[0];
    assert_eq!(
        (
            issuer.claim.as_str(),
            issuer.prefix.as_str(),
            &issuer.jwks_url
        ),
        ("sub", "corp_", &None)
    );
}

#[test]
fn values_of_all_shapes_are_read_from_the_file() {
    let config = Machine::with_file(
        "allow_readable_secret = true\n\
         [server]\nlisten = ['127.0.0.1:1', '[::1]:1']\ntrusted_proxies = '10.0.0.1'\nrate_limit = 0\n\
         admin_rate_limit = 0\n\
         rate_limit_exempt = ['10.0.0.0/8']\nmax_connections = 1_000\n\
         [ops]\nlisten = ''\n\
         [identity.auth0]\ndomain = 'a.example'\n\
         [commit_reveal]\nmode = 'required'\n\
         [log]\nformat = 'json'\ndir = '/logs'",
    )
    .load()
    .unwrap()
    .config;
    assert!(config.allow_readable_secret && config.ops.listen.is_none());
    assert_eq!(
        (config.server.listen.len(), config.server.max_connections),
        (2, 1000)
    );
    assert_eq!(config.server.rate_limit, None);
    assert_eq!(config.server.admin_rate_limit, None);
    assert_eq!(
        config.server.trusted_proxies,
        ["10.0.0.1/32".parse().unwrap()]
    );
    assert_eq!(
        config.server.rate_limit_exempt,
        ["10.0.0.0/8".parse().unwrap()]
    );
    assert_eq!(
        config.identity.auth0.jwks_url,
        "https://a.example/.well-known/jwks.json"
    );
    assert_eq!(config.commit_reveal, CommitRevealMode::Required);
    assert_eq!(
        (config.log.format, config.log.dir),
        (LogFormat::Json, Some("/logs".into()))
    );
}

const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

#[test]
fn backups_are_turned_off_and_on() {
    let config = Machine::with_file(
        "[server]\nadmin_rate_limit = 0\n\
         [backup]\nat = ''\nafter = ''\ncheck_interval_seconds = 0",
    )
    .load()
    .unwrap()
    .config;
    assert_eq!(config.server.admin_rate_limit, None);
    assert_eq!((config.backup.at, config.backup.after), (None, None));
    assert_eq!(config.backup.check_interval, None);

    let loaded = Machine::with_variables(&[
        ("KSNODE_BACKUP__AT", "23:59:30"),
        ("KSNODE_BACKUP__AFTER", "cp \"$1\" /mnt"),
        ("KSNODE_BACKUP__AGE_RECIPIENTS", RECIPIENT),
        ("KSNODE_BACKUP__CHECK_INTERVAL_SECONDS", "60"),
    ])
    .load()
    .unwrap();
    let backup = &loaded.config.backup;
    assert_eq!(backup.at.unwrap().to_string(), "23:59:30");
    assert_eq!(backup.after.as_deref(), Some("cp \"$1\" /mnt"));
    assert_eq!(backup.age_recipients, [RECIPIENT]);
    assert_eq!(backup.check_interval, Some(Duration::from_secs(60)));
    assert_eq!(shown(&loaded, "backup.age_recipients").0, RECIPIENT);
}

#[test]
fn the_docker_suites_variables_make_its_server() {
    let machine = Machine::new();
    machine.write("keys/secret.txt", "s");
    let machine = machine.and(&[
        ("PORT", "4201"),
        ("SERVER_PORT", "4201"),
        ("ENCRYPTION_SECRET_PATH", "keys/secret.txt"),
        ("ADMIN_PASSWORD", "012345"),
        ("DUMP_DIR", "./dump"),
        ("LOG_DIR", "/logs"),
        ("TELEGRAM_BOT_TOKEN", "1:t"),
        ("OKO_API_BASE_URL", "https://api.example/"),
        ("KS_NODE_REPORT_PASSWORD", "r"),
        ("DB_HOST", "localhost"),
        ("DB_SSL", "false"),
        ("DB_PORT", ""),
        ("DB_USER", "u"),
        ("NODE_ENV", "production"),
    ]);
    let loaded = machine.load().unwrap();
    let config = &loaded.config;
    assert_eq!(config.server.listen, ["[::]:4201".parse().unwrap()]);
    assert_eq!(
        config.secret_file,
        machine.root.path().join("keys/secret.txt")
    );
    assert_eq!(config.admin.password.as_ref().unwrap().expose(), "012345");
    assert_eq!(config.backup.dir, machine.root.path().join("dump"));
    assert_eq!(config.log.dir.as_deref(), Some(Path::new("/logs")));
    assert_eq!(
        config
            .identity
            .telegram_bot_token
            .as_ref()
            .unwrap()
            .expose(),
        "1:t"
    );
    let telemetry = config.telemetry.as_ref().unwrap();
    assert_eq!(
        (telemetry.base_url.as_str(), telemetry.password.expose()),
        ("https://api.example", "r")
    );
    assert_eq!(telemetry.interval, Duration::from_secs(180));
    let replica = config.replica.as_ref().unwrap();
    assert!(
        matches!(&replica.address, ReplicaAddress::Parts { host, port: None, user, sslmode: Some(mode), .. }
        if host == "localhost" && user == "u" && mode == "disable")
    );
    assert_eq!(loaded.notices.len(), 1);
    assert!(
        loaded.notices[0].starts_with("DB_HOST names a Postgres"),
        "{:?}",
        loaded.notices
    );
}
