//! A certificate that the node makes for itself.
//!
//! It is kept in a file of the data folder, so that clients who were told to trust it do so after a restart too; and the
//! key stays when the certificate is renewed or its names change, so that those who pinned the key are not cut off at all.
//! The lifetime is the longest that today's clients accept of anybody (825 days).

use std::path::PathBuf;
use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::files::read_private;
use super::{Certificate, Pem, Standing, TlsError};
use crate::clock::{SharedClock, Timestamp};
use crate::crypto::random;
use crate::store::replace_private_file;

/// The file's name in the data folder: the key, then the certificate.
pub const FILE_NAME: &str = "tls-self-signed.pem";

/// How long one is good for.
pub(super) const LIFETIME: Duration = Duration::from_secs(825 * 24 * 60 * 60);
/// How far the clocks of clients may be behind.
const SKEW: Duration = Duration::from_secs(60 * 60);

/// What a certificate is made of.
#[derive(Debug)]
pub struct Making<'a> {
    /// Names and addresses, at least one.
    pub names: &'a [String],
    /// The moment of its making.
    pub now: Timestamp,
    /// How long it is good from then on.
    pub lifetime: Duration,
}

/// The file of mode `self-signed`.
#[derive(Clone, Debug)]
pub(super) struct SelfSigned {
    pub(super) path: PathBuf,
    pub(super) names: Vec<String>,
    pub(super) allow_readable: bool,
    pub(super) clock: SharedClock,
}

impl SelfSigned {
    /// What is in the file, when it is for the right names and lasts long enough; else a new certificate, which has
    /// been written there. The flag tells which.
    ///
    /// # Errors
    /// [`TlsError`]: a file that is not understood is not overwritten, because clients may have been told to trust it.
    pub(super) fn ensure(&self) -> Result<(Certificate, bool), TlsError> {
        if !self.path.exists() {
            return Ok((self.make(new_key()?)?, true));
        }
        let text = read_private(&self.path, self.allow_readable)?;
        let what = self.path.display().to_string();
        let pem = Pem {
            what: &what,
            text: &text,
        };
        let found = Certificate::from_pem(pem, pem).map_err(|error| self.not_understood(&error))?;
        let lasts = Standing::of(found.not_before, found.not_after, self.clock.now());
        if found.names == self.names && lasts == Standing::Good {
            return Ok((found, false));
        }
        let key =
            PrivateKeyDer::from_pem_slice(&text).map_err(|error| self.not_understood(&error))?;
        let key = KeyPair::try_from(&key)?;
        Ok((self.make(key)?, true))
    }

    fn make(&self, key: KeyPair) -> Result<Certificate, TlsError> {
        let making = Making {
            names: &self.names,
            now: self.clock.now(),
            lifetime: LIFETIME,
        };
        let (certificate, text) = make(&making, &key)?;
        replace_private_file(&self.path, text.as_bytes()).map_err(|source| {
            TlsError::Unwritable {
                path: self.path.clone(),
                source,
            }
        })?;
        Ok(certificate)
    }

    fn not_understood(&self, error: &dyn std::fmt::Display) -> TlsError {
        TlsError::Unusable {
            what: self.path.display().to_string(),
            wrong: format!("is not what ksnode wrote there ({error})"),
            mend: "put it back, or remove it to have a new one made",
        }
    }
}

fn new_key() -> Result<KeyPair, TlsError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

/// A certificate with a new key, kept nowhere.
///
/// # Errors
/// [`TlsError::Making`], [`TlsError::Crypto`].
pub fn make_self_signed(making: &Making<'_>) -> Result<Certificate, TlsError> {
    Ok(make(making, &new_key()?)?.0)
}

/// The certificate, and key and certificate as PEM.
fn make(making: &Making<'_>, key: &KeyPair) -> Result<(Certificate, Zeroizing<String>), TlsError> {
    let mut parameters = CertificateParams::new(making.names)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "ksnode");
    parameters.distinguished_name = name;
    parameters.not_before = moment(making.now.minus(SKEW));
    parameters.not_after = moment(making.now.plus(making.lifetime));
    // Of the key alone, as the library would make it, it would be the same after a renewal.
    let mut serial: [u8; 16] = random()?;
    if let Some(first) = serial.first_mut() {
        // Positive, and not shorter for a zero in front (RFC 5280, 4.1.2.2).
        *first = (*first & 0x7f) | 0x40;
    }
    parameters.serial_number = Some(serial.to_vec().into());
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = parameters.self_signed(key)?;
    let private = Zeroizing::new(key.serialize_pem());
    let text = Zeroizing::new(format!("{}{}", *private, certificate.pem()));
    let pem = Pem {
        what: FILE_NAME,
        text: text.as_bytes(),
    };
    Ok((Certificate::from_pem(pem, pem)?, text))
}

