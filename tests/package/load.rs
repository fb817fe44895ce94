//! Clients that do not stop while something happens to the node.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::client;
use crate::node::Node;
use crate::users;

/// How many clients there are.
const CLIENTS: u64 = 4;

/// What they saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// The users whose registration was acknowledged.
    pub registered: Vec<u64>,
    /// Requests of any kind that were answered with success.
    pub answered: usize,
    /// Everything else: refused and cut connections, other answers. Nothing is tried again.
    pub failed: Vec<String>,
    /// The longest that one request took.
    pub longest: Duration,
}

/// Has clients register users, numbered from `first`, and ask for the status, each request on a connection of its own,
/// from some time before `work` to some time after it.
pub fn during<T>(node: &Node<'_>, first: u64, work: impl FnOnce() -> T) -> (T, Seen) {
    let (next, stop, port) = (AtomicU64::new(first), AtomicBool::new(false), node.port);
    let client = || {
        node.machine.within(|| {
            let mut seen = Seen::default();
            while !stop.load(Ordering::Relaxed) {
                one_round(port, next.fetch_add(1, Ordering::Relaxed), &mut seen);
            }
            seen
        })
    };
    let wait_for_more = |users: u64| {
        let goal = next.load(Ordering::Relaxed) + users;
        crate::wait::wait_for("clients to be served", || {
            (next.load(Ordering::Relaxed) >= goal).then_some(())
        });
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        // A panic must end the clients too, or the scope would wait for them for ever.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for_more(50);
            let done = work();
            wait_for_more(50);
            done
        }));
        stop.store(true, Ordering::Relaxed);
        let seen = clients.into_iter().map(|client| client.join().unwrap());
        let seen = seen.fold(Seen::default(), Seen::and);
        match done {
            Ok(done) => (done, seen),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// A registration and a question.
fn one_round(port: u16, user: u64, seen: &mut Seen) {
    let (token, body) = (users::token(user), users::register_body(user));
    if seen.ask(|| client::post(port, "/keyshare/v2/register", &token, &body)) {
        seen.registered.push(user);
    }
    seen.ask(|| client::get(port, "/status"));
}

impl Seen {
    fn ask(&mut self, request: impl FnOnce() -> std::io::Result<client::Answer>) -> bool {
        let begun = Instant::now();
        let outcome = request();
        self.longest = self.longest.max(begun.elapsed());
        match outcome {
            Ok(answer) if answer.status == 200 => {
                self.answered += 1;
                return true;
            }
            Ok(answer) => self.failed.push(format!("{answer:?}")),
            Err(error) => self.failed.push(error.to_string()),
        }
        // What is refused is refused at once.
        std::thread::sleep(Duration::from_millis(5));
        false
    }

    fn and(mut self, other: Self) -> Self {
        self.registered.extend(other.registered);
        self.answered += other.answered;
        self.failed.extend(other.failed);
        self.longest = self.longest.max(other.longest);
        self
    }
}
