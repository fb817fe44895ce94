//! What the operating system sees: logs, signals, process limits, and the connections that the node makes to
//! others.

pub mod logging;
pub mod outbound;
pub mod process;
