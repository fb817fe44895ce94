//! What the operating system sees: logs, signals, process limits, outbound connections.

pub mod outbound;