fn moment(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.as_seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Pairs for tests.
#[cfg(test)]
pub(crate) mod testing {
    use rcgen::{BasicConstraints, IsCa};

    use super::*;
    use crate::clock::{Clock, ManualClock};

    fn days(count: i64) -> Duration {
        Duration::from_secs(u64::try_from(count * 86_400).unwrap())
    }

    fn parameters(names: &[&str], from: i64, lifetime: i64) -> CertificateParams {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        let now = ManualClock::shared().now();
        let begin = if from < 0 {
            now.minus(days(-from))
        } else {
            now.plus(days(from))
        };
        parameters.not_before = moment(begin);
        parameters.not_after = moment(begin.plus(days(lifetime)));
        parameters
    }

    /// Certificate and key as PEM, the lifetime in days from a number of days after a manual clock's first moment on.
    pub(crate) fn pair(names: &[&str], from: i64, lifetime: i64) -> (String, String) {
        let key = new_key().unwrap();
        let certificate = parameters(names, from, lifetime).self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn certificate(name: &str, lifetime: i64) -> Certificate {
        // Good for tests by the machine's own clock too, within a century.
        let (certificate, key) = pair(&[name], 0, lifetime * 400);
        let (certificate, key) = (certificate.as_bytes(), key.as_bytes());
        let pem = |text| Pem { what: "test", text };
        Certificate::from_pem(pem(certificate), pem(key)).unwrap()
    }

    /// A certificate and its authority's, and the key of the first.
    pub(crate) fn chain_of_two(name: &str) -> (String, String) {
        let (authority_key, key) = (new_key().unwrap(), new_key().unwrap());
        let mut authority = parameters(&[], 0, 365);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name = DistinguishedName::new();
        authority
            .distinguished_name
            .push(DnType::OrganizationName, "Test Trust");
        authority
            .distinguished_name
            .push(DnType::CommonName, "Test Authority");
        let authority = authority.self_signed(&authority_key).unwrap();
        let leaf = parameters(&[name], 0, 90)
            .signed_by(&key, &authority, &authority_key)
            .unwrap();
        (leaf.pem() + &authority.pem(), key.serialize_pem())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::clock::{Clock, ManualClock};

    fn node(folder: &Path, names: &[&str]) -> (SelfSigned, std::sync::Arc<ManualClock>) {
        let clock = ManualClock::shared();
        let own = SelfSigned {
            path: folder.join(FILE_NAME),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            allow_readable: false,
            clock: clock.clone(),
        };
        (own, clock)
    }

    fn public_key(certificate: &Certificate) -> Vec<u8> {
        certificate.key.key.public_key().unwrap().to_vec()
    }

    #[test]
    fn is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let (own, clock) = node(folder.path(), &["node.example.org", "127.0.0.1", "::1"]);
        let (made, new) = own.ensure().unwrap();
        assert!(new && made.is_in_time(clock.now()));
        assert_eq!(made.names, own.names);
        assert!(made.lacks(&own.names).is_empty());
        let mode = own.path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let (again, new) = own.ensure().unwrap();
        assert!(!new);
        assert_eq!(again.fingerprint, made.fingerprint);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn is_renewed_in_time_and_keeps_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let (own, clock) = node(folder.path(), &["a.example"]);
        let (first, _) = own.ensure().unwrap();
        clock.advance(LIFETIME.mul_f64(0.6));
        assert!(!own.ensure().unwrap().1);
        clock.advance(LIFETIME.mul_f64(0.1));
        let (second, new) = own.ensure().unwrap();
        assert!(new && second.not_after > first.not_after);
        assert_eq!(public_key(&first), public_key(&second));
        let (other, _) = node(folder.path(), &["b.example"]);
        let (third, new) = other.ensure().unwrap();
        assert!(new && third.names == ["b.example"]);
        assert_eq!(public_key(&first), public_key(&third));
    }

    #[test]
    fn what_is_not_understood_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (own, _) = node(folder.path(), &["a.example"]);
        replace_private_file(&own.path, b"the operator's own notes").unwrap();
        let error = own.ensure().unwrap_err().to_string();
        assert!(
            error.contains("remove it to have a new one made"),
            "{error}"
        );
        assert!(
            std::fs::read_to_string(&own.path)
                .unwrap()
                .contains("notes")
        );
        std::fs::set_permissions(&own.path, Permissions::from_mode(0o644)).unwrap();
        let error = own.ensure().unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}
