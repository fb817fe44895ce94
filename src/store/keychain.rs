//! The tables `node`, `key_ring` and `node_key`: how keys rest in the database, and what may be done with them.

mod unlock;
mod versions;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::StoreError;
use crate::clock::Timestamp;
use crate::crypto::{
    CryptoError, EncryptionSecret, KeyDerivation, KeyEncryptionKey, KeyRing, NodeKey, Purpose,
    WrappedKey, random_id,
};
pub use unlock::{Lock, Unlocked};

/// Why the keys of a database cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeychainError {
    /// The database belongs to another node than its folder.
    #[error(
        "this is the database of another node ({found}); the data folder belongs to node {expected}. \
         Put the right ksnode.db back, or give this database a data_dir of its own"
    )]
    OtherNode {
        /// The node whose folder this is.
        expected: Uuid,
        /// The node whose database this is.
        found: Uuid,
    },
    /// The secret or the ring.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for KeychainError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The keys of a node, open.
#[derive(Debug)]
pub struct OpenKeys {
    /// The node.
    pub node_id: Uuid,
    /// Its key ring.
    pub ring: KeyRing,
    /// Its newest ed25519 key.
    pub node_key: NodeKey,
}

/// A version of the node's ed25519 key, for people to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeKeyEntry {
    /// 1 for the first.
    pub version: u32,
    /// 32 bytes.
    pub public_key: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When a newer one took its place.
    pub retired_at: Option<Timestamp>,
}

/// A line of the key ring, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingRow {
    /// What the key is for.
    pub purpose: String,
    /// 1 for the first of its purpose.
    pub version: u32,
    /// `active` or `retired`.
    pub state: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The keys as they rest in one database.
#[derive(Clone, Copy, Debug)]
pub struct Keychain<'a>(pub &'a Connection);

