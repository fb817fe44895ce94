//! One function a section: the keys of it, read into its type.

mod replica;
mod tls;

use std::time::Duration;

use super::error::{Source, Wrong};
use super::key;
use super::places::Places;
use super::resolve::{Reported, Resolved, Resolver};
use super::{
    Admin, Audit, Auth0, Backup, CommitRevealMode, Config, Google, Identity, Log, LogFormat, Oidc,
    Ops, Server, Telemetry, check,
};

/// Reads every key. All sections are read before the first failure counts.
pub(crate) fn config(r: &mut Resolver<'_>, places: &Places) -> Resolved<Config> {
    let allow_readable_secret = r.boolean("allow_readable_secret");
    r.allow_readable = allow_readable_secret.unwrap_or(false);
    let data_dir = data_dir(r, places);
    if let Ok(data_dir) = &data_dir {
        path_defaults(r, places, data_dir);
    }
    // Without a data folder there is no default for these, and their absence is no second mistake.
    let known = |r: &Resolver<'_>, key| data_dir.is_ok() || r.settings.entries.contains_key(key);
    let secret_file = if known(r, "secret_file") {
        r.secret_file("secret_file")
    } else {
        Err(Reported)
    };
    let backup_dir = if known(r, "backup.dir") {
        r.folder("backup.dir")
    } else {
        Err(Reported)
    };
    let backup = backup(r, backup_dir);
    let server = server(r);
    let ops = ops(r);
    let tls = tls::tls(r);
    let identity = identity(r);
    let commit_reveal = commit_reveal(r);
    let replica = replica::replica(r);
    let telemetry = telemetry(r);
    let admin = admin(r);
    let audit = number(r, "audit.keep_days").map(|keep_days| Audit { keep_days });
    let log = log(r);
    let config = Config {
        data_dir: data_dir?,
        secret_file: secret_file?,
        allow_readable_secret: allow_readable_secret?,
        server: server?,
        ops: ops?,
        tls: tls?,
        identity: identity?,
        commit_reveal: commit_reveal?,
        backup: backup?,
        replica: replica?,
        telemetry: telemetry?,
        admin: admin?,
        audit: audit?,
        log: log?,
    };
    distinct_listeners(r, &config)?;
    Ok(config)
}

fn data_dir(r: &mut Resolver<'_>, places: &Places) -> Resolved<std::path::PathBuf> {
    match places.data_dir.as_deref().map(|dir| (dir, dir.to_str())) {
        Some((_, Some(text))) => r.settings.set_default("data_dir", text),
        Some((dir, None)) if !r.settings.entries.contains_key("data_dir") => {
            let wrong = Wrong::new(format!("{} is not UTF-8", dir.display()), "set data_dir");
            return Err(r.problem("data_dir", Source::Default, wrong));
        }
        None if !r.settings.entries.contains_key("data_dir") => {
            let wrong = "is not set, and neither HOME nor XDG_DATA_HOME names a folder of yours";
            let mend = "set data_dir, KSNODE_DATA_DIR or --data-dir";
            return Err(r.problem("data_dir", Source::Default, Wrong::new(wrong, mend)));
        }
        Some(_) | None => {}
    }
    r.folder("data_dir")
}

/// The defaults below the data folder.
fn path_defaults(r: &mut Resolver<'_>, places: &Places, data_dir: &std::path::Path) {
    r.settings.set_default(
        "secret_file",
        &places.secret_file(data_dir).to_string_lossy(),
    );
    r.settings
        .set_default("backup.dir", &places.backups(data_dir).to_string_lossy());
}

/// A rule that lets an empty text mean none.
fn or_empty<T>(
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
) -> impl FnOnce(&str) -> Result<Option<T>, Wrong> {
    |text| {
        if text.is_empty() {
            Ok(None)
        } else {
            parse(text).map(Some)
        }
    }
}

fn seconds(r: &mut Resolver<'_>, key: &'static str) -> Resolved<Duration> {
    r.number(key).map(Duration::from_secs)
}

/// A number of requests; 0 is no limit.
fn limit(r: &mut Resolver<'_>, key: &'static str) -> Resolved<Option<u32>> {
    number(r, key).map(|limit: u32| (limit > 0).then_some(limit))
}

/// A number in the type that the configuration has for it; the bounds of the table keep it from failing.
fn number<T: TryFrom<u64>>(r: &mut Resolver<'_>, key: &'static str) -> Resolved<T> {
    let number = r.number(key)?;
    T::try_from(number).map_err(|_| {
        let wrong = Wrong::new(format!("{number} is too large"), "write a smaller number");
        r.problem(key, r.source(key), wrong)
    })
}

