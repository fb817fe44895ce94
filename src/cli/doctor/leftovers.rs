//! What should not lie there any more.

use std::path::Path;
use std::time::Duration;

use super::Case;
use crate::admin::FIRST_PASSWORD_FILE;
use crate::cli::finding::{Finding, Level, command};
use crate::cli::text::span;
use crate::clock::Timestamp;
use crate::store::beside;

const AREA: &str = "leftovers";
/// Who has not used the first password by then has forgotten it.
const FORGOTTEN: Duration = Duration::from_secs(3 * 86_400);
/// No backup takes so long.
const UNFINISHED: Duration = Duration::from_secs(86_400);

pub(super) fn look(case: &Case) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(first_password(case));
    findings.extend(unfinished_change(case));
    for (_, folder) in case.config.folders() {
        findings.extend(unfinished(case, &folder));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(AREA, "there are none"));
    }
    findings
}

fn age(case: &Case, path: &Path) -> Option<Duration> {
    let modified = path.metadata().ok()?.modified().ok()?;
    Some(
        case.clock
            .now()
            .since(Timestamp::from_system_time(modified)),
    )
}

fn first_password(case: &Case) -> Option<Finding> {
    let path = case.config.data_dir.join(FIRST_PASSWORD_FILE);
    let age = age(case, &path)?;
    if case.config.admin.password.is_some() {
        let what =
            "the first administrator's password is of no use any more: another one is configured";
        return Some(
            Finding::note(AREA, what)
                .on(&path)
                .mend(command("sudo rm", &path)),
        );
    }
    let what = format!(
        "the administrator's first password lies in clear for {}",
        span(age)
    );
    let mend = "note it elsewhere and use it once: its first right use removes the file";
    let level = if age > FORGOTTEN {
        Level::Warning
    } else {
        Level::Note
    };
    Some(Finding::new(level, AREA, what).on(&path).mend(mend))
}

fn unfinished_change(case: &Case) -> Option<Finding> {
    let path = beside(&case.config.secret_file, ".new");
    path.exists().then(|| {
        let what = "a change of the encryption secret was interrupted";
        Finding::warning(AREA, what)
            .on(&path)
            .mend("stop the node and run: ksnode secret change")
    })
}

/// Files that were to get another name when they were whole.
fn unfinished(case: &Case, folder: &Path) -> Vec<Finding> {
    let Ok(entries) = folder.read_dir() else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let unfinished = paths.filter(|path| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        name.ends_with(".partial") || name.starts_with(".ksnode-")
    });
    let old = unfinished.filter(|path| age(case, path).is_some_and(|age| age > UNFINISHED));
    old.map(|path| {
        let what = format!("{} was never finished", path.display());
        Finding::note(AREA, what)
            .on(&path)
            .mend(command("sudo rm", &path))
    })
    .collect()
}
