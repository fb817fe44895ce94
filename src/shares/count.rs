//! The table `share_count`.

use rusqlite::Connection;

use super::CurveType;
use crate::identity::AuthType;
use crate::store::StoreError;

/// How many shares of one curve the users of one provider have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareCount {
    /// The provider.
    pub auth_type: AuthType,
    /// The curve.
    pub curve: CurveType,
    /// The number of shares.
    pub shares: u64,
}

pub(super) fn add_one(
    connection: &Connection,
    auth_type: &AuthType,
    curve: CurveType,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO share_count (auth_type, curve_type, shares) VALUES (?1, ?2, 1)
             ON CONFLICT DO UPDATE SET shares = shares + 1",
        )?
        .execute([auth_type.as_str(), curve.as_str()])?;
    Ok(())
}

pub(super) fn read(connection: &Connection) -> Result<Vec<ShareCount>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT auth_type, curve_type, shares FROM share_count")?;
    let mut rows = statement.query([])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        let curve: String = row.get(1)?;
        counts.push(ShareCount {
            auth_type: AuthType::from_stored(&row.get::<_, String>(0)?),
            curve: CurveType::from_name(&curve)
                .ok_or_else(|| StoreError::Damaged(format!("shares of the curve '{curve}'")))?,
            shares: row.get(2)?,
        });
    }
    Ok(counts)
}
