//! Codes with a clock that stands still.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::yield_now;

use super::paper::PAPER;
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
    for factor in [&set.again(), &set.factor] {
        // The one that knows it is told, also when its file has gone.
        assert_eq!(factor.drop_it().unwrap(), std::ptr::eq(factor, &set.factor));
        assert!(!factor.is_set() && factor.admits("", true));
    }
}

/// A disk that stalls while it is held: whoever writes takes the key ring before, and waits there.
#[derive(Default)]
struct Disk {
    held: Mutex<()>,
    come: AtomicUsize,
}

impl Disk {
    fn ring_of(self: Arc<Self>, ring: Arc<KeyRing>) -> Ring {
        Arc::new(move || {
            self.come.fetch_add(1, Ordering::SeqCst);
            drop(self.held.lock());
            ring.clone()
        })
    }

    /// Waits until so many have come to it.
    fn wait_for(&self, come: usize) {
        while self.come.load(Ordering::SeqCst) < come {
            yield_now();
        }
    }
}

/// One that is set up, and its disk, which was asked for nothing yet; the app's secret, and the codes on paper.
fn on_a_disk() -> (Set, Arc<Disk>, String, PaperCodes) {
    let mut set = Set::new();
    let (secret, codes) = set.set_up();
    let disk = Arc::<Disk>::default();
    let ring = disk.clone().ring_of(set.ring.clone());
    set.factor = SecondFactor::new(set.folder.path(), "node.example", ring, set.clock.clone());
    disk.come.store(0, Ordering::SeqCst);
    (set, disk, secret, codes)
}

#[test]
fn a_disk_that_stalls_holds_up_nobody_who_asks_and_no_code_is_good_twice() {
    let (set, disk, secret, codes) = on_a_disk();
    let code = set.code(&secret, 0);
    std::thread::scope(|threads| {
        let held = disk.held.lock().unwrap();
        let factor = &set.factor;
        let logins = [code.as_str(), codes[0].as_str()]
            .map(|code| threads.spawn(move || factor.admits(code, true)));
        // One of them has its turn to write, and the other one waits for it: both codes are used up.
        disk.wait_for(1);
        while factor.paper_left() == PAPER || !is_used(&set, &code) {
            yield_now();
        }
        let renewed = threads.spawn(move || factor.renew_paper().unwrap().is_some());
        assert!(factor.is_set() && format!("{factor:?}").contains("is_set: true"));
        assert!(!factor.admits(&code, true) && !factor.admits(&codes[0], true));
        factor.begin(SESSION).unwrap();
        assert!(factor.pending(SESSION).unwrap().is_some());
        assert!(logins.iter().all(|login| !login.is_finished()));
        drop(held);
        for ended in logins.into_iter().chain([renewed]) {
            assert!(ended.join().unwrap());
        }
    });
    let again = set.again();
    assert!(!again.admits(&code, true) && !again.admits(&codes[0], true));
}

/// Whether the app's code of now was used.
fn is_used(set: &Set, code: &str) -> bool {
    let kept = set.factor.kept().unwrap();
    step_of(&kept.secret, code, set.factor.now()) == Some(kept.last_step)
}

#[test]
fn what_is_used_while_the_paper_is_renewed_stays_used() {
    let (set, disk, secret, codes) = on_a_disk();
    let code = set.code(&secret, 0);
    let new = std::thread::scope(|threads| {
        let held = disk.held.lock().unwrap();
        let renewed = threads.spawn(|| set.factor.renew_paper().unwrap().unwrap());
        disk.wait_for(1);
        let login = threads.spawn(|| set.factor.admits(&code, true));
        while !is_used(&set, &code) {
            yield_now();
        }
        drop(held);
        assert!(login.join().unwrap());
        renewed.join().unwrap()
    });
    for factor in [&set.factor, &set.again()] {
        assert!(!factor.admits(&code, true) && !factor.admits(&codes[0], true));
        assert_eq!(factor.paper_left(), PAPER);
    }
    assert!(set.factor.admits(&new[0], true) && !set.again().admits(&new[0], true));
}

#[test]
fn a_code_that_is_used_while_the_factor_is_dropped_does_not_bring_it_back() {
    let set = Set::new();
    let (_, codes) = set.set_up();
    std::thread::scope(|threads| {
        let turn = set.factor.turn();
        let login = threads.spawn(|| set.factor.admits(&codes[0], true));
        while set.factor.paper_left() == PAPER {
            yield_now();
        }
        // As it is dropped, in the turn before the login's.
        kept::remove(&set.factor.path).unwrap();
        set.factor.set(State::Off);
        drop(turn);
        assert!(login.join().unwrap());
    });
    assert!(!set.factor.is_set() && !set.again().is_set());
}

#[test]
fn what_cannot_be_written_is_not_changed() {
    let set = Set::new();
    let (secret, codes) = set.set_up();
    let new = set.factor.begin(SESSION).unwrap().secret;
    std::fs::remove_dir_all(set.folder.path()).unwrap();
    assert!(matches!(
        set.factor.renew_paper(),
        Err(AdminError::Unwritable { .. })
    ));
    let confirmed = set.factor.confirm(SESSION, &set.code(&new, 0));
    assert!(matches!(confirmed, Err(AdminError::Unwritable { .. })));
    assert!(set.factor.pending(SESSION).unwrap().is_some());
    // A login passes all the same.
    assert!(set.factor.admits(&set.code(&secret, 0), true) && set.factor.admits(&codes[0], true));
}

#[test]
fn what_waits_for_the_disk_is_done_beside_the_runtime() {
    let (set, disk, ..) = on_a_disk();
    let factor = Arc::new(set.factor);
    // It has one thread.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let held = disk.held.lock().unwrap();
    let renewing = factor.clone();
    let renewed = runtime.spawn(async move { renewing.beside(SecondFactor::renew_paper).await });
    runtime.block_on(async {
        while disk.come.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    });
    assert!(!renewed.is_finished());
    drop(held);
    let renewed = runtime.block_on(renewed);
    assert!(renewed.unwrap().unwrap().is_some());
}
