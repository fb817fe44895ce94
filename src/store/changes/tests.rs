use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::{ManualClock, SharedClock, SystemClock};
use crate::store::{
    CHANGE_TABLES, FolderLock, OnOutage, ReplicaStanding, Replication, Store, StoreMetrics,
    StoreOptions, Wait,
};

const TABLES: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE) STRICT;
    CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB) STRICT, WITHOUT ROWID;
    CREATE TABLE silent (id INTEGER PRIMARY KEY) STRICT;";

const LOGGED: &[LoggedTable] = &[
    LoggedTable {
        number: 1,
        name: "item",
        columns: &[("id", ColumnKind::Integer), ("name", ColumnKind::Text)],
        whole: false,
    },
    LoggedTable {
        number: 2,
        name: "setting",
        columns: &[("name", ColumnKind::Text), ("value", ColumnKind::Blob)],
        whole: true,
    },
];

fn open_as(
    folder: &tempfile::TempDir,
    replication: Option<Replication>,
    clock: SharedClock,
) -> Arc<Store> {
    let options = StoreOptions {
        replication,
        ..StoreOptions::default()
    };
    let lock = FolderLock::take(folder.path()).unwrap();
    let migrations = &[TABLES, CHANGE_TABLES];
    Arc::new(Store::open(lock, migrations, options, StoreMetrics::default(), clock).unwrap())
}

fn open(folder: &tempfile::TempDir, waits: Option<Option<Wait>>) -> Arc<Store> {
    let replication = waits.map(|waits| Replication {
        tables: LOGGED,
        waits,
    });
    open_as(folder, replication, SystemClock::shared())
}

async fn execute(store: &Store, sql: &'static str) -> Result<(), StoreError> {
    store
        .write(move |connection| Ok(connection.execute_batch(sql)?))
        .await
}

async fn logged(store: &Store) -> Vec<(i64, Option<i64>)> {
    let after = |connection: &Connection| ChangeLog(connection).after(0, 1000);
    let changes = store.read::<_, StoreError>(after).await.unwrap();
    changes
        .iter()
        .map(|change| (change.table, change.row))
        .collect()
}

async fn state(store: &Store) -> LogState {
    let state = |connection: &Connection| ChangeLog(connection).state();
    store.read::<_, StoreError>(state).await.unwrap().unwrap()
}

#[tokio::test]
async fn every_change_of_a_logged_table_is_in_the_log_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Some(None));
    let newest = store.newest_change().unwrap();
    for (sql, expected) in [
        ("INSERT INTO item VALUES (7, 'a')", vec![(1, Some(7))]),
        ("UPDATE item SET name = 'b'", vec![(1, Some(7))]),
        ("UPDATE item SET id = 8", vec![(1, Some(8)), (1, Some(7))]),
        (
            "INSERT OR REPLACE INTO item VALUES (9, 'b')",
            vec![(1, Some(8)), (1, Some(9))],
        ),
        (
            "INSERT INTO item VALUES (9, 'c') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            vec![(1, Some(9))],
        ),
        ("DELETE FROM item", vec![(1, Some(9))]),
        ("INSERT INTO setting VALUES ('s', x'00')", vec![(2, None)]),
        (
            "REPLACE INTO setting VALUES ('s', x'01')",
            vec![(2, None); 2],
        ),
        ("UPDATE setting SET value = x'02'", vec![(2, None)]),
        ("DELETE FROM setting", vec![(2, None)]),
        ("INSERT INTO silent VALUES (1)", vec![]),
    ] {
        let before = state(&store).await.newest;
        execute(&store, sql).await.unwrap();
        let changes = logged(&store).await;
        let new = changes.get(usize::try_from(before).unwrap()..).unwrap();
        let (mut new, mut expected) = (new.to_vec(), expected);
        new.sort_unstable();
        expected.sort_unstable();
        assert_eq!(new, expected, "{sql}");
        assert_eq!(*newest.borrow(), state(&store).await.newest, "{sql}");
    }
}

#[tokio::test]
async fn what_a_job_undoes_is_not_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Some(None));
    let before = state(&store).await;
    let undone = execute(
        &store,
        "INSERT INTO item VALUES (1, 'a'); INSERT INTO item VALUES (1, 'a')",
    );
    assert!(undone.await.is_err());
    assert_eq!(state(&store).await, before);
}

