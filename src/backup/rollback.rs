//! Going back to an older schema with all that is in the database today.
//!
//! Restoring the backup from before a migration would lose what was registered since. So the migrations are undone, on a
//! working copy: today's data is saved first; then a copy of it is brought down and verified; and only then, as at a
//! restore, one step puts it in the place of the database. A crash leaves the one or the other.
//!
//! It is no restore: nothing is lost, so the timeline goes on, and so do open commit-reveal sessions.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use uuid::Uuid;

use super::candidate::Begun;
use super::copy::copy;
use super::history::History;
use super::keeper::Turn;
use super::pace::Pace;
use super::progress::Watch;
use super::verify::{Checked, Owner, Tables, tables};
use super::{BackupError, Contents, Keeper, Kind, Progress, Record, Summary, space};
use crate::audit::{Action, Actor, Chain, Entry};
use crate::clock::Timestamp;
use crate::store::{
    DATABASE_FILE, FolderLock, StoreError, WayDown, migrate, migrate_down, open_detached,
    schema_text,
};

/// What a rollback did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackReport {
    /// The schema until then.
    pub from: usize,
    /// The schema from then on.
    pub to: usize,
    /// What the database held before.
    pub before: Summary,
    /// What it holds now: the same.
    pub after: Summary,
    /// The backup of the data as it was before.
    pub saved: PathBuf,
}

/// A database brought down and verified, about to take the place of today's. Dropping it leaves everything as it is.
#[derive(Debug)]
pub struct PreparedRollback {
    folder: FolderLock,
    report: RollbackReport,
    _copy: Begun,
    _turn: Turn,
}

impl PreparedRollback {
    /// Puts it in the database's place, for good.
    ///
    /// # Errors
    /// [`StoreError`]: either nothing is changed, or whoever takes the folder next finishes it.
    pub fn decide(self) -> Result<RollbackReport, StoreError> {
        self.folder.decide_replacement()?;
        self.folder.finish_replacement()?;
        let RollbackReport {
            from, to, saved, ..
        } = &self.report;
        tracing::warn!(from, to, saved = %saved.display(), "the database was brought down to an older schema; nothing in it was lost");
        Ok(self.report)
    }
}

/// What is brought down.
struct Descent<'a> {
    database: &'a Path,
    folder: &'a FolderLock,
    owner: Owner<'a>,
    contents: &'a dyn Contents,
    migrations: &'a [&'a str],
    ways_down: &'a [WayDown],
    target: usize,
    saved: &'a Record,
    actor: &'a Actor,
    now: Timestamp,
    watch: &'a Watch,
}

impl Keeper {
    /// Saves the data in a folder whose node is stopped, and brings a copy of it down to the schema `target`, as `actor`
    /// wants it.
    ///
    /// # Errors
    /// [`BackupError`]: the data is as it was.
    pub async fn prepare_rollback(
        &self,
        folder: FolderLock,
        target: usize,
        ways_down: &'static [WayDown],
        actor: &Actor,
        progress: &Progress,
    ) -> Result<PreparedRollback, BackupError> {
        let turn = self.turn().await?;
        let node = folder.node_id()?;
        let saved = self.save_before_rollback(&folder, node, progress).await?;
        let (shared, watch) = (self.0.clone(), self.watch(progress, Pace::Fast));
        let (of, actor) = (folder.clone(), actor.clone());
        let prepared = self.in_background(move || {
            let secret = shared.secret()?;
            descend(&Descent {
                database: &of.path().join(DATABASE_FILE),
                folder: &of,
                owner: secret.owner(node),
                contents: &*shared.options.contents,
                migrations: shared.options.migrations,
                ways_down,
                target,
                saved: &saved,
                actor: &actor,
                now: shared.clock.now(),
                watch: &watch,
            })
        });
        let (copy, report) = prepared.await?;
        Ok(PreparedRollback {
            folder,
            report,
            _copy: copy,
            _turn: turn,
        })
    }

    async fn save_before_rollback(
        &self,
        folder: &FolderLock,
        node: Option<Uuid>,
        progress: &Progress,
    ) -> Result<Record, BackupError> {
        let record = self.begin(Kind::BeforeRollback)?;
        let began = self.0.clock.monotonic();
        let product = self
            .produce(&record, folder.clone(), node, progress)
            .await?;
        self.complete(record, product, began)
    }
}

