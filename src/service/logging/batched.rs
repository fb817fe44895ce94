//! Log records on their way out: collected in memory, written by a thread of their own a few times a second.
//!
//! A record costs its request a lock and a copy. tracing-appender's channel wakes its thread for every record, and that
//! system call with the two switches of context it causes was a third of what a request cost.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How long records gather before they are written.
const GATHER: Duration = Duration::from_millis(20);
/// Bytes that may wait. More are dropped and counted: a terminal that hangs must not use up the memory.
const WAITING_BYTES: usize = 2 * 1024 * 1024;

/// Where records are put. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Batched(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// A std mutex: held for a copy, never across an await.
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    dropped: u64,
    ended: bool,
}

/// Writes what still waits when it is dropped.
#[derive(Debug)]
pub(super) struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread `name`, which writes to `to`.
///
/// # Errors
/// The system gives no thread.
pub(super) fn batched(
    name: &str,
    to: impl Write + Send + 'static,
) -> io::Result<(Batched, Flusher)> {
    let shared = Arc::new(Shared {
        waiting: Mutex::default(),
        changed: Condvar::new(),
    });
    let seen = shared.clone();
    let thread = std::thread::Builder::new()
        .name(name.into())
        .spawn(move || seen.write_to(to))?;
    let flusher = Flusher {
        shared: shared.clone(),
        thread: Some(thread),
    };
    Ok((Batched(shared), flusher))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, record: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes.len().saturating_add(record.len()) > WAITING_BYTES {
            waiting.dropped = waiting.dropped.saturating_add(1);
            return;
        }
        // Only the first record of a batch wakes the thread; the others find it awake.
        let first = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(record);
        drop(waiting);
        if first {
            self.changed.notify_one();
        }
    }

    /// The thread's work, until the flusher is dropped.
    fn write_to(&self, mut to: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut waiting = self.lock();
            while waiting.bytes.is_empty() && !waiting.ended {
                waiting = self
                    .changed
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if !waiting.ended {
                // Also a notification that ends it early is welcome: it means that all ends.
                let gathered = self.changed.wait_timeout(waiting, GATHER);
                waiting = gathered.unwrap_or_else(PoisonError::into_inner).0;
            }
            std::mem::swap(&mut batch, &mut waiting.bytes);
            let dropped = std::mem::take(&mut waiting.dropped);
            let ended = waiting.ended;
            drop(waiting);
            if dropped > 0 {
                batch.extend_from_slice(format!("{dropped} log records were dropped\n").as_bytes());
            }
            // A log that cannot be written has nowhere to say so, and must not stop the node.
            let _ = to.write_all(&batch).and_then(|()| to.flush());
            batch.clear();
            if ended {
                return;
            }
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked, and at the end of the process nobody is left to be told.
            let _ = thread.join();
        }
    }
}

impl Write for Batched {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.0.add(record);
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Batched {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A sink that waits for leave before each write and tells what it was given.
    struct Gate {
        leave: Receiver<()>,
        written: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.leave.recv();
            let text = String::from_utf8_lossy(bytes).into_owned();
            let _ = self.written.send(text);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Batched, Flusher, Sender<()>, Receiver<String>) {
        let (allow, leave) = channel();
        let (written, seen) = channel();
        let (log, flusher) = batched("log-test", Gate { leave, written }).unwrap();
        (log, flusher, allow, seen)
    }

    #[test]
    fn records_come_out_in_order_and_the_last_ones_at_the_end() {
        let (mut log, flusher, allow, seen) = gated();
        drop(allow);
        for number in 0..1000 {
            writeln!(log, "{number}").unwrap();
        }
        drop(flusher);
        drop(log);
        let all: String = seen.iter().collect();
        let numbers: Vec<u32> = all.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_sink_that_hangs_costs_records_and_no_memory() {
        let (mut log, flusher, allow, seen) = gated();
        let record = [b'x'; 1024];
        for _ in 0..10_000 {
            log.write_all(&record).unwrap();
        }
        assert!(log.0.lock().bytes.len() <= WAITING_BYTES);
        drop(allow);
        drop(flusher);
        drop(log);
        let all: String = seen.iter().collect();
        assert!(all.contains(" log records were dropped\n"));
    }
}
