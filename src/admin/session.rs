//! Sessions of the admin page.
//!
//! They live in memory alone: they outlast a live restore, work while the database is damaged, and end with the process. Of
//! a token only its SHA-256 is kept, so that whoever reads the memory later finds nothing to come in with; a token has 256
//! random bits, for which one pass of a hash is enough.
//!
//! Times are the monotonic clock's: a step of the wall clock neither ends a session nor keeps it.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::clock::{SharedClock, Timestamp};
use crate::crypto::{CryptoError, random};

/// A session that nobody uses ends.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// A session ends, used or not.
const ABSOLUTE: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions at once; one more ends the one that was unused for longest.
const SESSIONS: usize = 32;
/// Characters kept of what a browser calls itself.
const AGENT: usize = 200;

/// What is said once, on the next page that a session sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flash {
    /// Whether it tells of a success.
    pub good: bool,
    /// One or two sentences.
    pub text: String,
}

impl Flash {
    /// Something was done.
    pub fn good(text: impl Into<String>) -> Self {
        Self {
            good: true,
            text: text.into(),
        }
    }

    /// Something was not done.
    pub fn bad(text: impl Into<String>) -> Self {
        Self {
            good: false,
            text: text.into(),
        }
    }
}

/// What is told of a session. It opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// Names it: eight characters.
    pub name: String,
    /// Where it was begun from.
    pub address: IpAddr,
    /// What the browser calls itself; empty when it does not say.
    pub agent: String,
    /// When it was begun.
    pub since: Timestamp,
    /// When it was last used.
    pub used: Timestamp,
}

/// A session that a request belongs to.
#[derive(Clone)]
pub(super) struct Known {
    /// Names it, and opens nothing.
    pub(super) name: String,
    /// What each of its forms carries.
    pub(super) csrf: Zeroizing<String>,
}

struct Entry {
    token: [u8; 32],
    csrf: Zeroizing<String>,
    facts: SessionFacts,
    begun: Duration,
    touched: Duration,
    flash: Option<Flash>,
}

impl Entry {
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.touched) >= IDLE || now.saturating_sub(self.begun) >= ABSOLUTE
    }
}

/// All sessions. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    /// A std mutex: held for a look-up, never across an await.
    entries: Arc<Mutex<Vec<Entry>>>,
    clock: SharedClock,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

impl Sessions {
    /// None yet.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            entries: Arc::default(),
            clock,
        }
    }

    /// Begins one and returns its token. The one that `replaced` opens, if there is any, ends: nobody goes on with a
    /// token that was known before the login.
    ///
    /// # Errors
    /// [`CryptoError::Random`].
    pub(super) fn begin(
        &self,
        address: IpAddr,
        agent: &str,
        replaced: Option<&str>,
    ) -> Result<Zeroizing<String>, CryptoError> {
        let (token, csrf) = (new_token()?, new_token()?);
        let name = hex::encode(random::<4>()?);
        let (now, wall) = (self.clock.monotonic(), self.clock.now());
        let mut entries = self.current();
        if let Some(old) = replaced.map(digest) {
            entries.retain(|entry| !same(&entry.token, &old));
        }
        if entries.len() >= SESSIONS {
            let longest = entries.iter().enumerate();
            let longest = longest.min_by_key(|(_, entry)| entry.touched);
            if let Some(place) = longest.map(|(place, _)| place) {
                entries.remove(place);
            }
        }
        entries.push(Entry {
            token: digest(&token),
            csrf,
            facts: SessionFacts {
                name,
                address,
                agent: agent
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(AGENT)
                    .collect(),
                since: wall,
                used: wall,
            },
            begun: now,
            touched: now,
            flash: None,
        });
        Ok(token)
    }

    /// The session that `token` opens. With `touch` this is a use of it, and it stays for longer; a script that asks for
    /// new values by itself is none.
    pub(super) fn find(&self, token: &str, touch: bool) -> Option<Known> {
        let wanted = digest(token);
        let (now, wall) = (self.clock.monotonic(), self.clock.now());
        let mut entries = self.current();
        let entry = entries
            .iter_mut()
            .find(|entry| same(&entry.token, &wanted))?;
        if touch {
            entry.touched = now;
            entry.facts.used = wall;
        }
        Some(Known {
            name: entry.facts.name.clone(),
            csrf: entry.csrf.clone(),
        })
    }

    /// Leaves word for a session's next page.
    pub(super) fn leave(&self, name: &str, flash: Flash) {
        if let Some(entry) = named(&mut self.current(), name) {
            entry.flash = Some(flash);
        }
    }

    /// The word that was left, once.
    pub(super) fn take_flash(&self, name: &str) -> Option<Flash> {
        named(&mut self.current(), name)?.flash.take()
    }

    /// All of them, the newest first.
    pub fn list(&self) -> Vec<SessionFacts> {
        let entries = self.current();
        entries
            .iter()
            .rev()
            .map(|entry| entry.facts.clone())
            .collect()
    }

    /// Ends one; false when there is none of that name.
    pub fn revoke(&self, name: &str) -> bool {
        self.end(|entry| entry.facts.name == name) > 0
    }

    /// Ends all of them, and tells how many there were.
    pub fn revoke_all(&self) -> usize {
        self.end(|_| true)
    }

    /// Ends all but one, and tells how many that were.
    pub(super) fn revoke_others(&self, name: &str) -> usize {
        self.end(|entry| entry.facts.name != name)
    }

    fn end(&self, which: impl Fn(&Entry) -> bool) -> usize {
        let mut entries = self.current();
        let before = entries.len();
        entries.retain(|entry| !which(entry));
        before.saturating_sub(entries.len())
    }

    /// Those that are not over.
    fn current(&self) -> MutexGuard<'_, Vec<Entry>> {
        let now = self.clock.monotonic();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| !entry.is_over(now));
        entries
    }
}

