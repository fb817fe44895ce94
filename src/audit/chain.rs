//! The chain: how rows hold together, and what is written to it.
//!
//! A row's MAC covers its fields and the MAC of the row before; the head's covers both ends. Whoever has the database
//! and not the encryption secret can remove, change, reorder or add rows only so that it is found.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::AuditError;
use super::entry::{Action, Actor, Entry};
use crate::clock::Timestamp;
use crate::crypto::{Context, CryptoError, KeyRing, MAC_LENGTH, MacKey, Purpose};
use crate::store::StoreError;

/// What the ring's key is derived for.
const KEY: &str = "ksnode/audit-key/1";
const ROW: &str = "ksnode/audit-row/1";
const HEAD: &str = "ksnode/audit-head/1";

/// The MAC before the first row of all.
pub(super) const NOTHING: [u8; MAC_LENGTH] = [0; MAC_LENGTH];

/// A row's place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub seq: i64,
    /// Its MAC.
    pub mac: [u8; MAC_LENGTH],
}

/// The two ends of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// What is before the first row.
    pub(super) anchor: Link,
    /// The newest row.
    pub(super) last: Link,
}

/// What is found in the place of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// One that this node did not write.
    Forged,
    Head(Head),
}

/// A row's fields as they are stored.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) at: i64,
    pub(super) actor: String,
    pub(super) actor_detail: String,
    pub(super) action: String,
    pub(super) outcome: String,
    pub(super) detail: String,
    pub(super) key_version: u32,
}

/// Writes and checks chains of one node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chain {
    keys: Arc<BTreeMap<u32, MacKey>>,
    newest: u32,
}

impl Chain {
    /// The chains that are made with the keys of this ring.
    pub fn new(ring: &KeyRing) -> Self {
        let keys = ring.mac_keys(Purpose::NodeWrap, KEY);
        // An open ring has one of each purpose; without any, nothing could be written or verified.
        let newest = keys.keys().next_back().copied().unwrap_or_default();
        Self {
            keys: Arc::new(keys),
            newest,
        }
    }

    /// Writes an entry into the transaction of `connection`, in a savepoint of its own.
    ///
    /// # Errors
    /// [`AuditError`]: nothing was written, and what was written before still stands; unless the transaction has ended,
    /// which a full disk can do.
    pub fn append(
        &self,
        connection: &Connection,
        at: Timestamp,
        entry: &Entry,
    ) -> Result<Link, AuditError> {
        in_savepoint(connection, || {
            let head = self.head_to_continue(connection, at, entry.action)?;
            self.put(connection, head, at, entry)
        })
    }

    /// Forgets the rows until `seq`, and says so.
    pub(super) fn forget(
        &self,
        connection: &Connection,
        at: Timestamp,
        seq: i64,
    ) -> Result<(), AuditError> {
        in_savepoint(connection, || {
            let Found::Head(head) = self.head(connection)? else {
                // The next entry says so, and nothing is taken away until then.
                return Ok(());
            };
            let Some(mac) = mac_of(connection, seq)? else {
                return Ok(());
            };
            let forgotten = connection.execute("DELETE FROM audit WHERE seq <= ?1", [seq])?;
            let anchor = Link { seq, mac };
            self.put_head(connection, Head { anchor, ..head })?;
            let detail = format!("{forgotten} entries, until number {seq}");
            let entry = Entry::done(&Actor::Node, Action::AuditPrune, detail);
            self.put(connection, Head { anchor, ..head }, at, &entry)?;
            Ok(())
        })
    }

    /// What is in the head's place.
    pub(super) fn head(&self, connection: &Connection) -> Result<Found, StoreError> {
        let sql =
            "SELECT anchor_seq, anchor_mac, last_seq, last_mac, key_version, mac FROM audit_head";
        let mut statement = connection.prepare_cached(sql)?;
        let row = statement.query_row([], |row| {
            let anchor = Link {
                seq: row.get(0)?,
                mac: row.get(1)?,
            };
            let last = Link {
                seq: row.get(2)?,
                mac: row.get(3)?,
            };
            let (version, mac) = (row.get::<_, i64>(4)?, row.get::<_, Vec<u8>>(5)?);
            Ok((Head { anchor, last }, version.try_into().unwrap_or(0), mac))
        });
        Ok(match row.optional()? {
            None => Found::Nothing,
            Some((head, version, mac)) => match self.mac_of_head(head, version) {
                Some(own) if own.as_slice() == mac => Found::Head(head),
                _ => Found::Forged,
            },
        })
    }

    /// The MAC of a row behind `before`; absent when the ring lacks its key.
    pub(super) fn mac_of_row(
        &self,
        before: &[u8; MAC_LENGTH],
        seq: i64,
        fields: &Fields,
    ) -> Option<[u8; MAC_LENGTH]> {
        let key = self.keys.get(&fields.key_version)?;
        let items: [&[u8]; 9] = [
            before,
            &seq.to_be_bytes(),
            &fields.at.to_be_bytes(),
            fields.actor.as_bytes(),
            fields.actor_detail.as_bytes(),
            fields.action.as_bytes(),
            fields.outcome.as_bytes(),
            fields.detail.as_bytes(),
            &fields.key_version.to_be_bytes(),
        ];
        Some(key.mac(Context {
            label: ROW,
            items: &items,
        }))
    }

