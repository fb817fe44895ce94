//! The settings of the TLS library.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ResolvesServerCert;
use rustls::version::{TLS12, TLS13};

use super::TlsError;
use crate::crypto::provider;

/// TLS 1.3 and 1.2 with the program's provider, certificates by `resolver`, and the application protocols `alpn`, the
/// preferred one first. One for the life of the listener: its tickets are good for as long as it lives.
///
/// # Errors
/// [`TlsError::Setup`].
pub fn server_config(
    resolver: Arc<dyn ResolvesServerCert>,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    // The provider's order counts, which puts 256-bit keys first: a quantum computer halves what a key is worth, and many
    // clients ask for 128 bits first. What ChaCha20 would save a phone without AES is nothing at the size of our answers.
    config.ignore_client_order = true;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.ticketer = Ticketer::new()?;
    Ok(Arc::new(config))
}
