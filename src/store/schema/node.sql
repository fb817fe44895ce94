-- Who this database belongs to and under what its key ring is wrapped. One row.
CREATE TABLE node (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    node_id      BLOB    NOT NULL CHECK (length(node_id) = 16),
    salt         BLOB    NOT NULL CHECK (length(salt) = 16),
    memory_kib   INTEGER NOT NULL,
    passes       INTEGER NOT NULL,
    lanes        INTEGER NOT NULL,
    secret_check BLOB    NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;

-- Wrapped keys. The newest version of a purpose is the active one.
CREATE TABLE key_ring (
    purpose    TEXT    NOT NULL CHECK (purpose IN ('share', 'index', 'node-wrap')),
    version    INTEGER NOT NULL CHECK (version > 0),
    state      TEXT    NOT NULL CHECK (state IN ('active', 'retired')),
    wrapped    BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (purpose, version)
) STRICT, WITHOUT ROWID;

-- The node's ed25519 keys. The newest version is the active one.
CREATE TABLE node_key (
    version      INTEGER PRIMARY KEY CHECK (version > 0),
    public_key   BLOB    NOT NULL UNIQUE CHECK (length(public_key) = 32),
    ring_version INTEGER NOT NULL,
    sealed_seed  BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    retired_at   INTEGER
) STRICT;
