//! What a state of the disk holds, and whether it is whole: by the store's own code.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use ksnode::clock::SystemClock;
use ksnode::crypto::{
    EncryptionSecret, KeyDerivation, KeyEncryptionKey, KeyRing, NodeKey, Purpose, WrappedKey,
};
use ksnode::identity::AuthType;
use ksnode::node::MIGRATIONS;
use ksnode::shares::{CurveType, SealedShare, Sealing};
use ksnode::store::{
    DATABASE_FILE, FolderLock, Store, StoreError, StoreMetrics, StoreOptions, open_read_only,
    schema_version,
};
use rusqlite::Connection;

use crate::campaign::{Dice, names};
use crate::support::{public_key, share};

/// What was found.
#[derive(Debug, Default)]
pub struct Holding {
    /// Users with both shares, which open and are theirs.
    pub users: BTreeSet<u64>,
    /// The same of the backup made before a restore, when there is a finished one.
    pub safety: Option<BTreeSet<u64>>,
    /// The schema that the state had, before it was migrated by being opened.
    pub schema: Option<usize>,
    /// The finished backups.
    pub backups: Vec<String>,
}

/// Opens states. Derived keys are kept: a derivation takes longer than all the rest.
#[derive(Default)]
pub struct Inspector {
    derived: HashMap<(Vec<u8>, [u8; 16]), Rc<KeyEncryptionKey>>,
    /// Rows that opened, byte for byte, and whose they are.
    opened: HashMap<Vec<u8>, u64>,
}

impl Inspector {
    /// Opens the data folder of the home `home` as a node that starts does, and reads all of it.
    pub fn inspect(&mut self, home: &Path, dice: &mut Dice) -> Result<Holding, String> {
        let data = home.join(".local/share/ksnode");
        if !data.join("ksnode.db").exists() && !data.join("ksnode.db.restored").exists() {
            return Ok(Holding::default());
        }
        // What processes shared is not of the disk's, and says nothing after a power cut.
        let remains = match dice.throw(3) {
            0 => None,
            1 => Some(vec![0; 32 * 1024]),
            _ => Some((0..32 * 1024).map(|_| dice.throw(256) as u8).collect()),
        };
        if let Some(remains) = remains {
            std::fs::write(data.join("ksnode.db-shm"), remains).unwrap();
        }
        let secrets = secrets(&data);
        let schema =
            schema_version(&data.join(DATABASE_FILE)).map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let looked = runtime.unwrap().block_on(async {
            let store = open(&data)?;
            let look = |connection: &Connection| Ok(self.look(connection, &secrets));
            let looked = store.read(look).await;
            store.close().await;
            looked
        });
        let looked: Result<Result<BTreeSet<u64>, String>, StoreError> = looked;
        let users = looked.map_err(|error| error.to_string())??;
        let backups = data.join("backups");
        let finished = names(&backups).into_iter();
        let finished: Vec<String> = finished.filter(|name| name.ends_with(".db")).collect();
        let mut safety = None;
        if let Some(name) = finished.iter().find(|name| name.contains("before-restore")) {
            let file = open_read_only(&backups.join(name)).map_err(|error| error.to_string())?;
            safety = Some(self.look(&file, &secrets)?);
        }
        Ok(Holding {
            users,
            safety,
            schema,
            backups: finished,
        })
    }

    /// The users of a whole database, which opens with one of the secrets. One without keys holds nobody.
    fn look(
        &mut self,
        connection: &Connection,
        secrets: &[Vec<u8>],
    ) -> Result<BTreeSet<u64>, String> {
        whole(connection)?;
        let Some((node_id, keys)) = header(connection) else {
            return Ok(BTreeSet::new());
        };
        let opened = secrets.iter().find_map(|secret| {
            let key = self.derive(secret, keys.derivation);
            key.verify(&node_id, &keys.check).ok().map(|()| key)
        });
        let key = opened.ok_or("no secret file opens the ring")?;
        let ring = KeyRing::unwrap(&key, node_id, &wrapped(connection));
        let ring = ring.map_err(|error| error.to_string())?;
        node_key(connection, &ring)?;
        self.users(connection, &ring)
    }

