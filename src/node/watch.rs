//! What the service manager is told while the node runs: how it is, and that it lives.
//!
//! A node lives when its runtime runs tasks, its writer answers and a reader answers. Any answer counts: that writes are
//! paused for a restore, that the queue is full, that the database is closed or damaged. A restart mends none of these,
//! and would cut off what is under way. What a restart can mend is a thread that hangs.
//!
//! An answer may take as long as the whole of the manager's interval: flushes of a slow disk take seconds. So the
//! writer and the readers are asked by tasks of their own, and a sign of life is given as long as nobody has been silent
//! for so long. What takes long in a node (backup copies, integrity checks, proofs of a restore) is done by other
//! threads and is not asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::clock::SharedClock;
use crate::desk::Desk;
use crate::http::Current;
use crate::service::notify::Manager;
use crate::store::{Store, StoreError};

/// How often the manager is told how the node is.
const TELL: Duration = Duration::from_secs(30);

/// Tells the service manager.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) manager: Manager,
    pub(super) current: Current,
    pub(super) desk: Desk,
    pub(super) clock: SharedClock,
}

impl Watch {
    /// Tells it until it is dropped.
    pub(super) async fn run(self) {
        if self.manager.is_there() {
            let watchdog = self.manager.watchdog();
            tokio::join!(self.tell(), async {
                if let Some(limit) = watchdog {
                    self.give_signs(limit).await;
                }
            });
        }
    }

    /// How it is, when that has changed.
    async fn tell(&self) {
        let mut every = interval(TELL);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = String::new();
        loop {
            every.tick().await;
            let status = self.desk.status_line().await;
            if status != told {
                self.manager.status(&status);
                told = status;
            }
        }
    }

    async fn give_signs(&self, limit: Duration) {
        let pause = limit / 3;
        let asked = [Asked::new("the writer"), Asked::new("the readers")].map(Arc::new);
        let [writer, readers] = asked.clone();
        let mut asking = JoinSet::new();
        asking.spawn(ask_writer(
            self.current.clone(),
            writer,
            self.clock.clone(),
            pause,
        ));
        asking.spawn(ask_readers(
            self.current.clone(),
            readers,
            self.clock.clone(),
            pause,
        ));
        let mut every = interval(pause);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent = None;
        loop {
            every.tick().await;
            let now = self.clock.monotonic();
            let found = asked.iter().find(|asked| asked.waiting(now) >= limit);
            match found {
                None => self.manager.alive(),
                Some(found) if silent != Some(found.who) => tracing::error!(
                    seconds = limit.as_secs(),
                    "{} of the database has not answered for so long: the service manager is left to restart the node",
                    found.who
                ),
                Some(_) => {}
            }
            silent = found.map(|found| found.who);
        }
    }
}

async fn ask_writer(current: Current, asked: Arc<Asked>, clock: SharedClock, pause: Duration) {
    loop {
        asked.begin(clock.monotonic());
        let _answer = ask_to_write(&current.get().store).await;
        asked.end();
        sleep(pause).await;
    }
}

/// Has nothing written, and so without a flush. Not as a caller, whose answer waits for the replica too: a restart of this
/// node mends no Postgres that hangs.
async fn ask_to_write(store: &Store) -> Result<(), StoreError> {
    store.write_note(|_| Ok(())).await
}

async fn ask_readers(current: Current, asked: Arc<Asked>, clock: SharedClock, pause: Duration) {
    loop {
        asked.begin(clock.monotonic());
        let read = |connection: &rusqlite::Connection| {
            let first = connection.query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |_| Ok(()));
            Ok::<_, StoreError>(first?)
        };
        let _answer = current.get().store.read(read).await;
        asked.end();
        sleep(pause).await;
    }
}

/// Since when somebody owes an answer.
#[derive(Debug)]
struct Asked {
    who: &'static str,
    /// Milliseconds of the monotonic clock, plus one; 0 when nothing is owed.
    since: AtomicU64,
}

impl Asked {
    fn new(who: &'static str) -> Self {
        let since = AtomicU64::new(0);
        Self { who, since }
    }

    fn begin(&self, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.since.store(now.saturating_add(1), Ordering::Relaxed);
    }

    fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    /// How long the answer has been owed.
    fn waiting(&self, now: Duration) -> Duration {
        match self.since.load(Ordering::Relaxed).checked_sub(1) {
            Some(since) => now.saturating_sub(Duration::from_millis(since)),
            None => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::clock::ManualClock;
    use crate::node::{LOGGED, MIGRATIONS};
    use crate::store::{
        FolderLock, OnOutage, ReplicaStanding, Replication, StoreMetrics, StoreOptions, Wait,
    };

    /// A store whose writes wait for a replica for as long as the clock, which nobody moves, stands still.
    fn waiting(folder: &tempfile::TempDir, on_outage: OnOutage) -> Store {
        let waits = Some(Wait {
            timeout: Duration::from_secs(60),
            on_outage,
        });
        let tables = LOGGED;
        let options = StoreOptions {
            replication: Some(Replication { tables, waits }),
            ..StoreOptions::default()
        };
        let lock = FolderLock::take(folder.path()).unwrap();
        let (metrics, clock) = (StoreMetrics::default(), ManualClock::shared());
        Store::open(lock, MIGRATIONS, options, metrics, clock).unwrap()
    }

    #[tokio::test]
    async fn the_writer_answers_while_the_replica_hangs_or_is_away() {
        for on_outage in [OnOutage::Degrade, OnOutage::Refuse] {
            let folder = tempfile::tempdir().unwrap();
            let store = waiting(&folder, on_outage);
            // It is there, and lacks even what there was before the first change.
            store.replica_stands(ReplicaStanding::Has(-1));
            let write = store.write(|_| Ok::<_, StoreError>(()));
            let waits = timeout(Duration::from_millis(50), write).await;
            assert!(waits.is_err(), "a caller's answer waits");
            let answer = timeout(Duration::from_secs(30), ask_to_write(&store)).await;
            answer.expect("the watchdog's does not").unwrap();
            store.replica_stands(ReplicaStanding::Away);
            ask_to_write(&store).await.unwrap();
            store.close().await;
        }
    }

    #[test]
    fn an_answer_is_owed_from_the_question_on() {
        let asked = Asked::new("somebody");
        let at = Duration::from_secs;
        assert_eq!(asked.waiting(at(100)), Duration::ZERO);
        asked.begin(at(0));
        assert_eq!(asked.waiting(at(29)), at(29));
        asked.end();
        assert_eq!(asked.waiting(at(100)), Duration::ZERO);
        asked.begin(at(100));
        assert_eq!(asked.waiting(at(99)), Duration::ZERO);
        assert_eq!(asked.waiting(at(131)), at(31));
    }
}
