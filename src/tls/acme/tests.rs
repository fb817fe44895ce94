use super::super::Standing;
use super::super::self_signed::testing::pair;
use super::testing::{Places, Scripted, target};
use super::*;
use crate::clock::{Clock, ManualClock};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// A node's dealings with a scripted authority.
struct World {
    clock: Arc<ManualClock>,
    places: Arc<Places>,
    authority: Arc<Scripted>,
}

impl World {
    fn new() -> Self {
        Self {
            clock: ManualClock::shared(),
            places: Places::new(),
            authority: Arc::default(),
        }
    }

    /// What a node that starts now has.
    async fn start(&self, domains: &[&str]) -> Acme {
        let acme = Acme::with(
            target(domains),
            self.authority.clone(),
            Challenges::default(),
            self.places.clone(),
            self.clock.clone(),
        );
        acme.await.unwrap()
    }

    /// Lets the authority issue a certificate that is good for `days` from now on.
    fn issues(&self, names: &[&str], days: i64) {
        let passed = self.clock.now().since(ManualClock::shared().now());
        let from = i64::try_from(passed.as_secs() / 86_400).unwrap();
        let (certificate, key) = pair(names, from, days);
        self.authority.issues(&(key + &certificate));
    }
}

fn facts(acme: &Acme) -> Arc<super::super::CertificateFacts> {
    acme.certificates().facts()
}

#[tokio::test]
async fn the_first_start_answers_with_a_certificate_of_its_own_and_asks_at_once() {
    let world = World::new();
    let mut acme = world.start(&["a.example"]).await;
    assert_eq!(facts(&acme).source, CertificateSource::Fallback);
    assert_eq!(facts(&acme).names, ["a.example"]);
    assert_eq!(facts(&acme).last_attempt, None);
    world.issues(&["a.example"], 90);
    let next = acme.turn(false).await;
    assert_eq!(next.since(world.clock.now()), DAY * 60);
    let known = facts(&acme);
    assert_eq!(known.source, CertificateSource::Acme);
    assert_eq!((known.next_attempt, &known.last_error), (Some(next), &None));
    // Nothing is due, even for somebody who asks.
    acme.turn(true).await;
    assert_eq!(world.authority.times_asked(), 1);
}

#[tokio::test]
async fn a_restart_has_the_same_certificate_and_asks_nobody() {
    let world = World::new();
    let mut acme = world.start(&["b.example", "a.example"]).await;
    world.issues(&["a.example", "b.example"], 6);
    acme.turn(false).await;
    let first = facts(&acme);
    drop(acme);
    let mut acme = world.start(&["a.example", "b.example"]).await;
    assert_eq!(facts(&acme).fingerprint, first.fingerprint);
    assert_eq!(facts(&acme).source, CertificateSource::Acme);
    acme.turn(false).await;
    assert_eq!(world.authority.times_asked(), 1);
}

#[tokio::test]
async fn any_lifetime_is_renewed_after_two_thirds_and_by_the_same_account() {
    for days in [6, 90] {
        let world = World::new();
        let mut acme = world.start(&["a.example"]).await;
        world.issues(&["a.example"], days);
        acme.turn(false).await;
        let first = facts(&acme).fingerprint;
        let days = u32::try_from(days).unwrap();
        world.clock.advance(DAY * days * 2 / 3 - MINUTE);
        acme.turn(false).await;
        assert_eq!(facts(&acme).fingerprint, first);
        world.clock.advance(MINUTE);
        world.issues(&["a.example"], 90);
        acme.turn(false).await;
        assert_ne!(facts(&acme).fingerprint, first);
        let asked = world.authority.asked.lock().unwrap();
        assert!(asked.len() == 2 && asked[0] == asked[1]);
    }
}

#[tokio::test]
async fn failures_are_paced_across_restarts_and_told() {
    let world = World::new();
    let mut made = Vec::new();
    for minute in 0..120 {
        // A node that is started anew each minute.
        let mut acme = world.start(&["a.example"]).await;
        world.authority.fails(Outcome::Refused);
        acme.turn(false).await;
        if world.authority.times_asked() > made.len() {
            made.push(minute);
        }
        let known = facts(&acme);
        assert_eq!(known.last_error.as_deref(), Some("refused on purpose"));
        assert!(known.next_attempt > Some(world.clock.now()));
        world.clock.advance(MINUTE);
    }
    assert_eq!(made, [0, 1, 11, 111]);
}

