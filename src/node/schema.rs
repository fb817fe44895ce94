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

use crate::backup::BACKUP_TABLE;
use crate::shares::SHARE_TABLES;
use crate::store::{NODE_TABLES, TIMELINE_TABLE, WayDown};
use crate::tls::TLS_TABLES;

/// All migrations, oldest first.
pub const MIGRATIONS: &[&str] = &[
    NODE_TABLES,
    SHARE_TABLES,
    TIMELINE_TABLE,
    BACKUP_TABLE,
    TLS_TABLES,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{migrate, migrate_down, schema_text};

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
}
