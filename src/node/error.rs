//! Why a node does not start.

use super::RollbackError;
use crate::admin::AdminError;
use crate::backup::BackupError;
use crate::control::ControlError;
use crate::crypto::CryptoError;
use crate::identity::IdentityError;
use crate::replica::ReplicaError;
use crate::service::outbound::OutboundError;
use crate::store::{KeychainError, StoreError};
use crate::tls::{ListenError, TlsError};

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// There is no database where one was expected.
    #[error("{folder}: there is no database here yet; `ksnode init` and `ksnode serve` make one")]
    NoDatabase {
        /// The data folder.
        folder: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys.
    #[error(transparent)]
    Keychain(#[from] KeychainError),
    /// Data of an older schema could not be saved.
    #[error(
        "the data is of an older version and is saved before it is migrated; that failed, and it is untouched: {0}"
    )]
    BeforeMigration(BackupError),
    /// A rollback.
    #[error(transparent)]
    Rollback(#[from] RollbackError),
    /// An import was cut off.
    #[error(
        "an import from a node of the Docker suite was begun here and not finished: a node with some of its users would \
         answer the others that it has nothing of theirs; run the same `ksnode import oko` again, which goes on where it \
         was, or give it up with `ksnode import oko --abandon`"
    )]
    UnfinishedImport,
    /// Backups, or a restore.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The administrator's password.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The encryption secret.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A socket for redirects, and no https.
    #[error(
        "a socket for redirects to https was passed by the service manager, and tls.mode is \"off\"; \
         set tls.mode, or take that socket out of the unit"
    )]
    NothingToRedirectTo,
    /// The control socket.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A provider's configuration.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Connections to others.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The replica.
    #[error("[replica]: {0}")]
    Replica(#[from] ReplicaError),
}
