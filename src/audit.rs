//! The audit log: who did what with this node, and what became of it.
//!
//! Entries are rows of the database, chained by a keyed hash: each row's MAC covers the row before, and the head's covers
//! both ends of the chain. So whoever can write to the database and does not have the encryption secret can remove,
//! change, reorder or add nothing that a verification does not find. What no chain can show is that the whole database was
//! put back to an earlier state; for that there is the **signed head**, which is kept elsewhere. A chain of public-key
//! signatures was considered: each entry would cost a signature, and whoever holds the node's secret can sign anew
//! in any case.
//!
//! **When an entry is written.** What is done in the database has its entry in the same transaction ([`AuditLog::append`]):
//! keys, secret, migration, restore (in the database that takes the place), rollback. What is done elsewhere has
//! one of its own ([`AuditLog::record`]): *before* where the attempt must not be missed whatever happens in between
//! (a restore of a running node, the deletion or handing out of a backup, an import or export), and then another one that
//! tells how it ended; *after* where only the outcome matters (a backup made, a certificate had, a login). Scheduled backups
//! and their retention have a history of their own and no entries.
//!
//! **It never fails what it tells.** An entry that cannot be written (a full disk, a damaged table, a restore under way) is
//! logged, counted, told by `status`, and waits in memory, with its time, until it can be. On a full disk that holds
//! for what needs no room, as a deletion; what is to be written in the same transaction fails with it, as all writes do then,
//! and needs no entry. Shares are served all the while. What waits is lost with the process.
//!
//! **It is bounded.** Failed logins are put together ([`AuditLog::login_failed`]), the texts of entries are cut, and entries
//! are forgotten after `audit.keep_days`, or the oldest of 100,000; what is left begins with an anchor by which it is still verified.
//!
//! **It is this machine's.** Backups carry it, a replica does not: entries follow each backup, so that a replica with entries
//! would have something newer than any backup, and a node restored from its newest backup could never go on with its
//! replica. Who wants it elsewhere at once keeps the log's records and the signed head there.
//!
//! Entries never hold user identifiers, users' public keys, shares or secrets: an audit log is read by more people than
//! the data.
//!
//! In reading order: `entry` is what is said, `chain` how it is written, `verify` whether it is whole, `signed` the head
//! that is kept elsewhere, `carry` what a restore does, `log` the log of an open database, with `standing` and `logins`.

mod carry;
mod chain;
mod entry;
mod log;
mod logins;
mod read;
mod signed;
mod standing;
#[cfg(test)]
mod tests;
mod verify;

pub use carry::{Carried, carry, carry_none};
pub use chain::{Chain, Link};
pub use entry::{Action, Actor, Entry, Outcome};
pub use log::{AuditLog, Retention};
pub use read::{Query, Written};
pub use signed::SignedHead;
pub use standing::{AuditHealth, Standing};
pub use verify::{Finding, Verification};

use crate::crypto::CryptoError;
use crate::store::StoreError;

/// The tables of this room.
pub const AUDIT_TABLES: &str = include_str!("audit/schema/audit.sql");

/// Why the log could not be written.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// There is nothing to sign.
    #[error(
        "the audit log has no head that this node wrote; `ksnode audit verify` tells what is wrong with it"
    )]
    NoHead,
}

impl From<rusqlite::Error> for AuditError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl AuditError {
    /// Whether another database is being put in place.
    fn is_of_a_restore(&self) -> bool {
        matches!(self, Self::Store(StoreError::Paused | StoreError::Closed))
    }
}
