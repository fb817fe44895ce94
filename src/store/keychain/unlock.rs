//! Opening the keys in two steps: the slow one, which needs no database, and the others.

use rusqlite::OptionalExtension;
use uuid::Uuid;

use super::{Keychain, KeychainError, OpenKeys};
use crate::crypto::{EncryptionSecret, KeyDerivation, KeyEncryptionKey};
use crate::store::StoreError;

/// How a database's keys are locked: what an encryption secret is tried at.
#[derive(Clone, Debug)]
pub struct Lock {
    node_id: Uuid,
    derivation: KeyDerivation,
    check: Vec<u8>,
}

/// The key-encrypting key of a database, made from its encryption secret.
#[derive(Debug)]
pub struct Unlocked {
    pub(super) node_id: Uuid,
    pub(super) key: KeyEncryptionKey,
}

impl Lock {
    /// The node whose keys these are.
    pub fn node_id(&self) -> Uuid {
        self.node_id
    }

    /// Tries a secret. It takes a tenth of a second and 64 MiB, and is to be done on a thread that nobody waits for.
    ///
    /// # Errors
    /// [`crate::crypto::CryptoError::WrongSecret`].
    pub fn unlock(&self, secret: &EncryptionSecret) -> Result<Unlocked, KeychainError> {
        let unlocked = Unlocked {
            node_id: self.node_id,
            key: self.derivation.derive(secret)?,
        };
        self.admits(&unlocked)?;
        Ok(unlocked)
    }

    fn admits(&self, unlocked: &Unlocked) -> Result<(), KeychainError> {
        Ok(unlocked.key.verify(self.node_id.as_bytes(), &self.check)?)
    }
}

impl Keychain<'_> {
    /// How the keys are locked.
    ///
    /// # Errors
    /// [`StoreError`], also when there are none.
    pub fn lock(self) -> Result<Lock, StoreError> {
        let lock = self.0.query_row(
            "SELECT node_id, salt, memory_kib, passes, lanes, secret_check FROM node",
            [],
            |row| {
                Ok(Lock {
                    node_id: Uuid::from_bytes(row.get(0)?),
                    derivation: KeyDerivation {
                        salt: row.get(1)?,
                        memory_kib: row.get(2)?,
                        passes: row.get(3)?,
                        lanes: row.get(4)?,
                    },
                    check: row.get(5)?,
                })
            },
        );
        lock.optional()?
            .ok_or_else(|| StoreError::Damaged("its header row is missing".into()))
    }

    /// Opens the keys with a key that was made before.
    ///
    /// # Errors
    /// [`crate::crypto::CryptoError::WrongSecret`] when the secret was changed since;
    /// [`crate::crypto::CryptoError::DamagedRing`].
    pub fn open_unlocked(self, unlocked: &Unlocked) -> Result<OpenKeys, KeychainError> {
        self.lock()?.admits(unlocked)?;
        self.open_with(unlocked.node_id, &unlocked.key)
    }

    /// The key-encrypting key, once it is certain that it is the right one.
    pub(super) fn unlock(
        self,
        secret: &EncryptionSecret,
        expected: Option<Uuid>,
    ) -> Result<Unlocked, KeychainError> {
        let lock = self.lock()?;
        let found = lock.node_id();
        match expected.filter(|expected| *expected != found) {
            Some(expected) => Err(KeychainError::OtherNode { expected, found }),
            None => lock.unlock(secret),
        }
    }
}
