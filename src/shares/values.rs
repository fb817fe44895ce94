//! Public keys, shares and curves, checked at their making.

use std::fmt;

use zeroize::Zeroizing;

/// Bytes of a share, for both curves (api.md, "Values").
pub const SHARE_LENGTH: usize = 64;

/// A value that cannot be what it is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A public key of the wrong length.
    #[error("a {curve} public key has {} bytes, not {found}", curve.public_key_length())]
    PublicKeyLength {
        /// The curve it should belong to.
        curve: CurveType,
        /// Its bytes.
        found: usize,
    },
    /// A share of the wrong length.
    #[error("a share has 64 bytes, not {found}")]
    ShareLength {
        /// Its bytes.
        found: usize,
    },
}

/// The curves of the wallet network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CurveType {
    /// Compressed public keys of 33 bytes.
    Secp256k1,
    /// Public keys of 32 bytes.
    Ed25519,
}

impl CurveType {
    /// In the order in which answers and failures are given.
    pub const ALL: [Self; 2] = [Self::Secp256k1, Self::Ed25519];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secp256k1 => "secp256k1",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The curve of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.as_str() == name)
    }

    /// Bytes of a public key.
    pub const fn public_key_length(self) -> usize {
        match self {
            Self::Secp256k1 => 33,
            Self::Ed25519 => 32,
        }
    }
}

impl fmt::Display for CurveType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A wallet's public key. Its length is that of its curve; whether it is a point is the clients' matter, as it
/// is on today's nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// A compressed point.
    Secp256k1([u8; 33]),
    /// An encoded point (RFC 8032).
    Ed25519([u8; 32]),
}

impl PublicKey {
    /// The key of `curve` with these bytes.
    ///
    /// # Errors
    /// [`ValueError::PublicKeyLength`].
    pub fn from_bytes(curve: CurveType, bytes: &[u8]) -> Result<Self, ValueError> {
        let wrong = |_| ValueError::PublicKeyLength {
            curve,
            found: bytes.len(),
        };
        match curve {
            CurveType::Secp256k1 => bytes.try_into().map(Self::Secp256k1).map_err(wrong),
            CurveType::Ed25519 => bytes.try_into().map(Self::Ed25519).map_err(wrong),
        }
    }

    /// The key's curve.
    pub fn curve(&self) -> CurveType {
        match self {
            Self::Secp256k1(_) => CurveType::Secp256k1,
            Self::Ed25519(_) => CurveType::Ed25519,
        }
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Secp256k1(bytes) => bytes,
            Self::Ed25519(bytes) => bytes,
        }
    }
}

/// A key share: 64 opaque bytes, zeroized on drop; `Debug` shows nothing of them.
pub struct Share(Box<Zeroizing<[u8; SHARE_LENGTH]>>);

impl Share {
    /// The share with these bytes.
    ///
    /// # Errors
    /// [`ValueError::ShareLength`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ValueError> {
        let found = bytes.len();
        let mut share = Box::new(Zeroizing::new([0; SHARE_LENGTH]));
        if found != SHARE_LENGTH {
            return Err(ValueError::ShareLength { found });
        }
        share.copy_from_slice(bytes);
        Ok(Self(share))
    }

    /// The bytes, for the moment of their use.
    pub fn expose(&self) -> &[u8; SHARE_LENGTH] {
        &self.0
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Share(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn only_right_lengths_are_values(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for curve in CurveType::ALL {
                let key = PublicKey::from_bytes(curve, &bytes);
                prop_assert_eq!(key.is_ok(), bytes.len() == curve.public_key_length());
                if let Ok(key) = key {
                    prop_assert_eq!(key.as_bytes(), bytes.as_slice());
                    prop_assert_eq!(key.curve(), curve);
                }
            }
            prop_assert_eq!(Share::from_bytes(&bytes).is_ok(), bytes.len() == SHARE_LENGTH);
        }
    }

    #[test]
    fn curve_names_round_trip() {
        for curve in CurveType::ALL {
            assert_eq!(CurveType::from_name(curve.as_str()), Some(curve));
        }
        assert_eq!(CurveType::from_name("p256"), None);
    }

    #[test]
    fn a_share_does_not_show_itself() {
        let share = Share::from_bytes(&[0xAB; 64]).unwrap();
        assert_eq!(format!("{share:?}"), "Share(redacted)");
    }
}
