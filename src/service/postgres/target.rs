//! What an operator writes about a Postgres, as a URL or in parts.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::PostgresError;
use crate::config::SecretText;

const PORT: u16 = 5432;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const APPLICATION: &str = "ksnode";

/// How the server's certificate is verified (libpq's `sslmode`, without the modes that fall back to clear text).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslVerification {
    /// No TLS.
    Disable,
    /// TLS, and any certificate will do: nobody listens, but whoever is in between can pretend.
    Require,
    /// The certificate comes from a trusted authority, for whatever host.
    VerifyCa,
    /// The certificate comes from a trusted authority and is for the host. The default.
    VerifyFull,
}

/// Where the password comes from.
#[derive(Clone, Debug)]
pub enum Password {
    /// There is none.
    None,
    /// It was given.
    Given(SecretText),
    /// It stands in a file of libpq's format (`host:port:database:user:password`), read at each connect.
    Passfile(PathBuf),
}

/// What [`Target::from_parts`] takes; what is absent has libpq's default.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Host name, address, or the folder of a Unix socket (an absolute path); several with commas.
    pub host: String,
    /// Default 5432.
    pub port: Option<u16>,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Password,
    /// Default: as the user.
    pub database: Option<String>,
    /// `sslmode` as libpq spells it. Default `verify-full`.
    pub sslmode: Option<String>,
    /// PEM of the authorities trusted; default Mozilla's.
    pub root_certificate: Option<PathBuf>,
}

/// A Postgres, and how to get into it. `Debug` shows no password.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) addresses: Vec<Address>,
    pub(super) user: String,
    pub(super) password: Password,
    pub(super) database: String,
    pub(super) verification: SslVerification,
    pub(super) root_certificate: Option<PathBuf>,
    pub(super) connect_timeout: Duration,
    pub(super) application_name: String,
    pub(super) read_write: bool,
}

/// Where one server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Tcp { host: String, port: u16 },
    Unix { folder: PathBuf, port: u16 },
}

impl Address {
    fn new(host: &str, port: u16) -> Result<Self, PostgresError> {
        if host.starts_with('/') {
            return Ok(Self::Unix {
                folder: host.into(),
                port,
            });
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(PostgresError::address("it names no host"));
        }
        Ok(Self::Tcp {
            host: host.to_owned(),
            port,
        })
    }

    pub(super) fn is_unix(&self) -> bool {
        matches!(self, Self::Unix { .. })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { folder, port } => write!(f, "{}/.s.PGSQL.{port}", folder.display()),
        }
    }
}

impl Target {
    /// From parts, as a configuration has them.
    ///
    /// # Errors
    /// [`PostgresError::Address`], which says what is wrong and repeats no password.
    pub fn from_parts(parts: Parts) -> Result<Self, PostgresError> {
        let port = parts.port.unwrap_or(PORT);
        let addresses = parts
            .host
            .split(',')
            .map(|host| Address::new(host.trim(), port))
            .collect::<Result<Vec<_>, _>>()?;
        if parts.user.is_empty() {
            return Err(PostgresError::address("it names no user"));
        }
        let mut target = Self {
            addresses,
            database: parts.database.unwrap_or_else(|| parts.user.clone()),
            user: parts.user,
            password: parts.password,
            verification: SslVerification::VerifyFull,
            root_certificate: parts.root_certificate,
            connect_timeout: CONNECT_TIMEOUT,
            application_name: APPLICATION.to_owned(),
            read_write: false,
        };
        target.set_sslmode(parts.sslmode.as_deref())?;
        Ok(target)
    }

