//! The key ring: every key of the node, by purpose and version.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use super::mac::MacKey;
use super::seal::SealingKey;
use super::{Context, CryptoError, KeyEncryptionKey};

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Seals secrets, each with a nonce.
    Share,
    /// Seals, without a nonce, what must be found by equality.
    Index,
    /// Seals the node's own private keys.
    NodeWrap,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Share, Self::Index, Self::NodeWrap];

    /// The name stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Index => "index",
            Self::NodeWrap => "node-wrap",
        }
    }

    /// The purpose of that stored name.
    pub fn from_stored(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.as_str() == name)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a key still seals. Which of the two follows from the versions; it is stored for people to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// The newest of its purpose: seals and opens.
    Active,
    /// Opens what was sealed before the rotation.
    Retired,
}

impl KeyState {
    /// The name stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

/// A key as it rests in the database: wrapped under the key-encrypting key, bound to node, purpose and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// What the key is for.
    pub purpose: Purpose,
    /// 1 for the first of its purpose.
    pub version: u32,
    /// `SIV | ciphertext`, 80 bytes.
    pub wrapped: Vec<u8>,
}

/// A line of the ring for people to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingEntry {
    /// What the key is for.
    pub purpose: Purpose,
    /// 1 for the first of its purpose.
    pub version: u32,
    /// Whether it still seals.
    pub state: KeyState,
}

/// The open ring. Keys are zeroized on drop; `Debug` lists purposes and versions.
pub struct KeyRing {
    node_id: [u8; 16],
    keys: BTreeMap<(Purpose, u32), SealingKey>,
}

impl KeyRing {
    /// A ring for a new node: version 1 of each purpose.
    ///
    /// # Errors
    /// [`CryptoError::Random`].
    pub fn generate(node_id: [u8; 16]) -> Result<Self, CryptoError> {
        let mut keys = BTreeMap::new();
        for purpose in Purpose::ALL {
            keys.insert((purpose, 1), SealingKey::generate()?);
        }
        Ok(Self { node_id, keys })
    }

    /// Opens the rows of a ring. The key-encrypting key is to be verified first, so that a wrong secret is not
    /// taken for damage.
    ///
    /// # Errors
    /// [`CryptoError::DamagedRing`] names the row that does not open; [`CryptoError::MissingKey`].
    pub fn unwrap(
        key: &KeyEncryptionKey,
        node_id: [u8; 16],
        rows: &[WrappedKey],
    ) -> Result<Self, CryptoError> {
        let mut keys = BTreeMap::new();
        for row in rows {
            let opened = key.unwrap(&node_id, row.purpose, row.version, &row.wrapped)?;
            keys.insert((row.purpose, row.version), opened);
        }
        let ring = Self { node_id, keys };
        for purpose in Purpose::ALL {
            ring.newest(purpose)?;
        }
        Ok(ring)
    }

    /// All keys wrapped under `key`: for a new database, and for a change of the encryption secret.
    ///
    /// # Errors
    /// [`CryptoError::Seal`].
    pub fn wrap(&self, key: &KeyEncryptionKey) -> Result<Vec<WrappedKey>, CryptoError> {
        self.keys
            .iter()
            .map(|(&(purpose, version), sealing)| {
                let wrapped = key.wrap(&self.node_id, purpose, version, sealing)?;
                Ok(WrappedKey {
                    purpose,
                    version,
                    wrapped,
                })
            })
            .collect()
    }

    /// Adds the next version of `purpose`, which seals from now on. Returns its version.
    ///
    /// # Errors
    /// [`CryptoError::Random`], [`CryptoError::MissingKey`].
    pub fn rotate(&mut self, purpose: Purpose) -> Result<u32, CryptoError> {
        let version = self.newest(purpose)?.0.saturating_add(1);
        self.keys
            .insert((purpose, version), SealingKey::generate()?);
        Ok(version)
    }

