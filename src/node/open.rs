//! Opening the database with its keys: for a node that starts, and for commands on one that is stopped.

use std::sync::Arc;

use uuid::Uuid;

use super::contents::NodeContents;
use super::schema::{REBUILD, store_options};
use super::starting::Starting;
use super::{MIGRATIONS, NodeError};
use crate::audit::{Action, Actor, AuditLog, Entry, Standing};
use crate::backup::{
    BackupError, BackupOptions, Backups, Keeper, Progress, Record, RestoreReport, RestoreRequest,
};
use crate::clock::{SharedClock, Timestamp};
use crate::config::Config;
use crate::crypto::EncryptionSecret;
use crate::replica::{self, Rebuilt, ReplicaError};
use crate::service::notify::Manager;
use crate::store::{
    DATABASE_FILE, FolderLock, Keychain, KeychainError, OpenKeys, Store, StoreError, StoreMetrics,
    StoreOptions, Timelines, open_read_only, remove_database, schema_version,
};

/// The file in the data folder that is made of a replica.
const FROM_REPLICA: &str = "ksnode.db.from-replica";

/// A database, its keys and its backups.
#[derive(Debug)]
pub struct Opened {
    /// The database, migrated to the newest schema.
    pub store: Arc<Store>,
    /// The node's keys.
    pub keys: OpenKeys,
    /// Its backups.
    pub backups: Backups,
    /// Its audit log.
    pub audit: AuditLog,
}

/// Takes the data folder for this process.
///
/// # Errors
/// [`StoreError::InUse`] when a node runs on it.
pub fn lock(config: &Config) -> Result<FolderLock, StoreError> {
    FolderLock::take(&config.data_dir)
}

/// The keeper of this configuration's backups.
pub(super) fn keeper(config: &Config, clock: &SharedClock) -> Result<Keeper, NodeError> {
    let options = BackupOptions {
        config: config.backup.clone(),
        secret_file: config.secret_file.clone(),
        allow_readable_secret: config.allow_readable_secret,
        contents: Arc::new(NodeContents),
        migrations: MIGRATIONS,
    };
    Ok(Keeper::new(options, clock.clone())?)
}

/// Opens the node's database, making a new one with new keys when there is none.
///
/// # Errors
/// [`NodeError`].
pub async fn open(config: &Config, clock: &SharedClock) -> Result<Opened, NodeError> {
    let starting = Starting::new(Manager::default(), clock.clone());
    let keeper = keeper(config, clock)?;
    let count = Counted::default();
    open_with(config, &keeper, count, &starting, clock).await
}

/// What outlives the database that a restore replaces.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) store: StoreMetrics,
    pub(super) audit: Standing,
}

pub(super) async fn open_with(
    config: &Config,
    keeper: &Keeper,
    counted: Counted,
    starting: &Starting,
    clock: &SharedClock,
) -> Result<Opened, NodeError> {
    let folder = lock(config)?;
    let expected = folder.node_id()?;
    // Read before the database is touched: a mistake here leaves no trace.
    let secret = EncryptionSecret::from_file(&config.secret_file, config.allow_readable_secret)?;
    let from = schema_version(&folder.path().join(DATABASE_FILE))?;
    let made = before_migration(&folder, &secret, expected, keeper, starting).await?;
    let options = StoreOptions {
        pulse: starting.pulse(),
        ..store_options(config.replica.as_ref())
    };
    let store = Arc::new(Store::open(
        folder,
        MIGRATIONS,
        options,
        counted.store,
        clock.clone(),
    )?);
    let (of, standing, clock) = (store.clone(), counted.audit, clock.clone());
    let (keys, audit) = store
        .write(move |connection| -> Result<_, KeychainError> {
            let is_new = Keychain(connection).node_id()?.is_none();
            let keys = open_keys(connection, &secret, expected, clock.now())?;
            let audit = AuditLog::new(of, &keys.ring, standing, clock);
            if let Some(entry) = beginning(is_new, from) {
                audit.append(connection, &entry);
            }
            Ok((keys, audit))
        })
        .await?;
    if expected.is_none() {
        store.folder().set_node_id(keys.node_id)?;
    }
    let backups = keeper.of(store.clone(), keys.node_id, audit.clone());
    backups.recover(made).await?;
    Ok(Opened {
        store,
        keys,
        backups,
        audit,
    })
}

/// What opening a database did to it, for the audit log. A migration is a transaction of its own, before there are keys for
/// an entry.
fn beginning(is_new: bool, from: Option<usize>) -> Option<Entry> {
    let (version, to) = (crate::VERSION, MIGRATIONS.len());
    if is_new {
        let detail = format!("by ksnode {version}, schema {to}");
        return Some(Entry::done(&Actor::Node, Action::NodeCreate, detail));
    }
    let from = from.filter(|from| *from < to)?;
    let detail = format!("by ksnode {version}, from schema {from} to {to}");
    Some(Entry::done(&Actor::Node, Action::Migrate, detail))
}

