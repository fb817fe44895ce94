//! The control socket: how commands on this machine reach the running node.
//!
//! A node that runs has its data folder to itself, so a command that wants a backup or a restore has to ask it. It asks
//! over a unix socket in that folder. Nobody else can reach it: the folder and the socket are private to their owner, and
//! the kernel tells who is at the other end, so that no password is needed, which a port on loopback would need.
//!
//! What is said is lines of JSON: the client's one request, then the node's events, the last of them done or failed (see
//! [`Request`] and [`Event`]). HTTP was considered and left out. A request here takes minutes and tells how far it is, so
//! its answer would be a stream that needs lines of its own inside the body; statuses, headers, routes and a second
//! client would come on top, and nothing of them is asked for between two processes of one program. Lines can be read and
//! written by hand (`socat - UNIX:control.sock`).
//!
//! Work that was asked for goes on when the client goes away: a backup is not to hang on a terminal.
//!
//! In reading order: `protocol` is what is said, `server` who may speak and for how long, `counter` has it done at the
//! desk, `client` is the other end.

mod client;
mod counter;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod protocol;
mod server;
mod sessions;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use client::Client;
pub use counter::at_desk;
pub use protocol::{Event, PhaseStep, Request, RotatedKey};
pub use server::{Answerer, ControlServer, Work};
pub use sessions::{AccessChanged, SessionItem};

/// The socket's name in the data folder.
pub const SOCKET_FILE: &str = "control.sock";

/// Why the control socket cannot be had, or a command did not get through to the node, or was refused by it.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Addresses of unix sockets are short: some hundred bytes.
    #[error(
        "data_dir = {folder}: the path is too long, the address of a socket in it ({SOCKET_FILE}) does not fit; choose a shorter one"
    )]
    TooLong {
        /// The data folder.
        folder: PathBuf,
    },
    /// Something else has the socket's name.
    #[error("{path} is not a socket; move it away")]
    NotASocket {
        /// The socket's path.
        path: PathBuf,
    },
    /// The socket cannot be used.
    #[error(
        "{path}: {source}; check that the data folder belongs to the user that runs the node, and that its disk has room"
    )]
    Io {
        /// The socket's path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is another user's.
    #[error("{path}: {source}; run the command as the user that runs the node, or as root")]
    Forbidden {
        /// The socket's path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A path that cannot be said in JSON.
    #[error("the request cannot be written: {0}")]
    Unsayable(serde_json::Error),
    /// The node was asked and said no, in these words.
    #[error("{0}")]
    Refused(String),
    /// The node ended the conversation before it was over.
    #[error(
        "the node ended the connection before it answered: it was stopped or killed meanwhile; its log says more"
    )]
    Cut,
    /// Nothing came for a long time, where a line is due every few seconds.
    #[error("the node has said nothing for {seconds} s: it hangs, or its disk does")]
    Silent {
        /// How long was waited.
        seconds: u64,
    },
    /// The node says what this program does not understand.
    #[error(
        "the node's answer is not understood: {0}; it may be another version of ksnode than this command"
    )]
    Garbled(String),
}

impl ControlError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        if source.kind() == std::io::ErrorKind::PermissionDenied {
            return Self::Forbidden { path, source };
        }
        Self::Io { path, source }
    }
}

/// Where the control socket of the node with this data folder is.
///
/// # Errors
/// [`ControlError::TooLong`].
pub fn socket_path(data_dir: &Path) -> Result<PathBuf, ControlError> {
    let path = data_dir.join(SOCKET_FILE);
    match std::os::unix::net::SocketAddr::from_pathname(&path) {
        Ok(_) => Ok(path),
        Err(_) => Err(ControlError::TooLong {
            folder: data_dir.to_owned(),
        }),
    }
}
