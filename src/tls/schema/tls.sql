-- What a certificate authority knows this node by: the account's private key, sealed. The contact is blind. Times are
-- milliseconds since 1970.
CREATE TABLE tls_account (
    directory   TEXT    NOT NULL,
    contact     BLOB    NOT NULL,
    key_version INTEGER NOT NULL,
    sealed      BLOB    NOT NULL,
    PRIMARY KEY (directory, contact)
) STRICT, WITHOUT ROWID;

-- Certificates from authorities, each with its private key, sealed. The domains are sorted and divided by a space.
CREATE TABLE tls_certificate (
    directory   TEXT    NOT NULL,
    domains     TEXT    NOT NULL,
    key_version INTEGER NOT NULL,
    sealed      BLOB    NOT NULL,
    issued_at   INTEGER NOT NULL,
    PRIMARY KEY (directory, domains)
) STRICT, WITHOUT ROWID;

-- Attempts to have one: those since the last that succeeded, and that one. The time is that of the end, or of the
-- beginning as long as there is no end.
CREATE TABLE tls_attempt (
    id        INTEGER PRIMARY KEY,
    directory TEXT    NOT NULL,
    domains   TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    outcome   TEXT    NOT NULL CHECK (outcome IN ('begun', 'issued', 'unreachable', 'refused')),
    error     TEXT
) STRICT;