    fn mac_of_head(&self, head: Head, version: u32) -> Option<[u8; MAC_LENGTH]> {
        let key = self.keys.get(&version)?;
        let items: [&[u8]; 5] = [
            &head.anchor.seq.to_be_bytes(),
            &head.anchor.mac,
            &head.last.seq.to_be_bytes(),
            &head.last.mac,
            &version.to_be_bytes(),
        ];
        Some(key.mac(Context {
            label: HEAD,
            items: &items,
        }))
    }

    /// The head behind which an entry goes. A log whose head is gone, or is not this node's, begins anew behind all that
    /// is there, with an entry that says so.
    fn head_to_continue(
        &self,
        connection: &Connection,
        at: Timestamp,
        action: Action,
    ) -> Result<Head, AuditError> {
        let newest: i64 =
            connection.query_row("SELECT coalesce(max(seq), 0) FROM audit", [], |row| {
                row.get(0)
            })?;
        let why = match self.head(connection)? {
            Found::Head(head) if newest <= head.last.seq => return Ok(head),
            Found::Head(_) => "there were entries that this node did not write",
            Found::Forged => "its head was not one of this node's",
            Found::Nothing if newest == 0 && action.may_begin() => {
                return Ok(beginning(0));
            }
            Found::Nothing => "its head was missing",
        };
        tracing::error!(
            why,
            "the audit log was found broken and begins anew; see `ksnode audit verify`"
        );
        let detail = format!("{why}; entries until number {newest} were not continued");
        let entry = Entry::failed(&Actor::Node, Action::AuditRestart, detail);
        let last = self.put(connection, beginning(newest), at, &entry)?;
        Ok(Head {
            last,
            ..beginning(newest)
        })
    }

    fn put(
        &self,
        connection: &Connection,
        head: Head,
        at: Timestamp,
        entry: &Entry,
    ) -> Result<Link, AuditError> {
        let (actor, actor_detail) = entry.actor.stored();
        let fields = Fields {
            at: at.as_millis(),
            actor: actor.to_owned(),
            actor_detail,
            action: entry.action.as_str().to_owned(),
            outcome: entry.outcome.as_str().to_owned(),
            detail: entry.detail.clone(),
            key_version: self.newest,
        };
        let seq = head.last.seq.saturating_add(1);
        let mac = self.mac_of_row(&head.last.mac, seq, &fields);
        let mac = mac.ok_or_else(|| self.no_key())?;
        let sql = "INSERT INTO audit (seq, at, actor, actor_detail, action, outcome, detail, key_version, mac)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        connection.prepare_cached(sql)?.execute(params![
            seq,
            fields.at,
            fields.actor,
            fields.actor_detail,
            fields.action,
            fields.outcome,
            fields.detail,
            fields.key_version,
            mac
        ])?;
        let last = Link { seq, mac };
        self.put_head(connection, Head { last, ..head })?;
        Ok(last)
    }

    fn put_head(&self, connection: &Connection, head: Head) -> Result<(), AuditError> {
        let version = self.newest;
        let mac = self.mac_of_head(head, version);
        let mac = mac.ok_or_else(|| self.no_key())?;
        let sql = "INSERT INTO audit_head (id, anchor_seq, anchor_mac, last_seq, last_mac, key_version, mac)
             VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET anchor_seq = excluded.anchor_seq, anchor_mac = excluded.anchor_mac,
                 last_seq = excluded.last_seq, last_mac = excluded.last_mac,
                 key_version = excluded.key_version, mac = excluded.mac";
        connection.prepare_cached(sql)?.execute(params![
            head.anchor.seq,
            head.anchor.mac,
            head.last.seq,
            head.last.mac,
            version,
            mac
        ])?;
        Ok(())
    }

    fn no_key(&self) -> CryptoError {
        CryptoError::UnknownVersion {
            purpose: Purpose::NodeWrap,
            version: self.newest,
        }
    }
}

/// The head of a chain that begins behind `seq`.
fn beginning(seq: i64) -> Head {
    let link = Link { seq, mac: NOTHING };
    Head {
        anchor: link,
        last: link,
    }
}

/// The MAC of a row, when it is there.
pub(super) fn mac_of(
    connection: &Connection,
    seq: i64,
) -> Result<Option<[u8; MAC_LENGTH]>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT mac FROM audit WHERE seq = ?1")?;
    Ok(statement.query_row([seq], |row| row.get(0)).optional()?)
}

/// Runs `work` in a savepoint, which is rolled back when it fails.
pub(super) fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce() -> Result<T, AuditError>,
) -> Result<T, AuditError> {
    connection.prepare_cached("SAVEPOINT audit")?.execute([])?;
    let done = work();
    // An error that has ended the whole transaction has ended this savepoint with it.
    if done.is_err() && !connection.is_autocommit() {
        connection
            .prepare_cached("ROLLBACK TO audit")?
            .execute([])?;
    }
    if !connection.is_autocommit() {
        connection.prepare_cached("RELEASE audit")?.execute([])?;
    }
    done
}
