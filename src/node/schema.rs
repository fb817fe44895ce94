//! The database's schema: every room's tables in one line of migrations.
//!
//! Append-only: a migration that was released is never changed, moved or removed; its number is the schema version
//! that other programs and backups know.

use crate::backup::BACKUP_TABLE;
use crate::shares::SHARE_TABLES;
use crate::store::{NODE_TABLES, TIMELINE_TABLE};
use crate::tls::TLS_TABLES;

/// All migrations, oldest first.
pub const MIGRATIONS: &[&str] = &[
    NODE_TABLES,
    SHARE_TABLES,
    TIMELINE_TABLE,
    BACKUP_TABLE,
    TLS_TABLES,
];