    /// From `postgresql://user:password@host:port,host:port/database?sslmode=verify-full&…`. Reserved characters in each
    /// piece are percent-encoded. Parameters: `sslmode`, `sslrootcert`, `passfile`, `connect_timeout` (seconds),
    /// `application_name`, `target_session_attrs` (`any`, `read-write`, `primary`), and `host`, `port`, `user`,
    /// `password`, `dbname` as libpq has them: each takes the place of what stands before the `?`.
    ///
    /// # Errors
    /// [`PostgresError::Address`], which says what is wrong and repeats no password.
    pub fn from_url(text: &SecretText) -> Result<Self, PostgresError> {
        let rest = ["postgresql://", "postgres://"]
            .iter()
            .find_map(|scheme| text.expose().strip_prefix(scheme))
            .ok_or_else(|| PostgresError::address("it does not begin with postgresql://"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let mut pieces = Pieces {
            hosts: decoded_hosts(hosts)?,
            user: decoded(user)?,
            password: decoded(password)?,
            database: decoded(database)?,
            ..Pieces::default()
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pieces.set(name, decoded(value)?)?;
        }
        pieces.target()
    }

    /// The same, for a session that writes: a server that is read-only (a standby) is passed over.
    #[must_use]
    pub fn for_writing(mut self) -> Self {
        self.read_write = true;
        self
    }

    /// The same with this password.
    #[must_use]
    pub fn with_password(mut self, password: SecretText) -> Self {
        self.password = Password::Given(password);
        self
    }

    /// The same with the authorities of this PEM file alone trusted.
    #[must_use]
    pub fn with_root_certificate(mut self, file: PathBuf) -> Self {
        if self.verification == SslVerification::Require {
            self.verification = SslVerification::VerifyCa;
        }
        self.root_certificate = Some(file);
        self
    }

    /// How certificates are verified; [`SslVerification::Require`] and [`SslVerification::Disable`] over a network
    /// deserve a warning.
    pub fn verification(&self) -> SslVerification {
        self.verification
    }

    /// Whether every host is a Unix socket or this machine's own loopback.
    pub fn is_local(&self) -> bool {
        self.addresses.iter().all(|address| match address {
            Address::Unix { .. } => true,
            Address::Tcp { host, .. } => {
                host == "localhost"
                    || host
                        .parse::<std::net::IpAddr>()
                        .is_ok_and(|ip| ip.is_loopback())
            }
        })
    }

    fn set_sslmode(&mut self, mode: Option<&str>) -> Result<(), PostgresError> {
        self.verification = match mode {
            None | Some("verify-full") => SslVerification::VerifyFull,
            Some("verify-ca") => SslVerification::VerifyCa,
            // As in libpq: whoever gives an authority wants it asked.
            Some("require") if self.root_certificate.is_some() => SslVerification::VerifyCa,
            Some("require") => SslVerification::Require,
            Some("disable") => SslVerification::Disable,
            Some("prefer" | "allow") => {
                return Err(PostgresError::address(
                    "sslmode prefer and allow fall back to clear text when somebody in between wants it; \
                     write verify-full, verify-ca, require or disable",
                ));
            }
            Some(_) => {
                return Err(PostgresError::address(
                    "sslmode is verify-full, verify-ca, require or disable",
                ));
            }
        };
        Ok(())
    }
}

/// What a URL said.
#[derive(Default)]
struct Pieces {
    /// Those before the path; the parameters are kept beside them, as they may come in any order.
    hosts: Vec<(String, Option<u16>)>,
    host: Option<String>,
    port: Option<String>,
    user: String,
    password: String,
    database: String,
    sslmode: Option<String>,
    root_certificate: Option<PathBuf>,
    passfile: Option<PathBuf>,
    connect_timeout: Option<Duration>,
    application_name: Option<String>,
    read_write: bool,
}

impl Pieces {
    fn set(&mut self, name: &str, value: String) -> Result<(), PostgresError> {
        match name {
            "host" => self.host = Some(value),
            "port" => self.port = Some(value),
            "user" => self.user = value,
            "password" => self.password = value,
            "dbname" => self.database = value,
            "sslmode" => self.sslmode = Some(value),
            // libpq's word for the authorities that the system trusts; ours are Mozilla's, built in.
            "sslrootcert" if value == "system" => self.root_certificate = None,
            "sslrootcert" => self.root_certificate = Some(value.into()),
            "passfile" => self.passfile = Some(value.into()),
            "connect_timeout" => self.connect_timeout = Some(parsed_timeout(&value)?),
            "application_name" => self.application_name = Some(value),
            "target_session_attrs" => self.read_write = wants_writing(&value)?,
            _ => {
                return Err(PostgresError::address(&format!(
                    "its parameter {name:?} is not known; known are sslmode, sslrootcert, passfile, connect_timeout, \
                     application_name, target_session_attrs, host, port, user, password and dbname"
                )));
            }
        }
        Ok(())
    }

    /// Hosts and ports are told each for themselves: other hosts leave the ports as they are.
    fn addresses(&mut self) -> Result<Vec<Address>, PostgresError> {
        let (mut hosts, mut ports): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.hosts).into_iter().unzip();
        if let Some(given) = self.host.take() {
            hosts = given.split(',').map(str::to_owned).collect();
        }
        if let Some(given) = self.port.take() {
            let given = given.split(',').map(|port| parsed_port(port).map(Some));
            ports = given.collect::<Result<_, _>>()?;
        }
        if hosts.is_empty() {
            return Err(PostgresError::address("it names no host"));
        }
        if ports.len() > 1 && ports.len() != hosts.len() {
            let reason =
                "it does not have as many ports as hosts; write one port, or one for each host";
            return Err(PostgresError::address(reason));
        }
        let port = |place: usize| match ports.as_slice() {
            [all] => *all,
            each => each.get(place).copied().flatten(),
        };
        let hosts = hosts.iter().enumerate();
        hosts
            .map(|(place, host)| Address::new(host, port(place).unwrap_or(PORT)))
            .collect()
    }

    fn target(mut self) -> Result<Target, PostgresError> {
        let addresses = self.addresses()?;
        let password = match self.passfile {
            _ if !self.password.is_empty() => Password::Given(SecretText::new(self.password)),
            Some(path) => Password::Passfile(path),
            None => Password::None,
        };
        let mut target = Target::from_parts(Parts {
            host: "placeholder".to_owned(),
            port: None,
            user: self.user,
            password,
            database: Some(self.database).filter(|name| !name.is_empty()),
            sslmode: self.sslmode,
            root_certificate: self.root_certificate,
        })?;
        target.addresses = addresses;
        target.read_write = self.read_write;
        if let Some(timeout) = self.connect_timeout {
            target.connect_timeout = timeout;
        }
        if let Some(name) = self.application_name {
            target.application_name = name;
        }
        Ok(target)
    }
}

fn wants_writing(value: &str) -> Result<bool, PostgresError> {
    match value {
        "any" => Ok(false),
        "read-write" | "primary" => Ok(true),
        _ => Err(PostgresError::address(
            "target_session_attrs is any, read-write or primary",
        )),
    }
}

fn decoded_hosts(text: &str) -> Result<Vec<(String, Option<u16>)>, PostgresError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|one| {
            // An IPv6 address has colons of its own, inside brackets.
            let after_brackets = one.rfind(']').map_or(0, |end| end.saturating_add(1));
            let colon = one
                .get(after_brackets..)
                .and_then(|rest| rest.find(':'))
                .map(|at| at.saturating_add(after_brackets));
            match colon.and_then(|at| one.split_at_checked(at)) {
                Some((host, port)) => Ok((
                    decoded(host)?,
                    Some(parsed_port(port.trim_start_matches(':'))?),
                )),
                None => Ok((decoded(one)?, None)),
            }
        })
        .collect()
}

fn parsed_timeout(text: &str) -> Result<Duration, PostgresError> {
    text.parse()
        .ok()
        .filter(|seconds| (1..=3600).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| {
            PostgresError::address("connect_timeout is a number of seconds from 1 to 3600")
        })
}

fn parsed_port(text: &str) -> Result<u16, PostgresError> {
    text.parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| PostgresError::address("its port is not a number from 1 to 65535"))
}

fn decoded(text: &str) -> Result<String, PostgresError> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| PostgresError::address("a percent-encoded piece of it is not UTF-8"))
}