impl Keychain<'_> {
    /// The node this database belongs to; `None` in a new database.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn node_id(self) -> Result<Option<Uuid>, StoreError> {
        Ok(self
            .0
            .query_row("SELECT node_id FROM node", [], |row| {
                row.get::<_, [u8; 16]>(0)
            })
            .optional()?
            .map(Uuid::from_bytes))
    }

    /// When the node was made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn created_at(self) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_millis(self.0.query_row(
            "SELECT created_at FROM node",
            [],
            |row| row.get(0),
        )?))
    }

    /// Makes all keys of a new node.
    ///
    /// # Errors
    /// [`KeychainError`]; the transaction it runs in is then to be rolled back.
    pub fn create(
        self,
        secret: &EncryptionSecret,
        now: Timestamp,
    ) -> Result<OpenKeys, KeychainError> {
        let node_id = random_id()?;
        let derivation = KeyDerivation::generate()?;
        let key = derivation.derive(secret)?;
        let ring = KeyRing::generate(node_id.into_bytes())?;
        self.0.execute(
            "INSERT INTO node (id, node_id, salt, memory_kib, passes, lanes, secret_check, created_at)
             VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                node_id.into_bytes(),
                derivation.salt,
                derivation.memory_kib,
                derivation.passes,
                derivation.lanes,
                key.check_value(node_id.as_bytes())?,
                now.as_millis()
            ],
        )?;
        self.save_ring(&ring, &key, now)?;
        let node_key = NodeKey::generate()?;
        self.save_node_key(&ring, &node_key, 1, now)?;
        Ok(OpenKeys {
            node_id,
            ring,
            node_key,
        })
    }

    /// Opens the keys with the operator's secret.
    ///
    /// # Errors
    /// [`CryptoError::WrongSecret`], [`CryptoError::DamagedRing`]; [`KeychainError::OtherNode`] when `expected` names
    /// another node.
    pub fn open(
        self,
        secret: &EncryptionSecret,
        expected: Option<Uuid>,
    ) -> Result<OpenKeys, KeychainError> {
        let unlocked = self.unlock(secret, expected)?;
        self.open_with(unlocked.node_id, &unlocked.key)
    }

    /// Wraps the ring under a new secret with a new salt: O(ring), whatever the number of sealed rows.
    ///
    /// # Errors
    /// As [`Self::open`]; the transaction it runs in is then to be rolled back.
    pub fn change_secret(
        self,
        old: &EncryptionSecret,
        new: &EncryptionSecret,
        expected: Option<Uuid>,
        now: Timestamp,
    ) -> Result<(), KeychainError> {
        let keys = self.open(old, expected)?;
        let derivation = KeyDerivation::generate()?;
        let key = derivation.derive(new)?;
        self.0.execute(
            "UPDATE node SET salt = ?1, memory_kib = ?2, passes = ?3, lanes = ?4, secret_check = ?5",
            params![
                derivation.salt,
                derivation.memory_kib,
                derivation.passes,
                derivation.lanes,
                key.check_value(keys.node_id.as_bytes())?
            ],
        )?;
        self.save_ring(&keys.ring, &key, now)
    }

    /// Adds a share key, which seals from now on.
    ///
    /// # Errors
    /// As [`Self::open_unlocked`]; the transaction it runs in is then to be rolled back.
    pub fn rotate_share_key(
        self,
        unlocked: &Unlocked,
        now: Timestamp,
    ) -> Result<(), KeychainError> {
        let mut ring = self.open_unlocked(unlocked)?.ring;
        ring.rotate(Purpose::Share)?;
        self.save_ring(&ring, &unlocked.key, now)
    }

    /// Adds an ed25519 key, which is the node's name in the network from now on.
    ///
    /// # Errors
    /// As [`Self::open_unlocked`]; the transaction it runs in is then to be rolled back.
    pub fn rotate_node_key(self, unlocked: &Unlocked, now: Timestamp) -> Result<(), KeychainError> {
        let keys = self.open_unlocked(unlocked)?;
        let newest: u32 = self
            .0
            .query_row("SELECT max(version) FROM node_key", [], |row| row.get(0))?;
        self.0.execute(
            "UPDATE node_key SET retired_at = ?1 WHERE retired_at IS NULL",
            [now.as_millis()],
        )?;
        let node_key = NodeKey::generate()?;
        self.save_node_key(&keys.ring, &node_key, newest.saturating_add(1), now)
    }

    /// The lines of the ring, which need no secret to be read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn ring_entries(self) -> Result<Vec<RingRow>, StoreError> {
        let mut statement = self.0.prepare(
            "SELECT purpose, version, state, created_at FROM key_ring ORDER BY purpose, version",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(RingRow {
                purpose: row.get(0)?,
                version: row.get(1)?,
                state: row.get(2)?,
                created_at: Timestamp::from_millis(row.get(3)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// All versions of the node's ed25519 key, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn node_keys(self) -> Result<Vec<NodeKeyEntry>, StoreError> {
        let mut statement = self.0.prepare(
            "SELECT version, public_key, created_at, retired_at FROM node_key ORDER BY version",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(NodeKeyEntry {
                version: row.get(0)?,
                public_key: row.get(1)?,
                created_at: Timestamp::from_millis(row.get(2)?),
                retired_at: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn open_with(self, node_id: Uuid, key: &KeyEncryptionKey) -> Result<OpenKeys, KeychainError> {
        let ring = KeyRing::unwrap(key, node_id.into_bytes(), &self.wrapped_keys()?)?;
        let (version, ring_version, sealed) = self.0.query_row(
            "SELECT version, ring_version, sealed_seed FROM node_key ORDER BY version DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?)),
        )?;
        let node_key = NodeKey::open(&ring, ring_version, version, &sealed)
            .map_err(|error| StoreError::Damaged(format!("node key {version}: {error}")))?;
        Ok(OpenKeys {
            node_id,
            ring,
            node_key,
        })
    }

    fn wrapped_keys(self) -> Result<Vec<WrappedKey>, StoreError> {
        let mut statement = self
            .0
            .prepare("SELECT purpose, version, wrapped FROM key_ring")?;
        let mut rows = statement.query([])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let purpose = Purpose::from_stored(&name)
                .ok_or_else(|| StoreError::Damaged(format!("a key for the purpose '{name}'")))?;
            keys.push(WrappedKey {
                purpose,
                version: row.get(1)?,
                wrapped: row.get(2)?,
            });
        }
        Ok(keys)
    }

    fn save_ring(
        self,
        ring: &KeyRing,
        key: &KeyEncryptionKey,
        now: Timestamp,
    ) -> Result<(), KeychainError> {
        let mut statement = self.0.prepare(
            "INSERT INTO key_ring (purpose, version, state, wrapped, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (purpose, version) DO UPDATE SET state = excluded.state, wrapped = excluded.wrapped",
        )?;
        for (row, entry) in ring.wrap(key)?.iter().zip(ring.entries()) {
            statement.execute(params![
                row.purpose.as_str(),
                row.version,
                entry.state.as_str(),
                row.wrapped,
                now.as_millis()
            ])?;
        }
        Ok(())
    }

    fn save_node_key(
        self,
        ring: &KeyRing,
        key: &NodeKey,
        version: u32,
        now: Timestamp,
    ) -> Result<(), KeychainError> {
        let (ring_version, sealed) = key.seal(ring, version)?;
        self.0.execute(
            "INSERT INTO node_key (version, public_key, ring_version, sealed_seed, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                version,
                key.public_key(),
                ring_version,
                sealed,
                now.as_millis()
            ],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::crypto::Context;
    use crate::store::NODE_TABLES;

    const PLACE: Context<'_> = Context {
        label: "test/1",
        items: &[],
    };

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(NODE_TABLES).unwrap();
        connection
    }

    fn secret(text: &str) -> EncryptionSecret {
        EncryptionSecret::new(text.into())
    }

    fn now() -> Timestamp {
        ManualClock::shared().now()
    }

    #[test]
    fn keys_come_back_with_the_right_secret() {
        let database = database();
        let made = Keychain(&database).create(&secret("one"), now()).unwrap();
        let opened = Keychain(&database)
            .open(&secret("one"), Some(made.node_id))
            .unwrap();
        assert_eq!(opened.node_key.public_key(), made.node_key.public_key());
        let (version, sealed) = made.ring.seal(Purpose::Share, PLACE, b"x").unwrap();
        assert!(
            opened
                .ring
                .open(Purpose::Share, version, PLACE, &sealed)
                .is_ok()
        );
    }

    #[test]
    fn wrong_secret_damaged_ring_and_another_node_are_three_errors() {
        let database = database();
        let made = Keychain(&database).create(&secret("one"), now()).unwrap();
        let open = |text: &str, node| Keychain(&database).open(&secret(text), node).unwrap_err();

        let wrong = open("two", Some(made.node_id)).to_string();
        let other = open("one", Some(Uuid::nil())).to_string();
        database
            .execute(
                "UPDATE key_ring SET wrapped = zeroblob(80) WHERE purpose = 'index'",
                [],
            )
            .unwrap();
        let damaged = open("one", Some(made.node_id)).to_string();
        assert!(
            wrong.contains("not the one this database was made with"),
            "{wrong}"
        );
        assert!(other.contains("another node"), "{other}");
        assert!(damaged.contains("index key 1 does not open"), "{damaged}");
    }

    #[test]
    fn a_changed_secret_opens_the_same_ring() {
        let database = database();
        let made = Keychain(&database).create(&secret("one"), now()).unwrap();
        let (version, sealed) = made.ring.seal(Purpose::Share, PLACE, b"x").unwrap();
        Keychain(&database)
            .change_secret(&secret("one"), &secret("two"), None, now())
            .unwrap();
        assert!(Keychain(&database).open(&secret("one"), None).is_err());
        let opened = Keychain(&database).open(&secret("two"), None).unwrap();
        assert!(
            opened
                .ring
                .open(Purpose::Share, version, PLACE, &sealed)
                .is_ok()
        );
    }

    #[test]
    fn rotations_add_versions() {
        let database = database();
        let keychain = Keychain(&database);
        let made = keychain.create(&secret("one"), now()).unwrap();
        let unlocked = keychain.lock().unwrap().unlock(&secret("one")).unwrap();
        keychain.rotate_share_key(&unlocked, now()).unwrap();
        keychain.rotate_node_key(&unlocked, now()).unwrap();
        let opened = Keychain(&database).open(&secret("one"), None).unwrap();
        assert_eq!(opened.ring.current_version(Purpose::Share).unwrap(), 2);
        let versions = Keychain(&database).node_keys().unwrap();
        assert_eq!(versions.len(), 2);
        assert_eq!(versions[0].public_key, made.node_key.public_key());
        assert_eq!(versions[1].public_key, opened.node_key.public_key());
        assert!(versions[0].retired_at.is_some() && versions[1].retired_at.is_none());
        let retired: String = database
            .query_row(
                "SELECT state FROM key_ring WHERE purpose = 'share' AND version = 1",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(retired, "retired");
    }

    #[test]
    fn a_key_that_was_made_before_a_change_of_the_secret_opens_nothing_more() {
        let database = database();
        let keychain = Keychain(&database);
        keychain.create(&secret("one"), now()).unwrap();
        let unlocked = keychain.lock().unwrap().unlock(&secret("one")).unwrap();
        keychain.open_unlocked(&unlocked).unwrap();
        keychain
            .change_secret(&secret("one"), &secret("two"), None, now())
            .unwrap();
        for refused in [
            keychain.open_unlocked(&unlocked).map(drop),
            keychain.rotate_share_key(&unlocked, now()),
            keychain.rotate_node_key(&unlocked, now()),
        ] {
            let error = refused.unwrap_err();
            let wrong = matches!(error, KeychainError::Crypto(CryptoError::WrongSecret));
            assert!(wrong, "{error}");
        }
        assert_eq!(keychain.node_keys().unwrap().len(), 1);
    }
}
