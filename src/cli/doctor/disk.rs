//! Room on the file systems of data, backups and logs: bytes, and files that can still be made.

use std::path::Path;

use super::Case;
use crate::cli::finding::{Finding, command};
use crate::cli::text::size;
use crate::service::disk::Room;
use crate::store::DATABASE_FILE;

const AREA: &str = "disk";

/// From when on little is too little.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Below this share in percent, or this number of bytes, room is short.
    short: (u64, u64),
    /// Below this number of bytes it is gone, or nearly.
    gone: u64,
}

const LIMITS: Limits = Limits {
    short: (5, 1 << 30),
    gone: 128 << 20,
};

pub(super) fn look(case: &Case) -> Vec<Finding> {
    let database = case.config.data_dir.join(DATABASE_FILE);
    let bytes = database.metadata().map_or(0, |found| found.len());
    let folders = case.config.folders();
    folders
        .iter()
        .map(|(of, folder)| {
            // The next backup takes as much as the database has.
            let needed = if *of == "backups" { bytes } else { 0 };
            match Room::at(folder) {
                Ok(room) => judge(of, folder, &room, needed, LIMITS),
                Err(error) => {
                    let what = format!("{of}: its file system cannot be asked: {error}");
                    Finding::warning(AREA, what).on(folder)
                }
            }
        })
        .collect()
}

fn judge(of: &str, folder: &Path, room: &Room, needed: u64, limits: Limits) -> Finding {
    let (percent, bytes) = limits.short;
    let free = format!(
        "{of}: {} of {} are free ({} %)",
        size(room.free_bytes),
        size(room.total_bytes),
        room.percent_free()
    );
    let short = room.percent_free() < percent && room.free_bytes < bytes.saturating_mul(20);
    let finding = if room.free_bytes < limits.gone.saturating_add(needed) {
        let why = if needed > 0 {
            ", too few for the next backup"
        } else {
            ""
        };
        Finding::wrong(AREA, format!("{free}{why}"))
    } else if short || room.free_bytes < bytes {
        Finding::warning(AREA, free)
    } else if room.total_files > 0 && room.percent_files_free() < percent {
        let what = format!(
            "{of}: {} files can still be made ({} %)",
            room.free_files,
            room.percent_files_free()
        );
        Finding::warning(AREA, what)
    } else {
        return Finding::ok(AREA, free).on(folder);
    };
    finding.on(folder).mend(format!(
        "{}, and make room or take a larger disk",
        command("df -h", folder)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::finding::Level;

    #[test]
    fn room_runs_short_before_it_is_gone() {
        let gib = 1_u64 << 30;
        let level = |free: u64, total: u64, files: u64, needed: u64| {
            let room = Room {
                free_bytes: free,
                total_bytes: total,
                free_files: files,
                total_files: 1000,
            };
            let found = judge("backups", Path::new("/b"), &room, needed, LIMITS);
            assert_eq!(found.mend.is_some(), found.level > Level::Ok);
            found.level
        };
        assert_eq!(level(50 * gib, 100 * gib, 900, gib), Level::Ok);
        assert_eq!(level(2 * gib, 4 * gib, 900, gib), Level::Ok);
        assert_eq!(level(gib, 4 * gib, 900, gib), Level::Wrong);
        assert_eq!(level(4 * gib, 100 * gib, 900, gib), Level::Warning);
        // Little of much is much.
        assert_eq!(level(100 * gib, 10_000 * gib, 900, gib), Level::Ok);
        assert_eq!(level(gib / 2, gib, 900, 0), Level::Warning);
        assert_eq!(level(50 * gib, 100 * gib, 20, 0), Level::Warning);
        assert_eq!(level(0, 100 * gib, 900, 0), Level::Wrong);
    }
}