#[tokio::test]
async fn while_a_renewal_fails_the_old_one_stays() {
    let world = World::new();
    let mut acme = world.start(&["a.example"]).await;
    world.issues(&["a.example"], 6);
    acme.turn(false).await;
    let first = facts(&acme);
    world.clock.advance(DAY * 4);
    for pause in [1, 2, 4, 8] {
        world.authority.fails(Outcome::Unreachable);
        let next = acme.turn(false).await;
        assert_eq!(next.since(world.clock.now()), MINUTE * pause);
        world.clock.advance(MINUTE * pause);
    }
    let known = facts(&acme);
    assert_eq!((known.fingerprint, known.failures), (first.fingerprint, 4));
    assert_eq!(known.standing(world.clock.now()), Standing::Due);
    // Even past its end.
    world.clock.advance(DAY * 3);
    world.authority.fails(Outcome::Refused);
    acme.turn(false).await;
    assert_eq!(facts(&acme).fingerprint, first.fingerprint);
    // And then the authority is back.
    world.clock.advance(MINUTE);
    world.issues(&["a.example"], 6);
    acme.turn(false).await;
    assert_ne!(facts(&acme).fingerprint, first.fingerprint);
    assert_eq!(facts(&acme).last_error, None);
}

#[tokio::test]
async fn who_has_mended_something_need_not_wait() {
    let world = World::new();
    let mut acme = world.start(&["a.example"]).await;
    for _ in 0..3 {
        world.authority.fails(Outcome::Refused);
        world
            .clock
            .advance(acme.turn(false).await.since(world.clock.now()));
    }
    world.authority.fails(Outcome::Refused);
    acme.turn(false).await;
    // Not so soon.
    acme.turn(true).await;
    assert_eq!(world.authority.times_asked(), 4);
    world.clock.advance(MINUTE);
    acme.turn(false).await;
    assert_eq!(world.authority.times_asked(), 4);
    world.issues(&["a.example"], 90);
    acme.turn(true).await;
    assert_eq!(facts(&acme).source, CertificateSource::Acme);
}

#[tokio::test]
async fn other_names_are_asked_for_at_once_and_the_old_certificate_helps_out() {
    let world = World::new();
    let mut acme = world.start(&["a.example"]).await;
    world.issues(&["a.example"], 90);
    acme.turn(false).await;
    let first = facts(&acme).fingerprint;
    let mut acme = world.start(&["a.example", "b.example"]).await;
    assert_eq!(facts(&acme).fingerprint, first);
    world.authority.fails(Outcome::Refused);
    acme.turn(false).await;
    assert_eq!(world.authority.times_asked(), 2);
    assert_eq!(facts(&acme).fingerprint, first);
    // It is of no help for quite another name.
    let mut acme = world.start(&["c.example"]).await;
    assert_eq!(facts(&acme).source, CertificateSource::Fallback);
    world.issues(&["c.example"], 90);
    acme.turn(false).await;
    assert_eq!(facts(&acme).names, ["c.example"]);
}

#[tokio::test]
async fn another_database_is_given_what_is_in_memory() {
    let world = World::new();
    let mut acme = world.start(&["a.example"]).await;
    world.issues(&["a.example"], 90);
    acme.turn(false).await;
    let first = facts(&acme).fingerprint;
    world.places.replace().await;
    acme.turn(false).await;
    assert_eq!(facts(&acme).fingerprint, first);
    drop(acme);
    let mut acme = world.start(&["a.example"]).await;
    assert_eq!(facts(&acme).fingerprint, first);
    acme.turn(false).await;
    assert_eq!(world.authority.times_asked(), 1);
}

#[tokio::test]
async fn a_restored_certificate_takes_the_place_of_the_makeshift() {
    let (from, world) = (World::new(), World::new());
    let mut acme = from.start(&["a.example"]).await;
    from.issues(&["a.example"], 90);
    acme.turn(false).await;

    let mut fresh = world.start(&["a.example"]).await;
    world.authority.fails(Outcome::Refused);
    fresh.turn(false).await;
    fresh.vaults = from.places.clone();
    fresh.turn(false).await;
    assert_eq!(facts(&fresh).fingerprint, facts(&acme).fingerprint);
    assert_eq!(world.authority.times_asked(), 1);
}