fn descend(descent: &Descent<'_>) -> Result<(Begun, RollbackReport), BackupError> {
    let path = descent.folder.clear_candidate()?;
    let begun = Begun(descent.folder.clone());
    let bytes = super::make::database_bytes(descent.database);
    // A way down may write every page anew, and keeps the former ones until it is through.
    space::ensure(descent.folder.path(), bytes.saturating_mul(2))?;
    let snapshot = copy(descent.database, &path, descent.watch)?;
    let mut connection = open_detached(&path)?;
    descent.checked(&connection).compare(&snapshot)?;
    let known = descent.migrations.len();
    let found = descent.checked(&connection).schema(known)?;
    if found == known {
        // A history and a log of another schema cannot be written by this program.
        History(&connection).put(descent.saved)?;
        descent.enter(&connection)?;
    }
    let held = tables(&connection)?;
    migrate_down(&mut connection, descent.ways_down, descent.target)?;
    let after = descent.verify(&mut connection, &held)?;
    let before = descent.saved.summary.unwrap_or_default();
    if after != before {
        return Err(descent.failed(format!(
            "users {} became {}, shares {} became {}",
            before.users, after.users, before.shares, after.shares
        )));
    }
    connection
        .close()
        .map_err(|(_, error)| StoreError::from(error))?;
    let flushed = File::open(&path).and_then(|file| file.sync_all());
    flushed.map_err(|error| BackupError::io(&path, error))?;
    let report = RollbackReport {
        from: found,
        to: descent.target,
        before,
        after,
        saved: descent.saved.path.clone(),
    };
    Ok((begun, report))
}

