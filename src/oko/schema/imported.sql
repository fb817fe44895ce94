-- What a take-over from a node of the Docker suite brought and the other tables have no place for: status, the suite's
-- notes, times of rows that share a row here, microseconds. With it an export gives back what came in, and with it an
-- import that was interrupted finds by the suite's ids what is there already. `row` is the row's place here: in the table
-- user, wallet (for wallets and shares) or node_key.
CREATE TABLE imported (
    id          INTEGER PRIMARY KEY,
    kind        TEXT    NOT NULL CHECK (kind IN ('keypair', 'user', 'wallet', 'share')),
    row         INTEGER NOT NULL,
    source_id   BLOB    NOT NULL CHECK (length(source_id) = 16),
    key_version INTEGER NOT NULL,
    sealed      BLOB    NOT NULL,
    UNIQUE (kind, source_id)
) STRICT;

CREATE INDEX imported_by_row ON imported (kind, row);

-- By it the rows that an earlier key seals are found without a look at all others.
CREATE INDEX imported_by_key ON imported (key_version);

-- Whether a take-over has begun and is not finished: a node with half of its users would tell the others that it has
-- nothing of theirs, and wallets would give it up. One row.
CREATE TABLE import (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    finished INTEGER NOT NULL CHECK (finished IN (0, 1))
) STRICT;
