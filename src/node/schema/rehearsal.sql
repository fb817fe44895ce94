-- What upgrades are rehearsed with: every wallet is touched, and a table is new.
ALTER TABLE wallet ADD COLUMN rehearsal INTEGER NOT NULL DEFAULT 0;

UPDATE wallet SET rehearsal = length(sealed) WHERE sealed IS NOT NULL;

CREATE TABLE rehearsal (
    id     INTEGER PRIMARY KEY,
    wallet INTEGER NOT NULL REFERENCES wallet (id)
) STRICT;

INSERT INTO rehearsal (wallet) SELECT id FROM wallet;
