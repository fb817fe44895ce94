//! Sockets that whoever started the process has passed to it (sd_listen_fds(3)). There are two kinds.
//!
//! - Those that the node has opened itself, before: it has the service manager keep a copy of each of its listeners, and is
//!   given them back at its next start. While it is away clients wait in the kernel's queue, and none is turned away. What
//!   the configuration says decides all the same: a socket is used when its address is one of those, and is closed when it
//!   is none.
//! - Those of a socket unit, which systemd opens before it starts the node. They take the place of configured addresses.
//!   That was the only way to lose no client in a restart, and is one still: but then two files name addresses, and each
//!   instance of a template needs a unit more.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

/// The variable with the sockets' names.
const NAMES: &str = "LISTEN_FDNAMES";

/// What a socket is for: its name (`FileDescriptorName=` of the socket unit), and the order of sockets without one.
const PURPOSES: [&str; 3] = ["api", "redirect", "ops"];

/// What begins the name of a socket that the node has opened itself. Its address follows: sockets are forgotten by their
/// names, so that each needs its own.
const KEPT: &str = "held-";

/// A socket that was passed and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// It is no listening TCP socket.
    #[error("socket {number} that was passed by the service manager cannot be used: {source}")]
    Unusable {
        /// Its place among those that were passed, counted from 1.
        number: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its name says nothing, or says what another one has said.
    #[error(
        "socket {number} that was passed by the service manager is named {name:?}; name each by what it is for \
         (FileDescriptorName=api, redirect or ops; api may be repeated), or none"
    )]
    Unknown {
        /// Its place among those that were passed, counted from 1.
        number: usize,
        /// Its name.
        name: String,
    },
}

/// A socket that the service manager has kept since an earlier run of the node.
#[derive(Debug)]
pub struct KeptSocket {
    /// The name under which it is kept.
    pub name: String,
    /// The socket.
    pub socket: TcpListener,
}

impl KeptSocket {
    /// The name under which a listener at this address is kept. A colon would end it.
    pub fn name_for(address: SocketAddr) -> String {
        format!("{KEPT}{address}").replace(':', "_")
    }
}

/// The sockets that were passed. Those of a socket unit are told by what they are for, and each takes the place of what the
/// configuration would have bound.
#[derive(Debug, Default)]
pub struct PassedSockets {
    /// The API's.
    pub api: Vec<TcpListener>,
    /// The one that redirects to https.
    pub redirect: Option<TcpListener>,
    /// The one of metrics and health.
    pub ops: Option<TcpListener>,
    /// Those that the node itself has opened before.
    pub kept: Vec<KeptSocket>,
}

impl PassedSockets {
    /// Takes what was passed to this process, which is nothing in most cases.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn take() -> Result<Self, SocketError> {
        let names = std::env::var(NAMES).unwrap_or_default();
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            let unusable = |source| SocketError::Unusable {
                number: index.saturating_add(1),
                source,
            };
            let socket = passed.take_tcp_listener(index).map_err(unusable)?;
            let Some(socket) = socket else { continue };
            socket.set_nonblocking(true).map_err(unusable)?;
            sockets.push(socket);
        }
        Self::assign(sockets, &names)
    }

    fn assign(sockets: Vec<TcpListener>, names: &str) -> Result<Self, SocketError> {
        let names: Vec<&str> = names.split(':').collect();
        // Whoever named none of them has meant the order.
        let named = names.iter().any(|name| PURPOSES.contains(name));
        let mut passed = Self::default();
        let mut order = PURPOSES.iter();
        for (index, socket) in sockets.into_iter().enumerate() {
            let given = names.get(index).copied().unwrap_or_default();
            if given.starts_with(KEPT) {
                let name = given.to_owned();
                passed.kept.push(KeptSocket { name, socket });
                continue;
            }
            let name = if named {
                given
            } else {
                order.next().copied().unwrap_or_default()
            };
            match name {
                "api" => passed.api.push(socket),
                "redirect" if passed.redirect.is_none() => passed.redirect = Some(socket),
                "ops" if passed.ops.is_none() => passed.ops = Some(socket),
                _ => {
                    return Err(SocketError::Unknown {
                        number: index.saturating_add(1),
                        name: name.to_owned(),
                    });
                }
            }
        }
        Ok(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(count: usize, names: &str) -> Result<(usize, bool, bool), String> {
        let sockets = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        PassedSockets::assign(sockets.collect(), names)
            .map(|passed| {
                (
                    passed.api.len(),
                    passed.redirect.is_some(),
                    passed.ops.is_some(),
                )
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn names_count_and_without_them_the_order() {
        assert_eq!(assigned(0, ""), Ok((0, false, false)));
        assert_eq!(assigned(1, ""), Ok((1, false, false)));
        assert_eq!(
            assigned(3, "ksnode.socket:ksnode.socket:unknown"),
            Ok((1, true, true))
        );
        assert_eq!(assigned(3, "ops:api:api"), Ok((2, false, true)));
    }

    #[test]
    fn sockets_of_the_nodes_own_stand_beside_any_others() {
        let assign = |count: usize, names: &str| {
            let sockets = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
            let passed = PassedSockets::assign(sockets.collect(), names).unwrap();
            let kept: Vec<String> = passed.kept.into_iter().map(|kept| kept.name).collect();
            (
                passed.api.len(),
                passed.redirect.is_some(),
                passed.ops.is_some(),
                kept.join(" "),
            )
        };
        assert_eq!(assign(1, "held-a"), (0, false, false, "held-a".into()));
        // Without a name that tells it, the order is that of the others.
        assert_eq!(
            assign(4, "held-a:ksnode.socket:held-b:ksnode.socket"),
            (1, true, false, "held-a held-b".into())
        );
        assert_eq!(
            assign(3, "held-a:ops:held-a"),
            (0, false, true, "held-a held-a".into())
        );
    }

    #[test]
    fn names_hold_no_colon_and_tell_addresses_apart() {
        let addresses = [
            "127.0.0.1:4201",
            "[::1]:4201",
            "[::]:4201",
            "127.0.0.1:4202",
        ];
        let mut names: Vec<String> = addresses
            .map(|address| KeptSocket::name_for(address.parse().unwrap()))
            .into();
        assert_eq!(names[0], "held-127.0.0.1_4201");
        assert!(names.iter().all(|name| !name.contains(':')), "{names:?}");
        names.dedup();
        assert_eq!(names.len(), addresses.len());
    }

    #[test]
    fn a_socket_without_a_purpose_is_refused() {
        for (count, names) in [(4, ""), (2, "api"), (2, "api:web"), (2, "ops:ops")] {
            let error = assigned(count, names).unwrap_err();
            assert!(error.contains("FileDescriptorName="), "{error}");
        }
    }
}
