//! A restore in the audit log. The log is the node's and not the data's: that of the data that is replaced goes on.

use std::path::Path;

use rusqlite::Connection;

use super::Record;
use super::candidate::Legacy;
use crate::audit::{Action, Actor, AuditError, Carried, Chain, Entry, carry, carry_none};
use crate::clock::Timestamp;
use crate::store::open_read_only;

/// Gives a database the log of what it replaces, with an entry of the restore, in the transaction that makes it ready to
/// take the place. A log that cannot be written is no reason not to restore.
pub(super) fn enter(
    candidate: &Connection,
    chain: &Chain,
    source: &Record,
    legacy: &Legacy<'_>,
    actor: &Actor,
    now: Timestamp,
) {
    let carried = match legacy.database {
        Some(database) => take_over(database, candidate),
        None => carry_none(candidate),
    };
    let carried = carried.unwrap_or_else(|error| {
        tracing::error!(%error, "the audit log of the data that is replaced cannot be taken over; the backup's goes on");
        Carried::Unreadable
    });
    let mut detail = format!("from {}", source.path.display());
    if let Some(saved) = legacy.saved {
        detail.push_str(&format!(
            "; the data until then is in {}",
            saved.path.display()
        ));
    }
    detail.push_str(&format!("; {carried}"));
    let entry = Entry::done(actor, Action::Restore, detail);
    if let Err(error) = chain.append(candidate, now, &entry) {
        tracing::error!(%error, %actor, "the restore is not in the audit log, which cannot be written");
    }
}

fn take_over(database: &Path, candidate: &Connection) -> Result<Carried, AuditError> {
    carry(&open_read_only(database)?, candidate)
}
