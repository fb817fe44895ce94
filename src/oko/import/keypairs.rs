//! The server's key pairs: the node keeps its name in the network.
//!
//! Here the newest version is the active one. In the suite it is the newest that is marked active, so versions are kept
//! where that comes to the same, and counted on otherwise. The key that this node made for itself goes when nobody can know
//! it yet (no users); else it is retired.

use rusqlite::Connection;

use super::Import;
use crate::clock::Timestamp;
use crate::crypto::{KeyRing, NodeKey};
use crate::oko::OkoError;
use crate::oko::imported::{Entry, Imported, KeypairExtra};
use crate::oko::report::Outcome;
use crate::oko::rows::{Keypair, Kind};
use crate::shares::Transfer;
use crate::store::{Keychain, NodeKeyEntry};

/// A key pair that opened.
struct Open {
    keypair: Keypair,
    key: NodeKey,
    extra: KeypairExtra,
    entry: Entry,
}

impl Import<'_> {
    pub(super) async fn keypairs(&mut self) -> Result<(), OkoError> {
        let mut pass = self.pass(Kind::Keypair).await?;
        let rows = self
            .chunk::<Keypair>(&mut pass, usize::from(u16::MAX))
            .await?
            .rows;
        let count = rows.len();
        let opened = self.open_keypairs(rows).await?;
        let known = self.known(&opened).await?;
        let changed = known.iter().any(|outcome| *outcome != Outcome::There);
        if changed && !self.options.dry_run {
            self.begin().await?;
            let (ring, now) = (self.node.ring.clone(), self.node.clock.now());
            self.node
                .store
                .write(move |connection| take_over(connection, &ring, &opened, now))
                .await?;
        }
        self.note_all(Kind::Keypair, known);
        self.tell(&mut pass, count);
        Ok(())
    }

    /// Those that open, in the order of their versions, the active one last. None, when the active one does not open: this
    /// node would get a name that is not the suite's.
    async fn open_keypairs(&mut self, mut rows: Vec<Keypair>) -> Result<Vec<Open>, OkoError> {
        rows.sort_by_key(|row| (row.active, row.version));
        let (count, mut opened) = (rows.len(), Vec::new());
        let active = rows.last().map(|row| row.keypair_id);
        for keypair in rows {
            let id = keypair.keypair_id;
            self.report.derivations = self.report.derivations.saturating_add(1);
            match open(&self.secret, &self.node.ring, keypair)? {
                Ok(open) => opened.push(open),
                Err(why) => self.report.skip(Kind::Keypair, id, why),
            }
        }
        let Some(last) = opened.last() else {
            if count == 0 {
                return Ok(opened);
            }
            return Err(OkoError::WrongSecret {
                keypairs: count,
                secret: self.options.secret_file.clone(),
            });
        };
        if Some(last.keypair.keypair_id) != active {
            let notice = "the suite's active server key pair does not open: this node keeps its own public key";
            self.report.notices.push(notice.to_owned());
            for open in opened.drain(..) {
                let why = "the active key pair does not open";
                self.report
                    .skip(Kind::Keypair, open.keypair.keypair_id, why);
            }
        }
        Ok(opened)
    }

    /// What is to become of each.
    async fn known(&self, opened: &[Open]) -> Result<Vec<Outcome>, OkoError> {
        let ring = &self.node.ring;
        self.node
            .store
            .read(|connection| {
                let here = Keychain(connection).node_keys()?;
                let outcomes: Vec<Outcome> = opened
                    .iter()
                    .map(|open| outcome(connection, ring, &here, open))
                    .collect::<Result<_, OkoError>>()?;
                let none = outcomes.iter().all(|outcome| *outcome == Outcome::Imported);
                let before = Imported(connection).count(Kind::Keypair)?;
                match here.last() {
                    Some(newest) if none && before > 0 && !opened.is_empty() => {
                        Err(OkoError::OtherSuite {
                            here: hex::encode(newest.public_key),
                        })
                    }
                    _ => Ok(outcomes),
                }
            })
            .await
    }
}

fn open(
    secret: &crate::oko::SuiteSecret,
    ring: &KeyRing,
    keypair: Keypair,
) -> Result<Result<Open, String>, OkoError> {
    let seed = match secret.open::<32>(&keypair.encrypted) {
        Ok(seed) => seed,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let key = NodeKey::from_seed(&seed);
    if key.public_key() != keypair.public_key.as_slice() {
        let why = "its public key is not that of its private key";
        return Ok(Err(why.to_owned()));
    }
    let extra = KeypairExtra::from(&keypair);
    let entry = Entry::seal(ring, Kind::Keypair, keypair.keypair_id, &extra)?;
    Ok(Ok(Open {
        keypair,
        key,
        extra,
        entry,
    }))
}

fn outcome(
    connection: &Connection,
    ring: &KeyRing,
    here: &[NodeKeyEntry],
    open: &Open,
) -> Result<Outcome, OkoError> {
    let public_key = open.key.public_key();
    if !here.iter().any(|entry| entry.public_key == public_key) {
        return Ok(Outcome::Imported);
    }
    let noted = Imported(connection).of_source(Kind::Keypair, open.keypair.keypair_id)?;
    let noted = noted
        .map(|entry| entry.open::<KeypairExtra>(ring, Kind::Keypair))
        .transpose()?;
    Ok(if noted.as_ref() == Some(&open.extra) {
        Outcome::There
    } else {
        Outcome::Updated
    })
}

/// Writes all of them; the last is the active one.
fn take_over(
    connection: &Connection,
    ring: &KeyRing,
    opened: &[Open],
    now: Timestamp,
) -> Result<(), OkoError> {
    let (keychain, imported) = (Keychain(connection), Imported(connection));
    let nobody = Transfer(connection).totals()?.0 == 0;
    if nobody && imported.count(Kind::Keypair)? == 0 {
        keychain.forget_node_keys()?;
    }
    let here = keychain.node_keys()?;
    let mut newest = here.last().map_or(0, |entry| entry.version);
    for (index, open) in opened.iter().enumerate() {
        let key = open.key.public_key();
        let known = here.iter().find(|entry| entry.public_key == key);
        let version = match known {
            Some(entry) => entry.version,
            None => {
                for entry in keychain.node_keys()? {
                    keychain.retire_node_key(entry.version, now)?;
                }
                newest = open.keypair.version.max(newest.saturating_add(1));
                let created_at = open.keypair.created_at.timestamp();
                keychain.add_node_key(ring, newest, &open.key, created_at)?;
                newest
            }
        };
        if index.saturating_add(1) < opened.len() {
            let rotated = open.keypair.rotated_at.unwrap_or(open.keypair.updated_at);
            keychain.retire_node_key(version, rotated.timestamp())?;
        }
        imported.put(Kind::Keypair, i64::from(version), &open.entry)?;
    }
    Ok(())
}
