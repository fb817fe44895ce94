//! The one writer: a thread, a bounded queue, group commit.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::acknowledger::Acknowledger;
use super::checkpoint::Checkpointer;
use super::flushes::Flushes;
use super::readers::Readers;
use super::{ReplicaStanding, StoreError, StoreMetrics, Wait};
use crate::clock::SharedClock;

/// Jobs that share one commit at most. More would lengthen the wait of the first one for little: at 128 rows a
/// commit the flush is already a small part of the cost.
const BATCH: usize = 256;

/// Hands jobs to the writer's thread.
#[derive(Debug)]
pub(super) struct Writer {
    /// A std mutex: held to give a job, never across an await.
    queue: Mutex<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
    length: usize,
    metrics: StoreMetrics,
    flushes: Flushes,
    shipping: Option<Shipping>,
}

/// What the writer does for a replica.
#[derive(Clone, Debug)]
pub(super) struct Shipping {
    newest: watch::Sender<i64>,
    /// Present when answers wait.
    acknowledger: Option<Acknowledger>,
}

impl Shipping {
    pub(super) fn new(
        connection: &Connection,
        waits: Option<Wait>,
        clock: SharedClock,
    ) -> Result<Self, StoreError> {
        let start = |wait: Wait| Acknowledger::start(wait.timeout, wait.on_outage, clock);
        let acknowledger = waits.map(start).transpose();
        Ok(Self {
            newest: watch::Sender::new(newest_change(connection)?),
            acknowledger: acknowledger
                .map_err(|error| StoreError::io(Path::new("thread of the acknowledger"), error))?,
        })
    }

    /// Tells of a commit, and answers its jobs when it is time.
    fn committed(&self, connection: &Connection, jobs: impl Iterator<Item = Box<dyn Job>>) {
        let newest = newest_change(connection).unwrap_or_else(|error| {
            tracing::error!(%error, "the change log cannot be read; the replica hears of these changes with the next ones");
            *self.newest.borrow()
        });
        self.newest.send_if_modified(|known| {
            let changed = *known != newest;
            *known = newest;
            changed
        });
        let Some(acknowledger) = &self.acknowledger else {
            jobs.for_each(|job| job.answer(Ok(())));
            return;
        };
        let (wait, others): (Vec<_>, Vec<_>) = jobs.partition(|job| job.giver() == Giver::Caller);
        others.into_iter().for_each(|job| job.answer(Ok(())));
        acknowledger.hold(newest, wait);
    }
}

/// The number of the newest change.
fn newest_change(connection: &Connection) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT coalesce(max(seq), 0) FROM change")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

#[derive(Debug)]
struct Queue {
    /// `None` once closed.
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    paused: bool,
}

/// Who gives a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Giver {
    /// Anybody; refused during a pause.
    Caller,
    /// Whoever has paused the writes.
    Pause,
    /// What is noted beside the data, as the audit log is: refused during a pause, and waits for no replica.
    Note,
    /// What keeps the change log.
    Log,
}

impl Writer {
    /// Starts the thread, which owns `connection` from now on.
    pub(super) fn start(
        connection: Connection,
        checkpointer: Checkpointer,
        length: usize,
        readers: Arc<Readers>,
        flushes: Flushes,
        metrics: StoreMetrics,
        shipping: Option<Shipping>,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(length);
        let work = Work {
            checkpointer,
            connection,
            readers,
            flushes: flushes.clone(),
            metrics: metrics.clone(),
            shipping: shipping.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || work.run(jobs))
            .map_err(|error| StoreError::io(Path::new("thread of the writer"), error))?;
        Ok(Self {
            queue: Mutex::new(Queue {
                jobs: Some(queue),
                paused: false,
            }),
            thread: Mutex::new(Some(thread)),
            length,
            metrics,
            flushes,
            shipping,
        })
    }

    pub(super) fn newest_change(&self) -> Option<watch::Receiver<i64>> {
        self.shipping
            .as_ref()
            .map(|shipping| shipping.newest.subscribe())
    }

    pub(super) fn replica_stands(&self, standing: ReplicaStanding) {
        let Some(acknowledger) = self.acknowledger() else {
            return;
        };
        match standing {
            ReplicaStanding::Has(seq) => acknowledger.present(seq),
            ReplicaStanding::Away => acknowledger.away(),
            ReplicaStanding::Idle => acknowledger.idle(),
        }
    }

    /// Why nothing is written.
    pub(super) fn trouble(&self) -> Option<String> {
        self.flushes.trouble()
    }

    fn acknowledger(&self) -> Option<&Acknowledger> {
        self.shipping.as_ref()?.acknowledger.as_ref()
    }

