//! What the node tells of its replica.

use serde::{Deserialize, Serialize};

use super::milliseconds;

use super::{Desk, DeskError};
use crate::audit::{Action, Actor, Entry};
use crate::replica::{Comparison, Phase, Replica, ReplicaError, ReplicaStatus, TableDigest};

/// How the replica stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaState {
    /// Where it is.
    pub place: String,
    /// `connecting`; `filling`, everything is being sent; `following`, changes are sent as they come; `away`; `refused`, it
    /// is left alone.
    pub phase: String,
    /// Why it is away or left alone.
    pub error: Option<String>,
    /// Changes that it does not have.
    pub lag_changes: u64,
    /// For how long it has not had everything.
    pub lag_milliseconds: u64,
    /// The newest change that it is known to have.
    pub position: u64,
}

impl From<ReplicaStatus> for ReplicaState {
    fn from(status: ReplicaStatus) -> Self {
        Self {
            place: status.place,
            phase: status.phase.as_str().to_owned(),
            error: status.error,
            lag_changes: status.lag_changes,
            lag_milliseconds: milliseconds(status.lag),
            position: status.position,
        }
    }
}

impl ReplicaState {
    /// What is wrong with it, for people.
    pub fn problem(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        let lag = self.lag_changes;
        Some(if self.phase == Phase::Refused.as_str() {
            format!("nothing is sent to the replica: {error}")
        } else {
            format!("the replica is away and lacks {lag} changes: {error}")
        })
    }
}

/// What a comparison of the replica found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaCompared {
    /// Whether every table is the same on both sides.
    pub equal: bool,
    /// The newest change that both sides had.
    pub position: i64,
    /// The tables.
    pub tables: Vec<TableCompared>,
}

/// A table on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCompared {
    /// Its name.
    pub table: String,
    /// Rows in the node's database.
    pub rows: u64,
    /// Rows in the replica.
    pub replica_rows: u64,
    /// Whether their content is the same.
    pub equal: bool,
}

impl From<Comparison> for ReplicaCompared {
    fn from(comparison: Comparison) -> Self {
        let table = |table: &TableDigest| TableCompared {
            table: table.table.to_owned(),
            rows: table.rows,
            replica_rows: table.replica_rows,
            equal: table.equal,
        };
        Self {
            equal: comparison.is_equal(),
            position: comparison.position,
            tables: comparison.tables.iter().map(table).collect(),
        }
    }
}

impl Desk {
    /// Fills the replica anew. With `discard`, what only the replica has is given up.
    ///
    /// # Errors
    /// [`DeskError::Replica`].
    pub async fn resync_replica(
        &self,
        actor: &Actor,
        discard: bool,
    ) -> Result<ReplicaState, DeskError> {
        tracing::info!(%actor, discard, "the replica is to be filled anew");
        let replica = self.replica()?;
        let asked = replica.resync(discard).await;
        let detail = if discard {
            "what only the replica has is given up"
        } else {
            ""
        };
        self.enter(Entry::ended(actor, Action::ReplicaResync, detail, &asked))
            .await;
        asked?;
        Ok(replica.status().into())
    }

    /// Compares the replica with the database.
    ///
    /// # Errors
    /// [`DeskError::Replica`].
    pub async fn verify_replica(&self, actor: &Actor) -> Result<ReplicaCompared, DeskError> {
        let compared = self.replica()?.verify().await;
        self.enter(Entry::ended(actor, Action::ReplicaVerify, "", &compared))
            .await;
        Ok(compared?.into())
    }

    fn replica(&self) -> Result<&Replica, ReplicaError> {
        self.facts.replica.as_ref().ok_or(ReplicaError::Off)
    }
}
