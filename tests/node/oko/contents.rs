//! What a stopped node has, read with its own keys, and what it should have.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ksnode::clock::SystemClock;
use ksnode::config::{Environment, Overrides, load_without_file};
use ksnode::node::{Opened, open_existing};
use ksnode::shares::{Sealing, Transfer};
use ksnode::store::Keychain;

use super::fixture::Suite;

/// Everything that a node has, open. Times in milliseconds.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    /// user_id to auth_type, identifier, created
    pub users: HashMap<String, (String, String, i64)>,
    /// wallet_id to user_id, curve, public key
    pub wallets: HashMap<String, (String, String, String)>,
    /// share_id to wallet_id, share, created, updated, reshared
    pub shares: HashMap<String, (String, String, [i64; 3])>,
    /// version, public key, created, retired
    pub keys: Vec<(u32, String, i64, Option<i64>)>,
}

/// Reads a stopped node with its own keys.
pub fn contents(home: &Path) -> Contents {
    let overrides = Overrides {
        data_dir: Some(home.join(".local/share/ksnode")),
        ..Overrides::default()
    };
    let environment = Environment::new([], PathBuf::from("/"));
    let config = load_without_file(&overrides, &environment).unwrap().config;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let opened = open_existing(&config, &SystemClock::shared())
            .await
            .unwrap();
        let Opened { store, keys, .. } = opened;
        let contents = store
            .read(|connection| Ok::<_, ksnode::store::StoreError>(read(connection, &keys.ring)))
            .await
            .unwrap();
        store.close().await;
        contents
    })
}

fn read(connection: &rusqlite::Connection, ring: &ksnode::crypto::KeyRing) -> Contents {
    let (transfer, sealing) = (Transfer(connection), Sealing(ring));
    let users = transfer
        .users_after(i64::MIN, u32::MAX)
        .unwrap()
        .into_iter();
    let users = users.map(|user| {
        let who = sealing
            .unblind_user(&user.auth_type, &user.identifier)
            .unwrap();
        let value = (
            who.auth_type().to_string(),
            who.identifier().to_owned(),
            user.created_at.as_millis(),
        );
        (user.user_id.to_string(), value)
    });
    let mut contents = Contents {
        users: users.collect(),
        wallets: HashMap::new(),
        shares: HashMap::new(),
        keys: Vec::new(),
    };
    for wallet in transfer.wallets_after(i64::MIN, u32::MAX).unwrap() {
        let key = sealing
            .unblind_key(wallet.curve, &wallet.public_key)
            .unwrap();
        let value = (
            wallet.user_id.to_string(),
            wallet.curve.to_string(),
            hex::encode(key.as_bytes()),
        );
        contents.wallets.insert(wallet.wallet_id.to_string(), value);
        if let Some(share) = &wallet.share {
            let opened = sealing.open_share(wallet.wallet_id, share).unwrap();
            let times = wallet.times;
            // The suite has a moment of reshare from the beginning.
            let reshared = times.reshared_at.unwrap_or(times.created_at);
            let times = [times.created_at, times.updated_at, reshared];
            let value = (
                wallet.wallet_id.to_string(),
                hex::encode(&*opened),
                times.map(|time| time.as_millis()),
            );
            contents.shares.insert(share.share_id.to_string(), value);
        }
    }
    contents.keys = Keychain(connection)
        .node_keys()
        .unwrap()
        .into_iter()
        .map(|key| {
            let retired = key.retired_at.map(|at| at.as_millis());
            (
                key.version,
                hex::encode(key.public_key),
                key.created_at.as_millis(),
                retired,
            )
        })
        .collect();
    contents
}

/// What a node must have after an import of this suite.
pub fn expected(suite: &Suite) -> Contents {
    let millis = |micros: i64| micros.div_euclid(1000);
    let users: HashMap<_, _> = suite
        .users
        .iter()
        .map(|user| {
            (
                user.id.to_string(),
                (
                    user.auth_type.to_owned(),
                    user.identifier.clone(),
                    millis(user.created),
                ),
            )
        })
        .collect();
    let wallets: HashMap<_, _> = suite
        .wallets
        .iter()
        .filter(|wallet| wallet.curve != "p256" && users.contains_key(&wallet.user.to_string()))
        .map(|wallet| {
            (
                wallet.id.to_string(),
                (
                    wallet.user.to_string(),
                    wallet.curve.to_owned(),
                    wallet.public_key.clone(),
                ),
            )
        })
        .collect();
    let shares = suite
        .shares
        .iter()
        .filter(|share| share.spoilt.is_none() && wallets.contains_key(&share.wallet.to_string()))
        .map(|share| {
            let times = [share.created, share.updated, share.reshared].map(millis);
            (
                share.id.to_string(),
                (share.wallet.to_string(), share.share.clone(), times),
            )
        })
        .collect();
    let keys = suite
        .keypairs
        .iter()
        .map(|key| {
            (
                key.version,
                hex::encode(key.public_key()),
                millis(key.created),
                key.rotated.map(millis),
            )
        })
        .collect();
    Contents {
        users,
        wallets,
        shares,
        keys,
    }
}
