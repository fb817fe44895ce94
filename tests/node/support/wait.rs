//! Waiting for what happens elsewhere, without a guess how long it takes.

use std::time::{Duration, Instant};

/// Polls until there is a value; two minutes are for ever here, beside other tests on a slow machine.
#[track_caller]
pub fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(120) {
        if let Some(value) = poll() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("waited two minutes for {what}");
}
