//! Commit-reveal (api.md): whoever saw an ID token must not be able to use it before its owner does.
//!
//! A client first commits: a hash of its token and an ephemeral key. Each later call is signed with that key.
//! [`Sessions::verify`] checks a call in the order that api.md gives and returns a [`Reveal`]; the call's effect
//! then records it in the same transaction ([`Reveal::record`]). So a call that fails leaves no record and may be
//! tried again, and of two that race one takes effect. Clients' texts (signed text, hash input) are api.md's to
//! the letter.

mod operation;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::ShareError;
use super::rotation::change_keys;
use crate::audit::{Action, Actor, AuditLog, Entry};
use crate::clock::{SharedClock, Timestamp};
use crate::crypto::{EncryptionSecret, NodeKey, verify_signature};
use crate::store::{Keychain, KeychainError, Store, StoreError, Unlocked};
pub use operation::{ApiName, OperationType};
use rows::{Row, find, insert};

/// How long a session lives.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// How long an expired session is still known, so that a late client is told that it expired.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// How far the clock may have been set back since a session began: steps of a time server are smaller.
const TOLERANCE: Duration = Duration::from_secs(60);

/// Whether a session that ends then is over. So is one that would live longer than any may: the clock was set back since it
/// began, and its minutes are not to become hours.
fn is_over(expires_at: Timestamp, now: Timestamp) -> bool {
    now > expires_at || expires_at > now.plus(SESSION_LIFETIME).plus(TOLERANCE)
}

/// Why a session does not allow a call. The texts go to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// No such session.
    #[error("session not found")]
    NotFound,
    /// The session is over or otherwise not open for calls.
    #[error("session is not in COMMITTED state: {0}")]
    NotCommitted(String),
    /// Older than [`SESSION_LIFETIME`].
    #[error("session has expired")]
    Expired,
    /// The operation that was committed does not include this call.
    #[error("'{api}' is not allowed for operation '{operation}'")]
    NotAllowed {
        /// The call.
        api: &'static str,
        /// The committed operation.
        operation: &'static str,
    },
    /// The signature is no 64 bytes.
    #[error("cr_signature must be 128 hex characters: a 64-byte ed25519 signature, R then S")]
    MalformedSignature,
    /// There is no bearer token to compare.
    #[error("Authorization header with a Bearer token is required")]
    TokenMissing,
    /// The token is not the committed one.
    #[error("id_token_hash mismatch: the token is not the one that was committed")]
    TokenMismatch,
    /// The signature is not the session key's.
    #[error("cr_signature does not verify under the session's client_ephemeral_pubkey")]
    InvalidSignature,
    /// The call was made before in this session.
    #[error("'{0}' has already been called in this session")]
    AlreadyCalled(&'static str),
    /// A session with this id, ephemeral key or token hash exists.
    #[error(
        "a session with this session_id, client_ephemeral_pubkey or id_token_hash already exists"
    )]
    AlreadyExists,
}

/// What a client commits.
#[derive(Clone, Debug)]
pub struct Commitment {
    /// Chosen by the client.
    pub session_id: Uuid,
    /// What it is about to do.
    pub operation: OperationType,
    /// The ed25519 key that signs its calls.
    pub ephemeral_key: [u8; 32],
    /// SHA-256 of the `auth_type` followed by the token.
    pub token_hash: [u8; 32],
}

/// A call as a client sent it.
#[derive(Clone, Copy, Debug)]
pub struct RevealedCall<'a> {
    /// The session, as it was written in the request: its text is part of what is signed.
    pub session_id: &'a str,
    /// 64 bytes, or `None` when the request's text was no such thing.
    pub signature: Option<&'a [u8; 64]>,
    /// As sent, or the default.
    pub auth_type: &'a str,
    /// `None` when the request carries none.
    pub token: Option<&'a str>,
    /// The call.
    pub api: ApiName,
}

/// A verified call, to be recorded together with its effect.
#[derive(Clone, Copy, Debug)]
pub struct Reveal {
    session: i64,
    api: ApiName,
    completes: bool,
    expires_at: Timestamp,
}

impl Reveal {
    /// Records the call, inside the transaction of its effect. Nothing to do for a call outside a session.
    ///
    /// # Errors
    /// [`SessionError::AlreadyCalled`]; [`SessionError::NotCommitted`] or [`SessionError::Expired`] when the
    /// session ended since it was verified.
    pub fn record(
        reveal: Option<&Self>,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<(), ShareError> {
        let Some(reveal) = reveal else { return Ok(()) };
        if is_over(reveal.expires_at, now) {
            return Err(SessionError::Expired.into());
        }
        let state: Option<String> = connection
            .prepare_cached("SELECT state FROM session WHERE id = ?1")?
            .query_row([reveal.session], |row| row.get(0))
            .optional()?;
        match state.as_deref() {
            Some("COMMITTED") => {}
            Some(other) => return Err(SessionError::NotCommitted(other.into()).into()),
            None => return Err(SessionError::NotFound.into()),
        }
        let inserted = connection
            .prepare_cached(
                "INSERT INTO session_call (session, api_name, called_at) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![
                reveal.session,
                reveal.api.as_str(),
                now.as_millis()
            ]);
        match inserted {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                return Err(SessionError::AlreadyCalled(reveal.api.as_str()).into());
            }
            other => other?,
        };
        if reveal.completes {
            connection
                .prepare_cached("UPDATE session SET state = 'COMPLETED' WHERE id = ?1")?
                .execute([reveal.session])?;
        }
        Ok(())
    }
}

/// The sessions of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sessions {
    store: Arc<Store>,
    names: Arc<ArcSwap<Names>>,
    /// One rotation at a time.
    turns: Arc<Mutex<()>>,
    clock: SharedClock,
}

