//! The rules, against a real store.

mod rotation;
mod sessions;

use std::time::Duration;

use super::*;
use crate::audit::{AUDIT_TABLES, Actor, AuditLog, Standing};
use crate::clock::{Clock, ManualClock};
use crate::crypto::{EncryptionSecret, NodeKey};
use crate::identity::AuthType;
use crate::store::{
    FolderLock, Keychain, KeychainError, NODE_TABLES, OpenKeys, StoreMetrics, StoreOptions,
};

struct House {
    shares: KeyShares,
    sessions: Sessions,
    store: Arc<Store>,
    clock: Arc<ManualClock>,
    node_key: Arc<NodeKey>,
    audit: AuditLog,
    _folder: tempfile::TempDir,
}

impl House {
    /// Registers outside a session.
    async fn register(&self, who: &str, wallets: Vec<WalletShare>) {
        self.shares
            .register(&user(who), wallets, None)
            .await
            .unwrap();
    }
}

async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let lock = FolderLock::take(folder.path()).unwrap();
    let tables = [NODE_TABLES, SHARE_TABLES, GROWTH_TABLE, AUDIT_TABLES];
    let clock = ManualClock::shared();
    let options = StoreOptions::default();
    let store = Arc::new(
        Store::open(
            lock,
            &tables,
            options,
            StoreMetrics::default(),
            clock.clone(),
        )
        .unwrap(),
    );
    let now = clock.now();
    let keys: OpenKeys = store
        .write(move |connection| -> Result<_, KeychainError> {
            Keychain(connection).create(&secret(), now)
        })
        .await
        .unwrap();
    let node_key = Arc::new(keys.node_key);
    let standing = Standing::default();
    House {
        audit: AuditLog::new(store.clone(), &keys.ring, standing, clock.clone()),
        shares: KeyShares::new(store.clone(), Arc::new(keys.ring), clock.clone()),
        sessions: Sessions::new(store.clone(), node_key.clone(), clock.clone()),
        store,
        clock,
        node_key,
        _folder: folder,
    }
}

fn user(name: &str) -> UserId {
    UserId::new(AuthType::from_stored("google"), name).unwrap()
}

fn key(curve: CurveType, fill: u8) -> PublicKey {
    PublicKey::from_bytes(curve, &vec![fill; curve.public_key_length()]).unwrap()
}

fn wallet(curve: CurveType, fill: u8) -> WalletShare {
    WalletShare {
        public_key: key(curve, fill),
        share: Share::from_bytes(&[fill; SHARE_LENGTH]).unwrap(),
    }
}

fn secret() -> EncryptionSecret {
    EncryptionSecret::new(b"secret".to_vec())
}

const K: CurveType = CurveType::Secp256k1;
const E: CurveType = CurveType::Ed25519;

#[tokio::test]
async fn what_is_registered_comes_back_to_its_owner_alone() {
    let house = house().await;
    let shares = &house.shares;
    shares
        .register(&user("a"), vec![wallet(K, 1), wallet(E, 2)], None)
        .await
        .unwrap();

    let got = shares
        .get(&user("a"), &[key(K, 1), key(E, 2)], None)
        .await
        .unwrap();
    assert_eq!(got[0].share.expose(), &[1; SHARE_LENGTH]);
    assert_eq!(got[1].share.expose(), &[2; SHARE_LENGTH]);

    let refused = |user, key| async move { shares.get(&user, &[key], None).await.unwrap_err() };
    assert!(matches!(
        refused(user("b"), key(K, 1)).await,
        ShareError::UserNotFound
    ));
    assert!(matches!(
        refused(user("a"), key(K, 9)).await,
        ShareError::WalletNotFound(K)
    ));
    shares
        .register(&user("b"), vec![wallet(K, 3)], None)
        .await
        .unwrap();
    assert!(matches!(
        refused(user("b"), key(K, 1)).await,
        ShareError::NotOwner(K)
    ));
    house.store.write(delete_shares).await.unwrap();
    assert!(matches!(
        refused(user("a"), key(K, 1)).await,
        ShareError::KeyShareNotFound(K)
    ));
}

fn delete_shares(connection: &Connection) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE wallet SET share_id = NULL, key_version = NULL, sealed = NULL",
        [],
    )?;
    Ok(())
}

#[tokio::test]
async fn users_of_two_providers_with_one_identifier_are_two_users() {
    let house = house().await;
    house.register("a@b", vec![wallet(K, 1)]).await;
    let other = UserId::new(AuthType::from_stored("auth0"), "a@b").unwrap();
    let error = house
        .shares
        .get(&other, &[key(K, 1)], None)
        .await
        .unwrap_err();
    assert!(matches!(error, ShareError::UserNotFound));
}

#[tokio::test]
async fn a_known_key_is_refused_whoever_owns_it_and_nothing_is_half_stored() {
    let house = house().await;
    house.register("a", vec![wallet(E, 2)]).await;
    for who in ["a", "b"] {
        let both = vec![wallet(K, 1), wallet(E, 2)];
        let error = house
            .shares
            .register(&user(who), both, None)
            .await
            .unwrap_err();
        assert!(matches!(error, ShareError::DuplicatePublicKey(E)));
    }
    let unknown = house
        .shares
        .get(&user("b"), &[key(K, 1)], None)
        .await
        .unwrap_err();
    assert!(matches!(unknown, ShareError::UserNotFound));
    let counts = house.shares.count().await.unwrap();
    assert_eq!(counts.iter().map(|count| count.shares).sum::<u64>(), 1);
}

