//! From an accepted connection to one that speaks TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::server::{Acceptor, ClientHello};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::crowd::{Crowd, Place};
use super::metrics::{Failure, TlsMetrics};

/// How long a client may take from the connection to the end of the handshake, and then wait for a free connection.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Handshakes under way. Each costs a socket and, at most, the 16 kB of an unfinished message.
const HANDSHAKES: usize = 1024;
/// Bytes that are read of somebody who does not speak TLS, so that he gets to see the answer.
const CLEARTEXT_BYTES: u64 = 64 * 1024;

/// A connection after its handshake.
pub type Secured = TlsStream<TcpStream>;

/// Picks the settings for a client that is an authority's and comes to validate a name (RFC 8737); `None` for all others.
/// Its connection ends with the handshake.
pub type Challenge = Arc<dyn Fn(&ClientHello<'_>) -> Option<Arc<ServerConfig>> + Send + Sync>;

/// What somebody is told, in clear, who sends text to a port that speaks TLS.
pub type Cleartext = Arc<dyn Fn(SocketAddr) -> Bytes + Send + Sync>;

/// Leads connections through their handshake. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    config: Arc<ServerConfig>,
    challenge: Option<Challenge>,
    cleartext: Cleartext,
    metrics: TlsMetrics,
    crowd: Crowd,
    time: Duration,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("crowd", &self.crowd)
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate with these settings.
    pub fn new(
        config: Arc<ServerConfig>,
        challenge: Option<Challenge>,
        cleartext: Cleartext,
        metrics: TlsMetrics,
    ) -> Self {
        Self {
            config,
            challenge,
            cleartext,
            metrics,
            crowd: Crowd::new(HANDSHAKES),
            time: HANDSHAKE_TIME,
        }
    }

    /// Gives a client a place among the handshakes under way.
    pub(super) fn enter(&self, peer: SocketAddr) -> Place {
        self.crowd.enter(peer.ip())
    }

    /// The connection after its handshake, and what `free` gives then; `None` when it came to nothing, which has been
    /// counted.
    pub(super) async fn admit<T>(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
        free: impl Future<Output = Option<T>>,
    ) -> Option<(Secured, T)> {
        let admitted = async {
            let handshake = tokio::time::timeout(self.time, self.handshake(stream, peer));
            let stream = handshake.await.unwrap_or(Err(Failure::Slow))?;
            // The place is kept meanwhile, so that waiting clients too are bounded.
            let freed = tokio::time::timeout(self.time, free).await;
            let freed = freed.ok().flatten().ok_or(Failure::Full)?;
            Ok((stream, freed))
        };
        let outcome = tokio::select! {
            outcome = admitted => outcome,
            () = place.displaced() => Err(Failure::Displaced),
        };
        outcome
            .inspect_err(|failure| self.metrics.failed(*failure))
            .ok()
    }

    async fn handshake(&self, stream: TcpStream, peer: SocketAddr) -> Result<Secured, Failure> {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1..) => {}
            // It connected and left, as port scanners and health checks do.
            Ok(0) | Err(_) => return Err(Failure::Gone),
        }
        // The methods of HTTP begin so, and no record of TLS does.
        if first.first().is_some_and(u8::is_ascii_uppercase) {
            self.refuse_cleartext(stream, peer).await;
            return Err(Failure::Cleartext);
        }
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream)
            .await
            .map_err(|error| broken(&error))?;
        let challenge = self
            .challenge
            .as_ref()
            .and_then(|challenge| challenge(&start.client_hello()));
        if let Some(config) = challenge {
            let mut stream = start
                .into_stream(config)
                .await
                .map_err(|error| broken(&error))?;
            // What counts for the authority is the certificate that it has been shown.
            let _ = stream.shutdown().await;
            return Err(Failure::Challenge);
        }
        let stream = start
            .into_stream(self.config.clone())
            .await
            .map_err(|error| broken(&error))?;
        self.metrics.completed(stream.get_ref().1);
        Ok(stream)
    }

    async fn refuse_cleartext(&self, mut stream: TcpStream, peer: SocketAddr) {
        let answer = (self.cleartext)(peer);
        // He may have gone; there is nobody to be told then.
        if stream.write_all(&answer).await.is_ok() && stream.shutdown().await.is_ok() {
            // Closing before all of it was read would reset the connection, and the answer be lost.
            let mut rest = stream.take(CLEARTEXT_BYTES);
            let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        }
    }
}

