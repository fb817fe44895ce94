-- The history of backups. Times are milliseconds since 1970. A backup contains its own row, still IN_PROGRESS: so its
-- file tells what it is and of which moment.
CREATE TABLE backup (
    id          INTEGER PRIMARY KEY,
    backup_id   BLOB    NOT NULL UNIQUE CHECK (length(backup_id) = 16),
    kind        TEXT    NOT NULL CHECK (kind IN ('scheduled', 'manual', 'before-restore', 'before-migration',
                                                 'before-rollback')),
    status      TEXT    NOT NULL CHECK (status IN ('IN_PROGRESS', 'COMPLETED', 'FAILED', 'DELETED')),
    path        TEXT    NOT NULL,
    bytes       INTEGER,
    duration_ms INTEGER,
    error       TEXT,
    digest      BLOB    CHECK (length(digest) = 32),
    encrypted   INTEGER NOT NULL CHECK (encrypted IN (0, 1)),
    users       INTEGER,
    shares      INTEGER,
    newest      INTEGER,
    verified_at INTEGER,
    hook_error  TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX backup_by_time ON backup (created_at);
