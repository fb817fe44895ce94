//! What the node keeps of its dealings with authorities, in the database, private keys sealed.
//!
//! rustls-acme's own cache writes files that others may read; and what is in the database is in each backup too, so that
//! a restored node has its account and its certificate.

use std::fmt;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use zeroize::Zeroizing;

use super::Target;
use super::authority::AccountKey;
use super::pacing::{Attempt, Attempts, Outcome};
use crate::audit::AuditLog;
use crate::clock::Timestamp;
use crate::crypto::{Context, CryptoError, KeyRing, Purpose};
use crate::store::{Store, StoreError};

/// The tables of this room.
pub const TLS_TABLES: &str = include_str!("../schema/tls.sql");

/// A database and the keys that seal what is in it.
#[derive(Clone, Debug)]
pub struct Vault {
    /// The database.
    pub store: Arc<Store>,
    /// Its key ring.
    pub ring: Arc<KeyRing>,
    /// Its audit log.
    pub audit: AuditLog,
}

/// Where the node's database is found: a restore puts another in its place.
pub trait Vaults: fmt::Debug + Send + Sync {
    /// The one in use now.
    fn vault(&self) -> Vault;
}

/// What is kept for one target.
#[derive(Clone, Default)]
pub(super) struct Kept {
    /// The account's key.
    pub(super) account: Option<AccountKey>,
    /// The private key and then the chain, as PEM, and when they were issued.
    pub(super) certificate: Option<(Zeroizing<Vec<u8>>, Timestamp)>,
    /// Attempts to have another.
    pub(super) attempts: Attempts,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// A sealed value and the version of the key that sealed it.
type Sealed = (u32, Vec<u8>);

impl Vault {
    /// What is kept for `target`. What does not open is as good as not there: it is told in the log, and had anew.
    ///
    /// # Errors
    /// [`StoreError`]: the database does not answer.
    pub(super) async fn load(&self, target: &Target) -> Result<Kept, StoreError> {
        let contact = self.blind(target)?;
        let (account, certificate, attempts) = self
            .store
            .read(|connection| -> Result<_, StoreError> {
                Ok((
                    account(connection, target, &contact)?,
                    certificate(connection, target)?,
                    attempts(connection, target)?,
                ))
            })
            .await?;
        let items = account_place(target, &contact);
        let account = account.and_then(|sealed| {
            let context = account_context(&items);
            self.open("the account's key", context, &sealed)
        });
        let items = certificate_place(&target.directory, &target.joined);
        let certificate = certificate.and_then(|(sealed, issued_at)| {
            let context = certificate_context(&items);
            Some((self.open("the certificate", context, &sealed)?, issued_at))
        });
        Ok(Kept {
            account,
            certificate,
            attempts,
        })
    }

    /// Certificates that were issued for other targets, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn others(
        &self,
        target: &Target,
    ) -> Result<Vec<Zeroizing<Vec<u8>>>, StoreError> {
        let rows = self.store.read(|connection| others(connection, target));
        Ok(rows
            .await?
            .into_iter()
            .filter_map(|(directory, domains, sealed)| {
                let items = certificate_place(&directory, &domains);
                self.open("a certificate", certificate_context(&items), &sealed)
            })
            .collect())
    }

    /// Keeps all of it for `target`, in place of what was kept. What was kept for other targets goes when there is a
    /// certificate for this one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn save(&self, target: &Target, kept: &Kept) -> Result<(), StoreError> {
        let contact = self.blind(target)?;
        let account = kept.account.as_ref().map(|key| {
            let items = account_place(target, &contact);
            self.ring
                .seal(Purpose::NodeWrap, account_context(&items), key)
        });
        let account = account.transpose()?;
        let certificate = kept.certificate.as_ref().map(|(pem, issued_at)| {
            let items = certificate_place(&target.directory, &target.joined);
            let context = certificate_context(&items);
            let sealed = self.ring.seal(Purpose::NodeWrap, context, pem)?;
            Ok::<_, CryptoError>((sealed, *issued_at))
        });
        let certificate = certificate.transpose()?;
        let (target, attempts) = (target.clone(), kept.attempts.clone());
        self.store
            .write(move |connection| {
                put_account(connection, &target, &contact, account)?;
                put_certificate(connection, &target, certificate)?;
                put_attempts(connection, &target, &attempts)
            })
            .await
    }

    /// A mail address is nobody's business, and two accounts of one authority must be told apart by it.
    fn blind(&self, target: &Target) -> Result<Vec<u8>, CryptoError> {
        let items: [&[u8]; 1] = [target.directory.as_bytes()];
        let context = Context {
            label: "ksnode/tls-contact/1",
            items: &items,
        };
        let contact = target.contact.as_deref().unwrap_or_default();
        self.ring.blind(context, contact.as_bytes())
    }

    fn open(
        &self,
        what: &str,
        context: Context<'_>,
        (version, sealed): &Sealed,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let opened = self.ring.open(Purpose::NodeWrap, *version, context, sealed);
        opened
            .inspect_err(
                |error| tracing::error!(%error, what, "kept in the database, and of no use"),
            )
            .ok()
    }
}

