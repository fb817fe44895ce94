//! What backups know of this program's tables: the rooms' own knowledge, put together.

use rusqlite::Connection;

use crate::backup::{BackupError, Contents, Summary};
use crate::crypto::KeyRing;
use crate::oko;
use crate::shares::ShareContents;
use crate::store::StoreError;

/// The shares, and what a take-over brought beside them.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeContents;

impl Contents for NodeContents {
    fn summary(&self, connection: &Connection) -> Result<Summary, StoreError> {
        ShareContents.summary(connection)
    }

    fn open_all(
        &self,
        connection: &Connection,
        ring: &KeyRing,
        opened: &mut dyn FnMut(u64) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        ShareContents.open_all(connection, ring, opened)?;
        // The room of backups puts the file's name in.
        oko::open_all(connection, ring)?
            .map(drop)
            .map_err(|what| BackupError::Damaged {
                path: std::path::PathBuf::new(),
                what,
            })
    }

    fn begin_timeline(&self, connection: &Connection) -> Result<(), StoreError> {
        ShareContents.begin_timeline(connection)
    }
}
