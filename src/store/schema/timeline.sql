-- The lives of this database: a restore begins a new one. The newest is the one it lives in. `last_change` is the newest
-- change (store/changes.rs) of an earlier one that this database held, or that was saved, when it was left: what a
-- replica has beyond it is nowhere else. NULL: none is known.
CREATE TABLE timeline (
    id          INTEGER PRIMARY KEY,
    timeline_id BLOB    NOT NULL UNIQUE CHECK (length(timeline_id) = 16),
    parent      BLOB    CHECK (length(parent) = 16),
    started_at  INTEGER NOT NULL,
    last_change INTEGER
) STRICT;
