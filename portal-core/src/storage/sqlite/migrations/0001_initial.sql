-- Never edit this file once it was released; add the next number instead.
--
-- Stream ids are 16-byte UUIDs of version 7 (their order is their age), keys and hashes 32 bytes.
-- Every table is looked up by its primary key only, so it is stored by that key, without rowid.

CREATE TABLE conversations (
    stream     BLOB    NOT NULL PRIMARY KEY,
    machine    TEXT    NOT NULL,
    next_index INTEGER NOT NULL,
    state      BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- at: milliseconds since the epoch. body: JSON.
CREATE TABLE events (
    stream BLOB    NOT NULL,
    place  INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    body   TEXT    NOT NULL,
    PRIMARY KEY (stream, place)
) STRICT, WITHOUT ROWID;

-- subkeys: 32 bytes each, one behind the other. relays: a JSON array. seen_at: seconds.
CREATE TABLE peers (
    main_key BLOB    NOT NULL PRIMARY KEY,
    seen_at  INTEGER NOT NULL,
    subkeys  BLOB    NOT NULL,
    relays   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- at: seconds.
CREATE TABLE idempotency (
    key          TEXT    NOT NULL PRIMARY KEY,
    at           INTEGER NOT NULL,
    command_hash BLOB    NOT NULL,
    stream       BLOB,
    answer       TEXT
) STRICT, WITHOUT ROWID;

-- amount: millisatoshi, the 64 bits of an unsigned number. at: seconds. status: JSON.
CREATE TABLE outgoing (
    payment_hash BLOB    NOT NULL PRIMARY KEY,
    pending      INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    amount       INTEGER NOT NULL,
    status       TEXT    NOT NULL,
    invoice      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX outgoing_pending ON outgoing (at, payment_hash) WHERE pending = 1;

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