fn broken(error: &std::io::Error) -> Failure {
    tracing::debug!(%error, "a TLS handshake failed");
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::PeerIncompatible(_)) => Failure::Incompatible,
        Some(rustls::Error::AlertReceived(_)) => Failure::Refused,
        Some(_) => Failure::Garbled,
        None => Failure::Gone,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    use super::super::self_signed::testing::certificate;
    use super::super::{CertificateSource, Certificates, server_config};
    use super::*;
    use crate::clock::SystemClock;
    use crate::crypto::provider;

    fn gate() -> (Gate, CertificateDer<'static>) {
        let certificate = certificate("localhost", 90);
        let root = certificate.key.cert[0].clone();
        let certificates = Certificates::new(
            CertificateSource::SelfSigned,
            certificate,
            SystemClock::shared(),
        );
        let config = server_config(Arc::new(certificates), &[b"h2", b"http/1.1"]).unwrap();
        let cleartext: Cleartext = Arc::new(|_| Bytes::from_static(b"speak TLS"));
        let gate = Gate::new(config, None, cleartext, TlsMetrics::default());
        (gate, root)
    }

    async fn socket() -> (TcpListener, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    async fn admit(gate: &Gate, socket: &TcpListener) -> Option<(Secured, ())> {
        let (stream, peer) = socket.accept().await.unwrap();
        let place = gate.enter(peer);
        gate.admit(stream, peer, place, async { Some(()) }).await
    }

    async fn client(
        address: SocketAddr,
        root: CertificateDer<'static>,
        alpn: &[u8],
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    #[tokio::test]
    async fn the_hybrid_exchange_and_the_wanted_protocol_are_agreed_on() {
        let (gate, root) = gate();
        let (socket, address) = socket().await;
        let (admitted, stream) =
            tokio::join!(admit(&gate, &socket), client(address, root, b"http/1.1"));
        let (server, ()) = admitted.unwrap();
        let client = stream.unwrap();
        let group = client.get_ref().1.negotiated_key_exchange_group().unwrap();
        assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
        assert_eq!(server.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    }

    #[tokio::test]
    async fn a_validation_gets_a_handshake_of_its_own_and_nothing_else() {
        let (mut gate, root) = gate();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let config = gate.config.clone();
        let mut validating = (*config).clone();
        validating.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let validating = Arc::new(validating);
        gate.challenge = Some(Arc::new(move |hello: &ClientHello<'_>| {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut alpn = hello.alpn()?;
            alpn.any(|protocol| protocol == b"acme-tls/1")
                .then(|| validating.clone())
        }));
        let (socket, address) = socket().await;
        let (admitted, stream) = tokio::join!(
            admit(&gate, &socket),
            client(address, root.clone(), b"acme-tls/1")
        );
        assert!(admitted.is_none());
        assert_eq!(stream.unwrap().read(&mut [0]).await.unwrap(), 0);
        let (admitted, _) = tokio::join!(admit(&gate, &socket), client(address, root, b"h2"));
        assert!(admitted.is_some());
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn text_is_answered_in_text() {
        let (gate, _) = gate();
        let (socket, address) = socket().await;
        let asked = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            said
        };
        let (admitted, said) = tokio::join!(admit(&gate, &socket), asked);
        assert!(admitted.is_none());
        assert_eq!(said, "speak TLS");
    }

    #[tokio::test]
    async fn a_silent_client_is_cut_off() {
        let (mut gate, _) = gate();
        gate.time = Duration::from_millis(20);
        let (socket, address) = socket().await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        // The beginning of a record that never ends.
        silent.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
        assert!(admit(&gate, &socket).await.is_none());
        assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn no_free_connection_is_waited_for_in_vain() {
        let (mut gate, root) = gate();
        gate.time = Duration::from_millis(500);
        let (socket, address) = socket().await;
        let waiting = async {
            let (stream, peer) = socket.accept().await.unwrap();
            let place = gate.enter(peer);
            let never = std::future::pending::<Option<()>>();
            gate.admit(stream, peer, place, never).await.is_none()
        };
        let (cut, _) = tokio::join!(waiting, client(address, root, b"h2"));
        assert!(cut);
    }
}
