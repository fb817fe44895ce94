-- Who did what, and what became of the node (audit/chain.rs). Each row's `mac` is made over its fields and the `mac` of the
-- row before, under a key derived from version `key_version` of the ring's key for the node's own keys.
CREATE TABLE audit (
    seq          INTEGER PRIMARY KEY CHECK (seq > 0),
    at           INTEGER NOT NULL,
    actor        TEXT    NOT NULL,
    actor_detail TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    outcome      TEXT    NOT NULL,
    detail       TEXT    NOT NULL,
    key_version  INTEGER NOT NULL,
    mac          BLOB    NOT NULL CHECK (length(mac) = 32)
) STRICT;

-- The two ends of the chain: the row before its first one (0, or the last that was forgotten) and its newest row. One row,
-- with a `mac` of its own, so that newest rows that were removed are missed.
CREATE TABLE audit_head (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    anchor_seq  INTEGER NOT NULL,
    anchor_mac  BLOB    NOT NULL CHECK (length(anchor_mac) = 32),
    last_seq    INTEGER NOT NULL,
    last_mac    BLOB    NOT NULL CHECK (length(last_mac) = 32),
    key_version INTEGER NOT NULL,
    mac         BLOB    NOT NULL CHECK (length(mac) = 32)
) STRICT;
