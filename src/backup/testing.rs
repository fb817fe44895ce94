//! What the tests of this room share.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::pace::Pace;
use super::progress::Watch;
use super::{Kind, Progress, Record, Status};
use crate::clock::{ManualClock, Timestamp};

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
