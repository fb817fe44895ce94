//! One file a day, `ksnode-YYYY-MM-DD.log` in UTC, the oldest removed.
//!
//! tracing-appender rotates files as well, but joins name and date with a dot; the operators' tools of the Docker suite
//! expect the name above.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::clock::SharedClock;

/// A writer to the file of the current day.
pub(super) struct DailyFile {
    folder: PathBuf,
    keep_days: usize,
    clock: SharedClock,
    day: String,
    file: File,
}

impl DailyFile {
    /// Opens today's file, creating the folder (mode 0700) and the file (mode 0600) as needed.
    pub(super) fn open(folder: &Path, keep_days: u32, clock: SharedClock) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let day = today(&clock);
        let mut daily = Self {
            folder: folder.to_owned(),
            keep_days: usize::try_from(keep_days).unwrap_or(usize::MAX),
            file: open_day(folder, &day)?,
            clock,
            day,
        };
        daily.prune()?;
        Ok(daily)
    }

    fn turn_over(&mut self) -> io::Result<()> {
        let day = today(&self.clock);
        if day != self.day {
            self.file = open_day(&self.folder, &day)?;
            self.day = day;
            self.prune()?;
        }
        Ok(())
    }

    /// Removes all but the newest files, of which names sort as their days do. Those of days to come are the first to go: a clock
    /// that was wrong has made them, and they must not take today's place.
    fn prune(&mut self) -> io::Result<()> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| is_daily(path))
            .collect();
        let today = path_of(&self.folder, &self.day);
        files.sort_unstable_by(|a, b| (*a <= today, a).cmp(&(*b <= today, b)));
        let surplus = files.len().saturating_sub(self.keep_days);
        files
            .into_iter()
            .take(surplus)
            .try_for_each(std::fs::remove_file)
    }
}

impl Write for DailyFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // What cannot be opened anew goes on into yesterday's file: a record in the wrong file is better than none.
        let turned = self.turn_over();
        let written = self.file.write(buffer)?;
        turned.map(|()| written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn today(clock: &SharedClock) -> String {
    clock.now().day()
}

fn open_day(folder: &Path, day: &str) -> io::Result<File> {
    let path = path_of(folder, day);
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

fn path_of(folder: &Path, day: &str) -> PathBuf {
    folder.join(format!("ksnode-{day}.log"))
}

fn is_daily(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.strip_prefix("ksnode-")?.strip_suffix(".log"))
        .is_some_and(|day| day.len() == 10 && day.bytes().all(|c| c == b'-' || c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, ManualClock};

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn each_day_has_its_file_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ksnode-notes.log"), "not ours").unwrap();
        let clock = ManualClock::shared();
        let mut daily = DailyFile::open(folder.path(), 2, clock.clone()).unwrap();
        for line in ["one\n", "two\n", "three\n"] {
            daily.write_all(line.as_bytes()).unwrap();
            clock.advance(Duration::from_secs(24 * 60 * 60));
        }
        assert_eq!(
            names(folder.path()),
            [
                "ksnode-2026-01-02.log",
                "ksnode-2026-01-03.log",
                "ksnode-notes.log"
            ]
        );
        let last = std::fs::read_to_string(folder.path().join("ksnode-2026-01-03.log")).unwrap();
        assert_eq!(last, "three\n");
    }

    #[test]
    fn files_of_days_to_come_take_no_place_of_todays() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::shared();
        let today = clock.now();
        clock.set_wall(today.plus(Duration::from_secs(20 * 365 * 24 * 60 * 60)));
        let mut daily = DailyFile::open(folder.path(), 3, clock.clone()).unwrap();
        for _ in 0..3 {
            daily.write_all(b"of the future\n").unwrap();
            clock.advance(Duration::from_secs(24 * 60 * 60));
        }
        clock.set_wall(today);
        daily.write_all(b"of today\n").unwrap();
        clock.advance(Duration::from_secs(24 * 60 * 60));
        daily.write_all(b"of tomorrow\n").unwrap();
        assert_eq!(
            names(folder.path()),
            [
                "ksnode-2026-01-01.log",
                "ksnode-2026-01-02.log",
                "ksnode-2045-12-29.log"
            ]
        );
    }

    #[test]
    fn a_restart_goes_on_in_the_same_private_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        for line in ["one\n", "two\n"] {
            let clock = ManualClock::shared();
            let mut daily = DailyFile::open(folder.path(), 7, clock).unwrap();
            daily.write_all(line.as_bytes()).unwrap();
        }
        let path = folder.path().join("ksnode-2026-01-01.log");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
