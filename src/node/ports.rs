//! The node's sockets, and what is served on each.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::NodeError;
use crate::config::{Config, TlsMode};
use crate::http::{Front, Ops, Protocol, Redirect, serve_api, serve_ops, serve_redirect};
use crate::service::sockets::PassedSockets;
use crate::tls::{self, Gate, ListenError};

/// Connections to the listener of metrics and health.
const OPS_CONNECTIONS: usize = 64;
/// Connections to the listener that redirects. Each takes a moment.
const REDIRECT_CONNECTIONS: usize = 256;
/// The port of https, when nothing tells another.
const HTTPS_PORT: u16 = 443;

/// Sockets that are open.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) api: Vec<TcpListener>,
    pub(super) redirect: Option<TcpListener>,
    pub(super) ops: Option<TcpListener>,
}

impl Ports {
    /// Takes what was passed, and binds the rest as configured.
    pub(super) fn bind(config: &Config, passed: PassedSockets) -> Result<Self, NodeError> {
        if passed.redirect.is_some() && config.tls.mode == TlsMode::Off {
            return Err(NodeError::NothingToRedirectTo);
        }
        let api = if passed.api.is_empty() {
            let addresses = config.server.listen.iter();
            addresses
                .map(|&address| tls::bind("server.listen", address))
                .collect::<Result<_, _>>()?
        } else {
            let sockets = passed.api.into_iter();
            sockets
                .map(|socket| adopt("server.listen", socket))
                .collect::<Result<_, _>>()?
        };
        let one = |key, passed: Option<std::net::TcpListener>, address: Option<SocketAddr>| match (
            passed, address,
        ) {
            (Some(socket), _) => adopt(key, socket).map(Some),
            (None, Some(address)) => tls::bind(key, address).map(Some),
            (None, None) => Ok(None),
        };
        Ok(Self {
            api,
            redirect: one(
                "tls.redirect_listen",
                passed.redirect,
                config.tls.redirect_listen,
            )?,
            ops: one("ops.listen", passed.ops, config.ops.listen)?,
        })
    }

    pub(super) fn api_addresses(&self) -> Vec<SocketAddr> {
        let listeners = self.api.iter();
        listeners
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Where clients are sent by the listener that redirects.
    pub(super) fn redirect(&self, config: &Config) -> Redirect {
        let ports = self
            .api_addresses()
            .into_iter()
            .map(|address| address.port());
        let ports: Vec<u16> = ports.collect();
        let standard = ports.is_empty() || ports.contains(&HTTPS_PORT);
        let port = ports.first().copied().filter(|_| !standard);
        Redirect::new(&config.tls.domains, port.unwrap_or(HTTPS_PORT))
    }
}

pub(super) fn address(listener: Option<&TcpListener>) -> Option<SocketAddr> {
    listener?.local_addr().ok()
}

fn adopt(key: &'static str, socket: std::net::TcpListener) -> Result<TcpListener, ListenError> {
    let address = socket.local_addr();
    let adopted = address.and_then(|address| Ok((TcpListener::from_std(socket)?, address)));
    let (socket, address) = adopted.map_err(|source| ListenError::Passed { key, source })?;
    tracing::info!(%address, "a socket passed by the service manager takes the place of {key}");
    Ok(socket)
}

/// Serves the API on these sockets until `stop`; over TLS when there is a gate.
pub(super) fn run_api(
    listeners: Vec<TcpListener>,
    gate: Option<&Gate>,
    max_connections: usize,
    front: &Front,
    stop: &CancellationToken,
) -> TaskTracker {
    let serving = TaskTracker::new();
    let permits = Arc::new(Semaphore::new(max_connections));
    for listener in listeners {
        let (front, stopping) = (front.clone(), stop.clone());
        let (permits, stop) = (permits.clone(), stop.clone());
        match gate.cloned() {
            None => {
                let handler = move |stream, peer| {
                    serve_api(
                        stream,
                        Protocol::Http1,
                        peer,
                        front.clone(),
                        stopping.clone(),
                    )
                };
                serving.spawn(tls::serve(listener, permits, stop, handler));
            }
            Some(gate) => {
                let handler = move |stream: tls::Secured, peer| {
                    let protocol = Protocol::negotiated(stream.get_ref().1.alpn_protocol());
                    serve_api(stream, protocol, peer, front.clone(), stopping.clone())
                };
                serving.spawn(tls::serve_secured(listener, gate, permits, stop, handler));
            }
        }
    }
    serving.close();
    serving
}

pub(super) async fn run_redirect(
    listener: Option<TcpListener>,
    redirect: Redirect,
    stop: CancellationToken,
) {
    if let Some(listener) = listener {
        let permits = Arc::new(Semaphore::new(REDIRECT_CONNECTIONS));
        let stopping = stop.clone();
        let handler = move |stream, _| serve_redirect(stream, redirect.clone(), stopping.clone());
        tls::serve(listener, permits, stop, handler).await;
    }
}

pub(super) async fn run_ops(listener: Option<TcpListener>, ops: Ops, stop: CancellationToken) {
    if let Some(listener) = listener {
        let permits = Arc::new(Semaphore::new(OPS_CONNECTIONS));
        let stopping = stop.clone();
        let handler = move |stream, _| serve_ops(stream, ops.clone(), stopping.clone());
        tls::serve(listener, permits, stop, handler).await;
    }
}
