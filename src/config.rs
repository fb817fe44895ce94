//! What the operator decides: `ksnode.toml`, the environment over it, flags over that.
//!
//! [`Config`] is what the rest of the program sees: every value is parsed and checked, paths are
//! absolute, secrets are read. [`load`] makes it, and tells where each value came from. A section exists once
//! something obeys it: a key that nothing would obey is an unknown key and refused.
//!
//! The layering is our own and driven by one table of keys (`key`). A layering library (figment) was
//! considered and left out: its errors quote values, which may be secrets; it stops at the first error; it has no line
//! numbers; its environment turns a password of digits into a number; and the structs it fills would be a second
//! list of keys beside the table that `config show`, suggestions and the sample's test need anyway.
//!
//! In reading order: `key` is the table, `settings` the layers, `file`, `docker` and `environment` (with flags) fill
//! them, `places` knows the folders, `check` the rules of single values, `secret` files with secrets, `resolve` and
//! `build` make the result.

mod admin_page;
mod build;
mod check;
mod docker;
mod environment;
mod error;
mod file;
mod in_force;
mod key;
mod load;
mod places;
mod resolve;
mod secret;
mod settings;
#[cfg(test)]
mod tests;
mod time_of_day;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use check::is_host;
pub use docker::{is_private as is_private_variable, names as docker_names};
pub use environment::{Environment, Overrides};
pub use error::{ConfigError, Problem, Source};
pub use in_force::{AfterRestart, Change, InForce};
pub(crate) use key::Kind;
#[cfg(test)]
pub(crate) use load::defaults_in;
pub use load::{Loaded, Origin, config_file, load, load_text, load_without_file};
pub use places::{FILE_NAME, SYSTEM_DATA, SYSTEM_FILE, own_folder};
pub(crate) use secret::shell_quoted;
pub use time_of_day::TimeOfDay;

/// A secret text (password, bot token). Zeroized on drop; `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes over a secret.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself, for the moment of its use.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `given` is the secret. It takes as long whatever of it is right: digests are compared, which are of
    /// one length, and in constant time.
    pub fn is(&self, given: &str) -> bool {
        let digest = |text: &str| Zeroizing::new(<[u8; 32]>::from(Sha256::digest(text)));
        digest(&self.0)
            .as_slice()
            .ct_eq(digest(given).as_slice())
            .into()
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(redacted)")
    }
}

/// Everything the operator decided, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the database lives. Created private to its owner.
    pub data_dir: PathBuf,
    /// The file whose bytes are the encryption secret.
    pub secret_file: PathBuf,
    /// Accept a secret file that others may read, for containers where modes cannot be set.
    pub allow_readable_secret: bool,
    /// `[server]`
    pub server: Server,
    /// `[ops]`
    pub ops: Ops,
    /// `[tls]`
    pub tls: Tls,
    /// `[identity]`
    pub identity: Identity,
    /// `[commit_reveal]`
    pub commit_reveal: CommitRevealMode,
    /// `[backup]`
    pub backup: Backup,
    /// `[replica]`: there is no replica when it is absent.
    pub replica: Option<Replica>,
    /// `[telemetry]`: nothing is reported when it is absent.
    pub telemetry: Option<Telemetry>,
    /// `[admin]`
    pub admin: Admin,
    /// `[audit]`
    pub audit: Audit,
    /// `[log]`
    pub log: Log,
}

impl Config {
    /// The folders that the node writes to, and what each is of: `data`, `backups`, `logs`.
    pub fn folders(&self) -> Vec<(&'static str, PathBuf)> {
        let logs = self.log.dir.clone().map(|dir| ("logs", dir));
        let always = [
            ("data", self.data_dir.clone()),
            ("backups", self.backup.dir.clone()),
        ];
        always.into_iter().chain(logs).collect()
    }
}

