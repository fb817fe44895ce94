//! What the node tells of its audit log.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Desk, DeskError};
use crate::audit::{Actor, AuditHealth, Chain, Entry, Query, SignedHead, Verification, Written};
use crate::clock::Timestamp;
use crate::store::Keychain;

/// How the audit log stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// Entries that wait in memory to be written.
    pub waiting: u64,
    /// Entries that are lost.
    pub lost: u64,
    /// Why entries cannot be written.
    pub error: Option<String>,
    /// What the last verification found wrong.
    pub broken: Option<String>,
}

impl From<AuditHealth> for AuditStatus {
    fn from(health: AuditHealth) -> Self {
        Self {
            waiting: health.waiting,
            lost: health.lost,
            error: health.error,
            broken: health.broken,
        }
    }
}

impl AuditStatus {
    /// What is wrong with it, for people.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        let (waiting, lost) = (self.waiting, self.lost);
        let error = self.error.as_ref().map(|error| {
            let lost = if lost > 0 {
                format!(", {lost} lost")
            } else {
                String::new()
            };
            format!("the audit log cannot be written ({waiting} waiting in memory{lost}): {error}")
        });
        let broken = self.broken.as_ref().map(|broken| {
            format!("the audit log is not whole (see `ksnode audit verify`): {broken}")
        });
        error.into_iter().chain(broken)
    }
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditItem {
    /// Its number: 1 for the first of all.
    pub seq: i64,
    /// When it happened.
    pub at: String,
    /// Who had it done, in words.
    pub actor: String,
    /// What was done: `start`, `backup-create`, `restore`, …
    pub action: String,
    /// `begun`, `done` or `failed`.
    pub outcome: String,
    /// Of what, or why not.
    pub detail: String,
}

impl From<Written> for AuditItem {
    fn from(written: Written) -> Self {
        Self {
            seq: written.seq,
            at: written.at.to_string(),
            actor: written.actor,
            action: written.action,
            outcome: written.outcome,
            detail: written.detail,
        }
    }
}

/// What a verification of the audit log found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditVerified {
    /// Whether it is whole.
    pub whole: bool,
    /// Entries there are.
    pub entries: u64,
    /// The number of the oldest.
    pub oldest: Option<i64>,
    /// When it happened.
    pub oldest_at: Option<String>,
    /// The number of the newest.
    pub newest: Option<i64>,
    /// When it happened.
    pub newest_at: Option<String>,
    /// The last entry that was forgotten by `audit.keep_days`; 0 when none was.
    pub forgotten_until: i64,
    /// What is wrong, in words.
    pub findings: Vec<String>,
}

impl From<Verification> for AuditVerified {
    fn from(found: Verification) -> Self {
        let number = |row: Option<(i64, Timestamp)>| row.map(|(seq, _)| seq);
        let moment = |row: Option<(i64, Timestamp)>| row.map(|(_, at)| at.to_string());
        Self {
            whole: found.is_whole(),
            entries: found.entries,
            oldest: number(found.oldest),
            oldest_at: moment(found.oldest),
            newest: number(found.newest),
            newest_at: moment(found.newest),
            forgotten_until: found.forgotten_until,
            findings: found.findings.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The newest entry of the audit log at a moment, signed with the node's key. Numbers and times apart, all of it is hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditHead {
    /// The node.
    pub node: Uuid,
    /// The number of the entry.
    pub seq: i64,
    /// Its keyed hash.
    pub mac: String,
    /// When it was signed.
    pub at: String,
    /// The node's public key at that time.
    pub node_key: String,
    /// Its ed25519 signature.
    pub signature: String,
}

impl From<&SignedHead> for AuditHead {
    fn from(signed: &SignedHead) -> Self {
        Self {
            node: signed.node,
            seq: signed.link.seq,
            mac: hex::encode(signed.link.mac),
            at: signed.at.to_string(),
            node_key: hex::encode(signed.node_key),
            signature: hex::encode(signed.signature),
        }
    }
}

impl Desk {
    /// The head of the audit log, signed: the secret's file is read for that, as by the command.
    ///
    /// # Errors
    /// [`DeskError::Keys`], [`DeskError::Audit`].
    pub async fn audit_head(&self) -> Result<AuditHead, DeskError> {
        let (secret, now) = (self.secret()?, self.clock.now());
        let store = (self.handles)().store;
        store
            .read(|connection| {
                let keys = Keychain(connection).open(&secret, None)?;
                let chain = Chain::new(&keys.ring);
                let signed = chain.sign(connection, keys.node_id, &keys.node_key, now)?;
                Ok(AuditHead::from(&signed))
            })
            .await
    }

    /// Entries of the audit log, newest first. The next page is of those before the last one's number.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn audit(&self, query: &Query) -> Result<Vec<AuditItem>, DeskError> {
        let written = (self.handles)().audit.entries(query).await?;
        Ok(written.into_iter().map(AuditItem::from).collect())
    }

    /// Looks at every entry of the audit log.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn verify_audit(&self) -> Result<AuditVerified, DeskError> {
        Ok((self.handles)().audit.verify().await?.into())
    }

    /// Writes to the audit log what was done at the desk or at one of its counters (a login). What is done by another room is
    /// entered there.
    pub async fn enter(&self, entry: Entry) {
        (self.handles)().audit.record(entry).await;
    }

    /// A login that was refused.
    pub async fn login_failed(&self, actor: &Actor, why: &str) {
        (self.handles)().audit.login_failed(actor, why).await;
    }
}
