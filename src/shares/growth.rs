//! The table `share_growth`: how many shares there were, day by day.
//!
//! It is of the data that is there: a restore brings back the days that its backup knows, and the days since are gone with
//! the shares of those days. A replica does not have it: no share hangs on it, and each hour would be a change where nothing has
//! changed.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::{CurveType, KeyShares, ShareCount};
use crate::clock::Timestamp;
use crate::identity::AuthType;
use crate::store::StoreError;

/// The table of this file.
pub const GROWTH_TABLE: &str = include_str!("schema/growth.sql");

const DAY_MILLIS: i64 = 86_400_000;
/// How long a day is known: some thousand rows a year.
const KEPT: Duration = Duration::from_secs(5 * 366 * 86_400);

impl KeyShares {
    /// Notes how many shares there are today.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_growth(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.store
            .write(move |connection| note(connection, now))
            .await
    }

    /// How many there were on each day since a moment, oldest first; days on which nobody noted it are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn growth(&self, since: Timestamp) -> Result<Vec<Growth>, StoreError> {
        self.store.read(|connection| read(connection, since)).await
    }
}

/// How many shares there were on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The day's beginning.
    pub day: Timestamp,
    /// The shares at its end, or now.
    pub count: ShareCount,
}

fn day(moment: Timestamp) -> i64 {
    moment.as_millis().div_euclid(DAY_MILLIS)
}

/// Notes how many there are at `now`, over what was noted earlier that day.
fn note(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO share_growth (day, auth_type, curve_type, shares)
         SELECT ?1, auth_type, curve_type, shares FROM share_count WHERE true
         ON CONFLICT DO UPDATE SET shares = excluded.shares",
        [day(now)],
    )?;
    connection.execute(
        "DELETE FROM share_growth WHERE day < ?1",
        [day(now.minus(KEPT))],
    )?;
    Ok(())
}

/// The days since a moment, oldest first.
fn read(connection: &Connection, since: Timestamp) -> Result<Vec<Growth>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT day, auth_type, curve_type, shares FROM share_growth WHERE day >= ?1
         ORDER BY day, auth_type, curve_type",
    )?;
    let mut rows = statement.query(params![day(since)])?;
    let mut growth = Vec::new();
    while let Some(row) = rows.next()? {
        let curve: String = row.get(2)?;
        let count = ShareCount {
            auth_type: AuthType::from_stored(&row.get::<_, String>(1)?),
            curve: CurveType::from_name(&curve)
                .ok_or_else(|| StoreError::Damaged(format!("shares of the curve '{curve}'")))?,
            shares: row.get(3)?,
        };
        let day: i64 = row.get(0)?;
        growth.push(Growth {
            day: Timestamp::from_millis(day.saturating_mul(DAY_MILLIS)),
            count,
        });
    }
    Ok(growth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares::{SHARE_TABLES, count};

    const NOON: Timestamp = Timestamp::from_millis(20_000 * DAY_MILLIS + DAY_MILLIS / 2);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_day_has_the_number_of_its_end_and_old_days_go() {
        let database = Connection::open_in_memory().unwrap();
        database.execute_batch(SHARE_TABLES).unwrap();
        database.execute_batch(GROWTH_TABLE).unwrap();
        let google = AuthType::from_stored("google");
        let add = || count::add_one(&database, &google, CurveType::Ed25519).unwrap();
        note(&database, NOON).unwrap();
        assert_eq!(read(&database, NOON).unwrap(), []);
        add();
        note(&database, NOON).unwrap();
        add();
        note(&database, NOON.plus(DAY / 4)).unwrap();
        add();
        note(&database, NOON.plus(DAY)).unwrap();
        let shares = |since| -> Vec<(i64, u64)> {
            let growth = read(&database, since).unwrap();
            let of = |day: &Growth| (day.day.as_millis() / DAY_MILLIS, day.count.shares);
            growth.iter().map(of).collect()
        };
        assert_eq!(shares(NOON), [(20_000, 2), (20_001, 3)]);
        assert_eq!(shares(NOON.plus(DAY)), [(20_001, 3)]);
        note(&database, NOON.plus(KEPT).plus(DAY)).unwrap();
        assert_eq!(shares(NOON), [(20_001, 3), (21_831, 3)]);
    }
}
