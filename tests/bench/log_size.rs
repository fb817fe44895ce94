//! How large the write-ahead log becomes.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ksnode::store::{WRITE_AHEAD_LOG, beside};

/// Looks at it ten times a second, until it is asked.
pub struct LogSize {
    end: Sender<()>,
    thread: JoinHandle<u64>,
}

impl LogSize {
    /// That of this database.
    pub fn watch(database: &Path) -> Self {
        let log = beside(database, WRITE_AHEAD_LOG);
        let (end, ended) = channel();
        let look = move || {
            let mut most = 0;
            while ended.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
                // There is none while nobody has the database open.
                most = most.max(std::fs::metadata(&log).map_or(0, |file| file.len()));
            }
            most
        };
        Self {
            end,
            thread: std::thread::spawn(look),
        }
    }

    /// The most that was seen, in MiB.
    pub fn most(self) -> anyhow::Result<f64> {
        drop(self.end);
        let Ok(bytes) = self.thread.join() else {
            anyhow::bail!("what looks at the write-ahead log has panicked");
        };
        Ok(bytes as f64 / f64::from(1 << 20))
    }
}
