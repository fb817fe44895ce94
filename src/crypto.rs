//! Key material: the encryption secret, the key ring, sealing. Nothing else touches a key.
//!
//! ```text
//! encryption secret ── Argon2id ──> key-encrypting key ── AES-256-SIV ──> key ring
//!     share keys   seal secrets; the newest seals, older ones still open
//!     index key    seals what must be found by equality
//!     node wrap    seals the node's own private keys
//! ```
//!
//! One primitive does all of it: AES-256-SIV (RFC 5297). It takes any number of associated items and keeps
//! their boundaries, it survives a repeated nonce without giving up more than equality, and without a nonce it
//! is deterministic, which is what a look-up by equality needs. A mode that fails badly on a repeated nonce (GCM)
//! would make every restored backup and every cloned machine a danger.
//!
//! What is to be authentic and not secret (the audit log) has MACs: HMAC-SHA256 under a key that HKDF-SHA256 derives from a
//! key of the ring, its purpose and version and the node named in the derivation. A key of its own in the ring would have been
//! one more that every existing ring lacks; the derived one is rotated, wrapped and restored with what it comes from.
//!
//! The cryptography of TLS comes from one [`provider`], which is here because every room above may need it.
//!
//! This room knows no tables: wrapped keys come and go as [`WrappedKey`] values.

mod derivation;
mod mac;
mod node_key;
mod provider;
mod ring;
mod seal;
mod secret;

use std::path::PathBuf;

pub use derivation::{KeyDerivation, KeyEncryptionKey};
pub use mac::{MAC_LENGTH, MacKey, encoded};
pub use node_key::{NodeKey, verify_signature};
pub use provider::provider;
pub use ring::{KeyRing, KeyState, Purpose, RingEntry, WrappedKey};
pub use seal::{Context, NONCE_LENGTH, TAG_LENGTH};
pub use secret::EncryptionSecret;

/// What can go wrong with keys and with what they seal.
#[derive(Debug, thiserror::Error)]
pub enum CryptoError {
    /// The secret file cannot be read.
    #[error(
        "the encryption secret {path} cannot be read: {source}; check that the file exists and belongs to the user that runs ksnode"
    )]
    SecretUnreadable {
        /// The configured file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The secret file holds nothing.
    #[error(
        "the encryption secret {path} is empty; put the node's secret back, a new one opens nothing"
    )]
    SecretEmpty {
        /// The configured file.
        path: PathBuf,
    },
    /// The secret file can be read by other users of the machine.
    #[error(
        "the encryption secret {path} can be read by others (mode {mode:03o}); run: chmod 600 {path} \
         (where modes cannot be set, as in some containers: allow_readable_secret = true)"
    )]
    SecretExposed {
        /// The configured file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The secret is not the one that this database's key ring was wrapped under.
    #[error(
        "the encryption secret is not the one this database was made with; set secret_file to that one"
    )]
    WrongSecret,
    /// A key of the ring does not open although the secret is right.
    #[error("the key ring is damaged: {purpose} key {version} does not open; restore a backup")]
    DamagedRing {
        /// Which key.
        purpose: Purpose,
        /// Which version of it.
        version: u32,
    },
    /// The ring lacks a key that it cannot be without.
    #[error("the key ring is damaged: it has no {purpose} key; restore a backup")]
    MissingKey {
        /// Which key.
        purpose: Purpose,
    },
    /// A sealed value names a key version that the ring does not have.
    #[error("sealed under {purpose} key {version}, which the ring does not have")]
    UnknownVersion {
        /// Which key.
        purpose: Purpose,
        /// The version named.
        version: u32,
    },
    /// A sealed value was changed, moved to another place, or sealed under another key.
    #[error("a sealed value does not open: damaged, or not from this place")]
    NotAuthentic,
    /// Argon2id refused its cost parameters.
    #[error("the key derivation's cost in the database is impossible: {0}")]
    Derivation(String),
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes: {0}")]
    Random(getrandom::Error),
    /// The library refused to seal. Its only documented reason is more than 126 associated items.
    #[error("a value could not be sealed")]
    Seal,
}

/// Fills a new array with bytes from the operating system.
///
/// # Errors
/// [`CryptoError::Random`] when the system has none to give.
pub fn random<const N: usize>() -> Result<[u8; N], CryptoError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(CryptoError::Random)?;
    Ok(bytes)
}

/// A random UUID (version 4, RFC 9562) with bytes from the operating system.
///
/// # Errors
/// [`CryptoError::Random`].
pub fn random_id() -> Result<uuid::Uuid, CryptoError> {
    Ok(uuid::Builder::from_random_bytes(random()?).into_uuid())
}