#[tokio::test]
async fn a_database_without_replication_has_no_triggers_and_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, None);
    execute(&store, "INSERT INTO item VALUES (1, 'a')")
        .await
        .unwrap();
    let rows = "SELECT (SELECT count(*) FROM change) + (SELECT count(*) FROM replication)
        + (SELECT count(*) FROM temp.sqlite_schema)";
    let found: i64 = store
        .write(move |connection| -> Result<i64, StoreError> {
            Ok(connection.query_row(rows, [], |row| row.get(0))?)
        })
        .await
        .unwrap();
    assert_eq!(found, 0);
    assert!(store.newest_change().is_none());
}

#[tokio::test]
async fn changes_that_nobody_logged_end_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Some(None));
    execute(&store, "INSERT INTO item VALUES (1, 'a')")
        .await
        .unwrap();
    let acknowledged = state(&store).await.newest;
    store
        .write_log(move |log| log.acknowledge(acknowledged))
        .await
        .unwrap();
    store.close().await;
    drop(store);
    // Again with the log: it goes on where it was.
    let store = open(&folder, Some(None));
    assert_eq!(state(&store).await.start, acknowledged);
    let mark = state(&store).await.mark;
    store.close().await;
    drop(store);

    let store = open(&folder, None);
    execute(&store, "INSERT INTO item VALUES (2, 'b')")
        .await
        .unwrap();
    store.close().await;
    drop(store);
    let store = open(&folder, Some(None));
    let after = state(&store).await;
    assert!(
        after.start > acknowledged && after.start == after.newest,
        "{after:?}"
    );
    assert_eq!(after.acknowledged, acknowledged);
    // The position is still known to be of this history.
    let kept = |connection: &Connection| ChangeLog(connection).mark(acknowledged);
    assert_eq!(store.read::<_, StoreError>(kept).await.unwrap(), Some(mark));
}

#[tokio::test]
async fn a_log_goes_on_after_the_change_that_a_replica_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, None);
    let begun = |connection: &Connection| ChangeLog(connection).begin_after(70, [7; 8]);
    store.write::<_, StoreError>(begun).await.unwrap();
    let begun = LogState {
        start: 70,
        newest: 70,
        mark: [7; 8],
        acknowledged: 70,
    };
    assert_eq!(state(&store).await, begun);
    store.close().await;
    drop(store);
    let store = open(&folder, Some(None));
    execute(&store, "INSERT INTO item VALUES (1, 'a')")
        .await
        .unwrap();
    let state = state(&store).await;
    // What happened between is not in it.
    assert!(state.start > 70 && state.newest > state.start, "{state:?}");
    assert_eq!(state.acknowledged, 70);
}

#[test]
fn a_schema_without_a_log_has_no_newest_change() {
    let database = Connection::open_in_memory().unwrap();
    assert_eq!(ChangeLog(&database).newest().unwrap(), None);
    database.execute_batch(CHANGE_TABLES).unwrap();
    assert_eq!(ChangeLog(&database).newest().unwrap(), None);
    ChangeLog(&database).begin_after(3, [0; 8]).unwrap();
    assert_eq!(ChangeLog(&database).newest().unwrap(), Some(3));
}

#[tokio::test]
async fn what_the_replica_has_is_forgotten_but_for_its_mark() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Some(None));
    execute(
        &store,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)
         INSERT INTO item SELECT i, i FROM n",
    )
    .await
    .unwrap();
    let newest = state(&store).await.newest;
    store.write_log(|log| log.acknowledge(5)).await.unwrap();
    assert!(!store.write_log(|log| log.prune()).await.unwrap());
    assert_eq!(state(&store).await.start, 5);
    let oldest = |connection: &Connection| ChangeLog(connection).after(0, 1);
    let first = store.read::<_, StoreError>(oldest).await.unwrap();
    assert_eq!(first.first().unwrap().seq, 5);

    // Cut off: the newest change and the marks at the ends of the gap stay.
    store.write_log(|log| log.cut()).await.unwrap();
    while store.write_log(|log| log.prune()).await.unwrap() {}
    let cut = state(&store).await;
    assert_eq!(
        (cut.start, cut.newest, cut.acknowledged),
        (newest, newest, 5)
    );
    let count = |connection: &Connection| -> Result<i64, StoreError> {
        Ok(connection.query_row("SELECT count(*) FROM change", [], |row| row.get(0))?)
    };
    assert!(store.read(count).await.unwrap() < 2 * KEPT_MARKS + 10);
}

