//! A certificate with its chain and key, checked.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::TlsError;
use crate::clock::Timestamp;
use crate::crypto::provider;

/// Where certificates are issued, for the mends of errors.
const GET_CHAIN: &str =
    "write the PEM file that the authority gave, the node's certificate first and then the chain";
const GET_KEY: &str =
    "write the certificate's private key as PEM (PKCS#8, PKCS#1 or SEC 1), without a passphrase";

/// PEM text and what it is called in errors: a file's path, mostly.
#[derive(Clone, Copy)]
pub struct Pem<'a> {
    /// What it is called.
    pub what: &'a str,
    /// The text.
    pub text: &'a [u8],
}

/// A certificate, its chain and its key, which belong together. Cheap to clone.
#[derive(Clone)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// The names and addresses it is for, as it lists them.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// The beginning of its time.
    pub not_before: Timestamp,
    /// The end of its time.
    pub not_after: Timestamp,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// Whether somebody else issued it and his certificate is not in the chain, which is a root's or a mistake.
    pub chain_is_missing: bool,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// The pair in these two texts, which may be one text.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when one of them is not what it should be, [`TlsError::Mismatch`] when they do not belong
    /// together. Its time is not looked at.
    pub fn from_pem(certificate: Pem<'_>, key: Pem<'_>) -> Result<Self, TlsError> {
        let chain = chain(certificate)?;
        let private = private_key(key)?;
        let signer = provider()
            .key_provider
            .load_private_key(private)
            .map_err(|error| {
                unusable(
                    key.what,
                    format!("the key cannot be used ({error})"),
                    GET_KEY,
                )
            })?;
        let mut certified = CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            Ok(()) => {}
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                return Err(TlsError::Mismatch {
                    certificate: certificate.what.to_owned(),
                    key: key.what.to_owned(),
                    elsewhere: fits_later(&mut certified),
                });
            }
            Err(error) => {
                let wrong = format!("the certificate cannot be used ({error})");
                return Err(unusable(certificate.what, wrong, GET_CHAIN));
            }
        }
        Self::described(certificate.what, certified)
    }

    fn described(what: &str, certified: CertifiedKey) -> Result<Self, TlsError> {
        let broken = |wrong: String| unusable(what, wrong, GET_CHAIN);
        let first = certified
            .end_entity_cert()
            .map_err(|error| broken(error.to_string()))?;
        let (_, parsed) = X509Certificate::from_der(first)
            .map_err(|error| broken(format!("the certificate cannot be read ({error})")))?;
        if parsed.is_ca() {
            return Err(broken(
                "the first certificate is an authority's, not a server's".to_owned(),
            ));
        }
        let names = names(&parsed);
        if names.is_empty() {
            let wrong = "the certificate is for no name (no subject alternative name)";
            return Err(broken(wrong.to_owned()));
        }
        let moment = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
        let validity = parsed.validity();
        Ok(Self {
            names,
            issuer: issuer(&parsed),
            not_before: moment(validity.not_before.timestamp()),
            not_after: moment(validity.not_after.timestamp()),
            fingerprint: Sha256::digest(first).into(),
            chain_is_missing: certified.cert.len() == 1 && parsed.issuer() != parsed.subject(),
            key: Arc::new(certified),
        })
    }

    /// Whether `now` is within its time.
    pub fn is_in_time(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// Those of `hosts` that clients would not accept it for.
    pub fn lacks<'a>(&self, hosts: &'a [String]) -> Vec<&'a str> {
        let Some(Ok(parsed)) = self.key.cert.first().map(ParsedCertificate::try_from) else {
            return Vec::new();
        };
        let covered = |host: &str| {
            ServerName::try_from(host).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
        };
        hosts
            .iter()
            .map(String::as_str)
            .filter(|host| !covered(host))
            .collect()
    }
}

fn unusable(what: &str, wrong: String, mend: &'static str) -> TlsError {
    TlsError::Unusable {
        what: what.to_owned(),
        wrong,
        mend,
    }
}

fn chain(pem: Pem<'_>) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.text).collect();
    let chain = certificates
        .map_err(|error| unusable(pem.what, format!("is no PEM ({error})"), GET_CHAIN))?;
    if chain.is_empty() {
        let wrong = "holds no certificate".to_owned();
        return Err(unusable(pem.what, wrong, GET_CHAIN));
    }
    Ok(chain)
}

fn private_key(pem: Pem<'_>) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.text).map_err(|_| {
        let text = String::from_utf8_lossy(pem.text);
        let wrong = if text.contains("ENCRYPTED") {
            "the private key has a passphrase"
        } else {
            "holds no private key"
        };
        unusable(pem.what, wrong.to_owned(), GET_KEY)
    })
}

