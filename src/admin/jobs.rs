//! What takes minutes: it is begun by one request, goes on by itself, and its progress is asked for by others.
//!
//! The list is in memory. What ended is kept until newer jobs take its place; what was done is in the history of backups and
//! in the audit log in any case.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::PageError;
use super::pages::Page;
use crate::backup::{Progress, Step};
use crate::clock::{SharedClock, Timestamp};
use crate::crypto::random_id;
use crate::desk::{BackupEntry, DeskError, ReplicaCompared, ReplicaState, Restored, VerifiedFile};

/// Jobs at once. Most of them are backups and restores, of which the node does one at a time anyway.
const RUNNING: usize = 8;
/// Jobs that ended and are still told of.
const ENDED: usize = 40;

/// What came of a job.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A backup was made.
    Made(BackupEntry),
    /// A backup was verified again.
    Verified(VerifiedFile),
    /// Backups that retention no longer keeps were deleted.
    Pruned(Vec<BackupEntry>),
    /// What a restore would do.
    Compared {
        /// The backup's id.
        id: Uuid,
        /// What it would do.
        restored: Restored,
    },
    /// The data was replaced.
    Restored(Restored),
    /// The replica is being filled anew.
    Resynced(ReplicaState),
    /// The replica was compared.
    ReplicaCompared(ReplicaCompared),
}

/// How a job stands.
#[derive(Clone, Debug)]
pub struct JobFacts {
    /// Its id, which is in the address of its page.
    pub id: Uuid,
    /// What is done, as a title: `Make a backup`.
    pub title: String,
    /// The page that it was begun on.
    pub(super) page: Page,
    /// When it was begun.
    pub begun: Timestamp,
    /// When it ended; absent while it runs.
    pub ended: Option<Timestamp>,
    /// The phases that it went through, each as far as it came; the last one is under way.
    pub steps: Vec<Step>,
    /// What came of it, or why nothing did; absent while it runs.
    pub result: Option<Result<Outcome, String>>,
}

/// All jobs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// A std mutex: held for a look-up, never across an await.
    list: Arc<Mutex<VecDeque<JobFacts>>>,
    clock: SharedClock,
}

impl Jobs {
    /// None yet.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            list: Arc::default(),
            clock,
        }
    }

    /// Begins `work`, which goes on whatever becomes of the one who asked for it.
    pub(super) fn start<F>(
        &self,
        title: impl Into<String>,
        page: Page,
        work: impl FnOnce(Progress) -> F,
    ) -> Result<Uuid, PageError>
    where
        F: Future<Output = Result<Outcome, DeskError>> + Send + 'static,
    {
        let id = random_id()?;
        {
            let mut list = self.lock();
            let running = list.iter().filter(|job| job.result.is_none()).count();
            if running >= RUNNING {
                return Err(PageError::Later(
                    "Many jobs are under way; try again when one of them has ended.",
                ));
            }
            list.push_front(JobFacts {
                id,
                title: title.into(),
                page,
                begun: self.clock.now(),
                ended: None,
                steps: Vec::new(),
                result: None,
            });
            make_room(&mut list);
        }
        let watched = self.clone();
        let progress = Progress::new(move |step| watched.change(id, |job| note(job, step)));
        let work = tokio::spawn(work(progress));
        let jobs = self.clone();
        tokio::spawn(async move {
            let result = match work.await {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(error) => {
                    tracing::error!(%error, "a job of the admin page broke off");
                    Err("the node failed at it; its log says more".to_owned())
                }
            };
            let ended = jobs.clock.now();
            jobs.change(id, |job| {
                job.ended = Some(ended);
                job.result = Some(result);
            });
        });
        Ok(id)
    }

    /// The job of that id.
    pub fn find(&self, id: Uuid) -> Option<JobFacts> {
        self.lock().iter().find(|job| job.id == id).cloned()
    }

    /// All of them, the newest first.
    pub fn list(&self) -> Vec<JobFacts> {
        self.lock().iter().cloned().collect()
    }

    fn change(&self, id: Uuid, change: impl FnOnce(&mut JobFacts)) {
        if let Some(job) = self.lock().iter_mut().find(|job| job.id == id) {
            change(job);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<JobFacts>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(job: &mut JobFacts, step: Step) {
    match job.steps.last_mut().filter(|last| last.phase == step.phase) {
        Some(last) => *last = step,
        None => job.steps.push(step),
    }
}

/// Forgets the oldest that ended.
fn make_room(list: &mut VecDeque<JobFacts>) {
    let mut ended = 0_usize;
    list.retain(|job| {
        ended = ended.saturating_add(usize::from(job.result.is_some()));
        job.result.is_none() || ended <= ENDED
    });
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::backup::{BackupError, Phase};
    use crate::clock::ManualClock;

    fn jobs() -> Jobs {
        Jobs::new(ManualClock::shared())
    }

    async fn ended(jobs: &Jobs, id: Uuid) -> JobFacts {
        loop {
            let job = jobs.find(id).unwrap();
            if job.result.is_some() {
                return job;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_job_tells_how_far_it_is_and_what_came_of_it() {
        let jobs = jobs();
        let (finish, wait) = oneshot::channel::<()>();
        let id = jobs
            .start("Clean up", Page::Backups, |progress| async move {
                progress.tell(Phase::Copy, 1, 2);
                progress.tell(Phase::Copy, 2, 2);
                progress.tell(Phase::Check, 1, 9);
                wait.await.unwrap();
                Ok(Outcome::Pruned(Vec::new()))
            })
            .unwrap();
        while jobs.find(id).unwrap().steps.len() < 2 {
            tokio::task::yield_now().await;
        }
        let job = jobs.find(id).unwrap();
        assert_eq!(
            job.steps.iter().map(|step| step.done).collect::<Vec<_>>(),
            [2, 1]
        );
        assert!(job.result.is_none() && job.ended.is_none());
        finish.send(()).unwrap();
        let job = ended(&jobs, id).await;
        assert!(matches!(job.result, Some(Ok(Outcome::Pruned(_)))));
        assert!(job.ended.is_some());
    }

    #[tokio::test]
    async fn one_that_fails_or_breaks_off_ends_too() {
        let jobs = jobs();
        let failing = jobs
            .start("Fail", Page::Backups, |_| async {
                Err(BackupError::Busy.into())
            })
            .unwrap();
        let breaking = jobs
            .start("Break", Page::Backups, |_| async { panic!("on purpose") })
            .unwrap();
        let busy = BackupError::Busy.to_string();
        assert_eq!(
            ended(&jobs, failing).await.result.unwrap().unwrap_err(),
            busy
        );
        let broken = ended(&jobs, breaking).await.result.unwrap().unwrap_err();
        assert!(broken.contains("log"), "{broken}");
    }

    #[tokio::test]
    async fn their_number_is_bounded() {
        let jobs = jobs();
        let pruned = |_| async { Ok(Outcome::Pruned(Vec::new())) };
        let mut first = None;
        for _ in 0..ENDED + 5 {
            let id = jobs.start("Clean up", Page::Backups, pruned).unwrap();
            ended(&jobs, id).await;
            first.get_or_insert(id);
        }
        assert_eq!(jobs.list().len(), ENDED + 1);
        assert!(jobs.find(first.unwrap()).is_none());
        for _ in 0..RUNNING {
            jobs.start("Wait", Page::Backups, |_| std::future::pending())
                .unwrap();
        }
        let refused = jobs.start("Wait", Page::Backups, pruned);
        assert!(matches!(refused, Err(PageError::Later(_))));
    }
}