    pub(super) async fn submit<T, E>(
        &self,
        giver: Giver,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(TypedJob {
            work: Some(work),
            outcome: None,
            giver,
            reply,
        });
        self.enqueue(giver, job)?;
        match answer.await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Closed.into()),
        }
    }

    fn enqueue(&self, giver: Giver, job: Box<dyn Job>) -> Result<(), StoreError> {
        let queue = self.queue();
        let jobs = queue.jobs.as_ref().ok_or(StoreError::Closed)?;
        if queue.paused && matches!(giver, Giver::Caller | Giver::Note) {
            return Err(StoreError::Paused);
        }
        let refused = self.acknowledger().is_some_and(Acknowledger::refuses);
        if refused && giver == Giver::Caller {
            return Err(StoreError::ReplicaAway);
        }
        jobs.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy {
                waiting: self.length,
            },
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        self.metrics.waiting.inc();
        Ok(())
    }

    /// Refuses the jobs of callers until [`Self::resume`]. Those given before are still done.
    pub(super) fn pause(&self) {
        self.queue().paused = true;
    }

    pub(super) fn resume(&self) {
        self.queue().paused = false;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses new jobs and returns when all that waited are answered and the database is closed.
    pub(super) async fn close(&self) {
        drop(self.queue().jobs.take());
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the writer did not end cleanly; committed writes are safe");
            }
        }
    }
}

/// A write of any result type.
pub(super) trait Job: Send {
    /// Who gave it.
    fn giver(&self) -> Giver;

    /// Does the work inside the open transaction. False: roll back what it did.
    fn run(&mut self, connection: &Connection) -> bool;

    /// Tells the caller, once it is known whether the transaction was committed.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct TypedJob<F, T, E> {
    work: Option<F>,
    outcome: Option<Result<T, E>>,
    giver: Giver,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for TypedJob<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn giver(&self) -> Giver {
        self.giver
    }

    fn run(&mut self, connection: &Connection) -> bool {
        // A caller that went away while waiting (a closed connection) gets nothing done in its name.
        if self.reply.is_closed() {
            return true;
        }
        if let Some(work) = self.work.take() {
            // A panic in one job must not take the writer, and with it the node's writes, down.
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| work(connection)));
            self.outcome = outcome.ok();
        }
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = match (self.outcome, committed) {
            // Whatever came of it may rest on what its neighbours wrote, which is undone, or which the replica does not
            // have: "this key is known already" must not be said of a share that is nowhere.
            (_, Err(error)) => Err(error.into()),
            (Some(outcome), Ok(())) => outcome,
            // It panicked; its neighbours were committed.
            (None, Ok(())) => Err(StoreError::Panicked.into()),
        };
        // The caller may be gone; what was written stays written.
        let _ = self.reply.send(outcome);
    }
}

/// What the thread works with.
struct Work {
    connection: Connection,
    checkpointer: Checkpointer,
    readers: Arc<Readers>,
    flushes: Flushes,
    metrics: StoreMetrics,
    shipping: Option<Shipping>,
}

impl Work {
    fn run(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        let mut batch: Vec<Box<dyn Job>> = Vec::with_capacity(BATCH);
        while let Some(first) = jobs.blocking_recv() {
            batch.push(first);
            while batch.len() < BATCH {
                let Ok(next) = jobs.try_recv() else { break };
                batch.push(next);
            }
            self.work(&mut batch);
        }
        self.checkpointer.finish();
        if let Err((_, error)) = self.connection.close() {
            tracing::error!(%error, "the database did not close cleanly; committed writes are safe");
        }
    }

    /// Commits the batch and answers it.
    fn work(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        let size = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        self.metrics.waiting.dec_by(i64::from(size));
        self.metrics.batch.observe(f64::from(size));
        let trusted = self.make_good();
        let committed = trusted.and_then(|()| self.commit(batch));
        self.readers.committed();
        match &self.shipping {
            Some(shipping) if committed.is_ok() => {
                shipping.committed(&self.connection, batch.drain(..));
            }
            _ => {
                for job in batch.drain(..) {
                    job.answer(committed.clone());
                }
            }
        }
        self.checkpointer
            .after_commit(&self.connection, &self.readers);
        // At once, so that one failure of a disk that is well again costs one group. What fails is told of in the log.
        let _ = self.make_good();
    }

    fn make_good(&self) -> Result<(), StoreError> {
        let trusted = self.flushes.make_good(&self.connection, &self.readers);
        self.metrics.refusing.set(i64::from(trusted.is_err()));
        trusted
    }

    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        let committed = commit(&mut self.connection, batch);
        match &committed {
            Ok(()) => {
                let writes = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                self.metrics.done.inc_by(writes);
            }
            Err(error) => {
                self.metrics.failures.inc();
                self.flushes.note(error);
                tracing::error!(%error, writes = batch.len(), "a group of writes could not be committed and none was acknowledged; has the disk room, and is it well?");
            }
        }
        committed
    }
}

/// Runs the batch in one transaction, each job in a savepoint of its own. An error means that nothing was written.
fn commit(connection: &mut Connection, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in batch {
        transaction.prepare_cached("SAVEPOINT job")?.execute([])?;
        let keep = job.run(&transaction);
        // Some errors (disk full, I/O) make SQLite roll back everything, the neighbours' jobs too.
        if transaction.is_autocommit() {
            return Err(StoreError::GroupUndone);
        }
        if !keep {
            transaction.prepare_cached("ROLLBACK TO job")?.execute([])?;
        }
        transaction.prepare_cached("RELEASE job")?.execute([])?;
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests;
