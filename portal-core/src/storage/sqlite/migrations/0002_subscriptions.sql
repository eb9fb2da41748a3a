-- Never edit this file once it was released; add the next number instead.

-- Subscriptions that the scheduler charges. stream, waits_for: stream ids. due_at, ended_at:
-- seconds. owner: a key. state: JSON. The stream of a schedule that has not ended is open.
CREATE TABLE schedules (
    stream          BLOB    NOT NULL PRIMARY KEY,
    owner           BLOB    NOT NULL,
    subscription_id TEXT    NOT NULL,
    due_at          INTEGER,
    waits_for       BLOB,
    ended_at        INTEGER,
    next_index      INTEGER NOT NULL,
    state           BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX schedules_due ON schedules (due_at, stream) WHERE due_at IS NOT NULL;
CREATE INDEX schedules_waiting ON schedules (stream) WHERE waits_for IS NOT NULL;
CREATE INDEX schedules_named ON schedules (subscription_id) WHERE ended_at IS NULL;
CREATE INDEX schedules_owned ON schedules (owner, stream);
CREATE INDEX schedules_ended ON schedules (ended_at) WHERE ended_at IS NOT NULL;

-- One row for each period that was charged: the last attempt. due, at: seconds. amount: the 64
-- bits of an unsigned number. payment: a stream id.
CREATE TABLE charges (
    schedule BLOB    NOT NULL,
    period   INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    amount   INTEGER NOT NULL,
    payment  BLOB    NOT NULL,
    paid     INTEGER NOT NULL,
    PRIMARY KEY (schedule, period)
) STRICT, WITHOUT ROWID;

-- Subscriptions that the person authorised. ended_at: seconds. state: JSON.
CREATE TABLE authorizations (
    subscription_id TEXT NOT NULL PRIMARY KEY,
    service         BLOB NOT NULL,
    ended_at        INTEGER,
    state           BLOB NOT NULL
) STRICT, WITHOUT ROWID;
