//! The keys themselves.

use super::{Key, Kind};

pub(super) const fn key(
    path: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    doc: &'static str,
) -> Key {
    Key {
        path,
        kind,
        default,
        doc,
    }
}

const fn count(min: u64, max: u64) -> Kind {
    Kind::Number { min, max }
}

/// What a request limit may be: 0 turns it off.
const LIMIT: Kind = count(0, 1_000_000_000);

/// Every key, in the order in which it is shown and documented.
pub(crate) const KEYS: &[Key] = &[
    key("data_dir", Kind::Folder, None, "Folder of the database."),
    key(
        "secret_file",
        Kind::SecretFile,
        None,
        "File whose bytes are the encryption secret, or a systemd credential's name.",
    ),
    key(
        "allow_readable_secret",
        Kind::Boolean,
        Some("false"),
        "Accept secret files that others may read (containers without file modes).",
    ),
    key(
        "server.listen",
        Kind::List,
        Some("127.0.0.1:4201"),
        "Addresses the API is served at.",
    ),
    key(
        "server.trusted_proxies",
        Kind::List,
        Some(""),
        "Proxies (addresses or networks) whose X-Forwarded-For is believed.",
    ),
    key(
        "server.rate_limit",
        LIMIT,
        Some("100"),
        "Requests an address may make in a window; 0 is no limit.",
    ),
    key(
        "server.admin_rate_limit",
        LIMIT,
        Some("5"),
        "Backup calls and admin logins an address may make in a window; 0 is no limit.",
    ),
    key(
        "server.rate_limit_exempt",
        Kind::List,
        Some(""),
        "Addresses or networks that are not limited.",
    ),
    key(
        "server.rate_window_seconds",
        count(1, 86_400),
        Some("60"),
        "Length of the window.",
    ),
    key(
        "server.max_connections",
        count(1, 1_000_000),
        Some("10000"),
        "Connections open at once; when it gets narrow, whoever has the most makes room.",
    ),
    key(
        "server.shutdown_seconds",
        count(0, 3_600),
        Some("20"),
        "How long a stop waits for requests that are under way.",
    ),
    key(
        "ops.listen",
        Kind::Text,
        Some("127.0.0.1:4202"),
        "Address of metrics and health; an empty text turns it off.",
    ),
    key(
        "tls.mode",
        Kind::Text,
        Some("off"),
        "Where certificates come from: off (no TLS), self-signed, files or acme.",
    ),
    key(
        "tls.certificate",
        Kind::File,
        None,
        "PEM file of the certificate and its chain, or a systemd credential's name (mode files).",
    ),
    key(
        "tls.key",
        Kind::SecretFile,
        None,
        "PEM file of the certificate's private key, or a systemd credential's name (mode files).",
    ),
    key(
        "tls.domains",
        Kind::List,
        Some(""),
        "Names by which clients reach the node; certificates are asked for them, made for them, or checked to have them.",
    ),
    key(
        "tls.contact",
        Kind::Text,
        None,
        "Mail address that the certificate authority may write to (mode acme).",
    ),
    key(
        "tls.directory",
        Kind::Text,
        Some("https://acme-v02.api.letsencrypt.org/directory"),
        "The certificate authority's ACME directory (mode acme).",
    ),
    key(
        "tls.directory_root",
        Kind::File,
        None,
        "PEM file of one more root certificate by which that directory is trusted (mode acme).",
    ),
    key(
        "tls.redirect_listen",
        Kind::Text,
        Some(""),
        "Address, usually of port 80, where plain HTTP is redirected to https; an empty text turns it off.",
    ),
    key(
        "identity.google.client_id",
        Kind::Text,
        Some("421793224165-cpmbt6enqrj6ad6n4ujokham8qdmnnln.apps.googleusercontent.com"),
        "Audience a Google ID token must name.",
    ),
    key(
        "identity.google.issuers",
        Kind::List,
        Some("https://accounts.google.com,https://oauth2.googleapis.com,accounts.google.com"),
        "Issuers a Google ID token may name.",
    ),
    key(
        "identity.google.jwks_url",
        Kind::Text,
        Some("https://www.googleapis.com/oauth2/v3/certs"),
        "Where Google publishes its keys.",
    ),
    key(
        "identity.auth0.domain",
        Kind::Text,
        Some("auth0.oko.app"),
        "Host name of the Auth0 tenant; the issuer is https://<domain>/.",
    ),
    key(
        "identity.auth0.client_id",
        Kind::Text,
        Some("GnPcFAjGKAcXZpAzQ8vGBmzfcfV2hu1Q"),
        "Audience an Auth0 ID token must name.",
    ),
    key(
        "identity.auth0.jwks_url",
        Kind::Text,
        None,
        "Where the tenant publishes its keys.",
    ),
    key(
        "identity.x.user_url",
        Kind::Text,
        Some("https://api.x.com/2/users/me"),
        "Address that tells whose X access token it is.",
    ),
    key(
        "identity.discord.user_url",
        Kind::Text,
        Some("https://discord.com/api/users/@me"),
        "Address that tells whose Discord access token it is.",
    ),
    key(
        "identity.telegram.bot_token",
        Kind::Secret,
        None,
        "Bot token that signs Telegram logins; without it Telegram users are refused.",
    ),
    key(
        "identity.telegram.bot_token_file",
        Kind::SecretFile,
        None,
        "File or systemd credential that holds the bot token.",
    ),
    key(
        "commit_reveal.mode",
        Kind::Text,
        Some("optional"),
        "off, optional (verified when a call carries a session) or required.",
    ),
    key("backup.dir", Kind::Folder, None, "Folder of the backups."),
    key(
        "backup.at",
        Kind::Text,
        Some("03:00"),
        "Time of the daily backup in UTC, HH:MM or HH:MM:SS; an empty text turns it off.",
    ),
    key(
        "backup.keep_days",
        count(1, 36_500),
        Some("7"),
        "How many days a backup is kept; the newest good one is kept for ever.",
    ),
    key(
        "backup.after",
        Kind::Text,
        None,
        "Shell command run after each completed backup, the file's path in $1.",
    ),
    key(
        "backup.after_timeout_seconds",
        count(1, 86_400),
        Some("3600"),
        "How long that command may take.",
    ),
    key(
        "backup.age_recipients",
        Kind::List,
        Some(""),
        "Recipients (age1…) that backups are encrypted to; none leaves them unencrypted.",
    ),
    key(
        "backup.check_interval_seconds",
        count(0, 31_536_000),
        Some("21600"),
        "Time between two checks of the live database file; 0 turns them off.",
    ),
    key(
        "replica.url",
        Kind::Secret,
        None,
        "Address of a Postgres that holds a second copy: postgresql://user@host:5432/database; none is kept without it.",
    ),
    key(
        "replica.url_file",
        Kind::SecretFile,
        None,
        "File or systemd credential that holds that address.",
    ),
    key(
        "replica.host",
        Kind::Text,
        None,
        "In place of url: host, or folder of a Unix socket; several with commas.",
    ),
    key(
        "replica.port",
        count(1, 65_535),
        None,
        "Port of that host; 5432 when absent.",
    ),
    key("replica.user", Kind::Text, None, "Role to log in as."),
    key(
        "replica.database",
        Kind::Text,
        None,
        "Name of the database; as the user when absent.",
    ),
    key(
        "replica.sslmode",
        Kind::Text,
        None,
        "verify-full (when absent), verify-ca, require or disable.",
    ),
    key(
        "replica.password",
        Kind::Secret,
        None,
        "Password of the role.",
    ),
    key(
        "replica.password_file",
        Kind::SecretFile,
        None,
        "File or systemd credential that holds the password of the role.",
    ),
    key(
        "replica.root_certificate",
        Kind::File,
        None,
        "PEM file of the authorities trusted for that Postgres; Mozilla's when absent.",
    ),
    key(
        "replica.ack",
        Kind::Text,
        Some("local"),
        "When a write is answered: local (on this disk) or replica (in Postgres too).",
    ),
    key(
        "replica.on_outage",
        Kind::Text,
        Some("degrade"),
        "With ack replica and Postgres away: degrade (answer as local) or refuse.",
    ),
    key(
        "replica.ack_timeout_seconds",
        count(1, 60),
        Some("10"),
        "How long a write waits for the replica.",
    ),
    key(
        "replica.max_log_rows",
        count(1_000, 1_000_000_000),
        Some("1000000"),
        "Changes kept for a replica that is away; with more it is filled anew later.",
    ),
    key(
        "telemetry.base_url",
        Kind::Text,
        None,
        "The network's node monitor; nothing is reported without it.",
    ),
    key(
        "telemetry.password",
        Kind::Secret,
        None,
        "Password of the reports; goes with base_url.",
    ),
    key(
        "telemetry.password_file",
        Kind::SecretFile,
        None,
        "File or systemd credential that holds the password of the reports.",
    ),
    key(
        "telemetry.interval_seconds",
        count(1, 86_400),
        Some("180"),
        "Time between two reports.",
    ),
    key(
        "admin.password",
        Kind::Secret,
        None,
        "The administrator's password.",
    ),
    key(
        "admin.password_file",
        Kind::SecretFile,
        None,
        "File or systemd credential that holds the administrator's password.",
    ),
    key(
        "admin.enabled",
        Kind::Boolean,
        Some("true"),
        "Whether there is the admin page.",
    ),
    key(
        "admin.allow",
        Kind::List,
        Some(""),
        "Addresses or networks that may use the admin page; none lets everybody.",
    ),
    key(
        "admin.listen",
        Kind::Text,
        Some(""),
        "Address of a listener for the admin page alone; an empty text serves it on the API's.",
    ),
    key(
        "audit.keep_days",
        count(1, 36_500),
        Some("400"),
        "How many days an entry of the audit log is kept.",
    ),
    key(
        "log.dir",
        Kind::Folder,
        None,
        "Folder of the daily log files; none are written without it (or with an empty text).",
    ),
    key(
        "log.level",
        Kind::Text,
        Some("info"),
        "error, warn, info, debug or trace, or directives such as info,ksnode::store=debug.",
    ),
    key("log.format", Kind::Text, Some("text"), "text or json."),
    key(
        "log.keep_days",
        count(1, 36_500),
        Some("7"),
        "How many daily log files are kept.",
    ),
];