#[tokio::test]
async fn check_tells_existence_and_refuses_another_users_key() {
    let house = house().await;
    let check = |who, key| {
        let shares = house.shares.clone();
        async move { shares.check(&user(who), &[key]).await }
    };
    assert_eq!(check("a", key(K, 1)).await.unwrap(), [false]);
    house.register("a", vec![wallet(K, 1)]).await;
    house.register("b", vec![wallet(K, 3)]).await;
    assert_eq!(check("a", key(K, 1)).await.unwrap(), [true]);
    assert_eq!(check("a", key(K, 2)).await.unwrap(), [false]);
    assert!(matches!(
        check("b", key(K, 1)).await,
        Err(ShareError::NotOwner(K))
    ));
}

#[tokio::test]
async fn reshare_confirms_both_or_neither() {
    let house = house().await;
    house.register("a", vec![wallet(K, 1), wallet(E, 2)]).await;
    house.clock.advance(Duration::from_secs(60));
    let wrong = WalletShare {
        public_key: key(E, 2),
        share: Share::from_bytes(&[9; SHARE_LENGTH]).unwrap(),
    };
    let error = house
        .shares
        .reshare(&user("a"), vec![wallet(K, 1), wrong], None)
        .await
        .unwrap_err();
    assert!(matches!(error, ShareError::ShareMismatch(E)));
    assert_eq!(reshared(&house).await, 0);
    house
        .shares
        .reshare(&user("a"), vec![wallet(K, 1), wallet(E, 2)], None)
        .await
        .unwrap();
    assert_eq!(reshared(&house).await, 2);
}

async fn reshared(house: &House) -> i64 {
    let now = house.clock.now().as_millis();
    house
        .store
        .read(|connection| -> Result<i64, StoreError> {
            let sql = "SELECT count(*) FROM wallet WHERE reshared_at = ?1";
            Ok(connection.query_row(sql, [now], |row| row.get(0))?)
        })
        .await
        .unwrap()
}

/// More than are read at once.
#[tokio::test]
async fn every_wallet_of_a_user_with_many_is_found() {
    let house = house().await;
    let shares = &house.shares;
    let register = async |name, fill| {
        let wallets = vec![wallet(K, fill)];
        shares.register(&user(name), wallets, None).await.unwrap();
    };
    for fill in 1..=20 {
        register("a", fill).await;
    }
    register("b", 100).await;
    for fill in 1..=20 {
        let got = shares.get(&user("a"), &[key(K, fill)], None).await.unwrap();
        assert_eq!(got[0].share.expose(), &[fill; SHARE_LENGTH]);
    }
    let refused = async |fill| {
        let asked = [key(K, 1), key(K, fill)];
        shares.get(&user("a"), &asked, None).await.unwrap_err()
    };
    assert!(matches!(refused(100).await, ShareError::NotOwner(K)));
    assert!(matches!(refused(101).await, ShareError::WalletNotFound(K)));
}

#[tokio::test]
async fn ed25519_is_added_to_a_user_with_a_secp256k1_wallet() {
    let house = house().await;
    let add = |who| {
        let shares = house.shares.clone();
        async move {
            shares
                .register_ed25519(&user(who), wallet(E, 2), None)
                .await
        }
    };
    assert!(matches!(add("a").await, Err(ShareError::UserNotFound)));
    house.register("a", vec![wallet(E, 3)]).await;
    assert!(matches!(add("a").await, Err(ShareError::WalletNotFound(K))));
    house.register("a", vec![wallet(K, 1)]).await;
    add("a").await.unwrap();
    assert!(matches!(
        add("a").await,
        Err(ShareError::DuplicatePublicKey(E))
    ));
}

#[tokio::test]
async fn a_user_is_looked_up_without_a_share_or_a_key() {
    let house = house().await;
    let shares = &house.shares;
    assert_eq!(shares.of_user(&user("a")).await.unwrap(), None);
    let a = user("a");
    let first = house.clock.now();
    let register = shares.register(&a, vec![wallet(K, 1)], None);
    register.await.unwrap();
    house.clock.advance(Duration::from_secs(60));
    let second = house.clock.now();
    let added = shares.register_ed25519(&a, wallet(E, 2), None);
    added.await.unwrap();
    let reshared = shares.reshare(&a, vec![wallet(K, 1)], None);
    reshared.await.unwrap();
    let known = |curve, registered_at, reshared_at| KnownShare {
        curve,
        registered_at,
        reshared_at,
        key_version: Some(1),
    };
    let expected = vec![known(K, first, Some(second)), known(E, second, None)];
    let found = shares.of_user(&user("a")).await.unwrap();
    assert_eq!(found, Some((first, expected)));
    // A wallet may stand without its share.
    house.store.write(delete_shares).await.unwrap();
    let (_, wallets) = shares.of_user(&user("a")).await.unwrap().unwrap();
    assert!(wallets.iter().all(|wallet| wallet.key_version.is_none()));
    assert_eq!(shares.of_user(&user("b")).await.unwrap(), None);
}

#[tokio::test]
async fn growth_is_noted_and_read() {
    let house = house().await;
    let a = user("a");
    let register = house.shares.register(&a, vec![wallet(K, 1)], None);
    register.await.unwrap();
    house.shares.note_growth().await.unwrap();
    let since = house.clock.now();
    house.clock.advance(Duration::from_secs(3 * 86_400));
    house.shares.note_growth().await.unwrap();
    let growth = house.shares.growth(since).await.unwrap();
    let shares: Vec<u64> = growth.iter().map(|day| day.count.shares).collect();
    assert_eq!(shares, [1, 1]);
    let apart = growth[1].day.since(growth[0].day);
    assert_eq!(apart, Duration::from_secs(3 * 86_400));
}
