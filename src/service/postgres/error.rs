//! What can go wrong with a Postgres, said to the operator.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use tokio_postgres::error::SqlState;

/// A server and a database on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    hosts: String,
    database: String,
}

impl Place {
    pub(super) fn new(hosts: String, database: &str) -> Self {
        Self {
            hosts,
            database: database.to_owned(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postgres at {}, database {}", self.hosts, self.database)
    }
}

/// Why a Postgres could not be used. The texts name host and database and say what to do; none holds a password or data.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PostgresError {
    /// What the operator wrote cannot be an address.
    #[error("the address of the Postgres cannot be used: {reason}")]
    Address {
        /// What is wrong with it.
        reason: String,
    },
    /// A file that belongs to the address cannot be used.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The server could not prove who it is, or speaks no TLS.
    #[error("{place}: TLS failed: {reason}; {mend}")]
    Tls {
        /// Where it was tried.
        place: Place,
        /// What the TLS library said.
        reason: String,
        /// What to do.
        mend: &'static str,
    },
    /// No connection.
    #[error("{place}: cannot be reached: {reason}; is it running, and is the address right?")]
    Unreachable {
        /// Where it was tried.
        place: Place,
        /// What the network said.
        reason: String,
    },
    /// No connection in time.
    #[error("{place}: no answer in time; is it running, and does a firewall let us through?")]
    TimedOut {
        /// Where it was tried.
        place: Place,
    },
    /// The server asks for something that we were not given.
    #[error(
        "{place}: cannot log in: {reason}; give a password, and see what the server's pg_hba.conf asks for"
    )]
    Login {
        /// Where it was tried.
        place: Place,
        /// What the driver said.
        reason: String,
    },
    /// It may only be read.
    #[error(
        "{place}: it is read-only; name its primary, or several hosts, of which the one that may be written to is taken"
    )]
    ReadOnly {
        /// Where it was tried.
        place: Place,
    },
    /// The server answered with an error.
    #[error("{place}: {message} (SQLSTATE {}){}", code.code(), mend_after(code))]
    Refused {
        /// Where it was tried.
        place: Place,
        /// The server's code.
        code: Box<SqlState>,
        /// The server's message; its detail, which may hold data, is left out.
        message: String,
    },
    /// The connection ended in the middle.
    #[error("{place}: the connection was lost: {reason}")]
    Lost {
        /// Where it led.
        place: Place,
        /// What the driver said.
        reason: String,
    },
}

impl PostgresError {
    pub(super) fn address(reason: &str) -> Self {
        Self::Address {
            reason: reason.to_owned(),
        }
    }

    pub(super) fn file(path: &Path, reason: String) -> Self {
        Self::File {
            path: path.to_owned(),
            reason,
        }
    }

    /// What an error of the driver means.
    pub fn from_driver(place: &Place, error: &tokio_postgres::Error) -> Self {
        let place = place.clone();
        if let Some(answer) = error.as_db_error() {
            let code = answer.code();
            if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
                return Self::ReadOnly { place };
            }
            return Self::Refused {
                place,
                code: Box::new(code.clone()),
                message: answer.message().to_owned(),
            };
        }
        let reason = causes(error);
        if let Some(io) = find::<io::Error>(error)
            && io.kind() == io::ErrorKind::PermissionDenied
            && reason.contains("does not allow writes")
        {
            return Self::ReadOnly { place };
        }
        if reason.contains("TLS handshake") {
            let mend = mend_of_tls(error, &reason);
            return Self::Tls {
                place,
                reason,
                mend,
            };
        }
        if reason.contains("error connecting to server") {
            return Self::Unreachable { place, reason };
        }
        if reason.contains("invalid configuration") || reason.contains("authentication error") {
            return Self::Login { place, reason };
        }
        Self::Lost { place, reason }
    }

    /// The server's code, when it was the server that refused.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

fn mend_of_tls(error: &tokio_postgres::Error, reason: &str) -> &'static str {
    if reason.contains("does not support TLS") {
        return "turn TLS on in that server (ssl = on); only where the way to it is safe, set sslmode to disable";
    }
    match find::<rustls::Error>(error) {
        Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
            rustls::CertificateError::UnknownIssuer => {
                "set the root certificate to the PEM file of the authority that made the server's certificate"
            }
            rustls::CertificateError::NotValidForName
            | rustls::CertificateError::NotValidForNameContext { .. } => {
                "write the host as the certificate names it, or set sslmode to verify-ca"
            }
            rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. } => {
                "renew the server's certificate; is this machine's clock right?"
            }
            _ => "give the server a certificate that its authority made for it",
        },
        _ => "does something else than Postgres listen there?",
    }
}

fn mend_after(code: &SqlState) -> &'static str {
    if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
    {
        "; correct user or password, and see that the server's pg_hba.conf lets this machine in"
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        "; create that database, or correct its name"
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        "; let the user create a schema in that database (GRANT CREATE ON DATABASE), or own the schema"
    } else if *code == SqlState::TOO_MANY_CONNECTIONS {
        "; raise max_connections, or the user's own limit"
    } else if *code == SqlState::DISK_FULL {
        "; give its disk room"
    } else {
        ""
    }
}

/// The error of type `T` among the causes.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(one) = next {
        if let Some(found) = one.downcast_ref::<T>() {
            return Some(found);
        }
        // An I/O error hides what it wraps from `source`.
        if let Some(found) = one
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<T>())
        {
            return Some(found);
        }
        next = one.source();
    }
    None
}

/// The error and what caused it, on one line, each text once.
fn causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}
