//! Where log records go: the terminal or the journal always, daily files besides when a folder is configured.
//!
//! Records are written by a thread of their own, so that a slow terminal or disk never holds up a request; when more
//! than `LINES` wait, further ones are dropped and counted rather than memory used without bound.

mod daily;

use std::io::{BufWriter, IsTerminal};
use std::path::PathBuf;

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::clock::SharedClock;
use crate::config::{Log, LogFormat};
use daily::DailyFile;

/// Records that may wait to be written: some 2 MB.
const LINES: usize = 8192;
/// Bytes of records that one write takes.
const BUFFER: usize = 64 * 1024;

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
    /// Something logs already.
    #[error("logging was set up twice")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps the writing threads alive; dropping it writes what still waits.
#[derive(Debug)]
pub struct Logging {
    _guards: Vec<WorkerGuard>,
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Sets up logging for the process.
///
/// # Errors
/// [`LoggingError`].
pub fn start(config: &Log, clock: SharedClock) -> Result<Logging, LoggingError> {
    let (terminal, guard) = writer("log-terminal", std::io::stderr());
    let mut guards = vec![guard];
    let colours = std::io::stderr().is_terminal();
    // The journal notes the time itself.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let mut layers = vec![layer(config.format, terminal, colours, !journal)];
    if let Some(folder) = &config.dir {
        let file = DailyFile::open(folder, config.keep_days, clock).map_err(|source| {
            LoggingError::Folder {
                path: folder.clone(),
                source,
            }
        })?;
        let (file, guard) = writer("log-file", file);
        guards.push(guard);
        layers.push(layer(config.format, file, false, true));
    }
    let filter = EnvFilter::builder().parse(&config.level)?;
    tracing_subscriber::registry()
        .with(layers.with_filter(filter))
        .try_init()?;
    Ok(Logging { _guards: guards })
}

fn writer(name: &str, to: impl std::io::Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    // The thread flushes when nothing waits: under load many records share one write.
    NonBlockingBuilder::default()
        .buffered_lines_limit(LINES)
        .thread_name(name)
        .finish(BufWriter::with_capacity(BUFFER, to))
}

fn layer(format: LogFormat, to: NonBlocking, colours: bool, time: bool) -> BoxedLayer {
    let layer = fmt::layer().with_writer(to).with_ansi(colours);
    match (format, time) {
        (LogFormat::Json, _) => layer.json().flatten_event(true).boxed(),
        (LogFormat::Text, true) => layer.boxed(),
        (LogFormat::Text, false) => layer.without_time().boxed(),
    }
}
