-- The lives of this database: a restore begins a new one. The newest is the one it lives in.
CREATE TABLE timeline (
    id          INTEGER PRIMARY KEY,
    timeline_id BLOB    NOT NULL UNIQUE CHECK (length(timeline_id) = 16),
    parent      BLOB    CHECK (length(parent) = 16),
    started_at  INTEGER NOT NULL
) STRICT;
