//! The second factor of the login: codes of an app (TOTP, RFC 6238), and codes on paper for the day the telephone is lost.
//!
//! It guards the page alone. The backup calls of the API are made by programs, which have the password and no telephone.
//!
//! What it needs is in a file of the data folder beside the password's hash, sealed under the key ring: it belongs to the
//! installation, and a restore leaves it. It is read at the start and kept in memory, so that the login works while the
//! database does not. A file that does not open lets nobody in: otherwise damaging it would be the way around it.
//!
//! A code of the app is good for its own half minute, the one before and the one after, and once. Six digits can be guessed,
//! so that of those who know the password only a few may try in half a minute; the codes on paper have 80 random bits and
//! work in any case.
//!
//! A disk may stall, and every page asks whether there is a second factor: so what is known is never locked while the disk
//! works, and what waits for the disk is done beside the runtime's threads ([`SecondFactor::beside`]).

mod enrolment;
mod kept;
mod paper;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use totp_rs::{Builder, Totp};
use zeroize::Zeroizing;

use super::AdminError;
use super::readable::as_meant;
use crate::clock::SharedClock;
use crate::crypto::{KeyRing, random};
pub(super) use enrolment::Enrolment;
use kept::Kept;
pub(super) use paper::PaperCodes;
use paper::{new_paper, place_of};

/// The file in the data folder.
pub const SECOND_FACTOR_FILE: &str = "admin-second-factor";

/// Seconds that a code of the app is shown for.
const STEP: u64 = 30;
/// Bytes of the app's secret: as many as SHA-1 gives (RFC 4226, 4).
const SECRET: usize = 20;
/// Wrong codes with the right password within one step, after which codes of the app wait for the next.
const TRIES: u32 = 5;
/// How long a set-up that was begun waits for its first code.
const SET_UP: Duration = Duration::from_secs(10 * 60);

/// The key ring in use: a restore may put another in its place.
pub type Ring = Arc<dyn Fn() -> Arc<KeyRing> + Send + Sync>;

/// A set-up whose first code has not come.
struct Pending {
    secret: Zeroizing<Vec<u8>>,
    session: String,
    begun: Duration,
}

enum State {
    Off,
    On(Kept),
    /// The file does not open.
    Closed,
}

impl State {
    /// What the file says.
    fn read(path: &Path, ring: &KeyRing) -> Self {
        match Kept::read(path, ring) {
            Ok(None) => Self::Off,
            Ok(Some(kept)) => Self::On(kept),
            Err(error) => {
                tracing::error!(%error, "the second factor of the admin page cannot be used, and nobody can log in");
                Self::Closed
            }
        }
    }
}

/// What a code is.
enum Looked {
    /// There is no second factor, and any is good.
    Unasked,
    Wrong,
    /// Good, and used up in memory.
    UsedUp,
}

struct Inner {
    state: State,
    pending: Option<Pending>,
    /// Wrong codes, and in which step.
    tries: (u64, u32),
}

/// The second factor, whether it is set or not.
pub struct SecondFactor {
    path: PathBuf,
    /// What apps show beside the code.
    account: String,
    ring: Ring,
    clock: SharedClock,
    /// A std mutex: held for a look-up, never across an await or while the disk works.
    inner: Mutex<Inner>,
    /// The turn to change the file: what is written last is what is known last. It is taken before `inner`. A std mutex,
    /// because whoever waits for it is a thread that may wait.
    turns: Mutex<()>,
}

impl fmt::Debug for SecondFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecondFactor")
            .field("path", &self.path)
            .field("is_set", &self.is_set())
            .finish_non_exhaustive()
    }
}

impl SecondFactor {
    /// What is kept in the data folder. `account` is what apps show beside the code, the node's name.
    pub fn new(data_dir: &Path, account: &str, ring: Ring, clock: SharedClock) -> Self {
        let path = data_dir.join(SECOND_FACTOR_FILE);
        let state = State::read(&path, &ring());
        Self {
            path,
            // Apps take it for the end of the issuer.
            account: account.replace(':', "-"),
            ring,
            clock,
            inner: Mutex::new(Inner {
                state,
                pending: None,
                tries: (0, 0),
            }),
            turns: Mutex::new(()),
        }
    }

