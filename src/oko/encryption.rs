//! How the Docker suite encrypts (api.md, "The database of a node in today's Docker suite"): base64 of
//! `salt(16) | iv(12) | tag(16) | ciphertext`, AES-256-GCM, the key by PBKDF2-HMAC-SHA256 with 100,000 rounds from the
//! secret and that salt. Each value has a salt of its own, so each costs one derivation: some 10 to 20 ms.

use std::num::NonZeroU32;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, Zeroizing};

use crate::crypto::{CryptoError, EncryptionSecret, random};

const ROUNDS: NonZeroU32 = match NonZeroU32::new(100_000) {
    Some(rounds) => rounds,
    None => NonZeroU32::MIN,
};
const SALT: usize = 16;
const IV: usize = 12;
const TAG: usize = 16;

/// Why a value of the suite does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is no base64 of a salt, an iv and a tag.
    #[error("it is not in the suite's form")]
    Form,
    /// Damaged, or encrypted under another secret.
    #[error("it does not decrypt: damaged, or of another secret")]
    Key,
    /// The clear text is not the hex text of so many bytes.
    #[error("its clear text is not the hex text of {expected} bytes")]
    Length {
        /// The bytes it should have.
        expected: usize,
    },
}

/// The suite's encryption secret: its file's whole content, as the UTF-8 text as which the suite reads it. Zeroized on
/// drop; `Debug` shows nothing of it.
pub struct SuiteSecret(Zeroizing<Vec<u8>>);

impl SuiteSecret {
    /// Reads the file, by the same rules as this node's own secret.
    ///
    /// # Errors
    /// [`CryptoError`].
    pub fn from_file(path: &Path, allow_readable: bool) -> Result<Self, CryptoError> {
        let secret = EncryptionSecret::from_file(path, allow_readable)?;
        Ok(Self::new(secret.expose()))
    }

    /// The secret with that content. Bytes that are no UTF-8 become U+FFFD, as they do in the suite.
    pub fn new(content: &[u8]) -> Self {
        let mut text = String::from_utf8_lossy(content).into_owned();
        let secret = Self(Zeroizing::new(text.as_bytes().to_vec()));
        text.zeroize();
        secret
    }

    /// Decrypts a value whose clear text is the hex text of `N` bytes.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn open<const N: usize>(&self, encrypted: &[u8]) -> Result<Zeroizing<[u8; N]>, SealError> {
        let mut bytes = STANDARD.decode(encrypted).map_err(|_| SealError::Form)?;
        let (salt, rest) = bytes
            .split_first_chunk_mut::<SALT>()
            .ok_or(SealError::Form)?;
        let (iv, rest) = rest.split_first_chunk_mut::<IV>().ok_or(SealError::Form)?;
        let (tag, ciphertext) = rest.split_first_chunk_mut::<TAG>().ok_or(SealError::Form)?;
        let mut text = Zeroizing::new(vec![0; ciphertext.len()]);
        self.key(salt)
            .and_then(|key| {
                let nonce = Nonce::assume_unique_for_key(*iv);
                key.open_separate_gather(nonce, Aad::empty(), ciphertext, tag, &mut text)
                    .ok()
            })
            .ok_or(SealError::Key)?;
        let mut clear = Zeroizing::new([0; N]);
        hex::decode_to_slice(text.as_slice(), clear.as_mut_slice())
            .map_err(|_| SealError::Length { expected: N })?;
        Ok(clear)
    }

    /// Encrypts the hex text of `clear`: the ASCII bytes of base64.
    ///
    /// # Errors
    /// [`CryptoError::Random`], [`CryptoError::Seal`].
    pub fn seal(&self, clear: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.seal_with(clear, random()?, random()?)
    }

    fn seal_with(
        &self,
        clear: &[u8],
        salt: [u8; SALT],
        iv: [u8; IV],
    ) -> Result<Vec<u8>, CryptoError> {
        let mut text = Zeroizing::new(vec![0; clear.len().saturating_mul(2)]);
        hex::encode_to_slice(clear, &mut text).map_err(|_| CryptoError::Seal)?;
        let key = self.key(&salt).ok_or(CryptoError::Seal)?;
        // What was clear is ciphertext after this.
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(iv), Aad::empty(), &mut text)
            .map_err(|_| CryptoError::Seal)?;
        let parts: [&[u8]; 4] = [&salt, &iv, tag.as_ref(), &text];
        Ok(STANDARD.encode(parts.concat()).into_bytes())
    }

    /// One derivation, which is what a value costs.
    fn key(&self, salt: &[u8; SALT]) -> Option<LessSafeKey> {
        let mut key = Zeroizing::new([0; 32]);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ROUNDS,
            salt,
            &self.0,
            key.as_mut_slice(),
        );
        let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).ok()?;
        Some(LessSafeKey::new(key))
    }
}