/// The node's keys as clients know them.
#[derive(Debug)]
struct Names {
    key: Arc<NodeKey>,
    /// The public key of before, and when it was replaced: sessions that were begun with it end with it.
    former: Option<([u8; 32], Timestamp)>,
}

impl Sessions {
    /// The sessions kept in `store`.
    pub fn new(store: Arc<Store>, node_key: Arc<NodeKey>, clock: SharedClock) -> Self {
        let names = Names {
            key: node_key,
            former: None,
        };
        Self {
            store,
            names: Arc::new(ArcSwap::from_pointee(names)),
            turns: Arc::default(),
            clock,
        }
    }

    /// The node's ed25519 public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.names.load().key.public_key()
    }

    /// Makes a new ed25519 key, which is the node's name from now on, as `actor` wants it, and returns its version and its
    /// public half. Sessions that were begun before go on.
    ///
    /// # Errors
    /// [`KeychainError`]: the secret is not the database's, or the database refuses. There may be a new key all the same when a
    /// replica that has to have it does not answer.
    pub async fn rotate_key(
        &self,
        secret: EncryptionSecret,
        audit: &AuditLog,
        actor: &Actor,
    ) -> Result<(u32, [u8; 32]), KeychainError> {
        let _turn = self.turns.lock().await;
        let now = self.clock.now();
        let (audit, actor) = (audit.clone(), actor.clone());
        let change = move |connection: &Connection, key: &Unlocked, now| {
            let keychain = Keychain(connection);
            keychain.rotate_node_key(key, now)?;
            let version = keychain.node_keys()?.last().map_or(0, |key| key.version);
            let detail = format!("version {version}");
            audit.append(
                connection,
                &Entry::done(&actor, Action::NodeKeyRotate, detail),
            );
            Ok(())
        };
        let (changed, opened) = change_keys(&self.store, secret, now, change).await;
        if let Some(keys) = opened {
            // Now and not when it began: until here sessions were begun with the key of before.
            let former = Some((self.public_key(), self.clock.now()));
            let key = Arc::new(keys.node_key);
            self.names.store(Arc::new(Names { key, former }));
        }
        changed?;
        let keys = self
            .store
            .read(|connection| Keychain(connection).node_keys());
        let version = keys.await?.last().map_or(0, |key| key.version);
        Ok((version, self.public_key()))
    }

    /// Begins a session. Returns the node's public key and its signature over that key's hex text.
    ///
    /// # Errors
    /// [`SessionError::AlreadyExists`]; the store's.
    pub async fn commit(&self, commitment: Commitment) -> Result<([u8; 32], [u8; 64]), ShareError> {
        let now = self.clock.now();
        self.store
            .write(move |connection| insert(connection, &commitment, now))
            .await?;
        let names = self.names.load();
        let public_key = names.key.public_key();
        let digest = Sha256::digest(hex::encode(public_key));
        Ok((public_key, names.key.sign(&digest)))
    }

    /// Checks a call that claims to belong to a session, in the order of api.md. The caller's token itself is
    /// the identity room's to verify.
    ///
    /// # Errors
    /// [`SessionError`]; the store's.
    pub async fn verify(&self, call: RevealedCall<'_>) -> Result<Reveal, ShareError> {
        let id = Uuid::parse_str(call.session_id).map_err(|_| SessionError::NotFound)?;
        let row = self
            .store
            .read(|connection| find(connection, id, call.api))
            .await?
            .ok_or(SessionError::NotFound)?;
        if row.state != "COMMITTED" {
            return Err(SessionError::NotCommitted(row.state).into());
        }
        if is_over(row.expires_at, self.clock.now()) {
            return Err(SessionError::Expired.into());
        }
        let calls = row.operation.calls();
        if !calls.contains(&call.api) {
            return Err(SessionError::NotAllowed {
                api: call.api.as_str(),
                operation: row.operation.as_str(),
            }
            .into());
        }
        self.verify_signature(&row, call)?;
        if row.called {
            return Err(SessionError::AlreadyCalled(call.api.as_str()).into());
        }
        Ok(Reveal {
            session: row.id,
            api: call.api,
            completes: calls.last() == Some(&call.api),
            expires_at: row.expires_at,
        })
    }

    /// Forgets sessions that expired some time ago. Returns how many.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        let before = self.clock.now().minus(REMEMBERED);
        self.store
            .write(move |connection| {
                Ok(connection
                    .prepare_cached("DELETE FROM session WHERE expires_at < ?1")?
                    .execute([before.as_millis()])?)
            })
            .await
    }

    fn verify_signature(&self, row: &Row, call: RevealedCall<'_>) -> Result<(), SessionError> {
        let signature = call.signature.ok_or(SessionError::MalformedSignature)?;
        let token = call.token.ok_or(SessionError::TokenMissing)?;
        let hash = Sha256::new()
            .chain_update(call.auth_type)
            .chain_update(token)
            .finalize();
        if !bool::from(hash.as_slice().ct_eq(&row.token_hash)) {
            return Err(SessionError::TokenMismatch);
        }
        let signed = |name: [u8; 32]| {
            let digest = Sha256::new()
                .chain_update(hex::encode(name))
                .chain_update(call.session_id)
                .chain_update(call.auth_type)
                .chain_update(token)
                .chain_update(row.operation.as_str())
                .chain_update(call.api.as_str())
                .finalize();
            verify_signature(&row.ephemeral_key, &digest, signature)
        };
        let names = self.names.load();
        let former = names.former.filter(|(_, until)| {
            let begun_before = until.plus(SESSION_LIFETIME);
            row.expires_at <= begun_before
        });
        if signed(names.key.public_key()) || former.is_some_and(|(name, _)| signed(name)) {
            Ok(())
        } else {
            Err(SessionError::InvalidSignature)
        }
    }
}