    /// The version that seals now.
    ///
    /// # Errors
    /// [`CryptoError::MissingKey`].
    pub fn current_version(&self, purpose: Purpose) -> Result<u32, CryptoError> {
        Ok(self.newest(purpose)?.0)
    }

    /// Every key, for people to read.
    pub fn entries(&self) -> impl Iterator<Item = RingEntry> + '_ {
        self.keys.keys().map(|&(purpose, version)| {
            let newest = self
                .newest(purpose)
                .is_ok_and(|(newest, _)| newest == version);
            let state = if newest {
                KeyState::Active
            } else {
                KeyState::Retired
            };
            RingEntry {
                purpose,
                version,
                state,
            }
        })
    }

    /// Seals `plaintext` for one place under the newest key of `purpose`: `nonce | SIV | ciphertext`.
    /// Returns the key's version, which belongs into the row, and the sealed bytes.
    ///
    /// # Errors
    /// [`CryptoError::Random`], [`CryptoError::Seal`].
    pub fn seal(
        &self,
        purpose: Purpose,
        context: Context<'_>,
        plaintext: &[u8],
    ) -> Result<(u32, Vec<u8>), CryptoError> {
        let (version, key) = self.newest(purpose)?;
        Ok((version, key.seal(context, version, plaintext)?))
    }

    /// Opens what [`Self::seal`] sealed for the same place.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`], [`CryptoError::UnknownVersion`].
    pub fn open(
        &self,
        purpose: Purpose,
        version: u32,
        context: Context<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        self.keys
            .get(&(purpose, version))
            .ok_or(CryptoError::UnknownVersion { purpose, version })?
            .open(context, version, sealed)
    }

    /// The blind form of a value that must be found by equality: equal values of one context have equal blind
    /// forms, and without the index key nobody can tell more. The length shows: pad what must not tell it.
    ///
    /// # Errors
    /// [`CryptoError::Seal`], [`CryptoError::MissingKey`].
    pub fn blind(&self, context: Context<'_>, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let (version, key) = self.newest(Purpose::Index)?;
        key.seal_deterministic(context, version, plaintext)
    }

    /// The value behind a blind form.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`].
    pub fn unblind(
        &self,
        context: Context<'_>,
        blind: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let (version, key) = self.newest(Purpose::Index)?;
        key.open_deterministic(context, version, blind)
    }

    /// Keys for MACs, one derived from each version of `purpose`: of this node, and for what `label` names alone.
    pub fn mac_keys(&self, purpose: Purpose, label: &'static str) -> BTreeMap<u32, MacKey> {
        self.keys
            .range((purpose, 0)..=(purpose, u32::MAX))
            .map(|(&(_, version), key)| {
                let version_bytes = version.to_be_bytes();
                let items: [&[u8]; 3] =
                    [&self.node_id, purpose.as_str().as_bytes(), &version_bytes];
                let context = Context {
                    label,
                    items: &items,
                };
                (version, MacKey::derive(key.expose(), context))
            })
            .collect()
    }

    fn newest(&self, purpose: Purpose) -> Result<(u32, &SealingKey), CryptoError> {
        self.keys
            .range((purpose, 0)..=(purpose, u32::MAX))
            .next_back()
            .map(|(&(_, version), key)| (version, key))
            .ok_or(CryptoError::MissingKey { purpose })
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::{EncryptionSecret, KeyDerivation, NodeKey, verify_signature};

    const NODE: [u8; 16] = [7; 16];

    fn key_of(secret: &[u8]) -> KeyEncryptionKey {
        let cheap = KeyDerivation {
            salt: [1; 16],
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        };
        cheap
            .derive(&EncryptionSecret::new(secret.to_vec()))
            .unwrap()
    }

    fn place<'a>(items: &'a [&'a [u8]]) -> Context<'a> {
        Context {
            label: "test/1",
            items,
        }
    }

    #[test]
    fn a_wrapped_ring_opens_with_its_secret_alone() {
        let key = key_of(b"one");
        let check = key.check_value(&NODE).unwrap();
        key.verify(&NODE, &check).unwrap();
        assert!(matches!(
            key_of(b"two").verify(&NODE, &check),
            Err(CryptoError::WrongSecret)
        ));
        assert!(matches!(
            key.verify(&[8; 16], &check),
            Err(CryptoError::WrongSecret)
        ));

        let ring = KeyRing::generate(NODE).unwrap();
        let (version, sealed) = ring.seal(Purpose::Share, place(&[b"a"]), b"plain").unwrap();
        let again = KeyRing::unwrap(&key, NODE, &ring.wrap(&key).unwrap()).unwrap();
        let opened = again
            .open(Purpose::Share, version, place(&[b"a"]), &sealed)
            .unwrap();
        assert_eq!(opened.as_slice(), b"plain");
    }

    #[test]
    fn a_damaged_ring_row_is_named() {
        let key = key_of(b"one");
        let mut rows = KeyRing::generate(NODE).unwrap().wrap(&key).unwrap();
        rows[1].wrapped[40] ^= 1;
        let error = KeyRing::unwrap(&key, NODE, &rows).unwrap_err();
        let named = (rows[1].purpose, rows[1].version);
        assert!(
            matches!(error, CryptoError::DamagedRing { purpose, version } if (purpose, version) == named)
        );
        rows.remove(1);
        assert!(matches!(
            KeyRing::unwrap(&key, NODE, &rows),
            Err(CryptoError::MissingKey { .. })
        ));
    }

    #[test]
    fn a_ring_row_opens_at_its_own_place_alone() {
        let key = key_of(b"one");
        let rows = KeyRing::generate(NODE).unwrap().wrap(&key).unwrap();
        assert!(KeyRing::unwrap(&key, [8; 16], &rows).is_err());
        let mut renumbered = rows.clone();
        renumbered[0].version = 2;
        assert!(KeyRing::unwrap(&key, NODE, &renumbered).is_err());
        let mut swapped = rows;
        let other = swapped[1].wrapped.clone();
        swapped[0].wrapped = other;
        assert!(KeyRing::unwrap(&key, NODE, &swapped).is_err());
    }

    #[test]
    fn after_a_rotation_old_values_open_and_new_ones_use_the_new_key() {
        let mut ring = KeyRing::generate(NODE).unwrap();
        let old = ring.seal(Purpose::Share, place(&[]), b"x").unwrap();
        assert_eq!(ring.rotate(Purpose::Share).unwrap(), 2);
        let new = ring.seal(Purpose::Share, place(&[]), b"x").unwrap();
        assert_eq!((old.0, new.0), (1, 2));
        assert!(ring.open(Purpose::Share, 1, place(&[]), &old.1).is_ok());
        assert!(ring.open(Purpose::Share, 2, place(&[]), &old.1).is_err());
        assert!(matches!(
            ring.open(Purpose::Share, 3, place(&[]), &new.1),
            Err(CryptoError::UnknownVersion { version: 3, .. })
        ));
        let states: Vec<_> = ring
            .entries()
            .filter(|entry| entry.purpose == Purpose::Share)
            .map(|entry| entry.state)
            .collect();
        assert_eq!(states, [KeyState::Retired, KeyState::Active]);
    }

    #[test]
    fn mac_keys_are_of_one_node_version_and_purpose() {
        let mut ring = KeyRing::generate(NODE).unwrap();
        let of = |ring: &KeyRing, label| -> Vec<[u8; 32]> {
            let keys = ring.mac_keys(Purpose::NodeWrap, label);
            keys.values().map(|key| key.mac(place(&[b"x"]))).collect()
        };
        let first = of(&ring, "one/1");
        assert_eq!(first, of(&ring, "one/1"));
        assert_ne!(first, of(&ring, "two/1"));
        ring.rotate(Purpose::NodeWrap).unwrap();
        let both = of(&ring, "one/1");
        assert_eq!(both[..1], first);
        assert_ne!(both[1], first[0]);
        // The same key in another node's ring.
        ring.node_id = [8; 16];
        assert_ne!(of(&ring, "one/1")[0], first[0]);
    }

    #[test]
    fn a_node_key_survives_sealing_and_signs() {
        let ring = KeyRing::generate(NODE).unwrap();
        let key = NodeKey::generate().unwrap();
        let (ring_version, sealed) = key.seal(&ring, 1).unwrap();
        let again = NodeKey::open(&ring, ring_version, 1, &sealed).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        assert!(NodeKey::open(&ring, ring_version, 2, &sealed).is_err());
        let signature = again.sign(b"message");
        assert!(verify_signature(&key.public_key(), b"message", &signature));
        assert!(!verify_signature(&key.public_key(), b"other", &signature));
    }

    /// RFC 5297, appendix A has vectors for 32-byte keys only; this pins the 64-byte form to an independent
    /// computation of S2V and CTR, so that a change of library cannot change the format unnoticed.
    #[test]
    fn the_format_is_pinned() {
        let bytes: Vec<u8> = (0..64).collect();
        let key = SealingKey::from_bytes(&bytes).unwrap();
        let sealed = key
            .seal_deterministic(place(&[b"item"]), 1, b"plaintext")
            .unwrap();
        assert_eq!(hex::encode(sealed), PINNED);
    }

    const PINNED: &str = "a46911b36ce2f34c167c652063a815152788c7ace50905a369";

    proptest! {
        #[test]
        fn any_flipped_bit_is_refused(
            plaintext in proptest::collection::vec(any::<u8>(), 0..100),
            bit in any::<proptest::sample::Index>(),
        ) {
            let ring = KeyRing::generate(NODE).unwrap();
            let (version, mut sealed) = ring.seal(Purpose::Share, place(&[b"a"]), &plaintext).unwrap();
            let opened = ring.open(Purpose::Share, version, place(&[b"a"]), &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), plaintext.as_slice());
            let bit = bit.index(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(ring.open(Purpose::Share, version, place(&[b"a"]), &sealed).is_err());
        }

        #[test]
        fn a_moved_value_is_refused(
            here in proptest::collection::vec(any::<u8>(), 0..20),
            there in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            prop_assume!(here != there);
            let ring = KeyRing::generate(NODE).unwrap();
            let (version, sealed) = ring.seal(Purpose::Share, place(&[&here, b"w"]), b"x").unwrap();
            prop_assert!(ring.open(Purpose::Share, version, place(&[&there, b"w"]), &sealed).is_err());
            prop_assert!(ring.open(Purpose::Share, version, place(&[b"w", &here]), &sealed).is_err()
                || here == b"w");
            let joined = [here.as_slice(), b"w"].concat();
            prop_assert!(ring.open(Purpose::Share, version, place(&[&joined]), &sealed).is_err());
        }

        #[test]
        fn truncated_and_random_bytes_are_refused(
            junk in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let ring = KeyRing::generate(NODE).unwrap();
            prop_assert!(ring.open(Purpose::Share, 1, place(&[]), &junk).is_err());
            prop_assert!(ring.unblind(place(&[]), &junk).is_err());
        }

        #[test]
        fn blind_forms_are_equal_exactly_for_equal_values(
            one in proptest::collection::vec(any::<u8>(), 0..40),
            two in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let ring = KeyRing::generate(NODE).unwrap();
            let blind = ring.blind(place(&[b"u"]), &one).unwrap();
            prop_assert_eq!(ring.blind(place(&[b"u"]), &two).unwrap() == blind, one == two);
            prop_assert_ne!(ring.blind(place(&[b"v"]), &one).unwrap(), blind.clone());
            let value = ring.unblind(place(&[b"u"]), &blind).unwrap();
            prop_assert_eq!(value.as_slice(), one.as_slice());
        }
    }
}
