//! Codes with a clock that stands still.

use super::*;
use crate::clock::{Clock, ManualClock};

const SESSION: &str = "0123abcd";

struct Set {
    factor: SecondFactor,
    clock: Arc<ManualClock>,
    ring: Arc<KeyRing>,
    folder: tempfile::TempDir,
}

fn made(folder: &Path, ring: &Arc<KeyRing>, clock: &Arc<ManualClock>) -> SecondFactor {
    let ring = ring.clone();
    SecondFactor::new(
        folder,
        "node.example",
        Arc::new(move || ring.clone()),
        clock.clone(),
    )
}

impl Set {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, ring) = (
            ManualClock::shared(),
            Arc::new(KeyRing::generate([7; 16]).unwrap()),
        );
        Self {
            factor: made(folder.path(), &ring, &clock),
            clock,
            ring,
            folder,
        }
    }

    fn again(&self) -> SecondFactor {
        made(self.folder.path(), &self.ring, &self.clock)
    }

    /// The app's code, so many steps from now.
    fn code(&self, secret: &str, steps: i64) -> String {
        let bytes = totp_rs::Secret::try_from_base32(secret.replace(' ', "")).unwrap();
        let totp = builder(bytes.as_ref()).build().unwrap();
        let at = self.clock.now().as_seconds() + steps * 30;
        totp.generate(u64::try_from(at).unwrap()).to_string()
    }

    /// Sets it up; the next code is in a later step.
    fn set_up(&self) -> (String, PaperCodes) {
        let secret = self.factor.begin(SESSION).unwrap().secret.to_string();
        let code = self.code(&secret, 0);
        let codes = self.factor.confirm(SESSION, &code).unwrap().unwrap();
        self.clock.advance(Duration::from_secs(60));
        (secret, codes)
    }
}

#[test]
fn without_one_nobody_is_asked() {
    let set = Set::new();
    assert!(!set.factor.is_set() && set.factor.admits("", true));
    assert!(set.factor.renew_paper().unwrap().is_none() && !set.factor.drop_it().unwrap());
}

#[test]
fn it_is_set_up_by_its_first_code_and_outlives_a_restart() {
    let set = Set::new();
    let enrolment = set.factor.begin(SESSION).unwrap();
    assert!(enrolment.picture.starts_with("<svg") && !enrolment.picture.contains("style"));
    assert_eq!(enrolment.secret.replace(' ', "").len(), 32);
    let right = set.code(&enrolment.secret, 0);
    for (session, code) in [
        (SESSION, "000000"),
        (SESSION, ""),
        ("another0", right.as_str()),
    ] {
        assert!(
            set.factor.confirm(session, code).unwrap().is_none(),
            "{session} {code}"
        );
    }
    assert!(!set.factor.is_set() && set.factor.admits("", true));
    assert_eq!(
        set.factor.confirm(SESSION, &right).unwrap().unwrap().len(),
        PAPER
    );
    set.clock.advance(Duration::from_secs(60));
    for factor in [&set.factor, &set.again()] {
        assert!(factor.is_set() && !factor.admits("", true) && !factor.admits("000000", true));
    }
    assert!(set.again().admits(&set.code(&enrolment.secret, 0), true));
}

#[test]
fn a_set_up_waits_for_some_minutes() {
    let set = Set::new();
    let secret = set.factor.begin(SESSION).unwrap().secret;
    assert!(set.factor.pending(SESSION).unwrap().is_some());
    assert!(set.factor.pending("another0").unwrap().is_none());
    set.clock.advance(SET_UP);
    let late = set.code(&secret, 0);
    assert!(set.factor.confirm(SESSION, &late).unwrap().is_none());
}

#[test]
fn a_code_is_good_in_its_step_and_beside_it_and_once() {
    let set = Set::new();
    let (secret, _) = set.set_up();
    for (steps, good) in [(-2, false), (2, false), (-1, true), (0, true), (1, true)] {
        // What was tried is forgotten by then, and what was used is not.
        set.clock.advance(Duration::from_secs(150));
        let code = set.code(&secret, steps);
        assert_eq!(set.factor.admits(&code, true), good, "{steps}");
        assert!(!set.factor.admits(&code, true), "{steps} again");
        assert!(!set.again().admits(&code, true), "{steps} after a restart");
    }
    // The last one was of the next step: one of an older step is used up with it.
    assert!(!set.factor.admits(&set.code(&secret, 0), true));
}

#[test]
fn a_code_on_paper_is_good_once_however_it_is_typed() {
    let set = Set::new();
    let (_, codes) = set.set_up();
    let typed = format!(" {} ", codes[3].to_uppercase().replace('-', ""));
    assert!(set.factor.admits(&typed, true) && !set.factor.admits(&codes[3], true));
    assert!(!set.again().admits(&codes[3], true));
    assert_eq!(set.again().paper_left(), PAPER - 1);
    let new = set.factor.renew_paper().unwrap().unwrap();
    set.clock.advance(Duration::from_secs(30));
    assert!(!set.factor.admits(&codes[0], true) && set.factor.admits(&new[0], true));
}

#[test]
fn strangers_spend_nothing_and_lock_nobody_out() {
    let set = Set::new();
    let (secret, codes) = set.set_up();
    let code = set.code(&secret, 0);
    for given in ["000000", &code, &codes[0]] {
        for _ in 0..TRIES * 2 {
            assert!(!set.factor.admits(given, false));
        }
    }
    assert!(set.factor.admits(&code, true) && set.factor.admits(&codes[0], true));
}

#[test]
fn guesses_with_the_right_password_wait_for_the_next_step() {
    let set = Set::new();
    let (secret, codes) = set.set_up();
    for _ in 0..TRIES {
        assert!(!set.factor.admits("000000", true));
    }
    let code = set.code(&secret, 0);
    assert!(!set.factor.admits(&code, true) && set.factor.admits(&codes[0], true));
    set.clock.advance(Duration::from_secs(30));
    assert!(set.factor.admits(&set.code(&secret, 0), true));
}

#[test]
fn a_file_that_does_not_open_lets_nobody_in_and_can_be_removed() {
    let set = Set::new();
    let (secret, codes) = set.set_up();
    let path = set.folder.path().join(SECOND_FACTOR_FILE);
    let written = std::fs::read(&path).unwrap();
    let text = String::from_utf8(written.clone()).unwrap();
    assert!(!text.contains(&codes[0].replace('-', "")));
    let other = Arc::new(KeyRing::generate([7; 16]).unwrap());
    let mut factors = vec![made(set.folder.path(), &other, &set.clock)];
    for damage in [&b""[..], b"{}", &written[..written.len() - 9]] {
        std::fs::write(&path, damage).unwrap();
        factors.push(set.again());
    }
    for factor in factors {
        let code = set.code(&secret, 0);
        assert!(factor.is_set() && !factor.admits(&code, true) && !factor.admits(&codes[0], true));
    }
    assert!(remove_second_factor(set.folder.path()).unwrap());
    assert!(!remove_second_factor(set.folder.path()).unwrap());
    set.factor.reload();
    assert!(!set.factor.is_set() && set.factor.admits("", true));
}
