use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::store::testing::hold;
use crate::store::{FolderLock, Store, StoreOptions};

const TABLE: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE) STRICT;
    CREATE TABLE part (item INTEGER REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED) STRICT;";

fn open(folder: &tempfile::TempDir, queue_length: usize) -> Arc<Store> {
    open_at(folder, queue_length, SystemClock::shared())
}

fn open_at(folder: &tempfile::TempDir, queue_length: usize, clock: SharedClock) -> Arc<Store> {
    let lock = FolderLock::take(folder.path()).unwrap();
    let options = StoreOptions {
        queue_length,
        ..StoreOptions::default()
    };
    Arc::new(Store::open(lock, &[TABLE], options, StoreMetrics::default(), clock).unwrap())
}

fn insert(name: &str) -> impl FnOnce(&Connection) -> Result<i64, StoreError> + Send + 'static {
    let name = name.to_owned();
    move |connection| {
        connection.execute("INSERT INTO item (name) VALUES (?1)", [&name])?;
        Ok(connection.last_insert_rowid())
    }
}

async fn names(store: &Store) -> Vec<String> {
    store
        .read(|connection| -> Result<_, StoreError> {
            let mut statement = connection.prepare("SELECT name FROM item ORDER BY name")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn a_failing_job_leaves_no_trace_and_spares_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 16);
    let release = hold(&store).await;
    let bad = |connection: &Connection| -> Result<(), StoreError> {
        connection.execute("INSERT INTO item (name) VALUES ('half')", [])?;
        Err(StoreError::Closed)
    };
    let panicking = |connection: &Connection| -> Result<(), StoreError> {
        connection.execute("INSERT INTO item (name) VALUES ('panic')", [])?;
        panic!("a bug in a job");
    };
    let all = tokio::spawn({
        let store = store.clone();
        async move {
            tokio::join!(
                store.write(insert("one")),
                store.write(bad),
                store.write(panicking),
                store.write(insert("one")),
                store.write(insert("two")),
            )
        }
    });
    drop(release);
    let (one, bad, panicked, duplicate, two) = all.await.unwrap();
    assert!(one.is_ok() && two.is_ok());
    assert!(matches!(bad, Err(StoreError::Closed)));
    assert!(matches!(panicked, Err(StoreError::Panicked)));
    assert!(matches!(duplicate, Err(StoreError::Database(_))));
    assert_eq!(names(&store).await, ["one", "two"]);
}

/// Runs `bad` as the second of three writes of one commit.
async fn amid_neighbours(
    store: &Arc<Store>,
    bad: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
) -> (
    Result<i64, StoreError>,
    Result<(), StoreError>,
    Result<i64, StoreError>,
) {
    let release = hold(store).await;
    let all = tokio::spawn({
        let store = store.clone();
        async move {
            tokio::join!(
                store.write(insert("one")),
                store.write(bad),
                store.write(insert("two"))
            )
        }
    });
    while store.writer.metrics.waiting.get() < 3 {
        tokio::task::yield_now().await;
    }
    drop(release);
    all.await.unwrap()
}

#[tokio::test]
async fn a_commit_that_fails_is_acknowledged_to_nobody_and_the_next_one_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 16);
    // Looked at by the commit and not before.
    let dangling = |connection: &Connection| -> Result<(), StoreError> {
        connection.execute("INSERT INTO part (item) VALUES (4711)", [])?;
        Ok(())
    };
    let (one, bad, two) = amid_neighbours(&store, dangling).await;
    for outcome in [one.map(drop), bad, two.map(drop)] {
        assert!(
            matches!(outcome, Err(StoreError::Database(_))),
            "{outcome:?}"
        );
    }
    assert!(names(&store).await.is_empty());
    assert_eq!(store.writer.metrics.failures.get(), 1);
    store.write(insert("three")).await.unwrap();
    assert_eq!(names(&store).await, ["three"]);
}

