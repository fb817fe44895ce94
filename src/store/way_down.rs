//! Undoing migrations.
//!
//! A list of its own beside the migrations, and not rusqlite_migration's `M::down`: most migrations have no way down, and
//! every room that migrates would have to carry the ways down along.

use rusqlite::Connection;

use super::StoreError;

/// What undoes one migration on data that is there.
#[derive(Clone, Copy, Debug)]
pub struct WayDown {
    /// The schema that it leaves; it leads to the one before.
    pub from: usize,
    /// What it does.
    pub sql: &'static str,
}

/// Brings a database down to an older schema, as one transaction. Foreign keys are not looked after meanwhile, so that
/// tables can be rebuilt: they are to be checked.
///
/// # Errors
/// [`StoreError::NoWayDown`], [`StoreError::Database`]: it is as it was.
pub fn migrate_down(
    connection: &mut Connection,
    ways: &[WayDown],
    target: usize,
) -> Result<(), StoreError> {
    let found: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let steps = steps_down(ways, found, target)?;
    // Nothing happens when it is set within a transaction.
    connection.pragma_update(None, "foreign_keys", false)?;
    let done = run(connection, &steps, target);
    connection.pragma_update(None, "foreign_keys", true)?;
    done
}

/// The ways down from one schema to another, in their order.
///
/// # Errors
/// [`StoreError::NoWayDown`].
pub fn steps_down(
    ways: &[WayDown],
    found: usize,
    target: usize,
) -> Result<Vec<WayDown>, StoreError> {
    let of = |from: usize| ways.iter().find(|way| way.from == from).copied();
    (target.saturating_add(1)..=found)
        .rev()
        .map(|from| of(from).ok_or(StoreError::NoWayDown { from }))
        .collect()
}

fn run(connection: &mut Connection, steps: &[WayDown], target: usize) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    for step in steps {
        transaction.execute_batch(step.sql)?;
    }
    transaction.pragma_update(None, "user_version", target)?;
    Ok(transaction.commit()?)
}

/// The statements that make all tables and indexes of a database, in an order and with white space that do not depend
/// on how it came to be.
///
/// # Errors
/// [`StoreError::Database`].
pub fn schema_text(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY type, name",
    )?;
    let texts = statement.query_map([], |row| row.get::<_, String>(0))?;
    texts
        .map(|text| Ok(text?.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migrate;

    const UP: [&str; 3] = [
        "CREATE TABLE one (id INTEGER PRIMARY KEY) STRICT;
         CREATE TABLE of_one (one INTEGER NOT NULL REFERENCES one (id) ON DELETE CASCADE) STRICT;
         INSERT INTO one VALUES (1); INSERT INTO of_one VALUES (1);",
        "CREATE TABLE two (id INTEGER PRIMARY KEY) STRICT;",
        "ALTER TABLE one ADD COLUMN more TEXT;",
    ];
    const DOWN: [WayDown; 2] = [
        WayDown {
            from: 2,
            sql: "DROP TABLE two;",
        },
        WayDown {
            from: 3,
            // As SQLite's documentation tells to change a table in any way.
            sql: "CREATE TABLE new (id INTEGER PRIMARY KEY) STRICT; INSERT INTO new SELECT id FROM one;
                  DROP TABLE one; ALTER TABLE new RENAME TO one;",
        },
    ];

    fn database() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .pragma_update(None, "foreign_keys", true)
            .unwrap();
        migrate(&mut connection, &UP).unwrap();
        connection
    }

    fn number(connection: &Connection, sql: &str) -> i64 {
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn goes_down_step_by_step_and_keeps_the_rows() {
        for target in [2, 1] {
            let mut connection = database();
            migrate_down(&mut connection, &DOWN, target).unwrap();
            assert_eq!(
                number(&connection, "PRAGMA user_version"),
                i64::try_from(target).unwrap()
            );
            assert_eq!(number(&connection, "SELECT count(*) FROM of_one"), 1);
            assert_eq!(
                number(&connection, "SELECT count(*) FROM pragma_foreign_key_check"),
                0
            );
            assert_eq!(number(&connection, "PRAGMA foreign_keys"), 1);
            let text = schema_text(&connection).unwrap().join(";");
            assert_eq!(text.contains("two"), target == 2, "{text}");
            assert!(!text.contains("more"), "{text}");
        }
    }

    #[test]
    fn does_nothing_where_a_way_is_missing_or_fails() {
        let mut connection = database();
        let before = schema_text(&connection).unwrap();
        let error = migrate_down(&mut connection, &DOWN, 0).unwrap_err();
        assert!(
            matches!(error, StoreError::NoWayDown { from: 1 }),
            "{error}"
        );
        let broken = [
            WayDown {
                from: 2,
                sql: "DROP TABLE two; DROP TABLE none;",
            },
            DOWN[1],
        ];
        assert!(migrate_down(&mut connection, &broken, 1).is_err());
        assert_eq!(schema_text(&connection).unwrap(), before);
        assert_eq!(number(&connection, "PRAGMA user_version"), 3);
        assert_eq!(number(&connection, "PRAGMA foreign_keys"), 1);
    }
}
