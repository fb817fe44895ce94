//! Rows under their keys: one that was moved, and rotations of the share key.

use super::*;

#[tokio::test]
async fn a_share_moved_to_another_row_does_not_open() {
    let house = house().await;
    house.register("a", vec![wallet(K, 1)]).await;
    house.register("b", vec![wallet(K, 2)]).await;
    let swap = |connection: &Connection| -> Result<(), StoreError> {
        connection.execute(
            "UPDATE wallet SET sealed = (SELECT sealed FROM wallet WHERE id = 1) WHERE id = 2",
            [],
        )?;
        Ok(())
    };
    house.store.write(swap).await.unwrap();
    let error = house
        .shares
        .get(&user("b"), &[key(K, 2)], None)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        ShareError::Crypto(CryptoError::NotAuthentic)
    ));
}

#[tokio::test]
async fn after_a_rotation_every_share_is_resealed_and_still_opens() {
    let house = house().await;
    for fill in 0..150 {
        house
            .register(&format!("u{fill}"), vec![wallet(K, fill)])
            .await;
    }
    let shares = &house.shares;
    assert_eq!(shares.resealing().await.unwrap(), None);
    assert_eq!(
        shares
            .rotate_key(secret(), &house.audit, &Actor::Node)
            .await
            .unwrap(),
        2
    );
    shares.rotated().await;
    let resealing = |done| {
        Some(Resealing {
            key_version: 2,
            done,
            total: 150,
        })
    };
    assert_eq!(shares.resealing().await.unwrap(), resealing(0));
    let mut steps = Vec::new();
    while let Some(count) = shares.reseal_step().await.unwrap() {
        steps.push(count);
        let expected = if steps.len() == 1 {
            resealing(128)
        } else {
            None
        };
        assert_eq!(shares.resealing().await.unwrap(), expected);
    }
    assert_eq!(steps, [128, 22]);
    for fill in 0..150 {
        let got = shares
            .get(&user(&format!("u{fill}")), &[key(K, fill)], None)
            .await
            .unwrap();
        assert_eq!(got[0].share.expose(), &[fill; SHARE_LENGTH]);
    }
    assert_eq!(sealed_under(&house, 1).await, 0);
}

async fn sealed_under(house: &House, version: u32) -> i64 {
    let sql = "SELECT count(*) FROM wallet WHERE key_version = ?1";
    let count = house.store.read(|connection| -> Result<_, StoreError> {
        Ok(connection.query_row(sql, [version], |row| row.get(0))?)
    });
    count.await.unwrap()
}

/// What is written late has been sealed before the rotation; the pass may neither end before it nor pass it by.
#[tokio::test]
async fn a_register_that_was_under_way_is_resealed_too() {
    let house = house().await;
    let shares = &house.shares;
    let old = shares.ring.get();
    assert_eq!(
        shares
            .rotate_key(secret(), &house.audit, &Actor::Node)
            .await
            .unwrap(),
        2
    );
    for _ in 0..3 {
        assert_eq!(shares.reseal_step().await.unwrap(), Some(0));
    }
    let rows = seal_all(&old, &[wallet(K, 1)]).unwrap();
    let owner = Sealing(&old).blind_user(&user("late")).unwrap();
    let now = house.clock.now();
    let write = move |connection: &Connection| {
        let _sealed_with = old;
        let google = AuthType::from_stored("google");
        let user = table::ensure_user(connection, Uuid::new_v4(), &google, &owner, now)?;
        insert_all(connection, user, &google, &rows, now)
    };
    house.store.write(write).await.unwrap();
    assert_eq!(sealed_under(&house, 1).await, 1);
    while shares.reseal_step().await.unwrap().is_some() {}
    assert_eq!(
        (sealed_under(&house, 1).await, sealed_under(&house, 2).await),
        (0, 1)
    );
    shares.get(&user("late"), &[key(K, 1)], None).await.unwrap();
}

#[tokio::test]
async fn another_secret_rotates_nothing() {
    let house = house().await;
    let other = EncryptionSecret::new(b"another".to_vec());
    let error = house
        .shares
        .rotate_key(other, &house.audit, &Actor::Node)
        .await
        .unwrap_err();
    let wrong = matches!(error, KeychainError::Crypto(CryptoError::WrongSecret));
    assert!(wrong, "{error}");
    assert_eq!(house.shares.resealing().await.unwrap(), None);
}
