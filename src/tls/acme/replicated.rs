//! What of this room's tables a replica has: not the attempts, which say nothing on another machine.

use crate::store::ColumnKind::{Blob as B, Integer as I, Text as T};
use crate::store::LoggedTable;

/// Accounts and certificates. Their numbers are 20 to 29.
pub const TLS_LOGGED: [LoggedTable; 2] = [
    LoggedTable {
        number: 20,
        name: "tls_account",
        columns: &[
            ("directory", T),
            ("contact", B),
            ("key_version", I),
            ("sealed", B),
        ],
        whole: true,
    },
    LoggedTable {
        number: 21,
        name: "tls_certificate",
        columns: &[
            ("directory", T),
            ("domains", T),
            ("key_version", I),
            ("sealed", B),
            ("issued_at", I),
        ],
        whole: true,
    },
];