#[tokio::test]
async fn a_group_that_sqlite_undoes_is_acknowledged_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 16);
    // What SQLite does by itself when the disk is full; and the job does not notice.
    let undoing = |connection: &Connection| -> Result<(), StoreError> {
        connection.execute_batch("ROLLBACK")?;
        Ok(())
    };
    let (one, bad, two) = amid_neighbours(&store, undoing).await;
    for outcome in [one.map(drop), bad, two.map(drop)] {
        assert!(
            matches!(outcome, Err(StoreError::GroupUndone)),
            "{outcome:?}"
        );
    }
    store.write(insert("three")).await.unwrap();
    assert_eq!(names(&store).await, ["three"]);
}

/// A client that asks twice within one commit: "this is known already" counts as success for it.
#[tokio::test]
async fn a_duplicate_of_what_was_not_committed_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 16);
    let release = hold(&store).await;
    let dangling = |connection: &Connection| -> Result<(), StoreError> {
        connection.execute("INSERT INTO part (item) VALUES (4711)", [])?;
        Ok(())
    };
    let all = tokio::spawn({
        let store = store.clone();
        async move {
            tokio::join!(
                store.write(insert("one")),
                store.write(insert("one")),
                store.write(dangling)
            )
        }
    });
    while store.writer.metrics.waiting.get() < 3 {
        tokio::task::yield_now().await;
    }
    drop(release);
    let (first, again, _) = all.await.unwrap();
    let (first, again) = (first.unwrap_err(), again.unwrap_err());
    assert!(!again.to_string().contains("UNIQUE"), "{again}");
    assert_eq!(first.to_string(), again.to_string());
    assert!(names(&store).await.is_empty());
}

/// What SQLite says when the disk did not take a flush.
fn unflushed() -> StoreError {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
    rusqlite::Error::SqliteFailure(code, None).into()
}

#[tokio::test]
async fn after_a_failed_flush_nothing_is_written_until_the_log_was_copied() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 16);
    store.write(insert("one")).await.unwrap();
    // A snapshot that keeps the log from being copied whole.
    let export = store.export().await.unwrap();
    let count = |connection: &Connection| -> Result<i64, StoreError> {
        Ok(connection.query_row("SELECT count(*) FROM item", [], |row| row.get(0))?)
    };
    assert_eq!(count(export.connection()).unwrap(), 1);
    store.writer.flushes.note(&StoreError::Busy { waiting: 1 });
    assert_eq!(store.trouble(), None);
    store.write(insert("two")).await.unwrap();

    store.writer.flushes.note(&unflushed());
    let told = store.trouble().unwrap();
    assert!(told.contains("did not take a flush"), "{told}");
    for name in ["three", "four"] {
        let refused = store.write(insert(name)).await;
        assert!(matches!(refused, Err(StoreError::Unflushed)), "{refused:?}");
    }
    assert_eq!(store.writer.metrics.refusing.get(), 1);
    assert_eq!(names(&store).await, ["one", "two"]);

    drop(export);
    while let Err(refused) = store.write(insert("three")).await {
        assert!(matches!(refused, StoreError::Unflushed), "{refused:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(store.trouble(), None);
    assert_eq!(store.writer.metrics.refusing.get(), 0);
    assert_eq!(names(&store).await, ["one", "three", "two"]);
}

/// The log of a process that was killed may never have been flushed.
#[tokio::test]
async fn the_log_that_a_killed_process_left_is_folded_in_before_anything_is_answered() {
    let killed = tempfile::tempdir().unwrap();
    let store = open(&killed, 16);
    store.write(insert("one")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["ksnode.db", "ksnode.db-wal"] {
        std::fs::copy(killed.path().join(name), folder.path().join(name)).unwrap();
    }
    let again = open(&folder, 16);
    let log = folder.path().join("ksnode.db-wal").metadata().unwrap();
    assert_eq!(log.len(), 0);
    assert_eq!(names(&again).await, ["one"]);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 1);
    let release = hold(&store).await;
    let mut waiting = Box::pin(store.write(insert("waits")));
    assert!(futures_poll(&mut waiting).await.is_none());
    let refused = store.write(insert("refused")).await;
    assert!(matches!(refused, Err(StoreError::Busy { waiting: 1 })));
    drop(release);
    waiting.await.unwrap();
    assert_eq!(names(&store).await, ["waits"]);
}

async fn futures_poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    std::future::poll_fn(
        |context| match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        },
    )
    .await
}

