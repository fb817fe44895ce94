//! Mode `files`: the operator's own certificate, read again when it changes.
//!
//! The files are looked at every other second instead of being watched by the kernel: that works on every file system, for
//! symbolic links that are turned to another folder, and for a folder that is replaced as a whole, and two calls of stat cost
//! nothing. What has changed is read only when it has stayed the same from one look to the next, because certificate and key
//! are two files and whoever renews them writes one after the other.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Certificate, CertificateSource, Certificates, Pem, TlsError};
use crate::clock::{SharedClock, Timestamp};
use crate::config::CertificateFiles;

/// How often the files are looked at.
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// How often a pair that is broken is tried again though nothing about its files has changed.
const RETRY: Duration = Duration::from_secs(60);
/// No chain is longer; what is, is another file.
const MAX_BYTES: u64 = 1024 * 1024;

/// A file's contents, a private key among them. A file that others may read is refused unless `allow_readable`.
///
/// # Errors
/// [`TlsError::Unreadable`], [`TlsError::Exposed`].
pub(super) fn read_private(
    path: &Path,
    allow_readable: bool,
) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let unreadable = |source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if !allow_readable && mode & 0o077 != 0 {
        return Err(TlsError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    // Reserved at once, so that growing leaves no copies behind.
    let length = usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or(0);
    let mut content = Zeroizing::new(Vec::with_capacity(length.saturating_add(1)));
    file.take(MAX_BYTES)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    Ok(content)
}

/// The operator's files, and what they are checked against.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) files: CertificateFiles,
    /// Names that the certificate should be for.
    pub(super) domains: Vec<String>,
    pub(super) allow_readable: bool,
    pub(super) clock: SharedClock,
}

/// What tells that a file is another one, or was changed: `ctime` moves with its content, its mode and its owner.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// Both files as they are found, their moment included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamps([Stamp; 2]);

fn stamp(path: &Path) -> Stamp {
    let found = path.metadata().ok()?;
    let (seconds, nanoseconds) = (found.ctime(), found.ctime_nsec());
    Some((found.dev(), found.ino(), found.size(), seconds, nanoseconds))
}

impl Files {
    /// The pair in the files. What is odd about it and no reason to refuse it is logged.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(super) fn load(&self) -> Result<Certificate, TlsError> {
        let certificate = read_private(&self.files.certificate, true)?;
        let allow_readable = self.allow_readable || self.files.key_is_credential;
        let key = read_private(&self.files.key, allow_readable)?;
        let name = |path: &Path| path.display().to_string();
        let (certificate_name, key_name) = (name(&self.files.certificate), name(&self.files.key));
        let pair = Certificate::from_pem(
            Pem {
                what: &certificate_name,
                text: &certificate,
            },
            Pem {
                what: &key_name,
                text: &key,
            },
        )?;
        self.remark(&pair);
        Ok(pair)
    }

    /// An expired certificate is served: a client that is warned, or looks away, is better off than one that reaches nobody.
    /// How it stands in its time is logged by `standing`.
    fn remark(&self, pair: &Certificate) {
        let path = self.files.certificate.display();
        let lacking = pair.lacks(&self.domains);
        if !lacking.is_empty() {
            let (lacking, names) = (lacking.join(" "), pair.names.join(" "));
            tracing::warn!(%path, lacking, names, "the certificate is not for all of tls.domains");
        }
        if pair.chain_is_missing {
            tracing::warn!(
                %path,
                issuer = pair.issuer,
                "the file holds the certificate alone: unless its issuer is a root, many clients will refuse it; \
                 append the issuer's certificate (it is in the file often called fullchain.pem)"
            );
        }
    }

    fn stamps(&self) -> Stamps {
        Stamps([stamp(&self.files.certificate), stamp(&self.files.key)])
    }
}

/// Keeps [`Certificates`] as the files are.
#[derive(Debug)]
pub(super) struct Reloading {
    files: Files,
    certificates: Certificates,
    /// As the files were when they were read last.
    read: Stamps,
    /// As they were at the last look.
    seen: Stamps,
    /// When a broken pair is tried again.
    retry: Option<Timestamp>,
}

impl Reloading {
    /// Begins with what the files hold.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(super) fn start(files: Files) -> Result<(Self, Certificates), TlsError> {
        // Before they are read: a change in between is one more reload, and not one missed.
        let read = files.stamps();
        let pair = files.load()?;
        let certificates = Certificates::new(CertificateSource::Files, pair, files.clock.clone());
        let reloading = Self {
            files,
            certificates: certificates.clone(),
            read,
            seen: read,
            retry: None,
        };
        Ok((reloading, certificates))
    }

    /// Looks whether the files have changed, and reads them if so.
    pub(super) fn look(&mut self) {
        let now = self.files.stamps();
        let settled = now == self.seen;
        self.seen = now;
        let due = self.retry.is_some_and(|at| at <= self.files.clock.now());
        if settled && (now != self.read || due) {
            self.reload();
        }
    }

    /// Reads the files now. A pair that cannot be used leaves the old one in use.
    pub(super) fn reload(&mut self) {
        self.read = self.files.stamps();
        self.seen = self.read;
        let outcome = self.files.load().and_then(|pair| self.acceptable(pair));
        match outcome {
            Ok(pair) => {
                self.retry = None;
                if self.certificates.serves(&pair) {
                    self.certificates.confirmed();
                } else {
                    self.certificates.install(CertificateSource::Files, pair);
                }
            }
            Err(error) => {
                let retry = self.files.clock.now().plus(RETRY);
                self.retry = Some(retry);
                self.certificates.failed(&error);
            }
        }
        self.certificates.set_next_attempt(self.retry);
    }

    /// A pair that is out of its time does not take the place of one that is not.
    fn acceptable(&self, pair: Certificate) -> Result<Certificate, TlsError> {
        let now = self.files.clock.now();
        let facts = self.certificates.facts();
        let old_is_good = facts.not_before <= now && now < facts.not_after;
        if pair.is_in_time(now) || !old_is_good {
            return Ok(pair);
        }
        Err(TlsError::OutOfTime {
            what: self.files.files.certificate.display().to_string(),
            from: pair.not_before,
            until: pair.not_after,
        })
    }
}

#[cfg(test)]
mod tests;
