//! The backups of a store that stands alone.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::audit::{AUDIT_TABLES, Standing};
use crate::backup::testing::{NoContents, record};
use crate::backup::{BACKUP_TABLE, BackupOptions, RestoreRequest};
use crate::clock::{Clock, ManualClock};
use crate::config;
use crate::crypto::{CryptoError, EncryptionSecret};
use crate::store::testing::hold;
use crate::store::{
    CHANGE_TABLES, FolderLock, Keychain, KeychainError, NODE_TABLES, OnOutage, ReplicaStanding,
    Replication, STORE_LOGGED, StoreMetrics, StoreOptions, TIMELINE_TABLE, Wait, beside,
};

const MIGRATIONS: &[&str] = &[
    NODE_TABLES,
    TIMELINE_TABLE,
    BACKUP_TABLE,
    CHANGE_TABLES,
    AUDIT_TABLES,
];
const SECRET: &[u8] = b"a secret of the operator's";
const DAY: Duration = Duration::from_secs(86_400);

struct World {
    home: TempDir,
    clock: Arc<ManualClock>,
    store: Arc<Store>,
    backups: Backups,
}

impl World {
    async fn new() -> Self {
        Self::with(StoreOptions::default(), |_| {}).await
    }

    /// With the data in `data`, the secret in `secret`, and the backups in `backups`, kept for seven days.
    async fn with(options: StoreOptions, configure: impl FnOnce(&mut config::Backup)) -> Self {
        let (home, clock) = (tempfile::tempdir().unwrap(), ManualClock::shared());
        let secret_file = home.path().join("secret");
        std::fs::write(&secret_file, SECRET).unwrap();
        let folder = FolderLock::take(&home.path().join("data")).unwrap();
        let metrics = StoreMetrics::default();
        let store = Store::open(folder, MIGRATIONS, options, metrics, clock.clone());
        let (store, now) = (Arc::new(store.unwrap()), clock.now());
        let created = store.write(move |connection| -> Result<_, KeychainError> {
            Timelines(connection).begin(now)?;
            Keychain(connection).create(&EncryptionSecret::new(SECRET.to_vec()), now)
        });
        let keys = created.await.unwrap();
        store.folder().set_node_id(keys.node_id).unwrap();
        let mut config = config::defaults_in(std::path::Path::new("/nonexistent")).backup;
        config.dir = home.path().join("backups");
        configure(&mut config);
        let options = BackupOptions {
            config,
            secret_file,
            allow_readable_secret: true,
            contents: Arc::new(NoContents),
            migrations: MIGRATIONS,
        };
        let keeper = Keeper::new(options, clock.clone()).unwrap();
        let standing = Standing::default();
        let audit = AuditLog::new(store.clone(), &keys.ring, standing, clock.clone());
        Self {
            backups: keeper.of(store.clone(), keys.node_id, audit),
            home,
            clock,
            store,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Makes a backup, a second after whatever was before.
    async fn create(&self) -> Result<Record, BackupError> {
        self.clock.advance(Duration::from_secs(1));
        let unwatched = Progress::unwatched();
        self.backups
            .create(Kind::Manual, &Actor::Node, &unwatched)
            .await
    }

    async fn verify(&self, path: &Path) -> Result<(), BackupError> {
        let unwatched = Progress::unwatched();
        self.backups
            .verify(&Actor::Node, path, None, None, &unwatched)
            .await
            .map(drop)
    }

    async fn prune(&self) {
        self.backups.prune(&Actor::Node).await.unwrap();
    }

    /// Notes a completed backup that is so many days old, and writes its file.
    async fn known(&self, name: &str, days: u32) -> Record {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "a backup").unwrap();
        let made = record(Status::Completed, self.clock.now().minus(DAY * days));
        let made = Record { path, ..made };
        self.backups.note(made.clone()).await.unwrap();
        made
    }

    /// How the history knows a backup; not at all when it was forgotten.
    async fn status(&self, of: &Record) -> Option<Status> {
        let records = self.backups.list(None).await.unwrap();
        let mut records = records.into_iter();
        let found = records.find(|record| record.backup_id == of.backup_id);
        found.map(|record| record.status)
    }
}

async fn nothing(store: &Store) -> Result<(), StoreError> {
    store.write(|_| Ok(())).await
}

#[tokio::test]
async fn a_replica_that_is_away_keeps_nothing_from_being_noted() {
    let waits = Some(Wait {
        timeout: Duration::from_secs(10),
        on_outage: OnOutage::Refuse,
    });
    let tables = &STORE_LOGGED;
    let options = StoreOptions {
        replication: Some(Replication { tables, waits }),
        ..StoreOptions::default()
    };
    let world = World::with(options, |config| config.after = Some("exit 3".to_owned())).await;
    world.store.replica_stands(ReplicaStanding::Away);
    let refused = nothing(&world.store).await;
    assert!(
        matches!(refused, Err(StoreError::ReplicaAway)),
        "{refused:?}"
    );

    let unfinished = Record {
        path: world.at("backups/unfinished.db"),
        ..record(Status::InProgress, world.clock.now())
    };
    world.backups.note(unfinished.clone()).await.unwrap();
    world.backups.recover(None).await.unwrap();
    assert_eq!(world.status(&unfinished).await, Some(Status::Failed));
    let [first, second] = [world.create().await, world.create().await].map(Result::unwrap);
    world.verify(&first.path).await.unwrap();
    let deleted = world.backups.delete(&Actor::Node, first.backup_id).await;
    assert_eq!(deleted.unwrap().status, Status::Deleted);
    assert!(!first.path.exists() && second.path.is_file());
    world.clock.advance(DAY * 30);
    let third = world.create().await.unwrap();
    assert_eq!(world.status(&second).await, Some(Status::Deleted));
    assert!(!second.path.exists() && third.path.is_file());
    let known = world.backups.after_hook(third).await.unwrap();
    assert_eq!(known.status, Status::Completed);
    let hook = known.hook_error.unwrap();
    assert!(hook.contains("exit status: 3"), "{hook}");
}

/// Gives writes until one is refused, which it is at once.
async fn fill(store: &Arc<Store>) {
    loop {
        let store = store.clone();
        let write = tokio::spawn(async move { nothing(&store).await });
        sleep(Duration::from_millis(10)).await;
        if write.is_finished() {
            let refused = write.await.unwrap();
            assert!(matches!(refused, Err(StoreError::Busy { .. })));
            return;
        }
    }
}

/// A burst of registers at the end of a backup that took minutes.
#[tokio::test]
async fn a_full_queue_throws_away_no_backup() {
    let options = StoreOptions {
        queue_length: 1,
        ..StoreOptions::default()
    };
    let world = World::with(options, |_| {}).await;
    let release = hold(&world.store).await;
    fill(&world.store).await;
    let made = record(Status::Completed, world.clock.now());
    let (backups, noted) = (world.backups.clone(), made.clone());
    let noted = tokio::spawn(async move { backups.note(noted).await });
    sleep(PAUSE / 2).await;
    drop(release);
    noted.await.unwrap().unwrap();
    assert_eq!(world.status(&made).await, Some(Status::Completed));
}

#[tokio::test]
async fn one_whose_file_is_gone_does_not_stand_for_the_last_good_one() {
    let world = World::new().await;
    let old = world.known("backups/old.db", 40).await;
    let last = world.known("backups/last.db", 30).await;
    let gone = world.known("backups/gone.db", 20).await;
    std::fs::remove_file(&gone.path).unwrap();
    world.prune().await;
    assert!(last.path.is_file() && !old.path.exists());
    assert_eq!(world.status(&last).await, Some(Status::Completed));
    for deleted in [old, gone] {
        assert_eq!(world.status(&deleted).await, Some(Status::Deleted));
    }
}

#[tokio::test]
async fn what_is_outside_of_the_folder_is_left_alone() {
    // The folder is on another disk.
    let world = World::with(StoreOptions::default(), |config| {
        let disk = config.dir.with_file_name("disk");
        std::fs::create_dir(&disk).unwrap();
        std::os::unix::fs::symlink(&disk, &config.dir).unwrap();
    });
    let world = world.await;
    let inside = [
        world.known("backups/linked.db", 50).await,
        world.known("disk/straight.db", 49).await,
        world.known("data/../disk/around.db", 48).await,
    ];
    let outside = [
        world.known("brought.db", 40).await,
        world.known("backups/off-site/deeper.db", 39).await,
    ];
    let taken = world.known("taken.db", 38).await;
    let last = world.known("backups/last.db", 1).await;
    let beside_them = outside.iter().chain([&taken]);
    let companions: Vec<PathBuf> = beside_them
        .flat_map(|record| ["-wal", "-shm", "-journal"].map(|end| beside(&record.path, end)))
        .collect();
    for path in &companions {
        std::fs::write(path, "the operator's").unwrap();
    }
    std::fs::remove_file(&taken.path).unwrap();
    world.prune().await;
    for record in &inside {
        assert!(!record.path.exists(), "{}", record.path.display());
        assert_eq!(world.status(record).await, Some(Status::Deleted));
    }
    assert_eq!(world.status(&taken).await, Some(Status::Deleted));
    for record in &outside {
        assert_eq!(world.status(record).await, Some(Status::Completed));
    }
    // The lines go, as those of the others do.
    world.clock.advance(DAY * 1001);
    world.prune().await;
    for record in inside.iter().chain(&outside).chain([&taken]) {
        assert_eq!(world.status(record).await, None);
    }
    assert_eq!(world.status(&last).await, Some(Status::Completed));
    let kept = companions
        .iter()
        .chain(outside.iter().map(|record| &record.path));
    for path in kept.chain([&last.path]) {
        assert!(path.is_file(), "{}", path.display());
    }
}

#[tokio::test]
async fn a_secret_file_that_was_exchanged_is_no_damage() {
    let world = World::new().await;
    world.create().await.unwrap();
    std::fs::write(world.at("secret"), "the secret of another node").unwrap();
    let error = world.create().await.unwrap_err();
    let is_of_secret = matches!(
        &error,
        BackupError::Keychain(KeychainError::Crypto(CryptoError::WrongSecret))
    );
    assert!(is_of_secret, "{error}");
    let health = world.backups.health();
    assert!(!health.checked && health.damage.is_none(), "{health:?}");
    let failure = health.failure.unwrap();
    assert!(failure.contains("set secret_file to that one"), "{failure}");
    std::fs::write(world.at("secret"), SECRET).unwrap();
    world.create().await.unwrap();
    assert!(world.backups.health().checked);
}

#[tokio::test]
async fn the_live_database_is_no_backup() {
    let world = World::new().await;
    let hard = world.create().await.unwrap().path.with_file_name("hard.db");
    std::fs::hard_link(world.store.path(), &hard).unwrap();
    let refused = |error: BackupError| {
        let error = error.to_string();
        assert!(
            error.contains("is the live database of this node"),
            "{error}"
        );
    };
    for path in [world.store.path(), hard.as_path()] {
        refused(world.verify(path).await.unwrap_err());
        let request = RestoreRequest {
            path: path.to_owned(),
            secret_file: None,
            age_identity: None,
            dry_run: true,
        };
        let unwatched = Progress::unwatched();
        let prepared = world.backups.prepare_restore(&request, &unwatched);
        refused(prepared.await.unwrap_err());
    }
    refused(world.backups.resolve("hard.db").unwrap_err());
}
