//! Saving a database that SQLite cannot read, before a restore takes its place: byte for byte, with its write-ahead
//! log. Nobody can say what is in it; but an expert may still get something out of it, and out of nothing nobody does.

use std::path::Path;

use super::candidate::copy_bytes;
use super::digest::digest;
use super::make::{Order, Product, publish, remove, unfinished_ending};
use super::{BackupError, encryption};
use crate::store::{WRITE_AHEAD_LOG, beside};

/// Saves the database and its log under the names `target` and `target-wal`. `error` is why it could not be copied in
/// the usual way.
pub(super) fn save(order: &Order<'_>, error: BackupError) -> Result<Product, BackupError> {
    tracing::warn!(%error, path = %order.target.display(), "today's data cannot be read and is saved byte for byte");
    // A killed process may have left both halves, and each is worth little alone; the log goes first, so that the
    // database's name stands for the two.
    let log = beside(order.database, WRITE_AHEAD_LOG);
    let target = beside(order.target, WRITE_AHEAD_LOG);
    if log.exists() {
        save_file(order, &log, &target)?;
    }
    save_file(order, order.database, order.target).inspect_err(|_| remove(&target))?;
    let (bytes, digest) =
        digest(order.target).map_err(|error| BackupError::io(order.target, error))?;
    Ok(Product {
        bytes,
        digest,
        verified: Err(error),
    })
}

fn save_file(order: &Order<'_>, from: &Path, to: &Path) -> Result<(), BackupError> {
    let partial = beside(to, &unfinished_ending(order.folder)?);
    remove(&partial);
    let saved = match order.recipients {
        Some(recipients) => encryption::encrypt(from, &partial, recipients, order.watch).map(drop),
        None => {
            let bytes = std::fs::metadata(from).map_or(0, |meta| meta.len());
            copy_bytes(from, &partial, bytes, order.watch)
        }
    };
    let folder = to.parent().unwrap_or(Path::new("/"));
    saved
        .and_then(|()| publish(&partial, to, folder))
        .inspect_err(|_| remove(&partial))
}