/// `[server]`: the API's listener and its limits.
#[derive(Clone, Debug)]
pub struct Server {
    /// Addresses the API is served at. At least one. Default `127.0.0.1:4201`.
    pub listen: Vec<SocketAddr>,
    /// Proxies whose `X-Forwarded-For` is believed. Default none.
    pub trusted_proxies: Vec<IpNet>,
    /// Requests an address may make in a window; `None` (written 0) is no limit. Default 100.
    pub rate_limit: Option<u32>,
    /// The same for the calls that take the administrator's password, each of which counts for both limits. Default 5.
    pub admin_rate_limit: Option<u32>,
    /// Addresses that are not limited. Default none.
    pub rate_limit_exempt: Vec<IpNet>,
    /// Length of the window. Default 60 s.
    pub rate_window: Duration,
    /// Connections open at once; more wait to be accepted. Default 10,000.
    pub max_connections: usize,
    /// How long a stop waits for requests that are under way. Default 20 s.
    pub shutdown: Duration,
}

/// `[ops]`: the listener for metrics and health.
#[derive(Clone, Debug)]
pub struct Ops {
    /// Default `127.0.0.1:4202`; `None` (written as an empty text) turns it off.
    pub listen: Option<SocketAddr>,
}

/// `[tls]`: whether the API is served over TLS, and with which certificate.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Where the certificate comes from. Default off.
    pub mode: TlsMode,
    /// Hosts (names in lower case, IP addresses) by which clients reach the node. At least one, and names alone, in mode
    /// `acme`. Default none.
    pub domains: Vec<String>,
    /// Where plain HTTP is redirected to https; `None` (written as an empty text) turns it off, and there is none in
    /// mode `off`. Default off.
    pub redirect_listen: Option<SocketAddr>,
}

/// `[tls] mode`, with the keys that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain HTTP.
    Off,
    /// A certificate that the node makes for itself.
    SelfSigned,
    /// The operator's own certificate.
    Files(CertificateFiles),
    /// A certificate from an authority that speaks ACME (RFC 8555).
    Acme(Acme),
}

/// Where the operator's certificate is. Both files were there and could be read when the configuration was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate, then the chain.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
    /// Whether the key is a systemd credential, whose mode is systemd's affair.
    pub key_is_credential: bool,
}

/// What mode `acme` needs beside the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// A mail address, without `mailto:`.
    pub contact: Option<String>,
    /// The authority's directory. Default Let's Encrypt.
    pub directory: String,
    /// PEM of one more root by which the directory is trusted.
    pub directory_root: Option<PathBuf>,
}

/// `[identity.…]`: who may vouch for a caller.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Google ID tokens.
    pub google: Google,
    /// Auth0 ID tokens.
    pub auth0: Auth0,
    /// X (Twitter) access tokens: the address that answers who the token's user is.
    pub x_user_url: String,
    /// Discord access tokens: the address that answers who the token's user is.
    pub discord_user_url: String,
    /// The bot token that signs Telegram logins; Telegram users are refused without one.
    pub telegram_bot_token: Option<SecretText>,
    /// Further OpenID Connect issuers. Their names are unique and none of the five built-in ones.
    pub oidc: Vec<Oidc>,
}

/// `[identity.google]`
#[derive(Clone, Debug)]
pub struct Google {
    /// The audience a token must name.
    pub client_id: String,
    /// The issuers a token may name.
    pub issuers: Vec<String>,
    /// Where the issuer publishes its keys.
    pub jwks_url: String,
}

/// `[identity.auth0]`
#[derive(Clone, Debug)]
pub struct Auth0 {
    /// The tenant's host name; the issuer is `https://<domain>/`.
    pub domain: String,
    /// The audience a token must name.
    pub client_id: String,
    /// Where the issuer publishes its keys. Default `https://<domain>/.well-known/jwks.json`.
    pub jwks_url: String,
}

/// `[[identity.oidc]]`: one more OpenID Connect issuer.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// The `auth_type` that callers send for it.
    pub name: String,
    /// The `iss` a token must carry, to the letter.
    pub issuer: String,
    /// The `aud` a token must name.
    pub audience: String,
    /// The claim that identifies the user. Default `sub`.
    pub claim: String,
    /// Put before the claim's text to form the stored user identifier. Default `<name>_`.
    pub prefix: String,
    /// Where the issuer publishes its keys; found by OpenID Connect discovery when absent.
    pub jwks_url: Option<String>,
}

