//! What backups are made with, whichever database is in place.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turns, OwnedMutexGuard, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::candidate::{Candidate, Secret, Source};
use super::encryption::Recipients;
use super::make::{Order, Product, make};
use super::pace::Pace;
use super::progress::Watch;
use super::verify::Owner;
use super::{
    BackupError, BackupMetrics, Backups, Contents, Health, Kind, Progress, Record, RestoreRequest,
};
use crate::audit::AuditLog;
use crate::clock::SharedClock;
use crate::config;
use crate::crypto::{CryptoError, EncryptionSecret, random_id};
use crate::store::{DATABASE_FILE, FolderLock, KeychainError, Store};

/// Niceness of the threads that copy and verify: requests go first.
const NICENESS: i32 = 10;

/// How backups are made.
#[derive(Debug)]
pub struct BackupOptions {
    /// `[backup]`
    pub config: config::Backup,
    /// The node's encryption secret. Read anew for each verification: it proves that the file opens the backup.
    pub secret_file: PathBuf,
    /// As `allow_readable_secret`.
    pub allow_readable_secret: bool,
    /// What is in the database beside this program's own tables.
    pub contents: Arc<dyn Contents>,
    /// All migrations.
    pub migrations: &'static [&'static str],
}

/// Makes backups and prepares restores. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keeper(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: BackupOptions,
    recipients: Option<Recipients>,
    pub(super) clock: SharedClock,
    turns: Arc<Turns<()>>,
    /// Ends the check of the live database that is under way: it gives way to everything else. A std mutex, as `health`.
    check: Mutex<CancellationToken>,
    pub(super) stop: CancellationToken,
    pub(super) hooks: TaskTracker,
    threads: TaskTracker,
    /// A std mutex: held to copy, never across an await.
    health: Mutex<Health>,
    pub(super) metrics: BackupMetrics,
}

/// The right to work on backups: one at a time.
pub(super) type Turn = OwnedMutexGuard<()>;

impl Keeper {
    /// A keeper with these options.
    ///
    /// # Errors
    /// [`BackupError::Recipients`].
    pub fn new(options: BackupOptions, clock: SharedClock) -> Result<Self, BackupError> {
        Ok(Self(Arc::new(Shared {
            recipients: Recipients::parse(&options.config.age_recipients)?,
            options,
            clock,
            turns: Arc::default(),
            check: Mutex::new(ended()),
            stop: CancellationToken::new(),
            hooks: TaskTracker::new(),
            threads: TaskTracker::new(),
            health: Mutex::default(),
            metrics: BackupMetrics::default(),
        })))
    }

    /// The backups of an open database.
    pub fn of(&self, store: Arc<Store>, node_id: Uuid, audit: AuditLog) -> Backups {
        Backups::new(self.clone(), store, node_id, audit)
    }

    /// Backups a database of an older schema before it is migrated. The record is to be noted once it is.
    ///
    /// # Errors
    /// [`BackupError`]: the database is not to be migrated then.
    pub async fn before_migration(
        &self,
        folder: &FolderLock,
        progress: &Progress,
    ) -> Result<Record, BackupError> {
        let _turn = self.turn().await?;
        let record = self.begin(Kind::BeforeMigration)?;
        let node = folder.node_id()?;
        let began = self.0.clock.monotonic();
        let product = self
            .produce(&record, folder.clone(), node, progress)
            .await?;
        self.complete(record, product, began)
    }

