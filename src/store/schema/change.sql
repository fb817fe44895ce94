-- What changed since the replica was last known to have everything: filled by triggers as long as replication is on
-- (store/changes.rs). The mark is random: by it two histories that count alike are told apart. A row is NULL where the
-- whole table is shipped.
CREATE TABLE change (
    seq  INTEGER PRIMARY KEY,
    tbl  INTEGER NOT NULL,
    row  INTEGER,
    mark BLOB    NOT NULL DEFAULT (randomblob(8)) CHECK (length(mark) = 8)
) STRICT;

-- Where the log stands. It is whole after `start`: what happened until then may be missing. `acknowledged` is a change
-- that the replica is known to have, with all before. One row, once replication was on.
CREATE TABLE replication (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    active       INTEGER NOT NULL CHECK (active IN (0, 1)),
    start        INTEGER NOT NULL,
    acknowledged INTEGER NOT NULL
) STRICT;

-- Marks of changes in timelines that were left, until the replica is seen in the current one (store/left.rs). Two
-- databases of one timeline may each have gone on in it, one of them put back to an older state: then a number has
-- several.
CREATE TABLE left_change (
    timeline INTEGER NOT NULL REFERENCES timeline (id),
    seq      INTEGER NOT NULL,
    mark     BLOB    NOT NULL CHECK (length(mark) = 8),
    PRIMARY KEY (timeline, seq, mark)
) STRICT, WITHOUT ROWID;
