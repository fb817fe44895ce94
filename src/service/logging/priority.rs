//! Records for the journal: each begins with how bad it is, in the form of sd-daemon(3), so that `journalctl -p warning`
//! finds what it is asked for. Without it all records have the same priority there.

use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Writes records with their priority before them; the journal takes it off.
#[derive(Clone, Debug)]
pub(super) struct Prioritised<W>(pub(super) W);

/// Writes one record.
#[derive(Debug)]
pub(super) struct Record<W> {
    to: W,
    /// Of syslog(3).
    priority: u8,
}

impl<W: Write> Write for Record<W> {
    /// A record comes whole, and is handed on whole: others are written beside it.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let mut prioritised = format!("<{}>", self.priority).into_bytes();
        prioritised.extend_from_slice(record);
        self.to.write_all(&prioritised)?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Prioritised<W> {
    type Writer = Record<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Record {
            to: self.0.make_writer(),
            priority: priority(Level::INFO),
        }
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Self::Writer {
        Record {
            to: self.0.make_writer_for(of),
            priority: priority(*of.level()),
        }
    }
}

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::layer;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_record_tells_how_bad_it_is() {
        let kept = Kept::default();
        let written = kept.0.clone();
        let to = Prioritised(move || kept.clone());
        let layer = layer().with_writer(to).with_ansi(false).without_time();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!("a");
            tracing::error!("b");
            tracing::info!("c");
        });
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let begins: Vec<&str> = text.lines().map(|line| &line[..3]).collect();
        assert_eq!(begins, ["<4>", "<3>", "<6>"]);
    }
}