fn server(r: &mut Resolver<'_>) -> Resolved<Server> {
    let listen = r.filled_list("server.listen", "127.0.0.1:4201", check::socket);
    let trusted_proxies = r.list("server.trusted_proxies", check::network);
    let rate_limit = limit(r, "server.rate_limit");
    let admin_rate_limit = limit(r, "server.admin_rate_limit");
    let rate_limit_exempt = r.list("server.rate_limit_exempt", check::network);
    let rate_window = seconds(r, "server.rate_window_seconds");
    let max_connections = number(r, "server.max_connections");
    let shutdown = seconds(r, "server.shutdown_seconds");
    Ok(Server {
        listen: listen?,
        trusted_proxies: trusted_proxies?,
        rate_limit: rate_limit?,
        admin_rate_limit: admin_rate_limit?,
        rate_limit_exempt: rate_limit_exempt?,
        rate_window: rate_window?,
        max_connections: max_connections?,
        shutdown: shutdown?,
    })
}

fn ops(r: &mut Resolver<'_>) -> Resolved<Ops> {
    let listen = r.required("ops.listen", or_empty(check::socket))?;
    Ok(Ops { listen })
}

/// Two listeners at one address: the second would fail with an error that names no key. Port 0 is any free port.
fn distinct_listeners(r: &mut Resolver<'_>, config: &Config) -> Resolved<()> {
    let mut taken: Vec<_> = config
        .server
        .listen
        .iter()
        .map(|address| (*address, "server.listen"))
        .collect();
    let others = [
        ("ops.listen", config.ops.listen),
        ("tls.redirect_listen", config.tls.redirect_listen),
        ("admin.listen", config.admin.listen),
    ];
    for (key, address) in others {
        let Some(address) = address.filter(|address| address.port() != 0) else {
            continue;
        };
        if let Some((_, other)) = taken.iter().find(|(taken, _)| *taken == address) {
            let wrong = Wrong::new(
                format!("{address} is in {other} too"),
                "choose another port for one of them",
            );
            return Err(r.problem(key, r.source(key), wrong));
        }
        taken.push((address, key));
    }
    Ok(())
}

fn identity(r: &mut Resolver<'_>) -> Resolved<Identity> {
    let google = google(r);
    let auth0 = auth0(r);
    let x_user_url = r.required("identity.x.user_url", check::url_text);
    let discord_user_url = r.required("identity.discord.user_url", check::url_text);
    let telegram_bot_token = r.secret(
        "identity.telegram.bot_token",
        "identity.telegram.bot_token_file",
    );
    let oidc = issuers(r);
    Ok(Identity {
        google: google?,
        auth0: auth0?,
        x_user_url: x_user_url?,
        discord_user_url: discord_user_url?,
        telegram_bot_token: telegram_bot_token?,
        oidc: oidc?,
    })
}

fn google(r: &mut Resolver<'_>) -> Resolved<Google> {
    let client_id = r.required("identity.google.client_id", check::filled);
    let issuers = r.filled_list(
        "identity.google.issuers",
        "https://accounts.google.com",
        check::filled,
    );
    let jwks_url = r.required("identity.google.jwks_url", check::url_text);
    Ok(Google {
        client_id: client_id?,
        issuers: issuers?,
        jwks_url: jwks_url?,
    })
}

fn auth0(r: &mut Resolver<'_>) -> Resolved<Auth0> {
    let domain = r.required("identity.auth0.domain", check::domain);
    if let Ok(domain) = &domain {
        let jwks_url = format!("https://{domain}/.well-known/jwks.json");
        r.settings.set_default("identity.auth0.jwks_url", &jwks_url);
    }
    let client_id = r.required("identity.auth0.client_id", check::filled);
    let domain = domain?;
    let jwks_url = r.required("identity.auth0.jwks_url", check::url_text);
    Ok(Auth0 {
        domain,
        client_id: client_id?,
        jwks_url: jwks_url?,
    })
}

fn issuers(r: &mut Resolver<'_>) -> Resolved<Vec<Oidc>> {
    let found: Vec<Resolved<Oidc>> = (0..r.settings.oidc).map(|index| issuer(r, index)).collect();
    let mut issuers: Vec<Oidc> = Vec::with_capacity(found.len());
    for (index, issuer) in found.into_iter().enumerate() {
        let issuer = issuer?;
        if issuers.iter().any(|other| other.name == issuer.name) {
            let key = format!("{}[{index}].name", key::OIDC);
            let wrong = format!("{:?} is the name of another issuer", issuer.name);
            return Err(r.problem(
                &key,
                r.source(&key),
                Wrong::new(wrong, "choose another name"),
            ));
        }
        issuers.push(issuer);
    }
    Ok(issuers)
}

