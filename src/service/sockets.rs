//! Sockets that were opened by whoever started the process: systemd's socket activation (sd_listen_fds(3)).
//!
//! With them the node needs no right to bind low ports, and no client is turned away while it is restarted.

use std::net::TcpListener;

use listenfd::ListenFd;

/// The variable with the sockets' names.
const NAMES: &str = "LISTEN_FDNAMES";

/// What a socket is for: its name (`FileDescriptorName=` of the socket unit), and the order of sockets without one.
const PURPOSES: [&str; 3] = ["api", "redirect", "ops"];

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

/// The sockets that were passed, by what they are for. Each takes the place of what the configuration would have bound.
#[derive(Debug, Default)]
pub struct PassedSockets {
    /// The API's.
    pub api: Vec<TcpListener>,
    /// The one that redirects to https.
    pub redirect: Option<TcpListener>,
    /// The one of metrics and health.
    pub ops: Option<TcpListener>,
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
        for (index, socket) in sockets.into_iter().enumerate() {
            let list = if named { names.as_slice() } else { &PURPOSES };
            let name = list.get(index).copied().unwrap_or_default();
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
    fn a_socket_without_a_purpose_is_refused() {
        for (count, names) in [(4, ""), (2, "api"), (2, "api:web"), (2, "ops:ops")] {
            let error = assigned(count, names).unwrap_err();
            assert!(error.contains("FileDescriptorName="), "{error}");
        }
    }
}
