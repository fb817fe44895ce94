//! What the listener shows an authority that comes to validate a name (tls-alpn-01, RFC 8737).

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::ClientHello;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_acme::acme::ACME_TLS_ALPN_NAME;
use rustls_acme::is_tls_alpn_challenge;

use super::super::{Challenge, TlsError};
use crate::crypto::provider;

/// Names that are being validated. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Challenges(Arc<ArcSwap<BTreeMap<String, Arc<ServerConfig>>>>);

impl Challenges {
    /// What the gate asks.
    pub(super) fn answerer(&self) -> Challenge {
        let this = self.clone();
        Arc::new(move |hello: &ClientHello<'_>| {
            if !is_tls_alpn_challenge(hello) {
                return None;
            }
            let name = hello.server_name()?.to_ascii_lowercase();
            this.0.load().get(&name).cloned()
        })
    }

    /// Shows `certificate` to whoever validates `name`.
    pub(super) fn show(&self, name: &str, certificate: CertifiedKey) -> Result<(), TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate)));
        config.alpn_protocols = vec![ACME_TLS_ALPN_NAME.to_vec()];
        let config = Arc::new(config);
        self.0.rcu(|names| {
            let mut names = (**names).clone();
            names.insert(name.to_ascii_lowercase(), config.clone());
            names
        });
        Ok(())
    }

    /// Shows nothing any more once the returned value is dropped.
    pub(super) fn until_dropped(&self) -> Shown {
        Shown(self.clone())
    }
}

/// See [`Challenges::until_dropped`].
#[derive(Debug)]
pub(super) struct Shown(Challenges);

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.0.store(Arc::default());
    }
}
