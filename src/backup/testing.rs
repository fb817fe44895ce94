//! What the tests of this room share.

use std::path::PathBuf;

use rusqlite::Connection;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::pace::Pace;
use super::progress::Watch;
use super::{BackupError, Contents, Kind, Progress, Record, Status, Summary};
use crate::clock::{ManualClock, Timestamp};
use crate::crypto::KeyRing;
use crate::store::StoreError;

/// A role without tables.
#[derive(Debug)]
pub(super) struct NoContents;

impl Contents for NoContents {
    fn summary(&self, _: &Connection) -> Result<Summary, StoreError> {
        Ok(Summary::default())
    }

    fn open_all(
        &self,
        _: &Connection,
        _: &KeyRing,
        _: &mut dyn FnMut(u64) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        Ok(())
    }

    fn begin_timeline(&self, _: &Connection) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A scheduled backup that was begun and ended at `moment`.
pub(super) fn record(status: Status, moment: Timestamp) -> Record {
    let path = PathBuf::from("/backups/file");
    Record {
        status,
        ..Record::begin(Uuid::new_v4(), Kind::Scheduled, path, moment)
    }
}

/// Work that nobody watches.
pub(super) fn unwatched() -> Watch {
    watched(&Progress::unwatched())
}

/// Work that nobody ends.
pub(super) fn watched(progress: &Progress) -> Watch {
    Watch::new(
        progress,
        CancellationToken::new(),
        Pace::Fast,
        ManualClock::shared(),
    )
}
