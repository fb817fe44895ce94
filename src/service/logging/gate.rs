//! How many of the lines that come by the thousand are let through: a few a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Lines a second.
const A_SECOND: u64 = 20;
/// The second's number is kept above these bits, the lines of that second in them.
const COUNT_BITS: u32 = 24;

/// Lets a few through each second. It costs an atomic instruction or two, and takes no lock.
#[derive(Debug)]
pub(super) struct Gate {
    admitted: AtomicU64,
    refused: AtomicU64,
}

impl Gate {
    pub(super) const fn new() -> Self {
        Self {
            admitted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Whether one that comes at `now`, which is monotonic, goes through.
    pub(super) fn admits(&self, now: Duration) -> bool {
        let empty = now.as_secs() << COUNT_BITS;
        let full = empty + A_SECOND;
        let admitted = self
            .admitted
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
                (state < full).then(|| state.max(empty) + 1)
            });
        if admitted.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        admitted.is_ok()
    }

    /// How many were not let through until now.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_go_through_each_second() {
        let gate = Gate::new();
        for second in [0, 1, 2, 100] {
            let at = Duration::from_millis(second * 1000 + 500);
            let admitted = (0..1000).filter(|_| gate.admits(at)).count();
            assert_eq!(u64::try_from(admitted).unwrap(), A_SECOND, "{second}");
        }
        assert_eq!(gate.refused(), 4 * (1000 - A_SECOND));
    }

    #[test]
    fn a_look_at_the_clock_from_before_lets_no_more_through() {
        let gate = Gate::new();
        let (before, after) = (Duration::from_millis(999), Duration::from_millis(1000));
        while gate.admits(after) {}
        assert!(!gate.admits(before));
    }
}
