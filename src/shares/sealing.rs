//! How the values of this room are sealed: to which place each is bound, and what its blind form does not tell.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{CurveType, PublicKey, Share};
use crate::crypto::{Context, CryptoError, KeyRing, Purpose};
use crate::identity::{AuthType, UserId};

/// User identifiers are lengthened to whole blocks of so many bytes, so that the blind form does not tell how long an
/// address or an id is: one byte 0x80, then zeros (ISO/IEC 7816-4).
const BLOCK: usize = 32;
const PAD: u8 = 0x80;

/// A share as it rests in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedShare {
    /// Its id.
    pub share_id: Uuid,
    /// The version of the share key that sealed it.
    pub key_version: u32,
    /// `nonce | SIV | ciphertext`.
    pub sealed: Vec<u8>,
}

/// Seals and opens the values of users and wallets with a node's key ring.
#[derive(Clone, Copy, Debug)]
pub struct Sealing<'a>(pub &'a KeyRing);

impl Sealing<'_> {
    /// The blind form under which a user is found.
    ///
    /// # Errors
    /// [`CryptoError`].
    pub fn blind_user(self, user: &UserId) -> Result<Vec<u8>, CryptoError> {
        let items: [&[u8]; 1] = [user.auth_type().as_str().as_bytes()];
        self.0
            .blind(user_context(&items), &padded(user.identifier().as_bytes()))
    }

    /// The user behind a blind form.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`], also when what is in it cannot be a user's identifier.
    pub fn unblind_user(self, auth_type: &AuthType, blind: &[u8]) -> Result<UserId, CryptoError> {
        let items: [&[u8]; 1] = [auth_type.as_str().as_bytes()];
        let opened = self.0.unblind(user_context(&items), blind)?;
        let end = opened.iter().rposition(|&byte| byte == PAD);
        let identifier = end
            .and_then(|end| opened.get(..end))
            .and_then(|bytes| std::str::from_utf8(bytes).ok());
        identifier
            .and_then(|identifier| UserId::new(auth_type.clone(), identifier).ok())
            .ok_or(CryptoError::NotAuthentic)
    }

    /// The blind form under which a wallet is found.
    ///
    /// # Errors
    /// [`CryptoError`].
    pub fn blind_key(self, key: &PublicKey) -> Result<Vec<u8>, CryptoError> {
        self.0.blind(key_context(), key.as_bytes())
    }

    /// The public key behind a blind form.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`], also when it has another curve's length.
    pub fn unblind_key(self, curve: CurveType, blind: &[u8]) -> Result<PublicKey, CryptoError> {
        let opened = self.0.unblind(key_context(), blind)?;
        PublicKey::from_bytes(curve, &opened).map_err(|_| CryptoError::NotAuthentic)
    }

    /// Seals a share for its place.
    ///
    /// # Errors
    /// [`CryptoError`].
    pub fn seal_share(
        self,
        share_id: Uuid,
        wallet_id: Uuid,
        share: &Share,
    ) -> Result<SealedShare, CryptoError> {
        let items: [&[u8]; 2] = [share_id.as_bytes(), wallet_id.as_bytes()];
        let (key_version, sealed) =
            self.0
                .seal(Purpose::Share, share_context(&items), share.expose())?;
        Ok(SealedShare {
            share_id,
            key_version,
            sealed,
        })
    }

    /// The bytes of a share.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`], [`CryptoError::UnknownVersion`].
    pub fn open_share(
        self,
        wallet_id: Uuid,
        share: &SealedShare,
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let items: [&[u8]; 2] = [share.share_id.as_bytes(), wallet_id.as_bytes()];
        self.0.open(
            Purpose::Share,
            share.key_version,
            share_context(&items),
            &share.sealed,
        )
    }
}

pub(super) fn user_context<'a>(items: &'a [&'a [u8]]) -> Context<'a> {
    Context {
        label: "ksnode/user/1",
        items,
    }
}

pub(super) fn key_context() -> Context<'static> {
    Context {
        label: "ksnode/public-key/1",
        items: &[],
    }
}

pub(super) fn share_context<'a>(items: &'a [&'a [u8]]) -> Context<'a> {
    Context {
        label: "ksnode/share/1",
        items,
    }
}

fn padded(identifier: &[u8]) -> Vec<u8> {
    let length = (identifier.len() + 1).next_multiple_of(BLOCK);
    let mut padded = Vec::with_capacity(length);
    padded.extend_from_slice(identifier);
    padded.push(PAD);
    padded.resize(length, 0);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_blind_comes_back() {
        let ring = KeyRing::generate([1; 16]).unwrap();
        let sealing = Sealing(&ring);
        let google = AuthType::from_stored("google");
        for length in [1, 31, 32, 33, 319] {
            let user = UserId::new(google.clone(), "ä".repeat(length / 2) + "b").unwrap();
            let blind = sealing.blind_user(&user).unwrap();
            assert_eq!(sealing.unblind_user(&google, &blind).unwrap(), user);
            let other = AuthType::from_stored("auth0");
            assert!(sealing.unblind_user(&other, &blind).is_err());
        }
        let key = PublicKey::Secp256k1([7; 33]);
        let blind = sealing.blind_key(&key).unwrap();
        assert_eq!(
            sealing.unblind_key(CurveType::Secp256k1, &blind).unwrap(),
            key
        );
        assert!(sealing.unblind_key(CurveType::Ed25519, &blind).is_err());
    }
}
