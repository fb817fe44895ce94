//! Answers that wait for the replica.
//!
//! With `ack = "replica"` a write is answered once the replica has it. The writer goes on meanwhile: it hands the answers
//! of a commit, with the number of its newest change, to a thread that keeps them until that number is reached.
//! What decides their fate (reached, the replica is away, the time is over) is one value behind one lock: whoever changes
//! it knows what it was, and news is never overwritten by what was decided before it came. Answers are given outside of it,
//! by that thread, which is told of each change.
//!
//! Answers that changed nothing wait as well: "this key is known already" tells a client that its share is safe, and
//! that must not be said of a share that only this machine has.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
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
    standing: Shared,
    on_outage: OnOutage,
}

/// How the replica stands.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// It has all changes until here.
    reached: i64,
    /// Nobody ships: not yet, or no longer.
    idle: bool,
    /// It is known to be away.
    away: bool,
}

/// A std mutex: it is held for an assignment, never while something is answered.
#[derive(Clone, Debug)]
struct Shared(Arc<Mutex<Standing>>);

impl Shared {
    fn get(&self) -> Standing {
        self.change(|_| {})
    }

    /// Changes it, and returns what it is then.
    fn change(&self, change: impl FnOnce(&mut Standing)) -> Standing {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut standing);
        *standing
    }
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
        let (acknowledger, keeper, incoming) = Self::with_keeper(timeout, on_outage, clock);
        std::thread::Builder::new()
            .name("acknowledger".into())
            .spawn(move || keeper.run(&incoming))?;
        Ok(acknowledger)
    }

    /// The way, and what is at its end.
    fn with_keeper(
        timeout: Duration,
        on_outage: OnOutage,
        clock: SharedClock,
    ) -> (Self, Keeper, Receiver<Message>) {
        let (messages, incoming) = channel();
        let standing = Shared(Arc::new(Mutex::new(Standing {
            reached: 0,
            idle: true,
            away: false,
        })));
        let keeper = Keeper {
            waiting: VecDeque::new(),
            standing: standing.clone(),
            timeout,
            on_outage,
            clock,
        };
        let acknowledger = Self {
            messages,
            standing,
            on_outage,
        };
        (acknowledger, keeper, incoming)
    }

    /// Answers committed jobs once the replica has `seq`.
    pub(super) fn hold(&self, seq: i64, jobs: Vec<Box<dyn Job>>) {
        let standing = self.standing.get();
        let at_once = standing.idle
            || standing.reached >= seq
            || (standing.away && self.on_outage == OnOutage::Degrade);
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
        self.on_outage == OnOutage::Refuse && self.standing.get().away
    }

    /// The replica has everything until `seq`, and is there.
    pub(super) fn present(&self, seq: i64) {
        self.say(|standing| {
            *standing = Standing {
                reached: seq,
                idle: false,
                away: false,
            };
        });
    }

    /// The replica is away.
    pub(super) fn away(&self) {
        self.say(|standing| (standing.idle, standing.away) = (false, true));
    }

    /// Nobody ships any more: what waits is answered as in an outage.
    pub(super) fn idle(&self) {
        self.say(|standing| (standing.idle, standing.away) = (true, true));
    }

    fn say(&self, news: impl FnOnce(&mut Standing)) {
        self.standing.change(news);
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
    standing: Shared,
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
                    self.give_up();
                    return;
                }
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let (now, waiting) = (self.clock.monotonic(), &self.waiting);
        // One that hangs is as good as away until it is heard of again. Said in the same breath in which it is seen, or it
        // would be said of one that has just come back; and where writes are refused then, nothing is shipped any more
        // that would be heard of.
        let standing = self.standing.change(|standing| {
            let reached = standing.reached;
            let oldest = waiting.iter().find(|waiting| waiting.seq > reached);
            standing.away |= oldest.is_some_and(|waiting| waiting.until <= now);
        });
        let reached = standing.reached;
        while let Some(first) = self.waiting.pop_front_if(|first| first.seq <= reached) {
            first.jobs.into_iter().for_each(|job| job.answer(Ok(())));
        }
        if standing.away {
            self.give_up();
        }
    }

    /// Answers all that waits for a replica that did not come.
    fn give_up(&mut self) {
        let mut answers = 0_usize;
        for job in self.waiting.drain(..).flat_map(|waiting| waiting.jobs) {
            answers = answers.saturating_add(1);
            job.answer(match self.on_outage {
                OnOutage::Degrade => Ok(()),
                OnOutage::Refuse => Err(StoreError::ReplicaAway),
            });
        }
        if answers > 0 {
            tracing::warn!(
                answers,
                on_outage = ?self.on_outage,
                "writes that are on this machine's disk were answered before the replica had them"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::writer::Giver;
    use super::*;
    use crate::clock::ManualClock;

    /// A write that the replica turns out to have while it is given up.
    struct Late(Acknowledger);

    impl Job for Late {
        fn giver(&self) -> Giver {
            Giver::Caller
        }

        fn run(&mut self, _: &Connection) -> bool {
            true
        }

        fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
            let given_up = matches!(committed, Err(StoreError::ReplicaAway));
            assert!(given_up, "{committed:?}");
            self.0.present(1);
        }
    }

    #[test]
    fn news_of_the_replica_outlives_that_it_was_given_up_meanwhile() {
        let (refuse, clock) = (OnOutage::Refuse, ManualClock::shared());
        let (acknowledger, mut keeper, _incoming) =
            Acknowledger::with_keeper(Duration::ZERO, refuse, clock);
        acknowledger.present(0);
        keeper.waiting.push_back(Waiting {
            seq: 1,
            until: Duration::ZERO,
            jobs: vec![Box::new(Late(acknowledger.clone()))],
        });
        keeper.look();
        assert!(keeper.waiting.is_empty());
        assert!(!acknowledger.refuses(), "nothing would ever end this");
        keeper.look();
        assert!(!acknowledger.refuses());
    }

    #[test]
    fn one_that_hangs_is_away_until_it_is_heard_of() {
        let clock = ManualClock::shared();
        let (acknowledger, mut keeper, _incoming) =
            Acknowledger::with_keeper(Duration::ZERO, OnOutage::Refuse, clock.clone());
        acknowledger.present(1);
        let waiting = |seq, seconds| Waiting {
            seq,
            until: Duration::from_secs(seconds),
            jobs: Vec::new(),
        };
        // What it has is not overdue, whenever it was to have it.
        keeper.waiting.extend([waiting(1, 0), waiting(2, 10)]);
        keeper.look();
        assert!(!acknowledger.refuses() && keeper.waiting.len() == 1);
        clock.advance(Duration::from_secs(10));
        keeper.look();
        assert!(acknowledger.refuses() && keeper.waiting.is_empty());
        acknowledger.present(2);
        keeper.look();
        assert!(!acknowledger.refuses());
    }
}