    /// Lets what is under way end soon: copies and checks stop, hooks are killed.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        self.finish_hooks().await;
        drop(self.0.turns.lock().await);
        // Their connections to the database would keep its log from being folded in.
        self.0.threads.close();
        self.0.threads.wait().await;
    }

    /// Waits for the hooks that run.
    pub async fn finish_hooks(&self) {
        self.0.hooks.close();
        self.0.hooks.wait().await;
    }

    /// What this room counts.
    pub fn metrics(&self) -> &BackupMetrics {
        &self.0.metrics
    }

    /// Whether a backup, a verification of one or a restore is under way. A check of the live database is none: it gives
    /// way to everything.
    pub fn is_busy(&self) -> bool {
        self.0.turns.try_lock().is_err() && self.check().is_cancelled()
    }

    /// # Errors
    /// [`BackupError::Busy`] when it is somebody else's turn.
    pub(super) async fn turn(&self) -> Result<Turn, BackupError> {
        let turns = self.0.turns.clone();
        if let Ok(turn) = turns.clone().try_lock_owned() {
            return Ok(turn);
        }
        let check = self.check();
        if check.is_cancelled() {
            return Err(BackupError::Busy);
        }
        check.cancel();
        Ok(turns.lock_owned().await)
    }

    /// A turn that ends when somebody else wants it, and the token that tells so.
    pub(super) fn turn_to_check(&self) -> Result<(Turn, CancellationToken), BackupError> {
        let turn = self.0.turns.clone().try_lock_owned();
        let turn = turn.map_err(|_| BackupError::Busy)?;
        let token = self.0.stop.child_token();
        *self.0.check.lock().unwrap_or_else(PoisonError::into_inner) = token.clone();
        Ok((turn, token))
    }

    fn check(&self) -> CancellationToken {
        self.0
            .check
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn health(&self) -> Health {
        self.0
            .health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_health(&self, health: Health) {
        *self.0.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    /// A backup that begins now, with the name its file will have.
    pub(super) fn begin(&self, kind: Kind) -> Result<Record, BackupError> {
        let now = self.0.clock.now();
        let id = random_id().map_err(KeychainError::from)?;
        let moment: String = now
            .to_string()
            .chars()
            .filter(|c| !"-:".contains(*c))
            .collect();
        let (moment, _) = moment.split_once('.').unwrap_or((&moment, ""));
        let ending = if self.0.recipients.is_some() {
            ".db.age"
        } else {
            ".db"
        };
        // The id keeps two of one second apart.
        let short: String = id.simple().to_string().chars().take(8).collect();
        let name = format!("ksnode-{moment}Z-{}-{short}{ending}", kind.as_str());
        let record = Record::begin(id, kind, self.0.options.config.dir.join(name), now);
        Ok(Record {
            encrypted: self.0.recipients.is_some(),
            ..record
        })
    }

    /// Makes the file of `record` from the database in `folder`.
    pub(super) async fn produce(
        &self,
        record: &Record,
        folder: FolderLock,
        node: Option<Uuid>,
        progress: &Progress,
    ) -> Result<Product, BackupError> {
        let pace = match record.kind {
            Kind::Scheduled | Kind::Manual => Pace::Aside,
            // Requests wait for these, or the whole node does.
            Kind::BeforeRestore | Kind::BeforeMigration | Kind::BeforeRollback => Pace::Fast,
        };
        let (shared, watch) = (self.0.clone(), self.watch(progress, pace));
        let (kind, target) = (record.kind, record.path.clone());
        self.on_a_thread(pace, move || {
            let secret = shared.secret()?;
            make(&Order {
                kind,
                database: &folder.path().join(DATABASE_FILE),
                target: &target,
                folder: &folder,
                owner: secret.owner(node),
                recipients: shared.recipients.as_ref(),
                contents: &*shared.options.contents,
                migrations: shared.options.migrations,
                now: shared.clock.now(),
                watch: &watch,
            })
        })
        .await
    }

    /// The record of a file that is in its place.
    pub(super) fn complete(
        &self,
        record: Record,
        product: Product,
        began: Duration,
    ) -> Result<Record, BackupError> {
        let now = self.0.clock.now();
        let (status, summary, error) = match product.verified {
            Ok(summary) => (super::Status::Completed, Some(summary), None),
            Err(error) => (super::Status::Failed, None, Some(error.to_string())),
        };
        Ok(Record {
            status,
            bytes: Some(product.bytes),
            digest: Some(product.digest),
            duration: Some(whole_milliseconds(
                self.0.clock.monotonic().saturating_sub(began),
            )),
            verified_at: summary.map(|_| now),
            updated_at: now,
            summary,
            error,
            ..record
        })
    }

    /// A verified working copy of a backup in `folder`.
    pub(super) async fn candidate(
        &self,
        request: &RestoreRequest,
        folder: FolderLock,
        node: Option<Uuid>,
        progress: &Progress,
    ) -> Result<Candidate, BackupError> {
        let (shared, watch, request) = (
            self.0.clone(),
            self.watch(progress, Pace::Aside),
            request.clone(),
        );
        self.in_background(move || {
            let secret = shared.secret()?;
            let former = request
                .secret_file
                .as_deref()
                .map(|file| shared.secret_in(file))
                .transpose()?;
            Candidate::prepare(&Source {
                folder: &folder,
                backup: &request.path,
                owner: secret.owner(node),
                former: former.as_ref(),
                identity: request.age_identity.as_deref(),
                contents: &*shared.options.contents,
                migrations: shared.options.migrations,
                now: shared.clock.now(),
                watch: &watch,
            })
        })
        .await
    }

    /// Runs long work on a thread of its own that gives way to the threads that answer requests.
    pub(super) async fn in_background<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
    ) -> Result<T, BackupError> {
        self.on_a_thread(Pace::Aside, work).await
    }

    async fn on_a_thread<T: Send + 'static>(
        &self,
        pace: Pace,
        work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
    ) -> Result<T, BackupError> {
        let (reply, outcome) = oneshot::channel();
        let running = self.0.threads.token();
        std::thread::Builder::new()
            .name("backup".into())
            .spawn(move || {
                if pace == Pace::Aside {
                    give_way();
                }
                // Whoever waited may be gone.
                let _ = reply.send(work());
                drop(running);
            })
            .map_err(BackupError::Thread)?;
        // Without an answer the thread has panicked.
        outcome.await.unwrap_or(Err(BackupError::Stopped))
    }

    pub(super) fn watch(&self, progress: &Progress, pace: Pace) -> Watch {
        let (stop, clock) = (self.0.stop.clone(), self.0.clock.clone());
        Watch::new(progress, stop, pace, clock)
    }
}

impl Shared {
    pub(super) fn secret(&self) -> Result<Secret, BackupError> {
        self.secret_in(&self.options.secret_file)
    }

    fn secret_in(&self, file: &Path) -> Result<Secret, BackupError> {
        let secret = EncryptionSecret::from_file(file, self.options.allow_readable_secret);
        let secret = secret.map_err(|error: CryptoError| KeychainError::from(error))?;
        Ok(Secret {
            file: file.to_owned(),
            secret,
        })
    }
}

impl Secret {
    pub(super) fn owner(&self, node: Option<Uuid>) -> Owner<'_> {
        Owner {
            node,
            secret: &self.secret,
            secret_file: &self.file,
        }
    }
}

/// As the history keeps it.
fn whole_milliseconds(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// No check is under way.
fn ended() -> CancellationToken {
    let token = CancellationToken::new();
    token.cancel();
    token
}

/// On Linux niceness is the thread's; elsewhere it would be the whole process's, and is left alone.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "backups run at the priority of requests");
    }
}
