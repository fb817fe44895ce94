//! What the operating system sees: logs, signals, process limits, sockets it passes, and the connections that the node makes to
//! others.

pub mod logging;
pub mod outbound;
pub mod process;
pub mod sockets;