#[tokio::test]
async fn what_cannot_be_read_at_the_start_is_read_again_before_anybody_is_asked() {
    let world = World::new();
    let mut acme = world.start(&["a.example"]).await;
    world.issues(&["a.example"], 90);
    acme.turn(false).await;
    let first = facts(&acme).fingerprint;
    let rename = async |sql: &'static str| {
        let store = world.places.vault().store;
        let renamed = store.write(move |connection| {
            connection.execute_batch(sql)?;
            Ok::<_, crate::store::StoreError>(())
        });
        renamed.await.unwrap();
    };
    rename("ALTER TABLE tls_account RENAME TO elsewhere").await;
    let mut acme = world.start(&["a.example"]).await;
    assert_eq!(facts(&acme).source, CertificateSource::Fallback);
    rename("ALTER TABLE elsewhere RENAME TO tls_account").await;
    acme.turn(false).await;
    assert_eq!(facts(&acme).fingerprint, first);
    assert_eq!(world.authority.times_asked(), 1);
}

#[tokio::test]
async fn a_database_that_cannot_be_written_is_no_obstacle() {
    let world = World::new();
    let mut acme = world.start(&["a.example"]).await;
    world.places.vault().store.close().await;
    world.issues(&["a.example"], 90);
    acme.turn(false).await;
    let first = facts(&acme);
    assert_eq!(first.source, CertificateSource::Acme);
    world.places.replace().await;
    acme.turn(false).await;
    assert_eq!(
        facts(&world.start(&["a.example"]).await).fingerprint,
        first.fingerprint
    );
}

#[tokio::test]
async fn what_is_kept_and_damaged_is_had_anew() {
    let world = World::new();
    let mut acme = world.start(&["a.example"]).await;
    world.issues(&["a.example"], 90);
    acme.turn(false).await;
    let vault = world.places.vault();
    let damaged = vault.store.write(|connection| {
        connection.execute_batch(
            "UPDATE tls_certificate SET sealed = zeroblob(80);
             UPDATE tls_account SET key_version = 9",
        )?;
        Ok::<_, crate::store::StoreError>(())
    });
    damaged.await.unwrap();
    let mut acme = world.start(&["a.example"]).await;
    assert_eq!(facts(&acme).source, CertificateSource::Fallback);
    world.issues(&["a.example"], 90);
    acme.turn(false).await;
    assert_eq!(facts(&acme).source, CertificateSource::Acme);
}

#[tokio::test]
async fn nonsense_and_panics_are_failures_like_others() {
    let world = World::new();
    let mut acme = world.start(&["a.example"]).await;
    world.authority.issues("no certificate");
    acme.turn(false).await;
    let error = facts(&acme).last_error.clone().unwrap();
    assert!(error.contains("holds no certificate"), "{error}");
    world.clock.advance(MINUTE);
    world.authority.panics();
    acme.turn(false).await;
    let error = facts(&acme).last_error.clone().unwrap();
    assert!(error.contains("panicked"), "{error}");
    let next = facts(&acme).next_attempt.unwrap();
    assert_eq!(next.since(world.clock.now()), MINUTE * 10);
}

#[tokio::test]
async fn a_clock_that_is_ahead_does_not_have_certificates_issued_without_end() {
    let world = World::new();
    let mut acme = world.start(&["a.example"]).await;
    world.issues(&["a.example"], 90);
    world.clock.advance(DAY * 365);
    let next = acme.turn(false).await;
    assert_eq!(next.since(world.clock.now()), DAY * 30);
    // Clients' clocks may be right, so it is used, after a restart too.
    let mut acme = world.start(&["a.example"]).await;
    assert_eq!(facts(&acme).source, CertificateSource::Acme);
    // Once the clock is right it is good for the rest of its time.
    world.clock.set_wall(ManualClock::shared().now());
    let next = acme.turn(false).await;
    assert_eq!(next.since(world.clock.now()), DAY * 60);
    assert_eq!(world.authority.times_asked(), 1);
}

#[tokio::test]
async fn a_certificate_long_past_its_end_is_not_taken_up_again() {
    let world = World::new();
    let mut acme = world.start(&["a.example"]).await;
    world.issues(&["a.example"], 90);
    acme.turn(false).await;
    world.clock.advance(DAY * 91);
    let mut acme = world.start(&["a.example"]).await;
    assert_eq!(facts(&acme).source, CertificateSource::Fallback);
    world.issues(&["a.example"], 90);
    acme.turn(false).await;
    assert_eq!(facts(&acme).source, CertificateSource::Acme);
}
