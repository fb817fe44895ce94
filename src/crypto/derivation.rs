//! From the operator's secret to the key-encrypting key: Argon2id (RFC 9106).

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::seal::{Context, KEY_LENGTH, SealingKey};
use super::{CryptoError, EncryptionSecret, Purpose, random};

/// Salt and cost of the derivation. They stand in the database's header row, so that each database keeps the cost
/// it was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyDerivation {
    /// Random and public; another one for each change of the secret.
    pub salt: [u8; 16],
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes that could run in parallel.
    pub lanes: u32,
}

/// The most that a database may ask for: what stands in its header row may come from anybody who had the file, and a
/// derivation can neither be stopped nor go without its memory. 16 times what new databases ask for.
const MOST: KeyDerivation = KeyDerivation {
    salt: [0; 16],
    memory_kib: 1 << 20,
    passes: 48,
    lanes: 16,
};

impl KeyDerivation {
    /// A new salt with the default cost: 64 MiB, 3 passes, 1 lane (RFC 9106, section 4, second choice, in one lane).
    ///
    /// # Errors
    /// [`CryptoError::Random`].
    pub fn generate() -> Result<Self, CryptoError> {
        Ok(Self {
            salt: random()?,
            memory_kib: 64 * 1024,
            passes: 3,
            lanes: 1,
        })
    }

    /// Derives the key-encrypting key; takes about 0.12 s and 64 MiB at the default cost.
    ///
    /// # Errors
    /// [`CryptoError::Derivation`] when the parameters are outside what RFC 9106 allows, or cost more than any database of
    /// ours does.
    pub fn derive(&self, secret: &EncryptionSecret) -> Result<KeyEncryptionKey, CryptoError> {
        let too_much = self.memory_kib > MOST.memory_kib
            || self.passes > MOST.passes
            || self.lanes > MOST.lanes;
        if too_much {
            return Err(CryptoError::Derivation(format!(
                "the database asks for {} KiB of memory, {} passes and {} lanes, and no database of ksnode asks for more \
                 than {}, {} and {}: its header row was changed; restore a backup",
                self.memory_kib, self.passes, self.lanes, MOST.memory_kib, MOST.passes, MOST.lanes
            )));
        }
        let refused = |error: argon2::Error| CryptoError::Derivation(error.to_string());
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(KEY_LENGTH))
            .map_err(refused)?;
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(secret.expose(), &self.salt, key.as_mut_slice())
            .map_err(refused)?;
        SealingKey::from_bytes(key.as_slice())
            .map(KeyEncryptionKey)
            .ok_or_else(|| CryptoError::Derivation("wrong key length".into()))
    }
}

/// The key that wraps the ring and nothing else.
pub struct KeyEncryptionKey(SealingKey);

const CHECK: &str = "ksnode/secret-check/1";
const RING: &str = "ksnode/ring/1";

impl KeyEncryptionKey {
    /// A value from which [`Self::verify`] later tells whether the secret is the right one, without any key of
    /// the ring being involved: so a wrong secret and a damaged ring are told apart.
    ///
    /// # Errors
    /// [`CryptoError::Seal`].
    pub fn check_value(&self, node_id: &[u8; 16]) -> Result<Vec<u8>, CryptoError> {
        self.0
            .seal_deterministic(check_context(&[node_id]), 1, node_id)
    }

    /// Whether `check_value` was made by this key for this node.
    ///
    /// # Errors
    /// [`CryptoError::WrongSecret`] when it was not.
    pub fn verify(&self, node_id: &[u8; 16], check_value: &[u8]) -> Result<(), CryptoError> {
        self.0
            .open_deterministic(check_context(&[node_id]), 1, check_value)
            .map(drop)
            .map_err(|_| CryptoError::WrongSecret)
    }

    pub(super) fn wrap(
        &self,
        node_id: &[u8; 16],
        purpose: Purpose,
        version: u32,
        key: &SealingKey,
    ) -> Result<Vec<u8>, CryptoError> {
        let items: [&[u8]; 2] = [node_id, purpose.as_str().as_bytes()];
        let context = Context {
            label: RING,
            items: &items,
        };
        self.0.seal_deterministic(context, version, key.expose())
    }

    pub(super) fn unwrap(
        &self,
        node_id: &[u8; 16],
        purpose: Purpose,
        version: u32,
        wrapped: &[u8],
    ) -> Result<SealingKey, CryptoError> {
        let items: [&[u8]; 2] = [node_id, purpose.as_str().as_bytes()];
        let context = Context {
            label: RING,
            items: &items,
        };
        self.0
            .open_deterministic(context, version, wrapped)
            .ok()
            .and_then(|key| SealingKey::from_bytes(&key))
            .ok_or(CryptoError::DamagedRing { purpose, version })
    }
}

fn check_context<'a>(items: &'a [&'a [u8]]) -> Context<'a> {
    Context {
        label: CHECK,
        items,
    }
}

impl std::fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyEncryptionKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without the bound, memory alone would end the process: there is no asking for terabytes.
    #[test]
    fn a_database_cannot_ask_for_any_cost() {
        let secret = EncryptionSecret::new(b"one".to_vec());
        let cheap = KeyDerivation {
            salt: [1; 16],
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        };
        cheap.derive(&secret).unwrap();
        for dear in [
            KeyDerivation {
                memory_kib: u32::MAX,
                ..cheap
            },
            KeyDerivation {
                passes: u32::MAX,
                ..cheap
            },
            KeyDerivation {
                memory_kib: 1 << 20,
                lanes: 17,
                ..cheap
            },
        ] {
            let error = dear.derive(&secret).unwrap_err().to_string();
            assert!(error.contains("header row was changed"), "{error}");
        }
    }
}
