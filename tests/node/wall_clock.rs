//! A clock of a node's own, which a test sets: libfaketime answers in the place of the system, from a file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ksnode::clock::{Clock, SystemClock, Timestamp};

use crate::support::{BOT_TOKEN, Node, Setup};

pub struct WallClock {
    file: PathBuf,
    /// Seconds beside the machine's time.
    offset: AtomicI64,
}

impl WallClock {
    /// One that shows the machine's time, for a node whose home is `home`.
    pub fn new(home: &Path) -> Self {
        let clock = Self {
            file: home.join("clock"),
            offset: AtomicI64::new(0),
        };
        clock.tell();
        clock
    }

    /// Starts a node that has this clock on its wall. Its monotonic time is the machine's.
    pub fn start(&self, setup: &Setup) -> Node {
        self.start_with(setup, "FAKETIME_DONT_FAKE_MONOTONIC=1")
    }

    /// Starts a node for which all time passes by this clock, which may not be set back then.
    pub fn start_with_monotonic(&self, setup: &Setup) -> Node {
        self.start_with(setup, "")
    }

    fn start_with(&self, setup: &Setup, more: &str) -> Node {
        let script = format!(
            r#"export FAKETIME_TIMESTAMP_FILE={} FAKETIME_NO_CACHE=1 NO_FAKE_STAT=1 {more}
               export LD_PRELOAD="$LD_PRELOAD $(ls /usr/lib/*/faketime/libfaketimeMT.so.1)"
               exec "$0" "$@""#,
            self.file.display()
        );
        setup.start_through(&script)
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        let offset = self.offset.load(Ordering::SeqCst);
        let now = SystemClock::new().now().as_millis();
        Timestamp::from_millis(now + offset * 1000)
    }

    /// Sets it forward.
    pub fn advance(&self, by: Duration) {
        let seconds = i64::try_from(by.as_secs()).unwrap();
        self.offset.fetch_add(seconds, Ordering::SeqCst);
        self.tell();
    }

    /// Sets it.
    pub fn set(&self, to: Timestamp) {
        let seconds = to.as_seconds() - SystemClock::new().now().as_seconds();
        self.offset.store(seconds, Ordering::SeqCst);
        self.tell();
    }

    /// Sets it to the machine's time.
    pub fn set_right(&self) {
        self.offset.store(0, Ordering::SeqCst);
        self.tell();
    }

    /// A login of the user's that is so old by this clock.
    pub fn token(&self, user: u64, age: Duration) -> String {
        let secret = ksnode::config::SecretText::new(BOT_TOKEN.into());
        ksnode::identity::telegram::sign(&secret, user, self.now().minus(age))
    }

    /// In one step: the node may be reading it.
    fn tell(&self) {
        let new = self.file.with_extension("new");
        let offset = self.offset.load(Ordering::SeqCst);
        std::fs::write(&new, format!("{offset:+}\n")).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }
}
