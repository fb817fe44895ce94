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

mod kept;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qrcode::QrCode;
use qrcode::render::svg;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use totp_rs::{Builder, Totp};
use zeroize::Zeroizing;

use super::readable::as_meant;
use super::{AdminError, readable};
use crate::clock::SharedClock;
use crate::crypto::{KeyRing, random};
use kept::Kept;

/// The file in the data folder.
pub const SECOND_FACTOR_FILE: &str = "admin-second-factor";

/// What apps show above the code.
const ISSUER: &str = "ksnode";
/// Seconds that a code of the app is shown for.
const STEP: u64 = 30;
/// Bytes of the app's secret: as many as SHA-1 gives (RFC 4226, 4).
const SECRET: usize = 20;
/// Codes on paper.
const PAPER: usize = 10;
/// Wrong codes with the right password within one step, after which codes of the app wait for the next.
const TRIES: u32 = 5;
/// How long a set-up that was begun waits for its first code.
const SET_UP: Duration = Duration::from_secs(10 * 60);

/// The key ring in use: a restore may put another in its place.
pub type Ring = Arc<dyn Fn() -> Arc<KeyRing> + Send + Sync>;

/// What a new app is told.
#[derive(Clone)]
pub(super) struct Enrolment {
    /// The secret as apps take it by hand: letters and digits in groups of four.
    pub(super) secret: Zeroizing<String>,
    /// The same as a picture, an `<svg>` element.
    pub(super) picture: Zeroizing<String>,
}

