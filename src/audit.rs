//! Who has something done.

use std::fmt;
use std::net::IpAddr;

/// Who has something done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The node itself, as it is configured.
    Node,
    /// A command on this machine.
    Command {
        /// The number of the user who runs it.
        user: u32,
    },
    /// A caller of the API with the administrator's password.
    Api {
        /// Where the call comes from.
        address: IpAddr,
    },
    /// The administrator at the admin page.
    Page {
        /// Where the request comes from.
        address: IpAddr,
        /// Names the session and opens nothing.
        session: String,
    },
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("the node"),
            Self::Command { user } => write!(f, "a command of user {user}"),
            Self::Api { address } => write!(f, "the API from {address}"),
            Self::Page { address, session } => {
                write!(f, "the admin page from {address}, session {session}")
            }
        }
    }
}
