//! Where log records go: the terminal or the journal always, daily files besides when a folder is configured.
//!
//! Records are written by threads of their own, so that a slow terminal or disk never holds up a request; when too much
//! waits, further records are dropped and counted rather than memory used without bound (`batched`).

mod batched;
mod counted;
mod daily;
mod gate;
mod priority;
mod recent;

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::clock::SharedClock;
use crate::config::{Log, LogFormat};
use batched::{Flusher, batched};
pub use counted::{Counted, Noted, counted};
use daily::DailyFile;
use priority::Prioritised;
use recent::Recording;
pub use recent::{Found, REQUESTS, Recorded, Search, recent};

/// Logging that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The folder of the daily files.
    #[error("log.dir = {path}: {source}; create the folder for the user that runs ksnode, or set another one", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The level's directives.
    #[error("log.level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// The thread that writes records.
    #[error("logging needs a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// Something logs already.
    #[error("logging was set up twice")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps the writing threads alive; dropping it writes what still waits.
#[derive(Debug)]
pub struct Logging {
    _flushers: Vec<Flusher>,
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Sets up logging for the process.
///
/// # Errors
/// [`LoggingError`].
pub fn start(config: &Log, clock: SharedClock) -> Result<Logging, LoggingError> {
    let (terminal, flusher) = batched("log-terminal", std::io::stderr())?;
    let mut flushers = vec![flusher];
    let colours = std::io::stderr().is_terminal();
    // The journal notes the time itself, and is told how bad each record is.
    let mut layers = vec![if is_journal(std::io::stderr().as_fd()) {
        layer(config.format, Prioritised(terminal), false, false)
    } else {
        layer(config.format, terminal, colours, true)
    }];
    if let Some(folder) = &config.dir {
        let file = DailyFile::open(folder, config.keep_days, clock.clone()).map_err(|source| {
            LoggingError::Folder {
                path: folder.clone(),
                source,
            }
        })?;
        let (file, flusher) = batched("log-file", file)?;
        flushers.push(flusher);
        layers.push(layer(config.format, file, false, true));
    }
    layers.push(counted::Counting(clock.clone()).boxed());
    layers.push(Recording::new(clock).boxed());
    let filter = EnvFilter::builder().parse(&config.level)?;
    tracing_subscriber::registry()
        .with(layers.with_filter(filter))
        .try_init()?;
    Ok(Logging {
        _flushers: flushers,
    })
}

/// Whether this is the stream that the service manager connected to the journal, and not one that took its place
/// (systemd.exec(5), `$JOURNAL_STREAM`).
fn is_journal(stream: BorrowedFd<'_>) -> bool {
    let Ok(told) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let found = stream.try_clone_to_owned().map(File::from);
    let found = found.and_then(|file| file.metadata());
    found.is_ok_and(|found| told == format!("{}:{}", found.dev(), found.ino()))
}

fn layer<W>(format: LogFormat, to: W, colours: bool, time: bool) -> BoxedLayer
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(to).with_ansi(colours);
    match (format, time) {
        (LogFormat::Json, _) => layer.json().flatten_event(true).boxed(),
        (LogFormat::Text, true) => layer.boxed(),
        (LogFormat::Text, false) => layer.without_time().boxed(),
    }
}
