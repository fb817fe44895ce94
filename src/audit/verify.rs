//! Whether the chain is whole, and still has what a signed head says.

use std::fmt;

use rusqlite::Connection;

use super::chain::{Chain, Found, Link, NOTHING, mac_of};
use super::entry::Action;
use super::read::{self, TABLE};
use super::signed::SignedHead;
use crate::clock::Timestamp;
use crate::crypto::MAC_LENGTH;
use crate::store::{Keychain, StoreError, has_table};

/// Findings that are told; more are of no use to anybody.
const TOLD: usize = 20;

/// What is wrong with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// There is no head.
    NoHead,
    /// The head is not one that this node wrote.
    ForgedHead,
    /// Rows are gone, from the first number to the second.
    Missing(i64, i64),
    /// A row was changed, or put in another one's place.
    Changed(i64),
    /// A row stands behind the newest that this node wrote.
    Added(i64),
    /// So many rows stand before the beginning, and belong to nothing.
    Before(u64),
    /// The log was begun anew here, because its head was missing or false by then.
    Restarted(i64),
    /// The signed head is of another node.
    OtherNode,
    /// The signed head's signature is false, or made with a key that is none of this node's.
    BadSignature,
    /// The row of the signed head was forgotten by retention.
    Forgotten(i64),
    /// The row of the signed head is not in the log, or is another one.
    NotInLog(i64),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHead => f.write_str(
                "the log has no head: the log was removed as a whole, or nothing was ever written to it",
            ),
            Self::ForgedHead => f.write_str("the log's head was not written by this node"),
            Self::Missing(from, to) if from == to => write!(f, "entry {from} was removed"),
            Self::Missing(from, to) => write!(f, "entries {from} to {to} were removed"),
            Self::Changed(seq) => write!(
                f,
                "entry {seq} was changed, or stands where another one was written"
            ),
            Self::Added(seq) => write!(f, "entry {seq} was not written by this node"),
            Self::Before(rows) => write!(f, "{rows} entries stand before the log's beginning"),
            Self::Restarted(seq) => write!(
                f,
                "the log was found broken and begun anew at entry {seq}, which says why"
            ),
            Self::OtherNode => f.write_str("the signed head is another node's"),
            Self::BadSignature => f.write_str(
                "the signed head's signature is false, or made with a node key that this database does not know",
            ),
            Self::Forgotten(seq) => write!(
                f,
                "entry {seq}, of the signed head, was forgotten by audit.keep_days: whether it was there cannot be told. Keep \
                 a newer head"
            ),
            Self::NotInLog(seq) => write!(
                f,
                "entry {seq}, of the signed head, is not in the log, or is another one: newer entries were taken away, or \
                 older data was put in place"
            ),
        }
    }
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Entries there are.
    pub entries: u64,
    /// Number and time of the oldest.
    pub oldest: Option<(i64, Timestamp)>,
    /// Number and time of the newest.
    pub newest: Option<(i64, Timestamp)>,
    /// The last entry that was forgotten by retention; 0 when none was.
    pub forgotten_until: i64,
    /// What is wrong; nothing when the log is whole.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether the log is whole.
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < TOLD {
            self.findings.push(finding);
        }
    }
}

impl Chain {
    /// Looks at every row; and at the row of a signed head, where one is given.
    ///
    /// # Errors
    /// [`StoreError`]: the log cannot be read.
    pub fn verify(
        &self,
        connection: &Connection,
        signed: Option<&SignedHead>,
    ) -> Result<Verification, StoreError> {
        let mut found = Verification::default();
        if !has_table(connection, TABLE)? {
            found.find(Finding::NoHead);
            return Ok(found);
        }
        let head = match self.head(connection)? {
            Found::Head(head) => Some(head),
            Found::Nothing => None,
            Found::Forged => {
                found.find(Finding::ForgedHead);
                None
            }
        };
        if head.is_none() && found.is_whole() {
            found.find(Finding::NoHead);
        }
        let anchor = head.map(|head| head.anchor);
        let mut walk = Walk {
            chain: self,
            begins_with_nothing: anchor.is_some_and(|anchor| anchor.mac == NOTHING),
            before: anchor,
            stray: 0,
            found,
        };
        read::all(connection, |seq, fields, mac| {
            walk.step(anchor, seq, fields, mac);
            Ok(())
        })?;
        let mut found = walk.end(head.map(|head| head.last));
        found.forgotten_until = anchor
            .filter(|anchor| anchor.mac != NOTHING)
            .map_or(0, |anchor| anchor.seq);
        if let Some(signed) = signed {
            let finding = self.compare(connection, signed, anchor)?;
            finding.into_iter().for_each(|finding| found.find(finding));
        }
        Ok(found)
    }

