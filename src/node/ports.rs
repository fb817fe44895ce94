//! The node's sockets, and what is served on each.
//!
//! A listener is, in this order: what a socket unit has passed for it; what the service manager has kept for it since the
//! node's last run; bound anew, and then given to the service manager to be kept.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::NodeError;
use crate::config::{Config, TlsMode};
use crate::http::{Front, Ops, Protocol, Redirect, serve_api, serve_ops, serve_redirect};
use crate::service::notify::Manager;
use crate::service::sockets::{KeptSocket, PassedSockets};
use crate::tls::{self, Connections, Gate, ListenError};

/// Connections to the listener of metrics and health.
const OPS_CONNECTIONS: usize = 64;
/// Connections to the admin page's own listener.
pub(super) const ADMIN_CONNECTIONS: usize = 256;
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
    /// The admin page's own.
    pub(super) admin: Option<TcpListener>,
}

impl Ports {
    /// Takes what was passed, and binds the rest as configured.
    pub(super) fn bind(
        config: &Config,
        passed: PassedSockets,
        manager: &Manager,
    ) -> Result<Self, NodeError> {
        if passed.redirect.is_some() && config.tls.mode == TlsMode::Off {
            return Err(NodeError::NothingToRedirectTo);
        }
        let listen = ("server.listen", config.server.listen.as_slice());
        let redirect = ("tls.redirect_listen", config.tls.redirect_listen.as_slice());
        let ops = ("ops.listen", config.ops.listen.as_slice());
        let api = adopt(passed.api, listen)?;
        let redirector = adopt(passed.redirect.into_iter().collect(), redirect)?;
        let observer = adopt(passed.ops.into_iter().collect(), ops)?;
        let admin = ("admin.listen", config.admin.listen.as_slice());
        let wanted = [
            (&api, listen),
            (&redirector, redirect),
            (&observer, ops),
            (&Vec::new(), admin),
        ];
        let wanted = wanted
            .into_iter()
            .filter(|(adopted, _)| adopted.is_empty())
            .flat_map(|(_, (_, addresses))| addresses.iter().copied());
        let mut kept = Kept::fitting(passed.kept, &wanted.collect::<Vec<_>>(), manager);
        Ok(Self {
            api: kept.or_bind(api, listen)?,
            redirect: kept.or_bind(redirector, redirect)?.pop(),
            ops: kept.or_bind(observer, ops)?.pop(),
            admin: kept.or_bind(Vec::new(), admin)?.pop(),
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

/// A key of the configuration, and the addresses that it names.
type Setting<'a> = (&'static str, &'a [SocketAddr]);

/// Takes what a socket unit has passed in a key's place.
fn adopt(
    sockets: Vec<std::net::TcpListener>,
    (key, configured): Setting<'_>,
) -> Result<Vec<TcpListener>, ListenError> {
    let adopt = |socket: std::net::TcpListener| {
        let address = socket.local_addr();
        let adopted = address.and_then(|address| Ok((TcpListener::from_std(socket)?, address)));
        adopted.map_err(|source| ListenError::Passed { key, source })
    };
    let adopted: Vec<_> = sockets.into_iter().map(adopt).collect::<Result<_, _>>()?;
    let mut passed: Vec<SocketAddr> = adopted.iter().map(|(_, address)| *address).collect();
    let mut configured = configured.to_vec();
    passed.sort_unstable();
    configured.sort_unstable();
    let (passed, configured, same) = (listed(&passed), listed(&configured), passed == configured);
    if adopted.is_empty() {
        // Nothing takes the place of anything.
    } else if same {
        tracing::info!(
            passed,
            "a socket passed by the service manager takes the place of {key}"
        );
    } else {
        tracing::warn!(
            passed,
            configured,
            "a socket passed by the service manager takes the place of {key}, which names another address and is not \
             used: write the same into the configuration and into the socket unit"
        );
    }
    Ok(adopted.into_iter().map(|(socket, _)| socket).collect())
}

/// For people.
fn listed(addresses: &[SocketAddr]) -> String {
    if addresses.is_empty() {
        return "none".to_owned();
    }
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(" ")
}

/// What the service manager has kept since the last run.
struct Kept<'a> {
    sockets: Vec<(SocketAddr, std::net::TcpListener)>,
    manager: &'a Manager,
}

impl<'a> Kept<'a> {
    /// Those that listen where the configuration wants it. The others are closed, here and at the manager: one that is
    /// left open would be in the way of an address that overlaps its own, and its clients would wait for ever.
    fn fitting(kept: Vec<KeptSocket>, wanted: &[SocketAddr], manager: &'a Manager) -> Self {
        let mut sockets: Vec<(SocketAddr, std::net::TcpListener)> = Vec::new();
        let mut forgotten = false;
        for KeptSocket { name, socket } in kept {
            match socket.local_addr() {
                Ok(address) if wanted.contains(&address) => sockets.push((address, socket)),
                address => {
                    let address =
                        address.map_or_else(|error| error.to_string(), |at| at.to_string());
                    tracing::info!(
                        name,
                        address,
                        "a socket that was kept fits no address of the configuration and is closed"
                    );
                    drop(socket);
                    manager.forget(&name);
                    forgotten = true;
                }
            }
        }
        if forgotten {
            manager.catch_up();
        }
        Self { sockets, manager }
    }

    /// What was adopted; otherwise the listeners at the configured addresses.
    fn or_bind(
        &mut self,
        adopted: Vec<TcpListener>,
        (key, addresses): Setting<'_>,
    ) -> Result<Vec<TcpListener>, ListenError> {
        if !adopted.is_empty() {
            return Ok(adopted);
        }
        let addresses = addresses.iter();
        addresses
            .map(|&address| self.take_or_bind(key, address))
            .collect()
    }

    fn take_or_bind(
        &mut self,
        key: &'static str,
        address: SocketAddr,
    ) -> Result<TcpListener, ListenError> {
        let place = self.sockets.iter().position(|(at, _)| *at == address);
        if let Some(place) = place {
            let (_, socket) = self.sockets.swap_remove(place);
            tracing::info!(%address, "the socket of {key} was kept by the service manager since the last run");
            let socket = TcpListener::from_std(socket);
            return socket.map_err(|source| ListenError::Passed { key, source });
        }
        let socket = tls::bind(key, address)?;
        // Port 0 is another one each time.
        if address.port() != 0 {
            self.manager.keep(&KeptSocket::name_for(address), &socket);
        }
        Ok(socket)
    }
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
    let connections = Connections::new(max_connections);
    for listener in listeners {
        let front = front.clone();
        let (connections, stop) = (connections.clone(), stop.clone());
        match gate.cloned() {
            None => {
                let handler = move |stream, peer, ends| {
                    serve_api(stream, Protocol::Http1, peer, front.clone(), ends)
                };
                serving.spawn(tls::serve(listener, connections, stop, handler));
            }
            Some(gate) => {
                let handler = move |stream: tls::Secured, peer, ends| {
                    let protocol = Protocol::negotiated(stream.get_ref().1.alpn_protocol());
                    serve_api(stream, protocol, peer, front.clone(), ends)
                };
                let secured = tls::serve_secured(listener, gate, connections, stop, handler);
                serving.spawn(secured);
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
        let connections = Connections::new(REDIRECT_CONNECTIONS);
        let handler = move |stream, _, ends| serve_redirect(stream, redirect.clone(), ends);
        tls::serve(listener, connections, stop, handler).await;
    }
}

pub(super) async fn run_ops(listener: Option<TcpListener>, ops: Ops, stop: CancellationToken) {
    if let Some(listener) = listener {
        let connections = Connections::new(OPS_CONNECTIONS);
        let handler = move |stream, _, ends| serve_ops(stream, ops.clone(), ends);
        tls::serve(listener, connections, stop, handler).await;
    }
}

#[cfg(test)]
mod tests;