fn issuer(r: &mut Resolver<'_>, index: usize) -> Resolved<Oidc> {
    let key = |field: &str| format!("{}[{index}].{field}", key::OIDC);
    for field in key::OIDC_FIELDS {
        if let Some(default) = field.default {
            r.settings.set_default(&key(field.path), default);
        }
    }
    let name = r.required(&key("name"), check::issuer_name);
    if let Ok(name) = &name {
        r.settings.set_default(&key("prefix"), &format!("{name}_"));
    }
    let issuer = r.required(&key("issuer"), check::url_text);
    let audience = r.required(&key("audience"), check::filled);
    let claim = r.required(&key("claim"), check::filled);
    let jwks_url = r.optional(&key("jwks_url"), check::url_text);
    let name = name?;
    let prefix = r.required(&key("prefix"), check::prefix);
    Ok(Oidc {
        name,
        issuer: issuer?,
        audience: audience?,
        claim: claim?,
        prefix: prefix?,
        jwks_url: jwks_url?,
    })
}

fn commit_reveal(r: &mut Resolver<'_>) -> Resolved<CommitRevealMode> {
    const MODES: [(&str, CommitRevealMode); 3] = [
        ("off", CommitRevealMode::Off),
        ("optional", CommitRevealMode::Optional),
        ("required", CommitRevealMode::Required),
    ];
    r.required("commit_reveal.mode", |text| check::choice(text, &MODES))
}

fn backup(r: &mut Resolver<'_>, dir: Resolved<std::path::PathBuf>) -> Resolved<Backup> {
    let at = r.required("backup.at", or_empty(check::time_of_day));
    let keep_days = number(r, "backup.keep_days");
    let after = r.optional("backup.after", or_empty(check::filled));
    let after_timeout = seconds(r, "backup.after_timeout_seconds");
    let age_recipients = r.list("backup.age_recipients", check::age_recipient);
    let check_interval = seconds(r, "backup.check_interval_seconds");
    Ok(Backup {
        dir: dir?,
        at: at?,
        keep_days: keep_days?,
        after: after?.flatten(),
        after_timeout: after_timeout?,
        age_recipients: age_recipients?,
        check_interval: Some(check_interval?).filter(|interval| !interval.is_zero()),
    })
}

fn telemetry(r: &mut Resolver<'_>) -> Resolved<Option<Telemetry>> {
    let base_url = r.optional("telemetry.base_url", check::base_url);
    let password = r.secret("telemetry.password", "telemetry.password_file");
    let interval = seconds(r, "telemetry.interval_seconds");
    match (base_url?, password?) {
        (Some(base_url), Some(password)) => Ok(Some(Telemetry {
            base_url,
            password,
            interval: interval?,
        })),
        (None, None) => interval.map(|_| None),
        (Some(_), None) => {
            let mend = "set telemetry.password_file (or KS_NODE_REPORT_PASSWORD beside OKO_API_BASE_URL), or remove base_url";
            let wrong = Wrong::new("is set without telemetry.password", mend);
            Err(r.problem("telemetry.base_url", r.source("telemetry.base_url"), wrong))
        }
        (None, Some(_)) => {
            let inline = r.settings.entries.contains_key("telemetry.password");
            let key = if inline {
                "telemetry.password"
            } else {
                "telemetry.password_file"
            };
            let wrong = Wrong::new(
                "is set without telemetry.base_url",
                "set telemetry.base_url too, or remove the password",
            );
            Err(r.problem(key, r.source(key), wrong))
        }
    }
}

fn admin(r: &mut Resolver<'_>) -> Resolved<Admin> {
    let password = r.secret("admin.password", "admin.password_file");
    let enabled = r.boolean("admin.enabled");
    let allow = r.list("admin.allow", check::network);
    let listen = r.required("admin.listen", or_empty(check::socket));
    let enabled = enabled?;
    Ok(Admin {
        password: password?,
        enabled,
        allow: allow?,
        listen: listen?.filter(|_| enabled),
    })
}

fn log(r: &mut Resolver<'_>) -> Resolved<Log> {
    const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let dir = r.optional("log.dir", or_empty(check::folder));
    let level = r.required("log.level", check::directives);
    let format = r.required("log.format", |text| check::choice(text, &FORMATS));
    let keep_days = number(r, "log.keep_days");
    Ok(Log {
        dir: dir?.flatten(),
        level: level?,
        format: format?,
        keep_days: keep_days?,
    })
}
