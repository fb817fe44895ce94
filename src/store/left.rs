//! The table `left_change`: marks of changes in timelines that were left.
//!
//! A number alone does not say that a replica of a timeline that was left has nothing but what was held here or saved. A
//! database that was put back to an older state goes on in its old timeline, but not as the replica has it, and counts
//! past it. So a restore takes over the marks of the log it leaves, and the replica's own must be among them. They are
//! needed until the replica is seen in the current timeline: about as long as a connection takes, and as many as
//! the log was long.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{Mark, StoreError};

/// Marks forgotten in one transaction.
const PIECE: i64 = 10_000;

/// Marks of one timeline's changes, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftMarks {
    /// The timeline.
    pub timeline: Uuid,
    /// Numbers and marks; a number may have several.
    pub marks: Vec<(i64, Mark)>,
}

/// The marks of one database.
#[derive(Clone, Copy, Debug)]
pub struct LeftChanges<'a>(pub &'a Connection);

impl LeftChanges<'_> {
    /// What is kept of a change. `None`: nothing of that timeline so early; the replica was further once, or was seen in a
    /// later timeline.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn kept(self, timeline: Uuid, seq: i64) -> Result<Option<Vec<Mark>>, StoreError> {
        let sql = "SELECT min(seq) <= ?2 FROM left_change JOIN timeline ON timeline.id = timeline
            WHERE timeline_id = ?1";
        let mut statement = self.0.prepare_cached(sql)?;
        let begun: Option<bool> =
            statement.query_row(params![timeline.as_bytes(), seq], |row| row.get(0))?;
        if begun != Some(true) {
            return Ok(None);
        }
        let sql = "SELECT mark FROM left_change JOIN timeline ON timeline.id = timeline
            WHERE timeline_id = ?1 AND seq = ?2";
        let mut statement = self.0.prepare_cached(sql)?;
        let marks = statement.query_map(params![timeline.as_bytes(), seq], |row| row.get(0))?;
        Ok(Some(marks.collect::<Result<_, _>>()?))
    }

    /// All that is kept.
    pub(super) fn all(self) -> Result<Vec<LeftMarks>, StoreError> {
        let sql =
            "SELECT timeline_id, seq, mark FROM left_change JOIN timeline ON timeline.id = timeline
            ORDER BY timeline";
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut all: Vec<LeftMarks> = Vec::new();
        while let Some(row) = rows.next()? {
            let timeline = Uuid::from_bytes(row.get(0)?);
            let mark = (row.get(1)?, row.get(2)?);
            match all.last_mut().filter(|last| last.timeline == timeline) {
                Some(last) => last.marks.push(mark),
                None => all.push(LeftMarks {
                    timeline,
                    marks: vec![mark],
                }),
            }
        }
        Ok(all)
    }

    /// Keeps marks of a timeline that is known here.
    pub(super) fn put(self, left: &LeftMarks) -> Result<(), StoreError> {
        // A schema without a log has no table for marks.
        if left.marks.is_empty() {
            return Ok(());
        }
        let sql = "SELECT id FROM timeline WHERE timeline_id = ?1";
        let mut statement = self.0.prepare_cached(sql)?;
        let known: Option<i64> = statement
            .query_row([left.timeline.as_bytes()], |row| row.get(0))
            .optional()?;
        let Some(timeline) = known else { return Ok(()) };
        let sql = "INSERT OR IGNORE INTO left_change (timeline, seq, mark) VALUES (?1, ?2, ?3)";
        let mut statement = self.0.prepare_cached(sql)?;
        for (seq, mark) in &left.marks {
            statement.execute(params![timeline, seq, mark])?;
        }
        Ok(())
    }

    /// Forgets a piece: the replica was seen in the current timeline. True: there is more of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget(self) -> Result<bool, StoreError> {
        let sql = "DELETE FROM left_change WHERE (timeline, seq, mark) IN (
                SELECT timeline, seq, mark FROM left_change LIMIT ?1)";
        let forgotten = self.0.prepare_cached(sql)?.execute([PIECE])?;
        Ok(i64::try_from(forgotten).is_ok_and(|forgotten| forgotten == PIECE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::{CHANGE_TABLES, TIMELINE_TABLE, Timelines};

    fn database() -> (Connection, Uuid) {
        let database = Connection::open_in_memory().unwrap();
        database.execute_batch(TIMELINE_TABLE).unwrap();
        database.execute_batch(CHANGE_TABLES).unwrap();
        let now = ManualClock::shared().now();
        let timeline = Timelines(&database).begin(now).unwrap().id;
        (database, timeline)
    }

    fn marks(timeline: Uuid, marks: &[(i64, Mark)]) -> LeftMarks {
        LeftMarks {
            timeline,
            marks: marks.to_vec(),
        }
    }

    #[test]
    fn each_mark_of_a_number_is_kept_and_none_before_the_first() {
        let (database, timeline) = database();
        let left = LeftChanges(&database);
        assert_eq!(left.kept(timeline, 7).unwrap(), None);
        left.put(&marks(timeline, &[(5, [1; 8]), (7, [2; 8])]))
            .unwrap();
        left.put(&marks(timeline, &[(7, [2; 8]), (7, [3; 8])]))
            .unwrap();
        left.put(&marks(Uuid::from_u128(9), &[(1, [4; 8])]))
            .unwrap();
        assert_eq!(left.kept(timeline, 4).unwrap(), None);
        assert_eq!(left.kept(timeline, 6).unwrap(), Some(vec![]));
        assert_eq!(left.kept(timeline, 7).unwrap(), Some(vec![[2; 8], [3; 8]]));
        assert_eq!(left.kept(Uuid::from_u128(9), 1).unwrap(), None);
        let all = [(5, [1; 8]), (7, [2; 8]), (7, [3; 8])];
        assert_eq!(left.all().unwrap(), [marks(timeline, &all)]);
    }

    #[test]
    fn they_are_forgotten_in_pieces() {
        let (database, timeline) = database();
        let left = LeftChanges(&database);
        let many: Vec<(i64, Mark)> = (0..=PIECE).map(|seq| (seq, [0; 8])).collect();
        left.put(&marks(timeline, &many)).unwrap();
        assert!(left.forget().unwrap());
        assert!(!left.forget().unwrap());
        assert_eq!(left.all().unwrap(), []);
    }
}
