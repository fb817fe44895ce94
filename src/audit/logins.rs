//! Failed logins, which anybody may cause: the first is an entry of its own, those that follow within a minute are one
//! together. While they go on, the span grows to an hour, so that a guesser who does not give up writes some thirty
//! entries a day and not one for each guess.

use std::collections::BTreeSet;
use std::time::Duration;

use super::entry::{Action, Actor, Entry};

const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// Actors that an entry names.
const NAMED: usize = 5;

/// Counts failed logins.
#[derive(Debug, Default)]
pub(super) struct Logins {
    span: Option<Span>,
}

#[derive(Debug)]
struct Span {
    began: Duration,
    length: Duration,
    count: u64,
    actors: BTreeSet<String>,
    more_actors: bool,
}

impl Span {
    fn new(began: Duration, length: Duration) -> Self {
        Self {
            began,
            length,
            count: 0,
            actors: BTreeSet::new(),
            more_actors: false,
        }
    }

    fn add(&mut self, actor: &Actor) {
        self.count = self.count.saturating_add(1);
        let actor = actor.to_string();
        if self.actors.len() < NAMED {
            self.actors.insert(actor);
        } else if !self.actors.contains(&actor) {
            self.more_actors = true;
        }
    }

    fn entry(&self) -> Option<Entry> {
        let count = self.count;
        let actors: Vec<&str> = self.actors.iter().map(String::as_str).collect();
        let seconds = self.length.as_secs();
        let detail = format!(
            "{count} more within {seconds} s: {}{}",
            actors.join("; "),
            if self.more_actors { "; and others" } else { "" }
        );
        (count > 0).then(|| Entry::failed(&Actor::Node, Action::Login, detail))
    }
}

impl Logins {
    /// Another one. Returns what is to be written now.
    pub(super) fn failed(&mut self, actor: &Actor, why: &str, now: Duration) -> Vec<Entry> {
        let mut due: Vec<Entry> = self.due(now).into_iter().collect();
        match &mut self.span {
            Some(span) => span.add(actor),
            None => {
                due.push(Entry::failed(actor, Action::Login, why));
                self.span = Some(Span::new(now, SHORTEST));
            }
        }
        due
    }

    /// What is to be written because its span has ended.
    pub(super) fn due(&mut self, now: Duration) -> Option<Entry> {
        let span = self.span.as_ref()?;
        if now.saturating_sub(span.began) < span.length {
            return None;
        }
        let entry = span.entry();
        // Whoever was quiet for a whole span begins anew.
        self.span = entry
            .is_some()
            .then(|| Span::new(now, span.length.saturating_mul(2).min(LONGEST)));
        entry
    }

    /// What is to be written because the node stops.
    pub(super) fn rest(&mut self) -> Option<Entry> {
        self.span.take().and_then(|span| span.entry())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn from(last: u8) -> Actor {
        let address = IpAddr::from([10, 0, 0, last]);
        Actor::Api { address }
    }

    #[test]
    fn many_within_a_minute_are_two_entries() {
        let mut logins = Logins::default();
        let at = Duration::from_secs;
        let first = logins.failed(&from(1), "wrong password", at(0));
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].detail, "wrong password");
        for second in 1..40 {
            assert!(
                logins
                    .failed(&from(2), "wrong password", at(second))
                    .is_empty()
            );
        }
        assert_eq!(logins.due(at(59)), None);
        let more = logins.due(at(60)).unwrap();
        assert_eq!(more.detail, "39 more within 60 s: the API from 10.0.0.2");
        // Nothing came for two minutes: the next is an entry of its own again.
        assert_eq!(logins.due(at(180)), None);
        assert_eq!(logins.failed(&from(3), "wrong password", at(181)).len(), 1);
        assert_eq!(logins.rest(), None);
    }

    #[test]
    fn who_never_gives_up_writes_little() {
        let mut logins = Logins::default();
        let mut entries = 0;
        for second in 0..86_400 {
            let actor = from(u8::try_from(second % 50).unwrap());
            let written = logins.failed(&actor, "wrong password", Duration::from_secs(second));
            entries += written.len();
            assert!(written.iter().all(|entry| entry.detail.len() < 300));
        }
        assert!((24..40).contains(&entries), "{entries}");
        assert!(logins.rest().unwrap().detail.ends_with("; and others"));
    }
}
