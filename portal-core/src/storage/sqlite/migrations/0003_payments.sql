-- Never edit this file once it was released; add the next number instead.
--
-- What an outgoing payment may cost on top, how often it was tried, whom it pays (33 bytes), and
-- what it has cost or may cost: all in millisatoshi, the last at most the largest signed number.

ALTER TABLE outgoing ADD COLUMN payee   BLOB;
ALTER TABLE outgoing ADD COLUMN max_fee INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outgoing ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;
ALTER TABLE outgoing ADD COLUMN spent   INTEGER NOT NULL DEFAULT 0;

UPDATE outgoing SET spent = max(amount, 0)
    WHERE pending = 1 OR json_extract(status, '$.status') = 'settled';

CREATE INDEX outgoing_spent ON outgoing (at, spent, payee) WHERE spent > 0;

-- Payments that came, by the stream of their request. request: JSON. at: seconds.
CREATE TABLE received (
    stream       BLOB    NOT NULL PRIMARY KEY,
    main_key     BLOB    NOT NULL,
    payment_hash BLOB    NOT NULL,
    amount       INTEGER NOT NULL,
    request      TEXT    NOT NULL,
    at           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- state: open, paid or void.
CREATE TABLE refunds (
    payment BLOB    NOT NULL,
    stream  BLOB    NOT NULL,
    amount  INTEGER NOT NULL,
    state   TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (payment, stream)
) STRICT, WITHOUT ROWID;
