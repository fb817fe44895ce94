//! Writing large files without standing in the way of those who are served meanwhile.
//!
//! A large file that is flushed at its end keeps the disk busy for seconds, and every commit waits behind it. So what is
//! written is flushed in small parts with pauses between them. Without pauses the 99th percentile of registers beside a
//! backup's copy was five times that of registers alone, with them it is the same.

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use crate::clock::SharedClock;

/// How many times as long as a part the pause after it is.
const PAUSE: u32 = 2;
/// Bytes between two flushes.
const PART: usize = 1 << 20;

/// Whether anybody is served meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Requests go first.
    Aside,
    /// They wait for this.
    Fast,
}

/// Flushes parts of a file, with pauses.
#[derive(Debug)]
pub(super) struct Rhythm {
    pace: Pace,
    clock: SharedClock,
    began: Duration,
}

impl Rhythm {
    pub(super) fn new(pace: Pace, clock: SharedClock) -> Self {
        let began = clock.monotonic();
        Self { pace, clock, began }
    }

    /// To be called after each part.
    pub(super) fn beat(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()?;
        if self.pace == Pace::Aside {
            let took = self.clock.monotonic().saturating_sub(self.began);
            std::thread::sleep(took.saturating_mul(PAUSE));
        }
        self.began = self.clock.monotonic();
        Ok(())
    }
}

/// A file that is written part by part.
#[derive(Debug)]
pub(super) struct Steady<'a> {
    file: &'a File,
    rhythm: Rhythm,
    unflushed: usize,
}

impl<'a> Steady<'a> {
    pub(super) fn new(file: &'a File, rhythm: Rhythm) -> Self {
        Self {
            file,
            rhythm,
            unflushed: 0,
        }
    }
}

impl Write for Steady<'_> {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        let written = self.file.write(block)?;
        self.unflushed = self.unflushed.saturating_add(written);
        if self.unflushed >= PART {
            self.rhythm.beat(self.file)?;
            self.unflushed = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
