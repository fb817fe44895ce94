//! A second copy of the node's data in a Postgres that the operator brings.
//!
//! The replica holds the node's rows as they are, sealed and blind: its host learns nothing that a thief of the database
//! file would not. What is shipped are not the changes one by one. A batch reads which rows changed since the replica's
//! position and ships them as they are in one snapshot of this database, in one transaction with the new position. So
//! the replica is at every moment what this database was at one moment; a transaction whose end nobody saw is told by
//! the position at the next contact; and what changed often is shipped once. Shipping statements or a history of values was
//! left out: it has to be replayed in order for ever, and stores every value twice.
//!
//! Whoever writes there holds an advisory lock and a number in the position row (`fence`); an older writer's last batch
//! finds another number and fails. `decision` says whether what is found there is followed, replaced or left alone.
//!
//! In reading order: `decision`; `rows`, on their way out; `remote`, the other end, and `apply`, their way into it; `ship`, one connection's life; `task`, what
//! goes on for ever; `digest`, the comparison; `rebuild`, the way back.

mod apply;
mod decision;
mod digest;
mod rebuild;
mod remote;
mod rows;
mod ship;
mod standing;
mod task;

use crate::config::{self, ReplicaAddress};
use crate::service::postgres::{Parts, Password, PostgresError, Target};
use crate::store::StoreError;

pub use decision::Refusal;
pub use digest::{Comparison, TableDigest};
pub use rebuild::{Rebuild, Rebuilt, rebuild};
pub use standing::{Phase, ReplicaMetrics, ReplicaStatus};
pub use task::{Follower, Replica, ReplicaOptions};

/// Why nothing is shipped, or something is not done.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The Postgres.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// This node's own database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is there is left alone.
    #[error("the replica is left alone: {0}")]
    Refused(#[from] Refusal),
    /// Another process writes to it.
    #[error(
        "another process writes to this replica: a second node with the same address, or one that is just ending; it is tried again"
    )]
    Locked,
    /// Another process wrote to it since.
    #[error("another process has taken this replica over; it is looked at anew")]
    Fenced,
    /// The server does not answer.
    #[error("the Postgres does not answer any more")]
    Hangs,
    /// The server is too old.
    #[error("the Postgres is version {0}; 15 or newer is needed")]
    OldServer(String),
    /// The tables are of a newer program.
    #[error(
        "the replica was written by a newer ksnode (its schema {found}, this program knows {known}); install that version"
    )]
    Newer {
        /// Its schema.
        found: i32,
        /// The newest that this program knows.
        known: i32,
    },
    /// There is a table or row that no ksnode writes.
    #[error(
        "the schema ksnode there is not one that ksnode made, or it is damaged; drop it, and the replica is filled anew"
    )]
    Unreadable,
    /// There is nothing to be rebuilt from.
    #[error("there is no replica in that database, or it was never whole")]
    Nothing,
    /// What was being done came to nothing because something else did.
    #[error("it was interrupted")]
    Interrupted,
    /// Asked while nothing is shipped.
    #[error("the replica is not being followed now: {0}")]
    NotFollowed(String),
    /// The node has none.
    #[error("this node has no replica: neither replica.url nor replica.host is set")]
    Off,
}

/// The Postgres that a configuration names.
///
/// # Errors
/// [`PostgresError::Address`].
pub fn target(config: &config::Replica) -> Result<Target, PostgresError> {
    let mut target = match &config.address {
        ReplicaAddress::Url(url) => Target::from_url(url)?,
        ReplicaAddress::Parts {
            host,
            port,
            user,
            database,
            sslmode,
        } => Target::from_parts(Parts {
            host: host.clone(),
            port: *port,
            user: user.clone(),
            password: Password::None,
            database: database.clone(),
            sslmode: sslmode.clone(),
            root_certificate: None,
        })?,
    };
    if let Some(password) = &config.password {
        target = target.with_password(password.clone());
    }
    if let Some(file) = &config.root_certificate {
        target = target.with_root_certificate(file.clone());
    }
    Ok(target)
}
