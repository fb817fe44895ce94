//! Whether what is in Postgres can be followed, must be replaced, or must not be touched.
//!
//! One function, of what this database and the replica say of themselves and of nothing else: what it decides can cost
//! data, so every case of it is in a test.

use uuid::Uuid;

use crate::store::{LogState, Mark, Timeline};

/// How far a replica is, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The node it belongs to.
    pub(super) node: Uuid,
    /// The timeline its changes are of.
    pub(super) timeline: Uuid,
    /// The newest change it has.
    pub(super) seq: i64,
    /// That change's mark.
    pub(super) mark: Mark,
}

/// What this database says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Local {
    /// The node it belongs to.
    pub(super) node: Uuid,
    /// Its timelines, oldest first; it lives in the last.
    pub(super) timelines: Vec<Timeline>,
    /// Its change log.
    pub(super) log: LogState,
    /// The mark that its own change with the position's number has, when that is kept.
    pub(super) mark: Option<Mark>,
    /// When the position is of a timeline that was left: the marks that its change has in what was held or saved. Absent
    /// when none are kept of so early a change.
    pub(super) left: Option<Vec<Mark>>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Ship what came after the position.
    Continue,
    /// Replace everything by a snapshot, for this reason.
    Snapshot(&'static str),
    /// Leave it alone.
    Refuse(Refusal),
}

/// Why a replica is left alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is another node's.
    #[error(
        "it is the replica of another node ({found}; this is {own}); give this node a database of its own, or drop the \
         schema ksnode there if that replica is no longer needed"
    )]
    OtherNode {
        /// This node.
        own: Uuid,
        /// Whose it is.
        found: Uuid,
    },
    /// It has what this database does not have.
    #[error(
        "it has changes that this database does not have ({what}): this database was put back to an older state, or \
         another copy of this node wrote there. `ksnode restore --from-replica` on the stopped node takes them over; \
         `ksnode replica resync --discard-replica` gives them up"
    )]
    Ahead {
        /// How that shows.
        what: &'static str,
    },
}

/// Decides.
pub(super) fn decide(local: &Local, position: Option<&Position>) -> Decision {
    let Some(position) = position else {
        return Decision::Snapshot("it is empty");
    };
    let (own, found) = (local.node, position.node);
    if own != found {
        return Decision::Refuse(Refusal::OtherNode { own, found });
    }
    let of_replica = |timeline: &&Timeline| timeline.id == position.timeline;
    if local.timelines.last().filter(of_replica).is_some() {
        return current(local, position);
    }
    earlier(
        local.timelines.iter().find(of_replica),
        local.left.as_deref(),
        position,
    )
}

fn ahead(what: &'static str) -> Decision {
    Decision::Refuse(Refusal::Ahead { what })
}

/// For a replica of an earlier timeline, which was `left` when it is known here. Where the newest data were, a restore has
/// saved them before it replaced them, and the replica is replaced as well. A backup restored on another machine has
/// nothing beside it: what the replica has beyond that backup is nowhere else.
fn earlier(left: Option<&Timeline>, marks: Option<&[Mark]>, position: &Position) -> Decision {
    match (left.map(|left| left.last_change), marks) {
        (None, _) => ahead("it follows a timeline that is not known here"),
        (Some(Some(last)), Some(marks)) if position.seq <= last => {
            if marks.contains(&position.mark) {
                Decision::Snapshot("a restore began a new timeline")
            } else {
                ahead("its newest change is another one in what was restored or replaced here")
            }
        }
        // It was further once, or in a later timeline: its server was put back to an older state.
        (Some(Some(last)), None) if position.seq <= last => {
            Decision::Snapshot("a restore began a new timeline")
        }
        (Some(_), _) => ahead("it is newer than the backup that was restored here"),
    }
}

