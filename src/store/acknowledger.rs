//! Answers that wait for the replica.
//!
//! With `ack = "replica"` a write is answered once the replica has it. The writer goes on meanwhile: it hands the answers
//! of a commit, with the number of its newest change, to a thread that keeps them until that number is reached.
//! Everything that decides their fate (reached, the replica is away, the time is over) goes through one channel, so that
//! there is an order and no lock.
//!
//! Answers that changed nothing wait as well: "this key is known already" tells a client that its share is safe, and
//! that must not be said of a share that only this machine has.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::writer::Job;
use super::{OnOutage, StoreError};
use crate::clock::SharedClock;

/// How long the thread sleeps when nothing waits.
const IDLE: Duration = Duration::from_secs(60);

/// The way to the thread. Cheap to clone; the thread ends with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Acknowledger {
    messages: Sender<Message>,
    shared: Arc<Shared>,
    on_outage: OnOutage,
}

#[derive(Debug)]
struct Shared {
    /// The replica has all changes until here.
    reached: AtomicI64,
    /// Nobody ships: not yet, or no longer.
    idle: AtomicBool,
    /// The replica is known to be away.
    away: AtomicBool,
}

enum Message {
    Hold { seq: i64, jobs: Vec<Box<dyn Job>> },
    Look,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl Acknowledger {
    /// Starts the thread. Until [`Self::present`] or [`Self::away`] is said nothing waits: a node that starts or a
    /// command on a stopped one writes without a replica.
    pub(super) fn start(
        timeout: Duration,
        on_outage: OnOutage,
        clock: SharedClock,
    ) -> std::io::Result<Self> {
        let (messages, incoming) = channel();
        let shared = Arc::new(Shared {
            reached: AtomicI64::new(0),
            idle: AtomicBool::new(true),
            away: AtomicBool::new(false),
        });
        let keeper = Keeper {
            waiting: VecDeque::new(),
            shared: shared.clone(),
            timeout,
            on_outage,
            clock,
        };
        std::thread::Builder::new()
            .name("acknowledger".into())
            .spawn(move || keeper.run(&incoming))?;
        Ok(Self {
            messages,
            shared,
            on_outage,
        })
    }

    /// Answers committed jobs once the replica has `seq`.
    pub(super) fn hold(&self, seq: i64, jobs: Vec<Box<dyn Job>>) {
        let shared = &self.shared;
        let at_once = shared.idle.load(Ordering::Acquire)
            || shared.reached.load(Ordering::Acquire) >= seq
            || (shared.away.load(Ordering::Acquire) && self.on_outage == OnOutage::Degrade);
        if at_once {
            jobs.into_iter().for_each(|job| job.answer(Ok(())));
            return;
        }
        if let Err(refused) = self.messages.send(Message::Hold { seq, jobs })
            && let Message::Hold { jobs, .. } = refused.0
        {
            jobs.into_iter().for_each(|job| job.answer(Ok(())));
        }
    }

    /// Whether writes are refused before they are begun.
    pub(super) fn refuses(&self) -> bool {
        self.on_outage == OnOutage::Refuse && self.shared.away.load(Ordering::Acquire)
    }

    /// The replica has everything until `seq`, and is there.
    pub(super) fn present(&self, seq: i64) {
        self.shared.reached.store(seq, Ordering::Release);
        self.say(false, false);
    }

    /// The replica is away.
    pub(super) fn away(&self) {
        self.say(false, true);
    }

    /// Nobody ships any more: what waits is answered as in an outage.
    pub(super) fn idle(&self) {
        self.say(true, true);
    }

    fn say(&self, idle: bool, away: bool) {
        self.shared.idle.store(idle, Ordering::Release);
        self.shared.away.store(away, Ordering::Release);
        // The thread is gone only when nothing can wait.
        let _ = self.messages.send(Message::Look);
    }
}

struct Waiting {
    seq: i64,
    until: Duration,
    jobs: Vec<Box<dyn Job>>,
}

struct Keeper {
    /// In the order of their numbers, and so of their times.
    waiting: VecDeque<Waiting>,
    shared: Arc<Shared>,
    timeout: Duration,
    on_outage: OnOutage,
    clock: SharedClock,
}

impl Keeper {
    fn run(mut self, incoming: &Receiver<Message>) {
        loop {
            let now = self.clock.monotonic();
            let patience = self
                .waiting
                .front()
                .map_or(IDLE, |first| first.until.saturating_sub(now));
            match incoming.recv_timeout(patience) {
                Ok(Message::Hold { seq, jobs }) => self.waiting.push_back(Waiting {
                    seq,
                    // Not `now`, from before the wait.
                    until: self.clock.monotonic().saturating_add(self.timeout),
                    jobs,
                }),
                Ok(Message::Look) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.give_up_until(Duration::MAX);
                    return;
                }
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let reached = self.shared.reached.load(Ordering::Acquire);
        while let Some(first) = self.waiting.pop_front_if(|first| first.seq <= reached) {
            first.jobs.into_iter().for_each(|job| job.answer(Ok(())));
        }
        if self.shared.away.load(Ordering::Acquire) {
            self.give_up_until(Duration::MAX);
        } else if self.give_up_until(self.clock.monotonic()) {
            // One that hangs is as good as away until it is heard of again.
            self.shared.away.store(true, Ordering::Release);
            self.give_up_until(Duration::MAX);
        }
    }

    /// Answers what waits, until that moment, for a replica that did not come. False: nothing did.
    fn give_up_until(&mut self, moment: Duration) -> bool {
        let mut answers = 0_usize;
        while let Some(first) = self.waiting.pop_front_if(|first| first.until <= moment) {
            answers = answers.saturating_add(first.jobs.len());
            for job in first.jobs {
                job.answer(match self.on_outage {
                    OnOutage::Degrade => Ok(()),
                    OnOutage::Refuse => Err(StoreError::ReplicaAway),
                });
            }
        }
        if answers > 0 {
            tracing::warn!(
                answers,
                on_outage = ?self.on_outage,
                "writes that are on this machine's disk were answered before the replica had them"
            );
        }
        answers > 0
    }
}
