//! The table `timeline`: the lives of a database.
//!
//! A restore takes a node back to an earlier moment, and what follows is another history than the one that was left.
//! Whoever follows the database from outside (a replica) must not mistake one for the other; so each begins with
//! a random id of its own, and knows which one it came from.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{KeychainError, StoreError};
use crate::clock::Timestamp;
use crate::crypto::random_id;

/// The history since the node began or was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Random.
    pub id: Uuid,
    /// The one it came from; absent for a node's first.
    pub parent: Option<Uuid>,
    /// When it began.
    pub started_at: Timestamp,
}

/// The timelines of one database.
#[derive(Clone, Copy, Debug)]
pub struct Timelines<'a>(pub &'a Connection);

impl Timelines<'_> {
    /// The one that the database lives in; absent before the first start with this schema.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn current(self) -> Result<Option<Timeline>, StoreError> {
        Ok(self
            .0
            .query_row(
                "SELECT timeline_id, parent, started_at FROM timeline ORDER BY id DESC LIMIT 1",
                [],
                read,
            )
            .optional()?)
    }

    /// All of them, in the order in which they became known; the last is the current one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn all(self) -> Result<Vec<Timeline>, StoreError> {
        let sql = "SELECT timeline_id, parent, started_at FROM timeline ORDER BY id";
        let mut statement = self.0.prepare_cached(sql)?;
        let all = statement.query_map([], read)?;
        Ok(all.collect::<Result<_, _>>()?)
    }

    /// The ids of all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn ids(self) -> Result<Vec<Uuid>, StoreError> {
        Ok(self.all()?.iter().map(|timeline| timeline.id).collect())
    }

    /// Begins a new one, which comes from the current one.
    ///
    /// # Errors
    /// [`KeychainError`]: the database's, or the system gave no randomness.
    pub fn begin(self, now: Timestamp) -> Result<Timeline, KeychainError> {
        self.begin_beside(&[], now)
    }

    /// The same when this database takes another's place, whose timelines are `left`: they become known here, so that
    /// who followed them is recognised.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn begin_beside(
        self,
        left: &[Timeline],
        now: Timestamp,
    ) -> Result<Timeline, KeychainError> {
        let timeline = Timeline {
            id: random_id()?,
            parent: self.current()?.map(|current| current.id),
            started_at: now,
        };
        let known = self.ids()?;
        for other in left.iter().filter(|other| !known.contains(&other.id)) {
            self.put(other)?;
        }
        self.put(&timeline)?;
        Ok(timeline)
    }

    fn put(self, timeline: &Timeline) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT INTO timeline (timeline_id, parent, started_at) VALUES (?1, ?2, ?3)",
            params![
                timeline.id.as_bytes(),
                timeline.parent.as_ref().map(Uuid::as_bytes),
                timeline.started_at.as_millis()
            ],
        )?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Timeline> {
    Ok(Timeline {
        id: Uuid::from_bytes(row.get(0)?),
        parent: row.get::<_, Option<[u8; 16]>>(1)?.map(Uuid::from_bytes),
        started_at: Timestamp::from_millis(row.get(2)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::TIMELINE_TABLE;

    #[test]
    fn one_that_is_left_stays_known_and_is_nobodys_parent() {
        let database = || {
            let database = Connection::open_in_memory().unwrap();
            database.execute_batch(TIMELINE_TABLE).unwrap();
            database
        };
        let now = ManualClock::shared().now();
        let (backup, today) = (database(), database());
        let first = Timelines(&backup).begin(now).unwrap();
        Timelines(&today).put(&first).unwrap();
        let left = Timelines(&today).begin(now).unwrap();
        let all = Timelines(&today).all().unwrap();
        let restored = Timelines(&backup).begin_beside(&all, now).unwrap();
        assert_eq!(restored.parent, Some(first.id));
        let ids = Timelines(&backup).ids().unwrap();
        assert_eq!(ids, [first.id, left.id, restored.id]);
        assert_eq!(Timelines(&backup).current().unwrap(), Some(restored));
    }

    #[test]
    fn each_knows_the_one_it_came_from() {
        let database = Connection::open_in_memory().unwrap();
        database.execute_batch(TIMELINE_TABLE).unwrap();
        let timelines = Timelines(&database);
        assert_eq!(timelines.current().unwrap(), None);
        let first = timelines.begin(ManualClock::shared().now()).unwrap();
        let second = timelines.begin(ManualClock::shared().now()).unwrap();
        assert_eq!(first.parent, None);
        assert_eq!(second.parent, Some(first.id));
        assert_eq!(timelines.ids().unwrap(), [first.id, second.id]);
        assert_eq!(timelines.current().unwrap(), Some(second));
    }
}
