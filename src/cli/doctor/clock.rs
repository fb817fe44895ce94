//! Whether the clock is kept right: tokens, certificates and the schedule of backups all go by it. How far it is off is seen
//! where identity providers answer (`providers`).

use std::time::Duration;

use super::{Case, programs};
use crate::cli::finding::Finding;
use crate::clock::Timestamp;

pub(super) const AREA: &str = "clock";
/// What makes it right, on machines with systemd.
pub(super) const MEND: &str = "sudo timedatectl set-ntp true";
/// A file's time may be so far ahead: another machine may have written it.
const AHEAD: Duration = Duration::from_secs(60);
/// By so much providers' tokens still pass.
const SLIGHT: Duration = Duration::from_secs(5);
const LARGE: Duration = Duration::from_secs(60);

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let arguments = ["show", "--property=NTPSynchronized", "--value"];
    let mut findings = vec![match programs::printed("timedatectl", &arguments)
        .await
        .as_deref()
    {
        Some("yes\n") => Finding::ok(AREA, "it is kept right by a time server"),
        Some("no\n") => {
            let what = "no time server keeps it right";
            Finding::warning(AREA, what).mend(MEND)
        }
        _ => Finding::note(AREA, "whether a time server keeps it right is not known"),
    }];
    findings.extend(ahead(case));
    findings
}

/// A file of the node from the future: the clock was set back, or is.
fn ahead(case: &Case) -> Option<Finding> {
    let entries = case.config.data_dir.read_dir().ok()?;
    let limit = case.clock.now().plus(AHEAD);
    let mut files = entries.flatten().filter_map(|entry| {
        let modified = entry.metadata().ok()?.modified().ok()?;
        Some((Timestamp::from_system_time(modified), entry.path()))
    });
    let (moment, path) = files.find(|(moment, _)| *moment > limit)?;
    let what = format!(
        "{} is from the future ({moment}): the clock was set back, or is slow",
        path.display()
    );
    Some(Finding::warning(AREA, what).on(&path).mend(MEND))
}

/// The clock beside another machine's.
pub(super) fn beside(own: Timestamp, theirs: Timestamp, who: &str) -> Finding {
    let (apart, how) = if own > theirs {
        (own.since(theirs), "ahead of")
    } else {
        (theirs.since(own), "behind")
    };
    let what = format!("it is {} s {how} that of {who}", apart.as_secs());
    if apart > LARGE {
        Finding::wrong(AREA, what).mend(MEND)
    } else if apart > SLIGHT {
        Finding::warning(AREA, what).mend(MEND)
    } else {
        Finding::ok(AREA, format!("it agrees with that of {who}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::finding::Level;

    #[test]
    fn a_clock_that_is_off_by_minutes_is_wrong() {
        let now = Timestamp::from_millis(1_767_225_600_000);
        for (seconds, level) in [
            (0, Level::Ok),
            (4, Level::Ok),
            (30, Level::Warning),
            (90, Level::Wrong),
        ] {
            let by = Duration::from_secs(seconds);
            for other in [now.plus(by), now.minus(by)] {
                assert_eq!(beside(now, other, "n.example").level, level, "{seconds}");
            }
        }
        let text = beside(now.plus(Duration::from_secs(90)), now, "n.example").what;
        assert_eq!(text, "it is 90 s ahead of that of n.example");
    }
}
