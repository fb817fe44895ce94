//! Whoever uses the node while it is attacked.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::memory::resident;
use crate::support::{Node, register_body, token};
use crate::tls::{Roots, ask};

/// What others notice of `attack` on a node in clear, which may take `mebibytes` of its memory and no more: each of them
/// comes over a connection of his own, and gets what he asks for.
#[track_caller]
pub fn during<T>(what: &str, node: &Node, mebibytes: u64, attack: impl FnOnce() -> T) -> T {
    let users = AtomicU64::new(0);
    let ask = || {
        let user = users.fetch_add(1, Ordering::Relaxed);
        if user.is_multiple_of(10) {
            node.post("/keyshare/v2/register", &token(user), &register_body(user))
                .data();
        } else {
            assert_eq!(node.get("/").text, "Ok");
        }
    };
    watched(what, node, mebibytes, ask, attack)
}

/// The same of a node behind TLS.
#[track_caller]
pub fn during_over_tls<T>(
    what: &str,
    (node, roots): (&Node, &Roots),
    mebibytes: u64,
    attack: impl FnOnce() -> T,
) -> T {
    let ask = || assert!(ask(&mut roots.connect(node)).ends_with("\r\n\r\nOk"));
    watched(what, node, mebibytes, ask, attack)
}

#[track_caller]
fn watched<T>(
    what: &str,
    node: &Node,
    mebibytes: u64,
    ask: impl Fn() + Sync,
    attack: impl FnOnce() -> T,
) -> T {
    // So that what the start took and what the first requests need are not taken for the attack's.
    (0..20).for_each(|_| ask());
    let before = resident(node);
    let over = AtomicBool::new(false);
    let (result, mut times, most) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = before;
            while !over.load(Ordering::Relaxed) {
                most = most.max(resident(node));
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let asker = scope.spawn(|| {
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                ask();
                times.push(asked.elapsed());
            }
            times
        });
        // Even when it panics, so that the others end.
        let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attack));
        over.store(true, Ordering::Relaxed);
        let (times, most) = (asker.join().unwrap(), watcher.join().unwrap());
        let result = attacked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (result, times, most)
    });
    // What comes afterwards is served as if nothing had been.
    ask();
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let mebi = |bytes: u64| bytes >> 20;
    println!(
        "{what}: {} others served, p50 {:?}, p99 {:?}, longest {:?}; memory {} MiB before, {} MiB at most",
        times.len(),
        at(50),
        at(99),
        at(100),
        mebi(before),
        mebi(most)
    );
    assert!(
        mebi(most.saturating_sub(before)) <= mebibytes,
        "{what} took {} MiB",
        mebi(most - before)
    );
    result
}
