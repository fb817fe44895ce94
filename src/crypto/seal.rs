//! AES-256-SIV (RFC 5297) over one key: sealing with a nonce, and without one for equality.

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use zeroize::{Zeroize, Zeroizing};

use super::{CryptoError, random};

/// Bytes of a key: 32 for the synthetic IV, 32 for the cipher.
pub(super) const KEY_LENGTH: usize = 64;
/// Bytes of the random nonce in front of a randomised sealed value.
pub const NONCE_LENGTH: usize = 16;
/// Bytes by which the synthetic IV lengthens a plaintext.
pub const TAG_LENGTH: usize = 16;

/// Where a sealed value belongs: it opens nowhere else.
///
/// The label names the kind of value and the format's version; the items name the place (a row's ids). Each is an
/// associated item of its own, so `("ab", "c")` and `("a", "bc")` are different places.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Kind of value and version of its format, e.g. `ksnode/share/1`.
    pub label: &'static str,
    /// What names the place.
    pub items: &'a [&'a [u8]],
}

/// One 64-byte key. Zeroized on drop; it has no `Debug`.
pub(super) struct SealingKey(Box<[u8; KEY_LENGTH]>);

impl SealingKey {
    pub(super) fn generate() -> Result<Self, CryptoError> {
        let mut key = Box::new([0; KEY_LENGTH]);
        getrandom::fill(key.as_mut_slice()).map_err(CryptoError::Random)?;
        Ok(Self(key))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut key = Box::new([0; KEY_LENGTH]);
        if bytes.len() != KEY_LENGTH {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    pub(super) fn expose(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }

    /// `nonce | SIV | ciphertext`, different at each call.
    pub(super) fn seal(
        &self,
        context: Context<'_>,
        version: u32,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let nonce = random::<NONCE_LENGTH>()?;
        let version = version.to_be_bytes();
        let items = associated(context, &version).chain([&nonce[..]]);
        let sealed = self
            .cipher()
            .encrypt(items, plaintext)
            .map_err(|_| CryptoError::Seal)?;
        let mut out = Vec::with_capacity(NONCE_LENGTH + sealed.len());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Opens what [`Self::seal`] made for the same context and version.
    pub(super) fn open(
        &self,
        context: Context<'_>,
        version: u32,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let (nonce, sealed) = sealed
            .split_at_checked(NONCE_LENGTH)
            .ok_or(CryptoError::NotAuthentic)?;
        let version = version.to_be_bytes();
        self.decrypt(associated(context, &version).chain([nonce]), sealed)
    }

    /// `SIV | ciphertext`, the same for the same context, version and plaintext.
    pub(super) fn seal_deterministic(
        &self,
        context: Context<'_>,
        version: u32,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let version = version.to_be_bytes();
        self.cipher()
            .encrypt(associated(context, &version), plaintext)
            .map_err(|_| CryptoError::Seal)
    }

    /// Opens what [`Self::seal_deterministic`] made for the same context and version.
    pub(super) fn open_deterministic(
        &self,
        context: Context<'_>,
        version: u32,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let version = version.to_be_bytes();
        self.decrypt(associated(context, &version), sealed)
    }

    fn decrypt<'a>(
        &self,
        items: impl Iterator<Item = &'a [u8]>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        self.cipher()
            .decrypt(items, sealed)
            .map(Zeroizing::new)
            .map_err(|_| CryptoError::NotAuthentic)
    }

    /// The library's cipher wants to be owned for a call; expanding the key anew costs a fifth of a microsecond and
    /// needs no lock between threads.
    fn cipher(&self) -> Aes256Siv {
        Aes256Siv::new((&*self.0).into())
    }
}

impl Drop for SealingKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

fn associated<'a>(context: Context<'a>, version: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    [context.label.as_bytes()]
        .into_iter()
        .chain(context.items.iter().copied())
        .chain([version])
}