fn open_keys(
    connection: &rusqlite::Connection,
    secret: &EncryptionSecret,
    expected: Option<Uuid>,
    now: Timestamp,
) -> Result<OpenKeys, KeychainError> {
    let keychain = Keychain(connection);
    let keys = match (keychain.node_id()?, expected) {
        (Some(_), _) => keychain.open(secret, expected)?,
        (None, None) => keychain.create(secret, now)?,
        // A new database beside the traces of an old node would hide that the old one is gone.
        (None, Some(node)) => {
            return Err(KeychainError::Store(StoreError::Damaged(format!(
                "it is empty, and this folder is node {node}'s; put {DATABASE_FILE} back or restore a backup \
                 (for a new node take another data_dir)"
            ))));
        }
    };
    let timelines = Timelines(connection);
    if timelines.current()?.is_none() {
        timelines.begin(now)?;
    }
    Ok(keys)
}

/// A migration cannot be taken back, so data of an older schema is saved before. Nothing is touched when that fails.
async fn before_migration(
    folder: &FolderLock,
    secret: &EncryptionSecret,
    expected: Option<Uuid>,
    keeper: &Keeper,
    starting: &Starting,
) -> Result<Option<Record>, NodeError> {
    let path = folder.path().join(DATABASE_FILE);
    let older = schema_version(&path)?.is_some_and(|found| found < MIGRATIONS.len());
    if !older {
        return Ok(None);
    }
    let connection = open_read_only(&path)?;
    if Keychain(&connection).node_id()?.is_none() {
        // A first start that was cut off has left no data.
        return Ok(None);
    }
    // A wrong secret is told as such, and not as a backup that failed.
    Keychain(&connection).open(secret, expected)?;
    drop(connection);
    let record = keeper
        .before_migration(folder, &starting.progress())
        .await
        .map_err(NodeError::BeforeMigration)?;
    tracing::info!(path = %record.path.display(), "the data was saved before its migration");
    Ok(Some(record))
}

/// The same for a database that must exist.
///
/// # Errors
/// [`NodeError::NoDatabase`] when it does not.
pub async fn open_existing(config: &Config, clock: &SharedClock) -> Result<Opened, NodeError> {
    if !config.data_dir.join(DATABASE_FILE).exists() {
        return Err(NodeError::NoDatabase {
            folder: config.data_dir.display().to_string(),
        });
    }
    open(config, clock).await
}

/// Restores a backup on a node that is stopped, as `actor` wants it. It takes the data folder for this process; there may be no database in
/// it, or one that this program cannot read.
///
/// # Errors
/// [`NodeError`]: the data is as it was.
pub async fn restore_stopped(
    config: &Config,
    actor: &Actor,
    request: &RestoreRequest,
    progress: &Progress,
    clock: &SharedClock,
) -> Result<RestoreReport, NodeError> {
    let folder = lock(config)?;
    let node = folder.node_id()?;
    let keeper = keeper(config, clock)?;
    let prepared = keeper.prepare_restore(request, folder.clone(), node, progress);
    let mut prepared = match prepared.await {
        // What an installation makes has an id of its own, and on a new machine is to become the old node.
        Err(BackupError::OtherNode { .. }) if keeper.holds_nothing(&folder).await => {
            keeper
                .prepare_restore(request, folder.clone(), None, progress)
                .await?
        }
        prepared => prepared?,
    };
    if request.dry_run {
        return Ok(prepared.report().clone());
    }
    prepared.save(actor, None, progress).await?;
    if node != Some(prepared.node_id()) {
        // Before the decision: after a crash in between, whichever database is in place tells whose the folder is.
        folder.forget_node_id()?;
    }
    prepared.decide()?;
    folder.finish_replacement()?;
    let (keys, report) = prepared.done()?;
    if node != Some(keys.node_id) {
        folder.set_node_id(keys.node_id)?;
    }
    Ok(report)
}

/// Makes a database file of the replica in the data folder, which must not be in use. Nobody has looked at what is in it:
/// it is to be restored, and then removed.
///
/// # Errors
/// [`NodeError`].
pub async fn fetch_replica(config: &Config) -> Result<Rebuilt, NodeError> {
    let replica = config.replica.as_ref().ok_or(ReplicaError::Off)?;
    let target = replica::target(replica).map_err(ReplicaError::from)?;
    let folder = lock(config)?;
    let path = folder.path().join(FROM_REPLICA);
    // An earlier attempt may have been cut off.
    remove_database(&path)?;
    Ok(replica::rebuild(&target, REBUILD, &path).await?)
}
