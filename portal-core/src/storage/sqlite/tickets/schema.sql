-- The ticket wallet's own file. Never edited once released: later versions are appended.
CREATE TABLE mint (
    url TEXT PRIMARY KEY,
    info TEXT,
    token TEXT,
    fetched_at INTEGER NOT NULL
) STRICT;

CREATE TABLE keyset (
    mint TEXT NOT NULL,
    id TEXT NOT NULL,
    unit TEXT NOT NULL,
    active INTEGER NOT NULL,
    fee_ppk INTEGER NOT NULL,
    final_expiry INTEGER,
    keys TEXT NOT NULL,
    PRIMARY KEY (mint, id)
) STRICT;

-- By keyset alone: two mints with one keyset id must not get the same secrets.
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    next INTEGER NOT NULL
) STRICT;

CREATE TABLE unit_info (
    mint TEXT NOT NULL,
    unit TEXT NOT NULL,
    info TEXT NOT NULL,
    fetched_at INTEGER NOT NULL,
    PRIMARY KEY (mint, unit)
) STRICT;

CREATE TABLE operation (
    key TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    mint TEXT NOT NULL,
    unit TEXT NOT NULL,
    amount INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX operation_open ON operation (created_at) WHERE open = 1;

-- state: 0 unspent, 1 reserved for an operation, 2 given away by one, 3 spent
CREATE TABLE proof (
    y BLOB PRIMARY KEY,
    mint TEXT NOT NULL,
    unit TEXT NOT NULL,
    keyset TEXT NOT NULL,
    amount INTEGER NOT NULL,
    state INTEGER NOT NULL,
    operation TEXT,
    body TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX proof_place ON proof (mint, unit, state);
CREATE INDEX proof_operation ON proof (operation) WHERE operation IS NOT NULL;
CREATE INDEX proof_given ON proof (mint) WHERE state = 2;

-- What a gate has let in, so that it lets nothing in twice while it is offline.
CREATE TABLE seen (
    y BLOB PRIMARY KEY,
    admission TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE admission (
    id TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    open INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX admission_open ON admission (at) WHERE open = 1;

-- What a person allowed a service to take without asking again.
CREATE TABLE allowance (
    service TEXT NOT NULL,
    mint TEXT NOT NULL,
    unit TEXT NOT NULL,
    most INTEGER NOT NULL,
    left_over INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (service, mint, unit)
) STRICT;

CREATE TABLE ticket_event (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
