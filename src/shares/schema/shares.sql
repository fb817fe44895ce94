-- Times are milliseconds since 1970. Blind columns are deterministic AES-SIV under the index key: equal values are
-- equal, and without the encryption secret nobody can tell more. Small integer row ids inside keep new rows at
-- the end of the tables; the UUIDs are the ids that clients see.

CREATE TABLE user (
    id         INTEGER PRIMARY KEY,
    user_id    BLOB    NOT NULL CHECK (length(user_id) = 16),
    auth_type  TEXT    NOT NULL,
    identifier BLOB    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

-- A wallet and its share, in one row because each has one of the other: whoever looks for the share by the public key
-- has found it. A wallet may stand without its share, which is then NULL in all its columns.
CREATE TABLE wallet (
    id          INTEGER PRIMARY KEY,
    wallet_id   BLOB    NOT NULL CHECK (length(wallet_id) = 16),
    user        INTEGER NOT NULL REFERENCES user (id),
    curve_type  TEXT    NOT NULL CHECK (curve_type IN ('secp256k1', 'ed25519')),
    public_key  BLOB    NOT NULL UNIQUE,
    share_id    BLOB    CHECK (length(share_id) = 16),
    key_version INTEGER CHECK ((key_version IS NULL) = (share_id IS NULL)),
    sealed      BLOB    CHECK ((sealed IS NULL) = (share_id IS NULL)),
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    reshared_at INTEGER
) STRICT;

CREATE INDEX wallet_of_user ON wallet (user, curve_type);

-- How many shares there are, kept in step by the transactions that add them: counting millions of rows for each
-- telemetry report would read the whole table.
CREATE TABLE share_count (
    auth_type  TEXT    NOT NULL,
    curve_type TEXT    NOT NULL,
    shares     INTEGER NOT NULL,
    PRIMARY KEY (auth_type, curve_type)
) STRICT, WITHOUT ROWID;

-- Where the pass that reseals shares under the newest share key stands. One row.
CREATE TABLE reseal (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    key_version INTEGER NOT NULL,
    next_wallet INTEGER NOT NULL,
    finished    INTEGER NOT NULL CHECK (finished IN (0, 1))
) STRICT;

CREATE TABLE session (
    id             INTEGER PRIMARY KEY,
    session_id     BLOB    NOT NULL UNIQUE CHECK (length(session_id) = 16),
    operation_type TEXT    NOT NULL,
    ephemeral_key  BLOB    NOT NULL UNIQUE CHECK (length(ephemeral_key) = 32),
    token_hash     BLOB    NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    state          TEXT    NOT NULL CHECK (state IN ('COMMITTED', 'COMPLETED')),
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL
) STRICT;

CREATE INDEX session_by_expiry ON session (expires_at);

CREATE TABLE session_call (
    session   INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    api_name  TEXT    NOT NULL,
    called_at INTEGER NOT NULL,
    PRIMARY KEY (session, api_name)
) STRICT, WITHOUT ROWID;
