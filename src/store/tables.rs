//! This room's tables, for whoever copies them, and whether a database has one.

use rusqlite::Connection;

use super::ColumnKind::{Blob as B, Integer as I, Text as T};
use super::{LoggedTable, StoreError};

/// Whether the database has a table: one of an older schema may lack it.
///
/// # Errors
/// [`StoreError`].
pub fn has_table(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    Ok(connection.query_row(sql, [name], |row| row.get(0))?)
}

/// The tables of this room that make a node what it is. Their numbers are 1 to 9.
pub const STORE_LOGGED: [LoggedTable; 4] = [
    LoggedTable {
        number: 1,
        name: "node",
        columns: &[
            ("id", I),
            ("node_id", B),
            ("salt", B),
            ("memory_kib", I),
            ("passes", I),
            ("lanes", I),
            ("secret_check", B),
            ("created_at", I),
        ],
        whole: true,
    },
    LoggedTable {
        number: 2,
        name: "key_ring",
        columns: &[
            ("purpose", T),
            ("version", I),
            ("state", T),
            ("wrapped", B),
            ("created_at", I),
        ],
        whole: true,
    },
    LoggedTable {
        number: 3,
        name: "node_key",
        columns: &[
            ("version", I),
            ("public_key", B),
            ("ring_version", I),
            ("sealed_seed", B),
            ("created_at", I),
            ("retired_at", I),
        ],
        whole: true,
    },
    LoggedTable {
        number: 4,
        name: "timeline",
        columns: &[
            ("id", I),
            ("timeline_id", B),
            ("parent", B),
            ("started_at", I),
            ("last_change", I),
        ],
        whole: true,
    },
];
