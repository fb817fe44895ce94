//! Connections that are made for one `GET /` each, as fast as they are answered.
//!
//! The request is there because a handshake is over for the client before the server has checked its last message, and
//! because the tickets for the next one come after it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use hdrhistogram::Histogram;
use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::load::{Measured, exchange, histogram, secured};

/// A load of handshakes.
#[derive(Clone)]
pub struct Handshakes {
    pub address: SocketAddr,
    /// How many are under way at once.
    pub clients: usize,
    pub tls: Arc<ClientConfig>,
    /// Whether each goes on with a session of the one before.
    pub resumed: bool,
    pub request: Arc<[u8]>,
    pub time: Duration,
}

impl Handshakes {
    /// Puts the load on the server. The first that does not go as expected is an error.
    pub async fn run(&self) -> anyhow::Result<Measured> {
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for _ in 0..self.clients {
            clients.spawn(self.clone().client(began + self.time));
        }
        let mut latencies = histogram()?;
        while let Some(client) = clients.join_next().await {
            latencies.add(client??)?;
        }
        Ok(Measured {
            elapsed: began.elapsed(),
            latencies,
        })
    }

    async fn client(self, end: Instant) -> anyhow::Result<Histogram<u64>> {
        // Each has sessions of its own.
        let mut config = ClientConfig::clone(&self.tls);
        config.resumption = if self.resumed {
            Resumption::in_memory_sessions(4)
        } else {
            Resumption::disabled()
        };
        let config = Arc::new(config);
        let mut latencies = histogram()?;
        let mut room = vec![0; 16 * 1024];
        let mut expected = HandshakeKind::Full;
        let mut began = Instant::now();
        while began < end {
            let kind = self.one(&config, &mut room).await?;
            ensure!(kind == Some(expected), "a handshake was {kind:?}");
            let ended = Instant::now();
            latencies.record(u64::try_from((ended - began).as_nanos())?)?;
            began = ended;
            if self.resumed {
                expected = HandshakeKind::Resumed;
            }
        }
        Ok(latencies)
    }

    async fn one(
        &self,
        config: &Arc<ClientConfig>,
        room: &mut [u8],
    ) -> anyhow::Result<Option<HandshakeKind>> {
        let mut stream = secured(self.address, config).await?;
        exchange(&mut stream, room, &self.request, b"").await?;
        let (_, connection) = stream.get_ref();
        let kind = connection.handshake_kind();
        let group = connection.negotiated_key_exchange_group();
        ensure!(
            connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
                && group.is_some_and(|group| group.name() == NamedGroup::X25519MLKEM768),
            "another version or key exchange than expected"
        );
        stream.shutdown().await?;
        Ok(kind)
    }
}