    /// Does `work` that may wait for the disk, beside the runtime's threads.
    ///
    /// # Errors
    /// Those of `work`; [`AdminError::Unwritable`] when it breaks off.
    pub async fn beside<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let this = self.clone();
        let worked = tokio::task::spawn_blocking(move || work(&this)).await;
        worked.unwrap_or_else(|error| {
            Err(AdminError::Unwritable {
                path: self.path.clone(),
                source: error.into(),
            })
        })
    }

    /// Whether the login asks for a code.
    pub fn is_set(&self) -> bool {
        !matches!(self.lock().state, State::Off)
    }

    /// How many codes on paper are left.
    pub fn paper_left(&self) -> usize {
        match &self.lock().state {
            State::On(kept) => kept.paper.len(),
            State::Off | State::Closed => 0,
        }
    }

    /// Whether a login may pass as far as the code goes; without a second factor it may. A code is used up, and a wrong one
    /// counted, only where the password was right: strangers neither spend codes nor lock the door. It may wait for the disk.
    pub(super) fn admits(&self, given: &str, password_is_right: bool) -> bool {
        match self.look_at(given, password_is_right) {
            Looked::Unasked => true,
            Looked::Wrong => false,
            Looked::UsedUp => {
                self.write_use();
                true
            }
        }
    }

    fn look_at(&self, given: &str, password_is_right: bool) -> Looked {
        let given = as_meant(given);
        let now = self.now();
        let mut inner = self.lock();
        let tries = tries_in(inner.tries, now / STEP);
        let kept = match &mut inner.state {
            State::Off => return Looked::Unasked,
            State::Closed => return Looked::Wrong,
            State::On(kept) => kept,
        };
        // Both are looked at whatever is given.
        let step = step_of(&kept.secret, &given, now).filter(|step| *step > kept.last_step);
        let paper = place_of(&kept.paper, &given);
        if !password_is_right {
            return Looked::Wrong;
        }
        match (step.filter(|_| tries < TRIES), paper) {
            (Some(step), _) => kept.last_step = step,
            (None, Some(place)) => {
                kept.paper.remove(place);
            }
            (None, None) => {
                inner.tries = (now / STEP, tries.saturating_add(1));
                return Looked::Wrong;
            }
        }
        Looked::UsedUp
    }

    /// Writes that a code was used. It writes what is known in its turn: another code may be used by then, the codes on paper
    /// may be others, and a second factor that was taken away stays away.
    fn write_use(&self) {
        let _turn = self.turn();
        let Some(kept) = self.kept() else {
            return;
        };
        // It is used up in memory in any case; a full disk keeps nobody out.
        if let Err(error) = kept.write(&self.path, &(self.ring)()) {
            tracing::error!(%error, "a code of the second factor was used, and that could not be kept; it works again after a restart");
        }
    }

    /// Begins to set it up, or to change it, in this session. Nothing changes before [`Self::confirm`].
    ///
    /// # Errors
    /// [`AdminError::Crypto`]; [`AdminError::SecondFactor`] when the picture cannot be made.
    pub(super) fn begin(&self, session: &str) -> Result<Enrolment, AdminError> {
        let secret = Zeroizing::new(random::<SECRET>()?.to_vec());
        let enrolment = self.enrolment(&secret)?;
        self.lock().pending = Some(Pending {
            secret,
            session: session.to_owned(),
            begun: self.clock.monotonic(),
        });
        Ok(enrolment)
    }

    /// What was begun in this session and waits for its code.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(super) fn pending(&self, session: &str) -> Result<Option<Enrolment>, AdminError> {
        let secret = self.pending_secret(session);
        secret.map(|secret| self.enrolment(&secret)).transpose()
    }

    /// Sets it up when the app's first code is right, and tells the codes for the paper; `None` when it is wrong. It waits for
    /// the disk.
    ///
    /// # Errors
    /// [`AdminError::Crypto`], [`AdminError::Unwritable`]: nothing has changed then.
    pub(super) fn confirm(
        &self,
        session: &str,
        code: &str,
    ) -> Result<Option<PaperCodes>, AdminError> {
        let now = self.now();
        // What is sent twice finds in its turn that nothing waits any more.
        let _turn = self.turn();
        let Some(secret) = self.pending_secret(session) else {
            return Ok(None);
        };
        let Some(last_step) = step_of(&secret, &as_meant(code), now) else {
            return Ok(None);
        };
        let (codes, paper) = new_paper()?;
        let kept = Kept {
            secret,
            last_step,
            paper,
        };
        kept.write(&self.path, &(self.ring)())?;
        self.set(State::On(kept));
        Ok(Some(codes))
    }

    /// New codes for the paper in place of the old ones; `None` when there is no second factor. It waits for the disk.
    ///
    /// # Errors
    /// As [`Self::confirm`].
    pub(super) fn renew_paper(&self) -> Result<Option<PaperCodes>, AdminError> {
        let _turn = self.turn();
        let Some(kept) = self.kept() else {
            return Ok(None);
        };
        let (codes, paper) = new_paper()?;
        let renewed = Kept { paper, ..kept };
        renewed.write(&self.path, &(self.ring)())?;
        let mut inner = self.lock();
        inner.pending = None;
        // The rest of it stays: a code of the app that was used meanwhile is written in the next turn.
        if let State::On(kept) = &mut inner.state {
            kept.paper = renewed.paper;
        }
        Ok(Some(codes))
    }

    /// Takes it away; false when there was none. It waits for the disk.
    ///
    /// # Errors
    /// [`AdminError::Unwritable`].
    pub fn drop_it(&self) -> Result<bool, AdminError> {
        let _turn = self.turn();
        let was_set = self.is_set();
        kept::remove(&self.path)?;
        self.set(State::Off);
        Ok(was_set)
    }

    fn set(&self, state: State) {
        let mut inner = self.lock();
        inner.state = state;
        inner.pending = None;
    }

    fn kept(&self) -> Option<Kept> {
        match &self.lock().state {
            State::On(kept) => Some(kept.clone()),
            State::Off | State::Closed => None,
        }
    }

    fn pending_secret(&self, session: &str) -> Option<Zeroizing<Vec<u8>>> {
        let now = self.clock.monotonic();
        let inner = self.lock();
        let pending = inner.pending.as_ref()?;
        let is_good = pending.session == session && now.saturating_sub(pending.begun) < SET_UP;
        is_good.then(|| pending.secret.clone())
    }

    fn enrolment(&self, secret: &[u8]) -> Result<Enrolment, AdminError> {
        Enrolment::new(secret, &self.account).map_err(|why| AdminError::SecondFactor {
            path: self.path.clone(),
            why,
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.now().as_seconds()).unwrap_or(0)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the second factor of a stopped node away; false when there is none.
///
/// # Errors
/// [`AdminError::Unwritable`].
pub fn remove_second_factor(data_dir: &Path) -> Result<bool, AdminError> {
    kept::remove(&data_dir.join(SECOND_FACTOR_FILE))
}

fn builder(secret: &[u8]) -> Builder {
    Builder::new()
        .with_secret(secret.to_vec())
        .with_step_duration(STEP)
}

/// The step whose code this is: the present one, or a neighbour.
fn step_of(secret: &[u8], given: &str, now: u64) -> Option<u64> {
    let totp: Totp = builder(secret).build().ok()?;
    totp.check(given, now)
}

/// Wrong codes of this step.
fn tries_in((step, tries): (u64, u32), now: u64) -> u32 {
    if step == now { tries } else { 0 }
}

#[cfg(test)]
mod tests;
