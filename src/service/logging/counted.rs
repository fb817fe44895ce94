//! How many warnings and errors were logged since the start, and the newest of them: what somebody who asks how the node is
//! wants to know before reading the log.
//!
//! It is kept for the process and not handed around, as the subscriber is: whatever logs logs to it.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::clock::{SharedClock, Timestamp};

/// What was logged since the process began to log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Warnings.
    pub warnings: u64,
    /// Errors.
    pub errors: u64,
    /// The newest of both.
    pub latest: Option<Noted>,
}

/// A record as it is shown beside the log: its text without its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// When it was logged.
    pub at: Timestamp,
    /// Its text.
    pub message: String,
}

/// A std mutex: it is held for a few instructions, and never across an await.
static COUNTED: Mutex<Counted> = Mutex::new(Counted {
    warnings: 0,
    errors: 0,
    latest: None,
});

/// What was logged until now.
pub fn counted() -> Counted {
    COUNTED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// Counts what passes the filter of the log.
#[derive(Debug)]
pub(super) struct Counting(pub(super) SharedClock);

impl<S: Subscriber> Layer<S> for Counting {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > Level::WARN {
            return;
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        let at = self.0.now();
        let mut counted = COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
        let count = if level == Level::ERROR {
            &mut counted.errors
        } else {
            &mut counted.warnings
        };
        *count = count.saturating_add(1);
        counted.latest = Some(Noted {
            at,
            message: message.0,
        });
    }
}

/// The text among a record's fields.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::clock::{Clock, ManualClock};

    #[test]
    fn warnings_and_errors_count_and_the_newest_is_kept() {
        let clock = ManualClock::shared();
        let subscriber = tracing_subscriber::registry().with(Counting(clock.clone()));
        let before = counted();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("not this");
            tracing::warn!(path = "/p", "a warning");
            tracing::error!(error = "no room", "an error of {}", 7);
        });
        let after = counted();
        assert_eq!(after.warnings, before.warnings + 1);
        assert_eq!(after.errors, before.errors + 1);
        let latest = after.latest.unwrap();
        assert_eq!(
            (latest.at, latest.message.as_str()),
            (clock.now(), "an error of 7")
        );
    }
}
