//! The database's schema: every room's tables in one line of migrations, and the ways back.
//!
//! Append-only: a migration that was released is never changed, moved or removed; its number is the schema version
//! that other programs and backups know. `tests/golden/releases` has a database of each release, and a test compares.
//!
//! A migration that comes after the first release gets a way down beside it: going back to the version before an upgrade
//! must lose no acknowledged share, and restoring the backup made before the upgrade loses what was registered since. A
//! way down undoes its migration on existing data, and what the old program must know goes with it. Foreign keys are off
//! while it runs, so that it may rebuild tables, and are checked after it.
//!
//! With the feature `rehearsal` there is one migration more, so that tests can upgrade to a next release and come back
//! from it. It is never on in a release.

use crate::audit::AUDIT_TABLES;
use crate::backup::BACKUP_TABLE;
use crate::config::{self, ReplicaAck};
use crate::oko::{IMPORT_LOGGED, IMPORT_TABLES};
use crate::replica::{Rebuild, ReplicaOptions};
use crate::shares::{GROWTH_TABLE, SHARE_DERIVED, SHARE_LOGGED, SHARE_TABLES};
use crate::store::{
    CHANGE_TABLES, LoggedTable, NODE_TABLES, Replication, STORE_LOGGED, StoreOptions,
    TIMELINE_TABLE, Wait, WayDown,
};
use crate::tls::{TLS_LOGGED, TLS_TABLES};

/// All migrations, oldest first.
pub const MIGRATIONS: &[&str] = &[
    NODE_TABLES,
    SHARE_TABLES,
    TIMELINE_TABLE,
    BACKUP_TABLE,
    TLS_TABLES,
    CHANGE_TABLES,
    IMPORT_TABLES,
    GROWTH_TABLE,
    AUDIT_TABLES,
    #[cfg(feature = "rehearsal")]
    include_str!("schema/rehearsal.sql"),
];

/// The ways down, oldest first. The schemas before the first release have none: nobody has programs of them to go back to.
pub const WAYS_DOWN: &[WayDown] = &[
    #[cfg(feature = "rehearsal")]
    WayDown {
        from: MIGRATIONS.len(),
        sql: include_str!("schema/rehearsal.down.sql"),
    },
];

/// The oldest schema that this program reads: it migrates what is older than its own.
pub const OLDEST_SCHEMA: usize = 1;

/// Every table that a replica has: all that a node cannot be rebuilt without.
pub const LOGGED: &[LoggedTable] = &[
    STORE_LOGGED[0],
    STORE_LOGGED[1],
    STORE_LOGGED[2],
    STORE_LOGGED[3],
    SHARE_LOGGED[0],
    SHARE_LOGGED[1],
    TLS_LOGGED[0],
    TLS_LOGGED[1],
    IMPORT_LOGGED[0],
    IMPORT_LOGGED[1],
];

/// What a database is rebuilt with.
pub(super) const REBUILD: Rebuild = Rebuild {
    migrations: MIGRATIONS,
    tables: LOGGED,
    derived: SHARE_DERIVED,
};

/// How the store is opened with this configuration.
pub(super) fn store_options(replica: Option<&config::Replica>) -> StoreOptions {
    let replication = replica.map(|replica| Replication {
        tables: LOGGED,
        waits: (replica.ack == ReplicaAck::Replica).then_some(Wait {
            timeout: replica.ack_timeout,
            on_outage: replica.on_outage,
        }),
    });
    StoreOptions {
        replication,
        ..StoreOptions::default()
    }
}

/// What is replicated with this configuration.
pub(super) fn replica_options(replica: &config::Replica) -> ReplicaOptions {
    let schema = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    ReplicaOptions::new(replica, LOGGED, schema)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::{ColumnKind, migrate, migrate_down, schema_text};

    #[test]
    fn each_way_down_leads_to_what_the_migrations_before_it_make() {
        for way in WAYS_DOWN {
            let mut there_and_back = rusqlite::Connection::open_in_memory().unwrap();
            migrate(&mut there_and_back, &MIGRATIONS[..way.from]).unwrap();
            migrate_down(&mut there_and_back, WAYS_DOWN, way.from - 1).unwrap();
            let mut before = rusqlite::Connection::open_in_memory().unwrap();
            migrate(&mut before, &MIGRATIONS[..way.from - 1]).unwrap();
            assert_eq!(
                schema_text(&there_and_back).unwrap(),
                schema_text(&before).unwrap(),
                "from {}",
                way.from
            );
        }
    }

    #[test]
    fn ways_down_are_of_migrations_there_are_and_in_order() {
        let from: Vec<usize> = WAYS_DOWN.iter().map(|way| way.from).collect();
        assert!(from.is_sorted_by(|a, b| a < b), "{from:?}");
        let known = OLDEST_SCHEMA + 1..=MIGRATIONS.len();
        assert!(from.iter().all(|from| known.contains(from)), "{from:?}");
    }

    /// Tables that are left out with a reason: counts and passes are made again, sessions end at a restore, attempts,
    /// backups, the audit log (crate::audit says why) and the log itself are this machine's, and nothing hangs on how many shares there once were.
    const LEFT_OUT: &[&str] = &[
        "share_count",
        "share_growth",
        "reseal",
        "session",
        "session_call",
        "backup",
        "tls_attempt",
        "change",
        "replication",
        "left_change",
        "audit",
        "audit_head",
    ];

    #[test]
    fn every_column_of_every_table_is_replicated_or_left_out_on_purpose() {
        let database = rusqlite::Connection::open_in_memory().unwrap();
        for sql in MIGRATIONS {
            database.execute_batch(sql).unwrap();
        }
        let mut names = database
            .prepare(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
            )
            .unwrap();
        let names = names.query_map([], |row| row.get(0)).unwrap();
        let names: BTreeSet<String> = names.map(Result::unwrap).collect();
        let known = LOGGED
            .iter()
            .map(|table| table.name)
            .chain(LEFT_OUT.iter().copied());
        assert_eq!(names, known.map(str::to_owned).collect());
        for table in LOGGED {
            let mut columns = database
                .prepare("SELECT name, type FROM pragma_table_info(?1)")
                .unwrap();
            let columns = columns.query_map([table.name], |row| Ok((row.get(0)?, row.get(1)?)));
            let columns: Vec<(String, String)> = columns.unwrap().map(Result::unwrap).collect();
            let listed = table.columns.iter().map(|(name, kind)| {
                let kind = match kind {
                    ColumnKind::Integer => "INTEGER",
                    ColumnKind::Text => "TEXT",
                    ColumnKind::Blob => "BLOB",
                };
                ((*name).to_owned(), kind.to_owned())
            });
            assert_eq!(columns, listed.collect::<Vec<_>>(), "{}", table.name);
        }
        let numbers: BTreeSet<i64> = LOGGED.iter().map(|table| table.number).collect();
        assert_eq!(numbers.len(), LOGGED.len());
        assert!(!numbers.contains(&0));
    }
}