/// Whether a certificate after the first is for the key. What is left of `certified` is of no use.
fn fits_later(certified: &mut CertifiedKey) -> bool {
    while certified.cert.len() > 1 {
        certified.cert.remove(0);
        if certified.keys_match().is_ok() {
            return true;
        }
    }
    false
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    names.filter_map(name).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let address =
                four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// Organisation and name of the issuer; itself, when nobody else did.
fn issuer(certificate: &X509Certificate<'_>) -> String {
    if certificate.issuer() == certificate.subject() {
        return "itself".to_owned();
    }
    let issuer = certificate.issuer();
    let text = |attribute: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
        attribute.and_then(|attribute| attribute.as_str().ok().map(str::to_owned))
    };
    let parts: Vec<String> = [
        text(issuer.iter_organization().next()),
        text(issuer.iter_common_name().next()),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() {
        issuer.to_string()
    } else {
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::self_signed::testing::{chain_of_two, pair};
    use super::*;

    fn pem<'a>(what: &'a str, text: &'a str) -> Pem<'a> {
        Pem {
            what,
            text: text.as_bytes(),
        }
    }

    fn load(certificate: &str, key: &str) -> Result<Certificate, String> {
        Certificate::from_pem(pem("chain.pem", certificate), pem("key.pem", key))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_pair_tells_what_it_is() {
        let (certificate, key) = pair(&["node.example.org", "10.0.0.7", "::1"], 0, 90);
        let loaded = load(&certificate, &key).unwrap();
        assert_eq!(loaded.names, ["node.example.org", "10.0.0.7", "::1"]);
        assert_eq!(loaded.issuer, "itself");
        assert!(!loaded.chain_is_missing);
        let day = 86_400;
        let from = loaded.not_before.as_seconds();
        assert_eq!(loaded.not_after.as_seconds() - from, 90 * day);
        assert!(!loaded.is_in_time(Timestamp::from_millis(from * 1000 - 1)));
        assert!(loaded.is_in_time(loaded.not_before) && !loaded.is_in_time(loaded.not_after));
        // One file may hold both.
        let both = format!("{key}{certificate}");
        assert_eq!(load(&both, &both).unwrap().fingerprint, loaded.fingerprint);
    }

    #[test]
    fn a_chain_tells_its_issuer() {
        let (chain, key) = chain_of_two("node.example.org");
        let loaded = load(&chain, &key).unwrap();
        assert_eq!(loaded.issuer, "Test Trust Test Authority");
        assert!(!loaded.chain_is_missing);
        let leaf = chain
            .split_inclusive("-----END CERTIFICATE-----\n")
            .next()
            .unwrap();
        assert!(load(leaf, &key).unwrap().chain_is_missing);
        // The authority's first.
        let turned: String = {
            let parts: Vec<&str> = chain
                .split_inclusive("-----END CERTIFICATE-----\n")
                .collect();
            format!("{}{}", parts[1], parts[0])
        };
        let error = load(&turned, &key).unwrap_err();
        assert!(error.contains("must come first"), "{error}");
    }

    #[test]
    fn names_are_matched_as_clients_do() {
        let (certificate, key) = pair(&["*.example.org", "10.0.0.7"], 0, 90);
        let loaded = load(&certificate, &key).unwrap();
        let hosts = [
            "a.example.org",
            "10.0.0.7",
            "example.org",
            "10.0.0.8",
            "b.a.example.org",
        ];
        let hosts: Vec<String> = hosts.map(str::to_owned).to_vec();
        assert_eq!(
            loaded.lacks(&hosts),
            ["example.org", "10.0.0.8", "b.a.example.org"]
        );
    }

    #[test]
    fn what_is_wrong_is_told_without_the_key() {
        let (certificate, key) = pair(&["a.example"], 0, 90);
        let (_, other) = pair(&["a.example"], 0, 90);
        let cases = [
            (
                certificate.as_str(),
                other.as_str(),
                "chain.pem and key.pem do not belong together",
            ),
            ("", key.as_str(), "chain.pem: holds no certificate; "),
            (
                key.as_str(),
                key.as_str(),
                "chain.pem: holds no certificate; ",
            ),
            (
                certificate.as_str(),
                certificate.as_str(),
                "key.pem: holds no private key; ",
            ),
            (
                certificate.as_str(),
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
                "key.pem: the private key has a passphrase; ",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                key.as_str(),
                "chain.pem: the certificate cannot be used",
            ),
            (
                "-----BEGIN CERTIFICATE-----\n!\n",
                key.as_str(),
                "chain.pem: is no PEM",
            ),
        ];
        for (certificate, key, expected) in cases {
            let error = load(certificate, key).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            let secret = key.lines().nth(1).unwrap_or("none");
            assert!(secret.len() < 10 || !error.contains(secret), "{error}");
        }
    }
}
