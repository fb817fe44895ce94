//! The listener and its certificate: sockets, how many connections are open at once, TLS.
//!
//! What is spoken over a connection is not this room's matter: it hands each one to a function.
//!
//! - [`Supply`] is where the certificate comes from and what keeps it fresh: the operator's files, an authority, or the
//!   node itself. It installs what it has into [`Certificates`], the one place that handshakes, metrics, log and
//!   status ask, and that can be given another certificate at any time.
//! - [`Gate`] leads a connection through its handshake. Handshakes have a bounded place of their own (`crowd`), so that
//!   half-open ones do not use up the connections of those who are served.
//! - [`Connections`] is the room for those who are served, and sees to it that nobody takes all of it.
//!
//! Sessions are resumed by tickets (RFC 8446, 4.6.1; RFC 5077 for TLS 1.2) and not by a table: a ticket costs the node no
//! memory, so a flood of new clients displaces nobody's session, and no lock is shared between handshakes. The price is
//! a key that opens tickets. It is never written anywhere, is replaced every six hours and forgotten after twelve, and
//! under TLS 1.3 it opens no recorded connection, because a resumed one makes a new key exchange. There is no early data: it
//! could be replayed.

mod acme;
mod certificate;
mod certificates;
mod connections;
mod crowd;
mod files;
mod gate;
mod listener;
mod metrics;
mod self_signed;
mod server;
mod standing;
mod supply;

use std::path::PathBuf;

pub use acme::{TLS_LOGGED, TLS_TABLES, Vault, Vaults};
pub use certificate::{Certificate, Pem};
pub use certificates::{CertificateFacts, CertificateSource, Certificates};
pub use connections::Connections;
pub use gate::{Challenge, Cleartext, Gate, Secured};
pub use listener::{ListenError, bind, serve, serve_secured};
pub use metrics::{CertificateMetrics, TlsMetrics};
pub use self_signed::{FILE_NAME as SELF_SIGNED_FILE, Making, make_self_signed};
pub use server::server_config;
pub use standing::Standing;
pub use supply::{Reload, Supply, SupplyOptions};

/// What is wrong with a certificate, its key, or what is made of them. Never tells anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path} cannot be read: {source}; check the path and who may read it")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error(
        "{path} cannot be written: {source}; check that the data folder belongs to the user that runs ksnode, and that its \
         disk has room"
    )]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others may read a private key.
    #[error(
        "{path} holds a private key and is accessible to others (mode {mode:04o}); run: chmod 600 {path} \
         (where modes cannot be set, as in some containers: allow_readable_secret = true)"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Something is not what it should be.
    #[error("{what}: {wrong}; {mend}")]
    Unusable {
        /// The file, or what stands for it.
        what: String,
        /// What is wrong.
        wrong: String,
        /// What mends it.
        mend: &'static str,
    },
    /// Certificate and key are not a pair.
    #[error(
        "{certificate} and {key} do not belong together: the first certificate is for another key{}; \
         replace both with those of one issuance",
        if *elsewhere { ", and a later one of the file is for this key: the node's own must come first" } else { "" }
    )]
    Mismatch {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
        /// Whether another certificate of the chain fits.
        elsewhere: bool,
    },
    /// A new certificate is past its end, or before its beginning, and the one being served is not.
    #[error(
        "{what}: the new certificate is valid from {from} to {until} only, the old one goes on being served"
    )]
    OutOfTime {
        /// The certificate's file.
        what: String,
        /// The beginning of its time.
        from: crate::clock::Timestamp,
        /// The end of its time.
        until: crate::clock::Timestamp,
    },
    /// A certificate could not be made.
    #[error("a self-signed certificate cannot be made: {0}")]
    Making(#[from] rcgen::Error),
    /// The TLS library refuses its settings.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    /// The random source of the system failed.
    #[error(transparent)]
    Crypto(#[from] crate::crypto::CryptoError),
}