impl Descent<'_> {
    /// Writes it to the audit log, which the older program may know or not.
    fn enter(&self, connection: &Connection) -> Result<(), BackupError> {
        let keys = self.checked(connection).keys(self.owner)?;
        let (from, to) = (self.migrations.len(), self.target);
        let saved = self.saved.path.display();
        let detail = format!("from schema {from} to {to}; the data until then is in {saved}");
        let entry = Entry::done(self.actor, Action::Rollback, detail);
        if let Err(error) = Chain::new(&keys.ring).append(connection, self.now, &entry) {
            tracing::error!(%error, "the rollback is not in the audit log, which cannot be written");
        }
        Ok(())
    }

    /// The database that was brought down is what the older program expects, and holds what it held.
    fn verify(&self, connection: &mut Connection, held: &Tables) -> Result<Summary, BackupError> {
        let checked = self.checked(connection);
        let found = checked.schema(self.target)?;
        checked.pages()?;
        if found != self.target || schema_text(connection)? != self.expected_schema()? {
            return Err(self.failed(format!("it did not become one of schema {}", self.target)));
        }
        for (table, rows) in tables(connection)? {
            let before = held.iter().find(|(name, _)| *name == table);
            if let Some((_, before)) = before.filter(|(_, before)| *before != rows) {
                let what = format!("the table {table} had {before} rows and has {rows}");
                return Err(self.failed(what));
            }
        }
        self.open_rows(connection)
    }

    /// This program's way of reading rows is that of its own schema. So the migrations are made again, and undone with
    /// the transaction.
    fn open_rows(&self, connection: &mut Connection) -> Result<Summary, BackupError> {
        let trial = connection.transaction().map_err(StoreError::from)?;
        for migration in self.migrations.iter().skip(self.target) {
            trial.execute_batch(migration).map_err(StoreError::from)?;
        }
        let checked = self.checked(&trial);
        let keys = checked.keys(self.owner)?;
        checked.rows(self.contents, &keys)
    }

    /// What the migrations up to the target make.
    fn expected_schema(&self) -> Result<Vec<String>, StoreError> {
        let mut empty = Connection::open_in_memory()?;
        let migrations = self.migrations.get(..self.target).unwrap_or_default();
        migrate(&mut empty, migrations)?;
        schema_text(&empty)
    }

    fn checked<'c>(&'c self, connection: &'c Connection) -> Checked<'c> {
        Checked {
            path: self.database,
            connection,
            watch: self.watch,
        }
    }

    fn failed(&self, what: String) -> BackupError {
        BackupError::WayDown {
            target: self.target,
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::AUDIT_TABLES;
    use crate::backup::testing::unwatched;
    use crate::clock::{Clock, ManualClock};
    use crate::crypto::{EncryptionSecret, KeyRing};
    use crate::store::{Keychain, NODE_TABLES, TIMELINE_TABLE};

    const ITEMS: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY) STRICT;";
    const MORE: &str = "ALTER TABLE item ADD COLUMN more INTEGER NOT NULL DEFAULT 7;";
    const ALL: [&str; 6] = [
        NODE_TABLES,
        TIMELINE_TABLE,
        super::super::BACKUP_TABLE,
        AUDIT_TABLES,
        ITEMS,
        MORE,
    ];

    /// Counts what it is told to.
    #[derive(Debug)]
    struct Items;

    impl Contents for Items {
        fn summary(&self, connection: &Connection) -> Result<Summary, StoreError> {
            let sql = "SELECT count(more) FROM item";
            let users = connection.query_row(sql, [], |row| row.get(0))?;
            Ok(Summary {
                users,
                ..Summary::default()
            })
        }

        fn open_all(
            &self,
            _: &Connection,
            _: &KeyRing,
            _: &mut dyn FnMut(u64) -> Result<(), BackupError>,
        ) -> Result<(), BackupError> {
            Ok(())
        }

        fn begin_timeline(&self, _: &Connection) -> Result<(), StoreError> {
            Ok(())
        }
    }

    /// Three items in a database of the newest schema, brought down by `sql`.
    fn brought_down(sql: &'static str) -> Result<(Begun, RollbackReport), BackupError> {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        let database = folder.path().join(DATABASE_FILE);
        let now = ManualClock::shared().now();
        let secret = EncryptionSecret::new(b"a secret of the operator's".to_vec());
        let mut connection = Connection::open(&database).unwrap();
        let id = crate::store::APPLICATION_ID;
        connection
            .pragma_update(None, "application_id", id)
            .unwrap();
        migrate(&mut connection, &ALL).unwrap();
        Keychain(&connection).create(&secret, now).unwrap();
        connection
            .execute_batch("INSERT INTO item (id) VALUES (1), (2), (3)")
            .unwrap();
        let saved = Record {
            summary: Some(Summary {
                users: 3,
                ..Summary::default()
            }),
            ..Record::begin(Uuid::new_v4(), Kind::BeforeRollback, "/b".into(), now)
        };
        let owner = Owner {
            node: None,
            secret: &secret,
            secret_file: Path::new("/secret"),
        };
        let descended = descend(&Descent {
            database: &database,
            folder: &lock,
            owner,
            contents: &Items,
            migrations: &ALL,
            ways_down: &[WayDown { from: 6, sql }],
            target: 5,
            saved: &saved,
            actor: &Actor::Command { user: 0 },
            now,
            watch: &unwatched(),
        });
        if let Ok((_, report)) = &descended {
            let copy = lock.path().join("ksnode.db.candidate");
            let copy = Connection::open(copy).unwrap();
            let count = |sql: &str| -> i64 { copy.query_row(sql, [], |row| row.get(0)).unwrap() };
            assert_eq!(count("SELECT count(*) FROM item"), 3);
            assert_eq!(count("PRAGMA user_version"), 5);
            assert_eq!(count("SELECT count(*) FROM pragma_table_info('item')"), 1);
            assert_eq!(count("SELECT count(*) FROM backup"), 1);
            assert_eq!(
                count("SELECT count(*) FROM audit WHERE action = 'rollback'"),
                1
            );
            assert_eq!((report.from, report.to), (6, 5));
        }
        descended
    }

    #[test]
    fn what_comes_down_holds_what_it_held() {
        let (_copy, report) = brought_down("ALTER TABLE item DROP COLUMN more;").unwrap();
        assert_eq!(report.before, report.after);
    }

    #[test]
    fn a_way_down_that_loses_something_or_leads_elsewhere_is_refused() {
        for (sql, says) in [
            (
                "ALTER TABLE item DROP COLUMN more; DELETE FROM item WHERE id = 2;",
                "the table item had 3 rows and has 2",
            ),
            ("SELECT 1;", "did not become one of schema 5"),
            (
                "ALTER TABLE item DROP COLUMN more; DELETE FROM key_ring WHERE purpose = 'share';",
                "the table key_ring had",
            ),
            ("DROP TABLE none;", "no such table"),
        ] {
            let error = brought_down(sql).unwrap_err().to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
