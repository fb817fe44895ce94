//! The table `share_growth`: how many shares there were, day by day.
//!
//! It is of the data that is there: a restore brings back the days that its backup knows, and the days since are gone with
//! the shares of those days. A replica does not have it: no share hangs on it, and each hour would be a change where nothing has
//! changed.

use rusqlite::{Connection, params};

use super::{CurveType, KeyShares, ShareCount};
use crate::clock::Timestamp;
use crate::identity::AuthType;
use crate::store::StoreError;

/// The table of this file.
pub const GROWTH_TABLE: &str = include_str!("schema/growth.sql");

const DAY_MILLIS: i64 = 86_400_000;
/// Days that are known, some thousand rows a year. Counted and not by the clock: one that is years ahead for a while takes none.
const KEPT_DAYS: i64 = 5 * 366;

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
        let until = self.clock.now();
        self.store
            .read(|connection| read(connection, since, until))
            .await
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
        "DELETE FROM share_growth WHERE day NOT IN
         (SELECT DISTINCT day FROM share_growth ORDER BY day DESC LIMIT ?1)",
        [KEPT_DAYS],
    )?;
    Ok(())
}

/// The days since a moment, oldest first. Days that have not come were noted by a clock that was wrong.
fn read(
    connection: &Connection,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<Growth>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT day, auth_type, curve_type, shares FROM share_growth WHERE day BETWEEN ?1 AND ?2
         ORDER BY day, auth_type, curve_type",
    )?;
    let mut rows = statement.query(params![day(since), day(until)])?;
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
    use std::time::Duration;

    use super::*;
    use crate::shares::{SHARE_TABLES, count};

    const NOON: Timestamp = Timestamp::from_millis(20_000 * DAY_MILLIS + DAY_MILLIS / 2);
    const DAY: Duration = Duration::from_secs(86_400);

    /// The days since a moment and their numbers, as they are read on the last of them.
    fn shares(database: &Connection, since: Timestamp, until: Timestamp) -> Vec<(i64, u64)> {
        let growth = read(database, since, until).unwrap();
        let of = |day: &Growth| (day.day.as_millis() / DAY_MILLIS, day.count.shares);
        growth.iter().map(of).collect()
    }

    fn database() -> Connection {
        let database = Connection::open_in_memory().unwrap();
        database.execute_batch(SHARE_TABLES).unwrap();
        database.execute_batch(GROWTH_TABLE).unwrap();
        database
    }

    fn add(database: &Connection) {
        let google = AuthType::from_stored("google");
        count::add_one(database, &google, CurveType::Ed25519).unwrap();
    }

    #[test]
    fn a_day_has_the_number_of_its_end() {
        let database = database();
        note(&database, NOON).unwrap();
        assert_eq!(shares(&database, NOON, NOON), []);
        add(&database);
        note(&database, NOON).unwrap();
        add(&database);
        note(&database, NOON.plus(DAY / 4)).unwrap();
        add(&database);
        let next = NOON.plus(DAY);
        note(&database, next).unwrap();
        assert_eq!(shares(&database, NOON, next), [(20_000, 2), (20_001, 3)]);
        assert_eq!(shares(&database, next, next), [(20_001, 3)]);
    }

    #[test]
    fn old_days_go_and_a_clock_that_is_ahead_takes_none() {
        let database = database();
        add(&database);
        note(&database, NOON).unwrap();
        note(&database, NOON.plus(DAY * 20_000)).unwrap();
        assert_eq!(shares(&database, NOON, NOON), [(20_000, 1)]);
        let days = u32::try_from(KEPT_DAYS).unwrap();
        for later in 1..days {
            note(&database, NOON.plus(DAY * later)).unwrap();
        }
        let known = shares(&database, NOON, NOON.plus(DAY * days));
        assert_eq!(known.len(), usize::try_from(KEPT_DAYS).unwrap() - 1);
        assert_eq!(known[0], (20_001, 1));
    }
}