fn named<'a>(entries: &'a mut [Entry], name: &str) -> Option<&'a mut Entry> {
    entries.iter_mut().find(|entry| entry.facts.name == name)
}

fn new_token() -> Result<Zeroizing<String>, CryptoError> {
    let bytes = Zeroizing::new(random::<32>()?);
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn sessions() -> (Sessions, Arc<ManualClock>) {
        let clock = ManualClock::shared();
        (Sessions::new(clock.clone()), clock)
    }

    fn begin(sessions: &Sessions) -> Zeroizing<String> {
        sessions.begin(HERE, "browser", None).unwrap()
    }

    #[test]
    fn a_token_opens_its_session_and_no_other() {
        let (sessions, _) = sessions();
        let (one, other) = (begin(&sessions), begin(&sessions));
        assert_eq!(one.len(), 43);
        let (one, other) = (
            sessions.find(&one, true).unwrap(),
            sessions.find(&other, true).unwrap(),
        );
        assert!(one.name != other.name && one.csrf != other.csrf);
        for wrong in ["", "a", one.name.as_str(), one.csrf.as_str()] {
            assert!(sessions.find(wrong, true).is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_unused_session_ends_and_a_used_one_ends_too() {
        let (sessions, clock) = sessions();
        let token = begin(&sessions);
        clock.advance(IDLE - Duration::from_millis(1));
        assert!(sessions.find(&token, true).is_some());
        clock.advance(IDLE);
        assert!(sessions.find(&token, true).is_none());

        let token = begin(&sessions);
        let step = IDLE - Duration::from_secs(1);
        let mut passed = Duration::ZERO;
        while passed + step < ABSOLUTE {
            clock.advance(step);
            passed += step;
            assert!(sessions.find(&token, true).is_some(), "{passed:?}");
        }
        clock.advance(ABSOLUTE - passed);
        assert!(sessions.find(&token, true).is_none() && sessions.list().is_empty());
    }

    #[test]
    fn a_script_that_asks_by_itself_keeps_nothing_alive() {
        let (sessions, clock) = sessions();
        let token = begin(&sessions);
        clock.advance(IDLE / 2);
        assert!(sessions.find(&token, false).is_some());
        clock.advance(IDLE / 2);
        assert!(sessions.find(&token, false).is_none());
    }

    #[test]
    fn a_step_of_the_wall_clock_ends_nothing() {
        let (sessions, clock) = sessions();
        let token = begin(&sessions);
        clock.set_wall(clock.now().plus(ABSOLUTE * 2));
        assert!(sessions.find(&token, true).is_some());
    }

    #[test]
    fn a_login_ends_the_session_that_it_comes_with() {
        let (sessions, _) = sessions();
        let old = begin(&sessions);
        let new = sessions.begin(HERE, "", Some(&old)).unwrap();
        assert!(sessions.find(&old, true).is_none());
        assert!(sessions.find(&new, true).is_some());
    }

    #[test]
    fn sessions_are_revoked_one_by_one_and_together() {
        let (sessions, _) = sessions();
        let tokens = [(); 4].map(|()| begin(&sessions));
        let name = |token| sessions.find(token, true).map(|known: Known| known.name);
        let own = name(&tokens[1]).unwrap();
        assert!(sessions.revoke(&name(&tokens[0]).unwrap()) && !sessions.revoke("absent"));
        assert_eq!(sessions.revoke_others(&own), 2);
        assert_eq!(
            tokens.each_ref().map(|token| name(token)),
            [None, Some(own), None, None]
        );
        assert_eq!((sessions.revoke_all(), sessions.list().len()), (1, 0));
    }

    #[test]
    fn their_number_is_bounded_and_what_is_told_is_short() {
        let (sessions, clock) = sessions();
        let first = begin(&sessions);
        let second = begin(&sessions);
        clock.advance(Duration::from_secs(1));
        sessions.find(&first, true).unwrap();
        for _ in 2..=SESSIONS {
            sessions.begin(HERE, &"\nx".repeat(1000), None).unwrap();
        }
        assert_eq!(sessions.list().len(), SESSIONS);
        assert!(sessions.find(&first, true).is_some() && sessions.find(&second, true).is_none());
        assert_eq!(sessions.list()[0].agent, "x".repeat(AGENT));
    }

    #[test]
    fn word_is_left_once() {
        let (sessions, _) = sessions();
        let token = begin(&sessions);
        let name = sessions.find(&token, true).unwrap().name;
        sessions.leave(&name, Flash::good("done"));
        assert_eq!(sessions.take_flash(&name), Some(Flash::good("done")));
        assert_eq!(sessions.take_flash(&name), None);
        assert!(!format!("{sessions:?}").contains(token.as_str()));
    }
}
