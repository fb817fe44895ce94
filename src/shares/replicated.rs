//! What of this room's tables a replica has. Sessions are not in it: they live for minutes, and a restore ends them.

use crate::store::ColumnKind::{Blob as B, Integer as I, Text as T};
use crate::store::LoggedTable;

/// Users and their shares. Their numbers are 10 to 19.
pub const SHARE_LOGGED: [LoggedTable; 2] = [
    LoggedTable {
        number: 10,
        name: "user",
        columns: &[
            ("id", I),
            ("user_id", B),
            ("auth_type", T),
            ("identifier", B),
            ("created_at", I),
        ],
        whole: false,
    },
    LoggedTable {
        number: 11,
        name: "wallet",
        columns: &[
            ("id", I),
            ("wallet_id", B),
            ("user", I),
            ("curve_type", T),
            ("public_key", B),
            ("share_id", B),
            ("key_version", I),
            ("sealed", B),
            ("created_at", I),
            ("updated_at", I),
            ("reshared_at", I),
        ],
        whole: false,
    },
];

/// Fills the tables that follow from those: the number of shares.
pub const SHARE_DERIVED: &str = "INSERT INTO share_count (auth_type, curve_type, shares)
    SELECT user.auth_type, wallet.curve_type, count(*) FROM wallet JOIN user ON user.id = wallet.user
    WHERE wallet.share_id IS NOT NULL GROUP BY 1, 2;";
