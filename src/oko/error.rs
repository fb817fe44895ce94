//! What can go wrong with a take-over as a whole. A row that cannot be taken over is none of these: it is in the report.

use std::path::{Path, PathBuf};

use crate::backup::BackupError;
use crate::crypto::CryptoError;
use crate::service::postgres::{Place, PostgresError};
use crate::store::{KeychainError, StoreError};

/// Why an import or export did not come to its end. What was written before is whole, and the same command goes on there.
#[derive(Debug, thiserror::Error)]
pub enum OkoError {
    /// The connection.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The tables are not there.
    #[error(
        "{place}: these are not the tables of a key share node of the Docker suite (2_users, 2_wallets, 2_key_shares, \
         2_server_keypairs, or the same without 2_); name the suite's own database (DB_NAME in its .env)"
    )]
    NoSuite {
        /// Where was looked.
        place: String,
    },
    /// A table has other columns.
    #[error(
        "{place}: the table {table} has no column {column}: a schema of the suite that this program does not know"
    )]
    NoColumn {
        /// Where was looked.
        place: String,
        /// The table.
        table: &'static str,
        /// What it should have.
        column: &'static str,
    },
    /// `pg_restore` is not there.
    #[error(
        "a dump is read with pg_restore, and it cannot be started: {0}; install the package postgresql-client \
         (Debian, Ubuntu: apt-get install postgresql-client; Fedora, RHEL: dnf install postgresql), of the version of \
         the suite's Postgres or newer"
    )]
    NoProgram(std::io::Error),
    /// `pg_restore` cannot read the dump, or not to its end.
    #[error(
        "{path}: {reason}; is it a whole file of pg_dump -Fc, and pg_restore as new as the pg_dump?"
    )]
    Dump {
        /// The dump.
        path: PathBuf,
        /// What was said.
        reason: String,
    },
    /// A file or a pipe.
    #[error(
        "{path}: {source}; check that it exists, belongs to you, and that the disk is well and has room"
    )]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing opens.
    #[error(
        "none of the suite's {keypairs} server key pairs opens with {secret}; give the file that the suite's \
         ENCRYPTION_SECRET_FILE_PATH names, byte for byte (nothing was written; --without-keypairs takes over the \
         shares alone, if it is the key pairs that are damaged)"
    )]
    WrongSecret {
        /// How many there are.
        keypairs: usize,
        /// The file.
        secret: PathBuf,
    },
    /// This node is one of the suite's already, and another one.
    #[error(
        "this node has taken over another node of the suite already (its public key is {here}); a node can be one of \
         them: take another data_dir for this one"
    )]
    OtherSuite {
        /// The public key here, in hex.
        here: String,
    },
    /// The list of addresses cannot be read.
    #[error(
        "{path}: line {line} is not an email address, a comma and the number that Google calls sub"
    )]
    Subjects {
        /// The list.
        path: PathBuf,
        /// Its line.
        line: usize,
    },
    /// After the import the database does not hold what was counted.
    #[error("the check after the import failed: {0}; run the import again")]
    Check(String),
    /// The file to export to exists.
    #[error("{0} exists and is not overwritten; name another file")]
    Exists(PathBuf),
    /// The database to export to is in use.
    #[error(
        "{place}: the table {table} has rows; an export goes into empty tables or none: name another database"
    )]
    NotEmpty {
        /// Where was looked.
        place: Place,
        /// The table.
        table: &'static str,
    },
    /// This node's database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This node's keys.
    #[error(transparent)]
    Keychain(#[from] KeychainError),
    /// A secret or a key.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The backup before the first write.
    #[error("the data is saved before the first write; that failed, and nothing was written: {0}")]
    Backup(#[from] BackupError),
}

impl From<rusqlite::Error> for OkoError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl OkoError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
