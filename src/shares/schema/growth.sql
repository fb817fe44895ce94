-- How many shares there were on a day (days since 1970, in UTC), for charts of months. A row is written over until its day is
-- over.
CREATE TABLE share_growth (
    day        INTEGER NOT NULL,
    auth_type  TEXT    NOT NULL,
    curve_type TEXT    NOT NULL,
    shares     INTEGER NOT NULL,
    PRIMARY KEY (day, auth_type, curve_type)
) STRICT, WITHOUT ROWID;
