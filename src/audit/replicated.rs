//! This room's tables, for whoever copies them: the log survives its machine.

use crate::store::ColumnKind::{Blob as B, Integer as I, Text as T};
use crate::store::LoggedTable;

/// The tables of this room. Their numbers are 40 to 49.
pub const AUDIT_LOGGED: [LoggedTable; 2] = [
    LoggedTable {
        number: 40,
        name: "audit",
        columns: &[
            ("seq", I),
            ("at", I),
            ("actor", T),
            ("actor_detail", T),
            ("action", T),
            ("outcome", T),
            ("detail", T),
            ("key_version", I),
            ("mac", B),
        ],
        whole: false,
    },
    LoggedTable {
        number: 41,
        name: "audit_head",
        columns: &[
            ("id", I),
            ("anchor_seq", I),
            ("anchor_mac", B),
            ("last_seq", I),
            ("last_mac", B),
            ("key_version", I),
            ("mac", B),
        ],
        whole: true,
    },
];
