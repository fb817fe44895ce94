use memchr::memmem::find;

use super::super::testing::{Places, target};
use super::*;
use crate::clock::{Clock, ManualClock};

fn kept() -> Kept {
    let now = ManualClock::shared().now();
    let mut attempts = Attempts::default();
    attempts.begin(now);
    attempts.end(now, Outcome::Refused, Some("no".into()));
    Kept {
        account: Some(Zeroizing::new(b"the account's private key".to_vec())),
        certificate: Some((
            Zeroizing::new(b"the private key and the certificate".to_vec()),
            now,
        )),
        attempts,
    }
}

fn assert_same(one: &Kept, other: &Kept) {
    assert_eq!(one.account, other.account);
    assert_eq!(one.certificate, other.certificate);
    assert_eq!(one.attempts, other.attempts);
}

#[tokio::test]
async fn what_is_kept_comes_back() {
    let places = Places::new();
    let target = target(&["a.example", "b.example"]);
    let empty = places.vault().load(&target).await.unwrap();
    assert_same(&empty, &Kept::default());
    places.vault().save(&target, &kept()).await.unwrap();
    assert_same(&places.vault().load(&target).await.unwrap(), &kept());
    // Once more, over what is there.
    places.vault().save(&target, &kept()).await.unwrap();
    assert_same(&places.vault().load(&target).await.unwrap(), &kept());
}

#[tokio::test]
async fn other_names_another_authority_or_contact_have_nothing_of_it() {
    let places = Places::new();
    let vault = places.vault();
    let ours = target(&["a.example", "b.example"]);
    vault.save(&ours, &kept()).await.unwrap();

    let turned = target(&["b.example", "a.example", "b.example"]);
    assert_same(&vault.load(&turned).await.unwrap(), &kept());

    let fewer = vault.load(&target(&["a.example"])).await.unwrap();
    assert!(fewer.certificate.is_none() && fewer.attempts.last().is_none());
    assert_eq!(fewer.account, kept().account);

    let mut elsewhere = ours.clone();
    elsewhere.directory = "https://other.example/directory".into();
    let found = vault.load(&elsewhere).await.unwrap();
    assert_same(&found, &Kept::default());

    let mut other_contact = ours.clone();
    other_contact.contact = None;
    let found = vault.load(&other_contact).await.unwrap();
    assert!(found.account.is_none() && found.certificate.is_some());
}

#[tokio::test]
async fn nothing_of_the_keys_is_in_the_files() {
    let places = Places::new();
    places
        .vault()
        .save(&target(&["a.example"]), &kept())
        .await
        .unwrap();
    let bytes = places.bytes();
    assert!(find(&bytes, b"a.example").is_some());
    for secret in [&b"private key"[..], b"certificate\0", b"admin@example.org"] {
        assert!(find(&bytes, secret).is_none());
    }
}

/// Runs SQL on the database in use.
async fn change(places: &Places, sql: &'static str) {
    let vault = places.vault();
    let changed = vault.store.write(move |connection| {
        connection.execute_batch(sql)?;
        Ok::<_, StoreError>(())
    });
    changed.await.unwrap();
}

#[tokio::test]
async fn a_moved_row_does_not_open() {
    let places = Places::new();
    let (ours, other) = (target(&["a.example"]), target(&["b.example"]));
    places.vault().save(&ours, &kept()).await.unwrap();
    change(&places, "UPDATE tls_certificate SET domains = 'b.example'").await;
    let found = places.vault().load(&other).await.unwrap();
    assert!(found.certificate.is_none());
    assert!(places.vault().others(&ours).await.unwrap().is_empty());

    change(&places, "UPDATE tls_certificate SET domains = 'a.example'").await;
    let found = places.vault().load(&ours).await.unwrap();
    assert!(found.certificate.is_some() && found.account.is_some());

    let swapped = "UPDATE tls_certificate SET sealed = (SELECT sealed FROM tls_account)";
    change(&places, swapped).await;
    let found = places.vault().load(&ours).await.unwrap();
    assert!(found.certificate.is_none() && found.account.is_some());

    let elsewhere = "UPDATE tls_account SET directory = 'https://other.example/directory'";
    change(&places, elsewhere).await;
    let mut there = ours.clone();
    there.directory = "https://other.example/directory".into();
    assert!(places.vault().load(&there).await.unwrap().account.is_none());
}

#[tokio::test]
async fn others_go_when_there_is_one_for_the_new_names() {
    let places = Places::new();
    let vault = places.vault();
    let (old, new) = (target(&["a.example"]), target(&["a.example", "b.example"]));
    vault.save(&old, &kept()).await.unwrap();
    let without = Kept {
        certificate: None,
        ..kept()
    };
    vault.save(&new, &without).await.unwrap();
    assert_eq!(vault.others(&new).await.unwrap().len(), 1);
    vault.save(&new, &kept()).await.unwrap();
    assert!(vault.others(&new).await.unwrap().is_empty());
    assert!(vault.load(&old).await.unwrap().attempts.last().is_none());
}
