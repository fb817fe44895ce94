//! Binding and accepting.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::Connections;
use super::gate::{Gate, Secured};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// How long after a stop handshakes under way may take: these clients were not refused.
const LAST_HANDSHAKES: Duration = Duration::from_secs(1);
/// Pause after a failed accept. The usual reason is that the process has no file descriptors left; some come back as
/// connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Something listens there already.
    #[error(
        "{key} = {address}: the port is in use by another program (find it with: ss -ltnp 'sport = :{}'); \
         stop that program or set another address",
        address.port()
    )]
    InUse {
        /// The key of the configuration.
        key: &'static str,
        /// The address wanted.
        address: SocketAddr,
    },
    /// One that was passed by the service manager.
    #[error("the socket passed for {key} cannot be used: {source}")]
    Passed {
        /// The key of the configuration in whose place it came.
        key: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system refuses.
    #[error("{key} = {address}: {source}{}", hint(*address, source))]
    Refused {
        /// The key of the configuration.
        key: &'static str,
        /// The address wanted.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

fn hint(address: SocketAddr, error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            "; ports below 1024 need the capability CAP_NET_BIND_SERVICE, or choose a higher one"
        }
        std::io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

/// Listens at `address`, which the configuration's `key` names. An IPv6 wildcard takes IPv4 as well.
///
/// # Errors
/// [`ListenError`].
pub fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    listen(address).map_err(|source| {
        if source.kind() == std::io::ErrorKind::AddrInUse {
            ListenError::InUse { key, address }
        } else {
            ListenError::Refused {
                key,
                address,
                source,
            }
        }
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart must not wait for the last connections of the process before it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until `stop`, then closes the socket and returns when the connections under way have ended. Each
/// connection is `handler`'s, which is expected to watch the token that it is given. While there is no room the kernel keeps
/// what comes.
pub async fn serve<H, F>(
    socket: TcpListener,
    connections: Connections,
    stop: CancellationToken,
    handler: H,
) where
    H: Fn(TcpStream, SocketAddr, CancellationToken) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let tasks = TaskTracker::new();
    while let Some(Some(permit)) = stop.run_until_cancelled(connections.room()).await {
        let Some(accepted) = accept(&socket, &stop).await else {
            break;
        };
        if let Some((stream, peer)) = accepted {
            let guest = connections.enter(peer, permit, &stop);
            let connection = handler(stream, peer, guest.ends());
            tasks.spawn(guest.stay(connection));
        }
    }
    end(socket, tasks).await;
}

/// The same behind a handshake. A connection takes its room after that, so that half-open ones keep nobody out; those
/// have places of their own at the gate, and everything that comes is accepted at once.
pub async fn serve_secured<H, F>(
    socket: TcpListener,
    gate: Gate,
    connections: Connections,
    stop: CancellationToken,
    handler: H,
) where
    H: Fn(Secured, SocketAddr, CancellationToken) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let tasks = TaskTracker::new();
    while let Some(accepted) = accept(&socket, &stop).await {
        let Some((stream, peer)) = accepted else {
            continue;
        };
        let place = gate.enter(peer);
        let (gate, stop, handler) = (gate.clone(), stop.clone(), handler.clone());
        let connections = connections.clone();
        tasks.spawn(async move {
            let admitted = tokio::select! {
                admitted = gate.admit(stream, peer, place, connections.room()) => admitted,
                () = async { stop.cancelled().await; sleep(LAST_HANDSHAKES).await } => None,
            };
            if let Some((stream, permit)) = admitted {
                let guest = connections.enter(peer, permit, &stop);
                let connection = handler(stream, peer, guest.ends());
                guest.stay(connection).await;
            }
        });
    }
    end(socket, tasks).await;
}

/// The next connection; `Some(None)` when there was none after all, `None` at `stop`.
async fn accept(
    socket: &TcpListener,
    stop: &CancellationToken,
) -> Option<Option<(TcpStream, SocketAddr)>> {
    match stop.run_until_cancelled(socket.accept()).await? {
        Ok((stream, peer)) => {
            // Answers are small and whole: waiting to fill a segment only delays them.
            let _ = stream.set_nodelay(true);
            Some(Some((stream, peer)))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            stop.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
            Some(None)
        }
    }
}

async fn end(socket: TcpListener, tasks: TaskTracker) {
    drop(socket);
    tasks.close();
    tasks.wait().await;
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let first = bind("server.listen", "127.0.0.1:0".parse().unwrap()).unwrap();
        let error = bind("server.listen", first.local_addr().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("server.listen") && error.contains("in use"),
            "{error}"
        );
        let error = bind("ops.listen", "192.0.2.1:4202".parse().unwrap())
            .unwrap_err()
            .to_string();
        assert!(error.contains("no such address"), "{error}");
    }

    #[tokio::test]
    async fn a_full_house_lets_the_next_one_wait() {
        use tokio::io::AsyncReadExt;
        let socket = bind("server.listen", "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (accepted, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
        let connections = Connections::new(1);
        let served = tokio::spawn(serve(socket, connections, stop.clone(), {
            move |mut stream: TcpStream, peer: SocketAddr, _| {
                let accepted = accepted.clone();
                async move {
                    let _ = accepted.send(peer);
                    let _ = stream.read_u8().await;
                }
            }
        }));
        let first = TcpStream::connect(address).await.unwrap();
        let second = TcpStream::connect(address).await.unwrap();
        assert_eq!(arrivals.recv().await, first.local_addr().ok());
        assert!(arrivals.try_recv().is_err());
        drop(first);
        assert_eq!(arrivals.recv().await, second.local_addr().ok());
        stop.cancel();
        drop(second);
        served.await.unwrap();
    }

    #[tokio::test]
    async fn who_has_the_most_connections_makes_room() {
        use tokio::io::AsyncReadExt;
        let socket = bind("server.listen", "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
        let (entered, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
        let served = tokio::spawn(serve(socket, Connections::new(32), stop.clone(), {
            move |mut stream: TcpStream, peer: SocketAddr, end: CancellationToken| {
                let (entered, ended) = (entered.clone(), ended.clone());
                async move {
                    let _ = entered.send(peer);
                    end.cancelled().await;
                    let _ = ended.send(peer);
                    // Every other one of the greedy does not obey, and is cut off.
                    let greedy = peer.ip() == IpAddr::from([127, 0, 0, 1]);
                    if greedy && (peer.port() / 2).is_multiple_of(2) {
                        let _ = stream.read_u8().await;
                    }
                }
            }
        }));
        let connect = async |from: [u8; 4]| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((from, 0).into()).unwrap();
            socket.connect(address).await.unwrap()
        };
        let mut honest = connect([127, 0, 0, 2]).await;
        arrivals.recv().await.unwrap();
        let mut greedy = Vec::new();
        for count in 0..33_usize {
            greedy.push(connect([127, 0, 0, 1]).await);
            arrivals.recv().await.unwrap();
            // Four of the 32 are for those that are going, and one is the honest client's.
            if let Some(oldest) = count.checked_sub(27) {
                let oldest = &mut greedy[oldest];
                assert_eq!(ends.recv().await, oldest.local_addr().ok());
                assert_eq!(oldest.read(&mut [0]).await.unwrap_or(0), 0);
            }
        }
        let another = connect([127, 0, 0, 3]).await;
        assert_eq!(arrivals.recv().await, another.local_addr().ok());
        assert!(honest.try_read(&mut [0]).is_err());
        stop.cancel();
        drop((another, greedy));
        assert_eq!(honest.read(&mut [0]).await.unwrap_or(0), 0);
        served.await.unwrap();
    }
}
