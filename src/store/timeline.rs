//! The table `timeline`: the lives of a database.
//!
//! A restore takes a node back to an earlier moment, and what follows is another history than the one that was left.
//! Whoever follows the database from outside (a replica) must not mistake one for the other; so each begins with
//! a random id of its own, and knows which one it came from.
//!
//! Of each that was left it is known how far it was held here or saved. On the machine that had the newest data a restore saves
//! them first, and a replica of them may be replaced; a backup on another machine is all that is left there, and a
//! replica that goes further has what is nowhere else. That the replica is of the same history as what was held, and
//! not only shorter, is told by marks (`left`).

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::changes::TABLE;
use super::{ChangeLog, KeychainError, LeftChanges, LeftMarks, StoreError, has_table};
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
    /// The newest change of it that was held here, or saved, when it was left; absent where none is known, and for the
    /// current one.
    pub last_change: Option<i64>,
}

/// What a database that is left for another knows of its timelines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// In the order in which they became known.
    pub timelines: Vec<Timeline>,
    /// Marks of their changes.
    pub marks: Vec<LeftMarks>,
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
                "SELECT timeline_id, parent, started_at, last_change FROM timeline
                 ORDER BY id DESC LIMIT 1",
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
        let sql = "SELECT timeline_id, parent, started_at, last_change FROM timeline ORDER BY id";
        let mut statement = self.0.prepare_cached(sql)?;
        let all = statement.query_map([], read)?;
        Ok(all.collect::<Result<_, _>>()?)
    }

    /// What is known when the current one is left and its changes were not saved.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn left_unsaved(self) -> Result<Left, StoreError> {
        let marks = if has_table(self.0, TABLE)? {
            LeftChanges(self.0).all()?
        } else {
            Vec::new()
        };
        Ok(Left {
            timelines: self.all()?,
            marks,
        })
    }

    /// What is known when the current one is left and its changes are here or saved: its last change is the newest that is
    /// here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn left(self) -> Result<Left, StoreError> {
        let mut left = self.left_unsaved()?;
        if let Some(current) = left.timelines.last_mut() {
            let log = ChangeLog(self.0);
            current.last_change = log.newest()?;
            left.marks.push(LeftMarks {
                timeline: current.id,
                marks: log.marks()?,
            });
        }
        Ok(left)
    }

    /// Begins a new one, which comes from the current one.
    ///
    /// # Errors
    /// [`KeychainError`]: the database's, or the system gave no randomness.
    pub fn begin(self, now: Timestamp) -> Result<Timeline, KeychainError> {
        self.begin_beside(&Left::default(), now)
    }

    /// The same when this database takes another's place, which is `left`: its timelines become known here, with their
    /// last changes and marks, so that who followed them is recognised.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn begin_beside(self, left: &Left, now: Timestamp) -> Result<Timeline, KeychainError> {
        let own = self.left()?;
        let timeline = Timeline {
            id: random_id()?,
            parent: own.timelines.last().map(|current| current.id),
            started_at: now,
            last_change: None,
        };
        let known = own.timelines.iter().chain(&left.timelines);
        known
            .chain([&timeline])
            .try_for_each(|timeline| self.put(timeline))?;
        let mut marks = own.marks.iter().chain(&left.marks);
        marks.try_for_each(|marks| LeftChanges(self.0).put(marks))?;
        Ok(timeline)
    }

    /// Makes a timeline known. Of one that is known already, whoever knows more of it is right.
    fn put(self, timeline: &Timeline) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT INTO timeline (timeline_id, parent, started_at, last_change) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (timeline_id) DO UPDATE SET last_change = max(
                 coalesce(last_change, excluded.last_change), coalesce(excluded.last_change, last_change))",
            params![
                timeline.id.as_bytes(),
                timeline.parent.as_ref().map(Uuid::as_bytes),
                timeline.started_at.as_millis(),
                timeline.last_change,
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
        last_change: row.get(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::{CHANGE_TABLES, TIMELINE_TABLE};

    fn database() -> Connection {
        let database = Connection::open_in_memory().unwrap();
        database.execute_batch(TIMELINE_TABLE).unwrap();
        database
    }

    /// One whose newest change is `newest`.
    fn logging(newest: i64) -> Connection {
        let database = database();
        database.execute_batch(CHANGE_TABLES).unwrap();
        ChangeLog(&database).begin_after(newest, [0; 8]).unwrap();
        database
    }

    /// What a database knows of its timelines' last changes.
    fn last_changes(database: &Connection) -> Vec<Option<i64>> {
        let all = Timelines(database).all().unwrap();
        all.iter().map(|timeline| timeline.last_change).collect()
    }

    fn ids(database: &Connection) -> Vec<Uuid> {
        let all = Timelines(database).all().unwrap();
        all.iter().map(|timeline| timeline.id).collect()
    }

    #[test]
    fn one_that_is_left_stays_known_and_is_nobodys_parent() {
        let now = ManualClock::shared().now();
        let (backup, today) = (database(), database());
        let first = Timelines(&backup).begin(now).unwrap();
        Timelines(&today).put(&first).unwrap();
        let left = Timelines(&today).begin(now).unwrap();
        let all = Timelines(&today).left().unwrap();
        let restored = Timelines(&backup).begin_beside(&all, now).unwrap();
        assert_eq!(restored.parent, Some(first.id));
        assert_eq!(ids(&backup), [first.id, left.id, restored.id]);
        assert_eq!(Timelines(&backup).current().unwrap(), Some(restored));
        // Neither has a change log.
        assert_eq!(last_changes(&backup), [None; 3]);
    }

    #[test]
    fn each_knows_the_one_it_came_from() {
        let database = database();
        let timelines = Timelines(&database);
        assert_eq!(timelines.current().unwrap(), None);
        let first = timelines.begin(ManualClock::shared().now()).unwrap();
        let second = timelines.begin(ManualClock::shared().now()).unwrap();
        assert_eq!(first.parent, None);
        assert_eq!(second.parent, Some(first.id));
        assert_eq!(ids(&database), [first.id, second.id]);
        assert_eq!(timelines.current().unwrap(), Some(second));
    }

    #[test]
    fn whoever_knows_more_of_a_last_change_is_right() {
        for (known, other, expected) in [
            (None, None, None),
            (Some(5), None, Some(5)),
            (None, Some(5), Some(5)),
            (Some(4), Some(5), Some(5)),
            (Some(5), Some(4), Some(5)),
        ] {
            let database = database();
            let now = ManualClock::shared().now();
            let first = Timelines(&database).begin(now).unwrap();
            for last_change in [known, other] {
                let first = Timeline {
                    last_change,
                    ..first.clone()
                };
                Timelines(&database).put(&first).unwrap();
            }
            assert_eq!(last_changes(&database), [expected], "{known:?} {other:?}");
        }
    }

    /// A backup of change 50 is restored over the data it is of, which is at 100, and once more; then on a machine
    /// without data.
    #[test]
    fn what_was_held_or_saved_when_a_timeline_was_left_is_known() {
        let now = ManualClock::shared().now();
        let (backup, today) = (|| logging(50), logging(100));
        let first = Timelines(&today).begin(now).unwrap();
        let restored = |left: &Left| {
            let restored = backup();
            Timelines(&restored).put(&first).unwrap();
            Timelines(&restored).begin_beside(left, now).unwrap();
            restored
        };
        assert_eq!(last_changes(&restored(&Left::default())), [Some(50), None]);
        let second = restored(&Timelines(&today).left().unwrap());
        assert_eq!(last_changes(&second), [Some(100), None]);
        second
            .execute("INSERT INTO change (seq, tbl) VALUES (70, 0)", [])
            .unwrap();
        let third = restored(&Timelines(&second).left().unwrap());
        assert_eq!(last_changes(&third), [Some(100), Some(70), None]);
        // What was not saved does not count, and what was left before does.
        let unsaved = restored(&Timelines(&second).left_unsaved().unwrap());
        assert_eq!(last_changes(&unsaved), [Some(100), None, None]);
    }
}