const PATIENCE: Duration = Duration::from_secs(10);

/// A store whose writes wait, with a clock that a test moves.
fn waiting(folder: &tempfile::TempDir, on_outage: OnOutage) -> Arc<Store> {
    let waits = Some(Wait {
        timeout: PATIENCE,
        on_outage,
    });
    let tables = LOGGED;
    open_as(
        folder,
        Some(Replication { tables, waits }),
        ManualClock::shared(),
    )
}

/// Gives a write and returns once it is committed here.
async fn give(
    store: &Arc<Store>,
    sql: &'static str,
) -> tokio::task::JoinHandle<Result<(), StoreError>> {
    let mut newest = store.newest_change().unwrap();
    newest.mark_unchanged();
    let write = tokio::spawn({
        let store = store.clone();
        async move { execute(&store, sql).await }
    });
    newest.changed().await.unwrap();
    write
}

#[tokio::test]
async fn a_write_is_answered_when_the_replica_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = waiting(&folder, OnOutage::Refuse);
    // Nobody ships yet.
    execute(&store, "INSERT INTO item VALUES (1, 'a')")
        .await
        .unwrap();
    let reached = state(&store).await.newest;
    store.replica_stands(ReplicaStanding::Has(reached));
    let write = give(&store, "INSERT INTO item VALUES (2, 'b')").await;
    // A refusal that rests on that write waits for it too, and what keeps the log does not.
    let second = tokio::spawn({
        let store = store.clone();
        async move { execute(&store, "INSERT INTO item VALUES (2, 'b')").await }
    });
    store.write_log(|log| log.prune()).await.unwrap();
    assert!(!write.is_finished() && !second.is_finished());
    store.replica_stands(ReplicaStanding::Has(reached + 1));
    write.await.unwrap().unwrap();
    assert!(matches!(
        second.await.unwrap(),
        Err(StoreError::Database(_))
    ));
}

#[tokio::test]
async fn an_outage_degrades_or_refuses_as_configured() {
    for on_outage in [OnOutage::Degrade, OnOutage::Refuse] {
        let folder = tempfile::tempdir().unwrap();
        let store = waiting(&folder, on_outage);
        store.replica_stands(ReplicaStanding::Has(state(&store).await.newest));
        let write = give(&store, "INSERT INTO item VALUES (1, 'a')").await;
        store.replica_stands(ReplicaStanding::Away);
        let during = write.await.unwrap();
        let later = execute(&store, "INSERT INTO item VALUES (2, 'b')").await;
        let rows = logged(&store).await.len();
        match on_outage {
            OnOutage::Degrade => assert!(during.is_ok() && later.is_ok() && rows == 3),
            OnOutage::Refuse => {
                assert!(matches!(during, Err(StoreError::ReplicaAway)), "{during:?}");
                assert!(matches!(later, Err(StoreError::ReplicaAway)), "{later:?}");
                assert_eq!(rows, 2, "a refused write is not begun");
            }
        }
        store.replica_stands(ReplicaStanding::Has(state(&store).await.newest + 1));
        execute(&store, "INSERT INTO item VALUES (3, 'c')")
            .await
            .unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn a_replica_that_does_not_keep_up_is_not_waited_for_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::shared();
    let waits = Some(Wait {
        timeout: PATIENCE,
        on_outage: OnOutage::Refuse,
    });
    let tables = LOGGED;
    let store = open_as(&folder, Some(Replication { tables, waits }), clock.clone());
    let reached = state(&store).await.newest;
    store.replica_stands(ReplicaStanding::Has(reached));
    let write = give(&store, "INSERT INTO item VALUES (1, 'a')").await;
    store.replica_stands(ReplicaStanding::Has(reached + 1));
    write.await.unwrap().unwrap();
    // A long time in which nothing waited is not counted.
    clock.advance(PATIENCE * 2);
    let write = give(&store, "INSERT INTO item VALUES (2, 'b')").await;
    let reached = reached + 1;
    store.replica_stands(ReplicaStanding::Has(reached));
    store.write_log(|log| log.prune()).await.unwrap();
    assert!(!write.is_finished());
    // Said again, so that the thread looks at the clock.
    while !write.is_finished() {
        clock.advance(PATIENCE);
        store.replica_stands(ReplicaStanding::Has(reached));
        tokio::task::yield_now().await;
    }
    assert!(matches!(write.await.unwrap(), Err(StoreError::ReplicaAway)));
}
