//! The node's own ed25519 key (RFC 8032): its public half is its name in the network.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::{Context, CryptoError, KeyRing, Purpose, random};

const SEED: &str = "ksnode/node-key/1";

/// A key pair of the node. The seed is zeroized on drop; `Debug` shows the public half alone.
pub struct NodeKey(SigningKey);

impl NodeKey {
    /// A new key pair.
    ///
    /// # Errors
    /// [`CryptoError::Random`].
    pub fn generate() -> Result<Self, CryptoError> {
        let seed = Zeroizing::new(random::<32>()?);
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The key pair of a seed that was made elsewhere (RFC 8032, section 5.1.5: the secret key's 32 bytes).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, for a program that is to go on with this key.
    pub fn expose_seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Opens a seed that [`Self::seal`] sealed for the same version of the node key.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`], [`CryptoError::UnknownVersion`].
    pub fn open(
        ring: &KeyRing,
        ring_version: u32,
        version: u32,
        sealed: &[u8],
    ) -> Result<Self, CryptoError> {
        let place = version.to_be_bytes();
        let context = Context {
            label: SEED,
            items: &[&place],
        };
        let seed = ring.open(Purpose::NodeWrap, ring_version, context, sealed)?;
        let seed = <&[u8; 32]>::try_from(seed.as_slice()).map_err(|_| CryptoError::NotAuthentic)?;
        Ok(Self(SigningKey::from_bytes(seed)))
    }

    /// Seals the seed as version `version` of the node key. Returns the wrapping key's version and the sealed seed.
    ///
    /// # Errors
    /// [`CryptoError::Random`], [`CryptoError::Seal`].
    pub fn seal(&self, ring: &KeyRing, version: u32) -> Result<(u32, Vec<u8>), CryptoError> {
        let place = version.to_be_bytes();
        let context = Context {
            label: SEED,
            items: &[&place],
        };
        ring.seal(Purpose::NodeWrap, context, self.0.as_bytes())
    }

    /// The public half: 32 bytes.
    pub fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// An ed25519 signature of `message`: R then S, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NodeKey({})", hex::encode(self.public_key()))
    }
}

/// Whether `signature` is the ed25519 signature of `message` by the holder of `public_key`.
///
/// Strict: keys and signatures in a small subgroup, for which one signature fits many messages, are refused.
pub fn verify_signature(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(public_key).is_ok_and(|key| {
        key.verify_strict(message, &Signature::from_bytes(signature))
            .is_ok()
    })
}
