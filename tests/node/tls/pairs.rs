//! An authority of the tests' own, and what it issues.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair};
use time::{Duration, OffsetDateTime};

pub struct Authority {
    certificate: Certificate,
    key: KeyPair,
    /// Its certificate as PEM, for clients.
    pub root: PathBuf,
}

/// A certificate with its chain, and its key, as PEM.
pub struct Pair {
    pub chain: String,
    pub key: String,
}

impl Authority {
    /// One whose certificate is in `folder`.
    pub fn new(folder: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec![]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
            .distinguished_name
            .push(DnType::CommonName, "Authority of the tests");
        let certificate = parameters.self_signed(&key).unwrap();
        let root = folder.join("root.pem");
        std::fs::write(&root, certificate.pem()).unwrap();
        Self {
            certificate,
            key,
            root,
        }
    }

    /// A certificate that began yesterday and lasts for 90 days.
    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_for(names, -1, 90)
    }

    /// One that begins in `from` days and lasts for `days`.
    pub fn issue_for(&self, names: &[&str], from: i64, days: i64) -> Pair {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.not_before = OffsetDateTime::now_utc() + Duration::days(from);
        parameters.not_after = parameters.not_before + Duration::days(days);
        let certificate = parameters
            .signed_by(&key, &self.certificate, &self.key)
            .unwrap();
        Pair {
            chain: certificate.pem() + &self.certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Pair {
    /// Writes it to `chain.pem` and `key.pem` of this folder, each in one step.
    pub fn write(&self, folder: &Path) {
        replace(&folder.join("chain.pem"), &self.chain);
        replace(&folder.join("key.pem"), &self.key);
    }
}

/// Puts a private file of this content in the place of `path`.
pub fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::set_permissions(&new, Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(new, path).unwrap();
}