/// For a replica that follows the current timeline.
fn current(local: &Local, position: &Position) -> Decision {
    let LogState {
        start,
        newest,
        acknowledged,
        ..
    } = local.log;
    if position.seq > newest {
        return ahead("its newest change is newer than the newest here");
    }
    match local.mark {
        Some(mark) if mark != position.mark => ahead("its newest change is another one here"),
        Some(_) if position.seq >= start => Decision::Continue,
        Some(_) => Decision::Snapshot("changes after it are no longer in the log"),
        // It was further once: its server was put back to an older state.
        None if position.seq < acknowledged => {
            Decision::Snapshot("it was put back to an older state")
        }
        None => ahead("its newest change is no longer known here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    const NODE: Uuid = Uuid::from_u128(1);
    const FIRST: Uuid = Uuid::from_u128(10);
    const SECOND: Uuid = Uuid::from_u128(11);
    const OURS: Mark = [1; 8];

    /// A database with the changes 50 to 100, of which the replica is known to have 50, and a replica at `seq`.
    fn at(seq: i64, mark: Option<Mark>) -> (Local, Position) {
        let timeline = |id, last_change| Timeline {
            id,
            parent: None,
            started_at: Timestamp::from_millis(0),
            last_change,
        };
        let local = Local {
            node: NODE,
            timelines: vec![timeline(FIRST, None), timeline(SECOND, None)],
            log: LogState {
                start: 50,
                newest: 100,
                mark: OURS,
                acknowledged: 50,
            },
            mark,
            left: None,
        };
        let position = Position {
            node: NODE,
            timeline: SECOND,
            seq,
            mark: OURS,
        };
        (local, position)
    }

    fn decided((local, position): (Local, Position)) -> Decision {
        decide(&local, Some(&position))
    }

    fn is_ahead(decision: &Decision) -> bool {
        matches!(decision, Decision::Refuse(Refusal::Ahead { .. }))
    }

    #[test]
    fn an_empty_replica_is_filled() {
        assert!(matches!(
            decide(&at(0, None).0, None),
            Decision::Snapshot(_)
        ));
    }

    #[test]
    fn a_position_that_the_log_reaches_is_followed() {
        for seq in [50, 51, 99, 100] {
            assert_eq!(decided(at(seq, Some(OURS))), Decision::Continue, "{seq}");
        }
    }

    #[test]
    fn a_position_before_the_log_is_replaced() {
        for (seq, mark) in [(0, None), (49, None), (49, Some(OURS))] {
            let decision = decided(at(seq, mark));
            assert!(
                matches!(decision, Decision::Snapshot(_)),
                "{seq} {decision:?}"
            );
        }
        let (mut cut, position) = at(60, Some(OURS));
        cut.log.start = 100;
        assert!(matches!(decided((cut, position)), Decision::Snapshot(_)));
    }

    #[test]
    fn what_this_database_does_not_have_is_not_overwritten() {
        for (seq, mark) in [
            (101, None),
            (i64::MAX, None),
            (100, Some([2; 8])),
            (49, Some([2; 8])),
            (60, None),
            (50, None),
        ] {
            let decision = decided(at(seq, mark));
            assert!(is_ahead(&decision), "{seq} {decision:?}");
        }
        let (local, mut position) = at(60, Some(OURS));
        position.timeline = Uuid::from_u128(12);
        assert!(is_ahead(&decided((local, position))));
    }

    #[test]
    fn an_earlier_timeline_is_replaced_as_far_as_the_same_was_held_or_saved_and_no_further() {
        // Whatever the log and its mark of that number say: they are of the current timeline.
        for mark in [None, Some(OURS), Some([2; 8])] {
            for (seq, last_change, replaced) in [
                (0, Some(0), true),
                (1, Some(0), false),
                (60, Some(59), false),
                (60, Some(60), true),
                (60, Some(61), true),
                (1000, Some(999), false),
                (1000, Some(1000), true),
                (i64::MAX, Some(1000), false),
                (0, None, false),
                (60, None, false),
            ] {
                let (mut local, mut position) = at(seq, mark);
                position.timeline = FIRST;
                local.timelines.first_mut().unwrap().last_change = last_change;
                // No marks are kept, or the right one among others; or others alone.
                for left in [
                    None,
                    Some(vec![[2; 8], OURS]),
                    Some(vec![[2; 8]]),
                    Some(vec![]),
                ] {
                    let ours = left.as_ref().is_none_or(|marks| marks.contains(&OURS));
                    local.left = left;
                    let decision = decided((local.clone(), position.clone()));
                    let snapshot = matches!(decision, Decision::Snapshot(_));
                    assert_eq!(
                        snapshot,
                        replaced && ours,
                        "{seq} {last_change:?} {decision:?}"
                    );
                    assert_eq!(is_ahead(&decision), !snapshot, "{seq} {last_change:?}");
                }
            }
        }
    }

    #[test]
    fn a_database_without_timelines_overwrites_nothing() {
        let (mut local, position) = at(60, Some(OURS));
        local.timelines.clear();
        assert!(is_ahead(&decided((local, position))));
    }

    #[test]
    fn another_node_is_refused_whatever_else_fits() {
        let (local, mut position) = at(100, Some(OURS));
        position.node = Uuid::from_u128(2);
        let decision = decided((local, position));
        let Decision::Refuse(refusal) = decision else {
            panic!("{decision:?}");
        };
        assert!(
            refusal
                .to_string()
                .contains(&Uuid::from_u128(2).to_string())
        );
    }
}
