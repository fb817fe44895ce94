//! The encryption secret: any bytes the operator chose, in a file only he can read.

use std::path::Path;

use zeroize::Zeroizing;

use super::CryptoError;

/// The operator's secret, whole and untrimmed. Zeroized on drop; `Debug` shows nothing of it.
pub struct EncryptionSecret(Zeroizing<Vec<u8>>);

impl EncryptionSecret {
    /// Takes over bytes that came from elsewhere.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads the secret. A file that group or others may read is refused unless `allow_readable`.
    ///
    /// # Errors
    /// [`CryptoError::SecretUnreadable`], [`CryptoError::SecretEmpty`], [`CryptoError::SecretExposed`].
    pub fn from_file(path: &Path, allow_readable: bool) -> Result<Self, CryptoError> {
        let unreadable = |source| CryptoError::SecretUnreadable {
            path: path.to_owned(),
            source,
        };
        let bytes = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
        if bytes.is_empty() {
            return Err(CryptoError::SecretEmpty {
                path: path.to_owned(),
            });
        }
        if !allow_readable {
            let mode = permissions(path).map_err(unreadable)?;
            if mode & 0o077 != 0 {
                return Err(CryptoError::SecretExposed {
                    path: path.to_owned(),
                    mode,
                });
            }
        }
        Ok(Self(bytes))
    }

    /// The bytes. Outside this room they are for a key derivation that is not this program's own.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for EncryptionSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EncryptionSecret(redacted)")
    }
}

fn permissions(path: &Path) -> std::io::Result<u32> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o777)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(content: &[u8], mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn reads_every_byte() {
        let file = file(b" secret\n", 0o600);
        let secret = EncryptionSecret::from_file(file.path(), false).unwrap();
        assert_eq!(secret.expose(), b" secret\n");
        assert!(!format!("{secret:?}").contains("115"));
    }

    #[test]
    fn refuses_a_file_that_others_read_and_says_the_mend() {
        let file = file(b"secret", 0o640);
        let error = EncryptionSecret::from_file(file.path(), false).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        assert!(EncryptionSecret::from_file(file.path(), true).is_ok());
    }

    #[test]
    fn refuses_nothing_and_an_absent_file() {
        let empty = file(b"", 0o600);
        assert!(matches!(
            EncryptionSecret::from_file(empty.path(), false),
            Err(CryptoError::SecretEmpty { .. })
        ));
        assert!(matches!(
            EncryptionSecret::from_file(Path::new("/nonexistent/secret"), false),
            Err(CryptoError::SecretUnreadable { .. })
        ));
    }
}
