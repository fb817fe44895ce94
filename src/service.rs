//! What the operating system sees: logs, signals, process limits, whose process it is, sockets it passes, and the connections
//! that the node makes to others.

pub mod daemon;
pub mod disk;
pub mod logging;
pub mod notify;
pub mod outbound;
pub mod owner;
pub mod postgres;
pub mod process;
pub mod sockets;