impl std::fmt::Debug for SuiteSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SuiteSecret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python: `hashlib.pbkdf2_hmac("sha256", b"correct horse\n", bytes(range(16)), 100000, 32)`, then
    /// `cryptography`'s `AESGCM(key).encrypt(bytes(range(100, 112)), bytes(range(64)).hex().encode(), None)`, its last 16
    /// bytes put between iv and ciphertext.
    const FROM_PYTHON: &str = "AAECAwQFBgcICQoLDA0OD2RlZmdoaWprbG1ub13cWTYdP+cgfL/UUcv2o/4BfkUdvigY7Q2MCamEzDHhcImt\
        nsdGjoZFBzi3l1xKdJWy1VBoQ1e+1ePzKOX1nGDJDuJwyiQHiLIbcy8lw3Y//LMk+XfPiNGmmS8rxlItU31nVvkW8qO05aJUACRcj8OVC8ad\
        eA/bnli38ESGTjuTagZ+3n/nAFyHoYN+wHrj2Q==";

    fn clear() -> [u8; 64] {
        std::array::from_fn(|place| u8::try_from(place).unwrap())
    }

    #[test]
    fn opens_and_makes_what_others_made() {
        let secret = SuiteSecret::new(b"correct horse\n");
        let opened = secret.open::<64>(FROM_PYTHON.as_bytes()).unwrap();
        assert_eq!(*opened, clear());
        let salt = std::array::from_fn(|place| u8::try_from(place).unwrap());
        let iv = std::array::from_fn(|place| u8::try_from(place + 100).unwrap());
        let sealed = secret.seal_with(&clear(), salt, iv).unwrap();
        assert_eq!(String::from_utf8(sealed).unwrap(), FROM_PYTHON);
    }

    /// Made with Node.js 20 as the suite does it: `crypto.pbkdf2Sync` and `createCipheriv("aes-256-gcm")` of a secret read
    /// with `fs.readFileSync(path, "utf8")` from the bytes 67 e4 68 65 69 6d (no UTF-8).
    #[test]
    fn a_secret_is_read_as_the_suite_reads_it() {
        let secret = SuiteSecret::new(b"g\xe4heim");
        let opened = secret.open::<32>(FROM_NODE.as_bytes()).unwrap();
        assert_eq!(*opened, [0xAB; 32]);
    }

    const FROM_NODE: &str = "AwMDAwMDAwMDAwMDAwMDAwQEBAQEBAQEBAQEBFbK4S4beaFXTLbmarcVRk/zzvduec8yZlETspbMu9IQN7T9Y+iu+czUyRj8Zu9eYlISLPJE420HQFpzvfOMpcsW//n3Y/hZaO28C2zoSVne";

    #[test]
    fn what_is_wrong_is_told_apart() {
        let secret = SuiteSecret::new(b"one");
        let sealed = secret.seal(&[7; 64]).unwrap();
        assert_eq!(*secret.open::<64>(&sealed).unwrap(), [7; 64]);
        assert_ne!(secret.seal(&[7; 64]).unwrap(), sealed);
        let wrong = |encrypted: &[u8]| secret.open::<64>(encrypted).unwrap_err();
        assert_eq!(wrong(b"%"), SealError::Form);
        assert_eq!(wrong(b"AAAA"), SealError::Form);
        let mut damaged = STANDARD.decode(&sealed).unwrap();
        damaged[50] ^= 1;
        assert_eq!(wrong(STANDARD.encode(damaged).as_bytes()), SealError::Key);
        let short = secret.seal(&[7; 32]).unwrap();
        assert_eq!(wrong(&short), SealError::Length { expected: 64 });
        let other = SuiteSecret::new(b"one\n").open::<64>(&sealed);
        assert_eq!(other.unwrap_err(), SealError::Key);
        assert!(!format!("{secret:?}").contains("one"));
    }
}