fn account_place<'a>(target: &'a Target, contact: &'a [u8]) -> [&'a [u8]; 2] {
    [target.directory.as_bytes(), contact]
}

fn account_context<'a>(items: &'a [&'a [u8]]) -> Context<'a> {
    Context {
        label: "ksnode/tls-account/1",
        items,
    }
}

fn certificate_place<'a>(directory: &'a str, domains: &'a str) -> [&'a [u8]; 2] {
    [directory.as_bytes(), domains.as_bytes()]
}

fn certificate_context<'a>(items: &'a [&'a [u8]]) -> Context<'a> {
    Context {
        label: "ksnode/tls-certificate/1",
        items,
    }
}

fn account(
    connection: &Connection,
    target: &Target,
    contact: &[u8],
) -> Result<Option<Sealed>, StoreError> {
    Ok(connection
        .query_row(
            "SELECT key_version, sealed FROM tls_account WHERE directory = ?1 AND contact = ?2",
            params![target.directory, contact],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?)
}

fn certificate(
    connection: &Connection,
    target: &Target,
) -> Result<Option<(Sealed, Timestamp)>, StoreError> {
    Ok(connection
        .query_row(
            "SELECT key_version, sealed, issued_at FROM tls_certificate
             WHERE directory = ?1 AND domains = ?2",
            params![target.directory, target.joined],
            |row| {
                let sealed = (row.get(0)?, row.get(1)?);
                Ok((sealed, Timestamp::from_millis(row.get(2)?)))
            },
        )
        .optional()?)
}

fn others(
    connection: &Connection,
    target: &Target,
) -> Result<Vec<(String, String, Sealed)>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT directory, domains, key_version, sealed FROM tls_certificate
         WHERE directory != ?1 OR domains != ?2 ORDER BY issued_at DESC",
    )?;
    let rows = statement.query_map(params![target.directory, target.joined], |row| {
        Ok((row.get(0)?, row.get(1)?, (row.get(2)?, row.get(3)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn attempts(connection: &Connection, target: &Target) -> Result<Attempts, StoreError> {
    let mut statement = connection.prepare(
        "SELECT at, outcome, error FROM tls_attempt WHERE directory = ?1 AND domains = ?2 ORDER BY id",
    )?;
    let mut rows = statement.query(params![target.directory, target.joined])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        let outcome: String = row.get(1)?;
        attempts.push(Attempt {
            at: Timestamp::from_millis(row.get(0)?),
            outcome: Outcome::from_stored(&outcome)
                .ok_or_else(|| StoreError::Damaged(format!("an attempt that is '{outcome}'")))?,
            error: row.get(2)?,
        });
    }
    Ok(Attempts(attempts))
}

fn put_account(
    connection: &Connection,
    target: &Target,
    contact: &[u8],
    sealed: Option<Sealed>,
) -> Result<(), StoreError> {
    if let Some((version, sealed)) = sealed {
        connection.execute(
            "INSERT OR REPLACE INTO tls_account (directory, contact, key_version, sealed) VALUES (?1, ?2, ?3, ?4)",
            params![target.directory, contact, version, sealed],
        )?;
    }
    Ok(())
}

fn put_certificate(
    connection: &Connection,
    target: &Target,
    sealed: Option<(Sealed, Timestamp)>,
) -> Result<(), StoreError> {
    if let Some(((version, sealed), issued_at)) = sealed {
        connection.execute("DELETE FROM tls_certificate", [])?;
        connection.execute("DELETE FROM tls_attempt", [])?;
        connection.execute(
            "INSERT INTO tls_certificate (directory, domains, key_version, sealed, issued_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                target.directory,
                target.joined,
                version,
                sealed,
                issued_at.as_millis()
            ],
        )?;
    }
    Ok(())
}

fn put_attempts(
    connection: &Connection,
    target: &Target,
    attempts: &Attempts,
) -> Result<(), StoreError> {
    connection.execute(
        "DELETE FROM tls_attempt WHERE directory = ?1 AND domains = ?2",
        params![target.directory, target.joined],
    )?;
    let mut insert = connection.prepare(
        "INSERT INTO tls_attempt (directory, domains, at, outcome, error) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for attempt in &attempts.0 {
        insert.execute(params![
            target.directory,
            target.joined,
            attempt.at.as_millis(),
            attempt.outcome.as_str(),
            attempt.error
        ])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