/// `[commit_reveal] mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitRevealMode {
    /// The fields of a session are ignored and no session can be made.
    Off,
    /// A session is verified when the fields are present. The default.
    Optional,
    /// A call without a session is refused.
    Required,
}

/// `[backup]`
#[derive(Clone, Debug)]
pub struct Backup {
    /// Where backups are kept. Created private to its owner. Default `<data_dir>/backups`.
    pub dir: PathBuf,
    /// When the daily backup is made, in UTC; `None` (written as an empty text) makes none. Default 03:00.
    pub at: Option<TimeOfDay>,
    /// How many days a backup is kept. Default 7.
    pub keep_days: u32,
    /// A command for `/bin/sh`, run after each completed backup. Default none.
    pub after: Option<String>,
    /// How long that command may take. Default one hour.
    pub after_timeout: Duration,
    /// The age X25519 recipients (`age1…`, checked) that backups are encrypted to. Default none: not encrypted.
    pub age_recipients: Vec<String>,
    /// Time between two checks of the live database file; `None` (written 0) is no check. Default 6 hours.
    pub check_interval: Option<Duration>,
}

/// `[replica]`: the Postgres that holds a second copy.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Where it is.
    pub address: ReplicaAddress,
    /// The password, when the address holds none.
    pub password: Option<SecretText>,
    /// PEM of the authorities that are trusted in place of Mozilla's.
    pub root_certificate: Option<PathBuf>,
    /// When a write is answered. Default local.
    pub ack: ReplicaAck,
    /// What becomes of writes that the replica does not have in time. Default degrade.
    pub on_outage: OnOutage,
    /// How long a write waits for the replica. Default 10 s.
    pub ack_timeout: Duration,
    /// Changes kept for a replica that is away; with more it is filled anew. Default 1,000,000.
    pub max_log_rows: i64,
}

/// Where the replica's Postgres is.
#[derive(Clone, Debug)]
pub enum ReplicaAddress {
    /// `postgresql://…`; it may hold a password.
    Url(SecretText),
    /// In parts.
    Parts {
        /// Host name, address or folder of a Unix socket; several with commas.
        host: String,
        /// Default 5432.
        port: Option<u16>,
        /// The role.
        user: String,
        /// Default as the user.
        database: Option<String>,
        /// As libpq spells it. Default `verify-full`.
        sslmode: Option<String>,
    },
}

/// `[replica] ack`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaAck {
    /// Once it is on this machine's disk.
    Local,
    /// Once the replica has it too.
    Replica,
}

/// `[replica] on_outage`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOutage {
    /// They are answered once they are on this machine's disk.
    Degrade,
    /// They are refused, new ones before anything is written.
    Refuse,
}

/// `[telemetry]`: the network's node monitor.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// Reports go to `<base_url>/tss/v1/ks_node/telemetry`. No trailing slash.
    pub base_url: String,
    /// Sent as `X-KS-NODE-PASSWORD`.
    pub password: SecretText,
    /// Default 180 s.
    pub interval: Duration,
}

/// `[admin]`
#[derive(Clone, Debug)]
pub struct Admin {
    /// The administrator's password, when one is configured. (One that `ksnode init` made is no configuration: see
    /// [`crate::admin`].)
    pub password: Option<SecretText>,
    /// Whether there is the admin page. Default yes.
    pub enabled: bool,
    /// The networks that may use the page; none lets everybody. Default none.
    pub allow: Vec<IpNet>,
    /// Where the page is served in place of the API's listener; `None` (written as an empty text, or without a page) serves
    /// it there. Default there.
    pub listen: Option<SocketAddr>,
}

/// `[audit]`
#[derive(Clone, Copy, Debug)]
pub struct Audit {
    /// How many days an entry of the audit log is kept. Default 400.
    pub keep_days: u32,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct Log {
    /// Folder of the daily files `ksnode-YYYY-MM-DD.log`; none are written when absent.
    pub dir: Option<PathBuf>,
    /// A level (`info`) or directives (`info,ksnode::store=debug`). Default `info`.
    pub level: String,
    /// Text or JSON. Default text.
    pub format: LogFormat,
    /// How many daily files are kept. Default 7.
    pub keep_days: u32,
}

/// `[log] format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line a record, for people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}