#[tokio::test]
async fn closing_answers_what_waits_and_refuses_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 16);
    let release = hold(&store).await;
    let mut waiting = Box::pin(store.write(insert("waits")));
    assert!(futures_poll(&mut waiting).await.is_none());
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    drop(release);
    waiting.await.unwrap();
    closing.await.unwrap();
    assert!(matches!(
        store.write(insert("late")).await,
        Err(StoreError::Closed)
    ));
    drop(store);
    let again = open(&folder, 16);
    assert_eq!(names(&again).await, ["waits"]);
}

#[tokio::test]
async fn the_log_is_started_anew_when_it_has_grown() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 16);
    // A reader that is idle from now on must not hold the log back.
    assert!(names(&store).await.is_empty());
    // Without a reset the log would hold them all.
    write_megabytes(&store, 120).await;
    let (_, log) = store.size();
    assert!(log < 80 << 20, "the log has {log} bytes");
}

#[tokio::test]
async fn a_log_that_a_long_read_has_held_back_is_started_anew_soon_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::shared();
    let store = open_at(&folder, 16, clock.clone());
    let reader = Connection::open(folder.path().join("ksnode.db")).unwrap();
    let read = "BEGIN; SELECT count(*) FROM item;";
    reader.execute_batch(read).unwrap();
    write_megabytes(&store, 100).await;
    let (_, held_back) = store.size();
    assert!(held_back > 100 << 20, "the log has {held_back} bytes");
    reader.execute_batch("COMMIT").unwrap();
    clock.advance(Duration::from_secs(6));
    write_megabytes(&store, 1).await;
    let (_, log) = store.size();
    assert!(log < 80 << 20, "the log has {log} bytes");
}

/// Writes so much, a tenth of a megabyte at a time.
async fn write_megabytes(store: &Store, megabytes: u32) {
    for round in 0..megabytes * 10 {
        let big = |connection: &Connection| -> Result<(), StoreError> {
            connection.execute(
                "INSERT INTO item (name) VALUES (hex(randomblob(50000)))",
                [],
            )?;
            Ok(())
        };
        store
            .write(big)
            .await
            .unwrap_or_else(|error| panic!("{round}: {error}"));
    }
}

#[tokio::test]
async fn a_pause_drains_the_writes_and_refuses_those_that_come_later() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 64);
    let waiting: Vec<_> = (0..20)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.write(insert(&format!("before {number:02}"))).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let paused = store.pause_writes().await.unwrap();
    let seen = names(&store).await.len();
    let refused = store.write(insert("during")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Paused), "{refused}");
    paused.write(insert("by the holder")).await.unwrap();
    let mut acknowledged = 0;
    for write in waiting {
        match write.await.unwrap() {
            Ok(_) => acknowledged += 1,
            Err(error) => assert!(matches!(error, StoreError::Paused), "{error}"),
        }
    }
    assert_eq!(seen, acknowledged);
    drop(paused);
    store.write(insert("after")).await.unwrap();
    assert_eq!(names(&store).await.len(), acknowledged + 2);
}

#[tokio::test]
async fn a_closed_store_has_let_go_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 64);
    store.write(insert("one")).await.unwrap();
    assert_eq!(names(&store).await.len(), 1);
    store.close().await;
    assert!(!folder.path().join("ksnode.db-wal").exists());
    let reading = store.read(|_| Ok::<_, StoreError>(())).await;
    assert!(matches!(reading, Err(StoreError::Closed)));
    let writing = store.write(insert("two")).await;
    assert!(matches!(writing, Err(StoreError::Closed)));
    // The data folder stays this process's until the last of those who know the store is gone.
    let lock = store.folder().clone();
    drop(store);
    assert!(FolderLock::take(folder.path()).is_err());
    drop(lock);
    FolderLock::take(folder.path()).unwrap();
}
