//! Backups that failed, are too old, or lie in the open.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Case;
use crate::cli::finding::Finding;
use crate::cli::instance::program_of;
use crate::cli::text::span;
use crate::clock::Timestamp;

const AREA: &str = "backups";
/// A daily backup that is older has been missed: a day, and half of one for a machine that was off at its time.
const OLD: Duration = Duration::from_secs(36 * 60 * 60);

pub(super) fn look(case: &Case) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(node) = &case.node {
        let backup = &node.backup;
        let failed = backup.failure.as_ref();
        let failed = failed.map(|why| format!("the newest backup failed: {why}"));
        let damaged = backup.damage.as_ref();
        let damaged = damaged.map(|damage| format!("the database is damaged: {damage}"));
        let program = program_of(case.unit.as_deref());
        findings.extend(failed.map(|what| Finding::wrong(AREA, what).mend(create(case))));
        let mend = format!("{program} backup list, and {program} restore FILE");
        findings.extend(damaged.map(|what| Finding::wrong(AREA, what).mend(mend)));
    }
    let dir = &case.config.backup.dir;
    findings.push(match newest(dir) {
        Some((path, moment)) => judge(case, &path, moment),
        None => none(case),
    });
    findings
}

fn judge(case: &Case, path: &Path, moment: Timestamp) -> Finding {
    let age = case.clock.now().since(moment);
    let what = format!("the newest, {}, is {} old", path.display(), span(age));
    if case.config.backup.at.is_some() && age > OLD {
        return Finding::warning(AREA, what).on(path).mend(create(case));
    }
    Finding::ok(AREA, what).on(path)
}

fn none(case: &Case) -> Finding {
    let what = format!("there is none in {}", case.config.backup.dir.display());
    let uptime = case.node.as_ref().map_or(0, |node| node.uptime_seconds);
    let late = case.config.backup.at.is_some() && Duration::from_secs(uptime) > OLD;
    let finding = if late {
        Finding::wrong(AREA, what)
    } else {
        Finding::note(AREA, what)
    };
    finding.mend(create(case))
}

fn create(case: &Case) -> String {
    format!("{} backup create", program_of(case.unit.as_deref()))
}

/// The newest backup's file in the folder, and when it was made.
pub(in crate::cli) fn newest(dir: &Path) -> Option<(PathBuf, Timestamp)> {
    let files = dir.read_dir().ok()?.flatten().filter_map(|entry| {
        let name = entry.file_name();
        let name = name.to_str()?;
        let is_backup = name.starts_with("ksnode-") && !name.ends_with(".partial");
        let modified = entry
            .metadata()
            .ok()
            .filter(|found| found.is_file() && is_backup)?
            .modified()
            .ok()?;
        Some((entry.path(), Timestamp::from_system_time(modified)))
    });
    files.max_by_key(|(_, moment)| *moment)
}