    /// Every share opens, is its owner's, and has its other half beside it; and they are counted right.
    fn users(&mut self, connection: &Connection, ring: &KeyRing) -> Result<BTreeSet<u64>, String> {
        let sql = "SELECT auth_type, identifier, curve_type, public_key, wallet_id, share_id, key_version, sealed
               FROM wallet JOIN user ON user.id = wallet.user";
        let mut statement = connection.prepare(sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        let mut curves: BTreeMap<u64, u32> = BTreeMap::new();
        while let Some(row) = rows.next().unwrap() {
            let known = fingerprint(row);
            let user = match self.opened.get(&known) {
                Some(user) => *user,
                None => open_row(row, ring).map_err(|error| format!("a row: {error}"))?,
            };
            self.opened.insert(known, user);
            *curves.entry(user).or_default() += 1;
        }
        if let Some((user, _)) = curves.iter().find(|(_, count)| **count != 2) {
            return Err(format!("user {user} has one share of two"));
        }
        let sql = "SELECT coalesce(sum(shares), 0) FROM share_count";
        let counted: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        if counted != 2 * curves.len() as i64 {
            return Err(format!(
                "{} users and {counted} shares are counted",
                curves.len()
            ));
        }
        Ok(curves.into_keys().collect())
    }

    fn derive(&mut self, secret: &[u8], derivation: KeyDerivation) -> Rc<KeyEncryptionKey> {
        let derive = || {
            let secret = EncryptionSecret::new(secret.to_vec());
            Rc::new(derivation.derive(&secret).unwrap())
        };
        let known = (secret.to_vec(), derivation.salt);
        self.derived.entry(known).or_insert_with(derive).clone()
    }
}

fn open(data: &Path) -> Result<Arc<Store>, StoreError> {
    let folder = FolderLock::take(data)?;
    let (options, metrics) = (StoreOptions::default(), StoreMetrics::default());
    let store = Store::open(folder, MIGRATIONS, options, metrics, SystemClock::shared())?;
    Ok(Arc::new(store))
}

/// The secret's file, and those of a change that was cut off.
fn secrets(data: &Path) -> Vec<Vec<u8>> {
    let all = names(data).into_iter();
    let secrets = all.filter(|name| *name == "secret" || *name == "secret.new");
    let secrets = secrets.map(|name| std::fs::read(data.join(name)).unwrap());
    secrets.filter(|secret| !secret.is_empty()).collect()
}

struct Keys {
    derivation: KeyDerivation,
    check: Vec<u8>,
}

fn header(connection: &Connection) -> Option<([u8; 16], Keys)> {
    let sql = "SELECT node_id, salt, memory_kib, passes, lanes, secret_check FROM node";
    let row = connection.query_row(sql, [], |row| {
        let derivation = KeyDerivation {
            salt: row.get(1)?,
            memory_kib: row.get(2)?,
            passes: row.get(3)?,
            lanes: row.get(4)?,
        };
        let check = row.get(5)?;
        Ok((row.get(0)?, Keys { derivation, check }))
    });
    row.ok()
}

fn whole(connection: &Connection) -> Result<(), String> {
    let check = "PRAGMA integrity_check";
    let found: String = connection.query_row(check, [], |row| row.get(0)).unwrap();
    let orphans = "SELECT count(*) FROM pragma_foreign_key_check";
    let orphans: i64 = connection.query_row(orphans, [], |row| row.get(0)).unwrap();
    if (found.as_str(), orphans) == ("ok", 0) {
        Ok(())
    } else {
        Err(format!("not whole: {found}, {orphans} orphans"))
    }
}

fn wrapped(connection: &Connection) -> Vec<WrappedKey> {
    let sql = "SELECT purpose, version, wrapped FROM key_ring";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        let purpose: String = row.get(0)?;
        Ok(WrappedKey {
            purpose: Purpose::from_stored(&purpose).unwrap(),
            version: row.get(1)?,
            wrapped: row.get(2)?,
        })
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn node_key(connection: &Connection, ring: &KeyRing) -> Result<(), String> {
    let sql = "SELECT version, ring_version, sealed_seed FROM node_key ORDER BY version DESC";
    let row = connection.query_row(sql, [], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?))
    });
    let (version, ring_version, sealed) = row.map_err(|error| error.to_string())?;
    let opened = NodeKey::open(ring, ring_version, version, &sealed);
    opened.map(drop).map_err(|error| error.to_string())
}

/// All of a row.
fn fingerprint(row: &rusqlite::Row<'_>) -> Vec<u8> {
    let columns = (0..8).map(|index| format!("{:?}", row.get_ref(index).unwrap()));
    columns.collect::<String>().into_bytes()
}

fn open_row(row: &rusqlite::Row<'_>, ring: &KeyRing) -> Result<u64, String> {
    let told = |error: ksnode::crypto::CryptoError| error.to_string();
    let bytes = |index: usize| row.get::<_, Vec<u8>>(index).unwrap();
    let id = |index: usize| uuid::Uuid::from_bytes(row.get(index).unwrap());
    let curve: String = row.get(2).unwrap();
    let curve = CurveType::from_name(&curve).unwrap();
    let auth_type = AuthType::from_stored(&row.get::<_, String>(0).unwrap());
    let sealing = Sealing(ring);
    let user = sealing.unblind_user(&auth_type, &bytes(1)).map_err(told)?;
    let user = user.identifier().strip_prefix("telegram_").unwrap();
    let user = user.parse().unwrap();
    let key = sealing.unblind_key(curve, &bytes(3)).map_err(told)?;
    let sealed = SealedShare {
        share_id: id(5),
        key_version: row.get(6).unwrap(),
        sealed: bytes(7),
    };
    let opened = sealing.open_share(id(4), &sealed).map_err(told)?;
    let right = hex::encode(key.as_bytes()) == public_key(curve.as_str(), user)
        && hex::encode(&*opened) == share(curve.as_str(), user);
    if right {
        Ok(user)
    } else {
        Err(format!("user {user} has another one's {curve} share"))
    }
}