    /// What is wrong with a signed head, or with the log by it.
    fn compare(
        &self,
        connection: &Connection,
        signed: &SignedHead,
        anchor: Option<Link>,
    ) -> Result<Option<Finding>, StoreError> {
        let keychain = Keychain(connection);
        if keychain.node_id()? != Some(signed.node) {
            return Ok(Some(Finding::OtherNode));
        }
        // Also the keys that were rotated away.
        let keys = keychain.node_keys()?;
        let known = keys.iter().any(|key| key.public_key == signed.node_key);
        if !known || !signed.is_authentic() {
            return Ok(Some(Finding::BadSignature));
        }
        let Link { seq, mac } = signed.link;
        if anchor == Some(signed.link) || mac_of(connection, seq)? == Some(mac) {
            return Ok(None);
        }
        let forgotten = anchor.is_some_and(|anchor| anchor.mac != NOTHING && seq < anchor.seq);
        Ok(Some(if forgotten {
            Finding::Forgotten(seq)
        } else {
            Finding::NotInLog(seq)
        }))
    }
}

/// On the way from row to row.
struct Walk<'a> {
    chain: &'a Chain,
    /// Whether the first row is the first of a log, and not the first that is left.
    begins_with_nothing: bool,
    /// The row before, as far as it is known.
    before: Option<Link>,
    /// Rows before the beginning.
    stray: u64,
    found: Verification,
}

impl Walk<'_> {
    fn step(
        &mut self,
        anchor: Option<Link>,
        seq: i64,
        fields: &super::chain::Fields,
        mac: [u8; MAC_LENGTH],
    ) {
        self.found.entries = self.found.entries.saturating_add(1);
        let this = (seq, Timestamp::from_millis(fields.at));
        self.found.oldest.get_or_insert(this);
        self.found.newest = Some(this);
        if anchor.is_some_and(|anchor| seq <= anchor.seq) {
            self.stray = self.stray.saturating_add(1);
            return;
        }
        if self.begins_with_nothing && self.before == anchor {
            let begins = Action::from_stored(&fields.action).is_some_and(Action::may_begin);
            if !begins {
                self.found.find(Finding::Restarted(seq));
            }
        }
        if let Some(before) = self.before {
            let next = before.seq.saturating_add(1);
            if seq > next {
                self.found
                    .find(Finding::Missing(next, seq.saturating_sub(1)));
            } else if self.chain.mac_of_row(&before.mac, seq, fields) != Some(mac) {
                self.found.find(Finding::Changed(seq));
            }
        }
        self.before = Some(Link { seq, mac });
    }

    fn end(mut self, last: Option<Link>) -> Verification {
        if self.stray > 0 {
            self.found.find(Finding::Before(self.stray));
        }
        match (self.before, last) {
            (Some(end), Some(last)) if end.seq < last.seq => {
                let next = end.seq.saturating_add(1);
                self.found.find(Finding::Missing(next, last.seq));
            }
            (Some(end), Some(last)) if end.seq > last.seq => {
                self.found.find(Finding::Added(end.seq));
            }
            (Some(end), Some(last)) if end.mac != last.mac && self.found.is_whole() => {
                self.found.find(Finding::Changed(end.seq));
            }
            _ => {}
        }
        self.found
    }
}