/// Codes on paper, to be shown once.
pub(super) type PaperCodes = Vec<Zeroizing<String>>;

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
    /// A std mutex: held for a look-up and the write of a small file, never across an await.
    inner: Mutex<Inner>,
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
        let factor = Self {
            path: data_dir.join(SECOND_FACTOR_FILE),
            // Apps take it for the end of the issuer.
            account: account.replace(':', "-"),
            ring,
            clock,
            inner: Mutex::new(Inner {
                state: State::Off,
                pending: None,
                tries: (0, 0),
            }),
        };
        factor.reload();
        factor
    }

    /// Reads the file again: a command may have taken it away.
    pub fn reload(&self) {
        let state = match Kept::read(&self.path, &(self.ring)()) {
            Ok(None) => State::Off,
            Ok(Some(kept)) => State::On(kept),
            Err(error) => {
                tracing::error!(%error, "the second factor of the admin page cannot be used, and nobody can log in");
                State::Closed
            }
        };
        let mut inner = self.lock();
        inner.state = state;
        inner.pending = None;
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
    /// counted, only where the password was right: strangers neither spend codes nor lock the door.
    pub(super) fn admits(&self, given: &str, password_is_right: bool) -> bool {
        let given = as_meant(given);
        let now = self.now();
        let mut inner = self.lock();
        let tries = tries_in(inner.tries, now / STEP);
        let kept = match &mut inner.state {
            State::Off => return true,
            State::Closed => return false,
            State::On(kept) => kept,
        };
        // Both are looked at whatever is given.
        let step = step_of(&kept.secret, &given, now).filter(|step| *step > kept.last_step);
        let paper = place_of(&kept.paper, &given);
        if !password_is_right {
            return false;
        }
        match (step.filter(|_| tries < TRIES), paper) {
            (Some(step), _) => kept.last_step = step,
            (None, Some(place)) => {
                kept.paper.remove(place);
            }
            (None, None) => {
                inner.tries = (now / STEP, tries.saturating_add(1));
                return false;
            }
        }
        // It is used up in memory in any case; a full disk keeps nobody out.
        if let Err(error) = kept.write(&self.path, &(self.ring)()) {
            tracing::error!(%error, "a code of the second factor was used, and that could not be kept; it works again after a restart");
        }
        true
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

    /// Sets it up when the app's first code is right, and tells the codes for the paper; `None` when it is wrong.
    ///
    /// # Errors
    /// [`AdminError::Crypto`], [`AdminError::Unwritable`]: nothing has changed then.
    pub(super) fn confirm(
        &self,
        session: &str,
        code: &str,
    ) -> Result<Option<PaperCodes>, AdminError> {
        let Some(secret) = self.pending_secret(session) else {
            return Ok(None);
        };
        let Some(step) = step_of(&secret, &as_meant(code), self.now()) else {
            return Ok(None);
        };
        let (codes, paper) = new_paper()?;
        self.keep(Kept {
            secret,
            last_step: step,
            paper,
        })?;
        Ok(Some(codes))
    }

    /// New codes for the paper in place of the old ones; `None` when there is no second factor.
    ///
    /// # Errors
    /// As [`Self::confirm`].
    pub(super) fn renew_paper(&self) -> Result<Option<PaperCodes>, AdminError> {
        let kept = match &self.lock().state {
            State::On(kept) => kept.clone(),
            State::Off | State::Closed => return Ok(None),
        };
        let (codes, paper) = new_paper()?;
        self.keep(Kept { paper, ..kept })?;
        Ok(Some(codes))
    }

    /// Takes it away; false when there was none.
    ///
    /// # Errors
    /// [`AdminError::Unwritable`].
    pub fn drop_it(&self) -> Result<bool, AdminError> {
        let was_set = self.is_set();
        kept::remove(&self.path)?;
        self.reload();
        Ok(was_set)
    }

    fn keep(&self, kept: Kept) -> Result<(), AdminError> {
        kept.write(&self.path, &(self.ring)())?;
        let mut inner = self.lock();
        inner.state = State::On(kept);
        inner.pending = None;
        Ok(())
    }

    fn pending_secret(&self, session: &str) -> Option<Zeroizing<Vec<u8>>> {
        let now = self.clock.monotonic();
        let inner = self.lock();
        let pending = inner.pending.as_ref()?;
        let is_good = pending.session == session && now.saturating_sub(pending.begun) < SET_UP;
        is_good.then(|| pending.secret.clone())
    }

    fn enrolment(&self, secret: &[u8]) -> Result<Enrolment, AdminError> {
        let failed = |why: &dyn fmt::Display| AdminError::SecondFactor {
            path: self.path.clone(),
            why: why.to_string(),
        };
        let totp = builder(secret)
            .with_account_name(self.account.as_str())
            .with_issuer(Some(ISSUER))
            .build()
            .map_err(|error| failed(&error))?;
        let url = Zeroizing::new(totp.to_url().map_err(|error| failed(&error))?);
        let code = QrCode::new(url.as_bytes()).map_err(|error| failed(&error))?;
        let picture = Zeroizing::new(
            code.render::<svg::Color<'_>>()
                .min_dimensions(240, 240)
                .build(),
        );
        let element = picture.find("<svg").and_then(|at| picture.get(at..));
        let letters = Zeroizing::new(totp.secret().to_base32());
        let mut secret = Zeroizing::new(String::with_capacity(letters.len().saturating_mul(2)));
        for (index, letter) in letters.chars().enumerate() {
            if index > 0 && index % 4 == 0 {
                secret.push(' ');
            }
            secret.push(letter);
        }
        Ok(Enrolment {
            secret,
            picture: Zeroizing::new(element.unwrap_or_default().to_owned()),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.now().as_seconds()).unwrap_or(0)
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

/// Where the code stands among those on paper. All of them are compared.
fn place_of(paper: &[[u8; 32]], given: &str) -> Option<usize> {
    let given = digest(given);
    let mut found = None;
    for (place, code) in paper.iter().enumerate() {
        if bool::from(code.ct_eq(&given)) {
            found = Some(place);
        }
    }
    found
}

fn digest(code: &str) -> [u8; 32] {
    Sha256::digest(code).into()
}

/// Wrong codes of this step.
fn tries_in((step, tries): (u64, u32), now: u64) -> u32 {
    if step == now { tries } else { 0 }
}

/// Codes for the paper, and what is kept of them. They are random throughout: one pass of a hash is enough.
fn new_paper() -> Result<(PaperCodes, Vec<[u8; 32]>), AdminError> {
    let codes = (0..PAPER).map(|_| readable::<16>());
    let codes: PaperCodes = codes.collect::<Result<_, _>>()?;
    let kept = codes.iter().map(|code| digest(&as_meant(code))).collect();
    Ok((codes, kept))
}

#[cfg(test)]
mod tests;
