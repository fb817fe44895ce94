//! What a store does for a replica.

use std::time::Duration;

use super::LoggedTable;
pub use crate::config::OnOutage;

/// What is logged for a replica, and what waits for it.
#[derive(Clone, Copy, Debug)]
pub struct Replication {
    /// The tables whose changes are logged.
    pub tables: &'static [LoggedTable],
    /// Present when a write is answered only when the replica has it.
    pub waits: Option<Wait>,
}

/// How long a write waits for the replica, and what then.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// How long.
    pub timeout: Duration,
    /// What then.
    pub on_outage: OnOutage,
}

/// How the replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaStanding {
    /// It is there and has everything until this change.
    Has(i64),
    /// It is away, or not yet whole.
    Away,
    /// Nobody ships to it any more.
    Idle,
}
