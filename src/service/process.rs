//! The process itself: its limits, what may be seen of its memory, and the signals it obeys.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Keeps key material out of core files and, on Linux, out of reach of debuggers of the same user. macOS gets the
/// first alone: it has no such switch outside signed binaries.
///
/// A refusal is reported and not fatal: the node is no less correct without.
pub fn protect_memory() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps could not be turned off");
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "the process could not be made undumpable");
        }
    }
}

/// Bytes of memory that the process has at the moment (its resident set); nothing where the system does not tell.
pub fn memory() -> Option<u64> {
    // proc(5): the second number of statm, in pages. There is none but on Linux.
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split_whitespace().nth(1)?.parse().ok()?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    Some(pages.saturating_mul(page))
}

/// Allows as many open files as the system lets this process have: each connection is one.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// The signals that ask the process to end. From [`EndSignals::install`] on they no longer end it by themselves, so it
/// is called before anybody is told that the node serves.
#[derive(Debug)]
pub struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    /// Installs the handlers; within a runtime.
    ///
    /// # Errors
    /// When the system refuses them.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns the name of the signal when the process is asked to end: SIGTERM or SIGINT.
    pub async fn received(mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// SIGHUP, which asks the process to read its files again. From [`HangUps::install`] on it no longer ends the process.
#[derive(Debug)]
pub struct HangUps(Signal);

impl HangUps {
    /// Installs the handler; within a runtime.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Returns at the next one.
    pub async fn received(&mut self) {
        self.0.recv().await;
    }
}
